package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Guard says which special addresses may be dialed. The zero value allows none. Addresses of proxies and resolvers that the
// operator configured are not asked about.
type Guard struct {
	// AllowPrivate opens special addresses in these ranges, for every host; link-local and cloud metadata addresses stay
	// closed.
	AllowPrivate []netip.Prefix
	// Permit names "host:port" pairs the operator typed: that pair may be dialed wherever it leads, no other.
	Permit map[string]bool
}

// ErrGuard is the guard's refusal. No packet was sent.
var ErrGuard = errors.New("refused by the guard")

func prefixes(list ...string) []netip.Prefix {
	p := make([]netip.Prefix, len(list))
	for i, s := range list {
		p[i] = netip.MustParsePrefix(s)
	}
	return p
}

var (
	// special holds what the IANA special-purpose registries say is not globally reachable, and the ranges that hide another
	// address.
	special = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/8", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8")
	// closed is never opened by AllowPrivate: link-local, and the metadata services of clouds.
	closed = prefixes("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32", "fd20:ce::254/128", "0.0.0.0/32", "::/128")
	// nat64 leads to the IPv4 address in its last four octets (RFC 6052).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// bare takes an address out of its disguise: IPv4-mapped, NAT64, IPv4-compatible.
func bare(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		compatible := a != netip.IPv6Unspecified() && a != netip.IPv6LinkLocalAllNodes() && [12]byte(b[:12]) == [12]byte{} && b[12] != 0
		if nat64.Contains(a) || compatible {
			return netip.AddrFrom4([4]byte(b[12:]))
		}
	}
	return a
}

func within(list []netip.Prefix, a netip.Addr) (netip.Prefix, bool) {
	for _, p := range list {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Special returns the special-purpose range that holds a, seen through IPv4-mapped and NAT64 disguise.
func Special(a netip.Addr) (netip.Prefix, bool) { return within(special, bare(a)) }

// check says whether a may be dialed for a target.
func (t *Transport) check(tg target, a netip.Addr) error {
	r, is := Special(a)
	if !is || t.permitted(tg) {
		return nil
	}
	b := bare(a)
	if _, never := within(closed, b); !never {
		for _, p := range t.cfg.Guard.AllowPrivate {
			if p.Contains(b) || p.Contains(a) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: %s of %s is in the special range %s", ErrGuard, a, tg.key(), r)
}

func (t *Transport) permitted(tg target) bool {
	_, pinned := t.pins[tg.key()]
	return pinned || t.permit[tg.key()]
}

// literal reads a host that is an IP address in any spelling that a resolver or browser takes for one: WHATWG's IPv4 parser
// with decimal, octal and hexadecimal numbers and one to four parts, IPv6 with or without a zone. An error means that the host
// looks like an address and is none: no resolver may be asked for it.
func literal(host string) (addr netip.Addr, ok bool, err error) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.Contains(host, ":") {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return a, false, fmt.Errorf("%w: %q is no address", ErrGuard, host)
		}
		return a, true, nil
	}
	parts := strings.Split(host, ".")
	last := parts[len(parts)-1]
	if !number(last) {
		return addr, false, nil
	}
	bad := fmt.Errorf("%w: %q is no address", ErrGuard, host)
	if len(parts) > 4 {
		return addr, false, bad
	}
	var v uint64
	for i, p := range parts {
		n, err := parseNumber(p)
		if err != nil {
			return addr, false, bad
		}
		if i < len(parts)-1 {
			if n > 255 {
				return addr, false, bad
			}
			v |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return addr, false, bad
		}
		v |= n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true, nil
}

func number(s string) bool {
	if s == "" {
		return false
	}
	digits := true
	for _, c := range s {
		digits = digits && '0' <= c && c <= '9'
	}
	if digits {
		return true
	}
	_, err := parseNumber(s)
	return err == nil
}

func parseNumber(s string) (uint64, error) {
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		if len(s) == 2 {
			return 0, nil
		}
		return strconv.ParseUint(s[2:], 16, 40)
	case len(s) > 1 && s[0] == '0':
		return strconv.ParseUint(s[1:], 8, 40)
	}
	return strconv.ParseUint(s, 10, 40)
}
