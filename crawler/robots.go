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
	// failed is why it did not come, when the network is to blame and not the file: a host that does not answer forbids nothing.
	failed survey.Outcome
	err    error // the sink's
}

// maxRobots is how much of a robots.txt is read (RFC 9309 2.5 asks for at least 500 KiB).
const maxRobots = 500 << 10

// note says that robots.txt disallows the address, empty when it does not or robots are ignored.
func (r *robots) note(ctx context.Context, v *visitor, address string) (string, error) {
	if v.settings.IgnoreRobots || v.isStopped() {
		return "", nil
	}
	if ok, err := r.allowed(ctx, v, address); ok || err != nil || r.refusal(v, address) != survey.RobotsRefused {
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
	f := r.file(v, u)
	f.once.Do(func() { f.data, f.failed, f.err = v.robotsOf(ctx, u) })
	if f.data == nil || f.err != nil {
		return false, f.err
	}
	path := u.EscapedPath()
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return f.data.TestAgent(path, "mirrorwatch"), nil
}

func (r *robots) file(v *visitor, u *url.URL) *robotsFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := v.vantage.Name + "\x00" + u.Scheme + "://" + u.Host
	if r.seen == nil {
		r.seen = map[string]*robotsFile{}
	}
	f := r.seen[key]
	if f == nil {
		f = &robotsFile{}
		r.seen[key] = f
	}
	return f
}

// refusal is the outcome of an address that allowed did not allow: robots_refused, or why nobody knows what the file says.
func (r *robots) refusal(v *visitor, address string) survey.Outcome {
	if u, err := url.Parse(address); err == nil {
		if f := r.file(v, u); f.failed != "" {
			return f.failed
		}
	}
	return survey.RobotsRefused
}

// robotsOf fetches the origin's file. failed is set when no answer came.
func (v *visitor) robotsOf(ctx context.Context, u *url.URL) (data *robotstxt.RobotsData, failed survey.Outcome, err error) {
	address := u.Scheme + "://" + u.Host + "/robots.txt"
	attempt := 1
	for hop := 0; hop <= 5; hop++ {
		probe := survey.Probe{ID: newID(), Run: v.run, Mirror: survey.MirrorName(u), Vantage: v.vantage.Name, Purpose: survey.ForRobots, Attempt: attempt, Hop: hop}
		a, err := v.ask(ctx, question{probe: probe, url: address, timeout: v.settings.whole()})
		if err != nil {
			return nil, "", err
		}
		if a.exchange == nil || a.ended {
			return nil, v.stopped(), nil
		}
		if a.exchange.Status == 0 {
			// Once more, since much hangs on it; a host that lets us wait has had its time.
			if o := a.exchange.Outcome; networkFailure(o) && o != survey.Timeout && attempt <= min(1, v.settings.Retries) && !v.isStopped() && sleep(ctx, v.settings.RetryWait) == nil {
				attempt++
				hop--
				continue
			}
			return nil, a.exchange.Outcome, nil
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
		return data, "", nil
	}
	// Too many hops or a file that cannot be read: as if there were none.
	data, err = robotstxt.FromStatusAndBytes(404, nil)
	return data, "", err
}
