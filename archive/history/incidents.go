package history

import (
	"context"
	"database/sql"
	"time"

	"mirrorwatch/crawler/survey"
)

// PutIncident saves an incident as it is now; the same ID again replaces it, acknowledgements apart.
func (db *DB) PutIncident(ctx context.Context, in survey.IncidentRow) error {
	return db.tx(ctx, "saving incident "+in.ID, func(t *tx) error { return putIncident(ctx, t, in) })
}

// Incidents returns the incidents that were not closed before since, newest first; limit 0 is 1000.
func (db *DB) Incidents(ctx context.Context, since time.Time, limit int) ([]survey.IncidentRow, error) {
	if limit <= 0 {
		limit = 1000
	}
	from := int64(0)
	if !since.IsZero() {
		from = micros(since)
	}
	var all []survey.IncidentRow
	err := db.each(ctx, "reading incidents", `SELECT id, site, mirror, vantage, article, cause, state, started, opened, closed, acked, acked_by, doc
		FROM incidents WHERE closed IS NULL OR closed >= $1 ORDER BY started DESC, id LIMIT $2`, []any{from, limit}, func(rows *sql.Rows) error {
		var in survey.IncidentRow
		var started int64
		var opened, closed, acked sql.NullInt64
		var doc string
		if err := rows.Scan(&in.ID, &in.Site, &in.Mirror, &in.Vantage, &in.Article, &in.Cause, &in.State, &started, &opened, &closed, &acked, &in.AckedBy, &doc); err != nil {
			return err
		}
		in.Started, in.Opened, in.Closed, in.Acked, in.Doc = moment(started), momentPtr(opened), momentPtr(closed), momentPtr(acked), []byte(doc)
		all = append(all, in)
		return nil
	})
	return all, err
}
