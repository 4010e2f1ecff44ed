package wire

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"mirrorwatch/crawler/survey"
)

// nameserver answers by the first label of the name. It listens on UDP and TCP of one port, and over TLS when cfg is set.
func nameserver(t testing.TB, network string, cfg *tls.Config) string {
	t.Helper()
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		for _, m := range reply(q) {
			if w.RemoteAddr().Network() == "udp" {
				m.Truncate(1232)
			}
			_ = w.WriteMsg(m)
		}
	})
	srv := &dns.Server{Handler: h, Net: network}
	var err error
	addr := ""
	if network == "udp" {
		srv.PacketConn, err = net.ListenPacket("udp", "127.0.0.1:0")
		if err == nil {
			addr = srv.PacketConn.LocalAddr().String()
			tcp := &dns.Server{Handler: h, Net: "tcp"}
			if tcp.Listener, err = net.Listen("tcp", addr); err == nil {
				go func() { _ = tcp.ActivateAndServe() }()
				t.Cleanup(func() { _ = tcp.Shutdown() })
			}
		}
	} else {
		srv.Listener, err = net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			addr = srv.Listener.Addr().String()
			if cfg != nil {
				srv.Listener = tls.NewListener(srv.Listener, cfg)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(up) }
	go func() { _ = srv.ActivateAndServe() }()
	<-up
	t.Cleanup(func() { _ = srv.Shutdown() })
	return addr
}

func reply(q *dns.Msg) []*dns.Msg {
	m := new(dns.Msg).SetReply(q)
	question := q.Question[0]
	a := func(ip string) {
		if question.Qtype == dns.TypeA {
			rr, _ := dns.NewRR(question.Name + " 60 IN A " + ip)
			m.Answer = append(m.Answer, rr)
		}
	}
	switch label, _, _ := strings.Cut(question.Name, "."); label {
	case "nxdomain":
		m.Rcode = dns.RcodeNameError
	case "nodata":
	case "servfail":
		m.Rcode = dns.RcodeServerFailure
	case "refused":
		m.Rcode = dns.RcodeRefused
	case "silent":
		return nil
	case "wrongid":
		m.Id++
		a("127.0.0.1")
	case "bogon":
		a("10.1.2.3")
	case "metadata":
		a("169.254.169.254")
	case "filtered":
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeCensored, ExtraText: "by order"})
	case "twice":
		a("127.0.0.1")
		if len(m.Answer) == 0 {
			break
		}
		other := m.Copy()
		other.Answer[0] = &dns.A{Hdr: *m.Answer[0].Header(), A: net.IPv4(127, 0, 0, 2)}
		return []*dns.Msg{m, other}
	case "big":
		for i := range 200 {
			a(fmt.Sprintf("127.0.0.%d", i%250+1))
		}
	default:
		a("127.0.0.1")
	}
	return []*dns.Msg{m}
}

// TestTaxonomy: rows of classification.md 1.1 to 1.3, each a fault server, its stage, outcome and OONI's string.
func TestTaxonomy(t *testing.T) {
	ca := newAuthority(t)
	stranger := newAuthority(t)
	dnsAddr := nameserver(t, "udp", nil)
	now := time.Now()
	hang := func(_ int, c *logged) { _, _ = io.Copy(io.Discard, c.raw) }
	answer := func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") }
	withCert := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		// The near end of a connection: nobody listens there, and nobody else is given the port meanwhile.
		held, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = held.Close() })
		return held.LocalAddr().String()
	}
	resolver := survey.Vantage{Resolver: "udp://" + dnsAddr}
	private := Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	onTLS := func(cfg *tls.Config, f func(int, *logged)) Config {
		return Config{ConnectTo: pinTo(serve(t, cfg, f).addr), Roots: ca.pool}
	}
	onProxy := func(scheme string, f func(int, *logged)) Config {
		return Config{Vantage: survey.Vantage{Proxy: scheme + "://" + serve(t, nil, f).addr}}
	}
	socks := func(code byte) func(int, *logged) {
		return func(_ int, c *logged) {
			_, _ = io.ReadFull(c.r, make([]byte, 3))
			c.say("\x05\x00")
			head := make([]byte, 5)
			_, _ = io.ReadFull(c.r, head)
			_, _ = io.ReadFull(c.r, make([]byte, int(head[4])+2))
			_, _ = c.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
		}
	}
	for _, tc := range []struct {
		name, url, want, failure string
		cfg                      Config
	}{
		{"dns nxdomain", "http://nxdomain.test/", "dns/nxdomain", "dns_nxdomain_error", Config{Vantage: resolver}},
		{"dns no data", "http://nodata.test/", "dns/no_answer", "dns_no_answer", Config{Vantage: resolver}},
		{"dns servfail", "http://servfail.test/", "dns/servfail", "dns_servfail_error", Config{Vantage: resolver}},
		{"dns refused", "http://refused.test/", "dns/refused", "dns_refused_error", Config{Vantage: resolver}},
		{"dns timeout", "http://silent.test/", "dns/timeout", "generic_timeout_error", Config{Vantage: resolver}},
		{"dns wrong id", "http://wrongid.test/", "dns/wrong_id", "dns_reply_with_wrong_query_id", Config{Vantage: resolver}},
		{"dns filtered", "http://filtered.test/", "dns/filtered_ede", "", Config{Vantage: resolver}},
		{"dns server refuses", "http://a.test/", "dns/connection_refused", "connection_refused", Config{Vantage: survey.Vantage{Resolver: "tcp://" + free()}}},
		{"onion", "http://abc.onion/", "dns/onion_leak_refused", "", Config{Vantage: resolver}},
		{"bogus answer", "http://bogon.test/", "connect/guard_refused", "", Config{Vantage: resolver}},
		{"metadata stays closed", "http://metadata.test/", "connect/guard_refused", "", Config{Vantage: resolver, Guard: Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}},
		{"refused", "http://a.test:" + port(free()) + "/", "connect/connection_refused", "connection_refused", Config{Vantage: resolver, Guard: private}},
		{"expired", "https://" + name + "/", "tls/certificate_expired", "ssl_invalid_certificate", onTLS(withCert(ca.issue(t, name, now.Add(-3*time.Hour), now.Add(-2*time.Hour))), answer)},
		{"not yet valid", "https://" + name + "/", "tls/certificate_not_yet_valid", "ssl_invalid_certificate", onTLS(withCert(ca.issue(t, name, now.Add(2*time.Hour), now.Add(3*time.Hour))), answer)},
		{"wrong name", "https://" + name + "/", "tls/hostname_mismatch", "ssl_invalid_hostname", onTLS(withCert(ca.valid(t, "other.example.org")), answer)},
		{"unknown authority", "https://" + name + "/", "tls/unknown_authority", "ssl_unknown_authority", onTLS(withCert(stranger.valid(t, name)), answer)},
		{"alert", "https://" + name + "/", "tls/alert", "ssl_failed_handshake", onTLS(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, fmt.Errorf("none") }}, answer)},
		{"h2 only", "https://" + name + "/", "tls/h2_only", "ssl_failed_handshake", onTLS(&tls.Config{Certificates: []tls.Certificate{ca.valid(t, name)}, NextProtos: []string{"h3"}}, answer)},
		{"plain text on 443", "https://" + name + "/", "tls/plaintext_on_tls", "", onTLS(nil, func(_ int, c *logged) {
			c.say("HTTP/1.1 400 Bad Request\r\n\r\nplain")
			time.Sleep(80 * time.Millisecond)
		})},
		{"reset in handshake", "https://" + name + "/", "tls/connection_reset", "connection_reset", onTLS(nil, func(_ int, c *logged) { _, _ = c.r.Peek(1); c.reset() })},
		{"eof in handshake", "https://" + name + "/", "tls/eof", "eof_error", onTLS(nil, func(_ int, c *logged) {
			head := make([]byte, 5)
			_, _ = io.ReadFull(c.r, head)
			_, _ = io.ReadFull(c.r, make([]byte, binary.BigEndian.Uint16(head[3:])))
		})},
		{"timeout in handshake", "https://" + name + "/", "tls/timeout", "generic_timeout_error", onTLS(nil, hang)},
		{"reset after request", "https://" + name + "/", "http/connection_reset", "connection_reset", onTLS(withCert(ca.valid(t, name)), func(_ int, c *logged) { c.request(); c.reset() })},
		{"empty reply", "http://" + name + "/", "http/empty_reply", "eof_error", onTLS(nil, func(_ int, c *logged) { c.request() })},
		{"silent", "http://" + name + "/", "http/timeout", "generic_timeout_error", onTLS(nil, hang)},
		{"h2 unasked", "http://" + name + "/", "http/h2_only", "ssl_failed_handshake", onTLS(nil, func(_ int, c *logged) { c.request(); c.say("\x00\x00\x00\x04\x00\x00\x00\x00\x00"); hang(0, c) })},
		{"stall in body", "http://" + name + "/", "body/timeout", "generic_timeout_error", onTLS(nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 9\r\n\r\nhi"); hang(0, c) })},
		{"proxy unreachable", "https://" + name + "/", "proxy/proxy_unreachable", "", Config{Vantage: survey.Vantage{Proxy: "http://" + free()}}},
		{"connect 502", "https://" + name + "/", "proxy/proxy_connect_refused", "", onProxy("http", func(_ int, c *logged) { c.request(); c.say("HTTP/1.1 502 Bad Gateway\r\n\r\n") })},
		{"connect 407", "https://" + name + "/", "proxy/proxy_auth_required", "", onProxy("http", func(_ int, c *logged) { c.request(); c.say("HTTP/1.1 407 No\r\n\r\n") })},
		{"connect garbage", "https://" + name + "/", "proxy/proxy_malformed", "", onProxy("http", func(_ int, c *logged) { c.request(); c.say("SSH-2.0-x\r\n") })},
		{"connect slow", "https://" + name + "/", "proxy/timeout", "generic_timeout_error", onProxy("http", hang)},
		{"socks 1", "http://" + name + "/", "proxy/socks_server_failure", "socks_server_failure", onProxy("socks5", socks(1))},
		{"socks 2", "http://" + name + "/", "proxy/socks_connection_not_allowed", "socks_connection_not_allowed", onProxy("socks5", socks(2))},
		{"socks 3", "http://" + name + "/", "proxy/socks_network_unreachable", "socks_network_unreachable", onProxy("socks5", socks(3))},
		{"socks 4", "http://" + name + "/", "proxy/socks_host_unreachable", "socks_host_unreachable", onProxy("socks5", socks(4))},
		{"socks 5", "http://" + name + "/", "proxy/socks_connection_refused", "socks_connection_refused", onProxy("socks5", socks(5))},
		{"socks 6", "http://" + name + "/", "proxy/socks_ttl_expired", "socks_ttl_expired", onProxy("socks5", socks(6))},
		{"socks 7", "http://" + name + "/", "proxy/socks_command_not_supported", "socks_command_not_supported", onProxy("socks5", socks(7))},
		{"socks 8", "http://" + name + "/", "proxy/socks_address_not_supported", "socks_address_not_supported", onProxy("socks5", socks(8))},
		{"socks to loopback", "http://127.0.0.1/", "connect/guard_refused", "", onProxy("socks5", socks(0))},
		{"socks to localhost", "http://localhost/", "connect/guard_refused", "", onProxy("socks5", socks(0))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.cfg.Limits == (Limits{}) {
				tc.cfg.Limits = limitsFor(tc.want)
				if strings.Contains(tc.want, "wrong_id") {
					tc.cfg.Limits.DNS = short.DNS // silence is waited for
				}
			}
			tr, b := open(t, tc.cfg)
			_, _, err := get(t.Context(), tr, &Visit{Probe: survey.Probe{Purpose: survey.ForVerdict}}, "GET", tc.url)
			e, _ := b.last()
			if seen(e) != tc.want {
				t.Fatalf("%s, want %s; %v", seen(e), tc.want, err)
			}
			if tc.failure != "" && e.Failure != tc.failure || tc.failure == "" && e.Failure == "" {
				t.Errorf("failure %q, want %q", e.Failure, tc.failure)
			}
			if strings.HasPrefix(tc.want, "tls/certificate") || strings.Contains(tc.want, "hostname") || strings.Contains(tc.want, "authority") {
				if e.TLS == nil || len(e.TLS.Chain) == 0 || e.TLS.Verified || e.TLS.Problem == "" {
					t.Errorf("TLS %+v: want the chain and the problem", e.TLS)
				}
				if _, body, err := get(t.Context(), tr, &Visit{Insecure: true}, "GET", tc.url); err != nil || string(body) != "hi" {
					t.Errorf("insecure: %q, %v", body, err)
				}
				if e, _ := b.last(); e.TLS.Verified || e.Outcome != survey.OK {
					t.Errorf("insecure: %s, verified %v", seen(e), e.TLS.Verified)
				}
			}
			if strings.HasPrefix(tc.want, "dns/") && tc.name != "onion" && (len(e.Lookups) == 0 || e.Lookups[0].Server == "") {
				t.Errorf("lookups %+v", e.Lookups)
			}
		})
	}
}

func port(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

// TestResolvers: every engine gives the same addresses, DoT and DoH against servers of our own authority.
func TestResolvers(t *testing.T) {
	ca := newAuthority(t)
	web := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.valid(t, "dns.test")}}
	doh := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		q := new(dns.Msg)
		if q.Unpack(raw) != nil || r.URL.Path != "/dns-query" {
			w.WriteHeader(400)
			return
		}
		out, _ := reply(q)[0].Pack()
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write(out)
	}))
	doh.TLS = cfg.Clone()
	doh.EnableHTTP2 = true
	doh.StartTLS()
	t.Cleanup(doh.Close)
	udp := nameserver(t, "udp", nil)
	private := Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for engine, spec := range map[string]string{"udp": "udp://" + udp, "tcp": "tcp://" + udp, "dot": "tls://dns.test@" + nameserver(t, "tcp", cfg),
		"doh": "https://dns.test/dns-query@" + doh.Listener.Addr().String()} {
		t.Run(engine, func(t *testing.T) {
			tr, b := open(t, Config{Vantage: survey.Vantage{Resolver: spec}, Roots: ca.pool, Guard: private})
			for _, host := range []string{"ok.test", "big.test", "twice.test"} {
				_, body, err := get(t.Context(), tr, &Visit{Family: 4}, "GET", "http://"+host+":"+port(web.addr)+"/")
				e, _ := b.last()
				// The second answer is not waited for when the first was good: on a busy machine it may come too late.
				for try := 0; try < 20 && err == nil && host == "twice.test" && engine == "udp" && e.Lookups[0].Outcome == survey.OK; try++ {
					_, body, err = get(t.Context(), tr, &Visit{Family: 4}, "GET", "http://"+host+":"+port(web.addr)+"/")
					e, _ = b.last()
				}
				if host == "big.test" && engine != "udp" || err == nil && string(body) == "hi" {
					l := e.Lookups[0]
					if l.Engine != engine || l.Type != "A" || len(l.Answers) == 0 || len(l.Raw) == 0 || l.RCode != "NOERROR" {
						t.Errorf("%s: %+v", host, l)
					}
					if host == "twice.test" && engine == "udp" && l.Outcome != survey.Misbehaving {
						t.Errorf("a second, differing answer went unseen: %s", l.Outcome)
					}
					continue
				}
				t.Errorf("%s: %s: %v", host, seen(e), err)
			}
		})
	}
	for _, bad := range []string{"udp://name", "tls://x", "https://x/dns-query", "9.9.9.9", "gopher://1.1.1.1"} {
		if _, err := New(Config{Vantage: survey.Vantage{Resolver: bad}}); err == nil {
			t.Errorf("resolver %q: no error", bad)
		}
	}
}

// TestGuard: every spelling of a closed address is refused with no packet sent, and a permission is for its pair only.
func TestGuard(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	p := port(s.addr)
	tr, b := open(t, Config{ConnectTo: map[string]string{name + ":80": s.addr}})
	for _, host := range []string{"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "017700000001", "localhost", "a.localhost", "LOCALHOST.",
		"[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[::127.0.0.1]", "[::]", "0.0.0.0", "0", "10.0.0.1", "192.168.1.1", "172.16.0.1",
		"100.64.0.1", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[2002:7f00:1::]", "[fc00::1]", "224.0.0.1", "255.255.255.255", "127.0.0.1.", "1.2.3.4.5", "256.1.1.1"} {
		_, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+host+":"+p+"/")
		if e, _ := b.last(); e == nil || e.Outcome != survey.GuardRefused {
			t.Errorf("%s: %s, %v", host, seen(e), err)
		}
	}
	if _, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+":81/"); err == nil {
		t.Error("another port of a pinned name was reached")
	}
	if s.accepts() != 0 {
		t.Errorf("%d connections, want none", s.accepts())
	}
	if _, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/"); err != nil {
		t.Errorf("the pinned pair: %v", err)
	}
	if e, _ := b.last(); e.Peer != addrPort(s.addr) || e.URL != "http://"+name+"/" {
		t.Errorf("peer %s, URL %s", e.Peer, e.URL)
	}
	named, _ := open(t, Config{Guard: Guard{Permit: map[string]bool{"127.0.0.1:" + p: true}}})
	if _, _, err := get(t.Context(), named, &Visit{}, "GET", "http://127.0.0.1:"+p+"/"); err != nil {
		t.Errorf("a named pair: %v", err)
	}
	if _, _, err := get(t.Context(), named, &Visit{}, "GET", "http://localhost:"+p+"/"); err == nil {
		t.Error("permission leaked to another name of the address")
	}
}

// TestProxies: what goes through a proxy is recorded in clear, names go to the proxy, and Tor gets a user per article.
func TestProxies(t *testing.T) {
	ca := newAuthority(t)
	web := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.valid(t, name)}}, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	users := make(chan string, 4)
	relay := func(c *logged) {
		up, err := net.Dial("tcp", web.addr)
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(up, c.r); _ = up.Close() }()
		_, _ = io.Copy(c.Conn, up)
	}
	http1 := serve(t, nil, func(_ int, c *logged) {
		req := c.request()
		if strings.HasPrefix(req, "GET http://"+name+"/x HTTP/1.1\r\n") {
			c.say(okHead + "Content-Length: 2\r\n\r\nhi")
			return
		}
		c.say("HTTP/1.1 200 OK\r\n\r\n")
		relay(c)
	})
	socks := serve(t, nil, func(_ int, c *logged) {
		_, _ = io.ReadFull(c.r, make([]byte, 3))
		_, _ = c.Conn.Write([]byte{5, 2})
		head := make([]byte, 2)
		_, _ = io.ReadFull(c.r, head)
		user := make([]byte, int(head[1])+2)
		_, _ = io.ReadFull(c.r, user)
		users <- string(user[:head[1]])
		_, _ = c.Conn.Write([]byte{1, 0})
		ask := make([]byte, 5)
		_, _ = io.ReadFull(c.r, ask)
		host := make([]byte, int(ask[4])+2)
		_, _ = io.ReadFull(c.r, host)
		if string(host[:ask[4]]) != name {
			return
		}
		_, _ = c.Conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		relay(c)
	})
	for _, p := range []string{"http://u:p@" + http1.addr, "socks5://" + socks.addr + "?isolate=1"} {
		tr, b := open(t, Config{Vantage: survey.Vantage{Proxy: p}, Roots: ca.pool})
		for _, article := range []string{"a", "b"} {
			_, body, err := get(t.Context(), tr, &Visit{Probe: survey.Probe{Article: article}}, "GET", "https://"+name+"/")
			e, raw := b.last()
			if err != nil || string(body) != "hi" || !strings.HasPrefix(string(raw), "HTTP/1.1 200 OK") || !e.TLS.Verified || len(e.ProxyHead) == 0 || e.Via == "" || strings.Contains(e.Via, "u:p") {
				t.Errorf("%s: %q, %s, %v", p, body, seen(e), err)
			}
		}
		if strings.HasPrefix(p, "http") {
			_, body, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/x")
			if e, _ := b.last(); err != nil || string(body) != "hi" || strings.Join(e.Masked, "") != "Proxy-Authorization" {
				t.Errorf("plain http: %q, %v", body, err)
			}
		}
	}
	if a, b := <-users, <-users; a == b || !strings.HasPrefix(a, "mw-") {
		t.Errorf("SOCKS users %q and %q", a, b)
	}
}

// TestFamily: one family only, and a missing address of it is no answer.
func TestFamily(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 0\r\n\r\n") })
	tr, b := open(t, Config{ConnectTo: pinTo(s.addr)})
	if _, _, err := get(t.Context(), tr, &Visit{Family: 4}, "HEAD", "http://"+name+"/"); err != nil {
		t.Error(err)
	}
	_, _, _ = get(t.Context(), tr, &Visit{Family: 6}, "HEAD", "http://"+name+"/")
	if e, _ := b.last(); seen(e) != "dns/no_answer" {
		t.Error(seen(e))
	}
	bound, b := open(t, Config{ConnectTo: pinTo("[2001:4860::1]:80"), Vantage: survey.Vantage{Source: "127.0.0.1"}})
	_, _, _ = get(t.Context(), bound, &Visit{Family: 6}, "HEAD", "http://"+name+"/")
	if e, _ := b.last(); seen(e) != "connect/not_measured" || len(e.Tries) != 1 {
		t.Error(seen(e))
	}
}

// FuzzDNS: no message panics the reader.
func FuzzDNS(f *testing.F) {
	for _, label := range []string{"ok", "filtered", "nxdomain", "twice"} {
		q := new(dns.Msg).SetQuestion(label+".test.", dns.TypeA)
		q.Id = 7
		raw, _ := reply(q)[0].Pack()
		f.Add(raw)
	}
	q := new(dns.Msg).SetQuestion("ok.test.", dns.TypeA)
	q.Id = 7
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := survey.Lookup{Type: "A"}
		addrs, err := readAnswer(raw, q, &l)
		if l.Outcome == "" || (err == nil) != (len(addrs) > 0) {
			t.Fatalf("%v, %v, %+v", addrs, err, l)
		}
	})
}

// FuzzLiteral: whatever a host says, what is taken for an address is one, and loopback in any spelling is special.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"127.1", "0x7f.0.0.1", "[::1]", "1.2.3.4", "www.example.org", "0", "1.2.3.08", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok, err := literal(s)
		if ok && (!a.IsValid() || err != nil) {
			t.Fatal(s, a, err)
		}
		if ok && a.Unmap().IsLoopback() {
			if _, special := Special(a); !special {
				t.Fatal(s)
			}
		}
	})
}

// FuzzHost: a URL's host has one canonical spelling, which is stable, in ASCII where IDNA knows the name, and never one of the
// special names in disguise.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"WWW.Example.org.", "пример.рф:8080", "127。0。0。1", "abc.ｏｎｉｏｎ", "0x7f.1:80", "[::1]:443", "xn--e1afmkfd", "a_b.test", "ß.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			return
		}
		tg, err := targetOf(u)
		if err != nil {
			return
		}
		if again := hostName(tg.host); again != tg.host {
			t.Fatalf("%q: %q, then %q", host, tg.host, again)
		}
		if a, ok, _ := literal(tg.host); ok && a != tg.addr {
			t.Fatalf("%q: %q is an address and passes for a name", host, tg.host)
		}
		if ascii, err := idna.Lookup.ToASCII(tg.host); err == nil && (onion(ascii) != onion(tg.host) || local(ascii) != local(tg.host)) {
			t.Fatalf("%q: %q is asked for as %q", host, tg.host, ascii)
		}
	})
}
