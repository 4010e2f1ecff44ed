// Package incident turns a series of verdicts into incidents and events: what persists is told once, what does not is not
// told. It is pure. Tracks, a run's sightings, rules and the run's time go in; changed tracks, incidents and events come
// out. Nothing is read or sent, so a simulated year and a live run take the same path.
//
// The unit is the cause (DESIGN section 1, issue 8): a mirror as a whole when most of its articles fail the same way, else
// a single article on a mirror. While a mirror's incident is under way its failing articles belong to it, and count for
// themselves again only when the mirror has recovered without them.
//
//	nothing --bad--> suspect --down_after bad runs--> open --up_after good runs--> closed
//	                    \--good--> nothing               \--comes and goes--> flapping --calm--> closed
//
// Good is the state up, which means that the content was verified again; degraded and down are bad; unknown, a void
// vantage and a maintenance window are neither: they move nothing, and a void run does not even remind.
package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Rules say when something is told. The zero value takes the defaults that stand beside the fields.
type Rules struct {
	DownAfter int           // bad runs in a row that open an incident; 3
	DownFor   time.Duration // so long bad, over two runs at least, opens it as well; 0: only runs count
	UpAfter   int           // good runs in a row that close it; 2
	Remind    time.Duration // between reminders of an open incident; 0: none
	// Flapping begins when the newest Window known results hold FlapOn changes between good and bad, and ends at FlapOff.
	Window, FlapOn, FlapOff int // 20, 8, 2
}

func (r Rules) filled() Rules {
	for _, f := range []struct {
		p   *int
		def int
	}{{&r.DownAfter, 3}, {&r.UpAfter, 2}, {&r.Window, 20}, {&r.FlapOn, 8}, {&r.FlapOff, 2}} {
		if *f.p <= 0 {
			*f.p = f.def
		}
	}
	return r
}

// Key names what can have an incident. An empty Article is the mirror as a whole.
type Key struct {
	Site    string
	Mirror  survey.Host
	Article string
}

func (k Key) String() string { return k.Site + " " + string(k.Mirror) + " " + k.Article }

// Track is what is remembered of one Key between runs. It changes only when something happens: a long good series leaves
// it as it is.
type Track struct {
	Site    string      `json:"site"`
	Mirror  survey.Host `json:"mirror"`
	Article string      `json:"article"`
	Listed  bool        `json:"listed"` // named by the sites file, so that its removal from there ends it
	Ring    string      `json:"ring"`   // newest known results, oldest first: g good, b bad
	Bad     int         `json:"bad"`    // bad runs in a row
	Down    int         `json:"down"`   // of these, how many at the end were down
	Good    int         `json:"good"`   // good runs in a row, counted up to what matters
	// Incident is the one under way, suspect or told.
	Incident *survey.Incident `json:"incident"`
}

func (t Track) Key() Key { return Key{t.Site, t.Mirror, t.Article} }

// Sighting is what a run saw of one article on one mirror from one vantage.
type Sighting struct {
	Site        string
	Article     string
	Mirror      survey.Host
	Listed      bool
	Maintenance bool // measured, but neither counted nor told
	Evidence    survey.Evidence
	Class       survey.PageClass
}

// Input is one run.
type Input struct {
	Run          survey.RunID
	At           time.Time
	Void         bool
	VoidVantages []string
	Sightings    []Sighting
	// Targets are the articles and mirrors that the sites file names now, for the sites in Covers, or for all when All is set.
	// A listed track that is no target any more is closed as removed and nobody is told.
	Targets map[Key]bool
	Covers  map[string]bool
	All     bool
	// LastGood finds the newest good snapshot when something begins to fail; may be nil.
	LastGood func(Key) string
}

// Result is what changed.
type Result struct {
	Tracks    []Track           // to be saved
	Gone      []Key             // tracks to be forgotten
	Incidents []survey.Incident // to be saved
	Dropped   []string          // IDs of suspicions that came to nothing
	Events    []survey.IncidentEvent
	// Live is the ID of the incident, told and not closed, that each failing article stands in after the run, by its own key.
	Live map[Key]string
}

// seen is one article on one mirror over all vantages.
type seen struct {
	article    string
	listed     bool
	known, bad bool
	level      survey.State
	way        string
	vantages   []string
	of         int
	evidence   []survey.Evidence
}

type evaluation struct {
	in     Input
	rules  Rules
	tracks map[Key]Track
	at     map[Key]int // where a changed track stands in out.Tracks
	out    Result
}

// Evaluate carries the tracks over one run. It does not change the map it is given. The same run must not be evaluated
// twice.
func Evaluate(tracks map[Key]Track, in Input, rules Rules) Result {
	e := &evaluation{in: in, rules: rules.filled(), tracks: tracks, at: map[Key]int{}, out: Result{Live: map[Key]string{}}}
	if !in.Void {
		e.removed()
		for _, g := range e.grouped() {
			e.mirror(g)
		}
	}
	sort.SliceStable(e.out.Events, func(i, j int) bool { return e.out.Events[i].ID < e.out.Events[j].ID })
	return e.out
}

type group struct {
	site     string
	mirror   survey.Host
	articles []seen
}

// grouped sorts the sightings by mirror and joins the vantages of each article.
func (e *evaluation) grouped() []group {
	void := map[string]bool{}
	for _, v := range e.in.VoidVantages {
		void[v] = true
	}
	list := make([]Sighting, len(e.in.Sightings))
	copy(list, e.in.Sightings)
	sort.SliceStable(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		switch {
		case a.Site != b.Site:
			return a.Site < b.Site
		case a.Mirror != b.Mirror:
			return a.Mirror < b.Mirror
		case a.Article != b.Article:
			return a.Article < b.Article
		}
		return a.Evidence.Vantage < b.Evidence.Vantage
	})
	var all []group
	for _, s := range list {
		if n := len(all); n == 0 || all[n-1].site != s.Site || all[n-1].mirror != s.Mirror {
			all = append(all, group{site: s.Site, mirror: s.Mirror})
		}
		g := &all[len(all)-1]
		if n := len(g.articles); n == 0 || g.articles[n-1].article != s.Article {
			g.articles = append(g.articles, seen{article: s.Article})
		}
		a := &g.articles[len(g.articles)-1]
		a.listed = a.listed || s.Listed
		state := s.Evidence.State
		if void[s.Evidence.Vantage] || s.Maintenance || state != survey.Up && state != survey.Degraded && state != survey.Down {
			continue
		}
		a.known = true
		a.of++
		if state == survey.Up {
			continue
		}
		a.vantages = append(a.vantages, s.Evidence.Vantage)
		a.evidence = append(a.evidence, s.Evidence)
		if !a.bad || state.Rank() > a.level.Rank() {
			a.level, a.way = state, way(s)
		}
		a.bad = true
	}
	return all
}

// way says how something fails, coarsely: causes that are one to the reader are one word.
func way(s Sighting) string {
	v := s.Evidence
	switch {
	case v.Verdict == survey.Interstitial:
		return "page:" + string(s.Class)
	case v.Verdict != survey.FetchFailed:
		return string(v.Verdict)
	}
	switch v.Outcome {
	case survey.HostnameMismatch, survey.UnknownAuthority, survey.CertificateExpired, survey.CertificateEarly, survey.InvalidCertificate:
		return "certificate"
	}
	switch code := v.Outcome.StatusCode(); {
	case code >= 500:
		return "server_error"
	case code != 0:
		return string(v.Outcome)
	case v.Stage == survey.StageBody || v.Stage == survey.StageContent:
		return "broken_body"
	}
	return "unreachable"
}

// mirror decides whether the mirror as a whole fails, then moves its track and those of its articles.
func (e *evaluation) mirror(g group) {
	key := Key{g.site, g.mirror, ""}
	known, bad := 0, 0
	ways := map[string]int{}
	listed := false
	for _, a := range g.articles {
		listed = listed || a.listed
		if a.known {
			known++
		}
		if a.bad {
			bad++
			ways[a.way]++
		}
	}
	most, same := "", 0
	for w, n := range ways {
		if n > same || n == same && w < most {
			most, same = w, n
		}
	}
	t, tracked := e.track(key)
	under := t.Incident != nil
	// A run over a part of the mirror's articles, or one that learned little, says nothing about the whole.
	total := max(len(g.articles), e.articlesOf(key))
	judged := known > 0 && 2*known >= total
	whole := false
	switch {
	case !judged:
	case total == 1:
		whole = bad == 1
	case under:
		whole = 4*bad > known
	default:
		whole = same >= 2 && 2*same > known || bad >= 2 && 4*bad >= 3*known
	}
	if whole {
		r := seen{known: true, bad: true, level: survey.Degraded, way: most, listed: listed}
		down := 0
		from := map[string]bool{}
		for _, a := range g.articles {
			r.of = max(r.of, a.of)
			if !a.bad {
				continue
			}
			if a.level == survey.Down {
				down++
			}
			for _, v := range a.vantages {
				from[v] = true
			}
			if a.way == most {
				r.evidence = append(r.evidence, a.evidence...)
			}
		}
		if 2*down >= bad {
			r.level = survey.Down
		}
		r.vantages = sorted(from)
		e.step(t, r, bad, known)
	} else if judged {
		e.step(t, seen{known: true, listed: listed}, bad, known)
	} else if !tracked {
		t.Listed = listed
		e.save(t)
	}
	if total == 1 && len(g.articles) == 1 {
		// The mirror's only article and the mirror are one cause.
		if t, _ := e.changed(key); t.Incident != nil && t.Incident.State.Live() && g.articles[0].bad {
			e.out.Live[Key{g.site, g.mirror, g.articles[0].article}] = t.Incident.ID
		}
		e.alone(Key{g.site, g.mirror, g.articles[0].article}, g.articles[0])
		return
	}
	absorbed := whole || !judged && under
	now, _ := e.changed(key)
	for _, a := range g.articles {
		k := Key{g.site, g.mirror, a.article}
		at, was := e.track(k)
		switch {
		case a.bad && absorbed && !(at.Incident != nil && at.Incident.State.Live()):
			if now.Incident != nil && now.Incident.State.Live() {
				e.out.Live[k] = now.Incident.ID
			}
			e.keep(at, was, a)
		case a.bad && absorbed && whole && now.Incident.State.Live() && at.Incident.Cause == now.Incident.Cause:
			// It was the first sign of what the mirror's incident tells now: one cause, one incident.
			in := *at.Incident
			e.close(&in, "part of "+now.Incident.ID, true)
			e.out.Incidents = append(e.out.Incidents, in)
			at.Incident, at.Bad, at.Down = nil, 0, 0
			e.save(at)
			e.out.Live[k] = now.Incident.ID
		case a.bad && absorbed:
			e.out.Live[k] = at.Incident.ID
		case a.known:
			e.step(at, a, 1, 1)
			if c, _ := e.changed(k); a.bad && c.Incident != nil && c.Incident.State.Live() {
				e.out.Live[k] = c.Incident.ID
			}
		default:
			e.keep(at, was, a)
		}
	}
}

// keep remembers that the article exists, without moving anything.
func (e *evaluation) keep(t Track, was bool, a seen) {
	if was && (t.Listed || !a.listed) {
		return
	}
	t.Listed = t.Listed || a.listed
	e.save(t)
}

// alone handles the track of a mirror's only article: the mirror's track speaks for it. What it had of its own from a time
// with more articles moves on good results only.
func (e *evaluation) alone(k Key, a seen) {
	t, was := e.track(k)
	if was && t.Incident != nil && a.known && !a.bad {
		e.step(t, a, 1, 1)
		return
	}
	e.keep(t, was, a)
}

func (e *evaluation) track(k Key) (Track, bool) {
	t, ok := e.tracks[k]
	if !ok {
		t = Track{Site: k.Site, Mirror: k.Mirror, Article: k.Article}
	}
	return t, ok
}

// changed is the track as this run leaves it.
func (e *evaluation) changed(k Key) (Track, bool) {
	if i, ok := e.at[k]; ok {
		return e.out.Tracks[i], true
	}
	return e.track(k)
}

// save notes the track as it is after this run.
func (e *evaluation) save(t Track) {
	if i, ok := e.at[t.Key()]; ok {
		e.out.Tracks[i] = t
		return
	}
	e.at[t.Key()] = len(e.out.Tracks)
	e.out.Tracks = append(e.out.Tracks, t)
}

// articlesOf counts the articles that are remembered of the mirror.
func (e *evaluation) articlesOf(k Key) int {
	n := 0
	for o := range e.tracks {
		if o.Article != "" && o.Site == k.Site && o.Mirror == k.Mirror {
			n++
		}
	}
	for _, g := range e.out.Gone {
		if g.Article != "" && g.Site == k.Site && g.Mirror == k.Mirror {
			n--
		}
	}
	return n
}

// maxEvidence bounds what an incident keeps: the first half stays, the second half is the newest.
const maxEvidence = 12

// step moves one track by one known result.
func (e *evaluation) step(t Track, r seen, affected, of int) {
	before := t
	t.Listed = t.Listed || r.listed
	if r.bad {
		t.Ring = push(t.Ring, 'b', e.rules.Window)
		e.bad(&t, r, affected, of)
	} else {
		t.Ring = push(t.Ring, 'g', e.rules.Window)
		e.good(&t)
	}
	if t != before {
		e.save(t)
	}
}

func push(ring string, c byte, window int) string {
	ring += string(c)
	return ring[max(0, len(ring)-window):]
}

// changes counts how often the ring goes from good to bad or back.
func changes(ring string) int {
	n := 0
	for i := 1; i < len(ring); i++ {
		if ring[i] != ring[i-1] {
			n++
		}
	}
	return n
}

func (e *evaluation) bad(t *Track, r seen, affected, of int) {
	t.Good = 0
	t.Bad++
	if r.level == survey.Down {
		t.Down++
	} else {
		t.Down = 0
	}
	var in survey.Incident
	if t.Incident == nil {
		in = survey.Incident{ID: identity(t.Key(), e.in.At), Site: t.Site, Mirror: t.Mirror, Article: t.Article, State: survey.Suspect,
			Started: e.in.At.UTC(), Vantages: []string{}, Evidence: []survey.Evidence{}}
		if e.in.LastGood != nil {
			in.LastGood = e.in.LastGood(t.Key())
		}
	} else {
		in = *t.Incident // a copy: the caller's value stays
	}
	in.Now, in.Affected, in.Of, in.Vantages, in.VantagesOf = r.level, affected, of, r.vantages, r.of
	in.BadRuns++
	in.Evidence = kept(in.Evidence, r.evidence, e.in.Run)
	if !in.State.Live() {
		in.Cause, in.Severity = r.way, r.level
	}
	flaps := changes(t.Ring) >= e.rules.FlapOn
	at := e.in.At.UTC()
	switch {
	case in.State.Live():
		if flaps {
			in.State = survey.Flapping
		}
		last := *in.Opened
		if in.Reminded != nil {
			last = *in.Reminded
		}
		switch {
		case in.Severity == survey.Degraded && t.Down >= e.rules.DownAfter:
			in.Severity, in.Cause = survey.Down, r.way
			in.Reminded = &at
			e.event(survey.Worsened, "", in)
		case e.rules.Remind > 0 && in.Acked == nil && at.Sub(last) >= e.rules.Remind:
			in.Reminded = &at
			in.Reminders++
			e.event(survey.Reminded, fmt.Sprint(in.Reminders), in)
		}
	case t.Bad >= e.rules.DownAfter, e.rules.DownFor > 0 && t.Bad >= 2 && at.Sub(in.Started) >= e.rules.DownFor, flaps:
		in.State = survey.IncidentOpen
		if flaps {
			in.State = survey.Flapping
		}
		if in.Severity = survey.Degraded; 2*t.Down >= t.Bad {
			in.Severity = survey.Down
		}
		in.Opened = &at
		e.event(survey.Opened, "", in)
	}
	t.Incident = &in
	e.out.Incidents = append(e.out.Incidents, in)
}

func (e *evaluation) good(t *Track) {
	t.Bad, t.Down = 0, 0
	t.Good = min(t.Good+1, e.rules.UpAfter)
	switch {
	case t.Incident == nil:
		return
	case !t.Incident.State.Live():
		e.out.Dropped = append(e.out.Dropped, t.Incident.ID)
		t.Incident = nil
		return
	}
	in := *t.Incident
	in.Now = survey.Up
	n := changes(t.Ring)
	if n >= e.rules.FlapOn {
		in.State = survey.Flapping
	}
	if t.Good >= e.rules.UpAfter && (in.State != survey.Flapping || n <= e.rules.FlapOff) {
		e.close(&in, "recovered", false)
		t.Incident = nil
	} else {
		t.Incident = &in
	}
	e.out.Incidents = append(e.out.Incidents, in)
}

func (e *evaluation) close(in *survey.Incident, why string, silent bool) {
	at := e.in.At.UTC()
	in.State, in.Closed, in.Why = survey.IncidentClosed, &at, why
	e.event(survey.Closed, "", *in)
	e.out.Events[len(e.out.Events)-1].Silent = silent
}

func (e *evaluation) event(kind survey.EventKind, n string, in survey.Incident) {
	e.out.Events = append(e.out.Events, survey.IncidentEvent{ID: in.ID + "-" + string(kind) + n, Kind: kind, At: e.in.At.UTC(), Run: e.in.Run, Incident: in})
}

// removed ends what the sites file does not name any more.
func (e *evaluation) removed() {
	if e.in.Targets == nil {
		return
	}
	mirrors := map[Key]bool{}
	for k := range e.in.Targets {
		mirrors[Key{k.Site, k.Mirror, ""}] = true
	}
	var gone []Key
	for k, t := range e.tracks {
		if !t.Listed || !e.in.All && !e.in.Covers[k.Site] || e.in.Targets[k] || k.Article == "" && mirrors[k] {
			continue
		}
		gone = append(gone, k)
	}
	sort.Slice(gone, func(i, j int) bool { return gone[i].String() < gone[j].String() })
	for _, k := range gone {
		t := e.tracks[k]
		switch {
		case t.Incident == nil:
		case t.Incident.State.Live():
			in := *t.Incident
			e.close(&in, "removed", true)
			e.out.Incidents = append(e.out.Incidents, in)
		default:
			e.out.Dropped = append(e.out.Dropped, t.Incident.ID)
		}
	}
	e.out.Gone = gone
}

// kept adds up to two pieces of evidence of a run.
func kept(old, more []survey.Evidence, run survey.RunID) []survey.Evidence {
	all := append([]survey.Evidence{}, old...)
	for i, v := range more {
		if i == 2 {
			break
		}
		v.Run = run
		if len(all) == maxEvidence {
			all = append(all[:maxEvidence/2:maxEvidence/2], all[maxEvidence/2+1:]...)
		}
		all = append(all, v)
	}
	return all
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for v := range set {
		list = append(list, v)
	}
	sort.Strings(list)
	return list
}

// identity is the same whenever the same runs are evaluated.
func identity(k Key, at time.Time) string {
	h := sha256.Sum256([]byte(strings.Join([]string{k.Site, string(k.Mirror), k.Article, at.UTC().Format(time.RFC3339Nano)}, "\x00")))
	return hex.EncodeToString(h[:5])
}
