package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

// reportFormats are the shapes of `report` beside those of `check`.
var reportFormats = slices.Concat([]string{"html"}, formats, []string{"atom", "badge", "metrics", "ooni"})

func reportCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "report",
		Usage:       "write the report again, from what earlier runs saw",
		Description: "Without --since the newest run is shown. With it, html and atom show changes and incidents since then;\ncsv, jsonl and ooni hold every run since then.\n\n" + statuses("does not happen"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "html", Usage: strings.Join(reportFormats, ", ")},
			&cli.StringFlag{Name: "out", Usage: "the `FILE` to write; - is stdout (default: for html the data folder's report, else stdout); csv into a folder (DIR/) writes every table with its dictionary"},
			&cli.StringFlag{Name: "run", Usage: "the `ID` of a run (default: the newest)"},
			&cli.StringFlag{Name: "since", Usage: "a `TIME`, or how long ago: 36h, 30d, 2026-11-01"},
			&cli.StringFlag{Name: "table", Value: "checks", Usage: "for csv: " + strings.Join(reports.TableNames(), ", ") + ", dictionary"},
			&cli.StringFlag{Name: "replay-url", Usage: "for html: the `URL` under which serve shows archived pages; snapshots lead there (default: the sites file's)"},
			&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ")"},
			&cli.StringFlag{Name: "mirror", Usage: "for badge: the `HOST` (default: the whole run)"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return writeReport(c, w) },
	}
}

func writeReport(c *cli.Context, w *world) (err error) {
	if c.NArg() > 0 {
		return usagef("name the folder with --data", "report: unexpected argument %q", c.Args().First())
	}
	format, out, table := c.String("format"), c.String("out"), c.String("table")
	if !slices.Contains(reportFormats, format) {
		return usagef("formats: "+strings.Join(reportFormats, ", "), "report: --format %q is no format", format)
	}
	if tables := append(reports.TableNames(), "dictionary"); !slices.Contains(tables, table) {
		return usagef("tables: "+strings.Join(tables, ", "), "report: --table %q is no table", table)
	}
	if c.IsSet("table") && format != "csv" {
		return usagef("add --format csv", "report: --table is for csv")
	}
	if c.IsSet("mirror") && format != "badge" {
		return usagef("add --format badge", "report: --mirror is for the badge")
	}
	since, err := parseSince(c.String("since"), w.now())
	if err != nil {
		return err
	}
	many := format == "csv" || format == "jsonl" || format == "ooni"
	switch {
	case since.IsZero():
	case c.IsSet("run"):
		return usagef("leave one of them out", "report: --run and --since do not go together")
	case !many && format != "html" && format != "atom":
		return usagef("--since is for html, atom, csv, jsonl, ooni", "report: --format %s shows one run", format)
	}
	if format == "csv" && table == "dictionary" && !folderGiven(out) {
		return writeTo(w, out, func(f io.Writer, _ reports.TextOptions) error { return reports.Dictionary(f) })
	}
	file, err := loadSites(c, w)
	if err != nil {
		return err
	}
	replayURL, err := originFlag(c, "replay-url", file, func(f *sites.File) string { return f.ReplayURL })
	if err != nil {
		return err
	}
	d, err := openToRead(dataFolder(c, w, file), logger(c, w.stderr))
	if err != nil {
		return err
	}
	d.replayURL = replayURL
	defer func() { err = errors.Join(err, d.close()) }()
	var doc survey.Report
	if id := c.String("run"); id != "" {
		doc, err = d.history.Report(c.Context, survey.RunID(id))
	} else {
		var ok bool
		doc, ok, err = d.history.Last(c.Context)
		if err == nil && !ok {
			return usagef("`mirrorwatch check URL` makes one", "report: there is no run in %q yet", d.dir)
		}
	}
	if err != nil {
		return err
	}
	if format == "html" && out == "" {
		page, err := publish(c.Context, d, w.now(), since)
		if err == nil && !c.Bool("quiet") {
			fmt.Fprintln(w.stdout, visible(page))
		}
		return err
	}
	// each hands over the runs that a format of many runs holds, the oldest first, one at a time.
	each := func(f func(survey.Report) error) error {
		if since.IsZero() {
			return f(doc)
		}
		rows, err := d.history.Runs(c.Context, 1<<30)
		if err != nil {
			return err
		}
		for _, row := range slices.Backward(rows) {
			if row.Run.Started.Before(since) {
				continue
			}
			r, err := d.history.Report(c.Context, row.Run.ID)
			if err == nil {
				err = f(r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	oneTable := func(name string) func(io.Writer, reports.TextOptions) error {
		return func(f io.Writer, _ reports.TextOptions) error {
			if name == "dictionary" {
				return reports.Dictionary(f)
			}
			t, err := reports.NewTableWriter(f, name)
			if err != nil {
				return err
			}
			if err := each(func(r survey.Report) error { t.Add(r); return nil }); err != nil {
				return err
			}
			return t.Flush()
		}
	}
	if format == "csv" && folderGiven(out) {
		if err := os.MkdirAll(out, 0o777); err != nil {
			return fmt.Errorf("writing tables: %w", err)
		}
		for _, name := range append(reports.TableNames(), "dictionary") {
			if err := writeTo(w, filepath.Join(out, name+".csv"), oneTable(name)); err != nil {
				return err
			}
		}
		return nil
	}
	return writeTo(w, out, func(f io.Writer, look reports.TextOptions) error {
		switch format {
		case "csv":
			return oneTable(table)(f, look)
		case "jsonl":
			return each(func(r survey.Report) error { return reports.JSONL(f, r) })
		case "ooni":
			return each(func(r survey.Report) error { return reports.OONI(f, r) })
		case "badge":
			return reports.Badge(f, doc, survey.Host(strings.ToLower(c.String("mirror"))))
		case "html", "atom", "metrics":
			v, err := view(c.Context, d, doc, w.now(), since)
			if err != nil {
				return err
			}
			write := map[string]func(io.Writer, reports.View) error{"html": reports.HTML, "atom": reports.Atom, "metrics": reports.Metrics}[format]
			return write(f, v)
		}
		return writeAs(f, format, doc, d.dir, "", look)
	})
}

// folderGiven reports whether --out names a folder: it is one, or ends like one.
func folderGiven(out string) bool {
	if out == "" || out == "-" {
		return false
	}
	st, err := os.Stat(out)
	return err == nil && st.IsDir() || os.IsPathSeparator(out[len(out)-1])
}

// writeTo writes to stdout or, whole or not at all, to a file.
func writeTo(w *world, out string, write func(io.Writer, reports.TextOptions) error) error {
	if out == "" || out == "-" {
		return write(w.stdout, w.look())
	}
	return writeWhole(out, func(f *os.File) error { return write(f, reports.TextOptions{}) })
}

// parseSince reads a time as --at does, or a span back from now: 36h, 30d.
func parseSince(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := parseTime(s)
	if err != nil {
		return t, usagef("examples: --since 36h, --since 30d, --since 2026-11-01", "report: --since %q is neither a time nor a span", s)
	}
	return t, nil
}
