package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sort"
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
	border := func(d time.Duration) int64 {
		if d <= 0 {
			return -1 << 62
		}
		return min(micros(now.Add(-d)), newest.Int64)
	}
	// checks are taken with all that hangs on them, some hundred in a transaction.
	const old = `SELECT at, id FROM checks WHERE at < $1 ORDER BY at, id LIMIT $2`
	type step struct {
		into         *int64
		count, query string
	}
	for _, group := range []struct {
		before int64
		batch  int
		steps  []step // of one transaction; it is over when the last one took less than a whole batch
	}{
		{raw, max(1, keep.MaxBatch/8), []step{
			{&p.Observations, `SELECT COALESCE(SUM(size), 0) FROM checks WHERE at < $1`, `DELETE FROM observations WHERE (checked, check_id) IN (` + old + `)`},
			{nil, "", `DELETE FROM verdicts WHERE check_id IN (SELECT id FROM checks WHERE at < $1 ORDER BY at, id LIMIT $2)`},
			{&p.Checks, `SELECT COUNT(*) FROM checks WHERE at < $1`, `DELETE FROM checks WHERE (at, id) IN (` + old + `)`}}},
		{border(keep.Detail), max(1, keep.MaxBatch/8), []step{
			{&p.Details, `SELECT COUNT(*) FROM details WHERE checked < $1`,
				`DELETE FROM details WHERE (checked, check_id) IN (SELECT checked, check_id FROM details WHERE checked < $1 ORDER BY checked, check_id LIMIT $2)`}}},
		{raw, max(1, keep.MaxBatch/8), []step{
			{nil, "", `DELETE FROM details WHERE (checked, check_id) IN (SELECT checked, check_id FROM details WHERE checked < $1 ORDER BY checked, check_id LIMIT $2)`}}},
		{raw, keep.MaxBatch, []step{
			{&p.Runs, `SELECT COUNT(*) FROM runs r WHERE started < $1 AND NOT EXISTS (SELECT 1 FROM checks c WHERE c.run = r.id AND c.at >= $1)`,
				`DELETE FROM runs WHERE id IN (SELECT r.id FROM runs r WHERE r.started < $1 AND NOT EXISTS (SELECT 1 FROM checks c WHERE c.run = r.id) LIMIT $2)`}}},
		{raw, keep.MaxBatch, []step{
			{nil, "", `DELETE FROM evaluations WHERE run IN (SELECT run FROM evaluations WHERE at < $1 LIMIT $2)`}}},
		{border(keep.Hourly), keep.MaxBatch, []step{
			{&p.Hours, `SELECT COUNT(*) FROM hourly WHERE start < $1`,
				`DELETE FROM hourly WHERE (site, mirror, vantage, start) IN (SELECT site, mirror, vantage, start FROM hourly WHERE start < $1 LIMIT $2)`}}},
		{border(keep.Hourly), keep.MaxBatch, []step{
			{&p.Notices, `SELECT COUNT(*) FROM notices WHERE created < $1 AND state IN ('sent', 'unknown')`,
				`DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE created < $1 AND state IN ('sent', 'unknown') LIMIT $2)`}}},
	} {
		if keep.DryRun {
			for _, s := range group.steps {
				if s.into == nil {
					continue
				}
				if err := db.sql.QueryRowContext(ctx, s.count, group.before).Scan(s.into); err != nil {
					return p, fmt.Errorf("counting what can be pruned: %w", err)
				}
			}
			continue
		}
		for more := true; more; {
			if err := db.tx(ctx, "pruning history", func(t *tx) error {
				for _, s := range group.steps {
					n, err := t.exec(ctx, s.query, group.before, group.batch)
					if err != nil {
						return err
					}
					more = n == int64(group.batch)
					if s.into != nil {
						*s.into += n
					}
				}
				return nil
			}); err != nil {
				return p, err
			}
		}
	}
	if keep.DryRun {
		return p, nil
	}
	p.Vacuumed, err = db.shrink(ctx)
	return p, err
}

// rawBorder is the time before which observations go: by age, or by count when that comes later; never after the newest
// run's start.
func (db *DB) rawBorder(ctx context.Context, now time.Time, keep Keep, newest int64) (int64, error) {
	border := int64(-1 << 62)
	if keep.Raw > 0 {
		border = micros(now.Add(-keep.Raw))
	}
	var all int64
	if keep.RawRows > 0 {
		if err := db.sql.QueryRowContext(ctx, `SELECT COALESCE(SUM(size), 0) FROM checks`).Scan(&all); err != nil {
			return 0, fmt.Errorf("pruning history: %w", err)
		}
	}
	if keep.RawRows > 0 && all > keep.RawRows {
		enough, rows := errors.New("enough"), int64(0)
		err := db.each(ctx, "pruning history", `SELECT at, size FROM checks ORDER BY at DESC`, nil, func(r *sql.Rows) error {
			var at, size int64
			if err := r.Scan(&at, &size); err != nil {
				return err
			}
			if rows += size; rows >= keep.RawRows {
				border = max(border, at)
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			return 0, err
		}
	}
	return min(border, newest), nil
}

// shrink rebuilds the file when a third of it or more is unused, and that is at least 8 MB. A rebuild needs free space of
// the file's size for a moment.
func (db *DB) shrink(ctx context.Context) (bool, error) {
	var pages, free, size int64
	for q, into := range map[string]*int64{"PRAGMA page_count": &pages, "PRAGMA freelist_count": &free, "PRAGMA page_size": &size} {
		if err := db.sql.QueryRowContext(ctx, q).Scan(into); err != nil {
			return false, fmt.Errorf("measuring history: %w", err)
		}
	}
	if 3*free < pages || free*size < 8<<20 {
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
	const query = `SELECT value FROM meta WHERE key = 'pruned'`
	isDue := func(last string) bool {
		at, err := time.Parse(time.RFC3339, last)
		return err != nil || now.Sub(at) >= 24*time.Hour || at.After(now.Add(time.Hour))
	}
	var last string
	// Most runs need not write for this.
	if err := db.sql.QueryRowContext(ctx, query).Scan(&last); err == nil && !isDue(last) {
		return false, nil
	}
	err = db.tx(ctx, "asking for the last pruning", func(t *tx) error {
		if _, err := t.row(ctx, query, nil, []any{&last}); err != nil {
			return err
		}
		if due = isDue(last); !due {
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
	for _, name := range []string{"runs", "checks", "series", "observations", "details", "states", "snapshots", "requisites", "links", "link_states", "crawls", "syncs", "arrivals", "hourly", "daily", "incidents", "notices", "tracks"} {
		t := TableSize{Name: name}
		if err := db.sql.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+name).Scan(&t.Rows); err != nil {
			return s, fmt.Errorf("measuring history: %w", err)
		}
		s.Tables = append(s.Tables, t)
	}
	sort.SliceStable(s.Tables, func(i, j int) bool { return s.Tables[i].Rows > s.Tables[j].Rows })
	for q, into := range map[string]**time.Time{`SELECT MIN(started) FROM runs`: &s.First, `SELECT MAX(started) FROM runs`: &s.Last, `SELECT MIN(at) FROM checks`: &s.Oldest} {
		var us sql.NullInt64
		if err := db.sql.QueryRowContext(ctx, q).Scan(&us); err != nil {
			return s, fmt.Errorf("measuring history: %w", err)
		}
		*into = momentPtr(us)
	}
	return s, nil
}
