package compare

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// precedence of page classes, first match wins (classification.md 1.6).
var precedence = []survey.PageClass{
	survey.ClassLegal451, survey.ClassChallenge, survey.ClassSeizureBanner, survey.ClassBlockPage, survey.ClassAccessDenied, survey.ClassParked,
	survey.ClassLogin, survey.ClassConsent, survey.ClassSoft404, survey.ClassHomePage, survey.ClassErrorPage,
}

// classification is what kind of page a view is, with all matches, not only the one that decided.
type classification struct {
	class   survey.PageClass // "" when nothing matched
	reasons []string
	matched []survey.Match
	listed  bool // only a list of others, or of parking servers, named it
	seized  bool // something answered, and the delegation itself shows the seizure
}

// delegation is a mark that the parent zone's answer bears. Evidence of the first level (classification.md 1.6): "seized" is said
// with it only; banners can be forged.
type delegation struct {
	outcome survey.Outcome
	rule    string
	says    string
}

var delegations = []delegation{
	{survey.SeizedNS, "seizure/delegation", "The domain is delegated to servers of a seizing authority: seized."},
	{survey.SinkholeNS, "delegation/sinkhole", "The domain is delegated to a sinkhole, which is no seizure of the site by itself."},
	{survey.ParkedNS, "delegation/parked", "The domain is delegated to servers of a parking service."},
	{survey.RegistryHold, "delegation/hold", "The zone above says that it does not have the domain: it is on hold, expired or not registered."},
}

// delegated returns the marks that the observation's look-ups bear, each once.
func delegated(o *survey.Observation) []delegation {
	var out []delegation
	for _, d := range delegations {
		if slices.ContainsFunc(o.DNS, func(l survey.Lookup) bool { return l.Outcome == d.outcome }) {
			out = append(out, d)
		}
	}
	return out
}

func has(marks []delegation, outcome survey.Outcome) bool {
	return slices.ContainsFunc(marks, func(d delegation) bool { return d.outcome == outcome })
}

var addressPattern = regexp.MustCompile(`https?://[^\s"'<>()]+`)

// classWords says how a class reads in a sentence.
var classWords = map[survey.PageClass]string{
	survey.ClassLegal451: "a notice that the page is withheld for legal reasons", survey.ClassChallenge: "a challenge that asks visitors to prove they are human",
	survey.ClassSeizureBanner: "a notice that the domain was seized", survey.ClassBlockPage: "a notice that access is blocked",
	survey.ClassAccessDenied: "a refusal by the site or its delivery network", survey.ClassParked: "a parked, suspended or empty domain",
	survey.ClassLogin: "a login or subscription page", survey.ClassConsent: "a request for consent", survey.ClassSoft404: "the page this mirror shows for any address",
	survey.ClassHomePage: "the mirror's home page", survey.ClassErrorPage: "an error page", survey.ClassUnknown: "a short page of no known kind",
	survey.ClassArticle: "another article",
}

// articleShaped reports whether the page says of itself that it is an article, or is as long as no notice is. Block pages never do
// (classification.md 2.5).
func articleShaped(p *content.Page, words int) bool {
	if p == nil {
		return false
	}
	_, dated := instant(p.Published)
	return words >= sameWorkWords && (dated || p.ArticleBody != "" || words >= 600)
}

// templateLines are what the reference's page shows around its article. A notice says something that they do not.
func templateLines(ref *document) map[string]bool {
	if ref == nil || ref.page.Visible == "" {
		return nil
	}
	main := map[string]bool{}
	for _, b := range ref.page.Blocks {
		main[strings.TrimSpace(b.Text)] = true
	}
	out := map[string]bool{}
	for l := range strings.Lines(ref.page.Visible) {
		if l = strings.TrimSpace(l); !main[l] && len(out) < 5000 {
			out[l] = true
		}
	}
	return out
}

// ownLines drops the lines of the site's template from a page's visible text.
func (j *judge) ownLines(p *content.Page) (text string, words int) {
	if len(j.template) == 0 || p.Visible == "" {
		return p.Visible, p.VisibleWords
	}
	var b strings.Builder
	for l := range strings.Lines(p.Visible) {
		if !j.template[strings.TrimSpace(l)] {
			b.WriteString(l)
		}
	}
	return b.String(), content.Count(b.String())
}

// thinOwn: so few words beside the site's template make a page thin whatever links the template has.
const thinOwn = 120

func (j *judge) factsOf(v *View, d *document) *facts {
	o := v.Observation
	f := &facts{view: v, doc: d, thin: true, plain: true}
	if o.Status != nil {
		f.status = *o.Status
	}
	addHost := func(raw string) {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			f.hosts = append(f.hosts, strings.ToLower(u.Hostname()))
		}
	}
	if !sameHost(o.FinalURL, o.URL) {
		addHost(o.FinalURL)
	}
	if l := o.Headers["location"]; l != "" {
		addHost(l)
	}
	p := v.Page
	if p == nil {
		return f
	}
	f.thin = p.VisibleWords < 300 && p.VisibleLinks < 15
	f.plain = !articleShaped(p, d.words)
	visible, words := j.ownLines(p)
	f.words, f.passwords, f.markers = words, p.PasswordFields, p.Markers
	if !f.thin && j.surroundings != nil {
		// Within the site's template, what the article's own page loads and asks too tells nothing.
		f.passwords -= j.surroundings.PasswordFields
		f.markers = slices.DeleteFunc(slices.Clone(p.Markers), func(m string) bool { return slices.Contains(j.surroundings.Markers, m) })
	}
	if words < p.VisibleWords && words < thinOwn {
		f.thin = true
	}
	if len(visible) > 100_000 {
		visible = visible[:100_000]
	}
	title := p.FullTitle
	if title == "" {
		title = p.Title
	}
	f.title = strings.TrimSpace(title)
	f.text = content.Normalise(f.title+"\n"+visible, nil)
	f.tokens, _ = tokenize(nil, f.text)
	f.quoted = make([]bool, len(f.tokens))
	spans := make([]span, 0, len(f.tokens))
	scan(f.text, func(a, b int, _ bool) { spans = append(spans, span{start: a, end: b}) })
	markQuoted(f.text, 0, spans)
	long := 0
	for i := range spans {
		// An unclosed mark must not hide a whole notice: a quotation has an end within 80 words.
		if spans[i].quoted {
			long++
		} else {
			long = 0
		}
		f.quoted[i] = spans[i].quoted && long <= 80
	}
	if p.MetaRefresh != "" && f.thin {
		if !sameHost(p.MetaRefresh, o.FinalURL) {
			addHost(p.MetaRefresh)
		}
		f.targets = append(f.targets, p.MetaRefresh)
	}
	// What a page that gives an address of its own loads is its own too (classification.md 2.5: block pages do not).
	if p.VisibleWords < 60 && f.thin && p.Canonical == "" && p.OGURL == "" {
		if p.VisibleWords < 20 && len(v.Body) < 100_000 {
			// Frames and script redirects are all that many forwarding pages have.
			for _, m := range addressPattern.FindAll(v.Body, 20) {
				f.targets = append(f.targets, string(m))
			}
		}
		for i, r := range p.Requisites {
			if i == 50 {
				break
			}
			f.targets = append(f.targets, r.URL)
		}
		for i, l := range p.Links {
			if i == 20 {
				break
			}
			f.targets = append(f.targets, l.URL)
		}
	}
	return f
}

func sameHost(a, b string) bool {
	ua, err1 := url.Parse(a)
	ub, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && strings.TrimPrefix(strings.ToLower(ua.Hostname()), "www.") == strings.TrimPrefix(strings.ToLower(ub.Hostname()), "www.")
}

// classify names the kind of page of a view whose text is not the article, or whose text is not known yet.
func (j *judge) classify(v *View, d *document) classification {
	var out classification
	o := v.Observation
	f := j.factsOf(v, d)
	hits := map[survey.PageClass]string{}
	refused, product, walled := "", false, false
	for i := range j.rules.rules {
		r := &j.rules.rules[i]
		if at, ok := r.fits(f); ok {
			if r.Outranks {
				refused = r.ID
			}
			if (r.Class == survey.ClassLogin || r.Class == survey.ClassConsent) && r.Where != "text" {
				walled = true
			}
			if r.Class == survey.ClassBlockPage && (r.Where == "header" || r.Where == "host" || r.Where == "url") {
				product = true
			}
			out.matched = append(out.matched, survey.Match{Rule: r.ID, List: ownList + "/" + j.rules.version, Offset: at})
			if _, seen := hits[r.Class]; !seen {
				hits[r.Class] = r.ID
			}
		}
	}
	if refused != "" && !product {
		delete(hits, survey.ClassBlockPage)
		hits[survey.ClassAccessDenied] = refused
	}
	told := delegated(o)
	for _, mark := range told {
		out.matched = append(out.matched, survey.Match{Rule: mark.rule, List: ownList + "/" + j.rules.version, Offset: -1})
		if mark.outcome == survey.SeizedNS && o.Status != nil {
			out.seized = true
			hits[survey.ClassSeizureBanner] = mark.rule
		}
	}
	if imageSeizure(v.Page) {
		out.matched = append(out.matched, survey.Match{Rule: "seizure/image", List: ownList + "/" + j.rules.version, Offset: -1})
		if _, ok := hits[survey.ClassSeizureBanner]; !ok {
			hits[survey.ClassSeizureBanner] = "seizure/image"
		}
	}
	if kind, why := j.everyAddress(v, d); kind != "" {
		hits[kind] = why
		// Words about logging in or cookies stand in the template of most sites; where any address shows this page they tell
		// nothing. Forms and addresses do.
		if !walled {
			delete(hits, survey.ClassLogin)
			delete(hits, survey.ClassConsent)
		}
	}
	if _, ok := hits[survey.ClassParked]; !ok && has(told, survey.ParkedNS) && v.Page != nil && f.thin && f.plain && f.status < 400 {
		// Lists of name servers are weak alone: a short page without the article must stand there. Where any address shows it, it
		// is sure.
		hits[survey.ClassParked] = "delegation/parked"
		_, any := hits[survey.ClassSoft404]
		out.listed = !any
	}
	if v.Page != nil && d.words < sameWorkWords*20 && atRoot(o) {
		if _, ok := hits[survey.ClassHomePage]; !ok {
			hits[survey.ClassHomePage] = "the request ended at the mirror's root address"
		}
	} else if atRoot(o) {
		hits[survey.ClassHomePage] = "the request ended at the mirror's root address"
	}
	for _, c := range precedence {
		rule, ok := hits[c]
		if !ok {
			continue
		}
		out.class = c
		why := "rule " + rule
		if c == survey.ClassSoft404 || c == survey.ClassHomePage {
			why = rule
		}
		out.reasons = append(out.reasons, fmt.Sprintf("The page is %s (%s).", classWords[c], why))
		break
	}
	if out.class != survey.ClassParked {
		out.listed = false
	}
	for _, mark := range told {
		out.reasons = append(out.reasons, mark.says)
	}
	for _, l := range j.rules.lists {
		named := 0
		l.match(v, func(p *fingerprint, at int) {
			if len(out.matched) < 60 {
				out.matched = append(out.matched, survey.Match{Rule: p.id, List: l.version, Offset: at})
			}
			if p.scope == scopeFP || p.field == "name" || p.scope == "vbw" && !f.thin || !f.plain {
				return
			}
			if named++; named == 1 {
				out.reasons = append(out.reasons, fmt.Sprintf("List %s knows this as %s.", l.version, p.id))
			}
			if out.class == "" || out.class == survey.ClassErrorPage {
				out.class, out.listed = survey.ClassBlockPage, true
			}
		})
	}
	return out
}

// imageSeizure is the third kind of seizure notice: a page of pictures without words whose file names speak of a seizure.
func imageSeizure(p *content.Page) bool {
	if p == nil || p.VisibleWords > 30 || p.VisibleLinks > 3 {
		return false
	}
	seals, seized := 0, false
	look := func(s string) {
		s = strings.ToLower(s)
		if strings.Contains(s, "seiz") || strings.Contains(s, "takedown") {
			seized = true
		}
		for _, w := range []string{"seal", "fbi", "doj", "justice", "homeland", "hsi", "ice_", "ice-", "europol", "badge", "commerce", "bis."} {
			if strings.Contains(s, w) {
				seals++
				return
			}
		}
	}
	for i, r := range p.Requisites {
		if i == 100 {
			break
		}
		if r.Kind == "image" {
			u, err := url.Parse(r.URL)
			if err == nil {
				look(u.Path)
			}
		}
	}
	for _, im := range p.Images {
		look(im.Alt)
	}
	titled := strings.Contains(strings.ToLower(p.FullTitle+p.Title), "seiz")
	return seized || seals >= 2 && (titled || p.VisibleWords <= 5) || seals >= 1 && titled
}

// everyAddress compares the page with what its mirror answers to what cannot exist, and with its root page.
func (j *judge) everyAddress(v *View, d *document) (survey.PageClass, string) {
	if v.Page == nil || v.Page.VisibleWords == 0 {
		return "", ""
	}
	for _, dv := range v.Decoys {
		if dv.Page == nil || dv.Decoy.Status >= 400 || !alikePages(d, j.doc(dv.Page)) {
			continue // an honest 404 in the site's template is no sign that any address is answered
		}
		if dv.Decoy.Kind == "root" {
			return survey.ClassHomePage, "it is the same as the mirror's root page"
		}
		return survey.ClassSoft404, "an address that cannot exist shows the same"
	}
	return "", ""
}

// alikePages: containment of at least 0.9 both ways on visible text (classification.md 1.6).
func alikePages(a, b *document) bool {
	if b.page.Visible == "" || a.page.Visible == "" {
		return false
	}
	if a.page.Visible == b.page.Visible {
		return true
	}
	x, y := a.visibleShingles(), b.visibleShingles()
	if len(x) < 60 && len(y) < 60 {
		return diceSorted(sortedHashes(a.visibleTokens()), sortedHashes(b.visibleTokens())) >= 0.9
	}
	if containment(x, y) < 0.9 || containment(y, x) < 0.9 {
		return false
	}
	// Two pages of one template whose main texts differ are not the same page.
	m := a.shingleSet()
	return a.words < sameWorkWords || containment(m, y) >= 0.9
}

// atRoot reports whether an article's address ended at the mirror's front page.
func atRoot(o *survey.Observation) bool {
	from, err1 := url.Parse(o.URL)
	to, err2 := url.Parse(o.FinalURL)
	if err1 != nil || err2 != nil || o.FinalURL == "" || front(from) {
		return false
	}
	return front(to)
}

func front(u *url.URL) bool {
	p := strings.ToLower(strings.Trim(u.Path, "/"))
	if u.RawQuery != "" && strings.ContainsAny(u.RawQuery, "0123456789") {
		return false
	}
	switch p {
	case "", "index.html", "index.htm", "index.php", "default.aspx", "home", "index.aspx":
		return true
	}
	return len(p) == 2 || len(p) == 5 && (p[2] == '-' || p[2] == '_')
}
