package message

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mirrorwatch/crawler/survey"
)

// ErrNoStatusLine says that the bytes do not begin with anything a client could take for a status line.
var ErrNoStatusLine = errors.New("no HTTP status line")

// Head is the head of a response. Field lines keep their order, case and repeats.
type Head struct {
	Proto  string // as sent, "HTTP/1.1"
	Status int    // 100 to 999
	Reason string
	Fields []survey.Field
	// Len counts the octets of the head, blank line included; all of the input when the blank line is missing.
	Len int
	// Findings name what deviates from RFC 9112, each kind once, in the order found.
	Findings []string
}

// Names of findings.
const (
	FindingLeadingEmptyLine = "leading empty line"
	FindingBareLF           = "line ends without CR"
	FindingNoReason         = "status line without reason separator"
	FindingProto            = "unusual protocol version"
	FindingStatusSpace      = "unusual space in status line"
	FindingNoColon          = "field line without colon"
	FindingFolded           = "folded field line"
	FindingNameSpace        = "space around field name"
	FindingBadName          = "field name with forbidden characters"
	FindingControl          = "control character in field value"
	FindingNoBlankLine      = "head without blank line"
)

// EndOfHead returns the offset behind the blank line that ends the head in b, or -1 when it is not there yet. Lines may end
// in CRLF or LF, mixed at will. Empty lines before the status line are no end (RFC 9112 section 2.2).
func EndOfHead(b []byte) int {
	end, _ := ScanHead(b, 0)
	return end
}

// ScanHead is EndOfHead for a head that arrives in pieces: from is where the last scan stopped (0 at first), and next is
// where to go on when end is -1. It looks at each octet about once.
func ScanHead(b []byte, from int) (end, next int) {
	i := from
	for i < len(b) {
		nl := bytes.IndexByte(b[i:], '\n')
		if nl < 0 {
			return -1, i
		}
		line := b[i : i+nl]
		i += nl + 1
		if (len(line) == 0 || len(line) == 1 && line[0] == '\r') && !blank(b[:i]) {
			return i, i
		}
	}
	return -1, i
}

// blank reports whether b holds line ends only. It stops at the first other octet.
func blank(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// ParseHead reads the response head at the start of b. It accepts what browsers accept: lines ending in LF alone, a missing
// reason, "HTTP/2 200" and "ICY 200", lines without a colon (dropped), folded lines (joined by a space), space before the
// colon, a head that was cut. It fails only when there is no status line.
func ParseHead(b []byte) (Head, error) { return parseHead(b, false) }

// parseHead is ParseHead; of what is stored, a status of 0 is taken too: Browsertrix writes it where it knew none.
func parseHead(b []byte, stored bool) (Head, error) {
	var h Head
	rest := b
	for len(rest) > 0 && (rest[0] == '\r' || rest[0] == '\n') {
		h.find(FindingLeadingEmptyLine)
		rest = rest[1:]
	}
	line, rest, whole := h.line(rest)
	if err := h.statusLine(line, stored); err != nil {
		return Head{Len: len(b)}, err
	}
	for {
		if !whole {
			h.find(FindingNoBlankLine)
			break
		}
		line, rest, whole = h.line(rest)
		if len(line) == 0 {
			if !whole {
				h.find(FindingNoBlankLine)
			}
			break
		}
		h.field(line)
	}
	h.Len = len(b) - len(rest)
	return h, nil
}

// line cuts the next line off b; whole is false when b ended before a line end.
func (h *Head) line(b []byte) (line, rest []byte, whole bool) {
	nl := bytes.IndexByte(b, '\n')
	if nl < 0 {
		return bytes.TrimSuffix(b, []byte{'\r'}), nil, false
	}
	line, rest = b[:nl], b[nl+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], rest, true
	}
	h.find(FindingBareLF)
	return line, rest, true
}

func (h *Head) statusLine(line []byte, stored bool) error {
	s := string(line)
	proto, after, ok := cutSpace(s)
	version, isHTTP := cutPrefixFold(proto, "HTTP/")
	if !isHTTP && !survey.EqualFold(proto, "HTTP") && !survey.EqualFold(proto, "ICY") {
		return fmt.Errorf("%w: %q", ErrNoStatusLine, clip(s))
	}
	if !ok {
		return fmt.Errorf("%w: no status code in %q", ErrNoStatusLine, clip(s))
	}
	if (version != "1.1" && version != "1.0") || !strings.HasPrefix(proto, "HTTP/") {
		h.find(FindingProto)
	}
	if trimmed := strings.TrimLeft(after, " \t"); trimmed != after {
		h.find(FindingStatusSpace)
		after = trimmed
	}
	code, reason, ok := cutSpace(after)
	if !ok {
		h.find(FindingNoReason)
	}
	n, err := strconv.Atoi(code)
	unknown := stored && (code == "0" || code == "000")
	if !unknown && (err != nil || len(code) != 3 || n < 100) {
		return fmt.Errorf("%w: status code %q", ErrNoStatusLine, clip(code))
	}
	h.Proto, h.Status, h.Reason = proto, n, strings.TrimSpace(reason)
	return nil
}

func (h *Head) field(line []byte) {
	if line[0] == ' ' || line[0] == '\t' {
		if v := strings.Trim(string(line), " \t"); len(h.Fields) > 0 {
			h.find(FindingFolded)
			last := &h.Fields[len(h.Fields)-1]
			last.Value = strings.TrimLeft(last.Value+" "+v, " ")
			return
		}
		h.find(FindingNameSpace)
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		h.find(FindingNoColon)
		return
	}
	s := string(line)
	name, value := s[:colon], strings.Trim(s[colon+1:], " \t")
	if t := strings.Trim(name, " \t"); t != name {
		h.find(FindingNameSpace)
		name = t
	}
	if !token(name) {
		h.find(FindingBadName)
	}
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			h.find(FindingControl)
			break
		}
	}
	h.Fields = append(h.Fields, survey.Field{Name: name, Value: value})
}

func (h *Head) find(what string) {
	for _, f := range h.Findings {
		if f == what {
			return
		}
	}
	h.Findings = append(h.Findings, what)
}

// Get returns the first value of the field, names compared without case; "" when absent.
func (h Head) Get(name string) string {
	for _, f := range h.Fields {
		if survey.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Values returns all values of the field in order.
func (h Head) Values(name string) []string {
	var values []string
	for _, f := range h.Fields {
		if survey.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// HasToken reports whether the comma-separated list in the named fields holds token, compared without case.
func (h Head) HasToken(name, token string) bool {
	for _, f := range h.Fields {
		if !survey.EqualFold(f.Name, name) {
			continue
		}
		for item := range strings.SplitSeq(f.Value, ",") {
			if survey.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// Chunked reports whether the final transfer coding is chunked (RFC 9112 section 6.1).
func (h Head) Chunked() bool {
	last := ""
	for _, f := range h.Fields {
		if survey.EqualFold(f.Name, "Transfer-Encoding") {
			last = f.Value
		}
	}
	if i := strings.LastIndexByte(last, ','); i >= 0 {
		last = last[i+1:]
	}
	return survey.EqualFold(strings.Trim(last, " \t"), "chunked")
}

// ErrContentLength says that the Content-Length fields are no number or differ from one another (RFC 9112 section 6.3: such a
// response must not be taken as framed).
var ErrContentLength = errors.New("invalid Content-Length")

// ContentLength returns the declared length, -1 when none is declared. Equal repeats count as one.
func (h Head) ContentLength() (int64, error) {
	length := int64(-1)
	for _, f := range h.Fields {
		if !survey.EqualFold(f.Name, "Content-Length") {
			continue
		}
		for item := range strings.SplitSeq(f.Value, ",") {
			item = strings.Trim(item, " \t")
			n, err := strconv.ParseUint(item, 10, 63)
			if err != nil {
				return -1, fmt.Errorf("%w: %q", ErrContentLength, clip(f.Value))
			}
			if length >= 0 && int64(n) != length {
				return -1, fmt.Errorf("%w: %d and %d", ErrContentLength, length, n)
			}
			length = int64(n)
		}
	}
	return length, nil
}

// MediaType returns the media type of a Content-Type value: lower case, without parameters.
func MediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

func cutSpace(s string) (before, after string, found bool) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !survey.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// token reports whether s is a token of RFC 9110 section 5.6.2.
func token(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// clip shortens hostile text for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
