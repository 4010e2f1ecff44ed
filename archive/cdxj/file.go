package cdxj

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
)

// blockSize is how much one step of a binary search reads.
const blockSize = 8 << 10

// maxLine bounds a line of an index: keys are URLs, and URLs of megabytes exist.
const maxLine = 16 << 20

// ErrLineTooLong is a line over 16 MiB.
var ErrLineTooLong = errors.New("cdxj: line over 16 MiB")

// File is a sorted index file. It is safe for concurrent use.
type File struct {
	r    io.ReaderAt
	size int64
	name string
	c    io.Closer
}

// OpenFile opens an index file.
func OpenFile(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{r: f, size: info.Size(), name: name, c: f}, nil
}

// NewFile returns an index over r, which holds size octets. Close does not close r.
func NewFile(r io.ReaderAt, size int64) *File { return &File{r: r, size: size} }

// Name is the name the file was opened by.
func (f *File) Name() string { return f.name }

// Size is the size of the file in octets.
func (f *File) Size() int64 { return f.size }

// Close closes the file.
func (f *File) Close() error {
	if f.c == nil {
		return nil
	}
	return f.c.Close()
}

var blocks = sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}

// lineAt returns the first line that starts at or after off, and where it starts. ok is false behind the last line.
// buf is scratch space and may grow.
func (f *File) lineAt(off int64, buf []byte) (line []byte, start int64, grown []byte, err error) {
	start = off
	if off > 0 {
		// A line starts at off when the octet before is a line end.
		start = off - 1
	}
	n := 0
	skipping := off > 0
	for {
		if n == len(buf) {
			if skipping {
				// No line end in all of it: what was read belongs to a line before.
				start += int64(n)
				n = 0
			} else if len(buf) >= maxLine {
				return nil, start, buf, fmt.Errorf("%s at %d: %w", f.name, start, ErrLineTooLong)
			} else {
				buf = append(buf, make([]byte, len(buf))...)
			}
		}
		m, rerr := f.r.ReadAt(buf[n:min(int64(len(buf)), max(f.size-start, 0))], start+int64(n))
		from := n
		n += m
		if skipping {
			if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
				skipping = false
				start += int64(i) + 1
				n = copy(buf, buf[i+1:n])
				from = 0
			}
		}
		if !skipping {
			if i := bytes.IndexByte(buf[from:n], '\n'); i >= 0 {
				return buf[:from+i+1], start, buf, nil
			}
		}
		atEnd := start+int64(n) >= f.size || (m == 0 && rerr == io.EOF)
		if atEnd {
			if skipping {
				n = 0
				start = f.size
			}
			return buf[:n], start, buf, nil // the last line, perhaps without a line end; or none
		}
		if rerr != nil && rerr != io.EOF {
			return nil, start, buf, rerr
		}
	}
}

// seek returns the offset of the first line that is not less than key, by octets.
func (f *File) seek(key []byte) (int64, error) {
	pooled := blocks.Get().(*[]byte)
	buf := *pooled
	defer func() { *pooled = buf; blocks.Put(pooled) }()
	// Search for the last block whose first line is less than key; lo and hi count blocks.
	lo, hi := int64(0), (f.size+blockSize-1)/blockSize
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		line, _, grown, err := f.lineAt(mid*blockSize, buf)
		buf = grown
		if err != nil {
			return 0, err
		}
		if len(line) > 0 && bytes.Compare(line, key) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	// Then go through the lines from there.
	off := lo * blockSize
	w := window{f: f, buf: buf}
	defer func() { buf = w.buf }()
	if off > 0 {
		line, start, grown, err := f.lineAt(off, w.buf)
		w.buf = grown
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return f.size, nil
		}
		off = start
	}
	w.reset(off)
	for {
		line, start, err := w.next()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return f.size, nil
		}
		if bytes.Compare(line, key) >= 0 {
			return start, nil
		}
	}
}

// window reads lines forward from an offset that starts one.
type window struct {
	f    *File
	buf  []byte
	off  int64 // of buf[0]
	i, n int   // the unread part of buf
}

func (w *window) reset(off int64) { w.off, w.i, w.n = off, 0, 0 }

// next returns the next line with its line end, valid until the next call, and its offset; no line at the end.
func (w *window) next() ([]byte, int64, error) {
	from := w.i
	for {
		if k := bytes.IndexByte(w.buf[from:w.n], '\n'); k >= 0 {
			line, start := w.buf[w.i:from+k+1], w.off+int64(w.i)
			w.i = from + k + 1
			return line, start, nil
		}
		from = w.n
		if w.off+int64(w.n) >= w.f.size {
			line, start := w.buf[w.i:w.n], w.off+int64(w.i)
			w.i = w.n
			return line, start, nil
		}
		if w.i > 0 {
			w.n = copy(w.buf, w.buf[w.i:w.n])
			w.off += int64(w.i)
			from -= w.i
			w.i = 0
		} else if w.n == len(w.buf) {
			if w.n >= maxLine {
				return nil, w.off, fmt.Errorf("%s at %d: %w", w.f.name, w.off, ErrLineTooLong)
			}
			w.buf = append(w.buf, make([]byte, len(w.buf))...)
		}
		m, err := w.f.r.ReadAt(w.buf[w.n:min(int64(len(w.buf)), w.f.size-w.off)], w.off+int64(w.n))
		w.n += m
		if m == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF // the file shrank under us
			}
			return nil, w.off, fmt.Errorf("reading %q: %w", w.f.name, err)
		}
	}
}

// before returns the line that ends at off, and where it starts; no line at the beginning.
func (f *File) before(off int64, buf []byte) (line []byte, start int64, grown []byte, err error) {
	if off <= 0 {
		return nil, 0, buf, nil
	}
	for size := int64(1 << 10); ; size *= 2 {
		from := max(off-size, 0)
		n := int(off - from)
		for len(buf) < n {
			buf = append(buf, make([]byte, max(len(buf), 1<<10))...)
		}
		if m, err := f.r.ReadAt(buf[:n], from); m < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, 0, buf, fmt.Errorf("reading %q: %w", f.name, err)
		}
		if i := bytes.LastIndexByte(buf[:n-1], '\n'); i >= 0 {
			return buf[i+1 : n], from + int64(i) + 1, buf, nil
		}
		if from == 0 {
			return buf[:n], 0, buf, nil
		}
		if size > maxLine {
			return nil, 0, buf, fmt.Errorf("%s before %d: %w", f.name, off, ErrLineTooLong)
		}
	}
}

// lines yields the raw lines in [from, to) by octets, each with its line end where the file has one; an empty to has no
// bound. A line is valid until the next.
func (f *File) lines(from, to []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		off := int64(0)
		if len(from) > 0 {
			var err error
			if off, err = f.seek(from); err != nil {
				yield(nil, err)
				return
			}
		}
		w := window{f: f, buf: make([]byte, blockSize)}
		w.reset(off)
		for {
			line, _, err := w.next()
			if err != nil {
				yield(nil, err)
				return
			}
			if len(line) == 0 || (len(to) > 0 && bytes.Compare(line, to) >= 0) {
				return
			}
			if isMeta(line) {
				continue
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// isMeta reports lines that are about the index: "!meta", and blank ones.
func isMeta(line []byte) bool { return line[0] == '!' || line[0] == '\n' || line[0] == '\r' }

// Check reads the whole file and returns the number of lines and the first fault: a line that is no CDXJ, or one that
// is out of order, with which every look-up may miss pages silently.
func (f *File) Check() (lines int, err error) {
	w := window{f: f, buf: make([]byte, 256<<10)}
	var last []byte
	for {
		line, start, err := w.next()
		if err != nil {
			return lines, err
		}
		if len(line) == 0 {
			return lines, nil
		}
		if bytes.Compare(last, line) > 0 {
			return lines, fmt.Errorf("%q at %d: %w", f.name, start, ErrOrder)
		}
		last = append(last[:0], line...)
		if isMeta(line) {
			continue
		}
		if _, err := Parse(line); err != nil {
			return lines, fmt.Errorf("%q at %d: %w", f.name, start, err)
		}
		lines++
	}
}

// ErrOrder is an index whose lines are not sorted by octets.
var ErrOrder = errors.New("cdxj: lines out of order")
