package archive

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/crawler/survey"
)

// lazy is a disk that does not wait: many sessions in a test.
type lazy struct{ durable.OS }

type lazyFile struct{ durable.File }

func (lazyFile) Sync() error { return nil }

func (l lazy) Create(name string, perm fs.FileMode) (durable.File, error) {
	f, err := l.OS.Create(name, perm)
	return lazyFile{f}, err
}

func (l lazy) Append(name string) (durable.File, error) {
	f, err := l.OS.Append(name)
	return lazyFile{f}, err
}

func (lazy) SyncDir(string) error { return nil }

// hourly makes an archive of n runs, one each step: each a page that changes and one that does not.
func hourly(t testing.TB, dir string, n int, step time.Duration) (last time.Time) {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)
	for i := range n {
		at := start.Add(time.Duration(i) * step)
		a, err := Open(dir, Options{Run: survey.RunID(at.Format("20060102T150405Z") + "-000000"), FS: lazy{}, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		for j, body := range []string{fmt.Sprint("changes ", i), "stays"} {
			e := exchange(t, fmt.Sprintf("https://a.test/%d", j), page(body))
			e.Started = at.Add(time.Duration(j) * time.Second)
			c, err := a.Put(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if first := i == 0 || at.Month() != at.Add(-step).Month(); j == 1 && c.Revisit == first {
				t.Fatalf("run %d: %+v", i, c)
			}
		}
		if _, err := a.Note(t.Context(), survey.Note{Kind: survey.NoteRun, Date: at, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		last = at
	}
	return last
}

// Issue 4 point 4: indexes are merged in tiers; start-up reads only a WARC that lacks its index; damage in a merged file is
// found and mended; what is pruned leaves merged files too.
func TestTiers(t *testing.T) {
	dir := t.TempDir()
	const runs = 31*2 + 5 // into the second month
	hourly(t, dir, runs, 12*time.Hour)
	names, _ := filepath.Glob(filepath.Join(dir, indexDir, "*"))
	if len(names) > 36 {
		t.Errorf("%d index files for %d runs", len(names), runs)
	}
	verifyOK(t, dir)
	r := reader(t, dir)
	at := time.Date(2026, 1, 20, 12, 17, 0, 0, time.UTC)
	if c := must[survey.Capture](t)(r.Find(t.Context(), "https://a.test/0", at, true)); !c.Date.Equal(at) || body(t, r, c) != fmt.Sprint("changes ", 19*2+1) {
		t.Errorf("found %+v", c)
	}
	if c := must[survey.Capture](t)(r.Find(t.Context(), "https://a.test/1", at, true)); !c.Revisit || body(t, r, c) != "stays" {
		t.Errorf("found %+v", c)
	}

	// A WARC without index: it alone is read again.
	small, _ := filepath.Glob(filepath.Join(dir, indexDir, "20*.cdxj"))
	if len(small) == 0 {
		t.Fatal("all merged: choose another number of runs")
	}
	if err := os.Remove(small[0]); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	w, err := Open(dir, Options{Run: "w", FS: lazy{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "indexing a file"); n != 1 {
		t.Errorf("%d files indexed:\n%s", n, log.String())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	verifyOK(t, dir)

	// Damage in a merged file, and a catalogue of nonsense.
	merged, _ := filepath.Glob(filepath.Join(dir, indexDir, "merged-*.cdxj"))
	for _, path := range []string{merged[0], filepath.Join(dir, indexDir, "digests"+catalogueSuffix)} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2], b[len(b)/2+1] = '\n', '{'
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := Verify(t.Context(), dir, VerifyOptions{}); err != nil || v.OK() {
		t.Errorf("damage passed: %+v %v", v, err)
	}
	if _, err := Repair(t.Context(), dir, Options{Run: "m", FS: lazy{}}); err != nil {
		t.Fatal(err)
	}
	verifyOK(t, dir)

	p := writer(t, dir, Options{Run: "p", FS: lazy{}})
	if rep, err := p.Prune(t.Context(), PruneOptions{Epochs: []string{"202601"}}); err != nil || len(rep.Files) != 31*2 {
		t.Fatalf("%d files, %v", len(rep.Files), err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	verifyOK(t, dir)
}

// W: a session that crosses into the next epoch writes there: no revisit refers across the border.
func TestEpochChange(t *testing.T) {
	dir := t.TempDir()
	before, after := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC), time.Date(2026, 12, 1, 0, 0, 1, 0, time.UTC)
	a := writer(t, dir, Options{Run: "r", Now: func() time.Time { return before }})
	var got []survey.Capture
	for i, at := range []time.Time{before, before, after, after, before} {
		e := exchange(t, fmt.Sprint("https://a.test/", i), page("same"))
		e.Started = at
		got = append(got, must[survey.Capture](t)(a.Put(t.Context(), e)))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		epoch   string
		revisit bool
	}{{"202611-", false}, {"202611-", true}, {"202612-", false}, {"202612-", true}, {"202612-", true}} {
		if !strings.HasPrefix(got[i].File, want.epoch) || got[i].Revisit != want.revisit {
			t.Errorf("%d: %+v", i, got[i])
		}
	}
	verifyOK(t, dir)
}

// DESIGN section 7: start-up with a year of hourly runs; 17,520 WARCs.
func BenchmarkOpenYear(b *testing.B) {
	dir := b.TempDir()
	last := hourly(b, dir, 365*24, time.Hour)
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	b.Logf("%d files", len(files))
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		a, err := Open(dir, Options{Run: survey.RunID(fmt.Sprint("b", i)), Now: func() time.Time { return last }})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		a.Close()
		b.StartTimer()
	}
}
