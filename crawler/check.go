package crawler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// maxVersions is how many older versions of an article a check holds pages against.
const maxVersions = 5

// CheckRecord is the body of a check's note: what was seen and judged, and every input of the judgement by name, so that
// it can be judged again offline.
type CheckRecord struct {
	Schema       survey.NoteKind `json:"schema"`
	Run          survey.RunID    `json:"run"`
	At           time.Time       `json:"at"`
	RulesVersion string          `json:"rules_version"`
	Site         survey.Site     `json:"site"`
	Check        survey.Check    `json:"check"`
	Inputs       Inputs          `json:"inputs"`
}

// Inputs name what a judgement rested on besides the observations (whose captures and decoys name their own records).
type Inputs struct {
	Pages    []PageInput    `json:"pages"`
	Versions []VersionInput `json:"versions"`
	Void     []string       `json:"void_vantages"`
	// VoidReasons say why, by vantage.
	VoidReasons map[string]string `json:"void_reasons,omitempty"`
	// Failures are earlier failures that the conclusions rest on.
	Failures []FailureInput `json:"failures,omitempty"`
}

// FailureInput are the times of a mirror's earlier failures at the same stage, as history knew them.
type FailureInput struct {
	Mirror  survey.Host `json:"mirror"`
	Vantage string      `json:"vantage"`
	Times   []time.Time `json:"times"`
}

// PageInput is the page response of one mirror and vantage, and that of its second look, if there was one.
type PageInput struct {
	Mirror   survey.Host      `json:"mirror"`
	Vantage  string           `json:"vantage"`
	RecordID survey.RecordID  `json:"record_id"`
	Second   *survey.RecordID `json:"second"`
	// Read says that the response was read as a page; others were judged without.
	Read       bool `json:"read"`
	Unverified bool `json:"unverified,omitempty"`
}

// VersionInput is an archived version that pages were held against.
type VersionInput struct {
	Mirror     survey.Host     `json:"mirror"`
	Snapshot   string          `json:"snapshot"`
	RecordID   survey.RecordID `json:"record_id"`
	Admissible bool            `json:"admissible"`
	At         time.Time       `json:"at"`
	Capture    survey.Capture  `json:"capture"`
}

// seat is one mirror seen from one vantage in a check.
type seat struct {
	mirror   survey.Mirror
	visitor  *visitor
	void     bool
	visit    *visit
	decoys   []compare.DecoyView
	snapshot *survey.Snapshot
	second   *visit

	requisites []seenRequisite
	links      *survey.LinkCount
	hygiene    []survey.Hygiene
}

// check visits the article on every mirror from every vantage and judges what was seen.
func (r *run) check(ctx context.Context, sp SitePlan, a survey.Article) (Done, error) {
	seats := r.seats(sp)
	done := Done{At: r.now().UTC()}
	if err := each(seats, func(s *seat) error { return r.look(ctx, sp, a, s) }); err != nil {
		return done, err
	}
	versions, inputs, err := r.versions(ctx, sp, a)
	if err != nil {
		return done, err
	}
	c := compare.Case{Site: sp.Site, Article: a, Archived: versions, Rules: r.Rules, VoidVantages: r.voidReasons(),
		Earlier: r.earlier(ctx, a, &inputs)}
	c.Views = views(seats)
	j := judge(c)
	if again := suspicious(seats, j); len(again) > 0 {
		if err := each(again, func(s *seat) error { return r.lookAgain(ctx, a, s) }); err != nil {
			return done, err
		}
		c.Views = views(seats)
		j = judge(c)
	}
	if j, err = r.lookUpward(ctx, sp, seats, c, j); err != nil {
		return done, err
	}

	if done.Links, err = r.checkLinks(ctx, sp, a, seats, j); err != nil {
		return done, err
	}

	done.Check = survey.Check{Site: sp.Site.Name, URL: a.URL, Reference: j.Reference, Mirrors: []survey.Finding{}, Conclusions: j.Conclusions}
	for i, s := range seats {
		f := survey.Finding{Observation: s.visit.observation, Verdict: j.Verdicts[i], Links: s.links, Hygiene: s.hygiene}
		for _, d := range s.decoys {
			f.Decoys = append(f.Decoys, d.Decoy)
		}
		if s.visit.page != nil && s.visit.page.Words > 0 {
			f.Text = &survey.Text{Words: s.visit.page.Words, SHA256: s.visit.page.TextDigest(sp.Site.Hosts()).Hex()}
		}
		since, ok, err := r.Memory.Since(ctx, a, s.mirror.Host, f.Vantage, f.State)
		if err != nil {
			return done, err
		}
		if !ok {
			since = f.ObservedAt
		}
		f.Since = &since
		done.Check.Mirrors = append(done.Check.Mirrors, f)
		if s.snapshot != nil {
			done.Snapshots = append(done.Snapshots, *s.snapshot)
		}
		in := PageInput{Mirror: s.mirror.Host, Vantage: f.Vantage, Read: s.visit.page != nil, Unverified: s.visit.insecure}
		if s.visit.chain != nil && s.visit.chain.last() != nil {
			in.RecordID = s.visit.chain.last().capture.RecordID
		}
		if s.second != nil && s.second.chain != nil && s.second.chain.last() != nil {
			in.Second = survey.Ptr(s.second.chain.last().capture.RecordID)
		}
		inputs.Pages = append(inputs.Pages, in)
	}
	if err := r.lags(ctx, sp, a, done.Check.Mirrors); err != nil {
		return done, err
	}
	done.Check.Title = title(seats, j)
	done.Check = done.Check.WithLists()
	done.Candidates = candidates(sp.Site, a, seats)
	if r.ConfirmCandidates {
		if err := r.confirm(ctx, sp, a, seats, c, j, done.Candidates); err != nil {
			return done, err
		}
	}

	record := CheckRecord{Schema: survey.NoteCheck, Run: r.Config.Run.ID, At: done.At, RulesVersion: r.Rules.Version(), Site: sp.Site, Check: done.Check, Inputs: inputs}
	body, err := json.Marshal(record)
	if err != nil {
		return done, fmt.Errorf("recording the check of %q: %w", a.URL, err)
	}
	if _, err := r.Sink.Note(ctx, survey.Note{Kind: survey.NoteCheck, URI: "urn:mirrorwatch:check:" + string(r.Config.Run.ID) + ":" + newID(), Date: done.At, Body: body}); err != nil {
		return done, err
	}
	return done, r.Sink.Commit(ctx)
}

// seats lists who is seen from where: the primary first, vantage by vantage within a mirror.
func (r *run) seats(sp SitePlan) []*seat {
	var seats []*seat
	for _, m := range sp.Site.Mirrors {
		for _, v := range sp.Vantages {
			seats = append(seats, &seat{mirror: m, visitor: r.visitor(sp, v), void: r.isVoid(v.Name)})
		}
	}
	return seats
}

// look visits one seat: the article, the other address family, the decoys, the requisites.
func (r *run) look(ctx context.Context, sp SitePlan, a survey.Article, s *seat) error {
	v := s.visitor
	address, err := mapURL(a.URL, s.mirror, sp.Paths)
	if err != nil {
		return fmt.Errorf("mapping %q to %s: %w", a.URL, s.mirror.Host, err)
	}
	if s.void {
		s.visit = voidVisit(s.mirror, v, address)
		return nil
	}
	if s.visit, err = v.visit(ctx, s.mirror, a.URL, address); err != nil {
		return err
	}
	if s.visit, err = v.remap(ctx, s.mirror, a.URL, s.visit); err != nil {
		return err
	}
	o := &s.visit.observation
	address = o.URL
	r.progress(Event{Kind: "visited", URL: address, Mirror: s.mirror.Host, Vantage: v.vantage.Name, Detail: s.visit.describe()})
	if s.visit.chain == nil || s.visit.chain.interrupt || v.isStopped() {
		return nil
	}
	if o.Status == nil {
		return nil
	}
	if !s.visit.insecure {
		note, err := r.robots.note(ctx, v, address)
		if err != nil {
			return err
		}
		if note != "" {
			o.Notes = append(o.Notes, note)
		}
		if err := v.otherFamily(ctx, s.visit, a.URL); err != nil {
			return err
		}
		if s.decoys, err = r.decoys.views(ctx, v, s.mirror, a.URL, address); err != nil {
			return err
		}
	}
	return r.keep(ctx, a, s)
}

// keep makes the seat's snapshot.
func (r *run) keep(ctx context.Context, a survey.Article, s *seat) error {
	last := s.visit.chain.last()
	if last == nil || last.capture.RecordID == "" || last.exchange.Status == 0 {
		return nil
	}
	snap, requisites, err := r.requisites.snapshot(ctx, s.visitor, r.Config.Run.ID, a, s.visit, r.Memory)
	if err != nil {
		return err
	}
	s.requisites = requisites
	body, err := json.Marshal(snap)
	if err != nil {
		return err
	}
	note := survey.Note{Kind: survey.NoteSnapshot, URI: snap.URL, Date: snap.Time, About: snap.ID, Body: body}
	if _, err := r.Sink.Note(ctx, note); err != nil {
		return err
	}
	s.snapshot = &snap
	s.visit.observation.Snapshot = survey.Ptr(snap.Name())
	return nil
}

// lookAgain fetches the page once more: sentences that differ between two fetches of one address are volatile and no
// alteration.
func (r *run) lookAgain(ctx context.Context, a survey.Article, s *seat) error {
	second, err := s.visitor.visit(ctx, s.mirror, a.URL, s.visit.observation.URL)
	if err != nil {
		return err
	}
	if second.page != nil && second.observation.Outcome == survey.OK {
		s.second = second
		s.visit.observation.Captures = append(s.visit.observation.Captures, second.observation.Captures...)
	}
	return nil
}

// suspicious picks the seats worth a second fetch: those that seem altered or cut, and the reference they were held
// against.
func suspicious(seats []*seat, j compare.Judgement) []*seat {
	var again []*seat
	for i, s := range seats {
		switch j.Verdicts[i].Verdict {
		case survey.Altered, survey.Truncated:
			if s.visit.page != nil && !s.visitor.isStopped() {
				again = append(again, s)
			}
		}
	}
	if len(again) == 0 || j.Reference == nil {
		return again
	}
	for i, s := range seats {
		o := &s.visit.observation
		if j.Verdicts[i].Verdict != survey.Altered && o.Mirror == j.Reference.Mirror && o.Snapshot != nil && *o.Snapshot == j.Reference.Snapshot {
			return append(again, s)
		}
	}
	return again
}

func views(seats []*seat) []compare.View {
	out := make([]compare.View, len(seats))
	for i, s := range seats {
		out[i] = compare.View{Observation: &s.visit.observation, Page: s.visit.page, Decoys: s.decoys, Body: s.visit.body()}
		if s.second != nil {
			out[i].Second = s.second.page
		}
	}
	return out
}

// judge is compare.Judge behind a recover: a page that breaks the judgement costs this check its verdicts, not the run.
func judge(c compare.Case) (j compare.Judgement) {
	defer func() {
		if p := recover(); p != nil {
			j = compare.Judgement{Verdicts: make([]survey.Verdict, len(c.Views))}
			for i := range j.Verdicts {
				j.Verdicts[i] = survey.Verdict{State: survey.Unknown, Verdict: survey.Undetermined, PageClass: survey.ClassUnknown,
					Confidence: survey.Low, Reasons: []string{"judging this page failed: " + fmt.Sprint(p)}}
			}
		}
	}()
	return compare.Judge(c)
}

// versions loads the archived versions of the article.
func (r *run) versions(ctx context.Context, sp SitePlan, a survey.Article) ([]compare.Version, Inputs, error) {
	in := Inputs{Pages: []PageInput{}, Versions: []VersionInput{}, Void: r.voidNames(), VoidReasons: r.voidReasons()}
	found, err := r.Memory.Versions(ctx, a, maxVersions)
	if err != nil {
		return nil, in, err
	}
	var out []compare.Version
	for _, f := range found {
		typ, body, err := r.Memory.Body(ctx, f.Snapshot.Page)
		if err != nil {
			r.Log.Warn("an archived version cannot be read and is left out", "snapshot", f.Snapshot.Name(), "error", err)
			continue
		}
		page := readStored(body, content.Options{URL: f.Snapshot.Page.URL, ContentType: typ, Hosts: sp.Site.Hosts()})
		if page == nil {
			continue
		}
		out = append(out, compare.Version{Mirror: f.Snapshot.Mirror, Snapshot: f.Snapshot.Name(), At: f.Snapshot.Time, Page: page,
			Payload: f.Snapshot.Page.Payload, Admissible: f.Admissible})
		in.Versions = append(in.Versions, VersionInput{Mirror: f.Snapshot.Mirror, Snapshot: f.Snapshot.Name(), RecordID: f.Snapshot.ID, Admissible: f.Admissible,
			At: f.Snapshot.Time, Capture: f.Snapshot.Page})
	}
	return out, in, nil
}

// readStored reads an archived page; nil when reading it panics.
func readStored(body []byte, opt content.Options) (p *content.Page) {
	defer func() {
		if recover() != nil {
			p = nil
		}
	}()
	return content.Read(body, opt)
}

// earlier asks memory for failures, and notes the answers among the inputs.
func (r *run) earlier(ctx context.Context, a survey.Article, in *Inputs) func(survey.Host, string) []time.Time {
	return func(m survey.Host, vantage string) []time.Time {
		if i := slices.IndexFunc(in.Failures, func(f FailureInput) bool { return f.Mirror == m && f.Vantage == vantage }); i >= 0 {
			return in.Failures[i].Times
		}
		times, err := r.Memory.Failures(ctx, a, m, vantage)
		if err != nil {
			r.Log.Warn("earlier failures cannot be read", "mirror", m, "error", err)
		}
		if len(times) > 0 {
			in.Failures = append(in.Failures, FailureInput{Mirror: m, Vantage: vantage, Times: times})
		}
		return times
	}
}

// title is the reference's title, else the first page's that has one.
func title(seats []*seat, j compare.Judgement) string {
	first := ""
	for _, s := range seats {
		o := &s.visit.observation
		if j.Reference != nil && o.Mirror == j.Reference.Mirror && o.Title != "" {
			return o.Title
		}
		if first == "" && s.visit.page != nil && !s.visit.insecure {
			first = o.Title
		}
	}
	return first
}

// candidates lists the hosts that pages which really are the article announce and that are not in the site's mirror set.
func candidates(site survey.Site, a survey.Article, seats []*seat) []survey.CandidateMirror {
	known := map[survey.Host]bool{}
	for _, h := range site.Hosts() {
		known[h] = true
	}
	var out []survey.CandidateMirror
	for _, s := range seats {
		if s.visit.page == nil || s.visit.insecure {
			continue
		}
		for _, an := range s.visit.page.Announced {
			h := survey.Host(an.Host)
			if known[h] {
				continue
			}
			known[h] = true
			out = append(out, survey.CandidateMirror{Host: string(h), Site: site.Name, Article: a.URL, Rule: an.Rule, Evidence: an.Evidence})
		}
	}
	return out
}

// voidVisit is the observation of a mirror that was not visited since its vantage is void.
func voidVisit(m survey.Mirror, v *visitor, address string) *visit {
	out := &visit{mirror: m}
	out.observation = survey.Observation{Mirror: m.Host, Role: m.Role, Vantage: v.vantage.Name, ObservedAt: v.now().UTC(), URL: address,
		FinalURL: address, Stage: survey.StageConnect, Outcome: survey.OwnNetwork, Notes: []string{"not visited: no canary answered from this vantage"}}
	return out
}

// each runs f for every seat side by side and returns the first error once all have ended.
func each(seats []*seat, f func(*seat) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(seats))
	for i, s := range seats {
		wg.Go(func() { errs[i] = f(s) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
