package crawler

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"mirrorwatch/crawler/survey"
)

func delegationsKept(w *faultWorld) (n int, raw int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.exchange {
		if e.Probe.Purpose == survey.ForDelegation {
			n++
			for _, l := range e.Lookups {
				raw += len(l.Raw)
			}
		}
	}
	return n, raw
}

// The zone above is asked once per mirror, vantage and run; what it said stands in every check's observation and reasons, and
// its messages reach the sink.
func TestDelegationOnce(t *testing.T) {
	w := &faultWorld{testWorld: newWorld(t), parent: "ns1.fbi.seized.gov"}
	rcode(dns.RcodeServerFailure)(w)
	plan := w.faultPlan(faultHost)
	sp := &plan.Sites[0]
	sp.Articles = append(sp.Articles, survey.Article{Site: "test", URL: "https://" + faultHost + "/other"}, survey.Article{Site: "test", URL: "https://" + faultHost + "/third"})
	report := w.run(plan)
	if len(report.Articles) != 3 {
		t.Fatalf("%d articles", len(report.Articles))
	}
	cached := 0
	for _, c := range report.Articles {
		f := c.Mirrors[0]
		found := false
		for _, l := range f.DNS {
			if l.Outcome == survey.SeizedNS {
				found = true
				if l.Cached {
					cached++
				}
			}
		}
		if text := strings.Join(f.Reasons, " "); !found || !strings.Contains(text, ": seized.") || f.Stage != survey.StageDNS || f.Outcome != survey.ServFail {
			t.Errorf("%s: %s/%s %s, %+v", c.URL, f.Stage, f.Outcome, text, f.DNS)
		}
		if n := len(f.Captures); n == 0 || !strings.HasPrefix(f.Captures[n-1].URL, "dns:"+faultHost) {
			t.Errorf("%s: the evidence is not named: %+v", c.URL, f.Captures)
		}
	}
	if n, raw := delegationsKept(w); n != 1 || raw < 2 || w.asked.Load() != 2 && w.asked.Load() != 1 || cached != 2 {
		t.Errorf("%d exchanges with %d messages, %d questions, %d answers had before", n, raw, w.asked.Load(), cached)
	}
	w.rejudgedAlike()
}

// rejudgedAlike judges the stored checks again and wants the same verdicts.
func (w *faultWorld) rejudgedAlike() {
	w.t.Helper()
	n := 0
	for _, note := range w.notes {
		if note.Kind != survey.NoteCheck {
			continue
		}
		var rec CheckRecord
		if err := json.Unmarshal(note.Body, &rec); err != nil {
			w.t.Fatal(err)
		}
		j, _, err := Rejudge(context.Background(), rec, nil, w.config().Rules)
		if err != nil {
			w.t.Fatal(err)
		}
		for i, v := range j.Verdicts {
			n++
			if was := rec.Check.Mirrors[i].Verdict; strings.Join(was.Reasons, "|") != strings.Join(v.Reasons, "|") || was.Verdict != v.Verdict {
				w.t.Errorf("judged again: %s %v, was %s %v", v.Verdict, v.Reasons, was.Verdict, was.Reasons)
			}
		}
	}
	if n == 0 {
		w.t.Error("no check was stored")
	}
}

// Where the article is there, fails later than at DNS, or shows another kind of page, nobody is asked.
func TestDelegationNotAskedFor(t *testing.T) {
	for name, set := range map[string]func(*faultWorld){
		"the article": func(w *faultWorld) { w.says(ok(articlePage(faultHost))) },
		"503":         func(w *faultWorld) { w.says("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno") },
		"challenge": func(w *faultWorld) {
			w.says("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\ncf-mitigated: challenge\r\nContent-Length: 14\r\n\r\nJust a moment.")
		},
		"proxy": func(w *faultWorld) { w.socks(4) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &faultWorld{testWorld: newWorld(t), parent: "ns1.fbi.seized.gov"}
			set(w)
			w.look()
			if n, _ := delegationsKept(w); n != 0 || w.asked.Load() != 0 {
				t.Errorf("%d exchanges, %d questions", n, w.asked.Load())
			}
		})
	}
}

// A parent that nobody can find costs the mirror nothing: its verdict stands, and no mark is set.
func TestDelegationUnknown(t *testing.T) {
	w := &faultWorld{testWorld: newWorld(t)}
	rcode(dns.RcodeNameError)(w)
	f := w.look()
	for _, l := range f.DNS {
		if l.Engine == "parent" {
			t.Errorf("a parent was asked: %+v", l)
		}
	}
	if f.Outcome != survey.NXDomain || f.State != survey.Down {
		t.Errorf("%s/%s %s", f.Stage, f.Outcome, f.State)
	}
	n, _ := delegationsKept(w)
	if n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// The sink's trouble with the evidence stops the run.
func TestDelegationSinkFails(t *testing.T) {
	w := &faultWorld{testWorld: newWorld(t), parent: "ns1.sedoparking.com"}
	rcode(dns.RcodeNameError)(w)
	plan := w.faultPlan(faultHost)
	boom := errors.New("disk full")
	transport := plan.Sites[0].Transport
	plan.Sites[0].Transport = func(v survey.Vantage) (http.RoundTripper, error) {
		rt, err := transport(v)
		return tellingTransport{rt, func() { w.mu.Lock(); w.putErr = boom; w.mu.Unlock() }}, err
	}
	if _, err := Run(context.Background(), w.config(), plan, Stop{}); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

// tellingTransport calls before when a delegation is asked for.
type tellingTransport struct {
	http.RoundTripper
	before func()
}

func (t tellingTransport) Delegation(ctx context.Context, host string) ([]survey.Lookup, error) {
	t.before()
	return t.RoundTripper.(delegator).Delegation(ctx, host)
}
