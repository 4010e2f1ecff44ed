package wire

import (
	"errors"
	"io"
	"os"
	"sync"
)

// firstBlock is the memory a spool begins with; readRoom what must be free for a read, so that one TLS record always fits.
const (
	firstBlock = 64 << 10
	readRoom   = 16<<10 + 512
	fileBlock  = 64 << 10
)

var blocks = sync.Pool{New: func() any { b := make([]byte, firstBlock); return &b }}

// spool keeps octets as they come: in memory first, then in a file without a name. It is filled by one goroutine through room
// and take; when filled, ReadAt is safe for several. What was in memory stays there.
type spool struct {
	mem   []byte // len: what is there
	block *[]byte
	limit int
	dir   string
	open  func(dir string) (file, error)
	file  file
	fileN int64
	buf   []byte // where reads go once mem is full

	mu    sync.RWMutex
	freed bool
}

var errFreed = errors.New("response read after its body was closed")

func (t *Transport) newSpool() *spool {
	b := blocks.Get().(*[]byte)
	return &spool{mem: (*b)[:0], block: b, limit: t.limits.Spool, dir: t.cfg.Dir, open: t.cfg.createFile}
}

// file is what a spool needs of one.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Name() string
}

// temporary makes a file that has lost its name already where the system allows that.
func temporary(dir string) (file, error) {
	f, err := os.CreateTemp(dir, "mirrorwatch-spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil && !removeLater {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// room returns where the next octets go, at least readRoom of them.
func (s *spool) room() []byte {
	if s.file != nil {
		return s.buf
	}
	if cap(s.mem)-len(s.mem) < readRoom {
		size := min(4*cap(s.mem), s.limit+readRoom)
		if size-len(s.mem) < readRoom || len(s.mem) >= s.limit {
			if s.buf == nil {
				s.buf = make([]byte, fileBlock)
			}
			return s.buf
		}
		bigger := make([]byte, len(s.mem), size)
		copy(bigger, s.mem)
		s.putBlock()
		s.mem = bigger
	}
	return s.mem[len(s.mem):cap(s.mem)]
}

// take says that n octets were put into p, the last room, and returns them.
func (s *spool) take(p []byte, n int) ([]byte, error) {
	if s.buf == nil || n == 0 || &p[0] != &s.buf[0] {
		s.mem = s.mem[:len(s.mem)+n]
		return p[:n], nil
	}
	if s.file == nil {
		f, err := s.open(s.dir)
		if err != nil {
			return nil, err
		}
		s.file = f
	}
	w, err := s.file.WriteAt(p[:n], s.fileN)
	s.fileN += int64(w)
	return p[:w], err
}

// Size returns the octets kept.
func (s *spool) Size() int64 { return int64(len(s.mem)) + s.fileN }

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, off int64) (n int, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.freed:
		return 0, errFreed
	case off < 0:
		return 0, errors.New("negative offset")
	}
	if off < int64(len(s.mem)) {
		n = copy(p, s.mem[off:])
		off += int64(n)
	}
	if n == len(p) {
		return n, nil
	}
	if s.file == nil || off >= s.Size() {
		return n, io.EOF
	}
	off -= int64(len(s.mem))
	rest := p[n:]
	if int64(len(rest)) > s.fileN-off {
		rest = rest[:s.fileN-off]
		err = io.EOF
	}
	k, ferr := s.file.ReadAt(rest, off)
	if ferr != nil && ferr != io.EOF {
		err = ferr
	}
	return n + k, err
}

// memory returns the octets [start,end) when they lie in memory, else nil.
func (s *spool) memory(start, end int64) []byte {
	if start < 0 || end > int64(len(s.mem)) || start > end {
		return nil
	}
	return s.mem[start:end:end]
}

func (s *spool) putBlock() {
	if s.block != nil {
		blocks.Put(s.block)
		s.block = nil
	}
}

// free gives memory and file back. The spool must not be filled any more.
func (s *spool) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freed {
		return
	}
	s.freed = true
	s.putBlock()
	s.mem, s.buf = nil, nil
	if s.file != nil {
		name := s.file.Name()
		_ = s.file.Close()
		if removeLater {
			_ = os.Remove(name)
		}
	}
}
