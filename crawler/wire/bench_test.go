package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"mirrorwatch/crawler/survey"
)

// benchServer serves a page of 30 KB over TLS, as net/http's own server does.
func benchServer(b *testing.B) (*httptest.Server, *authority) {
	ca := newAuthority(b)
	page := bytes.Repeat([]byte("<p>The talks went on through the night, said those who were there.</p>\n"), 430)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.valid(b, name)}, NextProtos: []string{"http/1.1"}}
	s.StartTLS()
	b.Cleanup(s.Close)
	return s, ca
}

// BenchmarkExchange is one exchange with recording, digests and verification, body read to its end.
func BenchmarkExchange(b *testing.B) {
	s, ca := benchServer(b)
	for _, bc := range []struct {
		name    string
		purpose survey.Purpose
	}{{"fresh", survey.ForVerdict}, {"keepalive", survey.ForLink}} {
		b.Run(bc.name, func(b *testing.B) {
			tr, err := New(Config{ConnectTo: pinTo(s.Listener.Addr().String()), Roots: ca.pool, UserAgent: "bench", Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			b.ReportAllocs()
			for b.Loop() {
				req, _ := http.NewRequestWithContext(WithVisit(b.Context(), &Visit{Probe: survey.Probe{Purpose: bc.purpose}}), "GET", "https://"+name+"/", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if n, _ := io.Copy(io.Discard, resp.Body); n < 30000 {
					b.Fatal(n)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// BenchmarkNetHTTP fetches the same page with plain net/http.
func BenchmarkNetHTTP(b *testing.B) {
	s, ca := benchServer(b)
	for _, fresh := range []bool{true, false} {
		b.Run(map[bool]string{true: "fresh", false: "keepalive"}[fresh], func(b *testing.B) {
			var d net.Dialer
			to := netip.MustParseAddrPort(s.Listener.Addr().String()).String()
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool, ServerName: name}, DisableKeepAlives: fresh,
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { return d.DialContext(ctx, network, to) }}
			defer tr.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				req, _ := http.NewRequestWithContext(b.Context(), "GET", "https://"+name+"/", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if n, _ := io.Copy(io.Discard, resp.Body); n < 30000 {
					b.Fatal(n)
				}
				_ = resp.Body.Close()
			}
		})
	}
}
