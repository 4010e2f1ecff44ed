package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// TestSignal: at the first SIGTERM no new visit begins, those in flight get the grace, then they are cancelled; archive,
// history and report are whole, and what was not visited is interrupted.
func TestSignal(t *testing.T) {
	asked := make(chan struct{}, 100)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer slow.Close()
	dir := t.TempDir()
	cmd := command(t, "check", slow.URL+"/a-1234567", slow.URL+"/b-1234567", "--data", dir, "--format", "json", "--timeout", "60s", "--grace", "300ms", "--delay", "0s", "--per-host", "1")
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
	err := cmd.Wait()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it went on for %v after the signal", took)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitVoid {
		t.Fatalf("ended with %v, want status %d: %s", err, exitVoid, errs.String())
	}
	var doc survey.Report
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if doc.Run.Complete || doc.Run.StoppedBy == nil || *doc.Run.StoppedBy != "signal" || len(doc.Articles) != 2 {
		t.Errorf("run %+v with %d articles", doc.Run, len(doc.Articles))
	}
	for _, a := range doc.Articles {
		for _, f := range a.Mirrors {
			if f.State != survey.Unknown || f.Outcome != survey.Interrupted {
				t.Errorf("%s is %s, %s", f.URL, f.State, f.Outcome)
			}
		}
	}
	if code, _, errs := run(t, "verify", "--data", dir); code != exitOK {
		t.Errorf("verify: status %d: %s", code, errs)
	}
	if code, _, errs := run(t, "report", "--data", dir); code != exitOK {
		t.Errorf("report: status %d: %s", code, errs)
	}
}

// TestMaxTime and TestMaxURLs: budgets end a run as signals do, and say which.
func TestBudgets(t *testing.T) {
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer slow.Close()
	for flag, want := range map[string]string{"--max-time=200ms": "max_time", "--max-urls=1": "max_urls"} {
		code, out, errs := run(t, "check", slow.URL+"/a-1234567", slow.URL+"/b-1234567", "--data", t.TempDir(), "--format", "json", "--timeout", "500ms",
			"--retries", "0", "--grace", "200ms", "--delay", "0s", "--per-host", "1", flag)
		if code != exitVoid && code != exitFound {
			t.Errorf("%s: status %d: %s", flag, code, errs)
		}
		doc := checked(t, out)
		if doc.Run.StoppedBy == nil || *doc.Run.StoppedBy != want {
			t.Errorf("%s: stopped by %v", flag, doc.Run.StoppedBy)
		}
		unknown := 0
		for _, a := range doc.Articles {
			if a.Mirrors[0].State == survey.Unknown {
				unknown++
			}
		}
		if unknown == 0 {
			t.Errorf("%s: no mirror is unknown: %+v", flag, doc.Summary)
		}
	}
}

// TestHeaderIsMasked: --header reaches its host alone; the record holds the field, but not its value, at equal length.
func TestHeaderIsMasked(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	serve := func() *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			got[r.Host] = append(got[r.Host], r.Header.Get("Authorization"))
			mu.Unlock()
			fmt.Fprint(w, "<html><title>x</title><p>hello</p></html>")
		}))
	}
	a, b := serve(), serve()
	defer a.Close()
	defer b.Close()
	host := strings.TrimPrefix(a.URL, "http://")
	dir := t.TempDir()
	const secret = "Bearer hunter2-hunter2"
	code, out, errs := run(t, "check", a.URL+"/a-1234567", "--mirror", b.URL, "--header", host+": Authorization: "+secret, "--data", dir, "--delay", "0s", "--retries", "0", "-v")
	if code == exitUsage || code == exitOurs {
		t.Fatalf("status %d: %s", code, errs)
	}
	if strings.Contains(out+errs, "hunter2") {
		t.Error("the secret was printed")
	}
	for h, values := range got {
		for _, v := range values {
			if (v == secret) != (h == host) || h != host && v != "" {
				t.Errorf("%s got %q", h, v)
			}
		}
	}
	requests := 0
	eachRecord(t, dir, func(h warc.Header, block []byte) {
		if bytes.Contains(block, []byte("hunter2")) {
			t.Errorf("the secret stands in a %s record", h.Type())
		}
		if h.Type() == "request" && bytes.Contains(block, []byte("Authorization: "+strings.Repeat("*", len(secret)))) {
			requests++
		}
	})
	if requests == 0 {
		t.Error("no request record shows the field at its length")
	}
	if db, err := os.ReadFile(dir + "/history.db"); err != nil || bytes.Contains(db, []byte("hunter2")) {
		t.Errorf("history: %v, or it holds the secret", err)
	}
}

// TestRobots: one fetch per origin and run, recorded; the article that the user named is visited all the same, and noted.
func TestRobots(t *testing.T) {
	var mu sync.Mutex
	fetched := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			mu.Lock()
			fetched++
			mu.Unlock()
			fmt.Fprint(w, "User-agent: *\nDisallow: /closed\n")
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<html><title>%s</title><p>hello from %s</p></html>", r.URL.Path, r.URL.Path)
	}))
	defer s.Close()
	dir := t.TempDir()
	_, out, _ := run(t, "check", s.URL+"/closed-1234567", s.URL+"/open-1234567", "--data", dir, "--delay", "0s", "--retries", "0", "--format", "json")
	doc := checked(t, out)
	if fetched != 1 {
		t.Errorf("robots.txt was fetched %d times", fetched)
	}
	for _, a := range doc.Articles {
		noted := strings.Contains(strings.Join(a.Mirrors[0].Notes, " "), "robots.txt disallows")
		if noted != strings.Contains(a.URL, "closed") {
			t.Errorf("%s: notes %q", a.URL, a.Mirrors[0].Notes)
		}
	}
	recorded := false
	eachRecord(t, dir, func(h warc.Header, _ []byte) {
		recorded = recorded || h.Type() == "response" && strings.HasSuffix(h.TargetURI(), "/robots.txt")
	})
	if !recorded {
		t.Error("robots.txt is not in the archive")
	}
}
