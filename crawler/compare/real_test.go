package compare

import (
	"os"
	"path/filepath"
	"testing"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// readFile reads a stored page as the crawler would.
func readFile(tb testing.TB, file, url string) (*content.Page, []byte) {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	name, _ := message.Charset("text/html", data)
	utf8, err := message.ToUTF8(name, data)
	if err != nil {
		utf8 = data
	}
	return content.Read(utf8, content.Options{URL: url, ContentType: "text/html", Hosts: site.Hosts()}), utf8
}

// TestBlockPages holds real block pages against the rules: none is the article, none can be a reference, and most are known for what they
// are without a list.
func TestBlockPages(t *testing.T) {
	dir := testdata(t, "interstitials", "block")
	files, _ := filepath.Glob(filepath.Join(dir, "*.html"))
	if len(files) == 0 {
		t.Fatalf("no pages in %s", dir)
	}
	alike := 0
	classes := map[survey.PageClass]int{}
	for _, f := range files {
		p, body := readFile(t, f, "https://www.presstv.co.uk/Detail/2016/08/10/479262/Harbour-talks")
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), view("www.presstv.co.uk", survey.Alternate, p, func(v *View) { v.Body = body })}})
		v := j.Verdicts[1]
		classes[v.PageClass]++
		if v.State != survey.Down {
			t.Errorf("%s: %s/%s (%s) %v", filepath.Base(f), v.Verdict, v.PageClass, v.State, v.Reasons)
		}
		if v.PageClass != survey.ClassBlockPage {
			t.Logf("%s: %s/%s, %d words: %.100q", filepath.Base(f), v.Verdict, v.PageClass, p.VisibleWords, p.FullTitle+" // "+p.Visible)
		}
		// All copies equal: still down, whatever was served as the primary.
		j = judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, p), view("www.presstv.co.uk", survey.Alternate, p)}})
		if v := j.Verdicts[0]; v.State == survey.Up {
			alike++
			t.Logf("%s on all mirrors: %s/%s (%s)", filepath.Base(f), v.Verdict, v.PageClass, v.State)
		}
	}
	t.Logf("%d block pages: %v", len(files), classes)
	if alike > 2 { // two portals of providers that say nowhere on the page that something is blocked
		t.Errorf("%d would pass for the article if every mirror served them", alike)
	}
	if share := float64(classes[survey.ClassBlockPage]) / float64(len(files)); share < 0.9 {
		t.Errorf("only %.2f are known as block pages", share)
	}
}
