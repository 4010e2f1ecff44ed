package replay

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/message"
)

func testDocument(url string) *document {
	return &document{url: url, link: func(abs, mod string) string { return "/web/2026" + mod + "/" + quoteURL(abs) }}
}

// The vectors of archive-formats 5.1; the page lives at https://a.com/x/y.
func TestRewriteHTML(t *testing.T) {
	const w = "/web/2026"
	for _, c := range []struct{ name, src, want string }{
		{"absolute", `<a href="https://b.com/c">`, `<a href="` + w + `/https://b.com/c">`},
		{"from the root", `<a href="/c">`, `<a href="` + w + `/https://a.com/c">`},
		{"protocol-relative", `<img src=//b.com/c.png>`, `<img src=` + w + `im_/https://b.com/c.png>`},
		{"relative stays", `<a href="c/d.html?e=http://f">`, `<a href="c/d.html?e=http://f">`},
		{"query alone stays", `<a href="?p=2">`, `<a href="?p=2">`},
		{"climbing", `<img src="../c.png">`, `<img src="` + w + `im_/https://a.com/c.png">`},
		{"climbing encoded", `<img src="%2e%2e/c.png">`, `<img src="` + w + `im_/https://a.com/c.png">`},
		{"climbing late", `<img src="c/../../d.png">`, `<img src="` + w + `im_/https://a.com/d.png">`},
		{"backslashes", `<a href="\\b.com\c">`, `<a href="` + w + `/https://b.com/c">`},
		{"fragment stays", `<a href="#c">`, `<a href="#c">`},
		{"fragment kept", `<a href="/c#d'e">`, `<a href="` + w + `/https://a.com/c#d%27e">`},
		{"left alone", `<a href="javascript:x()"><a href="mailto:x@y"><a href="tel:1"><img src="data:x"><a href="about:blank"><a href="blob:x"><a href="{{u}}">`,
			`<a href="javascript:x()"><a href="mailto:x@y"><a href="tel:1"><img src="data:x"><a href="about:blank"><a href="blob:x"><a href="{{u}}">`},
		{"entities", `<a href="&#x2F;c?d=1&amp;e=2">`, `<a href="` + w + `/https://a.com/c?d=1&amp;e=2">`},
		{"bare ampersand", `<a href="/c?d=1&copy=2">`, `<a href="` + w + `/https://a.com/c?d=1&amp;copy=2">`},
		{"white space and newlines", "<a href=\" \nhttps://b.com/\nc \">", "<a href=\" \n" + w + "/https://b.com/c \">"},
		{"quotes in URLs", `<a href='/c"d'>`, `<a href='` + w + `/https://a.com/c%22d'>`},
		{"srcset", `<img srcset="/c,d.png 1x, //b.com/e.png 2x,f.png 3x">`, `<img srcset="` + w + `im_/https://a.com/c,d.png 1x, ` + w + `im_/https://b.com/e.png 2x,f.png 3x">`},
		{"imagesrcset", `<link rel=preload as=image imagesrcset="/c.png 1x">`, `<link rel=preload as=image imagesrcset="` + w + `im_/https://a.com/c.png 1x">`},
		{"media", `<video poster="/p.jpg" src="/v.mp4"><track src="/t.vtt"></video>`, `<video poster="` + w + `im_/https://a.com/p.jpg" src="` + w + `oe_/https://a.com/v.mp4"><track src="` + w + `oe_/https://a.com/t.vtt"></video>`},
		{"forms", `<form action="/s"><button formaction="/t">`, `<form action="` + w + `/https://a.com/s"><button formaction="` + w + `/https://a.com/t">`},
		{"old attributes", `<body background="/b.gif"><object data="/o.swf" codebase="/k/"></object><blockquote cite="/q">`,
			`<body background="` + w + `im_/https://a.com/b.gif"><object data="` + w + `oe_/https://a.com/o.swf" codebase="` + w + `/https://a.com/k/"></object><blockquote cite="` + w + `/https://a.com/q">`},
		{"frames", `<iframe src="f.html"></iframe>`, `<iframe src="` + w + `if_/https://a.com/x/f.html"></iframe>`},
		{"srcdoc", `<iframe srcdoc="<a href='/c?a=1&amp;amp;b=2'>"></iframe>`, `<iframe srcdoc="<a href='` + w + `/https://a.com/c?a=1&amp;amp;b=2'>"></iframe>`},
		{"links by rel", `<link rel=stylesheet href=/c.css><link rel=icon href=/i.ico><link rel=canonical href=/c><link rel=preload as=script href=/s.js>`,
			`<link rel=stylesheet href=` + w + `cs_/https://a.com/c.css><link rel=icon href=` + w + `im_/https://a.com/i.ico><link rel=canonical href=/c><link rel=preload as=script href=` + w + `js_/https://a.com/s.js>`},
		{"hints dropped", `<link rel="preconnect" href="//b.com"><link rel=dns-prefetch href=//b.com>`,
			`<link data-archive-rel="preconnect" href="` + w + `/https://b.com/"><link data-archive-rel=dns-prefetch href=` + w + `/https://b.com/>`},
		{"meta refresh", `<meta http-equiv=refresh content="0; url='/c'"><meta http-equiv=refresh content="5;/d">`,
			`<meta http-equiv=refresh content="0; url='` + w + `/https://a.com/c'"><meta http-equiv=refresh content="5;` + w + `/https://a.com/d">`},
		{"meta URLs", `<meta property="og:image" content="https://b.com/c.png"><meta name="twitter:image" content="//b.com/d.png"><meta property="og:url" content="https://a.com/x">`,
			`<meta property="og:image" content="` + w + `im_/https://b.com/c.png"><meta name="twitter:image" content="` + w + `im_/https://b.com/d.png"><meta property="og:url" content="` + w + `/https://a.com/x">`},
		{"inline style", `<p style="background:url(&quot;/c (1).png&quot;)">`, `<p style="background:url(&quot;` + w + `im_/https://a.com/c%20%281%29.png&quot;)">`},
		{"style element", `<style>@import "/c.css?a&b"; p{background:url(/d.png)}</style>`, `<style>@import "` + w + `cs_/https://a.com/c.css?a&b"; p{background:url(` + w + `im_/https://a.com/d.png)}</style>`},
		{"style element cannot be left", `<style>p{background:url("/a\3c/style>\3cscript>")}</style>`, `<style>p{background:url("` + w + `im_/https://a.com/a%3C/style%3E%3Cscript%3E")}</style>`},
		{"base", `<base href="https://b.com/d/"><a href="c"><a href="/e"><a href="../f">`,
			`<base href="` + w + `/https://b.com/d/"><a href="c"><a href="` + w + `/https://b.com/e"><a href="` + w + `/https://b.com/f">`},
		{"base without path", `<base href="https://b.com"><a href="c">`, `<base href="` + w + `/https://b.com/"><a href="c">`},
		{"base to nowhere", `<base href="javascript:x"><a href="/c">`, `<base href="javascript:x"><a href="` + w + `/https://a.com/c">`},
		{"integrity and company", `<script src="/s.js" integrity="sha256-x" crossorigin="anonymous" nonce=n></script>`,
			`<script src="` + w + `js_/https://a.com/s.js" data-archive-integrity="sha256-x" data-archive-crossorigin="anonymous" data-archive-nonce=n></script>`},
		{"policy", `<meta http-equiv="Content-Security-Policy" content="img-src 'none'">`, `<meta data-archive-http-equiv="Content-Security-Policy" content="img-src 'none'">`},
		{"target", `<a target=_top href=c><a target="_blank" href=c><a target=left href=c>`, `<a target=_self href=c><a target="_self" href=c><a target=left href=c>`},
		{"ping", `<a href=c ping="https://t.com/">`, `<a href=c data-archive-ping="https://t.com/">`},
		{"svg", `<svg><image xlink:href="/c.png"/></svg>`, `<svg><image xlink:href="` + w + `im_/https://a.com/c.png"/></svg>`},
		{"noscript", `<noscript><img src="/c.png"></noscript>`, `<noscript><img src="` + w + `im_/https://a.com/c.png"></noscript>`},
		{"JSON-LD and scripts are text", `<script type="application/ld+json">{"image":"https://a.com/c.png"}</script><script>var a="<a href='/c'>"</script>`,
			`<script type="application/ld+json">{"image":"https://a.com/c.png"}</script><script>var a="<a href='/c'>"</script>`},
		{"comments are text", `<!-- <a href="/c"> -->`, `<!-- <a href="/c"> -->`},
		{"lazy", `<img src="data:image/gif;base64,x" data-src="/c.png" data-srcset="/d.png 2x" alt="e">`,
			`<img data-archive-src="data:image/gif;base64,x" src="` + w + `im_/https://a.com/c.png" srcset="` + w + `im_/https://a.com/d.png 2x" alt="e">`},
		{"lazy by class", `<img class="lazyload" src="/small.jpg" data-original="/c.png">`, `<img class="lazyload" data-archive-src="` + w + `im_/https://a.com/small.jpg" src="` + w + `im_/https://a.com/c.png">`},
		{"a real picture is not replaced", `<img src="/c.jpg" data-src="/zoom.jpg">`, `<img src="` + w + `im_/https://a.com/c.jpg" data-src="` + w + `im_/https://a.com/zoom.jpg">`},
		{"lazy with noscript behind", `<img class=lazy data-src="c.png"></a> <noscript><img src="c.png"></noscript>`, `<img class=lazy data-src="c.png"></a> <noscript><img src="c.png"></noscript>`},
		{"lazy with noscript before", `<noscript><img src="c.png"></noscript> <img class=lazy data-src="c.png">`, `<noscript><img src="c.png"></noscript> <img class=lazy data-src="c.png">`},
		{"lazy frame and source", `<iframe data-src="https://b.com/e"></iframe><source data-srcset="c.webp">`, `<iframe src="` + w + `if_/https://b.com/e"></iframe><source srcset="c.webp">`},
		{"late sheet", `<link rel=stylesheet media=print onload="this.media='all'" href=c.css>`, `<link rel=stylesheet data-archive-media=print onload="this.media='all'" href=c.css>`},
		{"hint and sheet in one", `<link rel="dns-prefetch stylesheet" href=c.css><link rel="preload stylesheet" as=style href=c.css>`, `<link rel="stylesheet" href=c.css><link rel="preload stylesheet" as=style href=c.css>`},
		{"preload for a script", `<link rel=preload as=fetch href=c.json>`, `<link data-archive-rel=preload as=fetch href=c.json>`},
		{"lazy background", `<div class=x data-bg="/c.png"></div><div data-bg="/c.png" style="a:b"></div><div data-bg="/c)d.png"></div>`,
			`<div class=x style="background-image:url(` + w + `im_/https://a.com/c.png)"></div><div data-bg="` + w + `im_/https://a.com/c.png" style="a:b"></div><div data-bg="` + w + `im_/https://a.com/c)d.png"></div>`},
		{"amp players", `<amp-video src="/v.mp4"></amp-video><amp-iframe src="/f"></amp-iframe>`, `<video controls src="` + w + `oe_/https://a.com/v.mp4"></video></amp-video><iframe src="` + w + `if_/https://a.com/f"></iframe></amp-iframe>`},
		{"hidden page", `<body hidden>`, `<body data-archive-hidden>` + markup.Shown},
		{"amp", `<amp-img src="c.png" width=3 height=2></amp-img>`, `<img style="max-width:100%;height:auto" src="c.png" width=3 height=2></amp-img>`},
		{"anti-flicker", `<head><meta charset=utf-8><style>.async-hide { opacity: 0 !important}</style></head>`, `<head><meta charset=utf-8>` + markup.Shown + `<style>.async-hide { opacity: 0 !important}</style></head>`},
		{"hidden body", `<body style="opacity:0">`, `<body data-archive-style="opacity:0">`},
		{"no end", `<a href="/c`, `<a href="/c`},
		{"escapes nothing", `<a href='/"><script>alert(1)</script>'>`, `<a href='` + w + `/https://a.com/%22%3E%3Cscript%3Ealert(1)%3C/script%3E'>`},
	} {
		got := string(testDocument("https://a.com/x/y").HTML([]byte(c.src)))
		if got != c.want {
			t.Errorf("%s\n src %s\n got %s\nwant %s", c.name, c.src, got, c.want)
		}
	}
}

func TestRewriteCSS(t *testing.T) {
	const w = "/web/2026"
	for _, c := range []struct{ name, src, want string }{
		{"url", `a{b:url(/c.png)} d{e:url( "/f.png" )} g{h:url('../i.png')}`, `a{b:url(` + w + `im_/https://a.com/c.png)} d{e:url( "` + w + `im_/https://a.com/f.png" )} g{h:url('` + w + `im_/https://a.com/i.png')}`},
		{"relative stays", `a{b:url(c.png)}`, `a{b:url(c.png)}`},
		{"escapes", `a{b:url(/c\)d.png)}`, `a{b:url(` + w + `im_/https://a.com/c%29d.png)}`},
		{"import", `@charset "utf-8"; @import "/c.css" screen; @import url(//b.com/d.css);`, `@charset "utf-8"; @import "` + w + `cs_/https://a.com/c.css" screen; @import url(` + w + `cs_/https://b.com/d.css);`},
		{"image-set", `a{b:image-set("/c.png" 1x, url(/d.png) 2x)}`, `a{b:image-set("` + w + `im_/https://a.com/c.png" 1x, url(` + w + `im_/https://a.com/d.png) 2x)}`},
		{"font", `@font-face{src:url(/f.woff2)}`, `@font-face{src:url(` + w + `oe_/https://a.com/f.woff2)}`},
		{"left alone", `a{b:url(data:image/png;base64,x)} c{d:url(#e)} /* url(/f) */`, `a{b:url(data:image/png;base64,x)} c{d:url(#e)} /* url(/f) */`},
	} {
		if got := string(testDocument("https://a.com/x/y.css").CSS([]byte(c.src))); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestCharsets(t *testing.T) {
	d := testDocument("https://a.com/")
	d.charset = "windows-1251"
	src := "<p>\xcf\xf0\xe8\xe2\xe5\xf2 <a href=\"/\xf0\">"
	if got, want := string(d.HTML([]byte(src))), "<p>\xcf\xf0\xe8\xe2\xe5\xf2 <a href=\"/web/2026/https://a.com/%D1%80\">"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestBannerPlace(t *testing.T) {
	for _, c := range [][2]string{
		{`<html><head></head><body class=a><p>b`, `<html><head></head><body class=a>[B]<p>b`},
		{`<p>b`, `<p>b[B]`},
		{`<frameset><frame src=a></frameset>`, `<frameset><frame src=/web/2026if_/https://a.com/a></frameset>`},
		{`<!-- <body> --><body><p>`, `<!-- <body> --><body>[B]<p>`},
	} {
		d := testDocument("https://a.com/")
		d.banner = []byte("[B]")
		if got := string(d.HTML([]byte(c[0]))); got != c[1] {
			t.Errorf("%s: got %s", c[0], got)
		}
	}
}

func TestSymbolsAreTakenIn(t *testing.T) {
	d := testDocument("https://a.com/")
	d.symbol = func(abs, id string) ([]byte, string) {
		if abs != "https://a.com/i.svg" {
			return nil, ""
		}
		return []byte(`<symbol id="s-` + id + `"/>`), "s-" + id
	}
	got := string(d.HTML([]byte(`<body><svg><use href="/i.svg#a"/><use xlink:href="i.svg#a"/><use href="#own"/><use href="/no.svg#a"/><use href="//b.com/i.svg#a"/></svg>`)))
	want := `<body><svg style="position:absolute;width:0;height:0" aria-hidden="true"><symbol id="s-a"/></svg><svg><use href="#s-a"/><use xlink:href="#s-a"/><use href="#own"/><use data-archive-href="/web/2026im_/https://a.com/no.svg#a"/><use data-archive-href="/web/2026im_/https://b.com/i.svg#a"/></svg>`
	if got != want || d.seen.foreign != 1 {
		t.Errorf("got %s, %d foreign", got, d.seen.foreign)
	}
}

func realPages(t testing.TB) (names []string, out [][]byte) {
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "articles", "html", "*.gz"))
	if len(files) == 0 {
		t.Skipf("SKIPPED: no test data at %q: set MIRRORWATCH_TESTDATA", dir)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(z)
		f.Close()
		names, out = append(names, filepath.Base(name)), append(out, b)
	}
	return names, out
}

// touchable are the attributes that the rewriter may change; what it renames begins with "data-archive-".
var touchable = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(`href src srcset imagesrcset poster action formaction background cite data codebase xlink:href content style
		longdesc srcdoc manifest dynsrc lowsrc target rel media http-equiv integrity nonce crossorigin ping
		` + strings.Join(markup.LazySources, " ") + " " + strings.Join(markup.LazySets, " ") + ` data-poster data-lazy-background data-lazy-bg data-bg data-bg-src
		data-background data-background-image data-bgset data-src-medium data-src-large data-src-small data-full-src data-large-file data-image
		data-img data-thumb data-pin-media`) {
		m[n] = true
	}
	return m
}()

// TestRealPagesKeepTheirBytes cuts each page before and after with another tokenizer: everything but touched attributes and
// style sheets must be the same octets in the same order.
func TestRealPagesKeepTheirBytes(t *testing.T) {
	t.Parallel()
	names, all := realPages(t)
	if len(all) < 181 {
		t.Errorf("%d pages only", len(all))
	}
	touched := 0
	for i, src := range all {
		d := testDocument("https://www.example.org/2020/story.html")
		out := d.HTML(src)
		if !d.still.Flicker {
			touched += len(d.edits)
			compareTokens(t, names[i], src, out)
		}
		// The spans between the edits are copied: put back, the edits give the source.
		var back []byte
		at := 0
		for _, e := range d.edits {
			n := e.start - at
			back = append(back, out[:n]...)
			out = out[n+len(e.text):]
			back = append(back, src[e.start:e.end]...)
			at = e.end
		}
		if back = append(back, out...); !bytes.Equal(back, src) {
			t.Errorf("%s: octets outside the touched places changed", names[i])
		}
	}
	if touched < 10_000 {
		t.Errorf("%d places touched only", touched)
	}
}

func compareTokens(t *testing.T, name string, a, b []byte) {
	za, zb := html.NewTokenizer(bytes.NewReader(a)), html.NewTokenizer(bytes.NewReader(b))
	style := false
	for {
		ta, tb := za.Next(), zb.Next()
		if ta != tb {
			t.Errorf("%s: token %v became %v %.80q", name, ta, tb, zb.Raw())
			return
		}
		if ta == html.ErrorToken {
			return
		}
		rawA, rawB := bytes.Clone(za.Raw()), bytes.Clone(zb.Raw())
		if ta != html.StartTagToken && ta != html.SelfClosingTagToken {
			if !style && !bytes.Equal(rawA, rawB) && !bytes.Contains(bytes.ToLower(rawA), []byte("<")) {
				t.Errorf("%s: %.80q became %.80q", name, rawA, rawB)
				return
			}
			style = false
			continue
		}
		na, moreA := za.TagName()
		nb, moreB := zb.TagName()
		style = string(na) == "style"
		if string(na) != string(nb) && !strings.HasPrefix(string(na), "amp-") {
			t.Errorf("%s: <%s> became <%s>", name, na, nb)
			return
		}
		attrs := func(z *html.Tokenizer, more bool) (left []string) {
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				if n := strings.TrimPrefix(string(k), kept); !touchable[n] {
					left = append(left, string(k)+"="+string(v))
				}
			}
			return
		}
		la, lb := attrs(za, moreA), attrs(zb, moreB)
		if strings.Join(la, " ") != strings.Join(lb, " ") && !strings.HasPrefix(string(na), "amp-") {
			t.Errorf("%s: <%s>: %q became %q", name, na, la, lb)
			return
		}
	}
}

func FuzzRewrite(f *testing.F) {
	for _, s := range []string{`<a href="/x&amp;y"><img srcset="a 1x,/b"><style>@import '/c'</style><body><base href=//b>`, `<iframe srcdoc="<a href='/c'>"><use href=/a#b>`,
		"<meta http-equiv=refresh content='0;/d'><amp-img data-src=/x.png><noscript>"} {
		f.Add([]byte(s), "utf-8")
		f.Add([]byte(s), "gbk")
	}
	f.Fuzz(func(t *testing.T, src []byte, charset string) {
		for _, css := range []bool{false, true} {
			d := testDocument("https://a.com/x/y")
			d.charset, d.banner = message.MediaType(charset), []byte("[B]")
			out := d.HTML
			if css {
				out = d.CSS
			}
			text := out(src)
			n := len(src)
			for i, e := range d.edits {
				if e.start < 0 || e.end < e.start || e.end > len(src) || i > 0 && e.start < d.edits[i-1].start {
					t.Fatalf("edit %+v of %d octets", e, len(src))
				}
				if strings.ContainsAny(e.text, "\"'\\`") && e.text != markup.Shown && !strings.HasPrefix(strings.TrimSpace(e.text), "style=") && !plainRel(e.text) {
					t.Fatalf("edit writes %q", e.text)
				}
				n += len(e.text) + e.start - e.end
			}
			if n != len(text) {
				t.Errorf("edits overlap: %d octets, want %d", len(text), n)
			}
		}
	})
}

// plainRel is a quoted list of link types.
func plainRel(s string) bool {
	return len(s) > 2 && s[0] == '"' && strings.Trim(s, "\"abcdefghijklmnopqrstuvwxyz- ") == "" && strings.Count(s, "\"") == 2
}

func BenchmarkRewriteHTML(b *testing.B) {
	_, all := realPages(b)
	n := 0
	for _, p := range all {
		n += len(p)
	}
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range all {
			testDocument("https://www.example.org/2020/story.html").HTML(p)
		}
	}
}
