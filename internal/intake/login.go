package intake

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/sasl"
	"github.com/onwardmail/onward/internal/transaction"
)

// client is a peer as the accounts see it.
func client(p *transaction.Peer) account.Client {
	c := account.Client{Remote: p.Remote.Addr(), Service: string(p.Service), Helo: p.Helo}
	if p.TLS != nil {
		c.TLS, c.Binding, c.Certificates = p.TLS.Version, p.TLS.Binding, p.TLS.Certificates
	}
	return c
}

// Mechanisms are those that the client may use now (rfc4954#3).
func (h *Handler) Mechanisms(p *transaction.Peer) []string {
	return h.opt.Checker.Mechanisms(context.Background(), client(p))
}

// WrongPort notes that somebody tried to log in on a port without logins, so
// that the owner of the name learns what is wrong with a mail program.
func (h *Handler) WrongPort(p *transaction.Peer, mechanism, initial string) {
	h.opt.Checker.Refused(account.WrongPort, mechanism, nameIn(mechanism, initial), client(p), time.Now())
}

// nameIn reads the user name out of an initial response that nobody asked for;
// the rest of it is thrown away.
func nameIn(mechanism, initial string) string {
	if mechanism != "PLAIN" && mechanism != "LOGIN" || initial == "" {
		return ""
	}
	offer, ok := sasl.Find(mechanism)
	response, err := base64.StdEncoding.DecodeString(initial)
	if !ok || err != nil {
		return ""
	}
	m := offer.New(sasl.Channel{})
	m.Start(response)
	return m.Credentials().Login
}

// Authenticate begins an AUTH exchange (rfc4954#4). Whether it begins depends on
// the mechanism and the connection alone.
func (h *Handler) Authenticate(ctx context.Context, p *transaction.Peer, mechanism string, initial []byte) (transaction.Exchange, reply.Reply) {
	c := client(p)
	e, no := h.opt.Checker.Begin(ctx, mechanism, c, time.Now())
	switch no {
	case account.Allowed:
		return &exchange{h: h, peer: p, checked: e, mechanism: mechanism}, reply.Reply{}
	case account.RefusedClear:
		return nil, reply.AuthNeedsTLS(mechanism) // it was not offered, and this says best why (rfc4954#6)
	case account.RefusedWeak:
		return nil, reply.AuthTooWeak(mechanism)
	case account.RefusedTransition:
		return nil, reply.PasswordTransition()
	}
	offered := strings.Join(h.Mechanisms(p), " ")
	if offered == "" {
		offered = "nothing without TLS"
	}
	return nil, reply.AuthMechanismUnknown(offered)
}

// exchange is one AUTH exchange.
type exchange struct {
	h         *Handler
	peer      *transaction.Peer
	checked   *account.Exchange
	mechanism string
}

// Next takes a response. The reply to a rejected login never depends on the
// cause (rfc4954#6).
func (e *exchange) Next(ctx context.Context, response []byte) transaction.Answer {
	a := e.checked.Next(ctx, response, time.Now())
	if !a.Done {
		return transaction.Answer{Challenge: a.Challenge}
	}
	log, p, res := e.h.opt.Logger, e.peer, a.Result
	remote := p.Remote.Addr().String()
	switch res.Cause {
	case "":
		log.Info("login", "session", p.Session, "login", res.Login, "credential", res.Credential, "mechanism", e.mechanism, "remote", remote)
		return transaction.Answer{Identity: transaction.Identity{Login: res.Login, Credential: res.Credential}}
	case account.TooBusy: // a flood must not fill the log
		log.Info("login not checked", "session", p.Session, "error", res.Err, "reference", res.Reference, "remote", remote)
		return transaction.Answer{Reply: reply.AuthUnavailable()}
	case account.BackendDown:
		log.Error("logins cannot be checked", "session", p.Session, "error", res.Err, "reference", res.Reference)
		return transaction.Answer{Reply: reply.AuthUnavailable()}
	}
	log.Info("login rejected", "session", p.Session, "cause", string(res.Cause), "mechanism", e.mechanism, "reference", res.Reference, "remote", remote)
	switch res.Cause {
	case account.Slowed:
		return transaction.Answer{Reply: reply.LoginsBlocked(e.h.opt.Hostname, time.Until(res.Until))}
	case account.AccountDisabled:
		if !res.Unproved {
			return transaction.Answer{Reply: reply.AccountDisabled()}
		}
	case account.Malformed, account.Base64Twice:
		if a.Malformed {
			return transaction.Answer{Reply: reply.AuthMalformed(e.mechanism)}
		}
	}
	return transaction.Answer{Reply: reply.CredentialsRejected(res.Reference)}
}

// sender is what a login may do in one transaction.
type sender struct {
	app *account.AppPassword // nil where something else was used
}

// mayBeSender holds a reverse-path against the identities of the login: its own
// address, those listed with it, and addresses of ours that forward to it
// (rfc6409#6.1); and against the scope of its app password. What it logged in
// with may have ended since.
func (h *Handler) mayBeSender(ctx context.Context, p *transaction.Peer, from address.Mailbox) (sender, reply.Reply) {
	var s sender
	id := account.AppPasswordID(p.Credential)
	acc, app, err := h.opt.Accounts.Login(ctx, p.Login, id)
	switch {
	case err != nil:
		return s, h.trouble("look up the account", p, err)
	case acc == nil || acc.Disabled, id != "" && !usable(app):
		return s, reply.AuthRequired() // it ended since the session logged in
	}
	s.app = app
	if r := h.isIdentity(ctx, p, acc, from); !r.IsZero() {
		return s, r
	}
	if app != nil && !app.Scope.MaySend(from) {
		return s, reply.SenderOutOfScope(app.Name, inCommands(app), acc.Login, from, app.Scope.Senders)
	}
	return s, reply.Reply{}
}

// usable reports whether an app password may be used by a session that has
// logged in with it. One that an alarm has suspended has an answer of its own.
func usable(app *account.AppPassword) bool {
	if app == nil {
		return false
	}
	status := app.Status(time.Now())
	return status == "active" || status == "suspended"
}

func (h *Handler) isIdentity(ctx context.Context, p *transaction.Peer, acc *account.Account, from address.Mailbox) reply.Reply {
	if acc.MaySend(from) {
		return reply.Reply{}
	}
	a, err := h.opt.Resolver.Directory.Address(ctx, from)
	if err != nil && !errors.Is(err, recipient.ErrNotFound) {
		return h.trouble("look up the sender's address", p, err)
	}
	if err == nil && a.Kind == recipient.Forward {
		for _, t := range a.Targets {
			if t.Key() == acc.Login {
				return reply.Reply{}
			}
		}
	}
	return reply.SenderNotOwned(p.Login, from)
}

// mayReach holds a forward-path against the scope of the app password. The
// postmaster without a domain is everybody's (rfc5321#4.5.1).
func (s *sender) mayReach(login string, to address.Mailbox) reply.Reply {
	if s.app == nil || to.Domain.IsZero() || s.app.Scope.MayReach(to.Domain) {
		return reply.Reply{}
	}
	return reply.RecipientOutOfScope(s.app.Name, inCommands(s.app), login, to, s.app.Scope.Recipients)
}

// inCommands names an app password in a command: its name, or its id where a shell
// would take the name for something else.
func inCommands(app *account.AppPassword) string {
	ordinary := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }
	if app.Name == "" || !ordinary(rune(app.Name[0])) || strings.ContainsFunc(app.Name, func(r rune) bool { return !ordinary(r) && !strings.ContainsRune("-_.", r) }) {
		return app.ID
	}
	return app.Name
}

// mostOctets is the largest message that the server and the scope allow; 0: any.
func (s *sender) mostOctets(server int64) int64 {
	if s.app == nil || s.app.Scope.MaxSize <= 0 {
		return server
	}
	if server <= 0 {
		return s.app.Scope.MaxSize
	}
	return min(server, s.app.Scope.MaxSize)
}
