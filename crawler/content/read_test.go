package content

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

const para = "Russia has stressed that future peace talks should not be focused on one city alone, and that every party must sit down without conditions before the end of August. "

func articlePage(extra string) string {
	return `<!DOCTYPE html><html lang="en"><head><title>Talks should not hinge on one city - Example News</title>
<meta property="og:site_name" content="Example News"><meta property="article:published_time" content="2016-08-10T06:00:00+04:30">
<style>.gone{display:none} @media print{.body{display:none}}</style></head><body><nav><a href="/">Home</a></nav>
<div class="body"><h1>Talks should not hinge on one city</h1>` + strings.Repeat("<p>"+para+para+"</p>", 6) + extra + `</div></body></html>`
}

func TestReadArticle(t *testing.T) {
	p := Read([]byte(articlePage("")), Options{URL: "https://www.example-news.com/a/1"})
	if p.Title != "Talks should not hinge on one city" || p.Lang != "en" || p.Published != "2016-08-10T01:30:00Z" || p.Problem != "" {
		t.Errorf("title %q lang %q published %q problem %q", p.Title, p.Lang, p.Published, p.Problem)
	}
	if p.Words < 250 || !strings.Contains(p.Text, "without conditions") {
		t.Errorf("%d words: %q", p.Words, p.Text)
	}
	for _, b := range p.Blocks {
		if p.Text[b.Start:b.End] != b.Text {
			t.Errorf("block at %d-%d is not %q", b.Start, b.End, b.Text)
		}
	}
}

// An article hidden in a block page is no article (classification 3.2).
func TestHiddenText(t *testing.T) {
	article := strings.Repeat("<p>"+para+"</p>", 10)
	for name, wrap := range map[string]string{
		"inline":     `<div style="display: none">%s</div>`,
		"visibility": `<div style="visibility:hidden">%s</div>`,
		"attribute":  `<div hidden>%s</div>`,
		"aria":       `<div aria-hidden="true">%s</div>`,
		"class":      `<div class="x gone">%s</div>`,
		"offscreen":  `<div style="position:absolute;left:-9999px">%s</div>`,
		"template":   `<template>%s</template>`,
		"noscript":   `<noscript>%s</noscript>`,
	} {
		src := `<html><head><style>.gone{display:none}</style></head><body><h1>Access denied</h1><p>This site is blocked by order.</p>` + fmt.Sprintf(wrap, article) + `</body></html>`
		p := Read([]byte(src), Options{})
		if strings.Contains(p.Text+p.Visible, "Russia") || !p.Thin {
			t.Errorf("%s: hidden text is shown: %q", name, p.Visible)
		}
	}
}

func TestAnnounced(t *testing.T) {
	for _, c := range []struct{ name, html, host string }{
		{"hrefs only", `<p>Press TV’s website can also be accessed at the following alternate addresses:</p><p><a href="http://www.presstv.co.uk/"><img src="x.png"></a></p>`, "www.presstv.co.uk"},
		{"text behind", `<p>Press TV’s website can also be accessed at the following alternate addresses:</p><p>www.presstv.co.uk</p>`, "www.presstv.co.uk"},
		{"same line", `<p>Our mirror site: presstv.co.uk.</p>`, "presstv.co.uk"},
		{"Russian", `<p>Сайт также доступен по адресу https://presstv.co.uk/</p>`, "presstv.co.uk"},
		{"Persian", "<p>آدرس\u200cهای جایگزین پرس تی وی: presstv.co.uk</p>", "presstv.co.uk"},
		{"Arabic", `<p>يمكن الوصول إلى الموقع عبر presstv.co.uk</p>`, "presstv.co.uk"},
		{"Chinese", `<p>备用网址：presstv.co.uk</p>`, "presstv.co.uk"},
	} {
		p := Read([]byte(articlePage(c.html)), Options{URL: "https://www.presstv.com/a", Hosts: []survey.Host{"www.presstv.com", "www.presstv.ir"}})
		if len(p.Announced) != 1 || p.Announced[0].Host != c.host || p.Announced[0].Rule != "sentence" || p.Announced[0].Confidence != survey.High {
			t.Errorf("%s: %+v", c.name, p.Announced)
		}
	}
	for _, bad := range []string{"http://127.0.0.1/", "http://2130706433/", "http://intranet/", "http://printer.local/", "http://a.internal/", "http://u:p@mirror.org/", "https://mirror.org:8443/", "https://www.presstv.ir/", "https://t.me/presstv"} {
		p := Read([]byte(articlePage(`<p>Our mirror sites:</p><p><a href="`+bad+`">here</a></p>`)), Options{URL: "https://www.presstv.com/a", Hosts: []survey.Host{"www.presstv.ir"}})
		if len(p.Announced) != 0 {
			t.Errorf("%s was announced: %+v", bad, p.Announced)
		}
	}
	onion := "http://" + strings.Repeat("a", 56) + ".onion/x"
	p := Read([]byte(articlePage("")), Options{URL: "https://a.com/x", Header: func(n string) string { return onion }})
	if len(p.Announced) != 1 || p.Announced[0].Rule != "onion_location" {
		t.Errorf("onion: %+v", p.Announced)
	}
}

func TestHostile(t *testing.T) {
	for name, src := range map[string]string{
		"depth":  strings.Repeat("<div>", 10000) + `<a href="/x">deep text</a>`,
		"links":  strings.Repeat(`<a href="/x">y</a> `, 50000),
		"word":   "<p>" + strings.Repeat("x", 5<<20),
		"cells":  "<table>" + strings.Repeat("<td>a", 50000),
		"breaks": strings.Repeat("a<br>", 50000),
	} {
		start := time.Now()
		p := Read([]byte(src), Options{URL: "https://a.com/"})
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
		if name == "depth" && (p.Problem != ProblemNesting || len(p.Links) != 1 || p.Visible == "") {
			t.Errorf("depth: %q, %d links", p.Problem, len(p.Links))
		}
	}
}

func TestNormalise(t *testing.T) {
	hosts := []survey.Host{"www.presstv.com", "www.presstv.ir"}
	for _, c := range [][2]string{
		{"“Don’t” — STOP", `"don't" - stop`},
		{"a\u00ad\u200bb\u202e c\u00a0d", "ab c d"},
		{"ﬁne Ｆｕｌｌ", "fine full"},
		{"علي كتاب ۱۲۳ ١٢٣", "علی کتاب 123 123"},
		{"१२३", "123"},
		{"See https://www.presstv.ir/Detail/1?utm_source=x&id=2", "see " + HostToken + "/detail/1?id=2"},
		{"french.presstv.ir and presstv.ir.", "french.presstv.ir and " + HostToken + "."},
	} {
		if got := Normalise(c[0], hosts); got != c[1] {
			t.Errorf("Normalise(%q) = %q, want %q", c[0], got, c[1])
		}
	}
	if n := Count("東京都は新しい計画"); n != 5 {
		t.Errorf("Count = %d, want 5", n)
	}
	if w := Words("Don't pay 3,000 東京."); len(w) != 5 {
		t.Errorf("Words = %q", w)
	}
}

func TestSubtract(t *testing.T) {
	line := "<p>Press TV can also be reached at addresses that are not blocked by anybody in your country today.</p>"
	page := func() *Page { return Read([]byte(articlePage(line)), Options{URL: "https://a.com/1"}) }
	decoy := Read([]byte(`<html><body><h1>Not found</h1>`+line+`</body></html>`), Options{URL: "https://a.com/0"})
	p := page()
	p.Subtract(decoy)
	if strings.Contains(p.Text, "not blocked by anybody") || !strings.Contains(p.Text, "Russia") || len(p.Subtracted) == 0 {
		t.Errorf("template stays: %q", p.Text)
	}
	p = page()
	p.Subtract(page())
	if !p.TemplateEqual || !strings.Contains(p.Text, "Russia") {
		t.Errorf("the article itself was taken for a template")
	}
}

// Pages of our own in other scripts: the whole text is found, counted and cut into shingles.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/pages/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal("no pages in testdata/pages")
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p := Read(src, Options{URL: "https://news.example-site.org/a"})
		if p.Problem != "" || p.Words < 60 || strings.Contains(p.Text, "BOILERPLATE") || !strings.Contains(Normalise(p.Text, nil), "2024") {
			t.Errorf("%s: problem %q, %d words: %q", f, p.Problem, p.Words, p.Text)
		}
		if n := len(Shingles(Words(p.Text), 4)); n < 40 {
			t.Errorf("%s: %d shingles", f, n)
		}
		if p.Noise.ZeroWidth != 0 || p.Noise.Homoglyphs != 0 {
			t.Errorf("%s: noise %+v", f, p.Noise)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	src := []byte(articlePage(strings.Repeat("<p>"+para+para+"</p>", 9)))
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		Read(src, Options{URL: "https://a.com/x"})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(articlePage("")))
	f.Add([]byte("<svg><style>{</style><a href=javascript:x><table><p hidden>"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p := Read(src, Options{URL: "https://a.com/x", Hosts: []survey.Host{"a.com"}})
		if p == nil || p.Problem == ProblemCrash {
			t.Fatal("crashed")
		}
		for _, b := range p.Blocks {
			if p.Text[b.Start:b.End] != b.Text {
				t.Fatal("offsets")
			}
		}
		n := Normalise(p.Text, nil)
		if Normalise(n, nil) != n {
			t.Fatalf("not idempotent: %q", p.Text)
		}
	})
}

// TestNoAddressOfItsOwn: a page that gives no canonical address and no og:url has none; the address that it was asked for is not its
// word (classification.md 2.5, identity signals).
func TestNoAddressOfItsOwn(t *testing.T) {
	for _, head := range []string{"", `<meta property="og:url" content="">`, `<meta property="og:title" content="x">`} {
		p := Read([]byte("<title>x</title>"+head+"<p>y</p>"), Options{URL: "https://a.example/story/1", ContentType: "text/html"})
		if p.OGURL != "" || p.Canonical != "" {
			t.Errorf("%q: og:url %q, canonical %q", head, p.OGURL, p.Canonical)
		}
	}
}
