package history

import (
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestIncidentKeepsItsAcknowledgement(t *testing.T) {
	db := open(t)
	in := survey.IncidentRow{ID: "i1", Mirror: "www.presstv.ir", Cause: "nxdomain", State: "open", Started: t0, Opened: survey.Ptr(t0.Add(time.Hour)), Acked: survey.Ptr(t0.Add(2 * time.Hour)), AckedBy: "ops"}
	if err := db.PutIncident(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	in.State, in.Acked, in.AckedBy, in.Closed = "closed", nil, "", survey.Ptr(t0.Add(3*time.Hour))
	if err := db.PutIncident(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	got, err := db.Incidents(t.Context(), time.Time{}, 0)
	if err != nil || len(got) != 1 || got[0].AckedBy != "ops" || got[0].Acked == nil || got[0].State != "closed" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := db.Incidents(t.Context(), t0.Add(4*time.Hour), 0); err != nil || len(got) != 0 {
		t.Errorf("closed before: %+v, %v", got, err)
	}
}
