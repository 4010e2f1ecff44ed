package crawler

import (
	"strings"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Kinds of survey.Hygiene: where a mirror does not stand alone, so that a reader behind a block is lost there.
const (
	HygieneLinkToPrimary      = "link_to_primary"
	HygieneLinkToMirror       = "link_to_other_mirror"
	HygieneRequisitePrimary   = "requisite_from_primary"
	HygieneRequisiteMirror    = "requisite_from_other_mirror"
	HygieneThirdHostFailed    = "third_host_failed"
	HygieneCanonicalDead      = "canonical_dead"
	HygieneFeedDead           = "feed_dead"
	HygieneMixedContent       = "mixed_content"
	HygieneRedirectToPrimary  = "redirect_to_primary"
	HygieneRedirectToMirror   = "redirect_to_other_mirror"
	maxHygienePerKind         = 100
	maxHygieneURL             = 2048
	schemePlain, schemeSecure = "http://", "https://"
)

// hygieneList gathers entries, each kind and URL once, so many of a kind.
type hygieneList struct {
	entries []survey.Hygiene
	seen    map[string]bool
	count   map[string]int
}

func (h *hygieneList) add(kind, url, parent string) {
	if key := kind + " " + url; !h.seen[key] && h.count[kind] < maxHygienePerKind && len(url) <= maxHygieneURL {
		h.seen[key] = true
		h.count[kind]++
		h.entries = append(h.entries, survey.Hygiene{Kind: kind, URL: url, Parent: parent})
	}
}

// away adds an entry when host is another of the mirror set than the seat's own: one kind for the primary, one for the
// others.
func (h *hygieneList) away(site survey.Site, s *seat, host survey.Host, toPrimary, toMirror, url, parent string) {
	switch {
	case host == s.mirror.Host:
	case host == site.Primary().Host:
		h.add(toPrimary, url, parent)
	case inSite(site, host):
		h.add(toMirror, url, parent)
	}
}

// hygiene lists where the seat's page leads a reader away from the mirror or needs what is not there. A link whose text
// names the host it leads to is a deliberate pointer to another address and no entry.
func hygiene(sp SitePlan, seats []*seat, s *seat, jobs []*linkJob) []survey.Hygiene {
	h := &hygieneList{seen: map[string]bool{}, count: map[string]int{}}
	o, page := &s.visit.observation, s.visit.page
	if s.mirror.Role == survey.Primary {
		// The primary may link to its mirrors as it likes; what it needs from elsewhere is told like any mirror's.
		for _, q := range s.requisites {
			h.third(sp.Site, q)
		}
	} else {
		if len(o.Redirects) > 0 {
			h.away(sp.Site, s, hostOf(o.FinalURL), HygieneRedirectToPrimary, HygieneRedirectToMirror, o.FinalURL, o.URL)
		}
		for _, l := range page.Links {
			host := hostOf(l.URL)
			if inSite(sp.Site, host) && strings.Contains(strings.ToLower(l.Text), strings.TrimPrefix(string(host), "www.")) {
				continue
			}
			h.away(sp.Site, s, host, HygieneLinkToPrimary, HygieneLinkToMirror, l.URL, o.FinalURL)
		}
		for _, q := range s.requisites {
			h.away(sp.Site, s, hostOf(q.URL), HygieneRequisitePrimary, HygieneRequisiteMirror, q.URL, q.Parent)
			h.third(sp.Site, q)
		}
	}
	if strings.HasPrefix(o.FinalURL, schemeSecure) {
		for _, q := range s.requisites {
			if strings.HasPrefix(q.URL, schemePlain) {
				h.add(HygieneMixedContent, q.URL, q.Parent)
			}
		}
	}
	for _, job := range jobs {
		if job.seat != s || job.answer == nil {
			continue
		}
		switch job.kind {
		case markup.Page:
			if s.mirror.Role != survey.Primary && hostOf(job.address) == s.mirror.Host && job.answer.final != "" {
				h.away(sp.Site, s, hostOf(job.answer.final), HygieneRedirectToPrimary, HygieneRedirectToMirror, job.address, o.FinalURL)
			}
		case markup.Canonical:
			if job.result.State == LinkBroken {
				h.add(HygieneCanonicalDead, job.address, o.FinalURL)
			}
		case markup.FeedLink:
			if job.result.State == LinkBroken {
				h.add(HygieneFeedDead, job.address, o.FinalURL)
			}
		}
	}
	for _, dead := range deadNames(seats, s) {
		if hostOf(page.Canonical) == dead {
			h.add(HygieneCanonicalDead, page.Canonical, o.FinalURL)
		}
		for _, f := range page.Feeds {
			if hostOf(f) == dead {
				h.add(HygieneFeedDead, f, o.FinalURL)
			}
		}
	}
	return h.entries
}

// third adds a requisite from outside the mirror set that did not come.
func (h *hygieneList) third(site survey.Site, q seenRequisite) {
	if !inSite(site, hostOf(q.URL)) && linkState(&linkAnswer{outcome: q.outcome, challenge: q.challenge}) == LinkBroken && !q.bounded() {
		h.add(HygieneThirdHostFailed, q.URL, q.Parent)
	}
}

// deadNames are the hosts of the mirror set that did not answer the seat's vantage at all in this check.
func deadNames(seats []*seat, at *seat) []survey.Host {
	var dead []survey.Host
	for _, s := range seats {
		o := &s.visit.observation
		if !s.void && s.visitor.vantage.Name == at.visitor.vantage.Name && o.Status == nil && networkFailure(o.Outcome) && o.Outcome != survey.OwnNetwork {
			dead = append(dead, s.mirror.Host)
		}
	}
	return dead
}

// names notes that a mirror's page names another host of the mirror set as the place of the page or of its feed; whether that
// host is dead is known at the end of a crawl.
func (s *crawlStand) names(kind markup.Kind, host survey.Host, url, parent string) {
	if s.heads == nil {
		s.heads = map[string]survey.Hygiene{}
	}
	word := HygieneCanonicalDead
	if kind == markup.FeedLink {
		word = HygieneFeedDead
	}
	if key := word + " " + string(host); s.heads[key].URL == "" && len(url) <= maxHygieneURL {
		s.heads[key] = survey.Hygiene{Kind: word, URL: url, Parent: parent}
	}
}

// thirdHosts tells of requisites from outside the mirror set that the site's pages need and that do not come. A crawl asks for
// them with Settings.External only.
func (c *siteCrawl) thirdHosts(links []survey.Link) {
	primary := c.sp.Site.Primary().Host
	for _, l := range links {
		if len(l.Parents) == 0 || !markup.Kind(l.Kind).Requisite() || inSite(c.sp.Site, hostOf(l.Target)) {
			continue
		}
		for _, res := range l.Results {
			if res.State == LinkBroken {
				c.count(primary, func(s *crawlStand) { s.list.add(HygieneThirdHostFailed, l.Target, l.Parents[0]) })
			}
		}
	}
}
