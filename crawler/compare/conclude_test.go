package compare

import (
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

// TestConclusions is the decision table of classification.md 5.
func TestConclusions(t *testing.T) {
	from := func(vantage string, host survey.Host, role survey.Role, p *content.Page, edit ...func(*View)) View {
		return view(host, role, p, append([]func(*View){func(v *View) { v.Observation.Vantage = vantage }}, edit...)...)
	}
	fail := func(stage survey.Stage, outcome survey.Outcome) func(*View) {
		return func(v *View) {
			v.Observation.Status, v.Observation.Stage, v.Observation.Outcome, v.Observation.TLS = nil, stage, outcome, nil
		}
	}
	ede := func(v *View) {
		v.Observation.DNS = []survey.Lookup{{Type: "A", RCode: "NXDOMAIN", EDE: []survey.EDE{{Code: 16}}}}
	}
	const m = "www.presstv.co.uk"
	prim := func(vantage string) View { return from(vantage, "www.presstv.com", survey.Primary, healthy()) }
	often := func(survey.Host, string) []time.Time {
		return []time.Time{clock.Add(-40 * time.Minute), clock.Add(-20 * time.Minute)}
	}
	cases := []struct {
		name    string
		views   []View
		earlier func(survey.Host, string) []time.Time
		say     string // of the last view
	}{
		{"available", []View{prim("v"), from("v", m, survey.Alternate, healthy())}, nil, "available"},
		{"down everywhere", []View{prim("c"), prim("v"), from("c", m, survey.Alternate, nil, fail(survey.StageConnect, survey.ConnectionRefused)), from("v", m, survey.Alternate, nil, fail(survey.StageConnect, survey.ConnectionRefused))}, nil, "down"},
		{"restricted once", []View{prim("c"), prim("v"), from("c", m, survey.Alternate, healthy()), from("v", m, survey.Alternate, nil, fail(survey.StageTLS, survey.ConnectionReset))}, nil, "restricted from v at stage tls"},
		{"possible", []View{prim("c"), prim("v"), from("c", m, survey.Alternate, healthy()), from("v", m, survey.Alternate, nil, fail(survey.StageTLS, survey.ConnectionReset))}, often, "possible network blocking"},
		{"confirmed by EDE", []View{prim("c"), prim("v"), from("c", m, survey.Alternate, healthy()), from("v", m, survey.Alternate, nil, fail(survey.StageDNS, survey.FilteredEDE), ede)}, nil, "confirmed blocking"},
		{"server side", []View{prim("c"), prim("v"), from("c", m, survey.Alternate, healthy()), from("v", m, survey.Alternate, notice("Just a moment...", "Verify you are human"), header("cf-mitigated", "challenge"), status(403))}, nil, "server-side restriction"},
		{"all fail from here", []View{prim("c"), from("v", "www.presstv.com", survey.Primary, nil, fail(survey.StageConnect, survey.Timeout)), from("v", m, survey.Alternate, nil, fail(survey.StageConnect, survey.Timeout))}, nil, "vantage or tool problem, or a general outage"},
		{"tampering", []View{prim("c"), from("c", m, survey.Alternate, healthy()), from("v", m, survey.Alternate, page(headline, edited(t, "4,200", "200")))}, nil, "tampering or edge cache"},
		{"ghost", []View{prim("c"), from("c", m, survey.Alternate, nil, fail(survey.StageDNS, survey.NXDomain)), from("v", m, survey.Alternate, notice("Blocked", "This site is blocked by law"))}, nil, "ghost answer"},
		{"one vantage says nothing of blocking", []View{prim("v"), from("v", m, survey.Alternate, nil, fail(survey.StageConnect, survey.ConnectionReset))}, often, "down"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j := judgeCase(Case{Views: c.views, Earlier: c.earlier})
			last := j.Conclusions[len(j.Conclusions)-1]
			if last.Say != c.say {
				t.Errorf("say %q (%s), want %q", last.Say, last.Why, c.say)
			}
			if len(c.views) == 2 && strings.Contains(last.Say, "blocking") {
				t.Error("blocking said of one vantage")
			}
		})
	}
}
