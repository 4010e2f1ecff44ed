package wire

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"mirrorwatch/crawler/survey"
)

// Names of the engines, as in survey.Lookup.
const (
	engineSystem = "system"
	engineUDP    = "udp"
	engineTCP    = "tcp"
	engineDoT    = "dot"
	engineDoH    = "doh"
	engineHosts  = "hosts"
)

// secondAnswer is how long one family's answer waits for the other's.
const secondAnswer = time.Second

// resolver asks the servers of a vantage.
type resolver struct {
	engine     string
	servers    []string // host:port to dial
	name       string   // for TLS
	url        string   // of DoH
	http       *http.Client
	hosts      string // path of a hosts file, "" for none
	timeout    time.Duration
	tlsConfig  *tls.Config
	source     source
	linger     time.Duration
	configured error // why there are no servers
}

func (r *resolver) close() {
	if r.http != nil {
		r.http.CloseIdleConnections()
	}
}

// parseResolver reads system, udp://IP, tcp://IP, tls://NAME@IP and https://NAME/path@IP, each IP with an optional port.
func (t *Transport) parseResolver(s string) (resolver, error) {
	r := resolver{source: t.source, linger: t.limits.Linger, timeout: t.limits.DNS}
	if s == "" || s == "system" {
		r.engine = engineSystem
		r.readSystem(cmp.Or(t.cfg.resolvConf, "/etc/resolv.conf"), cmp.Or(t.cfg.hostsFile, "/etc/hosts"))
		return r, nil
	}
	bad := func(why string) (resolver, error) {
		return r, fmt.Errorf("resolver %q: %s; want system, udp://IP, tcp://IP, tls://NAME@IP or https://NAME/path@IP", s, why)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return bad("no scheme")
	}
	where := rest
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		r.name, where = rest[:i], rest[i+1:]
	}
	port := map[string]string{"udp": "53", "tcp": "53", "tls": "853", "https": "443"}[scheme]
	host := strings.Trim(where, "[]")
	if _, err := netip.ParseAddr(host); err != nil {
		if host, port, err = net.SplitHostPort(where); err != nil {
			return bad("no IP address")
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return bad("no IP address")
		}
	}
	r.servers = []string{net.JoinHostPort(host, port)}
	r.tlsConfig = &tls.Config{RootCAs: t.cfg.Roots, Time: t.now, ServerName: r.name}
	if r.name == "" {
		r.tlsConfig.ServerName = host
	}
	switch scheme {
	case "udp":
		r.engine = engineUDP
	case "tcp":
		r.engine = engineTCP
	case "tls":
		r.engine = engineDoT
	case "https":
		r.engine = engineDoH
		if r.name == "" {
			return bad("no server name")
		}
		u, err := url.Parse("https://" + r.name)
		if err != nil {
			return bad(err.Error())
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/dns-query"
		}
		r.url = u.String()
		r.tlsConfig.ServerName = u.Hostname()
		server := netip.MustParseAddrPort(r.servers[0])
		r.http = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				// Several public servers speak HTTP/2 only.
				ForceAttemptHTTP2: true, TLSClientConfig: r.tlsConfig, DisableCompression: true, IdleConnTimeout: 10 * time.Second,
				TLSHandshakeTimeout: t.limits.TLS, MaxIdleConnsPerHost: 2,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return r.source.dial(ctx, "tcp", server, t.limits.DNS)
				},
			}}
	default:
		return bad("unknown scheme")
	}
	return r, nil
}

// readSystem reads the system's configuration as its own resolver would, without search domains: the names asked for are whole.
func (r *resolver) readSystem(conf, hosts string) {
	r.hosts = hosts
	c, err := dns.ClientConfigFromFile(conf)
	if err != nil {
		r.configured = fmt.Errorf("reading resolver configuration: %w", err)
		return
	}
	for _, s := range c.Servers {
		r.servers = append(r.servers, net.JoinHostPort(s, c.Port))
	}
	if len(r.servers) == 0 {
		r.servers = []string{"127.0.0.1:53"} // resolv.conf(5)
	}
}

// resolution is what resolving a name gave.
type resolution struct {
	addrs   []netip.Addr
	lookups []survey.Lookup
	outcome survey.Outcome
	err     error
	late    []func(time.Duration)
}

// resolve asks for both families side by side, or for one.
func (t *Transport) resolve(ctx context.Context, host string, family int) resolution {
	r := &t.resolver
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3: never asked for
		return resolution{addrs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}}
	}
	if onion(host) {
		return resolution{outcome: survey.OnionLeakRefused, err: fmt.Errorf("%q must not be asked for (RFC 7686)", host)}
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		ascii = host // names with underscores and the like: the server decides
	}
	if _, ok := dns.IsDomainName(ascii); !ok || len(ascii) > 253 {
		return resolution{outcome: survey.NXDomain, err: fmt.Errorf("%q cannot be a name", host)}
	}
	if r.hosts != "" {
		if found := r.fromHosts(ascii, t.now()); len(found) > 0 {
			res := resolution{lookups: found}
			for _, l := range found {
				for _, a := range l.Answers {
					res.addrs = append(res.addrs, netip.MustParseAddr(a.Data))
				}
			}
			return res
		}
	}
	if r.configured != nil {
		return r.fallback(ctx, ascii, family, t.now())
	}
	var types []uint16
	if family != 4 {
		types = append(types, dns.TypeAAAA)
	}
	if family != 6 {
		types = append(types, dns.TypeA)
	}
	answers := make([]answer, len(types))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i, qtype := range types {
		wg.Go(func() {
			answers[i] = r.ask(ctx, ascii, qtype, t.now)
			if len(answers[i].addrs) > 0 && len(types) > 1 {
				timer := time.AfterFunc(secondAnswer, cancel)
				context.AfterFunc(ctx, func() { timer.Stop() })
			}
		})
	}
	wg.Wait()
	var res resolution
	for _, a := range answers {
		res.addrs = append(res.addrs, a.addrs...)
		res.lookups = append(res.lookups, a.lookups...)
	}
	// Listening for second answers writes into the lookups later: the pointers must be those of the final slice.
	at := 0
	for _, a := range answers {
		at += len(a.lookups)
		if a.late != nil {
			l := &res.lookups[at-1]
			late := a.late
			res.late = append(res.late, func(d time.Duration) { late(l, d) })
		}
	}
	if len(res.addrs) > 0 {
		return res
	}
	// The most telling outcome stands for the name: a missing name before an empty answer, a failure before both.
	rank := func(o survey.Outcome) int {
		switch o {
		case survey.NoAnswer:
			return 0
		case survey.NXDomain:
			return 2
		}
		return 1
	}
	for i, a := range answers {
		if i == 0 || rank(a.outcome) >= rank(res.outcome) {
			res.outcome, res.err = a.outcome, a.err
		}
	}
	return res
}

// fallback asks the system's own library where there is no configuration file to read. It cannot tell NXDOMAIN from no data.
func (r *resolver) fallback(ctx context.Context, host string, family int, now time.Time) resolution {
	network := map[int]string{4: "ip4", 6: "ip6"}[family]
	if network == "" {
		network = "ip"
	}
	start := time.Now()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host+".")
	l := survey.Lookup{Engine: engineSystem, Server: engineSystem, Name: host, Type: "A", EDE: []survey.EDE{}, Answers: []survey.Answer{}, At: now.UTC(),
		MS: *survey.Millis(time.Since(start)), Outcome: survey.OK}
	for _, a := range addrs {
		l.Answers = append(l.Answers, survey.Answer{Type: typeOf(a), Data: a.Unmap().String()})
	}
	if err != nil {
		l.Outcome = network2dns(ctx, err)
	}
	return resolution{addrs: addrs, lookups: []survey.Lookup{l}, outcome: l.Outcome, err: err}
}

func network2dns(ctx context.Context, err error) survey.Outcome {
	var de *net.DNSError
	if errors.As(err, &de) {
		switch {
		case de.IsNotFound:
			return survey.NXDomain
		case de.IsTimeout:
			return survey.Timeout
		}
		return survey.ServFail
	}
	return failed(ctx, survey.StageDNS, err).Outcome
}

// fromHosts looks the name up in the hosts file: one lookup for each family that is there.
func (r *resolver) fromHosts(host string, now time.Time) []survey.Lookup {
	f, err := os.Open(r.hosts)
	if err != nil {
		return nil
	}
	defer f.Close()
	var found []survey.Lookup
	lines := bufio.NewScanner(io.LimitReader(f, 8<<20))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			if strings.EqualFold(strings.TrimSuffix(name, "."), host) {
				at := slices.IndexFunc(found, func(l survey.Lookup) bool { return l.Type == typeOf(a) })
				if at < 0 {
					at = len(found)
					found = append(found, survey.Lookup{Engine: engineHosts, Server: r.hosts, Name: host, Type: typeOf(a), EDE: []survey.EDE{}, At: now.UTC(), Outcome: survey.OK})
				}
				l := &found[at]
				l.Answers = append(l.Answers, survey.Answer{Type: typeOf(a), Data: a.WithZone("").Unmap().String()})
				break
			}
		}
	}
	return found
}

// answer is what one question came to over all servers.
type answer struct {
	addrs   []netip.Addr
	lookups []survey.Lookup // the last is the one that counts
	outcome survey.Outcome
	err     error
	late    func(*survey.Lookup, time.Duration)
}

// ask puts one question to the servers in order, until one of them answers it.
func (r *resolver) ask(ctx context.Context, host string, qtype uint16, now func() time.Time) answer {
	var a answer
	for i, server := range r.servers {
		sctx, cancel := ctx, context.CancelFunc(func() {})
		if left := len(r.servers) - i; left > 1 {
			sctx, cancel = context.WithTimeout(ctx, r.timeout/time.Duration(len(r.servers)))
		}
		l, late, addrs, err := r.exchange(sctx, server, host, qtype, now)
		cancel()
		if a.late != nil {
			a.late(nil, 0)
		}
		a.lookups = append(a.lookups, l)
		a.addrs, a.outcome, a.err, a.late = addrs, l.Outcome, err, late
		switch l.Outcome {
		case survey.OK, survey.NXDomain, survey.NoAnswer, survey.FilteredEDE:
			return a
		}
		if ctx.Err() != nil {
			return a
		}
	}
	return a
}

func (r *resolver) exchange(ctx context.Context, server, host string, qtype uint16, now func() time.Time) (l survey.Lookup, late func(*survey.Lookup, time.Duration), addrs []netip.Addr, err error) {
	l = survey.Lookup{Engine: r.engine, Server: server, Name: host, Type: dns.TypeToString[qtype], At: now().UTC(), EDE: []survey.EDE{}, Answers: []survey.Answer{}}
	if r.engine == engineDoH {
		l.Server = r.url
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(host), qtype)
	q.SetEdns0(1232, false)
	q.RecursionDesired = r.engine != engineParent
	var id [2]byte
	_, _ = rand.Read(id[:])
	q.Id = binary.BigEndian.Uint16(id[:])
	if r.engine == engineDoH {
		q.Id = 0 // RFC 8484 section 4.1
	}
	out, err := q.Pack()
	if err != nil {
		l.Outcome = survey.NXDomain
		return l, nil, nil, fmt.Errorf("%q cannot be asked for: %w", host, err)
	}
	start := time.Now()
	var raw []byte
	switch r.engine {
	case engineUDP, engineSystem, engineParent:
		raw, late, err = r.overUDP(ctx, server, out, q, &l)
		if err == nil && len(raw) > 2 && raw[2]&0x02 != 0 { // TC
			raw, err = r.overStream(ctx, server, out, false)
			if err == nil {
				l.Raw = append(l.Raw, raw)
			}
		}
	case engineTCP, engineDoT:
		raw, err = r.overStream(ctx, server, out, r.engine == engineDoT)
		if err == nil {
			l.Raw = append(l.Raw, raw)
		}
	case engineDoH:
		raw, err = r.overHTTP(ctx, out)
		if err == nil {
			l.Raw = append(l.Raw, raw)
		}
	}
	l.MS = *survey.Millis(time.Since(start))
	if err != nil {
		f := failed(ctx, survey.StageDNS, err)
		if f.Outcome == survey.EOF {
			f.Outcome = survey.Misbehaving
		}
		l.Outcome = f.Outcome
		return l, late, nil, fmt.Errorf("asking %s for %s %s: %w", l.Server, l.Type, host, err)
	}
	addrs, err = readAnswer(raw, q, &l)
	if err != nil {
		err = fmt.Errorf("%s for %s %s: %w", l.Server, l.Type, host, err)
	}
	return l, late, addrs, err
}

// readAnswer reads a message into l and returns the addresses asked for.
func readAnswer(raw []byte, q *dns.Msg, l *survey.Lookup) ([]netip.Addr, error) {
	var m dns.Msg
	if err := m.Unpack(raw); err != nil {
		l.Outcome = survey.Misbehaving
		return nil, fmt.Errorf("malformed answer: %w", err)
	}
	switch {
	case m.Id != q.Id:
		l.Outcome = survey.WrongID
		return nil, errors.New("answer with another id")
	case !m.Response, len(m.Question) > 1, len(m.Question) == 1 && (!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype):
		l.Outcome = survey.Misbehaving
		return nil, errors.New("answer to another question")
	}
	l.RCode = dns.RcodeToString[m.Rcode]
	if l.RCode == "" {
		l.RCode = fmt.Sprintf("RCODE%d", m.Rcode)
	}
	filtered := false
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				l.EDE = append(l.EDE, survey.EDE{Code: int(e.InfoCode), Text: e.ExtraText})
				switch e.InfoCode {
				case dns.ExtendedErrorCodeForgedAnswer, dns.ExtendedErrorCodeBlocked, dns.ExtendedErrorCodeCensored,
					dns.ExtendedErrorCodeFiltered, dns.ExtendedErrorCodeProhibited:
					filtered = true
				}
			}
		}
	}
	var addrs []netip.Addr
	add := func(ip net.IP, rr dns.RR, kind string) {
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return
		}
		if kind == "A" {
			a = a.Unmap()
		}
		l.Answers = append(l.Answers, survey.Answer{Type: kind, Data: a.String(), TTL: rr.Header().Ttl})
		if len(addrs) < 64 {
			addrs = append(addrs, a)
		}
	}
	delegated := false
	if l.Type == "NS" {
		delegated = readServers(&m, q.Question[0].Name, l)
	}
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			if l.Type == "A" {
				add(rr.A, rr, "A")
			}
		case *dns.AAAA:
			if l.Type == "AAAA" {
				add(rr.AAAA, rr, "AAAA")
			}
		case *dns.CNAME:
			l.Answers = append(l.Answers, survey.Answer{Type: "CNAME", Data: strings.TrimSuffix(rr.Target, "."), TTL: rr.Hdr.Ttl})
		}
	}
	switch {
	case filtered:
		l.Outcome = survey.FilteredEDE
	case m.Rcode == dns.RcodeNameError:
		l.Outcome = survey.NXDomain
	case m.Rcode == dns.RcodeServerFailure:
		l.Outcome = survey.ServFail
	case m.Rcode == dns.RcodeRefused:
		l.Outcome = survey.Refused
	case m.Rcode != dns.RcodeSuccess:
		l.Outcome = survey.Misbehaving
	case len(addrs) == 0 && !delegated:
		l.Outcome = survey.NoAnswer
	default:
		l.Outcome = survey.OK
	}
	if m.Rcode != dns.RcodeSuccess {
		addrs = nil
	}
	if len(addrs) == 0 && l.Outcome != survey.OK {
		return nil, fmt.Errorf("answer %s, outcome %s", l.RCode, l.Outcome)
	}
	return addrs, nil
}

// readServers takes the name servers of exactly the name asked for into l: from the answer, or from the authority section, where a
// referral has them.
func readServers(m *dns.Msg, name string, l *survey.Lookup) bool {
	seen := map[string]bool{}
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			ns, ok := rr.(*dns.NS)
			if !ok || !strings.EqualFold(ns.Hdr.Name, name) || len(seen) == 32 {
				continue
			}
			server := strings.ToLower(strings.TrimSuffix(ns.Ns, "."))
			if server != "" && !seen[server] {
				seen[server] = true
				l.Answers = append(l.Answers, survey.Answer{Type: "NS", Data: server, TTL: ns.Hdr.Ttl})
			}
		}
	}
	return len(seen) > 0
}

// overUDP asks, and asks again while nothing comes. Datagrams with another id are kept and passed over. The socket stays open:
// late must be called once to look whether a second, differing answer came, which is a sign of injection.
func (r *resolver) overUDP(ctx context.Context, server string, out []byte, q *dns.Msg, l *survey.Lookup) (raw []byte, late func(*survey.Lookup, time.Duration), err error) {
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, nil, err
	}
	nc, err := r.source.dial(ctx, "udp", to, r.timeout)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(longAgo) })
	defer stop()
	resend := r.timeout / 4
	if deadline, ok := ctx.Deadline(); ok {
		resend = min(resend, time.Until(deadline)/3)
	}
	buf := make([]byte, 4096)
	wrong := 0
	for ctx.Err() == nil {
		if _, err = nc.Write(out); err != nil {
			break
		}
		_ = nc.SetReadDeadline(time.Now().Add(max(resend, time.Millisecond)))
		for {
			var n int
			if n, err = nc.Read(buf); err != nil {
				break
			}
			msg := bytes.Clone(buf[:n])
			if len(l.Raw) < 16 {
				l.Raw = append(l.Raw, msg)
			}
			if n >= 2 && !bytes.Equal(msg[:2], out[:2]) {
				wrong++
				if wrong > 1000 {
					break
				}
				continue
			}
			return msg, func(l *survey.Lookup, wait time.Duration) {
				defer nc.Close()
				if l == nil {
					return
				}
				second(nc, msg, q, l, wait)
			}, nil
		}
		if err != nil && network(err) != survey.Timeout {
			break
		}
	}
	_ = nc.Close()
	if wrong > 0 {
		return nil, nil, fail(survey.StageDNS, survey.WrongID, fmt.Errorf("%d answers with another id", wrong))
	}
	if err == nil || ctx.Err() != nil {
		err = os.ErrDeadlineExceeded
	}
	return nil, nil, err
}

// second keeps listening for wait. An answer to the same question with other addresses or another code marks the lookup
// misbehaving: someone on the way answered first.
func second(nc net.Conn, first []byte, q *dns.Msg, l *survey.Lookup, wait time.Duration) {
	_ = nc.SetReadDeadline(time.Now().Add(max(wait, 500*time.Microsecond)))
	buf := make([]byte, 4096)
	for range 8 {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		msg := bytes.Clone(buf[:n])
		l.Raw = append(l.Raw, msg)
		var a, b survey.Lookup
		a.Type, b.Type = l.Type, l.Type
		_, _ = readAnswer(first, q, &a)
		_, _ = readAnswer(msg, q, &b)
		if b.Outcome != survey.WrongID && (a.RCode != b.RCode || !sameData(a.Answers, b.Answers)) {
			l.Outcome = survey.Misbehaving
		}
	}
}

func sameData(a, b []survey.Answer) bool {
	set := map[string]int{}
	for _, x := range a {
		set[x.Type+" "+x.Data]++
	}
	for _, x := range b {
		set[x.Type+" "+x.Data]--
	}
	for _, n := range set {
		if n != 0 {
			return false
		}
	}
	return true
}

func (r *resolver) overStream(ctx context.Context, server string, out []byte, secure bool) ([]byte, error) {
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, err
	}
	nc, err := r.source.dial(ctx, "tcp", to, r.timeout)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(deadline)
	}
	if secure {
		tc := tls.Client(nc, r.tlsConfig)
		if err := tc.HandshakeContext(ctx); err != nil {
			f := handshake(ctx, err)
			return nil, fail(survey.StageDNS, f.Outcome, err)
		}
		nc = tc
	}
	if _, err := nc.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err = io.ReadFull(nc, raw)
	return raw, err
}

func (r *resolver) overHTTP(ctx context.Context, out []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/dns-message")
	req.Header.Set("Accept", "application/dns-message")
	resp, err := r.http.Do(req)
	if err != nil {
		var cert *tls.CertificateVerificationError
		if errors.As(err, &cert) {
			return nil, fail(survey.StageDNS, handshake(ctx, cert.Err).Outcome, err)
		}
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fail(survey.StageDNS, survey.Misbehaving, fmt.Errorf("the server answered with status %d", resp.StatusCode))
	}
	return raw, nil
}
