package backend

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// claims are what a token or an introspection says (rfc7519#4.1, rfc7662#2.2).
type claims struct {
	Issuer    string       `json:"iss"`
	Audience  stringOrList `json:"aud"`
	Expires   *numericDate `json:"exp"`
	NotBefore *numericDate `json:"nbf"`
	IssuedAt  *numericDate `json:"iat"`
	// Scope is words between spaces (rfc8693#4.2); some issuers call it scp and
	// make a list of it.
	Scope stringOrList `json:"scope"`
	SCP   stringOrList `json:"scp"`
	// EmailVerified is true or false, which some issuers write as text.
	EmailVerified any `json:"email_verified"`

	all map[string]any
}

// parseClaims reads a JSON object.
func parseClaims(payload []byte) (claims, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, fmt.Errorf("its claims cannot be read: %w", err)
	}
	if err := json.Unmarshal(payload, &c.all); err != nil || c.all == nil {
		return c, fmt.Errorf("its claims are no JSON object")
	}
	return c, nil
}

// text is a claim that is text, "" where it is not.
func (c *claims) text(name string) string {
	s, _ := c.all[name].(string)
	return s
}

func (c *claims) scopes() []string {
	return strings.Fields(strings.Join(append(append([]string(nil), c.Scope...), c.SCP...), " "))
}

// unverifiedEmail reports whether the issuer says that it has not verified the
// address. One that says nothing of it is believed.
func (c *claims) unverifiedEmail() bool {
	switch v := c.EmailVerified.(type) {
	case nil:
		return false
	case bool:
		return !v
	case string:
		return v != "true"
	}
	return true
}

// stringOrList is a JSON string, or a list of them.
type stringOrList []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *stringOrList) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*s = nil
		if one != "" {
			*s = stringOrList{one}
		}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(s))
}

// numericDate is seconds since 1970, which may have a fraction (rfc7519#2).
type numericDate float64

// latest is the largest time that is looked at: the year 9999.
const latest = 253402300799

func (d numericDate) time() time.Time {
	s := min(max(float64(d), 0), latest)
	return time.Unix(int64(s), 0)
}
