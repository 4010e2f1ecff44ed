package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"mirrorwatch/crawler/survey"
)

var (
	qualityPages = flag.String("quality", "", "measure the replay of these `PAGES` of the test data (first letters of their names, with commas), or all")
	qualityShots = flag.String("quality-shots", "", "keep the screenshots of -quality in this `FOLDER`")
)

// The real pages whose replay and restore are measured: those of the sample in every run, the others with -long. Between
// them they have lazy pictures, noscript ones, srcset, style sheets that import, base, AMP elements, frames, inline styles,
// charsets other than UTF-8 and languages other than English.
var (
	qualitySample = []string{"359fee22", "42aad16b"}
	qualityAll    = []string{"359fee22", "42aad16b", "11ea381a", "14cc2a0c", "156770d6", "1ee91d1f", "264dc3ae", "3c5bf8db", "4648a420", "51374560", "57b4dafd",
		"5ae11e58", "63db31a1", "0ec95c72", "16c30add", "23aaecd1", "2f42ef1d", "3cb5e2f4", "06e5123e", "52111884", "65408257", "7ab16ade", "85439e26", "a1fca19b", "c4a3637c", "e1c7023e", "c82b3d1d", "d605bdef",
		"57e2e988", "8380689f", "bc13ff87", "f105de6e"}
)

// qualities are the measures of archive-formats 5.5 that a table's columns are.
var qualities = []string{"Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9", "Q10", "Q11"}

// looked is what a browser says of a page.
type looked struct {
	Title, Lang, Charset, Text string
	Images                     []string
	Styles                     []string
	Fonts                      []string
	Links                      []string
	Height                     int

	shots    map[int]*image.RGBA
	requests []string // what was asked for
	failed   []string // what was answered with something else than 2xx and 3xx, or not at all
	console  []string
}

// ready says that fonts and pictures are there.
const ready = `(() => {
	for (const i of document.images) i.loading = "eager";
	return document.fonts.status == "loaded" && [...document.images].every(i => i.complete);
})()`

// collect tells what a reader sees.
const collect = `(() => {
	const skip = e => e.closest("mirrorwatch-banner");
	const style = (sel, n) => [...document.querySelectorAll(sel)].filter(e => !skip(e)).slice(0, n).map(e => {
		const s = getComputedStyle(e);
		return sel + " " + [s.color, s.fontFamily, s.textIndent, s.marginTop, s.borderLeftWidth, s.backgroundColor, s.backgroundImage.split("url(").length - 1].join(" ");
	});
	return {
		Title: document.title, Lang: document.documentElement.lang, Charset: document.characterSet, Text: document.body.innerText,
		Images: [...document.images].map(i => i.complete ? i.naturalWidth + "x" + i.naturalHeight : "waiting").sort(),
		Styles: ["body", "h1", "h2", "p", "a", "li"].flatMap(s => style(s, 20)),
		Fonts: [...document.querySelectorAll("h1")].filter(e => !skip(e)).map(e => getComputedStyle(e).fontFamily.split(",")[0].replaceAll('"', "")).filter(n => n.startsWith("made"))
			.map(n => n + " " + [...document.fonts].filter(f => f.family.replaceAll('"', "") == n).map(f => f.status).join("+")).sort(),
		Links: [...document.links].filter(a => !skip(a)).map(a => a.href),
		Height: Math.max(document.documentElement.scrollHeight, document.body.scrollHeight),
	};
})()`

// calm stops what moves, and hides frames, players and what a test data page cannot have.
const calm = `(() => {
	const s = document.createElement("style");
	s.textContent = "*,*::before,*::after{animation:none!important;transition:none!important;caret-color:transparent!important}mirrorwatch-banner,marquee,iframe,object,embed,video,audio{visibility:hidden!important}";
	document.documentElement.append(s);
})()`

// lazily does to a live page what its own scripts would do while a reader scrolls, as far as the page says it itself: lazy
// pictures come, late style sheets apply, a hidden page is shown. The archived page is held beside this.
const lazily = `(() => {
	const names = ["data-src", "data-lazy-src", "data-original", "data-lazy", "data-lazyload", "data-img-src", "data-echo"];
	const pictured = e => e && e.tagName == "NOSCRIPT" && /<img|<iframe/i.test(e.innerHTML);
	const beside = e => pictured(e.closest("noscript")) || pictured(e.previousElementSibling) && !e.previousSibling.textContent.trim() || pictured(e.nextElementSibling)
		|| e.parentElement && e === e.parentElement.lastElementChild && pictured(e.parentElement.nextElementSibling);
	for (const e of [...document.querySelectorAll("img, source, iframe, video")]) {
		const src = e.getAttribute("src"), real = src && !/^(data:|about:|#|\/\/:)/.test(src) && !/(blank|placeholder|spacer|pixel|transparent|loading|lazy|gr[ea]y\.|1x1|empty|trans\.|clear\.|dummy|preload)[^\/]*$/i.test(src);
		if (real && !/lazy/i.test(e.className) || beside(e)) continue;
		const set = ["data-srcset", "data-lazy-srcset"].map(n => e.getAttribute(n)).find(v => v && !/[{<]/.test(v));
		const one = names.map(n => e.getAttribute(n)).find(v => v && v.length > 3 && /[.\/]/.test(v) && !/[{<\s]/.test(v));
		if (set && /IMG|SOURCE/.test(e.tagName)) e.setAttribute("srcset", set);
		if (one) e.setAttribute("src", one);
	}
	for (const e of document.querySelectorAll("link[onload]")) {
		const on = e.getAttribute("onload");
		if (e.relList.contains("stylesheet") && on.includes("media")) e.removeAttribute("media");
		if (e.relList.contains("preload") && on.includes("stylesheet")) e.setAttribute("rel", "stylesheet");
	}
	const plain = document.createElement("style");
	plain.textContent = "html:not(#a):not(#b),body:not(#a):not(#b){opacity:1!important;visibility:visible!important}";
	document.documentElement.append(plain);
	for (const e of [document.documentElement, document.body]) if (/opacity|visibility|display/.test(e.getAttribute("style") || "")) e.removeAttribute("style");
	for (const e of [...document.querySelectorAll("amp-img, amp-anim")]) {
		const i = document.createElement("img");
		i.style = "max-width:100%;height:auto";
		for (const a of e.attributes) i.setAttribute(a.name, a.value);
		e.replaceWith(i);
	}
})()`

// looker looks at pages in one Chromium.
type looker struct {
	ctx  context.Context
	mu   sync.Mutex
	seen looked
	urls map[network.RequestID]string
}

func newLooker(t *testing.T, s *liveSite) *looker {
	t.Helper()
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			browser = p
			break
		}
	}
	if browser == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium in the path")
		}
		t.Skip("SKIPPED: no Chromium in the path, so nobody compared archived pages with live ones")
	}
	rules := fmt.Sprintf("MAP *:80 %s,MAP *:443 %s,EXCLUDE 127.0.0.1", s.plain.Listener.Addr(), s.secure.Listener.Addr())
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, chromedp.Flag("disable-features", "Translate,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter,OptimizationHints"), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("host-resolver-rules", rules))
	parent, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(func() { cancel(); stop() })
	l := &looker{urls: map[network.RequestID]string{}}
	if err := chromedp.Do(ctx, call(network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, l.event); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, call(network.Enable, network.EnableParams{}), call(cdplog.Enable, cdp.Empty{})); err != nil {
		t.Fatal(err)
	}
	l.ctx = ctx
	return l
}

func call[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, cmd, params)
		return err
	})
}

func (l *looker) event(ev any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			l.seen.requests = append(l.seen.requests, e.Request.URL)
			l.urls[e.RequestID] = e.Request.URL
		}
	case *network.EventResponseReceived:
		if s := e.Response.Status; s >= 400 && !strings.HasSuffix(e.Response.URL, "/favicon.ico") {
			l.seen.failed = append(l.seen.failed, fmt.Sprint(s, " ", e.Response.URL))
		}
	case *network.EventLoadingFailed:
		if u := l.urls[e.RequestID]; u != "" && e.Type != network.ResourceTypeScript && e.Type != network.ResourceTypeMedia && !e.Canceled && e.ErrorText != "net::ERR_ABORTED" && e.BlockedReason == "" {
			l.seen.failed = append(l.seen.failed, e.ErrorText+" "+u)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError {
			l.seen.console = append(l.seen.console, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// shotHeight bounds how much of a page is compared as a picture; with -long or -quality more of it.
var shotHeight = 2400

// look opens a page and looks at it at each width. prepare is run in it first.
func (l *looker) look(t *testing.T, address, prepare string, script bool, widths ...int) looked {
	t.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // what the page before asks for late is its own
		t.Errorf("%s: %v", address, err)
	}
	l.mu.Lock()
	l.seen = looked{shots: map[int]*image.RGBA{}}
	clear(l.urls)
	l.mu.Unlock()
	size := func(w int) chromedp.Action[chromedp.Void] {
		return call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(w), Height: 900, DeviceScaleFactor: 1})
	}
	err := chromedp.Do(ctx, size(widths[0]), call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script}), chromedp.Navigate(address))
	if err != nil {
		t.Errorf("%s: %v", address, err)
		return looked{}
	}
	var found looked
	for i, w := range widths {
		js := ready
		if i == 0 {
			js = prepare + ";" + calm + ";" + js
		} else {
			if err := chromedp.Do(ctx, size(w)); err != nil {
				t.Errorf("%s: %v", address, err)
			}
			time.Sleep(300 * time.Millisecond) // until then a picture of another size is not asked for
		}
		for range 60 {
			if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js)); ok || err != nil {
				break
			}
			js = ready
			time.Sleep(50 * time.Millisecond)
		}
		v, err := chromedp.Run(ctx, chromedp.Evaluate[looked](collect))
		if err != nil {
			t.Errorf("%s: %v", address, err)
			return looked{}
		}
		if i == 0 {
			found = v
		}
		var shot []byte
		err = chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			beyond, fast := true, true
			r, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond, OptimizeForSpeed: &fast,
				Clip: &page.Viewport{Width: float64(w), Height: float64(min(max(v.Height, 1), shotHeight)), Scale: 1}})
			shot = r.Data
			return err
		}))
		if err != nil {
			t.Errorf("%s: screenshot: %v", address, err)
			continue
		}
		m, err := png.Decode(bytes.NewReader(shot))
		if err != nil {
			t.Errorf("%s: screenshot: %v", address, err)
			continue
		}
		rgba, ok := m.(*image.RGBA)
		if !ok {
			rgba = image.NewRGBA(m.Bounds())
			for y := range m.Bounds().Dy() {
				for x := range m.Bounds().Dx() {
					rgba.Set(x, y, m.At(x, y))
				}
			}
		}
		l.mu.Lock()
		l.seen.shots[w] = rgba
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found.shots, found.requests, found.failed, found.console = l.seen.shots, l.seen.requests, l.seen.failed, l.seen.console
	return found
}

// different is the share of pixels that differ visibly; what only one picture has differs.
func different(a, b *image.RGBA) float64 {
	if a == nil || b == nil {
		return 1
	}
	w, h := max(a.Rect.Dx(), b.Rect.Dx()), max(a.Rect.Dy(), b.Rect.Dy())
	wb, hb := min(a.Rect.Dx(), b.Rect.Dx()), min(a.Rect.Dy(), b.Rect.Dy())
	n := w*h - wb*hb
	for y := range hb {
		pa, pb := a.Pix[y*a.Stride:], b.Pix[y*b.Stride:]
		for x := 0; x < 4*wb; x += 4 {
			for c := range 3 {
				if d := int(pa[x+c]) - int(pb[x+c]); d > 24 || d < -24 {
					n++
					break
				}
			}
		}
	}
	return float64(n) / float64(w*h)
}

// alike is how much two texts have in common: twice the word pairs in both, of all there are.
func alike(a, b string) float64 {
	pairs := func(s string) (m map[[2]string]int, n int) {
		m = map[[2]string]int{}
		last := ""
		for _, w := range strings.Fields(s) {
			m[[2]string{last, w}]++
			n++
			last = w
		}
		return m, n
	}
	ma, na := pairs(a)
	mb, nb := pairs(b)
	both := 0
	for p, n := range ma {
		both += min(n, mb[p])
	}
	if na+nb == 0 {
		return 1
	}
	return 2 * float64(both) / float64(na+nb)
}

// difference names the first entries that only one of two sorted lists has.
func difference(want, got []string) string {
	left, right := slices.Clone(want), []string{}
	for _, s := range got {
		if i := slices.Index(left, s); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			right = append(right, s)
		}
	}
	if len(left)+len(right) == 0 {
		return ""
	}
	return fmt.Sprintf("%d lack %.300q, %d more %.300q", len(left), left[:min(len(left), 4)], len(right), right[:min(len(right), 4)])
}

// nearly gives pictures of got the size of one of want that is at most 2 pixels away: of a srcset another candidate may be
// shown, whose size is rounded otherwise.
func nearly(want, got []string) []string {
	got = slices.Clone(got)
	left := map[string]int{}
	for _, s := range want {
		left[s]++
	}
	for _, s := range got {
		left[s]--
	}
	for i, s := range got {
		var w, h, ww, wh int
		if _, err := fmt.Sscanf(s, "%dx%d", &w, &h); err != nil || left[s] >= 0 {
			continue
		}
		for t, n := range left {
			if _, err := fmt.Sscanf(t, "%dx%d", &ww, &wh); err == nil && n > 0 && max(w-ww, ww-w, h-wh, wh-h) <= 2 {
				left[t]--
				left[s]++
				got[i] = t
				break
			}
		}
	}
	return got
}

// serving starts `mirrorwatch serve` and returns the origins of report and replay.
func serving(t *testing.T, args ...string) (report, replay string) {
	t.Helper()
	cmd := command(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--replay-listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
	if _, err := fmt.Fscanf(out, "report %s\nreplay %s\n", &report, &replay); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(report, "/"), strings.TrimSuffix(replay, "/")
}

// outsideOf are the requests that leave an origin.
func outsideOf(requests []string, origin string) (out []string) {
	for _, u := range requests {
		if !strings.HasPrefix(u, origin) && !strings.HasPrefix(u, "blob:") && !strings.HasPrefix(u, "about:") {
			out = append(out, u)
		}
	}
	return out
}

// notFrames leaves out frames, which are no requisites: the banner says that they are missing.
func notFrames(failed []string) (out []string) {
	for _, f := range failed {
		if !strings.Contains(f, "if_/") {
			out = append(out, f)
		}
	}
	return out
}

// TestReplayQuality measures Q1 to Q11 of archive-formats 5.5 on real pages: each is captured by `check` from a local site
// that serves it under its own host with made pictures, style sheets and fonts, then looked at live without script, in the
// replay with and without banner, restored into one file and into a tree, and all are compared.
func TestReplayQuality(t *testing.T) {
	ids, widths := qualitySample, []int{800}
	if *long {
		ids = qualityAll
	}
	if *qualityPages == "all" {
		ids = nil
	} else if *qualityPages != "" {
		ids = strings.Split(*qualityPages, ",")
	}
	if *long || *qualityPages != "" {
		widths, shotHeight = []int{360, 768, 1280}, 6000
	}
	pages := articlePages(t, ids...)
	site := newLiveSite(t, pages)
	l := newLooker(t, site)
	dir := t.TempDir()
	data, ca := filepath.Join(dir, "data"), filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, site.caPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"check"}
	for _, p := range pages {
		args = append(args, p.url)
	}
	args = append(args, "--data", data, "--ca-file", ca, "--delay", "0s", "--links", "none", "--media", "all", "--canary", "none", "--format", "json", "--per-host", "8", "--retries", "0")
	code, out, errs := run(t, append(args, site.pins()...)...)
	if code != exitOK && code != exitFound {
		t.Fatalf("check: status %d: %s", code, errs)
	}
	var doc survey.Report
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	_, replay := serving(t, "--data", data)
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer files.Close()

	worst := map[string][]string{}
	for i, p := range pages {
		table := map[string]string{}
		for _, q := range qualities {
			table[q] = "ok"
		}
		bad := func(q, format string, a ...any) {
			table[q] = "FAIL"
			t.Errorf("%s %s: %s %s", p.id, p.url, q, fmt.Sprintf(format, a...))
		}
		site.take()
		live := l.look(t, p.url, lazily, false, widths...)
		for _, f := range live.failed {
			t.Logf("%s: live: %s", p.id, f)
		}
		site.take()

		tree, single := filepath.Join(dir, "tree-"+p.id), filepath.Join(dir, "single-"+p.id+".html")
		for as, to := range map[string]string{"tree": tree, "html": single} {
			if code, _, errs := run(t, "restore", p.url, "--as", as, "--to", to, "--data", data, "--any"); code != exitOK {
				t.Fatalf("%s: restore --as %s: status %d: %s", p.url, as, code, errs)
			}
		}
		var m struct {
			Page    string
			Missing []survey.LeftOut
		}
		if b, err := os.ReadFile(filepath.Join(tree, "manifest.json")); err != nil || json.Unmarshal(b, &m) != nil {
			t.Fatal(err)
		}
		if len(m.Missing) > 0 {
			bad("Q2", "%d requisites were not captured, such as %v", len(m.Missing), m.Missing[0])
		}
		slash := func(name string) string { return (&url.URL{Path: filepath.ToSlash(name)}).EscapedPath() }
		worstShot := 0.0
		for _, v := range []struct {
			name, address, origin string
			widths                []int
		}{
			{"replay", replay + "/web/2026/" + p.url, replay, widths[:1]},
			{"without banner", replay + "/web/2026if_/" + p.url, replay, widths},
			{"one file", "file://" + slash(single), "file://" + slash(single), widths},
			{"tree", "file://" + slash(filepath.Join(tree, m.Page)), "file://" + slash(tree), widths},
		} {
			got := l.look(t, v.address, "", true, v.widths...)
			if leaves := append(outsideOf(got.requests, v.origin), site.take()...); len(leaves) > 0 {
				bad("Q1", "%s: %d requests leave: %.500q", v.name, len(leaves), leaves)
			}
			if failed := notFrames(got.failed); len(failed) > 0 {
				bad("Q2", "%s: %d failed: %.900q", v.name, len(failed), failed)
			}
			if d := difference(live.Images, nearly(live.Images, got.Images)); d != "" {
				bad("Q3", "%s: %s", v.name, d)
			}
			if d := difference(live.Styles, got.Styles); d != "" {
				bad("Q4", "%s: %s", v.name, d)
			}
			if d := difference(live.Fonts, got.Fonts); d != "" || strings.Contains(strings.Join(got.Fonts, ","), "error") {
				bad("Q5", "%s: %s", v.name, d)
			}
			if s := alike(live.Text, got.Text); s < 0.98 {
				bad("Q6", "%s: %.3f of %d octets, %d", v.name, s, len(live.Text), len(got.Text))
			}
			for _, w := range v.widths {
				if v.name == "replay" {
					continue
				}
				d := different(live.shots[w], got.shots[w])
				worstShot = max(worstShot, d)
				if d >= 0.01 {
					bad("Q7", "%s at %d: %.2f %% of the pixels differ", v.name, w, 100*d)
				}
			}
			if *qualityShots != "" {
				for w, m := range got.shots {
					keepShot(t, fmt.Sprintf("%s-%d-%s.png", p.id, w, strings.ReplaceAll(v.name, " ", "-")), m)
				}
			}
			for _, a := range got.Links {
				if v.origin == replay && strings.HasPrefix(a, "http") && !strings.HasPrefix(a, replay+"/web/") && !strings.HasPrefix(a, replay+"/snapshot/") && !strings.HasPrefix(a, replay+"/beside/") {
					bad("Q8", "%s: a link leads to %s", v.name, a)
				}
			}
			if got.Title != live.Title || got.Lang != live.Lang || got.Charset != live.Charset || strings.Count(got.Text, "\ufffd") != strings.Count(live.Text, "\ufffd") {
				bad("Q9", "%s: title %q, lang %q, charset %q; live %q, %q, %q", v.name, got.Title, got.Lang, got.Charset, live.Title, live.Lang, live.Charset)
			}
			for _, c := range got.console {
				if !strings.Contains(c, "script") && !strings.Contains(c, "Script") && !strings.Contains(c, "if_/") {
					bad("Q10", "%s: %.300s", v.name, c)
				}
			}
		}
		if *qualityShots != "" {
			for w, m := range live.shots {
				keepShot(t, fmt.Sprintf("%s-%d-live.png", p.id, w), m)
			}
		}
		state := "not checked"
		if i < len(doc.Articles) && len(doc.Articles[i].Mirrors) > 0 {
			state = string(doc.Articles[i].Mirrors[0].State)
		}
		row := fmt.Sprintf("%s  %-4s images %3d  fonts %2d  pixels %.3f%% ", p.id, state, len(live.Images), len(live.Fonts), 100*worstShot)
		for _, q := range qualities[:10] {
			row += fmt.Sprintf("  %s %-4s", q, table[q])
			if table[q] != "ok" {
				worst[q] = append(worst[q], p.id)
			}
		}
		t.Log(row)
	}
	l.empty(t, replay)
}

// empty wants no cookie, storage or service worker of any archived page (Q11).
func (l *looker) empty(t *testing.T, replay string) {
	t.Helper()
	err := chromedp.Do(l.ctx, chromedp.Navigate(replay+"/"), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		r, err := chromedp.Call(ctx, storage.GetCookies, storage.GetCookiesParams{})
		if len(r.Cookies) > 0 {
			t.Errorf("Q11: %d cookies", len(r.Cookies))
		}
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	n, err := chromedp.Run(l.ctx, chromedp.Evaluate[int](`(async () => localStorage.length + sessionStorage.length + (await indexedDB.databases()).length + (await caches.keys()).length +
		(await navigator.serviceWorker.getRegistrations()).length)()`, chromedp.EvalAwaitPromise))
	if err != nil || n != 0 {
		t.Errorf("Q11: %d things in storage, %v", n, err)
	}
}

func keepShot(t *testing.T, name string, m image.Image) {
	t.Helper()
	if m == nil {
		return
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*qualityShots, name), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestQualityMeasures: the measures tell what differs; a check that cannot fail is none.
func TestQualityMeasures(t *testing.T) {
	white, black := image.NewRGBA(image.Rect(0, 0, 10, 10)), image.NewRGBA(image.Rect(0, 0, 10, 10))
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	copy(black.Pix, white.Pix)
	copy(black.Pix[:12], make([]byte, 12))
	tall := image.NewRGBA(image.Rect(0, 0, 10, 20))
	copy(tall.Pix, white.Pix)
	for _, c := range []struct {
		a, b *image.RGBA
		want float64
	}{{white, white, 0}, {white, black, 0.03}, {white, tall, 0.5}, {white, nil, 1}} {
		if got := different(c.a, c.b); got != c.want {
			t.Errorf("%v of the pixels differ, want %v", got, c.want)
		}
	}
	if got := alike("a b c d", "a b x d"); got != 0.5 {
		t.Errorf("alike: %v", got)
	}
	if d := difference([]string{"1x2", "30x40"}, nearly([]string{"1x2", "30x40"}, []string{"1x2", "31x39"})); d != "" {
		t.Errorf("nearly: %s", d)
	}
	if d := difference([]string{"1x2", "30x40"}, nearly([]string{"1x2", "30x40"}, []string{"1x2", "1x2"})); d == "" {
		t.Error("a missing picture is no difference")
	}
	if out := outsideOf([]string{"http://a/x", "https://b/y", "about:blank"}, "http://a/"); len(out) != 1 {
		t.Errorf("outside: %q", out)
	}
}
