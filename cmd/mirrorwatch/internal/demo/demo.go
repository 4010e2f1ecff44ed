// Package demo is a small offline world: one article on loopback HTTPS servers under many names, each of which
// misbehaves in one known way. Its pages hold no clock and no randomness; only keys and ports differ between starts.
package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Expectation is one mirror of the world and what a right check says of it.
type Expectation struct {
	Host    string
	Says    string // how it misbehaves, one line
	Verdict survey.VerdictWord
	State   survey.State
	Class   survey.PageClass
}

// World is the running world. Close ends its servers.
type World struct {
	ConnectTo map[string]string // "host:443" -> "127.0.0.1:port", as --connect-to
	CAPEM     []byte            // the throw-away authority, PEM
	Pool      *x509.CertPool    // the same
	Article   string            // the article's URL on the primary
	Mirrors   []Expectation     // the primary first
	Port      int               // of the HTTPS server

	server *http.Server
	done   chan struct{}
}

const (
	articlePath = "/Detail/2016/08/10/479262/Harbour-bridge-reopens"
	primary     = "www.presstv.com"
)

// Start makes the authority and starts the servers on 127.0.0.1. They end with Close, or when ctx ends.
func Start(ctx context.Context) (*World, error) {
	w := &World{ConnectTo: map[string]string{}, Article: "https://" + primary + articlePath, done: make(chan struct{}), Mirrors: []Expectation{
		{primary, "healthy, the primary", survey.Identical, survey.Up, survey.ClassArticle},
		{"www.presstv.co.uk", "healthy", survey.SameArticle, survey.Up, survey.ClassArticle},
		{"renamed.presstv.example", "one name in the text is another", survey.Altered, survey.Degraded, survey.ClassArticle},
		{"half.presstv.example", "the text ends in the middle", survey.Truncated, survey.Degraded, survey.ClassArticle},
		{"blocked.presstv.example", "a block page with status 200", survey.Interstitial, survey.Down, survey.ClassBlockPage},
		{"seized.presstv.example", "a seizure banner", survey.Interstitial, survey.Down, survey.ClassSeizureBanner},
		{"anything.presstv.example", "the same sorry page for every path, status 200", survey.Interstitial, survey.Down, survey.ClassSoft404},
		{"challenge.presstv.example", "a challenge for browsers", survey.Undetermined, survey.Unknown, survey.ClassChallenge},
		{"othername.presstv.example", "a certificate for another name", survey.FetchFailed, survey.Down, survey.ClassUnknown},
		{"refused.presstv.example", "the connection is refused", survey.FetchFailed, survey.Down, survey.ClassUnknown},
	}}
	caKey, caCert, err := certificate(nil, nil, "mirrorwatch demo authority", nil)
	if err != nil {
		return nil, err
	}
	w.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caCert.Raw})
	w.Pool = x509.NewCertPool()
	w.Pool.AddCert(caCert)
	var names []string
	for _, m := range w.Mirrors {
		if m.Host != "othername.presstv.example" {
			names = append(names, m.Host)
		}
	}
	chain := func(names ...string) (*tls.Certificate, error) {
		key, cert, err := certificate(caKey, caCert, names[0], names)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
	}
	good, err := chain(names...)
	if err != nil {
		return nil, err
	}
	wrong, err := chain("somebody-else.example")
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the demo: %w", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("starting the demo: %w", err)
	}
	_ = closed.Close() // nobody listens there any more: refused
	w.Port = ln.Addr().(*net.TCPAddr).Port
	for _, m := range w.Mirrors {
		w.ConnectTo[m.Host+":443"] = ln.Addr().String()
	}
	w.ConnectTo["refused.presstv.example:443"] = closed.Addr().String()
	w.server = &http.Server{Handler: http.HandlerFunc(serve), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if h.ServerName == "othername.presstv.example" {
				return wrong, nil
			}
			return good, nil
		}}}
	stop := context.AfterFunc(ctx, func() { _ = w.server.Close() })
	go func() {
		defer close(w.done)
		defer stop()
		_ = w.server.ServeTLS(ln, "", "")
	}()
	return w, nil
}

// Close ends the servers and waits for them.
func (w *World) Close() error {
	err := w.server.Close()
	<-w.done
	return err
}

func certificate(caKey *ecdsa.PrivateKey, ca *x509.Certificate, name string, hosts []string) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	if ca == nil {
		ca, caKey = t, key
		t.IsCA, t.KeyUsage, t.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return key, cert, err
}

func serve(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(r.Host)
	w.Header()["Date"] = nil
	html := func(status int, body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	switch host {
	case "blocked.presstv.example":
		html(200, "<!doctype html><title>Access to this site is blocked</title><h1>Access denied</h1><p>Access to this website has been blocked by order of the national regulator under the Telecommunications Act. Your internet service provider must not show this page.</p>")
		return
	case "seized.presstv.example":
		html(200, "<!doctype html><title>This website has been seized</title><h1>This website has been seized</h1><p>The domain has been seized by the Federal Bureau of Investigation under a seizure warrant issued by a United States District Court.</p>")
		return
	case "challenge.presstv.example":
		w.Header().Set("Cf-Mitigated", "challenge")
		w.Header().Set("Server", "cloudflare")
		html(403, "<!doctype html><title>Just a moment...</title><p>Checking your browser before you go on. Enable JavaScript and cookies to continue.</p>")
		return
	}
	switch {
	case r.URL.Path == "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "User-agent: *\nDisallow: /search\n")
	case r.URL.Path == "/style.css":
		w.Header().Set("Content-Type", "text/css")
		_, _ = io.WriteString(w, "body{font:18px/1.5 serif;max-width:42em;margin:auto;padding:1em}img{max-width:100%}nav a{margin-right:1em}\n")
	case r.URL.Path == "/bridge.svg" || r.URL.Path == "/harbour.svg":
		w.Header().Set("Content-Type", "image/svg+xml")
		colour := map[string]string{"/bridge.svg": "#357", "/harbour.svg": "#753"}[r.URL.Path]
		fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 240"><rect width="640" height="240" fill="#cde"/><path d="M0 180Q320 20 640 180V200H0z" fill="%s"/></svg>`, colour)
	case host == "anything.presstv.example":
		html(200, page(host, "Sorry", "<h1>Sorry</h1><p>Sorry, the page you asked for was not found. It may have moved, or it may never have been here. Try the front page.</p>"))
	case r.URL.Path == "/":
		html(200, page(host, "Front page", `<h1>Latest</h1><ul><li><a href="`+articlePath+`">Harbour bridge reopens</a><li><a href="/Detail/2016/08/09/479101/Ferry-fares">Ferry fares stay as they are</a></ul>`))
	case r.URL.Path == "/Detail/2016/08/09/479101/Ferry-fares":
		html(200, page(host, "Ferry fares stay as they are", "<h1>Ferry fares stay as they are</h1><p>The port council has left the fares of both ferry lines unchanged until next spring.</p>"))
	case r.URL.Path == articlePath:
		text := paragraphs
		if host == "half.presstv.example" {
			text = text[:len(text)/2]
		}
		body := "<article><h1>" + title + `</h1><img src="/bridge.svg" alt="The bridge"><p>` + strings.Join(text, "</p>\n<p>") + `</p><img src="/harbour.svg" alt="The harbour"></article>`
		if host != "half.presstv.example" {
			body += `<p>Readers who cannot open this website can also reach it at the alternate address <a href="https://www.presstv.co.uk` + articlePath + `">www.presstv.co.uk</a>.</p>`
		}
		if host == "renamed.presstv.example" {
			body = strings.ReplaceAll(body, "Marten Oakley", "Gregor Vance")
		}
		html(200, page(host, title, body))
	default:
		html(404, page(host, "Not found", "<h1>Not found</h1><p>There is no such page.</p>"))
	}
}

func page(host, title, body string) string {
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>` + title + `</title><link rel="stylesheet" href="/style.css"></head><body><nav><a href="https://` + host + `/">Home</a></nav><main>` + body + `</main><footer><a href="https://` + host + `/Detail/2016/08/09/479101/Ferry-fares">Ferry fares stay as they are</a></footer></body></html>`
}

const title = "Harbour bridge reopens after 14 months of repairs"

var paragraphs = []string{
	"The harbour bridge at Sandvik reopened to traffic on Wednesday, 14 months after engineers closed it because of cracks in two of its main piers.",
	"Harbour master Marten Oakley cut the ribbon shortly after dawn, and some 300 residents walked across before the first lorries were let through.",
	"\"We promised a safe bridge rather than a quick one, and today we have kept that promise,\" Oakley told reporters on the eastern ramp.",
	"The repairs cost 42 million crowns, seven million more than the council had set aside. Divers found a third damaged pier last November, and work stopped for six weeks while new steel was cast inland.",
	"Before the closure about 11,000 vehicles used the bridge each day. Since then they have had to take a detour of 38 kilometres along the northern shore, or wait for one of the two ferries.",
	"Elin Brask, who runs a bakery beside the old customs house, said her trade had fallen by a third. \"People did not stop liking bread. They simply could not get here,\" she said.",
	"The council's finance officer, Tomas Reve, said the additional cost would be spread over eight years. He ruled out a toll, which three members of the council had asked for in the spring.",
	"Lorries above 30 tonnes remain barred until sensors in the piers have sent data for a full winter. Oakley said the limit would be looked at again in April, once the ice has gone.",
	"Both ferry lines will go on running until the end of the month. Their crews have been offered work on the new pilot boats, and a spokesman for their union called the offer fair.",
}
