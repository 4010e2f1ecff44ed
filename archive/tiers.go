package archive

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
)

// catalogueSuffix ends the names of the files that say what merged indexes cover.
const catalogueSuffix = "-merged.txt"

// indexSet opens the tiers of one kind of index, cdxjSuffix or digestSuffix: small files, one for each WARC, and the
// bigger ones that sessions merge them into when they end, so that a year of hourly runs is a handful of files.
func (a *Archive) indexSet(suffix string) (*cdxj.Set, error) {
	return cdxj.OpenSet(a.path(indexDir), suffix, cdxj.SetOptions{
		Write: func(name string, fill func(io.Writer) error) error {
			return writeError("write", name, durable.Write(a.fs, name, 0o666, fill))
		},
		Remove: func(name string) error {
			if err := a.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return writeError("remove", name, err)
			}
			return nil
		},
	})
}

// compact merges small indexes into bigger ones.
func (a *Archive) compact() error {
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		s, err := a.indexSet(suffix)
		if err != nil {
			return err
		}
		if err := s.Compact(); err != nil {
			return err
		}
	}
	return nil
}

// uncover takes WARCs out of all indexes. Until they are indexed again, here or by the next Open, they are not found.
func (a *Archive) uncover(names ...string) error {
	bases := make([]string, len(names))
	for i, n := range names {
		bases[i] = indexName(n, "")
	}
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		s, err := a.indexSet(suffix)
		if err != nil {
			return err
		}
		if err := s.Drop(bases...); err != nil {
			return err
		}
	}
	return nil
}

// knownSet opens the tiers of one kind of index. A catalogue that cannot be read is set aside: what it covered counts as not
// indexed.
func (a *Archive) knownSet(suffix string) (*cdxj.Set, error) {
	s, err := a.indexSet(suffix)
	if !errors.Is(err, cdxj.ErrCatalogue) {
		return s, err
	}
	name := strings.TrimPrefix(suffix, ".") + catalogueSuffix
	kept, err := a.setAside(indexDir+"/"+name, false)
	if err != nil {
		return nil, err
	}
	a.log.Warn("set an unreadable catalogue of indexes aside; its files are indexed again", "kept_as", kept)
	if s, err = a.indexSet(suffix); err != nil {
		return nil, err
	}
	return s, s.Sweep() // merged files that no catalogue knows
}

// originals finds whole captures of a payload in the digest files, of the epoch given or, with "", of any.
type originals struct {
	x *cdxj.Index
}

func (a *Archive) openOriginals() (*originals, error) {
	s, err := a.indexSet(digestSuffix)
	if err != nil {
		return nil, err
	}
	x, err := s.Index()
	if err != nil {
		return nil, err
	}
	return &originals{x}, nil
}

func (o *originals) find(hex, epoch string) (cdxj.Line, bool, error) {
	if len(hex) != 64 {
		return cdxj.Line{}, false, nil
	}
	for l, err := range o.x.Lookup(hex) {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue // verify names it; the payload is written whole once more
			}
			return cdxj.Line{}, false, err
		}
		if epoch == "" || strings.HasPrefix(l.Filename, epoch+"-") {
			return l, true, nil
		}
	}
	return cdxj.Line{}, false, nil
}

func (o *originals) close() error {
	if o == nil {
		return nil
	}
	return o.x.Close()
}

// lineByDigest finds a whole capture of a payload through the digest files, whatever its URL.
func (a *Archive) lineByDigest(ctx context.Context, digest string) (cdxj.Line, bool, error) {
	if err := ctx.Err(); err != nil {
		return cdxj.Line{}, false, err
	}
	o, err := a.openOriginals()
	if err != nil {
		return cdxj.Line{}, false, err
	}
	defer o.close()
	l, ok, err := o.find(strings.TrimPrefix(digest, "sha256:"), "")
	if err != nil || !ok {
		return cdxj.Line{}, false, err
	}
	return a.lineOf(ctx, l.URL, l.RecordID)
}

// digestLine is the line of a digest file for a record: its index line under the digest.
func digestLine(l *cdxj.Line) []byte {
	d := *l
	d.Key = strings.TrimPrefix(l.Digest, "sha256:")
	return d.Append(nil)
}

// removeJournals removes the journals of open files once all of those are sealed.
func (a *Archive) removeJournals() error {
	entries, err := os.ReadDir(a.path(indexDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), openSuffix) && e.Type().IsRegular() {
			_ = a.fs.Remove(a.path(indexDir, e.Name())) // readers pass it over: its WARC is indexed
		}
	}
	return nil
}

// placeOfLine is where a merged index holds a line of a WARC.
type placeOfLine struct {
	file   int
	offset int64
	length int
}

// mergedLines finds the lines of each WARC in merged indexes without holding them.
type mergedLines struct {
	files  []*os.File
	of     map[string]int           // WARC (without endings) -> its merged file
	places map[string][]placeOfLine // by WARC, without endings
}

// problem is something wrong with a merged index.
type problem struct {
	file    string
	offset  int64
	kind    string
	message string
}

// readMerged walks over the merged indexes once. Lines that are none, stand out of order or belong to a WARC that their
// file does not cover are problems.
func (a *Archive) readMerged(ctx context.Context, suffix string) (m *mergedLines, problems []problem, err error) {
	m = &mergedLines{of: map[string]int{}, places: map[string][]placeOfLine{}}
	set, err := a.indexSet(suffix)
	if err != nil {
		if errors.Is(err, cdxj.ErrCatalogue) {
			return m, []problem{{strings.TrimPrefix(suffix, ".") + catalogueSuffix, 0, FoundIndexLine, err.Error()}}, nil
		}
		return m, nil, err
	}
	merged := set.Merged()
	for _, file := range slices.Sorted(maps.Keys(merged)) {
		n := len(m.files)
		f, err := os.Open(a.path(indexDir, file+suffix))
		if err != nil {
			return m, nil, errors.Join(err, m.close())
		}
		m.files = append(m.files, f)
		for _, w := range merged[file] {
			m.of[w] = n
		}
		r := bufio.NewReaderSize(f, 256<<10)
		last, at, ordered := "", int64(0), true
		for {
			if err := ctx.Err(); err != nil {
				return m, nil, errors.Join(err, m.close())
			}
			raw, rerr := r.ReadString('\n')
			if rerr != nil && rerr != io.EOF {
				return m, nil, errors.Join(rerr, m.close())
			}
			if raw == "" {
				break
			}
			text := strings.TrimRight(raw, "\n")
			l, perr := cdxj.Parse([]byte(text))
			base := indexName(l.Filename, "")
			at0, covered := m.of[base]
			switch {
			case perr != nil:
				problems = append(problems, problem{file + suffix, at, FoundIndexLine, perr.Error()})
			case !covered || at0 != n:
				problems = append(problems, problem{file + suffix, at, FoundIndexExtra, "a line of " + l.Filename + ", which the file does not cover"})
			default:
				m.places[base] = append(m.places[base], placeOfLine{n, at, len(text)})
			}
			if text < last && ordered {
				ordered = false
				problems = append(problems, problem{file + suffix, at, FoundIndexOrder, "look-ups miss lines behind here"})
			}
			last = text
			at += int64(len(raw))
		}
	}
	return m, problems, nil
}

// lines returns the lines of a WARC, joined, in order; ok is false when no merged index covers it.
func (m *mergedLines) lines(base string) (text []byte, ok bool, err error) {
	if _, ok := m.of[base]; !ok {
		return nil, false, nil
	}
	for _, p := range m.places[base] {
		from := len(text)
		text = append(text, make([]byte, p.length+1)...)
		if _, err := m.files[p.file].ReadAt(text[from:from+p.length], p.offset); err != nil {
			return nil, true, err
		}
		text[from+p.length] = '\n'
	}
	return text, true, nil
}

func (m *mergedLines) close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
