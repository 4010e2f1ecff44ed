package warc

import (
	"fmt"
	"slices"
	"strconv"
)

// Segment is one part of a record that was written in several (WARC 1.1, section 7).
type Segment struct {
	Number int
	Offset int64 // of the part's record
	Length int64
	Block  int64 // octets of the part's block
	total  int64
}

// Joiner collects the segments of a file's records, so that a segmented record can be put together, or is known to lack
// a part. This package never writes segments.
type Joiner struct{ parts map[string][]Segment }

// NewJoiner returns an empty Joiner.
func NewJoiner() *Joiner { return &Joiner{parts: make(map[string][]Segment)} }

// Add notes the record if it is a segment. It reads the rest of the record, for its length.
func (j *Joiner) Add(rec *Record) error {
	n, err := strconv.ParseUint(rec.Header.Get(FieldSegmentNumber), 10, 31)
	if err != nil || n == 0 {
		return nil
	}
	id := rec.Header.ID()
	if rec.Header.Type() == Continuation {
		id = Bare(rec.Header.Get(FieldSegmentOrigin))
	}
	if err := rec.Close(); err != nil {
		return err
	}
	block, _ := rec.Header.ContentLength()
	s := Segment{Number: int(n), Offset: rec.Offset, Length: rec.Length, Block: block, total: -1}
	if t, err := strconv.ParseInt(rec.Header.Get(FieldSegmentLength), 10, 64); err == nil {
		s.total = t
	}
	j.parts[id] = append(j.parts[id], s)
	return nil
}

// IDs returns the IDs of the segmented records, sorted.
func (j *Joiner) IDs() []string {
	ids := make([]string, 0, len(j.parts))
	for id := range j.parts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Segments returns the parts of a record in order, and what is missing.
func (j *Joiner) Segments(id string) ([]Segment, []Finding) {
	parts := slices.Clone(j.parts[id])
	slices.SortStableFunc(parts, func(a, b Segment) int { return a.Number - b.Number })
	parts = slices.CompactFunc(parts, func(a, b Segment) bool { return a.Number == b.Number })
	var findings []Finding
	missing := func(offset int64, message string) {
		findings = append(findings, Finding{Offset: offset, Kind: KindSegment, Field: FieldSegmentNumber, Message: message, Fatal: true})
	}
	if len(parts) == 0 {
		missing(0, "no segment of "+id)
		return nil, findings
	}
	sum := int64(0)
	for i, p := range parts {
		if p.Number != i+1 && (i == 0 || p.Number != parts[i-1].Number+1) {
			missing(p.Offset, fmt.Sprintf("a segment before %d of %s is missing", p.Number, id))
		}
		sum += p.Block
	}
	switch last := parts[len(parts)-1]; {
	case last.total < 0:
		missing(last.Offset, "the last segment of "+id+" is missing")
	case last.total != sum && len(findings) == 0:
		findings = append(findings, Finding{Offset: last.Offset, Kind: KindSegment, Field: FieldSegmentLength,
			Expected: fmt.Sprint(last.total), Computed: fmt.Sprint(sum), Message: "of " + id, Fatal: true})
	}
	return parts, findings
}
