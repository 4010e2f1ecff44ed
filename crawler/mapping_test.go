package crawler

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

func TestMappings(t *testing.T) {
	cases := []struct {
		name, address string
		want          []string
	}{
		{"id with a slug", "https://www.m.example/Detail/2016/08/10/479262/Harbour-talks", []string{
			"https://www.m.example/detail/2016/08/10/479262/harbour-talks", "https://www.m.example/Detail/2016/08/10/479262",
			"https://www.m.example/en/Detail/2016/08/10/479262/Harbour-talks", "https://m.example/Detail/2016/08/10/479262/Harbour-talks",
			"http://www.m.example/Detail/2016/08/10/479262/Harbour-talks"}},
		{"no id, a year is none", "https://m.example/2016/harbour", []string{"https://m.example/en/2016/harbour", "https://www.m.example/2016/harbour", "http://m.example/2016/harbour"}},
		{"language prefix", "http://m.example/fa/news/12345", []string{"http://m.example/news/12345", "http://www.m.example/fa/news/12345"}},
		{"language host", "http://fr.m.example/news/12345", []string{"http://fr.m.example/fr/news/12345", "http://www.fr.m.example/news/12345"}},
		{"onion: the same path only, but for languages", "http://abc.onion/x/1", []string{"http://abc.onion/en/x/1"}},
		{"literal", "http://127.0.0.1:8080/x/1", []string{"http://127.0.0.1:8080/en/x/1"}},
		{"hostile", "https://m.example/%zz", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, m := range mappings("", c.address, survey.Mirror{}) {
				got = append(got, m.url)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestMappedArticle: a mirror that keeps the article under its id alone is up, with a note; at most three more requests are
// made, and a mapping that leads to something else never makes it available.
func TestMappedArticle(t *testing.T) {
	w := newWorld(t)
	w.serve("www.harbour.example", newspaper{host: "www.harbour.example"})
	html := func(rw http.ResponseWriter, s string) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(rw, s)
	}
	byID := func(host, page string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/Detail/2016/08/10/479262" {
				html(rw, page)
				return
			}
			http.NotFound(rw, r)
		})
	}
	w.serve("byid.example", byID("byid.example", articlePage("byid.example")))
	w.serve("other.example", byID("other.example", frame("Rain ahead", "<article><h1>Rain ahead</h1><p>"+strings.Repeat("Clouds gather over the western hills, and the forecast for the coming days speaks of rain in every valley of the district. ", 8)+"</p></article>")))
	var asked atomic.Int32
	w.serve("never.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "479262") || strings.Contains(r.URL.Path, "harbour-talks") {
			asked.Add(1)
		}
		http.NotFound(rw, r)
	}))
	r := w.run(w.plan("www.harbour.example", "byid.example", "other.example", "never.example"))
	f := finding(t, r, "byid.example")
	if f.State != survey.Up || !slices.ContainsFunc(f.Notes, func(s string) bool { return strings.Contains(s, "mapped (id only)") }) {
		t.Errorf("by id: %s %s %q", f.State, f.Verdict.Verdict, f.Notes)
	}
	if f := finding(t, r, "other.example"); f.State != survey.Down {
		t.Errorf("another article by id: %s %s %q", f.State, f.Verdict.Verdict, f.Reasons)
	}
	if f := finding(t, r, "never.example"); f.State != survey.Down || f.Outcome != survey.Status(404) {
		t.Errorf("nowhere: %s %s", f.State, f.Outcome)
	}
	if n := asked.Load(); n > 1+maxMappings {
		t.Errorf("%d requests for the article, at most %d are due", n, 1+maxMappings)
	}
}

// TestConfirmCandidates: an announced host is confirmed when two articles are there and what cannot exist is not.
func TestConfirmCandidates(t *testing.T) {
	second := "/Detail/2016/08/11/479300/Ferry-timetable"
	both := func(host string) http.Handler {
		return newspaper{host: host, extra: map[string]http.HandlerFunc{second: func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(rw, strings.ReplaceAll(strings.ReplaceAll(articlePage(host), "ferry", "coach"), "Lindqvist", "Baumann"))
		}}}
	}
	anything := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(rw, articlePage("x.example"))
	})
	cases := []struct {
		name      string
		mirror    http.Handler
		articles  int
		confirmed bool
	}{
		{"two articles", both("www.harbourpost.co.uk"), 2, true},
		{"one article only", both("www.harbourpost.co.uk"), 1, false},
		{"the second is not there", newspaper{host: "www.harbourpost.co.uk"}, 2, false},
		{"anything is answered with the article", anything, 2, false},
		{"nothing is there", http.NotFoundHandler(), 2, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("www.harbour.example", both("www.harbour.example"))
			w.serve("www.harbourpost.co.uk", c.mirror)
			plan := w.plan("www.harbour.example")
			if c.articles == 2 {
				plan.Sites[0].Articles = append(plan.Sites[0].Articles, survey.Article{Site: "test", URL: "https://www.harbour.example" + second})
			}
			cfg := w.config()
			cfg.ConfirmCandidates = true
			r, err := Run(t.Context(), cfg, plan, Stop{})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Candidates) != 1 || r.Candidates[0].Confirmed != c.confirmed {
				t.Errorf("candidates: %+v, confirmed should be %v", r.Candidates, c.confirmed)
			}
		})
	}
}

// TestConfirmationIsGuarded: a host that a page announces and whose name resolves to an address inside is never connected to
// (classification.md 4, security). The last row opens the guard to show that the listener would have noticed.
func TestConfirmationIsGuarded(t *testing.T) {
	const candidate = "www.harbourpost.co.uk"
	for _, c := range []struct {
		name, address string
		open          bool
	}{
		{"loopback", "127.0.0.66", false}, {"private", "10.0.0.1", false}, {"cloud metadata", "169.254.169.254", false}, {"shared", "100.64.0.1", false},
		{"loopback, guard open", "127.0.0.66", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &faultWorld{testWorld: newWorld(t)}
			w.serve("www.harbour.example", newspaper{host: "www.harbour.example"})
			var came atomic.Int32
			ln, err := net.Listen("tcp", "127.0.0.66:443")
			if err == nil {
				go func() {
					for {
						conn, err := ln.Accept()
						if err != nil {
							return
						}
						came.Add(1)
						_ = conn.Close()
					}
				}()
				defer ln.Close()
			} else if c.open {
				t.Skipf("port 443 is not ours to listen on: %v", err)
			}
			w.answer = func(m *dns.Msg, q dns.Question) {
				if q.Qtype == dns.TypeA {
					m.Answer = append(m.Answer, a(q.Name, c.address))
				}
			}
			plan := w.plan("www.harbour.example")
			plan.Sites[0].Vantages = []survey.Vantage{{Name: "direct", Resolver: w.startDNS()}}
			plan.Sites[0].Transport = func(v survey.Vantage) (http.RoundTripper, error) {
				cfg := wire.Config{Vantage: v, ConnectTo: w.pins, Roots: w.roots, UserAgent: "test", Recorder: w,
					Limits: wire.Limits{DNS: time.Second, Connect: time.Second, TLS: time.Second, FirstByte: time.Second}}
				if c.open {
					cfg.Guard.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				}
				return wire.New(cfg)
			}
			cfg := w.config()
			cfg.ConfirmCandidates = true
			r, err := Run(t.Context(), cfg, plan, Stop{})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Candidates) != 1 || r.Candidates[0].Host != candidate || r.Candidates[0].Confirmed {
				t.Errorf("candidates: %+v", r.Candidates)
			}
			refused := 0
			for _, e := range w.exchange {
				if !strings.Contains(e.URL, candidate) {
					continue
				}
				if !c.open && (e.Outcome != survey.GuardRefused || e.Peer.IsValid()) {
					t.Errorf("%s: %s, peer %s", e.URL, e.Outcome, e.Peer)
				}
				refused++
			}
			if refused == 0 {
				t.Error("the candidate was not even tried")
			}
			if (came.Load() > 0) != c.open {
				t.Errorf("%d connections", came.Load())
			}
		})
	}
}
