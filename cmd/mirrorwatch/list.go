package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

func listCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list the archived snapshots with their verdicts",
		ArgsUsage:   "[URL]",
		Description: "Newest first. A snapshot whose bytes and verdict later visits met again stands once.\n\n" + statuses("nothing there"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			&cli.StringFlag{Name: "mirror", Usage: "only this mirror's `HOST`"},
			&cli.StringFlag{Name: "vantage", Usage: "only this `VANTAGE`"},
			&cli.IntFlag{Name: "limit", Value: 1000, Usage: "at most this `NUMBER`"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return list(c, w) },
	}
}

func list(c *cli.Context, w *world) (err error) {
	if c.NArg() > 1 {
		return usagef("mirrorwatch list [URL]", "list: give one URL, not %d", c.NArg())
	}
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "list: --format %q is no format", format)
	}
	if c.Int("limit") < 1 {
		return usagef("give a whole number from 1 up", "list: --limit %d", c.Int("limit"))
	}
	q := history.SnapshotQuery{Mirror: survey.Host(c.String("mirror")), Vantage: c.String("vantage"), Limit: c.Int("limit")}
	if c.NArg() == 1 {
		u, err := sites.ParseURL(c.Args().First())
		if err != nil {
			return usagef("give the article's whole address", "list: %q is no address: %w", c.Args().First(), err)
		}
		q.Article = u.String()
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	rows, err := d.history.Snapshots(c.Context, q)
	if err == nil && len(rows) == 0 && q.Article != "" {
		q.URL, q.Article = q.Article, ""
		rows, err = d.history.Snapshots(c.Context, q)
	}
	if err != nil {
		return err
	}
	if format == "json" {
		if rows == nil {
			rows = []survey.SnapshotRow{}
		}
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"schema": "mirrorwatch/list/1", "snapshots": rows}); err != nil {
			return err
		}
	}
	if len(rows) == 0 {
		if q.URL != "" {
			return notThere(q.URL, "`mirrorwatch list` without a URL shows all that is there")
		}
		return &status{code: exitFound, err: errors.New("no snapshots yet"), hint: "`mirrorwatch check URL` makes some"}
	}
	if format == "json" {
		return nil
	}
	tw := tabwriter.NewWriter(w.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "STATE\tVERDICT\tMIRROR\tSEEN (UTC)\tSNAPSHOT")
	for _, r := range rows {
		seen := r.Time.UTC().Format("2006-01-02 15:04:05")
		if r.Count > 1 {
			seen += fmt.Sprintf(" to %s, %d times", r.Last.UTC().Format("2006-01-02 15:04:05"), r.Count)
		}
		verdict := string(r.Verdict)
		if r.Verdict == survey.Interstitial {
			verdict += " (" + string(r.PageClass) + ")"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", r.State, verdict, visible(string(r.Mirror)), seen, visible(r.Name))
	}
	return tw.Flush()
}
