package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mirrorwatch/archive/history"
	"mirrorwatch/crawler/survey"
)

var plantedPages = flag.Int("plantedpages", 60, "pages of the site of TestPlantedFaultsOnMirrors; the acceptance is 2000")

// benchHost serves the site of the benchmark with faults of its own.
type benchHost struct {
	files  http.Handler
	dir    string
	faults map[string]http.HandlerFunc
	edits  map[string]func(string) string
	soft   string // answers everything that does not exist, with 200
	mu     sync.Mutex
	asked  map[string]int
}

func (h *benchHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked[r.Method+" "+r.URL.Path]++
	h.mu.Unlock()
	if f := h.faults[r.URL.Path]; f != nil {
		f(w, r)
		return
	}
	html := func(s string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, s)
	}
	if edit := h.edits[r.URL.Path]; edit != nil {
		b, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(r.URL.Path)))
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		html(edit(string(b)))
		return
	}
	var y, m int
	switch {
	case strings.HasPrefix(r.URL.Path, "/calendar/"):
		if n, _ := fmt.Sscanf(r.URL.Path, "/calendar/%d/%d", &y, &m); n == 2 {
			if m++; m > 12 {
				y, m = y+1, 1
			}
			html(fmt.Sprintf(`<html><title>Calendar</title><h1>Month</h1><a href="/calendar/%d/%d">next</a></html>`, y, m))
			return
		}
	case strings.HasPrefix(r.URL.Path, "/deep/"):
		html(`<html><title>Deep</title><a href="` + r.URL.Path + `deep/">deeper</a></html>`)
		return
	}
	if _, err := os.Stat(filepath.Join(h.dir, filepath.FromSlash(r.URL.Path))); err != nil && h.soft != "" && r.URL.Path != "/robots.txt" {
		html(h.soft)
		return
	}
	h.files.ServeHTTP(w, r)
}

// TestPlantedFaultsOnMirrors is the acceptance of issue 6: the benchmark's site on a primary and three mirrors with planted
// faults, through the command. Every fault is found with its class on its mirror, and nothing else is reported; -v prints the
// table. go test ./cmd/mirrorwatch -run TestPlantedFaultsOnMirrors -plantedpages 2000 -v
func TestPlantedFaultsOnMirrors(t *testing.T) {
	n := *plantedPages
	names := []string{"PRIMARY", "A", "B", "C"}
	hosts := map[string]*benchHost{}
	origin := map[string]string{}
	for _, name := range names {
		h := &benchHost{faults: map[string]http.HandlerFunc{}, edits: map[string]func(string) string{}, asked: map[string]int{}}
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.Start()
		t.Cleanup(srv.Close)
		t.Cleanup(srv.CloseClientConnections)
		h.dir = t.TempDir()
		if err := benchSite(h.dir, srv.URL, n); err != nil {
			t.Fatal(err)
		}
		h.files = http.FileServer(http.Dir(h.dir))
		hosts[name], origin[name] = h, srv.URL
	}
	page := func(i int) string { return fmt.Sprintf("/p/%d/%d.html", i%50, i) }
	answer := func(code int, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Set(fields[i], fields[i+1])
			}
			w.WriteHeader(code)
		}
	}
	// What every host has: a calendar without end, a folder in itself, the time of a page's last change.
	dated := func(day string) func(string) string {
		return func(p string) string {
			return strings.Replace(p, "</head>", `<meta property="article:modified_time" content="2026-02-`+day+`T10:00:00Z"></head>`, 1)
		}
	}
	for _, h := range hosts {
		h.edits[page(1)] = func(p string) string {
			return strings.Replace(p, "</article>", `<a href="/calendar/2026/1">Calendar</a> <a href="/deep/">Deep</a></article>`, 1)
		}
		h.edits[page(9)] = dated("20")
	}
	// paragraphs exchanges the text of paragraphs: other words, as many.
	paragraphs := func(p string, from, to int) string {
		const start = `paragraph">`
		parts := strings.Split(p, start)
		if len(parts) < to {
			t.Errorf("the benchmark's pages have %d paragraphs only", len(parts)-1)
			return p
		}
		for i := from; i < to; i++ {
			text, tail, _ := strings.Cut(parts[i], "<")
			words := strings.Fields(text)
			slices.Reverse(words)
			parts[i] = strings.Join(words, " ") + " <" + tail
		}
		return strings.Join(parts, start)
	}
	a, b, c := hosts["A"], hosts["B"], hosts["C"]
	a.faults["/img/3.png"] = answer(404)
	a.faults["/img/4.png"] = answer(410)
	a.faults["/css/2.css"] = answer(404)
	a.faults[page(5)] = answer(404)
	a.faults[page(11)] = answer(302, "Location", page(11))
	a.edits[page(6)] = func(p string) string { return paragraphs(p, 4, 9) }
	b.soft = "<html><title>Sorry</title><h1>Sorry</h1><p>The page that you are looking for cannot be shown at the moment. Please go back to the front page and try again with another address, or write to the editors if you think that this is a mistake of ours.</p></html>"
	b.faults[page(7)] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, b.soft)
	}
	b.faults[page(8)] = answer(302, "Location", "/")
	b.edits[page(9)] = func(p string) string { return dated("02")(paragraphs(p, 4, 9)) }
	b.faults["/img/10.png"] = answer(429, "Retry-After", "7200")
	var limited sync.Once
	b.faults["/img/11.png"] = func(w http.ResponseWriter, r *http.Request) { // asked to wait once, then fine
		late := true
		limited.Do(func() { late = false; answer(429, "Retry-After", "1")(w, r) })
		if late {
			b.files.ServeHTTP(w, r)
		}
	}
	b.faults["/img/12.png"] = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	b.faults["/img/13.png"] = func(w http.ResponseWriter, r *http.Request) { // late, and fine
		time.Sleep(200 * time.Millisecond)
		b.files.ServeHTTP(w, r)
	}
	b.faults[page(10)] = answer(403, "Cf-Mitigated", "challenge")
	c.edits[page(14)] = func(p string) string {
		return strings.Replace(p, "</article>", `<a href="`+origin["PRIMARY"]+page(2)+`">more</a></article>`, 1)
	}
	c.edits[page(15)] = func(p string) string {
		return strings.Replace(p, `src="/img/`, `src="`+origin["PRIMARY"]+`/img/`, 1)
	}
	c.faults[page(16)] = answer(301, "Location", origin["PRIMARY"]+page(16))
	c.faults[page(18)] = answer(500)
	c.faults[page(19)] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, b.soft)
	}

	dir := t.TempDir()
	sites := filepath.Join(dir, "sites.yaml")
	text := fmt.Sprintf("defaults: {links: site, delay: 0s, per_host: 8, retries: 1, timeout: 1s}\nsites:\n  bench: {primary: %q, mirrors: [%q, %q, %q]}\n", origin["PRIMARY"], origin["A"], origin["B"], origin["C"])
	if err := os.WriteFile(sites, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, "check", "--sites", sites, "--data", filepath.Join(dir, "data"), "--format", "json", "-q")
	if code != exitFound {
		t.Fatalf("status %d: %s", code, errs)
	}
	var doc survey.Report
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	named := func(s string) string {
		for _, n := range names {
			s = strings.ReplaceAll(s, origin[n], n)
			s = strings.ReplaceAll(s, strings.TrimPrefix(origin[n], "http://"), n)
		}
		return s
	}
	var got []string
	row := func(where, state, class, what string) string {
		return fmt.Sprintf("%-8s %-10s %-23s %s", where, state, class, what)
	}
	for _, l := range doc.Links {
		for _, res := range l.Results {
			got = append(got, row(named(string(res.Mirror)), res.State, string(res.Outcome), strings.TrimPrefix(named(l.Target), "PRIMARY")))
		}
		if len(l.Parents) == 0 {
			t.Errorf("%s has no parent", l.Target)
		}
	}
	for _, cr := range doc.Crawls {
		if !cr.Complete {
			t.Errorf("the crawl of %s is not complete", cr.Mirror)
		}
		for _, h := range cr.Hygiene {
			got = append(got, row(named(string(cr.Mirror)), "hygiene", h.Kind, named(h.URL)))
		}
		for _, p := range cr.Traps {
			got = append(got, row(named(string(cr.Mirror)), "trap", "", strings.TrimPrefix(named(p), "PRIMARY")))
		}
	}
	picture := "" // the first of page 15
	if f, err := os.ReadFile(filepath.Join(c.dir, filepath.FromSlash(page(15)))); err == nil {
		_, rest, _ := bytes.Cut(f, []byte(`src="`))
		src, _, _ := bytes.Cut(rest, []byte(`"`))
		picture = string(src)
	}
	want := []string{
		row("A", "broken", "status_404", "/img/3.png"), row("A", "broken", "status_410", "/img/4.png"), row("A", "broken", "status_404", "/css/2.css"),
		row("A", "broken", "status_404", page(5)), row("A", "broken", "redirect_loop", page(11)), row("A", "broken", "altered", page(6)),
		row("B", "broken", "soft_404", page(7)), row("B", "broken", "soft_404", page(8)), row("B", "broken", "stale", page(9)),
		row("B", "not_judged", "rate_limited", "/img/10.png"), row("B", "broken", "timeout", "/img/12.png"), row("B", "not_judged", "challenge", page(10)),
		row("C", "hygiene", "link_to_primary", "PRIMARY"+page(2)), row("C", "hygiene", "requisite_from_primary", "PRIMARY"+picture),
		row("C", "hygiene", "redirect_to_primary", "C"+page(16)), row("C", "broken", "status_500", page(18)), row("C", "broken", "different_page", page(19)),
		row("PRIMARY", "trap", "", "/calendar/0/0"), row("PRIMARY", "trap", "", "/deep/"),
	}
	slices.Sort(got)
	slices.Sort(want)
	t.Logf("found on a site of %d pages and three mirrors:\n%s", n, strings.Join(got, "\n"))
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("missed: %s", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("not planted: %s", l)
		}
	}
	for u, k := range hosts["PRIMARY"].asked {
		if k > 1 && !strings.Contains(u, "decoy") && !strings.Contains(u, "99999") && u != "GET /" && u != "GET "+page(6) && u != "GET "+page(9) && u != "GET "+page(19) {
			t.Errorf("%s was asked %d times of the primary", u, k)
		}
	}

	// The history of the crawl is that of the archive.
	data := filepath.Join(dir, "data")
	dump := func() string {
		h, err := history.Open(filepath.Join(data, historyFile), history.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = h.Close() }()
		var b bytes.Buffer
		if err := h.Dump(t.Context(), &b, "meta"); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	before := dump()
	if code, _, errs := run(t, "repair", "--data", data, "--rebuild-history"); code != exitOK {
		t.Fatalf("repair: status %d: %s", code, errs)
	}
	if after := dump(); after != before || !strings.Contains(after, "\ncrawls ") && !strings.HasPrefix(after, "crawls ") {
		t.Errorf("the history that was built again differs:\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
	}
}
