package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/survey"
)

var yearDir = flag.String("year", "", "the folder with a year of hourly runs for BenchmarkStartYear, made where it is not there; \"tmp\" makes one for once")

// memoryBlob is a response in memory.
type memoryBlob struct{ *bytes.Reader }

func (b memoryBlob) Size() int64 { return b.Reader.Size() }

// makeYear writes the data folder of a year of hourly runs of one article on two mirrors: 17,520 WARCs, one with a capture
// and its snapshot and one with the run's notes for each hour, their indexes as sessions merge them, and a history with
// every run, check and snapshot.
func makeYear(tb testing.TB, dir string, from time.Time, runs int) {
	tb.Helper()
	ctx := context.Background()
	rnd := rand.New(rand.NewPCG(7, 9))
	noise := func(n int) string { // what compresses to about half
		b := make([]byte, n/2)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return hex.EncodeToString(b)
	}
	// A file takes one hour's records: the next hour's are over the limit. Closing merges indexes, which a session of
	// thousands of files would miss.
	var a *archive.Archive
	open := func(at time.Time) {
		var err error
		if a != nil {
			err = a.Close()
		}
		if err == nil {
			a, err = archive.Open(dir, archive.Options{RollOver: 8000, Level: 1, Now: func() time.Time { return at }})
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	open(from)
	h, err := history.Open(filepath.Join(dir, historyFile), history.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	const article = "http://m0.example/2026/story"
	for i := range runs {
		at := from.Add(time.Duration(i) * time.Hour)
		if i%60 == 59 {
			open(at)
		}
		id := survey.RunID(at.Format("20060102T150405Z") + fmt.Sprintf("-%06x", i))
		run := survey.Run{ID: id, Started: at, Finished: at.Add(20 * time.Second), Complete: true, Tool: survey.Tool{Name: "mirrorwatch", Version: "test"}, VoidVantages: []string{}}
		body := "<html><title>Story</title><p>" + noise(9000)
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n", len(body))
		raw := []byte(head + body)
		sum, block := sha256.Sum256([]byte(body)), sha256.Sum256(raw)
		e := &survey.Exchange{Method: "GET", URL: article, Started: at, Request: []byte("GET /2026/story HTTP/1.1\r\nHost: m0.example\r\n\r\n"), Response: memoryBlob{bytes.NewReader(raw)},
			Head: survey.Span{End: int64(len(head))}, FramedEnd: int64(len(raw)), Proto: "HTTP/1.1", Status: 200, PayloadSize: int64(len(body)), Complete: true,
			PayloadDigest: survey.Digest("sha256:" + hex.EncodeToString(sum[:])), BlockDigest: survey.Digest("sha256:" + hex.EncodeToString(block[:])),
			Stage: survey.StageContent, Outcome: survey.OK, Probe: survey.Probe{ID: "p", Run: id, Mirror: "m0.example", Vantage: "direct", Purpose: survey.ForVerdict, Attempt: 1}}
		c, err := a.Put(ctx, e)
		must(err)
		snap := survey.Snapshot{ID: c.RecordID, Run: id, Article: survey.Article{Site: "m0.example", URL: article}, Mirror: "m0.example", Vantage: "direct", URL: article, Time: at, Page: c, Requisites: []survey.Requisite{}}
		text, err := json.Marshal(snap)
		must(err)
		_, err = a.Note(ctx, survey.Note{Kind: survey.NoteSnapshot, URI: article, Date: at, Body: text})
		must(err)
		check := survey.Check{Site: "m0.example", URL: article, Title: "Story"}
		for m := range 2 {
			f := yearFinding(i, at, 0, m, nil)
			f.Mirror, f.URL, f.FinalURL = survey.Host(fmt.Sprintf("m%d.example", m)), fmt.Sprintf("http://m%d.example/2026/story", m), ""
			f.Captures = []survey.Capture{c}
			check.Mirrors = append(check.Mirrors, f)
		}
		rec, err := json.Marshal(struct {
			crawler.CheckRecord
			Padding string `json:"padding"`
		}{crawler.CheckRecord{Schema: survey.NoteCheck, Run: id, At: at, Check: check}, noise(9000)})
		must(err)
		_, err = a.Note(ctx, survey.Note{Kind: survey.NoteCheck, URI: article, Date: at, Body: rec})
		must(err)
		must(h.BeginRun(ctx, run))
		must(h.SaveCheck(ctx, history.SavedCheck{Run: id, At: at, Check: check, Snapshots: []survey.Snapshot{snap}}))
		must(h.FinishRun(ctx, run, survey.Summary{Articles: 1, Mirrors: 2, Up: 2}))
	}
	must(h.Close())
	must(a.Close())
}

// yearFolder returns the folder that -year names, made on first use.
func yearFolder(b *testing.B) string {
	dir := *yearDir
	switch dir {
	case "":
		b.Skip("SKIPPED: making a year of hourly runs takes minutes; -args -year tmp, or -year DIR to keep it")
	case "tmp":
		dir = filepath.Join(b.TempDir(), "year")
	}
	if _, err := os.Stat(filepath.Join(dir, historyFile)); err != nil {
		makeYear(b, dir, time.Now().UTC().Truncate(time.Hour).AddDate(-1, 0, 0), yearRuns)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "archive", "*.warc.gz"))
	if len(names) < 2*yearRuns {
		b.Fatalf("%d WARCs in %s, want %d", len(names), dir, 2*yearRuns)
	}
	return dir
}

// BenchmarkStartYear is DESIGN section 7's gate "start-up of check with a year of history", 100 ms, aim 50: the whole process
// from its start to its first request at a mirror, in a folder of 17,520 WARCs and a year's history. cpu-ms is the CPU
// time of the whole process, which is less of a guess on a busy machine; an empty folder is beside it.
func BenchmarkStartYear(b *testing.B) {
	year := yearFolder(b)
	for _, folder := range []string{"empty", "year"} {
		b.Run(folder, func(b *testing.B) {
			var first atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first.CompareAndSwap(0, time.Now().UnixNano())
				_, _ = io.WriteString(w, "<html><title>Story</title><p>The story of the day.")
			}))
			defer s.Close()
			addr := s.Listener.Addr().String()
			var wait, cpu time.Duration
			for range b.N {
				dir := year
				if folder == "empty" {
					dir = filepath.Join(b.TempDir(), "data")
				}
				cmd := benchCommand("check", "http://m0.example/2026/story", "--mirror", "http://m1.example", "--data", dir, "--delay", "0s", "--canary", "none", "--allow-private", "-q",
					"--connect-to", "m0.example:80:"+addr, "--connect-to", "m1.example:80:"+addr)
				first.Store(0)
				begin := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != exitFound {
					b.Fatalf("%v: %s", err, out)
				}
				wait += time.Duration(first.Load() - begin.UnixNano())
				cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(wait.Milliseconds())/float64(b.N), "ms-to-visit")
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms")
		})
	}
}

// BenchmarkOpenYear opens that folder for writing, as check does before its first visit: lock, recovery, indexes, history,
// reconciliation.
func BenchmarkOpenYear(b *testing.B) {
	year := yearFolder(b)
	b.ReportAllocs()
	for b.Loop() {
		d, err := openToWrite(year, lockOptions())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := d.close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
