package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible makes a foreign string safe to show as plain text: control characters, direction overrides, invisible
// characters, line breaks and bytes that are no UTF-8 become ⟨U+XXXX⟩ or ⟨0xXX⟩. The joiners U+200C and U+200D stay, as
// Persian and Indic words need them. What is longer than limit runes is cut, and says so; limit 0 cuts nothing.
func Visible(s string, limit int) string {
	if plain(s) && (limit <= 0 || len(s) <= limit) {
		return s
	}
	var b strings.Builder
	n := 0
	for i := 0; i < len(s); {
		if limit > 0 && n == limit {
			b.WriteString("… (" + fmt.Sprintf(say["more-bytes"], len(s)-i) + ")")
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "⟨0x%02X⟩", s[i])
		case hidden(r):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
		i += size
		n++
	}
	return b.String()
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7F {
			return false
		}
	}
	return true
}

// hidden reports whether the rune steers the reader's screen instead of being read.
func hidden(r rune) bool {
	switch {
	case r == 0x200C, r == 0x200D:
		return false
	case r == 0x034F, r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0: // fillers that look like nothing
		return true
	case r == 0x2028, r == 0x2029:
		return true
	}
	if r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF { // no characters, and not allowed in XML or disliked there
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
}

// jsonText rewrites encoded JSON so that it can be printed: control, direction and invisible characters, which JSON allows
// as they are from U+007F on, become \uXXXX. The values stay the same.
func jsonText(b []byte) []byte {
	at := bytes.IndexFunc(b, func(r rune) bool { return r >= 0x7F && hidden(r) })
	if at < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)+64), b[:at]...)
	for at < len(b) {
		r, size := utf8.DecodeRune(b[at:])
		switch {
		case r < 0x7F || !hidden(r):
			out = append(out, b[at:at+size]...)
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, "\\u%04x\\u%04x", hi, lo)
		default:
			out = fmt.Appendf(out, "\\u%04x", r)
		}
		at += size
	}
	return out
}

// jsonWriter passes what an encoder writes on through jsonText. An encoder writes whole values at once, so that no character
// is cut.
type jsonWriter struct{ out io.Writer }

func (w jsonWriter) Write(b []byte) (int, error) {
	if _, err := w.out.Write(jsonText(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// JSONEncoder returns an encoder whose output is safe to print on a terminal, and is the same values.
func JSONEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(jsonWriter{w})
	enc.SetEscapeHTML(false)
	return enc
}

// shellWord quotes a word for a POSIX shell. Foreign bytes were made visible before, so that no terminal is steered by a
// command that is shown.
func shellWord(s string) string {
	safe := s != ""
	for _, r := range s {
		if !(r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("@%_+=:,./-", r))) {
			safe = false
		}
	}
	if safe {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
