package markup

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
		if e := Symbol([]byte(c[0]), c[1]); e != nil {
			got = string(WithID(e, "N"))
		}
		if got != c[2] {
			t.Errorf("%s #%s: %q", c[0], c[1], got)
		}
	}
}

func FuzzSymbolOf(f *testing.F) {
	f.Add([]byte(`<svg><symbol id="a"><path d="M0 0"/></symbol></svg>`), "a")
	f.Fuzz(func(t *testing.T, src []byte, id string) {
		if e := Symbol(src, id); e != nil && !strings.Contains(string(src), string(e)) {
			t.Errorf("%q", e)
		}
	})
}
