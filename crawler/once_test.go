package crawler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestNothingTwice: with any number of workers every address is fetched exactly once of each host, and the same ones; with a
// ring far smaller than the site, too.
func TestNothingTwice(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	old := ringSize
	defer func() { ringSize = old }()
	var first string
	for _, c := range []struct{ workers, ring int }{{1, 4096}, {4, 3}, {32, 4096}, {32, 3}} {
		ringSize = c.ring
		w := newWorld(t)
		sites := map[string]*plantedSite{primary: {host: primary}, mirror: {host: mirror}}
		for h, s := range sites {
			// Every page names every address twice, each in several ways of writing.
			s.edit = map[string]func(string) string{}
			for i := range plantedArticles {
				s.edit[fmt.Sprintf("/story/%d/", i)] = func(p string) string {
					var b strings.Builder
					for k := range plantedArticles {
						fmt.Fprintf(&b, `<a href="/story/%d/#a">x</a><a href="//%s/story/%d/">x</a><a href="../../story/%d/#b">x</a><a href="https://%s:443/story/%d/">x</a><img src="/img/%d.png">`, k, h, k, k, h, k, k)
					}
					return strings.Replace(p, "</article>", b.String()+"</article>", 1)
				}
			}
			w.serve(h, s)
		}
		p := w.patient(w.plan(primary, mirror))
		p.Sites[0].Articles = nil
		p.Sites[0].Settings.Links = "site"
		cfg := w.config()
		cfg.PerHost, cfg.Concurrency = c.workers, c.workers
		if _, err := Run(context.Background(), cfg, p, Stop{}); err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for h, s := range sites {
			for u, n := range s.asked {
				if strings.Contains(u, "decoy") || strings.Contains(u, "99999") || u == "GET /robots.txt" {
					continue
				}
				if n != 1 {
					t.Errorf("%d workers, ring of %d: %s was asked for %s %d times", c.workers, c.ring, h, u, n)
				}
				all[u] = true
			}
		}
		for u := range all {
			if sites[primary].asked[u] != 1 || sites[mirror].asked[u] != 1 {
				t.Errorf("%d workers: %s was asked for %d times of the primary, %d of the mirror", c.workers, u, sites[primary].asked[u], sites[mirror].asked[u])
			}
		}
		got := strings.Join(slices.Sorted(maps.Keys(all)), "\n")
		if first == "" {
			if first = got; len(all) < 80 {
				t.Errorf("%d addresses only:\n%s", len(all), got)
			}
		}
		if got != first {
			t.Errorf("%d workers, ring of %d: other addresses than with one", c.workers, c.ring)
		}
	}
}

// TestFrontierMemory: the list's memory is bounded by its ring, whatever the order of finding and handing out; addresses
// beyond it come from the file, each once, in order.
func TestFrontierMemory(t *testing.T) {
	old := ringSize
	defer func() { ringSize = old }()
	ringSize = 5
	f, _, err := openFrontier(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	next, taken := 0, 0
	add := func(n int) {
		for range n {
			f.add(target{url: fmt.Sprintf("https://a.example/%d", next)})
			next++
		}
	}
	take := func(n int) {
		for range n {
			tg, ok := f.take()
			if want := fmt.Sprintf("https://a.example/%d", taken); !ok || tg.url != want {
				t.Fatalf("handed out %q, want %q", tg.url, want)
			}
			taken++
			f.finish(tg, true)
			if len(f.ring) > 5 || cap(f.ring) > 16 {
				t.Fatalf("%d of %d addresses in memory", len(f.ring), cap(f.ring))
			}
		}
	}
	add(3)
	take(2)
	add(20)
	take(10)
	add(1)
	take(12)
	add(7)
	take(3)
	add(1000)
	take(next - taken)
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkFrontier measures octets of memory for each address on the list.
func BenchmarkFrontier(b *testing.B) {
	f, _, err := openFrontier(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.close() }()
	b.ReportAllocs()
	for i := range b.N {
		f.add(target{url: fmt.Sprintf("https://www.harbour.example/a/path/of/usual/length/%d", i)})
	}
}
