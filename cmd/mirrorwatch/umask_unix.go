//go:build unix

package main

import (
	"os"
	"sync"
	"syscall"
)

// umask returns the process's mask. It can be read only by setting it, so it is read once.
var umask = sync.OnceValue(func() os.FileMode {
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return os.FileMode(mask)
})
