package smtpd

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/onwardmail/onward/internal/sasl"
)

// channelBinding returns what a login over t can be bound to, nil if there is
// nothing of the kind.
func channelBinding(t *tls.Conn, config *tls.Config, kind string) []byte {
	state := t.ConnectionState()
	switch kind {
	case sasl.TLSExporter: // rfc9266#2
		// It fails for TLS 1.2 without the extended master secret.
		b, err := state.ExportKeyingMaterial(sasl.ExporterLabel, nil, sasl.ExporterLength)
		if err != nil {
			return nil
		}
		return b
	case sasl.TLSServerEndPoint: // rfc5929#4.1
		if leaf := shown(config, &state); leaf != nil {
			return sasl.EndPoint(leaf)
		}
	}
	return nil
}

// shown is the certificate that we showed. crypto/tls does not say which that
// was, and asks nobody when a session is resumed; so it is looked up again.
func shown(config *tls.Config, state *tls.ConnectionState) *x509.Certificate {
	var c *tls.Certificate
	switch {
	case config.GetCertificate != nil:
		c, _ = config.GetCertificate(&tls.ClientHelloInfo{
			ServerName: state.ServerName, SupportedVersions: []uint16{state.Version}, CipherSuites: []uint16{state.CipherSuite},
			SupportedCurves: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}, SupportedPoints: []uint8{0},
			SignatureSchemes: []tls.SignatureScheme{
				tls.Ed25519, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
				tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512, tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
			},
		})
	case len(config.Certificates) > 0:
		c = &config.Certificates[0]
	}
	if c == nil || len(c.Certificate) == 0 {
		return nil
	}
	if c.Leaf != nil {
		return c.Leaf
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}
