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
	var referenced *ReferencedError
	if _, err := a.Forget(t.Context(), []string{"https://a.test/img/a.png"}, "court"); !errors.As(err, &referenced) || referenced.URLs[0] != "https://b.test/img/a.png" {
		t.Errorf("original of another's revisit: %v", err)
	}
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
	if err := r.Notes(t.Context(), noteTombstone, func(n survey.Note, _ survey.Capture) error {
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
