package reports

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// JSON writes the document mirrorwatch/check/1, indented, lists never null.
func JSON(w io.Writer, r survey.Report) error {
	enc := JSONEncoder(w)
	enc.SetIndent("", " ")
	if err := enc.Encode(r.WithLists()); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// Line is one line of JSONL: a mirror's finding with what it belongs to.
type Line struct {
	Schema  string         `json:"schema"`
	Run     survey.Run     `json:"run"`
	Article LineArticle    `json:"article"`
	Mirror  survey.Finding `json:"mirror"`
}

// LineArticle is the article of a Line.
type LineArticle struct {
	Site      string            `json:"site"`
	URL       string            `json:"url"`
	Title     string            `json:"title"`
	Reference *survey.Reference `json:"reference"`
}

// JSONL writes one line for each article, mirror and vantage.
func JSONL(w io.Writer, r survey.Report) error {
	r = r.WithLists()
	out := bufio.NewWriter(w)
	enc := JSONEncoder(out)
	for _, c := range r.Articles {
		for _, f := range c.Mirrors {
			if err := enc.Encode(Line{r.Schema, r.Run, LineArticle{c.Site, c.URL, c.Title, c.Reference}, f}); err != nil {
				return fmt.Errorf("writing JSONL: %w", err)
			}
		}
	}
	return out.Flush()
}

// Column is one column of a CSV table: its name, type (string, integer, number, time, boolean) and meaning. Unknown
// values are empty cells.
type Column struct {
	Name, Type, Meaning string
	value               func(*row) string
}

// Columns are those of the table checks. They are only ever added at the end.
var Columns = []Column{
	{"run", "string", "identifier of the run", func(r *row) string { return string(r.run.ID) }},
	{"observed_at", "time", "when the mirror was visited, RFC 3339 UTC", func(r *row) string { return stamp(r.f.ObservedAt) }},
	{"site", "string", "name of the site", func(r *row) string { return r.c.Site }},
	{"article", "string", "the article's address on the primary", func(r *row) string { return r.c.URL }},
	{"title", "string", "the article's title", func(r *row) string { return r.c.Title }},
	{"mirror", "string", "host of the mirror", func(r *row) string { return string(r.f.Mirror) }},
	{"role", "string", "primary, alternate, candidate", func(r *row) string { return string(r.f.Role) }},
	{"vantage", "string", "where from and how it was looked at", func(r *row) string { return r.f.Vantage }},
	{"state", "string", "up, degraded, down, unknown", func(r *row) string { return string(r.f.State) }},
	{"verdict", "string", "what was found, beside the reference", func(r *row) string { return string(r.f.Verdict.Verdict) }},
	{"kind", "string", "kind of the alteration or cut", func(r *row) string { return text(r.f.Kind) }},
	{"page_class", "string", "what kind of page answered", func(r *row) string { return string(r.f.PageClass) }},
	{"confidence", "string", "high, medium, low", func(r *row) string { return string(r.f.Confidence) }},
	{"reason", "string", "the first reason of the verdict", func(r *row) string {
		if len(r.f.Reasons) == 0 {
			return ""
		}
		return r.f.Reasons[0]
	}},
	{"stage", "string", "where the visit ended", func(r *row) string { return string(r.f.Stage) }},
	{"outcome", "string", "what happened there", func(r *row) string { return string(r.f.Outcome) }},
	{"failure", "string", "OONI failure string", func(r *row) string { return text(r.f.Failure) }},
	{"status", "integer", "HTTP status", func(r *row) string {
		if r.f.Status == nil {
			return ""
		}
		return strconv.Itoa(*r.f.Status)
	}},
	{"url", "string", "address asked for", func(r *row) string { return r.f.URL }},
	{"final_url", "string", "address that answered", func(r *row) string { return r.f.FinalURL }},
	{"attempts", "integer", "number of tries", func(r *row) string { return strconv.Itoa(r.f.Attempts) }},
	{"first_byte_ms", "number", "time to the first byte, milliseconds", func(r *row) string { return number(r.f.Timing.FirstByte) }},
	{"total_ms", "number", "time of the whole visit, milliseconds", func(r *row) string { return number(r.f.Timing.Total) }},
	{"body_bytes", "integer", "bytes of the body as sent", func(r *row) string {
		if r.f.Body == nil {
			return ""
		}
		return strconv.FormatInt(r.f.Body.Bytes, 10)
	}},
	{"body_sha256", "string", "digest of the body as sent", func(r *row) string {
		if r.f.Body == nil {
			return ""
		}
		return r.f.Body.SHA256
	}},
	{"words", "integer", "words of the article's text", func(r *row) string {
		if r.f.Text == nil {
			return ""
		}
		return strconv.Itoa(r.f.Text.Words)
	}},
	{"c_ref", "number", "share of the reference's text found here", func(r *row) string { return number(r.f.Scores.CRef) }},
	{"c_cand", "number", "share of this text found in the reference", func(r *row) string { return number(r.f.Scores.CCand) }},
	{"changes", "integer", "number of changes", func(r *row) string { return strconv.Itoa(len(r.f.Changes)) }},
	{"since", "time", "since when it is in this state", func(r *row) string {
		if r.f.Since == nil {
			return ""
		}
		return stamp(*r.f.Since)
	}},
	{"snapshot", "string", "name of the archived snapshot", func(r *row) string { return text(r.f.Snapshot) }},
	{"rules_version", "string", "version of the rules that judged", func(r *row) string { return r.run.RulesVersion }},
	idColumn,
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func number(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z") // one width: pandas guesses one format for a column
}

// CSV writes the table checks of one run.
func CSV(w io.Writer, r survey.Report) error {
	t, err := NewTableWriter(w, "checks")
	if err != nil {
		return err
	}
	t.Add(r)
	return t.Flush()
}

// CSVCell makes a foreign string harmless to spreadsheets, which run what begins with =, +, -, @ (also in full width) or
// white space before those, even inside quotes.
func CSVCell(s string) string {
	s = Visible(s, 32000) // a spreadsheet's cell ends at 32,767
	if t := strings.TrimLeft(s, " \u00a0\u3000'\""); t != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(t)[0]) {
		return "'" + s
	}
	return s
}

// Markdown writes a summary that can be pasted into an issue or a wiki: foreign text cannot become markup, a link, a
// mention or HTML.
func Markdown(w io.Writer, r survey.Report) error {
	out := bufio.NewWriter(w)
	state, sentence := Sentence(r)
	fmt.Fprintf(out, "## %s %s\n\n%s, %s `%s`\n", mark(state), MarkdownText(sentence, 2000), utc(r.Run.Started), say["md-run"], code(string(r.Run.ID)))
	void := voidVantages(r.Run)
	for _, c := range r.Articles {
		title := c.Title
		if title == "" {
			title = say["no-title"]
		}
		fmt.Fprintf(out, "\n### %s\n\n`%s`\n\n%s\n|---|---|---|---|---|\n", MarkdownText(title, 300), code(c.URL), say["md-head"])
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			name := placeName(f)
			snapshot := ""
			if f.Snapshot != nil {
				snapshot = "`" + code(*f.Snapshot) + "`"
			}
			s := stateOf(f, void)
			fmt.Fprintf(out, "| %s | %s %s | %s | %s | %s |\n", MarkdownText(name, 100), mark(s), s, MarkdownText(verdictWords(f), 100), MarkdownText(reasonWords(f), 300), snapshot)
		}
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			for n, ch := range f.Changes {
				if n == 5 {
					fmt.Fprintf(out, "- "+say["t-and"]+"\n", plural(len(f.Changes)-5, say["one-more-change"], say["many-changes-more"]))
					break
				}
				if n == 0 {
					fmt.Fprintf(out, "\n"+say["md-changes"]+"\n\n", MarkdownText(string(f.Mirror), 100))
				}
				fmt.Fprintf(out, "- "+say["md-became"]+"\n", MarkdownText(spaced(ch.Kind), 40), MarkdownText(ch.Reference, 200), MarkdownText(ch.Candidate, 200))
			}
		}
	}
	if len(r.Candidates) > 0 {
		fmt.Fprintf(out, "\n### %s\n\n", say["announced"])
		for i, c := range r.Candidates {
			if i == 50 {
				fmt.Fprintf(out, "- "+say["more"]+"\n", len(r.Candidates)-50)
				break
			}
			fmt.Fprintf(out, "- `%s`: “%s”\n", code(string(c.Host)), MarkdownText(c.Evidence, 200))
		}
	}
	return out.Flush()
}

// MarkdownText escapes a foreign string so that Markdown shows it as it is. What chat and forge software would make a
// mention, a link or an issue number of is written as a character reference.
func MarkdownText(s string, limit int) string {
	var b strings.Builder
	for _, r := range Visible(s, limit) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@':
			b.WriteString("&#64;")
		case r == ':':
			b.WriteString("&#58;") // no autolink
		case r == '#':
			b.WriteString("&#35;") // no issue number
		case strings.ContainsRune("\\`*_{}[]()!|~$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// code prepares a string for a code span in a table.
func code(s string) string {
	return strings.NewReplacer("`", "'", "|", "%7C", "\\", "%5C").Replace(Visible(s, 500))
}

// JUnit writes a test suite per article and a test case per mirror and vantage: down and degraded fail, unknown is skipped.
func JUnit(w io.Writer, r survey.Report) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	type skipped struct {
		Message string `xml:"message,attr"`
	}
	type testCase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure"`
		Skipped *skipped `xml:"skipped"`
	}
	type suite struct {
		Name      string     `xml:"name,attr"`
		Tests     int        `xml:"tests,attr"`
		Failures  int        `xml:"failures,attr"`
		Errors    int        `xml:"errors,attr"`
		Skipped   int        `xml:"skipped,attr"`
		Time      string     `xml:"time,attr"`
		Timestamp string     `xml:"timestamp,attr"`
		Cases     []testCase `xml:"testcase"`
	}
	doc := struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Suites   []suite  `xml:"testsuite"`
	}{Name: "mirrorwatch"}
	void := voidVantages(r.Run)
	for _, c := range r.Articles {
		s := suite{Name: Visible(c.URL, 2000), Timestamp: r.Run.Started.UTC().Format("2006-01-02T15:04:05")}
		total := 0.0
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			name := string(f.Mirror)
			if f.Vantage != "" {
				name = fmt.Sprintf(say["from-vantage"], name, f.Vantage)
			}
			t := testCase{Name: Visible(name, 300), Class: Visible(c.Site, 300), Time: "0"}
			if f.Timing.Total != nil {
				total += *f.Timing.Total / 1000
				t.Time = strconv.FormatFloat(*f.Timing.Total/1000, 'f', 3, 64)
			}
			words := Visible(strings.TrimSuffix(verdictWords(f)+": "+reasonWords(f), ": "), 500)
			switch stateOf(f, void) {
			case survey.Up:
			case survey.Down, survey.Degraded:
				var detail []string
				for _, reason := range f.Reasons {
					detail = append(detail, Visible(reasonOr(reason), 500))
				}
				if f.Snapshot != nil {
					detail = append(detail, fmt.Sprintf(say["x-snapshot"], Visible(*f.Snapshot, 2000)))
				}
				t.Failure = &failure{words, string(f.State), strings.Join(detail, "\n")}
				s.Failures++
			default:
				t.Skipped = &skipped{words}
				s.Skipped++
			}
			s.Tests++
			s.Cases = append(s.Cases, t)
		}
		s.Time = strconv.FormatFloat(total, 'f', 3, 64)
		doc.Tests += s.Tests
		doc.Failures += s.Failures
		doc.Skipped += s.Skipped
		doc.Suites = append(doc.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("writing JUnit: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("writing JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}
