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
	err := db.each(ctx, doing, `SELECT o.at, o.stage, o.verdict FROM checks c JOIN observations o ON o.checked = c.at AND o.check_id = c.id
		WHERE c.article = $1 AND c.site = $2 AND o.series = $3 ORDER BY c.at DESC LIMIT 500`,
		[]any{article, site, seriesID(site, article, mirror, vantage)}, func(rows *sql.Rows) error {
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
