package crawler

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/survey"
)

func quietLog() *log.Logger                { return log.New(io.Discard, "", 0) }
func newGzip(w io.Writer) *gzip.Writer     { return gzip.NewWriter(w) }
func textOf(words string) http.HandlerFunc { return page(200, words) }

func page(code int, html string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, html)
	}
}

const blockPage = `<html><head><title>Access blocked</title></head><body><h1>Access to this website is blocked</h1><p>Access to the requested website has been blocked by order of the court under the law on information. Contact your internet service provider.</p></body></html>`

// TestSituations visits one healthy primary and one mirror that misbehaves, and names what must be said of the mirror.
func TestSituations(t *testing.T) {
	const primary, mirror = "www.harbour.example", "m.harbour.example"
	for _, tc := range []struct {
		name    string
		set     func(w *testWorld)
		stage   survey.Stage
		outcome survey.Outcome
		verdict survey.VerdictWord
		state   survey.State
	}{
		{"the same page but for its host", func(w *testWorld) { w.serve(mirror, newspaper{host: mirror}) },
			survey.StageContent, survey.OK, survey.Identical, survey.Up},
		{"one name changed", func(w *testWorld) {
			w.serve(mirror, newspaper{host: mirror, article: func(p string) string { return strings.ReplaceAll(p, "Marcus Oyelaran", "Peter Oyelaran") }})
		}, survey.StageContent, survey.OK, survey.Altered, survey.Degraded},
		{"one number changed", func(w *testWorld) {
			w.serve(mirror, newspaper{host: mirror, article: func(p string) string { return strings.ReplaceAll(p, "14,000", "1,400") }})
		}, survey.StageContent, survey.OK, survey.Altered, survey.Degraded},
		{"cut in half", func(w *testWorld) {
			w.serve(mirror, newspaper{host: mirror, article: func(p string) string {
				return p[:strings.Index(p, "<p>Marcus")] + "</article></main></body></html>"
			}})
		}, survey.StageContent, survey.OK, survey.Truncated, survey.Degraded},
		{"block page with status 200", func(w *testWorld) { w.serve(mirror, page(200, blockPage)) },
			survey.StageContent, survey.OK, survey.Interstitial, survey.Down},
		{"another article", func(w *testWorld) {
			w.serve(mirror, newspaper{host: mirror, article: func(string) string {
				return frame("Rain ahead", "<article><h1>Rain ahead</h1><p>"+strings.Repeat("Heavy rain is expected along the whole coast from Sunday, the weather service said, and farmers should bring in what is left of the hay before then. ", 4)+"</p></article>")
			}})
		}, survey.StageContent, survey.OK, survey.DifferentPage, survey.Down},
		{"connection refused", func(w *testWorld) { w.refuse(mirror) },
			survey.StageConnect, survey.ConnectionRefused, survey.FetchFailed, survey.Down},
		{"certificate for another name", func(w *testWorld) {
			w.serveWith(mirror, w.certificate("other.example", nil), newspaper{host: mirror})
		}, survey.StageTLS, survey.HostnameMismatch, survey.FetchFailed, survey.Down},
		{"expired certificate", func(w *testWorld) {
			w.serveWith(mirror, w.certificate(mirror, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), newspaper{host: mirror})
		}, survey.StageTLS, survey.CertificateExpired, survey.FetchFailed, survey.Down},
		{"plain HTTP on the TLS port", func(w *testWorld) {
			w.tcp(mirror, func(c net.Conn) {
				_, _ = io.ReadFull(c, make([]byte, 32))
				_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://blocked.example/\r\n\r\n")
			})
		}, survey.StageTLS, survey.PlaintextOnTLS, survey.FetchFailed, survey.Down},
		{"reset in the handshake", func(w *testWorld) {
			w.tcp(mirror, func(c net.Conn) {
				_, _ = io.ReadFull(c, make([]byte, 32))
				_ = c.(*net.TCPConn).SetLinger(0)
			})
		}, survey.StageTLS, survey.ConnectionReset, survey.FetchFailed, survey.Down},
		{"no answer at all", func(w *testWorld) { w.raw(mirror, "") },
			survey.StageHTTP, survey.EmptyReply, survey.FetchFailed, survey.Down},
		{"silence", func(w *testWorld) {
			w.serve(mirror, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		}, survey.StageHTTP, survey.Timeout, survey.FetchFailed, survey.Down},
		{"404", func(w *testWorld) { w.serve(mirror, page(404, frame("Not found", "<h1>Not found</h1>"))) },
			survey.StageHTTP, "status_404", survey.FetchFailed, survey.Down},
		{"500", func(w *testWorld) { w.serve(mirror, page(500, "<h1>Internal Server Error</h1>")) },
			survey.StageHTTP, "status_500", survey.FetchFailed, survey.Down},
		{"429", func(w *testWorld) { w.serve(mirror, page(429, "<h1>Too many requests</h1>")) },
			survey.StageHTTP, survey.RateLimited, survey.Undetermined, survey.Unknown},
		{"redirect loop", func(w *testWorld) {
			w.serve(mirror, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) }))
		}, survey.StageHTTP, survey.RedirectLoop, survey.FetchFailed, survey.Down},
		{"302 without Location", func(w *testWorld) { w.raw(mirror, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n") },
			survey.StageHTTP, survey.BadLocation, survey.FetchFailed, survey.Down},
		{"302 to http://", func(w *testWorld) {
			w.raw(mirror, "HTTP/1.1 302 Found\r\nLocation: http://\r\nContent-Length: 0\r\n\r\n")
		}, survey.StageHTTP, survey.BadLocation, survey.FetchFailed, survey.Down},
		{"redirect to the home page", func(w *testWorld) {
			w.serve(mirror, newspaper{host: mirror, extra: map[string]http.HandlerFunc{articlePath: func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/", http.StatusFound) }}})
		}, survey.StageContent, survey.OK, survey.Interstitial, survey.Down},
		{"redirect to localhost's other port", func(w *testWorld) {
			w.serve(mirror, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "http://127.0.0.1:6379/", http.StatusFound)
			}))
		}, survey.StageConnect, survey.GuardRefused, survey.FetchFailed, survey.Down},
		{"empty body", func(w *testWorld) { w.serve(mirror, page(200, "")) },
			survey.StageBody, survey.BodyEmpty, survey.FetchFailed, survey.Down},
		{"a cookie wall that lets cookies in", func(w *testWorld) {
			paper := newspaper{host: mirror}
			w.serve(mirror, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if _, err := r.Cookie("seen"); err != nil && r.URL.Path == articlePath {
					http.SetCookie(rw, &http.Cookie{Name: "seen", Value: "1", Path: "/"})
					http.Redirect(rw, r, r.URL.Path, http.StatusFound)
					return
				}
				paper.ServeHTTP(rw, r)
			}))
		}, survey.StageContent, survey.OK, survey.Identical, survey.Up},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve(primary, newspaper{host: primary})
			tc.set(w)
			r := w.run(w.plan(primary, mirror))
			f := finding(t, r, mirror)
			if f.Stage != tc.stage || f.Outcome != tc.outcome || f.Verdict.Verdict != tc.verdict || f.State != tc.state {
				t.Errorf("got %s/%s %s %s (%s), want %s/%s %s %s", f.Stage, f.Outcome, f.Verdict.Verdict, f.State, strings.Join(f.Reasons, "; "),
					tc.stage, tc.outcome, tc.verdict, tc.state)
			}
			if p := finding(t, r, primary); p.State != survey.Up {
				t.Errorf("the healthy primary is %s: %s (%s)", p.State, p.Verdict.Verdict, strings.Join(p.Reasons, "; "))
			}
			if len(f.Captures) == 0 {
				t.Error("nothing was kept as evidence")
			}
		})
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSameBlockPageEverywhereIsDown(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", page(200, blockPage))
	w.serve("b.example", page(200, blockPage))
	r := w.run(w.plan("a.example", "b.example"))
	for _, h := range []string{"a.example", "b.example"} {
		if f := finding(t, r, h); f.State != survey.Down {
			t.Errorf("%s: %s %s, want down", h, f.State, f.Verdict.Verdict)
		}
	}
}

func TestAnnouncedMirrorIsCandidateAndNotVisited(t *testing.T) {
	w := newWorld(t)
	var visits atomic.Int32
	w.serve("www.harbourpost.example", newspaper{host: "www.harbourpost.example"})
	w.serve("www.harbourpost.co.uk", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	r := w.run(w.plan("www.harbourpost.example"))
	if len(r.Candidates) != 1 || r.Candidates[0].Host != "www.harbourpost.co.uk" {
		t.Errorf("candidates: %+v", r.Candidates)
	}
	if visits.Load() != 0 {
		t.Errorf("the candidate was visited %d times", visits.Load())
	}
}

func TestVerdictProbesUseFreshConnections(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.run(w.plan("a.example"))
	for _, e := range w.exchange {
		if e.Probe.Purpose.Decides() && e.Reused {
			t.Errorf("%s %s rode on a used connection", e.Probe.Purpose, e.URL)
		}
	}
	if w.asked("a.example", survey.ForDecoy) != 2 || w.asked("a.example", survey.ForRoot) != 1 || w.asked("a.example", survey.ForRequisite) == 0 {
		t.Errorf("decoys %d, root %d, requisites %d", w.asked("a.example", survey.ForDecoy), w.asked("a.example", survey.ForRoot), w.asked("a.example", survey.ForRequisite))
	}
}

func TestSinkErrorStopsTheRun(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.putErr = errors.New("disk full")
	_, err := Run(context.Background(), w.config(), w.plan("a.example"), Stop{})
	if !errors.Is(err, w.putErr) {
		t.Errorf("the run's error is %v, want the sink's", err)
	}
}

func TestCanariesDownMakeTheRunVoid(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.refuse("canary.example")
	plan := w.plan("a.example")
	plan.Sites[0].Canaries = []string{"https://canary.example/"}
	r := w.run(plan)
	if !r.Run.Void || len(r.Run.VoidVantages) != 1 {
		t.Errorf("void %v, vantages %v", r.Run.Void, r.Run.VoidVantages)
	}
	if f := finding(t, r, "a.example"); f.State != survey.Unknown || w.asked("a.example", survey.ForVerdict) != 0 {
		t.Errorf("state %s after %d visits", f.State, w.asked("a.example", survey.ForVerdict))
	}
}

func TestOwnNetworkFailingInTheMiddleIsNobodysFault(t *testing.T) {
	w := newWorld(t)
	var down atomic.Bool
	w.serve("a.example", newspaper{host: "a.example"})
	w.serve("canary.example", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
	}))
	w.tcp("b.example", func(net.Conn) { down.Store(true) })
	plan := w.plan("a.example", "b.example")
	plan.Sites[0].Canaries = []string{"https://canary.example/"}
	r := w.run(plan)
	if f := finding(t, r, "b.example"); f.State != survey.Unknown || f.Outcome != survey.OwnNetwork {
		t.Errorf("b.example is %s (%s/%s), want unknown, own_network", f.State, f.Stage, f.Outcome)
	}
}

func TestCanariesUpMakeAFailureCount(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.serve("canary.example", textOf("ok"))
	w.refuse("b.example")
	plan := w.plan("a.example", "b.example")
	plan.Sites[0].Canaries = []string{"https://canary.example/"}
	r := w.run(plan)
	if f := finding(t, r, "b.example"); f.State != survey.Down {
		t.Errorf("b.example is %s (%s/%s), want down", f.State, f.Stage, f.Outcome)
	}
	if n := w.asked("canary.example", survey.ForCanary); n != 2 {
		t.Errorf("the canary was asked %d times, want before and after", n)
	}
}

func TestRetryUsesANewProbe(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	var n atomic.Int32
	paper := newspaper{host: "b.example"}
	w.serve("b.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == articlePath && n.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		paper.ServeHTTP(rw, r)
	}))
	plan := w.plan("a.example", "b.example")
	plan.Sites[0].Settings.Retries = 2
	r := w.run(plan)
	f := finding(t, r, "b.example")
	if f.State != survey.Up || f.Attempts != 2 {
		t.Errorf("state %s after %d attempts, want up after 2", f.State, f.Attempts)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	w := newWorld(t)
	var first atomic.Int64
	paper := newspaper{host: "a.example"}
	w.serve("a.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == articlePath && first.CompareAndSwap(0, time.Now().UnixNano()) {
			rw.Header().Set("Retry-After", "1")
			rw.WriteHeader(429)
			return
		}
		paper.ServeHTTP(rw, r)
	}))
	plan := w.plan("a.example")
	plan.Sites[0].Settings.Retries = 1
	started := time.Now()
	r := w.run(plan)
	if f := finding(t, r, "a.example"); f.State != survey.Up {
		t.Errorf("state %s", f.State)
	}
	if time.Since(started) < time.Second {
		t.Error("the second attempt came before the second that was asked for")
	}
}

func TestStopMakesTheRestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	stop := make(chan struct{})
	close(stop)
	r, err := Run(context.Background(), w.config(), w.plan("a.example"), Stop{C: stop, Reason: func() string { return "signal" }})
	if err != nil {
		t.Fatal(err)
	}
	if f := finding(t, r, "a.example"); f.Verdict.Verdict != survey.Undetermined || f.Outcome != survey.Interrupted {
		t.Errorf("%s %s", f.Verdict.Verdict, f.Outcome)
	}
	if r.Run.Complete || r.Run.StoppedBy == nil || *r.Run.StoppedBy != "signal" {
		t.Errorf("complete %v, stopped by %v", r.Run.Complete, r.Run.StoppedBy)
	}
}

func TestCancelReturnsAtOnce(t *testing.T) {
	w := newWorld(t)
	asked := make(chan struct{}, 1)
	w.serve("a.example", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancelCause(context.Background())
	plan := w.plan("a.example")
	plan.Sites[0].Settings.Timeout = time.Minute
	var cancelled time.Time
	go func() {
		<-asked
		cancelled = time.Now()
		cancel(errors.New("enough"))
	}()
	r, err := Run(ctx, w.config(), plan, Stop{})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(cancelled); took > 100*time.Millisecond {
		t.Errorf("the run ended %v after it was cancelled", took)
	}
	if f := finding(t, r, "a.example"); f.Outcome != survey.Interrupted || f.State != survey.Unknown {
		t.Errorf("%s %s", f.Outcome, f.State)
	}
}

func TestEnvironmentOfCollyChangesNothing(t *testing.T) {
	for k, v := range map[string]string{"COLLY_ALLOWED_DOMAINS": "nowhere.example", "COLLY_CACHE_DIR": t.TempDir(), "COLLY_DISALLOWED_DOMAINS": "a.example",
		"COLLY_MAX_BODY_SIZE": "10", "COLLY_MAX_DEPTH": "1", "COLLY_USER_AGENT": "evil", "COLLY_IGNORE_ROBOTSTXT": "n",
		"COLLY_PARSE_HTTP_ERROR_RESPONSE": "n", "COLLY_DETECT_CHARSET": "y", "COLLY_FOLLOW_REDIRECTS": "y", "COLLY_TRACE_HTTP": "y", "COLLY_MAX_REQUESTS": "1"} {
		t.Setenv(k, v)
	}
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.serve("b.example", newspaper{host: "b.example"})
	r := w.run(w.plan("a.example", "b.example"))
	if r.Summary.Up != 2 {
		t.Errorf("summary %+v", r.Summary)
	}
	for _, e := range w.exchange {
		if strings.Contains(string(e.Request), "evil") {
			t.Error("the environment's User-Agent was sent")
		}
	}
}

func TestPanicWhileReadingFailsOneProbe(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	f := newFetcherFor(t, w)
	a, err := f.ask(context.Background(), question{url: "https://a.example/", read: func(*answer) { panic("a bug") }})
	if err != nil || a.crashed != "a bug" || a.exchange == nil {
		t.Errorf("answer %+v, error %v", a, err)
	}
	c, err := f.follow(context.Background(), question{url: "https://a.example/"}, 3, content.Options{})
	if err != nil || c.outcome != survey.OK {
		t.Errorf("the next probe: %v, %v", c.outcome, err)
	}
}

func newFetcherFor(t *testing.T, w *testWorld) *fetcher {
	t.Helper()
	rt, err := w.plan("a.example").Sites[0].Transport(survey.Vantage{Name: "direct"})
	if err != nil {
		t.Fatal(err)
	}
	f := newFetcher(survey.Vantage{Name: "direct"}, rt, newGate(4, 4, 0))
	f.progress = func(Event) {}
	return f
}

// TestHopsAreExchanges: each hop of a redirect chain is recorded, bodies of the hops included.
func TestHopsAreExchanges(t *testing.T) {
	w := newWorld(t)
	paper := newspaper{host: "a.example"}
	long := strings.Repeat("moved ", 1000)
	w.serve("a.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		hop, err := strconv.Atoi(r.URL.Query().Get("hop"))
		if r.URL.Path != articlePath || err == nil && hop >= 3 {
			paper.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Location", articlePath+"?hop="+strconv.Itoa(hop+1))
		rw.WriteHeader(302)
		_, _ = io.WriteString(rw, long)
	}))
	r := w.run(w.plan("a.example"))
	f := finding(t, r, "a.example")
	if len(f.Redirects) != 3 || len(f.Captures) < 4 || !strings.HasSuffix(f.FinalURL, "?hop=3") {
		t.Errorf("redirects %v, %d captures, final %s", f.Redirects, len(f.Captures), f.FinalURL)
	}
	hops := 0
	for _, e := range w.exchange {
		if e.Status == 302 && e.Complete && e.PayloadSize == int64(len(long)) {
			hops++
		}
	}
	if hops < 3 {
		t.Errorf("%d of 3 hops were recorded whole", hops)
	}
}

// TestCookiesStayWithTheirMirror: what mirror A sets is never sent to mirror B, nor in another chain.
func TestCookiesStayWithTheirMirror(t *testing.T) {
	w := newWorld(t)
	set := func(host string) http.Handler {
		paper := newspaper{host: host}
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if c := r.Header.Get("Cookie"); c != "" {
				t.Errorf("%s got the cookie %q", host, c)
			}
			http.SetCookie(rw, &http.Cookie{Name: "id", Value: host, Domain: "harbour.example"})
			paper.ServeHTTP(rw, r)
		})
	}
	w.serve("a.harbour.example", set("a.harbour.example"))
	w.serve("b.harbour.example", set("b.harbour.example"))
	w.run(w.plan("a.harbour.example", "b.harbour.example"))
}
