package warc

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// shortLimit is the size up to which a record is packed by [shortPacker]. Requests, revisits and metadata are below it: two
// members of three in a crawl.
const shortLimit = 4 << 10

// shortPacker packs small records. Most of what a general compressor spends on them is the making of a Huffman code for each; it
// uses one code made beforehand from records as the archive writes them (short_table.go), so that a record costs a search for
// matches and no more. What comes out is one last block of RFC 1951, 3.2.7.
type shortPacker struct {
	last   [1 << shortBits]uint16 // where four octets of that hash stood last, plus one
	tokens [shortLimit]token
}

const shortBits = 11

// token is a literal octet, or a match: its length in the upper half and its distance in the lower.
type token uint32

// find cuts src into literals and matches, each with the last place of the same four octets.
func (p *shortPacker) find(src []byte) []token {
	clear(p.last[:])
	hash := func(v uint32) uint32 { return v * 2654435761 >> (32 - shortBits) }
	n, i := 0, 0
	for i+4 <= len(src) {
		v := binary.LittleEndian.Uint32(src[i:])
		h := hash(v)
		at := int(p.last[h]) - 1
		p.last[h] = uint16(i + 1)
		if at < 0 || binary.LittleEndian.Uint32(src[at:]) != v {
			p.tokens[n] = token(src[i])
			n++
			i++
			continue
		}
		length := 4
		for i+length < len(src) && length < 258 && src[at+length] == src[i+length] {
			length++
		}
		p.tokens[n] = token(length<<16 | (i - at))
		n++
		// Every other place inside a match is enough to be found again.
		for k := i + 2; k < i+length && k+4 <= len(src); k += 2 {
			p.last[hash(binary.LittleEndian.Uint32(src[k:]))] = uint16(k + 1)
		}
		i += length
	}
	for ; i < len(src); i++ {
		p.tokens[n] = token(src[i])
		n++
	}
	return p.tokens[:n]
}

// pack appends the deflate stream of src, at most shortLimit octets, to dst.
func (p *shortPacker) pack(dst, src []byte) []byte {
	w := bitWriter{out: append(dst, shortStart...), acc: shortRest, n: shortRestBits}
	for _, t := range p.find(src) {
		if t < 256 {
			w.code(shortLiteral[t])
		} else {
			w.match(int(t>>16), int(t&0xffff))
		}
	}
	w.code(shortLiteral[endOfBlock])
	return w.close()
}

const (
	endOfBlock = 256
	litCodes   = 286
	distCodes  = 24 // up to 4096
)

// code is a Huffman code, its bits in the order in which they are written.
type code struct {
	bits uint16
	n    uint8
}

type bitWriter struct {
	out []byte
	acc uint64
	n   uint // below 32 between calls
}

func (w *bitWriter) put(bits uint64, n uint) {
	w.acc |= bits << w.n
	if w.n += n; w.n >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.acc))
		w.acc >>= 32
		w.n -= 32
	}
}

func (w *bitWriter) code(c code) { w.put(uint64(c.bits), uint(c.n)) }

func (w *bitWriter) match(length, distance int) {
	l := shortLength[length-3]
	c := shortLiteral[257+int(l.symbol)]
	w.put(uint64(c.bits)|uint64(length-int(l.base))<<c.n, uint(c.n)+uint(l.extra))
	symbol, extra := distanceCode(distance)
	c = shortDistance[symbol]
	w.put(uint64(c.bits)|uint64((distance-1)&(1<<extra-1))<<c.n, uint(c.n)+extra)
}

// distanceCode returns a distance's symbol and how many bits follow it (RFC 1951, 3.2.5).
func distanceCode(distance int) (symbol int, extra uint) {
	d := uint(distance - 1)
	if d < 4 {
		return int(d), 0
	}
	extra = uint(bits.Len(d)) - 2
	return int(2*extra + d>>extra), extra
}

func (w *bitWriter) close() []byte {
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
	return w.out
}

// lengthCode is a row of the table of RFC 1951, 3.2.5.
type lengthCode struct {
	symbol, extra uint8
	base          uint16
}

var (
	shortLength   = lengthCodes()
	shortLiteral  = codesOf(shortLiteralLengths[:])
	shortDistance = codesOf(shortDistanceLengths[:])

	// The head of the block with its codes, and the bits of it that fill no octet.
	shortStart    []byte
	shortRest     uint64
	shortRestBits uint
)

func init() {
	w := bitWriter{}
	writeCodeLengths(&w, shortLiteralLengths[:], shortDistanceLengths[:])
	for w.n >= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
		w.n -= 8
	}
	shortStart, shortRest, shortRestBits = w.out, w.acc, w.n
}

func lengthCodes() (t [256]lengthCode) {
	length := 3
	for symbol := range 28 {
		extra := 0
		if symbol >= 8 {
			extra = symbol/4 - 1
		}
		base := length
		for range 1 << extra {
			if length <= 257 {
				t[length-3] = lengthCode{uint8(symbol), uint8(extra), uint16(base)}
			}
			length++
		}
	}
	t[258-3] = lengthCode{28, 0, 258}
	return
}

// codesOf gives the canonical codes of code lengths (RFC 1951, 3.2.2), bits reversed as they are written.
func codesOf(lengths []uint8) []code {
	var count, next [16]uint16
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	at := uint16(0)
	for n := 1; n < 16; n++ {
		at = (at + count[n-1]) << 1
		next[n] = at
	}
	out := make([]code, len(lengths))
	for i, n := range lengths {
		if n > 0 {
			out[i] = code{bits.Reverse16(next[n]) >> (16 - n), n}
			next[n]++
		}
	}
	return out
}

// writeCodeLengths begins a last block with codes of its own.
func writeCodeLengths(w *bitWriter, literal, distance []uint8) {
	var symbols []struct{ symbol, extra, n uint8 }
	all := append(append([]uint8{}, literal...), distance...)
	for i := 0; i < len(all); {
		run := 1
		for i+run < len(all) && all[i+run] == all[i] {
			run++
		}
		i += run
		v := all[i-1]
		if v == 0 {
			for run >= 3 {
				if n := min(run, 138); n >= 11 {
					symbols = append(symbols, struct{ symbol, extra, n uint8 }{18, uint8(n - 11), 7})
					run -= n
				} else {
					symbols = append(symbols, struct{ symbol, extra, n uint8 }{17, uint8(n - 3), 3})
					run -= n
				}
			}
		} else if run >= 4 {
			symbols = append(symbols, struct{ symbol, extra, n uint8 }{v, 0, 0})
			run--
			for run >= 3 {
				n := min(run, 6)
				symbols = append(symbols, struct{ symbol, extra, n uint8 }{16, uint8(n - 3), 2})
				run -= n
			}
		}
		for ; run > 0; run-- {
			symbols = append(symbols, struct{ symbol, extra, n uint8 }{v, 0, 0})
		}
	}
	var freq [19]int
	for _, s := range symbols {
		freq[s.symbol]++
	}
	lengths := codeLengths(freq[:], 7)
	codes := codesOf(lengths)
	last := 18
	for last > 3 && lengths[codeOrder[last]] == 0 {
		last--
	}
	w.put(1|2<<1, 3) // last block, codes of its own
	w.put(uint64(len(literal)-257), 5)
	w.put(uint64(len(distance)-1), 5)
	w.put(uint64(last+1-4), 4)
	for _, c := range codeOrder[:last+1] {
		w.put(uint64(lengths[c]), 3)
	}
	for _, s := range symbols {
		w.code(codes[s.symbol])
		w.put(uint64(s.extra), uint(s.n))
	}
}

// codeLengths returns the lengths, at most limit, of an optimal prefix code for symbols of these frequencies, by package-merge
// (Larmore and Hirschberg 1990). Symbols of frequency 0 get none.
func codeLengths(freq []int, limit int) []uint8 {
	type node struct {
		weight  int
		symbols []int
	}
	var leaves []node
	for s, f := range freq {
		if f > 0 {
			leaves = append(leaves, node{f, []int{s}})
		}
	}
	lengths := make([]uint8, len(freq))
	if len(leaves) == 1 {
		lengths[leaves[0].symbols[0]] = 1
		return lengths
	}
	slices.SortStableFunc(leaves, func(a, b node) int { return cmp.Compare(a.weight, b.weight) })
	row := leaves
	for range limit - 1 {
		var packages []node
		for i := 0; i+1 < len(row); i += 2 {
			packages = append(packages, node{row[i].weight + row[i+1].weight, slices.Concat(row[i].symbols, row[i+1].symbols)})
		}
		row = append(packages, leaves...)
		slices.SortStableFunc(row, func(a, b node) int { return cmp.Compare(a.weight, b.weight) })
	}
	for _, n := range row[:2*len(leaves)-2] {
		for _, s := range n.symbols {
			lengths[s]++
		}
	}
	return lengths
}
