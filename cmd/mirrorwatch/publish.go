package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"mirrorwatch/archive/history"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

// Bounds of what one page shows.
const (
	shownRuns      = 50
	shownStates    = 2000
	shownSnapshots = 5000
	shownIncidents = 1000
)

// view gathers what the page shows: a run and what history remembers around it, of changes and incidents what is no older
// than since (zero: 90 days).
func view(ctx context.Context, d *data, doc survey.Report, now, since time.Time) (reports.View, error) {
	if since.IsZero() {
		since = now.AddDate(0, 0, -90)
	}
	v := reports.View{Report: doc, Now: now.UTC(), Command: "mirrorwatch", DataDir: d.dir}
	var err error
	if v.Mirrors, err = d.history.Mirrors(ctx, now); err != nil {
		return v, err
	}
	if v.Snapshots, err = d.history.Snapshots(ctx, history.SnapshotQuery{Limit: shownSnapshots}); err != nil {
		return v, err
	}
	if v.Runs, err = d.history.Runs(ctx, shownRuns); err != nil {
		return v, err
	}
	if v.Lags, err = d.history.Lags(ctx, now.AddDate(0, 0, -30)); err != nil {
		return v, err
	}
	if v.Incidents, err = d.history.Incidents(ctx, since, shownIncidents); err != nil {
		return v, err
	}
	v.States, err = d.history.States(ctx, since, shownStates)
	return v, err
}

// errNoRun says that there is nothing to report.
var errNoRun = errors.New("writing the report: there is no run yet")

// publish writes DIR/report of the newest run and returns the path of its index.html. Each file is written whole or not at
// all, index.html last; a file that would not change is left alone. Two commands that publish at once take turns.
func publish(ctx context.Context, d *data, now, since time.Time) (string, error) {
	dir := filepath.Join(d.dir, "report")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	doc, ok, err := d.history.Last(ctx)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", errNoRun
	}
	v, err := view(ctx, d, doc, now, since)
	if err != nil {
		return "", err
	}
	name := ""
	var b bytes.Buffer
	for f := range reports.Files(v) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		b.Reset()
		if err := f.Write(&b); err != nil {
			return "", err
		}
		name = filepath.Join(dir, f.Name)
		if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, b.Bytes()) {
			continue
		}
		// One fsync, of the last: the others can be written again from history at any time.
		if err := replace(name, f.Name == "index.html", func(out *os.File) error { _, err := out.Write(b.Bytes()); return err }); err != nil {
			return "", err
		}
	}
	return name, nil
}

// formats are the shapes that `check` prints and `report` writes.
var formats = []string{"text", "json", "jsonl", "csv", "junit", "markdown"}

// writeAs writes the document in one of formats. page is the HTML report's path, named at the end of the text.
func writeAs(out io.Writer, format string, doc survey.Report, dir, page string, look reports.TextOptions) error {
	switch format {
	case "json":
		return reports.JSON(out, doc)
	case "jsonl":
		return reports.JSONL(out, doc)
	case "csv":
		return reports.CSV(out, doc)
	case "junit":
		return reports.JUnit(out, doc)
	case "markdown":
		return reports.Markdown(out, doc)
	}
	look.Report, look.Command, look.DataDir = page, "mirrorwatch", shownDir(dir)
	return reports.Text(out, doc, look)
}

// shownDir is the folder as restore commands must name it: not at all when it is the default.
func shownDir(dir string) string {
	if dir == defaultData {
		return ""
	}
	return dir
}

// writeWhole writes a file whole or not at all, replacing what was there.
func writeWhole(name string, write func(f *os.File) error) error { return replace(name, true, write) }

func replace(name string, sync bool, write func(f *os.File) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".mirrorwatch-*")
	if err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("writing %q: %w", name, err)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	// CreateTemp makes files that only we can read; a report is for others, within the umask.
	if err := f.Chmod(0o666 &^ umask()); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
