// Package perturb makes labelled pairs from real pages: a page, a change made to it on its tree, and what a judge should say. It is
// deterministic: the same page and seed give the same cases (classification.md 3.2). Only tests import it.
package perturb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Case is one changed page and its label.
type Case struct {
	Name  string
	HTML  []byte
	Want  string   // same, altered, truncated
	Kinds []string // one of these is among the changes; empty: any
}

// page is a parsed page with the paragraphs that belong to its article.
type page struct {
	root  *html.Node
	paras []*html.Node
}

// Cases gives one case of each row. inArticle says whether a paragraph's text belongs to the article, so that no change falls
// outside it; template is put around a transplanted body.
func Cases(src []byte, inArticle func(text string) bool, title string, seed uint64) []Case {
	var out []Case
	for n, row := range rows {
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		p := parse(src, inArticle)
		if p == nil || len(p.paras) < 5 {
			return nil
		}
		if !row.change(p, rng, title) {
			continue
		}
		var b bytes.Buffer
		if html.Render(&b, p.root) != nil {
			continue
		}
		out = append(out, Case{row.name, b.Bytes(), row.want, row.kinds})
	}
	return out
}

func parse(src []byte, inArticle func(string) bool) *page {
	root, err := html.Parse(bytes.NewReader(src))
	if err != nil {
		return nil
	}
	p := &page{root: root}
	for n := range root.Descendants() {
		if n.DataAtom == atom.P && n.Type == html.ElementNode && len(strings.Fields(textOf(n))) >= 12 && inArticle(textOf(n)) {
			p.paras = append(p.paras, n)
		}
	}
	return p
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func element(tag atom.Atom, text string) *html.Node {
	n := &html.Node{Type: html.ElementNode, DataAtom: tag, Data: tag.String()}
	n.AppendChild(&html.Node{Type: html.TextNode, Data: text})
	return n
}

type row struct {
	name, want string
	kinds      []string
	change     func(p *page, rng *rand.Rand, title string) bool
}

// edit changes the first text that f can change, beginning at a random paragraph.
func edit(f func(string, *rand.Rand) (string, bool)) func(*page, *rand.Rand, string) bool {
	return func(p *page, rng *rand.Rand, _ string) bool {
		from := rng.IntN(len(p.paras))
		for k := range p.paras {
			for c := range p.paras[(from+k)%len(p.paras)].ChildNodes() {
				if c.Type != html.TextNode || len(c.Data) < 60 {
					continue
				}
				if s, ok := f(c.Data, rng); ok {
					c.Data = s
					return true
				}
			}
		}
		return false
	}
}

func before(tag atom.Atom, text string) func(*page, *rand.Rand, string) bool {
	return func(p *page, rng *rand.Rand, _ string) bool {
		at := p.paras[1+rng.IntN(len(p.paras)-1)]
		at.Parent.InsertBefore(element(tag, text), at)
		return true
	}
}

var (
	number   = regexp.MustCompile(`\b\d{1,3}\b`)
	name     = regexp.MustCompile(`[a-z,] ([A-Z][a-z]{3,})\b`)
	verb     = regexp.MustCompile(` (is|was|are|were|will|has|had|have|can|could|would) `)
	word     = regexp.MustCompile(` ([a-z]{5,}) `)
	sentence = regexp.MustCompile(`[a-z]{2}\. ([A-Z][^.!?“”"]{40,200}[a-z]{2}\.)( |$)`)
)

func group(re *regexp.Regexp, to func(string, *rand.Rand) string) func(string, *rand.Rand) (string, bool) {
	return func(s string, rng *rand.Rand) (string, bool) {
		all := re.FindAllStringSubmatchIndex(s, -1)
		if len(all) == 0 {
			return "", false
		}
		m := all[rng.IntN(len(all))]
		return s[:m[2]] + to(s[m[2]:m[3]], rng) + s[m[3]:], true
	}
}

// cut takes away everything behind the given share of the article's paragraphs, up to the element that holds them all.
func cut(share float64) func(*page, *rand.Rand, string) bool {
	return func(p *page, _ *rand.Rand, _ string) bool {
		total, seen, gone := 0, 0, 0
		for _, n := range p.paras {
			total += len(textOf(n))
		}
		first := p.paras[0]
		holds := func(n *html.Node, what *html.Node) bool {
			for ; what != nil; what = what.Parent {
				if what == n {
					return true
				}
			}
			return false
		}
		for _, n := range p.paras {
			if float64(seen) < share*float64(total) {
				seen += len(textOf(n))
				continue
			}
			gone += len(textOf(n))
			for up := n; up.Parent != nil; up = up.Parent {
				for up.NextSibling != nil {
					up.Parent.RemoveChild(up.NextSibling)
				}
				if holds(up.Parent, first) {
					break
				}
			}
			if n.Parent != nil {
				n.Parent.RemoveChild(n)
			}
		}
		return float64(gone) > 0.12*float64(total)
	}
}

var rows = []row{
	{"same: nothing", "same", nil, func(*page, *rand.Rand, string) bool { return true }},
	{"same: counter", "same", nil, before(atom.P, "Updated 3 min ago")},
	{"same: views", "same", nil, before(atom.Div, "1,204 views")},
	{"same: newsletter", "same", nil, before(atom.P, "Sign up for our newsletter and get the best stories of the week in your inbox.")},
	{"same: address line", "same", nil, before(atom.P, "This website can also be accessed at the following alternate addresses: www.example.net")},
	{"same: share", "same", nil, before(atom.Div, "Share this article")},
	{"same: typography", "same", nil, func(p *page, _ *rand.Rand, _ string) bool {
		for _, n := range p.paras {
			for c := range n.ChildNodes() {
				if c.Type == html.TextNode {
					c.Data = strings.NewReplacer("\"", "”", "'", "’", " - ", " – ", "tion", "ti\u00adon", " of ", " of\u00a0").Replace(c.Data)
				}
			}
		}
		return true
	}},
	{"same: scripts", "same", nil, func(p *page, rng *rand.Rand, _ string) bool {
		for n := range p.root.Descendants() {
			if n.DataAtom == atom.Body {
				s := element(atom.Script, fmt.Sprintf("var nonce=%d;", rng.Uint64()))
				n.InsertBefore(s, n.FirstChild)
				return true
			}
		}
		return false
	}},
	{"same: comments", "same", nil, func(p *page, _ *rand.Rand, _ string) bool {
		for n := range p.root.Descendants() {
			if n.DataAtom == atom.Body {
				d := &html.Node{Type: html.ElementNode, DataAtom: atom.Div, Data: "div", Attr: []html.Attribute{{Key: "id", Val: "comments"}, {Key: "class", Val: "comments"}}}
				d.AppendChild(element(atom.P, "I have read this twice and still do not know what to think of it, but thank you for writing about the town at all."))
				d.AppendChild(element(atom.P, "Well said, neighbour. My uncle was there and he remembers it quite another way than the paper does."))
				n.AppendChild(d)
				return true
			}
		}
		return false
	}},
	{"number", "altered", []string{"number", "date"}, edit(func(s string, rng *rand.Rand) (string, bool) {
		all := number.FindAllStringIndex(s, -1)
		if len(all) == 0 {
			return "", false
		}
		m := all[rng.IntN(len(all))]
		digits := []byte(s[m[0]:m[1]])
		k := rng.IntN(len(digits))
		digits[k] = '1' + (digits[k]-'0'+byte(rng.IntN(8)))%9
		if string(digits) == s[m[0]:m[1]] {
			digits[k] = '1' + (digits[k]-'0')%9
		}
		return s[:m[0]] + string(digits) + s[m[1]:], true
	})},
	{"name", "altered", []string{"name", "date"}, edit(group(name, func(_ string, rng *rand.Rand) string {
		return []string{"Zorbanek", "Quillfeather", "Ostrava", "Tamsin"}[rng.IntN(4)]
	}))},
	{"word", "altered", nil, edit(group(word, func(_ string, rng *rand.Rand) string { return []string{"wooden", "hidden", "yellow"}[rng.IntN(3)] }))},
	{"negation", "altered", []string{"negation"}, edit(func(s string, rng *rand.Rand) (string, bool) {
		all := verb.FindAllStringIndex(s, -1)
		if len(all) == 0 {
			return "", false
		}
		m := all[rng.IntN(len(all))]
		return s[:m[1]] + "not " + s[m[1]:], true
	})},
	{"sentence deleted", "altered", []string{"sentence_deleted", "sentence_edited"}, edit(group(sentence, func(string, *rand.Rand) string { return "" }))},
	{"sentence rewritten", "altered", []string{"sentence_edited", "sentence_deleted"}, edit(group(sentence, func(string, *rand.Rand) string {
		return "Nobody who was present could later recall how the matter had been settled."
	}))},
	{"sentence inserted", "altered", []string{"sentence_inserted", "sentence_edited"}, edit(group(sentence, func(s string, _ *rand.Rand) string {
		return s + " Observers doubt that any of this took place."
	}))},
	{"paragraph removed", "altered", []string{"paragraph_removed", "sentence_deleted"}, func(p *page, rng *rand.Rand, _ string) bool {
		n := p.paras[1+rng.IntN(len(p.paras)-2)]
		n.Parent.RemoveChild(n)
		return true
	}},
	{"paragraph inserted", "altered", []string{"paragraph_inserted", "sentence_inserted"}, before(atom.P, "People close to the matter say that the whole account was arranged beforehand, and that money changed hands more than once before anybody spoke.")},
	{"paragraph moved", "altered", []string{"moved"}, func(p *page, rng *rand.Rand, _ string) bool {
		i := rng.IntN(len(p.paras) - 3)
		n, to := p.paras[i], p.paras[i+3]
		if n.Parent != to.Parent {
			return false
		}
		n.Parent.RemoveChild(n)
		to.Parent.InsertBefore(n, to.NextSibling)
		return true
	}},
	{"headline", "altered", []string{"title"}, func(p *page, rng *rand.Rand, title string) bool {
		if len(strings.Fields(title)) < 4 {
			return false
		}
		words := strings.Fields(title)
		k := rng.IntN(len(words))
		for !strings.ContainsFunc(words[k], unicode.IsLetter) {
			k = (k + 1) % len(words)
		}
		words[k] = "Nothing"
		to, done := strings.Join(words, " "), false
		for n := range p.root.Descendants() {
			if n.DataAtom == atom.Title && !strings.Contains(textOf(n), title) {
				return false // the page spells its headline in two ways
			}
		}
		for n := range p.root.Descendants() {
			if n.Type == html.TextNode && strings.Contains(n.Data, title) && n.Parent.DataAtom != atom.Script {
				n.Data, done = strings.ReplaceAll(n.Data, title, to), true
			}
			for i := range n.Attr {
				if strings.Contains(n.Attr[i].Val, title) {
					n.Attr[i].Val = strings.ReplaceAll(n.Attr[i].Val, title, to)
				}
			}
		}
		return done
	}},
	{"cut 75%", "truncated", nil, cut(.75)},
	{"cut 50%", "truncated", nil, cut(.5)},
	{"cut 25%", "truncated", nil, cut(.25)},
}
