//go:build !unix

package wire

import (
	"errors"
	"net"
	"os"
	"time"
)

// removeLater: an open file cannot be removed here; the spool does it when it is freed.
const removeLater = true

// peek looks what lies on the socket. Without MSG_PEEK it has to take what is there, so the connection then counts as closed.
func peek(c net.Conn) (n int, open bool) {
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return 0, false
	}
	var buf [512]byte
	n, err := c.Read(buf[:])
	return n, n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
