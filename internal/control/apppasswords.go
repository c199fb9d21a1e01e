package control

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/account"
)

// AppPasswordRequest makes an app password.
type AppPasswordRequest struct {
	Login string `json:"login"`
	// Name tells it from the others: of the device or the program.
	Name string `json:"name"`
	// Expires is "90d", "12h", "2027-01-31" (to the end of that day) or "" for
	// never.
	Expires string `json:"expires,omitempty"`
	Scope   Scope  `json:"scope,omitzero"`
	// Limits are how much may be sent with it, besides the account's limits.
	Limits map[account.LimitName]int `json:"limits,omitempty"`
}

// RevokeRequest revokes an app password.
type RevokeRequest struct {
	Login string `json:"login"`
	// Which is its id or its name.
	Which string `json:"which"`
}

// AppPasswordInfo is an app password without its secret.
type AppPasswordInfo struct {
	account.AppPassword
	// Status is active, expired, idle, suspended or revoked.
	Status string `json:"status"`
}

// NewAppPassword is an app password with its secret, which is told this once.
type NewAppPassword struct {
	AppPasswordInfo
	Password string   `json:"password"`
	Warnings []string `json:"warnings,omitempty"`
}

// MaxAppPasswordName is the longest name of an app password, in characters.
const MaxAppPasswordName = 64

// AddAppPassword makes an app password.
func (s *Service) AddAppPassword(ctx context.Context, q AppPasswordRequest) (NewAppPassword, error) {
	defer s.changeAccounts()()
	var none NewAppPassword
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return none, err
	}
	if err := checkName(q.Name); err != nil {
		return none, err
	}
	expires, err := ParseExpiry(q.Expires, time.Now())
	if err != nil {
		return none, err
	}
	setLimits, err := limitsSetter(q.Limits)
	if err != nil {
		return none, err
	}
	have, err := s.opt.Accounts.AppPasswords(ctx, a.Login)
	if err != nil {
		return none, trouble("list the app passwords of "+a.Login, err)
	}
	if err := s.roomForAppPassword(ctx, have); err != nil {
		return none, err
	}
	for _, p := range have {
		if p.Name == q.Name && p.Status(time.Now()) == "active" {
			return none, fail(Exists, "%s has an active app password named %q already; take another name, or revoke that one first: onward account app-password revoke %s %s",
				a.Login, q.Name, a.Login, p.ID)
		}
	}
	password, id, err := account.NewAppPassword(s.opt.Random)
	if err != nil {
		return none, trouble("make an app password", err)
	}
	mac, err := account.AppPasswordMAC(s.opt.AppPasswordKey, password)
	if err != nil {
		return none, trouble("make an app password", err)
	}
	keys, err := s.keysFor(ctx, &a, password)
	if err != nil {
		return none, err
	}
	p := account.AppPassword{ID: id, Login: a.Login, Name: q.Name, MAC: mac, Keys: keys, Created: now(), Expires: expires}
	if err := s.bind(ctx, &a, &p, q.Scope); err != nil {
		return none, err
	}
	setLimits(&p.Limits)
	if err := s.opt.Accounts.AddAppPassword(ctx, p); err != nil {
		return none, trouble("store the app password", err)
	}
	made := NewAppPassword{AppPasswordInfo: AppPasswordInfo{p, p.Status(time.Now())}, Password: password}
	if a.Disabled {
		made.Warnings = append(made.Warnings, "the account is disabled; enable it with: onward account enable "+a.Login)
	}
	return made, nil
}

// roomForAppPassword sees that an account can have one more. What was revoked
// longest ago goes when there are too many.
func (s *Service) roomForAppPassword(ctx context.Context, have []account.AppPassword) error {
	var revoked []account.AppPassword
	for _, p := range have {
		if !p.Revoked.IsZero() {
			revoked = append(revoked, p)
		}
	}
	if len(have)-len(revoked) >= MaxAppPasswords {
		return fail(Refused, "%s has %d app passwords, and more are not possible; revoke one that is not needed: onward account app-password list %s", have[0].Login, MaxAppPasswords, have[0].Login)
	}
	if len(revoked) < MaxAppPasswords {
		return nil
	}
	oldest := slices.MinFunc(revoked, func(p, q account.AppPassword) int { return p.Revoked.Compare(q.Revoked) })
	if err := s.opt.Accounts.RemoveAppPassword(ctx, oldest.Login, oldest.ID); err != nil {
		return trouble("forget an app password that was revoked long ago", err)
	}
	return nil
}

// keysFor makes the keys of SCRAM of a secret; an account that has no salt yet
// gets it.
func (s *Service) keysFor(ctx context.Context, a *account.Account, secret string) (account.Keys, error) {
	policy := s.opt.Secrets()
	added, err := policy.Salted(a, s.opt.Random)
	if err != nil {
		return account.Keys{}, trouble("draw a salt", err)
	}
	if added {
		if err := s.opt.Accounts.UpdateAccount(ctx, *a); err != nil {
			return account.Keys{}, trouble("store the salt of "+a.Login, err)
		}
	}
	keys, err := policy.KeysFor(a, secret)
	if err != nil {
		return keys, trouble("make the keys of a secret", err)
	}
	return keys, nil
}

func checkName(name string) error {
	if name == "" {
		return fail(Invalid, "an app password needs a name that tells it from others, such as phone")
	}
	if utf8.RuneCountInString(name) > MaxAppPasswordName {
		return fail(Invalid, "the name has %d characters; at most %d", utf8.RuneCountInString(name), MaxAppPasswordName)
	}
	if !printable(name) {
		return fail(Invalid, "the name %q has a character that cannot be printed", name)
	}
	return nil
}

// ListAppPasswords lists those of an account, revoked ones too.
func (s *Service) ListAppPasswords(ctx context.Context, q AccountName) ([]AppPasswordInfo, error) {
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return nil, err
	}
	passwords, err := s.opt.Accounts.AppPasswords(ctx, a.Login)
	if err != nil {
		return nil, trouble("list the app passwords of "+a.Login, err)
	}
	list := make([]AppPasswordInfo, len(passwords))
	for i, p := range passwords {
		list[i] = AppPasswordInfo{p, p.Status(time.Now())}
	}
	return list, nil
}

// RevokeAppPassword ends an app password for good.
func (s *Service) RevokeAppPassword(ctx context.Context, q RevokeRequest) (AppPasswordInfo, error) {
	var none AppPasswordInfo
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return none, err
	}
	found, err := s.appPassword(ctx, a.Login, q.Which)
	if err != nil {
		return none, err
	}
	p, err := s.opt.Accounts.RevokeAppPassword(ctx, a.Login, found.ID, now())
	if err != nil {
		return none, trouble("revoke the app password", err)
	}
	s.endLogins(a.Login, p.ID)
	return AppPasswordInfo{p, p.Status(time.Now())}, nil
}

// whichPassword finds the id of the one that is meant: by id, or by the name of
// one that is not revoked yet.
func whichPassword(login string, have []account.AppPassword, which string) (string, error) {
	revoked := false
	for _, p := range have {
		if p.ID != which && p.Name != which {
			continue
		}
		if p.Revoked.IsZero() {
			return p.ID, nil
		}
		revoked = true
	}
	if revoked {
		return "", fail(Refused, "the app password %q of %s is revoked already", which, login)
	}
	return "", fail(NotFound, "%s has no app password with the id or name %q; see those it has with: onward account app-password list %s", login, which, login)
}

// FailuresRequest selects failed logins.
type FailuresRequest struct {
	Login string `json:"login,omitempty"` // "" for all
	Limit int    `json:"limit,omitempty"` // 0 for DefaultFailures
	Lang  string `json:"lang,omitempty"`
}

// How many failed logins are listed.
const (
	DefaultFailures = 50
	MaxListed       = 10_000
)

// ExplainLoginRequest asks for the true cause of a rejected login.
type ExplainLoginRequest struct {
	// Reference is what the client was given with its 535.
	Reference string `json:"reference"`
	Lang      string `json:"lang,omitempty"`
	// login is the only account whose failures may be seen, "" for all.
	login string
}

// LoginFailure is a failed login with its true cause, explained.
type LoginFailure struct {
	account.Failure
	Meaning string `json:"meaning"`
	Fix     string `json:"fix"`
}

// ListFailures lists failed logins, newest first.
func (s *Service) ListFailures(ctx context.Context, q FailuresRequest) ([]LoginFailure, error) {
	limit, err := bounded(q.Limit, DefaultFailures)
	if err != nil {
		return nil, err
	}
	login := ""
	if q.Login != "" {
		a, err := s.knownAccount(ctx, q.Login)
		if KindOf(err) == NotFound {
			return s.failuresOfName(ctx, q, limit, err)
		}
		if err != nil {
			return nil, err
		}
		login = a.Login
	}
	s.settle(ctx)
	failures, err := s.opt.Accounts.Failures(ctx, login, limit)
	if err != nil {
		return nil, trouble("list the failed logins", err)
	}
	list := make([]LoginFailure, len(failures))
	for i, f := range failures {
		list[i] = explained(f, q.Lang)
	}
	return list, nil
}

// failuresOfName lists those of a name that no account has: it is not kept, but
// whoever knows it can ask for it. Without any, there is no such account.
func (s *Service) failuresOfName(ctx context.Context, q FailuresRequest, limit int, none error) ([]LoginFailure, error) {
	if s.opt.NameMatches == nil {
		return nil, none
	}
	s.settle(ctx)
	all, err := s.opt.Accounts.Failures(ctx, "", MaxListed)
	if err != nil {
		return nil, trouble("list the failed logins", err)
	}
	var list []LoginFailure
	for _, f := range all {
		if f.Login == "" && len(list) < limit && s.opt.NameMatches(f, q.Login) {
			list = append(list, explained(f, q.Lang))
		}
	}
	if len(list) == 0 {
		return nil, none
	}
	return list, nil
}

// ExplainLogin tells the true cause behind a reference.
func (s *Service) ExplainLogin(ctx context.Context, q ExplainLoginRequest) (LoginFailure, error) {
	reference := cleanReference(q.Reference)
	if reference == "" {
		return LoginFailure{}, fail(Invalid, "give the reference that the server named with its 535, such as in «onward explain-login REFERENCE»")
	}
	s.settle(ctx)
	f, err := s.opt.Accounts.Failure(ctx, reference)
	if err == nil && q.login != "" && f.Login != q.login {
		err = account.ErrNotFound // it is none of his business whether it is there
	}
	switch {
	case errors.Is(err, account.ErrNotFound):
		return LoginFailure{}, fail(NotFound, "no failed login has the reference %s; it may be older than %d days, or mistyped; see recent ones with: onward account failures",
			reference, int(account.FailureRetention/(24*time.Hour)))
	case err != nil:
		return LoginFailure{}, trouble("look up the failed login", err)
	}
	return explained(f, q.Lang), nil
}

func bounded(limit, byDefault int) (int, error) {
	if limit < 0 || limit > MaxListed {
		return 0, fail(Invalid, "the limit is %d; it must be 1 to %d", limit, MaxListed)
	}
	if limit == 0 {
		return byDefault, nil
	}
	return limit, nil
}
