package crawler

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// gazette is a newspaper whose article has a list of links and whose other pages exist; head and list stand in the
// article's page.
func gazette(host, head, list string, extra map[string]http.HandlerFunc) newspaper {
	all := map[string]http.HandlerFunc{}
	for _, p := range []string{"/world", "/coast", "/sport", "/x", "/nohead"} {
		all[p] = page(200, frame("A section", "<h1>A section</h1>"))
	}
	all["/nohead"] = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		_, _ = io.WriteString(w, "fine")
	}
	for p, h := range extra {
		all[p] = h
	}
	return newspaper{host: host, extra: all, article: func(p string) string {
		p = strings.Replace(p, "</head>", head+"</head>", 1)
		return strings.Replace(p, "</article>", list+"</article>", 1)
	}}
}

func status(code int, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
	}
}

func text(typ, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typ)
		_, _ = io.WriteString(w, body)
	}
}

func linkResult(t *testing.T, r survey.Report, target, mirror string) survey.LinkResult {
	t.Helper()
	for _, l := range r.Links {
		if l.Target != target {
			continue
		}
		for _, res := range l.Results {
			if res.Mirror == survey.Host(mirror) {
				return res
			}
		}
	}
	t.Errorf("the report does not speak of %s on %s", target, mirror)
	return survey.LinkResult{}
}

const linkList = `<ul><li><a href="/gone">gone</a><li><a href="/nohead">n</a><li><a href="/walled">w</a><li><a href="/limited">l</a>` +
	`<li><a href="/private/x">p</a><li><a href="/moved">m</a><li><a href="/loop">o</a><li><a href="https://foreign.example/a">f</a><li><a href="/gone#again">g</a></ul>`

func TestLinksOfAPage(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	w := newWorld(t)
	fine := map[string]http.HandlerFunc{}
	for _, p := range []string{"/gone", "/walled", "/limited", "/private/x", "/moved", "/loop"} {
		fine[p] = page(200, frame("Page", "<h1>Page</h1>"))
	}
	w.serve(primary, gazette(primary, "", linkList, fine))
	w.serve(mirror, gazette(mirror, "", linkList, map[string]http.HandlerFunc{
		"/gone":       status(404),
		"/walled":     status(403, "Cf-Mitigated", "challenge"),
		"/limited":    status(429, "Retry-After", "3600"),
		"/private/x":  status(404),
		"/moved":      status(302, "Location", "https://"+primary+"/moved"),
		"/loop":       status(302, "Location", "/loop"),
		"/robots.txt": text("text/plain", "User-agent: *\nDisallow: /private/\n"),
	}))
	w.refuse("foreign.example")
	p := w.plan(primary, mirror)
	r := w.run(p)
	at := "https://" + primary
	for _, tc := range []struct {
		target, mirror, state string
		outcome               survey.Outcome
	}{
		{at + "/gone", primary, LinkOK, survey.OK},
		{at + "/gone", mirror, LinkBroken, "status_404"},
		{at + "/nohead", mirror, LinkOK, survey.OK},
		{at + "/walled", mirror, LinkNotJudged, "challenge"},
		{at + "/limited", mirror, LinkNotJudged, survey.RateLimited},
		{at + "/private/x", mirror, LinkNotJudged, survey.RobotsRefused},
		{at + "/private/x", primary, LinkOK, survey.OK},
		{at + "/moved", mirror, LinkOK, survey.OK},
		{at + "/loop", mirror, LinkBroken, survey.RedirectLoop},
		{at + "/coast", mirror, LinkOK, survey.OK},
		{at + "/style.css", mirror, LinkOK, survey.OK},
	} {
		if res := linkResult(t, r, tc.target, tc.mirror); res.State != tc.state || res.Outcome != tc.outcome {
			t.Errorf("%s on %s is %s (%s), want %s (%s)", tc.target, tc.mirror, res.State, res.Outcome, tc.state, tc.outcome)
		}
	}
	f := finding(t, r, mirror)
	if f.Links == nil || f.Links.Broken != 2 || f.Links.NotJudged != 3 {
		t.Errorf("counts of the mirror are %+v, want 2 broken, 3 not judged", f.Links)
	}
	if r.Summary.LinksBroken != 2 {
		t.Errorf("summary counts %d broken links, want 2", r.Summary.LinksBroken)
	}
	if n := w.asked("foreign.example", survey.ForLink); n != 0 {
		t.Errorf("the foreign host was asked %d times", n)
	}
	seen := map[string]int{}
	for _, e := range w.exchange {
		if e.Probe.Purpose == survey.ForLink {
			seen[e.Method+" "+e.URL]++
		}
	}
	for u, n := range seen {
		if n > 1 {
			t.Errorf("%s was asked %d times", u, n)
		}
	}
}

// TestLinksAreSharedAndRemembered: once per target and mirror however many articles share it; what works is not asked for
// again before links_every has passed, what is broken keeps its date, and a rule decides how a status is taken.
func TestLinksAreSharedAndRemembered(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	w := newWorld(t)
	list := `<a href="/gone">gone</a> <a href="/teapot">t</a>`
	for _, h := range []string{primary, mirror} {
		g := gazette(h, "", list, map[string]http.HandlerFunc{"/teapot": status(418)})
		g.extra["/second"] = func(w http.ResponseWriter, _ *http.Request) { page(200, g.article(articlePage(h)))(w, nil) }
		w.serve(h, g)
	}
	p := w.plan(primary, mirror)
	p.Sites[0].Articles = append(p.Sites[0].Articles, survey.Article{Site: "test", URL: "https://" + primary + "/second"})
	p.Sites[0].LinkRules = []LinkRule{{Match: regexp.MustCompile("/teapot$"), Status: map[int]string{418: LinkWarn}}}
	long := time.Now().Add(-240 * time.Hour).UTC()
	at := "https://" + primary
	w.known = []KnownLink{
		{Target: at + "/coast", Kind: "page", Checked: time.Now().Add(-time.Hour), LinkResult: survey.LinkResult{Mirror: mirror, Vantage: "direct", URL: "https://" + mirror + "/coast", Outcome: survey.OK, State: LinkOK, FirstSeen: long}},
		{Target: at + "/gone", Kind: "page", Checked: time.Now().Add(-time.Hour), LinkResult: survey.LinkResult{Mirror: mirror, Vantage: "direct", URL: "https://" + mirror + "/gone", Outcome: "status_404", State: LinkBroken, FirstSeen: long}},
	}
	var fresh []survey.Link
	cfg := w.config()
	cfg.Done = func(_ context.Context, d Done) error { fresh = append(fresh, d.Links...); return nil }
	r, err := Run(context.Background(), cfg, p, Stop{})
	if err != nil {
		t.Fatal(err)
	}
	heads := map[string]int{}
	for _, e := range w.exchange {
		if e.Probe.Purpose == survey.ForLink && e.Method == http.MethodHead {
			heads[e.URL]++
		}
	}
	for u, want := range map[string]int{"https://" + mirror + "/coast": 0, at + "/coast": 1, "https://" + mirror + "/gone": 1, at + "/gone": 1} {
		if heads[u] != want {
			t.Errorf("%s was asked %d times, want %d", u, heads[u], want)
		}
	}
	if res := linkResult(t, r, at+"/gone", mirror); res.State != LinkBroken || !res.FirstSeen.Equal(long) {
		t.Errorf("a link broken for long is %s since %s", res.State, res.FirstSeen)
	}
	if res := linkResult(t, r, at+"/gone", primary); res.State != LinkBroken || res.FirstSeen.Before(r.Run.Started) {
		t.Errorf("a newly broken link is %s since %s", res.State, res.FirstSeen)
	}
	if res := linkResult(t, r, at+"/teapot", primary); res.State != LinkWarn {
		t.Errorf("the rule's link is %s, want %s", res.State, LinkWarn)
	}
	if res := linkResult(t, r, at+"/coast", mirror); res.State != LinkOK || !res.FirstSeen.Equal(long) {
		t.Errorf("a remembered link is %s since %s", res.State, res.FirstSeen)
	}
	for _, l := range r.Links {
		if l.Target == at+"/gone" && len(l.Parents) != 2 {
			t.Errorf("parents of the broken link: %v", l.Parents)
		}
	}
	for _, l := range fresh {
		for _, res := range l.Results {
			if l.Target == at+"/coast" && res.Mirror == mirror {
				t.Error("an answer of an earlier run would be saved as one of this run: it would never be asked for again")
			}
		}
	}
}

func TestNoLinks(t *testing.T) {
	const primary = "www.harbour.example"
	w := newWorld(t)
	w.serve(primary, gazette(primary, "", linkList, nil))
	p := w.plan(primary)
	p.Sites[0].Settings.Links = "none"
	w.run(p)
	if n := w.asked(primary, survey.ForLink); n != 0 {
		t.Errorf("%d links asked for with links none", n)
	}
}

// TestRequisitesOfRequisites: style sheets name pictures, fonts and other sheets, in a circle too.
func TestRequisitesOfRequisites(t *testing.T) {
	const primary = "www.harbour.example"
	w := newWorld(t)
	css := func(s string) http.HandlerFunc { return text("text/css", s) }
	w.serve(primary, gazette(primary, `<link rel="stylesheet" href="/a.css">`, `<img srcset="/s1.png 1x, /s2.png 2x">`, map[string]http.HandlerFunc{
		"/a.css":       css(`@import "sub/b.css"; body{background:url(/bg.png)}`),
		"/sub/b.css":   css(`@import url("../a.css"); @font-face{font-family:x;src:url(f.woff2)} i{background:url('gone.png')}`),
		"/bg.png":      text("image/png", "x"),
		"/s1.png":      text("image/png", "1"),
		"/s2.png":      text("image/png", "2"),
		"/sub/f.woff2": text("font/woff2", "f"),
	}))
	r := w.run(w.plan(primary))
	at := "https://" + primary
	for _, tc := range []struct{ target, kind, state string }{
		{"/a.css", "style", LinkOK}, {"/sub/b.css", "style", LinkOK}, {"/bg.png", "image", LinkOK}, {"/sub/f.woff2", "font", LinkOK},
		{"/s1.png", "image", LinkOK}, {"/s2.png", "image", LinkOK}, {"/sub/gone.png", "image", LinkBroken},
	} {
		if res := linkResult(t, r, at+tc.target, primary); res.State != tc.state {
			t.Errorf("%s is %s, want %s", tc.target, res.State, tc.state)
		}
		for _, l := range r.Links {
			if l.Target == at+tc.target && l.Kind != tc.kind {
				t.Errorf("%s is a %s, want %s", tc.target, l.Kind, tc.kind)
			}
		}
	}
	if n := w.asked(primary, survey.ForRequisite); n != 8 { // /style.css of the frame beside them
		t.Errorf("%d requisites asked for, want each of 8 once", n)
	}
}

// TestHygiene plants each way in which a mirror does not stand alone, on one of two mirrors.
func TestHygiene(t *testing.T) {
	const primary, clean, bad, dead = "www.harbour.example", "m.harbour.example", "b.harbour.example", "old.harbour.example"
	w := newWorld(t)
	w.serve(primary, gazette(primary, "", `<a href="/moved">m</a>`, map[string]http.HandlerFunc{"/moved": status(200), "/p.png": text("image/png", "p")}))
	w.serve(clean, gazette(clean, `<link rel="canonical" href="https://`+clean+articlePath+`">`, `<a href="/moved">m</a> <a href="https://`+primary+articlePath+`">`+primary+`</a>`,
		map[string]http.HandlerFunc{"/moved": status(200), "/q.png": text("image/png", "q")}))
	w.serve(bad, gazette(bad,
		`<link rel="canonical" href="https://`+dead+`/x"><link rel="alternate" type="application/rss+xml" href="/gone.xml">`,
		`<a href="/moved">m</a> <a href="https://`+primary+`/coast">More</a> <a href="https://`+clean+`/coast">More</a>`+
			`<img src="https://`+primary+`/p.png"><img src="https://`+clean+`/q.png"><img src="https://cdn.example/c.png"><img src="http://`+bad+`/plain.png">`,
		map[string]http.HandlerFunc{"/moved": status(302, "Location", "https://"+primary+"/moved")}))
	w.refuse(dead)
	w.refuse("cdn.example")
	w.pins[bad+":80"] = w.pins["cdn.example:443"]
	r := w.run(w.plan(primary, clean, bad, dead))
	want := []string{
		"link_to_primary https://" + primary + "/coast", "link_to_other_mirror https://" + clean + "/coast",
		"requisite_from_primary https://" + primary + "/p.png", "requisite_from_other_mirror https://" + clean + "/q.png",
		"third_host_failed https://cdn.example/c.png", "canonical_dead https://" + dead + "/x", "feed_dead https://" + bad + "/gone.xml",
		"mixed_content http://" + bad + "/plain.png", "redirect_to_primary https://" + bad + "/moved",
	}
	got := map[string]bool{}
	for _, h := range finding(t, r, bad).Hygiene {
		got[h.Kind+" "+h.URL] = true
		if h.Parent != "https://"+bad+articlePath {
			t.Errorf("parent of %s %s is %q", h.Kind, h.URL, h.Parent)
		}
	}
	for _, e := range want {
		if !got[e] {
			t.Errorf("missing: %s", e)
		}
		delete(got, e)
	}
	for e := range got {
		t.Errorf("not planted: %s", e)
	}
	for _, h := range []string{primary, clean} {
		if list := finding(t, r, h).Hygiene; len(list) > 0 {
			t.Errorf("%s: %v", h, list)
		}
	}
}

func TestBaseline(t *testing.T) {
	const primary = "www.harbour.example"
	w := newWorld(t)
	w.serve(primary, gazette(primary, "", `<a href="/gone">gone</a> <a href="/gone2">gone</a>`, nil))
	p := w.plan(primary)
	var err error
	if p.Sites[0].Baseline, err = ReadBaseline([]byte(fmt.Sprintf(`{"schema":"mirrorwatch/check/1","links":[{"target":"https://%s/gone","results":[{"mirror":"%s","state":"broken","first_seen":"2026-01-02T03:04:05Z"}]}]}`, primary, primary))); err != nil {
		t.Fatal(err)
	}
	r := w.run(p)
	if res := linkResult(t, r, "https://"+primary+"/gone", primary); res.State != LinkBroken || res.FirstSeen.Year() != 2026 || res.FirstSeen.Month() != 1 {
		t.Errorf("a link of the baseline is %s since %s", res.State, res.FirstSeen)
	}
	if res := linkResult(t, r, "https://"+primary+"/gone2", primary); res.State != LinkBroken || res.FirstSeen.Before(r.Run.Started) {
		t.Errorf("a link that is not in the baseline is %s since %s", res.State, res.FirstSeen)
	}
	for _, bad := range []string{"", "[]", `{"schema":"x"}`, `{"schema":"mirrorwatch/baseline/1","links":3}`} {
		if _, err := ReadBaseline([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a baseline", bad)
		}
	}
}
