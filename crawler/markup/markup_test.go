package markup

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func list(src string) (out []string) {
	HTML([]byte(src), func(p Place) bool {
		out = append(out, fmt.Sprintf("%s %s", p.Kind, p.URL))
		return true
	})
	return out
}

func TestHTML(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`<A HREF = "x?a=1&amp;b=2&copy=3">`, "page x?a=1&b=2&copy=3"},
		{`<a href=/x/y?z>`, "page /x/y?z"},
		{"<a\r\n href='\n /x \n'>", "page /x"},
		{`<a href=1 href=2>`, "page 1"},
		{`<!-- <a href=no> --><a href=yes>`, "page yes"},
		{`<!--><a href=yes>`, "page yes"},
		{`<script><!-- <script> <a href=no> </script> --></script><a href=yes>`, "page yes"},
		{`<script src=s.js></script><textarea><a href=no></textarea>`, "script s.js"},
		{`<img src=a.png srcset="b,c.png 1x, d.png 2x">`, "image a.png|image b,c.png|image d.png"},
		{`<noscript><img src=n.png></noscript>`, "image n.png"},
		{`<svg><image xlink:href=i.png /><use href="s.svg#a"/></svg>`, "image i.png|image s.svg#a"},
		{`<div style="background:url(&quot;b.png&quot;)">`, "image b.png"},
		{`<style>@import "i.css"; @font-face{src:url(f.woff)} p{background:url( 'q.png' )}</style>`, "style i.css|font f.woff|image q.png"},
		{`<meta http-equiv=refresh content="0; URL='/n'">`, "refresh /n"},
		{`<meta http-equiv=refresh content="0;/n">`, "refresh /n"},
		{`<meta property=og:image content=/o.png><meta property=og:url content=/u>`, "image /o.png|meta /u"},
		{`<link rel="shortcut icon" href=f.ico><link rel=alternate type=application/rss+xml href=r.xml><link rel=preload as=font href=f>`, "icon f.ico|feed r.xml|font f"},
		{`<script type=application/ld+json>{"image":"https:\/\/a.b\/c.png","name":"https://no"}</script>`, "image https://a.b/c.png"},
		{`<img data-src=l.png src="data:x"><amp-img src=m.png>`, "image l.png|image m.png"},
		{`<iframe srcdoc="<a href=&quot;d&quot;>"></iframe>`, "page d"},
		{`<form action=f><button formaction=g><video poster=p src=v><source srcset="s 1x"><track src=t>`, "form f|form g|image p|media v|image s|media t"},
		{`<a href="JavaScript:x"><a href=#><a href=#x><a href="mailto:x"><a href="{{u}}">`, "page #x"},
		{`<a href="unclosed`, ""},
	} {
		if got := strings.Join(list(c.src), "|"); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.src, got, c.want)
		}
	}
}

func TestOffsets(t *testing.T) {
	src := "<p>\n<a href=' /a?x&amp;y '><i style=\"background:url(&quot;b.png&quot;)\">"
	var got []string
	HTML([]byte(src), func(p Place) bool {
		got = append(got, fmt.Sprint(src[p.Start:p.End], " ", p.Line))
		return true
	})
	if s := strings.Join(got, "|"); s != "/a?x&amp;y 2|b.png 2" {
		t.Error(s)
	}
}

func TestCSS(t *testing.T) {
	for _, c := range [][2]string{
		{`/* url(no) */ a{b:url(x\)y.png)}`, "image x)y.png"},
		{`@import url(a.css) screen; @import 'b.css';`, "style a.css|style b.css"},
		{`@namespace url(http://no); a{b:image-set("c.png" 1x, url(d.png) 2x type("image/png"))}`, "image c.png|image d.png"},
		{`a{content:"url(no)"} b{c:url(bad url)} d{e:URL("f")}`, "image f"},
		{`a{b:url(data:x)}`, ""},
	} {
		var got []string
		CSS([]byte(c[0]), func(p Place) bool { got = append(got, string(p.Kind)+" "+p.URL); return true })
		if s := strings.Join(got, "|"); s != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], s, c[1])
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range [][3]string{
		{"https://a.com/x/y?q#f", "z", "https://a.com/x/z"}, {"https://a.com/x/y?q", "../z#f", "https://a.com/z"},
		{"https://a.com", "z", "https://a.com/z"}, {"https://a.com/x", "//B.com", "https://b.com/"}, {"https://a.com/x?y", "?z", "https://a.com/x?z"},
		{"https://a.com/x?y#z", "", "https://a.com/x?y"}, {"", "http://a.com", "http://a.com/"}, {"https://a.com/", `\\b.com\c`, "https://b.com/c"},
		{"https://a.com/", "http://0x7f.1/", "http://127.0.0.1/"}, {"https://a.com/", "mailto:x@y", ""}, {"https://a.com/", "ü", "https://a.com/%C3%BC"},
	} {
		if got, _ := Resolve(c[0], c[1]); got != c[2] {
			t.Errorf("Resolve(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestFeeds(t *testing.T) {
	for name, src := range map[string]string{
		"rss":  `<?xml version="1.0"?><rss><channel><link>no</link><item><title>T &amp; U</title><link>https://a.com/1</link><pubDate>Wed, 10 Aug 2016 06:00:00 GMT</pubDate></item></channel></rss>`,
		"atom": `<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>T &amp; U</title><link rel="alternate" href="https://a.com/1"/><published>2016-08-10T06:00:00Z</published></entry></feed>`,
		"rdf":  `<rdf:RDF xmlns:rdf="r"><item rdf:about="https://a.com/1"><title>T &amp; U</title><dc:date>2016-08-10T06:00:00Z</dc:date></item></rdf:RDF>`,
	} {
		e, err := Feed([]byte(src))
		if err != nil || len(e) != 1 || e[0].URL != "https://a.com/1" || e[0].Title != "T & U" || e[0].Published.Day() != 10 {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
	_, kids, err := Sitemap([]byte(`<sitemapindex><sitemap><loc> https://a.com/s.xml </loc></sitemap></sitemapindex>`))
	if err != nil || len(kids) != 1 || kids[0] != "https://a.com/s.xml" {
		t.Errorf("%v %v", kids, err)
	}
	if _, err := Feed([]byte("<html>")); err == nil {
		t.Error("html is no feed")
	}
}

// oracle gives the plain href and src places as the x/net tokenizer sees them.
func oracle(src []byte) (out []string) {
	z := html.NewTokenizer(bytes.NewReader(src))
	for z.Next() != html.ErrorToken {
		tok := z.Token()
		if tok.Type != html.StartTagToken && tok.Type != html.SelfClosingTagToken {
			continue
		}
		if tok.Data == "noscript" {
			z.NextIsNotRawText()
		}
		want := map[string]string{"a": "href", "area": "href", "img": "src"}[tok.Data]
		for _, a := range tok.Attr {
			if want != "" && a.Key == want {
				v := []byte(a.Val)
				if s, e := trim(v, 0, len(v)); worth(v[s:e], want == "href") {
					out = append(out, clean(v[s:e]))
				}
				break
			}
		}
	}
	return out
}

func plainPlaces(src []byte) (out []string) {
	HTML(src, func(p Place) bool {
		if (p.Element == "a" || p.Element == "area") && p.Attr == "href" || p.Element == "img" && p.Attr == "src" {
			out = append(out, p.URL)
		}
		return true
	})
	return out
}

func pages(t testing.TB) (out [][]byte) {
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "articles", "html", "*.gz"))
	if len(files) == 0 {
		t.Skipf("no test data at %q: set MIRRORWATCH_TESTDATA", dir)
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
		out = append(out, b)
	}
	return out
}

func TestScannerEqualsTokenizer(t *testing.T) {
	for i, src := range pages(t) {
		got, want := plainPlaces(src), oracle(src)
		for k := range max(len(got), len(want)) {
			if k >= len(got) || k >= len(want) || got[k] != want[k] {
				t.Errorf("page %d: %d places, want %d; first difference at %d: %q %q", i, len(got), len(want), k, got[min(k, len(got)):min(k+1, len(got))], want[min(k, len(want)):min(k+1, len(want))])
				break
			}
		}
	}
}

func FuzzHTML(f *testing.F) {
	f.Add([]byte(`<a href="x&amp;y"><img srcset="a 1x,b"><style>@import 'c'</style><script>"<!--<script></script>`))
	f.Fuzz(func(t *testing.T, src []byte) {
		HTML(src, func(p Place) bool {
			if p.Start < 0 || p.End < p.Start || p.End > len(src) {
				t.Fatalf("%+v outside %d", p, len(src))
			}
			return true
		})
		CSS(src, func(p Place) bool { _ = src[p.Start:p.End]; return true })
		Srcset(string(src), func(string, int, int, string) bool { return true })
		Feed(src)
		Sitemap(src)
	})
}

func FuzzResolve(f *testing.F) {
	f.Add("https://a.com/x", "../y?z")
	f.Fuzz(func(t *testing.T, base, ref string) {
		if got, ok := fast(base, ref); ok {
			u, err := parser.ParseRef(base, ref)
			if err != nil || u.Href(true) != got {
				t.Fatalf("fast %q %q = %q, the parser says %v %v", base, ref, got, u, err)
			}
		}
	})
}

func BenchmarkHTML(b *testing.B) {
	all := bytes.Join(pages(b), nil)
	b.SetBytes(int64(len(all)))
	b.ReportAllocs()
	for b.Loop() {
		HTML(all, func(Place) bool { return true })
	}
}

// TestResolveLikeTheParser: the short ways of Resolve give what the parser gives, ports and addresses included.
func TestResolveLikeTheParser(t *testing.T) {
	refs := []string{"", "/a/b.html", "b?c=1", "?q", "//other.example/x", "//other.example:8080/x", "../up", "http://a.example:080/x"}
	for _, base := range []string{"http://127.0.0.1:8080/a/", "http://127.0.0.1/", "https://a.example:443/x", "http://a.example:80/x", "https://a.example:80/x", "http://a.example:0/",
		"http://a.example:8080/x/y", "http://a.example:65536/", "http://a.example:/x", "http://1.2.3/x", "http://01.2.3.4/x", "http://1.2.3.256/x", "http://1.2.3.4.5/x", "http://a.1/x", "http://0.0.0.0/x", "https://a.example:8x/"} {
		for _, ref := range refs {
			got, ok := Resolve(base, ref)
			u, err := parser.ParseRef(base, ref)
			want, wantOK := "", false
			if err == nil && u.Hostname() != "" && (u.Scheme() == "http" || u.Scheme() == "https") {
				want, wantOK = u.Href(true), true
			}
			if got != want || ok != wantOK {
				t.Errorf("%q with %q is %q %v, the parser says %q %v", base, ref, got, ok, want, wantOK)
			}
		}
	}
}

func TestBaseInAnyCase(t *testing.T) {
	for in, want := range map[string]string{
		`<b><base href="/a/">`: "/a/", `<B><br><BaSe HREF='/b/'>`: "/b/", `<BASE href=c>`: "c", `<bas href="x">`: "", `<bas`: "", `<b`: "", ``: "",
		`<basefont href="x"><base href="/d">`: "/d",
	} {
		if got := Base([]byte(in)); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
