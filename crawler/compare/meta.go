package compare

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// metaChanges compares what two pages of one work say beside their text: title, author, date, pictures, link targets. Of a page
// of another layout, what was read from its surroundings rather than from what it says of itself is left out.
func metaChanges(r, c *document, other func() bool) []survey.Change {
	var out []survey.Change
	add := func(kind, a, b string) {
		out = append(out, survey.Change{Kind: kind, Reference: quote(a), Candidate: quote(b)})
	}
	p, q := r.page, c.page
	if p.Title != "" && q.Title != "" && !titlesAgree(p.Title, p, q.Title, q, r.hosts) && !headlineAgrees(r, c) {
		add(kindTitle, p.Title, q.Title)
	}
	if a, b := person(p.Author), person(q.Author); a != "" && b != "" && !agree(a, b) && !(q.Byline && other()) {
		add(kindAuthor, p.Author, q.Author)
	}
	if a, ok := instant(p.Published); ok {
		if b, ok := instant(q.Published); ok && a.Sub(b).Abs() > 26*time.Hour {
			add(kindDate, p.Published, q.Published)
		}
	}
	if a, b := pictures(p), pictures(q); swapped(a, b) && !other() {
		add(kindImage, missingFrom(a, b), missingFrom(b, a))
	} else if a, b := pictureName(p.LeadImage), pictureName(q.LeadImage); a != "" && b != "" && a != b {
		// The reference's page shows this picture nowhere. That the candidate shows the old one somewhere too, in a small size or among
		// its teasers, does not excuse it.
		if !shown(p, b) && (!shown(q, a) || !other()) {
			add(kindImage, p.LeadImage, q.LeadImage)
		}
	}
	out = append(out, linkChanges(r, c)...)
	return out
}

// headlineAgrees looks for the other page's title at the beginning of each page's visible text: what one page takes for its title
// may be the element that names the section.
func headlineAgrees(r, c *document) bool {
	a, _ := tokenize(nil, content.Normalise(r.page.Title, r.hosts))
	b, _ := tokenize(nil, content.Normalise(c.page.Title, c.hosts))
	return len(a) >= 4 && len(b) >= 4 && c.shows(a) && r.shows(b)
}

func person(s string) string {
	s = strings.TrimSpace(content.Normalise(s, nil))
	s = strings.TrimPrefix(s, "by ")
	if strings.Contains(s, "://") || len(s) > 200 {
		return ""
	}
	return s
}

// agree reports whether two names share all words of the shorter.
func agree(a, b string) bool {
	x, _ := tokenize(nil, a)
	y, _ := tokenize(nil, b)
	if len(x) > len(y) {
		x, y = y, x
	}
	have := map[uint64]bool{}
	for i := range y {
		have[y[i].hash] = true
	}
	for i := range x {
		if !have[x[i].hash] {
			return false
		}
	}
	return true
}

var layouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", time.RFC1123Z, time.RFC1123, "January 2, 2006", "2 January 2006"}

func instant(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// newer reports whether the candidate was modified later than the reference by its own word.
func newer(r, c *content.Page) bool {
	a, ok := instant(r.Modified)
	if !ok {
		a, ok = instant(r.Published)
	}
	b, ok2 := instant(c.Modified)
	return ok && ok2 && b.After(a)
}

var sizeSuffix = regexp.MustCompile(`(?i)([-_.@](\d{2,4}x\d{2,4}|w?\d{2,4}[wh]?|\dx|small|large|medium|thumb|thumbnail|scaled|full|crop(ped)?|master))+$`)

// pictureName is what stays of a picture's address on every mirror: its file name without size and extension.
func pictureName(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || raw == "" || u.Scheme == "data" {
		return ""
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" {
		return ""
	}
	name = strings.TrimSuffix(name, path.Ext(name))
	if i := strings.IndexByte(name, '@'); i > 0 { // where saved copies keep the query: restore and wget do
		name = strings.TrimSuffix(name[:i], path.Ext(name[:i]))
	}
	if short := sizeSuffix.ReplaceAllString(name, ""); short != "" {
		name = short
	}
	return strings.ToLower(name)
}

func pictures(p *content.Page) map[string]string {
	out := map[string]string{}
	for i, im := range p.Images {
		if i == 200 {
			break
		}
		if n := pictureName(im.URL); n != "" {
			out[n] = im.URL
		}
	}
	return out
}

// swapped: each side shows in its article a picture that the other lacks, and there are as many of them. A picture that is only
// missing may be a lazy one.
func swapped(a, b map[string]string) bool {
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	same := 0
	for n := range a {
		if _, ok := b[n]; ok {
			same++
		}
	}
	return same < len(a)
}

func missingFrom(a, b map[string]string) string {
	best := ""
	for n, u := range a {
		if _, ok := b[n]; !ok && (best == "" || u < best) {
			best = u
		}
	}
	return best
}

func shown(p *content.Page, name string) bool {
	for i := range p.Requisites {
		if p.Requisites[i].Kind == "image" && pictureName(p.Requisites[i].URL) == name {
			return true
		}
	}
	return false
}

// linkChanges finds links of the articles' bodies that have the same words and another target.
func linkChanges(r, c *document) []survey.Change {
	type target struct{ key, url string }
	gather := func(d *document) map[string][]target {
		out := map[string][]target{}
		for i := range d.page.Links {
			l := &d.page.Links[i]
			if l.Block < 0 || l.Block >= len(d.blocks) || len(l.Text) == 0 || d.blocks[l.Block].promo || d.blocks[l.Block].linkDensity >= 0.5 {
				continue
			}
			text := content.Normalise(l.Text, d.hosts)
			out[text] = append(out[text], target{strings.TrimSuffix(content.LinkKey(l.URL, d.hosts), "/"), l.URL})
			if len(out) == 500 {
				break
			}
		}
		return out
	}
	a, b := gather(r), gather(c)
	var out []survey.Change
	done := map[string]bool{}
	for i := range r.page.Links {
		l := &r.page.Links[i]
		text := content.Normalise(l.Text, r.hosts)
		x, y := a[text], b[text]
		if len(x) == 0 || len(x) != len(y) || done[text] {
			continue
		}
		done[text] = true
		for k := range x {
			if x[k].key == y[k].key {
				continue
			}
			out = append(out, survey.Change{Kind: kindLink, Reference: quote(x[k].url), Candidate: quote(y[k].url), At: [2][2]int{wordsAt(r, l.Block, l.Text), wordsAt(c, -1, l.Text)}})
			break
		}
		if len(out) == 50 {
			break
		}
	}
	return out
}

func wordsAt(d *document, block int, text string) [2]int {
	from := 0
	if block >= 0 && block < len(d.blocks) {
		from = d.blocks[block].start
	}
	if i := strings.Index(d.text[from:], text); i >= 0 {
		return [2]int{from + i, from + i + len(text)}
	}
	return [2]int{}
}

var idPattern = regexp.MustCompile(`\d{4,}`)

// sameIdentity reports whether a page names itself as the article: canonical address, og:url or number in the path, or the title.
// Never enough for a verdict (classification.md 2.5, identity signals).
func sameIdentity(article string, ref, p *content.Page, hosts []survey.Host) bool {
	if p == nil {
		return false
	}
	if ref != nil && ref.Title != "" && p.Title != "" && titlesAgree(ref.Title, ref, p.Title, p, hosts) && len(strings.Fields(ref.Title)) >= 3 {
		return true
	}
	own := pathKey(article)
	for _, u := range []string{p.Canonical, p.OGURL} {
		if u == "" {
			continue
		}
		if k := pathKey(u); len(k) > 1 && (k == own || ref != nil && (k == pathKey(ref.Canonical) || k == pathKey(ref.OGURL))) {
			return true
		}
		if id := articleID(u); id != "" && id == articleID(article) {
			return true
		}
	}
	return false
}

func pathKey(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	k := strings.ToLower(strings.Trim(u.Path, "/"))
	if u.RawQuery != "" && (k == "" || strings.Contains(k, ".php") || strings.Contains(k, ".asp")) {
		k += "?" + u.RawQuery
	}
	return k
}

// articleID is the longest number of the path that is no date.
func articleID(raw string) string {
	best := ""
	for _, n := range idPattern.FindAllString(pathKey(raw), -1) {
		if len(n) == 4 && (strings.HasPrefix(n, "19") || strings.HasPrefix(n, "20")) {
			continue
		}
		if len(n) > len(best) {
			best = n
		}
	}
	return best
}

// translated reports whether two pages look like one article in two languages: the languages differ, and id or dates agree with
// the numbers of the text.
func translated(article string, r, c *document) bool {
	a, b := language(r.page.Lang), language(c.page.Lang)
	if a == "" || b == "" || a == b || c.words < sameWorkWords {
		return false
	}
	score := 0
	if sameIdentity(article, r.page, c.page, r.hosts) {
		score++
	}
	if x, ok := instant(r.page.Published); ok {
		if y, ok := instant(c.page.Published); ok && x.Sub(y).Abs() < time.Hour {
			score++
		}
	}
	if n := pictureName(r.page.LeadImage); n != "" && n == pictureName(c.page.LeadImage) {
		score++
	}
	x, y := figureSet(r), figureSet(c)
	same := 0
	for n := range x {
		if y[n] {
			same++
		}
	}
	if len(x) >= 2 && 2*same >= len(x) {
		score++
	}
	return score >= 2
}

func language(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(s), "-")
	return s
}

func figureSet(d *document) map[string]bool {
	out := map[string]bool{}
	for i := range d.tokens {
		if t := d.tokens[i].text; numeric(t) && len(t) > 1 {
			out[t] = true
		}
	}
	return out
}
