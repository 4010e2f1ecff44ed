package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
)

func exportCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write snapshots as one WARC or WACZ that stands alone",
		ArgsUsage: "[URL...]",
		Description: "With URLs: the snapshots of these articles; without: of --site, or all, imported records too. Before it writes, it lists\n" +
			"records that tell the address they were fetched from.\n\n" + statuses("nothing to export"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "the `FILE` to write"},
			&cli.StringFlag{Name: "as", Usage: "`FORM`: warc or wacz (default by the file's ending)"},
			&cli.StringFlag{Name: "site", Usage: "only the site of this `NAME`"},
			&cli.StringFlag{Name: "from", Usage: "only what was seen at this `TIME` or later"},
			&cli.StringFlag{Name: "until", Usage: "only what was seen at this `TIME` or earlier"},
			&cli.StringFlag{Name: "mirror", Usage: "only this mirror's `HOST`"},
			&cli.StringFlag{Name: "vantage", Usage: "only seen from this `VANTAGE`"},
			&cli.StringFlag{Name: "title", Usage: "the `TITLE` of a WACZ"},
			&cli.BoolFlag{Name: "sign", Usage: "sign a WACZ with a key made for it (anonymous; it shows that nothing was changed since)"},
			&cli.StringSliceFlag{Name: "own-address", Usage: "an `IP` of yours to look for, beside those of this machine; repeatable"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only list"},
			&cli.BoolFlag{Name: "force", Usage: "replace what is at FILE"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return export(c, w) },
	}
}

func export(c *cli.Context, w *world) (err error) {
	to, form := c.String("to"), c.String("as")
	if to == "" && !c.Bool("dry-run") {
		return usagef("mirrorwatch export --to FILE.wacz [URL...]", "export: --to is missing")
	}
	if form == "" {
		switch lower := strings.ToLower(to); {
		case strings.HasSuffix(lower, ".wacz"):
			form = archive.AsWACZ
		case strings.HasSuffix(lower, ".warc.gz"), c.Bool("dry-run"):
			form = archive.AsWARC
		default:
			return usagef("name the form with --as warc or --as wacz", "export: what %q should be does not show from its ending (.warc.gz, .wacz)", to)
		}
	}
	if form != archive.AsWARC && form != archive.AsWACZ {
		return usagef("forms: warc, wacz", "export: --as %q is no form", form)
	}
	if c.Bool("sign") && form != archive.AsWACZ {
		return usagef("export --as wacz --sign", "export: only a WACZ can be signed")
	}
	q := archive.Query{Mirror: survey.Host(strings.ToLower(c.String("mirror"))), Vantage: c.String("vantage")}
	for name, into := range map[string]*time.Time{"from": &q.From, "until": &q.To} {
		if !c.IsSet(name) {
			continue
		}
		if *into, err = parseTime(c.String(name)); err != nil {
			return usagef("give 2026-01-02, 2026-01-02T15:04:05Z, 14 or 17 digits", "export: --%s: %w", name, err)
		}
	}
	own, err := ownAddresses(c.StringSlice("own-address"))
	if err != nil {
		return err
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	snaps, loose, err := selection(c, d, q)
	if err != nil {
		return err
	}
	if len(snaps)+len(loose) == 0 {
		return &status{code: exitFound, err: errors.New("nothing to export"), hint: "`mirrorwatch list` shows what is there"}
	}
	told, err := d.archive.OwnAddresses(c.Context, snaps, loose, own)
	if err != nil {
		return err
	}
	for _, t := range told {
		fmt.Fprintln(w.stderr, visible(fmt.Sprintf("%s: at %d: the %s of %s tells the visitor's address %s", t.File, t.Offset, t.Type, t.URL, t.Address)))
	}
	if c.Bool("dry-run") {
		fmt.Fprintf(w.stdout, "%s and %s would be exported; %s the visitor's address\n", plural(len(snaps), "snapshot"), plural(len(loose), "imported capture"), tell(len(told)))
		return nil
	}
	titles := map[string]string{}
	r, err := d.archive.ExportFile(c.Context, to, snaps, archive.ExportOptions{As: form, Title: c.String("title"), Sign: c.Bool("sign"), Captures: loose, Force: c.Bool("force"),
		Titles: func(s survey.Snapshot) string { return titles[s.Article.URL] }})
	var exists *archive.ExistsError
	if errors.As(err, &exists) {
		return usagef("choose another --to, or replace it with --force", "export: %w", err)
	}
	if err != nil {
		return fmt.Errorf("exporting to %q: %w", to, err)
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(w.stdout, "%s\n  %s, %s, %d bytes; %s the visitor's address\n", visible(to), plural(len(snaps), "snapshot"), plural(r.Captures, "capture"), r.Bytes, tell(len(told)))
	}
	return nil
}

func tell(n int) string {
	switch n {
	case 0:
		return "no record tells"
	case 1:
		return "1 record tells"
	}
	return fmt.Sprintf("%d records tell", n)
}

// selection gathers the snapshots that were asked for, and imported captures that no snapshot has.
func selection(c *cli.Context, d *data, q archive.Query) (snaps []survey.Snapshot, loose []survey.Capture, err error) {
	var addresses []string
	for _, arg := range c.Args().Slice() {
		u, err := sites.ParseURL(arg)
		if err != nil {
			return nil, nil, usagef("give the article's whole address", "export: %q is no address: %w", arg, err)
		}
		addresses = append(addresses, u.String())
	}
	wholly := len(addresses) == 0
	if wholly {
		addresses = []string{""}
	}
	for _, u := range addresses {
		q.URL = u
		found, err := d.archive.Snapshots(c.Context, q)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range found {
			if site := c.String("site"); site == "" || s.Article.Site == site {
				snaps = append(snaps, s)
			}
		}
		if !wholly && len(found) == 0 {
			s, err := d.archive.Assemble(c.Context, u, q.To)
			switch {
			case errors.Is(err, archive.ErrNotFound):
			case err != nil:
				return nil, nil, err
			default:
				snaps = append(snaps, s)
			}
		}
	}
	if !wholly || c.String("site") != "" || q.Vantage != "" {
		return snaps, nil, nil
	}
	loose, err = d.archive.Loose(c.Context, func(i survey.Capture) bool {
		return (q.From.IsZero() || !i.Date.Before(q.From)) && (q.To.IsZero() || !i.Date.After(q.To)) && (q.Mirror == "" || hostOf(i.URL) == q.Mirror)
	})
	return snaps, loose, err
}

func hostOf(address string) survey.Host {
	u, err := sites.ParseURL(address)
	if err != nil {
		return ""
	}
	return survey.MirrorName(u)
}

// ownAddresses are those given and those of this machine that others may see.
func ownAddresses(given []string) ([]netip.Addr, error) {
	var own []netip.Addr
	for _, s := range given {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, usagef("give an address such as 192.0.2.7", "export: --own-address: %w", err)
		}
		own = append(own, a)
	}
	local, err := net.InterfaceAddrs()
	if err != nil {
		return own, nil // looked for what is known
	}
	for _, l := range local {
		if p, err := netip.ParsePrefix(l.String()); err == nil && p.Addr().IsGlobalUnicast() {
			own = append(own, p.Addr())
		}
	}
	return own, nil
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// assembled puts a page together that no snapshot has, such as an imported one.
func assembled(ctx context.Context, d *data, name string, at time.Time) (survey.Snapshot, bool, error) {
	u, err := sites.ParseURL(name)
	if err != nil {
		return survey.Snapshot{}, false, nil
	}
	s, err := d.archive.Assemble(ctx, u.String(), at)
	if errors.Is(err, archive.ErrNotFound) {
		return s, false, nil
	}
	return s, err == nil, err
}
