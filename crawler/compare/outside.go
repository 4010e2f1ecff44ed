package compare

import (
	"strings"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// Extraction may leave out a paragraph of the article on both sides, and an edit in it would go unseen. So lines that both
// pages show outside what was taken for the article's text are held against each other too: a line of prose that is there
// on both sides, alike but not equal, is an edit. Lines that came, went or are quite different are surroundings.

const (
	outsideWords = 12  // shorter lines are navigation
	outsideAlike = 0.8 // Dice of the words of two lines that are one line edited
	outsideLines = 400
	amidLines    = 2
)

// outside returns the edits; second is another fetch of the candidate's page: what differs there is volatile. Of two layouts only
// lines that stand among the article's own are held against each other: the rest is what each says of itself.
func outside(r, c *document, second *content.Page, other func() bool) []survey.Change {
	if r.page == nil || c.page == nil || r.page.Visible == c.page.Visible {
		return nil
	}
	a, b := onlyLines(r, c), onlyLines(c, r)
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	if other() {
		if a, b = amid(a), amid(b); len(a) == 0 || len(b) == 0 {
			return nil
		}
	}
	var out []survey.Change
	used := make([]bool, len(b))
	for _, x := range a {
		best, at := outsideAlike, -1
		for k, y := range b {
			if !used[k] && x.key != y.key {
				if d := diceSorted(x.sorted, y.sorted); d >= best {
					best, at = d, k
				}
			}
		}
		if at < 0 {
			continue
		}
		used[at] = true
		if second != nil && !strings.Contains(second.Visible, b[at].raw) {
			continue
		}
		t := compareText(lineDocument(x.raw, r), lineDocument(b[at].raw, c), textHints{})
		for _, ch := range t.changes {
			ch.At = [2][2]int{} // not in the texts that offsets speak of
			out = append(out, ch)
		}
		if len(out) >= 20 {
			break
		}
	}
	return out
}

type shownLine struct {
	raw    string
	sorted []uint64
	key    uint64
	line   int
	amid   bool // a paragraph of the article stands within a few lines of it
}

func amid(lines []shownLine) []shownLine {
	var out []shownLine
	for _, l := range lines {
		if l.amid {
			out = append(out, l)
		}
	}
	return out
}

// onlyLines are the lines of prose that d shows outside its main text and that other does not show.
func onlyLines(d, other *document) []shownLine {
	have := map[string]bool{}
	for l := range strings.Lines(other.page.Visible) {
		have[strings.TrimSpace(l)] = true
	}
	main := map[string]bool{}
	for _, b := range d.page.Blocks {
		main[strings.TrimSpace(b.Text)] = true
	}
	linked := map[string]bool{}
	for i, l := range d.page.Links {
		if i == 2000 {
			break
		}
		linked[strings.TrimSpace(l.Text)] = true
	}
	var out []shownLine
	n, told := 0, 0
	last := -1000 // number of the last line that is a paragraph of the article
	for l := range strings.Lines(d.page.Visible) {
		l = strings.TrimSpace(l)
		n++
		if len(l) >= 4*outsideWords && main[l] {
			last = n
			for ; told < len(out); told++ {
				out[told].amid = out[told].amid || out[told].line >= n-amidLines
			}
		}
		if len(l) < 4*outsideWords || len(l) > 20_000 || have[l] || main[l] || linked[l] {
			continue
		}
		toks, _ := tokenize(nil, content.Normalise(l, d.hosts))
		if len(toks) < outsideWords {
			continue
		}
		out = append(out, shownLine{l, sortedHashes(toks), hashSequence(toks), n, last >= n-amidLines})
		if len(out) == outsideLines {
			break
		}
	}
	return out
}

func lineDocument(s string, of *document) *document {
	p := &content.Page{Title: of.page.Title, Lang: of.page.Lang, Text: s, Visible: s, Blocks: []content.Block{{Text: s, End: len(s)}}}
	p.Words = content.Count(s)
	return newDocument(p, of.hosts)
}
