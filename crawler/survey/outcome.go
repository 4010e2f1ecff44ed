package survey

import (
	"strconv"
	"strings"
)

// Stage is where in its course a probe ended.
type Stage string

const (
	StageDNS     Stage = "dns"
	StageConnect Stage = "connect"
	StageProxy   Stage = "proxy"
	StageTLS     Stage = "tls"
	StageHTTP    Stage = "http"
	StageBody    Stage = "body"
	StageContent Stage = "content"
)

// Network reports whether a failure at this stage could be our own network's.
func (s Stage) Network() bool {
	switch s {
	case StageDNS, StageConnect, StageTLS, StageHTTP, StageBody, StageProxy:
		return true
	}
	return false
}

// Outcome is what happened at the stage: one word of a closed list (classification.md 1.1 to 1.5), or "status_NNN".
type Outcome string

const (
	OK Outcome = "ok"

	// dns
	NXDomain          Outcome = "nxdomain"
	NoAnswer          Outcome = "no_answer"
	ServFail          Outcome = "servfail"
	Refused           Outcome = "refused"
	Misbehaving       Outcome = "misbehaving"
	WrongID           Outcome = "wrong_id"
	Bogon             Outcome = "bogon"
	FilteredEDE       Outcome = "filtered_ede"
	KnownBlockAddress Outcome = "known_block_address"
	OnionLeakRefused  Outcome = "onion_leak_refused"

	// Marks on a Lookup: what the parent zone says of a domain's delegation. Never the outcome of a probe by themselves.
	ParkedNS     Outcome = "parked_ns"     // delegated to a parking service
	SeizedNS     Outcome = "seized_ns"     // delegated to servers of a seizing authority
	SinkholeNS   Outcome = "sinkhole_ns"   // delegated to a sinkhole
	RegistryHold Outcome = "registry_hold" // the parent zone does not have the name

	// dns, connect, tls, http, body
	Timeout Outcome = "timeout"

	// connect (host_unreachable and network_unreachable also dns)
	ConnectionRefused  Outcome = "connection_refused"
	ConnectionReset    Outcome = "connection_reset"
	ConnectionAborted  Outcome = "connection_aborted"
	HostUnreachable    Outcome = "host_unreachable"
	NetworkUnreachable Outcome = "network_unreachable"
	NetworkDown        Outcome = "network_down"
	GuardRefused       Outcome = "guard_refused"
	NoRoute            Outcome = "not_measured"    // no local route for the address family: a property of the vantage
	LocalResources     Outcome = "local_resources" // our own sockets or descriptors ran out

	// proxy
	ProxyUnreachable         Outcome = "proxy_unreachable"
	ProxyRefusedConnect      Outcome = "proxy_connect_refused" // CONNECT answered with another status than 2xx
	ProxyAuthRequired        Outcome = "proxy_auth_required"
	ProxyMalformed           Outcome = "proxy_malformed"
	SocksServerFailure       Outcome = "socks_server_failure"
	SocksNotAllowed          Outcome = "socks_connection_not_allowed"
	SocksNetworkUnreachable  Outcome = "socks_network_unreachable"
	SocksHostUnreachable     Outcome = "socks_host_unreachable"
	SocksConnectionRefused   Outcome = "socks_connection_refused"
	SocksTTLExpired          Outcome = "socks_ttl_expired"
	SocksCommandNotSupported Outcome = "socks_command_not_supported"
	SocksAddressNotSupported Outcome = "socks_address_not_supported"

	// tls
	HostnameMismatch   Outcome = "hostname_mismatch"
	UnknownAuthority   Outcome = "unknown_authority"
	CertificateExpired Outcome = "certificate_expired"
	CertificateEarly   Outcome = "certificate_not_yet_valid"
	InvalidCertificate Outcome = "invalid_certificate"
	Alert              Outcome = "alert"
	PlaintextOnTLS     Outcome = "plaintext_on_tls"
	H2Only             Outcome = "h2_only"
	EOF                Outcome = "eof"

	// http
	EmptyReply       Outcome = "empty_reply"
	Malformed        Outcome = "malformed"
	HeadTruncated    Outcome = "head_truncated"
	HeadTooBig       Outcome = "head_too_big"
	RateLimited      Outcome = "rate_limited"
	RedirectLoop     Outcome = "redirect_loop"
	TooManyRedirects Outcome = "too_many_redirects"
	BadLocation      Outcome = "bad_location"
	RobotsRefused    Outcome = "robots_refused"

	// body
	BodyTruncatedTransport Outcome = "body_truncated_transport"
	BodyTruncatedLimit     Outcome = "body_truncated_limit"
	BodyEmpty              Outcome = "body_empty"
	NotHTML                Outcome = "not_html"
	CharsetError           Outcome = "charset_error"
	DecodeError            Outcome = "decode_error"
	DecodedLimit           Outcome = "decoded_limit" // decompression bomb: the decoded cap was reached
	JSShell                Outcome = "js_shell"
	HostDown               Outcome = "host_down"        // of a link: its host failed several times in a row and is asked no more
	FragmentMissing        Outcome = "fragment_missing" // of a link: the page is there and has no place of that name
	ScriptRendered         Outcome = "script_rendered"  // of a link with a fragment: cannot verify, scripts make the page

	// ours, at any stage
	OwnNetwork  Outcome = "own_network"
	Interrupted Outcome = "interrupted"
	Budget      Outcome = "budget"
	Crashed     Outcome = "crashed" // a panic while reading the page: one probe lost, not the run
)

// Status is the outcome of a final 4xx or 5xx without a more precise class.
func Status(code int) Outcome { return Outcome("status_" + strconv.Itoa(code)) }

// StatusCode returns NNN of "status_NNN", else 0.
func (o Outcome) StatusCode() int {
	s, ok := strings.CutPrefix(string(o), "status_")
	if !ok {
		return 0
	}
	n, _ := strconv.Atoi(s)
	return n
}

// failures maps outcomes to the failure strings of OONI's df-007; absent ones have none of their own there.
var failures = map[Outcome]string{
	NXDomain: "dns_nxdomain_error", NoAnswer: "dns_no_answer", ServFail: "dns_servfail_error",
	Refused: "dns_refused_error", Misbehaving: "dns_server_misbehaving", WrongID: "dns_reply_with_wrong_query_id",
	Bogon: "dns_bogon_error", Timeout: "generic_timeout_error", ConnectionRefused: "connection_refused",
	ConnectionReset: "connection_reset", ConnectionAborted: "connection_aborted", HostUnreachable: "host_unreachable",
	NetworkUnreachable: "network_unreachable", NetworkDown: "network_down", HostnameMismatch: "ssl_invalid_hostname",
	UnknownAuthority: "ssl_unknown_authority", CertificateExpired: "ssl_invalid_certificate",
	CertificateEarly: "ssl_invalid_certificate", InvalidCertificate: "ssl_invalid_certificate",
	Alert: "ssl_failed_handshake", H2Only: "ssl_failed_handshake", EOF: "eof_error", EmptyReply: "eof_error",
	HeadTruncated: "eof_error", BodyTruncatedTransport: "eof_error", BadLocation: "http_invalid_redirect_location_host",
	Interrupted:        "interrupted",
	SocksServerFailure: "socks_server_failure", SocksNotAllowed: "socks_connection_not_allowed",
	SocksNetworkUnreachable: "socks_network_unreachable", SocksHostUnreachable: "socks_host_unreachable",
	SocksConnectionRefused: "socks_connection_refused", SocksTTLExpired: "socks_ttl_expired",
	SocksCommandNotSupported: "socks_command_not_supported", SocksAddressNotSupported: "socks_address_not_supported",
}

// FailureString returns OONI's failure string for the outcome: empty for OK and for plain HTTP statuses (which OONI does
// not call failures), "unknown_failure: <text>" where OONI has no word. text must be scrubbed of our own addresses.
func (o Outcome) FailureString(text string) string {
	if f, ok := failures[o]; ok {
		return f
	}
	switch {
	case o == OK, o == "", o.StatusCode() != 0, o == RateLimited:
		return ""
	case text == "":
		text = string(o)
	}
	return "unknown_failure: " + text
}
