package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// portsCmd sets each variable to a free port of 127.0.0.1.
func portsCmd(ts *testscript.TestScript, _ bool, names []string) {
	var held []net.Listener
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		held = append(held, l)
		ts.Setenv(name, fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	}
	for _, l := range held {
		ts.Check(l.Close())
	}
}

// fetchCmd gets a URL without following redirects and writes "STATUS LOCATION", the header fields and the body to FILE:
//
//	fetch FILE URL [HOST]
//
// It waits for a server that is starting.
func fetchCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fetch FILE URL [HOST]")
	}
	client := http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var resp *http.Response
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequest("GET", args[1], nil)
		ts.Check(err)
		if len(args) > 2 {
			req.Host = args[2]
		}
		if resp, err = client.Do(req); err == nil {
			break
		}
		if time.Since(begin) > 20*time.Second {
			ts.Fatalf("%v", err)
		}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	var b strings.Builder
	fmt.Fprintf(&b, "status %d\n", resp.StatusCode)
	ts.Check(resp.Header.Write(&b))
	b.WriteString("\n" + string(body))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(b.String(), "\r\n", "\n")), 0o644))
}
