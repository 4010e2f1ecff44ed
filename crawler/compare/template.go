package compare

// Two pages of one article may have different layouts. Then what stands around the article's body, and what an extractor keeps
// of it, differs by nature, and says nothing about the article (classification.md 2.5 D: edge material counts only "inside the
// body container").

// otherTemplate reports whether two pages have little in common outside the article.
func otherTemplate(r, c *document) bool {
	outside := func(d *document) map[uint64]struct{} {
		out := map[uint64]struct{}{}
		main := d.shingleSet()
		for h := range d.visibleShingles() {
			if !in64(main, h) {
				out[h] = struct{}{}
			}
		}
		return out
	}
	a, b := outside(r), outside(c)
	if len(a) < 20 && len(b) < 20 {
		return false
	}
	both := 0
	for h := range a {
		if in64(b, h) {
			both++
		}
	}
	return 2*float64(both) < 0.4*float64(len(a)+len(b))
}

// core marks the blocks within the smallest element that holds nine tenths of a page's matched words. nil when the text came
// from no tree.
func core(d *document, match []int) []bool {
	up := d.page.Holders
	if len(up) == 0 {
		return nil
	}
	weight, blocks := make([]int, len(up)), make([]int, len(up))
	total := 0
	for b := range d.blocks {
		w := 0
		for i := d.blocks[b].first; i < d.blocks[b].last; i++ {
			if match[i] >= 0 {
				w += d.sents[i].words()
			}
		}
		if w == 0 {
			continue
		}
		total += w
		for h := d.blocks[b].holder; h >= 0 && int(h) < len(up); h = up[h] {
			weight[h] += w
			blocks[h]++
		}
	}
	best := 0
	for h := range up { // an element comes behind the one around it
		if total > 0 && 10*weight[h] >= 9*total {
			best = h
		}
	}
	if blocks[best] == 1 && up[best] >= 0 {
		best = int(up[best])
	}
	out := make([]bool, len(d.blocks))
	for b := range d.blocks {
		for h := d.blocks[b].holder; h >= 0 && int(h) < len(up); h = up[h] {
			if int(h) == best {
				out[b] = true
				break
			}
		}
	}
	return out
}

// apart reports whether a sentence stands outside the element that holds the article, on a page of another layout.
func (m *comparison) apart(d *document, match []int, i int) bool {
	if m.out.viaVisible || !m.hints.otherLayout() {
		return false
	}
	in := &m.coreR
	if d == m.c {
		in = &m.coreC
	}
	if *in == nil {
		*in = core(d, match)
	}
	return *in != nil && !(*in)[d.sents[i].block]
}
