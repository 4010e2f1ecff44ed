package warc

import (
	"bytes"
	"context"
	"io"
	"testing"
)

func BenchmarkEncode(b *testing.B) {
	pages := make([][]byte, 64)
	for i := range pages {
		pages[i] = page(uint64(i), 30<<10)
	}
	e := NewEncoder(0)
	h := newOut(Response, nil).Header
	b.SetBytes(int64(len(pages[0])))
	b.ReportAllocs()
	var out int64
	for i := 0; b.Loop(); i++ {
		m, err := e.EncodeBytes(Out{Header: h, Digest: true}, pages[i%len(pages)])
		if err != nil {
			b.Fatal(err)
		}
		out += m.Len()
		m.Close()
	}
	b.ReportMetric(float64(len(pages[0]))*float64(b.N)/float64(out), "ratio")
}

// benchArchive is an archive of n pages of 16 KB.
func benchArchive(b *testing.B, n int) (data []byte, content int64) {
	var buf bytes.Buffer
	e := NewEncoder(0)
	h := newOut(Response, nil).Header
	for i := range n {
		p := page(uint64(i), 16<<10)
		m, err := e.EncodeBytes(Out{Header: h, Digest: true}, p)
		if err != nil {
			b.Fatal(err)
		}
		m.WriteTo(&buf)
		m.Close()
		content += int64(len(p))
	}
	return buf.Bytes(), content
}

func BenchmarkRead(b *testing.B) {
	data, content := benchArchive(b, 1000)
	for _, digests := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "digests"}[digests], func(b *testing.B) {
			b.SetBytes(content)
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(bytes.NewReader(data), ReaderOptions{Digests: digests})
				for {
					if _, err := r.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				if f := r.Findings(); len(f) > 0 {
					b.Fatal(f)
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	data, content := benchArchive(b, 4000)
	b.SetBytes(content)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		findings, err := Map(context.Background(), bytes.NewReader(data), int64(len(data)), ScanOptions{Reader: ReaderOptions{Digests: true}},
			func(rec *Record) (int64, error) { return rec.Offset, rec.Close() },
			func(int64) error { n++; return nil })
		if err != nil || len(findings) > 0 || n != 4000 {
			b.Fatal(n, findings, err)
		}
	}
}

func BenchmarkReadRecordAt(b *testing.B) {
	data, _ := benchArchive(b, 3)
	b.ReportAllocs()
	for b.Loop() {
		rec, err := ReadRecordAt(bytes.NewReader(data), 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rec.Block); err != nil {
			b.Fatal(err)
		}
	}
}
