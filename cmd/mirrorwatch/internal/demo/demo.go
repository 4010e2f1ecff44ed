// Package demo is a small world without a network: one invented article on loopback HTTPS servers under many host names,
// each of which misbehaves in one known way. Its pages hold no clock and no randomness; only keys and ports differ between
// two starts.
package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mirrorwatch/crawler/survey"
)

// Expectation is one mirror of the world, and what a right check says of it on the first run into an empty archive.
type Expectation struct {
	Host    survey.Host
	Says    string // how it misbehaves, one line
	Verdict survey.VerdictWord
	State   survey.State
	Class   survey.PageClass
}

// World is a running world. Its fields do not change after Start.
type World struct {
	Article string // the article's URL on the primary
	// ConnectTo says where each host listens, "host:443" -> "127.0.0.1:port", as --connect-to. It holds every mirror and
	// Outside: no name of the world is ever looked up.
	ConnectTo    map[string]string
	CAPEM        []byte        // the throw-away authority's certificate
	Expectations []Expectation // the primary first
	// Outside is the host that the article names as an alternate address and that is no mirror: a check lists it as a
	// candidate and sends it nothing, so that its count in Hits stays 0.
	Outside survey.Host

	hits   map[survey.Host]*atomic.Int64
	server *http.Server
	served sync.WaitGroup
	closed *closedPort
	unhook func() bool
	once   sync.Once
	err    error
}

// mirror is how one host of the world is made.
type mirror struct {
	Expectation
	make func(*builder, survey.Host) (*site, error) // nil: nobody listens
	cert string                                     // the name on its certificate; empty: its own
}

func healthy(b *builder, h survey.Host) (*site, error) { return b.news(h, article) }

func everyPath(name string, status int, header [2]string) func(*builder, survey.Host) (*site, error) {
	return func(*builder, survey.Host) (*site, error) { return same(name, status, header) }
}

// mirrors: the names below .example say what happens, and none of them is one by which a list of rules would know a block
// page or a seizure (so "denied", not "blocked"): the pages must be enough.
var mirrors = []mirror{
	{Expectation{primary, "healthy, the primary", survey.Identical, survey.Up, survey.ClassArticle}, healthy, ""},
	{Expectation{second, "healthy, links lead to its own host", survey.Identical, survey.Up, survey.ClassArticle}, healthy, ""},
	{Expectation{"altered.presstv.example", "one name in the text is another", survey.Altered, survey.Degraded, survey.ClassArticle},
		func(b *builder, h survey.Host) (*site, error) { return b.news(h, altered()) }, ""},
	{Expectation{"cut.presstv.example", "the second half of the text is missing", survey.Truncated, survey.Degraded, survey.ClassArticle},
		func(b *builder, h survey.Host) (*site, error) { return b.news(h, half()) }, ""},
	{Expectation{"denied.presstv.example", "a block page with status 200", survey.Interstitial, survey.Down, survey.ClassBlockPage},
		everyPath("denied.html", http.StatusOK, [2]string{}), ""},
	{Expectation{"seized.presstv.example", "a seizure banner", survey.Interstitial, survey.Down, survey.ClassSeizureBanner},
		everyPath("seized.html", http.StatusOK, [2]string{}), ""},
	{Expectation{"sorry.presstv.example", "one sorry page with status 200 for every address", survey.Interstitial, survey.Down, survey.ClassSoft404},
		everyPath("sorry.html", http.StatusOK, [2]string{}), ""},
	{Expectation{"challenge.presstv.example", "a challenge that only browsers pass", survey.Undetermined, survey.Unknown, survey.ClassChallenge},
		everyPath("challenge.html", http.StatusForbidden, [2]string{"Cf-Mitigated", "challenge"}), ""},
	{Expectation{"misnamed.presstv.example", "the article behind a certificate for another name", survey.FetchFailed, survey.Down, survey.ClassArticle},
		healthy, "somebody-else.example"},
	{Expectation{"refused.presstv.example", "the connection is refused", survey.FetchFailed, survey.Down, survey.ClassUnknown}, nil, ""},
}

// Start makes the authority, the pages and the servers, all on 127.0.0.1. They end when ctx ends or with Close, which must
// be called in either case.
func Start(ctx context.Context) (*World, error) {
	w := &World{Article: "https://" + primary + articlePath, ConnectTo: map[string]string{}, Outside: outside,
		hits: map[survey.Host]*atomic.Int64{}}
	b, err := newBuilder()
	if err != nil {
		return nil, fmt.Errorf("making the demo's pages: %w", err)
	}
	ca, err := newAuthority(time.Now())
	if err != nil {
		return nil, fmt.Errorf("making the demo's certificates: %w", err)
	}
	w.CAPEM = ca.pem()
	sites, certs := map[string]*site{}, map[string]*tls.Certificate{}
	all := append(append([]mirror{}, mirrors...), mirror{Expectation: Expectation{Host: outside}, make: healthy})
	for _, m := range all {
		w.hits[m.Host] = new(atomic.Int64)
		if m.Host != outside {
			w.Expectations = append(w.Expectations, m.Expectation)
		}
		if m.make == nil {
			continue
		}
		host := string(m.Host)
		if sites[host], err = m.make(b, m.Host); err != nil {
			return nil, fmt.Errorf("making the demo's pages: %w", err)
		}
		name := m.cert
		if name == "" {
			name = host
		}
		if certs[host], err = ca.issue(name); err != nil {
			return nil, fmt.Errorf("making the demo's certificates: %w", err)
		}
	}

	if w.closed, err = newClosedPort(); err != nil {
		return nil, fmt.Errorf("starting the demo's servers: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.closed.close()
		return nil, fmt.Errorf("starting the demo's servers: %w", err)
	}
	for _, m := range all {
		if m.make == nil {
			w.ConnectTo[string(m.Host)+":443"] = w.closed.address()
		} else {
			w.ConnectTo[string(m.Host)+":443"] = ln.Addr().String()
		}
	}
	w.server = &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			s := sites[r.Host]
			if s == nil {
				rw.Header()["Date"] = nil
				rw.WriteHeader(http.StatusMisdirectedRequest)
				return
			}
			w.hits[survey.Host(r.Host)].Add(1)
			s.ServeHTTP(rw, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // refused handshakes belong to the show
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if c := certs[hello.ServerName]; c != nil {
					return c, nil
				}
				return nil, fmt.Errorf("no host %q in this world", hello.ServerName)
			}},
	}
	w.served.Go(func() { _ = w.server.ServeTLS(ln, "", "") }) // always ErrServerClosed: nothing else closes ln
	w.unhook = context.AfterFunc(ctx, func() { _ = w.shut() })
	return w, nil
}

// shut closes the ports and the connections, once.
func (w *World) shut() error {
	w.once.Do(func() {
		w.err = w.server.Close()
		w.closed.close()
	})
	return w.err
}

// Close ends the servers, cuts their connections and waits for them. It may be called more than once.
func (w *World) Close() error {
	w.unhook()
	err := w.shut()
	w.served.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Hits returns how many requests each host has read so far; every host of the world is in it.
func (w *World) Hits() map[string]int {
	out := make(map[string]int, len(w.hits))
	for h, n := range w.hits {
		out[string(h)] = int(n.Load())
	}
	return out
}

// closedPort is a port of 127.0.0.1 that refuses connections, and that nobody else can be given while it is held: it is
// the near end of a connection of ours.
type closedPort struct{ near, far net.Conn }

func newClosedPort() (*closedPort, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := ln.Accept()
	if err != nil {
		_ = near.Close()
		return nil, err
	}
	return &closedPort{near, far}, nil
}

func (c *closedPort) address() string { return c.near.LocalAddr().String() }

func (c *closedPort) close() {
	_ = c.far.Close() // far first: the port held is left at once
	_ = c.near.Close()
}
