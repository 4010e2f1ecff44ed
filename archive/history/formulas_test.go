package history

import (
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// TestAvailabilityByHand holds the four windows and the strip of one mirror against numbers counted by hand (DESIGN 2,
// peers.md 3): up ÷ (up + degraded + down); unknown, void and maintenance are in neither number; the strip and the
// percentages come from the same rows; a day without observation is empty, not good.
func TestAvailabilityByHand(t *testing.T) {
	db := open(t)
	now := time.Date(2026, 11, 25, 10, 30, 0, 0, time.UTC)
	at := func(days, hours int) time.Time { return now.Add(-time.Duration(days)*day - time.Duration(hours)*hour) }
	observe := func(at time.Time, state survey.State, void, maintenance bool) {
		t.Helper()
		f := finding("b.example", at, state, survey.Identical)
		r := run(at)
		if err := db.BeginRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		c := SavedCheck{Run: r.ID, At: at, Check: survey.Check{Site: "presstv", URL: article, Mirrors: []survey.Finding{f}}}
		if maintenance {
			c.Maintenance = map[survey.Host]bool{"b.example": true}
		}
		if err := db.SaveCheck(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.Finished, r.Complete = at.Add(time.Minute), true
		if void {
			r.VoidVantages = []string{"direct"}
		}
		if err := db.FinishRun(t.Context(), r, survey.Summary{}); err != nil {
			t.Fatal(err)
		}
	}
	observe(at(90, 0), survey.Down, false, false) // the day before the window of 90 days
	observe(at(89, 0), survey.Down, false, false) // its first day
	observe(at(30, 0), survey.Up, false, false)   // the day before the window of 30
	observe(at(29, 0), survey.Degraded, false, false)
	observe(at(8, 0), survey.Up, false, false)      // before the window of 7 days
	observe(at(6, 23), survey.Down, false, false)   // within its 168 hours
	observe(at(3, 0), survey.Unknown, false, false) // says nothing
	observe(at(2, 0), survey.Down, true, false)     // our own network: says nothing
	observe(at(1, 1), survey.Down, false, true)     // maintenance: left out
	observe(at(1, 0), survey.Up, false, false)      // one hour before the window of 24 hours
	observe(at(0, 23), survey.Up, false, false)     // its first hour
	observe(at(0, 1), survey.Down, false, false)
	observe(at(0, 0), survey.Up, false, false)
	all, err := db.Mirrors(t.Context(), now)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	m := all[0]
	for name, w := range map[string]struct {
		got, want survey.Counts
	}{
		"24 h": {m.H24, survey.Counts{Up: 2, Down: 1}},
		"7 d":  {m.D7, survey.Counts{Up: 3, Down: 2, Unknown: 1, Void: 1, Maintenance: 1}},
		"30 d": {m.D30, survey.Counts{Up: 4, Down: 2, Degraded: 1, Unknown: 1, Void: 1, Maintenance: 1}},
		"90 d": {m.D90, survey.Counts{Up: 5, Down: 3, Degraded: 1, Unknown: 1, Void: 1, Maintenance: 1}},
	} {
		if w.got != w.want {
			t.Errorf("%s: %+v, want %+v", name, w.got, w.want)
		}
	}
	if share, ok := m.D90.Availability(); !ok || share != 5.0/9 {
		t.Errorf("availability %v, want 5/9", share)
	}
	var sum survey.Counts
	observed := 0
	for _, d := range m.Days {
		sum = sum.Plus(d.Counts)
		if d.Total() > 0 {
			observed++
		}
	}
	// Days 89, 30, 29, 8, 7 (6 days and 23 hours before 10:30 is the day before), 3, 2, 1 (twice and 23 hours ago), today.
	if sum != m.D90 || len(m.Days) != 90 || observed != 9 {
		t.Errorf("the strip holds %+v on %d of %d days", sum, observed, len(m.Days))
	}
}
