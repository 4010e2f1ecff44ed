package wacz

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"mirrorwatch/archive/cdxj"
)

var when = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func sample(lines int) Package {
	content := []byte("WARC/1.1\r\nthese octets need not be records here\r\n")
	return Package{Title: "Sample", Software: "mirrorwatch test", Created: when,
		WARCs: []WARC{{Name: "a.warc.gz", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}},
		Index: indexOf(lines),
		Pages: []Page{{ID: "1", URL: "https://www.example.org/a", Time: when, Title: "A </script> title"}}}
}

func indexOf(n int) iter.Seq2[cdxj.Line, error] {
	return func(yield func(cdxj.Line, error) bool) {
		for i := range n {
			u := fmt.Sprintf("https://www.example.org/%06d", i)
			if !yield(cdxj.Line{Key: cdxj.SURT(u), Timestamp: cdxj.Timestamp(when), URL: u, Status: "200", Filename: "a.warc.gz", Length: 10}, nil) {
				return
			}
		}
	}
}

func pack(t testing.TB, p Package) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t testing.TB, b []byte) *Reader {
	t.Helper()
	r, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range []int{0, 3, 20_000} {
		p := sample(lines)
		p.Sign = key
		b := pack(t, p)
		r := open(t, b)
		if found := r.Verify(); len(found) > 0 || len(r.Findings) > 0 {
			t.Errorf("%d lines: findings %v", lines, found)
		}
		if got := r.WARCs(); !slices.Equal(got, []string{"a.warc.gz"}) {
			t.Errorf("WARCs %v", got)
		}
		pages := r.Pages()
		if len(pages) != 1 || pages[0] != p.Pages[0] {
			t.Errorf("pages %+v", pages)
		}
		if r.Version != Version || r.Title != "Sample" {
			t.Errorf("version %q, title %q", r.Version, r.Title)
		}
	}
}

// TestLayout holds the entries to Z1, Z5 and the two layouts of the index that both players take.
func TestLayout(t *testing.T) {
	for _, tc := range []struct {
		lines int
		want  []string
	}{
		{3, []string{"archive/a.warc.gz", "indexes/index.cdx", "pages/pages.jsonl", "datapackage.json", "datapackage-digest.json"}},
		{20_000, []string{"archive/a.warc.gz", "indexes/index.cdx.gz", "indexes/index.idx", "pages/pages.jsonl", "datapackage.json", "datapackage-digest.json"}},
	} {
		b := pack(t, sample(tc.lines))
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range z.File {
			got = append(got, f.Name)
			if f.Method != zip.Store || f.Flags&8 != 0 || len(f.Extra) > 0 {
				t.Errorf("%s: method %d, flags %x, extra %d octets", f.Name, f.Method, f.Flags, len(f.Extra))
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%d lines: %v, want %v", tc.lines, got, tc.want)
		}
	}
}

// TestSecondaryIndexNamesFirstLines: the key of a block is that of its first line (Z and C8: one player was off by one).
func TestSecondaryIndexNamesFirstLines(t *testing.T) {
	b := pack(t, sample(20_000))
	r := open(t, b)
	idx, err := r.document("indexes/index.idx")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(idx)), "\n")
	if !strings.HasPrefix(lines[0], "!meta 0 ") || !strings.HasPrefix(lines[1], "org,example)/000000 20260102030405 {") || !strings.HasPrefix(lines[2], "org,example)/001024 20260102030405 {") {
		t.Errorf("the first lines are\n%s\n%s\n%s", lines[0], lines[1], lines[2])
	}
}

func TestPlantedErrorsAreFound(t *testing.T) {
	good := pack(t, sample(3))
	for _, tc := range []struct{ name, old, new, path, kind string }{
		{"an octet of the WARC", "these octets", "those octets", "archive/a.warc.gz", "damaged"},
		{"an octet of the descriptor", `"Sample"`, `"Simple"`, "datapackage.json", "missing"},
	} {
		bad := bytes.Replace(good, []byte(tc.old), []byte(tc.new), 1)
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: nothing was changed", tc.name)
		}
		r := open(t, bad)
		r.Verify()
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Path == tc.path && f.Kind == tc.kind }) {
			t.Errorf("%s: findings %v", tc.name, r.Findings)
		}
	}
}

func TestHostileNames(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range []string{"archive/../../etc/passwd.warc", "/archive/x.warc", `archive\x.warc`, "archive/ok.warc", "archive/ok.warc", "archive/a\x00b.warc"} {
		if _, err := z.Create(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, b.Bytes())
	if got := r.WARCs(); !slices.Equal(got, []string{"ok.warc"}) {
		t.Errorf("reachable: %q", got)
	}
	if len(r.Findings) < 5 {
		t.Errorf("findings %v", r.Findings)
	}
}

func TestNamesOfWARCsAreChecked(t *testing.T) {
	for _, name := range []string{"", "..", "a/b.warc", `a\b`, "a\x00"} {
		p := sample(0)
		p.WARCs[0].Name = name
		if err := Write(io.Discard, p); err == nil {
			t.Errorf("the name %q was packed", name)
		}
	}
	p := sample(0)
	p.WARCs = append(p.WARCs, p.WARCs[0])
	if err := Write(io.Discard, p); err == nil {
		t.Error("the same name was packed twice")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(pack(f, sample(0)))
	f.Add(pack(f, sample(3)))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		r.Pages()
		r.Verify()
		for _, n := range r.WARCs() {
			if rc, err := r.OpenWARC(n); err == nil {
				_, _ = io.Copy(io.Discard, io.LimitReader(rc, 1<<20))
				_ = rc.Close()
			}
		}
	})
}
