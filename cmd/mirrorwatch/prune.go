package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

func pruneCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "drop what retention of the sites file no longer keeps",
		Description: "Whole epochs of the archive go, the oldest first: those that ended longer ago than retention.warc, and more until what is\n" +
			"left fits retention.warc_bytes and retention.free_space. The last good snapshot of every article on every mirror and the\n" +
			"evidence of open incidents are kept. Records of runs and checks and imported records always stay.\n\n" + statuses("-"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ", when it exists)"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would go"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			&cli.BoolFlag{Name: "wait", Usage: "wait for another run to end"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return prune(c, w) },
	}
}

func mustBeThere(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "format")); errors.Is(err, fs.ErrNotExist) {
		return usagef("name the folder with --data or MIRRORWATCH_DATA", "no data folder at %q", dir)
	}
	return nil
}

func prune(c *cli.Context, w *world) (err error) {
	if c.NArg() > 0 {
		return usagef("retention stands in the sites file", "prune: unexpected argument %q", c.Args().First())
	}
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "prune: --format %q is no format", format)
	}
	file, err := loadSites(c, w)
	if err != nil {
		return err
	}
	if file == nil {
		return usagef("what is kept stands under retention in the sites file; name it with --sites", "prune: there is no %s here", defaultSites)
	}
	dir := dataFolder(c, w, file)
	if err := mustBeThere(dir); err != nil {
		return err
	}
	keep := file.Retention
	opt := maintenanceOptions(c, w)
	opt.Epoch = keep.Epoch
	d, err := openToWrite(dir, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	epochs, err := d.expired(keep, w.now())
	if err != nil {
		return err
	}
	survivors, err := d.survivors(c.Context)
	if err != nil {
		return err
	}
	dry := c.Bool("dry-run")
	rep, err := d.archive.Prune(c.Context, archive.PruneOptions{Epochs: epochs, Keep: survivors, DryRun: dry})
	if err != nil {
		return err
	}
	thin, err := d.history.PruneRaw(c.Context, w.now(), history.Keep{Raw: keep.Raw, Hourly: keep.Hourly, DryRun: dry})
	if err != nil {
		return err
	}
	rows := 0
	if !dry && len(rep.Files) > 0 {
		if rows, err = d.dropGone(c.Context); err != nil {
			return err
		}
	}
	if !dry {
		if file != nil {
			d.replayURL = file.ReplayURL
		}
		if _, err := publish(c.Context, d, w.now(), time.Time{}); err != nil && !errors.Is(err, errNoRun) {
			return err
		}
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"schema": "mirrorwatch/prune/1", "dry_run": dry, "epochs": epochs, "archive": rep, "snapshots": rows, "history_rows": thin.Total()})
	}
	if c.Bool("quiet") {
		return nil
	}
	would := ""
	if dry {
		would = "would be "
	}
	which := "no epoch is due"
	if len(epochs) > 0 {
		which = "epochs " + strings.Join(epochs, " ")
	}
	fmt.Fprintf(w.stdout, "%s: %s, %d bytes %sdropped; %s %scarried over; %s no longer listed; %d rows of history %sthinned\n", which,
		plural(len(rep.Files), "file"), rep.Bytes, would, plural(rep.Copied, "capture"), would, plural(rows, "snapshot"), thin.Total(), would)
	if low, err := spaceLeft(dir); err == nil && keep.FreeDisk > 0 && low < keep.FreeDisk && !dry {
		return fmt.Errorf("%q has %s left, retention.free_space wants %s, and nothing else may go", dir, sites.FormatSize(low), sites.FormatSize(keep.FreeDisk))
	}
	return nil
}

// expired names the epochs to drop, the oldest first. The present one never goes.
func (d *data) expired(keep sites.Retention, now time.Time) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, "archive"))
	if err != nil {
		return nil, err
	}
	size := map[string]int64{}
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		total += info.Size()
		epoch, _, ok := strings.Cut(e.Name(), "-")
		if _, known := epochEnd(epoch); ok && known && strings.HasSuffix(e.Name(), ".warc.gz") {
			size[epoch] += info.Size()
		}
	}
	var all []string
	for epoch := range size {
		if end, _ := epochEnd(epoch); epoch != d.archive.Epoch() && end.Before(now) {
			all = append(all, epoch)
		}
	}
	slices.SortFunc(all, func(x, y string) int {
		a, _ := epochEnd(x)
		b, _ := epochEnd(y)
		return a.Compare(b)
	})
	free, err := spaceLeft(d.dir)
	if err != nil {
		free = 1 << 62 // not known here: this rule drops nothing
	}
	drop := []string{}
	for _, epoch := range all {
		end, _ := epochEnd(epoch)
		old := keep.WARC > 0 && now.Sub(end) > keep.WARC
		if !old && !(keep.WARCBytes > 0 && total > keep.WARCBytes) && !(keep.FreeDisk > 0 && free < keep.FreeDisk) {
			continue
		}
		drop = append(drop, epoch)
		total -= size[epoch]
		free += size[epoch]
	}
	return drop, nil
}

// epochEnd reads the name of an epoch and returns when it ended: 2026, 202611, 20261125, 2026W48.
func epochEnd(epoch string) (time.Time, bool) {
	for _, e := range []struct {
		layout              string
		years, months, days int
	}{{"20060102", 0, 0, 1}, {"200601", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if len(epoch) == len(e.layout) {
			if t, err := time.Parse(e.layout, epoch); err == nil {
				return t.AddDate(e.years, e.months, e.days), true
			}
		}
	}
	var year, week int
	if n, err := fmt.Sscanf(epoch, "%4dW%2d", &year, &week); err != nil || n != 2 || len(epoch) != 7 || week < 1 || week > 53 {
		return time.Time{}, false
	}
	fourth := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC) // always in week 1
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
	return monday.AddDate(0, 0, 7*week), true
}

// survivors are the snapshots that outlive their epoch: the last good one of every article on every mirror, and what open
// incidents saw: the newest of the article and mirror since they began.
func (d *data) survivors(ctx context.Context) ([]survey.Snapshot, error) {
	rows, err := d.history.Snapshots(ctx, history.SnapshotQuery{Limit: 1 << 30})
	if err != nil {
		return nil, err
	}
	incidents, err := d.history.Incidents(ctx, time.Time{}, 1<<30)
	if err != nil {
		return nil, err
	}
	good := map[string]bool{}
	var out []survey.Snapshot
	for _, r := range rows { // newest first
		key := r.Article + " " + string(r.Mirror)
		keep := false
		if !good[key] && r.State == survey.Up && !r.Flagged {
			good[key], keep = true, true
		}
		for _, in := range incidents {
			if in.Closed == nil && in.Mirror == r.Mirror && (in.Article == "" || in.Article == r.Article) && !r.Last.Before(in.Started) {
				keep = true
			}
		}
		if !keep {
			continue
		}
		s, ok, err := d.snapshot(ctx, r)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// dropGone takes snapshots out of history whose records left the archive, and returns how many; those of which one of
// several equal visits is still there point at it.
func (d *data) dropGone(ctx context.Context) (int, error) {
	all, err := d.archive.Snapshots(ctx, archive.Query{})
	if err != nil {
		return 0, err
	}
	there := map[survey.RecordID]survey.Snapshot{}
	for _, s := range all {
		there[s.ID] = s
	}
	var gone []history.SnapshotRef
	err = d.history.References(ctx, func(r history.SnapshotRef) error {
		_, first := there[r.ID]
		if _, last := there[r.LastID]; !first || !last {
			gone = append(gone, r)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return d.history.DropSnapshots(ctx, gone, func(id survey.RecordID) (survey.Snapshot, bool) {
		s, ok := there[id]
		return s, ok
	})
}

// guardSpace refuses to begin a run on a disk that is as full as retention.free_space forbids.
func guardSpace(dir string, file *sites.File) error {
	if file == nil || file.Retention.FreeDisk <= 0 {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		free, err := spaceLeft(at)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
			continue // not made yet
		}
		if err == nil && free < file.Retention.FreeDisk {
			return &status{code: exitOurs, err: fmt.Errorf("%q has %s left and retention.free_space wants %s: no run begins", dir, sites.FormatSize(free), sites.FormatSize(file.Retention.FreeDisk)),
				hint: "`mirrorwatch prune` drops old epochs; or lower retention.free_space"}
		}
		return nil
	}
}
