package compare

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// layoutOne and layoutTwo are two papers' layouts; the article's body is the element with the class story.
func layoutOne(title string, around, inside []string) *content.Page {
	return layout(title, around, inside, "Harbour Post", []string{"Harbour Post is published daily by the Coast Press Society, which was founded by fishermen in 1921 and belongs to its readers.",
		"Letters to the editor are welcome at any time and are answered by hand on the last Friday of each month at the old office.", "Advertise with us and reach every household between the lighthouse and the river mouth twice a week."})
}

func layoutTwo(title string, around, inside []string) *content.Page {
	return layout(title, around, inside, "Evening Lamp", []string{"The Evening Lamp lights up the valley with news, crosswords and the timetable of the night bus since the year of the great flood.",
		"Our reporters can be reached under the number that is printed on page two, except on Sundays and on the day of the fair.", "Subscribers of the Lamp may borrow our folding chairs for weddings if they bring them back dry and in time."})
}

func layout(title string, around, inside []string, name string, foot []string) *content.Page {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><html lang="en"><head><title>%s</title></head><body><header><a href="/">%s</a> <a href="/a">Coast</a> <a href="/b">Valley</a></header><main><h1>%s</h1><div>`, title, name, title)
	for _, s := range around {
		fmt.Fprintf(&b, "<p>%s</p>", s)
	}
	b.WriteString(`</div><div class="story">`)
	for _, s := range inside {
		fmt.Fprintf(&b, "<p>%s</p>", s)
	}
	b.WriteString(`</div></main><footer class="footer">`)
	for _, s := range foot {
		fmt.Fprintf(&b, "<p>%s</p>", s)
	}
	b.WriteString(`</footer></body></html>`)
	return content.Read([]byte(b.String()), content.Options{URL: articleURL, ContentType: "text/html"})
}

// TestLayouts: what stands outside the element that holds the article is edge material when the layouts differ, and counts as an
// insertion when they are the same (classification.md 2.5 D).
func TestLayouts(t *testing.T) {
	note := []string{"A photograph of the quay at dawn shows two cranes, a row of gulls and the master's own boat, which has been for sale since the spring of last year."}
	ref := layoutOne(headline, nil, story)
	cases := []struct {
		name       string
		page       *content.Page
		want       survey.VerdictWord
		confidence survey.Confidence
	}{
		{"same layout, a paragraph before the body", layoutOne(headline, note, story), survey.Altered, survey.High},
		{"other layout, a paragraph before the body", layoutTwo(headline, note, story), survey.SameArticle, survey.High},
		{"other layout, nothing added", layoutTwo(headline, nil, story), survey.Identical, survey.High},
		{"other layout, a paragraph in the body", layoutTwo(headline, nil, slices.Insert(slices.Clone(story), 3, note...)), survey.Altered, survey.Low},
		{"other layout, a paragraph missing in the body", layoutTwo(headline, note, slices.Delete(slices.Clone(story), 3, 4)), survey.Altered, survey.Low},
		{"other layout, a number edited", layoutTwo(headline, note, edited(t, "4,200", "2,200")), survey.Altered, survey.High},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := pair(t, ref, c.page)
			if v.Verdict != c.want || v.Confidence != c.confidence {
				t.Errorf("got %s (%s) %v %+v", v.Verdict, v.Confidence, v.Reasons, v.Changes)
			}
		})
	}
}

// TestBareLayout: on a page with next to nothing around its article, a paragraph that was put in outside the body's element is an
// insertion, not another layout.
func TestBareLayout(t *testing.T) {
	bare := func(around ...string) *content.Page {
		return layout(headline, around, story, "Harbour Post", []string{"Printed in Port Ellery by the Coast Press Society."})
	}
	v := pair(t, bare(), bare("A reader wrote to say that everything in this report was invented by enemies of the town and that nobody should ever believe one word of it again."))
	if v.Verdict != survey.Altered || v.Confidence != survey.High {
		t.Errorf("got %s (%s) %v", v.Verdict, v.Confidence, v.Reasons)
	}
}

// TestStray: a paragraph that stood beside the article's element and is gone is claimed with low confidence only.
func TestStray(t *testing.T) {
	note := "A photograph of the quay at dawn shows two cranes, a row of gulls and the master's own boat, which has been for sale since the spring of last year."
	if v := pair(t, layoutOne(headline, []string{note}, story), layoutOne(headline, nil, story)); v.Verdict != survey.SameArticle && v.Confidence != survey.Low {
		t.Errorf("beside the article: %s (%s) %v", v.Verdict, v.Confidence, v.Reasons)
	}
	if v := pair(t, layoutOne(headline, nil, story), layoutOne(headline, nil, slices.Delete(slices.Clone(story), 3, 4))); v.Verdict != survey.Altered || v.Confidence != survey.High {
		t.Errorf("in the article: %s (%s) %v", v.Verdict, v.Confidence, v.Reasons)
	}
}

// TestOpening: a page that names itself as the article and shows its first lines is a teaser, however little of it an extractor
// finds; a page with another title that quotes them is not, nor one that shows them at any address.
func TestOpening(t *testing.T) {
	teaser := func(title string, lines ...string) *content.Page {
		p := notice(title, append(append([]string{"Home News World Sport", "Most read on this site today: storms, bread, boats, the new pier and the question who pays for all of it in the end",
			"We use cookies and other technologies to improve your browsing experience on our site, to show personal content and to measure what our readers like"}, lines...), "Subscribe to continue reading this article.")...)
		p.VisibleLinks, p.Published = 40, ""
		p.SiteTitle = "Press TV"
		return p
	}
	ref := page(headline, story)
	decoy := func(p *content.Page) func(*View) {
		return func(v *View) {
			v.Decoys = []DecoyView{{survey.Decoy{Kind: "id", Status: 200, Outcome: survey.OK}, p}}
		}
	}
	for _, c := range []struct {
		name string
		page *content.Page
		edit func(*View)
		want survey.VerdictWord
	}{
		{"headline and first paragraph", teaser(headline, story[0]), nil, survey.Truncated},
		{"another title", teaser("Latest stories", story[0]), nil, survey.DifferentPage},
		{"the headline and other text", teaser(headline, otherStory[0]), nil, survey.DifferentPage},
		{"only a passage from the middle", teaser(headline, story[4][:90]), nil, survey.DifferentPage},
		{"shown at any address", teaser(headline, story[0]), decoy(teaser(headline, story[0])), survey.Interstitial},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.edit == nil {
				c.edit = func(*View) {}
			}
			v := pair(t, ref, c.page, c.edit)
			if v.Verdict != c.want {
				t.Errorf("got %s/%s %v %+v", v.Verdict, v.PageClass, v.Reasons, v.Scores)
			}
			if c.want == survey.Truncated && (v.Kind == nil || *v.Kind != "teaser" || v.State != survey.Degraded) {
				t.Errorf("kind %v, state %s", v.Kind, v.State)
			}
		})
	}
}

// TestNoticeInTheTemplate: a login wall within the site's own template is known by what it says beside the template, and words
// of the template that sound like a notice make no page one.
func TestNoticeInTheTemplate(t *testing.T) {
	foot := []string{"Report a page whose content is blocked, censored or filtered in your country to our hotline.", "Log in to continue reading your saved articles."}
	ref := layout(headline, nil, story, "Harbour Post", foot)
	ref.Published, ref.VisibleLinks = "2016-08-10T08:00:00Z", 60
	with := func(title string, lines ...string) *content.Page {
		return layout(title, nil, lines, "Harbour Post", foot)
	}
	wall := with("Sign in", "Sign in to your account to continue. Enter your email address and your password, or create an account if you have none.")
	wall.VisibleLinks, wall.PasswordFields = 60, 1
	if v := pair(t, ref, wall); v.PageClass != survey.ClassLogin || v.State != survey.Down {
		t.Errorf("login wall: %s/%s %v", v.Verdict, v.PageClass, v.Reasons)
	}
	// A widget against robots that every page of the site loads is no challenge.
	ref.Markers, wall.Markers = []string{"challenge:recaptcha"}, []string{"challenge:recaptcha"}
	if v := pair(t, ref, wall); v.PageClass != survey.ClassLogin {
		t.Errorf("login wall with the site's widget: %s/%s %v", v.Verdict, v.PageClass, v.Reasons)
	}
	if v := pair(t, ref, with("Two bakers", otherStory...)); v.Verdict != survey.DifferentPage || v.PageClass != survey.ClassArticle {
		t.Errorf("another article: %s/%s %v", v.Verdict, v.PageClass, v.Reasons)
	}
	block := with("Blocked", "Access to this website has been blocked by order of the court.")
	if v := pair(t, ref, block); v.PageClass != survey.ClassBlockPage || v.State != survey.Down {
		t.Errorf("block page: %s/%s %v", v.Verdict, v.PageClass, v.Reasons)
	}
}

// TestOwnAddresses: what a page loads from addresses that sound like blocking makes it no notice when it names its own address; a page
// that names none is judged by where it points.
func TestOwnAddresses(t *testing.T) {
	empty := func(og string) *content.Page {
		p := notice(headline)
		p.OGURL = og
		p.Requisites = []content.Requisite{{URL: "https://www.presstv.com/lib/blocked-list/style.css", Kind: "stylesheet"}}
		return p
	}
	if v := pair(t, healthy(), empty(articleURL)); v.PageClass == survey.ClassBlockPage || v.State != survey.Down {
		t.Errorf("with its address: %s/%s (%s) %v", v.Verdict, v.PageClass, v.State, v.Reasons)
	}
	if v := pair(t, healthy(), empty("")); v.PageClass != survey.ClassBlockPage {
		t.Errorf("without: %s/%s %v", v.Verdict, v.PageClass, v.Reasons)
	}
}
