// Package cdxj is the index of web archives: CDXJ lines, keys in the SURT form, and look-up by binary search in sorted
// text files of any size.
//
// A line is a key, a timestamp and a JSON object of strings. Files are sorted by octets (LC_ALL=C). One WARC file has one
// index file beside it; a [Set] merges small ones into bigger ones. Digest files are the same with digests for keys.
package cdxj

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Line is one line of an index.
type Line struct {
	Key       string // SURT, or a digest in a digest file
	Timestamp string // UTC, 14 digits; 17 with milliseconds

	URL          string
	MIME         string
	Status       string // of HTTP; "" or "-" where there is none
	Digest       string // of the payload, labelled
	RecordDigest string
	RecordID     string // "urn:uuid:...", our addition
	Filename     string // relative to the archive folder
	Offset       int64
	Length       int64
	Method       string // "" is GET
	RequestBody  string
	Referrer     string
	Location     string // of a redirect, resolved; our addition
	// Extra holds every other member. A value that is no string is held as its JSON text.
	Extra map[string]string
}

// ErrLine is a line that is no CDXJ.
var ErrLine = errors.New("cdxj: no index line")

// Time returns the timestamp as a time, the zero time when it is none.
func (l *Line) Time() time.Time {
	t, _ := ParseTimestamp(l.Timestamp)
	return t
}

// Timestamp formats a time as 14 digits, or 17 when it has milliseconds.
func Timestamp(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond() < 1e6 {
		return t.Format("20060102150405")
	}
	return t.Format("20060102150405") + t.Format(".000")[1:]
}

// ParseTimestamp reads 4 to 17 digits, each pair missing from the right taken as the earliest.
func ParseTimestamp(s string) (time.Time, error) {
	if len(s) < 4 || len(s) > 17 || strings.Trim(s, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("cdxj: no timestamp: %q", s)
	}
	full := s
	if len(full) < 14 {
		full += "00000101000000"[len(full):]
		if len(s)%2 == 1 {
			return time.Time{}, fmt.Errorf("cdxj: no timestamp: %q", s)
		}
	}
	t, err := time.Parse("20060102150405", full[:14])
	if err != nil {
		return time.Time{}, fmt.Errorf("cdxj: no timestamp: %q", s)
	}
	if ms := full[14:]; ms != "" {
		n, _ := strconv.Atoi((ms + "00")[:3])
		t = t.Add(time.Duration(n) * time.Millisecond)
	}
	return t, nil
}

// Append appends the line with its line end. Members stand in a fixed order, Extra sorted: equal lines are equal octets.
// What cannot stand in a column is percent-encoded.
func (l *Line) Append(b []byte) []byte {
	b = append(b, column(l.Key)...)
	b = append(b, ' ')
	b = append(b, column(l.Timestamp)...)
	b = append(b, ' ', '{')
	first := true
	member := func(name, value string) {
		if !first {
			b = append(b, ',', ' ')
		}
		first = false
		b = appendString(b, name)
		b = append(b, ':', ' ')
		b = appendString(b, value)
	}
	text := func(name, value string) {
		if value != "" {
			member(name, value)
		}
	}
	text("url", l.URL)
	text("mime", l.MIME)
	text("status", l.Status)
	text("digest", l.Digest)
	if l.Length != 0 || l.Filename != "" {
		member("length", strconv.FormatInt(l.Length, 10))
	}
	if l.Offset != 0 || l.Filename != "" {
		member("offset", strconv.FormatInt(l.Offset, 10))
	}
	text("filename", l.Filename)
	text("recordDigest", l.RecordDigest)
	text("recordID", l.RecordID)
	text("method", l.Method)
	text("requestBody", l.RequestBody)
	text("referrer", l.Referrer)
	text("location", l.Location)
	if len(l.Extra) > 0 {
		names := make([]string, 0, len(l.Extra))
		for name := range l.Extra {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			member(name, l.Extra[name])
		}
	}
	return append(b, '}', '\n')
}

func column(s string) string {
	if s == "" {
		return "-"
	}
	return safe(s)
}

// Parse reads a line, with or without its line end. It accepts every JSON value in the object: numbers and strings alike
// for offset and length, as other tools write them.
func Parse(line []byte) (Line, error) {
	// One string for the line; keys and values without escapes are parts of it.
	return parse(strings.TrimRight(string(line), "\r\n"))
}

func parse(s string) (l Line, err error) {
	key, rest, ok := strings.Cut(s, " ")
	ts, object, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || key == "" || ts == "" {
		return l, ErrLine
	}
	l.Key, l.Timestamp = key, ts
	p := parser{s: object}
	if err := p.object(&l); err != nil {
		return Line{}, err
	}
	return l, nil
}

func (l *Line) set(name, value string) error {
	number := func(dst *int64) error {
		if value == "" || value == "-" {
			return nil
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: %s is %.40q", ErrLine, name, value)
		}
		*dst = n
		return nil
	}
	switch name {
	case "url":
		l.URL = value
	case "mime":
		l.MIME = value
	case "status":
		l.Status = value
	case "digest":
		l.Digest = value
	case "length":
		return number(&l.Length)
	case "offset":
		return number(&l.Offset)
	case "filename":
		l.Filename = value
	case "recordDigest":
		l.RecordDigest = value
	case "recordID":
		l.RecordID = value
	case "method":
		l.Method = value
	case "requestBody":
		l.RequestBody = value
	case "referrer":
		l.Referrer = value
	case "location":
		l.Location = value
	default:
		if l.Extra == nil {
			l.Extra = make(map[string]string)
		}
		l.Extra[name] = value
	}
	return nil
}

// parser reads one flat JSON object.
type parser struct {
	s string
	i int
}

func (p *parser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) take(c byte) bool {
	p.space()
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) object(l *Line) error {
	if !p.take('{') {
		return ErrLine
	}
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return ErrLine
		}
		p.space()
		name, err := p.string()
		if err != nil || !p.take(':') {
			return ErrLine
		}
		p.space()
		value, err := p.value()
		if err != nil {
			return err
		}
		if err := l.set(name, value); err != nil {
			return err
		}
	}
	p.space()
	if p.i != len(p.s) {
		return ErrLine
	}
	return nil
}

// value reads a string, or any other value as its text; null is "".
func (p *parser) value() (string, error) {
	if p.i >= len(p.s) {
		return "", ErrLine
	}
	switch p.s[p.i] {
	case '"':
		return p.string()
	case '{', '[':
		start, depth := p.i, 0
		for p.i < len(p.s) {
			switch p.s[p.i] {
			case '"':
				if _, err := p.string(); err != nil {
					return "", err
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					p.i++
					return p.s[start:p.i], nil
				}
			}
			p.i++
		}
		return "", ErrLine
	}
	start := p.i
	for p.i < len(p.s) && strings.IndexByte(",} \t\"", p.s[p.i]) < 0 {
		p.i++
	}
	if p.i == start {
		return "", ErrLine
	}
	if v := p.s[start:p.i]; v != "null" {
		return v, nil
	}
	return "", nil
}

func (p *parser) string() (string, error) {
	if p.i >= len(p.s) || p.s[p.i] != '"' {
		return "", ErrLine
	}
	p.i++
	start := p.i
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			v := p.s[start:p.i]
			p.i++
			return v, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", ErrLine
		}
	}
	return "", ErrLine
}

func (p *parser) escaped(start int) (string, error) {
	b := []byte(p.s[start:p.i])
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		if c == '"' {
			return string(b), nil
		}
		if c < ' ' {
			return "", ErrLine
		}
		if c != '\\' {
			b = append(b, c)
			continue
		}
		if p.i >= len(p.s) {
			return "", ErrLine
		}
		c = p.s[p.i]
		p.i++
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := p.hex4()
			if !ok {
				return "", ErrLine
			}
			if r >= 0xd800 && r < 0xdc00 && strings.HasPrefix(p.s[p.i:], "\\u") {
				save := p.i
				p.i += 2
				if low, ok := p.hex4(); ok && low >= 0xdc00 && low < 0xe000 {
					r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
				} else {
					p.i = save
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", ErrLine
		}
	}
	return "", ErrLine
}

func (p *parser) hex4() (rune, bool) {
	if p.i+4 > len(p.s) {
		return 0, false
	}
	n, err := strconv.ParseUint(p.s[p.i:p.i+4], 16, 16)
	if err != nil {
		return 0, false
	}
	p.i += 4
	return rune(n), true
}

// appendString appends a JSON string in ASCII-safe UTF-8; octets that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			case c < ' ' || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, "\ufffd"...)
		case r == '\u2028' || r == '\u2029' || r == '\u0085':
			b = fmt.Appendf(b, "\\u%04x", r)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return append(b, '"')
}
