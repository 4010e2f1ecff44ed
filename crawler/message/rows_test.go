package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// The rows of archive-formats section 2 that are about HTTP; the numbers are the table's, the others stand in archive/warc
// and archive.

func TestRow16Heads(t *testing.T) {
	for in, want := range map[string]int{
		"HTTP/1.1 200\r\n\r\n":                             200, // status only
		"HTTP 200\r\n\r\n":                                 200, // no version
		"HTTP/2 200\r\n\r\n":                               200,
		"HTTP/1.1 200 \r\nA: b\r\n\r\n":                    200, // no reason
		"HTTP/1.1 0 \r\nA: b\r\n\r\n":                      0,   // Browsertrix: unknown
		"HTTP/1.1 000 \r\nA: b\r\n\r\n":                    0,
		"HTTP/1.1 200 OK\r\nA: b":                          200, // no blank line
		"HTTP/1.1 200 OK\r\n  folded\r\nA: b\r\n\r\n":      200, // row 13
		"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\nB: c\r\n\r\nxy": 200,
	} {
		if r, err := Open(strings.NewReader(in)); err != nil || r.Head.Status != want {
			t.Errorf("%q: %v, want status %d", in, err, want)
		}
	}
	// HTML where the head should be is no head at all; the caller takes the block as payload (row 17).
	if _, err := Open(strings.NewReader("<html><body>no head</body></html>")); !errors.Is(err, ErrNoStatusLine) {
		t.Errorf("HTML for a head: %v", err)
	}
}

func TestRow19Chunks(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tc := range []struct{ name, body, want, rest string }{
		{"says chunked, is not", "<html>plain</html>", "<html>plain</html>", ""},
		{"bad hex", "3\r\nabc\r\nzz\r\nrest", "abc", "zz\r\nrest"},
		{"missing line end", "3\r\nabcrest", "abc", "rest"},
		{"cut off", "a\r\nabc", "abc", ""},
		{"size over 2^31", "80000001\r\nabc", "abc", ""},
		{"size over 2^63", "ffffffffffffffffff\r\nabc", "", "ffffffffffffffffff\r\nabc"},
		{"zeros and blanks in the size", " 0003 \r\nabc\r\n0\r\n\r\n", "abc", ""},
	} {
		r, err := Open(strings.NewReader(head + tc.body))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		got, err := io.ReadAll(r.Payload)
		rest := ""
		var bad *ChunkError
		if errors.As(err, &bad) {
			b, _ := io.ReadAll(bad.Rest)
			rest = string(b)
		} else if err != nil && err != io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", tc.name, err)
		}
		if string(got)+rest != tc.want+tc.rest {
			t.Errorf("%s: %q and %q, want %q and %q", tc.name, got, rest, tc.want, tc.rest)
		}
	}
}

func TestRow20FalseLabels(t *testing.T) {
	for _, label := range []string{"gzip", "x-gzip", "br", "deflate", "zstd", "gzip, br"} {
		for _, body := range []string{"<!DOCTYPE html><p>plain text, whole</p>", ""} {
			r, err := Open(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Encoding: " + label + "\r\n\r\n" + body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r.Decoded(0)); err != nil || string(got) != body {
				t.Errorf("%s: %q became %q, %v", label, body, got, err)
			}
		}
	}
}

func TestRow21Codings(t *testing.T) {
	for _, tc := range []struct {
		label string
		codes []string // in the order they were applied
	}{
		{"deflate", []string{"zlib"}}, {"deflate", []string{"deflate"}}, {"x-gzip", []string{"gzip"}}, {"identity", nil}, {"none", nil},
		{"gzip, br", []string{"gzip", "br"}}, {"deflate, identity, gzip", []string{"zlib", "gzip"}}, {"gzip, gzip", []string{"gzip", "gzip"}},
	} {
		b := page
		for _, c := range tc.codes {
			b = pack(t, c, b)
		}
		r, err := Open(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Encoding: "+tc.label+"\r\n\r\n"), bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.Decoded(0)); err != nil || !bytes.Equal(got, page) {
			t.Errorf("%s as %v: %d octets, %v", tc.label, tc.codes, len(got), err)
		}
	}
}

func TestRow22CutCodings(t *testing.T) {
	for _, c := range []string{"gzip", "zlib", "br", "zstd"} {
		b := pack(t, c, page)
		label := strings.Replace(c, "zlib", "deflate", 1)
		r, err := Open(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Encoding: "+label+"\r\n\r\n"), bytes.NewReader(b[:len(b)-3])))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Decoded(0))
		if err == nil || !bytes.HasPrefix(page, got) || c != "zstd" && c != "br" && len(got) == 0 {
			t.Errorf("%s: %d octets, %v: what decodes is served and flagged", c, len(got), err)
		}
	}
}
