//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/crawler/survey"
)

// TestUnattendedEdges runs the whole command through what a night brings besides failures: a window of maintenance, which is
// measured but neither counted nor told; a heartbeat after each run that is not void, and none after one that is; a mirror's
// operator, who gets a text that needs no explanation, once.
func TestUnattendedEdges(t *testing.T) {
	const a, b, canary = "www.a.example", "www.b.example", "canary.example"
	s := newStage(t, a, b, canary)
	var mu sync.Mutex
	beats, letters := 0, []string{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/beat" {
			beats++
		} else {
			letters = append(letters, string(text))
		}
	}))
	defer web.Close()
	dir := t.TempDir()
	data, file, port := filepath.Join(dir, "D"), filepath.Join(dir, "m.yaml"), s.Listener.Addr().String()
	write := func(incidents string) {
		t.Helper()
		text := fmt.Sprintf("contact: ops@a.example\ncanaries: [https://%s/]\ndefaults:\n  ca_file: ca.pem\n  delay: 0s\n  retries: 0\n  links: none\n  connect_to: [%q, %q, %q]\n", canary, a+":443:"+port, b+":443:"+port, canary+":443:"+port) +
			fmt.Sprintf("data: D\nsites:\n  s:\n    primary: https://%s\n    mirrors: [{url: https://%s, contact: [%q]}]\n    articles: [/story-1000001, /story-1000002]\nheartbeat: %q\nincidents: %s\n", a, b,
				"generic://"+strings.TrimPrefix(web.URL, "http://")+"/letter?disabletls=yes", web.URL+"/beat", incidents)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), s.caPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(how map[string]byte, want, wantBeats, wantLetters int) {
		t.Helper()
		s.set(how)
		code, out, errs := run(t, "check", "--sites", file, "-q")
		mu.Lock()
		defer mu.Unlock()
		if code != want || beats != wantBeats || len(letters) != wantLetters {
			t.Fatalf("status %d, %d heartbeats, %d letters; want %d, %d, %d\n%s%s", code, beats, len(letters), want, wantBeats, wantLetters, out, errs)
		}
	}
	down := map[string]byte{b: 'd'}
	write(`{down_after: 1, up_after: 1, maintenance: [{cron: "* * * * *", for: 1h}]}`)
	check(down, exitFound, 1, 0)
	h, err := history.Open(filepath.Join(data, historyFile), history.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	mirrors, err := h.Mirrors(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mirrors {
		if m.H24 != (survey.Counts{Maintenance: 2}) {
			t.Errorf("in maintenance: %s %+v", m.Mirror, m.H24)
		}
	}
	if list, err := h.Incidents(t.Context(), time.Time{}, 0); err != nil || len(list) != 0 {
		t.Errorf("in maintenance: %+v, %v", list, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	write(`{down_after: 1, up_after: 1}`)
	check(map[string]byte{a: 'd', b: 'd', canary: 'd'}, exitVoid, 1, 0)
	check(down, exitFound, 2, 1)
	check(down, exitFound, 3, 1)
	check(nil, exitOK, 4, 2)
	for i, wants := range [][]string{{"Hello,", b, "does not", "https://" + a + "/story-1000001", "Replies to: ops@a.example"}, {"Hello,", b, "all right again"}} {
		for _, want := range wants {
			if !strings.Contains(letters[i], want) {
				t.Errorf("no %q in letter %d:\n%s", want, i, letters[i])
			}
		}
	}
	code, out, _ := run(t, "incidents", "--data", data, "--format", "json")
	_, rest, ok := strings.Cut(out, `"id": "`)
	if code != exitOK || !ok {
		t.Fatalf("status %d: %s", code, out)
	}
	if code, out, errs := run(t, "incidents", rest[:10], "--forward", "--data", data); code != exitOK || !strings.Contains(out, "Subject: "+b+": all right again") || !strings.Contains(out, "Hello,") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
	if code, out, errs := run(t, "incidents", rest[:10], "--data", data); code != exitOK || !strings.Contains(out, "contact of "+b+": generic: sent") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
}
