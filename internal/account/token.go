package account

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/sasl"
)

// judgement is what a mechanism may tell a client that is rejected: nothing that
// depends on the account (rfc7628#3.2.2).
func (p *policy) judgement(cause Cause) sasl.Judgement {
	if cause == "" {
		return sasl.Judgement{}
	}
	j := sasl.Judgement{Status: "invalid_token"}
	for _, b := range p.Backends {
		if i, ok := b.(Issuer); ok && b.Tokens() {
			d := i.Discovery()
			j.Scope, j.OpenIDConfiguration = d.Scope, d.OpenIDConfiguration
			break
		}
	}
	return j
}

// token checks a bearer token (rfc6750#2.1) with the backends that know tokens,
// until one vouches for it.
func (c *Checker) token(ctx context.Context, a *attempt) Result {
	a.credential = CredentialToken
	cause, detail, unproved := TokenInvalid, "", false
	var trouble error
	for _, b := range a.policy.Backends {
		if !b.Tokens() || a.login != "" && !b.Serves(a.login) {
			continue
		}
		if i, ok := b.(Issuer); ok && !i.Issued(a.cred.Secret) {
			continue
		}
		v, err := b.Token(ctx, a.cred.Secret, a.login, a.client)
		if err != nil {
			trouble = errors.Join(trouble, fmt.Errorf("ask the backend %s: %w", b.Name(), err))
			continue
		}
		if v.OK && a.login != "" && NormalizeLogin(v.Login) != a.login {
			v = Verdict{Cause: TokenUser, Detail: "the token is for " + v.Login}
		}
		right, why, err := c.vouched(ctx, a, b, v)
		switch {
		case err != nil:
			return c.down(a, err)
		case right:
			return c.settle(a, a.admit())
		case cause == TokenInvalid: // what is more exact is kept, with all that was said of it
			cause, detail, unproved = why, a.detail, a.unproved
		}
	}
	if trouble != nil && cause == TokenInvalid {
		c.know(a)
		return c.down(a, trouble)
	}
	if a.acc == nil && a.login != "" { // so that its owner can be told
		acc, _, err := c.directory.Login(ctx, a.login, "")
		if err != nil {
			return c.down(a, err)
		}
		a.acc = acc
	}
	a.detail, a.unproved = detail, unproved
	return c.settle(a, cause)
}

// Fingerprint names a certificate: SHA-256 of it in lower-case hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// certificate checks what EXTERNAL refers to (rfc4422#A): the certificate that
// the client has shown at the beginning of TLS. It is good if its fingerprint
// stands with the account, or if an authority that we trust says that its owner
// has the account's address.
func (c *Checker) certificate(ctx context.Context, a *attempt) Result {
	a.credential = CredentialCertificate
	if len(a.client.Certificates) == 0 {
		return c.settle(a, CertificateMissing)
	}
	leaf := a.client.Certificates[0]
	print := Fingerprint(leaf)
	a.detail = "SHA-256 " + print
	names := leaf.EmailAddresses // rfc5280#4.2.1.6
	if a.login != "" {
		names = []string{a.login}
	}
	// A stranger chose the names: so each costs one look-up and nothing else, and
	// they are few.
	authority := a.authority(leaf)
	for _, name := range names[:min(len(names), maxCertificateNames)] {
		name = NormalizeLogin(name)
		acc, _, err := c.directory.Login(ctx, name, "")
		if err != nil {
			return c.down(a, err)
		}
		if acc == nil {
			continue
		}
		a.acc = acc
		switch {
		case a.now.After(leaf.NotAfter) || a.now.Before(leaf.NotBefore):
			return c.settle(a, CertificateExpired)
		case slices.Contains(acc.Certificates, print), authority && namedIn(leaf.EmailAddresses, acc.Login):
			return c.settle(a, a.admit())
		}
	}
	if a.login != "" { // is it somebody else's?
		for _, name := range leaf.EmailAddresses[:min(len(leaf.EmailAddresses), maxCertificateNames)] {
			acc, _, err := c.directory.Login(ctx, NormalizeLogin(name), "")
			if err != nil {
				return c.down(a, err)
			}
			if acc != nil && (slices.Contains(acc.Certificates, print) || authority) {
				a.acc = acc
				return c.settle(a, ActsAsOther)
			}
		}
	}
	return c.settle(a, CertificateUnknown)
}

// maxCertificateNames is how many addresses of a certificate are looked at.
const maxCertificateNames = 4

// namedIn reports whether an address is among those of a certificate.
func namedIn(names []string, login string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, login) })
}

// authority reports whether one that we trust vouches for a certificate.
func (a *attempt) authority(leaf *x509.Certificate) bool {
	if a.policy.ClientCAs == nil {
		return false
	}
	others := x509.NewCertPool()
	for _, c := range a.client.Certificates[1:] {
		others.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.policy.ClientCAs, Intermediates: others, CurrentTime: a.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
