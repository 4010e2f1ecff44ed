package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
)

var restoreForms = []string{archive.AsTree, archive.AsHTML, archive.AsWARC, archive.AsWACZ, archive.AsText, archive.AsMarkdown, archive.AsRaw}

func restoreCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "give an archived article back",
		ArgsUsage: "URL",
		Description: "URL is the article's address on its primary or on a mirror, or the name of a snapshot (time/URL) as reports and\n" +
			"`list` show it. What is there already is never overwritten unless --force is given.\n\n" + statuses("nothing there"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "the `PATH` to write to (a folder for tree, else a file)"},
			&cli.StringFlag{Name: "as", Value: "tree", Usage: "`FORM`: " + strings.Join(restoreForms, ", ")},
			&cli.StringFlag{Name: "at", Value: "latest", Usage: "the `TIME` to be nearest to (2026-01-02, 2026-01-02T15:04:05Z, 14 or 17 digits), or latest"},
			&cli.StringFlag{Name: "mirror", Value: "best", Usage: "the mirror's `HOST`, or best: the snapshot with the best verdict"},
			&cli.StringFlag{Name: "vantage", Usage: "only snapshots seen from this `VANTAGE`"},
			&cli.BoolFlag{Name: "any", Usage: "also pages that are not the article, such as a block page"},
			&cli.BoolFlag{Name: "force", Usage: "replace what is at PATH"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return restore(c, w) },
	}
}

func restore(c *cli.Context, w *world) (err error) {
	if c.NArg() != 1 {
		return usagef("mirrorwatch restore URL --to PATH", "restore: give one URL, not %d", c.NArg())
	}
	if c.String("to") == "" {
		return usagef("mirrorwatch restore "+c.Args().First()+" --to PATH", "restore: --to is missing")
	}
	form := c.String("as")
	if !slices.Contains(restoreForms, form) {
		return usagef("forms: "+strings.Join(restoreForms, ", "), "restore: --as %q is no form", form)
	}
	at, err := parseTime(c.String("at"))
	if err != nil {
		return usagef("give 2026-01-02, 2026-01-02T15:04:05Z, 14 or 17 digits, or latest", "restore: --at: %w", err)
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	row, err := choose(c.Context, d, choice{name: c.Args().First(), at: at, mirror: c.String("mirror"), vantage: c.String("vantage"), any: c.Bool("any")})
	var snap survey.Snapshot
	ok := false
	if err == nil {
		snap, ok, err = d.snapshot(c.Context, row)
	} else if ours := new(status); errors.As(err, &ours) && ours.code == exitFound && c.String("mirror") == "best" && c.String("vantage") == "" {
		// No visit of ours: an imported page, perhaps.
		var aerr error
		if snap, ok, aerr = assembled(c.Context, d, c.Args().First(), at); aerr != nil {
			err = aerr
		} else if ok {
			row, err = survey.SnapshotRow{Name: snap.Name(), Mirror: snap.Mirror, Time: snap.Time, Verdict: "not judged"}, nil
		}
	}
	if err != nil {
		return err
	}
	if !ok {
		return &status{code: exitFound, err: fmt.Errorf("snapshot %s is listed, but its records are not in the archive", row.Name), hint: "`mirrorwatch verify` says what else is missing"}
	}
	var donors []survey.Snapshot
	if c.String("mirror") == "best" {
		if donors, err = d.donors(c.Context, row, snap); err != nil {
			return err
		}
	}
	m, err := d.archive.Restore(c.Context, snap, archive.RestoreOptions{As: form, To: c.String("to"), Force: c.Bool("force"), Donors: donors})
	var exists *archive.ExistsError
	if errors.As(err, &exists) {
		return usagef("choose another --to, or replace it with --force", "restore: %w", err)
	}
	if err != nil {
		return fmt.Errorf("restoring %s: %w", row.Name, err)
	}
	if c.Bool("quiet") {
		return nil
	}
	page := c.String("to")
	if form == archive.AsTree {
		page = filepath.Join(page, filepath.FromSlash(m.Page))
	}
	fmt.Fprintf(w.stdout, "%s\n  from %s (%s), seen %s, %s\n", visible(page), visible(string(row.Mirror)), row.Verdict,
		row.Time.UTC().Format("2006-01-02 15:04:05 UTC"), plural(len(m.Files), "file"))
	filled := map[string]int{}
	for _, f := range m.Files {
		for _, flag := range f.Flags {
			if host, ok := strings.CutPrefix(flag, "from_mirror:"); ok {
				filled[host]++
			}
		}
	}
	for _, host := range slices.Sorted(maps.Keys(filled)) {
		fmt.Fprintf(w.stdout, "  %s of it from %s, which this snapshot lacks\n", plural(filled[host], "part"), visible(host))
	}
	if len(m.Missing) > 0 {
		fmt.Fprintf(w.stdout, "  %s of the page are not in the archive; manifest.json names them\n", plural(len(m.Missing), "part"))
	}
	return nil
}

// donors are the snapshots that may fill holes of one: of the same run, of other mirrors that were judged the same, and only
// when it was so itself (DESIGN section 6).
func (d *data) donors(ctx context.Context, row survey.SnapshotRow, snap survey.Snapshot) ([]survey.Snapshot, error) {
	same := func(r survey.SnapshotRow) bool {
		return (r.Verdict == survey.Identical || r.Verdict == survey.SameArticle) && !r.Flagged
	}
	if !same(row) || len(snap.LeftOut) == 0 {
		return nil, nil
	}
	rows, err := d.history.Snapshots(ctx, history.SnapshotQuery{Site: row.Site, Article: row.Article, From: snap.Time.Add(-24 * time.Hour), To: snap.Time.Add(24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	near, err := d.archive.Snapshots(ctx, archive.Query{Article: snap.Article.URL, From: snap.Time.Add(-24 * time.Hour), To: snap.Time.Add(24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	var out []survey.Snapshot
	for _, s := range near {
		if s.Run != snap.Run || s.Mirror == snap.Mirror || s.Page.Imported || s.Page.Unverified || len(out) == 16 {
			continue
		}
		// An equal page seen again has the row of its first visit, whose span covers this one.
		judged := slices.IndexFunc(rows, func(r survey.SnapshotRow) bool {
			return r.ID == s.ID || r.Mirror == s.Mirror && r.Vantage == s.Vantage && r.URL == s.URL && r.Payload == s.Page.Payload &&
				!s.Time.Before(r.Time.Add(-time.Second)) && !s.Time.After(r.Last.Add(time.Second))
		})
		if judged >= 0 && same(rows[judged]) {
			out = append(out, s)
		}
	}
	return out, nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// choice says which snapshot of an article is wanted.
type choice struct {
	name    string // URL, or snapshot name
	at      time.Time
	mirror  string // host, or best
	vantage string
	any     bool
}

// choose finds the snapshot: the named one; else, of the article's snapshots, the best verdict, then the nearest in time.
func choose(ctx context.Context, d *data, want choice) (survey.SnapshotRow, error) {
	var none survey.SnapshotRow
	if digits, address, ok := strings.Cut(want.name, "/"); ok && len(digits) == 17 && strings.Trim(digits, "0123456789") == "" {
		rows, err := d.history.Snapshots(ctx, history.SnapshotQuery{URL: address})
		if err != nil {
			return none, err
		}
		for _, r := range rows {
			if r.Name == want.name {
				return r, nil
			}
		}
		return none, notThere(want.name, "`mirrorwatch list` shows what is there")
	}
	u, err := sites.ParseURL(want.name)
	if err != nil {
		return none, usagef("give the article's whole address, such as https://www.example.org/2026/story", "%q is no address: %w", want.name, err)
	}
	rows, err := d.history.Snapshots(ctx, history.SnapshotQuery{Article: u.String()})
	if err == nil && len(rows) == 0 {
		rows, err = d.history.Snapshots(ctx, history.SnapshotQuery{URL: u.String()})
	}
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, notThere(want.name, "`mirrorwatch list` shows what is there")
	}
	best, left := -1, 0
	for i, r := range rows {
		if want.mirror != "best" && want.mirror != "" && string(r.Mirror) != strings.ToLower(want.mirror) || want.vantage != "" && r.Vantage != want.vantage {
			continue
		}
		if !want.any && !restorable(r) {
			left++
			continue
		}
		if best < 0 || better(r, rows[best], want.at) {
			best = i
		}
	}
	switch {
	case best >= 0:
		return rows[best], nil
	case left > 0:
		return none, notThere(want.name, fmt.Sprintf("%d snapshots show something else than the article; --any takes them too, `mirrorwatch list %s` shows them", left, want.name))
	}
	return none, notThere(want.name, "not from this mirror and vantage; `mirrorwatch list "+want.name+"` shows what is there")
}

func notThere(name, hint string) error {
	return &status{code: exitFound, err: fmt.Errorf("no snapshot of %s", name), hint: hint}
}

// restorable reports whether the snapshot is the article, whole or not.
func restorable(r survey.SnapshotRow) bool {
	switch r.Verdict {
	case survey.Identical, survey.SameArticle, survey.Altered, survey.Truncated:
		return true
	}
	return false
}

// better reports whether a is the better snapshot: by state, then nearest to the time wanted (newest without one); of one
// check, the primary's.
func better(a, b survey.SnapshotRow, at time.Time) bool {
	if ra, rb := rank(a), rank(b); ra != rb {
		return ra < rb
	}
	if pa, pb := onItsPrimary(a), onItsPrimary(b); pa != pb && a.Time.Sub(b.Time).Abs() < sameVisit {
		return pa // of one check, the primary's
	}
	if at.IsZero() {
		return a.Time.After(b.Time)
	}
	return a.Time.Sub(at).Abs() < b.Time.Sub(at).Abs()
}

func onItsPrimary(r survey.SnapshotRow) bool {
	u, err := url.Parse(r.Article)
	return err == nil && survey.MirrorName(u) == r.Mirror
}

func rank(r survey.SnapshotRow) int {
	n := map[survey.State]int{survey.Up: 0, survey.Degraded: 2, survey.Unknown: 4, survey.Down: 6}[r.State]
	if r.Flagged {
		n++
	}
	return n
}

// parseTime reads the forms that --at takes; zero is "latest".
func parseTime(s string) (time.Time, error) {
	if s == "" || s == "latest" {
		return time.Time{}, nil
	}
	if strings.Trim(s, "0123456789") == "" && len(s) >= 4 {
		full := s
		if len(s) < 14 {
			full += "00000101000000"[len(s):]
		}
		if len(full) == 17 {
			full = full[:14] + "." + full[14:]
		}
		for _, layout := range []string{"20060102150405", "20060102150405.000"} {
			if t, err := time.Parse(layout, full); err == nil {
				return t, nil
			}
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", s)
}
