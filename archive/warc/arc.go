package warc

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// arcLine is the header line of an ARC record.
type arcLine struct {
	url, ip, date, mime string
	length              int64 // -1 when it is no number
	v2                  bool
}

// parseARC reads a header line of ARC version 1 (URL, IP, date, type, length) or 2 (five more before the length). URLs
// have blanks in real files, types too; so the address and the date beside it are looked for, from the right.
func parseARC(line []byte) (a arcLine, ok bool) {
	if len(line) > 64<<10 {
		return a, false
	}
	f := strings.Fields(string(bytes.TrimRight(line, "\r\n")))
	if len(f) < 4 || !utf8Line(line) {
		return a, false
	}
	for i := len(f) - 3; i >= 1; i-- {
		if !isARCDate(f[i+1]) || !isARCAddress(f[i]) {
			continue
		}
		scheme, _, hasScheme := strings.Cut(f[0], ":")
		if !hasScheme || !isToken(scheme) {
			return a, false
		}
		a.url, a.ip, a.date = strings.Join(f[:i], " "), f[i], f[i+1]
		rest := f[i+2 : len(f)-1]
		if len(rest) == 6-1 && isARCNumber(rest[3]) {
			a.v2 = true
			rest = rest[:1]
		}
		a.mime = strings.Join(rest, " ")
		n, err := strconv.ParseInt(f[len(f)-1], 10, 64)
		if err != nil || n < 0 {
			n = -1
		}
		a.length = n
		return a, true
	}
	return a, false
}

func utf8Line(line []byte) bool { return bytes.IndexByte(line, 0) < 0 }

func isARCDate(s string) bool { return len(s) >= 8 && len(s) <= 28 && isDigits([]byte(s)) }

func isARCNumber(s string) bool { return isDigits([]byte(s)) }

// isARCAddress: some writers put 0 for an address they do not know.
func isARCAddress(s string) bool {
	if s == "0" || s == "-" {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// readARC reads the head of an ARC record.
func (r *Reader) readARC(rec *Record) (*Record, error) {
	line, err := r.readLine(r.opt.MaxHeader)
	if err != nil && len(line) == 0 {
		return nil, r.headless(rec, err)
	}
	line = bytes.Clone(line)
	a, ok := parseARC(line)
	if !ok {
		if err != nil {
			return nil, r.headless(rec, err)
		}
		if r.packing == plain {
			return nil, r.resync(rec.Offset)
		}
		return nil, r.skipInside(rec.Offset, rec.Inside)
	}
	rec.Format = "ARC"
	filedesc := strings.HasPrefix(a.url, "filedesc:")
	first := filedesc && !r.arc
	r.arc = true
	h := &rec.Header
	h.version = "ARC/1"
	if a.v2 {
		h.version = "ARC/2"
	}
	sum := sha256.Sum256(bytes.TrimRight(line, "\r\n"))
	h.fields = []Field{
		{FieldType, Response},
		// The same record gets the same ID whenever and wherever it is read: from its header line.
		{FieldRecordID, Angle(formatUUID([16]byte(sum[:16]), 8))},
	}
	if t, err := ParseDate(a.date); err == nil {
		h.fields = append(h.fields, Field{FieldDate, t.Format("2006-01-02T15:04:05Z")})
		if len(a.date) != 14 {
			r.about(rec, KindDate, FieldDate, fmt.Sprintf("%q does not have 14 digits", a.date), false)
		}
	} else {
		r.about(rec, KindDate, FieldDate, fmt.Sprintf("%q cannot be read", a.date), false)
	}
	if filedesc {
		h.fields[0].Value = Warcinfo
		h.fields = append(h.fields, Field{FieldFilename, strings.TrimPrefix(strings.TrimPrefix(a.url, "filedesc:"), "//")})
	} else {
		h.fields = append(h.fields, Field{FieldTargetURI, a.url})
		if strings.Contains(a.url, " ") {
			r.about(rec, KindTargetURI, FieldTargetURI, "has blanks in it", false)
		}
		if ip, err := netip.ParseAddr(a.ip); err == nil && ip.IsValid() && !ip.IsUnspecified() {
			h.fields = append(h.fields, Field{FieldIPAddress, ip.String()})
		}
	}
	if filedesc {
		a.length = r.versionBlock(rec, a.length, first)
	}
	b, _ := r.mem.Peek(5)
	switch {
	case filedesc:
		h.fields = append(h.fields, Field{FieldContentType, "text/plain"})
	case bytes.HasPrefix(b, []byte("HTTP/")):
		h.fields = append(h.fields, Field{FieldContentType, "application/http;msgtype=response"})
	default:
		h.fields[0].Value = Resource
		if a.mime != "" {
			h.fields = append(h.fields, Field{FieldContentType, a.mime})
		}
	}
	r.block = block{r: r, rec: rec, left: a.length}
	if a.length < 0 {
		r.about(rec, KindLength, FieldContentLength, "the header line has no length", true)
		r.block.left = 0
	}
	h.fields = append(h.fields, Field{FieldContentLength, strconv.FormatInt(r.block.left, 10)})
	rec.Block = &r.block
	r.cur = rec
	r.records++
	if r.records == 2 && !r.shared && r.packing != plain {
		r.shared = true
		r.about(rec, KindSharedMember, "", "several records in one compressed member", false)
	}
	return rec, nil
}

// versionBlock returns the true length of a version block: writers got it wrong, or wrote -1. Its second line, which
// names the columns, is the sign.
func (r *Reader) versionBlock(rec *Record, length int64, first bool) int64 {
	b, _ := r.mem.Peek(2048)
	i := bytes.Index(b, []byte("URL IP-address"))
	if i < 0 || !first {
		return max(length, 0)
	}
	end := bytes.IndexByte(b[i:], '\n')
	if end < 0 {
		return max(length, 0)
	}
	actual := int64(i + end + 1)
	// Too long is as common as too short: the next header line inside the block shows it.
	swallowed := false
	if length > actual {
		rest := b[actual:]
		next := bytes.TrimLeft(rest, "\r\n")
		line, _, ok := bytes.Cut(next, []byte("\n"))
		if _, isARC := parseARC(line); ok && isARC && length > actual+int64(len(rest)-len(next)) {
			swallowed = true
		}
	}
	if (length >= actual && !swallowed) || length == actual-1 {
		return length
	}
	r.about(rec, KindARC, FieldContentLength, fmt.Sprintf("the version block says %d octets and has %d", length, actual), false)
	return actual
}
