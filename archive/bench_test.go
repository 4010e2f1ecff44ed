package archive

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkPut writes pages of 30 KB, each another text, with digests, request and metadata records (issue 4: 120 MB/s a core).
func BenchmarkPut(b *testing.B) {
	a := writer(b, b.TempDir(), Options{Run: "bench"})
	text := strings.Repeat("<p>The quick brown fox jumps over the lazy dog, and the dog sleeps on.</p>\n", 400)
	b.SetBytes(int64(len(text)))
	for i := range b.N {
		b.StopTimer()
		e := exchange(b, fmt.Sprintf("http://a.test/%d", i), page(fmt.Sprint(i, text)))
		b.StartTimer()
		if _, err := a.Put(b.Context(), e); err != nil {
			b.Fatal(err)
		}
		if i%100 == 99 {
			if err := a.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
