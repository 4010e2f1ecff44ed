package reports

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

//go:embed page.tmpl
var pageText string

//go:embed style.css
var styleFile []byte

//go:embed script.js
var scriptFile []byte

// Style and script as they stand in the page: the policy's hashes are theirs.
var styleText, scriptText = string(squeeze(bytes.Clone(styleFile))), string(squeeze(bytes.Clone(scriptFile)))

var page = template.Must(template.New("page").Parse(withTexts(pageText)))

var textPlace = regexp.MustCompile(`\{\{t "([^"]*)"\}\}`)

// withTexts puts the catalogue's texts where a template says {{t "name"}}: once, not each time a page is written. They
// stand in elements and attributes only, for which they are escaped. A name that is not there ends the program.
func withTexts(text string) string {
	return textPlace.ReplaceAllStringFunc(text, func(place string) string {
		name := textPlace.FindStringSubmatch(place)[1]
		words, ok := say[name]
		if !ok {
			panic(fmt.Sprintf("no text %q in the catalogue", name))
		}
		return strings.NewReplacer("+", "&#43;", "{{", "{&#123;").Replace(template.HTMLEscapeString(words))
	})
}

// Policy is the Content-Security-Policy of every page: its own style, its own small script, which sorts and filters, and no
// request to anywhere.
var Policy = "default-src 'none'; style-src '" + hash(styleText) + "'; script-src '" + hash(scriptText) + "'; img-src data:; base-uri 'none'; form-action 'none'"

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Bounds of a page; what is left out is said where it would stand.
const (
	maxRows       = 1000 // rows of a matrix on one page; the rest is on further pages
	maxCells      = 3000 // cells likewise
	maxFull       = 50   // articles whose cells hold their evidence; with more it stands on the article's own page
	maxReasons    = 250  // articles whose short cells hold a reason, and whose rows hold their address beside a title
	maxBroken     = 1000
	maxNotJudged  = 100
	maxCandidates = 200
	maxSnapshots  = 100
	maxStates     = 100
	maxRuns       = 50
	maxIncidents  = 300
	maxChanged    = 50 // addresses whose differences a page shows
	maxChanges    = 20 // differences of one address
	maxSaid       = 200
)

// HTML writes the report's first page, self-contained: it asks the network for nothing, is complete without its script, and
// is the same bytes for the same View. Links to further pages of the report stand in it only when v.Linked is set.
func HTML(w io.Writer, v View) error {
	return render(w, "index", newPage(v))
}

func render(w io.Writer, name string, p pageData) error {
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, name, p); err != nil {
		return fmt.Errorf("writing the report page: %w", err)
	}
	if _, err := w.Write(squeeze(b.Bytes())); err != nil {
		return fmt.Errorf("writing the report page: %w", err)
	}
	return nil
}

// squeeze drops the empty lines that conditions in the template leave.
func squeeze(page []byte) []byte {
	out := page[:0]
	for line := range bytes.Lines(page) {
		if len(bytes.TrimSpace(line)) > 0 {
			out = append(out, line...)
		}
	}
	return out
}

type (
	fact  struct{ Name, Value, ISO string }
	chipd struct {
		State           survey.State
		Mark, StateWord string
	}
	pageData struct {
		chipd
		CSP                     string
		Style                   template.CSS
		Script                  template.JS
		Back                    bool
		Title, Sentence, Detail string
		Started, StartedISO     string
		Due, DueISO             string
		Stale                   bool
		Footer                  string
		Warnings                []string
		Facts                   []fact
		Cards                   []card
		Fresh                   []stateRow
		Matrices                []matrix
		MorePages, Also         []file
		Conclusions             []string
		Changes                 []changed
		Broken                  []broken
		NotJudged               []unsure
		Redirects               []redirectRow
		Slow                    []slowRow
		SlowRule, FreshNone     string
		FreshLinks              []string
		Certificates            []certRow
		Sync                    []syncRow
		Crawls                  []crawlRow
		Alone                   []hygieneRow
		Months                  []month
		Gloss                   []gloss
		StateNames              []string
		// What was left out, said where it would stand.
		BrokenMore, AloneMore, RedirectsMore, CertificatesMore, SnapshotsMore, ChangesMore, CandidatesMore, FreshMore, StatesMore, IncidentsMore, RunsMore string

		// Of a page that shows the difference of two texts.
		Sides      []diffSide
		Paragraphs [][]DiffPiece

		Candidates []candidate
		Incidents  []incidentRow
		States     []stateRow
		Runs       []runRow
		Snapshots  []snapshotRow
	}
	card struct {
		chipd
		ID, Mirror, Role, Words, Since, SinceISO string
		Windows                                  []window
		Certificate, Family, Lag                 string
		Spark                                    []string
		SparkLabel, TroubleName                  string
		Strip                                    []bar
		StripLabel                               string
		Trouble                                  []string
	}
	window struct{ Name, Share, Ratio string }
	bar    struct{ Rects []rect }
	rect   struct {
		Class   string
		X, Y, H string
	}
	matrix struct {
		Caption string
		Long    bool // few articles, many addresses: a table per article reads better than a wide one
		Lean    bool // many articles: short cells
		Columns []string
		Rows    []matrixRow
	}
	matrixRow struct {
		Title, URL, Reference, File string
		Lang                        string
		Cells                       []cell
		rank                        int
	}
	cell struct {
		chipd
		Seen                                                   bool
		Mirror, Words, Reason, Meta, Snapshot, Replay, Command string
		More                                                   []string
	}
	changed struct {
		Mirror, Title, More string
		Lang                string
		List                []change
	}
	change struct {
		Kind                 string
		Reference, Candidate []piece
	}
	file   struct{ Name, File string }
	unsure struct {
		Text    string
		Targets []string
	}
	gloss struct {
		chipd
		Name, Text string
	}
	count struct {
		Name string
		N    int
	}
	broken struct {
		Target, Kind, Parents string
		On                    []string
	}
	candidate   struct{ Host, Rule, Evidence, Confirmed string }
	incidentRow struct{ ID, Began, Where, Cause, State, Lasted, Told string }
	stateRow    struct {
		chipd
		ISO, When, Mirror, Article, From, Words, Last string
	}
	runRow struct {
		ISO, When, Took, Note string
		Counts                []count
	}
	snapshotRow struct {
		chipd
		ID, Name, Replay, Words, Seen, Command, File, Digest string
	}
)

func chip(s survey.State) chipd {
	switch s {
	case survey.Up, survey.Degraded, survey.Down:
		return chipd{s, mark(s), stateText[s]}
	}
	return chipd{survey.Unknown, mark(survey.Unknown), stateText[survey.Unknown]}
}

func iso(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// frame is what every page of the report has: headline, banner, warnings, footer.
func frame(v View, state survey.State, sentence string) pageData {
	r := v.Report
	// The colon before the list of hosts ends the headline: ports and titles have no space behind theirs.
	headline, detail, found := strings.Cut(sentence, ": ")
	if found {
		headline += "."
	}
	tool := strings.TrimSpace(r.Run.Tool.Name + " " + r.Run.Tool.Version)
	p := pageData{
		chipd: chip(state), CSP: Policy, Style: template.CSS(styleText), Script: template.JS(scriptText), // our own files
		Title: Visible(headline, 200), Sentence: Visible(headline, 2000), Detail: Visible(detail, 2000),
		Started: utc(r.Run.Started), StartedISO: iso(r.Run.Started),
		Footer:   fmt.Sprintf(say["footer"], Visible(tool, 100), Visible(string(r.Run.ID), 100)),
		Warnings: warnings(r),
	}
	if r.Run.NextDue != nil {
		p.Due, p.DueISO = fmt.Sprintf(say["stale"], utc(*r.Run.NextDue)), iso(*r.Run.NextDue)
		p.Stale = written(v).After(*r.Run.NextDue)
	}
	return p
}

// written is when the page is made, as far as it may say so.
func written(v View) time.Time {
	switch {
	case !v.Now.IsZero():
		return v.Now
	case !v.Report.Run.Finished.IsZero():
		return v.Report.Run.Finished
	}
	return v.Report.Run.Started
}

func newPage(v View) pageData {
	r, now := v.Report, written(v)
	state, sentence := Sentence(r)
	p := frame(v, state, sentence)
	p.Facts = facts(r)
	p.Cards = cards(v, now)
	all := matrices(v)
	p.Matrices = all.first()
	for n := 2; n <= all.pages() && v.Linked; n++ {
		p.MorePages = append(p.MorePages, file{fmt.Sprintf(say["page"], n), rowsFile(n)})
	}
	for i := range r.Articles {
		for _, k := range conclusions(&r.Articles[i]) {
			p.Conclusions = append(p.Conclusions, conclusionLine(k))
		}
	}
	if n := len(p.Conclusions); n > maxSaid {
		p.Conclusions = append(p.Conclusions[:maxSaid], fmt.Sprintf(say["more"], n-maxSaid))
	}
	most := maxChanged
	if len(r.Articles) > maxFull {
		most = maxChanged / 4 // the articles' own pages have them all
	}
	p.Changes, p.ChangesMore = changes(r.Articles, most)
	p.Broken, p.BrokenMore = brokenRows(r.Links)
	p.NotJudged = notJudged(r)
	p.Redirects, p.RedirectsMore = redirectRows(r.Articles)
	p.Slow, p.SlowRule = slowRows(r.Articles)
	p.Certificates, p.CertificatesMore = certificateRows(r.Articles, now)
	p.Sync, p.Crawls = syncRows(r), crawlRows(r)
	p.Alone, p.AloneMore = hygieneRows(r)
	for i, c := range r.Candidates {
		if i == maxCandidates {
			p.CandidatesMore = fmt.Sprintf(say["more"], len(r.Candidates)-i)
			break
		}
		confirmed := say["confirmed-no"]
		if c.Confirmed {
			confirmed = say["confirmed-yes"]
		}
		p.Candidates = append(p.Candidates, candidate{Visible(string(c.Host), 200), Visible(spaced(c.Rule), 60), Visible(c.Evidence, 400), confirmed})
	}
	for i := range v.States {
		s := v.States[i]
		if s.Before == "" || s.First.Before(r.Run.Started) {
			continue
		}
		if len(p.Fresh) == maxStates {
			p.FreshMore = fmt.Sprintf(say["more"], len(v.States)-i)
			break
		}
		p.Fresh = append(p.Fresh, newStateRow(s))
	}
	p.FreshLinks = freshLinks(v)
	switch {
	case r.Run.Void, len(r.Articles) == 0:
		p.FreshNone = say["changed-no-data"]
	default:
		p.FreshNone = say["changed-none"]
	}
	history(&p, v)
	for _, s := range []survey.State{survey.Up, survey.Degraded, survey.Down, survey.Unknown} {
		p.StateNames = append(p.StateNames, stateText[s])
		p.Gloss = append(p.Gloss, gloss{chip(s), "", say["g-"+string(s)]})
	}
	p.Gloss = append(p.Gloss, gloss{Name: say["availability"], Text: say["g-availability"]})
	for _, n := range []string{"strip", "lag", "reference", "void", "vantage", "snapshot"} {
		p.Gloss = append(p.Gloss, gloss{Name: say["n-"+n], Text: say["g-"+n]})
	}
	if v.Linked {
		for _, f := range Extras {
			p.Also = append(p.Also, file{f, f})
		}
	}
	return p
}

func conclusionLine(k survey.Conclusion) string {
	where := string(k.Mirror)
	if k.Vantage != "" {
		where = fmt.Sprintf(say["from-vantage"], where, k.Vantage)
	}
	return Visible(fmt.Sprintf(say["conclusion"], where, spaced(k.Say), k.Confidence, k.Why), 500)
}

func warnings(r survey.Report) (all []string) {
	if r.Run.Void {
		all = append(all, say["void"])
	} else if len(r.Run.VoidVantages) > 0 {
		all = append(all, fmt.Sprintf(say["void-vantages"], Visible(strings.Join(r.Run.VoidVantages, ", "), 300)))
	}
	if !r.Run.Complete {
		why := ""
		if r.Run.StoppedBy != nil {
			why = " (" + spaced(*r.Run.StoppedBy) + ")"
		}
		all = append(all, fmt.Sprintf(say["cut"], Visible(why, 200)))
	}
	return all
}

// notJudged lists what the run cannot tell about by mirror and reason: articles, then link targets.
func notJudged(r survey.Report) (all []unsure) {
	void := voidVantages(r.Run)
	type key struct{ mirror, why string }
	count := map[key]int{}
	var order []key
	for ci := range r.Articles {
		for i := range r.Articles[ci].Mirrors {
			f := &r.Articles[ci].Mirrors[i]
			if stateOf(f, void) != survey.Unknown {
				continue
			}
			k := key{placeName(f), reasonWords(f)}
			if void[f.Vantage] {
				k.why = reasonText[survey.ReasonVoid]
			}
			if count[k]++; count[k] == 1 {
				order = append(order, k)
			}
		}
	}
	for _, k := range order {
		all = append(all, unsure{Text: Visible(k.mirror+": "+k.why+" ("+articles(count[k])+")", 400)})
	}
	targets := map[key][]string{}
	order = nil
	for _, l := range r.Links {
		for _, res := range l.Results {
			if res.State == "not_judged" {
				k := key{vantagePlace(string(res.Mirror), res.Vantage), outcomeWords(res.Outcome)}
				if len(targets[k]) == 0 {
					order = append(order, k)
				}
				targets[k] = append(targets[k], l.Target)
			}
		}
	}
	for _, k := range order {
		all = append(all, unsure{Visible(k.mirror+": "+k.why+" ("+plural(len(targets[k]), say["one-target"], say["many-targets"])+")", 400), some(targets[k])})
	}
	if n := len(all); n > maxNotJudged {
		all = append(all[:maxNotJudged], unsure{Text: fmt.Sprintf(say["more"], n-maxNotJudged)})
	}
	return all
}

// freshLinks lists the targets that are broken since this run, each once; none when there was no run before it to compare
// with.
func freshLinks(v View) (all []string) {
	if len(v.Runs) < 2 || v.Report.Run.Void {
		return nil
	}
	for _, l := range v.Report.Links {
		for _, res := range l.Results {
			if res.State == "broken" && !res.FirstSeen.Before(v.Report.Run.Started) {
				all = append(all, l.Target)
				break
			}
		}
	}
	return some(all)
}

// placeName is the mirror, and the vantage when it is not the direct one.
func placeName(f *survey.Finding) string {
	return vantagePlace(string(f.Mirror), f.Vantage)
}

func facts(r survey.Report) []fact {
	all := []fact{{say["started"], utc(r.Run.Started), iso(r.Run.Started)}}
	if r.Run.Finished.IsZero() {
		all = append(all, fact{say["took"], say["not-finished"], ""})
	} else {
		all = append(all, fact{say["took"], duration(r.Run.Finished.Sub(r.Run.Started)), ""})
	}
	seen := map[string]bool{}
	var names []string
	for _, c := range r.Articles {
		for i := range c.Mirrors {
			if n := c.Mirrors[i].Vantage; !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	sort.Strings(names)
	if len(names) > 0 {
		all = append(all, fact{say["seen-from"], Visible(strings.Join(names, ", "), 200), ""})
	}
	if r.Run.NextDue != nil {
		all = append(all, fact{say["next-due"], utc(*r.Run.NextDue), iso(*r.Run.NextDue)})
	} else {
		all = append(all, fact{say["next-due"], say["not-scheduled"], ""})
	}
	all = append(all, fact{say["version"], Visible(strings.TrimSpace(r.Run.Tool.Name+" "+r.Run.Tool.Version), 100), ""})
	if r.Run.RulesVersion != "" {
		all = append(all, fact{say["rules"], Visible(r.Run.RulesVersion, 100), ""})
	}
	return all
}

type place struct{ site, mirror, vantage string }

func cards(v View, now time.Time) []card {
	r := v.Report
	void := voidVantages(r.Run)
	index := map[place]int{}
	type seen struct {
		worst    *survey.Finding
		at       int
		articles int
		sample   *survey.Finding // the newest with TLS or families
	}
	var all []card
	var marks []seen
	for ci := range r.Articles {
		c := &r.Articles[ci]
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			k := place{c.Site, string(f.Mirror), f.Vantage}
			n, ok := index[k]
			if !ok {
				n = len(all)
				index[k] = n
				all = append(all, card{ID: fmt.Sprintf("mirror-%d", n+1), Mirror: Visible(k.mirror, 200), Role: fmt.Sprintf(say["role"], Visible(string(f.Role), 30), Visible(k.site, 100), Visible(k.vantage, 60))})
				marks = append(marks, seen{})
			}
			m := &marks[n]
			m.articles++
			s := stateOf(f, void)
			if m.worst == nil || s.Rank() > stateOf(m.worst, void).Rank() {
				m.worst, m.at = f, 0
			}
			if s == stateOf(m.worst, void) {
				m.at++
			}
			if m.sample == nil || m.sample.TLS == nil && f.TLS != nil {
				m.sample = f
			}
		}
	}
	past := map[place]*survey.MirrorHistory{}
	for i := range v.Mirrors {
		h := &v.Mirrors[i]
		past[place{h.Site, string(h.Mirror), h.Vantage}] = h
	}
	lags := map[place]*survey.LagStat{}
	for i := range v.Lags {
		l := &v.Lags[i]
		lags[place{l.Site, string(l.Mirror), l.Vantage}] = l
	}
	for k, n := range index {
		cd, m := &all[n], marks[n]
		cd.chipd = chip(stateOf(m.worst, void))
		words := verdictWords(m.worst)
		if why := reasonWords(m.worst); why != "" && cd.State != survey.Up {
			words += ": " + why
		}
		if void[k.vantage] {
			words = reasonText[survey.ReasonVoid]
		}
		if m.articles > 1 {
			words = fmt.Sprintf(say["articles-of"], m.at, m.articles, words)
		}
		cd.Words = Visible(words, 300)
		since := m.worst.Since
		h := past[k]
		if since == nil && h != nil && h.State == cd.State {
			since = h.Since
		}
		if since != nil && !since.IsZero() && !void[k.vantage] {
			cd.Since, cd.SinceISO = utc(*since), iso(*since)
		}
		cd.Lag = lagWords(lags[k])
		cd.Certificate, cd.Family = certificate(m.sample, now), families(m.sample)
		if h != nil {
			for _, w := range []struct {
				name string
				c    survey.Counts
			}{{say["w-24h"], h.H24}, {say["w-7d"], h.D7}, {say["w-30d"], h.D30}, {say["w-90d"], h.D90}} {
				cd.Windows = append(cd.Windows, window{w.name, percent(w.c), fmt.Sprintf("%d/%d", w.c.Up, w.c.Judged())})
			}
			cd.Strip, cd.StripLabel, cd.Trouble = strip(h)
			cd.Spark, cd.SparkLabel = spark(h)
			cd.TroubleName = fmt.Sprintf(say["trouble"], len(cd.Trouble))
		}
	}
	return all
}

// percent never rounds a loss away: 100 % is said only when it is.
func percent(c survey.Counts) string {
	share, ok := c.Availability()
	switch {
	case !ok:
		return say["no-data"]
	case c.Up == c.Judged():
		return "100%"
	case c.Up == 0:
		return "0%"
	}
	return fmt.Sprintf("%.1f%%", min(max(share*100, 0.1), 99.9))
}

func certificate(f *survey.Finding, now time.Time) string {
	switch {
	case f == nil || f.TLS == nil:
		return say["cert-none"]
	case f.TLS.NotAfter.IsZero():
		return say["cert-unknown"]
	}
	days := int(f.TLS.NotAfter.Sub(now).Hours() / 24)
	switch {
	case f.TLS.NotAfter.Before(now):
		return fmt.Sprintf(say["cert-expired"], utc(f.TLS.NotAfter))
	case !f.TLS.Verified:
		return say["cert-unverified"]
	}
	return fmt.Sprintf(say["cert-left"], plural(days, say["one-day"], say["many-days"]))
}

func families(f *survey.Finding) string {
	if f == nil {
		return say["no-families"]
	}
	one := func(name string, o *survey.Outcome) string {
		switch {
		case o == nil:
			return name + " " + say["none"]
		case *o == survey.OK:
			return name + " ✓"
		case *o == survey.NoRoute:
			return name + " " + say["not-measured"]
		}
		return name + " ✕ " + outcomeWords(*o)
	}
	return Visible(one("IPv4", f.Family.V4)+", "+one("IPv6", f.Family.V6), 200)
}

// strip draws the days: up from below, down from above, degraded between. A day without judged observations is a dash.
func strip(h *survey.MirrorHistory) (bars []bar, label string, trouble []string) {
	const height = 36.0
	num := func(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }
	good, bad, none := 0, 0, 0
	for i, d := range h.Days {
		x := num(float64(i) * 6)
		n := float64(d.Judged())
		if n == 0 {
			none++
			bars = append(bars, bar{[]rect{{"n", x, "33", "3"}}})
			continue
		}
		// What happened at all is at least 4 high, so that one bad hour of a day is seen.
		share := func(k int) float64 {
			if k == 0 {
				return 0
			}
			return max(4, height*float64(k)/n)
		}
		down, degraded := share(d.Down), share(d.Degraded)
		if d.Up > 0 {
			if over := down + degraded - (height - 4); over > 0 {
				if down > degraded {
					down -= over
				} else {
					degraded -= over
				}
			}
		} else if d.Degraded == 0 {
			down = height
		} else {
			degraded = height - min(down, height-4)
			down = height - degraded
			if d.Down == 0 {
				degraded, down = height, 0
			}
		}
		var b bar
		if down > 0 {
			b.Rects = append(b.Rects, rect{"x", x, "0", num(down)})
		}
		if degraded > 0 {
			b.Rects = append(b.Rects, rect{"d", x, num(down), num(degraded)})
		}
		if d.Up > 0 {
			b.Rects = append(b.Rects, rect{"u", x, num(down + degraded), num(height - down - degraded)})
		}
		bars = append(bars, b)
		if d.Down+d.Degraded == 0 {
			good++
			continue
		}
		bad++
		trouble = append(trouble, fmt.Sprintf(say["day-line"], d.Day.UTC().Format("2006-01-02"), percent(d.Counts), d.Up, d.Judged(), d.Degraded, d.Down))
	}
	label = fmt.Sprintf(say["strip-label"], len(h.Days), good, bad, none)
	return bars, label, trouble
}

func replay(base, snapshot string) string {
	at, u, ok := strings.Cut(snapshot, "/")
	if base == "" || !ok {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/web/" + url.PathEscape(at) + "/" + u
}

// grid is every site's matrix whole; pages cut it.
type grid []matrix

// perPage is how many rows of the matrix a page holds.
func (m matrix) perPage() int { return max(1, min(maxRows, maxCells/max(1, len(m.Columns)))) }

// pages is how many pages the rows fill: the longest matrix decides.
func (g grid) pages() int {
	n := 1
	for _, m := range g {
		n = max(n, (len(m.Rows)+m.perPage()-1)/m.perPage())
	}
	return n
}

func (g grid) first() []matrix { return g.page(1) }

// page returns the matrices with the rows of page n, from 1; a matrix without rows there is left out.
func (g grid) page(n int) (out []matrix) {
	for _, m := range g {
		from, to := (n-1)*m.perPage(), min(n*m.perPage(), len(m.Rows))
		if from >= to {
			continue
		}
		if len(m.Rows) > m.perPage() {
			m.Caption += " " + fmt.Sprintf(say["matrix-page"], from+1, to, len(m.Rows))
		}
		m.Rows = m.Rows[from:to]
		out = append(out, m)
	}
	return out
}

func matrices(v View) grid {
	r := v.Report
	void := voidVantages(r.Run)
	index := map[string]int{} // site -> matrix
	var all grid
	columns := []map[place]int{}
	var keys [][]place
	for _, c := range r.Articles {
		n, ok := index[c.Site]
		if !ok {
			n = len(all)
			index[c.Site] = n
			all = append(all, matrix{})
			columns = append(columns, map[place]int{})
			keys = append(keys, nil)
		}
		for i := range c.Mirrors {
			k := place{c.Site, string(c.Mirrors[i].Mirror), c.Mirrors[i].Vantage}
			if _, ok := columns[n][k]; !ok {
				columns[n][k] = len(keys[n])
				keys[n] = append(keys[n], k)
			}
		}
	}
	for n := range all {
		for _, k := range keys[n] {
			name := vantagePlace(k.mirror, k.vantage)
			all[n].Columns = append(all[n].Columns, Visible(name, 120))
		}
	}
	names := make([]string, len(all))
	lean := len(r.Articles) > maxFull
	for ci := range r.Articles {
		c := &r.Articles[ci]
		n := index[c.Site]
		names[n] = c.Site
		row := matrixRow{Title: Visible(c.Title, 200), URL: Visible(c.URL, 300), Cells: make([]cell, len(keys[n]))}
		if lean {
			row.Title, row.URL = Visible(c.Title, 80), Visible(pathOf(c.URL), 100)
		}
		if v.Linked {
			row.File = ArticleFile(c.Site, c.URL)
		}
		if v.Linked && len(r.Articles) > maxReasons && row.Title != "" {
			row.URL = ""
		}
		if row.Title == "" {
			row.Title = say["no-title"]
		} else {
			row.Lang = langOf(c)
		}
		if c.Reference != nil {
			row.Reference = fmt.Sprintf(say["reference"], Visible(string(c.Reference.Mirror), 120), Visible(spaced(c.Reference.Why), 60))
		}
		for i := range row.Cells {
			row.Cells[i].Mirror = all[n].Columns[i]
		}
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			at := columns[n][place{c.Site, string(f.Mirror), f.Vantage}]
			row.Cells[at] = newCell(v, c, f, void, lean)
			row.rank = max(row.rank, stateOf(f, void).Rank())
		}
		all[n].Rows = append(all[n].Rows, row)
	}
	for n := range all {
		m := &all[n]
		sort.SliceStable(m.Rows, func(i, j int) bool { return m.Rows[i].rank > m.Rows[j].rank })
		differ := 0
		for _, row := range m.Rows {
			if row.rank > 0 {
				differ++
			}
		}
		m.Caption = Visible(fmt.Sprintf(say["matrix-caption"], names[n], plural(len(m.Rows), say["one-article"], say["many-articles"]), plural(len(m.Columns), say["one-address"], say["many-addresses"]), differ), 300)
		m.Long = len(m.Columns) > 4 && len(m.Rows) <= 5
		m.Lean = lean && !m.Long
	}
	return all
}

// pathOf is the URL without scheme and host, where the site stands above it.
func pathOf(u string) string {
	if _, rest, ok := strings.Cut(u, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	return u
}

func newCell(v View, c *survey.Check, f *survey.Finding, void map[string]bool, lean bool) cell {
	out := cell{chipd: chip(stateOf(f, void)), Seen: true, Words: Visible(verdictWords(f), 100), Reason: Visible(reasonWords(f), 300)}
	out.Mirror = Visible(placeName(f), 120)
	if void[f.Vantage] {
		out.Reason = reasonText[survey.ReasonVoid]
	}
	var meta []string
	if f.Status != nil {
		meta = append(meta, fmt.Sprintf(say["status-n"], *f.Status))
	}
	if f.Timing.Total != nil {
		meta = append(meta, fmt.Sprintf(say["u-ms0"], *f.Timing.Total))
	}
	if lean {
		// The page stays small: the article's own page has the evidence.
		switch {
		case out.State != survey.Up && len(v.Report.Articles) <= maxReasons:
			out.Meta = Visible(out.Reason, 80)
		case out.State != survey.Up:
		case f.Timing.Total != nil:
			out.Words, out.Meta = "", fmt.Sprintf(say["u-ms0"], *f.Timing.Total)
		default:
			out.Words = ""
		}
		return out
	}
	if f.Text != nil {
		meta = append(meta, plural(f.Text.Words, say["one-word"], say["many-words"]))
	}
	out.Meta = strings.Join(meta, " · ")
	if f.Snapshot != nil {
		out.Snapshot = Visible(*f.Snapshot, 400)
		out.Replay = replay(v.ReplayURL, *f.Snapshot)
		out.Command = Visible(restoreCommand(v.Command, v.DataDir, f, c.URL), 3000)
	}
	more := func(s string) {
		out.More = append(out.More, Visible(s, 400))
	}
	more(fmt.Sprintf(say["e-confidence"], f.Confidence))
	for i, reason := range f.Reasons {
		if i > 0 {
			more(reasonOr(reason))
		}
	}
	if f.FinalURL != "" && f.FinalURL != f.URL {
		more(fmt.Sprintf(say["e-answered"], f.FinalURL))
	}
	if f.Peer != nil {
		more(fmt.Sprintf(say["e-peer"], *f.Peer))
	}
	for _, m := range f.Matched {
		more(fmt.Sprintf(say["e-rule"], m.Rule, m.List))
	}
	if f.Body != nil && f.Body.SHA256 != "" {
		more(fmt.Sprintf(say["e-body"], f.Body.SHA256))
	}
	if n := len(out.More); n > 20 {
		out.More = append(out.More[:20], fmt.Sprintf(say["more"], n-20))
	}
	return out
}

var langName = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

// langOf is the language that the article's page says it is in, the first copy's that is up; empty when it says none, or
// this report's own.
func langOf(c *survey.Check) string {
	for i := range c.Mirrors {
		f := &c.Mirrors[i]
		if f.State == survey.Up && f.Body != nil && langName.MatchString(f.Body.Lang) {
			if strings.EqualFold(f.Body.Lang, pageLang) {
				return ""
			}
			return f.Body.Lang
		}
	}
	return ""
}

// changes lists what differs in the text, for at most most addresses.
func changes(checks []survey.Check, most int) (all []changed, more string) {
	left := 0
	for ci := range checks {
		c := &checks[ci]
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			switch {
			case len(f.Changes) == 0:
				continue
			case len(all) == most:
				left++
				continue
			}
			out := changed{Mirror: Visible(placeName(f), 120), Title: Visible(c.Title, 200), Lang: langOf(c)}
			for n, ch := range f.Changes {
				if n == maxChanges {
					if out.More = say["one-more-change"]; len(f.Changes)-n > 1 {
						out.More = fmt.Sprintf(say["more-changes"], len(f.Changes)-n)
					}
					break
				}
				was, is := byWord(Visible(ch.Reference, 600), Visible(ch.Candidate, 600))
				out.List = append(out.List, change{Visible(spaced(ch.Kind), 60), was, is})
			}
			all = append(all, out)
		}
	}
	if left > 0 {
		more = fmt.Sprintf(say["more"], left)
	}
	return all, more
}

// brokenRows lists each broken target once; mirrors that answer alike share a line.
func brokenRows(links []survey.Link) (all []broken, more string) {
	left := 0
	for _, l := range links {
		type answer struct{ outcome, since string }
		at := map[answer][]string{}
		var order []answer
		for _, res := range l.Results {
			if res.State != "broken" {
				continue
			}
			k := answer{outcomeWords(res.Outcome), utc(res.FirstSeen)}
			if len(at[k]) == 0 {
				order = append(order, k)
			}
			at[k] = append(at[k], string(res.Mirror))
		}
		switch {
		case len(order) == 0:
			continue
		case len(all) == maxBroken:
			left++
			continue
		}
		b := broken{Target: Visible(l.Target, 300), Kind: Visible(l.Kind, 30)}
		for _, k := range order {
			if len(b.On) == 20 {
				b.On = append(b.On, fmt.Sprintf(say["more"], len(order)-20))
				break
			}
			b.On = append(b.On, Visible(head(at[k])+": "+k.outcome+", "+say["since"]+" "+k.since, 300))
		}
		if len(l.Parents) > 0 {
			b.Parents = Visible(l.Parents[0], 200)
			if len(l.Parents) > 1 {
				b.Parents += " " + fmt.Sprintf(say["more"], len(l.Parents)-1)
			}
		}
		all = append(all, b)
	}
	if left > 0 {
		more = fmt.Sprintf(say["more"], left)
	}
	return all, more
}

func newStateRow(s survey.StateInterval) stateRow {
	row := stateRow{chipd: chip(s.State), ISO: iso(s.First), When: utc(s.First), Mirror: Visible(string(s.Mirror), 120), Article: Visible(s.Article, 200), From: stateText[s.Before], Words: verdictText[s.Verdict], Last: utc(s.Last)}
	if row.From == "" {
		row.From = say["first-seen"]
	}
	return row
}

// seenUntil is until when the run looked: what goes on is known to have gone on until then, whenever the page is written.
func seenUntil(r survey.Run) time.Time {
	if r.Finished.IsZero() {
		return r.Started
	}
	return r.Finished
}

// history fills in incidents, state changes, runs and snapshots of the view.
func history(p *pageData, v View) {
	for i, in := range v.Incidents {
		if i == maxIncidents {
			p.IncidentsMore = fmt.Sprintf(say["more"], len(v.Incidents)-i)
			break
		}
		where := in.Article
		if where == "" {
			where = say["all-articles"]
		}
		row := incidentRow{ID: "incident-" + anchor(in.ID), Began: utc(in.Started), Where: Visible(string(in.Mirror)+", "+where, 300), Cause: Visible(spaced(in.Cause), 200), State: Visible(in.State, 30)}
		end := seenUntil(v.Report.Run)
		if in.Closed != nil {
			end = *in.Closed
		}
		if row.Lasted = duration(end.Sub(in.Started)); in.Closed == nil {
			row.Lasted = fmt.Sprintf(say["so-far"], row.Lasted)
		}
		if row.Told = say["not-told"]; in.Opened != nil {
			row.Told = utc(*in.Opened)
		}
		if in.Acked != nil {
			row.State = fmt.Sprintf(say["acknowledged"], row.State)
		}
		p.Incidents = append(p.Incidents, row)
	}
	for i, s := range v.States {
		if i == maxStates {
			p.StatesMore = fmt.Sprintf(say["more"], len(v.States)-i)
			break
		}
		p.States = append(p.States, newStateRow(s))
	}
	for i, r := range v.Runs {
		if i == maxRuns {
			p.RunsMore = fmt.Sprintf(say["more"], len(v.Runs)-i)
			break
		}
		row := runRow{ISO: iso(r.Run.Started), When: utc(r.Run.Started), Took: say["not-finished"], Counts: []count{{stateText[survey.Up], r.Summary.Up},
			{stateText[survey.Degraded], r.Summary.Degraded}, {stateText[survey.Down], r.Summary.Down}, {stateText[survey.Unknown], r.Summary.Unknown}}}
		if !r.Run.Finished.IsZero() {
			row.Took = duration(r.Run.Finished.Sub(r.Run.Started))
		}
		switch {
		case r.Run.Void:
			row.Note = say["run-void"]
		case !r.Run.Complete:
			row.Note = say["run-cut"]
		}
		p.Runs = append(p.Runs, row)
	}
	days := map[string]string{} // day -> id of its first row in the table
	for i, s := range v.Snapshots {
		if i == maxSnapshots {
			p.SnapshotsMore = fmt.Sprintf(say["more-list"], len(v.Snapshots)-i)
			break
		}
		row := snapshotRow{chipd: chip(s.State), Name: Visible(s.Name, 400), Replay: replay(v.ReplayURL, s.Name), Words: verdictText[s.Verdict], Seen: say["once"]}
		if s.Count > 1 {
			row.Seen = fmt.Sprintf(say["times-last"], s.Count, utc(s.Last))
		}
		if day := s.Time.UTC().Format("2006-01-02"); days[day] == "" {
			row.ID = "day-" + day
			days[day] = row.ID
		}
		if s.File != "" {
			row.File = fmt.Sprintf(say["file-at"], Visible(s.File, 120), fmt.Sprint(s.Offset), size(s.Length))
		}
		if s.Payload != "" {
			digest := string(s.Payload)
			if !p.Back && len(digest) > 24 {
				digest = digest[:24] + "…" // the article's own page has it whole
			}
			row.Digest = say["payload"] + " " + Visible(digest, 80)
		}
		if s.LeftOut > 0 {
			row.Seen += "; " + fmt.Sprintf(say["left-out"], plural(s.LeftOut, say["one-part"], say["many-parts"]))
		}
		row.Command = Visible(restoreLine(v.Command, v.DataDir, s.Article, string(s.Mirror), s.Vantage, survey.Timestamp17(s.Time)), 3000)
		p.Snapshots = append(p.Snapshots, row)
	}
	p.Months = calendar(v.Snapshots, days)
}

// anchor keeps the letters that are safe in an id.
func anchor(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-') {
			return r
		}
		return '-'
	}, Visible(s, 80))
}
