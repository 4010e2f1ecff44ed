package warc

import (
	"io"
	"sync"
)

// keepBack is how far a reader can go back after damage. A damaged deflate stream seldom runs on for more than a few
// hundred octets before it breaks a rule of the format.
const keepBack = 1 << 20

// tapes holds the memories of tapes that ended, whole ones only: each is 2*keepBack, and a new one costs more than what is
// read through it.
var tapes = sync.Pool{New: func() any { b := make([]byte, 0, 2*keepBack+64<<10); return &b }}

// tape reads a stream, counts, and remembers the last octets, so that the reader can return to a record whose beginning
// a damaged one before it swallowed. It makes no use of seeking: pipes work the same.
type tape struct {
	r      io.Reader
	n      int64   // position behind the last octet handed out
	hist   []byte  // the octets before n
	whole  *[]byte // where hist lies when it is of full size, from tapes
	pushed []byte  // octets to be handed out again
	err    error   // the first error of r other than io.EOF
}

func (t *tape) Read(p []byte) (int, error) {
	var n int
	var err error
	if len(t.pushed) > 0 {
		n = copy(p, t.pushed)
		t.pushed = t.pushed[n:]
	} else {
		if t.err != nil {
			return 0, t.err
		}
		n, err = t.r.Read(p)
		if err != nil && err != io.EOF {
			t.err = err
		}
	}
	t.n += int64(n)
	t.remember(p[:n])
	return n, err
}

func (t *tape) remember(p []byte) {
	if len(t.hist)+len(p) > cap(t.hist) && len(t.hist) >= 256<<10 && t.whole == nil {
		t.whole = tapes.Get().(*[]byte)
		t.hist = append((*t.whole)[:0], t.hist...)
	}
	t.hist = append(t.hist, p...)
	if len(t.hist) > 2*keepBack {
		t.hist = t.hist[:copy(t.hist, t.hist[len(t.hist)-keepBack:])]
	}
}

// forget gives the memory back. Nothing can be rewound any more.
func (t *tape) forget() {
	if t.whole != nil {
		*t.whole = t.hist[:0]
		tapes.Put(t.whole)
		t.whole, t.hist, t.pushed = nil, nil, nil
	}
}

// back rewinds to the position, or as near to it as is remembered, and returns where it is.
func (t *tape) back(pos int64) int64 {
	start := t.n - int64(len(t.hist))
	pos = min(max(pos, start), t.n)
	again := t.hist[pos-start:]
	t.pushed = append(append(make([]byte, 0, len(again)+len(t.pushed)), again...), t.pushed...)
	t.hist = t.hist[:pos-start]
	t.n = pos
	return pos
}

// since returns the remembered octets from the position on.
func (t *tape) since(pos int64) []byte {
	start := t.n - int64(len(t.hist))
	return t.hist[min(max(pos-start, 0), int64(len(t.hist))):]
}
