//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports/notify"
)

// stage is a server on loopback that is several hosts, each of which misbehaves as it is told to.
type stage struct {
	mu    sync.Mutex
	how   map[string]byte // by host or host and path: 0 well, d no handshake, s 503, g 404, a altered, c an expired certificate, w waits
	asked chan string

	caPEM         []byte
	good, expired map[string]*tls.Certificate
	*httptest.Server
}

func (s *stage) of(keys ...string) byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if s.how[k] != 0 {
			return s.how[k]
		}
	}
	return 0
}

func (s *stage) set(how map[string]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.how = how
}

func newStage(t *testing.T, hosts ...string) *stage {
	t.Helper()
	s := &stage{asked: make(chan string, 1000), good: map[string]*tls.Certificate{}, expired: map[string]*tls.Certificate{}}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, now := key(), time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	s.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for i, h := range hosts {
		for j, into := range []map[string]*tls.Certificate{s.good, s.expired} {
			k := key()
			c := &x509.Certificate{SerialNumber: big.NewInt(int64(2 + 2*i + j)), Subject: pkix.Name{CommonName: h}, DNSNames: []string{h}, NotBefore: now.AddDate(0, -2, 0), NotAfter: now.AddDate(0, 1-2*j, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			der, err := x509.CreateCertificate(rand.Reader, c, ca, k.Public(), caKey)
			if err != nil {
				t.Fatal(err)
			}
			into[h] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
		}
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.asked <- r.Host:
		default:
		}
		name := "Hassan"
		switch s.of(r.Host, r.Host+r.URL.Path) {
		case 's':
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		case 'g':
			http.NotFound(w, r)
			return
		case 'w':
			<-r.Context().Done()
			return
		case 'a':
			name = "Hussein"
		}
		if !slices.Contains([]string{"/", "/story-1000001", "/story-1000002"}, r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<html><head><title>Story %s</title></head><body><article><h1>Story %[1]s</h1>", r.URL.Path)
		if r.URL.Path != "/" {
			for i := range 12 {
				fmt.Fprintf(w, "<p>In paragraph %d of the story at %s the minister said that the talks in Aleppo would go on until all sides agree on item %d.</p>", i, r.URL.Path, 7*i)
			}
			fmt.Fprintf(w, "<p>The envoy, %s, did not want to comment on what had been said in the morning.</p>", name)
		}
		fmt.Fprint(w, "</article></body></html>")
	}))
	s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c := s.good[hello.ServerName]
		switch s.of(hello.ServerName) {
		case 'd':
			return nil, errors.New("not today")
		case 'c':
			c = s.expired[hello.ServerName]
		}
		if c == nil {
			return nil, errors.New("nobody of this name")
		}
		return &tls.Config{Certificates: []tls.Certificate{*c}}, nil
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// act is what the hosts do in one run, and what is to be told by it.
type act struct {
	how  map[string]byte
	hook string   // what the program does that is told: "" takes it, fail, kill (kill -9 to mirrorwatch)
	kill bool     // kill -9 in mid-run
	want []string // "kind severity mirror article", as told in this run
}

// TestRealRuns runs the real process again and again (MIRRORWATCH_RUNS, 200 for the whole; 10 otherwise) against a primary and
// two mirrors that fail as those of the simulated year do. After each run, what was told is what had to be told, by a
// program that may fail or kill its caller.
func TestRealRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP runs the command many times")
	}
	runs := 10
	if v := os.Getenv("MIRRORWATCH_RUNS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		runs = n
	}
	const a, b, c, canary, gone = "www.a.example", "www.b.example", "www.c.example", "canary.example", "/story-1000002"
	s := newStage(t, a, b, c, canary)
	all := func(how byte) map[string]byte { return map[string]byte{a: how, b: how, c: how, canary: how} }
	one := func(host string, how byte) map[string]byte { return map[string]byte{host: how} }
	bad, good := "opened down ", "closed down "
	var acts []act
	times := func(n int, x act) {
		for range n {
			acts = append(acts, x)
		}
	}
	episode := func(cycle int) {
		times(1, act{})
		// An outage: told in its third run, by a program that fails once, or that kills the run.
		times(2, act{how: one(b, 'd')})
		switch cycle % 3 {
		case 0:
			times(1, act{how: one(b, 'd'), want: []string{bad + b + " "}})
			times(1, act{how: one(b, 'd')})
		case 1:
			times(1, act{how: one(b, 'd'), hook: "fail"})
			times(1, act{how: one(b, 'd'), want: []string{bad + b + " "}})
		case 2:
			times(1, act{how: one(b, 'd'), hook: "kill"}) // delivery unknown: not again
			times(1, act{how: one(b, 'd')})
		}
		times(1, act{})
		times(1, act{want: []string{good + b + " "}})
		times(1, act{how: one(c, 's')}) // a single failure
		times(1, act{how: all('d')})    // our own network
		times(1, act{})
		if cycle == 0 && runs <= 10 {
			return
		}
		times(1, act{how: one(a, 'w'), kill: true})
		times(2, act{how: one(c, 'd')}) // two failures
		times(1, act{})
		// One article is gone on one mirror.
		times(2, act{how: one(c+gone, 'g')})
		times(1, act{how: one(c+gone, 'g'), want: []string{bad + c + " https://" + a + gone}})
		times(3, act{how: one(c+gone, 'g')})
		times(1, act{})
		times(1, act{want: []string{good + c + " https://" + a + gone}})
		// A mirror is altered.
		times(2, act{how: one(b, 'a')})
		times(1, act{how: one(b, 'a'), want: []string{"opened degraded " + b + " "}})
		times(2, act{how: one(b, 'a')})
		times(1, act{})
		times(1, act{want: []string{"closed degraded " + b + " "}})
		// A certificate is not renewed.
		times(2, act{how: one(c, 'c')})
		times(1, act{how: one(c, 'c'), want: []string{bad + c + " "}})
		times(2, act{how: one(c, 'c')})
		times(1, act{})
		times(1, act{want: []string{good + c + " "}})
	}
	for cycle := 0; len(acts) < runs; cycle++ {
		episode(cycle)
		if cycle == 1 {
			times(20, act{}) // until nothing of before is among the newest 20 results
			for n := range 17 {
				x := act{}
				if n%2 == 0 {
					x.how = one(c, 'd')
				}
				if n == 8 {
					x.want = []string{bad + c + " "}
				}
				times(1, x)
			}
			times(17, act{})
			times(1, act{want: []string{good + c + " "}})
		}
	}
	acts = acts[:runs]

	dir := t.TempDir()
	told, mood := filepath.Join(dir, "told"), filepath.Join(dir, "mood")
	hook := filepath.Join(dir, "page-me")
	ca := filepath.Join(dir, "ca.pem")
	port := s.Listener.Addr().String()
	file := filepath.Join(dir, "m.yaml")
	text := fmt.Sprintf("canaries: [https://%s/]\ndefaults:\n  ca_file: ca.pem\n  delay: 0s\n  retries: 0\n  timeout: 5s\n  links: none\n  connect_to: [%q, %q, %q, %q]\n", canary,
		a+":443:"+port, b+":443:"+port, c+":443:"+port, canary+":443:"+port) +
		fmt.Sprintf("data: D\nsites:\n  s:\n    primary: https://%s\n    mirrors: [https://%s, https://%s]\n    articles: [/story-1000001, %s]\nnotify: [{exec: [%s]}]\n", a, b, c, gone, hook)
	for name, content := range map[string]string{ca: string(s.caPEM), file: text, hook: "#!/bin/sh\nread mood < " + mood + "\n[ \"$mood\" = fail ] && exit 1\n[ \"$mood\" = kill ] && kill -9 $PPID && exit 0\ncat >> " + told + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	heard, unknown := 0, 0
	begin := time.Now()
	for n, x := range acts {
		s.set(x.how)
		if err := os.WriteFile(mood, []byte(x.hook+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "check", "--sites", file, "--quiet-unless-changed", "-q")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		for len(s.asked) > 0 {
			<-s.asked
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if x.kill {
			for h := range s.asked {
				if h == a {
					break
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait()
		code := cmd.ProcessState.ExitCode()
		want := exitOK
		switch {
		case x.kill || x.hook == "kill":
			want = -1
			unknown++
		case len(x.how) == 4:
			want = exitVoid
		case len(x.how) > 0:
			want = exitFound
		}
		if code != want {
			t.Fatalf("run %d: status %d, want %d: %s", n, code, want, out.String())
		}
		lines, err := os.ReadFile(told)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		var got []string
		docs := strings.Split(strings.TrimSpace(string(lines)), "\n")
		if docs[0] == "" {
			docs = nil
		}
		for _, l := range docs[heard:] {
			var d notify.Document
			if err := json.Unmarshal([]byte(l), &d); err != nil {
				t.Fatalf("run %d: %v: %s", n, err, l)
			}
			got = append(got, fmt.Sprintf("%s %s %s %s", d.Event.Kind, d.Event.Incident.Severity, d.Event.Incident.Mirror, d.Event.Incident.Article))
		}
		heard = len(docs)
		if !slices.Equal(got, x.want) {
			t.Fatalf("run %d of %d: told %q, want %q\n%s", n, runs, got, x.want, out.String())
		}
	}
	h, err := history.Open(filepath.Join(dir, "D", historyFile), history.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	rows, err := h.Incidents(t.Context(), time.Time{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.Notices(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	states := map[history.NoticeState]int{}
	for _, n := range list {
		states[n.State]++
	}
	wanted := 0
	for _, x := range acts {
		wanted += len(x.want)
	}
	if states[history.NoticeSent] != wanted || states[history.NoticeFailed]+states[history.NoticePending]+states[history.NoticeSending] > 0 {
		t.Errorf("notices %v, %d were to be sent", states, wanted)
	}
	opened := 0
	for _, r := range rows {
		if r.Opened != nil {
			opened++
		}
		if r.Closed != nil && survey.IncidentState(r.State) != survey.IncidentClosed {
			t.Errorf("%+v", r)
		}
	}
	if code, _, errs := run(t, "verify", "--quick", "--data", filepath.Join(dir, "D")); code != exitOK {
		t.Errorf("verify: status %d: %s", code, errs)
	}
	t.Logf("%d runs of the real process in %s, %d of them killed: %d incidents opened, notices %v", runs, time.Since(begin).Round(time.Millisecond), unknown, opened, states)
}
