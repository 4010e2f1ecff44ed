//go:build unix

package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"crypto/x509"

	"mirrorwatch/crawler/survey"
)

// TestBenchServer is no test: it is the server of the benchmarks, in a process of its own so that its CPU is not counted. It
// serves a page of 30 KB over TLS as net/http's own server does, and ends with its standard input.
func TestBenchServer(t *testing.T) {
	if os.Getenv("WIRE_CHILD") != "bench" {
		t.Skip("run by the benchmarks")
	}
	ca := newAuthority(t)
	page := bytes.Repeat([]byte("<p>The talks went on through the night, said those who were there.</p>\n"), 430)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.valid(t, name)}, NextProtos: []string{"http/1.1"}}
	s.StartTLS()
	fmt.Println("serving", s.Listener.Addr())
	_ = pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Close()
}

func benchServer(b *testing.B) (addr string, roots *x509.CertPool) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchServer$")
	cmd.Env = append(os.Environ(), "WIRE_CHILD=bench")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _, _ = io.Copy(io.Discard, out); _ = cmd.Wait() })
	var cert strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if a, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			addr = a
			continue
		}
		cert.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "-----END") {
			break
		}
	}
	roots = x509.NewCertPool()
	if addr == "" || !roots.AppendCertsFromPEM([]byte(cert.String())) {
		b.Fatal("no server")
	}
	return addr, roots
}

// cpu is what this process has used, in the system too.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fetch is one benchmark: b.N exchanges, each body read to its end.
func fetch(b *testing.B, rt http.RoundTripper, ctx func() context.Context) {
	b.ReportAllocs()
	start := cpu(b)
	for b.Loop() {
		req, _ := http.NewRequestWithContext(ctx(), "GET", "https://"+name+"/", nil)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if n, _ := io.Copy(io.Discard, resp.Body); n < 30000 {
			b.Fatal(n)
		}
		_ = resp.Body.Close()
	}
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(b.N), "cpu-µs/op")
}

// sum is a Recorder that does what an archive does before compressing: every octet is read, and checked as gzip does. The
// digests are in the Exchange.
type sum struct{ buf []byte }

func (s *sum) Put(_ context.Context, e *survey.Exchange) (survey.Capture, error) {
	h := crc32.NewIEEE()
	if _, err := io.CopyBuffer(h, io.NewSectionReader(e.Response, e.Head.Start, e.FramedEnd-e.Head.Start), s.buf); err != nil {
		return survey.Capture{}, err
	}
	return survey.Capture{RecordID: e.ID, URL: e.URL, Payload: e.PayloadDigest}, nil
}

// BenchmarkExchange is one exchange with recording, digests and verification. Against BenchmarkNetHTTP it may use 1.3 times the
// CPU on fresh connections and twice that on kept ones (issue 3).
func BenchmarkExchange(b *testing.B) {
	addr, roots := benchServer(b)
	for _, bc := range []struct {
		name    string
		purpose survey.Purpose
	}{{"fresh", survey.ForVerdict}, {"keepalive", survey.ForLink}} {
		b.Run(bc.name, func(b *testing.B) {
			tr, err := New(Config{ConnectTo: pinTo(addr), Roots: roots, UserAgent: "bench", Dir: b.TempDir(), Recorder: &sum{make([]byte, 32<<10)}})
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			fetch(b, tr, func() context.Context {
				return WithVisit(b.Context(), &Visit{Probe: survey.Probe{Purpose: bc.purpose}})
			})
		})
	}
}

// BenchmarkNetHTTP fetches the same page with plain net/http.
func BenchmarkNetHTTP(b *testing.B) {
	addr, roots := benchServer(b)
	for _, fresh := range []bool{true, false} {
		b.Run(map[bool]string{true: "fresh", false: "keepalive"}[fresh], func(b *testing.B) {
			var d net.Dialer
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}, DisableKeepAlives: fresh,
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return d.DialContext(ctx, network, addr)
				}}
			defer tr.CloseIdleConnections()
			fetch(b, tr, b.Context)
		})
	}
}
