package crawler

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// KnownLink is the newest answer of one mirror to one link, as earlier runs left it.
type KnownLink struct {
	Target  string
	Kind    string
	Parents []string
	survey.LinkResult
	Checked time.Time // when it was last asked for
}

// Words of survey.LinkResult.State.
const (
	LinkOK        = "ok"
	LinkWarn      = "warn" // a rule of the operator says that it is no fault
	LinkBroken    = "broken"
	LinkNotJudged = "not_judged"
)

const (
	// maxPageLinks is how many links of one page are checked.
	maxPageLinks = 1000
	// maxParents is how many pages are named for one link.
	maxParents = 50
	// deadHost is how many network failures in a row end the asking of a host for this run.
	deadHost = 5
)

// links checks what pages link to: once per run, address and vantage, however many articles and mirrors share it.
type links struct {
	mu     sync.Mutex
	asked  map[string]*linkAnswer
	known  map[string]*knownLinks // by site
	failed map[string]int         // vantage and host -> network failures in a row
	merged map[string]*survey.Link
	order  []string
}

type knownLinks struct {
	once sync.Once
	by   map[linkKey]KnownLink
	err  error
}

type linkKey struct {
	target  string
	mirror  survey.Host
	vantage string
}

// linkAnswer is what an address answered.
type linkAnswer struct {
	once      sync.Once
	outcome   survey.Outcome
	status    int
	final     string // the address that answered
	challenge bool   // the answer asks for a human
	err       error  // the sink's
	whole     bool   // the page itself is wanted, for its anchors
	anchors   *anchors
}

// linkJob is one target asked of one mirror from one vantage, or a requisite that its snapshot has asked for already.
type linkJob struct {
	seat     *seat
	target   string
	kind     markup.Kind
	address  string
	fragment string // what target names within the page at address
	answer   *linkAnswer
	known    *KnownLink
	result   survey.LinkResult
	reused   bool
}

// shown is the address as the result names it.
func (job *linkJob) shown() string {
	if job.fragment != "" {
		return job.address + "#" + job.fragment
	}
	return job.address
}

// checkLinks asks every mirror that serves the article for what the article links to, and judges its requisites. It
// returns the results that are news to history; those of an earlier run that still hold stand in the report only.
func (r *run) checkLinks(ctx context.Context, sp SitePlan, a survey.Article, seats []*seat, j compare.Judgement) ([]survey.Link, error) {
	known, err := r.links.load(ctx, r.Memory, sp.Site.Name)
	if err != nil {
		return nil, err
	}
	var jobs []*linkJob
	for i, s := range seats {
		if !linkable(s, j.Verdicts[i]) {
			continue
		}
		jobs = append(jobs, requisiteJobs(sp, s)...)
		if sp.Settings.Links == "page" { // the whole site is crawled apart
			reference := referencePage(seats, j, s)
			jobs = append(jobs, pageJobs(sp, a, s, reference, deadNames(seats, s))...)
			if sp.Settings.Fragments {
				jobs = append(jobs, fragmentJobs(sp, a, s, reference)...)
			}
		}
	}
	for _, job := range jobs {
		if k, ok := known[linkKey{job.target, job.seat.mirror.Host, job.seat.visitor.vantage.Name}]; ok {
			job.known = &k
		}
	}
	if err := r.askLinks(ctx, sp, a, jobs); err != nil {
		return nil, err
	}
	jobs = slices.DeleteFunc(jobs, func(job *linkJob) bool {
		if job.fragment == "" || job.reused {
			return false
		}
		job.answer = job.settled()
		return job.answer == nil
	})
	now := r.now().UTC()
	for _, job := range jobs {
		job.judge(sp, now)
	}
	count(jobs)
	for i, s := range seats {
		if linkable(s, j.Verdicts[i]) {
			s.hygiene = hygiene(sp, seats, s, jobs)
		}
	}
	r.links.merge(sp.Site.Name, a.URL, jobs)
	return group(a.URL, jobs, func(job *linkJob) bool { return !job.reused }), nil
}

// linkable reports whether the seat serves the article, so that its links mean something.
func linkable(s *seat, v survey.Verdict) bool {
	if s.void || s.visit == nil || s.visit.page == nil || s.visit.insecure || s.visit.observation.Outcome != survey.OK {
		return false
	}
	switch v.State {
	case survey.Up, survey.Degraded:
		return true
	}
	return len(v.Reasons) > 0 && v.Reasons[0] == survey.ReasonNoReference
}

// referencePage is the seat whose links all mirrors are asked for: the reference from the same vantage, else from another,
// else the primary; nil when there is none.
func referencePage(seats []*seat, j compare.Judgement, at *seat) *seat {
	var best *seat
	rank := 0
	for i, s := range seats {
		if !linkable(s, j.Verdicts[i]) {
			continue
		}
		n := 0
		switch {
		case j.Reference != nil && s.mirror.Host == j.Reference.Mirror:
			n = 4
		case s.mirror.Role == survey.Primary:
			n = 2
		default:
			continue
		}
		if s.visitor.vantage.Name == at.visitor.vantage.Name {
			n++
		}
		if n > rank {
			best, rank = s, n
		}
	}
	return best
}

// requisiteJobs are the seat's requisites, which its snapshot asked for.
func requisiteJobs(sp SitePlan, s *seat) []*linkJob {
	var jobs []*linkJob
	for _, q := range s.requisites {
		if q.bounded() {
			continue // a bound of ours, no answer of anybody: counted, not listed
		}
		jobs = append(jobs, &linkJob{seat: s, target: onPrimaryHost(sp.Site, q.URL), kind: q.Kind, address: q.URL,
			answer: &linkAnswer{outcome: q.outcome, status: q.status, final: q.final, challenge: q.challenge}})
	}
	return jobs
}

// pageJobs are the links that the seat's mirror is asked for: those of the reference page at the mirror's addresses, and
// those that only the mirror's own page names on its own host. Foreign hosts are asked with Settings.External only, for
// the pages that name them.
func pageJobs(sp SitePlan, a survey.Article, s, reference *seat, dead []survey.Host) []*linkJob {
	var jobs []*linkJob
	seen := map[string]bool{s.visit.observation.URL: true, s.visit.observation.FinalURL: true}
	for _, q := range s.requisites {
		seen[q.URL] = true // asked for already
	}
	add := func(target, address string) {
		if !seen[address] && len(jobs) < maxPageLinks {
			seen[address] = true
			jobs = append(jobs, &linkJob{seat: s, target: target, kind: markup.Page, address: address})
		}
	}
	if reference != nil {
		for _, l := range reference.visit.page.Links {
			if !inSite(sp.Site, hostOf(l.URL)) {
				continue
			}
			target := onPrimaryHost(sp.Site, l.URL)
			if target == a.URL {
				continue
			}
			address, err := mapURL(target, s.mirror, sp.Paths)
			if err != nil {
				continue
			}
			add(target, address)
		}
	}
	for _, l := range s.visit.page.Links {
		switch h := hostOf(l.URL); {
		case h == s.mirror.Host:
			add(onPrimaryHost(sp.Site, l.URL), l.URL)
		case inSite(sp.Site, h):
			// The same path was asked of this mirror; that the link leads away is a matter of hygiene.
		case sp.Settings.External:
			add(l.URL, l.URL)
		}
	}
	for _, u := range append(slices.Clone(s.visit.page.Feeds), s.visit.page.Canonical) {
		if h := hostOf(u); u != "" && !seen[u] && !slices.Contains(dead, h) && (inSite(sp.Site, h) || sp.Settings.External) {
			seen[u] = true
			kind := markup.FeedLink
			if u == s.visit.page.Canonical {
				kind = markup.Canonical
			}
			jobs = append(jobs, &linkJob{seat: s, target: onPrimaryHost(sp.Site, u), kind: kind, address: u})
		}
	}
	return jobs
}

func inSite(site survey.Site, h survey.Host) bool {
	return slices.ContainsFunc(site.Mirrors, func(m survey.Mirror) bool { return m.Host == h })
}

// onPrimaryHost names a target by its address on the primary, whichever mirror's address a page wrote; addresses of
// foreign hosts stay as they are.
func onPrimaryHost(site survey.Site, address string) string {
	u, err := url.Parse(address)
	if err != nil || !inSite(site, survey.MirrorName(u)) {
		return address
	}
	p := site.Primary()
	u.Scheme, u.Host, u.Fragment, u.RawFragment = p.Scheme, string(p.Host), "", ""
	return u.String()
}

// askLinks asks what is not answered yet, several jobs at a time; the host gate spaces the requests.
func (r *run) askLinks(ctx context.Context, sp SitePlan, a survey.Article, jobs []*linkJob) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	whole := map[string]bool{} // by mirror and address: a page whose parts are looked at is asked for once, whole
	for _, job := range jobs {
		if job.fragment != "" && job.answer == nil {
			whole[string(job.seat.mirror.Host)+" "+job.address] = true
		}
	}
	for _, job := range jobs {
		if job.answer != nil {
			continue
		}
		if k := job.known; k != nil && k.State == LinkOK && k.URL == job.shown() && r.now().Sub(k.Checked) < sp.Settings.LinksEvery {
			job.reused = true
			continue
		}
		job.answer = r.links.answer(job.seat.visitor.vantage.Name, job.address, whole[string(job.seat.mirror.Host)+" "+job.address])
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			job.answer.once.Do(func() { r.askLink(ctx, job.seat, a.URL, job.address, job.answer) })
			if job.answer.err != nil {
				cancel(job.answer.err)
			}
		})
	}
	wg.Wait()
	for _, job := range jobs {
		if job.answer != nil && job.answer.err != nil {
			return job.answer.err
		}
	}
	return nil
}

// answer is the place for what the address answers: its head, or the whole page.
func (l *links) answer(vantage, address string, whole bool) *linkAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == nil {
		l.asked = map[string]*linkAnswer{}
	}
	key := vantage + "\x00" + address
	if whole {
		key += "\x00whole"
	}
	a := l.asked[key]
	if a == nil {
		a = &linkAnswer{whole: whole}
		l.asked[key] = a
	}
	return a
}

// load reads the site's known links once per run.
func (l *links) load(ctx context.Context, m Memory, site string) (map[linkKey]KnownLink, error) {
	l.mu.Lock()
	if l.known == nil {
		l.known = map[string]*knownLinks{}
	}
	k := l.known[site]
	if k == nil {
		k = &knownLinks{by: map[linkKey]KnownLink{}}
		l.known[site] = k
	}
	l.mu.Unlock()
	k.once.Do(func() {
		k.err = m.Links(ctx, site, func(n KnownLink) bool {
			k.by[linkKey{n.Target, n.Mirror, n.Vantage}] = n
			return true
		})
	})
	return k.by, k.err
}

// hostFailed counts a network failure of the host, or forgets them after an answer.
func (l *links) hostFailed(key string, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = map[string]int{}
	}
	if failed {
		l.failed[key]++
	} else if l.failed[key] < deadHost {
		delete(l.failed, key)
	}
}

func (l *links) hostDead(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[key] >= deadHost
}

// unallowed is the outcome of an address that is not asked for since robots.txt forbids it or did not come. What failed on the
// network counts as a failure of the address's host, between two successes of the canaries.
func (r *run) unallowed(ctx context.Context, v *visitor, address, host string) (survey.Outcome, error) {
	o := r.robots.refusal(v, address)
	if !networkFailure(o) {
		return o, nil
	}
	r.links.hostFailed(host, true)
	counted, err := v.sandwiched(ctx, v.now())
	if err == nil && !counted {
		o = survey.OwnNetwork
	}
	return o, err
}

// askLink asks for the head of the address and, where that is refused or says that something is wrong, for the whole:
// servers that know no HEAD answer it with all kinds of errors.
func (r *run) askLink(ctx context.Context, s *seat, article, address string, out *linkAnswer) {
	v := s.visitor
	out.final = address
	if v.isStopped() {
		out.outcome = v.stopped()
		return
	}
	if v.vantage.Proxy != "" && !v.inMirrorSet(hostOf(address)) && !sameSite(hostOf(address), s.mirror.Host) {
		out.outcome = survey.GuardRefused // the proxy resolves the name: the guard cannot see the address
		return
	}
	host := v.vantage.Name + "\x00" + string(hostOf(address))
	if r.links.hostDead(host) {
		out.outcome = survey.HostDown
		return
	}
	if !v.settings.IgnoreRobots {
		ok, err := r.robots.allowed(ctx, v, address)
		if err != nil {
			out.err = err
			return
		}
		if !ok {
			out.outcome, out.err = r.unallowed(ctx, v, address, host)
			return
		}
	}
	probe := survey.Probe{Run: v.run, Article: article, Mirror: s.mirror.Host, Vantage: v.vantage.Name, Purpose: survey.ForLink}
	method := http.MethodHead
	if out.whole {
		method = http.MethodGet
	}
	for attempt := 1; ; {
		started := v.now()
		probe.ID, probe.Attempt = newID(), attempt
		ex, err := v.chase(ctx, probe, method, address, out)
		if err != nil {
			out.err = err
			return
		}
		network := ex != nil && ex.Outcome != survey.OK && networkFailure(ex.Outcome)
		if method == http.MethodHead && ex != nil && ctx.Err() == nil && (network || ex.Status >= 400 && ex.Status != http.StatusTooManyRequests) &&
			(!network || ex.Stage == survey.StageHTTP || ex.Stage == survey.StageBody) && out.outcome != survey.Timeout {
			method = http.MethodGet
			continue
		}
		r.links.hostFailed(host, network)
		switch {
		case ex == nil, ctx.Err() != nil, v.isStopped():
			return
		case network, ex.Status == http.StatusTooManyRequests, ex.Status >= 500 && !out.challenge:
			wait := v.settings.RetryWait << (attempt - 1)
			if ex.Status == http.StatusTooManyRequests || ex.Status == http.StatusServiceUnavailable {
				if after, given := retryAfter(ex, v.now()); given {
					if after > maxPause {
						return
					}
					v.gate.pause(hostOf(out.final), time.Now().Add(after))
					wait = after
				}
			}
			if attempt <= v.settings.Retries && !r.links.hostDead(host) && sleep(ctx, wait) == nil {
				attempt++
				continue
			}
			if network {
				counted, err := v.sandwiched(ctx, started)
				if err != nil {
					out.err = err
				} else if !counted {
					out.outcome = survey.OwnNetwork
				}
			}
			return
		default:
			return
		}
	}
}

// chase asks and follows Location within the mirror set, and beyond it only for an address that is foreign itself: where a
// mirror's redirect leads away, the redirect is the answer. The Exchange is the last one's, nil when nothing was asked.
func (v *visitor) chase(ctx context.Context, probe survey.Probe, method, address string, out *linkAnswer) (*survey.Exchange, error) {
	own := v.inMirrorSet(hostOf(address))
	out.final, out.status, out.challenge = address, 0, false
	seen := map[string]bool{}
	for hop := 0; ; hop++ {
		seen[out.final] = true
		probe.Hop = hop
		a, err := v.ask(ctx, question{probe: probe, method: method, url: out.final, timeout: v.settings.whole()})
		if err != nil {
			return nil, err
		}
		if a.exchange == nil || a.ended {
			out.outcome = survey.Interrupted
			return nil, nil
		}
		ex := a.exchange
		out.outcome, out.status = ex.Outcome, ex.Status
		if ex.Outcome != survey.OK {
			if method == http.MethodGet && (ex.Outcome == survey.BodyTruncatedLimit || ex.Outcome == survey.DecodedLimit) && ex.Status < 400 {
				out.outcome = survey.OK // it is there, and larger than what we keep
			}
			return ex, nil
		}
		switch {
		case isRedirect(ex.Status):
			next, ok := resolveLocation(out.final, ex.Get("Location"))
			switch {
			case !ok:
				out.outcome = survey.BadLocation
			case seen[next]:
				out.outcome = survey.RedirectLoop
			case hop >= v.settings.MaxHops:
				out.outcome = survey.TooManyRedirects
			case own && !v.inMirrorSet(hostOf(next)),
				v.vantage.Proxy != "" && !sameSite(hostOf(next), probe.Mirror) && !v.inMirrorSet(hostOf(next)):
				return ex, nil
			case own && hostOf(next) != hostOf(out.final):
				out.final = next // to another mirror: what stands there is asked for under its own name
				return ex, nil
			default:
				out.final = next
				continue
			}
		case ex.Status == http.StatusTooManyRequests:
			out.outcome = survey.RateLimited
		case ex.Status >= 400:
			out.outcome = survey.Status(ex.Status)
			out.challenge = challenged(ex, a.body)
		case out.whole && readable(ex, a.body):
			out.anchors = anchorsOf(a.body)
		}
		return ex, nil
	}
}

// challenged reports whether an error asks for a human instead of saying that something is missing: by the fields that
// the vendors of such walls set, or by their software in the page.
func challenged(ex *survey.Exchange, body []byte) bool {
	if strings.EqualFold(ex.Get("Cf-Mitigated"), "challenge") || ex.Get("X-Datadome") != "" || ex.Get("X-Amzn-Waf-Action") != "" ||
		ex.Get("X-Vercel-Mitigated") != "" || ex.Get("X-Sucuri-Block") != "" || ex.Status == 999 {
		return true
	}
	if ex.Status != http.StatusForbidden && ex.Status != http.StatusServiceUnavailable && ex.Status != http.StatusUnauthorized || !readable(ex, body) {
		return false
	}
	p := readStored(body, content.Options{URL: ex.URL, ContentType: ex.Get("Content-Type")})
	return p != nil && slices.ContainsFunc(p.Markers, func(m string) bool { return strings.HasPrefix(m, "challenge:") })
}

// judge makes the job's result from what was answered now or before.
func (job *linkJob) judge(sp SitePlan, now time.Time) {
	if job.reused {
		job.result = job.known.LinkResult
		job.answer = &linkAnswer{outcome: job.known.Outcome, final: job.address}
		return
	}
	a := job.answer
	res := survey.LinkResult{Mirror: job.seat.mirror.Host, Vantage: job.seat.visitor.vantage.Name, URL: job.shown(), Outcome: a.outcome, FirstSeen: now}
	if a.status != 0 {
		res.Status = survey.Ptr(a.status)
	}
	res.State = linkState(a)
	if a.challenge {
		res.Outcome = survey.Outcome(survey.ClassChallenge)
	}
	res.State = ruled(sp.LinkRules, a.status, res.State, job.target, job.address)
	if k := job.known; k != nil && k.State == res.State {
		res.FirstSeen = k.FirstSeen
	}
	if first, ok := sp.Baseline.known(job.target, job.seat.mirror.Host); ok && res.State == LinkBroken && first.Before(res.FirstSeen) {
		res.FirstSeen = first
	}
	job.result = res
}

// ruled is the state that the first fitting rule gives, else the state itself. What was not judged is not ruled upon.
func ruled(rules []LinkRule, status int, state string, addresses ...string) string {
	if state == LinkNotJudged || status == 0 {
		return state
	}
	for _, rule := range rules {
		if s := rule.Status[status]; s != "" && slices.ContainsFunc(addresses, rule.Match.MatchString) {
			return s
		}
	}
	return state
}

func linkState(a *linkAnswer) string {
	switch {
	case a.outcome == survey.OK:
		return LinkOK
	case a.challenge:
		return LinkNotJudged
	}
	switch a.outcome {
	case survey.RateLimited, survey.Interrupted, survey.Budget, survey.OwnNetwork, survey.GuardRefused, survey.RobotsRefused,
		survey.NoRoute, survey.LocalResources, survey.Crashed, survey.OnionLeakRefused, survey.ScriptRendered, survey.HostDown:
		return LinkNotJudged
	}
	return LinkBroken
}

// count adds the jobs' results to their seats. A seat's requisites stand in its count already, and are counted again from
// their results, which know rules and challenges.
func count(jobs []*linkJob) {
	seen := map[*seat]bool{}
	for _, job := range jobs {
		s := job.seat
		if !seen[s] {
			seen[s] = true
			bounded := 0
			for _, q := range s.requisites {
				if q.bounded() {
					bounded++
				}
			}
			s.links = &survey.LinkCount{NotJudged: bounded}
		}
		switch state := job.result.State; {
		case job.kind == markup.Canonical:
		case state == LinkNotJudged:
			s.links.NotJudged++
		case state == LinkBroken:
			s.links.Broken++
			s.links.Checked++
		default:
			s.links.Checked++
		}
	}
}

// group gathers results by target, in the order of targets.
func group(parent string, jobs []*linkJob, want func(*linkJob) bool) []survey.Link {
	by := map[string]int{}
	var out []survey.Link
	for _, job := range jobs {
		if job.kind == markup.Canonical || !want(job) {
			continue // no reader follows a canonical link: it is a matter of hygiene
		}
		i, ok := by[job.target]
		if !ok {
			i = len(out)
			by[job.target] = i
			out = append(out, survey.Link{Target: job.target, Kind: string(job.kind), Parents: []string{parent}})
		}
		addResult(&out[i], job.result)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Target < out[j].Target })
	return out
}

// merge adds a check's results to the report's: each target once, with all its parents.
func (l *links) merge(site, parent string, jobs []*linkJob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.merged == nil {
		l.merged = map[string]*survey.Link{}
	}
	for _, n := range group(parent, jobs, func(*linkJob) bool { return true }) {
		key := site + "\x00" + n.Target
		old := l.merged[key]
		if old == nil {
			l.merged[key] = &n
			l.order = append(l.order, key)
			continue
		}
		if len(old.Parents) < maxParents && !slices.Contains(old.Parents, parent) {
			old.Parents = append(old.Parents, parent)
		}
		for _, res := range n.Results {
			addResult(old, res)
		}
	}
}

// report returns what all checks of the run found, by site and target.
func (l *links) report() []survey.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	sort.Strings(l.order)
	out := make([]survey.Link, 0, len(l.order))
	for _, key := range l.order {
		n := *l.merged[key]
		sort.Strings(n.Parents)
		sort.SliceStable(n.Results, func(i, j int) bool {
			a, b := n.Results[i], n.Results[j]
			if a.Mirror != b.Mirror {
				return a.Mirror < b.Mirror
			}
			return a.Vantage < b.Vantage
		})
		out = append(out, n)
	}
	return out
}

// addResult keeps one result per mirror and vantage, the worst: a page may name a target by several addresses.
func addResult(l *survey.Link, res survey.LinkResult) {
	rank := map[string]int{LinkBroken: 3, LinkNotJudged: 2, LinkWarn: 1}
	for i, old := range l.Results {
		if old.Mirror == res.Mirror && old.Vantage == res.Vantage {
			if rank[res.State] > rank[old.State] {
				l.Results[i] = res
			}
			return
		}
	}
	l.Results = append(l.Results, res)
}

// merged joins two lists of links, each target once.
func merged(a, b []survey.Link) []survey.Link {
	if len(a) == 0 {
		return b
	}
	at := map[string]int{}
	out := slices.Clone(a)
	for i, l := range out {
		at[l.Target] = i
	}
	for _, l := range b {
		i, ok := at[l.Target]
		if !ok {
			out = append(out, l)
			continue
		}
		n := out[i]
		n.Results = slices.Clone(n.Results)
		for _, res := range l.Results {
			addResult(&n, res)
		}
		for _, p := range l.Parents {
			if len(n.Parents) < maxParents && !slices.Contains(n.Parents, p) {
				n.Parents = append(slices.Clone(n.Parents), p)
			}
		}
		out[i] = n
	}
	return out
}
