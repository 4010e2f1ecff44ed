package reports

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mirrorwatch/crawler/survey"
)

// TextOptions shape Text; the zero value is plain and 100 columns wide.
type TextOptions struct {
	Colour  bool
	Width   int    // columns, 0: 100
	Report  string // where the page lies, named at the end when given
	Command string // for the restore hint, empty: mirrorwatch
	DataDir string
}

// Text writes the run for a terminal or a mail from cron: the verdict in a sentence, then a table per article, then what
// else was met.
func Text(w io.Writer, r survey.Report, opt TextOptions) error {
	if opt.Width <= 0 {
		opt.Width = 100
	}
	out := bufio.NewWriter(w)
	p := painter{opt.Colour}
	state, sentence := Sentence(r)
	for i, line := range wrap(Visible(sentence, 2000), opt.Width-2) {
		if i == 0 {
			fmt.Fprintf(out, "%s %s\n", p.state(state, mark(state)), line)
		} else {
			fmt.Fprintf(out, "  %s\n", line)
		}
	}
	fmt.Fprintf(out, "%s, %s\n", utc(r.Run.Started), p.faint("run "+Visible(string(r.Run.ID), 60)))
	if len(r.Run.VoidVantages) > 0 && !r.Run.Void {
		fmt.Fprintf(out, say["void-vantages"]+"\n", Visible(strings.Join(r.Run.VoidVantages, ", "), 200))
	}
	void := voidVantages(r.Run)
	for i := range r.Articles {
		textArticle(out, &r.Articles[i], void, p, opt)
	}
	textSites(out, r, p)
	if len(r.Candidates) > 0 {
		fmt.Fprintln(out)
		hosts, confirmed := announced(r)
		for i, h := range hosts {
			if i == 20 {
				fmt.Fprintf(out, textAndMore+"\n", len(hosts)-20)
				break
			}
			text := textAnnounced
			if confirmed[h] {
				text = textConfirmed
			}
			fmt.Fprintf(out, text+"\n", Visible(h, 100))
		}
		fmt.Fprintln(out, p.faint(textAnnouncedHint))
	}
	if opt.Report != "" {
		fmt.Fprintf(out, "\n"+say["t-report"]+"\n", Visible(opt.Report, 0))
	}
	return out.Flush()
}

func textArticle(out io.Writer, c *survey.Check, void map[string]bool, p painter, opt TextOptions) {
	title := c.Title
	if title == "" {
		title = say["no-title"]
	}
	fmt.Fprintf(out, "\n%s\n%s\n", p.bold(Visible(title, 200)), Visible(c.URL, 500))
	vantages := false
	rows := [][]string{{say["t-mirror"], say["t-state"], say["t-verdict"], say["t-why"]}}
	for i := range c.Mirrors {
		if c.Mirrors[i].Vantage != "direct" && c.Mirrors[i].Vantage != "" {
			vantages = true
		}
	}
	for i := range c.Mirrors {
		f := &c.Mirrors[i]
		name := Visible(string(f.Mirror), 60)
		if vantages {
			name += " @" + Visible(f.Vantage, 30)
		}
		why := Visible(reasonWords(f), 300)
		if void[f.Vantage] {
			why = reasonText[survey.ReasonVoid]
		}
		s := stateOf(f, void)
		if s == survey.Up {
			why = "" // the verdict says it
		}
		rows = append(rows, []string{name, mark(s) + " " + string(s), Visible(verdictWords(f), 60), why})
	}
	var width [3]int
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	indent := 2 + width[0] + 2 + width[1] + 2 + width[2] + 2
	below := opt.Width-indent < 44 // too narrow for a column: reasons stand on lines of their own
	if below {
		rows[0][3] = ""
	}
	for n, row := range rows {
		var b strings.Builder
		for i := range width {
			cell := row[i] + strings.Repeat(" ", width[i]-utf8.RuneCountInString(row[i])+2)
			switch {
			case n == 0:
				cell = p.faint(cell)
			case i == 1:
				cell = p.state(stateOf(&c.Mirrors[n-1], void), cell)
			}
			b.WriteString(cell)
		}
		switch {
		case below:
			fmt.Fprintf(out, "  %s\n", strings.TrimRight(b.String(), " "))
			if row[3] != "" {
				folded(out, "      ", row[3], opt.Width)
			}
		default:
			why := wrap(row[3], opt.Width-indent)
			if n == 0 {
				why[0] = p.faint(why[0])
			}
			fmt.Fprintf(out, "%s\n", strings.TrimRight("  "+b.String()+why[0], " "))
			for _, more := range why[1:] {
				fmt.Fprintf(out, "%s%s\n", strings.Repeat(" ", indent), more)
			}
		}
		if n > 0 {
			for i, ch := range c.Mirrors[n-1].Changes {
				if i == 3 {
					fmt.Fprintf(out, "      "+say["t-and"]+"\n", plural(len(c.Mirrors[n-1].Changes)-3, say["one-more-change"], say["many-changes-more"]))
					break
				}
				changeLines(out, ch, p, opt.Width)
			}
		}
	}
	said := conclusions(c)
	for i, k := range said {
		if i == 50 {
			fmt.Fprintf(out, textAndMore+"\n", len(said)-i)
			break
		}
		name := Visible(string(k.Mirror), 60)
		if k.Vantage != "" && vantages {
			name += " @" + Visible(k.Vantage, 30)
		}
		folded(out, "  → ", fmt.Sprintf(say["conclusion"], name, Visible(spaced(k.Say), 200), Visible(string(k.Confidence), 20), Visible(k.Why, 400)), opt.Width)
	}
	for i := range c.Mirrors {
		if c.Mirrors[i].Snapshot != nil {
			fmt.Fprintf(out, "  %s %s\n", p.faint(textRestore), shortRestore(opt.Command, opt.DataDir, c.URL))
			break
		}
	}
}

// folded writes text behind a mark, further lines as deep as the text begins.
func folded(out io.Writer, mark, text string, width int) {
	indent := utf8.RuneCountInString(mark)
	for i, line := range wrap(text, max(width-indent, 24)) {
		if i == 1 {
			mark = strings.Repeat(" ", indent)
		}
		fmt.Fprintf(out, "%s%s\n", mark, line)
	}
}

// shortRestore is the command that gives the best copy of an article back; the page names the one for each snapshot.
func shortRestore(command, data, article string) string {
	if command == "" {
		command = "mirrorwatch"
	}
	line := command + " restore " + shellWord(Visible(article, 0)) + " --to DIR"
	if data != "" {
		line += " --data " + shellWord(Visible(data, 0))
	}
	return line
}

// announced are the hosts that pages of the run announce, each once, in the run's order, and which of them are confirmed.
func announced(r survey.Report) (hosts []string, confirmed map[string]bool) {
	seen, confirmed := map[string]bool{}, map[string]bool{}
	for _, c := range r.Candidates {
		if !seen[c.Host] {
			seen[c.Host] = true
			hosts = append(hosts, c.Host)
		}
		if c.Confirmed {
			confirmed[c.Host] = true
		}
	}
	return hosts, confirmed
}

// conclusions are those of the check that say more than the states beside them: all when several vantages looked, else
// what is neither available nor plainly bad.
func conclusions(c *survey.Check) []survey.Conclusion {
	vantages := map[string]bool{}
	state := map[survey.Host]survey.State{}
	for i := range c.Mirrors {
		vantages[c.Mirrors[i].Vantage] = true
		state[c.Mirrors[i].Mirror] = c.Mirrors[i].State
	}
	if len(vantages) > 1 {
		return c.Conclusions
	}
	var more []survey.Conclusion
	for _, k := range c.Conclusions {
		switch k.Say {
		case "available", "degraded", "down", "cannot tell":
			continue
		}
		if state[k.Mirror] == survey.Unknown {
			continue // the table names the reason
		}
		more = append(more, k)
	}
	return more
}

// changeLines writes a change on one line where it fits, else the two sides on lines of their own.
func changeLines(out io.Writer, ch survey.Change, p painter, width int) {
	kind, was, is := Visible(spaced(ch.Kind), 60)+":", Visible(ch.Reference, 160), Visible(ch.Candidate, 160)
	n := 6 + utf8.RuneCountInString(kind) + 3 + utf8.RuneCountInString(was) + 4 + utf8.RuneCountInString(is)
	var sides []string
	if was != "" {
		sides = append(sides, p.state(survey.Down, "− "+was))
	}
	if is != "" {
		sides = append(sides, p.state(survey.Up, "+ "+is))
	}
	if n <= width {
		fmt.Fprintf(out, "      %s %s\n", p.faint(kind), strings.Join(sides, "  "))
		return
	}
	fmt.Fprintf(out, "      %s\n", p.faint(kind))
	for _, side := range []struct {
		mark, text string
		state      survey.State
	}{{"−", was, survey.Down}, {"+", is, survey.Up}} {
		if side.text == "" {
			continue
		}
		for i, line := range wrap(side.text, max(width-10, 24)) {
			mark := side.mark
			if i > 0 {
				mark = " "
			}
			fmt.Fprintf(out, "        %s\n", p.state(side.state, mark+" "+line))
		}
	}
}

func brokenLinks(r survey.Report) int {
	n := 0
	for _, l := range r.Links {
		for _, res := range l.Results {
			if res.State == "broken" {
				n++
				break
			}
		}
	}
	return n
}

// wrap cuts text into lines of at most width runes at spaces; a longer word stands alone and is not cut, so that an
// address can be copied. There is always one line.
func wrap(s string, width int) []string {
	var lines []string
	line, n := "", 0
	for _, word := range strings.Fields(s) {
		w := utf8.RuneCountInString(word)
		if n > 0 && n+1+w > width {
			lines = append(lines, line)
			line, n = "", 0
		}
		if n > 0 {
			line += " "
			n++
		}
		line += word
		n += w
	}
	return append(lines, line)
}

// painter colours for terminals; off, it returns texts as they are. Its texts must have gone through Visible.
type painter struct{ on bool }

func (p painter) code(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) bold(s string) string  { return p.code("1", s) }
func (p painter) faint(s string) string { return p.code("2", s) }

func (p painter) state(st survey.State, s string) string {
	switch st {
	case survey.Up:
		return p.code("32", s)
	case survey.Degraded:
		return p.code("33", s)
	case survey.Down:
		return p.code("31", s)
	}
	return p.code("36", s)
}
