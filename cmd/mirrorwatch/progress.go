package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"mirrorwatch/crawler"
)

// progress shows how a run goes: a bar on a terminal, a line a minute elsewhere, each visit with -v, nothing with -q.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	bar      *progressbar.ProgressBar
	verbose  bool
	quiet    bool
	articles int
	checked  int
	visited  int
	last     time.Time
	now      func() time.Time
}

func newProgress(w *world, articles, visits int, quiet, verbose bool) *progress {
	p := &progress{w: w.stderr, articles: articles, quiet: quiet, verbose: verbose, now: w.now, last: w.now()}
	if w.terminal && !quiet && !verbose {
		p.bar = progressbar.NewOptions(visits, progressbar.OptionSetWriter(w.stderr), progressbar.OptionSetDescription("visiting"),
			progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(30))
	}
	return p
}

// watch returns what crawler.Config.Progress takes; then is told each event too, one at a time.
func (p *progress) watch(then func(crawler.Event)) func(crawler.Event) {
	return func(e crawler.Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		then(e)
		p.event(e)
	}
}

func (p *progress) event(e crawler.Event) {
	switch e.Kind {
	case "visited":
		p.visited++
		if p.bar != nil {
			p.bar.Describe(string(e.Mirror))
			_ = p.bar.Add(1)
		}
		if p.verbose && !p.quiet {
			fmt.Fprintf(p.w, "visited %s from %s: %s\n", visible(e.URL), visible(e.Vantage), visible(e.Detail))
		}
	case "checked":
		p.checked++
	}
	if p.bar == nil && !p.quiet && p.now().Sub(p.last) >= time.Minute {
		p.last = p.now()
		fmt.Fprintf(p.w, "%d of %d articles checked, %d visits\n", p.checked, p.articles, p.visited)
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
