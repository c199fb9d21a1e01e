package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/sasl"
)

// hashingPatience is how long a login waits for its turn.
const hashingPatience = 10 * time.Second

// DefaultHashing is how many argon2 computations run at once: half of the
// processors, so that a flood of logins leaves the other half to mail. Each
// takes Cost.Memory: that product is what logins may take.
func DefaultHashing() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// Client is who tries to log in.
type Client struct {
	Remote  netip.Addr
	Service string
	// TLS is its version, "" in clear.
	TLS string
	// Helo is what it called itself.
	Helo string
	// Binding and Certificates are those of transaction.TLS.
	Binding      func(kind string) []byte
	Certificates []*x509.Certificate
}

// Result is what a try came to. Exactly one of Login and Cause is set.
type Result struct {
	Login string
	// Credential is one of the constants below, or the id of an app password.
	Credential string
	Cause      Cause
	// Reference leads the owner to the cause.
	Reference string
	// Unproved says that AccountDisabled was found before the secret was looked at,
	// so that the client must not hear of it.
	Unproved bool
	// Until is when a client that was refused as Slowed may come again.
	Until time.Time
	// Err is the trouble behind BackendDown, for the log.
	Err error
	// Account is who was let in by Owner, as it was then.
	Account *Account
}

// The credentials that are no app passwords.
const (
	CredentialMain        = "main"
	CredentialToken       = "token"
	CredentialCertificate = "certificate"
	// CredentialProxy: a proxy that may do so says who has logged in (XCLIENT).
	CredentialProxy = "xclient"
)

// AppPasswordID is the id of the app password that a credential names, "" if it
// names something else.
func AppPasswordID(credential string) string {
	switch credential {
	case CredentialMain, CredentialToken, CredentialCertificate, CredentialProxy:
		return ""
	}
	return credential
}

// SCRAM says when its mechanisms are offered.
type SCRAM string

const (
	// ScramAuto: while every secret has the keys for it. A client prefers SCRAM
	// where it is offered, and could not log in with a secret that has none.
	ScramAuto SCRAM = "auto"
	ScramOn   SCRAM = "on"
	ScramOff  SCRAM = "off"
)

// Policy is what may change while the server runs.
type Policy struct {
	Secrets  SecretPolicy
	Backends []Backend
	SCRAM    SCRAM // "" is ScramAuto
	// ClearLoopback offers PLAIN and LOGIN without TLS to clients of this machine.
	ClearLoopback bool
	// ClientCAs vouch for client certificates; nil: only those are good that stand
	// with an account.
	ClientCAs *x509.CertPool
	// Log hears of trouble with what is done after a reply, which no client can be
	// told of; nobody does if nil.
	Log *slog.Logger
}

// policy is a Policy with what is computed from it once.
type policy struct {
	Policy
	// decoy is the hash that is computed where there is none to compare with.
	decoy string
}

// Checker checks credentials. Every failed try by one mechanism does the same
// work, whatever was wrong: for a password one look-up and one argon2
// computation, or one question to the backend whose login it would be; for SCRAM
// one look-up and the same number of keys.
//
// It is safe for concurrent use.
type Checker struct {
	directory Directory
	key       []byte
	policy    atomic.Pointer[policy]
	guesses   *Guesses // nil: nobody is slowed
	// turns bounds the argon2 computations under way.
	turns *turns
	// waiting are those who wait before their secret is checked.
	waiting atomic.Int64
	ready   readiness
	after   afterwards
	// scramPause is the constant, except where a benchmark leaves it out.
	scramPause time.Duration
	// hashing, if set, is called before each argon2 computation that a client
	// waits for, and for each key that SCRAM tries: tests count.
	hashing func()
}

// NewChecker returns a Checker; key is the installation's key for app
// passwords, at most hashing argon2 computations run at once (0:
// DefaultHashing). Who guesses is slowed by guesses, which may be nil.
func NewChecker(d Directory, key []byte, hashing int, guesses *Guesses, p Policy) *Checker {
	if hashing <= 0 {
		hashing = DefaultHashing()
	}
	c := &Checker{directory: d, key: key, guesses: guesses, turns: newTurns(hashing), scramPause: scramPause}
	c.after.init()
	c.SetPolicy(p)
	return c
}

// SetPolicy changes the policy for exchanges that begin from now on.
func (c *Checker) SetPolicy(p Policy) {
	p.Secrets = p.Secrets.withDefaults()
	if p.SCRAM == "" {
		p.SCRAM = ScramAuto
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if old := c.policy.Load(); old != nil && old.Secrets.Cost == p.Secrets.Cost {
		c.policy.Store(&policy{p, old.decoy})
		return
	}
	c.policy.Store(&policy{p, phc("decoy", make([]byte, saltSize), p.Secrets.Cost)})
}

// attempt is one set of credentials that is being checked.
type attempt struct {
	policy *policy
	cred   sasl.Credentials
	client Client
	now    time.Time
	login  string // in normal form
	home   bool   // it comes from where this login was right before
	own    bool   // only the main password will do, and it will in any case: see Owner

	acc *Account
	// app is the app password whose secret was right, nil for anything else.
	app *AppPassword
	// stored is what the secret was compared with here, as a main password.
	stored string
	// credential names what is tried.
	credential string
	detail     string
	unproved   bool // see Result.Unproved
}

// admit says what speaks against a login whose secret was right; "" if nothing
// does. That the account is disabled comes last, because that alone is said.
func (a *attempt) admit() Cause {
	// Acting as another is not offered (rfc4616#2). Who is known to a backend by two
	// names is no other by the one that it logged in with.
	if as := NormalizeLogin(a.cred.Authorize); as != "" && as != a.acc.Login && as != a.login {
		return ActsAsOther
	}
	if p := a.app; p != nil {
		switch p.Status(a.now) {
		case "revoked":
			return AppPasswordRevoked
		case "expired":
			return AppPasswordExpired
		case "idle":
			return AppPasswordIdle
		case "suspended":
			return AppPasswordSuspended
		}
		if !p.Scope.Reaches(a.client.Remote) {
			return AppPasswordNetwork
		}
	}
	switch {
	case a.credential == CredentialMain && a.acc.AppOnly && !a.own:
		return AppPasswordRequired
	case a.acc.Disabled:
		return AccountDisabled
	}
	return ""
}

// settle ends an attempt: with cause "" it has succeeded.
func (c *Checker) settle(a *attempt, cause Cause) Result {
	if cause != "" {
		return c.failed(a, cause)
	}
	id := ""
	if a.app != nil {
		id = a.app.ID
	}
	c.directory.Used(Use{
		Login: a.acc.Login, AppPassword: id, At: a.now, From: a.client.Remote, Mechanism: a.cred.Mechanism, Client: clip(a.client.Helo, maxClient),
	})
	return Result{Login: a.acc.Login, Credential: a.credential}
}

// password checks what PLAIN and LOGIN give: an app password or the main one.
func (c *Checker) password(ctx context.Context, a *attempt) Result {
	canonical, appID, isApp := parseAppPassword(a.cred.Secret)
	if a.own {
		appID, isApp = "", false
	}
	acc, app, err := c.directory.Login(ctx, a.login, appID)
	if err != nil {
		return c.down(a, fmt.Errorf("look up the login: %w", err))
	}
	a.acc = acc
	var cause Cause
	proof := mac(c.key, canonical) // always, for the same work
	if isApp && app != nil && subtle.ConstantTimeCompare(proof, app.MAC) == 1 {
		a.app, a.credential = app, app.ID
		if cause = a.admit(); cause == "" {
			if app.Keys.SHA256.IsZero() {
				c.after.add(c, job{upgrade: true, attempt: *a})
			}
			return c.settle(a, "")
		}
	}
	// From here on every failure does the same.
	right, why, err := c.mainPassword(ctx, a, isApp)
	switch {
	case err != nil:
		return c.down(a, err)
	case why == Slowed:
		cause = Slowed
	case right && a.app == nil:
		a.credential = CredentialMain
		if cause = a.admit(); cause == "" {
			return c.settle(a, "")
		}
	case cause != "": // the app password was right, and something spoke against it
	case a.cred.Oddity == sasl.PromptSent:
		cause = PromptSent
	case a.acc == nil && a.nameEncoded() != "":
		cause = Base64Twice
		c.knowAs(a, a.nameEncoded())
	case a.acc == nil && !strings.Contains(a.login, "@"):
		cause = DomainMissing
	case a.acc == nil && why != "":
		cause = why
	case a.acc == nil:
		cause = UnknownUser
	case isApp:
		cause = AppPasswordUnknown
	case why == BackendRejected:
		cause = WrongPassword // the account is known to be there
	case why != "":
		cause = why
	case acc.Hash == "" && acc.Backend == "":
		cause = MainPasswordNotSet
	default:
		cause = WrongPassword
	}
	return c.settle(a, cause)
}

// nameEncoded is the login that was given in base64 once more, "" if that is not so.
func (a *attempt) nameEncoded() string {
	text, err := base64.StdEncoding.DecodeString(a.cred.Login)
	m, parsed := address.ParseMailbox(string(text))
	if err != nil || parsed != nil || m.Domain.IsZero() {
		return ""
	}
	return m.Key()
}

// mainPassword holds the secret against the main password: that of the backend
// which knows it, else ours. An app password is never shown to a backend, which
// might lock an account for it.
func (c *Checker) mainPassword(ctx context.Context, a *attempt, isApp bool) (right bool, why Cause, err error) {
	if b, err := a.policy.backendOf(a.acc, a.login); err != nil {
		return false, "", err
	} else if b != nil && !isApp {
		v, err := b.Password(ctx, a.login, a.cred.Secret, a.client)
		if err != nil {
			return false, "", fmt.Errorf("ask the backend %s: %w", b.Name(), err)
		}
		return c.vouched(ctx, a, b, v)
	}
	stored := a.policy.decoy
	have := a.acc != nil && a.acc.Backend == "" && a.acc.Hash != ""
	if have {
		stored = a.acc.Hash
	}
	a.stored = stored
	right, err = c.argon2(ctx, a, stored)
	switch {
	case errors.Is(err, errRefused):
		return false, Slowed, nil
	case err != nil || !have:
		return false, "", err
	}
	if right && !a.own && a.policy.Secrets.outdated(a.acc) {
		c.after.add(c, job{upgrade: true, attempt: *a})
	}
	return right, "", nil
}

// vouched takes what a backend said of a login: whoever it knows and we do not
// gets an account.
func (c *Checker) vouched(ctx context.Context, a *attempt, b Backend, v Verdict) (right bool, why Cause, err error) {
	a.detail = clip(v.Detail, maxDetail)
	a.unproved = !v.Proved
	if !v.OK {
		if v.Cause == "" {
			v.Cause = BackendRejected
		}
		return false, v.Cause, nil
	}
	a.unproved = false
	login := NormalizeLogin(v.Login)
	if login == "" {
		login = a.login
	}
	if a.acc == nil || a.acc.Login != login {
		if m, err := address.ParseMailbox(login); err != nil || m.Key() != login {
			a.detail = clip(fmt.Sprintf("the backend %s says that the login is %q, which is no address; accounts are named by addresses", b.Name(), login), maxDetail)
			return false, UnknownUser, nil
		}
		acc, _, err := c.directory.Login(ctx, login, "")
		if err == nil && acc == nil {
			acc = &Account{Login: login, Backend: b.Name(), Created: a.now}
			if err = c.directory.AddAccount(ctx, *acc); errors.Is(err, ErrExists) { // just now
				acc, _, err = c.directory.Login(ctx, login, "")
			}
		}
		if err != nil || acc == nil {
			return false, "", fmt.Errorf("make the account %s, which the backend %s vouches for: %w", login, b.Name(), err)
		}
		if a.cred.Mechanism != "OAUTHBEARER" && a.cred.Mechanism != "XOAUTH2" && acc.Backend != b.Name() {
			// Its password is known elsewhere, and this is none of it.
			a.detail = clip(fmt.Sprintf("the backend %s says that the login is %s, whose main password it does not keep", b.Name(), login), maxDetail)
			return false, UnknownUser, nil
		}
		a.acc = acc
	}
	return true, "", nil
}

// backendOf returns the backend that knows the main password of a login, nil if
// it is ours to know.
func (p *policy) backendOf(acc *Account, login string) (Backend, error) {
	if acc != nil && acc.Backend == "" {
		return nil, nil
	}
	for _, b := range p.Backends {
		if acc != nil && b.Name() == acc.Backend || acc == nil && b.Passwords() && b.Serves(login) {
			return b, nil
		}
	}
	if acc != nil {
		return nil, fmt.Errorf("the account %s belongs to the backend %q, which is not configured; add [login.backends.%s]", acc.Login, acc.Backend, acc.Backend)
	}
	return nil, nil
}

// argon2 compares within the bound on concurrent computations.
func (c *Checker) argon2(ctx context.Context, a *attempt, stored string) (bool, error) {
	release, err := c.turn(ctx, a)
	if err != nil {
		return false, err
	}
	defer release()
	if c.guesses != nil && !c.guesses.Before(a.client.Remote, "", a.now).Until.IsZero() {
		return false, errRefused // others of its network have guessed while it waited
	}
	if c.hashing != nil {
		c.hashing()
	}
	return matches(a.cred.Secret, stored)
}

// errRefused says that the network was banned meanwhile.
var errRefused = errors.New("too many wrong secrets came from the network")

// turn waits for the turn to hash.
func (c *Checker) turn(ctx context.Context, a *attempt) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, hashingPatience)
	defer cancel()
	switch err := c.turns.take(ctx, a.home, NetworkOf(a.client.Remote)); {
	case errors.Is(err, ErrCrowded):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCrowded, err)
	}
	return c.turns.give, nil
}

// Reaches reports whether a client's address is within the networks of a scope.
func (s *Scope) Reaches(client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	for _, n := range s.Networks {
		if n.Contains(client) {
			return true
		}
	}
	return len(s.Networks) == 0
}

// derive makes a key of one purpose from the installation's.
func (c *Checker) derive(purpose, text string) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return h.Sum(nil)
}
