package intake

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/transaction"
)

// Sending are the settings of what logins may send.
type Sending struct {
	// Limits are those of accounts that have none of their own; -1 is none.
	Limits account.Limits
	Alarm  account.AlarmRules
}

// Owners tells the owners of accounts what they must know. A nil error means
// that the notice is durable, or that nobody can be told.
type Owners interface {
	// Suspended is about an app password that an alarm has suspended.
	Suspended(ctx context.Context, a *account.Account, p *account.AppPassword) error
	// Strange is about an alarm that another secret has raised.
	Strange(ctx context.Context, a *account.Account, alarm *account.Alarm) error
	// Reached is about a limit, of the app password if the secret's own.
	Reached(ctx context.Context, a *account.Account, p *account.AppPassword, over *account.Exceeded) error
}

// sending is the account's side of a transaction of a login; nil for others,
// and then its methods do nothing.
type sending struct {
	h    *Handler
	peer *transaction.Peer
	acc  *account.Account
	app  *account.AppPassword // nil for another secret
	open *account.Sending
}

// measure begins to measure the transaction of a login, and refuses it if a
// limit is reached or the app password is suspended.
func (m *mail) measure(ctx context.Context) reply.Reply {
	h, p := m.h, m.peer
	if p.Login == "" || h.opt.Usage == nil {
		return reply.Reply{}
	}
	acc, app, err := h.opt.Accounts.Login(ctx, p.Login, account.AppPasswordID(p.Credential))
	switch {
	case err != nil:
		return h.trouble("look up the account", p, err)
	case acc == nil && p.Service.Submits():
		return reply.AuthRequired() // it ended since the session logged in
	case acc == nil: // a proxy named it, by XCLIENT, and it is none of ours
		return reply.Reply{}
	}
	open, err := h.opt.Usage.Open(ctx, account.Who{
		Account: acc, App: app, Credential: p.Credential, Remote: p.Remote.Addr(),
		Defaults: m.settings.Sending.Limits, Alarm: m.settings.Sending.Alarm,
	})
	if err != nil {
		return h.trouble("read what the account has sent", p, err)
	}
	m.sending = &sending{h: h, peer: p, acc: acc, app: app, open: open}
	now := time.Now()
	over, suspended := open.Begin(now)
	m.sending.act(ctx, now)
	return m.sending.refuse(ctx, over, suspended, now)
}

// recipient asks whether there may be one more.
func (s *sending) recipient(ctx context.Context, to address.Mailbox) reply.Reply {
	if s == nil {
		return reply.Reply{}
	}
	now := time.Now()
	return s.refuse(ctx, s.open.Recipient(to, now), false, now)
}

// accepted notes the recipient that was asked about.
func (s *sending) accepted() {
	if s != nil {
		s.open.Accepted()
	}
}

// refused notes the reply to a recipient that is not taken, and returns it.
func (s *sending) refused(ctx context.Context, to address.Mailbox, r reply.Reply) reply.Reply {
	if s != nil && r == reply.MailboxUnknown(to) {
		now := time.Now()
		s.open.Unknown(now)
		s.act(ctx, now)
	}
	return r
}

// take counts the message, if there is room for it. Until settle it is given
// back by close.
func (s *sending) take(ctx context.Context) reply.Reply {
	if s == nil {
		return reply.Reply{}
	}
	now := time.Now()
	over, suspended := s.open.Take(now)
	return s.refuse(ctx, over, suspended, now)
}

// settle says that the message is durable.
func (s *sending) settle(ctx context.Context) {
	if s == nil {
		return
	}
	now := time.Now()
	s.open.Settle(now)
	s.act(ctx, now)
}

func (s *sending) close() {
	if s != nil {
		s.open.Close()
	}
}

// refuse makes the reply; zero if nothing stands against it.
func (s *sending) refuse(ctx context.Context, over *account.Exceeded, suspended bool, now time.Time) reply.Reply {
	switch {
	case suspended:
		return reply.AppPasswordSuspended(s.name())
	case over == nil:
		return reply.Reply{}
	}
	h := s.h
	h.opt.Logger.Info("limit reached", "session", s.peer.Session, "login", s.acc.Login, "credential", s.peer.Credential,
		"limit", string(over.Limit), "number", over.Number, "own", over.Own, "until", over.Until)
	whose, app := "account "+s.acc.Login, (*account.AppPassword)(nil)
	switch {
	case over.Own && s.app != nil:
		whose, app = "app password "+s.name(), s.app
	case over.Own:
		whose = "account " + s.acc.Login + " since an alarm"
	}
	if h.opt.Owners != nil && s.open.FirstToday(now) {
		if err := h.opt.Owners.Reached(ctx, s.acc, app, over); err != nil {
			h.opt.Logger.Error("tell the owner of a limit", "login", s.acc.Login, "error", err)
		}
	}
	period := "an hour"
	if strings.HasSuffix(string(over.Limit), "_day") {
		period = "a day"
	}
	switch over.Limit {
	case account.MessagesHour, account.MessagesDay:
		return reply.MessageLimit(over.Number, period, whose, over.Until, now)
	case account.NewRecipientsDay:
		return reply.NewRecipientLimit(over.Number, whose, over.Until, now)
	}
	return reply.RecipientLimit(over.Number, period, whose, over.Until, now)
}

// name is that of the app password, or its id where the name cannot be said.
func (s *sending) name() string {
	if s.app == nil || strings.ContainsFunc(s.app.Name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return s.peer.Credential
	}
	return s.app.Name
}

// act does what follows from an alarm, if there is one: an app password is
// suspended, and the owner is told. What fails is tried again at the next
// transaction, and an app password sends nothing until then.
func (s *sending) act(ctx context.Context, now time.Time) {
	alarm := s.open.Claim()
	if alarm == nil {
		return
	}
	h := s.h
	h.opt.Logger.Warn("alarm: somebody else may have this password", "session", s.peer.Session, "login", s.acc.Login,
		"credential", s.peer.Credential, "alarm", alarm.String(), "remote", s.peer.Remote.Addr().String())
	err := s.suspend(ctx, alarm, now)
	if err != nil {
		h.opt.Logger.Error("act on an alarm", "session", s.peer.Session, "login", s.acc.Login, "error", err)
	}
	s.open.Acted(alarm, err == nil)
}

func (s *sending) suspend(ctx context.Context, alarm *account.Alarm, now time.Time) error {
	h := s.h
	if s.app == nil {
		if h.opt.Owners == nil {
			return nil
		}
		return h.opt.Owners.Strange(ctx, s.acc, alarm)
	}
	fresh := false
	app, err := h.opt.Accounts.ChangeAppPassword(ctx, s.acc.Login, s.app.ID, func(p *account.AppPassword) error {
		if fresh = p.Suspended.IsZero(); fresh {
			p.Suspended, p.SuspendedWhy = alarm.At, alarm.String()
		}
		return nil
	})
	switch {
	case errors.Is(err, account.ErrNotFound): // the account was removed meanwhile
		return nil
	case err != nil:
		return err
	case fresh:
		h.opt.Accounts.Failed(account.Failure{
			Reference: account.NewReference(rand.Reader), At: now, Cause: account.AppPasswordSuspended, Login: s.acc.Login,
			Remote: s.peer.Remote.Addr(), Service: string(s.peer.Service), Client: s.peer.Helo, Detail: app.SuspendedWhy,
			AppPassword: app.ID, AppPasswordName: app.Name, AppPasswordEnd: app.Suspended, Count: 1,
		})
	}
	if h.opt.Owners == nil {
		return nil
	}
	return h.opt.Owners.Suspended(ctx, s.acc, &app)
}
