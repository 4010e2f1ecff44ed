//go:build !linux

package wire

import "syscall"

// canBindToDevice: elsewhere an address of the interface is the source.
func canBindToDevice(string) bool { return false }

func bindToDevice(string) func(network, address string, c syscall.RawConn) error { return nil }
