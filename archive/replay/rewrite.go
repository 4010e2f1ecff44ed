package replay

import (
	"bytes"
	"strings"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/message"
)

// Modifiers of replay addresses: they stand behind the timestamp and say what the resource is asked for as.
const (
	modPage   = ""    // a page, with banner
	modMain   = "mp_" // the same, as pywb writes it
	modRaw    = "id_" // the payload as it was captured
	modFrame  = "if_" // a page in a frame: no banner
	modImage  = "im_"
	modScript = "js_"
	modStyle  = "cs_"
	modOther  = "oe_"
)

func modOf(k markup.Kind, framed bool) string {
	switch k {
	case markup.Image, markup.Icon:
		return modImage
	case markup.Style:
		return modStyle
	case markup.Script:
		return modScript
	case markup.Font, markup.Media, markup.Manifest:
		return modOther
	case markup.Frame:
		return modFrame
	}
	if framed {
		return modFrame
	}
	return modPage
}

// document rewrites one archived document so that all it names leads into the replay (archive-formats 5.1). Octets outside
// the touched places stay as they are, whatever the charset, as long as it is a superset of ASCII.
type document struct {
	url     string // where it was captured
	charset string // as message.Charset names it
	framed  bool   // links stay in the frame
	// link returns the replay address of an absolute URL without fragment. It must hold no octet that ends an attribute, a
	// CSS string or a srcset candidate.
	link func(abs, mod string) string
	// symbol returns the element of that id in an archived SVG file, and the id it has in what is returned; nil: external
	// symbols stay as they are.
	symbol func(abs, id string) (element []byte, newID string)
	banner []byte // put behind <body>, else at the end
	// finish makes the banner when the page was read; nil: banner is used.
	finish func(seen) []byte
	whole  bool // rewrite relative requisites too: they stand in a snapshot
	plain  bool // nothing is put in: XML

	src     []byte
	base    string
	edits   []edit
	skip    int // the place that starts here was dealt with
	seen    seen
	added   []byte // symbols taken in
	symbols map[string]string

	body, head, charsetEnd int // offsets behind these tags, 0: not there
	noscriptEnd            int
	srcdocStart, srcdocEnd int
	flicker                bool
	frameset               bool
}

// seen is what the rewriter met that a reader should know of.
type seen struct {
	refresh string // where a meta refresh leads, absolute
	scripts int
	foreign int // SVG symbols of other files that could not be taken in
	players int // video and audio elements, embeds
}

// edit replaces src[start:end].
type edit struct {
	start, end int
	text       string
}

const kept = "data-archive-" // prefix of attribute names that must do nothing

func (d *document) edit(start, end int, text string) {
	d.edits = append(d.edits, edit{start, end, text})
	for i := len(d.edits) - 1; i > 0 && d.edits[i].start < d.edits[i-1].start; i-- { // nearly sorted: tags and their places mix
		d.edits[i], d.edits[i-1] = d.edits[i-1], d.edits[i]
	}
}

func (d *document) apply() []byte {
	n := len(d.src)
	for _, e := range d.edits {
		n += len(e.text)
	}
	out := make([]byte, 0, n)
	at := 0
	for _, e := range d.edits {
		if e.start < at || e.end < e.start || e.end > len(d.src) {
			continue
		}
		out = append(out, d.src[at:e.start]...)
		out = append(out, e.text...)
		at = e.end
	}
	return append(out, d.src[at:]...)
}

// CSS rewrites a style sheet.
func (d *document) CSS(src []byte) []byte {
	d.src, d.base, d.skip = src, d.url, -1
	markup.CSS(src, func(p markup.Place) bool {
		if text, ok := d.replace(p); ok {
			d.edit(p.Start, p.End, cssText(text))
		}
		return true
	})
	return d.apply()
}

// HTML rewrites a page.
func (d *document) HTML(src []byte) []byte {
	d.src, d.base, d.skip = src, d.url, -1
	if b := markup.Base(src); b != "" {
		if abs, ok := markup.Resolve(d.url, d.utf8(b)); ok {
			d.base = abs
		}
	}
	markup.Scan(src, d.tag, d.place)
	d.insert()
	return d.apply()
}

// utf8 makes URL text of the document's charset what a browser's URL parser would see.
func (d *document) utf8(s string) string {
	if d.charset == "" || d.charset == "utf-8" {
		return s
	}
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			if u, err := message.ToUTF8(d.charset, []byte(s)); err == nil {
				return string(u)
			}
			return s
		}
	}
	return s
}

// replace returns the replay address that stands for a place; ok is false when it stays: fragments, what leads nowhere, and
// relative references, which lead to the right place by themselves.
func (d *document) replace(p markup.Place) (string, bool) {
	if p.URL[0] == '#' {
		return "", false
	}
	if relative(p.URL) && p.Kind != markup.Frame && p.Kind != markup.BaseHref && !(d.whole && p.Kind.Requisite()) {
		return "", false
	}
	ref := d.utf8(p.URL)
	base := d.base
	if p.Kind == markup.BaseHref {
		base = d.url
	}
	abs, ok := markup.Resolve(base, ref)
	if !ok {
		return "", false
	}
	text := d.link(abs, modOf(p.Kind, d.framed))
	if i := strings.IndexByte(ref, '#'); i >= 0 {
		text += quoteURL(ref[i:])
	}
	return text, true
}

// relative reports a reference that resolves within the replay to what it means: without scheme, not from the root, not
// climbing (".." could climb out of the URL part of a replay address).
func relative(ref string) bool {
	if ref[0] == '/' || ref[0] == '\\' {
		return false
	}
	for i := 0; i < len(ref); i++ {
		switch ref[i] {
		case '?', '#':
			return true
		case ':', '\\':
			return false
		case '.':
			if i+1 < len(ref) && ref[i+1] == '.' {
				return false
			}
		case '%':
			if i+2 < len(ref) && ref[i+1] == '2' && ref[i+2]|0x20 == 'e' {
				return false
			}
		}
	}
	return true
}

// quoteURL percent-encodes what could end an attribute value or mean something in HTML.
func quoteURL(s string) string {
	bad := func(c byte) bool {
		return c <= ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '<' || c == '>' || c == '`' || c == '\\'
	}
	i := 0
	for i < len(s) && !bad(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if c := s[i]; bad(c) {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// cssText makes a quoted URL fit for url() with and without quotes.
func cssText(s string) string {
	if !strings.ContainsAny(s, "()") {
		return s
	}
	return strings.NewReplacer("(", "%28", ")", "%29").Replace(s)
}

func htmlText(s string) string {
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	return strings.ReplaceAll(s, "&", "&amp;")
}

func (d *document) place(p markup.Place) bool {
	if p.Element == "script" && p.Attr == "" {
		return true // JSON-LD is text
	}
	if p.Start == d.skip || p.Rel == "ping" {
		return true
	}
	switch p.Kind {
	case markup.Canonical:
		return true // says where the page lived, and is not fetched
	case markup.Refresh:
		if abs, ok := markup.Resolve(d.base, d.utf8(p.URL)); ok && d.seen.refresh == "" {
			d.seen.refresh = abs
		}
	}
	text, ok := d.replace(p)
	if !ok {
		return true
	}
	switch {
	case p.Element == "style" && p.Attr == "": // raw text
		text = cssText(text)
	case p.Attr == "style":
		text = htmlText(cssText(text))
	default:
		text = htmlText(text)
	}
	if p.Start >= d.srcdocStart && p.Start < d.srcdocEnd { // a document inside an attribute
		if p.Element == "style" && p.Attr == "" {
			text = htmlText(text)
		} else {
			text = strings.ReplaceAll(text, "&", "&amp;")
		}
	}
	d.edit(p.Start, p.End, text)
	return true
}

// silence renames an attribute so that it stays readable and does nothing.
func (d *document) silence(a markup.Attr) { d.edit(a.NameStart, a.NameStart, kept) }

func (d *document) tag(t *markup.Tag) bool {
	src := d.src
	for _, a := range t.Attrs {
		name := src[a.NameStart:a.NameEnd]
		switch len(name) {
		case 4:
			if fold(name, "ping") {
				d.silence(a)
			}
		case 5:
			if fold(name, "nonce") {
				d.silence(a)
			}
		case 6:
			if fold(name, "target") {
				d.target(t, a)
			} else if fold(name, "srcdoc") && t.Is("iframe") {
				d.srcdocStart, d.srcdocEnd = a.Start, a.End
			}
		case 9:
			if fold(name, "integrity") { // the sum is of the octets before rewriting
				d.silence(a)
			}
		case 11:
			if fold(name, "crossorigin") {
				d.silence(a)
			}
		}
	}
	name := src[t.Start+1 : t.NameEnd]
	switch name[0] | 0x20 {
	case 'a':
		if fold(name, "amp-img") || fold(name, "amp-anim") {
			d.ampImage(t)
		} else if fold(name, "audio") {
			d.seen.players++
		}
	case 'b':
		if fold(name, "body") {
			if d.body == 0 {
				d.body = t.End
			}
			d.reveal(t)
		}
	case 'e':
		if fold(name, "embed") {
			d.seen.players++
		}
	case 'f':
		if fold(name, "frameset") {
			d.frameset = true
		}
	case 'h':
		if fold(name, "html") {
			d.reveal(t)
		} else if fold(name, "head") && d.head == 0 {
			d.head = t.End
		}
	case 'i':
		if fold(name, "img") || fold(name, "iframe") {
			d.promote(t)
		}
	case 'l':
		if fold(name, "link") {
			d.linkTag(t)
		}
	case 'm':
		if fold(name, "meta") {
			d.meta(t)
		}
	case 'n':
		if fold(name, "noscript") {
			if end := bytes.IndexByte(src[t.End:], '<'); end >= 0 {
				d.noscriptEnd = closing(src, t.End, "noscript")
			}
		}
	case 's':
		switch {
		case fold(name, "script"):
			d.seen.scripts++
		case fold(name, "style"):
			d.styleTag(t)
		case fold(name, "source"):
			d.promote(t)
		}
	case 'u':
		if fold(name, "use") {
			d.use(t)
		}
	case 'v':
		if fold(name, "video") {
			d.seen.players++
			d.promote(t)
		}
	}
	return true
}

// target makes links that would open elsewhere open in place: the sandbox lets no page open windows, and a page in a frame
// must not replace the page around it. Names of frames stay.
func (d *document) target(t *markup.Tag, a markup.Attr) {
	switch strings.ToLower(t.Value(a)) {
	case "_top", "_parent", "_blank", "_new", "blank":
		d.edit(a.Start, a.End, "_self")
	}
}

func (d *document) linkTag(t *markup.Tag) {
	a, ok := t.Find("rel")
	if !ok {
		return
	}
	for _, w := range strings.Fields(strings.ToLower(t.Value(a))) {
		switch w {
		case "preconnect", "dns-prefetch", "prefetch", "prerender": // no policy stops connections made ahead
			d.silence(a)
			return
		case "stylesheet":
			// media="print" onload="this.media='all'": without the script the sheet would never apply.
			if on, ok := t.Find("onload"); ok && strings.Contains(t.Value(on), "media") {
				if m, ok := t.Find("media"); ok {
					d.silence(m)
				}
			}
		case "preload":
			// rel=preload as=style onload="this.rel='stylesheet'"
			if on, ok := t.Find("onload"); ok && strings.Contains(t.Value(on), "stylesheet") && a.End > a.Start {
				d.edit(a.Start, a.End, "stylesheet")
			}
		}
	}
}

func (d *document) meta(t *markup.Tag) {
	if _, ok := t.Find("charset"); ok && d.charsetEnd == 0 {
		d.charsetEnd = t.End
		return
	}
	a, ok := t.Find("http-equiv")
	if !ok {
		return
	}
	switch strings.ToLower(t.Value(a)) {
	case "content-type":
		if c, ok := t.Find("content"); ok && d.charsetEnd == 0 && strings.Contains(strings.ToLower(t.Value(c)), "charset") {
			d.charsetEnd = t.End
		}
	case "content-security-policy", "content-security-policy-report-only", "x-webkit-csp", "x-content-security-policy", "set-cookie",
		"x-dns-prefetch-control", "origin-trial", "accept-ch", "delegate-ch", "permissions-policy", "x-frame-options":
		d.silence(a)
	}
}

// reveal undoes what hides a whole page until a script shows it.
func (d *document) reveal(t *markup.Tag) {
	if a, ok := t.Find("style"); ok {
		v := squeeze([]byte(t.Value(a)))
		if bytes.Contains(v, []byte("opacity:0")) && !bytes.Contains(v, []byte("opacity:0.")) || bytes.Contains(v, []byte("visibility:hidden")) ||
			bytes.Contains(v, []byte("display:none")) {
			d.silence(a)
		}
	}
	if a, ok := t.Find("class"); ok && strings.Contains(t.Value(a), "async-hide") {
		d.flicker = true
	}
	if _, ok := t.Find("hidden"); ok {
		d.flicker = true
	}
}

const styleWindow = 4 << 10

// styleTag looks for rules that hide the page: anti-flicker snippets and AMP's boilerplate.
func (d *document) styleTag(t *markup.Tag) {
	if d.flicker {
		return
	}
	if _, ok := t.Find("amp-boilerplate"); ok {
		d.flicker = true
		return
	}
	text := d.src[t.End:min(len(d.src), t.End+styleWindow)]
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
			d.flicker = true
		}
	}
}

// squeeze lowers text and takes its white space out.
func squeeze(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c > ' ' {
			out = append(out, lower(c))
		}
	}
	return out
}

// shown wins over author rules by its ids and over inline ones by being important.
const shown = `<style>html:not(#a):not(#b),body:not(#a):not(#b){opacity:1!important;visibility:visible!important;animation:none!important;-webkit-animation:none!important}</style>`

func (d *document) ampImage(t *markup.Tag) {
	d.edit(t.Start+1, t.NameEnd, "img")
	if _, ok := t.Find("style"); !ok {
		d.edit(t.NameEnd, t.NameEnd, ` style="max-width:100%;height:auto"`)
	}
}

// lazy attributes by what they stand for, the better ones first.
var lazySrc = []string{"data-src", "data-lazy-src", "data-original", "data-lazy", "data-lazyload", "data-lazy-load", "data-original-src",
	"data-lazy-original", "data-image-src", "data-img-src", "data-img-url", "data-echo", "data-defer-src", "data-delayed-url",
	"data-flickity-lazyload", "data-hi-res-src"}
var lazySet = []string{"data-srcset", "data-lazy-srcset", "data-original-set"}

// promote puts the address that a script would have loaded where the browser looks (5.4). Where the page repeats the picture
// in a noscript beside it, that one is shown, and this stays as it is.
func (d *document) promote(t *markup.Tag) {
	has := false
	for _, a := range t.Attrs {
		if a.NameEnd-a.NameStart >= 8 && fold(d.src[a.NameStart:a.NameStart+5], "data-") {
			has = true
			break
		}
	}
	if !has || d.repeated(t) {
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
			if !ok || a.End == a.Start || !plausible(t.Value(a), to) {
				continue
			}
			if old, ok := t.Find(to); ok {
				d.silence(old)
			}
			d.edit(a.NameStart, a.NameEnd, to)
			return
		}
	}
	one("srcset", lazySet)
	switch {
	case t.Is("video"):
		one("poster", []string{"data-poster"})
		one("src", lazySrc[:1])
	case t.Is("source"):
		one("src", lazySrc[:1])
	default:
		one("src", lazySrc)
	}
}

// plausible reports whether a lazy attribute's value can be what it is taken for.
func plausible(v, to string) bool {
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
func (d *document) repeated(t *markup.Tag) bool {
	if d.noscriptEnd > t.End {
		return true // inside of one
	}
	if d.noscriptEnd > 0 && t.Start-d.noscriptEnd < 64 && len(bytes.TrimSpace(d.src[d.noscriptEnd:t.Start])) == 0 {
		return true
	}
	rest := d.src[t.End:min(len(d.src), t.End+512)]
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

// closing returns the offset behind the end tag, or 0 when it is not near.
func closing(src []byte, from int, name string) int {
	window := src[from:min(len(src), from+(16<<10))]
	at := 0
	for {
		i := bytes.Index(window[at:], []byte("</"))
		if i < 0 {
			return 0
		}
		at += i + 2
		if len(window)-at > len(name) && fold(window[at:at+len(name)], name) {
			if j := bytes.IndexByte(window[at:], '>'); j >= 0 {
				return from + at + j + 1
			}
			return 0
		}
	}
}

// Bounds of what is taken in from SVG files.
const (
	maxSymbols     = 64
	maxSymbolBytes = 256 << 10
)

// use takes symbols of other SVG files in: to a sandboxed page every file is foreign, and foreign symbols are not shown.
func (d *document) use(t *markup.Tag) {
	a, ok := t.Find("href")
	if !ok {
		if a, ok = t.Find("xlink:href"); !ok {
			return
		}
	}
	file, id, ok := strings.Cut(t.Value(a), "#")
	if !ok || file == "" {
		return
	}
	abs, ok := markup.Resolve(d.base, d.utf8(file))
	if !ok || id == "" || d.symbol == nil {
		d.seen.foreign++
		return
	}
	key := abs + "#" + id
	local, done := d.symbols[key]
	if !done && len(d.symbols) < maxSymbols {
		element, newID := d.symbol(abs, id)
		if element != nil && len(d.added)+len(element) <= maxSymbolBytes {
			d.added = append(d.added, element...)
			local = newID
		}
		if d.symbols == nil {
			d.symbols = map[string]string{}
		}
		d.symbols[key] = local
	}
	if local == "" {
		d.seen.foreign++
		return
	}
	start, end := a.Start, a.End
	for start < end && d.src[start] <= ' ' {
		start++
	}
	for end > start && d.src[end-1] <= ' ' {
		end--
	}
	d.skip = start
	d.edit(start, end, "#"+local)
}

// insert puts the banner behind <body>, the style that shows a hidden page behind the charset's meta element, which must
// stay within the first 1024 octets.
func (d *document) insert() {
	if d.plain {
		return
	}
	at := len(d.src)
	if d.body > 0 {
		at = d.body
	}
	if d.flicker {
		style := at
		switch {
		case d.charsetEnd > 0:
			style = d.charsetEnd
		case d.head > 0:
			style = d.head
		}
		d.edit(style, style, shown)
	}
	if d.frameset {
		return
	}
	if d.finish != nil {
		d.banner = d.finish(d.seen)
	}
	text := string(d.banner)
	if len(d.added) > 0 {
		text += `<svg style="position:absolute;width:0;height:0" aria-hidden="true">` + string(d.added) + `</svg>`
	}
	if text != "" {
		d.edit(at, at, text)
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// fold compares b with the lower-case word w.
func fold(b []byte, w string) bool {
	if len(b) != len(w) {
		return false
	}
	for i := range b {
		if lower(b[i]) != w[i] {
			return false
		}
	}
	return true
}

// containsFold looks for the lower-case word w, which starts with "<".
func containsFold(s []byte, w string) bool {
	for {
		i := bytes.IndexByte(s, w[0])
		if i < 0 || i+len(w) > len(s) {
			return false
		}
		if fold(s[i:i+len(w)], w) {
			return true
		}
		s = s[i+1:]
	}
}
