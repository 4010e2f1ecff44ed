package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"time"
)

// Keep says what stays in the history. A zero duration or count is without bound. Days, states, incidents and snapshots
// always stay: they grow with what happens, not with time.
type Keep struct {
	Raw      time.Duration // observations, checks and runs: so old
	RawRows  int64         // and so many observations at most, the newest
	Detail   time.Duration // the findings' documents: so old; what their columns say stays, and the archive has the whole
	Hourly   time.Duration // counts by hour
	DryRun   bool          // count only
	MaxBatch int           // rows of one transaction; 0: 5000
}

// Pruned counts what was taken away, or would be.
type Pruned struct {
	Observations, Details, Checks, Runs, Hours, Notices, Tracks int64
	Vacuumed                                                    bool
}

// Total is the number of rows that go.
func (p Pruned) Total() int64 {
	return p.Observations + p.Details + p.Checks + p.Runs + p.Hours + p.Notices
}

// PruneRaw takes away what Keep does not name, in transactions of bounded length, so that it can end at any point: the
// next call goes on. It gives space back to the disk when more than a third of a file of some size is unused.
//
// The newest run always stays whole, and so do its details.
func (db *DB) PruneRaw(ctx context.Context, now time.Time, keep Keep) (Pruned, error) {
	if keep.MaxBatch <= 0 {
		keep.MaxBatch = 5000
	}
	var p Pruned
	var newest sql.NullInt64
	if err := db.sql.QueryRowContext(ctx, `SELECT started FROM runs ORDER BY started DESC LIMIT 1`).Scan(&newest); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return p, nil
		}
		return p, fmt.Errorf("pruning history: %w", err)
	}
	raw, err := db.rawBorder(ctx, now, keep, newest.Int64)
	if err != nil {
		return p, err
	}
	thinned, err := db.thinned(ctx)
	if err != nil {
		return p, err
	}
	border := func(d time.Duration) int64 {
		if d <= 0 {
			return -1 << 62
		}
		return min(micros(now.Add(-d)), newest.Int64)
	}
	for _, s := range []struct {
		into         *int64
		count, query string
		args         []any
	}{
		{&p.Observations, `SELECT COUNT(*) FROM observations WHERE at < $1`,
			`DELETE FROM observations WHERE (series, at, check_id) IN (SELECT series, at, check_id FROM observations WHERE at < $1 ORDER BY at LIMIT $2)`, []any{raw}},
		{&p.Details, `SELECT COUNT(*) FROM observations WHERE at < $1 AND at >= $2 AND detail IS NOT NULL`,
			`UPDATE observations SET detail = NULL WHERE (series, at, check_id) IN (SELECT series, at, check_id FROM observations WHERE at < $1 AND at >= $2 AND detail IS NOT NULL ORDER BY at DESC LIMIT $3)`,
			[]any{border(keep.Detail), max(raw, thinned)}},
		{nil, "", `DELETE FROM verdicts WHERE (series, check_id, rules_version) IN (SELECT v.series, v.check_id, v.rules_version FROM verdicts v JOIN checks c ON c.id = v.check_id WHERE c.at < $1
			AND NOT EXISTS (SELECT 1 FROM observations o WHERE o.check_id = c.id) LIMIT $2)`, []any{raw}},
		{&p.Checks, `SELECT COUNT(*) FROM checks c WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM observations o WHERE o.check_id = c.id AND o.at >= $1)`,
			`DELETE FROM checks WHERE id IN (SELECT c.id FROM checks c WHERE c.at < $1 AND NOT EXISTS (SELECT 1 FROM observations o WHERE o.check_id = c.id) LIMIT $2)`, []any{raw}},
		{&p.Runs, `SELECT COUNT(*) FROM runs r WHERE started < $1 AND NOT EXISTS (SELECT 1 FROM checks c WHERE c.run = r.id AND c.at >= $1)`,
			`DELETE FROM runs WHERE id IN (SELECT r.id FROM runs r WHERE r.started < $1 AND NOT EXISTS (SELECT 1 FROM checks c WHERE c.run = r.id) LIMIT $2)`, []any{raw}},
		{nil, "", `DELETE FROM evaluations WHERE run IN (SELECT run FROM evaluations WHERE at < $1 LIMIT $2)`, []any{raw}},
		{&p.Hours, `SELECT COUNT(*) FROM hourly WHERE start < $1`,
			`DELETE FROM hourly WHERE (site, mirror, vantage, start) IN (SELECT site, mirror, vantage, start FROM hourly WHERE start < $1 LIMIT $2)`, []any{border(keep.Hourly)}},
		{&p.Notices, `SELECT COUNT(*) FROM notices WHERE created < $1 AND state IN ('sent', 'unknown')`,
			`DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE created < $1 AND state IN ('sent', 'unknown') LIMIT $2)`, []any{border(keep.Hourly)}},
	} {
		if keep.DryRun {
			if s.into != nil {
				if err := db.sql.QueryRowContext(ctx, s.count, s.args...).Scan(s.into); err != nil {
					return p, fmt.Errorf("counting what can be pruned: %w", err)
				}
			}
			continue
		}
		for more := true; more; {
			if err := db.tx(ctx, "pruning history", func(t *tx) error {
				n, err := t.exec(ctx, s.query, append(append([]any{}, s.args...), keep.MaxBatch)...)
				more = n == int64(keep.MaxBatch)
				if s.into != nil {
					*s.into += n
				}
				return err
			}); err != nil {
				return p, err
			}
		}
	}
	if keep.DryRun {
		return p, nil
	}
	if keep.Detail > 0 {
		if err := db.tx(ctx, "pruning history", func(t *tx) error {
			_, err := t.exec(ctx, `INSERT INTO meta (key, value) VALUES ('thinned', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, strconv.FormatInt(border(keep.Detail), 10))
			return err
		}); err != nil {
			return p, err
		}
	}
	p.Vacuumed, err = db.shrink(ctx, p.Details)
	return p, err
}

// thinned is the time before which an earlier call has taken all details away, so that their rows need no second look.
func (db *DB) thinned(ctx context.Context) (int64, error) {
	var text string
	err := db.sql.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'thinned'`).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return -1 << 62, nil
	}
	if err != nil {
		return 0, fmt.Errorf("pruning history: %w", err)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1 << 62, nil // looked at again from the start
	}
	return n, nil
}

// rawBorder is the time before which observations go: by age, or by count when that comes later; never after the newest
// run's start.
func (db *DB) rawBorder(ctx context.Context, now time.Time, keep Keep, newest int64) (int64, error) {
	border := int64(-1 << 62)
	if keep.Raw > 0 {
		border = micros(now.Add(-keep.Raw))
	}
	if keep.RawRows > 0 {
		var at int64
		err := db.sql.QueryRowContext(ctx, `SELECT at FROM observations ORDER BY at DESC LIMIT 1 OFFSET $1`, keep.RawRows-1).Scan(&at)
		switch {
		case err == nil:
			border = max(border, at)
		case !errors.Is(err, sql.ErrNoRows):
			return 0, fmt.Errorf("pruning history: %w", err)
		}
	}
	return min(border, newest), nil
}

// shrink rebuilds the file when a third of it or more is unused, and that is at least 8 MB; or when so many details went
// since the last time that pages stand half empty: SQLite does not join pages whose rows became shorter. A rebuild needs
// free space of the file's size for a moment.
func (db *DB) shrink(ctx context.Context, details int64) (bool, error) {
	var pages, free, size, rows, shortened int64
	for q, into := range map[string]*int64{"PRAGMA page_count": &pages, "PRAGMA freelist_count": &free, "PRAGMA page_size": &size,
		`SELECT COUNT(*) FROM observations`: &rows, `SELECT COALESCE((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'shortened'), 0)`: &shortened} {
		if err := db.sql.QueryRowContext(ctx, q).Scan(into); err != nil {
			return false, fmt.Errorf("measuring history: %w", err)
		}
	}
	shortened += details
	rebuild := 3*free >= pages && free*size >= 8<<20 || shortened >= max(4000, rows/16)
	if rebuild {
		shortened = 0
	}
	if rebuild || details > 0 {
		if err := db.tx(ctx, "pruning history", func(t *tx) error {
			_, err := t.exec(ctx, `INSERT INTO meta (key, value) VALUES ('shortened', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, strconv.FormatInt(shortened, 10))
			return err
		}); err != nil {
			return false, err
		}
	}
	if !rebuild {
		return false, nil
	}
	db.writing.Lock()
	defer db.writing.Unlock()
	if _, err := db.sql.ExecContext(ctx, `VACUUM`); err != nil {
		return false, fmt.Errorf("rebuilding history %q: %w", db.path, err)
	}
	if _, err := db.sql.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return true, fmt.Errorf("rebuilding history %q: %w", db.path, err)
	}
	return true, nil
}

// PruneDue reports whether the last automatic pruning is a day old or more, and if so notes that one is made now.
func (db *DB) PruneDue(ctx context.Context, now time.Time) (due bool, err error) {
	err = db.tx(ctx, "asking for the last pruning", func(t *tx) error {
		var last string
		found, err := t.row(ctx, `SELECT value FROM meta WHERE key = 'pruned'`, nil, []any{&last})
		if err != nil {
			return err
		}
		at, perr := time.Parse(time.RFC3339, last)
		if due = !found || perr != nil || now.Sub(at) >= 24*time.Hour || at.After(now.Add(time.Hour)); !due {
			return nil
		}
		_, err = t.exec(ctx, `INSERT INTO meta (key, value) VALUES ('pruned', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, now.UTC().Format(time.RFC3339))
		return err
	})
	return due, err
}

// TableSize is the extent of one table.
type TableSize struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

// Sizes is the extent of the history.
type Sizes struct {
	File   int64       `json:"file_bytes"` // with its WAL
	Unused int64       `json:"unused_bytes"`
	Tables []TableSize `json:"tables"`
	First  *time.Time  `json:"first_run"`
	Last   *time.Time  `json:"last_run"`
	// Oldest is the oldest observation that is still there by itself, and not only in the counts.
	Oldest *time.Time `json:"oldest_observation"`
}

// Sizes measures the history.
func (db *DB) Sizes(ctx context.Context) (Sizes, error) {
	var s Sizes
	for _, name := range []string{db.path, db.path + "-wal"} {
		if st, err := os.Stat(name); err == nil {
			s.File += st.Size()
		}
	}
	var free, size int64
	for q, into := range map[string]*int64{"PRAGMA freelist_count": &free, "PRAGMA page_size": &size} {
		if err := db.sql.QueryRowContext(ctx, q).Scan(into); err != nil {
			return s, fmt.Errorf("measuring history: %w", err)
		}
	}
	s.Unused = free * size
	for _, name := range []string{"runs", "checks", "series", "observations", "states", "snapshots", "requisites", "links", "link_states", "crawls", "syncs", "arrivals", "hourly", "daily", "incidents", "notices", "tracks"} {
		t := TableSize{Name: name}
		if err := db.sql.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+name).Scan(&t.Rows); err != nil {
			return s, fmt.Errorf("measuring history: %w", err)
		}
		s.Tables = append(s.Tables, t)
	}
	sort.SliceStable(s.Tables, func(i, j int) bool { return s.Tables[i].Rows > s.Tables[j].Rows })
	for q, into := range map[string]**time.Time{`SELECT MIN(started) FROM runs`: &s.First, `SELECT MAX(started) FROM runs`: &s.Last, `SELECT MIN(at) FROM observations`: &s.Oldest} {
		var us sql.NullInt64
		if err := db.sql.QueryRowContext(ctx, q).Scan(&us); err != nil {
			return s, fmt.Errorf("measuring history: %w", err)
		}
		*into = momentPtr(us)
	}
	return s, nil
}
