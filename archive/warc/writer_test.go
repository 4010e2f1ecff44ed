package warc

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// Every rule of the header that a record can break; each row breaks one and names the clause of WARC 1.1.
func TestWriterRefuses(t *testing.T) {
	tests := []struct {
		name, typ string
		change    func(*Header)
		field     string
	}{
		{"W2 no ID", Response, func(h *Header) { h.Del(FieldRecordID) }, FieldRecordID},
		{"W2 no date", Response, func(h *Header) { h.Del(FieldDate) }, FieldDate},
		{"W2 no type", Response, func(h *Header) { h.Del(FieldType) }, FieldType},
		{"W2 ID without brackets", Response, func(h *Header) { h.Set(FieldRecordID, "urn:uuid:x") }, FieldRecordID},
		{"W3 CR in a value", Response, func(h *Header) { h.Set("X-A", "a\rb") }, "X-A"},
		{"W3 LF in a value", Response, func(h *Header) { h.Set(FieldTargetURI, "http://a/\nWARC-Type: x") }, FieldTargetURI},
		{"W3 NUL in a value", Response, func(h *Header) { h.Set("X-A", "a\x00b") }, "X-A"},
		{"W3 not UTF-8", Response, func(h *Header) { h.Set("X-A", "a\xff") }, "X-A"},
		{"W3 injection by name", Response, func(h *Header) { h.Set("X-A: b\r\nX-B", "c") }, "X-A: b\r\nX-B"},
		{"W3 empty name", Response, func(h *Header) { h.Add("", "c") }, ""},
		{"W4 twice", Response, func(h *Header) { h.Add("warc-date", "2026-01-02T03:04:05Z") }, "warc-date"},
		{"W5 no Z", Response, func(h *Header) { h.Set(FieldDate, "2026-01-02T03:04:05+01:00") }, FieldDate},
		{"W5 no seconds", Response, func(h *Header) { h.Set(FieldDate, "2026-01-02T03:04Z") }, FieldDate},
		{"W5 ten digits", Response, func(h *Header) { h.Set(FieldDate, "2026-01-02T03:04:05.0123456789Z") }, FieldDate},
		{"W5 month 13", Response, func(h *Header) { h.Set(FieldDate, "2026-13-02T03:04:05Z") }, FieldDate},
		{"W6 no target", Response, func(h *Header) { h.Del(FieldTargetURI) }, FieldTargetURI},
		{"W6 no target on a request", Request, func(h *Header) { h.Del(FieldTargetURI) }, FieldTargetURI},
		{"W6 no target on a resource", Resource, func(h *Header) { h.Del(FieldTargetURI) }, FieldTargetURI},
		{"W6 no target on a revisit", Revisit, func(h *Header) { h.Del(FieldTargetURI) }, FieldTargetURI},
		{"W6 target on warcinfo", Warcinfo, func(h *Header) { h.Set(FieldTargetURI, "http://a/") }, FieldTargetURI},
		{"W6 brackets", Response, func(h *Header) { h.Set(FieldTargetURI, "<http://a/>") }, FieldTargetURI},
		{"W6 blank", Response, func(h *Header) { h.Set(FieldTargetURI, "http://a/b c") }, FieldTargetURI},
		{"W6 relative", Response, func(h *Header) { h.Set(FieldTargetURI, "/a") }, FieldTargetURI},
		{"W6 fragment", Response, func(h *Header) { h.Set(FieldTargetURI, "http://a/#b") }, FieldTargetURI},
		{"W7 no content type", Response, func(h *Header) { h.Del(FieldContentType) }, FieldContentType},
		{"W8 concurrent on warcinfo", Warcinfo, func(h *Header) { h.Add(FieldConcurrentTo, "<urn:uuid:x>") }, FieldConcurrentTo},
		{"W9 refers-to on a response", Response, func(h *Header) { h.Add(FieldRefersTo, "<urn:uuid:x>") }, FieldRefersTo},
		{"W9 refers-to-uri on metadata", Metadata, func(h *Header) { h.Add(FieldRefersToURI, "http://a/") }, FieldRefersToURI},
		{"W9 refers-to-date on metadata", Metadata, func(h *Header) { h.Add(FieldRefersToDate, "2026-01-02T03:04:05Z") }, FieldRefersToDate},
		{"W10 brackets", Response, func(h *Header) { h.Set(FieldIPAddress, "[::1]") }, FieldIPAddress},
		{"W10 not RFC 5952", Response, func(h *Header) { h.Set(FieldIPAddress, "2001:DB8:0::1") }, FieldIPAddress},
		{"W10 zone", Response, func(h *Header) { h.Set(FieldIPAddress, "fe80::1%eth0") }, FieldIPAddress},
		{"W10 on warcinfo", Warcinfo, func(h *Header) { h.Set(FieldIPAddress, "192.0.2.1") }, FieldIPAddress},
		{"W11 unknown reason", Response, func(h *Header) { h.Set(FieldTruncated, "tired") }, FieldTruncated},
		{"W12 file name elsewhere", Response, func(h *Header) { h.Set(FieldFilename, "a.warc.gz") }, FieldFilename},
		{"W12 name while open", Warcinfo, func(h *Header) { h.Set(FieldFilename, "a.warc.gz.open") }, FieldFilename},
		{"W12 warcinfo of a warcinfo", Warcinfo, func(h *Header) { h.Set(FieldWarcinfoID, "<urn:uuid:x>") }, FieldWarcinfoID},
		{"W13 payload of metadata", Metadata, func(h *Header) {
			h.Set(FieldPayloadDigest, "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ")
		}, FieldPayloadDigest},
		{"W15 segment 1 of a continuation", Continuation, func(h *Header) { h.Set(FieldSegmentNumber, "1") }, FieldSegmentNumber},
		{"D1 sha1 in hex", Response, func(h *Header) { h.Set(FieldPayloadDigest, "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709") }, FieldPayloadDigest},
		{"D1 sha256 in upper case", Response, func(h *Header) {
			h.Set(FieldPayloadDigest, "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855")
		}, FieldPayloadDigest},
		{"D1 no label", Response, func(h *Header) { h.Set(FieldBlockDigest, "abc") }, FieldBlockDigest},
		{"V1 no profile", Revisit, func(h *Header) { h.Del(FieldProfile) }, FieldProfile},
		{"V1 no payload digest", Revisit, func(h *Header) { h.Del(FieldPayloadDigest) }, FieldPayloadDigest},
		{"profile elsewhere", Response, func(h *Header) { h.Set(FieldProfile, ProfileIdentical) }, FieldProfile},
		{"type in upper case", Response, func(h *Header) { h.Set(FieldType, "Response") }, FieldType},
		{"no version", Response, func(h *Header) { h.SetVersion("HTTP/1.1") }, "version"},
	}
	e := NewEncoder(0)
	for _, test := range tests {
		o := newOut(test.typ, []byte("block"))
		if _, err := e.Encode(o); err != nil {
			t.Fatalf("%s: before the change: %v", test.name, err)
		}
		for _, size := range []int{5, peekable + 1} {
			o := newOut(test.typ, make([]byte, size))
			test.change(&o.Header)
			_, err := e.Encode(o)
			var refused *HeaderError
			if !errors.As(err, &refused) || refused.Field != test.field || refused.Rule == "" {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
}

func TestWriterAccepts(t *testing.T) {
	tests := []struct {
		name, typ string
		change    func(*Header)
	}{
		{"W4 several concurrent and protocols", Response, func(h *Header) {
			h.Add(FieldConcurrentTo, "<urn:uuid:x>")
			h.Add(FieldConcurrentTo, "<urn:uuid:y>")
			h.Add(FieldProtocol, "http/1.1")
			h.Add(FieldProtocol, "tls/1.3")
			h.Add(FieldCipherSuite, "TLS_AES_128_GCM_SHA256")
		}},
		{"W4 unknown fields and types", "x-something", func(h *Header) { h.Set("X-Other", "äöü") }},
		{"W5 nanoseconds", Response, func(h *Header) { h.Set(FieldDate, "2026-01-02T03:04:05.123456789Z") }},
		{"W6 dns", Resource, func(h *Header) { h.Set(FieldTargetURI, "dns:example.com"); h.Set(FieldContentType, "text/dns") }},
		{"W9 metadata refers", Metadata, func(h *Header) { h.Set(FieldRefersTo, "<urn:uuid:x>"); h.Set(FieldTargetURI, "http://a/") }},
		{"W10 IPv6", Response, func(h *Header) { h.Set(FieldIPAddress, "2001:db8::1") }},
		{"W11", Response, func(h *Header) { h.Set(FieldTruncated, "disconnect") }},
		{"W12", Warcinfo, func(h *Header) { h.Set(FieldFilename, "a.warc.gz") }},
		{"V1", Revisit, func(h *Header) {
			h.Set(FieldRefersTo, "<urn:uuid:x>")
			h.Set(FieldRefersToURI, "http://a/")
			h.Set(FieldRefersToDate, "2026-01-02T03:04:05Z")
			h.Set(FieldTruncated, "length")
		}},
	}
	for _, test := range tests {
		o := newOut(test.typ, []byte("x"))
		if test.typ == "x-something" {
			o.Header.Set(FieldContentType, "text/plain")
		}
		test.change(&o.Header)
		records, findings := readAll(t, bytes.NewReader(encode(t, o)))
		if len(findings) > 0 || len(records) != 1 {
			t.Errorf("%s: %v", test.name, findings)
		}
	}
	// A foreign record keeps what was usual where it came from, but cannot break the file.
	o := newOut(Response, []byte("x"))
	o.Header.SetVersion("WARC/1.0")
	o.Header.Set(FieldTargetURI, "<http://a/>")
	o.Foreign = true
	encode(t, o)
	o.Header.Set("X-A", "a\r\n\r\n")
	if _, err := NewEncoder(0).Encode(o); err == nil {
		t.Error("a foreign record broke the file")
	}
}

// One member holds one record and nothing else (W1, W17), whatever its size and however it is packed, and our digest is
// that of the block.
func TestMembers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 6<<20)
	for i := 0; i+8 <= len(noise); i += 8 {
		v := rng.Uint64()
		for j := range 8 {
			noise[i+j] = byte(v >> (8 * j))
		}
	}
	text := bytes.Repeat(page(1, 50<<10), 60)
	for _, block := range [][]byte{nil, []byte("x"), text[:peekable], text[:peekable+1], text, noise[:70000], noise} {
		for _, level := range []int{-1, 0, 1, 9} {
			for _, stored := range []bool{false, true} {
				for _, known := range []bool{true, false} {
					name := fmt.Sprintf("%d octets, level %d, stored %v, size known %v", len(block), level, stored, known)
					if level == 9 && len(block) > 100000 {
						continue
					}
					e := NewEncoder(level)
					e.Dir = t.TempDir()
					o := newOut(Response, block)
					o.Stored = stored
					if !known {
						o.Size = -1
						o.Block = iotest.HalfReader(o.Block)
					}
					m, err := e.Encode(o)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if left, _ := os.ReadDir(e.Dir); len(left) > 0 {
						t.Errorf("%s: a temporary file has a name", name)
					}
					var b bytes.Buffer
					for range 2 { // a second time, for who must write again
						b.Reset()
						if n, err := m.WriteTo(&b); err != nil || n != m.Len() {
							t.Fatalf("%s: %d, %v", name, n, err)
						}
					}
					if got := m.Bytes(); got != nil && !bytes.Equal(got, b.Bytes()) {
						t.Errorf("%s: Bytes and WriteTo differ", name)
					}
					z, err := gzip.NewReader(&b) // the standard library's, as another reader
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					z.Multistream(false)
					got, err := io.ReadAll(z)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					want := append(append(m.Header.Append(nil), block...), "\r\n\r\n"...)
					if !bytes.Equal(got, want) || b.Len() != 0 {
						t.Errorf("%s: wrong content, %d octets left over", name, b.Len())
					}
					if want := fmt.Sprintf("sha256:%x", sha256.Sum256(block)); m.Header.Get(FieldBlockDigest) != want {
						t.Errorf("%s: digest %s", name, m.Header.Get(FieldBlockDigest))
					}
					if want := fmt.Sprint(len(block)); m.Header.Get(FieldContentLength) != want {
						t.Errorf("%s: length %s", name, m.Header.Get(FieldContentLength))
					}
					if stored && len(block) == len(noise) && m.Len() > int64(len(noise)+2000) {
						t.Errorf("%s: %d octets", name, m.Len())
					}
					m.Close()
				}
			}
		}
	}
}

func TestWrongSizeIsRefused(t *testing.T) {
	for _, n := range []int64{4, 6, peekable + 10, 0} {
		o := newOut(Response, []byte("12345"))
		o.Size = n
		if _, err := NewEncoder(0).Encode(o); !errors.Is(err, ErrSize) {
			t.Errorf("size %d: %v", n, err)
		}
	}
	o := newOut(Response, make([]byte, peekable+5))
	for _, n := range []int64{peekable + 4, peekable + 6} {
		o.Block, o.Size = bytes.NewReader(make([]byte, peekable+5)), n
		if _, err := NewEncoder(0).Encode(o); !errors.Is(err, ErrSize) {
			t.Errorf("size %d: %v", n, err)
		}
	}
	o.Block, o.Size = iotest.ErrReader(errors.New("disk")), -1
	if _, err := NewEncoder(0).Encode(o); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("a failing block: %v", err)
	}
}

func TestSameRecordSameOctets(t *testing.T) {
	e := NewEncoder(0)
	var first []byte
	for range 3 {
		m, err := e.Encode(newOut(Response, page(1, 20000)))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = bytes.Clone(m.Bytes())
		} else if !bytes.Equal(first, m.Bytes()) {
			t.Error("differs")
		}
		m.Close()
	}
}

func TestCombineCRC(t *testing.T) {
	data := page(3, 100000)
	for _, cut := range []int{0, 1, 7, 1000, 65536, len(data) - 1, len(data)} {
		a, b := data[:cut], data[cut:]
		if got, want := combineCRC(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), uint64(len(b))), crc32.ChecksumIEEE(data); got != want {
			t.Errorf("cut at %d: %08x, want %08x", cut, got, want)
		}
	}
}

func TestDigestForms(t *testing.T) {
	// D3, D4: the digest of nothing in all its spellings.
	for _, s := range []string{
		"sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ", "sha1:3i42h3s6nnfq2msvx7xzkyayscx5qbyj", "SHA-1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ",
		"sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "sha1:2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha1:2jmj7l5rSw0yVb_vlWAYkK_YBwk",
	} {
		d, err := ParseDigest(s)
		if err != nil || d.String() != "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ" {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"sha256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", "sha-256:4OYMIQUY7QOBJGX36TEJS35ZEQT24QPEMSNZGTFESWMRW6CSXBKQ====", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		if d, err := ParseDigest(s); err != nil || !d.Known() {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	if d, err := ParseDigest("blake3:abc"); err != nil || d.Known() || d.Equal(d) {
		t.Error("an unknown algorithm passes for checked")
	}
	for _, s := range []string{"", "sha1", "sha1:", "sha1:xyz", ":abc", "sha256:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"} {
		if _, err := ParseDigest(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}

func TestParseDate(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z", "2026-01-02T04:04:05+01:00", "20260102030405", "202601020304050000", "2026-01-02T03:04:05"} {
		if got, err := ParseDate(s); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"2026-01", "2026", "2026-01-02", "2026-01-02T03:04Z", "20260102"} {
		if _, err := ParseDate(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "yesterday", "2026-13-01T00:00:00Z", "99999999999999"} {
		if got, err := ParseDate(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	if got := FormatDate(want.Add(1234567)); got != "2026-01-02T03:04:05.001Z" {
		t.Error(got)
	}
}

func TestNewRecordID(t *testing.T) {
	a, b := NewRecordID(), NewRecordID()
	if a == b || len(a) != 45 || a[23] != '4' || idRule(Angle(a)) != "" {
		t.Error(a, b)
	}
}
