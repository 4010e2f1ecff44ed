package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"mirrorwatch/crawler/survey"
)

// source is the local end of a vantage: an address, an interface, or neither.
type source struct {
	addr   netip.Addr
	iface  string
	device bool // sockets may be bound to iface itself; else to an address of it
}

func parseSource(s string) (source, error) {
	if s == "" {
		return source{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return source{addr: a}, nil
	}
	if _, err := net.InterfaceByName(s); err != nil {
		return source{}, fmt.Errorf("source %q is neither an address nor an interface: %w", s, err)
	}
	return source{iface: s, device: canBindToDevice(s)}, nil
}

// local returns the address to dial from towards to: invalid when the system may choose, not ok when the source has none of
// to's family.
func (s source) local(to netip.Addr) (netip.Addr, bool) {
	switch {
	case s.addr.IsValid():
		return s.addr, s.addr.Is4() == to.Is4()
	case s.iface == "":
		return netip.Addr{}, true
	}
	i, err := net.InterfaceByName(s.iface)
	if err != nil {
		return netip.Addr{}, false
	}
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok {
			ip = ip.Unmap()
			if ip.Is4() == to.Is4() && (!ip.IsLinkLocalUnicast() || to.IsLinkLocalUnicast()) {
				if s.device {
					return netip.Addr{}, true
				}
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}

// route reports whether the system knows a way to the address. Connecting a UDP socket sends nothing.
func (s source) route(ctx context.Context, to netip.AddrPort) bool {
	if _, ok := s.local(to.Addr()); !ok {
		return false
	}
	c, err := s.dial(ctx, "udp", to, time.Second)
	if err != nil {
		switch network(err) {
		case survey.NetworkUnreachable, survey.HostUnreachable, survey.NetworkDown:
			return false
		}
		return true
	}
	_ = c.Close()
	return true
}

// dial dials one address over tcp or udp, from the source. Everything that leaves for a vantage goes through here: mirrors,
// resolvers, proxies.
func (s source) dial(ctx context.Context, network string, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	from, ok := s.local(to.Addr())
	switch {
	case !ok:
		return nil, fmt.Errorf("no address of the family of %s to dial from: %w", to.Addr(), errNoRoute)
	case s.device:
		d.Control = bindToDevice(s.iface)
	case from.IsValid() && network == "udp":
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	case from.IsValid():
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, network, to.String())
}

// dialHost dials a host the operator configured, a name or an address, each of its addresses in turn.
func (s source) dialHost(ctx context.Context, host, port string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q", port)
	}
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	err = fmt.Errorf("%q has no address", host)
	for i, a := range addrs {
		each := timeout
		if i < len(addrs)-1 {
			each /= 3
		}
		var c net.Conn
		if c, err = s.dial(ctx, "tcp", netip.AddrPortFrom(a.Unmap(), uint16(n)), each); err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	return nil, err
}

// errNoRoute says that the source has no address of the family.
var errNoRoute = errors.New("no route")

// dial brings up a fresh connection for a target. Its conn is never nil: on failure it says how far it came.
func (t *Transport) dial(ctx context.Context, v *Visit, tg target, key string) (*conn, error) {
	c := &conn{key: key}
	if err := t.connect(ctx, v, tg, c); err != nil {
		return c, err
	}
	if tg.scheme == "https" {
		stop := context.AfterFunc(ctx, c.close)
		err := t.secure(ctx, c, tg.host, v.Insecure)
		stop()
		if err != nil {
			c.close()
			return c, err
		}
	}
	return c, nil
}

func (t *Transport) connect(ctx context.Context, v *Visit, tg target, c *conn) error {
	if tg.bad != nil {
		return fail(survey.StageDNS, survey.GuardRefused, tg.bad)
	}
	if onion(tg.host) && !t.asksOnion() && !t.permitted(tg) {
		return fail(survey.StageDNS, survey.OnionLeakRefused, fmt.Errorf("%q is asked for through a proxy of the operator's only (RFC 7686)", tg.host))
	}
	to := tg // where the connection leads
	if pin, ok := t.pins[tg.key()]; ok {
		host, port, _ := net.SplitHostPort(pin)
		to.host, to.port = host, port
		to.addr, _, _ = literal(host)
	}
	if t.proxy != nil {
		return t.proxy.connect(ctx, t, v, tg, to, c)
	}
	port, err := strconv.ParseUint(to.port, 10, 16)
	if err != nil {
		return fail(survey.StageConnect, survey.GuardRefused, fmt.Errorf("port %q", to.port))
	}
	addrs, err := t.addresses(ctx, v, tg, to, c)
	if err != nil {
		return err
	}
	start := time.Now()
	defer func() { c.timing.Connect = survey.Millis(time.Since(start)) }()
	var last error
	for i, a := range addrs {
		at := netip.AddrPortFrom(a, uint16(port))
		try := survey.Try{Address: at.String()}
		begin := time.Now()
		err := t.check(tg, a)
		switch {
		case err != nil:
			try.Outcome = survey.GuardRefused
			last = fail(survey.StageConnect, survey.GuardRefused, err)
		case !t.source.route(ctx, at):
			try.Outcome = survey.NoRoute
			// Another family's failure says more than a missing route of ours.
			if last == nil {
				last = fail(survey.StageConnect, survey.NoRoute, fmt.Errorf("no local route to %s", a))
			}
		default:
			timeout := t.limits.Connect
			if i < len(addrs)-1 {
				timeout /= 3
			}
			var nc net.Conn
			nc, err = t.source.dial(ctx, "tcp", at, timeout)
			if err == nil {
				try.MS, try.Outcome = *survey.Millis(time.Since(begin)), survey.OK
				c.tries = append(c.tries, try)
				c.tcp, c.rw, c.peer = nc, nc, at
				return nil
			}
			f := failed(ctx, survey.StageConnect, err)
			try.Outcome = f.Outcome
			last = f
		}
		try.MS = *survey.Millis(time.Since(begin))
		c.tries = append(c.tries, try)
		if ctx.Err() != nil {
			return failed(ctx, survey.StageConnect, err)
		}
	}
	return last
}

// addresses returns what to dial, in order: IPv6 first where there is a route (RFC 6724), each family's as they came.
func (t *Transport) addresses(ctx context.Context, v *Visit, tg, to target, c *conn) ([]netip.Addr, error) {
	var found []netip.Addr
	_, pinned := t.pins[tg.key()]
	if to.addr.IsValid() {
		if pinned {
			c.lookups = append(c.lookups, survey.Lookup{Engine: "pin", Name: tg.host, Type: typeOf(to.addr), EDE: []survey.EDE{},
				Answers: []survey.Answer{{Type: typeOf(to.addr), Data: to.addr.String()}}, At: t.now().UTC(), Outcome: survey.OK})
		}
		found = []netip.Addr{to.addr}
	} else {
		start := time.Now()
		res := t.lookUp(ctx, v, to.host)
		c.timing.DNS = survey.Millis(time.Since(start))
		c.late = res.late
		c.lookups = res.lookups // shared with c.late, which marks second answers in it
		for i := range c.lookups {
			t.flag(tg, &c.lookups[i])
		}
		if ctx.Err() != nil {
			return nil, failed(ctx, survey.StageDNS, ctx.Err())
		}
		if len(res.addrs) == 0 {
			return nil, fail(survey.StageDNS, res.outcome, res.err)
		}
		found = res.addrs
	}
	var v6, v4 []netip.Addr
	for _, a := range found {
		a = a.Unmap()
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	v4, v6 = v4[:min(len(v4), t.limits.Addresses)], v6[:min(len(v6), t.limits.Addresses)]
	switch v.Family {
	case 4:
		v6 = nil
	case 6:
		v4 = nil
	}
	if len(v4)+len(v6) == 0 {
		return nil, fail(survey.StageDNS, survey.NoAnswer, fmt.Errorf("%q has no IPv%d address", to.host, v.Family))
	}
	return append(v6, v4...), nil
}

// flag marks an answer that holds an address of a block list, or lies in special space although the operator did not open it.
// It concludes nothing: the guard decides about dialing.
func (t *Transport) flag(tg target, l *survey.Lookup) {
	if l.Outcome != survey.OK || l.Engine == "hosts" || l.Engine == "pin" {
		return
	}
	for _, a := range l.Answers {
		addr, err := netip.ParseAddr(a.Data)
		if err != nil {
			continue
		}
		for _, list := range t.cfg.BlockLists {
			if _, ok := within(list.Prefixes, bare(addr)); ok {
				l.Outcome, l.BlockList = survey.KnownBlockAddress, list.Name
				return
			}
		}
		if t.check(tg, addr) != nil {
			l.Outcome = survey.Bogon
		}
	}
}

func typeOf(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "A"
	}
	return "AAAA"
}
