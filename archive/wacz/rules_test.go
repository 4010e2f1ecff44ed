package wacz

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/archive/cdxj"
)

// repack rebuilds a package entry by entry; change gets each one's name and content and says how it is stored. Content nil
// leaves the entry out.
func repack(t testing.TB, b []byte, change func(name string, content []byte) ([]byte, uint16)) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content, method := change(f.Name, content)
		if content == nil {
			continue
		}
		e, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: method})
		if err == nil {
			_, err = e.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func has(found []Finding, path, kind string) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Path == path && f.Kind == kind })
}

// TestRulesOfReading: what breaks a rule of WACZ 1.1.1 is a finding (Z1 to Z4, Z7), and so is a planted error behind each
// check of ours (Z10: a validator of others has checks that never fire).
func TestRulesOfReading(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	p := sample(3)
	p.Sign = key
	good := pack(t, p)
	for _, tc := range []struct {
		name       string
		change     func(name string, content []byte) ([]byte, uint16)
		path, kind string
	}{
		{"Z1 no page list", func(n string, b []byte) ([]byte, uint16) {
			if n == "pages/pages.jsonl" {
				return nil, 0
			}
			return b, zip.Store
		}, "pages/pages.jsonl", "missing"},
		{"Z2 length", func(n string, b []byte) ([]byte, uint16) {
			if n == "archive/a.warc.gz" {
				b = append(b, "more"...)
			}
			return b, zip.Store
		}, "archive/a.warc.gz", "length"},
		{"Z2 shorter", func(n string, b []byte) ([]byte, uint16) {
			if n == "archive/a.warc.gz" {
				b = b[1:]
			}
			return b, zip.Store
		}, "archive/a.warc.gz", "length"},
		{"Z2 hash", func(n string, b []byte) ([]byte, uint16) {
			if n == "indexes/index.cdx" {
				b = bytes.Replace(b, []byte("200"), []byte("404"), 1)
			}
			return b, zip.Store
		}, "indexes/index.cdx", "digest"},
		{"Z2 profile of the draft", func(n string, b []byte) ([]byte, uint16) {
			if n == "datapackage.json" {
				b = bytes.Replace(b, []byte("data-package"), []byte("wacz"), 1)
			}
			return b, zip.Store
		}, "datapackage.json", "profile"},
		{"Z3 digest of the descriptor", func(n string, b []byte) ([]byte, uint16) {
			if n == "datapackage.json" {
				b = append(b, '\n')
			}
			return b, zip.Store
		}, "datapackage-digest.json", "digest"},
		{"Z3 no digest", func(n string, b []byte) ([]byte, uint16) {
			if n == "datapackage-digest.json" {
				return nil, 0
			}
			return b, zip.Store
		}, "datapackage-digest.json", "missing"},
		{"Z5 deflated WARC", func(n string, b []byte) ([]byte, uint16) {
			if strings.HasPrefix(n, "archive/") {
				return b, zip.Deflate
			}
			return b, zip.Store
		}, "archive/a.warc.gz", "compressed"},
		{"Z9 signature of another hash", func(n string, b []byte) ([]byte, uint16) {
			if n == "datapackage-digest.json" {
				i := bytes.Index(b, []byte(`"signature": "`)) + len(`"signature": "`)
				b[i+3], b[i+4] = 'A', 'B'
			}
			return b, zip.Store
		}, "datapackage-digest.json", "signature"},
		{"Z9 domain form", func(n string, b []byte) ([]byte, uint16) {
			if n == "datapackage-digest.json" {
				b = bytes.Replace(b, []byte(`"publicKey"`), []byte(`"domain"`), 1)
			}
			return b, zip.Store
		}, "datapackage-digest.json", "not-checked"},
	} {
		r := open(t, repack(t, good, tc.change))
		if found := r.Verify(); !has(found, tc.path, tc.kind) {
			t.Errorf("%s: findings %v", tc.name, found)
		}
	}
	if found := open(t, repack(t, good, func(_ string, b []byte) ([]byte, uint16) { return b, zip.Store })).Verify(); len(found) > 0 {
		t.Errorf("packed anew without a change: %v", found)
	}
}

// Z1, Z2: what other software puts beside is listed or a finding; Z4: extra pages are read; Z2: either spelling of the main page.
func TestPackagesOfOthers(t *testing.T) {
	b := repack(t, pack(t, sample(3)), func(n string, b []byte) ([]byte, uint16) {
		if n == "datapackage.json" {
			b = bytes.Replace(b, []byte("mainPageUrl"), []byte("mainPageURL"), 1)
		}
		return b, zip.Deflate
	})
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if err := w.Copy(f); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"archive/readme.txt":     "hello",
		"pages/extraPages.jsonl": `{"format":"json-pages-1.0","id":"extra","title":"x"}` + "\n" + `{"id":"2","url":"https://www.example.org/b","ts":"2026-01-02T03:04:05.678Z"}` + "\n{\n",
	} {
		e, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(e, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, out.Bytes())
	if r.MainPage != "https://www.example.org/a" {
		t.Errorf("main page %q", r.MainPage)
	}
	pages := r.Pages()
	if len(pages) != 2 || pages[1].URL != "https://www.example.org/b" || !has(r.Findings, "pages/extraPages.jsonl", "malformed") {
		t.Errorf("pages %v, findings %v", pages, r.Findings)
	}
	found := r.Verify()
	if !has(found, "archive/readme.txt", "not-a-warc") || !has(found, "archive/readme.txt", "not-listed") {
		t.Errorf("findings %v", found)
	}
}

// TestRulesOfWriting holds what is packed to Z1, Z2, Z4, Z5, Z8, and refuses what would break them.
func TestRulesOfWriting(t *testing.T) {
	p := sample(3)
	p.WARCs[0].Name = "Artikel-ü.warc.gz"
	lines := indexOf(3)
	p.Index = func(yield func(cdxj.Line, error) bool) {
		for l := range lines {
			l.Filename = "Artikel-ü.warc.gz"
			if !yield(l, nil) {
				return
			}
		}
	}
	b := pack(t, p)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if f := z.File[0]; f.Flags&0x800 == 0 || f.NonUTF8 || f.Name != "archive/Artikel-ü.warc.gz" {
		t.Errorf("Z5: the name %q has flags %x", f.Name, f.Flags)
	}
	var d struct {
		Profile      string
		WACZVersion  string `json:"wacz_version"`
		Created      string
		Modified     string
		Software     string
		MainPageURL  string `json:"mainPageUrl"`
		MainPageDate string
		Resources    []struct {
			Name, Path, Hash string
			Bytes            int64
		}
	}
	doc, err := open(t, b).document("datapackage.json")
	if err == nil {
		err = json.Unmarshal(doc, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d.Profile != "data-package" || d.WACZVersion != "1.1.1" || d.Created == "" || d.Modified == "" || d.Software == "" ||
		d.MainPageURL != "https://www.example.org/a" || d.MainPageDate != "2026-01-02T03:04:05Z" {
		t.Errorf("Z2: %+v", d)
	}
	for _, r := range d.Resources {
		if r.Name != strings.ToLower(r.Name) || !strings.HasPrefix(r.Hash, "sha256:") || len(r.Hash) != 71 || r.Path == "" {
			t.Errorf("Z2: resource %+v", r)
		}
	}
	list, err := open(t, b).document("pages/pages.jsonl")
	if err != nil || !bytes.HasPrefix(list, []byte(`{"format":"json-pages-1.0","id":"pages","title":`)) || !bytes.Contains(list, []byte(`"ts":"2026-01-02T03:04:05Z"`)) {
		t.Errorf("Z4: %v, %s", err, list)
	}

	refused := func(name string, change func(*Package)) {
		p := sample(3)
		change(&p)
		if err := Write(io.Discard, p); err == nil {
			t.Errorf("%s was packed", name)
		}
	}
	refused("Z1: no WARC", func(p *Package) { p.WARCs[0].Name = "a.txt" })
	refused("Z2, Z8: names that differ in case only", func(p *Package) {
		p.WARCs = append(p.WARCs, p.WARCs[0])
		p.WARCs[1].Name = "A.warc.gz"
	})
	refused("Z5: a name that is not UTF-8", func(p *Package) { p.WARCs[0].Name = "\xff.warc.gz" })
	refused("Z8: an index of another file", func(p *Package) { p.WARCs[0].Name = "b.warc.gz" })
	refused("C1: an index out of order", func(p *Package) { p.Index = reversed(p.Index) })
	refused("an index that fails", func(p *Package) {
		p.Index = func(yield func(cdxj.Line, error) bool) { yield(cdxj.Line{}, errors.New("disk")) }
	})
	refused("a WARC that changes meanwhile", func(p *Package) {
		n := 0
		p.WARCs[0].Open = func() (io.ReadCloser, error) {
			n++
			return io.NopCloser(strings.NewReader(strings.Repeat("x", n))), nil
		}
	})
}

func reversed(s iter.Seq2[cdxj.Line, error]) iter.Seq2[cdxj.Line, error] {
	var lines []cdxj.Line
	for l := range s {
		lines = append(lines, l)
	}
	slices.Reverse(lines)
	return func(yield func(cdxj.Line, error) bool) {
		for _, l := range lines {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// TestBombs: what inflates without end, or is many times the same octets, ends as a finding and not as work.
func TestBombs(t *testing.T) {
	bound := maxInflated
	maxInflated = 1 << 20
	defer func() { maxInflated = bound }()
	bomb := func(entries, size int) []byte {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		var resources []string
		for i := range entries {
			name := fmt.Sprintf("archive/%d.warc", i)
			e, err := w.Create(name)
			if err == nil {
				_, err = e.Write(make([]byte, size))
			}
			if err != nil {
				t.Fatal(err)
			}
			resources = append(resources, fmt.Sprintf(`{"path":%q,"hash":"sha256:0","bytes":9000000000000000000}`, name))
		}
		e, err := w.CreateHeader(&zip.FileHeader{Name: "datapackage.json"})
		if err == nil {
			_, err = io.WriteString(e, `{"profile":"data-package","resources":[`+strings.Join(resources, ",")+"]}")
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	if found := open(t, bomb(1, 2<<20)); !has(found.Findings, "archive/0.warc", "inflates") || len(found.WARCs()) > 0 {
		t.Errorf("one entry over the bound: %v", found.Findings)
	}
	r := open(t, bomb(3, 600<<10))
	if found := r.Verify(); !has(found, "archive/1.warc", "inflates") || !has(found, "archive/2.warc", "inflates") {
		t.Errorf("entries over the bound together: %v", found)
	}
	rc, err := r.OpenWARC("2.warc")
	if err == nil {
		_, err = io.Copy(io.Discard, rc)
	}
	if !errors.Is(err, ErrInflated) {
		t.Errorf("reading on behind the bound: %v", err)
	}

	// An entry that becomes longer than its directory says.
	b := bomb(1, 500<<10)
	i := bytes.Index(b, []byte("PK\x01\x02"))
	b[i+24], b[i+25], b[i+26] = 10, 0, 0 // uncompressed size
	found := open(t, b).Verify()
	if !has(found, "archive/0.warc", "inflates") && !has(found, "archive/0.warc", "damaged") {
		t.Errorf("longer than the directory says: %v", found)
	}

	// Many entries of the same octets.
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	e, err := w.CreateHeader(&zip.FileHeader{Name: "archive/0.warc"})
	if err == nil {
		_, err = e.Write(make([]byte, 100_000))
	}
	for i := range 9 {
		if err == nil {
			_, err = w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("archive/%d.warc", i+1)})
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b = out.Bytes()
	at := bytes.Index(b, []byte("PK\x01\x02"))
	for next := at; ; {
		k := bytes.Index(b[next+4:], []byte("PK\x01\x02"))
		if k < 0 {
			break
		}
		next += 4 + k
		copy(b[next+16:next+28], b[at+16:at+28]) // checksum and sizes
		copy(b[next+42:next+46], b[at+42:at+46]) // offset
	}
	o := open(t, b)
	if !has(o.Findings, "archive/1.warc", "overlap") || len(o.WARCs()) != 1 {
		t.Errorf("entries that overlap: %v, %v", o.WARCs(), o.Findings)
	}
}
