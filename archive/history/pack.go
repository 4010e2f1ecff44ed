package history

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The findings of one check repeat each other: packed they take a fifth of the room, and of the writing.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err) // options of our own
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// maxUnpacked bounds what one document unpacks to.
const maxUnpacked = 256 << 20

// packed is a JSON list or object as it is stored; unpacked undoes it.
func packed(text []byte) []byte { return encoder().EncodeAll(text, make([]byte, 0, len(text)/4+64)) }

func unpacked(doc []byte) ([]byte, error) {
	if len(doc) == 0 || doc[0] == '[' {
		return doc, nil
	}
	text, err := decoder().DecodeAll(doc, nil)
	if err != nil {
		return nil, fmt.Errorf("unpacking a document: %w", err)
	}
	return text, nil
}
