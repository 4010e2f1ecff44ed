package compare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"crypto/sha256"
	"encoding/hex"

	"mirrorwatch/crawler/survey"
)

// Bounds of a list file.
const (
	maxListBytes   = 16 << 20
	maxListRows    = 50_000
	maxListPattern = 20_000
	maxListText    = 1 << 20 // octets of a page that lists are held against
)

// list is a collection of fingerprints that somebody else keeps.
type list struct {
	name, version string
	prints        []fingerprint
}

// fingerprint is one fingerprint.
type fingerprint struct {
	id    string
	field string // body, or a header's name
	scope string // nat, isp, prod, inst, vbw, fp, "" when the list has none
	plain string // searched as it stands when re is nil
	re    *regexp.Regexp
	names []string // exact: domains, addresses
}

// scopeFP marks what looks like a block page and is none: such rows never change a verdict (classification.md 8, test 11).
const scopeFP = "fp"

// LoadRules reads a list of fingerprints: OONI's CSV (name, scope, ..., location_found, pattern_type, pattern, ...), Censored
// Planet's JSON (one object a line with fingerprint and pattern), or a MISP warning list (an object with name and list). The result
// holds that list alone; Rules.Add joins it with the project's own rules. What a list matches is named in Matched and in the
// reasons, and gives a page its class where no rule of ours does; it never outweighs the article's own text, and rows
// of scope fp never change a verdict. Rows whose pattern Go's regular expressions do not take are left out.
func LoadRules(name string, data []byte) (*Rules, error) {
	if len(data) > maxListBytes {
		return nil, fmt.Errorf("list %q has %d octets; at most %d are read", name, len(data), maxListBytes)
	}
	sum := sha256.Sum256(data)
	l := &list{name: name, version: name + "@" + hex.EncodeToString(sum[:4])}
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n")
	var err error
	switch {
	case len(trimmed) == 0:
		err = errors.New("it is empty")
	case trimmed[0] == '{' || trimmed[0] == '[':
		err = l.readJSON(trimmed)
	default:
		err = l.readCSV(trimmed)
	}
	l.markFalsePositives()
	if err == nil && len(l.prints) == 0 {
		err = errors.New("it has no row that could be used")
	}
	if err != nil {
		return nil, fmt.Errorf("reading list %q: %w", name, err)
	}
	return &Rules{lists: []*list{l}}, nil
}

// markFalsePositives gives scope fp to a whole list that says in its name that it collects false positives, as Censored Planet's
// second file does: most of its rows are named x_..., a few otherwise.
func (l *list) markFalsePositives() {
	if !strings.Contains(l.name, "false_positive") {
		return
	}
	for i := range l.prints {
		l.prints[i].scope = scopeFP
	}
}

func (l *list) readCSV(data []byte) error {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	header, err := r.Read()
	if err != nil {
		return err
	}
	col := map[string]int{}
	for i, h := range header {
		col[strings.ToLower(strings.TrimSpace(h))] = i
	}
	for _, need := range []string{"name", "pattern"} {
		if _, ok := col[need]; !ok {
			return fmt.Errorf("line 1 has no column %q; OONI's fingerprint lists have name, scope, location_found, pattern_type and pattern", need)
		}
	}
	for len(l.prints) < maxListRows {
		row, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		get := func(name string) string {
			if i, ok := col[name]; ok && i < len(row) {
				return row[i]
			}
			return ""
		}
		field := strings.ToLower(get("location_found"))
		switch {
		case field == "", field == "body":
			field = "body"
		case strings.HasPrefix(field, "header."):
			field = strings.TrimPrefix(field, "header.")
		default:
			field = strings.TrimSpace(field)
		}
		l.add(get("name"), field, get("scope"), get("pattern"), get("pattern_type"))
	}
	return nil
}

func (l *list) readJSON(data []byte) error {
	if data[0] == '[' {
		var rows []json.RawMessage
		if err := json.Unmarshal(data, &rows); err != nil {
			return err
		}
		for _, row := range rows {
			if err := l.object(row); err != nil {
				return err
			}
		}
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	for n := 1; len(l.prints) < maxListRows; n++ {
		var row json.RawMessage
		err := dec.Decode(&row)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("object %d: %w", n, err)
		}
		if err := l.object(row); err != nil {
			return fmt.Errorf("object %d: %w", n, err)
		}
	}
	return nil
}

func (l *list) object(row json.RawMessage) error {
	var o struct {
		Fingerprint string   `json:"fingerprint"`
		Pattern     string   `json:"pattern"`
		Name        string   `json:"name"`
		List        []string `json:"list"`
	}
	if err := json.Unmarshal(row, &o); err != nil {
		return err
	}
	if o.Fingerprint == "" && len(o.List) > 0 {
		if len(o.List) > maxListRows {
			o.List = o.List[:maxListRows]
		}
		l.prints = append(l.prints, fingerprint{id: o.Name, field: "name", names: o.List})
		return nil
	}
	// Censored Planet names what is no block page "x_...".
	scope := ""
	if strings.HasPrefix(o.Fingerprint, "x_") {
		scope = scopeFP
	}
	l.add(o.Fingerprint, "body", scope, o.Pattern, "regexp")
	return nil
}

func (l *list) add(id, field, scope, pattern, kind string) {
	if pattern == "" || len(pattern) > maxListPattern {
		return
	}
	p := fingerprint{id: id, field: field, scope: strings.ToLower(strings.TrimSpace(scope))}
	switch strings.ToLower(kind) {
	case "full", "prefix", "contains":
		p.plain = pattern
	default:
		if regexp.QuoteMeta(pattern) == pattern {
			p.plain = pattern
			break
		}
		re, err := regexp.Compile("(?s)" + pattern)
		if err != nil {
			return
		}
		p.re = re
	}
	l.prints = append(l.prints, p)
}

// match holds a view against the list; false-positive rows are left out of the class by the caller.
func (l *list) match(v *View, found func(p *fingerprint, offset int)) {
	body := string(v.Body)
	if len(body) == 0 && v.Page != nil {
		body = v.Page.FullTitle + "\n" + v.Page.Title + "\n" + v.Page.Visible
	}
	if len(body) > maxListText {
		body = body[:maxListText]
	}
	for i := range l.prints {
		p := &l.prints[i]
		switch p.field {
		case "body":
			if at := p.find(body); at >= 0 {
				found(p, at)
			}
		case "name":
			if names(v.Observation, p.names) {
				found(p, -1)
			}
		default:
			if h, ok := v.Observation.Headers[p.field]; ok && p.find(h) >= 0 {
				found(p, -1)
			}
		}
	}
}

func (p *fingerprint) find(s string) int {
	if s == "" {
		return -1
	}
	if p.re == nil {
		return strings.Index(s, p.plain)
	}
	if at := p.re.FindStringIndex(s); at != nil {
		return at[0]
	}
	return -1
}

// names reports whether an address or name that the resolver gave stands in the list.
func names(o *survey.Observation, list []string) bool {
	for _, q := range o.DNS {
		if q.Type == "NS" {
			continue // a delegation is no address that the resolver gave
		}
		for _, a := range q.Answers {
			data := strings.ToLower(strings.TrimSuffix(a.Data, "."))
			for _, n := range list {
				n = strings.ToLower(strings.TrimPrefix(n, "."))
				if data == strings.TrimSuffix(n, "/32") || a.Type == "CNAME" && strings.HasSuffix(data, "."+n) {
					return true
				}
			}
		}
	}
	return false
}
