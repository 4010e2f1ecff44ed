package compare

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// Bounds of one text. A page beyond them is judged by its beginning; real articles stay far below.
const (
	maxSentences     = 20_000
	maxSentenceBytes = 4_000 // a longer run without a full stop is cut at a space
	shingleSize      = 5     // words; the size that classification.md 2.4 was measured with
)

// token is one word, number or CJK character of a normalised sentence.
type token struct {
	hash uint64
	text string
}

// sentence is a piece of a document with its octet range in the document's own text.
type sentence struct {
	start, end int
	block      int
	key        uint64 // of the token sequence: equal keys are equal sentences after normalisation
	from, to   int    // range in document.tokens
	sorted     []uint64
	cjk        int // tokens that are single characters of a script without spaces
}

// words counts the sentence's words; characters of scripts without spaces count half (classification.md 1.6).
func (s *sentence) words() int { return (s.to - s.from) - s.cjk + s.cjk/2 }

// document is a page's text prepared for comparing.
type document struct {
	page   *content.Page
	text   string
	sents  []sentence
	tokens []token
	words  int
	blocks []blockInfo

	shingles map[uint64]struct{}
	visible  string              // tokens of all visible text, joined and framed by spaces; made when first asked for
	visShing map[uint64]struct{} // shingles of the visible text
	hosts    []survey.Host
	lower    map[uint64]struct{} // words seen in lower case inside sentences; made when first asked for
	template []bool              // by block: the domain's decoy answers carry it too
	masked   map[uint64]struct{} // keys of sentences that differ between two fetches of the same URL
	decoys   []*document         // what the mirror answers for what cannot exist, unless that is this very text
}

type blockInfo struct {
	start, end  int
	linkDensity float64
	heading     bool
	quote       bool
	first, last int // sentences [first,last)
	promo       bool
	holder      int32 // of content.Block, -1 where there is none
}

// newDocument prepares a page. It accepts nil and pages without text.
func newDocument(p *content.Page, hosts []survey.Host) *document {
	d := &document{page: p, hosts: hosts}
	if p == nil {
		d.page = &content.Page{}
		return d
	}
	d.text = p.Text
	d.blocks = blocksOf(p)
	d.tokens = make([]token, 0, len(d.text)/5)
	d.sents = make([]sentence, 0, len(d.text)/80+1)
	for i := range d.blocks {
		b := &d.blocks[i]
		b.first = len(d.sents)
		if len(d.sents) < maxSentences {
			splitSentences(d.text, b.start, b.end, func(s, e int) { d.addSentence(s, e, i) })
		}
		b.last = len(d.sents)
		b.promo = isPromo(d.blockTokens(i), b.linkDensity)
	}
	return d
}

// blocksOf takes the page's blocks when their offsets hold, else the lines of its text.
func blocksOf(p *content.Page) []blockInfo {
	blocks := make([]blockInfo, 0, len(p.Blocks))
	prev := 0
	for _, b := range p.Blocks {
		if b.Start < prev || b.End < b.Start || b.End > len(p.Text) {
			blocks = nil
			break
		}
		prev = b.End
		blocks = append(blocks, blockInfo{start: b.Start, end: b.End, linkDensity: b.LinkDensity, heading: b.Heading, quote: b.Quote, holder: b.Holder})
	}
	if len(blocks) > 0 && blocks[len(blocks)-1].end > 0 {
		return blocks
	}
	blocks = blocks[:0]
	for at := 0; at < len(p.Text); {
		end := strings.IndexByte(p.Text[at:], '\n')
		if end < 0 {
			end = len(p.Text)
		} else {
			end += at
		}
		if end > at {
			blocks = append(blocks, blockInfo{start: at, end: end, holder: -1})
		}
		at = end + 1
	}
	return blocks
}

func (d *document) addSentence(start, end, block int) {
	if len(d.sents) >= maxSentences {
		return
	}
	from := len(d.tokens)
	cjk := 0
	d.tokens, cjk = tokenize(d.tokens, content.Normalise(d.text[start:end], d.hosts))
	if len(d.tokens) == from {
		return
	}
	s := sentence{start: start, end: end, block: block, from: from, to: len(d.tokens), cjk: cjk}
	s.key = hashSequence(d.tokens[from:])
	d.words += s.words()
	d.sents = append(d.sents, s)
}

func (d *document) toks(i int) []token { return d.tokens[d.sents[i].from:d.sents[i].to] }

func (d *document) blockTokens(i int) []token {
	b := d.blocks[i]
	if b.first >= b.last {
		return nil
	}
	return d.tokens[d.sents[b.first].from:d.sents[b.last-1].to]
}

// shingleSet returns the hashed shingles of the main text.
func (d *document) shingleSet() map[uint64]struct{} {
	if d.shingles == nil {
		d.shingles = shinglesOf(d.tokens)
	}
	return d.shingles
}

func (d *document) visibleTokens() []token {
	const limit = 2 << 20
	text := d.page.Visible
	if len(text) > limit {
		text = text[:limit]
	}
	toks, _ := tokenize(nil, content.Normalise(text, d.hosts))
	return toks
}

// visibleShingles returns the hashed shingles of everything a reader sees on the page.
func (d *document) visibleShingles() map[uint64]struct{} {
	if d.visShing == nil {
		d.visShing = shinglesOf(d.visibleTokens())
	}
	return d.visShing
}

// shows reports whether the very words stand somewhere on the visible page, in or out of what was taken for the article.
func (d *document) shows(words []token) bool {
	if d.visible == "" {
		d.visible = joinTokens(d.visibleTokens())
	}
	return strings.Contains(d.visible, joinTokens(words))
}

// anyAddressShows reports whether the words stand on what the mirror answers for what cannot exist.
func (d *document) anyAddressShows(words []token) bool {
	for _, t := range d.decoys {
		if t.shows(words) {
			return true
		}
	}
	return false
}

func joinTokens(toks []token) string {
	n := 1
	for i := range toks {
		n += len(toks[i].text) + 1
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(' ')
	for i := range toks {
		b.WriteString(toks[i].text)
		b.WriteByte(' ')
	}
	return b.String()
}

// shinglesOf hashes every run of shingleSize tokens; a shorter text is one shingle.
func shinglesOf(toks []token) map[uint64]struct{} {
	set := make(map[uint64]struct{}, len(toks))
	if len(toks) == 0 {
		return set
	}
	if len(toks) < shingleSize {
		set[hashSequence(toks)] = struct{}{}
		return set
	}
	for i := 0; i+shingleSize <= len(toks); i++ {
		set[hashSequence(toks[i:i+shingleSize])] = struct{}{}
	}
	return set
}

// containment is the share of a's shingles that b has too; 0 when a is empty.
func containment(a, b map[uint64]struct{}) float64 {
	if len(a) == 0 {
		return 0
	}
	n := 0
	for h := range a {
		if _, ok := b[h]; ok {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

func hashSequence(toks []token) uint64 {
	h := uint64(14695981039346656037)
	for i := range toks {
		h ^= toks[i].hash
		h *= 1099511628211
		h ^= h >> 29
	}
	return h
}

func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h ^= uint64(s[i])
		h *= 1099511628211
	}
	return h
}

// tokenize appends the tokens of a normalised text and counts those of scripts without spaces.
func tokenize(out []token, s string) ([]token, int) {
	cjk := 0
	scan(s, func(start, end int, single bool) {
		out = append(out, token{hashString(s[start:end]), s[start:end]})
		if single {
			cjk++
		}
	})
	return out, cjk
}

// scan yields the tokens of a text, normalised or not, as octet ranges. A number keeps its inner points, commas and colons, its
// sign and its percent mark, and currency signs are tokens, so that no changed figure is lost as "punctuation". Characters of
// scripts without spaces are tokens of their own (single).
func scan(s string, yield func(start, end int, single bool)) {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		j := i + size
		switch {
		case unspaced(r):
			for j < len(s) {
				m, n := utf8.DecodeRuneInString(s[j:])
				if !unicode.Is(unicode.M, m) {
					break
				}
				j += n
			}
			yield(i, j, true)
		case isDigit(r), isSign(r) && signed(s, i, size):
		number:
			for j < len(s) {
				m, n := utf8.DecodeRuneInString(s[j:])
				switch {
				case isDigit(m), unicode.IsLetter(m) && !unspaced(m):
					j += n
					continue
				case m == '.' || m == ',' || m == ':' || m == '٫' || m == '٬':
					if next, _ := utf8.DecodeRuneInString(s[j+n:]); isDigit(next) {
						j += n
						continue
					}
				case m == '%' || m == '‰':
					j += n
				}
				break number
			}
			yield(i, j, false)
		case wordRune(r):
			for j < len(s) {
				m, n := utf8.DecodeRuneInString(s[j:])
				if (wordRune(m) || isDigit(m) || unicode.Is(unicode.Cf, m)) && !unspaced(m) {
					j += n
					continue
				}
				if m == '\'' || m == '’' {
					if next, _ := utf8.DecodeRuneInString(s[j+n:]); unicode.IsLetter(next) {
						j += n
						continue
					}
				}
				break
			}
			yield(i, j, false)
		case r >= 0x80 && unicode.Is(unicode.Sc, r), r == '$':
			yield(i, j, false)
		}
		i = j
	}
}

func wordRune(r rune) bool {
	if r < 0x80 {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return unicode.IsLetter(r) || unicode.Is(unicode.M, r)
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' || r > 0x7f && unicode.IsDigit(r) }

func isSign(r rune) bool { return r == '-' || r == '+' || r == '−' }

// signed reports whether the sign at i belongs to a number: a digit behind it and no word or digit before it.
func signed(s string, i, size int) bool {
	next, _ := utf8.DecodeRuneInString(s[i+size:])
	if !isDigit(next) {
		return false
	}
	if i == 0 {
		return true
	}
	prev, _ := utf8.DecodeLastRuneInString(s[:i])
	return unicode.IsSpace(prev) || prev == '('
}

// unspaced reports whether r belongs to a script that writes words without spaces between them.
func unspaced(r rune) bool {
	switch {
	case r < 0x0e00:
		return false
	case r < 0x1100: // Thai, Lao, Tibetan, Burmese
		return unicode.In(r, unicode.Thai, unicode.Lao, unicode.Myanmar) && unicode.IsLetter(r)
	case 0x1780 <= r && r <= 0x17ff:
		return unicode.IsLetter(r)
	case 0x3040 <= r && r <= 0x30ff, 0x31f0 <= r && r <= 0x31ff, 0x3400 <= r && r <= 0x9fff, 0xf900 <= r && r <= 0xfaff, 0x20000 <= r && r <= 0x3ffff:
		return unicode.IsLetter(r)
	}
	return false
}

// splitSentences yields the sentences of text[start:end] as octet ranges without outer white space. It is a splitter for
// aligning, not for grammar: what matters is that equal texts are split equally.
func splitSentences(text string, start, end int, yield func(start, end int)) {
	emit := func(s, e int) {
		for s < e {
			r, n := utf8.DecodeRuneInString(text[s:e])
			if !unicode.IsSpace(r) {
				break
			}
			s += n
		}
		for s < e {
			r, n := utf8.DecodeLastRuneInString(text[s:e])
			if !unicode.IsSpace(r) {
				break
			}
			e -= n
		}
		if s < e {
			yield(s, e)
		}
	}
	from := start
	for i := start; i < end; {
		r, n := utf8.DecodeRuneInString(text[i:end])
		i += n
		switch r {
		case '\n', '\u2028', '\u2029':
			emit(from, i)
			from = i
			continue
		case '.', '!', '?', '…', '؟', '۔', '।', '॥', '။', '。', '！', '？', '｡', '։', '።':
		default:
			if i-from > maxSentenceBytes && (unicode.IsSpace(r) || i-from > 2*maxSentenceBytes) {
				emit(from, i)
				from = i
			}
			continue
		}
		wide := r == '。' || r == '！' || r == '？' || r == '｡' || r == '။'
		j := i
		for j < end { // further stops, closing quotes and brackets belong to the sentence
			c, m := utf8.DecodeRuneInString(text[j:end])
			if c == '.' || c == '!' || c == '?' || c == '…' || c == '"' || c == '\'' || unicode.In(c, unicode.Pf, unicode.Pe) {
				j += m
				continue
			}
			break
		}
		if j < end && !wide {
			next, m := utf8.DecodeRuneInString(text[j:end])
			if !unicode.IsSpace(next) {
				continue
			}
			k := j + m
			for k < end && unicode.IsSpace(next) {
				next, m = utf8.DecodeRuneInString(text[k:end])
				k += m
			}
			if unicode.IsLower(next) || r == '.' && abbreviated(text[from:i-1]) {
				continue
			}
		}
		emit(from, j)
		from, i = j, j
	}
	emit(from, end)
}

var abbreviations = set("mr mrs ms dr prof gen col lt sgt sen rep gov st jr sr vs no nos vol fig inc ltd corp co jan feb mar apr jun jul aug sep sept oct nov dec al etc approx dept est bros ca cf ed eds ph rev hon capt maj adm messrs mme mlle bzw nr str г гг ул им тыс млн руб стр т д п")

// abbreviated reports whether the word before a full stop is an initial or a known abbreviation.
func abbreviated(s string) bool {
	at := strings.LastIndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && r != '.' })
	word := s
	if at >= 0 {
		_, n := utf8.DecodeRuneInString(s[at:])
		word = s[at+n:]
	}
	if word == "" {
		return false
	}
	if i := strings.LastIndexByte(word, '.'); i >= 0 {
		return utf8.RuneCountInString(word[i+1:]) <= 1
	}
	if utf8.RuneCountInString(word) == 1 {
		r, _ := utf8.DecodeRuneInString(word)
		return unicode.IsUpper(r)
	}
	_, ok := abbreviations[strings.ToLower(word)]
	return ok
}

func set(words string) map[string]struct{} {
	m := map[string]struct{}{}
	for _, w := range strings.Fields(words) {
		m[w] = struct{}{}
	}
	return m
}

func in(m map[string]struct{}, w string) bool { _, ok := m[w]; return ok }
