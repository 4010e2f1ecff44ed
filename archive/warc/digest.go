package warc

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
)

// Digest is a labelled digest (WARC 1.1, sections 5.8 and 5.9) as a value: however a file spelled it, equal digests of
// one algorithm compare equal with [Digest.Equal].
type Digest struct {
	Algorithm string // lower case: md5, sha1, sha256, sha384, sha512; others as written
	Sum       []byte // nil when the algorithm is not known
	text      string // the value as written, for algorithms we do not know
}

// ErrDigest is a value without a label, or one whose sum has no length of its algorithm in any known encoding.
var ErrDigest = errors.New("warc: no labelled digest")

var digests = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// ParseDigest reads a digest in every form found in files: hex or Base32 in either case, base64 and base64url with or
// without padding (warcio's example-digest.warc), and labels such as "SHA-256".
func ParseDigest(s string) (Digest, error) {
	label, value, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok || !isToken(label) || value == "" {
		return Digest{}, ErrDigest
	}
	alg := strings.ToLower(label)
	if short := strings.ReplaceAll(strings.ReplaceAll(alg, "-", ""), "_", ""); digests[short] != nil {
		alg = short
	}
	newHash := digests[alg]
	if newHash == nil {
		return Digest{Algorithm: alg, text: value}, nil
	}
	n := newHash().Size()
	value = strings.TrimRight(strings.TrimSpace(value), "=")
	d := Digest{Algorithm: alg}
	switch len(value) {
	case hex.EncodedLen(n):
		d.Sum, _ = hex.DecodeString(value)
	case base32.StdEncoding.WithPadding(base32.NoPadding).EncodedLen(n):
		d.Sum, _ = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(value))
	case base64.RawStdEncoding.EncodedLen(n):
		d.Sum, _ = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(value))
	}
	if len(d.Sum) != n {
		return Digest{}, ErrDigest
	}
	return d, nil
}

// Known reports whether the package can compute the algorithm. A digest that is not known is "not checked", never right.
func (d Digest) Known() bool { return d.Sum != nil }

// Equal reports whether both are the same digest of the same known algorithm.
func (d Digest) Equal(e Digest) bool {
	return d.Known() && d.Algorithm == e.Algorithm && bytes.Equal(d.Sum, e.Sum)
}

// New returns a hash of the digest's algorithm, nil when it is not known.
func (d Digest) New() hash.Hash {
	if f := digests[d.Algorithm]; f != nil {
		return f()
	}
	return nil
}

// String returns the form all readers take: sha1 in upper-case Base32, the others in lower-case hex, no padding.
func (d Digest) String() string {
	switch {
	case !d.Known():
		return d.Algorithm + ":" + d.text
	case d.Algorithm == "sha1":
		return "sha1:" + base32.StdEncoding.EncodeToString(d.Sum)
	}
	return d.Algorithm + ":" + hex.EncodeToString(d.Sum)
}

// SumDigest names the sum of a hash of the given algorithm.
func SumDigest(algorithm string, sum []byte) Digest { return Digest{Algorithm: algorithm, Sum: sum} }
