package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"mirrorwatch/crawler/survey"
)

// lacking ends a test whose tool is not there: a failure where CI=true promises it, else a loud skip.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED: "+format, args...)
}

// nodeModule is a file of the npm packages that .ci/run installs.
func nodeModule(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("MIRRORWATCH_NODE_MODULES")
	if dir == "" {
		dir = filepath.Join("..", ".ci", "node_modules")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		lacking(t, "no %s (npm packages are found by MIRRORWATCH_NODE_MODULES): %v", name, err)
	}
	return path
}

var long = flag.Bool("long", false, "also run axe on the pages that are much like others")

// chrome is the one Chromium that all tests of the package share; TestMain ends it.
var chrome struct {
	sync.Mutex
	ctx  context.Context
	stop func()
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if chrome.stop != nil {
		chrome.stop()
	}
	if stored.dir != "" {
		_ = os.RemoveAll(stored.dir)
	}
	os.Exit(code)
}

// browser returns the context of a tab of its own in Chromium, which the first caller starts.
func browser(t *testing.T) context.Context {
	t.Helper()
	chrome.Lock()
	defer chrome.Unlock()
	if chrome.ctx == nil {
		path := ""
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if p, err := exec.LookPath(name); err == nil {
				path = p
				break
			}
		}
		if path == "" {
			lacking(t, "no Chromium in the path")
		}
		profile, err := os.MkdirTemp("", "mirrorwatch-chromium-")
		if err != nil {
			t.Fatal(err)
		}
		opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(profile),
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.DisableGPU)
		parent, stop := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, cancel := chromedp.NewContext(parent)
		if err := chromedp.Do(ctx); err != nil {
			cancel()
			stop()
			_ = os.RemoveAll(profile)
			t.Fatal(err)
		}
		chrome.ctx = ctx
		chrome.stop = func() { cancel(); stop(); _ = os.RemoveAll(profile) }
	}
	tab, cancel := chromedp.NewContext(chrome.ctx)
	t.Cleanup(cancel)
	limited, end := context.WithTimeout(tab, 4*time.Minute)
	t.Cleanup(end)
	if err := chromedp.Do(limited); err != nil {
		t.Fatal(err)
	}
	return limited
}

// stored is where the reports of the samples lie, once for all tests; TestMain removes it.
var stored struct {
	sync.Mutex
	dir   string
	pages map[string]string
}

// writtenPages puts the reports of the samples into folders and returns the pages by name: "eight", "eight/article".
func writtenPages(t *testing.T) map[string]string {
	t.Helper()
	stored.Lock()
	defer stored.Unlock()
	if stored.pages != nil {
		return stored.pages
	}
	dir, err := os.MkdirTemp("", "mirrorwatch-pages-")
	if err != nil {
		t.Fatal(err)
	}
	stored.dir = dir
	out := map[string]string{}
	all := samples()
	all["hundreds"] = hundreds()
	for name, v := range all {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		article := ""
		for f := range Files(v) {
			var b bytes.Buffer
			if err := f.Write(&b); err != nil {
				t.Fatal(name, f.Name, err)
			}
			path := filepath.Join(dir, name, f.Name)
			if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			if article == "" && strings.HasPrefix(f.Name, "article-") {
				article = path
			}
		}
		out[name] = filepath.Join(dir, name, "index.html")
		if article != "" {
			out[name+"/article"] = article
		}
	}
	for name, d := range sampleDiffs() {
		var b bytes.Buffer
		if err := DiffHTML(&b, d); err != nil {
			t.Fatal(name, err)
		}
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		out[name] = filepath.Join(dir, name, "index.html")
		if err := os.WriteFile(out[name], b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if *pages != "" {
		if err := os.CopyFS(*pages, os.DirFS(dir)); err != nil {
			t.Log(err)
		}
	}
	stored.pages = out
	return out
}

func media(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	})
}

func scripts(on bool) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
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

// TestAccessible runs axe-core on the pages of all samples, light and dark, wide and narrow, and asserts that nothing
// stands out of a narrow screen.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile(nodeModule(t, "axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := browser(t)
	all := writtenPages(t)
	look := func(name string, width int64, scheme string, audit bool) {
		t.Helper()
		do(t, ctx, chromedp.EmulateViewport(width, 900), media(scheme), chromedp.Navigate("file://"+all[name]))
		eval[chromedp.Void](t, ctx, `document.querySelectorAll("details").forEach(d=>d.open=true)`)
		if n := eval[int64](t, ctx, "document.documentElement.scrollWidth"); n > width {
			t.Errorf("%s: %d wide on a screen of %d: %s", name, n, width, eval[string](t, ctx, `[...document.querySelectorAll("body *")].filter(e=>e.getBoundingClientRect().right>innerWidth+1&&!e.closest(".wrap")).slice(0,5).map(e=>e.tagName+"."+e.className).join(" ")`))
		}
		if !audit {
			return
		}
		eval[chromedp.Void](t, ctx, string(axe)+";undefined")
		if name == "empty" { // the tool finds what is planted
			const planted = `document.querySelector("main").insertAdjacentHTML("beforeend","<p id=planted><button></button></p>"); axe.run("#planted").then(r => {document.getElementById("planted").remove(); return r.violations.length})`
			if n := eval[int](t, ctx, planted, chromedp.EvalAwaitPromise); n == 0 {
				t.Error("axe finds no fault in a button without a name")
			}
		}
		found := eval[string](t, ctx, `axe.run().then(r => JSON.stringify(r.violations.map(v => v.id+": "+v.help+": "+v.nodes.slice(0,3).map(n => n.html.slice(0,160)+" "+n.failureSummary).join(" | "))))`, chromedp.EvalAwaitPromise)
		var list []string
		if err := json.Unmarshal([]byte(found), &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			t.Errorf("%s, %s, %d px: %s", name, scheme, width, v)
		}
	}
	for _, name := range []string{"eight", "eight/article", "diff"} {
		for _, scheme := range []string{"light", "dark"} {
			look(name, 1280, scheme, true)
		}
	}
	for _, name := range []string{"many", "hostile", "hostile/article", "diff-hostile", "void", "empty"} {
		short := name == "hostile" || name == "void" || name == "empty"
		look(name, 1280, "light", *long || short && !testing.Short())
	}
	for _, name := range []string{"eight", "many", "hostile", "hostile/article", "one", "void", "empty", "diff", "diff-hostile", "hundreds"} {
		look(name, 360, "light", name == "eight" && !testing.Short())
	}
	look("eight", 768, "dark", !testing.Short()) // what scrolls must be reached by keyboard
	look("many", 768, "dark", false)
}

// TestPageWithoutScriptAndNetwork loads the page with scripts off: nothing is lost but sort and filter. It asks for nothing.
func TestPageWithoutScriptAndNetwork(t *testing.T) {
	ctx := browser(t)
	page := writtenPages(t)["eight"]
	const told = `document.querySelector("main").innerText.replace(/\s+/g," ")`
	do(t, ctx, chromedp.Navigate("file://"+page))
	if n := eval[int](t, ctx, `performance.getEntriesByType("resource").length`); n != 0 {
		t.Errorf("%d requests", n)
	}
	eval[chromedp.Void](t, ctx, `document.querySelector(".bar").remove()`)
	with := eval[string](t, ctx, told)
	do(t, ctx, scripts(false), chromedp.Navigate("file://"+page))
	without := eval[string](t, ctx, told)
	if with != without || len(without) < 2000 {
		t.Errorf("with script %d letters, without %d", len(with), len(without))
	}
	if n := eval[int](t, ctx, `document.querySelectorAll("button,input").length`); n != 0 {
		t.Errorf("%d dead controls without script", n)
	}
}

// TestFilterAndSort uses the script: rows by words and state, the filter in the address, order by column, the banner.
func TestFilterAndSort(t *testing.T) {
	ctx := browser(t)
	all := writtenPages(t)
	do(t, ctx, chromedp.Navigate("file://"+all["many"]+"#q="+"ARTICLE%20DOWN"))
	const shown = `[...document.querySelectorAll("table.matrix tbody tr")].filter(r=>!r.hidden).length`
	const rows = `document.querySelectorAll("table.matrix tbody tr").length`
	if a, b := eval[int](t, ctx, shown), eval[int](t, ctx, rows); a == b {
		t.Errorf("filter from the address: %d of %d rows", a, b)
	}
	do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](`document.getElementById("filter").value=""`))
		return err
	}), chromedp.SendKeys(chromedp.CSS("#filter"), "degraded"))
	if h := eval[string](t, ctx, "location.hash"); h != "#q=degraded" {
		t.Errorf("hash %q", h)
	}
	if a, b := eval[int](t, ctx, shown), eval[int](t, ctx, rows); a == 0 || a == b {
		t.Errorf("filter typed: %d of %d rows", a, b)
	}
	do(t, ctx, chromedp.Click(chromedp.CSS("table.matrix thead th:first-child .sort")))
	if !eval[bool](t, ctx, `document.querySelector("table.matrix thead th").getAttribute("aria-sort")==="ascending" && (() => {
		const l=[...document.querySelectorAll("table.matrix tbody th")].map(e=>e.textContent.trim()); return l.every((x,i)=>!i||l[i-1].localeCompare(x,undefined,{numeric:true})<=0)})()`) {
		t.Error("not sorted by the first column")
	}
	// The next run of the samples was due long before this browser's clock.
	if eval[bool](t, ctx, `document.getElementById("stale").hidden`) {
		t.Error("a page that is overdue by the reader's clock says nothing")
	}
}

// TestKeyboard walks the page by Tab: the skip link first, every stop visible and marked, the strip no stop of its own, and
// each link, control and summary reached once.
func TestKeyboard(t *testing.T) {
	ctx := browser(t)
	do(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate("file://"+writtenPages(t)["eight"]))
	want := eval[int](t, ctx, `[...document.querySelectorAll("a[href],button,input,summary,[tabindex='0']")].filter(e=>e.checkVisibility()).length`)
	var stops []string
	for range want + 5 {
		do(t, ctx, chromedp.KeyEvent("\t"))
		stop := eval[string](t, ctx, `(() => { const e=document.activeElement; if(!e||e===document.body) return "";
			const s=getComputedStyle(e), r=e.getBoundingClientRect();
			return e.tagName+" "+(e.textContent||e.id).trim().slice(0,40)+(s.outlineStyle==="none"?" NO OUTLINE":"")+(r.right<0||r.width===0?" NOT VISIBLE":"") })()`)
		if stop == "" {
			break
		}
		stops = append(stops, stop)
	}
	if len(stops) == 0 || !strings.HasPrefix(stops[0], "A "+say["skip"]) {
		t.Fatalf("the first stop is %q", stops)
	}
	if len(stops) != want {
		t.Errorf("%d stops, want %d", len(stops), want)
	}
	for _, s := range stops {
		if strings.Contains(s, "NO OUTLINE") || strings.Contains(s, "NOT VISIBLE") || strings.HasPrefix(strings.ToLower(s), "svg") {
			t.Errorf("stop %q", s)
		}
	}
	if !slices.ContainsFunc(stops, func(s string) bool { return strings.HasPrefix(s, "INPUT") }) {
		t.Error("the filter is never reached")
	}
}

// TestValidHTML runs html-validate on the pages of all samples.
func TestValidHTML(t *testing.T) {
	tool := nodeModule(t, filepath.Join("html-validate", "bin", "html-validate.mjs"))
	if _, err := exec.LookPath("node"); err != nil {
		lacking(t, "no node: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.html")
	if err := os.WriteFile(bad, []byte("<!DOCTYPE html><html lang=\"en\"><head><title>x</title></head><body><p><div></p></body></html>"), 0o666); err != nil {
		t.Fatal(err)
	}
	run := func(files ...string) (string, error) {
		out, err := exec.Command("node", append([]string{tool, "--config", filepath.Join("testdata", "htmlvalidate.json"), "--formatter", "text"}, files...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := run(bad); err == nil {
		t.Fatalf("the tool finds nothing in a bad page: %s", out)
	}
	var files []string
	for name, path := range writtenPages(t) {
		if name != "hundreds" && name != "hundreds/article" { // many is the same, shorter
			files = append(files, path)
		}
	}
	if out, err := run(files...); err != nil {
		t.Errorf("%v\n%.5000s", err, out)
	}
}

// TestPageSize holds the page under 500 kB: 1,000 articles, and 1,000 broken links, on three mirrors; what is more is paged.
func TestPageSize(t *testing.T) {
	base := sampleReport(sampleFindings()[:3])
	articles := base
	articles.Articles = nil
	for n := range 1000 {
		c := base.Articles[0]
		c.URL = fmt.Sprintf("https://www.presstv.com/Detail/2016/08/10/%d/Syria-talks-Aleppo", 480000+n)
		articles.Articles = append(articles.Articles, c)
	}
	links := base
	for n := range 1000 {
		l := survey.Link{Target: fmt.Sprintf("https://www.presstv.com/Detail/2016/08/10/%d/Syria-talks-Aleppo", n), Kind: "page", Parents: []string{base.Articles[0].URL}}
		for _, f := range base.Articles[0].Mirrors {
			l.Results = append(l.Results, survey.LinkResult{Mirror: f.Mirror, Vantage: "direct", State: "broken", Outcome: survey.Status(404), FirstSeen: t0})
		}
		links.Links = append(links.Links, l)
	}
	for name, r := range map[string]survey.Report{"articles": articles, "links": links} {
		v := sampleView(r)
		v.Linked = true
		var b bytes.Buffer
		if err := HTML(&b, v); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", name, b.Len())
		if b.Len() > 500_000 {
			t.Errorf("1,000 %s x 3 mirrors: %d bytes", name, b.Len())
		}
	}
	articles.Articles = append(articles.Articles, articles.Articles[:500]...)
	for i := range articles.Articles {
		articles.Articles[i].URL += fmt.Sprint("?", i)
	}
	var names []string
	for f := range Files(sampleView(articles)) {
		names = append(names, f.Name)
		if f.Name == "rows-2.html" {
			var b bytes.Buffer
			if err := f.Write(&b); err != nil || strings.Count(b.String(), "<tr>") != 501 {
				t.Errorf("second page: %d rows, %v", strings.Count(b.String(), "<tr>"), err)
			}
		}
	}
	if !slices.Contains(names, "rows-2.html") || slices.Contains(names, "rows-3.html") || names[len(names)-1] != "index.html" {
		t.Errorf("files %q", names[1490:])
	}
}

// BenchmarkFiles renders a large report folder: 500 articles on 8 mirrors, 5,000 snapshots, 2,000 state changes. Reading them
// out of a history of a million observations is BenchmarkReport of archive/history; together they are `report`.
func BenchmarkFiles(b *testing.B) {
	r := sampleReport(sampleFindings())
	one := r.Articles[0]
	r.Articles = nil
	for n := range 500 {
		c := one
		c.URL = fmt.Sprintf("https://www.presstv.com/Detail/2016/08/10/%d/Syria-talks-Aleppo", 480000+n)
		r.Articles = append(r.Articles, c)
	}
	v := sampleView(r)
	for n := len(v.Snapshots); n < 5000; n++ {
		s := v.Snapshots[n%4]
		s.Article, s.Time = r.Articles[n%500].URL, t0.Add(time.Duration(-n)*time.Hour)
		v.Snapshots = append(v.Snapshots, s)
	}
	for n := len(v.States); n < 2000; n++ {
		s := v.States[n%4]
		s.Article, s.First = r.Articles[n%500].URL, t0.Add(time.Duration(-n)*time.Hour)
		v.States = append(v.States, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		files, size := 0, 0
		for f := range Files(v) {
			out.Reset()
			if err := f.Write(&out); err != nil {
				b.Fatal(err)
			}
			files++
			size += out.Len()
		}
		b.ReportMetric(float64(files), "files")
		b.ReportMetric(float64(size)/1e6, "MB")
	}
}
