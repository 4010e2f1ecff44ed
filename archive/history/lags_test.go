package history

import (
	"path/filepath"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestLags(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "history.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	start := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	// Article n is on the primary from run 0, on the mirror from run n; the last never comes.
	for run := range 6 {
		id, at := survey.RunID(start.Add(time.Duration(run)*time.Hour).Format("20060102T150405Z")+"-000000"), start.Add(time.Duration(run)*time.Hour)
		if err := db.BeginRun(t.Context(), survey.Run{ID: id, Started: at}); err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			finding := func(host survey.Host, role survey.Role, up bool, late time.Duration) survey.Finding {
				f := survey.Finding{Observation: survey.Observation{Mirror: host, Role: role, Vantage: "direct", ObservedAt: at.Add(late), Outcome: survey.OK}}
				f.State, f.Verdict.Verdict = survey.Down, survey.DifferentPage
				if up {
					f.State, f.Verdict.Verdict = survey.Up, survey.SameArticle
				}
				return f
			}
			c := survey.Check{Site: "s", URL: "https://primary.example/" + string(rune('a'+n)), Mirrors: []survey.Finding{
				finding("primary.example", survey.Primary, true, 0), finding("mirror.example", survey.Alternate, n < 4 && run >= n, 4*time.Second)}}
			if err := db.SaveCheck(t.Context(), SavedCheck{Run: id, At: at, Check: c}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := db.Lags(t.Context(), start.AddDate(0, 0, -30))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	want := survey.LagStat{Site: "s", Mirror: "mirror.example", Vantage: "direct", Articles: 4, Missing: 1, P50: 3604, P90: 10804, Max: 10804, Bound: 3600}
	if all[0] != want {
		t.Errorf("got %+v\nwant %+v", all[0], want)
	}
}
