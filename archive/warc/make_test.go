package warc

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// newOut returns a valid record of a type.
func newOut(typ string, block []byte) Out {
	var h Header
	h.Set(FieldType, typ)
	h.SetID("urn:uuid:00000000-0000-4000-8000-000000000001")
	h.Set(FieldDate, "2026-01-02T03:04:05Z")
	switch typ {
	case Warcinfo, Metadata:
		h.Set(FieldContentType, "application/warc-fields")
	case Resource:
		h.Set(FieldTargetURI, "http://example.com/")
		h.Set(FieldContentType, "text/plain")
	case Revisit:
		h.Set(FieldProfile, ProfileIdentical)
		h.Set(FieldPayloadDigest, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
		h.Set(FieldTargetURI, "http://example.com/")
		h.Set(FieldContentType, "application/http;msgtype=response")
	default:
		h.Set(FieldTargetURI, "http://example.com/")
		h.Set(FieldContentType, "application/http;msgtype=response")
	}
	return Out{Header: h, Block: bytes.NewReader(block), Size: int64(len(block)), Digest: true}
}

func encode(t testing.TB, o Out) []byte {
	t.Helper()
	m, err := NewEncoder(0).Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var b bytes.Buffer
	if n, err := m.WriteTo(&b); err != nil || n != m.Len() {
		t.Fatal(n, err)
	}
	return b.Bytes()
}

// plainRecord returns a record that is not compressed.
func plainRecord(t testing.TB, o Out) []byte {
	t.Helper()
	block, err := io.ReadAll(o.Block)
	if err != nil {
		t.Fatal(err)
	}
	o.Block, o.Size = bytes.NewReader(block), int64(len(block))
	m, err := NewEncoder(0).Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return append(append(m.Header.Append(nil), block...), "\r\n\r\n"...)
}

// page returns an HTTP response with a page that compresses as pages do, about 4 to 1, of about n octets.
func page(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 2))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nServer: nginx\r\n\r\n<!DOCTYPE html><html><head><title>Page</title></head><body>\n")
	for b.Len() < n {
		fmt.Fprintf(&b, "<div class=\"item item-%d\"><a href=\"/detail/2026/01/%02d/%d/%s-%s\">", rng.IntN(9), rng.IntN(30), rng.IntN(1e6), word(rng), word(rng))
		for range 3 + rng.IntN(20) {
			b.WriteString(word(rng))
			b.WriteByte(' ')
		}
		b.WriteString("</a></div>\n")
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}

var syllables = []string{"ta", "ke", "ri", "no", "san", "mel", "or", "in", "the", "al", "per", "con", "u", "ver", "sti", "la", "de", "ment", "ci", "ty"}

func word(rng *rand.Rand) string {
	s := ""
	for range 1 + rng.IntN(4) {
		s += syllables[min(rng.IntN(len(syllables)), rng.IntN(len(syllables)))]
	}
	return s
}

type seen struct {
	offset, length int64
	header         string
	block          string
	err            error
	findings       []Finding
}

// readAll reads everything with digests verified.
func readAll(t testing.TB, r io.Reader) (records []seen, findings []Finding) {
	t.Helper()
	rd := NewReader(r, ReaderOptions{Digests: true})
	for range 1 << 20 {
		rec, err := rd.Next()
		if err == io.EOF {
			return records, append(findings, rd.Findings()...)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rec.Block)
		rec.Close()
		records = append(records, seen{rec.Offset, rec.Length, rec.Header.String(), string(b), err, rec.Findings})
	}
	t.Fatal("never ends")
	return nil, nil
}
