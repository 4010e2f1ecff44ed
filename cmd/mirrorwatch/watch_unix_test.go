//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/crawler/survey"
)

// shared is a writer that is read while it is written to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestWatchReloads runs watch with a clock that is a minute on after each half second: a changed file holds from the next
// run on, a wrong one is reported with its place while the last right one goes on, runs do not overlap though each takes
// longer than the schedule's minute, and the end of the context ends it with status 0.
func TestWatchReloads(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/story") {
			time.Sleep(150 * time.Millisecond)
			fmt.Fprintf(w, "<html><title>Story</title><article><h1>Story</h1><p>%s</p></article></html>", strings.Repeat("The same words stand on every mirror, in the same order. ", 30))
			return
		}
		http.NotFound(w, r)
	}
	a, b := httptest.NewServer(http.HandlerFunc(page)), httptest.NewServer(http.HandlerFunc(page))
	defer a.Close()
	defer b.Close()
	dir := t.TempDir()
	file, data := filepath.Join(dir, "m.yaml"), filepath.Join(dir, "D")
	write := func(mirrors, primary string) {
		t.Helper()
		text := fmt.Sprintf("data: %s\ncanaries: none\ndefaults: {delay: 0s, retries: 0}\nschedule: \"* * * * *\"\nsites:\n  s:\n    %s: %s\n    mirrors: [%s]\n    articles: [/story-1234567]\n", data, primary, a.URL, mirrors)
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("", "primary")
	begin, midnight := time.Now(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const tick = 400 * time.Millisecond
	clock := func() time.Time { // almost a minute passes at once at the end of each tick
		gone := time.Since(begin)
		return midnight.Add(gone/tick*time.Minute + time.Minute - tick + gone%tick)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr shared
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, []string{"mirrorwatch", "watch", "--sites", file}, world{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, environ: func() []string { return nil }, now: clock})
	}()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for range 600 {
			if ok() {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("waited for %s in vain; stderr:\n%s", what, stderr.String())
	}
	runs := func() []survey.RunRow {
		h, err := history.Open(filepath.Join(data, historyFile), history.Options{ReadOnly: true})
		if err != nil {
			return nil
		}
		defer func() { _ = h.Close() }()
		list, err := h.Runs(t.Context(), 100)
		if err != nil {
			return nil
		}
		return list
	}
	done := func(from, n, mirrors int) func() bool {
		return func() bool {
			list, finished := runs(), 0
			for i, r := range list {
				if i < len(list)-from && !r.Run.Finished.IsZero() && r.Summary.Mirrors == mirrors {
					finished++
				}
			}
			return finished >= n
		}
	}
	wait("two runs", done(0, 2, 1))
	write("", "prmary")
	wait("the error", func() bool { return strings.Contains(stderr.String(), file+":7:5: ") })
	for _, want := range []string{"prmary: ", "    ^", "watch goes on with the last file that was right"} {
		wait(want, func() bool { return strings.Contains(stderr.String(), want) })
	}
	was := len(runs())
	wait("a run by the last right file", done(was, 1, 1))
	was = len(runs())
	write(b.URL, "primary")
	wait("a run by the new file", done(was, 1, 2))
	cancel()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("status %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	list := runs()
	for i := 1; i < len(list); i++ {
		if later, earlier := list[i-1], list[i]; later.Run.Started.Before(earlier.Run.Finished) {
			t.Errorf("run %s began before %s ended", later.Run.ID, earlier.Run.ID)
		}
	}
	if strings.Contains(stderr.String(), "holds") || len(list) < 4 {
		t.Errorf("%d runs; %s", len(list), stderr.String())
	}
}

// TestWatchStopsInMidRun: SIGTERM ends the run under way as it ends check, and the command with status 0.
func TestWatchStopsInMidRun(t *testing.T) {
	asked := make(chan struct{}, 100)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer slow.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "m.yaml")
	if err := os.WriteFile(file, []byte("canaries: none\nschedule: \"17 3 1 1 *\"\nsites: {s: {primary: \""+slow.URL+"\", articles: [/a-1234567]}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "D")
	cmd := command(t, "watch", "--now", "--sites", file, "--data", data, "--timeout", "60s", "--grace", "300ms", "--delay", "0s", "--format", "json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it went on for %v after the signal", took)
	}
	var doc survey.Report
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if doc.Run.StoppedBy == nil || *doc.Run.StoppedBy != "signal" {
		t.Errorf("%+v", doc.Run)
	}
	if code, _, errs := run(t, "verify", "--data", data); code != exitOK {
		t.Errorf("verify: status %d: %s", code, errs)
	}
}

// TestTwoRunsAtOnce starts two checks together: one works, the other ends at once with status 3 and names who holds the
// folder. A run that is killed leaves its lock file behind, which holds nobody up.
func TestTwoRunsAtOnce(t *testing.T) {
	asked, goon := make(chan struct{}, 100), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-goon:
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "<html><title>x</title><p>hello</p></html>")
	}))
	defer slow.Close()
	data := t.TempDir()
	args := []string{"check", slow.URL + "/a-1234567", "--data", data, "--timeout", "60s", "--delay", "0s", "--retries", "0", "--exit-zero"}
	first, second := command(t, args...), command(t, args...)
	var out [2]bytes.Buffer
	first.Stderr, second.Stderr = &out[0], &out[1]
	first.Stdout, second.Stdout = &out[0], &out[1]
	start := time.Now()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked // one of them has the lock
	type end struct {
		n   int
		err error
	}
	ends := make(chan end, 2)
	go func() { ends <- end{0, first.Wait()} }()
	go func() { ends <- end{1, second.Wait()} }()
	loser := <-ends
	winner := first
	if loser.n == 0 {
		winner = second
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the loser took %v", took)
	}
	text := out[loser.n].String()
	if code := []int{first.ProcessState.ExitCode(), second.ProcessState.ExitCode()}[loser.n]; code != exitVoid {
		t.Errorf("status %d: %s", code, text)
	}
	for _, want := range []string{"another run holds", fmt.Sprint(winner.Process.Pid), "since", "--wait"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if n := strings.Count(strings.TrimSpace(text), "\n"); n > 1 {
		t.Errorf("%d lines: %s", n+1, text)
	}
	// kill -9: the lock file stays, the lock does not.
	if err := winner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ends
	if b, err := os.ReadFile(filepath.Join(data, "lock")); err != nil || len(b) == 0 {
		t.Errorf("the lock file: %q, %v", b, err)
	}
	close(goon)
	if code, _, errs := run(t, args...); code != exitOK {
		t.Errorf("after the kill: status %d: %s", code, errs)
	}
	// A lock file of a process that may be somebody else's by now, left by a machine that went down.
	if err := os.WriteFile(filepath.Join(data, "lock"), []byte("mirrorwatch 1 on elsewhere since 2020-01-01T00:00:00Z\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, args...); code != exitOK {
		t.Errorf("with a stale lock: status %d: %s", code, errs)
	}
}
