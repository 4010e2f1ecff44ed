package crawler

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func TestLeads(t *testing.T) {
	allowed := func(h survey.Host) bool { return h != "evil.example" && h != "elsewhere.example" }
	s := func(host survey.Host, role survey.Role, vantage string, state survey.State, verdict survey.VerdictWord, u string) Served {
		return Served{Mirror: host, Role: role, Vantage: vantage, State: state, Verdict: verdict, URL: u}
	}
	for _, c := range []struct {
		name   string
		served []Served
		want   []string
	}{
		{"primary first", []Served{s("b.example", survey.Alternate, "d", survey.Up, survey.Identical, "https://b.example/x"), s("a.example", survey.Primary, "d", survey.Up, survey.SameArticle, "https://a.example/x")},
			[]string{"https://a.example/x", "https://b.example/x"}},
		{"better verdict, then name", []Served{s("c.example", survey.Alternate, "d", survey.Up, survey.Identical, "https://c.example/x"), s("b.example", survey.Alternate, "d", survey.Up, survey.SameArticle, "https://b.example/x")},
			[]string{"https://c.example/x", "https://b.example/x"}},
		{"down, degraded, unknown", []Served{s("a.example", survey.Primary, "d", survey.Down, survey.Interstitial, "https://a.example/x"), s("b.example", survey.Alternate, "d", survey.Degraded, survey.Altered, "https://b.example/x"),
			s("c.example", survey.Alternate, "d", survey.Unknown, survey.Undetermined, "https://c.example/x")}, nil},
		{"down from one vantage", []Served{s("a.example", survey.Primary, "d", survey.Up, survey.Identical, "https://a.example/x"), s("a.example", survey.Primary, "e", survey.Down, survey.FetchFailed, "https://a.example/x")}, nil},
		{"candidates never", []Served{s("a.example", survey.Candidate, "d", survey.Up, survey.Identical, "https://a.example/x")}, nil},
		{"not in the sites file", []Served{s("evil.example", survey.Alternate, "d", survey.Up, survey.Identical, "https://evil.example/x")}, nil},
		{"redirected out of the mirror set", []Served{s("a.example", survey.Alternate, "d", survey.Up, survey.Identical, "https://elsewhere.example/x")}, nil},
		{"no web address", []Served{s("a.example", survey.Alternate, "d", survey.Up, survey.Identical, "javascript:alert(1)"), s("b.example", survey.Alternate, "d", survey.Up, survey.Identical, "https://u:p@b.example/")}, nil},
	} {
		if got := Leads(c.served, allowed); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLiveness(t *testing.T) {
	var asked atomic.Int64
	hold := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/up", func(http.ResponseWriter, *http.Request) { asked.Add(1); <-hold })
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "HEAD" {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/get", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	now := time.Now()
	var mu sync.Mutex
	l := &Liveness{Transport: http.DefaultTransport, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if !l.Alive(t.Context(), srv.URL+"/up") {
				t.Error("up is not alive")
			}
		})
	}
	for asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	if l.Alive(short, srv.URL+"/up") {
		t.Error("an answer before there was one")
	}
	cancel()
	close(hold)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	mu.Lock()
	now = now.Add(59 * time.Second)
	mu.Unlock()
	l.Alive(t.Context(), srv.URL+"/up")
	mu.Lock()
	now = now.Add(2 * time.Second)
	mu.Unlock()
	l.Alive(t.Context(), srv.URL+"/up")
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times in 61 s, want 2", n)
	}
	for path, want := range map[string]bool{"/get": true, "/gone": false, "/here": true, "/away": false, "/none": false} {
		if got := l.Alive(t.Context(), srv.URL+path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if u, ok := FindLive(t.Context(), []string{srv.URL + "/gone", srv.URL + "/get"}, l.Alive); !ok || u != srv.URL+"/get" {
		t.Error(u, ok)
	}
}
