//go:build unix

package wire

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

var long = flag.Bool("long", false, "run the tests that take a minute: the 512 MB body, the ten thousand hosts")

// child runs a test of this binary again, as a process of its own whose memory can be measured, and returns what it printed.
func child(t *testing.T, test string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), append(env, "WIRE_CHILD="+test)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak returns the most memory this process has had resident, in KB; 0 where the system does not say.
func peak() int {
	status, _ := os.ReadFile("/proc/self/status")
	if m := peakLine.FindSubmatch(status); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	return 0
}

// hashing is a Recorder that reads the whole response, as an archive does.
type hashing struct {
	n   int64
	sum string
}

func (h *hashing) Put(_ context.Context, e *survey.Exchange) (survey.Capture, error) {
	d := sha256.New()
	var err error
	h.n, err = io.Copy(d, io.NewSectionReader(e.Response, e.Head.End, e.FramedEnd-e.Head.End))
	h.sum = hex.EncodeToString(d.Sum(nil))
	return survey.Capture{}, err
}

// TestLongBody: 512 MB are recorded whole in less than 100 MB of memory, and the temporary file is gone (issue 3).
func TestLongBody(t *testing.T) {
	const size = 512 << 20
	if addr := os.Getenv("WIRE_CHILD_ADDR"); addr != "" && os.Getenv("WIRE_CHILD") == t.Name() {
		h := &hashing{}
		tr, _ := open(t, Config{ConnectTo: pinTo(addr), Recorder: h, Limits: Limits{Wire: size, Decoded: size}})
		v := &Visit{}
		req, _ := http.NewRequestWithContext(WithVisit(t.Context(), v), "GET", "http://"+name+"/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		e := v.Records[0].Exchange
		if err != nil || n != size || h.n != size || !e.Complete || seen(e) != "content/ok" || e.PayloadDigest != survey.Digest("sha256:"+h.sum) {
			t.Fatalf("%d octets handed up, %d recorded, %s, %v", n, h.n, seen(e), err)
		}
		if left, _ := os.ReadDir(tr.cfg.Dir); len(left) != 0 {
			t.Errorf("files left: %v", left)
		}
		fmt.Printf("peak %d KB sum %s\n", peak(), h.sum)
		return
	}
	if !*long {
		t.Skip("wants -long")
	}
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * i >> 7)
	}
	sum := sha256.New()
	for range size >> 20 {
		sum.Write(block)
	}
	s := serve(t, nil, func(_ int, c *logged) {
		c.request()
		w := bufio.NewWriter(c.raw)
		_, _ = fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n", size)
		for range size >> 20 {
			_, _ = w.Write(block)
		}
		_ = w.Flush()
	})
	start := time.Now()
	out := child(t, t.Name(), "WIRE_CHILD_ADDR="+s.addr)
	m := regexp.MustCompile(`peak (\d+) KB sum (\w+)`).FindStringSubmatch(out)
	if m == nil || m[2] != hex.EncodeToString(sum.Sum(nil)) {
		t.Fatalf("not what was sent:\n%s", out)
	}
	kb, _ := strconv.Atoi(m[1])
	t.Logf("512 MB in %v, at most %d KB resident", time.Since(start).Round(time.Millisecond), kb)
	if kb > 100<<10 {
		t.Errorf("%d KB resident, want less than 100 MB", kb)
	}
}

// hostKinds are the ten thousand hosts, by number modulo their count, and what may be said of each.
var hostKinds = []struct{ label, want string }{
	{"fine", "content/ok"}, {"closed", "connect/connection_refused"}, {"deaf", "connect/timeout"}, {"mute", "http/timeout"},
	{"stalls", "body/timeout"}, {"resets", "http/connection_reset"}, {"nxdomain", "dns/nxdomain"}, {"silent", "dns/timeout"},
}

// TestLongHosts: ten thousand slow and dead hosts through one Transport: memory stays bounded, the end comes in time, and no host
// is blamed for descriptors of ours that ran out (issue 3).
func TestLongHosts(t *testing.T) {
	if spec := os.Getenv("WIRE_CHILD_HOSTS"); spec != "" && os.Getenv("WIRE_CHILD") == t.Name() {
		visitHosts(t, strings.Fields(spec))
		return
	}
	if !*long {
		t.Skip("wants -long")
	}
	nx := nameserver(t, "udp", nil) // knows silent and nxdomain by their first label
	page := serve(t, nil, func(_ int, c *logged) {
		switch req := c.request(); {
		case strings.Contains(req, "Host: fine"):
			c.say(okHead + "Content-Length: 2\r\n\r\nhi")
		case strings.Contains(req, "Host: stalls"):
			c.say(okHead + "Content-Length: 20\r\n\r\nhi")
			_, _ = io.Copy(io.Discard, c.raw)
		case strings.Contains(req, "Host: resets"):
			c.reset()
		default:
			_, _ = io.Copy(io.Discard, c.raw)
		}
	})
	for _, files := range []string{"1024", "80"} {
		t.Run(files+" descriptors", func(t *testing.T) {
			start := time.Now()
			out := child(t, "TestLongHosts", "WIRE_CHILD_HOSTS="+nx+" "+port(page.addr)+" "+port(deaf(t))+" "+files)
			m := regexp.MustCompile(`peak (\d+) KB.*`).FindStringSubmatch(out)
			if m == nil {
				t.Fatal(out)
			}
			t.Logf("%v; %s", time.Since(start).Round(time.Millisecond), m[0])
			if kb, _ := strconv.Atoi(m[1]); kb > 150<<10 {
				t.Errorf("%d KB resident, want less than 150 MB", kb)
			}
		})
	}
}

func visitHosts(t *testing.T, spec []string) {
	const hosts, workers = 10000, 200
	files, _ := strconv.ParseUint(spec[3], 10, 64)
	var had syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &had); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: had.Max}); err != nil {
		t.Fatal(err)
	}
	lim := Limits{DNS: 2 * time.Second, Connect: 2 * time.Second, TLS: 2 * time.Second, FirstByte: 2 * time.Second,
		Stall: 2 * time.Second, Linger: 10 * time.Millisecond}
	tr, err := New(Config{Guard: Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Vantage: survey.Vantage{Resolver: "udp://" + spec[0]},
		Limits: lim, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ports := map[string]string{"closed": "1", "deaf": spec[2]}
	work := make(chan int)
	var mu sync.Mutex
	count := map[string]int{}
	wrong := map[string]int{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range work {
				kind := hostKinds[i%len(hostKinds)]
				p := ports[kind.label]
				if p == "" {
					p = spec[1]
				}
				v := &Visit{Probe: survey.Probe{Purpose: survey.ForVerdict}, Family: 4}
				_, _, _ = get(ctx, tr, v, "GET", fmt.Sprintf("http://%s.h%d.test:%s/", kind.label, i, p))
				got := seen(v.Records[len(v.Records)-1].Exchange)
				mu.Lock()
				count[got]++
				if got != kind.want && !strings.HasSuffix(got, "/local_resources") {
					wrong[kind.label+" "+got]++
				}
				mu.Unlock()
			}
		})
	}
	for i := range hosts {
		work <- i
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("the deadline passed")
	}
	local := count["dns/local_resources"] + count["connect/local_resources"]
	fmt.Printf("peak %d KB, %d hosts, %d for want of descriptors: %v\n", peak(), hosts, local, count)
	if files > 1000 && local > 0 {
		t.Errorf("%d times descriptors ran out below the limit", local)
	}
	for what, n := range wrong {
		if strings.HasSuffix(what, "timeout") && n <= hosts/1000 {
			t.Logf("%d times, for a busy machine: %s", n, what)
			continue
		}
		t.Errorf("%d times: %s", n, what)
	}
}
