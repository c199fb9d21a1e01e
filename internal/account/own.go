package account

import (
	"context"
	"time"

	"github.com/onwardmail/onward/internal/sasl"
)

// ServiceOwn is Failure.Service where somebody wanted to manage his own account,
// instead of sending mail.
const ServiceOwn = "self-service"

// Owner checks the login and the main password of somebody of this machine who
// wants to manage his own account. That programs need an app password does not
// matter here (AppOnly); and an app password does not do, because whoever finds
// one in a device must not make himself others. who is what the machine calls him.
func (c *Checker) Owner(ctx context.Context, login, password, who string, now time.Time) Result {
	a := &attempt{
		policy: c.policy.Load(), cred: sasl.Credentials{Login: login, Secret: password, Key: -1},
		client: Client{Service: ServiceOwn, Helo: who}, now: now, login: NormalizeLogin(login), home: true, own: true,
	}
	r := c.password(ctx, a)
	if r.Cause == "" {
		r.Account = a.acc
	}
	return r
}

// IsAppPassword reports whether a text has the form of an app password.
func IsAppPassword(text string) bool {
	_, _, is := parseAppPassword(text)
	return is
}
