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
	once    sync.Once
	capture survey.Capture
	final   string
	size    int64
	outcome survey.Outcome
	err     error
}

// snapshot makes the Snapshot of a visited page: its own capture and those of its requisites, within the bounds of one
// snapshot. What was left out, and why, stands in it. The zero count means that nothing was checked.
func (r *requisites) snapshot(ctx context.Context, v *visitor, run survey.RunID, a survey.Article, out *visit, memory Memory) (survey.Snapshot, *survey.LinkCount, error) {
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
		return s, countRequisites(s), nil
	}

	bounded, cancel := context.WithTimeoutCause(ctx, v.settings.RequisiteTime, context.DeadlineExceeded)
	defer cancel()
	var (
		wanted = out.page.Requisites
		got    = make([]*requisite, len(wanted))
		why    = make([]string, len(wanted))
		sum    atomic.Int64
		slots  = make(chan struct{}, 8)
		wg     sync.WaitGroup
		failed = make(chan error, 1)
	)
	for i, w := range wanted {
		why[i] = v.leaveOut(i, w, out.mirror.Host)
		if why[i] != "" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			switch {
			case v.isStopped():
				why[i] = string(v.stopped())
				return
			case bounded.Err() != nil:
				why[i] = "max_time"
				return
			case sum.Load() >= v.settings.MaxRequisiteSum:
				why[i] = "max_bytes"
				return
			}
			q := r.get(bounded, v, a.URL, out.mirror.Host, w)
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
		return s, nil, err
	default:
	}
	for i, w := range wanted {
		switch q := got[i]; {
		case q == nil:
			if why[i] != "" {
				s.LeftOut = append(s.LeftOut, survey.LeftOut{URL: w.URL, Why: why[i]})
			}
		case q.capture.RecordID == "" || q.outcome != survey.OK:
			s.LeftOut = append(s.LeftOut, survey.LeftOut{URL: w.URL, Why: string(q.outcome)})
		default:
			req := survey.Requisite{URL: w.URL, Capture: q.capture}
			if q.final != w.URL {
				req.Final = q.final
			}
			s.Requisites = append(s.Requisites, req)
		}
	}
	sort.Slice(s.Requisites, func(i, j int) bool { return s.Requisites[i].URL < s.Requisites[j].URL })
	sort.Slice(s.LeftOut, func(i, j int) bool { return s.LeftOut[i].URL < s.LeftOut[j].URL })
	return s, countRequisites(s), nil
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

func countRequisites(s survey.Snapshot) *survey.LinkCount {
	n := &survey.LinkCount{Checked: len(s.Requisites)}
	for _, l := range s.LeftOut {
		switch o := survey.Outcome(l.Why); {
		case o == survey.RateLimited, o == survey.Interrupted, o == survey.Budget, o == survey.OwnNetwork,
			o == survey.GuardRefused, strings.HasPrefix(l.Why, "max_"), l.Why == "not_same_site", l.Why == "media":
			n.NotJudged++
		default:
			n.Checked++
			n.Broken++
		}
	}
	return n
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
		probe := survey.Probe{ID: newID(), Run: v.run, Article: article, Mirror: m, Vantage: v.vantage.Name, Purpose: survey.ForRequisite, Attempt: 1}
		q.final = w.URL
		for hop := 0; ; hop++ {
			probe.Hop = hop
			a, err := v.ask(ctx, question{probe: probe, method: method, url: q.final, timeout: v.settings.Timeout})
			if err != nil {
				q.err = err
				return
			}
			if a.exchange == nil {
				q.outcome = survey.Interrupted
				return
			}
			ex := a.exchange
			q.capture, q.outcome, q.size = a.capture, ex.Outcome, q.size+ex.PayloadSize
			if ex.Outcome != survey.OK {
				return
			}
			switch {
			case isRedirect(ex.Status):
				next, ok := resolveLocation(q.final, ex.Get("Location"))
				switch {
				case !ok:
					q.outcome = survey.BadLocation
				case hop >= 5 || next == q.final:
					q.outcome = survey.TooManyRedirects
				case v.vantage.Proxy != "" && !sameSite(hostOf(next), m) && !v.inMirrorSet(hostOf(next)):
					q.outcome = survey.GuardRefused
				default:
					q.final = next
					continue
				}
			case ex.Status == 429:
				q.outcome = survey.RateLimited
			case ex.Status >= 400:
				q.outcome = survey.Status(ex.Status)
			}
			return
		}
	})
	return q
}
