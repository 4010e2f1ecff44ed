package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func sitesCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "sites",
		Usage:       "check the sites file and show the effective settings, without secrets",
		Description: statuses("does not happen: a mistake in the file is 2"),
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ")"},
			dataFlag(),
		}, settingFlags()...), verbosityFlags()...),
		Action: func(c *cli.Context) error { return showSites(c, w) },
	}
}

func showSites(c *cli.Context, w *world) error {
	if c.NArg() > 0 {
		return usagef("name the file with --sites", "sites: unexpected argument %q", c.Args().First())
	}
	f, err := loadSites(c, w)
	if err != nil {
		return err
	}
	if f == nil {
		return usagef("name one with --sites; `mirrorwatch demo` needs none", "no %s here", defaultSites)
	}
	if err := f.Describe(w.stdout, overrides(c, w)); err != nil {
		return &status{code: exitUsage, err: err}
	}
	for _, key := range f.Later() {
		fmt.Fprintf(w.stderr, "%s: %s is understood, but nothing acts on it yet\n", visible(f.Name), visible(key))
	}
	return nil
}
