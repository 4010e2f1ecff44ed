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

// year is how much of one is simulated.
type year struct {
	runs, gap, spread int // hours, and between the faults
	keep              sites.Retention
}

// errKilled stands for kill -9: nothing after it happens, and the next run starts from what is on disk.
var errKilled = errors.New("killed")

// planted spreads the faults over the year, so that each can be looked at alone, and says when each must be told.
func (y year) planted() []fault {
	rnd := rand.New(rand.NewPCG(2026, 8))
	var faults []fault
	at := 48
	plant := func(f fault) {
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
		f.from += at
		f.to += at
		if f.opens >= 0 {
			f.opens, f.closes = f.opens+at, f.closes+at
		}
		at += max(y.gap, f.to-f.from+30) + rnd.IntN(y.spread)
		if f.how == 'f' {
			at += 24
		}
		if max(f.to, f.closes)+48 < y.runs {
			faults = append(faults, f)
		}
	}
	for at < y.runs {
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
	return faults
}

// yearStages are where a run is killed: when it has begun, when its checks are saved, when its end is, when its incidents
// are reckoned and not saved, before a notice is claimed, before and after it is sent.
var yearStages = []string{"begun", "saved", "finished", "evaluate", "claim", "send", "sent"}

// TestSimulatedYear runs hourly over 20 articles on 4 mirrors, every check saved: verdicts, incidents, notices and retention
// with a virtual clock, and with the faults planted that the table names. Every fault that must be told is told once at the
// right run and closed once; nothing else is told; every notice goes out once and when it was promised, or is kept and
// retried, or is unknown after a kill. One channel is told at once, another gets a digest at eight.
//
// MIRRORWATCH_YEAR=full is the whole year: 175,200 checks, about two minutes of processor time on a busy machine, two thirds of
// it one after the other. Without it six weeks are simulated, with retention as much shorter.
func TestSimulatedYear(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP the simulated year takes some seconds")
	}
	y := year{runs: 42 * 24, gap: 26, spread: 6, keep: sites.Retention{Raw: 10 * 24 * time.Hour, Hourly: 30 * 24 * time.Hour}}
	full := os.Getenv("MIRRORWATCH_YEAR") == "full"
	if full {
		y = year{runs: yearRuns, gap: 48, spread: 24, keep: sites.DefaultRetention}
	}
	begin := time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)
	faults := y.planted()
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
	eight, err := sites.ParseCron("0 8 * * *")
	if err != nil {
		t.Fatal(err)
	}
	var now time.Time
	type sent struct {
		run     int
		channel string
	}
	told := map[string][]sent{} // by event, "digest " before those of the digest
	messages, digests := 0, map[int]int{}
	run, killAt, refuse := 0, "", 0
	kills, refused := map[string]int{}, 0
	troubled := map[*fault]string{} // whose opening was killed, or refused once
	b := &bookkeeper{rules: sites.Incidents{DownAfter: 3, UpAfter: 2, Remind: 24 * time.Hour}, keep: y.keep, now: func() time.Time { return now },
		channels: notify.Names([]notify.Channel{{URL: "logger://"}, {Name: "digest", URL: "logger://", Holds: sites.Notice{Digest: eight, Zone: time.UTC}.Holds}}),
		warn:     func(string) {},
		kill: func(stage string) {
			if stage == killAt {
				killAt = ""
				kills[stage]++
				panic(errKilled)
			}
		}}
	b.send = func(_ context.Context, c notify.Channel, events []survey.IncidentEvent) error {
		if c.Name == "digest" {
			digests[run]++
			for _, e := range events {
				told["digest "+e.ID] = append(told["digest "+e.ID], sent{run, c.Name})
			}
			return nil
		}
		if refuse > 0 {
			refuse--
			refused++
			return &notify.SendError{Problem: "connection refused"}
		}
		messages++
		for _, e := range events {
			told[e.ID] = append(told[e.ID], sent{run, c.Name})
		}
		return nil
	}
	var peak int64
	cpu := processorTime()
	wall := time.Now()
	var saving, telling, pruning time.Duration
	docs := make(chan survey.Report, 4)
	go func() { // the other processor makes what crawler and compare would
		defer close(docs)
		for n := range y.runs {
			at := begin.Add(time.Duration(n) * time.Hour)
			f := byRun[n]
			if f != nil && f.how == 'm' {
				at = at.Add(25 * time.Minute) // late once, then not at all
			}
			docs <- yearRun(n, at, f)
		}
	}()
	opened := 0
	for run = 0; run < y.runs; run++ {
		f, doc := byRun[run], <-docs
		if now = doc.Run.Started; f != nil && f.how == 'm' && run > f.from {
			continue
		}
		if f != nil && run == f.opens {
			switch f.name {
			case "article gone":
				refuse = 1
				troubled[f] = "refused"
			case "outage", "altered for a day", "certificate expired", "slow recovery":
				killAt = yearStages[opened%len(yearStages)]
				troubled[f] = killAt
				opened++
			}
		}
		b.history = db
		killed := func() (killed bool) {
			defer func() {
				if p := recover(); p != nil {
					if p != error(errKilled) {
						panic(p)
					}
					killed = true
				}
			}()
			s := time.Now()
			checks := make([]history.SavedCheck, len(doc.Articles))
			for a, c := range doc.Articles {
				checks[a] = history.SavedCheck{Run: doc.Run.ID, At: now, Check: c}
			}
			first := doc.Run
			first.Finished, first.Complete = time.Time{}, false
			if err := db.BeginRun(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			b.at("begun")
			if err := db.SaveChecks(t.Context(), checks); err != nil {
				t.Fatal(err)
			}
			b.at("saved")
			if err := db.FinishRun(t.Context(), doc.Run, survey.Summarise(doc)); err != nil {
				t.Fatal(err)
			}
			b.at("finished")
			saving += time.Since(s)
			s = time.Now()
			if err := b.evaluate(t.Context(), &doc, scope{}); err != nil {
				t.Fatal(err)
			}
			if err := b.deliver(t.Context()); err != nil {
				t.Fatal(err)
			}
			telling += time.Since(s)
			s = time.Now()
			if err := b.prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			pruning += time.Since(s)
			return false
		}()
		if killed {
			// What a killed process leaves: the file and its WAL as they are, and nobody who closes them.
			next := filepath.Join(dir, fmt.Sprintf("history-%d.db", run))
			for _, ext := range []string{"", "-wal"} {
				b, err := os.ReadFile(path + ext)
				if err == nil {
					err = os.WriteFile(next+ext, b, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			path = next
			if db, err = history.Open(path, history.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		if run%240 == 0 {
			if sz, err := db.Sizes(t.Context()); err == nil {
				peak = max(peak, sz.File)
			}
		}
	}
	took, spent := time.Since(wall), processorTime()-cpu

	rows, err := db.Incidents(t.Context(), time.Time{}, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	list, err := db.Notices(t.Context(), "", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	states, unknown := map[history.NoticeState]int{}, map[string]bool{}
	for _, n := range list {
		states[n.State]++
		var evs []survey.IncidentEvent
		if err := json.Unmarshal(n.Doc, &evs); err != nil {
			t.Fatal(err)
		}
		for _, e := range evs {
			switch n.State {
			case history.NoticeSent:
			case history.NoticeUnknown:
				prefix := map[string]string{"digest": "digest "}[n.Target]
				unknown[prefix+e.ID] = true
			default:
				t.Errorf("notice of %s ended as %s: %s", e.ID, n.State, n.Error)
			}
		}
	}
	// promise wants the event told once, in that run or, where it was in trouble, up to so many later.
	promised := map[string]bool{}
	promise := func(event string, run, late int) {
		promised[event] = true
		got := told[event]
		switch {
		case len(got) == 0 && unknown[event]:
		case len(got) == 0:
			t.Errorf("%s: never told, it was due in run %d", event, run)
		case len(got) > 1:
			t.Errorf("%s: told %d times", event, len(got))
		case got[0].run < run || got[0].run > run+late:
			t.Errorf("%s: told in run %d, it was due in run %d", event, got[0].run, run)
		}
	}
	// The digest of what happened in a run is told at the next eight o'clock, and after missed runs by the next one.
	digestOf := func(run int) int { return (run-8+24)/24*24 + 8 }
	runOf := func(at *time.Time) int {
		if at == nil {
			return -1
		}
		return int(at.Sub(begin).Round(time.Hour) / time.Hour)
	}
	used := map[string]bool{}
	type line struct{ planted, opened, closed, told, wrong int }
	table := map[string]*line{}
	for i := range faults {
		f := &faults[i]
		l := table[f.name]
		if l == nil {
			l = &line{}
			table[f.name] = l
		}
		l.planted++
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
			unseen, later := 0, 0
			switch troubled[f] {
			case "begun", "saved", "finished", "evaluate":
				unseen = 1
			case "claim", "send", "sent", "refused":
				later = 1
			}
			if o != f.opens+unseen || c != f.closes || in.Mirror != yearHost(f.mirror) || in.Article != article || in.Why != "recovered" || len(in.Evidence) == 0 {
				l.wrong++
				t.Errorf("%s at run %d: %s %q opened at %d (want %d), closed at %d (want %d), %s", f.name, f.from, in.Mirror, in.Article, o, f.opens+unseen, c, f.closes, in.Why)
				continue
			}
			promise(in.ID+"-opened", o, later)
			promise(in.ID+"-closed", c, 0)
			last := digestOf(o)
			if last != digestOf(c) {
				promise("digest "+in.ID+"-opened", last, 6)
			}
			for n := 1; f.how != 'f' && o+24*n <= f.to; n++ {
				id := fmt.Sprintf("%s-reminded%d", in.ID, n)
				promise(id, o+24*n, 0)
				if d := digestOf(o + 24*n); d != last && d != digestOf(c) {
					promise("digest "+id, d, 6)
					last = d
				}
			}
			promise("digest "+in.ID+"-closed", digestOf(c), 6)
			l.told += 2
		}
		if want := map[bool]int{true: 1, false: 0}[f.opens >= 0]; found != want {
			l.wrong++
			t.Errorf("%s at run %d: %d incidents, want %d", f.name, f.from, found, want)
		}
	}
	for _, r := range rows {
		if !used[r.ID] {
			t.Errorf("invented: %s %s %s started %s", r.ID, r.Mirror, r.Article, r.Started)
		}
	}
	for event, got := range told {
		if !promised[event] {
			t.Errorf("told and not promised: %s in run %d", event, got[0].run)
		}
	}
	for run, n := range digests {
		if n > 1 {
			t.Errorf("%d digests in run %d", n, run)
		}
	}
	size, err := db.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if size.File > 200e6 || peak > 200e6 {
		t.Errorf("history.db has %d octets after the year, %d at its largest: more than 200 MB", size.File, peak)
	}
	checks := int64(0)
	for _, s := range size.Tables {
		if s.Name == "checks" {
			checks = s.Rows
		}
	}
	if kept := int64(y.keep.Raw/time.Hour) * yearArticles; checks < kept*9/10 || checks > kept+25*yearArticles {
		t.Errorf("%d checks are kept, %d were to be", checks, kept)
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
	if keep := os.Getenv("MIRRORWATCH_YEAR_DB"); keep != "" {
		if err := db.Backup(t.Context(), keep); err != nil {
			t.Error(err)
		}
	}

	var out strings.Builder
	tw := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "fault\tplanted\topened\tclosed\ttold\twrong")
	var names []string
	for n := range table {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		l := table[n]
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\n", n, l.planted, l.opened, l.closed, l.told, l.wrong)
	}
	_ = tw.Flush()
	fmt.Fprintf(&out, "incidents %d; messages %d, digests %d; notices %v; kills %v; refused deliveries %d\n", len(rows), messages, len(digests), states, kills, refused)
	fmt.Fprintf(&out, "history.db %.1f MB after the year, %.1f MB at its largest; opened in %s\n", float64(size.File)/1e6, float64(peak)/1e6, opening.Round(time.Microsecond))
	fmt.Fprintf(&out, "%d runs of %d checks in %s (processor %s): saving %s, incidents and notices %s, retention %s\n", y.runs, yearArticles, took.Round(time.Millisecond), spent.Round(time.Millisecond),
		saving.Round(time.Millisecond), telling.Round(time.Millisecond), pruning.Round(time.Millisecond))
	t.Log("\n" + out.String())
	if os.Getenv("MIRRORWATCH_TABLES") != "" {
		fmt.Print(out.String())
	}
	for _, s := range yearStages {
		if kills[s] == 0 {
			t.Errorf("no run was killed at %q", s)
		}
	}
	if len(unknown) == 0 || refused == 0 || len(faults) < 20 {
		t.Errorf("%d faults, %d unknown, %d refused: the test did not try what it must", len(faults), len(unknown), refused)
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
