package archive

import (
	"errors"
	"time"
)

// stage is the epoch that records go into now: its series and its claims. A session that crosses into the next epoch goes
// on in a new stage, so that no revisit refers across the border; what is under way in the old one ends there.
type stage struct {
	epoch  string
	data   *series
	claims *claims
}

// newStage begins an epoch; the caller holds stageMu or is alone.
func (a *Archive) newStage(epoch string) *stage {
	s := &stage{epoch: epoch, data: a.newSeries(epoch + "-" + string(a.run)), claims: newClaims(a, epoch)}
	a.stages = append(a.stages, s)
	return s
}

// stageAt returns the stage for a record of that date. Time moves it forward, never back: a record of an earlier epoch that
// comes late stands in the present one, where it is kept longer.
func (a *Archive) stageAt(date time.Time) (*stage, error) {
	epoch, err := epochOf(date.UTC(), a.opt.Epoch)
	if err != nil {
		return nil, err
	}
	a.stageMu.Lock()
	defer a.stageMu.Unlock()
	now := a.stages[len(a.stages)-1]
	if epoch <= now.epoch {
		return now, nil
	}
	return a.newStage(epoch), nil
}

// present is the newest stage.
func (a *Archive) present() *stage {
	a.stageMu.Lock()
	defer a.stageMu.Unlock()
	return a.stages[len(a.stages)-1]
}

func (a *Archive) allSeries() []*series {
	a.stageMu.Lock()
	defer a.stageMu.Unlock()
	var all []*series
	for _, s := range a.stages {
		all = append(all, s.data)
	}
	all = append(all, a.runs)
	return append(all, a.extra...)
}

func (a *Archive) closeClaims() error {
	a.stageMu.Lock()
	defer a.stageMu.Unlock()
	var errs []error
	for _, s := range a.stages {
		errs = append(errs, s.claims.close())
	}
	return errors.Join(errs...)
}
