package crawler

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"mirrorwatch/crawler/markup"
)

// TestFrontierHandsOutOnce: many workers, each adding the same addresses; every one is handed out once, far beyond what
// memory holds.
func TestFrontierHandsOutOnce(t *testing.T) {
	f, _, err := openFrontier(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	const total = 20000
	f.add(target{url: "https://a.example/0", kind: markup.Page})
	var mu sync.Mutex
	seen := map[string]int{}
	err = crawlWorkers(context.Background(), f, 16, nil, func(_ context.Context, tg target) (bool, error) {
		mu.Lock()
		seen[tg.url]++
		mu.Unlock()
		var n int
		if _, err := fmt.Sscanf(tg.url, "https://a.example/%d", &n); err != nil {
			return false, err
		}
		for k := 1; k <= 30; k++ {
			f.add(target{url: fmt.Sprintf("https://a.example/%d", (n*30+k)%total), kind: markup.Page, depth: tg.depth + 1})
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != total {
		t.Errorf("%d addresses handed out, want %d", len(seen), total)
	}
	for u, n := range seen {
		if n != 1 {
			t.Errorf("%s was handed out %d times", u, n)
		}
	}
	if len(f.ring) > ringSize {
		t.Errorf("%d addresses in memory", len(f.ring))
	}
}

// TestFrontierGoesOn: what an interrupted crawl had not done is handed out by the next, what it had done is not; a record
// cut at the end by a crash costs that record only.
func TestFrontierGoesOn(t *testing.T) {
	dir := t.TempDir()
	f, _, err := openFrontier(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		f.add(target{url: fmt.Sprintf("https://a.example/%d", i), kind: markup.Image, depth: 3})
	}
	for i := range 40 {
		tg, ok := f.take()
		if !ok {
			t.Fatal("nothing handed out")
		}
		f.finish(tg, i%2 == 0)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, foundName)
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, st.Size()-3); err != nil {
		t.Fatal(err)
	}
	f, n, err := openFrontier(dir)
	if err != nil || n != 99 {
		t.Fatalf("%d addresses recovered (%v), want 99", n, err)
	}
	if f.add(target{url: "https://a.example/7"}) {
		t.Error("a known address is new again")
	}
	if !f.add(target{url: "https://a.example/99", kind: markup.Image, depth: 3}) {
		t.Error("the address whose record was cut is lost")
	}
	got := map[string]bool{}
	for {
		tg, ok := f.take()
		if !ok {
			break
		}
		if tg.kind != markup.Image || tg.depth != 3 {
			t.Errorf("%+v lost what was known of it", tg)
		}
		got[tg.url] = true
		f.finish(tg, true)
	}
	if len(got) != 80 || got["https://a.example/0"] || !got["https://a.example/1"] || !got["https://a.example/99"] {
		t.Errorf("%d addresses handed out after the interruption, want 80", len(got))
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}
