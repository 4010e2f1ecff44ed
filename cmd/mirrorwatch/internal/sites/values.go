package sites

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"mirrorwatch/crawler/survey"
)

// ValueError is a value that cannot be used. Want says what a valid one looks like; it is empty when Problem does.
type ValueError struct {
	Problem string
	Want    string
}

func (e *ValueError) Error() string {
	if e.Want == "" {
		return e.Problem
	}
	return e.Problem + " (" + e.Want + ")"
}

func bad(want, format string, args ...any) error {
	return &ValueError{Problem: fmt.Sprintf(format, args...), Want: want}
}

// Secret is a value that is never printed: every way of formatting, encoding or logging it gives "***". The zero value
// is "not set".
type Secret struct {
	value    string
	recorded string
}

// NewSecret returns a secret with the value; a record of it says only "***".
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the value itself, for the one place that uses it.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether nothing was set.
func (s Secret) IsZero() bool { return s.value == "" }

// Recorded returns what may be written down: "${NAME}" when the whole value came from the environment, else "***".
func (s Secret) Recorded() string {
	switch {
	case s.value == "":
		return ""
	case s.recorded != "":
		return s.recorded
	}
	return masked
}

const masked = "***"

func (s Secret) String() string               { return masked }
func (s Secret) GoString() string             { return masked }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(masked)) }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }
func (s Secret) MarshalYAML() ([]byte, error) { return []byte(`"` + masked + `"`), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(masked) }

const wantDuration = "like 20s, 250ms, 24h, 90d or 1y"

var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

var durationPart = regexp.MustCompile(`^([0-9]{1,19}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h|d|w|y)`)

// ParseDuration reads "20s", "1h30m", and besides Go's units d (24 hours), w (7 days) and y (365 days). "0" needs no
// unit; a negative duration is an error.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, bad(wantDuration, "a duration is missing")
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, bad(wantDuration, "%q has no unit", s)
	}
	var total time.Duration
	for rest := s; rest != ""; {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, bad(wantDuration, "%q is no duration", s)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, bad(wantDuration, "%q is no duration", s)
		}
		part := n * float64(units[m[2]])
		if part > math.MaxInt64/4 || total > math.MaxInt64/4 {
			return 0, bad(wantDuration, "%q is too long", s)
		}
		total += time.Duration(math.Round(part))
		rest = rest[len(m[0]):]
	}
	return total, nil
}

// FormatDuration writes d so that ParseDuration reads it back: in whole years, weeks or days where that is exact.
func FormatDuration(d time.Duration) string {
	for _, u := range []string{"y", "d"} {
		if d > 0 && d%units[u] == 0 && (u == "y" || d > 48*time.Hour) {
			return strconv.FormatInt(int64(d/units[u]), 10) + u
		}
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

const wantSize = "like 64MB, 1GiB or 500KB"

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

var sizeForm = regexp.MustCompile(`^([0-9]{1,19}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})$`)

// ParseSize reads a count of bytes: "64MB" is 64,000,000, "1GiB" is 1,073,741,824, a bare number is bytes.
func ParseSize(s string) (int64, error) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, bad(wantSize, "%q is no size", s)
	}
	unit, ok := sizeUnits[strings.ToLower(m[2])]
	if !ok {
		return 0, bad(wantSize, "%q has an unknown unit %q", s, m[2])
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || n*unit > 1<<60 {
		return 0, bad(wantSize, "%q is too large", s)
	}
	return int64(math.Round(n * unit)), nil
}

// FormatSize writes n so that ParseSize reads it back, in the largest unit that is exact.
func FormatSize(n int64) string {
	for _, u := range []struct {
		name string
		n    int64
	}{{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}} {
		if n != 0 && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// ParseCount reads a whole number from min to max.
func ParseCount(s string, min, max int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < min || n > max {
		return 0, bad(fmt.Sprintf("a whole number from %d to %d", min, max), "%q cannot be used", s)
	}
	return n, nil
}

// ParseBool reads true or false, and what a flag without value stands for: "".
func ParseBool(s string) (bool, error) {
	switch s {
	case "true", "1", "yes", "on", "":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, bad("true or false", "%q is neither", s)
}

const wantURL = "like https://www.example.org/"

// ParseURL reads an absolute http or https URL without userinfo; the fragment is dropped.
func ParseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, bad(wantURL, "a URL is missing")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, bad(wantURL, "a URL holds a space or control character")
	}
	if !utf8.ValidString(s) {
		return nil, bad(wantURL, "a URL holds octets that are no UTF-8: %s", quoteURL(s))
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, bad(wantURL, "%s is no URL: %v", quoteURL(s), plainURLError(err))
	}
	switch u.Scheme {
	case "http", "https":
	case "":
		return nil, bad("write https:// in front", "%q has no scheme", s)
	default:
		if u.Host == "" {
			return nil, bad("write https:// in front", "%s has no scheme", quoteURL(s))
		}
		return nil, bad("only http and https are visited", "%s has the scheme %q", quoteURL(s), u.Scheme)
	}
	if u.User != nil {
		return nil, bad("take it out; use the key header for credentials", "a URL of %s holds a user name", u.Hostname())
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return nil, bad(wantURL, "%s has no host", quoteURL(s))
	}
	host, err := parseHost(u.Host)
	if err != nil {
		return nil, err
	}
	u.Host = host
	u.Fragment, u.RawFragment = "", ""
	u.Host = string(survey.MirrorName(u))
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// quoteURL quotes s without the userinfo it may hold.
func quoteURL(s string) string {
	if i := strings.Index(s, "://"); i >= 0 {
		rest := s[i+3:]
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
			s = s[:i+3] + rest[at+1:]
		}
	}
	return strconv.Quote(s)
}

func plainURLError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// hostProfile turns names into A-labels and checks them; underscores and leading hyphens do occur in public names.
var hostProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

// parseHost checks "host", "host:port" or "[v6]:port" and returns it lower case, in A-labels.
func parseHost(hostport string) (string, error) {
	const want = "like www.example.org or www.example.org:8443"
	host, port := hostport, ""
	if strings.HasPrefix(hostport, "[") {
		end := strings.IndexByte(hostport, ']')
		if end < 0 {
			return "", bad(want, "%q lacks the closing bracket", hostport)
		}
		a, err := netip.ParseAddr(hostport[1:end])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", bad("like [2001:db8::1]:8443", "%q is no IPv6 address", hostport)
		}
		host, port = "["+a.String()+"]", hostport[end+1:]
		if port != "" && port[0] != ':' {
			return "", bad(want, "%q has something behind the bracket", hostport)
		}
	} else {
		if i := strings.IndexByte(hostport, ':'); i >= 0 {
			host, port = hostport[:i], hostport[i:]
		}
		ascii, err := hostProfile.ToASCII(strings.TrimSuffix(host, "."))
		if err == nil {
			// What came out must go in again: an octet that is no UTF-8 becomes a label that no resolver knows.
			_, err = hostProfile.ToASCII(ascii)
		}
		if err != nil || ascii == "" || len(ascii) > 253 {
			return "", bad(want, "%q is no host name", host)
		}
		for _, label := range strings.Split(ascii, ".") {
			if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				return "", bad(want, "%q is no host name", host)
			}
		}
		host = ascii
	}
	if port != "" {
		n, err := strconv.ParseUint(port[1:], 10, 16)
		if err != nil || n == 0 {
			return "", bad(want, "%q has no port from 1 to 65535", hostport)
		}
		port = ":" + strconv.FormatUint(n, 10)
	}
	return host + port, nil
}

// ParseMirror reads an origin: host, host:port or URL without path; https when no scheme is given. Its role is
// alternate.
func ParseMirror(s string) (survey.Mirror, error) {
	full := s
	if !strings.Contains(s, "://") {
		full = "https://" + s
	}
	u, err := ParseURL(full)
	if err != nil {
		var ve *ValueError
		if errors.As(err, &ve) && s != full {
			return survey.Mirror{}, bad("a host, host:port or https://host", "%s", strings.ReplaceAll(ve.Problem, full, s))
		}
		return survey.Mirror{}, err
	}
	if u.Path != "/" || u.RawQuery != "" {
		return survey.Mirror{}, bad("only the origin, like https://www.example.org", "mirror %s has a path", quoteURL(s))
	}
	return survey.Mirror{Scheme: u.Scheme, Host: survey.Host(u.Host), Role: survey.Alternate}, nil
}

// ParseConnectTo reads "HOST1:PORT1:HOST2:PORT2" as curl's --connect-to does: connections for HOST1:PORT1 go to
// HOST2:PORT2. An empty HOST2 or PORT2 keeps the first one's; IPv6 addresses stand in brackets. Unlike curl, HOST1 and
// PORT1 must be given: a pin for every host would disarm the guard.
func ParseConnectTo(s string) (from, to string, err error) {
	const want = "HOST1:PORT1:HOST2:PORT2, like www.example.org:443:127.0.0.1:8443"
	var parts []string
	rest := s
	for {
		end := strings.IndexByte(rest, ':')
		if strings.HasPrefix(rest, "[") {
			end = strings.IndexByte(rest, ']')
			if end < 0 {
				return "", "", bad(want, "%q lacks a closing bracket", s)
			}
			end++
			if end == len(rest) {
				end = -1
			} else if rest[end] != ':' {
				return "", "", bad(want, "%q has something behind a bracket", s)
			}
		}
		if end < 0 {
			parts = append(parts, rest)
			break
		}
		parts = append(parts, rest[:end])
		rest = rest[end+1:]
	}
	if len(parts) != 4 {
		return "", "", bad(want, "%q has %d parts, not 4", s, len(parts))
	}
	if parts[0] == "" || parts[1] == "" {
		return "", "", bad(want, "%q names no host and port to redirect", s)
	}
	if parts[2] == "" {
		parts[2] = parts[0]
	}
	if parts[3] == "" {
		parts[3] = parts[1]
	}
	if from, err = parseHost(parts[0] + ":" + parts[1]); err == nil {
		to, err = parseHost(parts[2] + ":" + parts[3])
	}
	if err != nil {
		var ve *ValueError
		errors.As(err, &ve)
		return "", "", bad(want, "in %q: %s", s, ve.Problem)
	}
	return from, to, nil
}

// Resolver is a resolver's address taken apart.
type Resolver struct {
	Kind string         // system, udp, tcp, tls, https
	Name string         // the name its certificate must be for: tls and https
	Path string         // of https, with its slash
	Addr netip.AddrPort // where to reach it, default port filled in; zero for system
}

const wantResolver = "system, udp://IP, tcp://IP, tls://NAME@IP or https://NAME/dns-query@IP"

// ParseResolver reads the resolver forms of --resolver. The IP is required, so that no other resolver is asked for the
// resolver's own name; IP:PORT (with [v6]:PORT) is taken too.
func ParseResolver(s string) (Resolver, error) {
	if s == "system" {
		return Resolver{Kind: "system"}, nil
	}
	kind, rest, ok := strings.Cut(s, "://")
	if !ok {
		return Resolver{}, bad(wantResolver, "%q is no resolver", s)
	}
	r := Resolver{Kind: kind}
	var port uint16
	switch kind {
	case "udp", "tcp":
		port = 53
	case "tls", "https":
		port = 853
		at := strings.LastIndexByte(rest, '@')
		if at <= 0 {
			return Resolver{}, bad(wantResolver, "%q lacks the @IP to reach it at", s)
		}
		name := rest[:at]
		rest = rest[at+1:]
		if kind == "https" {
			port = 443
			r.Path = "/dns-query"
			if i := strings.IndexByte(name, '/'); i >= 0 {
				name, r.Path = name[:i], name[i:]
			}
		}
		host, err := parseHost(name)
		if err != nil || strings.ContainsAny(host, ":[") || strings.ContainsFunc(r.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			return Resolver{}, bad(wantResolver, "%q has no usable name", s)
		}
		r.Name = host
	default:
		return Resolver{}, bad(wantResolver, "%q has the scheme %q", s, kind)
	}
	ap, err := addrPort(rest, port)
	if err != nil {
		return Resolver{}, bad(wantResolver, "%q is no IP address in resolver %q", rest, s)
	}
	r.Addr = ap
	return r, nil
}

func addrPort(s string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, port), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err == nil && ap.Port() == 0 {
		err = errors.New("port 0")
	}
	return ap, err
}

// ParseProxy checks a proxy URL, socks5://[user:password@]host:port or http://...; it is kept as given, and secret for
// the password it may hold.
func ParseProxy(s string) (Secret, error) {
	const want = "socks5://host:port or http://host:port"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Secret{}, bad(want, "the proxy is no URL")
	case u.Scheme != "socks5" && u.Scheme != "http":
		return Secret{}, bad(want, "a proxy cannot have the scheme %q", u.Scheme)
	case u.Hostname() == "" || u.Port() == "":
		return Secret{}, bad(want, "the proxy names no host and port")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return Secret{}, bad(want, "the proxy has a path")
	}
	if _, err := parseHost(u.Host); err != nil {
		return Secret{}, bad(want, "the proxy's host cannot be used")
	}
	return NewSecret(s), nil
}

// ParseSource checks a source address: an IP, or the name of an interface (whether it exists is seen when it is used).
func ParseSource(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return "", bad("an own IP address or an interface, like 192.0.2.7 or eth0", "%q is no address of a machine", s)
		}
		return a.String(), nil
	}
	if s == "" || len(s) > 32 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == ':' }) || net.ParseIP(s) != nil || numericDots(s) {
		return "", bad("an own IP address or an interface, like 192.0.2.7 or eth0", "%q is neither", s)
	}
	return s, nil
}

func numericDots(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// HeaderField is one extra request field for one host.
type HeaderField struct {
	Host  survey.Host
	Name  string
	Value Secret
}

// ParseHeader reads "HOST: Name: value". Fields that frame or route the message cannot be set.
func ParseHeader(s string) (HeaderField, error) {
	const want = "HOST: Name: value, like www.example.org: Authorization: Basic abc"
	host, rest, ok := strings.Cut(s, ": ")
	if !ok {
		return HeaderField{}, bad(want, "a header lacks its host")
	}
	name, value, ok := strings.Cut(rest, ":")
	if !ok {
		return HeaderField{}, bad(want, "a header for %q lacks its name", host)
	}
	value = strings.Trim(value, " \t")
	h, err := parseHost(host)
	if err != nil {
		return HeaderField{}, bad(want, "%q is no host", host)
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) {
		return HeaderField{}, bad(want, "a header for %q has no usable name", host)
	}
	switch strings.ToLower(name) {
	case "host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "trailer", "proxy-authorization", "expect":
		return HeaderField{}, bad("", "the field %q is written by mirrorwatch itself", name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return HeaderField{}, bad(want, "the value of %q for %q holds a control character", name, host)
	}
	return HeaderField{Host: survey.Host(h), Name: name, Value: NewSecret(value)}, nil
}

// ParseCIDRs reads what --allow-private takes: nothing or "true" for every private range (all addresses, as two
// prefixes; link-local and metadata addresses stay refused by the guard), "false" for none, else a comma-separated list
// of prefixes or single addresses.
func ParseCIDRs(s string) ([]netip.Prefix, error) {
	const want = "true, or prefixes like 10.0.0.0/8,127.0.0.1"
	switch s {
	case "", "true":
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, nil
	case "false":
		return nil, nil
	}
	var list []netip.Prefix
	for _, part := range strings.Split(s, ",") {
		part = strings.TrimSpace(part)
		if a, err := netip.ParseAddr(part); err == nil && a.Zone() == "" {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, bad(want, "%q is no network", part)
		}
		if p != p.Masked() {
			return nil, bad("did you mean "+p.Masked().String()+"?", "%q has bits behind its length", part)
		}
		list = append(list, p)
	}
	return list, nil
}

func oneOf(s string, words ...string) error {
	for _, w := range words {
		if s == w {
			return nil
		}
	}
	want := "one of " + strings.Join(words, ", ")
	if near := nearest(s, words); near != "" {
		want = fmt.Sprintf("did you mean %q? It is %s", near, want)
	}
	return bad(want, "%q is not known here", s)
}

// Nearest returns the word within a small edit distance of s, or "": what somebody may have meant.
func Nearest(s string, words []string) string { return nearest(s, words) }

func nearest(s string, words []string) string {
	if len(s) > 64 {
		return ""
	}
	best, limit := "", 1+len(s)/3
	for _, w := range words {
		if d := distance(s, w); d <= limit && (best == "" || d < distance(s, best)) {
			best = w
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap (neighbours) to make b of a.
func distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
