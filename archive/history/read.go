package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Last returns the newest run as the document that `check --format json` prints; ok is false when there is none.
func (db *DB) Last(ctx context.Context) (report survey.Report, ok bool, err error) {
	var run string
	err = db.sql.QueryRowContext(ctx, `SELECT id FROM runs ORDER BY started DESC, id DESC LIMIT 1`).Scan(&run)
	if errors.Is(err, sql.ErrNoRows) {
		return survey.Report{}, false, nil
	}
	if err != nil {
		return survey.Report{}, false, fmt.Errorf("finding the newest run: %w", err)
	}
	report, err = db.Report(ctx, survey.RunID(run))
	return report, err == nil, err
}

// Report returns a run as a document. Findings whose detail was thinned hold what the columns still say. A run that was
// killed is not complete and has no end.
func (db *DB) Report(ctx context.Context, run survey.RunID) (r survey.Report, err error) {
	doing := "reading run " + string(run)
	r = survey.Report{Schema: survey.Schema}
	var doc string
	var summary sql.NullString
	if err := db.sql.QueryRowContext(ctx, `SELECT doc, summary FROM runs WHERE id = $1`, string(run)).Scan(&doc, &summary); err != nil {
		return r, fmt.Errorf("%s: %w", doing, err)
	}
	if err := json.Unmarshal([]byte(doc), &r.Run); err != nil {
		return r, fmt.Errorf("%s: %w", doing, err)
	}
	index := map[int64]int{}
	if err := db.each(ctx, doing, `SELECT id, doc FROM checks WHERE run = $1 ORDER BY ordinal`, []any{string(run)}, func(rows *sql.Rows) error {
		var n int64
		var doc string
		if err := rows.Scan(&n, &doc); err != nil {
			return err
		}
		var c survey.Check
		if err := json.Unmarshal([]byte(doc), &c); err != nil {
			return err
		}
		index[n] = len(r.Articles)
		r.Articles = append(r.Articles, c)
		return nil
	}); err != nil {
		return r, err
	}
	if err := db.each(ctx, doing, `SELECT c.id, d.doc FROM checks c JOIN details d ON d.checked = c.at AND d.check_id = c.id WHERE c.run = $1`, []any{string(run)}, func(rows *sql.Rows) error {
		var n int64
		var doc sql.RawBytes
		if err := rows.Scan(&n, &doc); err != nil {
			return err
		}
		text, err := unpacked(doc)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &r.Articles[index[n]].Mirrors)
	}); err != nil {
		return r, err
	}
	if slices.ContainsFunc(r.Articles, func(c survey.Check) bool { return len(c.Mirrors) == 0 }) {
		if err := db.thinnedFindings(ctx, doing, run, index, r.Articles); err != nil {
			return r, err
		}
	}
	if err := db.standsIn(ctx, &r); err != nil {
		return r, err
	}
	if err := db.links(ctx, &r, string(run)); err != nil {
		return r, err
	}
	if err := db.each(ctx, doing, `SELECT host, site, article, rule, evidence, confirmed FROM candidates WHERE run = $1 ORDER BY site, host, article, rule`,
		[]any{string(run)}, func(rows *sql.Rows) error {
			var c survey.CandidateMirror
			if err := rows.Scan(&c.Host, &c.Site, &c.Article, &c.Rule, &c.Evidence, &c.Confirmed); err != nil {
				return err
			}
			r.Candidates = append(r.Candidates, c)
			return nil
		}); err != nil {
		return r, err
	}
	if r.Sync, err = db.Syncs(ctx, run); err != nil {
		return r, err
	}
	if r.Crawls, err = db.Crawls(ctx, run); err != nil {
		return r, err
	}
	if summary.Valid {
		if err := json.Unmarshal([]byte(summary.String), &r.Summary); err != nil {
			return r, fmt.Errorf("%s: its summary: %w", doing, err)
		}
	} else {
		r.Summary = survey.Summarise(r)
	}
	return r.WithLists(), nil
}

// standsIn names the incident, told and not closed when the run ended, that each finding other than up stands in: that of the
// article on the mirror, else that of the mirror. (Findings are saved before incidents are reckoned.)
func (db *DB) standsIn(ctx context.Context, r *survey.Report) error {
	if r.Run.Finished.IsZero() {
		return nil
	}
	type key struct{ site, mirror, article string }
	live := map[key]string{}
	if err := db.each(ctx, "reading incidents of run "+string(r.Run.ID), `SELECT id, site, mirror, article FROM incidents WHERE opened <= $1 AND (closed IS NULL OR closed > $1) ORDER BY started`,
		[]any{micros(r.Run.Finished)}, func(rows *sql.Rows) error {
			var id string
			var k key
			err := rows.Scan(&id, &k.site, &k.mirror, &k.article)
			live[k] = id
			return err
		}); err != nil || len(live) == 0 {
		return err
	}
	for a := range r.Articles {
		c := &r.Articles[a]
		for m := range c.Mirrors {
			f := &c.Mirrors[m]
			if f.State == survey.Up || f.Incident != nil {
				continue
			}
			id := live[key{c.Site, string(f.Mirror), c.URL}]
			if id == "" {
				id = live[key{c.Site, string(f.Mirror), ""}]
			}
			if id != "" {
				f.Incident = &id
			}
		}
	}
	return nil
}

// thinnedFindings fills in the findings of checks whose details are gone.
func (db *DB) thinnedFindings(ctx context.Context, doing string, run survey.RunID, index map[int64]int, checks []survey.Check) error {
	whole := map[int64]bool{}
	for n, i := range index {
		whole[n] = len(checks[i].Mirrors) > 0
	}
	return db.each(ctx, doing, `SELECT o.check_id, o.at, o.state, o.verdict, o.kind, o.page_class, o.confidence, o.reason, o.stage, o.outcome,
			o.status, s.mirror, s.vantage, s.role, s.article
		FROM checks c JOIN observations o ON o.checked = c.at AND o.check_id = c.id JOIN series s ON s.id = o.series
		WHERE c.run = $1 ORDER BY c.ordinal, o.ordinal`, []any{string(run)}, func(rows *sql.Rows) error {
		check, f, err := scanFinding(rows)
		if err == nil && !whole[check] {
			c := &checks[index[check]]
			c.Mirrors = append(c.Mirrors, f)
		}
		return err
	})
}

func scanFinding(rows *sql.Rows) (check int64, f survey.Finding, err error) {
	var at int64
	var kind sql.NullString
	var status sql.NullInt64
	var reason, article string
	var o survey.Observation
	var v survey.Verdict
	if err := rows.Scan(&check, &at, &v.State, &v.Verdict, &kind, &v.PageClass, &v.Confidence, &reason, &o.Stage, &o.Outcome, &status,
		&o.Mirror, &o.Vantage, &o.Role, &article); err != nil {
		return 0, f, err
	}
	o.ObservedAt, o.URL = moment(at), article
	if kind.Valid {
		v.Kind = &kind.String
	}
	if status.Valid {
		o.Status = survey.Ptr(int(status.Int64))
	}
	if reason != "" {
		v.Reasons = []string{reason}
	}
	return check, survey.Finding{Observation: o, Verdict: v}, nil
}

// links reads the links that the run met, targets in order, results by mirror and vantage.
func (db *DB) links(ctx context.Context, r *survey.Report, run string) error {
	var last int64
	return db.each(ctx, "reading links of run "+run, `SELECT l.id, l.target, l.kind, l.parents, s.mirror, s.vantage, s.url, s.status, s.outcome, s.state, s.first_seen
		FROM links l JOIN link_states s ON s.link = l.id AND s.run = $1
		WHERE l.run = $1 ORDER BY l.site, l.target, l.id, s.mirror, s.vantage`, []any{run}, func(rows *sql.Rows) error {
		var n, first int64
		var l survey.Link
		var res survey.LinkResult
		var parents string
		var status sql.NullInt64
		if err := rows.Scan(&n, &l.Target, &l.Kind, &parents, &res.Mirror, &res.Vantage, &res.URL, &status, &res.Outcome, &res.State, &first); err != nil {
			return err
		}
		if status.Valid {
			res.Status = survey.Ptr(int(status.Int64))
		}
		res.FirstSeen = moment(first)
		if n != last || len(r.Links) == 0 {
			if err := json.Unmarshal([]byte(parents), &l.Parents); err != nil {
				return err
			}
			r.Links = append(r.Links, l)
			last = n
		}
		at := &r.Links[len(r.Links)-1]
		at.Results = append(at.Results, res)
		return nil
	})
}

// Runs returns the newest runs, newest first.
func (db *DB) Runs(ctx context.Context, limit int) ([]survey.RunRow, error) {
	var all []survey.RunRow
	err := db.each(ctx, "reading runs", `SELECT doc, summary FROM runs ORDER BY started DESC, id DESC LIMIT $1`, []any{limit}, func(rows *sql.Rows) error {
		var doc string
		var summary sql.NullString
		if err := rows.Scan(&doc, &summary); err != nil {
			return err
		}
		var r survey.RunRow
		if err := json.Unmarshal([]byte(doc), &r.Run); err != nil {
			return err
		}
		if summary.Valid {
			if err := json.Unmarshal([]byte(summary.String), &r.Summary); err != nil {
				return err
			}
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

// Since says in which state the article is on the mirror and since when; ok is false when it was never seen there. An
// unknown span between two spans of one state does not begin the state anew.
func (db *DB) Since(ctx context.Context, site, article string, mirror survey.Host, vantage string) (state survey.State, since time.Time, ok bool, err error) {
	series := seriesID(site, article, mirror, vantage)
	err = db.sql.QueryRowContext(ctx, `SELECT state FROM states WHERE series = $1 ORDER BY first_seen DESC LIMIT 1`, series).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", time.Time{}, false, nil
	}
	var us sql.NullInt64
	if err == nil {
		err = db.sql.QueryRowContext(ctx, sinceQuery, series, string(state)).Scan(&us)
	}
	if err != nil {
		return "", time.Time{}, false, fmt.Errorf("reading the state of %q on %q: %w", article, mirror, err)
	}
	return state, moment(us.Int64), true, nil
}

// FillSince sets Since of every finding that has none to what it will be once the Check is saved: when its state began,
// which is now when the state is new.
func (db *DB) FillSince(ctx context.Context, check *survey.Check, at time.Time) error {
	for i := range check.Mirrors {
		f := &check.Mirrors[i]
		if f.Since != nil {
			continue
		}
		series := seriesID(check.Site, check.URL, f.Mirror, f.Vantage)
		var us sql.NullInt64
		if err := db.sql.QueryRowContext(ctx, sinceQuery, series, string(f.State)).Scan(&us); err != nil {
			return fmt.Errorf("reading the state of %q on %q: %w", check.URL, f.Mirror, err)
		}
		began := when(&f.Observation, at)
		if us.Valid {
			began = moment(us.Int64)
		}
		f.Since = &began
	}
	return nil
}

// A StoredVersion is an archived version of an article that could serve as reference.
type StoredVersion = survey.SnapshotRow

// Versions returns the snapshots of the article that were up and carry no flag, newest first.
func (db *DB) Versions(ctx context.Context, site, article string, limit int) ([]StoredVersion, error) {
	return db.Snapshots(ctx, SnapshotQuery{Site: site, Article: article, Good: true, Limit: limit})
}

// SnapshotQuery chooses snapshots; empty fields choose all.
type SnapshotQuery struct {
	Site    string
	Article string // the article's URL on its primary
	URL     string // the article's or the snapshot's own URL
	Mirror  survey.Host
	Vantage string
	Run     survey.RunID
	From,
	To time.Time // of the span in which the snapshot's bytes were met
	Good  bool // up, and neither imported nor over unverified TLS
	Limit int  // 0: 1000
}

// Snapshots returns snapshots with their verdicts, newest first.
func (db *DB) Snapshots(ctx context.Context, q SnapshotQuery) ([]survey.SnapshotRow, error) {
	var where []string
	var args []any
	add := func(cond string, arg any) {
		args = append(args, arg)
		where = append(where, strings.ReplaceAll(cond, "?", fmt.Sprintf("$%d", len(args))))
	}
	if q.Site != "" {
		add("s.site = ?", q.Site)
	}
	if q.Article != "" {
		add("s.article = ?", q.Article)
	}
	if q.URL != "" {
		add("(s.article = ? OR n.url = ?)", q.URL)
	}
	if q.Mirror != "" {
		add("s.mirror = ?", string(q.Mirror))
	}
	if q.Vantage != "" {
		add("s.vantage = ?", q.Vantage)
	}
	if q.Run != "" {
		add("n.series IN (SELECT o.series FROM checks c JOIN observations o ON o.checked = c.at AND o.check_id = c.id WHERE c.run = ?)", string(q.Run))
	}
	if !q.From.IsZero() {
		add("n.last_seen >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		add("n.time <= ?", micros(q.To))
	}
	if q.Good {
		where = append(where, "n.state = 'up' AND n.flagged = 0")
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	text := `SELECT n.id, s.site, s.article, s.mirror, s.vantage, n.url, n.time, n.last_seen, n.count, n.state, n.verdict, n.page_class, n.payload, n.flagged, n.left_out, n.page
		FROM snapshots n JOIN series s ON s.id = n.series`
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	if len(where) == 0 {
		// Of all snapshots: sorted by what is needed to sort, so that no row is read that is not among the newest.
		text = strings.Replace(text, "FROM snapshots n ", fmt.Sprintf("FROM (SELECT id FROM snapshots ORDER BY time DESC, id LIMIT %d) p JOIN snapshots n ON n.id = p.id ", q.Limit), 1)
	}
	args = append(args, q.Limit)
	text += fmt.Sprintf(" ORDER BY n.time DESC, n.id LIMIT $%d", len(args))
	var all []survey.SnapshotRow
	err := db.each(ctx, "reading snapshots", text, args, func(rows *sql.Rows) error {
		var r survey.SnapshotRow
		var first, last int64
		var page sql.RawBytes
		if err := rows.Scan(&r.ID, &r.Site, &r.Article, &r.Mirror, &r.Vantage, &r.URL, &first, &last, &r.Count, &r.State, &r.Verdict,
			&r.PageClass, &r.Payload, &r.Flagged, &r.LeftOut, &page); err != nil {
			return err
		}
		var at struct {
			File           string
			Offset, Length int64
		}
		if err := json.Unmarshal(page, &at); err != nil {
			return err
		}
		r.File, r.Offset, r.Length = at.File, at.Offset, at.Length
		r.Time, r.Last = moment(first), moment(last)
		r.Name = survey.Snapshot{Time: r.Time, URL: r.URL}.Name()
		all = append(all, r)
		return nil
	})
	return all, err
}

// KnownRequisite is a requisite with the span in which its content was met.
type KnownRequisite struct {
	survey.Requisite
	First, Last time.Time
}

// Requisites returns what the article needed on the mirror in its newest snapshot, by URL: what was met at or after
// since (zero: at the time of the newest).
func (db *DB) Requisites(ctx context.Context, site, article string, mirror survey.Host, vantage string, since time.Time) ([]KnownRequisite, error) {
	series := seriesID(site, article, mirror, vantage)
	from := micros(since)
	if since.IsZero() {
		var us sql.NullInt64
		if err := db.sql.QueryRowContext(ctx, `SELECT MAX(last_seen) FROM requisites WHERE series = $1`, series).Scan(&us); err != nil {
			return nil, fmt.Errorf("reading requisites of %q: %w", article, err)
		}
		from = us.Int64
	}
	var all []KnownRequisite
	err := db.each(ctx, "reading requisites", `SELECT doc, first_seen, last_seen FROM requisites WHERE series = $1 AND last_seen >= $2 ORDER BY url, first_seen`,
		[]any{series, from}, func(rows *sql.Rows) error {
			var doc string
			var first, last int64
			if err := rows.Scan(&doc, &first, &last); err != nil {
				return err
			}
			var r KnownRequisite
			if err := json.Unmarshal([]byte(doc), &r.Requisite); err != nil {
				return err
			}
			r.First, r.Last = moment(first), moment(last)
			all = append(all, r)
			return nil
		})
	return all, err
}

// KnownLink is the newest answer for a link on a mirror.
type KnownLink struct {
	Target  string
	Kind    string
	Parents []string
	survey.LinkResult
	Checked time.Time // when it was last asked for
}

// KnownLinks calls f for the newest answer of every link of the site on every mirror and vantage, in the order of targets,
// until f returns false. No more than one is held in memory.
func (db *DB) KnownLinks(ctx context.Context, site string, f func(KnownLink) bool) error {
	stop := errors.New("stop")
	err := db.each(ctx, "reading links", `SELECT l.target, l.kind, l.parents, s.mirror, s.vantage, s.url, s.status, s.outcome, s.state, s.first_seen, s.checked
		FROM links l JOIN link_states s ON s.link = l.id
		WHERE l.site = $1 AND s.first_seen = (SELECT MAX(n.first_seen) FROM link_states n WHERE n.link = s.link AND n.mirror = s.mirror AND n.vantage = s.vantage)
		ORDER BY l.target, s.mirror, s.vantage`, []any{site}, func(rows *sql.Rows) error {
		var k KnownLink
		var parents string
		var status sql.NullInt64
		var first, checked int64
		if err := rows.Scan(&k.Target, &k.Kind, &parents, &k.Mirror, &k.Vantage, &k.URL, &status, &k.Outcome, &k.State, &first, &checked); err != nil {
			return err
		}
		if k.State != "ok" { // of what works nobody asks
			if err := json.Unmarshal([]byte(parents), &k.Parents); err != nil {
				return err
			}
		}
		if status.Valid {
			k.Status = survey.Ptr(int(status.Int64))
		}
		k.FirstSeen, k.Checked = moment(first), moment(checked)
		if !f(k) {
			return stop
		}
		return nil
	})
	if errors.Is(err, stop) {
		return nil
	}
	return err
}

// States returns state intervals that began at or after since, newest first: what changed. limit 0 is 1000.
func (db *DB) States(ctx context.Context, since time.Time, limit int) ([]survey.StateInterval, error) {
	if limit <= 0 {
		limit = 1000
	}
	from := int64(0)
	if !since.IsZero() {
		from = micros(since)
	}
	var all []survey.StateInterval
	err := db.each(ctx, "reading states", `SELECT s.site, s.article, s.mirror, s.vantage, t.state, t.verdict, t.first_seen, t.last_seen, t.before
		FROM states t JOIN series s ON s.id = t.series WHERE t.first_seen >= $1
		ORDER BY t.first_seen DESC, s.article, s.mirror, s.vantage LIMIT $2`, []any{from, limit}, func(rows *sql.Rows) error {
		var i survey.StateInterval
		var first, last int64
		if err := rows.Scan(&i.Site, &i.Article, &i.Mirror, &i.Vantage, &i.State, &i.Verdict, &first, &last, &i.Before); err != nil {
			return err
		}
		i.First, i.Last = moment(first), moment(last)
		all = append(all, i)
		return nil
	})
	return all, err
}

// Mirrors returns the record of every mirror by site, role, mirror and vantage: counts of the windows that end at now and
// a strip of 90 days. It reads roll-ups only, so its cost does not grow with the number of observations.
func (db *DB) Mirrors(ctx context.Context, now time.Time) ([]survey.MirrorHistory, error) {
	type key struct{ site, mirror, vantage string }
	index := map[key]int{}
	var all []survey.MirrorHistory
	today := now.UTC().Truncate(day)
	firstDay := today.Add(-89 * day)
	if err := db.each(ctx, "reading mirrors", `SELECT site, mirror, vantage, MAX(role), MAX(last_seen) FROM series
		GROUP BY site, mirror, vantage ORDER BY site, CASE MAX(role) WHEN 'primary' THEN 0 WHEN 'alternate' THEN 1 ELSE 2 END, mirror, vantage`, nil,
		func(rows *sql.Rows) error {
			var m survey.MirrorHistory
			var last int64
			if err := rows.Scan(&m.Site, &m.Mirror, &m.Vantage, &m.Role, &last); err != nil {
				return err
			}
			if moment(last).Before(firstDay) {
				return nil // gone for the whole strip
			}
			m.Days = make([]survey.DayCount, 90)
			for i := range m.Days {
				m.Days[i].Day = firstDay.Add(time.Duration(i) * day)
			}
			index[key{m.Site, string(m.Mirror), m.Vantage}] = len(all)
			all = append(all, m)
			return nil
		}); err != nil {
		return nil, err
	}
	const columns = `site, mirror, vantage, start, up, degraded, down, unknown, void, maintenance, first_byte_us, first_bytes`
	scan := func(rows *sql.Rows) (*survey.MirrorHistory, time.Time, survey.Counts, *float64, error) {
		var k key
		var start, us, n int64
		var c survey.Counts
		if err := rows.Scan(&k.site, &k.mirror, &k.vantage, &start, &c.Up, &c.Degraded, &c.Down, &c.Unknown, &c.Void, &c.Maintenance, &us, &n); err != nil {
			return nil, time.Time{}, c, nil, err
		}
		var ms *float64
		if n > 0 {
			ms = survey.Ptr(float64(us) / float64(n) / 1000)
		}
		i, ok := index[k]
		if !ok {
			return nil, time.Time{}, c, nil, nil
		}
		return &all[i], moment(start), c, ms, nil
	}
	if err := db.each(ctx, "reading days", `SELECT `+columns+` FROM daily WHERE start >= $1 AND start <= $2`, []any{micros(firstDay), micros(today)},
		func(rows *sql.Rows) error {
			m, start, c, ms, err := scan(rows)
			if err != nil || m == nil {
				return err
			}
			i := int(start.Sub(firstDay) / day)
			m.Days[i].Counts, m.Days[i].FirstByteMS = c, ms
			m.D90 = m.D90.Plus(c)
			if i >= 60 {
				m.D30 = m.D30.Plus(c)
			}
			return nil
		}); err != nil {
		return nil, err
	}
	thisHour := now.UTC().Truncate(hour)
	if err := db.each(ctx, "reading hours", `SELECT `+columns+` FROM hourly WHERE start > $1 AND start <= $2`, []any{micros(thisHour.Add(-7 * day)), micros(thisHour)},
		func(rows *sql.Rows) error {
			m, start, c, _, err := scan(rows)
			if err != nil || m == nil {
				return err
			}
			m.D7 = m.D7.Plus(c)
			if start.After(thisHour.Add(-day)) {
				m.H24 = m.H24.Plus(c)
			}
			return nil
		}); err != nil {
		return nil, err
	}
	// The newest interval of each series gives the mirror's state: the worst of its articles' newest.
	err := db.each(ctx, "reading states", `SELECT s.site, s.mirror, s.vantage, t.state, t.first_seen
		FROM series s JOIN states t ON t.series = s.id
		WHERE s.last_seen >= $1 AND t.first_seen = (SELECT MAX(n.first_seen) FROM states n WHERE n.series = s.id)`, []any{micros(firstDay)},
		func(rows *sql.Rows) error {
			var k key
			var state survey.State
			var first int64
			if err := rows.Scan(&k.site, &k.mirror, &k.vantage, &state, &first); err != nil {
				return err
			}
			i, ok := index[k]
			if !ok {
				return nil
			}
			m, at := &all[i], moment(first)
			if m.Since == nil || state.Rank() > m.State.Rank() || state == m.State && at.Before(*m.Since) {
				m.State, m.Since = state, &at
			}
			return nil
		})
	return all, err
}
