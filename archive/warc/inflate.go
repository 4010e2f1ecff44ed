package warc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
)

// gunzip reads one gzip member (RFC 1952) from a buffered stream and leaves the stream right behind it. Inflating is most of
// the work of reading an archive, and this does it in about half the time of the packages at hand: whole words of input, two
// steps of tables at the most, several literals a round, one window that is also the output.
//
// What it accepts is what compress/flate accepts; FuzzInflate compares them.
type gunzip struct {
	in  *bufio.Reader
	buf []byte // what of in was peeked at
	pos int    // the next octet of buf that is not in acc
	acc uint64 // octets taken, lowest bit first; above n stands nothing but what will be taken next
	n   uint   // bits of acc that count
	end bool   // buf holds all there is

	win    [window]byte
	w      int // end of what was inflated
	r      int // end of what was handed out
	have   int // octets before w that may be referred to
	crc    uint32
	size   uint32
	err    error
	final  bool // the block is the last
	inside uint8
	stored int // octets of the stored block to come

	lit   [litSize]uint32
	dist  [distSize]uint32
	fixed bool // the tables are those of the fixed codes
}

const (
	history = 32 << 10
	slack   = 258 + 16 // a match, and what copying whole words writes too much
	window  = history + 64<<10 + slack

	litBits  = 11
	distBits = 8
	litSize  = 2342 // the most entries for 288 symbols, 15 bits, 11 of them in the first step (zlib's enough)
	distSize = 402  // the same for 32 symbols and 8
)

const (
	betweenBlocks uint8 = iota
	inStored
	inCodes
)

// An entry of a table. A literal: isLiteral, the octet at 16, the length of its code below 8. A length or a distance: its base
// at 16, the length of its code at 8, that with the extra bits below 8. Else isSpecial with one of the others.
const (
	isLiteral = 1 << 31
	isSpecial = 1 << 15
	isLink    = 1 << 14 // to a second table: its start at 16, its bits at 8
	isEnd     = 1 << 13
)

// reset begins a new member at the position of in. It reports whether a gzip header stands there.
func (z *gunzip) reset(in *bufio.Reader) error {
	z.in, z.buf, z.pos, z.acc, z.n, z.end = in, nil, 0, 0, 0, false
	z.w, z.r, z.have, z.crc, z.size, z.err = 0, 0, 0, 0, 0, nil
	z.final, z.inside, z.stored = false, betweenBlocks, 0
	return gzipHeader(in)
}

// gzipHeader reads the header of a member.
func gzipHeader(in *bufio.Reader) error {
	h, err := in.Peek(10)
	if err != nil {
		return noEOF(err)
	}
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 {
		return gzip.ErrHeader
	}
	flags := h[3]
	crc := crc32.ChecksumIEEE(h)
	_, _ = in.Discard(10)
	take := func() (byte, error) {
		c, err := in.ReadByte()
		if flags&2 != 0 {
			crc = crc32.Update(crc, crc32.IEEETable, []byte{c})
		}
		return c, noEOF(err)
	}
	if flags&4 != 0 {
		lo, err := take()
		if err != nil {
			return err
		}
		hi, err := take()
		if err != nil {
			return err
		}
		for range int(lo) | int(hi)<<8 {
			if _, err := take(); err != nil {
				return err
			}
		}
	}
	for _, flag := range []byte{8, 16} { // name, comment
		if flags&flag == 0 {
			continue
		}
		for n := 0; ; n++ {
			c, err := take()
			if err != nil {
				return err
			}
			if c == 0 {
				break
			}
			if n == 64<<10 {
				return gzip.ErrHeader
			}
		}
	}
	if flags&2 != 0 {
		var sum [2]byte
		if _, err := io.ReadFull(in, sum[:]); err != nil {
			return noEOF(err)
		}
		if binary.LittleEndian.Uint16(sum[:]) != uint16(crc) {
			return gzip.ErrHeader
		}
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read hands out the content. At the end of the member, with checksum and size compared, it returns io.EOF.
func (z *gunzip) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for z.r == z.w {
		if z.err != nil {
			return 0, z.err
		}
		z.run()
	}
	n := copy(p, z.win[z.r:z.w])
	z.r += n
	return n, nil
}

// run inflates until the window is full, the input that is at hand is used up, or the member ends.
func (z *gunzip) run() {
	if z.w > window-slack-16<<10 {
		z.have = min(z.have, history)
		z.w = copy(z.win[:], z.win[z.w-z.have:z.w])
		z.r = z.w
	}
	from := z.w
	z.err = z.blocks()
	out := z.win[from:z.w]
	z.crc = crc32.Update(z.crc, crc32.IEEETable, out)
	z.size += uint32(len(out))
	z.back()
	_, _ = z.in.Discard(z.pos)
	z.buf, z.pos, z.end = nil, 0, false
	if z.err != io.EOF {
		return
	}
	t, err := z.in.Peek(8)
	if err != nil {
		_, _ = z.in.Discard(len(t))
		z.err = noEOF(err)
		return
	}
	if binary.LittleEndian.Uint32(t) != z.crc || binary.LittleEndian.Uint32(t[4:]) != z.size {
		z.err = gzip.ErrChecksum
	}
	_, _ = z.in.Discard(8)
}

// back gives whole octets of acc back to buf.
func (z *gunzip) back() {
	z.pos -= int(z.n >> 3)
	z.n &= 7
	z.acc &= 1<<z.n - 1
}

// fill gets more input behind what is left of buf: one read of what is underneath, so that a pipe is never waited for while
// it has octets that were not looked at.
func (z *gunzip) fill() error {
	z.back()
	left := len(z.buf) - z.pos
	_, _ = z.in.Discard(z.pos)
	z.buf, z.pos = nil, 0
	b, err := z.in.Peek(left + 1)
	if err != nil && err != io.EOF {
		return err
	}
	z.end = err == io.EOF
	if n := z.in.Buffered(); n > len(b) {
		b, _ = z.in.Peek(n)
	}
	z.buf = b
	return nil
}

// need gets at least k bits, no more than 32, into acc.
func (z *gunzip) need(k uint) error {
	for z.n < k {
		if z.pos == len(z.buf) {
			if !z.end {
				if err := z.fill(); err != nil {
					return err
				}
			}
			if z.pos == len(z.buf) {
				return io.ErrUnexpectedEOF
			}
			continue
		}
		z.acc |= uint64(z.buf[z.pos]) << z.n
		z.pos++
		z.n += 8
	}
	return nil
}

func (z *gunzip) take(k uint) uint32 {
	v := uint32(z.acc & (1<<k - 1))
	z.acc >>= k
	z.n -= k
	return v
}

var (
	errCorrupt = errors.New("the compressed data are damaged")
	errMore    = errors.New("more input is needed")
)

// blocks inflates. nil: there is output, or room for it again; io.EOF: the last block is over.
func (z *gunzip) blocks() error {
	for {
		switch z.inside {
		case betweenBlocks:
			if z.final {
				return io.EOF
			}
			if z.w > z.r && z.n < 3 && z.pos == len(z.buf) {
				return nil
			}
			if err := z.blockHeader(); err != nil {
				return err
			}
		case inStored:
			for z.stored > 0 {
				if z.w >= window-slack {
					return nil
				}
				if z.pos == len(z.buf) {
					if z.w > z.r {
						return nil
					}
					if z.end {
						return io.ErrUnexpectedEOF
					}
					if err := z.fill(); err != nil {
						return err
					}
					continue
				}
				k := copy(z.win[z.w:window-slack], z.buf[z.pos:min(len(z.buf), z.pos+z.stored)])
				z.pos += k
				z.w += k
				z.have += k
				z.stored -= k
			}
			z.inside = betweenBlocks
		case inCodes:
			done, err := z.codes()
			if err != nil || !done {
				return err
			}
			z.inside = betweenBlocks
		}
	}
}

var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *gunzip) blockHeader() error {
	if err := z.need(3); err != nil {
		return err
	}
	z.final = z.take(1) == 1
	switch z.take(2) {
	case 0:
		z.take(z.n & 7)
		z.back()
		if err := z.need(32); err != nil {
			return err
		}
		n, not := z.take(16), z.take(16)
		if n != ^not&0xffff {
			return errCorrupt
		}
		z.acc, z.n = 0, 0
		z.inside, z.stored = inStored, int(n)
		return nil
	case 1:
		z.inside = inCodes
		if z.fixed {
			return nil
		}
		var lens [288 + 32]uint8
		for i := range 288 {
			switch {
			case i < 144:
				lens[i] = 8
			case i < 256:
				lens[i] = 9
			case i < 280:
				lens[i] = 7
			default:
				lens[i] = 8
			}
		}
		for i := 288; i < len(lens); i++ {
			lens[i] = 5
		}
		buildTable(z.lit[:], litBits, lens[:288], litEntry)
		buildTable(z.dist[:], distBits, lens[288:], distEntry)
		z.fixed = true
		return nil
	case 2:
		z.inside = inCodes
		return z.dynamic()
	}
	return errCorrupt
}

// dynamic reads the codes of a block (RFC 1951, 3.2.7).
func (z *gunzip) dynamic() error {
	if err := z.need(14); err != nil {
		return err
	}
	nlit, ndist, ncode := int(z.take(5))+257, int(z.take(5))+1, int(z.take(4))+4
	if nlit > 286 || ndist > 30 {
		return errCorrupt
	}
	var lens [288 + 32]uint8
	var first [128]uint32
	for i := range ncode {
		if err := z.need(3); err != nil {
			return err
		}
		lens[codeOrder[i]] = uint8(z.take(3))
	}
	if !buildTable(first[:], 7, lens[:19], plainEntry) {
		return errCorrupt
	}
	clear(lens[:19])
	for i := 0; i < nlit+ndist; {
		// A code of up to 7 bits, with up to 7 more. At the end of the input there may be fewer.
		if err := z.need(14); err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		e := first[z.acc&127]
		k := uint(e & 0xff)
		if e&isSpecial != 0 {
			if z.n < 7 && z.end {
				return io.ErrUnexpectedEOF
			}
			return errCorrupt
		}
		if k > z.n {
			return io.ErrUnexpectedEOF
		}
		z.take(k)
		sym := int(e >> 16)
		if sym < 16 {
			lens[i] = uint8(sym)
			i++
			continue
		}
		var extra uint
		var value uint8
		repeat := 3
		switch sym {
		case 16:
			if i == 0 {
				return errCorrupt
			}
			extra, value = 2, lens[i-1]
		case 17:
			extra = 3
		default:
			extra, repeat = 7, 11
		}
		if extra > z.n {
			return io.ErrUnexpectedEOF
		}
		repeat += int(z.take(extra))
		if i+repeat > nlit+ndist {
			return errCorrupt
		}
		for range repeat {
			lens[i] = value
			i++
		}
	}
	z.fixed = false
	if !buildTable(z.lit[:], litBits, lens[:nlit], litEntry) || !buildTable(z.dist[:], distBits, lens[nlit:nlit+ndist], distEntry) {
		return errCorrupt
	}
	return nil
}

var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
)

var litEntries, distEntries = func() (l [288]uint32, d [32]uint32) {
	for s := range l {
		switch {
		case s < 256:
			l[s] = isLiteral | uint32(s)<<16
		case s == 256:
			l[s] = isSpecial | isEnd
		case s-257 < len(lengthBase):
			l[s] = uint32(lengthBase[s-257])<<16 | uint32(lengthExtra[s-257])
		default:
			l[s] = isSpecial
		}
	}
	for s := range d {
		switch {
		case s < 4:
			d[s] = uint32(s+1) << 16
		case s < 30:
			extra := s/2 - 1
			d[s] = uint32(1+(2+s&1)<<extra)<<16 | uint32(extra)
		default:
			d[s] = isSpecial
		}
	}
	return l, d
}()

// The entries of a symbol, but for the length of its code.
func litEntry(s int) uint32   { return litEntries[s] }
func distEntry(s int) uint32  { return distEntries[s] }
func plainEntry(s int) uint32 { return uint32(s) << 16 }

// buildTable makes the table of a canonical code. It reports whether the lengths are those of a whole code; like compress/flate
// it lets pass one code of one bit, and none at all.
func buildTable(table []uint32, first uint, lens []uint8, entry func(int) uint32) bool {
	var count [16]int
	for _, l := range lens {
		count[l]++
	}
	longest := uint(15)
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	var next [16]int // the position in sorted of the next symbol of a length
	code, at := 0, 0
	for l := 1; l <= int(longest); l++ {
		code = code<<1 + count[l]
		next[l] = at
		at += count[l]
	}
	if longest == 0 || code != 1<<longest {
		for i := range table[:1<<first] {
			table[i] = isSpecial
		}
		if longest == 0 {
			return true
		}
		if code != 1 || longest != 1 {
			return false
		}
	}
	var sorted [320]uint16
	for s, l := range lens {
		if l > 0 {
			sorted[next[l]] = uint16(s)
			next[l]++
		}
	}
	// Codes in order, as they come in the stream: lowest bit first. Adding 1 to a code from its upper end does that.
	end := 1 << first // of the table so far
	start, sub := 0, uint(0)
	prefix := -1
	rev := 0
	k := 0
	for l := uint(1); l <= longest; l++ {
		for range count[l] {
			s := int(sorted[k])
			k++
			e := entry(s)
			if e&(isLiteral|isSpecial) != 0 {
				e |= uint32(l)
			} else {
				e += uint32(l)<<8 | uint32(l)
			}
			if l <= first {
				for i := rev; i < 1<<first; i += 1 << l {
					table[i] = e
				}
			} else {
				if p := rev & (1<<first - 1); p != prefix {
					prefix, start = p, end
					// As many bits as the codes with this prefix need.
					sub = l - first
					for room := 1<<sub - left(count[:], l, sorted[:], k-1, lens); room > 0 && first+sub < longest; {
						sub++
						room = room<<1 - count[first+sub]
					}
					end += 1 << sub
					if end > len(table) {
						return false
					}
					table[p] = isSpecial | isLink | uint32(start)<<16 | uint32(sub)<<8 | uint32(first)
				}
				for i := rev >> first; i < 1<<sub; i += 1 << (l - first) {
					table[start+i] = e
				}
			}
			// The next code of this length.
			bit := 1 << (l - 1)
			for rev&bit != 0 {
				bit >>= 1
			}
			if bit == 0 {
				rev = 0
			} else {
				rev = rev&(bit-1) | bit
			}
		}
	}
	return true
}

// left is how many codes of length l there are from the symbol at k on.
func left(count []int, l uint, sorted []uint16, k int, lens []uint8) int {
	n := 0
	for k+n < len(sorted) && n < count[l] && uint(lens[sorted[k+n]]) == l {
		n++
	}
	return n
}

// codes inflates a block of codes. done: its end was read. Neither done nor an error: the window is full, or there is output
// and the next input would have to be waited for.
func (z *gunzip) codes() (done bool, err error) {
	for {
		if z.w >= window-slack {
			return false, nil
		}
		if len(z.buf)-z.pos >= 16 {
			done, err = z.fast()
		} else {
			done, err = z.slow()
		}
		if err == errMore {
			switch {
			case z.end:
				return false, io.ErrUnexpectedEOF
			case z.w > z.r:
				return false, nil
			}
			err = z.fill()
		}
		if done || err != nil {
			return done, err
		}
	}
}

// fast inflates while there are 16 octets of input and room for a match.
func (z *gunzip) fast() (done bool, err error) {
	buf, pos, acc, n := z.buf, z.pos, z.acc, z.n
	win, w := &z.win, z.w
	low := w - z.have // nothing before is known
	lit, dist := &z.lit, &z.dist
	const full = window - slack
	for pos+16 <= len(buf) && w < full {
		acc |= binary.LittleEndian.Uint64(buf[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := lit[acc&(1<<litBits-1)]
		if e&isLiteral != 0 {
			win[w] = byte(e >> 16)
			w++
			acc >>= e & 63
			n -= uint(e & 0xff)
			e = lit[acc&(1<<litBits-1)]
			if e&isLiteral != 0 {
				win[w] = byte(e >> 16)
				w++
				acc >>= e & 63
				n -= uint(e & 0xff)
				e = lit[acc&(1<<litBits-1)]
				if e&isLiteral != 0 {
					win[w] = byte(e >> 16)
					w++
					acc >>= e & 63
					n -= uint(e & 0xff)
					continue
				}
			}
			acc |= binary.LittleEndian.Uint64(buf[pos:]) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		if e&isSpecial != 0 {
			if e&isLink != 0 {
				e = lit[int(e>>16&0x3fff)+int(acc>>litBits&(1<<(e>>8&15)-1))]
			}
			if e&isLiteral != 0 {
				win[w] = byte(e >> 16)
				w++
				acc >>= e & 63
				n -= uint(e & 0xff)
				continue
			}
			if e&isSpecial != 0 {
				if e&isEnd != 0 {
					acc >>= e & 63
					n -= uint(e & 0xff)
					done = true
				} else {
					err = errCorrupt
				}
				break
			}
		}
		length := int(e>>16) + int(acc&(1<<(e&63)-1)>>(e>>8&15))
		acc >>= e & 63
		n -= uint(e & 0xff)

		e = dist[acc&(1<<distBits-1)]
		if e&isSpecial != 0 {
			if e&isLink != 0 {
				e = dist[int(e>>16&0x3fff)+int(acc>>distBits&(1<<(e>>8&15)-1))]
			}
			if e&isSpecial != 0 {
				err = errCorrupt
				break
			}
		}
		d := int(e>>16) + int(acc&(1<<(e&63)-1)>>(e>>8&15))
		acc >>= e & 63
		n -= uint(e & 0xff)
		src := w - d
		if src < low || src < 0 {
			err = errCorrupt
			break
		}
		stop := w + length
		switch {
		case d >= 8 && (length <= 64 || d < length):
			for {
				binary.LittleEndian.PutUint64(win[w:w+8], binary.LittleEndian.Uint64(win[src:src+8]))
				w += 8
				src += 8
				if w >= stop {
					break
				}
			}
		case d >= 8:
			copy(win[w:stop], win[src:src+length])
		case d == 1:
			c := win[src]
			for i := range win[w:stop] {
				win[w+i] = c
			}
		default:
			for ; w < stop; w, src = w+1, src+1 {
				win[w] = win[src]
			}
		}
		w = stop
	}
	z.have += w - z.w
	z.pos, z.acc, z.n, z.w = pos, acc, n, w
	return done, err
}

// slow inflates one symbol where the input is short. Bits behind its end are 0 and may be looked at, not taken; errMore:
// they would have to be.
func (z *gunzip) slow() (done bool, err error) {
	for z.n < 48 && z.pos < len(z.buf) {
		z.acc |= uint64(z.buf[z.pos]) << z.n
		z.pos++
		z.n += 8
	}
	acc, used := z.acc, uint(0)
	if z.n < 64 {
		acc &= 1<<z.n - 1
	}
	// bad is what an impossible code means here: with too few bits, only that there are too few.
	bad := func(looked uint) error {
		if used+looked > z.n {
			return errMore
		}
		return errCorrupt
	}
	e := z.lit[acc&(1<<litBits-1)]
	if e&(isSpecial|isLink) == isSpecial|isLink && e&isLiteral == 0 {
		e = z.lit[int(e>>16&0x3fff)+int(acc>>litBits&(1<<(e>>8&15)-1))]
	}
	k := uint(e & 0xff)
	switch {
	case e&isLiteral == 0 && e&isSpecial != 0 && e&isEnd == 0:
		return false, bad(max(k, 1))
	case k > z.n:
		return false, errMore
	case e&isLiteral != 0:
		z.win[z.w] = byte(e >> 16)
		z.w++
		z.have++
	case e&isEnd != 0 && e&isSpecial != 0:
		done = true
	default:
		length := int(e>>16) + int(acc&(1<<k-1)>>(e>>8&15))
		used = k
		acc >>= k
		e = z.dist[acc&(1<<distBits-1)]
		if e&(isSpecial|isLink) == isSpecial|isLink {
			e = z.dist[int(e>>16&0x3fff)+int(acc>>distBits&(1<<(e>>8&15)-1))]
		}
		j := uint(e & 0xff)
		if e&isSpecial != 0 {
			return false, bad(max(j, 1))
		}
		if k+j > z.n {
			return false, errMore
		}
		d := int(e>>16) + int(acc&(1<<j-1)>>(e>>8&15))
		if d > z.have || d > z.w {
			return false, errCorrupt
		}
		for range length {
			z.win[z.w] = z.win[z.w-d]
			z.w++
		}
		z.have += length
		k += j
	}
	z.take(k)
	return done, nil
}
