//go:build unix

package main

import (
	"syscall"
	"time"
)

// processorTime is what this process has used of its processors, which other work on the machine changes less than it
// changes the clock's time.
func processorTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
