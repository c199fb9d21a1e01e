package account

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/onwardmail/onward/internal/sasl"
)

// DefaultIterations is the number of SCRAM's iterations for new accounts. A
// client computes them at every login, a telephone in some 10 ms; an app
// password needs none, as nobody guesses 160 bits.
const DefaultIterations = 16384

// SecretPolicy is how secrets are kept.
type SecretPolicy struct {
	// Cost is that of main passwords; zero: DefaultCost.
	Cost Cost
	// Iterations is that of accounts whose first secret is set; 0:
	// DefaultIterations.
	Iterations int
	// SHA1 keeps keys for SCRAM-SHA-1, too, and offers it.
	SHA1 bool
}

func (p SecretPolicy) withDefaults() SecretPolicy {
	if p.Cost == (Cost{}) {
		p.Cost = DefaultCost()
	}
	if p.Iterations == 0 {
		p.Iterations = DefaultIterations
	}
	p.Iterations = min(max(p.Iterations, sasl.MinIterations), sasl.MaxIterations)
	return p
}

// Salted gives an account its salt, if it has none, and reports whether it had
// none. Every secret that is made for it afterwards shares it.
func (p SecretPolicy) Salted(a *Account, random io.Reader) (added bool, err error) {
	if len(a.Salt) > 0 {
		return false, nil
	}
	a.Salt, a.Iterations = make([]byte, saltSize), p.withDefaults().Iterations
	if _, err := io.ReadFull(random, a.Salt); err != nil {
		return false, fmt.Errorf("draw a salt: %w", err)
	}
	return true, nil
}

// KeysFor makes the keys of a secret of an account that has its salt. A secret
// that SCRAM cannot carry has none.
func (p SecretPolicy) KeysFor(a *Account, secret string) (Keys, error) {
	var k Keys
	one, err := sasl.SaltedKeys(sasl.SHA256, secret, a.Salt, a.Iterations)
	if err != nil {
		return k, fmt.Errorf("make the keys of SCRAM-SHA-256: %w", err)
	}
	k.SHA256 = Key(one)
	if p.SHA1 {
		if one, err = sasl.SaltedKeys(sasl.SHA1, secret, a.Salt, a.Iterations); err != nil {
			return k, fmt.Errorf("make the keys of SCRAM-SHA-1: %w", err)
		}
		k.SHA1 = Key(one)
	}
	return k, nil
}

// SetMain gives an account a main password: its hash, and the keys of SCRAM. ""
// takes it away.
func (p SecretPolicy) SetMain(a *Account, password string, random io.Reader) error {
	if password == "" {
		a.Hash, a.Keys = "", Keys{}
		return nil
	}
	hash, err := HashPassword(password, p.withDefaults().Cost, random)
	if err != nil {
		return err
	}
	if _, err := p.Salted(a, random); err != nil {
		return err
	}
	keys, err := p.KeysFor(a, password)
	if err != nil {
		return err
	}
	a.Hash, a.Keys = hash, keys
	return nil
}

// outdated reports whether the main password of an account is kept worse than
// it would be today.
func (p SecretPolicy) outdated(a *Account) bool {
	return NeedsUpgrade(a.Hash, p.Cost) || a.Keys.SHA256.IsZero() || p.SHA1 && a.Keys.SHA1.IsZero()
}

// Upgrade is what becomes of a secret that is kept anew.
type Upgrade struct {
	Login string
	// AppPassword is its id, "" for the main password.
	AppPassword string
	// Was is the hash that the password was checked with, and Hash the new one, for
	// a main password.
	Was, Hash string
	// Salt and Iterations are the account's; they are taken only if it has none.
	Salt       []byte
	Iterations int
	Keys       Keys
}

// upgrade makes a secret anew that was right just now.
func (c *Checker) upgrade(a *attempt) (Upgrade, error) {
	p, acc := a.policy.Secrets, *a.acc
	if _, err := p.Salted(&acc, rand.Reader); err != nil {
		return Upgrade{}, err
	}
	u := Upgrade{Login: acc.Login, Was: acc.Hash, Hash: acc.Hash, Salt: acc.Salt, Iterations: acc.Iterations}
	secret := a.cred.Secret
	if a.app != nil {
		canonical, _, ok := parseAppPassword(secret)
		if !ok {
			return Upgrade{}, errNoKeys
		}
		u.AppPassword, secret = a.app.ID, grouped(canonical)
	} else if NeedsUpgrade(acc.Hash, p.Cost) {
		hash, err := HashPassword(secret, p.Cost, rand.Reader)
		if err != nil {
			return Upgrade{}, err
		}
		u.Hash = hash
	}
	var err error
	u.Keys, err = p.KeysFor(&acc, secret)
	return u, err
}
