package reports

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"

	"mirrorwatch/crawler/survey"
)

// A Table is one flat CSV table: no nested cells, rows in the order of runs, articles, mirrors. Unknown values are empty
// cells. Columns are only ever added at the end. The tables join by check_id.
type Table struct {
	Name, Meaning string
	Columns       []Column
	rows          func(r *survey.Report, yield func(*row))
}

// row is what a cell is computed from: always the finding, in the other tables also one part of it.
type row struct {
	run  *survey.Run
	c    *survey.Check
	f    *survey.Finding
	n    int // of the event or change within its finding
	ev   event
	ch   *survey.Change
	capt *survey.Capture
}

// event is one thing observed on the way to a page.
type event struct{ kind, server, name, typ, answer, outcome, ms string }

// checkID names one article on one mirror from one vantage in one run.
func checkID(run survey.RunID, c *survey.Check, f *survey.Finding) string {
	h := sha256.New()
	for _, s := range []string{string(run), c.Site, c.URL, string(f.Mirror), f.Vantage} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

var idColumn = Column{"check_id", "string", "joins the tables: one article on one mirror from one vantage in one run", func(r *row) string { return checkID(r.run.ID, r.c, r.f) }}

// Tables are what `report --format csv --table` writes (classification.md 6).
var Tables = []Table{
	{"checks", "one row for each article, mirror and vantage of a run", Columns, func(r *survey.Report, yield func(*row)) {
		eachFinding(r, yield)
	}},
	{"events", "what was observed on the way: DNS answers, connections, TLS handshakes, redirects", []Column{idColumn,
		{"n", "integer", "order within the check, from 0", func(r *row) string { return strconv.Itoa(r.n) }},
		{"event", "string", "dns, connect, tls, redirect, http", func(r *row) string { return r.ev.kind }},
		{"server", "string", "resolver, address or URL asked", func(r *row) string { return r.ev.server }},
		{"name", "string", "name asked for", func(r *row) string { return r.ev.name }},
		{"type", "string", "DNS type, TLS version or HTTP status", func(r *row) string { return r.ev.typ }},
		{"answer", "string", "DNS answer, certificate digest", func(r *row) string { return r.ev.answer }},
		{"outcome", "string", "what happened; dns: the response code", func(r *row) string { return r.ev.outcome }},
		{"ms", "number", "how long it took, milliseconds", func(r *row) string { return r.ev.ms }},
	}, func(r *survey.Report, yield func(*row)) {
		eachFinding(r, func(at *row) {
			n := 0
			events(at.f, func(e event) {
				next := *at
				next.n, next.ev = n, e
				n++
				yield(&next)
			})
		})
	}},
	{"changes", "what differs in the text", []Column{idColumn,
		{"n", "integer", "order within the check, from 0", func(r *row) string { return strconv.Itoa(r.n) }},
		{"kind", "string", "title, number, name, sentence_edited, ...", func(r *row) string { return r.ch.Kind }},
		{"ref_sentence", "string", "the reference's words", func(r *row) string { return r.ch.Reference }},
		{"cand_sentence", "string", "the mirror's words", func(r *row) string { return r.ch.Candidate }},
		{"ref_start", "integer", "octets into the reference's text", func(r *row) string { return strconv.Itoa(r.ch.At[0][0]) }},
		{"ref_end", "integer", "octets into the reference's text", func(r *row) string { return strconv.Itoa(r.ch.At[0][1]) }},
		{"cand_start", "integer", "octets into the mirror's text", func(r *row) string { return strconv.Itoa(r.ch.At[1][0]) }},
		{"cand_end", "integer", "octets into the mirror's text", func(r *row) string { return strconv.Itoa(r.ch.At[1][1]) }},
	}, func(r *survey.Report, yield func(*row)) {
		eachFinding(r, func(at *row) {
			for n := range at.f.Changes {
				next := *at
				next.n, next.ch = n, &at.f.Changes[n]
				yield(&next)
			}
		})
	}},
	{"captures", "the archived exchanges behind a check", []Column{idColumn,
		{"url", "string", "address asked for", func(r *row) string { return r.capt.URL }},
		{"record_id", "string", "WARC-Record-ID", func(r *row) string { return string(r.capt.RecordID) }},
		{"payload_sha256", "string", "digest of the body as sent", func(r *row) string { return r.capt.Payload.Hex() }},
		{"warc", "string", "file in the archive folder", func(r *row) string { return r.capt.File }},
		{"offset", "integer", "octets into the file", func(r *row) string { return strconv.FormatInt(r.capt.Offset, 10) }},
		{"length", "integer", "octets of the record's gzip member", func(r *row) string { return strconv.FormatInt(r.capt.Length, 10) }},
		{"date", "time", "WARC-Date", func(r *row) string { return stamp(r.capt.Date) }},
		{"status", "integer", "HTTP status", func(r *row) string {
			if r.capt.Status == 0 {
				return ""
			}
			return strconv.Itoa(r.capt.Status)
		}},
		{"revisit", "boolean", "the payload stands in an earlier record", func(r *row) string { return strconv.FormatBool(r.capt.Revisit) }},
	}, func(r *survey.Report, yield func(*row)) {
		eachFinding(r, func(at *row) {
			for n := range at.f.Captures {
				next := *at
				next.n, next.capt = n, &at.f.Captures[n]
				yield(&next)
			}
		})
	}},
}

// TableNames are the names of Tables.
func TableNames() (names []string) {
	for _, t := range Tables {
		names = append(names, t.Name)
	}
	return names
}

func eachFinding(r *survey.Report, yield func(*row)) {
	for ci := range r.Articles {
		c := &r.Articles[ci]
		for i := range c.Mirrors {
			yield(&row{run: &r.Run, c: c, f: &c.Mirrors[i]})
		}
	}
}

func events(f *survey.Finding, yield func(event)) {
	ms := func(v float64) string { return number(&v) }
	for _, l := range f.DNS {
		outcome := l.RCode
		if outcome == "" {
			outcome = string(l.Outcome)
		}
		if len(l.Answers) == 0 {
			yield(event{"dns", l.Server, l.Name, l.Type, "", outcome, ms(l.MS)})
		}
		for _, a := range l.Answers {
			yield(event{"dns", l.Server, l.Name, a.Type, a.Data, outcome, ms(l.MS)})
		}
	}
	for _, t := range f.Tries {
		yield(event{"connect", t.Address, "", "", "", string(t.Outcome), ms(t.MS)})
	}
	if f.TLS != nil {
		outcome := survey.OK
		if !f.TLS.Verified && f.Stage == survey.StageTLS {
			outcome = f.Outcome
		}
		yield(event{"tls", text(f.Peer), f.TLS.SNI, f.TLS.Version, f.TLS.SHA256, string(outcome), number(f.Timing.TLS)})
	}
	for _, r := range f.Redirects {
		yield(event{"redirect", r.URL, "", strconv.Itoa(r.Status), "", string(survey.OK), ""})
	}
	if f.Status != nil {
		yield(event{"http", f.FinalURL, "", strconv.Itoa(*f.Status), "", string(f.Outcome), number(f.Timing.Total)})
	}
}

// A TableWriter writes the rows of one table, run after run, under one header.
type TableWriter struct {
	table Table
	out   *csv.Writer
	cells []string
}

// NewTableWriter writes the header of the named table; an unknown name is an error.
func NewTableWriter(w io.Writer, name string) (*TableWriter, error) {
	i := slices.IndexFunc(Tables, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no table %q", name)
	}
	t := &TableWriter{table: Tables[i], out: csv.NewWriter(w)}
	for _, c := range t.table.Columns {
		t.cells = append(t.cells, c.Name)
	}
	_ = t.out.Write(t.cells) // errors stick until Flush
	return t, nil
}

// Add writes a run's rows. Cells that a spreadsheet would take for a formula begin with an apostrophe; control and direction
// characters are made visible.
func (t *TableWriter) Add(r survey.Report) {
	t.table.rows(&r, func(at *row) {
		for n, col := range t.table.Columns {
			t.cells[n] = col.value(at)
			if col.Type == "string" {
				t.cells[n] = CSVCell(t.cells[n])
			}
		}
		_ = t.out.Write(t.cells)
	})
}

// Flush writes what is buffered and returns the first error of all writing.
func (t *TableWriter) Flush() error {
	t.out.Flush()
	if err := t.out.Error(); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

// dtypes are what pandas calls the types, all of which know missing values.
var dtypes = map[string]string{"string": "string", "integer": "Int64", "number": "Float64", "boolean": "boolean", "time": "datetime64[ns, UTC]"}

// Dictionary writes the data dictionary of Tables as CSV: table, column, type, dtype for pandas, meaning.
func Dictionary(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"table", "column", "type", "dtype", "meaning"})
	for _, t := range Tables {
		for _, c := range t.Columns {
			_ = out.Write([]string{t.Name, c.Name, c.Type, dtypes[c.Type], c.Meaning})
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing the data dictionary: %w", err)
	}
	return nil
}
