package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	v := reports.View{Report: doc, Now: now.UTC(), Command: "mirrorwatch", DataDir: d.dir, ReplayURL: d.replayURL}
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
// all, index.html last; a file that would not change is left alone. What an earlier report wrote and this one does not is
// removed; other files in the folder are not touched. Two commands that publish at once take turns.
func publish(ctx context.Context, d *data, now, since time.Time) (string, error) {
	dir := filepath.Join(d.dir, "report")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"), flock.SetPermissions(0o666))
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
	files := slices.Collect(reports.Files(v))
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	// Until the old ones are gone the list holds both, so that nothing is forgotten when we are killed.
	old := readFileList(dir)
	if err := writeFileList(dir, old, slices.Concat(old, names)); err != nil {
		return "", err
	}
	// One fsync, of the last: the others can be written again from history at any time.
	last := len(files) - 1
	var group sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, runtime.GOMAXPROCS(0))
	for i := range errs {
		group.Go(func() {
			var b bytes.Buffer
			for errs[i] == nil {
				n := int(next.Add(1)) - 1
				if n >= last {
					return
				}
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = publishFile(dir, files[n], &b, false)
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	if err := publishFile(dir, files[last], new(bytes.Buffer), true); err != nil {
		return "", err
	}
	name := filepath.Join(dir, files[last].Name)
	for _, gone := range old {
		if !slices.Contains(names, gone) {
			if err := os.Remove(filepath.Join(dir, gone)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("removing what an earlier report wrote: %w", err)
			}
		}
	}
	return name, writeFileList(dir, readFileList(dir), names)
}

// publishFile writes one file of the report unless it stands there already; b is room that it may use.
func publishFile(dir string, f reports.File, b *bytes.Buffer, sync bool) error {
	b.Reset()
	if err := f.Write(b); err != nil {
		return err
	}
	name := filepath.Join(dir, f.Name)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, b.Bytes()) {
		return nil
	}
	return replace(name, sync, func(out *os.File) error { _, err := out.Write(b.Bytes()); return err })
}

// fileList is the name of the file in the report's folder that lists what we wrote there.
const fileList = ".files"

// readFileList returns the names of the files that earlier reports wrote; what is no name of ours is left out, so that no
// edit of the list has us remove anything else.
func readFileList(dir string) (names []string) {
	text, err := os.ReadFile(filepath.Join(dir, fileList))
	if err != nil {
		return nil
	}
	for _, name := range strings.Fields(string(text)) {
		if reports.IsFile(name) {
			names = append(names, name)
		}
	}
	return names
}

// writeFileList writes the list, in order and each name once, unless it is old.
func writeFileList(dir string, old, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if slices.Equal(old, names) {
		return nil
	}
	return replace(filepath.Join(dir, fileList), false, func(f *os.File) error {
		_, err := io.WriteString(f, strings.Join(names, "\n")+"\n")
		return err
	})
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

// writeWhole writes a file whole or not at all, replacing what was there; what is no file, such as a pipe or a device, is
// written to and stays what it is.
func writeWhole(name string, write func(f *os.File) error) error { return replace(name, true, write) }

func replace(name string, sync bool, write func(f *os.File) error) (err error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			err = errors.Join(write(f), f.Close())
		}
		if err != nil {
			return fmt.Errorf("writing %q: %w", name, err)
		}
		return nil
	}
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
