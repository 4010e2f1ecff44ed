package compare

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/internal/perturb"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

type realPage struct {
	url, body string // body: gold text
	utf8      []byte
	tuned     bool // the publisher's half that thresholds may be tuned on
}

func realPages(tb testing.TB) []realPage {
	dir := testdata(tb, "articles")
	raw, err := os.ReadFile(filepath.Join(dir, "ground-truth.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var truth map[string]struct {
		Body string `json:"articleBody"`
		URL  string `json:"url"`
	}
	if err := json.Unmarshal(raw, &truth); err != nil {
		tb.Fatal(err)
	}
	var ids []string
	for id := range truth {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []realPage
	for _, id := range ids {
		data, err := os.ReadFile(filepath.Join(dir, "html", id+".html.gz"))
		if err != nil {
			tb.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			tb.Fatal(err)
		}
		src, err := io.ReadAll(z)
		if err != nil {
			tb.Fatal(err)
		}
		name, _ := message.Charset("text/html", src)
		if u, err := message.ToUTF8(name, src); err == nil {
			src = u
		}
		p := realPage{url: truth[id].URL, body: truth[id].Body, utf8: src}
		u, _ := url.Parse(p.url)
		if u == nil || u.Host == "" {
			u = &url.URL{Scheme: "https", Host: "publisher-" + id[:6] + ".example", Path: "/a/" + id}
		}
		h := fnv.New32a()
		h.Write([]byte(strings.TrimPrefix(u.Hostname(), "www.")))
		p.tuned = h.Sum32()%2 == 0
		p.url = u.String()
		out = append(out, p)
	}
	return out
}

// TestEvaluate runs the labelled pairs through content.Read and Judge and prints the confusion matrix for each half of the publishers. By
// default a fixed sample; MIRRORWATCH_EVALUATE=all takes every page.
func TestEvaluate(t *testing.T) {
	pages := realPages(t)
	every := 60
	if os.Getenv("MIRRORWATCH_EVALUATE") == "all" {
		every = 1
	}
	type tally struct {
		matrix                          map[string]map[string]int
		pairs, missed, alterable        int
		falseAlt, same, falseUn         int
		falseAv, negatives, kind, kinds int
		undetermined                    int
		misses, alarms                  []string
	}
	halves := map[bool]*tally{true: {matrix: map[string]map[string]int{}}, false: {matrix: map[string]map[string]int{}}}
	for n, rp := range pages {
		if n%every != 0 {
			continue
		}
		u, _ := url.Parse(rp.url)
		primary := survey.Host(u.Host)
		st := survey.Site{Name: "s", Mirrors: []survey.Mirror{{Scheme: "https", Host: primary, Role: survey.Primary}, {Scheme: "https", Host: "mirror.example", Role: survey.Alternate}}}
		read := func(src []byte, host survey.Host) *content.Page {
			v := *u
			v.Host = string(host)
			return content.Read(src, content.Options{URL: v.String(), ContentType: "text/html", Hosts: st.Hosts()})
		}
		ref := read(rp.utf8, primary)
		judgeOne := func(src []byte) survey.Verdict {
			cand := read(bytes.ReplaceAll(src, []byte(u.Host), []byte("mirror.example")), "mirror.example")
			a, b := view(primary, survey.Primary, ref), view("mirror.example", survey.Alternate, cand)
			a.Observation.URL, a.Observation.FinalURL = rp.url, rp.url
			v := *u
			v.Host = "mirror.example"
			b.Observation.URL, b.Observation.FinalURL = v.String(), v.String()
			j := Judge(Case{Site: st, Article: survey.Article{Site: "s", URL: rp.url}, Views: []View{a, b}})
			return j.Verdicts[1]
		}
		text := content.Normalise(ref.Text, nil)
		in := func(s string) bool {
			return strings.Contains(text, strings.TrimSpace(content.Normalise(strings.TrimSpace(s), nil)))
		}
		tl := halves[rp.tuned]
		note := func(want, got string) {
			if tl.matrix[want] == nil {
				tl.matrix[want] = map[string]int{}
			}
			tl.matrix[want][got]++
			tl.pairs++
		}
		word := func(v survey.Verdict) string {
			switch v.Verdict {
			case survey.Identical, survey.SameArticle:
				return "same"
			}
			return string(v.Verdict)
		}
		for _, c := range perturb.Cases(rp.utf8, in, ref.Title, uint64(n)) {
			if strings.HasSuffix(c.Name, "layout") {
				continue // judged by the evaluation through the whole check
			}
			v := judgeOne(c.HTML)
			got := word(v)
			note(c.Name, got)
			if got == "undetermined" {
				tl.undetermined++
			}
			label := fmt.Sprintf("%d %s %s", n, u.Host, c.Name)
			switch c.Want {
			case "same":
				tl.same++
				if v.State == survey.Down {
					tl.falseUn++
				}
				if got == "altered" || got == "truncated" {
					tl.falseAlt++
					tl.alarms = append(tl.alarms, fmt.Sprintf("%s: %v", label, v.Changes))
				}
			case "altered":
				tl.alterable++
				if got == "same" {
					tl.missed++
					tl.misses = append(tl.misses, label)
				} else if got == "altered" && len(c.Kinds) > 0 {
					tl.kinds++
					if slices.ContainsFunc(c.Kinds, func(k string) bool { return slices.Contains(kinds(v), k) }) {
						tl.kind++
					} else {
						tl.misses = append(tl.misses, fmt.Sprintf("%s: kinds %v", label, kinds(v)))
					}
				}
			case "truncated":
				if got != "truncated" {
					tl.misses = append(tl.misses, fmt.Sprintf("%s: %s %v", label, got, v.Reasons))
				}
			}
		}
		for k := 1; k <= 8; k++ { // other articles
			v := judgeOne(pages[(n+k*7)%len(pages)].utf8)
			tl.negatives++
			note("other article", word(v))
			if v.State == survey.Up {
				tl.falseAv++
				tl.misses = append(tl.misses, fmt.Sprintf("%d false available: %v", n, v.Reasons))
			}
		}
	}
	for _, tuned := range []bool{true, false} {
		tl := halves[tuned]
		half := "reported half"
		if tuned {
			half = "tuned half"
		}
		var names []string
		for k := range tl.matrix {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			t.Logf("%s: %-20s %v", half, k, tl.matrix[k])
		}
		rate := func(a, b int) string { return fmt.Sprintf("%d/%d = %.2f%%", a, b, 100*float64(a)/float64(max(1, b))) }
		t.Logf("%s: %d pairs; false available %s, false unavailable %s, missed alteration %s, false alteration %s, kinds right %s, undetermined %d", half, tl.pairs,
			rate(tl.falseAv, tl.negatives), rate(tl.falseUn, tl.same), rate(tl.missed, tl.alterable), rate(tl.falseAlt, tl.same), rate(tl.kind, tl.kinds), tl.undetermined)
		if tuned || every > 1 {
			for _, m := range append(tl.misses, tl.alarms...) {
				t.Logf("  %.300s", m)
			}
		}
		if tl.falseAv > 0 || 50*tl.missed > tl.alterable || 50*tl.falseAlt > tl.same {
			t.Errorf("%s: beyond the bounds", half)
		}
	}
}
