package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"mirrorwatch/crawler/survey"
)

// perKey bounds the kept connections to one place, kept those of a Transport. How many are in use at once is the host gate's
// to decide; a pool that keeps fewer than that closes and opens one for every other request.
const (
	perKey = 64
	kept   = 256
)

// conn is one connection with what was learnt while it came up; that part does not change any more.
type conn struct {
	key   string
	tcp   net.Conn // what the socket is
	rw    net.Conn // what HTTP speaks over
	state *tls.ConnectionState
	plain bool   // plain http through an HTTP proxy: absolute-form requests
	auth  string // Proxy-Authorization for those

	route
	timer *time.Timer
}

// route is how a connection came up, or did not.
type route struct {
	peer      netip.AddrPort
	lookups   []survey.Lookup
	tries     []survey.Try
	tls       *survey.TLS
	proxyHead []byte
	via       string
	timing    survey.Timing
	late      []func(time.Duration) // listening for second DNS answers ends
}

func (c *conn) close() { _ = c.tcp.Close() }

type pool struct {
	mu     sync.Mutex
	conns  map[string][]*conn
	n      int
	idle   time.Duration
	closed bool
}

// get takes a connection that is fit for use; unsolicited counts octets found on connections that were not.
func (p *pool) get(key string) (c *conn, unsolicited int) {
	for {
		p.mu.Lock()
		list := p.conns[key]
		if len(list) == 0 {
			p.mu.Unlock()
			return nil, unsolicited
		}
		c := list[len(list)-1]
		p.set(key, list[:len(list)-1])
		p.n--
		p.mu.Unlock()
		if !c.timer.Stop() {
			continue // its time is over, the timer closes it
		}
		n, ok := c.quiet()
		unsolicited += n
		if ok {
			return c, unsolicited
		}
		c.close()
	}
}

func (p *pool) set(key string, list []*conn) {
	if len(list) == 0 {
		delete(p.conns, key)
		return
	}
	p.conns[key] = list
}

// put keeps c, or closes it.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.n >= kept || len(p.conns[c.key]) >= perKey || c.rw.SetDeadline(time.Time{}) != nil {
		c.close()
		return
	}
	if p.conns == nil {
		p.conns = map[string][]*conn{}
	}
	c.timer = time.AfterFunc(p.idle, func() { p.drop(c) })
	p.conns[c.key] = append(p.conns[c.key], c)
	p.n++
}

func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.conns[c.key]
	for i, o := range list {
		if o == c {
			p.set(c.key, append(list[:i:i], list[i+1:]...))
			p.n--
			break
		}
	}
	c.close()
}

func (p *pool) closeAll(forever bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.conns {
		for _, c := range list {
			c.timer.Stop()
			c.close()
		}
	}
	p.conns, p.n = nil, 0
	p.closed = p.closed || forever
}

var longAgo = time.Unix(1, 0)

// quiet reports whether the idle connection is open and nothing was sent on it unasked (fetching.md section 2: a late 408
// taken for the next answer is a false verdict). Over TLS, octets on the socket may be session tickets: a short read may
// consume those, and must give no data.
func (c *conn) quiet() (n int, ok bool) {
	var buf [512]byte
	if c.state != nil {
		if n, ok := c.silent(buf[:], longAgo); !ok { // what the TLS layer holds already
			return n, false
		}
	}
	n, open := peek(c.tcp)
	switch {
	case !open:
		return n, false
	case n == 0:
		return 0, true
	case c.state == nil:
		return n, false
	}
	if n, ok := c.silent(buf[:], time.Now().Add(time.Millisecond)); !ok {
		return n, false
	}
	left, open := peek(c.tcp)
	return left, open && left == 0
}

func (c *conn) silent(buf []byte, until time.Time) (int, bool) {
	if c.rw.SetReadDeadline(until) != nil {
		return 0, false
	}
	n, err := c.rw.Read(buf)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, false
	}
	return 0, c.rw.SetReadDeadline(time.Time{}) == nil
}
