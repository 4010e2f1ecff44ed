package replay

import (
	"container/list"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/survey"
)

// shot is a snapshot made ready to be shown.
type shot struct {
	survey.Snapshot
	row   *survey.SnapshotRow        // what history says of it; nil: nothing
	parts map[string]survey.Capture  // requisites by URL, in the form of plainURL
	fill  map[string]donation        // what mirrors judged the same can give, by URL on this snapshot's host
	same  map[survey.Digest]donation // the same by payload
	rows  []survey.SnapshotRow       // of the article, all mirrors
}

// donation is a capture of another mirror that may fill a hole.
type donation struct {
	capture survey.Capture
	mirror  survey.Host
}

// plainURL makes two spellings of one URL equal: what quoteURL and cssText encode is decoded.
func plainURL(u string) string {
	u, _, _ = strings.Cut(u, "#")
	if strings.IndexByte(u, '%') < 0 {
		return u
	}
	return spellings.Replace(u)
}

var spellings = strings.NewReplacer("%27", "'", "%28", "(", "%29", ")", "%5C", `\`, "%5c", `\`, "%60", "`")

// snapshots keeps the last used ones; nil values remember that a page is in no snapshot.
type snapshots struct {
	mu    sync.Mutex
	order list.List // of *cached, newest first
	byID  map[survey.RecordID]*list.Element
}

type cached struct {
	id   survey.RecordID
	shot *shot
	at   time.Time
}

const (
	maxCached  = 64
	cachedTime = time.Minute // verdicts and donors change with the next run
)

func (c *snapshots) get(id survey.RecordID) (*shot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil || time.Since(e.Value.(*cached).at) > cachedTime && e.Value.(*cached).shot == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).shot, true
}

func (c *snapshots) put(id survey.RecordID, s *shot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[survey.RecordID]*list.Element{}
	}
	if e := c.byID[id]; e != nil {
		c.order.Remove(e)
	}
	c.byID[id] = c.order.PushFront(&cached{id, s, time.Now()})
	for len(c.byID) > maxCached {
		last := c.order.Back()
		delete(c.byID, last.Value.(*cached).id)
		c.order.Remove(last)
	}
}

// stale drops a snapshot that was made ready too long ago to be shown as a page.
func (c *snapshots) stale(id survey.RecordID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil && time.Since(e.Value.(*cached).at) > cachedTime {
		delete(c.byID, id)
		c.order.Remove(e)
	}
}

// load returns the snapshot whose page is the record id, captured of url about the time at; nil without an error when there
// is none. page says that url is the page's own for sure, so that "none" may be remembered.
func (h *Handler) load(ctx context.Context, id survey.RecordID, url string, at time.Time, page bool) (*shot, error) {
	if s, ok := h.cache.get(id); ok {
		return s, nil
	}
	found, err := h.cfg.Archive.Snapshots(ctx, archive.Query{URL: url, From: at.Add(-time.Hour), To: at.Add(time.Hour)})
	if err != nil {
		return nil, err
	}
	for _, snap := range found {
		if snap.ID != id && snap.Page.RecordID != id {
			continue
		}
		s, err := h.ready(ctx, snap)
		if err != nil {
			return nil, err
		}
		h.cache.put(id, s)
		return s, nil
	}
	if page {
		h.cache.put(id, nil)
	}
	return nil, nil
}

// ready adds what history says of a snapshot, and what other mirrors may give it: those judged the same in its run.
func (h *Handler) ready(ctx context.Context, snap survey.Snapshot) (*shot, error) {
	s := &shot{Snapshot: snap, parts: map[string]survey.Capture{}, fill: map[string]donation{}, same: map[survey.Digest]donation{}}
	for _, q := range snap.Requisites {
		s.parts[plainURL(q.URL)] = q.Capture
	}
	for _, q := range snap.Requisites {
		if _, ok := s.parts[plainURL(q.Final)]; q.Final != "" && !ok {
			s.parts[plainURL(q.Final)] = q.Capture
		}
	}
	if h.cfg.Judgements == nil {
		return s, nil
	}
	var err error
	if s.rows, err = h.cfg.Judgements.Snapshots(ctx, snap.Article.URL); err != nil {
		return nil, err
	}
	s.row = rowOf(s.rows, snap)
	if s.row == nil || !judgedSame(s.row) {
		return s, nil // a block page gets no pictures of the article
	}
	siblings, err := h.cfg.Archive.Snapshots(ctx, archive.Query{Article: snap.Article.URL, From: snap.Time.Add(-24 * time.Hour), To: snap.Time.Add(24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	donors := 0
	for _, d := range siblings {
		if d.Run != snap.Run || d.Mirror == snap.Mirror || donors == 16 {
			continue
		}
		if row := rowOf(s.rows, d); row == nil || row.Flagged || !judgedSame(row) || d.Page.Imported || d.Page.Unverified {
			continue
		}
		donors++
		for _, q := range d.Requisites {
			c := q.Capture
			if c.Imported || c.Unverified || c.Truncated != "" || c.Status != http.StatusOK {
				continue
			}
			give := donation{c, d.Mirror}
			if _, ok := s.same[c.Payload]; c.Payload != "" && !ok {
				s.same[c.Payload] = give
			}
			if mine := onHostOf(q.URL, d.URL, snap.URL); mine != "" && pictureOrFont(c.Type) {
				if _, ok := s.fill[plainURL(mine)]; !ok {
					s.fill[plainURL(mine)] = give
				}
			}
		}
	}
	return s, nil
}

func judgedSame(r *survey.SnapshotRow) bool {
	return r.Verdict == survey.Identical || r.Verdict == survey.SameArticle
}

// rowOf finds what history says of a snapshot: its own row, or that of the equal snapshot whose span covers it.
func rowOf(rows []survey.SnapshotRow, s survey.Snapshot) *survey.SnapshotRow {
	for i := range rows {
		if rows[i].ID == s.ID {
			return &rows[i]
		}
	}
	for i := range rows {
		r := &rows[i]
		if r.Mirror == s.Mirror && r.Vantage == s.Vantage && r.URL == s.URL && r.Payload == s.Page.Payload &&
			!s.Time.Before(r.Time.Add(-time.Second)) && !s.Time.After(r.Last.Add(time.Second)) {
			return r
		}
	}
	return nil
}

func pictureOrFont(t string) bool {
	return strings.HasPrefix(t, "image/") || isFont(t, "")
}

func isFont(t, u string) bool {
	switch {
	case strings.HasPrefix(t, "font/"), strings.HasPrefix(t, "application/font"), strings.HasPrefix(t, "application/x-font"), t == "application/vnd.ms-fontobject":
		return true
	}
	u, _, _ = strings.Cut(u, "?")
	for _, ext := range []string{".woff", ".woff2", ".ttf", ".otf", ".eot"} {
		if strings.HasSuffix(strings.ToLower(u), ext) {
			return true
		}
	}
	return false
}

// onHostOf turns a URL on the host of from into the same path on the host of to; "" when it is on another host.
func onHostOf(u, from, to string) string {
	of, err1 := url.Parse(from)
	ot, err2 := url.Parse(to)
	if err1 != nil || err2 != nil || of.Host == "" || ot.Host == "" {
		return ""
	}
	rest, ok := strings.CutPrefix(u, of.Scheme+"://"+of.Host+"/")
	if !ok {
		return ""
	}
	return ot.Scheme + "://" + ot.Host + "/" + rest
}

// shotPath is the address of a URL as a snapshot shows it.
func shotPath(s *shot, mod, u string) string {
	return "/snapshot/" + survey.Timestamp17(s.Time) + "." + shortID(s.ID) + mod + "/" + quoteURL(u)
}

func shortID(id survey.RecordID) string { return strings.TrimPrefix(string(id), "urn:uuid:") }

func longID(s string) survey.RecordID {
	if strings.Contains(s, ":") {
		return survey.RecordID(s)
	}
	return survey.RecordID("urn:uuid:" + s)
}

// parseShot reads "TIME17.ID[mod]/URL".
func parseShot(s string) (a address, id survey.RecordID, ok bool) {
	name, raw, found := strings.Cut(s, "/")
	digits, rest, dot := strings.Cut(name, ".")
	if !found || !dot || len(digits) != 17 || len(rest) > 120 {
		return a, "", false
	}
	if rest, a.mod, ok = modifier(rest); !ok || rest == "" {
		return a, "", false
	}
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != ':' && c != '_' {
			return a, "", false
		}
	}
	if a.at, ok = parseDigits(digits); !ok {
		return a, "", false
	}
	a.digits, a.raw = digits, raw
	a.url, ok = Repair(raw)
	return a, longID(rest), ok
}

// snapshot answers below /snapshot/.
func (h *Handler) snapshot(w http.ResponseWriter, r *http.Request, path string) {
	a, id, ok := parseShot(path)
	if !ok {
		h.problem(w, r, http.StatusBadRequest, "This is no address of a snapshot.", "")
		return
	}
	if a.page() || a.mod == modFrame {
		h.cache.stale(id)
	}
	s, err := h.load(r.Context(), id, a.url, a.at, false)
	if err != nil {
		h.fail(w, r, a.url, err)
		return
	}
	if s == nil { // its page is not known to this process: what is nearest in time, marked as such
		if a.page() {
			redirect(w, http.StatusFound, "/web/"+a.digits+a.mod+"/"+quoteURL(a.url))
			return
		}
		h.nearest(w, r, a, nil)
		return
	}
	key := plainURL(a.url)
	if key == plainURL(s.URL) {
		h.serve(w, r, view{address: a, capture: s.Page, shot: s})
		return
	}
	if c, ok := s.parts[key]; ok {
		v := view{address: a, capture: c, shot: s}
		if res, err := h.cfg.Archive.Open(r.Context(), c); err == nil {
			v.opened = res
			h.serve(w, r, v)
			return
		} else if d, ok := s.same[c.Payload]; ok && c.Payload != "" {
			v.capture, v.filled = d.capture, "equal payload of "+string(d.mirror)
			h.serve(w, r, v)
			return
		}
	}
	if a.page() || a.mod == modFrame { // a link out of the snapshot, a frame in it
		redirect(w, http.StatusFound, "/web/"+a.digits+a.mod+"/"+quoteURL(a.url))
		return
	}
	h.nearest(w, r, a, s)
}

// whole returns the capture of the very URL nearest in time that holds the thing itself: neither an error nor a redirect nor
// cut. Those of the hole's own time are why it is one.
func (h *Handler) whole(ctx context.Context, url string, at time.Time) (survey.Capture, error) {
	all, err := h.cfg.Archive.Captures(ctx, url, maxWhole)
	if err != nil {
		return survey.Capture{}, err
	}
	best := -1
	for i, c := range all {
		if (c.Status == http.StatusOK || c.Status == 0) && c.Truncated == "" && (best < 0 || c.Date.Sub(at).Abs() < all[best].Date.Sub(at).Abs()) {
			best = i
		}
	}
	if best < 0 {
		return survey.Capture{}, archive.ErrNotFound
	}
	return all[best], nil
}

// maxWhole bounds among how many captures of a URL one is looked for that fills a hole.
const maxWhole = 1000

// nearest serves what a snapshot does not hold itself: another capture of the very URL; else, of pictures and fonts, the
// same path on a mirror that was judged the same in that run. Both are marked.
func (h *Handler) nearest(w http.ResponseWriter, r *http.Request, a address, s *shot) {
	c, err := h.whole(r.Context(), a.url, a.at)
	switch {
	case err == nil:
		h.serve(w, r, view{address: a, capture: c, shot: s, filled: "another time"})
		return
	case !errors.Is(err, archive.ErrNotFound):
		h.fail(w, r, a.url, err)
		return
	}
	if s != nil {
		if d, ok := s.fill[plainURL(a.url)]; ok {
			h.serve(w, r, view{address: a, capture: d.capture, shot: s, filled: "same path of " + string(d.mirror)})
			return
		}
	}
	// An error or redirect that was captured is shown as such; else what differs in scheme or in noise of the query.
	if c, fuzzy, err := h.find(r.Context(), a.url, a.at, a.mod); err == nil && fuzzy != "host" {
		h.serve(w, r, view{address: a, capture: c, shot: s, fuzzy: fuzzy, filled: "another time"})
		return
	}
	h.fail(w, r, a.url, archive.ErrNotFound)
}

// hole is a requisite that a snapshot lacks, and what is shown in its place.
type hole struct {
	URL, Why, Filled string
}

// maxHoles bounds how many are looked up for the banner.
const maxHoles = 60

func (h *Handler) holes(ctx context.Context, s *shot) (list []hole, more int) {
	for i, l := range s.LeftOut {
		if i == maxHoles {
			return list, len(s.LeftOut) - maxHoles
		}
		x := hole{URL: l.URL, Why: l.Why}
		if _, err := h.whole(ctx, l.URL, s.Time); err == nil {
			x.Filled = "shown as captured at another time"
		} else if d, ok := s.fill[plainURL(l.URL)]; ok {
			x.Filled = "shown from " + string(d.mirror)
		}
		list = append(list, x)
	}
	return list, 0
}
