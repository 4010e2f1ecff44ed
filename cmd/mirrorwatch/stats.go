package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/reports"
)

func statsCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "stats",
		Usage:       "sizes and counts of the data folder",
		Description: statuses("does not happen"),
		Flags:       append([]cli.Flag{&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"}, dataFlag()}, verbosityFlags()...),
		Action:      func(c *cli.Context) error { return stats(c, w) },
	}
}

// extent is what one kind of file takes.
type extent struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// folder is the extent of the data folder by kind.
type folder struct {
	Archive extent            `json:"archive"`
	Runs    extent            `json:"runs"` // records of runs and checks, which are never pruned
	Epochs  map[string]extent `json:"epochs"`
	Indexes extent            `json:"indexes"`
	Report  extent            `json:"report"`
	History extent            `json:"history"`
	Other   extent            `json:"other"`
	Total   extent            `json:"total"`
}

func measure(dir string) (folder, error) {
	f := folder{Epochs: map[string]extent{}}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a run is under way
		}
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		top, base := strings.Split(filepath.ToSlash(rel), "/")[0], filepath.Base(name)
		into := &f.Other
		switch {
		case top == "archive" && strings.HasPrefix(base, "runs-"):
			into = &f.Runs
		case top == "archive":
			into = &f.Archive
			epoch, _, _ := strings.Cut(base, "-")
			x := f.Epochs[epoch]
			f.Epochs[epoch] = extent{x.Files + 1, x.Bytes + st.Size()}
		case top == "indexes":
			into = &f.Indexes
		case top == "report":
			into = &f.Report
		case strings.HasPrefix(top, "history.db"):
			into = &f.History
		}
		for _, x := range []*extent{into, &f.Total} {
			x.Files++
			x.Bytes += st.Size()
		}
		return nil
	})
	return f, err
}

func stats(c *cli.Context, w *world) (err error) {
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "stats: --format %q is no format", format)
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	f, err := measure(d.dir)
	if err != nil {
		return fmt.Errorf("measuring %q: %w", d.dir, err)
	}
	h, err := d.history.Sizes(c.Context)
	if err != nil {
		return err
	}
	// What a prune by the sites file's rules would take is said by prune --dry-run; here by the built-in ones.
	p, err := d.history.PruneRaw(c.Context, w.now(), history.Keep{Raw: sites.DefaultRetention.Raw, Hourly: sites.DefaultRetention.Hourly, Detail: detailDays * 24 * time.Hour, DryRun: true})
	if err != nil {
		return err
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"schema": "mirrorwatch/stats/1", "folder": f, "history": h, "prunable_rows": p.Total()})
	}
	tw := tabwriter.NewWriter(w.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tfiles\tsize\t")
	for _, r := range []struct {
		name string
		x    extent
	}{{"archive", f.Archive}, {"runs and checks", f.Runs}, {"indexes", f.Indexes}, {"history", f.History}, {"report", f.Report}, {"other", f.Other}, {"total", f.Total}} {
		fmt.Fprintf(tw, "%s\t%d\t%s\t\n", r.name, r.x.Files, megabytes(r.x.Bytes))
	}
	fmt.Fprintln(tw, "\trows\t\t")
	for _, t := range h.Tables {
		if t.Rows > 0 {
			fmt.Fprintf(tw, "%s\t%d\t\t\n", strings.ReplaceAll(t.Name, "_", " "), t.Rows)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if h.First != nil && h.Last != nil {
		fmt.Fprintf(w.stdout, "runs from %s to %s\n", h.First.Format(time.RFC3339), h.Last.Format(time.RFC3339))
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
