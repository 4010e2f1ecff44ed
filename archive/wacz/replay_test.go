package wacz

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/warc"
)

// lacks ends a test that needs a tool: skipped loudly by hand, a failure with CI=true.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", what)
	}
	t.Skipf("SKIPPED: %s is not installed", what)
}

// replayWebPage finds the folder of ReplayWeb.page (npm's replaywebpage, AGPL: used by this test where it is installed and
// never shipped) below MIRRORWATCH_NODE_MODULES, and Chromium.
func replayWebPage(t *testing.T) (player, browser string) {
	t.Helper()
	player = filepath.Join(os.Getenv("MIRRORWATCH_NODE_MODULES"), "replaywebpage")
	for _, name := range []string{"ui.js", "sw.js"} {
		if _, err := os.Stat(filepath.Join(player, name)); err != nil || os.Getenv("MIRRORWATCH_NODE_MODULES") == "" {
			lacks(t, "replaywebpage/"+name+" below MIRRORWATCH_NODE_MODULES")
		}
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return player, p
		}
	}
	lacks(t, "chromium")
	return "", ""
}

const (
	articleText  = "Nobody could say on Tuesday why the bridge of Hohenwart had been painted twice."
	articleURL   = "https://www.example.org/2026/bridge.html?b=2&a=1"
	articleStyle = "https://cdn.example.net/style.css"
)

// articlePackage is an article with a stylesheet from another host, as two pairs of records, and lines enough for the
// layout of the index that is wanted.
func articlePackage(t *testing.T, lines int) Package {
	t.Helper()
	var file bytes.Buffer
	var index []cdxj.Line
	e := warc.NewEncoder(0)
	put := func(url, contentType, body string) {
		id := warc.NewRecordID()
		block := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
		var h warc.Header
		h.Set(warc.FieldType, warc.Response)
		h.SetID(id)
		h.SetDate(when)
		h.Set(warc.FieldTargetURI, url)
		h.Set(warc.FieldContentType, "application/http;msgtype=response")
		digest := hashOf([]byte(body))
		h.Set(warc.FieldPayloadDigest, digest)
		m, err := e.EncodeBytes(warc.Out{Header: h, Digest: true}, []byte(block))
		if err != nil {
			t.Fatal(err)
		}
		media, _, _ := strings.Cut(contentType, ";")
		index = append(index, cdxj.Line{Key: cdxj.SURT(url), Timestamp: cdxj.Timestamp(when), URL: url, MIME: media, Status: "200", Digest: digest,
			Filename: "a.warc.gz", Offset: int64(file.Len()), Length: m.Len()})
		if _, err := m.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		_ = m.Close()
	}
	put(articleURL, "text/html; charset=utf-8", "<!DOCTYPE html><html><head><meta charset=utf-8><title>Bridge</title><link rel=stylesheet href="+articleStyle+"></head>"+
		"<body><h1>A bridge</h1><p id=a>"+articleText+" Ünïcödé</p></body></html>")
	put(articleStyle, "text/css", "#a { letter-spacing: 3px }")
	for i := range lines {
		u := fmt.Sprintf("https://zz.example.org/%06d", i)
		l := index[0]
		l.Key, l.URL = cdxj.SURT(u), u
		index = append(index, l)
	}
	return Package{Title: "Bridge", Software: "mirrorwatch test", Created: when,
		WARCs: []WARC{{Name: "a.warc.gz", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file.Bytes())), nil }}},
		Index: func(yield func(cdxj.Line, error) bool) {
			sorted := append(index[1:2:2], index[0])
			if index[0].Key < index[1].Key {
				sorted = index[:2:2]
			}
			for _, l := range append(sorted, index[2:]...) {
				if !yield(l, nil) {
					return
				}
			}
		},
		Pages: []Page{{ID: "1", URL: articleURL, Time: when, Title: "Bridge"}}}
}

// collect gathers the text of the page with all its frames and shadow trees, and the style of the article's paragraph.
const collect = `(() => {
	const found = {text: "", style: ""};
	const walk = (node) => {
		if (node.nodeType === 3) { found.text += node.data; return; }
		if (node.id === "a") found.style = node.ownerDocument.defaultView.getComputedStyle(node).letterSpacing;
		if (node.shadowRoot) walk(node.shadowRoot);
		if (node.tagName === "IFRAME") { try { if (node.contentDocument) walk(node.contentDocument); } catch (e) {} }
		for (const c of node.childNodes || []) walk(c);
	};
	walk(document);
	return found.text.includes(%q) ? found.style : "waiting: " + found.text.replace(/\s+/g, " ").slice(-300);
})()`

// TestReplayWebPage loads what we pack in ReplayWeb.page in a headless browser, in both layouts of the index and signed: the
// article's text and its stylesheet, which lies on another host, must appear (Z4, Z5, Z7, Z9). A package whose index lacks
// the article must not show it, or the test proves nothing.
func TestReplayWebPage(t *testing.T) {
	player, browser := replayWebPage(t)
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string][]byte{}
	for name, lines := range map[string]int{"plain.wacz": 0, "blocks.wacz": 8000} {
		p := articlePackage(t, lines)
		p.Sign = key
		packages[name] = pack(t, p)
		if found := open(t, packages[name]).Verify(); len(found) > 0 {
			t.Fatal(found)
		}
	}
	if bytes.Contains(packages["plain.wacz"], []byte("index.idx")) || !bytes.Contains(packages["blocks.wacz"], []byte("index.idx")) {
		t.Fatal("both layouts of the index must be tried")
	}
	lost := articlePackage(t, 0)
	lost.Index = func(func(cdxj.Line, error) bool) {}
	packages["lost.wacz"] = pack(t, lost)

	mux := http.NewServeMux()
	mux.HandleFunc("/ui.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(player, "ui.js")) })
	mux.HandleFunc("/replay/sw.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(player, "sw.js")) })
	mux.HandleFunc("/f/", func(w http.ResponseWriter, r *http.Request) {
		b, ok := packages[strings.TrimPrefix(r.URL.Path, "/f/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/wacz")
		http.ServeContent(w, r, "", when, bytes.NewReader(b)) // ranges, as Z6 asks
	})
	mux.HandleFunc("/page/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><body style="height:600px"><script src="/ui.js"></script>
<replay-web-page source="/f/%s" url="%s" ts="%s" replayBase="/replay/" embed="replayonly" noCache style="height:500px"></replay-web-page>`,
			strings.TrimPrefix(r.URL.Path, "/page/"), strings.ReplaceAll(articleURL, "&", "&amp;"), cdxj.Timestamp(when)[:14])
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(browser), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true))
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	show := func(name string, patience time.Duration) string {
		if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/page/"+name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		last := ""
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(collect, articleText)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if last = got; got == "3px" {
				break
			}
		}
		return last
	}
	for _, name := range []string{"plain.wacz", "blocks.wacz"} {
		began := time.Now()
		if got := show(name, 30*time.Second); got != "3px" {
			t.Errorf("%s: the article does not appear with its style: %q", name, got)
		}
		t.Logf("%s: shown after %v", name, time.Since(began).Round(time.Millisecond))
	}
	if got := show("lost.wacz", 3*time.Second); !strings.HasPrefix(got, "waiting: ") {
		t.Errorf("a package whose index lacks the article shows it all the same: %q", got)
	}
}
