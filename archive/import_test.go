package archive

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// Issue 4 point 6: other people's files come in, twice without doubles, go out again and come back in elsewhere; what is
// damaged in them is a finding and leaves the archive whole.
func TestImportForeign(t *testing.T) {
	data := os.Getenv("MIRRORWATCH_TESTDATA")
	if data == "" {
		data = "../../shared/data"
	}
	entries, err := os.ReadDir(filepath.Join(data, "warc"))
	if err != nil {
		t.Skipf("SKIPPED: no test data: %v", err)
	}
	read := 0
	for _, e := range entries {
		if !strings.Contains(e.Name(), ".warc") && !strings.Contains(e.Name(), ".arc") {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			path := filepath.Join(data, "warc", e.Name())
			dir := filepath.Join(t.TempDir(), "d")
			a := writer(t, dir, Options{Run: "i", FS: lazy{}})
			first, err := a.ImportFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			again, err := a.ImportFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if again.Captures > 0 {
				t.Errorf("again: %d captures of %d are new: %+v", again.Captures, first.Captures, again)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			read += first.Records
			if first.Records == 0 {
				return
			}
			verifyOK(t, dir)
			r := reader(t, dir)
			loose := must[[]survey.Capture](t)(r.Loose(t.Context(), nil))
			if len(loose) != first.Captures {
				t.Errorf("%d captures, %d were imported", len(loose), first.Captures)
			}
			for _, c := range loose {
				res, err := r.Open(t.Context(), c)
				if errors.Is(err, ErrNoOriginal) {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, res.Payload) // chunks in it may be damaged
				_ = res.Payload.Close()
			}
			for _, as := range []string{AsWARC, AsWACZ} {
				out := filepath.Join(t.TempDir(), "out."+as)
				if _, err := r.ExportFile(t.Context(), out, nil, ExportOptions{As: as, Captures: loose}); err != nil {
					t.Fatalf("export as %s: %v", as, err)
				}
				b := writer(t, filepath.Join(t.TempDir(), "e"), Options{Run: "e", FS: lazy{}})
				back, err := b.ImportFile(t.Context(), out)
				if err != nil || back.Captures != len(loose) {
					t.Errorf("back from %s: %+v %v", as, back, err)
				}
			}
		})
	}
	if read == 0 {
		t.Error("nothing was imported")
	}
}

// A WARC that wget made: imported, restored with its requisites, exported, imported and restored again.
func TestImportWget(t *testing.T) {
	tool, err := exec.LookPath("wget")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("wget is not here")
		}
		t.Skip("SKIPPED: wget is not here")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/story":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<html><head><link rel="stylesheet" href="/s.css"></head><body><p>The story.</p><img src="/a.png"></body></html>`)
		case "/s.css":
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, `p { background: url(b.png) }`)
		case "/a.png", "/b.png":
			w.Header().Set("Content-Type", "image/png")
			fmt.Fprint(w, "PNG", r.URL.Path)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	cmd := exec.Command(tool, "-q", "-p", "--no-config", "--warc-file=wget", s.URL+"/story")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "no_proxy=*")
	if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(err.Error(), "exit status 8") { // robots.txt is not found
		t.Fatalf("wget: %v %s", err, out)
	}
	from := filepath.Join(dir, "wget.warc.gz")
	for round := range 2 {
		data := filepath.Join(dir, fmt.Sprint("data", round))
		a := writer(t, data, Options{Run: "w"})
		rep, err := a.ImportFile(t.Context(), from)
		if err != nil || rep.Captures < 4 || rep.Damaged > 0 {
			t.Fatalf("round %d: %+v %v", round, rep, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		verifyOK(t, data)
		r := reader(t, data)
		snap, err := r.Assemble(t.Context(), s.URL+"/story", time.Time{})
		if err != nil || len(snap.Requisites) != 3 || len(snap.LeftOut) > 0 {
			t.Fatalf("round %d: %+v %v", round, snap, err)
		}
		m, err := r.Restore(t.Context(), snap, RestoreOptions{To: filepath.Join(dir, fmt.Sprint("tree", round))})
		if err != nil || len(m.Files) != 4 {
			t.Fatalf("round %d: %+v %v", round, m, err)
		}
		from = filepath.Join(dir, "again.wacz")
		if round == 0 {
			if _, err := r.ExportFile(t.Context(), from, []survey.Snapshot{snap}, ExportOptions{As: AsWACZ, Sign: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Restored and exported files have the mode that the process's mask asks for (it is 022 or stricter in most places).
func TestModes(t *testing.T) {
	dir, snap := restorable(t)
	r := reader(t, dir)
	probe := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(probe, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	want := must[os.FileInfo](t)(os.Stat(probe)).Mode()
	out := t.TempDir()
	for _, as := range []string{AsRaw, AsWARC, AsWACZ, AsTree} {
		to := filepath.Join(out, as)
		m, err := r.Restore(t.Context(), snap, RestoreOptions{As: as, To: to})
		if err != nil {
			t.Fatal(err)
		}
		if as == AsTree {
			to = filepath.Join(to, filepath.FromSlash(m.Page))
		}
		if got := must[os.FileInfo](t)(os.Stat(to)).Mode(); got != want {
			t.Errorf("%s: mode %v, want %v", as, got, want)
		}
	}
}
