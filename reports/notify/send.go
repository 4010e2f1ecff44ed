package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"mirrorwatch/crawler/survey"
)

// Channel is one address to tell: a shoutrrr URL or a program. The URL is secret as a whole.
type Channel struct {
	Name    string // what is shown and recorded: see Names
	URL     string
	Exec    []string
	On      []string // down, degraded, up; empty: all
	Sites   []string // empty: all
	Mirror  survey.Host
	Site    string        // with Mirror: the site it belongs to
	From    string        // with Mirror: whom its operator may answer
	Timeout time.Duration // of one delivery; 0: 30 s
	// Holds says whether what happened at created is yet to wait at now: quiet hours, a digest. nil: it never waits.
	Holds func(created, now time.Time) bool
}

// Names gives each channel without a name one that holds no secret and stays the same while its like are not reordered:
// the service and, from the second on, a number.
func Names(list []Channel) []Channel {
	out := slices.Clone(list)
	seen := map[string]int{}
	for i := range out {
		c := &out[i]
		if c.Name == "" {
			c.Name = c.scheme()
			if len(c.Exec) > 0 {
				c.Name = "exec " + visible(c.Exec[0][strings.LastIndexByte(c.Exec[0], '/')+1:], 60)
			}
			if c.Mirror != "" {
				c.Name = "contact of " + string(c.Mirror) + ": " + c.Name
			}
		}
		if seen[c.Name]++; seen[c.Name] > 1 {
			c.Name = fmt.Sprintf("%s %d", c.Name, seen[c.Name])
		}
	}
	return out
}

var schemeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{0,30}$`)

func (c Channel) scheme() string {
	if len(c.Exec) > 0 {
		return "exec"
	}
	s, _, ok := strings.Cut(c.URL, ":")
	if !ok || !schemeForm.MatchString(s) {
		return "unknown"
	}
	s, _, _ = strings.Cut(strings.ToLower(s), "+") // "generic+https"
	return s
}

// Style is how the channel's service reads text.
func (c Channel) Style() Style { return StyleOf(c.scheme()) }

// Wants reports whether the event is told to the channel. A channel that asks for down only hears of the end of no
// incident; one that asks for up hears of the end of those whose beginning it asked for, or of all when it asked for none.
func (c Channel) Wants(e survey.IncidentEvent) bool {
	in := e.Incident
	if e.Silent || c.Mirror != "" && (in.Mirror != c.Mirror || in.Site != c.Site) || len(c.Sites) > 0 && !slices.Contains(c.Sites, in.Site) {
		return false
	}
	if len(c.On) == 0 {
		return true
	}
	begins := slices.Contains(c.On, string(in.Severity))
	if e.Kind == survey.Closed {
		return slices.Contains(c.On, "up") && (begins || !slices.Contains(c.On, "down") && !slices.Contains(c.On, "degraded"))
	}
	return begins
}

// Separate reports whether each event is a message of its own: programs take one incident at a time, and what a mirror's
// operator gets speaks of one thing.
func (c Channel) Separate() bool { return len(c.Exec) > 0 || c.Mirror != "" }

// SendError says why a delivery failed, without secrets. Unknown is set when the message may have arrived all the same.
type SendError struct {
	Unknown bool
	Problem string
}

func (e *SendError) Error() string { return e.Problem }

// Document is what a program reads on its standard input, as one line of JSON.
type Document struct {
	Schema string               `json:"schema"` // mirrorwatch/notice/1
	Event  survey.IncidentEvent `json:"event"`
	Test   bool                 `json:"test"`
	Text   Message              `json:"text"`
}

// Send delivers the events in one message; test marks a trial. Its error is a *SendError.
func (c Channel) Send(ctx context.Context, events []survey.IncidentEvent, test bool) error {
	if len(events) == 0 {
		return nil
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	m := Compose(events, c.Style())
	if c.Mirror != "" {
		m = Forward(events[0], c.From, c.Style())
	}
	if test {
		m.Subject = "TEST, nothing happened: " + m.Subject
		m.Body = "This is a test of the channel; nothing happened.\n\n" + m.Body
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if len(c.Exec) == 0 {
		return c.service(ctx, m)
	}
	for _, e := range events {
		doc, err := json.Marshal(Document{"mirrorwatch/notice/1", e, test, m})
		if err != nil {
			return &SendError{Problem: err.Error()}
		}
		if err := c.run(ctx, append(doc, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// titled are the services that take a title of its own; the others get it as first line.
var titled = map[string]bool{"smtp": true, "ntfy": true, "gotify": true, "pushover": true, "pushbullet": true, "bark": true, "join": true, "generic": true}

func (c Channel) service(ctx context.Context, m Message) error {
	sender, err := shoutrrr.CreateSender(c.URL)
	if err != nil {
		return &SendError{Problem: c.scrub(last(err))}
	}
	service, err := sender.Locate(c.URL)
	if err != nil {
		return &SendError{Problem: c.scrub(last(err))}
	}
	params, body := types.Params{}, m.Body
	switch s := c.scheme(); {
	case s == "smtp":
		// shoutrrr writes the subject as it is: what is not ASCII must be encoded here (RFC 2047), and a message that is
		// not HTML must not be sent as such.
		params["subject"], params["usehtml"] = mime.QEncoding.Encode("utf-8", m.Subject), "no"
	case titled[s]:
		params["title"] = m.Subject
	}
	if c.scheme() == "telegram" {
		params["parsemode"] = "None"
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- &SendError{Unknown: true, Problem: "the service's client gave up"}
			}
		}()
		done <- service.Send(body, &params)
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return &SendError{Unknown: true, Problem: fmt.Sprintf("no answer within %s", c.Timeout)}
	}
	if err == nil {
		return nil
	}
	var mine *SendError
	if errors.As(err, &mine) {
		return mine
	}
	return &SendError{Unknown: uncertain(err), Problem: c.scrub(err.Error())}
}

// uncertain reports whether the message may have arrived although there was an error: the connection was there, and the
// answer did not come.
func uncertain(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return false
	}
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout() ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// last is the innermost text of an error: shoutrrr's outer ones quote the URL.
func last(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// scrub takes everything out of a text that could be a secret of the channel's URL: user information, and every part of
// host, path and query, since services keep tokens in any of them. A mail server's host is no secret, but goes too.
func (c Channel) scrub(text string) string {
	parts := []string{c.URL}
	if u, err := url.Parse(c.URL); err == nil {
		parts = append(parts, u.Host, u.Hostname(), u.Path, u.RawQuery, u.Fragment, u.Opaque, u.String(), u.Redacted())
		if u.User != nil {
			p, _ := u.User.Password()
			parts = append(parts, u.User.String(), u.User.Username(), p)
		}
		parts = append(parts, strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' || r == ':' || r == '@' })...)
		for k, list := range u.Query() {
			parts = append(parts, list...)
			for _, v := range list {
				parts = append(parts, k+"="+v)
			}
		}
	}
	parts = append(parts, strings.FieldsFunc(c.URL, func(r rune) bool { return strings.ContainsRune("/:@?&=#,", r) })...)
	var more []string
	for _, p := range parts {
		if un, err := url.QueryUnescape(p); err == nil {
			more = append(more, un)
		}
		more = append(more, url.QueryEscape(p), url.PathEscape(p))
	}
	parts = append(parts, more...)
	sort.Slice(parts, func(i, j int) bool { return len(parts[i]) > len(parts[j]) })
	for _, p := range parts {
		if len(p) >= 3 && p != c.scheme() {
			text = strings.ReplaceAll(text, p, "***")
		}
	}
	return visible(text, maxField)
}

// Heartbeat fetches the address once, and takes every 2xx answer for right. The error does not hold it.
func Heartbeat(ctx context.Context, address, userAgent string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	c := Channel{URL: address}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return &SendError{Problem: "heartbeat: its address is no http or https URL"}
	}
	if userAgent != "" {
		req.Header.Set("User-Agent", userAgent)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	t.Proxy = nil // a proxy is a vantage, and must be named
	defer t.CloseIdleConnections()
	res, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return &SendError{Problem: "heartbeat: " + c.scrub(last(err))}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 != 2 {
		return &SendError{Problem: fmt.Sprintf("heartbeat: it was answered with status %d", res.StatusCode)}
	}
	return nil
}
