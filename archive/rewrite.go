package archive

import (
	"bytes"
	"cmp"
	"html"
	"path"
	"slices"
	"strconv"
	"strings"

	xhtml "golang.org/x/net/html"

	"mirrorwatch/crawler/markup"
)

// edit replaces src[start:end] by text.
type edit struct {
	start, end int
	text       string
}

// applyEdits makes all edits that do not overlap an earlier one; octets outside of them stay as they are.
func applyEdits(src []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int {
		if a.start != b.start {
			return a.start - b.start
		}
		if (a.start == a.end) != (b.start == b.end) {
			return cmp.Compare(a.end, b.end) // what is put in stands before what is taken out
		}
		return b.end - a.end // the larger first: what it removes needs no other edit
	})
	out := make([]byte, 0, len(src)+len(src)/16)
	at := 0
	for _, e := range edits {
		if e.start < at || e.end < e.start || e.end > len(src) {
			continue
		}
		out = append(out, src[at:e.start]...)
		out = append(out, e.text...)
		at = e.end
	}
	return append(out, src[at:]...)
}

// linker says what stands for a URL in a restored page: ok false leaves the place as it is. abs is resolved and without
// fragment; fragment has its "#" or is empty.
type linker func(abs, fragment string, p markup.Place) (text string, ok bool)

// rewriteOptions say what a restored page may keep.
type rewriteOptions struct {
	scripts bool   // keep scripts
	charset string // add a meta with this charset: only the header had it
	comment string // put at the end
	policy  string // a CSP put as meta
	// single: of each srcset one candidate is kept, for browsers take the largest of those that they hold already.
	single bool
	// symbol returns the element of that id in a saved SVG file, and the id it has in what is returned; nil: symbols of
	// other files stay where they are. A page opened from disk may not show them from there.
	symbol func(abs, id string) (element []byte, newID string)
	depth  int // of documents in attributes
}

// rewriteHTML points the links of a page elsewhere and takes out what would run or reach out when it is opened from disk
// (S9). Octets outside the touched places stay.
func rewriteHTML(src []byte, pageURL string, link linker, opt rewriteOptions) []byte {
	base := pageURL
	if b := markup.Base(src); b != "" {
		if r, ok := markup.Resolve(pageURL, b); ok {
			base = r
		}
	}
	edits := stripHTML(src, opt)
	var still markup.Still
	shownAt, body := -1, len(src)
	var symbols symbolTable
	markup.Scan(src, func(t *markup.Tag) bool {
		if t.Is("iframe") && !opt.scripts {
			edits = append(edits, within(src, t, base, link, opt)...)
		}
		if opt.single {
			edits = append(edits, oneCandidate(t, base, link)...)
		}
		if t.Is("use") && opt.symbol != nil {
			edits = append(edits, symbols.use(t, base, pageURL, opt.symbol)...)
		}
		if t.Is("body") && body == len(src) {
			body = t.End
		}
		if !opt.scripts {
			still.Tag(t, func(start, end int, text string) { edits = append(edits, edit{start, end, text}) })
			if t.Is("head") && shownAt < 0 {
				shownAt = t.End
			}
		}
		return true
	}, func(p markup.Place) bool {
		if p.Kind == markup.BaseHref {
			return true // stripHTML drops the element
		}
		if text, ok := relink(base, p, link); ok {
			edits = append(edits, edit{p.Start, p.End, html.EscapeString(text)})
		}
		return true
	})
	if still.Flicker && shownAt >= 0 {
		edits = append(edits, edit{shownAt, shownAt, markup.Shown}) // behind the meta elements put there
	}
	if len(symbols.added) > 0 {
		edits = append(edits, edit{body, body, `<svg style="position:absolute;width:0;height:0" aria-hidden="true">` + string(symbols.added) + `</svg>`})
	}
	return applyEdits(src, edits)
}

// Bounds of what is taken in from SVG files.
const (
	maxSymbols     = 64
	maxSymbolBytes = 256 << 10
)

// symbolTable holds the symbols that a page takes in.
type symbolTable struct {
	added []byte
	local map[string]string // by URL with fragment
}

func (s *symbolTable) use(t *markup.Tag, base, pageURL string, symbol func(abs, id string) ([]byte, string)) []edit {
	a, ok := t.Find("href")
	if !ok {
		if a, ok = t.Find("xlink:href"); !ok {
			return nil
		}
	}
	file, id, ok := strings.Cut(t.Value(a), "#")
	if !ok || file == "" || id == "" {
		return nil
	}
	silent := []edit{{a.NameStart, a.NameStart, markup.Kept}}
	abs, ok := markup.Resolve(base, file)
	if !ok || !markup.SameOrigin(abs, pageURL) { // no browser shows it
		return silent
	}
	local, done := s.local[abs+"#"+id]
	if !done && len(s.local) < maxSymbols {
		element, newID := symbol(abs, id)
		if element != nil && len(s.added)+len(element) <= maxSymbolBytes {
			s.added, local = append(s.added, element...), newID
		}
		if s.local == nil {
			s.local = map[string]string{}
		}
		s.local[abs+"#"+id] = local
	}
	if local == "" {
		return silent
	}
	return []edit{{a.Start, a.End, "#" + local}}
}

// enough is the width in pixels that a picture of a single file needs not exceed.
const enough = 1024

// oneCandidate keeps of each srcset the candidate that fits best what most readers see: the narrowest of enough width, else
// the widest; of densities the lowest from 1 on. What was not saved is passed over.
func oneCandidate(t *markup.Tag, base string, link linker) (edits []edit) {
	for _, name := range []string{"srcset", "data-srcset", "data-lazy-srcset", "data-original-set"} {
		a, ok := t.Find(name)
		if !ok {
			continue
		}
		best, bestText, bestCost := "", "", 0.0
		markup.Srcset(t.Value(a), func(u string, _, _ int, descriptor string) bool {
			text, ok := relink(base, markup.Place{URL: u, Kind: markup.Image, Element: "img", Attr: "srcset"}, link)
			if !ok && strings.HasPrefix(u, "data:") {
				text, ok = u, true
			}
			if !ok || strings.HasPrefix(text, "about:") {
				return true
			}
			n, cost := 1.0, 0.0
			if d := strings.TrimSpace(descriptor); d != "" {
				n, _ = strconv.ParseFloat(strings.TrimRight(d, "wxh"), 64)
				if strings.HasSuffix(d, "w") {
					n /= enough
				}
			}
			if cost = n; n < 1 {
				cost = 1e6 - n
			}
			if best == "" || cost < bestCost {
				best, bestText, bestCost = u, strings.TrimSpace(text+" "+descriptor), cost
			}
			return true
		})
		edits = append(edits, edit{a.Start, a.End, html.EscapeString(bestText)})
	}
	return edits
}

// within restores the document in an iframe's srcdoc attribute as it does the page, and shuts it in. Where that cannot be said
// in the attribute, it goes.
func within(src []byte, t *markup.Tag, base string, link linker, opt rewriteOptions) []edit {
	a, ok := t.Find("srcdoc")
	if !ok {
		return nil
	}
	if q := src[a.Start-1]; q != '"' && q != '\'' {
		return []edit{{a.NameStart, a.End, ""}}
	} else if opt.depth > 1 {
		return []edit{{a.NameStart, a.End + 1, ""}}
	}
	inner := rewriteHTML([]byte(html.UnescapeString(string(src[a.Start:a.End]))), base, link, rewriteOptions{single: opt.single, depth: opt.depth + 1})
	return []edit{{t.NameEnd, t.NameEnd, ` sandbox=""`}, {a.Start, a.End, html.EscapeString(string(inner))}}
}

// rewriteCSS does the same for a style sheet.
func rewriteCSS(src []byte, sheetURL string, link linker) []byte {
	var edits []edit
	markup.CSS(src, func(p markup.Place) bool {
		if text, ok := relink(sheetURL, p, link); ok {
			edits = append(edits, edit{p.Start, p.End, text})
		}
		return true
	})
	return applyEdits(src, edits)
}

func relink(base string, p markup.Place, link linker) (string, bool) {
	if strings.HasPrefix(p.URL, "#") {
		return "", false
	}
	abs, ok := markup.Resolve(base, p.URL)
	if !ok {
		return "", false
	}
	fragment := ""
	if i := strings.IndexByte(p.URL, '#'); i >= 0 {
		fragment = safeURLText(p.URL[i:])
	}
	return link(abs, fragment, p)
}

// safeURLText percent-encodes what would end an unquoted attribute, a CSS url() or a srcset candidate.
func safeURLText(s string) string {
	if strings.IndexFunc(s, unsafeInURL) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; unsafeInURL(rune(c)) && c < 0x80 {
			b.WriteString("%" + strings.ToUpper(hexByte(c)))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func hexByte(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

func unsafeInURL(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("\"'<>`()\\", r)
}

// relativeLink returns the link from one file of a tree to another, every octet that means something in HTML, CSS, srcset
// or a URL percent-encoded.
func relativeLink(from, to string) string {
	fs := strings.Split(path.Dir(from), "/")
	ts := strings.Split(to, "/")
	if fs[0] == "." {
		fs = nil
	}
	for len(fs) > 0 && len(ts) > 1 && fs[0] == ts[0] {
		fs, ts = fs[1:], ts[1:]
	}
	var b strings.Builder
	for range fs {
		b.WriteString("../")
	}
	for i, t := range ts {
		if i > 0 {
			b.WriteByte('/')
		}
		for j := 0; j < len(t); j++ {
			switch c := t[j]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
				b.WriteByte(c)
			default:
				b.WriteString("%" + strings.ToUpper(hexByte(c)))
			}
		}
	}
	return b.String()
}

// stripHTML finds what a restored page must not keep: scripts and their attributes, base, policies and integrity values
// that rewriting breaks, hints that reach out, refreshes; noscript is unwrapped, for no script runs. Where the page loads
// pictures by script, the address it keeps in an attribute of its own is put in place.
func stripHTML(src []byte, opt rewriteOptions) []edit {
	var edits []edit
	z := xhtml.NewTokenizer(bytes.NewReader(src))
	z.SetMaxBuf(0)
	at := 0
	script := -1 // start of the script element that is open
	inserted := opt.charset == "" && opt.policy == ""
	insert := func(offset int) {
		if inserted {
			return
		}
		inserted = true
		text := ""
		if opt.charset != "" {
			text += `<meta charset="` + html.EscapeString(opt.charset) + `">`
		}
		if opt.policy != "" {
			text += `<meta http-equiv="Content-Security-Policy" content="` + html.EscapeString(opt.policy) + `">`
		}
		edits = append(edits, edit{offset, offset, text})
	}
	doctype := 0
	for {
		tt := z.Next()
		raw := z.Raw()
		start, end := at, at+len(raw)
		at = end
		if tt == xhtml.ErrorToken {
			break
		}
		switch tt {
		case xhtml.DoctypeToken:
			doctype = end
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			name, _ := z.TagName()
			tag := string(name)
			switch {
			case tag == "head":
				insert(end)
			case tag == "script" && !opt.scripts:
				if tt == xhtml.StartTagToken && script < 0 {
					script = start
				} else if tt == xhtml.SelfClosingTagToken {
					script = start
				}
				continue
			case tag == "base", tag == "noscript" && !opt.scripts:
				edits = append(edits, edit{start, end, ""})
				continue
			}
			edits = append(edits, stripTag(src, tag, start, end, opt)...)
		case xhtml.EndTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "script":
				if script >= 0 {
					edits = append(edits, edit{script, end, ""})
					script = -1
				}
			case "noscript":
				if !opt.scripts {
					edits = append(edits, edit{start, end, ""})
				}
			}
		}
	}
	if script >= 0 {
		edits = append(edits, edit{script, len(src), ""})
	}
	insert(doctype)
	if opt.comment != "" {
		edits = append(edits, edit{len(src), len(src), "\n<!-- " + strings.ReplaceAll(opt.comment, "--", "- -") + " -->\n"})
	}
	return edits
}

type attr struct {
	name       string // lower case
	value      string // unescaped
	start, end int    // of the whole attribute, from the blank before it
	nameStart  int
	nameEnd    int
}

// tagAttrs lists the attributes of the tag src[start:end].
func tagAttrs(src []byte, start, end int) []attr {
	var attrs []attr
	i := start + 1
	for i < end && !isSpace(src[i]) && src[i] != '/' && src[i] != '>' {
		i++
	}
	for i < end {
		from := i
		for i < end && (isSpace(src[i]) || src[i] == '/') {
			i++
		}
		if i >= end || src[i] == '>' {
			break
		}
		a := attr{start: from, nameStart: i}
		i++ // a name may begin with "="
		for i < end && !isSpace(src[i]) && src[i] != '/' && src[i] != '>' && src[i] != '=' {
			i++
		}
		a.nameEnd = i
		a.name = strings.ToLower(string(src[a.nameStart:i]))
		j := i
		for j < end && isSpace(src[j]) {
			j++
		}
		if j < end && src[j] == '=' {
			j++
			for j < end && isSpace(src[j]) {
				j++
			}
			vs := j
			if j < end && (src[j] == '"' || src[j] == '\'') {
				q := src[j]
				vs++
				j++
				for j < end && src[j] != q {
					j++
				}
				a.value = string(src[vs:j])
				if j < end {
					j++
				}
			} else {
				for j < end && !isSpace(src[j]) && src[j] != '>' {
					j++
				}
				a.value = string(src[vs:j])
			}
			i = j
		}
		a.value = html.UnescapeString(a.value)
		a.end = i
		attrs = append(attrs, a)
	}
	return attrs
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func stripTag(src []byte, tag string, start, end int, opt rewriteOptions) []edit {
	attrs := tagAttrs(src, start, end)
	var edits []edit
	get := func(name string) (string, bool) {
		for _, a := range attrs {
			if a.name == name {
				return a.value, true
			}
		}
		return "", false
	}
	switch tag {
	case "meta":
		v, _ := get("http-equiv")
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "content-security-policy", "content-security-policy-report-only", "x-dns-prefetch-control", "set-cookie":
			return []edit{{start, end, ""}}
		case "refresh":
			if !opt.scripts {
				return []edit{{start, end, ""}}
			}
		}
	case "link":
		v, _ := get("rel")
		for _, rel := range strings.Fields(strings.ToLower(v)) {
			switch rel {
			case "preload":
				if on, _ := get("onload"); !opt.scripts && strings.Contains(on, "stylesheet") {
					continue // markup.Still makes it one
				}
				return []edit{{start, end, ""}}
			case "preconnect", "dns-prefetch", "prefetch", "prerender":
				if len(strings.Fields(v)) > 1 && strings.Contains(strings.ToLower(v), "stylesheet") {
					continue
				}
				return []edit{{start, end, ""}}
			case "modulepreload":
				return []edit{{start, end, ""}}
			case "manifest":
				if !opt.scripts {
					return []edit{{start, end, ""}}
				}
			}
		}
	}
	for _, a := range attrs {
		drop := false
		switch a.name {
		case "integrity", "nonce", "crossorigin", "ping":
			drop = true
		case "http-equiv":
		case "href", "action", "formaction", "xlink:href", "data", "to", "from", "values":
			drop = !opt.scripts && scriptURL(a.value)
		default:
			drop = !opt.scripts && len(a.name) > 2 && strings.HasPrefix(a.name, "on")
		}
		if !drop && a.name == "src" && tag != "img" && !opt.scripts && scriptURL(a.value) {
			drop = true
		}
		if drop {
			edits = append(edits, edit{a.start, a.end, ""})
		}
	}
	return edits
}

// scriptURL reports whether a URL runs code when followed.
func scriptURL(v string) bool {
	v = strings.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return r
	}, v)
	v = strings.ToLower(cut(v, 40))
	return strings.HasPrefix(v, "javascript:") || strings.HasPrefix(v, "vbscript:") || strings.HasPrefix(v, "data:text/html") ||
		strings.HasPrefix(v, "data:application/xhtml") || strings.HasPrefix(v, "data:image/svg")
}
