package crawler

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// sandwich is the longest time between two canary successes around a failure that counts (DESIGN section 4).
const sandwich = 60 * time.Second

// canary asks names that must always work, so that a failure of our own network is not taken for a mirror's. One question
// is under way at a time; whoever needs an answer while it is takes that one.
type canary struct {
	urls    []string // none: everything passes
	fetch   *fetcher
	run     survey.RunID
	timeout time.Duration
	now     func() time.Time

	mu   sync.Mutex // held while asking: single flight
	good time.Time  // the last success
	last time.Time  // the last question's end
}

// check returns the time of a success that is not older than since; ok is false when all canaries fail. Its error is the
// sink's.
func (c *canary) check(ctx context.Context, since time.Time) (at time.Time, ok bool, err error) {
	if len(c.urls) == 0 {
		return c.now(), true, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.good.Before(since) {
		return c.good, true, nil
	}
	if !c.last.Before(since) {
		return time.Time{}, false, nil
	}
	for _, u := range c.urls {
		probe := survey.Probe{ID: newID(), Run: c.run, Mirror: hostOf(u), Vantage: c.fetch.vantage.Name, Purpose: survey.ForCanary, Attempt: 1}
		ch, err := c.fetch.follow(ctx, question{probe: probe, url: u, timeout: c.timeout}, 0, content.Options{})
		if err != nil {
			return time.Time{}, false, err
		}
		if ctx.Err() != nil {
			return time.Time{}, false, nil
		}
		if passes(u, ch.exchange()) {
			c.good = c.now()
			c.last = c.good
			return c.good, true, nil
		}
	}
	c.last = c.now()
	return time.Time{}, false, nil
}

// lastGood returns the time of the last success, zero when there was none.
func (c *canary) lastGood() time.Time {
	if len(c.urls) == 0 {
		return c.now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good
}

// passes: verified TLS where the canary is https, and any 2xx or 3xx.
func passes(url string, ex *survey.Exchange) bool {
	if ex == nil || ex.Status < 200 || ex.Status > 399 {
		return false
	}
	return !strings.HasPrefix(url, "https://") || ex.TLS != nil && ex.TLS.Verified
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
