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
	fmt.Fprintf(out, "%s %s\n", p.state(state, mark(state)), Visible(sentence, 2000))
	fmt.Fprintf(out, "%s, %s\n", utc(r.Run.Started), p.faint("run "+Visible(string(r.Run.ID), 60)))
	if len(r.Run.VoidVantages) > 0 && !r.Run.Void {
		fmt.Fprintf(out, "No word from %s: its own network was down.\n", Visible(strings.Join(r.Run.VoidVantages, ", "), 200))
	}
	void := voidVantages(r.Run)
	for i := range r.Articles {
		textArticle(out, &r.Articles[i], void, p, opt)
	}
	if n := brokenLinks(r); n > 0 {
		fmt.Fprintf(out, "\n%s:\n", plural(n, "broken link", "broken links"))
		shown := 0
		for _, l := range r.Links {
			for _, res := range l.Results {
				if res.State != "broken" {
					continue
				}
				if shown++; shown > 20 {
					continue
				}
				fmt.Fprintf(out, "  %s %s on %s: %s\n", p.state(survey.Down, "✕"), Visible(l.Target, 300), Visible(string(res.Mirror), 100), outcomeWords(res.Outcome))
			}
		}
		if shown > 20 {
			fmt.Fprintf(out, "  and %d more\n", shown-20)
		}
	}
	if len(r.Candidates) > 0 {
		fmt.Fprintf(out, "\nOther addresses that pages announce (not visited; to check one, give it with --mirror):\n")
		for i, c := range r.Candidates {
			if i == 20 {
				fmt.Fprintf(out, "  and %d more\n", len(r.Candidates)-20)
				break
			}
			fmt.Fprintf(out, "  %s  %s\n", Visible(string(c.Host), 100), p.faint("“"+Visible(c.Evidence, 160)+"”"))
		}
	}
	if opt.Report != "" {
		fmt.Fprintf(out, "\nReport: %s\n", Visible(opt.Report, 0))
	}
	return out.Flush()
}

func textArticle(out io.Writer, c *survey.Check, void map[string]bool, p painter, opt TextOptions) {
	title := c.Title
	if title == "" {
		title = "(no title)"
	}
	fmt.Fprintf(out, "\n%s\n%s\n", p.bold(Visible(title, 200)), Visible(c.URL, 500))
	vantages := false
	rows := [][]string{{"MIRROR", "STATE", "VERDICT", "WHY"}}
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
		rows = append(rows, []string{name, mark(s) + " " + string(s), Visible(verdictWords(f), 60), why})
	}
	var width [3]int
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	indent := 2 + width[0] + 2 + width[1] + 2 + width[2] + 2
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
		why := wrap(row[3], max(opt.Width-indent, 24))
		if n == 0 {
			why[0] = p.faint(why[0])
		}
		fmt.Fprintf(out, "  %s%s\n", b.String(), why[0])
		for _, more := range why[1:] {
			fmt.Fprintf(out, "%s%s\n", strings.Repeat(" ", indent), more)
		}
		if n > 0 {
			for i, ch := range c.Mirrors[n-1].Changes {
				if i == 3 {
					fmt.Fprintf(out, "      and %s\n", plural(len(c.Mirrors[n-1].Changes)-3, "more change", "more changes"))
					break
				}
				fmt.Fprintf(out, "      %s %s\n", p.faint(Visible(spaced(ch.Kind), 60)+":"), changeLine(ch, p))
			}
		}
	}
	for _, k := range c.Conclusions {
		where := ""
		if k.Vantage != "" {
			where = " @" + Visible(k.Vantage, 30)
		}
		fmt.Fprintf(out, "  → %s%s: %s (%s confidence; %s)\n", Visible(string(k.Mirror), 60), where, Visible(spaced(k.Say), 200), Visible(string(k.Confidence), 20), Visible(spaced(k.Why), 300))
	}
	for i := range c.Mirrors {
		if cmd := restoreCommand(opt.Command, opt.DataDir, &c.Mirrors[i], c.URL); cmd != "" && c.Mirrors[i].State == survey.Up {
			fmt.Fprintf(out, "  %s %s\n", p.faint("archived:"), cmd)
			break
		}
	}
}

func changeLine(ch survey.Change, p painter) string {
	var parts []string
	if ch.Reference != "" {
		parts = append(parts, p.state(survey.Down, "− "+Visible(ch.Reference, 120)))
	}
	if ch.Candidate != "" {
		parts = append(parts, p.state(survey.Up, "+ "+Visible(ch.Candidate, 120)))
	}
	return strings.Join(parts, "  ")
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
