package crawler

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"mirrorwatch/crawler/survey"
)

// Served is what history knows of an article on one mirror from one vantage.
type Served struct {
	Mirror  survey.Host
	Role    survey.Role
	Vantage string
	URL     string       // where the mirror has the article
	State   survey.State // in the newest run that visited it
	Verdict survey.VerdictWord
	Seen    time.Time
}

// Leads returns the addresses that a reader may be sent to, best first: those of primaries and alternates that every vantage
// saw serving the article when it last looked, and whose host is one of allowed. An address on any other host, whatever
// history says, is left out, so that nothing archived can make a redirect lead elsewhere.
func Leads(served []Served, allowed func(survey.Host) bool) []string {
	type lead struct {
		Served
		up bool
	}
	byMirror := map[survey.Host]*lead{}
	for _, s := range served {
		if s.Role != survey.Primary && s.Role != survey.Alternate {
			continue
		}
		u, err := url.Parse(s.URL)
		fits := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.Host != "" && allowed(s.Mirror) && allowed(survey.MirrorName(u))
		l := byMirror[s.Mirror]
		if l == nil {
			l = &lead{Served: s, up: true}
			byMirror[s.Mirror] = l
		}
		l.up = l.up && fits && s.State == survey.Up
		if s.Seen.After(l.Seen) {
			l.Served = s
		}
	}
	var best []*lead
	for _, l := range byMirror {
		if l.up {
			best = append(best, l)
		}
	}
	rank := func(l *lead) int {
		n := 0
		if l.Role != survey.Primary {
			n += 2
		}
		if l.Verdict != survey.Identical {
			n++
		}
		return n
	}
	slices.SortFunc(best, func(a, b *lead) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Mirror, b.Mirror)) })
	urls := make([]string, len(best))
	for i, l := range best {
		urls[i] = l.URL
	}
	return urls
}

// FindLive returns the first of the addresses that answers now; ok is false when none does. They are asked one after the
// other, so that the usual case costs one request.
func FindLive(ctx context.Context, urls []string, alive func(ctx context.Context, url string) bool) (found string, ok bool) {
	for _, u := range urls {
		if alive(ctx, u) {
			return u, true
		}
		if ctx.Err() != nil {
			break
		}
	}
	return "", false
}

// Liveness tells whether addresses answer, and remembers it for a while. It asks with a plain HEAD, with GET where HEAD is
// not taken, never more than one request for an address and a few at once in all. The zero value but for Transport works.
type Liveness struct {
	Transport http.RoundTripper // guarded; its timeouts bound an answer too
	UserAgent string
	Keep      time.Duration    // how long an answer is believed; 60 s
	Timeout   time.Duration    // of one question, both requests; 8 s
	Now       func() time.Time // nil: time.Now

	mu    sync.Mutex
	known map[string]*liveness
	busy  chan struct{}
}

type liveness struct {
	done  chan struct{} // closed when alive is set
	alive bool
	at    time.Time
}

const (
	maxLiveness  = 4096
	busyLiveness = 8
)

// Alive reports whether the address answers with success. When ctx ends first the answer is no, and the question goes on
// for whoever asks next.
func (l *Liveness) Alive(ctx context.Context, u string) bool {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	l.mu.Lock()
	if l.known == nil {
		l.known, l.busy = map[string]*liveness{}, make(chan struct{}, busyLiveness)
	}
	q := l.known[u]
	if q != nil {
		select {
		case <-q.done:
			if now().Sub(q.at) >= cmp.Or(l.Keep, time.Minute) {
				q = nil
			}
		default: // being asked
		}
	}
	if q == nil {
		if len(l.known) >= maxLiveness {
			clear(l.known)
		}
		q = &liveness{done: make(chan struct{})}
		l.known[u] = q
		go func() {
			l.busy <- struct{}{}
			defer func() { <-l.busy }()
			rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(l.Timeout, 8*time.Second))
			defer cancel()
			alive := l.ask(rctx, u)
			q.alive, q.at = alive, now()
			close(q.done)
		}()
	}
	l.mu.Unlock()
	select {
	case <-q.done:
		return q.alive
	case <-ctx.Done():
		return false
	}
}

func (l *Liveness) ask(ctx context.Context, u string) bool {
	status := l.request(ctx, http.MethodHead, u)
	if status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented || status == http.StatusForbidden || status == http.StatusNotFound {
		status = l.request(ctx, http.MethodGet, u) // servers that know no HEAD
	}
	return status >= 200 && status < 300
}

// request returns the final status; redirects are followed on the same host only, where a login or block page elsewhere
// would pass for the article. 0: no answer.
func (l *Liveness) request(ctx context.Context, method, u string) int {
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return 0
	}
	if l.UserAgent != "" {
		req.Header.Set("User-Agent", l.UserAgent)
	}
	host := req.URL.Hostname()
	client := http.Client{Transport: l.Transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > 5 || next.URL.Hostname() != host {
			return errors.New("redirected away")
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
