package cdxj

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// SURT returns the index key of a URL in the dialect of Python's surt package, which the Internet Archive and pywb use:
// host reversed, scheme, userinfo, "www." and the scheme's own port dropped, path and query lower case and unescaped until
// stable, query sorted, session identifiers dropped. So several URLs share a key: http and https, with www and without.
// Whoever looks one up compares the URL afterwards, see [Filter].
//
// URLs of schemes that name no host (dns:, urn:, warcinfo:, filedesc:) are their own keys; the empty URL is "-". The key
// never holds a blank or a control octet, so it can stand in an index line.
func SURT(rawURL string) string {
	u := strings.TrimSpace(rawURL)
	u = lineBreaks.Replace(u)
	if u == "" {
		return "-"
	}
	scheme, hasScheme := schemeOf(u)
	if hasScheme && strings.HasPrefix(scheme, "filedesc") {
		return safe(u)
	}
	if !hasScheme {
		u, scheme = "http://"+u, "http"
	}
	// "http://https://host" and its like come from careless links.
	for isHTTP(scheme) && len(u) > len(scheme)+3 && strings.HasPrefix(u[len(scheme):], "://") {
		inner := u[len(scheme)+3:]
		s, ok := schemeOf(inner)
		if !ok || !isHTTP(s) || !strings.HasPrefix(inner[len(s):], "://") {
			break
		}
		u, scheme = inner, s
	}
	rest := u[len(scheme)+1:]
	if !strings.HasPrefix(rest, "//") && !isHTTP(scheme) {
		return safe(scheme + ":" + rest) // opaque: dns:, urn:, mailto:
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	var authority, path string
	if a, ok := strings.CutPrefix(rest, "//"); ok {
		authority, path = a, ""
		if i := strings.IndexByte(a, '/'); i >= 0 {
			authority, path = a[:i], a[i:]
		}
	} else {
		path = rest
	}
	if authority == "" && isHTTP(scheme) { // "http:////host/", "http:/host", "http:host"
		authority, path, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
		path = "/" + path
	}
	host, port := splitPort(authority[strings.LastIndexByte(authority, '@')+1:])
	if (scheme == "http" && port == "80") || (scheme == "https" && port == "443") {
		port = ""
	}

	key := make([]byte, 0, len(u)+8)
	key = appendHost(key, canonicalHost(host))
	if port != "" {
		key = append(key, ':')
		key = append(key, port...)
	}
	key = append(key, ')')
	path = strings.ToLower(escape(normalPath(unescape(path))))
	path = stripPathSession(path)
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	key = append(key, path...)
	if query != "" {
		query = escape(unescape(query))
		query = sortQuery(strings.ToLower(stripQuerySession(query)))
		if query != "" {
			key = append(key, '?')
			key = append(key, query...)
		}
	}
	return safe(string(key))
}

var lineBreaks = strings.NewReplacer("\n", "", "\r", "", "\t", "")

func isHTTP(scheme string) bool { return scheme == "http" || scheme == "https" }

// schemeOf returns the lower-case scheme, when the URL has one (RFC 3986, section 3.1).
func schemeOf(u string) (string, bool) {
	i := strings.IndexByte(u, ':')
	if i <= 0 {
		return "", false
	}
	for j := 0; j < i; j++ {
		c := u[j] | 0x20
		if !(c >= 'a' && c <= 'z') && (j == 0 || !(u[j] >= '0' && u[j] <= '9' || u[j] == '+' || u[j] == '-' || u[j] == '.')) {
			return "", false
		}
	}
	return strings.ToLower(u[:i]), true
}

// splitPort splits host and port; a port that is no number stays with the host.
func splitPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 {
		return authority, ""
	}
	host, port = authority[:i], authority[i+1:]
	if port == "" {
		return strings.TrimRight(host, ":"), ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return authority, ""
	}
	if n == 0 {
		return host, ""
	}
	return host, strconv.FormatUint(n, 10)
}

// canonicalHost returns the host in lower-case ASCII; an address, however written, in its usual form.
func canonicalHost(host string) string {
	host = unescape(host)
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		if a, err := netip.ParseAddr(host[1 : len(host)-1]); err == nil {
			return "[" + a.String() + "]"
		}
	}
	host = strings.ToLower(host)
	if !isASCII(host) {
		host = asciiHost(host)
	}
	for strings.Contains(host, "..") {
		host = strings.ReplaceAll(host, "..", ".")
	}
	host = strings.Trim(host, ".")
	if ip, ok := numericHost(host); ok {
		return ip
	}
	return stripWWW(escape(host))
}

// asciiHost returns the Punycode of a lower-case host, or the host when it has none. The full stops IDNA knows are dots.
func asciiHost(host string) string {
	if ascii, err := idna.Punycode.ToASCII(mapDots.Replace(host)); err == nil {
		return ascii
	}
	return host
}

var mapDots = strings.NewReplacer("。", ".", "．", ".", "｡", ".")

// stripWWW drops "www.", "www2." and so on.
func stripWWW(host string) string {
	rest, ok := strings.CutPrefix(host, "www")
	if !ok {
		return host
	}
	rest = strings.TrimLeft(rest, "0123456789")
	if rest, ok = strings.CutPrefix(rest, "."); ok {
		return rest
	}
	return host
}

// numericHost reads the forms of an IPv4 address that inet_aton knows: one to four numbers, decimal or octal.
func numericHost(host string) (string, bool) {
	if host == "" || strings.Trim(host, "0123456789.") != "" {
		return "", false
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return "", false
	}
	if len(parts) == 1 {
		// Numbers beyond 32 bits stand in ARC files of old; their low bits count.
		var n uint64
		for _, c := range host {
			n = (n*10 + uint64(c-'0')) & 0xffffffff
		}
		return ip4(uint32(n)), true
	}
	var v uint64
	for i, p := range parts {
		base := 10
		if len(p) > 1 && p[0] == '0' {
			base = 8
		}
		n, err := strconv.ParseUint(p, base, 32)
		if err != nil {
			return "", false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return "", false
			}
			v = v<<8 | n
			continue
		}
		bits := uint(8 * (5 - len(parts)))
		if n >= 1<<bits {
			return "", false
		}
		v = v<<bits | n
	}
	return ip4(uint32(v)), true
}

func ip4(n uint32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b).String()
}

// appendHost appends the labels from right to left. Python reverses IPv4 addresses too; so do we.
func appendHost(key []byte, host string) []byte {
	if strings.HasPrefix(host, "[") {
		return append(key, host...)
	}
	for {
		i := strings.LastIndexByte(host, '.')
		key = append(key, host[i+1:]...)
		if i < 0 {
			return key
		}
		key = append(key, ',')
		host = host[:i]
	}
}

// normalPath resolves dot segments and collapses slashes; ".." at the root stays.
func normalPath(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		if path[0] != '/' {
			path = "/" + path
		}
		return path
	}
	segments := strings.Split(path, "/")[1:]
	kept := segments[:0]
	for _, s := range segments {
		switch {
		case s == ".":
		case s == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		default:
			kept = append(kept, s)
		}
	}
	var b strings.Builder
	b.WriteByte('/')
	for i, s := range kept {
		if i == len(kept)-1 {
			b.WriteString(s)
		} else if s != "" {
			b.WriteString(s)
			b.WriteByte('/')
		}
	}
	return b.String()
}

// unescape undoes percent-encoding until nothing changes.
func unescape(s string) string {
	for strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
				b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
				i += 2
				continue
			}
			b = append(b, s[i])
		}
		if len(b) == len(s) {
			return s
		}
		s = string(b)
	}
	return s
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// escape encodes what is not printable ASCII, and "#" and "%".
func escape(s string) string {
	n := 0
	for i := 0; i < len(s); i++ {
		if mustEscape(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := 0; i < len(s); i++ {
		if c := s[i]; mustEscape(c) {
			b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(c byte) bool { return c <= ' ' || c >= 0x7f || c == '#' || c == '%' }

// safe keeps keys in one column of one line.
func safe(s string) string {
	bad := func(c byte) bool { return c <= ' ' || c == 0x7f }
	for i := 0; i < len(s); i++ {
		if bad(s[i]) {
			b := []byte(s[:i])
			for ; i < len(s); i++ {
				if c := s[i]; bad(c) {
					b = append(b, '%', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
				} else {
					b = append(b, c)
				}
			}
			return string(b)
		}
	}
	return s
}

// stripPathSession drops ASP.NET's session segment, "/(S(24 letters and digits))/x.aspx" or "/(24...)/x.aspx". The path is
// in lower case.
func stripPathSession(path string) string {
	if !strings.Contains(path, ".aspx") {
		return path
	}
	for i := strings.LastIndex(path, "/("); i >= 0; i = strings.LastIndex(path[:i], "/(") {
		end := strings.Index(path[i:], ")/")
		if end < 0 {
			continue
		}
		inside, after := path[i+2:i+end], path[i+end+2:]
		if isSession(inside) && strings.Index(after, ".aspx") > 0 {
			return path[:i+1] + after
		}
	}
	return path
}

func isSession(s string) bool {
	if len(s) == 24 && isAlnum(s) {
		return true
	}
	if len(s) == 0 || len(s)%27 != 0 {
		return false
	}
	for ; s != ""; s = s[27:] {
		if s[0] < 'a' || s[0] > 'z' || s[1] != '(' || s[26] != ')' || !isAlnum(s[2:26]) {
			return false
		}
	}
	return true
}

func isAlnum(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; !(s[i] >= '0' && s[i] <= '9') && !(c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}

func isLetters(s string) bool { return isAlnum(s) && !strings.ContainsAny(s, "0123456789") }

// stripQuerySession drops one session identifier of each kind, the last of several, as Python's expressions do.
func stripQuerySession(q string) string {
	if strings.IndexByte(q, '=') < 0 {
		return q
	}
	for _, name := range []string{"jsessionid=", "phpsessid=", "sid="} {
		q = cutLast(q, name, func(v string) int {
			if len(v) >= 32 && isAlnum(v[:32]) {
				return 32
			}
			return -1
		})
	}
	q = cutLast(q, "aspsessionid", func(v string) int {
		if len(v) >= 33 && isLetters(v[:8]) && v[8] == '=' && isLetters(v[9:33]) {
			return 33
		}
		return -1
	})
	return cutLast(q, "cfid=", func(v string) int {
		id := strings.IndexByte(v, '&')
		if id <= 0 {
			return -1
		}
		token, ok := cutPrefixFold(v[id+1:], "cftoken=")
		if !ok {
			return -1
		}
		end := strings.IndexByte(token, '&')
		if end < 0 {
			end = len(token)
		}
		if end == 0 {
			return -1
		}
		return len(v) - len(token) + end
	})
}

// cutLast drops the last place where name is followed by a value, of the length match says, and the & behind it. The
// value must end with the query or at an &.
func cutLast(q, name string, match func(after string) int) string {
	low := strings.ToLower(q)
	if len(low) != len(q) {
		return q
	}
	for end := len(q); ; {
		i := strings.LastIndex(low[:end], name)
		if i < 0 {
			return q
		}
		after := q[i+len(name):]
		if n := match(after); n >= 0 {
			switch rest := after[n:]; {
			case rest == "":
				return q[:i]
			case rest[0] == '&':
				return q[:i] + rest[1:]
			}
		}
		end = i + len(name) - 1
	}
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// sortQuery sorts the arguments by name, then value; an empty one keeps its &.
func sortQuery(q string) string {
	if strings.IndexByte(q, '&') < 0 {
		return q
	}
	args := strings.Split(q, "&")
	slices.SortFunc(args, func(a, b string) int {
		an, av, aok := strings.Cut(a, "=")
		bn, bv, bok := strings.Cut(b, "=")
		if c := strings.Compare(an, bn); c != 0 {
			return c
		}
		if aok != bok {
			if bok {
				return -1
			}
			return 1
		}
		return strings.Compare(av, bv)
	})
	return strings.Join(args, "&")
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
