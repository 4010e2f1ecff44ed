package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

func diffCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "what differs between two mirrors or two times, by word",
		ArgsUsage: "URL",
		Description: "Compares the article's text (headline first) in two archived snapshots: of two mirrors (--mirror A --mirror B), or of\n" +
			"one mirror at two times (--at T1 --at T2, with --mirror for another than the primary). With one --mirror and no times\n" +
			"it is held against the primary. A time chooses the snapshot that was newest then.\n\n" +
			statuses("the texts differ, or a snapshot is not there"),
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "mirror", Usage: "a mirror's `HOST`; twice for two mirrors"},
			&cli.StringSliceFlag{Name: "at", Usage: "a `TIME`, such as 2026-11-25T03:17; twice for two times"},
			&cli.StringFlag{Name: "vantage", Usage: "only this `VANTAGE`"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text, html or json"},
			&cli.StringFlag{Name: "out", Usage: "write to this `FILE`"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return diff(c, w) },
	}
}

// side is one of the two texts.
type side struct {
	row  survey.SnapshotRow
	text string
}

// diffDocument is the JSON form.
type diffDocument struct {
	Schema  string   `json:"schema"`
	Article string   `json:"article"`
	A       diffSide `json:"a"`
	B       diffSide `json:"b"`
	Equal   bool     `json:"equal"`
	Changes []change `json:"changes"`
}

type diffSide struct {
	Snapshot string             `json:"snapshot"`
	Mirror   survey.Host        `json:"mirror"`
	Vantage  string             `json:"vantage"`
	Time     time.Time          `json:"time"`
	Verdict  survey.VerdictWord `json:"verdict"`
	Words    int                `json:"words"`
}

func diff(c *cli.Context, w *world) (err error) {
	if c.NArg() != 1 {
		return usagef("mirrorwatch diff URL --mirror A --mirror B", "diff: give one URL")
	}
	u, err := sites.ParseURL(c.Args().First())
	if err != nil {
		return usagef("give the article's whole address", "diff: %q is no address: %w", c.Args().First(), err)
	}
	format := c.String("format")
	if format != "text" && format != "html" && format != "json" {
		return usagef("formats: text, html, json", "diff: --format %q is no format", format)
	}
	mirrors, err := diffMirrors(c.StringSlice("mirror"), string(survey.MirrorName(u)), len(c.StringSlice("at")))
	if err != nil {
		return err
	}
	var times [2]time.Time
	for i, s := range c.StringSlice("at") {
		if i > 1 {
			return usagef("give --at once or twice", "diff: too many --at")
		}
		if times[i], err = parseTime(s); err != nil {
			return usagef("such as 2026-11-25T03:17", "diff: --at: %w", err)
		}
		if len(c.StringSlice("at")) == 1 {
			times[1] = times[0]
		}
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var sides [2]side
	for i := range sides {
		if sides[i], err = d.side(c.Context, u.String(), survey.Host(mirrors[i]), c.String("vantage"), times[i]); err != nil {
			return err
		}
	}
	pieces := diffWords(sides[0].text, sides[1].text)
	doc := diffDocument{Schema: "mirrorwatch/diff/1", Article: u.String(), A: sides[0].document(), B: sides[1].document(), Changes: changesOf(pieces)}
	doc.Equal = len(doc.Changes) == 0
	write := func(out io.Writer) error {
		switch format {
		case "json":
			enc := reports.JSONEncoder(out)
			enc.SetIndent("", "  ")
			return enc.Encode(doc)
		case "html":
			return reports.DiffHTML(out, doc.page(pieces))
		}
		return diffText(out, doc, w.colour && c.String("out") == "")
	}
	if name := c.String("out"); name != "" {
		err = writeWhole(name, func(f *os.File) error { return write(f) })
	} else {
		err = write(w.stdout)
	}
	if err != nil {
		return err
	}
	if !doc.Equal {
		return found()
	}
	return nil
}

// diffMirrors says which mirrors are meant.
func diffMirrors(named []string, primary string, times int) ([2]string, error) {
	for i := range named {
		named[i] = strings.ToLower(strings.TrimSpace(named[i]))
	}
	switch {
	case len(named) == 2:
		return [2]string{named[0], named[1]}, nil
	case len(named) == 1 && times == 2:
		return [2]string{named[0], named[0]}, nil
	case len(named) == 1:
		return [2]string{primary, named[0]}, nil
	case len(named) == 0 && times == 2:
		return [2]string{primary, primary}, nil
	}
	return [2]string{}, usagef("two mirrors: --mirror A --mirror B; two times: --at T1 --at T2", "diff: say what to compare")
}

// side reads the text of the article on the mirror as it was at the time, or last.
func (d *data) side(ctx context.Context, article string, mirror survey.Host, vantage string, at time.Time) (side, error) {
	rows, err := d.history.Snapshots(ctx, history.SnapshotQuery{Article: article, Mirror: mirror, Vantage: vantage})
	if err != nil {
		return side{}, err
	}
	for _, r := range rows {
		if !at.IsZero() && r.Time.After(at) {
			continue
		}
		snap, ok, err := d.snapshot(ctx, r)
		if err != nil {
			return side{}, err
		}
		if !ok {
			continue // pruned or forgotten
		}
		header, body, err := evidence{d}.Page(ctx, snap.Page)
		if errors.Is(err, crawler.ErrPruned) {
			continue
		}
		if err != nil {
			return side{}, err
		}
		p := content.Read(body, content.Options{URL: snap.Page.URL, ContentType: header("Content-Type"), Header: header})
		text := p.Text
		if text == "" {
			text = p.Visible
		}
		return side{row: r, text: p.Title + "\n" + text + "\n"}, nil
	}
	return side{}, notThere(article+" on "+string(mirror), "`mirrorwatch list "+article+"` shows what is there")
}

func (s side) document() diffSide {
	return diffSide{Snapshot: s.row.Name, Mirror: s.row.Mirror, Vantage: s.row.Vantage, Time: s.row.Time.UTC(), Verdict: s.row.Verdict, Words: content.Count(s.text)}
}

func (s diffSide) String() string {
	return fmt.Sprintf("%s, %s, %s", s.Mirror, s.Time.UTC().Format("2006-01-02 15:04:05 UTC"), s.Verdict)
}

// diffText shows each change between a few words, in the manner of wdiff.
func diffText(out io.Writer, doc diffDocument, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", oneLine(doc.A.String()), oneLine(doc.B.String()))
	mark := func(code, s string) string {
		if colour {
			return "\x1b[" + code + "m" + s + "\x1b[0m"
		}
		return s
	}
	for _, c := range doc.Changes {
		fmt.Fprintf(&b, "@@ %d %d @@\n", c.At[0], c.At[1])
		var words []string
		add := func(s string) {
			if s != "" {
				words = append(words, s)
			}
		}
		add(oneLine(c.Before))
		if c.Reference != "" {
			add(mark("31", "[-"+oneLine(c.Reference)+"-]"))
		}
		if c.Candidate != "" {
			add(mark("32", "{+"+oneLine(c.Candidate)+"+}"))
		}
		add(oneLine(c.After))
		fmt.Fprintf(&b, "%s\n", strings.Join(words, " "))
	}
	if doc.Equal {
		fmt.Fprintf(&b, "the texts are equal, word by word\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// oneLine makes hostile text safe for a terminal, on one line.
func oneLine(s string) string { return visible(strings.Join(strings.Fields(s), " ")) }

// page is the document with every word of both texts.
func (d diffDocument) page(pieces []piece) reports.Diff {
	of := func(s diffSide) reports.DiffSide {
		return reports.DiffSide{Mirror: s.Mirror, Vantage: s.Vantage, Time: s.Time, Verdict: s.Verdict, Snapshot: s.Snapshot, Words: s.Words}
	}
	out := reports.Diff{Article: d.Article, A: of(d.A), B: of(d.B), Changes: len(d.Changes)}
	for _, line := range diffParagraphs(pieces) {
		var words []reports.DiffPiece
		for _, p := range line {
			words = append(words, reports.DiffPiece{Text: p.text, OnlyA: p.op == "delete", OnlyB: p.op == "insert"})
		}
		out.Paragraphs = append(out.Paragraphs, words)
	}
	return out
}

// diffParagraphs cuts the pieces at the ends of paragraphs.
func diffParagraphs(pieces []piece) [][]piece {
	var out [][]piece
	var line []piece
	for _, p := range pieces {
		for s := p.text; s != ""; {
			head, rest, cut := strings.Cut(s, "\n")
			if head != "" {
				line = append(line, piece{op: p.op, text: head})
			}
			if cut && len(line) > 0 {
				out, line = append(out, line), nil
			}
			s = rest
		}
	}
	if len(line) > 0 {
		out = append(out, line)
	}
	return out
}
