package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"regexp"
	"slices"
	"strings"

	"mirrorwatch/crawler/survey"
)

// A File is one file of the report's folder; Write writes it whole.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// Extras are the files beside the pages, in the order in which the first page names them.
var Extras = []string{"report.json", "checks.csv", "incidents.atom", "metrics.prom"}

// ArticleFile is the name of an article's page: the same in every run.
func ArticleFile(site, url string) string {
	sum := sha256.Sum256([]byte(site + "\x00" + url))
	return "article-" + hex.EncodeToString(sum[:6]) + ".html"
}

// BadgeFile is the name of a mirror's badge: badge-www.example.org.svg, a port behind an underscore.
func BadgeFile(h survey.Host) string {
	name := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, Visible(string(h), 100))
	return "badge-" + name + ".svg"
}

var fileName = regexp.MustCompile(`^(article-[0-9a-f]{12}\.html|rows-[0-9]{1,6}\.html|badge-[0-9a-z._-]{1,200}\.svg|report\.json|checks\.csv|incidents\.atom|metrics\.prom|index\.html)$`)

// IsFile reports whether Files may yield a file of that name.
func IsFile(name string) bool { return fileName.MatchString(name) }

func rowsFile(n int) string { return fmt.Sprintf("rows-%d.html", n) }

// Files yields the whole report folder: the articles' pages, further pages of rows, the same as data, a badge for each
// mirror, and index.html last, so that what it names is there by then.
func Files(v View) iter.Seq[File] {
	v.Linked = true
	return func(yield func(File) bool) {
		about := newGroups(v)
		for i := range v.Report.Articles {
			c := &v.Report.Articles[i]
			if !yield(File{ArticleFile(c.Site, c.URL), func(w io.Writer) error { return render(w, "article", about.page(v, c)) }}) {
				return
			}
		}
		all := matrices(v)
		for n := 2; n <= all.pages(); n++ {
			if !yield(File{rowsFile(n), func(w io.Writer) error {
				state, sentence := Sentence(v.Report)
				p := frame(v, state, sentence)
				p.Back, p.Matrices = true, all.page(n)
				return render(w, "rows", p)
			}}) {
				return
			}
		}
		for _, f := range []File{
			{"report.json", func(w io.Writer) error { return JSON(w, v.Report) }},
			{"checks.csv", func(w io.Writer) error { return CSV(w, v.Report) }},
			{"incidents.atom", func(w io.Writer) error { return Atom(w, v) }},
			{"metrics.prom", func(w io.Writer) error { return Metrics(w, v) }},
		} {
			if !yield(f) {
				return
			}
		}
		_, hosts := tally(v.Report)
		for _, h := range hosts {
			if !yield(File{BadgeFile(h), func(w io.Writer) error { return Badge(w, v.Report, h) }}) {
				return
			}
		}
		yield(File{"index.html", func(w io.Writer) error { return HTML(w, v) }})
	}
}

// groups are the parts of a view by article, so that a page each costs no search.
type groups struct {
	snapshots map[survey.Article][]survey.SnapshotRow
	states    map[survey.Article][]survey.StateInterval
	incidents map[survey.Article][]survey.IncidentRow
	links     map[string][]survey.Link // by parent
}

func newGroups(v View) groups {
	g := groups{map[survey.Article][]survey.SnapshotRow{}, map[survey.Article][]survey.StateInterval{}, map[survey.Article][]survey.IncidentRow{}, map[string][]survey.Link{}}
	for _, s := range v.Snapshots {
		k := survey.Article{Site: s.Site, URL: s.Article}
		g.snapshots[k] = append(g.snapshots[k], s)
	}
	for _, s := range v.States {
		k := survey.Article{Site: s.Site, URL: s.Article}
		g.states[k] = append(g.states[k], s)
	}
	for _, in := range v.Incidents {
		k := survey.Article{Site: in.Site, URL: in.Article}
		g.incidents[k] = append(g.incidents[k], in)
	}
	for _, l := range v.Report.Links {
		if slices.ContainsFunc(l.Results, func(r survey.LinkResult) bool { return r.State == "broken" }) {
			for _, parent := range l.Parents {
				g.links[parent] = append(g.links[parent], l)
			}
		}
	}
	return g
}

// page is the page of one article: everything that the view knows about it.
func (g groups) page(v View, c *survey.Check) pageData {
	k := survey.Article{Site: c.Site, URL: c.URL}
	v.Report.Articles = []survey.Check{*c}
	v.Snapshots, v.States, v.Incidents, v.Runs = g.snapshots[k], g.states[k], g.incidents[k], nil
	state, sentence := Sentence(v.Report)
	p := frame(v, state, sentence)
	p.Back = true
	if c.Title != "" {
		p.Title = Visible(c.Title, 150) + ": " + p.Title
	}
	v.Linked = false
	p.Matrices = matrices(v)
	for _, said := range conclusions(c) {
		p.Conclusions = append(p.Conclusions, conclusionLine(said))
	}
	p.Changes, p.ChangesMore = changes(v.Report.Articles, 200)
	p.Broken, p.BrokenMore = brokenRows(g.links[c.URL])
	history(&p, v)
	return p
}
