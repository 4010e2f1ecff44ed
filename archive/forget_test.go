package archive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mirrorwatch/crawler/survey"
)

// Issue 4 point 2: a takedown leaves a tombstone and nothing else; what else is listed restores.
func TestForget(t *testing.T) {
	dir, s := restorable(t)
	a := writer(t, dir, Options{Run: "f"})
	if _, err := a.Forget(t.Context(), []string{"https://a.test/none"}, "court"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	tomb, err := a.Forget(t.Context(), []string{"https://a.test/s.css?v=1"}, "court order 1")
	if err != nil || len(tomb.Records) != 1 {
		t.Fatalf("%+v %v", tomb, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	verifyOK(t, dir)
	r := reader(t, dir)
	if _, err := r.Find(t.Context(), "https://a.test/s.css?v=1", testTime, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("still found: %v", err)
	}
	m, err := r.Restore(t.Context(), s, RestoreOptions{To: filepath.Join(t.TempDir(), "x")})
	if err != nil || len(m.Files) != 4 || len(m.Missing) != 1 {
		t.Errorf("%+v %v", m, err)
	}
	reasons := 0
	if err := r.Notes(t.Context(), NoteTombstone, func(n survey.Note, _ survey.Capture) error {
		if strings.Contains(string(n.Body), "court order 1") {
			reasons++
		}
		return nil
	}); err != nil || reasons != 1 {
		t.Errorf("%d tombstones, %v", reasons, err)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "archive", "*.damaged")); len(kept) > 0 {
		t.Errorf("kept aside: %v", kept)
	}
	if _, err := os.Stat(filepath.Join(dir, "archive", "runs-202611-f.warc.gz")); err != nil {
		t.Error(err)
	}
}

// Issue 4 point 2, W19: what only revisits of other URLs still need stays with them, as whole records that name their old
// ID; what lists them restores as before, and a second takedown takes those too.
func TestForgetOriginal(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "one"})
	put := func(a *Archive, url, raw string) survey.Capture {
		return must[survey.Capture](t)(a.Put(t.Context(), exchange(t, url, raw)))
	}
	const chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsame \r\n4\r\ntext\r\n0\r\n\r\n"
	put(a, "https://a.test/x", page("same text"))
	b := put(a, "https://b.test/x", page("same text"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = writer(t, dir, Options{Run: "two"})
	c := put(a, "https://c.test/x", chunked)
	if !b.Revisit || !c.Revisit {
		t.Fatal("no revisits")
	}
	snaps := []survey.Snapshot{snapshot(t, a, "https://b.test/x", "b.test", testTime, b), snapshot(t, a, "https://c.test/x", "c.test", testTime, c)}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = writer(t, dir, Options{Run: "f"})
	if _, err := a.Forget(t.Context(), []string{"https://a.test/x"}, "court"); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	verifyOK(t, dir)
	r := reader(t, dir)
	if _, err := r.Find(t.Context(), "https://a.test/x", testTime, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("still found: %v", err)
	}
	for i, old := range []survey.Capture{b, c} {
		if got := body(t, r, old); got != "same text" {
			t.Errorf("by the old capture: %q", got)
		}
		now := must[survey.Capture](t)(r.Find(t.Context(), old.URL, testTime, true))
		if now.Revisit || now.RecordID == old.RecordID || body(t, r, now) != "same text" {
			t.Errorf("now: %+v", now)
		}
		to := filepath.Join(t.TempDir(), "x.warc.gz")
		if _, err := r.Restore(t.Context(), snaps[i], RestoreOptions{As: AsWARC, To: to}); err != nil {
			t.Error(err)
		}
		if headers, _ := records(t, to); len(headers) != 4 {
			t.Errorf("%d records of %s", len(headers), old.URL)
		}
	}
	listed, err := r.Snapshots(t.Context(), Query{})
	if err != nil || len(listed) != 2 {
		t.Fatalf("%v %v", listed, err)
	}
	for _, s := range listed {
		if _, err := r.Restore(t.Context(), s, RestoreOptions{To: filepath.Join(t.TempDir(), "tree")}); err != nil {
			t.Error(err)
		}
	}
}
