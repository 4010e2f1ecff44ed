package incident

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

var t0 = time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)

// see makes a sighting: g good, d down (refused), s down (status 503), a altered, u unknown.
func see(mirror, article, vantage string, c rune) Sighting {
	s := Sighting{Site: "presstv", Mirror: survey.Host(mirror), Article: article, Listed: true,
		Evidence: survey.Evidence{Article: article, Vantage: vantage, State: survey.Up, Verdict: survey.Identical, Stage: survey.StageContent, Outcome: survey.OK}}
	v := &s.Evidence
	switch c {
	case 'g':
	case 'd':
		v.State, v.Verdict, v.Stage, v.Outcome = survey.Down, survey.FetchFailed, survey.StageConnect, survey.ConnectionRefused
	case 's':
		v.State, v.Verdict, v.Stage, v.Outcome = survey.Down, survey.FetchFailed, survey.StageHTTP, "status_503"
	case 'c':
		v.State, v.Verdict, v.Stage, v.Outcome = survey.Down, survey.FetchFailed, survey.StageTLS, survey.CertificateExpired
	case 'p':
		v.State, v.Verdict, s.Class = survey.Down, survey.Interstitial, survey.ClassSeizureBanner
	case 'a':
		v.State, v.Verdict = survey.Degraded, survey.Altered
	case 'u':
		v.State, v.Verdict = survey.Unknown, survey.Undetermined
	case 'm':
		v.State, v.Verdict, v.Outcome, s.Maintenance = survey.Down, survey.FetchFailed, survey.ConnectionRefused, true
	default:
		panic(string(c))
	}
	return s
}

// machine carries tracks over runs, as cmd does with the history's help.
type machine struct {
	tracks map[Key]Track
	n      int
	events []string // "run kind article cause"
	all    []survey.IncidentEvent
	last   Result
}

func (m *machine) run(in Input, rules Rules) Result {
	if m.tracks == nil {
		m.tracks = map[Key]Track{}
	}
	if in.At.IsZero() {
		in.At = t0.Add(time.Duration(m.n) * time.Hour)
	}
	in.Run = survey.RunID(fmt.Sprint("r", m.n))
	r := Evaluate(m.tracks, in, rules)
	for _, t := range r.Tracks {
		m.tracks[t.Key()] = t
	}
	for _, k := range r.Gone {
		delete(m.tracks, k)
	}
	for _, e := range r.Events {
		text := fmt.Sprintf("%d %s %s", m.n, e.Kind, what(e.Incident))
		if e.Silent {
			text += " silent"
		}
		m.events = append(m.events, text)
		m.all = append(m.all, e)
	}
	m.n++
	m.last = r
	return r
}

func what(in survey.Incident) string {
	name := in.Article
	if name == "" {
		name = "mirror"
	}
	return name + " " + in.Cause + " " + string(in.Severity) + " " + string(in.State)
}

// TestSeries gives one mirror's articles as lines of letters, one column a run.
func TestSeries(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules Rules
		rows  []string // one article each
		want  []string
	}{
		{"one failure is not told", Rules{}, []string{"gggdggg"}, nil},
		{"two failures are not told", Rules{}, []string{"ggddggg"}, nil},
		{"three are, and two good ones close", Rules{}, []string{"gdddgdgg"},
			[]string{"3 opened mirror unreachable down open", "7 closed mirror unreachable down closed"}},
		{"down_after 1, up_after 1", Rules{DownAfter: 1, UpAfter: 1}, []string{"gdg"},
			[]string{"1 opened mirror unreachable down open", "2 closed mirror unreachable down closed"}},
		{"by time", Rules{DownAfter: 100, DownFor: 2 * time.Hour}, []string{"gddddgg"},
			[]string{"3 opened mirror unreachable down open", "6 closed mirror unreachable down closed"}},
		{"unknown moves nothing", Rules{}, []string{"gduduudugugug"},
			[]string{"6 opened mirror unreachable down open", "10 closed mirror unreachable down closed"}},
		{"unknown only", Rules{}, []string{"uuuuuuu"}, nil},
		{"maintenance moves nothing", Rules{}, []string{"gdmmmmmdg"}, nil},
		{"down behind maintenance", Rules{}, []string{"gmmmddd"}, []string{"6 opened mirror unreachable down open"}},
		{"from the first run", Rules{}, []string{"ddd"}, []string{"2 opened mirror unreachable down open"}},
		{"degraded", Rules{}, []string{"gaaaagg"},
			[]string{"3 opened mirror altered degraded open", "6 closed mirror altered degraded closed"}},
		{"degraded, then down", Rules{}, []string{"gaaadddagg"},
			[]string{"3 opened mirror altered degraded open", "6 worsened mirror unreachable down open", "9 closed mirror unreachable down closed"}},
		{"degraded is no recovery", Rules{}, []string{"gdddaaaagg"},
			[]string{"3 opened mirror unreachable down open", "9 closed mirror unreachable down closed"}},
		{"other causes in a row are one incident", Rules{}, []string{"gdspdgg"},
			[]string{"3 opened mirror page:seizure_banner down open", "6 closed mirror page:seizure_banner down closed"}},
		{"reminded by interval", Rules{Remind: 3 * time.Hour}, []string{"gddddddddddgg"},
			[]string{"3 opened mirror unreachable down open", "6 reminded mirror unreachable down open", "9 reminded mirror unreachable down open", "12 closed mirror unreachable down closed"}},
		{"no reminder while it recovers or is unknown", Rules{Remind: 2 * time.Hour}, []string{"dddguuudgg"},
			[]string{"2 opened mirror unreachable down open", "7 reminded mirror unreachable down open", "9 closed mirror unreachable down closed"}},
		{"flapping is one incident", Rules{}, []string{"gdgdgdgdgdgdgdgdgg" + strings.Repeat("g", 22)},
			[]string{"9 opened mirror unreachable down flapping", "33 closed mirror unreachable down closed"}},
		{"flapping closes when calm", Rules{Window: 8, FlapOn: 4, FlapOff: 1}, []string{"gdgdgdgggggggggg"},
			[]string{"5 opened mirror unreachable down flapping", "12 closed mirror unreachable down closed"}},

		{"one article of four", Rules{}, []string{"gddddggg", "gggggggg", "gggggggg", "gggggggg"},
			[]string{"3 opened A0 unreachable down open", "6 closed A0 unreachable down closed"}},
		{"all articles: one incident", Rules{}, []string{"gdddgg", "gdddgg", "gdddgg", "gdddgg"},
			[]string{"3 opened mirror unreachable down open", "5 closed mirror unreachable down closed"}},
		{"most articles the same way: one incident", Rules{}, []string{"gdddgg", "gdddgg", "gdddgg", "gggggg"},
			[]string{"3 opened mirror unreachable down open", "5 closed mirror unreachable down closed"}},
		{"half of them is not most", Rules{}, []string{"gsssgg", "gsssgg", "gggggg", "gggggg"},
			[]string{"3 opened A0 server_error down open", "3 opened A1 server_error down open", "5 closed A0 server_error down closed", "5 closed A1 server_error down closed"}},
		{"slow recovery is one incident", Rules{}, []string{"gdddddddgg", "gddddddggg", "gdddddgggg", "gddddggggg"},
			[]string{"3 opened mirror unreachable down open", "8 closed mirror unreachable down closed"}},
		{"what stays behind counts for itself", Rules{}, []string{"gdddsssss", "gdddggggg", "gdddggggg", "gdddggggg"},
			[]string{"3 opened mirror unreachable down open", "5 closed mirror unreachable down closed", "6 opened A0 server_error down open"}},
		{"first one article, then the whole", Rules{}, []string{"gdddddddgg", "ggggddddgg", "ggggddddgg", "ggggddddgg"},
			[]string{"3 opened A0 unreachable down open", "6 closed A0 unreachable down closed silent", "6 opened mirror unreachable down open", "9 closed mirror unreachable down closed"}},
		{"an article's own cause stays its own", Rules{}, []string{"gsssssssgg", "ggggddddgg", "ggggddddgg", "ggggddddgg"},
			[]string{"3 opened A0 server_error down open", "6 opened mirror unreachable down open", "9 closed A0 server_error down closed", "9 closed mirror unreachable down closed"}},
		{"altered for a day", Rules{}, []string{"g" + strings.Repeat("a", 24) + "gg", "g" + strings.Repeat("a", 24) + "gg", "g" + strings.Repeat("a", 24) + "gg"},
			[]string{"3 opened mirror altered degraded open", "26 closed mirror altered degraded closed"}},
		{"certificate", Rules{}, []string{"gcccgg", "gcccgg"}, []string{"3 opened mirror certificate down open", "5 closed mirror certificate down closed"}},
		{"a run that learned little", Rules{}, []string{"gddduuddgg", "gddduuddgg", "gdddguddgg", "gddduuddgg"},
			[]string{"3 opened mirror unreachable down open", "9 closed mirror unreachable down closed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &machine{}
			for i := range c.rows[0] {
				var in Input
				for a, row := range c.rows {
					in.Sightings = append(in.Sightings, see("m.example", fmt.Sprint("A", a), "direct", rune(row[i])))
				}
				m.run(in, c.rules)
			}
			got, want := append([]string{}, m.events...), c.want
			if strings.Join(sortedEvents(got), "\n") != strings.Join(sortedEvents(append([]string{}, want...)), "\n") {
				t.Errorf("events:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
}

func sortedEvents(l []string) []string {
	set := map[string]bool{}
	for _, s := range l {
		set[s] = true
	}
	return sorted(set)
}

func TestVoidRunsMoveNothing(t *testing.T) {
	m := &machine{}
	for i := range 10 {
		in := Input{Sightings: []Sighting{see("m.example", "A", "direct", 'd')}}
		if i > 0 {
			in.Void = i%2 == 0
			if !in.Void {
				in.VoidVantages = []string{"direct"}
			}
		}
		r := m.run(in, Rules{Remind: time.Hour})
		if i > 0 && (len(r.Events)+len(r.Incidents) > 0 || len(r.Tracks) > 0) {
			t.Fatalf("run %d: %+v", i, r)
		}
	}
}

func TestVantages(t *testing.T) {
	m := &machine{}
	for range 4 {
		m.run(Input{Sightings: []Sighting{see("m.example", "A", "direct", 'g'), see("m.example", "A", "tor", 'd')}}, Rules{})
	}
	if len(m.all) != 1 || fmt.Sprint(m.all[0].Incident.Vantages, m.all[0].Incident.VantagesOf) != "[tor] 2" {
		t.Fatalf("%+v", m.all)
	}
	// The other vantage fails too: the same incident. A void vantage is left out.
	r := m.run(Input{Sightings: []Sighting{see("m.example", "A", "direct", 'd'), see("m.example", "A", "tor", 'd')}}, Rules{})
	if in := r.Incidents[0]; len(in.Vantages) != 2 || len(m.all) != 1 {
		t.Errorf("%+v", in)
	}
	r = m.run(Input{VoidVantages: []string{"tor"}, Sightings: []Sighting{see("m.example", "A", "direct", 'g'), see("m.example", "A", "tor", 'd')}}, Rules{UpAfter: 1})
	if len(r.Events) != 1 || r.Events[0].Kind != survey.Closed {
		t.Errorf("%+v", r.Events)
	}
}

func TestRemovedTargets(t *testing.T) {
	targets := func(keys ...Key) map[Key]bool {
		set := map[Key]bool{}
		for _, k := range keys {
			set[k] = true
		}
		return set
	}
	a, b, other := Key{"presstv", "m.example", "A"}, Key{"presstv", "m.example", "B"}, Key{"presstv", "n.example", "A"}
	m := &machine{}
	for range 3 {
		m.run(Input{All: true, Targets: targets(a, b, other), Sightings: []Sighting{see("m.example", "A", "direct", 'd'), see("m.example", "B", "direct", 'g'), see("n.example", "A", "direct", 'd')}}, Rules{})
	}
	m.run(Input{Targets: targets(a), Covers: map[string]bool{"elsewhere": true}}, Rules{})
	if len(m.all) != 2 {
		t.Fatalf("a run over another site removes nothing: %v", m.events)
	}
	r := m.run(Input{Covers: map[string]bool{"presstv": true}, Targets: targets(b, other)}, Rules{})
	if len(r.Events) != 1 || !r.Events[0].Silent || r.Events[0].Incident.Why != "removed" || r.Events[0].Incident.Article != "A" {
		t.Fatalf("%+v", r.Events)
	}
	r = m.run(Input{All: true, Targets: targets(b)}, Rules{})
	if len(r.Events) != 1 || !r.Events[0].Silent || r.Events[0].Incident.Mirror != "n.example" || len(m.tracks) != 2 {
		t.Fatalf("%+v\n%v", r.Events, m.tracks)
	}
}

func TestPartialRunSaysNothingOfTheMirror(t *testing.T) {
	m := &machine{}
	all := func(c rune) (in Input) {
		for i := range 8 {
			in.Sightings = append(in.Sightings, see("m.example", fmt.Sprint("A", i), "direct", c))
		}
		return in
	}
	for _, c := range "gddd" {
		m.run(all(c), Rules{})
	}
	for range 4 {
		m.run(Input{Sightings: all('g').Sightings[:2]}, Rules{}) // check URL URL
	}
	if len(m.events) != 1 {
		t.Fatalf("%v", m.events)
	}
	m.run(Input{Sightings: all('d').Sightings[:2]}, Rules{})
	if len(m.last.Live) != 2 || len(m.events) != 1 {
		t.Errorf("live %v, events %v", m.last.Live, m.events)
	}
}

func TestEvidenceIsBoundedAndKept(t *testing.T) {
	m := &machine{}
	for i := range 100 {
		s := see("m.example", "A", "direct", 'd')
		s.Evidence.Snapshot = fmt.Sprint("snap", i)
		m.run(Input{Sightings: []Sighting{s}, LastGood: func(k Key) string { return "good of " + k.Article }}, Rules{})
	}
	in := m.last.Incidents[0]
	if len(in.Evidence) != maxEvidence || in.Evidence[0].Snapshot != "snap0" || in.Evidence[maxEvidence-1].Snapshot != "snap99" || in.LastGood != "good of " || in.BadRuns != 100 {
		t.Errorf("%+v", in)
	}
}

func TestAcknowledgedIsNotReminded(t *testing.T) {
	m := &machine{}
	in := Input{Sightings: []Sighting{see("m.example", "A", "direct", 'd')}}
	for range 3 {
		m.run(in, Rules{Remind: time.Hour})
	}
	k := Key{"presstv", "m.example", ""}
	tr := m.tracks[k]
	i := *tr.Incident
	i.Acked = survey.Ptr(t0)
	tr.Incident = &i
	m.tracks[k] = tr
	for range 5 {
		m.run(in, Rules{Remind: time.Hour})
	}
	if len(m.events) != 1 {
		t.Errorf("%v", m.events)
	}
}

// TestProperties runs random series of a mirror with few articles, with void runs, unknowns, restarts and removals, and
// holds every run to what must always be true.
func TestProperties(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		m := &machine{}
		rules := Rules{DownAfter: 1 + rnd.IntN(4), UpAfter: 1 + rnd.IntN(3), Remind: time.Duration(rnd.IntN(3)) * 5 * time.Hour}
		articles := 1 + rnd.IntN(6)
		mood := make([]rune, articles)
		open := map[Key]string{} // the incident told and not closed
		ids := map[string]bool{}
		for run := range 200 {
			in := Input{All: true, Targets: map[Key]bool{}}
			in.Void = rnd.IntN(20) == 0
			worst := rnd.IntN(15) == 0
			for a := range articles {
				if mood[a] == 0 || rnd.IntN(6) == 0 {
					mood[a] = []rune("ggggdsa")[rnd.IntN(7)]
				}
				if worst {
					mood[a] = 'd'
				}
				c := mood[a]
				if rnd.IntN(12) == 0 {
					c = []rune("um")[rnd.IntN(2)]
				}
				name := fmt.Sprint("A", a)
				if rnd.IntN(60) != 0 { // else it is out of the file for a run
					in.Targets[Key{"presstv", "m.example", name}] = true
					if rnd.IntN(30) != 0 { // else the run was cut short
						in.Sightings = append(in.Sightings, see("m.example", name, "direct", c))
					}
				}
			}
			copied, docs := map[Key]Track{}, map[Key]survey.Incident{}
			for k, v := range m.tracks {
				copied[k] = v
				if v.Incident != nil {
					docs[k] = *v.Incident
				}
			}
			r := m.run(in, rules)
			// Pure: the same again gives the same, and the input is as it was.
			for k, v := range docs {
				if now := *copied[k].Incident; now.BadRuns != v.BadRuns || now.State != v.State || len(now.Evidence) != len(v.Evidence) {
					t.Fatalf("seed %d run %d: the input was changed", seed, run)
				}
			}
			in.At, in.Run = t0.Add(time.Duration(run)*time.Hour), survey.RunID(fmt.Sprint("r", run))
			if again := Evaluate(copied, in, rules); len(again.Events) != len(r.Events) || len(r.Events) > 0 && again.Events[0].ID != r.Events[0].ID {
				t.Fatalf("seed %d run %d: not the same events again", seed, run)
			}
			if in.Void && len(r.Events)+len(r.Tracks)+len(r.Gone) > 0 {
				t.Fatalf("seed %d run %d: a void run moved something", seed, run)
			}
			for _, e := range r.Events {
				if ids[e.ID] {
					t.Fatalf("seed %d run %d: event %s twice", seed, run, e.ID)
				}
				ids[e.ID] = true
				k := Key{e.Incident.Site, e.Incident.Mirror, e.Incident.Article}
				switch e.Kind {
				case survey.Opened:
					if open[k] != "" {
						t.Fatalf("seed %d run %d: %s opened while %s is open", seed, run, e.Incident.ID, open[k])
					}
					open[k] = e.Incident.ID
				case survey.Closed:
					if open[k] != e.Incident.ID {
						t.Fatalf("seed %d run %d: %s closed while %q is open", seed, run, e.Incident.ID, open[k])
					}
					delete(open, k)
					if e.Incident.Closed == nil || e.Incident.Duration(time.Time{}) < 0 {
						t.Fatalf("seed %d run %d: no duration: %+v", seed, run, e.Incident)
					}
				default:
					if open[k] != e.Incident.ID {
						t.Fatalf("seed %d run %d: %s of %s, which is not open", seed, run, e.Kind, e.Incident.ID)
					}
				}
			}
			// What is told as open is what the tracks hold; a mirror and its article are never told for one cause at once
			// when the mirror was told last.
			for k, tr := range m.tracks {
				live := tr.Incident != nil && tr.Incident.State.Live()
				if live != (open[k] != "") {
					t.Fatalf("seed %d run %d: %v: live %t, told %q", seed, run, k, live, open[k])
				}
				if len(tr.Ring) > 20 || tr.Incident != nil && len(tr.Incident.Evidence) > maxEvidence {
					t.Fatalf("seed %d run %d: unbounded: %+v", seed, run, tr)
				}
			}
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	m := &machine{}
	var in Input
	for h := range 4 {
		for a := range 20 {
			in.Sightings = append(in.Sightings, see(fmt.Sprint("m", h), fmt.Sprint("A", a), "direct", 'g'))
		}
	}
	for b.Loop() {
		m.run(in, Rules{})
	}
}
