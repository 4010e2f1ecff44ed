package archive

import (
	"errors"
	"fmt"
)

// ErrNewerFormat is returned by Open for a folder that a newer version of this program made.
var ErrNewerFormat = errors.New("data folder has a newer format than this program knows; update mirrorwatch")

// ErrNotFound is returned when the archive has no record that answers.
var ErrNotFound = errors.New("not in the archive")

// ErrReadOnly is returned by writing methods of an archive that was opened for reading.
var ErrReadOnly = errors.New("archive was opened for reading only")

// LockedError is returned by Open when another process writes the archive.
type LockedError struct {
	Path   string
	Holder string // what the holder wrote into the lock file: command, process, time; may be empty
}

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("another run holds %q", e.Path)
	}
	return fmt.Sprintf("another run holds %q (%s)", e.Path, e.Holder)
}

// WriteError says that the archive could not be written: disk full, failing disk, no permission. The file it names ends
// with its last whole record.
type WriteError struct {
	Path string
	Op   string // what was being done: "append to", "sync", "create", ...
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Path, e.Err) }
func (e *WriteError) Unwrap() error { return e.Err }

func writeError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var w *WriteError
	if errors.As(err, &w) {
		return err
	}
	return &WriteError{Path: path, Op: op, Err: err}
}
