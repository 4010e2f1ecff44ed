package content

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"codeberg.org/readeck/go-readability/v2"
	"golang.org/x/net/html"

	"mirrorwatch/crawler/markup"
)

// Bounds of one page.
const (
	maxPage     = 16 << 20 // octets read; the rest is left out and said in Problem
	maxElements = 150_000
	maxLinks    = 60_000
	maxHidden   = 256 << 10
	maxText     = 4 << 20 // octets given to normalisation and blocks
	maxDuration = 4 * time.Second
)

// Read reads a page whose text is UTF-8 already. It never returns nil and never panics, and ends within seconds whatever
// the input is; what it could not do stands in Page.Problem.
func Read(utf8text []byte, opt Options) (page *Page) {
	p := &Page{URL: opt.URL}
	defer func() {
		if recover() != nil {
			p.Problem = ProblemCrash
			page = p
		}
	}()
	if len(bytes.TrimSpace(utf8text)) == 0 {
		p.Problem, p.Thin = ProblemEmpty, true
		return p
	}
	src := utf8text
	if len(src) > maxPage {
		src, p.Problem = src[:maxPage], ProblemTooLarge
	}
	if !utf8.Valid(src) {
		src = bytes.ToValidUTF8(src, []byte("\uFFFD"))
	}
	switch mediaType(opt.ContentType) {
	case "", "text/html", "application/xhtml+xml", "application/xml", "text/xml":
	case "text/plain":
		p.plain(string(src))
		return p
	default:
		if !looksHTML(src) {
			p.Problem, p.Thin = ProblemNotHTML, true
			return p
		}
	}
	p.readHTML(src, opt)
	return p
}

func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

func looksHTML(src []byte) bool {
	head := bytes.ToLower(src[:min(len(src), 1024)])
	return bytes.Contains(head, []byte("<html")) || bytes.Contains(head, []byte("<!doctype html"))
}

func (p *Page) plain(text string) {
	var blocks []Block
	for _, para := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if t := strings.Join(strings.Fields(para), " "); t != "" {
			blocks = append(blocks, Block{Text: t})
		}
	}
	p.setBlocks(blocks, FromPlain)
	p.Visible = p.Text
	p.finish()
}

func (p *Page) setBlocks(blocks []Block, source string) {
	n := 0
	var b strings.Builder
	for i := range blocks {
		if b.Len() > maxText {
			blocks = blocks[:i]
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		blocks[i].Start = b.Len()
		b.WriteString(blocks[i].Text)
		blocks[i].End = b.Len()
		n++
	}
	p.Blocks, p.Text = blocks, b.String()
	p.Source = source
	if n == 0 {
		p.Source = ""
	}
	p.Words = Count(p.Text)
}

func (p *Page) finish() {
	p.VisibleWords = Count(p.Visible)
	p.Thin = p.VisibleWords < 300 && p.VisibleLinks < 15
	p.Noise = measureNoise(p.Text)
}

func (p *Page) readHTML(src []byte, opt Options) {
	base := opt.URL
	if b := markup.Base(src); b != "" {
		if u, ok := markup.Resolve(opt.URL, b); ok {
			base = u
		}
	}
	p.Markers = findMarkers(src)
	places := p.places(src, base)

	doc, err := html.Parse(bytes.NewReader(src))
	if err != nil {
		if p.Problem == "" {
			p.Problem = ProblemNesting
		}
		p.withoutTree(src, base)
		p.Announced = p.announced(opt, src, places)
		p.finish()
		return
	}
	w := walk(doc, src)
	p.Visible, p.Hidden = w.text.String(), w.hidden.String()
	p.Forms, p.PasswordFields, p.Elements = w.forms, w.passwords, w.elements
	p.AMP = w.amp
	p.links(w, base)
	p.readMeta(w, base, opt)
	p.finishLinks()
	p.Announced = p.announced(opt, src, places)
	for _, n := range w.prune {
		if n.Parent != nil {
			n.Parent.RemoveChild(n)
		}
	}
	limit := opt.MaxElements
	if limit == 0 {
		limit = maxElements
	}
	p.article(doc, w, base, limit)
	p.finish()
}

// places gathers the requisites and the few places that metadata needs.
func (p *Page) places(src []byte, base string) (special []markup.Place) {
	type key struct {
		raw  string
		kind markup.Kind
	}
	seen := map[key]bool{}
	urls := map[string]bool{}
	markup.HTML(src, func(pl markup.Place) bool {
		switch {
		case pl.Kind.Requisite():
			if k := (key{pl.URL, pl.Kind}); !seen[k] && len(seen) < maxLinks {
				seen[k] = true
				if u, ok := markup.Resolve(base, pl.URL); ok && !urls[u] {
					urls[u] = true
					p.Requisites = append(p.Requisites, Requisite{u, pl.Kind})
				}
			}
		case pl.Kind == markup.Refresh:
			if u, ok := markup.Resolve(base, pl.URL); ok && p.MetaRefresh == "" {
				p.MetaRefresh = u
			}
		case pl.Kind == markup.FeedLink:
			if u, ok := markup.Resolve(base, pl.URL); ok && len(p.Feeds) < 20 && !slices.Contains(p.Feeds, u) {
				p.Feeds = append(p.Feeds, u)
			}
		case pl.Kind == markup.Canonical, pl.Kind == markup.Alternate, pl.Kind == markup.Meta && (pl.Element == "meta" || pl.Rel == "url" || pl.Rel == "mainEntityOfPage" || pl.Rel == "@id"):
			if len(special) < 500 {
				special = append(special, pl)
			}
		}
		return true
	})
	return special
}

// withoutTree does what can be done from the tokens alone: title, visible text without regard to style, links.
func (p *Page) withoutTree(src []byte, base string) {
	z := html.NewTokenizer(bytes.NewReader(src))
	var text strings.Builder
	skip, title := "", false
	var link *Link
	for text.Len() < maxText {
		switch z.Next() {
		case html.ErrorToken:
			p.Visible = text.String()
			p.VisibleLinks = len(p.Links)
			return
		case html.TextToken:
			if skip != "" {
				continue
			}
			t := strings.Join(strings.Fields(string(z.Text())), " ")
			if t == "" {
				continue
			}
			if title {
				p.FullTitle, p.Title = t, t
				continue
			}
			if n := text.Len(); n > 0 && text.String()[n-1] != '\n' {
				text.WriteByte(' ')
			}
			text.WriteString(t)
			if link != nil {
				link.Text = strings.TrimSpace(link.Text + " " + t)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			n := string(name)
			switch {
			case n == "script" || n == "style" || n == "noscript" || n == "template":
				skip = n
			case n == "title" && p.Title == "":
				title = true
			case n == "a":
				link = nil
				for more {
					var k, v []byte
					k, v, more = z.TagAttr()
					if string(k) == "href" && len(p.Links) < maxLinks {
						if u, ok := markup.Resolve(base, string(v)); ok {
							p.Links = append(p.Links, Link{URL: u, Block: -1, at: text.Len()})
							link = &p.Links[len(p.Links)-1]
						}
						break
					}
				}
			case blockElement(n):
				if text.Len() > 0 {
					text.WriteByte('\n')
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			switch n := string(name); {
			case n == skip:
				skip = ""
			case n == "title":
				title = false
			case n == "a":
				link = nil
			case blockElement(n):
				if text.Len() > 0 {
					text.WriteByte('\n')
				}
			}
		}
	}
	p.Visible = text.String()
	p.VisibleLinks = len(p.Links)
}

// article fills Blocks, Text and Images.
func (p *Page) article(doc *html.Node, w *walker, base string, limit int) {
	if w.elements > limit || w.text.Len() > maxText {
		if p.Problem == "" {
			p.Problem = ProblemSize
		}
		p.body()
		return
	}
	node, problem := extract(doc)
	if problem != "" {
		p.Problem = problem
		p.body()
		return
	}
	if node != nil {
		place := p.bodyImages(node, base)
		filter(node)
		blocks, links, held := blocksOf(node, base)
		p.setBlocks(blocks, FromExtractor)
		p.Holders = held.up
		place(held)
		p.markLinks(links)
	}
	// A page that shows nearly nothing without its scripts may carry its text for them.
	if p.Words < 25 && Count(p.Visible) < 60 {
		var blocks []Block
		source := ""
		if Count(p.ArticleBody) >= 40 {
			blocks, source = paragraphs(p.ArticleBody), FromJSONLD
		} else if b := stateText(w.state); len(b) > 0 {
			blocks, source = b, FromState
		}
		if source != "" {
			p.setBlocks(blocks, source)
			p.Holders = nil
			return
		}
		if p.Problem == "" && w.scripts > 0 && p.Words < 10 && (len(w.state) > 0 || w.shell) {
			p.Problem = ProblemShell
		}
	}
	if p.Words == 0 && p.Problem == "" {
		p.Problem = ProblemNoText
	}
}

// body takes the whole visible text for want of an extraction.
func (p *Page) body() {
	p.setBlocks(paragraphs(p.Visible), FromBody)
}

func paragraphs(text string) (blocks []Block) {
	for _, line := range strings.Split(text, "\n") {
		if t := strings.Join(strings.Fields(line), " "); t != "" {
			blocks = append(blocks, Block{Text: t})
		}
	}
	return blocks
}

// extract runs readability on doc, which it may change, within maxDuration. A run that overstays is left to end by
// itself: its input is bounded and nobody else holds the tree any more.
func extract(doc *html.Node) (*html.Node, string) {
	type result struct {
		node    *html.Node
		problem string
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if recover() != nil {
				done <- result{problem: ProblemCrash}
			}
		}()
		parser := readability.NewParser()
		parser.KeepClasses = true
		parser.DisableJSONLD = true
		a, err := parser.ParseAndMutate(doc, nil)
		if err != nil {
			done <- result{}
			return
		}
		done <- result{node: a.Node}
	}()
	timer := time.NewTimer(maxDuration)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.node, r.problem
	case <-timer.C:
		return nil, ProblemTime
	}
}

func (p *Page) links(w *walker, base string) {
	resolved := map[string]string{}
	for _, l := range w.links {
		u, seen := resolved[l.URL]
		if !seen {
			u, _ = markup.Resolve(base, strings.TrimSpace(l.URL))
			resolved[l.URL] = u
		}
		if u == "" {
			continue
		}
		l.URL = u
		p.Links = append(p.Links, l)
	}
	p.VisibleLinks = len(p.Links)
}

func (p *Page) finishLinks() {
	for i := range p.Links {
		p.Links[i].Block = -1
	}
}

// markLinks sets Block of the links that stand in the article's blocks.
func (p *Page) markLinks(links []Link) {
	type key struct{ url, text string }
	at := map[key]int{}
	for _, l := range links {
		at[key{l.URL, l.Text}] = l.Block
	}
	for i, l := range p.Links {
		if b, ok := at[key{l.URL, l.Text}]; ok {
			p.Links[i].Block = b
		}
	}
}
