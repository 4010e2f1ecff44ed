package crawler

import (
	"strings"

	"mirrorwatch/crawler/survey"
)

// Event is one step of a run. A request is answered exactly once, also when nothing came.
type Event struct {
	Kind    string // request, answered, visited, checked
	URL     string
	Mirror  survey.Host
	Vantage string
	Detail  string
	// Of an answer: the body's octets as they came, and whether it is a page (HTML, status 2xx).
	Bytes int64
	Page  bool
}

// answered tells of the end of a request.
func (f *fetcher) answered(q question, a *answer) {
	e := Event{Kind: "answered", URL: q.url, Mirror: q.probe.Mirror, Vantage: f.vantage.Name}
	if ex := a.exchange; ex != nil {
		e.Bytes = ex.PayloadSize
		e.Page = ex.Status >= 200 && ex.Status < 300 && strings.HasPrefix(ex.Get("Content-Type"), "text/html")
	}
	f.progress(e)
}
