package history

import (
	"path/filepath"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

var t0 = time.Date(2026, 11, 20, 3, 17, 0, 0, time.UTC)

const article = "https://www.presstv.com/Detail/2016/08/10/479262/Syria-talks-Aleppo"

func open(t testing.TB) *DB {
	t.Helper()
	db, err := Open(filepath.Join(t.TempDir(), "history.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func run(at time.Time) survey.Run {
	return survey.Run{ID: survey.RunID(at.Format("20060102T150405Z") + "-5f2c9a"), Started: at, Tool: survey.Tool{Name: "mirrorwatch", Version: "test"}}
}

func finding(mirror string, at time.Time, state survey.State, word survey.VerdictWord) survey.Finding {
	f := survey.Finding{
		Observation: survey.Observation{Mirror: survey.Host(mirror), Role: survey.Alternate, Vantage: "direct", ObservedAt: at,
			URL: article, FinalURL: article, Stage: survey.StageContent, Outcome: survey.OK, Attempts: 1, Status: survey.Ptr(200)},
		Verdict: survey.Verdict{State: state, Verdict: word, PageClass: survey.ClassArticle, Confidence: survey.High, Reasons: []string{"because"}},
	}
	f.Timing.FirstByte = survey.Ptr(120.5)
	if mirror == "www.presstv.com" {
		f.Role = survey.Primary
	}
	return f
}

// save saves one run with one check of the findings and finishes it.
func save(t testing.TB, db *DB, at time.Time, void []string, findings ...survey.Finding) survey.Run {
	t.Helper()
	r := run(at)
	if err := db.BeginRun(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	c := survey.Check{Site: "presstv", URL: article, Title: "Syria talks", Mirrors: findings}
	if err := db.SaveCheck(t.Context(), SavedCheck{Run: r.ID, At: at, Check: c}); err != nil {
		t.Fatal(err)
	}
	r.Finished, r.Complete, r.VoidVantages = at.Add(time.Minute), true, void
	if err := db.FinishRun(t.Context(), r, survey.Summarise(survey.Report{Run: r, Articles: []survey.Check{c}})); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLastOfNothing(t *testing.T) {
	if _, ok, err := open(t).Last(t.Context()); ok || err != nil {
		t.Fatalf("got ok %v, error %v", ok, err)
	}
}

func TestLastIsWhatWasSaved(t *testing.T) {
	db := open(t)
	save(t, db, t0, nil, finding("www.presstv.com", t0, survey.Up, survey.Identical))
	at := t0.Add(time.Hour)
	r := save(t, db, at, nil, finding("www.presstv.com", at, survey.Up, survey.Identical), finding("www.presstv.co.uk", at, survey.Down, survey.Interstitial))
	got, ok, err := db.Last(t.Context())
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got.Run.ID != r.ID || len(got.Articles) != 1 || len(got.Articles[0].Mirrors) != 2 {
		t.Fatalf("got %+v", got)
	}
	f := got.Articles[0].Mirrors[0]
	if f.Since == nil || !f.Since.Equal(t0) {
		t.Errorf("up since %v, want %v", f.Since, t0)
	}
	if got.Summary != (survey.Summary{Articles: 1, Mirrors: 2, Up: 1, Down: 1}) {
		t.Errorf("summary %+v", got.Summary)
	}
	if got.Articles[0].Mirrors[1].Redirects == nil {
		t.Error("a list of the document is nil")
	}
}
