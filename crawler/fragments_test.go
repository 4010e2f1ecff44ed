package crawler

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestFragmentOf(t *testing.T) {
	for address, want := range map[string]string{
		"/x": "", "/x#": "", "#top": "", "#TOP": "", "#a": "a", "/x?y#a%20b": "a%20b", "#:~:text=word": "", "#a:~:text=word": "a", "#" + strings.Repeat("a", 301): "",
	} {
		if got := fragmentOf(address); got != want {
			t.Errorf("%q names %q, want %q", address, got, want)
		}
	}
}

func TestAnchors(t *testing.T) {
	long := strings.Repeat("word ", 60)
	for _, c := range []struct {
		name, page, fragment string
		want                 survey.Outcome
	}{
		{"an id", `<p id="a">` + long, "a", survey.OK},
		{"an id of any element, in upper case tags", `<SECTION ID=a>` + long, "a", survey.OK},
		{"the name of a", `<a name="a"></a>` + long, "a", survey.OK},
		{"the name of another element is no place", `<input name="a">` + long, "a", survey.FragmentMissing},
		{"percent-decoded", `<p id="søk her">` + long, "s%C3%B8k%20her", survey.OK},
		{"as it is written", `<p id="a%20b">` + long, "a%20b", survey.OK},
		{"character references", `<p id="a&amp;b">` + long, "a&b", survey.OK},
		{"case counts", `<p id="A">` + long, "a", survey.FragmentMissing},
		{"in a comment", `<!-- <p id="a"> -->` + long, "a", survey.FragmentMissing},
		{"in a script", `<script>'<p id="a">'</script>` + long, "a", survey.FragmentMissing},
		{"nothing", long, "a", survey.FragmentMissing},
		{"a shell that scripts fill", `<title>` + long + `</title><div id="root"></div><script src="/app.js"></script>`, "a", survey.ScriptRendered},
		{"a shell with text in its script", `<script>"` + long + `"</script><div id="root"></div>`, "a", survey.ScriptRendered},
		{"a shell has what it has", `<div id="root"></div><script src="/app.js"></script>`, "root", survey.OK},
		{"data is no script", `<script type="application/ld+json">{}</script><p>short`, "a", survey.FragmentMissing},
		{"a page with scripts and text", `<script src="/app.js"></script><p>` + long, "a", survey.FragmentMissing},
		{"a route of scripts", long, "/settings", survey.ScriptRendered},
		{"an old route of scripts", long, "!settings", survey.ScriptRendered},
	} {
		if got := anchorsOf([]byte(c.page)).verdict(c.fragment); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

const shell = `<!DOCTYPE html><html><head><title>App</title></head><body><div id="root"></div><script src="/style.css"></script></body></html>`

// TestFragmentsOfAPage: with Settings.Fragments the part that a link names is looked for on the page that each mirror gives.
func TestFragmentsOfAPage(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	list := `<p id="here"><a href="#here">h</a> <a href="#nowhere">n</a> <a href="#top">t</a> <a href="/long#part">p</a> <a href="/long#s%C3%B8k">s</a> <a href="/long#:~:text=x">x</a>` +
		` <a href="/app#view">v</a> <a href="/moved#part">m</a> <a href="/gone#part">g</a> <a href="/doc.pdf#page=3">d</a></p>`
	long := func(ids string) http.HandlerFunc {
		return page(200, frame("Long", ids+"<p>"+strings.Repeat("word ", 80)+"</p>"))
	}
	extra := func(ids string) map[string]http.HandlerFunc {
		return map[string]http.HandlerFunc{"/long": long(ids), "/app": page(200, shell), "/moved": status(302, "Location", "/long"), "/doc.pdf": text("application/pdf", "%PDF")}
	}
	w := newWorld(t)
	w.serve(primary, gazette(primary, "", list, extra(`<h2 id="part">Part</h2><a name="søk"></a>`)))
	w.serve(mirror, gazette(mirror, "", list, extra(`<a name="søk"></a>`)))
	p := w.patient(w.plan(primary, mirror))
	p.Sites[0].Settings.Fragments = true
	r := w.run(p)
	at := "https://" + primary
	for _, tc := range []struct {
		target, mirror, state string
		outcome               survey.Outcome
	}{
		{articlePath + "#here", primary, LinkOK, survey.OK},
		{articlePath + "#here", mirror, LinkOK, survey.OK},
		{articlePath + "#nowhere", primary, LinkBroken, survey.FragmentMissing},
		{articlePath + "#nowhere", mirror, LinkBroken, survey.FragmentMissing},
		{"/long#part", primary, LinkOK, survey.OK},
		{"/long#part", mirror, LinkBroken, survey.FragmentMissing},
		{"/long#s%C3%B8k", mirror, LinkOK, survey.OK},
		{"/app#view", primary, LinkNotJudged, survey.ScriptRendered},
		{"/app#view", mirror, LinkNotJudged, survey.ScriptRendered},
		{"/moved#part", primary, LinkOK, survey.OK},
		{"/moved#part", mirror, LinkBroken, survey.FragmentMissing},
		{"/doc.pdf#page=3", mirror, LinkOK, survey.OK},
		{"/gone", mirror, LinkBroken, "status_404"},
	} {
		if res := linkResult(t, r, at+tc.target, tc.mirror); res.State != tc.state || res.Outcome != tc.outcome {
			t.Errorf("%s on %s is %s (%s), want %s (%s)", tc.target, tc.mirror, res.State, res.Outcome, tc.state, tc.outcome)
		}
	}
	for _, l := range r.Links {
		if strings.Contains(l.Target, "top") || strings.Contains(l.Target, "text=") || l.Target == at+"/gone#part" {
			t.Errorf("%s is told of", l.Target)
		}
		if strings.Contains(l.Target, "#") != (l.Kind == "fragment") {
			t.Errorf("%s is of kind %s", l.Target, l.Kind)
		}
	}
	asked := map[string]int{}
	for _, e := range w.exchange {
		if e.Probe.Purpose == survey.ForLink {
			asked[e.Method+" "+e.URL]++
		}
	}
	if asked["GET https://"+mirror+"/long"] != 2 || asked["HEAD https://"+mirror+"/long"] != 0 { // once for itself, once by way of /moved
		t.Errorf("the page with parts was asked for: %v", asked)
	}
	// Without the setting nothing of this.
	p.Sites[0].Settings.Fragments = false
	for _, l := range w.run(p).Links {
		if strings.Contains(l.Target, "#") {
			t.Errorf("%s is told of, unasked", l.Target)
		}
	}
}

// TestFragmentsOfASite: the parts are looked for on the pages that the crawl fetched anyway, on each mirror, also when the
// crawl was interrupted in between.
func TestFragmentsOfASite(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	for _, cut := range []int{0, 12} {
		w := newWorld(t)
		build := func(host, ids string) *plantedSite {
			s := &plantedSite{host: host}
			s.faults = map[string]http.HandlerFunc{"/app": page(200, shell), "/moved": status(302, "Location", "/story/2/"), "/moved2": status(302, "Location", "/story/2/#own")}
			s.edit = map[string]func(string) string{
				"/": func(p string) string {
					return strings.Replace(p, "</main>", `<a href="/story/2/#part">p</a><a href="/moved#part">m</a><a href="/moved2#part">m</a><a href="/app#x">a</a><a href="#nowhere">n</a><a href="#top">t</a></main>`, 1)
				},
				"/story/2/": func(p string) string {
					return strings.Replace(p, "<article>", "<article>"+ids+fmt.Sprintf(`<a href="https://%s/story/2/#part">x</a>`, host), 1)
				},
			}
			w.serve(host, s)
			return s
		}
		sites := map[string]*plantedSite{primary: build(primary, `<h2 id="part">Part</h2>`), mirror: build(mirror, "")}
		p := w.patient(w.plan(primary, mirror))
		p.Sites[0].Articles = nil
		p.Sites[0].Settings.Links, p.Sites[0].Settings.Fragments = "site", true
		p.Sites[0].State = t.TempDir() + "/crawl/test"
		if cut > 0 {
			stop := make(chan struct{})
			var n atomic.Int64 // workers tell at once
			cfg := w.config()
			cfg.PerHost = 1
			cfg.Progress = func(e Event) {
				if n.Add(1) == int64(cut) {
					close(stop)
				}
			}
			if _, err := Run(context.Background(), cfg, p, Stop{C: stop, Reason: func() string { return "signal" }}); err != nil {
				t.Fatal(err)
			}
		}
		r := w.run(p)
		var got []string
		for _, l := range r.Links {
			for _, res := range l.Results {
				if l.Kind != "fragment" {
					continue
				}
				got = append(got, fmt.Sprintf("%s %s %s %s %d", strings.TrimPrefix(l.Target, "https://"+primary), res.Mirror, res.State, res.Outcome, len(l.Parents)))
			}
		}
		want := []string{
			"/#nowhere " + mirror + " broken fragment_missing 1", "/#nowhere " + primary + " broken fragment_missing 1",
			"/app#x " + mirror + " not_judged script_rendered 1", "/app#x " + primary + " not_judged script_rendered 1",
			"/moved#part " + mirror + " broken fragment_missing 1", "/story/2/#part " + mirror + " broken fragment_missing 2",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("cut after %d:\n%s\nwant:\n%s", cut, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for h, s := range sites {
			for u, n := range s.asked {
				if n > 1 && !strings.Contains(u, "robots.txt") && !strings.Contains(u, "decoy") && !strings.Contains(u, "99999") && u != "GET /story/2/" && u != "GET /" {
					t.Errorf("%s was asked for %s %d times", h, u, n)
				}
			}
		}
		// Asked again without a crawl: one is mended.
		for _, l := range r.Links {
			for _, res := range l.Results {
				w.known = append(w.known, KnownLink{Target: l.Target, Kind: l.Kind, Parents: l.Parents, LinkResult: res})
			}
		}
		w.crawled = time.Now()
		sites[mirror].edit["/story/2/"] = sites[primary].edit["/story/2/"]
		r = w.run(p)
		if res := linkResult(t, r, "https://"+primary+"/story/2/#part", mirror); res.State != LinkOK {
			t.Errorf("a mended fragment is %s", res.State)
		}
		if res := linkResult(t, r, "https://"+primary+"/#nowhere", mirror); res.State != LinkBroken {
			t.Errorf("a missing fragment is %s", res.State)
		}
	}
}
