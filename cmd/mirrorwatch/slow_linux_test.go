package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSlowClients: while many clients send their heads octet by octet, or ask for a large body and hardly read, `serve`
// answers others at once, holds little memory, and stops when it is told to. With -long there are a thousand of them.
func TestSlowClients(t *testing.T) {
	clients := 300
	if *long {
		clients = 1000
	}
	body := strings.Repeat("0123456789abcdef", 1<<20) // 16 MB
	page := `<!DOCTYPE html><html lang="en"><head><title>The bridge opens again</title></head><body><article><h1>The bridge opens again</h1><p>` +
		strings.Repeat("The bridge over the harbour opened again on Monday after a year of work by the city and its engineers. ", 8) + `</p><video src="/v.mp4"></video></article></body></html>`
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/2026/story-12345":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, page)
		case "/v.mp4":
			w.Header().Set("Content-Type", "video/mp4")
			_, _ = io.WriteString(w, body)
		default:
			http.NotFound(w, r)
		}
	}))
	defer live.Close()
	data, article := filepath.Join(t.TempDir(), "data"), live.URL+"/2026/story-12345"
	if code, _, errs := run(t, "check", article, "--data", data, "--delay", "0s", "--links", "none", "--media", "all", "--canary", "none", "--retries", "0", "-q"); code != exitOK {
		t.Fatalf("check: status %d: %s", code, errs)
	}
	cmd := command(t, "serve", "--listen", "127.0.0.1:0", "--replay-listen", "127.0.0.1:0", "--data", data, "-v")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	defer func() { _ = cmd.Process.Kill() }()
	var report, replay string
	if _, err := fmt.Fscanf(out, "report %s\nreplay %s\n", &report, &replay); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	replay = strings.TrimSuffix(replay, "/")
	host := strings.TrimPrefix(replay, "http://")
	var conns []net.Conn
	for i := range clients {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		if i%2 == 0 {
			fmt.Fprintf(conn, "GET /web/2026/ HTTP/1.1\r\nHost: %s\r\nX-Slow: ", host)
			continue
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(conn, "GET /web/2026oe_/%s/v.mp4 HTTP/1.1\r\nHost: %s\r\n\r\n", live.URL, host)
	}
	client := http.Client{Timeout: 10 * time.Second}
	for range 3 {
		resp, err := client.Get(replay + "/web/2026/" + article)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(b), "The bridge opens again") {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if rss := residentMB(t, cmd.Process.Pid); rss > 250 {
		t.Errorf("%d MB for %d slow clients", rss, clients)
	} else {
		t.Logf("%d MB for %d slow clients", rss, clients)
	}
	client.CloseIdleConnections()
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !*long { // answers under way end when their readers go; with -long these stay, and the grace ends them
		for _, c := range conns {
			_ = c.Close()
		}
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
		t.Logf("stopped after %v", time.Since(start))
		if took := time.Since(start); !*long && took > stopTime/2 {
			t.Errorf("it stopped after %v only, with nobody left to answer", took)
		}
	case <-time.After(stopTime + 10*time.Second):
		t.Errorf("still there %v after the signal", time.Since(start))
	}
}

func residentMB(t *testing.T, pid int) (mb int) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kb := 0; strings.HasPrefix(s.Text(), "VmRSS:") {
			if _, err := fmt.Sscanf(s.Text(), "VmRSS: %d kB", &kb); err != nil {
				t.Fatal(err)
			}
			return kb >> 10
		}
	}
	t.Fatal(errors.New("no VmRSS"))
	return 0
}
