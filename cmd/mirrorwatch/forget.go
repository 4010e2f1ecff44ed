package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
)

func forgetCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "forget",
		Usage:     "take every record of a URL out of the archive",
		ArgsUsage: "URL...",
		Description: "For takedowns. A tombstone with the reason stays; the octets do not. Pages of other URLs with the same content stay whole.\n\n" +
			statuses("there is no record of the URL"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "why: the `TEXT` of the tombstone"},
			&cli.BoolFlag{Name: "wait", Usage: "wait for another run to end"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return forget(c, w) },
	}
}

func forget(c *cli.Context, w *world) (err error) {
	if c.NArg() == 0 {
		return usagef("mirrorwatch forget URL --reason TEXT", "forget: no URL given")
	}
	if strings.TrimSpace(c.String("reason")) == "" {
		return usagef("mirrorwatch forget "+c.Args().First()+" --reason TEXT", "forget: --reason is missing")
	}
	var addresses []string
	for _, arg := range c.Args().Slice() {
		u, err := sites.ParseURL(arg)
		if err != nil {
			return usagef("give the whole address", "forget: %q is no address: %w", arg, err)
		}
		addresses = append(addresses, u.String())
	}
	dir := dataFolder(c, w, nil)
	if err := mustBeThere(dir); err != nil {
		return err
	}
	d, err := openToWrite(dir, maintenanceOptions(c, w))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	t, err := d.archive.Forget(c.Context, addresses, c.String("reason"))
	var needed *archive.ReferencedError
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return &status{code: exitFound, err: fmt.Errorf("no record of %s", strings.Join(addresses, ", ")), hint: "`mirrorwatch list` shows what is there; each mirror's address counts on its own"}
	case errors.As(err, &needed):
		return usagef("name these too, or repair the archive first: "+strings.Join(needed.URLs, " "), "forget: %w", err)
	case err != nil:
		return err
	}
	rows, err := d.dropGone(c.Context)
	if err != nil {
		return err
	}
	if _, err := publish(c.Context, d, w.now(), time.Time{}); err != nil && !errors.Is(err, errNoRun) {
		return err
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(w.stdout, "%s taken out, %s no longer listed; the tombstone is kept\n", plural(len(t.Records), "record"), plural(rows, "snapshot"))
	}
	return nil
}
