package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mirrorwatch/crawler/survey"
)

// zoneServer answers over UDP and TCP of one port, and counts the questions.
func zoneServer(t *testing.T, f func(q, m *dns.Msg)) (addr string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		m := new(dns.Msg).SetReply(q)
		if f(q, m); m.Id == 0 {
			return // silent
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		_ = w.WriteMsg(m)
	})
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: ln, Handler: h}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go func() { _ = s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return pc.LocalAddr().String(), asked
}

func record(t *testing.T, format string, args ...any) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// refers answers with a referral to the servers.
func refers(t *testing.T, servers ...string) func(q, m *dns.Msg) {
	return func(q, m *dns.Msg) {
		for _, s := range servers {
			m.Ns = append(m.Ns, record(t, "%s 3600 IN NS %s.", q.Question[0].Name, s))
		}
	}
}

func gone(_, m *dns.Msg) { m.Rcode, m.Authoritative = dns.RcodeNameError, true }
func mute(_, m *dns.Msg) { m.Id = 0 }
func turnsAway(_, m *dns.Msg) {
	m.Rcode = dns.RcodeRefused
}

func TestDelegation(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("a-long-name-of-server-number-%d.sedoparking.com", i)
	}
	for _, tt := range []struct {
		name    string
		host    string
		parents []func(q, m *dns.Msg) // of a.nic.ZONE and b.nic.ZONE
		domain  string                // asked for
		zone    string
		want    []survey.Outcome // of the parents' answers
		note    string
		failed  bool
	}{
		{"ordinary", "www.news.example", []func(q, m *dns.Msg){refers(t, "ns1.host.example", "ns2.host.example")}, "news.example", "example", []survey.Outcome{survey.OK}, "", false},
		{"seized", "news.example", []func(q, m *dns.Msg){refers(t, "ns1.fbi.seized.gov", "NS2.FBI.Seized.gov")}, "news.example", "example", []survey.Outcome{survey.SeizedNS}, "seized.gov, list delegations 1", false},
		{"two servers agree", "news.example", []func(q, m *dns.Msg){refers(t, "ns1.seizedservers.com"), refers(t, "ns1.seizedservers.com")}, "news.example", "example", []survey.Outcome{survey.SeizedNS, survey.SeizedNS}, "seizedservers.com", false},
		{"not by a suffix of letters", "news.example", []func(q, m *dns.Msg){refers(t, "ns1.notseized.gov")}, "news.example", "example", []survey.Outcome{survey.OK}, "", false},
		{"one server of several is listed", "news.example", []func(q, m *dns.Msg){refers(t, "ns1.seized.gov", "ns1.host.example")}, "news.example", "example", []survey.Outcome{survey.OK}, "", false},
		{"parked", "news.example", []func(q, m *dns.Msg){refers(t, "ns1.sedoparking.com", "ns2.sedoparking.com")}, "news.example", "example", []survey.Outcome{survey.ParkedNS}, "sedoparking.com", false},
		{"sinkhole", "news.example", []func(q, m *dns.Msg){refers(t, "sc-a.sinkhole.shadowserver.org")}, "news.example", "example", []survey.Outcome{survey.SinkholeNS}, "shadowserver", false},
		{"not in the zone", "news.example", []func(q, m *dns.Msg){gone}, "news.example", "example", []survey.Outcome{survey.RegistryHold}, "RDAP was not asked", false},
		{"said without authority", "news.example", []func(q, m *dns.Msg){func(_, m *dns.Msg) { m.Rcode = dns.RcodeNameError }}, "news.example", "example", []survey.Outcome{survey.NXDomain}, "", true},
		{"truncated: over TCP", "news.example", []func(q, m *dns.Msg){refers(t, many...)}, "news.example", "example", []survey.Outcome{survey.ParkedNS}, "", false},
		{"the first is silent", "news.example", []func(q, m *dns.Msg){mute, refers(t, "ns1.bodis.com")}, "news.example", "example", []survey.Outcome{survey.Timeout, survey.ParkedNS}, "", false},
		{"the first refuses", "news.example", []func(q, m *dns.Msg){turnsAway, refers(t, "ns1.host.example")}, "news.example", "example", []survey.Outcome{survey.Refused, survey.OK}, "", false},
		{"contradiction", "news.example", []func(q, m *dns.Msg){gone, refers(t, "ns1.host.example")}, "news.example", "example", []survey.Outcome{survey.Misbehaving, survey.Misbehaving}, "contradict", true},
		{"a referral elsewhere", "news.example", []func(q, m *dns.Msg){func(_, m *dns.Msg) {
			m.Ns = append(m.Ns, record(t, ". 60 IN NS ns1.seized.gov."))
		}}, "news.example", "example", []survey.Outcome{survey.NoAnswer}, "", true},
		{"country suffix", "www.news.co.uk", []func(q, m *dns.Msg){refers(t, "ns1.host.example")}, "news.co.uk", "co.uk", []survey.Outcome{survey.OK}, "", false},
		{"a suffix that is no zone", "www.news.gov.uk", []func(q, m *dns.Msg){refers(t, "ns1.host.example")}, "news.gov.uk", "uk", []survey.Outcome{survey.OK}, "", false},
		{"a company's suffix", "press.github.io", []func(q, m *dns.Msg){refers(t, "ns1.host.example")}, "github.io", "io", []survey.Outcome{survey.OK}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pins := map[string]string{}
			var servers []string
			for i, f := range tt.parents {
				addr, _ := zoneServer(t, func(q, m *dns.Msg) {
					if got := q.Question[0]; got.Name != dns.Fqdn(tt.domain) || got.Qtype != dns.TypeNS || q.RecursionDesired {
						t.Errorf("the parent was asked for %v, recursion %v", got, q.RecursionDesired)
					}
					f(q, m)
				})
				name := fmt.Sprintf("%c.nic.%s", 'a'+i, tt.zone)
				servers = append(servers, name)
				pins[name+":53"] = addr
			}
			resolver, _ := zoneServer(t, func(q, m *dns.Msg) {
				if q.Question[0].Name == dns.Fqdn(tt.zone) && q.Question[0].Qtype == dns.TypeNS {
					for _, s := range servers {
						m.Answer = append(m.Answer, record(t, "%s 60 IN NS %s.", dns.Fqdn(tt.zone), s))
					}
				}
			})
			tr, err := New(Config{Vantage: survey.Vantage{Resolver: "udp://" + resolver}, ConnectTo: pins, Limits: Limits{DNS: 600 * time.Millisecond, Linger: 20 * time.Millisecond}})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			all, err := tr.Delegation(t.Context(), tt.host)
			if (err != nil) != tt.failed {
				t.Errorf("error %v", err)
			}
			var got []survey.Outcome
			for i, l := range all {
				if l.Engine != engineParent {
					continue
				}
				got = append(got, l.Outcome)
				if l.Outcome != survey.Timeout && len(l.Raw) == 0 {
					t.Error("no message was kept")
				}
				if i == len(all)-1 && !strings.Contains(l.Note, tt.note) {
					t.Errorf("note %q, want %q", l.Note, tt.note)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v: %+v", got, tt.want, all)
			}
		})
	}
}

// The guard looks at the parent's addresses as at a mirror's: nothing leaves for a special one.
func TestDelegationGuard(t *testing.T) {
	resolver, _ := zoneServer(t, func(q, m *dns.Msg) {
		switch q.Question[0].Qtype {
		case dns.TypeNS:
			m.Answer = append(m.Answer, record(t, "%s 60 IN NS a.nic.example.", q.Question[0].Name))
		case dns.TypeA:
			m.Answer = append(m.Answer, record(t, "%s 60 IN A 127.0.0.1", q.Question[0].Name))
		}
	})
	tr, err := New(Config{Vantage: survey.Vantage{Resolver: "udp://" + resolver}, Limits: Limits{DNS: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	all, err := tr.Delegation(t.Context(), "news.example")
	if !errors.Is(err, ErrGuard) || len(all) == 0 || all[len(all)-1].Outcome != survey.GuardRefused || all[len(all)-1].Server != "127.0.0.1:53" {
		t.Errorf("got %v, %+v", err, all)
	}
	// Permitted: it is asked (and nobody listens).
	tr2, err := New(Config{Vantage: survey.Vantage{Resolver: "udp://" + resolver}, Limits: Limits{DNS: 300 * time.Millisecond},
		Guard: Guard{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr2.Close()
	if all, _ = tr2.Delegation(t.Context(), "news.example"); len(all) == 0 || all[len(all)-1].Engine != engineParent || all[len(all)-1].Outcome == survey.GuardRefused {
		t.Errorf("permitted: %+v", all)
	}
}

func TestDelegationNotAsked(t *testing.T) {
	resolver, asked := zoneServer(t, mute)
	for _, tt := range []struct{ name, host, proxy string }{
		{"address", "192.0.2.1", ""}, {"address in disguise", "0x7f.1", ""}, {"IPv6", "[2001:db8::1]:443", ""}, {"single label", "intranet", ""},
		{"onion", "abcdefghijklmnop.onion", ""}, {"full-width onion", "abcdefghijklmnop.ｏｎｉｏｎ", ""}, {"localhost", "a.localhost", ""}, {"a public suffix", "co.uk", ""},
		{"pinned", "pinned.example:8443", ""}, {"proxy", "news.example", "socks5://127.0.0.1:1"}, {"no name", "", ""}, {"dots", "..", ""},
	} {
		tr, err := New(Config{Vantage: survey.Vantage{Resolver: "udp://" + resolver, Proxy: tt.proxy}, ConnectTo: map[string]string{"pinned.example:443": "127.0.0.1:1"},
			Limits: Limits{DNS: 100 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		if all, err := tr.Delegation(t.Context(), tt.host); all != nil || err != nil {
			t.Errorf("%s: %v, %+v", tt.name, err, all)
		}
		_ = tr.Close()
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d questions were asked", n)
	}
}

// A parent and a resolver that do not answer cost twice Limits.DNS at most.
func TestDelegationTime(t *testing.T) {
	silent, _ := zoneServer(t, mute)
	answering, _ := zoneServer(t, func(q, m *dns.Msg) {
		for i := range 20 {
			m.Answer = append(m.Answer, record(t, "%s 60 IN NS %c.nic.example.", q.Question[0].Name, 'a'+i))
		}
	})
	pins := map[string]string{}
	for i := range 20 {
		pins[fmt.Sprintf("%c.nic.example:53", 'a'+i)] = silent
	}
	for _, resolver := range []string{silent, answering} {
		tr, err := New(Config{Vantage: survey.Vantage{Resolver: "udp://" + resolver}, ConnectTo: pins, Limits: Limits{DNS: 200 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		all, err := tr.Delegation(context.Background(), "news.example")
		if took := time.Since(start); took > 800*time.Millisecond || err == nil || len(all) > 4 {
			t.Errorf("%v, %v, %d look-ups", took, err, len(all))
		}
		_ = tr.Close()
	}
}

func TestDelegationList(t *testing.T) {
	l, err := parseDelegations(delegationsText)
	if err != nil || len(l.zones) < 10 {
		t.Fatalf("our own list: %v, %d zones", err, len(l.zones))
	}
	for name := range l.zones {
		if _, ok := dns.IsDomainName(name); !ok || name != strings.ToLower(name) || strings.HasSuffix(name, ".") || !strings.Contains(name, ".") {
			t.Errorf("zone %q", name)
		}
	}
	for _, bad := range []string{"", "seized a.example # x", "version 1\nseized a.example", "version 1\nlost a.example # x", "version 1\nseized # x",
		"version 1\nseized a.example # x\nparked a.example # x", "version 1\nversion 2"} {
		if _, err := parseDelegations(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzDelegationAnswer(f *testing.F) {
	q := new(dns.Msg).SetQuestion("news.example.", dns.TypeNS)
	m := new(dns.Msg).SetReply(q)
	rr, _ := dns.NewRR("news.example. 60 IN NS ns1.seized.gov.")
	m.Ns = append(m.Ns, rr)
	raw, _ := m.Pack()
	f.Add(raw)
	f.Add([]byte{0, 1, 0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := survey.Lookup{Type: "NS"}
		addrs, _ := readAnswer(raw, q, &l)
		if len(addrs) > 0 || len(l.Answers) > 4096 || l.Outcome == "" {
			t.Errorf("%v, %d answers, outcome %q", addrs, len(l.Answers), l.Outcome)
		}
		knownServers(l.Answers)
	})
}
