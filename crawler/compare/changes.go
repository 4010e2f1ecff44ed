package compare

import (
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// Kinds of Change (survey.Change.Kind).
const (
	kindTitle             = "title"
	kindNumber            = "number"
	kindName              = "name"
	kindNegation          = "negation"
	kindQuotation         = "quotation"
	kindSentenceEdited    = "sentence_edited"
	kindSentenceInserted  = "sentence_inserted"
	kindSentenceDeleted   = "sentence_deleted"
	kindParagraphRemoved  = "paragraph_removed"
	kindParagraphInserted = "paragraph_inserted"
	kindMoved             = "moved"
	kindDate              = "date"
	kindAuthor            = "author"
	kindImage             = "image"
	kindLink              = "link"
)

// Thresholds of classification.md 2.5 C, D and E.
const (
	sameWorkRef     = 0.50
	sameWorkCand    = 0.90
	sameWorkWords   = 40
	relatedRef      = 0.15
	edgeWords       = 25
	edgeLinkDensity = 0.33
	cutShare        = 0.10
	openingWords    = 12 // of a teaser on a page that names itself as the article
	maxChanges      = 500
	maxChangeText   = 1_000 // octets of a text quoted in a Change
)

// textResult is what the texts of two pages say about each other.
type textResult struct {
	cRef, cCand float64
	scored      bool
	sameWork    bool
	exact       bool // the sentences are equal, in order, with nothing over
	viaVisible  bool // the article was found in the visible text, not by extraction

	changes       []survey.Change
	edgeInsertion bool
	truncated     bool
	truncatedKind string
	missingWords  int
	masked        int  // differences left out because the sentence differs between two fetches of one page
	edges         int  // words of edge material that was not counted
	rescued       int  // sentences found outside what was extracted
	stray         bool // all that differs is blocks missing that stood outside the element that holds the reference's article

	other func() bool // whether the pages' layouts differ
}

// comparison holds the two sides while their texts are compared.
type comparison struct {
	r, c         *document
	al           *alignment
	out          *textResult
	coreR, coreC []bool
	cored        bool // coreR and coreC are known
	other        bool // the layouts differ
	looked       bool // other is known
}

// compareText applies steps B to E of classification.md 2.5 to two prepared documents.
func compareText(r, c *document, hints textHints) *textResult {
	whole := c
	out := &textResult{other: sync.OnceValue(func() bool { return otherTemplate(r, whole, nil, nil) })}
	if len(r.tokens) == 0 {
		return out
	}
	out.scored = true
	rs, cs := r.shingleSet(), c.shingleSet()
	out.cRef, out.cCand = containment(rs, cs), containment(cs, rs)
	switch {
	case out.cRef >= sameWorkRef:
		out.sameWork = true
	case out.cCand >= sameWorkCand && c.words >= sameWorkWords && (out.cRef >= 0.3 || hints.identity):
		out.sameWork = true
	case hints.identity && out.cCand >= 0.5 && opensWith(r, c):
		out.sameWork = true // the first paragraph and a request to subscribe
	}
	if !out.sameWork && len(r.tokens) >= 2*shingleSize && len(c.page.Visible) > 0 {
		if v := containment(rs, c.visibleShingles()); v >= sameWorkRef {
			out.sameWork, out.viaVisible, out.cRef = true, true, v
			p := *c.page
			p.Text, p.Blocks = p.Visible, nil
			vis := newDocument(&p, c.hosts)
			vis.masked, vis.visible, vis.visShing = c.masked, c.visible, c.visShing
			c = vis
		}
	}
	if !out.sameWork {
		if !hints.identity {
			return out
		}
		if kept, missing := opening(r, c); kept >= openingWords {
			out.sameWork, out.viaVisible, out.truncated, out.missingWords = true, true, true, missing
			out.cRef = max(out.cRef, float64(kept)/float64(r.words))
			tail := c.visibleTokens()
			out.truncatedKind = truncationKind(hints, false, tail)
		}
		return out
	}
	if equalKeys(r.sents, c.sents) {
		out.exact = true
		return out
	}
	m := &comparison{r: r, c: c, al: align(r, c), out: out}
	out.other = m.otherLayout
	m.walk(hints)
	return out
}

// textHints is what the pages' other signals say; it only breaks ties.
type textHints struct {
	identity bool // title, canonical address or id are the article's
	cutBody  bool // the body was cut in transport or by our own limit
	url      string
}

func equalKeys(a, b []sentence) bool {
	return slices.EqualFunc(a, b, func(x, y sentence) bool { return x.key == y.key })
}

// opensWith reports whether the candidate's first sentences of at least 12 words are the reference's.
func opensWith(r, c *document) bool {
	for j := 0; j < len(c.sents) && j < 4; j++ {
		if c.sents[j].words() < 12 {
			continue
		}
		for i := 0; i < len(r.sents) && i < 6; i++ {
			if r.sents[i].key == c.sents[j].key || beginsWith(r.toks(i), c.toks(j)) {
				return true
			}
		}
	}
	return false
}

// opening looks for the reference's beginning in all that the candidate shows: a teaser's few lines are less than the template
// around them, so an extractor may take that for the article. It returns the words of the sentences that stand there in one
// row from the beginning on, and of those that do not; 0 when the reference's text goes on elsewhere in the page, or when the
// mirror shows these lines at any address.
func opening(r, c *document) (kept, missing int) {
	if c.page.Visible == "" {
		return 0, 0
	}
	elsewhere := 0
	for i := range r.sents {
		n := r.sents[i].words()
		if n < 5 {
			continue // too short to tell
		}
		shown := c.shows(r.toks(i)) && !c.anyAddressShows(r.toks(i))
		switch {
		case shown && missing == 0:
			kept += n
		case shown:
			elsewhere += n
		case kept > 0:
			missing += n
		case i > 5:
			return 0, 0
		}
	}
	if float64(missing) < cutShare*float64(r.words) || elsewhere > max(20, kept/3) {
		return 0, 0
	}
	return kept, missing
}

// walk turns the alignment into changes.
func (m *comparison) walk(hints textHints) {
	r, c, al := m.r, m.c, m.al
	// The body's borders: the outermost matched sentences that are no boxes.
	firstR, lastR, firstC, lastC := len(r.sents), -1, len(c.sents), -1
	for n := range al.segs {
		s := &al.segs[n]
		if s.moved || m.boxed(r, s.r0) && m.boxed(c, s.c0) {
			continue
		}
		firstR, lastR = min(firstR, s.r0), max(lastR, s.r1-1)
		firstC, lastC = min(firstC, s.c0), max(lastC, s.c1-1)
	}
	open := -1
	var interior []survey.Change
	for n := range al.segs {
		s := &al.segs[n]
		switch {
		case s.open:
			open = n
		case s.moved:
		case !s.exact && m.apart(r, s.r0) && m.apart(c, s.c0):
		case !s.exact:
			interior = append(interior, m.edited(s)...)
		}
	}
	interior = append(interior, m.moves()...)

	// Reference sentences without a partner.
	var prefix, middle, suffix []int
	for i := range r.sents {
		if al.ref[i] >= 0 || m.uncounted(r, c, al.ref, i) {
			continue
		}
		switch {
		case i < firstR:
			prefix = append(prefix, i)
		case i > lastR:
			suffix = append(suffix, i)
		default:
			middle = append(middle, i)
		}
	}
	// Candidate sentences without a partner.
	var inserted, before, after []int
	if !m.out.viaVisible {
		for j := range c.sents {
			if al.cand[j] >= 0 {
				continue
			}
			if m.uncounted(c, r, al.cand, j) {
				continue
			}
			b := c.blocks[c.sents[j].block]
			switch {
			case j > b.first && m.plainMatch(j-1) || j+1 < b.last && m.plainMatch(j+1):
				inserted = append(inserted, j) // beside the article's own sentences, in their paragraph
			case j < firstC:
				before = append(before, j)
			case j > lastC:
				after = append(after, j)
			default:
				inserted = append(inserted, j)
			}
		}
	}
	interior = append(interior, m.removed(middle)...)
	interior = append(interior, m.added(inserted)...)

	missing := 0
	for _, i := range suffix {
		missing += r.sents[i].words()
	}
	if open >= 0 {
		s := &al.segs[open]
		missing += r.sents[s.r0].words() - c.sents[s.c0].words()
	}
	m.out.missingWords = missing
	tail := m.unmatchedText(lastC + 1)
	isCut := missing > 0 && (float64(missing) >= cutShare*float64(r.words) || open >= 0 && (hints.cutBody || len(after) == 0))
	if isCut && len(interior) == 0 && len(prefix) == 0 {
		m.out.truncated = true
		m.out.truncatedKind = truncationKind(hints, open >= 0, tail)
		return
	}
	// A cut page may keep a line or two of its end: a note on the author, the date of a correction.
	if tail, blocks := m.cutBeforeTail(middle, suffix, lastR); open < 0 && len(prefix) == 0 && len(inserted) == 0 && len(interior) == blocks && blocks >= 2 && tail > 0 {
		gap := 0
		for _, i := range slices.Concat(middle, suffix) {
			gap += r.sents[i].words()
		}
		if float64(gap) >= 1.5*cutShare*float64(r.words) && float64(tail) <= cutShare*float64(r.words) && tail <= 60 {
			m.out.missingWords = gap
			m.out.truncated = true
			m.out.truncatedKind = truncationKind(hints, false, m.unmatchedText(lastC+1))
			return
		}
	}
	changes := append(interior, m.removed(prefix)...)
	changes = append(changes, m.removed(suffix)...)
	if open >= 0 && len(suffix) == 0 {
		changes = append(changes, m.edited(&al.segs[open])...)
	}
	for _, side := range [][]int{before, after} {
		words, dense := 0, true
		for _, j := range side {
			words += c.sents[j].words()
			if c.blocks[c.sents[j].block].linkDensity < edgeLinkDensity {
				dense = false
			}
		}
		if words >= edgeWords && !dense {
			changes = append(changes, m.added(side)...)
			m.out.edgeInsertion = true
		} else {
			m.out.edges += words
		}
	}
	slices.SortStableFunc(changes, func(a, b survey.Change) int { return a.At[0][0] - b.At[0][0] })
	if len(changes) > maxChanges {
		changes = changes[:maxChanges]
	}
	m.out.changes = changes
	if missing := slices.Concat(prefix, middle, suffix); len(missing) > 0 && len(interior) <= len(middle) && len(inserted) == 0 && !m.out.edgeInsertion && onlyRemoved(changes) {
		in, _ := m.cores()
		m.out.stray = in != nil && !slices.ContainsFunc(missing, func(i int) bool { return in[r.sents[i].block] })
	}
	if m.out.viaVisible {
		for i := range m.out.changes {
			m.out.changes[i].At[1] = [2]int{} // no offsets into a text that was not extracted
		}
	}
}

func onlyRemoved(changes []survey.Change) bool {
	return !slices.ContainsFunc(changes, func(c survey.Change) bool { return c.Kind != kindParagraphRemoved && c.Kind != kindSentenceDeleted })
}

// plainMatch reports whether the candidate's sentence has a partner that is no box.
func (m *comparison) plainMatch(j int) bool {
	return m.al.cand[j] >= 0 && !m.boxed(m.c, j)
}

// cutBeforeTail looks at sentences missing in the middle: when they form one stretch, it gives the words that follow it and the number
// of changes it would be reported as.
func (m *comparison) cutBeforeTail(middle, suffix []int, last int) (tail, changes int) {
	if len(middle) == 0 {
		return 0, 0
	}
	from, to := middle[0], middle[len(middle)-1]
	for i := from; i <= to; i++ {
		if n := m.al.ref[i]; n >= 0 && !m.boxed(m.r, i) && m.r.sents[i].words() > 8 {
			return 0, 0
		}
	}
	for i := to + 1; i <= last; i++ {
		tail += m.r.sents[i].words()
	}
	groups(m.r, middle, func(int, int, bool) { changes++ })
	return tail, changes
}

// unmatchedText gives the candidate's words from sentence j on that belong to nothing, boxes included.
func (m *comparison) unmatchedText(j int) []token {
	var out []token
	for ; j < len(m.c.sents); j++ {
		if m.al.cand[j] < 0 {
			out = append(out, m.c.toks(j)...)
		}
	}
	return out
}

func truncationKind(hints textHints, open bool, tail []token) string {
	u := strings.ToLower(hints.url)
	switch {
	case hints.cutBody:
		return "transport"
	case isPaywall(tail):
		return "teaser"
	case strings.Contains(u, "/amp") || strings.Contains(u, "amp.") || strings.Contains(u, "amp=1"):
		return "amp"
	case strings.Contains(u, "print"):
		return "print"
	case open && len(tail) == 0:
		return "transport" // ends inside a sentence, and nothing follows
	}
	return "cut"
}

// boxed reports whether the sentence belongs to a box, a counter or the site's template.
func (m *comparison) boxed(d *document, i int) bool {
	b := d.sents[i].block
	return d.blocks[b].promo || d.template != nil && d.template[b] || isCounter(d.toks(i))
}

// uncounted reports whether a sentence without a partner says nothing about the article: boxes, counters, template, sentences
// that change by themselves, the title repeated, labels, and sentences that the other page shows outside what was
// taken for its article.
func (m *comparison) uncounted(d, other *document, match []int, i int) bool {
	s := &d.sents[i]
	b := &d.blocks[s.block]
	toks := d.toks(i)
	whole := true
	for k := b.first; k < b.last; k++ {
		if match[k] >= 0 {
			whole = false
			break
		}
	}
	switch {
	case isCounter(toks):
		return true
	case whole && (b.promo || b.linkDensity >= 0.5 || d.template != nil && d.template[s.block]):
		return true
	case in64(d.masked, s.key) || in64(other.masked, s.key):
		m.out.masked++
		return true
	case whole && b.last-b.first == 1 && len(toks) <= 4 && endsOpen(d.text[s.start:s.end]):
		return true // a label: "Advertisement", "Photo: AFP"
	case whole && (sameTitle(d.text[s.start:s.end], d.page, other.page, d.hosts) || sameTitle(d.text[s.start:s.end], other.page, d.page, d.hosts)):
		return true
	case len(toks) >= 3 && other.shows(toks):
		m.out.rescued++
		return true
	case m.apart(d, i):
		if d == m.c {
			m.out.edges += s.words()
		}
		return true
	}
	return false
}

func in64(m map[uint64]struct{}, k uint64) bool { _, ok := m[k]; return ok }

// groups splits ascending sentence numbers into runs that stand together in one block.
func groups(d *document, list []int, yield func(first, last int, whole bool)) {
	for n := 0; n < len(list); {
		k := n
		for k+1 < len(list) && list[k+1] == list[k]+1 && d.sents[list[k+1]].block == d.sents[list[n]].block {
			k++
		}
		b := d.blocks[d.sents[list[n]].block]
		yield(list[n], list[k], list[n] == b.first && list[k] == b.last-1)
		n = k + 1
	}
}

func (m *comparison) removed(list []int) []survey.Change {
	var out []survey.Change
	groups(m.r, list, func(first, last int, whole bool) {
		kind := kindSentenceDeleted
		if whole {
			kind = kindParagraphRemoved
		}
		// The place in the candidate is where the text would stand.
		at := 0
		for i := first - 1; i >= 0; i-- {
			if n := m.al.ref[i]; n >= 0 && !m.al.segs[n].moved {
				at = m.c.sents[m.al.segs[n].c1-1].end
				break
			}
		}
		out = append(out, m.change(kind, m.r.sents[first].start, m.r.sents[last].end, at, at))
	})
	return out
}

func (m *comparison) added(list []int) []survey.Change {
	var out []survey.Change
	groups(m.c, list, func(first, last int, whole bool) {
		kind := kindSentenceInserted
		if whole {
			kind = kindParagraphInserted
		}
		at := 0
		for j := first - 1; j >= 0; j-- {
			if n := m.al.cand[j]; n >= 0 && !m.al.segs[n].moved {
				at = m.r.sents[m.al.segs[n].r1-1].end
				break
			}
		}
		out = append(out, m.change(kind, at, at, m.c.sents[first].start, m.c.sents[last].end))
	})
	return out
}

// moves lists what stands elsewhere, neighbours that moved together as one.
func (m *comparison) moves() []survey.Change {
	var out []survey.Change
	for n := 0; n < len(m.al.segs); n++ {
		s := m.al.segs[n]
		if !s.moved || m.boxed(m.r, s.r0) || m.apart(m.r, s.r0) || m.apart(m.c, s.c0) {
			continue
		}
		for n+1 < len(m.al.segs) && m.al.segs[n+1].moved && m.al.segs[n+1].r0 == s.r1 && m.al.segs[n+1].c0 == s.c1 {
			n++
			s.r1, s.c1 = m.al.segs[n].r1, m.al.segs[n].c1
		}
		out = append(out, m.change(kindMoved, m.r.sents[s.r0].start, m.r.sents[s.r1-1].end, m.c.sents[s.c0].start, m.c.sents[s.c1-1].end))
	}
	return out
}

func (m *comparison) change(kind string, r0, r1, c0, c1 int) survey.Change {
	return survey.Change{Kind: kind, Reference: quote(m.r.text[r0:r1]), Candidate: quote(m.c.text[c0:c1]), At: [2][2]int{{r0, r1}, {c0, c1}}}
}

func quote(s string) string {
	if len(s) <= maxChangeText {
		return strings.Clone(s)
	}
	s = s[:maxChangeText]
	for len(s) > 0 && !utf8.ValidString(s[len(s)-1:]) && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "") + "…"
}

// span is a token's place in the original text.
type span struct {
	start, end int
	upper      bool // begins with a capital
	opening    bool // first of its sentence
	quoted     bool // inside quotation marks
}

// places finds the tokens of sentences [from,to) in the original text. nil when the count differs, which happens where
// normalising replaced a host name or joined characters.
func places(d *document, from, to int) []span {
	var out []span
	for i := from; i < to; i++ {
		s := &d.sents[i]
		text := d.text[s.start:s.end]
		n := len(out)
		scan(text, func(a, b int, _ bool) {
			c, _ := utf8.DecodeRuneInString(text[a:b])
			out = append(out, span{start: s.start + a, end: s.start + b, upper: unicode.IsUpper(c), opening: len(out) == n})
		})
		if len(out)-n != s.to-s.from {
			return nil
		}
		markQuoted(text, s.start, out[n:])
	}
	return out
}

// markQuoted marks the tokens between quotation marks. A mark that is never closed reaches to the sentence's end.
func markQuoted(text string, base int, toks []span) {
	open := -1
	k := 0
	flush := func(from, to int) {
		for k < len(toks) && toks[k].start < base+from {
			k++
		}
		for k < len(toks) && toks[k].start < base+to {
			toks[k].quoted = true
			k++
		}
	}
	for i, r := range text {
		switch r {
		case '"', '“', '”', '«', '»', '„', '「', '」', '『', '』':
			if open < 0 {
				if r == '”' || r == '»' || r == '」' || r == '』' {
					flush(0, i) // opened in an earlier sentence
					continue
				}
				open = i
				continue
			}
			flush(open, i)
			open = -1
		}
	}
	if open >= 0 {
		flush(open, len(text))
	}
}

var (
	negations = set("not no never none nothing nobody neither nor without cannot denied denies deny refused refuses n't don't doesn't didn't won't wouldn't can't couldn't isn't aren't wasn't weren't hasn't haven't hadn't shouldn't nicht kein keine keinen keiner nie niemals ohne non pas jamais sans aucun aucune ni no nunca sin ningún ninguna nada não nunca sem не нет ни никогда без لا لم لن ليس ليست بدون غير نه نیست نبود نمی نشد هیچ بدون לא אין אינו ללא 不 没 無 无 未 非 नहीं न मत değil yok asla")
	numbers   = set("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million millions billion billions dozen dozens half twice double triple first second third один два три четыре пять шесть семь восемь девять десять сто тысяча тысяч миллион миллионов ein zwei drei vier fünf sechs sieben acht neun zehn deux trois quatre cinq sept huit neuf dix cent mille dos tres cuatro cinco seis siete ocho nueve diez mil 一 二 三 四 五 六 七 八 九 十 百 千 万 亿 億")
)

func negation(t string) bool { return in(negations, t) || strings.HasSuffix(t, "n't") }

// edited says what differs inside one pair of sentences.
func (m *comparison) edited(s *segment) []survey.Change {
	for i := s.r0; i < s.r1; i++ {
		if in64(m.r.masked, m.r.sents[i].key) || in64(m.c.masked, m.r.sents[i].key) {
			m.out.masked++
			return nil
		}
	}
	for j := s.c0; j < s.c1; j++ {
		if in64(m.r.masked, m.c.sents[j].key) || in64(m.c.masked, m.c.sents[j].key) {
			m.out.masked++
			return nil
		}
	}
	rt := m.r.tokens[m.r.sents[s.r0].from:m.r.sents[s.r1-1].to]
	ct := m.c.tokens[m.c.sents[s.c0].from:m.c.sents[s.c1-1].to]
	if isCounter(rt) && isCounter(ct) || m.boxed(m.r, s.r0) && m.boxed(m.c, s.c0) {
		return nil
	}
	rp, cp := places(m.r, s.r0, s.r1), places(m.c, s.c0, s.c1)
	rStart, rEnd := m.r.sents[s.r0].start, m.r.sents[s.r1-1].end
	cStart, cEnd := m.c.sents[s.c0].start, m.c.sents[s.c1-1].end

	var out []survey.Change
	whole := func(kind string) { out = append(out, m.change(kind, rStart, rEnd, cStart, cEnd)) }
	hunks := diffTokens(rt, ct)
	plain, quotation, changed, counters := false, false, 0, 0
	for _, h := range hunks {
		if h.r0 == h.r1 && counterRun(ct[h.c0:h.c1]) || h.c0 == h.c1 && counterRun(rt[h.r0:h.r1]) {
			counters++
			continue
		}
		changed += max(h.r1-h.r0, h.c1-h.c0)
		kinds := m.kindsOf(rt, ct, rp, cp, h)
		a0, a1 := octets(rp, h.r0, h.r1, rStart, rEnd)
		b0, b1 := octets(cp, h.c0, h.c1, cStart, cEnd)
		for _, k := range kinds {
			if k == kindQuotation {
				quotation = true
				continue
			}
			out = append(out, m.change(k, a0, a1, b0, b1))
		}
		if len(kinds) == 0 {
			plain = true
		}
	}
	if !quotation && anyQuoted(rp, cp) && attribution(hunks, rp, cp) {
		quotation = true
	}
	if quotation {
		whole(kindQuotation)
	}
	if counters > 0 && counters == len(hunks) {
		return nil
	}
	if plain || changed*2 > len(rt)+len(ct) || len(out) == 0 {
		whole(kindSentenceEdited)
	}
	return out
}

// counterRun reports whether a run of words that only one side has is a counter that was read into the sentence beside it.
func counterRun(toks []token) bool {
	return len(toks) >= 2 && isCounter(toks) && figures(toks) != ""
}

func octets(p []span, from, to, start, end int) (int, int) {
	switch {
	case p == nil:
		return start, end
	case from < to:
		return p[from].start, p[to-1].end
	case from > 0:
		return p[from-1].end, p[from-1].end
	}
	return start, start
}

// kindsOf names what a differing place is about: the more telling kinds first, none when it is plain wording.
func (m *comparison) kindsOf(rt, ct []token, rp, cp []span, h hunk) []string {
	var kinds []string
	r, c := rt[h.r0:h.r1], ct[h.c0:h.c1]
	if figures(r) != figures(c) {
		kinds = append(kinds, kindNumber)
	}
	if months(r) != months(c) || (len(kinds) > 0 && besideMonth(rt, h.r0, h.r1) && besideMonth(ct, h.c0, h.c1)) {
		kinds = append(kinds, kindDate)
	}
	count := func(toks []token) (n int) {
		for i := range toks {
			if negation(toks[i].text) {
				n++
			}
		}
		return n
	}
	if count(r) != count(c) {
		kinds = append(kinds, kindNegation)
	}
	// A run of many words is wording, whoever is named in it.
	if max(h.r1-h.r0, h.c1-h.c0) <= 5 && (m.named(m.r, rt, rp, h.r0, h.r1) || m.named(m.c, ct, cp, h.c0, h.c1)) {
		kinds = append(kinds, kindName)
	}
	quoted := false
	for k := h.r0; k < h.r1 && rp != nil; k++ {
		quoted = quoted || rp[k].quoted
	}
	for k := h.c0; k < h.c1 && cp != nil; k++ {
		quoted = quoted || cp[k].quoted
	}
	if quoted {
		kinds = append(kinds, kindQuotation)
	}
	return kinds
}

func figures(toks []token) string {
	var b strings.Builder
	for i := range toks {
		t := toks[i].text
		if r, _ := utf8.DecodeRuneInString(t); numeric(t) || in(numbers, t) || unicode.Is(unicode.Sc, r) {
			b.WriteString(t)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func months(toks []token) string {
	var b strings.Builder
	for i := range toks {
		if in(monthWord, toks[i].text) {
			b.WriteString(toks[i].text)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func besideMonth(toks []token, from, to int) bool {
	for i := max(0, from-2); i < min(len(toks), to+2); i++ {
		if in(monthWord, toks[i].text) {
			return true
		}
	}
	return false
}

// named reports whether a run of tokens holds a proper name: a capital inside a sentence, or at its beginning when the word is
// never written small on this page. Scripts without capitals give no such sign; there the edit is reported as edited.
func (m *comparison) named(d *document, toks []token, p []span, from, to int) bool {
	if p == nil {
		return false
	}
	for k := from; k < to; k++ {
		if !p[k].upper || in(monthWord, toks[k].text) {
			continue
		}
		if len(toks[k].text) == 1 && toks[k].text != "x" {
			continue // "I", "A"
		}
		opening := p[k].opening || k > 0 && !p[k-1].quoted && p[k].quoted
		if !opening && !d.blocks[d.blockAt(p[k].start)].heading {
			return true
		}
		if !in64(d.lowerWords(), toks[k].hash) && !in(common, toks[k].text) {
			return true
		}
	}
	return false
}

var common = set("the a an this that these those it he she they we you i his her their our its in on at by for from with to of as and but or if when while after before during since until because although however also there here what who which how why where not no all some many most more other another both each few such only just even still yet then now according speaking meanwhile earlier later today yesterday one two three last next new over under about between among against despite instead so is are was were has have had will would can could may might must should do does did let")

func (d *document) blockAt(offset int) int {
	n, _ := slices.BinarySearchFunc(d.blocks, offset, func(b blockInfo, o int) int {
		switch {
		case b.end <= o:
			return -1
		case b.start > o:
			return 1
		}
		return 0
	})
	return min(n, len(d.blocks)-1)
}

// lowerWords are the words that the text writes small somewhere.
func (d *document) lowerWords() map[uint64]struct{} {
	if d.lower == nil {
		d.lower = map[uint64]struct{}{}
		for i := range d.sents {
			p := places(d, i, i+1)
			for k := range p {
				if !p[k].upper {
					d.lower[d.tokens[d.sents[i].from+k].hash] = struct{}{}
				}
			}
		}
	}
	return d.lower
}

func anyQuoted(lists ...[]span) bool {
	for _, l := range lists {
		for k := range l {
			if l[k].quoted {
				return true
			}
		}
	}
	return false
}

// attribution reports whether a name outside the quotation marks changed in a sentence that quotes.
func attribution(hunks []hunk, rp, cp []span) bool {
	for _, h := range hunks {
		for k := h.r0; k < h.r1 && rp != nil; k++ {
			if rp[k].upper && !rp[k].quoted {
				return true
			}
		}
		for k := h.c0; k < h.c1 && cp != nil; k++ {
			if cp[k].upper && !cp[k].quoted {
				return true
			}
		}
	}
	return false
}

// titleTokens gives a page's title without site name.
func titleVariants(title string, p *content.Page, hosts []survey.Host) []uint64 {
	title = strings.TrimSpace(title)
	if title == "" {
		return nil
	}
	out := []uint64{titleKey(title, hosts)}
	for rest := title; ; {
		at, size := lastSeparator(rest)
		if at <= 0 {
			break
		}
		tail := strings.TrimSpace(rest[at+size:])
		rest = strings.TrimSpace(rest[:at])
		if !siteName(tail, p, hosts) {
			break
		}
		out = append(out, titleKey(rest, hosts))
	}
	if at, size := firstSeparator(title); at > 0 && siteName(strings.TrimSpace(title[:at]), p, hosts) {
		out = append(out, titleKey(strings.TrimSpace(title[at+size:]), hosts))
	}
	return out
}

func titleKey(s string, hosts []survey.Host) uint64 {
	toks, _ := tokenize(nil, content.Normalise(s, hosts))
	return hashSequence(toks)
}

var separators = []string{" | ", " – ", " — ", " - ", " » ", " :: ", " · ", " • ", ": "}

func lastSeparator(s string) (at, size int) {
	at = -1
	for _, sep := range separators {
		if i := strings.LastIndex(s, sep); i > at {
			at, size = i, len(sep)
		}
	}
	return at, size
}

func firstSeparator(s string) (at, size int) {
	at = -1
	for _, sep := range separators {
		if i := strings.Index(s, sep); i >= 0 && (at < 0 || i < at) {
			at, size = i, len(sep)
		}
	}
	return at, size
}

// siteName reports whether a piece of a title names the site: what the page calls itself, or the label of a host of the mirror
// set.
func siteName(s string, p *content.Page, hosts []survey.Host) bool {
	flat := flatten(s)
	if flat == "" {
		return true
	}
	if p != nil && p.SiteTitle != "" {
		if t := flatten(p.SiteTitle); t == flat || strings.Contains(t, flat) && len(flat) > 3 || strings.Contains(flat, t) && len(flat) < 2*len(t) {
			return true
		}
	}
	for _, h := range hosts {
		for label := range strings.SplitSeq(strings.TrimPrefix(string(h), "www."), ".") {
			if len(label) > 3 && (flat == label || strings.Contains(flat, label) && len(flat) < 2*len(label)+4) {
				return true
			}
		}
		if flatten(string(h)) == flat {
			return true
		}
	}
	return false
}

func flatten(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// sameTitle reports whether text is the title of p, site names set aside.
func sameTitle(text string, p, other *content.Page, hosts []survey.Host) bool {
	if p == nil || p.Title == "" {
		return false
	}
	_ = other
	return titlesAgree(text, p, p.Title, p, hosts)
}

// titlesAgree compares two titles with and without the site names at their ends. A page whose own site name is not known may
// carry one more piece than the other.
func titlesAgree(a string, pa *content.Page, b string, pb *content.Page, hosts []survey.Host) bool {
	va, vb := titleVariants(a, pa, hosts), titleVariants(b, pb, hosts)
	for _, x := range va {
		if slices.Contains(vb, x) {
			return true
		}
	}
	extra := func(long string, short []uint64) bool {
		at, size := lastSeparator(long)
		return at > 0 && len(strings.Fields(long[at+size:])) <= 4 && len(short) > 0 && slices.Contains(short, titleKey(long[:at], hosts))
	}
	return extra(a, vb[:min(1, len(vb))]) || extra(b, va[:min(1, len(va))])
}
