package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mirrorwatch/crawler/survey"
)

// siteCmds are the script commands about whole sites: small newspapers on loopback, each under a name of its own.
//
//	site [-tls] NAME [PATH=FAULT...]   starts a newspaper; sets NAME to its origin, and CA_FILE
//	fault NAME PATH=FAULT...     changes what it does from now on; PATH= ends a fault
//	untilasked NAME N            waits until it was asked N times
//	asked NAME REQUEST N         it was asked for REQUEST ("GET /story/1") N times since the last forget
//	once NAME [PATH...]          nothing was asked for twice since then, but the front page, robots.txt, decoys and PATHs
//	forget NAME                  forgets what was asked
//	sites FILE                   puts origins for %NAME% in a sites file
//	samedate REPORT BASELINE     a broken link of both was first seen at the same time
//	found FILE                   prints what a JSON report found, names for hosts, a line each, sorted
//
// Faults: a status, STATUS,FIELD:VALUE, page:TEXT (a page with 200), type:TYPE:BODY, edit:OLD@@NEW;;OLD@@NEW (in its own page),
// hang, slow:DURATION. %NAME% in them is that newspaper's origin, \n a new line. PATH * holds for all.
var siteCmds = map[string]func(*testscript.TestScript, bool, []string){
	"site": startSite, "fault": faultSite, "untilasked": untilAsked, "asked": wasAsked, "once": askedOnce, "forget": forgetAsked, "found": foundIn, "sites": fillSites, "samedate": sameDate,
}

func withSites(cmds map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	maps.Copy(cmds, siteCmds)
	return cmds
}

// paper is one newspaper of a script.
type paper struct {
	name   string
	origin string
	mu     sync.Mutex
	faults map[string]string
	asked  map[string]int
	total  int
	peers  *papers
}

type papers struct {
	mu sync.Mutex
	by map[string]*paper
}

func papersOf(ts *testscript.TestScript) *papers {
	if p, ok := ts.Value(papersKey{}).(*papers); ok {
		return p
	}
	ts.Fatalf("the script has no newspapers")
	return nil
}

type papersKey struct{}

func (p *papers) get(ts *testscript.TestScript, name string) *paper {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.by[name]
	if one == nil {
		ts.Fatalf("there is no newspaper %q", name)
	}
	return one
}

// named puts origins for %NAME%.
func (p *papers) named(s string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, one := range p.by {
		s = strings.ReplaceAll(s, "%"+n+"%", one.origin)
	}
	return s
}

func startSite(ts *testscript.TestScript, _ bool, args []string) {
	secure := len(args) > 0 && args[0] == "-tls"
	if secure {
		args = args[1:]
	}
	if len(args) == 0 {
		ts.Fatalf("usage: site [-tls] NAME [PATH=FAULT...]")
	}
	all := papersOf(ts)
	one := &paper{name: args[0], faults: map[string]string{}, asked: map[string]int{}, peers: all}
	srv := httptest.NewUnstartedServer(one)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		srv.StartTLS()
		name := ts.MkAbs("authority.pem")
		ts.Check(os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o644))
		ts.Setenv("CA_FILE", name)
	} else {
		srv.Start()
	}
	ts.Defer(srv.Close)
	ts.Defer(srv.CloseClientConnections)
	one.origin = srv.URL
	all.mu.Lock()
	all.by[one.name] = one
	all.mu.Unlock()
	ts.Setenv(one.name, one.origin)
	one.change(ts, args[1:])
}

func faultSite(ts *testscript.TestScript, _ bool, args []string) {
	papersOf(ts).get(ts, args[0]).change(ts, args[1:])
}

func (p *paper) change(ts *testscript.TestScript, args []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range args {
		path, fault, ok := strings.Cut(a, "=")
		if !ok {
			ts.Fatalf("a fault is PATH=WHAT, not %q", a)
		}
		if p.faults[path] = fault; fault == "" {
			delete(p.faults, path)
		}
	}
}

const paperStories = 10

var paperText = []string{
	"Talks between the harbour authority and the ferry crews resumed on Tuesday after a strike of eleven days, the mediator said in the port city.",
	"The crews had demanded a pay rise of 6 percent and shorter shifts in winter, when storms keep most of the boats in port for days on end.",
	"According to the authority, more than 14,000 passengers had to change their plans since the strike began, most of them on the line to the outer islands.",
	"Shopkeepers on the islands complained that fresh food arrived late or not at all, and that the council had not opened its emergency store.",
	"The council is to meet again on Friday in the old customs house, where it will hear the mediator's report in public session.",
}

func paperFrame(title, main string) string {
	return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>` + title + ` - The Harbour Post</title><link rel="stylesheet" href="/style.css"></head><body><nav><a href="/">Home</a></nav><main>` +
		main + `</main><footer><p>The Harbour Post is published by the Coast Press Society. Letters to the editor are welcome at any time.</p></footer></body></html>`
}

// page is the newspaper's own page; ok is false where there is none.
func (p *paper) page(path string) (typ, body string, ok bool) {
	const html = "text/html; charset=utf-8"
	var b strings.Builder
	switch {
	case path == "/":
		b.WriteString("<h1>Today</h1><ul>")
		for i := range paperStories {
			fmt.Fprintf(&b, `<li><a href="/story/%d">Report number %d from ward %d</a></li>`, i, i, 7*i)
		}
		return html, paperFrame("Today", b.String()+"</ul>"), true
	case strings.HasPrefix(path, "/story/"):
		n, err := strconv.Atoi(strings.TrimPrefix(path, "/story/"))
		if err != nil || n < 0 || n >= paperStories {
			return "", "", false
		}
		fmt.Fprintf(&b, `<article><h1>Report number %d from ward %d</h1>`, n, 7*n)
		for k := range paperText {
			fmt.Fprintf(&b, "<p>Item %d of report %d. %s</p>", k, n, paperText[(k+n)%len(paperText)])
		}
		fmt.Fprintf(&b, `<p id="end"><img src="/img/%d.png" alt=""> <a href="%s/story/%d">the next report</a></p></article>`, n, p.origin, (n+1)%paperStories)
		return html, paperFrame(fmt.Sprintf("Report number %d", n), b.String()), true
	case path == "/style.css":
		return "text/css", "main{background:url(/img/back.png)}", true
	case strings.HasPrefix(path, "/img/"):
		return "image/png", "\x89PNG\r\n\x1a\n\x00\xff\xfe\x00picture " + path, true
	case path == "/robots.txt":
		return "text/plain", "", true
	case strings.HasPrefix(path, "/calendar/"):
		n, _ := strconv.Atoi(strings.TrimPrefix(path, "/calendar/"))
		return html, paperFrame("Calendar", fmt.Sprintf(`<h1>Month %d</h1><a href="/calendar/%d">next month</a>`, n, n+1)), true
	}
	return "", "", false
}

func (p *paper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.Method+" "+r.URL.RequestURI()]++
	p.total++
	fault, ok := p.faults[r.URL.Path]
	if !ok {
		fault = p.faults["*"]
	}
	p.mu.Unlock()
	fault = strings.ReplaceAll(p.peers.named(fault), `\n`, "\n")
	send := func(status int, typ, body string) {
		w.Header().Set("Content-Type", typ)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, body)
		}
	}
	typ, body, there := p.page(r.URL.Path)
	what, rest, _ := strings.Cut(fault, ":")
	switch code, err := strconv.Atoi(fault[:min(3, len(fault))]); {
	case err == nil:
		for _, field := range strings.Split(fault[3:], ",") {
			if name, value, ok := strings.Cut(field, ":"); ok {
				w.Header().Set(name, value)
			}
		}
		send(code, "text/html", paperFrame("Error", "<h1>Error</h1>"))
		return
	case what == "page":
		send(200, "text/html; charset=utf-8", paperFrame("Page", "<h1>Page</h1><p>"+rest+"</p>"))
		return
	case what == "type":
		t, b, _ := strings.Cut(rest, ":")
		send(200, t, b)
		return
	case what == "edit":
		for _, e := range strings.Split(rest, ";;") {
			before, after, _ := strings.Cut(e, "@@")
			body = strings.Replace(body, before, after, 1)
		}
	case what == "hang":
		<-r.Context().Done()
		return
	case what == "slow":
		d, _ := time.ParseDuration(rest)
		time.Sleep(d)
	}
	if !there {
		send(404, "text/html; charset=utf-8", paperFrame("Not found", "<h1>Not found</h1><p>There is no such page here.</p>"))
		return
	}
	send(200, typ, body)
}

func untilAsked(ts *testscript.TestScript, _ bool, args []string) {
	p := papersOf(ts).get(ts, args[0])
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		got := p.total
		p.mu.Unlock()
		if got >= n {
			return
		}
	}
	ts.Fatalf("%s was not asked %d times", p.name, n)
}

func wasAsked(ts *testscript.TestScript, _ bool, args []string) {
	p := papersOf(ts).get(ts, args[0])
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := p.asked[args[1]]; got != want {
		ts.Fatalf("%s was asked %q %d times, want %d: %v", p.name, args[1], got, want, p.asked)
	}
}

func askedOnce(ts *testscript.TestScript, _ bool, args []string) {
	p := papersOf(ts).get(ts, args[0])
	p.mu.Lock()
	defer p.mu.Unlock()
	for u, n := range p.asked {
		if n > 1 && u != "GET /robots.txt" && u != "GET /" && !strings.Contains(u, "decoy") && !strings.Contains(u, "99999") && !slices.Contains(args[1:], strings.TrimPrefix(u, "GET ")) {
			ts.Fatalf("%s was asked %q %d times", p.name, u, n)
		}
	}
	for i := range paperStories {
		if p.asked[fmt.Sprintf("GET /story/%d", i)] == 0 {
			ts.Fatalf("%s was never asked for story %d: %v", p.name, i, p.asked)
		}
	}
}

func forgetAsked(ts *testscript.TestScript, _ bool, args []string) {
	p := papersOf(ts).get(ts, args[0])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.total = map[string]int{}, 0
}

func foundIn(ts *testscript.TestScript, _ bool, args []string) {
	var doc survey.Report
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	all := papersOf(ts)
	name := func(s string) string {
		all.mu.Lock()
		defer all.mu.Unlock()
		for n, p := range all.by {
			s = strings.ReplaceAll(s, p.origin, n)
			s = strings.ReplaceAll(s, p.origin[strings.Index(p.origin, "://")+3:], n)
		}
		return s
	}
	var lines []string
	add := func(parts ...string) { lines = append(lines, name(strings.Join(parts, " "))) }
	for _, l := range doc.Links {
		for _, res := range l.Results {
			if res.State != "ok" {
				age := "new"
				if res.FirstSeen.Before(doc.Run.Started) {
					age = "known"
				}
				add(string(res.Mirror), res.State, string(res.Outcome), l.Target, age, fmt.Sprintf("%d parents", len(l.Parents)))
			}
		}
	}
	for _, a := range doc.Articles {
		for _, f := range a.Mirrors {
			for _, h := range f.Hygiene {
				add(string(f.Mirror), "hygiene", h.Kind, h.URL)
			}
		}
	}
	for _, c := range doc.Crawls {
		for _, h := range c.Hygiene {
			add(string(c.Mirror), "crawl-hygiene", h.Kind, h.URL)
		}
		for _, t := range c.Traps {
			add(string(c.Mirror), "trap", t)
		}
	}
	slices.Sort(lines)
	for _, l := range lines {
		_, _ = fmt.Fprintln(ts.Stdout(), l)
	}
}

func fillSites(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(name, []byte(papersOf(ts).named(ts.ReadFile(args[0]))), 0o644))
}

func sameDate(ts *testscript.TestScript, _ bool, args []string) {
	var doc survey.Report
	var base struct {
		Links []struct {
			Target    string
			Mirror    survey.Host
			FirstSeen time.Time `json:"first_seen"`
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &base))
	for _, l := range doc.Links {
		for _, res := range l.Results {
			for _, b := range base.Links {
				if b.Target == l.Target && b.Mirror == res.Mirror && b.FirstSeen.Equal(res.FirstSeen) {
					return
				}
			}
		}
	}
	ts.Fatalf("no link of %s has the date of %s", args[0], args[1])
}
