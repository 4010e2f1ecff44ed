package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// Issue 4 points 1 and 2: a certificate chain stands in the archive with every verdict, and else once a session and epoch:
// the other exchanges of it say where. Another chain, and another epoch, has its own.
func TestChainOnce(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	one, two := [][]byte{bytes.Repeat([]byte("leaf"), 100), []byte("root")}, [][]byte{[]byte("other leaf"), []byte("root")}
	var ids []survey.RecordID
	for i, c := range []struct {
		chain   [][]byte
		purpose survey.Purpose
		months  int
		in      int // the exchange that holds the chain; -1: this one
	}{
		{one, survey.ForVerdict, 0, -1}, {one, survey.ForLink, 0, 0}, {one, survey.ForVerdict, 0, -1}, {two, survey.ForLink, 0, -1}, {two, survey.ForLink, 0, 3},
		{one, survey.ForLink, 0, 0}, {one, survey.ForLink, 1, -1}, {one, survey.ForLink, 1, 6},
	} {
		e := exchange(t, fmt.Sprintf("https://a.test/%d", i), page(fmt.Sprint("body ", i)))
		e.Started, e.Probe.Purpose = testTime.AddDate(0, c.months, 0), c.purpose
		e.TLS = &survey.TLS{Version: "TLS 1.3", Verified: true, SHA256: "ab", Chain: c.chain}
		got := must[survey.Capture](t)(a.Put(t.Context(), e))
		ids = append(ids, got.RecordID)
		f, members, err := a.group(t.Context(), got)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, m := range members {
			rec := must[*warc.Record](t)(warc.ReadRecordAt(f, m.offset, m.length))
			if rec.Header.Get(fieldSchema) != string(survey.NoteExchange) {
				continue
			}
			var n struct {
				TLS struct {
					SHA256  string          `json:"sha256"`
					Chain   [][]byte        `json:"chain"`
					ChainIn survey.RecordID `json:"chain_in"`
				} `json:"tls"`
			}
			if err := json.NewDecoder(rec.Block).Decode(&n); err != nil {
				t.Fatal(err)
			}
			found = true
			if n.TLS.SHA256 != "ab" {
				t.Errorf("%d: leaf's digest %q", i, n.TLS.SHA256)
			}
			if c.in < 0 && (len(n.TLS.Chain) != 2 || !bytes.Equal(n.TLS.Chain[0], c.chain[0]) || n.TLS.ChainIn != "") || c.in >= 0 && (n.TLS.Chain != nil || n.TLS.ChainIn != ids[c.in]) {
				t.Errorf("%d: %d certificates, in %q", i, len(n.TLS.Chain), n.TLS.ChainIn)
			}
		}
		_ = f.Close()
		if !found {
			t.Errorf("%d: no note among %d records", i, len(members))
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verifyOK(t, dir); r.Types["response"] != len(ids) {
		t.Errorf("%v", strings.TrimSpace(fmt.Sprint(r.Types)))
	}
}
