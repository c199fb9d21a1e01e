package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/sasl"
)

// MaxHashing is how many argon2 computations run at once by default; each takes
// Cost.Memory, so 2 of them take 38 MiB.
const MaxHashing = 2

// hashingPatience is how long a login waits for its turn.
const hashingPatience = 10 * time.Second

// Client is who tries to log in.
type Client struct {
	Remote  netip.Addr
	Service string
	TLS     string
	// Helo is what it called itself.
	Helo string
}

// Result is what a try came to. Exactly one of Login and Cause is set.
type Result struct {
	Login string
	// Credential is "main" or the id of the app password.
	Credential string
	Cause      Cause
	// Reference leads the owner to the cause.
	Reference string
	// Err is the trouble behind BackendDown, for the log.
	Err error
}

// Checker checks credentials. Every failed try does the same work: one look-up
// and one argon2 computation, whatever was wrong.
type Checker struct {
	directory Directory
	key       []byte
	cost      Cost
	// slots bounds the argon2 computations under way.
	slots chan struct{}
	// decoy is the hash that is computed where there is none to compare with.
	decoy string
	// hashing, if set, is called before each argon2 computation: tests count.
	hashing func()
}

// NewChecker returns a Checker; key is the installation's key for app
// passwords, at most hashing argon2 computations run at once.
func NewChecker(d Directory, key []byte, cost Cost, hashing int) *Checker {
	if hashing <= 0 {
		hashing = MaxHashing
	}
	return &Checker{
		directory: d, key: key, cost: cost, slots: make(chan struct{}, hashing),
		decoy: phc("decoy", make([]byte, saltSize), cost),
	}
}

// Check checks credentials and notes the result in the directory.
func (c *Checker) Check(ctx context.Context, cred sasl.Credentials, client Client, now time.Time) Result {
	login := NormalizeLogin(cred.Login)
	canonical, appID, isApp := parseAppPassword(cred.Secret)
	acc, app, err := c.directory.Login(ctx, login, appID)
	if err != nil {
		return Result{Cause: BackendDown, Err: fmt.Errorf("look up the login: %w", err)}
	}
	cause, credential := WrongPassword, "main"
	proof := mac(c.key, canonical) // always, for the same work
	appOK := isApp && app != nil && subtle.ConstantTimeCompare(proof, app.MAC) == 1
	switch {
	case appOK && acc != nil && !acc.Disabled && app.Status(now) == "active" && actsAsItself(cred, login):
		c.directory.Used(Use{Login: acc.Login, AppPassword: app.ID, At: now, From: client.Remote, Mechanism: cred.Mechanism, Client: client.Helo})
		return Result{Login: acc.Login, Credential: app.ID}
	case acc == nil && !strings.Contains(login, "@"):
		cause = DomainMissing
	case acc == nil:
		cause = UnknownUser
	case appOK && app.Status(now) == "revoked":
		cause = AppPasswordRevoked
	case appOK && app.Status(now) == "expired":
		cause = AppPasswordExpired
	case appOK && acc.Disabled:
		cause, credential = AccountDisabled, app.ID
	case isApp:
		cause = AppPasswordUnknown
	case acc.Hash == "":
		cause = MainPasswordNotSet
	}
	stored := c.decoy
	if acc != nil && acc.Hash != "" {
		stored = acc.Hash
	}
	right, err := c.argon2(ctx, cred.Secret, stored)
	if err != nil {
		return Result{Cause: BackendDown, Err: err}
	}
	if right && acc != nil && acc.Hash != "" {
		switch {
		case acc.Disabled:
			cause = AccountDisabled
		case actsAsItself(cred, login):
			c.directory.Used(Use{Login: acc.Login, At: now, From: client.Remote, Mechanism: cred.Mechanism, Client: client.Helo})
			return Result{Login: acc.Login, Credential: credential}
		}
	}
	if !actsAsItself(cred, login) {
		cause = Malformed
	}
	return c.failed(acc, app, login, cause, cred, client, now)
}

// actsAsItself reports whether the authorization identity is the login itself;
// acting as another is not offered (rfc4616#2).
func actsAsItself(cred sasl.Credentials, login string) bool {
	return cred.Authorize == "" || NormalizeLogin(cred.Authorize) == login
}

// argon2 compares within the bound on concurrent computations.
func (c *Checker) argon2(ctx context.Context, secret, stored string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hashingPatience)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return false, fmt.Errorf("too many logins are being checked: %w", ctx.Err())
	}
	defer func() { <-c.slots }()
	if c.hashing != nil {
		c.hashing()
	}
	return matches(secret, stored)
}

// failed notes a failure and makes its reference.
func (c *Checker) failed(acc *Account, app *AppPassword, login string, cause Cause, cred sasl.Credentials, client Client, now time.Time) Result {
	f := Failure{
		Reference: NewReference(rand.Reader), At: now, Cause: cause, Remote: client.Remote,
		Service: client.Service, TLS: client.TLS, Mechanism: cred.Mechanism, Count: 1,
	}
	nameHash := mac(c.key, "name "+login) // always, for the same work
	if acc != nil {
		f.Login = acc.Login
	} else {
		// It matches no account: people type passwords here, so it is not kept.
		f.NameHash = nameHash
		f.NameHint = hint(login)
	}
	if app != nil && (cause == AppPasswordRevoked || cause == AppPasswordExpired) {
		f.AppPassword, f.AppPasswordName = app.ID, app.Name
		f.AppPasswordEnd = app.Expires
		if cause == AppPasswordRevoked {
			f.AppPasswordEnd = app.Revoked
		}
	}
	c.directory.Failed(f)
	return Result{Cause: cause, Reference: f.Reference}
}

// NameMatches reports whether a failure's unknown name was this one.
func (c *Checker) NameMatches(f Failure, name string) bool {
	return hmac.Equal(f.NameHash, mac(c.key, "name "+NormalizeLogin(name)))
}

// NewReference draws the reference of a failure: 80 bits, 16 characters in
// groups of four.
func NewReference(random io.Reader) string {
	var raw [16]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		panic(fmt.Errorf("the system's source of randomness failed: %w", err))
	}
	var b strings.Builder
	for i, v := range raw {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(appAlphabet[v&31])
	}
	return b.String()
}

// hint returns the first two characters of a name that matches no account, ""
// where they are not text: a stranger chose them, and people read them.
func hint(name string) string {
	n := 0
	for i, r := range name {
		if n == 2 {
			return name[:i]
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ""
		}
		n++
	}
	return name
}
