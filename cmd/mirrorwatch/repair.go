package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/reports"
)

func repairCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "repair",
		Usage: "mend the archive and keep the originals",
		Description: "Seals what a killed run left, writes damaged WARCs again from their whole records, makes indexes and manifest agree with\n" +
			"the files. Nothing is deleted: what was replaced stays beside with .damaged in its name. --rebuild-history makes " + historyFile + "\n" +
			"again from the archive's records of runs and checks, incidents too; notices sent and acknowledgements, which no record\n" +
			"holds, are taken over from the old one where it can be read.\n\n" + statuses("-"),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "rebuild-history", Usage: "make " + historyFile + " again from the archive"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			&cli.BoolFlag{Name: "wait", Usage: "wait for another run to end"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return repair(c, w) },
	}
}

func repair(c *cli.Context, w *world) error {
	if c.NArg() > 0 {
		return usagef("name the folder with --data", "repair: unexpected argument %q", c.Args().First())
	}
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "repair: --format %q is no format", format)
	}
	dir := dataFolder(c, w, nil)
	if _, err := os.Stat(filepath.Join(dir, "archive")); err != nil {
		return usagef("name the folder with --data or MIRRORWATCH_DATA", "repair: no data folder at %q", dir)
	}
	res, err := archive.Repair(c.Context, dir, maintenanceOptions(c, w))
	if err != nil {
		return err
	}
	runs, checks := 0, 0
	if c.Bool("rebuild-history") {
		kept := ""
		if runs, checks, kept, err = rebuildHistory(c.Context, dir, maintenanceOptions(c, w), w.now()); err != nil {
			return err
		}
		res.Actions = append(res.Actions, archive.RepairAction{File: historyFile, Action: "rebuilt", Kept: kept, Message: fmt.Sprintf("%d runs, %d checks", runs, checks)})
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(res)
	}
	for _, a := range res.Actions {
		line := a.File + ": " + a.Action
		if a.Message != "" {
			line += ": " + a.Message
		}
		if a.Kept != "" {
			line += "; the original is " + a.Kept
		}
		fmt.Fprintln(w.stdout, visible(line))
	}
	if len(res.Actions) == 0 && !c.Bool("quiet") {
		fmt.Fprintln(w.stdout, "nothing to mend")
	}
	return nil
}

// rebuildHistory writes the history anew beside the old one and puts it in its place when it is whole.
func rebuildHistory(ctx context.Context, dir string, opt archive.Options, now time.Time) (runs, checks int, kept string, err error) {
	a, err := archive.Open(dir, opt) // for its lock
	if err != nil {
		return 0, 0, "", err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	path := filepath.Join(dir, historyFile)
	fresh := path + ".new"
	remove := func(name string) error {
		for _, s := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(name + s); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	if err := remove(fresh); err != nil {
		return 0, 0, "", err
	}
	_, serr := os.Stat(path)
	exists := serr == nil
	h, err := history.Open(fresh, history.Options{Log: opt.Log})
	if err != nil {
		return 0, 0, "", err
	}
	if runs, checks, err = retell(ctx, a, h, nil, true); err == nil && exists {
		// The old history may be what is broken: then incidents stay as they were reckoned again, and what was sent and
		// acknowledged is lost with it.
		if old, oerr := history.Open(path, history.Options{Log: opt.Log}); oerr == nil {
			if cerr := h.CopyIncidents(ctx, old); cerr != nil {
				opt.Log.Warn("incidents and notices of the old history cannot be read", "error", cerr)
			}
			_ = old.Close() // it is only put aside
		} else {
			opt.Log.Warn("the old history cannot be read", "error", oerr)
		}
	}
	if err = errors.Join(err, h.Close()); err != nil {
		return runs, checks, "", errors.Join(err, remove(fresh))
	}
	if exists {
		// The old one has both names until the new one takes its place: a crash leaves one of them, never none.
		kept = historyFile + ".before-" + now.UTC().Format("20060102T150405Z")
		for _, s := range []string{"-wal", "-shm"} {
			if err := os.Rename(path+s, filepath.Join(dir, kept+s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return runs, checks, "", err
			}
		}
		if err := os.Link(path, filepath.Join(dir, kept)); err != nil {
			if err := os.Rename(path, filepath.Join(dir, kept)); err != nil {
				return runs, checks, "", err
			}
		}
	}
	return runs, checks, kept, os.Rename(fresh, path)
}
