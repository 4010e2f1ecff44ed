package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"mirrorwatch/crawler/survey"
)

// detailed is the sample with what the event and capture tables and the OONI shape show.
func detailed(r survey.Report) survey.Report {
	f := &r.Articles[0].Mirrors[0]
	f.DNS = []survey.Lookup{{Engine: "udp", Server: "192.0.2.53", Name: "www.presstv.com", Type: "A", RCode: "NOERROR", MS: 12.5, Outcome: survey.OK,
		Answers: []survey.Answer{{Type: "CNAME", Data: "edge.example", TTL: 60}, {Type: "A", Data: "192.0.2.7", TTL: 60}}}}
	f.Tries = []survey.Try{{Address: "[2001:db8::7]:443", MS: 3, Outcome: survey.ConnectionRefused}, {Address: "192.0.2.7:443", MS: 9.5, Outcome: survey.OK}}
	f.Redirects = []survey.Redirect{{URL: "http://www.presstv.com/Detail/479262", Status: 301}}
	f.Captures = []survey.Capture{{RecordID: "urn:uuid:1", File: "2026-11-x-00001.warc.gz", Offset: 512, Length: 9000, URL: f.URL, Payload: survey.Digest("sha256:" + strings.Repeat("cd", 32)), Date: t0, Status: 200}}
	return r
}

func TestShapesGolden(t *testing.T) {
	v := sampleView(detailed(sampleReport(sampleFindings())))
	for name, write := range map[string]func(io.Writer) error{
		"eight.atom": func(w io.Writer) error { return Atom(w, v) }, "eight.prom": func(w io.Writer) error { return Metrics(w, v) },
		"eight.ooni.jsonl": func(w io.Writer) error { return OONI(w, v.Report) }, "dictionary.csv": Dictionary,
		"badge-up.svg":   func(w io.Writer) error { return Badge(w, v.Report, "www.presstv.co.uk") },
		"badge-down.svg": func(w io.Writer) error { return Badge(w, v.Report, "seized.example") },
		"badge-none.svg": func(w io.Writer) error { return Badge(w, v.Report, "nobody.example") },
		"badge-run.svg":  func(w io.Writer) error { return Badge(w, v.Report, "") },
	} {
		var b, again bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if err := write(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: not the same twice", name)
		}
		golden(t, name, b.Bytes())
	}
	for _, table := range TableNames() {
		if table != "checks" {
			golden(t, "eight."+table+".csv", tableOf(t, v.Report, table))
		}
	}
}

func tableOf(t *testing.T, r survey.Report, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw, err := NewTableWriter(&b, name)
	if err != nil {
		t.Fatal(err)
	}
	tw.Add(r)
	if err := tw.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestShapesHostile writes hostile strings in every shape: well-formed, no control or direction character, no formula.
func TestShapesHostile(t *testing.T) {
	v := sampleView(detailed(samples()["hostile"].Report))
	for i := range v.Incidents {
		v.Incidents[i].ID, v.Incidents[i].Cause, v.Incidents[i].State = fmt.Sprint(hostileText, i), hostileText, hostileText
	}
	f := &v.Report.Articles[0].Mirrors[0]
	f.DNS[0].Server, f.Tries[0].Address, f.Captures[0].File, f.Headers = hostileText, hostileText, hostileText, map[string]string{hostileText: hostileText}
	v.Incidents = append(v.Incidents, survey.IncidentRow{ID: hostileText, Mirror: hostileText, Article: hostileText, Cause: hostileText, State: hostileText, Started: t0})
	shapes := map[string]func(io.Writer) error{
		"atom": func(w io.Writer) error { return Atom(w, v) }, "badge": func(w io.Writer) error { return Badge(w, v.Report, hostileText) },
		"metrics": func(w io.Writer) error { return Metrics(w, v) }, "ooni": func(w io.Writer) error { return OONI(w, v.Report) },
	}
	for _, name := range TableNames() {
		shapes["csv "+name] = func(w io.Writer) error { _, err := w.Write(tableOf(t, v.Report, name)); return err }
	}
	for name, write := range shapes {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(name, err)
		}
		for _, r := range b.String() {
			if r != '\n' && (unicode.IsControl(r) || name != "ooni" && unicode.Is(unicode.Cf, r)) {
				t.Errorf("%s: %U gets through", name, r)
				break
			}
		}
		switch {
		case name == "atom" || name == "badge":
			for d := xml.NewDecoder(&b); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(name, err)
				}
			}
		case name == "metrics":
			checkMetrics(t, b.String())
		case strings.HasPrefix(name, "csv"):
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil {
				t.Fatal(name, err)
			}
			for _, row := range rows {
				for _, c := range row {
					if strings.ContainsAny(c[:min(1, len(c))], "=+-@\t\r") {
						t.Errorf("%s: formula %q", name, c)
					}
				}
			}
		}
	}
}

// checkMetrics holds each line against the grammar of the Prometheus text format.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)*\})? -?[0-9.]+)$`)
	typed := map[string]bool{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if !line.MatchString(l) {
			t.Errorf("line %q", l)
		}
		if name, ok := strings.CutPrefix(l, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			if typed[name] {
				t.Errorf("family %q twice", name)
			}
			typed[name] = true
		}
	}
}

func TestMetrics(t *testing.T) {
	var b bytes.Buffer
	if err := Metrics(&b, samples()["void"]); err != nil {
		t.Fatal(err)
	}
	checkMetrics(t, b.String())
	if regexp.MustCompile(`state="up"} [1-9]`).MatchString(b.String()) || !strings.Contains(b.String(), "mirrorwatch_run_void 1\n") {
		t.Errorf("a void run counts as up:\n%s", b.String())
	}
}

// TestOONIFields holds the measurements against the fields that classification.md 6 requires, with their types.
func TestOONIFields(t *testing.T) {
	var b bytes.Buffer
	r := detailed(sampleReport(sampleFindings()))
	if err := OONI(&b, r); err != nil {
		t.Fatal(err)
	}
	n := 0
	for d := json.NewDecoder(&b); ; n++ {
		var m map[string]any
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, k := range strings.Fields("data_format_version software_name software_version test_name test_version measurement_start_time test_start_time input probe_asn probe_cc probe_ip resolver_asn resolver_ip resolver_network_name") {
			if _, ok := m[k].(string); !ok {
				t.Errorf("%s is %T", k, m[k])
			}
		}
		for _, k := range []string{"measurement_start_time", "test_start_time"} {
			if _, err := time.Parse("2006-01-02 15:04:05", m[k].(string)); err != nil {
				t.Error(err)
			}
		}
		if _, ok := m["test_runtime"].(float64); !ok || m["data_format_version"] != "0.2.0" || m["probe_ip"] != "127.0.0.1" || m["test_name"] != "mirror_article" {
			t.Errorf("envelope %v", m)
		}
		for _, k := range strings.Fields("report_id bucket_date measurement_uid") {
			if m[k] != nil {
				t.Errorf("%s belongs to their backend", k)
			}
		}
		for k, v := range m["annotations"].(map[string]any) {
			if _, ok := v.(string); !ok {
				t.Errorf("annotation %s is %T", k, v)
			}
		}
		for _, k := range strings.Fields("dnst httpt tcpconnect tlshandshake netevents") {
			if m["extensions"].(map[string]any)[k] != 0.0 {
				t.Errorf("extension %s", k)
			}
		}
		keys := m["test_keys"].(map[string]any)
		for _, k := range strings.Fields("queries tcp_connect tls_handshakes requests network_events") {
			if _, ok := keys[k].([]any); !ok {
				t.Errorf("test key %s is %T", k, keys[k])
			}
			delete(keys, k)
		}
		delete(keys, "failure")
		for k := range keys {
			if !strings.HasPrefix(k, "x_") {
				t.Errorf("own key %q without x_", k)
			}
		}
	}
	if n != len(r.Articles[0].Mirrors) {
		t.Errorf("%d measurements", n)
	}
}

// TestFeedIDs: the same incident keeps its id in every state.
func TestFeedIDs(t *testing.T) {
	ids := regexp.MustCompile(`<id>(urn:mirrorwatch:incident:[^<]+)</id>`)
	v := samples()["eight"]
	var open, closed bytes.Buffer
	if err := Atom(&open, v); err != nil {
		t.Fatal(err)
	}
	for i := range v.Incidents {
		v.Incidents[i].State, v.Incidents[i].Closed = "closed", survey.Ptr(t0.Add(time.Hour))
	}
	v.Report.Run.Started = t0.Add(time.Hour)
	if err := Atom(&closed, v); err != nil {
		t.Fatal(err)
	}
	a, b := fmt.Sprint(ids.FindAllString(open.String(), -1)), fmt.Sprint(ids.FindAllString(closed.String(), -1))
	if a != b || a == "[]" {
		t.Errorf("ids %s, then %s", a, b)
	}
}

// TestCatalogue: the template holds no words of its own, and asks only for texts that are there.
func TestCatalogue(t *testing.T) {
	for _, m := range regexp.MustCompile(`\{\{t "([^"]+)"\}\}`).FindAllStringSubmatch(pageText, -1) {
		if say[m[1]] == "" {
			t.Errorf("no text %q", m[1])
		}
	}
	bare := regexp.MustCompile(`\{\{.*?\}\}`).ReplaceAllString(pageText, "")
	bare = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(bare, "")
	if words := regexp.MustCompile(`[A-Za-z]+`).FindAllString(bare, -1); len(words) > 0 {
		t.Errorf("the template says %q; texts belong into english.go", words)
	}
	for name, text := range say {
		if strings.Contains(text, "%!") || strings.TrimSpace(text) == "" {
			t.Errorf("%s: %q", name, text)
		}
	}
	for name, v := range samples() {
		for f := range Files(v) {
			var b bytes.Buffer
			if err := f.Write(&b); err != nil {
				t.Fatal(name, f.Name, err)
			}
			if i := bytes.Index(b.Bytes(), []byte("%!")); i >= 0 {
				t.Errorf("%s, %s: %q", name, f.Name, b.Bytes()[max(0, i-40):i+20])
			}
		}
	}
}

// TestWordsStandInTheCatalogue: no sentence for people stands in the program's code outside english.go, and every text that
// the code asks for is there. Left out are errors, the data dictionary and the metrics' help, which are for programs' users.
func TestWordsStandInTheCatalogue(t *testing.T) {
	if found := strayWords(t, "planted.go", "package p\nvar a = f(\"not in the catalogue\")\nvar b = say[\"no-such-text\"]\nvar c = plural(2, \"apple\", \"apples\")"); len(found) != 4 {
		t.Errorf("of three planted faults %q were found", found)
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, "_test.go"), name == "english.go", name == "tables.go", name == "metrics.go", name == "ooni.go":
			continue
		}
		for _, f := range strayWords(t, name, nil) {
			t.Error(f)
		}
	}
}

func strayWords(t *testing.T, name string, source any) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	sentence := regexp.MustCompile(`\pL{2,}[,.:;]? (%[a-z] )?\(?\pL{2,}`)
	// Not for people: an SVG's markup, a policy's words, flags of commands, codes of conclusions.
	markup := regexp.MustCompile(`^<|^'?default-src|style-src|script-src|img-src|^ --|^cannot tell$`)
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr:
			if f, ok := x.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Errorf" || f.Sel.Name == "New") {
				return false
			}
			if f, ok := x.Fun.(*ast.Ident); ok && f.Name == "plural" {
				for _, arg := range x.Args {
					if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						found = append(found, fmt.Sprintf("%s: %s", set.Position(lit.Pos()), lit.Value))
					}
				}
			}
			if f, ok := x.Fun.(*ast.Ident); ok && f.Name == "panic" {
				return false
			}
		case *ast.ValueSpec:
			if len(x.Names) == 1 && x.Names[0].Name == "Columns" {
				return false
			}
		case *ast.Field, *ast.ImportSpec:
			return false
		case *ast.IndexExpr:
			m, ok := x.X.(*ast.Ident)
			key, lit := x.Index.(*ast.BasicLit)
			if ok && lit && m.Name == "say" {
				if k, err := strconv.Unquote(key.Value); err == nil && say[k] == "" {
					found = append(found, fmt.Sprintf("%s: no text %q", set.Position(x.Pos()), k))
				}
			}
		case *ast.BasicLit:
			if s, err := strconv.Unquote(x.Value); err == nil && x.Kind == token.STRING && sentence.MatchString(s) && !markup.MatchString(s) {
				found = append(found, fmt.Sprintf("%s: %q", set.Position(x.Pos()), s))
			}
		}
		return true
	})
	return found
}

func TestByWord(t *testing.T) {
	a, b := byWord("over 400,000 people have been killed", "over 40,000 people were killed")
	if got, want := fmt.Sprint(a, b), "[{over  false} {400,000 true} { people  false} {have been true} { killed false}] [{over  false} {40,000 true} { people  false} {were true} { killed false}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if a, b := byWord("", "new"); a != nil || len(b) != 1 {
		t.Error(a, b)
	}
}

// TestTablesInPandas is acceptance test 19: pandas loads each table with the dtypes of the dictionary, and the run's
// summary comes out of it again.
func TestTablesInPandas(t *testing.T) {
	python := ""
	for _, name := range []string{"python3", "/usr/bin/python3"} { // Debian's pandas is seen by Debian's Python only
		if exec.Command(name, "-c", "import pandas").Run() == nil {
			python = name
			break
		}
	}
	if python == "" {
		lacking(t, "no python3 with pandas (Debian: python3-pandas)")
	}
	dir := t.TempDir()
	r := detailed(sampleReport(sampleFindings()))
	for _, name := range TableNames() {
		if err := os.WriteFile(filepath.Join(dir, name+".csv"), tableOf(t, r, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := Dictionary(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dictionary.csv"), b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, filepath.Join("testdata", "load.py"), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := fmt.Sprintf("up %d degraded %d down %d unknown %d changes 3 events", r.Summary.Up, r.Summary.Degraded, r.Summary.Down, r.Summary.Unknown)
	if !strings.HasPrefix(string(out), want) {
		t.Errorf("got %q, want %q", out, want)
	}
}
