package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/crawler/incident"
	"mirrorwatch/crawler/survey"
)

// reckoned is what a run's incidents were reckoned from besides the run's own checks and the tracks of the runs before: it
// stands in the archive, so that `repair --rebuild-history` comes to the same incidents without the old history and
// whatever the sites file says by then.
type reckoned struct {
	At        time.Time     `json:"at"`
	DownAfter int           `json:"down_after,omitempty"` // as incident.Rules; spans in nanoseconds
	DownFor   time.Duration `json:"down_for_ns,omitempty"`
	UpAfter   int           `json:"up_after,omitempty"`
	Remind    time.Duration `json:"remind_ns,omitempty"`
	// Listed are the sites of the run that the sites file named.
	Listed []string `json:"listed,omitempty"`
	// Maintenance are the findings within a window.
	Maintenance []reckonedKey `json:"maintenance,omitempty"`
	// Targets is what the sites file named, null when nothing was to be removed for its sake.
	Targets []reckonedKey `json:"targets"`
	Covers  []string      `json:"covers,omitempty"`
	All     bool          `json:"all,omitempty"`
	// LastGood are the answers that history gave, which pruning would change.
	LastGood []reckonedKey `json:"last_good,omitempty"`
}

type reckonedKey struct {
	Site     string      `json:"site"`
	Mirror   survey.Host `json:"mirror"`
	Article  string      `json:"article,omitempty"`
	Vantage  string      `json:"vantage,omitempty"`
	Snapshot string      `json:"snapshot,omitempty"`
}

func (k reckonedKey) key() incident.Key {
	return incident.Key{Site: k.Site, Mirror: k.Mirror, Article: k.Article}
}

// newReckoned writes down what a live run reckons with.
func newReckoned(doc *survey.Report, at time.Time, rules incident.Rules, sc scope, maintenance func(survey.Finding) bool) *reckoned {
	r := &reckoned{At: at, DownAfter: rules.DownAfter, DownFor: rules.DownFor, UpAfter: rules.UpAfter, Remind: rules.Remind, All: sc.all}
	for _, c := range doc.Articles {
		if sc.listed != nil && sc.listed(c.Site) && !slices.Contains(r.Listed, c.Site) {
			r.Listed = append(r.Listed, c.Site)
		}
		for _, f := range c.Mirrors {
			if maintenance(f) {
				r.Maintenance = append(r.Maintenance, reckonedKey{Site: c.Site, Mirror: f.Mirror, Article: c.URL, Vantage: f.Vantage})
			}
		}
	}
	if sc.targets != nil {
		r.Targets = []reckonedKey{}
		for k, is := range sc.targets {
			if is {
				r.Targets = append(r.Targets, reckonedKey{Site: k.Site, Mirror: k.Mirror, Article: k.Article})
			}
		}
		slices.SortFunc(r.Targets, func(x, y reckonedKey) int { return cmp.Compare(x.key().String(), y.key().String()) })
	}
	for s, is := range sc.covers {
		if is {
			r.Covers = append(r.Covers, s)
		}
	}
	slices.Sort(r.Covers)
	return r
}

// reckon carries the tracks of history over the run: what it comes to is not saved yet. A nil lastGood takes the answers
// that r remembers; answers of another one are remembered.
func (r *reckoned) reckon(ctx context.Context, h *history.DB, doc *survey.Report, lastGood func(incident.Key) string) (incident.Result, history.Evaluation, error) {
	rows, err := h.Tracks(ctx)
	if err != nil {
		return incident.Result{}, history.Evaluation{}, err
	}
	tracks := make(map[incident.Key]incident.Track, len(rows))
	for _, row := range rows {
		var t incident.Track
		if err := json.Unmarshal(row.Doc, &t); err != nil {
			return incident.Result{}, history.Evaluation{}, fmt.Errorf("reading track %q: %w", row.ID, err)
		}
		tracks[t.Key()] = t
	}
	in := incident.Input{Run: doc.Run.ID, At: r.At, Void: doc.Run.Void, VoidVantages: doc.Run.VoidVantages, All: r.All, Covers: map[string]bool{},
		Sightings: incident.Sightings(*doc, func(site string) bool { return slices.Contains(r.Listed, site) }, nil)}
	for _, s := range r.Covers {
		in.Covers[s] = true
	}
	if r.Targets != nil {
		in.Targets = make(map[incident.Key]bool, len(r.Targets))
		for _, k := range r.Targets {
			in.Targets[k.key()] = true
		}
	}
	if len(r.Maintenance) > 0 {
		for i := range in.Sightings {
			s := &in.Sightings[i]
			s.Maintenance = slices.Contains(r.Maintenance, reckonedKey{Site: s.Site, Mirror: s.Mirror, Article: s.Article, Vantage: s.Evidence.Vantage})
		}
	}
	in.LastGood = func(k incident.Key) string {
		if lastGood == nil {
			for _, g := range r.LastGood {
				if g.key() == k {
					return g.Snapshot
				}
			}
			return ""
		}
		name := lastGood(k)
		r.LastGood = append(r.LastGood, reckonedKey{Site: k.Site, Mirror: k.Mirror, Article: k.Article, Snapshot: name})
		return name
	}
	res := incident.Evaluate(tracks, in, incident.Rules{DownAfter: r.DownAfter, DownFor: r.DownFor, UpAfter: r.UpAfter, Remind: r.Remind})
	e := history.Evaluation{Run: doc.Run.ID, At: r.At, Dropped: res.Dropped}
	for _, t := range res.Tracks {
		text, err := json.Marshal(t)
		if err != nil {
			return res, e, err
		}
		e.Tracks = append(e.Tracks, history.Track{ID: t.Key().String(), Doc: text})
	}
	for _, k := range res.Gone {
		e.Gone = append(e.Gone, k.String())
	}
	for _, i := range res.Incidents {
		row := i.Row()
		if row.Doc, err = json.Marshal(i); err != nil {
			return res, e, err
		}
		e.Incidents = append(e.Incidents, row)
	}
	return res, e, nil
}
