package archive

import (
	"context"
	"encoding/hex"
	"sync"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/crawler/survey"
)

// original is the record that revisits of a payload refer to.
type original struct {
	ID   survey.RecordID
	URL  string
	Date time.Time
}

// claims decides who writes a payload whole: the first in the epoch. A second one with the same digest waits until the
// first is in the file, so that a revisit never stands without its original, whatever a crash cuts off.
type claims struct {
	a     *Archive
	epoch string
	mu    sync.Mutex
	now   map[[32]byte]*claimState
	prior *originals // what earlier sessions of the epoch wrote; nil until needed
}

type claimState struct {
	original *original
	done     chan struct{}
}

// claim is what take returned: original when there is one, else the duty to write it and to call release.
type claim struct {
	original *original
	key      [32]byte
	state    *claimState
}

func newClaims(a *Archive, epoch string) *claims {
	return &claims{a: a, epoch: epoch, now: map[[32]byte]*claimState{}}
}

func (c *claims) take(ctx context.Context, d survey.Digest) (*claim, error) {
	var key [32]byte
	if n, err := hex.Decode(key[:], []byte(d.Hex())); err != nil || n != 32 {
		return &claim{}, nil
	}
	for {
		c.mu.Lock()
		st := c.now[key]
		if st == nil {
			st = &claimState{done: make(chan struct{})}
			c.now[key] = st
			prior, err := c.earlier()
			c.mu.Unlock()
			cl := &claim{key: key, state: st}
			if err != nil {
				c.release(cl, nil)
				return nil, err
			}
			l, ok, err := prior.find(d.Hex(), c.epoch)
			if err != nil {
				c.release(cl, nil)
				return nil, err
			}
			if ok {
				c.release(cl, &l)
				return &claim{original: originalOf(&l)}, nil
			}
			return cl, nil
		}
		if st.original != nil {
			c.mu.Unlock()
			return &claim{original: st.original}, nil
		}
		done := st.done
		c.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// earlier opens the digests of earlier sessions; the caller holds the lock.
func (c *claims) earlier() (*originals, error) {
	if c.prior == nil {
		o, err := c.a.openOriginals()
		if err != nil {
			return nil, err
		}
		c.prior = o
	}
	return c.prior, nil
}

func (c *claims) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prior.close()
}

// release ends a claim: with the line of the record that was appended, or with nil when it was not, and the next takes it.
func (c *claims) release(cl *claim, l *cdxj.Line) {
	if cl == nil || cl.state == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l != nil {
		cl.state.original = originalOf(l)
	} else {
		delete(c.now, cl.key)
	}
	close(cl.state.done)
}

func originalOf(l *cdxj.Line) *original {
	return &original{ID: survey.RecordID(l.RecordID), URL: l.URL, Date: lineTime(l)}
}
