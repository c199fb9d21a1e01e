package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/sasl"
)

// What strangers send is kept only to these lengths, in octets.
const (
	maxClient = 100
	maxDetail = 200
	// maxMechanism is the longest name of a mechanism (rfc4422#3.1).
	maxMechanism = 20
)

// failed notes a failure and makes its reference.
func (c *Checker) failed(a *attempt, cause Cause) Result {
	f := Failure{
		Reference: NewReference(rand.Reader), At: a.now, Cause: cause, Remote: a.client.Remote,
		Service: a.client.Service, TLS: a.client.TLS, Mechanism: a.cred.Mechanism, Client: clip(a.client.Helo, maxClient), Detail: a.detail, Count: 1,
	}
	nameHash := mac(c.key, "name "+a.login) // always, for the same work
	if a.acc != nil {
		f.Login = a.acc.Login
	} else if a.login != "" {
		// It matches no account: people type passwords here, so it is not kept.
		f.NameHash, f.NameHint = nameHash, hint(a.login)
	}
	if p := a.app; p != nil {
		f.AppPassword, f.AppPasswordName = p.ID, p.Name
		switch cause {
		case AppPasswordRevoked:
			f.AppPasswordEnd = p.Revoked
		case AppPasswordExpired:
			f.AppPasswordEnd = p.Expires
		case AppPasswordIdle:
			f.AppPasswordEnd = p.lastSeen().Add(p.Idle)
		case AppPasswordSuspended:
			f.AppPasswordEnd, f.Detail = p.Suspended, p.SuspendedWhy
		}
	}
	r := Result{Cause: cause, Reference: f.Reference, Unproved: a.unproved}
	// Whatever was wrong, the same is done afterwards: it takes turns of the hashing,
	// which others can feel.
	if a.stored != "" && c.after.add(c, job{attempt: *a, failure: f}) {
		return r // it is noted when more is known of it
	}
	c.directory.Failed(f)
	return r
}

// down is the end of an attempt that could not be checked.
func (c *Checker) down(a *attempt, err error) Result {
	if a.detail == "" {
		a.detail = clip(err.Error(), maxDetail)
	}
	cause := BackendDown
	if errors.Is(err, ErrCrowded) {
		cause = TooBusy
	}
	r := c.failed(a, cause)
	r.Err = err
	return r
}

// Refused notes a try that came to no exchange, or to none here. initial is the
// response that came with AUTH, of which nothing but the name is looked at.
func (c *Checker) Refused(cause Cause, mechanism, login string, client Client, now time.Time) {
	a := &attempt{cred: sasl.Credentials{Mechanism: clip(mechanism, maxMechanism), Key: -1}, client: client, now: now, login: NormalizeLogin(login)}
	c.know(a)
	c.failed(a, cause)
}

// know looks for the account of an attempt that ended before it was looked for, so
// that its owner can be told.
func (c *Checker) know(a *attempt) { c.knowAs(a, a.login) }

// knowAs is know by another name than the one that was given.
func (c *Checker) knowAs(a *attempt, login string) {
	if a.acc != nil || login == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	a.acc, _, _ = c.directory.Login(ctx, login, "") // without it the name is a stranger's
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

// clip keeps at most n octets of a text that a stranger or a backend chose, and
// of them what can be printed.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
