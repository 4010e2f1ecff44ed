package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/demo"
	"mirrorwatch/crawler/survey"
)

var long = flag.Bool("long", false, "kill a check 200 times in place of 5")

// asCommand makes this test binary behave as the command; its value says with which limit of file sizes.
const asCommand = "MIRRORWATCH_TEST_AS_COMMAND"

// demoProcess returns a real process of the command, checking the demo's article on three mirrors.
func demoProcess(w *demo.World, ca, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	var pins []string
	for from, to := range w.ConnectTo {
		pins = append(pins, from+":"+to)
	}
	cmd.Env = append(os.Environ(), asCommand+"=0", "NO_COLOR=1", "MIRRORWATCH_CONNECT_TO="+strings.Join(pins, " "))
	if len(args) > 0 && args[0] == "check" {
		cmd.Args = append(cmd.Args, w.Article, "--mirror", "www.presstv.co.uk", "--mirror", "altered.presstv.example", "--ca-file", ca, "--delay", "0s", "-q")
	}
	cmd.Args = append(cmd.Args, "--data", dir)
	return cmd
}

func demoWorld(t *testing.T) (*demo.World, string) {
	t.Helper()
	w, err := demo.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	ca := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(ca, w.CAPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	return w, ca
}

func exitCode(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// captures lists every capture that history or the archive's committed notes tell of: what somebody was told is archived.
func captures(t *testing.T, dir string) map[survey.RecordID]survey.Capture {
	t.Helper()
	all := map[survey.RecordID]survey.Capture{}
	h, err := history.Open(filepath.Join(dir, historyFile), history.Options{ReadOnly: true})
	if errors.Is(err, history.ErrNoHistory) || errors.Is(err, os.ErrNotExist) {
		return all
	}
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	runs, err := h.Runs(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		doc, err := h.Report(t.Context(), r.Run.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range doc.Articles {
			for _, f := range c.Mirrors {
				for _, c := range f.Captures {
					all[c.RecordID] = c
				}
			}
		}
	}
	return all
}

// Issue 4: kill -9 at random moments of a running check; the next command recovers by itself, what was reported as archived
// is there and valid, verify --full exits 0.
func TestKilledCheck(t *testing.T) {
	w, ca := demoWorld(t)
	dir := filepath.Join(t.TempDir(), "data")
	begin := time.Now()
	if code, _, errs := exitCode(t, demoProcess(w, ca, dir, "check")); code != exitFound {
		t.Fatalf("status %d: %s", code, errs)
	}
	whole := time.Since(begin)
	rounds, killed, opens := 5, 0, 0
	if *long {
		rounds = 200
	}
	told := captures(t, dir)
	for i := range rounds {
		cmd := demoProcess(w, ca, dir, "check")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(whole * 11 / 10))))
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil && cmd.ProcessState.ExitCode() == -1 {
			killed++
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "archive", "*.open")); len(left) > 0 {
			opens++
		}
		for id, c := range captures(t, dir) {
			told[id] = c
		}
		if i%10 == 9 { // a reader may come first: it finds no damage before anybody recovered
			if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "verify", "--full")); code != exitOK {
				t.Fatalf("round %d: verify before recovery: status %d\n%s%s", i, code, out, errs)
			}
		}
		next := demoProcess(w, ca, dir, "check")
		if i%2 == 0 {
			next = demoProcess(w, ca, dir, "repair")
		}
		if code, out, errs := exitCode(t, next); code != exitOK && code != exitFound {
			t.Fatalf("round %d: the next command: status %d\n%s%s", i, code, out, errs)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "archive", "*.open")); len(left) > 0 {
			t.Fatalf("round %d: not recovered: %v", i, left)
		}
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "verify", "--full")); code != exitOK {
			t.Fatalf("round %d: verify: status %d\n%s%s", i, code, out, errs)
		}
	}
	a, err := archive.Open(dir, archive.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, c := range told {
		r, err := a.Open(t.Context(), c)
		if err != nil {
			t.Errorf("told, and not there: %v", err)
			continue
		}
		_ = r.Payload.Close()
	}
	t.Logf("%d rounds, %d killed, %d left open files, %d captures were told and are there", rounds, killed, opens, len(told))
}

// DESIGN section 5: the history that is built again equals the old one but for notices and acknowledgements: after good
// runs, one whose own network was down and one that was cut short.
func TestRebuildHistory(t *testing.T) {
	w, ca := demoWorld(t)
	dir := filepath.Join(t.TempDir(), "data")
	for _, r := range []struct {
		args []string
		want int
	}{
		{nil, exitFound}, {[]string{"--canary", "https://refused.presstv.example/"}, exitVoid}, {nil, exitFound}, {[]string{"--max-urls", "9", "--links-every", "0s"}, -1}, {nil, exitFound},
	} {
		code, out, errs := exitCode(t, demoProcess(w, ca, dir, append([]string{"check"}, r.args...)...))
		if r.want >= 0 && code != r.want || code == exitOurs || code == exitUsage {
			t.Fatalf("%v: status %d\n%s%s", r.args, code, out, errs)
		}
	}
	dump := func(except ...string) string {
		h, err := history.Open(filepath.Join(dir, historyFile), history.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		var b bytes.Buffer
		if err := h.Dump(t.Context(), &b, except...); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, gone := range []bool{false, true} {
		except := []string{"meta"} // what was thinned when
		if gone {                  // incidents are reckoned anew from the next run on
			except = []string{"meta", "notices", "incidents", "tracks", "evaluations"}
		}
		before := dump(except...)
		if gone {
			if err := os.Rename(filepath.Join(dir, historyFile), filepath.Join(dir, "old.db")); err != nil {
				t.Fatal(err)
			}
		}
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "repair", "--rebuild-history")); code != exitOK {
			t.Fatalf("status %d\n%s%s", code, out, errs)
		}
		want, got := strings.Split(before, "\n"), strings.Split(dump(except...), "\n")
		for i := range max(len(want), len(got)) {
			var a, b string
			if i < len(want) {
				a = want[i]
			}
			if i < len(got) {
				b = got[i]
			}
			if a != b {
				t.Fatalf("gone %v: row %d of %d and %d\n old %s\n new %s", gone, i, len(want), len(got), a, b)
			}
		}
		if strings.Count(before, "\nruns ") != 5 {
			t.Errorf("dump has not five runs:\n%.2000s", before)
		}
	}
}

// Ten equal mirrors visited at once cost less than 1.3 times one (issue 4 point 2): a page with one photo, in a real
// check; what each mirror adds is heads, notes and decoys.
func TestTenMirrors(t *testing.T) {
	var page strings.Builder
	page.WriteString("<!DOCTYPE html><html><head><title>One story</title></head><body><article><h1>One story</h1><img src=\"/photo.jpg\" alt=\"\">")
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		fmt.Fprintf(&page, "<p>%x said %x and %x.</p>", r.Uint64(), r.Uint64(), r.Uint64())
	}
	page.WriteString("</article></body></html>")
	picture := make([]byte, 400<<10) // what a photo of a news page weighs
	for i := range picture {
		picture[i] = byte(r.Uint32())
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/2026/story":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, page.String())
		case "/photo.jpg":
			w.Header().Set("Content-Type", "image/jpeg")
			_, _ = w.Write(picture)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().String()
	size := func(n int) int64 {
		dir := t.TempDir()
		args := []string{"check", "http://m0.example/2026/story", "--data", dir, "--delay", "0s", "--canary", "none", "--allow-private", "-q", "--connect-to", "m0.example:80:" + addr}
		for i := 1; i < n; i++ {
			args = append(args, "--mirror", fmt.Sprintf("http://m%d.example", i), "--connect-to", fmt.Sprintf("m%d.example:80:%s", i, addr))
		}
		if code, _, errs := run(t, args...); code == exitOurs || code == exitUsage {
			t.Fatalf("status %d: %s", code, errs)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "archive", "20*.warc.gz"))
		total := int64(0)
		for _, name := range names {
			st, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			total += st.Size()
		}
		return total
	}
	one, ten := size(1), size(10)
	t.Logf("one mirror %d octets, ten %d: %.2f", one, ten, float64(ten)/float64(one))
	if float64(ten) >= 1.3*float64(one) {
		t.Errorf("ten mirrors cost %.2f times one: %d and %d octets", float64(ten)/float64(one), ten, one)
	}
}
