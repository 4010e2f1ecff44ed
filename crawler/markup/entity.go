package markup

import (
	"bytes"
	"html"
)

// unescape undoes the character references of an attribute value as browsers do: a name without semicolon counts only
// when no letter, digit or equals sign follows it ("?a=1&copy=2" stays). pos[i] is the offset in raw of the octet that
// out[i] came from, pos[len(out)] is len(raw); it is nil when nothing was changed.
func unescape(raw []byte, pos []int) (out []byte, _ []int) {
	i := bytes.IndexByte(raw, '&')
	if i < 0 {
		return raw, nil
	}
	out = make([]byte, 0, len(raw))
	pos = pos[:0]
	put := func(b []byte, at int, step bool) {
		for k, c := range b {
			out = append(out, c)
			if step {
				pos = append(pos, at+k)
			} else {
				pos = append(pos, at)
			}
		}
	}
	put(raw[:i], 0, true)
	for i < len(raw) {
		if raw[i] != '&' {
			j := bytes.IndexByte(raw[i:], '&')
			if j < 0 {
				j = len(raw) - i
			}
			put(raw[i:i+j], i, true)
			i += j
			continue
		}
		rep, n := reference(raw[i:])
		if n == 0 {
			put(raw[i:i+1], i, true)
			i++
			continue
		}
		put(rep, i, false)
		i += n
	}
	return out, append(pos, len(raw))
}

var common = []struct {
	name string
	text []byte
}{{"amp;", []byte("&")}, {"quot;", []byte(`"`)}, {"lt;", []byte("<")}, {"gt;", []byte(">")}, {"#39;", []byte("'")}, {"apos;", []byte("'")}}

// reference reads the character reference at the start of s, "&" included, and returns its text and length, or 0.
func reference(s []byte) ([]byte, int) {
	for _, c := range common {
		if len(s) > len(c.name) && string(s[1:1+len(c.name)]) == c.name {
			return c.text, 1 + len(c.name)
		}
	}
	i := 1
	if i < len(s) && s[i] == '#' {
		i++
		hex := i < len(s) && s[i]|0x20 == 'x'
		if hex {
			i++
		}
		first := i
		for i < len(s) && (isDigit(s[i]) || hex && 'a' <= s[i]|0x20 && s[i]|0x20 <= 'f') {
			i++
		}
		if i == first {
			return nil, 0
		}
		digits := s[first:i]
		for len(digits) > 1 && digits[0] == '0' {
			digits = digits[1:]
		}
		if i < len(s) && s[i] == ';' {
			i++
		}
		if len(digits) > 8 { // beyond Unicode whatever it says
			return []byte("\uFFFD"), i
		}
		form := "&#"
		if hex {
			form = "&#x"
		}
		return []byte(html.UnescapeString(form + string(digits) + ";")), i
	}
	for i < len(s) && i < 40 && isAlnum(s[i]) {
		i++
	}
	if i == 1 {
		return nil, 0
	}
	name := string(s[:i])
	whole := html.UnescapeString(name + ";")
	known := whole != name+";" && (whole == ";" || whole[len(whole)-1] != ';')
	switch {
	case !known:
		return nil, 0
	case i < len(s) && s[i] == ';':
		return []byte(whole), i + 1
	case i < len(s) && (s[i] == '=' || isAlnum(s[i])):
		return nil, 0
	case html.UnescapeString(name) == whole: // one of the old names that need no semicolon
		return []byte(whole), i
	}
	return nil, 0
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool { return isAlpha(c) || isDigit(c) }
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

// trim returns the span of s without ASCII white space and control characters at its ends.
func trim(s []byte, start, end int) (int, int) {
	for start < end && s[start] <= ' ' {
		start++
	}
	for start < end && s[end-1] <= ' ' {
		end--
	}
	return start, end
}

// clean returns b as string without tabs and newlines, which URL parsers ignore.
func clean(b []byte) string {
	if bytes.IndexByte(b, '\n') < 0 && bytes.IndexByte(b, '\t') < 0 && bytes.IndexByte(b, '\r') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c != '\n' && c != '\t' && c != '\r' {
			out = append(out, c)
		}
	}
	return string(out)
}
