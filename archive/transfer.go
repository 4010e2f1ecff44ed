package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/wacz"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// ImportReport says what Import took.
type ImportReport struct {
	Records    int             `json:"records"`
	Duplicates int             `json:"duplicates"` // there already, by record ID or as an equal record
	Equal      int             `json:"equal"`      // of those, the ones under another record ID: same URL, time and digest
	Damaged    int             `json:"damaged"`    // left out
	Captures   int             `json:"captures"`
	Findings   []VerifyFinding `json:"findings"`
}

// Import takes the records of a foreign WARC or ARC, plain, gzip or zstd, from a stream. Records keep their header and
// ID; they are flagged imported, so that they are never reference, donor or origin of a revisit. name is what findings
// call the file. Call Commit afterwards.
func (a *Archive) Import(ctx context.Context, in io.Reader, name string) (ImportReport, error) {
	report := ImportReport{Findings: []VerifyFinding{}}
	if a.opt.ReadOnly {
		return report, ErrReadOnly
	}
	s := a.imports()
	r := warc.NewReader(in, warc.ReaderOptions{Digests: true})
	seen := map[[16]byte]bool{}
	x := indexer{name: importPrefix, source: name}
	for {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return report, fmt.Errorf("importing %q: %w", name, err)
		}
		if err := a.importRecord(ctx, s, rec, &x, seen, &report); err != nil {
			return report, fmt.Errorf("importing %q at %d: %w", name, rec.Offset, err)
		}
		report.found(name, r.Findings())
	}
	report.found(name, r.Findings())
	return report, nil
}

func (r *ImportReport) found(name string, fs []warc.Finding) {
	for _, f := range fs {
		if len(r.Findings) < 1000 {
			r.Findings = append(r.Findings, VerifyFinding{File: name, Offset: f.Offset, Kind: f.Kind, Expected: f.Expected, Computed: f.Computed,
				Message: strings.TrimSpace(f.Field + " " + f.Message), Remark: !f.Fatal})
		}
	}
}

// imports is the series of imported records.
func (a *Archive) imports() *series {
	prefix := importPrefix + a.present().epoch + "-" + string(a.run)
	a.stageMu.Lock()
	defer a.stageMu.Unlock()
	for _, s := range a.extra {
		if s.prefix == prefix {
			return s
		}
	}
	s := a.newSeries(prefix)
	a.extra = append(a.extra, s)
	return s
}

// importMemory is the block size up to which an imported record stays in memory.
const importMemory = 4 << 20

func (a *Archive) importRecord(ctx context.Context, s *series, rec *warc.Record, x *indexer, seen map[[16]byte]bool, report *ImportReport) error {
	h := rec.Header.Clone()
	if h.ID() == "" {
		h.SetID(warc.NewRecordID())
	}
	if rec.Format == "ARC" { // the reader made its header up, the ID from what the record says
		h.SetVersion(warc.Version)
		if u := h.TargetURI(); u != "" {
			h.Set(warc.FieldTargetURI, targetURI(u))
		}
	}
	id := idOf(h.ID())
	if _, ok, err := a.lineOf(ctx, h.TargetURI(), h.ID()); err != nil {
		return err
	} else if ok || seen[id] {
		report.Duplicates++
		return rec.Close()
	}
	if same, err := a.hasEqual(ctx, &h); err != nil {
		return err
	} else if same {
		report.Duplicates++
		report.Equal++
		return rec.Close()
	}
	var block io.ReaderAt
	var size int64
	head, err := io.ReadAll(io.LimitReader(rec.Block, importMemory+1))
	block, size = bytes.NewReader(head), int64(len(head))
	if err == nil && size > importMemory {
		f, ferr := os.CreateTemp("", "mirrorwatch-import-*")
		if ferr != nil {
			return ferr
		}
		defer f.Close()
		_ = os.Remove(f.Name())
		if size, err = io.Copy(&tolerant{w: f}, io.MultiReader(bytes.NewReader(head), rec.Block)); err == nil {
			block = f
		}
	}
	if cerr := rec.Close(); cerr != nil {
		return cerr
	}
	if err != nil || rec.Damaged() {
		report.Damaged++
		return nil
	}
	d := draft{header: h, size: size, foreign: true, block: func() io.Reader { return io.NewSectionReader(block, 0, size) }}
	d.line = x.line(&warc.Record{Header: h, Block: d.block()})
	if _, err := s.append(ctx, []draft{d}); err != nil {
		var ours *WriteError
		if errors.As(err, &ours) || ctx.Err() != nil {
			return err
		}
		// A header that no WARC may have.
		report.Damaged++
		report.found(x.source, []warc.Finding{{Offset: rec.Offset, Kind: "left-out", Message: err.Error(), Fatal: true}})
		return nil
	}
	seen[id] = true
	report.Records++
	if d.line != nil {
		report.Captures++
	}
	return nil
}

// hasEqual reports whether the archive has a capture of the same URL and time with the same payload digest under another
// record ID, as tools make that copy records.
func (a *Archive) hasEqual(ctx context.Context, h *warc.Header) (bool, error) {
	digest := h.Get(warc.FieldPayloadDigest)
	if digest == "" || h.Type() != warc.Response && h.Type() != warc.Resource {
		return false, nil
	}
	x, err := a.index.own(ctx)
	if err != nil {
		return false, err
	}
	want := survey.Timestamp17(h.Date())
	for l, err := range x.Exact(h.TargetURI()) {
		if err == nil && l.Extra[extraKind] == "" && l.MIME != mimeRevisit && l.URL == h.TargetURI() && l.Timestamp == want && l.Digest == digest {
			return true, nil
		}
		if err != nil && !errors.Is(err, cdxj.ErrLine) {
			return false, err
		}
	}
	return false, nil
}

// ImportFile imports a WARC, an ARC or a WACZ. What a WACZ says of itself that is not so is a finding too.
func (a *Archive) ImportFile(ctx context.Context, path string) (report ImportReport, err error) {
	report.Findings = []VerifyFinding{}
	f, err := os.Open(path)
	if err != nil {
		return report, err
	}
	defer f.Close()
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && err != io.EOF || n < 4 || string(magic[:]) != "PK\x03\x04" {
		return a.Import(ctx, f, path)
	}
	info, err := f.Stat()
	if err != nil {
		return report, err
	}
	z, err := wacz.Open(f, info.Size())
	if err != nil {
		return report, fmt.Errorf("importing %q: %w", path, err)
	}
	for _, w := range append(z.Verify(), z.Findings...) {
		report.Findings = append(report.Findings, VerifyFinding{File: path + "!" + w.Path, Kind: w.Kind, Message: w.Message})
	}
	for _, name := range z.WARCs() {
		in, err := z.OpenWARC(name)
		if err != nil {
			report.Findings = append(report.Findings, VerifyFinding{File: path + "!" + name, Kind: "unreadable", Message: err.Error()})
			continue
		}
		part, err := a.Import(ctx, in, path+"!"+name)
		if cerr := in.Close(); err == nil && cerr != nil {
			part.Findings = append(part.Findings, VerifyFinding{File: path + "!" + name, Kind: "unreadable", Message: cerr.Error()})
		}
		report.Records += part.Records
		report.Duplicates += part.Duplicates
		report.Equal += part.Equal
		report.Damaged += part.Damaged
		report.Captures += part.Captures
		report.Findings = append(report.Findings, part.Findings...)
		if err != nil {
			return report, err
		}
	}
	return report, nil
}

// Export writes snapshots as one WARC that stands alone: their records as they are, with the originals of revisits and
// the snapshots' own notes. file is the name it says it has. It returns how many captures were written.
func (a *Archive) Export(ctx context.Context, w io.Writer, file string, snaps []survey.Snapshot) (int, error) {
	return a.export(ctx, w, file, snaps, nil)
}

func capturesOf(s survey.Snapshot) []survey.Capture {
	cs := []survey.Capture{s.Page}
	for _, q := range s.Requisites {
		cs = append(cs, q.Capture)
	}
	return cs
}

// snapshotNote finds the metadata record of a snapshot.
func (a *Archive) snapshotNote(ctx context.Context, s survey.Snapshot) (survey.Capture, bool, error) {
	x, err := a.index.own(ctx)
	if err != nil {
		return survey.Capture{}, false, err
	}
	for l, err := range x.Exact(targetURI(s.URL)) {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue
			}
			return survey.Capture{}, false, err
		}
		if l.Extra[extraKind] != "snapshot" || l.URL != targetURI(s.URL) {
			continue
		}
		b, err := a.note(&l)
		if err != nil {
			return survey.Capture{}, false, err
		}
		var t survey.Snapshot
		if json.Unmarshal(b, &t) == nil && t.ID == s.ID {
			return captureOf(&l), true, nil
		}
	}
	return survey.Capture{}, false, nil
}

// PruneOptions say what Prune drops.
type PruneOptions struct {
	// Epochs are dropped whole: "202601". The present one cannot be.
	Epochs []string
	// Keep are snapshots of dropped epochs that survive: the last good one per article and mirror, evidence of open
	// incidents. They are copied with their originals before anything goes.
	Keep   []survey.Snapshot
	DryRun bool
}

// PruneReport says what Prune did, or would do.
type PruneReport struct {
	Files  []string `json:"files"` // dropped
	Bytes  int64    `json:"bytes"`
	Copied int      `json:"copied"` // captures carried into the present epoch
}

// Prune drops the data files of whole epochs. Files of runs and checks and imported ones stay. What snapshots outside of
// those epochs and those of Keep point at is first copied into the present epoch, made durable and indexed.
func (a *Archive) Prune(ctx context.Context, opt PruneOptions) (PruneReport, error) {
	report := PruneReport{Files: []string{}}
	if a.opt.ReadOnly {
		return report, ErrReadOnly
	}
	names, err := a.sealed()
	if err != nil {
		return report, err
	}
	drop := map[string]bool{}
	for _, n := range names {
		epoch, _, _ := strings.Cut(n, "-")
		if slices.Contains(opt.Epochs, epoch) {
			if epoch == a.Epoch() {
				return report, fmt.Errorf("epoch %s is the present one and cannot be dropped", epoch)
			}
			drop[n] = true
			info, err := os.Stat(a.path(archiveDir, n))
			if err != nil {
				return report, err
			}
			report.Files = append(report.Files, n)
			report.Bytes += info.Size()
		}
	}
	if len(drop) == 0 {
		return report, nil
	}
	keep := slices.Clone(opt.Keep)
	all, err := a.Snapshots(ctx, Query{})
	if err != nil {
		return report, err
	}
	for _, s := range all {
		note, ok, err := a.snapshotNote(ctx, s)
		if err != nil {
			return report, err
		}
		if ok && !drop[note.File] {
			keep = append(keep, s)
		}
	}
	done := map[survey.RecordID]bool{}
	for _, s := range keep {
		cs := capturesOf(s)
		if note, ok, err := a.snapshotNote(ctx, s); err != nil {
			return report, err
		} else if ok {
			cs = append(cs, note)
		}
		for _, c := range cs {
			n, err := a.carry(ctx, c, drop, done, opt.DryRun)
			report.Copied += n
			if err != nil {
				return report, fmt.Errorf("carrying %q over: %w", s.Name(), err)
			}
		}
	}
	if opt.DryRun {
		return report, nil
	}
	// What was carried over is sealed before anything goes.
	if err := a.Commit(ctx); err != nil {
		return report, err
	}
	return report, a.dropFiles(report.Files)
}

// carry copies a capture's group and its original out of files that will go.
func (a *Archive) carry(ctx context.Context, c survey.Capture, drop map[string]bool, done map[survey.RecordID]bool, dry bool) (int, error) {
	if c.RecordID == "" || done[c.RecordID] {
		return 0, nil
	}
	done[c.RecordID] = true
	res, err := a.Open(ctx, c)
	if err != nil {
		return 0, err
	}
	_ = res.Payload.Close()
	n := 0
	if res.Original != nil {
		if n, err = a.carry(ctx, *res.Original, drop, done, dry); err != nil {
			return n, err
		}
	}
	c = res.Capture
	if !drop[c.File] {
		return n, nil
	}
	n++
	if dry {
		return n, nil
	}
	f, members, err := a.group(ctx, c)
	if err != nil {
		return n, err
	}
	defer f.Close()
	x := indexer{name: c.File}
	var ds []draft
	for _, m := range members {
		rec, err := warc.ReadRecordAt(f, m.offset, m.length)
		if err != nil {
			return n, err
		}
		held := x.held
		l := x.line(rec)
		if l != nil {
			x.held = l
		} else {
			x.held = held
		}
		ds = append(ds, draft{raw: io.NewSectionReader(f, m.offset, m.length), line: l})
	}
	_, err = a.present().data.append(ctx, ds)
	return n, err
}

// dropFiles takes files out of the manifest, then away with their indexes. A crash in between leaves files that are not
// listed, which the next Open lists again.
func (a *Archive) dropFiles(names []string) error {
	if err := a.unlist(names...); err != nil {
		return err
	}
	// The index first: a file without index is read again, an index without file is damage.
	if err := a.uncover(names...); err != nil {
		return err
	}
	for _, n := range names {
		p := a.path(archiveDir, n)
		if err := a.fs.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return writeError("remove", p, err)
		}
	}
	return writeError("sync", a.path(archiveDir), a.fs.SyncDir(a.path(archiveDir)))
}
