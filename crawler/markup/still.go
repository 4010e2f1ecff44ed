package markup

import (
	"bytes"
	"strings"
)

// Still finds what to change in a page so that it looks right where its scripts do not run (archive-formats 5.4): the
// addresses of lazy pictures are put in place, unless the page repeats the picture in a noscript; style sheets that a
// script would switch on apply; AMP pictures are pictures; what hides a whole page until a script shows it is undone;
// connections made ahead, which no policy stops, are not made. Replay and restore share it. The zero value is ready; one
// Still serves one page, whose tags are given in order.
type Still struct {
	// Flicker: the page hides itself by style; Shown undoes it.
	Flicker     bool
	noscriptEnd int
	searched    int // no end of a noscript begins before this offset, from where one was looked for on
}

// Kept is the prefix of attribute names that must do nothing.
const Kept = "data-archive-"

// Shown is a style element that shows a hidden page. It wins over author rules by its ids and over inline ones by being
// important.
const Shown = `<style>html:not(#a):not(#b),body:not(#a):not(#b){opacity:1!important;visibility:visible!important;animation:none!important;-webkit-animation:none!important}</style>`

// Tag looks at one start tag and gives edits, each replacing [start,end) of the source by text.
func (s *Still) Tag(t *Tag, edit func(start, end int, text string)) {
	silence := func(a Attr) { edit(a.NameStart, a.NameStart, Kept) }
	name := t.src[t.Start+1 : t.NameEnd]
	switch name[0] | 0x20 {
	case 'a':
		switch {
		case fold(name, "amp-img"), fold(name, "amp-anim"):
			edit(t.Start+1, t.NameEnd, "img")
			if _, ok := t.Find("style"); !ok {
				edit(t.NameEnd, t.NameEnd, ` style="max-width:100%;height:auto"`)
			}
		case fold(name, "amp-iframe"), fold(name, "amp-video"), fold(name, "amp-audio"):
			if _, ok := t.Find("src"); !ok { // its source elements say more
				break
			}
			// Closed at once: what stands in the element is its placeholder, and its end tag has another name.
			plain := strings.ToLower(string(name[4:]))
			edit(t.Start+1, t.NameEnd, plain)
			if _, ok := t.Find("controls"); !ok && plain != "iframe" {
				edit(t.NameEnd, t.NameEnd, " controls")
			}
			edit(t.End, t.End, "</"+plain+">")
		}
	case 'b':
		if fold(name, "body") {
			s.reveal(t, silence)
		}
	case 'h':
		if fold(name, "html") {
			s.reveal(t, silence)
		}
	case 'i':
		if fold(name, "img") || fold(name, "iframe") {
			s.promote(t, edit, silence)
		}
	case 'l':
		if fold(name, "link") {
			late(t, edit, silence)
		}
	case 'n':
		if fold(name, "noscript") {
			if t.End > s.noscriptEnd {
				s.noscriptEnd = s.closing(t.src, t.End, "noscript")
			}
		}
	case 's':
		if fold(name, "style") {
			s.styleTag(t)
		} else if fold(name, "source") {
			s.promote(t, edit, silence)
		}
	case 'v':
		if fold(name, "video") {
			s.promote(t, edit, silence)
		}
	}
	s.background(t, edit)
}

// late lets style sheets apply that a script would switch on, and takes hints out.
func late(t *Tag, edit func(start, end int, text string), silence func(Attr)) {
	a, ok := t.Find("rel")
	if !ok || a.End == a.Start {
		return
	}
	words := strings.Fields(strings.ToLower(t.Value(a)))
	var left []string
	for _, w := range words {
		switch w {
		case "preconnect", "dns-prefetch", "prefetch", "prerender":
		default:
			left = append(left, w)
		}
	}
	if len(left) == 0 && len(words) > 0 {
		silence(a)
		return
	}
	changed := len(left) < len(words)
	for i, w := range left {
		switch w {
		case "stylesheet":
			// media="print" onload="this.media='all'"
			if on, ok := t.Find("onload"); ok && strings.Contains(t.Value(on), "media") {
				if m, ok := t.Find("media"); ok {
					silence(m)
				}
			}
		case "preload":
			// rel=preload as=style onload="this.rel='stylesheet'"
			if on, ok := t.Find("onload"); ok && strings.Contains(t.Value(on), "stylesheet") {
				left[i], changed = "stylesheet", true
			} else if as, ok := t.Find("as"); ok && strings.EqualFold(t.Value(as), "fetch") && len(left) == 1 { // for a script
				silence(a)
				return
			}
		}
	}
	if changed && strings.IndexFunc(strings.Join(left, ""), func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) < 0 {
		text := strings.Join(left, " ")
		if q := t.src[a.Start-1]; q != '"' && q != '\'' && len(left) > 1 {
			text = `"` + text + `"`
		}
		edit(a.Start, a.End, text)
	} else if changed {
		silence(a)
	}
}

// reveal undoes what hides a whole page until a script shows it.
func (s *Still) reveal(t *Tag, silence func(Attr)) {
	if a, ok := t.Find("style"); ok {
		v := squeeze([]byte(t.Value(a)))
		if bytes.Contains(v, []byte("opacity:0")) && !bytes.Contains(v, []byte("opacity:0.")) || bytes.Contains(v, []byte("visibility:hidden")) ||
			bytes.Contains(v, []byte("display:none")) {
			silence(a)
		}
	}
	if a, ok := t.Find("class"); ok && strings.Contains(t.Value(a), "async-hide") {
		s.Flicker = true
	}
	if a, ok := t.Find("hidden"); ok {
		silence(a)
		s.Flicker = true
	}
}

const styleWindow = 4 << 10

// styleTag looks for rules that hide the page: anti-flicker snippets and AMP's boilerplate.
func (s *Still) styleTag(t *Tag) {
	if s.Flicker {
		return
	}
	if _, ok := t.Find("amp-boilerplate"); ok {
		s.Flicker = true
		return
	}
	text := t.src[t.End:min(len(t.src), t.End+styleWindow)]
	if i := bytes.Index(text, []byte("</")); i >= 0 {
		text = text[:i]
	}
	if len(text) > 512 { // such snippets are short
		return
	}
	if !bytes.Contains(text, []byte("opacity")) && !bytes.Contains(text, []byte("visibility")) {
		return
	}
	v := squeeze(text)
	for _, rule := range []string{"body{opacity:0", "html{opacity:0", "body{visibility:hidden", "html{visibility:hidden", ".async-hide{opacity:0"} {
		if i := bytes.Index(v, []byte(rule)); i >= 0 && !bytes.HasPrefix(v[i+len(rule):], []byte(".")) {
			s.Flicker = true
		}
	}
}

// squeeze lowers text and takes its white space out.
func squeeze(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c > ' ' {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			out = append(out, c)
		}
	}
	return out
}

// LazySources and LazySets are the attributes under which pages keep the address, or the srcset, that a script would put in
// place, the better ones first.
var (
	LazySources = []string{"data-src", "data-lazy-src", "data-original", "data-lazy", "data-lazyload", "data-lazy-load", "data-original-src",
		"data-lazy-original", "data-image-src", "data-img-src", "data-img-url", "data-echo", "data-defer-src", "data-delayed-url",
		"data-flickity-lazyload", "data-hi-res-src"}
	LazySets = []string{"data-srcset", "data-lazy-srcset", "data-original-set"}
	// LazyBackgrounds hold the address of a background picture.
	LazyBackgrounds = []string{"data-bg", "data-background-image", "data-bg-src", "data-lazy-background", "data-lazy-bg", "data-background"}
)

// promote puts the address that a script would have loaded where the browser looks. Where the page repeats the picture in a
// noscript beside it, that one is shown, and this stays as it is.
func (s *Still) promote(t *Tag, edit func(start, end int, text string), silence func(Attr)) {
	has := false
	for _, a := range t.Attrs {
		if a.NameEnd-a.NameStart >= 8 && fold(t.src[a.NameStart:a.NameStart+5], "data-") {
			has = true
			break
		}
	}
	if !has || s.repeated(t) {
		return
	}
	src, hasSrc := t.Find("src")
	waiting := !hasSrc || placeholder(t.Value(src))
	if c, ok := t.Find("class"); ok && !waiting {
		waiting = strings.Contains(strings.ToLower(t.Value(c)), "lazy")
	}
	if !waiting {
		return
	}
	one := func(to string, names []string) {
		for _, n := range names {
			a, ok := t.Find(n)
			if !ok || a.End == a.Start || !lazyValue(t.Value(a), to) {
				continue
			}
			if old, ok := t.Find(to); ok {
				silence(old)
			}
			edit(a.NameStart, a.NameEnd, to)
			return
		}
	}
	one("srcset", LazySets)
	switch {
	case t.Is("video"):
		one("poster", []string{"data-poster"})
		one("src", LazySources[:1])
	case t.Is("source"):
		one("src", LazySources[:1])
	default:
		one("src", LazySources)
	}
}

var lazyBackgrounds = wordsOf(strings.Join(LazyBackgrounds, " "))

// background shows a lazy background picture: the attribute becomes a style of its own.
func (s *Still) background(t *Tag, edit func(start, end int, text string)) {
	for _, a := range t.Attrs {
		n := t.src[a.NameStart:a.NameEnd]
		if len(n) < 7 || !fold(n[:5], "data-") || n[5]|0x20 != 'b' && n[5]|0x20 != 'l' || a.End == a.Start {
			continue
		}
		if lazyBackgrounds.find(n) == "" || !lazyValue(t.Value(a), "src") || t.Is("img") || t.Is("script") || t.Is("iframe") {
			continue
		}
		if _, ok := t.Find("style"); ok { // a second style attribute would not count
			return
		}
		q := t.src[a.Start-1]
		if q != '"' && q != '\'' || strings.ContainsAny(t.Value(a), `()"';\`) {
			return
		}
		edit(a.NameStart, a.Start, "style="+string(q)+"background-image:url(")
		edit(a.End, a.End, ")")
		return
	}
}

// lazyValue reports whether a lazy attribute's value can be what it is taken for.
func lazyValue(v, to string) bool {
	if v == "" || strings.ContainsAny(v, "{<") || strings.HasPrefix(strings.ToLower(v), "javascript") {
		return false
	}
	if to == "srcset" {
		return strings.ContainsAny(v, "./")
	}
	return len(v) > 3 && !strings.ContainsAny(v, " ") && strings.ContainsAny(v, "./")
}

// placeholder reports an address that is shown only until the real picture comes.
func placeholder(v string) bool {
	if v == "" || v == "#" || strings.HasPrefix(v, "data:") || strings.HasPrefix(v, "about:") || strings.HasPrefix(v, "//:") {
		return true
	}
	v = strings.ToLower(v)
	if i := strings.LastIndexByte(v, '/'); i >= 0 {
		v = v[i+1:]
	}
	for _, w := range []string{"blank", "placeholder", "spacer", "pixel", "transparent", "loading", "lazy", "grey.", "gray.", "1x1", "empty", "trans.", "clear.", "dummy", "preload"} {
		if strings.Contains(v, w) {
			return true
		}
	}
	return false
}

// repeated reports whether a noscript with a picture stands directly before or behind the tag.
func (s *Still) repeated(t *Tag) bool {
	if s.noscriptEnd > t.End {
		return true // inside of one
	}
	if s.noscriptEnd > 0 && t.Start-s.noscriptEnd < 64 && len(bytes.TrimSpace(t.src[s.noscriptEnd:t.Start])) == 0 {
		return true
	}
	rest := t.src[t.End:min(len(t.src), t.End+512)]
	for range 4 {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		if len(rest) > 9 && rest[0] == '<' && fold(rest[1:9], "noscript") {
			return containsFold(rest[:min(len(rest), 400)], "<img") || containsFold(rest[:min(len(rest), 400)], "<iframe")
		}
		if len(rest) < 3 || rest[0] != '<' || rest[1] != '/' {
			return false
		}
		i := bytes.IndexByte(rest, '>')
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return false
}

// closing returns the offset behind the end tag, or 0 when it is not near. No octet is looked at twice.
func (s *Still) closing(src []byte, from int, name string) int {
	limit := min(len(src), from+(16<<10))
	for at := max(from, s.searched); at < limit; {
		i := bytes.Index(src[at:limit], []byte("</"))
		if i < 0 {
			s.searched = limit - 1
			return 0
		}
		at += i + 2
		s.searched = at - 2
		if limit-at > len(name) && fold(src[at:at+len(name)], name) {
			if j := bytes.IndexByte(src[at:limit], '>'); j >= 0 {
				return at + j + 1
			}
			return 0
		}
	}
	return 0
}
