// Package sasl holds the mechanisms of AUTH as state machines: bytes in, bytes
// out, and at the end credentials that somebody else checks.
//
// It promises to be pure and bounded. A mechanism never learns whether the
// credentials were right, so it cannot leak it.
//
// RFC 4422 (SASL), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN).
package sasl

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxSecret is the longest user name or password that is read, in octets; the
// limit of the line alone (rfc4954#4) would allow 9 KB of argon2 input.
const MaxSecret = 1024

// ErrMalformed means that a response is not one of the mechanism.
var ErrMalformed = errors.New("not a response of this mechanism")

// Credentials are what a client offered.
type Credentials struct {
	// Mechanism is its name in capitals.
	Mechanism string
	// Authorize is the identity to act as, "" for the login itself
	// (rfc4616#2, authzid).
	Authorize string
	// Login is the identity whose secret is given (authcid).
	Login string
	// Secret is the password as it was sent.
	Secret string
}

// Mechanism is one exchange. Start is called once; initial is nil when the
// client gave no initial response (rfc4954#4), and empty when it gave "=".
// Each of Start and Next returns the next challenge, or done and then
// Credentials are complete. Before that they have the name of the mechanism.
type Mechanism interface {
	Start(initial []byte) (challenge []byte, done bool, err error)
	Next(response []byte) (challenge []byte, done bool, err error)
	Credentials() Credentials
}

// Offer is a mechanism that a server may offer.
type Offer struct {
	Name string
	// Clear says that it sends the secret itself, so it needs TLS.
	Clear bool
	New   func() Mechanism
}

// Offers returns the mechanisms in the order in which they are announced.
func Offers() []Offer {
	return []Offer{
		{"PLAIN", true, func() Mechanism { return &plain{} }},
		{"LOGIN", true, func() Mechanism { return &login{} }},
	}
}

// Find returns the offer with the name, in any case.
func Find(name string) (Offer, bool) {
	for _, o := range Offers() {
		if strings.EqualFold(o.Name, name) {
			return o, true
		}
	}
	return Offer{}, false
}

// plain is PLAIN: [authzid] NUL authcid NUL passwd (rfc4616#2).
type plain struct{ got Credentials }

func (p *plain) Start(initial []byte) ([]byte, bool, error) {
	p.got.Mechanism = "PLAIN"
	if initial == nil {
		return []byte{}, false, nil
	}
	return p.Next(initial)
}

func (p *plain) Next(response []byte) ([]byte, bool, error) {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return nil, false, ErrMalformed
	}
	for _, part := range parts {
		if len(part) > MaxSecret || !utf8.Valid(part) {
			return nil, false, ErrMalformed
		}
	}
	p.got = Credentials{
		Mechanism: "PLAIN",
		Authorize: string(parts[0]),
		Login:     string(parts[1]),
		Secret:    string(parts[2]),
	}
	return nil, true, nil
}

func (p *plain) Credentials() Credentials { return p.got }

// login is LOGIN: two prompts, whose text clients ignore or compare to the
// letter with these.
type login struct {
	named bool
	got   Credentials
}

func (l *login) Start(initial []byte) ([]byte, bool, error) {
	l.got.Mechanism = "LOGIN"
	if initial == nil {
		return []byte("Username:"), false, nil
	}
	return l.Next(initial)
}

func (l *login) Next(response []byte) ([]byte, bool, error) {
	if len(response) == 0 || len(response) > MaxSecret || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, ErrMalformed
	}
	if !l.named {
		l.named = true
		l.got.Login = string(response)
		return []byte("Password:"), false, nil
	}
	l.got.Secret = string(response)
	return nil, true, nil
}

func (l *login) Credentials() Credentials { return l.got }
