package sasl

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"

	xdg "github.com/xdg-go/scram"
)

// TestEndPoint compares with another implementation, over every kind of
// signature that a certificate can have today.
func TestEndPoint(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		algorithm x509.SignatureAlgorithm
		key       crypto.Signer
		size      int
	}{
		{x509.SHA256WithRSA, rsaKey, 32},
		{x509.SHA384WithRSA, rsaKey, 48},
		{x509.SHA512WithRSA, rsaKey, 64},
		{x509.SHA256WithRSAPSS, rsaKey, 32},
		{x509.SHA384WithRSAPSS, rsaKey, 48},
		{x509.SHA512WithRSAPSS, rsaKey, 64},
		{x509.ECDSAWithSHA256, ecKey, 32},
		{x509.ECDSAWithSHA384, ecKey, 48},
		{x509.ECDSAWithSHA512, ecKey, 64},
		{x509.PureEd25519, edKey, 0},
	}
	for _, tt := range tests {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			certificate := selfSigned(t, tt.key, tt.algorithm)
			got := EndPoint(certificate)
			if len(got) != tt.size {
				t.Fatalf("%d octets, want %d", len(got), tt.size)
			}
			want, err := xdg.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}})
			if (err != nil) != (tt.size == 0) {
				t.Fatalf("the other implementation says: %v", err)
			}
			if !bytes.Equal(got, want.Data) {
				t.Errorf("got %x, want %x", got, want.Data)
			}
		})
	}
	// Nobody signs by SHA-1 any more, not even in a test, so the name has to do.
	old := &x509.Certificate{Raw: []byte("raw"), SignatureAlgorithm: x509.SHA1WithRSA}
	now := &x509.Certificate{Raw: []byte("raw"), SignatureAlgorithm: x509.SHA256WithRSA}
	if !bytes.Equal(EndPoint(old), EndPoint(now)) {
		t.Error("SHA-1 is not replaced by SHA-256")
	}
}

func selfSigned(t *testing.T, key crypto.Signer, algorithm x509.SignatureAlgorithm) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: algorithm, DNSNames: []string{"mx.example.org"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestBoundToTLS holds exchanges over a real connection: a client that binds
// to it by either type gets in, and one whose TLS ends elsewhere does not.
func TestBoundToTLS(t *testing.T) {
	here, server := handshake(t)
	_, elsewhere := handshake(t)
	binding := func(own *tls.ConnectionState, certificate *x509.Certificate) func(string) []byte {
		return func(kind string) []byte {
			if kind == TLSServerEndPoint {
				return EndPoint(certificate)
			}
			exported, err := own.ExportKeyingMaterial(ExporterLabel, nil, ExporterLength)
			if err != nil {
				t.Error(err)
			}
			return exported
		}
	}
	exporter, err := xdg.NewTLSExporterBinding(&here)
	if err != nil {
		t.Fatal(err)
	}
	endPoint, err := xdg.NewTLSServerEndpointBinding(&here)
	if err != nil {
		t.Fatal(err)
	}
	a := accountWith(t, SHA256, "pencil")
	for _, cb := range []xdg.ChannelBinding{exporter, endPoint} {
		for own, right := range map[*tls.ConnectionState]bool{&server.state: true, &elsewhere.state: false} {
			certificate := server.certificate
			if !right {
				certificate = elsewhere.certificate
			}
			m := mechanism(t, "SCRAM-SHA-256-PLUS", Channel{Binding: binding(own, certificate), Plus: true, Nonce: nonce})
			client := xdgClient(t, SHA256, "anna", "pencil", "")
			said, valid := a.withClient(m, client.NewConversationWithChannelBinding(cb))
			want := Oddity("")
			if !right {
				want = BindingDiffers
			}
			if (said == Accept) != right || valid != right || m.Credentials().Oddity != want {
				t.Errorf("%s: %v, valid %v, %+v", cb.Type, said, valid, m.Credentials())
			}
		}
	}
}

type tlsServer struct {
	state       tls.ConnectionState
	certificate *x509.Certificate
}

// handshake makes a connection in memory, and returns what both sides know.
func handshake(t *testing.T) (tls.ConnectionState, tlsServer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := selfSigned(t, key, x509.ECDSAWithSHA256)
	left, right := net.Pipe()
	defer left.Close()
	defer right.Close()
	server := tls.Server(right, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}, SessionTicketsDisabled: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	client := tls.Client(left, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState(), tlsServer{server.ConnectionState(), certificate}
}
