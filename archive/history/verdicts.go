package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"mirrorwatch/crawler/survey"
)

// Judged is a verdict that other rules made of a stored observation.
type Judged struct {
	Site, Article string
	Mirror        survey.Host
	Vantage       string
	RulesVersion  string
	At            time.Time // when it was judged again
	Verdict       survey.Verdict
}

// SaveVerdicts keeps later verdicts beside those of the run's checks, which stay as they are. Verdicts of the same rules
// replace each other. An observation that history does not know is an error.
func (db *DB) SaveVerdicts(ctx context.Context, run survey.RunID, list []Judged) error {
	return db.tx(ctx, "saving verdicts of run "+string(run), func(t *tx) error {
		for _, j := range list {
			check, series := id("check", string(run), j.Site, j.Article), seriesID(j.Site, j.Article, j.Mirror, j.Vantage)
			found, err := t.row(ctx, `SELECT 1 FROM checks c JOIN observations o ON o.checked = c.at AND o.check_id = c.id
				WHERE c.run = $1 AND c.site = $2 AND c.article = $3 AND o.series = $4`, []any{string(run), j.Site, j.Article, series}, []any{new(int)})
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("no observation of %q on %s", j.Article, j.Mirror)
			}
			doc, err := json.Marshal(j.Verdict)
			if err != nil {
				return err
			}
			if _, err := t.exec(ctx, `INSERT INTO verdicts (check_id, series, rules_version, judged, state, verdict, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (check_id, series, rules_version) DO UPDATE SET judged = excluded.judged, state = excluded.state,
					verdict = excluded.verdict, doc = excluded.doc`,
				check, series, j.RulesVersion, micros(j.At), string(j.Verdict.State), string(j.Verdict.Verdict), string(doc)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Verdicts returns what later rules made of the run's observations, in the order of checks, mirrors and rules.
func (db *DB) Verdicts(ctx context.Context, run survey.RunID) ([]Judged, error) {
	var out []Judged
	err := db.each(ctx, "reading verdicts of run "+string(run), `SELECT s.site, s.article, s.mirror, s.vantage, v.rules_version, v.judged, v.doc
		FROM checks c JOIN verdicts v ON v.check_id = c.id JOIN series s ON s.id = v.series
		WHERE c.run = $1 ORDER BY c.ordinal, s.mirror, s.vantage, v.rules_version`, []any{string(run)}, func(rows *sql.Rows) error {
		var j Judged
		var at int64
		var doc string
		if err := rows.Scan(&j.Site, &j.Article, &j.Mirror, &j.Vantage, &j.RulesVersion, &at, &doc); err != nil {
			return err
		}
		j.At = moment(at)
		out = append(out, j)
		return json.Unmarshal([]byte(doc), &out[len(out)-1].Verdict)
	})
	return out, err
}
