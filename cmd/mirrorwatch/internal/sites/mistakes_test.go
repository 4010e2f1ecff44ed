package sites

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

var update = flag.Bool("update", false, "write golden files again")

func secretEnv(name string) string {
	return map[string]string{"NOTIFY_URL": "smtp://u:hunter2@h/", "PLAIN": "hunter2"}[name]
}

// TestMistakesGolden holds every kind of mistake to its message, which points at its place and holds no secret.
func TestMistakesGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "mistakes", "*.yaml"))
	if err != nil || len(names) < 40 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse("mirrorwatch.yaml", src, secretEnv)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret in the message: %v", name, err)
		}
		lines := strings.Count(string(src), "\n") + 1
		if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Problem == "" {
			t.Errorf("%s: points nowhere: %+v", name, e)
		}
		got := err.Error()
		if len(got) > 4000 {
			t.Errorf("%s: a message of %d octets", name, len(got))
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != got+"\n" {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

// TestAnyDamageIsPointedAt damages a right file at random: what comes is a file or an *Error inside it, in good time,
// without a secret.
func TestAnyDamageIsPointedAt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	for i := range 800 {
		b := []byte(whole)
		for range 1 + rnd.IntN(4) {
			x, y := rnd.IntN(len(b)), rnd.IntN(len(b))
			x, y = min(x, y), max(x, y)
			switch rnd.IntN(4) {
			case 0:
				b[x] = byte(rnd.IntN(256))
			case 1:
				b = append(b[:x:x], b[min(y, x+20):]...)
			case 2:
				b = append(append(append([]byte{}, b[:y]...), b[x:min(y, x+40)]...), b[y:]...)
			case 3:
				b = append(append(append([]byte{}, b[:x]...), bytes.Repeat([]byte{"[]{}:-#&*!|>'\"\t \n"[rnd.IntN(17)]}, 1+rnd.IntN(100))...), b[x:]...)
			}
		}
		begin := time.Now()
		_, err := Parse("m.yaml", b, env)
		if d := time.Since(begin); d > 3*time.Second {
			t.Fatalf("%d: %s for %d octets:\n%s", i, d, len(b), b)
		}
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%d: %T %v", i, err, err)
		}
		if e.Line > bytes.Count(b, []byte("\n"))+1 || strings.Contains(e.Problem+e.Hint, "hunter2") {
			t.Fatalf("%d: %v\n%s", i, err, b)
		}
	}
}

func TestNestingIsBoundedBeforeParsing(t *testing.T) {
	for name, src := range map[string]string{
		"brackets": strings.Repeat("[", 500_000), "maps": strings.Repeat("{a: ", 100_000), "lists": strings.Repeat("- ", 200_000),
		"indents": func() string {
			var b strings.Builder
			for i := range 1200 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(), "a long line": "a: " + strings.Repeat("x", 900_000),
	} {
		begin := time.Now()
		if _, err := Parse("m.yaml", []byte(src), env); err == nil || time.Since(begin) > 2*time.Second {
			t.Errorf("%s: %s", name, time.Since(begin))
		}
	}
	// Brackets in comments, strings and regular expressions do not count.
	src := whole + strings.Repeat("# [[[ {{{\n", 100) + `contact2: x`
	if _, err := Parse("m.yaml", []byte(src), env); err == nil || !strings.Contains(err.Error(), "contact2") {
		t.Errorf("%v", err)
	}
}

func TestInitIsAccepted(t *testing.T) {
	o := InitOptions{Primary: survey.Mirror{Scheme: "https", Host: "www.presstv.com", Role: survey.Primary}, Minute: 23,
		Mirrors: []survey.Mirror{{Scheme: "https", Host: "www.presstv.co.uk"}}, Articles: []string{"/Detail/2016/08/10/479262/Syria-talks-Aleppo", "/a?x=$y&z='\"#", "/%E2%80%AE:[x]"},
		Feeds:      []string{"/rss.xml"},
		Candidates: []survey.CandidateMirror{{Host: "www.presstv.ir", Rule: "sentence", Evidence: "Press TV's website can also be accessed at:\nsites: {evil: 1}\n  \u2028 ${HOME}"}}}
	src := Init(o)
	f, err := Parse("mirrorwatch.yaml", src, func(string) string { return "" })
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	s := f.Site("presstv")
	if s == nil || len(f.Sites) != 1 || len(s.Articles()) != 3 || len(s.Feeds) != 1 || len(s.Survey(Settings{}).Mirrors) != 2 || f.Schedule.String() != "23 * * * *" {
		t.Errorf("%+v\n%s", s, src)
	}
	if len(f.Later()) > 1 {
		t.Errorf("later: %v", f.Later())
	}
	// Uncommenting the examples, one block at a time, gives a file that is accepted too.
	lines := strings.Split(string(src), "\n")
	for i, l := range lines {
		at := strings.Index(l, "#")
		if at < 0 || strings.TrimSpace(l[:at]) != "" || at+1 >= len(l) || l[at+1] == ' ' || strings.HasSuffix(strings.TrimSpace(l), ":") {
			continue
		}
		n := slices.Clone(lines)
		n[i] = l[:at] + l[at+1:]
		if strings.HasPrefix(n[i], "contact") || strings.HasPrefix(n[i], "defaults") || strings.HasPrefix(n[i], "heartbeat") {
			if _, err := Parse("m.yaml", []byte(strings.Join(n, "\n")), func(string) string { return "https://x.example/" }); err != nil {
				t.Errorf("%q: %v", n[i], err)
			}
		}
	}
	golden := filepath.Join("testdata", "init.golden")
	if *update {
		if err := os.WriteFile(golden, src, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(want, src) {
		t.Errorf("%v\n%s", err, src)
	}
}

func FuzzInit(f *testing.F) {
	f.Add("www.x.example", "/a", "evidence")
	f.Add("1.2.3.4:80", "/$a: {b", "\u2028a: b\n- c")
	f.Fuzz(func(t *testing.T, host, article, evidence string) {
		m, err := ParseMirror(host)
		if err != nil {
			return
		}
		if _, err := ParseURL(m.Origin() + "/" + article); err != nil {
			return
		}
		src := Init(InitOptions{Primary: m, Articles: []string{"/" + article}, Candidates: []survey.CandidateMirror{{Host: evidence, Rule: evidence, Evidence: evidence}}})
		if _, err := Parse("m.yaml", src, func(string) string { return "" }); err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
	})
}

func TestSchemaKnowsEveryKey(t *testing.T) {
	var doc struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, k := range topKeys {
		if doc.Properties[k] == nil {
			t.Errorf("key %q is not in the schema", k)
		}
	}
	if len(doc.Properties) != len(topKeys) {
		t.Errorf("%d keys in the schema, %d known", len(doc.Properties), len(topKeys))
	}
	text := string(Schema())
	for _, k := range append(append([]string{}, siteKeys...), Keys()...) {
		if !strings.Contains(text, `"`+k+`": {`) {
			t.Errorf("key %q is not in the schema", k)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "s", s)
	j, err := json.Marshal(map[string]any{"s": s, "p": &s, "n": Notice{URL: s}})
	if err != nil {
		t.Fatal(err)
	}
	all := b.String() + string(j)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, Notice{URL: s}) + fmt.Sprintf(verb, []Secret{s})
	}
	if strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74657232") {
		t.Error(all)
	}
	if s.Reveal() != "hunter2" || s.IsZero() || !(Secret{}).IsZero() || s.Recorded() != "***" {
		t.Error("the value itself")
	}
}

func TestValues(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "20s": 20 * time.Second, "1h30m": 90 * time.Minute, "90d": 90 * 24 * time.Hour, "1y": 365 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond} {
		if d, err := ParseDuration(in); err != nil || d != want {
			t.Errorf("%q: %v, %v", in, d, err)
		}
		if d, err := ParseDuration(FormatDuration(want)); err != nil || d != want {
			t.Errorf("%v: written %q, read %v, %v", want, FormatDuration(want), d, err)
		}
	}
	for _, in := range []string{"", "20", "-1s", "1x", "s", "1h 30m", "999999y", "1e9s", "+1s"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("duration %q is %v", in, d)
		}
	}
	for in, want := range map[string]int64{"64MB": 64e6, "1GiB": 1 << 30, "500KB": 5e5, "7": 7, "1.5GB": 15e8, "2 TB": 2e12} {
		n, err := ParseSize(in)
		if err != nil || n != want {
			t.Errorf("%q: %v, %v", in, n, err)
		}
		if n, err := ParseSize(FormatSize(want)); err != nil || n != want {
			t.Errorf("%d: written %q, read %v, %v", want, FormatSize(want), n, err)
		}
	}
	for _, in := range []string{"", "MB", "-1", "1XB", "99999999TB", "1,5GB", "0x10"} {
		if n, err := ParseSize(in); err == nil {
			t.Errorf("size %q is %v", in, n)
		}
	}
}

func TestCron(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ cron, from, want string }{
		{"17 * * * *", "2026-01-01 00:17", "2026-01-01 01:17"},
		{"17 * * * *", "2026-01-01 00:16", "2026-01-01 00:17"},
		{"*/20 * * * *", "2026-01-01 00:41", "2026-01-01 01:00"},
		{"0 2 * * 0", "2026-01-01 00:00", "2026-01-04 02:00"},
		{"0 2 * * 7", "2026-01-01 00:00", "2026-01-04 02:00"},
		{"0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"},
		{"0 0 13 * fri", "2026-01-01 00:00", "2026-01-02 00:00"}, // either day field, as in crontab(5)
		{"5 4 1 jan-mar/2 *", "2026-01-02 00:00", "2026-03-01 04:05"},
		{"@daily", "2026-12-31 12:00", "2027-01-01 00:00"},
		{"0 9-17/4,23 * * mon-fri", "2026-01-02 17:30", "2026-01-02 23:00"},
	} {
		p, err := ParseCron(c.cron)
		if err != nil {
			t.Errorf("%q: %v", c.cron, err)
			continue
		}
		if got := p.Next(at(c.from)); !got.Equal(at(c.want)) {
			t.Errorf("%q after %s: %s, want %s", c.cron, c.from, got.Format("2006-01-02 15:04"), c.want)
		}
	}
	// A clock that skips 02:30 in spring: the minute does not come due that day, and nothing hangs.
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Skip("no zone database")
	}
	p, err := ParseCron("30 1 * * *")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Next(time.Date(2026, 3, 28, 12, 0, 0, 0, zone)); got.Day() != 30 {
		t.Errorf("%s", got)
	}
	for _, bad := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "@often", "a * * * *", "0 0 30 2 *", "+1 * * * *", "1,,2 * * * *"} {
		if _, err := ParseCron(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestMaintenanceWindows(t *testing.T) {
	c, err := ParseCron("0 2 * * 0")
	if err != nil {
		t.Fatal(err)
	}
	in := Incidents{Maintenance: []Maintenance{{Cron: c, For: 2 * time.Hour, Zone: time.UTC}}}
	sunday := time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)
	for at, want := range map[time.Duration]bool{2*time.Hour - time.Second: false, 2 * time.Hour: true, 3 * time.Hour: true, 4*time.Hour - time.Second: true, 4 * time.Hour: false, 26 * time.Hour: false} {
		if got := in.InMaintenance(sunday.Add(at)); got != want {
			t.Errorf("%s: %t", at, got)
		}
	}
	if (Incidents{}).InMaintenance(sunday) {
		t.Error("no window is open always")
	}
}

// TestQuietHoursAndDigest asks when a channel holds back what happened.
func TestQuietHoursAndDigest(t *testing.T) {
	f, err := Parse("m.yaml", []byte(`sites: {s: {primary: "https://a.example", articles: [/a]}}
notify:
  - {url: "logger://", quiet: [{cron: "0 22 * * *", for: 9h, zone: Europe/London}]}
  - {url: "logger://", digest: {cron: "0 8 * * *", zone: Europe/London}, quiet: [{cron: "0 0 * * sat", for: 2d}]}
  - {url: "logger://", digest: "0 8 * * *"}
  - {url: "logger://"}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		channel      int
		created, now string
		held         bool
	}{
		{0, "2026-07-01 20:59", "2026-07-01 20:59", false}, // 21:59 in London
		{0, "2026-07-01 21:00", "2026-07-01 21:00", true},
		{0, "2026-07-01 21:00", "2026-07-02 05:59", true},
		{0, "2026-07-01 21:00", "2026-07-02 06:00", false},
		{0, "2026-07-01 12:00", "2026-07-01 22:00", true}, // failed by day, tried again by night
		{1, "2026-07-01 06:59", "2026-07-01 06:59", true}, // a Wednesday; the digest comes at 07:00 UTC
		{1, "2026-07-01 06:59", "2026-07-01 07:00", false},
		{1, "2026-07-01 07:00", "2026-07-01 07:00", true}, // happened with the digest: in the next one
		{1, "2026-07-01 07:00", "2026-07-02 07:17", false},
		{1, "2026-07-03 12:00", "2026-07-04 07:00", true}, // Saturday
		{1, "2026-07-03 12:00", "2026-07-06 00:00", false},
		{2, "2026-07-01 07:59", "2026-07-01 07:59", true},
		{2, "2026-07-01 07:59", "2026-07-01 08:00", false},
		{3, "2026-07-01 03:00", "2026-07-01 03:00", false},
	} {
		var at [2]time.Time
		for i, s := range []string{c.created, c.now} {
			if at[i], err = time.Parse("2006-01-02 15:04", s); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.Notify[c.channel].Holds(at[0], at[1]); got != c.held {
			t.Errorf("channel %d, created %s, at %s: held %t", c.channel, c.created, c.now, got)
		}
	}
	var b strings.Builder
	if err := f.Describe(&b, Overrides{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"quiet: 0 22 * * * for 9h, Europe/London", "digest: 0 8 * * * Europe/London", "notify: logger:*** on everything", "incidents: down after 3 bad runs, up after 2 good ones, reminder every 24h"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"20s", "64MB", "17 * * * *", "https://x.example/", "a:1:b:2", "tls://n@1.2.3.4", "h: N: v", "10.0.0.0/8", "socks5://h:1", "eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Fatalf("duration %q: %v", s, d)
		}
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Fatalf("size %q: %v", s, n)
		}
		if c, err := ParseCron(s); err == nil && c.Next(time.Unix(1767225600, 0).UTC()).IsZero() {
			t.Fatalf("cron %q never comes due", s)
		}
		if u, err := ParseURL(s); err == nil {
			if again, err := ParseURL(u.String()); err != nil || again.String() != u.String() {
				t.Fatalf("%q: %q, %v", s, u, err)
			}
		}
		_, _ = ParseMirror(s)
		_, _, _ = ParseConnectTo(s)
		_, _ = ParseResolver(s)
		_, _ = ParseProxy(s)
		_, _ = ParseSource(s)
		_, _ = ParseHeader(s)
		_, _ = ParseCIDRs(s)
	})
}
