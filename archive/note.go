package archive

import (
	"encoding/json"
	"time"

	"mirrorwatch/crawler/survey"
)

// NoteHistory is the schema of what history.db was told besides run and check notes, in its order; never pruned.
const NoteHistory survey.NoteKind = "mirrorwatch/history/1"

// NoteRejudge is the schema of what other rules made of a check's observations later; never pruned.
const NoteRejudge survey.NoteKind = "mirrorwatch/rejudge/1"

// inlineLimit is the most that is kept as base64 inside the metadata record; larger by-catch gets a resource record.
const inlineLimit = 16 << 10

// exchangeNote is the JSON of a mirrorwatch/exchange/1 metadata record: all of an Exchange that the request and response
// records do not hold. Fields are only added within the schema number.
type exchangeNote struct {
	Schema   survey.NoteKind `json:"schema"`
	Response survey.RecordID `json:"response,omitempty"` // empty when no octet came
	Request  survey.RecordID `json:"request,omitempty"`
	Probe    survey.Probe    `json:"probe"`
	Method   string          `json:"method"`
	URL      string          `json:"url"`
	Started  time.Time       `json:"started"`
	Stage    survey.Stage    `json:"stage"`
	Outcome  survey.Outcome  `json:"outcome"`
	Failure  *string         `json:"failure"`
	Error    string          `json:"error,omitempty"`
	Status   *int            `json:"status"`
	Proto    string          `json:"proto,omitempty"`
	Complete bool            `json:"complete"`
	Cut      string          `json:"truncated,omitempty"`
	Payload  survey.Digest   `json:"payload_digest,omitempty"`
	Size     int64           `json:"payload_size"`
	Reused   bool            `json:"reused_connection,omitempty"`
	Via      string          `json:"via,omitempty"`
	Peer     *string         `json:"peer"`
	Tries    []survey.Try    `json:"tries"`
	DNS      []lookupNote    `json:"dns"`
	Timing   survey.Timing   `json:"timing_ms"`
	TLS      *tlsNote        `json:"tls"`
	Flags    []string        `json:"flags,omitempty"` // unverified, user_agent
	Masked   []string        `json:"masked,omitempty"`
	Interim  *octets         `json:"interim,omitempty"`
	Surplus  *octets         `json:"surplus,omitempty"`
	Proxy    []byte          `json:"proxy_head,omitempty"`
	Unasked  int             `json:"unsolicited,omitempty"`
}

// octets holds by-catch: in place when small, else in the record named.
type octets struct {
	Size   int64           `json:"size"`
	Base64 []byte          `json:"base64,omitempty"`
	Record survey.RecordID `json:"record,omitempty"`
	Spans  []survey.Span   `json:"spans,omitempty"` // the single 1xx responses, counted from the first octet received
}

type tlsNote struct {
	survey.TLS
	Chain [][]byte `json:"chain"` // DER in base64, leaf first
	// ChainIn is the exchange whose note holds the same chain, when this one leaves it out; survey.TLS has the leaf's digest.
	ChainIn survey.RecordID `json:"chain_in,omitempty"`
}

// MarshalJSON adds the chain, or where it is, to what survey.TLS writes of itself: an embedded method would hide it.
func (n tlsNote) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(n.TLS)
	if err != nil {
		return nil, err
	}
	if n.ChainIn != "" {
		id, err := json.Marshal(n.ChainIn)
		return append(append(append(b[:len(b)-1], `,"chain_in":`...), id...), '}'), err
	}
	chain, err := json.Marshal(n.Chain)
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], `,"chain":`...)
	return append(append(b, chain...), '}'), nil
}

type lookupNote struct {
	survey.Lookup
	Raw [][]byte `json:"raw,omitempty"` // the datagrams in base64
}

// Flags of exchange notes and index lines.
const (
	flagUnverified = "unverified"
	flagImported   = "imported"
	flagUserAgent  = "user_agent"
)

func newExchangeNote(e *survey.Exchange) exchangeNote {
	n := exchangeNote{
		Schema: survey.NoteExchange, Probe: e.Probe, Method: e.Method, URL: e.URL, Started: e.Started.UTC(),
		Stage: e.Stage, Outcome: e.Outcome, Error: e.Err, Proto: e.Proto, Complete: e.Complete, Cut: e.Truncated,
		Payload: e.PayloadDigest, Size: e.PayloadSize, Reused: e.Reused, Via: e.Via, Tries: e.Tries, Timing: e.Timing,
		Masked: e.Masked, Proxy: e.ProxyHead, Unasked: e.Unsolicited, DNS: []lookupNote{},
	}
	if e.Failure != "" {
		n.Failure = &e.Failure
	}
	if e.Status != 0 {
		n.Status = &e.Status
	}
	if e.Peer.IsValid() {
		n.Peer = survey.Ptr(e.Peer.String())
	}
	if n.Tries == nil {
		n.Tries = []survey.Try{}
	}
	for _, l := range e.Lookups {
		n.DNS = append(n.DNS, lookupNote{l, l.Raw})
	}
	if e.TLS != nil {
		n.TLS = &tlsNote{TLS: *e.TLS, Chain: e.TLS.Chain}
	}
	return n
}
