package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"mirrorwatch/crawler"
)

// progress shows how a run goes (issue 6, point 8): one line on a terminal, a log line a minute elsewhere, each visit with
// -v, nothing with -q.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	bar      *progressbar.ProgressBar // nil: no terminal
	log      *slog.Logger
	verbose  bool
	quiet    bool
	articles int
	checked  int
	answers  int
	pages    int
	bytes    int64
	flying   map[flight]time.Time // requests under way, and since when
	began    time.Time
	last     time.Time // of the line a minute
	lastN    int       // answers at that time
	rate     float64   // pages a second, lately
	drawn    time.Time
	drawnN   int // pages at that time
	now      func() time.Time
}

type flight struct{ vantage, url string }

const (
	lineEvery = time.Minute
	drawEvery = 500 * time.Millisecond
	// slowAfter is from when on a request is named as what is waited for.
	slowAfter = 2 * time.Second
)

func newProgress(w *world, articles, visits int, quiet, verbose bool) *progress {
	p := &progress{w: w.stderr, articles: articles, quiet: quiet, verbose: verbose, now: w.now, flying: map[flight]time.Time{},
		log: slog.New(slog.NewTextHandler(w.stderr, nil))}
	p.began = w.now()
	p.last, p.drawn = p.began, p.began
	if w.terminal && !quiet && !verbose {
		if visits == 0 {
			visits = -1 // nothing is known of how much there will be
		}
		p.bar = progressbar.NewOptions(visits, progressbar.OptionSetWriter(w.stderr), progressbar.OptionSetDescription("starting"),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetWidth(10))
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
	case "request":
		p.flying[flight{e.Vantage, e.URL}] = p.now()
	case "answered":
		delete(p.flying, flight{e.Vantage, e.URL})
		p.answers++
		p.bytes += e.Bytes
		if e.Page {
			p.pages++
		}
	case "visited":
		if p.bar != nil {
			_ = p.bar.Add(1)
		}
		if p.verbose && !p.quiet {
			fmt.Fprintf(p.w, "visited %s from %s: %s\n", visible(e.URL), visible(e.Vantage), visible(e.Detail))
		}
	case "checked":
		p.checked++
	}
}

// start draws on its own time, so that a run that waits shows what it waits for; end takes the line away.
func (p *progress) start() (end func()) {
	if p.quiet {
		return func() {}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(drawEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.tick()
			case <-stop:
				return
			}
		}
	})
	return func() {
		close(stop)
		wg.Wait()
		if p.bar != nil {
			_ = p.bar.Finish()
		}
	}
}

// tick shows the state of things when it is time to.
func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.quiet {
		return
	}
	if p.bar == nil {
		if now.Sub(p.last) >= lineEvery {
			p.line(now)
		}
		return
	}
	if d := now.Sub(p.drawn); d >= drawEvery {
		p.rate = (p.rate + float64(p.pages-p.drawnN)/d.Seconds()) / 2
		p.drawn, p.drawnN = now, p.pages
	}
	p.bar.Describe(p.status(now))
}

// status is the line of a terminal.
func (p *progress) status(now time.Time) string {
	var b strings.Builder
	if p.articles > 0 {
		fmt.Fprintf(&b, "%d of %d articles, ", p.checked, p.articles)
	}
	fmt.Fprintf(&b, "%d pages, %d links, %.0f pages/s, %s", p.pages, p.answers, p.rate, megabytes(p.bytes))
	if url, d := p.slowest(now); d >= slowAfter {
		fmt.Fprintf(&b, ", %s for %s", d.Round(time.Second), visible(shortened(url, 50)))
	}
	return b.String()
}

// line is the log's line.
func (p *progress) line(now time.Time) {
	d := now.Sub(p.last)
	args := []any{"articles", fmt.Sprintf("%d/%d", p.checked, p.articles), "pages", p.pages, "links", p.answers,
		"links_per_s", fmt.Sprintf("%.1f", float64(p.answers-p.lastN)/d.Seconds()), "received", megabytes(p.bytes)}
	if url, wait := p.slowest(now); wait >= slowAfter {
		args = append(args, "waiting", wait.Round(time.Second), "for", visible(shortened(url, 200)))
	}
	p.last, p.lastN = now, p.answers
	p.log.Info("progress", args...)
}

// slowest is the request that is under way for the longest time.
func (p *progress) slowest(now time.Time) (url string, d time.Duration) {
	var since time.Time
	for f, t := range p.flying {
		if url == "" || t.Before(since) || t.Equal(since) && f.url < url {
			url, since = f.url, t
		}
	}
	if url == "" {
		return "", 0
	}
	return url, now.Sub(since)
}

// shortened keeps the start of a long address.
func shortened(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
