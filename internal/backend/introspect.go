package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/account"
)

// introspected asks the issuer about a token (RFC 7662).
func (i *issuer) introspected(ctx context.Context, token string) (account.Verdict, error) {
	at := i.opt.IntrospectionURL
	if at == "" {
		var err error
		if at, err = i.keys.introspectionURL(ctx); err != nil {
			return account.Verdict{}, err
		}
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}} // rfc7662#2.1
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return account.Verdict{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if i.opt.ClientID != "" {
		r.SetBasicAuth(url.QueryEscape(i.opt.ClientID), url.QueryEscape(i.secret)) // rfc6749#2.3.1
	}
	status, body, err := fetch(i.client, r)
	switch {
	case err != nil:
		return account.Verdict{}, err
	case status == http.StatusUnauthorized || status == http.StatusForbidden: // rfc7662#2.3: it is about us, not about the token
		return account.Verdict{}, fmt.Errorf("the issuer answered %d to our introspection: look at client_id and client_secret_file", status)
	case status != http.StatusOK:
		return account.Verdict{}, notOK("the issuer", status)
	}
	return i.judgeIntrospection(body)
}

// judgeIntrospection reads what the issuer says of a token (rfc7662#2.2). All but
// active may be missing. Of a token that is not active it tells nothing more.
func (i *issuer) judgeIntrospection(body []byte) (account.Verdict, error) {
	var a struct {
		Active *bool `json:"active"`
	}
	if err := json.Unmarshal(body, &a); err != nil || a.Active == nil {
		return account.Verdict{}, cannotTell("the issuer's answer to our introspection does not say whether the token is active")
	}
	if !*a.Active {
		return account.Verdict{Cause: account.TokenInvalid, Detail: "the issuer says that it is not active: expired, revoked, or not one of its own"}, nil
	}
	c, err := parseClaims(body)
	if err != nil {
		return account.Verdict{}, cannotTell("the issuer's answer to our introspection: %w", err)
	}
	if c.Issuer != "" && c.Issuer != i.opt.Issuer {
		return account.Verdict{Cause: account.TokenInvalid, Detail: "it comes from the issuer " + c.Issuer + ", not from " + i.opt.Issuer}, nil
	}
	if v, ok := i.timely(&c); !ok {
		return v, nil
	}
	// Without an audience a scope must show that it is for us.
	ours := slices.ContainsFunc(i.opt.Audience, func(a string) bool { return slices.Contains(c.Audience, a) })
	if !ours && (len(c.Audience) > 0 || i.opt.Scope == "") {
		return account.Verdict{Cause: account.TokenAudience, Detail: "it is for " + listed(c.Audience) + ", not for " + listed(i.opt.Audience)}, nil
	}
	return i.judgeUser(&c), nil
}
