package crawler

import (
	"net/url"
	"testing"

	"mirrorwatch/crawler/survey"
)

// The quick way to a host gives what the parser gives, or leaves it to the parser.
func FuzzPlainHost(f *testing.F) {
	for _, s := range []string{"http://a.example", "https://a.example:443/", "https://a.example:8443/x?y#z", "http://a.example:80", "http://A.example/",
		"http://u@a.example/", "http://[::1]:80/", "http://a.example.:81/", "http://a.example:/", "ftp://a.example/", "http://a:b:1/", "http:///", "https://1.2.3.4#x",
		"http://a.example:080/", "http://a\\b/", "http://a:1.2/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := plainHost(s)
		if got == "" {
			return
		}
		u, err := url.Parse(s)
		if err != nil {
			// What stands behind the host may be broken; the host is not.
			if u, err = url.Parse("http://" + got + "/"); err != nil {
				t.Fatalf("%q: %q, %v", s, got, err)
			}
		}
		if want := survey.MirrorName(u); err == nil && string(want) != got && u.Scheme == "https" == (len(s) > 4 && s[4] == 's') {
			t.Fatalf("%q: %q, the parser says %q", s, got, want)
		}
	})
}
