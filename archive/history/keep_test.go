package history

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestUnknownDoesNotEndAState(t *testing.T) {
	db := open(t)
	for n, s := range []survey.State{survey.Down, survey.Up, survey.Unknown, survey.Up} {
		at := t0.Add(time.Duration(n) * time.Hour)
		save(t, db, at, nil, finding("www.presstv.com", at, s, survey.VerdictWord("v-"+string(s))))
	}
	state, since, ok, err := db.Since(t.Context(), "presstv", article, "www.presstv.com", "direct")
	if err != nil || !ok || state != survey.Up || !since.Equal(t0.Add(time.Hour)) {
		t.Errorf("got %v since %v, %v, %v", state, since, ok, err)
	}
	all, err := db.States(t.Context(), time.Time{}, 0)
	if err != nil || len(all) != 4 || all[0].Before != survey.Unknown || all[3].Before != "" {
		t.Errorf("states %+v, %v", all, err)
	}
}

func TestVoidVantageIsTakenOutAgain(t *testing.T) {
	db := open(t)
	down := t0.Add(time.Hour)
	save(t, db, t0, nil, finding("www.presstv.com", t0, survey.Up, survey.Identical))
	save(t, db, down, []string{"direct"}, finding("www.presstv.com", down, survey.Down, survey.FetchFailed))
	state, since, _, err := db.Since(t.Context(), "presstv", article, "www.presstv.com", "direct")
	if err != nil || state != survey.Up || !since.Equal(t0) {
		t.Errorf("a void run moved the state to %v since %v (%v)", state, since, err)
	}
	all, err := db.Mirrors(t.Context(), down.Add(time.Minute))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	want := survey.Counts{Up: 1, Void: 1}
	for name, got := range map[string]survey.Counts{"24 h": all[0].H24, "7 d": all[0].D7, "30 d": all[0].D30, "90 d": all[0].D90, "today": all[0].Days[89].Counts} {
		if got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	// Same again, the void run repeating the state: the interval ends where it ended before.
	same := t0.Add(2 * time.Hour)
	save(t, db, same, []string{"direct"}, finding("www.presstv.com", same, survey.Up, survey.Identical))
	states, err := db.States(t.Context(), time.Time{}, 0)
	if err != nil || len(states) != 1 || !states[0].Last.Equal(t0) {
		t.Errorf("states %+v, %v", states, err)
	}
}

func TestSavingTwiceChangesNothing(t *testing.T) {
	db := open(t)
	f := finding("www.presstv.com", t0, survey.Up, survey.Identical)
	save(t, db, t0, nil, f)
	save(t, db, t0, nil, f)
	all, err := db.Mirrors(t.Context(), t0)
	if err != nil || all[0].D90.Up != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestEqualSnapshotsShareARow(t *testing.T) {
	db := open(t)
	for n := range 5 {
		at := t0.Add(time.Duration(n) * time.Hour)
		r := run(at)
		if err := db.BeginRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		payload := survey.Digest("sha256:aa")
		if n == 4 {
			payload = "sha256:bb"
		}
		snap := survey.Snapshot{ID: survey.RecordID(fmt.Sprint("urn:uuid:", n)), Mirror: "www.presstv.com", Vantage: "direct", URL: article, Time: at,
			Page:       survey.Capture{Payload: payload},
			Requisites: []survey.Requisite{{URL: "https://www.presstv.com/a.png", Capture: survey.Capture{Payload: "sha256:cc", Offset: int64(n)}}}}
		err := db.SaveCheck(t.Context(), SavedCheck{Run: r.ID, At: at, Snapshots: []survey.Snapshot{snap},
			Check:      survey.Check{Site: "presstv", URL: article, Mirrors: []survey.Finding{finding("www.presstv.com", at, survey.Up, survey.Identical)}},
			Links:      []survey.Link{{Target: "/x", Kind: "page", Parents: []string{article}, Results: []survey.LinkResult{{Mirror: "www.presstv.com", Vantage: "direct", State: "broken", Outcome: survey.Status(404)}}}},
			Candidates: []survey.CandidateMirror{{Host: "www.presstv.tv", Site: "presstv", Article: article, Rule: "sentence", Evidence: "also at"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Versions(t.Context(), "presstv", article, 10)
	if err != nil || len(got) != 2 || got[1].Count != 4 || !got[1].Last.Equal(t0.Add(3*time.Hour)) || got[0].Payload != "sha256:bb" {
		t.Errorf("snapshots %+v, %v", got, err)
	}
	if got[1].Name != "20261120031700000/"+article {
		t.Errorf("name %q", got[1].Name)
	}
	req, err := db.Requisites(t.Context(), "presstv", article, "www.presstv.com", "direct", time.Time{})
	if err != nil || len(req) != 1 || !req[0].First.Equal(t0) || req[0].Capture.Offset != 4 {
		t.Errorf("requisites %+v, %v", req, err)
	}
	last, _, err := db.Last(t.Context())
	if err != nil || len(last.Links) != 1 || !last.Links[0].Results[0].FirstSeen.Equal(t0) || len(last.Candidates) != 1 {
		t.Errorf("%+v, %v", last, err)
	}
	var links int
	if err := db.KnownLinks(t.Context(), "presstv", func(k KnownLink) bool { links++; return true }); err != nil || links != 1 {
		t.Errorf("%d known links, %v", links, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("CREATE TABLE later (x TEXT); PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ro := range []bool{false, true} {
		var newer *ErrNewerSchema
		if _, err := Open(path, Options{ReadOnly: ro}); !errors.As(err, &newer) || newer.Have != 999 {
			t.Errorf("read only %v: %v", ro, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history.db")
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, ErrNoHistory) {
		t.Errorf("missing file: %v", err)
	}
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	save(t, db, t0, nil, finding("www.presstv.com", t0, survey.Up, survey.Identical))
	// Beside an open writer, and on a sealed folder.
	for _, sealed := range []bool{false, true} {
		if sealed {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o555); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(dir, 0o755)
		}
		ro, err := Open(path, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := ro.Last(t.Context()); !ok || err != nil {
			t.Errorf("sealed %v: %v %v", sealed, ok, err)
		}
		if err := ro.BeginRun(t.Context(), run(t0)); err == nil {
			t.Error("a reader wrote")
		}
		if err := ro.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 500)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestOddPaths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%20e.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "history.db")
	for b.Loop() {
		db, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		db.Close()
	}
}

// BenchmarkSaveCheck saves an article on four mirrors.
func BenchmarkSaveCheck(b *testing.B) {
	db := open(b)
	n := 0
	for b.Loop() {
		at := t0.Add(time.Duration(n) * time.Hour)
		n++
		r := run(at)
		if err := db.BeginRun(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		c := survey.Check{Site: "presstv", URL: article}
		for _, h := range []string{"www.presstv.com", "b.example", "c.example", "d.example"} {
			c.Mirrors = append(c.Mirrors, finding(h, at, survey.Up, survey.Identical))
		}
		if err := db.SaveCheck(b.Context(), SavedCheck{Run: r.ID, At: at, Check: c}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReport reads all that a report page needs out of a history of a million observations: 20 articles on 4 mirrors
// for 12,500 runs, hourly. The history is generated by SQL, the newest run by SaveCheck.
func BenchmarkReport(b *testing.B) {
	db := open(b)
	const runs, articles = 12_500, 20
	hosts := []string{"www.presstv.com", "b.example", "c.example", "d.example"}
	begin := t0.Add(-runs * time.Hour)
	fill := func(text string, args ...any) {
		b.Helper()
		if _, err := db.sql.Exec(text, args...); err != nil {
			b.Fatal(err)
		}
	}
	fill(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO runs (id, started, finished, complete, doc) SELECT 'run-' || i, $2 + i * 3600000000, $2 + i * 3600000000, 1, '{}' FROM n`, runs-1, micros(begin))
	for a := range articles {
		url := fmt.Sprintf("%s-%d", article, a)
		fill(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO checks (id, run, ordinal, site, article, title, at, size, doc) SELECT i * 100 + $3, 'run-' || i, $3, 'presstv', $4, '', $2 + i * 3600000000, 4, '{}' FROM n`,
			runs-1, micros(begin), a, url)
		for k, h := range hosts {
			s := seriesID("presstv", url, survey.Host(h), "direct")
			fill(`INSERT INTO series (id, site, article, mirror, vantage, role, first_seen, last_seen) VALUES ($1, 'presstv', $2, $3, 'direct', 'alternate', $4, $4)`, s, url, h, micros(begin))
			fill(`INSERT INTO observations (checked, check_id, series, ordinal, at, state, verdict, page_class, confidence, reason, stage, outcome, counted)
				SELECT at, id, $1, $3, at, 'up', 'identical', 'article', 'high', '', 'content', 'ok', 'up' FROM checks WHERE article = $2`, s, url, k)
			fill(`INSERT INTO states (series, first_seen, last_seen, state, verdict, before)
				SELECT $1, at, at, 'up', 'identical', 'down' FROM checks WHERE article = $2 AND id % 4900 < 100`, s, url)
		}
	}
	for table, span := range map[string]time.Duration{"hourly": hour, "daily": day} {
		fill(`INSERT INTO `+table+` (site, mirror, vantage, start, up) SELECT s.site, s.mirror, s.vantage, o.at / $1 * $1, COUNT(*)
			FROM observations o JOIN series s ON s.id = o.series GROUP BY 1, 2, 3, 4`, span.Microseconds())
	}
	r := run(t0)
	if err := db.BeginRun(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	for a := range articles {
		c := survey.Check{Site: "presstv", URL: fmt.Sprintf("%s-%d", article, a)}
		for _, h := range hosts {
			c.Mirrors = append(c.Mirrors, finding(h, t0, survey.Up, survey.Identical))
		}
		if err := db.SaveCheck(b.Context(), SavedCheck{Run: r.ID, At: t0, Check: c}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, _, err := db.Last(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, err := db.Runs(b.Context(), 50); err != nil {
			b.Fatal(err)
		}
		if _, err := db.Mirrors(b.Context(), t0); err != nil {
			b.Fatal(err)
		}
		if _, err := db.States(b.Context(), time.Time{}, 100); err != nil {
			b.Fatal(err)
		}
		if _, err := db.Snapshots(b.Context(), SnapshotQuery{Limit: 200}); err != nil {
			b.Fatal(err)
		}
	}
}
