package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// NoteTombstone is the schema of the note that says what was taken down and why; it is never pruned.
const NoteTombstone survey.NoteKind = "mirrorwatch/tombstone/1"

// Tombstone stands for records that were taken out of the archive.
type Tombstone struct {
	Schema  survey.NoteKind   `json:"schema"`
	URLs    []string          `json:"urls"`
	Reason  string            `json:"reason"`
	At      time.Time         `json:"at"`
	Records []survey.RecordID `json:"records"`
}

// ReferencedError is a payload that revisits of other URLs need and that could not be read to make them whole; forgetting
// those too takes it down everywhere.
type ReferencedError struct{ URLs []string }

func (e *ReferencedError) Error() string {
	return fmt.Sprintf("captures of %d other URLs have the same content, such as %q; name them too", len(e.URLs), e.URLs[0])
}

// Forget takes every record of the URLs out of sealed files: captures, their requests and metadata, and snapshots of such
// pages. A tombstone with the reason is made durable first; a crash in between leaves records that a second Forget takes
// out. Files are written again without the records, whole or not at all; nothing of them is kept aside.
func (a *Archive) Forget(ctx context.Context, urls []string, reason string) (Tombstone, error) {
	t := Tombstone{Schema: NoteTombstone, URLs: urls, Reason: reason, At: a.opt.Now().UTC(), Records: []survey.RecordID{}}
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
			if p := l.Extra[extraPage]; l.URL != u || gone[l.RecordID] || p != "" && targetURI(p) != u {
				continue // of the last kind: another page's snapshot, listed under its article
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
	// Revisits of other URLs become whole records of their own.
	whole, err := a.newSpares()
	if err != nil {
		return t, err
	}
	defer whole.close()
	var others []string
	for l, err := range x.All() {
		switch {
		case err != nil && !errors.Is(err, cdxj.ErrLine):
			return t, err
		case err != nil || l.MIME != mimeRevisit || !digests[l.Digest] || gone[l.RecordID] || l.Extra[extraKind] != "":
			continue
		}
		if err := whole.take(ctx, captureOf(&l)); err != nil {
			if ctx.Err() != nil {
				return t, err
			}
			others = append(others, l.URL)
			continue
		}
		files[l.Filename] = true
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
	if _, err := a.Note(ctx, survey.Note{Kind: NoteTombstone, URI: "urn:mirrorwatch:tombstone", Date: t.At, Body: body}); err != nil {
		return t, err
	}
	if err := a.Commit(ctx); err != nil {
		return t, err
	}
	for f := range files {
		if err := a.forgetIn(ctx, f, gone, whole); err != nil {
			return t, fmt.Errorf("forgetting in %q: %w", f, err)
		}
	}
	return t, nil
}

// spares are revisits that must become whole records because their original goes, and the payloads for them, in a file
// without a name.
type spares struct {
	a        *Archive
	f        *os.File
	size     int64
	payloads map[string]*io.SectionReader // by payload digest
	revisits map[string]string            // record ID -> payload digest
}

func (a *Archive) newSpares() (*spares, error) {
	f, err := os.CreateTemp("", "mirrorwatch-forget-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name())
	return &spares{a: a, f: f, payloads: map[string]*io.SectionReader{}, revisits: map[string]string{}}, nil
}

func (s *spares) close() error { return s.f.Close() }

// take reads the payload of a revisit, once for each digest, and makes sure that it is the one.
func (s *spares) take(ctx context.Context, c survey.Capture) error {
	digest := string(c.Payload)
	if s.payloads[digest] == nil {
		res, err := s.a.Open(ctx, c)
		if err != nil {
			return err
		}
		defer res.Payload.Close()
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(s.f, sum), res.Payload)
		if err != nil {
			return err
		}
		from := s.size
		s.size += n
		if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != digest {
			return fmt.Errorf("payload of %q has digest %s, not %s", c.URL, got, digest)
		}
		s.payloads[digest] = io.NewSectionReader(s.f, from, n)
	}
	s.revisits[string(c.RecordID)] = digest
	return nil
}

// record makes the whole record of a revisit: its own head, the payload behind it, a new ID that names the old one (W19).
func (s *spares) record(rec *warc.Record) (*warc.Member, error) {
	payload := s.payloads[s.revisits[rec.Header.ID()]]
	head, err := io.ReadAll(io.LimitReader(rec.Block, 1<<20))
	if err != nil {
		return nil, err
	}
	var parts []io.Reader
	size := int64(len(head)) + payload.Size()
	body := io.NewSectionReader(payload, 0, payload.Size())
	parts = append(parts, bytes.NewReader(head), body)
	if h, err := message.ParseHead(head); err == nil && strings.Contains(strings.ToLower(h.Get("Transfer-Encoding")), "chunked") {
		begin, end := fmt.Sprintf("%x\r\n", payload.Size()), "\r\n0\r\n\r\n"
		parts = []io.Reader{bytes.NewReader(head), strings.NewReader(begin), body, strings.NewReader(end)}
		size += int64(len(begin) + len(end))
	}
	h := rec.Header.Clone()
	h.Set(warc.FieldType, warc.Response)
	h.Set(fieldPrevious, warc.Angle(h.ID()))
	h.SetID(warc.NewRecordID())
	for _, f := range []string{warc.FieldProfile, warc.FieldRefersTo, warc.FieldRefersToURI, warc.FieldRefersToDate, warc.FieldTruncated, warc.FieldBlockDigest, warc.FieldContentLength} {
		h.Del(f)
	}
	return warc.NewEncoder(s.a.opt.Level).Encode(warc.Out{Header: h, Block: io.MultiReader(parts...), Size: size, Digest: true})
}

// fieldPrevious names the record that a changed copy stands for (W19).
const fieldPrevious = "WARC-Previous-Record-ID"

// forgetIn writes one sealed file again without the records and those concurrent to them, and with whole records in the
// place of revisits that lose their original.
func (a *Archive) forgetIn(ctx context.Context, name string, gone map[string]bool, whole *spares) error {
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
			if whole.revisits[rec.Header.ID()] != "" {
				m, err := whole.record(rec)
				if err != nil {
					return err
				}
				_, err = m.WriteTo(w)
				_ = m.Close()
				if err = errors.Join(err, rec.Close()); err != nil {
					return err
				}
				_ = r.Findings()
				continue
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
