package archive

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// Snapshots reads only the index lines of the time asked for, and of the last days when a few of the newest are wanted: the
// answers are those of reading all of them.
func TestSnapshotsInTime(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	const url = "http://a.test/story"
	var all []survey.Snapshot
	// Dense at the end, sparse before, several in one second, one after the present.
	for i, ago := range []time.Duration{200 * 24 * time.Hour, 61 * 24 * time.Hour, 60 * 24 * time.Hour, 59 * 24 * time.Hour, 49 * time.Hour, 48 * time.Hour, 47 * time.Hour, time.Hour, time.Second, 0, 0, -time.Hour} {
		at := testTime.Add(-ago).Add(time.Duration(i) * time.Millisecond)
		e := exchange(t, url, page(fmt.Sprint("version ", i)))
		e.Started = at
		c := must[survey.Capture](t)(a.Put(t.Context(), e))
		all = append(all, snapshot(t, a, url, survey.Host([]string{"a.test", "b.test"}[i%2]), at, c))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	r := must[*Archive](t)(Open(dir, Options{ReadOnly: true, Now: func() time.Time { return testTime }}))
	defer r.Close()
	slices.SortStableFunc(all, func(x, y survey.Snapshot) int { return y.Time.Compare(x.Time) })
	var moments []time.Time
	for _, s := range all {
		moments = append(moments, s.Time, s.Time.Add(-time.Millisecond), s.Time.Add(time.Millisecond))
	}
	moments = append(moments, time.Time{})
	for _, mirror := range []survey.Host{"", "a.test"} {
		for _, limit := range []int{0, 1, 3, 100} {
			for _, from := range moments {
				for _, to := range moments {
					want := slices.DeleteFunc(slices.Clone(all), func(s survey.Snapshot) bool {
						return mirror != "" && s.Mirror != mirror || !from.IsZero() && s.Time.Before(from) || !to.IsZero() && s.Time.After(to)
					})
					if limit > 0 && len(want) > limit {
						want = want[:limit]
					}
					got := must[[]survey.Snapshot](t)(r.Snapshots(t.Context(), Query{Article: url, Mirror: mirror, From: from, To: to, Limit: limit}))
					if !slices.EqualFunc(got, want, func(x, y survey.Snapshot) bool { return x.ID == y.ID }) {
						t.Fatalf("mirror %q, from %v to %v, limit %d: %d snapshots, want %d (%s)", mirror, from, to, limit, len(got), len(want), filepath.Base(dir))
					}
				}
			}
		}
	}
}
