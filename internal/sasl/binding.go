package sasl

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
)

// The types of channel binding that SCRAM's -PLUS variants know here.
// tls-unique never (rfc5929#3): TLS 1.3 has none, and below that it is broken by
// the triple handshake.
const (
	// TLSExporter is made with the exporter of the connection, from TLS 1.3 on (or
	// 1.2 with the extended master secret): the label ExporterLabel, no context,
	// ExporterLength octets (rfc9266#2).
	TLSExporter = "tls-exporter"
	// TLSServerEndPoint is the hash of the server's certificate (rfc5929#4).
	TLSServerEndPoint = "tls-server-end-point"

	ExporterLabel  = "EXPORTER-Channel-Binding"
	ExporterLength = 32
)

// EndPoint returns the channel binding TLSServerEndPoint of a server that showed
// the certificate: the hash of it, by the hash function of its signature, but
// SHA-256 in the place of MD5 and SHA-1 (rfc5929#4.1). It is nil where the
// signature has no hash function of its own, as with Ed25519: then the binding
// is undefined.
func EndPoint(certificate *x509.Certificate) []byte {
	switch certificate.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		sum := sha256.Sum256(certificate.Raw)
		return sum[:]
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		sum := sha512.Sum384(certificate.Raw)
		return sum[:]
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		sum := sha512.Sum512(certificate.Raw)
		return sum[:]
	}
	return nil
}
