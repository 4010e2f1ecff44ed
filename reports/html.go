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
	"sort"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

//go:embed page.tmpl
var pageText string

//go:embed style.css
var styleText string

var page = template.Must(template.New("page").Parse(pageText))

// csp permits the page's own style and nothing else: no script, no request to anywhere.
var csp = func() string {
	sum := sha256.Sum256([]byte(styleText))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'"
}()

// Bounds of the page; what is left out is said where it would stand.
const (
	maxRows      = 1000
	maxBroken    = 500
	maxSnapshots = 100
	maxStates    = 100
	maxRuns      = 50
	maxChanges   = 20
)

// HTML writes one self-contained page: no script, no request to anywhere, the same bytes for the same View.
func HTML(w io.Writer, v View) error {
	var b bytes.Buffer
	if err := page.Execute(&b, newPage(v)); err != nil {
		return fmt.Errorf("writing the report page: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the report page: %w", err)
	}
	return nil
}

type (
	fact  struct{ Name, Value, ISO string }
	chipd struct {
		State survey.State
		Mark  string
	}
	pageData struct {
		chipd
		CSP                       string
		Style                     template.CSS
		Title, Sentence, Detail   string
		Started, StartedISO       string
		Tool, Run                 string
		Warnings                  []string
		Facts                     []fact
		Cards                     []card
		Matrices                  []matrix
		Conclusions               []string
		Changes                   []changed
		Broken                    []broken
		BrokenMore, SnapshotsMore string
		Candidates                []candidate
		Incidents                 []incidentRow
		States                    []stateRow
		Runs                      []runRow
		Snapshots                 []snapshotRow
	}
	card struct {
		chipd
		ID, Mirror, Role, Site, Vantage, Words, Since, SinceISO string
		Windows                                                 []window
		Certificate, Family                                     string
		Strip                                                   []bar
		StripLabel                                              string
		Trouble                                                 []string
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
		Columns []string
		Rows    []matrixRow
	}
	matrixRow struct {
		Title, URL, Reference string
		Cells                 []cell
		rank                  int
	}
	cell struct {
		chipd
		Seen                                                   bool
		Mirror, Words, Reason, Meta, Snapshot, Replay, Command string
		More                                                   []string
	}
	changed struct {
		Mirror, Title, More string
		List                []change
	}
	change struct{ Kind, Reference, Candidate string }
	broken struct {
		Target, Kind, Parents string
		On                    []string
	}
	candidate   struct{ Host, Rule, Evidence string }
	incidentRow struct{ ID, Began, Where, Cause, State, Lasted string }
	stateRow    struct {
		chipd
		ISO, When, Mirror, Article, From, Words, Last string
	}
	runRow struct {
		ISO, When, Took, Note       string
		Up, Degraded, Down, Unknown int
	}
	snapshotRow struct {
		chipd
		Name, Replay, Words, Seen, Command string
	}
)

func chip(s survey.State) chipd {
	switch s {
	case survey.Up, survey.Degraded, survey.Down:
		return chipd{s, mark(s)}
	}
	return chipd{survey.Unknown, mark(survey.Unknown)}
}

func iso(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func newPage(v View) pageData {
	r := v.Report
	now := v.Now
	if now.IsZero() {
		now = r.Run.Finished
	}
	if now.IsZero() {
		now = r.Run.Started
	}
	state, sentence := Sentence(r)
	// The colon before the list of hosts ends the headline: ports and titles have no space behind theirs.
	headline, detail, found := strings.Cut(sentence, ": ")
	if found {
		headline += "."
	}
	p := pageData{
		chipd: chip(state), CSP: csp, Style: template.CSS(styleText), // our own file
		Title: Visible(headline, 200), Sentence: Visible(headline, 2000), Detail: Visible(detail, 2000),
		Started: utc(r.Run.Started), StartedISO: iso(r.Run.Started),
		Tool: Visible(strings.TrimSpace(r.Run.Tool.Name+" "+r.Run.Tool.Version), 100), Run: Visible(string(r.Run.ID), 100),
	}
	p.Warnings, p.Facts = warnings(r, now), facts(r)
	p.Cards = cards(v, now)
	p.Matrices = matrices(v)
	for _, c := range r.Articles {
		for _, k := range c.Conclusions {
			if len(p.Conclusions) == 200 {
				break
			}
			from := ""
			if k.Vantage != "" {
				from = " from " + k.Vantage
			}
			p.Conclusions = append(p.Conclusions, Visible(fmt.Sprintf("%s%s: %s (%s confidence; %s)", k.Mirror, from, spaced(k.Say), k.Confidence, spaced(k.Why)), 500))
		}
	}
	p.Changes = changes(r)
	p.Broken, p.BrokenMore = brokenRows(r)
	for i, c := range r.Candidates {
		if i == 200 {
			break
		}
		p.Candidates = append(p.Candidates, candidate{Visible(string(c.Host), 200), Visible(spaced(c.Rule), 60), Visible(c.Evidence, 400)})
	}
	history(&p, v, now)
	return p
}

func warnings(r survey.Report, now time.Time) (all []string) {
	if r.Run.Void {
		all = append(all, "This run is void: nothing in it counts for or against a mirror.")
	} else if len(r.Run.VoidVantages) > 0 {
		all = append(all, Visible("No word from "+strings.Join(r.Run.VoidVantages, ", ")+": its own network was down.", 300))
	}
	if !r.Run.Complete {
		why := ""
		if r.Run.StoppedBy != nil {
			why = " (" + spaced(*r.Run.StoppedBy) + ")"
		}
		all = append(all, Visible("The run was cut short"+why+": what was not visited is unknown.", 200))
	}
	if r.Run.NextDue != nil && now.After(*r.Run.NextDue) {
		all = append(all, "This page is stale: the next run was due at "+utc(*r.Run.NextDue)+".")
	}
	return all
}

func facts(r survey.Report) []fact {
	all := []fact{{"Started", utc(r.Run.Started), iso(r.Run.Started)}}
	if r.Run.Finished.IsZero() {
		all = append(all, fact{"Took", "not finished", ""})
	} else {
		all = append(all, fact{"Took", duration(r.Run.Finished.Sub(r.Run.Started)), ""})
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
		all = append(all, fact{"Seen from", Visible(strings.Join(names, ", "), 200), ""})
	}
	next := "not scheduled"
	if r.Run.NextDue != nil {
		all = append(all, fact{"Next run due", utc(*r.Run.NextDue), iso(*r.Run.NextDue)})
	} else {
		all = append(all, fact{"Next run due", next, ""})
	}
	all = append(all, fact{"Version", Visible(strings.TrimSpace(r.Run.Tool.Name+" "+r.Run.Tool.Version), 100), ""})
	if r.Run.RulesVersion != "" {
		all = append(all, fact{"Rules", Visible(r.Run.RulesVersion, 100), ""})
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
				all = append(all, card{ID: fmt.Sprintf("mirror-%d", n+1), Mirror: Visible(k.mirror, 200), Role: Visible(string(f.Role), 30), Site: Visible(k.site, 100), Vantage: Visible(k.vantage, 60)})
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
			words = fmt.Sprintf("%d of %d articles: %s", m.at, m.articles, words)
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
		cd.Certificate, cd.Family = certificate(m.sample, now), families(m.sample)
		if h != nil {
			for _, w := range []struct {
				name string
				c    survey.Counts
			}{{"24 h", h.H24}, {"7 days", h.D7}, {"30 days", h.D30}, {"90 days", h.D90}} {
				cd.Windows = append(cd.Windows, window{w.name, percent(w.c), fmt.Sprintf("%d/%d", w.c.Up, w.c.Judged())})
			}
			cd.Strip, cd.StripLabel, cd.Trouble = strip(h)
		}
	}
	return all
}

// percent never rounds a loss away: 100 % is said only when it is.
func percent(c survey.Counts) string {
	share, ok := c.Availability()
	switch {
	case !ok:
		return "no data"
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
		return "no certificate seen"
	case f.TLS.NotAfter.IsZero():
		return "certificate: end not known"
	}
	days := int(f.TLS.NotAfter.Sub(now).Hours() / 24)
	switch {
	case f.TLS.NotAfter.Before(now):
		return "certificate expired " + utc(f.TLS.NotAfter)
	case !f.TLS.Verified:
		return "certificate does not verify"
	}
	return "certificate: " + plural(days, "day", "days") + " left"
}

func families(f *survey.Finding) string {
	if f == nil {
		return "IPv4 and IPv6 not measured"
	}
	one := func(name string, o *survey.Outcome) string {
		switch {
		case o == nil:
			return name + " none"
		case *o == survey.OK:
			return name + " ✓"
		case *o == survey.NoRoute:
			return name + " not measured"
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
		trouble = append(trouble, fmt.Sprintf("%s: %s up (%d of %d), %d degraded, %d down", d.Day.UTC().Format("2006-01-02"), percent(d.Counts), d.Up, d.Judged(), d.Degraded, d.Down))
	}
	label = fmt.Sprintf("Last %d days: %d without trouble, %d with trouble, %d without data", len(h.Days), good, bad, none)
	return bars, label, trouble
}

func replay(base, snapshot string) string {
	at, u, ok := strings.Cut(snapshot, "/")
	if base == "" || !ok {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/" + url.PathEscape(at) + "/" + u
}

func matrices(v View) []matrix {
	r := v.Report
	void := voidVantages(r.Run)
	index := map[string]int{} // site -> matrix
	var all []matrix
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
			name := k.mirror
			if k.vantage != "" && k.vantage != "direct" {
				name += " from " + k.vantage
			}
			all[n].Columns = append(all[n].Columns, Visible(name, 120))
		}
	}
	names := make([]string, len(all))
	for ci := range r.Articles {
		c := &r.Articles[ci]
		n := index[c.Site]
		names[n] = c.Site
		row := matrixRow{Title: Visible(c.Title, 200), URL: Visible(c.URL, 300), Cells: make([]cell, len(keys[n]))}
		if row.Title == "" {
			row.Title = "(no title)"
		}
		if c.Reference != nil {
			row.Reference = Visible("reference: "+string(c.Reference.Mirror)+" ("+spaced(c.Reference.Why)+")", 200)
		}
		for i := range row.Cells {
			row.Cells[i].Mirror = all[n].Columns[i]
		}
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			at := columns[n][place{c.Site, string(f.Mirror), f.Vantage}]
			row.Cells[at] = newCell(v, c, f, void)
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
		m.Caption = Visible(fmt.Sprintf("%s: %s on %s, differences first: %d not up everywhere.", names[n], plural(len(m.Rows), "article", "articles"), plural(len(m.Columns), "address", "addresses"), differ), 300)
		m.Long = len(m.Columns) > 4 && len(m.Rows) <= 5
		if len(m.Rows) > maxRows {
			m.Caption += fmt.Sprintf(" The first %d are shown.", maxRows)
			m.Rows = m.Rows[:maxRows]
		}
	}
	return all
}

func newCell(v View, c *survey.Check, f *survey.Finding, void map[string]bool) cell {
	out := cell{chipd: chip(stateOf(f, void)), Seen: true, Words: Visible(verdictWords(f), 100), Reason: Visible(reasonWords(f), 300)}
	out.Mirror = Visible(string(f.Mirror), 120)
	if f.Vantage != "" && f.Vantage != "direct" {
		out.Mirror = Visible(string(f.Mirror)+" from "+f.Vantage, 120)
	}
	if void[f.Vantage] {
		out.Reason = reasonText[survey.ReasonVoid]
	}
	var meta []string
	if f.Status != nil {
		meta = append(meta, fmt.Sprintf("status %d", *f.Status))
	}
	if f.Timing.Total != nil {
		meta = append(meta, fmt.Sprintf("%.0f ms", *f.Timing.Total))
	}
	if f.Text != nil {
		meta = append(meta, plural(f.Text.Words, "word", "words"))
	}
	out.Meta = strings.Join(meta, " · ")
	if f.Snapshot != nil {
		out.Snapshot = Visible(*f.Snapshot, 400)
		out.Replay = replay(v.ReplayURL, *f.Snapshot)
		out.Command = Visible(restoreCommand(v.Command, v.DataDir, f, c.URL), 3000)
	}
	if stateOf(f, void) == survey.Up && len(c.Mirrors) > 0 && len(v.Report.Articles) > 50 {
		return out // the page stays small: evidence is for what differs
	}
	more := func(s string) {
		if len(out.More) < 10 {
			out.More = append(out.More, Visible(s, 400))
		}
	}
	more("confidence: " + string(f.Confidence))
	for i, reason := range f.Reasons {
		if i > 0 {
			more(reasonOr(reason))
		}
	}
	if f.FinalURL != "" && f.FinalURL != f.URL {
		more("answered by " + f.FinalURL)
	}
	if f.Peer != nil {
		more("peer " + *f.Peer)
	}
	for _, m := range f.Matched {
		more("rule " + m.Rule + " of " + m.List)
	}
	if f.Body != nil && f.Body.SHA256 != "" {
		more("body sha256 " + f.Body.SHA256)
	}
	return out
}

func changes(r survey.Report) (all []changed) {
	for ci := range r.Articles {
		c := &r.Articles[ci]
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			if len(f.Changes) == 0 || len(all) == 200 {
				continue
			}
			name := string(f.Mirror)
			if f.Vantage != "" && f.Vantage != "direct" {
				name += " from " + f.Vantage
			}
			out := changed{Mirror: Visible(name, 120), Title: Visible(c.Title, 200)}
			for n, ch := range f.Changes {
				if n == maxChanges {
					out.More = "and " + plural(len(f.Changes)-n, "more change", "more changes")
					break
				}
				out.List = append(out.List, change{Visible(spaced(ch.Kind), 60), Visible(ch.Reference, 600), Visible(ch.Candidate, 600)})
			}
			all = append(all, out)
		}
	}
	return all
}

func brokenRows(r survey.Report) (all []broken, more string) {
	left := 0
	for _, l := range r.Links {
		var on []string
		for _, res := range l.Results {
			if res.State == "broken" && len(on) < 20 {
				on = append(on, Visible(fmt.Sprintf("%s: %s, since %s", res.Mirror, outcomeWords(res.Outcome), utc(res.FirstSeen)), 300))
			}
		}
		switch {
		case len(on) == 0:
			continue
		case len(all) == maxBroken:
			left++
			continue
		}
		b := broken{Target: Visible(l.Target, 300), Kind: Visible(l.Kind, 30), On: on}
		if len(l.Parents) > 0 {
			b.Parents = Visible(l.Parents[0], 200)
			if len(l.Parents) > 1 {
				b.Parents += fmt.Sprintf(" and %d more", len(l.Parents)-1)
			}
		}
		all = append(all, b)
	}
	if left > 0 {
		more = fmt.Sprintf("%d more are in the JSON.", left)
	}
	return all, more
}

func history(p *pageData, v View, now time.Time) {
	for i, in := range v.Incidents {
		if i == maxStates {
			break
		}
		row := incidentRow{ID: "incident-" + anchor(in.ID), Began: utc(in.Started), Where: Visible(strings.TrimSpace(string(in.Mirror)+" "+in.Article), 300), Cause: Visible(spaced(in.Cause), 200), State: Visible(in.State, 30)}
		end := now
		if in.Closed != nil {
			end = *in.Closed
		}
		if row.Lasted = duration(end.Sub(in.Started)); in.Closed == nil {
			row.Lasted += " so far"
		}
		if in.Acked != nil {
			row.State += ", acknowledged"
		}
		p.Incidents = append(p.Incidents, row)
	}
	for i, s := range v.States {
		if i == maxStates {
			break
		}
		row := stateRow{chipd: chip(s.State), ISO: iso(s.First), When: utc(s.First), Mirror: Visible(string(s.Mirror), 120), Article: Visible(s.Article, 200), From: string(s.Before), Words: verdictText[s.Verdict], Last: utc(s.Last)}
		if row.From == "" {
			row.From = "first seen"
		}
		p.States = append(p.States, row)
	}
	for i, r := range v.Runs {
		if i == maxRuns {
			break
		}
		row := runRow{ISO: iso(r.Run.Started), When: utc(r.Run.Started), Took: "not finished", Up: r.Summary.Up, Degraded: r.Summary.Degraded, Down: r.Summary.Down, Unknown: r.Summary.Unknown}
		if !r.Run.Finished.IsZero() {
			row.Took = duration(r.Run.Finished.Sub(r.Run.Started))
		}
		switch {
		case r.Run.Void:
			row.Note = "void: no data"
		case !r.Run.Complete:
			row.Note = "cut short"
		}
		p.Runs = append(p.Runs, row)
	}
	for i, s := range v.Snapshots {
		if i == maxSnapshots {
			p.SnapshotsMore = fmt.Sprintf("%d more: see `mirrorwatch list`.", len(v.Snapshots)-i)
			break
		}
		row := snapshotRow{chipd: chip(s.State), Name: Visible(s.Name, 400), Replay: replay(v.ReplayURL, s.Name), Words: verdictText[s.Verdict], Seen: "once"}
		if s.Count > 1 {
			row.Seen = fmt.Sprintf("%d times, last %s", s.Count, utc(s.Last))
		}
		row.Command = Visible(restoreLine(v.Command, v.DataDir, s.Article, string(s.Mirror), s.Vantage, survey.Timestamp17(s.Time)), 3000)
		p.Snapshots = append(p.Snapshots, row)
	}
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
