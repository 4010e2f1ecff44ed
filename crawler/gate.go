package crawler

import (
	"context"
	"sync"
	"time"

	"mirrorwatch/crawler/survey"
)

// gate spaces requests: so many at once in all, so many per host, starts of one host apart by a delay, and a pause where a
// host asked for one. Every wait ends with its context. colly's own limiter can do none of this (fetching.md section 5:
// #619, #191, #266).
type gate struct {
	all     chan struct{}
	perHost int
	delay   time.Duration

	mu    sync.Mutex
	hosts map[survey.Host]*hostGate
}

type hostGate struct {
	slots chan struct{}

	mu   sync.Mutex
	next time.Time
	// slower doubles with each 429 or 503 and halves with each answer that is neither.
	slower time.Duration
}

func newGate(all, perHost int, delay time.Duration) *gate {
	return &gate{all: make(chan struct{}, all), perHost: perHost, delay: delay, hosts: map[survey.Host]*hostGate{}}
}

func (g *gate) host(h survey.Host) *hostGate {
	g.mu.Lock()
	defer g.mu.Unlock()
	hg := g.hosts[h]
	if hg == nil {
		hg = &hostGate{slots: make(chan struct{}, g.perHost)}
		g.hosts[h] = hg
	}
	return hg
}

// acquire waits for a place at the host; release must be called once the exchange is sealed.
func (g *gate) acquire(ctx context.Context, h survey.Host) (release func(), err error) {
	hg := g.host(h)
	select {
	case hg.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := hg.wait(ctx, g.delay); err != nil {
		<-hg.slots
		return nil, err
	}
	// The place among all is taken last, so that a paused host holds none of them.
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-hg.slots
		return nil, context.Cause(ctx)
	}
	return func() { <-g.all; <-hg.slots }, nil
}

func (hg *hostGate) wait(ctx context.Context, delay time.Duration) error {
	hg.mu.Lock()
	now := time.Now()
	start := now
	if hg.next.After(now) {
		start = hg.next
	}
	hg.next = start.Add(delay + hg.slower)
	hg.mu.Unlock()
	return sleep(ctx, start.Sub(now))
}

// answered adapts the host's spacing: twice as slow after a 429 or 503 (up to 30 s), half as slow after anything else.
func (g *gate) answered(h survey.Host, status int) {
	hg := g.host(h)
	hg.mu.Lock()
	defer hg.mu.Unlock()
	if status == 429 || status == 503 {
		hg.slower = min(max(2*hg.slower, 500*time.Millisecond), 30*time.Second)
		return
	}
	if hg.slower /= 2; hg.slower < 50*time.Millisecond {
		hg.slower = 0
	}
}

// pause keeps all requests from the host until the given time (Retry-After).
func (g *gate) pause(h survey.Host, until time.Time) {
	hg := g.host(h)
	hg.mu.Lock()
	defer hg.mu.Unlock()
	if until.After(hg.next) {
		hg.next = until
	}
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
