package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler"
)

// TestProgress: a terminal has one line that names pages, links, rate, octets and what is waited for; elsewhere there is a
// log line a minute and no more; -q has neither.
func TestProgress(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name            string
		terminal, quiet bool
		articles        int
		want            []string
		not             []string
		lines           int
	}{
		{"a terminal", true, false, 3, []string{"\r", "1 of 3 articles, 2 pages, 4 links, ", " pages/s, 0.4 MB", "s for https://slow.example/page"}, []string{"\n", "level="}, 0},
		{"a terminal, a site only", true, false, 0, []string{"2 pages, 4 links, "}, []string{"articles", "\n"}, 0},
		{"a log", false, false, 3, []string{`msg=progress articles=1/3 pages=2 links=4 links_per_s=0.1 received="0.4 MB" waiting=55s for=https://slow.example/page`, "links=4 links_per_s=0.0"}, []string{"\r", "msg=progress articles=0/3"}, 2},
		{"nothing", true, true, 3, nil, nil, 0},
		{"nothing in a log", false, true, 3, nil, nil, 0},
	} {
		now := at
		var out bytes.Buffer
		w := &world{stderr: &out, terminal: c.terminal, now: func() time.Time { return now }}
		p := newProgress(w, c.articles, 4*c.articles, c.quiet, false)
		told := 0
		tell := p.watch(func(crawler.Event) { told++ })
		for i := range 4 {
			u := fmt.Sprintf("https://fast.example/%d", i)
			tell(crawler.Event{Kind: "request", URL: u, Vantage: "direct"})
			tell(crawler.Event{Kind: "answered", URL: u, Vantage: "direct", Bytes: 100_000, Page: i < 2})
		}
		tell(crawler.Event{Kind: "visited", URL: "https://fast.example/0"})
		tell(crawler.Event{Kind: "checked", URL: "https://fast.example/0"})
		now = now.Add(5 * time.Second)
		tell(crawler.Event{Kind: "request", URL: "https://slow.example/page", Vantage: "direct"})
		for now.Before(at.Add(125 * time.Second)) {
			p.tick()
			now = now.Add(500 * time.Millisecond)
		}
		got := out.String()
		for _, s := range c.want {
			if !strings.Contains(got, s) {
				t.Errorf("%s: %q is not in %.2000q", c.name, s, got)
			}
		}
		for _, s := range c.not {
			if strings.Contains(got, s) {
				t.Errorf("%s: %q is in %.2000q", c.name, s, got)
			}
		}
		if n := strings.Count(got, "msg=progress"); n != c.lines {
			t.Errorf("%s: %d log lines in 125 s, want %d", c.name, n, c.lines)
		}
		if c.quiet && got != "" {
			t.Errorf("%s: %q", c.name, got)
		}
		if told != 11 {
			t.Errorf("%s: %d events passed on, want 11", c.name, told)
		}
	}
}

// TestProgressIsHarmless: an address is foreign text, and comes cut and without control characters.
func TestProgressIsHarmless(t *testing.T) {
	now := time.Now()
	var out bytes.Buffer
	p := newProgress(&world{stderr: &out, terminal: true, now: func() time.Time { return now }}, 0, 0, false, false)
	p.event(crawler.Event{Kind: "request", URL: "https://a.example/\x1b[31m\u202e" + strings.Repeat("x", 5000)})
	now = now.Add(time.Minute)
	s := p.status(now)
	if strings.ContainsAny(s, "\x1b\u202e") || len(s) > 300 {
		t.Errorf("%q", s)
	}
}
