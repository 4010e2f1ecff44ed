package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
)

// series writes one run of WARC files PREFIX-NNNNN.warc.gz (or PREFIX.warc.gz, then PREFIX-00002.warc.gz, when single).
// Nothing is made before the first record.
type series struct {
	a      *Archive
	prefix string
	single bool

	mu       sync.Mutex
	serial   int
	name     string // final base name of the current file, "" when none is open
	info     string // record ID of its warcinfo
	gen      int    // counts files; tells an encoder that its warcinfo ID is stale
	file     *durable.Appender
	first    int64 // size with warcinfo only
	sum      hash.Hash
	pending  []byte // index lines of records not yet committed
	journal  int64  // octets of committed index lines in the journal
	broken   error  // after an error that could not be undone
	encoders sync.Pool
}

func (a *Archive) newSeries(prefix string) *series {
	s := &series{a: a, prefix: prefix}
	s.encoders.New = func() any { return warc.NewEncoder(a.opt.Level) }
	return s
}

// fileName returns the final name of the n-th file, 1-based.
func (s *series) fileName(n int) string {
	if s.single && n == 1 {
		return s.prefix + warcSuffix
	}
	return fmt.Sprintf("%s-%05d%s", s.prefix, n, warcSuffix)
}

func (s *series) openPath() string { return s.a.path(archiveDir, s.name+openSuffix) }
func (s *series) journalPath() string {
	return s.a.path(indexDir, indexName(s.name, cdxjSuffix)+openSuffix)
}

// indexName turns the name of a WARC into that of its index.
func indexName(warcName, suffix string) string {
	return strings.TrimSuffix(strings.TrimSuffix(warcName, ".gz"), ".warc") + suffix
}

// current makes sure that a file is open and returns the ID of its warcinfo record and its generation.
func (s *series) current() (info string, gen int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return "", 0, s.broken
	}
	if s.name == "" {
		if err := s.begin(); err != nil {
			return "", 0, err
		}
	}
	return s.info, s.gen, nil
}

// begin opens the next file of the series and writes its warcinfo record.
func (s *series) begin() error {
	name := ""
	for n := s.serial + 1; ; n++ {
		name = s.fileName(n)
		if !exists(s.a.path(archiveDir, name)) && !exists(s.a.path(archiveDir, name+openSuffix)) {
			s.serial = n
			break
		}
		if n >= 99999 {
			return fmt.Errorf("run %s has used up its file names", s.a.run)
		}
	}
	path := s.a.path(archiveDir, name+openSuffix)
	f, err := durable.CreateAppend(s.a.fs, path, 0o666)
	if err != nil {
		return writeError("create", path, err)
	}
	out := s.a.warcinfo(name)
	m, err := s.encode(out)
	if err == nil {
		defer m.Close()
		s.sum = sha256.New()
		err = s.write(f, path, m)
	}
	if err != nil {
		_ = f.Close()
		_ = s.a.fs.Remove(path)
		return err
	}
	s.name, s.info, s.file, s.first = name, out.Header.ID(), f, f.Size()
	s.gen++
	s.journal = 0
	_ = s.a.fs.Remove(s.journalPath())
	return nil
}

func (s *series) encode(o warc.Out) (*warc.Member, error) {
	enc := s.encoders.Get().(*warc.Encoder)
	defer s.encoders.Put(enc)
	return enc.Encode(o)
}

// write appends one member to f; what a failure left behind is cut off again by the appender.
func (s *series) write(f *durable.Appender, path string, m *warc.Member) error {
	if _, err := f.Append(m); err != nil {
		return writeError("append to", path, err)
	}
	_, err := m.WriteTo(s.sum)
	return err
}

// append compresses the drafts on the calling goroutine and appends them together, without anything in between. It
// returns their index lines (zero where a draft has none but for the first, which always has one), with place.
func (s *series) append(ctx context.Context, ds []draft) ([]cdxj.Line, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, gen, err := s.current()
		if err != nil {
			return nil, err
		}
		lines, retry, err := s.appendTo(ds, info, gen)
		if !retry {
			return lines, err
		}
	}
}

func (s *series) appendTo(ds []draft, info string, gen int) (lines []cdxj.Line, retry bool, err error) {
	members := make([]member, 0, len(ds))
	defer func() {
		for _, m := range members {
			_ = m.Close()
		}
	}()
	total := int64(0)
	for i := range ds {
		if ds[i].raw != nil {
			m := rawMember{ds[i].raw}
			members = append(members, m)
			total += m.Len()
			continue
		}
		m, err := s.encode(ds[i].out(info))
		if err != nil {
			return nil, false, s.encodeError(&ds[i], err)
		}
		members = append(members, m)
		total += m.Len()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return nil, false, s.broken
	case s.gen != gen || s.name == "":
		return nil, true, nil
	case s.file.Size()+total > s.a.opt.RollOver && s.file.Size() > s.first:
		if err := s.sealLocked(); err != nil {
			return nil, false, err
		}
		return nil, true, nil
	}
	start := s.file.Size()
	lines = make([]cdxj.Line, len(ds))
	offset := start
	group := make([]durable.Source, len(members))
	for i, m := range members {
		if ds[i].line != nil {
			l := *ds[i].line
			l.Filename, l.Offset, l.Length = s.name, offset, m.Len()
			lines[i] = l
		}
		group[i] = m
		offset += m.Len()
	}
	if _, err := s.file.Append(group...); err != nil {
		err = writeError("append to", s.openPath(), err)
		if s.file.Size() != start {
			s.broken = err
		}
		return nil, false, err
	}
	for i, m := range members {
		if _, err := m.WriteTo(s.sum); err != nil {
			s.broken = err
			return nil, false, err
		}
		if ds[i].line != nil {
			s.pending = appendLine(s.pending, &lines[i])
		}
	}
	return lines, false, nil
}

// member is one gzip member ready to be appended: a new one, or one copied as it is.
type member interface {
	durable.Source
	Len() int64
	Close() error
}

type rawMember struct{ r *io.SectionReader }

func (m rawMember) Len() int64   { return m.r.Size() }
func (m rawMember) Close() error { return nil }

func (m rawMember) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, io.NewSectionReader(m.r, 0, m.r.Size()))
	if err == nil && n != m.r.Size() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// encodeError tells a full disk under the spool from a record that cannot be.
func (s *series) encodeError(d *draft, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return writeError("spool for", s.a.dir, err)
	}
	return fmt.Errorf("building the %s record of %q: %w", d.header.Type(), d.header.TargetURI(), err)
}

// commit syncs the file and then appends the index lines of what was synced to the journal, where readers find them.
// Others go on compressing meanwhile.
func (s *series) commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == "" || s.broken != nil || len(s.pending) == 0 {
		return s.broken
	}
	if err := s.file.Sync(); err != nil {
		// After a failed fsync nobody knows what is on disk: nothing in this file can be promised any more.
		s.broken = writeError("sync", s.openPath(), err)
		return s.broken
	}
	if err := s.appendJournal(s.journalPath(), s.pending); err != nil {
		return err
	}
	s.pending = s.pending[:0]
	return nil
}

// appendJournal adds index lines to the journal of the open file. It is not synced: recovery reads the WARC itself.
func (s *series) appendJournal(path string, lines []byte) error {
	f, err := durable.OpenAppend(s.a.fs, path, s.journal, 0o666)
	if err != nil {
		return writeError("append to", path, err)
	}
	if _, err := f.Append(durable.Bytes(lines)); err != nil {
		_ = f.Close()
		return writeError("append to", path, err)
	}
	s.journal = f.Size()
	return writeError("append to", path, f.Close())
}

// seal closes the series' current file for good; a series without a file is left alone.
func (s *series) seal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == "" {
		return s.broken
	}
	if s.broken != nil {
		// The next Open recovers what is whole.
		_ = s.file.Close()
		s.name = ""
		return s.broken
	}
	return s.sealLocked()
}

func (s *series) sealLocked() error {
	path, journal := s.openPath(), s.journalPath()
	fail := func(op, p string, err error) error {
		s.broken = writeError(op, p, err)
		_ = s.file.Close()
		return s.broken
	}
	if err := s.file.Sync(); err != nil {
		return fail("sync", path, err)
	}
	var text []byte
	if s.journal > 0 {
		var err error
		if text, err = os.ReadFile(journal); err != nil {
			return fail("read", journal, err)
		}
	}
	text = append(text, s.pending...)
	if err := s.file.Close(); err != nil {
		return fail("close", path, err)
	}
	if err := s.a.finishFile(s.name, text, hex.EncodeToString(s.sum.Sum(nil))); err != nil {
		s.broken = err
		return err
	}
	s.name, s.info, s.pending, s.journal, s.file = "", "", nil, 0, nil
	return nil
}

// finishFile seals archive/NAME.open whose octets are synced: its indexes from the unsorted lines, then the rename, then the
// manifest. Each step can be done again after a crash.
func (a *Archive) finishFile(name string, unsorted []byte, sum string) error {
	if err := a.writeIndexes(name, unsorted); err != nil {
		return err
	}
	from, to := a.path(archiveDir, name+openSuffix), a.path(archiveDir, name)
	if err := durable.Seal(a.fs, from, to); err != nil {
		return writeError("seal", from, err)
	}
	if err := a.addToManifest(map[string]string{name: sum}); err != nil {
		return err
	}
	_ = a.fs.Remove(a.path(indexDir, indexName(name, cdxjSuffix)+openSuffix))
	return nil
}

// writeIndexes writes NAME.digests and NAME.cdxj of a WARC that no merged index covers.
func (a *Archive) writeIndexes(name string, unsorted []byte) error {
	text, digests := indexTexts(unsorted)
	for _, f := range []struct {
		suffix string
		data   []byte
	}{{digestSuffix, digests}, {cdxjSuffix, text}} {
		path := a.path(indexDir, indexName(name, f.suffix))
		if err := durable.WriteFile(a.fs, path, f.data, 0o666); err != nil {
			return writeError("write", path, err)
		}
	}
	return nil
}

// indexTexts returns both indexes of a WARC, sorted by octets: by URL, and whole captures by digest.
func indexTexts(unsorted []byte) (text, digests []byte) {
	lines := splitLines(unsorted)
	slices.SortFunc(lines, bytes.Compare)
	lines = slices.CompactFunc(lines, bytes.Equal)
	var ds [][]byte
	for _, raw := range lines {
		text = append(append(text, raw...), '\n')
		if l, err := cdxj.Parse(raw); err == nil && isOrigin(&l) {
			ds = append(ds, digestLine(&l))
		}
	}
	slices.SortFunc(ds, bytes.Compare)
	return text, bytes.Join(ds, nil)
}

func splitLines(b []byte) [][]byte {
	var lines [][]byte
	for l := range bytes.Lines(b) {
		if l = bytes.TrimRight(l, "\n"); len(l) > 0 {
			lines = append(lines, l)
		}
	}
	return lines
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// appendLine appends a record's index line, and a snapshot's second one.
func appendLine(b []byte, l *cdxj.Line) []byte {
	b = l.Append(b)
	if second, ok := articleLine(l); ok {
		b = second.Append(b)
	}
	return b
}
