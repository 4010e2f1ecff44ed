package reports

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// The lists that stand apart from the matrix (peers.md 3, section 6 of the great report): redirects, slow answers,
// certificates, and how complete the mirrors are. Nothing in them counts for or against a mirror.

const (
	maxRedirects    = 200
	maxSlow         = 20
	maxCertificates = 200
	maxMissing      = 20 // articles that a mirror lacks
)

type (
	redirectRow struct{ Mirror, Where, Statuses, From, To, Articles string }
	slowRow     struct{ Mirror, Article, Total, First, Phases string }
	certRow     struct {
		chipd
		Mirror, Left, Until, UntilISO, Issuer, Digest, Version string
	}
	syncRow struct {
		Mirror, Present, Lag string
		Missing, Never       []string
	}
	crawlRow struct {
		Mirror, Equal, ByText, Differ, Note, Since string
		URLs, Pages, Broken, Unsure                int
	}
)

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// redirectRows lists the redirects of the article visits: those that lead alike from one mirror are one row, with the first
// of them as example; what leaves the mirror's host stands first.
func redirectRows(checks []survey.Check) (all []redirectRow, more string) {
	known := map[string]bool{}
	for ci := range checks {
		for i := range checks[ci].Mirrors {
			known[strings.ToLower(string(checks[ci].Mirrors[i].Mirror))] = true
		}
	}
	type key struct{ mirror, from, to, statuses string }
	type group struct {
		row  redirectRow
		n    int
		rank int
	}
	index := map[key]*group{}
	var order []*group
	for ci := range checks {
		for i := range checks[ci].Mirrors {
			f := &checks[ci].Mirrors[i]
			if len(f.Redirects) == 0 {
				continue
			}
			var statuses []string
			for n, hop := range f.Redirects {
				if n == 10 {
					statuses = append(statuses, "…")
					break
				}
				statuses = append(statuses, fmt.Sprint(hop.Status))
			}
			k := key{placeName(f), hostOf(f.Redirects[0].URL), hostOf(f.FinalURL), strings.Join(statuses, " → ")}
			g := index[k]
			if g == nil {
				g = &group{row: redirectRow{Mirror: Visible(k.mirror, 120), Statuses: k.statuses, From: Visible(f.Redirects[0].URL, 200), To: Visible(f.FinalURL, 200)}}
				switch {
				case k.to == "" || strings.TrimPrefix(k.from, "www.") == strings.TrimPrefix(k.to, "www."):
					g.row.Where = say["redirect-same"]
				case known[k.to]:
					g.row.Where, g.rank = fmt.Sprintf(say["redirect-mirror"], Visible(k.to, 120)), 1
				default:
					g.row.Where, g.rank = fmt.Sprintf(say["redirect-other"], Visible(k.to, 120)), 2
				}
				index[k], order = g, append(order, g)
			}
			g.n++
		}
	}
	slices.SortStableFunc(order, func(a, b *group) int { return b.rank - a.rank })
	for n, g := range order {
		if n == maxRedirects {
			return all, fmt.Sprintf(say["more"], len(order)-n)
		}
		g.row.Articles = articles(g.n)
		all = append(all, g.row)
	}
	return all, ""
}

// slowRows lists the visits that took more than a second and more than three times the run's median, the slowest first; the
// rule is returned in words. A failed visit is not slow but failed.
func slowRows(checks []survey.Check) (all []slowRow, rule string) {
	type visit struct {
		c *survey.Check
		f *survey.Finding
	}
	var list []visit
	var totals []float64
	for ci := range checks {
		for i := range checks[ci].Mirrors {
			if f := &checks[ci].Mirrors[i]; f.Timing.Total != nil && f.Verdict.Verdict != survey.FetchFailed {
				list = append(list, visit{&checks[ci], f})
				totals = append(totals, *f.Timing.Total)
			}
		}
	}
	if len(list) == 0 {
		return nil, ""
	}
	slices.Sort(totals)
	median := totals[(len(totals)-1)/2]
	bound := max(1000, 3*median)
	slow := list[:0]
	for _, v := range list {
		if *v.f.Timing.Total > bound {
			slow = append(slow, v)
		}
	}
	slices.SortStableFunc(slow, func(a, b visit) int { return cmp.Compare(*b.f.Timing.Total, *a.f.Timing.Total) })
	rule = fmt.Sprintf(say["slow-rule"], millis(bound), millis(median))
	for n, v := range slow {
		if n == maxSlow {
			rule += " " + fmt.Sprintf(say["more"], len(slow)-n) + "."
			break
		}
		title := v.c.Title
		if title == "" {
			title = v.c.URL
		}
		row := slowRow{Mirror: Visible(placeName(v.f), 120), Article: Visible(title, 200), Total: millis(*v.f.Timing.Total)}
		if ms := v.f.Timing.FirstByte; ms != nil {
			row.First = millis(*ms)
		}
		var phases []string
		for _, p := range []struct {
			name string
			ms   *float64
		}{{"DNS", v.f.Timing.DNS}, {say["connect"], v.f.Timing.Connect}, {"TLS", v.f.Timing.TLS}} {
			if p.ms != nil {
				phases = append(phases, p.name+" "+millis(*p.ms))
			}
		}
		row.Phases = strings.Join(phases, ", ")
		all = append(all, row)
	}
	return all, rule
}

func millis(ms float64) string { return duration(time.Duration(ms * float64(time.Millisecond))) }

// certificateRows lists each certificate that a mirror showed, the one that ends first on top. Two certificates of one mirror
// in one run are two rows: vantages may be shown different ones.
func certificateRows(checks []survey.Check, now time.Time) (all []certRow, more string) {
	type key struct{ mirror, digest string }
	type cert struct {
		tls   *survey.TLS
		where []string
	}
	index := map[key]*cert{}
	var order []key
	for ci := range checks {
		for i := range checks[ci].Mirrors {
			f := &checks[ci].Mirrors[i]
			if f.TLS == nil {
				continue
			}
			k := key{string(f.Mirror), f.TLS.SHA256}
			c := index[k]
			if c == nil {
				c = &cert{tls: f.TLS}
				index[k], order = c, append(order, k)
			}
			if f.Vantage != "" && !slices.Contains(c.where, f.Vantage) {
				c.where = append(c.where, f.Vantage)
			}
		}
	}
	slices.SortStableFunc(order, func(a, b key) int {
		x, y := index[a].tls.NotAfter, index[b].tls.NotAfter
		if x.IsZero() != y.IsZero() {
			return map[bool]int{true: 1, false: -1}[x.IsZero()]
		}
		return x.Compare(y)
	})
	for n, k := range order {
		if n == maxCertificates {
			return all, fmt.Sprintf(say["more"], len(order)-n)
		}
		c := index[k]
		row := certRow{Mirror: Visible(k.mirror, 120), Issuer: Visible(c.tls.Issuer, 200), Version: Visible(c.tls.Version, 20), Digest: Visible(k.digest, 16)}
		if len(c.where) > 0 && !(len(c.where) == 1 && c.where[0] == "direct") {
			row.Mirror = Visible(k.mirror+" "+fmt.Sprintf(say["seen-by"], strings.Join(c.where, ", ")), 200)
		}
		if row.Issuer == "" {
			row.Issuer = say["not-known"]
		}
		if len(k.digest) > 16 {
			row.Digest = Visible(k.digest[:16], 0) + "…"
		}
		row.Until, row.UntilISO = utc(c.tls.NotAfter), iso(c.tls.NotAfter)
		days := int(c.tls.NotAfter.Sub(now).Hours() / 24)
		switch {
		case c.tls.NotAfter.IsZero():
			row.chipd, row.Left = chip(survey.Unknown), say["not-known"]
			row.StateWord = say["not-known"]
		case c.tls.NotAfter.Before(now):
			row.chipd, row.Left = chip(survey.Down), say["expired"]
			row.StateWord = say["expired"]
		default:
			row.Left = plural(days, say["day"], say["many-days"])
			row.chipd = chip(survey.Up)
			row.StateWord = say["cert-valid"]
			if days < certWarnDays {
				row.chipd = chip(survey.Degraded)
				row.StateWord = say["cert-soon"]
			}
		}
		if !c.tls.Verified {
			row.chipd = chip(survey.Down)
			row.StateWord = say["cert-bad"]
		}
		all = append(all, row)
	}
	return all, ""
}

// certWarnDays is from how many days before its end on a certificate is marked.
const certWarnDays = 14

func syncRows(r survey.Report) (all []syncRow) {
	for _, s := range r.Sync {
		row := syncRow{Mirror: Visible(vantagePlace(string(s.Mirror), s.Vantage), 120), Present: fmt.Sprintf(say["of"], s.Present, s.Expected)}
		if s.WorstLag != nil {
			row.Lag = duration(seconds(s.WorstLag.Seconds))
			if s.WorstLag.Bound > 0 {
				row.Lag += fmt.Sprintf(say["plus-minus"], duration(seconds(s.WorstLag.Bound)))
			}
		}
		row.Missing, row.Never = some(s.Missing), some(s.NeverArrived)
		all = append(all, row)
	}
	return all
}

func some(list []string) (out []string) {
	for n, s := range list {
		if n == maxMissing {
			return append(out, fmt.Sprintf(say["more"], len(list)-n))
		}
		out = append(out, Visible(s, 200))
	}
	return out
}

// crawlRows has no comparison for a primary, with which the others are compared.
func crawlRows(r survey.Report) (all []crawlRow) {
	primary := map[place]bool{}
	for _, c := range r.Articles {
		for i := range c.Mirrors {
			if f := &c.Mirrors[i]; f.Role == survey.Primary {
				primary[place{c.Site, string(f.Mirror), f.Vantage}] = true
			}
		}
	}
	for _, c := range r.Crawls {
		row := crawlRow{Mirror: Visible(vantagePlace(string(c.Mirror), c.Vantage), 120), URLs: c.URLs, Pages: c.Pages, Broken: c.Broken, Unsure: c.NotJudged}
		if row.Equal, row.ByText, row.Differ = fmt.Sprint(c.Equal), fmt.Sprint(c.ByText), fmt.Sprint(c.Differ); primary[place{c.Site, string(c.Mirror), c.Vantage}] && c.Equal+c.ByText+c.Differ == 0 {
			row.Equal, row.ByText, row.Differ = "", "", ""
			row.Note = say["crawl-primary"]
		}
		if !c.Complete {
			row.Note = strings.TrimPrefix(row.Note+"; "+say["crawl-going-on"], "; ")
		}
		if !c.FirstSeen.IsZero() {
			row.Since = utc(c.FirstSeen)
		}
		all = append(all, row)
	}
	return all
}

func vantagePlace(mirror, vantage string) string {
	if vantage != "" && vantage != "direct" {
		return fmt.Sprintf(say["from-vantage"], mirror, vantage)
	}
	return mirror
}

func articles(n int) string { return plural(n, say["one-article"], say["many-articles"]) }

// size writes octets for people.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
