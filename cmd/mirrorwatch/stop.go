package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"mirrorwatch/crawler"
)

// errGraceOver is why visits in flight are cancelled once the grace is over.
var errGraceOver = errors.New("the run was asked to stop and its grace is over")

// stopper turns signals and the run's deadline into the two steps of stopping: first no new visits, then, after the
// grace, cancellation. A second signal ends the process at once; the archive recovers at the next start.
type stopper struct {
	c      chan struct{}
	once   sync.Once
	mu     sync.Mutex
	reason string
	cancel context.CancelCauseFunc
	grace  time.Duration
	quit   func()
	timers []*time.Timer
}

// newStopper begins to listen. The returned context ends when the grace is over; release must be called.
func newStopper(ctx context.Context, grace, maxTime time.Duration, say func(string)) (context.Context, *stopper, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stopper{c: make(chan struct{}), cancel: cancel, grace: grace, quit: func() { os.Exit(exitVoid) }}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-signals:
				if n > 0 {
					s.quit()
				}
				say("stopping: visits under way get " + grace.String() + ", nothing new begins; a second signal quits at once")
				s.stop("signal")
			case <-ended:
				return
			}
		}
	}()
	if maxTime > 0 {
		s.after(maxTime, func() { s.stop("max_time") })
	}
	return ctx, s, func() {
		signal.Stop(signals)
		close(ended)
		s.mu.Lock()
		for _, t := range s.timers {
			t.Stop()
		}
		s.mu.Unlock()
		cancel(nil)
	}
}

func (s *stopper) after(d time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timers = append(s.timers, time.AfterFunc(d, f))
}

func (s *stopper) stop(reason string) {
	s.once.Do(func() {
		s.mu.Lock()
		s.reason = reason
		s.mu.Unlock()
		close(s.c)
		s.after(s.grace, func() { s.cancel(errGraceOver) })
	})
}

func (s *stopper) asStop() crawler.Stop {
	return crawler.Stop{C: s.c, Reason: func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.reason
	}}
}
