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
	"time"

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

	names   []string  // files to be read, as the folder was
	changed time.Time // its time then
	listed  time.Time // when it was listed
}

type indexFile struct {
	file    *cdxj.File
	size    int64
	changed time.Time
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
	for try := 0; ; try++ {
		v, err := x.look(ctx)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || try == 5 {
			return v, err
		}
		x.listed = time.Time{} // sealed or merged meanwhile: the folder is listed again
	}
}

// racy is how long after a change of the folder another one may leave no trace in its time.
const racy = 100 * time.Millisecond

// look opens what changed since the last look.
func (x *index) look(ctx context.Context) (*cdxj.Index, error) {
	dir, err := os.Stat(x.a.path(indexDir))
	if errors.Is(err, fs.ErrNotExist) {
		return cdxj.New(), nil
	}
	if err != nil {
		return nil, err
	}
	if x.listed.IsZero() || !dir.ModTime().Equal(x.changed) || x.listed.Sub(x.changed) < racy {
		x.listed, x.changed = time.Now(), dir.ModTime()
		if x.names, err = x.list(); err != nil {
			x.listed = time.Time{}
			return nil, err
		}
	}
	var files []*cdxj.File
	seen := make(map[string]bool, len(x.names))
	for _, name := range x.names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := os.Stat(x.a.path(indexDir, name))
		if err != nil {
			return nil, err
		}
		f := x.files[name]
		if f == nil || f.size != info.Size() || !f.changed.Equal(info.ModTime()) {
			if f, err = x.open(name, strings.HasSuffix(name, openSuffix), info); err != nil {
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

// list names the files that hold each line once: of the tiers, and the journals of files that are not indexed yet.
func (x *index) list() ([]string, error) {
	entries, err := os.ReadDir(x.a.path(indexDir))
	if err != nil {
		return nil, err
	}
	var names []string
	set, err := x.a.indexSet(cdxjSuffix)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		base, journal := strings.CutSuffix(e.Name(), cdxjSuffix+openSuffix)
		if !journal || !e.Type().IsRegular() {
			continue
		}
		if !set.Has(base) {
			names = append(names, e.Name())
		}
	}
	for _, n := range set.Live() {
		names = append(names, n+cdxjSuffix)
	}
	return names, nil
}

func (x *index) open(name string, journal bool, info os.FileInfo) (*indexFile, error) {
	path := x.a.path(indexDir, name)
	if !journal && info.Size() > smallIndex {
		f, err := cdxj.OpenFile(path)
		if err != nil {
			return nil, err
		}
		return &indexFile{f, info.Size(), info.ModTime()}, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	size := int64(len(b))
	if journal {
		b = sortedText(b) // it stands in the order of capture
	}
	return &indexFile{cdxj.NewFile(bytes.NewReader(b), int64(len(b))), size, info.ModTime()}, nil
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
