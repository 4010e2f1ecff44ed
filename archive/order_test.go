package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/crawler/survey"
)

// diary is the operating system's files with a diary of what was done in which order.
type diary struct {
	durable.OS
	mu   sync.Mutex
	done []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = append(d.done, fmt.Sprintf(format, args...))
}

type diaryFile struct {
	durable.File
	d *diary
}

func (f diaryFile) Write(p []byte) (int, error) {
	f.d.note("write %s", filepath.Base(f.Name()))
	return f.File.Write(p)
}

func (f diaryFile) Sync() error {
	f.d.note("sync %s", filepath.Base(f.Name()))
	return f.File.Sync()
}

func (d *diary) Create(name string, perm fs.FileMode) (durable.File, error) {
	d.note("create %s", filepath.Base(name))
	f, err := d.OS.Create(name, perm)
	return diaryFile{f, d}, err
}

func (d *diary) Append(name string) (durable.File, error) {
	f, err := d.OS.Append(name)
	return diaryFile{f, d}, err
}

func (d *diary) Rename(from, to string) error {
	d.note("rename %s", filepath.Base(to))
	return d.OS.Rename(from, to)
}

func (d *diary) Link(from, to string) error {
	d.note("rename %s", filepath.Base(to))
	return d.OS.Link(from, to)
}

func (d *diary) SyncDir(dir string) error {
	d.note("syncdir %s", filepath.Base(dir))
	return d.OS.SyncDir(dir)
}

// I1: octets are on the disk before the index names them; a sealed file's octets and indexes are there before it gets its
// name, its name before the manifest lists it, and each folder is synced after it changed. Nothing is written behind a sync
// that is not synced again before somebody is told.
func TestOrderOfBelief(t *testing.T) {
	dir := t.TempDir()
	d := &diary{}
	a := writer(t, dir, Options{Run: "r", FS: d})
	const name = "202611-r-00001.warc.gz"
	const journal = "202611-r-00001.cdxj.open"
	var commits []int
	for i := range 3 {
		must[survey.Capture](t)(a.Put(t.Context(), exchange(t, fmt.Sprintf("http://a.test/%d", i), page(fmt.Sprint("body ", i)))))
		if err := a.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		commits = append(commits, len(d.done))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	last := func(what string, before int) int {
		for i := before - 1; i >= 0; i-- {
			if d.done[i] == what {
				return i
			}
		}
		return -1
	}
	first := func(what string) int { return slices.Index(d.done, what) }
	for i, end := range commits {
		wrote, synced, told := last("write "+name+".open", end), last("sync "+name+".open", end), last("write "+journal, end)
		if wrote < 0 || synced < wrote || told < synced {
			t.Errorf("commit %d: written at %d, synced at %d, indexed at %d", i, wrote, synced, told)
		}
	}
	sealed := first("rename " + name)
	if sealed < 0 || last("write "+name+".open", sealed) > last("sync "+name+".open", sealed) {
		t.Errorf("sealed at %d with octets that are not synced", sealed)
	}
	for _, index := range []string{"202611-r-00001.cdxj", "202611-r-00001.digests"} {
		if at := first("rename " + index); at < 0 || at > sealed {
			t.Errorf("%s is there at %d, the file is sealed at %d", index, at, sealed)
		}
	}
	if named := first("rename " + manifestFile); named < sealed {
		t.Errorf("in the manifest at %d, sealed at %d", named, sealed)
	} else if at := last("syncdir archive", named); at < sealed {
		t.Errorf("the folder was synced at %d, the file sealed at %d, listed at %d", at, sealed, named)
	}
	if t.Failed() {
		t.Log(strings.Join(d.done, "\n"))
	}
}

// I2: one writer at a time, over processes; the lock is free when its holder is killed, and readers need none.
func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "MIRRORWATCH_TEST_WRITER="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Wait() }()
	defer func() { _ = child.Process.Kill() }()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has committed something
		t.Fatal(err)
	}
	go func() {
		for b := make([]byte, 64<<10); ; {
			if _, err := out.Read(b); err != nil {
				return
			}
		}
	}()
	var locked *LockedError
	if _, err := Open(dir, Options{}); !errors.As(err, &locked) || !strings.Contains(locked.Holder, fmt.Sprint("process ", child.Process.Pid)) {
		t.Errorf("beside a writer: %v", err)
	}
	if r, err := Open(dir, Options{ReadOnly: true}); err != nil {
		t.Errorf("a reader: %v", err)
	} else if _, err := r.Find(t.Context(), "http://m0.test/0", testTime, true); err != nil {
		t.Errorf("what was committed is not found: %v", err)
	} else if err := r.Close(); err != nil {
		t.Error(err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	for try := 0; ; try++ {
		a, err := Open(dir, Options{})
		if err == nil {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		if try == 50 {
			t.Fatalf("the lock of a killed writer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	verifyOK(t, dir)
}
