package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// ErrBroken is an Appender whose failed write could not be taken back, or whose sync failed: what is on the disk behind
// the last good length is not known, and nothing more may be written.
var ErrBroken = errors.New("an earlier write failed and could not be taken back")

// Appender is an append-only file that knows how far it is good. Each Append is whole or taken back. It is for one
// goroutine at a time.
type Appender struct {
	fsys   FS
	f      File
	good   int64 // whole appends
	synced int64 // of them, on the disk
	broken error
	out    *bufio.Writer
}

// CreateAppend makes a new file, and its name durable; it is an error if the name exists.
func CreateAppend(fsys FS, name string, perm fs.FileMode) (*Appender, error) {
	f, err := fsys.Create(name, perm)
	if err != nil {
		return nil, fmt.Errorf("creating %q: %w", name, err)
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		f.Close()
		return nil, fmt.Errorf("creating %q: %w", name, err)
	}
	return &Appender{fsys: fsys, f: f}, nil
}

// OpenAppend opens a file whose first good octets are whole appends, and cuts what follows them; whoever wants to keep the
// rest copies it before. When nothing is good, the file is made if it is not there.
func OpenAppend(fsys FS, name string, good int64, perm fs.FileMode) (*Appender, error) {
	f, err := fsys.Append(name)
	if good == 0 && errors.Is(err, fs.ErrNotExist) {
		return CreateAppend(fsys, name, perm)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", name, err)
	}
	a := &Appender{fsys: fsys, f: f, good: good, synced: good}
	size, err := f.Size()
	if err == nil && size < good {
		err = fmt.Errorf("%w: %d octets where %d were written", io.ErrUnexpectedEOF, size, good)
	}
	if err == nil && size > good {
		if err = f.Truncate(good); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening %q: %w", name, err)
	}
	return a, nil
}

// Name returns the file's name as it was opened.
func (a *Appender) Name() string { return a.f.Name() }

// Size is the length of all whole appends.
func (a *Appender) Size() int64 { return a.good }

// Synced is the length that is known to be on the disk.
func (a *Appender) Synced() int64 { return a.synced }

// Source is what an Appender appends: it writes all of itself.
type Source interface {
	WriteTo(w io.Writer) (int64, error)
}

// Bytes are octets at hand as a Source.
type Bytes []byte

// WriteTo implements Source.
func (b Bytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

// Append writes the sources one behind the other and returns where the first starts. On an error the file is as before:
// all of the group is in it, or none.
func (a *Appender) Append(group ...Source) (offset int64, err error) {
	if a.broken != nil {
		return 0, fmt.Errorf("appending to %q: %w (%v)", a.f.Name(), ErrBroken, a.broken)
	}
	offset = a.good
	// One write for a group of small members: each costs a system call.
	if a.out == nil {
		a.out = bufio.NewWriterSize(nil, 64<<10)
	}
	a.out.Reset(counted{a.f})
	var n int64
	for _, s := range group {
		var m int64
		if m, err = s.WriteTo(a.out); err != nil {
			break
		}
		n += m
	}
	if err == nil {
		err = a.out.Flush()
	}
	if err == nil {
		a.good += n
		return offset, nil
	}
	if terr := a.f.Truncate(a.good); terr != nil {
		a.broken = errors.Join(err, terr)
	}
	return 0, fmt.Errorf("appending to %q: %w", a.f.Name(), err)
}

// counted makes short writes errors.
type counted struct{ w io.Writer }

func (c counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// ReadAt reads from the good part, also what is not synced yet.
func (a *Appender) ReadAt(p []byte, off int64) (int, error) {
	if off >= a.good {
		return 0, io.EOF
	}
	short := false
	if max := a.good - off; int64(len(p)) > max {
		p, short = p[:max], true
	}
	n, err := a.f.ReadAt(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Sync returns when all appends are on the disk. After a failed sync nobody knows what is: the kernel may have dropped
// the pages and forgotten the error, so the Appender takes no more (PostgreSQL learned this in 2018).
func (a *Appender) Sync() error {
	if a.broken != nil {
		return fmt.Errorf("syncing %q: %w (%v)", a.f.Name(), ErrBroken, a.broken)
	}
	if a.synced == a.good {
		return nil
	}
	if err := a.f.Sync(); err != nil {
		a.broken = err
		return fmt.Errorf("syncing %q: %w", a.f.Name(), err)
	}
	a.synced = a.good
	return nil
}

// Close closes the file without syncing it.
func (a *Appender) Close() error { return a.f.Close() }

// Seal syncs, closes, and gives the file its final name, which must be free.
func (a *Appender) Seal(name string) error {
	if err := a.Sync(); err != nil {
		return err
	}
	if err := a.f.Close(); err != nil {
		return fmt.Errorf("closing %q: %w", a.f.Name(), err)
	}
	return Seal(a.fsys, a.f.Name(), name)
}
