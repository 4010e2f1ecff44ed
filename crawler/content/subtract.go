package content

// Subtract takes the site's template out of the article: blocks that stand on the templates too. Templates are pages of
// the same mirror that are surely not this article: the answers to impossible ids and paths, and the root page.
//
// A block goes when its normalised text is a block of a template's visible text, or nearly all of its shingles are in it.
// What a root page alone repeats goes only at the article's end, for home pages quote the first lines of their articles.
// When more than half of the article would go, nothing does: the template then is the article itself (a site that ignores
// part of the URL) or the page is the template; TemplateEqual says so, and compare decides which.
func (p *Page) Subtract(templates ...*Page) {
	if len(p.Blocks) == 0 {
		return
	}
	type stock struct {
		lines    map[string]bool
		shingles map[uint64]struct{}
	}
	build := func(pages []*Page) *stock {
		s := &stock{map[string]bool{}, map[uint64]struct{}{}}
		for _, t := range pages {
			for _, text := range []string{t.Visible, t.Text} {
				for _, b := range paragraphs(text) {
					s.lines[Normalise(b.Text, nil)] = true
				}
				each(Words(text), 4, func(h uint64) { s.shingles[h] = struct{}{} })
			}
		}
		return s
	}
	var decoys, roots []*Page
	for _, t := range templates {
		switch {
		case t == nil || t == p || t.Visible == "" && t.Text == "":
		case isRoot(t.URL):
			roots = append(roots, t)
		default:
			decoys = append(decoys, t)
		}
	}
	if len(decoys)+len(roots) == 0 {
		return
	}
	inside := func(s *stock, b Block) bool {
		if s.lines[Normalise(b.Text, nil)] {
			return true
		}
		words := Words(b.Text)
		if len(words) < 8 {
			return false
		}
		hit, all := 0, 0
		each(words, 4, func(h uint64) {
			all++
			if _, ok := s.shingles[h]; ok {
				hit++
			}
		})
		return hit*10 >= all*9
	}
	gone := make([]bool, len(p.Blocks))
	words, lost := 0, 0
	ds, rs := build(decoys), build(roots)
	for i, b := range p.Blocks {
		words += Count(b.Text)
		gone[i] = len(decoys) > 0 && inside(ds, b)
	}
	if len(roots) > 0 {
		for i := len(p.Blocks) - 1; i > 0; i-- {
			if gone[i] {
				continue
			}
			if !inside(rs, p.Blocks[i]) {
				break
			}
			gone[i] = true
		}
	}
	for i, b := range p.Blocks {
		if gone[i] {
			lost += Count(b.Text)
		}
	}
	if lost == 0 {
		return
	}
	if lost*2 > words {
		p.TemplateEqual = true
		return
	}
	var keep []Block
	at := make([]int, len(p.Blocks))
	for i, b := range p.Blocks {
		if gone[i] {
			at[i] = -1
			p.Subtracted = append(p.Subtracted, b)
			continue
		}
		at[i] = len(keep)
		keep = append(keep, b)
	}
	source := p.Source
	p.setBlocks(keep, source)
	for i := range p.Links {
		if b := p.Links[i].Block; b >= 0 && b < len(at) {
			p.Links[i].Block = at[b]
		}
	}
	p.Noise = measureNoise(p.Text)
}

func isRoot(url string) bool {
	host := hostOf(url)
	if host == "" {
		return false
	}
	path := pathOf(url)
	return path == "" || path == "/"
}
