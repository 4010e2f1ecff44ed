package crawler

import (
	"net/http"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

const harbourFeed = `<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour Post</title>
<item><title>old</title><link>https://www.harbour.example/old</link><pubDate>Mon, 05 Jan 2026 10:00:00 GMT</pubDate></item>
<item><title>new</title><link>https://www.harbour.example/new?utm_source=rss</link><pubDate>Wed, 07 Jan 2026 10:00:00 GMT</pubDate></item>
<item><title>elsewhere</title><link>https://foreign.example/story</link><pubDate>Thu, 08 Jan 2026 10:00:00 GMT</pubDate></item>
<item><title>by its mirror's name</title><link>https://m.harbour.example/middle</link><pubDate>Tue, 06 Jan 2026 10:00:00 GMT</pubDate></item>
</channel></rss>`

const (
	harbourIndex   = `<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>https://www.harbour.example/map1.xml.gz</loc></sitemap><sitemap><loc>https://foreign.example/map.xml</loc></sitemap></sitemapindex>`
	harbourSitemap = `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://www.harbour.example/newest</loc><lastmod>2026-01-09T08:00:00Z</lastmod></url></urlset>`
)

// TestSync: the newest articles of feeds and sitemaps are checked on every mirror, hosts outside the mirror set never; each
// mirror's lag has a bound, and what has not arrived is named.
func TestSync(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	w := newWorld(t)
	story := func(host string) http.HandlerFunc { return page(200, articlePage(host)) }
	w.serve(primary, newspaper{host: primary, extra: map[string]http.HandlerFunc{
		"/rss.xml": text("application/rss+xml", harbourFeed), "/sitemap.xml": text("application/xml", harbourIndex), "/map1.xml.gz": text("application/gzip", string(gzipped(harbourSitemap))),
		"/new": story(primary), "/middle": story(primary), "/old": story(primary), "/newest": story(primary)}})
	w.serve(mirror, newspaper{host: mirror, extra: map[string]http.HandlerFunc{"/new": story(mirror), "/middle": story(mirror), "/old": story(mirror)}})
	w.refuse("foreign.example")
	p := w.plan(primary, mirror)
	sp := &p.Sites[0]
	at := "https://" + primary
	sp.Articles, sp.Feeds, sp.Sitemaps, sp.Newest = nil, []string{at + "/rss.xml"}, []string{at + "/sitemap.xml"}, 3
	sp.Settings.Links = "none"
	published := time.Date(2026, 1, 7, 10, 0, 0, 0, time.UTC)
	first := published.Add(10 * time.Minute)
	w.arrivals = map[string][2]time.Time{
		primary + " " + at + "/new": {first, {}},
		mirror + " " + at + "/new":  {first.Add(2 * time.Hour), first.Add(time.Hour)},
	}
	r := w.run(p)
	var got []string
	for _, c := range r.Articles {
		got = append(got, c.URL)
		for _, f := range c.Mirrors {
			if f.Mirror != mirror {
				continue
			}
			switch c.URL {
			case at + "/new":
				if f.Lag == nil || *f.Lag != (survey.Lag{Seconds: 7800, Bound: 3600}) {
					t.Errorf("lag of the new article: %+v", f.Lag)
				}
			case at + "/newest":
				if f.Lag != nil || len(f.Notes) == 0 {
					t.Errorf("an article that has not arrived: lag %v, notes %q", f.Lag, f.Notes)
				}
			}
		}
	}
	if want := []string{at + "/newest", at + "/new", at + "/middle"}; len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("checked %v, want %v", got, want)
	}
	for _, s := range r.Sync {
		present, missing := 3, 0
		if s.Mirror == mirror {
			present, missing = 2, 1
		}
		if s.Expected != 3 || s.Present != present || len(s.Missing) != missing {
			t.Errorf("completeness: %+v", s)
		}
	}
	for _, a := range r.Sync[1].Arrivals {
		switch a.Article {
		case at + "/new":
			if a.State != survey.ArrivalPresent || a.Published == nil || !a.Published.Equal(published) || a.FirstSeen == nil || !a.FirstSeen.Equal(first.Add(2*time.Hour)) || a.Lag == nil {
				t.Errorf("what arrived: %+v", a)
			}
		case at + "/newest":
			if a.State != survey.ArrivalMissing || a.FirstSeen != nil || a.Lag != nil {
				t.Errorf("what did not arrive: %+v", a)
			}
		}
	}
	if len(r.Sync) != 2 || len(r.Sync[1].Arrivals) != 3 {
		t.Errorf("%d rows of completeness", len(r.Sync))
	}
	for _, e := range w.exchange {
		if hostOf(e.URL) == "foreign.example" {
			t.Errorf("asked %s, which is outside the mirror set", e.URL)
		}
	}
}

func TestLag(t *testing.T) {
	at := func(m int) time.Time { return time.Date(2026, 1, 1, 0, m, 0, 0, time.UTC) }
	for _, tc := range []struct {
		name            string
		primary, mirror arrival
		want            *survey.Lag
	}{
		{"nothing known of when the primary got it", arrival{By: at(5)}, arrival{By: at(5)}, nil},
		{"not there yet", arrival{at(1), at(5)}, arrival{After: at(5)}, nil},
		{"the same run on both", arrival{at(1), at(5)}, arrival{at(1), at(5)}, &survey.Lag{Seconds: 240, Bound: 240}},
		{"two runs later", arrival{at(0), at(5)}, arrival{at(10), at(15)}, &survey.Lag{Seconds: 900, Bound: 600}},
		{"there at the first look", arrival{at(0), at(5)}, arrival{By: at(15)}, &survey.Lag{Seconds: 900, Bound: 900}},
	} {
		got := lag(tc.primary, tc.mirror)
		if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}
