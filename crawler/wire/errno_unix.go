//go:build unix

package wire

import (
	"errors"
	"syscall"

	"mirrorwatch/crawler/survey"
)

// system names an error number, "" when err holds none that says something.
func system(err error) survey.Outcome {
	var n syscall.Errno
	if !errors.As(err, &n) {
		return ""
	}
	switch n {
	case syscall.ECONNREFUSED:
		return survey.ConnectionRefused
	case syscall.ECONNRESET, syscall.EPIPE:
		return survey.ConnectionReset
	case syscall.ECONNABORTED:
		return survey.ConnectionAborted
	case syscall.EHOSTUNREACH, syscall.EHOSTDOWN:
		return survey.HostUnreachable
	case syscall.ENETUNREACH, syscall.EACCES, syscall.EPERM:
		return survey.NetworkUnreachable
	case syscall.ENETDOWN:
		return survey.NetworkDown
	case syscall.ETIMEDOUT:
		return survey.Timeout
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENOSPC,
		syscall.ENODEV: // the interface of the source is gone
		return survey.LocalResources
	}
	return ""
}
