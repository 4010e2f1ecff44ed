package history

import (
	"context"
	"database/sql"
	"time"

	"mirrorwatch/crawler/survey"
)

// Arrival says when the article was first seen on the mirror, zero when it never was, and when the mirror was last heard to
// say that it has no such article before that, zero when it was not heard to.
func (db *DB) Arrival(ctx context.Context, site, article string, mirror survey.Host, vantage string) (first, before time.Time, err error) {
	const doing = "reading when an article arrived"
	series := seriesID(site, article, mirror, vantage)
	one := func(at *time.Time) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var us sql.NullInt64
			if err := rows.Scan(&us); err != nil {
				return err
			}
			if us.Valid {
				*at = moment(us.Int64)
			}
			return nil
		}
	}
	// States are kept when raw observations are thinned out.
	if err := db.each(ctx, doing, `SELECT MIN(first_seen) FROM states WHERE series = $1 AND state IN ('up', 'degraded')`, []any{series}, one(&first)); err != nil {
		return first, before, err
	}
	until := int64(1<<63 - 1)
	if !first.IsZero() {
		until = micros(first)
	}
	err = db.each(ctx, doing, `SELECT MAX(o.at) FROM checks c JOIN observations o ON o.checked = c.at AND o.check_id = c.id
		WHERE c.article = $1 AND c.site = $2 AND o.series = $3 AND o.at < $4 AND o.counted <> 'void' AND (o.status IN (404, 410) OR o.page_class = 'soft_404')`,
		[]any{article, site, series, until}, one(&before))
	return first, before, err
}
