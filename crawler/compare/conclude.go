package compare

import (
	"fmt"
	"time"

	"mirrorwatch/crawler/survey"
)

// Wanted before "possible network blocking" is said (classification.md 5).
const (
	blockingTimes = 3
	blockingSpan  = 30 * time.Minute
)

// What Conclusion.Say can be.
const (
	sayAvailable       = "available"
	sayDown            = "down"
	sayRestricted      = "restricted"
	sayPossible        = "possible network blocking"
	sayConfirmed       = "confirmed blocking"
	sayServerSide      = "server-side restriction"
	sayTampering       = "tampering or edge cache"
	sayVantage         = "vantage or tool problem, or a general outage"
	sayGhost           = "ghost answer"
	sayDegraded        = "degraded"
	sayCannot          = "cannot tell"
	sayFailsFromHere   = "fails from the only vantage"
	sayContradictory   = "differs between vantages"
	blockedAddressRule = "known address"
)

type seen struct {
	i       int
	o       *survey.Observation
	v       *survey.Verdict
	void    bool
	network bool // failed before a page came
}

// conclude puts the vantages of each mirror together by the decision table of classification.md 5. "Blocked" is a statement about
// two vantages or more; with one there is none.
func (j *judge) conclude(verdicts []survey.Verdict) []survey.Conclusion {
	out := []survey.Conclusion{}
	by := map[survey.Host][]seen{}
	var order []survey.Host
	fromVantage := map[string][]seen{}
	for i := range verdicts {
		o := j.c.Views[i].Observation
		if o == nil {
			continue
		}
		_, void := j.c.VoidVantages[o.Vantage]
		s := seen{i, o, &verdicts[i], void, verdicts[i].Verdict == survey.FetchFailed && o.Stage.Network() && o.Outcome.StatusCode() == 0}
		if _, ok := by[o.Mirror]; !ok {
			order = append(order, o.Mirror)
		}
		by[o.Mirror] = append(by[o.Mirror], s)
		if !void {
			fromVantage[o.Vantage] = append(fromVantage[o.Vantage], s)
		}
	}
	for _, host := range order {
		var live []seen
		for _, s := range by[host] {
			if !s.void {
				live = append(live, s)
			}
		}
		for _, s := range live {
			out = append(out, j.say(s, live, fromVantage[s.o.Vantage]))
		}
	}
	return out
}

func (j *judge) say(s seen, all, vantage []seen) survey.Conclusion {
	c := survey.Conclusion{Mirror: s.o.Mirror, Vantage: s.o.Vantage, Confidence: survey.Medium}
	set := func(say string, conf survey.Confidence, format string, args ...any) survey.Conclusion {
		c.Say, c.Confidence, c.Why = say, conf, fmt.Sprintf(format, args...)
		return c
	}
	var better *seen // a vantage from which this mirror serves the article
	known, failing := 0, 0
	var nxdomain bool
	for k := range all {
		o := &all[k]
		if o.v.State != survey.Unknown {
			known++
		}
		if o.v.State == survey.Down {
			failing++
		}
		if o.i != s.i {
			if o.v.State == survey.Up && better == nil {
				better = o
			}
			nxdomain = nxdomain || o.o.Outcome == survey.NXDomain
		}
	}
	othersUp, othersDown := 0, 0
	for _, o := range vantage {
		if o.o.Mirror == s.o.Mirror {
			continue
		}
		switch o.v.State {
		case survey.Up, survey.Degraded:
			othersUp++
		case survey.Down:
			othersDown++
		}
	}
	serverSide := s.v.PageClass == survey.ClassChallenge || s.v.PageClass == survey.ClassAccessDenied || s.o.Outcome == survey.RateLimited || s.o.Status != nil && (*s.o.Status == 403 || *s.o.Status == 429) && s.v.PageClass != survey.ClassBlockPage
	evidence := j.blockEvidence(s)
	switch {
	case s.v.State == survey.Up && nxdomain:
		return set(sayGhost, survey.Low, "The name resolves from %s, while another vantage is told that it does not exist; yet the page holds the article.", s.o.Vantage)
	case s.v.State == survey.Up:
		return set(sayAvailable, s.v.Confidence, "The article is there, seen from %s.", s.o.Vantage)
	case nxdomain && s.o.Outcome != survey.NXDomain && s.v.State == survey.Down:
		return set(sayGhost, survey.Low, "The name resolves only from %s, and what answers is not the article: a false answer for a name that is gone, or a hijack.", s.o.Vantage)
	case serverSide && (better != nil || s.v.State == survey.Unknown):
		if better == nil {
			return set(sayServerSide, survey.Low, "The site or its delivery network asks something of this visitor or turns it away; this is no network blocking.")
		}
		return set(sayServerSide, survey.Medium, "The site or its delivery network turns away %s; from %s the article is there. This is no network blocking.", s.o.Vantage, better.o.Vantage)
	case s.v.State == survey.Unknown:
		return set(sayCannot, survey.Low, "Nothing certain was seen from %s.", s.o.Vantage)
	case s.v.State == survey.Degraded && better != nil && s.v.Verdict == survey.Altered:
		why := "compare what each vantage gets over time"
		if s.o.TLS == nil {
			why = "the page came without TLS, so anybody on the way could have changed it"
		}
		return set(sayTampering, survey.Low, "From %s the text is altered, from %s it is not: %s.", s.o.Vantage, better.o.Vantage, why)
	case s.v.State == survey.Degraded:
		return set(sayDegraded, s.v.Confidence, "The article is there, but not whole or not unchanged.")
	case better != nil:
		where := fmt.Sprintf("restricted from %s at stage %s", s.o.Vantage, s.o.Stage)
		if evidence != "" {
			return set(sayConfirmed, survey.High, "The mirror is %s, and %s; from %s the article is there.", where, evidence, better.o.Vantage)
		}
		if j.repeated(s) && othersUp > 0 {
			return set(sayPossible, survey.Medium, "The mirror is %s, at least %d times over %s, while other mirrors work from there and the mirror works from %s.", where, blockingTimes, blockingSpan, better.o.Vantage)
		}
		return set(sayRestricted+" from "+s.o.Vantage+" at stage "+string(s.o.Stage), survey.Low, "From %s the article is there. Said once: repeat it before calling it blocking.", better.o.Vantage)
	case othersUp == 0 && othersDown > 0 && s.network:
		return set(sayVantage, survey.Low, "From %s every mirror fails: think of this vantage or this tool first, then of an outage.", s.o.Vantage)
	case known == 1:
		conf := survey.Medium
		if s.network {
			conf = survey.Low
		}
		return set(sayDown, conf, "%s Seen from one vantage only, so nothing is said about blocking.", j.downWhy(s))
	case failing == known && sameFailure(all):
		return set(sayDown, survey.High, "%s It fails the same way from every vantage.", j.downWhy(s))
	case failing == known:
		return set(sayDown, survey.Medium, "%s It fails from every vantage, though not in the same way.", j.downWhy(s))
	}
	return set(sayContradictory, survey.Low, "The vantages see different things, and none sees the article.")
}

func (j *judge) downWhy(s seen) string {
	if w, ok := classWords[s.v.PageClass]; ok && s.v.Verdict == survey.Interstitial {
		return "What comes is " + w + "."
	}
	if s.v.Verdict == survey.DifferentPage {
		return "What comes is another page."
	}
	return failureSentence(s.o)
}

func sameFailure(all []seen) bool {
	var first *seen
	for k := range all {
		s := &all[k]
		if s.v.State != survey.Down {
			continue
		}
		if first == nil {
			first = s
		} else if s.o.Stage != first.o.Stage || s.o.Outcome != first.o.Outcome || s.v.PageClass != first.v.PageClass {
			return false
		}
	}
	return first != nil
}

// repeated reports whether the failure was seen often enough for "possible network blocking", this time counted.
func (j *judge) repeated(s seen) bool {
	if j.c.Earlier == nil || !s.network && s.v.PageClass != survey.ClassBlockPage {
		return false
	}
	times := j.c.Earlier(s.o.Mirror, s.o.Vantage)
	if len(times)+1 < blockingTimes {
		return false
	}
	oldest := times[0]
	for _, t := range times {
		if t.Before(oldest) {
			oldest = t
		}
	}
	return s.o.ObservedAt.Sub(oldest) >= blockingSpan
}

// blockEvidence says what proves a block: a listed fingerprint, an extended DNS error, status 451, or a known address.
func (j *judge) blockEvidence(s seen) string {
	if s.v.PageClass == survey.ClassLegal451 {
		return "the server says so itself (status 451)"
	}
	if s.o.Outcome == survey.KnownBlockAddress {
		return "its name resolves to a known blocking address"
	}
	for _, q := range s.o.DNS {
		for _, e := range q.EDE {
			if e.Code == 4 || e.Code >= 15 && e.Code <= 18 {
				return fmt.Sprintf("the resolver says so itself (extended DNS error %d)", e.Code)
			}
		}
	}
	for _, m := range s.v.Matched {
		for _, l := range j.rules.lists {
			if m.List != l.version {
				continue
			}
			for k := range l.prints {
				p := &l.prints[k]
				if p.id == m.Rule && p.field == "name" && s.v.State == survey.Down {
					return "its name resolves to a " + blockedAddressRule + " of list " + l.version
				}
				if p.id == m.Rule && p.scope != scopeFP && p.scope != "vbw" && p.field != "name" && s.v.PageClass == survey.ClassBlockPage {
					return "list " + l.version + " knows the page as " + p.id
				}
			}
		}
	}
	return ""
}
