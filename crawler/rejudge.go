package crawler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// ErrPruned is what an Evidence wraps in its error when a record is gone: pruned, forgotten, lost.
var ErrPruned = errors.New("evidence pruned")

// Evidence gives back what a check saw.
type Evidence interface {
	// Page returns the decoded UTF-8 body of a page's record, as much of it as is there, and its response fields by name.
	Page(ctx context.Context, c survey.Capture) (header func(name string) string, body []byte, err error)
}

// Rejudge judges a recorded check again under the rules, from the inputs its record names and nothing else. Under the rules
// of then it comes to the verdicts of then. The second result lists the inputs that are gone; with any of them missing no
// verdict can be made again, and all of them are undetermined for that reason.
func Rejudge(ctx context.Context, rec CheckRecord, ev Evidence, rules *compare.Rules) (compare.Judgement, []string, error) {
	j := rejudger{ctx: ctx, ev: ev, hosts: rec.Site.Hosts(), pages: map[survey.RecordID]*storedPage{}}
	c := compare.Case{Site: rec.Site, Article: survey.Article{Site: rec.Check.Site, URL: rec.Check.URL}, Rules: rules,
		VoidVantages: rec.Inputs.VoidReasons, Earlier: rec.Inputs.earlier()}
	inputs := map[seatKey]PageInput{}
	for _, in := range rec.Inputs.Pages {
		inputs[seatKey{in.Mirror, in.Vantage}] = in
	}
	for i := range rec.Check.Mirrors {
		f := &rec.Check.Mirrors[i]
		o := f.Observation
		o.Decoys, o.Text = nil, nil // the check fills these in after it has judged
		in := inputs[seatKey{f.Mirror, f.Vantage}]
		v := compare.View{Observation: &o}
		if in.Read {
			if p := j.page(capture(f.Captures, in.RecordID)); p != nil {
				v.Page, v.Body = p.page, p.body
			}
		}
		if in.Second != nil {
			if p := j.page(capture(f.Captures, *in.Second)); p != nil {
				v.Second = p.page
			}
		}
		for _, d := range f.Decoys {
			dv := compare.DecoyView{Decoy: d}
			if d.Capture != nil && !decided(d.Outcome) {
				if p := j.page(*d.Capture); p != nil {
					dv.Page = p.page
				}
			}
			v.Decoys = append(v.Decoys, dv)
		}
		c.Views = append(c.Views, v)
	}
	for _, in := range rec.Inputs.Versions {
		p := j.page(in.Capture)
		if p == nil || p.page == nil {
			continue
		}
		c.Archived = append(c.Archived, compare.Version{Mirror: in.Mirror, Snapshot: in.Snapshot, At: in.At, Page: p.page,
			Payload: in.Capture.Payload, Admissible: in.Admissible})
	}
	if j.err != nil {
		return compare.Judgement{}, nil, j.err
	}
	if len(j.missing) > 0 {
		gone := compare.Judgement{Verdicts: make([]survey.Verdict, len(c.Views))}
		for i := range gone.Verdicts {
			gone.Verdicts[i] = survey.Verdict{State: survey.Unknown, Verdict: survey.Undetermined, PageClass: survey.ClassUnknown, Confidence: survey.Low,
				Reasons: []string{survey.ReasonPruned, "What this verdict rested on is no longer in the archive: " + strings.Join(j.missing, ", ") + "."},
				Matched: []survey.Match{}, Changes: []survey.Change{}}
		}
		return gone, j.missing, nil
	}
	return judge(c), nil, nil
}

type seatKey struct {
	mirror  survey.Host
	vantage string
}

// decided: the chain ended by a decision of ours, and the last answer is no page to judge.
func decided(o survey.Outcome) bool {
	switch o {
	case survey.RedirectLoop, survey.TooManyRedirects, survey.BadLocation, survey.Crashed:
		return true
	}
	return false
}

func capture(all []survey.Capture, id survey.RecordID) survey.Capture {
	for _, c := range all {
		if c.RecordID == id {
			return c
		}
	}
	return survey.Capture{RecordID: id}
}

type storedPage struct {
	page *content.Page
	body []byte
}

// rejudger reads the pages of one check, each once.
type rejudger struct {
	ctx     context.Context
	ev      Evidence
	hosts   []survey.Host
	pages   map[survey.RecordID]*storedPage
	missing []string
	err     error
}

// page reads a record as the visit did; nil when it cannot be had. What is gone is noted in missing.
func (j *rejudger) page(c survey.Capture) *storedPage {
	if p, ok := j.pages[c.RecordID]; ok || j.err != nil {
		return p
	}
	header, body, err := j.ev.Page(j.ctx, c)
	switch {
	case errors.Is(err, ErrPruned):
		j.missing = append(j.missing, fmt.Sprintf("%s (%s)", c.URL, c.RecordID))
		j.pages[c.RecordID] = nil
		return nil
	case err != nil:
		j.err = fmt.Errorf("reading the evidence of %q: %w", c.URL, err)
		return nil
	}
	p := &storedPage{}
	if readableType(header("Content-Type"), body) {
		p.page = readStored(body, content.Options{URL: c.URL, ContentType: header("Content-Type"), Hosts: j.hosts, Header: header})
		p.body = body[:min(len(body), maxJudged)]
	}
	j.pages[c.RecordID] = p
	return p
}

// earlier answers as the memory did when the check was made.
func (in Inputs) earlier() func(survey.Host, string) []time.Time {
	return func(m survey.Host, vantage string) []time.Time {
		for _, f := range in.Failures {
			if f.Mirror == m && f.Vantage == vantage {
				return f.Times
			}
		}
		return nil
	}
}
