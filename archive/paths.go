package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of restored names (archive-formats S3).
const (
	maxSegment = 200  // octets, below the 255 that file systems allow, so that suffixes fit
	maxPath    = 1000 // octets
	maxDepth   = 32   // segments
)

// otherDir holds files whose own name was impossible or taken. No host's folder can have this name: cleanSegment never
// leaves a leading plus.
const otherDir = "+other"

// namer gives each URL of a restore a file name of its own, relative, slash-separated, safe on every platform. Names do not
// depend on the order of calls but for collisions.
type namer struct {
	byURL  map[string]string
	files  map[string]bool // folded names of files
	folder map[string]bool // folded names of folders
}

func newNamer() *namer {
	return &namer{byURL: map[string]string{}, files: map[string]bool{}, folder: map[string]bool{}}
}

// name returns the file for rawURL, the same each time.
func (n *namer) name(rawURL, mediaType string) string {
	if p, ok := n.byURL[rawURL]; ok {
		return p
	}
	p := treePath(rawURL, mediaType)
	if p == "" || !n.free(p) {
		sum := sha256.Sum256([]byte(rawURL))
		p = otherDir + "/" + hex.EncodeToString(sum[:12]) + extensionFor(mediaType, path.Ext(p))
	}
	n.take(p)
	n.byURL[rawURL] = p
	return p
}

// free reports whether p collides with nothing, case-folded as macOS and Windows compare (S4), neither as file nor folder.
func (n *namer) free(p string) bool {
	f := fold(p)
	if n.files[f] || n.folder[f] {
		return false
	}
	for d := path.Dir(f); d != "."; d = path.Dir(d) {
		if n.files[d] {
			return false
		}
	}
	return true
}

func (n *namer) take(p string) {
	f := fold(p)
	n.files[f] = true
	for d := path.Dir(f); d != "."; d = path.Dir(d) {
		n.folder[d] = true
	}
}

func fold(s string) string { return norm.NFC.String(cases.Fold().String(s)) }

// treePath maps a URL to host/path (archive-formats T1, S2 to S4). It returns "" when the URL gives no usable name.
func treePath(rawURL, mediaType string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return ""
	}
	segments := []string{cleanSegment(strings.ToLower(u.Host))}
	escaped := u.EscapedPath()
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for i, part := range parts {
		last := i == len(parts)-1
		switch {
		case last && part == "":
			segments = append(segments, "index.html")
			if mediaType != "" && !isHTML(mediaType) {
				segments[len(segments)-1] = "index"
			}
		default:
			segments = append(segments, cleanSegment(unescapeTwice(part)))
		}
	}
	if len(segments) > maxDepth {
		return ""
	}
	name := segments[len(segments)-1]
	ext := safeExtension(path.Ext(name))
	base := strings.TrimSuffix(name, ext)
	if u.RawQuery != "" || u.ForceQuery {
		sum := sha256.Sum256([]byte(u.RawQuery))
		base += "@" + cut(cleanSegment(unescapeTwice(u.RawQuery)), 40) + "-" + hex.EncodeToString(sum[:4])
	}
	name = base + extensionFor(mediaType, ext)
	if len(name) > maxSegment {
		sum := sha256.Sum256([]byte(rawURL))
		e := extensionFor(mediaType, ext)
		name = cut(strings.TrimSuffix(name, e), maxSegment-20-len(e)) + "-" + hex.EncodeToString(sum[:6]) + e
	}
	segments[len(segments)-1] = avoidDevice(name)
	p := strings.Join(segments, "/")
	if len(p) > maxPath {
		return ""
	}
	return p
}

// unescapeTwice undoes percent-encoding twice, as some servers and proxies do; malformed escapes stay.
func unescapeTwice(s string) string {
	for range 2 {
		t, err := url.PathUnescape(s)
		if err != nil {
			return s
		}
		s = t
	}
	return s
}

// cleanSegment makes one path segment out of any string (S2): wget's Windows set is escaped everywhere, so that a tree
// can be carried from one system to another.
func cleanSegment(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteByte('_')
		case r == '?':
			b.WriteByte('@')
		case r == ':':
			b.WriteByte('+')
		case strings.ContainsRune(`/\|"*<>`, r), r == '%', unicode.IsControl(r), unicode.Is(unicode.Cf, r),
			r == '\u2028', r == '\u2029', r == '\u2215', r == '\u2044', r == '\uff0f', r == '\uff3c':
			b.WriteByte('_')
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	t := norm.NFC.String(b.String())
	if len(t) > maxSegment {
		sum := sha256.Sum256([]byte(s))
		ext := safeExtension(path.Ext(t))
		t = cut(strings.TrimSuffix(t, ext), maxSegment-20-len(ext)) + "-" + hex.EncodeToString(sum[:6]) + ext
	}
	for strings.HasSuffix(t, ".") || strings.HasSuffix(t, " ") {
		t = t[:len(t)-1] + "_"
	}
	if t == "" {
		return "_"
	}
	switch t[0] {
	case '-', '~', '+', ' ':
		t = "_" + t[1:]
	case '.':
		t = "_" + t // no hidden files, no "." and ".."
	}
	return avoidDevice(t)
}

// avoidDevice changes names that Windows takes for devices, with or without extension.
func avoidDevice(s string) string {
	stem, _, _ := strings.Cut(s, ".")
	switch upper := strings.ToUpper(strings.TrimRight(stem, " ")); upper {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return "_" + s
	default:
		if t, ok := strings.CutPrefix(upper, "COM"); ok && isDeviceNumber(t) {
			return "_" + s
		}
		if t, ok := strings.CutPrefix(upper, "LPT"); ok && isDeviceNumber(t) {
			return "_" + s
		}
	}
	return s
}

func isDeviceNumber(s string) bool {
	switch s {
	case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\u00b9", "\u00b2", "\u00b3":
		return true
	}
	return false
}

// cut shortens s to at most n octets at a rune boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n = max(n, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// safeExtension returns ext when it looks like an extension, else "".
func safeExtension(ext string) string {
	if len(ext) < 2 || len(ext) > 8 {
		return ""
	}
	for i := 1; i < len(ext); i++ {
		c := ext[i] | 0x20
		if (c < 'a' || c > 'z') && (ext[i] < '0' || ext[i] > '9') {
			return ""
		}
	}
	return ext
}

// extensions lists, per media type, the extensions a file of that type may keep; the first is added when it has none of
// them (as wget -E does), because a page opened from disk has no Content-Type.
var extensions = map[string][]string{
	"text/html":                {".html", ".htm", ".xhtml", ".xht", ".shtml"},
	"application/xhtml+xml":    {".xhtml", ".xht", ".html", ".htm"},
	"text/css":                 {".css"},
	"text/javascript":          {".js", ".mjs"},
	"application/javascript":   {".js", ".mjs"},
	"application/x-javascript": {".js", ".mjs"},
	"application/json":         {".json"},
	"application/xml":          {".xml", ".rss", ".atom", ".svg"},
	"text/xml":                 {".xml", ".rss", ".atom", ".svg"},
	"application/rss+xml":      {".xml", ".rss"},
	"application/atom+xml":     {".xml", ".atom"},
	"text/plain":               {".txt"},
	"image/jpeg":               {".jpg", ".jpeg", ".jpe", ".jfif"},
	"image/png":                {".png"},
	"image/gif":                {".gif"},
	"image/webp":               {".webp"},
	"image/avif":               {".avif"},
	"image/svg+xml":            {".svg"},
	"image/x-icon":             {".ico"},
	"image/vnd.microsoft.icon": {".ico"},
	"image/bmp":                {".bmp"},
	"font/woff":                {".woff"},
	"font/woff2":               {".woff2"},
	"font/ttf":                 {".ttf"},
	"font/otf":                 {".otf"},
	"application/font-woff":    {".woff"},
	"application/font-woff2":   {".woff2"},
	"video/mp4":                {".mp4", ".m4v"},
	"video/webm":               {".webm"},
	"audio/mpeg":               {".mp3"},
	"audio/ogg":                {".ogg", ".oga"},
	"application/pdf":          {".pdf"},
}

// extensionFor returns the extension a file gets: ext when it fits the media type or the type is unknown.
func extensionFor(mediaType, ext string) string {
	ext = safeExtension(ext)
	allowed, known := extensions[mediaType]
	if !known {
		return ext
	}
	low := strings.ToLower(ext)
	for _, a := range allowed {
		if a == low {
			return ext
		}
	}
	if mediaType == "text/plain" && ext != "" {
		return ext
	}
	return ext + allowed[0]
}

func isHTML(mediaType string) bool {
	return mediaType == "text/html" || mediaType == "application/xhtml+xml"
}
