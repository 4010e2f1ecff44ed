package warc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// Defaults of [ReaderOptions].
const (
	DefaultMaxHeader   = 1 << 20
	DefaultMaxFindings = 1000
)

// ReaderOptions say how to read. The zero value reads everything and checks no digests.
type ReaderOptions struct {
	// MaxHeader bounds a record's header in octets; 0 is DefaultMaxHeader. A larger one is skipped with a finding.
	MaxHeader int
	// MaxFindings bounds the findings kept between two calls of Findings; 0 is DefaultMaxFindings.
	MaxFindings int
	// Digests verifies WARC-Block-Digest while a block is read; Next reads the rest of a block nobody read.
	Digests bool
	// Offset is added to all offsets: where r starts in the file.
	Offset int64
	// Dictionary is the zstd dictionary of a .warc.zst that is read from its middle.
	Dictionary []byte

	buffer int // octets read at once
}

// Record is one record as it is being read. It is valid until the next call of Next.
type Record struct {
	Header Header
	// Block is the block. When the file holds less than Content-Length says, or what it holds is damaged, the end is
	// io.ErrUnexpectedEOF in place of io.EOF.
	Block io.Reader
	// Offset is where the record's member starts, or the record itself in a file that is not compressed.
	Offset int64
	// Length is the length of the member or record with its trailer. It is known once Next was called again, or Close. Of
	// records that share a member it says only how far the file was read.
	Length int64
	// Inside is where the record starts in its decompressed member: not 0 means it cannot be read by Offset alone.
	Inside int64
	// Format is "WARC" or "ARC". An ARC record has a header made up of what ARC knows, in WARC's words.
	Format string
	// Findings are those about this record, complete once Next was called again, or Close.
	Findings []Finding
	// Digest is the digest computed with ReaderOptions.Digests, in the algorithm of the header's, once the block was
	// read to its end.
	Digest Digest

	reader *Reader
}

// Close reads the rest of the record, so that Length, Findings and Digest are complete.
func (rec *Record) Close() error {
	if rec.reader != nil && rec.reader.cur == rec {
		return rec.reader.finish()
	}
	return nil
}

// Damaged reports whether a finding about the record is fatal.
func (rec *Record) Damaged() bool {
	for _, f := range rec.Findings {
		if f.Fatal {
			return true
		}
	}
	return false
}

func (rec *Record) find(f Finding) {
	if len(rec.Findings) < 100 {
		rec.Findings = append(rec.Findings, f)
	}
}

type packing int

const (
	unknown packing = iota
	plain
	gzipped
	zstandard
)

// Reader reads records one after the other from a stream it need not seek in. Memory is bounded: by the header limit and
// about 2 MB of what was read last. It always advances: no input makes it loop.
type Reader struct {
	opt  ReaderOptions
	raw  tape
	in   *bufio.Reader // over raw
	kind packing       // of the first member that was recognised

	gz    *gunzip
	zd    *zstd.Decoder
	frame *zstdFrame
	dict  []byte
	body  bodyReader    // the decompressed member
	mem   *bufio.Reader // over body, or in itself when nothing is compressed
	unzip *bufio.Reader // kept for reuse

	packing  packing // of the current member
	open     bool    // inside a member
	start    int64   // of the current member
	records  int     // in the current member
	shared   bool    // KindSharedMember was said
	arc      bool    // an ARC header was seen
	line     []byte  // the line that is being read, when it outgrew the buffer
	head     []byte  // the head that is being read
	cur      *Record
	block    block
	findings []Finding
	dropped  int
	err      error
}

// bodyReader counts what comes out of the decompressor and keeps its error.
type bodyReader struct {
	r   io.Reader
	n   int64
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	if err != nil {
		b.err = err
	}
	return n, err
}

// NewReader returns a Reader of r, which it reads to its end and does not close.
func NewReader(r io.Reader, opt ReaderOptions) *Reader {
	if opt.MaxHeader <= 0 {
		opt.MaxHeader = DefaultMaxHeader
	}
	if opt.MaxFindings <= 0 {
		opt.MaxFindings = DefaultMaxFindings
	}
	if opt.buffer <= 0 {
		opt.buffer = 64 << 10
	}
	rd := &Reader{opt: opt, dict: opt.Dictionary}
	rd.raw = tape{r: r, n: opt.Offset}
	rd.in = bufio.NewReaderSize(&rd.raw, opt.buffer)
	return rd
}

// reuse makes a Reader that is done with into one of another stream. Its buffers and its decompressor stay.
func (r *Reader) reuse(from io.Reader, opt ReaderOptions) {
	r.raw.forget()
	in, gz, unzip := r.in, r.gz, r.unzip
	hist, line, head := r.raw.hist[:0], r.line, r.head
	*r = Reader{opt: opt, dict: opt.Dictionary, in: in, gz: gz, unzip: unzip, line: line[:0], head: head[:0]}
	r.raw = tape{r: from, n: opt.Offset, hist: hist}
	r.in.Reset(&r.raw)
}

// Position is the offset in the file behind what was consumed.
func (r *Reader) Position() int64 { return r.raw.n - int64(r.in.Buffered()) }

// Findings returns what was found since the last call, oldest first, and forgets it.
func (r *Reader) Findings() []Finding {
	f := r.findings
	if r.dropped > 0 {
		f = append(f, Finding{Offset: r.Position(), Kind: KindTooMany, Message: fmt.Sprintf("%d further findings", r.dropped), Fatal: true})
	}
	r.findings, r.dropped = nil, 0
	return f
}

func (r *Reader) find(f Finding) {
	if len(r.findings) >= r.opt.MaxFindings {
		r.dropped++
		return
	}
	r.findings = append(r.findings, f)
}

// about adds a finding about the record.
func (r *Reader) about(rec *Record, kind, field, message string, fatal bool) {
	f := Finding{Offset: rec.Offset, Kind: kind, Field: field, Message: message, Fatal: fatal}
	rec.find(f)
	r.find(f)
}

// Next returns the next record, io.EOF at the end. Damage is no error; the trouble of the underlying reader is.
func (r *Reader) Next() (*Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	rec, err := r.next()
	if err != nil {
		if r.raw.err != nil {
			err = fmt.Errorf("reading at offset %d: %w", r.Position(), r.raw.err)
		}
		r.err = err
		r.raw.forget()
		if r.zd != nil {
			r.zd.Close()
			r.zd = nil
		}
		return nil, err
	}
	return rec, nil
}

func (r *Reader) next() (*Record, error) {
	if err := r.finish(); err != nil {
		return nil, err
	}
	for {
		if !r.open {
			if err := r.openMember(); err != nil {
				return nil, err
			}
		}
		rec, err := r.readHead()
		if err != nil || rec != nil {
			return rec, err
		}
	}
}

// openMember stands before a member, or before what should be one. It returns io.EOF at the end of the file.
func (r *Reader) openMember() error {
	for {
		r.start = r.Position()
		b, err := r.in.Peek(512)
		if len(b) == 0 {
			if err == io.EOF {
				return io.EOF
			}
			return err
		}
		kind := sniff(b, r.arc)
		if kind == unknown && (b[0] == '\r' || b[0] == '\n') && r.kind != gzipped && r.kind != zstandard {
			// Blank lines before a record; those after one belong to its trailer.
			n := 0
			for n < len(b) && (b[n] == '\r' || b[n] == '\n') {
				n++
			}
			r.find(Finding{Offset: r.start, Kind: KindTrailer, Message: "blank lines before a record"})
			r.in.Discard(n)
			continue
		}
		if kind == zstandard {
			ok, err := r.openZstd()
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			return nil
		}
		if kind == gzipped && r.openGzip() {
			return nil
		}
		if kind == plain {
			r.mem = r.in
			r.begin(plain)
			return nil
		}
		if err := r.resync(r.start); err != nil {
			return err
		}
	}
}

func (r *Reader) begin(kind packing) {
	r.packing, r.open, r.records = kind, true, 0
	if r.kind == unknown {
		r.kind = kind
	}
}

func (r *Reader) openGzip() bool {
	if r.gz == nil {
		r.gz = new(gunzip)
	}
	if r.gz.reset(r.in) != nil {
		return false
	}
	r.inflate(r.gz)
	r.begin(gzipped)
	return true
}

func (r *Reader) inflate(from io.Reader) {
	r.body = bodyReader{r: from}
	if r.unzip == nil {
		r.unzip = bufio.NewReaderSize(&r.body, 32<<10)
	} else {
		r.unzip.Reset(&r.body)
	}
	r.mem = r.unzip
}

// sniff says what starts here.
func sniff(b []byte, arc bool) packing {
	switch {
	case len(b) >= 3 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8:
		return gzipped
	case isZstd(b):
		return zstandard
	case bytes.HasPrefix(b, []byte("WARC/")), bytes.HasPrefix(b, []byte("filedesc:")):
		return plain
	}
	if arc {
		line, _, _ := bytes.Cut(b, []byte("\n"))
		if _, ok := parseARC(line); ok {
			return plain
		}
	}
	return unknown
}

// resync skips from the position to the next member or record and names the gap. It looks only for what the file is made
// of, since a stored payload may itself be an archive.
func (r *Reader) resync(from int64) error {
	r.open = false
	if from < r.Position() {
		r.raw.back(from)
		r.in.Reset(&r.raw)
	}
	start := r.Position()
	zeros, first := true, true
	lineStart := start == r.opt.Offset
	for {
		b, err := r.in.Peek(4096)
		if len(b) == 0 {
			r.gap(start, zeros)
			if err != io.EOF {
				return err
			}
			return io.EOF
		}
		// The octet looked at must be a start; the first one was tried by the caller already.
		skip := len(b)
		for i := range b {
			if i == 0 && first {
				lineStart = b[0] == '\n'
				zeros = zeros && b[0] == 0
				continue
			}
			if r.startsAt(b[i:], lineStart) {
				skip = i
				break
			}
			zeros = zeros && b[i] == 0
			lineStart = b[i] == '\n'
			if len(b)-i < 1024 && err == nil && i > 0 {
				skip = i + 1
				break
			}
		}
		if skip == 0 {
			r.gap(start, zeros)
			return nil
		}
		first = false
		r.in.Discard(skip)
		if rest, _ := r.in.Peek(1024); r.startsAt(rest, lineStart) {
			r.gap(start, zeros)
			return nil
		}
	}
}

func (r *Reader) gap(start int64, zeros bool) {
	n := r.Position() - start
	if n <= 0 {
		return
	}
	if zeros {
		r.find(Finding{Offset: start, Kind: KindPadding, Message: fmt.Sprintf("%d zero octets", n)})
		return
	}
	r.find(Finding{Offset: start, Kind: KindGap, Message: fmt.Sprintf("%d octets belong to no record", n), Fatal: true})
}

// startsAt reports whether a member or record of the file's kind starts with b.
func (r *Reader) startsAt(b []byte, lineStart bool) bool {
	if len(b) < 4 {
		return false
	}
	switch b[0] {
	case 0x1f:
		return (r.kind == unknown || r.kind == gzipped) && probeGzip(b, r.arc)
	case 0x28, 0x5d:
		return (r.kind == unknown || r.kind == zstandard) && isZstd(b)
	}
	if r.kind != unknown && r.kind != plain {
		return false
	}
	if !lineStart {
		// The damage may be in the line end before. Without one, the first field must be seen too.
		line, rest, ok := bytes.Cut(b[:min(len(b), 512)], []byte("\n"))
		name, _, ok2 := bytes.Cut(rest, []byte(":"))
		return b[0] == 'W' && ok && ok2 && isVersion(bytes.TrimRight(line, "\r")) && isToken(string(name))
	}
	return r.startsRecord(b)
}

// startsRecord reports whether b begins with the first line of a record.
func (r *Reader) startsRecord(b []byte) bool {
	if !r.arc && b[0] != 'W' && b[0] != 'f' {
		return false
	}
	line, _, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return false
	}
	if isVersion(bytes.TrimRight(line, "\r")) || bytes.HasPrefix(line, []byte("filedesc:")) {
		return true
	}
	if !r.arc {
		return false
	}
	_, ok = parseARC(line)
	return ok
}

// probes are reused: in damaged files a great many octets look like a member.
var probes sync.Pool

type probe struct {
	from bytes.Reader
	in   *bufio.Reader
	gz   gunzip
}

// probeGzip reports whether b is the beginning of a gzip member with a record in it.
func probeGzip(b []byte, arc bool) bool {
	if len(b) < 18 || b[1] != 0x8b || b[2] != 8 || b[3]&0xe0 != 0 {
		return false
	}
	p, _ := probes.Get().(*probe)
	if p == nil {
		p = &probe{in: bufio.NewReaderSize(nil, 512)}
	}
	defer probes.Put(p)
	p.from.Reset(b)
	p.in.Reset(&p.from)
	if p.gz.reset(p.in) != nil {
		return false
	}
	var first [512]byte
	n, _ := io.ReadFull(&p.gz, first[:])
	got := first[:n]
	if bytes.HasPrefix(got, []byte("WARC/")) || bytes.HasPrefix(got, []byte("filedesc:")) {
		return true
	}
	if arc {
		line, _, _ := bytes.Cut(got, []byte("\n"))
		_, ok := parseARC(line)
		return ok
	}
	return false
}

// damaged handles a member that does not decompress: it names it and goes to the next.
func (r *Reader) damaged(rec *Record) error {
	err := r.body.err
	if r.raw.err != nil {
		return r.raw.err
	}
	f := Finding{Offset: r.start, Kind: KindDamagedMember, Message: err.Error(), Fatal: true}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		f.Kind, f.Message = KindCutMember, "the file ends inside the member"
	}
	if errors.Is(err, zstd.ErrUnknownDictionary) || errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeTooSmall) {
		f.Kind = KindUnsupported
	}
	if rec != nil {
		rec.find(f)
	}
	r.find(f)
	r.open = false
	// When only the checksum was wrong, the next member stands right here. Else the damage may have swallowed it.
	if b, _ := r.in.Peek(1024); len(b) >= 4 && r.startsAt(b, false) {
		return nil
	}
	start := r.start
	err = r.resync(start)
	if n := len(r.findings); err == io.EOF && f.Kind == KindCutMember && n > 0 && r.findings[n-1].Kind == KindGap && r.findings[n-1].Offset >= start {
		r.findings = r.findings[:n-1] // nothing follows: the cut member says it all
	}
	return err
}

// fail handles an error of reading from mem outside of a block. nil means: go on with the next member.
func (r *Reader) fail(rec *Record, err error) error {
	if r.packing == plain {
		if err == io.EOF {
			return nil
		}
		return err
	}
	if err == io.EOF && r.body.err == io.EOF {
		r.open = false
		return nil
	}
	if r.body.err != nil {
		return r.damaged(rec)
	}
	return err
}

var errLineTooLong = errors.New("warc: line over the limit")

// readLine reads a line with its LF, valid until the next read. It returns the rest of the stream and io.EOF at the end.
func (r *Reader) readLine(limit int) ([]byte, error) {
	line, err := r.mem.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		if len(line) > limit {
			return line, errLineTooLong
		}
		return line, err
	}
	r.line = append(r.line[:0], line...)
	for err == bufio.ErrBufferFull && len(r.line) <= limit {
		line, err = r.mem.ReadSlice('\n')
		r.line = append(r.line, line...)
	}
	if len(r.line) > limit {
		return r.line, errLineTooLong
	}
	return r.line, err
}

// inside is the position in the decompressed member.
func (r *Reader) inside() int64 {
	if r.packing == plain {
		return 0
	}
	return r.body.n - int64(r.mem.Buffered())
}

// readHead reads the head of a record inside the open member. Neither record nor error: the member is over, or nothing in
// it was a record.
func (r *Reader) readHead() (*Record, error) {
	first, err := r.mem.Peek(9)
	if len(first) == 0 {
		return nil, r.fail(nil, err)
	}
	rec := &Record{Offset: r.start, Inside: r.inside(), Format: "WARC", reader: r}
	if r.packing == plain {
		rec.Offset = r.Position()
	}
	if !bytes.HasPrefix(first, []byte("WARC/")) {
		if r.arc || bytes.HasPrefix(first, []byte("filedesc:")) {
			return r.readARC(rec)
		}
		return nil, r.skipInside(rec.Offset, rec.Inside)
	}
	line, err := r.readLine(r.opt.MaxHeader)
	if err != nil {
		return nil, r.headless(rec, err)
	}
	r.head = append(r.head[:0], line...)
	if err := r.parseHead(rec); err != nil {
		return nil, r.headless(rec, err)
	}
	n, ok := rec.Header.ContentLength()
	r.block = block{r: r, rec: rec, left: n}
	if !ok {
		r.about(rec, KindLength, FieldContentLength, fmt.Sprintf("%q is no length; the block is read up to what looks like the next record", rec.Header.Get(FieldContentLength)), true)
		r.block.open = true
	}
	if r.opt.Digests {
		r.startDigest(rec)
	}
	rec.Block = &r.block
	r.cur = rec
	r.records++
	if r.records == 2 && !r.shared {
		r.shared = true
		r.about(rec, KindSharedMember, "", "several records in one compressed member", false)
	}
	return rec, nil
}

// headless handles a record whose head cannot be read to its end.
func (r *Reader) headless(rec *Record, err error) error {
	switch {
	case err == errLineTooLong:
		r.find(Finding{Offset: rec.Offset, Kind: KindHeaderSize, Message: fmt.Sprintf("the header is over %d octets", r.opt.MaxHeader), Fatal: true})
		return r.skipInside(rec.Offset, rec.Inside)
	case r.packing != plain && r.body.err != nil && r.body.err != io.EOF:
		return r.damaged(nil)
	case err == io.EOF:
		r.find(Finding{Offset: rec.Offset, Kind: KindShortBlock, Message: "the header has no end", Fatal: true})
		r.open = false
		return nil
	}
	return err
}

// skipInside skips what is no record inside a member: to the next record in it, or to its end.
func (r *Reader) skipInside(offset, inside int64) error {
	if r.packing == plain {
		return r.resync(r.Position())
	}
	n := int64(0)
	for {
		b, err := r.mem.Peek(64)
		if len(b) == 0 {
			if n > 0 {
				r.find(Finding{Offset: offset, Kind: KindGap, Message: fmt.Sprintf("%d octets at %d in the member belong to no record", n, inside), Fatal: true})
			}
			return r.fail(nil, err)
		}
		if n > 0 && r.startsRecord(b) {
			r.find(Finding{Offset: offset, Kind: KindGap, Message: fmt.Sprintf("%d octets at %d in the member belong to no record", n, inside), Fatal: true})
			return nil
		}
		for {
			line, err := r.mem.ReadSlice('\n')
			n += int64(len(line))
			if err != bufio.ErrBufferFull {
				break
			}
		}
	}
}

// parseHead parses the version line in r.head and the fields that follow.
func (r *Reader) parseHead(rec *Record) error {
	clean := true
	odd := func(kind, field, message string) {
		clean = false
		r.about(rec, kind, field, message, false)
	}
	lf := false
	type span struct{ name, nameEnd, value, end int }
	var spans []span
	var folded map[int]string
	var arr [24]span
	spans = arr[:0]
	for {
		start := len(r.head)
		line, err := r.readLine(r.opt.MaxHeader - start)
		if err != nil {
			return err
		}
		r.head = append(r.head, line...)
		text := bytes.TrimSuffix(line, []byte("\n"))
		if t, ok := bytes.CutSuffix(text, []byte("\r")); ok {
			text = t
		} else {
			lf = true
		}
		if len(text) == 0 {
			break
		}
		if isVersion(text) {
			// A new record begins inside this head: the one before was cut.
			r.find(Finding{Offset: rec.Offset, Kind: KindShortBlock, Message: "the header has no end before the next record", Fatal: true})
			*rec = Record{Offset: rec.Offset, Inside: rec.Inside, Format: rec.Format, reader: r}
			if r.packing == plain {
				rec.Offset = r.Position() - int64(len(line))
			} else {
				rec.Inside = r.inside() - int64(len(line))
			}
			r.head = append(r.head[:0], line...)
			spans, folded, clean, lf = spans[:0], nil, true, false
			continue
		}
		end := start + len(text)
		if text[0] == ' ' || text[0] == '\t' {
			tail := strings.Trim(string(text), " \t\r")
			if len(spans) == 0 {
				odd(KindField, "", "a continuation line before the first field")
				continue
			}
			last := len(spans) - 1
			odd(KindFolded, string(r.head[spans[last].name:spans[last].nameEnd]), "")
			if folded == nil {
				folded = make(map[int]string)
			}
			if _, ok := folded[last]; !ok {
				folded[last] = string(bytes.TrimSpace(r.head[spans[last].value:spans[last].end]))
			}
			// A length that only looks folded ("6", CRLF, blanks) stays a number.
			folded[last] = strings.TrimSpace(folded[last] + " " + tail)
			continue
		}
		colon := bytes.IndexByte(text, ':')
		if colon < 0 {
			odd(KindField, "", fmt.Sprintf("no colon in %.60q", text))
			continue
		}
		name := bytes.TrimRight(text[:colon], " \t")
		if len(name) == 0 {
			odd(KindField, "", "a field without a name")
			continue
		}
		if len(name) != colon {
			odd(KindField, string(name), "blanks before the colon")
		}
		v := colon + 1
		for v < len(text) && (text[v] == ' ' || text[v] == '\t') {
			v++
		}
		e := len(text)
		for e > v && (text[e-1] == ' ' || text[e-1] == '\t') {
			e--
		}
		spans = append(spans, span{start, start + len(name), start + v, end - (len(text) - e)})
	}
	if lf {
		odd(KindLineEnd, "", "LF without CR in the header")
	}
	// One string holds the whole head; versions, names and values are parts of it.
	head := string(r.head)
	h := &rec.Header
	h.version = strings.TrimRight(head[:strings.IndexByte(head, '\n')], "\r")
	h.fields = make([]Field, len(spans), len(spans)+2)
	for i, s := range spans {
		h.fields[i] = Field{head[s.name:s.nameEnd], head[s.value:s.end]}
		if f, ok := folded[i]; ok {
			h.fields[i].Value = f
		}
	}
	if !r.checkHead(rec) {
		clean = false
	}
	if clean {
		h.raw = head
	}
	return nil
}

// checkHead finds what is unusual in a head. It reports whether the head can be written again as it is.
func (r *Reader) checkHead(rec *Record) bool {
	h := &rec.Header
	switch h.version {
	case "WARC/0.17", "WARC/0.18", "WARC/1.0", "WARC/1.1":
	default:
		if !isVersion([]byte(h.version)) {
			r.about(rec, KindVersion, "", fmt.Sprintf("%.20q is no version", h.version), false)
			return false
		}
		r.about(rec, KindVersion, "", h.version+" is not known", false)
	}
	ok := true
	for i := range h.fields {
		f := &h.fields[i]
		if !isASCII(f.Name) || !isASCII(f.Value) {
			if !utf8.ValidString(f.Name) || !utf8.ValidString(f.Value) {
				ok = false
				r.about(rec, KindEncoding, strings.ToValidUTF8(f.Name, "?"), "not UTF-8; the octets are kept", false)
			}
		}
		if strings.IndexByte(f.Value, 0) >= 0 || strings.IndexByte(f.Value, '\r') >= 0 || !isToken(f.Name) {
			ok = false
			r.about(rec, KindField, strings.ToValidUTF8(f.Name, "?"), "octets that cannot stand in a field", false)
		}
		if equalName(f.Name, FieldConcurrentTo) || equalName(f.Name, FieldProtocol) {
			continue
		}
		for j := range h.fields[:min(i, 100)] {
			if equalName(h.fields[j].Name, f.Name) {
				if h.fields[j].Value != f.Value && equalName(f.Name, FieldContentLength) {
					r.about(rec, KindDuplicate, f.Name, "two lengths; the first is taken", true)
				} else {
					r.about(rec, KindDuplicate, f.Name, "the first value is taken", false)
				}
				break
			}
		}
	}
	for _, name := range []string{FieldType, FieldRecordID, FieldDate} {
		if h.Get(name) == "" {
			r.about(rec, KindMissing, name, "is mandatory", false)
		}
	}
	if d := h.Get(FieldDate); d != "" {
		if _, err := ParseDate(d); err != nil {
			r.about(rec, KindDate, FieldDate, fmt.Sprintf("%.40q cannot be read", d), false)
		}
	}
	if u := h.Get(FieldTargetURI); u != "" {
		if u[0] == '<' {
			r.about(rec, KindTargetURI, FieldTargetURI, "stands in angle brackets", false)
		}
		if strings.IndexByte(u, ' ') >= 0 {
			r.about(rec, KindTargetURI, FieldTargetURI, "has blanks in it", false)
		}
	}
	return ok
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (r *Reader) startDigest(rec *Record) {
	value := rec.Header.Get(FieldBlockDigest)
	if value == "" {
		return
	}
	d, err := ParseDigest(value)
	if err != nil || !d.Known() {
		r.about(rec, KindDigestForm, FieldBlockDigest, fmt.Sprintf("%.100q was not checked", value), false)
		return
	}
	r.block.want, r.block.sum = d, d.New()
}

// block is the Block of the current record.
type block struct {
	r    *Reader
	rec  *Record
	left int64 // octets of Content-Length still to come
	n    int64 // octets handed out
	open bool  // no length: read up to the next record
	done bool
	err  error // how the block ended, nil for well
	want Digest
	sum  hash.Hash
}

func (b *block) Read(p []byte) (int, error) {
	if b.r.cur != b.rec || b.done {
		if b.err != nil {
			return 0, b.err
		}
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	if b.open {
		n, err = b.readOpen(p)
	} else {
		if b.left == 0 {
			b.end(nil)
			return 0, io.EOF
		}
		n, err = b.r.mem.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	b.n += int64(n)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	switch {
	case err == io.EOF:
		b.end(nil)
		return n, io.EOF
	case err != nil:
		b.end(io.ErrUnexpectedEOF)
		if n > 0 {
			return n, nil
		}
		return 0, b.err
	}
	return n, nil
}

// readOpen reads a block without a length.
func (b *block) readOpen(p []byte) (int, error) {
	w, err := b.r.mem.Peek(4096)
	n := len(w)
	over := false
	if i := bytes.Index(w, []byte("\r\n\r\nWARC/")); i >= 0 {
		n, over = i, true
	} else if err == nil || err == bufio.ErrBufferFull {
		n -= 16
	} else if err == io.EOF {
		n = len(bytes.TrimSuffix(w, recordEnd))
		over = true
	} else {
		over = true
	}
	if n > len(p) {
		n, over = len(p), false
	}
	n = copy(p, w[:n])
	b.r.mem.Discard(n)
	if over {
		if err != nil && err != io.EOF {
			return n, err
		}
		return n, io.EOF
	}
	return n, nil
}

func (b *block) end(err error) {
	b.done, b.err = true, err
	if b.sum == nil {
		return
	}
	got := SumDigest(b.want.Algorithm, b.sum.Sum(nil))
	b.rec.Digest = got
	if !got.Equal(b.want) {
		f := Finding{Offset: b.rec.Offset, Kind: KindDigest, Field: FieldBlockDigest, Expected: b.want.String(), Computed: got.String(), Fatal: true}
		b.rec.find(f)
		b.r.find(f)
	}
}

// finish reads the rest of the current record: block, trailer, and the end of its member.
func (r *Reader) finish() error {
	rec := r.cur
	if rec == nil {
		return nil
	}
	err := r.finishBlock(rec)
	r.cur = nil
	if err == io.EOF {
		err = nil // the next call finds it again
	}
	if rec.Length == 0 {
		rec.Length = r.Position() - rec.Offset
	}
	return err
}

func (r *Reader) finishBlock(rec *Record) error {
	if _, err := io.Copy(io.Discard, &r.block); err != nil && err != io.ErrUnexpectedEOF {
		return err
	}
	if r.raw.err != nil {
		return r.raw.err
	}
	if r.block.err != nil {
		if r.packing != plain && r.body.err != io.EOF {
			rec.Length = r.Position() - rec.Offset
			return r.damaged(rec)
		}
		return r.shortBlock(rec)
	}
	return r.trailer(rec)
}

// shortBlock handles a block that ended before its length did.
func (r *Reader) shortBlock(rec *Record) error {
	r.about(rec, KindShortBlock, FieldContentLength, fmt.Sprintf("%d octets are missing", r.block.left), true)
	if r.packing != plain {
		rec.Length = r.Position() - rec.Offset
		r.open = false
		return nil
	}
	return r.swallowed(rec)
}

// swallowed looks for a record that starts inside the block of a plain record whose length is wrong, and goes back to it.
func (r *Reader) swallowed(rec *Record) error {
	r.open = false
	from := r.Position() - r.block.n
	seen := r.raw.since(max(from, rec.Offset))
	base := r.raw.n - int64(len(seen))
	seen = seen[:max(0, r.Position()-base)]
	for at := 0; ; {
		i := bytes.IndexByte(seen[at:], '\n')
		if i < 0 {
			return nil
		}
		at += i + 1
		if at < len(seen) && base+int64(at) > rec.Offset && r.startsRecord(seen[at:]) {
			pos := base + int64(at)
			rec.Length = pos - rec.Offset
			r.raw.back(pos)
			r.in.Reset(&r.raw)
			return nil
		}
	}
}

// trailer reads the two line ends behind a block and what should not be there.
func (r *Reader) trailer(rec *Record) error {
	want := "\r\n\r\n"
	if rec.Format == "ARC" {
		want = "\n"
	}
	var got []byte
	n := 0
	for {
		b, err := r.mem.Peek(1)
		if len(b) == 0 {
			if r.packing != plain && r.body.err != nil && r.body.err != io.EOF {
				rec.Length = r.Position() - rec.Offset
				return r.damaged(rec)
			}
			if err != io.EOF {
				return err
			}
			r.open = false
			break
		}
		if b[0] != '\r' && b[0] != '\n' {
			break
		}
		if n++; len(got) < 8 {
			got = append(got, b[0])
		}
		r.mem.Discard(1)
	}
	rec.Length = r.Position() - rec.Offset
	atEnd := !r.open
	if r.packing == plain {
		r.open = false
	}
	next := false
	if !atEnd {
		b, _ := r.mem.Peek(512)
		next = bytes.HasPrefix(b, []byte("WARC/")) || (rec.Format == "ARC" && sniff(b, true) != unknown) ||
			(r.packing == plain && sniff(b, r.arc) != unknown)
	}
	if rec.Format == "ARC" && n <= 3 && (atEnd || next) {
		return nil // zero to three line ends are usual in ARC files
	}
	if string(got) != want || n > len(got) {
		if atEnd || next {
			r.about(rec, KindTrailer, "", fmt.Sprintf("%q in place of two line ends", got), false)
			return nil
		}
	}
	if atEnd || next {
		return nil
	}
	if r.packing == plain {
		// NULs behind a whole record are padding, not a wrong length.
		if b, _ := r.in.Peek(1); string(got) == want && len(b) == 1 && b[0] == 0 {
			return nil
		}
		if string(got) != want {
			r.about(rec, KindLongBlock, FieldContentLength, "what follows the block is no end of a record", true)
			at := r.Position()
			if err := r.swallowed(rec); err != nil || r.Position() != at {
				return err
			}
		}
		return nil // openMember names and skips what follows
	}
	r.about(rec, KindLongBlock, FieldContentLength, "the member goes on after the block", true)
	err := r.skipInside(rec.Offset, r.inside())
	if !r.open {
		rec.Length = r.Position() - rec.Offset
	}
	return err
}

// ReadRecordAt reads the record whose member starts at offset; length may be 0 when it is not known. The Record keeps no
// file open and needs no Close.
func ReadRecordAt(f io.ReaderAt, offset, length int64) (*Record, error) {
	return ReadRecordAtOptions(f, offset, length, ReaderOptions{})
}

// ErrNoRecord is an offset at which no record starts.
var ErrNoRecord = errors.New("warc: no record starts here")

// ReadRecordAtOptions is ReadRecordAt with options; Offset is set by it.
func ReadRecordAtOptions(f io.ReaderAt, offset, length int64, opt ReaderOptions) (*Record, error) {
	if length <= 0 {
		length = 1<<62 - offset
	}
	if offset < 0 {
		return nil, fmt.Errorf("at offset %d: %w", offset, ErrNoRecord)
	}
	opt.Offset = offset
	if opt.MaxHeader <= 0 {
		opt.MaxHeader = DefaultMaxHeader
	}
	if opt.MaxFindings <= 0 {
		opt.MaxFindings = DefaultMaxFindings
	}
	r, _ := singles.Get().(*Reader)
	if r == nil {
		opt.buffer = singleBuffer
		r = NewReader(nil, opt)
	}
	r.reuse(io.NewSectionReader(f, offset, length), opt)
	rec, err := r.Next()
	if err == io.EOF || (err == nil && rec.Offset != offset) {
		return nil, fmt.Errorf("at offset %d: %w", offset, ErrNoRecord)
	}
	if err != nil {
		return nil, err
	}
	rec.Block = &single{r: r, rec: rec}
	return rec, nil
}

// singleBuffer is read at once for single records: most are smaller, and what is read too much is read for nothing.
const singleBuffer = 32 << 10

// singles are Readers of single records that were read to their end.
var singles sync.Pool

// single is the block of a record that was read alone. At its end the Reader behind it goes back to be used again; a
// record that is left unread leaves its Reader to the garbage collector.
type single struct {
	r   *Reader
	rec *Record
	err error
}

func (s *single) Read(p []byte) (int, error) {
	if s.r == nil {
		return 0, s.err
	}
	if s.rec.reader == nil || s.r.cur != s.rec {
		s.r, s.err = nil, io.EOF // the record was closed
		return 0, s.err
	}
	n, err := s.r.block.Read(p)
	if err == nil {
		return n, nil
	}
	if ferr := s.r.finish(); ferr != nil {
		err = ferr
	}
	r := s.r
	s.r, s.err, s.rec.reader = nil, err, nil
	if r.zd == nil && r.frame == nil && r.raw.err == nil {
		r.reuse(nil, ReaderOptions{})
		singles.Put(r)
	}
	return n, err
}
