package wire

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// handover is the body as it is handed up: decoded, capped, text in UTF-8. It is made before the Exchange is sealed, so that a
// coding that breaks or unfolds without end is on record.
type handover struct {
	body        io.Reader
	length      int64
	contentType string
	charset     string // of the text before it became UTF-8
	spool       *spool
}

func (h *handover) free() {
	if h.spool != nil {
		h.spool.free()
	}
}

// decode undoes transfer coding, content codings and charset of what was read.
func (a *attempt) decode() *Failure {
	r := a.r
	head := r.head
	size := r.framed - r.span.End
	raw := io.Reader(io.NewSectionReader(r.spool, r.span.End, size))
	a.decoded = &handover{contentType: head.Get("Content-Type")}
	if r.payloadSize == 0 {
		a.decoded.body = http.NoBody
		return nil
	}
	plain := r.spool.memory(r.span.End, r.framed)
	if r.chunked {
		raw = message.Dechunk(raw)
		plain = nil
	}
	var f *Failure
	codings := message.Codings(head.Values("Content-Encoding")...)
	limit := a.t.limits.Decoded
	media := message.MediaType(head.Get("Content-Type"))
	switch {
	case len(codings) == 0 && plain != nil && int64(len(plain)) <= limit:
		a.decoded.body, a.decoded.length = inMemory(plain), int64(len(plain))
	case len(codings) == 0 && !r.chunked && size <= limit:
		a.decoded.body, a.decoded.length = raw, size
	default:
		out := a.t.newSpool()
		a.decoded.spool = out
		err := fill(out, message.Decode(strings.Join(codings, ","), raw, limit))
		var local *Failure
		var chunk *message.ChunkError
		switch {
		case err == nil:
		case errors.As(err, &local):
			f = local
		case errors.Is(err, message.ErrDecodedLimit):
			f = fail(survey.StageBody, survey.DecodedLimit, err)
		case len(codings) == 0, errors.As(err, &chunk):
			// The transfer coding broke: the reading has said so.
		default:
			f = fail(survey.StageBody, survey.DecodeError, err)
		}
		plain = out.memory(0, out.Size())
		a.decoded.length = out.Size()
		a.decoded.body = io.NewSectionReader(out, 0, out.Size())
		if plain != nil {
			a.decoded.body = inMemory(plain)
		}
	}
	if !message.IsText(media) && (media != "" || !strings.HasPrefix(http.DetectContentType(first(a.decoded.body, plain)), "text/")) {
		a.decoded.contentType = withoutCharset(a.decoded.contentType)
		return f
	}
	if plain == nil {
		var err error
		if plain, err = io.ReadAll(a.decoded.body); err != nil {
			return fail(survey.StageBody, survey.LocalResources, err)
		}
	}
	name, _ := message.Charset(head.Get("Content-Type"), plain)
	text, err := message.ToUTF8(name, plain)
	if err != nil && f == nil {
		f = fail(survey.StageBody, survey.CharsetError, err)
	}
	if media == "" {
		media = "text/html"
	}
	a.decoded.contentType, a.decoded.charset = media+"; charset=utf-8", name
	a.decoded.body, a.decoded.length = inMemory(text), int64(len(text))
	return f
}

// lendable is a body that lies in memory.
type lendable struct {
	bytes.Reader
	octets []byte
}

func inMemory(b []byte) *lendable {
	l := &lendable{octets: b}
	l.Reset(b)
	return l
}

// first returns the beginning of a body for sniffing.
func first(body io.Reader, plain []byte) []byte {
	if plain != nil {
		return plain[:min(len(plain), 512)]
	}
	at, ok := body.(io.ReaderAt)
	if !ok {
		return nil
	}
	buf := make([]byte, 512)
	n, _ := at.ReadAt(buf, 0)
	return buf[:n]
}

func withoutCharset(contentType string) string {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return message.MediaType(contentType)
	}
	delete(params, "charset")
	return mime.FormatMediaType(media, params)
}

func fill(s *spool, r io.Reader) error {
	for {
		room := s.room()
		n, err := r.Read(room)
		if n > 0 {
			if _, werr := s.take(room, n); werr != nil {
				return fail(survey.StageBody, survey.LocalResources, werr)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// response is what the caller of RoundTrip gets. Its body ends in a clean EOF also when the exchange was cut; the Exchange
// knows better.
func (a *attempt) response(e *survey.Exchange) *http.Response {
	h := http.Header{}
	for _, f := range e.Header {
		switch {
		case survey.EqualFold(f.Name, "Content-Encoding"), survey.EqualFold(f.Name, "Content-Length"), survey.EqualFold(f.Name, "Transfer-Encoding"),
			survey.EqualFold(f.Name, "Content-Type"):
		default:
			h.Add(f.Name, f.Value)
		}
	}
	if a.decoded == nil {
		a.decoded = &handover{body: http.NoBody, contentType: e.Get("Content-Type")}
	}
	if a.decoded.contentType != "" {
		h.Set("Content-Type", a.decoded.contentType)
	}
	status := a.r.head.Reason
	if status == "" {
		status = http.StatusText(e.Status)
	}
	body := io.ReadCloser(&closing{r: a.decoded.body, a: a})
	if r, ok := a.decoded.body.(*lendable); ok && a.v.Lend {
		a.v.Free() // of an earlier answer
		a.v.Body, a.v.free = r.octets, func() { a.finish(true) }
		body = http.NoBody
	}
	return &http.Response{
		Status: strings.TrimSpace(digits(e.Status) + " " + status), StatusCode: e.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: body, ContentLength: a.decoded.length, Uncompressed: true, Request: a.req, TLS: a.c.state,
	}
}

func digits(code int) string {
	return string([]byte{byte('0' + code/100%10), byte('0' + code/10%10), byte('0' + code%10)})
}

// closing frees the exchange's memory when the body is closed.
type closing struct {
	r    io.Reader
	a    *attempt
	once sync.Once
	done bool
}

func (c *closing) Read(p []byte) (int, error) {
	if c.done {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.r.Read(p)
}

func (c *closing) Close() error {
	c.once.Do(func() {
		c.done = true
		c.r = nil
		c.a.finish(true)
	})
	return nil
}
