package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mirrorwatch/crawler/survey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *World {
	t.Helper()
	w, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// client trusts the world's authority and knows its pins; it knows no other host.
func client(t *testing.T, w *World) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.CAPEM) {
		t.Fatal("CAPEM holds no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		to, ok := w.ConnectTo[addr]
		if !ok {
			return nil, errors.New("no pin for " + addr)
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Date") != "" {
		t.Errorf("%s: an answer with a clock", url)
	}
	return res, string(b)
}

const (
	beginning = "opened to traffic again on Wednesday"
	ending    = "whether a second crossing is needed"
)

func TestMirrors(t *testing.T) {
	cases := []struct {
		host   survey.Host
		status int
		holds  []string
		lacks  []string
		every  bool // the same page for each address
		header string
		fails  func(error) bool
	}{
		{host: primary, status: 200, holds: []string{beginning, ending, name, second, outside}, lacks: []string{otherName}},
		{host: second, status: 200, holds: []string{beginning, ending, name, "https://www.presstv.co.uk/About"}, lacks: []string{primary, otherName}},
		{host: "altered.presstv.example", status: 200, holds: []string{beginning, ending, otherName}, lacks: []string{name}},
		{host: "cut.presstv.example", status: 200, holds: []string{beginning, name, "Related stories"}, lacks: []string{ending, outside}},
		{host: "denied.presstv.example", status: 200, holds: []string{"blocked"}, lacks: []string{beginning}, every: true},
		{host: "seized.presstv.example", status: 200, holds: []string{"has been seized"}, lacks: []string{beginning}, every: true},
		{host: "sorry.presstv.example", status: 200, holds: []string{"Sorry!"}, lacks: []string{beginning}, every: true},
		{host: "challenge.presstv.example", status: 403, holds: []string{"Just a moment"}, lacks: []string{beginning}, every: true, header: "challenge"},
		{host: "misnamed.presstv.example", fails: func(err error) bool {
			var wrong x509.HostnameError
			return errors.As(err, &wrong)
		}},
		{host: "refused.presstv.example", fails: func(err error) bool {
			var op *net.OpError
			return errors.As(err, &op) && op.Op == "dial" && !op.Timeout()
		}},
	}
	w := start(t)
	c := client(t, w)
	if len(cases) != len(w.Expectations) {
		t.Fatalf("%d mirrors, %d cases", len(w.Expectations), len(cases))
	}
	for i, tc := range cases {
		t.Run(string(tc.host), func(t *testing.T) {
			e := w.Expectations[i]
			if e.Host != tc.host || e.Says == "" || e.Verdict == "" || e.State == "" || e.Class == "" {
				t.Errorf("expectation %d is %+v", i, e)
			}
			base := "https://" + string(tc.host)
			if tc.fails != nil {
				res, err := c.Get(base + articlePath)
				if err == nil {
					res.Body.Close()
					t.Fatalf("answered %s", res.Status)
				}
				if !tc.fails(err) {
					t.Errorf("failed in another way: %v", err)
				}
				if n := w.Hits()[string(tc.host)]; n != 0 {
					t.Errorf("%d hits", n)
				}
				return
			}
			res, body := get(t, c, base+articlePath)
			if res.StatusCode != tc.status || res.Header.Get("Cf-Mitigated") != tc.header {
				t.Errorf("status %d, cf-mitigated %q", res.StatusCode, res.Header.Get("Cf-Mitigated"))
			}
			for _, s := range tc.holds {
				if !strings.Contains(body, s) {
					t.Errorf("the page lacks %q", s)
				}
			}
			for _, s := range tc.lacks {
				if strings.Contains(body, s) {
					t.Errorf("the page holds %q", s)
				}
			}
			if _, again := get(t, c, base+articlePath); again != body {
				t.Error("two answers differ")
			}
			for _, p := range []string{strings.Replace(articlePath, "479262", "99999999999", 1), "/decoy-x7"} {
				res, decoy := get(t, c, base+p)
				switch {
				case tc.every && (decoy != body || res.StatusCode != tc.status):
					t.Errorf("%s: %d, another page", p, res.StatusCode)
				case !tc.every && (res.StatusCode != 404 || strings.Contains(decoy, beginning)):
					t.Errorf("%s: %d", p, res.StatusCode)
				}
			}
			if !tc.every {
				readNews(t, c, base, body)
			}
			if n := w.Hits()[string(tc.host)]; n < 4 {
				t.Errorf("%d hits", n)
			}
		})
	}
	if n, ok := w.Hits()[outside]; n != 0 || !ok {
		t.Errorf("%d hits on %s", n, outside)
	}
}

var address = regexp.MustCompile(`(?:href|src|content)="((?:https://[^/"]+)?/[^"]*)"`)

// readNews follows every address of the article and the home page: each leads to the same host and is there.
func readNews(t *testing.T, c *http.Client, base, body string) {
	t.Helper()
	home, front := get(t, c, base+"/")
	if home.StatusCode != 200 || strings.Count(front, `class="teaser"`) < 4 || !strings.Contains(front, articlePath) {
		t.Errorf("home page: %d", home.StatusCode)
	}
	if res, robots := get(t, c, base+"/robots.txt"); res.StatusCode != 200 || !strings.HasPrefix(robots, "User-agent: *\n") {
		t.Errorf("robots.txt: %d %q", res.StatusCode, robots)
	}
	seen := map[string]string{}
	for _, m := range address.FindAllStringSubmatch(body+front, -1) {
		u := m[1]
		if strings.HasPrefix(u, "/") {
			u = base + u
		}
		if _, ok := seen[u]; ok {
			continue
		}
		if !strings.HasPrefix(u, base+"/") {
			t.Errorf("%s leads to another host", u)
			continue
		}
		res, got := get(t, c, u)
		if res.StatusCode != 200 {
			t.Errorf("%s: %d", u, res.StatusCode)
		}
		seen[u] = res.Header.Get("Content-Type")
		if kind, ok := strings.CutPrefix(seen[u], "image/"); ok && kind != "svg+xml" {
			if _, format, err := image.Decode(strings.NewReader(got)); err != nil || format != kind {
				t.Errorf("%s: %q: %v", u, format, err)
			}
		}
	}
	kinds := map[string]int{}
	for _, k := range seen {
		kinds[k]++
	}
	if kinds["text/css; charset=utf-8"] != 1 || kinds["image/png"] != 1 || kinds["image/svg+xml"] < 2 {
		t.Errorf("the pages use %v", kinds)
	}
}

func TestUnknownHost(t *testing.T) {
	w := start(t)
	w.ConnectTo["elsewhere.example:443"] = w.ConnectTo[primary+":443"]
	c := client(t, w)
	if res, err := c.Get("https://elsewhere.example/"); err == nil {
		res.Body.Close()
		t.Error("a host that the world lacks was served")
	}
	req, _ := http.NewRequest("GET", w.Article, nil)
	req.Host = "elsewhere.example"
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest || len(w.Hits()) != len(w.Expectations)+1 {
		t.Errorf("%s, %v", res.Status, w.Hits())
	}
}

func TestMethods(t *testing.T) {
	w := start(t)
	c := client(t, w)
	head, err := c.Head(w.Article)
	if err != nil {
		t.Fatal(err)
	}
	head.Body.Close()
	_, body := get(t, c, w.Article)
	if head.StatusCode != 200 || head.ContentLength != int64(len(body)) {
		t.Errorf("HEAD: %d, length %d of %d", head.StatusCode, head.ContentLength, len(body))
	}
	post, err := c.Post(w.Article, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	post.Body.Close()
	if post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", post.StatusCode)
	}
}

func TestArticle(t *testing.T) {
	words := len(strings.Fields(text(article)))
	if words < 450 || words > 600 {
		t.Errorf("the article has %d words", words)
	}
	if n := len(strings.Fields(text(half()))); n < words/4 || n > words*2/3 {
		t.Errorf("its half has %d words of %d", n, words)
	}
	if a, b := text(article), text(altered()); strings.Count(a, name) != 1 || strings.Replace(a, name, otherName, 1) != b {
		t.Error("altered differs in more than one name")
	}
	if last := article[len(article)-1].Text; !strings.Contains(last, second) || !strings.Contains(last, outside) {
		t.Errorf("the article ends with %q", last)
	}
	var pictures int
	for _, p := range article {
		if p.Picture != "" {
			pictures++
		}
	}
	if pictures != 3 {
		t.Errorf("%d pictures", pictures)
	}
}

// Two worlds serve the same bytes, and a world starts fast enough for a demo of ten seconds.
func TestDeterministic(t *testing.T) {
	began := time.Now()
	a := start(t)
	if d := time.Since(began); d > 2*time.Second { // 200 ms is meant; a loaded machine is no mistake
		t.Errorf("start took %v", d)
	} else {
		t.Logf("start took %v", d)
	}
	b := start(t)
	ca, cb := client(t, a), client(t, b)
	for _, p := range []string{articlePath, "/", "/photo/20160810/bridge.png", "/photo/20160810/ferry.jpg", "/photo/20160810/traffic.svg"} {
		_, x := get(t, ca, "https://"+primary+p)
		_, y := get(t, cb, "https://"+primary+p)
		if x == "" || x != y {
			t.Errorf("%s differs between two starts", p)
		}
	}
	if bytes.Equal(a.CAPEM, b.CAPEM) {
		t.Error("two starts share an authority")
	}
}

// The world ends with its context, and Close afterwards, or twice, is no error.
func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	w.served.Wait()
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", w.ConnectTo[primary+":443"]); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		w, err := Start(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
