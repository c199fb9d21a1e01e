package control

import (
	"context"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// MainPassword names the main password where an app password could stand.
const MainPassword = "main"

// LimitsRequest shows the sending limits of an account, or of one of its app
// passwords, and changes those that Set names.
type LimitsRequest struct {
	Login string `json:"login"`
	// AppPassword is an id or a name; "" is the account as a whole.
	AppPassword string `json:"app_password,omitempty"`
	// Set are the new limits: 0 the default, -1 none.
	Set map[account.LimitName]int `json:"set,omitempty"`
}

// LimitsInfo are sending limits.
type LimitsInfo struct {
	Login string `json:"login"`
	// AppPassword and Name are the app password's id and name, "" for the account.
	AppPassword string `json:"app_password,omitempty"`
	Name        string `json:"name,omitempty"`
	// Own are those that were set: 0 is the default, -1 none.
	Own account.Limits `json:"own"`
	// InForce are those that hold, -1 for none: for an app password besides those
	// of its account.
	InForce account.Limits `json:"in_force"`
}

// CredentialUsage is what one secret of an account has sent, or all together.
type CredentialUsage struct {
	Login string `json:"login"`
	account.Usage
	// Name is the app password's, "" for others; Status is its status.
	Name   string `json:"name,omitempty"`
	Status string `json:"status,omitempty"`
	// Limits are those in force, -1 for none; for a secret its own.
	Limits account.Limits `json:"limits"`
	// SuspendedWhy is the alarm that suspended it.
	SuspendedWhy string `json:"suspended_why,omitempty"`
}

// ResumeRequest says that all is well with a secret after an alarm.
type ResumeRequest struct {
	Login string `json:"login"`
	// Which is the id or the name of an app password, or MainPassword.
	Which string `json:"which"`
}

// Resumed is what came of it.
type Resumed struct {
	Login string `json:"login"`
	// Credential is the app password's id, or MainPassword.
	Credential string `json:"credential"`
	Name       string `json:"name,omitempty"`
}

// maxLimit is the largest limit.
const maxLimit = 10_000_000

// AccountLimits shows and changes sending limits.
func (s *Service) AccountLimits(ctx context.Context, q LimitsRequest) (LimitsInfo, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return LimitsInfo{}, err
	}
	var p *account.AppPassword
	if q.AppPassword != "" {
		if p, err = s.appPassword(ctx, a.Login, q.AppPassword); err != nil {
			return LimitsInfo{}, err
		}
	}
	set, err := limitsSetter(q.Set)
	if err != nil {
		return LimitsInfo{}, err
	}
	info := LimitsInfo{Login: a.Login}
	switch {
	case p != nil && len(q.Set) > 0:
		now, err := s.opt.Accounts.ChangeAppPassword(ctx, a.Login, p.ID, func(p *account.AppPassword) error {
			set(&p.Limits)
			return nil
		})
		if err != nil {
			return LimitsInfo{}, trouble("change the limits of "+a.Login, err)
		}
		p = &now
	case p == nil && len(q.Set) > 0:
		set(&a.Limits)
		if err := s.opt.Accounts.UpdateAccount(ctx, a); err != nil {
			return LimitsInfo{}, trouble("change the limits of "+a.Login, err)
		}
	}
	info.Own = a.Limits
	if p != nil {
		info.AppPassword, info.Name, info.Own = p.ID, p.Name, p.Limits
	}
	info.InForce = s.inForce(info.Own, p != nil)
	return info, nil
}

// limitsSetter checks new limits and returns what puts them into others.
func limitsSetter(limits map[account.LimitName]int) (set func(l *account.Limits), err error) {
	for name, n := range limits {
		if new(account.Limits).Field(name) == nil {
			return nil, fail(Invalid, "there is no limit %q; those that there are: %s", name, limitNames())
		}
		if n < -1 || n > maxLimit {
			return nil, fail(Invalid, "the limit %s is %d; it must be 1 to %d, none or default", name, n, maxLimit)
		}
	}
	return func(l *account.Limits) {
		for name, n := range limits {
			*l.Field(name) = n
		}
	}, nil
}

func limitNames() string {
	var all []string
	for _, n := range account.LimitNames() {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}

// inForce are limits with what stands for those that are not set.
func (s *Service) inForce(l account.Limits, appPassword bool) account.Limits {
	if !appPassword {
		l = l.Or(s.opt.Limits())
	}
	return l.Or(account.Limits{MessagesHour: -1, MessagesDay: -1, RecipientsHour: -1, RecipientsDay: -1, NewRecipientsDay: -1})
}

// appPassword finds one that is not revoked by its id or name.
func (s *Service) appPassword(ctx context.Context, login, which string) (*account.AppPassword, error) {
	have, err := s.opt.Accounts.AppPasswords(ctx, login)
	if err != nil {
		return nil, trouble("list the app passwords of "+login, err)
	}
	id, err := whichPassword(login, have, which)
	if err != nil {
		return nil, err
	}
	for i := range have {
		if have[i].ID == id {
			return &have[i], nil
		}
	}
	return nil, fail(NotFound, "%s has no app password %q any more", login, which)
}

// AccountUsage lists what an account has sent: as a whole first, then by secret,
// the one that was used last first.
func (s *Service) AccountUsage(ctx context.Context, q AccountName) ([]CredentialUsage, error) {
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return nil, err
	}
	passwords, err := s.opt.Accounts.AppPasswords(ctx, a.Login)
	if err != nil {
		return nil, trouble("list the app passwords of "+a.Login, err)
	}
	all, err := s.opt.Usage.Usage(ctx, &a, time.Now())
	if err != nil {
		return nil, trouble("read what "+a.Login+" has sent", err)
	}
	byID := make(map[string]*account.AppPassword, len(passwords))
	for i := range passwords {
		byID[passwords[i].ID] = &passwords[i]
	}
	list := make([]CredentialUsage, 0, len(all))
	for _, u := range all {
		c := CredentialUsage{Login: a.Login, Usage: u}
		switch p := byID[u.Credential]; {
		case p != nil:
			c.Name, c.Status, c.SuspendedWhy = p.Name, p.Status(time.Now()), p.SuspendedWhy
			c.Limits = s.inForce(p.Limits, true)
		case u.Credential == "":
			c.Limits = s.inForce(a.Limits, false)
		case u.Strict:
			c.Limits = account.StrictLimits()
		default:
			c.Limits = s.inForce(account.Limits{}, true)
		}
		list = append(list, c)
	}
	return list, nil
}

// ResumeAppPassword ends the suspension of an app password, or the strict limits
// of the main password. What raised the alarm does not raise it again.
func (s *Service) ResumeAppPassword(ctx context.Context, q ResumeRequest) (Resumed, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return Resumed{}, err
	}
	r := Resumed{Login: a.Login, Credential: MainPassword}
	suspended := false
	if q.Which != MainPassword {
		p, err := s.appPassword(ctx, a.Login, q.Which)
		if err != nil {
			return Resumed{}, err
		}
		r.Credential, r.Name = p.ID, p.Name
		_, err = s.opt.Accounts.ChangeAppPassword(ctx, a.Login, p.ID, func(p *account.AppPassword) error {
			suspended = !p.Suspended.IsZero()
			p.Suspended, p.SuspendedWhy = time.Time{}, ""
			return nil
		})
		if err != nil {
			return Resumed{}, trouble("resume the app password", err)
		}
	}
	alarmed, err := s.opt.Usage.Resume(ctx, &a, r.Credential, time.Now())
	if err != nil {
		return Resumed{}, trouble("forget the alarm", err)
	}
	if !suspended && !alarmed {
		return Resumed{}, fail(Refused, "no alarm has stopped %s of %s; nothing was changed", q.Which, a.Login)
	}
	return r, nil
}
