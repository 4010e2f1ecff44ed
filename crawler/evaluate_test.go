package crawler

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/bits"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/internal/perturb"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

// TestEvaluate serves labelled pairs of pages by local servers, has them judged by Run, and prints how often the verdicts
// are right. By default it takes a small fixed sample. The whole evaluation is a command of its own:
//
//	MIRRORWATCH_EVALUATE=all go test ./crawler -run TestEvaluate -v -timeout 60m
//
// Publishers are split in two halves by a hash of their name. MIRRORWATCH_EVALUATE=tuned judges only the half that rules
// and thresholds may be tuned on (a seventh of its pages), and lists what went wrong; MIRRORWATCH_EVALUATE=reported only
// the other, whose single cases are never shown. MIRRORWATCH_EVALUATE_ROWS, a regular expression, picks rows, then of all
// pages of the half.
func TestEvaluate(t *testing.T) {
	mode, rows := os.Getenv("MIRRORWATCH_EVALUATE"), os.Getenv("MIRRORWATCH_EVALUATE_ROWS")
	pages := evaluationPages(t)
	blocks := blockPages(t)
	w := newEvaluation(t)
	samplePage := slices.IndexFunc(pages, func(p evaluationPage) bool { return p.tuned && len(p.paras) > 8 && len(p.html) < 60_000 })
	tallies := map[bool]*tally{true: newTally(), false: newTally()}
	started := time.Now()
	for n := range pages {
		p := &pages[n]
		switch {
		case mode == "" && n != samplePage, mode == "tuned" && n%7 != 0 && rows == "", mode == "tuned" && !p.tuned, mode == "reported" && p.tuned:
			continue
		}
		at := len(tallies[p.tuned].notes)
		w.page(t, n, pages, blocks, mode != "", tallies[p.tuned])
		if p.tuned {
			for _, note := range tallies[true].notes[at:] {
				t.Log(note)
			}
		}
	}
	for _, tuned := range []bool{true, false} {
		tl := tallies[tuned]
		if tl.pairs == 0 {
			continue
		}
		name := "reported half"
		if tuned {
			name = "tuned half"
		}
		tl.print(t, name)
		if !tuned || mode == "" {
			tl.gates(t, mode != "")
		}
	}
	t.Logf("%d pages in %.0f s", len(pages), time.Since(started).Seconds())
}

// evaluationPage is a real page with the text that people marked in it.
type evaluationPage struct {
	url   *url.URL
	html  []byte
	gold  string // words of the marked text, joined by spaces
	paras []string
	read  *content.Page
	tuned bool
}

func testdataFolder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "articles", "ground-truth.json")); err != nil {
		t.Skipf("SKIPPED, NOTHING EVALUATED: no test data at %q; set MIRRORWATCH_TESTDATA", dir)
	}
	return dir
}

func evaluationPages(t testing.TB) []evaluationPage {
	t.Helper()
	dir := filepath.Join(testdataFolder(t), "articles")
	raw, err := os.ReadFile(filepath.Join(dir, "ground-truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth map[string]struct {
		Body string `json:"articleBody"`
		URL  string `json:"url"`
	}
	if err := json.Unmarshal(raw, &truth); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for id := range truth {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []evaluationPage
	for _, id := range ids {
		f, err := os.Open(filepath.Join(dir, "html", id+".html.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		src, err := io.ReadAll(z)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		name, _ := message.Charset("text/html", src)
		if u, err := message.ToUTF8(name, src); err == nil {
			src = u
		}
		p := evaluationPage{html: src, gold: wordsOf(truth[id].Body)}
		for _, s := range strings.Split(truth[id].Body, "\n") {
			if len(strings.Fields(s)) >= 12 {
				p.paras = append(p.paras, s)
			}
		}
		p.url, err = url.Parse(truth[id].URL)
		if err != nil || p.url.Host == "" {
			p.url = &url.URL{Path: "/a/" + id, Host: "publisher-" + id[:6] + ".example"}
		}
		p.url.Scheme, p.url.Fragment = "https", ""
		if p.url.Path == "" || p.url.Path == "/" {
			p.url.Path = "/2020/story-" + id[:8]
		}
		h := fnv.New32a()
		h.Write([]byte(strings.TrimPrefix(p.url.Hostname(), "www.")))
		p.tuned = h.Sum32()%2 == 0
		out = append(out, p)
	}
	return out
}

func wordsOf(s string) string { return " " + strings.Join(content.Words(s), " ") + " " }

// has reports whether a text belongs to the article, by the marks of people, not by our own extraction.
func (p *evaluationPage) has(s string) bool {
	w := wordsOf(s)
	return len(w) > 20 && strings.Contains(p.gold, w)
}

type wildPage struct {
	name  string
	body  []byte
	tuned bool
}

func blockPages(t testing.TB) []wildPage {
	files, _ := filepath.Glob(filepath.Join(testdataFolder(t), "interstitials", "block", "*.html"))
	var out []wildPage
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(f)
		h := fnv.New32a()
		h.Write([]byte(strings.Join(strings.SplitN(name, "_", 4)[:min(3, strings.Count(name, "_")+1)], "_")))
		out = append(out, wildPage{name, b, h.Sum32()%2 == 0})
	}
	if len(out) == 0 {
		t.Fatal("no block pages in the test data")
	}
	return out
}

// labelled is one mirror's answer and what must be said of it.
type labelled struct {
	row    string
	want   string // same, altered, truncated, translation, not; "altered or truncated"
	moved  bool   // another template
	kinds  []string
	class  []survey.PageClass // of what is not the article; the first one is the label
	real   bool               // a page from the wild, not one of ours
	body   []byte
	status int
	header map[string]string
	via    string // "", redirect, refresh, frame, home: how the body is reached
	cut    string // "", length, close
	soft   bool   // any address is answered like this
	root   []byte // the mirror's front page, when it is not the ordinary one
}

// evaluation is the servers that the pairs come from.
type evaluation struct {
	*testWorld
	mu    sync.RWMutex
	hosts map[string]http.Handler
	certs map[string]*tls.Certificate
	addr  string
}

func newEvaluation(t *testing.T) *evaluation {
	e := &evaluation{testWorld: newWorld(t), hosts: map[string]http.Handler{}, certs: map[string]*tls.Certificate{}}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := h.ServerName
		if strings.HasSuffix(name, ".mirrors.example") {
			name = "*.mirrors.example"
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		c := e.certs[name]
		if c == nil {
			made := e.certificate(name, nil)
			c = &made
			e.certs[name] = c
		}
		return c, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ErrorLog: quietLog(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.RLock()
		h := e.hosts[r.Host]
		e.mu.RUnlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	e.addr = ln.Addr().String()
	return e
}

// Put keeps nothing: thousands of pages pass through.
func (e *evaluation) Put(_ context.Context, x *survey.Exchange) (survey.Capture, error) {
	return survey.Capture{RecordID: x.ID, File: "none", URL: x.URL, Payload: x.PayloadDigest, Date: x.Started, Status: x.Status}, nil
}

func (e *evaluation) Note(context.Context, survey.Note) (survey.Capture, error) {
	return survey.Capture{}, nil
}

// publisher answers like a news site: the article under its address, a front page, its own page for what is not there.
type publisher struct {
	path    string
	page    labelled
	root    []byte
	missing []byte
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	send := func(status int, body []byte) {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	status := p.page.status
	if status == 0 {
		status = 200
	}
	for k, v := range p.page.header {
		w.Header().Set(k, v)
	}
	article := r.URL.RequestURI() == p.path || p.page.soft && r.URL.Path != "/"
	switch {
	case r.URL.Path == "/notice":
		if p.page.via != "" {
			send(status, p.page.body)
			return
		}
		send(404, p.missing)
	case article && p.page.via == "redirect":
		w.Header().Set("Location", "/notice?from=article")
		w.WriteHeader(302)
	case article && p.page.via == "home":
		w.Header().Set("Location", "/")
		w.WriteHeader(302)
	case article && p.page.via == "refresh":
		send(200, []byte(`<html><head><meta http-equiv="refresh" content="0; url=/notice"></head><body></body></html>`))
	case article && p.page.via == "frame":
		send(200, []byte(`<html><frameset rows="100%"><frame src="https://blocked.provider.example/deny?why=law"></frameset></html>`))
	case article && p.page.cut == "length":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", fmt.Sprint(len(p.page.body)))
		_, _ = w.Write(cutInside(p.page.body))
		if c, ok := w.(http.Flusher); ok {
			c.Flush()
		}
		panic(http.ErrAbortHandler)
	case article && p.page.cut == "close":
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		fmt.Fprintf(buf, "HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n%s", cutInside(p.page.body))
		_ = buf.Flush()
		_ = c.Close()
	case article:
		send(status, p.page.body)
	case r.URL.Path == "/":
		if p.page.root != nil {
			send(200, p.page.root)
			return
		}
		send(200, p.root)
	case r.URL.Path == "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
		send(200, []byte("User-agent: *\nAllow: /\n"))
	default:
		send(404, p.missing)
	}
}

// cutInside drops everything behind the middle of what is left between the marks that page put there.
func cutInside(b []byte) []byte {
	if i := bytes.Index(b, []byte(cutMark)); i >= 0 {
		return b[:i]
	}
	return b[:len(b)/2]
}

const cutMark = "<!-- the connection ends here -->"

// page judges all pairs of one real page.
func (e *evaluation) page(t *testing.T, n int, pages []evaluationPage, blocks []wildPage, whole bool, tl *tally) {
	p := &pages[n]
	p.read = content.Read(p.html, content.Options{URL: p.url.String(), ContentType: "text/html"})
	missing := perturb.Replace(p.html, p.has, "Page not found", []string{"The page you asked for is not here. It may have been moved, or the address may be wrong."}, "", false)
	root := perturb.Replace(p.html, p.has, "Front page", headlines(pages, n), "", false)
	if missing == nil {
		missing, root = []byte(frame("Not found", "<p>There is no such page here.</p>")), []byte(frame("Front page", "<p>"+strings.Join(headlines(pages, n), "</p><p>")+"</p>"))
	}
	pairs := e.pairs(n, pages, blocks, root, missing, whole)
	e.judge(t, p, p.html, root, missing, pairs, tl)

	// Articles that quote what notices say.
	quotes := []string{
		"“This domain has been seized by the Federal Bureau of Investigation pursuant to a seizure warrant issued by the United States District Court,” the page read on Tuesday, and the agency's seal stood below it.",
		"Readers in the region see another sentence instead, “Access to this website has been blocked by order of the regulator”, or are asked by a captcha to prove that they are human.",
	}
	if with := perturb.Append(p.html, p.has, quotes...); with != nil && os.Getenv("MIRRORWATCH_EVALUATE_ROWS") == "" {
		e.judge(t, p, with, root, missing, []labelled{{row: "same: quotes notices", want: "same", body: with},
			{row: "not: block page for an article that quotes one", want: "not", class: []survey.PageClass{survey.ClassBlockPage}, real: true, body: blocks[n%len(blocks)].body}}, tl)
	}
	p.read = nil
}

// headlines are what a front page or a list of results consists of.
func headlines(pages []evaluationPage, n int) []string {
	var out []string
	for k := 1; len(out) < 12 && k < len(pages); k++ {
		q := pages[(n+k*5)%len(pages)]
		if len(q.paras) > 0 {
			words := strings.Fields(q.paras[0])
			out = append(out, strings.Join(words[:min(len(words), 14)], " ")+" …")
		}
	}
	return out
}

func (e *evaluation) pairs(n int, pages []evaluationPage, blocks []wildPage, root, missing []byte, whole bool) []labelled {
	p := &pages[n]
	title := p.read.Title
	seeds := 1
	if whole {
		seeds = 2
	}
	var out []labelled
	for s := range seeds {
		for _, c := range perturb.Cases(p.html, p.has, title, uint64(n)<<8|uint64(s)) {
			random := c.Want == "altered" && c.Name != "headline" && c.Name != "names swapped" && c.Name != "link target"
			if s > 0 && !oneWord(c.Name) && !strings.HasPrefix(c.Name, "sentence") || !random && s > 0 {
				continue
			}
			l := labelled{row: c.Name, want: c.Want, kinds: c.Kinds, body: c.HTML}
			l.moved = strings.HasSuffix(c.Name, "layout")
			out = append(out, l)
		}
	}
	whichever := len(out) > 0
	out = append(out, labelled{row: "same: bytes, other fields", want: "same", body: p.html, header: map[string]string{"Set-Cookie": "session=1", "X-Served-By": "edge-7"}})
	if a := p.read.Author; len(strings.Fields(a)) >= 2 && len(a) < 40 && bytes.Count(p.html, []byte(a)) > 0 {
		out = append(out, labelled{row: "author", want: "altered", kinds: []string{"author"}, body: bytes.ReplaceAll(p.html, []byte(a), []byte("Casper Thornquist"))})
	}
	if im := p.read.LeadImage; im != "" {
		if u, err := url.Parse(im); err == nil {
			file := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
			if len(file) > 8 && bytes.Count(p.html, []byte(file)) > 0 && strings.Contains(file, ".") {
				out = append(out, labelled{row: "picture", want: "altered", kinds: []string{"image"}, body: bytes.ReplaceAll(p.html, []byte(file), []byte("another-picture-entirely.jpg"))})
			}
		}
	}
	if whichever {
		// Connections that end in the middle of the article's text.
		at := p.middle()
		if at > 0 {
			marked := slices.Concat(p.html[:at], []byte(cutMark), p.html[at:])
			out = append(out, labelled{row: "cut by Content-Length", want: "truncated", body: marked, cut: "length"}, labelled{row: "cut by closing", want: "truncated", body: marked, cut: "close"})
		}
	}
	for k := 1; k <= 40 && whichever; k++ {
		q := &pages[(n+k*11)%len(pages)]
		if q.tuned != p.tuned {
			continue
		}
		if moved := perturb.Transplant(p.html, p.has, title, q.html, q.has); moved != nil {
			out = append(out, labelled{row: "same: transplanted", want: "same", moved: true, body: moved})
			if !whole || countRow(out, "same: transplanted") == 2 {
				break
			}
		}
	}

	// What is not the article.
	not := func(row string, body []byte, class ...survey.PageClass) *labelled {
		out = append(out, labelled{row: "not: " + row, want: "not", class: class, body: body})
		return &out[len(out)-1]
	}
	others := 0
	for k := 1; others < 2 && k < len(pages); k++ {
		q := &pages[(n+k*7)%len(pages)]
		if q.gold == p.gold || q.tuned != p.tuned || len(q.paras) < 4 {
			continue
		}
		others++
		not("another publisher's article", q.html, survey.ClassArticle).real = true
		if other := perturb.Replace(p.html, p.has, firstWords(q.paras[0], 9), q.paras, "", false); other != nil {
			not("another article, same template", other, survey.ClassArticle)
		}
		if others == 1 {
			if other := perturb.Replace(p.html, p.has, "", q.paras, "", true); other != nil {
				not("another article under the article's headline", other, survey.ClassArticle)
			}
		}
	}
	for k := range pages {
		if q := &pages[k]; k != n && q.url.Host == p.url.Host && q.gold != p.gold {
			not("another article of the publisher", q.html, survey.ClassArticle).real = true
		}
	}
	not("home page with 200", root, survey.ClassHomePage)
	not("redirect home", root, survey.ClassHomePage).via = "home"
	list := headlines(pages, n+17)
	if b := perturb.Replace(p.html, p.has, "World news", list, "", false); b != nil {
		not("category page", b, survey.ClassUnknown, survey.ClassArticle)
	}
	if b := perturb.Replace(p.html, p.has, "Search results", append([]string{"You searched for: " + title, title}, list...), "", false); b != nil {
		not("search page", b, survey.ClassUnknown, survey.ClassArticle)
	}
	if len(p.paras) > 5 {
		if b := perturb.Replace(p.html, p.has, "Latest stories", append([]string{title, p.paras[0]}, list...), "", false); b != nil {
			not("list that quotes the first paragraph", b, survey.ClassUnknown, survey.ClassArticle)
		}
	}
	s404 := not("soft 404", missing, survey.ClassSoft404)
	s404.soft = true
	if b := perturb.Replace(p.html, p.has, "Sign in", []string{"Sign in to your account to continue. Enter your email address and your password, or create an account if you have none."}, "", false); b != nil {
		not("login in the template", bytes.Replace(b, []byte("</p>"), []byte(`</p><form action="/login" method="post"><input name="email" type="email"><input name="password" type="password"><button>Sign in</button></form>`), 1), survey.ClassLogin, survey.ClassUnknown)
	}
	var mine []wildPage // templates are split as publishers are
	for _, b := range blocks {
		if b.tuned == p.tuned {
			mine = append(mine, b)
		}
	}
	every := 1
	if !whole {
		every = 3
	}
	for k := n % 2; k < 8; k += 2 * every {
		b := mine[(n*4+k/2)%len(mine)]
		l := not("block page "+b.name, b.body, survey.ClassBlockPage)
		l.real = true
		l.header = map[string]string{"Content-Type": "text/html"} // its charset is in the page or nowhere
		switch k {
		case 2:
			l.status = 403
		case 3:
			l.status = 503
		case 4:
			l.status, l.class = 451, []survey.PageClass{survey.ClassLegal451}
		case 5:
			l.via = "redirect"
		case 6:
			l.via = "refresh"
		}
	}
	if n%4 == 0 {
		not("block page in a frame", nil, survey.ClassBlockPage).via = "frame"
	}
	hidden := []byte("<html><head><title>Blocked</title></head><body><h1>Access denied</h1><p>This website has been blocked by order of the telecommunications regulator under the law.</p><div style=\"display:none\">" + strings.Join(p.paras, "</p><p>") + "</div></body></html>")
	not("block page with the article hidden in it", hidden, survey.ClassBlockPage)
	stuffed := []byte("<html><head><title>Blocked</title></head><body><h1>This website is blocked</h1><p>Access to this website has been blocked by order of the court.</p><p>" + strings.Repeat("news world politics economy sport culture weather harbour council minister report ", 40) + "</p></body></html>")
	not("stuffed block page", stuffed, survey.ClassBlockPage)
	for i, c := range ownPages {
		if whole && (i+n)%5 != 0 {
			continue
		}
		l := not(c.row, []byte(c.body), c.class...)
		l.status, l.header = c.status, c.header
	}
	for i, h := range wildChallenges() {
		if whole && (i+n)%4 != 0 {
			continue
		}
		out = append(out, h)
	}
	if b := perturb.Replace(p.html, p.has, title, translation(p.paras), "eo", true); b != nil && strings.HasPrefix(p.read.Lang, "en") {
		out = append(out, labelled{row: "translation", want: "translation", body: b})
	}
	if rows := os.Getenv("MIRRORWATCH_EVALUATE_ROWS"); rows != "" {
		re := regexp.MustCompile(rows)
		return slices.DeleteFunc(out, func(l labelled) bool { return !re.MatchString(l.row) })
	}
	if !whole {
		return out
	}
	// All publishers, each with a part of the rows: two thirds of what is not the article, half of the rest, and every edit of a
	// name or number.
	var kept []labelled
	for i, l := range out {
		if oneWord(l.row) || l.want == "not" && (i+n)%3 != 0 || l.want != "not" && (i+n)%2 == 0 {
			kept = append(kept, l)
		}
	}
	return kept
}

func countRow(all []labelled, row string) int {
	n := 0
	for _, l := range all {
		if l.row == row {
			n++
		}
	}
	return n
}

func firstWords(s string, n int) string {
	w := strings.Fields(s)
	return strings.Join(w[:min(n, len(w))], " ")
}

// middle is an offset in the page inside the text of the article's middle paragraph, where readers see it: what comes before
// shows the article's beginning. Descriptions in the head hold the same words.
func (p *evaluationPage) middle() int {
	if len(p.paras) < 6 {
		return -1
	}
	w := strings.Fields(p.paras[len(p.paras)/2])
	if len(w) < 12 {
		return -1
	}
	needle := []byte(strings.Join(w[4:8], " "))
	for at := bytes.Index(p.html, []byte("<body")); at >= 0; {
		i := bytes.Index(p.html[at:], needle)
		if i < 0 {
			return -1
		}
		at += i
		if bytes.LastIndex(p.html[:at], []byte("<script")) <= bytes.LastIndex(p.html[:at], []byte("</script")) && bytes.Contains(p.html[:at], []byte(firstWords(p.paras[0], 3))) &&
			strings.Contains(wordsOf(content.Read(p.html[:at], content.Options{}).Visible), wordsOf(firstWords(p.paras[0], 6))) {
			return at
		}
		at += len(needle)
	}
	return -1
}

// translation makes a text in another language with the numbers of the article.
func translation(paras []string) []string {
	var out []string
	for i, s := range paras {
		var figures []string
		for _, w := range strings.Fields(s) {
			if strings.ContainsAny(w, "0123456789") {
				figures = append(figures, w)
			}
		}
		out = append(out, fmt.Sprintf("La konsilantoj diris hodiaŭ en la urbo ke la afero ankoraŭ ne estas finita kaj ke oni devas atendi la sekvan kunvenon de la komitato, %s, laŭ raporto %d de la ĵurnalo.", strings.Join(figures, ", "), i+1))
	}
	return out
}

// judge has the pairs judged beside one primary.
func (e *evaluation) judge(t *testing.T, p *evaluationPage, primary, root, missing []byte, pairs []labelled, tl *tally) {
	pins := map[string]string{p.url.Host + ":443": e.addr}
	path := p.url.RequestURI()
	e.mu.Lock()
	e.hosts = map[string]http.Handler{p.url.Host: &publisher{path: path, page: labelled{body: primary}, root: root, missing: missing}}
	var plan Plan
	for i, l := range pairs {
		host := fmt.Sprintf("m%d.mirrors.example", i)
		move := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(p.url.Host), []byte(host)) }
		if l.row != "same: bytes, other fields" {
			l.body = move(l.body)
		}
		pins[host+":443"] = e.addr
		e.hosts[host] = &publisher{path: path, page: l, root: move(root), missing: move(missing)}
		name := fmt.Sprint("pair", i)
		plan.Sites = append(plan.Sites, SitePlan{
			Site: survey.Site{Name: name, Mirrors: []survey.Mirror{{Scheme: "https", Host: survey.Host(p.url.Host), Role: survey.Primary},
				{Scheme: "https", Host: survey.Host(host), Role: survey.Alternate}}},
			Articles: []survey.Article{{Site: name, URL: p.url.String()}}, Vantages: []survey.Vantage{{Name: "direct"}},
			Settings: Settings{Timeout: time.Minute, Retries: -1, MaxRequisites: -1, Links: "none", RetryWait: time.Millisecond},
			Transport: func(v survey.Vantage) (http.RoundTripper, error) {
				return wire.New(wire.Config{Vantage: v, ConnectTo: pins, Roots: e.roots, UserAgent: "test", Recorder: e,
					Limits: wire.Limits{FirstByte: time.Minute, Connect: time.Minute, TLS: time.Minute, Stall: time.Minute}})
			},
		})
	}
	e.mu.Unlock()
	cfg := e.config()
	cfg.Sink, cfg.PerHost = e, 64
	report, err := Run(context.Background(), cfg, plan, Stop{})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range pairs {
		f := finding(t, survey.Report{Articles: report.Articles[i : i+1]}, fmt.Sprintf("m%d.mirrors.example", i))
		tl.add(p, l, f, primary, e.hosts[fmt.Sprintf("m%d.mirrors.example", i)].(*publisher))
	}
}

// share is a proportion with its 95% interval after Wilson.
type share struct{ k, n int }

func (s *share) add(hit bool) {
	s.n++
	if hit {
		s.k++
	}
}

func (s share) rate() float64 { return float64(s.k) / float64(max(1, s.n)) }

func (s share) String() string {
	if s.n == 0 {
		return "-"
	}
	const z = 1.96
	n, p := float64(s.n), s.rate()
	mid := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return fmt.Sprintf("%d/%d = %.2f%% [%.2f, %.2f]", s.k, s.n, 100*p, 100*max(0, mid-half), 100*min(1, mid+half))
}

// tally gathers one half's results.
type tally struct {
	pairs, negatives                      int
	matrix                                map[string]map[string]int // row -> verdict
	verdicts                              map[string]map[string]int // wanted -> verdict
	claimed                               map[string]map[string]int // falsely, over other templates: confidence -> kind of change
	falseAvailable, falseUnavailable      share
	missedWord, missedSentence, missedAny share
	falseAltered, falseMoved, movedNotLow share
	undetermined, blocked                 share
	changesFound, changesRight            share
	classes                               map[bool]map[[2]survey.PageClass]int
	ooni, simhash                         baseline
	notes                                 []string
}

// baseline is another rule on the same pairs.
type baseline struct{ falseAvailable, falseUnavailable, missedWord, missedSentence, missedAny, falseAltered share }

func newTally() *tally {
	return &tally{matrix: map[string]map[string]int{}, verdicts: map[string]map[string]int{}, claimed: map[string]map[string]int{}, classes: map[bool]map[[2]survey.PageClass]int{true: {}, false: {}}}
}

func tick(m map[string]map[string]int, a, b string) {
	if m[a] == nil {
		m[a] = map[string]int{}
	}
	m[a][b]++
}

func oneWord(row string) bool {
	return row == "number" || row == "name" || row == "date" || row == "attribution"
}

func (tl *tally) add(p *evaluationPage, l labelled, f survey.Finding, primary []byte, served *publisher) {
	got := string(f.Verdict.Verdict)
	if f.State == survey.Up {
		got = "same"
	}
	tl.pairs++
	row := l.row
	if strings.HasPrefix(row, "not: block page ") && strings.HasSuffix(row, ".html") {
		row = "not: block page"
	}
	tick(tl.matrix, row, got)
	tick(tl.verdicts, l.want, got)
	article := got == "same" || got == "altered" || got == "truncated"
	wrong := false
	switch l.want {
	case "not":
		tl.negatives++
		tl.falseAvailable.add(article)
		challenge := l.class[0] == survey.ClassChallenge
		if !challenge {
			tl.undetermined.add(got == "undetermined")
		}
		class := f.PageClass
		label := l.class[0]
		if slices.Contains(l.class, class) {
			class = label
		}
		tl.classes[l.real][[2]survey.PageClass{label, class}]++
		if strings.Contains(l.row, "block page") {
			tl.blocked.add(f.State == survey.Down)
		}
		wrong = article || !challenge && f.State != survey.Down && label != survey.ClassLogin && label != survey.ClassConsent || class != label
	default:
		tl.falseUnavailable.add(f.State == survey.Down)
		tl.undetermined.add(got == "undetermined")
		wrong = !strings.Contains(l.want, got)
	}
	switch {
	case l.want == "same" && l.moved:
		if got == "altered" {
			for _, c := range f.Changes {
				tick(tl.claimed, string(f.Confidence), c.Kind)
			}
		}
		tl.falseMoved.add(got == "altered" || got == "truncated")
		tl.movedNotLow.add((got == "altered" || got == "truncated") && f.Confidence != survey.Low)
	case l.want == "same":
		tl.falseAltered.add(got == "altered" || got == "truncated")
	case l.want == "altered":
		tl.missedAny.add(got == "same")
		if oneWord(l.row) {
			tl.missedWord.add(got == "same")
		}
		if strings.HasPrefix(l.row, "sentence") {
			tl.missedSentence.add(got == "same")
		}
		right := 0
		for _, c := range f.Changes {
			ok := len(l.kinds) == 0 || slices.Contains(l.kinds, c.Kind)
			if ok {
				right++
			}
			tl.changesRight.add(ok)
		}
		tl.changesFound.add(right > 0)
		wrong = wrong || right == 0
	}
	if wrong {
		tl.notes = append(tl.notes, fmt.Sprintf("%s: %s: want %s %v, got %s %s %s: %.300s%s", p.url.Host, l.row, l.want, l.class, got, f.PageClass, f.Confidence, strings.Join(f.Reasons, " "), noted(f.Changes)))
	}
	tl.baselines(p, l, primary, served)
}

// noted shows the first changes shortly.
func noted(changes []survey.Change) string {
	var b strings.Builder
	for i, c := range changes {
		if i == 6 {
			break
		}
		fmt.Fprintf(&b, "\n\t\t%s %.160q -> %.160q", c.Kind, c.Reference, c.Candidate)
	}
	return b.String()
}

// baselines judges the pair by OONI's rule (classification.md 2.1) and by simhash at distance 3.
func (tl *tally) baselines(p *evaluationPage, l labelled, primary []byte, served *publisher) {
	body, status := served.page.body, served.page.status
	if status == 0 {
		status = 200
	}
	switch {
	case l.via == "home":
		body, status = served.root, 200
	case l.cut != "":
		body = cutInside(body)
	}
	a := p.read
	b := content.Read(body, content.Options{URL: p.url.String(), ContentType: "text/html"})
	ratio := float64(len(primary)) / float64(max(1, len(body)))
	if ratio > 1 {
		ratio = 1 / ratio
	}
	tl.ooni.add(l, status == 200 && (ratio > 0.7 || titleMatch(a.FullTitle, b.FullTitle)))
	x, y := simhash(content.Words(a.Text)), simhash(content.Words(b.Text))
	tl.simhash.add(l, bits.OnesCount64(x^y) <= 3)
}

func (b *baseline) add(l labelled, same bool) {
	switch l.want {
	case "not":
		b.falseAvailable.add(same)
	case "same":
		b.falseUnavailable.add(!same)
		b.falseAltered.add(!same)
	case "altered":
		b.missedAny.add(same)
		if oneWord(l.row) {
			b.missedWord.add(same)
		}
		if strings.HasPrefix(l.row, "sentence") {
			b.missedSentence.add(same)
		}
	}
}

// titleMatch is the rule of OONI's code: no word of five octets or more is missing on either side.
func titleMatch(a, b string) bool {
	words := func(s string) map[string]bool {
		out := map[string]bool{}
		for _, w := range strings.Split(strings.ToLower(s), " ") {
			if len(w) >= 5 {
				out[w] = true
			}
		}
		return out
	}
	x, y := words(a), words(b)
	if len(x) == 0 || len(x) != len(y) {
		return false
	}
	for w := range x {
		if !y[w] {
			return false
		}
	}
	return true
}

// simhash of the words' 3-grams, 64 bits.
func simhash(words []string) uint64 {
	var sums [64]int
	for g := range content.Shingles(words, 3) {
		for i := range sums {
			if g>>i&1 == 1 {
				sums[i]++
			} else {
				sums[i]--
			}
		}
	}
	var out uint64
	for i, s := range sums {
		if s > 0 {
			out |= 1 << i
		}
	}
	return out
}

func (tl *tally) print(t *testing.T, half string) {
	t.Helper()
	t.Logf("== %s: %d pairs, %d of them not the article", half, tl.pairs, tl.negatives)
	for _, m := range []map[string]map[string]int{tl.verdicts, tl.matrix} {
		var rows []string
		for r := range m {
			rows = append(rows, r)
		}
		slices.Sort(rows)
		for _, r := range rows {
			t.Logf("  %-46s %v", r, m[r])
		}
	}
	words := []string{"same", "altered", "truncated", "translation"}
	for _, w := range words {
		var precision, recall share
		for want, row := range tl.verdicts {
			for got, n := range row {
				if got == w {
					precision.n += n
					if strings.Contains(want, w) {
						precision.k += n
					}
				}
				if want == w {
					recall.n += n
					if got == w {
						recall.k += n
					}
				}
			}
		}
		t.Logf("  %-12s precision %s, recall %s", w, precision, recall)
	}
	line := func(name string, ours share, o, s *share) {
		more := ""
		if o != nil {
			more = fmt.Sprintf("; OONI's rule %s; simhash 3 %s", *o, *s)
		}
		t.Logf("  %-34s %s%s", name, ours, more)
	}
	line("false available", tl.falseAvailable, &tl.ooni.falseAvailable, &tl.simhash.falseAvailable)
	line("false unavailable", tl.falseUnavailable, &tl.ooni.falseUnavailable, &tl.simhash.falseUnavailable)
	line("missed name or number", tl.missedWord, &tl.ooni.missedWord, &tl.simhash.missedWord)
	line("missed sentence", tl.missedSentence, &tl.ooni.missedSentence, &tl.simhash.missedSentence)
	line("missed alteration, any", tl.missedAny, &tl.ooni.missedAny, &tl.simhash.missedAny)
	line("false alteration, same template", tl.falseAltered, &tl.ooni.falseAltered, &tl.simhash.falseAltered)
	line("false alteration, other template", tl.falseMoved, nil, nil)
	line("  of these not of low confidence", tl.movedNotLow, nil, nil)
	if len(tl.claimed) > 0 {
		t.Logf("    changes claimed there: %v", tl.claimed)
	}
	line("undetermined where due an answer", tl.undetermined, nil, nil)
	line("block pages seen not to be it", tl.blocked, nil, nil)
	line("change lists: precision", tl.changesRight, nil, nil)
	line("change lists: recall", tl.changesFound, nil, nil)
	t.Logf("  page classes, macro F1: real pages %.3f, own pages %.3f", tl.macroF1(t, true), tl.macroF1(t, false))
}

// macroF1 is the mean of the classes' F1.
func (tl *tally) macroF1(t *testing.T, real bool) float64 {
	tp, fp, fn := map[survey.PageClass]int{}, map[survey.PageClass]int{}, map[survey.PageClass]int{}
	labels := map[survey.PageClass]bool{}
	for pair, n := range tl.classes[real] {
		labels[pair[0]] = true
		if pair[0] == pair[1] {
			tp[pair[0]] += n
			continue
		}
		fn[pair[0]] += n
		fp[pair[1]] += n
	}
	sum := 0.0
	var parts []string
	for l := range labels {
		f := 2 * float64(tp[l]) / float64(max(1, 2*tp[l]+fp[l]+fn[l]))
		sum += f
		parts = append(parts, fmt.Sprintf("%s %.3f (%d)", l, f, tp[l]+fn[l]))
	}
	slices.Sort(parts)
	t.Logf("  classes (real: %v): %s", real, strings.Join(parts, ", "))
	return sum / float64(max(1, len(labels)))
}

// gates are the bounds of issue 5; of a small sample only what must never happen.
func (tl *tally) gates(t *testing.T, whole bool) {
	t.Helper()
	gate := func(name string, got, most float64) {
		if got > most {
			t.Errorf("%s: %.4f, the bound is %.4f", name, got, most)
		}
	}
	gate("false available", tl.falseAvailable.rate(), 0.003)
	gate("block pages taken for something else than down", 1-tl.blocked.rate(), 0)
	if !whole {
		gate("false unavailable", tl.falseUnavailable.rate(), 0.02)
		gate("missed name or number", tl.missedWord.rate(), 0)
		gate("missed sentence", tl.missedSentence.rate(), 0)
		gate("false alteration", tl.falseAltered.rate(), 0.05)
		gate("false alteration over templates that is not of low confidence", tl.movedNotLow.rate(), 0)
		return
	}
	gate("false unavailable", tl.falseUnavailable.rate(), 0.005)
	gate("missed name or number", tl.missedWord.rate(), 0.01)
	gate("missed sentence", tl.missedSentence.rate(), 0.01)
	gate("false alteration", tl.falseAltered.rate(), 0.02)
	gate("false alteration over templates", tl.falseMoved.rate(), 0.05)
	gate("false alteration over templates that is not of low confidence", tl.movedNotLow.rate(), 0)
	gate("undetermined", tl.undetermined.rate(), 0.03)
	for _, real := range []bool{true, false} {
		gate(fmt.Sprintf("1 - macro F1 (real: %v)", real), 1-tl.macroF1(t, real), 0.05)
	}
	if tl.pairs < 2000 || tl.negatives < 1300 {
		t.Errorf("%d pairs and %d negatives are too few", tl.pairs, tl.negatives)
	}
}
