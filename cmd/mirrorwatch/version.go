package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"sort"

	"github.com/urfave/cli/v2"

	"mirrorwatch/crawler/compare"
)

// release is set at link time for releases: -ldflags "-X main.release=1.2.3".
var release = ""

// version is the release, else the commit the binary was built from, else "devel".
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			rev = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	if rev == "" {
		return "devel"
	}
	return "devel-" + rev + dirty
}

//go:embed licences
var licences embed.FS

func versionCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "say which mirrorwatch this is",
		Description: statuses("does not happen"),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "licences", Usage: "print the licences of the libraries in this binary"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("version takes no arguments", "version: unexpected argument %q", c.Args().First())
			}
			if c.Bool("licences") {
				return printLicences(w)
			}
			_, err := fmt.Fprintf(w.stdout, "mirrorwatch %s (rules %s, %s, %s/%s)\n", version(), compare.DefaultRules().Version(),
				runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func printLicences(w *world) error {
	var names []string
	err := fs.WalkDir(licences, "licences", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	sort.Strings(names)
	for _, n := range names {
		text, err := licences.ReadFile(n)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w.stdout, "%s\n\n", bytes.TrimSpace(text)); err != nil {
			return err
		}
	}
	return nil
}
