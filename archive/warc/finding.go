package warc

import "fmt"

// Kinds of [Finding]. A finding names what is odd, never what to do about it.
const (
	KindCutMember     = "cut-member"      // the file ends inside a compressed member
	KindDamagedMember = "damaged-member"  // a member does not decompress, or its checksum is wrong
	KindSharedMember  = "shared-member"   // several records in one member: not seekable by record (Annex D asks for one each)
	KindSplitRecord   = "split-record"    // one record over several members
	KindGap           = "gap"             // octets that belong to no record were skipped
	KindPadding       = "padding"         // zero octets between or after records
	KindShortBlock    = "short-block"     // fewer octets than Content-Length says
	KindLongBlock     = "long-block"      // more octets than Content-Length says
	KindLength        = "content-length"  // Content-Length missing or no number
	KindTrailer       = "trailer"         // not exactly two line ends after the block
	KindLineEnd       = "line-end"        // LF where CRLF belongs
	KindVersion       = "version"         // a version nobody has published
	KindField         = "field"           // a header line that is no field, or blanks around its name
	KindFolded        = "folded-field"    // a continuation line
	KindDuplicate     = "duplicate-field" // a second value; the first is taken
	KindEncoding      = "encoding"        // a value that is not UTF-8
	KindMissing       = "missing-field"   // a mandatory field is not there
	KindDate          = "date"            // a date that cannot be read
	KindTargetURI     = "target-uri"      // brackets or blanks in the target URI
	KindDigest        = "digest"          // a digest that does not match
	KindDigestForm    = "digest-form"     // a digest that cannot be read or checked
	KindHeaderSize    = "header-size"     // a header over the limit
	KindUnsupported   = "unsupported"     // a compression this package cannot undo
	KindARC           = "arc-header"      // an ARC header line that had to be guessed at
	KindSegment       = "segment"         // a segment of a record is missing
	KindTooMany       = "too-many"        // further findings are counted only
)

// Finding is something odd in a file: data, not an error, since the reader goes on after it.
type Finding struct {
	// Offset is where in the file: the record's (its member's) start, or the start of skipped octets.
	Offset   int64
	Kind     string
	Field    string // the header field, where it is about one
	Expected string
	Computed string
	Message  string
	// Fatal says that content is lost or wrong, not merely written in an unusual way.
	Fatal bool
}

// String describes the finding in one line.
func (f Finding) String() string {
	s := fmt.Sprintf("at %d: %s", f.Offset, f.Kind)
	if f.Field != "" {
		s += " " + f.Field
	}
	if f.Message != "" {
		s += ": " + f.Message
	}
	if f.Expected != "" || f.Computed != "" {
		s += fmt.Sprintf(" (expected %q, found %q)", f.Expected, f.Computed)
	}
	return s
}
