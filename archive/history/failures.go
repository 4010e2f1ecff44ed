package history

import (
	"context"
	"database/sql"
	"time"

	"mirrorwatch/crawler/survey"
)

// Failures returns the times, newest first, of the article's newest observations on the mirror that failed without a break
// at one and the same stage; none when the newest did not fail.
func (db *DB) Failures(ctx context.Context, site, article string, mirror survey.Host, vantage string) ([]time.Time, error) {
	const doing = "reading earlier failures"
	var times []time.Time
	var stage string
	ended := false
	err := db.each(ctx, doing, `SELECT at, stage, verdict FROM observations WHERE series = $1 ORDER BY at DESC LIMIT 500`,
		[]any{seriesID(site, article, mirror, vantage)}, func(rows *sql.Rows) error {
			var at int64
			var s, verdict string
			if err := rows.Scan(&at, &s, &verdict); err != nil {
				return err
			}
			if verdict != string(survey.FetchFailed) || len(times) > 0 && s != stage {
				ended = true
			}
			if !ended {
				stage = s
				times = append(times, moment(at))
			}
			return nil
		})
	return times, err
}
