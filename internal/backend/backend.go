// Package backend asks others whether a secret is right: LDAP, an OpenID issuer,
// Dovecot, or a service of one's own by HTTP.
//
// It promises of every backend, whatever it speaks, that
//
//   - a login waits for it no longer than its timeout, and for a turn no longer
//     than a second: so many ask at once as it takes, and what is slow makes nobody
//     else wait;
//   - a backend that fails again and again is left alone for a while, and then
//     tried again (see breaker.go);
//   - what could not be asked is an error and never a wrong password: it is 454;
//   - an empty password is wrong and never sent on, because to a directory it means
//     «nobody in particular» (rfc4513#5.1.2); nor is one with control characters;
//   - nor is a login sent on that a backend might take for another, such as one with a
//     space: one person has one account here;
//   - a backend vouches only for logins of the domains that it serves;
//   - secrets and tokens cross a network by TLS only, never follow a redirection, and
//     stand in no error and no Detail.
//
// What it does not promise: that unknown users and wrong passwords take the same
// time there. It asks the same questions for both where it can.
//
//	account.Checker ─► Backend: turn, breaker, deadline ─► source: ldap, oidc, dovecot, callback
//
// RFC 4511 to 4513 (LDAP), OpenID Connect Core and Discovery, RFC 7519 (JWT), RFC
// 7662 (introspection), the Dovecot authentication protocol 1.1.
package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
)

// patience is how long a login waits for its turn.
const patience = time.Second

// Options are what every backend has.
type Options struct {
	// Name is that of the configuration.
	Name string
	// Domains are those whose logins it knows, as A-labels; Every is all of them.
	Domains []string
	Every   bool
	// Timeout is how long one login may take.
	Timeout time.Duration
	// Connections is how many logins are checked at one time.
	Connections int
	// CAFile has the authorities of its certificate in PEM; "": those of the system.
	CAFile string
	// Dial connects; nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Mistake is an option that cannot be used.
type Mistake struct {
	// Key is the key of the configuration, without the name of the backend.
	Key string
	Err error
}

func (m *Mistake) Error() string { return m.Key + ": " + m.Err.Error() }

// Unwrap returns what is wrong.
func (m *Mistake) Unwrap() error { return m.Err }

// source is a kind of backend, without what all of them share. It is safe for
// concurrent use, and returns within the deadline of ctx.
type source interface {
	password(ctx context.Context, login, password string, client account.Client) (account.Verdict, error)
	// close gives back what is idle; what is under way may end.
	close()
}

// undecided is the error of a backend that answered, and could not tell: it can
// be reached, and other logins may fare better.
type undecided struct{ error }

func (u undecided) Unwrap() error { return u.error }

func cannotTell(format string, args ...any) error { return undecided{fmt.Errorf(format, args...)} }

// Backend implements account.Backend. It is safe for concurrent use.
type Backend struct {
	opt     Options
	source  source
	domains map[string]bool
	turns   chan struct{}

	mu      sync.Mutex // guards breaker
	breaker breaker
}

func newBackend(opt Options, s source) *Backend {
	b := &Backend{opt: opt, source: s, domains: make(map[string]bool), turns: make(chan struct{}, opt.Connections)}
	for _, d := range opt.Domains {
		b.domains[d] = true
	}
	return b
}

// Name implements account.Backend.
func (b *Backend) Name() string { return b.opt.Name }

// Serves implements account.Backend.
func (b *Backend) Serves(login string) bool {
	if b.opt.Every {
		return true
	}
	_, domain := split(login)
	d, err := address.ParseDomain(domain)
	return err == nil && b.domains[d.String()]
}

// Everywhere reports whether it serves all domains, rather than some by name.
func (b *Backend) Everywhere() bool { return b.opt.Every }

// split returns what stands before and after the last @ of a login.
func split(login string) (local, domain string) {
	at := strings.LastIndexByte(login, '@')
	if at < 0 {
		return login, ""
	}
	return login[:at], login[at+1:]
}

// Passwords implements account.Backend.
func (b *Backend) Passwords() bool { return true }

// Tokens implements account.Backend.
func (b *Backend) Tokens() bool { return false }

// Token implements account.Backend.
func (b *Backend) Token(context.Context, string, string, account.Client) (account.Verdict, error) {
	return account.Verdict{Cause: account.TokenInvalid, Detail: "this backend checks passwords only"}, nil
}

// Password implements account.Backend.
func (b *Backend) Password(ctx context.Context, login, password string, client account.Client) (account.Verdict, error) {
	whole := utf8.ValidString(login) // before it is put into normal form, which mends that
	login = account.NormalizeLogin(login)
	switch {
	case login == "" || strings.ContainsFunc(login, unicode.IsControl) || !whole:
		return account.Verdict{Cause: account.UnknownUser, Detail: "the login is empty or holds control characters; the backend was not asked"}, nil
	case strings.ContainsFunc(login, unicode.IsSpace): // directories and databases pass over spaces (rfc4518#2.6.1)
		return account.Verdict{Cause: account.UnknownUser, Detail: "the login holds a space; the backend was not asked"}, nil
	case password == "" || strings.IndexByte(password, 0) >= 0:
		return account.Verdict{Cause: account.WrongPassword, Detail: "the password is empty or holds a NUL; the backend was not asked"}, nil
	case len(password) > account.MaxPassword:
		return account.Verdict{Cause: account.WrongPassword, Detail: "the password is longer than any; the backend was not asked"}, nil
	}
	return b.ask(ctx, login, func(ctx context.Context) (account.Verdict, error) {
		return b.source.password(ctx, login, password, client)
	})
}

// ask asks one question when it is its turn. login is whom the answer is for
// where it does not say.
func (b *Backend) ask(ctx context.Context, login string, question func(context.Context) (account.Verdict, error)) (account.Verdict, error) {
	if err := b.peek(); err != nil {
		return account.Verdict{}, b.trouble(err)
	}
	if err := b.turn(ctx); err != nil {
		return account.Verdict{}, b.trouble(err)
	}
	defer func() { <-b.turns }()
	trial, err := b.enter()
	if err != nil {
		return account.Verdict{}, b.trouble(err)
	}
	whole, cancel := context.WithTimeout(ctx, b.opt.Timeout)
	defer cancel()
	o := given // if question panics
	defer func() { b.leave(trial, o, err) }()
	v, err := question(whole)
	switch {
	case err == nil, errors.As(err, new(undecided)):
		o = answered
	case ctx.Err() == nil:
		o = failed
		if end, _ := whole.Deadline(); whole.Err() != nil || !time.Now().Before(end) {
			err = fmt.Errorf("no answer within %v (timeout): %w", b.opt.Timeout, err)
		}
	}
	if err != nil {
		return account.Verdict{}, b.trouble(err)
	}
	return b.vouched(v, login)
}

// vouched holds a verdict against the domains that the backend serves.
func (b *Backend) vouched(v account.Verdict, login string) (account.Verdict, error) {
	v.Detail = printable(v.Detail)
	if v.Login = account.NormalizeLogin(v.Login); v.Login == "" {
		v.Login = login
	}
	if v.OK && !b.Serves(v.Login) {
		return account.Verdict{}, b.trouble(fmt.Errorf("it vouches for %s, which is in none of the domains that it serves", printable(v.Login)))
	}
	return v, nil
}

func (b *Backend) trouble(err error) error {
	return fmt.Errorf("login backend %s: %w", b.opt.Name, err)
}

// turn waits for a turn, for a short while.
func (b *Backend) turn(ctx context.Context) error {
	select {
	case b.turns <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case b.turns <- struct{}{}:
		return nil
	case <-wait.C:
	case <-ctx.Done():
	}
	return fmt.Errorf("%d logins are being checked there already (connections)", b.opt.Connections)
}

// peek is enter for those who still wait for a turn: it takes nothing.
func (b *Backend) peek() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	look := b.breaker
	_, err := look.enter(time.Now())
	return err
}

func (b *Backend) enter() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.breaker.enter(time.Now())
}

func (b *Backend) leave(trial bool, o outcome, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.breaker.leave(time.Now(), trial, o, err)
}

// TryNow ends the time for which a failed backend is left alone: somebody has
// mended it, and looks.
func (b *Backend) TryNow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.breaker.until = time.Time{}
}

// Close gives back idle connections. A login that is under way may end, and one
// that comes late is still answered.
func (b *Backend) Close() error {
	b.source.close()
	return nil
}

// maxDetail is the longest Detail, in characters.
const maxDetail = 200

// printable makes a line of what a stranger said.
func printable(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)), " ")
	if utf8.RuneCountInString(s) <= maxDetail {
		return s
	}
	return string([]rune(s)[:maxDetail-1]) + "…"
}
