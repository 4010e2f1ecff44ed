package durable

import (
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
}

// CreateAppender makes a new file, and its name durable; it is an error if the name exists.
func CreateAppender(fsys FS, name string, perm fs.FileMode) (*Appender, error) {
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

// OpenAppender opens an existing file whose first good octets are whole appends, and cuts what follows them. Whoever
// wants to keep the rest copies it before.
func OpenAppender(fsys FS, name string, good int64) (*Appender, error) {
	f, err := fsys.Append(name)
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

// Len is the length of all whole appends.
func (a *Appender) Len() int64 { return a.good }

// Synced is the length that is known to be on the disk.
func (a *Appender) Synced() int64 { return a.synced }

// Append writes what w writes itself as, in one piece as far as w does, and returns where it starts. On an error the file
// is as before.
func (a *Appender) Append(w io.WriterTo) (offset int64, err error) {
	if a.broken != nil {
		return 0, fmt.Errorf("appending to %q: %w (%v)", a.f.Name(), ErrBroken, a.broken)
	}
	offset = a.good
	n, err := w.WriteTo(counted{a.f})
	if err == nil {
		a.good += n
		return offset, nil
	}
	if terr := a.f.Truncate(a.good); terr != nil {
		a.broken = errors.Join(err, terr)
	}
	return 0, fmt.Errorf("appending to %q: %w", a.f.Name(), err)
}

// AppendBytes is Append of octets at hand.
func (a *Appender) AppendBytes(p []byte) (offset int64, err error) { return a.Append(octets(p)) }

type octets []byte

func (o octets) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(o)
	return int64(n), err
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
