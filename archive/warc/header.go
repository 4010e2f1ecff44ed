package warc

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Version is what the package writes when a header names no version.
const Version = "WARC/1.1"

// Names of the fields of WARC 1.1, section 5, and of the two extensions in common use.
const (
	FieldType          = "WARC-Type"
	FieldRecordID      = "WARC-Record-ID"
	FieldDate          = "WARC-Date"
	FieldContentLength = "Content-Length"
	FieldContentType   = "Content-Type"
	FieldConcurrentTo  = "WARC-Concurrent-To"
	FieldBlockDigest   = "WARC-Block-Digest"
	FieldPayloadDigest = "WARC-Payload-Digest"
	FieldIPAddress     = "WARC-IP-Address"
	FieldRefersTo      = "WARC-Refers-To"
	FieldRefersToURI   = "WARC-Refers-To-Target-URI"
	FieldRefersToDate  = "WARC-Refers-To-Date"
	FieldTargetURI     = "WARC-Target-URI"
	FieldTruncated     = "WARC-Truncated"
	FieldWarcinfoID    = "WARC-Warcinfo-ID"
	FieldFilename      = "WARC-Filename"
	FieldProfile       = "WARC-Profile"
	FieldPayloadType   = "WARC-Identified-Payload-Type"
	FieldSegmentNumber = "WARC-Segment-Number"
	FieldSegmentOrigin = "WARC-Segment-Origin-ID"
	FieldSegmentLength = "WARC-Segment-Total-Length"
	FieldProtocol      = "WARC-Protocol"
	FieldCipherSuite   = "WARC-Cipher-Suite"
)

// Record types of WARC 1.1, section 6. Others are legal in files and kept as they are.
const (
	Warcinfo     = "warcinfo"
	Response     = "response"
	Resource     = "resource"
	Request      = "request"
	Metadata     = "metadata"
	Revisit      = "revisit"
	Conversion   = "conversion"
	Continuation = "continuation"
)

// Profiles of revisit records (WARC 1.1, section 6.7).
const (
	ProfileIdentical   = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
	ProfileNotModified = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
)

// RevisitKind is what a revisit's profile means, whichever of its spellings a file has.
type RevisitKind int

// The kinds of revisit.
const (
	RevisitUnknown RevisitKind = iota
	RevisitIdentical
	RevisitNotModified
)

// KindOfProfile maps every profile URI seen in files to its kind: 1.1, 1.0, the misprinted 1.1 form without "revisit/"
// (errata, issue 36 of the specification), and WARC/0.18.
func KindOfProfile(profile string) RevisitKind {
	switch last := profile[strings.LastIndexByte(profile, '/')+1:]; strings.ToLower(strings.TrimRight(last, "> ")) {
	case "identical-payload-digest":
		return RevisitIdentical
	case "server-not-modified":
		return RevisitNotModified
	}
	return RevisitUnknown
}

// Field is one named field of a record's header.
type Field struct{ Name, Value string }

// Header is the head of a record: the version and the fields in their order. The zero value is an empty WARC/1.1 header.
// Names compare without regard to case.
type Header struct {
	version string
	fields  []Field
	raw     string // the head as it was read, while nothing changed it and nothing was wrong with it
}

// Version returns the version line, "WARC/1.1" unless the header was read from a file that says otherwise.
func (h *Header) Version() string {
	if h.version == "" {
		return Version
	}
	return h.version
}

// SetVersion sets the version line, such as "WARC/1.0".
func (h *Header) SetVersion(v string) { h.version, h.raw = v, "" }

// Fields returns a copy of the fields in their order.
func (h *Header) Fields() []Field { return slices.Clone(h.fields) }

// Len is the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// Get returns the first value of the named field, or "".
func (h *Header) Get(name string) string {
	for i := range h.fields {
		if equalName(h.fields[i].Name, name) {
			return h.fields[i].Value
		}
	}
	return ""
}

// equalName is strings.EqualFold with the quick ways first: most comparisons are of equal or of different length.
func equalName(a, b string) bool {
	return len(a) == len(b) && (a == b || strings.EqualFold(a, b))
}

// Has reports whether the field is there, be it empty.
func (h *Header) Has(name string) bool {
	return slices.ContainsFunc(h.fields, func(f Field) bool { return equalName(f.Name, name) })
}

// Values returns all values of the named field.
func (h *Header) Values(name string) []string {
	var v []string
	for _, f := range h.fields {
		if equalName(f.Name, name) {
			v = append(v, f.Value)
		}
	}
	return v
}

// Set gives the field one value: the first occurrence keeps its place, further ones go, a new field is appended.
func (h *Header) Set(name, value string) {
	h.raw = ""
	found := false
	out := h.fields[:0]
	for _, f := range h.fields {
		if equalName(f.Name, name) {
			if found {
				continue
			}
			found, f.Value = true, value
		}
		out = append(out, f)
	}
	if !found {
		out = append(out, Field{name, value})
	}
	h.fields = out
}

// Add appends a field.
func (h *Header) Add(name, value string) {
	h.raw = ""
	h.fields = append(h.fields, Field{name, value})
}

// Del removes every occurrence of the field.
func (h *Header) Del(name string) {
	h.raw = ""
	h.fields = slices.DeleteFunc(h.fields, func(f Field) bool { return equalName(f.Name, name) })
}

// Clone returns a copy that shares nothing with h.
func (h *Header) Clone() Header {
	return Header{version: h.version, fields: slices.Clone(h.fields), raw: h.raw}
}

// Type returns the record type.
func (h *Header) Type() string { return strings.ToLower(h.Get(FieldType)) }

// ID returns the record ID without its angle brackets.
func (h *Header) ID() string { return Bare(h.Get(FieldRecordID)) }

// SetID sets the record ID, with or without brackets given.
func (h *Header) SetID(id string) { h.Set(FieldRecordID, Angle(id)) }

// Date returns the WARC-Date; the zero time when there is none that can be read.
func (h *Header) Date() time.Time {
	t, _ := ParseDate(h.Get(FieldDate))
	return t
}

// SetDate sets the WARC-Date, to the millisecond: the finest that all readers round alike (W5).
func (h *Header) SetDate(t time.Time) { h.Set(FieldDate, FormatDate(t)) }

// TargetURI returns the target URI with the quirks of writers taken away: angle brackets (WARC 1.0's grammar asked for
// them, wget writes them) and blanks, which become %20.
func (h *Header) TargetURI() string {
	u := Bare(h.Get(FieldTargetURI))
	if strings.ContainsRune(u, ' ') {
		u = strings.ReplaceAll(u, " ", "%20")
	}
	return u
}

// ContentLength returns the declared length of the block; ok is false when the field is missing or no number.
func (h *Header) ContentLength() (n int64, ok bool) {
	// "6\r\n " reads as "6": jwarc and solrwayback#333 met lengths with blanks and folded tails.
	n, err := strconv.ParseInt(strings.TrimSpace(h.Get(FieldContentLength)), 10, 64)
	return n, err == nil && n >= 0
}

// Append appends the head as it stands in a file: version line, fields, blank line.
func (h *Header) Append(b []byte) []byte {
	if h.raw != "" {
		return append(b, h.raw...)
	}
	b = append(b, h.Version()...)
	b = append(b, "\r\n"...)
	for _, f := range h.fields {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// String returns the head as it stands in a file.
func (h *Header) String() string { return string(h.Append(nil)) }

// NewRecordID returns a fresh record ID, "urn:uuid:" and a random UUID (version 4), without angle brackets.
func NewRecordID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails, by its contract since Go 1.24
	return formatUUID(u, 4)
}

func formatUUID(u [16]byte, version byte) string {
	u[6] = u[6]&0x0f | version<<4
	u[8] = u[8]&0x3f | 0x80
	var b [45]byte
	copy(b[:], "urn:uuid:")
	hex.Encode(b[9:17], u[0:4])
	b[17] = '-'
	hex.Encode(b[18:22], u[4:6])
	b[22] = '-'
	hex.Encode(b[23:27], u[6:8])
	b[27] = '-'
	hex.Encode(b[28:32], u[8:10])
	b[32] = '-'
	hex.Encode(b[33:45], u[10:16])
	return string(b[:])
}

// Angle puts an ID into the angle brackets its fields need, once.
func Angle(id string) string {
	if strings.HasPrefix(id, "<") {
		return id
	}
	return "<" + id + ">"
}

// Bare takes angle brackets away.
func Bare(id string) string {
	if len(id) >= 2 && id[0] == '<' && id[len(id)-1] == '>' {
		return id[1 : len(id)-1]
	}
	return id
}

// FormatDate formats a WARC-Date in UTC with milliseconds.
func FormatDate(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// ParseDate reads a WARC-Date: 1.1 with any number of fraction digits, 1.0, the reduced precision 1.1 allows, an offset
// in place of Z, and the 8 to 17 digits of ARC.
func ParseDate(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if len(s) >= 8 && strings.Trim(s, "0123456789") == "" {
		d := s
		if len(d) > 14 {
			d = d[:14] // what follows are fractions, or noise (warcio's bad.arc has 18 digits)
		}
		if t, err := time.Parse("20060102150405"[:len(d)], d); err == nil && len(d)%2 == 0 {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("no WARC date: %q", s)
}

// HeaderError is a header the writer refuses, naming the field and the rule of WARC 1.1.
type HeaderError struct {
	Field, Value, Rule string
}

func (e *HeaderError) Error() string {
	return fmt.Sprintf("warc: field %s with value %q: %s", e.Field, e.Value, e.Rule)
}

// checkShape enforces what keeps a file parseable whoever's record it is: names are tokens, values are one line of
// UTF-8 without control octets that end it (WARC 1.1, section 4). It stands between hostile text and header injection.
func (h *Header) checkShape() error {
	if v := h.Version(); !isVersion([]byte(v)) {
		return &HeaderError{"version", v, "is not WARC/ and two numbers"}
	}
	for _, f := range h.fields {
		if !isToken(f.Name) {
			return &HeaderError{f.Name, f.Value, "the name is no token (section 4)"}
		}
		if strings.ContainsAny(f.Value, "\r\n\x00") {
			return &HeaderError{f.Name, f.Value, "CR, LF and NUL cannot stand in a value (section 4)"}
		}
		if !utf8.ValidString(f.Value) {
			return &HeaderError{f.Name, f.Value, "is not UTF-8 (section 4)"}
		}
		if strings.TrimSpace(f.Value) != f.Value {
			return &HeaderError{f.Name, f.Value, "blanks at the ends would be lost in reading (section 4)"}
		}
	}
	return nil
}

// check enforces WARC 1.1, section 5, on a header about to be written.
func (h *Header) check(blockSize int64) error {
	if err := h.checkShape(); err != nil {
		return err
	}
	typ := h.Type()
	for i, f := range h.fields {
		if equalName(f.Name, FieldConcurrentTo) || equalName(f.Name, FieldProtocol) {
			continue
		}
		for _, g := range h.fields[:i] {
			if equalName(f.Name, g.Name) {
				return &HeaderError{f.Name, f.Value, "stands twice (section 5.1)"}
			}
		}
	}
	for _, name := range []string{FieldRecordID, FieldDate, FieldType} {
		if h.Get(name) == "" {
			return &HeaderError{name, "", "is mandatory (section 5)"}
		}
	}
	if h.Get(FieldType) != typ {
		return &HeaderError{FieldType, h.Get(FieldType), "is not lower case (section 5.5)"}
	}
	if blockSize > 0 && h.Get(FieldContentType) == "" {
		return &HeaderError{FieldContentType, "", "is needed on a block that is not empty (section 5.6)"}
	}
	for _, f := range h.fields {
		if rule := fieldRule(typ, f); rule != "" {
			return &HeaderError{f.Name, f.Value, rule}
		}
	}
	switch typ {
	case Response, Resource, Request, Revisit, Conversion, Continuation:
		if !h.Has(FieldTargetURI) {
			return &HeaderError{FieldTargetURI, "", "is mandatory on a " + typ + " record (section 5.14)"}
		}
	}
	if typ == Revisit {
		profile := h.Get(FieldProfile)
		if profile == "" {
			return &HeaderError{FieldProfile, "", "is mandatory on a revisit record (section 6.7)"}
		}
		if KindOfProfile(profile) == RevisitIdentical && !h.Has(FieldPayloadDigest) {
			return &HeaderError{FieldPayloadDigest, "", "is mandatory on a revisit by payload digest (section 6.7.2)"}
		}
	}
	return nil
}

// fieldRule returns the rule a field breaks on a record of that type, or "".
func fieldRule(typ string, f Field) string {
	on := func(types ...string) bool { return slices.Contains(types, typ) }
	switch {
	case equalName(f.Name, FieldRecordID):
		return idRule(f.Value)
	case equalName(f.Name, FieldWarcinfoID):
		if on(Warcinfo) {
			return "cannot stand on a warcinfo record (section 5.17)"
		}
		return idRule(f.Value)
	case equalName(f.Name, FieldConcurrentTo):
		if on(Warcinfo, Conversion, Continuation) {
			return "cannot stand on a " + typ + " record (section 5.7)"
		}
		return idRule(f.Value)
	case equalName(f.Name, FieldRefersTo):
		if on(Warcinfo, Response, Resource, Request, Continuation) {
			return "cannot stand on a " + typ + " record (section 5.11)"
		}
		return idRule(f.Value)
	case equalName(f.Name, FieldRefersToURI):
		if on(Warcinfo, Response, Resource, Request, Metadata, Conversion, Continuation) {
			return "stands on revisit records only (section 5.12)"
		}
		return uriRule(f.Value)
	case equalName(f.Name, FieldRefersToDate):
		if on(Warcinfo, Response, Resource, Request, Metadata, Conversion, Continuation) {
			return "stands on revisit records only (section 5.13)"
		}
		return dateRule(f.Value)
	case equalName(f.Name, FieldDate):
		return dateRule(f.Value)
	case equalName(f.Name, FieldTargetURI):
		if on(Warcinfo) {
			return "cannot stand on a warcinfo record (section 5.14)"
		}
		return uriRule(f.Value)
	case equalName(f.Name, FieldIPAddress):
		if on(Warcinfo, Conversion, Continuation) {
			return "cannot stand on a " + typ + " record (section 5.10)"
		}
		if a, err := netip.ParseAddr(f.Value); err != nil || a.String() != f.Value || a.Zone() != "" {
			return "is no IP address in its usual text (section 5.10, RFC 5952)"
		}
	case equalName(f.Name, FieldTruncated):
		if !slices.Contains([]string{"length", "time", "disconnect", "unspecified"}, f.Value) {
			return "is not length, time, disconnect or unspecified (section 5.15)"
		}
	case equalName(f.Name, FieldFilename):
		if !on(Warcinfo) {
			return "stands on warcinfo records only (section 5.18)"
		}
		if f.Value == "" || strings.HasSuffix(f.Value, ".open") {
			return "is the final name of the file (guidelines, recommendation 3)"
		}
	case equalName(f.Name, FieldProfile):
		if on(Warcinfo, Response, Resource, Request, Metadata, Conversion, Continuation) {
			return "stands on revisit records only (section 5.19)"
		}
		return uriRule(f.Value)
	case equalName(f.Name, FieldBlockDigest):
		return digestRule(f.Value)
	case equalName(f.Name, FieldPayloadDigest):
		if on(Warcinfo, Metadata) {
			return "has no meaning on a " + typ + " record, which has no payload (section 5.9)"
		}
		return digestRule(f.Value)
	case equalName(f.Name, FieldSegmentNumber):
		if n, err := strconv.ParseUint(f.Value, 10, 31); err != nil || n == 0 || (n == 1) == on(Continuation) {
			return "is 1 on the first segment and more on continuations (section 5.20)"
		}
	case equalName(f.Name, FieldSegmentOrigin), equalName(f.Name, FieldSegmentLength):
		if !on(Continuation) {
			return "stands on continuation records only (sections 5.21, 5.22)"
		}
	case equalName(f.Name, FieldContentType), equalName(f.Name, FieldPayloadType):
		if f.Value == "" {
			return "is empty (section 5.6)"
		}
	}
	return ""
}

func idRule(v string) string {
	if len(v) < 3 || v[0] != '<' || v[len(v)-1] != '>' {
		return "is no URI in angle brackets (section 5.2)"
	}
	return uriRule(v[1 : len(v)-1])
}

func uriRule(v string) string {
	if strings.HasPrefix(v, "<") {
		return "stands without angle brackets in WARC 1.1 (section 5.14)"
	}
	for i := 0; i < len(v); i++ {
		if c := v[i]; c <= ' ' || c == 0x7f {
			return "has an octet no URI can have; percent-encode it (section 4)"
		}
	}
	// The scheme alone is looked at: an archived URL may be anything a server understood.
	i := strings.IndexByte(v, ':')
	if i <= 0 || strings.ContainsAny(v[:i], "/?#%") {
		return "is not absolute (section 5.14)"
	}
	if _, err := url.Parse(v[:i] + ":x"); err != nil {
		return "is not absolute (section 5.14)"
	}
	if strings.IndexByte(v, '#') >= 0 {
		return "carries a fragment, which names no resource (section 5.14)"
	}
	return ""
}

func dateRule(v string) string {
	const form = "2006-01-02T15:04:05"
	if len(v) > len(form) && v[len(v)-1] == 'Z' {
		if _, err := time.Parse(time.RFC3339Nano, v); err == nil && (v[len(form)] == 'Z' || v[len(form)] == '.') && len(v) <= len(form)+11 {
			return ""
		}
	}
	return "is no UTC time to the second with at most 9 fraction digits (section 5.4)"
}

func digestRule(v string) string {
	d, err := ParseDigest(v)
	if err != nil {
		return "is no labelled digest (section 5.8)"
	}
	if d.Known() && d.String() != v {
		return "is not in the form all readers take: sha1 in Base32 upper case, the others in hex lower case"
	}
	return ""
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?={}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isVersion reports whether the line is "WARC/" digits "." digits.
func isVersion(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("WARC/"))
	if !ok || len(rest) > 8 {
		return false
	}
	major, minor, ok := bytes.Cut(rest, []byte("."))
	return ok && isDigits(major) && isDigits(minor)
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
