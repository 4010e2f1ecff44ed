package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/reports"
)

func verifyCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "check that the archive is whole: it writes nothing",
		Description: "Quick looks at names, sizes, order of the indexes and the manifest; full also reads every record: gzip members,\n" +
			"lengths, digests, indexes in both directions, the targets of revisits, and whether archive and history name the same snapshots.\n\n" + statuses("damage"),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "names, sizes and indexes only"},
			&cli.BoolFlag{Name: "full", Usage: "every record (the default)"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return verify(c, w) },
	}
}

func verify(c *cli.Context, w *world) error {
	if c.NArg() > 0 {
		return usagef("name the folder with --data", "verify: unexpected argument %q", c.Args().First())
	}
	if c.Bool("quick") && c.Bool("full") {
		return usagef("", "verify: --quick and --full exclude each other")
	}
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "verify: --format %q is no format", format)
	}
	dir := dataFolder(c, w, nil)
	if _, err := os.Stat(dir); err != nil {
		return usagef("name the folder with --data or MIRRORWATCH_DATA", "verify: %w", err)
	}
	res, err := archive.Verify(c.Context, dir, archive.VerifyOptions{Full: !c.Bool("quick")})
	if err != nil {
		return err
	}
	if res.Full {
		refs, err := referenceFindings(c.Context, dir)
		if err != nil {
			return err
		}
		res.Add(refs...)
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(res); err != nil {
			return err
		}
	} else {
		for _, f := range res.Findings {
			fmt.Fprintln(w.stdout, visible(f.String()))
		}
		fmt.Fprintln(w.stdout, verifySummary(res))
	}
	if !res.OK() {
		if format == "text" {
			return &status{code: exitFound, err: errors.New("the archive is damaged"), hint: "`mirrorwatch repair` mends what can be mended and keeps the originals"}
		}
		return found()
	}
	return nil
}

// verifySummary is the report in a sentence.
func verifySummary(r archive.VerifyReport) string {
	how := "quick look"
	if r.Full {
		how = "every record read"
	}
	s := fmt.Sprintf("%s, %d bytes, %s, %s: %s", plural(r.Files, "file"), r.Bytes, plural(int(r.Records), "record"), plural(r.Snapshots, "snapshot"), how)
	if r.OK() {
		return s + ", no damage"
	}
	return s + fmt.Sprintf(", %d damaged", r.Damaged)
}
