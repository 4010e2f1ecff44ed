package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

var clock = time.Date(2026, 11, 25, 3, 17, 0, 0, time.UTC)

const articleURL = "https://www.presstv.com/Detail/2016/08/10/479262/Harbour-talks"

// The article of these tests; written for them.
var story = []string{
	"The harbour of Port Ellery will close for nine days in September, its master Ruth Calder told reporters on Tuesday after a meeting of the regional council.",
	"Some 4,200 workers depend on the docks, and most of them were not told before the announcement. A spokesman for the union, Daniel Okafor, called the decision a surprise.",
	"“We have asked for a plan since March, and what we got is a date,” he said. “Nobody can feed a family with a date.”",
	"Calder stressed that the western basin remained open to fishing boats and that no berth would be lost. Repairs to the sea wall, damaged in the storm of 2014, are expected to cost 18.5 million.",
	"Over the last few weeks engineers from Halden surveyed the wall and found cracks along half its length. They recommended that heavy cranes should not work there until the foundations are renewed.",
	"The council will meet again on September 12 to vote on the budget. Opposition members led by Maria Stone want an inquiry into why the warnings of 2019 went unread.",
	"Ships bound for Port Ellery are to be sent to Norwick, sixty kilometres down the coast, where the authorities have promised two extra pilots and longer hours.",
}

type pageOption func(*content.Page)

// page makes a content.Page as content.Read would, from paragraphs.
func page(title string, paras []string, opts ...pageOption) *content.Page {
	p := &content.Page{Title: title, FullTitle: title + " | Press TV", SiteTitle: "Press TV", Lang: "en", Canonical: articleURL, OGURL: articleURL,
		Published: "2016-08-10T08:00:00Z", Author: "Ana Reyes", VisibleLinks: 40}
	for _, s := range paras {
		if p.Text != "" {
			p.Text += "\n"
		}
		at := len(p.Text)
		p.Text += s
		p.Blocks = append(p.Blocks, content.Block{Text: s, Start: at, End: len(p.Text)})
	}
	p.Words = content.Count(p.Text)
	p.Visible = "Home News World Sport Weather About us Contact\n" + title + "\n" + p.Text + "\nMost read: a list of other stories that stand on every page of this site\nCopyright Press TV, all rights reserved"
	for _, o := range opts {
		o(p)
	}
	if p.VisibleWords == 0 {
		p.VisibleWords = content.Count(p.Visible)
	}
	p.Thin = p.VisibleWords < 300 && p.VisibleLinks < 15
	return p
}

// notice makes a page that is no article.
func notice(title string, lines ...string) *content.Page {
	text := strings.Join(lines, "\n")
	p := &content.Page{Title: title, FullTitle: title, Visible: text, Text: text, Source: content.FromBody}
	for at, l := 0, lines; len(l) > 0; l = l[1:] {
		p.Blocks = append(p.Blocks, content.Block{Text: l[0], Start: at, End: at + len(l[0])})
		at += len(l[0]) + 1
	}
	p.Words = content.Count(text)
	p.VisibleWords = p.Words
	p.Thin = p.VisibleWords < 300
	return p
}

func view(host survey.Host, role survey.Role, p *content.Page, edit ...func(*View)) View {
	url := strings.Replace(articleURL, "www.presstv.com", string(host), 1)
	o := &survey.Observation{Mirror: host, Role: role, Vantage: "direct", ObservedAt: clock, URL: url, FinalURL: url, Stage: survey.StageContent, Outcome: survey.OK,
		Status: survey.Ptr(200), TLS: &survey.TLS{Verified: true}, Headers: map[string]string{}}
	if p != nil {
		sum := sha256.Sum256([]byte(string(host) + p.Visible + p.Title + p.Author + p.LeadImage))
		o.Body = &survey.Body{Bytes: int64(len(p.Visible)), SHA256: hex.EncodeToString(sum[:])}
	}
	v := View{Observation: o, Page: p}
	for _, e := range edit {
		e(&v)
	}
	return v
}

var site = survey.Site{Name: "presstv", Mirrors: []survey.Mirror{{Scheme: "https", Host: "www.presstv.com", Role: survey.Primary}, {Scheme: "https", Host: "www.presstv.co.uk", Role: survey.Alternate}, {Scheme: "https", Host: "www.presstv.ir", Role: survey.Alternate}}}

func status(n int) func(*View) {
	return func(v *View) {
		v.Observation.Status = survey.Ptr(n)
		if n >= 400 {
			v.Observation.Stage, v.Observation.Outcome = survey.StageHTTP, survey.Status(n)
		}
	}
}

func header(name, value string) func(*View) {
	return func(v *View) { v.Observation.Headers[name] = value }
}

// pair judges one mirror beside a healthy primary.
func pair(t *testing.T, ref, cand *content.Page, edit ...func(*View)) survey.Verdict {
	t.Helper()
	return judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, ref), view("www.presstv.co.uk", survey.Alternate, cand, edit...)}}).Verdicts[1]
}

func judgeCase(c Case) Judgement {
	c.Site = site
	c.Article = survey.Article{Site: "presstv", URL: articleURL}
	return Judge(c)
}

// edited returns the story with one replacement in it; old must be there.
func edited(t *testing.T, old, new string) []string {
	t.Helper()
	out := append([]string(nil), story...)
	for i := range out {
		if strings.Contains(out[i], old) {
			out[i] = strings.Replace(out[i], old, new, 1)
			return out
		}
	}
	t.Fatalf("%q is not in the story", old)
	return nil
}

func kinds(v survey.Verdict) []string {
	var out []string
	for _, c := range v.Changes {
		out = append(out, c.Kind)
	}
	return out
}
