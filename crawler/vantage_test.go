package crawler

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

// portOf makes the host's server one that is reached by name and port, and returns "host:port".
func (w *testWorld) portOf(host string) string {
	_, port, _ := net.SplitHostPort(w.pins[host+":443"])
	delete(w.pins, host+":443")
	return host + ":" + port
}

// resolver runs a name server that knows every name but those given, for which it answers NXDOMAIN.
func (w *testWorld) resolver(gone ...string) string {
	f := &faultWorld{testWorld: w}
	f.answer = func(m *dns.Msg, q dns.Question) {
		for _, g := range gone {
			if strings.TrimSuffix(q.Name, ".") == g {
				m.Rcode = dns.RcodeNameError
				return
			}
		}
		if q.Qtype == dns.TypeA {
			m.Answer = append(m.Answer, a(q.Name, "127.0.0.1"))
		}
	}
	return f.startDNS()
}

func (w *testWorld) planFrom(vantages []survey.Vantage, hosts ...string) Plan {
	plan := w.plan(hosts...)
	sp := &plan.Sites[0]
	sp.Vantages = vantages
	sp.Transport = func(v survey.Vantage) (http.RoundTripper, error) {
		return wire.New(wire.Config{Vantage: v, Roots: w.roots, UserAgent: "test", Recorder: w,
			Guard: wire.Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
			Limits: wire.Limits{DNS: 300 * time.Millisecond, FirstByte: 500 * time.Millisecond, Connect: 300 * time.Millisecond, TLS: 500 * time.Millisecond,
				Stall: 500 * time.Millisecond, Proxy: 300 * time.Millisecond, Linger: 20 * time.Millisecond}})
	}
	return plan
}

// TestRestrictedFromOneVantage: a mirror that one resolver denies and another does not is restricted from there, not down.
func TestRestrictedFromOneVantage(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.serve("b.example", newspaper{host: "b.example"})
	primary, mirror := w.portOf("a.example"), w.portOf("b.example")
	r := w.run(w.planFrom([]survey.Vantage{{Name: "open", Resolver: w.resolver()}, {Name: "closed", Resolver: w.resolver("b.example")}}, primary, mirror))
	if len(r.Articles[0].Mirrors) != 4 {
		t.Fatalf("%d findings, want one per mirror and vantage", len(r.Articles[0].Mirrors))
	}
	for _, f := range r.Articles[0].Mirrors {
		want := survey.Up
		if f.Mirror == survey.Host(mirror) && f.Vantage == "closed" {
			want = survey.Down
			if f.Stage != survey.StageDNS || f.Outcome != survey.NXDomain {
				t.Errorf("%s from %s: %s/%s", f.Mirror, f.Vantage, f.Stage, f.Outcome)
			}
		}
		if f.State != want {
			t.Errorf("%s from %s is %s: %v", f.Mirror, f.Vantage, f.State, f.Reasons)
		}
	}
	said := ""
	for _, c := range r.Articles[0].Conclusions {
		if c.Mirror == survey.Host(mirror) && c.Vantage == "closed" {
			said = c.Say
		}
	}
	if said != "restricted from closed at stage dns" {
		t.Errorf("the conclusion is %q", said)
	}
	if r.Summary.Down != 1 || r.Summary.Up != 1 {
		t.Errorf("summary %+v: a mirror counts by its worst vantage", r.Summary)
	}
}

// TestProxyTroubleIsNotTheMirrors: a vantage whose proxy fails cannot tell.
func TestProxyTroubleIsNotTheMirrors(t *testing.T) {
	f := &faultWorld{testWorld: newWorld(t)}
	f.serve("a.example", newspaper{host: "a.example"})
	primary := f.portOf("a.example")
	f.httpProxy("HTTP/1.1 502 Bad Gateway\r\n\r\n")
	r := f.run(f.planFrom([]survey.Vantage{{Name: "direct", Resolver: f.resolver()}, {Name: "proxied", Proxy: f.proxy}}, primary))
	for _, x := range r.Articles[0].Mirrors {
		want := map[string]survey.State{"direct": survey.Up, "proxied": survey.Unknown}[x.Vantage]
		if x.State != want {
			t.Errorf("from %s: %s (%v), want %s", x.Vantage, x.State, x.Reasons, want)
		}
	}
}

// TestVoidVantageCountsNowhere: one vantage's canary is down, the other's is up.
func TestVoidVantageCountsNowhere(t *testing.T) {
	w := newWorld(t)
	w.serve("a.example", newspaper{host: "a.example"})
	w.serve("canary.example", textOf("ok"))
	primary, canary := w.portOf("a.example"), w.portOf("canary.example")
	plan := w.planFrom([]survey.Vantage{{Name: "good", Resolver: w.resolver()}, {Name: "bad", Resolver: w.resolver("canary.example", "a.example")}}, primary)
	plan.Sites[0].Canaries = []string{"https://" + canary + "/"}
	r := w.run(plan)
	if r.Run.Void || len(r.Run.VoidVantages) != 1 || r.Run.VoidVantages[0] != "bad" {
		t.Errorf("void %v %v", r.Run.Void, r.Run.VoidVantages)
	}
	if r.Summary.Up != 1 || r.Summary.Down != 0 || r.Summary.Unknown != 0 {
		t.Errorf("summary %+v", r.Summary)
	}
}

// TestCharsets: titles come out right whatever the page was written in, and the payload digest is that of the octets.
func TestCharsets(t *testing.T) {
	for _, tc := range []struct {
		name, title, meta string
		enc               encoding.Encoding
		header            string
	}{
		{"GBK by meta", "港口谈判在罢工后恢复", `<meta charset="gbk">`, simplifiedchinese.GBK, "text/html"},
		{"windows-1251 by header", "Переговоры в порту возобновились", "", charmap.Windows1251, "text/html; charset=windows-1251"},
		{"windows-1256 by meta", "استئناف المفاوضات في الميناء", `<meta http-equiv="Content-Type" content="text/html; charset=windows-1256">`, charmap.Windows1256, "text/html"},
		{"Shift_JIS by header", "港の交渉がストの後に再開", "", japanese.ShiftJIS, "text/html; charset=Shift_JIS"},
		{"EUC-KR by meta", "파업 뒤 항만 협상 재개", `<meta charset="euc-kr">`, korean.EUCKR, "text/html"},
		{"UTF-16 by byte order mark", "Gespräche im Hafen", "", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "text/html"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			page := "<html><head>" + tc.meta + "<title>" + tc.title + "</title></head><body><h1>" + tc.title + "</h1><p>" + strings.Repeat(tc.title+". ", 20) + "</p></body></html>"
			octets, err := tc.enc.NewEncoder().String(page)
			if err != nil {
				t.Fatal(err)
			}
			w.serve("a.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", tc.header)
				_, _ = rw.Write([]byte(octets))
			}))
			f := finding(t, w.run(w.plan("a.example")), "a.example")
			if f.Title != tc.title {
				t.Errorf("title %q, want %q", f.Title, tc.title)
			}
			if f.Body == nil || f.Body.Bytes != int64(len(octets)) || f.Body.Charset == "" {
				t.Errorf("body %+v of %d octets", f.Body, len(octets))
			}
		})
	}
}
