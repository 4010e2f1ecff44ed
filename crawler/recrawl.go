package crawler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// standsName is the file in which a crawl keeps its counts, so that those of a crawl that went on are of the whole.
const standsName = "stands"

// cutShort reports whether the run's end kept the address from being answered: it is asked for in the next run.
func (a *linkAnswer) cutShort() bool {
	return a.outcome == survey.Interrupted || a.outcome == survey.Budget
}

// recent reports whether the site needs no crawl yet: a whole one ended within Settings.LinksEvery, and none is under way.
func (c *siteCrawl) recent(ctx context.Context) (bool, error) {
	if c.sp.State != "" {
		if st, err := os.Stat(filepath.Join(c.sp.State, foundName)); err == nil && st.Size() > 0 {
			return false, nil
		}
	}
	at, err := c.Memory.Crawled(ctx, c.sp.Site.Name)
	if err != nil || at.IsZero() || c.now().Sub(at) >= c.sp.Settings.LinksEvery {
		return false, err
	}
	c.Log.Info("the site was crawled not long ago: only what was not as it should be is asked for again", "site", c.sp.Site.Name,
		"crawled", at.UTC().Format(time.RFC3339), "next", at.Add(c.sp.Settings.LinksEvery).UTC().Format(time.RFC3339))
	return true, nil
}

// start puts what the crawl begins with on its list.
func (c *siteCrawl) start() {
	if c.again {
		targets := make([]string, 0, len(c.known))
		kinds := map[string]string{}
		for key, k := range c.known {
			if k.State == LinkOK || key.vantage != c.v.vantage.Name {
				continue
			}
			if k.Kind == string(fragmentKind) {
				c.startFragments(k)
			} else if kinds[key.target] == "" {
				kinds[key.target] = k.Kind
				targets = append(targets, key.target)
			}
		}
		sort.Strings(targets)
		for _, u := range targets {
			if inSite(c.sp.Site, hostOf(u)) || c.sp.Settings.External {
				c.list.add(target{url: u, kind: markup.Kind(kinds[u])})
			}
		}
		return
	}
	c.list.add(target{url: c.sp.Site.Primary().Origin() + "/", kind: markup.Page})
	for _, a := range c.sp.Articles {
		c.list.add(target{url: a.URL, kind: markup.Page})
	}
	for _, u := range slices.Concat(c.sp.Feeds, c.sp.Sitemaps) {
		c.list.add(target{url: u, kind: markup.FeedLink})
	}
}

// summaries are what the crawl found on each mirror.
func (c *siteCrawl) summaries(complete bool, at time.Time) []survey.Crawl {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []survey.Crawl
	for _, m := range c.sp.Site.Mirrors {
		s := c.mirrors[m.Host].Crawl
		s.Complete, s.At, s.FirstSeen = complete, at, at
		heads := c.mirrors[m.Host].heads
		for _, key := range slices.Sorted(maps.Keys(heads)) {
			if h := heads[key]; c.links.hostDead(c.v.vantage.Name + "\x00" + string(hostOf(h.URL))) {
				c.mirrors[m.Host].list.add(h.Kind, h.URL, h.Parent)
			}
		}
		s.Hygiene = append([]survey.Hygiene{}, c.mirrors[m.Host].list.entries...)
		if m.Role == survey.Primary {
			for t := range c.traps {
				s.Traps = append(s.Traps, t)
			}
			sort.Strings(s.Traps)
		}
		out = append(out, s)
	}
	return out
}

// saveStands writes the counts beside the list of addresses.
func (c *siteCrawl) saveStands() error {
	if c.sp.State == "" || c.again {
		return nil
	}
	b, err := json.Marshal(c.summaries(false, time.Time{}))
	if err != nil {
		return err
	}
	name := filepath.Join(c.dir, standsName)
	if err := os.WriteFile(name+".new", b, 0o666); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// loadStands takes up the counts of the crawl that goes on. A file that is not there or cannot be read counts from here.
func (c *siteCrawl) loadStands() error {
	b, err := os.ReadFile(filepath.Join(c.dir, standsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var old []survey.Crawl
	if err := json.Unmarshal(b, &old); err != nil {
		c.Log.Warn("the counts of the interrupted crawl cannot be read", "error", fmt.Errorf("reading %q: %w", filepath.Join(c.dir, standsName), err))
		return nil
	}
	for _, n := range old {
		s := c.mirrors[n.Mirror]
		if s == nil || n.Vantage != c.v.vantage.Name {
			continue
		}
		for _, h := range n.Hygiene {
			s.list.add(h.Kind, h.URL, h.Parent)
		}
		for _, t := range n.Traps {
			c.traps[t] = true
		}
		n.Hygiene, n.Traps = nil, []string{}
		s.Crawl = n
	}
	return nil
}

// snapped is the answer that a snapshot of this run got for the address, so that nothing is fetched twice; nil when there is
// none. Pages are not taken: their comparison needs the exchange. Style sheets are read back from the archive, of others the
// digest is enough.
func (c *siteCrawl) snapped(ctx context.Context, address string, kind markup.Kind) *crawlAnswer {
	if kind == markup.Media {
		return nil // may be its head only
	}
	q := c.requisites.fetched(c.v.vantage.Name, address)
	if q == nil || q.capture.Payload == "" {
		return nil
	}
	out := &crawlAnswer{capture: q.capture, header: q.capture.Type, typ: mediaType(q.capture.Type), digest: q.capture.Payload}
	out.outcome, out.status, out.final = survey.OK, q.capture.Status, address
	if out.html() {
		return nil
	}
	if kind == markup.Style || out.typ == "text/css" {
		var err error
		if out.header, out.body, err = c.Memory.Body(ctx, q.capture); err != nil {
			c.Log.Debug("an answer of this run cannot be read back and is asked for again", "url", address, "error", err)
			return nil
		}
	}
	return out
}
