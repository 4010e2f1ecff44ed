// Package archive is the data folder of mirrorwatch: it takes sealed Exchanges and Notes, keeps them as WARC/1.1 records
// that other tools read too, and gives Captures, Snapshots and restored pages back.
//
// Invariants, in the order they are written (DESIGN section 5):
//
//   - Octets of a record first, synced; then the index line that points at them; then, by the caller, the row in history.
//     A crash leaves octets nobody points at, never a pointer without octets. A Capture is believed only after Commit.
//   - A WARC that is written is called NAME.warc.gz.open. It grows by whole gzip members only; what an error left behind is
//     cut off at once, what a crash left behind at the next Open, into a side file. Sealing syncs, writes the index, renames,
//     syncs the folder, and enters the file into manifest-sha256.txt. A sealed file is never written again.
//   - Everything in indexes/ can be computed again from archive/. A file that lost its index is read again, alone.
//   - Within one epoch the first capture of a payload is whole and later ones are revisits of it, so that an epoch can be
//     dropped without looking into others.
//   - One writer holds DIR/lock (flock: a killed writer leaves no stale lock). Readers take no lock and write nothing.
package archive
