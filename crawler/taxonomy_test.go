package crawler

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/miekg/dns"

	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

// A row of the taxonomy: how the mirror misbehaves, and what must be said of it. The evidence column says what the
// archive holds of it afterwards.
type taxonomyRow struct {
	class   string // section of classification.md
	name    string
	stage   survey.Stage
	outcome survey.Outcome
	failure string
	set     func(w *faultWorld)
}

// faultWorld is a testWorld whose mirror "m.example" is reached by name, through the world's own resolver.
type faultWorld struct {
	*testWorld
	answer func(m *dns.Msg, q dns.Question) // nil: 127.0.0.1
	mute   bool                             // the resolver does not answer
	port   string                           // of the mirror
	proxy  string
	parent string       // the name server that the zone above delegates the mirror to, or "gone"; "": nobody knows that zone
	asked  atomic.Int32 // questions to the zone above
}

const faultHost = "m.example"

// mirror runs a server on plain TCP and makes it the mirror.
func (w *faultWorld) mirror(f func(net.Conn)) {
	w.tcp(faultHost, f)
	_, w.port, _ = net.SplitHostPort(w.pins[faultHost+":443"])
	delete(w.pins, faultHost+":443")
}

func (w *faultWorld) secure(cert tls.Certificate, f func(net.Conn)) {
	w.mirror(func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if s.Handshake() == nil {
			f(s)
			_ = s.Close()
		}
	})
}

// says answers each request over good TLS with the octets.
func (w *faultWorld) says(answer string) {
	w.secure(w.certificate(faultHost, nil), func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, answer)
	})
}

func (w *faultWorld) startDNS() string {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, req *dns.Msg) {
		if w.mute {
			return
		}
		m := new(dns.Msg)
		m.SetReply(req)
		q := req.Question[0]
		switch {
		case q.Qtype == dns.TypeNS && w.parent != "":
			m.Answer = append(m.Answer, &dns.NS{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: parentServer + "."})
		case w.answer != nil:
			w.answer(m, q)
		case q.Qtype == dns.TypeA:
			m.Answer = append(m.Answer, a(q.Name, "127.0.0.1"))
		}
		_ = rw.WriteMsg(m)
	})}
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { _ = srv.ActivateAndServe() }()
	<-started
	w.t.Cleanup(func() { _ = srv.Shutdown() })
	return "udp://" + pc.LocalAddr().String()
}

const parentServer = "a.nic.example"

// startParent runs a server of the zone above the mirror, which delegates it to w.parent.
func (w *faultWorld) startParent() string {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg).SetReply(req)
		if w.asked.Add(1); w.parent == "gone" {
			m.Rcode, m.Authoritative = dns.RcodeNameError, true
		} else {
			m.Ns = append(m.Ns, &dns.NS{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: w.parent + "."})
		}
		_ = rw.WriteMsg(m)
	})}
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { _ = srv.ActivateAndServe() }()
	<-started
	w.t.Cleanup(func() { _ = srv.Shutdown() })
	return pc.LocalAddr().String()
}

func a(name, addr string) dns.RR {
	return &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(addr)}
}

func rcode(code int) func(*faultWorld) {
	return func(w *faultWorld) { w.answer = func(m *dns.Msg, _ dns.Question) { m.Rcode = code } }
}

// socks runs a SOCKS5 proxy that answers every CONNECT with the reply code.
func (w *faultWorld) socks(reply byte) {
	w.tcp("proxy.example", func(c net.Conn) {
		head := make([]byte, 2)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.ReadFull(c, make([]byte, head[1])); err != nil {
			return
		}
		_, _ = c.Write([]byte{5, 0})
		req := make([]byte, 5)
		if _, err := io.ReadFull(c, req); err != nil {
			return
		}
		_, _ = io.ReadFull(c, make([]byte, int(req[4])+2))
		_, _ = c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
	})
	w.proxy = "socks5://" + w.pins["proxy.example:443"]
	delete(w.pins, "proxy.example:443")
}

func (w *faultWorld) httpProxy(answer string) {
	w.tcp("proxy.example", func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, answer)
	})
	w.proxy = "http://" + w.pins["proxy.example:443"]
	delete(w.pins, "proxy.example:443")
}

func ok(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

var taxonomy = []taxonomyRow{
	{"1.1 dns", "NXDOMAIN", "dns", "nxdomain", "dns_nxdomain_error", rcode(dns.RcodeNameError)},
	{"1.1 dns", "no data", "dns", "no_answer", "dns_no_answer", rcode(dns.RcodeSuccess)},
	{"1.1 dns", "SERVFAIL", "dns", "servfail", "dns_servfail_error", rcode(dns.RcodeServerFailure)},
	{"1.1 dns", "REFUSED", "dns", "refused", "dns_refused_error", rcode(dns.RcodeRefused)},
	{"1.1 dns", "resolver is silent", "dns", "timeout", "generic_timeout_error", func(w *faultWorld) { w.mute = true }},
	{"1.1 dns", "wrong id", "dns", "wrong_id", "dns_reply_with_wrong_query_id", func(w *faultWorld) {
		w.answer = func(m *dns.Msg, q dns.Question) { m.Id++; m.Answer = append(m.Answer, a(q.Name, "127.0.0.1")) }
	}},
	// The answer is flagged, not concluded from: misconfigured sites exist. No packet goes there.
	{"1.1 dns", "bogus private address", "connect", "guard_refused", "unknown_failure", func(w *faultWorld) {
		w.answer = func(m *dns.Msg, q dns.Question) {
			if q.Qtype == dns.TypeA {
				m.Answer = append(m.Answer, a(q.Name, "10.10.34.34"))
			}
		}
	}},
	{"1.1 dns", "extended error: censored", "dns", "filtered_ede", "unknown_failure", func(w *faultWorld) {
		w.answer = func(m *dns.Msg, _ dns.Question) {
			m.Rcode = dns.RcodeNameError
			opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: 16, ExtraText: "by order"})
			m.Extra = append(m.Extra, opt)
		}
	}},
	// What the zone above says is a mark on its look-up; stage and outcome stay the visit's.
	{"1.1 dns", "registry hold", "dns", "nxdomain", "dns_nxdomain_error", func(w *faultWorld) {
		rcode(dns.RcodeNameError)(w)
		w.parent = "gone"
	}},
	{"1.1 dns", "seized name servers", "dns", "servfail", "dns_servfail_error", func(w *faultWorld) {
		rcode(dns.RcodeServerFailure)(w)
		w.parent = "ns1.fbi.seized.gov"
	}},
	{"1.1 dns", "sinkhole name servers", "dns", "nxdomain", "dns_nxdomain_error", func(w *faultWorld) {
		rcode(dns.RcodeNameError)(w)
		w.parent = "ns101a.microsoftinternetsafety.net"
	}},
	{"1.1 dns", "parked name servers", "content", "ok", "", func(w *faultWorld) {
		w.says(ok("<title>" + faultHost + "</title><p>The domain " + faultHost + " is for sale. Make an offer."))
		w.parent = "ns1.sedoparking.com"
	}},
	{"1.2 connect", "refused", "connect", "connection_refused", "connection_refused", func(w *faultWorld) {
		w.refuse(faultHost)
		_, w.port, _ = net.SplitHostPort(w.pins[faultHost+":443"])
		delete(w.pins, faultHost+":443")
	}},
	{"1.2 proxy", "SOCKS: general failure", "proxy", "socks_server_failure", "socks_server_failure", func(w *faultWorld) { w.socks(1) }},
	{"1.2 proxy", "SOCKS: not allowed", "proxy", "socks_connection_not_allowed", "socks_connection_not_allowed", func(w *faultWorld) { w.socks(2) }},
	{"1.2 proxy", "SOCKS: network unreachable", "proxy", "socks_network_unreachable", "socks_network_unreachable", func(w *faultWorld) { w.socks(3) }},
	{"1.2 proxy", "SOCKS: host unreachable", "proxy", "socks_host_unreachable", "socks_host_unreachable", func(w *faultWorld) { w.socks(4) }},
	{"1.2 proxy", "SOCKS: refused", "proxy", "socks_connection_refused", "socks_connection_refused", func(w *faultWorld) { w.socks(5) }},
	{"1.2 proxy", "SOCKS: TTL expired", "proxy", "socks_ttl_expired", "socks_ttl_expired", func(w *faultWorld) { w.socks(6) }},
	{"1.2 proxy", "SOCKS: command", "proxy", "socks_command_not_supported", "socks_command_not_supported", func(w *faultWorld) { w.socks(7) }},
	{"1.2 proxy", "SOCKS: address type", "proxy", "socks_address_not_supported", "socks_address_not_supported", func(w *faultWorld) { w.socks(8) }},
	{"1.2 proxy", "CONNECT answered 502", "proxy", "proxy_connect_refused", "unknown_failure", func(w *faultWorld) { w.httpProxy("HTTP/1.1 502 Bad Gateway\r\n\r\n") }},
	{"1.2 proxy", "CONNECT answered 407", "proxy", "proxy_auth_required", "unknown_failure", func(w *faultWorld) { w.httpProxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") }},
	{"1.2 proxy", "proxy is not there", "proxy", "proxy_unreachable", "unknown_failure", func(w *faultWorld) {
		w.refuse("proxy.example")
		w.proxy = "http://" + w.pins["proxy.example:443"]
	}},
	{"1.3 tls", "certificate for another name", "tls", "hostname_mismatch", "ssl_invalid_hostname", func(w *faultWorld) {
		w.secure(w.certificate("other.example", nil), func(c net.Conn) { readHead(c); _, _ = io.WriteString(c, ok("<p>x")) })
	}},
	{"1.3 tls", "unknown authority", "tls", "unknown_authority", "ssl_unknown_authority", func(w *faultWorld) {
		other := newWorld(w.t)
		w.secure(other.certificate(faultHost, nil), func(c net.Conn) { readHead(c); _, _ = io.WriteString(c, ok("<p>x")) })
	}},
	{"1.3 tls", "expired", "tls", "certificate_expired", "ssl_invalid_certificate", func(w *faultWorld) {
		w.secure(w.certificate(faultHost, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), func(c net.Conn) { readHead(c) })
	}},
	{"1.3 tls", "not yet valid", "tls", "certificate_not_yet_valid", "ssl_invalid_certificate", func(w *faultWorld) {
		w.secure(w.certificate(faultHost, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), func(c net.Conn) { readHead(c) })
	}},
	{"1.3 tls", "alert", "tls", "alert", "ssl_failed_handshake", func(w *faultWorld) {
		w.mirror(func(c net.Conn) { readHello(c); _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) })
	}},
	{"1.3 tls", "h2 only", "tls", "h2_only", "ssl_failed_handshake", func(w *faultWorld) {
		w.mirror(func(c net.Conn) { readHello(c); _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 120}) })
	}},
	{"1.3 tls", "plain HTTP on the TLS port", "tls", "plaintext_on_tls", "unknown_failure", func(w *faultWorld) {
		w.mirror(func(c net.Conn) {
			readHello(c)
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://block.example/\r\n\r\n")
		})
	}},
	{"1.3 tls", "reset", "tls", "connection_reset", "connection_reset", func(w *faultWorld) {
		w.mirror(func(c net.Conn) { readHello(c); _ = c.(*net.TCPConn).SetLinger(0) })
	}},
	{"1.3 tls", "end of file", "tls", "eof", "eof_error", func(w *faultWorld) { w.mirror(func(c net.Conn) { readHello(c) }) }},
	{"1.3 tls", "silence", "tls", "timeout", "generic_timeout_error", func(w *faultWorld) {
		w.mirror(func(c net.Conn) { readHello(c); _, _ = io.Copy(io.Discard, c) })
	}},
	{"1.4 http", "no answer", "http", "empty_reply", "eof_error", func(w *faultWorld) { w.says("") }},
	{"1.4 http", "reset", "http", "connection_reset", "connection_reset", func(w *faultWorld) {
		w.secureReset()
	}},
	{"1.4 http", "malformed", "http", "malformed", "unknown_failure", func(w *faultWorld) { w.says("SSH-2.0-OpenSSH_9.2\r\n") }},
	{"1.4 http", "head cut off", "http", "head_truncated", "eof_error", func(w *faultWorld) { w.says("HTTP/1.1 200 OK\r\nContent-Ty") }},
	{"1.4 http", "silence", "http", "timeout", "generic_timeout_error", func(w *faultWorld) {
		w.secure(w.certificate(faultHost, nil), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	}},
	{"1.4 http", "endless head", "http", "head_too_big", "unknown_failure", func(w *faultWorld) {
		w.says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 990)+"\r\n", 400))
	}},
	{"1.4 http", "403", "http", "status_403", "", func(w *faultWorld) { w.says("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno") }},
	{"1.4 http", "404", "http", "status_404", "", func(w *faultWorld) { w.says("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno") }},
	{"1.4 http", "410", "http", "status_410", "", func(w *faultWorld) { w.says("HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\nno") }},
	{"1.4 http", "429", "http", "rate_limited", "", func(w *faultWorld) {
		w.says("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
	}},
	{"1.4 http", "451", "http", "status_451", "", func(w *faultWorld) {
		w.says("HTTP/1.1 451 Unavailable For Legal Reasons\r\nLink: <https://isp.example/>; rel=\"blocked-by\"\r\nContent-Length: 2\r\n\r\nno")
	}},
	{"1.4 http", "503 with Retry-After", "http", "status_503", "", func(w *faultWorld) {
		w.says("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
	}},
	{"1.4 http", "redirect loop", "http", "redirect_loop", "unknown_failure", func(w *faultWorld) {
		w.says("HTTP/1.1 302 Found\r\nLocation: " + articlePath + "\r\nContent-Length: 0\r\n\r\n")
	}},
	{"1.4 http", "too many redirects", "http", "too_many_redirects", "unknown_failure", func(w *faultWorld) {
		var mu sync.Mutex
		n := 0
		w.secure(w.certificate(faultHost, nil), func(c net.Conn) {
			readHead(c)
			mu.Lock()
			n++
			fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n", n)
			mu.Unlock()
		})
	}},
	{"1.4 http", "302 without Location", "http", "bad_location", "http_invalid_redirect_location_host", func(w *faultWorld) { w.says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n") }},
	{"1.4 http", "Location without a host", "http", "bad_location", "http_invalid_redirect_location_host", func(w *faultWorld) {
		w.says("HTTP/1.1 302 Found\r\nLocation: http://\r\nContent-Length: 0\r\n\r\n")
	}},
	{"1.4 http", "redirect to a private service", "connect", "guard_refused", "unknown_failure", func(w *faultWorld) {
		w.says("HTTP/1.1 302 Found\r\nLocation: http://192.168.0.1:6379/\r\nContent-Length: 0\r\n\r\n")
	}},
	{"1.5 body", "shorter than Content-Length", "body", "body_truncated_transport", "eof_error", func(w *faultWorld) {
		w.says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n<p>cut")
	}},
	{"1.5 body", "last chunk missing", "body", "body_truncated_transport", "eof_error", func(w *faultWorld) {
		w.says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<p>cut\r\n")
	}},
	{"1.5 body", "broken gzip", "body", "decode_error", "unknown_failure", func(w *faultWorld) {
		z := gzipped("<p>" + strings.Repeat("these are words ", 100))
		z[len(z)/2] ^= 0xff
		w.says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(len(z)) + "\r\n\r\n" + string(z))
	}},
	{"1.5 body", "decompression bomb", "body", "decoded_limit", "unknown_failure", func(w *faultWorld) {
		z := gzipped(strings.Repeat(strings.Repeat("0", 1<<20), 20))
		w.says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(len(z)) + "\r\n\r\n" + string(z))
	}},
	{"1.5 body", "longer than our cap", "body", "body_truncated_limit", "unknown_failure", func(w *faultWorld) {
		w.says(ok("<p>" + strings.Repeat("x", 5<<20)))
	}},
	{"1.5 body", "empty", "body", "body_empty", "unknown_failure", func(w *faultWorld) { w.says(ok("")) }},
	{"1.5 body", "not HTML", "content", "not_html", "unknown_failure", func(w *faultWorld) {
		w.says("HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: 8\r\n\r\n%PDF-1.7")
	}},
	{"1.5 body", "a page", "content", "ok", "", func(w *faultWorld) { w.says(ok(articlePage(faultHost))) }},
}

func (w *faultWorld) secureReset() {
	cert := w.certificate(faultHost, nil)
	w.mirror(func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if s.Handshake() == nil {
			readHead(s)
			_ = c.(*net.TCPConn).SetLinger(0)
		}
	})
}

func readHello(c net.Conn) {
	r := bufio.NewReader(c)
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err == nil {
		_, _ = io.ReadFull(r, make([]byte, int(head[3])<<8|int(head[4])))
	}
}

// marks are what the zone above said, by row.
var marks = map[string]survey.Outcome{"registry hold": survey.RegistryHold, "seized name servers": survey.SeizedNS,
	"sinkhole name servers": survey.SinkholeNS, "parked name servers": survey.ParkedNS}

// TestTaxonomy makes a mirror fail in every way of the closed list and prints, row by row, what was expected, what was
// seen, and what the archive keeps of it: go test -v -run TestTaxonomy ./crawler
func TestTaxonomy(t *testing.T) {
	type line struct{ seen, failure, evidence, verdict string }
	lines := make([]line, len(taxonomy))
	t.Run("rows", func(t *testing.T) {
		for i, row := range taxonomy {
			t.Run(row.class+" "+row.name, func(t *testing.T) {
				t.Parallel()
				w := &faultWorld{testWorld: newWorld(t)}
				row.set(w)
				f := w.look()
				seen := ""
				if f.Failure != nil {
					seen = *f.Failure
				}
				lines[i] = line{string(f.Stage) + "/" + string(f.Outcome), seen, w.evidence(), string(f.Verdict.Verdict)}
				if f.Stage != row.stage || f.Outcome != row.outcome {
					t.Errorf("got %s/%s (%s), want %s/%s", f.Stage, f.Outcome, w.lastError(), row.stage, row.outcome)
				}
				if row.failure == "unknown_failure" && !strings.HasPrefix(seen, "unknown_failure: ") || row.failure != "unknown_failure" && seen != row.failure {
					t.Errorf("failure %q, want %q", seen, row.failure)
				}
				if len(w.exchange) == 0 {
					t.Error("nothing was kept")
				}
				if mark := marks[row.name]; mark != "" && !slices.ContainsFunc(f.DNS, func(l survey.Lookup) bool { return l.Outcome == mark && l.Engine == "parent" }) {
					t.Errorf("no look-up is marked %s: %+v", mark, f.DNS)
				}
				if row.name == "bogus private address" && !slices.ContainsFunc(f.DNS, func(l survey.Lookup) bool { return l.Outcome == survey.Bogon }) {
					t.Errorf("no look-up is flagged as bogon: %+v", f.DNS)
				}
			})
		}
	})
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "SECTION\tROW\tEXPECTED\tSEEN\tFAILURE\tEVIDENCE KEPT\tVERDICT")
	for i, row := range taxonomy {
		l := lines[i]
		fmt.Fprintf(tw, "%s\t%s\t%s/%s\t%s\t%s\t%s\t%s\n", row.class, row.name, row.stage, row.outcome, l.seen, l.failure, l.evidence, l.verdict)
	}
	_ = tw.Flush()
	t.Log("\n" + b.String())
}

// look checks the mirror alone.
func (w *faultWorld) look() survey.Finding {
	w.t.Helper()
	host := faultHost
	if w.port != "" {
		host += ":" + w.port
	}
	return finding(w.t, w.run(w.faultPlan(host)), host)
}

// faultPlan is a plan of the host alone, seen through the world's resolver.
func (w *faultWorld) faultPlan(host string) Plan {
	plan := w.plan(host)
	sp := &plan.Sites[0]
	vantage := survey.Vantage{Name: "direct", Resolver: w.startDNS(), Proxy: w.proxy}
	sp.Vantages = []survey.Vantage{vantage}
	var pins map[string]string
	if w.parent != "" {
		pins = map[string]string{parentServer + ":53": w.startParent()}
	}
	sp.Transport = func(v survey.Vantage) (http.RoundTripper, error) {
		return wire.New(wire.Config{Vantage: v, Roots: w.roots, UserAgent: "test", Recorder: w, ConnectTo: pins,
			Guard: wire.Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
			Limits: wire.Limits{DNS: 300 * time.Millisecond, FirstByte: 300 * time.Millisecond, Connect: 300 * time.Millisecond, TLS: 300 * time.Millisecond,
				Stall: 300 * time.Millisecond, Proxy: 300 * time.Millisecond, Drain: 100 * time.Millisecond, Linger: 30 * time.Millisecond, Wire: 4 << 20, Decoded: 8 << 20}})
	}
	return plan
}

// evidence says in a few words what was kept of the first exchange that tells.
func (w *faultWorld) evidence() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []string
	var dnsAnswers, upward, tries, chain, request, response int
	mark := ""
	for _, e := range w.exchange {
		if e.Probe.Purpose == survey.ForDelegation {
			for _, l := range e.Lookups {
				upward += len(l.Raw)
				if l.Engine == "parent" {
					mark = " (" + string(l.Outcome) + ")"
				}
			}
		}
		if e.Probe.Purpose != survey.ForVerdict {
			continue
		}
		for _, l := range e.Lookups {
			dnsAnswers += len(l.Raw)
		}
		tries += len(e.Tries)
		if e.TLS != nil {
			chain = max(chain, len(e.TLS.Chain))
		}
		request = max(request, len(e.Request))
		if e.Response != nil {
			response = max(response, int(e.FramedEnd))
		}
	}
	for _, p := range []struct {
		n    int
		what string
	}{{dnsAnswers, "DNS messages"}, {upward, "of the delegation" + mark}, {tries, "tries"}, {chain, "certificates"}, {request, "request octets"}, {response, "response octets"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "exchange record"
	}
	return strings.Join(parts, ", ")
}

func (w *faultWorld) lastError() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.exchange) == 0 {
		return ""
	}
	return w.exchange[len(w.exchange)-1].Err
}
