package history

import (
	"slices"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// Two runs of one second, the second killed after the first was reconciled: its name may sort before the first one's.
func TestReconciledRunsAreNamed(t *testing.T) {
	db := open(t)
	begin := func(id survey.RunID) {
		if err := db.BeginRun(t.Context(), survey.Run{ID: id, Started: time.Unix(1767225600, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(ids ...survey.RunID) {
		t.Helper()
		got, err := db.Unfinished(t.Context())
		if err != nil || !slices.Equal(got, ids) {
			t.Fatalf("%v, %v; want %v", got, err, ids)
		}
	}
	begin("20260101T000000Z-ffffff")
	want("20260101T000000Z-ffffff")
	if err := db.Reconciled(t.Context(), "20260101T000000Z-ffffff"); err != nil {
		t.Fatal(err)
	}
	want()
	begin("20260101T000000Z-000001")
	begin("20251231T235959Z-777777") // the clock went back
	want("20251231T235959Z-777777", "20260101T000000Z-000001")
	if err := db.Reconciled(t.Context(), "20251231T235959Z-777777", "20260101T000000Z-000001"); err != nil {
		t.Fatal(err)
	}
	want()
}
