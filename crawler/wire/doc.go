// Package wire is the transport under colly: a http.RoundTripper that sees, and keeps, every byte.
//
// One RoundTrip walks this path, each step in a file of its own:
//
//	pool.go      an idle connection, looked at before it is trusted; only for questions that decide nothing
//	names.go     what the resolver said a moment ago, again only where nothing is decided
//	resolve.go   the name's addresses: own queries, so that NXDOMAIN, no data, SERVFAIL, REFUSED and silence differ
//	guard.go     is this address allowed? asked before each dial, so no packet leaves for a refused one
//	dial.go      address after address, every try kept; proxy.go asks a proxy instead
//	tls.go       the handshake; the chain is kept when it is bad
//	request.go   the request's exact octets
//	read.go      the response: head, framing, limits, straight into the spool (spool.go), digests fed on the way
//	roundtrip.go all of it in order; one survey.Exchange, sealed once, given to the Recorder
//	body.go      decoded, capped, UTF-8: what colly gets, after the Recorder has returned
//
// An attempt always ends in an Exchange, also when not one octet came, and every Exchange reaches the Recorder. What failed
// is named by where it failed (the stage) and by how (the outcome, in outcome.go, by error type and never by text unless
// there is no type): a reset in the handshake and a reset in the body are two things.
//
// A request that decides a verdict goes over a fresh connection. A kept connection is only a saving for pictures and links; if
// octets lie on it that nobody asked for, it is dropped, since they would be taken for the next answer. Retried is nothing but
// a kept connection that died before the first octet of the answer, or answered 408, which may have been on its way before we
// asked (RFC 9110 section 15.5.9); once, and both attempts are Exchanges. Everything else is for the crawler to ask again.
//
// The response is read by our own reader and not by net/http, because what net/http refuses is what a checker of broken
// mirrors is for. Reading is lenient as in browsers, but framing that can be understood in two ways is "malformed". HTTP/1.1
// only: what is archived must be what was sent.
//
// Deadlines: one per stage, one per read (stall), and the request's context over all. The context's end interrupts the
// connection from outside (context.AfterFunc), so it is felt at once wherever the attempt stands, and what arrived until then
// is kept. Proxies and resolvers are the operator's and stand outside the guard; their trouble is named as theirs.
package wire
