package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// Forms of RestoreOptions.As.
const (
	AsTree     = "tree"     // a folder of files with relative links
	AsHTML     = "html"     // one file, everything inlined
	AsRaw      = "raw"      // the page's octets, content coding undone
	AsText     = "text"     // the article's text
	AsMarkdown = "markdown" // the article's text with headings and quotes
	AsWARC     = "warc"     // the records, with the originals of revisits
	AsWACZ     = "wacz"     // the same as a package that ReplayWeb.page shows
)

// RestoreOptions say what Restore writes and where.
type RestoreOptions struct {
	As string // default tree
	To string // folder for tree, else file
	// Force replaces what is there: an earlier restore as a whole, else files of the same name only.
	Force bool
	// Scripts keeps scripts. Opened from disk they run with what the browser grants to files (S9).
	Scripts bool
	// Title names the page in a WACZ.
	Title string
	// Coded keeps the content coding of raw.
	Coded bool
	// Donors are snapshots of mirrors judged the same in that run: they fill pictures and fonts that the snapshot lacks
	// from the same path (DESIGN section 6); each is flagged in the manifest.
	Donors []survey.Snapshot
	// MaxFiles, MaxFile and MaxBytes bound what is written (S6); 0: 5000 files, 256 MB a file, 2 GB together.
	MaxFiles int
	MaxFile  int64
	MaxBytes int64
}

// Manifest says what a restore wrote (T4).
type Manifest struct {
	Schema   string           `json:"schema"` // mirrorwatch/restore/1
	Snapshot string           `json:"snapshot"`
	Article  survey.Article   `json:"article"`
	Mirror   survey.Host      `json:"mirror"`
	Vantage  string           `json:"vantage"`
	URL      string           `json:"url"`
	Time     time.Time        `json:"time"`
	As       string           `json:"as"`
	Page     string           `json:"page"` // the page's file
	Files    []ManifestFile   `json:"files"`
	Missing  []survey.LeftOut `json:"missing"`
}

// ManifestFile is one restored resource.
type ManifestFile struct {
	URL      string          `json:"url"`
	Captured time.Time       `json:"captured"`
	Status   int             `json:"status"`
	File     string          `json:"file"` // slash-separated, relative to the manifest
	Type     string          `json:"type"`
	Bytes    int64           `json:"bytes"`
	SHA256   string          `json:"sha256"` // of the file as written
	Payload  survey.Digest   `json:"payload_digest"`
	RecordID survey.RecordID `json:"record_id"`
	WARC     string          `json:"warc"`
	Offset   int64           `json:"offset"`
	// Flags: rewritten, truncated, unverified, imported, digest_mismatch, cut_at_limit, undecodable, from_mirror:HOST.
	Flags []string `json:"flags"`
}

const restoreSchema = "mirrorwatch/restore/1"

// ExistsError is a target that is there already; Force was not given.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string { return fmt.Sprintf("%q is there already", e.Path) }
func (e *ExistsError) Unwrap() error { return fs.ErrExist }

// Restore gives a snapshot back. It writes to a staging place beside the target and renames at the end, so the target is
// whole or as it was; in a tree every write goes through os.Root (S1, S5).
func (a *Archive) Restore(ctx context.Context, snap survey.Snapshot, opt RestoreOptions) (Manifest, error) {
	if opt.As == "" {
		opt.As = AsTree
	}
	if opt.To == "" {
		return Manifest{}, errors.New("restore: no target given")
	}
	if opt.MaxFiles <= 0 {
		opt.MaxFiles = 5000
	}
	if opt.MaxFile <= 0 {
		opt.MaxFile = 256 << 20
	}
	if opt.MaxBytes <= 0 {
		opt.MaxBytes = 2 << 30
	}
	r := &restorer{a: a, snap: snap, opt: opt, names: newNamer(), plan: map[string]*planned{}}
	r.manifest = Manifest{Schema: restoreSchema, Snapshot: snap.Name(), Article: snap.Article, Mirror: snap.Mirror, Vantage: snap.Vantage,
		URL: snap.URL, Time: snap.Time.UTC(), As: opt.As, Files: []ManifestFile{}, Missing: append([]survey.LeftOut{}, snap.LeftOut...)}
	var err error
	switch opt.As {
	case AsTree:
		err = r.tree(ctx)
	case AsRaw, AsHTML, AsText, AsMarkdown, AsWARC, AsWACZ:
		err = r.file(ctx)
	default:
		err = fmt.Errorf("restore: unknown form %q", opt.As)
	}
	return r.manifest, err
}

type restorer struct {
	a        *Archive
	snap     survey.Snapshot
	opt      RestoreOptions
	names    *namer
	plan     map[string]*planned // by URL, without fragment
	order    []*planned
	written  int64
	manifest Manifest
}

// planned is a resource that will be restored.
type planned struct {
	url     string
	capture survey.Capture
	file    string
	flags   []string
}

// gather plans the page and its requisites, then what donors can fill in.
func (r *restorer) gather() {
	r.names.take("manifest.json")
	r.add(r.snap.URL, r.snap.Page, nil)
	for _, q := range r.snap.Requisites {
		p := r.add(q.URL, q.Capture, nil)
		if p != nil && q.Final != "" && r.plan[q.Final] == nil {
			r.plan[q.Final] = p // links to where the redirect led find the same file
		}
	}
	for _, d := range r.opt.Donors {
		if d.Mirror == r.snap.Mirror {
			continue
		}
		for _, q := range d.Requisites {
			mine := swapHost(q.URL, d.Page.URL, r.snap.URL)
			if mine == "" || r.plan[mine] != nil || !donorType(q.Capture.Type) || q.Capture.Imported || q.Capture.Unverified ||
				q.Capture.Truncated != "" || q.Capture.Status != 200 {
				continue
			}
			r.add(mine, q.Capture, []string{"from_mirror:" + string(d.Mirror)})
		}
	}
	missing := r.manifest.Missing[:0]
	for _, m := range r.manifest.Missing {
		if r.plan[m.URL] == nil {
			missing = append(missing, m)
		}
	}
	r.manifest.Missing = missing
}

func donorType(t string) bool {
	return strings.HasPrefix(t, "image/") || strings.HasPrefix(t, "font/") || strings.HasPrefix(t, "application/font")
}

// swapHost turns a URL on the donor's own host into the same path on the host of to; "" when it is on another host.
func swapHost(u, from, to string) string {
	of, ot := originOf(from), originOf(to)
	rest, ok := strings.CutPrefix(u, of+"/")
	if of == "" || ot == "" || !ok {
		return ""
	}
	return ot + "/" + rest
}

func originOf(u string) string {
	i := strings.Index(u, "://")
	if i < 0 {
		return ""
	}
	j := strings.IndexAny(u[i+3:], "/?#")
	if j < 0 {
		return u
	}
	return u[:i+3+j]
}

func (r *restorer) add(url string, c survey.Capture, flags []string) *planned {
	url, _, _ = strings.Cut(url, "#")
	if r.plan[url] != nil || c.RecordID == "" {
		return r.plan[url]
	}
	if len(r.order) >= r.opt.MaxFiles {
		r.manifest.Missing = append(r.manifest.Missing, survey.LeftOut{URL: url, Why: "max_files"})
		return nil
	}
	p := &planned{url: url, capture: c, file: r.names.name(url, c.Type), flags: flags}
	r.plan[url] = p
	r.order = append(r.order, p)
	return p
}

// tree writes everything into a staging folder beside the target.
func (r *restorer) tree(ctx context.Context) error {
	to := filepath.Clean(r.opt.To)
	if err := r.free(to); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	stage, err := folderBeside(to)
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	root, err := os.OpenRoot(stage)
	if err != nil {
		return err
	}
	defer root.Close()
	r.gather()
	for i, p := range r.order {
		if err := r.treeFile(ctx, root, p, i == 0); err != nil {
			return err
		}
	}
	r.manifest.Page = r.order[0].file
	if err := r.writeManifest(func(b []byte) error { return root.WriteFile("manifest.json", b, 0o666) }); err != nil {
		return err
	}
	return r.swap(stage, to)
}

// folderBeside makes a folder that will be renamed to name, with the mode that the process's mask asks for.
func folderBeside(name string) (string, error) {
	for try := 0; ; try++ {
		dir := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.restore-%d-%d", filepath.Base(name), os.Getpid(), try))
		if err := os.Mkdir(dir, 0o777); !errors.Is(err, fs.ErrExist) || try == 100 {
			return dir, err
		}
	}
}

// free refuses a target that is there, but for an empty folder, unless forced.
func (r *restorer) free(to string) error {
	info, err := os.Lstat(to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() && r.opt.As == AsTree {
		if entries, err := os.ReadDir(to); err == nil && len(entries) == 0 {
			return nil
		}
		if r.opt.Force {
			return nil
		}
	} else if r.opt.Force && info.Mode().IsRegular() && r.opt.As != AsTree {
		return nil
	}
	return &ExistsError{to}
}

// swap puts the staged tree in place. With Force, an earlier restore is replaced as a whole; any other folder keeps what
// it has but for files of the same name.
func (r *restorer) swap(stage, to string) error {
	err := os.Rename(stage, to)
	if err == nil || !r.opt.Force {
		if errors.Is(err, fs.ErrExist) {
			return &ExistsError{to}
		}
		return err
	}
	if wasRestore(to) {
		old, err := os.MkdirTemp(filepath.Dir(to), "."+filepath.Base(to)+".old-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(old)
		if err := os.Rename(to, filepath.Join(old, "tree")); err != nil {
			return err
		}
		if err := os.Rename(stage, to); err != nil {
			return errors.Join(err, os.Rename(filepath.Join(old, "tree"), to))
		}
		return nil
	}
	from, err := os.OpenRoot(stage)
	if err != nil {
		return err
	}
	defer from.Close()
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(from.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "." {
				return nil
			}
			return root.MkdirAll(name, 0o777)
		}
		in, err := from.Open(name)
		if err != nil {
			return err
		}
		defer in.Close()
		_ = root.Remove(name) // a link there must not be written through
		out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

func wasRestore(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	var m Manifest
	return err == nil && json.Unmarshal(b, &m) == nil && m.Schema == restoreSchema && m.As == AsTree
}

func (r *restorer) writeManifest(write func([]byte) error) error {
	b, err := json.MarshalIndent(r.manifest, "", "  ")
	if err != nil {
		return err
	}
	return write(append(b, '\n'))
}

// treeFile restores one resource into the tree. What cannot be read is entered as missing; only the page itself is an error.
func (r *restorer) treeFile(ctx context.Context, root *os.Root, p *planned, page bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	res, err := r.a.Open(ctx, p.capture)
	if err != nil {
		if page {
			return err
		}
		r.lose(p, "unreadable")
		return nil
	}
	defer res.Payload.Close()
	if r.written >= r.opt.MaxBytes {
		r.lose(p, "max_bytes")
		return nil
	}
	mediaType := p.capture.Type
	if dir := path.Dir(p.file); dir != "." {
		if err := root.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(p.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	out := io.MultiWriter(f, sum)
	var n int64
	limit := min(r.opt.MaxFile, r.opt.MaxBytes-r.written)
	if isHTML(mediaType) || mediaType == "text/css" {
		b, err := r.read(p, res, limit)
		if err != nil {
			return err
		}
		b = r.rewrite(ctx, b, p, res, mediaType, r.treeLink(p.file), "")
		m, err := out.Write(b)
		n = int64(m)
		if err != nil {
			return err
		}
		p.flags = append(p.flags, "rewritten")
	} else if n, err = r.copy(out, p, res, limit); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	r.written += n
	r.enter(p, n, sum)
	return nil
}

func (r *restorer) lose(p *planned, why string) {
	delete(r.plan, p.url)
	r.manifest.Missing = append(r.manifest.Missing, survey.LeftOut{URL: p.url, Why: why})
}

func (r *restorer) enter(p *planned, n int64, sum hash.Hash) {
	c := p.capture
	flags := append([]string{}, p.flags...)
	if c.Truncated != "" {
		flags = append(flags, "truncated")
	}
	if c.Unverified {
		flags = append(flags, flagUnverified)
	}
	if c.Imported {
		flags = append(flags, flagImported)
	}
	r.manifest.Files = append(r.manifest.Files, ManifestFile{URL: p.url, Captured: c.Date.UTC(), Status: c.Status, File: p.file, Type: c.Type,
		Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil)), Payload: c.Payload, RecordID: c.RecordID, WARC: c.File, Offset: c.Offset, Flags: flags})
}

// copy writes the decoded payload, and checks the payload digest on the way (I5).
func (r *restorer) copy(w io.Writer, p *planned, res *Resource, limit int64) (int64, error) {
	check := sha256.New()
	tee := &teePayload{io.TeeReader(res.Payload, check), res.Payload}
	m := message.Response{Head: res.Head, Payload: tee}
	in := m.Decoded(limit)
	if r.opt.As == AsRaw && r.opt.Coded {
		in = tee
	}
	dst := &tolerant{w: w}
	n, err := io.Copy(dst, io.LimitReader(in, limit))
	if dst.err != nil {
		return n, dst.err
	}
	switch {
	case errors.Is(err, message.ErrDecodedLimit), n == limit:
		p.flags = append(p.flags, "cut_at_limit")
	case err != nil && p.capture.Truncated == "":
		p.flags = append(p.flags, "undecodable") // what came out of it before is kept (reader row 22)
	}
	_, _ = io.Copy(io.Discard, tee)
	if want := p.capture.Payload.Hex(); len(want) == 64 && hex.EncodeToString(check.Sum(nil)) != want {
		p.flags = append(p.flags, "digest_mismatch")
	}
	return n, nil
}

type teePayload struct {
	io.Reader
	io.Closer
}

// tolerant keeps the writer's error apart from the reader's.
type tolerant struct {
	w   io.Writer
	err error
}

func (t *tolerant) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.err = err
	return n, err
}

func (r *restorer) read(p *planned, res *Resource, limit int64) ([]byte, error) {
	var b bytes.Buffer
	_, err := r.copy(&b, p, res, limit)
	return b.Bytes(), err
}

// rewrite points the links of a page or style sheet elsewhere. Pages in UTF-16 become UTF-8: the scanner reads
// ASCII-compatible charsets.
func (r *restorer) rewrite(ctx context.Context, b []byte, p *planned, res *Resource, mediaType string, link linker, policy string) []byte {
	if mediaType == "text/css" {
		return rewriteCSS(b, p.base(), link)
	}
	opt := rewriteOptions{scripts: r.opt.Scripts, policy: policy, single: r.opt.As == AsHTML}
	if !r.opt.Scripts {
		files := svgFiles{r: r, ctx: ctx, link: link}
		opt.symbol = files.take
	}
	name, how := message.Charset(res.Head.Get("Content-Type"), b)
	low := strings.ToLower(name)
	switch {
	case strings.HasPrefix(low, "utf-16"), strings.HasPrefix(low, "utf-32"), strings.HasPrefix(low, "iso-2022"), low == "hz-gb-2312":
		if t, err := message.ToUTF8(name, b); err == nil {
			b, opt.charset = t, "utf-8"
		}
	case how == "header", how == "detected":
		opt.charset = name
	}
	opt.comment = "Saved by mirrorwatch from " + fieldText(p.capture.URL) + ", captured " + p.capture.Date.UTC().Format(time.RFC3339)
	return rewriteHTML(b, p.base(), link, opt)
}

// svgFiles takes symbols out of saved SVG files for one page.
type svgFiles struct {
	r     *restorer
	ctx   context.Context
	link  linker
	files map[string][]byte
	n     int
}

const (
	maxSVG      = 1 << 20
	maxSVGFiles = 4
)

func (s *svgFiles) take(abs, id string) ([]byte, string) {
	src, ok := s.files[abs]
	if !ok {
		if len(s.files) >= maxSVGFiles || s.r.plan[abs] == nil {
			return nil, ""
		}
		src = s.read(s.r.plan[abs])
		if s.files == nil {
			s.files = map[string][]byte{}
		}
		s.files[abs] = src
	}
	element := markup.Symbol(src, id)
	if element == nil {
		return nil, ""
	}
	s.n++
	name := fmt.Sprint("archive-symbol-", s.n)
	// What would run in it goes, as it does in the page.
	return rewriteHTML(markup.WithID(element, name), abs, s.link, rewriteOptions{}), name
}

func (s *svgFiles) read(p *planned) []byte {
	res, err := s.r.a.Open(s.ctx, p.capture)
	if err != nil {
		return nil
	}
	defer res.Payload.Close()
	b, err := io.ReadAll(io.LimitReader(res.Decoded(maxSVG+1), maxSVG+1))
	if err != nil && !errors.Is(err, message.ErrDecodedLimit) || len(b) > maxSVG {
		return nil
	}
	return b
}

// base is the URL against which the resource's links resolve: the one that answered.
func (p *planned) base() string {
	for _, f := range p.flags {
		if strings.HasPrefix(f, "from_mirror:") {
			return p.url
		}
	}
	if p.capture.URL != "" {
		return p.capture.URL
	}
	return p.url
}

// treeLink gives relative links to what the tree holds and absolute ones to the rest (T1).
func (r *restorer) treeLink(from string) linker {
	return func(abs, fragment string, p markup.Place) (string, bool) {
		if to := r.plan[abs]; to != nil {
			return relativeLink(from, to.file) + fragment, true
		}
		return r.unsaved(abs, fragment, p)
	}
}

// unsaved is the link to what was not saved. What a browser would load by itself gets an address that leads nowhere and
// names the real one: a page opened from disk reaches out only when its reader follows a link (S9). A page that keeps its
// scripts keeps its addresses too.
func (r *restorer) unsaved(abs, fragment string, p markup.Place) (string, bool) {
	text, ok := outward(abs, fragment, p)
	switch {
	case !ok || r.opt.Scripts || p.Element == "meta" || p.Element == "script":
	case p.Kind == markup.Frame:
		text = "about:blank#" + text
	case p.Kind.Requisite() || p.Kind == markup.Manifest || p.Kind == markup.Hint || p.Rel == "ping":
		text = "about:invalid#" + text
	}
	return text, ok
}

// outward is the link to what was not saved: absolute, so that a reader can follow it.
func outward(abs, fragment string, p markup.Place) (string, bool) {
	text := safeURLText(abs)
	if p.Element == "" || p.Attr == "style" || p.Attr == "" {
		text = strings.ReplaceAll(text, ";", "%3B")
	}
	if strings.Contains(p.Attr, "srcset") {
		text = strings.ReplaceAll(text, ",", "%2C")
	}
	return text + fragment, true
}

// file writes one of the forms that are a single file.
func (r *restorer) file(ctx context.Context) error {
	to := filepath.Clean(r.opt.To)
	if err := r.free(to); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	f, err := createBeside(to)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	r.gather()
	page := r.order[0]
	page.file = filepath.Base(to)
	r.manifest.Page = page.file
	sum := sha256.New()
	out := &counter{w: io.MultiWriter(f, sum)}
	switch r.opt.As {
	case AsRaw:
		err = r.raw(ctx, out, page)
	case AsHTML:
		err = r.single(ctx, out, page)
	case AsWARC:
		err = r.subset(ctx, out)
	case AsWACZ:
		_, err = r.a.pack(ctx, out, []survey.Snapshot{r.snap}, ExportOptions{Title: r.opt.Title, Titles: func(survey.Snapshot) string { return r.opt.Title }})
	default:
		err = r.text(ctx, out, page)
	}
	if err != nil {
		return err
	}
	r.enter(page, out.n, sum)
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return place(f.Name(), to, r.opt.Force)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (r *restorer) raw(ctx context.Context, w io.Writer, page *planned) error {
	res, err := r.a.Open(ctx, page.capture)
	if err != nil {
		return err
	}
	defer res.Payload.Close()
	_, err = r.copy(w, page, res, r.opt.MaxFile)
	return err
}

// singlePolicy lets a single file show what it holds and nothing else (T2).
const singlePolicy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline' data:; font-src data:"

// single writes the page with everything inlined as data: URLs.
func (r *restorer) single(ctx context.Context, w io.Writer, page *planned) error {
	res, err := r.a.Open(ctx, page.capture)
	if err != nil {
		return err
	}
	defer res.Payload.Close()
	b, err := r.read(page, res, r.opt.MaxFile)
	if err != nil {
		return err
	}
	in := &inliner{r: r, ctx: ctx, done: map[string]string{}, left: r.opt.MaxBytes}
	policy := singlePolicy
	if r.opt.Scripts {
		policy = "" // a page that keeps its scripts keeps its own rules
	}
	if !isHTML(page.capture.Type) {
		_, err := w.Write(b)
		return err
	}
	_, err = w.Write(r.rewrite(ctx, b, page, res, page.capture.Type, in.link, policy))
	return err
}

// inliner turns requisites into data: URLs, style sheets with what they name, each once.
type inliner struct {
	r     *restorer
	ctx   context.Context
	done  map[string]string
	stack []string
	left  int64
}

func (in *inliner) link(abs, fragment string, p markup.Place) (string, bool) {
	to := in.r.plan[abs]
	if to == nil || to == in.r.order[0] || !p.Kind.Requisite() || p.Kind == markup.Script {
		return in.r.unsaved(abs, fragment, p)
	}
	data, ok := in.data(to)
	if !ok {
		return in.r.unsaved(abs, fragment, p)
	}
	return data + fragment, true
}

func (in *inliner) data(p *planned) (string, bool) {
	if d, ok := in.done[p.url]; ok {
		return d, d != ""
	}
	if len(in.stack) > 8 || in.ctx.Err() != nil || in.left <= 0 {
		return "", false
	}
	in.done[p.url] = "" // a sheet that imports itself
	res, err := in.r.a.Open(in.ctx, p.capture)
	if err != nil {
		in.r.manifest.Missing = append(in.r.manifest.Missing, survey.LeftOut{URL: p.url, Why: "unreadable"})
		return "", false
	}
	defer res.Payload.Close()
	b, err := in.r.read(p, res, min(in.r.opt.MaxFile, in.left))
	if err != nil {
		return "", false
	}
	mediaType := p.capture.Type
	if mediaType == "text/css" {
		in.stack = append(in.stack, p.url)
		b = rewriteCSS(b, p.base(), in.link)
		in.stack = in.stack[:len(in.stack)-1]
		if name, how := message.Charset(res.Head.Get("Content-Type"), b); how == "header" && !strings.EqualFold(name, "utf-8") {
			if t, err := message.ToUTF8(name, b); err == nil {
				b = t
			}
		}
		mediaType = "text/css;charset=utf-8"
	}
	if mediaType == "" || strings.ContainsAny(mediaType, "\"'<> ,()") {
		mediaType = "application/octet-stream"
	}
	d := "data:" + mediaType + ";base64," + base64.StdEncoding.EncodeToString(b)
	in.left -= int64(len(d))
	in.done[p.url] = d
	sum := sha256.New()
	sum.Write(b)
	p.file = ""
	in.r.enter(p, int64(len(b)), sum)
	return d, true
}
