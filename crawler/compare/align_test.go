package compare

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

func plain(text string) *content.Page {
	return &content.Page{Text: text, Visible: text, Title: "t", VisibleWords: content.Count(text)}
}

// FuzzAlign: whatever the two texts, each sentence is in one segment at most, offsets lie in their texts, equal texts are equal, and
// no difference in words goes unreported.
func FuzzAlign(f *testing.F) {
	all := strings.Join(story, "\n")
	f.Add(all, all)
	f.Add(all, strings.Replace(all, "4,200", "4,201", 1))
	f.Add(all, strings.Join(story[2:], "\n"))
	f.Add(strings.Join(otherStory, "\n"), all)
	f.Add("a. b. a. b. A. B.", "B. a. b.")
	f.Add("港口。关闭。九天。", "港口。九天。关闭。")
	f.Add("“one. two” «three", "\"one. two\" three\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 20_000 || len(b) > 20_000 {
			return
		}
		a, b = strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")
		r, c := newDocument(plain(a), nil), newDocument(plain(b), nil)
		al := align(r, c)
		ref, cand := make([]int, len(r.sents)), make([]int, len(c.sents))
		for _, s := range al.segs {
			for i := s.r0; i < s.r1; i++ {
				ref[i]++
			}
			for j := s.c0; j < s.c1; j++ {
				cand[j]++
			}
		}
		for i, n := range ref {
			if n > 1 {
				t.Fatalf("reference sentence %d is in %d segments", i, n)
			}
		}
		for j, n := range cand {
			if n > 1 {
				t.Fatalf("candidate sentence %d is in %d segments", j, n)
			}
		}
		out := compareText(r, c, textHints{})
		for _, ch := range out.changes {
			if ch.At[0][0] < 0 || ch.At[0][0] > ch.At[0][1] || ch.At[0][1] > len(a) || ch.At[1][0] < 0 || ch.At[1][0] > ch.At[1][1] || ch.At[1][1] > len(b) {
				t.Fatalf("offsets %+v", ch)
			}
		}
		if self := compareText(r, newDocument(plain(a), nil), textHints{}); len(r.tokens) > 0 && (!self.exact || len(self.changes) > 0) {
			t.Fatalf("a text differs from itself: %+v", self)
		}
	})
}

// TestHostile: large and odd texts are judged within bounds.
func TestHostile(t *testing.T) {
	cases := map[string]string{
		"one word":         strings.Repeat("x", 5<<20),
		"one sentence":     strings.Repeat("word ", 120_000),
		"equal sentences":  strings.Repeat("It is so. ", 25_000),
		"equal paragraphs": strings.Repeat("It is so and it was so and it will be so again.\n", 12_000),
		"quotation marks":  strings.Repeat("\"", 200_000),
		"no text":          "",
		"only punctuation": strings.Repeat(". ! ? ", 50_000),
		"different numbers": func() string {
			var b strings.Builder
			for i := range 20_000 {
				b.WriteString("Row ")
				b.WriteString(strings.Repeat("9", i%17))
				b.WriteString(" holds.\n")
			}
			return b.String()
		}(),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			for _, pages := range [][2]*content.Page{{plain(text), plain(text + " And 1 more.")}, {healthy(), plain(text)}} {
				judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, pages[0]), view("www.presstv.co.uk", survey.Alternate, pages[1])}})
			}
		})
	}
}

// TestHostilePages: pages made to overwhelm are read and judged within bounds, and none of them is the article (issue 5).
func TestHostilePages(t *testing.T) {
	links := func() string {
		var b strings.Builder
		for i := range 50_000 {
			fmt.Fprintf(&b, "<p><a href=\"/%d\">Story %d of the harbour</a></p>\n", i, i)
		}
		return b.String()
	}()
	for name, src := range map[string]string{
		"depth 10,000":                           strings.Repeat("<div>", 10_000) + "deep text of the harbour " + strings.Repeat("</div>", 10_000),
		"5 MB of one word":                       "<p>" + strings.Repeat("x", 5<<20),
		"50,000 links under the article's title": "<title>" + headline + "</title><h1>" + headline + "</h1>" + links,
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			p := content.Read([]byte(src), content.Options{URL: articleURL, ContentType: "text/html", Hosts: site.Hosts()})
			for _, views := range [][]View{
				{view("www.presstv.com", survey.Primary, healthy()), view("www.presstv.co.uk", survey.Alternate, p)},
				{view("www.presstv.com", survey.Primary, p), view("www.presstv.co.uk", survey.Alternate, healthy())},
			} {
				j := judgeCase(Case{Views: views})
				if len(j.Verdicts) != 2 || j.Verdicts[1].Verdict == "" {
					t.Errorf("%+v", j.Verdicts)
				}
				if views[0].Page != p && (j.Verdicts[1].State == survey.Up || j.Verdicts[1].State == survey.Degraded) {
					t.Errorf("%s (%s) %v", j.Verdicts[1].Verdict, j.Verdicts[1].State, j.Verdicts[1].Reasons)
				}
			}
			if d := time.Since(started); d > time.Minute { // a second or two where nothing else runs
				t.Errorf("took %v", d)
			}
		})
	}
}
