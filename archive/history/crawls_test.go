package history

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func crawlOf(mirror string, broken int) survey.Crawl {
	return survey.Crawl{Site: "presstv", Mirror: survey.Host(mirror), Vantage: "direct", Complete: true, URLs: 20, Pages: 10, Broken: broken, Hygiene: []survey.Hygiene{}, Traps: []string{}}
}

// saveCrawled saves a run without any article whose crawl found the links.
func saveCrawled(t *testing.T, db *DB, at time.Time, links []survey.Link, crawls ...survey.Crawl) survey.Run {
	t.Helper()
	r := run(at)
	if err := db.BeginRun(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := db.SaveCrawl(t.Context(), SavedCrawl{Run: r.ID, Site: "presstv", At: at, Links: links, Crawls: crawls}); err != nil {
		t.Fatal(err)
	}
	r.Finished = at.Add(time.Minute)
	if err := db.FinishRun(t.Context(), r, survey.Summary{}); err != nil {
		t.Fatal(err)
	}
	return r
}

func rowsOf(t *testing.T, db *DB, table string) (n int) {
	t.Helper()
	if err := db.sql.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCrawls: a crawl needs no article; equal results share a span; links that broke keep the date, and one that was whole
// in between has a new one.
func TestCrawls(t *testing.T) {
	db := open(t)
	link := func(state string, at time.Time) []survey.Link {
		return []survey.Link{{Target: "https://www.presstv.com/gone", Kind: "page", Parents: []string{"https://www.presstv.com/"},
			Results: []survey.LinkResult{{Mirror: "a.example", Vantage: "direct", URL: "https://a.example/gone", Outcome: "status_404", State: state, FirstSeen: at}}}}
	}
	hour := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	saveCrawled(t, db, hour(0), link("broken", hour(0)), crawlOf("www.presstv.com", 0), crawlOf("a.example", 1))
	second := saveCrawled(t, db, hour(1), link("broken", hour(1)), crawlOf("www.presstv.com", 0), crawlOf("a.example", 1))
	if n := rowsOf(t, db, "crawls"); n != 2 {
		t.Errorf("%d rows for two equal crawls of two mirrors, want 2", n)
	}
	r, err := db.Report(t.Context(), second.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Crawls) != 2 || r.Crawls[1].Mirror != "a.example" || !r.Crawls[1].FirstSeen.Equal(hour(0)) || !r.Crawls[1].At.Equal(hour(1)) || r.Crawls[1].Broken != 1 {
		t.Errorf("crawls of the run: %+v", r.Crawls)
	}
	if len(r.Links) != 1 || !r.Links[0].Results[0].FirstSeen.Equal(hour(0)) {
		t.Errorf("links of the run: %+v", r.Links)
	}
	saveCrawled(t, db, hour(2), link("ok", hour(2)), crawlOf("www.presstv.com", 0), crawlOf("a.example", 0))
	saveCrawled(t, db, hour(3), link("broken", hour(3)))
	var known []KnownLink
	if err := db.KnownLinks(t.Context(), "presstv", func(k KnownLink) bool { known = append(known, k); return true }); err != nil {
		t.Fatal(err)
	}
	if len(known) != 1 || known[0].State != "broken" || !known[0].FirstSeen.Equal(hour(3)) || !slices.Equal(known[0].Parents, []string{"https://www.presstv.com/"}) {
		t.Errorf("a link that broke again: %+v", known)
	}
	if at, err := db.Crawled(t.Context(), "presstv"); err != nil || !at.Equal(hour(2)) {
		t.Errorf("crawled at %v, %v", at, err)
	}
	if at, err := db.Crawled(t.Context(), "other"); err != nil || !at.IsZero() {
		t.Errorf("another site was crawled at %v, %v", at, err)
	}
	// An older run's report holds what was known then, of what is still there.
	if r, err = db.Report(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Crawls {
		if c.Mirror == "a.example" && c.Broken != 1 {
			t.Errorf("the older run shows %+v", c)
		}
	}
	if len(r.Crawls) != 2 {
		t.Errorf("the older run shows %d crawls", len(r.Crawls))
	}
	before := rowsOf(t, db, "crawls")
	saveCrawled(t, db, hour(2), link("ok", hour(2)), crawlOf("www.presstv.com", 0), crawlOf("a.example", 0))
	if n := rowsOf(t, db, "crawls"); n != before {
		t.Errorf("saving a crawl twice made %d rows of %d", n, before)
	}
}

// TestSyncs: what arrived when, and what left the list of the newest without having come.
func TestSyncs(t *testing.T) {
	db := open(t)
	const mirror = "a.example"
	second := t0.Add(time.Hour)
	published := t0.Add(-time.Hour)
	sync := func(at time.Time, arrivals ...survey.Arrival) survey.Run {
		r := run(at)
		if err := db.BeginRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		s := survey.Sync{Site: "presstv", Mirror: mirror, Vantage: "direct", Expected: len(arrivals), Missing: []string{}, Arrivals: arrivals}
		for _, a := range arrivals {
			f := finding(mirror, at, survey.Up, survey.SameArticle)
			if a.State != survey.ArrivalPresent {
				f = finding(mirror, at, survey.Down, survey.FetchFailed)
			} else {
				s.Present++
			}
			if err := db.SaveCheck(t.Context(), SavedCheck{Run: r.ID, At: at, Check: survey.Check{Site: "presstv", URL: a.Article, Mirrors: []survey.Finding{f}}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // twice is as once
			if err := db.SaveSync(t.Context(), r.ID, at, []survey.Sync{s}); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	missing := func(u string) survey.Arrival { return survey.Arrival{Article: u, State: survey.ArrivalMissing} }
	lag := &survey.Lag{Seconds: 90, Bound: 60}
	came := survey.Arrival{Article: "https://p.example/2", State: survey.ArrivalPresent, Published: &published, FirstSeen: &t0, Lag: lag}
	sync(t0, missing("https://p.example/1"), came, survey.Arrival{Article: "https://p.example/0", State: survey.ArrivalNotJudged})
	later := sync(second, survey.Arrival{Article: "https://p.example/2", State: survey.ArrivalNotJudged}, missing("https://p.example/3"))
	got, err := db.Syncs(t.Context(), later.ID)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	// The mirror was down in the second run: that takes nothing back.
	came.State = survey.ArrivalNotJudged
	if want := []survey.Arrival{came, missing("https://p.example/3")}; !reflect.DeepEqual(normal(got[0].Arrivals), normal(want)) {
		t.Errorf("arrivals %+v\nwant %+v", got[0].Arrivals, want)
	}
	if !slices.Equal(got[0].NeverArrived, []string{"https://p.example/1"}) {
		t.Errorf("never arrived: %q", got[0].NeverArrived)
	}
	if r, err := db.Report(t.Context(), later.ID); err != nil || len(r.Sync) != 1 || r.Sync[0].Expected != 2 {
		t.Errorf("the report's: %+v, %v", r.Sync, err)
	}
}

// normal puts times into UTC, for comparing.
func normal(list []survey.Arrival) []survey.Arrival {
	out := slices.Clone(list)
	for i := range out {
		for _, p := range []**time.Time{&out[i].Published, &out[i].FirstSeen} {
			if *p != nil {
				*p = survey.Ptr((*p).UTC())
			}
		}
	}
	return out
}
