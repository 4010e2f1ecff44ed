package wire

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"mirrorwatch/crawler/survey"
)

// Recorder takes each sealed Exchange, before its body is handed up. It must not keep e.Response after it returned. An error
// is the recorder's own trouble: RoundTrip gives it back as a *SinkError.
type Recorder interface {
	Put(ctx context.Context, e *survey.Exchange) (survey.Capture, error)
}

// Config says from where and how to look. The zero value looks directly, through the system's resolver, and records nothing.
type Config struct {
	Vantage survey.Vantage // resolver, proxy (with userinfo), source address
	// ConnectTo maps "host:port" to the "host:port" that is dialed instead; name, SNI and verification stay the first's.
	ConnectTo map[string]string
	Roots     *x509.CertPool // nil: the system's
	Guard     Guard
	UserAgent string // "": what the request says
	// Header gives the operator's extra fields for a host. Their values are masked in the recorded request.
	Header   func(host survey.Host) []survey.Field
	Limits   Limits
	Recorder Recorder
	Now      func() time.Time // nil: time.Now
	Dir      string           // for spool files; "": os.TempDir
	// BlockLists mark answers that hold an address known to serve block pages (classification.md 1.1). They conclude nothing.
	BlockLists []BlockList

	resolvConf, hostsFile string                         // of the system resolver; "": /etc/resolv.conf, /etc/hosts
	createFile            func(dir string) (file, error) // of spools; nil: a temporary file
}

// BlockList is a named list of addresses that block pages are served from.
type BlockList struct {
	Name     string
	Prefixes []netip.Prefix
}

// Limits bound one exchange. A zero field means its default.
type Limits struct {
	Head      int           // octets of all heads, interim ones too; 256 KB
	Wire      int64         // octets of body kept; 64 MB
	Decoded   int64         // octets of body handed up; 64 MB
	Spool     int           // octets of a response held in memory; 1 MB
	Addresses int           // addresses tried per family; 6
	DNS       time.Duration // one name, all servers; 5 s
	Connect   time.Duration // one address; 10 s, a third of it while there are further addresses
	TLS       time.Duration // handshake; 10 s
	Proxy     time.Duration // the proxy's answer; 20 s
	FirstByte time.Duration // from the request's last octet to the answer's first; 20 s
	Stall     time.Duration // between two reads; 10 s
	Drain     time.Duration // reading on after a malformed answer; 1 s
	Idle      time.Duration // a kept connection; 30 s
	Linger    time.Duration // listening for a second UDP answer after a DNS failure; 200 ms
}

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if l.Head <= 0 {
		l.Head = 256 << 10
	}
	if l.Wire <= 0 {
		l.Wire = 64 << 20
	}
	if l.Decoded <= 0 {
		l.Decoded = 64 << 20
	}
	if l.Spool <= 0 {
		l.Spool = 1 << 20
	}
	l.Spool = max(l.Spool, l.Head+firstBlock) // heads are parsed in memory
	if l.Addresses <= 0 {
		l.Addresses = 6
	}
	def(&l.DNS, 5*time.Second)
	def(&l.Connect, 10*time.Second)
	def(&l.TLS, 10*time.Second)
	def(&l.Proxy, 20*time.Second)
	def(&l.FirstByte, 20*time.Second)
	def(&l.Stall, 10*time.Second)
	def(&l.Drain, time.Second)
	def(&l.Idle, 30*time.Second)
	def(&l.Linger, 200*time.Millisecond)
	return l
}

// Transport is a http.RoundTripper for one vantage. It is safe for concurrent use. Close it when done.
type Transport struct {
	cfg      Config
	limits   Limits
	now      func() time.Time
	resolver resolver
	proxy    *proxy // nil: direct
	pins     map[string]string
	permit   map[string]bool
	pool     pool
	names    names
	source   source
	closing  sync.Once
}

// New checks cfg and makes a Transport. It reads the resolver configuration and sends nothing.
func New(cfg Config) (*Transport, error) {
	t := &Transport{cfg: cfg, limits: cfg.Limits.withDefaults(), now: cfg.Now, pins: map[string]string{}, permit: map[string]bool{}}
	if t.now == nil {
		t.now = time.Now
	}
	for from, to := range cfg.ConnectTo {
		key, err := canonical(from)
		if err != nil {
			return nil, fmt.Errorf("connect-to %q: %w", from, err)
		}
		target, err := canonical(to)
		if err != nil {
			return nil, fmt.Errorf("connect-to %q: %w", to, err)
		}
		t.pins[key] = target
	}
	for hostport, ok := range cfg.Guard.Permit {
		key, err := canonical(hostport)
		if err != nil {
			return nil, fmt.Errorf("permitted address %q: %w", hostport, err)
		}
		t.permit[key] = ok
	}
	var err error
	if t.source, err = parseSource(cfg.Vantage.Source); err != nil {
		return nil, err
	}
	if cfg.Vantage.Proxy != "" {
		if t.proxy, err = parseProxy(cfg.Vantage.Proxy); err != nil {
			return nil, err
		}
	}
	if t.resolver, err = t.parseResolver(cfg.Vantage.Resolver); err != nil {
		return nil, err
	}
	t.pool.idle = t.limits.Idle
	if t.cfg.createFile == nil {
		t.cfg.createFile = temporary
	}
	if cfg.Roots == nil {
		// Read once and now: were descriptors short at the first handshake, every mirror's authority would be unknown.
		_, _ = x509.SystemCertPool()
	}
	return t, nil
}

// CloseIdle closes the kept connections.
func (t *Transport) CloseIdle() { t.pool.closeAll(false) }

// Close closes the kept connections and keeps none from now on. Exchanges in flight go on.
func (t *Transport) Close() error {
	t.closing.Do(func() {
		t.pool.closeAll(true)
		t.resolver.close()
	})
	return nil
}

// canonical brings "host:port" into the form pins and permissions are looked up by.
func canonical(hostport string) (string, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", err
	}
	if host == "" || port == "" {
		return "", fmt.Errorf("want host:port")
	}
	return net.JoinHostPort(hostName(host), port), nil
}

// hostName brings a host into one spelling: lower case, no final dots, ASCII (so that neither a full-width "ｏｎｉｏｎ" nor a full-width
// "127。0。0。1" passes for another name), IP literals (also "0x7f.1") as netip writes them.
func hostName(host string) string {
	host = strings.ToLower(strings.TrimRight(asciiHost(host), "."))
	if addr, ok, _ := literal(host); ok {
		return addr.String()
	}
	return host
}

// asciiHost returns a host with letters beyond ASCII as it is asked for; others, and what IDNA refuses, as they are.
func asciiHost(host string) string {
	for i := 0; i < len(host); i++ {
		if host[i] >= 0x80 {
			if ascii, err := idna.Lookup.ToASCII(strings.ToLower(host)); err == nil {
				return ascii
			}
			break
		}
	}
	return host
}

// target is what a URL asks for: the logical host and port, in canonical spelling.
type target struct {
	scheme, host, port string
	addr               netip.Addr // of an IP literal
	bad                error      // a host that looks like an address and is none
}

func (t target) key() string { return net.JoinHostPort(t.host, t.port) }

func targetOf(u *url.URL) (target, error) {
	tg := target{scheme: strings.ToLower(u.Scheme), port: u.Port()}
	switch {
	case tg.scheme != "http" && tg.scheme != "https":
		return tg, fmt.Errorf("scheme %q is not http or https", u.Scheme)
	case u.Hostname() == "":
		return tg, fmt.Errorf("no host in %q", u.Redacted())
	case tg.port == "" && tg.scheme == "http":
		tg.port = "80"
	case tg.port == "":
		tg.port = "443"
	}
	addr, ok, err := literal(strings.ToLower(strings.TrimRight(asciiHost(u.Hostname()), ".")))
	if ok {
		tg.addr = addr
	}
	tg.bad = err
	if tg.host = hostName(u.Hostname()); tg.host == "" {
		return tg, fmt.Errorf("no host in %q", u.Redacted())
	}
	return tg, nil
}

// Visit travels in the request's context and gathers what the transport did for it. One goroutine may use it at a time.
type Visit struct {
	Probe    survey.Probe
	Insecure bool     // go on although the certificate is bad; Exchange.TLS.Verified stays false
	Family   int      // 0: as they come; 4 or 6: only that address family
	Records  []Record // appended by RoundTrip, oldest first

	// Lend asks for the decoded body where it lies instead of through the http.Response, whose body is empty then: Body holds
	// it until Free. It is nil when the body did not stay in memory; then the http.Response has it as ever.
	Lend bool
	Body []byte

	free func()
}

// Free gives Body's memory back; nobody may hold any part of it any more. A visit that is not freed costs memory until it is
// collected, nothing else.
func (v *Visit) Free() {
	if v.free != nil {
		v.free()
		v.free, v.Body = nil, nil
	}
}

// Record is one Exchange and what the Recorder made of it. Exchange.Response may be freed once the http body was closed.
type Record struct {
	Exchange *survey.Exchange
	Capture  survey.Capture
}

type visitKey struct{}

// WithVisit returns a context that carries v.
func WithVisit(ctx context.Context, v *Visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

func visitOf(ctx context.Context) *Visit {
	if v, _ := ctx.Value(visitKey{}).(*Visit); v != nil {
		return v
	}
	return &Visit{}
}

// SinkError is the Recorder's own trouble. It says nothing about the mirror.
type SinkError struct{ Err error }

func (e *SinkError) Error() string { return "recording the exchange: " + e.Err.Error() }
func (e *SinkError) Unwrap() error { return e.Err }
