package crawler

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// chain is a question followed over its redirects: every hop an Exchange of its own.
type chain struct {
	hops      []*answer // in order; the last one is the final answer
	redirects []survey.Redirect
	final     string // URL of the last hop asked
	page      *content.Page
	stage     survey.Stage
	outcome   survey.Outcome
	failure   string
	interrupt bool // ended by the run, not by the mirror
}

func (c *chain) last() *answer {
	if len(c.hops) == 0 {
		return nil
	}
	return c.hops[len(c.hops)-1]
}

// exchange returns the final Exchange, nil when nothing was asked.
func (c *chain) exchange() *survey.Exchange {
	if a := c.last(); a != nil {
		return a.exchange
	}
	return nil
}

// follow asks q and follows redirects, by Location and, from pages with next to no text, by meta refresh. Cookies live as
// long as the chain (cookie walls redirect to themselves) and are never shared with another mirror.
func (f *fetcher) follow(ctx context.Context, q question, maxHops int, opt content.Options) (*chain, error) {
	c := &chain{final: q.url}
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	seen := map[string]bool{}
	for hop := 0; ; hop++ {
		u, err := url.Parse(c.final)
		if err != nil {
			c.stage, c.outcome = survey.StageHTTP, survey.BadLocation
			c.failure = c.outcome.FailureString("")
			return c, nil
		}
		cookies := jar.Cookies(u)
		key := c.final + "\x00" + cookieHeader(cookies)
		if seen[key] {
			return c.fail(survey.RedirectLoop), nil
		}
		seen[key] = true
		step := q
		step.url = c.final
		step.probe.Hop = hop
		step.header = http.Header{}
		for k, v := range q.header {
			step.header[k] = v
		}
		if len(cookies) > 0 {
			step.header.Set("Cookie", cookieHeader(cookies))
		}
		var page *content.Page
		if q.method != http.MethodHead {
			step.read = func(a *answer) {
				if readable(a.exchange, a.body) {
					o := opt
					o.URL, o.ContentType = c.final, a.exchange.Get("Content-Type")
					o.Header = a.exchange.Get
					page = content.Read(a.body, o)
				}
			}
		}
		a, err := f.ask(ctx, step)
		if err != nil {
			return nil, err
		}
		if a.exchange == nil {
			c.interrupt = true
			c.stage, c.outcome = survey.StageConnect, survey.Interrupted
			return c, nil
		}
		c.hops = append(c.hops, a)
		c.page = page
		ex := a.exchange
		c.stage, c.outcome, c.failure = ex.Stage, ex.Outcome, ex.Failure
		c.interrupt = a.ended
		if a.crashed != "" {
			c.stage, c.outcome, c.failure = survey.StageContent, survey.Crashed, survey.Crashed.FailureString(a.crashed)
			c.page = nil
			return c, nil
		}
		if ex.Outcome != survey.OK && !isRedirect(ex.Status) {
			return c, nil
		}
		setCookies(jar, u, ex)
		next, how := "", ex.Status
		switch {
		case isRedirect(ex.Status):
			loc := ex.Get("Location")
			var ok bool
			if next, ok = resolveLocation(c.final, loc); !ok {
				return c.fail(survey.BadLocation), nil
			}
		case page != nil && page.MetaRefresh != "" && page.VisibleWords < 40 && !challenging(page):
			var ok bool
			if next, ok = markup.Resolve(c.final, page.MetaRefresh); !ok || next == c.final {
				return c, nil
			}
			how = ex.Status
		default:
			return c, nil
		}
		c.redirects = append(c.redirects, survey.Redirect{URL: c.final, Status: how})
		if hop >= maxHops {
			return c.fail(survey.TooManyRedirects), nil
		}
		c.final = next
	}
}

// challenging reports whether the page bears the marks of a challenge: following its refresh would be an attempt to pass it.
func challenging(p *content.Page) bool {
	for _, m := range p.Markers {
		if strings.HasPrefix(m, "challenge:") {
			return true
		}
	}
	return false
}

// fail ends the chain with a decision of ours; the hop's own page is no answer to the question.
func (c *chain) fail(o survey.Outcome) *chain {
	c.page = nil
	c.stage, c.outcome, c.failure = survey.StageHTTP, o, o.FailureString("")
	return c
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// resolveLocation resolves a Location field; one without a host, with another scheme than http(s), or none at all is bad
// (classification.md 1.4).
func resolveLocation(base, loc string) (string, bool) {
	if strings.TrimSpace(loc) == "" {
		return "", false
	}
	next, ok := markup.Resolve(base, loc)
	if !ok {
		return "", false
	}
	u, err := url.Parse(next)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	return next, true
}

func cookieHeader(cookies []*http.Cookie) string {
	parts := make([]string, len(cookies))
	for i, c := range cookies {
		parts[i] = c.Name + "=" + c.Value
	}
	return strings.Join(parts, "; ")
}

func setCookies(jar http.CookieJar, u *url.URL, ex *survey.Exchange) {
	h := http.Header{}
	for _, f := range ex.Header {
		if survey.EqualFold(f.Name, "Set-Cookie") {
			h.Add("Set-Cookie", f.Value)
		}
	}
	if len(h) > 0 {
		jar.SetCookies(u, (&http.Response{Header: h}).Cookies())
	}
}

// readable reports whether the body is a page to read: declared as HTML, or declared as nothing and looking like it.
func readable(ex *survey.Exchange, body []byte) bool {
	return readableType(ex.Get("Content-Type"), body)
}

func readableType(contentType string, body []byte) bool {
	if len(body) == 0 {
		return false
	}
	switch mediaType(contentType) {
	case "text/html", "application/xhtml+xml":
		return true
	case "", "text/plain", "application/xml", "text/xml", "application/octet-stream":
		return looksHTML(body)
	}
	return false
}

func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

func looksHTML(body []byte) bool {
	switch http.DetectContentType(body[:min(len(body), 512)]) {
	case "text/html; charset=utf-8":
		return true
	}
	head := strings.ToLower(string(body[:min(len(body), 1024)]))
	return strings.Contains(head, "<html") || strings.Contains(head, "<body")
}

// retryAfter reads the field as seconds or as a date (RFC 9110 10.2.3); ok is false when there is none.
func retryAfter(ex *survey.Exchange, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(ex.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if secs, err := time.ParseDuration(v + "s"); err == nil && secs >= 0 {
		return secs, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
