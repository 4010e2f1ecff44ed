package archive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// Query selects Snapshots; zero fields select all.
type Query struct {
	Article  string // Article.URL
	URL      string // of the page, or of the article
	Mirror   survey.Host
	Vantage  string
	From, To time.Time // both inclusive
	Limit    int       // 0: no limit
}

// Snapshots returns the snapshots that fit, newest first.
func (a *Archive) Snapshots(ctx context.Context, q Query) ([]survey.Snapshot, error) {
	x, err := a.index.view(ctx)
	if err != nil {
		return nil, err
	}
	found, err := q.lines(ctx, x, a.now())
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(x, y cdxj.Line) int {
		return cmp.Or(-snapshotTime(&x).Compare(snapshotTime(&y)), cmp.Compare(x.RecordID, y.RecordID))
	})
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	snaps := make([]survey.Snapshot, 0, len(found))
	for i := range found {
		b, err := a.note(&found[i])
		if err != nil {
			return nil, fmt.Errorf("reading the snapshot of %q: %w", found[i].URL, err)
		}
		var s survey.Snapshot
		if err := json.Unmarshal(b, &s); err != nil {
			return nil, fmt.Errorf("reading the snapshot of %q at %d of %q: %w", found[i].URL, found[i].Offset, found[i].Filename, err)
		}
		snaps = append(snaps, s)
	}
	return snaps, nil
}

// lineSlack is how far an index line's time may be from its snapshot's: they are the same but for their digits.
const lineSlack = time.Hour

// lines returns the index lines of the snapshots that fit, each once. An article that is checked hourly for years has tens
// of thousands of lines: those outside the query's time are not read, and for a few of the newest the last days are tried
// first.
func (q *Query) lines(ctx context.Context, x *cdxj.Index, now time.Time) ([]cdxj.Line, error) {
	u := cmp.Or(q.Article, q.URL)
	if u == "" {
		return q.among(ctx, x.All())
	}
	from, to := q.From, q.To
	if !from.IsZero() {
		from = from.Add(-lineSlack)
	}
	if !to.IsZero() {
		to = to.Add(lineSlack)
	}
	if q.Limit > 0 && from.IsZero() {
		newest := now
		if !q.To.IsZero() && q.To.Before(now) {
			newest = q.To
		}
		for _, span := range []time.Duration{2 * 24 * time.Hour, 60 * 24 * time.Hour} {
			since := newest.Add(-span)
			found, err := q.among(ctx, x.Between(targetURI(u), since.Add(-lineSlack), to))
			if err != nil {
				return nil, err
			}
			found = slices.DeleteFunc(found, func(l cdxj.Line) bool { return snapshotTime(&l).Before(since) })
			if len(found) >= q.Limit {
				return found, nil
			}
		}
	}
	return q.among(ctx, x.Between(targetURI(u), from, to))
}

func (q *Query) among(ctx context.Context, lines iter.Seq2[cdxj.Line, error]) ([]cdxj.Line, error) {
	var found []cdxj.Line
	seen := map[string]bool{}
	for l, err := range lines {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue // verify names it
			}
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if l.Extra[extraKind] != "snapshot" || seen[l.RecordID] || !q.fits(&l) {
			continue
		}
		seen[l.RecordID] = true
		found = append(found, l)
	}
	return found, nil
}

func snapshotTime(l *cdxj.Line) time.Time {
	if t, err := parse17(l.Extra[extraAt]); err == nil {
		return t
	}
	return lineTime(l)
}

func (q *Query) fits(l *cdxj.Line) bool {
	if q.Article != "" && l.Extra[extraArticle] != q.Article {
		return false
	}
	if q.URL != "" && l.Extra[extraPage] != q.URL && l.Extra[extraArticle] != q.URL {
		return false
	}
	if q.Mirror != "" && l.Extra[extraMirror] != string(q.Mirror) || q.Vantage != "" && l.Extra[extraVantage] != q.Vantage {
		return false
	}
	t := snapshotTime(l)
	return (q.From.IsZero() || !t.Before(q.From)) && (q.To.IsZero() || !t.After(q.To))
}

// note reads the block of a metadata record.
func (a *Archive) note(l *cdxj.Line) ([]byte, error) {
	f, rec, err := a.record(l.Filename, l.Offset, l.Length, l.RecordID)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(rec.Block, maxNote))
}

// ReadNote reads the body of a note that Notes gave.
func (a *Archive) ReadNote(ctx context.Context, c survey.Capture) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, rec, err := a.record(c.File, c.Offset, c.Length, string(c.RecordID))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(rec.Block, maxNote))
}

// Notes calls yield for every note of the kind, oldest file first, until it returns an error.
func (a *Archive) Notes(ctx context.Context, kind survey.NoteKind, yield func(survey.Note, survey.Capture) error) error {
	x, err := a.index.view(ctx)
	if err != nil {
		return err
	}
	var found []cdxj.Line
	seen := map[string]bool{}
	for l, err := range x.All() {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue
			}
			return err
		}
		if l.Extra[extraKind] == shortKind(kind) && !seen[l.RecordID] {
			seen[l.RecordID] = true
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(x, y cdxj.Line) int {
		return cmp.Or(cmp.Compare(x.Timestamp, y.Timestamp), cmp.Compare(x.Filename, y.Filename), cmp.Compare(x.Offset, y.Offset))
	})
	for i := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &found[i]
		b, err := a.note(l)
		if err != nil {
			return fmt.Errorf("reading note at %d of %q: %w", l.Offset, l.Filename, err)
		}
		if err := yield(survey.Note{Kind: kind, URI: l.URL, Date: lineTime(l), Body: b}, captureOf(l)); err != nil {
			return err
		}
	}
	return nil
}

// Resource is an opened Capture. The caller closes Payload.
type Resource struct {
	Capture survey.Capture
	// Head is the HTTP head of this very response, also for revisits; empty where the record is no HTTP message.
	Head message.Head
	// Payload is the body, transfer coding removed, content coding kept; of a revisit, its original's.
	Payload io.ReadCloser
	// Original is the capture that holds the payload of a revisit.
	Original *survey.Capture
}

// Decoded returns the payload with its content codings undone, at most limit octets of it.
func (r *Resource) Decoded(limit int64) io.Reader {
	m := message.Response{Head: r.Head, Payload: r.Payload}
	return m.Decoded(limit)
}

// ErrNoOriginal is a revisit whose original is not in the archive.
var ErrNoOriginal = errors.New("the record that a revisit refers to is not in the archive")

// Open opens a Capture; the payload of a revisit comes from its original, found by record ID, else by URL and date, else
// by digest. ErrNotFound: the record is not there.
func (a *Archive) Open(ctx context.Context, c survey.Capture) (*Resource, error) {
	return a.open(ctx, c, 0)
}

func (a *Archive) open(ctx context.Context, c survey.Capture, depth int) (*Resource, error) {
	f, rec, err := a.record(c.File, c.Offset, c.Length, string(c.RecordID))
	if err != nil {
		// Pruning and repair move records: the index knows where to.
		l, ok, lerr := a.lineOf(ctx, c.URL, string(c.RecordID))
		if lerr != nil || !ok || l.Filename == c.File && l.Offset == c.Offset && l.RecordID == string(c.RecordID) {
			return nil, fmt.Errorf("opening the capture of %q: %w", c.URL, err)
		}
		if f, rec, err = a.record(l.Filename, l.Offset, l.Length, l.RecordID); err != nil {
			return nil, fmt.Errorf("opening the capture of %q: %w", c.URL, err)
		}
		moved := captureOf(&l) // it may be whole now, under a new ID
		moved.URL = c.URL
		c = moved
	}
	res := &Resource{Capture: c}
	typ := rec.Header.Type()
	if (typ != warc.Response && typ != warc.Revisit) || !isHTTPBlock(&rec.Header) {
		res.Payload = &payload{rec.Block, f}
		return res, nil
	}
	if typ == warc.Response {
		head, rest := peekHead(rec.Block)
		m, err := message.Open(rest)
		if err != nil { // no HTTP head (reader row 17): all of it is the payload
			res.Payload = &payload{io.MultiReader(bytes.NewReader(head.Bytes()), rec.Block), f}
			return res, nil
		}
		head.stop()
		res.Head, res.Payload = m.Head, &payload{m.Payload, f}
		return res, nil
	}

	defer f.Close()
	if depth > 8 {
		return nil, fmt.Errorf("opening the capture of %q: %w", c.URL, ErrNoOriginal)
	}
	m, merr := message.Open(rec.Block)
	if merr == nil {
		res.Head = m.Head
	}
	if warc.KindOfProfile(rec.Header.Get(warc.FieldProfile)) == warc.RevisitNotModified && rec.Header.Get(warc.FieldRefersTo) == "" &&
		rec.Header.Get(warc.FieldRefersToURI) == "" {
		res.Payload = io.NopCloser(strings.NewReader(""))
		return res, nil
	}
	l, ok, err := a.originalOf(ctx, rec)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("opening the capture of %q: %w", c.URL, ErrNoOriginal)
	}
	oc := captureOf(&l)
	o, err := a.open(ctx, oc, depth+1)
	if err != nil {
		return nil, fmt.Errorf("opening the original of %q: %w", c.URL, err)
	}
	if merr != nil {
		res.Head = o.Head
	}
	res.Payload, res.Original = o.Payload, &oc
	return res, nil
}

// headTape remembers what was read until stop, so that a block without HTTP head can be given whole.
type headTape struct {
	r   io.Reader
	buf bytes.Buffer
	on  bool
}

func peekHead(r io.Reader) (*headTape, io.Reader) {
	t := &headTape{r: r, on: true}
	return t, t
}

func (t *headTape) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.on {
		t.buf.Write(p[:n])
	}
	return n, err
}

func (t *headTape) Bytes() []byte { return t.buf.Bytes() }
func (t *headTape) stop()         { t.on, t.buf = false, bytes.Buffer{} }

type payload struct {
	io.Reader
	f *os.File
}

func (p *payload) Close() error { return p.f.Close() }

// record opens one record and makes sure that it is the one meant. The caller closes the file.
func (a *Archive) record(file string, offset, length int64, id string) (*os.File, *warc.Record, error) {
	f, err := a.openWARC(file)
	if err != nil {
		return nil, nil, err
	}
	rec, err := warc.ReadRecordAt(f, offset, length)
	if err == nil && id != "" && rec.Header.ID() != id {
		err = fmt.Errorf("at %d of %q: record %s stands where %s should: %w", offset, file, rec.Header.ID(), id, ErrNotFound)
	} else if err != nil {
		err = fmt.Errorf("at %d of %q: %w", offset, file, err)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, rec, nil
}

// openWARC opens a file of archive/ by its final name, sealed or not.
func (a *Archive) openWARC(name string) (*os.File, error) {
	if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("file name %q in a capture: %w", name, ErrNotFound)
	}
	f, err := os.Open(a.path(archiveDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.Open(a.path(archiveDir, name+openSuffix)); errors.Is(err, fs.ErrNotExist) {
			f, err = os.Open(a.path(archiveDir, name)) // sealed between the two
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	return f, err
}

// lineOf finds the index line of a record.
func (a *Archive) lineOf(ctx context.Context, url, id string) (cdxj.Line, bool, error) {
	x, err := a.index.own(ctx)
	if err != nil {
		return cdxj.Line{}, false, err
	}
	for l, err := range x.Exact(url) {
		if err == nil && isRecord(&l, id) {
			return l, true, nil
		}
		if err != nil && !errors.Is(err, cdxj.ErrLine) {
			return cdxj.Line{}, false, err
		}
	}
	return cdxj.Line{}, false, nil
}

// originalOf finds the record that a revisit refers to (V3, reader row 23).
func (a *Archive) originalOf(ctx context.Context, rec *warc.Record) (cdxj.Line, bool, error) {
	h := &rec.Header
	uri := warc.Bare(h.Get(warc.FieldRefersToURI))
	if uri == "" {
		uri = h.TargetURI()
	}
	id, digest := warc.Bare(h.Get(warc.FieldRefersTo)), h.Get(warc.FieldPayloadDigest)
	date, _ := warc.ParseDate(h.Get(warc.FieldRefersToDate))
	x, err := a.index.own(ctx)
	if err != nil {
		return cdxj.Line{}, false, err
	}
	var best cdxj.Line
	rank := 0
	for l, err := range x.Exact(uri) {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue
			}
			return cdxj.Line{}, false, err
		}
		if l.Extra[extraKind] != "" || l.RecordID == h.ID() || l.MIME == mimeRevisit {
			continue
		}
		r := 0
		switch {
		case id != "" && isRecord(&l, id):
			return l, true, nil
		case digest != "" && l.Digest != "" && l.Digest != digest:
			continue
		case digest != "" && l.Digest == digest && !date.IsZero() && lineTime(&l).Truncate(time.Second).Equal(date.Truncate(time.Second)):
			r = 3
		case digest != "" && l.Digest == digest:
			r = 2
		case !date.IsZero() && lineTime(&l).Truncate(time.Second).Equal(date.Truncate(time.Second)):
			r = 1
		}
		if r > rank {
			best, rank = l, r
		}
	}
	if rank > 0 || digest == "" {
		return best, rank > 0, nil
	}
	l, ok, err := a.lineByDigest(ctx, digest)
	if err != nil || ok {
		return l, ok, err
	}
	// The digest files list what revisits of ours may refer to. Other people's records are not among them: their revisits
	// without any Refers-To (reader row 23) are worth reading the index once.
	for l, err := range x.All() {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue
			}
			return cdxj.Line{}, false, err
		}
		if l.Digest == digest && l.Extra[extraKind] == "" && l.MIME != mimeRevisit && l.Extra[extraCut] == "" && l.RecordID != h.ID() {
			return l, true, nil
		}
	}
	return cdxj.Line{}, false, ctx.Err()
}

// Find returns the capture of the URL that is closest in time, the earlier one on a tie. exact compares scheme, host and
// port too, which index keys merge. Notes, failed exchanges and answers to other methods than GET are not captures.
func (a *Archive) Find(ctx context.Context, url string, at time.Time, exact bool) (survey.Capture, error) {
	x, err := a.index.view(ctx)
	if err != nil {
		return survey.Capture{}, err
	}
	l, ok, err := x.Closest(targetURI(url), at, cdxj.Filter{Exact: exact, Accept: func(l *cdxj.Line) bool {
		return l.Extra[extraKind] == "" && l.Method == ""
	}})
	if err != nil {
		return survey.Capture{}, err
	}
	if !ok {
		return survey.Capture{}, fmt.Errorf("%q: %w", url, ErrNotFound)
	}
	return captureOf(&l), nil
}
