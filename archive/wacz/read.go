package wacz

import (
	"archive/zip"
	"bufio"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// Bounds of what is read from a file made by somebody else.
const (
	maxEntries  = 100_000
	maxDocument = 64 << 20 // octets of datapackage.json or of a page list
	maxLine     = 16 << 20
)

// maxInflated bounds what the deflated entries of one package may become together: players read WARCs that are stored, so
// that honest packages deflate page lists and indexes only. A variable for tests.
var maxInflated int64 = 8 << 30

// ErrInflated is an entry that becomes longer than it may: longer than the directory says, or more than maxInflated.
var ErrInflated = errors.New("wacz: the entry inflates beyond its bound")

// Finding is something wrong with a file; the rest of it can still be read.
type Finding struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func (f Finding) String() string { return f.Path + ": " + f.Kind + ": " + f.Message }

// Reader reads a WACZ.
type Reader struct {
	Title    string
	Version  string
	MainPage string // py-wacz spells its member otherwise; both are read
	Findings []Finding
	files    map[string]*zip.File
	order    []string
	data     descriptor
	inflated int64 // octets that came out of deflated entries so far
}

// Open reads the directory and the descriptor of a file of the given size. Names that leave the file's own folders,
// duplicates and encrypted entries are findings, and those entries cannot be reached.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	zr, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("reading the ZIP directory: %w", err)
	}
	x := &Reader{files: map[string]*zip.File{}}
	if len(zr.File) > maxEntries {
		return nil, fmt.Errorf("reading the ZIP directory: %d entries are more than %d", len(zr.File), maxEntries)
	}
	used := uint64(0)
	for _, f := range zr.File {
		switch {
		case strings.HasSuffix(f.Name, "/"):
		case !safePath(f.Name):
			x.find(f.Name, "unsafe-name", "the name leaves the package; the entry is left out")
		case x.files[f.Name] != nil:
			x.find(f.Name, "duplicate-name", "a second entry of this name is left out")
		case f.Flags&1 != 0:
			x.find(f.Name, "encrypted", "the entry is encrypted and left out")
		case f.CompressedSize64 > uint64(size):
			x.find(f.Name, "length", "the entry is longer than the file")
		case used+f.CompressedSize64 > uint64(size):
			// One octet of the file in several entries is how a small file becomes endless work.
			x.find(f.Name, "overlap", "the entries are longer than the file together; this one is left out")
		case f.UncompressedSize64 > uint64(maxInflated) && f.Method != zip.Store:
			x.find(f.Name, "inflates", fmt.Sprintf("the entry says it inflates to %d octets; it is left out", f.UncompressedSize64))
		default:
			used += f.CompressedSize64
			x.files[f.Name] = f
			x.order = append(x.order, f.Name)
		}
	}
	doc, err := x.document("datapackage.json")
	if err != nil {
		x.find("datapackage.json", "missing", err.Error())
		return x, nil
	}
	if err := json.Unmarshal(doc, &x.data); err != nil {
		x.find("datapackage.json", "malformed", err.Error())
		return x, nil
	}
	x.Title, x.Version, x.MainPage = x.data.Title, x.data.WACZVersion, x.data.MainPageURL
	return x, nil
}

func (x *Reader) find(path, kind, message string) {
	if len(x.Findings) < 1000 {
		x.Findings = append(x.Findings, Finding{path, kind, message})
	}
}

func safePath(name string) bool {
	if name == "" || len(name) > 1000 {
		return false
	}
	for _, s := range strings.Split(name, "/") {
		if !plainName(s) {
			return false
		}
	}
	return true
}

// open opens an entry. What a deflated one becomes is bounded by its size in the directory and by maxInflated.
func (x *Reader) open(f *zip.File) (io.ReadCloser, error) {
	r, err := f.Open()
	if err != nil || f.Method == zip.Store {
		return r, err
	}
	return &inflating{ReadCloser: r, x: x, left: int64(f.UncompressedSize64)}, nil // Open saw that it is no more than maxInflated
}

type inflating struct {
	io.ReadCloser
	x    *Reader
	left int64
}

func (i *inflating) Read(p []byte) (int, error) {
	n, err := i.ReadCloser.Read(p)
	i.left -= int64(n)
	i.x.inflated += int64(n)
	if i.left < 0 || i.x.inflated > maxInflated {
		return 0, ErrInflated
	}
	return n, err
}

func (x *Reader) document(name string) ([]byte, error) {
	f := x.files[name]
	if f == nil {
		return nil, errors.New("there is no such entry")
	}
	r, err := x.open(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		err = fmt.Errorf("longer than %d octets", maxDocument)
	}
	return b, err
}

// WARCs returns the names of the WARC files, in the order of the directory.
func (x *Reader) WARCs() []string {
	var names []string
	for _, n := range x.order {
		rest, ok := strings.CutPrefix(n, "archive/")
		if ok && isWARC(rest) {
			names = append(names, rest)
		}
	}
	return names
}

func isWARC(name string) bool {
	return !strings.Contains(name, "/") && (strings.HasSuffix(name, ".warc") || strings.HasSuffix(name, ".warc.gz") || strings.HasSuffix(name, ".warc.zst") ||
		strings.HasSuffix(name, ".arc") || strings.HasSuffix(name, ".arc.gz"))
}

// OpenWARC opens one of WARCs; whoever calls closes it.
func (x *Reader) OpenWARC(name string) (io.ReadCloser, error) {
	f := x.files["archive/"+name]
	if f == nil {
		return nil, fmt.Errorf("opening %q: there is no such WARC in the package", name)
	}
	return x.open(f)
}

// Pages returns the entries of pages.jsonl, then those of extraPages.jsonl when there is one. A line that cannot be read
// is a finding.
func (x *Reader) Pages() []Page {
	pages := x.pages("pages/pages.jsonl", nil)
	if x.files["pages/extraPages.jsonl"] != nil {
		pages = x.pages("pages/extraPages.jsonl", pages)
	}
	return pages
}

func (x *Reader) pages(name string, pages []Page) []Page {
	f := x.files[name]
	if f == nil {
		x.find(name, "missing", "there is no page list")
		return pages
	}
	r, err := x.open(f)
	if err != nil {
		x.find(name, "damaged", err.Error())
		return pages
	}
	defer r.Close()
	s := bufio.NewScanner(io.LimitReader(r, maxDocument))
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		var l pageLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			x.find(name, "malformed", fmt.Sprintf("line %d: %v", n, err))
			continue
		}
		if n == 1 && l.URL == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, l.TS)
		if err != nil {
			x.find(name, "malformed", fmt.Sprintf("line %d: ts %q", n, l.TS))
		}
		pages = append(pages, Page{ID: l.ID, URL: l.URL, Time: t.UTC(), Title: l.Title, Text: l.Text})
	}
	if err := s.Err(); err != nil {
		x.find(name, "damaged", err.Error())
	}
	return pages
}

// Verify checks every entry against the descriptor, the descriptor against its digest, and the signature when there is
// one. It returns what it found besides what Open found.
func (x *Reader) Verify() []Finding {
	before := len(x.Findings)
	listed := map[string]bool{"datapackage.json": true, "datapackage-digest.json": true}
	for _, r := range x.data.Resources {
		if listed[r.Path] {
			x.find(r.Path, "duplicate-resource", "listed twice")
			continue
		}
		listed[r.Path] = true
		f := x.files[r.Path]
		if f == nil {
			x.find(r.Path, "missing", "listed, but not in the package")
			continue
		}
		if strings.HasPrefix(r.Path, "archive/") && f.Method != zip.Store {
			x.find(r.Path, "compressed", "a WARC must be stored, or players cannot read records by range")
		}
		sum := sha256.New()
		rd, err := x.open(f)
		var n int64
		if err == nil {
			// One octet more than the descriptor says is enough to know that it is wrong.
			n, err = io.Copy(sum, io.LimitReader(rd, min(max(r.Bytes, 0), 1<<62)+1))
			_ = rd.Close()
		}
		switch got := hex.EncodeToString(sum.Sum(nil)); {
		case errors.Is(err, ErrInflated):
			x.find(r.Path, "inflates", "the entry inflates beyond what the directory says or a package may hold")
		case err != nil:
			x.find(r.Path, "damaged", err.Error())
		case n > r.Bytes:
			x.find(r.Path, "length", fmt.Sprintf("more than the %d octets that the descriptor says", r.Bytes))
		case n != r.Bytes:
			x.find(r.Path, "length", fmt.Sprintf("%d octets, the descriptor says %d", n, r.Bytes))
		case !strings.HasPrefix(r.Hash, "sha256:"):
			x.find(r.Path, "not-checked", "hash "+r.Hash+" is of another algorithm")
		case r.Hash != "sha256:"+got:
			x.find(r.Path, "digest", "sha256:"+got+", the descriptor says "+r.Hash)
		}
	}
	for _, n := range x.order {
		if !listed[n] {
			x.find(n, "not-listed", "in the package, but not in the descriptor")
		}
		if strings.HasPrefix(n, "archive/") && !isWARC(strings.TrimPrefix(n, "archive/")) {
			x.find(n, "not-a-warc", "archive/ is for WARC files alone")
		}
	}
	if len(x.data.Resources) > 0 && x.data.Profile != "data-package" {
		x.find("datapackage.json", "profile", fmt.Sprintf("%q: players load data-package only", x.data.Profile))
	}
	if x.files["pages/pages.jsonl"] == nil {
		x.find("pages/pages.jsonl", "missing", "without a page list players open a page by its address only")
	}
	x.verifyDigest()
	return x.Findings[before:]
}

func (x *Reader) verifyDigest() {
	const name = "datapackage-digest.json"
	doc, err := x.document("datapackage.json")
	if err != nil {
		return // Open said so
	}
	b, err := x.document(name)
	if err != nil {
		x.find(name, "missing", err.Error())
		return
	}
	var d digestDoc
	if err := json.Unmarshal(b, &d); err != nil {
		x.find(name, "malformed", err.Error())
		return
	}
	if got := hashOf(doc); d.Hash != got {
		x.find(name, "digest", "datapackage.json is "+got+", the digest says "+d.Hash)
	}
	switch {
	case d.SignedData == nil:
	case d.SignedData.PublicKey == "":
		x.find(name, "not-checked", "the signature is of a domain, which needs its certificates checked")
	default:
		if err := verifySignature(d.SignedData, d.Hash); err != nil {
			x.find(name, "signature", err.Error())
		}
	}
}

func verifySignature(s *signedData, hash string) error {
	if s.Hash != hash {
		return errors.New("the signature is of another hash")
	}
	der, err := base64.StdEncoding.DecodeString(s.PublicKey)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	key, ok := k.(*ecdsa.PublicKey)
	if !ok {
		return errors.New("public key: no ECDSA key")
	}
	raw, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil || len(raw)%2 != 0 || len(raw) == 0 {
		return errors.New("the signature is no pair of numbers")
	}
	half := len(raw) / 2
	sum := sha256.Sum256([]byte(hash))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])) {
		return errors.New("the signature does not fit the hash and the key")
	}
	return nil
}
