package markup

import (
	"bytes"
	"strings"
)

// HTML calls yield for every URL place of an HTML document, in source order (candidates of one attribute together). It
// stops when yield returns false.
//
// Tokens are cut as browsers cut them (HTML 13.2.5): comments, raw text of script, style, textarea, title, iframe, xmp,
// noembed, noframes; unquoted values; the first of equal attributes. What stands in noscript, template and svg is markup
// like any other. Left out are values that lead nowhere: empty ones, javascript:, data:, mailto:, tel:, about:, blob:,
// and unfilled templates ("{{"). A fragment alone ("#part") is a place only on a and area.
func HTML(src []byte, yield func(Place) bool) {
	s := scanner{src: src, yield: yield, line: 1}
	s.run()
}

// Base returns the href of the first base element that has one, "" when there is none.
func Base(src []byte) (href string) {
	if !containsFold(src, "<base") {
		return ""
	}
	HTML(src, func(p Place) bool {
		if p.Kind == BaseHref {
			href = p.URL
			return false
		}
		return true
	})
	return href
}

// containsFold looks for the lower-case word w, which starts with "<" and a letter, in any case. The two octets together are
// rare enough to be looked for many at a time.
func containsFold(s []byte, w string) bool {
	for _, first := range [][]byte{{w[0], w[1]}, {w[0], w[1] - 0x20}} {
		for rest := s; ; {
			i := bytes.Index(rest, first)
			if i < 0 || i+len(w) > len(rest) {
				break
			}
			if fold(rest[i:i+len(w)], w) {
				return true
			}
			rest = rest[i+2:]
		}
	}
	return false
}

type attr struct{ ns, ne, vs, ve int }

type scanner struct {
	src     []byte
	yield   func(Place) bool
	stopped bool
	attrs   []attr
	pos     []int
	foreign int // svg and math elements open
	depth   int // srcdoc in srcdoc
	shift   func(start, end int) (int, int)
	counted int
	line    int
	tag     func(*Tag) bool // nil: nobody asks for tags
	shown   Tag
}

// maxAttrs bounds the attributes looked at in one tag; browsers have no bound, pages rarely have twenty.
const maxAttrs = 512

func (s *scanner) run() {
	src := s.src
	i := 0
	for !s.stopped {
		j := bytes.IndexByte(src[i:], '<')
		if j < 0 {
			return
		}
		i += j + 1
		if i == len(src) {
			return
		}
		switch c := src[i]; {
		case isAlpha(c):
			i = s.startTag(i)
		case c == '/':
			i++
			if i == len(src) {
				return
			}
			if isAlpha(src[i]) {
				name := i
				for i < len(src) && src[i] != '>' && src[i] != '/' && !isSpace(src[i]) {
					i++
				}
				if s.foreign > 0 && (fold(src[name:i], "svg") || fold(src[name:i], "math")) {
					s.foreign--
				}
				i, _ = s.attributes(i)
			} else {
				i = s.bogus(i)
			}
		case c == '!':
			i = s.declaration(i + 1)
		case c == '?':
			i = s.bogus(i)
		}
	}
}

// bogus skips a bogus comment.
func (s *scanner) bogus(i int) int {
	j := bytes.IndexByte(s.src[i:], '>')
	if j < 0 {
		return len(s.src)
	}
	return i + j + 1
}

func (s *scanner) declaration(i int) int {
	rest := s.src[i:]
	switch {
	case bytes.HasPrefix(rest, []byte("--")):
		return i + commentEnd(rest)
	case s.foreign > 0 && bytes.HasPrefix(rest, []byte("[CDATA[")):
		j := bytes.Index(rest, []byte("]]>"))
		if j < 0 {
			return len(s.src)
		}
		return i + j + 3
	}
	return s.bogus(i)
}

// commentEnd returns the length of the comment that starts with "--" (behind "<!").
func commentEnd(b []byte) int {
	if bytes.HasPrefix(b, []byte("-->")) {
		return 3
	}
	if bytes.HasPrefix(b, []byte("--->")) {
		return 4
	}
	i := 2
	for {
		j := bytes.IndexByte(b[i:], '>')
		if j < 0 {
			return len(b)
		}
		i += j + 1
		if i >= 5 && (b[i-2] == '-' && b[i-3] == '-') {
			return i
		}
		if i >= 6 && b[i-2] == '!' && b[i-3] == '-' && b[i-4] == '-' {
			return i
		}
	}
}

// attributes reads up to the end of the tag and returns the offset behind ">". ok is false when the document ends inside
// the tag: browsers then drop it.
func (s *scanner) attributes(i int) (next int, ok bool) {
	src := s.src
	s.attrs = s.attrs[:0]
	for {
		for i < len(src) && (isSpace(src[i]) || src[i] == '/') {
			i++
		}
		if i >= len(src) {
			return len(src), false
		}
		if src[i] == '>' {
			return i + 1, true
		}
		a := attr{ns: i}
		if src[i] == '=' { // a name may start with "="
			i++
		}
		for i < len(src) && src[i] != '=' && src[i] != '>' && src[i] != '/' && !isSpace(src[i]) {
			i++
		}
		a.ne = i
		for i < len(src) && isSpace(src[i]) {
			i++
		}
		if i < len(src) && src[i] == '=' {
			i++
			for i < len(src) && isSpace(src[i]) {
				i++
			}
			if i >= len(src) {
				return len(src), false
			}
			switch q := src[i]; q {
			case '"', '\'':
				i++
				j := bytes.IndexByte(src[i:], q)
				if j < 0 {
					return len(src), false
				}
				a.vs, a.ve = i, i+j
				i += j + 1
			default:
				a.vs = i
				for i < len(src) && src[i] != '>' && !isSpace(src[i]) {
					i++
				}
				a.ve = i
			}
		}
		if len(s.attrs) < maxAttrs {
			s.attrs = append(s.attrs, a)
		}
	}
}

// get returns the raw value of the first attribute of that lower-case name.
func (s *scanner) get(name string) ([]byte, bool) {
	for _, a := range s.attrs {
		if a.ne-a.ns == len(name) && fold(s.src[a.ns:a.ne], name) {
			return s.src[a.vs:a.ve], true
		}
	}
	return nil, false
}

func (s *scanner) text(name string) string {
	v, _ := s.get(name)
	v, _ = unescape(v, nil)
	start, end := trim(v, 0, len(v))
	return strings.ToLower(string(v[start:end]))
}

// elements are the names of elements that mean something here.
var elements = wordsOf(`a area img image script link iframe frame form meta base source video audio track
	embed object input button style svg math use feimage body table td th tr div span section li p html
	blockquote q ins del amp-img amp-anim amp-video amp-audio amp-iframe amp-script textarea title xmp noembed
	noframes noscript plaintext template picture figure bgsound applet command portal`)

func (s *scanner) startTag(i int) int {
	src := s.src
	start := i
	for i < len(src) && src[i] != '>' && src[i] != '/' && !isSpace(src[i]) {
		i++
	}
	name := elements.find(src[start:i])
	nameEnd := i
	next, ok := s.attributes(i)
	if !ok {
		return next
	}
	if s.tag != nil {
		if s.show(start, nameEnd, next); s.stopped {
			return next
		}
	}
	if len(s.attrs) > 0 {
		s.places(name)
		if s.stopped {
			return next
		}
	}
	switch name {
	case "script":
		end := scriptEnd(src, next)
		if typ := s.text("type"); strings.Contains(typ, "ld+json") {
			s.jsonLD(next, end)
		}
		return end
	case "style":
		end := rawEnd(src, next, "style")
		s.css(src[next:end], next, nil, "style", "")
		return end
	case "textarea", "title", "xmp", "iframe", "noembed", "noframes":
		if s.foreign > 0 && name == "title" { // svg title is markup
			return next
		}
		return rawEnd(src, next, name)
	case "plaintext":
		return len(src)
	case "svg", "math":
		if src[next-2] != '/' {
			s.foreign++
		}
	}
	return next
}

// rawEnd returns the offset of the end tag that closes raw text, or the end of the source.
func rawEnd(src []byte, i int, name string) int {
	for {
		j := bytes.IndexByte(src[i:], '<')
		if j < 0 {
			return len(src)
		}
		i += j
		if isEndTag(src[i:], name) {
			return i
		}
		i++
	}
}

func isEndTag(b []byte, name string) bool {
	n := 2 + len(name)
	return len(b) > n && b[1] == '/' && fold(b[2:n], name) && (b[n] == '>' || b[n] == '/' || isSpace(b[n]))
}

// scriptEnd is rawEnd for script, where "<!--" with a "<script" behind it hides one end tag (13.2.5.20 and on).
func scriptEnd(src []byte, i int) int {
	escaped, double := false, false
	for i < len(src) {
		j := i
		for j < len(src) && src[j] != '<' && !(escaped && src[j] == '-') {
			if escaped {
				j++
				continue
			}
			k := bytes.IndexByte(src[j:], '<')
			if k < 0 {
				return len(src)
			}
			j += k
		}
		if j >= len(src) {
			return len(src)
		}
		i = j
		b := src[i:]
		switch {
		case b[0] == '-':
			k := 0
			for k < len(b) && b[k] == '-' {
				k++
			}
			if k >= 2 && k < len(b) && b[k] == '>' {
				escaped, double = false, false
			}
			i += k
		case !escaped && bytes.HasPrefix(b, []byte("<!--")):
			escaped = true
			i += 2 // the dashes may be those of "-->"
		case double && isEndTag(b, "script"):
			double = false
			i += 8
		case isEndTag(b, "script"):
			return i
		case escaped && !double && len(b) > 7 && fold(b[1:7], "script") && (b[7] == '>' || b[7] == '/' || isSpace(b[7])):
			double = true
			i += 7
		default:
			i++
		}
	}
	return len(src)
}

// emit hands up one place whose raw value is src[start:end) and whose text is url.
func (s *scanner) emit(url []byte, start, end int, element, attribute string, kind Kind, rel string) {
	a, b := trim(url, 0, len(url))
	url = url[a:b]
	if s.stopped || !worth(url, element == "a" || element == "area") {
		return
	}
	if s.shift != nil {
		start, end = s.shift(start, end)
		if !s.yield(Place{URL: clean(url), Start: start, End: end, Element: element, Attr: attribute, Kind: kind, Rel: rel}) {
			s.stopped = true
		}
		return
	}
	if start > s.counted {
		s.line += bytes.Count(s.src[s.counted:start], newline)
		s.counted = start
	}
	if !s.yield(Place{URL: clean(url), Start: start, End: end, Element: element, Attr: attribute, Kind: kind, Rel: rel, Line: s.line}) {
		s.stopped = true
	}
}

// worth reports whether url can lead anywhere.
func worth(url []byte, fragments bool) bool {
	if len(url) == 0 {
		return false
	}
	switch url[0] {
	case '#':
		return fragments && len(url) > 1
	case '{':
		return !bytes.HasPrefix(url, []byte("{{"))
	case 'j', 'J':
		return !hasScheme(url, "javascript")
	case 'd', 'D':
		return !hasScheme(url, "data")
	case 'm', 'M':
		return !hasScheme(url, "mailto")
	case 't', 'T':
		return !hasScheme(url, "tel")
	case 'a', 'A':
		return !hasScheme(url, "about")
	case 'b', 'B':
		return !hasScheme(url, "blob")
	}
	return true
}

// hasScheme allows for the tabs and newlines that URL parsers drop ("java\nscript:").
func hasScheme(url []byte, scheme string) bool {
	i := 0
	for _, c := range url {
		switch {
		case c == '\t' || c == '\n' || c == '\r':
		case i == len(scheme):
			return c == ':'
		case c|0x20 != scheme[i]:
			return false
		default:
			i++
		}
	}
	return false
}

// value emits the whole attribute value as one URL.
func (s *scanner) value(a attr, element, attribute string, kind Kind, rel string) {
	start, end := trim(s.src, a.vs, a.ve)
	if start == end {
		return
	}
	url, _ := unescape(s.src[start:end], s.pos)
	s.emit(url, start, end, element, attribute, kind, rel)
}

// mapped unescapes a value for sub-parsing and returns how its offsets lead back to the source.
func (s *scanner) mapped(a attr) (text []byte, back func(int) int) {
	raw := s.src[a.vs:a.ve]
	text, pos := unescape(raw, nil)
	if pos == nil {
		return text, func(i int) int { return a.vs + i }
	}
	return text, func(i int) int { return a.vs + pos[i] }
}

func (s *scanner) set(a attr, element, attribute string) {
	text, back := s.mapped(a)
	srcset(text, func(start, end, _, _ int) bool {
		s.emit(text[start:end], back(start), back(end), element, attribute, Image, "")
		return !s.stopped
	})
}

// css emits the places of CSS text; back is nil when text stands in the source at offset at.
func (s *scanner) css(text []byte, at int, back func(int) int, element, attribute string) {
	css(text, func(start, end int, kind Kind, rel string) bool {
		start, end = trim(text, start, end)
		url, _ := cssUnescape(text[start:end])
		if back != nil {
			s.emit(url, back(start), back(end), element, attribute, kind, rel)
		} else {
			s.emit(url, at+start, at+end, element, attribute, kind, rel)
		}
		return !s.stopped
	})
}

// places looks through the attributes of the current tag. name is "" for elements of no special meaning.
func (s *scanner) places(name string) {
	for k, a := range s.attrs {
		if a.ve == a.vs && !(name == "meta") {
			continue
		}
		n := s.src[a.ns:a.ne]
		attribute := names.find(n)
		if attribute == "" {
			continue
		}
		if k > 0 {
			if s.earlier(k, attribute) {
				continue
			}
		}
		s.place(name, attribute, a)
		if s.stopped {
			return
		}
	}
}

func (s *scanner) earlier(k int, attribute string) bool {
	for _, b := range s.attrs[:k] {
		if b.ne-b.ns == len(attribute) && fold(s.src[b.ns:b.ne], attribute) {
			return true
		}
	}
	return false
}

// maxWord is the length of the longest word in a wordList, and a bit.
const maxWord = 24

// wordList finds words without regard to case, by first letter and length: most names on a page end there, and no string is
// made for any.
type wordList [32][maxWord][]string

func wordsOf(list string) *wordList {
	var t wordList
	for _, w := range strings.Fields(list) {
		row := &t[w[0]&31][len(w)]
		*row = append(*row, w)
	}
	return &t
}

// find returns the word that n is, "" when it is none.
func (t *wordList) find(n []byte) string {
	if len(n) == 0 || len(n) >= maxWord {
		return ""
	}
	for _, w := range t[n[0]&31][len(n)] {
		if fold(n, w) {
			return w
		}
	}
	return ""
}

// names are the attributes that can hold URLs.
var names = wordsOf(`href src srcset imagesrcset poster action formaction background cite data codebase
		xlink:href content style ping longdesc srcdoc manifest dynsrc lowsrc usemap
		data-src data-srcset data-original data-original-src data-original-set data-lazy data-lazy-src data-lazy-srcset data-lazy-original
		data-lazy-background data-lazyload data-lazy-load data-lazy-bg data-bg data-bg-src data-background data-background-image data-bgset
		data-src-medium data-src-large data-src-small data-hi-res-src data-full-src data-large-file data-image data-img
		data-image-src data-img-src data-img-url data-thumb data-poster data-delayed-url data-flickity-lazyload data-pin-media
		data-echo data-defer-src data-href`)

func (s *scanner) place(name, attribute string, a attr) {
	switch attribute {
	case "href", "xlink:href":
		switch name {
		case "a", "area":
			s.value(a, name, attribute, Page, s.rel(name))
		case "link":
			rel := s.text("rel")
			s.value(a, name, attribute, linkKind(rel, s.text("as"), s.text("type")), rel)
		case "base":
			s.value(a, name, attribute, BaseHref, "")
		case "image", "use", "feimage":
			s.value(a, name, attribute, Image, "")
		case "script": // svg
			s.value(a, name, attribute, Script, "")
		}
	case "src":
		switch name {
		case "img", "image", "amp-img", "amp-anim":
			s.value(a, name, attribute, Image, "")
		case "script":
			s.value(a, name, attribute, Script, "")
		case "iframe", "frame", "amp-iframe", "portal":
			s.value(a, name, attribute, Frame, "")
		case "video", "audio", "source", "track", "embed", "amp-video", "amp-audio", "bgsound":
			s.value(a, name, attribute, Media, "")
		case "input":
			s.value(a, name, attribute, Image, "")
		case "amp-script":
			s.value(a, name, attribute, Script, "")
		}
	case "srcset", "imagesrcset":
		if name != "" {
			s.set(a, name, attribute)
		}
	case "poster":
		s.value(a, name, attribute, Image, "")
	case "dynsrc", "lowsrc":
		if name == "img" || name == "input" {
			s.value(a, name, attribute, Image, "")
		}
	case "background":
		s.value(a, name, attribute, Image, "")
	case "action":
		if name == "form" {
			s.value(a, name, attribute, Form, "")
		}
	case "formaction":
		if name == "button" || name == "input" {
			s.value(a, name, attribute, Form, "")
		}
	case "cite", "longdesc":
		switch name {
		case "blockquote", "q", "ins", "del", "img", "iframe", "frame":
			s.value(a, name, attribute, Cite, "")
		}
	case "data":
		if name == "object" {
			s.value(a, name, attribute, Media, "")
		}
	case "codebase":
		if name == "object" || name == "applet" {
			s.value(a, name, attribute, Other, "")
		}
	case "manifest":
		if name == "html" {
			s.value(a, name, attribute, Manifest, "")
		}
	case "content":
		if name == "meta" {
			s.meta(a)
		}
	case "style":
		text, back := s.mapped(a)
		if bytes.IndexByte(text, '(') >= 0 {
			s.css(text, 0, back, name, attribute)
		}
	case "srcdoc":
		if name == "iframe" && s.depth < 2 {
			s.srcdoc(a)
		}
	case "ping":
		if name == "a" || name == "area" {
			s.value(a, name, attribute, Other, "ping")
		}
	case "usemap":
	case "data-srcset", "data-lazy-srcset", "data-bgset", "data-original-set":
		s.set(a, name, attribute)
	case "data-href":
	default: // lazy attributes
		if bytes.IndexByte(s.src[a.vs:a.ve], '{') >= 0 {
			return // a template or JSON
		}
		kind := Image
		switch name {
		case "iframe", "frame", "amp-iframe":
			kind = Frame
		case "script":
			kind = Script
		case "video", "audio", "source", "track", "embed":
			kind = Media
		}
		switch attribute {
		case "data-poster", "data-thumb":
			kind = Image
		}
		if plausible(s.src[a.vs:a.ve]) {
			s.value(a, name, attribute, kind, "")
		}
	}
}

// plausible reports whether a lazy-loading attribute's value looks like a URL and not like a flag or class name.
func plausible(v []byte) bool {
	start, end := trim(v, 0, len(v))
	v = v[start:end]
	return len(v) > 3 && bytes.IndexByte(v, ' ') < 0 && (bytes.IndexByte(v, '/') >= 0 || bytes.IndexByte(v, '.') > 0)
}

func (s *scanner) rel(string) string {
	if _, ok := s.get("rel"); !ok {
		return ""
	}
	return s.text("rel")
}

func linkKind(rel, as, typ string) Kind {
	has := func(word string) bool { return hasWord(rel, word) }
	switch {
	case has("stylesheet"):
		return Style
	case has("icon"), has("apple-touch-icon"), has("apple-touch-icon-precomposed"), has("mask-icon"), has("fluid-icon"),
		has("apple-touch-startup-image"):
		return Icon
	case has("canonical"):
		return Canonical
	case has("alternate") && (strings.Contains(typ, "rss") || strings.Contains(typ, "atom") || strings.Contains(typ, "feed+json")):
		return FeedLink
	case has("alternate") && strings.Contains(typ, "oembed"):
		return Other
	case has("alternate"), has("amphtml"):
		return Alternate
	case has("manifest"):
		return Manifest
	case has("modulepreload"):
		return Script
	case has("preload"):
		switch as {
		case "style":
			return Style
		case "script", "worker":
			return Script
		case "font":
			return Font
		case "image":
			return Image
		case "audio", "video", "track":
			return Media
		}
		return Other
	case has("image_src"):
		return Image
	case has("preconnect"), has("dns-prefetch"), has("prefetch"), has("prerender"):
		return Hint
	}
	return Other
}

func hasWord(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}

// srcdoc scans the document inside an iframe's attribute.
func (s *scanner) srcdoc(a attr) {
	text, back := s.mapped(a)
	outer := s.yield
	inner := scanner{src: text, depth: s.depth + 1, shift: func(start, end int) (int, int) { return back(start), back(end) }}
	inner.yield = func(p Place) bool {
		if s.shift != nil {
			p.Start, p.End = s.shift(p.Start, p.End)
		} else {
			if p.Start > s.counted {
				s.line += bytes.Count(s.src[s.counted:p.Start], newline)
				s.counted = p.Start
			}
			p.Line = s.line
		}
		return outer(p)
	}
	inner.run()
	s.stopped = s.stopped || inner.stopped
}

// meta handles the content attribute of a meta element.
func (s *scanner) meta(a attr) {
	if equiv := s.text("http-equiv"); equiv != "" {
		text, back := s.mapped(a)
		switch equiv {
		case "refresh":
			if start, end, ok := refresh(text); ok {
				s.emit(text[start:end], back(start), back(end), "meta", "content", Refresh, equiv)
			}
		case "onion-location":
			s.value(a, "meta", "content", Meta, equiv)
		}
		return
	}
	property := s.text("property")
	if property == "" {
		property = s.text("name")
	}
	if property == "" {
		property = s.text("itemprop")
	}
	kind := metaKind(property)
	if kind == "" {
		return
	}
	s.value(a, "meta", "content", kind, property)
}

func metaKind(property string) Kind {
	switch property {
	case "og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src", "image", "thumbnail",
		"thumbnailurl", "msapplication-tileimage", "msapplication-square70x70logo", "msapplication-square150x150logo",
		"msapplication-wide310x150logo", "msapplication-square310x310logo", "sailthru.image.full", "sailthru.image.thumb",
		"parsely-image-url":
		return Image
	case "og:video", "og:video:url", "og:video:secure_url", "og:audio", "og:audio:url", "og:audio:secure_url",
		"twitter:player:stream":
		return Media
	case "twitter:player":
		return Frame
	case "og:url", "twitter:url", "url", "al:web:url", "parsely-link", "article:publisher", "og:see_also", "identifier-url":
		return Meta
	}
	return ""
}

// refresh finds the URL in the content of a meta refresh (HTML 4.2.5.3), also without "url=".
func refresh(c []byte) (start, end int, ok bool) {
	i := 0
	skip := func() {
		for i < len(c) && isSpace(c[i]) {
			i++
		}
	}
	skip()
	digits := i
	for i < len(c) && (isDigit(c[i]) || c[i] == '.') {
		i++
	}
	if i == digits {
		return 0, 0, false
	}
	if i < len(c) && c[i] != ';' && c[i] != ',' && !isSpace(c[i]) {
		return 0, 0, false
	}
	skip()
	if i < len(c) && (c[i] == ';' || c[i] == ',') {
		i++
	}
	skip()
	if i+3 <= len(c) && fold(c[i:i+3], "url") {
		k := i + 3
		for k < len(c) && isSpace(c[k]) {
			k++
		}
		if k < len(c) && c[k] == '=' {
			i = k + 1
			skip()
		}
	}
	if i >= len(c) {
		return 0, 0, false
	}
	if q := c[i]; q == '"' || q == '\'' {
		i++
		j := bytes.IndexByte(c[i:], q)
		if j < 0 {
			j = len(c) - i
		}
		start, end = trim(c, i, i+j)
		return start, end, start < end
	}
	start, end = trim(c, i, len(c))
	return start, end, start < end
}

// jsonLD emits the absolute URLs of a JSON-LD block: a string value that starts with a scheme or "//", under a key of
// schema.org that names a URL.
func (s *scanner) jsonLD(from, to int) {
	src := s.src
	key := ""
	for i := from; i < to && !s.stopped; {
		j := bytes.IndexByte(src[i:to], '"')
		if j < 0 {
			return
		}
		start := i + j + 1
		end := start
		for end < to && src[end] != '"' {
			if src[end] == '\\' {
				end++
			}
			end++
		}
		if end >= to {
			return
		}
		i = end + 1
		k := i
		for k < to && isSpace(src[k]) {
			k++
		}
		if k < to && src[k] == ':' {
			if end-start <= 32 {
				key = string(src[start:end])
			} else {
				key = ""
			}
			i = k + 1
			continue
		}
		raw := src[start:end]
		if len(raw) < 8 || !(bytes.HasPrefix(raw, []byte("http")) || raw[0] == '/' && raw[1] == '/' || bytes.HasPrefix(raw, []byte(`\/\/`))) {
			continue
		}
		kind := jsonKind(key)
		if kind == "" {
			continue
		}
		s.emit(jsonUnescape(raw), start, end, "script", "", kind, key)
	}
}

func jsonKind(key string) Kind {
	switch key {
	case "image", "logo", "thumbnailUrl", "thumbnail", "primaryImageOfPage":
		return Image
	case "contentUrl", "audio", "video":
		return Media
	case "embedUrl":
		return Frame
	case "url", "@id", "mainEntityOfPage", "sameAs", "isPartOf", "item", "discussionUrl", "archivedAt", "relatedLink", "significantLink":
		return Meta
	}
	return ""
}

func jsonUnescape(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'u':
			r, n := rune(0), 0
			for n < 4 && i+1+n < len(raw) {
				d := unhex(raw[i+1+n])
				if d < 0 {
					break
				}
				r, n = r<<4|rune(d), n+1
			}
			if n == 4 {
				out = append(out, string(r)...)
				i += 4
			}
		case 'n', 'r', 't', 'b', 'f':
		default:
			out = append(out, raw[i])
		}
	}
	return out
}
