package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"

	"mirrorwatch/crawler/survey"
)

// Failure is how an attempt ended before its response was whole: the error that RoundTrip returns.
type Failure struct {
	Stage   survey.Stage
	Outcome survey.Outcome
	Err     error
	// ooni overrides the outcome's failure string.
	ooni string
}

func (f *Failure) Error() string { return string(f.Stage) + ": " + f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

func fail(stage survey.Stage, outcome survey.Outcome, err error) *Failure {
	if err == nil {
		err = errors.New(string(outcome))
	}
	return &Failure{Stage: stage, Outcome: outcome, Err: err}
}

// failed names err at a stage. The end of ctx is looked at first: it shows as whatever call it interrupted.
func failed(ctx context.Context, stage survey.Stage, err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, context.DeadlineExceeded) {
			return fail(stage, survey.Timeout, cause)
		}
		return fail(stage, survey.Interrupted, cause)
	}
	return fail(stage, network(err), err)
}

// network names an error of the operating system or the connection.
func network(err error) survey.Outcome {
	if o := system(err); o != "" {
		return o
	}
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return survey.Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return survey.EOF
	case errors.Is(err, errNoRoute):
		return survey.NoRoute
	case errors.Is(err, context.Canceled):
		return survey.Interrupted
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return survey.ConnectionAborted
	}
	return survey.ConnectionAborted
}

// handshake names an error of a TLS handshake.
func handshake(ctx context.Context, err error) *Failure {
	const at = survey.StageTLS
	if ctx.Err() != nil {
		return failed(ctx, at, err)
	}
	var (
		record  tls.RecordHeaderError
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
		op      *net.OpError
		text    = err.Error()
	)
	switch {
	case errors.As(err, &record):
		return fail(at, survey.PlaintextOnTLS, err)
	case errors.As(err, &name):
		return fail(at, survey.HostnameMismatch, err)
	case errors.As(err, &invalid):
		return fail(at, invalidCertificate(invalid), err)
	case errors.As(err, &unknown):
		return fail(at, survey.UnknownAuthority, err)
	case errors.As(err, &roots):
		return fail(at, survey.LocalResources, err)
	case strings.Contains(text, "unadvertised ALPN protocol"):
		return fail(at, survey.H2Only, err)
	case errors.As(err, &op) && op.Op == "remote error":
		// Alerts of the peer have no type of their own (errors.As to tls.AlertError is false).
		if strings.Contains(text, "no application protocol") {
			return fail(at, survey.H2Only, err)
		}
		f := fail(at, survey.Alert, err)
		if strings.Contains(text, "unrecognized name") {
			f.ooni = "ssl_invalid_hostname"
		}
		return f
	case system(err) != "", errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return failed(ctx, at, err)
	case strings.HasPrefix(text, "x509:"), strings.Contains(text, "certificate"):
		return fail(at, survey.InvalidCertificate, err)
	case strings.HasPrefix(text, "tls:"), strings.HasPrefix(text, "local error"):
		return fail(at, survey.Alert, err)
	}
	return failed(ctx, at, err)
}

func invalidCertificate(e x509.CertificateInvalidError) survey.Outcome {
	if e.Reason != x509.Expired {
		return survey.InvalidCertificate
	}
	// x509 has one reason for both ends of the validity; its detail tells them apart.
	if strings.Contains(e.Detail, "is before") {
		return survey.CertificateEarly
	}
	return survey.CertificateExpired
}

var localEnd = regexp.MustCompile(`(\[[0-9a-fA-F:.%\w]+\]|[0-9.]+):[0-9]+->`)

// scrub takes our own addresses out of an error's text (classification.md section 1).
func scrub(text string) string { return localEnd.ReplaceAllString(text, "[scrubbed]->") }
