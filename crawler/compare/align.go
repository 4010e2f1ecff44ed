package compare

import "slices"

// Bounds of aligning. What lies beyond them is left unmatched and so reported as changed, never as equal.
const (
	gapCells   = 40_000    // sentence pairs compared in one gap
	totalCells = 400_000   // and in all gaps of one alignment
	wordCells  = 1_000_000 // word pairs in one sentence diff
	fuzzyDice  = 0.7       // classification.md 2.5 D
)

// segment joins sentences [r0,r1) of the reference with [c0,c1) of the candidate.
type segment struct {
	r0, r1, c0, c1 int
	exact          bool // equal after normalisation
	moved          bool // stands elsewhere than the order of its neighbours says
	open           bool // the candidate's sentence is the beginning of the reference's: cut inside it
}

// alignment of two documents: segments in the reference's order, and per sentence the segment it belongs to, -1 when none.
type alignment struct {
	segs []segment
	ref  []int
	cand []int
}

type aligner struct {
	r, c  *document
	pairs []segment // one to one, in order
	cells int
}

// align matches the sentences of two documents: equal ones first, anchored on those that are unique in both; then, between
// anchors, alike ones (Dice of their words at least 0.7) in order; then what remains between two matches, as a whole; then
// sentences that moved.
func align(r, c *document) *alignment {
	a := &aligner{r: r, c: c}
	a.span(0, len(r.sents), 0, len(c.sents), 0)
	out := &alignment{ref: fill(len(r.sents)), cand: fill(len(c.sents))}
	ri, ci := 0, 0
	for _, p := range append(a.pairs, segment{r0: len(r.sents), c0: len(c.sents)}) {
		if p.r0 > ri && p.c0 > ci {
			if s, ok := a.joined(ri, p.r0, ci, p.c0); ok {
				out.segs = append(out.segs, s)
			}
		}
		if p.r1 > p.r0 {
			out.segs = append(out.segs, p)
		}
		ri, ci = p.r1, p.c1
	}
	for n, s := range out.segs {
		out.mark(n, s)
	}
	out.findMoves(r, c)
	out.findCut(r, c)
	return out
}

func fill(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = -1
	}
	return s
}

func (al *alignment) mark(n int, s segment) {
	for i := s.r0; i < s.r1; i++ {
		al.ref[i] = n
	}
	for j := s.c0; j < s.c1; j++ {
		al.cand[j] = n
	}
}

// span aligns one range: equal ends, unique equal sentences, and the gaps between them.
func (a *aligner) span(r0, r1, c0, c1, depth int) {
	for r0 < r1 && c0 < c1 && a.r.sents[r0].key == a.c.sents[c0].key {
		a.pairs = append(a.pairs, segment{r0, r0 + 1, c0, c0 + 1, true, false, false})
		r0++
		c0++
	}
	tail := 0
	for r0 < r1 && c0 < c1 && a.r.sents[r1-1].key == a.c.sents[c1-1].key {
		r1--
		c1--
		tail++
	}
	if r0 < r1 && c0 < c1 {
		anchors := a.anchors(r0, r1, c0, c1)
		if len(anchors) == 0 || depth > 50 {
			a.gap(r0, r1, c0, c1)
		} else {
			ri, ci := r0, c0
			for _, p := range anchors {
				if ri <= p[0] && ci <= p[1] {
					if ri < p[0] && ci < p[1] {
						a.span(ri, p[0], ci, p[1], depth+1)
					}
					a.pairs = append(a.pairs, segment{p[0], p[0] + 1, p[1], p[1] + 1, true, false, false})
					ri, ci = p[0]+1, p[1]+1
				}
			}
			if ri < r1 && ci < c1 {
				a.span(ri, r1, ci, c1, depth+1)
			}
		}
	}
	for i := range tail {
		a.pairs = append(a.pairs, segment{r1 + i, r1 + i + 1, c1 + i, c1 + i + 1, true, false, false})
	}
}

// anchors are the equal sentences that occur once on each side, in the longest common order.
func (a *aligner) anchors(r0, r1, c0, c1 int) [][2]int {
	type place struct{ rn, r, cn, c int }
	at := make(map[uint64]*place, r1-r0)
	for i := r0; i < r1; i++ {
		p := at[a.r.sents[i].key]
		if p == nil {
			p = &place{}
			at[a.r.sents[i].key] = p
		}
		p.rn++
		p.r = i
	}
	for j := c0; j < c1; j++ {
		if p := at[a.c.sents[j].key]; p != nil {
			p.cn++
			p.c = j
		}
	}
	var pts [][2]int
	for i := r0; i < r1; i++ {
		if p := at[a.r.sents[i].key]; p.rn == 1 && p.cn == 1 {
			pts = append(pts, [2]int{p.r, p.c})
		}
	}
	return longestOrdered(pts, func(i int) int { return max(1, a.r.sents[pts[i][0]].words()) })
}

// longestOrdered keeps of points sorted by their first number the increasing chain by the second that weighs most.
func longestOrdered(pts [][2]int, weight func(int) int) [][2]int {
	n := len(pts)
	if n == 0 {
		return nil
	}
	// A Fenwick tree over the ranks of the second number holds the best chain that ends at or before each.
	ranks := make([]int, n)
	for i := range pts {
		ranks[i] = pts[i][1]
	}
	slices.Sort(ranks)
	best := make([]int, n)
	prev := make([]int, n)
	tree := make([]int, n+1) // index+1 of the best chain's last point
	for i := range pts {
		k, _ := slices.BinarySearch(ranks, pts[i][1])
		p := 0
		for x := k; x > 0; x -= x & -x {
			if tree[x] != 0 && (p == 0 || best[tree[x]-1] > best[p-1]) {
				p = tree[x]
			}
		}
		prev[i] = p - 1
		best[i] = weight(i)
		if p > 0 {
			best[i] += best[p-1]
		}
		for x := k + 1; x <= n; x += x & -x {
			if tree[x] == 0 || best[tree[x]-1] < best[i] {
				tree[x] = i + 1
			}
		}
	}
	end := 0
	for i := range best {
		if best[i] > best[end] {
			end = i
		}
	}
	var out [][2]int
	for i := end; i >= 0; i = prev[i] {
		out = append(out, pts[i])
	}
	slices.Reverse(out)
	return out
}

// gap aligns a stretch without unique equal sentences: dynamic programming over equal and alike pairs.
func (a *aligner) gap(r0, r1, c0, c1 int) {
	n, m := r1-r0, c1-c0
	if n > gapCells || m > gapCells || n*m > gapCells || a.cells+n*m > totalCells {
		// Too large to weigh every pair: equal sentences in order are still found.
		a.greedy(r0, r1, c0, c1)
		return
	}
	a.cells += n * m
	score := make([]float64, (n+1)*(m+1))
	likeness := make([]float64, n*m)
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			d := a.alike(r0+i, c0+j)
			likeness[i*m+j] = d
			best := max(score[(i+1)*(m+1)+j], score[i*(m+1)+j+1])
			if d > 0 {
				w := d * float64(a.r.sents[r0+i].to-a.r.sents[r0+i].from+a.c.sents[c0+j].to-a.c.sents[c0+j].from)
				best = max(best, w+score[(i+1)*(m+1)+j+1])
			}
			score[i*(m+1)+j] = best
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		here := score[i*(m+1)+j]
		d := likeness[i*m+j]
		w := d * float64(a.r.sents[r0+i].to-a.r.sents[r0+i].from+a.c.sents[c0+j].to-a.c.sents[c0+j].from)
		switch {
		case d > 0 && here == w+score[(i+1)*(m+1)+j+1]:
			a.pairs = append(a.pairs, segment{r0 + i, r0 + i + 1, c0 + j, c0 + j + 1, a.r.sents[r0+i].key == a.c.sents[c0+j].key, false, false})
			i++
			j++
		case here == score[(i+1)*(m+1)+j]:
			i++
		default:
			j++
		}
	}
}

func (a *aligner) greedy(r0, r1, c0, c1 int) {
	places := map[uint64][]int{}
	for j := c0; j < c1; j++ {
		places[a.c.sents[j].key] = append(places[a.c.sents[j].key], j)
	}
	next := c0
	for i := r0; i < r1; i++ {
		list := places[a.r.sents[i].key]
		k, _ := slices.BinarySearch(list, next)
		if k < len(list) {
			a.pairs = append(a.pairs, segment{i, i + 1, list[k], list[k] + 1, true, false, false})
			next = list[k] + 1
		}
	}
}

// alike is the Dice coefficient of two sentences' words, 1.5 when equal, 0 below the threshold.
func (a *aligner) alike(i, j int) float64 {
	r, c := &a.r.sents[i], &a.c.sents[j]
	if r.key == c.key {
		return 1.5
	}
	n, m := r.to-r.from, c.to-c.from
	if float64(2*min(n, m)) < fuzzyDice*float64(n+m) {
		return 0
	}
	d := diceSorted(a.r.sortedHashes(i), a.c.sortedHashes(j))
	if d < fuzzyDice {
		return 0
	}
	return d
}

func (d *document) sortedHashes(i int) []uint64 {
	s := &d.sents[i]
	if s.sorted == nil {
		s.sorted = sortedHashes(d.tokens[s.from:s.to])
	}
	return s.sorted
}

func sortedHashes(toks []token) []uint64 {
	out := make([]uint64, len(toks))
	for i := range toks {
		out[i] = toks[i].hash
	}
	slices.Sort(out)
	return out
}

func diceSorted(a, b []uint64) float64 {
	if len(a)+len(b) == 0 {
		return 1
	}
	n := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			n++
			i++
			j++
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return 2 * float64(n) / float64(len(a)+len(b))
}

// joined looks at what is left between two matches on both sides as one piece each: the same words under other sentence or
// block borders are equal, one sentence against one is an edited sentence, alike pieces are an edit across borders.
func (a *aligner) joined(r0, r1, c0, c1 int) (segment, bool) {
	r := a.r.tokens[a.r.sents[r0].from:a.r.sents[r1-1].to]
	c := a.c.tokens[a.c.sents[c0].from:a.c.sents[c1-1].to]
	s := segment{r0: r0, r1: r1, c0: c0, c1: c1}
	if len(r) == len(c) && hashSequence(r) == hashSequence(c) {
		s.exact = true
		return s, true
	}
	d := diceSorted(sortedHashes(r), sortedHashes(c))
	inside := r0 > 0 && r1 < len(a.r.sents) && c0 > 0 && c1 < len(a.c.sents)
	// One sentence against one between matched neighbours is a rewritten sentence, however little of it is left.
	said := len(r) >= 5 && len(c) >= 5 && !a.r.blocks[a.r.sents[r0].block].promo && !a.c.blocks[a.c.sents[c0].block].promo
	if d >= fuzzyDice && r1-r0 <= 8 && c1-c0 <= 8 || r1-r0 == 1 && c1-c0 == 1 && (inside && (said || d >= 0.2) || d >= 0.5) {
		return s, true
	}
	return s, false
}

// findMoves matches left-over sentences that are equal but stand elsewhere.
func (al *alignment) findMoves(r, c *document) {
	left := map[uint64][]int{}
	for j, n := range al.cand {
		if n < 0 && c.sents[j].to-c.sents[j].from >= 4 {
			left[c.sents[j].key] = append(left[c.sents[j].key], j)
		}
	}
	if len(left) == 0 {
		return
	}
	for i, n := range al.ref {
		if n >= 0 {
			continue
		}
		if list := left[r.sents[i].key]; len(list) > 0 {
			j := list[0]
			left[r.sents[i].key] = list[1:]
			al.segs = append(al.segs, segment{r0: i, r1: i + 1, c0: j, c1: j + 1, exact: true, moved: true})
			al.mark(len(al.segs)-1, al.segs[len(al.segs)-1])
		}
	}
}

// findCut joins the candidate's last sentence with the reference's sentence that it is the beginning of.
func (al *alignment) findCut(r, c *document) {
	last := -1
	for i, n := range al.ref {
		if n >= 0 && !al.segs[n].moved {
			last = i
		}
	}
	i := last + 1
	if i >= len(r.sents) {
		return
	}
	j := 0
	if last >= 0 {
		j = al.segs[al.ref[last]].c1
	}
	if j >= len(c.sents) || al.cand[j] >= 0 || al.ref[i] >= 0 {
		// The half sentence may already be joined as an edited one.
		if last >= 0 {
			s := &al.segs[al.ref[last]]
			if !s.exact && s.r1-s.r0 == 1 && s.c1-s.c0 == 1 && beginsWith(r.toks(s.r0), c.toks(s.c0)) && s.c1 == len(c.sents) {
				s.open = true
			}
		}
		return
	}
	if beginsWith(r.toks(i), c.toks(j)) {
		al.segs = append(al.segs, segment{r0: i, r1: i + 1, c0: j, c1: j + 1, open: true})
		al.mark(len(al.segs)-1, al.segs[len(al.segs)-1])
	}
}

// beginsWith reports whether part is a true beginning of whole; its last word may be cut too.
func beginsWith(whole, part []token) bool {
	if len(part) == 0 || len(part) > len(whole) {
		return false
	}
	for i := range part {
		if part[i].hash == whole[i].hash {
			continue
		}
		if i == len(part)-1 && len(part) > 1 && len(part[i].text) < len(whole[i].text) && whole[i].text[:len(part[i].text)] == part[i].text {
			return true
		}
		return false
	}
	return len(part) < len(whole)
}

// hunk is one place where two token runs differ.
type hunk struct{ r0, r1, c0, c1 int }

// diffTokens lists where two token runs differ, in order.
func diffTokens(r, c []token) []hunk {
	pre := 0
	for pre < len(r) && pre < len(c) && r[pre].hash == c[pre].hash {
		pre++
	}
	post := 0
	for post < len(r)-pre && post < len(c)-pre && r[len(r)-1-post].hash == c[len(c)-1-post].hash {
		post++
	}
	rm, cm := r[pre:len(r)-post], c[pre:len(c)-post]
	n, m := len(rm), len(cm)
	if n == 0 && m == 0 {
		return nil
	}
	if n == 0 || m == 0 || n*m > wordCells {
		return []hunk{{pre, pre + n, pre, pre + m}}
	}
	table := make([]int32, (n+1)*(m+1))
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if rm[i].hash == cm[j].hash {
				table[i*(m+1)+j] = table[(i+1)*(m+1)+j+1] + 1
			} else {
				table[i*(m+1)+j] = max(table[(i+1)*(m+1)+j], table[i*(m+1)+j+1])
			}
		}
	}
	var out []hunk
	i, j, hi, hj := 0, 0, 0, 0
	flush := func() {
		if hi < i || hj < j {
			out = append(out, hunk{pre + hi, pre + i, pre + hj, pre + j})
		}
	}
	for i < n || j < m {
		switch {
		case i < n && j < m && rm[i].hash == cm[j].hash:
			flush()
			i++
			j++
			hi, hj = i, j
		case j >= m || i < n && table[(i+1)*(m+1)+j] >= table[i*(m+1)+j+1]:
			i++
		default:
			j++
		}
	}
	flush()
	return out
}
