package message

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/net/html/charset"
)

// How Charset came to its answer.
const (
	ByHeader    = "header"
	ByBOM       = "bom"
	ByMeta      = "meta"
	ByDetection = "detected"
	ByDefault   = "default"
)

// detectWindow is how many octets the statistical detection reads.
const detectWindow = 32 << 10

// metaWindow is where a meta element or XML declaration is looked for. Browsers read 1024 octets; pages with long comments or
// scripts before their meta element still name what they are written in.
const metaWindow = 4096

var (
	metaCharset = regexp.MustCompile(`(?is)<meta[^>]{0,512}?charset\s*=\s*["']?\s*([a-z0-9_:.\-]{2,40})`)
	xmlEncoding = regexp.MustCompile(`(?is)^\s*<\?xml[^>]{0,256}?encoding\s*=\s*["']([a-z0-9_:.\-]{2,40})`)
	comments    = regexp.MustCompile(`(?s)<!--.*?-->`)
)

// Charset names the charset of a text body as the WHATWG names it, lower case ("windows-1252" for a header that says
// iso-8859-1), and how it was found: byte order mark, Content-Type header, meta element or XML declaration, detection, or
// the default (utf-8 when the octets are ASCII, else windows-1252). Unknown labels are passed over.
func Charset(contentType string, body []byte) (name, how string) {
	switch {
	case bytes.HasPrefix(body, []byte{0xef, 0xbb, 0xbf}):
		return "utf-8", ByBOM
	case bytes.HasPrefix(body, []byte{0xff, 0xfe}):
		return "utf-16le", ByBOM
	case bytes.HasPrefix(body, []byte{0xfe, 0xff}):
		return "utf-16be", ByBOM
	}
	if name := known(headerLabel(contentType)); name != "" {
		return name, ByHeader
	}
	head := body[:min(len(body), metaWindow)]
	if m := xmlEncoding.FindSubmatch(head); m != nil {
		if name := known(string(m[1])); name != "" {
			return ascii(name), ByMeta
		}
	}
	if bytes.Contains(head, []byte("<!--")) {
		head = comments.ReplaceAll(head, nil)
	}
	if m := metaCharset.FindSubmatch(head); m != nil {
		if name := known(string(m[1])); name != "" {
			return ascii(name), ByMeta
		}
	}
	return detect(body)
}

// ascii corrects a label that cannot be right: a declaration that could be read as ASCII is not in UTF-16 (HTML standard,
// "prescan a byte stream").
func ascii(name string) string {
	if strings.HasPrefix(name, "utf-16") {
		return "utf-8"
	}
	return name
}

func headerLabel(contentType string) string {
	if _, params, err := mime.ParseMediaType(contentType); err == nil {
		return strings.Trim(params["charset"], "' ") // quirk: single quotes mean nothing to mime
	}
	// Quirk: "text/html; charset=utf-8;" and other parameter lists that mime refuses.
	lower := strings.ToLower(contentType)
	i := strings.Index(lower, "charset=")
	if i < 0 {
		return ""
	}
	label := lower[i+len("charset="):] // lower may be longer than contentType
	if j := strings.IndexAny(label, ";, "); j >= 0 {
		label = label[:j]
	}
	return strings.Trim(label, `"'`)
}

// known returns the standard's name of a label, "" for labels it does not know and for "replacement".
func known(label string) string {
	if label == "" {
		return ""
	}
	e, name := charset.Lookup(label)
	if e == nil || name == "replacement" || name == "x-user-defined" {
		return ""
	}
	return name
}

func detect(body []byte) (name, how string) {
	window := body[:min(len(body), detectWindow)]
	high, zeroEven, zeroOdd := false, 0, 0
	for i, b := range window {
		if b >= 0x80 {
			high = true
		}
		if b == 0 {
			if i%2 == 0 {
				zeroEven++
			} else {
				zeroOdd++
			}
		}
	}
	if n := len(window); n >= 16 {
		switch {
		case zeroOdd*5 > n && zeroEven*20 < n:
			return "utf-16le", ByDetection
		case zeroEven*5 > n && zeroOdd*20 < n:
			return "utf-16be", ByDetection
		}
	}
	if !high {
		return "utf-8", ByDefault
	}
	if utf8.Valid(trimCut(window, len(body))) {
		return "utf-8", ByDetection
	}
	best, err := chardet.NewHtmlDetector().DetectBest(window)
	if err == nil && best.Confidence >= 10 {
		label := best.Charset
		if label == "GB-18030" {
			label = "gb18030"
		}
		if name := known(label); name != "" && name != "utf-8" && !strings.HasPrefix(name, "utf-16") {
			return name, ByDetection
		}
	}
	return "windows-1252", ByDefault
}

// trimCut drops an UTF-8 sequence that a window cut in two.
func trimCut(window []byte, whole int) []byte {
	if len(window) == whole {
		return window
	}
	for i := 1; i <= 3 && i <= len(window); i++ {
		if b := window[len(window)-i]; utf8.RuneStart(b) {
			if b >= 0xc0 {
				return window[:len(window)-i]
			}
			break
		}
	}
	return window
}

// ErrCharset says that a body is not in the charset it is read in.
var ErrCharset = errors.New("body is not in its charset")

// ToUTF8 returns body as UTF-8, a byte order mark removed, octets that cannot be read replaced by U+FFFD. When more than one
// in fifty characters beyond ASCII (and at least four) had to be replaced, or the charset is unknown, the error wraps
// ErrCharset; the text is returned all the same. A body that is UTF-8 already is returned without a copy.
func ToUTF8(name string, body []byte) ([]byte, error) {
	if name == "utf-8" || strings.EqualFold(name, "utf8") || name == "" {
		body = bytes.TrimPrefix(body, []byte{0xef, 0xbb, 0xbf})
		if utf8.Valid(body) {
			return body, nil
		}
		return bytes.ToValidUTF8(body, []byte("\uFFFD")), judge(name, body)
	}
	e, _ := charset.Lookup(name)
	if e == nil {
		return bytes.ToValidUTF8(body, []byte("\uFFFD")), fmt.Errorf("%w: unknown charset %q", ErrCharset, clip(name))
	}
	text, err := e.NewDecoder().Bytes(body)
	if err != nil {
		return bytes.ToValidUTF8(text, []byte("\uFFFD")), fmt.Errorf("%w: %s: %v", ErrCharset, name, err)
	}
	text = bytes.TrimPrefix(text, []byte{0xef, 0xbb, 0xbf})
	return text, judge(name, text)
}

func judge(name string, text []byte) error {
	bad, high := 0, 0
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		high++
		if r == utf8.RuneError {
			bad++
		}
		i += n
	}
	if bad >= 4 && bad*50 > high {
		return fmt.Errorf("%w: %s: %d of %d characters unreadable", ErrCharset, name, bad, high)
	}
	return nil
}

// IsText reports whether bodies of this media type are text that is transcoded for reading: HTML, XML, feeds, plain text, CSS,
// scripts and JSON. An empty type counts as text when its octets do not look binary, which the caller decides.
func IsText(mediaType string) bool {
	switch mediaType {
	case "application/xhtml+xml", "application/xml", "application/json", "application/javascript", "application/ld+json",
		"application/x-javascript", "application/ecmascript", "application/rss+xml", "application/atom+xml":
		return true
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+xml") || strings.HasSuffix(mediaType, "+json")
}
