package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// noteTombstone is the schema of the note that says what was taken down and why; it is never pruned.
const noteTombstone survey.NoteKind = "mirrorwatch/tombstone/1"

// Tombstone stands for records that were taken out of the archive.
type Tombstone struct {
	Schema  survey.NoteKind   `json:"schema"`
	URLs    []string          `json:"urls"`
	Reason  string            `json:"reason"`
	At      time.Time         `json:"at"`
	Records []survey.RecordID `json:"records"`
}

// ReferencedError is a payload that revisits of other URLs need; forgetting those too takes it down everywhere.
type ReferencedError struct{ URLs []string }

func (e *ReferencedError) Error() string {
	return fmt.Sprintf("captures of %d other URLs have the same content, such as %q; name them too", len(e.URLs), e.URLs[0])
}

// Forget takes every record of the URLs out of sealed files: captures, their requests and metadata, and snapshots of such
// pages. A tombstone with the reason is made durable first; a crash in between leaves records that a second Forget takes
// out. Files are written again without the records, whole or not at all; nothing of them is kept aside.
func (a *Archive) Forget(ctx context.Context, urls []string, reason string) (Tombstone, error) {
	t := Tombstone{Schema: noteTombstone, URLs: urls, Reason: reason, At: a.opt.Now().UTC(), Records: []survey.RecordID{}}
	if a.opt.ReadOnly {
		return t, ErrReadOnly
	}
	x, err := a.index.view(ctx)
	if err != nil {
		return t, err
	}
	targets := map[string]bool{}
	for _, u := range urls {
		targets[targetURI(u)] = true
	}
	gone := map[string]bool{}    // record IDs
	digests := map[string]bool{} // of whole records that go
	files := map[string]bool{}
	for u := range targets {
		for l, err := range x.Exact(u) {
			if err != nil {
				if errors.Is(err, cdxj.ErrLine) {
					continue
				}
				return t, err
			}
			if l.URL != u || gone[l.RecordID] {
				continue
			}
			gone[l.RecordID] = true
			files[l.Filename] = true
			t.Records = append(t.Records, survey.RecordID(l.RecordID))
			if isOrigin(&l) {
				digests[l.Digest] = true
			}
		}
	}
	if len(gone) == 0 {
		return t, fmt.Errorf("%q: %w", urls, ErrNotFound)
	}
	var others []string
	for l, err := range x.All() {
		if err == nil && l.MIME == mimeRevisit && digests[l.Digest] && !gone[l.RecordID] {
			others = append(others, l.URL)
		} else if err != nil && !errors.Is(err, cdxj.ErrLine) {
			return t, err
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		return t, &ReferencedError{slices.Compact(others)}
	}
	slices.Sort(t.Records)
	for f := range files {
		if exists(a.path(archiveDir, f+openSuffix)) {
			return t, fmt.Errorf("%q is being written; forget in a session of its own", f)
		}
	}
	body, err := json.Marshal(t)
	if err != nil {
		return t, err
	}
	if _, err := a.Note(ctx, survey.Note{Kind: noteTombstone, URI: "urn:mirrorwatch:tombstone", Date: t.At, Body: body}); err != nil {
		return t, err
	}
	if err := a.Commit(ctx); err != nil {
		return t, err
	}
	for f := range files {
		if err := a.forgetIn(ctx, f, gone); err != nil {
			return t, fmt.Errorf("forgetting in %q: %w", f, err)
		}
	}
	return t, nil
}

// forgetIn writes one sealed file again without the records and those concurrent to them.
func (a *Archive) forgetIn(ctx context.Context, name string, gone map[string]bool) error {
	path := a.path(archiveDir, name)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// Index and manifest line go first: a crash before they are back leaves a file that the next Open indexes and lists.
	if err := a.uncover(name); err != nil {
		return err
	}
	if err := a.unlist(name); err != nil {
		return err
	}
	err = durable.Write(a.fs, path, 0o666, func(w io.Writer) error {
		r := warc.NewReader(io.NewSectionReader(f, 0, 1<<62), warc.ReaderOptions{})
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			rec, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := rec.Close(); err != nil {
				return err
			}
			_ = r.Findings()
			drop := gone[rec.Header.ID()]
			for _, id := range rec.Header.Values(warc.FieldConcurrentTo) {
				drop = drop || gone[warc.Bare(id)]
			}
			if drop {
				continue
			}
			if _, err := io.Copy(w, io.NewSectionReader(f, rec.Offset, rec.Length)); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return writeError("write", path, err)
	}
	lines, _, _, err := indexWARC(ctx, path, name)
	if err != nil {
		return err
	}
	if err := a.writeIndexes(name, lines); err != nil {
		return err
	}
	sum, err := fileSum(path)
	if err != nil {
		return err
	}
	return a.addToManifest(map[string]string{name: sum})
}
