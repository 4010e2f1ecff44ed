package history

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"mirrorwatch/crawler/survey"
)

// Lags says for each mirror and vantage how much later than on the primary the articles came that were first met at or
// after since: the mirror's first up minus the primary's, none when the mirror had it first (peers.md 3). Ordered by
// site, mirror and vantage.
func (db *DB) Lags(ctx context.Context, since time.Time) ([]survey.LagStat, error) {
	type key struct{ site, mirror, vantage string }
	type first struct {
		key
		up sql.NullInt64
	}
	bound, err := db.interval(ctx)
	if err != nil {
		return nil, err
	}
	lags := map[key][]float64{}
	missing := map[key]int{}
	var group []first
	var primary sql.NullInt64
	var site, article, vantage string
	flush := func() {
		for _, f := range group {
			switch {
			case !primary.Valid:
			case f.up.Valid:
				late := float64(f.up.Int64-primary.Int64) / 1e6
				if late < bound/2 || bound == 0 {
					late = 0 // the same run: visits of one run lie apart too
				}
				lags[f.key] = append(lags[f.key], late)
			default:
				missing[f.key]++
			}
		}
		group, primary = group[:0], sql.NullInt64{}
	}
	err = db.each(ctx, "reading lags", `SELECT s.site, s.article, s.mirror, s.vantage, s.role,
			(SELECT MIN(t.first_seen) FROM states t WHERE t.series = s.id AND t.state = 'up')
		FROM series s WHERE s.first_seen >= $1 ORDER BY s.site, s.article, s.vantage, s.mirror`, []any{micros(since)}, func(rows *sql.Rows) error {
		var at first
		var a string
		var role survey.Role
		if err := rows.Scan(&at.site, &a, &at.mirror, &at.vantage, &role, &at.up); err != nil {
			return err
		}
		if at.site != site || a != article || at.vantage != vantage {
			flush()
			site, article, vantage = at.site, a, at.vantage
		}
		if role == survey.Primary {
			primary = at.up
		} else {
			group = append(group, at)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	flush()
	var all []survey.LagStat
	add := func(k key) {
		list := lags[k]
		slices.Sort(list)
		l := survey.LagStat{Site: k.site, Mirror: survey.Host(k.mirror), Vantage: k.vantage, Articles: len(list), Missing: missing[k], Bound: bound}
		if n := len(list); n > 0 {
			l.P50, l.P90, l.Max = list[(n-1)/2], list[(9*n+9)/10-1], list[n-1]
		}
		all = append(all, l)
	}
	for k := range lags {
		add(k)
	}
	for k := range missing {
		if lags[k] == nil {
			add(k)
		}
	}
	slices.SortFunc(all, func(a, b survey.LagStat) int {
		x, y := fmt.Sprint(a.Site, "\x00", a.Mirror, "\x00", a.Vantage), fmt.Sprint(b.Site, "\x00", b.Mirror, "\x00", b.Vantage)
		if x < y {
			return -1
		}
		if x > y {
			return 1
		}
		return 0
	})
	return all, nil
}

// interval is the median time between the newest runs in seconds, 0 when there was only one.
func (db *DB) interval(ctx context.Context) (float64, error) {
	var starts, gaps []int64
	err := db.each(ctx, "reading runs", `SELECT started FROM runs ORDER BY started DESC LIMIT 50`, nil, func(rows *sql.Rows) error {
		var at int64
		err := rows.Scan(&at)
		starts = append(starts, at)
		return err
	})
	if err != nil {
		return 0, err
	}
	for i := 1; i < len(starts); i++ {
		gaps = append(gaps, starts[i-1]-starts[i])
	}
	if len(gaps) == 0 {
		return 0, nil
	}
	slices.Sort(gaps)
	return float64(gaps[len(gaps)/2]) / 1e6, nil
}
