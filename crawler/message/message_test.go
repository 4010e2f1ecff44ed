package message

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"mirrorwatch/crawler/survey"
)

func TestParseHead(t *testing.T) {
	f := func(kv ...string) (fields []survey.Field) {
		for i := 0; i < len(kv); i += 2 {
			fields = append(fields, survey.Field{Name: kv[i], Value: kv[i+1]})
		}
		return fields
	}
	for _, tc := range []struct {
		name, in string
		want     Head
	}{
		{"plain", "HTTP/1.1 200 OK\r\nA: b\r\na:  c \r\n\r\nbody", Head{"HTTP/1.1", 200, "OK", f("A", "b", "a", "c"), 33, nil}},
		{"LF only", "HTTP/1.0 404 Not Found\nA: b\n\nx", Head{"HTTP/1.0", 404, "Not Found", f("A", "b"), 29, []string{FindingBareLF}}},
		{"no reason", "HTTP/1.1 200\r\n\r\n", Head{"HTTP/1.1", 200, "", nil, 16, []string{FindingNoReason}}},
		{"empty reason", "HTTP/1.1 200 \r\n\r\n", Head{"HTTP/1.1", 200, "", nil, 17, nil}},
		{"HTTP/2 on the wire", "HTTP/2 200\r\n\r\n", Head{"HTTP/2", 200, "", nil, 14, []string{FindingProto, FindingNoReason}}},
		{"ICY", "ICY 200 OK\r\n\r\n", Head{"ICY", 200, "OK", nil, 14, []string{FindingProto}}},
		{"no colon", "HTTP/1.1 200 OK\r\njunk\r\nA: b\r\n\r\n", Head{"HTTP/1.1", 200, "OK", f("A", "b"), 31, []string{FindingNoColon}}},
		{"folded", "HTTP/1.1 200 OK\r\nA: b\r\n  c\r\n\r\n", Head{"HTTP/1.1", 200, "OK", f("A", "b c"), 30, []string{FindingFolded}}},
		{"space before colon", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Head{"HTTP/1.1", 200, "OK", f("A", "b"), 26, []string{FindingNameSpace}}},
		{"leading empty line", "\r\nHTTP/1.1 200 OK\r\n\r\n", Head{"HTTP/1.1", 200, "OK", nil, 21, []string{FindingLeadingEmptyLine}}},
		{"cut", "HTTP/1.1 200 OK\r\nA: b", Head{"HTTP/1.1", 200, "OK", f("A", "b"), 21, []string{FindingNoBlankLine}}},
		{"cut behind a line", "HTTP/1.1 200 OK\r\nA: b\r\n", Head{"HTTP/1.1", 200, "OK", f("A", "b"), 23, []string{FindingNoBlankLine}}},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", Head{"HTTP/1.1", 200, "OK", nil, 20, []string{FindingStatusSpace}}},
		{"NUL in value", "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", Head{"HTTP/1.1", 200, "OK", f("A", "b\x00"), 26, []string{FindingControl}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseHead([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
	for _, in := range []string{"", "\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n", "<html>", "HTTP/1.1", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 abc OK\r\n", "HTTP/1.1 099 X\r\n"} {
		if h, err := ParseHead([]byte(in)); !errors.Is(err, ErrNoStatusLine) {
			t.Errorf("%q: %+v, %v; want ErrNoStatusLine", in, h, err)
		}
	}
}

func TestEndOfHead(t *testing.T) {
	for in, want := range map[string]int{
		"HTTP/1.1 200 OK\r\n\r\nx": 19, "HTTP/1.1 200 OK\n\nx": 17, "HTTP/1.1 200 OK\r\n\nx": 18, "HTTP/1.1 200 OK\r\n\r": -1, "": -1,
		"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n": 23, "HTTP/1.1 200 OK\r\n": -1,
	} {
		if got := EndOfHead([]byte(in)); got != want {
			t.Errorf("EndOfHead(%q) = %d, want %d", in, got, want)
		}
		from, end := 0, -1
		for i := 0; i <= len(in) && end < 0; i++ {
			end, from = ScanHead([]byte(in[:i]), from)
		}
		if end != want {
			t.Errorf("ScanHead of %q in pieces = %d, want %d", in, end, want)
		}
	}
}

func TestContentLength(t *testing.T) {
	for in, want := range map[string]int64{"": -1, "Content-Length: 5\r\n": 5, "Content-Length: 5, 5\r\n": 5, "Content-Length: 5\r\ncontent-length: 5\r\n": 5} {
		h, _ := ParseHead([]byte("HTTP/1.1 200 OK\r\n" + in + "\r\n"))
		if got, err := h.ContentLength(); got != want || err != nil {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"5\r\nContent-Length: 6", "-1", "+5", "x", "", "99999999999999999999"} {
		h, _ := ParseHead([]byte("HTTP/1.1 200 OK\r\nContent-Length: " + in + "\r\n\r\n"))
		if n, err := h.ContentLength(); !errors.Is(err, ErrContentLength) {
			t.Errorf("%q: %d, %v; want ErrContentLength", in, n, err)
		}
	}
}

func TestDechunk(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string
		err            error
		rest           string // of a ChunkError
	}{
		{name: "two", in: "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", want: "abcde"},
		{name: "extensions and trailers", in: "3;a=\"b\"\r\nabc\r\n0;x\r\nT: v\r\nU: w\r\n\r\nsurplus", want: "abc"},
		{name: "LF only", in: "3\nabc\n0\n\n", want: "abc"},
		{name: "space around the size", in: " 3 \r\nabc\r\n000\r\n\r\n", want: "abc"},
		{name: "hex", in: "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", want: "01234567890123456789"},
		{name: "no trailers end", in: "3\r\nabc\r\n0\r\n", want: "abc"},
		{name: "cut before the last chunk", in: "3\r\nabc\r\n", want: "abc", err: io.ErrUnexpectedEOF},
		{name: "cut in data", in: "8\r\nabc", want: "abc", err: io.ErrUnexpectedEOF},
		{name: "empty", in: "", err: io.ErrUnexpectedEOF},
		{name: "bad size", in: "3\r\nabc\r\nxyz", want: "abc", err: &ChunkError{Offset: 8}, rest: "xyz"},
		{name: "data too long", in: "3\r\nabcd\r\n", want: "abc", err: &ChunkError{Offset: 6}, rest: "d\r\n"},
		{name: "not chunked", in: "<html>", err: &ChunkError{}, rest: "<html>"},
		{name: "huge size", in: "fffffffffffffffff\r\n", err: &ChunkError{}},
		{name: "endless line", in: "3;" + strings.Repeat("x", 1<<17), err: &ChunkError{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{"whole": strings.NewReader(tc.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tc.in))} {
				got, err := io.ReadAll(Dechunk(r))
				if string(got) != tc.want {
					t.Errorf("%s: data %q, want %q", how, got, tc.want)
				}
				var want, bad *ChunkError
				if errors.As(tc.err, &want) {
					if !errors.As(err, &bad) || bad.Offset != want.Offset {
						t.Fatalf("%s: error %v, want ChunkError at %d", how, err, want.Offset)
					}
					if rest, _ := io.ReadAll(bad.Rest); tc.rest != "" && string(rest) != tc.rest {
						t.Errorf("%s: rest %q, want %q", how, rest, tc.rest)
					}
				} else if err != tc.err {
					t.Errorf("%s: error %v, want %v", how, err, tc.err)
				}
			}
		})
	}
}

func pack(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&buf)
	case "zlib":
		w = zlib.NewWriter(&buf)
	case "deflate":
		w, _ = flate.NewWriter(&buf, 6)
	case "br":
		w = brotli.NewWriter(&buf)
	case "zstd":
		w, _ = zstd.NewWriter(&buf)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var page = []byte("<!DOCTYPE html><html><head><title>Talks</title></head><body>" + strings.Repeat("<p>The talks went on through the night.</p>\n", 500) + "</body></html>")

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, label, packing string }{
		{"gzip", "gzip", "gzip"}, {"x-gzip", "X-GZIP", "gzip"}, {"zlib", "deflate", "zlib"}, {"raw deflate", "deflate", "deflate"},
		{"br", "br", "br"}, {"zstd", "zstd", "zstd"}, {"none", "", ""}, {"identity", "identity", ""}, {"unknown", "rot13", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := page
			if c.packing != "" {
				in = pack(t, c.packing, page)
			}
			for _, r := range []io.Reader{bytes.NewReader(in), iotest.OneByteReader(bytes.NewReader(in))} {
				got, err := io.ReadAll(Decode(c.label, r, 0))
				if err != nil || !bytes.Equal(got, page) {
					t.Errorf("%d octets of %d, %v", len(got), len(page), err)
				}
			}
			got, err := io.ReadAll(Decode(c.label, bytes.NewReader(in), 100))
			if !errors.Is(err, ErrDecodedLimit) || !bytes.Equal(got, page[:100]) {
				t.Errorf("limit 100: %d octets, %v", len(got), err)
			}
			got, err = io.ReadAll(Decode(c.label, bytes.NewReader(in), int64(len(page))))
			if err != nil || !bytes.Equal(got, page) {
				t.Errorf("limit just enough: %d octets, %v", len(got), err)
			}
			if c.packing != "" {
				got, err = io.ReadAll(Decode(c.label, bytes.NewReader(in[:len(in)-12]), 0))
				var bad *DecodeError
				if !errors.As(err, &bad) || !bytes.HasPrefix(page, got) {
					t.Errorf("cut tail: %d octets, %v; want DecodeError", len(got), err)
				}
				// Plain bytes under a false label pass whole.
				got, err = io.ReadAll(Decode(c.label, bytes.NewReader(page), 0))
				if err != nil || !bytes.Equal(got, page) {
					t.Errorf("false label: %d octets, %v", len(got), err)
				}
				if got, err := io.ReadAll(Decode(c.label, strings.NewReader(""), 0)); len(got) != 0 || err != nil {
					t.Errorf("empty: %q, %v", got, err)
				}
			}
		})
	}
	t.Run("stacked", func(t *testing.T) {
		in := pack(t, "br", pack(t, "gzip", page))
		got, err := io.ReadAll(Decode("gzip, br", bytes.NewReader(in), 0))
		if err != nil || !bytes.Equal(got, page) {
			t.Errorf("%d octets, %v", len(got), err)
		}
		if _, err := io.ReadAll(Decode("gzip,gzip,gzip,gzip,gzip,gzip", bytes.NewReader(in), 0)); err == nil {
			t.Error("six codings: no error")
		}
	})
	t.Run("gzip with junk behind", func(t *testing.T) {
		got, err := io.ReadAll(Decode("gzip", bytes.NewReader(append(pack(t, "gzip", page), "junk\x00\x00"...)), 0))
		if err != nil || !bytes.Equal(got, page) {
			t.Errorf("%d octets, %v", len(got), err)
		}
	})
	t.Run("gzip members", func(t *testing.T) {
		got, err := io.ReadAll(Decode("gzip", bytes.NewReader(append(pack(t, "gzip", page), pack(t, "gzip", page)...)), 0))
		if err != nil || len(got) != 2*len(page) {
			t.Errorf("%d octets, %v", len(got), err)
		}
	})
	t.Run("zstd window beyond RFC 9659", func(t *testing.T) {
		frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0, 0} // window 2^30
		_, err := io.ReadAll(Decode("zstd", bytes.NewReader(frame), 0))
		var bad *DecodeError
		if !errors.As(err, &bad) {
			t.Errorf("%v; want DecodeError", err)
		}
	})
	t.Run("bomb in a bomb", func(t *testing.T) {
		in := pack(t, "gzip", pack(t, "gzip", make([]byte, 8<<20)))
		n, err := io.Copy(io.Discard, Decode("gzip, gzip", bytes.NewReader(in), 1<<20))
		if n != 1<<20 || !errors.Is(err, ErrDecodedLimit) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestCharset(t *testing.T) {
	const ru = "Переговоры продолжались всю ночь, сообщили представители сторон журналистам утром. Мы будем следить за событиями и сообщим о результатах."
	const zh = "叙利亚和平谈判在日内瓦举行，各方代表出席了会议并就停火问题进行了讨论。联合国特使表示谈判将继续进行。"
	const ja = "シリア和平協議がジュネーブで行われ、各代表が停戦について議論した。国連特使は協議を続けると述べた。"
	const ko = "시리아 평화 회담이 제네바에서 열렸으며 각 대표단이 휴전에 대해 논의했다. 유엔 특사는 회담이 계속될 것이라고 말했다."
	const ar = "عقدت محادثات السلام السورية في جنيف وناقشت الوفود وقف إطلاق النار وقال المبعوث الأممي إن المحادثات ستستمر خلال الأيام المقبلة"
	enc := func(e encoding.Encoding, s string) []byte {
		b, err := e.NewEncoder().Bytes([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	html := func(meta, title string) string {
		return "<html><head>" + meta + "<title>" + title + "</title></head><body><p>" + strings.Repeat(title+" ", 5) + "</p></body></html>"
	}
	for _, tc := range []struct {
		name, contentType, text string
		enc                     encoding.Encoding
		charset, how            string
	}{
		{"header GBK", "text/html; charset=GBK", html("", zh), simplifiedchinese.GBK, "gbk", ByHeader},
		{"meta GBK", "text/html", html(`<meta charset="gbk">`, zh), simplifiedchinese.GBK, "gbk", ByMeta},
		{"detected GBK", "text/html", html("", zh), simplifiedchinese.GBK, "gb18030", ByDetection},
		{"meta windows-1251", "text/html", html(`<META http-equiv="Content-Type" content="text/html; charset=windows-1251">`, ru), charmap.Windows1251, "windows-1251", ByMeta},
		{"detected windows-1251", "text/html", html("", ru), charmap.Windows1251, "windows-1251", ByDetection},
		{"header windows-1256", "text/html;charset='windows-1256'", html("", ar), charmap.Windows1256, "windows-1256", ByHeader},
		{"detected windows-1256", "text/html", html("", ar), charmap.Windows1256, "windows-1256", ByDetection},
		{"detected Shift_JIS", "text/html", html("", ja), japanese.ShiftJIS, "shift_jis", ByDetection},
		{"detected EUC-KR", "text/html", html("", ko), korean.EUCKR, "euc-kr", ByDetection},
		{"header beats meta", "text/html; charset=utf-8", html(`<meta charset="gbk">`, zh), encoding.Nop, "utf-8", ByHeader},
		{"utf-8 detected", "text/html", html("", zh), encoding.Nop, "utf-8", ByDetection},
		{"BOM beats header", "text/html; charset=gbk", "\ufeff" + html("", zh), encoding.Nop, "utf-8", ByBOM},
		{"utf-16 BOM", "text/html", html("", zh), unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "utf-16le", ByBOM},
		{"utf-16 without BOM", "text/html", html("", "plain words of an article"), unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "utf-16be", ByDetection},
		{"XML declaration", "application/rss+xml", `<?xml version="1.0" encoding="windows-1251"?><rss>` + ru + `</rss>`, charmap.Windows1251, "windows-1251", ByMeta},
		{"unknown label", "text/html; charset=klingon", html("", zh), encoding.Nop, "utf-8", ByDetection},
		{"meta in a comment", "text/html", "<html><!-- <meta charset=gbk> -->" + html("", zh), encoding.Nop, "utf-8", ByDetection},
		{"ASCII", "text/html", html("", "plain"), encoding.Nop, "utf-8", ByDefault},
		{"broken parameters", "text/html; charset=windows-1251; charset", html("", ru), charmap.Windows1251, "windows-1251", ByHeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := enc(tc.enc, tc.text)
			name, how := Charset(tc.contentType, body)
			if name != tc.charset || how != tc.how {
				t.Errorf("Charset = %s by %s, want %s by %s", name, how, tc.charset, tc.how)
			}
			got, err := ToUTF8(name, body)
			if want := strings.TrimPrefix(tc.text, "\ufeff"); err != nil || string(got) != want {
				t.Errorf("ToUTF8: %.80q, %v; want %.80q", got, err, want)
			}
		})
	}
	if _, err := ToUTF8("utf-8", enc(charmap.Windows1251, ru)); !errors.Is(err, ErrCharset) {
		t.Errorf("windows-1251 under utf-8: %v, want ErrCharset", err)
	}
	if got, err := ToUTF8("klingon", []byte("x\xff")); !errors.Is(err, ErrCharset) || string(got) != "x\uFFFD" {
		t.Errorf("unknown charset: %q, %v", got, err)
	}
	if got, err := ToUTF8("utf-8", []byte("cut \xe4\xb8")); err != nil || string(got) != "cut \uFFFD" {
		t.Errorf("cut sequence: %q, %v", got, err)
	}
}

func TestOpen(t *testing.T) {
	z := string(pack(t, "gzip", page))
	for _, tc := range []struct {
		name, in, payload string
		status            int
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 200},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc", 200},
		{"label of a chunking long gone", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n<html>", "<html>", 200},
		{"interim first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc", "abc", 200},
		{"coded", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + z, z, 200},
		{"head only", "HTTP/1.1 204 No Content\r\n", "", 204},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := Open(iotest.HalfReader(strings.NewReader(tc.in)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Payload)
			if err != nil || string(got) != tc.payload || r.Head.Status != tc.status {
				t.Errorf("status %d, payload %.60q, %v", r.Head.Status, got, err)
			}
		})
	}
	r, _ := Open(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + z))
	if got, err := io.ReadAll(r.Decoded(0)); err != nil || !bytes.Equal(got, page) {
		t.Errorf("Decoded: %d octets, %v", len(got), err)
	}
	for _, in := range []string{"", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", MaxHead/6)} {
		if _, err := Open(strings.NewReader(in)); err == nil {
			t.Errorf("Open(%.30q): no error", in)
		}
	}
}

func TestMediaType(t *testing.T) {
	for in, want := range map[string]string{"Text/HTML; charset=x": "text/html", "": "", " image/png ": "image/png", ";": ""} {
		if got := MediaType(in); got != want {
			t.Errorf("MediaType(%q) = %q, want %q", in, got, want)
		}
	}
}

func BenchmarkParseHead(b *testing.B) {
	head := []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Wed, 25 Nov 2026 00:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 30720\r\nLast-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"x\"\r\nAccept-Ranges: bytes\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHead(head); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeGzip(b *testing.B) {
	z := pack(b, "gzip", page)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.Copy(io.Discard, Decode("gzip", bytes.NewReader(z), 0)); err != nil {
			b.Fatal(err)
		}
	}
}
