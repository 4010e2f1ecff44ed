package crawler

import (
	"context"
	"net/url"
	"sync"

	"github.com/temoto/robotstxt"

	"mirrorwatch/crawler/survey"
)

// robots fetches each origin's robots.txt once per run, recorded like everything else. Articles that the user named are
// visited whatever it says, and the observation notes it; links are not followed against it (RFC 9309).
type robots struct {
	mu   sync.Mutex
	seen map[string]*robotsFile
}

type robotsFile struct {
	once sync.Once
	data *robotstxt.RobotsData // nil: nothing is allowed
	err  error                 // the sink's
}

// maxRobots is how much of a robots.txt is read (RFC 9309 2.5 asks for at least 500 KiB).
const maxRobots = 500 << 10

// note says that robots.txt disallows the address, empty when it does not or robots are ignored.
func (r *robots) note(ctx context.Context, v *visitor, address string) (string, error) {
	if v.settings.IgnoreRobots || v.isStopped() {
		return "", nil
	}
	if ok, err := r.allowed(ctx, v, address); ok || err != nil {
		return "", err
	}
	return "robots.txt disallows this address; it was named by the user, so it was visited", nil
}

// allowed reports whether the origin's robots.txt lets us fetch the address. 4xx allows everything, 5xx and no answer
// allow nothing (RFC 9309 2.3.1).
// Its error is the sink's.
func (r *robots) allowed(ctx context.Context, v *visitor, address string) (bool, error) {
	u, err := url.Parse(address)
	if err != nil {
		return false, nil
	}
	key := v.vantage.Name + "\x00" + u.Scheme + "://" + u.Host
	r.mu.Lock()
	if r.seen == nil {
		r.seen = map[string]*robotsFile{}
	}
	f := r.seen[key]
	if f == nil {
		f = &robotsFile{}
		r.seen[key] = f
	}
	r.mu.Unlock()
	f.once.Do(func() { f.data, f.err = v.robotsOf(ctx, u) })
	if f.data == nil || f.err != nil {
		return false, f.err
	}
	path := u.EscapedPath()
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return f.data.TestAgent(path, "mirrorwatch"), nil
}

func (v *visitor) robotsOf(ctx context.Context, u *url.URL) (*robotstxt.RobotsData, error) {
	address := u.Scheme + "://" + u.Host + "/robots.txt"
	for hop := 0; hop <= 5; hop++ {
		probe := survey.Probe{ID: newID(), Run: v.run, Mirror: survey.MirrorName(u), Vantage: v.vantage.Name, Purpose: survey.ForRobots, Attempt: 1, Hop: hop}
		a, err := v.ask(ctx, question{probe: probe, url: address, timeout: v.settings.whole()})
		if err != nil {
			return nil, err
		}
		if a.exchange == nil || a.exchange.Status == 0 {
			return nil, nil
		}
		ex := a.exchange
		if isRedirect(ex.Status) {
			next, ok := resolveLocation(address, ex.Get("Location"))
			if !ok {
				break
			}
			address = next
			continue
		}
		status := ex.Status
		if status == 429 {
			status = 503
		}
		data, err := robotstxt.FromStatusAndBytes(status, a.body[:min(len(a.body), maxRobots)])
		if err != nil {
			break
		}
		return data, nil
	}
	// Too many hops or a file that cannot be read: as if there were none.
	return robotstxt.FromStatusAndBytes(404, nil)
}
