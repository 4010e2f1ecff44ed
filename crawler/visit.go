package crawler

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// visit is one mirror asked for one article from one vantage: what was seen, and the page to judge.
type visit struct {
	mirror      survey.Mirror
	observation survey.Observation
	page        *content.Page
	chain       *chain // of the attempt that counts; nil when nothing was asked
	// insecure is the chain fetched although the certificate is bad, for classification only.
	insecure bool
}

// maxPause is the longest Retry-After that is waited for within a run.
const maxPause = 60 * time.Second

// visitor visits mirrors from one vantage.
type visitor struct {
	*fetcher
	canary   *canary
	settings Settings
	hosts    []survey.Host
	run      survey.RunID
	now      func() time.Time
	stop     <-chan struct{} // closed: no new visits
	stopped  func() survey.Outcome
}

// visit asks the mirror for the URL until it answers or the attempts are used up, each attempt a new probe on a fresh
// connection. Its error is the sink's.
func (v *visitor) visit(ctx context.Context, m survey.Mirror, article, url string) (*visit, error) {
	out := &visit{mirror: m}
	o := &out.observation
	*o = survey.Observation{Mirror: m.Host, Role: m.Role, Vantage: v.vantage.Name, ObservedAt: v.now().UTC(), URL: url, FinalURL: url}
	for attempt := 1; ; attempt++ {
		if v.isStopped() {
			v.notVisited(out, attempt)
			return out, nil
		}
		o.Attempts = attempt
		q := question{url: url, timeout: v.settings.whole(), probe: survey.Probe{ID: newID(), Run: v.run, Article: article,
			Mirror: m.Host, Vantage: v.vantage.Name, Purpose: survey.ForVerdict, Attempt: attempt}}
		started := v.now()
		c, err := v.follow(ctx, q, v.settings.MaxHops, content.Options{Hosts: v.hosts})
		if err != nil {
			return nil, err
		}
		out.see(c)
		if c.interrupt {
			v.interruptedVisit(out)
			return out, nil
		}
		if certificate(c.outcome) {
			// Once more without verification, only to say what kind of page stands there.
			q.insecure = true
			q.probe.ID = newID()
			bare, err := v.follow(ctx, q, v.settings.MaxHops, content.Options{Hosts: v.hosts})
			if err != nil {
				return nil, err
			}
			out.seeInsecure(bare)
			// A captive portal shows its own certificate: this counts between canaries too.
			counted, err := v.sandwiched(ctx, started)
			if err != nil {
				return nil, err
			}
			if !counted {
				out.ownNetwork()
			}
			return out, nil
		}
		wait, again := v.again(c, attempt)
		if c.stage.Network() && networkFailure(c.outcome) {
			counted, err := v.sandwiched(ctx, started)
			if err != nil {
				return nil, err
			}
			switch {
			case counted && !again:
				return out, nil
			case !counted && !again:
				out.ownNetwork()
				return out, nil
			}
		} else if !again {
			return out, nil
		}
		if sleep(ctx, wait) != nil {
			return out, nil // the run ends: what was seen so far stands
		}
	}
}

// again says whether the attempt is worth repeating, and when.
func (v *visitor) again(c *chain, attempt int) (time.Duration, bool) {
	if attempt > v.settings.Retries {
		return 0, false
	}
	wait := v.settings.RetryWait << (attempt - 1)
	switch c.outcome {
	case survey.OK, survey.GuardRefused, survey.OnionLeakRefused, survey.BadLocation, survey.RedirectLoop,
		survey.TooManyRedirects, survey.HeadTooBig, survey.BodyTruncatedLimit, survey.DecodedLimit, survey.Crashed, survey.H2Only:
		ex := c.exchange()
		if c.outcome != survey.OK || ex == nil {
			return 0, false
		}
		switch {
		case ex.Status == 429, ex.Status == 503:
			after, given := retryAfter(ex, v.now())
			if !given {
				return wait, true
			}
			if after > maxPause {
				return 0, false
			}
			v.gate.pause(hostOf(c.final), time.Now().Add(after))
			return after, true
		case ex.Status >= 500, ex.Status == 408:
			return wait, true
		}
		return 0, false
	}
	return wait, true
}

// sandwiched reports whether a failure of an attempt that began at started counts: a canary success before it and one
// after it, at most a minute apart.
func (v *visitor) sandwiched(ctx context.Context, started time.Time) (bool, error) {
	if len(v.canary.urls) == 0 {
		return true, nil
	}
	before := v.canary.lastGood()
	after, ok, err := v.canary.check(ctx, v.now())
	if err != nil || !ok {
		return false, err
	}
	return !before.IsZero() && !before.After(started) && after.Sub(before) <= sandwich || before.After(started), nil
}

func (v *visitor) isStopped() bool {
	select {
	case <-v.stop:
		return true
	default:
		return false
	}
}

// notVisited marks a visit that the run's end prevented; what earlier attempts saw stands.
func (v *visitor) notVisited(out *visit, attempt int) {
	if attempt > 1 {
		return
	}
	v.interruptedVisit(out)
}

func (v *visitor) interruptedVisit(out *visit) {
	o := &out.observation
	o.Outcome = v.stopped()
	if o.Stage == "" {
		o.Stage = survey.StageConnect
	}
	o.Failure = failurePtr(o.Outcome.FailureString(""))
}

// ownNetwork keeps what was seen and says that it is not the mirror's failure.
func (out *visit) ownNetwork() {
	o := &out.observation
	o.Notes = append(o.Notes, "the failure ("+string(o.Stage)+"/"+string(o.Outcome)+") does not count: the canaries did not answer around it")
	o.Outcome = survey.OwnNetwork
	out.page = nil
}

// see takes a finished chain into the observation.
func (out *visit) see(c *chain) {
	out.chain, out.page = c, c.page
	o := &out.observation
	o.FinalURL, o.Redirects = c.final, c.redirects
	o.Stage, o.Outcome, o.Failure = c.stage, c.outcome, failurePtr(c.failure)
	o.Status, o.TLS, o.Peer, o.Body, o.Headers = nil, nil, nil, nil, nil
	o.DNS, o.Tries = nil, nil
	for _, a := range c.hops {
		for _, r := range a.records {
			o.DNS = append(o.DNS, r.Exchange.Lookups...)
			o.Tries = append(o.Tries, r.Exchange.Tries...)
			if r.Capture.RecordID != "" {
				o.Captures = append(o.Captures, r.Capture)
			}
		}
	}
	ex := c.exchange()
	if ex == nil {
		return
	}
	o.ObservedAt = ex.Started.UTC()
	o.TLS, o.Timing = ex.TLS, ex.Timing
	if ex.Peer.IsValid() {
		o.Peer = survey.Ptr(ex.Peer.String())
		v := survey.OK
		if ex.Peer.Addr().Unmap().Is4() {
			o.Family.V4 = &v
		} else {
			o.Family.V6 = &v
		}
	}
	for _, t := range ex.Tries {
		if t.Outcome == survey.OK {
			continue
		}
		if strings.HasPrefix(t.Address, "[") {
			if o.Family.V6 == nil {
				o.Family.V6 = survey.Ptr(t.Outcome)
			}
		} else if o.Family.V4 == nil {
			o.Family.V4 = survey.Ptr(t.Outcome)
		}
	}
	if ex.Status != 0 {
		o.Status = survey.Ptr(ex.Status)
		o.Headers = keptHeaders(ex)
		o.Body = &survey.Body{Bytes: ex.PayloadSize, Type: mediaType(ex.Get("Content-Type")), Truncated: ex.Truncated != "", SHA256: ex.PayloadDigest.Hex()}
		if c.page != nil {
			o.Body.Charset, o.Body.Lang, o.Title = ex.Charset, c.page.Lang, c.page.Title
		}
	}
	if c.outcome != survey.OK {
		return
	}
	switch {
	case ex.Status == http.StatusTooManyRequests:
		o.Stage, o.Outcome = survey.StageHTTP, survey.RateLimited
	case ex.Status >= 400:
		o.Stage, o.Outcome = survey.StageHTTP, survey.Status(ex.Status)
	case ex.PayloadSize == 0 && len(c.last().body) == 0:
		o.Stage, o.Outcome = survey.StageBody, survey.BodyEmpty
	case c.page == nil:
		o.Stage, o.Outcome = survey.StageContent, survey.NotHTML
	default:
		o.Stage = survey.StageContent
	}
	o.Failure = failurePtr(o.Outcome.FailureString(""))
}

// seeInsecure adds what stood behind a bad certificate; stage and outcome stay the certificate's.
func (out *visit) seeInsecure(c *chain) {
	o := &out.observation
	stage, outcome, failure, tls := o.Stage, o.Outcome, o.Failure, o.TLS
	dns, tries := o.DNS, o.Tries
	out.see(c)
	o.Stage, o.Outcome, o.Failure = stage, outcome, failure
	o.DNS, o.Tries = append(dns, o.DNS...), append(tries, o.Tries...)
	if tls != nil {
		o.TLS = tls
	}
	out.insecure = true
	o.Notes = append(o.Notes, "fetched once more without verifying the certificate, only to see what kind of page stands there")
}

// maxJudged is how much of a page lists of fingerprints are held against.
const maxJudged = 1 << 20

// body is the decoded page that is judged; nil when there is none.
func (out *visit) body() []byte {
	if out.page == nil || out.chain == nil || out.chain.last() == nil {
		return nil
	}
	b := out.chain.last().body
	return b[:min(len(b), maxJudged)]
}

func failurePtr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// certificate reports whether the outcome says that the certificate is bad.
func certificate(o survey.Outcome) bool {
	switch o {
	case survey.HostnameMismatch, survey.UnknownAuthority, survey.CertificateExpired, survey.CertificateEarly, survey.InvalidCertificate:
		return true
	}
	return false
}

// networkFailure reports whether the outcome could be our own network's doing.
func networkFailure(o survey.Outcome) bool {
	switch o {
	case survey.OK, survey.GuardRefused, survey.OnionLeakRefused, survey.BadLocation, survey.RedirectLoop, survey.TooManyRedirects,
		survey.HeadTooBig, survey.Malformed, survey.BodyTruncatedLimit, survey.DecodedLimit, survey.DecodeError, survey.Crashed,
		survey.RobotsRefused, survey.Interrupted, survey.Budget:
		return false
	}
	return true
}

// keptHeaders are the response fields that page classes and reasons rest on. Of cookies only the names are kept, as
// "name=; other=".
func keptHeaders(ex *survey.Exchange) map[string]string {
	kept := map[string]string{}
	var cookies []string
	for _, f := range ex.Header {
		name := strings.ToLower(f.Name)
		if name == "set-cookie" {
			cookie, _, _ := strings.Cut(f.Value, "=")
			cookies = append(cookies, strings.TrimSpace(cookie)+"=")
			continue
		}
		if !telling(name) {
			continue
		}
		value := f.Value
		if len(value) > 512 {
			value = value[:512]
		}
		if old, ok := kept[name]; ok {
			value = old + ", " + value
		}
		if len(kept) < 40 {
			kept[name] = value
		}
	}
	if len(cookies) > 0 {
		kept["set-cookie"] = strings.Join(cookies[:min(len(cookies), 20)], "; ")
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

func telling(name string) bool {
	switch name {
	case "server", "via", "location", "link", "retry-after", "content-language", "last-modified", "etag", "age", "x-cache",
		"x-robots-tag", "onion-location", "alt-svc", "www-authenticate", "content-type", "refresh", "date",
		"cf-ray", "cf-mitigated", "cf-cache-status", "x-amzn-waf-action", "x-amz-cf-id",
		"x-iinfo", "x-sucuri-id", "x-sucuri-block", "x-ddos-protection", "x-dd-b":
		return true
	}
	for _, p := range []string{"x-vercel-", "x-datadome", "x-px", "x-kpsdk", "x-captcha", "x-adblock", "x-block"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// otherFamily asks the mirror once over the address family that the visit did not use.
func (v *visitor) otherFamily(ctx context.Context, out *visit, article string) error {
	o := &out.observation
	if len(out.chain.hops) == 0 {
		return nil
	}
	first := out.chain.hops[0].exchange
	has := map[int]bool{}
	for _, l := range first.Lookups {
		for _, a := range l.Answers {
			switch a.Type {
			case "A":
				has[4] = true
			case "AAAA":
				has[6] = true
			}
		}
	}
	family, place := 6, &o.Family.V6
	if o.Family.V6 != nil {
		family, place = 4, &o.Family.V4
	}
	if *place != nil || !has[family] {
		return nil
	}
	probe := survey.Probe{ID: newID(), Run: v.run, Article: article, Mirror: out.mirror.Host, Vantage: v.vantage.Name, Purpose: survey.ForFamily, Attempt: 1}
	a, err := v.ask(ctx, question{probe: probe, method: http.MethodHead, url: o.URL, family: family, timeout: v.settings.whole()})
	if err != nil || a.exchange == nil {
		return err
	}
	seen := a.exchange.Outcome
	if a.exchange.Status != 0 {
		seen = survey.OK
	}
	*place = &seen
	if a.capture.RecordID != "" {
		o.Captures = append(o.Captures, a.capture)
	}
	return nil
}

// describe is a visit in a few words, for progress.
func (out *visit) describe() string {
	o := &out.observation
	if o.Status != nil {
		return strconv.Itoa(*o.Status) + " " + string(o.Outcome)
	}
	return string(o.Stage) + "/" + string(o.Outcome)
}
