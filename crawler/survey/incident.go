package survey

import "time"

// IncidentState is where an incident stands: suspect, open, flapping or closed.
type IncidentState string

const (
	Suspect        IncidentState = "suspect"  // failed, but not often enough to be told
	IncidentOpen   IncidentState = "open"     // told
	Flapping       IncidentState = "flapping" // open, and coming and going: closed only when it has been calm
	IncidentClosed IncidentState = "closed"
)

// Live reports whether the incident has been told and not closed.
func (s IncidentState) Live() bool { return s == IncidentOpen || s == Flapping }

// Incident is a verdict that persists, with one cause: a mirror, or one article of it.
type Incident struct {
	ID      string        `json:"id"`
	Site    string        `json:"site"`
	Mirror  Host          `json:"mirror"`
	Article string        `json:"article"` // URL on the primary; empty: the mirror as a whole
	State   IncidentState `json:"state"`
	// Severity is the worst that was confirmed, degraded or down; Now is the newest known state.
	Severity State `json:"severity"`
	Now      State `json:"now"`
	// Cause is in what way it fails: unreachable, status_503, page:seizure_banner, altered, ...
	Cause string `json:"cause"`
	// Affected and Of count the mirror's articles that failed in the newest run that saw it fail, and those judged then.
	Affected int `json:"affected"`
	Of       int `json:"of"`
	// Vantages fail, out of so many that could see it. All of them failing confirms it from a second side.
	Vantages   []string `json:"vantages"`
	VantagesOf int      `json:"vantages_of"`

	Started time.Time  `json:"started"` // the first failed run
	Opened  *time.Time `json:"opened"`
	Closed  *time.Time `json:"closed"`
	Acked   *time.Time `json:"acked"`
	AckedBy string     `json:"acked_by"`
	// Why it was closed: recovered, removed.
	Why       string     `json:"why"`
	Reminded  *time.Time `json:"reminded"`
	Reminders int        `json:"reminders"`
	BadRuns   int        `json:"bad_runs"`
	// LastGood is the snapshot of the newest good visit before it began, empty when there is none.
	LastGood string `json:"last_good"`
	// Evidence of the first failed runs and of the newest, bounded.
	Evidence []Evidence `json:"evidence"`
}

// Duration is how long the incident lasted until at, or until it was closed.
func (i Incident) Duration(at time.Time) time.Duration {
	if i.Closed != nil {
		at = *i.Closed
	}
	return at.Sub(i.Started)
}

// Evidence is what one run saw of an incident on one article.
type Evidence struct {
	Run      RunID       `json:"run"`
	At       time.Time   `json:"at"`
	Article  string      `json:"article"`
	Vantage  string      `json:"vantage"`
	State    State       `json:"state"`
	Verdict  VerdictWord `json:"verdict"`
	Page     PageClass   `json:"page_class"`
	Stage    Stage       `json:"stage"`
	Outcome  Outcome     `json:"outcome"`
	Reason   string      `json:"reason"`
	Snapshot string      `json:"snapshot"`
	Records  []RecordID  `json:"records"`
}

// EventKind is what happened to an incident.
type EventKind string

const (
	Opened   EventKind = "opened"
	Worsened EventKind = "worsened" // degraded before, down now: at most once in an incident
	Reminded EventKind = "reminded"
	Closed   EventKind = "closed"
)

// IncidentEvent is one thing that happened to an incident. Its ID is the same whenever the same runs are evaluated, so
// that it is told once. Silent events are kept and told nobody.
type IncidentEvent struct {
	ID       string    `json:"id"`
	Kind     EventKind `json:"kind"`
	At       time.Time `json:"at"`
	Run      RunID     `json:"run"`
	Silent   bool      `json:"silent"`
	Incident Incident  `json:"incident"`
}

// Row is the incident as history files it, without Doc.
func (i Incident) Row() IncidentRow {
	vantage := ""
	if len(i.Vantages) == 1 {
		vantage = i.Vantages[0]
	}
	return IncidentRow{ID: i.ID, Site: i.Site, Mirror: i.Mirror, Vantage: vantage, Article: i.Article, Cause: i.Cause, State: string(i.State),
		Started: i.Started, Opened: i.Opened, Closed: i.Closed, Acked: i.Acked, AckedBy: i.AckedBy}
}
