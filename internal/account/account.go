// Package account is who may log in, by what, and send as whom.
//
// It promises that the stranger on the wire learns nothing and the owner
// learns the true cause: a failed login gives the same answer after the same
// work whether the name, the password or the date was wrong, and leaves an
// event under a reference that only the owner and the administrators can read.
//
// Main passwords are argon2id; app passwords are 160 random bits behind a
// public id, stored as HMAC-SHA-256 and found by one look-up.
//
// RFC 4954 (AUTH), RFC 6409 §6.1 (sender checks), RFC 9106 (argon2).
package account

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Account is one login.
type Account struct {
	// Login is an address in lower case, such as anna@example.org.
	Login string `json:"login"`
	// Hash is the main password in PHC string format, "" if there is none.
	Hash     string    `json:"-"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	// Identities are the addresses it may send as besides Login and the
	// addresses that forward to Login or are named like it; "@example.org" is
	// the whole domain.
	Identities []string  `json:"identities,omitempty"`
	LastLogin  time.Time `json:"last_login,omitzero"`
}

// AppPassword is a secret for one program or device.
type AppPassword struct {
	// ID is public: the first group of the password.
	ID    string `json:"id"`
	Login string `json:"login"`
	Name  string `json:"name"`
	// MAC is HMAC-SHA-256 over the whole password.
	MAC     []byte    `json:"-"`
	Created time.Time `json:"created"`
	// Expires is zero for never.
	Expires time.Time `json:"expires,omitzero"`
	// Revoked is zero unless it has been revoked.
	Revoked     time.Time  `json:"revoked,omitzero"`
	LastUse     time.Time  `json:"last_use,omitzero"`
	LastAddress netip.Addr `json:"last_address,omitzero"`
}

// Status is "active", "expired" or "revoked" at now.
func (p AppPassword) Status(now time.Time) string {
	switch {
	case !p.Revoked.IsZero():
		return "revoked"
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return "expired"
	}
	return "active"
}

// Cause is why a login failed; the keys login.<cause> of the reference explain
// it.
type Cause string

// The causes. On the wire the first eight are the same.
const (
	UnknownUser        Cause = "unknown_user"
	DomainMissing      Cause = "domain_missing"
	WrongPassword      Cause = "wrong_password"
	AppPasswordUnknown Cause = "app_password_unknown"
	AppPasswordRevoked Cause = "app_password_revoked"
	AppPasswordExpired Cause = "app_password_expired"
	MainPasswordNotSet Cause = "main_password_required_app"
	Malformed          Cause = "malformed"
	// AccountDisabled is said as 525, and only after the right secret.
	AccountDisabled Cause = "account_disabled"
	// BackendDown is said as 454.
	BackendDown Cause = "backend_down"
)

// Failure is a login that failed.
type Failure struct {
	// Reference is 80 random bits in base32, given to the client.
	Reference string    `json:"reference"`
	At        time.Time `json:"at"`
	Cause     Cause     `json:"cause"`
	// Login is the account's name; for a name that matches no account it is ""
	// (people type passwords there), and NameHash and NameHint stand for it.
	Login    string     `json:"login,omitempty"`
	NameHash []byte     `json:"-"`
	NameHint string     `json:"name_hint,omitempty"` // its first two characters
	Remote   netip.Addr `json:"remote,omitzero"`
	Service  string     `json:"service"`
	// Mechanism is the SASL name; TLS the version, "" in clear.
	Mechanism string `json:"mechanism"`
	TLS       string `json:"tls,omitempty"`
	// AppPassword names the app password concerned, by id and name.
	AppPassword     string    `json:"app_password,omitempty"`
	AppPasswordName string    `json:"app_password_name,omitempty"`
	AppPasswordEnd  time.Time `json:"app_password_end,omitzero"` // when it expired or was revoked
	// Count is how many events of the same cause, login and address this row
	// stands for; the newest is At.
	Count int `json:"count"`
}

// Retention of failures.
const (
	FailureRetention = 30 * 24 * time.Hour
	// MaxFailures is how many rows are kept in all; the oldest go first.
	MaxFailures = 100_000
)

// Errors of a Directory.
var (
	ErrNotFound = errors.New("no such account")
	ErrExists   = errors.New("the account exists already")
)

// Directory is where accounts are kept. It is safe for concurrent use; writes
// are durable when they return, except those that say otherwise.
type Directory interface {
	// Login reads an account and, in the same look-up, the app password with
	// the id if it is the account's. Neither need exist: then it is nil. It
	// costs the same whatever it finds.
	Login(ctx context.Context, login, appPasswordID string) (*Account, *AppPassword, error)
	Account(ctx context.Context, login string) (Account, error) // ErrNotFound
	Accounts(ctx context.Context) ([]Account, error)            // by login
	AddAccount(ctx context.Context, a Account) error            // ErrExists
	// UpdateAccount replaces Hash, Disabled and Identities.
	UpdateAccount(ctx context.Context, a Account) error // ErrNotFound
	RemoveAccount(ctx context.Context, login string) error
	AppPasswords(ctx context.Context, login string) ([]AppPassword, error)
	AddAppPassword(ctx context.Context, p AppPassword) error
	// RevokeAppPassword marks it; which is an id or a name. ErrNotFound.
	RevokeAppPassword(ctx context.Context, login, which string, now time.Time) (AppPassword, error)
	// Used notes a successful login; appPasswordID is "" for the main password.
	// It may be written later, in a batch.
	Used(login, appPasswordID string, at time.Time, from netip.Addr)
	// Failed keeps a failure. It may be written later, in a batch, and is bounded
	// and aggregated.
	Failed(f Failure)
	// Failures lists, newest first; login "" lists all.
	Failures(ctx context.Context, login string, limit int) ([]Failure, error)
	// Failure finds one by its reference. ErrNotFound.
	Failure(ctx context.Context, reference string) (Failure, error)
}

// NormalizeLogin is the form of a login in which it is stored and compared:
// lower case, without surrounding space.
func NormalizeLogin(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// MaySend reports whether the account may use sender as reverse-path: its own
// address, one of its identities, or the null reverse-path (rfc6409#6.1).
func (a *Account) MaySend(sender address.Mailbox) bool {
	if sender.IsZero() {
		return true
	}
	key := sender.Key()
	if key == a.Login {
		return true
	}
	for _, id := range a.Identities {
		if id == key || id == "@"+sender.Domain.String() {
			return true
		}
	}
	return false
}
