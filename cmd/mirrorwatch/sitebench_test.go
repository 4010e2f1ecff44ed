package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	siteBench  = flag.Int("sitebench", 0, "measure the crawl of a site of so many `PAGES` beside wget, whole processes in paired rounds")
	siteRounds = flag.Int("siterounds", 3, "paired rounds of -sitebench")
	siteBinary = flag.String("sitebinary", "", "the mirrorwatch to measure; empty: built from here")
)

// benchSite writes a site of n pages of about 30 KB with 60 links each, 60 pictures and 4 style sheets: the same octets for
// the same n and host. Their markup is that of a news page, about a third of it text, so that it compresses as real ones do
// (4.3 to 1 at level 2; 181 real article pages: 4.4).
func benchSite(dir, origin string, n int) error {
	r := rand.New(rand.NewSource(1))
	words := make([]string, 4000)
	for i := range words {
		b := make([]byte, 2+r.Intn(9))
		for k := range b {
			b[k] = "etaoinshrdlucmfw"[r.Intn(16)]
		}
		words[i] = string(b)
	}
	word := func() string { return words[int(float64(len(words))*r.Float64()*r.Float64())] }
	sentence := func(b *bytes.Buffer, n int) {
		for i := range n {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(word())
		}
		b.WriteString(". ")
	}
	write := func(name string, data []byte) error {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o644)
	}
	for i := range 60 {
		picture := make([]byte, 6000)
		_, _ = r.Read(picture)
		copy(picture, "\x89PNG\r\n\x1a\n")
		if err := write(fmt.Sprintf("img/%d.png", i), picture); err != nil {
			return err
		}
	}
	for i := range 4 {
		var b bytes.Buffer
		for k := range 100 {
			fmt.Fprintf(&b, ".c%d-%d { margin: %dpx; color: #%06x }\n", i, k, k, r.Intn(1<<24))
		}
		fmt.Fprintf(&b, ".bg { background: url(/img/%d.png) }\n", i)
		if err := write(fmt.Sprintf("css/%d.css", i), b.Bytes()); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	for i := range n {
		b.Reset()
		fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Report %d</title>\n<link rel=\"stylesheet\" href=\"/css/%d.css\">\n<link rel=\"canonical\" href=\"%s/p/%d/%d.html\">\n</head>\n<body class=\"page page--article\">\n<nav class=\"site-nav\" aria-label=\"Main\">\n<ul class=\"site-nav__list\">\n", i, i%4, origin, i%50, i)
		for k := range 20 {
			fmt.Fprintf(&b, "<li class=\"site-nav__item\"><a class=\"site-nav__link\" href=\"/p/%d/%d.html\" data-track=\"nav|%d|%d\"><span>", (i+k)%n%50, (i+k)%n, k, r.Intn(1<<24))
			b.WriteString(word())
			b.WriteString("</span></a></li>\n")
		}
		fmt.Fprintf(&b, "</ul>\n</nav>\n<main class=\"content\">\n<article class=\"article\" data-id=\"%d\">\n<h1 class=\"article__title\">Report number %d</h1>\n", 400000+r.Intn(100000), i)
		for k := range 12 {
			b.WriteString("<p class=\"article__paragraph\">")
			for range 4 {
				sentence(&b, 15)
			}
			to := r.Intn(n)
			if k%2 == 0 {
				fmt.Fprintf(&b, "</p>\n<figure class=\"article__figure\"><img class=\"article__picture\" src=\"/img/%d.png\" width=\"640\" height=\"%d\" loading=\"lazy\" alt=\"", r.Intn(60), 300+r.Intn(200))
				sentence(&b, 6)
				b.WriteString("\"></figure>\n<p class=\"article__paragraph\">")
				fmt.Fprintf(&b, "<a class=\"article__more\" href=\"%s/p/%d/%d.html\">", origin, to%50, to)
			} else {
				fmt.Fprintf(&b, "<a class=\"article__more\" href=\"/p/%d/%d.html\">", to%50, to)
			}
			sentence(&b, 3)
			b.WriteString("</a></p>\n")
		}
		b.WriteString("</article>\n<aside class=\"related\">\n")
		for k := range 28 {
			to := r.Intn(n)
			fmt.Fprintf(&b, "<div class=\"card card--small card--%d\" data-position=\"%d\">\n<a class=\"card__link\" href=\"/p/%d/%d.html\" data-track=\"related|%d|%x\">\n<h3 class=\"card__title\">", k%3, k, to%50, to, k, r.Int63())
			sentence(&b, 9)
			fmt.Fprintf(&b, "</h3>\n</a>\n<div class=\"card__meta\"><span class=\"card__section\">%s</span> <time class=\"card__time\" datetime=\"2026-%02d-%02dT%02d:%02d:00Z\">%d hours ago</time></div>\n</div>\n", word(), 1+r.Intn(12), 1+r.Intn(28), r.Intn(24), r.Intn(60), 1+r.Intn(23))
		}
		b.WriteString("</aside>\n</main>\n<footer class=\"site-footer\">\n")
		for k := range 36 {
			fmt.Fprintf(&b, "<div class=\"site-footer__row site-footer__row--%d\"><span class=\"site-footer__label\">", k%4)
			sentence(&b, 4)
			fmt.Fprintf(&b, "</span><svg class=\"icon icon--small\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M%d.%d %dl%d %dz\"/></svg></div>\n", r.Intn(24), r.Intn(10), r.Intn(24), r.Intn(12), r.Intn(12))
		}
		b.WriteString("</footer>\n</body>\n</html>\n")
		name := fmt.Sprintf("p/%d/%d.html", i%50, i)
		if err := write(name, b.Bytes()); err != nil {
			return err
		}
		if i == 0 {
			if err := write("index.html", b.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// nginxFor serves the folders, one port each, and logs every request.
func nginxFor(t *testing.T, dir string, ports []int) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("SKIPPED: nginx is not here; it serves the site of this measurement")
	}
	var conf bytes.Buffer
	fmt.Fprintf(&conf, "daemon off; pid %s/nginx.pid; error_log %s/error.log; worker_processes 1; user root;\nevents { worker_connections 512; }\nhttp { types { text/html html; text/css css; image/png png; } default_type text/plain; log_format u '$server_port $request_uri'; access_log %s/access.log u buffer=64k flush=1s; keepalive_requests 100000; keepalive_timeout 60;\n", dir, dir, dir)
	for i, p := range ports {
		fmt.Fprintf(&conf, "server { listen 127.0.0.1:%d; root %s/site%d; }\n", p, dir, i)
	}
	conf.WriteString("}\n")
	name := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(name, conf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", name, "-p", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for range 100 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]))
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("nginx does not answer")
}

// cost is what a process took.
type cost struct {
	wall, cpu time.Duration
	rss       float64 // MB
}

func process(t *testing.T, dir, name string, args ...string) cost {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	// wget ends with 8 when a page of the site is missing (robots.txt), mirrorwatch with 1 or 0.
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 8 && code != 1 {
		t.Fatalf("%s ended with %d: %.2000s", name, code, out)
	}
	use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), float64(use.Maxrss) / 1024}
}

// requests reads which addresses were asked for on a port, and how often, since the log was emptied.
func requests(t *testing.T, dir string, port int) map[string]int {
	t.Helper()
	time.Sleep(1200 * time.Millisecond) // the log's own buffer
	f, err := os.Open(filepath.Join(dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if p, u, ok := strings.Cut(lines.Text(), " "); ok && p == fmt.Sprint(port) {
			seen[u]++
		}
	}
	if err := os.Truncate(filepath.Join(dir, "access.log"), 0); err != nil {
		t.Fatal(err)
	}
	return seen
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// TestSiteBench is a measurement, run by hand: go test ./cmd/mirrorwatch -run TestSiteBench -sitebench 2000 -v.
// Gates: DESIGN section 7.
func TestSiteBench(t *testing.T) {
	n := *siteBench
	if n == 0 {
		t.Skip("a measurement: -sitebench 2000")
	}
	wget, err := exec.LookPath("wget")
	if err != nil {
		t.Skip("SKIPPED: wget is not here")
	}
	dir := t.TempDir()
	var ports []int
	for i := range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
		_ = ln.Close()
		if err := benchSite(filepath.Join(dir, fmt.Sprintf("site%d", i)), fmt.Sprintf("http://127.0.0.1:%d", ports[i]), n); err != nil {
			t.Fatal(err)
		}
	}
	nginxFor(t, dir, ports)
	binary := *siteBinary
	if binary == "" {
		binary = filepath.Join(dir, "mirrorwatch")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	origin := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	crawl := func(round int, more ...string) cost {
		data := filepath.Join(dir, fmt.Sprintf("data%d-%d", round, len(more)))
		defer os.RemoveAll(data)
		args := append([]string{"check", origin + "/", "--data", data, "--links", "site", "--per-host", "16", "--concurrency", "16", "--delay", "0s", "-q"}, more...)
		return process(t, dir, binary, args...)
	}
	var faster, cpu, rss, mirror, rate []float64
	for round := range *siteRounds {
		warc := filepath.Join(dir, fmt.Sprintf("wget%d", round))
		w := process(t, dir, wget, "-r", "-l", "inf", "-q", "--warc-file="+warc, "-P", warc+".d", origin+"/")
		byWget := requests(t, dir, ports[0])
		_ = os.RemoveAll(warc + ".d")
		_ = os.Remove(warc + ".warc.gz")
		m := crawl(round)
		ours := requests(t, dir, ports[0])
		two := crawl(round, "--mirror", fmt.Sprintf("http://127.0.0.1:%d", ports[1]))
		requests(t, dir, ports[0])
		doubles := 0
		for u, k := range ours {
			if strings.Contains(u, "decoy") || strings.Contains(u, "99999999999") {
				delete(ours, u)
				continue
			}
			if k > 1 && u != "/" { // the check of the named page asks for it apart, on a connection of its own
				doubles += k - 1
				t.Logf("asked %d times: %s", k, u)
			}
		}
		for u := range byWget {
			if ours[u] == 0 {
				t.Errorf("wget fetched %s, we did not", u)
			}
		}
		for u := range ours {
			if byWget[u] == 0 {
				t.Errorf("we fetched %s, wget did not", u)
			}
		}
		per := func(c cost) float64 { return float64(n) / c.wall.Seconds() }
		t.Logf("round %d: wget %.0f pages/s, CPU %.2f s; mirrorwatch %.0f pages/s (%.1fx), CPU %.3f s per 1000 pages, RSS %.0f MB, %d addresses, %d asked twice; with an equal mirror %.2fx the CPU, RSS %.0f MB",
			round, per(w), w.cpu.Seconds(), per(m), per(m)/per(w), m.cpu.Seconds()/float64(n)*1000, m.rss, len(ours), doubles, two.cpu.Seconds()/m.cpu.Seconds(), two.rss)
		faster, rate = append(faster, per(m)/per(w)), append(rate, per(m))
		cpu = append(cpu, m.cpu.Seconds()/float64(n)*1000)
		rss, mirror = append(rss, m.rss), append(mirror, two.cpu.Seconds()/m.cpu.Seconds())
	}
	t.Logf("medians: %.0f pages/s, %.1fx wget, %.3f CPU-s per 1000 pages, RSS %.0f MB, an equal mirror %.2fx the CPU", median(rate), median(faster), median(cpu), median(rss), median(mirror))
}
