package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// readSecret reads the first line of a file. It is read once, when the backend is
// made: a reload reads it again.
func readSecret(key, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", &Mistake{key, err}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", &Mistake{key, fmt.Errorf("the first line of %s is empty; it must be the secret", file)}
	}
	return line, nil
}

// clientTLS trusts the authorities in a file, or those of the system. name is
// what the certificate must be for; "" is left to whoever dials.
func clientTLS(caFile, name string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name} // rfc9325#3.1.1
	if caFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, &Mistake{"ca_file", err}
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, &Mistake{"ca_file", fmt.Errorf("%s holds no certificate in PEM", caFile)}
	}
	return c, nil
}

// loopback reports whether a host is this machine, so that what is said to it in
// clear stays here.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}

// errClear is why nothing is said.
var errClear = errors.New("secrets would cross the network in clear; use TLS, or a loopback address")

// dialer is how a backend connects.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func (o Options) dialer() dialer {
	if o.Dial != nil {
		return o.Dial
	}
	return new(net.Dialer).DialContext
}
