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
	"net/netip"
	"net/url"
	"strings"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// draft is a record that knows everything but its place: the file decides its WARC-Warcinfo-ID.
type draft struct {
	header warc.Header
	block  func() io.Reader
	size   int64
	line   *cdxj.Line // nil: not indexed

	foreign bool              // somebody else's record, header and ID kept
	raw     *io.SectionReader // a whole member, copied as it is
}

func (d *draft) out(warcinfo string) warc.Out {
	h := d.header.Clone()
	if d.foreign {
		return warc.Out{Header: h, Block: d.block(), Size: d.size, Foreign: true}
	}
	h.Add(warc.FieldWarcinfoID, warc.Angle(warcinfo))
	return warc.Out{Header: h, Block: d.block(), Size: d.size}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func digestReader(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func bytesDraft(h warc.Header, b []byte) draft {
	h.Set(warc.FieldBlockDigest, digestOf(b))
	return draft{header: h, block: func() io.Reader { return bytes.NewReader(b) }, size: int64(len(b))}
}

// Put keeps one sealed exchange: response and request adjacent (W8), then the metadata record, then by-catch and DNS
// answers. A payload that the epoch holds already becomes a revisit (V1). The Capture may be believed after Commit. The
// exchange's blobs are not used after Put returned. An error is of type *WriteError when the disk is to blame.
func (a *Archive) Put(ctx context.Context, e *survey.Exchange) (survey.Capture, error) {
	if a.opt.ReadOnly {
		return survey.Capture{}, ErrReadOnly
	}
	target := targetURI(e.URL)
	id := e.ID
	if id == "" {
		id = survey.RecordID(warc.NewRecordID())
	}
	ex, err := newExchangeParts(a, e, id, target)
	if err != nil {
		return survey.Capture{}, fmt.Errorf("recording the exchange with %q: %w", e.URL, err)
	}

	st, err := a.stageAt(ex.date)
	if err != nil {
		return survey.Capture{}, err
	}
	var c *claim
	if ex.claimable() {
		if c, err = st.claims.take(ctx, e.PayloadDigest); err != nil {
			return survey.Capture{}, err
		}
		if c.original != nil {
			ex.refer(c.original)
		}
	}
	holds := ex.shareChain(st.epoch)
	drafts, err := ex.drafts()
	if err != nil {
		st.claims.release(c, nil)
		return survey.Capture{}, fmt.Errorf("recording the exchange with %q: %w", e.URL, err)
	}
	lines, err := st.data.append(ctx, drafts)
	if err != nil {
		st.claims.release(c, nil)
		a.forgetDNS(ex)
		return survey.Capture{}, err
	}
	st.claims.release(c, &lines[0])
	if holds != nil {
		a.dnsMu.Lock()
		if len(a.chains) >= maxDNSSeen {
			clear(a.chains) // a chain may then be written twice: harmless
		}
		a.chains[*holds] = id
		a.dnsMu.Unlock()
	}
	return captureOf(&lines[0]), nil
}

// shareChain leaves the certificate chain to the exchange of this session and epoch that holds it already: a site's pages,
// links and decoys come with the same one, and octets of certificates do not compress. What decides a verdict keeps its
// own, as evidence that stands alone. It returns the key under which others may refer to this one, once it is in the file.
func (x *exchangeParts) shareChain(epoch string) *[32]byte {
	t := x.note.TLS
	if t == nil || len(t.Chain) == 0 {
		return nil
	}
	h := sha256.New()
	_, _ = io.WriteString(h, epoch)
	for _, der := range t.Chain {
		sum := sha256.Sum256(der)
		_, _ = h.Write(sum[:])
	}
	key := [32]byte(h.Sum(nil))
	x.a.dnsMu.Lock()
	defer x.a.dnsMu.Unlock()
	holder := x.a.chains[key]
	if holder == "" {
		return &key
	}
	if x.e.Probe.Purpose != survey.ForVerdict {
		t.Chain, t.ChainIn = nil, holder
	}
	return nil
}

// exchangeParts turns one Exchange into drafts.
type exchangeParts struct {
	a        *Archive
	e        *survey.Exchange
	id       survey.RecordID
	target   string
	date     time.Time
	note     exchangeNote
	original *original
	start    int64 // of the response block in e.Response
	end      int64
	dns      [][16]byte
}

func newExchangeParts(a *Archive, e *survey.Exchange, id survey.RecordID, target string) (*exchangeParts, error) {
	x := &exchangeParts{a: a, e: e, id: id, target: target, date: e.Started.UTC(), note: newExchangeNote(e)}
	if x.date.IsZero() {
		x.date = a.opt.Now().UTC()
	}
	if e.Response != nil {
		size := e.Response.Size()
		x.start, x.end = e.Head.Start, e.FramedEnd
		if x.end <= 0 && e.Head == (survey.Span{}) {
			x.end = size // no head, no framing: all of it is what came
		}
		if x.start < 0 || x.start > x.end || x.end > size || e.Head.End > x.end {
			return nil, fmt.Errorf("spans do not fit: head %v, end %d, %d octets received", e.Head, e.FramedEnd, size)
		}
	}
	if e.TLS != nil && !e.TLS.Verified {
		x.note.Flags = append(x.note.Flags, flagUnverified)
	}
	if a.opt.UserAgent != "" && len(e.Request) > 0 {
		if ua, ok := requestField(e.Request, "User-Agent"); ok && ua != a.opt.UserAgent {
			x.note.Flags = append(x.note.Flags, flagUserAgent)
		}
	}
	return x, nil
}

// requestField returns a field of a request head.
func requestField(req []byte, name string) (string, bool) {
	for line := range bytes.Lines(req) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return "", false
		}
		n, v, ok := bytes.Cut(line, []byte(":"))
		if ok && survey.EqualFold(string(n), name) {
			return strings.TrimSpace(string(v)), true
		}
	}
	return "", false
}

// hasResponse reports whether octets of a response are there to be kept.
func (x *exchangeParts) hasResponse() bool { return x.e.Response != nil && x.end > x.start }

// emptyDigest is the SHA-256 of nothing (D3): never worth a revisit.
const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// claimable says whether the payload may be a revisit or be referred to (V4): a whole 200 to a GET with a body, over
// verified TLS where there was TLS.
func (x *exchangeParts) claimable() bool {
	e := x.e
	return x.hasResponse() && e.Complete && e.Truncated == "" && e.Status == 200 && e.PayloadSize > 0 &&
		e.PayloadDigest != "" && e.PayloadDigest != emptyDigest && e.Method != "HEAD" && e.Head.End > e.Head.Start &&
		(e.TLS == nil || e.TLS.Verified)
}

// refer makes the response a revisit of o.
func (x *exchangeParts) refer(o *original) { x.original = o }

// base starts a record header.
func (x *exchangeParts) base(typ string, id survey.RecordID, contentType string) warc.Header {
	var h warc.Header
	h.Add(warc.FieldType, typ)
	h.SetID(string(id))
	h.SetDate(x.date)
	h.Add(warc.FieldTargetURI, x.target)
	h.Add(warc.FieldContentType, contentType)
	return h
}

// connection adds what is known of the connection: the peer's address, never a proxy's (W10), and the protocols (P1).
func (x *exchangeParts) connection(h *warc.Header) {
	e := x.e
	if e.Via == "" && e.Peer.IsValid() {
		h.Add(warc.FieldIPAddress, e.Peer.Addr().Unmap().WithZone("").String())
	}
	h.Add(warc.FieldProtocol, protocol(e.Proto))
	if e.TLS != nil && e.TLS.Version != "" {
		h.Add(warc.FieldProtocol, tlsProtocol(e.TLS.Version))
		if c := e.TLS.Cipher; c != "" && !strings.ContainsAny(c, "\r\n\x00 ") {
			h.Add(warc.FieldCipherSuite, c)
		}
	}
}

func protocol(proto string) string {
	if strings.EqualFold(proto, "HTTP/1.0") {
		return "http/1.0"
	}
	return "http/1.1" // all that our ALPN offers
}

// tlsProtocol spells "TLS 1.3", "TLSv1.3" and "1.3" as the convention does: tls/1.3.
func tlsProtocol(v string) string {
	i := strings.IndexAny(v, "0123456789")
	if i < 0 {
		return "tls/1.2"
	}
	return "tls/" + strings.TrimSpace(v[i:])
}

func (x *exchangeParts) drafts() ([]draft, error) {
	var ds []draft
	concurrent := x.id
	if x.hasResponse() {
		d, err := x.response()
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
		x.note.Response = x.id
	}
	var request survey.RecordID
	var requests []draft
	if len(x.e.Request) > 0 {
		request = survey.RecordID(warc.NewRecordID())
		h := x.base(warc.Request, request, "application/http;msgtype=request")
		h.Add(warc.FieldConcurrentTo, warc.Angle(string(concurrent)))
		x.connection(&h)
		if len(x.e.Masked) > 0 {
			// The one exception to wire-exact: credentials the operator typed, masked at equal length.
			h.Add("X-Mirrorwatch-Masked", fieldText(strings.Join(x.e.Masked, ", ")))
		}
		requests = append(requests, bytesDraft(h, x.e.Request))
		x.note.Request = request
	}
	var more []draft
	if x.e.Response != nil {
		d, o, err := x.byCatch("interim", 0, x.start)
		if err != nil {
			return nil, err
		}
		if x.note.Interim = o; o != nil {
			o.Spans = x.e.Interim
		}
		more = append(more, d...)
		d, o, err = x.byCatch("surplus", x.end, x.e.Response.Size())
		if err != nil {
			return nil, err
		}
		x.note.Surplus = o
		more = append(more, d...)
	}
	more = append(more, x.lookups()...)

	meta, err := x.metadata()
	if err != nil {
		return nil, err
	}
	if !x.hasResponse() {
		// The metadata record is the capture: it comes first, so that the group's first record is the one returned.
		ds = append(ds, meta)
		ds = append(ds, requests...)
	} else {
		ds = append(ds, requests...)
		ds = append(ds, meta)
	}
	return append(ds, more...), nil
}

func (x *exchangeParts) response() (draft, error) {
	e := x.e
	typ, end := warc.Response, x.end
	if x.original != nil {
		typ, end = warc.Revisit, e.Head.End
	}
	h := x.base(typ, x.id, "application/http;msgtype=response")
	x.connection(&h)
	section := func() io.Reader { return io.NewSectionReader(e.Response, x.start, end-x.start) }
	block := string(e.BlockDigest)
	if x.original != nil || block == "" {
		var err error
		if block, err = digestReader(section()); err != nil {
			return draft{}, err
		}
	}
	h.Add(warc.FieldBlockDigest, block)
	payload := string(e.PayloadDigest)
	if payload == "" {
		var err error
		if payload, err = payloadDigest(section); err != nil {
			return draft{}, err
		}
	}
	h.Add(warc.FieldPayloadDigest, payload)
	switch {
	case x.original != nil:
		o := x.original
		h.Add(warc.FieldProfile, warc.ProfileIdentical)
		h.Add(warc.FieldRefersTo, warc.Angle(string(o.ID)))
		h.Add(warc.FieldRefersToURI, o.URL)
		h.Add(warc.FieldRefersToDate, warc.FormatDate(o.Date))
		h.Add(warc.FieldTruncated, "length")
	case e.Truncated != "":
		h.Add(warc.FieldTruncated, e.Truncated)
	case !e.Complete:
		h.Add(warc.FieldTruncated, "unspecified")
	}
	mediaType := message.MediaType(e.Get("Content-Type"))
	line := recordLine(&h, e.Status, mediaType)
	setFlags(line, x.note.Flags)
	setHTTP(line, e.Method, e.Get("Location"))
	return draft{header: h, block: section, size: end - x.start, line: line}, nil
}

func payloadDigest(block func() io.Reader) (string, error) {
	r, err := message.Open(block())
	if err != nil {
		return digestReader(block()) // no HTTP head: all of it is the payload (reader row 17)
	}
	h := sha256.New()
	_, err = io.Copy(h, r.Payload)
	var bad *message.ChunkError
	switch {
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF): // the last chunk is missing: what came is the payload
	case errors.As(err, &bad) && bad.Rest != nil:
		if _, err := io.Copy(h, bad.Rest); err != nil {
			return "", err
		}
	default:
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func (x *exchangeParts) metadata() (draft, error) {
	body, err := json.Marshal(x.note)
	if err != nil {
		return draft{}, err
	}
	id := survey.RecordID(warc.NewRecordID())
	if !x.hasResponse() {
		id = x.id
	}
	h := x.base(warc.Metadata, id, "application/json")
	if x.hasResponse() {
		h.Add(warc.FieldConcurrentTo, warc.Angle(string(x.id)))
	}
	h.Add(fieldSchema, string(survey.NoteExchange))
	d := bytesDraft(h, body)
	if !x.hasResponse() {
		d.line = noteLine(&h, survey.NoteExchange, nil)
		setFlags(d.line, x.note.Flags)
		setHTTP(d.line, x.e.Method, "")
	}
	return d, nil
}

// byCatch keeps received octets that are not part of the response block.
func (x *exchangeParts) byCatch(kind string, start, end int64) ([]draft, *octets, error) {
	n := end - start
	if n <= 0 {
		return nil, nil, nil
	}
	o := &octets{Size: n}
	if n <= inlineLimit {
		o.Base64 = make([]byte, n)
		if _, err := x.e.Response.ReadAt(o.Base64, start); err != nil && err != io.EOF {
			return nil, nil, err
		}
		return nil, o, nil
	}
	o.Record = survey.RecordID(warc.NewRecordID())
	h := x.base(warc.Resource, o.Record, "application/octet-stream")
	h.Set(warc.FieldTargetURI, "urn:mirrorwatch:"+kind+":"+strings.TrimPrefix(string(x.id), "urn:uuid:"))
	h.Add(warc.FieldConcurrentTo, warc.Angle(string(x.id)))
	section := func() io.Reader { return io.NewSectionReader(x.e.Response, start, n) }
	digest, err := digestReader(section())
	if err != nil {
		return nil, nil, err
	}
	h.Add(warc.FieldBlockDigest, digest)
	h.Add(warc.FieldPayloadDigest, digest)
	return []draft{{header: h, block: section, size: n, line: recordLine(&h, 0, "application/octet-stream")}}, o, nil
}

// lookups gives the DNS answers as text/dns resources (P2, RFC 4027), each answer once per session however many
// exchanges rest on it.
func (x *exchangeParts) lookups() []draft {
	var ds []draft
	for _, l := range x.e.Lookups {
		name := strings.TrimSuffix(l.Name, ".")
		if name == "" {
			if u, err := url.Parse(x.e.URL); err == nil {
				name = u.Hostname()
			}
		}
		if name == "" || l.Engine == "pin" || l.Engine == "hosts" {
			continue // nobody was asked
		}
		at := l.At.UTC()
		if at.IsZero() {
			at = x.date
		}
		text := dnsText(name, l, at)
		sum := sha256.Sum256([]byte(text))
		if !x.a.firstDNS([16]byte(sum[:16]), x.id) {
			continue
		}
		x.dns = append(x.dns, [16]byte(sum[:16]))
		h := x.base(warc.Resource, survey.RecordID(warc.NewRecordID()), "text/dns")
		h.Set(warc.FieldTargetURI, targetURI("dns:"+name))
		h.SetDate(at)
		h.Add(warc.FieldConcurrentTo, warc.Angle(string(x.id)))
		if addr, ok := serverAddr(l.Server); ok {
			h.Add(warc.FieldIPAddress, addr.String())
		}
		d := bytesDraft(h, []byte(text))
		d.header.Set(warc.FieldPayloadDigest, digestOf([]byte(text)))
		d.line = recordLine(&d.header, 0, "text/dns")
		ds = append(ds, d)
	}
	return ds
}

// dnsText is the answer in the form Heritrix began: the time in 14 digits, then resource records as in a zone file.
func dnsText(name string, l survey.Lookup, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", at.Format("20060102150405"))
	rcode := l.RCode
	if rcode == "" {
		rcode = "none"
	}
	fmt.Fprintf(&b, "; server %s engine %s question %s. IN %s answer %s outcome %s\n", dnsWord(l.Server), dnsWord(l.Engine),
		dnsWord(name), dnsWord(l.Type), dnsWord(rcode), dnsWord(string(l.Outcome)))
	for _, e := range l.EDE {
		fmt.Fprintf(&b, "; EDE %d %s\n", e.Code, dnsWord(e.Text))
	}
	for _, r := range l.Answers {
		fmt.Fprintf(&b, "%s.\t%d\tIN\t%s\t%s\n", dnsWord(name), r.TTL, dnsWord(r.Type), dnsWord(r.Data))
	}
	return b.String()
}

// dnsWord keeps hostile text on its line.
func dnsWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == ';' {
			return '_'
		}
		return r
	}, s)
}

func serverAddr(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

const maxDNSSeen = 1 << 16

func (a *Archive) firstDNS(sum [16]byte, id survey.RecordID) bool {
	a.dnsMu.Lock()
	defer a.dnsMu.Unlock()
	if _, ok := a.dnsSeen[sum]; ok {
		return false
	}
	if len(a.dnsSeen) >= maxDNSSeen {
		clear(a.dnsSeen) // an answer may then be written twice: harmless
	}
	a.dnsSeen[sum] = id
	return true
}

func (a *Archive) forgetDNS(x *exchangeParts) {
	a.dnsMu.Lock()
	defer a.dnsMu.Unlock()
	for _, s := range x.dns {
		delete(a.dnsSeen, s)
	}
}

// fieldSchema names a note's schema in its record head, so that one can tell notes apart without reading them.
const fieldSchema = "X-Mirrorwatch-Schema"

// Note keeps a record of ours: snapshots beside the exchanges, runs and checks in a series of their own that is never
// pruned. The Capture may be believed after Commit.
func (a *Archive) Note(ctx context.Context, n survey.Note) (survey.Capture, error) {
	if a.opt.ReadOnly {
		return survey.Capture{}, ErrReadOnly
	}
	if !json.Valid(n.Body) {
		return survey.Capture{}, fmt.Errorf("note %s about %q is no JSON", n.Kind, n.URI)
	}
	date := n.Date
	if date.IsZero() {
		date = a.opt.Now()
	}
	uri := n.URI
	if uri == "" {
		uri = "urn:mirrorwatch:" + string(n.Kind)
	}
	var h warc.Header
	h.Add(warc.FieldType, warc.Metadata)
	h.SetID(warc.NewRecordID())
	h.SetDate(date)
	h.Add(warc.FieldTargetURI, targetURI(uri))
	h.Add(warc.FieldContentType, "application/json")
	if n.About != "" {
		h.Add(warc.FieldRefersTo, warc.Angle(string(n.About)))
	}
	h.Add(fieldSchema, fieldText(string(n.Kind)))
	d := bytesDraft(h, n.Body)
	st, err := a.stageAt(date)
	if err != nil {
		return survey.Capture{}, err
	}
	s := st.data
	if n.Kind == survey.NoteRun || n.Kind == survey.NoteCheck || n.Kind == NoteHistory || n.Kind == NoteRejudge || n.Kind == NoteTombstone {
		s = a.runs
	}
	ds := []draft{d}
	ds[0].line = noteLine(&d.header, n.Kind, n.Body)
	lines, err := s.append(ctx, ds)
	if err != nil {
		return survey.Capture{}, err
	}
	return captureOf(&lines[0]), nil
}

// fieldText makes any text fit for a field value (W3).
func fieldText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if s = strings.TrimSpace(s); s == "" {
		return "-"
	}
	return s
}

// targetURI makes a WARC-Target-URI of any URL (W6): absolute, fragment dropped, what no URI may hold percent-encoded.
func targetURI(raw string) string {
	if i := strings.IndexByte(raw, '#'); i >= 0 {
		raw = raw[:i]
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	s := b.String()
	i := strings.IndexByte(s, ':')
	if i <= 0 || strings.ContainsAny(s[:i], "/?%") {
		return "urn:mirrorwatch:no-uri:" + url.PathEscape(s)
	}
	if _, err := url.Parse(s[:i] + ":x"); err != nil {
		return "urn:mirrorwatch:no-uri:" + url.PathEscape(s)
	}
	return s
}
