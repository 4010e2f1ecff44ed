package wire

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"mirrorwatch/crawler/survey"
)

// engineParent marks the questions to servers of the parent zone.
const engineParent = "parent"

// Bounds of one look at a delegation.
const (
	maxZones      = 4 // names asked for the parent's servers, one label less each time
	maxParents    = 2 // servers of the parent that are asked
	maxCandidates = 4 // names of servers looked up to find them
)

// Delegation asks the zone above a host's registrable domain to which name servers it delegates the domain
// (classification.md 1.1). The vantage's resolver is asked for the name servers of the public suffix and for their addresses;
// then one of them is asked, and a second one when the first did not answer or said something that is flagged. Every question
// is a Lookup with its raw messages; those to the parent have the engine "parent". The guard looks at the parent's addresses as
// at a mirror's; a pin for "server:53" holds here too.
//
// Outcomes of the parent's answers: SeizedNS, SinkholeNS and ParkedNS when all name servers stand in the zones that our own list
// gives for that kind; RegistryHold when the parent says with authority that it has no such name; Misbehaving when two parents
// contradict each other. They are marks on a Lookup, never the outcome of a visit. RDAP is not asked: RegistryHold does not tell a
// name on hold from one that expired or was never registered. The answers are not authenticated.
//
// Nothing is asked, and nil returned, for IP literals, single labels, .onion, names that are pinned or stand in the hosts file,
// through a proxy, and where no resolver of ours is configured. It takes twice Limits.DNS at most. The error says why the parent
// told nothing; the look-ups made till then are returned with it. It is never a statement about the mirror.
func (t *Transport) Delegation(ctx context.Context, host string) ([]survey.Lookup, error) {
	name, ok := t.delegated(host)
	if !ok {
		return nil, nil
	}
	domain, zone := registrable(name)
	if domain == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*t.limits.DNS)
	defer cancel()

	var all []survey.Lookup
	ask := func(name string, qtype uint16) (survey.Lookup, error) {
		a := t.resolver.ask(ctx, name, qtype, t.now)
		if a.late != nil {
			a.late(nil, 0)
		}
		all = append(all, a.lookups...)
		if len(a.lookups) == 0 {
			return survey.Lookup{}, cmp.Or(a.err, errors.New("no resolver"))
		}
		return a.lookups[len(a.lookups)-1], a.err
	}

	var servers []string
	for range maxZones {
		// Not every public suffix is a zone of its own: then the one above it delegates.
		l, err := ask(zone, dns.TypeNS)
		for _, a := range l.Answers {
			if a.Type == "NS" {
				servers = append(servers, a.Data)
			}
		}
		up, above := parentOf(zone)
		if len(servers) > 0 || l.Outcome != survey.NoAnswer || !above {
			if len(servers) == 0 {
				return all, fmt.Errorf("name servers of %q: %w", zone, cmp.Or(err, errors.New("none")))
			}
			break
		}
		zone = up
	}

	parents := []int{} // by index of all
	var last error
	for i, server := range servers {
		if i == maxCandidates || len(parents) == maxParents || ctx.Err() != nil {
			break
		}
		to, l, err := t.parentAddress(server, ask)
		if err != nil {
			last = err
			if l != nil {
				all = append(all, *l)
			}
			continue
		}
		l2, err := t.askParent(ctx, to, domain)
		all = append(all, l2)
		parents = append(parents, len(all)-1)
		if err != nil {
			last = err
		}
		if l2.Outcome == survey.OK {
			break
		}
	}
	if len(parents) == 0 {
		return all, fmt.Errorf("no server of %q could be asked: %w", zone, cmp.Or(last, ctx.Err(), errors.New("none has an address")))
	}
	first, second := &all[parents[0]], &all[parents[len(parents)-1]]
	if settled(first) && settled(second) && first.Outcome != second.Outcome {
		for _, l := range []*survey.Lookup{first, second} {
			l.Outcome, l.Note = survey.Misbehaving, "two servers of the parent zone contradict each other"
		}
		last = errors.New(first.Note)
	}
	for _, i := range parents {
		if settled(&all[i]) {
			return all, nil
		}
	}
	return all, last
}

// settled reports whether the parent said something of the delegation.
func settled(l *survey.Lookup) bool {
	switch l.Outcome {
	case survey.OK, survey.SeizedNS, survey.SinkholeNS, survey.ParkedNS, survey.RegistryHold:
		return true
	}
	return false
}

// delegated returns the host as it is asked for; false for hosts whose delegation decides nothing here.
func (t *Transport) delegated(host string) (string, bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if t.proxy != nil || t.resolver.configured != nil || len(t.resolver.servers) == 0 {
		return "", false
	}
	if _, ip, err := literal(strings.ToLower(strings.TrimRight(asciiHost(host), "."))); ip || err != nil {
		return "", false
	}
	name := hostName(host)
	if _, ok := dns.IsDomainName(name); !ok || !strings.Contains(name, ".") || len(name) > 253 || onion(name) || strings.HasSuffix(name, ".localhost") {
		return "", false
	}
	for key := range t.pins {
		if h, _, err := net.SplitHostPort(key); err == nil && h == name {
			return "", false
		}
	}
	if t.resolver.hosts != "" && len(t.resolver.fromHosts(name, t.now())) > 0 {
		return "", false
	}
	return name, true
}

// registrable returns the domain that is delegated to its owner and the zone above it; empty for public suffixes. Suffixes that
// companies offer (github.io) are such domains themselves: what a registry can take away is theirs.
func registrable(name string) (domain, zone string) {
	suffix, managed := publicsuffix.PublicSuffix(name)
	for !managed {
		up, ok := parentOf(suffix)
		if !ok {
			break // not in the list: the top level delegates
		}
		suffix, managed = publicsuffix.PublicSuffix(up)
	}
	rest, ok := strings.CutSuffix(name, "."+suffix)
	if !ok || rest == "" {
		return "", ""
	}
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + suffix, suffix
}

func parentOf(name string) (string, bool) {
	_, up, ok := strings.Cut(name, ".")
	return up, ok && up != ""
}

// parentAddress finds where a server of the parent is to be asked. The Lookup is the guard's refusal, if it was that.
func (t *Transport) parentAddress(server string, ask func(string, uint16) (survey.Lookup, error)) (netip.AddrPort, *survey.Lookup, error) {
	tg := target{host: hostName(server), port: "53"}
	if pin, ok := t.pins[tg.key()]; ok {
		to, err := netip.ParseAddrPort(pin)
		return to, nil, err
	}
	last := fmt.Errorf("%q has no address", server)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		l, err := ask(tg.host, qtype)
		if err != nil {
			last = err
		}
		for _, a := range l.Answers {
			addr, err := netip.ParseAddr(a.Data)
			if err != nil || l.Outcome != survey.OK {
				continue
			}
			if _, ok := t.source.local(addr); !ok {
				last = errNoRoute
				continue
			}
			to := netip.AddrPortFrom(addr, 53)
			if err := t.check(tg, addr); err != nil {
				return to, &survey.Lookup{Engine: engineParent, Server: to.String(), Name: tg.host, Type: "NS", EDE: []survey.EDE{}, Answers: []survey.Answer{},
					At: t.now().UTC(), Outcome: survey.GuardRefused, Note: "not asked: " + err.Error()}, err
			}
			return to, nil, nil
		}
	}
	return netip.AddrPort{}, nil, last
}

// askParent asks one server of the parent for the domain's delegation and marks the answer.
func (t *Transport) askParent(ctx context.Context, to netip.AddrPort, domain string) (survey.Lookup, error) {
	timeout := t.limits.DNS / 2
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := resolver{engine: engineParent, timeout: timeout, source: t.source}
	l, late, _, err := p.exchange(ctx, to.String(), domain, dns.TypeNS, t.now)
	authority := len(l.Raw) > 0 && len(l.Raw[len(l.Raw)-1]) > 2 && l.Raw[len(l.Raw)-1][2]&0x04 != 0
	if late != nil {
		late(&l, t.limits.Linger)
	}
	switch l.Outcome {
	case survey.NXDomain:
		if authority {
			l.Outcome = survey.RegistryHold
			l.Note = "the parent zone says that it has no such name: on hold, expired or not registered (RDAP was not asked)"
		}
	case survey.OK:
		if kind, zone := knownServers(l.Answers); kind != "" {
			l.Outcome = kind
			l.Note = fmt.Sprintf("name servers under %s, list delegations %s", zone, delegations().version)
		}
	}
	return l, err
}

//go:embed delegations.txt
var delegationsText string

// delegationList is our own list of telling name servers.
type delegationList struct {
	version string
	zones   map[string]survey.Outcome
}

var delegations = sync.OnceValue(func() delegationList {
	l, err := parseDelegations(delegationsText)
	if err != nil {
		panic(err) // it is our own file: a test reads it
	}
	return l
})

func parseDelegations(text string) (delegationList, error) {
	kinds := map[string]survey.Outcome{"seized": survey.SeizedNS, "sinkhole": survey.SinkholeNS, "parked": survey.ParkedNS}
	l := delegationList{zones: map[string]survey.Outcome{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		entry, source, commented := strings.Cut(line, "#")
		f := strings.Fields(entry)
		switch {
		case len(f) == 0:
		case len(f) == 2 && f[0] == "version" && l.version == "":
			l.version = f[1]
		case len(f) != 2 || kinds[f[0]] == "":
			return l, fmt.Errorf("delegations, line %d: want kind and zone", n)
		case !commented || strings.TrimSpace(source) == "":
			return l, fmt.Errorf("delegations, line %d: %s has no source", n, f[1])
		case l.zones[f[1]] != "":
			return l, fmt.Errorf("delegations, line %d: %s stands there twice", n, f[1])
		default:
			l.zones[f[1]] = kinds[f[0]]
		}
	}
	if l.version == "" {
		return l, errors.New("delegations: no version")
	}
	return l, nil
}

// knownServers returns the kind that all name servers are of, and a zone they stand in. One that is not of the kind makes the
// delegation an ordinary one.
func knownServers(answers []survey.Answer) (kind survey.Outcome, zone string) {
	known := delegations().zones
	for _, a := range answers {
		if a.Type != "NS" {
			continue
		}
		found := survey.Outcome("")
		for name, ok := strings.ToLower(a.Data), true; ok; name, ok = parentOf(name) {
			if found = known[name]; found != "" {
				zone = name
				break
			}
		}
		if found == "" || kind != "" && kind != found {
			return "", ""
		}
		kind = found
	}
	return kind, zone
}
