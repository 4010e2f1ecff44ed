package crawler

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"mirrorwatch/crawler/survey"
)

// mapURL returns the article's address on the mirror: by the first rule that fits its path, else the same path and query.
func mapURL(article string, m survey.Mirror, rules []PathRule) (string, error) {
	u, err := url.Parse(article)
	if err != nil {
		return "", err
	}
	target := u.EscapedPath()
	for _, r := range rules {
		if r.Mirror != "" && r.Mirror != m.Host || r.From == nil || !r.From.MatchString(target) {
			continue
		}
		target = r.From.ReplaceAllString(target, r.To)
		break
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	s := m.Origin() + target
	if u.RawQuery != "" {
		s += "?" + u.RawQuery
	}
	if _, err := url.Parse(s); err != nil {
		return "", err
	}
	return s, nil
}

func hostOf(rawURL string) survey.Host {
	if h := plainHost(rawURL); h != "" {
		return survey.Host(h)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return survey.MirrorName(u)
}

// plainHost returns the host of an http or https URL that no parser would change: lower-case letters, digits, dots and hyphens, at
// most a port that is not the scheme's own. Anything else is "".
func plainHost(rawURL string) string {
	rest, own := strings.TrimPrefix(rawURL, schemePlain), "80"
	if len(rest) == len(rawURL) {
		if rest, own = strings.TrimPrefix(rawURL, schemeSecure), "443"; len(rest) == len(rawURL) {
			return ""
		}
	}
	i, port := 0, -1
	for ; i < len(rest); i++ {
		switch c := rest[i]; {
		case c >= 'a' && c <= 'z' && port < 0, c >= '0' && c <= '9', (c == '.' || c == '-') && port < 0:
			continue
		case c == ':' && port < 0:
			port = i
			continue
		case c == '/', c == '?', c == '#':
		default:
			return ""
		}
		break
	}
	name := rest[:i]
	if port >= 0 {
		name = rest[:port]
		if p := rest[port+1 : i]; p == "" || p == own {
			return ""
		}
	}
	if name == "" || name[len(name)-1] == '.' {
		return ""
	}
	return rest[:i]
}

// maxMappings is how many further addresses of an article are tried on a mirror that does not know the plain one.
const maxMappings = 3

// mapping is another address that the article may have on a mirror.
type mapping struct{ url, how string }

var languagePrefix = regexp.MustCompile(`^/([a-z]{2}(?:[-_][a-zA-Z]{2})?)(/.+)$`)

// mappings lists where else on the mirror an article may be, in the order of classification.md 4: another case of letters,
// the id alone with anything behind it, with or without a language's prefix, www or the bare domain, the other scheme. (The
// same path comes before all of them, on an onion too, and rules of the sites file before that.) Whatever comes from one of
// these addresses is judged by its text like any other page.
func mappings(article, address string, m survey.Mirror) []mapping {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var out []mapping
	seen := map[string]bool{address: true}
	add := func(how string, change func(*url.URL)) {
		c := *u
		change(&c)
		if s := c.String(); !seen[s] {
			seen[s] = true
			out = append(out, mapping{s, how})
		}
	}
	path := func(p string) func(*url.URL) { return func(c *url.URL) { c.Path, c.RawPath = p, "" } }
	if lower := strings.ToLower(u.Path); lower != u.Path {
		add("lower case", path(lower))
	}
	if p, ok := upToID(u.Path); ok {
		add("id only", path(p))
	}
	if x := languagePrefix.FindStringSubmatch(u.Path); x != nil {
		add("without the language prefix", path(x[2]))
	} else if l, _, ok := strings.Cut(strings.TrimPrefix(u.Hostname(), "www."), "."); ok && len(l) == 2 {
		add("with the language prefix", path("/"+l+u.Path))
	} else {
		add("with a language prefix", path("/en"+u.Path))
	}
	if _, numbered := ipLiteral(u.Hostname()); !numbered && !strings.HasSuffix(u.Hostname(), ".onion") {
		add("www or bare domain", func(c *url.URL) {
			if bare, ok := strings.CutPrefix(c.Host, "www."); ok {
				c.Host = bare
			} else {
				c.Host = "www." + c.Host
			}
		})
	}
	if u.Scheme == "https" && u.Port() == "" {
		add("plain http", func(c *url.URL) { c.Scheme = "http" })
	}
	return out
}

// upToID cuts an address behind the article's id: sites that go by the id take anything, or nothing, for the rest.
func upToID(p string) (string, bool) {
	spans := longDigits.FindAllStringIndex(p, -1)
	for i := len(spans) - 1; i >= 0; i-- {
		s, e := spans[i][0], spans[i][1]
		if run := p[s:e]; len(run) == 4 && (strings.HasPrefix(run, "19") || strings.HasPrefix(run, "20")) || len(run) == 8 && strings.HasPrefix(run, "20") {
			continue
		}
		rest := p[e:]
		if !strings.HasPrefix(rest, "/") || len(strings.Trim(rest, "/")) == 0 || s == 0 || p[s-1] != '/' {
			return "", false
		}
		return p[:e], true
	}
	return "", false
}

func ipLiteral(host string) (string, bool) {
	return host, strings.Contains(host, ":") || strings.Trim(host, "0123456789.") == ""
}

// remap looks for the article under other addresses of a mirror that answered 404 or 410. The first one that shows an
// article's worth of text takes the visit's place, with a note; when none does, the plain address's answer stands. Guard and
// gate hold as for any request.
func (v *visitor) remap(ctx context.Context, m survey.Mirror, article string, first *visit) (*visit, error) {
	o := &first.observation
	if o.Status == nil || *o.Status != http.StatusNotFound && *o.Status != http.StatusGone || first.insecure || m.Role == survey.Primary {
		return first, nil
	}
	once := *v
	once.settings.Retries = 0
	for i, c := range mappings(article, o.URL, m) {
		if i == maxMappings || v.isStopped() {
			break
		}
		next, err := once.visit(ctx, m, article, c.url)
		if err != nil {
			return nil, err
		}
		o.Captures = append(o.Captures, next.observation.Captures...)
		n := &next.observation
		if n.Outcome != survey.OK || next.page == nil || next.insecure || next.page.Words < 40 || atFront(n.FinalURL) {
			continue
		}
		n.Captures = o.Captures
		n.Notes = append(n.Notes, fmt.Sprintf("the plain address %s answered %d; mapped (%s) to %s", o.URL, *o.Status, c.how, c.url))
		return next, nil
	}
	return first, nil
}

func atFront(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && len(strings.Trim(u.Path, "/")) <= 2 && u.RawQuery == ""
}
