package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var large = flag.String("large", "", "TestLargeArchive builds the archive of issue 4 (250 MB, 16,000 records) in this new folder")

// article returns a maker of pages of about n octets: parts of real articles when they are at hand, generated text else.
// No two pages are alike.
func article(t testing.TB, n int) func(i int) string {
	t.Helper()
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = "../../shared/data"
	}
	var texts [][]byte
	names, _ := filepath.Glob(filepath.Join(dir, "articles", "html", "*"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		texts = append(texts, b)
	}
	return func(i int) string {
		r := rand.New(rand.NewPCG(uint64(i), 4))
		var b bytes.Buffer
		fmt.Fprintf(&b, "<!DOCTYPE html><html><head><title>Article %d</title></head><body>\n", i)
		for b.Len() < n {
			if len(texts) == 0 {
				fmt.Fprintf(&b, "<p class=\"p%d\"><a href=\"/news/%x\">%x</a> ", r.IntN(20), r.Uint32(), r.Uint32())
				for range 60 {
					fmt.Fprintf(&b, "%s%s ", syllables[r.IntN(len(syllables))], syllables[r.IntN(len(syllables))])
				}
				b.WriteString("</p>\n")
				continue
			}
			text := texts[r.IntN(len(texts))]
			at := r.IntN(max(1, len(text)-8<<10))
			part := text[at:min(len(text), at+n/2)]
			b.Write(part[:min(len(part), n-b.Len()+1)])
			fmt.Fprintf(&b, "\n<!-- %x -->\n", r.Uint64())
		}
		b.WriteString("</body></html>\n")
		return b.String()
	}
}

var syllables = []string{"ta", "ke", "ri", "no", "san", "mel", "or", "in", "the", "al", "per", "con", "u", "ver", "sti", "la", "de", "ment", "ci", "ty",
	"gra", "bo", "lis", "que", "ham", "pro", "tur", "ek", "wo", "shi", "ar", "dom"}

// build writes exchanges of n octets each and seals the archive. Every exchange is three records.
func build(t testing.TB, dir string, exchanges, n int) {
	t.Helper()
	a := writer(t, dir, Options{Run: "large"})
	make := article(t, n)
	for i := range exchanges {
		e := exchange(t, fmt.Sprintf("http://%d.example.org/news/%d.html", i%20, i), page(make(i)))
		if _, err := a.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 {
			if err := a.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLargeArchive builds the archive that verify is measured with, beside `gzip -t` (DESIGN section 7):
//
//	go test ./archive -run TestLargeArchive -large /tmp/large
func TestLargeArchive(t *testing.T) {
	if *large == "" {
		t.Skip("SKIPPED: builds 250 MB; name a folder with -large")
	}
	build(t, *large, 5333, 46_000)
	r, err := Verify(t.Context(), *large, VerifyOptions{Full: true})
	if err != nil || !r.OK() {
		t.Fatal(err, r.Findings)
	}
	t.Logf("%d records, %d octets compressed", r.Records, r.Bytes)
}

// BenchmarkVerify reads every record of an archive of 600 pages, on all cores, and in comparison inflates the same files
// on one core as `gzip -t` does.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	build(b, dir, 600, 46_000)
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(600 * 46_000)
		for b.Loop() {
			r, err := Verify(context.Background(), dir, VerifyOptions{Full: true})
			if err != nil || !r.OK() {
				b.Fatal(err, r.Findings)
			}
		}
	})
	b.Run("inflate", func(b *testing.B) {
		names, err := filepath.Glob(filepath.Join(dir, archiveDir, "*"+warcSuffix))
		if err != nil || len(names) == 0 {
			b.Fatal(names, err)
		}
		b.SetBytes(600 * 46_000)
		for b.Loop() {
			for _, name := range names {
				f, err := os.Open(name)
				if err != nil {
					b.Fatal(err)
				}
				z, err := gzip.NewReader(f)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, z); err != nil {
					b.Fatal(err)
				}
				_ = f.Close()
			}
		}
	})
}
