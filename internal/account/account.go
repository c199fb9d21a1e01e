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
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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
	// Salt and Iterations are those of SCRAM, shared by all secrets of the
	// account (rfc5802#3); empty until the first secret is set.
	Salt       []byte `json:"-"`
	Iterations int    `json:"-"`
	// Keys prove the main password by SCRAM; empty if there is none that can.
	Keys Keys `json:"-"`
	// Backend names the outside backend that knows the main password, "" for
	// ours: then Hash is not looked at.
	Backend string `json:"backend,omitempty"`
	// AppOnly says that the main password is for its owner's own affairs, and
	// that programs need an app password.
	AppOnly bool `json:"app_only,omitempty"`
	// Certificates are the SHA-256 fingerprints, in lower-case hex, of client
	// certificates that log in by EXTERNAL.
	Certificates []string `json:"certificates,omitempty"`
	// Limits bound what the account sends, with all its secrets together.
	Limits Limits `json:"limits,omitzero"`
	// Lang is the language of notices to its owner; "" is the server's.
	Lang string `json:"lang,omitempty"`
}

// Keys are what SCRAM keeps of one secret, for each hash; either may be empty.
type Keys struct {
	SHA256, SHA1 Key
}

// Key is StoredKey and ServerKey (rfc5802#3).
type Key struct {
	Stored []byte `json:"stored,omitempty"`
	Server []byte `json:"server,omitempty"`
}

// Limits are how much may be sent. For an account 0 is the server's default and
// -1 no limit; for an app password both mean that the account's limits are the
// only ones.
type Limits struct {
	MessagesHour   int `json:"messages_hour,omitempty"`
	MessagesDay    int `json:"messages_day,omitempty"`
	RecipientsHour int `json:"recipients_hour,omitempty"`
	RecipientsDay  int `json:"recipients_day,omitempty"`
	// NewRecipientsDay counts the addresses that the account never wrote to before.
	NewRecipientsDay int `json:"new_recipients_day,omitempty"`
}

// Scope is what an app password is good for; what is empty binds nothing.
type Scope struct {
	// Senders are the identities it may send as: addresses, and "@example.org"
	// for a domain. They never allow more than the account may.
	Senders []string `json:"senders,omitempty"`
	// Networks are where it may be used from.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Recipients are the domains that it may send to.
	Recipients []string `json:"recipients,omitempty"`
	// MaxSize is the largest message in octets.
	MaxSize int64 `json:"max_size,omitempty"`
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
	// LastMechanism and LastClient are how it was used last: the SASL name, and
	// what the client called itself at EHLO.
	LastMechanism string `json:"last_mechanism,omitempty"`
	LastClient    string `json:"last_client,omitempty"`
	// Keys prove it by SCRAM, with the account's salt.
	Keys Keys `json:"-"`
	// Idle ends it after so long without use; 0 for never.
	Idle time.Duration `json:"idle,omitempty"`
	// Suspended is zero unless an alarm has stopped it; SuspendedWhy is the alarm.
	Suspended    time.Time `json:"suspended,omitzero"`
	SuspendedWhy string    `json:"suspended_why,omitempty"`
	Scope        Scope     `json:"scope,omitzero"`
	Limits       Limits    `json:"limits,omitzero"`
	// Device says that it is for a device such as a printer, which is bound to its
	// network, sender and recipients.
	Device bool `json:"device,omitempty"`
	// Noticed is when its owner was last told of what comes or came to it: see
	// NoticeDue.
	Noticed time.Time `json:"noticed,omitzero"`
}

// Status is "active", "expired", "idle", "suspended" or "revoked" at now.
func (p *AppPassword) Status(now time.Time) string {
	switch {
	case !p.Revoked.IsZero():
		return "revoked"
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return "expired"
	case p.Idle > 0 && !now.Before(p.lastSeen().Add(p.Idle)):
		return "idle"
	case !p.Suspended.IsZero():
		return "suspended"
	}
	return "active"
}

// lastSeen is when it was used last, or made.
func (p *AppPassword) lastSeen() time.Time {
	if p.LastUse.After(p.Created) {
		return p.LastUse
	}
	return p.Created
}

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
	// Client is what the client called itself at EHLO, at most 100 octets of it.
	Client string `json:"client,omitempty"`
	// Detail is more of the cause, such as a backend's words.
	Detail string `json:"detail,omitempty"`
	// AppPassword names the app password concerned, by id and name.
	AppPassword     string    `json:"app_password,omitempty"`
	AppPasswordName string    `json:"app_password_name,omitempty"`
	AppPasswordEnd  time.Time `json:"app_password_end,omitzero"` // when it expired or was revoked
	// Count is how many events of the same cause, login and address this row
	// stands for; the newest is At.
	Count int `json:"count"`
}

// Use is a login that succeeded.
type Use struct {
	Login string
	// AppPassword is the id of the app password, "" for the main password.
	AppPassword string
	At          time.Time
	From        netip.Addr
	Mechanism   string
	// Client is what the client called itself at EHLO.
	Client string
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
	// UpdateAccount replaces all but Login, Created and LastLogin. Whoever reads an
	// account to change it sees to it that nobody else does so meanwhile.
	UpdateAccount(ctx context.Context, a Account) error // ErrNotFound
	RemoveAccount(ctx context.Context, login string) error
	AppPasswords(ctx context.Context, login string) ([]AppPassword, error)
	AddAppPassword(ctx context.Context, p AppPassword) error
	// RevokeAppPassword marks it; which is an id or a name. ErrNotFound.
	RevokeAppPassword(ctx context.Context, login, which string, now time.Time) (AppPassword, error)
	// ChangeAppPassword lets change change one of an account and returns it then:
	// Name, Expires, Idle, Suspended with its cause, Scope, Device, Limits, Keys and
	// Noticed. Nobody else changes it meanwhile, so change must be quick and must
	// not call the directory; an error of it is returned and nothing is changed.
	// ErrNotFound.
	ChangeAppPassword(ctx context.Context, login, id string, change func(p *AppPassword) error) (AppPassword, error)
	// RemoveAppPassword forgets one for good. ErrNotFound.
	RemoveAppPassword(ctx context.Context, login, id string) error
	// Secrets reads an account with all its app passwords in one look-up, for
	// mechanisms that do not say which secret is meant. An account that does not
	// exist is nil, and costs the same.
	Secrets(ctx context.Context, login string) (*Account, []AppPassword, error)
	// WithoutKeys counts the accounts and active app passwords that SCRAM cannot
	// check, for want of Keys.SHA256; those without a secret do not count.
	WithoutKeys(ctx context.Context) (int, error)
	// UpgradeSecret keeps a secret anew, unless it has been changed since. The salt
	// is taken only if the account has none. What no longer fits is no error.
	UpgradeSecret(ctx context.Context, u Upgrade) error
	// Used notes a successful login. It may be written later, in a batch.
	Used(u Use)
	// KnownNetworks returns from where accounts have logged in within KnownFor of
	// now, at most most rows, the one last seen last. Of one account MaxKnownNetworks
	// are kept, and Seen may be an hour behind.
	KnownNetworks(ctx context.Context, now time.Time, most int) ([]KnownNetwork, error)
	// Failed keeps a failure. It may be written later, in a batch, and is bounded
	// and aggregated.
	Failed(f Failure)
	// Failures lists, newest first; login "" lists all.
	Failures(ctx context.Context, login string, limit int) ([]Failure, error)
	// Failure finds one by its reference. ErrNotFound.
	Failure(ctx context.Context, reference string) (Failure, error)
}

// NormalizeLogin is the form of a login in which it is stored and compared:
// lower case, without surrounding space, a domain of other letters as A-labels
// (rfc5890#2.3.2.1).
func NormalizeLogin(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		if m, err := address.ParseMailbox(s); err == nil {
			return m.Key()
		}
	}
	return s
}

// MaySend reports whether the account may use sender as reverse-path: its own
// address, one of its identities, or the null reverse-path (rfc6409#6.1).
func (a *Account) MaySend(sender address.Mailbox) bool {
	if sender.IsZero() {
		return true
	}
	return sender.Key() == a.Login || named(a.Identities, sender)
}

// MaySend reports whether the scope lets a message have sender as its
// reverse-path; the null one is everybody's.
func (s *Scope) MaySend(sender address.Mailbox) bool {
	return len(s.Senders) == 0 || sender.IsZero() || named(s.Senders, sender)
}

// MayReach reports whether the scope lets a message go to a domain.
func (s *Scope) MayReach(d address.Domain) bool {
	return len(s.Recipients) == 0 || slices.Contains(s.Recipients, d.String())
}

// named reports whether a list has an address or its whole domain.
func named(list []string, m address.Mailbox) bool {
	key, domain := m.Key(), "@"+m.Domain.String()
	return slices.ContainsFunc(list, func(s string) bool { return s == key || s == domain })
}
