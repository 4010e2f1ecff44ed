package crawler

import (
	"context"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/publicsuffix"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// requisites fetches what pages need to be shown. Within a run each URL is fetched once per vantage, however many articles
// and mirrors name it.
type requisites struct {
	mu   sync.Mutex
	seen map[string]*requisite
}

type requisite struct {
	once      sync.Once
	capture   survey.Capture
	final     string
	size      int64
	outcome   survey.Outcome
	challenge bool
	children  []content.Requisite // of a style sheet
	err       error
}

// fetched is what a snapshot of this run got from the address; nil when none asked for it, or it did not come.
func (r *requisites) fetched(vantage, address string) *requisite {
	r.mu.Lock()
	q := r.seen[vantage+"\x00"+address]
	r.mu.Unlock()
	if q == nil {
		return nil
	}
	q.once.Do(func() {}) // waits for the one that asks
	if q.err != nil || q.outcome != survey.OK || q.final != address || q.capture.RecordID == "" || q.capture.Status != http.StatusOK {
		return nil
	}
	return q
}

// maxChildren is how many requisites of one style sheet are looked at.
const maxChildren = 1000

// seenRequisite is one requisite of a visited page, who names it, and how it was answered.
type seenRequisite struct {
	content.Requisite
	Parent    string // the page, or the style sheet that names it
	final     string
	status    int
	outcome   survey.Outcome // or one of the bounds of LeftOut.Why
	challenge bool
}

// bounded reports whether a bound of ours kept the requisite from being asked for.
func (q *seenRequisite) bounded() bool {
	return strings.HasPrefix(string(q.outcome), "max_") || q.outcome == "not_same_site" || q.outcome == "media"
}

// snapshot makes the Snapshot of a visited page: its own capture and those of its requisites, style sheets' own ones
// included, within the bounds of one snapshot. What was left out, and why, stands in it.
func (r *requisites) snapshot(ctx context.Context, v *visitor, run survey.RunID, a survey.Article, out *visit, memory Memory) (survey.Snapshot, []seenRequisite, error) {
	last := out.chain.last()
	s := survey.Snapshot{ID: last.capture.RecordID, Run: run, Article: a, Mirror: out.mirror.Host, Vantage: v.vantage.Name,
		URL: out.observation.FinalURL, Time: last.capture.Date, Page: last.capture, Requisites: []survey.Requisite{}}
	if out.page == nil || len(out.page.Requisites) == 0 {
		return s, nil, nil
	}
	old, ok, err := memory.Latest(ctx, a, out.mirror.Host, v.vantage.Name)
	if err != nil {
		return s, nil, err
	}
	if ok && old.Page.Payload == s.Page.Payload && old.URL == s.URL && fresh(old, s.Time, v.settings.RequisitesEvery) {
		s.Requisites, s.LeftOut = old.Requisites, old.LeftOut
		return s, remembered(s, out.page), nil
	}

	bounded, cancel := context.WithTimeoutCause(ctx, v.settings.RequisiteTime, context.DeadlineExceeded)
	defer cancel()
	var wanted []seenRequisite
	named := map[string]bool{}
	add := func(list []content.Requisite, parent string) {
		for _, w := range list {
			if !named[w.URL] && len(wanted) < v.settings.MaxRequisites+maxChildren {
				named[w.URL] = true
				wanted = append(wanted, seenRequisite{Requisite: w, Parent: parent, final: w.URL})
			}
		}
	}
	add(out.page.Requisites, s.URL)
	got := map[string]*requisite{}
	var sum atomic.Int64
	for from := 0; from < len(wanted); {
		batch := wanted[from:]
		answers, err := r.batch(ctx, bounded, v, a.URL, out.mirror.Host, batch, from, &sum)
		if err != nil {
			return s, nil, err
		}
		from = len(wanted)
		for i, q := range answers {
			if q != nil {
				got[batch[i].URL] = q
				add(q.children, q.final)
			}
		}
	}
	for i := range wanted {
		w := &wanted[i]
		q := got[w.URL]
		if q == nil {
			s.LeftOut = append(s.LeftOut, survey.LeftOut{URL: w.URL, Why: string(w.outcome)})
			continue
		}
		w.outcome, w.final, w.challenge = q.outcome, q.final, q.challenge
		if w.status = q.capture.Status; w.status == 0 {
			w.status = q.outcome.StatusCode()
		}
		if q.capture.RecordID == "" || q.outcome != survey.OK {
			s.LeftOut = append(s.LeftOut, survey.LeftOut{URL: w.URL, Why: string(q.outcome)})
			continue
		}
		req := survey.Requisite{URL: w.URL, Capture: q.capture}
		if q.final != w.URL {
			req.Final = q.final
		}
		s.Requisites = append(s.Requisites, req)
	}
	sort.Slice(s.Requisites, func(i, j int) bool { return s.Requisites[i].URL < s.Requisites[j].URL })
	sort.Slice(s.LeftOut, func(i, j int) bool { return s.LeftOut[i].URL < s.LeftOut[j].URL })
	return s, wanted, nil
}

// batch fetches requisites side by side. Those left out have no answer, and their outcome names the bound. first is how
// many the snapshot has asked for before.
func (r *requisites) batch(ctx, bounded context.Context, v *visitor, article string, m survey.Host, batch []seenRequisite, first int, sum *atomic.Int64) ([]*requisite, error) {
	got := make([]*requisite, len(batch))
	slots := make(chan struct{}, 8)
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	for i := range batch {
		w := &batch[i]
		if why := v.leaveOut(first+i, w.Requisite, m); why != "" {
			w.outcome = survey.Outcome(why)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			switch {
			case v.isStopped():
				w.outcome = v.stopped()
				return
			case bounded.Err() != nil && ctx.Err() == nil:
				w.outcome = "max_time"
				return
			case sum.Load() >= v.settings.MaxRequisiteSum:
				w.outcome = "max_bytes"
				return
			}
			q := r.get(bounded, v, article, m, w.Requisite)
			if q.err != nil {
				select {
				case failed <- q.err:
				default:
				}
				return
			}
			sum.Add(q.size)
			got[i] = q
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
		return got, nil
	}
}

// remembered is what an earlier snapshot's lists say of the requisites; what its style sheets named has the page as parent.
func remembered(s survey.Snapshot, p *content.Page) []seenRequisite {
	kinds := map[string]markup.Kind{}
	for _, q := range p.Requisites {
		kinds[q.URL] = q.Kind
	}
	var out []seenRequisite
	add := func(q seenRequisite) {
		if q.Kind = kinds[q.URL]; q.Kind == "" {
			q.Kind = markup.Other
		}
		q.Parent = s.URL
		out = append(out, q)
	}
	for _, q := range s.Requisites {
		final := q.Final
		if final == "" {
			final = q.URL
		}
		add(seenRequisite{Requisite: content.Requisite{URL: q.URL}, final: final, status: q.Capture.Status, outcome: survey.OK})
	}
	for _, l := range s.LeftOut {
		o := survey.Outcome(l.Why)
		add(seenRequisite{Requisite: content.Requisite{URL: l.URL}, final: l.URL, status: o.StatusCode(), outcome: o})
	}
	return out
}

// fresh reports whether the old snapshot's requisites need no second fetch: the oldest of them is younger than every.
func fresh(old survey.Snapshot, now time.Time, every time.Duration) bool {
	if len(old.LeftOut) > 0 {
		return false // what was missing is tried again
	}
	for _, r := range old.Requisites {
		if now.Sub(r.Capture.Date) >= every {
			return false
		}
	}
	return true
}

// leaveOut names the bound or rule that keeps a requisite from being fetched, empty when nothing does.
func (v *visitor) leaveOut(i int, w content.Requisite, m survey.Host) string {
	switch {
	case i >= v.settings.MaxRequisites:
		return "max_requisites"
	case w.Kind == markup.Media && v.settings.Media == "none":
		return "media"
	case v.vantage.Proxy != "" && !sameSite(hostOf(w.URL), m) && !v.inMirrorSet(hostOf(w.URL)):
		// The proxy resolves the name, so that the guard cannot see the address (DESIGN section 4).
		return "not_same_site"
	}
	return ""
}

func (v *visitor) inMirrorSet(h survey.Host) bool {
	for _, m := range v.hosts {
		if m == h {
			return true
		}
	}
	return false
}

// sameSite reports whether two hosts share their registrable domain.
func sameSite(a, b survey.Host) bool {
	if a == b {
		return true
	}
	da, erra := publicsuffix.EffectiveTLDPlusOne(bare(a))
	db, errb := publicsuffix.EffectiveTLDPlusOne(bare(b))
	return erra == nil && errb == nil && da == db
}

func bare(h survey.Host) string {
	u, err := url.Parse("http://" + string(h))
	if err != nil {
		return string(h)
	}
	return u.Hostname()
}

// get fetches one requisite, following redirects; each hop is archived, the last one counts.
func (r *requisites) get(ctx context.Context, v *visitor, article string, m survey.Host, w content.Requisite) *requisite {
	key := v.vantage.Name + "\x00" + w.URL
	r.mu.Lock()
	if r.seen == nil {
		r.seen = map[string]*requisite{}
	}
	q := r.seen[key]
	if q == nil {
		q = &requisite{}
		r.seen[key] = q
	}
	r.mu.Unlock()
	q.once.Do(func() {
		method := http.MethodGet
		if w.Kind == markup.Media && v.settings.Media == "head" {
			method = http.MethodHead
		}
		for attempt := 1; ; attempt++ {
			probe := survey.Probe{ID: newID(), Run: v.run, Article: article, Mirror: m, Vantage: v.vantage.Name, Purpose: survey.ForRequisite, Attempt: attempt}
			ex, err := q.fetch(ctx, v, probe, method, w)
			if err != nil {
				q.err = err
				return
			}
			// One failure is no broken picture: what may pass is asked for again.
			if ex == nil || ctx.Err() != nil || v.isStopped() || attempt > v.settings.Retries || q.challenge {
				return
			}
			wait := v.settings.RetryWait << (attempt - 1)
			if after, given := retryAfter(ex, v.now()); given {
				wait = after
			}
			passing := networkFailure(ex.Outcome) || ex.Status == http.StatusTooManyRequests || ex.Status >= 500
			if !passing || wait > maxPause || sleep(ctx, wait) != nil {
				return
			}
		}
	})
	return q
}

// fetch asks once and follows redirects. The Exchange is the last one's, nil when nothing was asked.
func (q *requisite) fetch(ctx context.Context, v *visitor, probe survey.Probe, method string, w content.Requisite) (*survey.Exchange, error) {
	q.final = w.URL
	header := http.Header{}
	for hop := 0; ; hop++ {
		probe.Hop = hop
		a, err := v.ask(ctx, question{probe: probe, method: method, url: q.final, header: header.Clone(), timeout: v.settings.whole()})
		if err != nil {
			return nil, err
		}
		if a.exchange == nil {
			q.outcome = survey.Interrupted
			return nil, nil
		}
		ex := a.exchange
		q.capture, q.outcome, q.size = a.capture, ex.Outcome, q.size+ex.PayloadSize
		if ex.Outcome != survey.OK {
			return ex, nil
		}
		switch {
		case isRedirect(ex.Status):
			next, ok := resolveLocation(q.final, ex.Get("Location"))
			switch {
			case !ok:
				q.outcome = survey.BadLocation
			case hop >= 5 || next == q.final:
				q.outcome = survey.TooManyRedirects
			case v.vantage.Proxy != "" && !sameSite(hostOf(next), probe.Mirror) && !v.inMirrorSet(hostOf(next)):
				q.outcome = survey.GuardRefused
			default:
				q.final = next
				continue
			}
		case method == http.MethodHead && (ex.Status == http.StatusMethodNotAllowed || ex.Status == http.StatusNotImplemented):
			// A server that knows no HEAD: its first octet tells as much.
			method = http.MethodGet
			header.Set("Range", "bytes=0-0")
			continue
		case ex.Status == http.StatusTooManyRequests:
			q.outcome = survey.RateLimited
		case ex.Status >= 400:
			q.outcome = survey.Status(ex.Status)
			q.challenge = challenged(ex, a.body)
		case w.Kind == markup.Style && method == http.MethodGet:
			q.children = styleChildren(q.final, a.body)
		}
		return ex, nil
	}
}

// styleChildren are the requisites that a style sheet names, imported sheets among them.
func styleChildren(base string, css []byte) []content.Requisite {
	var out []content.Requisite
	seen := map[string]bool{base: true}
	markup.CSS(css, func(p markup.Place) bool {
		if u, ok := markup.Resolve(base, p.URL); ok && !seen[u] && p.Kind.Requisite() {
			seen[u] = true
			out = append(out, content.Requisite{URL: u, Kind: p.Kind})
		}
		return len(out) < maxChildren
	})
	return out
}
