package crawler

import (
	"context"
	"sync"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/survey"
)

const (
	// maxConfirmed is how many announced hosts a run visits for each site.
	maxConfirmed = 10
	// enoughArticles is how many articles a host must have before it counts as a mirror (classification.md 4: sampling).
	enoughArticles = 2
)

// confirmations gathers what a run found on announced hosts.
type confirmations struct {
	mu    sync.Mutex
	hosts map[string]*confirmation // site and host
	sites map[string]int
}

type confirmation struct {
	articles map[string]bool
	refuted  bool // it shows the article for what cannot exist, or something else for an article
}

// may reports whether the host may be visited, and counts it.
func (c *confirmations) may(site, host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hosts == nil {
		c.hosts, c.sites = map[string]*confirmation{}, map[string]int{}
	}
	key := site + " " + host
	if c.hosts[key] == nil {
		if c.sites[site] == maxConfirmed {
			return false
		}
		c.sites[site]++
		c.hosts[key] = &confirmation{articles: map[string]bool{}}
	}
	return true
}

func (c *confirmations) saw(site, host, article string, there, refuted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[site+" "+host]
	if there {
		h.articles[article] = true
	}
	h.refuted = h.refuted || refuted
}

// both reports whether the candidate has shown enough articles and nothing that speaks against it.
func (c *confirmations) both(cand survey.CandidateMirror) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[cand.Site+" "+cand.Host]
	return h != nil && !h.refuted && len(h.articles) >= enoughArticles
}

// confirm looks for the article on the hosts that its pages announce, from the site's first vantage, and marks those that by
// now have shown two. The transport's guard holds for them as for every address that comes out of a page; they are asked for
// the article and the decoys and nothing more, and what they announce themselves leads nowhere.
func (r *run) confirm(ctx context.Context, sp SitePlan, a survey.Article, seats []*seat, c compare.Case, j compare.Judgement, list []survey.CandidateMirror) error {
	var ref *seat
	for i, s := range seats {
		if j.Verdicts[i].State == survey.Up && s.visit.page != nil && !s.visit.insecure {
			ref = s
			break
		}
	}
	if ref == nil || len(sp.Vantages) == 0 {
		return nil // nothing to hold them against
	}
	v := ref.visitor
	for i := range list {
		if v.isStopped() {
			return nil
		}
		if !r.confirmed.may(sp.Site.Name, list[i].Host) {
			continue
		}
		m := survey.Mirror{Scheme: "https", Host: survey.Host(list[i].Host), Role: survey.Candidate}
		address, err := mapURL(a.URL, m, sp.Paths)
		if err != nil {
			continue
		}
		once := *v
		once.settings.Retries = 0
		seen, err := once.visit(ctx, m, a.URL, address)
		if err != nil {
			return err
		}
		if seen.page == nil || seen.insecure || seen.observation.Outcome != survey.OK {
			continue
		}
		decoys, err := r.decoys.views(ctx, &once, m, a.URL, address)
		if err != nil {
			return err
		}
		there := r.sameWork(c, ref, compare.View{Observation: &seen.observation, Page: seen.page, Decoys: decoys, Body: seen.body()}, m)
		refuted := false
		for _, d := range decoys {
			if d.Page == nil || d.Decoy.Kind == "root" {
				continue
			}
			o := seen.observation
			o.Body = nil // the decoy is another page, whatever the article's bytes are
			refuted = refuted || r.sameWork(c, ref, compare.View{Observation: &o, Page: d.Page}, m)
		}
		r.confirmed.saw(sp.Site.Name, list[i].Host, a.URL, there, refuted)
		list[i].Confirmed = r.confirmed.both(list[i])
	}
	return nil
}

// sameWork reports whether the view shows the article of the reference seat.
func (r *run) sameWork(c compare.Case, ref *seat, v compare.View, m survey.Mirror) bool {
	site := c.Site
	site.Mirrors = append(append([]survey.Mirror{}, site.Mirrors...), m)
	first := ref.visit.observation
	first.Role = survey.Primary // what the check found to be the article is what counts here
	j := judge(compare.Case{Site: site, Article: c.Article, Rules: c.Rules,
		Views: []compare.View{{Observation: &first, Page: ref.visit.page, Decoys: ref.decoys}, v}})
	switch j.Verdicts[1].Verdict {
	case survey.Identical, survey.SameArticle, survey.Altered:
		return j.Verdicts[1].PageClass == survey.ClassArticle
	}
	return false
}
