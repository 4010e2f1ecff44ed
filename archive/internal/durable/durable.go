// Package durable writes files that are whole or absent, and append-only files that never end in half a write.
//
// It reaches the disk through a small interface, [FS], for two reasons: tests put a failing disk in its place (package
// faulty), and archives may one day live elsewhere. The rules it keeps:
//
//   - Nothing is believed before it was synced: data first, then the name, then the folder.
//   - A name that stands for finished work is never overwritten: [WriteFile] replaces whole files by rename, [Seal]
//     refuses to.
//   - A failed append is taken back, so that what follows the last good octet is never read as a record.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// File is an open file. Writes append at its end.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	// Sync returns when everything written is on the disk.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Name() string
}

// FS is what the archive asks of a file system. Names are paths as the operating system takes them. Errors satisfy
// errors.Is for fs.ErrNotExist and fs.ErrExist where they mean that.
type FS interface {
	// Create makes a new file for appending; it is an error if the name exists.
	Create(name string, perm fs.FileMode) (File, error)
	// Append opens an existing file for appending.
	Append(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Rename gives the file a new name, in place of a file that has it.
	Rename(from, to string) error
	// Link gives the file a second name; it is an error if that exists.
	Link(from, to string) error
	Remove(name string) error
	Mkdir(name string, perm fs.FileMode) error
	// List returns the entries of a folder, sorted by name.
	List(dir string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir returns when names made, changed and removed in the folder are on the disk.
	SyncDir(dir string) error
}

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func wrap(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Create implements FS.
func (OS) Create(name string, perm fs.FileMode) (File, error) {
	return wrap(os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, perm))
}

// Append implements FS.
func (OS) Append(name string) (File, error) {
	return wrap(os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0))
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return wrap(os.Open(name)) }

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Link implements FS.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Mkdir implements FS.
func (OS) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }

// List implements FS.
func (OS) List(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

// Stat implements FS.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir implements FS; it does nothing where folders cannot be synced.
func (OS) SyncDir(dir string) error { return syncDir(dir) }

// SyncDir returns when names made, changed and removed in the folder are on the disk.
func SyncDir(fsys FS, dir string) error {
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("syncing folder %q: %w", dir, err)
	}
	return nil
}

// TempMark stands in the names of files that are being written. Whoever recovers a folder may remove them.
const TempMark = ".tmp-"

// IsTemp reports whether the name is one of a file that was being written when its writer died.
func IsTemp(name string) bool { return strings.Contains(filepath.Base(name), TempMark) }

// WriteFile puts a file with this content in the place of name: after a crash the name stands for the old content or the
// new, never for less. It returns nil only when the new content is on the disk.
func WriteFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	return Write(fsys, name, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write is WriteFile for content that fill writes, in pieces of any size.
func Write(fsys FS, name string, perm fs.FileMode, fill func(io.Writer) error) (err error) {
	f, err := createTemp(fsys, name, perm)
	if err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			fsys.Remove(f.Name()) // best effort: its name says what it is
			err = fmt.Errorf("writing %q: %w", name, err)
		}
	}()
	w := newBuffer(f)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fsys.Rename(f.Name(), name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func createTemp(fsys FS, name string, perm fs.FileMode) (File, error) {
	for try := 0; ; try++ {
		f, err := fsys.Create(name+TempMark+strconv.FormatUint(rand.Uint64(), 36), perm)
		if !errors.Is(err, fs.ErrExist) || try == 100 {
			return f, err
		}
	}
}

// ErrSealed is a name that stands for finished work already.
var ErrSealed = errors.New("a finished file has this name")

// Seal gives a file that was written under another name its final one, and never takes the name from another file. The
// content must have been synced.
func Seal(fsys FS, from, to string) error {
	// A second name fails when it exists, where a rename would silently replace.
	err := fsys.Link(from, to)
	switch {
	case err == nil:
		if err := fsys.SyncDir(filepath.Dir(to)); err != nil {
			return fmt.Errorf("sealing %q: %w", to, err)
		}
		if err := fsys.Remove(from); err != nil {
			return fmt.Errorf("sealing %q: %w", to, err)
		}
	case errors.Is(err, fs.ErrExist):
		if sameFile(fsys, from, to) { // a crash came between the two names
			if err := fsys.Remove(from); err != nil {
				return fmt.Errorf("sealing %q: %w", to, err)
			}
			break
		}
		return fmt.Errorf("sealing %q: %w", to, ErrSealed)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sealing %q: %w", to, err)
	default:
		// No second names here (FAT, some network shares): look, then rename. The writer's lock keeps others away.
		if _, serr := fsys.Stat(to); serr == nil {
			return fmt.Errorf("sealing %q: %w", to, ErrSealed)
		} else if !errors.Is(serr, fs.ErrNotExist) {
			return fmt.Errorf("sealing %q: %w", to, serr)
		}
		if err := fsys.Rename(from, to); err != nil {
			return fmt.Errorf("sealing %q: %w", to, err)
		}
	}
	if err := fsys.SyncDir(filepath.Dir(to)); err != nil {
		return fmt.Errorf("sealing %q: %w", to, err)
	}
	return nil
}

func sameFile(fsys FS, a, b string) bool {
	x, err := fsys.Stat(a)
	if err != nil {
		return false
	}
	y, err := fsys.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// buffer gathers small writes.
type buffer struct {
	w io.Writer
	b []byte
}

func newBuffer(w io.Writer) *buffer { return &buffer{w: w, b: make([]byte, 0, 256<<10)} }

func (b *buffer) Write(p []byte) (int, error) {
	if len(b.b)+len(p) > cap(b.b) {
		if err := b.flush(); err != nil {
			return 0, err
		}
		if len(p) >= cap(b.b) {
			return len(p), writeAll(b.w, p)
		}
	}
	b.b = append(b.b, p...)
	return len(p), nil
}

func (b *buffer) flush() error {
	if len(b.b) == 0 {
		return nil
	}
	err := writeAll(b.w, b.b)
	b.b = b.b[:0]
	return err
}

// writeAll makes a short write without an error an error.
func writeAll(w io.Writer, p []byte) error {
	n, err := w.Write(p)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	return err
}
