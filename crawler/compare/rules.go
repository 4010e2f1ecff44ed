package compare

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

//go:embed rules/rules.json
var builtin []byte

// Rules name page classes. The built-in ones decide the class of a page whose text is not the article; lists of others
// (LoadRules) are named in reasons and matches. The zero value has no rules; use DefaultRules.
type Rules struct {
	version string
	rules   []rule
	lists   []*list
}

// rule is one row of rules/rules.json.
type rule struct {
	ID       string           `json:"id"`
	Class    survey.PageClass `json:"class"`
	Where    string           `json:"where"`
	Name     string           `json:"name"`
	Pattern  string           `json:"pattern"`
	Words    [][]string       `json:"words"`
	Window   int              `json:"window"`
	Contains []string         `json:"contains"`
	Need     string           `json:"need"`
	// Outranks: a refusal that names its delivery network or a country is the server's doing, whatever words of blocking stand
	// beside it (classification.md 1.6, 5).
	Outranks bool `json:"outranks"`

	re     *regexp.Regexp
	groups [][]stem
}

// stem is a word, or the beginning of one.
type stem struct {
	text   string
	hash   uint64
	prefix bool
}

const ownList = "mirrorwatch"

// DefaultRules are the project's own rules.
func DefaultRules() *Rules { return defaultRules() }

var defaultRules = sync.OnceValue(func() *Rules {
	r, err := parseRules(builtin)
	if err != nil {
		panic("compare: embedded rules: " + err.Error()) // a test reads them first
	}
	return r
})

func parseRules(data []byte) (*Rules, error) {
	var file struct {
		Version string `json:"version"`
		Rules   []rule `json:"rules"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	for i := range file.Rules {
		r := &file.Rules[i]
		if r.Pattern != "" {
			re, err := regexp.Compile(r.Pattern)
			if err != nil {
				return nil, fmt.Errorf("rule %q: %w", r.ID, err)
			}
			r.re = re
		}
		for _, g := range r.Words {
			var stems []stem
			for _, w := range g {
				p, cut := strings.CutSuffix(w, "*")
				p = normal(p)
				stems = append(stems, stem{p, hashString(p), cut})
			}
			r.groups = append(r.groups, stems)
		}
		for k, c := range r.Contains {
			r.Contains[k] = normal(c)
		}
	}
	return &Rules{version: file.Version, rules: file.Rules}, nil
}

// Version names the rule set and every list added to it; a verdict can be made again only under the same version.
func (r *Rules) Version() string {
	v := ownList + "/" + r.version
	for _, l := range r.lists {
		v += " " + l.version
	}
	return v
}

// Add returns a rule set with the lists of more behind its own; neither is changed.
func (r *Rules) Add(more *Rules) *Rules {
	if more == nil {
		return r
	}
	return &Rules{version: r.version, rules: r.rules, lists: append(slices.Clone(r.lists), more.lists...)}
}

// page facts that rules are held against; made once per page.
type facts struct {
	view    *View
	doc     *document
	tokens  []token // title and visible text
	text    string  // normalised visible text
	title   string
	status  int
	thin    bool
	plain   bool // no sign of an article: no publishing date, author, article body
	quoted  []bool
	hosts   []string // of final address, redirects, meta refresh
	targets []string // addresses named by a page with next to no text
	words   int      // beside the site's template
	// markers and passwords are those that the article's own page does not have
	markers   []string
	passwords int
}

// fits evaluates one rule; the offset is into the normalised visible text, -1 when the rule looks elsewhere.
func (r *rule) fits(f *facts) (int, bool) {
	if !f.allows(r.Need, r.Where) {
		return 0, false
	}
	switch r.Where {
	case "header":
		v, ok := f.view.Observation.Headers[r.Name]
		return -1, ok && r.re.MatchString(v)
	case "status":
		return -1, f.status != 0 && r.re.MatchString(strconv.Itoa(f.status))
	case "title":
		if r.re.MatchString(f.title) {
			return -1, true
		}
		if p := f.view.Page; p != nil && p.FullTitle != "" {
			return -1, r.re.MatchString(p.FullTitle)
		}
	case "marker":
		return -1, slices.ContainsFunc(f.markers, r.re.MatchString)
	case "host":
		return -1, slices.ContainsFunc(f.hosts, r.re.MatchString)
	case "url":
		return -1, slices.ContainsFunc(f.targets, r.re.MatchString)
	case "final":
		return -1, r.re.MatchString(f.view.Observation.FinalURL)
	case "form":
		return -1, f.passwords > 0 && f.words < 300
	case "text":
		return f.window(r)
	case "contains":
		for _, c := range r.Contains {
			if i := strings.Index(f.text, c); i >= 0 {
				return i, true
			}
		}
	}
	return 0, false
}

// allows reports whether the page is of the kind that the rule speaks about. A text rule without a need of its own asks that
// nothing on the page says it is an article.
func (f *facts) allows(need, where string) bool {
	failed := f.status >= 400
	switch need {
	case "thin":
		return f.thin
	case "error":
		return failed
	case "thin_or_error":
		return f.thin || failed
	case "thin_error":
		return f.thin && failed
	case "thin_403":
		return f.thin && (f.status == 403 || f.status == 1020)
	case "thin_plain":
		return f.thin && f.plain
	case "any":
		return true
	}
	switch where {
	case "text", "contains", "title":
		return f.plain
	}
	return true
}

// head is how much of a page that is not thin is searched for notices: they stand at its beginning.
const head = 400

// window looks for one word of each group within the rule's window, outside quotation marks.
func (f *facts) window(r *rule) (int, bool) {
	toks := f.tokens
	if !f.thin && len(toks) > head {
		toks = toks[:head]
	}
	n := len(r.groups)
	if n == 0 || n > 8 || len(toks) == 0 {
		return 0, false
	}
	var last [8]int
	for g := range n {
		last[g] = -1
	}
	for i := range toks {
		hit := false
		for g := range n {
			if matches(r.groups[g], &toks[i]) && !f.quoted[i] {
				last[g] = i
				hit = true
			}
		}
		if !hit {
			continue
		}
		lo := i
		ok := true
		for g := range n {
			if last[g] < 0 {
				ok = false
				break
			}
			lo = min(lo, last[g])
		}
		if ok && i-lo < r.Window && distinct(last[:n]) {
			return max(0, strings.Index(f.text, toks[lo].text)), true
		}
	}
	return 0, false
}

// distinct reports whether at least two words made the match, where there are two groups or more.
func distinct(at []int) bool {
	if len(at) < 2 {
		return true
	}
	for _, p := range at[1:] {
		if p != at[0] {
			return true
		}
	}
	return false
}

func matches(stems []stem, t *token) bool {
	for i := range stems {
		if stems[i].hash == t.hash && stems[i].text == t.text || stems[i].prefix && strings.HasPrefix(t.text, stems[i].text) {
			return true
		}
	}
	return false
}

// normal brings a word of a rule into the form of the texts it is held against.
func normal(s string) string { return content.Normalise(s, nil) }
