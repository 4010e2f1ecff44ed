package warc

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var large = flag.Bool("large", false, "TestLargeRecord writes and reads a record of 2 GB")

// lines is text without an end.
type lines struct{ at int }

func (l *lines) Read(p []byte) (int, error) {
	const line = "a line of a body that is far too large to be kept in memory\n"
	for i := range p {
		p[i] = line[l.at%len(line)]
		l.at++
	}
	return len(p), nil
}

// TestLargeRecord writes a record of 2 GB and reads it with its digest, both with flat memory (issue 4):
//
//	go test ./archive/warc -run TestLargeRecord -large -v
func TestLargeRecord(t *testing.T) {
	if os.Getenv("MIRRORWATCH_TEST_ALONE") == "" { // in a process of its own: others' memory is not this one's
		args := []string{"-test.run=^TestLargeRecord$", "-test.v=true", "-large=" + strconv.FormatBool(*large)}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "MIRRORWATCH_TEST_ALONE=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("memory of the runtime")) {
			t.Errorf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return
	}
	size := int64(64 << 20)
	if *large {
		size = 2 << 30
	}
	dir := t.TempDir()
	e := NewEncoder(1)
	e.Dir = dir
	o := newOut(Resource, nil)
	o.Block, o.Size = io.LimitReader(&lines{}, size), size
	m, err := e.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "large.warc.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := m.WriteTo(f); err != nil || n != m.Len() {
		t.Fatal(n, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r := NewReader(f, ReaderOptions{Digests: true})
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, rec.Block)
	if err != nil || n != size || len(r.Findings()) > 0 || rec.Header.Get(FieldContentLength) != strconv.FormatInt(size, 10) {
		t.Fatal(n, err, r.Findings())
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	status, _ := os.ReadFile("/proc/self/status")
	peak := ""
	for l := range bytes.Lines(status) {
		if bytes.HasPrefix(l, []byte("VmHWM:")) {
			peak = strings.TrimSpace(string(l[6:]))
		}
	}
	t.Logf("%d octets; memory of the runtime %d KB, peak RSS %s", n, s.Sys>>10, peak)
	if s.Sys > 64<<20 {
		t.Errorf("%d MB for one record", s.Sys>>20)
	}
}
