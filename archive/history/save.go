package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"mirrorwatch/crawler/survey"
)

// SavedCheck is one Check with what was captured for it, as SaveCheck takes it.
type SavedCheck struct {
	Run   survey.RunID
	At    time.Time
	Check survey.Check
	// Snapshots of this Check's article. One whose page equals the last one of its mirror and vantage, verdict and all,
	// only lengthens that one's interval.
	Snapshots  []survey.Snapshot
	Links      []survey.Link
	Candidates []survey.CandidateMirror
	// Maintenance names mirrors in a maintenance window: observed and kept, but counted apart.
	Maintenance map[survey.Host]bool
}

// Columns of the roll-up tables that are no states.
const (
	countedVoid        = "void"
	countedMaintenance = "maintenance"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
	// maxParents bounds the pages that are remembered for one link.
	maxParents = 50
)

// BeginRun notes that the run began. Beginning a run twice changes nothing but its document.
func (db *DB) BeginRun(ctx context.Context, run survey.Run) error {
	return db.tx(ctx, "saving run "+string(run.ID), func(t *tx) error {
		return putRun(ctx, t, run, nil)
	})
}

// FinishRun notes how the run ended. What its void vantages saw is taken out of states and availability again: those
// observations move to the void count, whatever they were counted as when their Check was saved.
func (db *DB) FinishRun(ctx context.Context, run survey.Run, summary survey.Summary) error {
	return db.tx(ctx, "finishing run "+string(run.ID), func(t *tx) error {
		if err := putRun(ctx, t, run, &summary); err != nil {
			return err
		}
		return voidRun(ctx, t, run)
	})
}

func putRun(ctx context.Context, t *tx, run survey.Run, summary *survey.Summary) error {
	doc, err := json.Marshal(run)
	if err != nil {
		return err
	}
	var sum any
	if summary != nil {
		b, err := json.Marshal(summary)
		if err != nil {
			return err
		}
		sum = string(b)
	}
	_, err = t.exec(ctx, `INSERT INTO runs (id, started, finished, complete, void, rules_version, doc, summary)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET started = excluded.started, finished = excluded.finished, complete = excluded.complete,
			void = excluded.void, rules_version = excluded.rules_version, doc = excluded.doc,
			summary = COALESCE(excluded.summary, runs.summary)`,
		string(run.ID), micros(run.Started), microsPtr(&run.Finished), flag(run.Complete), flag(run.Void), run.RulesVersion, string(doc), sum)
	return err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// SaveCheck writes the Check in one transaction: observations, states, roll-ups, snapshots, requisites, links and
// candidates. The run must have begun. A Check that is there already (same run, site and article) is left as it is, so
// saving again after a crash does no harm. Checks of one article are to be saved in the order of their times.
func (db *DB) SaveCheck(ctx context.Context, c SavedCheck) error {
	return db.tx(ctx, fmt.Sprintf("saving check of %q", c.Check.URL), func(t *tx) error {
		s := saver{tx: t, SavedCheck: c, check: id("check", string(c.Run), c.Check.Site, c.Check.URL)}
		return s.save(ctx)
	})
}

type saver struct {
	*tx
	SavedCheck
	check int64
}

func (s *saver) save(ctx context.Context) error {
	found, err := s.row(ctx, `SELECT 1 FROM checks WHERE id = $1`, []any{s.check}, []any{new(int)})
	if err != nil || found {
		return err
	}
	doc := s.Check
	doc.Mirrors = nil
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if _, err := s.exec(ctx, `INSERT INTO checks (id, run, ordinal, site, article, title, at, doc)
		VALUES ($1, $2, (SELECT COUNT(*) FROM checks WHERE run = $2), $3, $4, $5, $6, $7)`,
		s.check, string(s.Run), s.Check.Site, s.Check.URL, s.Check.Title, micros(s.At), string(text)); err != nil {
		return err
	}
	for i := range s.Check.Mirrors {
		if err := s.finding(ctx, i, s.Check.Mirrors[i]); err != nil {
			return fmt.Errorf("mirror %q: %w", s.Check.Mirrors[i].Mirror, err)
		}
	}
	for _, snap := range s.Snapshots {
		if err := s.snapshot(ctx, snap); err != nil {
			return fmt.Errorf("snapshot %q: %w", snap.Name(), err)
		}
	}
	for _, l := range s.Links {
		if err := s.link(ctx, l); err != nil {
			return fmt.Errorf("link %q: %w", l.Target, err)
		}
	}
	for _, c := range s.Candidates {
		if _, err := s.exec(ctx, `INSERT INTO candidates (site, host, article, rule, evidence, confirmed, first_seen, last_seen, run)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
			ON CONFLICT (site, host, article, rule) DO UPDATE SET evidence = excluded.evidence,
				confirmed = excluded.confirmed, last_seen = excluded.last_seen, run = excluded.run`,
			c.Site, string(c.Host), c.Article, c.Rule, c.Evidence, flag(c.Confirmed), micros(s.At), string(s.Run)); err != nil {
			return fmt.Errorf("candidate %q: %w", c.Host, err)
		}
	}
	return nil
}

// when is the time an observation is filed under: its own, or that of its Check when nothing was visited.
func when(o *survey.Observation, check time.Time) time.Time {
	if o.ObservedAt.IsZero() {
		return check
	}
	return o.ObservedAt
}

func (s *saver) counted(f *survey.Finding) string {
	switch {
	case len(f.Reasons) > 0 && f.Reasons[0] == survey.ReasonVoid:
		return countedVoid
	case s.Maintenance[f.Mirror]:
		return countedMaintenance
	}
	return string(f.State)
}

func (s *saver) finding(ctx context.Context, ordinal int, f survey.Finding) error {
	at := micros(when(&f.Observation, s.At))
	if f.State == "" {
		f.State = survey.Unknown
	}
	series, err := s.series(ctx, f.Mirror, f.Vantage, f.Role, at)
	if err != nil {
		return err
	}
	counted := s.counted(&f)
	if counted != countedVoid {
		if err := extendState(ctx, s.tx, series, at, f.State, f.Verdict.Verdict); err != nil {
			return err
		}
	}
	if f.Since == nil {
		if since, ok, err := since(ctx, s.tx, series, f.State); err != nil {
			return err
		} else if ok {
			f.Since = &since
		}
	}
	detail, err := json.Marshal(f)
	if err != nil {
		return err
	}
	reason := ""
	if len(f.Reasons) > 0 {
		reason = f.Reasons[0]
	}
	var words, status any
	if f.Text != nil {
		words = f.Text.Words
	}
	if f.Status != nil {
		status = *f.Status
	}
	var kind any
	if f.Kind != nil {
		kind = *f.Kind
	}
	if _, err := s.exec(ctx, `INSERT INTO observations (check_id, series, ordinal, at, state, verdict, kind, page_class, confidence,
			reason, stage, outcome, status, words, first_byte_us, total_us, counted, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		s.check, series, ordinal, at, string(f.State), string(f.Verdict.Verdict), kind, string(f.PageClass), string(f.Confidence),
		reason, string(f.Stage), string(f.Outcome), status, words, durationUS(f.Timing.FirstByte), durationUS(f.Timing.Total),
		counted, string(detail)); err != nil {
		return err
	}
	return rollUp(ctx, s.tx, s.Check.Site, string(f.Mirror), f.Vantage, at, counted, f.Timing.FirstByte)
}

func durationUS(ms *float64) any {
	if ms == nil {
		return nil
	}
	return int64(*ms * 1000)
}

func (s *saver) seriesID(mirror survey.Host, vantage string) int64 {
	return seriesID(s.Check.Site, s.Check.URL, mirror, vantage)
}

func seriesID(site, article string, mirror survey.Host, vantage string) int64 {
	return id("series", site, article, string(mirror), vantage)
}

func (s *saver) series(ctx context.Context, mirror survey.Host, vantage string, role survey.Role, at int64) (int64, error) {
	n := s.seriesID(mirror, vantage)
	_, err := s.exec(ctx, `INSERT INTO series (id, site, article, mirror, vantage, role, first_seen, last_seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
		ON CONFLICT (id) DO UPDATE SET role = CASE WHEN excluded.role = '' THEN series.role ELSE excluded.role END,
			last_seen = CASE WHEN excluded.last_seen > series.last_seen THEN excluded.last_seen ELSE series.last_seen END`,
		n, s.Check.Site, s.Check.URL, string(mirror), vantage, string(role), at)
	return n, err
}

// extendState lengthens the series' newest interval or begins the next. An observation older than the newest interval's
// end changes nothing: intervals are written in the order of time.
func extendState(ctx context.Context, t *tx, series, at int64, state survey.State, verdict survey.VerdictWord) error {
	var first, last int64
	var oldState, oldVerdict string
	found, err := t.row(ctx, `SELECT first_seen, last_seen, state, verdict FROM states WHERE series = $1 ORDER BY first_seen DESC LIMIT 1`,
		[]any{series}, []any{&first, &last, &oldState, &oldVerdict})
	switch {
	case err != nil:
		return err
	case found && at <= last:
		return nil
	case found && oldState == string(state) && oldVerdict == string(verdict):
		_, err := t.exec(ctx, `UPDATE states SET last_seen = $1 WHERE series = $2 AND first_seen = $3`, at, series, first)
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO states (series, first_seen, last_seen, state, verdict, before) VALUES ($1, $2, $2, $3, $4, $5)`,
		series, at, string(state), string(verdict), oldState)
	return err
}

// since finds when the series came into the state it has. Unknown spans do not end a known state: up, unknown, up is up
// since the first. (Unknown itself began with the last unknown span.)
func since(ctx context.Context, t *tx, series int64, state survey.State) (time.Time, bool, error) {
	var us sql.NullInt64
	_, err := t.row(ctx, sinceQuery, []any{series, string(state)}, []any{&us})
	return moment(us.Int64), us.Valid, err
}

const sinceQuery = `SELECT MIN(first_seen) FROM states
	WHERE series = $1 AND state = $2 AND first_seen > COALESCE(
		(SELECT MAX(first_seen) FROM states WHERE series = $1 AND state <> $2 AND (state <> 'unknown' OR $2 = 'unknown')), -9000000000000000000)`

// rollUp adds one observation to its hour and day.
func rollUp(ctx context.Context, t *tx, site, mirror, vantage string, at int64, counted string, firstByte *float64) error {
	var us, n int64
	if firstByte != nil {
		us, n = int64(*firstByte*1000), 1
	}
	for _, table := range []struct {
		name string
		span time.Duration
	}{{"hourly", hour}, {"daily", day}} {
		// counted is one of six words of our own, never data.
		switch counted {
		case "up", "degraded", "down", "unknown", countedVoid, countedMaintenance:
		default:
			return fmt.Errorf("no such state: %q", counted)
		}
		if _, err := t.exec(ctx, `INSERT INTO `+table.name+` (site, mirror, vantage, start, `+counted+`, first_byte_us, first_bytes)
			VALUES ($1, $2, $3, $4, 1, $5, $6)
			ON CONFLICT (site, mirror, vantage, start) DO UPDATE SET `+counted+` = `+table.name+`.`+counted+` + 1,
				first_byte_us = `+table.name+`.first_byte_us + excluded.first_byte_us,
				first_bytes = `+table.name+`.first_bytes + excluded.first_bytes`,
			site, mirror, vantage, bucket(at, table.span), us, n); err != nil {
			return err
		}
	}
	return nil
}

// bucket is the start of the span that at lies in; spans begin with the epoch, so days are UTC days.
func bucket(at int64, span time.Duration) int64 {
	n := span.Microseconds()
	if at < 0 {
		at -= n - 1
	}
	return at / n * n
}

// voidRun moves what the run's void vantages saw to the void count and out of the state intervals.
func voidRun(ctx context.Context, t *tx, run survey.Run) error {
	void := map[string]bool{}
	for _, v := range run.VoidVantages {
		void[v] = true
	}
	if !run.Void && len(void) == 0 {
		return nil
	}
	type seen struct {
		check, series, at     int64
		site, mirror, vantage string
		counted               string
	}
	var all []seen
	rows, err := t.QueryContext(ctx, `SELECT o.check_id, o.series, o.at, s.site, s.mirror, s.vantage, o.counted
		FROM checks c JOIN observations o ON o.check_id = c.id JOIN series s ON s.id = o.series
		WHERE c.run = $1 AND o.counted <> 'void'`, string(run.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var o seen
		if err := rows.Scan(&o.check, &o.series, &o.at, &o.site, &o.mirror, &o.vantage, &o.counted); err != nil {
			return err
		}
		if run.Void || void[o.vantage] {
			all = append(all, o)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	sort.Slice(all, func(i, j int) bool { return all[i].at > all[j].at }) // newest first: intervals are undone from their end
	for _, o := range all {
		for _, table := range []struct {
			name string
			span time.Duration
		}{{"hourly", hour}, {"daily", day}} {
			if _, err := t.exec(ctx, `UPDATE `+table.name+` SET `+o.counted+` = `+o.counted+` - 1, void = void + 1
				WHERE site = $1 AND mirror = $2 AND vantage = $3 AND start = $4`, o.site, o.mirror, o.vantage, bucket(o.at, table.span)); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `UPDATE observations SET counted = 'void' WHERE series = $1 AND at = $2 AND check_id = $3`,
			o.series, o.at, o.check); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM states WHERE series = $1 AND first_seen = $2`, o.series, o.at); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE states SET last_seen = COALESCE((SELECT MAX(at) FROM observations
				WHERE series = $1 AND at < $2 AND at >= states.first_seen AND counted <> 'void'), states.first_seen)
			WHERE series = $1 AND last_seen = $2`, o.series, o.at); err != nil {
			return err
		}
	}
	return nil
}

// snapshot files the snapshot under its mirror's verdict and keeps its requisites.
func (s *saver) snapshot(ctx context.Context, snap survey.Snapshot) error {
	at := micros(snap.Time)
	series, err := s.series(ctx, snap.Mirror, snap.Vantage, "", at)
	if err != nil {
		return err
	}
	v := survey.Verdict{State: survey.Unknown, Verdict: survey.Undetermined, PageClass: survey.ClassUnknown}
	for i := range s.Check.Mirrors {
		if f := &s.Check.Mirrors[i]; f.Mirror == snap.Mirror && f.Vantage == snap.Vantage {
			v = f.Verdict
			break
		}
	}
	var oldID, payload, state, verdict, class, url string
	var flagged, leftOut int
	found, err := s.row(ctx, `SELECT id, payload, state, verdict, page_class, url, flagged, left_out FROM snapshots WHERE series = $1 ORDER BY time DESC LIMIT 1`,
		[]any{series}, []any{&oldID, &payload, &state, &verdict, &class, &url, &flagged, &leftOut})
	if err != nil {
		return err
	}
	isFlagged := flag(snap.Page.Unverified || snap.Page.Imported)
	same := found && payload != "" && payload == string(snap.Page.Payload) && state == string(v.State) && verdict == string(v.Verdict) &&
		class == string(v.PageClass) && url == snap.URL && flagged == isFlagged && leftOut == len(snap.LeftOut)
	if same {
		_, err = s.exec(ctx, `UPDATE snapshots SET last_seen = $1, last_id = $2, count = count + 1 WHERE id = $3`, at, string(snap.ID), oldID)
	} else {
		var page []byte
		if page, err = json.Marshal(snap.Page); err != nil {
			return err
		}
		_, err = s.exec(ctx, `INSERT INTO snapshots (id, series, url, time, last_seen, count, last_id, payload, state, verdict, page_class, flagged, left_out, page)
			VALUES ($1, $2, $3, $4, $4, 1, $1, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`,
			string(snap.ID), series, snap.URL, at, string(snap.Page.Payload), string(v.State), string(v.Verdict), string(v.PageClass),
			isFlagged, len(snap.LeftOut), string(page))
	}
	if err != nil {
		return err
	}
	for _, r := range snap.Requisites {
		if err := s.requisite(ctx, series, at, r); err != nil {
			return fmt.Errorf("requisite %q: %w", r.URL, err)
		}
	}
	return nil
}

func (s *saver) requisite(ctx context.Context, series, at int64, r survey.Requisite) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var first int64
	var payload string
	found, err := s.row(ctx, `SELECT first_seen, payload FROM requisites WHERE series = $1 AND url = $2 ORDER BY first_seen DESC LIMIT 1`,
		[]any{series, r.URL}, []any{&first, &payload})
	switch {
	case err != nil:
		return err
	case found && payload == string(r.Capture.Payload):
		_, err = s.exec(ctx, `UPDATE requisites SET last_seen = $1, doc = $2 WHERE series = $3 AND url = $4 AND first_seen = $5`,
			at, string(doc), series, r.URL, first)
	default:
		_, err = s.exec(ctx, `INSERT INTO requisites (series, url, first_seen, last_seen, payload, doc) VALUES ($1, $2, $3, $3, $4, $5)
			ON CONFLICT (series, url, first_seen) DO UPDATE SET payload = excluded.payload, doc = excluded.doc`,
			series, r.URL, at, string(r.Capture.Payload), string(doc))
	}
	return err
}

func (s *saver) link(ctx context.Context, l survey.Link) error {
	n := id("link", s.Check.Site, l.Target)
	at := micros(s.At)
	var old string
	found, err := s.row(ctx, `SELECT parents FROM links WHERE id = $1`, []any{n}, []any{&old})
	if err != nil {
		return err
	}
	parents := l.Parents
	if found {
		var known []string
		if err := json.Unmarshal([]byte(old), &known); err != nil {
			return fmt.Errorf("its parents: %w", err)
		}
		parents = union(known, l.Parents)
	}
	if len(parents) > maxParents {
		parents = parents[:maxParents]
	}
	if parents == nil {
		parents = []string{}
	}
	text, err := json.Marshal(parents)
	if err != nil {
		return err
	}
	if _, err := s.exec(ctx, `INSERT INTO links (id, site, target, kind, parents, first_seen, last_seen, run) VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, parents = excluded.parents, last_seen = excluded.last_seen, run = excluded.run`,
		n, s.Check.Site, l.Target, l.Kind, string(text), at, string(s.Run)); err != nil {
		return err
	}
	for _, r := range l.Results {
		if err := s.linkResult(ctx, n, at, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *saver) linkResult(ctx context.Context, link, at int64, r survey.LinkResult) error {
	var first int64
	var state, outcome string
	found, err := s.row(ctx, `SELECT first_seen, state, outcome FROM link_states WHERE link = $1 AND mirror = $2 AND vantage = $3 ORDER BY first_seen DESC LIMIT 1`,
		[]any{link, string(r.Mirror), r.Vantage}, []any{&first, &state, &outcome})
	if err != nil {
		return err
	}
	var status any
	if r.Status != nil {
		status = *r.Status
	}
	if found && state == r.State && outcome == string(r.Outcome) {
		_, err = s.exec(ctx, `UPDATE link_states SET last_seen = $1, checked = $1, url = $2, status = $3, run = $4
			WHERE link = $5 AND mirror = $6 AND vantage = $7 AND first_seen = $8`,
			at, r.URL, status, string(s.Run), link, string(r.Mirror), r.Vantage, first)
		return err
	}
	_, err = s.exec(ctx, `INSERT INTO link_states (link, mirror, vantage, first_seen, last_seen, checked, url, state, outcome, status, run)
		VALUES ($1, $2, $3, $4, $4, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (link, mirror, vantage, first_seen) DO UPDATE SET url = excluded.url, state = excluded.state,
			outcome = excluded.outcome, status = excluded.status, run = excluded.run`,
		link, string(r.Mirror), r.Vantage, at, r.URL, r.State, string(r.Outcome), status, string(s.Run))
	return err
}

// union returns the sorted set of both lists' values.
func union(a, b []string) []string {
	set := map[string]bool{}
	var all []string
	for _, list := range [][]string{a, b} {
		for _, v := range list {
			if !set[v] {
				set[v] = true
				all = append(all, v)
			}
		}
	}
	sort.Strings(all)
	return all
}
