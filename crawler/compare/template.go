package compare

// Two pages of one article may have different layouts. Then what stands around the article's body, and what an extractor keeps
// of it, differs by nature, and says nothing about the article (classification.md 2.5 D: edge material counts only "inside the
// body container").

// otherTemplate reports whether what the reference shows around the article is gone from the candidate, and little else is common to
// both. What the candidate alone shows is no sign: it may be what was put in. coreR and coreC say which blocks are the article's,
// as core does; nil is all of them.
func otherTemplate(r, c *document, coreR, coreC []bool) bool {
	a, b := r.around(coreR), c.around(coreC)
	if len(a) < 4 {
		return false // nothing to know the layout by
	}
	both := 0
	for h := range a {
		if in64(b, h) {
			both++
		}
	}
	return float64(both) < 0.4*float64(len(a)) && 2*float64(both) < 0.4*float64(len(a)+len(b))
}

// around returns the shingles of what a page shows outside its article.
func (d *document) around(core []bool) map[uint64]struct{} {
	main := d.shingleSet()
	if core != nil {
		main = map[uint64]struct{}{}
		for from := 0; from < len(d.blocks); from++ {
			to := from
			for to < len(d.blocks) && core[to] {
				to++
			}
			if to > from && d.blocks[from].first < d.blocks[to-1].last {
				for h := range shinglesOf(d.tokens[d.sents[d.blocks[from].first].from:d.sents[d.blocks[to-1].last-1].to]) {
					main[h] = struct{}{}
				}
			}
			from = to
		}
	}
	out := map[uint64]struct{}{}
	for h := range d.visibleShingles() {
		if !in64(main, h) {
			out[h] = struct{}{}
		}
	}
	return out
}

// cores finds the article's blocks on both sides when first asked for.
func (m *comparison) cores() (r, c []bool) {
	if !m.cored && !m.out.viaVisible {
		m.coreR, m.coreC = core(m.r, m.al.ref), core(m.c, m.al.cand)
	}
	m.cored = true
	return m.coreR, m.coreC
}

// otherLayout is otherTemplate with the article told from its surroundings. It reads all that both pages show, so it is asked last.
func (m *comparison) otherLayout() bool {
	if !m.looked {
		r, c := m.cores()
		m.looked, m.other = true, otherTemplate(m.r, m.c, r, c)
	}
	return m.other
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
func (m *comparison) apart(d *document, i int) bool {
	in, c := m.cores()
	if d == m.c {
		in = c
	}
	return in != nil && !in[d.sents[i].block] && m.otherLayout()
}
