//go:build !unix

package wire

import (
	"errors"
	"syscall"

	"mirrorwatch/crawler/survey"
)

// system names an error number of Windows Sockets, "" when err holds none that says something.
func system(err error) survey.Outcome {
	var n syscall.Errno
	if !errors.As(err, &n) {
		return ""
	}
	switch uintptr(n) {
	case 10061:
		return survey.ConnectionRefused
	case 10054:
		return survey.ConnectionReset
	case 10053:
		return survey.ConnectionAborted
	case 10065, 10064:
		return survey.HostUnreachable
	case 10051, 10013:
		return survey.NetworkUnreachable
	case 10050:
		return survey.NetworkDown
	case 10060:
		return survey.Timeout
	case 10024, 10048, 10049, 10055, 112:
		return survey.LocalResources
	}
	return ""
}
