package survey

import (
	"io"
	"net/netip"
	"time"
)

// Blob is a byte string that may lie in memory or in an unlinked file. ReadAt may be called from several goroutines.
type Blob interface {
	io.ReaderAt
	Size() int64
}

// Span is a half-open range of octets in a Blob.
type Span struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Field is one header line as it came: name and value, order, case and repeats kept.
type Field struct {
	Name  string
	Value string
}

// Exchange is one request and what came back, byte for byte, failed ones too. It is sealed once, after the response was
// read to its end or the attempt ended; nothing changes it afterwards. The blobs live until Release is called by the
// owner (the transport), which is after the sink has returned and the body was read.
type Exchange struct {
	ID    RecordID // of the response record; when no octet came, of the metadata record
	Probe Probe

	Method  string
	URL     string // logical URL: pins and proxies do not show in it
	Started time.Time

	// Request is what was written, credentials of the operator masked at equal length; Masked names those fields.
	Request []byte
	Masked  []string

	// Response is nil when no octet came. All octets after the TLS layer, interim responses included.
	Response Blob
	Interim  []Span // 1xx responses before the final one
	Head     Span   // the final response head, blank line included; zero when there was none
	// FramedEnd is where the message's own framing ended; what lies behind it is surplus and no part of the payload.
	FramedEnd int64
	Proto     string
	Status    int // 0: no status line could be read
	Header    []Field

	// BlockDigest is over Response from Head.Start to FramedEnd; PayloadDigest over the de-chunked body with its
	// content coding kept (archive-formats 1.3), PayloadSize its length.
	BlockDigest   Digest
	PayloadDigest Digest
	PayloadSize   int64
	// Charset is what the text was read in before it was handed up as UTF-8; empty when the payload is no text.
	Charset string

	Reused    bool   // the connection had served another exchange
	Via       string // proxy, without userinfo
	Peer      netip.AddrPort
	Lookups   []Lookup
	Tries     []Try
	TLS       *TLS
	ProxyHead []byte // the proxy's raw answer, when there was one
	Timing    Timing

	Stage   Stage   // where it ended: StageContent when the response is whole
	Outcome Outcome // OutcomeOK when whole
	Failure string  // OONI failure string, empty when none
	Err     string  // original text, addresses of ours scrubbed

	Complete  bool   // the response is whole by its own framing
	Truncated string // WARC-Truncated: length, time, disconnect, unspecified; empty when Complete
	// Unsolicited holds octets that arrived on the idle connection and were not taken for an answer.
	Unsolicited int
}

// Get returns the first value of the header field, name compared without case.
func (e *Exchange) Get(name string) string {
	for _, f := range e.Header {
		if EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// EqualFold compares two ASCII strings without case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Lookup is one DNS question and its answer.
type Lookup struct {
	Engine  string    `json:"engine,omitempty"` // system, udp, tcp, dot, doh, hosts, pin; parent: a server of the zone above
	Server  string    `json:"server"`           // the server that was asked
	Name    string    `json:"name,omitempty"`
	Type    string    `json:"type"`  // A, AAAA; NS of delegations
	RCode   string    `json:"rcode"` // NOERROR, NXDOMAIN, ...; empty when no answer came
	EDE     []EDE     `json:"ede"`
	MS      float64   `json:"ms"`
	Answers []Answer  `json:"answers"`
	Outcome Outcome   `json:"outcome,omitempty"`
	At      time.Time `json:"at,omitzero"`
	// BlockList names the operator's list that holds an address of the answer; Outcome is then known_block_address.
	BlockList string `json:"block_list,omitempty"`
	// Note says in words why the outcome is what it is, where it is a mark.
	Note string `json:"note,omitempty"`
	// Cached says that nothing was asked: the answer was had at At, for another exchange of the same run.
	Cached bool `json:"cached,omitempty"`
	// Raw holds every datagram of the answer as it came; the archive keeps them as dns: resources.
	Raw [][]byte `json:"-"`
}

// Answer is one resource record of an answer.
type Answer struct {
	Type string `json:"type"` // A, AAAA, CNAME, NS
	Data string `json:"data"`
	TTL  uint32 `json:"ttl"`
}

// EDE is an extended DNS error (RFC 8914).
type EDE struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

// Try is one attempt to connect to one address.
type Try struct {
	Address string  `json:"address"`
	MS      float64 `json:"ms"`
	Outcome Outcome `json:"outcome"`
}

// TLS says what the handshake showed, also when the certificate is bad.
type TLS struct {
	Version  string    `json:"version"`
	Cipher   string    `json:"cipher,omitempty"`
	ALPN     string    `json:"alpn,omitempty"`
	SNI      string    `json:"sni,omitempty"`
	Verified bool      `json:"verified"`
	NotAfter time.Time `json:"not_after"` // zero, null in JSON: not known
	Issuer   string    `json:"issuer"`
	SHA256   string    `json:"sha256"` // of the leaf certificate, hex
	// Problem is the verification error's text when Verified is false.
	Problem string   `json:"problem,omitempty"`
	Chain   [][]byte `json:"-"` // DER, leaf first
}

// Timing holds durations in milliseconds; null where the phase was not reached.
type Timing struct {
	DNS       *float64 `json:"dns"`
	Connect   *float64 `json:"connect"`
	TLS       *float64 `json:"tls"`
	FirstByte *float64 `json:"first_byte"`
	Total     *float64 `json:"total"`
}

// Millis returns d in milliseconds, to microseconds, as Timing holds it.
func Millis(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}
