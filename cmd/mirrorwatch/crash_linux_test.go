package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	"sort"
	"strings"
	"testing"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/history"
	"mirrorwatch/archive/warc"
	"mirrorwatch/cmd/mirrorwatch/internal/demo"
	"mirrorwatch/crawler/survey"
)

var (
	long       = flag.Bool("long", false, "kill a check 200 times in place of 5")
	killRounds = flag.Int("kills", 0, "how many times to kill a check; 0: as -long says")
)

// asCommand makes this test binary behave as the command; its value says with which limit of file sizes.
const asCommand = "MIRRORWATCH_TEST_AS_COMMAND"

// benchCommand returns a real process of the command.
func benchCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=0", "NO_COLOR=1")
	return cmd
}

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

// told collects the records that somebody was told are archived: captures and snapshots of history's rows, lines of the
// indexes, the finished lines of a check's stdout. What is committed may be believed (DESIGN section 4), so these must
// outlive everything.
type told map[survey.RecordID]string // where it was told

func (t told) fromFolder(tb testing.TB, dir string) {
	tb.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "indexes", "*"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			if l, err := cdxj.Parse(bytes.TrimRight(line, "\n")); err == nil && bytes.HasSuffix(line, []byte("\n")) && l.RecordID != "" {
				t[survey.RecordID(l.RecordID)] = filepath.Base(name)
			}
		}
	}
	h, err := history.Open(filepath.Join(dir, historyFile), history.Options{ReadOnly: true})
	if errors.Is(err, history.ErrNoHistory) || errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer h.Close()
	runs, err := h.Runs(tb.Context(), 3)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range runs {
		doc, err := h.Report(tb.Context(), r.Run.ID)
		if err != nil {
			tb.Fatal(err)
		}
		t.fromReport(doc, "history")
	}
	err = h.References(tb.Context(), func(r history.SnapshotRef) error {
		t[r.ID], t[r.LastID] = "snapshots", "snapshots"
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func (t told) fromReport(doc survey.Report, where string) {
	for _, c := range doc.Articles {
		for _, f := range c.Mirrors {
			for _, c := range f.Captures {
				t[c.RecordID] = where
			}
		}
	}
}

func (t told) fromStdout(out string) {
	var doc survey.Report
	if json.Unmarshal([]byte(out), &doc) == nil {
		t.fromReport(doc, "stdout")
	}
}

// lost reads every sealed WARC with digests and returns what was told and is not there whole.
func (t told) lost(tb testing.TB, dir string) (lost []string, records int) {
	tb.Helper()
	there := map[survey.RecordID]bool{}
	names, _ := filepath.Glob(filepath.Join(dir, "archive", "*.warc.gz"))
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			tb.Fatal(err)
		}
		r := warc.NewReader(f, warc.ReaderOptions{Digests: true})
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				tb.Fatal(err)
			}
			id := survey.RecordID(rec.Header.ID())
			if err := rec.Close(); err != nil {
				tb.Fatal(err)
			}
			records++
			if len(r.Findings()) == 0 && !rec.Damaged() {
				there[id] = true
			}
		}
		_ = f.Close()
	}
	for id, where := range t {
		if !there[id] {
			lost = append(lost, fmt.Sprintf("%s, told by %s", id, where))
		}
	}
	sort.Strings(lost)
	return lost, records
}

// leftovers says in words what a killed check left behind.
func leftovers(dir string) (string, bool) {
	count := func(pattern string) int {
		names, _ := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		return len(names)
	}
	open, temp := count("archive/*.open"), count("*/*.tmp-*")+count("*.tmp-*")
	if _, err := os.Stat(filepath.Join(dir, "format")); err != nil {
		return "no folder yet", false
	}
	return fmt.Sprintf("%d open, %d sealed, %d journals, %d temporary", open, count("archive/*.warc.gz"), count("indexes/*.open"), temp), open > 0
}

// Issue 4: kill -9 at random moments of a running check; the next command recovers by itself, what was reported as archived
// is there and valid, verify --full exits 0. Each round is told on stderr at once.
func TestKilledCheck(t *testing.T) {
	w, ca := demoWorld(t)
	rounds := 5
	if *long {
		rounds = 200
	}
	if *killRounds > 0 {
		rounds = *killRounds
	}
	const folder = 10 // rounds in one data folder: verify reads all of it each time
	var dir string
	var all told
	var whole time.Duration
	opens, records, count := 0, 0, 0
	recovery := [][]string{{"repair"}, {"check"}, {"rejudge"}, {"repair"}, {"rejudge"}}
	for i := 0; i < rounds; {
		if i%folder == 0 && (dir == "" || count > 0) {
			// A folder begins with a whole check, or, every second time, with nothing at all.
			dir, all, count = filepath.Join(t.TempDir(), "data"), told{}, 0
			if i/folder%2 == 0 {
				begin := time.Now()
				code, out, errs := exitCode(t, demoProcess(w, ca, dir, "check", "--format", "json"))
				if code != exitFound {
					t.Fatalf("status %d: %s", code, errs)
				}
				whole = time.Since(begin)
				all.fromStdout(out)
			}
		}
		cmd := demoProcess(w, ca, dir, "check", "--format", "json")
		var out bytes.Buffer
		cmd.Stdout = &out
		moment := time.Duration(rand.Int64N(int64(whole)))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(moment)
		_ = cmd.Process.Kill()
		killed := cmd.Wait() != nil && cmd.ProcessState.ExitCode() == -1
		all.fromStdout(out.String())
		if !killed { // it was done before: no round, but what it told counts
			whole = whole * 95 / 100
			continue
		}
		state, open := leftovers(dir)
		if open {
			opens++
		}
		all.fromFolder(t, dir)
		if _, err := os.Stat(filepath.Join(dir, historyFile)); err == nil && i%10 == 9 { // a reader may come first: it finds no damage before anybody recovered
			if code, out, errs := run(t, "verify", "--full", "--data", dir); code != exitOK {
				t.Fatalf("round %d: verify before recovery: status %d\n%s%s", i+1, code, out, errs)
			}
		}
		next := recovery[i%len(recovery)]
		if _, err := os.Stat(filepath.Join(dir, "format")); err != nil {
			next = []string{"check"} // there is nothing to mend yet
		}
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, next...)); code != exitOK && code != exitFound {
			t.Fatalf("round %d: the next command %v: status %d\n%s%s", i+1, next, code, out, errs)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "archive", "*.open")); len(left) > 0 {
			t.Fatalf("round %d: not recovered: %v", i+1, left)
		}
		if code, out, errs := run(t, "verify", "--full", "--data", dir); code != exitOK {
			t.Fatalf("round %d: verify: status %d\n%s%s", i+1, code, out, errs)
		}
		lost, n := all.lost(t, dir)
		if len(lost) > 0 {
			t.Fatalf("round %d: told, and not there whole:\n%s", i+1, strings.Join(lost, "\n"))
		}
		i, count, records = i+1, count+1, records+n
		if testing.Verbose() {
			fmt.Fprintf(os.Stderr, "round %d of %d: killed after %s of %s (%s); %s recovered it; %d records told, all among %d whole ones\n",
				i, rounds, moment.Round(time.Millisecond), whole.Round(time.Millisecond), state, next[0], len(all), n)
		}
	}
	// The check of this test fails on a planted error.
	all["urn:uuid:00000000-0000-4000-8000-000000000000"] = "nobody"
	if lost, _ := all.lost(t, dir); len(lost) != 1 {
		t.Errorf("a record that never was is found: %v", lost)
	}
	t.Logf("%d rounds, %d left open files, %d records read in all", rounds, opens, records)
}

// DESIGN section 5: the history that is built again equals the old one but for notices and acknowledgements: after good
// runs, one whose own network was down, one that was cut short, incidents that opened and closed, and verdicts of other
// rules. With the old history beside it, notices and acknowledgements are there too.
func TestRebuildHistory(t *testing.T) {
	w, ca := demoWorld(t)
	dir := filepath.Join(t.TempDir(), "data")
	list := filepath.Join(t.TempDir(), "list.json")
	if err := os.WriteFile(list, []byte(`[{"fingerprint": "a_denied", "pattern": "denied|blocked|forbidden|the"}]`), 0o666); err != nil {
		t.Fatal(err)
	}
	good := w.ConnectTo["www.presstv.co.uk:443"]
	w.ConnectTo["www.presstv.co.uk:443"] = "127.0.0.1:1"
	for i, r := range []struct {
		args []string
		want int
	}{
		{[]string{"check"}, exitFound}, {[]string{"check", "--canary", "https://refused.presstv.example/"}, exitVoid}, {[]string{"check"}, exitFound},
		{[]string{"check", "--max-urls", "9", "--links-every", "0s"}, -1}, {[]string{"check"}, exitFound}, {[]string{"rejudge", "--rules", list}, exitOK}, {[]string{"check"}, exitFound},
		{[]string{"check"}, -1}, {[]string{"check"}, -1}, {[]string{"rejudge", "--rules", list}, exitOK},
	} {
		if i == 7 { // the mirror that refused is back: its incident closes
			w.ConnectTo["www.presstv.co.uk:443"] = good
		}
		if r.args[0] == "check" {
			r.args = append(r.args, "--retries", "0")
		}
		code, out, errs := exitCode(t, demoProcess(w, ca, dir, r.args...))
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
	whole := dump()
	for _, needs := range []string{"\nverdicts ", "\ntracks ", "opened=17", "closed=17"} {
		if !strings.Contains(whole, needs) {
			t.Errorf("the history has no %q, so the test compares less than it says:\n%.4000s", needs, whole)
		}
	}
	for _, old := range []string{"beside it", "gone", "unreadable"} {
		before := dump("meta") // what was thinned when
		path := filepath.Join(dir, historyFile)
		var err error
		switch old {
		case "gone":
			err = os.Rename(path, filepath.Join(dir, "old.db"))
		case "unreadable":
			err = os.WriteFile(path, []byte("no database at all, whatever it is called"), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "repair", "--rebuild-history")); code != exitOK {
			t.Fatalf("status %d\n%s%s", code, out, errs)
		}
		want, got := strings.Split(before, "\n"), strings.Split(dump("meta"), "\n")
		for i := range max(len(want), len(got)) {
			var a, b string
			if i < len(want) {
				a = want[i]
			}
			if i < len(got) {
				b = got[i]
			}
			if a != b {
				t.Fatalf("old history %s: row %d of %d and %d\n old %s\n new %s", old, i, len(want), len(got), a, b)
			}
		}
		if strings.Count(before, "\nruns ") != 8 {
			t.Errorf("dump has not eight runs:\n%.2000s", before)
		}
		if code, out, errs := run(t, "verify", "--full", "--data", dir); code != exitOK {
			t.Errorf("old history %s: verify: status %d\n%s%s", old, code, out, errs)
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
	// A page of text alone, 30 KB that compress to 12, is less than what each mirror is asked besides: robots.txt, root and
	// decoy, each with request, response and note of their own. What one more mirror costs is bounded by itself.
	page.Reset()
	page.WriteString("<!DOCTYPE html><html><head><title>One story</title></head><body><article><h1>One story</h1>")
	words := strings.Fields("the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other new some could time these two may then do first any my now such like our over man")
	for page.Len() < 30_000 {
		page.WriteString("<p>")
		for range 60 {
			page.WriteString(words[r.IntN(len(words))] + " ")
		}
		page.WriteString("</p>\n")
	}
	page.WriteString("</article></body></html>")
	one, ten = size(1), size(10)
	each := (ten - one) / 9
	t.Logf("text alone: one mirror %d octets, ten %d: %.2f; each further one %d", one, ten, float64(ten)/float64(one), each)
	if each > 9500 {
		t.Errorf("a further equal mirror costs %d octets", each)
	}
}
