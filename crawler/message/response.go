package message

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxHead bounds a head that is read back, in octets.
const MaxHead = 1 << 20

// Response is a stored response: its head, and its payload to be read once.
type Response struct {
	Head Head
	// Payload is the body with its transfer coding removed and its content coding kept: what payload digests are over.
	Payload io.Reader
}

// Open reads the head of a stored response block. Interim responses (1xx but 101) before the final one are skipped. A Status
// of 0 is one that whoever stored the block did not know.
//
// Quirk: many archives keep "Transfer-Encoding: chunked" over a body that is not chunked any more. A body that does not begin
// with a chunk-size line is therefore given as it is.
func Open(block io.Reader) (*Response, error) {
	br := bufio.NewReaderSize(block, 8<<10)
	for {
		raw, err := readHead(br)
		if err != nil && len(raw) == 0 {
			return nil, fmt.Errorf("reading response head: %w", err)
		}
		h, perr := parseHead(raw, true)
		if perr != nil {
			return nil, fmt.Errorf("reading response head: %w", perr)
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading response head: %w", err)
		}
		if h.Status < 200 && h.Status > 0 && h.Status != 101 && err == nil {
			if next, _ := br.Peek(5); strings.EqualFold(string(next), "HTTP/") {
				continue
			}
		}
		r := &Response{Head: h, Payload: br}
		if h.Chunked() && startsChunked(br) {
			r.Payload = Dechunk(br)
		}
		return r, nil
	}
}

// Decoded returns the payload with its content codings undone, capped as Decode says.
func (r *Response) Decoded(limit int64) io.Reader {
	return decodeAll(Codings(r.Head.Values("Content-Encoding")...), r.Payload, limit)
}

var errHeadTooBig = errors.New("head too big")

// readHead reads up to and including the blank line; io.EOF with what there was when the block ends before it.
func readHead(br *bufio.Reader) ([]byte, error) {
	var raw []byte
	for {
		line, err := br.ReadSlice('\n')
		raw = append(raw, line...)
		if len(raw) > MaxHead {
			return raw, errHeadTooBig
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return raw, err
		}
		if n := len(line); (n == 1 || n == 2 && line[0] == '\r') && !blank(raw) {
			if k := len(raw) - n; k == 0 || raw[k-1] == '\n' {
				return raw, nil
			}
		}
	}
}

// startsChunked reports whether the body begins with a chunk-size line, or is empty.
func startsChunked(br *bufio.Reader) bool {
	head, _ := br.Peek(64)
	return len(head) == 0 || StartsChunked(head)
}

// StartsChunked reports whether body, the first octets behind a head that announces chunks, can be the start of a chunked
// body: the transport and Open decide the payload of mislabelled bodies by it alike.
func StartsChunked(body []byte) bool {
	var c Chunks
	_, _, err := c.Next(body[:min(len(body), 64)])
	var bad *ChunkError
	return !errors.As(err, &bad) || bad.Offset > 0
}
