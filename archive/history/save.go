package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
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
	return db.tx(ctx, fmt.Sprintf("saving check of %q", c.Check.URL), func(t *tx) error { return t.save(ctx, []SavedCheck{c}) })
}

// SaveChecks is SaveCheck for several, in the order given and in one transaction: all are there afterwards, or none. Many
// checks together cost a fraction of what they cost one by one.
func (db *DB) SaveChecks(ctx context.Context, list []SavedCheck) error {
	return db.tx(ctx, fmt.Sprintf("saving %d checks", len(list)), func(t *tx) error {
		for len(list) > 0 {
			// Of one article, one at a time: the later one builds on what the earlier one left.
			n, seen := 0, map[[2]string]bool{}
			for n < len(list) && !seen[[2]string{list[n].Check.Site, list[n].Check.URL}] {
				seen[[2]string{list[n].Check.Site, list[n].Check.URL}] = true
				n++
			}
			if err := t.save(ctx, list[:n]); err != nil {
				return err
			}
			list = list[n:]
		}
		return nil
	})
}

type saver struct {
	*tx
	SavedCheck
	check int64
	rows  []observed
}

// observed is one finding on its way into the tables.
type observed struct {
	survey.Finding
	series, at int64
	counted    string
}

// save writes checks of which no two are of one article.
func (t *tx) save(ctx context.Context, list []SavedCheck) error {
	savers := make([]saver, len(list))
	for i, c := range list {
		savers[i] = saver{tx: t, SavedCheck: c, check: id("check", string(c.Run), c.Check.Site, c.Check.URL)}
	}
	there := map[int64]bool{}
	for left := savers; len(left) > 0; {
		n := chunk(len(left))
		args := make([]any, 0, 3*n)
		for _, s := range left[:n] {
			args = append(args, string(s.Run), s.Check.Site, s.Check.URL)
		}
		if err := t.rows(ctx, `WITH wanted (run, site, article) AS (`+values(n, 3)+`)
			SELECT c.id FROM wanted w JOIN checks c ON c.run = w.run AND c.site = w.site AND c.article = w.article`, args, func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			there[n] = true
			return err
		}); err != nil {
			return err
		}
		left = left[n:]
	}
	savers = slices.DeleteFunc(savers, func(s saver) bool { return there[s.check] })
	var rows [][]any
	ordinal := map[survey.RunID]int64{}
	for i := range savers {
		s := &savers[i]
		if _, ok := ordinal[s.Run]; !ok {
			var next int64
			if _, err := t.row(ctx, `SELECT COALESCE(MAX(ordinal) + 1, 0) FROM checks WHERE run = $1`, []any{string(s.Run)}, []any{&next}); err != nil {
				return err
			}
			ordinal[s.Run] = next
		}
		doc := s.Check
		doc.Mirrors = nil
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		rows = append(rows, []any{micros(s.At), s.check, string(s.Run), ordinal[s.Run], s.Check.Site, s.Check.URL, s.Check.Title, int64(len(s.Check.Mirrors)), string(text)})
		ordinal[s.Run]++
		s.rows = make([]observed, len(s.Check.Mirrors))
		for k, f := range s.Check.Mirrors {
			if f.State == "" {
				f.State = survey.Unknown
			}
			s.rows[k] = observed{Finding: f, series: s.seriesID(f.Mirror, f.Vantage), at: micros(when(&f.Observation, s.At)), counted: s.counted(&f)}
		}
	}
	if err := t.many(ctx, `INSERT INTO checks (at, id, run, ordinal, site, article, title, size, doc)`, "", rows); err != nil {
		return err
	}
	if err := t.observations(ctx, savers); err != nil {
		return err
	}
	for i := range savers {
		if err := savers[i].others(ctx); err != nil {
			return err
		}
	}
	return nil
}

// observations writes series, states, observations, details and roll-ups of the checks.
func (t *tx) observations(ctx context.Context, savers []saver) error {
	var series, rows [][]any
	var judged []*observed
	for i := range savers {
		s := &savers[i]
		for k := range s.rows {
			o := &s.rows[k]
			series = append(series, []any{o.series, s.Check.Site, s.Check.URL, string(o.Mirror), o.Vantage, string(o.Role), o.at, o.at})
			rows = append(rows, o.row(s, k))
			if o.counted != countedVoid {
				judged = append(judged, o)
			}
		}
	}
	if err := t.many(ctx, insertSeries, onKnownSeries, series); err != nil {
		return err
	}
	if err := t.extendStates(ctx, judged); err != nil {
		return err
	}
	for i := range savers {
		for k := range savers[i].rows {
			o := &savers[i].rows[k]
			if o.Since != nil {
				continue
			}
			if at, ok, err := since(ctx, t, o.series, o.State); err != nil {
				return err
			} else if ok {
				o.Since = &at
			}
		}
	}
	// Documents take as long to write as rows do: the other processor makes them.
	docs := make(chan []any, len(savers))
	failed := make(chan error, 1)
	go func() {
		defer close(docs)
		for i := range savers {
			s := &savers[i]
			list := make([]survey.Finding, len(s.rows))
			for k := range s.rows {
				list[k] = s.rows[k].Finding
			}
			text, err := json.Marshal(list)
			if err != nil {
				failed <- fmt.Errorf("check of %q: %w", s.Check.URL, err)
				return
			}
			docs <- []any{micros(s.At), s.check, packed(text)}
		}
	}()
	if err := t.many(ctx, `INSERT INTO observations (checked, check_id, ordinal, series, at, state, verdict, kind, page_class, confidence, reason, stage, outcome,
		status, words, first_byte_us, total_us, counted)`, "", rows); err != nil {
		return err
	}
	if err := t.rollUp(ctx, savers); err != nil {
		return err
	}
	var all [][]any
	for d := range docs {
		all = append(all, d)
	}
	select {
	case err := <-failed:
		return err
	default:
	}
	return t.many(ctx, `INSERT INTO details (checked, check_id, doc)`, `ON CONFLICT (checked, check_id) DO NOTHING`, all)
}

// row is what stands in observations.
func (o *observed) row(s *saver, ordinal int) []any {
	var kind, status, words any
	reason := ""
	if len(o.Reasons) > 0 {
		reason = o.Reasons[0]
	}
	if o.Text != nil {
		words = int64(o.Text.Words)
	}
	if o.Status != nil {
		status = int64(*o.Status)
	}
	if o.Kind != nil {
		kind = *o.Kind
	}
	return []any{micros(s.At), s.check, int64(ordinal), o.series, o.at, string(o.State), string(o.Verdict.Verdict), kind, string(o.PageClass), string(o.Confidence), reason,
		string(o.Stage), string(o.Outcome), status, words, durationUS(o.Timing.FirstByte), durationUS(o.Timing.Total), o.counted}
}

// others writes what a Check has beside its observations.
func (s *saver) others(ctx context.Context) error {
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

// A series' last_seen is right to the day: it is not worth a write in every run.
const (
	insertSeries  = `INSERT INTO series (id, site, article, mirror, vantage, role, first_seen, last_seen)`
	onKnownSeries = `ON CONFLICT (id) DO UPDATE SET role = CASE WHEN excluded.role = '' THEN series.role ELSE excluded.role END,
		last_seen = CASE WHEN excluded.last_seen > series.last_seen THEN excluded.last_seen ELSE series.last_seen END
	WHERE excluded.last_seen >= series.last_seen + 86400000000 OR excluded.role <> '' AND excluded.role <> series.role`
)

func (s *saver) series(ctx context.Context, mirror survey.Host, vantage string, role survey.Role, at int64) (int64, error) {
	n := s.seriesID(mirror, vantage)
	return n, s.many(ctx, insertSeries, onKnownSeries, [][]any{{n, s.Check.Site, s.Check.URL, string(mirror), vantage, string(role), at, at}})
}

// stateSpan is one interval of a series.
type stateSpan struct {
	first, last            int64
	state, verdict, before string
}

// extendStates lengthens each series' newest interval or begins the next. An observation older than the newest interval's
// end changes nothing: intervals are written in the order of time. No two observations are of one series.
func (t *tx) extendStates(ctx context.Context, list []*observed) error {
	newest := make(map[int64]stateSpan, len(list))
	args := make([]any, len(list))
	for i, o := range list {
		args[i] = o.series
	}
	for len(args) > 0 {
		n := chunk(len(args))
		err := t.rows(ctx, `WITH wanted (series) AS (`+values(n, 1)+`)
			SELECT s.series, s.first_seen, s.last_seen, s.state, s.verdict, s.before FROM wanted w
			JOIN states s ON s.series = w.series AND s.first_seen = (SELECT MAX(m.first_seen) FROM states m WHERE m.series = w.series)`, args[:n], func(rows *sql.Rows) error {
			var series int64
			var sp stateSpan
			err := rows.Scan(&series, &sp.first, &sp.last, &sp.state, &sp.verdict, &sp.before)
			newest[series] = sp
			return err
		})
		if err != nil {
			return err
		}
		args = args[n:]
	}
	var rows [][]any
	for _, o := range list {
		sp, found := newest[o.series]
		switch {
		case found && o.at <= sp.last:
			continue
		case found && sp.state == string(o.State) && sp.verdict == string(o.Verdict.Verdict):
			sp.last = o.at
		default:
			sp = stateSpan{first: o.at, last: o.at, state: string(o.State), verdict: string(o.Verdict.Verdict), before: sp.state}
		}
		rows = append(rows, []any{o.series, sp.first, sp.last, sp.state, sp.verdict, sp.before})
	}
	return t.many(ctx, `INSERT INTO states (series, first_seen, last_seen, state, verdict, before)`,
		`ON CONFLICT (series, first_seen) DO UPDATE SET last_seen = excluded.last_seen`, rows)
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

// rollUp adds the observations to their hours and days.
func (t *tx) rollUp(ctx context.Context, savers []saver) error {
	const counts = 6
	column := map[string]int{"up": 0, "degraded": 1, "down": 2, "unknown": 3, countedVoid: 4, countedMaintenance: 5}
	type key struct {
		site, mirror, vantage string
		start                 int64
	}
	for _, table := range []struct {
		name string
		span time.Duration
	}{{"hourly", hour}, {"daily", day}} {
		index := map[key]int{}
		var rows [][]any
		for i := range savers {
			s := &savers[i]
			for k := range s.rows {
				o := &s.rows[k]
				at := key{s.Check.Site, string(o.Mirror), o.Vantage, bucket(o.at, table.span)}
				r, ok := index[at]
				if !ok {
					r = len(rows)
					index[at] = r
					rows = append(rows, []any{at.site, at.mirror, at.vantage, at.start, int64(0), int64(0), int64(0), int64(0), int64(0), int64(0), int64(0), int64(0)})
				}
				add := func(column int, n int64) { rows[r][column] = rows[r][column].(int64) + n }
				c, ok := column[o.counted]
				if !ok {
					return fmt.Errorf("no such state: %q", o.counted)
				}
				add(4+c, 1)
				if o.Timing.FirstByte != nil {
					add(4+counts, int64(*o.Timing.FirstByte*1000))
					add(4+counts+1, 1)
				}
			}
		}
		n := table.name
		if err := t.many(ctx, `INSERT INTO `+n+` (site, mirror, vantage, start, up, degraded, down, unknown, void, maintenance, first_byte_us, first_bytes)`,
			`ON CONFLICT (site, mirror, vantage, start) DO UPDATE SET up = `+n+`.up + excluded.up, degraded = `+n+`.degraded + excluded.degraded,
				down = `+n+`.down + excluded.down, unknown = `+n+`.unknown + excluded.unknown, void = `+n+`.void + excluded.void,
				maintenance = `+n+`.maintenance + excluded.maintenance, first_byte_us = `+n+`.first_byte_us + excluded.first_byte_us,
				first_bytes = `+n+`.first_bytes + excluded.first_bytes`, rows); err != nil {
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
		checked, check, ordinal, series, at int64
		site, mirror, vantage               string
		counted                             string
	}
	var all []seen
	rows, err := t.QueryContext(ctx, `SELECT o.checked, o.check_id, o.ordinal, o.series, o.at, s.site, s.mirror, s.vantage, o.counted
		FROM checks c JOIN observations o ON o.checked = c.at AND o.check_id = c.id JOIN series s ON s.id = o.series
		WHERE c.run = $1 AND o.counted <> 'void'`, string(run.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var o seen
		if err := rows.Scan(&o.checked, &o.check, &o.ordinal, &o.series, &o.at, &o.site, &o.mirror, &o.vantage, &o.counted); err != nil {
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
		if _, err := t.exec(ctx, `UPDATE observations SET counted = 'void' WHERE checked = $1 AND check_id = $2 AND ordinal = $3`, o.checked, o.check, o.ordinal); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM states WHERE series = $1 AND first_seen = $2`, o.series, o.at); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE states SET last_seen = COALESCE((SELECT MAX(o.at) FROM series s JOIN checks c ON c.article = s.article AND c.site = s.site JOIN observations o ON o.checked = c.at AND o.check_id = c.id AND o.series = s.id
				WHERE s.id = $1 AND o.at < $2 AND o.at >= states.first_seen AND o.counted <> 'void'), states.first_seen)
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
