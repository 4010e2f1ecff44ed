package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// run executes one command in this process and returns its status and what it printed.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(context.Background(), append([]string{"mirrorwatch"}, args...), world{stdout: &out, stderr: &errs,
		getenv: func(string) string { return "" }, environ: func() []string { return nil }, now: time.Now})
	return code, out.String(), errs.String()
}

func checked(t *testing.T, stdout string) survey.Report {
	t.Helper()
	var r survey.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return r
}

// TestAnEditIsNewsOnce: when the primary changes its own article, that run says so; afterwards the edited text is the
// version to hold it against, and a mirror that has not followed is the one that differs.
func TestAnEditIsNewsOnce(t *testing.T) {
	var edited atomic.Bool
	paper := func(follows bool) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if !strings.HasPrefix(r.URL.Path, "/2026/story-12345") {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, "<html><title>Not found</title><h1>Not found</h1></html>")
				return
			}
			killed := "fourteen"
			if edited.Load() && follows {
				killed = "fifteen"
			}
			fmt.Fprint(w, "<html><head><title>Ferry runs aground</title></head><body><article><h1>Ferry runs aground</h1>")
			for _, p := range []string{
				"The ferry Aurora ran aground in thick fog near the northern lighthouse early on Monday, the coast guard said.",
				"At least " + killed + " people were hurt, most of them lightly, when the bow struck the rocks at a speed of nine knots.",
				"Captain Ingrid Solheim told reporters that the radar had failed an hour before the accident and that help came quickly.",
				"The harbour authority has closed the strait to large ships until divers have looked at the wreck, which may take a week.",
				"Passengers spent the night in the school of the nearest village, where volunteers served soup and dry clothes.",
			} {
				fmt.Fprintf(w, "<p>%s</p>", p)
			}
			fmt.Fprint(w, "</article></body></html>")
		}))
	}
	primary, mirror := paper(true), paper(false)
	defer primary.Close()
	defer mirror.Close()
	dir := t.TempDir()
	look := func() (int, survey.Report) {
		code, out, errs := run(t, "check", primary.URL+"/2026/story-12345", "--mirror", mirror.URL, "--data", dir, "--format", "json", "--delay", "0s", "--retries", "0")
		if code == exitOurs || code == exitUsage {
			t.Fatalf("status %d: %s", code, errs)
		}
		return code, checked(t, out)
	}
	verdict := func(r survey.Report, i int) survey.Finding { return r.Articles[0].Mirrors[i] }

	if code, r := look(); code != exitOK {
		t.Fatalf("first run: status %d, %+v", code, r.Summary)
	}
	if whole, revisits := recordsOfPayload(t, dir, primary.URL+"/2026/story-12345"); whole != 1 || revisits < 1 {
		t.Errorf("two equal mirrors cost %d whole records and %d revisits, want one body", whole, revisits)
	}
	edited.Store(true)
	code, r := look()
	if f := verdict(r, 0); code != exitFound || f.Verdict.Verdict != survey.Altered {
		t.Errorf("the run that meets the edit: status %d, primary %s (%v)", code, f.Verdict.Verdict, f.Reasons)
	}
	code, r = look()
	if f := verdict(r, 0); f.State != survey.Up || f.By == nil || *f.By != survey.ByBytes {
		t.Errorf("the run after it: primary %s %s (%v)", f.State, f.Verdict.Verdict, f.Reasons)
	}
	if f := verdict(r, 1); code != exitOK && f.State == survey.Up || f.State == survey.Down {
		t.Errorf("the mirror with the older text: status %d, %s %s (%v)", code, f.State, f.Verdict.Verdict, f.Reasons)
	}
}

// recordsOfPayload counts the response and revisit records with the payload digest of the URL's response.
func recordsOfPayload(t *testing.T, dir, url string) (whole, revisits int) {
	t.Helper()
	digests := map[string][2]int{}
	want := ""
	eachRecord(t, dir, func(h warc.Header, _ []byte) {
		d := h.Get("WARC-Payload-Digest")
		n := digests[d]
		switch h.Type() {
		case "response":
			n[0]++
		case "revisit":
			n[1]++
		default:
			return
		}
		digests[d] = n
		if h.TargetURI() == url {
			want = d
		}
	})
	return digests[want][0], digests[want][1]
}
