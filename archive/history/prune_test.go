package history

import (
	"math/rand/v2"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestPruneRaw(t *testing.T) {
	db := open(t)
	const hours = 30 * 24
	var now time.Time
	for i := range hours / 6 {
		now = t0.Add(time.Duration(i) * 6 * time.Hour)
		r := save(t, db, now, nil, finding("www.presstv.com", now, survey.Up, survey.Identical), finding("www.presstv.ir", now, survey.Down, survey.FetchFailed))
		if _, err := db.SaveEvaluation(t.Context(), Evaluation{Run: r.ID, At: now}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := db.Mirrors(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	keep := Keep{Raw: 10 * 24 * time.Hour, Detail: 2 * 24 * time.Hour, Hourly: 20 * 24 * time.Hour, MaxBatch: 7}
	dry := keep
	dry.DryRun = true
	want, err := db.PruneRaw(t.Context(), now, dry)
	if err != nil {
		t.Fatal(err)
	}
	got, err := db.PruneRaw(t.Context(), now, keep)
	if err != nil {
		t.Fatal(err)
	}
	if got != want || got.Observations == 0 || got.Details == 0 || got.Checks == 0 || got.Runs == 0 || got.Hours == 0 {
		t.Errorf("pruned %+v, a dry run said %+v", got, want)
	}
	if again, err := db.PruneRaw(t.Context(), now, keep); err != nil || again.Total() != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	// Days, states and what the newest run saw are as before.
	after, err := db.Mirrors(t.Context(), now)
	if err != nil || len(after) != len(before) || after[0].D90 != before[0].D90 || after[1].State != survey.Down {
		t.Errorf("%+v, %v", after, err)
	}
	last, ok, err := db.Last(t.Context())
	if err != nil || !ok || len(last.Articles) != 1 || last.Articles[0].Mirrors[0].Confidence != survey.High || last.Articles[0].Mirrors[0].FinalURL == "" {
		t.Errorf("%+v, %v", last, err)
	}
	// By count.
	if p, err := db.PruneRaw(t.Context(), now, Keep{RawRows: 10}); err != nil || p.Observations == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	s, err := db.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tb := range s.Tables {
		if tb.Name == "observations" && (tb.Rows < 10 || tb.Rows > 11) {
			t.Errorf("%d observations are left", tb.Rows)
		}
	}
	// All of it is old: the newest run stays.
	if _, err := db.PruneRaw(t.Context(), now.AddDate(5, 0, 0), keep); err != nil {
		t.Fatal(err)
	}
	if last, ok, err := db.Last(t.Context()); err != nil || !ok || len(last.Articles) != 1 || len(last.Articles[0].Mirrors) != 2 {
		t.Errorf("the newest run: %+v, %v", last, err)
	}
}

func TestPruneNothing(t *testing.T) {
	db := open(t)
	if p, err := db.PruneRaw(t.Context(), t0, Keep{Raw: time.Hour}); err != nil || p.Total() != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, want := range []bool{true, false} {
		if due, err := db.PruneDue(t.Context(), t0); err != nil || due != want {
			t.Errorf("%t, %v", due, err)
		}
	}
	if due, err := db.PruneDue(t.Context(), t0.Add(24*time.Hour)); err != nil || !due {
		t.Errorf("%t, %v", due, err)
	}
}

func TestNoticesAreClaimedOnce(t *testing.T) {
	db := open(t)
	r := run(t0)
	e := Evaluation{Run: r.ID, At: t0, Incidents: []survey.IncidentRow{{ID: "i1", Started: t0, State: "open", Doc: []byte(`{}`)}},
		Notices: []Notice{{ID: "n1", Incident: "i1", Kind: "opened", Target: "smtp", Doc: []byte(`[]`)}}}
	for _, want := range []bool{true, false} {
		if fresh, err := db.SaveEvaluation(t.Context(), e); err != nil || fresh != want {
			t.Fatalf("%t, %v", fresh, err)
		}
	}
	if ok, err := db.Evaluated(t.Context(), r.ID); err != nil || !ok {
		t.Errorf("%t, %v", ok, err)
	}
	for _, want := range []bool{true, false} {
		if mine, err := db.ClaimNotice(t.Context(), "n1", t0); err != nil || mine != want {
			t.Fatalf("%t, %v", mine, err)
		}
	}
	if err := db.FinishNotice(t.Context(), "n1", t0, NoticeFailed, "refused", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := db.FinishNotice(t.Context(), "n1", t0, NoticeSent, "", time.Time{}); err == nil {
		t.Error("finished twice")
	}
	due, err := db.DueNotices(t.Context(), t0, 2)
	if err != nil || len(due) != 1 || due[0].Tries != 1 || due[0].Error != "refused" {
		t.Fatalf("%+v, %v", due, err)
	}
	if mine, err := db.ClaimNotice(t.Context(), "n1", t0); err != nil || !mine {
		t.Fatalf("%t, %v", mine, err)
	}
	if n, err := db.AbandonNotices(t.Context(), t0); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if due, err := db.DueNotices(t.Context(), t0, 100); err != nil || len(due) != 0 {
		t.Errorf("%+v, %v", due, err)
	}
	// A suspicion that came to nothing goes; what was told stays.
	open := t0
	if _, err := db.SaveEvaluation(t.Context(), Evaluation{Run: "r2", At: t0, Incidents: []survey.IncidentRow{{ID: "s1", Started: t0, State: "suspect"}, {ID: "o1", Started: t0, State: "open", Opened: &open}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SaveEvaluation(t.Context(), Evaluation{Run: "r3", At: t0, Dropped: []string{"s1", "o1"}}); err != nil {
		t.Fatal(err)
	}
	if list, err := db.Incidents(t.Context(), time.Time{}, 0); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestThinningGivesSpaceBack: what the details took is on the disk again, and not only free inside the file.
func TestThinningGivesSpaceBack(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP saves 4,000 findings")
	}
	db := open(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var now time.Time
	for i := range 510 {
		now = t0.Add(time.Duration(i) * time.Hour)
		var list []survey.Finding
		for _, m := range []string{"a.example", "b.example", "c.example", "d.example", "e.example", "f.example", "g.example", "h.example"} {
			f := finding(m, now, survey.Up, survey.Identical)
			b := make([]byte, 4000)
			for k := range b {
				b[k] = 'a' + byte(rnd.IntN(26))
			}
			f.Title = string(b)
			list = append(list, f)
		}
		save(t, db, now, nil, list...)
	}
	before, err := db.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := db.PruneRaw(t.Context(), now, Keep{Detail: time.Hour})
	if err != nil || !p.Vacuumed {
		t.Fatalf("%+v, %v", p, err)
	}
	after, err := db.Sizes(t.Context())
	if err != nil || after.File*3 > before.File {
		t.Errorf("%d octets before, %d after, %v", before.File, after.File, err)
	}
}
