package message

import (
	"fmt"
	"io"
)

// maxChunkLine bounds a chunk-size line with its extensions, and each trailer line, in octets.
const maxChunkLine = 16 << 10

// maxTrailers bounds all trailer lines together, in octets.
const maxTrailers = 256 << 10

// ChunkError is a chunked body that breaks its own framing. What came before it was delivered.
type ChunkError struct {
	// Offset counts the octets of the coded body before the malformed part.
	Offset int64
	Reason string
	// Rest gives the coded octets from the malformed place on, raw. It is nil in errors of Chunks.Next.
	Rest io.Reader
}

func (e *ChunkError) Error() string {
	return fmt.Sprintf("malformed chunk at octet %d: %s", e.Offset, e.Reason)
}

type chunkState uint8

const (
	chunkSize  chunkState = iota // in the digits
	chunkExt                     // behind the digits, up to LF
	chunkData                    // in the data
	chunkEnd                     // line end behind the data
	chunkTrail                   // in trailer lines
	chunkDone
)

// Chunks takes the chunked transfer coding (RFC 9112 section 7.1) off octets as they arrive. The zero value is ready.
// Tolerated: lines ending in LF alone, space around the size, sizes with leading zeros, any extension.
type Chunks struct {
	state  chunkState
	size   uint64 // while in chunkSize, then octets left in chunkData
	digits int
	line   int   // octets of the current line
	trail  int   // octets of all trailer lines
	offset int64 // octets consumed
	mark   int64 // offset of the current size line
	whole  bool
}

// Next consumes octets of p up to the end of one run of chunk data: data is that run (a part of p, maybe empty) and n the
// octets consumed. Its error is io.EOF behind the last trailer line, or a *ChunkError. Call it until n == len(p) or an error.
func (c *Chunks) Next(p []byte) (data []byte, n int, err error) {
	for n < len(p) {
		if c.state == chunkData {
			k := uint64(len(p) - n)
			if k >= c.size {
				k = c.size
				c.state = chunkEnd
				c.line = 0
			}
			data = p[n : n+int(k)]
			c.size -= k
			c.offset += int64(k)
			return data, n + int(k), nil
		}
		b := p[n]
		switch c.state {
		case chunkSize:
			v, ok := hexDigit(b)
			switch {
			case ok:
				if c.digits == 0 {
					c.mark = c.offset - int64(c.line)
				}
				if c.size>>58 != 0 { // int64 stays positive, no overflow
					return nil, n, c.fail(c.mark, "size too large")
				}
				c.size = c.size<<4 | v
				c.digits++
			case c.digits == 0 && (b == ' ' || b == '\t'):
			case c.digits == 0:
				return nil, n, c.fail(c.offset-int64(c.line), "no chunk size")
			case b == '\n':
				c.endSize()
				n++
				c.offset++
				continue
			case b == '\r', b == ';', b == ' ', b == '\t':
				c.state = chunkExt
			default:
				return nil, n, c.fail(c.mark, "bad character in chunk size")
			}
			c.line++
		case chunkExt:
			c.line++
			if b == '\n' {
				c.endSize()
			}
		case chunkEnd:
			switch {
			case b == '\n':
				c.state, c.digits, c.size, c.line = chunkSize, 0, 0, -1
			case b == '\r' && c.line == 0:
			default:
				return nil, n, c.fail(c.offset-int64(c.line), "data longer than its chunk size")
			}
			c.line++
		case chunkTrail:
			c.trail++
			switch {
			case b == '\n' && c.line == 0:
				c.state = chunkDone
				c.offset++
				return nil, n + 1, io.EOF
			case b == '\n':
				c.line = 0
			case b == '\r' && c.line == 0:
			default:
				c.line++
			}
			if c.trail > maxTrailers {
				return nil, n, c.fail(c.offset, "trailers too long")
			}
		case chunkDone:
			return nil, n, io.EOF
		}
		if c.line > maxChunkLine {
			return nil, n, c.fail(c.mark, "line too long")
		}
		n++
		c.offset++
	}
	return data, n, nil
}

func (c *Chunks) endSize() {
	c.line = 0
	if c.size == 0 {
		c.state, c.whole = chunkTrail, true
		return
	}
	c.state = chunkData
}

// Whole reports whether the last chunk was seen, so that the data is whole even if its trailers are missing.
func (c *Chunks) Whole() bool { return c.whole }

func (c *Chunks) fail(offset int64, reason string) *ChunkError {
	return &ChunkError{Offset: max(offset, 0), Reason: reason}
}

func hexDigit(b byte) (uint64, bool) {
	switch {
	case '0' <= b && b <= '9':
		return uint64(b - '0'), true
	case 'a' <= b && b <= 'f':
		return uint64(b-'a') + 10, true
	case 'A' <= b && b <= 'F':
		return uint64(b-'A') + 10, true
	}
	return 0, false
}

// Dechunk returns the data of the chunked body r. At the end of the last chunk it gives io.EOF; when r ends before the last
// chunk, io.ErrUnexpectedEOF; at a malformed chunk a *ChunkError whose Rest is the remainder as it came. Octets behind the
// trailers are not read as data.
func Dechunk(r io.Reader) io.Reader { return &dechunker{r: r} }

type dechunker struct {
	r      io.Reader
	chunks Chunks
	buf    [8 << 10]byte
	have   []byte
	err    error
}

func (d *dechunker) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.err == nil {
		if len(d.have) == 0 {
			n, err := d.r.Read(d.buf[:])
			d.have = d.buf[:n]
			if n == 0 && err != nil {
				switch {
				case err != io.EOF:
					d.err = err
				case d.chunks.Whole():
					d.err = io.EOF
				default:
					d.err = io.ErrUnexpectedEOF
				}
				break
			}
		}
		have := d.have
		if len(have) > len(p) { // data is a part of have and must fit into p
			have = have[:len(p)]
		}
		data, n, err := d.chunks.Next(have)
		d.have = d.have[n:]
		if err != nil {
			if bad, ok := err.(*ChunkError); ok {
				bad.Rest = io.MultiReader(&sliceReader{d.have}, d.r)
			}
			d.err = err
		}
		if len(data) > 0 {
			return copy(p, data), nil
		}
	}
	return 0, d.err
}

type sliceReader struct{ b []byte }

func (s *sliceReader) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}
