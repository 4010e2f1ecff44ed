package content

import (
	"encoding/json"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"mirrorwatch/crawler/markup"
)

// Words that, whole in an element's class or id, mark what is not the article's text.
var boilerplate = set(`comment comments share sharing social related recommended recommendation promo sidebar footer nav menu newsletter
	subscribe subscription cookie cookies banner advert advertisement ad ads sponsor sponsored breadcrumb breadcrumbs byline author tag tags meta
	caption credit credits popular trending widget modal outbrain taboola`)

// Words that keep such an element.
var keeper = set(`article body content entry main post story text`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// filter takes what readability leaves in and no reader would call the article out of its result.
func filter(root *html.Node) {
	goquery.NewDocumentFromNode(root).Find("figure, figcaption, time, aside").Remove()
	whole, _ := measure(root, false)
	var drop []*html.Node
	var visit func(n *html.Node)
	visit = func(n *html.Node) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if c.Type != html.ElementNode {
				continue
			}
			// A container of half the text is the article, whatever it is called.
			if marked(c) && !holds(c, whole/2) || linky(c) {
				drop = append(drop, c)
				continue
			}
			visit(c)
		}
	}
	visit(root)
	for _, n := range drop {
		n.Parent.RemoveChild(n)
	}
}

// holds reports whether n has at least so many octets of text.
func holds(n *html.Node, octets int) bool {
	all, _ := measure(n, false)
	return all > octets
}

func marked(n *html.Node) bool {
	names := get(n, "class") + " " + get(n, "id")
	if len(names) == 1 {
		return false
	}
	names = strings.ToLower(names)
	bad, good := false, false
	for i := 0; i < len(names); {
		for i < len(names) && !('a' <= names[i] && names[i] <= 'z') {
			i++
		}
		j := i
		for j < len(names) && 'a' <= names[j] && names[j] <= 'z' {
			j++
		}
		bad = bad || boilerplate[names[i:j]]
		good = good || keeper[names[i:j]]
		i = j
	}
	return bad && !good
}

// linky reports whether a text container is mostly links.
func linky(n *html.Node) bool {
	switch n.DataAtom {
	case atom.P, atom.Ul, atom.Ol, atom.Div, atom.Section:
	default:
		return false
	}
	all, linked := measure(n, false)
	return linked > 0 && float64(linked) > 0.6*float64(all)
}

// measure counts octets of text that are not white space, and those inside links.
func measure(n *html.Node, link bool) (all, linked int) {
	if n.Type == html.TextNode {
		for i := 0; i < len(n.Data); i++ {
			if n.Data[i] > ' ' {
				all++
			}
		}
		if link {
			linked = all
		}
		return
	}
	link = link || n.DataAtom == atom.A
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		a, l := measure(c, link)
		all, linked = all+a, linked+l
	}
	return
}

// holders numbers the block elements of a tree: up[n] is the number of the one around n.
type holders struct {
	of map[*html.Node]int32
	up []int32
}

func (h *holders) add(n *html.Node, around int32) int32 {
	h.of[n] = int32(len(h.up))
	h.up = append(h.up, around)
	return h.of[n]
}

// blocksOf cuts the tree into blocks and returns the links in them.
func blocksOf(root *html.Node, base string) (blocks []Block, links []Link, held *holders) {
	var b strings.Builder
	linked, heading, quote := 0, false, 0
	space, line := false, false
	link := -1
	held = &holders{of: map[*html.Node]int32{}}
	in := held.add(root, -1)
	flush := func() {
		if b.Len() > 0 {
			t := b.String()
			blocks = append(blocks, Block{Text: t, LinkDensity: float64(linked) / float64(len(t)), Heading: heading, Quote: quote > 0, Holder: in})
		}
		b.Reset()
		linked, space, line = 0, false, false
	}
	var visit func(n *html.Node)
	visit = func(n *html.Node) {
		switch n.Type {
		case html.TextNode:
			start := b.Len()
			write(&b, n.Data, &space, &line)
			if link >= 0 && b.Len() > start {
				t := strings.TrimSpace(b.String()[start:])
				linked += len(t)
				l := &links[link]
				if l.Text != "" {
					l.Text += " "
				}
				l.Text += t
				l.Block = len(blocks)
			}
			return
		case html.ElementNode:
		default:
			return
		}
		switch n.DataAtom {
		case atom.Script, atom.Style, atom.Noscript:
			return
		case atom.Br:
			space = true
			return
		case atom.Td, atom.Th:
			space = true
		}
		block := blockAtom(n.DataAtom)
		around := in
		if block {
			flush()
			in = held.add(n, in)
		}
		was := heading
		switch n.DataAtom {
		case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
			heading = true
		case atom.Blockquote:
			quote++
		case atom.A:
			if u, ok := markup.Resolve(base, strings.TrimSpace(get(n, "href"))); ok {
				links = append(links, Link{URL: u, Block: len(blocks)})
				outer := link
				link = len(links) - 1
				defer func() { link = outer }()
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			visit(c)
		}
		if block {
			flush()
			in = around
		}
		heading = was
		if n.DataAtom == atom.Blockquote {
			quote--
		}
	}
	visit(root)
	flush()
	return blocks, links, held
}

// bodyImages gathers the pictures of the article's body. What it returns sets their holders once the blocks are known: by then the
// filter has taken figures out of the tree.
func (p *Page) bodyImages(node *html.Node, base string) (place func(*holders)) {
	seen := map[string]bool{}
	var around [][]*html.Node
	goquery.NewDocumentFromNode(node).Find("img, amp-img").EachWithBreak(func(_ int, s *goquery.Selection) bool {
		n := s.Get(0)
		for _, name := range []string{"data-src", "data-original", "data-lazy-src", "src"} {
			v := strings.TrimSpace(get(n, name))
			if v == "" || strings.HasPrefix(v, "data:") {
				continue
			}
			if u, ok := markup.Resolve(base, v); ok && !seen[u] {
				seen[u] = true
				p.Images = append(p.Images, Image{URL: u, Alt: strings.TrimSpace(get(n, "alt")), Holder: -1})
				var up []*html.Node
				for a := n.Parent; a != nil && len(up) < 64; a = a.Parent {
					up = append(up, a)
				}
				around = append(around, up)
			}
			break
		}
		return len(p.Images) < 500
	})
	return func(h *holders) {
		for i := range around {
			for _, a := range around[i] {
				if k, ok := h.of[a]; ok {
					p.Images[i].Holder = k
					break
				}
			}
		}
	}
}

// stateText finds an article in the JSON that a script shell draws its page from: the longest run of prose under one
// object, paragraphs in order.
func stateText(states []string) []Block {
	var prose []string
	total := 0
	take := func(s string) {
		if total > 1<<20 || len(s) < 80 || strings.Count(s, " ") < 10 && Count(s) < 40 || strings.Contains(s, "function(") {
			return
		}
		if strings.Contains(s, "<p") || strings.Contains(s, "</") {
			n, err := html.Parse(strings.NewReader(s))
			if err != nil {
				return
			}
			blocks, _, _ := blocksOf(n, "")
			for _, b := range blocks {
				if Count(b.Text) > 3 {
					prose = append(prose, b.Text)
				}
			}
		} else if strings.ContainsAny(s, ".。।؟!?") && !strings.Contains(s, "://") {
			prose = append(prose, strings.Join(strings.Fields(s), " "))
		}
		total += len(s)
	}
	for _, s := range states {
		if i := strings.IndexByte(s, '{'); i > 0 && i < 400 {
			s = s[i:]
		}
		d := json.NewDecoder(strings.NewReader(s))
		for {
			t, err := d.Token()
			if err != nil {
				break
			}
			if str, ok := t.(string); ok {
				take(str)
			}
		}
	}
	seen := map[string]bool{}
	var blocks []Block
	words := 0
	for _, t := range prose {
		if !seen[t] {
			seen[t] = true
			blocks = append(blocks, Block{Text: t})
			words += Count(t)
		}
	}
	if words < 40 {
		return nil
	}
	return blocks
}
