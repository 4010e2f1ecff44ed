package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// data is an open data folder: the archive and the history beside it.
type data struct {
	dir     string
	archive *archive.Archive
	history *history.DB
	// trustImports lets imported pages be references, as versions seen at the time their records say.
	trustImports bool
	// replayURL is where the report's snapshots lead; empty: it names the commands that give them back.
	replayURL string
}

// historyFile is the history's name in the data folder.
const historyFile = "history.db"

// openToWrite opens the folder for a run: it is made when it does not exist, locked, and recovered when the last run was
// killed.
func openToWrite(dir string, opt archive.Options) (*data, error) {
	a, err := archive.Open(dir, opt)
	if err != nil {
		return nil, fmt.Errorf("opening data folder %q: %w", dir, err)
	}
	h, err := history.Open(filepath.Join(dir, historyFile), history.Options{Log: opt.Log})
	if err != nil {
		return nil, errors.Join(newerHistory(err), a.Close())
	}
	d := &data{dir: dir, archive: a, history: h}
	if err := d.reconcile(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("telling history what a killed run archived: %w", err), d.close())
	}
	return d, nil
}

// openToRead opens the folder without a lock and writes nothing.
func openToRead(dir string, log *slog.Logger) (*data, error) {
	if _, err := os.Stat(filepath.Join(dir, "format")); errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("run `mirrorwatch check URL` first, or name the folder with --data or MIRRORWATCH_DATA", "no data folder at %q", dir)
	}
	a, err := archive.Open(dir, archive.Options{ReadOnly: true, Log: log})
	if err != nil {
		return nil, fmt.Errorf("opening data folder %q: %w", dir, err)
	}
	h, err := history.Open(filepath.Join(dir, historyFile), history.Options{ReadOnly: true, Log: log})
	if err != nil {
		return nil, errors.Join(newerHistory(err), a.Close())
	}
	return &data{dir: dir, archive: a, history: h}, nil
}

func newerHistory(err error) error {
	var newer *history.ErrNewerSchema
	if errors.As(err, &newer) {
		return &status{code: exitUsage, err: err, hint: "use the newer mirrorwatch that wrote this history, or name another folder with --data"}
	}
	return err
}

// close seals what was written. The archive comes last: history only points at it.
func (d *data) close() error {
	return errors.Join(d.history.Close(), d.archive.Close())
}

// newRunID names a run by its UTC start and a random part.
func newRunID(t time.Time) survey.RunID {
	var b [3]byte
	_, _ = rand.Read(b[:])
	return survey.RunID(t.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:]))
}

// snapshot returns the archive's snapshot of a row of history; ok is false when its records are gone.
func (d *data) snapshot(ctx context.Context, row survey.SnapshotRow) (s survey.Snapshot, ok bool, err error) {
	at := row.Time.Truncate(time.Millisecond)
	snaps, err := d.archive.Snapshots(ctx, archive.Query{Article: row.Article, Mirror: row.Mirror, Vantage: row.Vantage, From: at, To: at.Add(time.Millisecond)})
	if err != nil {
		return s, false, err
	}
	for _, s := range snaps {
		if s.ID == row.ID {
			return s, true, nil
		}
	}
	return s, false, nil
}

// memory gives the crawler what earlier runs left.
type memory struct{ *data }

// sameVisit is how far apart visits of one check may lie: the primary's version then goes before a mirror's.
const sameVisit = 10 * time.Minute

// Versions takes what could serve as a reference: from the primary every version of the article, so that an edit of its own
// becomes the newest version once it was seen; from other mirrors only what was judged to be the article unchanged.
func (m memory) Versions(ctx context.Context, a survey.Article, limit int) ([]crawler.Version, error) {
	rows, err := m.history.Snapshots(ctx, history.SnapshotQuery{Site: a.Site, Article: a.URL, Limit: 8 * limit})
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.URL)
	if err != nil {
		return nil, err
	}
	primary := survey.MirrorName(u)
	rows = slices.DeleteFunc(rows, func(r survey.SnapshotRow) bool {
		return r.Flagged || !restorable(r) || r.Verdict == survey.Truncated || r.Mirror != primary && r.State != survey.Up
	})
	if at := slices.IndexFunc(rows, func(r survey.SnapshotRow) bool { return r.Mirror == primary }); at > 0 && rows[0].Last.Sub(rows[at].Last) < sameVisit {
		newest := rows[at]
		copy(rows[1:at+1], rows[:at])
		rows[0] = newest
	}
	var out []crawler.Version
	seen := map[survey.Digest]bool{}
	for _, row := range rows {
		if len(out) == limit {
			break
		}
		if seen[row.Payload] {
			continue
		}
		snap, ok, err := m.snapshot(ctx, row)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // forgotten or pruned
		}
		seen[row.Payload] = true
		out = append(out, crawler.Version{Snapshot: snap, Admissible: true})
	}
	if len(out) < limit {
		imported, err := m.importedVersions(ctx, a, limit-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, imported...)
	}
	return out, nil
}

// maxPage is how much of an archived page is read back for judging.
const maxPage = 64 << 20

func (m memory) Body(ctx context.Context, c survey.Capture) (contentType string, body []byte, err error) {
	r, err := m.archive.Open(ctx, c)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, r.Payload.Close()) }()
	contentType = r.Head.Get("Content-Type")
	if body, err = io.ReadAll(r.Decoded(maxPage)); err != nil {
		return contentType, nil, fmt.Errorf("reading %s: %w", c.URL, err)
	}
	charset, _ := message.Charset(contentType, body)
	body, err = message.ToUTF8(charset, body)
	return contentType, body, err
}

func (m memory) Latest(ctx context.Context, a survey.Article, h survey.Host, vantage string) (survey.Snapshot, bool, error) {
	snaps, err := m.archive.Snapshots(ctx, archive.Query{Article: a.URL, Mirror: h, Vantage: vantage, Limit: 1})
	if err != nil || len(snaps) == 0 {
		return survey.Snapshot{}, false, err
	}
	return snaps[0], true, nil
}

func (m memory) Since(ctx context.Context, a survey.Article, h survey.Host, vantage string, s survey.State) (time.Time, bool, error) {
	state, since, ok, err := m.history.Since(ctx, a.Site, a.URL, h, vantage)
	return since, ok && state == s, err
}

func (m memory) Failures(ctx context.Context, a survey.Article, h survey.Host, vantage string) ([]time.Time, error) {
	return m.history.Failures(ctx, a.Site, a.URL, h, vantage)
}

func (m memory) Arrival(ctx context.Context, a survey.Article, h survey.Host, vantage string) (first, before time.Time, err error) {
	return m.history.Arrival(ctx, a.Site, a.URL, h, vantage)
}

func (m memory) Links(ctx context.Context, site string, f func(crawler.KnownLink) bool) error {
	return m.history.KnownLinks(ctx, site, func(k history.KnownLink) bool {
		return f(crawler.KnownLink{Target: k.Target, Kind: k.Kind, Parents: k.Parents, LinkResult: k.LinkResult, Checked: k.Checked})
	})
}

func (m memory) Crawled(ctx context.Context, site string) (time.Time, error) {
	return m.history.Crawled(ctx, site)
}
