package archive

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

func typed(contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
}

const articleHTML = `<!DOCTYPE html><html><head><title>T</title><base href="https://a.test/news/">
<meta http-equiv="Content-Security-Policy" content="img-src 'none'">
<script>document.write("x")</script><link rel="stylesheet" href="/s.css?v=1" integrity="sha256-x"><link rel=preconnect href="//cdn.test">
</head><body onload="evil()"><h1>Headline of the article</h1>
<p>Text &amp; more, untouched  octets.</p><img src="../img/a.png" srcset="/img/a.png 1x, /img/b.png 2x">
<img src="data:," data-src="/img/a.png"><noscript><img src="/img/a.png"></noscript>
<a href="/other#part">other</a> <a href="#here">here</a> <a href="javascript:alert(1)">js</a><a href=/art#top>self</a></body></html>`

func restorable(t *testing.T) (string, survey.Snapshot) {
	dir := t.TempDir()
	ctx := t.Context()
	a := writer(t, dir, Options{Run: "r"})
	put := func(url, raw string) survey.Capture {
		return must[survey.Capture](t)(a.Put(ctx, exchange(t, url, raw)))
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(articleHTML))
	z.Close()
	page := put("https://a.test/art", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=windows-1252\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s",
		zipped.Len(), zipped.String()))
	css := put("https://a.test/s.css?v=1", typed("text/css", `@import "/t.css"; h1{background:url(img/a.png)}`))
	css2 := put("https://a.test/t.css", typed("text/css", `p{color:red}`))
	png := put("https://a.test/img/a.png", typed("image/png", "PNG"))
	again := put("https://b.test/img/a.png", typed("image/png", "PNG"))
	if !again.Revisit {
		t.Fatal("no revisit")
	}
	s := snapshot(t, a, "https://a.test/art", "a.test", testTime, page,
		survey.Requisite{URL: "https://a.test/s.css?v=1", Capture: css}, survey.Requisite{URL: "https://a.test/t.css", Capture: css2},
		survey.Requisite{URL: "https://a.test/img/a.png", Capture: png}, survey.Requisite{URL: "https://a.test/img/b.png", Capture: again})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// archive-formats T1, T4, S1, S9.
func TestRestoreTree(t *testing.T) {
	dir, s := restorable(t)
	a := reader(t, dir)
	to := filepath.Join(t.TempDir(), "out")
	m, err := a.Restore(t.Context(), s, RestoreOptions{To: to})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != 5 || m.Page != "a.test/art.html" {
		t.Fatalf("manifest: %+v", m)
	}
	for _, f := range m.Files {
		if sum, err := fileSum(filepath.Join(to, filepath.FromSlash(f.File))); err != nil || sum != f.SHA256 {
			t.Errorf("%s: %v", f.File, err)
		}
		for _, flag := range f.Flags {
			if flag != "rewritten" {
				t.Errorf("%s: %v", f.File, f.Flags)
			}
		}
	}
	b, _ := os.ReadFile(filepath.Join(to, "a.test", "art.html"))
	got := string(b)
	for _, want := range []string{`<meta charset="windows-1252">`, `src="img/a.png" srcset="img/a.png 1x, img/b.png 2x"`, `<p>Text &amp; more, untouched  octets.</p>`,
		`href="https://a.test/other#part"`, `href="#here"`, `<img src="data:," data-src="img/a.png"><img src="img/a.png">`, `href=art.html#top`, "captured 2026-11-25"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, not := range []string{"<script", "onload", "<base", "integrity", "noscript", "javascript:", "preconnect", "Security-Policy"} {
		if strings.Contains(got, not) {
			t.Errorf("still has %q", not)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
	css, _ := filepath.Glob(filepath.Join(to, "a.test", "s@v=1-*.css"))
	if len(css) != 1 {
		t.Fatal("no style sheet")
	}
	b, _ = os.ReadFile(css[0])
	if string(b) != `@import "t.css"; h1{background:url(img/a.png)}` {
		t.Errorf("style sheet: %s", b)
	}
	var exists *ExistsError
	if _, err := a.Restore(t.Context(), s, RestoreOptions{To: to}); !errors.As(err, &exists) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("second restore: %v", err)
	}
	if _, err := a.Restore(t.Context(), s, RestoreOptions{To: to, Force: true}); err != nil {
		t.Errorf("forced: %v", err)
	}
	// A folder of somebody's is never replaced as a whole.
	mine := t.TempDir()
	os.WriteFile(filepath.Join(mine, "keep"), []byte("x"), 0o666)
	if _, err := a.Restore(t.Context(), s, RestoreOptions{To: mine, Force: true}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keep", "manifest.json", "a.test/art.html"} {
		if _, err := os.Stat(filepath.Join(mine, name)); err != nil {
			t.Error(err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRestoreFiles(t *testing.T) {
	dir, s := restorable(t)
	a := reader(t, dir)
	out := t.TempDir()
	restore := func(as string, opt RestoreOptions) string {
		t.Helper()
		opt.As, opt.To = as, filepath.Join(out, as)
		if _, err := a.Restore(t.Context(), s, opt); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Restore(t.Context(), s, opt); !errors.Is(err, fs.ErrExist) && !opt.Force {
			t.Errorf("%s: overwritten: %v", as, err)
		}
		b, _ := os.ReadFile(opt.To)
		return string(b)
	}
	if got := restore(AsRaw, RestoreOptions{}); got != articleHTML {
		t.Errorf("raw: %q", got)
	}
	if got := restore(AsRaw, RestoreOptions{Coded: true, Force: true}); !strings.HasPrefix(got, "\x1f\x8b") {
		t.Errorf("coded: %q", got)
	}
	got := restore(AsHTML, RestoreOptions{})
	if !strings.Contains(got, `src="data:image/png;base64,UE5H"`) || !strings.Contains(got, "data:text/css;charset=utf-8;base64,") ||
		!strings.Contains(got, "default-src &#39;none&#39;") {
		t.Errorf("html: %s", got)
	}
	if got := restore(AsText, RestoreOptions{}); !strings.Contains(got, "https://a.test/art") {
		t.Errorf("text: %s", got)
	}
	if got := restore(AsMarkdown, RestoreOptions{}); !strings.Contains(got, "<https://a.test/art>") {
		t.Errorf("markdown: %s", got)
	}
	restore(AsWARC, RestoreOptions{})
	headers, _ := records(t, filepath.Join(out, AsWARC))
	types := map[string]int{}
	for i := range headers {
		types[headers[i].Type()]++
	}
	if types["response"] != 4 || types["revisit"] != 1 || types["request"] != 5 || types["metadata"] != 5 || types["warcinfo"] != 1 {
		t.Errorf("subset: %v", types)
	}
}

// hostileURLs try to leave the root (S2 to S4).
var hostileURLs = []string{
	"https://a.test/../../etc/passwd", "https://a.test/%2e%2e/%2e%2e/x", "https://a.test/%252e%252e/%252e%252e%252fx", "https://a.test/..%2f..%2fx",
	"https://a.test/a%5c..%5c..%5cx", "https://a.test//etc/passwd", "https://a.test/a/%00/b", "https://a.test/con", "https://a.test/NUL.txt", "https://a.test/com1.html",
	"https://a.test/-rf", "https://a.test/~root", "https://a.test/a.", "https://a.test/a%20", "https://a.test/<>:\"|?*", "https://../x", "https://./x", "https://manifest.json/",
	"https://a.test/" + strings.Repeat("a", 5000), "https://a.test/" + strings.Repeat("a/", 500), "https://a.test/?" + strings.Repeat("q", 5000), "https://a.test/%e2%80%aegnp.exe",
	"https://+other/x", "https://a.test/%ff%fe", "https://a.test/x?a=../../b", "https://a.test/.htaccess", "https://[::1]:8080/x", "https://user:pw@a.test/x", "file:///etc/passwd", "", "://", "https:///x",
}

func checkName(t *testing.T, url, p string) {
	t.Helper()
	if p == "" || !fs.ValidPath(p) || len(p) > maxPath || !utf8.ValidString(p) || strings.ContainsAny(p, "\\:<>\"|?*\x00") {
		t.Fatalf("%q: bad path %q", url, p)
	}
	for _, s := range strings.Split(p, "/") {
		if len(s) > 255 || strings.HasSuffix(s, ".") || strings.HasSuffix(s, " ") || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "~") || strings.HasPrefix(s, ".") || avoidDevice(s) != s {
			t.Fatalf("%q: bad segment %q of %q", url, s, p)
		}
	}
	if path.Clean(p) != p || !filepath.IsLocal(filepath.FromSlash(p)) {
		t.Fatalf("%q: %q is not local", url, p)
	}
}

func TestPathsStayInside(t *testing.T) {
	n := newNamer()
	n.take("manifest.json")
	seen := map[string]string{}
	for _, u := range hostileURLs {
		p := n.name(u, "text/html")
		checkName(t, u, p)
		if other, ok := seen[fold(p)]; ok {
			t.Errorf("%q and %q both get %q", u, other, p)
		}
		seen[fold(p)] = u
	}
	for _, test := range []struct{ url, mediaType, want string }{
		{"https://a.test/", "text/html", "a.test/index.html"},
		{"https://A.test:8080/News", "text/html", "a.test+8080/News.html"},
		{"https://a.test/x.php", "text/html", "a.test/x.php.html"},
		{"https://a.test/x.jpg", "image/jpeg", "a.test/x.jpg"},
	} {
		n := newNamer()
		if got := n.name(test.url, test.mediaType); got != test.want {
			t.Errorf("%s: got %s, want %s", test.url, got, test.want)
		}
	}
	m := newNamer()
	if a, b := m.name("https://a.test/A", "text/html"), m.name("https://a.test/a", "text/html"); fold(a) == fold(b) {
		t.Error("names that differ in case only collide on some systems")
	}
	if a, b := m.name("https://a.test/f", ""), m.name("https://a.test/f/g", ""); strings.HasPrefix(b, a+"/") {
		t.Errorf("%q is a file and a folder", a)
	}
}

// What a restored page must keep and lose, beyond the whole article of TestRestoreTree. Nothing is saved but /p.png.
func TestRewriteRestored(t *testing.T) {
	r := &restorer{plan: map[string]*planned{"https://a.test/p.png": {file: "p.png"}}}
	for _, test := range []struct{ name, src, want string }{
		{"what is put in stays before a script that goes", `<head><script>x</script></head>`, `<head><meta charset="x"><meta http-equiv="Content-Security-Policy" content="p"></head>`},
		{"not saved: nothing is asked for", `<img src="/q.png" srcset="/q.png 2x, /p.png"><link rel=icon href="/i.ico"><iframe src="/f"></iframe><a href="/q.png">q</a>`,
			`<img src="about:invalid#https://a.test/q.png" srcset="about:invalid#https://a.test/q.png 2x, p.png"><link rel=icon href="about:invalid#https://a.test/i.ico"><iframe src="about:blank#https://a.test/f"></iframe><a href="https://a.test/q.png">q</a>`},
		{"not saved, in a style", `<p style="background:url(/q.png)"><style>a{b:url('/q.png')} c{d:url(/p.png)}</style>`,
			`<p style="background:url(about:invalid#https://a.test/q.png)"><style>a{b:url('about:invalid#https://a.test/q.png')} c{d:url(p.png)}</style>`},
		{"manifest", `<link rel=manifest href=/m.json><p>`, `<p>`},
		{"hint and sheet in one", `<link rel="dns-prefetch stylesheet" href=/p.png>`, `<link rel="stylesheet" href=p.png>`},
		{"late sheets", `<link rel=stylesheet media=print onload="this.media='all'" href=/p.png><link rel=preload as=style onload="this.rel='stylesheet'" href=/p.png>`,
			`<link rel=stylesheet data-archive-media=print href=p.png><link rel=stylesheet as=style href=p.png>`},
		{"lazy", `<img src="data:," data-src="/p.png"><img class=lazy data-src="/p.png"><noscript><img src="/p.png"></noscript>`,
			`<img data-archive-src="data:," src="p.png"><img class=lazy data-src="p.png"><img src="p.png">`},
		{"a document in an attribute", `<iframe srcdoc="<script>x</script><img src='/p.png' onload=x><link rel=preconnect href=//b.test><a href='/q?a=1&amp;amp;b'>q</a>" sandbox="allow-scripts"></iframe>`,
			`<iframe sandbox="" srcdoc="&lt;img src=&#39;p.png&#39;&gt;&lt;a href=&#39;https://a.test/q?a=1&amp;amp;b&#39;&gt;q&lt;/a&gt;" sandbox="allow-scripts"></iframe>`},
		{"a document in an attribute without quotes", `<iframe srcdoc=<b>x</b> src=/f></iframe>`, `<iframe >x</b> src=/f></iframe>`},
		{"lazy background", `<div data-bg="/p.png">`, `<div style="background-image:url(p.png)">`},
		{"amp", `<amp-img onload="x()" src="/p.png" width=1></amp-img>`, `<img style="max-width:100%;height:auto" src="p.png" width=1></amp-img>`},
		{"anti-flicker", `<head><style>body{opacity:0}</style>`, `<head><meta charset="x"><meta http-equiv="Content-Security-Policy" content="p">` + markup.Shown + `<style>body{opacity:0}</style>`},
	} {
		opt := rewriteOptions{}
		if strings.Contains(test.src, "<head") {
			opt.charset, opt.policy = "x", "p"
		}
		if got := string(rewriteHTML([]byte(test.src), "https://a.test/", r.treeLink("index.html"), opt)); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestRewriteIsLinear: what repeats costs no more than its length. The bound is far from what it takes, and as far from what a
// quadratic rewriter does.
func TestRewriteIsLinear(t *testing.T) {
	r := &restorer{plan: map[string]*planned{}}
	opt := rewriteOptions{single: true, symbol: func(string, string) ([]byte, string) { return nil, "" }}
	for _, s := range []string{"<noscript>", "<noscript></no", "<noscript a", "<img data-src=x.y>", `<iframe srcdoc="<b>">`, `<iframe srcdoc="&lt;iframe srcdoc=&quot;`, "<use href=a#b>", "<script>", "<style>",
		`<img srcset="a 1x,"`, "<", `<a href="`, "</noscript", `<link rel="a b" onload=media>`, "<body hidden>", "<svg onload=x "} {
		start := time.Now()
		rewriteHTML([]byte(strings.Repeat(s, 2<<20/len(s))), "https://a.test/", r.treeLink("i.html"), opt)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%q: %v for 2 MB", s, took)
		}
	}
}

func FuzzTreePath(f *testing.F) {
	for _, u := range hostileURLs {
		f.Add(u, "text/html")
		f.Add(u, "")
	}
	f.Fuzz(func(t *testing.T, u, mt string) {
		n := newNamer()
		checkName(t, u, n.name(u, mt))
	})
}

func FuzzRewriteHTML(f *testing.F) {
	f.Add([]byte(articleHTML))
	f.Add([]byte("<img src=x onerror=1><svg><script>"))
	f.Fuzz(func(t *testing.T, src []byte) {
		out := rewriteHTML(src, "https://a.test/", outward, rewriteOptions{})
		_ = rewriteHTML(out, "https://a.test/", outward, rewriteOptions{})
	})
}
