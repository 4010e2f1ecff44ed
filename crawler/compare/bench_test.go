package compare

import (
	"fmt"
	"strings"
	"testing"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// article800 is a page of about 800 words with the surroundings of a news site.
func article800(name string) []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><head><title>` + headline + ` | Press TV</title><meta property="og:site_name" content="Press TV"><link rel="canonical" href="` + articleURL + `"><meta property="article:published_time" content="2016-08-10T08:00:00Z"></head><body><nav>`)
	for i := range 40 {
		fmt.Fprintf(&b, `<a href="/section/%d">Section %d</a> `, i, i)
	}
	b.WriteString(`</nav><main><article><h1>` + headline + `</h1>`)
	for i := range 4 {
		for _, s := range story {
			fmt.Fprintf(&b, "<p>%s</p>", strings.Replace(s, "Calder", fmt.Sprintf("%s %d", name, i), 1))
		}
	}
	b.WriteString(`</article></main><footer>Copyright Press TV</footer></body></html>`)
	return []byte(b.String())
}

// BenchmarkTwoArticles: two 800-word articles compared, extraction included (DESIGN section 7: floor 20 ms and 6 MB, aim 10 ms and 3 MB).
func BenchmarkTwoArticles(b *testing.B) {
	one, two := article800("Calder"), article800("Stone")
	hosts := site.Hosts()
	b.ReportAllocs()
	for b.Loop() {
		p := content.Read(one, content.Options{URL: articleURL, Hosts: hosts})
		q := content.Read(two, content.Options{URL: strings.Replace(articleURL, ".com", ".co.uk", 1), Hosts: hosts})
		j := judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, p), view("www.presstv.co.uk", survey.Alternate, q)}})
		if j.Verdicts[1].Verdict != survey.Altered {
			b.Fatal(j.Verdicts[1])
		}
	}
}

// BenchmarkJudge is the judgement alone.
func BenchmarkJudge(b *testing.B) {
	hosts := site.Hosts()
	p := content.Read(article800("Calder"), content.Options{URL: articleURL, Hosts: hosts})
	q := content.Read(article800("Stone"), content.Options{URL: articleURL, Hosts: hosts})
	b.ReportAllocs()
	for b.Loop() {
		judgeCase(Case{Views: []View{view("www.presstv.com", survey.Primary, p), view("www.presstv.co.uk", survey.Alternate, q)}})
	}
}
