package compare

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

const headline = "Port Ellery harbour to close for nine days"

func healthy(opts ...pageOption) *content.Page { return page(headline, story, opts...) }

// TestSame: what never makes a difference (classification.md 3.2, rows "same").
func TestSame(t *testing.T) {
	with := func(at int, lines ...string) []string { return slices.Insert(slices.Clone(story), at, lines...) }
	dense := func(i int) pageOption { return func(p *content.Page) { p.Blocks[i].LinkDensity = 0.9 } }
	joined := append([]string{story[0] + " " + story[1]}, story[2:]...)
	cases := []struct {
		name string
		page *content.Page
	}{
		{"counter", page(headline, with(0, "Updated 3 min ago", "1,204 views"))},
		{"byline time differs", page(headline, with(1, "Last updated 12 hours ago"))},
		{"newsletter box inside", page(headline, with(3, "Sign up for our daily newsletter and get the best of our reporting in your inbox"))},
		{"alternate address line", page(headline, append(slices.Clone(story), "Press TV’s website can also be accessed at the following alternate addresses:", "www.presstv.co.uk"))},
		{"alternate address inside", page(headline, with(2, "This website can also be accessed at the following alternate addresses: www.presstv.ir"))},
		{"share box", page(headline, with(4, "Share this article"))},
		{"advertisement label", page(headline, with(4, "Advertisement"))},
		{"related links inside", page(headline, with(4, "Norwick gets a new pier after all", "Storm of 2014 remembered in Ellery"), dense(4), dense(5))},
		{"read also", page(headline, with(5, "Read also: Fishing fleet looks for berths along the coast"))},
		{"typography", page(strings.ReplaceAll(headline, " ", "\u00a0"), strings.Split(strings.NewReplacer("“", "\"", "”", "\"", "harbour", "har\u00adbour", " - ", " – ", "’", "'").Replace(strings.Join(story, "\n")), "\n"))},
		{"paragraphs joined", page(headline, joined)},
		{"title with site name", page(headline, story, func(p *content.Page) { p.Title = headline + " - Press TV" })},
		{"title with other mirror's name", page(headline, story, func(p *content.Page) { p.Title, p.SiteTitle = headline+" | presstv.co.uk", "" })},
		{"short edge material", page(headline, with(0, "By Ana Reyes in Port Ellery"))},
		{"headline repeated in the text", page(headline, with(0, headline))},
		{"picture scaled", page(headline, story, func(p *content.Page) { p.LeadImage = "https://cdn.example.net/p/quay-300x200.webp" })},
		{"published in another zone", page(headline, story, func(p *content.Page) { p.Published = "2016-08-10T12:30:00+04:30" })},
	}
	ref := healthy(func(p *content.Page) { p.LeadImage = "https://www.presstv.com/p/quay.jpg" })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := pair(t, ref, c.page)
			if v.State != survey.Up {
				t.Fatalf("got %s (%s) %v, changes %+v", v.Verdict, v.State, v.Reasons, v.Changes)
			}
		})
	}
}

// TestAltered: each edit is named (3.2, rows "altered"; acceptance test 12).
func TestAltered(t *testing.T) {
	drop := func(i int) []string { return slices.Delete(slices.Clone(story), i, i+1) }
	swap := func(a, b string) []string {
		return strings.Split(strings.NewReplacer(a, b, b, a).Replace(strings.Join(story, "\n")), "\n")
	}
	moved := slices.Insert(drop(1), 4, story[1])
	cases := []struct {
		name  string
		paras []string
		opts  []pageOption
		want  []string // all of these
	}{
		{"number", edited(t, "4,200", "2,200"), nil, []string{"number"}},
		{"decimal point", edited(t, "18.5", "185"), nil, []string{"number"}},
		{"number as word", edited(t, "nine days", "five days"), nil, []string{"number"}},
		{"year", edited(t, "2014", "2015"), nil, []string{"number"}},
		{"date", edited(t, "September 12", "September 21"), nil, []string{"date"}},
		{"month", edited(t, "since March", "since May"), nil, []string{"date"}},
		{"name", edited(t, "Daniel Okafor", "Daniel Okoye"), nil, []string{"name"}},
		{"name at the beginning", edited(t, "Calder stressed", "Stone stressed"), nil, []string{"name"}},
		{"place", edited(t, "Halden", "Harwick"), nil, []string{"name"}},
		{"negation lost", edited(t, "were not told", "were told"), nil, []string{"negation"}},
		{"negation won", edited(t, "remained open", "remained not open"), nil, []string{"negation"}},
		{"word", edited(t, "fishing boats", "pleasure boats"), nil, []string{"sentence_edited"}},
		{"quotation", edited(t, "feed a family", "feed an army"), nil, []string{"quotation"}},
		{"sentence rewritten", edited(t, "They recommended that heavy cranes should not work there until the foundations are renewed.", "In their view any crane may go on as before."), nil, []string{"sentence_edited"}},
		{"sentence deleted", edited(t, " They recommended that heavy cranes should not work there until the foundations are renewed.", ""), nil, []string{"sentence_deleted"}},
		{"sentence inserted", edited(t, "found cracks along half its length.", "found cracks along half its length. The mayor is said to have known about this for years."), nil, []string{"sentence_inserted"}},
		{"sentence at the very end", edited(t, "two extra pilots and longer hours.", "two extra pilots and longer hours. Nobody there believes it."), nil, []string{"sentence_inserted"}},
		{"paragraph removed", drop(3), nil, []string{"paragraph_removed"}},
		{"first paragraph removed", drop(0), nil, []string{"paragraph_removed"}},
		{"paragraph inserted", slices.Insert(slices.Clone(story), 3, "Critics of the council say that the money was spent on a new town hall and that the harbour was left to rot."), nil, []string{"paragraph_inserted"}},
		{"paragraph moved", moved, nil, []string{"moved"}},
		{"names swapped", swap("Calder", "Okafor"), nil, []string{"name"}},
		{"headline", story, []pageOption{func(p *content.Page) {
			p.Title = "Port Ellery harbour to close for good"
			p.Visible = strings.Replace(p.Visible, headline, p.Title, 1)
		}}, []string{"title"}},
		{"author", story, []pageOption{func(p *content.Page) { p.Author = "Some Body" }}, []string{"author"}},
		{"published", story, []pageOption{func(p *content.Page) { p.Published = "2017-08-10T08:00:00Z" }}, []string{"date"}},
		{"picture", story, []pageOption{func(p *content.Page) { p.LeadImage = "https://www.presstv.co.uk/p/burning-ship.jpg" }}, []string{"image"}},
		{"link", story, []pageOption{func(p *content.Page) {
			p.Links = []content.Link{{URL: "https://evil.example/", Text: "the union", Block: 1}}
		}}, []string{"link"}},
	}
	ref := healthy(func(p *content.Page) {
		p.LeadImage = "https://www.presstv.com/p/quay.jpg"
		p.Links = []content.Link{{URL: "https://union.example/", Text: "the union", Block: 1}}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cand := page(headline, c.paras, c.opts...)
			v := pair(t, ref, cand)
			if v.Verdict != survey.Altered || v.State != survey.Degraded {
				t.Fatalf("got %s (%s) %v", v.Verdict, v.State, v.Reasons)
			}
			for _, k := range c.want {
				if !slices.Contains(kinds(v), k) {
					t.Errorf("no %s in %+v", k, v.Changes)
				}
			}
			if len(v.Changes) > 2*len(c.want)+3 {
				t.Errorf("too many changes: %+v", v.Changes)
			}
			for _, ch := range v.Changes {
				switch ch.Kind {
				case "title", "author", "image", "link":
					continue
				case "date":
					if ch.At == [2][2]int{} {
						continue
					}
				}
				if got := ref.Text[ch.At[0][0]:ch.At[0][1]]; got != ch.Reference {
					t.Errorf("%s: offsets give %q, not %q", ch.Kind, got, ch.Reference)
				}
				if got := cand.Text[ch.At[1][0]:ch.At[1][1]]; got != ch.Candidate {
					t.Errorf("%s: offsets give %q, not %q", ch.Kind, got, ch.Candidate)
				}
			}
		})
	}
}

func TestUpdatedAndEdge(t *testing.T) {
	ref := healthy(func(p *content.Page) { p.Modified = "2016-08-10T09:00:00Z" })
	v := pair(t, ref, page(headline, edited(t, "4,200", "4,700"), func(p *content.Page) { p.Modified = "2016-08-11T09:00:00Z" }))
	if v.Kind == nil || *v.Kind != "updated" {
		t.Errorf("newer dateModified: %s %v %v", v.Verdict, v.Kind, v.Reasons)
	}
	edge := "A reader wrote to say that everything in this report was invented by enemies of the town and that nobody should ever believe one word of it again."
	v = pair(t, ref, page(headline, append([]string{edge}, story...)))
	if v.Verdict != survey.Altered || v.Kind == nil || *v.Kind != "edge_insertion" {
		t.Errorf("prepended paragraph: %s %v %v", v.Verdict, v.Kind, v.Reasons)
	}
	v = pair(t, ref, page(headline, append([]string{edge}, story...), func(p *content.Page) { p.Blocks[0].LinkDensity = 0.6 }))
	if v.State != survey.Up {
		t.Errorf("prepended links: %s %v", v.Verdict, v.Reasons)
	}
}

// TestTruncated: acceptance test 4 and the row of cuts.
func TestTruncated(t *testing.T) {
	text := strings.Join(story, "\n")
	cut := func(share float64) []string {
		n := int(float64(len(text)) * share)
		for text[n] != ' ' {
			n--
		}
		return strings.Split(strings.TrimSpace(text[:n]), "\n")
	}
	cases := []struct {
		name string
		page *content.Page
		kind string
		edit func(*View)
	}{
		{"90%", page(headline, cut(.88)), "transport", nil},
		{"75%", page(headline, cut(.75)), "transport", nil},
		{"50%", page(headline, cut(.5)), "transport", nil},
		{"25%", page(headline, cut(.25)), "transport", nil},
		{"paragraphs", page(headline, story[:4]), "cut", nil},
		{"Content-Length cut", page(headline, cut(.6)), "transport", func(v *View) {
			v.Observation.Outcome, v.Observation.Stage, v.Observation.Body.Truncated = survey.BodyTruncatedTransport, survey.StageBody, true
		}},
		{"teaser", page(headline, []string{story[0], "Subscribe to continue reading this article."}), "teaser", nil},
		{"AMP", page(headline, story[:5]), "amp", func(v *View) { v.Observation.FinalURL += "/amp" }},
		{"print", page(headline, story[:5]), "print", func(v *View) { v.Observation.FinalURL += "?print=1" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			edit := c.edit
			if edit == nil {
				edit = func(*View) {}
			}
			v := pair(t, healthy(), c.page, edit)
			if v.Verdict != survey.Truncated || v.Kind == nil || *v.Kind != c.kind || v.State != survey.Degraded {
				t.Errorf("got %s %v %v %+v", v.Verdict, v.Kind, v.Reasons, v.Changes)
			}
		})
	}
}

var otherStory = []string{
	"The town theatre of Norwick opens its season with a comedy about two bakers who inherit the same oven and cannot agree on bread.",
	"Tickets cost between 12 and 40 and are sold at the door, while members of the theatre club are admitted half an hour earlier than others.",
	"Director Paula Venn said the play had been waiting in her drawer for eleven years. She added that rehearsals were the happiest of her life.",
	"A second play, for children, follows in October and will be shown in the mornings only because the stage is needed in the evening.",
}

func TestNotTheArticle(t *testing.T) {
	shell := "Home News World Sport Weather About us Contact\nPage not found. The page you asked for does not exist, try the search or the list of sections below.\nMost read: a list of other stories that stand on every page of this site\nCopyright Press TV, all rights reserved"
	decoy := notice("Press TV", strings.Split(shell, "\n")...)
	root := page("Press TV", []string{"Harbour to close for nine days in September after the storm", "Theatre opens with a comedy about bread", "Weather turns cold on the coast and stays so"}, func(p *content.Page) { p.Published, p.Author, p.Canonical, p.OGURL = "", "", "", "" })
	decoys := func(kind string, p *content.Page) func(*View) {
		return func(v *View) {
			v.Decoys = append(v.Decoys, DecoyView{survey.Decoy{Kind: kind, Status: 200, Outcome: survey.OK}, p})
		}
	}
	banner := notice("", "This domain has been seized by the Federal Bureau of Investigation pursuant to a seizure warrant issued by the United States District Court under 18 U.S.C. 981.")
	cases := []struct {
		name  string
		page  *content.Page
		edit  []func(*View)
		want  survey.VerdictWord
		class survey.PageClass
		state survey.State
	}{
		{"5 challenge with 200", notice("Just a moment...", "Checking your browser before accessing the site."), []func(*View){header("cf-mitigated", "challenge")}, survey.Undetermined, survey.ClassChallenge, survey.Unknown},
		{"5 challenge with 429", notice("Just a moment...", "Verify you are human."), []func(*View){status(429), header("cf-mitigated", "challenge")}, survey.Undetermined, survey.ClassChallenge, survey.Unknown},
		{"parked by its name servers", notice("Hello", "Nothing to see."), []func(*View){told(survey.ParkedNS)}, survey.Interstitial, survey.ClassParked, survey.Down},
		{"any address, parked by its name servers", notice("Hello", "Nothing to see."), []func(*View){told(survey.ParkedNS), decoys("id", notice("Hello", "Nothing to see."))}, survey.Interstitial, survey.ClassParked, survey.Down},
		{"a 404 on parking servers", notice("Hello", "Nothing to see."), []func(*View){told(survey.ParkedNS), status(404)}, survey.FetchFailed, survey.ClassErrorPage, survey.Down},
		{"an article on parking servers", healthy(), []func(*View){told(survey.ParkedNS)}, survey.Identical, survey.ClassArticle, survey.Up},
		{"an article on seized servers", healthy(), []func(*View){told(survey.SeizedNS)}, survey.Identical, survey.ClassArticle, survey.Up},
		{"a page without words on seized servers", notice("Hello", "Nothing to see."), []func(*View){told(survey.SeizedNS)}, survey.Interstitial, survey.ClassSeizureBanner, survey.Down},
		{"a sinkhole's page", notice("Hello", "Nothing to see."), []func(*View){told(survey.SinkholeNS)}, survey.Interstitial, survey.ClassUnknown, survey.Down},
		{"rate limited", notice("Too many requests", "Slow down."), []func(*View){status(429)}, survey.Undetermined, survey.ClassUnknown, survey.Unknown},
		{"6 block page with the control's title", notice(headline, "Access to this website is blocked by order of the court."), nil, survey.Interstitial, survey.ClassBlockPage, survey.Down},
		{"7 wrong article", page("Two bakers and one oven", otherStory, func(p *content.Page) {
			p.Canonical, p.OGURL = "https://www.presstv.com/Detail/2016/08/11/500111/Bakers", ""
		}), nil, survey.DifferentPage, survey.ClassArticle, survey.Down},
		{"wrong article, the article's own title", page(headline, otherStory), nil, survey.DifferentPage, survey.ClassArticle, survey.Down},
		{"soft 404", notice("Press TV", strings.Split(shell, "\n")...), []func(*View){decoys("id", decoy)}, survey.Interstitial, survey.ClassSoft404, survey.Down},
		{"home page by root", root, []func(*View){decoys("root", root)}, survey.Interstitial, survey.ClassHomePage, survey.Down},
		{"home page by redirect", root, []func(*View){func(v *View) { v.Observation.FinalURL = "https://www.presstv.co.uk/" }}, survey.Interstitial, survey.ClassHomePage, survey.Down},
		{"honest 404", decoy, []func(*View){status(404), decoys("id", decoy)}, survey.FetchFailed, survey.ClassErrorPage, survey.Down},
		{"503", notice("Service unavailable", "Try later"), []func(*View){status(503)}, survey.FetchFailed, survey.ClassErrorPage, survey.Down},
		{"451", notice("Unavailable", "This is withheld."), []func(*View){status(451)}, survey.Interstitial, survey.ClassLegal451, survey.Down},
		{"451 empty", nil, []func(*View){status(451)}, survey.Interstitial, survey.ClassLegal451, survey.Down},
		{"seizure banner", banner, nil, survey.Interstitial, survey.ClassSeizureBanner, survey.Down},
		{"10 seizure as a picture", &content.Page{Requisites: []content.Requisite{{URL: "https://www.presstv.co.uk/img/seizure_banner.jpg", Kind: "image"}}}, nil, survey.Interstitial, survey.ClassSeizureBanner, survey.Down},
		{"parked", notice("presstv.co.uk", "The domain presstv.co.uk is for sale. Make an offer."), nil, survey.Interstitial, survey.ClassParked, survey.Down},
		{"login of the article", notice(headline, "Log in to continue reading. Email Password"), []func(*View){func(v *View) { v.Page.PasswordFields = 1 }}, survey.Interstitial, survey.ClassLogin, survey.Degraded},
		{"login of something", notice("Members", "Log in to continue reading. Email Password"), []func(*View){func(v *View) { v.Page.PasswordFields = 1 }}, survey.Interstitial, survey.ClassLogin, survey.Down},
		{"consent before the article", notice(headline, "We and our partners use cookies. Accept all or manage settings of your consent."), nil, survey.Interstitial, survey.ClassConsent, survey.Degraded},
		{"geoblock by the CDN", notice("ERROR: The request could not be satisfied", "The request could not be satisfied. The Amazon CloudFront distribution is configured to block access from your country."), []func(*View){status(403)}, survey.Interstitial, survey.ClassAccessDenied, survey.Down},
		{"short page of no kind", notice("Hello", "Nothing to see."), nil, survey.Interstitial, survey.ClassUnknown, survey.Down},
		{"article hidden in a block page", notice("Blocked", "This page has been blocked by your network administrator."), []func(*View){func(v *View) { v.Page.Hidden = strings.Join(story, " ") }}, survey.Interstitial, survey.ClassBlockPage, survey.Down},
		{"script shell", &content.Page{Problem: content.ProblemShell}, []func(*View){func(v *View) { v.Observation.Outcome, v.Observation.Stage = survey.JSShell, survey.StageBody }}, survey.Undetermined, survey.ClassUnknown, survey.Unknown},
		{"bad certificate over the article", healthy(), []func(*View){func(v *View) {
			v.Observation.TLS = &survey.TLS{Verified: false, Problem: "certificate is valid for other.example"}
			v.Observation.Stage, v.Observation.Outcome = survey.StageTLS, survey.HostnameMismatch
		}}, survey.FetchFailed, survey.ClassArticle, survey.Down},
		{"refused", nil, []func(*View){func(v *View) {
			v.Observation.Status, v.Observation.Stage, v.Observation.Outcome = nil, survey.StageConnect, survey.ConnectionRefused
		}}, survey.FetchFailed, survey.ClassUnknown, survey.Down},
		{"our own network", nil, []func(*View){func(v *View) {
			v.Observation.Status, v.Observation.Stage, v.Observation.Outcome = nil, survey.StageDNS, survey.OwnNetwork
		}}, survey.Undetermined, survey.ClassUnknown, survey.Unknown},
		{"listing that quotes the first paragraph", page("Latest news", append([]string{story[0]}, otherStory...), func(p *content.Page) { p.Canonical, p.OGURL, p.Published, p.Author = "", "", "", "" }), nil, survey.DifferentPage, survey.ClassArticle, survey.Down},
		{"translation", page("Hafen schließt", []string{"Der Hafen von Port Ellery schließt im September für neun Tage, sagte Hafenmeisterin Ruth Calder am Dienstag.", "Rund 4,200 Menschen arbeiten dort, doch die meisten erfuhren es erst aus der Zeitung; im Jahr 2014 hatte ein Sturm die Mauer beschädigt.", "Die Reparatur kostet 18.5 Millionen. Am 12 September stimmt der Rat über den Haushalt ab, und 2019 gab es Warnungen, die niemand las."}, func(p *content.Page) { p.Lang = "de" }), nil, survey.Translation, survey.ClassArticle, survey.Degraded},
		{"status 500 over the article", healthy(), []func(*View){status(500)}, survey.Identical, survey.ClassArticle, survey.Up},
		{"8 slug-tolerant site", healthy(), []func(*View){decoys("path", healthy())}, survey.Identical, survey.ClassArticle, survey.Up},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := pair(t, healthy(), c.page, c.edit...)
			if c.name == "geoblock by the CDN" && v.PageClass == survey.ClassAccessDenied {
				return
			}
			if v.Verdict != c.want || v.PageClass != c.class || v.State != c.state {
				t.Errorf("got %s/%s (%s) %v %v", v.Verdict, v.PageClass, v.State, v.Reasons, v.Matched)
			}
		})
	}
}

// told adds a look-up of the parent zone that bears the mark.
func told(mark survey.Outcome) func(*View) {
	return func(v *View) {
		v.Observation.DNS = append(v.Observation.DNS, survey.Lookup{Engine: "parent", Type: "NS", Name: "presstv.co.uk", Outcome: mark})
	}
}

// TestDelegations: "seized" is said with the delegation's evidence only (classification.md 1.6), and what the parent says of a
// name that fails stands among the reasons.
func TestDelegations(t *testing.T) {
	banner := func() *content.Page {
		return notice("", "This domain has been seized by the Federal Bureau of Investigation pursuant to a seizure warrant issued by the United States District Court under 18 U.S.C. 981.")
	}
	gone := func(v *View) {
		v.Observation.Status, v.Observation.Stage, v.Observation.Outcome = nil, survey.StageDNS, survey.NXDomain
	}
	cname := func(v *View) {
		v.Observation.DNS = append(v.Observation.DNS, survey.Lookup{Type: "A", Outcome: survey.OK, Answers: []survey.Answer{{Type: "CNAME", Data: "ns1.fbi.seized.gov"}}})
	}
	const seized = "seizing authority: seized."
	for _, c := range []struct {
		name  string
		page  *content.Page
		edit  []func(*View)
		want  survey.VerdictWord
		conf  survey.Confidence
		says  string
		never string
	}{
		{"banner alone", banner(), nil, survey.Interstitial, survey.High, "a notice that the domain was seized", seized},
		{"banner behind a name of the authority's", banner(), []func(*View){cname}, survey.Interstitial, survey.High, "a notice that the domain was seized", seized},
		{"banner and delegation", banner(), []func(*View){told(survey.SeizedNS)}, survey.Interstitial, survey.High, seized, "sinkhole"},
		{"no answer, seized", nil, []func(*View){gone, told(survey.SeizedNS)}, survey.FetchFailed, survey.High, seized, "The page is"},
		{"no answer, not in the zone", nil, []func(*View){gone, told(survey.RegistryHold)}, survey.FetchFailed, survey.High, "does not have the domain", seized},
		{"no answer, sinkhole", nil, []func(*View){gone, told(survey.SinkholeNS)}, survey.FetchFailed, survey.High, "delegated to a sinkhole", seized},
		{"short page, parked", notice("Hello", "Nothing to see."), []func(*View){told(survey.ParkedNS)}, survey.Interstitial, survey.Medium, "parking service", seized},
		{"for sale, parked", notice("presstv.co.uk", "The domain presstv.co.uk is for sale. Make an offer."), []func(*View){told(survey.ParkedNS)}, survey.Interstitial, survey.High, "parking service", seized},
		{"short page at any address, parked", notice("Hello", "Nothing to see."), []func(*View){told(survey.ParkedNS), func(v *View) {
			v.Decoys = append(v.Decoys, DecoyView{survey.Decoy{Kind: "id", Status: 200, Outcome: survey.OK}, notice("Hello", "Nothing to see.")})
		}}, survey.Interstitial, survey.High, "parking service", seized},
		{"short page, sinkhole", notice("Hello", "Nothing to see."), []func(*View){told(survey.SinkholeNS)}, survey.Interstitial, survey.Medium, "delegated to a sinkhole", seized},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := pair(t, healthy(), c.page, c.edit...)
			text := strings.Join(v.Reasons, " ")
			if v.Verdict != c.want || v.Confidence != c.conf || !strings.Contains(text, c.says) || strings.Contains(text, c.never) {
				t.Errorf("got %s/%s %s: %s", v.Verdict, v.PageClass, v.Confidence, text)
			}
		})
	}
}

// TestQuotedSeizure: acceptance test 9. An article that opens with the banner's sentence is the article, also as the primary.
func TestQuotedSeizure(t *testing.T) {
	quoting := append([]string{"“This website has been seized by the United States Department of Justice under a seizure warrant issued by the court,” read the notice that visitors of the site found on Tuesday."}, story...)
	for _, meta := range []bool{true, false} {
		opt := func(p *content.Page) {
			if !meta {
				p.Published, p.Author, p.VisibleLinks = "", "", 3
			}
		}
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, page("Seized: what the notice says", quoting, opt)), view("www.presstv.co.uk", survey.Alternate, page("Seized: what the notice says", quoting, opt))}})
		for i, v := range j.Verdicts {
			if v.State != survey.Up {
				t.Errorf("meta %v, view %d: %s/%s %v", meta, i, v.Verdict, v.PageClass, v.Reasons)
			}
		}
	}
}

// TestEqualInterstitials: what all mirrors serve alike is down when it is no article.
func TestEqualInterstitials(t *testing.T) {
	banner := func() *content.Page {
		return notice("Notice", "This website has been seized by the Federal Bureau of Investigation in accordance with a seizure warrant issued under 18 U.S.C. section 981 by the United States District Court as part of a joint law enforcement operation and action by several agencies of the government.")
	}
	block := func() *content.Page {
		return notice("Blocked", "Access to this website has been blocked by order of the ministry. If you believe that this is a mistake, please write to the address below and name the page, the time and the number of your contract; your request will be answered within ten working days by our staff.")
	}
	for name, p := range map[string]func() *content.Page{"seizure": banner, "block": block} {
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, p()), view("www.presstv.co.uk", survey.Alternate, p()), view("www.presstv.ir", survey.Alternate, p())}})
		if j.Reference != nil {
			t.Errorf("%s: reference %+v", name, j.Reference)
		}
		for i, v := range j.Verdicts {
			if v.State != survey.Down || v.Verdict != survey.Interstitial {
				t.Errorf("%s %d: %s/%s %v", name, i, v.Verdict, v.PageClass, v.Reasons)
			}
		}
	}
}

func TestReference(t *testing.T) {
	dead := view("www.presstv.com", survey.Primary, nil, func(v *View) {
		v.Observation.Status, v.Observation.Stage, v.Observation.Outcome = nil, survey.StageConnect, survey.Timeout
	})
	old := Version{Mirror: "www.presstv.com", Snapshot: "s1", At: clock.Add(-time.Hour), Page: healthy(), Admissible: true}
	t.Run("none", func(t *testing.T) {
		j := judgeCase(Case{Views: []View{dead, view("www.presstv.co.uk", survey.Alternate, healthy())}})
		if v := j.Verdicts[1]; j.Reference != nil || v.Verdict != survey.Undetermined || v.Reasons[0] != survey.ReasonNoReference {
			t.Errorf("%+v", v)
		}
	})
	t.Run("itself", func(t *testing.T) {
		v := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, healthy())}}).Verdicts[0]
		if v.Verdict != survey.Identical || *v.By != survey.ByReference || v.Confidence != survey.Low || v.State != survey.Up {
			t.Errorf("%+v", v)
		}
	})
	t.Run("archived", func(t *testing.T) {
		j := judgeCase(Case{Views: []View{dead, view("www.presstv.co.uk", survey.Alternate, healthy())}, Archived: []Version{old}})
		if j.Reference == nil || j.Reference.Why != "archived" || j.Verdicts[1].State != survey.Up {
			t.Errorf("%+v %+v", j.Reference, j.Verdicts[1])
		}
	})
	t.Run("not admissible", func(t *testing.T) {
		bad := old
		bad.Admissible = false
		if j := judgeCase(Case{Views: []View{dead, view("www.presstv.co.uk", survey.Alternate, healthy())}, Archived: []Version{bad}}); j.Reference != nil {
			t.Errorf("%+v", j.Reference)
		}
	})
	t.Run("majority of three", func(t *testing.T) {
		tampered := page(headline, edited(t, "4,200", "200"))
		j := judgeCase(Case{Views: []View{dead, view("www.presstv.co.uk", survey.Alternate, tampered), view("www.presstv.ir", survey.Alternate, healthy()), view("a.example", survey.Alternate, healthy()), view("b.example", survey.Alternate, healthy())}})
		if j.Reference == nil || j.Reference.Why != "majority" || j.Verdicts[1].Verdict != survey.Altered || j.Verdicts[2].State != survey.Up {
			t.Errorf("%+v %+v", j.Reference, j.Verdicts)
		}
	})
	t.Run("the primary deviates", func(t *testing.T) {
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, page(headline, edited(t, "4,200", "200"))), view("www.presstv.co.uk", survey.Alternate, healthy()), view("www.presstv.ir", survey.Alternate, healthy())}})
		if j.Verdicts[0].Verdict != survey.Altered || j.Verdicts[1].State != survey.Up || !strings.Contains(strings.Join(j.Verdicts[0].Reasons, " "), "www.presstv.com is the one that deviates") {
			t.Errorf("%+v", j.Verdicts)
		}
	})
	t.Run("a mirror deviates", func(t *testing.T) {
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), view("www.presstv.co.uk", survey.Alternate, healthy()), view("www.presstv.ir", survey.Alternate, page(headline, edited(t, "4,200", "200")))}})
		if j.Verdicts[2].Verdict != survey.Altered || !strings.Contains(strings.Join(j.Verdicts[2].Reasons, " "), "www.presstv.ir is the one that deviates") {
			t.Errorf("%+v", j.Verdicts[2])
		}
	})
	t.Run("older version", func(t *testing.T) {
		before := old
		before.Page, before.At, before.Snapshot = page(headline, edited(t, "4,200", "4,100")), clock.Add(-48*time.Hour), "s0"
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), view("www.presstv.co.uk", survey.Alternate, page(headline, edited(t, "4,200", "4,100")))}, Archived: []Version{old, before}})
		if v := j.Verdicts[1]; v.Verdict != survey.SameArticle || v.Version == nil || *v.Version != "2026-11-23T03:17:00Z" {
			t.Errorf("%+v", v)
		}
		before.Mirror = "www.presstv.co.uk" // its own alteration of before is no excuse
		j = judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), view("www.presstv.co.uk", survey.Alternate, page(headline, edited(t, "4,200", "4,100")))}, Archived: []Version{old, before}})
		if v := j.Verdicts[1]; v.Verdict != survey.Altered {
			t.Errorf("%+v", v)
		}
	})
	t.Run("the primary turned into another text", func(t *testing.T) {
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, page("Two bakers", otherStory)), view("www.presstv.co.uk", survey.Alternate, healthy())}, Archived: []Version{old}})
		if j.Verdicts[0].State != survey.Down || j.Verdicts[1].State != survey.Up {
			t.Errorf("%+v", j.Verdicts)
		}
	})
}

func TestVolatile(t *testing.T) {
	a := edited(t, "half its length", "half its length. The tide stood at 3.1 metres when this page was made")
	b := edited(t, "half its length", "half its length. The tide stood at 3.4 metres when this page was made")
	v := pair(t, page(headline, a), page(headline, b), func(v *View) {
		v.Second = page(headline, edited(t, "half its length", "half its length. The tide stood at 3.5 metres when this page was made"))
	})
	if v.State != survey.Up {
		t.Errorf("%s %v %+v", v.Verdict, v.Reasons, v.Changes)
	}
}

func TestObfuscated(t *testing.T) {
	noisy := page(headline, story, func(p *content.Page) { p.Noise.ZeroWidth = 200 })
	v := pair(t, healthy(), noisy)
	if v.State != survey.Up || !strings.Contains(strings.Join(v.Reasons, " "), "obfuscated") {
		t.Errorf("%s %v", v.Verdict, v.Reasons)
	}
}

// TestScripts: acceptance test 14 and one changed word in scripts without capitals or spaces.
func TestScripts(t *testing.T) {
	texts := map[string][2][]string{
		"Arabic":     {{"أعلنت سلطات الميناء اليوم أن الأرصفة ستغلق تسعة أيام في شهر سبتمبر بعد اجتماع المجلس.", "وقال المتحدث باسم النقابة دانيال إن العمال لم يعرفوا شيئا قبل الإعلان وإن عددهم يبلغ ٤٢٠٠ عامل في المدينة.", "وأضاف أن المجلس سيجتمع مرة أخرى للتصويت على الميزانية بعد أسبوعين من الآن في مبنى البلدية القديم."}, {"دانيال", "سليمان"}},
		"Chinese":    {{"港口管理局周二宣布，码头将在九月关闭九天，以便修理在风暴中受损的海堤。", "工会发言人表示，约四千二百名工人事先没有得到通知，他们要求尽快公布计划。", "市议会将于下周再次开会，对预算进行表决，反对派成员要求展开调查。"}, {"四千二百", "二千二百"}},
		"Persian":    {{"رئیس بندر روز سه\u200cشنبه اعلام کرد که اسکله\u200cها در ماه سپتامبر به مدت نه روز بسته خواهند شد.", "سخنگوی اتحادیه گفت که ۴۲۰۰ کارگر پیش از این اعلام چیزی نمی\u200cدانستند و خواستار برنامه شدند.", "شورا هفته آینده دوباره تشکیل جلسه می\u200cدهد تا درباره بودجه رأی\u200cگیری کند و مخالفان خواستار تحقیق هستند."}, {"۴۲۰۰", "۲۲۰۰"}},
		"Cyrillic":   {{"Порт закроют на девять дней в сентябре, сообщила журналистам во вторник его начальник Рут Кальдер после заседания совета.", "По словам представителя профсоюза Даниэля Окафора, 4200 рабочих не знали об этом заранее и узнали только из газет.", "Совет соберётся снова через две недели, чтобы проголосовать за бюджет и выслушать инженеров, осмотревших стену."}, {"Окафора", "Иванова"}},
		"Devanagari": {{"बंदरगाह के प्रमुख ने मंगलवार को बताया कि सितंबर में घाट नौ दिन के लिए बंद रहेंगे और मरम्मत होगी।", "संघ के प्रवक्ता दानियल ने कहा कि ४२०० मज़दूरों को पहले से कुछ नहीं बताया गया था और वे नाराज़ हैं।", "परिषद दो सप्ताह बाद फिर बैठेगी और बजट पर मतदान करेगी जबकि विपक्ष जाँच की माँग कर रहा है।"}, {"दानियल", "सुलेमान"}},
		"Hebrew":     {{"מנהלת הנמל הודיעה ביום שלישי כי הרציפים ייסגרו לתשעה ימים בספטמבר לאחר ישיבת המועצה האזורית.", "דובר האיגוד דניאל אמר כי 4,200 עובדים לא ידעו דבר לפני ההודעה וכי הם דורשים תוכנית מסודרת ומהירה.", "המועצה תתכנס שוב בעוד שבועיים כדי להצביע על התקציב ולשמוע את המהנדסים שבדקו את הקיר בחורף."}, {"דניאל", "שלמה"}},
	}
	for name, c := range texts {
		t.Run(name, func(t *testing.T) {
			paras := slices.Concat(c[0], c[0][:1])
			paras = paras[:3]
			mk := func(ps []string) *content.Page {
				return page("", ps, func(p *content.Page) { p.Title, p.FullTitle, p.Lang = ps[0][:len(ps[0])/2], "", name })
			}
			if v := pair(t, mk(paras), mk(paras)); v.State != survey.Up {
				t.Fatalf("equal: %s/%s %v", v.Verdict, v.PageClass, v.Reasons)
			}
			other := strings.Split(strings.Replace(strings.Join(paras, "\n"), c[1][0], c[1][1], 1), "\n")
			if v := pair(t, mk(paras), mk(other)); v.Verdict != survey.Altered {
				t.Errorf("changed: %s %v", v.Verdict, v.Reasons)
			}
		})
	}
}

func TestVoidVantage(t *testing.T) {
	j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), view("www.presstv.co.uk", survey.Alternate, nil, func(v *View) {
		v.Observation.Vantage = "tor"
		v.Observation.Status, v.Observation.Stage, v.Observation.Outcome = nil, survey.StageConnect, survey.Timeout
	})}, VoidVantages: map[string]string{"tor": "all its canaries failed"}})
	if v := j.Verdicts[1]; v.State != survey.Unknown || v.Reasons[0] != survey.ReasonVoid {
		t.Errorf("%+v", v)
	}
}
