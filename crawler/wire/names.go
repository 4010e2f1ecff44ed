package wire

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mirrorwatch/crawler/survey"
)

// Bounds of the names kept: a resource record may claim a week.
const (
	namesKept  = 4096
	namesLives = 5 * time.Minute
)

// names keeps what resolvers said, within its TTL and the Transport's life, for exchanges that decide nothing. A verdict's probe
// always asks anew, and what it was told serves its pictures and links.
type names struct {
	mu   sync.Mutex
	kept map[nameKey]resolved
}

type nameKey struct {
	host   string
	family int
}

type resolved struct {
	addrs   []netip.Addr
	lookups []survey.Lookup
	until   time.Time
}

// lookUp resolves a host for a visit, from what is kept when the visit decides nothing.
func (t *Transport) lookUp(ctx context.Context, v *Visit, host string) resolution {
	key := nameKey{host, v.Family}
	if !v.Probe.Purpose.Decides() {
		if n, ok := t.names.get(key, t.now()); ok {
			return resolution{addrs: n.addrs, lookups: slices.Clone(n.lookups)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.limits.DNS)
	defer cancel()
	res := t.resolve(ctx, host, v.Family)
	t.names.put(key, res, t.now())
	return res
}

func (n *names) get(key nameKey, now time.Time) (resolved, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	got, ok := n.kept[key]
	return got, ok && now.Before(got.until)
}

// put keeps a resolution in which every family was answered properly; its lookups are not shared with res.
func (n *names) put(key nameKey, res resolution, now time.Time) {
	if len(res.addrs) == 0 || len(res.lookups) == 0 {
		return
	}
	ttl := namesLives
	lookups := slices.Clone(res.lookups)
	for i := range lookups {
		l := &lookups[i]
		if l.Engine == engineHosts {
			return // costs nothing to ask
		}
		if l.Outcome != survey.OK && l.Outcome != survey.NoAnswer {
			return
		}
		for _, a := range l.Answers {
			ttl = min(ttl, time.Duration(a.TTL)*time.Second)
		}
		l.Raw, l.MS, l.Cached = nil, 0, true
	}
	if ttl <= 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil {
		n.kept = map[nameKey]resolved{}
	}
	if len(n.kept) >= namesKept {
		maps.DeleteFunc(n.kept, func(_ nameKey, old resolved) bool { return !now.Before(old.until) })
		if len(n.kept) >= namesKept {
			clear(n.kept)
		}
	}
	n.kept[key] = resolved{res.addrs, lookups, now.Add(ttl)}
}
