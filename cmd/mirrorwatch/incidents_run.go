package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/incident"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports/notify"
)

const (
	detailDays = 3         // days for which findings keep their documents in history; the archive has them for good
	maxRawRows = 2_000_000 // observations kept one by one, whatever their age
)

// bookkeeper carries incidents over a run and tells of them. It is the same in a live run and in the simulated year.
type bookkeeper struct {
	history  *history.DB
	rules    sites.Incidents
	keep     sites.Retention
	channels []notify.Channel
	now      func() time.Time
	send     func(ctx context.Context, c notify.Channel, events []survey.IncidentEvent) error
	tell     func(ctx context.Context, n historyNote, at time.Time) error // makes a note durable in the archive before history has it; nil: there is none
	warn     func(string)
	kill     func(stage string) // tests stop here
}

func (b *bookkeeper) at(stage string) {
	if b.kill != nil {
		b.kill(stage)
	}
}

// scope says what the sites file names, for what was removed from it.
type scope struct {
	targets map[incident.Key]bool
	covers  map[string]bool
	all     bool
	listed  func(site string) bool
}

// evaluate reckons the run's incidents and writes them down with the notices to send, in one transaction; the document's
// findings get the IDs of the incidents they stand in. A run is evaluated once.
func (b *bookkeeper) evaluate(ctx context.Context, doc *survey.Report, sc scope) error {
	at := doc.Run.Finished
	if at.IsZero() {
		at = b.now()
	}
	from := newReckoned(doc, at, incident.Rules{DownAfter: b.rules.DownAfter, DownFor: b.rules.DownFor, UpAfter: b.rules.UpAfter, Remind: b.rules.Remind}, sc,
		func(f survey.Finding) bool { return b.rules.InMaintenance(f.ObservedAt) })
	r, e, err := from.reckon(ctx, b.history, doc, func(k incident.Key) string { return b.lastGood(ctx, k, doc.Run.Started) })
	if err != nil {
		return err
	}
	if e.Notices, err = b.notices(doc.Run.ID, r.Events); err != nil {
		return err
	}
	if b.tell != nil {
		if err := b.tell(ctx, historyNote{Event: "evaluate", Run: doc.Run.ID, Reckoned: from}, at); err != nil {
			return err
		}
	}
	b.at("evaluate")
	if _, err := b.history.SaveEvaluation(ctx, e); err != nil {
		return err
	}
	for a := range doc.Articles {
		c := &doc.Articles[a]
		for m := range c.Mirrors {
			f := &c.Mirrors[m]
			if id := r.Live[incident.Key{Site: c.Site, Mirror: f.Mirror, Article: c.URL}]; id != "" && f.State != survey.Up {
				f.Incident = &id
			}
		}
	}
	return nil
}

// lastGood names the newest good snapshot of the mirror, or of the article on it, before the run.
func (b *bookkeeper) lastGood(ctx context.Context, k incident.Key, before time.Time) string {
	rows, err := b.history.Snapshots(ctx, history.SnapshotQuery{Site: k.Site, Article: k.Article, Mirror: k.Mirror, Good: true, To: before, Limit: 1})
	if err != nil || len(rows) == 0 {
		return ""
	}
	return rows[0].Name
}

// notices spreads the events over the channels: one message a channel and run, or one an event where the channel takes
// them one by one.
func (b *bookkeeper) notices(run survey.RunID, events []survey.IncidentEvent) ([]history.Notice, error) {
	var all []history.Notice
	add := func(c notify.Channel, list []survey.IncidentEvent) error {
		doc, err := json.Marshal(list)
		if err != nil {
			return err
		}
		kind := string(list[0].Kind)
		if len(list) > 1 {
			kind = fmt.Sprintf("%d events", len(list))
		}
		h := sha256.Sum256([]byte(string(run) + "\x00" + c.Name + "\x00" + list[0].ID))
		all = append(all, history.Notice{ID: hex.EncodeToString(h[:8]), Incident: list[0].Incident.ID, Kind: kind, Target: c.Name, Doc: doc})
		return nil
	}
	for _, c := range b.channels {
		var list []survey.IncidentEvent
		for _, e := range events {
			if !c.Wants(e) {
				continue
			}
			if n := len(e.Incident.Evidence); n > 3 {
				e.Incident.Evidence = e.Incident.Evidence[n-3:]
			}
			if c.Separate() {
				if err := add(c, []survey.IncidentEvent{e}); err != nil {
					return nil, err
				}
				continue
			}
			list = append(list, e)
		}
		if len(list) > 0 {
			if err := add(c, list); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// prune takes old rows out of the history, once a day.
func (b *bookkeeper) prune(ctx context.Context) error {
	due, err := b.history.PruneDue(ctx, b.now())
	if err != nil || !due {
		return err
	}
	_, err = b.history.PruneRaw(ctx, b.now(), history.Keep{Raw: b.keep.Raw, RawRows: maxRawRows, Detail: detailDays * 24 * time.Hour, Hourly: b.keep.Hourly})
	return err
}

// newBookkeeper takes the rules and channels of the file; nil is no file: incidents by the default rules, nobody told.
func newBookkeeper(h *history.DB, f *sites.File, now func() time.Time, stderr io.Writer) *bookkeeper {
	b := &bookkeeper{history: h, rules: sites.DefaultIncidents, keep: sites.DefaultRetention, channels: channels(f), now: now,
		send: func(ctx context.Context, c notify.Channel, events []survey.IncidentEvent) error {
			return c.Send(ctx, events, false)
		},
		warn: func(s string) { fmt.Fprintf(stderr, "mirrorwatch: %s\n", visible(s)) }}
	if f != nil {
		b.rules, b.keep = f.Incidents, f.Retention
	}
	return b
}

// afterRun does what follows on a finished run: incidents, notices, heartbeat, retention of the history.
func (j *job) afterRun(ctx context.Context, w *world, doc *survey.Report) error {
	b := newBookkeeper(j.open.history, j.file, w.now, w.stderr)
	b.tell = j.open.tell
	sc := j.scope()
	if sc.targets != nil {
		for _, c := range doc.Articles { // those found in feeds are targets too
			for _, f := range c.Mirrors {
				sc.targets[incident.Key{Site: c.Site, Mirror: f.Mirror, Article: c.URL}] = true
			}
		}
	}
	if err := b.evaluate(ctx, doc, sc); err != nil {
		return err
	}
	if err := b.deliver(ctx); err != nil {
		return err
	}
	if j.file != nil && !j.file.Heartbeat.IsZero() && !doc.Run.Void {
		if err := notify.Heartbeat(ctx, j.file.Heartbeat.Reveal(), userAgent(j.settings, j.file)); err != nil {
			b.warn(err.Error())
		}
	}
	return b.prune(ctx)
}

// scope is what the plan covers of the sites file: all of it, some sites of it, or single URLs, which remove nothing.
func (j *job) scope() scope {
	sc := scope{listed: func(site string) bool { return j.file != nil && j.file.Site(site) != nil }}
	if j.file == nil || j.single {
		return sc
	}
	sc.targets, sc.covers = map[incident.Key]bool{}, map[string]bool{}
	for _, sp := range j.plan.Sites {
		sc.covers[sp.Site.Name] = true
		for _, m := range sp.Site.Mirrors {
			for _, a := range sp.Articles {
				sc.targets[incident.Key{Site: sp.Site.Name, Mirror: m.Host, Article: a.URL}] = true
			}
		}
	}
	sc.all = len(sc.covers) == len(j.file.Sites)
	return sc
}

// inMaintenance names the check's mirrors when a window is open.
func (j *job) inMaintenance(c survey.Check, at time.Time) map[survey.Host]bool {
	if j.file == nil || !j.file.Incidents.InMaintenance(at) {
		return nil
	}
	set := map[survey.Host]bool{}
	for _, f := range c.Mirrors {
		set[f.Mirror] = true
	}
	return set
}
