package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
)

// AccountRequest makes an account.
type AccountRequest struct {
	Login string `json:"login"`
	// Password is the main password; "" for an account that logs in with app
	// passwords only.
	Password string `json:"password,omitempty"`
	// Identities are further addresses it may send as, "@example.org" for a
	// whole domain.
	Identities []string `json:"identities,omitempty"`
	// Backend names the login backend that knows the main password, "" for ours.
	Backend string `json:"backend,omitempty"`
}

// AccountName names an account.
type AccountName struct {
	Login string `json:"login"`
}

// PasswordRequest changes a main password; "" removes it.
type PasswordRequest struct {
	Login    string `json:"login"`
	Password string `json:"password"`
}

// EnableRequest enables or disables an account.
type EnableRequest struct {
	Login   string `json:"login"`
	Enabled bool   `json:"enabled"`
}

// AccountInfo is an account without its secrets.
type AccountInfo struct {
	account.Account
	// HasPassword says that there is a main password.
	HasPassword bool `json:"has_password"`
	// AppPasswords counts those that are active.
	AppPasswords int      `json:"app_passwords"`
	Warnings     []string `json:"warnings,omitempty"`
}

// AddAccount makes an account.
func (s *Service) AddAccount(ctx context.Context, q AccountRequest) (AccountInfo, error) {
	defer s.changeAccounts()()
	m, err := parseMailbox(q.Login)
	if err != nil {
		return AccountInfo{}, err
	}
	a := account.Account{Login: account.NormalizeLogin(m.String()), Created: now()}
	if a.Identities, err = parseIdentities(q.Identities); err != nil {
		return AccountInfo{}, err
	}
	switch _, err := s.opt.Accounts.Account(ctx, a.Login); {
	case err == nil:
		return AccountInfo{}, accountExists(a.Login)
	case !errors.Is(err, account.ErrNotFound):
		return AccountInfo{}, trouble("look up the account "+a.Login, err)
	}
	switch {
	case q.Backend != "" && q.Password != "":
		return AccountInfo{}, fail(Invalid, "the backend %s is to know the main password, and one is given; leave one of them out", q.Backend)
	case q.Backend != "":
		err = s.bindBackend(&a, q.Backend)
	default:
		err = s.setMain(&a, q.Password)
	}
	if err != nil {
		return AccountInfo{}, err
	}
	if err := s.opt.Accounts.AddAccount(ctx, a); err != nil {
		if errors.Is(err, account.ErrExists) {
			return AccountInfo{}, accountExists(a.Login)
		}
		return AccountInfo{}, trouble("add the account "+a.Login, err)
	}
	info := AccountInfo{Account: a, HasPassword: a.Hash != ""}
	info.warnWeak(q.Password)
	if !info.HasPassword && a.Backend == "" {
		info.Warnings = append(info.Warnings, "it has no main password; make an app password with: onward account app-password add "+a.Login+" --name NAME")
	}
	switch ours, err := s.opt.Resolver.Ours(ctx, m.Domain); {
	case err != nil:
		return info, trouble("look up the domain of "+a.Login, err)
	case !ours:
		info.Warnings = append(info.Warnings, fmt.Sprintf("%s is not a domain of this server: %s can send, but mail to it does not arrive here", m.Domain.Unicode(), a.Login))
	}
	return info, nil
}

// warnWeak adds a warning if a password that was set is weak.
func (a *AccountInfo) warnWeak(password string) {
	if w := weakness(password); password != "" && w != "" {
		a.Warnings = append(a.Warnings, w)
	}
}

func accountExists(login string) error {
	return fail(Exists, "the account %s exists already; change its password with: onward account passwd %s", login, login)
}

// MaxIdentities is how many identities an account has besides its own address.
const MaxIdentities = 1000

// parseIdentities brings identities to the form in which they are compared.
func parseIdentities(list []string) ([]string, error) {
	if len(list) > MaxIdentities {
		return nil, fail(Invalid, "%d identities are given; at most %d", len(list), MaxIdentities)
	}
	var ids []string
	for _, text := range list {
		id := ""
		if domain, whole := strings.CutPrefix(strings.TrimSpace(text), "@"); whole {
			d, err := parseDomain(domain)
			if err != nil {
				return nil, err
			}
			id = "@" + d.String()
		} else {
			m, err := parseMailbox(text)
			if err != nil {
				return nil, err
			}
			id = m.Key()
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// knownAccount returns an account, or the error that says that there is none.
func (s *Service) knownAccount(ctx context.Context, login string) (account.Account, error) {
	login = account.NormalizeLogin(login)
	if login == "" {
		return account.Account{}, fail(Invalid, "name the account, like anna@example.org")
	}
	a, err := s.opt.Accounts.Account(ctx, login)
	if err == nil {
		err = stillProved(ctx, &a)
	}
	switch {
	case KindOf(err) == Refused:
		return a, err
	case errors.Is(err, account.ErrNotFound):
		return a, fail(NotFound, "there is no account %s; see those that are with: onward account list", login)
	case err != nil:
		return a, trouble("look up the account "+login, err)
	}
	return a, nil
}

// setMain gives an account a main password, or takes it away.
func (s *Service) setMain(a *account.Account, password string) error {
	if password != "" {
		if err := checkPassword(a.Login, password); err != nil {
			return err
		}
	}
	if err := s.opt.Secrets().SetMain(a, password, s.opt.Random); err != nil {
		return trouble("keep the password", err)
	}
	return nil
}

// bindBackend lets a backend know the main password of an account; ours is
// forgotten.
func (s *Service) bindBackend(a *account.Account, name string) error {
	b, done, err := s.knownBackend(name)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case !b.Passwords():
		return fail(Invalid, "the backend %s knows tokens and no passwords; an account needs no binding to it", name)
	case !b.Serves(a.Login):
		return fail(Invalid, "the backend %s does not serve the domain of %s; add it to the domains of [login.backends.%s]", name, a.Login, name)
	}
	a.Backend, a.Hash, a.Keys = name, "", account.Keys{}
	return nil
}

// SetPassword changes or removes the main password.
func (s *Service) SetPassword(ctx context.Context, q PasswordRequest) (AccountInfo, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return AccountInfo{}, err
	}
	if a.Backend != "" {
		return AccountInfo{}, fail(Refused, "the main password of %s is kept by the backend %s and would not be asked for here; change it there", a.Login, a.Backend)
	}
	if err := s.setMain(&a, q.Password); err != nil {
		return AccountInfo{}, err
	}
	if err := s.opt.Accounts.UpdateAccount(ctx, a); err != nil {
		return AccountInfo{}, trouble("change the password of "+a.Login, err)
	}
	s.endLogins(a.Login, account.CredentialMain)
	info, err := s.accountInfo(ctx, a)
	info.warnWeak(q.Password)
	return info, err
}

// EnableAccount enables or disables an account. Disabled, it cannot log in
// from now on, and sessions that are logged in are ended.
func (s *Service) EnableAccount(ctx context.Context, q EnableRequest) (AccountInfo, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return AccountInfo{}, err
	}
	a.Disabled = !q.Enabled
	if err := s.opt.Accounts.UpdateAccount(ctx, a); err != nil {
		return AccountInfo{}, trouble("change the account "+a.Login, err)
	}
	if a.Disabled {
		s.endLogins(a.Login, "")
	}
	return s.accountInfo(ctx, a)
}

func (s *Service) accountInfo(ctx context.Context, a account.Account) (AccountInfo, error) {
	passwords, err := s.opt.Accounts.AppPasswords(ctx, a.Login)
	if err != nil {
		return AccountInfo{}, trouble("list the app passwords of "+a.Login, err)
	}
	info := AccountInfo{Account: a, HasPassword: a.Hash != ""}
	for _, p := range passwords {
		if p.Status(time.Now()) == "active" {
			info.AppPasswords++
		}
	}
	return info, nil
}

// ListAccounts lists all accounts by login.
func (s *Service) ListAccounts(ctx context.Context, _ Nothing) ([]AccountInfo, error) {
	accounts, err := s.opt.Accounts.Accounts(ctx)
	if err != nil {
		return nil, trouble("list the accounts", err)
	}
	list := make([]AccountInfo, len(accounts))
	for i, a := range accounts {
		if list[i], err = s.accountInfo(ctx, a); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// RemoveAccount removes an account with its app passwords.
func (s *Service) RemoveAccount(ctx context.Context, q AccountName) (Removed, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return Removed{}, err
	}
	if err := s.opt.Accounts.RemoveAccount(ctx, a.Login); err != nil {
		return Removed{}, trouble("remove the account "+a.Login, err)
	}
	s.endLogins(a.Login, "")
	r := Removed{Removed: a.Login}
	if m, err := address.ParseMailbox(a.Login); err == nil {
		if _, err := s.opt.Recipients.Address(ctx, m); err == nil {
			r.Warnings = append(r.Warnings, "the address "+a.Login+" still takes mail; remove it with: onward address remove "+a.Login)
		}
	}
	return r, nil
}
