package reports

import (
	"fmt"
	"strings"
	"unicode"
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
			fmt.Fprintf(&b, "… (%d more bytes)", len(s)-i)
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
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
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
