package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"mirrorwatch/crawler/survey"
)

// outside is every host of the live web: names below .example lead here, and every connection is counted.
type outside struct {
	srv  *httptest.Server
	mu   sync.Mutex
	seen []string
}

// theOutside is one for all tests: the browser's rules name its address.
var theOutside = sync.OnceValue(func() *outside {
	o := &outside{}
	note := func(s string) { o.mu.Lock(); defer o.mu.Unlock(); o.seen = append(o.seen, s) }
	o.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { note(r.Method + " " + r.Host + r.URL.String()) }))
	o.srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			note("connection")
		}
	}
	o.srv.Start()
	return o
})

func newOutside(*testing.T) *outside {
	o := theOutside()
	o.take()
	return o
}

// theBrowser is one Chromium for all tests, each of which gets a tab and a profile of its own; stopBrowser ends it.
var (
	stopBrowser = func() {}
	theBrowser  = sync.OnceValues(func() (context.Context, error) {
		path := ""
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if p, err := exec.LookPath(name); err == nil {
				path = p
				break
			}
		}
		if path == "" {
			return nil, exec.ErrNotFound
		}
		dir, err := os.MkdirTemp("", "mirrorwatch-browser-*")
		if err != nil {
			return nil, err
		}
		opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(dir),
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.DisableGPU,
			chromedp.Flag("host-resolver-rules", "MAP *.example "+theOutside().srv.Listener.Addr().String()))
		parent, stop := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, cancel := chromedp.NewContext(parent)
		stopBrowser = func() { cancel(); stop(); _ = os.RemoveAll(dir) }
		return ctx, chromedp.Do(ctx)
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	stopBrowser()
	os.Exit(code)
}

func (o *outside) take() (s []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, o.seen = o.seen, nil
	return s
}

// browser opens a tab of Chromium; names below .example lead to the outside. With CI=true there must be one.
func browser(t *testing.T, _ *outside) context.Context {
	t.Helper()
	whole, err := theBrowser()
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true":
		t.Skip("SKIPPED: no Chromium in the path, so nobody looked at what archived pages may do")
	case err != nil:
		t.Fatalf("Chromium: %v", err)
	}
	ctx, cancel := chromedp.NewContext(whole, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	limited, end := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(end)
	return limited
}

func visit(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

func eval[T any](t *testing.T, ctx context.Context, script string, opts ...chromedp.EvaluateOption) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, opts...))
	if err != nil {
		t.Fatalf("%.100s: %v", script, err)
	}
	return v
}

// picture is a PNG of one colour.
func picture(w, h int, c color.Color) string {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.Set(i%w, i/w, c)
	}
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.String()
}

const hostilePage = `<!DOCTYPE html><html onclick="document.title='ran'"><head><meta charset=utf-8><title>calm</title>
<base href="http://live.example/"><meta http-equiv=refresh content="0;url=http://live.example/refresh">
<link rel=preconnect href="http://pre.example"><link rel=dns-prefetch href="//dns.example"><link rel=prefetch href="http://live.example/prefetch"><link rel=prerender href="http://live.example/prerender">
<link rel=stylesheet href="http://live.example/s.css"><link rel=icon href="http://live.example/i.ico"><link rel=manifest href="http://live.example/m.json">
<link rel=modulepreload href="http://live.example/m.js"><link rel=preload as=font crossorigin href="http://live.example/f.woff2">
<style>@import "http://live.example/i.css"; @font-face{font-family:x;src:url(http://live.example/f.woff)} body{font-family:x;background:u\72l(http://live.example/escaped.png);cursor:url(http://live.example/c.cur),auto}</style>
<script>document.title='ran';document.cookie='a=b';try{localStorage.x=1;sessionStorage.x=1;indexedDB.open('x')}catch(e){};navigator.serviceWorker&&navigator.serviceWorker.register('/web/sw.js');fetch('http://live.example/fetch');navigator.sendBeacon('http://live.example/beacon');new WebSocket('ws://live.example/ws');new Image().src='http://live.example/img';location='http://live.example/location'</script>
<script src="http://live.example/s.js"></script><script type=module>document.title='ran'</script><script src="data:text/javascript,document.title='ran'"></script></head>
<body onload="document.title='ran'" background="http://live.example/b.gif"><p>words of the page</p><noscript><p>seen without scripts</p></noscript>
<img src=x onerror="document.title='ran'"><img srcset="http://live.example/1.png 1x, http://live.example/2.png 2x"><img src="http://live.example/3.png">
<svg onload="document.title='ran'"><image href="http://live.example/svg.png"/><use href="http://live.example/u.svg#a"/><script>document.title='ran'</script><animate onbegin="document.title='ran'" attributeName=x dur=1s /></svg>
<iframe src="javascript:parent.document.title='ran'"></iframe><iframe srcdoc="<script>parent.document.title='ran'</script><img src='http://live.example/srcdoc.png'>"></iframe><iframe src="http://live.example/frame"></iframe><iframe src="data:text/html,<script>parent.document.title='ran'</script><img src=http://live.example/data.png>"></iframe>
<object data="http://live.example/o.swf"></object><embed src="http://live.example/e.swf"><video autoplay src="http://live.example/v.mp4" poster="http://live.example/p.png"></video><audio autoplay src="http://live.example/a.mp3"></audio>
<form id=f action="http://live.example/form" method=post><input name=a value=b><input type=image src="http://live.example/input.png"><button autofocus onfocus="document.title='ran'">b</button></form><a id=p href="#x" ping="http://live.example/ping">ping</a>
<div style="background:url(http://live.example/style.png);list-style:url('http://live.example/list.png')">d</div><details open ontoggle="document.title='ran'"><summary>s</summary></details>
<math><mtext><img src="http://live.example/math.png"></mtext></math><div><template shadowrootmode=open><img src="http://live.example/shadow.png"></template></div>
<style>mirrorwatch-banner{display:none!important;opacity:0!important;transform:translate(-9999px)!important}</style>
<mirrorwatch-banner><template shadowrootmode=open><p>a banner that lies</p></template></mirrorwatch-banner>
<!--><img src="http://live.example/comment.png" onerror="document.title='ran'">--></body></html>`

// TestHostilePage: no script runs, nothing is asked of another host, nothing is stored, rewritten and raw, alone and in a
// frame.
func TestHostilePage(t *testing.T) {
	t.Parallel()
	w, o := newWorld(t), newOutside(t)
	w.put(noon, "http://bad.example/", "200 OK", "Content-Type: text/html; charset=utf-8\r\nSet-Cookie: evil=1; Path=/\r\nRefresh: 0; url=http://live.example/header\r\n"+
		"Link: <http://live.example/link.css>; rel=preload; as=style, <http://link.example>; rel=preconnect\r\nClear-Site-Data: \"*\"\r\nNEL: {\"report_to\":\"x\"}\r\nReport-To: {\"group\":\"x\",\"endpoints\":[{\"url\":\"http://live.example/report\"}]}\r\n"+
		"Content-Security-Policy-Report-Only: default-src 'none'; report-uri http://live.example/csp\r\n", hostilePage)
	w.put(noon, "http://live.example/s.js", "200 OK", "Content-Type: text/javascript\r\n", "document.title='ran'")
	w.put(noon, "http://live.example/u.svg", "200 OK", "Content-Type: image/svg+xml\r\n", `<svg xmlns="http://www.w3.org/2000/svg" onload="document.title='ran'"><symbol id="a"><image href="http://live.example/symbol.png" onload="document.title='ran'"/><script>document.title='ran'</script></symbol></svg>`)
	w.put(noon, "http://live.example/frame", "200 OK", "Content-Type: text/html\r\n", `<script>parent.document.title='ran';top.location='http://live.example/top'</script><img src=http://live.example/inframe.png>`)
	page := w.html(noon.Add(time.Second), "http://bad.example/article", hostilePage)
	w.snap("http://bad.example/article", page, survey.Identical, nil)
	w.html(noon.Add(time.Second), "http://bad.example/x.svg", "")
	w.put(noon, "http://bad.example/pic.svg", "200 OK", "Content-Type: image/svg+xml\r\n", `<svg xmlns="http://www.w3.org/2000/svg"><script>document.title='ran'</script><image href="http://live.example/svgfile.png"/></svg>`)
	w.commit()
	ctx := browser(t, o)
	o.take()
	base := w.srv.URL
	for _, target := range []string{
		"/web/" + tenStamp + "/http://bad.example/", "/web/" + tenStamp + "if_/http://bad.example/", "/web/" + tenStamp + "id_/http://bad.example/",
		"/web/20261124120001/http://bad.example/article", "/beside/2026/http://bad.example/article", "/web/" + tenStamp + "/http://bad.example/pic.svg",
		"/web/" + tenStamp + "js_/http://live.example/s.js", "/web/*/http://bad.example/%22%3E%3Cscript%3Edocument.title='ran'%3C/script%3E",
	} {
		visit(t, ctx, base+target)
		time.Sleep(300 * time.Millisecond)
		seen := o.take()
		if strings.Contains(target, "id_/") { // raw octets keep their preconnect, which no policy governs; it carries nothing
			seen = requestsOnly(seen)
		}
		if len(seen) > 0 {
			t.Errorf("%s: asked of the live web: %q", target, seen)
		}
		if at := eval[string](t, ctx, "location.href"); !strings.HasPrefix(at, base+"/") {
			t.Errorf("%s led to %s", target, at)
		}
		if title := eval[string](t, ctx, "document.title"); title == "ran" {
			t.Errorf("%s: a script ran", target)
		}
		if strings.HasSuffix(target, "http://bad.example/") {
			box := eval[string](t, ctx, "(b=>b?getComputedStyle(b).display+' '+getComputedStyle(b).opacity+' '+getComputedStyle(b).position:'')(document.querySelector('mirrorwatch-banner'))")
			if !strings.Contains(target, "_") && box != "block 1 fixed" {
				t.Errorf("%s: the banner was hidden: %s", target, box)
			}
			if text := eval[string](t, ctx, "document.body.innerText"); !strings.Contains(text, "words of the page") || !strings.Contains(text, "seen without scripts") {
				t.Errorf("%s shows %.100q", target, text)
			}
		}
	}
	cookies := -1
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		r, err := chromedp.Call(ctx, storage.GetCookies, storage.GetCookiesParams{})
		cookies = len(r.Cookies)
		return err
	}))
	if err != nil || cookies != 0 {
		t.Errorf("%d cookies, %v", cookies, err)
	}
	visit(t, ctx, base+"/")
	if n := eval[int](t, ctx, "localStorage.length+sessionStorage.length"); n != 0 {
		t.Errorf("%d values in storage", n)
	}
}

func requestsOnly(seen []string) (out []string) {
	for _, s := range seen {
		if s != "connection" {
			out = append(out, s)
		}
	}
	return out
}

// TestArticleShows: an archived article has its pictures, styles, backgrounds, font and symbols, from the archive alone.
func TestArticleShows(t *testing.T) {
	w, o := newWorld(t), newOutside(t)
	red, blue := picture(40, 30, color.RGBA{255, 0, 0, 255}), picture(20, 10, color.RGBA{0, 0, 255, 255})
	pic := func(u, body string) survey.Capture {
		return w.put(noon, u, "200 OK", "Content-Type: image/png\r\n", body)
	}
	page := w.html(noon, "https://news.example/2026/story", `<!DOCTYPE html><html lang=en class=async-hide><head><meta charset=utf-8><title>Caf`+"\u00e9"+`</title>
<style>.async-hide{opacity:0 !important}</style><link rel=stylesheet href="/css/main.css" integrity="sha256-x" crossorigin=anonymous><meta http-equiv=Content-Security-Policy content="img-src 'none'"></head>
<body><h1 id=h>Headline</h1><img id=a src="/img/a.png"><img id=b src="../img/b.png" srcset="/img/b.png 1x, /img/b2.png 2x"><img id=c class=lazy src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" data-src="/img/c.png">
<picture><source srcset="/img/d.png"><img id=d src="/img/none.png"></picture><noscript><img id=n src="/img/n.png"></noscript><div id=bg>x</div>
<svg id=s width=10 height=10><use href="/i.svg#dot"/></svg><iframe id=f src="/frame"></iframe><a id=l href="/other">other</a></body></html>`)
	parts := []survey.Capture{
		w.put(noon, "https://news.example/css/main.css", "200 OK", "Content-Type: text/css\r\n", `@import "more.css"; h1{color:rgb(1,2,3)} #bg{background:url(../img/bg.png)}`),
		w.put(noon, "https://news.example/css/more.css", "200 OK", "Content-Type: text/css\r\n", `h1{margin-left:7px}`),
		w.put(noon, "https://news.example/i.svg", "200 OK", "Content-Type: image/svg+xml\r\n", `<svg xmlns="http://www.w3.org/2000/svg"><symbol id="dot" viewBox="0 0 10 10"><circle cx="5" cy="5" r="5"/></symbol></svg>`),
	}
	for _, n := range []string{"a", "b", "b2", "c", "d", "n", "bg"} {
		body := red
		if n == "d" {
			body = blue
		}
		parts = append(parts, pic("https://news.example/img/"+n+".png", body))
	}
	w.html(noon, "https://news.example/frame", "<p>framed")
	w.snap("https://news.example/2026/story", page, survey.Identical, nil, parts...)
	w.commit()
	ctx := browser(t, o)
	o.take()
	for _, target := range []string{"/web/" + tenStamp + "/https://news.example/2026/story", "/web/" + tenStamp + "if_/https://news.example/2026/story"} {
		visit(t, ctx, w.srv.URL+target)
		time.Sleep(300 * time.Millisecond)
		for id, width := range map[string]int{"a": 40, "b": 40, "c": 40, "d": 20, "n": 40} {
			if n := eval[int](t, ctx, fmt.Sprintf("(i=>i.complete?i.naturalWidth:-1)(document.getElementById('%s'))", id)); n != width {
				t.Errorf("%s: picture %s is %d wide, want %d", target, id, n, width)
			}
		}
		for script, want := range map[string]string{
			"getComputedStyle(document.getElementById('h')).color": "rgb(1, 2, 3)", "getComputedStyle(document.getElementById('h')).marginLeft": "7px",
			"getComputedStyle(document.documentElement).opacity": "1", "document.title": "Caf\u00e9", "document.characterSet": "UTF-8",
			"String(document.getElementById('s').getBBox().width)": "10",
		} {
			if got := eval[string](t, ctx, script); got != want {
				t.Errorf("%s: %s is %q, want %q", target, script, got, want)
			}
		}
		banner := eval[string](t, ctx, "(b=>b&&b.shadowRoot?b.shadowRoot.textContent:'')(document.querySelector('mirrorwatch-banner'))")
		if framed := strings.Contains(target, "if_"); framed != (banner == "") || !framed && !strings.Contains(banner, "identical") {
			t.Errorf("%s: banner %.200q", target, banner)
		}
		if href := eval[string](t, ctx, "document.getElementById('l').href"); !strings.HasPrefix(href, w.srv.URL+"/web/") && !strings.HasPrefix(href, w.srv.URL+"/snapshot/") {
			t.Errorf("%s: a link leads to %s", target, href)
		}
	}
	if seen := o.take(); len(seen) > 0 {
		t.Errorf("asked of the live web: %q", seen)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.asked, "\n")
	for _, part := range []string{"/img/bg.png", "/css/more.css", "/css/main.css", "https://news.example/frame"} {
		if !strings.Contains(all, part) {
			t.Errorf("%s was not asked for", part)
		}
	}
	for _, s := range w.asked {
		if !strings.HasPrefix(s, "200 ") && !strings.HasPrefix(s, "302 ") && !strings.HasSuffix(s, "/favicon.ico") {
			t.Error(s)
		}
	}
}
