package cdxj

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Set is a folder of index files of one kind: one file for each WARC, NAME+suffix, and bigger ones merged from them.
// A small catalogue says which WARCs a merged file covers; it is written whole or not at all, after the merged file and
// before the small ones go, so that a crash at any moment loses no line and shows none twice.
//
// One process writes at a time. Readers need no lock: [OpenSet] sees the folder as it was at one moment.
type Set struct {
	dir, suffix string
	opt         SetOptions
	catalogue   catalogue
	files       map[string]bool // names in the folder, without the suffix
	fresh       bool            // nothing was done since the folder was read
}

// SetOptions are the edges of a Set. The zero value works.
type SetOptions struct {
	// Write puts a file whole or not at all in the place of name, on the disk before it returns. nil is temporary file,
	// fsync and rename.
	Write func(name string, fill func(io.Writer) error) error
	// Remove removes a file; nil is os.Remove.
	Remove func(name string) error
	// Fanout is how many files of like size are merged into one; 0 is 8.
	Fanout int
}

// catalogue is the file SUFFIX-merged.txt: the number of the newest merged file, then each merged file on a line and below
// it, indented by a blank, the names it covers, sorted. A year of runs is read in a millisecond.
type catalogue struct {
	Next   int
	Merged map[string][]string
}

func (c *catalogue) append(b []byte) []byte {
	b = append(strconv.AppendInt(append(b, "newest "...), int64(c.Next), 10), '\n')
	for _, file := range slices.Sorted(maps.Keys(c.Merged)) {
		b = append(append(b, file...), '\n')
		for _, name := range c.Merged[file] {
			b = append(append(append(b, ' '), name...), '\n')
		}
	}
	return b
}

func parseCatalogue(text string) (c catalogue, err error) {
	c.Merged = make(map[string][]string)
	first, rest, ok := strings.Cut(text, "\n")
	number, is := strings.CutPrefix(first, "newest ")
	if c.Next, err = strconv.Atoi(number); err != nil || !ok || !is {
		return c, fmt.Errorf("%w: line 1", ErrCatalogue)
	}
	file := ""
	var names []string
	for n := 2; rest != ""; n++ {
		var line string
		if line, rest, ok = strings.Cut(rest, "\n"); !ok {
			return c, fmt.Errorf("%w: it ends within line %d", ErrCatalogue, n)
		}
		switch {
		case strings.HasPrefix(line, " ") && file != "" && len(line) > 1:
			names = append(names, line[1:])
		case strings.HasPrefix(line, mergedPrefix) && c.Merged[line] == nil:
			if file != "" {
				c.Merged[file] = names
			}
			file, names = line, []string{}
		default:
			return c, fmt.Errorf("%w: line %d", ErrCatalogue, n)
		}
	}
	if file != "" {
		c.Merged[file] = names
	}
	return c, nil
}

const mergedPrefix = "merged-"

// maxGroup is how many files are merged at once: each is open meanwhile.
const maxGroup = 128

// OpenSet reads the state of a folder; one that does not exist is empty.
func OpenSet(dir, suffix string, opt SetOptions) (*Set, error) {
	if opt.Write == nil {
		opt.Write = writeFile
	}
	if opt.Remove == nil {
		opt.Remove = os.Remove
	}
	if opt.Fanout < 2 {
		opt.Fanout = 8
	}
	s := &Set{dir: dir, suffix: suffix, opt: opt}
	err := s.load()
	s.fresh = err == nil
	return s, err
}

func (s *Set) cataloguePath() string {
	return filepath.Join(s.dir, strings.TrimPrefix(s.suffix, ".")+"-merged.txt")
}

func (s *Set) path(name string) string { return filepath.Join(s.dir, name+s.suffix) }

// ErrCatalogue is a catalogue that cannot be understood. All it says can be computed again from the WARCs.
var ErrCatalogue = errors.New("cdxj: unreadable catalogue of merged files")

// load reads the catalogue and the folder. A writer that merges meanwhile changes the catalogue before it removes what the
// merged file covers: when the catalogue is another one after the folder was read, both are read again.
func (s *Set) load() error {
	for try := 0; ; try++ {
		before := statOf(s.cataloguePath())
		if err := s.loadOnce(); err != nil {
			return err
		}
		if after := statOf(s.cataloguePath()); after == before || try == 5 {
			return nil
		}
	}
}

type fileState struct {
	size int64
	mod  int64
}

func statOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{-1, 0}
	}
	return fileState{info.Size(), info.ModTime().UnixNano()}
}

func (s *Set) loadOnce() error {
	s.catalogue = catalogue{Merged: make(map[string][]string)}
	s.files = make(map[string]bool)
	b, err := os.ReadFile(s.cataloguePath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if s.catalogue, err = parseCatalogue(string(b)); err != nil {
			return fmt.Errorf("reading %q: %w", s.cataloguePath(), err)
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), s.suffix); ok && e.Type().IsRegular() {
			s.files[name] = true
		}
	}
	return nil
}

// Covers returns the names of all WARCs that are indexed, sorted: those of small files and those in merged ones.
func (s *Set) Covers() []string {
	var all []string
	s.Each(func(name string) { all = append(all, name) })
	slices.Sort(all)
	return slices.Compact(all)
}

// Each calls f with the name of every WARC that is indexed, in no order; after a crash some come twice.
func (s *Set) Each(f func(name string)) {
	for name := range s.files {
		if !strings.HasPrefix(name, mergedPrefix) {
			f(name)
		}
	}
	for file, names := range s.catalogue.Merged {
		if s.files[file] {
			for _, name := range names {
				f(name)
			}
		}
	}
}

// Has reports whether the WARC of that name is indexed.
func (s *Set) Has(name string) bool {
	if s.files[name] && !strings.HasPrefix(name, mergedPrefix) {
		return true
	}
	for file, names := range s.catalogue.Merged {
		if _, ok := slices.BinarySearch(names, name); ok && s.files[file] {
			return true
		}
	}
	return false
}

// Live returns the names, without suffix, of the files that together hold every line once.
func (s *Set) Live() []string { return s.live() }

// Merged returns which names each merged file covers.
func (s *Set) Merged() map[string][]string {
	merged := make(map[string][]string)
	for file, names := range s.catalogue.Merged {
		if s.files[file] {
			merged[file] = slices.Clone(names)
		}
	}
	return merged
}

// IsMerged reports whether the name, without suffix, is that of a merged file.
func IsMerged(name string) bool { return strings.HasPrefix(name, mergedPrefix) }

// live returns the files to be read: merged ones the catalogue knows, and small ones none of them covers.
func (s *Set) live() []string {
	covered := make(map[string]bool)
	var live []string
	for file, names := range s.catalogue.Merged {
		if s.files[file] {
			live = append(live, file)
			for _, name := range names {
				if s.files[name] { // a small file that a crash left
					covered[name] = true
				}
			}
		}
	}
	for name := range s.files {
		if !strings.HasPrefix(name, mergedPrefix) && !covered[name] {
			live = append(live, name)
		}
	}
	slices.Sort(live)
	return live
}

// Index opens all files as one index. A writer that merges meanwhile may have removed one: the folder is read again then.
func (s *Set) Index() (*Index, error) {
	for try := 0; ; try++ {
		var paths []string
		for _, name := range s.live() {
			paths = append(paths, s.path(name))
		}
		x, err := Open(paths...)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || try == 5 {
			return x, err
		}
		if err := s.load(); err != nil {
			return nil, err
		}
	}
}

// Add writes the index file of one WARC; the lines need not be sorted.
func (s *Set) Add(name string, lines []Line) error {
	if strings.HasPrefix(name, mergedPrefix) || name == "" || strings.ContainsAny(name, `/\`) {
		return fmt.Errorf("cdxj: %q cannot name an index", name)
	}
	b := AppendSorted(nil, lines)
	if err := s.opt.Write(s.path(name), func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
		return err
	}
	s.files[name] = true
	return nil
}

// Compact merges files of like size until fewer than the fan-out are left of each, and removes what is covered.
func (s *Set) Compact() error {
	if !s.fresh {
		if err := s.load(); err != nil {
			return err
		}
	}
	s.fresh = false
	for {
		group, err := s.ripe()
		if err != nil {
			return err
		}
		if group == nil {
			return s.sweep()
		}
		if err := s.merge(group, nil); err != nil {
			return err
		}
	}
}

// ripe returns a fan-out of live files of one size class, the smallest class first.
func (s *Set) ripe() ([]string, error) {
	classes := make(map[int][]string)
	for _, name := range s.live() {
		info, err := os.Stat(s.path(name))
		if err != nil {
			return nil, err
		}
		class := 0
		for size := info.Size() >> 16; size > 0; size /= int64(s.opt.Fanout) {
			class++
		}
		classes[class] = append(classes[class], name)
	}
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		if group := classes[class]; len(group) >= s.opt.Fanout {
			return group[:min(len(group), maxGroup)], nil
		}
	}
	return nil, nil
}

// merge writes one file of the group's lines, but for those of the WARCs that are gone, then the catalogue.
func (s *Set) merge(group []string, gone map[string]bool) error {
	x := &Index{}
	defer x.Close()
	next := catalogue{Next: s.catalogue.Next + 1, Merged: maps.Clone(s.catalogue.Merged)}
	for file := range next.Merged {
		if !s.files[file] {
			delete(next.Merged, file) // somebody took it away: what it covered is not covered
		}
	}
	var keep func(*Line) bool
	if len(gone) > 0 {
		keep = func(l *Line) bool { return !gone[l.Filename] && !gone[nameOf(l.Filename)] }
	}
	var names []string
	for _, name := range group {
		f, err := OpenFile(s.path(name))
		if err != nil {
			return err
		}
		x.files = append(x.files, f)
		if covers, ok := next.Merged[name]; ok {
			names = append(names, covers...)
			delete(next.Merged, name)
		} else {
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return gone[n] })
	slices.Sort(names)
	file := fmt.Sprintf("%s%08d", mergedPrefix, next.Next)
	if len(names) == 0 {
		return s.commit(next)
	}
	next.Merged[file] = slices.Compact(names)
	err := s.opt.Write(s.path(file), func(w io.Writer) error {
		_, err := MergeFunc(w, keep, x.files...)
		return err
	})
	if err != nil {
		return err
	}
	return s.commit(next)
}

func (s *Set) commit(next catalogue) error {
	b := next.append(nil)
	if err := s.opt.Write(s.cataloguePath(), func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
		return err
	}
	return s.load()
}

// Drop takes WARCs out of the set, when they were pruned: their small files, and their lines from merged ones.
func (s *Set) Drop(names ...string) error {
	if err := s.load(); err != nil {
		return err
	}
	gone := make(map[string]bool)
	for _, name := range names {
		gone[name] = true
	}
	for _, file := range slices.Sorted(maps.Keys(s.catalogue.Merged)) {
		covers := s.catalogue.Merged[file]
		if !slices.ContainsFunc(covers, func(n string) bool { return gone[n] }) {
			continue
		}
		if err := s.merge([]string{file}, gone); err != nil {
			return err
		}
	}
	for name := range gone {
		if s.files[name] {
			if err := s.opt.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return s.Sweep()
}

// nameOf cuts the endings off the name of a WARC: sets may be told the name with them or without.
func nameOf(filename string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filename, ".gz"), ".warc")
}

// Sweep removes files that a merged one covers, and merged ones the catalogue does not know, which a crash left.
func (s *Set) Sweep() error {
	if err := s.load(); err != nil {
		return err
	}
	return s.sweep()
}

func (s *Set) sweep() error {
	live := make(map[string]bool)
	for _, name := range s.live() {
		live[name] = true
	}
	for name := range s.files {
		if !live[name] {
			if err := s.opt.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			delete(s.files, name)
		}
	}
	return nil
}

func writeFile(name string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp-*")
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %q: %w", name, err)
	}
	if d, err := os.Open(filepath.Dir(name)); err == nil {
		d.Sync() // where a folder cannot be synced, nothing is to be done
		d.Close()
	}
	return nil
}
