package crawler

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Outcomes that only a comparison with the primary finds; they stand in LinkResult.Outcome beside those of survey. Page
// classes and the verdicts truncated and different_page stand there too.
const (
	linkAltered survey.Outcome = "altered"
	linkStale   survey.Outcome = "stale" // an older version, as the page itself says
	linkSoft404 survey.Outcome = "soft_404"
)

const (
	commitEvery   = 512 // addresses between two commits of a crawl
	maxFaults     = 50_000
	maxTraps      = 20
	maxSegments   = 20
	maxRepeats    = 3    // of one path segment
	maxRun        = 2000 // pages in a row of one shape, each found on the one before
	maxDateRun    = 24   // the same for calendars
	maxQueries    = 500  // queries of one path
	maxQueryPaths = 100_000
)

// siteCrawl is the crawl of one site: all that its primary links to, and the same addresses on every mirror.
type siteCrawl struct {
	*run
	sp      SitePlan
	v       *visitor
	list    *frontier
	dir     string   // of the crawl's state
	hosts   [][]byte // of the mirror set, longest first
	seed    maphash.Seed
	fetched atomic.Int64

	mu      sync.Mutex
	edges   *os.File
	edgeOut *bufio.Writer
	faults  *os.File
	nfaults int
	queries map[uint64]uint16 // path -> queries found
	traps   map[string]bool
	mirrors map[survey.Host]*crawlStand
	known   map[linkKey]KnownLink // what earlier runs left
	book    *fragmentBook         // nil: fragments are not looked at
	again   bool                  // only what was not as it should be is asked for again
}

// crawlStand is what a crawl counts of one mirror.
type crawlStand struct {
	survey.Crawl
	list  hygieneList
	heads map[string]survey.Hygiene // canonical and feed links to other hosts of the mirror set, by kind and host
}

// fault is one line of the crawl's list of what is not as it should be.
type fault struct {
	Hash   uint64            `json:"hash"`
	Target string            `json:"target"`
	Kind   string            `json:"kind"`
	Result survey.LinkResult `json:"result"`
}

// crawlAnswer is what one address answered. Redirects are not followed: their target is an address of its own.
type crawlAnswer struct {
	linkAnswer
	exchange *survey.Exchange
	capture  survey.Capture
	location string // resolved, of a redirect
	typ      string // media type
	header   string // the Content-Type field
	body     []byte // may be lent: gone after release
	digest   survey.Digest
	free     func()
}

// release gives back the memory of the body. Nothing of the body may be in use any more.
func (a *crawlAnswer) release() {
	if a != nil && a.free != nil {
		a.free()
		a.free, a.body = nil, nil
	}
}

func (a *crawlAnswer) html() bool { return a.typ == "text/html" || a.typ == "application/xhtml+xml" }

// crawlSite crawls the site on its primary, from the first vantage that is not void, and compares each address with that on
// every mirror. It returns the targets that are not as they should be, with their parents, and a summary for each mirror;
// clean is to be called when they are saved. A site that was crawled within Settings.LinksEvery is not crawled again: only
// what was not as it should be is asked for.
func (r *run) crawlSite(ctx context.Context, sp SitePlan) (found Crawled, clean func(), err error) {
	c := &siteCrawl{run: r, sp: sp, seed: maphash.MakeSeed(), queries: map[uint64]uint16{}, traps: map[string]bool{}, mirrors: map[survey.Host]*crawlStand{}}
	found, clean = Crawled{Site: sp.Site.Name}, func() {}
	for _, n := range sp.Vantages {
		if !r.isVoid(n.Name) {
			c.v = r.visitor(sp, n)
			break
		}
	}
	if c.v == nil {
		return found, clean, nil
	}
	if c.known, err = r.links.load(ctx, r.Memory, sp.Site.Name); err != nil {
		return found, clean, err
	}
	if c.again, err = c.recent(ctx); err != nil {
		return found, clean, err
	}
	for _, m := range sp.Site.Mirrors {
		c.hosts = append(c.hosts, []byte(m.Host))
		s := &crawlStand{list: hygieneList{seen: map[string]bool{}, count: map[string]int{}}}
		s.Crawl = survey.Crawl{Site: sp.Site.Name, Mirror: m.Host, Vantage: c.v.vantage.Name, Traps: []string{}}
		c.mirrors[m.Host] = s
	}
	slices.SortFunc(c.hosts, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	dir := sp.State
	if dir == "" || c.again {
		if dir, err = os.MkdirTemp("", "mirrorwatch-crawl-"); err != nil {
			return found, clean, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if err := c.open(dir); err != nil {
		return found, clean, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if len(sp.Vantages) > 1 {
		r.Log.Info("a site is crawled from one vantage", "site", sp.Site.Name, "vantage", c.v.vantage.Name)
	}
	c.start()
	workers := min(r.Concurrency, r.PerHost*max(1, len(sp.Site.Mirrors)))
	if err := crawlWorkers(ctx, c.list, workers, r.stop.C, c.work); err != nil {
		return found, clean, err
	}
	if err := c.commit(context.WithoutCancel(ctx)); err != nil {
		return found, clean, err
	}
	if found.Links, err = c.gather(); err != nil {
		return found, clean, err
	}
	c.thirdHosts(found.Links)
	found.At = c.now().UTC()
	complete := c.list.complete()
	if !c.again {
		found.Crawls = c.summaries(complete, found.At)
	}
	if complete && sp.State != "" && !c.again {
		clean = func() {
			for _, n := range []string{foundName, doneName, "edges", "faults", standsName, fragmentsName, anchorsName} {
				_ = os.Remove(filepath.Join(dir, n))
			}
			_ = os.Remove(dir)
		}
	}
	return found, clean, nil
}

func (c *siteCrawl) open(dir string) (err error) {
	resumed := 0
	if c.list, resumed, err = openFrontier(dir); err != nil {
		return err
	}
	if resumed > 0 {
		c.Log.Info("an interrupted crawl goes on", "site", c.sp.Site.Name, "addresses", resumed)
	}
	for name, f := range map[string]**os.File{"edges": &c.edges, "faults": &c.faults} {
		if *f, err = os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
			return errors.Join(err, c.close())
		}
	}
	c.edgeOut = bufio.NewWriterSize(c.edges, 64<<10)
	c.dir = dir
	if c.sp.Settings.Fragments {
		if c.book, err = openFragments(dir); err != nil {
			return errors.Join(err, c.close())
		}
	}
	if resumed > 0 {
		return c.loadStands()
	}
	return nil
}

func (c *siteCrawl) close() error {
	err := errors.Join(c.list.close(), c.book.close())
	for _, f := range []*os.File{c.edges, c.faults} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// commit makes durable what was fetched, then notes it as done.
func (c *siteCrawl) commit(ctx context.Context) error {
	if err := c.Sink.Commit(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	err := c.edgeOut.Flush()
	c.mu.Unlock()
	return errors.Join(err, c.book.flush(), c.list.flush(), c.saveStands())
}

// work fetches one address on the primary, finds what it names, and holds every mirror's answer against the primary's.
func (c *siteCrawl) work(ctx context.Context, t target) (done bool, err error) {
	if !inSite(c.sp.Site, hostOf(t.url)) {
		return c.foreign(ctx, t)
	}
	if c.v.isStopped() {
		return false, nil
	}
	primary := c.sp.Site.Primary()
	p, err := c.get(ctx, primary, t.url, t.kind)
	defer p.release()
	if err != nil || ctx.Err() != nil || p.cutShort() {
		return false, err
	}
	c.count(primary.Host, func(s *crawlStand) {
		s.URLs++
		if p.html() && p.outcome == survey.OK {
			s.Pages++
		}
	})
	c.find(t, p)
	c.fragments(t, p)
	c.places(t, primary.Host, p)
	if err := c.note(t, primary.Host, t.url, &p.linkAnswer); err != nil {
		return false, err
	}
	for _, m := range c.sp.Site.Mirrors {
		if m.Role == survey.Primary {
			continue
		}
		if done, err := c.onMirror(ctx, t, m, p); err != nil || !done || ctx.Err() != nil {
			return false, err
		}
	}
	if c.fetched.Add(1)%commitEvery == 0 {
		return true, c.commit(ctx)
	}
	return true, nil
}

// foreign asks a host outside the mirror set for the head of an address.
func (c *siteCrawl) foreign(ctx context.Context, t target) (bool, error) {
	a := c.links.answer(c.v.vantage.Name, t.url, false)
	a.once.Do(func() {
		c.askLink(ctx, &seat{mirror: c.sp.Site.Primary(), visitor: c.v}, "", t.url, a)
	})
	if a.err != nil || ctx.Err() != nil || a.cutShort() {
		return false, a.err
	}
	return true, c.note(t, c.sp.Site.Primary().Host, t.url, a)
}

func (c *siteCrawl) count(h survey.Host, f func(*crawlStand)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.mirrors[h])
}

// get fetches an address whole, video and sound by their heads where the settings say so. Failures that may pass are asked
// again; a Retry-After is waited for. After a stop it still asks, so that an address that was begun is asked of every mirror
// and never again, but not twice: what may pass is then cut short.
func (c *siteCrawl) get(ctx context.Context, m survey.Mirror, address string, kind markup.Kind) (*crawlAnswer, error) {
	v := c.v
	out := &crawlAnswer{}
	out.final = address
	key := v.vantage.Name + "\x00" + string(m.Host)
	if c.links.hostDead(key) {
		out.outcome = survey.HostDown
		return out, nil
	}
	if !v.settings.IgnoreRobots {
		ok, err := c.robots.allowed(ctx, v, address)
		if err != nil {
			return nil, err
		}
		if !ok {
			out.outcome, err = c.unallowed(ctx, v, address, key)
			return out, err
		}
	}
	method := http.MethodGet
	if kind == markup.Media {
		switch v.settings.Media {
		case "none":
			out.outcome = survey.OK
			return out, nil
		case "head":
			method = http.MethodHead
		}
	}
	if snapped := c.snapped(ctx, address, kind); snapped != nil {
		return snapped, nil
	}
	probe := survey.Probe{Run: v.run, Mirror: m.Host, Vantage: v.vantage.Name, Purpose: survey.ForLink}
	for attempt := 1; ; attempt++ {
		probe.ID, probe.Attempt = newID(), attempt
		started := v.now()
		a, err := v.ask(ctx, question{probe: probe, method: method, url: address, timeout: v.settings.whole(), lend: true})
		if err != nil {
			return nil, err
		}
		out.release() // of the attempt before
		out.free = a.free
		ex := a.exchange
		if ex == nil || a.ended {
			out.outcome = survey.Interrupted
			return out, nil
		}
		out.take(ex, a.body)
		out.capture = a.capture
		network := ex.Outcome != survey.OK && networkFailure(ex.Outcome)
		c.links.hostFailed(key, network)
		passing := network || ex.Status == http.StatusTooManyRequests || ex.Status >= 500 && !out.challenge
		if !passing {
			return out, nil
		}
		wait := v.settings.RetryWait << (attempt - 1)
		if ex.Status == http.StatusTooManyRequests || ex.Status == http.StatusServiceUnavailable {
			if after, given := retryAfter(ex, v.now()); given {
				if after > maxPause {
					return out, nil
				}
				v.gate.pause(m.Host, time.Now().Add(after))
				wait = after
			}
		}
		if v.isStopped() && attempt <= v.settings.Retries {
			out.outcome = v.stopped()
			return out, nil
		}
		if attempt <= v.settings.Retries && !c.links.hostDead(key) && sleep(ctx, wait) == nil {
			continue
		}
		if network {
			counted, err := v.sandwiched(ctx, started)
			if err != nil {
				return nil, err
			}
			if !counted {
				out.outcome = survey.OwnNetwork
			}
		}
		return out, nil
	}
}

func (a *crawlAnswer) take(ex *survey.Exchange, body []byte) {
	a.exchange, a.body, a.digest = ex, body, ex.PayloadDigest
	a.outcome, a.status, a.location, a.challenge = ex.Outcome, ex.Status, "", false
	a.header = ex.Get("Content-Type")
	a.typ = mediaType(a.header)
	switch {
	case ex.Outcome != survey.OK:
		if (ex.Outcome == survey.BodyTruncatedLimit || ex.Outcome == survey.DecodedLimit) && ex.Status < 300 {
			a.outcome = survey.OK
		}
	case isRedirect(ex.Status):
		var ok bool
		if a.location, ok = resolveLocation(ex.URL, ex.Get("Location")); !ok {
			a.outcome = survey.BadLocation
		} else if a.location == ex.URL {
			a.outcome = survey.RedirectLoop
		}
	case ex.Status == http.StatusTooManyRequests:
		a.outcome = survey.RateLimited
	case ex.Status >= 400:
		a.outcome = survey.Status(ex.Status)
		a.challenge = challenged(ex, body)
	}
}

// find puts what the primary's answer names on the list: where it redirects to, and every link and requisite.
func (c *siteCrawl) find(t target, p *crawlAnswer) {
	if c.again {
		return
	}
	if p.location != "" {
		if inSite(c.sp.Site, hostOf(p.location)) {
			if h, ok := c.offer(t, p.location, t.kind); ok {
				c.edge(t.url, []uint64{h})
			}
		}
		return
	}
	if p.outcome != survey.OK || len(p.body) == 0 {
		return
	}
	base := t.url
	names := make([]uint64, 0, 128)
	raw := make(map[uint64]struct{}, 128) // what is written on a page twice is looked at once
	place := func(pl markup.Place) bool {
		if !followed(pl.Kind) {
			return true
		}
		h := hashURL(pl.URL)
		if _, ok := raw[h]; ok {
			return true
		}
		raw[h] = struct{}{}
		u, ok := markup.Resolve(base, pl.URL)
		if !ok {
			return true
		}
		if h, ok := c.offer(t, u, pl.Kind); ok {
			names = append(names, h)
		}
		return len(names) < 10_000
	}
	switch {
	case p.html():
		if b := markup.Base(p.body); b != "" {
			if u, ok := markup.Resolve(t.url, b); ok {
				base = u
			}
		}
		markup.HTML(p.body, place)
	case p.typ == "text/css":
		markup.CSS(p.body, place)
	case t.kind == markup.FeedLink || strings.HasSuffix(p.typ, "xml") && t.depth == 0:
		entries, children, _ := readDocument(p.body, true)
		for _, e := range entries {
			place(markup.Place{URL: e.URL, Kind: markup.Page})
		}
		for _, u := range children {
			place(markup.Place{URL: u, Kind: markup.FeedLink})
		}
	}
	c.edge(t.url, names)
}

// followed are the kinds of places that a crawl asks for. Forms are never sent.
func followed(k markup.Kind) bool {
	switch k {
	case markup.Page, markup.FeedLink, markup.Frame, markup.Alternate, markup.Canonical, markup.Manifest, markup.Refresh, markup.Meta:
		return true
	}
	return k.Requisite()
}

// offer puts one named address on the list and returns its hash; ok is false for what is not asked for at all.
func (c *siteCrawl) offer(t target, u string, kind markup.Kind) (uint64, bool) {
	h := hashURL(u)
	if c.list.known(h) {
		return h, true
	}
	if !inSite(c.sp.Site, hostOf(u)) {
		if !c.sp.Settings.External || kind == markup.Canonical || kind == markup.Alternate || kind == markup.Meta {
			return 0, false
		}
		c.list.add(target{url: u, kind: kind, depth: t.depth + 1})
		return h, true
	}
	u = onPrimaryHost(c.sp.Site, u)
	n := target{url: u, kind: kind, depth: min(t.depth+1, 1<<15)}
	if shape := shapeOf(u); shape == shapeOf(t.url) {
		n.run = min(t.run+1, 1<<15)
	}
	if why := c.trap(u, n.run, !kind.Requisite()); why != "" {
		c.mu.Lock()
		if len(c.traps) < maxTraps {
			c.traps[why] = true
		}
		c.mu.Unlock()
		return 0, false
	}
	h = hashURL(u)
	c.list.add(n)
	return h, true
}

var (
	digitRuns = regexp.MustCompile(`\d+`)
	dateWords = regexp.MustCompile(`(?i)calendar|kalender|/cal/|/events?/\d|[?&](date|month|year|day|week)=`)
)

// shapeOf is the address with its numbers taken for equal.
func shapeOf(u string) string { return digitRuns.ReplaceAllString(u, "0") }

// trap names the endless row of addresses that u belongs to, empty when it is none: the same segment again and again,
// pages of one shape that each lead to the next, queries without end.
func (c *siteCrawl) trap(u string, run uint16, page bool) string {
	rest := u[strings.Index(u, "://")+3:]
	if run >= maxDateRun && (run >= maxRun || dateWords.MatchString(u)) {
		path := len(u) - len(rest) + max(0, strings.IndexByte(rest, '/'))
		return u[:path] + shapeOf(u[path:]) // ports and numbered hosts stay as they are
	}
	path, query, asked := strings.Cut(rest, "?")
	segments := strings.Split(path, "/")
	if len(segments) > maxSegments {
		return path
	}
	if len(segments) > maxRepeats {
		n := map[string]int{}
		for _, s := range segments[1:] {
			if n[s]++; s != "" && n[s] >= maxRepeats {
				return "/" + strings.Join(slices.Compact(segments[1:]), "/")
			}
		}
	}
	if asked && query != "" && page { // pictures may have as many as they like
		h := hashURL(path)
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := c.queries[h]; n >= maxQueries {
			return path + "?..."
		} else if n > 0 || len(c.queries) < maxQueryPaths {
			c.queries[h] = n + 1
		}
	}
	return ""
}

// edge notes which addresses a page names.
func (c *siteCrawl) edge(parent string, names []uint64) {
	if len(names) == 0 {
		return
	}
	b := binary.AppendUvarint(make([]byte, 0, len(parent)+16+8*len(names)), uint64(len(parent)))
	b = append(b, parent...)
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, h := range names {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.edgeOut.Write(b) // its error comes again from Flush
}

// note keeps what is not as it should be, and counts.
func (c *siteCrawl) note(t target, m survey.Host, address string, a *linkAnswer) error {
	res := survey.LinkResult{Mirror: m, Vantage: c.v.vantage.Name, URL: address, Outcome: a.outcome, State: linkState(a), FirstSeen: c.now().UTC()}
	if a.status != 0 {
		res.Status = survey.Ptr(a.status)
	}
	if a.challenge {
		res.Outcome = survey.Outcome(survey.ClassChallenge)
	}
	res.State = ruled(c.sp.LinkRules, a.status, res.State, t.url, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mirrors[m]
	switch res.State {
	case LinkOK:
		if k, ok := c.known[linkKey{t.url, m, c.v.vantage.Name}]; !ok || k.State == LinkOK {
			return nil
		} // else it is so again, which history must know
	case LinkBroken:
		s.Broken++
	case LinkNotJudged:
		if s.NotJudged++; res.Outcome == survey.HostDown {
			return nil // its first failures say it all
		}
	}
	if c.nfaults++; c.nfaults > maxFaults {
		return nil
	}
	b, err := json.Marshal(fault{hashURL(t.url), t.url, string(t.kind), res})
	if err != nil {
		return err
	}
	_, err = c.faults.Write(append(b, '\n'))
	return err
}

// gather groups the crawl's faults by target and finds their parents among the edges, reading the file once.
func (c *siteCrawl) gather() ([]survey.Link, error) {
	if _, err := c.faults.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	by := map[uint64]*survey.Link{}
	lines := bufio.NewScanner(c.faults)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var f fault
		if json.Unmarshal(lines.Bytes(), &f) != nil {
			continue // cut by a crash
		}
		l := by[f.Hash]
		if l == nil {
			l = &survey.Link{Target: f.Target, Kind: f.Kind, Parents: []string{}}
			by[f.Hash] = l
		}
		c.date(&f.Result, f.Target)
		if k := c.known[linkKey{f.Target, f.Result.Mirror, f.Result.Vantage}]; c.again && len(l.Parents) == 0 {
			l.Parents = slices.Clone(k.Parents)
		}
		addResult(l, f.Result)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(by) > 0 && !c.again {
		if err := c.parents(by); err != nil {
			return nil, err
		}
	}
	if err := c.judgeFragments(by); err != nil {
		return nil, err
	}
	out := make([]survey.Link, 0, len(by))
	for _, l := range by {
		sort.Strings(l.Parents)
		sort.Slice(l.Results, func(i, j int) bool { return l.Results[i].Mirror < l.Results[j].Mirror })
		out = append(out, *l)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Target < out[j].Target })
	return out, nil
}

// date gives a result the time at which it was first seen, by history and by the baseline.
func (c *siteCrawl) date(res *survey.LinkResult, target string) {
	if k, ok := c.known[linkKey{target, res.Mirror, res.Vantage}]; ok && k.State == res.State {
		res.FirstSeen = k.FirstSeen
	}
	if first, ok := c.sp.Baseline.known(target, res.Mirror); ok && res.State == LinkBroken && first.Before(res.FirstSeen) {
		res.FirstSeen = first
	}
}

func (c *siteCrawl) parents(by map[uint64]*survey.Link) error {
	if _, err := c.edges.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c.edges, 64<<10)
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > maxRecordBytes {
			return nil // the end, or a record cut by a crash
		}
		parent := make([]byte, n)
		if _, err := io.ReadFull(r, parent); err != nil {
			return nil
		}
		names, err := binary.ReadUvarint(r)
		if err != nil {
			return nil
		}
		var b [8]byte
		for range names {
			if _, err := io.ReadFull(r, b[:]); err != nil {
				return nil
			}
			if l := by[binary.LittleEndian.Uint64(b[:])]; l != nil && len(l.Parents) < maxParents && !slices.Contains(l.Parents, string(parent)) {
				l.Parents = append(l.Parents, string(parent))
			}
		}
	}
}

// onMirror asks the mirror for the address and judges its answer beside the primary's.
// done is false when the run ended before the mirror had answered.
func (c *siteCrawl) onMirror(ctx context.Context, t target, m survey.Mirror, p *crawlAnswer) (done bool, err error) {
	address, err := mapURL(t.url, m, c.sp.Paths)
	if err != nil {
		return true, nil
	}
	a, err := c.get(ctx, m, address, t.kind)
	defer a.release()
	if err != nil || ctx.Err() != nil || a.cutShort() {
		return false, err
	}
	c.count(m.Host, func(s *crawlStand) {
		s.URLs++
		if a.html() && a.outcome == survey.OK {
			s.Pages++
		}
	})
	if a.location != "" && a.outcome == survey.OK {
		if err := c.redirected(ctx, t, m, p, a); err != nil {
			return false, err
		}
	} else if a.outcome == survey.OK && p.outcome == survey.OK && p.location == "" {
		if err := c.compare(ctx, t, m, address, p, a); err != nil {
			return false, err
		}
	}
	if (a.html() || a.typ == "text/css") && len(a.body) > 0 && a.status < 300 {
		c.leadsAway(m, address, a.body, !a.html())
	}
	if a.cutShort() {
		return false, nil
	}
	c.places(t, m.Host, a)
	return true, c.note(t, m.Host, address, &a.linkAnswer)
}

// redirected judges a mirror's redirect: as the primary does, away from the mirror, or to another page of its own.
func (c *siteCrawl) redirected(ctx context.Context, t target, m survey.Mirror, p, a *crawlAnswer) error {
	to := hostOf(a.location)
	if p.location != "" && onPrimaryHost(c.sp.Site, a.location) == onPrimaryHost(c.sp.Site, p.location) && to == m.Host {
		return nil
	}
	if to != m.Host && inSite(c.sp.Site, to) {
		c.count(m.Host, func(s *crawlStand) {
			kind := HygieneRedirectToMirror
			if to == c.sp.Site.Primary().Host {
				kind = HygieneRedirectToPrimary
			}
			s.list.add(kind, a.final, a.final)
		})
		return nil
	}
	if p.outcome != survey.OK || p.location != "" || to != m.Host {
		return nil
	}
	var end linkAnswer
	probe := survey.Probe{ID: newID(), Run: c.v.run, Mirror: m.Host, Vantage: c.v.vantage.Name, Purpose: survey.ForLink, Attempt: 1}
	if _, err := c.v.chase(ctx, probe, http.MethodHead, a.final, &end); err != nil {
		return err
	}
	u, err := url.Parse(end.final)
	switch {
	case end.outcome != survey.OK:
		a.outcome, a.status = end.outcome, end.status
	case err == nil && strings.Trim(u.Path, "/") == "" && strings.Trim(strings.TrimPrefix(t.url, c.sp.Site.Primary().Origin()), "/") != "":
		a.outcome = linkSoft404 // the page is gone, and its readers are sent to the front page
	}
	return nil
}

// compare judges two whole answers. Equal payloads are equal; then the pages with the mirror set's hosts replaced by one
// token; the text only where those differ too.
func (c *siteCrawl) compare(ctx context.Context, t target, m survey.Mirror, address string, p, a *crawlAnswer) error {
	equal := p.digest != "" && p.digest == a.digest || p.html() == a.html() && len(p.body)+len(a.body) > 0 && c.token(p.body) == c.token(a.body)
	switch {
	case equal:
		c.count(m.Host, func(s *crawlStand) { s.Equal++ })
		return nil
	case a.html() && !p.html():
		a.outcome = linkSoft404 // a page where the primary has a picture, a style or a script
		return nil
	case !a.html():
		c.count(m.Host, func(s *crawlStand) { s.Differ++ })
		return nil
	}
	outcome, err := c.judge(ctx, m, t.url, address, p, a)
	if err != nil {
		return err
	}
	c.count(m.Host, func(s *crawlStand) {
		if outcome == survey.OK {
			s.ByText++
		} else {
			s.Differ++
		}
	})
	if outcome == survey.Outcome(survey.ClassChallenge) {
		a.challenge = true
	}
	a.outcome = outcome
	return nil
}

// token is a hash of the body with every host of the mirror set replaced by one token.
func (c *siteCrawl) token(body []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	next := make([]int, len(c.hosts)) // where each host comes next; -1: nowhere
	for i, host := range c.hosts {
		next[i] = bytes.Index(body, host)
	}
	for at := 0; ; {
		first := -1
		for i, n := range next {
			if n >= 0 && n < at { // inside what was replaced
				if n = bytes.Index(body[at:], c.hosts[i]); n >= 0 {
					n += at
				}
				next[i] = n
			}
			if n >= 0 && (first < 0 || n < next[first]) {
				first = i
			}
		}
		if first < 0 {
			_, _ = h.Write(body[at:])
			return h.Sum64()
		}
		_, _ = h.Write(body[at:next[first]])
		_, _ = h.WriteString("\x00host\x00")
		at = next[first] + len(c.hosts[first])
	}
}

// judge compares two pages as a check does. What no verdict fits, such as lists and front pages, is held against the
// primary by its visible words.
func (c *siteCrawl) judge(ctx context.Context, m survey.Mirror, article, address string, p, a *crawlAnswer) (survey.Outcome, error) {
	primary := c.sp.Site.Primary()
	views := []compare.View{c.view(primary, article, p), c.view(m, address, a)}
	if views[0].Page == nil || views[1].Page == nil {
		return survey.OK, nil
	}
	var err error
	if views[0].Decoys, err = c.decoys.views(ctx, c.v, primary, article, article); err != nil {
		return "", err
	}
	if views[1].Decoys, err = c.decoys.views(ctx, c.v, m, article, address); err != nil {
		return "", err
	}
	site := survey.Site{Name: c.sp.Site.Name, Mirrors: c.sp.Site.Mirrors}
	k := compare.Case{Site: site, Article: survey.Article{Site: site.Name, URL: article}, Views: views, Rules: c.Rules}
	v := judge(k).Verdicts[1]
	if v.Verdict == survey.Altered || v.Verdict == survey.Truncated {
		// What differs between two fetches of one address is volatile and no alteration.
		for i, who := range []survey.Mirror{primary, m} {
			again, err := c.get(ctx, who, views[i].Observation.URL, markup.Page)
			if err != nil {
				return "", err
			}
			if again.outcome == survey.OK && again.html() {
				k.Views[i].Second = c.view(who, views[i].Observation.URL, again).Page
			}
			again.release()
		}
		v = judge(k).Verdicts[1]
	}
	switch v.Verdict {
	case survey.Altered, survey.Truncated, survey.Related:
		if stale(views[0].Page, views[1].Page) {
			return linkStale, nil
		}
		return survey.Outcome(v.Verdict), nil
	case survey.DifferentPage, survey.Translation:
		return survey.Outcome(v.Verdict), nil
	case survey.Interstitial:
		if v.PageClass == survey.ClassUnknown || v.PageClass == "" {
			return survey.Outcome(survey.DifferentPage), nil
		}
		return survey.Outcome(v.PageClass), nil
	case survey.Undetermined:
		if v.PageClass == survey.ClassChallenge {
			return survey.Outcome(v.PageClass), nil
		}
		for _, d := range views[1].Decoys {
			if d.Page != nil && d.Decoy.Kind != "root" && d.Decoy.Status == 200 && sameWords(d.Page, views[1].Page) > 0.9 && sameWords(views[0].Page, views[1].Page) < 0.5 {
				return linkSoft404, nil
			}
		}
		if sameWords(views[0].Page, views[1].Page) < 0.25 {
			return survey.Outcome(survey.DifferentPage), nil
		}
	}
	return survey.OK, nil
}

// view makes a View of an answer; its page is nil when it cannot be read.
func (c *siteCrawl) view(m survey.Mirror, address string, a *crawlAnswer) compare.View {
	o := &survey.Observation{Mirror: m.Host, Role: m.Role, Vantage: c.v.vantage.Name, ObservedAt: a.exchange.Started.UTC(), URL: address, FinalURL: address,
		Stage: survey.StageContent, Outcome: survey.OK, Attempts: 1, Status: survey.Ptr(a.status), TLS: a.exchange.TLS, Headers: keptHeaders(a.exchange)}
	o.Body = &survey.Body{Bytes: a.exchange.PayloadSize, Type: a.typ, SHA256: a.digest.Hex()}
	page := readStored(a.body, content.Options{URL: address, ContentType: a.header, Hosts: c.sp.Site.Hosts(), Header: a.exchange.Get})
	if page != nil {
		o.Title = page.Title
	}
	return compare.View{Observation: o, Page: page, Body: a.body}
}

// stale reports whether the mirror's page says itself that it is older than the primary's.
func stale(primary, mirror *content.Page) bool {
	p, perr := time.Parse(time.RFC3339, primary.Modified)
	m, merr := time.Parse(time.RFC3339, mirror.Modified)
	return perr == nil && merr == nil && m.Before(p)
}

// sameWords is the share of the first page's visible words, by shingles, that the second shows too.
func sameWords(a, b *content.Page) float64 {
	want := content.Shingles(content.Words(content.Normalise(a.Visible, nil)), 3)
	if len(want) < 10 {
		return 1
	}
	got := content.Shingles(content.Words(content.Normalise(b.Visible, nil)), 3)
	n := 0
	for s := range want {
		if _, ok := got[s]; ok {
			n++
		}
	}
	return float64(n) / float64(len(want))
}

// leadsAway finds links and requisites of a mirror's page on the hosts of other mirrors, and plain HTTP in a page over TLS.
// Pages that name no such host are not scanned. A link whose text names the host is a deliberate pointer.
func (c *siteCrawl) leadsAway(m survey.Mirror, address string, body []byte, style bool) {
	named := false
	if strings.HasPrefix(address, schemeSecure) {
		for _, before := range []string{`="`, `='`, `=`, `(`, `("`, `('`} {
			named = named || bytes.Contains(body, []byte(before+schemePlain))
		}
	}
	for _, o := range c.sp.Site.Mirrors {
		named = named || o.Host != m.Host && bytes.Contains(body, []byte(o.Host))
	}
	if !named {
		return
	}
	base, own := address, true
	if b := markup.Base(body); b != "" && !style {
		if u, ok := markup.Resolve(address, b); ok {
			base, own = u, hostOf(u) == m.Host
		}
	}
	primary := c.sp.Site.Primary().Host
	c.mu.Lock()
	defer c.mu.Unlock()
	list := &c.mirrors[m.Host].list
	place := func(pl markup.Place) bool {
		head := pl.Kind == markup.Canonical || pl.Kind == markup.FeedLink
		if !pl.Kind.Link() && !pl.Kind.Requisite() && !head {
			return true
		}
		if own && !strings.ContainsAny(pl.URL, ":\\") && !strings.HasPrefix(pl.URL, "//") {
			return true // a path leads nowhere else
		}
		u, ok := markup.Resolve(base, pl.URL)
		if !ok {
			return true
		}
		if pl.Kind.Requisite() && strings.HasPrefix(address, schemeSecure) && strings.HasPrefix(u, schemePlain) {
			list.add(HygieneMixedContent, u, address)
		}
		host := hostOf(u)
		if host == m.Host || !inSite(c.sp.Site, host) {
			return true
		}
		if head {
			c.mirrors[m.Host].names(pl.Kind, host, u, address)
			return true
		}
		kinds := [2]string{HygieneLinkToMirror, HygieneLinkToPrimary}
		if pl.Kind.Requisite() {
			kinds = [2]string{HygieneRequisiteMirror, HygieneRequisitePrimary}
		} else if text, _, ok := bytes.Cut(body[pl.End:min(len(body), pl.End+300)], []byte("</a")); ok && bytes.Contains(text, []byte(strings.TrimPrefix(string(host), "www."))) {
			return true
		}
		kind := kinds[0]
		if host == primary {
			kind = kinds[1]
		}
		list.add(kind, u, address)
		return true
	}
	if style {
		markup.CSS(body, place)
	} else {
		markup.HTML(body, place)
	}
}
