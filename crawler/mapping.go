package crawler

import (
	"net/url"
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
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return survey.MirrorName(u)
}
