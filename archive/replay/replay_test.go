package replay

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

type blob struct{ *bytes.Reader }

func (b blob) Size() int64 { return b.Reader.Size() }

// world is an archive under construction and its replay.
type world struct {
	t    testing.TB
	a    *archive.Archive
	rows []survey.SnapshotRow
	srv  *httptest.Server
	h    *Handler

	mu    sync.Mutex
	asked []string // "STATUS TARGET" of every request
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	sw := &statusWriter{ResponseWriter: rw, status: 200}
	w.h.ServeHTTP(sw, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, fmt.Sprint(sw.status, " ", r.RequestURI))
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(n int) { s.status = n; s.ResponseWriter.WriteHeader(n) }

func (w *world) Snapshots(_ context.Context, address string) (out []survey.SnapshotRow, err error) {
	article := address
	for _, r := range w.rows {
		if r.URL == address {
			article = r.Article
		}
	}
	for _, r := range w.rows {
		if r.Article == article {
			out = append(out, r)
		}
	}
	return out, nil
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB) *world {
	t.Helper()
	a, err := archive.Open(t.TempDir(), archive.Options{Run: "run1", Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	w := &world{t: t, a: a}
	if w.h, err = New(Config{Archive: a, Judgements: w, URL: "https://replay.example.org"}); err != nil {
		t.Fatal(err)
	}
	w.srv = httptest.NewServer(w)
	t.Cleanup(w.srv.Close)
	return w
}

// put captures a response as the transport would.
func (w *world) put(at time.Time, url, status, header, body string) survey.Capture {
	w.t.Helper()
	return w.putRaw(at, url, "HTTP/1.1 "+status+"\r\n"+header+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))+body, body)
}

// putRaw captures the octets of a response; body is what they hold without chunks.
func (w *world) putRaw(at time.Time, url, octets, body string) survey.Capture {
	w.t.Helper()
	raw := []byte(octets)
	sum, block := sha256.Sum256([]byte(body)), sha256.Sum256(raw)
	head, err := message.ParseHead(raw[:message.EndOfHead(raw)])
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.a.Put(w.t.Context(), &survey.Exchange{
		ID: survey.RecordID(warc.NewRecordID()), Method: "GET", URL: url, Started: at, Request: []byte("GET / HTTP/1.1\r\n\r\n"),
		Probe:    survey.Probe{ID: "p", Run: "run1", Mirror: "m", Vantage: "direct", Purpose: survey.ForVerdict, Attempt: 1},
		Response: blob{bytes.NewReader(raw)}, Head: survey.Span{End: int64(message.EndOfHead(raw))}, FramedEnd: int64(len(raw)),
		Proto: "HTTP/1.1", Status: head.Status, Header: head.Fields, BlockDigest: digest(block), PayloadDigest: digest(sum), PayloadSize: int64(len(body)),
		Peer: netip.MustParseAddrPort("127.0.0.1:80"), Stage: survey.StageContent, Outcome: survey.OK, Complete: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func digest(sum [32]byte) survey.Digest { return survey.Digest("sha256:" + hex.EncodeToString(sum[:])) }

func (w *world) html(at time.Time, url, body string) survey.Capture {
	return w.put(at, url, "200 OK", "Content-Type: text/html; charset=utf-8\r\n", body)
}

// snap writes the snapshot of a page and what history says of it.
func (w *world) snap(article string, page survey.Capture, verdict survey.VerdictWord, leftOut []survey.LeftOut, parts ...survey.Capture) survey.Snapshot {
	w.t.Helper()
	s := survey.Snapshot{ID: page.RecordID, Run: "run1", Article: survey.Article{Site: "s", URL: article}, Mirror: survey.Host(hostOf(page.URL)),
		Vantage: "direct", URL: page.URL, Time: page.Date, Page: page, LeftOut: leftOut}
	for _, c := range parts {
		s.Requisites = append(s.Requisites, survey.Requisite{URL: c.URL, Capture: c})
	}
	b, _ := json.Marshal(s)
	if _, err := w.a.Note(w.t.Context(), survey.Note{Kind: survey.NoteSnapshot, URI: page.URL, Date: s.Time, About: s.ID, Body: b}); err != nil {
		w.t.Fatal(err)
	}
	w.rows = append(w.rows, survey.SnapshotRow{ID: s.ID, Name: s.Name(), Site: "s", Article: article, Mirror: s.Mirror, Vantage: "direct", URL: s.URL,
		Time: s.Time, Last: s.Time, Count: 1, State: survey.Up, Verdict: verdict, PageClass: survey.ClassArticle, Payload: page.Payload})
	return s
}

func (w *world) commit() {
	w.t.Helper()
	if err := w.a.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

type answer struct {
	*http.Response
	text string
}

// get asks as a raw client does: the target is written as it is.
func (w *world) get(target string, header ...string) answer { return w.do("GET", target, header...) }

func (w *world) do(method, target string, header ...string) answer {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.srv.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	host := w.srv.Listener.Addr().String()
	var b strings.Builder
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			host = header[i+1]
			continue
		}
		b.WriteString(header[i] + ": " + header[i+1] + "\r\n")
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n", method, target, host, b.String())
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("%s: %v", target, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s: %v", target, err)
	}
	return answer{resp, string(text)}
}

func (w *world) want(a answer, status int, parts ...string) {
	w.t.Helper()
	if a.StatusCode != status {
		w.t.Errorf("status %d, want %d: %.300s", a.StatusCode, status, a.text)
	}
	for _, p := range parts {
		if !strings.Contains(a.text, p) {
			w.t.Errorf("%q is not in %.1200s", p, a.text)
		}
	}
}

const tenStamp = "20261124120000"

func TestMemento(t *testing.T) {
	w := newWorld(t)
	u := "https://a.example/story"
	w.html(noon, u, "<p>one")
	w.html(noon.Add(time.Hour), u, "<p>two")
	w.html(noon.Add(2*time.Hour), u, "<p>three")
	w.put(noon, "https://a.example/gone", "404 Not Found", "Content-Type: text/html\r\n", "<p>no such")
	w.put(noon, "https://a.example/moved", "301 Moved", "Location: /story?x=1\r\nSet-Cookie: a=b\r\n", "")
	w.commit()

	a := w.get("/web/" + u)
	w.want(a, 302)
	if l := a.Header.Get("Location"); l != "/web/20261124140000/"+u {
		t.Errorf("newest is %s", l)
	}
	if a.Header.Get("Vary") != "accept-datetime" || a.Header.Get("Memento-Datetime") != "" || !strings.Contains(a.Header.Get("Link"), `<https://a.example/story>; rel="original"`) {
		t.Errorf("TimeGate: %v", a.Header)
	}
	for when, want := range map[string]string{"Tue, 24 Nov 2026 12:50:00 GMT": "20261124130000", "Mon, 01 Jan 1990 00:00:00 GMT": tenStamp, "Fri, 01 Jan 2100 00:00:00 GMT": "20261124140000"} {
		if l := w.get("/web/"+u, "Accept-Datetime", when).Header.Get("Location"); l != "/web/"+want+"/"+u {
			t.Errorf("%s leads to %s", when, l)
		}
	}
	w.want(w.get("/web/"+u, "Accept-Datetime", "yesterday"), 400)
	a = w.get("/web/https://a.example/never")
	w.want(a, 404)
	if a.Header.Get("Link") != "" {
		t.Errorf("404 with Memento fields: %v", a.Header)
	}

	a = w.get("/web/20261124130000/" + u)
	w.want(a, 200, "<p>two", "2026-11-24 13:00:00 UTC", "mirrorwatch-banner")
	if a.Header.Get("Memento-Datetime") != "Tue, 24 Nov 2026 13:00:00 GMT" || a.Header.Get("Vary") != "" {
		t.Errorf("memento: %v", a.Header)
	}
	for _, part := range []string{`rel="first prev memento"; datetime="Tue, 24 Nov 2026 12:00:00 GMT"`, `rel="last next memento"`, `rel="timemap"; type="application/link-format"`, `<https://replay.example.org/web/https://a.example/story>; rel="timegate"`} {
		if !strings.Contains(a.Header.Get("Link"), part) {
			t.Errorf("%s is not in %s", part, a.Header.Get("Link"))
		}
	}
	head := w.do("HEAD", "/web/20261124130000/"+u)
	for _, f := range []string{"Memento-Datetime", "Link", "Content-Length", "Content-Type", "Content-Security-Policy"} {
		if head.Header.Get(f) != a.Header.Get(f) {
			t.Errorf("HEAD: %s is %q, not %q", f, head.Header.Get(f), a.Header.Get(f))
		}
	}

	// What a client prefers.
	a = w.get("/web/20261124130000/"+u, "Prefer", "raw")
	if a.text != "<p>two" || a.Header.Get("Preference-Applied") != "raw" || a.Header.Get("Vary") != "Prefer" || a.Header.Get("Memento-Datetime") == "" {
		t.Errorf("Prefer: raw: %q %v", a.text, a.Header)
	}
	a = w.get("/web/20261124130000/"+u, "Prefer", "respond-async, original-content;x=1, original-links")
	if a.text != "<p>two" || a.Header.Get("Preference-Applied") != "original-content" {
		t.Errorf("Prefer: original-content: %q %v", a.text, a.Header)
	}
	a = w.get("/web/20261124130000/"+u, "Prefer", "nothing-known")
	if !strings.Contains(a.text, "mirrorwatch-banner") || a.Header.Get("Preference-Applied") != "" || a.Header.Get("Vary") != "" {
		t.Errorf("Prefer: unknown: %v", a.Header)
	}

	// Errors and redirects are mementos too.
	a = w.get("/web/" + tenStamp + "/https://a.example/gone")
	w.want(a, 404, "no such", "The server answered with status 404")
	if a.Header.Get("Memento-Datetime") == "" {
		t.Error("no Memento-Datetime on an archived 404")
	}
	a = w.get("/web/" + tenStamp + "/https://a.example/moved")
	w.want(a, 301)
	if a.Header.Get("Location") != "/web/"+tenStamp+"/https://a.example/story?x=1" || a.Header.Get("Memento-Datetime") == "" || a.Header.Get("Set-Cookie") != "" ||
		a.Header.Get("X-Archive-Orig-Set-Cookie") != "a=b" || a.Header.Get("X-Archive-Orig-Location") != "/story?x=1" {
		t.Errorf("redirect: %v", a.Header)
	}

	a = w.get("/web/timemap/link/" + u)
	w.want(a, 200, "<https://a.example/story>; rel=\"original\",\n<https://replay.example.org/web/timemap/link/https://a.example/story>; rel=\"self\"; type=\"application/link-format\"; from=\"Tue, 24 Nov 2026 12:00:00 GMT\"; until=\"Tue, 24 Nov 2026 14:00:00 GMT\",\n",
		`<https://replay.example.org/web/20261124120000/https://a.example/story>; rel="first memento"; datetime="Tue, 24 Nov 2026 12:00:00 GMT"`, `rel="last memento"`)
	if a.Header.Get("Content-Type") != "application/link-format" {
		t.Error(a.Header)
	}
	w.want(w.get("/web/timemap/json/"+u), 200, `"original_uri":"https://a.example/story"`)
	w.want(w.get("/web/timemap/cdxj/"+u), 200, `20261124130000 {`)
	w.want(w.get("/web/timemap/link/https://a.example/never"), 404)
	w.want(w.get("/web/timemap/xml/"+u), 400)
	w.want(w.get("/web/*/"+u), 200, "3 captures", "/web/20261124130000/https://a.example/story", "24 November 2026")
	w.want(w.get("/web/?url=a.example%2Fstory"), 302)
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	w.html(noon, "https://a.example/", "<p>root")
	w.html(noon.Add(time.Minute), "https://a.example/x?y=http://z", "<p>x")
	w.html(noon, "http://only-http.example/", "<p>plain")
	w.html(noon, "https://www.b.example/", "<p>with www")
	w.html(noon, "https://b.example/", "<p>without www")
	w.html(noon.Add(5*time.Millisecond), "https://ms.example/", "<p>ms")
	w.html(noon, "https://a.example/it's(1)?q='x'", "<p>quotes")
	w.commit()
	for _, c := range []struct {
		target   string
		status   int
		location string
	}{
		{"/web/2026/https://a.example/", 302, "/web/20261124120000/https://a.example/"},
		{"/web/202611/https://a.example/", 302, "/web/20261124120000/https://a.example/"},
		{"/web/20261124120000/https:/a.example/", 302, "/web/20261124120000/https://a.example/"},
		{"/web/20261124120000/https://a.example", 302, "/web/20261124120000/https://a.example/"},
		{"/web/20261124120000/a.example/", 302, "/web/20261124120000/https://a.example/"},
		{"/web/20261124120000/https%3A%2F%2Fa.example%2F", 302, "/web/20261124120000/https://a.example/"},
		{"/web/20261124120100/https://a.example/x?y=http://z", 200, ""},
		{"/web/20261124120000id_/https://a.example/", 200, ""},
		{"/web/20261124120000mp_/https://a.example/", 200, ""},
		{"/web/20251124120000im_/https://a.example/", 200, ""},
		{"/web/20261124120000/https://ms.example/", 200, ""},
		{"/web/20261124120000005/https://ms.example/", 200, ""},
		{"/web/20261124120000/https://a.example/it's(1)?q=%27x%27", 200, ""},
		{"/web/20261124120000/https://a.example/it%27s%281%29?q=%27x%27", 200, ""},
		{"/web/20261124120000xx_/https://a.example/", 400, ""},
		{"/web/20261399/https://a.example/", 400, ""},
		{"/web/2026112412000012345678/https://a.example/", 400, ""},
		{"/web/20261124120000/ftp://a.example/", 400, ""},
		{"/web/20261124120000/javascript:alert(1)", 400, ""},
		{"/web/20261124120000/", 400, ""},
		{"/nothing", 404, ""},
		{"/", 200, ""},
		{"/robots.txt", 200, ""},
	} {
		a := w.get(c.target)
		if a.StatusCode != c.status || a.Header.Get("Location") != c.location {
			t.Errorf("%s: %d %q, want %d %q", c.target, a.StatusCode, a.Header.Get("Location"), c.status, c.location)
		}
	}
	// The real host is compared: www and the bare name may be two mirrors.
	w.want(w.get("/web/20261124120000/https://www.b.example/"), 200, "with www")
	w.want(w.get("/web/20261124120000/https://b.example/"), 200, "without www")
	a := w.get("/web/20261124120000/https://only-http.example/")
	w.want(a, 200, "plain", "scheme differs")
	if a.Header.Get("X-Archive-Fuzzy") != "scheme; captured as http://only-http.example/" {
		t.Error(a.Header)
	}
	w.want(w.get("/web/20261124120000/https://www.a.example/"), 200, "host differs")
	a = w.get("/web/20261124120000/https://a.example/x?y=http://z&utm_source=q&_=123")
	w.want(a, 302)
}

func TestRewritingAndHeaders(t *testing.T) {
	w := newWorld(t)
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	_, _ = gz.Write([]byte(`<html><head><meta charset=utf-8></head><body><img src="/p.png"><a href="https://other.example/">x</a>`))
	_ = gz.Close()
	w.put(noon, "https://a.example/", "200 OK", "Content-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Security-Policy: default-src *\r\nX-Frame-Options: DENY\r\n"+
		"Link: </s.css>; rel=preload; as=style, </api>; rel=\"https://api.w.org/\"\r\nRefresh: 0; url=/n\r\nBad Name: x\r\nContent-Language: en\r\n", z.String())
	w.put(noon, "https://a.example/s.css", "200 OK", "Content-Type: text/css\r\n", "a{b:url(/p.png)}")
	w.put(noon, "https://a.example/f.woff2", "200 OK", "Content-Type: font/woff2\r\n", "wOF2")
	w.put(noon, "https://a.example/u16", "200 OK", "Content-Type: text/html\r\n", "\xff\xfe<\x00p\x00>\x00\xe9\x00")
	w.put(noon, "https://a.example/odd", "200 OK", "", "\x89PNG\r\n\x1a\n")
	w.put(noon, "https://a.example/mixed", "200 OK", "Content-Type: multipart/x-mixed-replace; boundary=x\r\n", "--x")
	w.put(noon, "https://a.example/599", "999 Odd", "Content-Type: text/plain\r\n", "odd")
	w.commit()
	a := w.get("/web/" + tenStamp + "/https://a.example/")
	w.want(a, 200, `<img src="/web/20261124120000im_/https://a.example/p.png">`, `<a href="/web/20261124120000/https://other.example/">`, "<meta charset=utf-8>")
	for name, want := range map[string]string{
		"Content-Security-Policy": Policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Encoding": "", "X-Frame-Options": "", "Refresh": "",
		"X-Archive-Orig-Content-Security-Policy": "default-src *", "X-Archive-Orig-X-Frame-Options": "DENY", "X-Archive-Orig-Refresh": "0; url=/n", "Content-Language": "en",
		"X-Archive-Orig-Content-Encoding": "gzip", "Access-Control-Allow-Origin": "", "Set-Cookie": "",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if l := a.Header.Get("Link"); !strings.Contains(l, `</web/20261124120000cs_/https://a.example/s.css>; rel="preload"; as="style"`) || strings.Contains(l, "api.w.org") {
		t.Errorf("Link: %s", l)
	}
	raw := w.get("/web/"+tenStamp+"id_/https://a.example/", "Accept-Encoding", "gzip")
	if raw.text != z.String() || raw.Header.Get("Content-Encoding") != "gzip" || raw.Header.Get("Content-Security-Policy") != Policy {
		t.Errorf("raw: %d octets, %v", len(raw.text), raw.Header)
	}
	raw = w.get("/web/" + tenStamp + "id_/https://a.example/")
	if !strings.HasPrefix(raw.text, "<html><head>") || strings.Contains(raw.text, "/web/") || raw.Header.Get("Content-Encoding") != "" {
		t.Errorf("raw, decoded: %.80q", raw.text)
	}
	framed := w.get("/web/" + tenStamp + "if_/https://a.example/")
	w.want(framed, 200, `<a href="/web/20261124120000if_/https://other.example/">`)
	if strings.Contains(framed.text, "mirrorwatch-banner") {
		t.Error("a frame has a banner")
	}
	w.want(w.get("/web/"+tenStamp+"cs_/https://a.example/s.css"), 200, "a{b:url(/web/20261124120000im_/https://a.example/p.png)}")
	if got := w.get("/web/" + tenStamp + "oe_/https://a.example/f.woff2").Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("font: %q", got)
	}
	a = w.get("/web/" + tenStamp + "if_/https://a.example/u16")
	if a.text != "\xef\xbb\xbf<p>\u00e9" || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("UTF-16: %q %v", a.text, a.Header.Get("Content-Type"))
	}
	if got := w.get("/web/" + tenStamp + "im_/https://a.example/odd").Header.Get("Content-Type"); got != "image/png" {
		t.Errorf("no type: %q", got)
	}
	if got := w.get("/web/" + tenStamp + "im_/https://a.example/mixed").Header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("multipart: %q", got)
	}
}

func TestRanges(t *testing.T) {
	w := newWorld(t)
	body := strings.Repeat("0123456789", 10_000)
	w.put(noon, "https://a.example/v.mp4", "200 OK", "Content-Type: video/mp4\r\n", body)
	w.commit()
	at := "/web/" + tenStamp + "oe_/https://a.example/v.mp4"
	for _, c := range []struct {
		spec     string
		status   int
		rng      string
		from, to int
	}{
		{"bytes=0-9", 206, "bytes 0-9/100000", 0, 10},
		{"bytes=99990-", 206, "bytes 99990-99999/100000", 99990, 100000},
		{"bytes=-5", 206, "bytes 99995-99999/100000", 99995, 100000},
		{"bytes=50-999999", 206, "bytes 50-99999/100000", 50, 100000},
		{"bytes=100000-", 416, "bytes */100000", 0, 0},
		{"bytes=5-1", 200, "", 0, 100000},
		{"bytes=0-1,5-6", 200, "", 0, 100000},
		{"lines=0-1", 200, "", 0, 100000},
		{"bytes=99999999999999999999-", 200, "", 0, 100000},
	} {
		a := w.get(at, "Range", c.spec)
		if a.StatusCode != c.status || a.Header.Get("Content-Range") != c.rng || a.text != body[c.from:c.to] {
			t.Errorf("%s: %d %q, %d octets", c.spec, a.StatusCode, a.Header.Get("Content-Range"), len(a.text))
		}
	}
}

func TestSnapshotAndHoles(t *testing.T) {
	w := newWorld(t)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	old := w.put(at(-7200), "https://a.example/s.css", "200 OK", "Content-Type: text/css\r\n", "old{}")
	page := w.html(at(0), "https://a.example/story", `<body><link rel=stylesheet href="s.css"><img src=p.png><img src=q.png><img src=r.js><p>text`)
	w.put(at(1), "https://a.example/s.css", "200 OK", "Content-Type: text/css\r\n", "new{}")
	w.put(at(0), "https://a.example/p.png", "404 Not Found", "Content-Type: text/html\r\n", "gone") // an error fills no hole
	left := []survey.LeftOut{{URL: "https://a.example/p.png", Why: "timeout"}, {URL: "https://a.example/q.png", Why: "timeout"}, {URL: "https://a.example/r.js", Why: "timeout"}}
	s := w.snap("https://a.example/story", page, survey.Identical, left, old)
	mirror := w.html(at(2), "https://b.example/story", `<p>text`)
	w.snap("https://a.example/story", mirror, survey.SameArticle, nil,
		w.put(at(2), "https://b.example/p.png", "200 OK", "Content-Type: image/png\r\n", "picture"),
		w.put(at(2), "https://b.example/r.js", "200 OK", "Content-Type: text/javascript\r\n", "script"))
	liar := w.html(at(3), "https://c.example/story", `<p>other`)
	w.snap("https://a.example/story", liar, survey.DifferentPage, nil, w.put(at(3), "https://c.example/q.png", "200 OK", "Content-Type: image/png\r\n", "lie"))
	w.commit()

	prefix := "/snapshot/20261124120000000." + shortID(s.ID)
	a := w.get("/web/" + tenStamp + "/https://a.example/story")
	w.want(a, 200, `href="`+prefix+`cs_/https://a.example/s.css"`, "identical", "2 missing", "shown from b.example", "a.example (primary)", "mirrors side by side", "exactly this snapshot")
	a = w.get(prefix + "/https://a.example/story")
	w.want(a, 200, `src=`+prefix+`im_/https://a.example/p.png`)
	// Its own list first, though another capture is nearer in time.
	w.want(w.get(prefix+"cs_/https://a.example/s.css"), 200, "old{}")
	a = w.get(prefix + "im_/https://a.example/p.png")
	w.want(a, 200, "picture")
	if a.Header.Get("X-Archive-Filled") != "same path of b.example" {
		t.Errorf("not marked: %v", a.Header)
	}
	w.want(w.get(prefix+"im_/https://a.example/q.png"), 404) // a mirror with another page gives nothing
	w.want(w.get(prefix+"js_/https://a.example/r.js"), 404)  // only pictures and fonts are taken from others
	a = w.get(prefix + "/https://a.example/elsewhere")
	w.want(a, 302)
	if a.Header.Get("Location") != "/web/20261124120000000/https://a.example/elsewhere" {
		t.Error(a.Header.Get("Location"))
	}
	a = w.get("/beside/20261124120000/https://a.example/story")
	w.want(a, 200, prefix+"if_/https://a.example/story", "b.example", "different page", `sandbox=""`)
	w.want(w.get("/web/*/https://b.example/story"), 200, "same article", prefix+"/https://a.example/story")
	// A snapshot whose page this process never saw is shown by time, and marked.
	w.h.cache = snapshots{}
	a = w.get(prefix + "cs_/https://a.example/s.css")
	w.want(a, 200)
	if a.Header.Get("X-Archive-Filled") != "another time" {
		t.Errorf("not marked: %v", a.Header)
	}
	w.want(w.get("/snapshot/20261124120000000.00000000-0000-0000-0000-000000000000/https://a.example/story"), 302)
}

// TestSave: the banner of a page with scripts leads to a page of ours that offers the snapshot as a WACZ, which holds the
// page and its requisites; hostile names get neither.
func TestSave(t *testing.T) {
	w := newWorld(t)
	page := w.html(noon, "https://a.example/story", `<body><script src=/s.js></script><img src=p.png><p>text of the story`)
	s := w.snap("https://a.example/story", page, survey.Identical, nil, w.put(noon, "https://a.example/p.png", "200 OK", "Content-Type: image/png\r\n", "picture"))
	w.commit()
	name := "20261124120000000." + shortID(s.ID) + "/https://a.example/story"
	w.want(w.get("/web/"+tenStamp+"/https://a.example/story"), 200, `<a href="/save/`+name+`">Save this snapshot</a>`)
	own := w.get("/save/" + name)
	w.want(own, 200, `href="/save/wacz/`+name+`" download="20261124120000000-a.example.wacz"`)
	if own.Header.Get("Content-Security-Policy") != ownPolicy {
		t.Error(own.Header)
	}
	a := w.get("/save/wacz/" + name)
	w.want(a, 200)
	if a.Header.Get("Content-Type") != "application/wacz" || a.Header.Get("Content-Disposition") != `attachment; filename="20261124120000000-a.example.wacz"` {
		t.Error(a.Header)
	}
	z, err := zip.NewReader(strings.NewReader(a.text), int64(len(a.text)))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range z.File {
		names[f.Name] = true
	}
	if !names["datapackage.json"] || !names["pages/pages.jsonl"] {
		t.Errorf("package of %v", names)
	}
	if part := w.get("/save/wacz/"+name, "Range", "bytes=0-3"); part.StatusCode != 206 || part.text != "PK\x03\x04" {
		t.Errorf("a range of it: %d %q", part.StatusCode, part.text)
	}
	for target, status := range map[string]int{"/save/": 400, "/save/wacz/": 400, "/save/wacz/../../x": 400, "/save/20261124120000000.x/https://a.example/": 404,
		"/save/20261124120000000." + shortID(s.ID) + "/https://a.example/p.png": 404, "/save/20261124120000000." + shortID(s.ID) + "id_/https://a.example/story": 400} {
		w.want(w.get(target), status)
	}
}

// TestRangesOfCodedBodies: a range is one of what is given: of a body that came compressed, of a revisit of it, raw and not.
func TestRangesOfCodedBodies(t *testing.T) {
	w := newWorld(t)
	body := strings.Repeat("0123456789", 10_000)
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	_, _ = io.WriteString(gz, body)
	_ = gz.Close()
	for i, u := range []string{"https://a.example/v.txt", "https://b.example/v.txt"} {
		c := w.put(noon, u, "200 OK", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", z.String())
		if c.Revisit != (i == 1) {
			t.Fatalf("%s: %+v", u, c)
		}
	}
	chunked := "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
	w.putRaw(noon, "https://a.example/chunked", chunked, "0123456789")
	w.commit()
	for _, c := range []struct{ target, spec, rng, want string }{
		{"/web/" + tenStamp + "oe_/https://a.example/v.txt", "bytes=10-19", "bytes 10-19/100000", "0123456789"},
		{"/web/" + tenStamp + "oe_/https://b.example/v.txt", "bytes=99995-", "bytes 99995-99999/100000", "56789"},
		{"/web/" + tenStamp + "id_/https://b.example/v.txt", "bytes=-3", "bytes 99997-99999/100000", "789"},
		{"/web/" + tenStamp + "oe_/https://a.example/chunked", "bytes=3-6", "bytes 3-6/10", "3456"},
	} {
		a := w.get(c.target, "Range", c.spec)
		if a.StatusCode != 206 || a.Header.Get("Content-Range") != c.rng || a.text != c.want {
			t.Errorf("%s %s: %d %q %q", c.target, c.spec, a.StatusCode, a.Header.Get("Content-Range"), a.text)
		}
	}
}

func TestMetaRefreshIsALink(t *testing.T) {
	w := newWorld(t)
	w.html(noon, "https://a.example/", `<meta http-equiv=refresh content="0;url=/next">`)
	w.commit()
	w.want(w.get("/web/"+tenStamp+"/https://a.example/"), 200, "leads on to", `<a href="/web/20261124120000/https://a.example/next">https://a.example/next</a>`)
}

func TestSelfRedirectIsNotFollowed(t *testing.T) {
	w := newWorld(t)
	w.put(noon, "https://a.example/x", "301 Moved", "Location: https://a.example/x\r\n", "")
	w.html(noon.Add(time.Hour), "https://a.example/x", "<p>there")
	w.put(noon, "http://a.example/x", "301 Moved", "Location: https://a.example/x\r\n", "")
	w.commit()
	a := w.get("/web/" + tenStamp + "im_/https://a.example/x")
	w.want(a, 200, "there")
	a = w.get("/web/" + tenStamp + "/http://a.example/x")
	if a.StatusCode != 301 || a.Header.Get("Location") != "/web/"+tenStamp+"/https://a.example/x" {
		t.Errorf("%d %s", a.StatusCode, a.Header.Get("Location"))
	}
}

func TestIsolation(t *testing.T) {
	w := newWorld(t)
	w.html(noon, "https://a.example/", "<p>x")
	w.commit()
	port := w.srv.Listener.Addr().(*net.TCPAddr).Port
	at := "/web/" + tenStamp + "/https://a.example/"
	for host, status := range map[string]int{"replay.example.org": 200, fmt.Sprintf("localhost:%d", port): 200, fmt.Sprintf("127.0.0.1:%d", port): 200,
		"attacker.example": 421, fmt.Sprintf("attacker.example:%d", port): 421, "127.0.0.1": 421, "localhost:1": 421, fmt.Sprintf("127.0.0.2:%d", port): 421, "a.example": 421} {
		if got := w.get(at, "Host", host).StatusCode; got != status {
			t.Errorf("Host %s: %d, want %d", host, got, status)
		}
	}
	w.want(w.get(at, "Service-Worker", "script"), 403)
	w.want(w.do("POST", at), 405)
	w.want(w.do("OPTIONS", at), 405)
	own := w.get("/")
	if own.Header.Get("Content-Security-Policy") != ownPolicy {
		t.Error(own.Header)
	}
}

// The table of archive-formats 5.3: whatever stands in an address, our pages show it as text and our headers hold it.
func TestHostileAddresses(t *testing.T) {
	w := newWorld(t)
	hostile := `https://a.example/"><script>alert(1)</script>`
	w.html(noon, "https://a.example/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", `<p>x</p></title><script>alert(1)</script>`)
	w.put(noon, "https://a.example/crlf", "302 Found", "Location: /x%0d%0aSet-Cookie:%20a=b\r\n", "")
	w.commit()
	for _, target := range []string{
		"/web/" + tenStamp + "/" + strings.ReplaceAll(hostile, " ", "%20"),
		"/web/*/" + hostile, "/web/" + hostile, "/web/timemap/link/" + hostile, "/beside/2026/" + hostile,
		`/web/"><script>alert(1)</script>/https://a.example/`, `/web/2026"><script>/https://a.example/`, `/"><script>alert(1)</script>`,
		"/web/" + tenStamp + "/javascript:alert(1)", "/web/javascript:alert(1)", "/web/*/javascript:alert(1)", "/web/data:text/html,<script>alert(1)</script>",
		"/web/" + tenStamp + "/https://a.example/</title><script>alert(1)</script>", "/web/*/https://a.example/%0d%0aSet-Cookie:%20a=b",
		"/web/https://a.example/%0d%0aSet-Cookie:%20a=b", "/web/" + tenStamp + "/https://a.example/crlf", "/web/2026/https://a.example/..%2f..%2f..%2fetc/passwd",
		"/web/../../etc/passwd", "/web/2026/file:///etc/passwd", "/web/2026/https://a.example/%00", "/web/%00/https://a.example/", "/snapshot/../x/https://a.example/",
		`/snapshot/20261124120000000."><script>/https://a.example/`, "/snapshot/20261124120000000.x/https://a.example/", "/web/2026/" + strings.Repeat("a", 20<<10),
		"/web/2026/https://a.example/" + strings.Repeat("%22%3E", 2000), "/web/?url=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/web/?url=javascript:alert(1)",
		"/web/2026/https://[::1/", "/web/2026/https://a.example:99999999/", "/web/2026/https://evil@a.example/", "//evil.example/", "/web//evil.example/", "/web/2026///evil.example",
	} {
		a := w.get(target)
		if a.StatusCode >= 500 {
			t.Errorf("%.80s: %d", target, a.StatusCode)
		}
		policy := a.Header.Get("Content-Security-Policy")
		if a.Header.Get("Memento-Datetime") == "" || a.StatusCode >= 300 && a.StatusCode < 400 {
			if strings.Contains(a.text, "<script") {
				t.Errorf("%.80s: a script in our own page: %.200s", target, a.text)
			}
		} else if policy != Policy {
			t.Errorf("%.80s: policy %q", target, policy)
		}
		if policy != Policy && policy != ownPolicy && a.StatusCode != 400 {
			t.Errorf("%.80s: policy %q", target, policy)
		}
		if a.Header.Get("Set-Cookie") != "" || strings.ContainsAny(a.Header.Get("Location"), "\r\n") {
			t.Errorf("%.80s: %v", target, a.Header)
		}
		if l := a.Header.Get("Location"); l != "" && (!strings.HasPrefix(l, "/web/") || strings.HasPrefix(l, "//")) {
			t.Errorf("%.80s leads to %s", target, l)
		}
		if strings.Contains(a.text, "root:") {
			t.Errorf("%.80s: a file", target)
		}
	}
}

func TestRevisitsAndCuts(t *testing.T) {
	w := newWorld(t)
	w.html(noon, "https://a.example/", "<p>the same octets")
	c := w.html(noon.Add(time.Hour), "https://a.example/", "<p>the same octets")
	w.commit()
	if !c.Revisit {
		t.Fatal("no revisit")
	}
	w.want(w.get("/web/20261124130000/https://a.example/"), 200, "the same octets")
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"20261124120000/https://a.example/", "2026im_/http:/x", "20261124120000000.abc-deif_/https://a.example/?b", "http%3A%2F%2Fx%2F", "*/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(u string) {
			if !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
				t.Errorf("%q gives %q", s, u)
			}
			if strings.ContainsAny(quoteURL(u), "\"'<> \r\n\\`") {
				t.Errorf("%q is not quoted: %q", u, quoteURL(u))
			}
			again, ok := Repair(u)
			if !ok || quoteURL(again) != quoteURL(u) {
				t.Errorf("%q becomes %q", u, again)
			}
			if again, ok = Repair(quoteURL(u)); !ok || quoteURL(again) != quoteURL(u) { // else redirects to it would not end
				t.Errorf("%q, quoted, becomes %q", u, again)
			}
		}
		if a, ok, err := parseMemento(s); ok && err == nil {
			check(a.url)
		}
		if a, _, ok := parseShot(s); ok {
			check(a.url)
		}
		if u, ok := Repair(s); ok {
			check(u)
		}
	})
}

// TestSlowReaders: readers that take a page and do not read it hold no place of those that pages are made in, and what waits
// for them is bounded.
func TestSlowReaders(t *testing.T) {
	w := newWorld(t)
	w.html(noon, "https://a.example/", "<body>"+strings.Repeat("<p>Words of a long page. ", 400_000)) // more than sockets hold
	w.html(noon, "https://a.example/short", "<p>short")
	w.commit()
	h, err := New(Config{Archive: w.a, Rewriting: 2, MaxHeld: 40 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w.h = h
	for range 3 {
		conn, err := net.Dial("tcp", w.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /web/%sif_/https://a.example/ HTTP/1.1\r\nHost: %s\r\n\r\n", tenStamp, w.srv.Listener.Addr())
		if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun
			t.Fatal(err)
		}
	}
	w.want(w.get("/web/"+tenStamp+"if_/https://a.example/short"), 200, "short")
	var full answer
	for range 5 {
		conn, err := net.Dial("tcp", w.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /web/%sif_/https://a.example/ HTTP/1.1\r\nHost: %s\r\n\r\n", tenStamp, w.srv.Listener.Addr())
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		line, err := bufio.NewReaderSize(conn, 16).ReadString(' ')
		if err != nil || line != "HTTP/1.1 " {
			t.Fatal(line, err)
		}
	}
	full = w.get("/web/" + tenStamp + "if_/https://a.example/")
	w.want(full, 503, "slow readers")
	if full.Header.Get("Retry-After") == "" || full.Header.Get("Memento-Datetime") != "" {
		t.Error(full.Header)
	}
	w.want(w.get("/web/"+tenStamp+"if_/https://a.example/short"), 200, "short")
}

func BenchmarkServe(b *testing.B) {
	w := newWorld(b)
	w.html(noon, "https://a.example/", "<body>"+strings.Repeat(`<p>Some text of a page <a href="/x">with a link</a> and <img src="/p.png"> a picture.</p>`, 300))
	w.put(noon, "https://a.example/p.png", "200 OK", "Content-Type: image/png\r\n", strings.Repeat("p", 20_000))
	w.commit()
	for name, target := range map[string]string{"page": "/web/20261124120000/https://a.example/", "picture": "/web/20261124120000im_/https://a.example/p.png"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", target, nil)
				r.Host = "replay.example.org"
				rec := httptest.NewRecorder()
				w.h.ServeHTTP(rec, r)
				if rec.Code != 200 {
					b.Fatal(rec.Code, rec.Body)
				}
			}
		})
	}
}
