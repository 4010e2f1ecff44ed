package history

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// TestRowsMoveToTheirNewTables: a history of schema 3 with a whole check, a thinned one, counts and a later verdict says the
// same after it was migrated, and a copy of it as it was lies beside it.
func TestRowsMoveToTheirNewTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	all, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	do := func(text string, args ...any) {
		t.Helper()
		if _, err := raw.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range all[:3] {
		do(m.text)
	}
	do("PRAGMA user_version = 3")
	hosts := []string{"www.presstv.com", "b.example"}
	for n := range 2 {
		at := t0.Add(time.Duration(n) * time.Hour)
		r := run(at)
		doc, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		check := id("check", string(r.ID), "presstv", article)
		do(`INSERT INTO runs (id, started, doc) VALUES ($1, $2, $3)`, string(r.ID), micros(at), string(doc))
		do(`INSERT INTO checks (id, run, ordinal, site, article, title, at, doc) VALUES ($1, $2, 0, 'presstv', $3, 'Talks', $4, $5)`, check, string(r.ID), article, micros(at), `{"site":"presstv","url":"`+article+`","title":"Talks"}`)
		for k, h := range hosts {
			f := finding(h, at, survey.Up, survey.Identical)
			detail, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			var d any = string(detail)
			if n == 0 && k == 0 {
				d = nil // thinned: the whole check counts as thinned then
			}
			series := seriesID("presstv", article, f.Mirror, "direct")
			do(`INSERT INTO series (id, site, article, mirror, vantage, role, first_seen, last_seen) VALUES ($1, 'presstv', $2, $3, 'direct', $4, $5, $5) ON CONFLICT DO NOTHING`, series, article, h, string(f.Role), micros(at))
			do(`INSERT INTO observations (check_id, series, ordinal, at, state, verdict, page_class, confidence, reason, stage, outcome, status, counted, detail)
				VALUES ($1, $2, $3, $4, 'up', 'identical', 'article', 'high', 'because', 'content', 'ok', 200, 'up', $5)`, check, series, k, micros(at), d)
			do(`INSERT INTO hourly (site, mirror, vantage, start, up) VALUES ('presstv', $1, 'direct', $2, 1)`, h, bucket(micros(at), hour))
			do(`INSERT INTO verdicts (check_id, series, rules_version, judged, state, verdict, doc) VALUES ($1, $2, 'r2', $3, 'down', 'different_page', '{}')`, check, series, micros(at))
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := range 2 {
		at := t0.Add(time.Duration(n) * time.Hour)
		doc, err := db.Report(t.Context(), run(at).ID)
		if err != nil || len(doc.Articles) != 1 || len(doc.Articles[0].Mirrors) != 2 {
			t.Fatalf("%+v, %v", doc, err)
		}
		for k, f := range doc.Articles[0].Mirrors {
			if f.Mirror != survey.Host(hosts[k]) || f.State != survey.Up || !f.ObservedAt.Equal(at) || *f.Status != 200 || (f.FinalURL != "") != (n == 1) {
				t.Errorf("run %d: %+v", n, f)
			}
		}
		if v, err := db.Verdicts(t.Context(), run(at).ID); err != nil || len(v) != 2 {
			t.Errorf("%+v, %v", v, err)
		}
	}
	mirrors, err := db.Mirrors(t.Context(), t0.Add(time.Hour))
	if err != nil || len(mirrors) != 2 || mirrors[0].H24.Up != 2 {
		t.Errorf("%+v, %v", mirrors, err)
	}
	if p, err := db.PruneRaw(t.Context(), t0.Add(time.Hour), Keep{RawRows: 2}); err != nil || p.Observations != 2 || p.Checks != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := os.Stat(path + ".schema-3"); err != nil {
		t.Error(err)
	}
}

// TestSaveChecks saves several at once, two of one article among them, and again: as one by one.
func TestSaveChecks(t *testing.T) {
	one, many := open(t), open(t)
	for _, db := range []*DB{one, many} {
		var list []SavedCheck
		for n := range 3 {
			at := t0.Add(time.Duration(n) * time.Hour)
			r := run(at)
			if err := db.BeginRun(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			for _, url := range []string{article, article + "-2"} {
				word := survey.Identical
				if n == 2 {
					word = survey.SameArticle
				}
				list = append(list, SavedCheck{Run: r.ID, At: at, Check: survey.Check{Site: "presstv", URL: url, Mirrors: []survey.Finding{finding("www.presstv.com", at, survey.Up, word), finding("b.example", at, survey.Down, survey.FetchFailed)}}})
			}
		}
		for range 2 {
			if db == many {
				if err := db.SaveChecks(t.Context(), list); err != nil {
					t.Fatal(err)
				}
				continue
			}
			for _, c := range list {
				if err := db.SaveCheck(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var a, b dump
	if err := one.Dump(t.Context(), &a); err != nil {
		t.Fatal(err)
	}
	if err := many.Dump(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) || len(a) < 1000 {
		t.Errorf("one by one:\n%s\ntogether:\n%s", a, b)
	}
	doc, _, err := many.Last(t.Context())
	if err != nil || len(doc.Articles) != 2 || doc.Articles[0].Mirrors[0].Since == nil || !doc.Articles[0].Mirrors[0].Since.Equal(t0) {
		t.Errorf("%+v, %v", doc, err)
	}
}

type dump []byte

func (d *dump) Write(p []byte) (int, error) { *d = append(*d, p...); return len(p), nil }
