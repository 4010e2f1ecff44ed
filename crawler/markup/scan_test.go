package markup

import (
	"fmt"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	src := `<!-- <a> --><LINK Rel="a &amp; b" href=/x rel=c><script>"<p>"</script><iframe srcdoc="<b href='/y'>"></iframe>`
	var got []string
	Scan([]byte(src), func(tag *Tag) bool {
		s := src[tag.Start:tag.NameEnd]
		if a, ok := tag.Find("rel"); ok {
			s += " rel=" + tag.Value(a) + " " + src[a.NameStart:a.End]
		}
		got = append(got, s+" "+fmt.Sprint(tag.Is("link"), len(tag.Attrs)))
		return true
	}, func(p Place) bool { got = append(got, p.URL); return true })
	want := `<LINK rel=a & b Rel="a &amp; b true 3|/x|<script false 0|<iframe false 1`
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
	n := 0
	Scan([]byte(src), func(*Tag) bool { n++; return false }, func(Place) bool { n += 10; return true })
	if n != 1 {
		t.Errorf("not stopped: %d", n)
	}
}
