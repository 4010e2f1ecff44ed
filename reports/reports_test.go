package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mirrorwatch/crawler/survey"
)

var (
	update = flag.Bool("update", false, "write the golden files again")
	pages  = flag.String("pages", "", "also write the sample pages into this folder, to look at")
)

var formats = map[string]func(io.Writer, survey.Report) error{
	"txt":  func(w io.Writer, r survey.Report) error { return Text(w, r, TextOptions{}) },
	"json": JSON, "jsonl": JSONL, "csv": CSV, "md": Markdown, "xml": JUnit,
}

func TestGolden(t *testing.T) {
	all := samples()
	for _, name := range []string{"eight", "void", "empty", "hostile"} {
		for ext, write := range formats {
			var b bytes.Buffer
			if err := write(&b, all[name].Report); err != nil {
				t.Fatal(err)
			}
			if name == "hostile" && (ext == "json" || ext == "jsonl") {
				continue // 100 kB strings; TestHostile looks at them
			}
			golden(t, name+"."+ext, b.Bytes())
		}
	}
	for name, v := range all {
		var b, again bytes.Buffer
		if err := HTML(&b, v); err != nil {
			t.Fatal(name, err)
		}
		if err := HTML(&again, v); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: not the same page twice (%v)", name, err)
		}
		if name == "eight" {
			golden(t, name+".html", b.Bytes())
		}
		if *pages != "" {
			if err := os.WriteFile(filepath.Join(*pages, name+".html"), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; run with -update and look at the difference\ngot:\n%.3000s", path, got)
	}
}

// parse returns all elements of a page.
func parse(t *testing.T, v View) (elements []*html.Node, text string) {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, v); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for n := range doc.Descendants() {
		switch n.Type {
		case html.ElementNode:
			elements = append(elements, n)
		case html.TextNode:
			s.WriteString(n.Data)
		}
	}
	return elements, s.String()
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestPageIsSelfContainedAndInert(t *testing.T) {
	for name, v := range samples() {
		elements, _ := parse(t, v)
		ids := map[string]bool{}
		policy, style := "", ""
		for _, n := range elements {
			switch n.Data {
			case "script":
				if n.FirstChild == nil || n.FirstChild.Data != scriptText || len(n.Attr) > 0 {
					t.Errorf("%s: a script that is not ours", name)
				}
			case "iframe", "img", "link", "object", "base", "form":
				t.Errorf("%s: element %s", name, n.Data)
			case "meta":
				if attr(n, "http-equiv") == "Content-Security-Policy" {
					policy = attr(n, "content")
				}
			case "style":
				style = n.FirstChild.Data
			case "th":
				if attr(n, "scope") == "" {
					t.Errorf("%s: th without scope", name)
				}
			case "table":
				if c := n.FirstChild; c == nil || c.Data != "caption" {
					t.Errorf("%s: table without caption", name)
				}
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("%s: %s has %s=%q", name, n.Data, a.Key, a.Val)
				}
				if a.Key == "id" {
					if ids[a.Val] {
						t.Errorf("%s: id %q twice", name, a.Val)
					}
					ids[a.Val] = true
				}
			}
		}
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "style-src '"+hash(style)+"'") || !strings.Contains(policy, "script-src '"+hash(scriptText)+"'") {
			t.Errorf("%s: policy %q does not fit the style", name, policy)
		}
	}
}

func TestPageSaysTheState(t *testing.T) {
	for name, want := range map[string]string{"eight": "down", "green": "up", "red": "down", "void": "unknown", "empty": "unknown"} {
		elements, _ := parse(t, samples()[name])
		i := slices.IndexFunc(elements, func(n *html.Node) bool { return attr(n, "id") == "verdict" })
		if got := attr(elements[i], "class"); got != "say "+want {
			t.Errorf("%s: the verdict's class is %q, want %q", name, got, "say "+want)
		}
		for _, n := range elements {
			if name == "void" && n.Data == "span" && attr(n, "class") == "chip up" && n.Parent.Data == "td" {
				for p := n.Parent; p != nil; p = p.Parent {
					if attr(p, "class") == "matrix stack" {
						t.Error("a void run shows green")
					}
				}
			}
		}
	}
}

func TestUnobservedDaysAreNeverGreen(t *testing.T) {
	h := survey.MirrorHistory{Days: make([]survey.DayCount, 90)}
	h.Days[3].Void, h.Days[4].Unknown, h.Days[5].Maintenance = 5, 5, 5
	bars, label, _ := strip(&h)
	for i, b := range bars {
		if len(b.Rects) != 1 || b.Rects[0].Class != "n" {
			t.Errorf("day %d: %+v", i, b)
		}
	}
	if !strings.Contains(label, "90 without data") {
		t.Error(label)
	}
}

func TestHostile(t *testing.T) {
	r := samples()["hostile"].Report
	raw := []string{"\x1b", "\x07", "\x00", "\u009b", "\u202e", "\u2066", "\u200b", "\ufffe", "<script>"}
	for ext, write := range formats {
		var b bytes.Buffer
		if err := write(&b, r); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		if ext == "md" { // code spans show what they hold
			out = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(out, "")
		}
		for _, s := range raw {
			if s == "<script>" && (ext == "json" || ext == "jsonl" || ext == "csv" || ext == "txt") {
				continue // data, escaped as JSON or CSV do; text has no markup
			}
			if strings.Contains(out, s) {
				t.Errorf("%s: %q gets through", ext, s)
			}
		}
		switch ext {
		case "csv":
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if len(row) != len(Columns) {
					t.Errorf("%d cells, want %d", len(row), len(Columns))
				}
				for _, c := range row {
					if strings.ContainsAny(c[:min(1, len(c))], "=+-@\t\r") {
						t.Errorf("formula %q", c)
					}
				}
			}
		case "xml":
			d := xml.NewDecoder(&b)
			for {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		case "md":
			for _, s := range []string{"@everyone", "[x](", "javascript:"} {
				if strings.Contains(out, s) {
					t.Errorf("md: %q gets through", s)
				}
			}
		}
	}
	_, text := parse(t, samples()["hostile"])
	for _, s := range raw[:8] {
		if strings.Contains(text, s) {
			t.Errorf("html: %q gets through", s)
		}
	}
	for _, cell := range []string{"=1+1", "+1", "-1", "@x", "\t=1", " =1", "＝1", "\r=1", "'=1"} {
		if got := CSVCell(cell); strings.ContainsAny(got[:1], "=+-@\t\r \uff1d") {
			t.Errorf("CSVCell(%q) = %q", cell, got)
		}
	}
}

// TestDocumentKeys holds the JSON against the list of DESIGN section 2: every field is there, lists are lists.
func TestDocumentKeys(t *testing.T) {
	r := sampleReport(sampleFindings())
	f := &r.Articles[0].Mirrors[0]
	f.Redirects = []survey.Redirect{{URL: "u", Status: 301}}
	f.DNS, f.Tries = []survey.Lookup{{Server: "192.0.2.53", Type: "A"}}, []survey.Try{{Address: "192.0.2.7:443"}}
	f.Matched, f.Changes = []survey.Match{{}}, []survey.Change{{}}
	f.Captures, f.Hygiene, f.Lag, f.Links = []survey.Capture{{}}, []survey.Hygiene{{}}, &survey.Lag{}, &survey.LinkCount{}
	r.Articles[0].Conclusions = []survey.Conclusion{{}}
	r.Links = []survey.Link{{Results: []survey.LinkResult{{}}}}
	var b bytes.Buffer
	if err := JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, keys := range map[string]string{
		"":                           "schema run articles links candidates summary",
		"run":                        "id started finished complete stopped_by void void_reason void_vantages tool rules_version next_due",
		"run.tool":                   "name version",
		"articles":                   "site url title reference mirrors conclusions",
		"articles.reference":         "mirror snapshot observed_at why",
		"articles.mirrors":           "mirror role vantage observed_at url final_url redirects state verdict by kind version page_class confidence reasons matched scores changes stage outcome failure attempts status dns tries family peer timing_ms tls body text captures snapshot links hygiene lag since incident",
		"articles.mirrors.redirects": "url status",
		"articles.mirrors.matched":   "rule list offset",
		"articles.mirrors.scores":    "c_ref c_cand",
		"articles.mirrors.changes":   "kind reference candidate at",
		"articles.mirrors.dns":       "server type rcode ede ms answers",
		"articles.mirrors.tries":     "address ms outcome",
		"articles.mirrors.family":    "v4 v6",
		"articles.mirrors.timing_ms": "dns connect tls first_byte total",
		"articles.mirrors.tls":       "version verified not_after issuer sha256",
		"articles.mirrors.body":      "bytes type charset lang truncated sha256",
		"articles.mirrors.text":      "words sha256",
		"articles.mirrors.captures":  "record_id file offset length url payload_digest",
		"articles.mirrors.links":     "checked broken not_judged",
		"articles.mirrors.hygiene":   "kind url parent",
		"articles.mirrors.lag":       "seconds bound",
		"articles.conclusions":       "mirror vantage say confidence why",
		"links":                      "target kind parents results",
		"links.results":              "mirror vantage url status outcome state first_seen",
		"candidates":                 "host site article rule evidence confirmed",
		"summary":                    "articles mirrors up degraded down unknown links_broken",
	} {
		at := doc
		for _, part := range strings.Split(path, ".") {
			if part != "" {
				at = at.(map[string]any)[part]
			}
			if list, ok := at.([]any); ok {
				at = list[0]
			}
		}
		object, ok := at.(map[string]any)
		if !ok {
			t.Errorf("%s is %T", path, at)
			continue
		}
		for _, k := range strings.Fields(keys) {
			if _, ok := object[k]; !ok {
				t.Errorf("%s lacks %q", path, k)
			}
		}
	}
	b.Reset()
	if err := JSON(&b, survey.Report{Articles: []survey.Check{{Mirrors: []survey.Finding{{}}}}}); err != nil {
		t.Fatal(err)
	}
	for _, k := range strings.Fields("void_vantages links candidates conclusions redirects dns tries captures reasons matched changes hygiene") {
		if bytes.Contains(b.Bytes(), []byte(`"`+k+`": null`)) && k != "links" && k != "dns" { // links of a mirror and timing_ms.dns may be
			t.Errorf("%s is null", k)
		}
	}
	if !bytes.Contains(b.Bytes(), []byte(`"finished": null`)) {
		t.Error("a run without end has one")
	}
}

func FuzzVisible(f *testing.F) {
	f.Add(hostileText, 10)
	f.Add("\u200f\u061cسلام\u200cها", 0)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		for _, r := range Visible(s, limit) {
			if hidden(r) {
				t.Fatalf("%U gets through of %q", r, s)
			}
		}
	})
}
