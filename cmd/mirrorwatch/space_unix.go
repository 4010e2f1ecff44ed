//go:build linux || darwin

package main

import (
	"os"
	"syscall"
)

// spaceLeft is what a process without privileges may still write below dir.
func spaceLeft(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
