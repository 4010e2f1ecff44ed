package warc

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// warcio finds npm's warcio, another implementation. With CI=true it must be there.
func warcio(t *testing.T) string {
	if dir := os.Getenv("MIRRORWATCH_NODE_MODULES"); dir != "" {
		if p, err := exec.LookPath(filepath.Join(dir, ".bin", "warcio")); err == nil {
			return p
		}
	}
	p, err := exec.LookPath("warcio")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm's warcio is not installed")
		}
		t.Skip("SKIPPED: npm's warcio is neither in PATH nor in MIRRORWATCH_NODE_MODULES")
	}
	return p
}

// Another implementation counts the same records in what we write, and gzip finds nothing wrong.
func TestOthersReadWhatWeWrite(t *testing.T) {
	tool := warcio(t)
	dir := t.TempDir()
	var file bytes.Buffer
	e := NewEncoder(0)
	add := func(o Out) {
		o.Header.SetID(NewRecordID())
		m, err := e.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		m.WriteTo(&file)
		m.Close()
	}
	add(newOut(Warcinfo, []byte("software: mirrorwatch\r\nformat: WARC File Format 1.1\r\n")))
	for i := range 5 {
		o := newOut(Response, page(uint64(i), 5000))
		o.Header.Set(FieldTargetURI, fmt.Sprintf("http://example.com/%d", i))
		o.Stored = i == 3
		add(o)
		o = newOut(Request, []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
		o.Header.Set(FieldTargetURI, fmt.Sprintf("http://example.com/%d", i))
		o.Header.Set(FieldContentType, "application/http;msgtype=request")
		add(o)
	}
	large := newOut(Response, append(page(9, 300), bytes.Repeat([]byte("large "), 500000)...))
	large.Header.Set(FieldTargetURI, "http://example.com/large")
	add(large)
	revisit := newOut(Revisit, []byte("HTTP/1.1 200 OK\r\n\r\n"))
	add(revisit)
	name := filepath.Join(dir, "a.warc.gz")
	count := func(data []byte, args ...string) (int, error) {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, append(args, name)...).Output()
		return bytes.Count(bytes.TrimSpace(out), []byte("\n")) + 1, err
	}
	ours, findings := readAll(t, bytes.NewReader(file.Bytes()))
	if len(findings) > 0 || len(ours) != 13 {
		t.Fatal(len(ours), findings)
	}
	if n, err := count(file.Bytes(), "index"); err != nil || n != len(ours) {
		t.Errorf("warcio index: %d records, %v; ours are %d", n, err, len(ours))
	}
	captures := 0
	for _, r := range ours {
		if bytes.Contains([]byte(r.header), []byte("msgtype=response")) {
			captures++
		}
	}
	if n, err := count(file.Bytes(), "cdx-index", "--format", "cdxj"); err != nil || n != captures {
		t.Errorf("warcio cdx-index: %d lines, %v; ours are %d", n, err, captures)
	}
	z, err := gzip.NewReader(bytes.NewReader(file.Bytes()))
	if err == nil {
		_, err = io.Copy(io.Discard, z)
	}
	if err != nil {
		t.Errorf("gzip: %v", err)
	}
	// The check is wired up: a planted error changes what it counts.
	broken := bytes.Clone(file.Bytes())
	broken[ours[3].offset+40] ^= 0xff
	if n, err := count(broken, "index"); err == nil && n == len(ours) {
		t.Error("warcio saw nothing wrong in a damaged file")
	}
	if _, findings := readAll(t, bytes.NewReader(broken)); len(findings) == 0 {
		t.Error("nor did we")
	}
}
