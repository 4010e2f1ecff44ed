package crawler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mirrorwatch/crawler/survey"
)

// Stop tells a run to begin no new visit. Those in flight go on until the run's context ends.
type Stop struct {
	C <-chan struct{}
	// Reason is asked after C was closed: "signal", "max_time" or "max_urls".
	Reason func() string
}

// run is the state of one Run.
type run struct {
	Config
	gate        *gate
	fetchers    map[lookout]*fetcher
	canaries    map[lookout]*canary
	void        map[string]string // vantage name -> reason
	decoys      decoys
	requisites  requisites
	robots      robots
	confirmed   confirmations
	links       links
	came        came
	delegations delegations
	stop        Stop
	last        sync.Mutex // guards Config.Done: one call at a time
	closers     []io.Closer
}

// lookout is a site's view through a vantage: its settings decide the transport and the canaries.
type lookout struct{ site, vantage string }

// Run carries out the plan and returns what it saw. When stop closes, the checks not yet done come back as undetermined
// (interrupted, budget). Its error is our own failure: the archive, the history, a setting that makes no sense.
func Run(ctx context.Context, cfg Config, plan Plan, stop Stop) (survey.Report, error) {
	def(&cfg.PerHost, 4)
	def(&cfg.Concurrency, 32)
	switch {
	case cfg.Delay < 0:
		cfg.Delay = 0
	case cfg.Delay == 0:
		cfg.Delay = 250 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Sink, cfg.Memory = lastingSink{cfg.Sink}, lastingMemory{cfg.Memory}
	if stop.C == nil {
		stop.C = make(chan struct{})
	}
	r := &run{Config: cfg, gate: newGate(cfg.Concurrency, cfg.PerHost, cfg.Delay), fetchers: map[lookout]*fetcher{},
		canaries: map[lookout]*canary{}, void: map[string]string{}, stop: stop}
	defer func() {
		for _, c := range r.closers {
			_ = c.Close()
		}
	}()
	report := survey.Report{Schema: survey.Schema, Run: cfg.Run, Articles: []survey.Check{}, Links: []survey.Link{}, Candidates: []survey.CandidateMirror{}}
	report.Run.RulesVersion = cfg.Rules.Version()

	for i := range plan.Sites {
		plan.Sites[i].Settings = plan.Sites[i].Settings.filled()
		if err := r.open(plan.Sites[i]); err != nil {
			return report, err
		}
	}
	if err := r.askCanaries(ctx, &report.Run); err != nil {
		return report, err
	}
	for i := range plan.Sites {
		if err := r.newest(ctx, &plan.Sites[i]); err != nil {
			return report, err
		}
	}
	checks, err := r.checks(ctx, plan)
	seen := map[string]bool{}
	for _, d := range checks {
		if d == nil {
			continue
		}
		report.Articles = append(report.Articles, d.Check)
		for _, c := range d.Candidates {
			if !seen[c.Site+" "+c.Host] {
				seen[c.Site+" "+c.Host] = true
				report.Candidates = append(report.Candidates, c)
			}
		}
	}
	for i := range report.Candidates {
		report.Candidates[i].Confirmed = r.confirmed.both(report.Candidates[i])
	}
	if err == nil {
		err = r.crawlSites(ctx, plan, &report)
	}
	report.Links = merged(report.Links, r.links.report())
	for _, sp := range plan.Sites {
		report.Sync = append(report.Sync, r.completeness(sp, report.Articles)...)
	}
	report.Run.Finished = r.now().UTC()
	report.Run.Complete = err == nil && !r.stopped()
	if r.stopped() {
		report.Run.StoppedBy = survey.Ptr(stop.Reason())
	}
	report.Summary = survey.Summarise(report)
	if err != nil {
		return report, err
	}
	body, err := json.Marshal(report.Run)
	if err != nil {
		return report, err
	}
	note := survey.Note{Kind: survey.NoteRun, URI: "urn:mirrorwatch:run:" + string(cfg.Run.ID), Date: report.Run.Finished, Body: body}
	if _, err := r.Sink.Note(ctx, note); err != nil {
		return report, err
	}
	return report, r.Sink.Commit(ctx)
}

// crawlSites crawls the sites whose settings ask for it. It comes after the checks: a crawl may take longer than a run has
// time or requests for, and goes on in the next, but each run is to judge its articles.
func (r *run) crawlSites(ctx context.Context, plan Plan, report *survey.Report) error {
	for _, sp := range plan.Sites {
		if sp.Settings.Links != "site" || r.stopped() {
			continue
		}
		found, clean, err := r.crawlSite(ctx, sp)
		if err != nil {
			return err
		}
		report.Links = append(report.Links, found.Links...)
		report.Crawls = append(report.Crawls, found.Crawls...)
		if r.Crawled != nil {
			if err := r.Crawled(context.WithoutCancel(ctx), found); err != nil {
				return err
			}
		}
		clean()
	}
	return nil
}

// open makes the fetchers and canaries of a site's vantages. Sites that look through the same vantage with the same
// canaries share them.
func (r *run) open(sp SitePlan) error {
	for _, v := range sp.Vantages {
		at := lookout{sp.Site.Name, v.Name}
		if r.fetchers[at] != nil {
			continue
		}
		rt, err := sp.Transport(v)
		if err != nil {
			return fmt.Errorf("opening vantage %q: %w", v.Name, err)
		}
		if c, ok := rt.(io.Closer); ok {
			r.closers = append(r.closers, c)
		}
		f := newFetcher(v, rt, r.gate)
		f.progress = r.progress
		r.fetchers[at] = f
		for other, c := range r.canaries {
			if other.vantage == v.Name && slices.Equal(c.urls, sp.Canaries) {
				r.canaries[at] = c
			}
		}
		if r.canaries[at] == nil {
			r.canaries[at] = &canary{urls: sp.Canaries, fetch: f, run: r.Config.Run.ID, timeout: sp.Settings.whole(), now: r.now}
		}
	}
	return nil
}

// askCanaries asks each vantage's canaries before the first visit; a vantage is void when all of them fail, the run when
// all vantages are.
func (r *run) askCanaries(ctx context.Context, run *survey.Run) error {
	run.VoidVantages = []string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	start := r.now()
	vantages := map[string]bool{}
	for at, c := range r.canaries {
		name := at.vantage
		vantages[name] = true
		wg.Go(func() {
			_, ok, err := c.check(ctx, start)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = errors.Join(failed, err)
			case !ok && ctx.Err() == nil && !r.stopped():
				r.void[name] = "no canary answered: " + strings.Join(c.urls, ", ")
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	run.VoidVantages = r.voidNames()
	if len(r.void) > 0 && len(r.void) == len(vantages) {
		run.Void = true
		run.VoidReason = survey.Ptr("our own network seems down: " + r.void[run.VoidVantages[0]])
	}
	return nil
}

// checks runs all checks, several articles at a time, and returns them in the plan's order.
func (r *run) checks(ctx context.Context, plan Plan) ([]*Done, error) {
	type job struct {
		sp SitePlan
		a  survey.Article
	}
	var jobs []job
	for _, sp := range plan.Sites {
		for _, a := range sp.Articles {
			jobs = append(jobs, job{sp, a})
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]*Done, len(jobs))
	next := make(chan int)
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for range min(len(jobs), 8) {
		wg.Go(func() {
			for i := range next {
				d, err := r.check(ctx, jobs[i].sp, jobs[i].a)
				if err == nil {
					err = r.finish(ctx, d)
				}
				if err != nil {
					once.Do(func() { failed = err; cancel(err) })
					continue
				}
				results[i] = &d
				r.progress(Event{Kind: "checked", URL: jobs[i].a.URL})
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	wg.Wait()
	return results, failed
}

func (r *run) finish(ctx context.Context, d Done) error {
	if r.Done == nil {
		return nil
	}
	r.last.Lock()
	defer r.last.Unlock()
	return r.Done(context.WithoutCancel(ctx), d)
}

func (r *run) visitor(sp SitePlan, v survey.Vantage) *visitor {
	return &visitor{fetcher: r.fetchers[lookout{sp.Site.Name, v.Name}], canary: r.canaries[lookout{sp.Site.Name, v.Name}], settings: sp.Settings, hosts: sp.Site.Hosts(),
		run: r.Config.Run.ID, now: r.now, stop: r.stop.C, stopped: r.stoppedBy}
}

func (r *run) now() time.Time { return r.Now() }

func (r *run) progress(e Event) {
	if r.Progress != nil {
		r.Progress(e)
	}
}

func (r *run) stopped() bool {
	select {
	case <-r.stop.C:
		return true
	default:
		return false
	}
}

// stoppedBy is the outcome of a visit that the run's end prevented.
func (r *run) stoppedBy() survey.Outcome {
	if r.stopped() && r.stop.Reason != nil && r.stop.Reason() != "signal" {
		return survey.Budget
	}
	return survey.Interrupted
}

func (r *run) isVoid(vantage string) bool { return r.void[vantage] != "" }

func (r *run) voidReasons() map[string]string { return r.void }

func (r *run) voidNames() []string {
	return append([]string{}, slices.Sorted(maps.Keys(r.void))...)
}
