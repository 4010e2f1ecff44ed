package archive

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// news makes the HTML of an article of about n octets that compresses as such pages do, to some 30 %: words by their
// frequency, numbers, links, classes.
func news(seed uint64, n int) string {
	words := strings.Fields("the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other new some could time these two may then do first any my now such like our over man government minister president police people country bridge harbour council percent million report officials statement agency according sources region capital election parliament opposition economy sanctions energy talks ceasefire forces")
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Story</title><link rel=\"stylesheet\" href=\"/css/site.css\"></head>\n<body><main class=\"article\">\n")
	for b.Len() < n {
		fmt.Fprintf(&b, "<p class=\"body-text\" id=\"p%d\">", r.Uint32()%100000)
		for range 40 + r.IntN(60) {
			w := words[min(r.IntN(len(words)), r.IntN(len(words)))]
			switch r.IntN(40) {
			case 0:
				fmt.Fprintf(&b, "<a href=\"/Detail/2026/%02d/%02d/%d/%s\">%s</a> ", 1+r.IntN(12), 1+r.IntN(28), r.Uint32()%1000000, w, w)
			case 1:
				fmt.Fprintf(&b, "%d ", r.IntN(100000))
			case 2:
				fmt.Fprintf(&b, "%s%x ", w, r.Uint32()%4096) // names
			default:
				b.WriteString(w + " ")
			}
		}
		b.WriteString("</p>\n")
	}
	b.WriteString("</main></body></html>\n")
	return b.String()
}

// BenchmarkPut writes articles of 30 KB, each another text, with digests, request and metadata records, made durable every
// hundred (issue 4: 120 MB/s of HTML a core). What a disk's sync takes is in the time; cpu profiles leave it out.
func BenchmarkPut(b *testing.B) {
	a := writer(b, b.TempDir(), Options{Run: "bench"})
	var texts []string
	for i := range 64 {
		texts = append(texts, news(uint64(i), 30_000))
	}
	b.SetBytes(int64(len(texts[0])))
	for i := range b.N {
		b.StopTimer()
		e := exchange(b, fmt.Sprintf("http://a.test/%d", i), page(fmt.Sprint(i, texts[i%len(texts)])))
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
