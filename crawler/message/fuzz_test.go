package message

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzHead: whatever the octets, the head ends where EndOfHead says, in pieces as whole, and what was read can be written and
// read again to the same fields.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", "HTTP/1.0 404\nA:b\n c\n\n", "\r\n\r\nHTTP/2 200\r\n\r\n", "ICY 200 OK\r\n\r\n", "SSH-2.0-x\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n:\r\n \r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end := EndOfHead(b)
		h, err := ParseHead(b)
		if err != nil {
			if !errors.Is(err, ErrNoStatusLine) {
				t.Fatal(err)
			}
			return
		}
		if end >= 0 && h.Len != end {
			t.Fatalf("Len %d, EndOfHead %d", h.Len, end)
		}
		if h.Len > len(b) || h.Status < 100 || h.Status > 999 {
			t.Fatalf("%+v", h)
		}
		at, from := -1, 0
		for i := 0; i <= len(b) && at < 0; i += 3 {
			at, from = ScanHead(b[:i], from)
		}
		if at < 0 {
			at, _ = ScanHead(b, from)
		}
		if at != end {
			t.Fatalf("in pieces %d, whole %d", at, end)
		}
		_, _ = h.ContentLength()
		_ = h.Chunked()
	})
}

// FuzzChunks: the data is the same however the octets arrive, never longer than the input, and push and pull agree.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{"3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\nrest", " 3 \nabc\n0\n\n", "3\r\nabcd", "ffffffffffffffff\r\n", "<html>", "0\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err1 := io.ReadAll(Dechunk(bytes.NewReader(b)))
		piece, err2 := io.ReadAll(Dechunk(iotest.OneByteReader(bytes.NewReader(b))))
		if !bytes.Equal(whole, piece) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("whole %q, %v; by one %q, %v", whole, err1, piece, err2)
		}
		if len(whole) > len(b) {
			t.Fatal("longer than the input")
		}
		var bad1, bad2 *ChunkError
		if errors.As(err1, &bad1) != errors.As(err2, &bad2) || bad1 != nil && bad1.Offset != bad2.Offset {
			t.Fatalf("%v; %v", err1, err2)
		}
	})
}

// FuzzDecode: no coding gives more than its limit, and none panics.
func FuzzDecode(f *testing.F) {
	for _, c := range []string{"gzip", "zlib", "deflate", "br", "zstd"} {
		label := c
		if c == "zlib" {
			label = "deflate"
		}
		f.Add(label, pack(f, c, page[:200]))
	}
	f.Add("gzip, br", []byte("plain"))
	f.Fuzz(func(t *testing.T, coding string, b []byte) {
		n, _ := io.Copy(io.Discard, Decode(coding, bytes.NewReader(b), 1<<16))
		if n > 1<<16 {
			t.Fatal(n)
		}
	})
}

// FuzzCharset: the answer is always UTF-8, and valid UTF-8 without a label comes back as it was.
func FuzzCharset(f *testing.F) {
	f.Add("text/html; charset=gbk", []byte("<title>\xd0\xc2\xce\xc5</title>"))
	f.Add("text/html", []byte("\xff\xfea\x00"))
	f.Add("", []byte("<meta charset=utf-16><p>x"))
	f.Add("text/html; charset=iso-2022-jp", []byte("\x1b$B"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		name, _ := Charset(contentType, body)
		text, _ := ToUTF8(name, body)
		if !utf8.Valid(text) {
			t.Fatalf("%s: not UTF-8", name)
		}
	})
}

// FuzzOpen: a stored block never panics and its payload never grows.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Open(bytes.NewReader(b))
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, r.Decoded(1<<16))
		if n > 1<<16 {
			t.Fatal(n)
		}
	})
}
