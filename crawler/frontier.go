package crawler

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"mirrorwatch/crawler/markup"
)

// frontier is the list of a site's addresses: each is handed out once, in the order in which they were found, to any number
// of workers. Memory does not grow with it but for eight octets an address: the list itself is an append-only file, read
// again where it no longer fits the ring. What was handed back as done is noted in a second file, so that a crawl that was
// interrupted goes on where it stopped.
type frontier struct {
	mu     sync.Mutex
	wake   *sync.Cond
	seen   hashSet
	found  *os.File
	out    *bufio.Writer
	done   *os.File
	marks  *bufio.Writer
	ring   []target // the oldest addresses not handed out, when they still fit
	first  uint32   // number of ring[0]
	next   uint32   // number of the next address to hand out
	count  uint32   // addresses found
	reader *bufio.Reader
	at     uint32 // number of the address that reader comes to next
	skip   map[uint32]bool
	busy   int
	closed bool
	undone bool // an address came back undone
	err    error
}

// target is an address of a site's crawl.
type target struct {
	number uint32
	url    string
	kind   markup.Kind
	depth  uint16 // links from a start
	run    uint16 // ancestors in a row of the same shape
}

// ringSize is how many addresses are held in memory; tests make it small.
var ringSize = 4096

const (
	maxCrawlURL    = 2048
	foundName      = "found"
	doneName       = "done"
	maxRecordBytes = maxCrawlURL + 64
)

// openFrontier opens the list in the folder, which is made when it does not exist. resumed is how many addresses of an
// interrupted crawl are there.
func openFrontier(dir string) (f *frontier, resumed int, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, 0, err
	}
	f = &frontier{skip: map[uint32]bool{}}
	f.wake = sync.NewCond(&f.mu)
	defer func() {
		if err != nil {
			f.closeFiles()
		}
	}()
	if f.found, err = os.OpenFile(filepath.Join(dir, foundName), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, 0, err
	}
	if f.done, err = os.OpenFile(filepath.Join(dir, doneName), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, 0, err
	}
	if err := f.recover(); err != nil {
		return nil, 0, fmt.Errorf("reading the interrupted crawl in %q: %w", dir, err)
	}
	f.out, f.marks = bufio.NewWriterSize(f.found, 64<<10), bufio.NewWriterSize(f.done, 4<<10)
	f.first = f.count
	return f, int(f.count), nil
}

// recover reads what an earlier crawl left; a record cut at the end is dropped.
func (f *frontier) recover() error {
	r := bufio.NewReader(f.found)
	var whole int64
	for {
		t, n, err := readTarget(r)
		if err != nil {
			break
		}
		whole += int64(n)
		f.seen.add(hashURL(t.url))
		f.count++
	}
	if err := f.found.Truncate(whole); err != nil {
		return err
	}
	if _, err := f.found.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	marks := bufio.NewReader(f.done)
	var b [4]byte
	var end int64
	for {
		if _, err := io.ReadFull(marks, b[:]); err != nil {
			break
		}
		f.skip[binary.LittleEndian.Uint32(b[:])] = true
		end += 4
	}
	_, err := f.done.Seek(end, io.SeekStart)
	return err
}

func appendTarget(b []byte, t *target) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.url)))
	b = append(b, t.url...)
	b = append(b, byte(len(t.kind)))
	b = append(b, t.kind...)
	b = binary.LittleEndian.AppendUint16(b, t.depth)
	return binary.LittleEndian.AppendUint16(b, t.run)
}

func readTarget(r *bufio.Reader) (t target, size int, err error) {
	n, err := binary.ReadUvarint(r)
	if err != nil || n > maxRecordBytes {
		return t, 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	url := make([]byte, n)
	if _, err := io.ReadFull(r, url); err != nil {
		return t, 0, err
	}
	k, err := r.ReadByte()
	if err != nil {
		return t, 0, err
	}
	rest := make([]byte, int(k)+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return t, 0, err
	}
	t = target{url: string(url), kind: markup.Kind(rest[:k]), depth: binary.LittleEndian.Uint16(rest[k:]), run: binary.LittleEndian.Uint16(rest[k+2:])}
	prefix := 1
	for v := n; v >= 0x80; v >>= 7 {
		prefix++
	}
	return t, prefix + int(n) + 1 + len(rest), nil
}

// add puts an address on the list unless it is there. It reports whether it was new.
func (f *frontier) add(t target) bool {
	if len(t.url) > maxCrawlURL || len(t.kind) > 32 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || !f.seen.add(hashURL(t.url)) {
		return false
	}
	t.number = f.count
	var buf [256]byte
	if _, err := f.out.Write(appendTarget(buf[:0], &t)); err != nil {
		f.err = err
		f.wake.Broadcast()
		return false
	}
	f.count++
	if f.first+uint32(len(f.ring)) == t.number && len(f.ring) < ringSize {
		f.ring = append(f.ring, t)
	}
	f.wake.Signal()
	return true
}

// known reports whether the address with the hash is on the list.
func (f *frontier) known(hash uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen.has(hash)
}

// take hands out the next address; ok is false when all are done, after stop, and when the list itself failed.
func (f *frontier) take() (t target, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.closed || f.err != nil:
			return t, false
		case f.next < f.count:
			if t, f.err = f.fetch(); f.err != nil {
				f.wake.Broadcast()
				return t, false
			}
			f.next++
			if f.skip[t.number] {
				delete(f.skip, t.number)
				continue
			}
			f.busy++
			return t, true
		case f.busy == 0:
			f.wake.Broadcast()
			return t, false
		}
		f.wake.Wait()
	}
}

// fetch returns address number f.next, from the ring or from the file.
func (f *frontier) fetch() (target, error) {
	if f.next >= f.first && f.next < f.first+uint32(len(f.ring)) {
		t := f.ring[f.next-f.first]
		if f.next == f.first+uint32(len(f.ring))-1 {
			f.ring, f.first = f.ring[:0], f.next+1 // used up: what is found from here on may be held again
			if f.count > f.first {
				f.first = f.count // but not what went to the file only
			}
		}
		return t, nil
	}
	if f.reader == nil || f.at != f.next {
		if f.reader == nil || f.at > f.next {
			f.reader = bufio.NewReaderSize(&fileReader{f: f.found}, 64<<10)
			f.at = 0
		}
	}
	if err := f.out.Flush(); err != nil {
		return target{}, err
	}
	for {
		t, _, err := readTarget(f.reader)
		if err != nil {
			return t, fmt.Errorf("reading the list of addresses: %w", err)
		}
		t.number = f.at
		f.at++
		if t.number == f.next {
			return t, nil
		}
	}
}

// fileReader reads a file that grows, from its own offset.
type fileReader struct {
	f  *os.File
	at int64
}

func (r *fileReader) Read(p []byte) (int, error) {
	n, err := r.f.ReadAt(p, r.at)
	r.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// finish hands an address back. done false leaves it for the next run.
func (f *frontier) finish(t target, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	if f.undone = f.undone || !done; done {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], t.number)
		if _, err := f.marks.Write(b[:]); err != nil && f.err == nil {
			f.err = err
		}
	}
	if f.busy == 0 || f.err != nil {
		f.wake.Broadcast()
	}
}

// stop makes take hand out nothing more.
func (f *frontier) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake.Broadcast()
}

// flush writes what is buffered, the found addresses before the marks.
func (f *frontier) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.err, f.out.Flush(), f.marks.Flush())
}

// complete reports whether every address was handed out and none came back undone.
func (f *frontier) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next == f.count && !f.undone
}

func (f *frontier) close() error {
	return errors.Join(f.flush(), f.closeFiles())
}

func (f *frontier) closeFiles() error {
	var errs []error
	for _, file := range []*os.File{f.found, f.done} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// crawlWorkers runs work on every address of the list until all are done, stop is closed or one fails.
func crawlWorkers(ctx context.Context, f *frontier, n int, stop <-chan struct{}, work func(context.Context, target) (done bool, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	go func() {
		select {
		case <-stop:
		case <-ctx.Done():
		case <-ended:
		}
		f.stop()
	}()
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for range n {
		wg.Go(func() {
			for {
				t, ok := f.take()
				if !ok {
					return
				}
				done, err := work(ctx, t)
				f.finish(t, done && err == nil)
				if err != nil {
					once.Do(func() { failed = err; cancel(err) })
				}
			}
		})
	}
	wg.Wait()
	close(ended)
	return failed
}

// hashURL is FNV-1a with 64 bits: the same in every process, since the state of a crawl outlives it.
func hashURL(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	if h == 0 {
		return 1
	}
	return h
}

// hashSet is a set of hashes, none of them zero, with open addressing.
type hashSet struct {
	slots []uint64
	n     int
}

func (s *hashSet) has(h uint64) bool {
	if len(s.slots) == 0 {
		return false
	}
	mask := uint64(len(s.slots) - 1)
	for i := (h * 0x9e3779b97f4a7c15 >> 20) & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case h:
			return true
		case 0:
			return false
		}
	}
}

// add reports whether h was new.
func (s *hashSet) add(h uint64) bool {
	if 4*(s.n+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint64, max(1024, 2*len(old)))
		for _, o := range old {
			if o != 0 {
				s.put(o)
			}
		}
	}
	if s.put(h) {
		s.n++
		return true
	}
	return false
}

func (s *hashSet) put(h uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := (h * 0x9e3779b97f4a7c15 >> 20) & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case h:
			return false
		case 0:
			s.slots[i] = h
			return true
		}
	}
}
