package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// recover finishes what a killed writer left (I3): temporary files go, each .open file loses its torn tail to a side file
// and is sealed, missing indexes and manifest lines are made again. The caller holds the lock, so every .open file is dead.
func (a *Archive) recover(ctx context.Context) error {
	var entries []os.DirEntry // of the largest folder, which is read once
	for _, dir := range []string{a.dir, a.path(indexDir), a.path(archiveDir)} {
		var err error
		if entries, err = readDir(dir); err != nil {
			return err
		}
		for _, e := range entries {
			if durable.IsTemp(e.Name()) && e.Type().IsRegular() {
				_ = a.fs.Remove(dir + string(os.PathSeparator) + e.Name())
			}
		}
	}
	recovered := false
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), openSuffix); ok && e.Type().IsRegular() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.recoverFile(ctx, name); err != nil {
				return fmt.Errorf("recovering %q: %w", a.path(archiveDir, e.Name()), err)
			}
			recovered = true
		}
	}
	if recovered {
		names, err := a.sealed()
		if err != nil {
			return err
		}
		return a.mendIndexes(ctx, names)
	}
	return a.mendIndexes(ctx, sealedOf(entries))
}

// readDir reads a folder without sorting it: of a year's thousands of files none is looked at but those that lack something.
func readDir(dir string) ([]os.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func (a *Archive) recoverFile(ctx context.Context, name string) error {
	path := a.path(archiveDir, name+openSuffix)
	lines, good, records, err := indexWARC(ctx, path, name)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if tail := info.Size() - good; tail > 0 {
		side := a.freeName(name + tornSuffix)
		a.log.Warn("cut the torn tail of a file", "file", name, "octets", tail, "kept_as", side)
		if err := a.copyRange(path, good, info.Size(), a.path(archiveDir, side)); err != nil {
			return err
		}
	}
	if records == 0 {
		return writeError("remove", path, a.fs.Remove(path)) // all of it is in the side file
	}
	f, err := durable.OpenAppend(a.fs, path, good, 0o666) // cuts
	if err != nil {
		return writeError("truncate", path, err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if g, err := os.OpenFile(path, os.O_RDWR, 0); err == nil { // what the killed writer had not synced
		err = g.Sync()
		_ = g.Close()
		if err != nil {
			return writeError("sync", path, err)
		}
	}
	sum, err := fileSum(path)
	if err != nil {
		return err
	}
	a.log.Info("recovered a file of a run that did not end", "file", name, "records", records)
	return a.finishFile(name, lines, sum)
}

// freeName returns name, or name with a number, so that nothing in archive/ is overwritten.
func (a *Archive) freeName(name string) string {
	free := name
	for n := 2; exists(a.path(archiveDir, free)); n++ {
		free = fmt.Sprintf("%s.%d", name, n)
	}
	return free
}

func (a *Archive) copyRange(from string, start, end int64, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeError("write", to, durable.Write(a.fs, to, 0o666, func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(f, start, end-start))
		return err
	}))
}

// mendIndexes makes the indexes and manifest lines of sealed files that lack them, reading only those.
func (a *Archive) mendIndexes(ctx context.Context, names []string) error {
	// What each file has: one look-up a file and source, as a year of runs leaves thousands.
	const hasIndex, hasDigests, isListed = 1, 2, 4
	has := make(map[string]uint8, len(names))
	for _, name := range names {
		has[indexName(name, "")] = 0
	}
	for suffix, bit := range map[string]uint8{cdxjSuffix: hasIndex, digestSuffix: hasDigests} {
		s, err := a.knownSet(suffix)
		if err != nil {
			return err
		}
		s.Each(func(name string) {
			if had, ok := has[name]; ok {
				has[name] = had | bit
			}
		})
	}
	manifest, err := os.ReadFile(a.path(manifestFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range bytes.Lines(manifest) {
		if name, ok := manifestName(line); ok {
			if had, ok := has[string(bytes.TrimSuffix(name, []byte(warcSuffix)))]; ok {
				has[string(bytes.TrimSuffix(name, []byte(warcSuffix)))] = had | isListed
			}
		}
	}
	var lack []string
	add := map[string]string{}
	for _, name := range names {
		got := has[indexName(name, "")]
		if got == hasIndex|hasDigests|isListed {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if got&hasIndex == 0 || got&hasDigests == 0 {
			lack = append(lack, name)
		}
		if got&isListed == 0 {
			if add[name], err = fileSum(a.path(archiveDir, name)); err != nil {
				return err
			}
		}
	}
	slices.Sort(lack)
	if len(lack) > 0 {
		if err := a.uncover(lack...); err != nil { // one kind of index may be there
			return err
		}
	}
	for _, name := range lack {
		a.log.Info("indexing a file that had no index", "file", name)
		lines, _, _, err := indexWARC(ctx, a.path(archiveDir, name), name)
		if err != nil {
			return err
		}
		if err := a.writeIndexes(name, lines); err != nil {
			return err
		}
	}
	if err := a.removeJournals(); err != nil {
		return err
	}
	return a.addToManifest(add)
}

// sealed lists the sealed WARC files by base name, sorted.
func (a *Archive) sealed() ([]string, error) {
	entries, err := os.ReadDir(a.path(archiveDir))
	if err != nil {
		return nil, err
	}
	return sealedOf(entries), nil
}

// manifestName returns the file that a line of the manifest is about.
func manifestName(line []byte) (name []byte, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) <= 64+len(manifestMiddle) || string(line[64:64+len(manifestMiddle)]) != manifestMiddle {
		return nil, false
	}
	return line[64+len(manifestMiddle):], true
}

func sealedOf(entries []os.DirEntry) []string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), warcSuffix) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names
}

// indexWARC reads a whole WARC and returns its index lines, unsorted, the end of its last whole record, and how many
// records were whole.
func indexWARC(ctx context.Context, path, name string) (lines []byte, good int64, records int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, 0, err
	}
	defer f.Close()
	r := warc.NewReader(f, warc.ReaderOptions{Digests: true})
	x := indexer{name: name}
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, 0, err
		}
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, 0, 0, err
		}
		l := x.line(rec)
		if err := rec.Close(); err != nil {
			return nil, 0, 0, err
		}
		_ = r.Findings()
		if rec.Damaged() {
			continue
		}
		records++
		good = rec.Offset + rec.Length
		if l != nil {
			l.Offset, l.Length, l.Filename = rec.Offset, rec.Length, name
			lines = x.flush(lines)
			x.held = l
		}
	}
	return x.flush(lines), good, records, nil
}

// indexer computes from records the same lines that Put and Note computed from what they were given.
type indexer struct {
	name   string
	source string     // of an import: what findings call it
	held   *cdxj.Line // the last line: the exchange note behind it adds its flags
}

func (x *indexer) flush(b []byte) []byte {
	if x.held != nil {
		b = appendLine(b, x.held)
		x.held = nil
	}
	return b
}

// maxNote bounds a note that is read into memory.
const maxNote = 64 << 20

// line returns the line of a record, nil when it is not indexed, without place. It may read the block.
func (x *indexer) line(rec *warc.Record) *cdxj.Line {
	h := &rec.Header
	imported := strings.HasPrefix(x.name, importPrefix)
	switch h.Type() {
	case warc.Response, warc.Revisit:
		l := recordLine(h, 0, "")
		if isHTTPBlock(h) {
			if m, err := message.Open(rec.Block); err == nil {
				l = recordLine(h, m.Head.Status, message.MediaType(m.Head.Get("Content-Type")))
				setHTTP(l, "", m.Head.Get("Location"))
			}
		} else if t := message.MediaType(h.Get(warc.FieldContentType)); t != "" && h.Type() == warc.Response {
			l = recordLine(h, 0, t)
		}
		if imported {
			setFlags(l, []string{flagImported})
		}
		return l
	case warc.Resource, warc.Conversion:
		l := recordLine(h, 0, message.MediaType(h.Get(warc.FieldContentType)))
		if imported {
			setFlags(l, []string{flagImported})
		}
		return l
	case warc.Metadata:
		schema := survey.NoteKind(h.Get(fieldSchema))
		if schema == "" {
			return nil
		}
		body, err := io.ReadAll(io.LimitReader(rec.Block, maxNote))
		if err != nil {
			return nil
		}
		if schema != survey.NoteExchange {
			return noteLine(h, schema, body)
		}
		var n exchangeNote
		if json.Unmarshal(body, &n) != nil {
			return nil
		}
		if n.Response == "" {
			l := noteLine(h, schema, nil)
			setFlags(l, n.Flags)
			setHTTP(l, n.Method, "")
			return l
		}
		if x.held != nil && isRecord(x.held, string(n.Response)) {
			setFlags(x.held, n.Flags)
			setHTTP(x.held, n.Method, "")
		}
	}
	return nil
}

// isHTTPBlock reports whether the block is an HTTP message (reader rows 17 and 18).
func isHTTPBlock(h *warc.Header) bool {
	uri := strings.ToLower(h.TargetURI())
	return strings.HasPrefix(uri, "http:") || strings.HasPrefix(uri, "https:") ||
		strings.HasPrefix(message.MediaType(h.Get(warc.FieldContentType)), "application/http")
}

// importPrefix begins the names of files that hold other people's records.
const importPrefix = "import-"
