// Package reports turns a finished run, and what history remembers, into pages and files that people and programs read.
//
// Everything that came from a mirror is hostile here: titles, reasons, addresses, header values. Each format escapes for
// its own reader after Visible has made control and direction characters harmless; the JSON formats keep the values as
// they are, as JSON itself escapes them. The same values give the same bytes.
package reports

import (
	"time"

	"mirrorwatch/crawler/survey"
)

// View is everything the HTML page shows, computed beforehand: the package asks no database and no clock.
type View struct {
	Report survey.Report
	// Now is when the page is written; a run whose next one is overdue by then is called stale. Zero: the run's end.
	Now       time.Time
	Mirrors   []survey.MirrorHistory // one per site, mirror and vantage; may be empty
	Snapshots []survey.SnapshotRow   // newest first
	Runs      []survey.RunRow        // newest first, the shown one included
	States    []survey.StateInterval // newest first: what changed
	Incidents []survey.IncidentRow   // newest first
	Lags      []survey.LagStat       // how much later than on the primary articles came; may be empty
	// Linked is set when the page lies beside the other files of the report (see Files): then it names them.
	Linked bool
	// Command and DataDir make the restore commands; empty: "mirrorwatch" and no --data.
	Command string
	DataDir string
	// ReplayURL is where snapshots can be opened ("https://replay.example"), empty when nowhere: then the restore
	// command alone stands there.
	ReplayURL string
}
