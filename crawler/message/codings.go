package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// DefaultDecodedLimit caps decoded bodies, in octets, when no limit is given.
const DefaultDecodedLimit = 64 << 20

// maxCodings bounds how many content codings may be stacked.
const maxCodings = 5

// maxWindow is the largest zstd window that RFC 9659 allows in the zstd content coding.
const maxWindow = 8 << 20

// ErrDecodedLimit is returned behind the last allowed octet when a coding unfolds to more than the limit.
var ErrDecodedLimit = errors.New("decoded body exceeds its limit")

// DecodeError is a content coding that broke. What could be decoded before was delivered.
type DecodeError struct {
	Coding string
	Err    error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("undoing content coding %s: %v", e.Coding, e.Err)
}
func (e *DecodeError) Unwrap() error { return e.Err }

// Codings splits the values of Content-Encoding fields into codings in the order they were applied, lower case, without
// identity and empty items.
func Codings(values ...string) []string {
	var list []string
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			item = strings.ToLower(strings.Trim(item, " \t"))
			if item != "" && item != "identity" {
				list = append(list, item)
			}
		}
	}
	return list
}

// Decode undoes the content codings named in coding (a Content-Encoding value, several separated by commas): gzip, x-gzip,
// deflate (zlib-wrapped or raw, servers send both), br, zstd. At most limit octets come out, then ErrDecodedLimit; limit <= 0
// means DefaultDecodedLimit. Octets that are plainly not in the named coding pass through unchanged, as browsers show pages
// under a false label; an unknown coding passes through too. What breaks in the middle gives its decoded beginning and then a
// *DecodeError. Octets behind the end of a coding are dropped.
func Decode(coding string, r io.Reader, limit int64) io.Reader {
	return decodeAll(Codings(coding), r, limit)
}

func decodeAll(codings []string, r io.Reader, limit int64) io.Reader {
	if limit <= 0 {
		limit = DefaultDecodedLimit
	}
	if len(codings) > maxCodings {
		return &failing{err: &DecodeError{Coding: clip(strings.Join(codings, ", ")), Err: errors.New("too many codings")}}
	}
	for i := len(codings) - 1; i >= 0; i-- {
		r = &capped{r: &undo{coding: codings[i], src: r}, left: limit}
	}
	if len(codings) == 0 {
		return &capped{r: r, left: limit}
	}
	return r
}

// capped gives at most left octets, and ErrDecodedLimit when there are more.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.left == 0 {
		var one [1]byte
		for {
			n, err := c.r.Read(one[:])
			if n > 0 {
				return 0, ErrDecodedLimit
			}
			if err != nil {
				return 0, err
			}
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	return n, err
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// undo takes one coding off src. The decoder is chosen at the first Read, when the first octets can be looked at, and goes
// back to its pool at the first error.
type undo struct {
	coding string
	src    io.Reader
	r      io.Reader
	done   func()
	err    error
}

func (u *undo) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.r == nil {
		if u.err = u.open(); u.err != nil {
			return 0, u.err
		}
	}
	n, err := u.r.Read(p)
	if err != nil {
		if u.done != nil {
			u.done()
			u.done = nil
		}
		switch {
		case err == io.EOF, errors.Is(err, ErrDecodedLimit):
			u.err = err
		default:
			var deeper *DecodeError
			if !errors.As(err, &deeper) {
				err = &DecodeError{Coding: u.coding, Err: err}
			}
			u.err = err
		}
		if n > 0 {
			return n, nil
		}
		return 0, u.err
	}
	return n, nil
}

var (
	bufs  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }}
	gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstds = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return err
		}
		return d
	}}
)

func (u *undo) open() error {
	br := bufs.Get().(*bufio.Reader)
	br.Reset(u.src)
	free := func() { br.Reset(nil); bufs.Put(br) }
	u.r, u.done = br, free
	head, err := br.Peek(4)
	if len(head) == 0 {
		if err == io.EOF {
			return nil
		}
		return err
	}
	switch u.coding {
	case "gzip", "x-gzip":
		if len(head) < 3 || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 {
			return nil
		}
		z := gzips.Get().(*gzip.Reader)
		if err := z.Reset(br); err != nil {
			gzips.Put(z)
			return &DecodeError{Coding: u.coding, Err: unexpected(err)}
		}
		z.Multistream(false)
		u.r = &members{z: z, src: br}
		u.done = func() { gzips.Put(z); free() }
	case "deflate":
		if len(head) >= 2 && head[0]&0x0f == 8 && head[0]>>4 <= 7 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
			if z, err := zlib.NewReader(br); err == nil {
				u.r = z
				return nil
			} else if err != zlib.ErrHeader && err != zlib.ErrDictionary {
				return &DecodeError{Coding: u.coding, Err: unexpected(err)}
			}
		}
		if !sounds(br, func(r io.Reader) io.Reader { return flate.NewReader(r) }) {
			return nil
		}
		u.r = flate.NewReader(br)
	case "br":
		if !sounds(br, func(r io.Reader) io.Reader { return brotli.NewReader(r) }) {
			return nil
		}
		u.r = brotli.NewReader(br)
	case "zstd":
		magic := len(head) == 4 && (bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
			head[0]&0xf0 == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18)
		if !magic {
			return nil
		}
		d, ok := zstds.Get().(*zstd.Decoder)
		if !ok {
			return &DecodeError{Coding: u.coding, Err: errors.New("no decoder")}
		}
		if err := d.Reset(br); err != nil {
			return &DecodeError{Coding: u.coding, Err: unexpected(err)}
		}
		u.r = d
		u.done = func() {
			if d.Reset(nil) == nil {
				zstds.Put(d)
			}
			free()
		}
	}
	return nil
}

// sounds reports whether the first octets decode without a contradiction. Codings without a magic number need it to tell
// plain text under a false label.
func sounds(br *bufio.Reader, decoder func(io.Reader) io.Reader) bool {
	head, err := br.Peek(br.Size())
	if err != nil && err != io.EOF {
		return true
	}
	whole := err == io.EOF
	_, derr := io.CopyN(io.Discard, decoder(bytes.NewReader(head)), 1<<20)
	switch {
	case derr == nil, derr == io.EOF && (whole || len(head) > 0):
		return true
	case errors.Is(derr, io.ErrUnexpectedEOF):
		return true
	default:
		// A body that breaks late is broken, one that breaks at once is something else.
		n, _ := io.Copy(io.Discard, io.LimitReader(decoder(bytes.NewReader(head)), 64))
		return n >= 64
	}
}

// unexpected turns an EOF inside a coding into io.ErrUnexpectedEOF, so that it is not taken for the end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// members reads all gzip members of src and stops without error at what follows the last one: servers append junk and padding.
type members struct {
	z   *gzip.Reader
	src *bufio.Reader
}

func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if head, _ := m.src.Peek(3); len(head) < 3 || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 {
			return 0, io.EOF
		}
		if err := m.z.Reset(m.src); err != nil {
			return 0, unexpected(err)
		}
		m.z.Multistream(false)
	}
}
