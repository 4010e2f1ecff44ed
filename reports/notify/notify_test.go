package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

var update = flag.Bool("update", false, "write golden files again")

var t0 = time.Date(2026, 11, 20, 3, 17, 0, 0, time.UTC)

// hostile is what a page or a server may say.
const hostile = "@everyone <!channel> *bold* [click](http://evil.example) \x1b[31m\r\nBcc: victim@example.org\u202e <b>x</b> `rm`"

func event(kind survey.EventKind, severity survey.State, article string) survey.IncidentEvent {
	in := survey.Incident{ID: "1a2b3c4d5e", Site: "presstv", Mirror: "www.presstv.ir", Article: article, State: survey.IncidentOpen, Severity: severity, Now: severity,
		Cause: "unreachable", Affected: 19, Of: 20, Vantages: []string{"direct"}, VantagesOf: 2, Started: t0, Opened: survey.Ptr(t0.Add(2 * time.Hour)),
		LastGood: "20261120021700000/https://www.presstv.ir/a_b", Evidence: []survey.Evidence{{At: t0.Add(5 * time.Hour), Article: "https://www.presstv.com/Detail/1?a=b&c=_d_", Vantage: "direct",
			Stage: survey.StageConnect, Outcome: survey.ConnectionRefused, Reason: hostile, Snapshot: "20261120081700000/https://www.presstv.ir/a@b"}}}
	if kind == survey.Closed {
		in.State, in.Closed, in.Why = survey.IncidentClosed, survey.Ptr(t0.Add(29*time.Hour)), "recovered"
	}
	return survey.IncidentEvent{ID: "1a2b3c4d5e-" + string(kind), Kind: kind, At: t0.Add(5 * time.Hour), Incident: in}
}

func TestTexts(t *testing.T) {
	down, degraded := event(survey.Opened, survey.Down, ""), event(survey.Opened, survey.Degraded, "https://www.presstv.com/Detail/1")
	degraded.Incident.Cause = "altered"
	seized := event(survey.Opened, survey.Down, "")
	seized.Incident.Cause = "page:seizure_banner"
	var many []survey.IncidentEvent
	for i := range 14 {
		e := event(survey.Opened, survey.Down, fmt.Sprint("https://www.presstv.com/Detail/", i))
		if i%3 == 0 {
			e = event(survey.Closed, survey.Down, "")
		}
		many = append(many, e)
	}
	var b strings.Builder
	for _, c := range []struct {
		name string
		m    Message
	}{
		{"opened, mail", Compose([]survey.IncidentEvent{down}, Plain)},
		{"opened, chat", Compose([]survey.IncidentEvent{seized}, Chat)},
		{"opened, markdown", Compose([]survey.IncidentEvent{degraded}, Marked)},
		{"reminded", Compose([]survey.IncidentEvent{event(survey.Reminded, survey.Down, "")}, Plain)},
		{"closed", Compose([]survey.IncidentEvent{event(survey.Closed, survey.Down, "")}, Plain)},
		{"many", Compose(many, Plain)},
		{"to the operator", Forward(down, "ops@example.org", Plain)},
		{"to the operator, closed", Forward(event(survey.Closed, survey.Down, ""), "", Plain)},
	} {
		fmt.Fprintf(&b, "==== %s\nSubject: %s\n\n%s\n", c.name, c.m.Subject, c.m.Body)
		if strings.ContainsAny(c.m.Subject, "\r\n\x1b") || strings.ContainsAny(c.m.Body, "\r\x1b\u202e") || strings.Contains(c.m.Body, "\nBcc") {
			t.Errorf("%s: not safe: %q", c.name, c.m)
		}
	}
	name := filepath.Join("testdata", "texts.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("texts differ from %s; see with -update:\n%s", name, b.String())
	}
}

func TestChatCannotBeSteered(t *testing.T) {
	for _, scheme := range []string{"discord", "slack", "mattermost", "teams", "a-service-of-tomorrow"} {
		m := Compose([]survey.IncidentEvent{event(survey.Opened, survey.Down, "https://x.example/@everyone*_[a](b)")}, StyleOf(scheme))
		for _, bad := range []string{"@everyone", "<!channel>", "*bold*", "](http", "`rm`", "<b>"} {
			if strings.Contains(m.Body, bad) {
				t.Errorf("%s: %q is in\n%s", scheme, bad, m.Body)
			}
		}
	}
	if m := Compose([]survey.IncidentEvent{event(survey.Opened, survey.Down, "")}, StyleOf("telegram")); strings.Contains(m.Body, "@everyone") {
		t.Error(m.Body)
	}
}

func TestWants(t *testing.T) {
	down, degraded, up := event(survey.Opened, survey.Down, ""), event(survey.Opened, survey.Degraded, ""), event(survey.Closed, survey.Down, "")
	silent := down
	silent.Silent = true
	for _, c := range []struct {
		c    Channel
		e    survey.IncidentEvent
		want bool
	}{
		{Channel{}, down, true}, {Channel{}, up, true}, {Channel{}, silent, false},
		{Channel{On: []string{"down"}}, down, true}, {Channel{On: []string{"down"}}, degraded, false}, {Channel{On: []string{"down"}}, up, false},
		{Channel{On: []string{"down", "up"}}, up, true}, {Channel{On: []string{"degraded", "up"}}, up, false}, {Channel{On: []string{"up"}}, up, true},
		{Channel{Sites: []string{"other"}}, down, false}, {Channel{Sites: []string{"presstv"}}, down, true},
		{Channel{Mirror: "www.presstv.ir", Site: "presstv"}, down, true}, {Channel{Mirror: "www.presstv.com", Site: "presstv"}, down, false},
	} {
		if got := c.c.Wants(c.e); got != c.want {
			t.Errorf("%+v, %s %s: %t", c.c, c.e.Kind, c.e.Incident.Severity, got)
		}
	}
}

func TestNamesHoldNoSecret(t *testing.T) {
	list := Names([]Channel{{URL: "telegram://110201543:hunter2@telegram?chats=@x"}, {URL: "smtp://u:hunter2@h/"}, {URL: "smtp://u:hunter3@h/"},
		{Exec: []string{"/usr/local/bin/page-me", "--token=hunter2"}}, {URL: "hunter2"}, {URL: "generic+https://hunter2/"}, {URL: "smtp://h/", Mirror: "a.example"}})
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, "|"); got != "telegram|smtp|smtp 2|exec page-me|unknown|generic|contact of a.example: smtp" {
		t.Error(got)
	}
}

// mailServer takes one mail and gives its text.
func mailServer(t *testing.T, reply string) (addr string, mail chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	mail = make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		fmt.Fprint(c, "220 test\r\n")
		var text strings.Builder
		data := false
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case data && line == ".\r\n":
				data = false
				mail <- text.String()
				fmt.Fprint(c, "250 ok\r\n")
			case data:
				text.WriteString(line)
			case strings.HasPrefix(line, "DATA"):
				data = true
				fmt.Fprint(c, "354 go\r\n")
			case strings.HasPrefix(line, "RCPT"):
				fmt.Fprint(c, reply+"\r\n")
			case strings.HasPrefix(line, "QUIT"):
				fmt.Fprint(c, "221 bye\r\n")
				return
			default:
				fmt.Fprint(c, "250 ok\r\n")
			}
		}
	}()
	return l.Addr().String(), mail
}

func TestMail(t *testing.T) {
	addr, mail := mailServer(t, "250 ok")
	c := Channel{URL: "smtp://" + addr + "/?from=a@example.org&to=b@example.org&usestarttls=no&usehtml=yes"}
	e := event(survey.Opened, survey.Down, "")
	e.Incident.Site = "پرس\r\nBcc: victim@example.org"
	if err := c.Send(t.Context(), []survey.IncidentEvent{e}, false); err != nil {
		t.Fatal(err)
	}
	text := <-mail
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	if strings.Contains(head, "\nBcc") || !strings.Contains(head, "Subject: =?utf-8?q?") || strings.Contains(head, "text/html") {
		t.Errorf("head:\n%s", head)
	}
	if !strings.Contains(body, "www.presstv.ir") || strings.Contains(body, "\nBcc:") {
		t.Errorf("body:\n%s", body)
	}
}

func TestFailuresHoldNoSecret(t *testing.T) {
	refused, _ := mailServer(t, "550 no hunter2 here")
	stop := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-stop }))
	t.Cleanup(func() { close(stop); hangs.Close() })
	fails := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) }))
	t.Cleanup(fails.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// The near end of a connection: nobody listens there, and nobody else is given the port meanwhile.
	held, err := net.Dial("tcp", closed.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	_ = closed.Close()
	for _, c := range []struct {
		name, url string
		unknown   bool
	}{
		{"recipient refused", "smtp://user:hunter2@" + refused + "/?from=a@example.org&to=b@example.org&usestarttls=no&auth=none", false},
		{"no server", "smtp://user:hunter2@" + held.LocalAddr().String() + "/?from=a@example.org&to=b@example.org", false},
		{"500", "generic+" + fails.URL + "/hunter2?token=hunter2", false},
		{"hangs", "generic+" + hangs.URL + "/hunter2", true},
		{"no such service", "hunter2://x", false},
		{"no URL", "hunter2", false},
		{"bad token", "telegram://hunter2hunter2@telegram?chats=1", false},
		{"bad webhook", "discord://hunter2hunter2", false},
		{"bad port", "smtp://user:hunter2@host:99999999/", false},
	} {
		err := Channel{URL: c.url, Timeout: 500 * time.Millisecond}.Send(t.Context(), []survey.IncidentEvent{event(survey.Opened, survey.Down, "")}, false)
		var se *SendError
		if !errors.As(err, &se) || se.Unknown != c.unknown || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v (%+v)", c.name, err, se)
		}
	}
}

func TestWebhook(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
	}))
	t.Cleanup(s.Close)
	if err := (Channel{URL: "generic+" + s.URL}).Send(t.Context(), []survey.IncidentEvent{event(survey.Opened, survey.Down, "")}, true); err != nil {
		t.Fatal(err)
	}
	if text := <-got; !strings.Contains(text, "DOWN: www.presstv.ir") || !strings.Contains(text, "a test of the channel") {
		t.Error(text)
	}
}

func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs of this test are shell scripts")
	}
	dir := t.TempDir()
	script := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	e := event(survey.Opened, survey.Down, "https://x.example/$(touch pwned);`id`")
	out := filepath.Join(dir, "out")
	if err := (Channel{Exec: []string{script("ok", `echo "$# $1"; cat > "$1"`), out}}).Send(t.Context(), []survey.IncidentEvent{e}, false); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var doc Document
	if err := json.Unmarshal(b, &doc); err != nil || doc.Schema != "mirrorwatch/notice/1" || doc.Event.Incident.Article != e.Incident.Article || strings.Count(string(b), "\n") != 1 {
		t.Errorf("%v\n%s", err, b)
	}
	var se *SendError
	err = Channel{Exec: []string{script("bad", "echo 'it is \033[31mbroken'; exit 3")}}.Send(t.Context(), []survey.IncidentEvent{e}, false)
	if !errors.As(err, &se) || se.Unknown || !strings.Contains(err.Error(), "exit status 3") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%v", err)
	}
	err = Channel{Exec: []string{filepath.Join(dir, "missing")}}.Send(t.Context(), []survey.IncidentEvent{e}, false)
	if !errors.As(err, &se) || se.Unknown {
		t.Errorf("%v", err)
	}
	begin := time.Now()
	err = Channel{Exec: []string{script("slow", "sleep 100 & sleep 100")}, Timeout: 200 * time.Millisecond}.Send(t.Context(), []survey.IncidentEvent{e}, false)
	if !errors.As(err, &se) || !se.Unknown || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	// A program that does not read its input is no failure.
	if err := (Channel{Exec: []string{script("deaf", "exit 0")}}).Send(t.Context(), []survey.IncidentEvent{e}, false); err != nil {
		t.Error(err)
	}
}

func TestHeartbeat(t *testing.T) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		if r.URL.Path != "/hunter2" {
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(s.Close)
	if err := Heartbeat(t.Context(), s.URL+"/hunter2", "mirrorwatch/test"); err != nil || n != 1 {
		t.Errorf("%v, %d", err, n)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		addr string
	}{{t.Context(), s.URL + "/hunter2x"}, {t.Context(), "https://127.0.0.1:1/hunter2"}, {t.Context(), "ftp://hunter2/"}, {t.Context(), "://hunter2"}, {canceled, s.URL + "/hunter2"}} {
		if err := Heartbeat(c.ctx, c.addr, ""); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.addr, err)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 40 * time.Second: "40s", 5 * time.Minute: "5m", 2*time.Hour + 5*time.Minute: "2h 5m", 76 * time.Hour: "3d 4h", 24 * time.Hour: "1d", -time.Hour: "0s"} {
		if got := Span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func FuzzStyles(f *testing.F) {
	f.Add(hostile)
	f.Add("https://x.example/\u200b@here")
	f.Fuzz(func(t *testing.T, s string) {
		for _, st := range []Style{Plain, Chat, Marked} {
			e := event(survey.Opened, survey.Down, s)
			e.Incident.Evidence[0].Reason = s
			m := Compose([]survey.IncidentEvent{e}, st)
			if strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.Body, "\r") {
				t.Fatalf("%q", m)
			}
			if st == Marked && strings.ContainsAny(st.text(s)+st.url(s), "<>") {
				t.Fatalf("%q %q", st.text(s), st.url(s))
			}
		}
	})
}
