package content

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var extraction = flag.Bool("extraction", false, "measure extraction over all pages of the data folder, not over a sample")

// dataFolder returns the folder of test data that is no part of the project.
func dataFolder(t testing.TB) string {
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "articles", "ground-truth.json")); err != nil {
		t.Skipf("no test data at %q: set MIRRORWATCH_TESTDATA to measure extraction", dir)
	}
	return dir
}

type goldPage struct {
	name, url, gold string
	html            []byte
}

func goldPages(t testing.TB, step int) (pages []goldPage) {
	dir := filepath.Join(dataFolder(t), "articles")
	raw, err := os.ReadFile(filepath.Join(dir, "ground-truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth map[string]struct {
		Body string `json:"articleBody"`
		URL  string `json:"url"`
	}
	if err := json.Unmarshal(raw, &truth); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(truth))
	for n := range truth {
		names = append(names, n)
	}
	sort.Strings(names)
	for i := 0; i < len(names); i += step {
		f, err := os.Open(filepath.Join(dir, "html", names[i]+".html.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, goldPage{names[i], truth[names[i]].URL, truth[names[i]].Body, b})
	}
	return pages
}

var tokens = regexp.MustCompile(`[\p{L}\p{M}\p{N}_]+`)

// fourGrams is the published benchmark's multiset: runs of four tokens, one shorter run when there are fewer.
func fourGrams(s string) map[string]int {
	t := tokens.FindAllString(s, -1)
	set := map[string]int{}
	if len(t) > 0 && len(t) < 4 {
		set[strings.Join(t, " ")]++
	}
	for i := 0; i+4 <= len(t); i++ {
		set[strings.Join(t[i:i+4], " ")]++
	}
	return set
}

// score returns precision and recall of got against want.
func score(want, got string) (precision, recall float64) {
	w, g := fourGrams(want), fourGrams(got)
	tp, nw, ng := 0, 0, 0
	for k, n := range w {
		nw += n
		tp += min(n, g[k])
	}
	for _, n := range g {
		ng += n
	}
	precision, recall = 1, 1
	if ng > 0 {
		precision = float64(tp) / float64(ng)
	}
	if nw > 0 {
		recall = float64(tp) / float64(nw)
	}
	if ng == 0 && nw > 0 {
		precision = 0
	}
	return
}

// TestExtractionBenchmark measures the extractor as the article-extraction-benchmark does: precision and recall of 4-token
// shingles averaged over pages, F1 of the two means. With -extraction over all 181 pages, where F1 must reach 0.970.
func TestExtractionBenchmark(t *testing.T) {
	step := 9
	if *extraction {
		step = 1
	}
	var sp, sr float64
	pages := goldPages(t, step)
	for _, g := range pages {
		p := Read(g.html, Options{URL: g.url})
		pr, re := score(g.gold, p.Text)
		sp, sr = sp+pr, sr+re
		if testing.Verbose() && (pr < 0.8 || re < 0.8) {
			t.Logf("%s precision %.3f recall %.3f problem %q %s", g.name[:12], pr, re, p.Problem, g.url)
		}
	}
	n := float64(len(pages))
	pr, re := sp/n, sr/n
	f1 := 2 * pr * re / (pr + re)
	t.Logf("%d pages: precision %.4f recall %.4f F1 %.4f", len(pages), pr, re, f1)
	floor := 0.94
	if *extraction {
		floor = 0.970
	}
	if f1 < floor {
		t.Errorf("F1 %.4f, want at least %.3f", f1, floor)
	}
}
