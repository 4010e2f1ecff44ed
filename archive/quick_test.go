package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/crawler/survey"
)

// I4: verify --quick looks at names, sizes, the order of indexes and some of the records that they name. What only reading
// every octet can tell it does not find, by design: each of those --full finds.
func TestVerifyQuick(t *testing.T) {
	const name = "202611-r-00001"
	build := func() string {
		dir := t.TempDir()
		a := writer(t, dir, Options{Run: "r"})
		c := must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://a.test/", page(strings.Repeat("body ", 100)))))
		must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://b.test/", page(strings.Repeat("body ", 100)))))
		must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://c.test/", page(strings.Repeat("last ", 5000)))))
		snapshot(t, a, "http://a.test/", "a.test", testTime, c)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := build()
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	if err != nil || !r.OK() || r.Full || r.Files != 1 || r.Snapshots != 1 || r.Lines == 0 || r.Records != 0 {
		t.Errorf("whole: %+v %v", r, err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, manifestFile))
	warcFile, index := "archive/"+name+".warc.gz", "indexes/"+name+".cdxj"
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		quick      string // kind; "": not found by design
	}{
		{"file is gone", warcFile, func([]byte) []byte { return nil }, FoundMissingFile},
		{"manifest is gone", manifestFile, func([]byte) []byte { return nil }, FoundUnlisted},
		{"manifest names another", manifestFile, func(b []byte) []byte { return append(b, bytes.Replace(b, []byte("-00001"), []byte("-00009"), 1)...) }, FoundMissingFile},
		{"format", "format", func([]byte) []byte { return []byte("x") }, FoundFormat},
		{"index is gone", index, func([]byte) []byte { return nil }, FoundNoIndex},
		{"digests are gone", "indexes/" + name + ".digests", func([]byte) []byte { return nil }, FoundNoIndex},
		{"index line is none", index, func(b []byte) []byte { return append([]byte("junk\n"), b...) }, FoundIndexLine},
		{"index out of order", index, func(b []byte) []byte {
			i := bytes.IndexByte(b, '\n') + 1
			return append(bytes.Clone(b[i:]), b[:i]...)
		}, FoundIndexOrder},
		{"file is cut", warcFile, func(b []byte) []byte { return b[:len(b)/3] }, FoundIndexExtra},
		{"record elsewhere", warcFile, func(b []byte) []byte { return append(bytes.Clone(b[:20]), b...) }, FoundIndexExtra},
		{"head of a record", warcFile, func(b []byte) []byte { b[0] ^= 1; return b }, ""}, // warcinfo, which no index names

		{"octet within a body", warcFile, func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, ""},
		{"octets behind the last record", warcFile, func(b []byte) []byte { return append(b, 0) }, ""},
		{"manifest's digest", manifestFile, func(b []byte) []byte { b[0] ^= 1; return b }, ""},
		{"line is missing", index, func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }, ""},
		{"line tells something else", index, func(b []byte) []byte { return bytes.Replace(b, []byte("text/html"), []byte("text/hxml"), 1) }, ""},
	} {
		dir := build()
		path := filepath.Join(dir, c.file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b = c.change(b); b == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		quick, err := Verify(t.Context(), dir, VerifyOptions{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.quick == "" && !quick.OK() || c.quick != "" && !slices.ContainsFunc(quick.Findings, func(f VerifyFinding) bool { return f.Kind == c.quick && !f.Remark }) {
			t.Errorf("%s: quick found %v, want %q", c.name, quick.Findings, c.quick)
		}
		if full, err := Verify(t.Context(), dir, VerifyOptions{Full: true}); err != nil || full.OK() {
			t.Errorf("%s: full found %v, %v", c.name, full.Findings, err)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(dir, manifestFile)); !bytes.Equal(before, after) {
		t.Error("verify wrote")
	}
}
