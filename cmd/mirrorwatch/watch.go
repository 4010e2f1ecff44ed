package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/urfave/cli/v2"
)

func watchCommand(w *world) *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ")"},
		&cli.StringSliceFlag{Name: "site", Usage: "only the site of this `NAME`; repeatable"},
		&cli.BoolFlag{Name: "now", Usage: "the first run at once, not at the next time of the schedule"},
		dataFlag(),
	}
	flags = append(flags, settingFlags()...)
	return &cli.Command{
		Name:  "watch",
		Usage: "stay and check by the file's schedule, for machines without cron",
		Description: "Each run is what `check` does, with the sites file read anew: a file that is not right is reported and the last good one\n" +
			"goes on. Runs never overlap. SIGINT or SIGTERM ends the run under way as it ends check, then the command.\n\n" + statuses("does not happen: what runs find is in the report"),
		Flags:  append(flags, verbosityFlags()...),
		Action: func(c *cli.Context) error { return watch(c, w) },
	}
}

func watch(c *cli.Context, w *world) (err error) {
	if c.NArg() > 0 {
		return usagef("watch takes all from the sites file", "watch: unexpected argument %q", c.Args().First())
	}
	first, err := newJob(c, w)
	if err != nil {
		return err
	}
	if first.file == nil || first.file.Schedule.IsZero() {
		return usagef(`write schedule: "17 * * * *" into it`, "watch: the sites file has no schedule")
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &daemon{c: c, w: w, last: first}
	s, err := gocron.NewScheduler(gocron.WithLocation(time.Local), gocron.WithStopTimeout(first.settings.Grace+time.Minute))
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	d.scheduler = s
	// A one-time job for each run, made anew from the file: its schedule may have changed, and it is our reader of
	// schedules that holds, as for "next run due".
	if c.Bool("now") {
		err = d.plan(ctx, w.now())
	} else {
		err = d.plan(ctx, first.file.Schedule.Next(w.now()))
	}
	if err != nil {
		return errors.Join(err, s.Shutdown())
	}
	s.Start()
	<-ctx.Done()
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	d.running.Wait() // the run has seen the signal too and ends by itself
	if err := s.Shutdown(); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	return nil
}

// daemon is one `watch`.
type daemon struct {
	c         *cli.Context
	w         *world
	scheduler gocron.Scheduler
	last      *job // the newest that could be made

	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

// plan sets the next run.
func (d *daemon) plan(ctx context.Context, at time.Time) error {
	if at.IsZero() {
		return errors.New("watch: the schedule never comes due again")
	}
	start := gocron.OneTimeJobStartImmediately()
	if wait := at.Sub(d.w.now()); wait > 50*time.Millisecond {
		start = gocron.OneTimeJobStartDateTime(time.Now().Add(wait))
	}
	_, err := d.scheduler.NewJob(gocron.OneTimeJob(start), gocron.NewTask(func() { d.run(ctx) }))
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if !d.c.Bool("quiet") {
		fmt.Fprintf(d.w.stderr, "next run: %s\n", at.Format(time.RFC3339))
	}
	return nil
}

func (d *daemon) run(ctx context.Context) {
	d.mu.Lock()
	if d.ended || ctx.Err() != nil {
		d.mu.Unlock()
		return
	}
	d.running.Add(1)
	d.mu.Unlock()
	defer d.running.Done()
	j, err := newJob(d.c, d.w)
	if err != nil || j.file == nil || j.file.Schedule.IsZero() {
		if err == nil {
			err = errors.New("the sites file is gone, or has no schedule any more")
		}
		report(d.w.stderr, err)
		fmt.Fprintln(d.w.stderr, "mirrorwatch: watch goes on with the last file that was right")
		again := *d.last
		again.started = d.w.now()
		j = &again
	}
	d.last = j
	next := j.file.Schedule
	// The context of the run is not the daemon's: a signal ends it step by step, as it does for check.
	if err := j.run(context.WithoutCancel(ctx), d.w); err != nil {
		report(d.w.stderr, err)
	}
	if ctx.Err() != nil {
		return
	}
	if err := d.plan(ctx, next.Next(d.w.now())); err != nil {
		report(d.w.stderr, err)
	}
}
