package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/archive"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// manifestOf reads what `restore --as tree` says of its work.
func manifestOf(t *testing.T, tree string) (m archive.Manifest) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tree, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRoundTrip: what `restore --as tree` gives, served by a plain file server, is the article to `check`, and none of its
// requisites is missing.
func TestRoundTrip(t *testing.T) {
	for _, p := range articlePages(t, "42aad16b", "14cc2a0c", "11ea381a") {
		site := newLiveSite(t, []articlePage{p})
		dir := t.TempDir()
		data, ca, tree := filepath.Join(dir, "data"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "tree")
		if err := os.WriteFile(ca, site.caPEM, 0o644); err != nil {
			t.Fatal(err)
		}
		flags := append([]string{"--data", data, "--ca-file", ca, "--delay", "0s", "--links", "none", "--media", "all", "--canary", "none", "--format", "json", "--per-host", "8", "--retries", "0"}, site.pins()...)
		if code, _, errs := run(t, append([]string{"check", p.url}, flags...)...); code != exitOK {
			t.Fatalf("%s: check: status %d: %s", p.id, code, errs)
		}
		if code, _, errs := run(t, "restore", p.url, "--to", tree, "--data", data); code != exitOK {
			t.Fatalf("%s: restore: status %d: %s", p.id, code, errs)
		}
		first := manifestOf(t, tree)
		copied := httptest.NewServer(http.FileServer(http.Dir(tree)))
		defer copied.Close()
		host := strings.TrimPrefix(copied.URL, "http://")
		config := filepath.Join(dir, "sites.yaml")
		origin := originOfURL(p.url)
		if err := os.WriteFile(config, fmt.Appendf(nil, "sites:\n  news:\n    primary: %s\n    mirrors: [%s]\n    articles: [%q]\n    paths: [{from: \".*\", to: %q, mirror: %q}]\n",
			origin, copied.URL, strings.TrimPrefix(p.url, origin), "/"+first.Page, host), 0o644); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run(t, append([]string{"check", "--sites", config}, flags...)...)
		if code != exitOK && code != exitFound { // that links lead back to the primary is a finding
			t.Fatalf("%s: check of both: status %d: %s", p.id, code, errs)
		}
		doc := checked(t, out)
		found := false
		for _, m := range doc.Articles[0].Mirrors {
			if string(m.Mirror) == host {
				found = true
				if m.Verdict.Verdict != survey.Identical && m.Verdict.Verdict != survey.SameArticle {
					t.Errorf("%s: the restored copy is %s: %q", p.id, m.Verdict.Verdict, m.Verdict.Reasons)
				}
			}
		}
		if !found {
			t.Errorf("%s: the restored copy was not visited: %s", p.id, out)
		}
		again := filepath.Join(dir, "again")
		if code, _, errs := run(t, "restore", p.url, "--mirror", host, "--to", again, "--data", data); code != exitOK {
			t.Fatalf("%s: restore of the copy: status %d: %s", p.id, code, errs)
		}
		second := manifestOf(t, again)
		if len(second.Missing) > 0 {
			t.Errorf("%s: the copy lacks %v", p.id, second.Missing)
		}
		kinds := func(m archive.Manifest) map[string]int {
			n := map[string]int{}
			for _, f := range m.Files {
				kind, _, _ := strings.Cut(f.Type, "/")
				if kind == "application" { // a font that the site gave no type
					kind = "font"
				}
				if !strings.Contains(f.Type, "script") {
					n[kind]++
				}
			}
			return n
		}
		if a, b := kinds(first), kinds(second); a["image"] != b["image"] || a["font"] != b["font"] || a["text"] != b["text"] {
			t.Errorf("%s: %v became %v", p.id, a, b)
		}
	}
}

func originOfURL(u string) string {
	i := strings.Index(u, "://") + 3
	return u[:i+strings.IndexByte(u[i:], '/')]
}

// TestHolesAreFilled: a picture that the best snapshot lacks comes from a mirror judged the same in that run, and nothing
// but pictures and fonts does; manifest, output and banner say so. With --mirror HOST nothing is taken from elsewhere.
func TestHolesAreFilled(t *testing.T) {
	paper := func(gone ...string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case slices.Contains(gone, r.URL.Path):
				http.NotFound(w, r)
			case r.URL.Path == "/2026/story-12345":
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><head><title>The bridge opens again</title><link rel="stylesheet" href="/s.css"></head><body><article><h1>The bridge opens again</h1><p>%s</p><img src="/a.png"><img src="/b.png"></article></body></html>`,
					strings.Repeat("The bridge over the harbour opened again on Monday after a year of work by the city and its engineers. ", 8))
			case strings.HasSuffix(r.URL.Path, ".png"):
				w.Header().Set("Content-Type", "image/png")
				_, _ = w.Write(madePicture(7, 40, false))
			case strings.HasSuffix(r.URL.Path, ".css"):
				w.Header().Set("Content-Type", "text/css")
				fmt.Fprint(w, "h1{color:red}")
			default:
				http.NotFound(w, r)
			}
		}))
		t.Cleanup(s.Close)
		return s
	}
	primary, mirror := paper("/b.png", "/s.css"), paper()
	dir := t.TempDir()
	data, article := filepath.Join(dir, "data"), primary.URL+"/2026/story-12345"
	code, _, errs := run(t, "check", article, "--mirror", mirror.URL, "--data", data, "--delay", "0s", "--links", "none", "--canary", "none", "--retries", "0", "-q", "--exit-zero")
	if code != exitOK {
		t.Fatalf("check: status %d: %s", code, errs)
	}
	from := "from_mirror:" + strings.TrimPrefix(mirror.URL, "http://")
	for _, c := range []struct {
		args            []string
		filled, missing int
	}{
		{nil, 1, 1},
		{[]string{"--mirror", strings.TrimPrefix(primary.URL, "http://")}, 0, 2},
	} {
		to := filepath.Join(t.TempDir(), "tree")
		code, out, errs := run(t, append([]string{"restore", article, "--to", to, "--data", data}, c.args...)...)
		if code != exitOK {
			t.Fatalf("%q: status %d: %s", c.args, code, errs)
		}
		m, filled := manifestOf(t, to), 0
		for _, f := range m.Files {
			if slices.Contains(f.Flags, from) {
				filled++
				if f.URL != primary.URL+"/b.png" {
					t.Errorf("%q: %s was filled", c.args, f.URL)
				}
			}
		}
		if filled != c.filled || len(m.Missing) != c.missing || strings.Contains(out, "1 part of it from") != (c.filled > 0) {
			t.Errorf("%q: %d filled, missing %v, said %s", c.args, filled, m.Missing, out)
		}
	}
	single := filepath.Join(dir, "single.html")
	if code, _, errs := run(t, "restore", article, "--as", "html", "--to", single, "--data", data); code != exitOK {
		t.Fatalf("status %d: %s", code, errs)
	}
	if b, _ := os.ReadFile(single); strings.Count(string(b), "data:image/png") != 2 {
		t.Errorf("the single file lacks the filled picture: %s", b)
	}
	_, replay := serving(t, "--data", data)
	if page := fetched(t, replay+"/web/2026/"+article, 200); !strings.Contains(page, "1 missing") || !strings.Contains(page, "shown from "+strings.TrimPrefix(mirror.URL, "http://")) {
		t.Errorf("the banner does not say it: %.3000s", page)
	}
}

// fetched is the body behind an address, redirects followed.
func fetched(t *testing.T, address string, status int) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || status != 0 && resp.StatusCode != status {
		t.Errorf("%s: status %d, want %d: %v %.300s", address, resp.StatusCode, status, err, b)
	}
	return string(b)
}

// TestImportedReplay: what wget recorded is listed and shown with its requisites, and so is every response of the test data's
// WARC files that says what it is.
func TestImportedReplay(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	tool, err := exec.LookPath("wget")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("wget is not here")
		}
		t.Skip("SKIPPED: wget is not here")
	}
	made := madePicture(5, 30, false)
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/story":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!DOCTYPE html><html><head><title>Story</title><link rel="stylesheet" href="/s.css"></head><body><p>The story that wget kept.</p><img src="/a.png" srcset="/b.png 2x"></body></html>`)
		case "/s.css":
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, `p { background: url(c.png) }`)
		case "/a.png", "/b.png", "/c.png":
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(made)
		default:
			http.NotFound(w, r)
		}
	}))
	cmd := exec.Command(tool, "-q", "-p", "--no-config", "--warc-file=kept", live.URL+"/story")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "no_proxy=*")
	if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(err.Error(), "exit status 8") { // robots.txt is not found
		t.Fatalf("wget: %v %s", err, out)
	}
	live.Close()
	files := []string{filepath.Join(dir, "kept.warc.gz")}
	shared := os.Getenv("MIRRORWATCH_TESTDATA")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared", "data")
	}
	more, _ := filepath.Glob(filepath.Join(shared, "warc", "*arc*"))
	for _, f := range more {
		if base := filepath.Base(f); !strings.HasPrefix(base, "LICENSE") && !strings.Contains(base, "bad") && base != "example-space-in-url.arc" { // its record ends early
			files = append(files, f)
		}
	}
	if len(files) < 10 {
		t.Log("SKIPPED: the WARC files of the test data: set MIRRORWATCH_TESTDATA")
	}
	if code, _, errs := run(t, append([]string{"import", "--data", data}, files...)...); code != exitOK && code != exitFound {
		t.Fatalf("import: status %d: %s", code, errs)
	}
	_, replay := serving(t, "--data", data)
	if list := fetched(t, replay+"/web/*/"+live.URL+"/story", 200); !strings.Contains(list, "imported") {
		t.Errorf("list: %.900s", list)
	}
	page := fetched(t, replay+"/web/2026/"+live.URL+"/story", 200)
	if !strings.Contains(page, "The story that wget kept.") || !strings.Contains(page, "Imported: not captured by this program.") {
		t.Errorf("page: %.900s", page)
	}
	for _, name := range []string{"/a.png", "/b.png", "/c.png"} {
		if got := fetched(t, replay+"/web/2026im_/"+live.URL+name, 200); got != string(made) {
			t.Errorf("%s: %d octets, want %d", name, len(got), len(made))
		}
	}
	if got := fetched(t, replay+"/web/2026cs_/"+live.URL+"/s.css", 200); got != "p { background: url(c.png) }" {
		t.Errorf("style sheet: %s", got)
	}
	// Every page and picture of the foreign files answers with the status it was captured with.
	shown := 0
	for _, name := range files[1:] {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r := warc.NewReader(f, warc.ReaderOptions{})
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			u := strings.Trim(rec.Header.Get(warc.FieldTargetURI), "<>")
			if typ := rec.Header.Type(); typ != warc.Response && typ != warc.Resource || !strings.HasPrefix(u, "http") {
				continue
			}
			resp, err := http.DefaultTransport.RoundTrip(request(t, replay+"/web/2014im_/"+strings.ReplaceAll(u, " ", "%20")))
			if err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(name), u, err)
				continue
			}
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.Header.Get("Memento-Datetime") == "" || err != nil && !strings.Contains(name, "trunc") && !strings.Contains(name, "chunk") {
				t.Errorf("%s: %s: status %d, %v", filepath.Base(name), u, resp.StatusCode, err)
				continue
			}
			shown++
		}
		_ = f.Close()
	}
	if len(files) > 10 && shown < 12 {
		t.Errorf("%d captures shown only", shown)
	}
}

func request(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
