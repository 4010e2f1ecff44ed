package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
)

// damagedSuffix ends the names of originals that Repair set aside.
const damagedSuffix = ".damaged"

// RepairReport says what Repair did.
type RepairReport struct {
	Schema  string         `json:"schema"` // mirrorwatch/repair/1
	Actions []RepairAction `json:"actions"`
}

// RepairAction is one thing that was mended. Kept names the original, where one was set aside.
type RepairAction struct {
	File    string `json:"file"`
	Action  string `json:"action"` // recovered, rewritten, indexed, listed, unlisted, index_set_aside, format_written
	Kept    string `json:"kept,omitempty"`
	Records int    `json:"records,omitempty"`
	Message string `json:"message,omitempty"`
}

// Repair mends the data folder under its lock: what killed writers left is sealed, a WARC with damage is written again
// from its whole records, indexes and manifest are made to agree with the files. Originals stay beside, named .damaged;
// nothing is deleted. Captures stay valid: records that moved are found by their IDs.
func Repair(ctx context.Context, dir string, opt Options) (RepairReport, error) {
	report := RepairReport{Schema: "mirrorwatch/repair/1", Actions: []RepairAction{}}
	did := func(a RepairAction) { report.Actions = append(report.Actions, a) }
	opt.ReadOnly = false
	if err := mendFormat(dir, opt, did); err != nil {
		return report, err
	}
	opens, _ := filepath.Glob(filepath.Join(dir, archiveDir, "*"+openSuffix))
	a, err := OpenContext(ctx, dir, opt)
	if err != nil {
		return report, err
	}
	defer a.Close()
	for _, p := range opens {
		did(RepairAction{File: archiveDir + "/" + strings.TrimSuffix(filepath.Base(p), openSuffix), Action: "recovered"})
	}
	if err := a.setAsideMerged(ctx, did); err != nil {
		return report, err
	}
	// Merged indexes as they are now: mending one WARC's lines writes others, and leaves these handles as they were.
	merged := map[string]*mergedLines{}
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		m, _, err := a.readMerged(ctx, suffix)
		if err != nil {
			return report, err
		}
		defer m.close()
		merged[suffix] = m
	}
	names, err := a.sealed()
	if err != nil {
		return report, err
	}
	sums, err := a.readManifest()
	if err != nil {
		return report, err
	}
	have := map[string]bool{}
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		have[n] = true
		if err := a.repairFile(ctx, n, sums, merged, did); err != nil {
			return report, fmt.Errorf("repairing %q: %w", n, err)
		}
	}
	changed := false
	for n := range sums {
		if !have[n] {
			delete(sums, n)
			changed = true
			did(RepairAction{File: archiveDir + "/" + n, Action: "unlisted", Message: "the manifest named it, it is not there"})
		}
	}
	for i := range report.Actions {
		changed = changed || report.Actions[i].Action == "listed" || report.Actions[i].Action == "rewritten"
	}
	if changed {
		if _, err := a.setAside(manifestFile, true); err != nil {
			return report, err
		}
		if err := a.writeManifest(sums); err != nil {
			return report, err
		}
	}
	indexes, _ := filepath.Glob(a.path(indexDir, "*"+cdxjSuffix))
	for _, p := range indexes {
		base := strings.TrimSuffix(filepath.Base(p), cdxjSuffix)
		if have[base+warcSuffix] || cdxj.IsMerged(base) {
			continue
		}
		kept, err := a.setAside(indexDir+"/"+base+cdxjSuffix, false)
		if err != nil {
			return report, err
		}
		if exists(a.path(indexDir, base+digestSuffix)) {
			if _, err := a.setAside(indexDir+"/"+base+digestSuffix, false); err != nil {
				return report, err
			}
		}
		did(RepairAction{File: indexDir + "/" + base + cdxjSuffix, Action: "index_set_aside", Kept: kept, Message: "its WARC is not there"})
	}
	return report, a.Close()
}

// mendFormat writes the format file of a folder that clearly is one of ours and lost it.
func mendFormat(dir string, opt Options, did func(RepairAction)) error {
	a := &Archive{dir: dir, opt: Options{ReadOnly: true}, fs: opt.FS}
	if a.fs == nil {
		a.fs = durable.OS{}
	}
	if !exists(a.path(archiveDir)) {
		return fmt.Errorf("%q is no data folder of mirrorwatch", dir)
	}
	b, err := os.ReadFile(a.path(formatFile))
	if err == nil && strings.Trim(strings.TrimSpace(string(b)), "0123456789") == "" && len(b) > 1 {
		return nil
	}
	kept := ""
	if err == nil {
		if kept, err = a.setAside(formatFile, false); err != nil {
			return err
		}
	}
	did(RepairAction{File: formatFile, Action: "format_written", Kept: kept})
	return writeError("write", a.path(formatFile), durable.WriteFile(a.fs, a.path(formatFile), fmt.Appendf(nil, "%d\n", Format), 0o666))
}

// setAside gives a file of the data folder a side name, or copies it there.
func (a *Archive) setAside(rel string, byCopy bool) (string, error) {
	from := a.path(filepath.FromSlash(rel))
	kept := rel + damagedSuffix
	for n := 2; exists(a.path(filepath.FromSlash(kept))); n++ {
		kept = fmt.Sprintf("%s%s.%d", rel, damagedSuffix, n)
	}
	to := a.path(filepath.FromSlash(kept))
	if byCopy {
		b, err := os.ReadFile(from)
		if os.IsNotExist(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return kept, writeError("write", to, durable.WriteFile(a.fs, to, b, 0o666))
	}
	if err := a.fs.Rename(from, to); err != nil {
		return "", writeError("rename", from, err)
	}
	return kept, writeError("sync", filepath.Dir(to), a.fs.SyncDir(filepath.Dir(to)))
}

// repairFile rewrites one sealed file when it is damaged, and its index when that differs.
func (a *Archive) repairFile(ctx context.Context, name string, sums map[string]string, merged map[string]*mergedLines, did func(RepairAction)) error {
	path := a.path(archiveDir, name)
	rel := archiveDir + "/" + name
	spans, size, err := wholeMembers(ctx, path)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, s := range spans {
		total += s.length
	}
	if total != size {
		kept, err := a.setAside(rel, false)
		if err != nil {
			return err
		}
		from := a.path(filepath.FromSlash(kept))
		err = durable.Write(a.fs, path, 0o666, func(w io.Writer) error {
			f, err := os.Open(from)
			if err != nil {
				return err
			}
			defer f.Close()
			for _, s := range spans {
				if _, err := io.Copy(w, io.NewSectionReader(f, s.offset, s.length)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return writeError("write", path, err)
		}
		did(RepairAction{File: rel, Action: "rewritten", Kept: kept, Records: len(spans), Message: fmt.Sprintf("%d octets left out", size-total)})
	}
	lines, _, _, err := indexWARC(ctx, path, name)
	if err != nil {
		return err
	}
	if err := a.repairIndexes(name, lines, merged, did); err != nil {
		return err
	}
	sum, err := fileSum(path)
	if err != nil {
		return err
	}
	if sum != sums[name] {
		did(RepairAction{File: rel, Action: "listed", Message: "was " + cmp.Or(sums[name], "not in the manifest")})
		sums[name] = sum
	}
	return nil
}

// setAsideMerged takes merged indexes with damage of their own away, and with them their catalogue's word: what they covered
// is indexed again.
func (a *Archive) setAsideMerged(ctx context.Context, did func(RepairAction)) error {
	var problems []problem
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		m, found, err := a.readMerged(ctx, suffix)
		if err := errors.Join(err, m.close()); err != nil {
			return err
		}
		problems = append(problems, found...)
	}
	done := map[string]bool{}
	for _, p := range problems {
		rel := indexDir + "/" + p.file
		if done[rel] {
			continue
		}
		done[rel] = true
		kept, err := a.setAside(rel, false)
		if err != nil {
			return err
		}
		did(RepairAction{File: rel, Action: "index_set_aside", Kept: kept, Message: p.kind + ": " + p.message})
	}
	if len(done) == 0 {
		return nil
	}
	names, err := a.sealed()
	if err != nil {
		return err
	}
	return a.mendIndexes(ctx, names)
}

// repairIndexes compares both indexes of a WARC with its records' lines and writes them again when they differ.
func (a *Archive) repairIndexes(name string, lines []byte, merged map[string]*mergedLines, did func(RepairAction)) error {
	base := indexName(name, "")
	want := map[string][]byte{}
	want[cdxjSuffix], want[digestSuffix] = indexTexts(lines)
	differs := false
	old := map[string][]byte{}
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		text, err := a.indexText(base, suffix, merged[suffix])
		if err != nil {
			return err
		}
		old[suffix] = text
		differs = differs || !bytes.Equal(text, want[suffix])
	}
	if !differs {
		return nil
	}
	if err := a.uncover(name); err != nil {
		return err
	}
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		if bytes.Equal(old[suffix], want[suffix]) {
			continue
		}
		rel, kept := indexDir+"/"+base+suffix, ""
		if len(old[suffix]) > 0 {
			kept = rel + damagedSuffix
			for n := 2; exists(a.path(filepath.FromSlash(kept))); n++ {
				kept = fmt.Sprintf("%s%s.%d", rel, damagedSuffix, n)
			}
			p := a.path(filepath.FromSlash(kept))
			if err := durable.WriteFile(a.fs, p, old[suffix], 0o666); err != nil {
				return writeError("write", p, err)
			}
		}
		did(RepairAction{File: rel, Action: "indexed", Kept: kept})
	}
	return a.writeIndexes(name, lines)
}

// indexText returns what the indexes of a kind hold of a WARC, in order.
func (a *Archive) indexText(base, suffix string, merged *mergedLines) ([]byte, error) {
	text, ok, err := merged.lines(base)
	if ok || err != nil {
		return text, err
	}
	if text, err = os.ReadFile(a.path(indexDir, base+suffix)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// wholeMembers lists the members of a file that hold whole, undamaged records.
func wholeMembers(ctx context.Context, path string) (spans []memberAt, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	r := warc.NewReader(f, warc.ReaderOptions{Digests: true})
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		rec, err := r.Next()
		if err == io.EOF {
			return spans, info.Size(), nil
		}
		if err != nil {
			return nil, 0, err
		}
		if err := rec.Close(); err != nil {
			return nil, 0, err
		}
		_ = r.Findings()
		if rec.Inside != 0 || rec.Damaged() {
			continue
		}
		spans = append(spans, memberAt{offset: rec.Offset, length: rec.Length})
	}
}
