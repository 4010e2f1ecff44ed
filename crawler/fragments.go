package crawler

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Fragments (issue 6, point 3; on request only, Settings.Fragments): a link to page#part is held against the page that was
// fetched for it, mirror by mirror. A page that its scripts make is "cannot verify" and never broken: what it shows is not
// in what it sends.

// fragmentKind is survey.Link.Kind of a target with a fragment.
const fragmentKind markup.Kind = "fragment"

const (
	maxAnchors        = 5000    // of one page; pages with more are not judged for what was not found
	maxFragment       = 300     // octets
	maxPageFragments  = 1000    // looked at on one page
	maxWantedTargets  = 200_000 // of one crawl, in memory while it is evaluated
	maxFragmentHops   = 5       // redirects between the address and the page that has the part
	thinPage          = 50      // words: fewer, and scripts, is a page that its scripts make
	fragmentsName     = "fragments"
	anchorsName       = "anchors"
	anchorScripted    = 1 << 0
	anchorMore        = 1 << 1
	anchorRedirect    = 1 << 2
	anchorOwnFragment = 1 << 3 // the redirect names a fragment itself, which then counts
)

// anchors are the places of a page that a fragment can name.
type anchors struct {
	ids      map[uint64]bool
	more     bool // there are more than were noted
	scripted bool // thin and with scripts
}

// anchorsOf reads the names of places: id of any element, name of a (HTML 7.4.6.4).
func anchorsOf(page []byte) *anchors {
	out := &anchors{ids: map[uint64]bool{}}
	scripts, words, from := false, 0, 0
	markup.Scan(page, func(t *markup.Tag) bool {
		if words < thinPage {
			words += countWords(page[from:t.Start])
		}
		if from = t.End; t.Is("script") {
			typ := ""
			if a, ok := t.Find("type"); ok {
				typ = strings.ToLower(t.Value(a))
			}
			if !strings.Contains(typ, "json") {
				scripts = true
			}
			from = skipTo(page, from, "</script")
		} else if t.Is("style") {
			from = skipTo(page, from, "</style")
		} else if t.Is("title") {
			from = skipTo(page, from, "</title")
		}
		add := func(name string) {
			if a, ok := t.Find(name); ok {
				if v := t.Value(a); v != "" && len(v) <= maxFragment {
					if len(out.ids) < maxAnchors {
						out.ids[hashURL(v)] = true
					} else {
						out.more = true
					}
				}
			}
		}
		add("id")
		if t.Is("a") {
			add("name")
		}
		return true
	}, func(markup.Place) bool { return true })
	if words < thinPage && from <= len(page) {
		words += countWords(page[from:])
	}
	out.scripted = scripts && words < thinPage
	return out
}

func skipTo(page []byte, from int, word string) int {
	for i := from; i < len(page); {
		j := bytes.IndexByte(page[i:], '<')
		if j < 0 {
			break
		}
		if i += j; len(page)-i >= len(word) && strings.EqualFold(string(page[i:i+len(word)]), word) {
			return i
		}
		i++
	}
	return len(page)
}

// countWords counts words outside of tags.
func countWords(b []byte) int {
	n, in, tag := 0, false, false
	for _, c := range b {
		switch {
		case c == '<':
			tag, in = true, false
		case c == '>' && tag:
			tag, in = false, false
		case tag:
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			in = false
		case !in:
			in = true
			n++
		}
	}
	return n
}

// fragmentOf is what the address names within its page, "" when nothing, or what is always there: the top, and pieces of
// text that the browser looks for ("#:~:text=").
func fragmentOf(address string) string {
	_, f, _ := strings.Cut(address, "#")
	f, _, _ = strings.Cut(f, ":~:")
	if f == "" || strings.EqualFold(f, "top") || len(f) > maxFragment {
		return ""
	}
	return f
}

// fragmentHashes are the hashes under which a page may have the fragment: as it is written, and percent-decoded.
func fragmentHashes(f string) [2]uint64 {
	out := [2]uint64{hashURL(f), hashURL(f)}
	if d, err := url.PathUnescape(f); err == nil {
		out[1] = hashURL(d)
	}
	return out
}

// verdict is the outcome of looking for a fragment on a page.
func (a *anchors) verdict(f string) survey.Outcome {
	h := fragmentHashes(f)
	switch {
	case a.ids[h[0]] || a.ids[h[1]]:
		return survey.OK
	case a.scripted, f[0] == '/', f[0] == '!': // "#/path" and "#!path" are read by scripts
		return survey.ScriptRendered
	case a.more:
		return survey.OK
	}
	return survey.FragmentMissing
}

// namedFragments calls f for each address with a fragment that the page's links name, resolved.
func namedFragments(address string, page []byte, f func(u, fragment string)) {
	base := address
	if b := markup.Base(page); b != "" {
		if u, ok := markup.Resolve(address, b); ok {
			base = u
		}
	}
	seen := map[string]bool{}
	markup.HTML(page, func(p markup.Place) bool {
		if p.Kind != markup.Page || seen[p.URL] {
			return true
		}
		frag := fragmentOf(p.URL)
		if frag == "" {
			return true
		}
		seen[p.URL] = true
		if u, ok := markup.Resolve(base, p.URL); ok {
			f(u, frag)
		}
		return len(seen) < maxPageFragments
	})
}

// fragmentJobs are the parts of pages that the seat's mirror is asked for: those that the reference page names at the
// mirror's addresses, and those that the mirror's own page names.
func fragmentJobs(sp SitePlan, a survey.Article, s, reference *seat) []*linkJob {
	var jobs []*linkJob
	own := anchorsOf(s.visit.body())
	seen := map[string]bool{}
	add := func(target, address, fragment string) {
		target += "#" + fragment
		if seen[target] || len(jobs) >= maxPageLinks {
			return
		}
		seen[target] = true
		job := &linkJob{seat: s, target: target, kind: fragmentKind, address: address, fragment: fragment}
		if address == s.visit.observation.URL || address == s.visit.observation.FinalURL {
			job.answer = &linkAnswer{outcome: survey.OK, status: 200, final: address, anchors: own}
		}
		jobs = append(jobs, job)
	}
	if reference != nil {
		namedFragments(reference.visit.observation.FinalURL, reference.visit.body(), func(u, fragment string) {
			if !inSite(sp.Site, hostOf(u)) {
				return
			}
			target := onPrimaryHost(sp.Site, u)
			if address, err := mapURL(target, s.mirror, sp.Paths); err == nil {
				add(target, address, fragment)
			}
		})
	}
	namedFragments(s.visit.observation.FinalURL, s.visit.body(), func(u, fragment string) {
		switch h := hostOf(u); {
		case h == s.mirror.Host:
			add(onPrimaryHost(sp.Site, u), u, fragment)
		case !inSite(sp.Site, h) && sp.Settings.External:
			add(u, u, fragment)
		}
	})
	return jobs
}

// settled turns the page's answer into the fragment's; nil when the page itself did not come, which is told of the page.
func (job *linkJob) settled() *linkAnswer {
	a := job.answer
	if a.outcome != survey.OK {
		return nil
	}
	out := &linkAnswer{outcome: survey.OK, status: a.status, final: a.final}
	if a.anchors != nil {
		out.outcome = a.anchors.verdict(job.fragment)
	}
	return out
}

// fragmentBook notes in files which fragments a crawl's pages name, and which places each fetched page has: which of them
// belong together is known at the end only. A nil book notes nothing.
type fragmentBook struct {
	mu    sync.Mutex
	files [2]*os.File // wanted, places
	out   [2]*bufio.Writer
}

func openFragments(dir string) (*fragmentBook, error) {
	b := &fragmentBook{}
	for i, name := range []string{fragmentsName, anchorsName} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		b.files[i], b.out[i] = f, bufio.NewWriterSize(f, 64<<10)
	}
	return b, nil
}

func (b *fragmentBook) flush() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.out[0].Flush(), b.out[1].Flush())
}

func (b *fragmentBook) close() error {
	if b == nil {
		return nil
	}
	var errs []error
	for i, f := range b.files {
		if f != nil {
			errs = append(errs, b.out[i].Flush(), f.Close())
		}
	}
	return errors.Join(errs...)
}

// write appends a record; an error of the disk comes again from flush.
func (b *fragmentBook) write(i int, rec []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = b.out[i].Write(rec)
}

// want notes that the parent names a part of the target.
func (b *fragmentBook) want(parent, target, fragment string) {
	rec := make([]byte, 0, len(parent)+len(target)+len(fragment)+8)
	for _, s := range []string{parent, target, fragment} {
		rec = binary.AppendUvarint(rec, uint64(len(s)))
		rec = append(rec, s...)
	}
	b.write(0, rec)
}

// place notes which places the mirror's answer for the target has, or where it leads.
func (b *fragmentBook) place(target string, m survey.Host, flags byte, ids []uint64) {
	rec := binary.LittleEndian.AppendUint64(make([]byte, 0, 24+8*len(ids)), hashURL(target))
	rec = binary.LittleEndian.AppendUint64(rec, hashURL(string(m)))
	rec = append(rec, flags)
	rec = binary.AppendUvarint(rec, uint64(len(ids)))
	for _, h := range ids {
		rec = binary.LittleEndian.AppendUint64(rec, h)
	}
	b.write(1, rec)
}

// fragments notes what the primary's page names.
func (c *siteCrawl) fragments(t target, p *crawlAnswer) {
	if c.book == nil || c.again || !p.html() || p.outcome != survey.OK || p.location != "" {
		return
	}
	namedFragments(t.url, p.body, func(u, fragment string) {
		if inSite(c.sp.Site, hostOf(u)) {
			c.book.want(t.url, onPrimaryHost(c.sp.Site, u), fragment)
		}
	})
}

// places notes which places a mirror's answer has.
func (c *siteCrawl) places(t target, m survey.Host, a *crawlAnswer) {
	switch {
	case c.book == nil || a.exchange == nil || a.exchange.Outcome != survey.OK || a.status >= 400:
	case a.location != "":
		var flags byte = anchorRedirect
		if strings.Contains(a.exchange.Get("Location"), "#") {
			flags |= anchorOwnFragment
		}
		c.book.place(t.url, m, flags, []uint64{hashURL(onPrimaryHost(c.sp.Site, a.location))})
	case a.html():
		found := anchorsOf(a.body)
		var flags byte
		if found.scripted {
			flags |= anchorScripted
		}
		if found.more {
			flags |= anchorMore
		}
		ids := make([]uint64, 0, len(found.ids))
		for h := range found.ids {
			ids = append(ids, h)
		}
		c.book.place(t.url, m, flags, ids)
	}
}

// wanted is one target with a fragment.
type wanted struct {
	target   string // with the fragment
	fragment string
}

type placed struct{ mirror, page uint64 }

// judgeFragments holds what pages name against what the pages that were fetched have, and adds what is not there.
func (c *siteCrawl) judgeFragments(by map[uint64]*survey.Link) error {
	if c.book == nil {
		return nil
	}
	pages := map[uint64][]*wanted{}
	seen := map[uint64]bool{}
	if err := c.book.eachWant(func(_, target, fragment string) {
		full := target + "#" + fragment
		if h := hashURL(full); !seen[h] && len(seen) < maxWantedTargets {
			seen[h] = true
			page := hashURL(target)
			pages[page] = append(pages[page], &wanted{target: full, fragment: fragment})
		}
	}); err != nil {
		return err
	}
	if len(seen) == maxWantedTargets {
		c.Log.Warn("more fragments than are checked", "site", c.sp.Site.Name, "checked", maxWantedTargets)
	}
	// Where a redirect leads, its fragments lead too, unless it names one of its own.
	moved := map[placed][]*wanted{}
	for range maxFragmentHops {
		grown := false
		if err := c.book.eachPlace(func(at placed, flags byte, ids []uint64) {
			if flags&anchorRedirect == 0 || flags&anchorOwnFragment != 0 || len(ids) != 1 {
				return
			}
			to := placed{at.mirror, ids[0]}
			for _, list := range [][]*wanted{pages[at.page], moved[at]} {
				for _, w := range list {
					if !slices.Contains(moved[to], w) {
						moved[to] = append(moved[to], w)
						grown = true
					}
				}
			}
		}); err != nil {
			return err
		}
		if !grown {
			break
		}
	}
	hosts := map[uint64]survey.Mirror{}
	for _, m := range c.sp.Site.Mirrors {
		hosts[hashURL(string(m.Host))] = m
	}
	missing := map[uint64]*survey.Link{}
	now := c.now().UTC()
	if err := c.book.eachPlace(func(at placed, flags byte, ids []uint64) {
		m, ok := hosts[at.mirror]
		if flags&anchorRedirect != 0 || !ok || len(pages[at.page]) == 0 && len(moved[at]) == 0 {
			return
		}
		page := anchors{ids: make(map[uint64]bool, len(ids)), more: flags&anchorMore != 0, scripted: flags&anchorScripted != 0}
		for _, h := range ids {
			page.ids[h] = true
		}
		for _, list := range [][]*wanted{pages[at.page], moved[at]} {
			for _, w := range list {
				c.judgeFragment(m, w, page.verdict(w.fragment), missing, now)
			}
		}
	}); err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	if err := c.book.eachWant(func(parent, target, fragment string) {
		if l := missing[hashURL(target+"#"+fragment)]; l != nil && len(l.Parents) < maxParents && !slices.Contains(l.Parents, parent) {
			l.Parents = append(l.Parents, parent)
		}
	}); err != nil {
		return err
	}
	for h, l := range missing {
		by[h] = l
	}
	return nil
}

// judgeFragment adds the result of one fragment on one mirror when it is news.
func (c *siteCrawl) judgeFragment(m survey.Mirror, w *wanted, outcome survey.Outcome, missing map[uint64]*survey.Link, now time.Time) {
	key := linkKey{w.target, m.Host, c.v.vantage.Name}
	k, known := c.known[key]
	if outcome == survey.OK && (!known || k.State == LinkOK) {
		return
	}
	h := hashURL(w.target)
	l := missing[h]
	if l == nil {
		if len(missing) >= maxFaults {
			return
		}
		l = &survey.Link{Target: w.target, Kind: string(fragmentKind), Parents: []string{}}
		missing[h] = l
	}
	page, _, _ := strings.Cut(w.target, "#")
	address, err := mapURL(page, m, c.sp.Paths)
	if err != nil {
		return
	}
	a := &linkAnswer{outcome: outcome, status: 200}
	res := survey.LinkResult{Mirror: m.Host, Vantage: c.v.vantage.Name, URL: address + "#" + w.fragment, Status: survey.Ptr(a.status), Outcome: outcome, State: linkState(a), FirstSeen: now}
	c.date(&res, w.target)
	c.count(m.Host, func(s *crawlStand) {
		switch res.State {
		case LinkBroken:
			s.Broken++
		case LinkNotJudged:
			s.NotJudged++
		}
	})
	addResult(l, res)
}

// eachWant reads the file of what pages name; a record cut at the end by a crash is left out.
func (b *fragmentBook) eachWant(f func(parent, target, fragment string)) error {
	return b.each(0, func(r *bufio.Reader) error {
		var s [3]string
		for i := range s {
			n, err := binary.ReadUvarint(r)
			if err != nil || n > maxRecordBytes {
				return io.EOF
			}
			text := make([]byte, n)
			if _, err := io.ReadFull(r, text); err != nil {
				return io.EOF
			}
			s[i] = string(text)
		}
		f(s[0], s[1], s[2])
		return nil
	})
}

func (b *fragmentBook) eachPlace(f func(at placed, flags byte, ids []uint64)) error {
	var ids []uint64
	return b.each(1, func(r *bufio.Reader) error {
		var head [17]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return io.EOF
		}
		n, err := binary.ReadUvarint(r)
		if err != nil || n > maxAnchors {
			return io.EOF
		}
		ids = ids[:0]
		var h [8]byte
		for range n {
			if _, err := io.ReadFull(r, h[:]); err != nil {
				return io.EOF
			}
			ids = append(ids, binary.LittleEndian.Uint64(h[:]))
		}
		f(placed{binary.LittleEndian.Uint64(head[8:]), binary.LittleEndian.Uint64(head[:])}, head[16], ids)
		return nil
	})
}

func (b *fragmentBook) each(i int, record func(*bufio.Reader) error) error {
	if err := b.flush(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(&fileReader{f: b.files[i]}, 64<<10)
	for {
		switch err := record(r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// startFragments puts the pages of known fragments on the list of a crawl that asks only for what was wrong.
func (c *siteCrawl) startFragments(k KnownLink) {
	page, fragment, _ := strings.Cut(k.Target, "#")
	if c.book == nil || fragment == "" || !inSite(c.sp.Site, hostOf(page)) {
		return
	}
	c.list.add(target{url: page, kind: markup.Page})
	parents := slices.Clone(k.Parents)
	sort.Strings(parents)
	for _, p := range parents {
		c.book.want(p, page, fragment)
	}
}
