package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// view is one capture as it is asked for.
type view struct {
	address
	capture survey.Capture
	opened  *archive.Resource // when it was opened already
	shot    *shot             // the snapshot it is shown in
	fuzzy   string            // how its URL differs from the one asked for
	filled  string            // why it stands here though the snapshot lacks it
	time    string            // of its links, once made
}

// memento serves the capture nearest to the time in the address; pages are first led to its exact time.
func (h *Handler) memento(w http.ResponseWriter, r *http.Request, a address) {
	c, fuzzy, err := h.find(r.Context(), a.url, a.at, a.mod)
	if err != nil {
		if a.mod == modFrame && errors.Is(err, archive.ErrNotFound) {
			h.emptyFrame(w, a.url)
			return
		}
		h.fail(w, r, a.url, err)
		return
	}
	if a.mod != modImage && a.mod != modScript && a.mod != modStyle && a.mod != modOther {
		exact := len(a.digits) >= 14 && strings.HasPrefix(survey.Timestamp17(c.Date), a.digits)
		if !exact || quoteURL(a.url) != quoteURL(a.raw) {
			w.Header().Set("Link", h.links(r, c.URL))
			redirect(w, http.StatusFound, "/web/"+stamp(c.Date)+a.mod+"/"+quoteURL(a.url))
			return
		}
	}
	v := view{address: a, capture: c, fuzzy: fuzzy}
	if prefer := preferred(r.Header.Values("Prefer")); prefer != "" && a.page() {
		w.Header().Set("Vary", "Prefer")
		w.Header().Set("Preference-Applied", prefer)
		if prefer != "rewritten" {
			v.mod, a.mod = modRaw, modRaw
		}
	}
	if (a.page() || a.mod == modFrame) && c.Status == http.StatusOK {
		h.cache.stale(c.RecordID)
		if v.shot, err = h.load(r.Context(), c.RecordID, c.URL, c.Date, true); err != nil {
			h.fail(w, r, a.url, err)
			return
		}
	}
	h.serve(w, r, v)
}

// preferred is the first preference that we know of what a memento is given as (RFC 7240; pywb's values, and those of the
// proposal for raw mementos); "" when there is none, for what a server does not know it ignores.
func preferred(fields []string) string {
	for _, p := range strings.Split(strings.Join(fields, ","), ",") {
		p, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(p)), ";")
		switch p {
		case "raw", "original-content", "rewritten":
			return p
		}
	}
	return ""
}

// Header fields that are given as they were captured; all others get the prefix.
var plainFields = map[string]bool{"content-type": true, "content-disposition": true, "content-language": true}

// Header fields that describe the message of then and would be wrong on this one, even with a prefix.
var framing = map[string]bool{"transfer-encoding": true, "connection": true, "keep-alive": true, "trailer": true, "te": true, "upgrade": true}

const (
	origPrefix    = "X-Archive-Orig-"
	maxOrigFields = 100
	maxOrigBytes  = 16 << 10
)

// header copies the head of a capture (archive-formats 5.1).
func (h *Handler) header(to http.Header, v *view, res *archive.Resource) {
	base := v.capture.URL
	n, octets := 0, 0
	for _, f := range res.Head.Fields {
		name := strings.ToLower(f.Name)
		value := fieldText(f.Value)
		switch {
		case framing[name] || !token(f.Name):
			continue
		case plainFields[name]:
			if to.Get(f.Name) == "" {
				to.Set(f.Name, value)
			}
			continue
		case name == "location":
			if abs, ok := markup.Resolve(base, strings.TrimSpace(f.Value)); ok && to.Get("Location") == "" && res.Head.Status >= 300 && res.Head.Status < 400 {
				to.Set("Location", h.lead(v, abs, v.mod))
			}
		case name == "content-location":
			if abs, ok := markup.Resolve(base, strings.TrimSpace(f.Value)); ok {
				to.Set("Content-Location", h.lead(v, abs, v.mod))
			}
		}
		if n++; n > maxOrigFields {
			continue
		}
		if octets += len(f.Name) + len(value); octets > maxOrigBytes {
			continue
		}
		to.Add(origPrefix+f.Name, value)
	}
}

// token reports whether s is a field name that may be written.
func token(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// fieldText takes out what could end a header line.
func fieldText(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// lead returns the replay address of an absolute URL named by what v shows.
func (h *Handler) lead(v *view, abs, mod string) string {
	if v.shot != nil && mod != modPage && mod != modMain {
		return shotPath(v.shot, mod, abs)
	}
	return "/web/" + v.stamp() + mod + "/" + quoteURL(abs)
}

// stamp is the time that links of v lead to.
func (v *view) stamp() string {
	switch {
	case v.time != "":
	case v.shot != nil:
		v.time = survey.Timestamp17(v.shot.Time)
	default:
		v.time = stamp(v.capture.Date)
	}
	return v.time
}

// archived sets the fields that every answer with archived content carries.
func archived(to http.Header) {
	to.Set("Content-Security-Policy", Policy)
	to.Set("Cache-Control", "private, max-age=60")
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, v view) {
	res := v.opened
	if res == nil {
		var err error
		if res, err = h.cfg.Archive.Open(r.Context(), v.capture); err != nil {
			h.fail(w, r, v.url, err)
			return
		}
	}
	defer res.Payload.Close()
	head := w.Header()
	archived(head)
	status := res.Head.Status
	if status == 0 { // no HTTP message: a resource record
		status = http.StatusOK
	}
	h.header(head, &v, res)
	if status < 200 || status > 599 {
		head.Set(origPrefix+"Status", strconv.Itoa(status))
		status = http.StatusBadGateway
	}
	head.Set("Memento-Datetime", v.capture.Date.UTC().Format(http.TimeFormat))
	link := h.links(r, v.capture.URL)
	var near around
	if v.page() || v.mod == modRaw {
		link, near = h.neighbours(r.Context(), r, link, v.capture)
	}
	head.Set("Link", link+h.carried(&v, res))
	if v.fuzzy != "" {
		head.Set("X-Archive-Fuzzy", v.fuzzy+"; captured as "+linkURL(v.capture.URL))
	}
	if v.filled != "" {
		head.Set("X-Archive-Filled", v.filled)
	}
	if v.capture.Truncated != "" {
		head.Set("X-Archive-Truncated", fieldText(v.capture.Truncated))
	}
	// A sandboxed page is of no origin, and fonts are asked for with CORS. No script of another page can ask with this
	// destination, so that what is served is a font or of no use.
	if isFont(v.capture.Type, v.capture.URL) || r.Header.Get("Sec-Fetch-Dest") == "font" {
		head.Set("Access-Control-Allow-Origin", "*")
	}
	body := io.Reader(res.Decoded(maxDecoded))
	if v.mod == modRaw {
		body = h.raw(head, r, res, body)
	}
	typ := message.MediaType(head.Get("Content-Type"))
	if typ == "" && status != http.StatusNoContent && status != http.StatusNotModified {
		first := make([]byte, 512)
		n, _ := io.ReadFull(body, first)
		body = io.MultiReader(bytes.NewReader(first[:n]), body)
		if n > 0 {
			typ = message.MediaType(http.DetectContentType(first[:n]))
			head.Set("Content-Type", typ) // without one, nosniff would show nothing
		} else {
			head["Content-Type"] = nil
		}
	}
	if strings.HasPrefix(typ, "multipart/") { // its parts could be pages of their own
		head.Set("Content-Type", "application/octet-stream")
	}
	if kind := rewritable(typ); kind != "" && v.mod != modRaw {
		h.rewritten(w, r, &v, res, body, kind, status, near)
		return
	}
	h.stream(w, r, &v, body, status)
}

// maxDecoded bounds what is unpacked of one payload.
const maxDecoded = 4 << 30

// raw gives the payload as captured, with its content coding when the client takes that; else decoded.
func (h *Handler) raw(head http.Header, r *http.Request, res *archive.Resource, decoded io.Reader) io.Reader {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(res.Head.Values("Content-Encoding"), ",")))
	if coding == "" || coding == "identity" {
		return res.Payload
	}
	if !token(coding) || !accepts(r.Header.Values("Accept-Encoding"), coding) {
		return decoded
	}
	head.Set("Content-Encoding", coding)
	head.Add("Vary", "Accept-Encoding")
	return res.Payload
}

func accepts(fields []string, coding string) bool {
	for _, f := range strings.Split(strings.Join(fields, ","), ",") {
		name, param, _ := strings.Cut(strings.TrimSpace(f), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			q := strings.ReplaceAll(strings.ToLower(param), " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.000") && q != "q=0.0"
		}
	}
	return false
}

// rewritable says what a media type is rewritten as: html, xml (like html, without banner), css; "" when not at all.
func rewritable(typ string) string {
	switch typ {
	case "text/html":
		return "html"
	case "application/xhtml+xml", "image/svg+xml":
		return "xml"
	case "text/css":
		return "css"
	}
	return ""
}

// carried rewrites the archived Link field: preloads and style sheets lead into the replay, the rest stays a prefix field.
func (h *Handler) carried(v *view, res *archive.Resource) string {
	if v.mod == modRaw {
		return ""
	}
	var b strings.Builder
	for _, f := range res.Head.Values("Link") {
		for _, part := range splitLinks(f) {
			ref, params, ok := strings.Cut(part, ">")
			ref, good := strings.CutPrefix(strings.TrimSpace(ref), "<")
			if !ok || !good || b.Len() > 4<<10 {
				continue
			}
			params = strings.ToLower(strings.ReplaceAll(params, " ", ""))
			rel, as := param(params, "rel"), param(params, "as")
			mod := ""
			switch {
			case rel == "stylesheet", rel == "preload" && as == "style":
				mod = modStyle
			case rel == "preload" && as == "image":
				mod = modImage
			case rel == "preload" && as == "font":
				mod = modOther
			default:
				continue
			}
			abs, ok := markup.Resolve(v.capture.URL, ref)
			if !ok {
				continue
			}
			fmt.Fprintf(&b, `, <%s>; rel="%s"`, linkURL(h.lead(v, abs, mod)), rel)
			if as != "" {
				fmt.Fprintf(&b, `; as="%s"`, as)
			}
		}
	}
	return b.String()
}

func param(params, name string) string {
	for _, p := range strings.Split(params, ";") {
		if v, ok := strings.CutPrefix(p, name+"="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// splitLinks splits a Link field at the commas outside of <> and quotes.
func splitLinks(s string) (parts []string) {
	in, quoted, from := false, false, 0
	for i := 0; i < len(s) && len(parts) < 50; i++ {
		switch c := s[i]; {
		case c == '"' && !in:
			quoted = !quoted
		case c == '<' && !quoted:
			in = true
		case c == '>' && !quoted:
			in = false
		case c == ',' && !in && !quoted:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:])
}

// rewritten serves a page or style sheet whose places lead into the replay. Few documents are worked on at once; what waits
// for slow readers is bounded in sum, and holds nobody else up.
func (h *Handler) rewritten(w http.ResponseWriter, r *http.Request, v *view, res *archive.Resource, body io.Reader, kind string, status int, near around) {
	out, ok := h.rewrite(w, r, v, res, body, kind, status, near)
	if !ok {
		return
	}
	n := int64(len(out))
	if h.held.Add(n) > h.cfg.MaxHeld && n < h.held.Load() { // alone it is always given
		h.held.Add(-n)
		refuse(w.Header())
		w.Header().Set("Retry-After", "10")
		h.problem(w, r, http.StatusServiceUnavailable, "Too many answers wait for slow readers; try again in a moment.", "")
		return
	}
	defer h.held.Add(-n)
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(out)
	}
}

// refuse makes the header that of a page of ours again.
func refuse(head http.Header) {
	clear(head)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", ownPolicy)
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Robots-Tag", "noindex, nofollow")
}

// rewrite makes the document; ok is false when a page of ours was given in its place.
func (h *Handler) rewrite(w http.ResponseWriter, r *http.Request, v *view, res *archive.Resource, body io.Reader, kind string, status int, near around) (out []byte, ok bool) {
	select {
	case h.rewriting <- struct{}{}:
		defer func() { <-h.rewriting }()
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	src, err := io.ReadAll(io.LimitReader(body, h.cfg.MaxRewrite+1))
	cut := false
	switch {
	case int64(len(src)) > h.cfg.MaxRewrite:
		refuse(w.Header())
		h.problem(w, r, http.StatusInsufficientStorage, "This document is too large to be shown with its links; its octets are at "+"/web/"+stamp(v.capture.Date)+modRaw+"/"+v.capture.URL, v.url)
		return nil, false
	case err != nil && r.Context().Err() != nil:
		panic(http.ErrAbortHandler)
	case err != nil: // cut or damaged: what is there is shown
		cut = true
		h.cfg.Log.Warn("replay: payload ends early", "url", v.capture.URL, "err", err)
	}
	head := w.Header()
	charset, _ := message.Charset(head.Get("Content-Type"), src)
	if strings.HasPrefix(charset, "utf-16") || charset == "iso-2022-jp" {
		// The one exception from rewriting on octets: these are no supersets of ASCII.
		if u, err := message.ToUTF8(charset, src); err == nil {
			src = append([]byte("\xef\xbb\xbf"), bytes.TrimPrefix(u, []byte("\xef\xbb\xbf"))...)
			head.Set("Content-Type", message.MediaType(head.Get("Content-Type"))+"; charset=utf-8")
			charset = "utf-8"
		}
	}
	d := &document{url: v.capture.URL, charset: charset, framed: v.mod == modFrame, whole: v.shot != nil,
		link: func(abs, mod string) string { return h.lead(v, abs, mod) }}
	switch kind {
	case "css":
		out = d.CSS(src)
	default:
		if kind == "html" {
			symbols := svgFiles{h: h, ctx: r.Context(), v: v}
			d.symbol = symbols.take
			if v.page() && status != http.StatusNotModified {
				d.finish = func(s seen) []byte { return h.banner(r.Context(), v, s, near, status, cut) }
			}
		} else {
			d.plain = true
		}
		out = d.HTML(src)
	}
	return out, true
}

// stream gives a body as it is, or the one range that was asked for (RFC 9110 14). Nothing of it is held in memory.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, v *view, body io.Reader, status int) {
	head := w.Header()
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	coded := head.Get("Content-Encoding") != ""
	if status == http.StatusOK && !coded && v.capture.Truncated == "" {
		head.Set("Accept-Ranges", "bytes")
		if spec := r.Header.Get("Range"); spec != "" && r.Header.Get("If-Range") == "" {
			if from, to, ok := parseRange(spec); ok {
				size, err := h.size(r.Context(), v)
				if err == nil {
					h.part(w, r, body, from, to, size)
					return
				}
			}
		}
	}
	if n, ok := h.sizes.get(v.capture.RecordID, v.mod == modRaw); ok && !coded {
		head.Set("Content-Length", strconv.FormatInt(n, 10))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	h.copy(w, r, body)
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// copy sends a body. When the payload ends early the connection is cut, so that nobody takes it for whole.
func (h *Handler) copy(w http.ResponseWriter, r *http.Request, body io.Reader) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			if _, werr := w.Write((*buf)[:n]); werr != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			return
		case err != nil:
			h.cfg.Log.Warn("replay: payload ends early", "url", r.RequestURI, "err", err)
			panic(http.ErrAbortHandler)
		}
	}
}

// parseRange reads one byte range: "bytes=0-9", "bytes=5-" (to is -1), "bytes=-5" (from is -1). Several are not served as
// such, which the standard allows.
func parseRange(s string) (from, to int64, ok bool) {
	s, ok = strings.CutPrefix(strings.ToLower(strings.TrimSpace(s)), "bytes=")
	if !ok || strings.Contains(s, ",") {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, false
	}
	num := func(s string) int64 {
		s = strings.TrimSpace(s)
		if s == "" {
			return -1
		}
		n, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			ok = false
		}
		return int64(n)
	}
	from, to = num(a), num(b)
	return from, to, ok && (from >= 0 || to >= 0) && (from < 0 || to < 0 || from <= to)
}

func (h *Handler) part(w http.ResponseWriter, r *http.Request, body io.Reader, from, to, size int64) {
	head := w.Header()
	if from < 0 {
		from, to = max(0, size-to), size-1
	}
	if to < 0 || to >= size {
		to = size - 1
	}
	if from >= size || from > to {
		head.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		head["Content-Type"] = nil
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, size))
	head.Set("Content-Length", strconv.FormatInt(to-from+1, 10))
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusPartialContent)
		return
	}
	if _, err := io.CopyN(io.Discard, &whileAlive{r.Context(), body}, from); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusPartialContent)
	h.copy(w, r, io.LimitReader(body, to-from+1))
}

// whileAlive ends reading when the client is gone.
type whileAlive struct {
	ctx context.Context
	r   io.Reader
}

func (a *whileAlive) Read(p []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	return a.r.Read(p)
}

// sizes remembers how long decoded payloads are: heads may lie, and ranges need to know.
type sizes struct {
	mu sync.Mutex
	m  map[sizeKey]int64
}

type sizeKey struct {
	id  survey.RecordID
	raw bool
}

const maxSizes = 4096

func (s *sizes) get(id survey.RecordID, raw bool) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.m[sizeKey{id, raw}]
	return n, ok
}

func (s *sizes) put(id survey.RecordID, raw bool, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil || len(s.m) >= maxSizes {
		s.m = map[sizeKey]int64{}
	}
	s.m[sizeKey{id, raw}] = n
}

// size counts the octets of what stream would give, by reading it once.
func (h *Handler) size(ctx context.Context, v *view) (int64, error) {
	raw := v.mod == modRaw
	if n, ok := h.sizes.get(v.capture.RecordID, raw); ok {
		return n, nil
	}
	res, err := h.cfg.Archive.Open(ctx, v.capture)
	if err != nil {
		return 0, err
	}
	defer res.Payload.Close()
	n, err := io.Copy(io.Discard, &whileAlive{ctx, res.Decoded(maxDecoded)})
	if err != nil {
		return 0, err
	}
	h.sizes.put(v.capture.RecordID, raw, n)
	return n, nil
}

// svgFiles takes symbols out of archived SVG files for one page.
type svgFiles struct {
	h     *Handler
	ctx   context.Context
	v     *view
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
		if len(s.files) >= maxSVGFiles {
			return nil, ""
		}
		src = s.read(abs)
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
	name := "archive-symbol-" + strconv.Itoa(s.n)
	return markup.WithID(element, name), name
}

func (s *svgFiles) read(abs string) []byte {
	c, ok := survey.Capture{}, false
	if s.v.shot != nil {
		c, ok = s.v.shot.parts[plainURL(abs)]
	}
	if !ok {
		var err error
		if c, err = s.h.cfg.Archive.Find(s.ctx, abs, s.v.capture.Date, true); err != nil {
			return nil
		}
	}
	res, err := s.h.cfg.Archive.Open(s.ctx, c)
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
