package cdxj

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	l := Line{Key: "com,a)/", Timestamp: "20260102030405", URL: "http://a.com/\"\\\n\u2028é", MIME: "text/html", Status: "200", Digest: "sha256:ab",
		Filename: "x.warc.gz", Offset: 0, Length: 12, RecordID: "urn:uuid:1", Location: "http://b/", Extra: map[string]string{"z": "1", "b": ""}}
	b := l.Append(nil)
	want := `com,a)/ 20260102030405 {"url": "http://a.com/\"\\\n\u2028é", "mime": "text/html", "status": "200", "digest": "sha256:ab", "length": "12", "offset": "0", "filename": "x.warc.gz", "recordID": "urn:uuid:1", "location": "http://b/", "b": "", "z": "1"}` + "\n"
	if string(b) != want {
		t.Errorf("got  %swant %s", b, want)
	}
	got, err := Parse(b)
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Errorf("%+v, %v", got, err)
	}
	// Other tools: numbers, nested values, null, no blanks, CRLF.
	got, err = Parse([]byte("com,a)/ 2026 {\"url\":\"http:\\/\\/a\\u00e9\\ud83d\\ude00\",\"length\":12,\"offset\":3,\"x\":{\"a\":[1,\"}\"]},\"y\":null,\"z\":true}\r\n"))
	if err != nil || got.URL != "http://aé😀" || got.Length != 12 || got.Offset != 3 || got.Extra["x"] != `{"a":[1,"}"]}` || got.Extra["y"] != "" || got.Extra["z"] != "true" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range []string{"", "a", "a b", "a b c", "a b {", "a b {}x", "a b {\"a\"}", "a b {\"a\":}", "a b {\"offset\":\"-1\"}", "a b {\"a\":\"\\x\"}", "a b {\"a\":\"b\",}", " b {}"} {
		if l, err := Parse([]byte(s)); !errors.Is(err, ErrLine) {
			t.Errorf("%q: %+v, %v", s, l, err)
		}
	}
}

func TestTimestamp(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 67e6, time.UTC)
	if got := Timestamp(at); got != "20260102030405067" {
		t.Error(got)
	}
	if got := Timestamp(at.Truncate(time.Second)); got != "20260102030405" {
		t.Error(got)
	}
	for s, want := range map[string]time.Time{"20260102030405067": at, "2026": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "202602": time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)} {
		if got, err := ParseTimestamp(s); err != nil || !got.Equal(want) {
			t.Error(s, got, err)
		}
	}
	for _, s := range []string{"", "202", "20261", "20261301", "2026010203040506789", "x"} {
		if _, err := ParseTimestamp(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(`com,a)/ 20260102030405 {"url": "http://a/", "offset": 3, "x": [1, {"a": "b"}], "n": null}`))
	f.Add([]byte("a b {\"\":\"\\ud800\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		once := l.Append(nil)
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%q: %v", once, err)
		}
		if twice := again.Append(nil); string(twice) != string(once) {
			t.Fatalf("%q, then %q", once, twice)
		}
	})
}
