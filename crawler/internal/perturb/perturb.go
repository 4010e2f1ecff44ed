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
	root      *html.Node
	paras     []*html.Node
	inArticle func(string) bool
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
	p := &page{root: root, inArticle: inArticle}
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
	{"same: most read", "same", nil, swapTeasers},
	{"same: schemes", "same", nil, func(p *page, _ *rand.Rand, _ string) bool {
		done := false
		for n := range p.root.Descendants() {
			for i := range n.Attr {
				if n.Attr[i].Key == "href" && n.DataAtom == atom.A && strings.HasPrefix(n.Attr[i].Val, "https://") {
					n.Attr[i].Val, done = "http://"+n.Attr[i].Val[8:], true
				}
			}
		}
		return done
	}},
	{"same: print layout", "same", nil, func(p *page, _ *rand.Rand, title string) bool {
		return relayout(p, title, "<!DOCTYPE html><html><head><title></title></head><body><h1></h1><div id=story></div><p>Printed from this paper's web site. All rights reserved.</p></body></html>")
	}},
	{"same: AMP layout", "same", nil, func(p *page, _ *rand.Rand, title string) bool {
		return relayout(p, title, "<!DOCTYPE html><html amp><head><title></title><script async src=/amp/v0.js></script></head><body><header><a href=/>Front page</a></header><article><h1></h1><div id=story></div></article><footer><a href=/about>About</a></footer></body></html>")
	}},
	{"date", "altered", []string{"date", "number"}, edit(group(monthDay, func(s string, rng *rand.Rand) string {
		return fmt.Sprint(1 + (leadingInt(s)+rng.IntN(26))%28)
	}))},
	{"names swapped", "altered", []string{"name", "sentence_edited", "quotation"}, swapNames},
	{"attribution", "altered", []string{"name", "quotation", "sentence_edited"}, edit(group(attribution, func(_ string, rng *rand.Rand) string {
		return []string{"Zorbanek", "Quillfeather", "Tamsin"}[rng.IntN(3)]
	}))},
	{"three words", "altered", nil, func(p *page, rng *rand.Rand, title string) bool {
		n := 0
		for range 3 {
			if edit(group(word, func(_ string, rng *rand.Rand) string { return []string{"wooden", "hidden", "yellow"}[rng.IntN(3)] }))(p, rng, title) {
				n++
			}
		}
		return n == 3
	}},
	{"two paragraphs removed", "altered", []string{"paragraph_removed", "sentence_deleted"}, func(p *page, rng *rand.Rand, _ string) bool {
		if len(p.paras) < 8 {
			return false
		}
		i := 1 + rng.IntN(len(p.paras)-4)
		for _, n := range p.paras[i : i+2] {
			n.Parent.RemoveChild(n)
		}
		return true
	}},
	{"link target", "altered", []string{"link"}, func(p *page, rng *rand.Rand, _ string) bool {
		for _, n := range p.paras {
			for c := range n.Descendants() {
				if c.DataAtom != atom.A || len(strings.Fields(textOf(c))) < 2 {
					continue
				}
				for i := range c.Attr {
					if c.Attr[i].Key == "href" && strings.HasPrefix(c.Attr[i].Val, "http") {
						c.Attr[i].Val = fmt.Sprintf("https://www.elsewhere-%d.com/page", rng.IntN(1000))
						return true
					}
				}
			}
		}
		return false
	}},
	{"cut 90%", "altered or truncated", nil, cut(.9)},
	{"teaser", "truncated", nil, func(p *page, rng *rand.Rand, title string) bool {
		first, words, total, kept := p.paras[0], 0, 0, 0
		for _, n := range p.paras {
			if words < 45 {
				first, words = n, words+len(strings.Fields(textOf(n)))
				kept += len(textOf(n))
			}
			total += len(textOf(n))
		}
		if !cut(float64(kept-1)/float64(total))(p, rng, title) {
			return false
		}
		first.Parent.InsertBefore(element(atom.P, "Subscribe to continue reading this article."), first.NextSibling)
		return true
	}},
	{"cut 75%", "truncated", nil, cut(.75)},
	{"cut 50%", "truncated", nil, cut(.5)},
	{"cut 25%", "truncated", nil, cut(.25)},
}

var (
	monthDay    = regexp.MustCompile(`\b(?:January|February|March|April|May|June|July|August|September|October|November|December) (\d{1,2})\b`)
	attribution = regexp.MustCompile(`[”"],? (?:said|says|told) (?:[A-Z][a-z]+ )?([A-Z][a-z]{3,})\b`)
	fullName    = regexp.MustCompile(`\b([A-Z][a-z]{2,} [A-Z][a-z]{2,})\b`)
)

func leadingInt(s string) int {
	n := 0
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// swapNames exchanges two people's or places' names throughout the article.
func swapNames(p *page, _ *rand.Rand, _ string) bool {
	seen := map[string]int{}
	var order []string
	for _, n := range p.paras {
		for c := range n.ChildNodes() {
			if c.Type != html.TextNode {
				continue
			}
			for _, m := range fullName.FindAllString(c.Data, -1) {
				if seen[m]++; seen[m] == 1 {
					order = append(order, m)
				}
			}
		}
	}
	if len(order) < 2 {
		return false
	}
	a, b := order[0], order[1]
	for _, n := range p.paras {
		for c := range n.ChildNodes() {
			if c.Type == html.TextNode {
				c.Data = strings.NewReplacer(a, b, b, a).Replace(c.Data)
			}
		}
	}
	return true
}

// swapTeasers rewrites the links of lists outside the article: what is read most changes by the minute.
func swapTeasers(p *page, rng *rand.Rand, _ string) bool {
	body := p.container()
	done := 0
	for n := range p.root.Descendants() {
		if n.DataAtom != atom.A || within(n, body) || !inList(n) || len(strings.Fields(textOf(n))) < 5 || n.FirstChild == nil || n.FirstChild.Type != html.TextNode || n.FirstChild.NextSibling != nil {
			continue
		}
		n.FirstChild.Data = []string{"Bakers of the old town meet for a contest", "Five lakes to swim in before the summer ends", "Why the night train was late again", "The museum opens its cellar to visitors at last"}[(done+rng.IntN(4))%4]
		done++
	}
	return done > 0
}

func inList(n *html.Node) bool {
	for i := 0; n != nil && i < 4; n, i = n.Parent, i+1 {
		if n.DataAtom == atom.Li {
			return true
		}
	}
	return false
}

func within(n, top *html.Node) bool {
	for ; n != nil; n = n.Parent {
		if n == top {
			return true
		}
	}
	return false
}

// container is the smallest element that holds all paragraphs of the article.
func (p *page) container() *html.Node {
	for up := p.paras[0].Parent; up != nil; up = up.Parent {
		all := true
		for _, n := range p.paras {
			all = all && within(n, up)
		}
		if all {
			return up
		}
	}
	return p.root
}

// scattered reports whether a piece of the article's text stands outside its body, such as a standfirst: moving the body would
// lose it.
func (p *page) scattered(body *html.Node) bool {
	for n := range p.root.Descendants() {
		if n.Type != html.ElementNode || within(n, body) || within(body, n) {
			continue
		}
		switch n.DataAtom {
		case atom.P, atom.Div, atom.H2, atom.H3, atom.Li, atom.Section, atom.Span, atom.Strong, atom.Blockquote:
			if text := textOf(n); len(text) < 5000 && len(strings.Fields(text)) >= 6 && p.inArticle(text) {
				return true
			}
		}
	}
	return false
}

// relayout moves the article's body into another page: at its element with the id story, or in place of its own article.
func relayout(p *page, title, layout string) bool {
	body := p.container()
	if body.DataAtom == atom.Body || body.Type != html.ElementNode || len(strings.Fields(title)) < 2 || p.scattered(body) {
		return false
	}
	root, err := html.Parse(strings.NewReader(layout))
	if err != nil {
		return false
	}
	var place *html.Node
	for n := range root.Descendants() {
		switch {
		case n.DataAtom == atom.Title || n.DataAtom == atom.H1:
			n.FirstChild, n.LastChild = nil, nil
			n.AppendChild(&html.Node{Type: html.TextNode, Data: title})
		}
		for _, a := range n.Attr {
			if a.Key == "id" && a.Val == "story" {
				place = n
			}
		}
	}
	if place == nil {
		return false
	}
	body.Parent.RemoveChild(body)
	place.AppendChild(body)
	p.root = root
	return true
}

// Transplant puts the body of one article into the page of another publisher, in place of that page's own article. nil when one of the
// two has no body to take.
func Transplant(src []byte, inSrc func(string) bool, title string, host []byte, inHost func(string) bool) []byte {
	a, b := parse(src, inSrc), parse(host, inHost)
	if a == nil || b == nil || len(a.paras) < 5 || len(b.paras) < 5 {
		return nil
	}
	from, to := a.container(), b.container()
	if from.DataAtom == atom.Body || to.DataAtom == atom.Body || from.Type != html.ElementNode || to.Type != html.ElementNode || holds(to, atom.H1) || holds(from, atom.H1) || a.scattered(from) {
		return nil
	}
	from.Parent.RemoveChild(from)
	to.Parent.InsertBefore(from, to)
	to.Parent.RemoveChild(to)
	retitle(b.root, title)
	strip(b.root, from, inHost)
	return render(b.root)
}

func holds(n *html.Node, tag atom.Atom) bool {
	for c := range n.Descendants() {
		if c.DataAtom == tag {
			return true
		}
	}
	return false
}

// retitle gives a page another headline and takes away what its head says of the old article.
func retitle(root *html.Node, title string) {
	var gone []*html.Node
	for n := range root.Descendants() {
		switch n.DataAtom {
		case atom.Title, atom.H1:
			n.FirstChild, n.LastChild = nil, nil
			n.AppendChild(&html.Node{Type: html.TextNode, Data: title})
		case atom.Meta:
			gone = append(gone, n)
		case atom.Link:
			for _, a := range n.Attr {
				if a.Key == "rel" && (a.Val == "canonical" || a.Val == "amphtml" || a.Val == "alternate" || a.Val == "shortlink") {
					gone = append(gone, n)
				}
			}
		case atom.Script:
			gone = append(gone, n)
		}
	}
	for _, n := range gone {
		n.Parent.RemoveChild(n)
	}
}

func render(n *html.Node) []byte {
	var b bytes.Buffer
	if html.Render(&b, n) != nil {
		return nil
	}
	return b.Bytes()
}

// Replace puts other paragraphs, and another title where there is one, into the article's place: another article, a translation, a
// listing, a notice within the publisher's own template. identity says whether the head may go on naming the old article.
func Replace(src []byte, inArticle func(string) bool, title string, paras []string, lang string, identity bool) []byte {
	p := parse(src, inArticle)
	if p == nil || len(p.paras) < 5 {
		return nil
	}
	if identity {
		for n := range p.root.Descendants() {
			if n.DataAtom == atom.Html && lang != "" {
				set(n, "lang", lang)
			}
			if (n.DataAtom == atom.Title || n.DataAtom == atom.H1) && title != "" {
				n.FirstChild, n.LastChild = nil, nil
				n.AppendChild(&html.Node{Type: html.TextNode, Data: title})
			}
			if n.DataAtom == atom.Script && strings.Contains(textOf(n), "articleBody") {
				n.FirstChild, n.LastChild = nil, nil
			}
		}
	} else {
		retitle(p.root, title)
	}
	body := p.container()
	first := p.paras[0]
	at := first
	for at.Parent != body {
		at = at.Parent
	}
	for _, s := range paras {
		body.InsertBefore(element(atom.P, s), at)
	}
	// Everything from the first paragraph on is the old article.
	for n := at; n != nil; {
		next := n.NextSibling
		body.RemoveChild(n)
		n = next
	}
	strip(p.root, nil, inArticle)
	return render(p.root)
}

// strip takes out of a page's template what belonged to its own article: standfirst, pictures with captions, byline.
func strip(root, keep *html.Node, inArticle func(string) bool) {
	var gone []*html.Node
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || within(n, keep) || within(keep, n) {
			continue
		}
		switch n.DataAtom {
		case atom.Figure, atom.Time:
			gone = append(gone, n)
			continue
		case atom.P, atom.H2, atom.H3, atom.Li, atom.Div, atom.Section, atom.Span:
			if text := textOf(n); len(text) < 5000 && len(strings.Fields(text)) >= 6 && inArticle(text) {
				gone = append(gone, n)
				continue
			}
		}
		for _, a := range n.Attr {
			if v := strings.ToLower(a.Val); (a.Key == "class" || a.Key == "rel" || a.Key == "itemprop" || a.Key == "id") && len(v) < 60 &&
				(strings.Contains(v, "author") || strings.Contains(v, "byline")) && len(textOf(n)) < 300 {
				gone = append(gone, n)
				break
			}
		}
	}
	for _, n := range gone {
		if n.Parent != nil {
			n.Parent.RemoveChild(n)
		}
	}
}

func set(n *html.Node, key, value string) {
	for i := range n.Attr {
		if n.Attr[i].Key == key {
			n.Attr[i].Val = value
			return
		}
	}
	n.Attr = append(n.Attr, html.Attribute{Key: key, Val: value})
}

// Append adds paragraphs behind the article's first one: what quotes a notice is still the article.
func Append(src []byte, inArticle func(string) bool, paras ...string) []byte {
	p := parse(src, inArticle)
	if p == nil || len(p.paras) < 5 {
		return nil
	}
	for _, s := range paras {
		p.paras[1].Parent.InsertBefore(element(atom.P, s), p.paras[1])
	}
	return render(p.root)
}
