package crawler

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
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

// testWorld is a set of servers on loopback under invented names, with a throw-away authority, and a sink that keeps
// everything in memory.
type testWorld struct {
	t     *testing.T
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	roots *x509.CertPool
	pins  map[string]string

	mu       sync.Mutex
	bodies   map[survey.RecordID][]byte // response blocks
	types    map[survey.RecordID]string
	exchange []*survey.Exchange
	notes    []survey.Note
	commits  int
	putErr   error
	serial   int64
	versions []Version
	known    []KnownLink
	crawled  time.Time               // when the newest whole crawl ended
	arrivals map[string][2]time.Time // mirror and article -> first seen, last absent before
}

func newWorld(t *testing.T) *testWorld {
	t.Helper()
	w := &testWorld{t: t, pins: map[string]string{}, bodies: map[survey.RecordID][]byte{}, types: map[survey.RecordID]string{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	w.ca, _ = x509.ParseCertificate(der)
	w.caKey = key
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.ca)
	return w
}

// certificate issues one for the name; change may spoil it.
func (w *testWorld) certificate(name string, change func(*x509.Certificate)) tls.Certificate {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.serial++
	c := &x509.Certificate{SerialNumber: big.NewInt(w.serial + 1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, w.ca, &key.PublicKey, w.caKey)
	if err != nil {
		w.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve runs an HTTPS server for the host with a good certificate.
func (w *testWorld) serve(host string, h http.Handler) {
	w.serveWith(host, w.certificate(host, nil), h)
}

func (w *testWorld) serveWith(host string, cert tls.Certificate, h http.Handler) {
	w.t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: quietLog()}
	go func() { _ = srv.Serve(ln) }()
	w.t.Cleanup(func() { _ = srv.Close() })
	w.pins[host+":443"] = ln.Addr().String()
}

// raw runs a server that answers every TLS connection with the bytes, after it has read a request head, and closes.
func (w *testWorld) raw(host, answer string) {
	w.t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{w.certificate(host, nil)}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.accept(host, ln, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, answer)
	})
}

// tcp runs a server on plain TCP for the host's https port.
func (w *testWorld) tcp(host string, f func(net.Conn)) {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.accept(host, ln, f)
}

func (w *testWorld) accept(host string, ln net.Listener, f func(net.Conn)) {
	w.t.Cleanup(func() { _ = ln.Close() })
	w.pins[host+":443"] = ln.Addr().String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
}

func readHead(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.TrimSpace(line) == "" {
			return
		}
	}
}

// refuse pins the host to a port that nobody listens on.
func (w *testWorld) refuse(host string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer ln.Close()
	// The near end of a connection: nobody listens there, and nobody else is given the port meanwhile.
	held, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = held.Close() })
	w.pins[host+":443"] = held.LocalAddr().String()
}

func (w *testWorld) Put(_ context.Context, e *survey.Exchange) (survey.Capture, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.putErr != nil {
		return survey.Capture{}, w.putErr
	}
	w.exchange = append(w.exchange, e)
	c := survey.Capture{RecordID: e.ID, File: "mem", Offset: int64(len(w.exchange)), Length: 1, URL: e.URL, Payload: e.PayloadDigest,
		Date: e.Started, Status: e.Status, Type: mediaType(e.Get("Content-Type"))}
	if e.Response != nil && e.FramedEnd > e.Head.End {
		b := make([]byte, e.FramedEnd-e.Head.End)
		if _, err := e.Response.ReadAt(b, e.Head.End); err != nil && err != io.EOF {
			return c, err
		}
		w.bodies[e.ID], w.types[e.ID] = b, e.Get("Content-Type")
	}
	return c, nil
}

func (w *testWorld) Note(_ context.Context, n survey.Note) (survey.Capture, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, n)
	return survey.Capture{}, nil
}

func (w *testWorld) Commit(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits++
	return nil
}

func (w *testWorld) Versions(context.Context, survey.Article, int) ([]Version, error) {
	return w.versions, nil
}

func (w *testWorld) Body(_ context.Context, c survey.Capture) (string, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.types[c.RecordID], w.bodies[c.RecordID], nil
}

func (w *testWorld) Latest(context.Context, survey.Article, survey.Host, string) (survey.Snapshot, bool, error) {
	return survey.Snapshot{}, false, nil
}

func (w *testWorld) Since(context.Context, survey.Article, survey.Host, string, survey.State) (time.Time, bool, error) {
	return time.Time{}, false, nil
}

func (w *testWorld) Failures(context.Context, survey.Article, survey.Host, string) ([]time.Time, error) {
	return nil, nil
}

func (w *testWorld) Links(_ context.Context, _ string, f func(KnownLink) bool) error {
	for _, k := range w.known {
		if !f(k) {
			break
		}
	}
	return nil
}

func (w *testWorld) Crawled(context.Context, string) (time.Time, error) { return w.crawled, nil }

func (w *testWorld) Arrival(_ context.Context, a survey.Article, m survey.Host, _ string) (time.Time, time.Time, error) {
	t := w.arrivals[string(m)+" "+a.URL]
	return t[0], t[1], nil
}

// asked counts the exchanges with the host for the purpose.
func (w *testWorld) asked(host string, p survey.Purpose) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.exchange {
		if hostOf(e.URL) == survey.Host(host) && e.Probe.Purpose == p {
			n++
		}
	}
	return n
}

const articlePath = "/Detail/2016/08/10/479262/Harbour-talks"

// plan is a check of the article on the first host and the others beside it.
func (w *testWorld) plan(hosts ...string) Plan {
	site := survey.Site{Name: "test"}
	for i, h := range hosts {
		role := survey.Alternate
		if i == 0 {
			role = survey.Primary
		}
		site.Mirrors = append(site.Mirrors, survey.Mirror{Scheme: "https", Host: survey.Host(h), Role: role})
	}
	return Plan{Sites: []SitePlan{{
		Site: site, Articles: []survey.Article{{Site: "test", URL: "https://" + hosts[0] + articlePath}},
		Vantages: []survey.Vantage{{Name: "direct"}},
		Settings: Settings{Timeout: 2 * time.Second, Retries: -1, RetryWait: 10 * time.Millisecond},
		Transport: func(v survey.Vantage) (http.RoundTripper, error) {
			return wire.New(wire.Config{Vantage: v, ConnectTo: w.pins, Roots: w.roots, UserAgent: "test", Recorder: w,
				Limits: wire.Limits{FirstByte: 500 * time.Millisecond, Connect: 500 * time.Millisecond, TLS: 500 * time.Millisecond, Stall: 500 * time.Millisecond}})
		},
	}}}
}

// patient gives the plan's first site time: for tests in which nothing may fail because the machine is busy.
func (w *testWorld) patient(p Plan) Plan {
	p.Sites[0].Settings.Timeout = 20 * time.Second
	p.Sites[0].Transport = func(v survey.Vantage) (http.RoundTripper, error) {
		return wire.New(wire.Config{Vantage: v, ConnectTo: w.pins, Roots: w.roots, UserAgent: "test", Recorder: w})
	}
	return p
}

func (w *testWorld) config() Config {
	return Config{Sink: w, Memory: w, Rules: compare.DefaultRules(), Delay: -1,
		Run: survey.Run{ID: "20260102T030405Z-abcdef", Started: time.Now(), Tool: survey.Tool{Name: "test"}}}
}

func (w *testWorld) run(plan Plan) survey.Report {
	w.t.Helper()
	r, err := Run(context.Background(), w.config(), plan, Stop{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// finding returns what the run says of the host.
func finding(t *testing.T, r survey.Report, host string) survey.Finding {
	t.Helper()
	for _, c := range r.Articles {
		for _, f := range c.Mirrors {
			if f.Mirror == survey.Host(host) {
				return f
			}
		}
	}
	t.Fatalf("the report does not speak of %s", host)
	return survey.Finding{}
}

// newspaper serves the article under its path, a home page, and honest 404s.
type newspaper struct {
	host    string
	article func(string) string // changes the article's page
	extra   map[string]http.HandlerFunc
}

func (n newspaper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := n.extra[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case articlePath:
		page := articlePage(n.host)
		if n.article != nil {
			page = n.article(page)
		}
		_, _ = io.WriteString(w, page)
	case "/":
		_, _ = io.WriteString(w, frame("The Harbour Post", `<h1>Today</h1><ul><li><a href="`+articlePath+`">Harbour talks resume after ferry strike</a><li><a href="/x">Rain ahead</a></ul><p>All the news of the coast, every day, since 1921.</p>`))
	case "/style.css":
		w.Header().Set("Content-Type", "text/css")
		_, _ = io.WriteString(w, "body{color:#222}")
	case "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "User-agent: *\nAllow: /\n")
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, frame("Not found", `<h1>Not found</h1><p>There is no such page here.</p>`))
	}
}

func frame(title, main string) string {
	return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>` + title + ` - The Harbour Post</title><link rel="stylesheet" href="/style.css"></head><body><header><nav><a href="/">Home</a> <a href="/world">World</a> <a href="/coast">Coast</a> <a href="/sport">Sport</a></nav></header><main>` +
		main + `</main><footer><p>The Harbour Post is published by the Coast Press Society. All rights reserved. Letters to the editor are welcome at any time.</p></footer></body></html>`
}

var paragraphs = []string{
	"Talks between the harbour authority and the ferry crews resumed on Tuesday after a strike of eleven days, the mediator Anna Lindqvist said in the port city.",
	"The crews had demanded a pay rise of 6 percent and shorter shifts in winter, when storms keep most of the boats in port for days on end.",
	"\"The lower the waves, the better the talks,\" said Lindqvist, who was appointed in March by the regional council after two earlier rounds had failed.",
	"According to the authority, more than 14,000 passengers had to change their plans since the strike began, most of them on the line to the outer islands.",
	"Marcus Oyelaran, who speaks for the crews, told reporters that both sides had agreed to exchange written proposals before the end of the week.",
	"He also called on the owners of the two private lines to join the negotiations, since their timetables depend on the same piers and pilots.",
	"Shopkeepers on the islands complained that fresh food arrived late or not at all, and that the council had not opened its emergency store.",
	"The council is to meet again on Friday in the old customs house, where it will hear the mediator's report in public session.",
}

func articlePage(host string) string {
	var b strings.Builder
	b.WriteString(`<article><h1>Harbour talks resume after ferry strike</h1><p class="byline">By our reporter</p>`)
	for _, p := range paragraphs {
		fmt.Fprintf(&b, "<p>%s</p>\n", p)
	}
	fmt.Fprintf(&b, `<p>This story can also be accessed at the following alternate address: <a href="https://www.harbourpost.co.uk%s">www.harbourpost.co.uk</a></p>`, articlePath)
	fmt.Fprintf(&b, `<p><a href="https://%s/coast">More from the coast</a></p></article>`, host)
	return frame("Harbour talks resume after ferry strike", b.String())
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	zw := newGzip(&b)
	_, _ = io.WriteString(zw, s)
	_ = zw.Close()
	return b.Bytes()
}
