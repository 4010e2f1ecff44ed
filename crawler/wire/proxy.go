package wire

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// maxProxyHead bounds a proxy's answer to CONNECT.
const maxProxyHead = 64 << 10

// proxy is the operator's proxy. It resolves the names, and its trouble is never the mirror's: stage proxy.
type proxy struct {
	scheme  string // http, https, socks5
	host    string
	port    string
	user    *url.Userinfo
	isolate bool // a SOCKS user per article: Tor then takes a circuit of its own for each
}

func parseProxy(s string) (*proxy, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("proxy: not a URL") // the text may hold a password
	}
	p := &proxy{scheme: strings.ToLower(u.Scheme), host: u.Hostname(), port: u.Port(), user: u.User}
	def := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[p.scheme]
	if def == "" || p.host == "" {
		return nil, fmt.Errorf("proxy %s: want http://host:port, https://host:port or socks5://host:port", u.Redacted())
	}
	if p.scheme == "socks5h" {
		p.scheme = "socks5"
	}
	if p.port == "" {
		p.port = def
	}
	tor := p.port == "9050" || p.port == "9150"
	p.isolate = p.scheme == "socks5" && p.user == nil && (tor || u.Query().Get("isolate") == "1")
	return p, nil
}

func (p *proxy) via() string { return p.scheme + "://" + net.JoinHostPort(p.host, p.port) }

func (p *proxy) credentials(v *Visit) (user, password string, ok bool) {
	if p.user != nil {
		password, _ = p.user.Password()
		return p.user.Username(), password, true
	}
	if p.isolate {
		what := v.Probe.Article
		if what == "" {
			what = v.Probe.ID
		}
		sum := sha256.Sum256([]byte(string(v.Probe.Run) + "\n" + what + "\n" + string(v.Probe.Mirror)))
		return "mw-" + hex.EncodeToString(sum[:8]), "0", true
	}
	return "", "", false
}

func (p *proxy) basic(v *Visit) string {
	user, password, ok := p.credentials(v)
	if !ok {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// connect brings up a way to a target through the proxy. Addresses and names that are special are refused: the guard cannot
// see what the proxy resolves, so it looks at what is asked for.
func (p *proxy) connect(ctx context.Context, t *Transport, v *Visit, tg, to target, c *conn) error {
	c.via = p.via()
	if to.addr.IsValid() {
		if err := t.check(tg, to.addr); err != nil {
			return fail(survey.StageConnect, survey.GuardRefused, err)
		}
	} else if local(to.host) && !t.permitted(tg) {
		return fail(survey.StageConnect, survey.GuardRefused, fmt.Errorf("%w: %q names this machine or its network", ErrGuard, to.host))
	}
	start := time.Now()
	defer func() { c.timing.Connect = survey.Millis(time.Since(start)) }()
	nc, err := t.source.dialHost(ctx, p.host, p.port, t.limits.Connect)
	if err != nil {
		if f := failed(ctx, survey.StageProxy, err); ctx.Err() != nil || f.Outcome == survey.LocalResources {
			return f
		}
		return fail(survey.StageProxy, survey.ProxyUnreachable, err)
	}
	c.tcp, c.rw = nc, nc
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	_ = nc.SetDeadline(time.Now().Add(t.limits.Proxy))
	err = p.tunnel(ctx, t, v, tg, to, c)
	if err != nil {
		c.close()
		return failed(ctx, survey.StageProxy, err)
	}
	_ = nc.SetDeadline(time.Time{})
	return nil
}

func (p *proxy) tunnel(ctx context.Context, t *Transport, v *Visit, tg, to target, c *conn) error {
	if p.scheme == "https" {
		tc := tls.Client(c.rw, &tls.Config{ServerName: p.host, RootCAs: t.cfg.Roots, Time: t.now, NextProtos: []string{"http/1.1"}})
		if err := tc.HandshakeContext(ctx); err != nil {
			return fail(survey.StageProxy, survey.ProxyUnreachable, err)
		}
		c.rw = tc
	}
	switch {
	case p.scheme == "socks5":
		return p.socks(v, to, c)
	case tg.scheme == "http":
		c.plain, c.auth = true, p.basic(v)
		return nil
	}
	return p.httpConnect(v, to, c)
}

// httpConnect asks for a tunnel. The answer is read octet by octet, so that none of the tunnel's is taken.
func (p *proxy) httpConnect(v *Visit, to target, c *conn) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", to.key(), to.key())
	if auth := p.basic(v); auth != "" {
		b.WriteString("Proxy-Authorization: " + auth + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(c.rw, b.String()); err != nil {
		return err
	}
	head := make([]byte, 0, 256)
	var one [1]byte
	for next, end := 0, -1; end < 0; {
		if _, err := io.ReadFull(c.rw, one[:]); err != nil {
			c.proxyHead = head
			return err
		}
		head = append(head, one[0])
		if end, next = message.ScanHead(head, next); end < 0 && len(head) >= maxProxyHead {
			c.proxyHead = head
			return fail(survey.StageProxy, survey.ProxyMalformed, errors.New("answer to CONNECT does not end"))
		}
		if one[0] == '\n' {
			if _, err := message.ParseHead(head); err != nil && len(strings.TrimSpace(string(head))) > 0 {
				c.proxyHead = head
				return fail(survey.StageProxy, survey.ProxyMalformed, err)
			}
		}
	}
	c.proxyHead = head
	h, err := message.ParseHead(head)
	switch {
	case err != nil:
		return fail(survey.StageProxy, survey.ProxyMalformed, err)
	case h.Status == 407:
		return fail(survey.StageProxy, survey.ProxyAuthRequired, errors.New("proxy asks for credentials"))
	case h.Status/100 != 2:
		return fail(survey.StageProxy, survey.ProxyRefusedConnect, fmt.Errorf("proxy answered CONNECT with %d %s", h.Status, h.Reason))
	}
	return nil
}

// socksReplies are the failures of RFC 1928 section 6, by code.
var socksReplies = [...]survey.Outcome{1: survey.SocksServerFailure, 2: survey.SocksNotAllowed, 3: survey.SocksNetworkUnreachable,
	4: survey.SocksHostUnreachable, 5: survey.SocksConnectionRefused, 6: survey.SocksTTLExpired, 7: survey.SocksCommandNotSupported,
	8: survey.SocksAddressNotSupported}

// socks is the client side of RFC 1928 and, for credentials, RFC 1929. Names go to the proxy as names.
func (p *proxy) socks(v *Visit, to target, c *conn) error {
	user, password, auth := p.credentials(v)
	hello := []byte{5, 1, 0}
	if auth {
		hello = []byte{5, 2, 0, 2}
		if p.isolate {
			hello = []byte{5, 1, 2} // without a user there is no isolation
		}
	}
	if len(user) > 255 || len(password) > 255 || len(to.host) > 255 {
		return fail(survey.StageProxy, survey.ProxyMalformed, errors.New("name or credentials too long for SOCKS"))
	}
	port, err := strconv.ParseUint(to.port, 10, 16)
	if err != nil {
		return fail(survey.StageProxy, survey.ProxyMalformed, fmt.Errorf("port %q", to.port))
	}
	read := func(n int) ([]byte, error) {
		b := make([]byte, n)
		k, err := io.ReadFull(c.rw, b)
		c.proxyHead = append(c.proxyHead, b[:k]...)
		return b, err
	}
	if _, err := c.rw.Write(hello); err != nil {
		return err
	}
	b, err := read(2)
	if err != nil {
		return err
	}
	malformed := func(what string) error {
		return fail(survey.StageProxy, survey.ProxyMalformed, fmt.Errorf("%s %q", what, c.proxyHead))
	}
	switch {
	case b[0] != 5:
		return malformed("not SOCKS5:")
	case b[1] == 2 && auth:
		msg := append([]byte{1, byte(len(user))}, user...)
		msg = append(append(msg, byte(len(password))), password...)
		if _, err := c.rw.Write(msg); err != nil {
			return err
		}
		if b, err = read(2); err != nil {
			return err
		}
		if b[1] != 0 {
			return fail(survey.StageProxy, survey.ProxyAuthRequired, errors.New("proxy refused the credentials"))
		}
	case b[1] == 0:
	default:
		return fail(survey.StageProxy, survey.ProxyAuthRequired, fmt.Errorf("proxy offers no usable method (%d)", b[1]))
	}
	msg := []byte{5, 1, 0}
	switch {
	case to.addr.Is4():
		a := to.addr.As4()
		msg = append(append(msg, 1), a[:]...)
	case to.addr.IsValid():
		a := to.addr.As16()
		msg = append(append(msg, 4), a[:]...)
	default:
		msg = append(append(msg, 3, byte(len(to.host))), to.host...)
	}
	msg = binary.BigEndian.AppendUint16(msg, uint16(port))
	if _, err := c.rw.Write(msg); err != nil {
		return err
	}
	if b, err = read(4); err != nil {
		return err
	}
	switch code := int(b[1]); {
	case b[0] != 5:
		return malformed("answer is not SOCKS5:")
	case code == 0:
	case code < len(socksReplies):
		return fail(survey.StageProxy, socksReplies[code], fmt.Errorf("SOCKS reply %d", code))
	default:
		return fail(survey.StageProxy, survey.SocksServerFailure, fmt.Errorf("SOCKS reply %d", code))
	}
	n := 0
	switch b[3] {
	case 1:
		n = 4
	case 4:
		n = 16
	case 3:
		l, err := read(1)
		if err != nil {
			return err
		}
		n = int(l[0])
	default:
		return malformed("unknown address type in")
	}
	_, err = read(n + 2)
	return err
}

// local reports names that lead to this machine or its network whoever resolves them (RFC 6761, 6762, 9476 and use).
func local(host string) bool {
	for _, suffix := range []string{"localhost", "local", "internal", "localdomain", "home.arpa", "intranet", "lan"} {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return true
		}
	}
	return !strings.Contains(host, ".")
}

// asksOnion reports whether .onion names may be asked for at all. A SOCKS proxy gets the name as it is; an HTTP proxy too, but
// only one that the operator named: what the environment configures (the vantage "env") is as a rule a company's, and would
// put the name into its resolver and its log (RFC 7686 section 2).
func (t *Transport) asksOnion() bool {
	return t.proxy != nil && (t.proxy.scheme == "socks5" || t.cfg.Vantage.Name != "env")
}

func onion(host string) bool { return host == "onion" || strings.HasSuffix(host, ".onion") }
