package wire

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"mirrorwatch/crawler/survey"
)

// sniffed is how much of a handshake's answer is kept: enough to see what plain text came in its place.
const sniffed = 512

// sniffer keeps the first octets read, until off.
type sniffer struct {
	net.Conn
	seen []byte
	off  bool
}

func (s *sniffer) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if !s.off && len(s.seen) < sniffed {
		s.seen = append(s.seen, p[:min(n, sniffed-len(s.seen))]...)
	}
	return n, err
}

// secure does the handshake over c.rw. The certificate is verified by ourselves, so that the chain is kept when it is bad.
func (t *Transport) secure(ctx context.Context, c *conn, host string, insecure bool) error {
	start := time.Now()
	info := &survey.TLS{}
	var verify error
	sniff := &sniffer{Conn: c.rw}
	cfg := &tls.Config{
		ServerName:         host,
		NextProtos:         []string{"http/1.1"},
		InsecureSkipVerify: true,
		Time:               t.now,
		VerifyConnection: func(s tls.ConnectionState) error {
			describe(info, s, host)
			verify = verifyChain(s, host, t.cfg.Roots, t.now())
			if verify != nil {
				info.Problem = verify.Error()
				if !insecure {
					return verify
				}
			}
			info.Verified = verify == nil
			return nil
		},
	}
	tc := tls.Client(sniff, cfg)
	_ = c.rw.SetDeadline(start.Add(t.limits.TLS))
	err := tc.HandshakeContext(ctx)
	c.timing.TLS = survey.Millis(time.Since(start))
	if info.SHA256 != "" {
		c.tls = info
	}
	if err != nil {
		f := handshake(ctx, err)
		if f.Outcome == survey.PlaintextOnTLS {
			_ = c.rw.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			var buf [sniffed]byte
			for len(sniff.seen) < sniffed {
				if _, err := sniff.Read(buf[:]); err != nil {
					break
				}
			}
			f.Err = fmt.Errorf("%w; first octets %q", err, sniff.seen)
		}
		return f
	}
	sniff.off, sniff.seen = true, nil
	state := tc.ConnectionState()
	c.rw, c.state, c.tls = tc, &state, info
	return nil
}

func describe(info *survey.TLS, s tls.ConnectionState, host string) {
	info.Version = tls.VersionName(s.Version)
	info.Cipher = tls.CipherSuiteName(s.CipherSuite)
	info.ALPN = s.NegotiatedProtocol
	if _, ok, _ := literal(host); !ok {
		info.SNI = host
	}
	for _, cert := range s.PeerCertificates {
		info.Chain = append(info.Chain, cert.Raw)
	}
	if len(s.PeerCertificates) > 0 {
		leaf := s.PeerCertificates[0]
		sum := sha256.Sum256(leaf.Raw)
		info.SHA256 = hex.EncodeToString(sum[:])
		info.NotAfter = leaf.NotAfter.UTC()
		info.Issuer = leaf.Issuer.String()
	}
}

func verifyChain(s tls.ConnectionState, host string, roots *x509.CertPool, now time.Time) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("x509: no certificate")
	}
	pool := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		pool.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: pool, CurrentTime: now})
	return err
}
