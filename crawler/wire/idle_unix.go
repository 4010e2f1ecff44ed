//go:build unix

package wire

import (
	"net"
	"syscall"
)

// removeLater: an open file can lose its name at once.
const removeLater = false

// peek looks what lies on the socket without taking it: the octets there, and whether the connection is still open.
func peek(c net.Conn) (n int, open bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, false
	}
	var buf [512]byte
	var rerr error
	if err := raw.Read(func(fd uintptr) bool {
		n, _, rerr = syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}); err != nil {
		return 0, false
	}
	switch {
	case rerr == syscall.EAGAIN || rerr == syscall.EWOULDBLOCK || rerr == syscall.EINTR:
		return 0, true
	case rerr != nil || n <= 0:
		return 0, false
	}
	return n, true
}
