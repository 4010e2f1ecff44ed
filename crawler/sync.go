package crawler

import (
	"context"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

const (
	// defaultNewest is how many articles are taken from feeds and sitemaps when the sites file does not say.
	defaultNewest = 20
	// maxDocuments is how many feeds and sitemaps of a site are read in a run, children of sitemap indexes included.
	maxDocuments = 50
)

// arrivals is when articles appeared on the primary, as its feeds say.
type arrivals map[string]time.Time

// newest adds to the site's articles the newest ones that its feeds and sitemaps name on hosts of the mirror set. What
// cannot be read is a warning, never the end of a run: the articles that are named are checked all the same.
func (r *run) newest(ctx context.Context, sp *SitePlan) error {
	if len(sp.Feeds)+len(sp.Sitemaps) == 0 {
		return nil
	}
	var v *visitor
	for _, n := range sp.Vantages {
		if !r.isVoid(n.Name) {
			v = r.visitor(*sp, n)
			break
		}
	}
	if v == nil {
		return nil
	}
	found := map[string]markup.Entry{}
	type document struct {
		url  string
		feed bool
	}
	var queue []document
	for _, u := range sp.Feeds {
		queue = append(queue, document{u, true})
	}
	for _, u := range sp.Sitemaps {
		queue = append(queue, document{u, false})
	}
	seen := map[string]bool{}
	for n := 0; len(queue) > 0 && n < maxDocuments && !v.isStopped(); {
		doc := queue[0]
		queue = queue[1:]
		if seen[doc.url] {
			continue
		}
		seen[doc.url] = true
		n++
		body, err := v.document(ctx, doc.url)
		if err != nil {
			return err
		}
		if body == nil {
			r.Log.Warn("a feed or sitemap did not come", "site", sp.Site.Name, "url", doc.url)
			continue
		}
		entries, children, err := readDocument(body, doc.feed)
		if err != nil {
			r.Log.Warn("a feed or sitemap can be read in part only", "site", sp.Site.Name, "url", doc.url, "entries", len(entries), "error", err)
		}
		for _, e := range entries {
			if u, ok := v.articleOf(sp.Site, doc.url, e.URL); ok && newer(e, found[u]) {
				found[u] = e
			}
		}
		for _, c := range children {
			if u, ok := markup.Resolve(doc.url, c); ok && inSite(sp.Site, hostOf(u)) {
				queue = append(queue, document{u, false})
			}
		}
	}
	urls := make([]string, 0, len(found))
	for u := range found {
		urls = append(urls, u)
	}
	sort.Slice(urls, func(i, j int) bool {
		a, b := latest(found[urls[i]]), latest(found[urls[j]])
		if !a.Equal(b) {
			return a.After(b)
		}
		return urls[i] < urls[j]
	})
	limit := sp.Newest
	if limit == 0 {
		limit = defaultNewest
	}
	sp.published = arrivals{}
	sp.Articles = slices.Clone(sp.Articles)
	for i, u := range urls {
		if i == limit {
			break
		}
		if e := found[u]; !e.Published.IsZero() {
			sp.published[u] = e.Published
		}
		sp.expected = append(sp.expected, u)
		if !slices.ContainsFunc(sp.Articles, func(a survey.Article) bool { return a.URL == u }) {
			sp.Articles = append(sp.Articles, survey.Article{Site: sp.Site.Name, URL: u})
		}
	}
	return nil
}

func latest(e markup.Entry) time.Time {
	if e.Published.After(e.Updated) {
		return e.Published
	}
	return e.Updated
}

// newer reports whether e says more of its article than old: the zero Entry says nothing.
func newer(e, old markup.Entry) bool {
	return old.URL == "" || old.Published.IsZero() && !e.Published.IsZero()
}

// readDocument reads a feed or sitemap; a name that was given in the wrong list is read as what it is.
func readDocument(body []byte, feed bool) (entries []markup.Entry, children []string, err error) {
	if feed {
		if entries, err = markup.Feed(body); err == nil || len(entries) > 0 {
			return entries, nil, err
		}
		if more, children, serr := markup.Sitemap(body); serr == nil {
			return more, children, nil
		}
		return nil, nil, err
	}
	if entries, children, err = markup.Sitemap(body); err == nil || len(entries)+len(children) > 0 {
		return entries, children, err
	}
	if more, ferr := markup.Feed(body); ferr == nil {
		return more, nil, nil
	}
	return nil, nil, err
}

// document fetches a feed or sitemap, redirects within the mirror set followed; nil when it did not come.
func (v *visitor) document(ctx context.Context, address string) ([]byte, error) {
	for hop := 0; hop <= 5; hop++ {
		probe := survey.Probe{ID: newID(), Run: v.run, Mirror: hostOf(address), Vantage: v.vantage.Name, Purpose: survey.ForFeed, Attempt: 1, Hop: hop}
		a, err := v.ask(ctx, question{probe: probe, url: address, timeout: v.settings.whole()})
		if err != nil {
			return nil, err
		}
		switch {
		case a.exchange == nil || a.exchange.Outcome != survey.OK:
			return nil, nil
		case isRedirect(a.exchange.Status):
			next, ok := resolveLocation(address, a.exchange.Get("Location"))
			if !ok || !v.inMirrorSet(hostOf(next)) {
				return nil, nil
			}
			address = next
		case a.exchange.Status == 200:
			return a.body, nil
		default:
			return nil, nil
		}
	}
	return nil, nil
}

// articleOf is the article that an entry names: its address on the primary, without what counts readers. ok is false for
// hosts outside the mirror set.
func (v *visitor) articleOf(site survey.Site, base, address string) (string, bool) {
	u, ok := markup.Resolve(base, address)
	if !ok || !inSite(site, hostOf(u)) {
		return "", false
	}
	p, err := url.Parse(onPrimaryHost(site, u))
	if err != nil {
		return "", false
	}
	if strings.Contains(p.RawQuery, "utm_") {
		kept := slices.DeleteFunc(strings.Split(p.RawQuery, "&"), func(s string) bool { return strings.HasPrefix(s, "utm_") })
		p.RawQuery = strings.Join(kept, "&")
	}
	return p.String(), true
}

// arrival is when something appeared: not before After (zero: not known) and not after By.
type arrival struct{ After, By time.Time }

// lag is how much later than the primary the article appeared on a mirror; nil when the two times leave it open.
func lag(primary, mirror arrival) *survey.Lag {
	if primary.By.IsZero() || primary.After.IsZero() || mirror.By.IsZero() {
		return nil
	}
	most := max(mirror.By.Sub(primary.After), 0)
	var least time.Duration
	if !mirror.After.IsZero() {
		least = max(mirror.After.Sub(primary.By), 0)
	}
	return &survey.Lag{Seconds: most.Seconds(), Bound: (most - least).Seconds()}
}

// present reports whether the finding shows the article on its mirror.
func present(f *survey.Finding) bool { return f.State == survey.Up || f.State == survey.Degraded }

// absent reports whether the mirror said that it has no such article; a mirror that is down or blocked says nothing.
func absent(f *survey.Finding) bool {
	if f.Status != nil && (*f.Status == 404 || *f.Status == 410) {
		return true
	}
	return f.PageClass == survey.ClassSoft404
}

// arrived works out when the finding's mirror got the article, from this look and what history knows.
func (r *run) arrived(ctx context.Context, a survey.Article, f *survey.Finding) (arrival, error) {
	first, before, err := r.Memory.Arrival(ctx, a, f.Mirror, f.Vantage)
	if err != nil {
		return arrival{}, err
	}
	if first.IsZero() && present(f) {
		first = f.ObservedAt
	}
	at := arrival{After: before, By: first}
	r.came.put(a, f, at)
	return at, nil
}

// came remembers when articles arrived, for completeness.
type came struct {
	mu sync.Mutex
	by map[cameKey]arrival
}

type cameKey struct {
	site, article string
	mirror        survey.Host
	vantage       string
}

func (c *came) put(a survey.Article, f *survey.Finding, at arrival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[cameKey]arrival{}
	}
	c.by[cameKey{a.Site, a.URL, f.Mirror, f.Vantage}] = at
}

func (c *came) at(site, article string, f *survey.Finding) *time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by := c.by[cameKey{site, article, f.Mirror, f.Vantage}].By; !by.IsZero() {
		return survey.Ptr(by.UTC())
	}
	return nil
}

// lags fills the lag of each mirror behind the primary, vantage by vantage, and notes what has not arrived.
func (r *run) lags(ctx context.Context, sp SitePlan, a survey.Article, findings []survey.Finding) error {
	primary := sp.Site.Primary().Host
	for i := range findings {
		p := &findings[i]
		if p.Mirror != primary || r.isVoid(p.Vantage) {
			continue
		}
		on, err := r.arrived(ctx, a, p)
		if err != nil {
			return err
		}
		if at, ok := sp.published[a.URL]; ok && !on.By.IsZero() && !at.After(on.By) && at.After(on.After) {
			on = arrival{After: at, By: at}
		}
		for k := range findings {
			f := &findings[k]
			if f.Mirror == primary || f.Vantage != p.Vantage {
				continue
			}
			at, err := r.arrived(ctx, a, f)
			if err != nil {
				return err
			}
			f.Lag = lag(on, at)
			if at.By.IsZero() && !on.By.IsZero() && absent(f) {
				f.Notes = append(f.Notes, "has not arrived here; on the primary since "+on.By.UTC().Format(time.RFC3339)+" at the latest")
			}
		}
	}
	return nil
}

// completeness says, per mirror and vantage, how many of the newest articles are there, and of each when it came.
func (r *run) completeness(sp SitePlan, checks []survey.Check) []survey.Sync {
	if len(sp.expected) == 0 {
		return nil
	}
	var out []survey.Sync
	at := map[string]int{}
	for _, c := range checks {
		if c.Site != sp.Site.Name || !slices.Contains(sp.expected, c.URL) {
			continue
		}
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			key := string(f.Mirror) + " " + f.Vantage
			n, ok := at[key]
			if !ok {
				n = len(out)
				at[key] = n
				out = append(out, survey.Sync{Site: c.Site, Mirror: f.Mirror, Vantage: f.Vantage, Expected: len(sp.expected),
					Missing: []string{}, Arrivals: []survey.Arrival{}, NeverArrived: []string{}})
			}
			s := &out[n]
			a := survey.Arrival{Article: c.URL, State: survey.ArrivalNotJudged, FirstSeen: r.came.at(c.Site, c.URL, f), Lag: f.Lag}
			if p, ok := sp.published[c.URL]; ok {
				a.Published = survey.Ptr(p.UTC())
			}
			switch {
			case r.isVoid(f.Vantage):
			case present(f):
				a.State = survey.ArrivalPresent
				s.Present++
			case absent(f):
				a.State = survey.ArrivalMissing
				s.Missing = append(s.Missing, c.URL)
			}
			s.Arrivals = append(s.Arrivals, a)
			if f.Lag != nil && (s.WorstLag == nil || f.Lag.Seconds > s.WorstLag.Seconds) {
				s.WorstLag = survey.Ptr(*f.Lag)
			}
		}
	}
	return out
}
