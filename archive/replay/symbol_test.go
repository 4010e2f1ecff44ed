package replay

import (
	"strings"
	"testing"
)

func TestSymbolOf(t *testing.T) {
	for _, c := range [][3]string{
		{`<svg><symbol id="a"><path d="M0 0"/></symbol><symbol id="b"/></svg>`, "a", `<symbol id="N"><path d="M0 0"/></symbol>`},
		{`<svg><symbol id="b" /></svg>`, "b", `<symbol id="N" />`},
		{`<svg><g id=a><g><g/></g></g><g/></svg>`, "a", `<g id=N><g><g/></g></g>`},
		{`<svg><g id="a"><g></svg>`, "a", ""},
		{`<svg><gg id="a"></gg></svg>`, "b", ""},
		{"<svg><g id=\"a\">\u00e9</g></svg>", "a", ""},
		{``, "a", ""},
	} {
		got := ""
		if e := symbolOf([]byte(c[0]), c[1]); e != nil {
			got = string(renamed(e, "N"))
		}
		if got != c[2] {
			t.Errorf("%s #%s: %q", c[0], c[1], got)
		}
	}
}

func FuzzSymbolOf(f *testing.F) {
	f.Add([]byte(`<svg><symbol id="a"><path d="M0 0"/></symbol></svg>`), "a")
	f.Fuzz(func(t *testing.T, src []byte, id string) {
		if e := symbolOf(src, id); e != nil && !strings.Contains(string(src), string(e)) {
			t.Errorf("%q", e)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"20261124120000/https://a.example/", "2026im_/http:/x", "20261124120000000.abc-deif_/https://a.example/?b", "http%3A%2F%2Fx%2F", "*/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(u string) {
			if !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
				t.Errorf("%q gives %q", s, u)
			}
			if strings.ContainsAny(quoteURL(u), "\"'<> \r\n\\`") {
				t.Errorf("%q is not quoted: %q", u, quoteURL(u))
			}
			again, ok := Repair(u)
			if !ok || quoteURL(again) != quoteURL(u) {
				t.Errorf("%q becomes %q", u, again)
			}
			if again, ok = Repair(quoteURL(u)); !ok || quoteURL(again) != quoteURL(u) { // else redirects to it would not end
				t.Errorf("%q, quoted, becomes %q", u, again)
			}
		}
		if a, ok, err := parseMemento(s); ok && err == nil {
			check(a.url)
		}
		if a, _, ok := parseShot(s); ok {
			check(a.url)
		}
		if u, ok := Repair(s); ok {
			check(u)
		}
	})
}
