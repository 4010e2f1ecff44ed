package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports/notify"
)

// TestNoticesAtMostOnce dies at every stage between the incident and the answer of the channel, and looks at what the next
// run does.
func TestNoticesAtMostOnce(t *testing.T) {
	for _, c := range []struct {
		stage string
		sends int // in all
		state history.NoticeState
	}{{"evaluate", 1, history.NoticeSent}, {"claim", 1, history.NoticeSent}, {"send", 0, history.NoticeUnknown}, {"sent", 1, history.NoticeUnknown}} {
		t.Run(c.stage, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			sends := 0
			var warned []string
			run := func(n int, kill string) {
				h, err := history.Open(path, history.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = h.Close() }()
				now := time.Date(2026, 1, 1, n, 17, 0, 0, time.UTC)
				b := &bookkeeper{history: h, rules: sites.Incidents{DownAfter: 1, UpAfter: 1}, now: func() time.Time { return now }, channels: notify.Names([]notify.Channel{{URL: "logger://"}}),
					warn: func(s string) { warned = append(warned, s) },
					send: func(context.Context, notify.Channel, []survey.IncidentEvent) error { sends++; return nil },
					kill: func(s string) {
						if s == kill {
							panic(errKilled)
						}
					}}
				defer func() {
					if p := recover(); p != nil && p != error(errKilled) {
						panic(p)
					}
				}()
				doc := yearRun(n, now, &fault{mirror: 1, article: -1, from: 0, to: 99, how: 'd'})
				if err := h.BeginRun(t.Context(), doc.Run); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(b.evaluate(t.Context(), &doc, scope{}), b.deliver(t.Context())); err != nil {
					t.Fatal(err)
				}
				if n > 0 && doc.Articles[3].Mirrors[1].Incident == nil {
					t.Error("the finding does not name its incident")
				}
			}
			run(0, c.stage)
			run(1, "")
			run(2, "")
			if sends != c.sends {
				t.Errorf("sent %d times, want %d", sends, c.sends)
			}
			h, err := history.Open(path, history.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.Close() }()
			list, err := h.Notices(t.Context(), "", 0)
			if err != nil || len(list) != 1 || list[0].State != c.state {
				t.Errorf("%+v, %v", list, err)
			}
			if unknown := strings.Contains(strings.Join(warned, "\n"), "delivery unknown"); unknown != (c.state == history.NoticeUnknown) {
				t.Errorf("warned: %q", warned)
			}
		})
	}
}

// TestFailedNoticesAreRetried fails a delivery, then lets it through in the next run; a channel that the file names no more
// ends the notice.
func TestFailedNoticesAreRetried(t *testing.T) {
	h, err := history.Open(filepath.Join(t.TempDir(), "history.db"), history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	fail, sends := true, 0
	now := time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)
	b := &bookkeeper{history: h, rules: sites.Incidents{DownAfter: 1, UpAfter: 1}, now: func() time.Time { return now }, channels: notify.Names([]notify.Channel{{URL: "logger://"}, {Exec: []string{"/bin/gone"}}}),
		warn: func(string) {},
		send: func(context.Context, notify.Channel, []survey.IncidentEvent) error {
			if fail {
				return &notify.SendError{Problem: "refused"}
			}
			sends++
			return nil
		}}
	doc := yearRun(0, now, &fault{mirror: 1, article: -1, how: 'd'})
	if err := errors.Join(b.evaluate(t.Context(), &doc, scope{}), b.deliver(t.Context()), b.evaluate(t.Context(), &doc, scope{})); err != nil {
		t.Fatal(err)
	}
	fail, b.channels = false, b.channels[:1]
	for range 2 {
		if err := b.deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := h.Notices(t.Context(), "", 0)
	if err != nil || len(list) != 2 || sends != 1 {
		t.Fatalf("%d sends, %+v, %v", sends, list, err)
	}
	for _, n := range list {
		if want := map[string]history.NoticeState{"logger": history.NoticeSent, "exec gone": history.NoticeFailed}[n.Target]; n.State != want {
			t.Errorf("%s: %s %s", n.Target, n.State, n.Error)
		}
	}
	rows, err := h.Incidents(t.Context(), time.Time{}, 0)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%+v, %v", rows, err)
	}
	in, err := h.Ack(t.Context(), rows[0].ID[:5], "ops", now)
	if err != nil || in.AckedBy != "ops" {
		t.Fatalf("%+v, %v", in, err)
	}
	tracks, err := h.Tracks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, tr := range tracks {
		var d struct{ Incident *survey.Incident }
		if err := json.Unmarshal(tr.Doc, &d); err != nil {
			t.Fatal(err)
		}
		found = found || d.Incident != nil && d.Incident.AckedBy == "ops"
	}
	if !found {
		t.Error("the track does not know that its incident is acknowledged")
	}
	if _, err := h.Ack(t.Context(), "zzz", "ops", now); !errors.Is(err, history.ErrNoIncident) {
		t.Errorf("%v", err)
	}
}

// TestHeldNoticesGoOutAsOne holds three runs' events back, kills the process while the message goes out, or lets the channel
// fail first: one message says it all, once.
func TestHeldNoticesGoOutAsOne(t *testing.T) {
	for _, c := range []struct {
		name, kill string
		fail       bool
		messages   int
		state      history.NoticeState
	}{{"sent", "", false, 1, history.NoticeSent}, {"fails first", "", true, 2, history.NoticeSent}, {"killed before the claim", "claim", false, 1, history.NoticeSent},
		{"killed while it is sent", "send", false, 0, history.NoticeUnknown}} {
		t.Run(c.name, func(t *testing.T) {
			h, err := history.Open(filepath.Join(t.TempDir(), "history.db"), history.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.Close() }()
			begin := time.Date(2026, 1, 1, 22, 17, 0, 0, time.UTC)
			morning := time.Date(2026, 1, 2, 7, 0, 0, 0, time.UTC)
			now, killed, fail := begin, false, c.fail
			var messages [][]survey.IncidentEvent
			b := &bookkeeper{history: h, rules: sites.Incidents{DownAfter: 1, UpAfter: 1, Remind: time.Hour}, now: func() time.Time { return now }, warn: func(string) {},
				channels: notify.Names([]notify.Channel{{URL: "logger://", Holds: func(_, now time.Time) bool { return now.Before(morning) }}, {URL: "logger://"}}),
				send: func(_ context.Context, ch notify.Channel, events []survey.IncidentEvent) error {
					if ch.Name == "logger" {
						messages = append(messages, events)
						if fail {
							fail = false
							return &notify.SendError{Problem: "refused"}
						}
					}
					return nil
				},
				kill: func(stage string) {
					if stage == c.kill && !killed && !now.Before(morning) {
						killed = true
						panic(errKilled)
					}
				}}
			for n := range 12 {
				now = begin.Add(time.Duration(n) * time.Hour)
				doc := yearRun(n, now, &fault{mirror: 1, article: -1, from: 0, to: 3, how: 'd'})
				if n > 3 {
					doc = yearRun(n, now, &fault{mirror: 2, article: 5, from: 0, to: 99, how: 's'})
				}
				if err := h.BeginRun(t.Context(), doc.Run); err != nil {
					t.Fatal(err)
				}
				func() {
					defer func() {
						if p := recover(); p != nil && p != error(errKilled) {
							panic(p)
						}
					}()
					if err := errors.Join(b.evaluate(t.Context(), &doc, scope{}), b.deliver(t.Context())); err != nil {
						t.Fatal(err)
					}
				}()
				if now.Before(morning) && len(messages) > 0 {
					t.Fatalf("told at %s: %+v", now, messages)
				}
			}
			// The last message that went out in the morning holds what began and ended in the night, and what lasts.
			first := messages[:min(len(messages), c.messages)]
			if len(first) != c.messages {
				t.Fatalf("%d messages", len(messages))
			}
			for _, m := range first {
				if len(m) != 2 || m[0].Kind != survey.Closed || m[0].Incident.Mirror != yearHost(1) || m[1].Kind != survey.Opened || m[1].Incident.Article != yearArticle(5) {
					t.Errorf("%+v", m)
				}
			}
			list, err := h.Notices(t.Context(), "", 0)
			if err != nil {
				t.Fatal(err)
			}
			held := 0
			for _, n := range list {
				if n.Target == "logger" && n.Created.Before(morning) {
					held++
					if n.State != c.state {
						t.Errorf("%s: %s, want %s", n.Kind, n.State, c.state)
					}
				}
			}
			if held < 5 {
				t.Errorf("%d notices were held", held)
			}
		})
	}
}

// TestProgramsAreNotFlooded: a program gets so many incidents a run and the rest with the next ones, each once, and of what
// began and ended while it waited the end.
func TestProgramsAreNotFlooded(t *testing.T) {
	h, err := history.Open(filepath.Join(t.TempDir(), "history.db"), history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	now := time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)
	e := history.Evaluation{Run: "r", At: now}
	const incidents = 2*maxApart + 5
	for i := range incidents {
		in := survey.Incident{ID: fmt.Sprintf("%010x", i), Site: "s", Mirror: "a.example", Started: now, Opened: &now}
		row := in.Row()
		row.Doc = []byte("{}")
		e.Incidents = append(e.Incidents, row)
		for _, k := range []survey.EventKind{survey.Opened, survey.Closed} {
			doc, err := json.Marshal([]survey.IncidentEvent{{ID: in.ID + "-" + string(k), Kind: k, Incident: in}})
			if err != nil {
				t.Fatal(err)
			}
			e.Notices = append(e.Notices, history.Notice{ID: in.ID + string(k)[:1] + "2", Incident: in.ID, Kind: string(k), Target: "exec page-me", Doc: doc})
		}
	}
	if _, err := h.SaveEvaluation(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	told, calls := map[string]int{}, 0
	b := &bookkeeper{history: h, now: func() time.Time { return now }, warn: func(string) {}, channels: notify.Names([]notify.Channel{{Exec: []string{"page-me"}}}),
		send: func(_ context.Context, _ notify.Channel, events []survey.IncidentEvent) error {
			calls++
			if len(events) != 1 || events[0].Kind != survey.Closed || told[events[0].Incident.ID] > 0 {
				t.Errorf("%+v", events)
			}
			told[events[0].Incident.ID]++
			return nil
		}}
	for _, want := range []int{maxApart, 2 * maxApart, incidents, incidents} {
		if err := b.deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls != want {
			t.Errorf("%d calls, want %d", calls, want)
		}
	}
}

// TestUnitsAreRight lets systemd read the units that init prints.
func TestUnitsAreRight(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIP no systemd-analyze here")
	}
	dir := t.TempDir()
	exe, err := exec.LookPath("true")
	if err != nil {
		t.Skip("SKIP no true here")
	}
	for _, place := range []string{dir, filepath.Join(dir, "with space %h $x")} {
		if err := os.MkdirAll(place, 0o755); err != nil {
			t.Fatal(err)
		}
		service, timer := units(exe, filepath.Join(place, "mirrorwatch.yaml"), 17)
		for name, text := range map[string]string{"mirrorwatch.service": service, "mirrorwatch.timer": timer} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(tool, "verify", "--man=no", filepath.Join(dir, "mirrorwatch.service"), filepath.Join(dir, "mirrorwatch.timer")).CombinedOutput()
		if err != nil || strings.Contains(string(out), dir+"/mirrorwatch") {
			t.Errorf("%v\n%s\n%s", err, out, service)
		}
	}
}

// TestCrontabLineRunsBare runs the printed line as cron does: by sh, with an empty environment.
func TestCrontabLineRunsBare(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("SKIP no sh here")
	}
	dir := filepath.Join(t.TempDir(), "it's 100% odd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "fake")
	if err := os.WriteFile(exe, []byte("#!/bin/sh\nprintf '%s|' \"$@\"; pwd\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	line := crontabLine(exe, filepath.Join(dir, "m.yaml"), 17)
	command, ok := strings.CutPrefix(line, "17 * * * * ")
	if !ok {
		t.Fatal(line)
	}
	cmd := exec.Command(sh, "-c", strings.ReplaceAll(command, `\%`, "%"))
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	want := "check|--sites|" + filepath.Join(dir, "m.yaml") + "|--max-time|50m|--quiet-unless-changed|" + dir + "\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant %s", err, out, want)
	}
}
