package warc

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

const rec1 = "WARC/1.1\r\nWARC-Type: resource\r\nWARC-Record-ID: <urn:uuid:1>\r\nWARC-Date: 2026-01-02T03:04:05Z\r\nWARC-Target-URI: http://a/1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nfirst\r\n\r\n"
const rec2 = "WARC/1.1\r\nWARC-Type: resource\r\nWARC-Record-ID: <urn:uuid:2>\r\nWARC-Date: 2026-01-02T03:04:05Z\r\nWARC-Target-URI: http://a/2\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nsecond\r\n\r\n"

func zipped(parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		io.WriteString(z, p)
		z.Close()
	}
	return b.String()
}

// zippedWith is one member with the optional parts of a gzip header.
func zippedWith(content string, header gzip.Header) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Header = header
	io.WriteString(z, content)
	z.Close()
	return b.String()
}

func storedZip(content string) string {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
	io.WriteString(z, content)
	z.Close()
	return b.String()
}

// The rows of the table of real files' oddities that belong to records; the numbers are the table's. Each says which
// blocks are read, and which kinds of finding are made, in order.
func TestOddities(t *testing.T) {
	del := func(s, line string) string {
		i := strings.Index(s, line)
		if i < 0 {
			t.Fatalf("no %q", line)
		}
		return s[:i] + s[i+len(line):]
	}
	swap := func(s, old, new string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	zip1, zip2 := zipped(rec1), zipped(rec2)
	middle := []byte(zip1 + zip2 + zip1)
	middle[len(zip1)+40] ^= 0x55
	const both = "first|second"
	tests := []struct {
		name, in, blocks string
		kinds            []string
	}{
		{"0 nothing odd, plain", rec1 + rec2, both, nil},
		{"0 nothing odd, gzip", zip1 + zip2, both, nil},
		{"1 whole file one member", zipped(rec1 + rec2), both, []string{KindSharedMember}},
		{"2 truncated member", zip1 + zip2[:len(zip2)-20], both[:7-1] + "|", []string{KindCutMember}},
		{"2 truncated in the trailer", zip1 + zip2[:len(zip2)-1], both, []string{KindCutMember}},
		{"2 truncated in the gzip header", zip1 + zip2[:5], "first", []string{KindGap}},
		{"3 trailing octets", zip1 + zip2 + "junk", both, []string{KindGap}},
		{"3 zero padding", zip1 + zip2 + strings.Repeat("\x00", 10000), both, []string{KindPadding}},
		{"3 zero padding, plain", rec1 + rec2 + strings.Repeat("\x00", 100), both, []string{KindPadding}},
		{"3 zero padding between", zip1 + strings.Repeat("\x00", 512) + zip2, both, []string{KindPadding}},
		{"4 corrupted member in the middle", string(middle), "first|*|first", []string{KindDamagedMember, KindGap}},
		{"4 junk in the middle", zip1 + strings.Repeat("junk\x1f\x8b\x08", 5000) + zip2, both, []string{KindGap}},
		{"5 length too small, gzip", zipped(swap(rec1, "Length: 5", "Length: 3")) + zip2, "fir|second", []string{KindLongBlock, KindGap}},
		{"5 length too small, plain", swap(rec1, "Length: 5", "Length: 3") + rec2, "fir|second", []string{KindLongBlock, KindGap}},
		{"5 length one too large, gzip", zipped(swap(rec1, "Length: 5", "Length: 6")) + zip2, "first\r|second", []string{KindTrailer}},
		{"5 length one too large, plain", swap(rec1, "Length: 5", "Length: 6") + rec2, "first\r|second", []string{KindTrailer}},
		{"5 length one too small, plain", swap(rec1, "Length: 5", "Length: 4") + rec2, "firs|second", []string{KindLongBlock, KindGap}},
		{"5 length far too large, gzip", zipped(swap(rec1, "Length: 5", "Length: 999")) + zip2, "first\r\n\r\n!|second", []string{KindShortBlock}},
		{"5 length into the next record, plain", swap(rec1, "Length: 5", "Length: 50") + rec2, "*|second", []string{KindLongBlock}},
		{"5 length beyond the end, plain", swap(rec1, "Length: 5", "Length: 9999999") + rec2, "*!|second", []string{KindShortBlock}},
		{"6 no length, gzip", zipped(del(rec1, "Content-Length: 5\r\n")) + zip2, both, []string{KindLength}},
		{"6 no length, plain", del(rec1, "Content-Length: 5\r\n") + rec2, both, []string{KindLength}},
		{"6 no length at the end", rec1 + del(rec2, "Content-Length: 6\r\n"), both, []string{KindLength}},
		{"6 length no number", swap(rec1, "Length: 5", "Length: five") + rec2, both, []string{KindLength}},
		{"6 length negative", swap(rec1, "Length: 5", "Length: -5") + rec2, both, []string{KindLength}},
		{"7 blanks around the length", swap(rec1, "Length: 5", "Length:   5  ") + rec2, both, nil},
		{"7 length looks folded", swap(rec1, "Length: 5\r\n", "Length: 5\r\n \r\n") + rec2, both, []string{KindFolded}},
		{"8 one line end", rec1[:len(rec1)-2] + rec2, both, []string{KindTrailer}},
		{"8 no line end", rec1[:len(rec1)-4] + rec2, both, []string{KindTrailer}},
		{"8 many line ends", rec1 + "\r\n\r\n\r\n" + rec2, both, []string{KindTrailer}},
		{"8 one line end, gzip", zipped(rec1[:len(rec1)-2]) + zip2, both, []string{KindTrailer}},
		{"8 no line end, gzip", zipped(rec1[:len(rec1)-4]) + zip2, both, []string{KindTrailer}},
		{"8 one line end at the end", rec1 + rec2[:len(rec2)-2], both, []string{KindTrailer}},
		{"8 blank lines first", "\r\n\r\n" + rec1, "first", []string{KindTrailer}},
		{"9 LF only", strings.ReplaceAll(rec1+rec2, "\r\n", "\n"), both, []string{KindLineEnd, KindTrailer, KindLineEnd, KindTrailer}},
		{"10 brackets", swap(rec1, "http://a/1", "<http://a/1>"), "first", []string{KindTargetURI}},
		{"10 blank", swap(rec1, "http://a/1", "http://a/1 2"), "first", []string{KindTargetURI}},
		{"11 WARC/0.17", swap(rec1, "WARC/1.1", "WARC/0.17"), "first", nil},
		{"11 WARC/0.18", swap(rec1, "WARC/1.1", "WARC/0.18"), "first", nil},
		{"11 WARC/1.0", swap(rec1, "WARC/1.1", "WARC/1.0"), "first", nil},
		{"11 unknown version", swap(rec1, "WARC/1.1", "WARC/2.7"), "first", []string{KindVersion}},
		{"12 odd case", swap(swap(rec1, "Content-Length", "cOnTeNt-LENGTH"), "WARC-Type", "warc-type"), "first", nil},
		{"12 blanks before the colon", swap(rec1, "Content-Length:", "Content-Length :"), "first", []string{KindField}},
		{"12 no blank behind the colon", swap(rec1, "Content-Length: ", "Content-Length:"), "first", nil},
		{"12 no colon", swap(rec1, "Content-Length", "nonsense\r\nContent-Length"), "first", []string{KindField}},
		{"12 empty name", swap(rec1, "Content-Length", ": x\r\nContent-Length"), "first", []string{KindField}},
		{"13 continuation line", swap(rec1, "http://a/1", "http:\r\n  //a/1"), "first", []string{KindFolded, KindTargetURI}},
		{"14 duplicate", swap(rec1, "Content-Type", "WARC-Date: 2000-01-01T00:00:00Z\r\nContent-Type"), "first", []string{KindDuplicate}},
		{"14 two lengths", swap(rec1, "Length: 5", "Length: 5\r\nContent-Length: 900"), "first", []string{KindDuplicate}},
		{"14 concurrent twice is legal", swap(rec1, "Content-Type", "WARC-Concurrent-To: <urn:x:1>\r\nWARC-Concurrent-To: <urn:x:2>\r\nContent-Type"), "first", nil},
		{"15 Latin-1", swap(rec1, "text/plain", "text/pl\xe4in"), "first", []string{KindEncoding}},
		{"15 RFC 2047", swap(rec1, "text/plain", "=?UTF-8?Q?text?="), "first", nil},
		{"18 dns is not HTTP", swap(rec1, "http://a/1", "dns:a"), "first", nil},
		{"23 empty revisit", swap(swap(del(rec1, "first"), "resource", "revisit"), "Length: 5", "Length: 0"), "", nil},
		{"24 FEXTRA, FNAME, comment", zippedWith(rec1, gzip.Header{Name: "a.warc", Comment: "c", Extra: []byte("sl\x08\x00abcdefgh")}) + zip2, both, nil},
		{"24 stored blocks", storedZip(rec1) + storedZip(rec2), both, nil},
		{"25 unknown type", swap(rec1, "resource", "something"), "first", nil},
		{"26 empty file", "", "", nil},
		{"26 empty member", zipped("") + zip1, "first", nil},
		{"26 only an empty member", zipped(""), "", nil},
		{"26 zero-length block", swap(del(rec1, "first"), "Length: 5", "Length: 0") + rec2, "|second", nil},
		{"27 endless header", "WARC/1.1\r\n" + strings.Repeat("X-A: 1\r\n", 200000) + "\r\n" + rec2, "second", []string{KindHeaderSize, KindGap}},
		{"27 endless line", "WARC/1.1\r\nX-A: " + strings.Repeat("1", 2<<20) + "\r\n" + rec2, "second", []string{KindHeaderSize, KindGap}},
		{"27 endless header, gzip", zipped("WARC/1.1\r\n"+strings.Repeat("X-A: 1\r\n", 200000)+"\r\n") + zip2, "second", []string{KindHeaderSize, KindGap}},
		{"27 length 2^63", swap(rec1, "Length: 5", "Length: 9223372036854775808") + rec2, both, []string{KindLength}},
		{"27 length 2^63-1", swap(rec1, "Length: 5", "Length: 9223372036854775807") + rec2, "*!|second", []string{KindShortBlock}},
		{"32 digest wrong", swap(rec1, "Content-Type", "WARC-Block-Digest: sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ\r\nContent-Type"), "first", []string{KindDigest}},
		{"32 digest in base64url", swap(rec1, "Content-Type", "WARC-Block-Digest: sha1:4Jli5QMF-aTbaI8Z0iMRB8FBB5A\r\nContent-Type"), "first", []string{KindDigest}},
		{"32 digest unknown", swap(rec1, "Content-Type", "WARC-Block-Digest: blake3:abcd\r\nContent-Type"), "first", []string{KindDigestForm}},
		{"no ID, no date", del(del(rec1, "WARC-Record-ID: <urn:uuid:1>\r\n"), "WARC-Date: 2026-01-02T03:04:05Z\r\n"), "first", []string{KindMissing, KindMissing}},
		{"date unreadable", swap(rec1, "2026-01-02T03:04:05Z", "yesterday"), "first", []string{KindDate}},
		{"header cut by a record", rec1[:60] + "\r\n" + rec2, "second", []string{KindShortBlock}},
		{"header cut by the end", rec1 + rec2[:60], "first", []string{KindShortBlock}},
		{"no archive at all", "<html><body>not found</body></html>\n", "", []string{KindGap}},
		{"junk first", "junk\n" + rec1, "first", []string{KindGap}},
		{"29 ARC v1", arc1, "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 ARC v2", arc2, "hello", nil},
		{"29 no line end between", swap(arc1, "hello\nhttp", "hellohttp"), "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 three line ends between", swap(arc1, "hello\nhttp", "hello\n\n\nhttp"), "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 blank in the URL", swap(arc1, "http://b/x", "http://b/x y z"), "HTTP/1.0 200 OK\n\nhello|plain", []string{KindTargetURI}},
		{"29 address 0", swap(arc1, "192.0.2.2", "0"), "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 date of 8 digits", swap(arc1, "20040102030405 text/plain", "20040102 text/plain"), "HTTP/1.0 200 OK\n\nhello|plain", []string{KindDate}},
		{"29 date of 28 digits", swap(arc1, "20040102030405 text/plain", "2004010203040500000000000000 text/plain"), "HTTP/1.0 200 OK\n\nhello|plain", []string{KindDate}},
		{"29 bogus type", swap(arc1, "text/plain 5", "no type; at all 5"), "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 wrong version block", swap(arc1, "text/plain 65", "text/plain 7"), "HTTP/1.0 200 OK\n\nhello|plain", []string{KindARC}},
		{"29 version block too long", swap(arc1, "text/plain 65", "text/plain 70"), "HTTP/1.0 200 OK\n\nhello|plain", []string{KindARC}},
		{"29 alexa/dat", swap(arc1, "text/plain 5", "alexa/dat 5"), "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 gzip", zipped(arc1[:strings.Index(arc1, "http://a")], arc1[strings.Index(arc1, "http://a"):strings.Index(arc1, "http://b")], arc1[strings.Index(arc1, "http://b"):]), "HTTP/1.0 200 OK\n\nhello|plain", nil},
		{"29 length wrong", swap(arc1, "text/html 22", "text/html 18"), "HTTP/1.0 200 OK\n\nh|plain", []string{KindLongBlock, KindGap}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, slow := range []bool{false, true} {
				if slow && len(test.in) > 100000 {
					continue
				}
				in := io.Reader(strings.NewReader(test.in))
				if slow {
					in = iotest.OneByteReader(in)
				}
				records, findings := readAll(t, in)
				var blocks []string
				for _, r := range records {
					if strings.HasPrefix(r.header, "ARC/") && strings.Contains(r.header, "warcinfo") {
						continue
					}
					b := r.block
					if r.err != nil {
						if !errors.Is(r.err, io.ErrUnexpectedEOF) {
							t.Error(r.err)
						}
						b += "!"
					}
					blocks = append(blocks, b)
				}
				want := strings.Split(test.blocks, "|")
				if test.blocks == "" && len(blocks) == 0 {
					want = nil
				}
				for i := range want {
					if strings.HasPrefix(want[i], "*") && i < len(blocks) && strings.HasSuffix(blocks[i], "!") == strings.HasSuffix(want[i], "!") {
						want[i] = blocks[i]
					}
				}
				if strings.HasPrefix(test.name, "2 truncated member") || strings.HasPrefix(test.name, "4 corrupted") {
					// How much of the damaged block comes out depends on the decompressor.
					if blocks[0] != "first" || (strings.HasPrefix(test.name, "4") && blocks[len(blocks)-1] != "first") {
						t.Errorf("%q", blocks)
					}
				} else if !slices.Equal(blocks, want) {
					t.Errorf("slow %v: blocks %q, want %q", slow, blocks, want)
				}
				var kinds []string
				for _, f := range findings {
					kinds = append(kinds, f.Kind)
				}
				if !slices.Equal(kinds, test.kinds) {
					t.Errorf("slow %v: findings %v, want %v", slow, findings, test.kinds)
				}
			}
		})
	}
}

const arc1 = "filedesc://a.arc 0.0.0.0 20040101000000 text/plain 65\n" +
	"1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n\n\n" +
	"http://a/ 192.0.2.1 20040101000001 text/html 22\nHTTP/1.0 200 OK\n\nhello\n" +
	"http://b/x 192.0.2.2 20040102030405 text/plain 5\nplain\n"

const arc2 = "filedesc://a.arc 0.0.0.0 20040101000000 text/plain 200 - - 0 a.arc 111\n" +
	"2 0 Test\nURL IP-address Archive-date Content-type Result-code Checksum Location Offset Filename Archive-length\n" +
	"http://a/ 192.0.2.1 20040101000001 text/html 200 abc - 123 a.arc 5\nhello\n"

// Where the 34 rows of the table are tested, and the rules of its section 1:
//
//	rows                           test
//	1-15, 18, 23-27, 29, 32        TestOddities, by number (13: the HTTP head's in crawler/message TestRow16Heads)
//	4                              and TestFlipEveryOctet
//	2                              and TestCutAtEveryOctet
//	16                             crawler/message TestRow16Heads
//	17, 18                         archive TestRow17NoHead, TestRow18OtherSchemes
//	19, 20, 21, 22                 crawler/message TestRow19Chunks, TestRow20FalseLabels, TestRow21Codings, TestRow22CutCodings
//	23                             archive TestRow23Revisits
//	25                             TestBufferEdges
//	27                             TestGzipBombIsStreamed
//	28                             TestZstandard
//	30                             TestRow30Pipe, TestOtherPeoplesArchives
//	31                             TestSegmentsAreRead
//	33                             archive TestRow33Forms
//	34                             TestRevisitProfiles
//
//	rules                          test
//	W1, W17                        TestMembers
//	W2-W13, W15, D1, V1            TestWriterRefuses and TestWriterAccepts, by number
//	W5-W13, V1, V4, P1, P2         archive TestRecords; V4 also TestV4NoRevisit
//	W14, W19                       TestRulesOfRecords
//	W16                            archive TestRollOver
//	W18                            TestZstandard
//	W20, D2, P3                    archive TestRulesOfRecords
//	D3, D4                         TestDigestForms
//	V2                             TestRevisitProfiles
//	V3                             archive TestRow23Revisits

// Row 25: records that end exactly where buffers do.
func TestBufferEdges(t *testing.T) {
	for _, size := range []int{4096, 32 << 10, 64 << 10} {
		for delta := -6; delta <= 6; delta++ {
			head := strings.Replace(rec1[:strings.Index(rec1, "first")], "Length: 5", fmt.Sprintf("Length: %07d", 0), 1)
			block := strings.Repeat("x", size-len(head)+delta)
			r := strings.Replace(head, "0000000", fmt.Sprintf("%07d", len(block)), 1) + block + "\r\n\r\n"
			for _, in := range []string{r + rec2, zipped(r) + zipped(rec2)} {
				records, findings := readAll(t, strings.NewReader(in))
				if len(records) != 2 || len(findings) > 0 || records[0].block != block || records[1].block != "second" {
					t.Fatal(size, delta, len(records), findings)
				}
			}
		}
	}
}

// Row 27: a bomb costs no memory, and a reader that reads nothing passes it by.
func TestGzipBombIsStreamed(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	const n = 64 << 20
	io.WriteString(z, strings.Replace(rec1[:strings.Index(rec1, "first")], "Length: 5", fmt.Sprint("Length: ", n), 1))
	zeros := make([]byte, 1<<20)
	for range n >> 20 {
		z.Write(zeros)
	}
	io.WriteString(z, "\r\n\r\n")
	z.Close()
	b.WriteString(zipped(rec2))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := 0
	for r := NewReader(bytes.NewReader(b.Bytes()), ReaderOptions{}); ; got++ {
		if _, err := r.Next(); err != nil {
			break
		}
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	if got != 2 || allocated > 8<<20 {
		t.Errorf("%d records, %d octets allocated", got, allocated)
	}
}

// Row 28, W18: zstd, one frame a record, with and without a dictionary, which may be compressed itself.
func TestZstandard(t *testing.T) {
	var samples [][]byte
	for i := range 200 {
		samples = append(samples, []byte(strings.Replace(rec1, "http://a/1", fmt.Sprintf("http://host%d.example/%x", i%7, i*i), 1)))
	}
	dict, err := zstd.BuildDict(zstd.BuildDictOptions{ID: 77, Contents: samples, History: bytes.Join(samples[:20], nil), Offsets: [3]int{1, 4, 8}})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(content string, opts ...zstd.EOption) string {
		e, err := zstd.NewWriter(nil, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return string(e.EncodeAll([]byte(content), nil))
	}
	skippable := func(content string) string {
		head := binary.LittleEndian.AppendUint32(bytes.Clone(dictMagic), uint32(len(content)))
		return string(head) + content
	}
	with := zstd.WithEncoderDict(dict)
	long := strings.Replace(rec1, "first", strings.Repeat("first", 100000), 1)
	long = strings.Replace(long, "Length: 5", "Length: 500000", 1)
	tests := []struct {
		name, in string
		records  int
		kinds    []string
	}{
		{"no dictionary", frame(rec1) + frame(long) + frame(rec2), 3, nil},
		{"no checksum", frame(rec1, zstd.WithEncoderCRC(false)) + frame(rec2, zstd.WithEncoderCRC(false)), 2, nil},
		{"dictionary", skippable(string(dict)) + frame(rec1, with) + frame(rec2, with), 2, nil},
		{"dictionary compressed", skippable(frame(string(dict))) + frame(rec1, with) + frame(rec2, with), 2, nil},
		{"dictionary missing", frame(rec1, with) + frame(rec2), 1, []string{KindUnsupported, KindGap}},
		{"cut", frame(rec1) + frame(rec2)[:40], 1, []string{KindCutMember}},
		{"whole file one frame", frame(rec1 + rec2), 2, []string{KindSharedMember}},
		{"junk behind", frame(rec1) + "junk", 1, []string{KindGap}},
	}
	for _, test := range tests {
		records, findings := readAll(t, strings.NewReader(test.in))
		whole := 0
		for _, r := range records {
			if r.err == nil {
				whole++
			}
		}
		var kinds []string
		for _, f := range findings {
			kinds = append(kinds, f.Kind)
		}
		if whole != test.records || !slices.Equal(kinds, test.kinds) {
			t.Errorf("%s: %d records, %v", test.name, whole, findings)
		}
		for _, r := range records {
			if r.err != nil || len(kinds) > 0 {
				continue
			}
			rec, err := ReadRecordAtOptions(strings.NewReader(test.in), r.offset, r.length, ReaderOptions{Dictionary: dict})
			if err != nil {
				t.Errorf("%s at %d: %v", test.name, r.offset, err)
				continue
			}
			if b, err := io.ReadAll(rec.Block); err != nil || string(b) != r.block {
				t.Errorf("%s at %d: %v", test.name, r.offset, err)
			}
		}
	}
}

// Row 30: what comes from a pipe is read in one pass.
func TestRow30Pipe(t *testing.T) {
	for name, file := range map[string]string{"gzip": zipped(rec1) + zipped(rec2), "stored": storedZip(rec1) + storedZip(rec2), "plain": rec1 + rec2} {
		in, out := io.Pipe()
		go func() {
			for part := range slices.Chunk([]byte(file), 7) {
				_, _ = out.Write(part)
			}
			_ = out.Close()
		}()
		records, findings := readAll(t, in)
		if len(records) != 2 || records[0].block != "first" || records[1].block != "second" || len(findings) > 0 {
			t.Errorf("%s: %v %v", name, records, findings)
		}
	}
}

// W14: metadata in fields of the crawl. W19: a record that is copied unchanged keeps its ID and its date; one that was
// changed has a new one and names the old.
func TestRulesOfRecords(t *testing.T) {
	o := newOut(Metadata, []byte("via: http://a/\r\nhopsFromSeed: L\r\nfetchTimeMs: 12\r\n"))
	o.Header.Set(FieldConcurrentTo, "<urn:uuid:00000000-0000-4000-8000-000000000002>")
	records, findings := readAll(t, bytes.NewReader(encode(t, o)))
	if len(records) != 1 || len(findings) > 0 || !strings.Contains(records[0].block, "hopsFromSeed: L\r\n") {
		t.Errorf("W14: %v %v", records, findings)
	}
	r := NewReader(strings.NewReader(rec1), ReaderOptions{})
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	copied := encode(t, Out{Header: rec.Header, Block: rec.Block, Size: 5, Foreign: true})
	records, _ = readAll(t, bytes.NewReader(copied))
	if records[0].header+records[0].block+"\r\n\r\n" != rec1 {
		t.Errorf("W19: copied as\n%s%s", records[0].header, records[0].block)
	}
	h := rec.Header.Clone()
	h.Set("WARC-Previous-Record-ID", Angle(h.ID()))
	h.SetID(NewRecordID())
	records, findings = readAll(t, bytes.NewReader(encode(t, Out{Header: h, Block: strings.NewReader("other"), Size: 5, Digest: true})))
	if len(findings) > 0 || !strings.Contains(records[0].header, "WARC-Previous-Record-ID: <urn:uuid:1>") || !strings.Contains(records[0].header, "WARC-Date: 2026-01-02T03:04:05Z") {
		t.Errorf("W19: changed as\n%s %v", records[0].header, findings)
	}
}

// Row 31: the segments of a record have what is needed to put it together.
func TestSegmentsAreRead(t *testing.T) {
	in := strings.Replace(rec1, "Content-Type", "WARC-Segment-Number: 1\r\nWARC-Truncated: length\r\nContent-Type", 1) +
		strings.Replace(strings.Replace(rec2, "resource", "continuation", 1), "Content-Type", "WARC-Segment-Origin-ID: <urn:uuid:1>\r\nWARC-Segment-Number: 2\r\nWARC-Segment-Total-Length: 11\r\nContent-Type", 1)
	records, findings := readAll(t, strings.NewReader(in))
	if len(records) != 2 || len(findings) > 0 {
		t.Fatal(len(records), findings)
	}
	j := NewJoiner()
	for _, r := range []string{in} {
		rd := NewReader(strings.NewReader(r), ReaderOptions{})
		for {
			rec, err := rd.Next()
			if err == io.EOF {
				break
			}
			if err := j.Add(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	segments, findings := j.Segments("urn:uuid:1")
	if len(segments) != 2 || segments[1].Offset != segments[0].Offset+segments[0].Length || len(findings) != 0 {
		t.Error(segments, findings)
	}
	_, findings = NewJoiner().Segments("urn:uuid:1")
	if len(findings) != 1 || findings[0].Kind != KindSegment {
		t.Error(findings)
	}
}

// Row 34, V2: every spelling of a revisit's profile is one of two kinds.
func TestRevisitProfiles(t *testing.T) {
	for profile, want := range map[string]RevisitKind{
		ProfileIdentical: RevisitIdentical, ProfileNotModified: RevisitNotModified,
		"http://netpreserve.org/warc/1.0/revisit/identical-payload-digest":  RevisitIdentical,
		"http://netpreserve.org/warc/1.0/revisit/server-not-modified":       RevisitNotModified,
		"http://netpreserve.org/warc/1.1/identical-payload-digest":          RevisitIdentical,
		"http://netpreserve.org/warc/1.1/server-not-modified":               RevisitNotModified,
		"http://netpreserve.org/warc/0.18/revisit/identical-payload-digest": RevisitIdentical,
		"": RevisitUnknown, "http://example.com/other": RevisitUnknown,
	} {
		if got := KindOfProfile(profile); got != want {
			t.Errorf("%s: %v", profile, got)
		}
	}
}

// The trouble of the disk is an error that names the offset, not a finding.
func TestReadErrors(t *testing.T) {
	broken := errors.New("input/output error")
	for _, in := range []string{rec1 + rec2, zipped(rec1) + zipped(rec2)} {
		for n := range len(in) {
			r := NewReader(io.MultiReader(strings.NewReader(in[:n]), iotest.ErrReader(broken)), ReaderOptions{})
			var err error
			for err == nil {
				_, err = r.Next()
			}
			if !errors.Is(err, broken) {
				t.Fatalf("after %d octets: %v", n, err)
			}
		}
	}
}

func TestReadRecordAt(t *testing.T) {
	for _, zip := range []bool{false, true} {
		data, _ := three(t, zip)
		records, _ := readAll(t, bytes.NewReader(data))
		for _, r := range records {
			for _, length := range []int64{r.length, 0} {
				rec, err := ReadRecordAt(bytes.NewReader(data), r.offset, length)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(rec.Block)
				if err != nil || string(b) != r.block || rec.Offset != r.offset || rec.Header.String() != r.header {
					t.Error(r.offset, err)
				}
				if err := rec.Close(); err != nil || rec.Length != r.length {
					t.Error(rec.Length, err)
				}
			}
			if _, err := ReadRecordAt(bytes.NewReader(data), r.offset+1, 0); !errors.Is(err, ErrNoRecord) {
				t.Error(err)
			}
		}
		for _, off := range []int64{-1, int64(len(data)), int64(len(data)) + 9} {
			if _, err := ReadRecordAt(bytes.NewReader(data), off, 0); !errors.Is(err, ErrNoRecord) {
				t.Error(off, err)
			}
		}
	}
}

// A parallel scan gives what a reader gives, whatever the file and however it is cut into parts.
func TestScanEqualsReader(t *testing.T) {
	var inner bytes.Buffer
	for i := range 20 {
		inner.Write(encode(t, newOut(Resource, page(uint64(i), 300))))
	}
	var outer bytes.Buffer
	var offsets []int64
	add := func(o Out) {
		offsets = append(offsets, int64(outer.Len()))
		outer.Write(encode(t, o))
	}
	for i := range 30 {
		add(newOut(Response, page(uint64(i), 1000+i*50)))
		if i%7 == 0 {
			// A stored payload that is an archive itself: every start in it is a false one.
			o := newOut(Resource, inner.Bytes())
			o.Stored = true
			add(o)
		}
	}
	good := outer.Bytes()
	damaged := bytes.Clone(good)
	damaged[len(damaged)/3] ^= 0x10
	damaged[len(damaged)/2] ^= 0x20
	plainFile, _ := three(t, false)
	files := map[string][]byte{"good": good, "damaged": damaged, "cut": good[:len(good)-100], "padded": append(bytes.Clone(good), make([]byte, 3000)...),
		"plain": plainFile, "one member": []byte(zipped(rec1 + rec2)), "empty": nil}
	for name, data := range files {
		want := summarise(NewReader(bytes.NewReader(data), ReaderOptions{Digests: true}))
		for _, opt := range []ScanOptions{{Workers: 2, Chunk: 500}, {Workers: 3, Chunk: 3000}, {Workers: 1}, {Workers: 2, Chunk: 1000, Offsets: offsets}, {Workers: 2, Chunk: 700, Offsets: []int64{13, 999, 5000}}} {
			opt.Reader.Digests = true
			var out strings.Builder
			findings, err := ScanOrdered(context.Background(), bytes.NewReader(data), int64(len(data)), opt, func(rec *Record) error {
				n, berr := io.Copy(io.Discard, rec.Block)
				fmt.Fprintf(&out, "%d+%d %s %s %s %d octets", rec.Offset, rec.Length, rec.Header.Version(), rec.Header.Type(), rec.Header.TargetURI(), n)
				if rec.Inside != 0 {
					fmt.Fprintf(&out, " inside %d", rec.Inside)
				}
				if berr != nil {
					fmt.Fprintf(&out, " %v", berr)
				}
				out.WriteByte('\n')
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var wantRecords, wantFindings, gotFindings []string
			for line := range strings.Lines(want) {
				if f, ok := strings.CutPrefix(line, "  ! "); ok {
					wantFindings = append(wantFindings, strings.TrimSpace(f))
				} else {
					wantRecords = append(wantRecords, line)
				}
			}
			for _, f := range findings {
				gotFindings = append(gotFindings, f.String())
			}
			if got := out.String(); got != strings.Join(wantRecords, "") {
				t.Errorf("%s, %d workers, parts of %d:\n%s\nwant\n%s", name, opt.Workers, opt.Chunk, got, strings.Join(wantRecords, ""))
			}
			if !slices.Equal(gotFindings, wantFindings) {
				t.Errorf("%s, %d workers, parts of %d:\n%q\nwant\n%q", name, opt.Workers, opt.Chunk, gotFindings, wantFindings)
			}
		}
	}
}

func TestScanStops(t *testing.T) {
	data, _ := three(t, true)
	stop := errors.New("enough")
	if _, err := Scan(context.Background(), bytes.NewReader(data), int64(len(data)), 2, func(*Record) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Scan(ctx, bytes.NewReader(data), int64(len(data)), 2, func(*Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
