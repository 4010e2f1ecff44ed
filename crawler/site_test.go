package crawler

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// plantedSite is a small newspaper: a front page, sections, articles with pictures, a style sheet. What one mirror does
// otherwise stands in its faults.
type plantedSite struct {
	host   string
	faults map[string]http.HandlerFunc
	edit   map[string]func(string) string
	mu     sync.Mutex
	asked  map[string]int
}

const plantedArticles = 24

func plantedStory(host string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<article><h1>Report number %d from the harbour of ward %d</h1>`, n, n*7)
	for k := range paragraphs {
		fmt.Fprintf(&b, "<p>Item %d of report %d. %s</p>", k, n, paragraphs[(k+n)%len(paragraphs)])
	}
	fmt.Fprintf(&b, `<p><img src="/img/%d.png" alt=""> <img src="/img/shared.png" alt=""></p><p>See also <a href="https://%s/story/%d/">the next</a> and <a href="/story/%d/">the one after it</a>.</p></article>`,
		n, host, (n+1)%plantedArticles, (n+2)%plantedArticles)
	page := frame(fmt.Sprintf("Report number %d", n), b.String())
	return strings.Replace(page, "</head>", `<meta property="article:modified_time" content="2026-02-03T10:00:00Z"></head>`, 1)
}

func (s *plantedSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[r.Method+" "+r.URL.RequestURI()]++
	s.mu.Unlock()
	if h := s.faults[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	html := func(page string) {
		if edit := s.edit[r.URL.Path]; edit != nil {
			page = edit(page)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	}
	var n, y, m int
	switch {
	case r.URL.Path == "/":
		var b strings.Builder
		b.WriteString(`<h1>Today</h1><ul>`)
		for i := range plantedArticles {
			fmt.Fprintf(&b, `<li><a href="/story/%d/">Report number %d from the harbour of ward %d</a></li>`, i, i, 7*i)
		}
		b.WriteString(`</ul><p><a href="/calendar/2026/1">Calendar</a> <a href="/turn/left">Round</a> <a href="/deep/">Deep</a></p>`)
		html(frame("The Harbour Post", b.String()))
	case r.URL.Path == "/world", r.URL.Path == "/coast", r.URL.Path == "/sport":
		html(frame("Section", "<h1>Section "+r.URL.Path+"</h1><p>What happened there is told on the front page, from where all reports can be read in full length by everybody.</p>"))
	case r.URL.Path == "/turn/left":
		w.Header().Set("Location", "/turn/right")
		w.WriteHeader(302)
	case r.URL.Path == "/turn/right":
		html(frame("Right", "<h1>The right turn</h1>"))
	case strings.HasPrefix(r.URL.Path, "/deep/"): // leads ever deeper into itself
		html(frame("Deep", `<h1>Deeper</h1><a href="`+r.URL.Path+`deep/">deeper</a>`))
	case r.URL.Path == "/style.css":
		w.Header().Set("Content-Type", "text/css")
		_, _ = io.WriteString(w, "@import 'more.css'; body{color:#222}")
	case r.URL.Path == "/more.css":
		w.Header().Set("Content-Type", "text/css")
		_, _ = io.WriteString(w, "main{background:url(img/shared.png)}")
	case r.URL.Path == "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
	case strings.HasPrefix(r.URL.Path, "/img/"):
		w.Header().Set("Content-Type", "image/png")
		_, _ = io.WriteString(w, "picture "+r.URL.Path)
	case scan(r.URL.Path, "/story/%d/", &n) && n < plantedArticles:
		html(plantedStory(s.host, n))
	case scan(r.URL.Path, "/calendar/%d/%d", &y, &m):
		if m++; m > 12 {
			y, m = y+1, 1
		}
		html(frame("Calendar", fmt.Sprintf(`<h1>%d/%d</h1><a href="/calendar/%d/%d">next month</a>`, y, m, y, m)))
	default:
		w.WriteHeader(http.StatusNotFound)
		html(frame("Not found", `<h1>Not found</h1><p>There is no such page here.</p>`))
	}
}

func scan(path, format string, to ...any) bool {
	n, err := fmt.Sscanf(path, format, to...)
	return err == nil && n == len(to)
}

// TestPlantedFaults crawls a site and three mirrors of it with faults: each is found with its class on its mirror, and
// nothing else is reported.
func TestPlantedFaults(t *testing.T) {
	const primary, a, b, c = "www.harbour.example", "a.harbour.example", "b.harbour.example", "c.harbour.example"
	w := newWorld(t)
	var limited, slow atomic.Int32
	sites := map[string]*plantedSite{primary: {host: primary}}
	sorry := frame("Sorry", "<h1>Sorry</h1><p>The page that you are looking for cannot be shown at the moment. Please go back to the front page and try again with another address, or write to the editors if you think that this is a mistake of ours.</p>")
	sites[a] = &plantedSite{host: a, faults: map[string]http.HandlerFunc{
		"/img/3.png":      status(404),
		"/img/shared.png": status(404),
		"/story/5/":       status(404),
		"/turn/right":     status(302, "Location", "/turn/right"),
	}, edit: map[string]func(string) string{
		"/story/6/": func(p string) string { return strings.ReplaceAll(p, "14,000", "1,400") },
	}}
	sites[b] = &plantedSite{host: b, faults: map[string]http.HandlerFunc{
		"/story/7/": page(200, sorry),
		"/story/8/": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"/img/9.png": func(w http.ResponseWriter, r *http.Request) { // 429 with Retry-After once, then fine
			if limited.Add(1) == 1 {
				status(429, "Retry-After", "1")(w, r)
				return
			}
			text("image/png", "picture /img/9.png")(w, r)
		},
		"/img/10.png": status(429, "Retry-After", "7200"),
		"/img/11.png": func(_ http.ResponseWriter, r *http.Request) { // never answers
			slow.Add(1)
			<-r.Context().Done()
		},
		"/img/12.png": func(w http.ResponseWriter, r *http.Request) { // answers late
			time.Sleep(200 * time.Millisecond)
			text("image/png", "picture /img/12.png")(w, r)
		},
	}, edit: map[string]func(string) string{
		"/story/13/": func(p string) string {
			p = strings.Replace(p, "2026-02-03", "2026-01-03", 1)
			return strings.ReplaceAll(p, "6 percent", "9 percent")
		},
	}}
	sites[c] = &plantedSite{host: c, faults: map[string]http.HandlerFunc{
		"/story/14/": status(301, "Location", "https://"+primary+"/story/14/"),
		"/story/15/": page(200, blockPage),
		"/story/16/": status(500),
	}, edit: map[string]func(string) string{
		"/story/17/": func(p string) string { return strings.ReplaceAll(p, "https://"+c+"/", "https://"+primary+"/") },
		"/story/18/": func(p string) string {
			return strings.ReplaceAll(p, `src="/img/18.png"`, `src="https://`+primary+`/img/18.png"`)
		},
	}}
	// On b every address that does not exist is answered with the sorry page and 200.
	for h, s := range sites {
		if h == b {
			w.serve(h, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "decoy") || strings.Contains(r.URL.Path, "99999999999") {
					page(200, sorry)(rw, r)
					return
				}
				s.ServeHTTP(rw, r)
			}))
			continue
		}
		w.serve(h, s)
	}
	p := w.plan(primary, a, b, c)
	p.Sites[0].Articles = nil
	p.Sites[0].Settings.Links = "site"
	p.Sites[0].Settings.Retries = 1
	cfg := w.config()
	cfg.PerHost = 8
	r, err := Run(context.Background(), cfg, p, Stop{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range r.Links {
		for _, res := range l.Results {
			got = append(got, fmt.Sprintf("%-18s %-10s %-22s %s", res.Mirror, res.State, res.Outcome, strings.TrimPrefix(l.Target, "https://"+primary)))
		}
		if len(l.Parents) == 0 {
			t.Errorf("%s has no parent", l.Target)
		}
	}
	for _, cr := range r.Crawls {
		for _, h := range cr.Hygiene {
			got = append(got, fmt.Sprintf("%-18s %-10s %-22s %s", cr.Mirror, "hygiene", h.Kind, strings.TrimPrefix(h.URL, "https://"+primary)))
		}
		for _, h := range cr.Traps {
			got = append(got, fmt.Sprintf("%-18s %-10s %-22s %s", cr.Mirror, "trap", "", strings.TrimPrefix(h, "https://"+primary)))
		}
	}
	line := func(m, state, class, what string) string {
		return fmt.Sprintf("%-18s %-10s %-22s %s", m, state, class, what)
	}
	want := []string{
		line(a, "broken", "status_404", "/img/3.png"), line(a, "broken", "status_404", "/img/shared.png"), line(a, "broken", "status_404", "/story/5/"),
		line(a, "broken", "redirect_loop", "/turn/right"), line(a, "broken", "altered", "/story/6/"),
		line(b, "broken", "soft_404", "/story/7/"), line(b, "broken", "soft_404", "/story/8/"), line(b, "not_judged", "rate_limited", "/img/10.png"),
		line(b, "broken", "timeout", "/img/11.png"), line(b, "broken", "stale", "/story/13/"),
		line(c, "hygiene", "redirect_to_primary", "https://"+c+"/story/14/"), line(c, "broken", "block_page", "/story/15/"), line(c, "broken", "status_500", "/story/16/"),
		line(c, "hygiene", "link_to_primary", "/story/18/"), line(c, "hygiene", "requisite_from_primary", "/img/18.png"),
		line(primary, "trap", "", "/calendar/0/0"), line(primary, "trap", "", "/deep/"),
	}
	sort.Strings(got)
	sort.Strings(want)
	t.Logf("found:\n%s", strings.Join(got, "\n"))
	for _, l := range want {
		if !contains(got, l) {
			t.Errorf("missed: %s", l)
		}
	}
	for _, l := range got {
		if !contains(want, l) {
			t.Errorf("not planted: %s", l)
		}
	}
	if slow.Load() != 2 {
		t.Errorf("the address that never answers was asked %d times, want 2", slow.Load())
	}
	for u, n := range sites[primary].asked {
		if n > 1 && !strings.Contains(u, "decoy") && !strings.Contains(u, "/story/6/") && !strings.Contains(u, "/story/13/") && u != "GET /" {
			t.Errorf("%s was asked %d times of the primary", u, n)
		}
	}
	for _, cr := range r.Crawls {
		t.Logf("%+v", cr)
		if !cr.Complete {
			t.Errorf("the crawl of %s is not complete", cr.Mirror)
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// TestCrawlGoesOn: a crawl that was stopped fetches in its next run what it had not, on every mirror, and no page twice; its
// counts are those of the whole.
func TestCrawlGoesOn(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	for _, after := range []int32{1, 40, 41, 77} {
		w := newWorld(t)
		sites := map[string]*plantedSite{primary: {host: primary, faults: map[string]http.HandlerFunc{"/img/3.png": status(404)}}, mirror: {host: mirror}}
		for h, s := range sites {
			w.serve(h, s)
		}
		p := w.patient(w.plan(primary, mirror))
		p.Sites[0].Articles = nil
		p.Sites[0].Settings.Links = "site"
		p.Sites[0].State = t.TempDir() + "/crawl/test"
		stop := make(chan struct{})
		var n atomic.Int32
		cfg := w.config()
		cfg.PerHost = 2
		cfg.Progress = func(e Event) {
			if e.Kind == "request" && n.Add(1) == after {
				close(stop)
			}
		}
		saved := 0
		cfg.Crawled = func(context.Context, Crawled) error { saved++; return nil }
		first, err := Run(context.Background(), cfg, p, Stop{C: stop, Reason: func() string { return "max_urls" }})
		if err != nil {
			t.Fatal(err)
		}
		if len(first.Crawls) != 2 || first.Crawls[0].Complete {
			t.Fatalf("the stopped crawl: %+v", first.Crawls)
		}
		cfg.Progress = nil
		second, err := Run(context.Background(), cfg, p, Stop{})
		if err != nil {
			t.Fatal(err)
		}
		if len(second.Crawls) != 2 || !second.Crawls[0].Complete {
			t.Fatalf("the second crawl: %+v", second.Crawls)
		}
		if saved != 2 {
			t.Errorf("%d crawls were handed over to be saved, want 2", saved)
		}
		for h, s := range sites {
			for u, n := range s.asked {
				if n > 1 && u != "GET /robots.txt" && !strings.Contains(u, "decoy") {
					t.Errorf("stopped after %d: %s%s was fetched %d times", after, h, u, n)
				}
			}
			for i := range plantedArticles {
				if n := s.asked[fmt.Sprintf("GET /story/%d/", i)]; n != 1 {
					t.Errorf("stopped after %d: story %d of %s was fetched %d times", after, i, h, n)
				}
			}
		}
		if res := linkResult(t, second, "https://"+primary+"/img/3.png", primary); res.State != LinkBroken {
			t.Errorf("the missing picture is %s", res.State)
		}
		if c := second.Crawls; c[0].URLs != c[1].URLs || c[0].Pages != c[1].Pages || c[0].URLs < 50 || c[1].Equal < 30 || c[0].Broken != 1 || len(c[0].Traps) != 2 {
			t.Errorf("stopped after %d, the whole crawl counts %+v", after, c)
		}
		if _, err := os.Stat(p.Sites[0].State); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the state of a whole crawl is still there: %v", err)
		}
	}
}

// TestCrawlKeepsStateUntilSaved: when what was found cannot be saved, the next run finds it again.
func TestCrawlKeepsStateUntilSaved(t *testing.T) {
	const primary = "www.harbour.example"
	w := newWorld(t)
	w.serve(primary, &plantedSite{host: primary, faults: map[string]http.HandlerFunc{"/img/3.png": status(404)}})
	p := w.patient(w.plan(primary))
	p.Sites[0].Articles = nil
	p.Sites[0].Settings.Links = "site"
	p.Sites[0].State = t.TempDir() + "/crawl/test"
	cfg := w.config()
	full := errors.New("disk full")
	cfg.Crawled = func(context.Context, Crawled) error { return full }
	if _, err := Run(context.Background(), cfg, p, Stop{}); !errors.Is(err, full) {
		t.Fatalf("the run ended with %v", err)
	}
	cfg.Crawled = nil
	asked := w.asked(primary, survey.ForLink)
	r, err := Run(context.Background(), cfg, p, Stop{})
	if err != nil {
		t.Fatal(err)
	}
	if res := linkResult(t, r, "https://"+primary+"/img/3.png", primary); res.State != LinkBroken {
		t.Errorf("the missing picture is %s", res.State)
	}
	if n := w.asked(primary, survey.ForLink) - asked; n != 0 {
		t.Errorf("%d addresses were fetched again", n)
	}
}

// TestRecentCrawl: a site crawled within links_every is not crawled again: what was not as it should be is asked for, on
// the mirror's and the primary's side, and what is so again is told; a site crawled before that is crawled.
func TestRecentCrawl(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	w := newWorld(t)
	sites := map[string]*plantedSite{primary: {host: primary}, mirror: {host: mirror, faults: map[string]http.HandlerFunc{"/story/5/": status(404)}}}
	for h, s := range sites {
		w.serve(h, s)
	}
	p := w.patient(w.plan(primary, mirror))
	p.Sites[0].Articles = nil
	p.Sites[0].Settings.Links = "site"
	at := "https://" + primary
	long := time.Now().Add(-48 * time.Hour).UTC()
	known := func(path string) KnownLink {
		return KnownLink{Target: at + path, Kind: "page", Parents: []string{at + "/"}, LinkResult: survey.LinkResult{Mirror: mirror, Vantage: "direct",
			URL: "https://" + mirror + path, Outcome: "status_404", State: LinkBroken, FirstSeen: long}}
	}
	w.known = []KnownLink{known("/story/5/"), known("/story/6/")}
	w.crawled = time.Now().Add(-time.Hour)
	r := w.run(p)
	if res := linkResult(t, r, at+"/story/5/", mirror); res.State != LinkBroken || !res.FirstSeen.Equal(long) {
		t.Errorf("what is still broken is %s since %s", res.State, res.FirstSeen)
	}
	if res := linkResult(t, r, at+"/story/6/", mirror); res.State != LinkOK || res.FirstSeen.Before(r.Run.Started) {
		t.Errorf("what is whole again is %s since %s", res.State, res.FirstSeen)
	}
	for _, l := range r.Links {
		if len(l.Parents) != 1 || l.Parents[0] != at+"/" {
			t.Errorf("parents of %s: %q", l.Target, l.Parents)
		}
	}
	if len(r.Crawls) != 0 {
		t.Errorf("a summary of no crawl: %+v", r.Crawls)
	}
	for h, s := range sites {
		if n := s.asked["GET /story/5/"] + s.asked["GET /story/6/"]; n != 2 || len(s.asked) != 3 { // and robots.txt
			t.Errorf("%s was asked %v", h, s.asked)
		}
	}
	p.Sites[0].Settings.LinksEvery = 30 * time.Minute
	if r = w.run(p); len(r.Crawls) != 2 || !r.Crawls[1].Complete || r.Crawls[1].Equal < 30 {
		t.Errorf("after links_every: %+v", r.Crawls)
	}
}

func TestTokenIsBlindToHosts(t *testing.T) {
	c := &siteCrawl{seed: maphash.MakeSeed(), hosts: [][]byte{[]byte("www.a.example"), []byte("b.example"), []byte("a.example")}}
	one := c.token([]byte(`<a href="https://www.a.example/x">a.example</a> b.exampleb.example`))
	two := c.token([]byte(`<a href="https://b.example/x">www.a.example</a> a.examplewww.a.example`))
	if one != two {
		t.Error("pages that are equal but for their hosts differ")
	}
	if one == c.token([]byte(`<a href="https://b.example/y">www.a.example</a> a.examplewww.a.example`)) {
		t.Error("pages that differ are equal")
	}
}

// TestCrawlHygiene: what only a crawl of the whole site finds of a mirror that does not stand alone: in style sheets too,
// canonical and feed links to a host that is dead, parts from third hosts, plain HTTP however it is quoted. A mirror that does
// not answer at all is told of by its first failures.
func TestCrawlHygiene(t *testing.T) {
	const primary, bad, dead = "www.harbour.example", "b.harbour.example", "old.harbour.example"
	w := newWorld(t)
	w.serve(primary, &plantedSite{host: primary, edit: map[string]func(string) string{
		"/story/3/": func(p string) string {
			return strings.Replace(p, "</article>", `<img src="https://cdn.example/x.png"></article>`, 1)
		},
	}})
	w.serve(bad, &plantedSite{host: bad,
		faults: map[string]http.HandlerFunc{"/more.css": text("text/css", "main{background:url(https://"+primary+"/img/shared.png)}")},
		edit: map[string]func(string) string{
			"/story/2/": func(p string) string {
				return strings.Replace(p, "</head>", `<link rel="canonical" href="https://`+dead+`/story/2/"><link rel=alternate type=application/atom+xml href="https://`+dead+`/feed"></head>`, 1)
			},
			"/story/3/": func(p string) string {
				return strings.Replace(p, "</article>", `<img src="https://cdn.example/x.png"></article>`, 1)
			},
			"/story/4/": func(p string) string {
				return strings.Replace(p, "</article>", `<img src='http://plain.example/y.png'></article>`, 1)
			},
		}})
	w.refuse(dead)
	w.refuse("cdn.example")
	p := w.plan(primary, bad, dead)
	p.Sites[0].Articles = nil
	p.Sites[0].Settings.Links, p.Sites[0].Settings.External = "site", true
	r := w.run(p)
	got := map[string]bool{}
	for _, c := range r.Crawls {
		for _, h := range c.Hygiene {
			got[string(c.Mirror)+" "+h.Kind+" "+h.URL+" on "+h.Parent] = true
		}
		if c.Mirror == dead && (c.Broken == 0 || c.Broken > 40 || c.NotJudged < 30) {
			t.Errorf("a mirror that does not answer: %+v", c)
		}
	}
	for _, want := range []string{
		bad + " requisite_from_primary https://" + primary + "/img/shared.png on https://" + bad + "/more.css",
		bad + " canonical_dead https://" + dead + "/story/2/ on https://" + bad + "/story/2/",
		bad + " feed_dead https://" + dead + "/feed on https://" + bad + "/story/2/",
		bad + " mixed_content http://plain.example/y.png on https://" + bad + "/story/4/",
		primary + " third_host_failed https://cdn.example/x.png on https://" + primary + "/story/3/",
	} {
		if !got[want] {
			t.Errorf("missing: %s", want)
		}
		delete(got, want)
	}
	for g := range got {
		t.Errorf("not planted: %s", g)
	}
	for _, l := range r.Links {
		for _, res := range l.Results {
			if res.Mirror == dead && res.Outcome != survey.ConnectionRefused {
				t.Errorf("%s on the dead mirror: %s", l.Target, res.Outcome)
			}
		}
	}
}

// TestEndlessRows: rows of addresses without end are left, whatever leads from one to the next; what og:url and JSON-LD name
// is asked for.
func TestEndlessRows(t *testing.T) {
	const primary = "www.harbour.example"
	w := newWorld(t)
	next := func(r *http.Request) int {
		var n int
		_, _ = fmt.Sscanf(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):], "/%d", &n)
		return n + 1
	}
	s := &plantedSite{host: primary, edit: map[string]func(string) string{"/": func(p string) string {
		p = strings.Replace(p, "</main>", `<a href="/r/calendar/1">r</a><a href="/f/calendar/1">f</a><link rel=stylesheet href="/c/calendar/1"></main>`, 1)
		return strings.Replace(p, "</head>", `<meta property="og:url" content="https://`+primary+`/shared"><script type="application/ld+json">{"url":"https:\/\/`+primary+`\/gone"}</script></head>`, 1)
	}}}
	w.serve(primary, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/r/calendar/"):
			status(302, "Location", fmt.Sprintf("/r/calendar/%d", next(r)))(rw, r)
		case strings.HasPrefix(r.URL.Path, "/f/calendar/"):
			page(200, fmt.Sprintf(`<meta http-equiv=refresh content="0;url=/f/calendar/%d">`, next(r)))(rw, r)
		case strings.HasPrefix(r.URL.Path, "/c/calendar/"):
			text("text/css", fmt.Sprintf("@import '/c/calendar/%d';", next(r)))(rw, r)
		case r.URL.Path == "/shared":
			page(200, frame("Shared", "<h1>Shared</h1>"))(rw, r)
		default:
			s.ServeHTTP(rw, r)
		}
	}))
	p := w.patient(w.plan(primary))
	p.Sites[0].Articles = nil
	p.Sites[0].Settings.Links = "site"
	r := w.run(p)
	if n := w.asked(primary, survey.ForLink); n > 250 {
		t.Errorf("%d requests", n)
	}
	at := "https://" + primary
	for _, want := range []string{at + "/r/calendar/0", at + "/f/calendar/0", at + "/c/calendar/0"} {
		if !contains(r.Crawls[0].Traps, want) {
			t.Errorf("%s is not left as endless: %v", want, r.Crawls[0].Traps)
		}
	}
	if res := linkResult(t, r, at+"/gone", primary); res.State != LinkBroken {
		t.Errorf("what JSON-LD names is %s", res.State)
	}
	shared := false
	for _, e := range w.exchange {
		shared = shared || e.URL == at+"/shared"
	}
	if !shared {
		t.Error("what og:url names was not asked for")
	}
}
