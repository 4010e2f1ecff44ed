// Package survey is the vocabulary of mirrorwatch: the plain values that travel from the wire to the report.
//
// It imports nothing of ours and nothing outside the standard library, holds no behaviour beyond naming, ordering and
// encoding, and its JSON is the JSON of `check --format json`: there is one shape to learn. Times are UTC; what is
// unknown is null, never a made-up zero.
package survey

import (
	"net/url"
	"strings"
	"time"
)

// Schema names the JSON that this package's values make together (see Report).
const Schema = "mirrorwatch/check/1"

// Host is a lower-case host name in A-label form, with ":port" when the port is not the default of its scheme.
// It is what names a mirror in every output.
type Host string

// Digest is "sha256:" and 64 lower-case hex digits (archive-formats D1). Empty: not computed.
type Digest string

// Hex returns the digest without its label.
func (d Digest) Hex() string {
	_, hex, _ := strings.Cut(string(d), ":")
	return hex
}

// RecordID is a WARC-Record-ID without its angle brackets: "urn:uuid:...".
type RecordID string

// RunID names one invocation: UTC start time and a random part, "20261125T031700Z-5f2c9a"; it sorts by time.
type RunID string

// Role says why a mirror is looked at.
type Role string

const (
	Primary   Role = "primary"
	Alternate Role = "alternate"
	// Candidate mirrors were announced by a page and confirmed by nobody; they are visited only on request.
	Candidate Role = "candidate"
)

// Mirror is one origin expected to serve a site.
type Mirror struct {
	Scheme string `json:"scheme"` // "http" or "https"
	Host   Host   `json:"host"`
	Role   Role   `json:"role"`
}

// Origin returns "scheme://host".
func (m Mirror) Origin() string { return m.Scheme + "://" + string(m.Host) }

// Site is a name, its primary and its mirrors.
type Site struct {
	Name    string   `json:"name"`
	Mirrors []Mirror `json:"mirrors"` // the primary first, each host once
}

// Primary returns the first mirror of role primary, or the zero Mirror.
func (s Site) Primary() Mirror {
	for _, m := range s.Mirrors {
		if m.Role == Primary {
			return m
		}
	}
	return Mirror{}
}

// Hosts returns the hosts of the mirror set in the site's order.
func (s Site) Hosts() []Host {
	hosts := make([]Host, len(s.Mirrors))
	for i, m := range s.Mirrors {
		hosts[i] = m.Host
	}
	return hosts
}

// Article is one page of a site, whichever mirror serves it. URL is its address on the primary, without fragment.
type Article struct {
	Site string `json:"site"`
	URL  string `json:"url"`
}

// Vantage says where from and how to look. The zero value but for its name is the direct view through the system's
// resolver.
type Vantage struct {
	Name     string `json:"name"`
	Resolver string `json:"resolver,omitempty"` // system, udp://IP, tcp://IP, tls://NAME@IP, https://NAME/path@IP
	Proxy    string `json:"proxy,omitempty"`    // socks5://.. or http://.., without userinfo once recorded
	Source   string `json:"source,omitempty"`   // IP or interface
}

// Purpose says what a probe is asked for; it decides connection reuse, limits and what its failure means.
type Purpose string

const (
	ForVerdict   Purpose = "verdict"   // the article itself: always on a fresh connection
	ForDecoy     Purpose = "decoy"     // an article that cannot exist: fresh connection
	ForRoot      Purpose = "root"      // the mirror's root page: fresh connection
	ForCanary    Purpose = "canary"    // a name that must work: fresh connection
	ForFamily    Purpose = "family"    // the other address family: fresh connection, HEAD
	ForRequisite Purpose = "requisite" // a picture, style, script or font of a page
	ForLink      Purpose = "link"      // a link of a page
	ForRobots    Purpose = "robots"    // robots.txt
	ForFeed      Purpose = "feed"      // a feed or sitemap
	// ForDelegation is no request: the exchange holds only look-ups, those of the mirror's delegation at the parent zone.
	ForDelegation Purpose = "delegation"
)

// Decides reports whether a verdict rests on the answer, so that the connection must be fresh (fetching.md section 2).
func (p Purpose) Decides() bool {
	switch p {
	case ForVerdict, ForDecoy, ForRoot, ForCanary, ForFamily:
		return true
	}
	return false
}

// Probe is one question to one mirror. Its redirect hops and retries share its ID.
type Probe struct {
	ID      string  `json:"id"`
	Run     RunID   `json:"run"`
	Article string  `json:"article,omitempty"` // Article.URL; empty for canaries and robots
	Mirror  Host    `json:"mirror"`
	Vantage string  `json:"vantage"`
	Purpose Purpose `json:"purpose"`
	Attempt int     `json:"attempt"` // 1-based: retries of the whole question
	Hop     int     `json:"hop"`     // 0-based: redirects followed so far
}

// Capture is an Exchange or Note as the archive holds it. It may be believed (shown, pointed at from history) only
// after the Commit that follows the Put.
type Capture struct {
	RecordID RecordID `json:"record_id"`
	File     string   `json:"file"`   // relative to DIR/archive
	Offset   int64    `json:"offset"` // octets, of the record's gzip member
	Length   int64    `json:"length"` // octets, of the record's gzip member
	URL      string   `json:"url"`
	Payload  Digest   `json:"payload_digest"`
	// Date is the WARC-Date: the instant the exchange began.
	Date time.Time `json:"date"`
	// Status, Type and the flags let a reader choose without opening the record.
	Status     int    `json:"status,omitempty"`
	Type       string `json:"type,omitempty"`       // media type without parameters
	Revisit    bool   `json:"revisit,omitempty"`    // payload stands in an earlier record
	Truncated  string `json:"truncated,omitempty"`  // WARC-Truncated
	Unverified bool   `json:"unverified,omitempty"` // came over TLS that did not verify
	Imported   bool   `json:"imported,omitempty"`
}

// Snapshot is an article as one mirror served it once: the page and what it needs to be shown. It is named by the
// record ID of its page response.
type Snapshot struct {
	ID         RecordID    `json:"id"`
	Run        RunID       `json:"run"`
	Article    Article     `json:"article"`
	Mirror     Host        `json:"mirror"`
	Vantage    string      `json:"vantage"`
	URL        string      `json:"url"` // of the page response, after redirects
	Time       time.Time   `json:"time"`
	Page       Capture     `json:"page"`
	Requisites []Requisite `json:"requisites"`
	// LeftOut names requisites that were not captured, with the bound or outcome that kept them out.
	LeftOut []LeftOut `json:"left_out,omitempty"`
}

// Requisite is one requisite of a Snapshot; its Capture may be shared with other Snapshots and may be older.
type Requisite struct {
	URL string `json:"url"` // as the page names it, resolved, without fragment
	// Final is the URL that answered, when redirects led away from URL.
	Final   string  `json:"final,omitempty"`
	Capture Capture `json:"capture"`
}

// LeftOut is a requisite that the Snapshot lacks.
type LeftOut struct {
	URL string `json:"url"`
	Why string `json:"why"` // an Outcome, or a bound: "max_requisites", "max_bytes", "max_time", "not_same_site"
}

// Name returns how people name the snapshot: 17 digits of UTC time, a slash, the URL.
func (s Snapshot) Name() string { return Timestamp17(s.Time) + "/" + s.URL }

// Timestamp17 is the 17-digit form (milliseconds) that names snapshots and index lines.
func Timestamp17(t time.Time) string {
	s := t.UTC().Format("20060102150405.000")
	return s[:14] + s[15:]
}

// Note is a record of ours beside the exchanges: a run, a check, a snapshot list.
type Note struct {
	Kind NoteKind
	// URI is the record's WARC-Target-URI: the page's URL for snapshots, "urn:mirrorwatch:..." otherwise.
	URI  string
	Date time.Time
	// About is the record the note speaks of (WARC-Refers-To / Concurrent-To), if any.
	About RecordID
	// Body is the JSON of the note.
	Body []byte
}

// NoteKind is the schema name of a note's body.
type NoteKind string

const (
	NoteExchange NoteKind = "mirrorwatch/exchange/1"
	NoteSnapshot NoteKind = "mirrorwatch/snapshot/1"
	NoteCheck    NoteKind = "mirrorwatch/check/1"
	NoteRun      NoteKind = "mirrorwatch/run/1"
)

// MirrorName returns the Host of an absolute URL: lower case, default port dropped.
func MirrorName(u *url.URL) Host {
	h := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	switch p := u.Port(); {
	case p == "", u.Scheme == "http" && p == "80", u.Scheme == "https" && p == "443":
		return Host(h)
	default:
		return Host(h + ":" + p)
	}
}
