package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/sasl"
)

// MaxScramSecrets is how many secrets of an account SCRAM tries: the main
// password and the newest app passwords, those that have ended behind those that
// may be used. For every name so many keys are
// tried, decoys among them, so that the work tells nobody how many there are.
const MaxScramSecrets = 64

// scramSecrets are whose the keys of an exchange are, by their place.
type scramSecrets struct {
	acc  *Account
	apps []*AppPassword // nil where it is the main password, or nobody's
	// bound says that the account has keys of this mechanism at all.
	bound bool
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return len(k.Stored) == 0 || len(k.Server) == 0 }

// of returns the key of a mechanism.
func (k *Keys) of(mechanism string) Key {
	if strings.HasPrefix(mechanism, "SCRAM-SHA-1") {
		return k.SHA1
	}
	return k.SHA256
}

// lookUp finds the keys of a name: real ones, and for the rest, and for a name
// without an account, such as look real (rfc5802#5.1).
func (e *Exchange) lookUp(ctx context.Context, now time.Time) (sasl.Keys, error) {
	c, cred := e.checker, e.machine.Credentials()
	login := NormalizeLogin(cred.Login)
	acc, all, err := c.directory.Secrets(ctx, login)
	if err != nil {
		return sasl.Keys{}, err
	}
	decoy := sasl.Key{Stored: c.derive("scram stored", login), Server: c.derive("scram server", login)}
	if strings.HasPrefix(cred.Mechanism, "SCRAM-SHA-1") {
		decoy.Stored, decoy.Server = decoy.Stored[:20], decoy.Server[:20]
	}
	keys := sasl.Keys{
		Salt: c.derive("scram salt", login)[:saltSize], Iterations: e.policy.Secrets.Iterations, Candidates: make([]sasl.Key, 0, MaxScramSecrets),
	}
	s := &e.keys
	s.acc, s.apps = acc, make([]*AppPassword, 0, MaxScramSecrets)
	add := func(k Key, app *AppPassword) {
		if !k.IsZero() && len(keys.Candidates) < MaxScramSecrets {
			keys.Candidates, s.apps = append(keys.Candidates, sasl.Key(k)), append(s.apps, app)
		}
	}
	if acc != nil && len(acc.Salt) > 0 {
		keys.Salt, keys.Iterations = acc.Salt, acc.Iterations
		add(acc.Keys.of(cred.Mechanism), nil)
		slices.Reverse(all) // the newest first
		slices.SortStableFunc(all, func(p, q AppPassword) int { return p.ended(now) - q.ended(now) })
		for i := range all {
			add(all[i].Keys.of(cred.Mechanism), &all[i])
		}
	}
	s.bound = len(s.apps) > 0
	for len(keys.Candidates) < MaxScramSecrets {
		keys.Candidates = append(keys.Candidates, decoy)
	}
	return keys, nil
}

// ended is 0 for an app password that may be used, 1 for any other.
func (p *AppPassword) ended(now time.Time) int {
	if p.Status(now) == "active" {
		return 0
	}
	return 1
}

// proof takes what SCRAM has found out: whose key the proof was made with, or
// nobody's. The mechanism does not show what was tried instead.
func (c *Checker) proof(a *attempt, s *scramSecrets) Result {
	a.acc = s.acc
	if k := a.cred.Key; k >= 0 && k < len(s.apps) {
		a.app, a.credential = s.apps[k], CredentialMain
		if a.app != nil {
			a.credential = a.app.ID
		}
		return c.settle(a, a.admit())
	}
	cause := WrongSecret
	switch {
	case a.cred.Oddity == sasl.BindingDiffers || a.cred.Oddity == sasl.BindingHidden:
		cause = ChannelBinding
	case a.acc == nil && !strings.Contains(a.login, "@"):
		cause = DomainMissing
	case a.acc == nil:
		cause = UnknownUser
	case !s.bound:
		cause = PasswordTransition
	}
	return c.settle(a, cause)
}

// readiness remembers for a while whether every secret has keys for SCRAM.
type readiness struct {
	mu    sync.Mutex // guards what follows
	until time.Time
	yes   bool
}

// readyFor is how long the answer counts. A secret without keys that comes
// meanwhile cannot be used by SCRAM until then, and by nothing worse.
const readyFor = 10 * time.Second

func (r *readiness) is(ctx context.Context, c *Checker, p *policy) bool {
	for _, b := range p.Backends {
		if b.Passwords() {
			return false // what it knows we do not
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.After(r.until) {
		n, err := c.directory.WithoutKeys(ctx)
		if err != nil {
			return false
		}
		r.yes, r.until = n == 0, now.Add(readyFor)
	}
	return r.yes
}

// errNoKeys means that a secret cannot be used by SCRAM.
var errNoKeys = errors.New("this secret has no keys for SCRAM")
