package wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

// TestCases are the 29 cases of fetching.md section 2: what the server logged is what was recorded, plain and over TLS.
func TestCases(t *testing.T) {
	ca := newAuthority(t)
	z := zipped("<p>hello</p>")
	pause := func() { time.Sleep(20 * time.Millisecond) }
	cases := []struct {
		name    string
		method  string
		serve   func(c *logged)
		want    string // stage/outcome
		status  int
		body    string
		keep    bool // the connection serves the next request
		cut     string
		interim int
		surplus int
	}{
		{name: "odd header case", serve: func(c *logged) { c.say("HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh: 2\r\nX-oDD: y\r\n\r\nhi") }, body: "hi", keep: true},
		{name: "duplicates", serve: func(c *logged) { c.say(okHead + "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nhi") }, body: "hi", keep: true},
		{name: "chunk extensions and trailers", serve: func(c *logged) {
			c.say(okHead + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX-T: v\r\n\r\n")
		}, body: "hi", keep: true},
		{name: "gzip in chunks", serve: func(c *logged) {
			c.say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.say(fmt.Sprintf("%x\r\n%s\r\n", 5, z[:5]))
			pause()
			c.say(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(z)-5, z[5:]))
		}, body: "<p>hello</p>", keep: true},
		{name: "longer than Content-Length at once", serve: func(c *logged) { c.say(okHead + "Content-Length: 2\r\n\r\nhi and more") }, body: "hi", surplus: 9},
		{name: "longer than Content-Length later", serve: func(c *logged) {
			c.say(okHead + "Content-Length: 2\r\n\r\nhi")
			pause()
			_, _ = c.Conn.Write([]byte("more")) // not in the log: nobody may ever take it
		}, body: "hi"},
		{name: "shorter than Content-Length", serve: func(c *logged) { c.say(okHead + "Content-Length: 9\r\n\r\nhi"); _ = c.Conn.Close() },
			want: "body/body_truncated_transport", body: "hi", cut: "disconnect"},
		{name: "cut head", serve: func(c *logged) { c.say("HTTP/1.1 200 OK\r\nContent-Le"); _ = c.Conn.Close() }, want: "http/head_truncated", cut: "disconnect"},
		{name: "no byte", serve: func(c *logged) { _ = c.Conn.Close() }, want: "http/empty_reply"},
		{name: "RST in body", serve: func(c *logged) { c.say(okHead + "Content-Length: 9\r\n\r\nhi"); pause(); c.reset() },
			want: "body/connection_reset", body: "hi", cut: "disconnect"},
		{name: "103 twice", serve: func(c *logged) {
			c.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
			pause()
			c.say(okHead + "Content-Length: 2\r\n\r\nhi")
		}, body: "hi", keep: true, interim: 2},
		{name: "unasked 100", serve: func(c *logged) { c.say("HTTP/1.1 100 Continue\r\n\r\n" + okHead + "Content-Length: 2\r\n\r\nhi") }, body: "hi", keep: true, interim: 1},
		{name: "417", serve: func(c *logged) { c.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n") }, status: 417, keep: true},
		{name: "HEAD", method: "HEAD", serve: func(c *logged) { c.say(okHead + "Content-Length: 99\r\n\r\n") }, keep: true},
		{name: "204", serve: func(c *logged) { c.say("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n") }, status: 204, keep: true},
		{name: "304", serve: func(c *logged) { c.say("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n") }, status: 304, keep: true},
		{name: "empty", serve: func(c *logged) { c.say(okHead + "Content-Length: 0\r\n\r\n") }, keep: true},
		{name: "slow head", serve: func(c *logged) {
			for _, p := range []string{"HTTP/1.1 2", "00 OK\r\nContent-Type: text/plain\r", "\nContent-Length: 2\r\n\r", "\nhi"} {
				c.say(p)
				pause()
			}
		}, body: "hi", keep: true},
		{name: "slow body", serve: func(c *logged) {
			c.say(okHead + "Content-Length: 4\r\n\r\n")
			for _, p := range []string{"h", "i", "h", "i"} {
				pause()
				c.say(p)
			}
		}, body: "hihi", keep: true},
		{name: "HTTP/1.0 to EOF", serve: func(c *logged) { c.say("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhi"); _ = c.Conn.Close() }, body: "hi"},
		{name: "LF only", serve: func(c *logged) { c.say("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 2\n\nhi") }, body: "hi", keep: true},
		{name: "bad header", serve: func(c *logged) { c.say(okHead + "no colon here\r\nBad Name: x\r\nContent-Length: 2\r\n\r\nhi") }, body: "hi", keep: true},
		{name: "SSH banner", serve: func(c *logged) { c.say("SSH-2.0-OpenSSH_9.6\r\n"); pause(); c.say("tail") }, want: "http/malformed", cut: "unspecified"},
		{name: "two Content-Lengths", serve: func(c *logged) { c.say(okHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!") },
			want: "http/malformed", body: "hi!", cut: "unspecified"},
		{name: "Content-Length and Transfer-Encoding", serve: func(c *logged) {
			c.say(okHead + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
		}, body: "hi"},
		{name: "bad chunk", serve: func(c *logged) { c.say(okHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n") }, want: "body/malformed", body: "hi", cut: "unspecified"},
		{name: "256 KB", serve: func(c *logged) {
			c.say(okHead + "Content-Length: 262144\r\n\r\n" + strings.Repeat("0123456789abcdef", 16384))
		},
			body: strings.Repeat("0123456789abcdef", 16384), keep: true},
		{name: "closed keep-alive", serve: func(c *logged) { c.say(okHead + "Content-Length: 2\r\n\r\nhi"); _ = c.Conn.Close() }, body: "hi"},
		{name: "408 on idle", serve: func(c *logged) {
			c.say(okHead + "Content-Length: 2\r\n\r\nhi")
			pause()
			_, _ = c.Conn.Write([]byte("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"))
		}, body: "hi"},
		{name: "302", serve: func(c *logged) { c.say("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") }, status: 302, keep: true},
	}
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) {
					t.Parallel()
					var cfg *tls.Config
					if scheme == "https" {
						cfg = &tls.Config{Certificates: []tls.Certificate{ca.valid(t, name)}}
					}
					s := serve(t, cfg, func(_ int, c *logged) {
						for {
							req := c.request()
							switch {
							case req == "":
								return
							case strings.Contains(req, "/case"):
								c.in.Reset()
								c.in.WriteString(req)
								c.out.Reset()
								tc.serve(c)
							default:
								c.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.")
							}
						}
					})
					tr, b := open(t, Config{ConnectTo: pinTo(s.addr), Roots: ca.pool, UserAgent: "test", Limits: limitsFor(tc.want)})
					ctx := t.Context()
					v := &Visit{Probe: survey.Probe{Purpose: survey.ForLink}}
					if _, _, err := get(ctx, tr, v, "GET", scheme+"://"+name+"/warm-up"); err != nil {
						t.Fatal(err)
					}
					method := tc.method
					if method == "" {
						method = "GET"
					}
					_, body, _ := get(ctx, tr, v, method, scheme+"://"+name+"/case")
					e, raw := b.last()
					at := len(v.Records) - 1
					if tc.name == "no byte" { // attempt 1 died on the kept connection, attempt 2 on a fresh one
						if len(v.Records) != 3 || !v.Records[1].Exchange.Reused || e.Reused {
							t.Errorf("%d records, want a stale attempt and a fresh one", len(v.Records))
						}
					}
					want, status := tc.want, tc.status
					if want == "" {
						want = "content/ok"
						if status == 0 {
							status = 200
						}
					}
					if seen(e) != want {
						t.Errorf("%s (%s), want %s", seen(e), e.Err, want)
					}
					if status != 0 && e.Status != status {
						t.Errorf("status %d, want %d", e.Status, status)
					}
					if string(body) != tc.body {
						t.Errorf("body %.60q, want %.60q", body, tc.body)
					}
					if e.Truncated != tc.cut || e.Complete != (tc.cut == "" && tc.want == "") {
						t.Errorf("truncated %q, complete %v", e.Truncated, e.Complete)
					}
					if len(e.Interim) != tc.interim {
						t.Errorf("%d interim responses, want %d", len(e.Interim), tc.interim)
					}
					if e.Head.End > 0 && e.FramedEnd != int64(len(raw)-tc.surplus) && tc.want == "" {
						t.Errorf("framed end %d of %d, surplus should be %d", e.FramedEnd, len(raw), tc.surplus)
					}
					used := at + 1
					time.Sleep(50 * time.Millisecond) // what comes late, comes
					_, _, err := get(ctx, tr, v, "GET", scheme+"://"+name+"/follow-up")
					if err != nil {
						t.Fatal(err)
					}
					after, _ := b.last()
					// On a busy machine the 408 may come so late that it crosses the follow-up, which is then asked twice.
					crossed := tc.name == "408 on idle" && len(v.Records) == used+2 && v.Records[used].Exchange.Status == 408
					if after.Status != 200 || after.Reused != tc.keep || len(v.Records) != used+1 && !crossed {
						t.Errorf("follow-up: status %d, reused %v (want %v), %d records", after.Status, after.Reused, tc.keep, len(v.Records)-used)
					}
					_ = tr.Close()
					s.mu.Lock()
					defer s.mu.Unlock()
					for _, c := range s.conns {
						if strings.Contains(c.in.String(), "/case") {
							in, _, _ := strings.Cut(c.in.String(), "GET /follow-up")
							if in != string(e.Request) && tc.name != "no byte" {
								t.Errorf("request: server got %q, recorded %q", in, e.Request)
							}
							out := c.out.String()
							if tc.keep || crossed {
								out = strings.TrimSuffix(out, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.")
							}
							if out != string(raw) {
								t.Errorf("response: server sent %.200q, recorded %.200q", out, raw)
							}
						}
					}
				})
			}
		})
	}
}

// TestIdle: pitfall 2. What lies on an idle connection never becomes the next answer.
func TestIdle(t *testing.T) {
	ca := newAuthority(t)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			var cfg *tls.Config
			if scheme == "https" {
				cfg = &tls.Config{Certificates: []tls.Certificate{ca.valid(t, name)}}
			}
			taken, said := make(chan bool), make(chan bool)
			s := serve(t, cfg, func(n int, c *logged) {
				c.request()
				c.say(okHead + "Content-Length: 2\r\n\r\nhi")
				if n == 1 {
					<-taken
					c.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
					close(said)
				}
				c.request()
			})
			tr, b := open(t, Config{ConnectTo: pinTo(s.addr), Roots: ca.pool})
			v := &Visit{Probe: survey.Probe{Purpose: survey.ForLink}}
			for i := range 2 {
				if _, body, err := get(t.Context(), tr, v, "GET", scheme+"://"+name+"/"); err != nil || string(body) != "hi" {
					t.Errorf("%q, %v", body, err)
				}
				if i == 0 {
					close(taken)
					<-said
					time.Sleep(10 * time.Millisecond)
				}
			}
			if e, _ := b.last(); e.Status != 200 || e.Reused || e.Unsolicited == 0 || s.accepts() != 2 {
				t.Errorf("status %d, reused %v, unsolicited %d, %d connections", e.Status, e.Reused, e.Unsolicited, s.accepts())
			}
		})
	}
}

// TestLate408: a 408 that crosses our request on a kept connection is recorded, and the question asked once more on a fresh one.
func TestLate408(t *testing.T) {
	s := serve(t, nil, func(n int, c *logged) {
		c.request()
		c.say(okHead + "Content-Length: 2\r\n\r\nhi")
		if c.request() != "" {
			c.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
	})
	tr, b := open(t, Config{ConnectTo: pinTo(s.addr)})
	v := &Visit{Probe: survey.Probe{Purpose: survey.ForLink}}
	for range 2 {
		if _, body, err := get(t.Context(), tr, v, "GET", "http://"+name+"/"); err != nil || string(body) != "hi" {
			t.Errorf("%q, %v", body, err)
		}
	}
	if len(v.Records) != 3 || len(b.got) != 3 || v.Records[1].Exchange.Status != 408 || v.Records[2].Exchange.Reused {
		t.Errorf("%d records: want an answer, the 408, an answer", len(v.Records))
	}
}

// TestFresh: pitfall 4. A verdict never rests on a used connection.
func TestFresh(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) {
		for c.request() != "" {
			c.say(okHead + "Content-Length: 2\r\n\r\nhi")
		}
	})
	tr, _ := open(t, Config{ConnectTo: pinTo(s.addr)})
	for range 3 {
		if _, _, err := get(t.Context(), tr, &Visit{Probe: survey.Probe{Purpose: survey.ForVerdict}}, "GET", "http://"+name+"/"); err != nil {
			t.Fatal(err)
		}
	}
	if s.accepts() != 3 {
		t.Errorf("%d connections, want 3", s.accepts())
	}
}

// TestLimits: pitfalls 6, 7 (in small) and 8.
func TestLimits(t *testing.T) {
	endless := func(s string) func(int, *logged) {
		return func(_ int, c *logged) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\n")
			for range 1000000 {
				if _, err := io.WriteString(c.Conn, s); err != nil {
					return
				}
			}
		}
	}
	lim := limitsFor("")
	lim.Wire, lim.Decoded = 3<<20, 1<<20
	bomb := zipped(strings.Repeat("\x00", 8<<20))
	for _, tc := range []struct {
		name, want string
		size       int64
		serve      func(int, *logged)
	}{
		{"endless head", "http/head_too_big", 256 << 10, endless("X: " + strings.Repeat("y", 1000) + "\r\n")},
		{"endless interim", "http/head_too_big", 256 << 10, func(_ int, c *logged) {
			c.request()
			for range 100000 {
				if _, err := io.WriteString(c.Conn, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		}},
		{"endless body", "body/body_truncated_limit", 0, func(_ int, c *logged) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\n\r\n")
			for range 1000 {
				if _, err := c.Conn.Write(make([]byte, 16<<10)); err != nil {
					return
				}
			}
		}},
		{"gzip bomb", "body/decoded_limit", 0, func(_ int, c *logged) {
			c.request()
			c.say(okHead + "Content-Encoding: gzip\r\n\r\n" + bomb)
		}},
		{"broken gzip tail", "body/decode_error", 0, func(_ int, c *logged) {
			c.request()
			z := zipped(strings.Repeat("hello ", 100))
			c.say(okHead + "Content-Encoding: gzip\r\n\r\n" + z[:len(z)-4] + "xxxx")
		}},
		{"charset", "body/charset_error", 0, func(_ int, c *logged) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\xcf\xe5\xf0\xe5\xe3\xee\xe2\xee\xf0\xfb \xcf\xe5\xf0\xe5\xe3\xee")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, nil, tc.serve)
			tr, b := open(t, Config{ConnectTo: pinTo(s.addr), Limits: lim})
			_, body, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/")
			e, raw := b.last()
			if seen(e) != tc.want || tc.size > 0 && int64(len(raw)) != tc.size {
				t.Errorf("%s, %d octets; want %s, %d", seen(e), len(raw), tc.want, tc.size)
			}
			if e.Stage == survey.StageBody && (err != nil || len(body) == 0) {
				t.Errorf("body %d octets, %v; want what there is", len(body), err)
			}
			if e.Outcome == survey.DecodedLimit && (!e.Complete || len(body) != 1<<20) {
				t.Errorf("complete %v, body %d", e.Complete, len(body))
			}
		})
	}
}

// TestSpill: a body beyond the memory limit is kept whole in a file without a name.
func TestSpill(t *testing.T) {
	part := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	s := serve(t, nil, func(_ int, c *logged) {
		c.request()
		_, _ = fmt.Fprintf(c.Conn, "HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: %d\r\n\r\n", 80*len(part))
		for range 80 {
			_, _ = c.Conn.Write(part)
		}
	})
	tr, b := open(t, Config{ConnectTo: pinTo(s.addr)})
	_, body, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/")
	e, raw := b.last()
	if err != nil || !bytes.Equal(body, bytes.Repeat(part, 80)) || !bytes.HasSuffix(raw, body) || !e.Complete || e.PayloadSize != int64(len(body)) {
		t.Errorf("%d octets, %v, %+v", len(body), err, seen(e))
	}
	if left, _ := os.ReadDir(tr.cfg.Dir); len(left) != 0 {
		t.Errorf("files left: %v", left)
	}
}

// TestCancel: pitfall 9. Wherever the attempt stands, its end returns at once and is recorded.
func TestCancel(t *testing.T) {
	hang := func(_ int, c *logged) { _, _ = io.Copy(io.Discard, c.raw) }
	ca := newAuthority(t)
	silent := serve(t, nil, hang)
	cause := errors.New("budget spent")
	long := Limits{}
	for _, tc := range []struct {
		name  string
		url   string
		stage survey.Stage
		cfg   Config
		serve func(int, *logged)
	}{
		{"connect", "http://" + name + "/", survey.StageConnect, Config{ConnectTo: pinTo(deaf(t)), Limits: long}, nil},
		{"socks", "http://" + name + "/", survey.StageProxy, Config{Vantage: survey.Vantage{Proxy: "socks5://" + silent.addr}, Limits: long}, nil},
		{"dns", "http://" + name + "/", survey.StageDNS, Config{Vantage: survey.Vantage{Resolver: "tcp://" + silent.addr}, Limits: long}, nil},
		{"tls", "https://" + name + "/", survey.StageTLS, Config{ConnectTo: pinTo(silent.addr), Roots: ca.pool, Limits: long}, nil},
		{"proxy", "https://" + name + "/", survey.StageProxy, Config{Vantage: survey.Vantage{Proxy: "http://" + silent.addr}, Limits: long}, nil},
		{"head", "http://" + name + "/", survey.StageHTTP, Config{ConnectTo: pinTo(silent.addr), Limits: long}, nil},
		{"body", "http://" + name + "/", survey.StageBody, Config{Limits: long}, func(_ int, c *logged) {
			c.request()
			c.say(okHead + "Content-Length: 100\r\n\r\nhi")
			_, _ = io.Copy(io.Discard, c.raw)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Limits = Limits{DNS: 5 * time.Second}
			if tc.serve != nil {
				tc.cfg.ConnectTo = pinTo(serve(t, nil, tc.serve).addr)
			}
			tr, b := open(t, tc.cfg)
			took, err := cancelled(t, cause, func(ctx context.Context) error {
				_, _, err := get(ctx, tr, &Visit{}, "GET", tc.url)
				return err
			})
			e, _ := b.last()
			if e == nil || e.Stage != tc.stage || e.Outcome != survey.Interrupted || e.Err != cause.Error() || took > 100*time.Millisecond {
				t.Fatalf("%s after %v: %v", seen(e), took, err)
			}
			if e.Stage != survey.StageBody && !errors.Is(err, cause) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// cancelled ends f's context after a while and says how long f took to come back from then: the best of three, since the machine
// may be busy with others.
func cancelled(t *testing.T, cause error, f func(context.Context) error) (took time.Duration, err error) {
	for range 3 {
		ctx, cancel := context.WithCancelCause(t.Context())
		at := make(chan time.Time, 1)
		time.AfterFunc(50*time.Millisecond, func() { at <- time.Now(); cancel(cause) })
		err = f(ctx)
		if took = time.Since(<-at); took <= 100*time.Millisecond {
			break
		}
	}
	return took, err
}

// TestSinkError: the archive's own trouble is no answer about the mirror.
func TestSinkError(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	full := errors.New("disk full")
	tr, _ := open(t, Config{ConnectTo: pinTo(s.addr), Recorder: &box{err: full}})
	_, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/")
	var sink *SinkError
	if !errors.As(err, &sink) || !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// TestMask: the operator's credentials are sent and not recorded; everything else is the same octets.
func TestMask(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) { c.request(); c.say(okHead + "Content-Length: 2\r\n\r\nhi") })
	tr, b := open(t, Config{ConnectTo: pinTo(s.addr), Header: func(h survey.Host) []survey.Field {
		return []survey.Field{{Name: "X-Key", Value: "secret " + string(h)}}
	}})
	if _, _, err := get(t.Context(), tr, &Visit{}, "GET", "http://u:p@"+name+"/"); err != nil {
		t.Fatal(err)
	}
	e, _ := b.last()
	sent := s.conns[0].in.String()
	if !strings.Contains(sent, "secret "+name) || strings.Contains(string(e.Request), "secret") || len(sent) != len(e.Request) {
		t.Errorf("sent %q\nrecorded %q", sent, e.Request)
	}
	if strings.Join(e.Masked, ",") != "Authorization,X-Key" || e.URL != "http://"+name+"/" {
		t.Errorf("masked %v, URL %s", e.Masked, e.URL)
	}
	req, _ := http.NewRequest("GET", "http://"+name+"/", nil)
	req.Header.Set("X-A", "b\r\nX-B: c")
	if _, err := tr.RoundTrip(req); err == nil {
		t.Error("a field with a line end was sent")
	}
}

// TestText: pitfall 17. What is handed up is UTF-8, what is recorded is what came.
func TestText(t *testing.T) {
	s := serve(t, nil, func(_ int, c *logged) {
		switch req := c.request(); {
		case strings.Contains(req, "/text"):
			c.say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 44\r\n\r\n<meta charset=gbk><title>\xd0\xc2\xce\xc5\xd0\xc2\xce\xc5</title>   ")
		default:
			c.say("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream; charset=gbk\r\nContent-Length: 4\r\n\r\n\xd0\xc2\xce\xc5")
		}
	})
	tr, b := open(t, Config{ConnectTo: pinTo(s.addr)})
	resp, body, err := get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/text")
	if err != nil || !strings.Contains(string(body), "<title>新闻新闻</title>") || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%q, %v, %v", body, resp, err)
	}
	if _, raw := b.last(); !bytes.Contains(raw, []byte("\xd0\xc2\xce\xc5")) {
		t.Error("recorded octets were changed")
	}
	resp, body, err = get(t.Context(), tr, &Visit{}, "GET", "http://"+name+"/binary")
	if err != nil || string(body) != "\xd0\xc2\xce\xc5" || strings.Contains(resp.Header.Get("Content-Type"), "charset") {
		t.Errorf("%q, %v", body, err)
	}
}

// A lent body is the octets themselves, stays until it is freed, and does not come a second time through the response.
func TestLend(t *testing.T) {
	page := "<p>" + strings.Repeat("one sentence after the other. ", 400)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, r.URL.Path+page)
	})}
	go srv.Serve(ln)
	defer srv.Close()
	tr, err := New(Config{Guard: Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var held []*Visit
	for i := range 20 {
		v := &Visit{Probe: survey.Probe{Purpose: survey.ForLink}, Lend: true}
		path := fmt.Sprintf("/%d", i)
		req, _ := http.NewRequestWithContext(WithVisit(t.Context(), v), http.MethodGet, "http://"+ln.Addr().String()+path, nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || len(b) != 0 {
			t.Fatalf("%d octets came through the response too, %v", len(b), err)
		}
		_ = resp.Body.Close()
		held = append(held, v)
		if i%3 == 0 { // others reuse its memory
			v.Free()
			v.Free()
			if v.Body != nil {
				t.Fatal("a freed body is still there")
			}
		}
	}
	for i, v := range held {
		if want := fmt.Sprintf("/%d%s", i, page); i%3 != 0 && string(v.Body) != want {
			t.Errorf("visit %d holds %.40q and so on, %d octets", i, v.Body, len(v.Body))
		}
	}
}
