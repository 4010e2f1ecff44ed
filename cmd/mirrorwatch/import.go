package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

func importCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "take the records of other people's web archives",
		ArgsUsage: "FILE...",
		Description: "FILE is a WARC, plain or compressed, an ARC or a WACZ. Records keep their octets and IDs; what is there already, by\n" +
			"record ID or as the same answer of the same URL and time, is not taken twice. Imported pages can be restored and exported;\n" +
			"they serve `check` as references only with its --trust-imports.\n\n" + statuses("findings: records that are damaged, unusual, or left out"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			&cli.BoolFlag{Name: "wait", Usage: "wait for another run to end"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return importFiles(c, w) },
	}
}

// maintenanceOptions are those of commands that write the data folder without a check.
func maintenanceOptions(c *cli.Context, w *world) archive.Options {
	return archive.Options{Tool: survey.Tool{Name: "mirrorwatch", Version: version()}, Run: newRunID(w.now()), Now: w.now, Wait: c.Bool("wait"), Log: logger(c, w.stderr)}
}

func importFiles(c *cli.Context, w *world) (err error) {
	if c.NArg() == 0 {
		return usagef("mirrorwatch import FILE...", "import: no file given")
	}
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "import: --format %q is no format", format)
	}
	for _, name := range c.Args().Slice() {
		if !isFile(name) {
			return usagef("give WARC, ARC or WACZ files", "import: there is no file %q", name)
		}
	}
	d, err := openToWrite(dataFolder(c, w, nil), maintenanceOptions(c, w))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	type result struct {
		File string `json:"file"`
		archive.ImportReport
	}
	var results []result
	wrong := false
	for _, name := range c.Args().Slice() {
		r, err := d.archive.ImportFile(c.Context, name)
		if err == nil {
			err = d.archive.Commit(c.Context)
		}
		if err != nil {
			return err
		}
		wrong = wrong || len(r.Findings) > 0 || r.Damaged > 0
		results = append(results, result{name, r})
		if format == "json" {
			continue
		}
		for _, f := range r.Findings {
			fmt.Fprintln(w.stdout, visible(f.String()))
		}
		fmt.Fprintf(w.stdout, "%s: %s, %d there already (%d under another record ID), %d left out as damaged\n", visible(name), plural(r.Records, "record"), r.Duplicates, r.Equal, r.Damaged)
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"schema": "mirrorwatch/import/1", "files": results}); err != nil {
			return err
		}
	}
	if wrong {
		return found()
	}
	return nil
}
