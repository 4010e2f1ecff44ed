package crawler

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestDecoyAddresses(t *testing.T) {
	for _, tc := range []struct {
		name, address string
		want          map[string]string // kind -> url
	}{
		{"the id changes, not the slug", "https://www.presstv.com/Detail/2016/08/10/479262/Syria-talks-Aleppo",
			map[string]string{"id": "https://www.presstv.com/Detail/2016/08/10/99999999999/Syria-talks-Aleppo",
				"path": "https://www.presstv.com/decoy-run1", "root": "https://www.presstv.com/"}},
		{"a year is no id", "https://a.example/2016/08/slug-without-number",
			map[string]string{"path": "https://a.example/decoy-run1", "root": "https://a.example/"}},
		{"id in the query", "https://a.example/news.php?id=12345&lang=fa",
			map[string]string{"id": "https://a.example/news.php?id=99999999999&lang=fa",
				"path": "https://a.example/decoy-run1", "root": "https://a.example/"}},
		{"id at the end of a slug", "https://a.example/world/aleppo-talks-1234567.html",
			map[string]string{"id": "https://a.example/world/aleppo-talks-99999999999.html",
				"path": "https://a.example/decoy-run1", "root": "https://a.example/"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := map[string]string{}
			for _, d := range decoyAddresses(tc.address, "run-1") {
				got[d.kind] = d.url
			}
			if len(got) != len(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			for k, w := range tc.want {
				if got[k] != w {
					t.Errorf("%s: got %q, want %q", k, got[k], w)
				}
			}
		})
	}
}

func TestMapURL(t *testing.T) {
	rules := []PathRule{
		{From: regexp.MustCompile("^/Detail/(.*)$"), To: "/detail/$1", Mirror: "www.presstv.ir"},
	}
	const article = "https://www.presstv.com/Detail/2016/08/10/479262/Syria?x=1&y=a%20b"
	for _, tc := range []struct {
		mirror survey.Mirror
		want   string
	}{
		{survey.Mirror{Scheme: "https", Host: "www.presstv.co.uk"}, "https://www.presstv.co.uk/Detail/2016/08/10/479262/Syria?x=1&y=a%20b"},
		{survey.Mirror{Scheme: "http", Host: "www.presstv.ir"}, "http://www.presstv.ir/detail/2016/08/10/479262/Syria?x=1&y=a%20b"},
		{survey.Mirror{Scheme: "https", Host: "127.0.0.1:8443"}, "https://127.0.0.1:8443/Detail/2016/08/10/479262/Syria?x=1&y=a%20b"},
	} {
		got, err := mapURL(article, tc.mirror, rules)
		if err != nil || got != tc.want {
			t.Errorf("mapURL on %s = %q, %v; want %q", tc.mirror.Host, got, err, tc.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "0": 0, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:05 GMT": 0,
	} {
		ex := &survey.Exchange{Header: []survey.Field{{Name: "retry-after", Value: value}}}
		if got, ok := retryAfter(ex, now); !ok || got != want {
			t.Errorf("Retry-After %q: got %v, %v; want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "soon", "-5"} {
		ex := &survey.Exchange{Header: []survey.Field{{Name: "Retry-After", Value: value}}}
		if got, ok := retryAfter(ex, now); ok {
			t.Errorf("Retry-After %q: got %v, want none", value, got)
		}
	}
}

func TestResolveLocation(t *testing.T) {
	const base = "https://a.example/x/y?q"
	for loc, want := range map[string]string{
		"/z": "https://a.example/z", "z#f": "https://a.example/x/z", "//b.example/": "https://b.example/",
		"http://c.example": "http://c.example/",
		"":                 "", "http://": "", "ftp://d.example/": "", "javascript:alert(1)": "",
	} {
		got, ok := resolveLocation(base, loc)
		if ok != (want != "") || got != want {
			t.Errorf("Location %q: got %q, %v; want %q", loc, got, ok, want)
		}
	}
}

func TestGateKeepsItsPromises(t *testing.T) {
	ctx := context.Background()
	g := newGate(10, 1, 20*time.Millisecond)
	start := time.Now()
	for range 3 {
		release, err := g.acquire(ctx, "a.example")
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if took := time.Since(start); took < 40*time.Millisecond {
		t.Errorf("three starts 20 ms apart took %v", took)
	}
	release, err := g.acquire(ctx, "b.example")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeoutCause(ctx, 10*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := g.acquire(short, "b.example"); err == nil || err.Error() != "enough" {
		t.Errorf("a second request to a host with one place: %v, want the context's cause", err)
	}
	release()
	g.pause("c.example", time.Now().Add(time.Hour))
	short2, cancel2 := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel2()
	if _, err := g.acquire(short2, "c.example"); err == nil {
		t.Error("a paused host gave a place")
	}
}
