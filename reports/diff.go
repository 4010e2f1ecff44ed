package reports

import (
	"fmt"
	"html/template"
	"io"
	"time"

	"mirrorwatch/crawler/survey"
)

// Diff is two texts of one article held against each other by word.
type Diff struct {
	Article string
	A, B    DiffSide
	// Paragraphs hold every word of both texts in order, equal runs once.
	Paragraphs [][]DiffPiece
	// Changes is how many places differ; 0: the texts are equal.
	Changes int
}

// DiffSide says where one of the two texts comes from.
type DiffSide struct {
	Mirror   survey.Host
	Vantage  string
	Time     time.Time
	Verdict  survey.VerdictWord
	Snapshot string
	Words    int
}

// DiffPiece is a run of words that both texts have, or only A (OnlyA), or only B (OnlyB).
type DiffPiece struct {
	Text         string
	OnlyA, OnlyB bool
}

type diffSide struct {
	Name  string
	A     bool
	Facts []fact
}

// DiffHTML writes the difference as a page of the report's look: self-contained, complete without script.
func DiffHTML(w io.Writer, d Diff) error {
	p := pageData{chipd: chip(survey.Up), CSP: Policy, Style: template.CSS(styleText), Sentence: say["diff-none"], Footer: say["diff-footer"]}
	if d.Changes > 0 {
		p.chipd = chip(survey.Degraded)
		p.Sentence = fmt.Sprintf(say["diff-some"], plural(d.Changes, say["one-place"], say["many-places"]))
	}
	p.StateWord = say["diff-word"]
	p.Detail = Visible(d.Article, 2000)
	p.Title = p.Sentence + " " + Visible(d.Article, 150)
	for n, s := range []DiffSide{d.A, d.B} {
		side := diffSide{Name: say["diff-a"], A: n == 0}
		if n == 1 {
			side.Name = say["diff-b"]
		}
		verdict := verdictText[s.Verdict]
		if verdict == "" {
			verdict = Visible(spaced(string(s.Verdict)), 60)
		}
		side.Facts = []fact{{say["address"], Visible(vantagePlace(string(s.Mirror), s.Vantage), 200), ""}, {say["when"], s.Time.UTC().Format("2006-01-02 15:04:05 UTC"), iso(s.Time)},
			{say["verdict"], verdict, ""}, {say["words"], fmt.Sprint(s.Words), ""}, {say["snapshot"], Visible(s.Snapshot, 400), ""}}
		p.Sides = append(p.Sides, side)
	}
	for _, line := range d.Paragraphs {
		out := make([]DiffPiece, len(line))
		for i, piece := range line {
			piece.Text = Visible(piece.Text, 0)
			out[i] = piece
		}
		p.Paragraphs = append(p.Paragraphs, out)
	}
	return render(w, "diff", p)
}
