package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mirrorwatch/crawler/survey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a test certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	a := &authority{cert, key, x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func (a *authority) issue(t testing.TB, name string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(name); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) valid(t testing.TB, name string) tls.Certificate {
	return a.issue(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// logged is a connection that keeps what passed: the server's own log, above TLS.
type logged struct {
	net.Conn
	r       *bufio.Reader
	raw     net.Conn
	in, out syncBuffer
}

// syncBuffer is a bytes.Buffer that the test may read while the server still writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) WriteString(p string) { _, _ = s.Write([]byte(p)) }
func (s *syncBuffer) Reset()               { s.mu.Lock(); defer s.mu.Unlock(); s.b.Reset() }
func (s *syncBuffer) String() string       { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func (l *logged) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	l.out.Write(p[:n])
	return n, err
}

func (l *logged) say(s string) { _, _ = io.WriteString(l, s) }

// request reads one request head, "" at the end of the connection.
func (l *logged) request() string {
	var b strings.Builder
	for {
		line, err := l.r.ReadString('\n')
		b.WriteString(line)
		l.in.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

func (l *logged) reset() {
	if tc, ok := l.raw.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = l.raw.Close()
}

// server accepts connections and hands each to serve with its number.
type server struct {
	addr  string
	mu    sync.Mutex
	conns []*logged
}

func (s *server) accepts() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) }

func serve(t testing.TB, cfg *tls.Config, f func(n int, c *logged)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			l := &logged{Conn: raw, raw: raw}
			if cfg != nil {
				l.Conn = tls.Server(raw, cfg)
			}
			l.r = bufio.NewReader(l.Conn)
			s.mu.Lock()
			s.conns = append(s.conns, l)
			n := len(s.conns)
			s.mu.Unlock()
			wg.Go(func() { defer l.Conn.Close(); f(n, l) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.raw.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

// box is a Recorder that keeps copies.
type box struct {
	mu   sync.Mutex
	got  []*survey.Exchange
	body [][]byte
	err  error
	wait time.Duration
}

func (b *box) Put(ctx context.Context, e *survey.Exchange) (survey.Capture, error) {
	var raw []byte
	if e.Response != nil {
		raw, _ = io.ReadAll(io.NewSectionReader(e.Response, 0, e.Response.Size()))
	}
	if b.wait > 0 {
		select {
		case <-time.After(b.wait):
		case <-ctx.Done():
			return survey.Capture{}, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got, b.body = append(b.got, e), append(b.body, raw)
	return survey.Capture{RecordID: e.ID, URL: e.URL}, b.err
}

func (b *box) last() (*survey.Exchange, []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) == 0 {
		return nil, nil
	}
	return b.got[len(b.got)-1], b.body[len(b.body)-1]
}

const name = "www.example.org"

// short are limits for tests.
var short = Limits{DNS: 300 * time.Millisecond, Connect: 300 * time.Millisecond, TLS: 300 * time.Millisecond, Proxy: 300 * time.Millisecond,
	FirstByte: 300 * time.Millisecond, Stall: 200 * time.Millisecond, Drain: 100 * time.Millisecond, Linger: 50 * time.Millisecond}

// limitsFor are short where a time-out is what the test waits for; else a busy machine must not make one.
func limitsFor(want string) Limits {
	l := short
	if !strings.Contains(want, "timeout") {
		l.DNS, l.Connect, l.TLS, l.Proxy, l.FirstByte, l.Stall = 5*time.Second, 5*time.Second, 5*time.Second, 5*time.Second, 5*time.Second, 5*time.Second
	}
	return l
}

func open(t testing.TB, cfg Config) (*Transport, *box) {
	t.Helper()
	b := &box{}
	if cfg.Recorder == nil {
		cfg.Recorder = b
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = limitsFor("")
	}
	cfg.Dir = t.TempDir()
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr, b
}

// pinTo pins http and https of name to addr.
func pinTo(addr string) map[string]string {
	return map[string]string{name + ":80": addr, name + ":443": addr}
}

func get(ctx context.Context, tr *Transport, v *Visit, method, url string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(WithVisit(ctx, v), method, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp, body, err
}

func seen(e *survey.Exchange) string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s/%s", e.Stage, e.Outcome)
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
