package incident

import "mirrorwatch/crawler/survey"

// maxRecords bounds the records that one piece of evidence names.
const maxRecords = 4

// Sightings takes a run's document apart. listed says whether a site stands in the sites file; maintenance, whether a
// mirror was in a window when it was seen. Both may be nil.
func Sightings(doc survey.Report, listed func(site string) bool, maintenance func(site string, f survey.Finding) bool) []Sighting {
	var all []Sighting
	for _, c := range doc.Articles {
		for _, f := range c.Mirrors {
			s := Sighting{Site: c.Site, Article: c.URL, Mirror: f.Mirror, Class: f.PageClass, Evidence: survey.Evidence{
				Run: doc.Run.ID, At: f.ObservedAt, Article: c.URL, Vantage: f.Vantage, State: f.State, Verdict: f.Verdict.Verdict,
				Page: f.PageClass, Stage: f.Stage, Outcome: f.Outcome, Records: []survey.RecordID{}}}
			if len(f.Reasons) > 0 {
				s.Evidence.Reason = f.Reasons[0]
			}
			if f.Snapshot != nil {
				s.Evidence.Snapshot = *f.Snapshot
			}
			for i, c := range f.Captures {
				if i == maxRecords {
					break
				}
				s.Evidence.Records = append(s.Evidence.Records, c.RecordID)
			}
			if listed != nil {
				s.Listed = listed(c.Site)
			}
			if maintenance != nil {
				s.Maintenance = maintenance(c.Site, f)
			}
			all = append(all, s)
		}
	}
	return all
}
