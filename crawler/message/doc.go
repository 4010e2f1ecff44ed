// Package message reads HTTP messages as bytes: the head, chunked bodies, content codings and charsets, as real servers
// send them and not only as the standards allow.
//
// Everything here works on what was recorded, so the transport (which reads live) and the archive (which reads back years
// later) come to the same answer: the payload is always the body with its transfer coding removed and its content coding
// kept. Tolerance is marked by findings; only what cannot be read at all is an error. All input is hostile: lengths that a
// message declares are never allocated, and what a coding unfolds to is capped.
package message
