package reports

import (
	"fmt"
	"io"

	"mirrorwatch/crawler/survey"
)

// maxHygiene is how many places the page shows at which a mirror does not stand alone.
const maxHygiene = 200

// hygieneRow is one address that a mirror's pages need or lead to although it is elsewhere, or does not answer.
type hygieneRow struct{ Mirror, Kind, URL, Parent string }

// hygieneRows lists each kind and address of a mirror once, from the articles and from the crawls of whole sites.
func hygieneRows(r survey.Report) (all []hygieneRow, more string) {
	type key struct{ mirror, kind, url string }
	at := map[key]int{}
	parents := map[key]map[string]bool{}
	left := 0
	add := func(mirror survey.Host, vantage string, list []survey.Hygiene) {
		for _, h := range list {
			k := key{vantagePlace(string(mirror), vantage), h.Kind, h.URL}
			if parents[k] == nil {
				if parents[k] = map[string]bool{}; len(all) == maxHygiene {
					left++
				} else {
					at[k] = len(all)
					all = append(all, hygieneRow{Visible(k.mirror, 120), hygieneWords(h.Kind), Visible(h.URL, 300), Visible(h.Parent, 200)})
				}
			}
			parents[k][h.Parent] = true
		}
	}
	for _, c := range r.Articles {
		for i := range c.Mirrors {
			add(c.Mirrors[i].Mirror, c.Mirrors[i].Vantage, c.Mirrors[i].Hygiene)
		}
	}
	for _, c := range r.Crawls {
		add(c.Mirror, c.Vantage, c.Hygiene)
	}
	for k, i := range at {
		if n := len(parents[k]); n > 1 {
			all[i].Parent += " " + fmt.Sprintf(say["more"], n-1)
		}
	}
	if left > 0 {
		more = fmt.Sprintf(say["more"], left)
	}
	return all, more
}

func hygieneWords(kind string) string {
	if t := hygieneText[kind]; t != "" {
		return t
	}
	return spaced(kind)
}

// textSites writes what belongs to whole sites and not to one article: broken targets, each once with all mirrors that
// answer alike; what could not be judged; where mirrors do not stand alone; crawls and arrivals.
func textSites(out io.Writer, r survey.Report, p painter) {
	const most = 20
	rows, _ := brokenRows(r.Links)
	if n := brokenLinks(r); n > 0 {
		fmt.Fprintf(out, "\n%s:\n", plural(n, say["one-broken-link"], say["many-broken-links"]))
		for i, b := range rows {
			if i == most {
				fmt.Fprintf(out, textAndMore+"\n", n-most)
				break
			}
			fmt.Fprintf(out, "  %s %s\n", p.state(survey.Down, "✕"), b.Target)
			for _, on := range b.On {
				fmt.Fprintf(out, "      %s\n", on)
			}
			if b.Parents != "" {
				fmt.Fprintf(out, "      %s\n", p.faint(fmt.Sprintf(say["t-on"], b.Parents)))
			}
		}
	}
	type why struct {
		mirror  string
		outcome survey.Outcome
	}
	unjudged := map[why]int{}
	var order []why
	for _, l := range r.Links {
		for _, res := range l.Results {
			if res.State != "not_judged" {
				continue
			}
			k := why{vantagePlace(string(res.Mirror), res.Vantage), res.Outcome}
			if unjudged[k]++; unjudged[k] == 1 {
				order = append(order, k)
			}
		}
	}
	if len(order) > 0 {
		fmt.Fprintln(out, "\n"+say["t-unjudged"]+":")
		for i, k := range order {
			if i == most {
				fmt.Fprintf(out, textAndMore+"\n", len(order)-most)
				break
			}
			fmt.Fprintf(out, "  ? "+say["t-links-on"]+"\n", plural(unjudged[k], say["one-link"], say["many-links"]), Visible(k.mirror, 120), outcomeWords(k.outcome))
		}
	}
	if alone, _ := hygieneRows(r); len(alone) > 0 {
		fmt.Fprintln(out, "\n"+say["t-alone"]+":")
		for i, h := range alone {
			if i == most {
				fmt.Fprintln(out, "  "+say["t-more-in-report"])
				break
			}
			fmt.Fprintf(out, "  %s %s: %s: %s\n", p.state(survey.Degraded, "▲"), h.Mirror, h.Kind, h.URL)
			fmt.Fprintf(out, "      %s\n", p.faint(fmt.Sprintf(say["t-on"], h.Parent)))
		}
	}
	if len(r.Crawls) > 0 {
		fmt.Fprintln(out, "\n"+say["t-sites"]+":")
	}
	for _, c := range r.Crawls {
		line := fmt.Sprintf("%s: %s, %s", vantagePlace(string(c.Mirror), c.Vantage), plural(c.URLs, say["one-address"], say["many-addresses"]), plural(c.Pages, say["one-page"], say["many-pages"]))
		if n := c.Equal + c.ByText + c.Differ; n > 0 {
			line += "; " + fmt.Sprintf(say["t-crawl-same"], c.Equal, c.ByText, c.Differ)
		}
		line += "; " + fmt.Sprintf(say["t-crawl-bad"], c.Broken, c.NotJudged)
		for i, t := range c.Traps {
			if i == 0 {
				line += "; " + say["t-traps"]
			}
			line += " " + t
		}
		if !c.At.IsZero() && c.At.Before(r.Run.Started) {
			line += "; " + fmt.Sprintf(say["t-crawled"], utc(c.At))
		}
		if !c.Complete {
			line += "; " + say["t-crawl-on"]
		}
		fmt.Fprintf(out, "  %s\n", Visible(line, 600))
	}
	if len(r.Sync) > 0 {
		fmt.Fprintln(out, "\n"+say["t-newest"]+":")
	}
	for _, s := range r.Sync {
		line := fmt.Sprintf(say["t-there"], vantagePlace(string(s.Mirror), s.Vantage), s.Present, s.Expected)
		if s.WorstLag != nil {
			line += ", " + fmt.Sprintf(say["t-late"], duration(seconds(s.WorstLag.Seconds)))
			if s.WorstLag.Bound > 0 {
				line += " (" + fmt.Sprintf(say["t-known-to"], duration(seconds(s.WorstLag.Bound))) + ")"
			}
		}
		if n := len(s.Missing); n > 0 {
			line += "; " + fmt.Sprintf(say["t-missing"], n, s.Missing[0])
			if n > 1 {
				line += " " + fmt.Sprintf(say["more"], n-1)
			}
		}
		if n := len(s.NeverArrived); n > 0 {
			line += "; " + fmt.Sprintf(say["t-never"], n)
		}
		fmt.Fprintf(out, "  %s\n", Visible(line, 600))
	}
}
