package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"mirrorwatch/crawler/markup"
)

// articlePage is one of the real pages of the test data, under its own address.
type articlePage struct {
	id, url string
	body    []byte
}

// articlePages are the pages whose name begins with one of ids, in that order; without ids all. Without the data the test is
// skipped, with CI=true it fails.
func articlePages(t *testing.T, ids ...string) (pages []articlePage) {
	t.Helper()
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	truth := map[string]struct{ URL string }{}
	b, err := os.ReadFile(filepath.Join(dir, "articles", "ground-truth.json"))
	if err == nil {
		err = json.Unmarshal(b, &truth)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: no article pages: set MIRRORWATCH_TESTDATA (%v)", err)
	}
	var names []string
	for name := range truth {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(ids) == 0 {
		ids = names
	}
	for _, id := range ids {
		i, _ := slices.BinarySearch(names, id)
		if i == len(names) || !strings.HasPrefix(names[i], id) {
			t.Fatalf("no page %s in the test data", id)
		}
		f, err := os.Open(filepath.Join(dir, "articles", "html", names[i]+".html.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		u, _, _ := strings.Cut(truth[names[i]].URL, "#")
		pages = append(pages, articlePage{names[i][:8], u, body})
	}
	return pages
}

// thing is what a page names at an address: its kind, and of a picture look and width.
type thing struct {
	kind       markup.Kind
	look       int
	width      int
	set        bool   // one of several sizes: square, so that none is rounded otherwise than another
	descriptor string // of the srcset candidate, with what stands behind it
	ids        string // symbols that pages take out of an SVG file
}

// liveSite serves article pages under their own hosts, and for everything they name a picture, style sheet, font, script or
// frame made from the address alone: the same octets each time.
type liveSite struct {
	plain, secure *httptest.Server
	caPEM         []byte
	hosts         []string
	pages         map[string]articlePage // by host and request target
	things        map[string]thing       // what pages name, by host and request target

	mu    sync.Mutex
	asked []string
}

func newLiveSite(t *testing.T, pages []articlePage) *liveSite {
	t.Helper()
	s := &liveSite{pages: map[string]articlePage{}, things: map[string]thing{}}
	hosts := map[string]bool{}
	for _, p := range pages {
		u, err := url.Parse(p.url)
		if err != nil {
			t.Fatal(err)
		}
		s.pages[u.Host+u.RequestURI()] = p
		hosts[u.Host] = true
		base := p.url
		if b := markup.Base(p.body); b != "" {
			if abs, ok := markup.Resolve(p.url, b); ok {
				base = abs
			}
		}
		// Pictures that stand in one element are one picture in several sizes, and so are those that meet in another element.
		first, same := "", map[string]string{}
		root := func(key string) string {
			for same[key] != "" {
				key = same[key]
			}
			return key
		}
		var order []string
		markup.Scan(p.body, func(*markup.Tag) bool {
			first = ""
			return true
		}, func(pl markup.Place) bool {
			abs, ok := markup.Resolve(base, pl.URL)
			if !ok || !pl.Kind.Requisite() && pl.Kind != markup.Frame {
				return true
			}
			u, err := url.Parse(abs)
			if err != nil {
				return true
			}
			hosts[u.Host] = true
			key := u.Host + u.RequestURI()
			of, known := s.things[key]
			if !known {
				of = thing{kind: pl.Kind}
				order = append(order, key)
			}
			if first == "" {
				first = key
			} else if a, b := root(first), root(key); a != b && pl.Kind == markup.Image {
				same[b] = a
			}
			if strings.HasSuffix(pl.Attr, "set") {
				of.descriptor, _, _ = strings.Cut(string(p.body[pl.End:min(len(p.body), pl.End+40)]), ",")
				of.set = true
			}
			if _, id, ok := strings.Cut(pl.URL, "#"); ok && pl.Element == "use" {
				of.ids += " " + id
			}
			s.things[key] = of
			return true
		})
		sets := map[string]bool{}
		for _, key := range order {
			sets[root(key)] = sets[root(key)] || s.things[key].set
		}
		for _, key := range order {
			of := s.things[key]
			of.look, of.set = hash(p.id, root(key)), sets[root(key)]
			of.width = candidateWidth(of.descriptor, 60+of.look%240)
			s.things[key] = of
		}
	}
	for h := range hosts {
		s.hosts = append(s.hosts, h)
	}
	slices.Sort(s.hosts)
	quiet := func(srv *httptest.Server) { srv.Config.ErrorLog = log.New(io.Discard, "", 0) }
	s.plain = httptest.NewUnstartedServer(s)
	quiet(s.plain)
	s.plain.Start()
	t.Cleanup(s.plain.Close)
	s.secure = httptest.NewUnstartedServer(s)
	quiet(s.secure)
	s.secure.TLS = &tls.Config{GetCertificate: s.authority(t)}
	s.secure.StartTLS()
	t.Cleanup(s.secure.Close)
	return s
}

func hash(words ...string) int {
	sum := sha256.Sum256([]byte(strings.Join(words, " ")))
	return int(binary.BigEndian.Uint32(sum[:]) >> 4)
}

// candidateWidth is the width in pixels that the descriptor of a srcset candidate asks for.
func candidateWidth(text string, normal int) int {
	n, unit := 0.0, ""
	if _, err := fmt.Sscanf(strings.TrimSpace(text), "%f%1s", &n, &unit); err != nil {
		return normal
	}
	switch unit {
	case "w":
		return min(max(int(n), 1), 4000)
	case "x":
		return min(max(int(n*float64(normal)), 1), 4000)
	}
	return normal
}

// authority makes a certificate authority and gives any host a certificate of it.
func (s *liveSite) authority(t *testing.T) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	var mu sync.Mutex
	made := map[string]*tls.Certificate{}
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		name := hello.ServerName
		if c := made[name]; c != nil {
			return c, nil
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(len(made) + 2)), Subject: pkix.Name{CommonName: "host"}, DNSNames: []string{name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
		if err != nil {
			return nil, err
		}
		made[name] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		return made[name], nil
	}
}

// pins are the flags that lead every host of the pages here.
func (s *liveSite) pins() (flags []string) {
	for _, h := range s.hosts {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, ""
		}
		for p, srv := range map[string]*httptest.Server{"80": s.plain, "443": s.secure} {
			if port == "" || port == p {
				flags = append(flags, "--connect-to", net.JoinHostPort(host, p)+":"+srv.Listener.Addr().String())
			}
		}
	}
	return flags
}

// take returns what was asked for since the last call.
func (s *liveSite) take() (asked []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, s.asked = s.asked, nil
	return asked
}

// browsersOwn are hosts that Chromium itself asks, whatever page it shows.
var browsersOwn = map[string]bool{"accounts.google.com": true, "optimizationguide-pa.googleapis.com": true, "content-autofill.googleapis.com": true,
	"update.googleapis.com": true, "clients2.google.com": true, "android.clients.google.com": true, "mtalk.google.com:5228": true}

func (s *liveSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Host + r.RequestURI
	if browsersOwn[r.Host] {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+key)
	s.mu.Unlock()
	if p, ok := s.pages[key]; ok {
		typ := "text/html"
		if utf8.Valid(p.body) {
			typ += "; charset=utf-8"
		}
		w.Header().Set("Content-Type", typ)
		w.Header().Set("Content-Length", fmt.Sprint(len(p.body)))
		_, _ = w.Write(p.body)
		return
	}
	typ, body := made(r.URL.Path, key, s.things[key], r.Header.Get("Sec-Fetch-Dest"))
	if body == nil {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<title>Not found</title><p>Nothing is here.")
		return
	}
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// made is what stands at an address that pages or our style sheets name.
func made(name, key string, of thing, dest string) (typ string, body []byte) {
	n, kind := hash(key), of.kind
	if of.width == 0 {
		of.look, of.width = n, 24+n%200
	}
	ext := strings.ToLower(path.Ext(name))
	switch {
	case kind != "":
	case dest == "image", ext == ".png", ext == ".jpg", ext == ".jpeg", ext == ".gif", ext == ".webp", ext == ".svg":
		kind = markup.Image
	case dest == "style", ext == ".css":
		kind = markup.Style
	case dest == "font", strings.HasPrefix(path.Base(name), "font-"), ext == ".ttf", ext == ".woff", ext == ".woff2":
		kind = markup.Font
	case dest == "iframe":
		kind = markup.Frame
	case dest == "script":
		kind = markup.Script
	case dest == "video", dest == "audio", dest == "track", dest == "embed", dest == "object":
		kind = markup.Media
	}
	switch kind {
	case markup.Image, markup.Icon:
		if ext == ".svg" {
			svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 100 100"><circle cx="50" cy="50" r="%d" fill="#%06x"/>`, of.width, 20+n/3%60, 20+n%30, n&0xffffff)
			for _, id := range strings.Fields(of.ids) {
				svg += fmt.Sprintf(`<symbol id="%s" viewBox="0 0 9 9"><circle cx="5" cy="5" r="4"/></symbol>`, id)
			}
			return "image/svg+xml", []byte(svg + "</svg>")
		}
		switch m := madeImage(of.look, of.width, of.set); ext {
		case ".jpg", ".jpeg":
			var b bytes.Buffer
			_ = jpeg.Encode(&b, m, nil)
			return "image/jpeg", b.Bytes()
		case ".gif":
			var b bytes.Buffer
			_ = gif.Encode(&b, m, nil)
			return "image/gif", b.Bytes()
		default:
			return "image/png", encodedPNG(m)
		}
	case markup.Style:
		if strings.HasPrefix(path.Base(name), "more-") {
			return "text/css", fmt.Appendf(nil, "h2, h3 { color: #%06x }\np { text-indent: %dpx }\n", n&0x7f7f7f, n%7)
		}
		// Each sheet names a sheet, a picture and a font, from the root, beside itself and protocol-relative.
		return "text/css; charset=utf-8", fmt.Appendf(nil, `@charset "utf-8";
@import url("/quality/more-%[1]d.css");
@font-face { font-family: "made %[1]d"; src: url("//%[2]s/quality/font-%[1]d%[3]s") format("truetype") }
body { background: #%06[4]x url(beside-%[1]d.png) repeat-x; margin: %[5]dpx }
h1 { font-family: "made %[1]d", serif; color: #%06[6]x }
a { color: #%06[6]x; text-decoration: none }
li { border-left: %[7]dpx solid #%06[6]x }
`, n%1000, hostOfKey(key), []string{".ttf", "?font"}[n&1], 0xe0e0e0|n&0x1f1f1f, n%20, n&0x7f7f7f, n%4)
	case markup.Font:
		if ext == "" {
			return "application/octet-stream", madeFont()
		}
		return "font/ttf", madeFont()
	case markup.Script:
		return "text/javascript", []byte(`document.title="ran";document.cookie="ran=1";try{localStorage.ran=1}catch(e){}`)
	case markup.Frame:
		return "text/html; charset=utf-8", fmt.Appendf(nil, `<!DOCTYPE html><title>frame</title><body style="margin:0;background:#%06x"><p>A frame, number %d</p><img src="/quality/inframe-%d.png" alt="">`, 0xc0c0c0|n&0x3f3f3f, n%1000, n%1000)
	case markup.Media:
		return "video/mp4", bytes.Repeat([]byte("made "), 100)
	}
	return "", nil
}

func hostOfKey(key string) string { h, _, _ := strings.Cut(key, "/"); return h }

func madePicture(look, w int, square bool) []byte { return encodedPNG(madeImage(look, w, square)) }

func encodedPNG(m image.Image) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.Bytes()
}

// madeImage is a picture of that width; look gives its colours and, unless it is square, how high it is.
func madeImage(look, w int, square bool) *image.Paletted {
	const cols, rows = 6, 4
	h := max(1, w*(40+look/7%80)/100)
	if square {
		h = w
	}
	m := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.RGBA{uint8(look), uint8(look >> 8), uint8(look >> 16), 255}, color.RGBA{uint8(look >> 4), uint8(look >> 12), uint8(look >> 20), 255}})
	for y := range h {
		for x := range w {
			if look>>(x*cols/w+y*rows/h)&1 == 1 {
				m.Pix[y*m.Stride+x] = 1
			}
		}
	}
	return m
}

// madeFont is a TrueType font in which every letter is a box.
func madeFont() []byte {
	var be = binary.BigEndian
	u16 := func(v ...int) (b []byte) {
		for _, x := range v {
			b = be.AppendUint16(b, uint16(x))
		}
		return b
	}
	const first, last = 0x21, 0x7e
	glyph := slices.Concat(u16(1, 50, 0, 550, 700, 3, 0), []byte{1, 1, 1, 1}, u16(50, 500, 0, -500, 0, 0, 700, 0))
	cmap := u16(0, 1, 3, 1, 0, 12, 4, 32+2*(last-first+1), 0, 4, 4, 1, 0, last, 0xffff, 0, first, 0xffff, 0, 1, 4, 0)
	for range last - first + 1 {
		cmap = append(cmap, 0, 1)
	}
	tables := []struct {
		tag  string
		data []byte
	}{
		{"OS/2", slices.Concat(u16(4, 600, 400, 5, 0, 650, 700, 0, 140, 650, 700, 0, 480, 50, 250, 0), make([]byte, 10+16), []byte("MADE"), u16(0x40, first, last, 800, -200, 0, 800, 200), make([]byte, 8), u16(500, 700, 0, 32, 1))},
		{"cmap", cmap},
		{"glyf", glyph},
		{"head", slices.Concat(u16(1, 0, 1, 0, 0, 0, 0x5F0F, 0x3CF5, 0, 1000), make([]byte, 16), u16(50, 0, 550, 700, 0, 8, 2, 0, 0))},
		{"hhea", u16(1, 0, 800, -200, 0, 600, 0, 0, 550, 1, 0, 0, 0, 0, 0, 0, 0, 2)},
		{"hmtx", u16(600, 0, 600, 50)},
		{"loca", u16(0, 0, len(glyph)/2)},
		{"maxp", u16(1, 0, 2, 4, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"name", u16(0, 0, 6)},
		{"post", append(u16(3, 0), make([]byte, 28)...)},
	}
	out := slices.Concat(u16(1, 0, len(tables), 128, 3, 16*len(tables)-128))
	offset := len(out) + 16*len(tables)
	var body []byte
	for _, t := range tables {
		data := append(slices.Clip(t.data), make([]byte, (4-len(t.data)%4)%4)...)
		sum := uint32(0)
		for i := 0; i < len(data); i += 4 {
			sum += be.Uint32(data[i:])
		}
		out = append(out, t.tag...)
		out = be.AppendUint32(out, sum)
		out = be.AppendUint32(out, uint32(offset+len(body)))
		out = be.AppendUint32(out, uint32(len(t.data)))
		body = append(body, data...)
	}
	return append(out, body...)
}
