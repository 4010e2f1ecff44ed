package archive

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestExportImport(t *testing.T) {
	dir, s := restorable(t)
	a := reader(t, dir)
	var out bytes.Buffer
	if n, err := a.Export(t.Context(), &out, "x.warc.gz", []survey.Snapshot{s}); err != nil || n != 5 {
		t.Fatal(n, err)
	}
	to := t.TempDir()
	b := writer(t, to, Options{Run: "i"})
	r, err := b.Import(t.Context(), bytes.NewReader(out.Bytes()), "x.warc.gz")
	if err != nil || r.Damaged != 0 || r.Captures != 6 || len(r.Findings) != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	if err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err = b.Import(t.Context(), bytes.NewReader(out.Bytes()), "x.warc.gz"); err != nil || r.Captures != 0 || r.Duplicates < 6 {
		t.Errorf("again: %+v %v", r, err)
	}
	c := must[survey.Capture](t)(b.Find(t.Context(), "https://b.test/img/a.png", testTime, true))
	if !c.Imported || body(t, b, c) != "PNG" {
		t.Errorf("imported: %+v", c)
	}
	// An imported record is no origin of revisits.
	if c := must[survey.Capture](t)(b.Put(t.Context(), exchange(t, "https://c.test/img/a.png", typed("image/png", "PNG")))); c.Revisit {
		t.Error("revisit of an imported record")
	}
	b.Close()
	verifyOK(t, to)
	snaps, err := reader(t, to).Snapshots(t.Context(), Query{URL: s.URL})
	if err != nil || len(snaps) != 1 {
		t.Errorf("%v %v", snaps, err)
	}
}

// DESIGN section 5: epochs go whole, what must survive is copied first, and every snapshot still listed restores.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	var snaps []survey.Snapshot
	for i, at := range []time.Time{testTime.AddDate(0, -2, 0), testTime.AddDate(0, -1, 0), testTime} {
		a := writer(t, dir, Options{Run: survey.RunID(fmt.Sprint("r", i)), Now: func() time.Time { return at }})
		put := func(url, raw string) survey.Capture {
			e := exchange(t, url, raw)
			e.Started = at
			return must[survey.Capture](t)(a.Put(t.Context(), e))
		}
		png := put("https://a.test/a.png", typed("image/png", "PNG"))
		b := put("https://a.test/b.png", typed("image/png", "PNG"))
		if png.Revisit || !b.Revisit {
			t.Fatal("a new epoch begins with whole records")
		}
		if i == 2 {
			b = snaps[1].Requisites[0].Capture // shared with an older snapshot
		}
		p := put("https://a.test/art", page(fmt.Sprint("text ", i)))
		snaps = append(snaps, snapshot(t, a, "https://a.test/art", "a.test", at, p, survey.Requisite{URL: "https://a.test/a.png", Capture: b}))
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	a := writer(t, dir, Options{Run: "p"})
	opt := PruneOptions{Epochs: []string{"202609", "202610"}, Keep: snaps[:1], DryRun: true}
	dry, err := a.Prune(t.Context(), opt)
	if err != nil || len(dry.Files) != 2 || dry.Copied == 0 {
		t.Fatalf("%+v %v", dry, err)
	}
	verifyOK(t, dir)
	opt.DryRun = false
	r, err := a.Prune(t.Context(), opt)
	if err != nil || r.Copied != dry.Copied {
		t.Fatalf("%+v %v", r, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	verifyOK(t, dir)
	b := reader(t, dir)
	listed, err := b.Snapshots(t.Context(), Query{})
	if err != nil || len(listed) != 2 {
		t.Fatalf("%d snapshots, %v", len(listed), err)
	}
	for i, s := range listed {
		m, err := b.Restore(t.Context(), s, RestoreOptions{To: filepath.Join(t.TempDir(), "x")})
		if err != nil || len(m.Files) != 2 {
			t.Errorf("snapshot %d: %+v %v", i, m, err)
		}
	}
	kept, _ := filepath.Glob(filepath.Join(dir, "manifest-sha256.txt.*"))
	if len(kept) != 1 || !strings.Contains(string(must[[]byte](t)(os.ReadFile(kept[0]))), "202609-") {
		t.Errorf("the manifest that names the pruned files is not kept: %v", kept)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "20261[0]*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
