package onward

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/store"
)

// The self-signed certificate, in the data folder.
const (
	selfSignedCert = "selfsigned-cert.pem"
	selfSignedKey  = "selfsigned-key.pem"
	selfSignedLife = 10 * 365 * 24 * time.Hour
)

// loadCertificates reads the configured certificates, or the self-signed one,
// which it makes at the first start. The first one is shown to clients that do
// not name a host, or one that none is for.
func (s *Server) loadCertificates(c *config.Config) ([]*tls.Certificate, error) {
	certFile, keyFile := c.TLS.Certificate, c.TLS.Key
	if certFile == "" {
		certFile, keyFile = filepath.Join(c.Data, selfSignedCert), filepath.Join(c.Data, selfSignedKey)
		if _, err := os.Stat(c.Data); errors.Is(err, os.ErrNotExist) {
			s.First = true
		}
		if err := store.MakeFolder(c.Data); err != nil {
			return nil, err
		}
		if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
			if err := makeSelfSigned(c.Hostname, certFile, keyFile); err != nil {
				return nil, err
			}
		}
	}
	first, err := s.loadCertificate(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	certs := []*tls.Certificate{first}
	for _, file := range c.TLS.Chains {
		cert, err := s.loadCertificate(file, file)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if c.TLS.Certificate != "" && !slices.ContainsFunc(certs, func(cert *tls.Certificate) bool { return cert.Leaf.VerifyHostname(c.Hostname) == nil }) {
		s.log.Warn("no certificate is for the host name; clients that check will refuse it", "file", certFile, "hostname", c.Hostname)
	}
	return certs, nil
}

func (s *Server) loadCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and its key %s cannot be used: %w; both must be PEM files that belong together (tls.certificate, tls.key)", certFile, keyFile, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("the certificate %s cannot be read: %w", certFile, err)
		}
	}
	if now := time.Now(); now.After(cert.Leaf.NotAfter) {
		s.log.Warn("the certificate has expired; clients will refuse it: renew it and reload (SIGHUP)", "file", certFile, "since", cert.Leaf.NotAfter)
	}
	return &cert, nil
}

// newTLS makes the configuration of all handshakes. It is one for the life of
// the server, because the keys of session tickets are in it (rfc8446#4.6.1);
// which certificates there are is asked at each handshake, so that Reload takes
// effect at once.
func (s *Server) newTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12, // rfc8996, rfc9325#3.1.1
		GetCertificate: s.certificateFor,
	}
}

// newUserTLS is the same for the ports of users, where clients may be asked for
// certificates. Nobody is turned away for the one that he has: whether it is
// good shows at AUTH EXTERNAL, and only there.
func (s *Server) newUserTLS() *tls.Config {
	c := s.newTLS()
	c.ClientAuth = tls.RequestClientCert
	return c
}

// userTLSConfig is tlsConfig for the ports of users.
func (s *Server) userTLSConfig() *tls.Config {
	if s.external.Load() {
		return s.userTLS
	}
	return s.tlsConfig()
}

// certificateFor finds the certificate for the host that the client names
// (rfc6066#3).
func (s *Server) certificateFor(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certs := *s.certs.Load()
	if hello.ServerName != "" {
		for _, c := range certs {
			if hello.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
	}
	return certs[0], nil
}

// tlsConfig is for handshakes; nil while there is no certificate.
func (s *Server) tlsConfig() *tls.Config {
	if s.certs.Load() == nil {
		return nil
	}
	return s.tls
}

func makeSelfSigned(hostname, certFile, keyFile string) error {
	fail := func(err error) error { return fmt.Errorf("make a self-signed certificate: %w", err) }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fail(err)
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hostname},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{hostname, "localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return fail(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("write the self-signed certificate: %w; the data folder must be writable (key data)", err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return fmt.Errorf("write the key of the self-signed certificate: %w; the data folder must be writable (key data)", err)
	}
	return nil
}
