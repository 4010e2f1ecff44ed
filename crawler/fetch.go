package crawler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gocolly/colly/v2"

	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

// fetcher asks one question at a time through colly, from one vantage. It is safe for concurrent use.
type fetcher struct {
	vantage   survey.Vantage
	base      *colly.Collector
	gate      *gate
	progress  func(Event)
	delegator delegator // nil: the transport cannot ask
}

// newFetcher sets every field of the collector after NewCollector, which reads COLLY_* variables of the environment:
// they must change nothing (fetching.md section 5).
func newFetcher(v survey.Vantage, rt http.RoundTripper, g *gate) *fetcher {
	c := colly.NewCollector()
	c.UserAgent = "" // the transport writes its own
	c.Headers = nil
	c.MaxDepth = 0
	c.MaxRequests = 0
	c.AllowedDomains = nil
	c.DisallowedDomains = nil
	c.URLFilters = nil
	c.DisallowedURLFilters = nil
	c.AllowURLRevisit = true
	c.MaxBodySize = 0 // the transport caps
	c.CacheDir = ""   // a cache would show a dead mirror as up
	c.IgnoreRobotsTxt = true
	c.ParseHTTPErrorResponse = true
	c.DetectCharset = false
	c.Async = false
	c.TraceHTTP = false
	c.CheckHead = false
	c.ID = 0
	c.SetRequestTimeout(0) // contexts carry the deadlines
	c.DisableCookies()
	c.SetRedirectHandler(func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })
	c.WithTransport(oneHop{rt})
	f := &fetcher{vantage: v, base: c, gate: g}
	f.delegator, _ = rt.(delegator)
	return f
}

// oneHop hides Location from net/http's client, which otherwise turns an answer with a bad Location into an error and
// drops its body. The chain reads Location from the Exchange.
type oneHop struct{ next http.RoundTripper }

func (o oneHop) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(req)
	if resp != nil {
		resp.Header.Del("Location")
	}
	return resp, err
}

// question is one request.
type question struct {
	probe    survey.Probe
	method   string // "": GET
	url      string
	header   http.Header
	insecure bool
	family   int
	timeout  time.Duration
	lend     bool // answer.body is borrowed from the transport until answer.free
	// read is called with the answer inside colly's callback when there is a body to read. A panic in it fails this
	// question only.
	read func(a *answer)
}

// answer is the last Exchange of a question and what the archive made of it.
type answer struct {
	exchange *survey.Exchange
	capture  survey.Capture
	records  []wire.Record
	body     []byte // decoded, UTF-8; nil when there was none
	crashed  string // the panic of question.read
	ended    bool   // the caller's context ended before or while asking
	cause    error
	free     func() // of a lent body; nil: nothing is lent
}

// ask sends one request and returns what came of it. Its error is the sink's, or a mistake of ours; whatever the mirror
// did is in the answer. When the context ended before anything was sent, answer.exchange is nil.
func (f *fetcher) ask(ctx context.Context, q question) (*answer, error) {
	u, err := url.Parse(q.url)
	if err != nil {
		return nil, fmt.Errorf("asking %q: %w", q.url, err)
	}
	host := survey.MirrorName(u)
	release, err := f.gate.acquire(ctx, host)
	if err != nil {
		return &answer{ended: true, cause: err}, nil
	}
	defer release()

	f.progress(Event{Kind: "request", URL: q.url, Mirror: q.probe.Mirror, Vantage: f.vantage.Name})
	a := &answer{}
	defer func() { f.answered(q, a) }()
	rctx, cancel := ctx, context.CancelFunc(func() {})
	if q.timeout > 0 {
		rctx, cancel = context.WithTimeoutCause(ctx, q.timeout, context.DeadlineExceeded)
	}
	defer cancel()
	visit := &wire.Visit{Probe: q.probe, Insecure: q.insecure, Family: q.family, Lend: q.lend}
	clone := f.base.Clone()
	clone.Context = wire.WithVisit(rctx, visit)
	gather := func() {
		if a.exchange == nil && len(visit.Records) > 0 {
			last := visit.Records[len(visit.Records)-1]
			a.records, a.exchange, a.capture = visit.Records, last.Exchange, last.Capture
		}
	}
	clone.OnResponse(func(r *colly.Response) {
		gather()
		a.body = r.Body
		if visit.Body != nil {
			a.body, a.free = visit.Body, visit.Free
		}
		if q.read == nil {
			return
		}
		defer func() {
			if p := recover(); p != nil {
				a.crashed = fmt.Sprint(p)
			}
		}()
		q.read(a)
	})
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	header := q.header
	if header == nil {
		header = http.Header{}
	}
	header["User-Agent"] = nil // no default of colly's; the transport writes ours
	err = clone.Request(method, q.url, nil, nil, header)
	gather()
	var sink *wire.SinkError
	if errors.As(err, &sink) {
		return nil, sink
	}
	if a.exchange == nil {
		if ctx.Err() != nil {
			a.ended, a.cause = true, context.Cause(ctx)
			return a, nil
		}
		if err == nil {
			err = errors.New("the transport recorded nothing")
		}
		return nil, fmt.Errorf("asking %q: %w", q.url, err)
	}
	a.ended = ctx.Err() != nil && a.exchange.Outcome != survey.OK
	if a.ended {
		a.cause = context.Cause(ctx)
	}
	f.gate.answered(host, a.exchange.Status)
	return a, nil
}
