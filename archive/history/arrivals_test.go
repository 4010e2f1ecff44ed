package history

import (
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestArrival(t *testing.T) {
	const mirror = "www.presstv.co.uk"
	db := open(t)
	missing := func(at time.Time) survey.Finding {
		f := finding(mirror, at, survey.Down, survey.FetchFailed)
		f.Status, f.PageClass = survey.Ptr(404), survey.ClassErrorPage
		return f
	}
	dead := func(at time.Time) survey.Finding {
		f := finding(mirror, at, survey.Down, survey.FetchFailed)
		f.Status, f.PageClass = nil, survey.ClassUnknown
		return f
	}
	check := func(first, before time.Time) {
		t.Helper()
		f, b, err := db.Arrival(t.Context(), "presstv", article, mirror, "direct")
		if err != nil || !f.Equal(first) || !b.Equal(before) {
			t.Errorf("arrived %v, absent at %v, error %v; want %v and %v", f, b, err, first, before)
		}
	}
	check(time.Time{}, time.Time{})
	at := func(h int) time.Time { return t0.Add(time.Duration(h) * time.Hour) }
	save(t, db, at(0), nil, missing(at(0)))
	save(t, db, at(1), nil, missing(at(1)))
	check(time.Time{}, at(1))
	save(t, db, at(2), nil, dead(at(2)))
	check(time.Time{}, at(1))
	save(t, db, at(3), nil, finding(mirror, at(3), survey.Up, survey.Identical))
	save(t, db, at(4), nil, missing(at(4)))
	check(at(3), at(1))
}
