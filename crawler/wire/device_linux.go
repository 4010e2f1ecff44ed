package wire

import "syscall"

// canBindToDevice tries it on a socket that sends nothing. Kernels before 5.7 want CAP_NET_RAW.
func canBindToDevice(iface string) bool {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	return syscall.BindToDevice(fd, iface) == nil
}

// bindToDevice binds a socket to the interface before it connects: the answer of its routes, whatever the other interfaces know.
func bindToDevice(iface string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var bound error
		if err := c.Control(func(fd uintptr) { bound = syscall.BindToDevice(int(fd), iface) }); err != nil {
			return err
		}
		return bound
	}
}
