package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Source is the part of an archive that replay reads. *archive.Archive is one.
type Source interface {
	Find(ctx context.Context, url string, at time.Time, exact bool) (survey.Capture, error)
	Captures(ctx context.Context, url string, limit int) ([]survey.Capture, error)
	Open(ctx context.Context, c survey.Capture) (*archive.Resource, error)
	Snapshots(ctx context.Context, q archive.Query) ([]survey.Snapshot, error)
}

// Packer makes a snapshot a package (WACZ) that replay programs which run scripts open. *archive.Archive is one; a Source
// that is none gives no packages.
type Packer interface {
	ExportFile(ctx context.Context, to string, snaps []survey.Snapshot, opt archive.ExportOptions) (archive.ExportReport, error)
}

// Judgements tell what history knows of snapshots.
type Judgements interface {
	// Snapshots returns the snapshots of an article with their verdicts, of all mirrors, newest first. address is the
	// article's URL on its primary or the URL of one of its snapshots.
	Snapshots(ctx context.Context, address string) ([]survey.SnapshotRow, error)
}

// Config says what a Handler shows and where.
type Config struct {
	Archive    Source
	Judgements Judgements // nil: snapshots are shown without verdict
	// URL is the address the replay is reached under, such as "https://replay.example.org"; "": that of the request.
	URL string
	// Hosts are Host values accepted besides the listening address and URL's.
	Hosts []string
	// MaxRewrite bounds the decoded octets of a page or style sheet; 0: 32 MB. Larger pages are given raw only.
	MaxRewrite int64
	// Rewriting bounds how many documents are in memory at once; 0: 8.
	Rewriting int
	// MaxHeld bounds the octets of rewritten documents that wait for their readers, in sum; 0: 256 MB. Past it 503 is answered.
	MaxHeld int64
	Log     *slog.Logger // nil: silence
}

// Handler is the replay's origin. Nothing else may be served on it.
type Handler struct {
	cfg       Config
	hosts     map[string]bool
	rewriting chan struct{}
	held      atomic.Int64
	packing   chan struct{}
	cache     snapshots
	sizes     sizes
}

// New makes a Handler. Its error is a bad Config.
func New(cfg Config) (*Handler, error) {
	if cfg.Archive == nil {
		return nil, errors.New("replay: no archive")
	}
	if cfg.MaxRewrite <= 0 {
		cfg.MaxRewrite = 32 << 20
	}
	if cfg.Rewriting <= 0 {
		cfg.Rewriting = 8
	}
	if cfg.MaxHeld <= 0 {
		cfg.MaxHeld = 256 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{hosts: map[string]bool{}, rewriting: make(chan struct{}, cfg.Rewriting), packing: make(chan struct{}, 2)}
	if cfg.URL != "" {
		u, err := url.Parse(cfg.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("replay: %q is no origin such as https://replay.example.org", cfg.URL)
		}
		cfg.URL = u.Scheme + "://" + u.Host
		h.hosts[strings.ToLower(u.Host)] = true
	}
	for _, host := range cfg.Hosts {
		h.hosts[strings.ToLower(host)] = true
	}
	h.cfg = cfg
	return h, nil
}

// Policy is the Content-Security-Policy of every answer with archived content (DESIGN section 6).
const Policy = "sandbox; default-src 'self' data: blob: 'unsafe-inline'; script-src 'none'; object-src 'none'; form-action 'none'; base-uri 'self'"

// ownPolicy is that of our own pages: no script, nothing from elsewhere.
const ownPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxAddress bounds the request target.
const maxAddress = 16 << 10

// HostAccepted reports whether the Host of a request names this server: one of hosts, localhost, or the very address that
// the connection came to. Any other name would let a page of that name read what is served here (DNS rebinding).
func HostAccepted(r *http.Request, hosts map[string]bool) bool {
	host := strings.ToLower(r.Host)
	if hosts[host] {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), "80"
	}
	if port != fmt.Sprint(at.Port()) {
		return false
	}
	if name == "localhost" {
		return at.Addr().Unmap().IsLoopback()
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Unmap() == at.Addr().Unmap()
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Robots-Tag", "noindex, nofollow")
	head.Set("Content-Security-Policy", ownPolicy)
	switch {
	case !HostAccepted(r, h.hosts):
		http.Error(w, "This server does not answer under that name.", http.StatusMisdirectedRequest)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD.", http.StatusMethodNotAllowed)
		return
	case r.Header.Get("Service-Worker") != "":
		http.Error(w, "No service workers here.", http.StatusForbidden)
		return
	}
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // absolute-form
		target = r.URL.RequestURI()
	}
	if len(target) > maxAddress {
		h.problem(w, r, http.StatusRequestURITooLong, "This address is too long.", "")
		return
	}
	switch {
	case target == "/" || target == "/web" || target == "/web/":
		h.index(w)
	case strings.HasPrefix(target, "/web?"), strings.HasPrefix(target, "/web/?"):
		h.ask(w, r)
	case strings.HasPrefix(target, "/web/"):
		h.web(w, r, target[len("/web/"):])
	case strings.HasPrefix(target, "/snapshot/"):
		h.snapshot(w, r, target[len("/snapshot/"):])
	case strings.HasPrefix(target, "/save/"):
		h.save(w, r, target[len("/save/"):])
	case strings.HasPrefix(target, "/beside/"):
		h.beside(w, r, target[len("/beside/"):])
	case target == "/favicon.ico": // browsers ask for it when a page names no icon; an error would stand in their log
		w.WriteHeader(http.StatusNoContent)
	case target == "/robots.txt":
		head.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
	default:
		h.problem(w, r, http.StatusNotFound, "There is nothing at this address.", "")
	}
}

// ask leads from the form of the index page to the list of captures.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request) {
	u, ok := Repair(r.URL.Query().Get("url"))
	if !ok {
		h.problem(w, r, http.StatusBadRequest, "This is no web address.", "")
		return
	}
	redirect(w, http.StatusFound, "/web/*/"+quoteURL(u))
}

func redirect(w http.ResponseWriter, status int, to string) {
	w.Header().Set("Location", to)
	w.Header()["Content-Type"] = nil
	w.WriteHeader(status)
}

// Repair makes the URL part of an address what it was, an absolute http or https URL: clients collapse "//", escape all of it,
// or leave the scheme out. ok is false when it is none.
func Repair(raw string) (string, bool) {
	if raw == "" || strings.IndexByte(raw, 0) >= 0 {
		return "", false
	}
	low := strings.ToLower(raw[:min(len(raw), 12)])
	if strings.HasPrefix(low, "http%3a") || strings.HasPrefix(low, "https%3a") {
		u, err := url.PathUnescape(raw)
		if err != nil {
			return "", false
		}
		raw, low = u, strings.ToLower(u[:min(len(u), 12)])
	}
	for _, scheme := range []string{"http:", "https:"} {
		if strings.HasPrefix(low, scheme) {
			raw = scheme + "//" + strings.TrimLeft(raw[len(scheme):], "/")
			u, ok := markup.Resolve("", raw)
			return u, ok
		}
	}
	if i := strings.IndexAny(raw, ":/?#"); i >= 0 && raw[i] == ':' && strings.Trim(cut(raw[i+1:], 1), "0123456789") != "" {
		return "", false // another scheme
	}
	u, ok := markup.Resolve("", "https://"+strings.TrimLeft(raw, "/"))
	if !ok || !strings.Contains(u, ".") && !strings.Contains(u, "localhost") {
		return "", false
	}
	return u, true
}

func cut(s string, n int) string { return s[:min(len(s), n)] }

// address is a taken-apart replay address.
type address struct {
	digits string // as given
	at     time.Time
	mod    string
	url    string // absolute
	raw    string // as given
}

// page reports whether a person looks at the answer, and not a page that needs it.
func (a *address) page() bool { return a.mod == modPage || a.mod == modMain }

var errAddress = errors.New("no replay address")

// modifier cuts the modifier off the end of s.
func modifier(s string) (rest, mod string, ok bool) {
	if strings.HasSuffix(s, "_") && len(s) >= 3 {
		switch mod := s[len(s)-3:]; mod {
		case modMain, modRaw, modFrame, modImage, modScript, modStyle, modOther:
			return s[:len(s)-3], mod, true
		}
		return "", "", false
	}
	return s, "", true
}

// parseMemento reads "TIMESTAMP[mod]/URL". ok is false when it does not begin with digits.
func parseMemento(s string) (a address, ok bool, err error) {
	stamp, raw, found := strings.Cut(s, "/")
	if !found || stamp == "" || stamp[0] < '0' || stamp[0] > '9' {
		return a, false, nil
	}
	digits, mod, good := modifier(stamp)
	if strings.Trim(digits, "0123456789") != "" {
		if strings.ContainsAny(stamp, ".:") { // a host name that begins with a digit
			return a, false, nil
		}
		return a, true, errAddress
	}
	if !good {
		return a, true, errAddress
	}
	a = address{digits: digits, mod: mod, raw: raw}
	if a.at, good = parseDigits(digits); !good {
		return a, true, errAddress
	}
	if a.url, good = Repair(raw); !good {
		return a, true, errAddress
	}
	return a, true, nil
}

// parseDigits reads 4 to 14 or 17 digits of UTC time; what is missing is the earliest.
func parseDigits(s string) (time.Time, bool) {
	if len(s) < 4 || len(s) > 17 || len(s) == 15 || len(s) == 16 {
		return time.Time{}, false
	}
	if len(s) < 14 {
		s += "00000101000000"[len(s):]
	}
	if len(s) == 17 {
		t, err := time.Parse("20060102150405.000", s[:14]+"."+s[14:])
		return t, err == nil
	}
	t, err := time.Parse("20060102150405", s)
	return t, err == nil
}

// stamp is the shortest form that names the time: 14 digits, or 17 when it has milliseconds.
func stamp(t time.Time) string {
	s := survey.Timestamp17(t)
	return s[:14] + strings.TrimSuffix(s[14:], "000")
}

// web answers below /web/.
func (h *Handler) web(w http.ResponseWriter, r *http.Request, s string) {
	switch {
	case strings.HasPrefix(s, "timemap/"):
		h.timeMap(w, r, s[len("timemap/"):])
		return
	case strings.HasPrefix(s, "*/"):
		h.list(w, r, s[2:])
		return
	}
	a, ok, err := parseMemento(s)
	switch {
	case err != nil:
		h.problem(w, r, http.StatusBadRequest, "This is no address of the replay: it wants a time of 4 to 14 or 17 digits and a web address.", "")
	case !ok:
		h.timeGate(w, r, s)
	default:
		h.memento(w, r, a)
	}
}

// fail answers for an error of the archive.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, u string, err error) {
	switch {
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrNoOriginal):
		h.problem(w, r, http.StatusNotFound, "The archive has no capture of this address.", u)
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler)
	default:
		h.cfg.Log.Error("replay", "url", u, "err", err)
		h.problem(w, r, http.StatusInternalServerError, "The archive could not be read here; `mirrorwatch verify` says more.", u)
	}
}

// origin is what addresses in headers and TimeMaps begin with.
func (h *Handler) origin(r *http.Request) string {
	if h.cfg.URL != "" {
		return h.cfg.URL
	}
	return "http://" + r.Host
}

// Path is the address of a URL at a time on the replay's origin: 4 to 14 or 17 digits, or "" for its TimeGate.
func Path(digits, u string) string {
	if digits != "" {
		digits += "/"
	}
	return "/web/" + digits + quoteURL(u)
}
