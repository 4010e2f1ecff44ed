package notify

import (
	"strings"
	"unicode"
)

// Style is how a service reads a message's text.
type Style int

const (
	Plain  Style = iota // mail, programs, logs: text is text
	Chat                // text, but "@name" calls people
	Marked              // Markdown or the like: most chat services
)

// StyleOf is the style of a shoutrrr service by its scheme. What is not known here is taken for the strictest.
func StyleOf(scheme string) Style {
	switch scheme {
	case "smtp", "logger", "generic", "exec", "ntfy", "gotify", "pushover", "pushbullet", "bark", "join", "ifttt", "opsgenie", "pagerduty":
		return Plain
	case "telegram", "signal", "matrix":
		return Chat // telegram is sent with parsemode None
	}
	return Marked
}

// visible drops what is not seen or turns text around, makes every space a plain one, and cuts.
func visible(s string, limit int) string {
	var b strings.Builder
	n := 0
	space := false
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			space = true
			continue
		case r == 0x200c, r == 0x200d: // Persian and Indic words need the joiners
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) || r >= 0xfe00 && r <= 0xfe0f || r == 0x115f || r == 0x1160 || r == 0x3164 || r == 0xffa0:
			continue
		}
		if space && n > 0 {
			b.WriteByte(' ')
			n++
		}
		space = false
		if n >= limit {
			b.WriteString("...")
			break
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// oneLine makes a subject.
func oneLine(s string, limit int) string { return visible(s, limit) }

// text makes foreign text harmless for the service.
func (st Style) text(s string) string {
	s = visible(s, maxField)
	switch st {
	case Plain:
		return s
	case Chat:
		return strings.ReplaceAll(s, "@", "@\u200b")
	}
	// A zero-width space behind each character that could begin markup or a mention; backslashes are not understood
	// everywhere. Entities: Slack and Teams read & < >.
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '&':
			b.WriteString("&amp;")
			continue
		case '<':
			b.WriteString("&lt;")
			continue
		case '>':
			b.WriteString("&gt;")
			continue
		}
		b.WriteRune(r)
		if strings.ContainsRune("@*_~`|[]()#!\\:", r) {
			b.WriteRune('\u200b')
		}
	}
	return b.String()
}

// url makes an address harmless and keeps it an address: what could be markup is percent-encoded, which names the same
// resource (RFC 3986 section 2.3 for "_" and "~"; the others do not delimit in http paths).
func (st Style) url(s string) string {
	s = visible(strings.ReplaceAll(s, " ", "%20"), 2000)
	if st == Plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("@*_~`|[]()<>!\\\"", r) {
			b.WriteString("%" + strings.ToUpper(hex2(byte(r))))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hex2(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}
