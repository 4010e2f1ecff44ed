package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mirrorwatch/crawler/survey"
)

// zone serves names over UDP from a function, and counts what it was asked.
func zone(t testing.TB, f func(q dns.Question) []string) (addr string, asked *atomic.Int64) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	up := make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(up) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		m := new(dns.Msg).SetReply(q)
		for _, s := range f(q.Question[0]) {
			rr, err := dns.NewRR(q.Question[0].Name + " " + s)
			if err == nil && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	<-up
	t.Cleanup(func() { _ = srv.Shutdown() })
	return pc.LocalAddr().String(), asked
}

// serveBoth serves "4" on 127.0.0.1 and "6" on [::1] at one port.
func serveBoth(t testing.TB) (port string) {
	t.Helper()
	var ln4, ln6 net.Listener
	for range 20 {
		var err error
		if ln6, err = net.Listen("tcp", "[::1]:0"); err != nil {
			t.Skip("SKIPPED: this machine has no IPv6 loopback")
		}
		_, port, _ = net.SplitHostPort(ln6.Addr().String())
		if ln4, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			break
		}
		_ = ln6.Close()
	}
	for body, ln := range map[string]net.Listener{"4": ln4, "6": ln6} {
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })}
		go func() { _ = srv.Serve(ln) }()
		t.Cleanup(func() { _ = srv.Close() })
	}
	return port
}

var loopback = Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

// TestSystemResolver: resolv.conf and hosts file are read by us; lookups are named by the server that was asked.
func TestSystemResolver(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	pc, err := net.ListenPacket("udp", "127.0.0.53:53")
	if err != nil {
		t.Skip("SKIPPED: port 53 of loopback cannot be had: ", err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		for _, m := range reply(q) {
			_ = w.WriteMsg(m)
		}
	})}
	up := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(up) }
	go func() { _ = srv.ActivateAndServe() }()
	<-up
	t.Cleanup(func() { _ = srv.Shutdown() })
	dir := t.TempDir()
	conf, hosts := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hosts")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The first server is dead, the second answers; search domains are never tried.
	write(conf, "# comment\nsearch wrong.test\nnameserver 127.0.0.54\nnameserver 127.0.0.53\noptions ndots:5\n")
	write(hosts, "127.0.0.1 localhost\n127.0.0.1\tMirror.test alias.test # comment\n::1 mirror.test\nnonsense mirror.test\n")
	tr, b := open(t, Config{Guard: loopback, resolvConf: conf, hostsFile: hosts})
	for _, tc := range []struct{ host, engine, server, want string }{
		{"ok.test", "system", "127.0.0.53:53", "content/ok"},
		{"nxdomain.test", "system", "127.0.0.53:53", "dns/nxdomain"},
		{"alias.test", "hosts", hosts, "content/ok"},
		{"mirror.test", "hosts", hosts, "content/ok"},
	} {
		_, _, err := get(t.Context(), tr, &Visit{Probe: survey.Probe{Purpose: survey.ForVerdict}}, "GET", "http://"+tc.host+":"+port(s.addr)+"/")
		e, _ := b.last()
		if seen(e) != tc.want {
			t.Errorf("%s: %s, want %s: %v", tc.host, seen(e), tc.want, err)
		}
		last := e.Lookups[len(e.Lookups)-1]
		if last.Engine != tc.engine || last.Server != tc.server || last.Name != tc.host {
			t.Errorf("%s: lookup %+v", tc.host, last)
		}
		if tc.host == "mirror.test" && len(e.Lookups) != 2 {
			t.Errorf("both families of the hosts file: %+v", e.Lookups)
		}
		if tc.host == "ok.test" && (e.Lookups[0].Server != "127.0.0.54:53" || e.Lookups[0].Outcome != survey.ConnectionRefused) {
			t.Errorf("the dead server: %+v", e.Lookups[0])
		}
	}
	write(conf, "nameserver 127.0.0.54\n")
	dead, b := open(t, Config{resolvConf: conf, hostsFile: hosts})
	_, _, _ = get(t.Context(), dead, &Visit{}, "GET", "http://ok.test/")
	if e, _ := b.last(); seen(e) != "dns/connection_refused" || e.Lookups[0].Server != "127.0.0.54:53" {
		t.Errorf("%s, %+v", seen(e), e.Lookups)
	}
}

// TestIPv6: real connections over [::1]: preferred where there is a route, one family when asked for, "not measured" where this
// machine has no way.
func TestIPv6(t *testing.T) {
	p := serveBoth(t)
	server, _ := zone(t, func(q dns.Question) []string {
		switch {
		case strings.HasPrefix(q.Name, "six."):
			return []string{"60 IN AAAA ::1"}
		case strings.HasPrefix(q.Name, "deadsix."):
			return []string{"60 IN AAAA fd00::1", "60 IN A 127.0.0.1"}
		}
		return []string{"60 IN AAAA ::1", "60 IN A 127.0.0.1"}
	})
	udp := "udp://" + server
	for _, tc := range []struct {
		name, host, source string
		family             int
		want, body, tries  string
	}{
		{"preferred", "both", "", 0, "content/ok", "6", "ok"},
		{"only 4", "both", "", 4, "content/ok", "4", "ok"},
		{"only 6", "both", "", 6, "content/ok", "6", "ok"},
		{"6 alone", "six", "", 0, "content/ok", "6", "ok"},
		{"no 4", "six", "", 4, "dns/no_answer", "", ""},
		{"no route for 6", "both", "127.0.0.1", 0, "content/ok", "4", "not_measured,ok"},
		{"6 asked for, no route", "both", "127.0.0.1", 6, "connect/not_measured", "", "not_measured"},
		{"6 refused, then 4", "deadsix", "", 0, "content/ok", "4", "guard_refused,ok"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr, b := open(t, Config{Guard: loopback, Vantage: survey.Vantage{Resolver: udp, Source: tc.source}})
			_, body, err := get(t.Context(), tr, &Visit{Family: tc.family, Probe: survey.Probe{Purpose: survey.ForFamily}}, "GET", "http://"+tc.host+".test:"+p+"/")
			e, _ := b.last()
			tries := []string{}
			for _, x := range e.Tries {
				tries = append(tries, string(x.Outcome))
			}
			if seen(e) != tc.want || string(body) != tc.body || strings.Join(tries, ",") != tc.tries {
				t.Errorf("%s %q %v, want %s %q %s; %v", seen(e), body, tries, tc.want, tc.body, tc.tries, err)
			}
		})
	}
	tr, b := open(t, Config{Guard: Guard{Permit: map[string]bool{"[::1]:" + p: true}}})
	if _, body, err := get(t.Context(), tr, &Visit{}, "GET", "http://[::1]:"+p+"/"); string(body) != "6" {
		t.Error("literal:", err)
	}
	if e, _ := b.last(); e.Peer.Addr() != netip.IPv6Loopback() {
		t.Error("peer", e.Peer)
	}
}

// TestErrno: what the operating system says, wrapped as the net package wraps it.
func TestErrno(t *testing.T) {
	for n, want := range map[syscall.Errno]survey.Outcome{
		syscall.ECONNREFUSED: survey.ConnectionRefused, syscall.ECONNRESET: survey.ConnectionReset, syscall.ECONNABORTED: survey.ConnectionAborted,
		syscall.EHOSTUNREACH: survey.HostUnreachable, syscall.ENETUNREACH: survey.NetworkUnreachable, syscall.ENETDOWN: survey.NetworkDown,
		syscall.ETIMEDOUT: survey.Timeout, syscall.EMFILE: survey.LocalResources, syscall.ENFILE: survey.LocalResources,
		syscall.ENOBUFS: survey.LocalResources, syscall.EADDRNOTAVAIL: survey.LocalResources, syscall.EADDRINUSE: survey.LocalResources,
		syscall.ENOMEM: survey.LocalResources, syscall.ENOSPC: survey.LocalResources, syscall.ENODEV: survey.LocalResources, syscall.EPIPE: survey.ConnectionReset,
	} {
		err := fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", n)})
		if f := failed(t.Context(), survey.StageConnect, err); f.Outcome != want || f.Stage != survey.StageConnect {
			t.Errorf("%v: %s, want %s", n, f.Outcome, want)
		}
		if f := handshake(t.Context(), err); f.Outcome != want {
			t.Errorf("%v in a handshake: %s, want %s", n, f.Outcome, want)
		}
	}
	for err, want := range map[error]survey.Outcome{io.EOF: survey.EOF, os.ErrDeadlineExceeded: survey.Timeout, context.Canceled: survey.Interrupted,
		net.ErrClosed: survey.ConnectionAborted, errNoRoute: survey.NoRoute} {
		if got := network(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

// TestLocalAddress: a source address that this machine does not have is no trouble of the mirror's.
func TestLocalAddress(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request() })
	tr, b := open(t, Config{ConnectTo: pinTo(s.addr), Vantage: survey.Vantage{Source: "192.0.2.77"}})
	_, _, _ = get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/")
	if e, _ := b.last(); seen(e) != "connect/local_resources" || s.accepts() != 0 {
		t.Error(seen(e))
	}
	proxied, b := open(t, Config{Vantage: survey.Vantage{Source: "192.0.2.77", Proxy: "http://" + s.addr}})
	_, _, _ = get(t.Context(), proxied, &Visit{}, "GET", "http://"+name+"/")
	if e, _ := b.last(); seen(e) != "proxy/local_resources" || s.accepts() != 0 {
		t.Error("proxy:", seen(e))
	}
	asking, b := open(t, Config{Vantage: survey.Vantage{Source: "192.0.2.77", Resolver: "udp://" + s.addr}})
	_, _, _ = get(t.Context(), asking, &Visit{}, "GET", "http://"+name+"/")
	if e, _ := b.last(); seen(e) != "dns/local_resources" {
		t.Error("resolver:", seen(e))
	}
}

// TestSource: mirrors, resolvers and proxies are all asked from the source, an address or an interface.
func TestSource(t *testing.T) {
	from := make(chan string, 16)
	web := serve(t, nil, func(_ int, c *logged) {
		from <- "tcp " + c.raw.RemoteAddr().(*net.TCPAddr).IP.String()
		c.request()
		c.say(okHead + "Content-Length: 2\r\n\r\nhi")
	})
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		from <- "udp " + w.RemoteAddr().(*net.UDPAddr).IP.String()
		_ = w.WriteMsg(reply(q)[0])
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
	want := func(what ...string) {
		t.Helper()
		for _, w := range what {
			if got := <-from; got != w {
				t.Errorf("asked from %s, want %s", got, w)
			}
		}
	}
	tr, _ := open(t, Config{Guard: loopback, Vantage: survey.Vantage{Source: "127.0.0.9", Resolver: "udp://" + pc.LocalAddr().String()}})
	if _, _, err := get(t.Context(), tr, &Visit{Family: 4}, "GET", "http://ok.test:"+port(web.addr)+"/"); err != nil {
		t.Skip("SKIPPED: 127.0.0.9 cannot be a source here: ", err)
	}
	want("udp 127.0.0.9", "tcp 127.0.0.9")
	proxied, _ := open(t, Config{Vantage: survey.Vantage{Source: "127.0.0.9", Proxy: "http://" + web.addr}})
	if _, _, err := get(t.Context(), proxied, &Visit{}, "GET", "http://"+name+"/"); err != nil {
		t.Error(err)
	}
	want("tcp 127.0.0.9")
	for _, device := range []bool{true, false} {
		bound, b := open(t, Config{ConnectTo: pinTo(web.addr), Vantage: survey.Vantage{Source: "lo"}})
		if device && !bound.source.device {
			t.Log("sockets cannot be bound to a device here")
			continue
		}
		bound.source.device = device
		if _, _, err := get(t.Context(), bound, &Visit{}, "GET", "http://"+name+"/"); err != nil {
			e, _ := b.last()
			t.Errorf("device %v: %s %v", device, seen(e), err)
			continue
		}
		want("tcp 127.0.0.1")
		// An interface that leads nowhere else: no way to another network through it.
		if bound.source.route(t.Context(), netip.MustParseAddrPort("192.0.2.1:80")) && device {
			t.Log("the loopback interface has a route to 192.0.2.1 here")
		}
	}
	if _, err := New(Config{Vantage: survey.Vantage{Source: "no-such0"}}); err == nil {
		t.Error("an interface that does not exist: no error")
	}
}

// cut is a connection whose other end takes so much and then is gone.
type cut struct {
	net.Conn
	takes int
	got   bytes.Buffer
}

func (c *cut) Write(p []byte) (int, error) {
	n := min(len(p), c.takes)
	c.got.Write(p[:n])
	return n, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}
}
func (c *cut) Read([]byte) (int, error)         { return 0, io.EOF }
func (c *cut) SetWriteDeadline(time.Time) error { return nil }
func (c *cut) SetReadDeadline(time.Time) error  { return nil }
func (c *cut) Close() error                     { return nil }

// TestShortWrite: what is recorded as sent is what was sent, masks included.
func TestShortWrite(t *testing.T) {
	tr, _ := open(t, Config{Header: func(survey.Host) []survey.Field { return []survey.Field{{Name: "X-Key", Value: "secret"}} }})
	for _, takes := range []int{0, 10, 180} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+name+"/", nil)
		tg, _ := targetOf(req.URL)
		nc := &cut{takes: takes}
		a := &attempt{t: tr, v: &Visit{}, req: req, tg: tg, c: &conn{tcp: nc, rw: nc}}
		f, err := a.do(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		e := a.seal(f)
		a.finish(false)
		if seen(e) != "http/connection_reset" || len(e.Request) != nc.got.Len() || strings.Contains(string(e.Request), "secret") {
			t.Errorf("%d taken: %s, recorded %q", takes, seen(e), e.Request)
		}
	}
}

// brittle is a spool file on a disk that breaks.
type brittle struct {
	file
	space       int64
	write, read error
}

func (b *brittle) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.space && b.write != nil {
		n, _ := b.file.WriteAt(p[:max(0, b.space-off)], off)
		return n, b.write
	}
	return b.file.WriteAt(p, off)
}

func (b *brittle) ReadAt(p []byte, off int64) (int, error) {
	if b.read != nil {
		return 0, b.read
	}
	return b.file.ReadAt(p, off)
}

// TestDisk: a full or broken disk is our own trouble, at every place where the spool touches it.
func TestDisk(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 3<<16) // 3 MB
	z := zipped(body)
	s := serve(t, nil, func(_ int, c *logged) {
		if strings.HasPrefix(c.request(), "GET /zip ") {
			c.say("HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Encoding: gzip\r\nContent-Length: " + fmt.Sprint(len(z)) + "\r\n\r\n" + z)
			return
		}
		c.say("HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body)
	})
	for _, tc := range []struct {
		name, path, want string
		create           func(dir string) (file, error)
	}{
		{"no file", "/", "body/local_resources", func(string) (file, error) {
			return nil, &os.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}
		}},
		{"full", "/", "body/local_resources", func(dir string) (file, error) {
			f, err := temporary(dir)
			return &brittle{f, 100000, syscall.ENOSPC, nil}, err
		}},
		{"EIO", "/", "body/local_resources", func(dir string) (file, error) {
			f, err := temporary(dir)
			return &brittle{f, 0, syscall.EIO, nil}, err
		}},
		{"full while unpacking", "/zip", "body/local_resources", func(dir string) (file, error) {
			f, err := temporary(dir)
			return &brittle{f, 100000, syscall.ENOSPC, nil}, err
		}},
		{"cannot be read back", "/", "content/ok", func(dir string) (file, error) {
			f, err := temporary(dir)
			return &brittle{f, 0, nil, syscall.EIO}, err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := &plain{}
			tr, _ := open(t, Config{ConnectTo: pinTo(s.addr), Recorder: rec, createFile: tc.create})
			_, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+tc.path)
			e := rec.e
			if seen(e) != tc.want || e.Outcome != survey.OK && e.Complete != (tc.path == "/zip") {
				t.Errorf("%s, complete %v, want %s: %v", seen(e), e.Complete, tc.want, err)
			}
			if tc.want == "content/ok" && !errors.Is(err, syscall.EIO) {
				t.Errorf("reading the body: %v", err)
			}
			if left, _ := os.ReadDir(tr.cfg.Dir); len(left) != 0 {
				t.Errorf("files left: %v", left)
			}
		})
	}
}

// plain is a Recorder that keeps the last exchange and reads nothing.
type plain struct{ e *survey.Exchange }

func (p *plain) Put(_ context.Context, e *survey.Exchange) (survey.Capture, error) {
	p.e = e
	return survey.Capture{}, nil
}

// TestCancelSink: the end of the run is felt while the Recorder waits too.
func TestCancelSink(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	tr, _ := open(t, Config{ConnectTo: pinTo(s.addr), Recorder: &box{wait: 5 * time.Second}})
	cause := errors.New("budget spent")
	var v *Visit
	took, err := cancelled(t, cause, func(ctx context.Context) error {
		v = &Visit{}
		_, _, err := get(ctx, tr, v, "GET", "http://"+name+"/")
		return err
	})
	var sink *SinkError
	var f *Failure
	if took > 100*time.Millisecond || errors.As(err, &sink) || !errors.As(err, &f) || f.Outcome != survey.Interrupted || !errors.Is(err, cause) {
		t.Errorf("after %v: %v", took, err)
	}
	if len(v.Records) != 1 || v.Records[0].Exchange.Outcome != survey.OK {
		t.Errorf("records %+v", v.Records)
	}
}

// TestBlockLists: an address of a list is named, and concludes nothing.
func TestBlockLists(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	server, _ := zone(t, func(q dns.Question) []string {
		if strings.HasPrefix(q.Name, "blocked.") {
			return []string{"60 IN A 127.0.0.66"}
		}
		return []string{"60 IN A 127.0.0.1"}
	})
	tr, b := open(t, Config{Guard: loopback, Vantage: survey.Vantage{Resolver: "udp://" + server}, BlockLists: []BlockList{
		{Name: "other", Prefixes: prefixes("192.0.2.0/24")}, {Name: "test list", Prefixes: prefixes("::1/128", "127.0.0.66/32")}}})
	for host, want := range map[string]string{"blocked.test": "known_block_address test list", "free.test": "ok "} {
		_, _, _ = get(t.Context(), tr, &Visit{Family: 4}, "GET", "http://"+host+":"+port(s.addr)+"/")
		e, _ := b.last()
		if l := e.Lookups[0]; string(l.Outcome)+" "+l.BlockList != want {
			t.Errorf("%s: %+v", host, l)
		}
	}
}

// TestNames: pictures and links are served from the answer had before, within its TTL; what decides asks anew.
func TestNames(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	server, asked := zone(t, func(q dns.Question) []string {
		if strings.HasPrefix(q.Name, "brief.") {
			return []string{"0 IN A 127.0.0.1"}
		}
		return []string{"60 IN A 127.0.0.1"}
	})
	now := time.Now()
	tr, b := open(t, Config{Guard: loopback, Vantage: survey.Vantage{Resolver: "udp://" + server}, Now: func() time.Time { return now }})
	for i, step := range []struct {
		host    string
		purpose survey.Purpose
		later   time.Duration
		want    int64 // questions so far
	}{
		{"a.test", survey.ForVerdict, 0, 2}, {"a.test", survey.ForLink, 0, 2}, {"a.test", survey.ForRequisite, time.Second, 2},
		{"a.test", survey.ForVerdict, 0, 4}, {"a.test", survey.ForLink, 59 * time.Second, 4}, {"a.test", survey.ForLink, 2 * time.Second, 6},
		{"brief.test", survey.ForLink, 0, 8}, {"brief.test", survey.ForLink, 0, 10},
	} {
		now = now.Add(step.later)
		before := asked.Load()
		_, _, err := get(t.Context(), tr, &Visit{Probe: survey.Probe{Purpose: step.purpose}}, "HEAD", "http://"+step.host+":"+port(s.addr)+"/")
		e, _ := b.last()
		if err != nil || asked.Load() != step.want {
			t.Errorf("step %d: %d questions, want %d; %v", i, asked.Load(), step.want, err)
		}
		for _, l := range e.Lookups {
			if cached := asked.Load() == before; l.Cached != cached || cached && (len(l.Raw) != 0 || l.MS != 0) {
				t.Errorf("step %d: %+v", i, l)
			}
		}
		tr.CloseIdle()
	}
	// The guard is asked about a kept address as about any other.
	tr.cfg.Guard = Guard{}
	_, _, _ = get(t.Context(), tr, &Visit{Probe: survey.Probe{Purpose: survey.ForLink}}, "HEAD", "http://a.test:"+port(s.addr)+"/")
	if e, _ := b.last(); seen(e) != "connect/guard_refused" {
		t.Error(seen(e))
	}
}

// TestOnion: RFC 7686. No resolver hears of an .onion name, in whatever letters; a SOCKS proxy may, an HTTP proxy when the
// operator named it.
func TestOnion(t *testing.T) {
	server, asked := zone(t, func(dns.Question) []string { return []string{"60 IN A 127.0.0.1"} })
	httpProxy := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	resolver := "udp://" + server
	pins := map[string]string{"pinned.test:80": "abc.onion:80"}
	for _, tc := range []struct {
		url  string
		v    survey.Vantage
		want string
	}{
		{"http://abc.onion/", survey.Vantage{Resolver: resolver}, "dns/onion_leak_refused"},
		{"http://WWW.abc.ONION./", survey.Vantage{Resolver: resolver}, "dns/onion_leak_refused"},
		{"http://abc.ｏｎｉｏｎ/", survey.Vantage{Resolver: resolver}, "dns/onion_leak_refused"},
		{"http://abc.onion../", survey.Vantage{Resolver: resolver}, "dns/onion_leak_refused"},
		{"http://abc。onion/", survey.Vantage{Resolver: resolver}, "dns/onion_leak_refused"},
		{"http://pinned.test/", survey.Vantage{Resolver: resolver}, "dns/onion_leak_refused"},
		{"http://127。0。0。1/", survey.Vantage{Resolver: resolver}, "connect/guard_refused"},
		{"http://abc.onion/", survey.Vantage{Resolver: resolver, Name: "env", Proxy: "http://" + httpProxy.addr}, "dns/onion_leak_refused"},
		{"http://abc.onion/", survey.Vantage{Resolver: resolver, Name: "tor", Proxy: "http://" + httpProxy.addr}, "content/ok"},
	} {
		tr, b := open(t, Config{Vantage: tc.v, ConnectTo: pins})
		_, _, err := get(t.Context(), tr, &Visit{}, "GET", tc.url)
		if e, _ := b.last(); seen(e) != tc.want {
			t.Errorf("%s by %s: %s, want %s: %v", tc.url, tc.v.Proxy, seen(e), tc.want, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d questions to the resolver", n)
	}
}

// TestIDN: a name in its own letters is one name: asked for, sent and verified in ASCII.
func TestIDN(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	tr, b := open(t, Config{ConnectTo: map[string]string{"xn--e1afmkfd.test:8080": s.addr}})
	_, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://пример.test:8080/")
	if e, _ := b.last(); err != nil || !strings.Contains(string(e.Request), "\r\nHost: xn--e1afmkfd.test:8080\r\n") {
		t.Errorf("%v, %q", err, e.Request)
	}
}
