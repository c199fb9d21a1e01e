package backend

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// OIDC is an issuer of bearer tokens.
type OIDC struct {
	// Issuer is the URL that its tokens have as "iss".
	Issuer string
	// Audience are the names that we have there: a token must be for one of them.
	Audience []string
	// Scope is what a token must be good for; "" is anything.
	Scope string
	// Claim is the member of the token that is the login: email,
	// preferred_username, sub or another.
	Claim string
	// Domain is what a login without one is completed by; "" is nothing.
	Domain string
	// Leeway is how far clocks may be apart.
	Leeway time.Duration
	// Introspection says which tokens the issuer is asked about (RFC 7662):
	// IntrospectNever, IntrospectOpaque or IntrospectAlways.
	Introspection string
	// IntrospectionURL is where; "" is what the issuer's configuration says.
	IntrospectionURL string
	// ClientID and ClientSecretFile are who we are there (rfc6749#2.3.1).
	ClientID, ClientSecretFile string
}

// Values of OIDC.Introspection.
const (
	IntrospectNever  = "never"  // tokens are JWTs and speak for themselves
	IntrospectOpaque = "opaque" // those that are no JWT
	IntrospectAlways = "always" // all, so that a revoked one is noticed at once
)

// Issuer is a Backend that checks tokens; it implements account.Issuer.
type Issuer struct {
	*Backend
	oidc *issuer
}

// NewOIDC returns a backend. It does not connect. The error is a Mistake.
func NewOIDC(opt Options, o OIDC) (*Issuer, error) {
	i := &issuer{opt: o, now: time.Now}
	for key, u := range map[string]string{"issuer": o.Issuer, "introspection_url": o.IntrospectionURL} {
		if u == "" && key == "introspection_url" {
			continue
		}
		if _, err := secureURL(u); err != nil {
			return nil, &Mistake{key, err}
		}
	}
	var err error
	if o.ClientSecretFile != "" {
		if i.secret, err = readSecret("client_secret_file", o.ClientSecretFile); err != nil {
			return nil, err
		}
	}
	t, err := newTransport(opt)
	if err != nil {
		return nil, err
	}
	i.transport = t
	i.client = newClient(&issuerTransport{next: t, skew: &i.skew})
	i.keys = newIssuerKeys(i.client, o.Issuer)
	return &Issuer{newBackend(opt, i), i}, nil
}

// Passwords implements account.Backend.
func (i *Issuer) Passwords() bool { return false }

// Password implements account.Backend.
func (i *Issuer) Password(context.Context, string, string, account.Client) (account.Verdict, error) {
	return account.Verdict{Cause: account.MainPasswordNotSet, Detail: "this backend checks tokens only"}, nil
}

// Tokens implements account.Backend.
func (i *Issuer) Tokens() bool { return true }

// maxToken is the longest token, in octets.
const maxToken = 16 << 10

// Token implements account.Backend.
func (i *Issuer) Token(ctx context.Context, token, login string, _ account.Client) (account.Verdict, error) {
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return account.Verdict{Cause: account.TokenInvalid, Detail: "it is empty, too long, or holds what no token holds (rfc6750#2.1)"}, nil
	}
	if v, ok := i.oidc.foreign(token); ok {
		return v, nil
	}
	v, err := i.ask(ctx, "", func(ctx context.Context) (account.Verdict, error) {
		v, err := i.oidc.token(ctx, token)
		if v.OK && !i.Serves(v.Login) {
			v = account.Verdict{Cause: account.TokenUser, Detail: "it is for " + v.Login + ", which is in none of the domains of this issuer"}
		}
		return v, err
	})
	if err == nil && v.OK && login != "" && v.Login != account.NormalizeLogin(login) {
		return account.Verdict{Cause: account.TokenUser, Detail: printable("the token is for " + v.Login)}, nil
	}
	return v, err
}

// Issued implements account.Issuer.
func (i *Issuer) Issued(token string) bool {
	_, foreign := i.oidc.foreign(token)
	return !foreign
}

// Discovery implements account.Issuer.
func (i *Issuer) Discovery() account.Discovery {
	return account.Discovery{
		OpenIDConfiguration: strings.TrimSuffix(i.oidc.opt.Issuer, "/") + "/.well-known/openid-configuration",
		Scope:               i.oidc.opt.Scope,
	}
}

// issuer is the source of tokens.
type issuer struct {
	opt       OIDC
	secret    string
	transport *http.Transport
	client    *http.Client
	keys      *issuerKeys
	skew      skew
	now       func() time.Time
}

func (i *issuer) close() { i.transport.CloseIdleConnections() }

func (i *issuer) password(context.Context, string, string, account.Client) (account.Verdict, error) {
	return account.Verdict{}, errors.New("an issuer knows no passwords")
}

// foreign finds a token that names another issuer: no question is spent on it.
// Nothing is proved about one that does not.
func (i *issuer) foreign(token string) (account.Verdict, bool) {
	c, ok := unverified(token)
	if !ok || c.Issuer == "" || c.Issuer == i.opt.Issuer {
		return account.Verdict{}, false
	}
	return account.Verdict{Cause: account.TokenInvalid, Detail: printable("it comes from the issuer " + c.Issuer + ", not from " + i.opt.Issuer)}, true
}

// unverified reads the claims of a JWT without a look at its signature; ok is
// false of an opaque token (rfc7519#7.2).
func unverified(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || !json.Valid(header) {
		return c, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, false
	}
	c, err = parseClaims(payload)
	return c, err == nil
}

// token checks one token.
func (i *issuer) token(ctx context.Context, token string) (account.Verdict, error) {
	_, isJWT := unverified(token)
	if !isJWT {
		if i.opt.Introspection == "" || i.opt.Introspection == IntrospectNever {
			return account.Verdict{Cause: account.TokenInvalid, Detail: "it is no JWT, and introspection is off"}, nil
		}
		return i.introspected(ctx, token)
	}
	payload, err := i.keys.verify(ctx, token)
	switch {
	case errors.As(err, new(unsigned)):
		return account.Verdict{Cause: account.TokenInvalid, Detail: err.Error()}, nil
	case err != nil:
		return account.Verdict{}, err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return account.Verdict{Cause: account.TokenInvalid, Detail: err.Error()}, nil
	}
	if v := i.judge(&c); !v.OK || i.opt.Introspection != IntrospectAlways {
		return v, nil
	}
	return i.introspected(ctx, token)
}

// judge holds claims that are the issuer's against what we want of them.
func (i *issuer) judge(c *claims) account.Verdict {
	if c.Issuer != i.opt.Issuer { // OpenID Connect Core, 3.1.3.7
		return account.Verdict{Cause: account.TokenInvalid, Detail: "it comes from the issuer " + c.Issuer + ", not from " + i.opt.Issuer}
	}
	if c.Expires == nil {
		return account.Verdict{Cause: account.TokenInvalid, Detail: "it has no time at which it ends (exp)"}
	}
	if v, ok := i.timely(c); !ok {
		return v
	}
	if !slices.ContainsFunc(i.opt.Audience, func(a string) bool { return slices.Contains(c.Audience, a) }) { // rfc7519#4.1.3
		return account.Verdict{Cause: account.TokenAudience, Detail: "it is for " + listed(c.Audience) + ", not for " + listed(i.opt.Audience)}
	}
	return i.judgeUser(c)
}

// judgeUser looks at the scope and at who the token is for.
func (i *issuer) judgeUser(c *claims) account.Verdict {
	if s := i.opt.Scope; s != "" && !slices.Contains(c.scopes(), s) {
		return account.Verdict{Cause: account.TokenAudience, Detail: "it lacks the scope " + s + "; it has " + listed(c.scopes())}
	}
	login := account.NormalizeLogin(c.text(i.opt.Claim))
	switch {
	case login == "":
		return account.Verdict{Cause: account.TokenUser, Detail: "it does not say whose it is: there is no claim " + i.opt.Claim}
	case i.opt.Claim == "email" && c.unverifiedEmail():
		return account.Verdict{Cause: account.TokenInvalid, Detail: "the issuer has not verified the address " + login + " (email_verified)"}
	case !strings.Contains(login, "@") && i.opt.Domain != "":
		login += "@" + i.opt.Domain
	}
	return account.Verdict{OK: true, Login: login}
}

// timely reports whether a token is good now. One that has begun in the future,
// or that is over by our clock and not by the issuer's, shows that a clock is wrong.
func (i *issuer) timely(c *claims) (account.Verdict, bool) {
	now, leeway := i.now(), i.opt.Leeway
	for _, begins := range []*numericDate{c.NotBefore, c.IssuedAt} { // rfc7519#4.1.5
		if begins != nil && now.Add(leeway).Before(begins.time()) {
			return account.Verdict{Cause: account.TokenClockSkew, Detail: "it begins " + gap(begins.time().Sub(now)) + " from now (nbf, iat): the issuer's clock or ours is wrong"}, false
		}
	}
	if c.Expires == nil || now.Before(c.Expires.time().Add(leeway)) { // rfc7519#4.1.4
		return account.Verdict{}, true
	}
	over := c.Expires.time()
	if ahead, known := i.skew.get(now); known && ahead > leeway && now.Add(-ahead).Before(over.Add(leeway)) {
		return account.Verdict{Cause: account.TokenClockSkew, Detail: "our clock is " + gap(ahead) + " ahead of the issuer's, by which it is still good"}, false
	}
	return account.Verdict{Cause: account.TokenExpired, Detail: "it ended " + gap(now.Sub(over)) + " ago, at " + over.UTC().Format(time.RFC3339)}, false
}

// gap is a time between two clocks, for people.
func gap(d time.Duration) string { return d.Round(time.Second).String() }

// listed is a list, for people.
func listed(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}
