package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mirrorwatch/archive/warc"
)

// TestWireExact: what stands in the WARC is, octet for octet, what a raw server received and sent: odd case and order of
// fields, repeats, chunk extensions and trailers, a body that was cut.
func TestWireExact(t *testing.T) {
	page := "<html><head><title>Short</title></head><body><p>" + strings.Repeat("These are words. ", 30) + "</p></body></html>"
	for name, answer := range map[string]string{
		"odd fields": "HTTP/1.1 200 Fine by me\r\nx-LOWER: 1\r\nSet-Cookie: a=1\r\nSET-COOKIE: b=2\r\ncontent-TYPE:text/html\r\nX-Odd:   spaces  \r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"chunk extensions and trailers": "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
			"6;name=\"value\"\r\n<html>\r\n3 ; x\r\nabc\r\n0;last\r\nX-Sum: 1\r\n\r\n",
		"cut body":       "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n" + page,
		"cut chunk":      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nnot all of it",
		"line feeds":     "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 5\n\nhello",
		"to end of file": "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page,
		"no status text": "HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno",
	} {
		t.Run(name, func(t *testing.T) {
			s := rawServer(t, answer)
			dir := t.TempDir()
			code, _, errs := run(t, "check", "http://"+s.addr+"/a-1234567", "--data", dir, "--retries", "0", "--delay", "0s", "--timeout", "5s")
			if code == exitOurs || code == exitUsage {
				t.Fatalf("status %d: %s", code, errs)
			}
			requests, responses := blocks(t, dir)
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.received) == 0 {
				t.Fatal("nobody asked")
			}
			for _, got := range s.received {
				if !contains(requests, got) {
					t.Errorf("a request is not in the archive as it was received:\n%q", got)
				}
			}
			if len(requests) != len(s.received) || len(responses) != len(s.received) {
				t.Errorf("%d requests received; the archive holds %d requests and %d responses", len(s.received), len(requests), len(responses))
			}
			for _, r := range responses {
				if r != answer {
					t.Errorf("a response differs:\n got %q\nsent %q", r, answer)
				}
			}
		})
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

type raw struct {
	addr     string
	mu       sync.Mutex
	received []string
}

// rawServer answers every connection with the octets once it has read a request head, and closes.
func rawServer(t *testing.T, answer string) *raw {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	s := &raw{addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var head bytes.Buffer
				r := bufio.NewReader(io.TeeReader(c, &head))
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if strings.TrimSpace(line) == "" {
						break
					}
				}
				s.mu.Lock()
				s.received = append(s.received, head.String())
				s.mu.Unlock()
				_, _ = io.WriteString(c, answer)
			}()
		}
	}()
	return s
}

// blocks returns the blocks of all request records, and those of all response records; a revisit stands for its own head
// and the payload it refers to.
func blocks(t *testing.T, dir string) (requests, responses []string) {
	t.Helper()
	eachRecord(t, dir, func(h warc.Header, b []byte) {
		switch h.Type() {
		case "request":
			requests = append(requests, string(b))
		case "response":
			responses = append(responses, string(b))
		case "revisit":
			if !strings.HasPrefix(responses[0], string(b)) {
				t.Errorf("a revisit's head %q is not the response's", b)
			}
			responses = append(responses, responses[0])
		}
	})
	return requests, responses
}

// eachRecord calls f for every record of the data folder's WARCs, in order.
func eachRecord(t *testing.T, dir string, f func(h warc.Header, block []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "archive", "*.warc.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no WARC: %v", err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r := warc.NewReader(file, warc.ReaderOptions{})
		for {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(rec.Block)
			if err != nil {
				t.Fatal(err)
			}
			f(rec.Header, b)
		}
		_ = file.Close()
	}
}
