package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/incident"
	"mirrorwatch/crawler/survey"
)

// historyNote is the body of an archive.NoteHistory record: what history is told besides the notes of runs, checks and
// snapshots. It is durable before the row, so that history can be built again in the same order with the same content.
type historyNote struct {
	Schema      survey.NoteKind          `json:"schema"`
	Event       string                   `json:"event"` // begin, check, crawl, sync, finish
	Run         survey.RunID             `json:"run"`
	Begun       *survey.Run              `json:"begun,omitempty"`
	Site        string                   `json:"site,omitempty"`
	Article     string                   `json:"article,omitempty"`
	At          time.Time                `json:"at,omitzero"`
	Links       []survey.Link            `json:"links,omitempty"`
	Candidates  []survey.CandidateMirror `json:"candidates,omitempty"`
	Maintenance map[survey.Host]bool     `json:"maintenance,omitempty"`
	Crawls      []survey.Crawl           `json:"crawls,omitempty"`
	Sync        []survey.Sync            `json:"sync,omitempty"`
	Summary     *survey.Summary          `json:"summary,omitempty"`
	Reckoned    *reckoned                `json:"reckoned,omitempty"`
}

// tell makes a history note durable.
func (d *data) tell(ctx context.Context, n historyNote, at time.Time) error {
	n.Schema = archive.NoteHistory
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if _, err := d.archive.Note(ctx, survey.Note{Kind: archive.NoteHistory, URI: "urn:mirrorwatch:history:" + string(n.Run), Date: at.UTC(), Body: body}); err != nil {
		return err
	}
	return d.archive.Commit(ctx)
}

// beginRun, saveCheck, saveCrawl and finishRun write to history what the archive holds already.
func (d *data) beginRun(ctx context.Context, run survey.Run) error {
	if err := d.tell(ctx, historyNote{Event: "begin", Run: run.ID, Begun: &run}, run.Started); err != nil {
		return err
	}
	return d.history.BeginRun(ctx, run)
}

func (d *data) saveCheck(ctx context.Context, c history.SavedCheck) error {
	n := historyNote{Event: "check", Run: c.Run, Site: c.Check.Site, Article: c.Check.URL, At: c.At, Links: c.Links, Candidates: c.Candidates, Maintenance: c.Maintenance}
	if err := d.tell(ctx, n, c.At); err != nil {
		return err
	}
	return d.history.SaveCheck(ctx, c)
}

// maxToldLinks is how many links of a crawl one note holds: a note is read whole.
const maxToldLinks = 1000

func (d *data) saveCrawl(ctx context.Context, c history.SavedCrawl) error {
	for {
		part := c
		part.Links = c.Links[:min(len(c.Links), maxToldLinks)]
		if c.Links = c.Links[len(part.Links):]; len(c.Links) > 0 {
			part.Crawls = nil // with the last part: they say that all is there
		}
		n := historyNote{Event: "crawl", Run: c.Run, Site: c.Site, At: c.At, Links: part.Links, Crawls: part.Crawls}
		if err := d.tell(ctx, n, c.At); err != nil {
			return err
		}
		if err := d.history.SaveCrawl(ctx, part); err != nil || len(c.Links) == 0 {
			return err
		}
	}
}

func (d *data) finishRun(ctx context.Context, doc survey.Report) error {
	run, summary := doc.Run, doc.Summary
	if len(doc.Sync) > 0 {
		if err := d.tell(ctx, historyNote{Event: "sync", Run: run.ID, At: run.Finished, Sync: doc.Sync}, run.Finished); err != nil {
			return err
		}
		if err := d.history.SaveSync(ctx, run.ID, run.Finished, doc.Sync); err != nil {
			return err
		}
	}
	if err := d.tell(ctx, historyNote{Event: "finish", Run: run.ID, Summary: &summary}, run.Finished); err != nil {
		return err
	}
	return d.history.FinishRun(ctx, run, summary)
}

// noteRef is a note of the archive, by its place.
type noteRef struct {
	kind    survey.NoteKind
	run     survey.RunID
	article string // site, blank, address
	event   string // of a history note
	capture survey.Capture
}

// recorded lists the notes of runs and checks, in the order they were written, and the snapshots of each check. only, when
// set, chooses runs.
func recorded(ctx context.Context, a *archive.Archive, only func(survey.RunID) bool) (notes []noteRef, snaps map[survey.RunID]map[string][]noteRef, err error) {
	for _, kind := range []survey.NoteKind{survey.NoteRun, survey.NoteCheck, archive.NoteHistory, archive.NoteRejudge} {
		err := a.Notes(ctx, kind, func(n survey.Note, c survey.Capture) error {
			var head struct {
				ID    survey.RunID    `json:"id"`
				Run   json.RawMessage `json:"run"`
				Event string          `json:"event"`
				Check struct {
					Site string `json:"site"`
					URL  string `json:"url"`
				} `json:"check"`
			}
			if err := json.Unmarshal(n.Body, &head); err != nil {
				return fmt.Errorf("reading the note at %d of %q: %w", c.Offset, c.File, err)
			}
			r := noteRef{kind: kind, run: head.ID, event: head.Event, capture: c}
			if kind != survey.NoteRun {
				if err := json.Unmarshal(head.Run, &r.run); err != nil {
					return fmt.Errorf("reading the note at %d of %q: %w", c.Offset, c.File, err)
				}
			}
			if kind == survey.NoteCheck {
				r.article = head.Check.Site + " " + head.Check.URL
			}
			if !c.Imported && (only == nil || only(r.run)) {
				notes = append(notes, r)
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	began := map[survey.RunID]time.Time{} // names of runs sort by the second only
	for _, n := range notes {
		if t, ok := began[n.run]; !ok || n.capture.Date.Before(t) {
			began[n.run] = n.capture.Date
		}
	}
	slices.SortFunc(notes, func(x, y noteRef) int {
		return cmp.Or(began[x.run].Compare(began[y.run]), cmp.Compare(x.run, y.run), cmp.Compare(strings.TrimSuffix(x.capture.File, ".warc.gz"), strings.TrimSuffix(y.capture.File, ".warc.gz")), cmp.Compare(x.capture.Offset, y.capture.Offset))
	})
	snaps = map[survey.RunID]map[string][]noteRef{}
	err = a.Notes(ctx, survey.NoteSnapshot, func(n survey.Note, c survey.Capture) error {
		var s struct {
			Run     survey.RunID   `json:"run"`
			Article survey.Article `json:"article"`
		}
		if err := json.Unmarshal(n.Body, &s); err != nil {
			return fmt.Errorf("reading the snapshot at %d of %q: %w", c.Offset, c.File, err)
		}
		if c.Imported || only != nil && !only(s.Run) {
			return nil
		}
		if snaps[s.Run] == nil {
			snaps[s.Run] = map[string][]noteRef{}
		}
		key := s.Article.Site + " " + s.Article.URL
		snaps[s.Run][key] = append(snaps[s.Run][key], noteRef{kind: survey.NoteSnapshot, run: s.Run, capture: c})
		return nil
	})
	return notes, snaps, err
}

// retell tells history again what the archive's notes hold. Telling twice changes nothing. incidents reckons those of each
// run again, too.
func retell(ctx context.Context, a *archive.Archive, h *history.DB, only func(survey.RunID) bool, incidents bool) (runs, checks int, err error) {
	notes, snaps, err := recorded(ctx, a, only)
	if err != nil {
		return 0, 0, err
	}
	var unfinished []survey.RunID
	// Once runs write down what they reckon with, a run that did not was killed before. Those before have only their checks.
	told := false
	for len(notes) > 0 {
		n := 1
		for n < len(notes) && notes[n].run == notes[0].run {
			n++
		}
		id := notes[0].run
		done, finished, err := replayRun(ctx, a, h, notes[:n], snaps[id])
		if err != nil {
			return runs, checks, fmt.Errorf("building the history of run %s: %w", id, err)
		}
		if !finished {
			unfinished = append(unfinished, id)
		}
		if incidents {
			at := slices.IndexFunc(notes[:n], func(r noteRef) bool { return r.event == "evaluate" })
			if at >= 0 {
				told = true
				err = reckonAgain(ctx, a, h, id, &notes[at])
			} else if finished && !told {
				err = reckonAgain(ctx, a, h, id, nil)
			}
			if err != nil {
				return runs, checks, fmt.Errorf("reckoning the incidents of run %s: %w", id, err)
			}
		}
		runs, checks, notes = runs+1, checks+done, notes[n:]
	}
	if len(unfinished) > 0 {
		err = h.Reconciled(ctx, unfinished...)
	}
	return runs, checks, err
}

// reckonAgain gives history the incidents of a run as check reckoned them, from the note of what it reckoned with; without
// one, by the default rules.
func reckonAgain(ctx context.Context, a *archive.Archive, h *history.DB, run survey.RunID, note *noteRef) error {
	doc, err := h.Report(ctx, run)
	if err != nil {
		return err
	}
	from := newReckoned(&doc, doc.Run.Finished, incident.Rules{DownAfter: sites.DefaultIncidents.DownAfter, DownFor: sites.DefaultIncidents.DownFor,
		UpAfter: sites.DefaultIncidents.UpAfter, Remind: sites.DefaultIncidents.Remind}, scope{}, func(survey.Finding) bool { return false })
	lastGood := func(k incident.Key) string {
		return (&bookkeeper{history: h}).lastGood(ctx, k, doc.Run.Started)
	}
	if note != nil {
		b, err := a.ReadNote(ctx, note.capture)
		if err != nil {
			return err
		}
		var n historyNote
		if err := json.Unmarshal(b, &n); err != nil {
			return fmt.Errorf("reading the note at %d of %q: %w", note.capture.Offset, note.capture.File, err)
		}
		if n.Reckoned != nil {
			from, lastGood = n.Reckoned, nil
		}
	}
	_, e, err := from.reckon(ctx, h, &doc, lastGood)
	if err != nil {
		return err
	}
	_, err = h.SaveEvaluation(ctx, e)
	return err
}

func replayRun(ctx context.Context, a *archive.Archive, h *history.DB, notes []noteRef, snaps map[string][]noteRef) (checks int, finished bool, err error) {
	read := func(r noteRef, into any) error {
		b, err := a.ReadNote(ctx, r.capture)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, into)
	}
	id := notes[0].run
	records := map[string]noteRef{}
	var ended *survey.Run
	var summary *survey.Summary
	begun := false
	begin := func(run survey.Run) error {
		if begun {
			return nil
		}
		begun = true
		return h.BeginRun(ctx, run)
	}
	bare := survey.Run{ID: id, VoidVantages: []string{}}
	if t, err := time.Parse("20060102T150405Z", strings.SplitN(string(id), "-", 2)[0]); err == nil {
		bare.Started = t
	}
	save := func(key string, note historyNote) error {
		r, ok := records[key]
		if !ok {
			return nil
		}
		delete(records, key)
		var rec crawler.CheckRecord
		if err := read(r, &rec); err != nil {
			return err
		}
		c := history.SavedCheck{Run: id, At: rec.At, Check: rec.Check, Links: note.Links, Candidates: note.Candidates, Maintenance: note.Maintenance}
		for _, s := range snaps[key] {
			var snap survey.Snapshot
			if err := read(s, &snap); err != nil {
				return err
			}
			c.Snapshots = append(c.Snapshots, snap)
		}
		checks++
		if err := begin(bare); err != nil {
			return err
		}
		return h.SaveCheck(ctx, c)
	}
	for _, r := range notes {
		switch r.kind {
		case survey.NoteCheck:
			records[r.article] = r
		case survey.NoteRun:
			ended = new(survey.Run)
			if err := read(r, ended); err != nil {
				return checks, false, err
			}
		case archive.NoteHistory:
			var n historyNote
			if err := read(r, &n); err != nil {
				return checks, false, err
			}
			switch {
			case n.Event == "begin" && n.Begun != nil:
				if err := begin(*n.Begun); err != nil {
					return checks, false, err
				}
			case n.Event == "check":
				if err := save(n.Site+" "+n.Article, n); err != nil {
					return checks, false, err
				}
			case n.Event == "crawl":
				if err := begin(bare); err != nil {
					return checks, false, err
				}
				if err := h.SaveCrawl(ctx, history.SavedCrawl{Run: id, Site: n.Site, At: n.At, Links: n.Links, Crawls: n.Crawls}); err != nil {
					return checks, false, err
				}
			case n.Event == "sync":
				if err := h.SaveSync(ctx, id, n.At, n.Sync); err != nil {
					return checks, false, err
				}
			case n.Event == "finish":
				summary = n.Summary
			}
		}
	}
	// Checks whose note is there, and the run died before it told history.
	for _, r := range notes {
		if r.kind == survey.NoteCheck {
			if err := save(r.article, historyNote{}); err != nil {
				return checks, false, err
			}
		}
	}
	for _, r := range notes {
		if r.kind == archive.NoteRejudge {
			var n rejudgeNote
			if err := read(r, &n); err != nil {
				return checks, false, err
			}
			if err := h.SaveVerdicts(ctx, id, n.judged()); err != nil {
				return checks, false, err
			}
		}
	}
	if ended == nil {
		return checks, false, begin(bare)
	}
	if err := begin(*ended); err != nil {
		return checks, true, err
	}
	if summary == nil {
		report, err := h.Report(ctx, id)
		if err != nil {
			return checks, true, err
		}
		summary = survey.Ptr(survey.Summarise(report))
	}
	return checks, true, h.FinishRun(ctx, *ended, *summary)
}

// reconcile gives history what a killed run had made durable in the archive and not yet told it.
func (d *data) reconcile(ctx context.Context) error {
	ids, err := d.history.Unfinished(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	if _, _, err := retell(ctx, d.archive, d.history, func(id survey.RunID) bool { return slices.Contains(ids, id) }, false); err != nil {
		return err
	}
	return d.history.Reconciled(ctx, ids...)
}

// referenceFindings compares history and archive in both directions.
func referenceFindings(ctx context.Context, dir string) (found []archive.VerifyFinding, err error) {
	h, err := history.Open(filepath.Join(dir, historyFile), history.Options{ReadOnly: true})
	if errors.Is(err, history.ErrNoHistory) {
		return nil, nil
	}
	if err != nil {
		return nil, newerHistory(err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	a, err := archive.Open(dir, archive.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	type seen struct {
		capture survey.Capture
		run     survey.RunID
		article string
		told    bool
	}
	snaps := map[survey.RecordID]*seen{}
	bySeries := map[string][]*seen{}
	times := map[*seen]time.Time{}
	err = a.Notes(ctx, survey.NoteSnapshot, func(n survey.Note, c survey.Capture) error {
		var s survey.Snapshot
		if err := json.Unmarshal(n.Body, &s); err != nil || c.Imported {
			return nil // verify names what cannot be read
		}
		v := &seen{capture: c, run: s.Run, article: s.Article.Site + " " + s.Article.URL}
		snaps[s.ID] = v
		key := s.Article.URL + " " + string(s.Mirror) + " " + s.Vantage
		bySeries[key] = append(bySeries[key], v)
		times[v] = s.Time.Truncate(time.Microsecond)
		return nil
	})
	if err != nil {
		return nil, err
	}
	taken := map[survey.RecordID]bool{}
	err = a.Notes(ctx, archive.NoteTombstone, func(n survey.Note, c survey.Capture) error {
		var t archive.Tombstone
		if json.Unmarshal(n.Body, &t) == nil {
			for _, id := range t.Records {
				taken[id] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = h.References(ctx, func(r history.SnapshotRef) error {
		for _, id := range []survey.RecordID{r.ID, r.LastID} {
			if v := snaps[id]; v != nil {
				v.told = true
			} else if id == r.ID || id != r.ID && snaps[r.ID] != nil {
				found = append(found, archive.VerifyFinding{File: historyFile, Kind: archive.FoundHistoryRef, Message: fmt.Sprintf("snapshot %s of %s is not in the archive", id, r.URL), Remark: taken[id]})
			}
		}
		for _, v := range bySeries[r.Article+" "+string(r.Mirror)+" "+r.Vantage] {
			if t := times[v]; !t.Before(r.First) && !t.After(r.Last) {
				v.told = true
			}
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	// A snapshot without its check's note is of a run that was killed within the check: nobody was told of it.
	checked := map[string]bool{}
	notes, _, err := recorded(ctx, a, nil)
	if err != nil {
		return found, err
	}
	for _, n := range notes {
		if n.kind == survey.NoteCheck {
			checked[string(n.run)+" "+n.article] = true
		}
	}
	open, err := h.Unfinished(ctx)
	if err != nil {
		return found, err
	}
	for id, v := range snaps {
		if !v.told && checked[string(v.run)+" "+v.article] {
			found = append(found, archive.VerifyFinding{File: "archive/" + v.capture.File, Offset: v.capture.Offset, Kind: archive.FoundHistoryRef,
				Message: fmt.Sprintf("snapshot %s of %s is not in %s", id, v.capture.URL, historyFile), Remark: slices.Contains(open, v.run)})
		}
	}
	slices.SortFunc(found, func(x, y archive.VerifyFinding) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Offset, y.Offset), cmp.Compare(x.Message, y.Message))
	})
	return found, nil
}
