package replay

import (
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
	srcdocStart, srcdocEnd int
	still                  markup.Still
	frameset               bool
}

// seen is what the rewriter met that a reader should know of.
type seen struct {
	refresh string // where a meta refresh leads, absolute
	scripts int
	foreign int // SVG symbols of other files that could not be taken in
	players int // video and audio elements, embeds
	frames  int
}

// edit replaces src[start:end].
type edit struct {
	start, end int
	text       string
}

const kept = markup.Kept // prefix of attribute names that must do nothing

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
	d.still.Tag(t, d.edit)
	name := src[t.Start+1 : t.NameEnd]
	switch name[0] | 0x20 {
	case 'a':
		if fold(name, "audio") || fold(name, "amp-video") || fold(name, "amp-audio") {
			d.seen.players++
		}
	case 'b':
		if fold(name, "body") && d.body == 0 {
			d.body = t.End
		}
	case 'e':
		if fold(name, "embed") {
			d.seen.players++
		}
	case 'f':
		if fold(name, "frameset") {
			d.frameset = true
		}
	case 'i':
		if fold(name, "iframe") {
			d.seen.frames++
		}
	case 'h':
		if fold(name, "head") && d.head == 0 {
			d.head = t.End
		}
	case 'm':
		if fold(name, "meta") {
			d.meta(t)
		}
	case 's':
		if fold(name, "script") {
			d.seen.scripts++
		}
	case 'u':
		if fold(name, "use") {
			d.use(t)
		}
	case 'v':
		if fold(name, "video") {
			d.seen.players++
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
	if !markup.SameOrigin(abs, d.url) { // no browser shows it
		d.silence(a)
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
		d.silence(a)
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
	if d.still.Flicker {
		style := at
		switch {
		case d.charsetEnd > 0:
			style = d.charsetEnd
		case d.head > 0:
			style = d.head
		}
		d.edit(style, style, markup.Shown)
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
