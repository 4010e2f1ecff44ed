// Package faulty is a disk that fails when a test asks it to: short writes, EIO, ENOSPC, and a crash at the n-th
// operation after which what was not synced may be gone.
package faulty

import (
	"errors"
	"io/fs"
	"sync"
	"syscall"

	"mirrorwatch/archive/internal/durable"
)

// ErrCrashed is what every operation returns after the crash.
var ErrCrashed = errors.New("the machine is off")

// Op is an operation that can fail.
type Op string

// The operations.
const (
	Create   Op = "create"
	Write    Op = "write"
	Sync     Op = "sync"
	Truncate Op = "truncate"
	Rename   Op = "rename"
	Link     Op = "link"
	Remove   Op = "remove"
	Mkdir    Op = "mkdir"
	SyncDir  Op = "syncdir"
	Read     Op = "read"
)

// Fault says when and how an operation fails.
type Fault struct {
	Op  Op    // which operation; "" is any that changes something
	Nth int   // the how-manyth of those, from 1
	Err error // EIO, ENOSPC ...; nil is EIO
	// Short lets a failing write put down its first half.
	Short bool
	// Silent returns no error from a short write: n < len(p) and nothing else.
	Silent bool
	// Sticky makes all later operations of the kind fail as well.
	Sticky bool
	// Crash switches the machine off: the operation and all later ones fail with ErrCrashed.
	Crash bool
}

// FS is a file system over another one with faults. It is safe for concurrent use.
type FS struct {
	durable.FS
	mu      sync.Mutex
	faults  []Fault
	counts  map[Op]int
	crashed bool
	log     []string
	// unsynced holds the length known to be on the disk for files that were written since, for Lose.
	synced map[string]int64
}

// New returns a file system over fsys with these faults.
func New(fsys durable.FS, faults ...Fault) *FS {
	return &FS{FS: fsys, faults: faults, counts: make(map[Op]int), synced: make(map[string]int64)}
}

// Inject adds a fault; its count starts now.
func (f *FS) Inject(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault.Nth += f.counts[fault.Op]
	f.faults = append(f.faults, fault)
}

// Heal removes all faults.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.crashed = nil, false
}

// Ops is the number of operations so far that changed something.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[""]
}

// Log returns the operations so far that changed something, "write NAME" each.
func (f *FS) Log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// Crashed reports whether the machine is off.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Lose cuts every file to what was synced, as a power failure may: call it after the crash, before the folder is looked
// at again.
func (f *FS) Lose() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, size := range f.synced {
		file, err := f.FS.Append(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if have, err := file.Size(); err == nil && have > size {
			err = file.Truncate(size)
			if err != nil {
				file.Close()
				return err
			}
		}
		file.Close()
	}
	return nil
}

// hit counts the operation and returns the fault that strikes it.
func (f *FS) hit(op Op, name string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return Fault{Err: ErrCrashed}, true
	}
	f.counts[op]++
	if op != Read {
		f.counts[""]++
		f.log = append(f.log, string(op)+" "+name)
	}
	for _, x := range f.faults {
		if x.Op != op && (x.Op != "" || op == Read) {
			continue
		}
		n := f.counts[x.Op]
		if n != x.Nth && !(x.Sticky && n > x.Nth) {
			continue
		}
		if x.Err == nil {
			x.Err = syscall.EIO
		}
		if x.Crash {
			f.crashed, x.Err = true, ErrCrashed
		}
		return x, true
	}
	return Fault{}, false
}

func (f *FS) try(op Op, name string) error {
	if x, bad := f.hit(op, name); bad {
		return &fs.PathError{Op: string(op), Path: name, Err: x.Err}
	}
	return nil
}

// Create implements durable.FS.
func (f *FS) Create(name string, perm fs.FileMode) (durable.File, error) {
	if err := f.try(Create, name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, perm)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.synced[name] = 0
	f.mu.Unlock()
	return &File{File: file, fs: f}, nil
}

// Append implements durable.FS.
func (f *FS) Append(name string) (durable.File, error) {
	if f.Crashed() {
		return nil, ErrCrashed
	}
	file, err := f.FS.Append(name)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err != nil {
		file.Close()
		return nil, err
	}
	f.mu.Lock()
	if _, ok := f.synced[name]; !ok {
		f.synced[name] = size
	}
	f.mu.Unlock()
	return &File{File: file, fs: f}, nil
}

// Open implements durable.FS.
func (f *FS) Open(name string) (durable.File, error) {
	if err := f.try(Read, name); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &File{File: file, fs: f}, nil
}

// Rename implements durable.FS.
func (f *FS) Rename(from, to string) error {
	if err := f.try(Rename, to); err != nil {
		return err
	}
	if err := f.FS.Rename(from, to); err != nil {
		return err
	}
	f.renamed(from, to)
	return nil
}

func (f *FS) renamed(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, ok := f.synced[from]; ok {
		f.synced[to] = n
		delete(f.synced, from)
	}
}

// Link implements durable.FS.
func (f *FS) Link(from, to string) error {
	if err := f.try(Link, to); err != nil {
		return err
	}
	return f.FS.Link(from, to)
}

// Remove implements durable.FS.
func (f *FS) Remove(name string) error {
	if err := f.try(Remove, name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// Mkdir implements durable.FS.
func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	if err := f.try(Mkdir, name); err != nil {
		return err
	}
	return f.FS.Mkdir(name, perm)
}

// SyncDir implements durable.FS.
func (f *FS) SyncDir(dir string) error {
	if err := f.try(SyncDir, dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

// File is an open file on a failing disk.
type File struct {
	durable.File
	fs *FS
}

func (f *File) Write(p []byte) (int, error) {
	x, bad := f.fs.hit(Write, f.Name())
	if !bad {
		return f.File.Write(p)
	}
	n := 0
	if x.Short || x.Silent {
		n, _ = f.File.Write(p[:len(p)/2])
	}
	if x.Silent {
		return n, nil
	}
	return n, &fs.PathError{Op: "write", Path: f.Name(), Err: x.Err}
}

// Sync implements durable.File.
func (f *File) Sync() error {
	if err := f.fs.try(Sync, f.Name()); err != nil {
		return err
	}
	if err := f.File.Sync(); err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		f.fs.mu.Lock()
		f.fs.synced[f.Name()] = size
		f.fs.mu.Unlock()
	}
	return err
}

// Truncate implements durable.File.
func (f *File) Truncate(size int64) error {
	if err := f.fs.try(Truncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// ReadAt implements durable.File.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.try(Read, f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}
