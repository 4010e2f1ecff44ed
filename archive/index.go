package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"mirrorwatch/archive/cdxj"
)

// smallIndex is the size up to which an index file is held in memory in place of an open file.
const smallIndex = 64 << 10

// index sees all index files of the archive as one: those of sealed WARCs, and the journals of open ones, which hold what
// was committed. It looks at the folder again before each use, so a reader sees what a writer commits.
type index struct {
	a     *Archive
	mu    sync.Mutex
	files map[string]*indexFile
}

type indexFile struct {
	file *cdxj.File
	size int64
}

func newIndex(a *Archive) *index { return &index{a: a, files: map[string]*indexFile{}} }

// own is view with what this writer holds and has not committed yet: its revisits may refer to that.
func (x *index) own(ctx context.Context) (*cdxj.Index, error) {
	v, err := x.view(ctx)
	if err != nil || x.a.opt.ReadOnly {
		return v, err
	}
	files := v.Files()
	for _, s := range x.a.allSeries() {
		s.mu.Lock()
		b := bytes.Clone(s.pending)
		s.mu.Unlock()
		if b = sortedText(b); len(b) > 0 {
			files = append(files, cdxj.NewFile(bytes.NewReader(b), int64(len(b))))
		}
	}
	return cdxj.New(files...), nil
}

// sortedText sorts the whole lines of b; the last may be half written and is left out.
func sortedText(b []byte) []byte {
	lines := splitLines(b[:bytes.LastIndexByte(b, '\n')+1])
	if len(lines) == 0 {
		return nil
	}
	slices.SortFunc(lines, bytes.Compare)
	return append(bytes.Join(lines, []byte("\n")), '\n')
}

// view returns the present state. It stays usable until close, also when files are added or removed.
func (x *index) view(ctx context.Context) (*cdxj.Index, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	entries, err := os.ReadDir(x.a.path(indexDir))
	if errors.Is(err, fs.ErrNotExist) {
		return cdxj.New(), nil
	}
	if err != nil {
		return nil, err
	}
	var files []*cdxj.File
	seen := map[string]bool{}
	sealed := map[string]bool{}
	for _, e := range entries {
		sealed[e.Name()] = true
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := e.Name()
		base, journal := strings.CutSuffix(name, openSuffix)
		if !strings.HasSuffix(base, cdxjSuffix) || !e.Type().IsRegular() || (journal && sealed[base]) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // sealed or removed meanwhile
		}
		f := x.files[name]
		if f == nil || f.size != info.Size() {
			if f, err = x.open(name, journal, info.Size()); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				return nil, err
			}
			x.files[name] = f
		}
		seen[name] = true
		files = append(files, f.file)
	}
	for name := range x.files {
		if !seen[name] {
			delete(x.files, name) // left to the garbage collector: a view may still read it
		}
	}
	return cdxj.New(files...), nil
}

func (x *index) open(name string, journal bool, size int64) (*indexFile, error) {
	path := x.a.path(indexDir, name)
	if !journal && size > smallIndex {
		f, err := cdxj.OpenFile(path)
		if err != nil {
			return nil, err
		}
		return &indexFile{f, size}, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	size = int64(len(b))
	if journal {
		b = sortedText(b) // it stands in the order of capture
	}
	return &indexFile{cdxj.NewFile(bytes.NewReader(b), int64(len(b))), size}, nil
}

func (x *index) close() error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, f := range x.files {
		errs = append(errs, f.file.Close())
	}
	x.files = map[string]*indexFile{}
	return errors.Join(errs...)
}
