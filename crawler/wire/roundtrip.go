package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mirrorwatch/crawler/survey"
)

// RoundTrip sends one request and returns its answer, after the Recorder has taken the Exchange. When a head could be read
// there is a response and no error, whatever became of the body: the Exchange says it. Otherwise the error is a *Failure; a
// *SinkError when the Recorder failed; another error when the request itself could not be written.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	ctx := req.Context()
	v := visitOf(ctx)
	tg, err := targetOf(req.URL)
	if err != nil {
		return nil, err
	}
	key := t.key(v, tg)
	reuse := !v.Probe.Purpose.Decides() && !v.Insecure && v.Family == 0
	retry := req.Method == "" || req.Method == http.MethodGet || req.Method == http.MethodHead
	unsolicited := 0
	for try := 0; ; try++ {
		var c *conn
		if reuse && try == 0 {
			var n int
			c, n = t.pool.get(key)
			unsolicited += n
		}
		a := &attempt{t: t, v: v, req: req, tg: tg, started: t.now(), begin: time.Now(), unsolicited: unsolicited, c: c, reused: c != nil}
		f, err := a.do(ctx, key)
		if err != nil {
			return nil, err
		}
		e := a.seal(f)
		capture, err := t.record(ctx, e)
		v.Records = append(v.Records, Record{Exchange: e, Capture: capture})
		if err != nil {
			a.finish(false)
			return nil, err
		}
		stale := a.reused && f != nil && (a.r == nil || a.r.spool.Size() == 0) && ctx.Err() == nil && f.Outcome != survey.Timeout
		if late := a.reused && e.Status == http.StatusRequestTimeout; (stale || late) && retry {
			a.finish(false)
			unsolicited = 0
			continue
		}
		if e.Head.End == 0 {
			a.finish(false)
			return nil, f
		}
		return a.response(e), nil
	}
}

// key names what a connection leads to: two pins, or two circuits, never share one.
func (t *Transport) key(v *Visit, tg target) string {
	key := tg.scheme + " " + tg.key() + " " + t.pins[tg.key()]
	if t.proxy != nil {
		user, _, _ := t.proxy.credentials(v)
		key += " " + user
	}
	return key
}

// record gives e to the Recorder. What was cut by the end of ctx is recorded all the same.
func (t *Transport) record(ctx context.Context, e *survey.Exchange) (survey.Capture, error) {
	if t.cfg.Recorder == nil {
		return survey.Capture{}, nil
	}
	rctx := ctx
	if ctx.Err() != nil {
		rctx = context.WithoutCancel(ctx)
	}
	capture, err := t.cfg.Recorder.Put(rctx, e)
	if err != nil {
		if rctx.Err() != nil && (errors.Is(err, rctx.Err()) || errors.Is(err, context.Cause(rctx))) {
			return capture, failed(ctx, survey.StageBody, err)
		}
		return capture, &SinkError{Err: err}
	}
	return capture, nil
}

// attempt is one try at an exchange.
type attempt struct {
	t           *Transport
	v           *Visit
	req         *http.Request
	tg          target
	started     time.Time
	begin       time.Time
	unsolicited int
	c           *conn
	reused      bool
	sent        *request
	r           *reading
	decoded     *handover
}

// do goes the whole way up to the last octet. Its error is a request that cannot be written; nothing was sent then.
func (a *attempt) do(ctx context.Context, key string) (*Failure, error) {
	probe := a.c
	if probe == nil {
		probe = &conn{plain: a.t.proxy != nil && a.t.proxy.scheme != "socks5" && a.tg.scheme == "http"}
		if probe.plain {
			probe.auth = a.t.proxy.basic(a.v)
		}
	}
	sent, err := a.t.compose(a.req, a.tg, probe)
	if err != nil {
		return nil, fmt.Errorf("writing request: %w", err)
	}
	if a.c == nil {
		c, err := a.t.dial(ctx, a.v, a.tg, key)
		a.c = c
		if err != nil {
			return failed(ctx, survey.StageConnect, err), nil
		}
	}
	c := a.c
	stop := context.AfterFunc(ctx, c.close)
	f := a.exchange(ctx, sent)
	if !stop() || f != nil || !a.r.keep || a.v.Probe.Purpose.Decides() || a.v.Insecure || a.v.Family != 0 {
		c.close()
	} else {
		if !a.reused {
			c.settle(0) // before another exchange can have it
		}
		a.t.pool.put(c)
	}
	return f, nil
}

func (a *attempt) exchange(ctx context.Context, sent *request) *Failure {
	c := a.c
	a.sent = sent // before writing: an answer may come before the write returns
	a.r = &reading{t: a.t, ctx: ctx, c: c, method: a.req.Method, spool: a.t.newSpool()}
	_ = c.rw.SetWriteDeadline(time.Now().Add(a.t.limits.Stall))
	n, werr := c.rw.Write(sent.wire)
	if werr != nil {
		if c.state == nil {
			a.sent = &request{record: sent.record[:n], masked: sent.masked}
		}
		if ctx.Err() != nil {
			return failed(ctx, survey.StageHTTP, werr)
		}
		// The server may have answered and closed before it took all of the request: its answer counts.
	}
	a.r.wrote = time.Now()
	f := a.r.run()
	if f == nil {
		return a.decode()
	}
	if werr != nil && a.r.spool.Size() == 0 {
		return failed(ctx, survey.StageHTTP, werr)
	}
	if a.r.span.End > 0 {
		a.decode() // what there is of the body is handed up; the transport's failure stands
	}
	return f
}

// settle waits for second answers of the look-ups that led here and marks them. Only the exchange that made the connection
// calls it: afterwards the look-ups are shared by all that ride on it.
func (c *conn) settle(wait time.Duration) {
	for _, late := range c.late {
		late(wait)
	}
	c.late = nil
}

// seal makes the Exchange. Nothing changes it afterwards.
func (a *attempt) seal(f *Failure) *survey.Exchange {
	c := a.c
	wait := time.Duration(0)
	if f != nil && f.Stage == survey.StageDNS {
		wait = a.t.limits.Linger
	}
	if !a.reused {
		c.settle(wait)
	}
	u := *a.req.URL
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	e := &survey.Exchange{
		ID: newRecordID(), Probe: a.v.Probe, Method: a.req.Method, URL: u.String(), Started: a.started.UTC(),
		Reused: a.reused, Via: c.via, Peer: c.peer, Lookups: c.lookups, Tries: c.tries, TLS: c.tls, ProxyHead: c.proxyHead,
		Stage: survey.StageContent, Outcome: survey.OK, Unsolicited: a.unsolicited,
	}
	if e.Method == "" {
		e.Method = http.MethodGet
	}
	if !a.reused {
		e.Timing = c.timing
	}
	e.Timing.Total = survey.Millis(time.Since(a.begin))
	if a.sent != nil {
		e.Request, e.Masked = a.sent.record, a.sent.masked
	}
	if r := a.r; r != nil && r.spool.Size() > 0 {
		e.Response, e.Interim, e.Head = r.spool, r.interim, r.span
		e.Timing.FirstByte = survey.Millis(r.first.Sub(a.begin))
		e.Proto, e.Status = r.proto, r.status
		e.FramedEnd = r.spool.Size()
		if r.span.End > 0 {
			e.Proto, e.Status, e.Header = r.head.Proto, r.head.Status, r.head.Fields
			e.FramedEnd = r.framed
			e.BlockDigest, e.PayloadDigest, e.PayloadSize = digest(r.block), digest(r.payload), r.payloadSize
		}
		e.Complete = r.complete
	}
	if a.decoded != nil {
		e.Charset = a.decoded.charset
	}
	if f != nil {
		text := scrub(f.Err.Error())
		e.Stage, e.Outcome, e.Err = f.Stage, f.Outcome, text
		e.Failure = f.Outcome.FailureString(text)
		if f.ooni != "" {
			e.Failure = f.ooni
		}
	}
	if e.Response != nil && !e.Complete {
		switch e.Outcome {
		case survey.BodyTruncatedLimit, survey.HeadTooBig:
			e.Truncated = "length"
		case survey.Timeout:
			e.Truncated = "time"
		case survey.BodyTruncatedTransport, survey.HeadTruncated, survey.ConnectionReset, survey.EOF, survey.ConnectionAborted:
			e.Truncated = "disconnect"
		default:
			e.Truncated = "unspecified"
		}
	}
	return e
}

// finish lets go of what the attempt holds. Only a body that was handed up and closed gives its memory back for reuse; the
// octets of a failed exchange stay readable as long as somebody holds it.
func (a *attempt) finish(reusable bool) {
	if a.decoded != nil {
		a.decoded.free()
	}
	if reusable && a.r != nil {
		a.r.spool.free()
	}
}

// NewRecordID returns a name for an Exchange.
func NewRecordID() survey.RecordID { return newRecordID() }

func newRecordID() survey.RecordID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return survey.RecordID(fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}
