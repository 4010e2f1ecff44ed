package crawler

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"mirrorwatch/crawler/survey"
)

// FuzzMapURL: whatever a sites file's regular expression and its replacement are, the mapped address stays on the mirror.
func FuzzMapURL(f *testing.F) {
	f.Add("https://a.example/Detail/2016/08/10/479262/x?y=1", `^/Detail/(.*)$`, "/detail/$1")
	f.Add("https://a.example/x", `.*`, "//evil.example/$0")
	f.Add("https://a.example/x", `^/`, "@evil.example/")
	f.Add("https://a.example/%2e%2e/x", `(a*)*`, "${1}${2}$")
	f.Add("https://a.example/x", `^/x$`, ".evil.example/")
	f.Fuzz(func(t *testing.T, article, from, to string) {
		re, err := regexp.Compile(from)
		if err != nil || len(from) > 200 || len(to) > 200 || len(article) > 500 {
			return
		}
		m := survey.Mirror{Scheme: "https", Host: "m.example", Role: survey.Alternate}
		s, err := mapURL(article, m, []PathRule{{From: re, To: to}})
		if err != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Host != "m.example" || u.User != nil || !strings.HasPrefix(s, "https://m.example/") {
			t.Errorf("%q by %q -> %q leads to %q", article, from, to, s)
		}
		for _, x := range mappings(article, s, m) {
			if u, err := url.Parse(x.url); err != nil || u.Host != "m.example" && u.Host != "www.m.example" {
				t.Errorf("mapped to %q", x.url)
			}
		}
	})
}
