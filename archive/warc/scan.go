package warc

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"
	"sort"
	"sync"
)

// ScanOptions say how [Map] reads. The zero value uses every core and checks no digests.
type ScanOptions struct {
	// Workers is how many goroutines read; 0 is one per core.
	Workers int
	// Reader is how each of them reads. Its Offset is where the scan starts.
	Reader ReaderOptions
	// Offsets, when known from an index, are where members start, in any order. Without them members are looked for. A
	// wrong offset costs time, never a wrong result.
	Offsets []int64
	// Chunk is the octets one worker takes at a time; 0 is 4 MiB.
	Chunk int64
}

// Map reads a file of one record per gzip member in parallel: work is called for every record, from several goroutines,
// and its results go to emit in the order of the file, from one. A work function must have no effect of its own, for a
// part that began inside a stored archive is read again from the true start. It returns the findings in order.
//
// Files that have no such members (plain, one member for all, zstd) are read by one goroutine with the same results.
func Map[T any](ctx context.Context, f io.ReaderAt, size int64, opt ScanOptions, work func(*Record) (T, error), emit func(T) error) ([]Finding, error) {
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.Chunk <= 0 {
		opt.Chunk = 4 << 20
	}
	starts := split(f, size, opt)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// A part is read by whoever is free; parts are handed out in order and at most two per worker ahead of the edge, so
	// memory stays flat.
	parts := make([]chan part[T], len(starts))
	for i := range parts {
		parts[i] = make(chan part[T], 1)
	}
	ahead := make(chan struct{}, 2*opt.Workers)
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range starts {
			select {
			case ahead <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for range min(opt.Workers, len(starts)) {
		group.Go(func() {
			for i := range next {
				parts[i] <- readPart(ctx, f, size, starts[i], bound(starts, i, size), opt.Reader, work)
			}
		})
	}
	var findings []Finding
	at := opt.Reader.Offset // where the next record is known to start
	for i := range starts {
		var p part[T]
		select {
		case p = <-parts[i]:
		case <-ctx.Done():
			return findings, ctx.Err()
		}
		end := bound(starts, i, size)
		switch {
		case at >= end && end < size:
			p = part[T]{end: at} // swallowed whole by the part before
		case at != starts[i]:
			p = readPart(ctx, f, size, at, end, opt.Reader, work)
		}
		findings = append(findings, p.findings...)
		for _, v := range p.values {
			if err := emit(v); err != nil {
				return findings, err
			}
		}
		if p.err != nil {
			return findings, p.err
		}
		at = p.end
		<-ahead
	}
	return findings, ctx.Err()
}

func bound(starts []int64, i int, size int64) int64 {
	if i+1 < len(starts) {
		return starts[i+1]
	}
	return size
}

type part[T any] struct {
	values   []T
	findings []Finding
	end      int64 // where the first record behind the part starts
	err      error
}

// readPart reads the records that start in [start, end).
func readPart[T any](ctx context.Context, f io.ReaderAt, size, start, end int64, opt ReaderOptions, work func(*Record) (T, error)) (p part[T]) {
	opt.Offset = start
	r := NewReader(io.NewSectionReader(f, start, size-start), opt)
	defer r.raw.forget()
	if start > 0 {
		r.kind = gzipped
	}
	last := end == size
	for {
		if p.err = ctx.Err(); p.err != nil {
			return p
		}
		rec, err := r.Next()
		found := r.Findings()
		if err != nil {
			p.findings = append(p.findings, found...)
			p.end = size
			if err != io.EOF {
				p.err = err
			}
			return p
		}
		if !last && rec.Offset >= end {
			for _, x := range found {
				if x.Offset < end {
					p.findings = append(p.findings, x)
				}
			}
			p.end = rec.Offset
			return p
		}
		p.findings = append(p.findings, found...)
		v, err := work(rec)
		if err != nil {
			p.err = err
			return p
		}
		rec.Close()
		p.findings = append(p.findings, r.Findings()...)
		p.values = append(p.values, v)
	}
}

// split returns where parts of about opt.Chunk octets start: the beginning, then starts of members.
func split(f io.ReaderAt, size int64, opt ScanOptions) []int64 {
	first := opt.Reader.Offset
	starts := []int64{first}
	var head [3]byte
	if _, err := f.ReadAt(head[:], first); err != nil || head != [3]byte{0x1f, 0x8b, 8} {
		return starts
	}
	known := slices.Clone(opt.Offsets)
	slices.Sort(known)
	buf := make([]byte, 64<<10)
	for at := first + opt.Chunk; at < size; {
		start := int64(-1)
		if i := sort.Search(len(known), func(i int) bool { return known[i] >= at }); i < len(known) && known[i] < size {
			start = known[i]
		} else if len(known) == 0 {
			start = nextMember(f, at, size, buf)
		}
		if start < 0 {
			break
		}
		starts = append(starts, start)
		at = start + opt.Chunk
	}
	return starts
}

// nextMember returns the start of the first member at or after off, -1 when there is none.
func nextMember(f io.ReaderAt, off, size int64, buf []byte) int64 {
	for off < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		b := buf[:n]
		for i := 0; i < n; {
			k := bytes.IndexByte(b[i:], 0x1f)
			if k < 0 {
				break
			}
			i += k
			if n-i < 2048 && off+int64(n) < size {
				n = i // look again with more behind it
				break
			}
			if probeGzip(b[i:min(n, i+4096)], false) {
				return off + int64(i)
			}
			i++
		}
		if n == 0 || (err != nil && err != io.EOF) {
			return -1
		}
		off += int64(n)
	}
	return -1
}

// Scan calls each for every record in the order of the file, decompressing ahead on all workers. Blocks of up to 1 MiB
// are in memory already; larger ones are read again from the file when their turn comes. It returns the findings in
// order. For work that should itself run in parallel, use [Map].
func Scan(ctx context.Context, f io.ReaderAt, size int64, workers int, each func(*Record) error) ([]Finding, error) {
	return ScanOrdered(ctx, f, size, ScanOptions{Workers: workers}, each)
}

// ScanOrdered is Scan with options.
func ScanOrdered(ctx context.Context, f io.ReaderAt, size int64, opt ScanOptions, each func(*Record) error) ([]Finding, error) {
	const inMemory = 1 << 20
	// Memory is bounded by the parts ahead of the edge; smaller parts, for a part may decompress to many times its size.
	if opt.Chunk <= 0 {
		opt.Chunk = 1 << 20
	}
	work := func(rec *Record) (*Record, error) {
		n, ok := rec.Header.ContentLength()
		out := *rec
		out.reader = nil
		if ok && n <= inMemory {
			block, err := io.ReadAll(rec.Block)
			rec.Close()
			out = *rec
			out.reader = nil
			out.Block = &held{r: *bytes.NewReader(block), err: err}
			return &out, nil
		}
		rec.Close()
		out = *rec
		out.reader = nil
		out.Block = &again{f: f, rec: &out}
		return &out, nil
	}
	return Map(ctx, f, size, opt, work, each)
}

// held is a block in memory that ends as it ended in the file.
type held struct {
	r   bytes.Reader
	err error
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if err == io.EOF && h.err != nil {
		err = h.err
	}
	return n, err
}

// again reads a block from the file a second time.
type again struct {
	f     io.ReaderAt
	rec   *Record
	block io.Reader
}

func (a *again) Read(p []byte) (int, error) {
	if a.block == nil {
		length := a.rec.Length
		if a.rec.Inside > 0 {
			length = 0
		}
		r := NewReader(io.NewSectionReader(a.f, a.rec.Offset, max(length, 1<<40)), ReaderOptions{Offset: a.rec.Offset})
		for {
			rec, err := r.Next()
			if err == io.EOF {
				return 0, io.ErrUnexpectedEOF
			}
			if err != nil {
				return 0, err
			}
			if rec.Offset == a.rec.Offset && rec.Inside == a.rec.Inside {
				a.block = rec.Block
				break
			}
		}
	}
	return a.block.Read(p)
}
