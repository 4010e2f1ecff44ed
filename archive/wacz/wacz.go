// Package wacz writes and reads WACZ 1.1.1, web archives in one ZIP file that a browser can replay.
//
// What is written follows the two layouts that both ReplayWeb.page and pywb's unpacker take: a small index as one plain
// indexes/index.cdx, a larger one as indexes/index.cdx.gz with indexes/index.idx. WARC files and everything compressed are
// stored, not deflated, so that players can read records by range; sizes stand in the local headers.
package wacz

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"mirrorwatch/archive/cdxj"
)

// Version is the wacz_version that is written.
const Version = "1.1.1"

const (
	plainIndexLimit = 1 << 20 // octets; larger indexes are written in compressed blocks
	blockLines      = 1024    // lines of a compressed block
)

// WARC is one WARC file to pack. Its name must be unique and without folder: pywb's unpacker goes by it.
type WARC struct {
	Name string
	// Open is called twice: for the digests, then for the octets.
	Open func() (io.ReadCloser, error)
}

// Page is one entry of pages.jsonl. Time must equal the page record's WARC-Date to the second, or players open another
// capture.
type Page struct {
	ID    string
	URL   string
	Time  time.Time
	Title string
	Text  string
}

// Package is what Write packs.
type Package struct {
	Title       string
	Description string
	Software    string
	Created     time.Time
	WARCs       []WARC
	// Index yields the index lines in order; Filename is the WARC's Name.
	Index iter.Seq2[cdxj.Line, error]
	Pages []Page
	// Sign, a P-384 key, adds the anonymous signature of wacz-auth 0.1.0; nil adds none.
	Sign *ecdsa.PrivateKey
	// Temp is the folder for the index while it is built; "" is the system's.
	Temp string
}

type resource struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Hash  string `json:"hash"`
	Bytes int64  `json:"bytes"`
}

type descriptor struct {
	Profile     string     `json:"profile"`
	WACZVersion string     `json:"wacz_version"`
	Title       string     `json:"title"`
	Description string     `json:"description,omitempty"`
	Created     string     `json:"created"`
	Modified    string     `json:"modified"`
	Software    string     `json:"software"`
	MainPageURL string     `json:"mainPageUrl,omitempty"`
	MainPageDay string     `json:"mainPageDate,omitempty"`
	Resources   []resource `json:"resources"`
}

type digestDoc struct {
	Path       string      `json:"path"`
	Hash       string      `json:"hash"`
	SignedData *signedData `json:"signedData,omitempty"`
}

type signedData struct {
	Hash      string `json:"hash"`
	Created   string `json:"created"`
	Software  string `json:"software"`
	Version   string `json:"version"`
	Signature string `json:"signature"`
	PublicKey string `json:"publicKey"`
}

// NewKey makes a key for Package.Sign.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }

// Write packs p into w. What was written when it fails is no WACZ.
func Write(w io.Writer, p Package) error {
	z := &packer{zip: zip.NewWriter(w)}
	seen := map[string]bool{}
	for _, f := range p.WARCs {
		// Resource names are lower case (Z2), so that names that differ in case only would be the same.
		if !plainName(f.Name) || !utf8.ValidString(f.Name) || seen[strings.ToLower(f.Name)] {
			return fmt.Errorf("packing %q: a WARC's name is one plain file name, once", f.Name)
		}
		if !strings.HasSuffix(f.Name, ".warc") && !strings.HasSuffix(f.Name, ".warc.gz") {
			return fmt.Errorf("packing %q: only .warc and .warc.gz belong into a package", f.Name)
		}
		seen[strings.ToLower(f.Name)] = true
		z.names = append(z.names, f.Name)
		if err := z.store("archive/"+f.Name, f.Open); err != nil {
			return err
		}
	}
	if err := z.index(p); err != nil {
		return err
	}
	if err := z.bytes("pages/pages.jsonl", pagesFile(p.Pages)); err != nil {
		return err
	}
	stamp := p.Created.UTC().Format(time.RFC3339)
	d := descriptor{Profile: "data-package", WACZVersion: Version, Title: p.Title, Description: p.Description, Created: stamp, Modified: stamp,
		Software: p.Software, Resources: z.resources}
	if d.Title == "" {
		d.Title = "web archive"
	}
	if len(p.Pages) > 0 {
		d.MainPageURL, d.MainPageDay = p.Pages[0].URL, p.Pages[0].Time.UTC().Format(time.RFC3339)
	}
	doc, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := z.bytes("datapackage.json", doc); err != nil {
		return err
	}
	dd := digestDoc{Path: "datapackage.json", Hash: hashOf(doc)}
	if p.Sign != nil {
		if dd.SignedData, err = sign(p.Sign, dd.Hash, stamp, p.Software); err != nil {
			return err
		}
	}
	digest, err := json.MarshalIndent(dd, "", "  ")
	if err != nil {
		return err
	}
	if err := z.bytes("datapackage-digest.json", digest); err != nil {
		return err
	}
	return z.zip.Close()
}

type packer struct {
	zip       *zip.Writer
	resources []resource
	names     []string // of the WARCs
}

// store adds an entry uncompressed with its size and checksum known before its octets, so that no data descriptor is
// needed.
func (z *packer) store(name string, open func() (io.ReadCloser, error)) error {
	crc, sum := crc32.NewIEEE(), sha256.New()
	n, err := copyFrom(io.MultiWriter(crc, sum), open)
	if err != nil {
		return fmt.Errorf("packing %q: %w", name, err)
	}
	h := &zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc.Sum32(), CompressedSize64: uint64(n), UncompressedSize64: uint64(n)}
	if strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		h.Flags |= 0x800 // the name is UTF-8 (Z5)
	}
	w, err := z.zip.CreateRaw(h)
	if err != nil {
		return fmt.Errorf("packing %q: %w", name, err)
	}
	m, err := copyFrom(w, open)
	if err == nil && m != n {
		err = errors.New("the file changed while it was packed")
	}
	if err != nil {
		return fmt.Errorf("packing %q: %w", name, err)
	}
	z.resources = append(z.resources, resource{Name: strings.ToLower(path.Base(name)), Path: name, Hash: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Bytes: n})
	return nil
}

func copyFrom(w io.Writer, open func() (io.ReadCloser, error)) (int64, error) {
	r, err := open()
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r)
	return n, errors.Join(err, r.Close())
}

func (z *packer) bytes(name string, b []byte) error {
	return z.store(name, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
}

// index writes the index in the layout that its size asks for.
func (z *packer) index(p Package) error {
	plain, err := os.CreateTemp(p.Temp, "wacz-index-*")
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close(); _ = os.Remove(plain.Name()) }()
	var buf, last []byte
	var size int64
	bw := bufio.NewWriter(plain)
	for line, err := range p.Index {
		if err != nil {
			return fmt.Errorf("packing the index: %w", err)
		}
		if !slices.Contains(z.names, line.Filename) {
			return fmt.Errorf("packing the index: a line of %q names %q, which is not packed", line.URL, line.Filename)
		}
		buf, last = line.Append(last[:0]), buf
		if bytes.Compare(buf, last) < 0 {
			return fmt.Errorf("packing the index: the line of %q stands in the wrong order", line.URL)
		}
		size += int64(len(buf))
		if _, err := bw.Write(buf); err != nil {
			return err
		}
	}
	if err := bw.Flush(); err != nil {
		return err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(plain, 0, size)), nil }
	if size <= plainIndexLimit {
		return z.store("indexes/index.cdx", open)
	}
	blocks, err := os.CreateTemp(p.Temp, "wacz-blocks-*")
	if err != nil {
		return err
	}
	defer func() { _ = blocks.Close(); _ = os.Remove(blocks.Name()) }()
	idx, length, err := compressBlocks(blocks, io.NewSectionReader(plain, 0, size))
	if err != nil {
		return fmt.Errorf("packing the index: %w", err)
	}
	if err := z.store("indexes/index.cdx.gz", func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(blocks, 0, length)), nil
	}); err != nil {
		return err
	}
	return z.bytes("indexes/index.idx", idx)
}

// compressBlocks writes the lines as gzip members of blockLines lines each and returns the secondary index, whose keys
// are those of the blocks' first lines.
func compressBlocks(w io.Writer, lines io.Reader) (idx []byte, length int64, err error) {
	idx = append(idx, `!meta 0 {"format":"cdxj-gzip-1.0","filename":"index.cdx.gz"}`+"\n"...)
	r := bufio.NewReaderSize(lines, 64<<10)
	var member bytes.Buffer
	zw := gzip.NewWriter(&member)
	first, n := "", 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		if err := zw.Close(); err != nil {
			return err
		}
		sum := sha256.Sum256(member.Bytes())
		idx = fmt.Appendf(idx, "%s {\"offset\":%d,\"length\":%d,\"digest\":\"sha256:%x\",\"filename\":\"index.cdx.gz\"}\n", first, length, member.Len(), sum)
		length += int64(member.Len())
		if _, err := w.Write(member.Bytes()); err != nil {
			return err
		}
		member.Reset()
		zw.Reset(&member)
		n = 0
		return nil
	}
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			if n == 0 {
				// Key and timestamp: what stands before the JSON.
				head, _, _ := bytes.Cut(line, []byte(" {"))
				first = string(head)
			}
			if _, err := zw.Write(line); err != nil {
				return nil, 0, err
			}
			if n++; n == blockLines {
				if err := flush(); err != nil {
					return nil, 0, err
				}
			}
		}
		if err == io.EOF {
			return idx, length, flush()
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// pagesFile begins with the header line: players skip the first line whatever it says.
func pagesFile(pages []Page) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	hasText := false
	for _, p := range pages {
		hasText = hasText || p.Text != ""
	}
	_ = enc.Encode(struct {
		Format  string `json:"format"`
		ID      string `json:"id"`
		Title   string `json:"title"`
		HasText bool   `json:"hasText"`
	}{"json-pages-1.0", "pages", "All Pages", hasText})
	for _, p := range pages {
		_ = enc.Encode(pageLine{ID: p.ID, URL: p.URL, TS: p.Time.UTC().Format(time.RFC3339), Title: p.Title, Text: p.Text})
	}
	return b.Bytes()
}

type pageLine struct {
	ID    string `json:"id"`
	URL   string `json:"url"`
	TS    string `json:"ts"`
	Title string `json:"title,omitempty"`
	Text  string `json:"text,omitempty"`
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sign makes the anonymous signature: over the hash as text, ECDSA P-384 with SHA-256, r and s as plain octets, the key
// as SPKI, both in base64.
func sign(key *ecdsa.PrivateKey, hash, created, software string) (*signedData, error) {
	if key.Curve != elliptic.P384() {
		return nil, errors.New("signing: the key must be of the curve P-384")
	}
	sum := sha256.Sum256([]byte(hash))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	raw := make([]byte, 96)
	r.FillBytes(raw[:48])
	s.FillBytes(raw[48:])
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return &signedData{Hash: hash, Created: created, Software: software, Version: "0.1.0",
		Signature: base64.StdEncoding.EncodeToString(raw), PublicKey: base64.StdEncoding.EncodeToString(public)}, nil
}

// plainName reports whether s is one segment of a path that no system takes for more.
func plainName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 255 && !strings.ContainsAny(s, "/\\:\x00") &&
		strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) < 0
}
