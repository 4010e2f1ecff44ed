package archive

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// The rows of archive-formats section 2 and the rules of section 1 that are about the archive as a whole. The numbers are
// the tables'; archive/warc/rows_test.go says where the others are tested.

type foreign struct {
	typ, uri, block, contentType string
	more                         []string // name, value, ...
	date                         time.Time
}

// foreignWARC is a file as other software may have written it.
func foreignWARC(t *testing.T, records ...foreign) []byte {
	t.Helper()
	var file bytes.Buffer
	e := warc.NewEncoder(0)
	for i, f := range records {
		var h warc.Header
		h.Set(warc.FieldType, f.typ)
		h.SetID("urn:uuid:00000000-0000-4000-8000-00000000000" + string(rune('1'+i)))
		if f.date.IsZero() {
			f.date = testTime
		}
		h.SetDate(f.date)
		h.Set(warc.FieldTargetURI, f.uri)
		h.Set(warc.FieldContentType, f.contentType)
		for k := 0; k+1 < len(f.more); k += 2 {
			h.Set(f.more[k], f.more[k+1])
		}
		m, err := e.EncodeBytes(warc.Out{Header: h, Foreign: true, Digest: true}, []byte(f.block))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		_ = m.Close()
	}
	return file.Bytes()
}

func imported(t *testing.T, records ...foreign) (*Archive, ImportReport) {
	t.Helper()
	a := writer(t, t.TempDir(), Options{Run: "i"})
	r, err := a.Import(t.Context(), bytes.NewReader(foreignWARC(t, records...)), "x.warc.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, r
}

const httpResponse = "application/http;msgtype=response"

// Row 17: a response without an HTTP head is its own payload.
func TestRow17NoHead(t *testing.T) {
	const text = "<html><body>no head was kept</body></html>"
	a, _ := imported(t, foreign{typ: warc.Response, uri: "http://a.test/", block: text, contentType: "text/html"},
		foreign{typ: warc.Response, uri: "http://b.test/", block: text, contentType: httpResponse})
	for _, u := range []string{"http://a.test/", "http://b.test/"} {
		c, err := a.Find(t.Context(), u, testTime, true)
		if err != nil {
			t.Errorf("%s: %v", u, err)
		} else if got := body(t, a, c); got != text {
			t.Errorf("%s: %q", u, got)
		}
	}
}

// Row 18: a response of another scheme is not read as HTTP, even when it looks like it.
func TestRow18OtherSchemes(t *testing.T) {
	for _, u := range []string{"dns:a.test", "whois://whois.a.test/a.test", "ftp://a.test/x"} {
		text := "HTTP/1.1 200 OK\r\n\r\nwhat this server says"
		a, _ := imported(t, foreign{typ: warc.Response, uri: u, block: text, contentType: "text/plain"})
		c, err := a.Find(t.Context(), u, testTime, true)
		if err != nil {
			t.Errorf("%s: %v", u, err)
		} else if got := body(t, a, c); got != text || c.Status != 0 || c.Type != "text/plain" {
			t.Errorf("%s: %q, %+v", u, got, c)
		}
	}
}

// Row 23, V3: the original of a revisit is found by ID, else by URL and date, else by digest; without one an error says so.
// The head is the revisit's own, its block may be empty.
func TestRow23Revisits(t *testing.T) {
	original := foreign{typ: warc.Response, uri: "http://a.test/", block: page("the same"), contentType: httpResponse,
		more: []string{warc.FieldPayloadDigest, digestOf([]byte("the same"))}}
	revisit := func(block string, more ...string) foreign {
		return foreign{typ: warc.Revisit, uri: "http://b.test/", block: block, contentType: httpResponse, date: testTime.Add(time.Hour),
			more: append([]string{warc.FieldProfile, warc.ProfileIdentical, warc.FieldPayloadDigest, digestOf([]byte("the same"))}, more...)}
	}
	const head = "HTTP/1.1 200 OK\r\nServer: other\r\n\r\n"
	for _, tc := range []struct {
		name string
		r    foreign
	}{
		{"by ID", revisit(head, warc.FieldRefersTo, "<urn:uuid:00000000-0000-4000-8000-000000000001>", warc.FieldRefersToURI, "http://a.test/",
			warc.FieldRefersToDate, warc.FormatDate(testTime))},
		{"by URL and date", revisit(head, warc.FieldRefersToURI, "http://a.test/", warc.FieldRefersToDate, warc.FormatDate(testTime))},
		{"by digest", revisit(head)},
		{"empty block", revisit("")},
	} {
		a, _ := imported(t, original, tc.r)
		c, err := a.Find(t.Context(), "http://b.test/", testTime, true)
		if err != nil || !c.Revisit {
			t.Errorf("%s: %+v %v", tc.name, c, err)
			continue
		}
		r, err := a.Open(t.Context(), c)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		b, err := io.ReadAll(r.Payload)
		_ = r.Payload.Close()
		if err != nil || string(b) != "the same" || tc.r.block != "" && r.Head.Get("Server") != "other" {
			t.Errorf("%s: %q, %+v, %v", tc.name, b, r.Head, err)
		}
	}
	a, _ := imported(t, revisit(head))
	c, err := a.Find(t.Context(), "http://b.test/", testTime, true)
	if err == nil {
		_, err = a.Open(t.Context(), c)
	}
	if !errors.Is(err, ErrNoOriginal) {
		t.Errorf("without an original: %v", err)
	}
}

// Row 33: a request whose form is no form is kept and indexed like any other.
func TestRow33Forms(t *testing.T) {
	a, r := imported(t,
		foreign{typ: warc.Request, uri: "http://a.test/post", contentType: "application/http;msgtype=request",
			block: "POST /post HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\n\r\n\x00\xff%%"},
		foreign{typ: warc.Response, uri: "http://a.test/post", block: page("answer"), contentType: httpResponse})
	c, err := a.Find(t.Context(), "http://a.test/post", testTime, true)
	if err != nil || body(t, a, c) != "answer" || r.Damaged != 0 {
		t.Errorf("%+v %v %+v", c, err, r)
	}
}

// D2: a block digest on every record but none, a payload digest on responses, resources and revisits; W13: none on warcinfo and
// metadata. W17: the file is one member a record. W20: configuration and result of a run lie in the archive. P3 is the crawler's:
// what came compressed stays so.
func TestRulesOfRecords(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	e := exchange(t, "http://a.test/", strings.Replace(page("\x1f\x8bkept as it came"), "\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n", 1))
	e.Lookups = []survey.Lookup{{Engine: "udp", Server: "9.9.9.9:53", Name: "a.test", Type: "A", RCode: "NOERROR", At: testTime}}
	c := must[survey.Capture](t)(a.Put(t.Context(), e))
	must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://b.test/", page("x"))))
	must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://c.test/", page("x"))))
	must[survey.Capture](t)(a.Note(t.Context(), survey.Note{Kind: survey.NoteRun, URI: "urn:mirrorwatch:run:r", Body: []byte(`{"mirrors":2}`)}))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := body(t, reader(t, dir), c); got != "\x1f\x8bkept as it came" {
		t.Errorf("P3: %q", got)
	}
	names, err := filepath.Glob(filepath.Join(dir, archiveDir, "*"+warcSuffix))
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	types := map[string]int{}
	runs := false
	for _, name := range names {
		headers, blocks := records(t, name)
		for i := range headers {
			h := &headers[i]
			types[h.Type()]++
			runs = runs || blocks[i] == `{"mirrors":2}`
			if h.Get(warc.FieldBlockDigest) != digestOf([]byte(blocks[i])) && h.Type() != warc.Warcinfo {
				t.Errorf("D2: %s", h.String())
			}
			payload := h.Has(warc.FieldPayloadDigest)
			switch h.Type() {
			case warc.Response, warc.Resource, warc.Revisit:
				if !payload {
					t.Errorf("D2: %s", h.String())
				}
			case warc.Metadata, warc.Warcinfo:
				if payload {
					t.Errorf("W13: %s", h.String())
				}
			}
		}
	}
	if !runs || types[warc.Revisit] != 1 || types[warc.Resource] != 1 || types[warc.Warcinfo] != 2 {
		t.Errorf("W20, W12: %v", types)
	}
}

// V4: what is no whole 200 to a GET is neither a revisit nor an original.
func TestV4NoRevisit(t *testing.T) {
	for name, change := range map[string]func(e *survey.Exchange){
		"HEAD":   func(e *survey.Exchange) { e.Method = "HEAD" },
		"206":    func(e *survey.Exchange) { e.Status = 206 },
		"404":    func(e *survey.Exchange) { e.Status = 404 },
		"cut":    func(e *survey.Exchange) { e.Complete, e.Truncated = false, "disconnect" },
		"no end": func(e *survey.Exchange) { e.Truncated = "length" },
	} {
		a := writer(t, t.TempDir(), Options{Run: "r"})
		for _, host := range []string{"a", "b"} {
			e := exchange(t, "http://"+host+".test/", page("equal"))
			change(e)
			if c := must[survey.Capture](t)(a.Put(t.Context(), e)); c.Revisit {
				t.Errorf("%s: a revisit", name)
			}
		}
		if c := must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://c.test/", page("equal")))); c.Revisit {
			t.Errorf("%s: an original", name)
		}
	}
}
