// Package warc reads and writes web archives: WARC 1.1 out, and WARC 0.17 to 1.1 (plain, gzip, zstd) and ARC in.
//
// Writing is strict. An [Encoder] builds one record as one whole gzip member (WARC 1.1, Annex D) and refuses a header the
// standard forbids, so nothing invalid reaches a file. The caller appends the member in one write.
//
// Reading is lenient. Real files carry wrong lengths, missing line ends, cut members and junk; a [Reader] names each
// oddity as a [Finding] with its offset, takes the best-effort reading, and goes on at the next record. Only the trouble
// of the underlying reader itself ends it with an error.
//
// The package knows records, not what is in them: HTTP messages and articles are the business of others.
package warc
