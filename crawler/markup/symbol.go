package markup

import (
	"bytes"
	"strings"
)

// SameOrigin reports whether two absolute URLs, as Resolve gives them, have scheme, host and port in common. Symbols of SVG
// files of another origin are shown by no browser.
func SameOrigin(a, b string) bool { return a != "" && origin(a) == origin(b) }

func origin(u string) string {
	i := strings.Index(u, "://")
	if i < 0 {
		return ""
	}
	if j := strings.IndexAny(u[i+3:], "/?#"); j >= 0 {
		return u[:i+3+j]
	}
	return u
}

// Symbol cuts the element of that id out of an SVG file; nil when it is not there, has no end, or is not ASCII (the page
// it goes into may have any charset).
func Symbol(src []byte, id string) []byte {
	var start, nameEnd, end int
	Scan(src, func(t *Tag) bool {
		a, ok := t.Find("id")
		if !ok || t.Value(a) != id {
			return true
		}
		start, nameEnd, end = t.Start, t.NameEnd, t.End
		return false
	}, func(Place) bool { return true })
	if end == 0 {
		return nil
	}
	if src[end-2] != '/' {
		if end = elementEnd(src, end, src[start+1:nameEnd]); end == 0 {
			return nil
		}
	}
	element := src[start:end]
	for _, c := range element {
		if c >= 0x80 {
			return nil
		}
	}
	return element
}

// elementEnd returns the offset behind the end tag that closes an element of that name, 0 when there is none.
func elementEnd(src []byte, at int, name []byte) int {
	depth := 1
	for {
		i := bytes.IndexByte(src[at:], '<')
		if i < 0 {
			return 0
		}
		at += i + 1
		closes := at < len(src) && src[at] == '/'
		if closes {
			at++
		}
		if !bytes.HasPrefix(src[at:], name) {
			continue
		}
		rest := src[at+len(name):]
		if len(rest) == 0 || rest[0] != '>' && rest[0] != '/' && rest[0] > ' ' {
			continue
		}
		j := bytes.IndexByte(rest, '>')
		if j < 0 {
			return 0
		}
		at += len(name) + j + 1
		switch {
		case closes:
			if depth--; depth == 0 {
				return at
			}
		case src[at-2] != '/':
			depth++
		}
	}
}

// WithID gives the element another id.
func WithID(element []byte, id string) []byte {
	var out []byte
	Scan(element, func(t *Tag) bool {
		if a, ok := t.Find("id"); ok {
			out = append(out, element[:a.Start]...)
			out = append(out, id...)
			out = append(out, element[a.End:]...)
		}
		return false
	}, func(Place) bool { return true })
	return out
}
