package content

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// walker goes through the tree once and gathers all that is read before the extractor changes it.
type walker struct {
	text   strings.Builder // visible
	hidden strings.Builder
	links  []Link
	prune  []*html.Node // outermost elements that are not shown
	rules  *sheet

	metas     []*html.Node
	h1        []string
	title     string
	jsonLD    []string
	state     []string // JSON of application/json scripts and state assignments
	times     []string
	byline    string
	lang      string
	amp       bool
	shell     bool // an empty element where scripts mount an application
	forms     int
	passwords int
	elements  int
	scripts   int

	space, line   bool
	hspace, hline bool
	link          int // index+1 of the open link
}

func walk(doc *html.Node, src []byte) *walker {
	w := &walker{}
	if bytes.Contains(src, []byte("<style")) || bytes.Contains(src, []byte("<STYLE")) {
		w.rules = styles(doc)
	}
	for c := doc.FirstChild; c != nil; c = c.NextSibling {
		w.node(c, false)
	}
	return w
}

func get(n *html.Node, name string) string {
	for i := range n.Attr {
		if n.Attr[i].Key == name {
			return n.Attr[i].Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for i := range n.Attr {
		if n.Attr[i].Key == name {
			return true
		}
	}
	return false
}

// node visits n and what is below it; x/net bounds the depth to 512.
func (w *walker) node(n *html.Node, hidden bool) {
	switch n.Type {
	case html.TextNode:
		if hidden {
			if w.hidden.Len() < maxHidden {
				write(&w.hidden, n.Data, &w.hspace, &w.hline)
			}
			return
		}
		start := w.text.Len()
		write(&w.text, n.Data, &w.space, &w.line)
		if w.link > 0 && w.text.Len() > start {
			l := &w.links[w.link-1]
			if len(l.Text) < 1000 {
				s := strings.TrimSpace(w.text.String()[start:])
				if l.Text == "" {
					l.Text = s
				} else {
					l.Text += " " + s
				}
			}
		}
		return
	case html.ElementNode:
	default:
		return
	}
	w.elements++
	if n.Namespace == "svg" {
		return
	}
	switch n.DataAtom {
	case atom.Html:
		w.lang = get(n, "lang")
		if w.lang == "" {
			w.lang = get(n, "xml:lang")
		}
		w.amp = has(n, "amp") || has(n, "⚡")
	case atom.Head:
		w.head(n)
		return
	case atom.Script:
		w.script(n)
		return
	case atom.Template:
		w.prune = append(w.prune, n) // the extractor would take it for text
		return
	case atom.Style, atom.Noscript, atom.Iframe, atom.Object, atom.Audio, atom.Video, atom.Canvas, atom.Datalist,
		atom.Option, atom.Link, atom.Noembed, atom.Noframes:
		return
	case atom.Meta:
		w.metas = append(w.metas, n)
		return
	case atom.Title:
		if w.title == "" {
			w.title = strings.Join(strings.Fields(textOf(n)), " ")
		}
		return
	case atom.Br:
		w.line, w.hline = true, true
		return
	case atom.Form:
		w.forms++
	case atom.Input:
		if strings.EqualFold(get(n, "type"), "password") {
			w.passwords++
		}
		return
	}
	if !hidden && w.invisible(n) {
		hidden = true
		w.prune = append(w.prune, n)
	}
	block := n.DataAtom != 0 && blockAtom(n.DataAtom)
	if block {
		w.line, w.hline = true, true
	}
	switch n.DataAtom {
	case atom.A, atom.Area:
		if href := get(n, "href"); href != "" && !hidden && len(w.links) < maxLinks {
			outer := w.link
			w.links = append(w.links, Link{URL: href, Rel: strings.ToLower(get(n, "rel")), Block: -1, at: w.text.Len()})
			w.link = len(w.links)
			w.children(n, hidden)
			w.link = outer
			w.authorOf(n)
			return
		}
	case atom.H1:
		start := w.text.Len()
		w.children(n, hidden)
		w.line = true
		if !hidden && len(w.h1) < 20 {
			if t := strings.Join(strings.Fields(w.text.String()[start:]), " "); t != "" {
				w.h1 = append(w.h1, t)
			}
		}
		return
	case atom.Time:
		if t := get(n, "datetime"); t != "" && len(w.times) < 20 {
			w.times = append(w.times, t)
		}
	case atom.Div:
		if n.FirstChild == nil {
			switch get(n, "id") {
			case "root", "app", "__next", "__nuxt", "react-root", "main-app", "svelte":
				w.shell = true
			}
		}
	}
	w.children(n, hidden)
	w.authorOf(n)
	if block {
		w.line, w.hline = true, true
	}
	if n.DataAtom == atom.Td || n.DataAtom == atom.Th {
		w.space = true
	}
}

func (w *walker) children(n *html.Node, hidden bool) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.node(c, hidden)
	}
}

func (w *walker) authorOf(n *html.Node) {
	if w.byline != "" {
		return
	}
	for _, a := range n.Attr {
		if a.Key == "itemprop" && a.Val == "author" || a.Key == "rel" && a.Val == "author" {
			if t := strings.Join(strings.Fields(textOf(n)), " "); len(t) < 200 {
				w.byline = t
			}
			return
		}
	}
}

func (w *walker) head(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode {
			w.node(c, false)
		}
	}
}

func (w *walker) script(n *html.Node) {
	w.scripts++
	if n.FirstChild == nil {
		return
	}
	text := n.FirstChild.Data
	typ := strings.ToLower(get(n, "type"))
	switch {
	case strings.Contains(typ, "ld+json"):
		if len(text) < 2<<20 && len(w.jsonLD) < 64 {
			w.jsonLD = append(w.jsonLD, text)
		}
	case typ == "application/json", typ == "" && (strings.Contains(text[:min(len(text), 200)], "__INITIAL_STATE__") ||
		strings.Contains(text[:min(len(text), 200)], "__PRELOADED_STATE__") || strings.Contains(text[:min(len(text), 200)], "__NUXT__") ||
		strings.Contains(text[:min(len(text), 200)], "__next_f") || strings.Contains(text[:min(len(text), 200)], "__APOLLO_STATE__")):
		if len(text) < 4<<20 && len(w.state) < 64 {
			w.state = append(w.state, text)
		}
	}
}

// write appends text with white space collapsed; line asks for a line break first, space for a space.
func write(b *strings.Builder, text string, space, line *bool) {
	if b.Len() > maxText+1<<20 {
		return
	}
	for i := 0; i < len(text); {
		c := text[i]
		if c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' {
			*space = true
			i++
			continue
		}
		if c == 0xC2 && i+1 < len(text) && text[i+1] == 0xA0 {
			*space = true
			i += 2
			continue
		}
		j := i + 1
		for j < len(text) {
			c := text[j]
			if c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == 0xC2 && j+1 < len(text) && text[j+1] == 0xA0 {
				break
			}
			j++
		}
		if b.Len() > 0 {
			if *line {
				b.WriteByte('\n')
			} else if *space {
				b.WriteByte(' ')
			}
		}
		*line, *space = false, false
		b.WriteString(text[i:j])
		i = j
	}
}

func textOf(n *html.Node) string {
	if n.FirstChild != nil && n.FirstChild == n.LastChild && n.FirstChild.Type == html.TextNode {
		return n.FirstChild.Data
	}
	var b strings.Builder
	var rec func(*html.Node)
	rec = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
			return
		}
		if n.DataAtom == atom.Script || n.DataAtom == atom.Style {
			return
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			rec(c)
		}
		if blockAtom(n.DataAtom) || n.DataAtom == atom.Br {
			b.WriteByte(' ')
		}
	}
	rec(n)
	return b.String()
}

func blockElement(name string) bool {
	a := atom.Lookup([]byte(name))
	return a != 0 && (blockAtom(a) || a == atom.Br)
}

func blockAtom(a atom.Atom) bool {
	switch a {
	case atom.P, atom.Div, atom.Section, atom.Article, atom.Aside, atom.Header, atom.Footer, atom.Main, atom.Nav, atom.H1,
		atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Li, atom.Dl, atom.Dt, atom.Dd, atom.Blockquote,
		atom.Pre, atom.Table, atom.Tr, atom.Figure, atom.Figcaption, atom.Form, atom.Fieldset, atom.Address, atom.Hr,
		atom.Details, atom.Summary, atom.Body, atom.Center, atom.Dialog, atom.Caption, atom.Hgroup, atom.Tbody, atom.Thead, atom.Tfoot:
		return true
	}
	return false
}

// invisible reports whether the element and all below it are not shown.
func (w *walker) invisible(n *html.Node) bool {
	if n.DataAtom == atom.Html || n.DataAtom == atom.Body {
		return false // hidden until scripts have run: anti-flicker, AMP
	}
	display, visibility := 0, 0 // 1 shown, 2 not
	for i := range n.Attr {
		a := &n.Attr[i]
		switch a.Key {
		case "hidden":
			if a.Val != "until-found" {
				display = 2
			}
		case "aria-hidden":
			if strings.EqualFold(strings.TrimSpace(a.Val), "true") && blockAtom(n.DataAtom) {
				return true
			}
		}
	}
	if n.DataAtom == atom.Dialog && !has(n, "open") {
		return true
	}
	if w.rules != nil {
		d, v := w.rules.lookup(n)
		if d != 0 {
			display = d
		}
		if v != 0 {
			visibility = v
		}
	}
	if style := get(n, "style"); style != "" {
		d, v, away := declarations(style)
		if away {
			return true
		}
		if d != 0 {
			display = d
		}
		if v != 0 {
			visibility = v
		}
	}
	return display == 2 || visibility == 2
}

// declarations reads what a declaration list says of display (1 shown, 2 none) and visibility, and whether it puts text
// where nobody sees it.
func declarations(style string) (display, visibility int, away bool) {
	if len(style) > 1<<14 {
		return 0, 0, false
	}
	absolute, outside := false, false
	for style != "" {
		var decl string
		decl, style, _ = strings.Cut(style, ";")
		name, value, ok := strings.Cut(decl, ":")
		if !ok {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		switch name {
		case "display", "visibility", "font-size", "position", "left", "top", "text-indent":
		default:
			continue
		}
		value = strings.ToLower(strings.TrimSpace(value))
		value = strings.TrimSpace(strings.TrimSuffix(value, "!important"))
		switch name {
		case "display":
			if value == "none" {
				display = 2
			} else {
				display = 1
			}
		case "visibility":
			if value == "hidden" || value == "collapse" {
				visibility = 2
			} else {
				visibility = 1
			}
		case "font-size":
			switch value {
			case "0", "0px", "0em", "0pt", "0%", "0rem":
				away = true
			}
		case "position":
			absolute = value == "absolute" || value == "fixed"
		case "left", "top", "text-indent":
			if strings.HasPrefix(value, "-") && len(strings.TrimRight(value[1:], "pxemrt%")) >= 4 {
				outside = true
				if name == "text-indent" {
					away = true
				}
			}
		}
	}
	return display, visibility, away || absolute && outside
}

// sheet holds the simple rules of the document's style elements that speak of display or visibility.
type sheet struct {
	byClass, byID, byTag map[string][]rule
}

type rule struct {
	tag, id             string
	classes             []string
	display, visibility int
	weight              int // specificity, then order
}

const (
	maxSheet = 512 << 10
	maxRules = 4000
)

func styles(doc *html.Node) *sheet {
	var text strings.Builder
	var find func(*html.Node)
	find = func(n *html.Node) {
		if n.DataAtom == atom.Style && n.FirstChild != nil {
			media := strings.ToLower(get(n, "media"))
			if (media == "" || strings.Contains(media, "screen") || media == "all") && !has(n, "amp-boilerplate") && text.Len() < maxSheet {
				text.WriteString(n.FirstChild.Data)
				text.WriteByte('\n')
			}
			return
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			find(c)
		}
	}
	find(doc)
	css := text.String()
	if len(css) > maxSheet {
		css = css[:maxSheet]
	}
	if !strings.Contains(css, "none") && !strings.Contains(css, "hidden") {
		return nil
	}
	s := &sheet{map[string][]rule{}, map[string][]rule{}, map[string][]rule{}}
	order := 0
	for len(css) > 0 && order < maxRules {
		open := strings.IndexByte(css, '{')
		if open < 0 {
			break
		}
		prelude := stripComments(css[:open])
		if i := strings.LastIndexByte(prelude, ';'); i >= 0 { // @import, @charset
			prelude = prelude[i+1:]
		}
		prelude = strings.TrimSpace(prelude)
		if strings.HasPrefix(prelude, "@") {
			css = css[blockLength(css, open):]
			continue
		}
		end := strings.IndexByte(css[open:], '}')
		if end < 0 {
			break
		}
		body := css[open+1 : open+end]
		css = css[open+end+1:]
		if !strings.Contains(body, "display") && !strings.Contains(body, "visibility") {
			continue
		}
		d, v, _ := declarations(stripComments(body))
		if d == 0 && v == 0 {
			continue
		}
		for _, sel := range strings.Split(prelude, ",") {
			if r, ok := simpleSelector(strings.TrimSpace(sel)); ok {
				order++
				r.display, r.visibility = d, v
				r.weight += order
				s.add(r)
			}
		}
	}
	return s
}

func blockLength(css string, open int) int {
	depth := 0
	for i := open; i < len(css); i++ {
		switch css[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(css)
}

func stripComments(s string) string {
	for {
		i := strings.Index(s, "/*")
		if i < 0 {
			return s
		}
		j := strings.Index(s[i+2:], "*/")
		if j < 0 {
			return s[:i]
		}
		s = s[:i] + " " + s[i+2+j+2:]
	}
}

// simpleSelector reads "tag", ".class", "#id" and their compounds; selectors with combinators, attributes or
// pseudo-classes are left to browsers.
func simpleSelector(sel string) (r rule, ok bool) {
	if sel == "" || len(sel) > 200 || strings.ContainsAny(sel, " >+~:[]*()\\\"'\t\n") {
		return r, false
	}
	i := strings.IndexAny(sel, ".#")
	if i < 0 {
		i = len(sel)
	}
	r.tag = strings.ToLower(sel[:i])
	if r.tag != "" {
		r.weight += 1 << 16
	}
	for sel = sel[i:]; sel != ""; {
		j := strings.IndexAny(sel[1:], ".#") + 1
		if j == 0 {
			j = len(sel)
		}
		name := sel[1:j]
		if name == "" {
			return r, false
		}
		if sel[0] == '#' {
			if r.id != "" {
				return r, false
			}
			r.id = name
			r.weight += 1 << 28
		} else {
			r.classes = append(r.classes, name)
			r.weight += 1 << 20
		}
		sel = sel[j:]
	}
	return r, r.tag != "html" && r.tag != "body"
}

func (s *sheet) add(r rule) {
	switch {
	case r.id != "":
		s.byID[r.id] = append(s.byID[r.id], r)
	case len(r.classes) > 0:
		s.byClass[r.classes[0]] = append(s.byClass[r.classes[0]], r)
	default:
		s.byTag[r.tag] = append(s.byTag[r.tag], r)
	}
}

func (s *sheet) lookup(n *html.Node) (display, visibility int) {
	dw, vw := 0, 0
	class := get(n, "class")
	try := func(rules []rule) {
		for _, r := range rules {
			if r.tag != "" && r.tag != n.Data || r.id != "" && r.id != get(n, "id") {
				continue
			}
			match := true
			for _, c := range r.classes {
				match = match && hasClass(class, c)
			}
			if !match {
				continue
			}
			if r.display != 0 && r.weight > dw {
				display, dw = r.display, r.weight
			}
			if r.visibility != 0 && r.weight > vw {
				visibility, vw = r.visibility, r.weight
			}
		}
	}
	if len(s.byTag) > 0 {
		try(s.byTag[n.Data])
	}
	if id := get(n, "id"); id != "" && len(s.byID) > 0 {
		try(s.byID[id])
	}
	if class != "" && len(s.byClass) > 0 {
		for i := 0; i < len(class); {
			for i < len(class) && class[i] <= ' ' {
				i++
			}
			j := i
			for j < len(class) && class[j] > ' ' {
				j++
			}
			if j > i {
				try(s.byClass[class[i:j]])
			}
			i = j
		}
	}
	return display, visibility
}

func hasClass(list, class string) bool {
	for {
		i := strings.Index(list, class)
		if i < 0 {
			return false
		}
		end := i + len(class)
		if (i == 0 || list[i-1] <= ' ') && (end == len(list) || list[end] <= ' ') {
			return true
		}
		list = list[end:]
	}
}
