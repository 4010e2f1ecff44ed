package crawler

import (
	"context"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// decoys asks each mirror for what cannot exist, and for its root page: what it answers shows its template, and whether it
// answers anything with 200 (a soft 404, a parked name). Each is asked once per run, mirror, vantage and shape of address.
type decoys struct {
	mu    sync.Mutex
	asked map[string]*decoyAnswer
}

type decoyAnswer struct {
	once sync.Once
	view compare.DecoyView
	err  error
}

// views returns the mirror's answers for an article address.
func (d *decoys) views(ctx context.Context, v *visitor, m survey.Mirror, article, address string) ([]compare.DecoyView, error) {
	var views []compare.DecoyView
	for _, dec := range decoyAddresses(address, string(v.run)) {
		key := v.vantage.Name + "\x00" + string(m.Host) + "\x00" + dec.kind + "\x00" + dec.shape
		d.mu.Lock()
		if d.asked == nil {
			d.asked = map[string]*decoyAnswer{}
		}
		a := d.asked[key]
		if a == nil {
			a = &decoyAnswer{}
			d.asked[key] = a
		}
		d.mu.Unlock()
		a.once.Do(func() { a.view, a.err = v.decoy(ctx, m, article, dec) })
		if a.err != nil {
			return nil, a.err
		}
		if a.view.Decoy.URL != "" {
			views = append(views, a.view)
		}
	}
	return views, nil
}

type decoyAddress struct{ kind, url, shape string }

var (
	// An id is a run of four digits or more that is no year or part of a date (/2016/08/10/ has runs of 4, 2 and 2).
	longDigits = regexp.MustCompile(`\d{4,}`)
	digits     = regexp.MustCompile(`\d+`)
)

// decoyAddresses makes, from an article's address, one with an impossible id, one with a random path, and the root.
// For addresses keyed by an id the id must change, not the slug: many sites serve the article whatever the slug says
// (classification.md 1.6).
func decoyAddresses(address, seed string) []decoyAddress {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var out []decoyAddress
	if p, ok := impossibleID(u.Path); ok {
		c := *u
		c.Path, c.RawPath = p, ""
		out = append(out, decoyAddress{"id", c.String(), digits.ReplaceAllString(path.Dir(u.Path), "0")})
	} else if q := u.Query(); len(q) > 0 {
		for _, k := range []string{"id", "p", "article", "articleid", "newsid"} {
			if v := q.Get(k); v != "" && digits.MatchString(v) {
				q.Set(k, "99999999999")
				c := *u
				c.RawQuery = q.Encode()
				out = append(out, decoyAddress{"id", c.String(), k})
				break
			}
		}
	}
	random := *u
	random.Path, random.RawPath, random.RawQuery = "/decoy-"+strings.ToLower(strings.NewReplacer("-", "", "T", "", "Z", "").Replace(seed)), "", ""
	root := *u
	root.Path, root.RawPath, root.RawQuery = "/", "", ""
	return append(out, decoyAddress{"path", random.String(), ""}, decoyAddress{"root", root.String(), ""})
}

// impossibleID replaces the article's id in a path by one that no site has reached. The id is the last long run of digits
// that is no year; a year alone is no id.
func impossibleID(p string) (string, bool) {
	spans := longDigits.FindAllStringIndex(p, -1)
	for i := len(spans) - 1; i >= 0; i-- {
		s, e := spans[i][0], spans[i][1]
		run := p[s:e]
		if len(run) == 4 && (strings.HasPrefix(run, "19") || strings.HasPrefix(run, "20")) {
			continue
		}
		if len(run) == 8 && strings.HasPrefix(run, "20") {
			continue // 20160810
		}
		return p[:s] + "99999999999" + p[e:], true
	}
	return "", false
}

func (v *visitor) decoy(ctx context.Context, m survey.Mirror, article string, d decoyAddress) (compare.DecoyView, error) {
	if v.isStopped() {
		return compare.DecoyView{}, nil
	}
	purpose := survey.ForDecoy
	if d.kind == "root" {
		purpose = survey.ForRoot
	}
	probe := survey.Probe{ID: newID(), Run: v.run, Article: article, Mirror: m.Host, Vantage: v.vantage.Name, Purpose: purpose, Attempt: 1}
	c, err := v.follow(ctx, question{probe: probe, url: d.url, timeout: v.settings.whole()}, v.settings.MaxHops, content.Options{Hosts: v.hosts})
	if err != nil {
		return compare.DecoyView{}, err
	}
	view := compare.DecoyView{Page: c.page, Decoy: survey.Decoy{Kind: d.kind, URL: d.url, Outcome: c.outcome, Final: c.final}}
	if ex := c.exchange(); ex != nil {
		view.Decoy.Status = ex.Status
		capture := c.last().capture
		if capture.RecordID != "" {
			view.Decoy.Capture = &capture
		}
	}
	return view, nil
}
