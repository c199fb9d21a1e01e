package account

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// authority signs certificates of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	a.cert, a.key = a.sign(t, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate that is good for a day around now, unless it says
// otherwise; an authority without a certificate signs its own.
func (a *authority) sign(t *testing.T, c x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = now.Add(-12*time.Hour), now.Add(12*time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

// client makes a client's certificate for an address.
func (a *authority) client(t *testing.T, address string, c x509.Certificate) *x509.Certificate {
	t.Helper()
	c.EmailAddresses = []string{address}
	if c.ExtKeyUsage == nil {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	made, _ := a.sign(t, c)
	return made
}

// TestCertificates: EXTERNAL by the fingerprint that stands with an account, and
// by an authority that we trust; each thing that may be wrong with it.
func TestCertificates(t *testing.T) {
	d, _ := newDirectory(t)
	ours, strangers := newAuthority(t), newAuthority(t)
	pinned := strangers.client(t, "somebody@example.net", x509.Certificate{})
	overdue := x509.Certificate{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}
	early := x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}
	pinnedOld := strangers.client(t, "anna@example.org", overdue)
	d.accounts["anna@example.org"].Certificates = []string{Fingerprint(pinned), Fingerprint(pinnedOld)}
	d.accounts["off@example.org"].Certificates = []string{Fingerprint(pinned)}
	ca := x509.NewCertPool()
	ca.AddCert(ours.cert)
	between := new(authority)
	between.cert, between.key = ours.sign(t, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	server := x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}

	for name, tt := range map[string]struct {
		as    string
		shown []*x509.Certificate
		trust *x509.CertPool
		cause Cause
	}{
		"by fingerprint":                 {"anna@example.org", []*x509.Certificate{pinned}, nil, ""},
		"by fingerprint, other case":     {"Anna@Example.ORG", []*x509.Certificate{pinned}, nil, ""},
		"fingerprint of a disabled one":  {"off@example.org", []*x509.Certificate{pinned}, nil, AccountDisabled},
		"fingerprint of another account": {"apps@example.org", []*x509.Certificate{pinned}, nil, CertificateUnknown},
		"nobody has it":                  {"", []*x509.Certificate{pinned}, nil, CertificateUnknown},
		"unknown user":                   {"nobody@example.org", []*x509.Certificate{pinned}, ca, CertificateUnknown},
		"fingerprint, but overdue":       {"anna@example.org", []*x509.Certificate{pinnedOld}, nil, CertificateExpired},
		"by authority, as named there":   {"", []*x509.Certificate{ours.client(t, "anna@example.org", x509.Certificate{})}, ca, ""},
		"by authority, as asked":         {"anna@example.org", []*x509.Certificate{ours.client(t, "ANNA@example.org", x509.Certificate{})}, ca, ""},
		"by authority, as another":       {"apps@example.org", []*x509.Certificate{ours.client(t, "anna@example.org", x509.Certificate{})}, ca, ActsAsOther},
		"by authority, overdue":          {"", []*x509.Certificate{ours.client(t, "anna@example.org", overdue)}, ca, CertificateExpired},
		"by authority, too early":        {"", []*x509.Certificate{ours.client(t, "anna@example.org", early)}, ca, CertificateExpired},
		"by authority, for servers":      {"", []*x509.Certificate{ours.client(t, "anna@example.org", server)}, ca, CertificateUnknown},
		"authority not trusted":          {"", []*x509.Certificate{strangers.client(t, "anna@example.org", x509.Certificate{})}, ca, CertificateUnknown},
		"no authority is trusted":        {"", []*x509.Certificate{ours.client(t, "anna@example.org", x509.Certificate{})}, nil, CertificateUnknown},
		"with one between":               {"", []*x509.Certificate{between.client(t, "anna@example.org", x509.Certificate{}), between.cert}, ca, ""},
		"the one between is missing":     {"", []*x509.Certificate{between.client(t, "anna@example.org", x509.Certificate{})}, ca, CertificateUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			d.used, d.failures = nil, nil
			c := newChecker(d, 0)
			c.SetPolicy(Policy{Secrets: SecretPolicy{Cost: cheap(), Iterations: 4096}, ClientCAs: tt.trust})
			e, no := c.Begin(t.Context(), "EXTERNAL", Client{TLS: "TLS1.3", Certificates: tt.shown}, now)
			if no != Allowed {
				t.Fatalf("refused: %d", no)
			}
			a := e.Next(t.Context(), []byte(tt.as), now)
			r := a.Result
			if !a.Done || r.Cause != tt.cause || r.Err != nil {
				t.Fatalf("got %+v, want cause %q", r, tt.cause)
			}
			if tt.cause != "" {
				if want := "SHA-256 " + Fingerprint(tt.shown[0]); len(d.used) != 0 || len(d.failures) != 1 || d.failures[0].Detail != want {
					t.Errorf("used %v, noted %+v, want the detail %q", d.used, d.failures, want)
				}
				return
			}
			if r.Login != "anna@example.org" || r.Credential != CredentialCertificate || len(d.used) != 1 {
				t.Errorf("%+v, used %v", r, d.used)
			}
		})
	}
}

// TestNoCertificate: who has shown none is not offered EXTERNAL, and an outage is
// not held against a certificate.
func TestNoCertificate(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 0)
	if _, no := c.Begin(t.Context(), "EXTERNAL", Client{TLS: "TLS1.3"}, now); no != RefusedUnknown {
		t.Errorf("without a certificate: %d", no)
	}
	if _, no := c.Begin(t.Context(), "EXTERNAL", Client{}, now); no != RefusedClear {
		t.Errorf("in clear: %d", no)
	}
	shown := []*x509.Certificate{newAuthority(t).client(t, "anna@example.org", x509.Certificate{})}
	d.err = errNoKeys
	e, no := c.Begin(t.Context(), "EXTERNAL", Client{TLS: "TLS1.3", Certificates: shown}, now)
	if no != Allowed {
		t.Fatalf("refused: %d", no)
	}
	if r := e.Next(t.Context(), []byte("anna@example.org"), now).Result; r.Cause != BackendDown || r.Err == nil {
		t.Errorf("%+v", r)
	}
}
