package archive

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
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
	mu    sync.Mutex
	now   map[[32]byte]*claimState
	prior *digestTable // nil until needed
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

func newClaims(a *Archive) *claims { return &claims{a: a, now: map[[32]byte]*claimState{}} }

func (c *claims) take(ctx context.Context, d survey.Digest) (*claim, error) {
	var key [32]byte
	if n, err := hex.Decode(key[:], []byte(d.Hex())); err != nil || n != 32 {
		return &claim{}, nil
	}
	for {
		c.mu.Lock()
		st := c.now[key]
		if st == nil {
			if c.prior == nil {
				t, err := c.a.loadDigests()
				if err != nil {
					c.mu.Unlock()
					return nil, err
				}
				c.prior = t
			}
			if o := c.prior.find(key); o != nil {
				c.mu.Unlock()
				return &claim{original: o}, nil
			}
			st = &claimState{done: make(chan struct{})}
			c.now[key] = st
			c.mu.Unlock()
			return &claim{key: key, state: st}, nil
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

// digestLine is a line of NAME.digests: hex digest, record ID, time in 17 digits, URL.
func digestLine(l *cdxj.Line) []byte {
	return []byte(strings.TrimPrefix(l.Digest, "sha256:") + " " + l.RecordID + " " + l.Timestamp + " " + l.URL)
}

func parseDigestLine(s string) (key [32]byte, o original, ok bool) {
	f := strings.SplitN(s, " ", 4)
	if len(f) != 4 || len(f[0]) != 64 {
		return key, o, false
	}
	if _, err := hex.Decode(key[:], []byte(f[0])); err != nil {
		return key, o, false
	}
	t, err := parse17(f[2])
	if err != nil {
		return key, o, false
	}
	return key, original{ID: survey.RecordID(f[1]), URL: f[3], Date: t}, true
}

// digestTable finds the originals of earlier runs of the epoch. It holds 16 octets per payload and reads the line itself
// when a digest fits.
type digestTable struct {
	files   []string
	entries []digestEntry // sorted by prefix
}

type digestEntry struct {
	prefix uint64
	file   uint32
	offset uint32
}

// loadDigests reads the digest files of the epoch.
func (a *Archive) loadDigests() (*digestTable, error) {
	names, err := filepath.Glob(a.path(indexDir, a.epoch+"-*"+digestSuffix))
	if err != nil {
		return nil, err
	}
	t := &digestTable{}
	slices.Sort(names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file := uint32(len(t.files))
		t.files = append(t.files, name)
		for offset := 0; offset < len(b); {
			end := offset
			for end < len(b) && b[end] != '\n' {
				end++
			}
			var p [8]byte
			if end-offset > 64 && offset < 1<<32-1 {
				if _, err := hex.Decode(p[:], b[offset:offset+16]); err == nil {
					t.entries = append(t.entries, digestEntry{binary.BigEndian.Uint64(p[:]), file, uint32(offset)})
				}
			}
			offset = end + 1
		}
	}
	slices.SortFunc(t.entries, func(x, y digestEntry) int {
		switch {
		case x.prefix < y.prefix:
			return -1
		case x.prefix > y.prefix:
			return 1
		case x.file != y.file:
			return int(x.file) - int(y.file)
		}
		return int(x.offset) - int(y.offset)
	})
	return t, nil
}

func (t *digestTable) find(key [32]byte) *original {
	prefix := binary.BigEndian.Uint64(key[:8])
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].prefix >= prefix })
	for ; i < len(t.entries) && t.entries[i].prefix == prefix; i++ {
		if k, o, ok := t.read(t.entries[i]); ok && k == key {
			return &o
		}
	}
	return nil
}

func (t *digestTable) read(e digestEntry) (key [32]byte, o original, ok bool) {
	f, err := os.Open(t.files[e.file])
	if err != nil {
		return key, o, false // then the payload is written whole once more
	}
	defer f.Close()
	buf := make([]byte, 16<<10)
	n, _ := f.ReadAt(buf, int64(e.offset))
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return parseDigestLine(line)
}
