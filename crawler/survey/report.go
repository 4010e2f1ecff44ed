package survey

import (
	"encoding/json"
	"time"
)

// The values in this file are what history hands to the report: rows and counts, already added up, never a judgement.

// Counts is how many observations of a span of time ended in each state. Void and Maintenance observations are counted
// there and in no other field.
type Counts struct {
	Up          int `json:"up"`
	Degraded    int `json:"degraded"`
	Down        int `json:"down"`
	Unknown     int `json:"unknown"`
	Void        int `json:"void"`
	Maintenance int `json:"maintenance"`
}

// Judged is the denominator of availability: observations that say something about the mirror.
func (c Counts) Judged() int { return c.Up + c.Degraded + c.Down }

// Total is every observation, the ones that say nothing included.
func (c Counts) Total() int { return c.Judged() + c.Unknown + c.Void + c.Maintenance }

// Availability is Up divided by Judged; ok is false when nothing was judged, which is neither 0 nor 1.
func (c Counts) Availability() (share float64, ok bool) {
	if c.Judged() == 0 {
		return 0, false
	}
	return float64(c.Up) / float64(c.Judged()), true
}

// Plus returns the sum of c and d.
func (c Counts) Plus(d Counts) Counts {
	return Counts{c.Up + d.Up, c.Degraded + d.Degraded, c.Down + d.Down, c.Unknown + d.Unknown, c.Void + d.Void, c.Maintenance + d.Maintenance}
}

// DayCount is one UTC day of one mirror. A day without a row was not observed: it has zero Counts.
type DayCount struct {
	Day time.Time `json:"day"`
	Counts
	// FirstByteMS is the mean time to the first byte of the answers of the day, null when there were none.
	FirstByteMS *float64 `json:"first_byte_ms"`
}

// MirrorHistory is the record of one mirror of one site from one vantage. The windows end at the time the caller asked
// for; H24 and D7 are summed from hourly counts, D30, D90 and Days from daily ones, all written by the same transactions.
type MirrorHistory struct {
	Site    string     `json:"site"`
	Mirror  Host       `json:"mirror"`
	Role    Role       `json:"role"`
	Vantage string     `json:"vantage"`
	State   State      `json:"state"` // worst state of its articles in their newest observations
	Since   *time.Time `json:"since"` // since when the worst article is in that state
	H24     Counts     `json:"h24"`
	D7      Counts     `json:"d7"`
	D30     Counts     `json:"d30"`
	D90     Counts     `json:"d90"`
	Days    []DayCount `json:"days"` // 90, oldest first, gaps filled with zero Counts
}

// StateInterval is a span in which one article on one mirror kept its state and verdict in every observation that was not
// void.
type StateInterval struct {
	Site    string      `json:"site"`
	Article string      `json:"article"`
	Mirror  Host        `json:"mirror"`
	Vantage string      `json:"vantage"`
	State   State       `json:"state"`
	Verdict VerdictWord `json:"verdict"`
	First   time.Time   `json:"first_seen"`
	Last    time.Time   `json:"last_seen"`
	// Before is the state of the interval before it, empty when this is the first.
	Before State `json:"before"`
}

// SnapshotRow is a snapshot with its verdict. When later visits met the same bytes with the same verdict, they have no
// row of their own: Last and Count grow.
type SnapshotRow struct {
	ID        RecordID    `json:"id"`
	Name      string      `json:"name"`
	Site      string      `json:"site"`
	Article   string      `json:"article"`
	Mirror    Host        `json:"mirror"`
	Vantage   string      `json:"vantage"`
	URL       string      `json:"url"`
	Time      time.Time   `json:"time"`
	Last      time.Time   `json:"last_seen"`
	Count     int         `json:"count"`
	State     State       `json:"state"`
	Verdict   VerdictWord `json:"verdict"`
	PageClass PageClass   `json:"page_class"`
	Payload   Digest      `json:"payload_digest"`
	// Flagged is set when the page came over unverified TLS or was imported: never a reference, donor or best.
	Flagged bool `json:"flagged"`
	// LeftOut counts requisites that the snapshot lacks.
	LeftOut int `json:"left_out"`
	// File, Offset and Length are where the page's record stands: a WARC relative to DIR/archive, octets of its gzip member.
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
}

// RunRow is one run with its counts.
type RunRow struct {
	Run     Run     `json:"run"`
	Summary Summary `json:"summary"`
}

// IncidentRow is one incident as history keeps it.
type IncidentRow struct {
	ID      string     `json:"id"`
	Site    string     `json:"site"`
	Mirror  Host       `json:"mirror"`
	Vantage string     `json:"vantage"`
	Article string     `json:"article"` // empty: the whole mirror
	Cause   string     `json:"cause"`
	State   string     `json:"state"` // suspect, open, closed
	Started time.Time  `json:"started"`
	Opened  *time.Time `json:"opened"`
	Closed  *time.Time `json:"closed"`
	Acked   *time.Time `json:"acked"`
	AckedBy string     `json:"acked_by"`
	// Doc is the incident's own JSON, read by its package only.
	Doc json.RawMessage `json:"doc,omitempty"`
}

// MarshalJSON writes a run that has not finished with "finished": null and its lists as lists.
func (r Run) MarshalJSON() ([]byte, error) {
	type plain Run
	if r.VoidVantages == nil {
		r.VoidVantages = []string{}
	}
	out := struct {
		plain
		Finished *time.Time `json:"finished"`
	}{plain: plain(r)}
	if !r.Finished.IsZero() {
		out.Finished = &r.Finished
	}
	return json.Marshal(out)
}

// MarshalJSON writes a certificate whose end is not known with "not_after": null.
func (t TLS) MarshalJSON() ([]byte, error) {
	type plain TLS
	out := struct {
		plain
		NotAfter *time.Time `json:"not_after"`
	}{plain: plain(t)}
	if !t.NotAfter.IsZero() {
		out.NotAfter = &t.NotAfter
	}
	return json.Marshal(out)
}

// WithLists returns a copy of r in which every list that the JSON document shows as a list is one: nil becomes empty.
// r itself is left alone.
func (r Report) WithLists() Report {
	if r.Schema == "" {
		r.Schema = Schema
	}
	r.Run.VoidVantages = list(r.Run.VoidVantages)
	r.Articles = append([]Check{}, r.Articles...)
	for i := range r.Articles {
		r.Articles[i] = r.Articles[i].WithLists()
	}
	r.Links = append([]Link{}, r.Links...)
	for i := range r.Links {
		r.Links[i].Parents = list(r.Links[i].Parents)
		r.Links[i].Results = list(r.Links[i].Results)
	}
	r.Candidates = list(r.Candidates)
	r.Sync = append([]Sync(nil), r.Sync...)
	for i := range r.Sync {
		s := &r.Sync[i]
		s.Missing, s.Arrivals, s.NeverArrived = list(s.Missing), list(s.Arrivals), list(s.NeverArrived)
	}
	r.Crawls = append([]Crawl(nil), r.Crawls...)
	for i := range r.Crawls {
		r.Crawls[i].Hygiene, r.Crawls[i].Traps = list(r.Crawls[i].Hygiene), list(r.Crawls[i].Traps)
	}
	return r
}

// WithLists is Report.WithLists for one Check.
func (c Check) WithLists() Check {
	c.Conclusions = list(c.Conclusions)
	c.Mirrors = append([]Finding{}, c.Mirrors...)
	for i := range c.Mirrors {
		f := &c.Mirrors[i]
		f.Redirects = list(f.Redirects)
		f.Tries = list(f.Tries)
		f.Captures = list(f.Captures)
		f.Reasons = list(f.Reasons)
		f.Matched = list(f.Matched)
		f.Changes = list(f.Changes)
		f.Hygiene = list(f.Hygiene)
		f.DNS = append([]Lookup{}, f.DNS...)
		for j := range f.DNS {
			f.DNS[j].EDE = list(f.DNS[j].EDE)
			f.DNS[j].Answers = list(f.DNS[j].Answers)
		}
	}
	return c
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// LagStat is how much later than on the primary the articles of a span of time came to a mirror, in seconds. An article
// that both had in the same run counts as 0.
type LagStat struct {
	Site     string  `json:"site"`
	Mirror   Host    `json:"mirror"`
	Vantage  string  `json:"vantage"`
	Articles int     `json:"articles"` // that were up on the primary and came to the mirror
	Missing  int     `json:"missing"`  // that were up on the primary and never yet on the mirror
	P50      float64 `json:"p50"`
	P90      float64 `json:"p90"`
	Max      float64 `json:"max"`
	// Bound is the usual time between runs: a lag is known no finer.
	Bound float64 `json:"bound"`
}
