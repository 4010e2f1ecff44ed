package cdxj

import (
	"strings"
	"testing"
)

// The vectors of the key dialect; most follow the behaviour of Python's surt package, which other indexes use.
func TestSURT(t *testing.T) {
	id32 := "0123456789abcdefghijklemopqrstuv"
	asp := "4hqa0555fwsecu455xqckv45"
	for url, want := range map[string]string{
		"":                                    "-",
		"http://www.Example.com/a/":           "com,example)/a",
		"http://www2.example.com/a":           "com,example)/a",
		"http://WWW.example.com/":             "com,example)/",
		"http://www2example.com/":             "com,www2example)/",
		"http://www2.www2example.com/":        "com,www2example)/",
		"https://example.com:80/":             "com,example:80)/",
		"http://example.com:80/":              "com,example)/",
		"https://example.com:443/":            "com,example)/",
		"http://example.com:443/":             "com,example:443)/",
		"http://example.com:/a":               "com,example)/a",
		"http://user:pw@example.com/":         "com,example)/",
		"http://example.com/#frag":            "com,example)/",
		"http://example.com":                  "com,example)/",
		"example.com":                         "com,example)/",
		"http://example.com/?":                "com,example)/",
		"http://example.com?x":                "com,example)/?x",
		"http://example.com/?b=2&a=1":         "com,example)/?a=1&b=2",
		"http://example.com/?B=2&A=X":         "com,example)/?a=x&b=2",
		"http://example.com/?b&a":             "com,example)/?a&b",
		"http://example.com/?a=2&b&a=1":       "com,example)/?a=1&a=2&b",
		"http://example.com/?a&&d":            "com,example)/?&a&d",
		"http://example.com/?a=1&":            "com,example)/?&a=1",
		"http://example.com/a//b":             "com,example)/a/b",
		"http://example.com//a?b//c":          "com,example)/a?b//c",
		"http://example.com/a/./b/../c":       "com,example)/a/c",
		"http://example.com/../x":             "com,example)/../x",
		"http://example.com/a/..":             "com,example)/",
		"http://example.com/%7Efoo":           "com,example)/~foo",
		"http://example.com/%2541":            "com,example)/a",
		"http://example.com/%2525252525":      "com,example)/%25",
		"http://example.com/%%%25%32%35a%%":   "com,example)/%25%25%25a%25%25",
		"http://example.com/☃":                "com,example)/%e2%98%83",
		"http://example.com/%E2%98%83":        "com,example)/%e2%98%83",
		"http://example.com/a b":              "com,example)/a%20b",
		"http://example.com/ab%23cd":          "com,example)/ab%23cd",
		"http://example.com/foo\tb\rc\n2":     "com,example)/foobc2",
		"  http://example.com/ ":              "com,example)/",
		"http://example.com.../":              "com,example)/",
		"http://bücher.ch:8080/":              "ch,xn--bcher-kva:8080)/",
		"BÜCHER.ch":                           "ch,xn--bcher-kva)/",
		"☃.com":                               "com,xn--n3h)/",
		"http://192.168.0.1/":                 "1,0,168,192)/",
		"http://2130706433/":                  "1,0,0,127)/",
		"http://39024579298/":                 "226,210,11,22)/",
		"http://017.0.0.1/":                   "1,0,0,15)/",
		"http://10.0.258/":                    "2,1,0,10)/",
		"http://1.2.3.256/":                   "256,3,2,1)/",
		"http://%31%36%38%2e188.99.26/%2E%73": "26,99,188,168)/.s",
		"dns:example.com":                     "dns:example.com",
		"warcinfo:foo.warc.gz":                "warcinfo:foo.warc.gz",
		"filedesc://foo.arc.gz":               "filedesc://foo.arc.gz",
		"urn:uuid:1-2":                        "urn:uuid:1-2",
		"mailto:foo@example.com":              "mailto:foo@example.com",
		"ftp://www.example.com/":              "com,example)/",
		"whois://whois.isoc.org.il/a.co.il":   "il,org,isoc,whois)/a.co.il",
		"http:////////www.example.com":        "com,example)/",
		"http://https://order.example.com":    "com,example,order)/",
		"http://archive.org/index.php?PHPSESSID=" + id32 + "&action=profile;u=4221": "org,archive)/index.php?action=profile;u=4221",
		"http://a.com/?one=two&jsessionid=" + id32 + "&x=y":                         "com,a)/?one=two&x=y",
		"http://a.com/?one=two&jsessionid=" + id32:                                  "com,a)/?&one=two",
		"http://a.com/?jsessionid=" + id32 + "0":                                    "com,a)/?jsessionid=" + id32 + "0",
		"http://a.com/?sid=9682993c8daa2c5497996114facdc805&jsessionid=" + id32:     "com,a)/",
		"http://a.com/?aspsessionidABCDEFGH=ABCDEFGHIJKLMNOPQRSTUVWX&x=y":           "com,a)/?x=y",
		"http://a.com/?CFID=14475712&CFTOKEN=2D89F5AF-3048&r=4&m=f":                 "com,a)/?m=f&r=4",
		"http://a.com/?CFID=16603925&CFTOKEN=2AE13EEE-3048":                         "com,a)/",
		"http://a.com/(S(" + asp + "))/mileg.aspx":                                  "com,a)/mileg.aspx",
		"http://a.com/(" + asp + ")/mileg.aspx":                                     "com,a)/mileg.aspx",
		"http://a.com/(a(" + asp + ")S(" + asp + "))/mileg.aspx?page=s":             "com,a)/mileg.aspx?page=s",
		"http://a.com/x;jsessionid=" + id32:                                         "com,a)/x;jsessionid=" + id32,
		"http://a.com/photos/36050182@N05/":                                         "com,a)/photos/36050182@n05",
	} {
		if got := SURT(url); got != want {
			t.Errorf("%s\n got %s\nwant %s", url, got, want)
		}
	}
}

func FuzzSURT(f *testing.F) {
	for _, s := range []string{"http://www.a.b:80/c/../d?e=f&a=%41#g", "https://[::1]:8/x", "dns:a", "http://https://a", "x y", "http://%2525", "http://a/?sid=", "\xff\xfe://a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		key := SURT(url)
		if key == "" || strings.ContainsAny(key, " \r\n\t\x00") {
			t.Fatalf("%q: %q cannot stand in a line", url, key)
		}
		Origin(url)
		if k := SURT(strings.ToUpper(key)); strings.Contains(k, " ") {
			t.Fatal(k)
		}
	})
}
