package compare

import (
	"html"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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

// TestTransplanted is acceptance test 13: the same text in another template is the article; where extraction makes a difference, the
// verdict says so with low confidence.
func TestTransplanted(t *testing.T) {
	all, up, low := 0, 0, 0
	for n, rp := range realPages(t) {
		if n%12 != 0 || rp.tuned {
			continue
		}
		u, _ := url.Parse(rp.url)
		host := survey.Host(u.Host)
		st := survey.Site{Name: "s", Mirrors: []survey.Mirror{{Scheme: "https", Host: host, Role: survey.Primary}, {Scheme: "https", Host: "mirror.example", Role: survey.Alternate}}}
		ref := content.Read(rp.utf8, content.Options{URL: rp.url, ContentType: "text/html", Hosts: st.Hosts()})
		if ref.Words < 150 {
			continue
		}
		var b strings.Builder
		b.WriteString("<!doctype html><html><head><title>" + html.EscapeString(ref.Title) + "</title></head><body><header><a href='/'>Another paper</a> <a href='/sport'>Sport</a> <a href='/money'>Money</a></header><div class='story'><h1>" + html.EscapeString(ref.Title) + "</h1>")
		for _, bl := range ref.Blocks {
			b.WriteString("<p>" + html.EscapeString(bl.Text) + "</p>\n")
		}
		b.WriteString("</div><aside><a href='/1'>A list of other things that readers of this paper liked</a></aside><footer>Another paper, since 1911</footer></body></html>")
		v := *u
		v.Host = "mirror.example"
		cand := content.Read([]byte(b.String()), content.Options{URL: v.String(), ContentType: "text/html", Hosts: st.Hosts()})
		one, two := view(host, survey.Primary, ref), view("mirror.example", survey.Alternate, cand)
		one.Observation.URL, one.Observation.FinalURL = rp.url, rp.url
		two.Observation.URL, two.Observation.FinalURL = v.String(), v.String()
		verdict := Judge(Case{Site: st, Article: survey.Article{Site: "s", URL: rp.url}, Views: []View{one, two}}).Verdicts[1]
		all++
		switch {
		case verdict.State == survey.Up:
			up++
		case verdict.Confidence == survey.Low:
			low++
			t.Logf("%s: %s, low, %v", u.Host, verdict.Verdict, verdict.Reasons)
		default:
			t.Errorf("%s: %s (%s) %v", u.Host, verdict.Verdict, verdict.Confidence, verdict.Reasons)
		}
	}
	t.Logf("%d transplanted: %d the same, %d with low confidence", all, up, low)
}
