package compare

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// reference is what the others are held against.
type reference struct {
	view     int // index of the view, -1 when archived
	mirror   survey.Host
	snapshot string
	at       time.Time
	why      string // primary, archived, majority
	doc      *document
	payload  string
}

// refVersion is one text to hold a page against, with how to name it in a sentence.
type refVersion struct {
	doc     *document
	payload string
	label   string
}

func (r *reference) version() refVersion {
	label := "the reference"
	switch r.why {
	case "primary":
		label = "the primary's page"
	case "archived":
		label = "the version archived on " + day(r.at)
	case "majority":
		label = "the text that most mirrors carry"
	}
	return refVersion{r.doc, r.payload, label}
}

func (r *reference) survey() *survey.Reference {
	return &survey.Reference{Mirror: r.mirror, Snapshot: r.snapshot, ObservedAt: r.at, Why: r.why}
}

// reference chooses by DESIGN's order: the primary now; the newest admissible archived version; the majority of three or more
// mirrors; none.
func (j *judge) reference() *reference {
	for i := range j.c.Views {
		o := j.c.Views[i].Observation
		if o != nil && o.Role == survey.Primary && j.admissible(i) {
			return j.fromView(i, "primary")
		}
	}
	for _, a := range j.c.Archived {
		if a.Admissible && a.Page != nil {
			if d := j.doc(a.Page); d.words >= sameWorkWords {
				return &reference{view: -1, mirror: a.Mirror, snapshot: a.Snapshot, at: a.At, why: "archived", doc: d, payload: a.Payload.Hex()}
			}
		}
	}
	return j.largestGroup()
}

func (j *judge) fromView(i int, why string) *reference {
	v := &j.c.Views[i]
	r := &reference{view: i, mirror: v.Observation.Mirror, at: v.Observation.ObservedAt, why: why, doc: j.viewDoc(v)}
	if v.Observation.Snapshot != nil {
		r.snapshot = *v.Observation.Snapshot
	}
	if v.Observation.Body != nil && !v.Observation.Body.Truncated {
		r.payload = v.Observation.Body.SHA256
	}
	return r
}

// admissible reports whether a view's page can be a reference (DESIGN "The reference").
func (j *judge) admissible(i int) bool {
	v := &j.c.Views[i]
	o := v.Observation
	if o == nil || v.Page == nil {
		return false
	}
	if _, void := j.c.VoidVantages[o.Vantage]; void {
		return false
	}
	if _, own := ownOutcomes[o.Outcome]; own || o.TLS != nil && !o.TLS.Verified {
		return false
	}
	if o.TLS == nil && strings.HasPrefix(o.FinalURL, "https:") && o.Stage == survey.StageTLS {
		return false
	}
	if o.Status != nil && *o.Status >= 400 || o.Body != nil && o.Body.Truncated || o.Outcome == survey.BodyTruncatedTransport || o.Outcome == survey.BodyTruncatedLimit {
		return false
	}
	if !j.ours(o.FinalURL, o.Mirror) {
		return false
	}
	for _, c := range o.Captures {
		if c.Imported || c.Unverified {
			return false
		}
	}
	d := j.viewDoc(v)
	if d.ownWords() < sameWorkWords {
		return false
	}
	if kind, _ := j.everyAddress(v, d); kind != "" || atRoot(o) {
		return false
	}
	// The text of an archived version that was admitted before outweighs any rule.
	for _, a := range j.c.Archived {
		if a.Admissible && a.Page != nil {
			if t := containment(j.doc(a.Page).shingleSet(), d.shingleSet()); t >= sameWorkRef {
				return true
			}
			break
		}
	}
	return j.classify(v, d).class == ""
}

// ours reports whether an address belongs to the mirror itself or to its set: what a redirect to a foreign host shows is no reference.
func (j *judge) ours(raw string, mirror survey.Host) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return true
	}
	host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
	for _, h := range append([]survey.Host{mirror}, j.hosts...) {
		name, _, _ := strings.Cut(strings.TrimPrefix(string(h), "www."), ":")
		if host == name || strings.HasSuffix(host, "."+name) || strings.HasSuffix(name, "."+host) {
			return true
		}
	}
	return strings.Contains(host, ":") || strings.HasPrefix(string(mirror), "[")
}

// largestGroup finds the text that three or more mirrors carry alike, when they are more than half of those with a text.
func (j *judge) largestGroup() *reference {
	var at []int
	seen := map[survey.Host]bool{}
	for i := range j.c.Views {
		if o := j.c.Views[i].Observation; o != nil && !seen[o.Mirror] && o.Role != survey.Candidate && j.admissible(i) {
			seen[o.Mirror] = true
			at = append(at, i)
		}
	}
	if len(at) < 3 {
		return nil
	}
	best, bestN, bestExact := -1, 0, 0
	for _, i := range at {
		n, exact := 0, 0
		d := j.viewDoc(&j.c.Views[i])
		for _, k := range at {
			other := j.viewDoc(&j.c.Views[k])
			if containment(d.shingleSet(), other.shingleSet()) >= sameWorkRef && containment(other.shingleSet(), d.shingleSet()) >= sameWorkRef {
				n++
				if equalKeys(d.sents, other.sents) {
					exact++
				}
			}
		}
		if n > bestN || n == bestN && exact > bestExact {
			best, bestN, bestExact = i, n, exact
		}
	}
	if bestN < 3 || 2*bestN <= len(at) {
		return nil
	}
	return j.fromView(best, "majority")
}

// judgeReference judges the reference itself against the newest archived version; without one it is identical by reference. It
// reports false when the archived version is another text, so that the page is classed like any other.
func (j *judge) judgeReference(i int, ref *reference, d *document, ver *survey.Verdict) bool {
	v := &j.c.Views[i]
	for _, a := range j.c.Archived {
		if !a.Admissible || a.Page == nil {
			continue
		}
		if j.judgeText(v, d, refVersion{j.doc(a.Page), a.Payload.Hex(), "the version archived on " + day(a.At)}, ver) {
			ver.Reasons = append(ver.Reasons, "This page is what the other mirrors were held against.")
			if !good(*ver) {
				j.older(v, d, nil, ver)
			}
			return true
		}
		return j.older(v, d, nil, ver)
	}
	ver.Verdict, ver.By, ver.PageClass, ver.Confidence = survey.Identical, survey.Ptr(survey.ByReference), survey.ClassArticle, survey.Low
	ver.Reasons = append(ver.Reasons, "This page is what the other mirrors were held against, and no older version was there to hold it against.")
	return true
}

// majority looks at each sentence that some copy has otherwise than the reference, where three or more mirrors carry the article. A
// reference that stands alone against two or more is the one that deviates: the others keep their text.
func (j *judge) majority(ref *reference, verdicts []survey.Verdict) {
	if ref.view < 0 || ref.why == "majority" {
		return
	}
	// One copy per mirror: the first that carries the work.
	copies := map[survey.Host]int{}
	var order []int
	for i := range verdicts {
		o := j.c.Views[i].Observation
		if o == nil || i == ref.view || o.Mirror == ref.mirror || verdicts[i].PageClass != survey.ClassArticle || verdicts[i].Scores.CRef == nil || *verdicts[i].Scores.CRef < sameWorkRef || verdicts[i].Verdict == survey.FetchFailed {
			continue
		}
		if _, ok := copies[o.Mirror]; !ok {
			copies[o.Mirror] = i
			order = append(order, i)
		}
	}
	if len(order) < 2 {
		return
	}
	total := len(order) + 1
	votes := map[string][]int{}
	id := func(c survey.Change) string {
		return fmt.Sprintf("%s\x00%d\x00%d\x00%s", c.Kind, c.At[0][0], c.At[0][1], c.Candidate)
	}
	for _, i := range order {
		once := map[string]bool{}
		for _, c := range verdicts[i].Changes {
			if k := id(c); !once[k] {
				once[k] = true
				votes[k] = append(votes[k], i)
			}
		}
	}
	for _, a := range j.c.Archived { // an archived version that agrees with the reference is one copy more on its side
		if a.Admissible && a.Page != nil && equalKeys(j.doc(a.Page).sents, ref.doc.sents) {
			total++
			break
		}
	}
	outvoted := map[string]bool{}
	for k, who := range votes {
		if 2*len(who) > total {
			outvoted[k] = true
		}
	}
	if len(outvoted) == 0 {
		for _, i := range order {
			if v := &verdicts[i]; v.Verdict == survey.Altered && total >= 3 {
				v.Reasons = append(v.Reasons, fmt.Sprintf("Of %d copies, %s is the one that deviates.", total, j.c.Views[i].Observation.Mirror))
			}
		}
		return
	}
	var lost []survey.Change
	seen := map[string]bool{}
	for i := range verdicts {
		v := &verdicts[i]
		o := j.c.Views[i].Observation
		if i == ref.view || v.Verdict != survey.Altered || v.Kind != nil && *v.Kind == "updated" {
			continue
		}
		var left []survey.Change
		mine := 0
		for _, c := range v.Changes {
			k := id(c)
			if !outvoted[k] {
				left = append(left, c)
				continue
			}
			mine++
			if !seen[k] {
				seen[k] = true
				lost = append(lost, survey.Change{Kind: c.Kind, Reference: c.Candidate, Candidate: c.Reference, At: [2][2]int{c.At[1], c.At[0]}})
			}
		}
		if mine == 0 {
			continue
		}
		if len(left) == 0 {
			v.Verdict, v.Kind, v.Changes, v.Confidence = survey.SameArticle, nil, nil, survey.Medium
			v.Reasons = []string{fmt.Sprintf("%s carries the wording of most of the %d copies; the primary's page (%s) is the one that deviates.", o.Mirror, total, ref.mirror)}
		} else {
			v.Changes = left
			v.Reasons = append(v.Reasons, fmt.Sprintf("In %d further place(s) most copies agree with this one, and %s deviates.", mine, ref.mirror))
		}
	}
	if len(lost) == 0 {
		return
	}
	v := &verdicts[ref.view]
	if good(*v) && v.Version == nil {
		v.Verdict, v.By, v.Confidence = survey.Altered, nil, survey.Medium
		v.Changes = lost
		v.Reasons = []string{fmt.Sprintf("Of %d copies, %s is the one that deviates: %s.", total, ref.mirror, kindList(lost))}
	}
}
