package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Unfinished returns the runs that began and whose end is not known, oldest first: one may be under way, others were
// killed. Those that Reconciled was told of are left out.
func (db *DB) Unfinished(ctx context.Context) ([]survey.RunID, error) {
	var runs []survey.RunID
	err := db.each(ctx, "reading unfinished runs", `SELECT id FROM runs WHERE finished IS NULL
		AND instr(COALESCE((SELECT value FROM meta WHERE key = 'reconciled'), ''), id) = 0 ORDER BY id`, nil, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		runs = append(runs, survey.RunID(id))
		return nil
	})
	return runs, err
}

// Reconciled notes that all that the archive has of these killed runs is in the history. They are named one by one: runs of the
// same second have no order, and a clock may go back.
func (db *DB) Reconciled(ctx context.Context, runs ...survey.RunID) error {
	return db.tx(ctx, "saving what was reconciled", func(t *tx) error {
		var list []string
		err := t.rows(ctx, `SELECT id FROM runs WHERE finished IS NULL
			AND instr(COALESCE((SELECT value FROM meta WHERE key = 'reconciled'), ''), id) > 0`, nil, func(rows *sql.Rows) error {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			list = append(list, id)
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range runs {
			list = append(list, string(id))
		}
		slices.Sort(list)
		_, err = t.exec(ctx, `INSERT INTO meta (key, value) VALUES ('reconciled', $1)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, strings.Join(slices.Compact(list), " "))
		return err
	})
}

// SnapshotRef is what a row of snapshots points at in the archive.
type SnapshotRef struct {
	ID, LastID  survey.RecordID // of the first and the newest visit in the span
	Article     string
	Mirror      survey.Host
	Vantage     string
	URL         string
	First, Last time.Time
}

// References calls f for every row of snapshots until it returns an error.
func (db *DB) References(ctx context.Context, f func(SnapshotRef) error) error {
	return db.each(ctx, "reading references", `SELECT n.id, n.last_id, s.article, s.mirror, s.vantage, n.url, n.time, n.last_seen
		FROM snapshots n JOIN series s ON s.id = n.series ORDER BY n.time, n.id`, nil, func(rows *sql.Rows) error {
		var r SnapshotRef
		var id, last, mirror string
		var from, to int64
		if err := rows.Scan(&id, &last, &r.Article, &mirror, &r.Vantage, &r.URL, &from, &to); err != nil {
			return err
		}
		r.ID, r.LastID, r.Mirror, r.First, r.Last = survey.RecordID(id), survey.RecordID(last), survey.Host(mirror), moment(from), moment(to)
		return f(r)
	})
}

// DropSnapshots takes snapshots out whose records are gone from the archive. A row of which the first or the newest visit
// is still there points at that from then on.
func (db *DB) DropSnapshots(ctx context.Context, gone []SnapshotRef, there func(survey.RecordID) (survey.Snapshot, bool)) (dropped int, err error) {
	err = db.tx(ctx, "dropping snapshots", func(t *tx) error {
		for _, r := range gone {
			if _, ok := there(r.ID); ok {
				if _, err := t.exec(ctx, `UPDATE snapshots SET last_id = id WHERE id = $1`, string(r.ID)); err != nil {
					return err
				}
				continue
			}
			if s, ok := there(r.LastID); ok {
				page, err := json.Marshal(s.Page)
				if err != nil {
					return err
				}
				if _, err := t.exec(ctx, `UPDATE snapshots SET id = last_id, time = $1, page = $2 WHERE id = $3`, micros(s.Time), string(page), string(r.ID)); err != nil {
					return err
				}
				continue
			}
			if _, err := t.exec(ctx, `DELETE FROM snapshots WHERE id = $1`, string(r.ID)); err != nil {
				return err
			}
			dropped++
		}
		return nil
	})
	return dropped, err
}

// CopyIncidents takes incidents, what they are reckoned from, and notices over from another history, in the place of what
// is here: the archive does not hold what was sent and acknowledged. After an error everything is as it was.
func (db *DB) CopyIncidents(ctx context.Context, from *DB) error {
	return db.tx(ctx, "copying incidents", func(t *tx) error {
		for _, table := range []string{"incidents", "notices", "tracks", "evaluations"} {
			if _, err := t.exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
			places := ""
			err := from.each(ctx, "reading "+table, `SELECT * FROM `+table, nil, func(rows *sql.Rows) error {
				columns, err := rows.Columns()
				if err != nil {
					return err
				}
				if places == "" {
					for i := range columns {
						if i > 0 {
							places += ", "
						}
						places += fmt.Sprintf("$%d", i+1)
					}
				}
				values, into := make([]any, len(columns)), make([]any, len(columns))
				for i := range values {
					into[i] = &values[i]
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				_, err = t.exec(ctx, `INSERT INTO `+table+` VALUES (`+places+`)`, values...)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Dump writes every table but those named, row by row in the order of all columns, so that two histories can be compared.
func (db *DB) Dump(ctx context.Context, w io.Writer, except ...string) error {
	skip := map[string]bool{}
	for _, name := range except {
		skip[name] = true
	}
	var tables []string
	err := db.each(ctx, "listing tables", `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if !skip[name] {
			tables = append(tables, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, table := range tables {
		var columns []string
		rows, err := db.sql.QueryContext(ctx, `SELECT * FROM `+table+` LIMIT 0`)
		if err != nil {
			return err
		}
		columns, err = rows.Columns()
		if err := errors.Join(err, rows.Close()); err != nil {
			return err
		}
		order := ""
		for i := range columns {
			if i > 0 {
				order += ", "
			}
			order += fmt.Sprint(i + 1)
		}
		err = db.each(ctx, "dumping "+table, `SELECT * FROM `+table+` ORDER BY `+order, nil, func(rows *sql.Rows) error {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			line := table
			for i, v := range values {
				if b, ok := v.([]byte); ok {
					v = string(b)
				}
				line += fmt.Sprintf(" %s=%#v", columns[i], v)
			}
			_, err := io.WriteString(w, line+"\n")
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
