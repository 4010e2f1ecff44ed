package markup

import "bytes"

// CSS calls yield for every URL of a style sheet or declaration list: url() quoted or not, @import with and without
// url(), the strings of image-set(). Comments, strings and @namespace are no places. It stops when yield returns false.
func CSS(src []byte, yield func(Place) bool) {
	line, at := 1, 0
	css(src, func(start, end int, kind Kind, rel string) bool {
		url, _ := cssUnescape(src[start:end])
		if !worth(url, false) {
			return true
		}
		line += bytes.Count(src[at:start], newline)
		at = start
		return yield(Place{URL: clean(url), Start: start, End: end, Kind: kind, Rel: rel, Line: line})
	})
}

var newline = []byte{'\n'}

// cssStop marks the octets at which the CSS scanner must look closer.
var cssStop = func() (t [256]bool) {
	for _, c := range []byte(`/"'@({};\`) {
		t[c] = true
	}
	return
}()

// css finds the raw spans; false from yield stops it.
func css(s []byte, yield func(start, end int, kind Kind, rel string) bool) {
	var (
		atImport  bool // between @import and ;
		atSkip    bool // between @namespace and ;
		fontFace  bool // in an @font-face block
		fontNext  bool // @font-face seen, its block not yet
		setDepth  int  // parentheses deep inside image-set(
		braceOpen int
	)
	i := 0
	for i < len(s) {
		c := s[i]
		if !cssStop[c] && !(c == ')' && setDepth > 0) {
			i++
			continue
		}
		switch c {
		case '/':
			if i+1 < len(s) && s[i+1] == '*' {
				j := bytes.Index(s[i+2:], []byte("*/"))
				if j < 0 {
					return
				}
				i += j + 4
				continue
			}
			i++
		case '\\':
			i += 2
		case '"', '\'':
			start := i + 1
			end, next := cssString(s, start, c)
			i = next
			switch {
			case atSkip:
			case atImport:
				atImport = false
				if !yield(start, end, Style, "@import") {
					return
				}
			case setDepth > 0 && !imageType(s, start):
				if !yield(start, end, Image, "") {
					return
				}
			}
		case '@':
			word := identifier(s, i+1)
			i += 1 + len(word)
			switch {
			case fold(word, "import"):
				atImport = true
			case fold(word, "namespace"), fold(word, "charset"):
				atSkip = true
			case fold(word, "font-face"):
				fontNext = true
			}
		case ';':
			atImport, atSkip = false, false
			i++
		case '{':
			braceOpen++
			fontFace, fontNext = fontNext, false
			atImport, atSkip = false, false
			i++
		case '}':
			braceOpen--
			fontFace = false
			i++
		case ')':
			setDepth--
			i++
		case '(':
			name := identifierBefore(s, i)
			i++
			switch {
			case fold(name, "url"):
				start, end, next := cssURL(s, i)
				i = next
				if start < 0 || atSkip {
					continue
				}
				kind, rel := Image, ""
				switch {
				case atImport:
					kind, rel, atImport = Style, "@import", false
				case fontFace:
					kind = Font
				}
				if !yield(start, end, kind, rel) {
					return
				}
			case fold(name, "image-set"), fold(name, "-webkit-image-set"):
				setDepth = 1
			case setDepth > 0:
				setDepth++
			}
		}
	}
}

// imageType reports whether the string that starts at i is the argument of type().
func imageType(s []byte, i int) bool {
	i-- // the quote
	for i > 0 && isSpace(s[i-1]) {
		i--
	}
	return i > 0 && s[i-1] == '(' && fold(identifierBefore(s, i-1), "type")
}

// cssString returns the end of the string's content and the offset behind it. An unescaped newline ends a bad string.
func cssString(s []byte, i int, quote byte) (end, next int) {
	for i < len(s) {
		switch s[i] {
		case quote:
			return i, i + 1
		case '\n', '\f':
			return i, i
		case '\\':
			i++
		}
		i++
	}
	return len(s), len(s)
}

// cssURL reads behind "url(". start is -1 for a bad url.
func cssURL(s []byte, i int) (start, end, next int) {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		start = i + 1
		end, next = cssString(s, start, s[i])
		if j := bytes.IndexByte(s[min(next, len(s)):], ')'); j >= 0 && j < 64 {
			next += j + 1 // behind modifiers
		}
		return start, end, next
	}
	start = i
	for i < len(s) {
		switch c := s[i]; {
		case c == ')':
			return start, i, i + 1
		case isSpace(c):
			end = i
			for i < len(s) && isSpace(s[i]) {
				i++
			}
			if i == len(s) {
				return start, end, i
			}
			if s[i] == ')' {
				return start, end, i + 1
			}
			return -1, 0, badURL(s, i)
		case c == '"', c == '\'', c == '(':
			return -1, 0, badURL(s, i)
		case c == '\\':
			i++
		}
		i++
	}
	return start, len(s), len(s)
}

func badURL(s []byte, i int) int {
	for i < len(s) {
		switch s[i] {
		case ')':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return len(s)
}

// cssUnescape undoes CSS escapes. changed says whether there were any.
func cssUnescape(raw []byte) (out []byte, changed bool) {
	start, end := trim(raw, 0, len(raw))
	raw = raw[start:end]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, false
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		if i == len(raw) {
			break
		}
		if raw[i] == '\n' {
			continue
		}
		n, r := 0, rune(0)
		for n < 6 && i+n < len(raw) {
			d := unhex(raw[i+n])
			if d < 0 {
				break
			}
			r = r<<4 | rune(d)
			n++
		}
		if n == 0 {
			out = append(out, raw[i])
			continue
		}
		if r == 0 {
			r = '\uFFFD'
		}
		out = append(out, string(r)...)
		i += n
		if i >= len(raw) || !isSpace(raw[i]) {
			i--
		}
	}
	return out, true
}

func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

func isIdent(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c >= 0x80 }

func identifier(s []byte, i int) []byte {
	j := i
	for j < len(s) && j-i < 64 && isIdent(s[j]) {
		j++
	}
	return s[i:j]
}

func identifierBefore(s []byte, i int) []byte {
	j := i
	for j > 0 && i-j < 64 && isIdent(s[j-1]) {
		j--
	}
	return s[j:i]
}

// fold compares b with the lower-case ASCII word w.
func fold(b []byte, w string) bool {
	if len(b) != len(w) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != w[i] {
			return false
		}
	}
	return true
}
