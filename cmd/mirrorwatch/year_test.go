package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports/notify"
)

// fault is something planted: what a mirror, or one article of it, does in the runs from..to (both included).
type fault struct {
	name     string
	mirror   int
	article  int // -1: all
	from, to int
	how      byte // d refused, s 503, a altered, c certificate expired, v own network down, f every second run, r slow recovery, m missed run
	// opens and closes are the runs at which it must be told; -1: never.
	opens, closes int
}

const (
	yearRuns     = 365 * 24
	yearArticles = 20
	yearMirrors  = 4
)

// errKilled stands for kill -9: nothing after it happens, and the next run starts from what is on disk.
var errKilled = errors.New("killed")

// TestSimulatedYear runs hourly for a year over 20 articles on 4 mirrors: verdicts, incidents, notices and retention with a
// virtual clock, and with the faults planted that the table names. Every fault that must be told is told once at the right
// run and closed once; nothing else is told; every notice goes out once, or is kept and retried, or is unknown after a kill.
func TestSimulatedYear(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP the simulated year takes up to a minute")
	}
	// Incidents are reckoned from all 20 articles in every run. Saving 175,200 checks takes minutes, though: unless
	// MIRRORWATCH_YEAR=full asks for it, one article is saved all the year, and all of them in the last two weeks.
	full := os.Getenv("MIRRORWATCH_YEAR") == "full"
	begin := time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)
	rnd := rand.New(rand.NewPCG(2026, 8))
	var faults []fault
	// Faults have a day to themselves, so that each can be looked at alone; every tenth day or so is left quiet.
	at := 48
	plant := func(f fault) {
		f.from += at
		f.to += at
		if f.opens >= 0 {
			f.opens += at
		}
		if f.closes >= 0 {
			f.closes += at
		}
		faults = append(faults, f)
		at += max(48, f.to-f.from+30) + rnd.IntN(24)
		if f.how == 'f' {
			at += 24
		}
	}
	for at < yearRuns-400 {
		m, a := rnd.IntN(yearMirrors), rnd.IntN(yearArticles)
		plant(fault{"single failure of a mirror", m, -1, 0, 0, 'd', -1, -1})
		plant(fault{"single failure of an article", m, a, 0, 0, 's', -1, -1})
		plant(fault{"two failures", m, -1, 0, 1, 'd', -1, -1})
		plant(fault{"outage", m, -1, 0, 5 + rnd.IntN(5), 'd', 2, 0})
		plant(fault{"article gone", (m + 1) % yearMirrors, a, 0, 7, 's', 2, 9})
		plant(fault{"altered for a day", (m + 2) % yearMirrors, -1, 0, 23, 'a', 2, 25})
		plant(fault{"own network", 0, -1, 0, 6, 'v', -1, -1})
		plant(fault{"certificate expired", (m + 3) % yearMirrors, -1, 0, 30, 'c', 2, 32})
		plant(fault{"slow recovery", m, -1, 0, 12, 'r', 2, 0})
		plant(fault{"flapping", m, -1, 0, 16, 'f', 8, 0})
		plant(fault{"late cron", 0, -1, 0, 4, 'm', -1, -1})
	}
	for i := range faults {
		f := &faults[i]
		switch f.name {
		case "outage":
			f.closes = f.to + 2
		case "slow recovery":
			// From its fourth run on two articles a run come back; at 5 of 20 or fewer failing the mirror counts as good.
			f.closes = f.from + 4 + 7 + 1
		case "flapping":
			// Bad in runs 0, 2, ... 16. The 8th change is there in run 7, a good one, so it opens in 8; it closes when only
			// the last failure is among the newest 20 results: good at the oldest, then two changes.
			f.closes = f.to + 18
		}
	}
	byRun := map[int]*fault{}
	for i := range faults {
		for r := faults[i].from; r <= faults[i].to; r++ {
			byRun[r] = &faults[i]
		}
	}

	dir := t.TempDir()
	path := filepath.Join(dir, "history.db")
	db, err := history.Open(path, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	var now time.Time
	type sent struct {
		run  int
		kind survey.EventKind
		id   string
	}
	var told []sent
	run, killAt, refuse := 0, "", 0
	kills, unknown, refused := 0, 0, 0
	b := &bookkeeper{rules: sites.Incidents{DownAfter: 3, UpAfter: 2, Remind: 24 * time.Hour}, keep: sites.DefaultRetention, now: func() time.Time { return now },
		channels: notify.Names([]notify.Channel{{URL: "logger://"}}), warn: func(string) {},
		kill: func(stage string) {
			if stage == killAt {
				killAt = ""
				panic(errKilled)
			}
		}}
	b.send = func(_ context.Context, _ notify.Channel, events []survey.IncidentEvent) error {
		if refuse > 0 {
			refuse--
			refused++
			return &notify.SendError{Problem: "connection refused"}
		}
		for _, e := range events {
			told = append(told, sent{run, e.Kind, e.ID})
		}
		return nil
	}
	stages := []string{"evaluate", "claim", "send", "sent"}
	var peak int64
	wall := time.Now()
	var saving, telling, pruning time.Duration
	for run = 0; run < yearRuns; run++ {
		f := byRun[run]
		now = begin.Add(time.Duration(run) * time.Hour)
		if f != nil && f.how == 'm' {
			if run == f.from {
				now = now.Add(25 * time.Minute) // late, then not at all
			} else {
				continue
			}
		}
		b.history = db
		doc := yearRun(run, now, f)
		s := time.Now()
		if err := db.BeginRun(t.Context(), doc.Run); err != nil {
			t.Fatal(err)
		}
		for a, c := range doc.Articles {
			if !full && a > 0 && run < yearRuns-14*24 {
				continue
			}
			if err := db.SaveCheck(t.Context(), history.SavedCheck{Run: doc.Run.ID, At: now, Check: c}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.FinishRun(t.Context(), doc.Run, survey.Summarise(doc)); err != nil {
			t.Fatal(err)
		}
		saving += time.Since(s)
		s = time.Now()
		// Every event of every third outage is killed at another stage; the channel refuses now and then.
		if f != nil && run == f.opens && kills < 2*len(stages) && f.name == "outage" {
			killAt = stages[kills%len(stages)]
		}
		if f != nil && run == f.opens && f.name == "article gone" {
			refuse = 1
		}
		killed := func() (killed bool) {
			defer func() {
				if p := recover(); p != nil {
					if p != error(errKilled) {
						panic(p)
					}
					killed = true
				}
			}()
			if err := b.evaluate(t.Context(), &doc, scope{}); err != nil {
				t.Fatal(err)
			}
			if err := b.deliver(t.Context()); err != nil {
				t.Fatal(err)
			}
			return false
		}()
		telling += time.Since(s)
		if killed {
			kills++
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if db, err = history.Open(path, history.Options{}); err != nil {
				t.Fatal(err)
			}
			b.history = db
		}
		s = time.Now()
		if err := b.prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		pruning += time.Since(s)
		if run%240 == 0 {
			if sz, err := db.Sizes(t.Context()); err == nil {
				peak = max(peak, sz.File)
			}
		}
	}
	took := time.Since(wall)
	rows, err := db.Incidents(t.Context(), time.Time{}, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	runOf := func(at *time.Time) int {
		if at == nil {
			return -1
		}
		return int(at.Sub(begin).Round(time.Hour) / time.Hour)
	}
	used := map[string]bool{}
	type line struct{ planted, opened, closed, wrong int }
	table := map[string]*line{}
	for _, f := range faults {
		l := table[f.name]
		if l == nil {
			l = &line{}
			table[f.name] = l
		}
		l.planted++
		opens, closes := f.opens, f.closes
		found := 0
		for _, r := range rows {
			var in survey.Incident
			if err := json.Unmarshal(r.Doc, &in); err != nil {
				t.Fatal(err)
			}
			if s := runOf(&in.Started); s < f.from || s > f.to {
				continue
			}
			used[r.ID] = true
			found++
			o, c := runOf(in.Opened), runOf(in.Closed)
			if o >= 0 {
				l.opened++
			}
			if c >= 0 {
				l.closed++
			}
			article := ""
			if f.article >= 0 {
				article = yearArticle(f.article)
			}
			// A run that was killed before its incidents were written is a run that did not see the fault.
			late := 0
			if o == opens+1 && f.name == "outage" {
				late = 1
			}
			if o != opens+late || c != closes || in.Mirror != yearHost(f.mirror) || in.Article != article || in.Why != "recovered" || len(in.Evidence) == 0 {
				l.wrong++
				t.Errorf("%s at run %d: %s %q opened at %d (want %d), closed at %d (want %d), %s", f.name, f.from, in.Mirror, in.Article, o, opens, c, closes, in.Why)
			}
		}
		if want := map[bool]int{true: 1, false: 0}[opens >= 0]; found != want {
			l.wrong++
			t.Errorf("%s at run %d: %d incidents, want %d", f.name, f.from, found, want)
		}
	}
	for _, r := range rows {
		if !used[r.ID] {
			t.Errorf("invented: %s %s %s started %s", r.ID, r.Mirror, r.Article, r.Started)
		}
	}
	// Notices: every event once, apart from those of killed processes, which are unknown or sent, never both.
	seen := map[string]int{}
	for _, s := range told {
		seen[s.id]++
		if seen[s.id] > 1 {
			t.Errorf("told twice: %s", s.id)
		}
	}
	list, err := db.Notices(t.Context(), "", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	states := map[history.NoticeState]int{}
	for _, n := range list {
		states[n.State]++
		var evs []survey.IncidentEvent
		if err := json.Unmarshal(n.Doc, &evs); err != nil {
			t.Fatal(err)
		}
		for _, e := range evs {
			switch n.State {
			case history.NoticeSent:
				if seen[e.ID] != 1 {
					t.Errorf("notice of %s is sent, but was told %d times", e.ID, seen[e.ID])
				}
			case history.NoticeUnknown:
				unknown++
			default:
				t.Errorf("notice of %s ended as %s: %s", e.ID, n.State, n.Error)
			}
		}
	}
	for _, r := range rows {
		for _, k := range []survey.EventKind{survey.Opened, survey.Closed} {
			if id := r.ID + "-" + string(k); seen[id] == 0 && unknown == 0 {
				t.Errorf("never told: %s", id)
			}
		}
	}
	size, err := db.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if size.File > 200e6 || peak > 200e6 {
		t.Errorf("history.db has %d octets after the year, %d at its largest: more than 200 MB", size.File, peak)
	}
	start := time.Now()
	d2, err := history.Open(path, history.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	opening := time.Since(start)
	if err := d2.Close(); err != nil {
		t.Error(err)
	}

	var out strings.Builder
	tw := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "fault\tplanted\topened\tclosed\twrong")
	var names []string
	for n := range table {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		l := table[n]
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\n", n, l.planted, l.opened, l.closed, l.wrong)
	}
	_ = tw.Flush()
	fmt.Fprintf(&out, "incidents %d; events told %d, each once; notices %v; kills %d; refused deliveries %d\n", len(rows), len(told), states, kills, refused)
	fmt.Fprintf(&out, "history.db %.1f MB after the year, %.1f MB at its largest; opened in %s\n", float64(size.File)/1e6, float64(peak)/1e6, opening.Round(time.Microsecond))
	fmt.Fprintf(&out, "every check saved: %t\n", full)
	fmt.Fprintf(&out, "%d runs in %s: saving %s, incidents and notices %s, retention %s\n", yearRuns, took.Round(time.Millisecond), saving.Round(time.Millisecond), telling.Round(time.Millisecond), pruning.Round(time.Millisecond))
	t.Log("\n" + out.String())
	if os.Getenv("MIRRORWATCH_TABLES") != "" {
		fmt.Print(out.String())
	}
	if kills < len(stages) || unknown == 0 || refused == 0 {
		t.Errorf("%d kills, %d unknown, %d refused: the test did not try what it must", kills, unknown, refused)
	}
}

func yearHost(m int) survey.Host {
	return []survey.Host{"www.presstv.com", "www.presstv.co.uk", "www.presstv.ir", "m.presstv.example"}[m]
}

func yearArticle(a int) string {
	return fmt.Sprintf("https://www.presstv.com/Detail/2026/01/01/%d/Story", 400000+a)
}

// yearRun is the document of one run as crawler and compare would make it.
func yearRun(n int, now time.Time, f *fault) survey.Report {
	run := survey.Run{ID: survey.RunID(fmt.Sprintf("%s-%06x", now.Format("20060102T150405Z"), n)), Started: now, Finished: now.Add(40 * time.Second), Complete: true,
		Tool: survey.Tool{Name: "mirrorwatch", Version: "test"}, VoidVantages: []string{}}
	doc := survey.Report{Schema: survey.Schema, Run: run}
	if f != nil && f.how == 'v' {
		doc.Run.Void, doc.Run.VoidReason, doc.Run.VoidVantages = true, survey.Ptr("no canary answered"), []string{"direct"}
	}
	for a := range yearArticles {
		c := survey.Check{Site: "presstv", URL: yearArticle(a), Title: "Story"}
		for m := range yearMirrors {
			c.Mirrors = append(c.Mirrors, yearFinding(n, now, a, m, f))
		}
		doc.Articles = append(doc.Articles, c)
	}
	doc.Summary = survey.Summarise(doc)
	return doc
}

func yearFinding(n int, now time.Time, a, m int, f *fault) survey.Finding {
	at := now.Add(time.Duration(a)*time.Second + time.Duration(m)*10*time.Millisecond)
	u := strings.Replace(yearArticle(a), "www.presstv.com", string(yearHost(m)), 1)
	x := survey.Finding{Observation: survey.Observation{Mirror: yearHost(m), Role: survey.Alternate, Vantage: "direct", ObservedAt: at, URL: u, FinalURL: u,
		Stage: survey.StageContent, Outcome: survey.OK, Attempts: 1, Status: survey.Ptr(200), Text: &survey.Text{Words: 500, SHA256: strings.Repeat("ab", 32)},
		Body:     &survey.Body{Bytes: 30000, Type: "text/html", Charset: "utf-8", Lang: "en", SHA256: strings.Repeat("cd", 32)},
		TLS:      &survey.TLS{Version: "TLS 1.3", Verified: true, NotAfter: now.AddDate(0, 2, 0), Issuer: "CN=Test", SHA256: strings.Repeat("ef", 32)},
		Captures: []survey.Capture{{RecordID: survey.RecordID(fmt.Sprintf("urn:uuid:%08x-0000-4000-8000-%06d%06d", n, a, m)), File: "2026-01-x.warc.gz", Offset: 1000, Length: 9000, URL: u, Payload: survey.Digest("sha256:" + strings.Repeat("cd", 32)), Date: at, Status: 200, Type: "text/html"}}},
		Verdict: survey.Verdict{State: survey.Up, Verdict: survey.Identical, PageClass: survey.ClassArticle, Confidence: survey.High, Reasons: []string{"same text"}}}
	x.Timing.FirstByte, x.Timing.Total = survey.Ptr(120.5), survey.Ptr(300.25)
	x.Since = &at
	if m == 0 {
		x.Role = survey.Primary
	}
	if f == nil || f.how == 'm' || f.how != 'v' && (m != f.mirror || f.article >= 0 && a != f.article) {
		return x
	}
	down := func(stage survey.Stage, o survey.Outcome) {
		x.State, x.Verdict.Verdict, x.PageClass, x.Stage, x.Outcome, x.Reasons = survey.Down, survey.FetchFailed, survey.ClassUnknown, stage, o, []string{string(o)}
		x.Text, x.Body, x.Captures = nil, nil, nil
	}
	switch k := n - f.from; f.how {
	case 'd':
		down(survey.StageConnect, survey.ConnectionRefused)
	case 's':
		down(survey.StageHTTP, "status_503")
	case 'c':
		down(survey.StageTLS, survey.CertificateExpired)
	case 'a':
		x.State, x.Verdict.Verdict, x.Reasons = survey.Degraded, survey.Altered, []string{"a sentence is missing"}
	case 'v':
		down(survey.StageDNS, survey.Timeout)
		x.State, x.Verdict.Verdict, x.Reasons = survey.Unknown, survey.Undetermined, []string{survey.ReasonVoid}
	case 'f':
		if k%2 == 0 {
			down(survey.StageConnect, survey.ConnectionRefused)
		}
	case 'r':
		if back := max(0, 2*(k-3)); a >= back {
			down(survey.StageConnect, survey.Timeout)
		}
	}
	return x
}
