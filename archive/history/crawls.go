package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"mirrorwatch/crawler/survey"
)

// SavedCrawl is what a crawl of one site found, or a part of it, as SaveCrawl takes it.
type SavedCrawl struct {
	Run    survey.RunID
	Site   string
	At     time.Time     // when the crawl ended
	Links  []survey.Link // what is not as it should be, and what is so again
	Crawls []survey.Crawl
}

// SaveCrawl writes a crawl in one transaction of its own, whether or not the run has an article. Saving the same again
// changes nothing. A result equal to the newest one of its mirror only lengthens that one's span.
func (db *DB) SaveCrawl(ctx context.Context, c SavedCrawl) error {
	return db.tx(ctx, fmt.Sprintf("saving the crawl of %q", c.Site), func(t *tx) error {
		s := saver{tx: t, SavedCheck: SavedCheck{Run: c.Run, At: c.At, Check: survey.Check{Site: c.Site}}}
		for _, l := range c.Links {
			if err := s.link(ctx, l); err != nil {
				return fmt.Errorf("link %q: %w", l.Target, err)
			}
		}
		for i, n := range c.Crawls {
			n.At, n.FirstSeen = time.Time{}, time.Time{}
			doc, err := json.Marshal(n)
			if err != nil {
				return err
			}
			at := micros(c.At)
			first, err := span(ctx, t, "crawls", n.Site, string(n.Mirror), n.Vantage, string(doc), at)
			if err != nil {
				return err
			}
			if _, err := t.exec(ctx, `INSERT INTO crawls (site, mirror, vantage, first_seen, last_seen, run, ordinal, complete, doc)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
				ON CONFLICT (site, mirror, vantage, first_seen) DO UPDATE SET last_seen = excluded.last_seen, run = excluded.run, ordinal = excluded.ordinal`,
				n.Site, string(n.Mirror), n.Vantage, first, at, string(c.Run), i, flag(n.Complete), string(doc)); err != nil {
				return err
			}
		}
		return nil
	})
}

// span is the first_seen of the row that a result seen at a time belongs to: that of the newest row when it is the same,
// else the time itself. table is a name of ours.
func span(ctx context.Context, t *tx, table, site, mirror, vantage, doc string, at int64) (int64, error) {
	var first int64
	var old string
	found, err := t.row(ctx, `SELECT first_seen, doc FROM `+table+` WHERE site = $1 AND mirror = $2 AND vantage = $3 ORDER BY first_seen DESC LIMIT 1`,
		[]any{site, mirror, vantage}, []any{&first, &old})
	if err != nil || !found || old != doc {
		return at, err
	}
	return first, nil
}

// SaveSync writes how complete the mirrors were in a run whose checks are saved, in one transaction. Saving the same again
// changes nothing.
func (db *DB) SaveSync(ctx context.Context, run survey.RunID, at time.Time, list []survey.Sync) error {
	return db.tx(ctx, "saving what arrived", func(t *tx) error {
		for i, n := range list {
			if err := saveSync(ctx, t, run, micros(at), i, n); err != nil {
				return fmt.Errorf("mirror %q: %w", n.Mirror, err)
			}
		}
		return nil
	})
}

func saveSync(ctx context.Context, t *tx, run survey.RunID, at int64, ordinal int, n survey.Sync) error {
	arrivals := n.Arrivals
	n.Arrivals, n.NeverArrived = nil, nil
	doc, err := json.Marshal(n)
	if err != nil {
		return err
	}
	first, err := span(ctx, t, "syncs", n.Site, string(n.Mirror), n.Vantage, string(doc), at)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `INSERT INTO syncs (site, mirror, vantage, first_seen, last_seen, run, ordinal, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (site, mirror, vantage, first_seen) DO UPDATE SET last_seen = excluded.last_seen, run = excluded.run, ordinal = excluded.ordinal`,
		n.Site, string(n.Mirror), n.Vantage, first, at, string(run), ordinal, string(doc)); err != nil {
		return err
	}
	for k, a := range arrivals {
		var lag, bound any
		if a.Lag != nil {
			lag, bound = int64(a.Lag.Seconds*1e6), int64(a.Lag.Bound*1e6)
		}
		series := seriesID(n.Site, a.Article, n.Mirror, n.Vantage)
		known, err := t.row(ctx, `SELECT 1 FROM series WHERE id = $1`, []any{series}, []any{new(int)})
		if err != nil {
			return err
		}
		if !known {
			continue // its check was not saved
		}
		// What was known of an article stays when a later run cannot tell: a mirror that is down takes nothing back.
		if _, err := t.exec(ctx, `INSERT INTO arrivals (series, published, first_seen, last_seen, state, arrived, lag_us, bound_us, run, ordinal)
			VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (series) DO UPDATE SET published = COALESCE(excluded.published, arrivals.published), last_seen = excluded.last_seen,
				state = excluded.state, arrived = COALESCE(arrivals.arrived, excluded.arrived), lag_us = COALESCE(excluded.lag_us, arrivals.lag_us),
				bound_us = COALESCE(excluded.bound_us, arrivals.bound_us), run = excluded.run, ordinal = excluded.ordinal`,
			series, microsPtr(a.Published), at, a.State, microsPtr(a.FirstSeen), lag, bound, string(run), k); err != nil {
			return err
		}
	}
	return nil
}

// Crawled returns when the newest whole crawl of the site ended, zero when there was none.
func (db *DB) Crawled(ctx context.Context, site string) (at time.Time, err error) {
	err = db.each(ctx, "reading crawls", `SELECT MAX(last_seen) FROM crawls WHERE site = $1 AND complete = 1`, []any{site}, func(rows *sql.Rows) error {
		var us sql.NullInt64
		err := rows.Scan(&us)
		if us.Valid {
			at = moment(us.Int64)
		}
		return err
	})
	return at, err
}

// Crawls returns what was known of crawls when the run ended: the run's own, and of the other sites that it looked at the
// newest before it.
func (db *DB) Crawls(ctx context.Context, run survey.RunID) ([]survey.Crawl, error) {
	var all []survey.Crawl
	err := db.each(ctx, "reading crawls", `SELECT c.doc, c.first_seen, c.last_seen FROM crawls c
		WHERE c.site IN (SELECT site FROM checks WHERE run = $1 UNION SELECT site FROM links WHERE run = $1 UNION SELECT site FROM crawls WHERE run = $1)
			AND c.first_seen = (SELECT MAX(n.first_seen) FROM crawls n WHERE n.site = c.site AND n.mirror = c.mirror AND n.vantage = c.vantage
				AND n.first_seen <= COALESCE((SELECT finished FROM runs WHERE id = $1), n.first_seen))
		ORDER BY c.site, c.ordinal, c.mirror, c.vantage`, []any{string(run)}, func(rows *sql.Rows) error {
		var doc string
		var first, last int64
		if err := rows.Scan(&doc, &first, &last); err != nil {
			return err
		}
		var c survey.Crawl
		if err := json.Unmarshal([]byte(doc), &c); err != nil {
			return err
		}
		c.FirstSeen, c.At = moment(first), moment(last)
		all = append(all, c)
		return nil
	})
	return all, err
}

// maxNeverArrived bounds survey.Sync.NeverArrived.
const maxNeverArrived = 100

// Syncs returns how complete the mirrors were in the run, with what arrived and what never did.
func (db *DB) Syncs(ctx context.Context, run survey.RunID) ([]survey.Sync, error) {
	const doing = "reading what arrived"
	var all []survey.Sync
	err := db.each(ctx, doing, `SELECT doc FROM syncs WHERE run = $1 ORDER BY ordinal, site, mirror, vantage`, []any{string(run)}, func(rows *sql.Rows) error {
		var doc string
		if err := rows.Scan(&doc); err != nil {
			return err
		}
		s := survey.Sync{}
		err := json.Unmarshal([]byte(doc), &s)
		s.Arrivals, s.NeverArrived = []survey.Arrival{}, []string{}
		all = append(all, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		s := &all[i]
		at := []any{s.Site, string(s.Mirror), s.Vantage, string(run)}
		err := db.each(ctx, doing, `SELECT n.article, a.state, a.published, a.arrived, a.lag_us, a.bound_us FROM arrivals a JOIN series n ON n.id = a.series
			WHERE n.site = $1 AND n.mirror = $2 AND n.vantage = $3 AND a.run = $4 ORDER BY a.ordinal, n.article`, at, func(rows *sql.Rows) error {
			var a survey.Arrival
			var published, arrived, lag, bound sql.NullInt64
			if err := rows.Scan(&a.Article, &a.State, &published, &arrived, &lag, &bound); err != nil {
				return err
			}
			a.Published, a.FirstSeen = momentPtr(published), momentPtr(arrived)
			if lag.Valid {
				a.Lag = &survey.Lag{Seconds: float64(lag.Int64) / 1e6, Bound: float64(bound.Int64) / 1e6}
			}
			s.Arrivals = append(s.Arrivals, a)
			return nil
		})
		if err != nil {
			return nil, err
		}
		err = db.each(ctx, doing, `SELECT n.article FROM arrivals a JOIN series n ON n.id = a.series
			WHERE n.site = $1 AND n.mirror = $2 AND n.vantage = $3 AND a.run <> $4 AND a.arrived IS NULL AND a.state = 'missing'
				AND a.last_seen < (SELECT MAX(last_seen) FROM syncs WHERE run = $4)
			ORDER BY a.last_seen DESC, n.article LIMIT $5`, append(at, maxNeverArrived), func(rows *sql.Rows) error {
			var article string
			err := rows.Scan(&article)
			s.NeverArrived = append(s.NeverArrived, article)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
