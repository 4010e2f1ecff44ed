package crawler

import (
	"context"
	"net/url"
	"slices"
	"sync"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

// delegator is a transport that can ask the zone above a host for its delegation. *wire.Transport is one.
type delegator interface {
	Delegation(ctx context.Context, host string) ([]survey.Lookup, error)
}

// delegations are those that a run has asked for, each once per mirror and vantage.
type delegations struct {
	mu   sync.Mutex
	made map[delegationKey]*delegation
}

type delegationKey struct {
	site, vantage string
	mirror        survey.Host
}

type delegation struct {
	once    sync.Once
	lookups []survey.Lookup
	capture survey.Capture
	err     error // the sink's
}

func (d *delegations) of(key delegationKey) *delegation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made == nil {
		d.made = map[delegationKey]*delegation{}
	}
	if d.made[key] == nil {
		d.made[key] = &delegation{}
	}
	return d.made[key]
}

// lookUpward asks for the delegation of mirrors that may be seized, parked or gone, and judges again when something was said.
// Its error is the sink's.
func (r *run) lookUpward(ctx context.Context, sp SitePlan, seats []*seat, c compare.Case, j compare.Judgement) (compare.Judgement, error) {
	var doubted []*seat
	for i, s := range seats {
		if delegationTells(s, j.Verdicts[i]) {
			doubted = append(doubted, s)
		}
	}
	if len(doubted) == 0 {
		return j, nil
	}
	if err := each(doubted, func(s *seat) error { return r.delegation(ctx, sp, s) }); err != nil {
		return j, err
	}
	return judge(c), nil // the views point at the observations
}

// delegationTells reports whether the visit is one that a delegation could explain.
func delegationTells(s *seat, ver survey.Verdict) bool {
	o := &s.visit.observation
	if s.void || s.visit.chain == nil || s.visit.chain.interrupt || s.visitor.isStopped() || s.visitor.delegator == nil {
		return false
	}
	switch o.Outcome {
	case survey.OwnNetwork, survey.Interrupted, survey.Budget, survey.LocalResources, survey.OnionLeakRefused:
		return false
	}
	if o.Stage == survey.StageDNS {
		return o.Outcome != survey.OK
	}
	switch ver.PageClass {
	case survey.ClassSeizureBanner, survey.ClassParked:
		return ver.State == survey.Down
	case survey.ClassUnknown:
		return ver.State == survey.Down && ver.Verdict == survey.Interstitial
	}
	return false
}

// delegation adds what the parent zone says of the seat's mirror to its observation. The look-ups are kept by the sink in an
// exchange of their own.
func (r *run) delegation(ctx context.Context, sp SitePlan, s *seat) error {
	d := r.delegations.of(delegationKey{sp.Site.Name, s.visitor.vantage.Name, s.mirror.Host})
	first := false
	d.once.Do(func() {
		first = true
		release, err := r.gate.acquire(ctx, s.mirror.Host)
		if err != nil {
			return // the run ends
		}
		defer release()
		started := r.now()
		lookups, err := s.visitor.delegator.Delegation(ctx, string(s.mirror.Host))
		if err != nil {
			r.Log.Debug("the delegation is not known", "mirror", s.mirror.Host, "vantage", s.visitor.vantage.Name, "error", err)
		}
		if len(lookups) == 0 {
			return
		}
		last := lookups[len(lookups)-1]
		ex := &survey.Exchange{ID: wire.NewRecordID(), URL: "dns:" + (&url.URL{Host: string(s.mirror.Host)}).Hostname() + "?type=NS", Started: started.UTC(), Lookups: lookups,
			Stage: survey.StageDNS, Outcome: survey.OK, Probe: survey.Probe{ID: newID(), Run: r.Config.Run.ID, Mirror: s.mirror.Host,
				Vantage: s.visitor.vantage.Name, Purpose: survey.ForDelegation, Attempt: 1}}
		if err != nil {
			// What the parent says is a mark on its look-up; only that it said nothing is the exchange's outcome.
			ex.Outcome, ex.Err = last.Outcome, err.Error()
			ex.Failure = ex.Outcome.FailureString("")
		}
		if d.capture, d.err = r.Sink.Put(ctx, ex); d.err == nil {
			d.lookups = lookups
		}
	})
	if d.err != nil || len(d.lookups) == 0 {
		return d.err
	}
	o := &s.visit.observation
	at := len(o.DNS)
	o.DNS = slices.Concat(o.DNS, d.lookups)
	if !first {
		for i := at; i < len(o.DNS); i++ {
			o.DNS[i].Raw, o.DNS[i].MS, o.DNS[i].Cached = nil, 0, true
		}
	}
	if d.capture.RecordID != "" {
		o.Captures = append(o.Captures, d.capture)
	}
	return nil
}
