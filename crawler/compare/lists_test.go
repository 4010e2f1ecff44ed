package compare

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// testdata finds the shared data folder, or skips loudly.
func testdata(tb testing.TB, parts ...string) string {
	tb.Helper()
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir = filepath.Join(append([]string{dir}, parts...)...)
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("SKIPPED: no test data at %s; set MIRRORWATCH_TESTDATA", dir)
	}
	return dir
}

const ooniRows = `name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,expected_countries,source,exp_url,notes
ours.fp_card,fp,,body,regexp,"harbour.{1,20}Ellery",,,,,
ours.block,nat,,body,contains,order of the ministry,,,,,
ours.header,isp,,header.server,full,FilterBox,,,,,
ours.bad,isp,,body,regexp,(?!x)y,,,,,
`

func TestLoadRules(t *testing.T) {
	list, err := LoadRules("ooni.csv", []byte(ooniRows))
	if err != nil {
		t.Fatal(err)
	}
	rules := DefaultRules().Add(list)
	if !strings.Contains(rules.Version(), "ooni.csv@") || rules.Version() == DefaultRules().Version() {
		t.Errorf("version %q", rules.Version())
	}
	run := func(v View) survey.Verdict {
		return judgeCase(Case{Rules: rules, Views: []View{view("www.presstv.com", survey.Primary, healthy()), v}}).Verdicts[1]
	}
	has := func(v survey.Verdict, id string) bool {
		return slices.ContainsFunc(v.Matched, func(m survey.Match) bool { return m.Rule == id })
	}
	v := run(view("www.presstv.co.uk", survey.Alternate, notice("Hm", "This is so by order of the ministry.")))
	if v.PageClass != survey.ClassBlockPage || !has(v, "ours.block") || !strings.Contains(strings.Join(v.Reasons, " "), "ours.block") {
		t.Errorf("listed: %+v", v)
	}
	v = run(view("www.presstv.co.uk", survey.Alternate, notice("Hm", "The harbour of Port Ellery.")))
	if v.PageClass != survey.ClassUnknown || !has(v, "ours.fp_card") {
		t.Errorf("fp row: %+v", v)
	}
	v = run(view("www.presstv.co.uk", survey.Alternate, page(headline, append(slices.Clone(story), "It happened by order of the ministry."))))
	if v.State != survey.Up {
		t.Errorf("a list outweighed the article's text: %+v", v)
	}
	v = run(view("www.presstv.co.uk", survey.Alternate, notice("", "x"), header("server", "FilterBox")))
	if !has(v, "ours.header") {
		t.Errorf("header row: %+v", v)
	}
	for name, bad := range map[string]string{"empty": "", "columns": "a,b\n1,2\n", "json": `{"fingerprint":`, "no rows": "name,pattern\n"} {
		if _, err := LoadRules(name, []byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFalsePositiveList is acceptance test 11: the rows that mean "no censorship" change no verdict.
func TestFalsePositiveList(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testdata(t, "fingerprints"), "censoredplanet-false_positive_signatures.json"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := LoadRules("false_positive_signatures", data)
	if err != nil {
		t.Fatal(err)
	}
	rules := DefaultRules().Add(list)
	// Each row's own text, where it is plain, inside a page: the verdict is as without the list.
	n, named := 0, 0
	for i := range list.lists[0].prints {
		p := &list.lists[0].prints[i]
		if p.scope != scopeFP {
			t.Fatalf("%s has scope %q", p.id, p.scope)
		}
		if p.plain == "" {
			continue
		}
		n++
		for _, pg := range []View{view("www.presstv.co.uk", survey.Alternate, notice("Hello", "Nothing to see here. "+p.plain)), view("www.presstv.co.uk", survey.Alternate, healthy())} {
			pg.Body = []byte("<html>" + p.plain + pg.Page.Visible)
			c := Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), pg}}
			without := judgeCase(c).Verdicts[1]
			c.Rules = rules
			with := judgeCase(c).Verdicts[1]
			if slices.ContainsFunc(with.Matched, func(m survey.Match) bool { return m.Rule == p.id }) {
				named++
			}
			if with.Verdict != without.Verdict || with.PageClass != without.PageClass || with.State != without.State {
				t.Errorf("%s changes %s/%s to %s/%s", p.id, without.Verdict, without.PageClass, with.Verdict, with.PageClass)
			}
		}
	}
	// Rows that are patterns: real articles, where most of them are found somewhere, in another article's place.
	hits := 0
	for k, rp := range realPages(t) {
		if k%15 != 0 {
			continue
		}
		pg := view("www.presstv.co.uk", survey.Alternate, content.Read(rp.utf8, content.Options{URL: rp.url, ContentType: "text/html"}), func(v *View) { v.Body = rp.utf8 })
		c := Case{Views: []View{view("www.presstv.com", survey.Primary, healthy()), pg}}
		without := judgeCase(c).Verdicts[1]
		c.Rules = rules
		with := judgeCase(c).Verdicts[1]
		hits += len(with.Matched) - len(without.Matched)
		if with.Verdict != without.Verdict || with.PageClass != without.PageClass || with.State != without.State {
			t.Errorf("%s: %s/%s became %s/%s", rp.url, without.Verdict, without.PageClass, with.Verdict, with.PageClass)
		}
	}
	if hits < 10 {
		t.Errorf("only %d matches on real articles: that shows little", hits)
	}
	if n < 50 || named < n/2 {
		t.Errorf("%d plain rows of %d were tried, and found on the page %d times: that shows little", n, len(list.lists[0].prints), named)
	}
	t.Logf("%d rows, %d plain, found %d times", len(list.lists[0].prints), n, named)
}

func TestOtherPeoplesLists(t *testing.T) {
	dir := testdata(t, "fingerprints")
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if len(files) == 0 {
		t.Fatalf("no lists in %s", dir)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := LoadRules(filepath.Base(f), data)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		t.Logf("%s: %d rows", filepath.Base(f), len(r.lists[0].prints))
	}
}

func FuzzLoadRules(f *testing.F) {
	f.Add([]byte(ooniRows))
	f.Add([]byte(`{"fingerprint":"x_1","pattern":"a+b"}` + "\n" + `{"fingerprint":"x_fp","pattern":"c"}`))
	f.Add([]byte(`{"name":"n","list":["192.0.2.1/32"]}`))
	f.Add([]byte(`[{"fingerprint":"a","pattern":"("}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := LoadRules("fuzz", data)
		if err != nil {
			return
		}
		v := view("www.presstv.co.uk", survey.Alternate, notice("Hm", "Some words that a list may know."))
		r.lists[0].match(&v, func(p *fingerprint, at int) {
			if at < -1 || p.id == "" && p.plain == "" && p.re == nil && p.names == nil {
				t.Errorf("%+v at %d", p, at)
			}
		})
	})
}
