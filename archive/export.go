package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/wacz"
	"mirrorwatch/crawler/survey"
)

// ExportOptions say what ExportFile writes.
type ExportOptions struct {
	As string // AsWARC or AsWACZ
	// Title names the package; Titles gives a snapshot's title. WACZ only.
	Title  string
	Titles func(survey.Snapshot) string
	// Sign adds the anonymous signature of wacz-auth under a key made for it (WACZ only).
	Sign bool
	// Captures are exported beside the snapshots' own: records that no snapshot has, such as imported ones.
	Captures []survey.Capture
	// Force replaces what is there.
	Force bool
}

// ExportReport says what ExportFile wrote.
type ExportReport struct {
	Captures int   `json:"captures"`
	Bytes    int64 `json:"bytes"`
}

// ExportFile writes snapshots as one file that stands alone, whole or not at all: a WARC, or a WACZ that holds that WARC
// with one index over all of it and one page for each snapshot. ExistsError: the file is there and Force is not given.
func (a *Archive) ExportFile(ctx context.Context, to string, snaps []survey.Snapshot, opt ExportOptions) (report ExportReport, err error) {
	if opt.As != AsWARC && opt.As != AsWACZ {
		return report, fmt.Errorf("export: unknown form %q", opt.As)
	}
	if !opt.Force && exists(to) {
		return report, &ExistsError{to}
	}
	f, err := createBeside(to)
	if err != nil {
		return report, writeError("create", to, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if opt.As == AsWARC {
		report.Captures, err = a.export(ctx, f, filepath.Base(to), snaps, opt.Captures)
	} else {
		report.Captures, err = a.pack(ctx, f, snaps, opt)
	}
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) && path.Path == f.Name() {
			return report, writeError("write", to, err)
		}
		return report, err
	}
	info, err := f.Stat()
	if err != nil {
		return report, err
	}
	report.Bytes = info.Size()
	if err := f.Sync(); err != nil {
		return report, writeError("sync", to, err)
	}
	if err := f.Close(); err != nil {
		return report, writeError("close", to, err)
	}
	return report, place(f.Name(), to, opt.Force)
}

// createBeside makes a file that will be renamed to name, with the mode that the process's mask asks for. A device or a
// pipe of that name is not replaced, whoever asks for it.
func createBeside(name string) (*os.File, error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is there and is no file", name)
	}
	for try := 0; ; try++ {
		f, err := os.OpenFile(fmt.Sprintf("%s.tmp-%d-%d", name, os.Getpid(), try), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) || try == 100 {
			return f, err
		}
	}
}

// place gives a finished file its name; without force never that of another file.
func place(from, to string, force bool) error {
	if force {
		return writeError("rename", to, os.Rename(from, to))
	}
	err := os.Link(from, to) // fails when the target is there, where a rename would replace it
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist) || exists(to):
		_ = os.Remove(from)
		return &ExistsError{to}
	}
	return writeError("rename", to, os.Rename(from, to))
}

// packedName is the WARC within a WACZ.
const packedName = "data.warc.gz"

// pack writes a WACZ: the WARC goes to a temporary file first, since its digest and its index come before it.
func (a *Archive) pack(ctx context.Context, w io.Writer, snaps []survey.Snapshot, opt ExportOptions) (n int, err error) {
	f, err := os.CreateTemp("", "mirrorwatch-export-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if n, err = a.export(ctx, f, packedName, snaps, opt.Captures); err != nil {
		return n, err
	}
	text, _, _, err := indexWARC(ctx, f.Name(), packedName)
	if err != nil {
		return n, err
	}
	p := wacz.Package{Title: opt.Title, Software: strings.TrimSuffix(cmp.Or(a.opt.Tool.Name, "mirrorwatch")+"/"+a.opt.Tool.Version, "/"),
		Created: a.now(), Index: packedIndex(text)}
	p.WARCs = []wacz.WARC{{Name: packedName, Open: func() (io.ReadCloser, error) { return os.Open(f.Name()) }}}
	seen := map[string]bool{}
	for _, s := range snaps {
		page := wacz.Page{ID: strings.TrimPrefix(string(s.ID), "urn:uuid:"), URL: s.URL, Time: pageTime(s), Title: s.URL}
		if opt.Titles != nil {
			page.Title = cmp.Or(opt.Titles(s), s.URL)
		}
		if !seen[page.ID] {
			seen[page.ID] = true
			p.Pages = append(p.Pages, page)
		}
	}
	for _, c := range opt.Captures {
		if c.Status == 200 && (c.Type == "text/html" || c.Type == "application/xhtml+xml") && strings.HasPrefix(c.URL, "http") {
			p.Pages = append(p.Pages, wacz.Page{ID: strings.TrimPrefix(string(c.RecordID), "urn:uuid:"), URL: c.URL, Time: c.Date, Title: c.URL})
		}
	}
	if opt.Sign {
		if p.Sign, err = wacz.NewKey(); err != nil {
			return n, err
		}
	}
	return n, wacz.Write(w, p)
}

// pageTime is the time of the page's record, which players look for.
func pageTime(s survey.Snapshot) time.Time {
	if s.Page.Date.IsZero() {
		return s.Time
	}
	return s.Page.Date
}

// packedIndex yields the lines of captures, sorted. Lines of our notes stand under the keys of pages and are no captures.
func packedIndex(text []byte) iter.Seq2[cdxj.Line, error] {
	lines := splitLines(text)
	slices.SortFunc(lines, bytes.Compare)
	return func(yield func(cdxj.Line, error) bool) {
		for _, raw := range lines {
			l, err := cdxj.Parse(raw)
			if err == nil && l.Extra[extraKind] != "" {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// export writes the WARC of snapshots and further captures.
func (a *Archive) export(ctx context.Context, w io.Writer, file string, snaps []survey.Snapshot, more []survey.Capture) (int, error) {
	what := fmt.Sprintf("%d snapshots", len(snaps))
	if len(more) > 0 {
		what += fmt.Sprintf(", %d more captures", len(more))
	}
	if err := a.subsetInfo(w, file, what); err != nil {
		return 0, err
	}
	done := map[survey.RecordID]bool{}
	for _, s := range snaps {
		for _, c := range capturesOf(s) {
			if err := a.copyGroups(ctx, w, c, done); err != nil {
				return len(done), fmt.Errorf("exporting %q: %w", s.Name(), err)
			}
		}
		if note, ok, err := a.snapshotNote(ctx, s); err != nil {
			return len(done), err
		} else if ok {
			if err := a.copyGroup(ctx, w, note); err != nil {
				return len(done), err
			}
		}
	}
	for _, c := range more {
		if err := a.copyGroups(ctx, w, c, done); err != nil {
			return len(done), fmt.Errorf("exporting %q: %w", c.URL, err)
		}
	}
	return len(done), nil
}

// Loose returns imported captures that accept takes, nil all, newest last: exports take them beside snapshots.
func (a *Archive) Loose(ctx context.Context, accept func(survey.Capture) bool) ([]survey.Capture, error) {
	x, err := a.index.view(ctx)
	if err != nil {
		return nil, err
	}
	var all []survey.Capture
	seen := map[string]bool{}
	for l, err := range x.All() {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue
			}
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if l.Extra[extraKind] != "" || !hasFlag(&l, flagImported) || seen[l.RecordID] {
			continue
		}
		seen[l.RecordID] = true
		if c := captureOf(&l); accept == nil || accept(c) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(x, y survey.Capture) int {
		return cmp.Or(x.Date.Compare(y.Date), cmp.Compare(x.RecordID, y.RecordID))
	})
	return all, nil
}
