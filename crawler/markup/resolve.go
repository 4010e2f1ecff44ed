package markup

import (
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

var parser = whatwg.NewParser(whatwg.WithPercentEncodeSinglePercentSign())

// maxURL bounds what is resolved at all: longer ones are data in disguise.
const maxURL = 16 << 10

// Resolve returns ref as an absolute http or https URL without fragment, resolved against base as browsers do (WHATWG
// URL). It is false for other schemes and for what a browser would not accept. base may be empty when ref is absolute.
func Resolve(base, ref string) (string, bool) {
	if len(ref) > maxURL || len(base) > maxURL {
		return "", false
	}
	if u, ok := fast(base, ref); ok {
		return u, true
	}
	var u *whatwg.Url
	var err error
	if base == "" {
		u, err = parser.Parse(ref)
	} else {
		u, err = parser.ParseRef(base, ref)
	}
	if err != nil || u.Hostname() == "" {
		return "", false
	}
	if s := u.Scheme(); s != "http" && s != "https" {
		return "", false
	}
	return u.Href(true), true
}

// octets of a path or query that no URL parser changes.
var plain = func() (t [256]bool) {
	for c := 0; c < 256; c++ {
		t[c] = isAlnum(byte(c)) && c < 0x80
	}
	for _, c := range []byte("-._~!$&()*+,;=:@/") {
		t[c] = true
	}
	return
}()

// fast resolves the common forms without a parser: everything in them must be such that the parser would leave it alone.
func fast(base, ref string) (string, bool) {
	if i := strings.IndexByte(ref, '#'); i >= 0 {
		ref = ref[:i]
	}
	if authority(ref) > 0 {
		return absolute(ref)
	}
	origin := authority(base)
	if origin == 0 {
		return "", false
	}
	if i := strings.IndexByte(base, '#'); i >= 0 {
		base = base[:i]
	}
	switch {
	case ref == "":
		return absolute(base)
	case strings.HasPrefix(ref, "//"):
		return absolute(base[:strings.IndexByte(base, ':')+1] + ref)
	case ref[0] == '/':
		if !plainPath(ref) {
			return "", false
		}
		return base[:origin] + ref, true
	case ref[0] == '?':
		path := base
		if i := strings.IndexByte(path, '?'); i >= 0 {
			path = path[:i]
		}
		return absolute(path + ref)
	}
	if !isAlnum(ref[0]) && ref[0] != '_' || !plainPath(ref) {
		return "", false
	}
	if i := strings.IndexAny(ref, ":/?"); i >= 0 && ref[i] == ':' {
		return "", false
	}
	path := base
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if len(path) == origin {
		return path + "/" + ref, true
	}
	if !plainPath(path[origin:]) {
		return "", false
	}
	return path[:strings.LastIndexByte(path, '/')+1] + ref, true
}

func absolute(u string) (string, bool) {
	n := authority(u)
	if n == 0 {
		return "", false
	}
	rest := u[n:]
	switch {
	case rest == "":
		return u + "/", true
	case rest[0] == '?':
		if !plainPath(rest) {
			return "", false
		}
		return u[:n] + "/" + rest, true
	case plainPath(rest):
		return u, true
	}
	return "", false
}

// authority returns the length of "http://host" or "https://host", port included, when the host is a plain lower-case name
// whose last label begins with a letter or a plain IPv4 address, and the port, if there is one, is written as it should be
// and not the scheme's own; else 0.
func authority(u string) int {
	i := 0
	switch {
	case strings.HasPrefix(u, "https://"):
		i = 8
	case strings.HasPrefix(u, "http://"):
		i = 7
	default:
		return 0
	}
	start, label := i, i
	for i < len(u) && u[i] != '/' && u[i] != '?' && u[i] != ':' {
		switch c := u[i]; {
		case 'a' <= c && c <= 'z', isDigit(c):
		case c == '-':
			// "xn--" and its like need the parser's judgement
			if i == label || i+1 < len(u) && u[i+1] == '-' {
				return 0
			}
		case c == '.':
			if i == label || u[i-1] == '-' {
				return 0
			}
			label = i + 1
		default:
			return 0
		}
		i++
	}
	if i == start || i == label || u[i-1] == '-' || i-start > 253 || isDigit(u[label]) && !plainIPv4(u[start:i]) {
		return 0
	}
	if i < len(u) && u[i] == ':' {
		port, n := 0, 0
		for i++; i < len(u) && isDigit(u[i]) && n < 6; i++ {
			if n == 0 && u[i] == '0' {
				return 0
			}
			port = 10*port + int(u[i]-'0')
			n++
		}
		own := 443
		if start == len("http://") {
			own = 80
		}
		if n == 0 || port > 65535 || port == own || i < len(u) && u[i] != '/' && u[i] != '?' {
			return 0
		}
	}
	return i
}

// plainIPv4 reports whether h is four decimal numbers up to 255 without leading zeros: no parser writes it otherwise.
func plainIPv4(h string) bool {
	parts, n, digits := 0, 0, 0
	for i := 0; i <= len(h); i++ {
		switch {
		case i == len(h) || h[i] == '.':
			if digits == 0 || n > 255 {
				return false
			}
			parts, n, digits = parts+1, 0, 0
		case isDigit(h[i]):
			if digits > 0 && n == 0 || digits == 3 {
				return false
			}
			n, digits = 10*n+int(h[i]-'0'), digits+1
		default:
			return false
		}
	}
	return parts == 4
}

// plainPath reports whether p, a path with or without query, needs no change: no dot segments, nothing to encode.
func plainPath(p string) bool {
	query := false
	segment := 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if plain[c] {
			if query {
				continue
			}
			switch c {
			case '/':
				segment = i + 1
			case '.':
				if i == segment {
					return false
				}
			}
			continue
		}
		switch {
		case c == '?':
			query = true
		case c == '%' && i+2 < len(p) && unhex(p[i+1]) >= 0 && unhex(p[i+2]) >= 0:
			if !query && p[i+1] == '2' && p[i+2]|0x20 == 'e' {
				return false
			}
		default:
			return false
		}
	}
	return true
}
