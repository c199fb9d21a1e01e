package smtpd

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"

	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
)

// The channel bindings that we know. tls-unique is not among them: TLS 1.3 has
// none, and that of TLS 1.2 is broken (rfc9266#3).
const (
	bindExporter    = "tls-exporter"
	bindServerPoint = "tls-server-end-point"
	exporterLabel   = "EXPORTER-Channel-Binding"
	exporterLength  = 32
)

// channelBinding returns what a login over t can be bound to, nil if there is
// nothing of the kind.
func channelBinding(t *tls.Conn, config *tls.Config, kind string) []byte {
	state := t.ConnectionState()
	switch kind {
	case bindExporter: // rfc9266#2
		// It fails for TLS 1.2 without the extended master secret.
		b, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterLength)
		if err != nil {
			return nil
		}
		return b
	case bindServerPoint: // rfc5929#4.1
		return serverEndPoint(shown(config, &state))
	}
	return nil
}

// serverEndPoint is the hash of a certificate, by the hash of its signature, or
// SHA-256 where that is an old one (rfc5929#4.1). Signatures that are made with
// another hash, or with none, have no such binding.
func serverEndPoint(leaf *x509.Certificate) []byte {
	if leaf == nil {
		return nil
	}
	var h crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h = crypto.SHA512
	default:
		return nil
	}
	sum := h.New()
	sum.Write(leaf.Raw)
	return sum.Sum(nil)
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
