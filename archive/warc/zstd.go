package warc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Bounds of the warc-zstd proposal 1.0: window and dictionary up to 8 MiB.
const maxZstd = 8 << 20

var (
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	dictMagic = []byte{0x5d, 0x2a, 0x4d, 0x18} // a skippable frame that holds the dictionary
)

func isZstd(b []byte) bool {
	return bytes.HasPrefix(b, zstdMagic) || bytes.HasPrefix(b, dictMagic)
}

// openZstd opens the frame that starts here. ok is false when something was consumed that is no record: the dictionary
// frame, or a frame that was skipped with a finding.
func (r *Reader) openZstd() (ok bool, err error) {
	b, _ := r.in.Peek(8)
	if bytes.HasPrefix(b, dictMagic) {
		return false, r.readDictionary()
	}
	if r.zd == nil {
		opts := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstd)}
		if r.dict != nil {
			opts = append(opts, zstd.WithDecoderDicts(r.dict))
		}
		if r.zd, err = zstd.NewReader(nil, opts...); err != nil {
			r.find(Finding{Offset: r.start, Kind: KindUnsupported, Message: err.Error(), Fatal: true})
			r.zd, r.dict = nil, nil
			return false, r.resync(r.start)
		}
	}
	r.frame = &zstdFrame{in: r.in}
	if err := r.zd.Reset(r.frame); err != nil {
		r.find(Finding{Offset: r.start, Kind: KindDamagedMember, Message: err.Error(), Fatal: true})
		return false, r.resync(r.start)
	}
	r.inflate(r.zd)
	r.begin(zstandard)
	return true, nil
}

// readDictionary reads the skippable frame with the dictionary, which may itself be compressed.
func (r *Reader) readDictionary() error {
	var head [8]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		r.find(Finding{Offset: r.start, Kind: KindCutMember, Message: "the file ends inside the dictionary", Fatal: true})
		return nil
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if size > maxZstd {
		r.find(Finding{Offset: r.start, Kind: KindUnsupported, Message: fmt.Sprintf("a dictionary of %d octets", size), Fatal: true})
		return r.resync(r.start)
	}
	var dict bytes.Buffer
	if n, err := io.CopyN(&dict, r.in, int64(size)); err != nil {
		if r.raw.err != nil {
			return r.raw.err
		}
		r.find(Finding{Offset: r.start, Kind: KindCutMember, Message: fmt.Sprintf("the file ends after %d octets of the dictionary", n), Fatal: true})
		return nil
	}
	r.dict = dict.Bytes()
	if bytes.HasPrefix(r.dict, zstdMagic) {
		d, err := zstd.NewReader(bytes.NewReader(r.dict), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstd))
		if err == nil {
			var plain []byte
			plain, err = io.ReadAll(io.LimitReader(d, maxZstd+1))
			d.Close()
			if err == nil && len(plain) > maxZstd {
				err = zstd.ErrDecoderSizeExceeded
			}
			r.dict = plain
		}
		if err != nil {
			r.find(Finding{Offset: r.start, Kind: KindUnsupported, Message: "the dictionary: " + err.Error(), Fatal: true})
			r.dict = nil
		}
	}
	if r.zd != nil {
		r.zd.Close()
		r.zd = nil
	}
	if r.kind == unknown {
		r.kind = zstandard
	}
	return nil
}

// zstdFrame passes exactly one frame through, by the lengths in its headers (RFC 8878, section 3.1), so that the decoder
// stops where the record does.
type zstdFrame struct {
	in    *bufio.Reader
	state int   // 0 before the frame, 1 before a block, 2 done
	left  int64 // octets to pass through before the next header
	last  bool
	sum   bool
}

func (f *zstdFrame) Read(p []byte) (int, error) {
	for f.left == 0 {
		if f.state == 2 {
			return 0, io.EOF
		}
		if err := f.step(); err != nil {
			return 0, err
		}
	}
	n, err := f.in.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (f *zstdFrame) step() error {
	if f.state == 0 {
		b, err := f.in.Peek(5)
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		d := b[4]
		size := int64(5)
		single := d&0x20 != 0
		if !single {
			size++
		}
		size += int64([]int{0, 1, 2, 4}[d&3])
		switch d >> 6 {
		case 0:
			if single {
				size++
			}
		case 1:
			size += 2
		case 2:
			size += 4
		case 3:
			size += 8
		}
		f.sum = d&4 != 0
		f.left, f.state = size, 1
		return nil
	}
	if f.last {
		f.state = 2
		if f.sum {
			f.left = 4
		}
		return nil
	}
	b, err := f.in.Peek(3)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	f.last = v&1 != 0
	f.left = 3 + int64(v>>3)
	if (v>>1)&3 == 1 { // RLE: one octet, repeated
		f.left = 4
	}
	return nil
}
