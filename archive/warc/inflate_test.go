package warc

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/flate"
)

// inflateAll inflates a member and returns what was left of the input.
func inflateAll(r io.Reader, bufferSize int) (out, rest []byte, err error) {
	in := bufio.NewReaderSize(r, bufferSize)
	var z gunzip
	if err := z.reset(in); err != nil {
		return nil, nil, err
	}
	out, err = io.ReadAll(&z)
	if err != nil {
		return out, nil, err
	}
	rest, err = io.ReadAll(in)
	return out, rest, err
}

// compareInflate holds gunzip to compress/flate on a raw stream that may be damaged.
func compareInflate(t *testing.T, stream []byte) {
	t.Helper()
	r := bytes.NewReader(stream)
	want, wantErr := io.ReadAll(io.LimitReader(stdflate.NewReader(r), 8<<20))
	if len(want) == 8<<20 {
		return
	}
	member := bytes.Clone(gzipHead)
	if wantErr == nil {
		member = append(member, stream[:len(stream)-r.Len()]...)
		member = binary.LittleEndian.AppendUint32(member, crc32.ChecksumIEEE(want))
		member = binary.LittleEndian.AppendUint32(member, uint32(len(want)))
		member = append(member, "rest"...)
	} else {
		member = append(member, stream...)
	}
	for name, in := range map[string]io.Reader{"whole": bytes.NewReader(member), "octets": iotest.OneByteReader(bytes.NewReader(member)), "halves": iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(member)))} {
		if name != "whole" && len(member) > 1000 {
			continue
		}
		for _, size := range []int{16, 4096} {
			got, rest, err := inflateAll(in, size)
			if wantErr == nil && (err != nil || !bytes.Equal(got, want) || string(rest) != "rest") {
				t.Fatalf("%s, buffer %d: %v, %d octets of %d, rest %q", name, size, err, len(got), len(want), rest)
			}
			if wantErr != nil {
				if err == nil {
					t.Fatalf("%s, buffer %d: no error, compress/flate says %v", name, size, wantErr)
				}
				if (wantErr == io.ErrUnexpectedEOF) != (err == io.ErrUnexpectedEOF) && len(stream) > 2 {
					t.Logf("%s: %v, compress/flate says %v", name, err, wantErr)
				}
				if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) {
					t.Fatalf("%s, buffer %d: other content before the error", name, size)
				}
			}
			if name != "whole" {
				break // its reader is used up
			}
			in = bytes.NewReader(member)
		}
	}
}

// deflates gives streams of all kinds: every level, no compression, fixed codes, long runs, far matches, flushes.
func deflates(t testing.TB) [][]byte {
	rng := rand.New(rand.NewPCG(1, 5))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	few := make([]byte, 90_000)
	for i := range few {
		few[i] = "abcd"[rng.IntN(4)]
	}
	skewed := make([]byte, 60_000) // codes of up to 15 bits
	for i := range skewed {
		skewed[i] = byte(min(rng.ExpFloat64()*12, 255))
	}
	contents := [][]byte{nil, []byte("x"), bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("abc"), 50_000), bytes.Repeat([]byte("abcdefghi"), 30_000),
		page(1, 300), page(2, 40_000), page(3, 400_000), noise, few, skewed, append(bytes.Clone(noise[:32<<10]), noise[:32<<10]...)}
	var out [][]byte
	for _, c := range contents {
		for level := -2; level <= 9; level += 1 + min(len(c)/30_000, 3) {
			var b bytes.Buffer
			z, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(c); i += 50_000 {
				z.Write(c[i:min(len(c), i+50_000)])
				if level%2 == 0 {
					z.Flush()
				}
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			out = append(out, b.Bytes())
		}
	}
	return out
}

func TestInflate(t *testing.T) {
	for _, s := range deflates(t) {
		compareInflate(t, s)
		if len(s) < 10_000 {
			compareInflate(t, s[:len(s)/2])
		}
	}
}

// Every octet of small streams flipped, and the streams cut at every octet.
func TestInflateDamaged(t *testing.T) {
	for _, s := range deflates(t) {
		if out, _ := io.ReadAll(stdflate.NewReader(bytes.NewReader(s))); len(out) > 400 || len(s) > 300 || len(s) < 5 {
			continue
		}
		for i := range s {
			compareInflate(t, s[:i])
			for _, mask := range []byte{1, 4, 32, 255} {
				bad := bytes.Clone(s)
				bad[i] ^= mask
				compareInflate(t, bad)
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	for _, s := range deflates(f) {
		if len(s) < 2000 {
			f.Add(s)
		}
	}
	f.Add([]byte{0x05, 0xe0, 0x81, 0x08, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x0b, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) { compareInflate(t, stream) })
}

// BenchmarkInflate is page content, beside the packages that can be had.
func BenchmarkInflate(b *testing.B) {
	content := page(3, 46_000)
	m, err := NewEncoder(0).EncodeBytes(Out{Header: newOut(Response, nil).Header}, content)
	if err != nil {
		b.Fatal(err)
	}
	member := m.Bytes()
	b.Run("own", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		var z gunzip
		in := bufio.NewReaderSize(nil, 64<<10)
		for b.Loop() {
			in.Reset(bytes.NewReader(member))
			if err := z.reset(in); err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, &z); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, open := range map[string]func(io.Reader) io.ReadCloser{"standard": stdflate.NewReader, "klauspost": flate.NewReader} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			in := bufio.NewReaderSize(nil, 64<<10)
			z := open(in)
			for b.Loop() {
				in.Reset(bytes.NewReader(member[10:]))
				if err := z.(stdflate.Resetter).Reset(in, nil); err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, z); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
