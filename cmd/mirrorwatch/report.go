package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

func reportCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "report",
		Usage:       "write the report again, from what earlier runs saw",
		Description: statuses("does not happen"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "html", Usage: "html, " + strings.Join(formats, ", ")},
			&cli.StringFlag{Name: "out", Usage: "the `FILE` to write; - is stdout (default: for html the data folder's report/index.html, else stdout)"},
			&cli.StringFlag{Name: "run", Usage: "the `ID` of a run (default: the newest)"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return writeReport(c, w) },
	}
}

func writeReport(c *cli.Context, w *world) (err error) {
	if c.NArg() > 0 {
		return usagef("name the folder with --data", "report: unexpected argument %q", c.Args().First())
	}
	format := c.String("format")
	if format != "html" && !slices.Contains(formats, format) {
		return usagef("formats: html, "+strings.Join(formats, ", "), "report: --format %q is no format", format)
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
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
	out := c.String("out")
	if format == "html" && out == "" {
		page, err := publish(c.Context, d, w.now())
		if err == nil && !c.Bool("quiet") {
			fmt.Fprintln(w.stdout, visible(page))
		}
		return err
	}
	write := func(f interface{ Write([]byte) (int, error) }, look reports.TextOptions) error {
		if format == "html" {
			v, err := view(c.Context, d, doc, w.now())
			if err != nil {
				return err
			}
			return reports.HTML(f, v)
		}
		return writeAs(f, format, doc, d.dir, "", look)
	}
	if out == "" || out == "-" {
		return write(w.stdout, w.look())
	}
	return writeWhole(out, func(f *os.File) error { return write(f, reports.TextOptions{}) })
}
