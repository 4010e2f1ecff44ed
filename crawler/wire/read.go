package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// reading is a response while it arrives.
type reading struct {
	t      *Transport
	ctx    context.Context
	c      *conn
	method string
	wrote  time.Time
	first  time.Time
	spool  *spool

	interim []survey.Span
	start   int // of the head being looked for
	scan    int // where the scan for its end goes on
	lineOK  bool
	head    message.Head
	span    survey.Span
	framed  int64
	status  int // of a head that could not be used
	proto   string

	block, payload hash.Hash
	payloadSize    int64
	complete       bool
	keep           bool // the connection may serve another exchange
	chunked        bool
}

type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// next reads once more, by the deadline, and returns what came.
func (r *reading) next(deadline time.Time) ([]byte, error) {
	_ = r.c.rw.SetReadDeadline(deadline)
	if r.ctx.Err() != nil {
		return nil, r.ctx.Err()
	}
	room := r.spool.room()
	n, err := r.c.rw.Read(room)
	if n > 0 {
		if r.first.IsZero() {
			r.first = time.Now()
		}
		got, werr := r.spool.take(room, n)
		if werr != nil {
			return got, fail(survey.StageBody, survey.LocalResources, fmt.Errorf("writing spool: %w", werr))
		}
		return got, err
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return nil, err
}

// run reads the whole response. A nil error means that it is whole.
func (r *reading) run() *Failure {
	rest, f := r.readHead()
	if f != nil {
		return f
	}
	return r.readBody(rest)
}

// readHead reads up to the final head and returns what came behind it.
func (r *reading) readHead() ([]byte, *Failure) {
	const at = survey.StageHTTP
	limit := r.t.limits.Head
	whole := r.wrote.Add(r.t.limits.FirstByte + r.t.limits.Stall)
	for {
		var deadline time.Time
		if r.first.IsZero() {
			deadline = r.wrote.Add(r.t.limits.FirstByte)
		} else if deadline = time.Now().Add(r.t.limits.Stall); deadline.After(whole) {
			deadline = whole
		}
		_, err := r.next(deadline)
		for {
			mem := r.spool.mem
			if !r.lineOK {
				if f := r.firstLine(mem[r.start:]); f != nil {
					return nil, f
				}
			}
			end, scan := message.ScanHead(mem[r.start:min(len(mem), limit)], r.scan)
			if end < 0 {
				r.scan = scan
				break
			}
			h, perr := message.ParseHead(mem[r.start : r.start+end])
			if perr != nil {
				return nil, r.malformed(perr)
			}
			if h.Status < 200 && h.Status != 101 {
				r.interim = append(r.interim, survey.Span{Start: int64(r.start), End: int64(r.start + end)})
				r.start, r.scan, r.lineOK = r.start+end, 0, false
				continue
			}
			r.head = h
			r.span = survey.Span{Start: int64(r.start), End: int64(r.start + end)}
			return mem[r.start+end:], nil
		}
		if err != nil {
			if h, perr := message.ParseHead(r.spool.mem[r.start:]); perr == nil {
				r.status, r.proto = h.Status, h.Proto
			}
			f := failed(r.ctx, at, err)
			if f.Outcome == survey.EOF {
				f.Outcome = survey.HeadTruncated
				if r.spool.Size() == 0 {
					f.Outcome = survey.EmptyReply
				}
			}
			return nil, f
		}
		if len(r.spool.mem) >= limit {
			if h, perr := message.ParseHead(r.spool.mem[r.start:]); perr == nil {
				r.status, r.proto = h.Status, h.Proto
			}
			r.spool.mem = r.spool.mem[:limit]
			return nil, fail(at, survey.HeadTooBig, fmt.Errorf("no end of the head within %d octets", limit))
		}
	}
}

// firstLine refuses what does not begin as HTTP as soon as that is plain: a banner would otherwise be waited on.
func (r *reading) firstLine(b []byte) *Failure {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	if len(b) == 0 {
		return nil
	}
	// An HTTP/2 server greets with a SETTINGS frame (RFC 9113 section 3.4).
	if len(b) >= 9 && b[0] == 0 && b[3] == 4 && bytes.Equal(b[5:9], []byte{0, 0, 0, 0}) {
		return fail(survey.StageHTTP, survey.H2Only, errors.New("the server speaks HTTP/2 unasked"))
	}
	nl := bytes.IndexByte(b, '\n')
	if nl < 0 {
		const http, icy = "HTTP", "ICY "
		n := min(len(b), 4)
		if got := string(b[:n]); !survey.EqualFold(got, http[:n]) && !survey.EqualFold(got, icy[:n]) {
			return r.malformed(fmt.Errorf("%w: %q", message.ErrNoStatusLine, b[:min(len(b), 80)]))
		}
		return nil
	}
	if _, err := message.ParseHead(b[:nl+1]); err != nil {
		return r.malformed(err)
	}
	r.lineOK = true
	return nil
}

// malformed reads on for a moment, so that the tail of what cannot be read is kept too.
func (r *reading) malformed(err error) *Failure {
	r.drain(nil)
	return fail(survey.StageHTTP, survey.Malformed, err)
}

func (r *reading) drain(feed func([]byte)) {
	until := time.Now().Add(r.t.limits.Drain)
	for r.spool.Size() < r.t.limits.Wire {
		got, err := r.next(until)
		if feed != nil {
			feed(got)
		}
		if err != nil {
			return
		}
	}
}

func (r *reading) frame() (framing, int64, error) {
	h := r.head
	switch length, err := h.ContentLength(); {
	case r.method == "HEAD", h.Status == 204, h.Status == 304, h.Status == 101:
		return noBody, 0, nil
	case h.Chunked():
		return byChunks, 0, nil
	case h.Get("Transfer-Encoding") != "":
		return byClose, 0, nil
	case err != nil:
		return byClose, 0, err
	case length >= 0:
		return byLength, length, nil
	}
	return byClose, 0, nil
}

// persistent reports whether the server lets the connection live on.
func (r *reading) persistent() bool {
	h := r.head
	switch {
	case h.Status == 101, h.HasToken("Connection", "close"):
		return false
	case h.Get("Transfer-Encoding") != "" && h.Get("Content-Length") != "":
		return false // may have been read in another way by somebody on the way
	case h.Proto == "HTTP/1.1":
		return true
	}
	return h.HasToken("Connection", "keep-alive")
}

func (r *reading) readBody(rest []byte) *Failure {
	const at = survey.StageBody
	r.block, r.payload = sha256.New(), sha256.New()
	r.block.Write(r.spool.memory(r.span.Start, r.span.End))
	r.framed = r.span.End
	how, left, err := r.frame()
	if err != nil {
		raw := func(p []byte) { r.body(p, p) }
		raw(rest)
		r.drain(raw)
		return fail(survey.StageHTTP, survey.Malformed, err)
	}
	limit := r.t.limits.Wire
	var chunks message.Chunks
	r.chunked = how == byChunks
	p := rest
	var readErr error
	for {
		switch how {
		case noBody:
			return r.whole(len(p))
		case byLength:
			n := min(int64(len(p)), left, limit-r.payloadSize)
			r.body(p[:n], p[:n])
			p, left = p[n:], left-n
			if left == 0 {
				return r.whole(len(p))
			}
		case byClose:
			n := min(int64(len(p)), limit-r.payloadSize)
			r.body(p[:n], p[:n])
			p = p[n:]
		case byChunks:
			for len(p) > 0 {
				data, n, err := chunks.Next(p)
				if over := r.payloadSize + int64(len(data)) - limit; over > 0 {
					data = data[:int64(len(data))-over]
					n -= int(over)
				}
				r.body(p[:n], data)
				p = p[n:]
				if err == io.EOF {
					return r.whole(len(p))
				}
				if err != nil {
					return r.badChunk(err, p)
				}
				if r.payloadSize >= limit {
					break
				}
			}
		}
		if r.payloadSize >= limit && (len(p) > 0 || how != byClose || readErr == nil) {
			return fail(at, survey.BodyTruncatedLimit, fmt.Errorf("body reached its limit of %d octets", limit))
		}
		if readErr != nil {
			break
		}
		p, readErr = r.next(time.Now().Add(r.t.limits.Stall))
		if f, ok := readErr.(*Failure); ok {
			return f
		}
	}
	f := failed(r.ctx, at, readErr)
	if f.Outcome != survey.EOF {
		return f
	}
	if how == byClose || how == byChunks && chunks.Whole() {
		r.complete = true
		return nil
	}
	f.Outcome = survey.BodyTruncatedTransport
	f.Err = fmt.Errorf("connection closed before the end of the body: %w", io.ErrUnexpectedEOF)
	return f
}

// body feeds the digests: framed is what lies on the wire, data the payload in it.
func (r *reading) body(framed, data []byte) {
	r.framed += int64(len(framed))
	if len(framed) > 0 {
		r.block.Write(framed)
	}
	if len(data) > 0 {
		r.payload.Write(data)
		r.payloadSize += int64(len(data))
	}
}

func (r *reading) whole(surplus int) *Failure {
	r.complete = true
	r.keep = surplus == 0 && r.persistent()
	return nil
}

// badChunk ends a body that breaks its chunking. A body that never was chunked is all payload, as message.Open reads it back.
func (r *reading) badChunk(err error, rest []byte) *Failure {
	f := fail(survey.StageBody, survey.Malformed, err)
	start := r.span.End
	plain := r.payloadSize == 0 && !message.StartsChunked(r.spool.mem[start:])
	if !plain {
		feed := func(p []byte) { r.body(p, nil) }
		feed(rest)
		r.drain(feed)
		return f
	}
	r.chunked = false
	consumed := r.framed - start
	r.payload.Write(r.spool.mem[start : start+consumed])
	r.payloadSize += consumed
	feed := func(p []byte) { r.body(p, p) }
	feed(rest)
	r.drain(feed)
	return f
}

func digest(h hash.Hash) survey.Digest {
	if h == nil {
		return ""
	}
	var sum [sha256.Size]byte
	return survey.Digest("sha256:" + hex.EncodeToString(h.Sum(sum[:0])))
}
