package crawler

import (
	"context"
	"time"

	"mirrorwatch/crawler/survey"
)

// lastingSink and lastingMemory outlive the cancellation of visits: once a run is told to stop, what was seen is still
// written and judged, so that archive, history and report are whole. Both are local and quick.
type lastingSink struct{ Sink }

func (s lastingSink) Note(ctx context.Context, n survey.Note) (survey.Capture, error) {
	return s.Sink.Note(context.WithoutCancel(ctx), n)
}

func (s lastingSink) Commit(ctx context.Context) error {
	return s.Sink.Commit(context.WithoutCancel(ctx))
}

type lastingMemory struct{ Memory }

func (m lastingMemory) Versions(ctx context.Context, a survey.Article, limit int) ([]Version, error) {
	return m.Memory.Versions(context.WithoutCancel(ctx), a, limit)
}

func (m lastingMemory) Body(ctx context.Context, c survey.Capture) (string, []byte, error) {
	return m.Memory.Body(context.WithoutCancel(ctx), c)
}

func (m lastingMemory) Latest(ctx context.Context, a survey.Article, h survey.Host, vantage string) (survey.Snapshot, bool, error) {
	return m.Memory.Latest(context.WithoutCancel(ctx), a, h, vantage)
}

func (m lastingMemory) Since(ctx context.Context, a survey.Article, h survey.Host, vantage string, s survey.State) (time.Time, bool, error) {
	return m.Memory.Since(context.WithoutCancel(ctx), a, h, vantage, s)
}

func (m lastingMemory) Failures(ctx context.Context, a survey.Article, h survey.Host, vantage string) ([]time.Time, error) {
	return m.Memory.Failures(context.WithoutCancel(ctx), a, h, vantage)
}
