package compare

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// View is one mirror from one vantage: what was observed, and the page that was read from it.
type View struct {
	Observation *survey.Observation
	// Page is nil when nothing readable came.
	Page   *content.Page
	Decoys []DecoyView
	// Second is the page of a second fetch of the same URL in the same run: what differs between the two is volatile and never an
	// alteration. nil when there was none.
	Second *content.Page
	// Body is the decoded page in UTF-8: what lists of fingerprints are held against. Optional; without it they see title and text.
	Body []byte
}

// DecoyView is what the mirror answered to a request for what cannot exist, or for its root page.
type DecoyView struct {
	Decoy survey.Decoy
	Page  *content.Page // nil when nothing readable came
}

// Version is an archived copy of the article.
type Version struct {
	Mirror   survey.Host
	Snapshot string
	At       time.Time
	Page     *content.Page
	Payload  survey.Digest
	// Admissible says that the copy may be a reference: captured by us, over verified TLS where https, judged the article then.
	Admissible bool
}

// Case is one article over all mirrors and vantages at one time, with all that judging needs. Judge changes nothing in it.
type Case struct {
	Site     survey.Site
	Article  survey.Article
	Views    []View
	Archived []Version // newest first
	Rules    *Rules    // nil: DefaultRules
	// VoidVantages are those whose canaries all failed, with the reason: no verdict about a site comes from them.
	VoidVantages map[string]string
	// Earlier gives the times of earlier failures of the same stage in an unbroken row, newest last; optional. It is what "possible
	// network blocking" needs (classification.md 5).
	Earlier func(mirror survey.Host, vantage string) []time.Time
}

// Judgement is what a Case comes to. Verdicts go by index of Case.Views.
type Judgement struct {
	Reference   *survey.Reference
	Verdicts    []survey.Verdict
	Conclusions []survey.Conclusion
}

// templateRef: a page that holds less of the article than this, and that its mirror shows for what cannot exist, is no cut article.
const templateRef = 0.2

// judge holds what one Judge call has prepared.
type judge struct {
	c     Case
	rules *Rules
	hosts []survey.Host
	docs  map[*content.Page]*document
	// template is what the reference shows around its article, and surroundings its page, once there is one.
	template     map[string]bool
	surroundings *content.Page
}

// Judge gives a verdict for each view and the conclusions for each mirror. It is a pure function of c.
func Judge(c Case) Judgement {
	j := &judge{c: c, rules: c.Rules, hosts: c.Site.Hosts(), docs: map[*content.Page]*document{}}
	if j.rules == nil {
		j.rules = DefaultRules()
	}
	if len(j.rules.rules) == 0 {
		j.rules = DefaultRules().Add(j.rules)
	}
	ref := j.reference()
	var lines map[string]bool
	var page *content.Page
	if ref != nil {
		lines, page = templateLines(ref.doc), ref.doc.page
	}
	out := Judgement{Verdicts: make([]survey.Verdict, len(c.Views))}
	for i := range c.Views {
		if j.template, j.surroundings = lines, page; ref != nil && ref.view == i {
			j.template, j.surroundings = nil, nil
		}
		out.Verdicts[i] = j.view(i, ref)
	}
	if ref != nil {
		out.Reference = ref.survey()
		j.majority(ref, out.Verdicts)
	}
	for i := range c.Views {
		j.void(i, &out.Verdicts[i])
		finish(&out.Verdicts[i])
	}
	out.Conclusions = j.conclude(out.Verdicts)
	return out
}

// doc prepares a page once.
func (j *judge) doc(p *content.Page) *document {
	if d, ok := j.docs[p]; ok {
		return d
	}
	d := newDocument(p, j.hosts)
	j.docs[p] = d
	return d
}

// viewDoc prepares a view's page: blocks that its decoy answers carry too are its template, and sentences that a second fetch shows
// otherwise are volatile.
func (j *judge) viewDoc(v *View) *document {
	if v.Page == nil {
		return newDocument(nil, j.hosts)
	}
	if d, ok := j.docs[v.Page]; ok {
		return d
	}
	d := j.doc(v.Page)
	for _, dv := range v.Decoys {
		if dv.Page == nil || dv.Decoy.Kind == "root" {
			continue
		}
		t := j.doc(dv.Page)
		shingles := t.visibleShingles()
		if containment(d.shingleSet(), shingles) > 0.5 {
			continue // the answer holds the text itself: nothing to subtract
		}
		d.decoys = append(d.decoys, t)
		for b := range d.blocks {
			toks := d.blockTokens(b)
			if len(toks) >= shingleSize && containment(shinglesOf(toks), shingles) >= 0.9 || len(toks) > 0 && len(toks) < shingleSize && t.shows(toks) {
				if d.template == nil {
					d.template = make([]bool, len(d.blocks))
				}
				d.template[b] = true
			}
		}
	}
	if v.Second != nil && v.Second != v.Page {
		s := j.doc(v.Second)
		have := make(map[uint64]struct{}, len(s.sents))
		for i := range s.sents {
			have[s.sents[i].key] = struct{}{}
		}
		own := make(map[uint64]struct{}, len(d.sents))
		for i := range d.sents {
			own[d.sents[i].key] = struct{}{}
			if !in64(have, d.sents[i].key) {
				d.mask(d.sents[i].key)
			}
		}
		for i := range s.sents {
			if !in64(own, s.sents[i].key) {
				d.mask(s.sents[i].key)
			}
		}
	}
	return d
}

func (d *document) mask(key uint64) {
	if d.masked == nil {
		d.masked = map[uint64]struct{}{}
	}
	d.masked[key] = struct{}{}
}

// ownWords counts the words of main text that are not the site's template.
func (d *document) ownWords() int {
	n := d.words
	for b, t := range d.template {
		if t {
			for i := d.blocks[b].first; i < d.blocks[b].last; i++ {
				n -= d.sents[i].words()
			}
		}
	}
	return n
}

// our own troubles: no statement about the mirror follows from them.
var ownOutcomes = map[survey.Outcome][2]string{
	survey.OwnNetwork:     {survey.ReasonOwnNetwork, "Our own network was not proven to work around this attempt."},
	survey.Interrupted:    {survey.ReasonInterrupted, "The run was interrupted before this mirror was visited."},
	survey.Budget:         {survey.ReasonBudget, "The run's limits were reached before this mirror was visited."},
	survey.LocalResources: {"local_resources", "Our own machine ran out of sockets or files."},
	survey.NoRoute:        {"not_measured", "There is no route from here for this kind of address."},
	survey.Crashed:        {"crashed", "Reading this page ended in an error of our own."},
	survey.RobotsRefused:  {"robots_refused", "The mirror's robots.txt asks not to fetch this address, so it was not fetched."},
}

// view judges one view against the reference; ref is nil when there is none.
func (j *judge) view(i int, ref *reference) survey.Verdict {
	v := &j.c.Views[i]
	o := v.Observation
	ver := survey.Verdict{PageClass: survey.ClassUnknown, Confidence: survey.High}
	say := func(format string, args ...any) { ver.Reasons = append(ver.Reasons, fmt.Sprintf(format, args...)) }
	if o == nil {
		ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
		say(survey.ReasonInterrupted)
		say("This mirror was not visited.")
		return ver
	}
	if own, ok := ownOutcomes[o.Outcome]; ok {
		ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
		say("%s", own[0])
		say("%s", own[1])
		return ver
	}
	if o.Stage == survey.StageProxy {
		// What a proxy says is never an outcome of the site (classification.md 1.2).
		ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
		say("proxy")
		say("The proxy did not bring us there (%s); that says nothing about the mirror.", strings.ReplaceAll(string(o.Outcome), "_", " "))
		return ver
	}
	d := j.viewDoc(v)
	if o.TLS != nil && !o.TLS.Verified {
		j.unverified(v, d, ref, &ver)
		return ver
	}
	if o.Failed() && (v.Page == nil || v.Page.Text == "" && v.Page.Visible == "") {
		j.failed(v, d, &ver)
		return ver
	}

	// The text decides first.
	if ref != nil {
		if ref.view == i {
			if j.judgeReference(i, ref, d, &ver) {
				return ver
			}
		} else if j.judgeText(v, d, ref.version(), &ver) {
			if good(ver) {
				j.statusNote(o, &ver)
				return ver
			}
			if kind, _ := j.everyAddress(v, d); kind != "" && ver.Verdict == survey.Truncated && ver.Scores.CRef != nil && *ver.Scores.CRef < templateRef {
				// A line or two of the article that stand at any address are the template's.
				ver = survey.Verdict{PageClass: survey.ClassUnknown, Confidence: survey.High}
				j.notTheArticle(v, d, ref, &ver)
				return ver
			}
			if j.older(v, d, ref, &ver) {
				j.statusNote(o, &ver)
				return ver
			}
			j.statusNote(o, &ver)
			return ver
		}
		if ref.view != i && j.older(v, d, ref, &ver) {
			j.statusNote(o, &ver)
			return ver
		}
	} else if j.older(v, d, nil, &ver) {
		j.statusNote(o, &ver)
		return ver
	}
	j.notTheArticle(v, d, ref, &ver)
	return ver
}

func good(v survey.Verdict) bool {
	return v.Verdict == survey.Identical || v.Verdict == survey.SameArticle
}

// statusNote says the status when the text was the article although the status is an error.
func (j *judge) statusNote(o *survey.Observation, ver *survey.Verdict) {
	if o.Status != nil && *o.Status >= 400 {
		ver.Reasons = append(ver.Reasons, fmt.Sprintf("The server answered with status %d, yet the page holds the article's text.", *o.Status))
		if ver.Confidence == survey.High {
			ver.Confidence = survey.Medium
		}
		if *o.Status == 451 {
			ver.Matched = append(ver.Matched, survey.Match{Rule: "legal/451", List: ownList + "/" + j.rules.version, Offset: -1})
		}
	}
}

// unverified describes a page that came over TLS that did not verify: it can never be up.
func (j *judge) unverified(v *View, d *document, ref *reference, ver *survey.Verdict) {
	o := v.Observation
	ver.Verdict = survey.FetchFailed
	problem := o.TLS.Problem
	if problem == "" {
		problem = string(o.Outcome)
	}
	ver.Reasons = append(ver.Reasons, fmt.Sprintf("The connection is not trustworthy: the server's certificate did not verify (%s). Stage tls, outcome %s.", problem, o.Outcome))
	if v.Page == nil {
		return
	}
	if ref != nil {
		var inner survey.Verdict
		if j.judgeText(v, d, ref.version(), &inner) {
			ver.PageClass, ver.Scores = survey.ClassArticle, inner.Scores
			ver.Reasons = append(ver.Reasons, fmt.Sprintf("Fetched without verification, the page showed the article (%s); readers' browsers will warn or refuse.", inner.Verdict))
			return
		}
	}
	if cl := j.classify(v, d); cl.class != "" {
		ver.PageClass, ver.Matched = cl.class, cl.matched
		ver.Reasons = append(ver.Reasons, "Fetched without verification: "+lowerFirst(cl.reasons[0]))
	}
}

// failed judges what gave no page to read.
func (j *judge) failed(v *View, d *document, ver *survey.Verdict) {
	o := v.Observation
	cl := j.classify(v, d)
	ver.Matched = cl.matched
	switch {
	case o.Outcome == survey.RateLimited || o.Status != nil && *o.Status == 429 && cl.class != survey.ClassChallenge:
		j.rateLimited(ver)
		return
	case cl.class == survey.ClassChallenge:
		j.challenge(cl, ver)
		return
	case o.Outcome == survey.JSShell:
		ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
		ver.Reasons = append(ver.Reasons, survey.ReasonScriptShell, "The page shows nothing without running its scripts.")
		return
	case cl.class == survey.ClassLegal451 || cl.class == survey.ClassLogin && o.Status != nil || cl.seized:
		ver.Verdict, ver.PageClass, ver.Reasons = survey.Interstitial, cl.class, cl.reasons
		return
	}
	ver.Verdict = survey.FetchFailed
	if cl.class != "" {
		ver.PageClass = cl.class
	}
	ver.Reasons = append(ver.Reasons, failureSentence(o))
	ver.Reasons = append(ver.Reasons, cl.reasons...)
	for _, l := range j.rules.lists {
		l.match(v, func(p *fingerprint, at int) {
			if p.field == "name" {
				ver.Reasons = append(ver.Reasons, fmt.Sprintf("An address that the resolver gave stands in list %s.", l.version))
			}
		})
	}
}

func (j *judge) rateLimited(ver *survey.Verdict) {
	ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
	ver.Reasons = append([]string{survey.ReasonRateLimited, "The server asked us to slow down (status 429); that says nothing about its readers."}, ver.Reasons...)
}

func (j *judge) challenge(cl classification, ver *survey.Verdict) {
	ver.Verdict, ver.PageClass, ver.Confidence = survey.Undetermined, survey.ClassChallenge, survey.Low
	ver.Matched = cl.matched
	ver.Reasons = append([]string{survey.ReasonChallenge}, cl.reasons...)
	ver.Reasons = append(ver.Reasons, "People may see the article behind it; this program does not try to pass.")
}

var stageWords = map[survey.Stage]string{
	survey.StageDNS: "looking up the name", survey.StageConnect: "connecting", survey.StageProxy: "going through the proxy", survey.StageTLS: "the TLS handshake",
	survey.StageHTTP: "the HTTP exchange", survey.StageBody: "reading the body", survey.StageContent: "reading the page",
}

func failureSentence(o *survey.Observation) string {
	if n := o.Outcome.StatusCode(); n != 0 {
		return fmt.Sprintf("The server answered with status %d, and the page is not the article.", n)
	}
	w := stageWords[o.Stage]
	if w == "" {
		w = "the request"
	}
	return fmt.Sprintf("It failed at %s: %s.", w, strings.ReplaceAll(string(o.Outcome), "_", " "))
}

// judgeText holds a view's text against one version. It reports false when the page is not that work.
func (j *judge) judgeText(v *View, d *document, ref refVersion, ver *survey.Verdict) bool {
	o := v.Observation
	r := ref.doc
	ver.PageClass = survey.ClassArticle
	if ref.payload != "" && o.Body != nil && o.Body.SHA256 == ref.payload && !o.Body.Truncated {
		ver.Verdict, ver.By = survey.Identical, survey.Ptr(survey.ByBytes)
		one := 1.0
		ver.Scores = survey.Scores{CRef: &one, CCand: &one}
		ver.Reasons = append(ver.Reasons, "Every byte of the page equals "+ref.label+".")
		return true
	}
	hints := textHints{identity: sameIdentity(j.c.Article.URL, r.page, d.page, j.hosts), url: o.FinalURL}
	if hints.url == "" {
		hints.url = o.URL
	}
	hints.cutBody = o.Body != nil && o.Body.Truncated || o.Outcome == survey.BodyTruncatedTransport || o.Outcome == survey.BodyTruncatedLimit || o.Outcome == survey.DecodedLimit
	t := compareText(r, d, hints)
	if t.scored && (len(d.tokens) > 0 || t.viaVisible) {
		ver.Scores = survey.Scores{CRef: survey.Ptr(t.cRef), CCand: survey.Ptr(t.cCand)}
	}
	if !t.sameWork {
		ver.PageClass = survey.ClassUnknown
		return false
	}
	meta := metaChanges(r, d, t.other)
	edited := len(t.changes) > 0
	ver.Changes = append(append([]survey.Change{}, t.changes...), meta...)
	var beside []survey.Change
	if !t.truncated && !t.viaVisible && !edited {
		beside = outside(r, d, v.Second, t.other)
		ver.Changes = append(ver.Changes, beside...)
	}
	switch {
	case t.truncated:
		ver.Verdict, ver.Kind = survey.Truncated, survey.Ptr(t.truncatedKind)
		ver.Reasons = append(ver.Reasons, fmt.Sprintf("The article ends early: about %d of %d words are missing at its end (%s).", t.missingWords, r.words, t.truncatedKind))
	case len(ver.Changes) > 0:
		ver.Verdict = survey.Altered
		switch {
		case newer(r.page, d.page):
			ver.Kind = survey.Ptr("updated")
			ver.Reasons = append(ver.Reasons, "The page says that it was modified after "+ref.label+": an update.")
		case t.edgeInsertion && onlyInserted(t.changes):
			ver.Kind = survey.Ptr("edge_insertion")
		case !edited && len(beside) == 0:
			ver.Kind = survey.Ptr("metadata")
		}
		ver.Reasons = append(ver.Reasons, fmt.Sprintf("It is the article, with %d difference(s) from %s: %s.", len(ver.Changes), ref.label, kindList(ver.Changes)))
	case t.exact:
		ver.Verdict, ver.By = survey.Identical, survey.Ptr(survey.ByText)
		ver.Reasons = append(ver.Reasons, "Text and title equal "+ref.label+"; only markup, addresses or surroundings differ.")
	default:
		ver.Verdict = survey.SameArticle
		ver.Reasons = append(ver.Reasons, "Every sentence of "+ref.label+" is there, unchanged and in order.")
	}
	if t.edges >= edgeWords {
		ver.Reasons = append(ver.Reasons, fmt.Sprintf("%d words around the article, which the reference does not have there, were not counted.", t.edges))
	}
	if t.masked > 0 {
		ver.Reasons = append(ver.Reasons, fmt.Sprintf("%d sentence(s) that change from one fetch to the next were left out.", t.masked))
	}
	ver.Confidence = survey.High
	if t.viaVisible {
		ver.Confidence = survey.Low
		ver.Reasons = append(ver.Reasons, "The article's text could not be told from its surroundings, so the whole visible text was searched.")
	} else if t.rescued > 0 || r.words < 80 || t.cRef < 0.7 && !t.truncated {
		ver.Confidence = survey.Medium
	}
	if len(beside) > 0 {
		ver.Confidence = survey.Low
		ver.Reasons = append(ver.Reasons, "An edited line stands outside what was taken for the article's text.")
	}
	if ver.Verdict == survey.Altered && !replaced(t.changes) && t.other() {
		ver.Confidence = survey.Low
		ver.Reasons = append(ver.Reasons, "The page has another layout than the reference's, so what differs may lie in how it was read.")
	}
	if ver.Verdict == survey.Altered && t.stray && len(meta) == 0 {
		ver.Confidence = survey.Low
		ver.Reasons = append(ver.Reasons, "What is missing stood outside the element that holds the article, so it may be of the page rather than of the article.")
	}
	if n := d.page.Noise; obfuscated(n, d.words) && !obfuscated(r.page.Noise, r.words) {
		ver.Reasons = append(ver.Reasons, fmt.Sprintf("obfuscated: %d invisible or look-alike characters stand in the text.", n.Total()))
	}
	if n := len(d.page.Hidden); n > 2000 && n > 2*len(d.page.Visible) {
		ver.Reasons = append(ver.Reasons, "The page carries much text that readers do not see; it was not counted.")
	}
	return true
}

// obfuscated: more invisible or look-alike characters than typesetting needs. Soft hyphens are typesetting.
func obfuscated(n content.Noise, words int) bool {
	return n.ZeroWidth+n.Bidi+4*n.Homoglyphs > 10+words/10
}

func onlyInserted(changes []survey.Change) bool {
	for _, c := range changes {
		if c.Kind != kindParagraphInserted && c.Kind != kindSentenceInserted {
			return false
		}
	}
	return true
}

// replaced reports whether a number, a name, a date or a negation stands in a matched sentence in place of another: no other reading of
// an equal text makes that. Whole blocks, words more or fewer, and what the head says may come of the reading.
func replaced(changes []survey.Change) bool {
	for _, c := range changes {
		switch c.Kind {
		case kindNumber, kindName, kindDate, kindNegation:
			if c.Reference != "" && c.Candidate != "" && c.At != [2][2]int{} {
				return true
			}
		}
	}
	return false
}

func kindList(changes []survey.Change) string {
	n := map[string]int{}
	var names []string
	for _, c := range changes {
		if n[c.Kind] == 0 {
			names = append(names, c.Kind)
		}
		n[c.Kind]++
	}
	sort.Strings(names)
	for i, k := range names {
		names[i] = strings.ReplaceAll(k, "_", " ")
		if n[k] > 1 {
			names[i] += fmt.Sprintf(" (%d)", n[k])
		}
	}
	return strings.Join(names, ", ")
}

// older looks for an older version that the page equals. Versions of the candidate's own mirror count only when it is the primary, or
// yesterday's alteration would excuse today's.
func (j *judge) older(v *View, d *document, ref *reference, ver *survey.Verdict) bool {
	if len(d.tokens) == 0 && (v.Page == nil || v.Page.Visible == "") {
		return false
	}
	primary := j.c.Site.Primary().Host
	for k, a := range j.c.Archived {
		if k == 50 {
			break
		}
		if !a.Admissible || a.Page == nil || a.Mirror == v.Observation.Mirror && a.Mirror != primary {
			continue
		}
		if ref != nil && ref.view < 0 && ref.snapshot == a.Snapshot {
			continue
		}
		inner := survey.Verdict{PageClass: survey.ClassUnknown}
		if !j.judgeText(v, d, refVersion{doc: j.doc(a.Page), payload: a.Payload.Hex(), label: "the version archived on " + day(a.At)}, &inner) || !good(inner) {
			continue
		}
		at := a.At.UTC().Format(time.RFC3339)
		inner.Verdict, inner.By, inner.Version, inner.Confidence = survey.SameArticle, nil, &at, survey.Medium
		inner.Reasons = append(inner.Reasons, "It is an older version of the article, from "+day(a.At)+".")
		*ver = inner
		return true
	}
	return false
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// notTheArticle judges a view whose text is not the article, or has nothing to be compared with.
func (j *judge) notTheArticle(v *View, d *document, ref *reference, ver *survey.Verdict) {
	o := v.Observation
	cl := j.classify(v, d)
	ver.Matched = cl.matched
	status := 0
	if o.Status != nil {
		status = *o.Status
	}
	var refPage *content.Page
	if ref != nil {
		refPage = ref.doc.page
	}
	identity := sameIdentity(j.c.Article.URL, refPage, v.Page, j.hosts)
	say := func(format string, args ...any) { ver.Reasons = append(ver.Reasons, fmt.Sprintf(format, args...)) }

	// A page that is a heavily edited article, or a translation of it, is judged by its text before its class.
	if ref != nil && status < 400 && ver.Scores.CRef != nil && *ver.Scores.CRef >= relatedRef && d.ownWords() >= sameWorkWords && ownShare(ref.doc, d) >= relatedRef {
		ver.PageClass, ver.Confidence = survey.ClassArticle, survey.Low
		if identity && language(refPage.Lang) == language(v.Page.Lang) && throughout(ref.doc, d) {
			ver.Verdict, ver.Kind = survey.Altered, survey.Ptr("heavy")
			say("The page names itself as the article, but only %.0f%% of the reference's wording is left in it.", 100**ver.Scores.CRef)
			return
		}
		ver.Verdict = survey.Related
		say("%.0f%% of the reference's wording stands in this page, which is another text.", 100**ver.Scores.CRef)
		return
	}
	if ref != nil && cl.class == "" && status < 400 && translated(j.c.Article.URL, ref.doc, d) {
		ver.Verdict, ver.PageClass, ver.Confidence = survey.Translation, survey.ClassArticle, survey.Medium
		say("The page is in another language (%s); its dates, numbers or address are the article's.", v.Page.Lang)
		return
	}
	switch cl.class {
	case survey.ClassChallenge:
		j.challenge(cl, ver)
		return
	case survey.ClassLegal451, survey.ClassSeizureBanner, survey.ClassBlockPage, survey.ClassAccessDenied, survey.ClassParked, survey.ClassLogin, survey.ClassConsent, survey.ClassSoft404, survey.ClassHomePage:
		if status == 429 {
			break
		}
		if status >= 400 && (cl.class == survey.ClassSoft404 || cl.class == survey.ClassHomePage) {
			break // an honest error page that looks like the decoy's
		}
		ver.Verdict, ver.PageClass, ver.Reasons = survey.Interstitial, cl.class, append(ver.Reasons, cl.reasons...)
		ver.Confidence = survey.High
		if cl.listed || cl.class == survey.ClassBlockPage && !d.thinPage() {
			ver.Confidence = survey.Medium
		}
		if cl.class == survey.ClassConsent || cl.class == survey.ClassLogin {
			ver.State = survey.Down
			if identity {
				ver.State = survey.Degraded
				say("Title, canonical address or number are the article's: it seems to lie behind this page.")
			}
		}
		return
	}
	if status == 429 || o.Outcome == survey.RateLimited {
		j.rateLimited(ver)
		return
	}
	if status >= 400 || o.Failed() {
		ver.Verdict, ver.PageClass = survey.FetchFailed, survey.ClassErrorPage
		say("%s", failureSentence(o))
		return
	}
	if o.Outcome == survey.JSShell || v.Page != nil && v.Page.Problem == content.ProblemShell {
		ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
		say(survey.ReasonScriptShell)
		say("The page shows nothing without running its scripts.")
		return
	}
	if o.Outcome == survey.NotHTML || o.Outcome == survey.BodyEmpty || v.Page == nil || o.Outcome == survey.BodyTruncatedTransport && d.ownWords() < openingWords {
		ver.Verdict = survey.FetchFailed
		say("%s", failureSentence(o))
		return
	}
	if cl.class == survey.ClassErrorPage {
		ver.Verdict, ver.PageClass, ver.Reasons = survey.Interstitial, cl.class, append(ver.Reasons, cl.reasons...)
		ver.Confidence = survey.Medium
		return
	}
	shaped := d.ownWords() >= sameWorkWords
	if ref == nil {
		ver.Verdict, ver.Confidence = survey.Undetermined, survey.Low
		if d.thinPage() && !shaped {
			ver.Verdict, ver.PageClass = survey.Interstitial, survey.ClassUnknown
			say("A short page without an article's text came instead of the article.")
			ver.Reasons = append(ver.Reasons, cl.reasons...)
			return
		}
		say(survey.ReasonNoReference)
		say("No copy of the article could serve as a reference, so this text cannot be judged.")
		return
	}
	if d.thinPage() && (!shaped || !articleShaped(v.Page, d.ownWords()) && v.Page.Title == "") {
		ver.Verdict, ver.PageClass, ver.Confidence = survey.Interstitial, survey.ClassUnknown, survey.Medium
		say("A short page of no known kind came instead of the article.")
		ver.Reasons = append(ver.Reasons, cl.reasons...)
		return
	}
	ver.Verdict, ver.Confidence = survey.DifferentPage, survey.High
	if shaped {
		ver.PageClass = survey.ClassArticle
		say("The page holds another text: none of the article's wording to speak of is in it.")
	} else {
		say("The page does not hold the article.")
	}
	if identity {
		ver.Confidence = survey.Medium
		say("It names itself as the article, though.")
	}
}

// ownShare is the share of the reference's wording that stands in the page, without what the two sites show at any address: a
// publisher's notes on itself make no two articles related.
func ownShare(r, d *document) float64 {
	common := map[uint64]struct{}{}
	for _, side := range [][]*document{r.decoys, d.decoys} {
		for _, t := range side {
			for h := range t.visibleShingles() {
				common[h] = struct{}{}
			}
		}
	}
	have, all, hit := d.shingleSet(), 0, 0
	for h := range r.shingleSet() {
		if in64(common, h) {
			continue
		}
		all++
		if in64(have, h) {
			hit++
		}
	}
	return float64(hit) / float64(max(1, all))
}

// throughout reports whether what is left of a reference's wording comes from more than one part of it: an edited article keeps
// something everywhere, a page that quotes it one passage (classification.md 2.5 E, "embedded quotation").
func throughout(r, d *document) bool {
	have := d.shingleSet()
	const parts = 4
	with := 0
	for k := range parts {
		lo, hi := k*len(r.tokens)/parts, (k+1)*len(r.tokens)/parts
		own := shinglesOf(r.tokens[lo:hi])
		hit := 0
		for h := range own {
			if in64(have, h) {
				hit++
			}
		}
		if 20*hit >= len(own) && hit > 0 {
			with++
		}
	}
	return with >= 3
}

// thinPage reports whether few words and links are visible (classification.md 1.6).
func (d *document) thinPage() bool {
	return d.page.VisibleWords < 300 && d.page.VisibleLinks < 15
}

// void takes back what was said from a vantage that was itself cut off.
func (j *judge) void(i int, ver *survey.Verdict) {
	o := j.c.Views[i].Observation
	if o == nil {
		return
	}
	why, ok := j.c.VoidVantages[o.Vantage]
	if !ok {
		return
	}
	ver.Verdict, ver.By, ver.Kind, ver.Version, ver.Confidence, ver.State = survey.Undetermined, nil, nil, nil, survey.Low, survey.Unknown
	ver.Changes = nil
	head := []string{survey.ReasonVoid, "From this vantage nothing can be said: " + why + "."}
	ver.Reasons = append(head, ver.Reasons...)
}

// finish sets the state from the verdict, and makes empty lists empty rather than null.
func finish(v *survey.Verdict) {
	if v.State == "" {
		v.State = stateOf(v)
	}
	if v.Reasons == nil {
		v.Reasons = []string{}
	}
	if v.Matched == nil {
		v.Matched = []survey.Match{}
	}
	if v.Changes == nil {
		v.Changes = []survey.Change{}
	}
}

func stateOf(v *survey.Verdict) survey.State {
	switch v.Verdict {
	case survey.Identical, survey.SameArticle:
		return survey.Up
	case survey.Altered, survey.Truncated, survey.Translation, survey.Related:
		return survey.Degraded
	case survey.Undetermined, "":
		return survey.Unknown
	}
	return survey.Down
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
