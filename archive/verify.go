package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// VerifyOptions say how deep to look. Quick reads names, sizes, index order and index against files; Full reads every
// octet.
type VerifyOptions struct {
	Full bool
	// MaxFindings bounds the findings kept; 0: 10,000. Further ones are counted.
	MaxFindings int
}

// VerifyReport is what Verify found. It is damage that makes a report not OK; remarks alone do not.
type VerifyReport struct {
	Schema    string          `json:"schema"` // mirrorwatch/verify/1
	Full      bool            `json:"full"`
	Files     int             `json:"files"`
	Bytes     int64           `json:"bytes"`
	Records   int64           `json:"records"`
	Types     map[string]int  `json:"types"`
	Lines     int64           `json:"index_lines"`
	Snapshots int             `json:"snapshots"`
	Damaged   int             `json:"damaged"`
	Findings  []VerifyFinding `json:"findings"`
	More      int             `json:"findings_left_out"`
}

// VerifyFinding is one thing that is not as it should be.
type VerifyFinding struct {
	File     string `json:"file"` // relative to the data folder
	Offset   int64  `json:"offset"`
	Kind     string `json:"kind"`
	Expected string `json:"expected,omitempty"`
	Computed string `json:"computed,omitempty"`
	Message  string `json:"message,omitempty"`
	// Remark: unusual, but nothing is lost.
	Remark bool `json:"remark,omitempty"`
}

// Kinds of VerifyFinding, beside those of warc.Finding.
const (
	FoundFormat        = "format"
	FoundUnsealed      = "unsealed"        // a file whose writer died or still writes
	FoundUnlisted      = "unlisted"        // a sealed file the manifest does not list
	FoundMissingFile   = "missing-file"    // the manifest or an index names it
	FoundManifest      = "manifest-digest" // the file is not what the manifest says
	FoundNoIndex       = "missing-index"
	FoundIndexLine     = "index-line"  // no CDXJ
	FoundIndexOrder    = "index-order" // look-ups miss pages
	FoundIndexExtra    = "index-extra" // a line without a record
	FoundIndexLacks    = "index-lacks" // a record without its line
	FoundPayloadDigest = "payload-digest"
	FoundNoOriginal    = "revisit-target"
	FoundRevisitChain  = "revisit-of-revisit"
	FoundSnapshotRef   = "snapshot-reference"
	FoundDuplicateID   = "duplicate-id"
	FoundHistoryRef    = "history-reference" // archive and history do not name the same snapshots
)

// OK reports whether nothing is damaged.
func (r *VerifyReport) OK() bool { return r.Damaged == 0 }

type verifier struct {
	ctx    context.Context
	a      *Archive
	opt    VerifyOptions
	mu     sync.Mutex
	report VerifyReport
	ids    map[[16]byte]uint8 // what kind of record has the ID; 16 octets a record
	refs   []reference
	tombs  map[[16]byte]bool // records that were taken down

	merged   *mergedLines
	digested map[string]bool // WARCs, without endings, that a digest file covers
}

const (
	isWhole uint8 = iota + 1
	isRevisit
	isOther
)

type reference struct {
	file   string
	offset int64
	id     [16]byte
	kind   string // FoundNoOriginal or FoundSnapshotRef
	text   string
	digest string
}

// Verify looks whether the data folder is whole and never writes. A finding is a value of the report; an error is a
// folder that cannot be read on. It takes no lock; files of a writer at work are remarked as unsealed.
func Verify(ctx context.Context, dir string, opt VerifyOptions) (VerifyReport, error) {
	if opt.MaxFindings <= 0 {
		opt.MaxFindings = 10_000
	}
	a := &Archive{dir: dir, opt: Options{ReadOnly: true}, fs: durable.OS{}}
	a.index = newIndex(a)
	defer a.index.close()
	v := &verifier{ctx: ctx, a: a, opt: opt, ids: map[[16]byte]uint8{}, tombs: map[[16]byte]bool{}}
	v.report = VerifyReport{Schema: "mirrorwatch/verify/1", Full: opt.Full, Types: map[string]int{}, Findings: []VerifyFinding{}}
	if err := a.checkFormat(); err != nil {
		if errors.Is(err, ErrNewerFormat) {
			return v.report, err
		}
		if !exists(a.path(archiveDir)) {
			return v.report, err
		}
		v.find(VerifyFinding{File: formatFile, Kind: FoundFormat, Message: err.Error()})
	}
	err := v.run()
	slices.SortStableFunc(v.report.Findings, func(x, y VerifyFinding) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Offset, y.Offset), cmp.Compare(x.Kind, y.Kind))
	})
	return v.report, err
}

// Add enters findings of somebody who looked further.
func (r *VerifyReport) Add(found ...VerifyFinding) {
	for _, f := range found {
		if !f.Remark {
			r.Damaged++
		}
		r.Findings = append(r.Findings, f)
	}
}

func (v *verifier) find(f VerifyFinding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !f.Remark {
		v.report.Damaged++
	}
	if len(v.report.Findings) >= v.opt.MaxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

func (v *verifier) run() error {
	names, err := v.a.sealed()
	if err != nil {
		return err
	}
	sums, err := v.a.readManifest()
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, n := range names {
		have[n] = true
		if sums[n] == "" {
			v.find(VerifyFinding{File: archiveDir + "/" + n, Kind: FoundUnlisted, Message: "not in " + manifestFile})
		}
	}
	for n := range sums {
		if !have[n] {
			v.find(VerifyFinding{File: archiveDir + "/" + n, Kind: FoundMissingFile, Message: "named in " + manifestFile})
		}
	}
	entries, err := os.ReadDir(v.a.path(archiveDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), openSuffix) {
			v.find(VerifyFinding{File: archiveDir + "/" + e.Name(), Kind: FoundUnsealed, Remark: true, Message: "being written, or to be recovered by the next run"})
		}
	}
	if err := v.indexes(have); err != nil {
		return err
	}
	defer v.merged.close()
	for _, n := range names {
		if err := v.file(n, sums[n]); err != nil {
			return err
		}
	}
	v.references()
	return v.ctx.Err()
}

// indexes reads the tiers: what the merged files hold, which WARCs have digests, and which indexes have no WARC.
func (v *verifier) indexes(have map[string]bool) (err error) {
	var problems []problem
	if v.merged, problems, err = v.a.readMerged(v.ctx, cdxjSuffix); err != nil {
		return err
	}
	digests, more, err := v.a.readMerged(v.ctx, digestSuffix)
	if err := errors.Join(err, digests.close()); err != nil {
		return err
	}
	problems = append(problems, more...)
	for _, p := range problems {
		v.find(VerifyFinding{File: indexDir + "/" + p.file, Offset: p.offset, Kind: p.kind, Message: p.message})
	}
	v.digested = map[string]bool{}
	for _, suffix := range []string{cdxjSuffix, digestSuffix} {
		set, err := v.a.indexSet(suffix)
		if errors.Is(err, cdxj.ErrCatalogue) {
			continue // named already
		}
		if err != nil {
			return err
		}
		for _, base := range set.Covers() {
			if suffix == digestSuffix {
				v.digested[base] = true
			}
			if !have[base+warcSuffix] {
				// The index is written before the file is sealed: a writer that died in between left both.
				dying := exists(v.a.path(archiveDir, base+warcSuffix+openSuffix))
				v.find(VerifyFinding{File: indexDir + "/" + base + suffix, Kind: FoundMissingFile, Message: "index of a file that is not there", Remark: dying})
			}
		}
	}
	return nil
}

// checked is what a worker computes of one record.
type checked struct {
	line     *cdxj.Line
	note     *exchangeNote
	offset   int64
	length   int64
	typ      string
	id       [16]byte
	refers   string
	was      string // the ID before it was copied and changed
	digest   string
	payload  *VerifyFinding
	snapshot []reference
	tombs    []survey.RecordID
	identity bool // a revisit by digest
}

func (v *verifier) file(name, sum string) error {
	rel := archiveDir + "/" + name
	path := v.a.path(archiveDir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		v.find(VerifyFinding{File: rel, Kind: FoundMissingFile})
		return nil
	}
	if err != nil {
		return err
	}
	v.report.Files++
	v.report.Bytes += info.Size()
	lines, raws, ok := v.indexFile(name, info.Size())
	if !v.opt.Full {
		return v.spot(name, rel, lines)
	}

	f, err := os.Open(path)
	if err != nil {
		v.find(VerifyFinding{File: rel, Kind: FoundMissingFile, Message: err.Error()})
		return nil
	}
	defer f.Close()
	hashed := make(chan error, 1)
	var got string
	go func() {
		var err error
		got, err = fileSum(path)
		hashed <- err
	}()
	offsets := make([]int64, 0, len(lines))
	for i := range lines {
		offsets = append(offsets, lines[i].Offset)
	}
	slices.Sort(offsets)
	var want []byte
	x := indexer{name: name}
	findings, err := warc.Map(v.ctx, f, info.Size(), warc.ScanOptions{Workers: runtime.GOMAXPROCS(0), Reader: warc.ReaderOptions{Digests: true}, Offsets: offsets},
		func(rec *warc.Record) (checked, error) { return v.record(name, rel, rec) },
		func(c checked) error {
			v.report.Records++
			v.report.Types[c.typ]++
			kind := isOther
			switch c.typ {
			case warc.Response, warc.Resource, warc.Conversion:
				kind = isWhole
			case warc.Revisit:
				kind = isRevisit
			}
			if _, dup := v.ids[c.id]; dup {
				v.find(VerifyFinding{File: rel, Offset: c.offset, Kind: FoundDuplicateID, Remark: strings.HasPrefix(name, importPrefix)})
			}
			v.ids[c.id] = kind
			if c.was != "" {
				v.ids[idOf(c.was)] = kind // snapshots name it so
			}
			if c.refers != "" && c.identity {
				v.refs = append(v.refs, reference{rel, c.offset, idOf(c.refers), FoundNoOriginal, c.refers, c.digest})
			}
			v.refs = append(v.refs, c.snapshot...)
			for _, id := range c.tombs {
				v.tombs[idOf(string(id))] = true
			}
			if c.payload != nil {
				v.find(*c.payload)
			}
			if c.note != nil && c.note.Response != "" && x.held != nil && isRecord(x.held, string(c.note.Response)) {
				setFlags(x.held, c.note.Flags)
				setHTTP(x.held, c.note.Method, "")
			}
			if c.line != nil {
				want = x.flush(want)
				x.held = c.line
			}
			return nil
		})
	if err != nil {
		return err
	}
	want = x.flush(want)
	for _, w := range findings {
		v.find(VerifyFinding{File: rel, Offset: w.Offset, Kind: w.Kind, Expected: w.Expected, Computed: w.Computed,
			Message: strings.TrimSpace(w.Field + " " + w.Message), Remark: !w.Fatal})
	}
	if err := <-hashed; err != nil {
		return err
	}
	if sum != "" && got != sum {
		v.find(VerifyFinding{File: rel, Kind: FoundManifest, Expected: sum, Computed: got})
	}
	if ok {
		v.bothWays(name, raws, want)
	}
	return nil
}

func idOf(s string) [16]byte {
	var id [16]byte
	h := strings.ReplaceAll(strings.TrimPrefix(warc.Bare(s), "urn:uuid:"), "-", "")
	if len(h) == 32 {
		if _, err := hex.Decode(id[:], []byte(h)); err == nil {
			return id
		}
	}
	sum := sha256.Sum256([]byte(warc.Bare(s)))
	copy(id[:], sum[:])
	return id
}

// record checks one record and computes its index line; it has no effect of its own, as warc.Map asks.
func (v *verifier) record(name, rel string, rec *warc.Record) (checked, error) {
	h := &rec.Header
	c := checked{offset: rec.Offset, typ: h.Type(), id: idOf(h.ID()), was: h.Get(fieldPrevious), digest: h.Get(warc.FieldPayloadDigest)}
	x := indexer{name: name}
	switch c.typ {
	case warc.Response, warc.Resource:
		c.line, c.payload = v.payload(rel, name, rec)
	case warc.Revisit:
		c.identity = warc.KindOfProfile(h.Get(warc.FieldProfile)) == warc.RevisitIdentical
		c.refers = h.Get(warc.FieldRefersTo)
		c.line = x.line(rec)
	case warc.Metadata:
		switch schema := survey.NoteKind(h.Get(fieldSchema)); schema {
		case survey.NoteExchange, survey.NoteSnapshot:
			body, err := io.ReadAll(io.LimitReader(rec.Block, maxNote))
			if err != nil {
				break
			}
			if schema == survey.NoteSnapshot {
				c.line = noteLine(h, schema, body)
				c.snapshot = snapshotReferences(rel, rec.Offset, body)
				break
			}
			var n exchangeNote
			if json.Unmarshal(body, &n) == nil {
				c.note = &n
				if n.Response == "" {
					c.line = noteLine(h, schema, nil)
					setFlags(c.line, n.Flags)
					setHTTP(c.line, n.Method, "")
				}
			}
		case "":
		case NoteTombstone:
			var t Tombstone
			if body, err := io.ReadAll(io.LimitReader(rec.Block, maxNote)); err == nil && json.Unmarshal(body, &t) == nil {
				c.tombs = t.Records
			}
			c.line = noteLine(h, schema, nil)
		default:
			c.line = noteLine(h, schema, nil)
		}
	default:
		c.line = x.line(rec)
	}
	if err := rec.Close(); err != nil {
		return c, err
	}
	c.length = rec.Length
	if c.line != nil {
		if rec.Damaged() {
			c.line = nil
		} else {
			c.line.Offset, c.line.Length, c.line.Filename = rec.Offset, rec.Length, name
		}
	}
	return c, nil
}

func snapshotReferences(rel string, offset int64, body []byte) []reference {
	var s survey.Snapshot
	if json.Unmarshal(body, &s) != nil {
		return nil
	}
	refs := []reference{{file: rel, offset: offset, id: idOf(string(s.Page.RecordID)), kind: FoundSnapshotRef, text: s.Page.URL}}
	for _, q := range s.Requisites {
		refs = append(refs, reference{file: rel, offset: offset, id: idOf(string(q.Capture.RecordID)), kind: FoundSnapshotRef, text: q.URL})
	}
	return refs
}

// payload checks the payload digest of a response or resource and computes its index line.
func (v *verifier) payload(rel, name string, rec *warc.Record) (*cdxj.Line, *VerifyFinding) {
	h := &rec.Header
	x := indexer{name: name}
	var body io.Reader = rec.Block
	var l *cdxj.Line
	if h.Type() == warc.Response && isHTTPBlock(h) {
		tape, r := peekHead(rec.Block)
		m, err := message.Open(r)
		l = recordLine(h, 0, "")
		if err == nil {
			tape.stop()
			body = m.Payload
			l = recordLine(h, m.Head.Status, message.MediaType(m.Head.Get("Content-Type")))
			setHTTP(l, "", m.Head.Get("Location"))
		} else {
			body = io.MultiReader(strings.NewReader(string(tape.Bytes())), rec.Block)
		}
		if strings.HasPrefix(name, importPrefix) {
			setFlags(l, []string{flagImported})
		}
	} else {
		l = x.line(rec)
	}
	want, err := warc.ParseDigest(h.Get(warc.FieldPayloadDigest))
	if err != nil || !want.Known() {
		return l, nil
	}
	sum := want.New()
	_, err = io.Copy(sum, body)
	var bad *message.ChunkError
	if errors.As(err, &bad) && bad.Rest != nil {
		_, _ = io.Copy(sum, bad.Rest)
	}
	if got := warc.SumDigest(want.Algorithm, sum.Sum(nil)); !got.Equal(want) {
		// Other people's tools digest the chunked octets (1.3): not damage in their records.
		return l, &VerifyFinding{File: rel, Offset: rec.Offset, Kind: FoundPayloadDigest, Expected: want.String(), Computed: got.String(),
			Message: h.TargetURI(), Remark: strings.HasPrefix(name, importPrefix)}
	}
	return l, nil
}

// indexFile reads the index of a sealed file and checks its form and order.
func (v *verifier) indexFile(name string, size int64) (lines []cdxj.Line, raws []string, ok bool) {
	rel := indexDir + "/" + indexName(name, cdxjSuffix)
	b, merged, err := v.merged.lines(indexName(name, ""))
	if !merged {
		b, err = os.ReadFile(v.a.path(indexDir, indexName(name, cdxjSuffix)))
	}
	if err != nil {
		v.find(VerifyFinding{File: rel, Kind: FoundNoIndex, Message: err.Error()})
		return nil, nil, false
	}
	if !v.digested[indexName(name, "")] {
		v.find(VerifyFinding{File: indexDir + "/" + indexName(name, digestSuffix), Kind: FoundNoIndex})
	}
	at := int64(0)
	last := ""
	ordered := true
	for _, raw := range strings.SplitAfter(string(b), "\n") {
		if raw == "" {
			break
		}
		s := strings.TrimRight(raw, "\n")
		l, err := cdxj.Parse([]byte(s))
		switch {
		case err != nil:
			v.find(VerifyFinding{File: rel, Offset: at, Kind: FoundIndexLine, Message: err.Error()})
		case l.Filename != name:
			v.find(VerifyFinding{File: rel, Offset: at, Kind: FoundIndexExtra, Expected: name, Computed: l.Filename})
		case l.Length <= 0 || l.Offset+l.Length > size || l.Offset+l.Length < 0:
			v.find(VerifyFinding{File: rel, Offset: at, Kind: FoundIndexExtra, Message: "points behind the end of its file"})
		default:
			lines = append(lines, l)
			if p := l.Extra[extraPage]; l.Extra[extraKind] == "snapshot" && (p == "" || l.URL == targetURI(p)) {
				v.report.Snapshots++
			}
		}
		if s < last && ordered {
			ordered = false
			v.find(VerifyFinding{File: rel, Offset: at, Kind: FoundIndexOrder})
		}
		last = s
		raws = append(raws, s)
		at += int64(len(raw))
		v.report.Lines++
	}
	return lines, raws, true
}

// bothWays compares the index with what the records give.
func (v *verifier) bothWays(name string, have []string, wantText []byte) {
	rel := indexDir + "/" + indexName(name, cdxjSuffix)
	var want []string
	for _, b := range splitLines(wantText) {
		want = append(want, string(b))
	}
	slices.Sort(want)
	slices.Sort(have)
	i, j := 0, 0
	for i < len(want) || j < len(have) {
		switch {
		case j == len(have) || i < len(want) && want[i] < have[j]:
			l, _ := cdxj.Parse([]byte(want[i]))
			v.find(VerifyFinding{File: rel, Offset: l.Offset, Kind: FoundIndexLacks, Expected: cut(want[i], 200), Message: l.URL})
			i++
		case i == len(want) || want[i] > have[j]:
			l, _ := cdxj.Parse([]byte(have[j]))
			v.find(VerifyFinding{File: rel, Offset: l.Offset, Kind: FoundIndexExtra, Computed: cut(have[j], 200), Message: l.URL})
			j++
		default:
			i, j = i+1, j+1
		}
	}
}

// spot opens some of the records an index names: the quick look.
func (v *verifier) spot(name, rel string, lines []cdxj.Line) error {
	step := max(1, len(lines)/20)
	for i := 0; i < len(lines); i += step {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		f, _, err := v.a.record(name, lines[i].Offset, lines[i].Length, lines[i].RecordID)
		if err != nil {
			v.find(VerifyFinding{File: rel, Offset: lines[i].Offset, Kind: FoundIndexExtra, Message: err.Error()})
			continue
		}
		_ = f.Close()
	}
	return nil
}

// references looks whether every revisit has its original and every snapshot its records.
func (v *verifier) references() {
	for _, r := range v.refs {
		kind, ok := v.ids[r.id]
		switch {
		case !ok && v.tombs[r.id]:
			v.find(VerifyFinding{File: r.file, Offset: r.offset, Kind: r.kind, Message: "was taken down: " + r.text, Remark: true})
		case !ok:
			v.find(VerifyFinding{File: r.file, Offset: r.offset, Kind: r.kind, Message: "refers to what is not there: " + r.text,
				Remark: strings.HasPrefix(filepath.Base(r.file), importPrefix)})
		case r.kind == FoundNoOriginal && kind == isRevisit:
			v.find(VerifyFinding{File: r.file, Offset: r.offset, Kind: FoundRevisitChain, Message: "refers to a revisit: " + r.text})
		}
	}
}

// String describes the finding in one line.
func (f VerifyFinding) String() string {
	s := fmt.Sprintf("%s: at %d: %s", f.File, f.Offset, f.Kind)
	if f.Message != "" {
		s += ": " + f.Message
	}
	if f.Expected != "" || f.Computed != "" {
		s += fmt.Sprintf(" (expected %q, found %q)", f.Expected, f.Computed)
	}
	return s
}
