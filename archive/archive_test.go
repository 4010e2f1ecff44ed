package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

type blob struct{ *bytes.Reader }

func (b blob) Size() int64 { return b.Reader.Size() }

var testTime = time.Date(2026, 11, 25, 3, 17, 0, 123e6, time.UTC)

// exchange seals an exchange as the transport does. raw is the response as on the wire.
func exchange(t testing.TB, url, raw string) *survey.Exchange {
	t.Helper()
	e := &survey.Exchange{
		ID: survey.RecordID(warc.NewRecordID()), Method: "GET", URL: url, Started: testTime,
		Request: []byte("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: mirrorwatch\r\n\r\n"),
		Probe:   survey.Probe{ID: "p1", Run: "r", Mirror: "x", Vantage: "direct", Purpose: survey.ForVerdict, Attempt: 1},
		Peer:    netip.MustParseAddrPort("127.0.0.1:80"), Proto: "HTTP/1.1",
		Stage: survey.StageContent, Outcome: survey.OK, Complete: true,
	}
	if raw == "" {
		e.Stage, e.Outcome, e.Complete, e.ID = survey.StageConnect, survey.ConnectionRefused, false, survey.RecordID(warc.NewRecordID())
		return e
	}
	b := []byte(raw)
	e.Response = blob{bytes.NewReader(b)}
	start := 0
	for {
		n := message.EndOfHead(b[start:])
		if n < 0 {
			t.Fatalf("no head in %q", raw)
		}
		h, err := message.ParseHead(b[start : start+n])
		if err != nil {
			t.Fatal(err)
		}
		if h.Status < 200 {
			e.Interim = append(e.Interim, survey.Span{Start: int64(start), End: int64(start + n)})
			start += n
			continue
		}
		e.Head = survey.Span{Start: int64(start), End: int64(start + n)}
		e.Status, e.Header = h.Status, h.Fields
		break
	}
	e.FramedEnd = int64(len(b))
	sum := sha256.Sum256(b[start:])
	e.BlockDigest = survey.Digest("sha256:" + hex.EncodeToString(sum[:]))
	m, err := message.Open(bytes.NewReader(b[start:]))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(m.Payload)
	sum = sha256.Sum256(body)
	e.PayloadDigest, e.PayloadSize = survey.Digest("sha256:"+hex.EncodeToString(sum[:])), int64(len(body))
	return e
}

func page(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nx-LOWER: 1\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func writer(t testing.TB, dir string, opt Options) *Archive {
	t.Helper()
	if opt.Now == nil {
		opt.Now = func() time.Time { return testTime }
	}
	a, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func reader(t testing.TB, dir string) *Archive {
	t.Helper()
	a, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func body(t testing.TB, a *Archive, c survey.Capture) string {
	t.Helper()
	r, err := a.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Payload.Close()
	b, err := io.ReadAll(r.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// DESIGN section 5: what is put comes back, while written and when sealed; equal bodies become revisits within the epoch,
// also of an earlier run, and no revisit refers to a revisit.
func TestPutAndOpen(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	put := must[survey.Capture](t)
	var captures []survey.Capture
	for run := range 2 {
		a := writer(t, dir, Options{Run: survey.RunID(fmt.Sprintf("run%d", run)), UserAgent: "mirrorwatch"})
		for _, host := range []string{"a.test", "b.test", "c.test"} {
			captures = append(captures, put(a.Put(ctx, exchange(t, "https://"+host+"/x?b=1#frag", page("<p>same body</p>")))))
		}
		if got := body(t, a, captures[len(captures)-1]); got != "<p>same body</p>" {
			t.Errorf("open file: got %q", got)
		}
		if _, err := a.Find(ctx, "https://b.test/x?b=1", testTime, true); run == 0 && !errors.Is(err, ErrNotFound) {
			t.Errorf("found before it was committed: %v", err)
		}
		if err := a.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		r := reader(t, dir)
		if c := put(r.Find(ctx, "https://b.test/x?b=1", testTime, true)); body(t, r, c) != "<p>same body</p>" {
			t.Error("reader does not see what was committed")
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := reader(t, dir)
	for i, c := range captures {
		if c.Revisit != (i > 0) {
			t.Errorf("capture %d: revisit is %v", i, c.Revisit)
		}
		if got := body(t, r, c); got != "<p>same body</p>" {
			t.Errorf("capture %d: got %q", i, got)
		}
		res := put2(t)(r.Open(ctx, c))
		if res.Head.Get("X-Lower") != "1" {
			t.Errorf("capture %d: head %v", i, res.Head)
		}
		if i > 0 && (res.Original == nil || res.Original.RecordID != captures[0].RecordID) {
			t.Errorf("capture %d: original %v", i, res.Original)
		}
		res.Payload.Close()
	}
	if _, err := os.Stat(filepath.Join(dir, "archive", "202611-run0-00001.warc.gz")); err != nil {
		t.Error(err)
	}
	sums, _ := readManifest(filepath.Join(dir, manifestFile))
	if len(sums) != 2 {
		t.Errorf("manifest: %v", sums)
	}
	for name, sum := range sums {
		if got, _ := fileSum(filepath.Join(dir, "archive", name)); got != sum {
			t.Errorf("%s: %s, manifest says %s", name, got, sum)
		}
	}
}

func put2(t testing.TB) func(*Resource, error) *Resource { return must[*Resource](t) }

// records reads a WARC of the archive with all checks.
func records(t testing.TB, path string) (headers []warc.Header, blocks []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := warc.NewReader(f, warc.ReaderOptions{Digests: true})
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(rec.Block)
		rec.Close()
		headers, blocks = append(headers, rec.Header.Clone()), append(blocks, string(b))
	}
	for _, f := range r.Findings() {
		t.Errorf("%s: %v", path, f)
	}
	return headers, blocks
}

// What a record holds: archive-formats W5 to W13, V1, V4, P1, P2, issue 4 point 1.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	a := writer(t, dir, Options{Run: "r1", UserAgent: "mirrorwatch"})

	whole := exchange(t, "https://a.test/", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+page("hello"))
	whole.Response = blob{bytes.NewReader([]byte("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + page("hello") + "SURPLUS"))}
	whole.TLS = &survey.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: true, Chain: [][]byte{{1, 2, 3}}}
	whole.Lookups = []survey.Lookup{{Engine: "udp", Server: "9.9.9.9:53", Name: "a.test", Type: "A", RCode: "NOERROR",
		Answers: []survey.Answer{{Type: "A", Data: "127.0.0.1", TTL: 60}}, Raw: [][]byte{{7}}, At: testTime}}
	whole.Masked = []string{"Authorization"}

	cut := exchange(t, "http://a.test/cut", page("hello"))
	cut.Complete, cut.Truncated, cut.Outcome = false, "disconnect", survey.BodyTruncatedTransport
	proxied := exchange(t, "http://a.test/p", page("other"))
	proxied.Via = "socks5://127.0.0.1:9050"
	bad := exchange(t, "https://a.test/bad", page("hello"))
	bad.TLS = &survey.TLS{Version: "TLS 1.2", Verified: false, Problem: "expired"}
	failed := exchange(t, "http://a.test/refused", "")
	failed.Request = nil
	empty := exchange(t, "http://a.test/empty", page(""))
	missing := exchange(t, "http://a.test/404", strings.Replace(page("hello"), "200 OK", "404 Not Found", 1))
	garbage := exchange(t, "http://a.test/garbage", page("x"))
	garbage.Response, garbage.Head, garbage.Status, garbage.FramedEnd = blob{bytes.NewReader([]byte("SSH-2.0-x\r\n"))}, survey.Span{}, 0, 0
	garbage.Header, garbage.BlockDigest, garbage.PayloadDigest, garbage.Complete = nil, "", "", false

	for _, e := range []*survey.Exchange{whole, cut, proxied, bad, failed, empty, missing, garbage} {
		if c, err := a.Put(ctx, e); err != nil {
			t.Fatalf("%s: %v", e.URL, err)
		} else if c.Revisit {
			t.Errorf("%s became a revisit", e.URL)
		} else if c.RecordID != e.ID {
			t.Errorf("%s: capture %s, exchange %s", e.URL, c.RecordID, e.ID)
		}
	}
	again := exchange(t, "https://b.test/", page("hello"))
	if c, err := a.Put(ctx, again); err != nil || !c.Revisit {
		t.Errorf("no revisit: %v %v", c, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	headers, blocks := records(t, filepath.Join(dir, "archive", "202611-r1-00001.warc.gz"))
	if headers[0].Type() != warc.Warcinfo || headers[0].Get(warc.FieldFilename) != "202611-r1-00001.warc.gz" {
		t.Errorf("first record: %v", headers[0].String())
	}
	find := func(uri, typ string) (h *warc.Header, block string) {
		for i := range headers {
			if headers[i].TargetURI() == uri && headers[i].Type() == typ {
				return &headers[i], blocks[i]
			}
		}
		t.Fatalf("no %s record of %s", typ, uri)
		return nil, ""
	}
	for i := range headers[1:] {
		if headers[i+1].Get(warc.FieldWarcinfoID) != headers[0].Get(warc.FieldRecordID) {
			t.Errorf("record %d names another warcinfo", i+1)
		}
		if headers[i+1].Type() == warc.Request && !strings.Contains("response revisit metadata", headers[i].Type()) {
			t.Errorf("request %d does not follow its response", i+1)
		}
	}
	h, block := find("https://a.test/", warc.Response)
	if block != page("hello") {
		t.Errorf("response block %q", block)
	}
	if h.Get(warc.FieldIPAddress) != "127.0.0.1" || strings.Join(h.Values(warc.FieldProtocol), " ") != "http/1.1 tls/1.3" ||
		h.Get(warc.FieldCipherSuite) != "TLS_AES_128_GCM_SHA256" || h.Get(warc.FieldDate) != "2026-11-25T03:17:00.123Z" {
		t.Errorf("response head:\n%s", h.String())
	}
	_, block = find("https://a.test/", warc.Metadata)
	var n exchangeNote
	if err := json.Unmarshal([]byte(block), &n); err != nil {
		t.Fatal(err)
	}
	if string(n.Interim.Base64) != "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" || string(n.Surplus.Base64) != "SURPLUS" ||
		len(n.TLS.Chain) != 1 || n.DNS[0].Raw[0][0] != 7 || n.Response != whole.ID || n.Masked[0] != "Authorization" {
		t.Errorf("exchange note: %s", block)
	}
	h, block = find("dns:a.test", warc.Resource)
	if h.Get(warc.FieldContentType) != "text/dns" || !strings.Contains(block, "a.test.\t60\tIN\tA\t127.0.0.1") {
		t.Errorf("dns record: %s%s", h.String(), block)
	}
	if h, _ = find("http://a.test/cut", warc.Response); h.Get(warc.FieldTruncated) != "disconnect" {
		t.Errorf("cut response: %s", h.String())
	}
	if h, _ = find("http://a.test/p", warc.Response); h.Has(warc.FieldIPAddress) {
		t.Error("behind a proxy the address is the proxy's")
	}
	if h, _ = find("http://a.test/refused", warc.Metadata); h.ID() != string(failed.ID) {
		t.Error("the capture of a failed exchange is its metadata record")
	}
	if _, block = find("http://a.test/garbage", warc.Response); block != "SSH-2.0-x\r\n" {
		t.Errorf("garbage block %q", block)
	}
	h, block = find("https://b.test/", warc.Revisit)
	if h.Get(warc.FieldRefersTo) != warc.Angle(string(whole.ID)) || h.Get(warc.FieldRefersToURI) != "https://a.test/" ||
		h.Get(warc.FieldRefersToDate) != "2026-11-25T03:17:00.123Z" || h.Get(warc.FieldTruncated) != "length" ||
		h.Get(warc.FieldPayloadDigest) != string(whole.PayloadDigest) || block != strings.TrimSuffix(page("hello"), "hello") {
		t.Errorf("revisit: %s%q", h.String(), block)
	}

	// The same index comes out of the records.
	index := filepath.Join(dir, "indexes", "202611-r1-00001.cdxj")
	want, _ := os.ReadFile(index)
	wantDigests, _ := os.ReadFile(strings.TrimSuffix(index, ".cdxj") + ".digests")
	os.Remove(index)
	a = writer(t, dir, Options{Run: "r2"})
	a.Close()
	got, _ := os.ReadFile(index)
	gotDigests, _ := os.ReadFile(strings.TrimSuffix(index, ".cdxj") + ".digests")
	if !bytes.Equal(got, want) || !bytes.Equal(gotDigests, wantDigests) {
		t.Errorf("index made again differs:\n%s\nwas\n%s\ndigests\n%s\nwas\n%s", got, want, gotDigests, wantDigests)
	}
}

// Two equal bodies at once: one whole record, whoever comes first (DESIGN section 4).
func TestConcurrentEqualBodies(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	whole := 0
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range 20 {
		e := exchange(t, fmt.Sprintf("http://m%d.test/", i), page(strings.Repeat("equal ", 1000)))
		group.Go(func() {
			c, err := a.Put(context.Background(), e)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !c.Revisit {
				whole++
			}
		})
	}
	group.Wait()
	if whole != 1 {
		t.Errorf("%d whole records", whole)
	}
}

func TestLockAndFormat(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	var locked *LockedError
	if _, err := Open(dir, Options{}); !errors.As(err, &locked) || !strings.Contains(locked.Holder, fmt.Sprint(os.Getpid())) {
		t.Errorf("second writer: %v", err)
	}
	a.Close()
	os.WriteFile(filepath.Join(dir, "format"), []byte("99\n"), 0o666)
	for _, ro := range []bool{false, true} {
		if _, err := Open(dir, Options{ReadOnly: ro}); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("newer format, read-only %v: %v", ro, err)
		}
	}
	if _, err := Open(t.TempDir(), Options{ReadOnly: true}); err == nil {
		t.Error("an empty folder opened for reading")
	}
}

func snapshot(t testing.TB, a *Archive, article string, mirror survey.Host, at time.Time, page survey.Capture, reqs ...survey.Requisite) survey.Snapshot {
	t.Helper()
	s := survey.Snapshot{ID: page.RecordID, Run: a.Run(), Article: survey.Article{Site: "s", URL: article}, Mirror: mirror, Vantage: "direct",
		URL: page.URL, Time: at, Page: page, Requisites: reqs}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Note(t.Context(), survey.Note{Kind: survey.NoteSnapshot, URI: page.URL, Date: at, About: page.RecordID, Body: b}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshots(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	a := writer(t, dir, Options{Run: "r"})
	for i, host := range []survey.Host{"a.test", "b.test", "a.test"} {
		c := must[survey.Capture](t)(a.Put(ctx, exchange(t, "https://"+string(host)+"/art", page(fmt.Sprint("body", i)))))
		snapshot(t, a, "https://a.test/art", host, testTime.Add(time.Duration(i)*time.Hour), c)
	}
	if _, err := a.Note(ctx, survey.Note{Kind: survey.NoteCheck, URI: "urn:mirrorwatch:check:1", Date: testTime, Body: []byte(`{"x":1}`)}); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	r := reader(t, dir)
	for _, step := range []string{"open", "sealed"} {
		for _, test := range []struct {
			q    Query
			want int
		}{
			{Query{}, 3}, {Query{Article: "https://a.test/art"}, 3}, {Query{URL: "https://b.test/art"}, 1},
			{Query{Article: "https://a.test/art", Mirror: "a.test"}, 2}, {Query{Article: "https://a.test/art", Limit: 1}, 1},
			{Query{Article: "http://a.test/art"}, 0}, {Query{Vantage: "tor"}, 0},
			{Query{From: testTime.Add(time.Hour), To: testTime.Add(time.Hour)}, 1},
		} {
			got, err := r.Snapshots(ctx, test.q)
			if err != nil || len(got) != test.want {
				t.Errorf("%s: %+v: %d snapshots, want %d (%v)", step, test.q, len(got), test.want, err)
			}
			for i := 1; i < len(got); i++ {
				if got[i].Time.After(got[i-1].Time) {
					t.Errorf("%+v: not newest first", test.q)
				}
			}
		}
		n := 0
		if err := r.Notes(ctx, survey.NoteCheck, func(survey.Note, survey.Capture) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("%d check notes, %v", n, err)
		}
		a.Close()
	}
	if !exists(filepath.Join(dir, "archive", "runs-202611-r.warc.gz")) {
		t.Error("checks stand in a series of their own")
	}
}
