package crawler

import (
	"context"
	"time"

	"mirrorwatch/crawler/survey"
)

// lastingSink and lastingMemory outlive the cancellation of visits: once a run is told to stop, what was seen is still
// written and judged, so that archive, history and report are whole. Both are local and quick. Neither embeds what it
// wraps: a method that is added to the interface must be written here too, or this does not compile.
type lastingSink struct{ next Sink }

// Put keeps its context: the transport decides how long an exchange waits for its sink.
func (s lastingSink) Put(ctx context.Context, e *survey.Exchange) (survey.Capture, error) {
	return s.next.Put(ctx, e)
}

func (s lastingSink) Note(ctx context.Context, n survey.Note) (survey.Capture, error) {
	return s.next.Note(context.WithoutCancel(ctx), n)
}

func (s lastingSink) Commit(ctx context.Context) error {
	return s.next.Commit(context.WithoutCancel(ctx))
}

type lastingMemory struct{ next Memory }

func (m lastingMemory) Versions(ctx context.Context, a survey.Article, limit int) ([]Version, error) {
	return m.next.Versions(context.WithoutCancel(ctx), a, limit)
}

func (m lastingMemory) Body(ctx context.Context, c survey.Capture) (string, []byte, error) {
	return m.next.Body(context.WithoutCancel(ctx), c)
}

func (m lastingMemory) Latest(ctx context.Context, a survey.Article, h survey.Host, vantage string) (survey.Snapshot, bool, error) {
	return m.next.Latest(context.WithoutCancel(ctx), a, h, vantage)
}

func (m lastingMemory) Since(ctx context.Context, a survey.Article, h survey.Host, vantage string, s survey.State) (time.Time, bool, error) {
	return m.next.Since(context.WithoutCancel(ctx), a, h, vantage, s)
}

func (m lastingMemory) Failures(ctx context.Context, a survey.Article, h survey.Host, vantage string) ([]time.Time, error) {
	return m.next.Failures(context.WithoutCancel(ctx), a, h, vantage)
}

func (m lastingMemory) Arrival(ctx context.Context, a survey.Article, h survey.Host, vantage string) (first, before time.Time, err error) {
	return m.next.Arrival(context.WithoutCancel(ctx), a, h, vantage)
}

func (m lastingMemory) Links(ctx context.Context, site string, f func(KnownLink) bool) error {
	return m.next.Links(context.WithoutCancel(ctx), site, f)
}

func (m lastingMemory) Crawled(ctx context.Context, site string) (time.Time, error) {
	return m.next.Crawled(context.WithoutCancel(ctx), site)
}
