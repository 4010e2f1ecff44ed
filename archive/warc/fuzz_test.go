package warc

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seedFiles adds small files of other people, where they are.
func seedFiles(f *testing.F, pattern string) {
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	names, _ := filepath.Glob(filepath.Join(dir, "warc", pattern))
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && len(b) < 6000 {
			f.Add(b)
		}
	}
}

// FuzzReader reads anything without a panic and in steps that advance; what was read without a finding is written and
// read again as the same: write(read(x)) is x.
func FuzzReader(f *testing.F) {
	f.Add([]byte(rec1 + rec2))
	f.Add([]byte(zipped(rec1, rec2)))
	f.Add([]byte(zipped(rec1 + rec2)))
	f.Add([]byte(strings.ReplaceAll(rec1+rec2, "\r\n", "\n")))
	f.Add([]byte(strings.Replace(rec1, "Length: 5", "Length: 50", 1) + rec2))
	f.Add([]byte(rec1 + "\x00\x00\x00\x00" + rec2))
	f.Add([]byte(arc1))
	seedFiles(f, "*")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		r := NewReader(bytes.NewReader(data), ReaderOptions{MaxHeader: 64 << 10})
		last, inside := int64(-1), int64(-1)
		var again bytes.Buffer
		clean, warc := true, true
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.Offset < last || (rec.Offset == last && rec.Inside <= inside) {
				t.Fatalf("record at %d, %d after %d, %d", rec.Offset, rec.Inside, last, inside)
			}
			last, inside = rec.Offset, rec.Inside
			block, err := io.ReadAll(io.LimitReader(rec.Block, 4<<20))
			if err != nil && err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			if int64(len(block)) == 4<<20 {
				return
			}
			if cerr := rec.Close(); cerr != nil {
				t.Fatal(cerr)
			}
			clean = clean && len(rec.Findings) == 0
			warc = warc && rec.Format == "WARC"
			if rec.Format != "WARC" || len(rec.Findings) > 0 {
				continue
			}
			m, err := NewEncoder(1).EncodeBytes(Out{Header: rec.Header, Foreign: true}, block)
			if err != nil {
				t.Fatalf("a record without findings is not written: %v", err)
			}
			if m.Header.Get(FieldContentLength) == rec.Header.Get(FieldContentLength) {
				again.Write(append(append(m.Header.Append(nil), block...), recordEnd...))
			} else {
				clean = false // "Content-Length: 005"
			}
			back, err := ReadRecordAt(bytes.NewReader(m.Bytes()), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(back.Block); err != nil || !bytes.Equal(b, block) || back.Header.String() != m.Header.String() {
				t.Fatalf("written and read again it differs: %v", err)
			}
			m.Close()
		}
		if clean && warc && len(r.Findings()) == 0 && len(data) > 0 && r.kind == plain && !bytes.Equal(again.Bytes(), data) {
			t.Fatalf("write(read(x)) is\n%q, not\n%q", again.Bytes(), data)
		}
	})
}

// FuzzHeader: every head is read; one that is written by us is read back as it was.
func FuzzHeader(f *testing.F) {
	f.Add("WARC-Type", "response", "X-A", "b", []byte("WARC-Date : x\r\n y\r\n"))
	f.Add("", "\r\n", "Content-Length", "7", []byte("\xff: \xfe\r\n"))
	f.Add("Content-Length", "99999999999999999999", "content-length", "0", []byte("WARC/1.0\r\n"))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, raw []byte) {
		var h Header
		h.Add(n1, v1)
		h.Add(n2, v2)
		if m, err := NewEncoder(1).EncodeBytes(Out{Header: h, Foreign: true}, []byte("x")); err == nil {
			rec, err := ReadRecordAt(bytes.NewReader(m.Bytes()), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, want := rec.Header.Fields(), m.Header.Fields()
			if len(got) != len(want) {
				t.Fatalf("%q, want %q", got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%q, want %q", got[i], want[i])
				}
			}
			m.Close()
		}
		r := NewReader(io.MultiReader(strings.NewReader("WARC/1.1\r\n"), bytes.NewReader(raw)), ReaderOptions{})
		for range 1000 {
			rec, err := r.Next()
			if err != nil {
				return
			}
			rec.Header.TargetURI()
			rec.Header.Date()
			rec.Header.Type()
			for _, x := range rec.Header.Fields() {
				fieldRule(Response, x)
			}
		}
	})
}

// FuzzARC: any ARC file is read to its end, in order.
func FuzzARC(f *testing.F) {
	f.Add([]byte(arc1))
	f.Add([]byte(arc2))
	f.Add([]byte("http://a/ b 0 20040101000001 x 3\nabc\n"))
	seedFiles(f, "*.arc")
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(io.MultiReader(strings.NewReader("filedesc://a 0.0.0.0 20040101000000 text/plain 0\n"), bytes.NewReader(data)), ReaderOptions{})
		last := int64(-1)
		for {
			rec, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.Inside == 0 && rec.Offset <= last && r.packing == plain {
				t.Fatalf("record at %d after %d", rec.Offset, last)
			}
			last = rec.Offset
			if err := rec.Header.checkShape(); rec.Format == "ARC" && err != nil && len(rec.Findings) == 0 && !strings.Contains(err.Error(), "version") && !strings.Contains(err.Error(), "UTF-8") {
				t.Fatal(err)
			}
		}
	})
}
