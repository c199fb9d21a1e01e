// Package intake takes the decisions of receiving: who may connect and log in,
// which sender and recipient is good, and what becomes of the content. It
// adds the trace field, and what is accepted it hands to the queue, which
// makes it durable.
//
// It promises that nothing is relayed except for a login, a trusted network or
// an address of ours that forwards; that every decision about a recipient is
// taken once, at RCPT, and kept; and that an error of ours is answered with a
// temporary reply and logged, in one function (trouble.go).
//
// It does not speak SMTP: smtpd calls it through package transaction.
//
// RFC 5321 §3.4, §3.6, §4.4, §6; RFC 6409; RFC 7208 for the reports.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/sasl"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// Limits of intake.
const (
	// DefaultMaxHeader is the largest header section, in octets.
	DefaultMaxHeader = 256 << 10
	// spfPatience is how long the end of a message waits for SPF.
	spfPatience = 5 * time.Second
)

// Settings may change while the server runs.
type Settings struct {
	// Trusted are the networks that may relay without a login.
	Trusted []netip.Prefix
	// MaxSize and MaxRecipients bound one transaction.
	MaxSize       int64
	MaxRecipients int
	// MaxHeader is the largest header section in octets; 0: DefaultMaxHeader.
	MaxHeader int
	// Route says where mail for an address goes that is not local.
	Route func(address.Mailbox) queue.Destination
	// Checks are what strangers are held against.
	Checks Checks
	// Sending bounds what logins send.
	Sending Sending
	// Filters see every message before it is stored, in this order.
	Filters []Filter
}

// Enqueuer makes a message durable.
type Enqueuer interface {
	Enqueue(ctx context.Context, e *queue.Entry) error
}

// Options are what a Handler needs for its whole life.
type Options struct {
	Hostname string
	Resolver *recipient.Resolver
	Checker  *account.Checker
	Accounts account.Directory
	// Usage measures what logins send; nil: nobody does. Owners tells them; nil:
	// nobody is told.
	Usage     *account.Meter
	Owners    Owners
	Queue     Enqueuer
	IDs       *queue.IDs
	NewBuffer func() queue.Content
	// DiskLow reports whether free disk space is below the threshold.
	DiskLow func() bool
	// SPF reports whether the reverse-path's domain passes for the client; nil
	// means that nobody checks and no stranger hears of failures.
	SPF func(ctx context.Context, client netip.Addr, helo string, from address.Mailbox) bool
	// DNS is asked by the checks; nil: those that need it are off.
	DNS dns.Resolver
	// LoopMark returns the mark of an address in messages that it forwards; nil:
	// none. It tells nothing to others.
	LoopMark func(address.Mailbox) string
	// Random returns text for Message-ID.
	Random func() string
	Logger *slog.Logger
}

// Handler implements transaction.Handler.
type Handler struct {
	opt      Options
	settings atomic.Pointer[Settings]
	grey     *greylist
}

// New returns a Handler.
func New(opt Options, s Settings) *Handler {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.DiskLow == nil {
		opt.DiskLow = func() bool { return false }
	}
	h := &Handler{opt: opt, grey: newGreylist()}
	h.Set(s)
	return h
}

// Set replaces the settings; transactions that are open keep the old ones.
func (h *Handler) Set(s Settings) {
	if s.MaxHeader <= 0 {
		s.MaxHeader = DefaultMaxHeader
	}
	h.settings.Store(&s)
}

// Close notes the end of a session.
func (h *Handler) Close(*transaction.Peer) {}

// Authenticate checks credentials (rfc4954#4). The reply to a rejected login
// never depends on the cause.
func (h *Handler) Authenticate(ctx context.Context, p *transaction.Peer, c sasl.Credentials) (transaction.Identity, reply.Reply) {
	client := account.Client{Remote: p.Remote.Addr(), Service: string(p.Service)}
	if p.TLS != nil {
		client.TLS = p.TLS.Version
	}
	res := h.opt.Checker.Check(ctx, c, client, time.Now())
	switch res.Cause {
	case "":
		h.opt.Logger.Info("login", "session", p.Session, "login", res.Login, "credential", res.Credential, "remote", p.Remote.Addr().String())
		return transaction.Identity{Login: res.Login, Credential: res.Credential}, reply.AuthOK()
	case account.AccountDisabled:
		return transaction.Identity{}, reply.AccountDisabled()
	case account.BackendDown:
		h.opt.Logger.Error("logins cannot be checked", "session", p.Session, "error", res.Err)
		return transaction.Identity{}, reply.AuthUnavailable()
	}
	h.opt.Logger.Info("login rejected", "session", p.Session, "cause", string(res.Cause), "reference", res.Reference, "remote", p.Remote.Addr().String())
	return transaction.Identity{}, reply.CredentialsRejected(res.Reference)
}

// Mail decides about a reverse-path and opens the transaction.
func (h *Handler) Mail(ctx context.Context, p *transaction.Peer, from address.Mailbox, params smtp.MailParams) (transaction.Transaction, reply.Reply) {
	s := h.settings.Load()
	switch {
	case s.MaxSize > 0 && params.Size > s.MaxSize: // rfc1870#6.1
		return nil, reply.MessageTooLarge(strconv.FormatInt(s.MaxSize, 10))
	case !from.IsASCII() && !params.UTF8: // rfc6531#3.5
		return nil, reply.NonASCIIAddress()
	case h.opt.DiskLow():
		return nil, reply.StorageLow()
	}
	if p.Service.Submits() {
		if r := h.mayBeSender(ctx, p, from); !r.IsZero() {
			return nil, r
		}
	}
	allowed, r := h.checkSender(ctx, s, p, from)
	if !r.IsZero() {
		return nil, r
	}
	m := &mail{h: h, settings: s, peer: p, from: from, params: params, allowed: allowed}
	if r := m.measure(ctx); !r.IsZero() {
		m.Abort()
		return nil, r
	}
	if r := m.begin(ctx); !r.IsZero() {
		m.Abort()
		return nil, r
	}
	m.found = h.inspect(ctx, s, p)
	return m, reply.SenderOK()
}

// mayBeSender holds a reverse-path against the identities of the login: its own
// address, those listed with it, and addresses of ours that forward to it
// (rfc6409#6.1).
func (h *Handler) mayBeSender(ctx context.Context, p *transaction.Peer, from address.Mailbox) reply.Reply {
	acc, err := h.opt.Accounts.Account(ctx, p.Login)
	switch {
	case errors.Is(err, account.ErrNotFound) || err == nil && acc.Disabled:
		return reply.AuthRequired() // it ended since the session logged in
	case err != nil:
		return h.trouble("look up the account", p, err)
	}
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

// Verify answers VRFY. Strangers learn nothing (rfc5321#7.3); a login is told
// the truth, as RCPT would tell it.
func (h *Handler) Verify(ctx context.Context, p *transaction.Peer, a address.Mailbox) reply.Reply {
	if p.Login == "" || !h.settings.Load().Checks.Verify || a.Domain.IsZero() && !a.IsPostmaster() { // a name alone may be anybody's
		return reply.CannotVerify()
	}
	res, err := h.opt.Resolver.Resolve(ctx, a)
	if err != nil {
		// VRFY has no temporary reply (rfc5321#4.3.2); 252 promises nothing.
		h.opt.Logger.Error("look up an address", "session", p.Session, "error", err)
		return reply.CannotVerify()
	}
	switch res.Verdict {
	case recipient.NotOurs, recipient.Loops:
		return reply.CannotVerify()
	}
	r := answer(a, res)
	if r != reply.RecipientOK() {
		return r
	}
	if !a.IsASCII() {
		return reply.CannotVerify() // it cannot be named
	}
	return reply.Verified(a)
}

// answer is the reply to a recipient by what becomes of it.
func answer(a address.Mailbox, res recipient.Resolution) reply.Reply {
	switch res.Verdict {
	case recipient.Accept:
		if !res.Announce.IsZero() && res.Announce.IsASCII() {
			return reply.WillForward(res.Announce) // rfc5321#3.4
		}
		return reply.RecipientOK()
	case recipient.HasMoved:
		if !res.New.IsASCII() {
			return reply.MovedUnsayable()
		}
		return reply.PleaseTry(res.New)
	case recipient.IsRefused:
		return reply.RecipientRefused(res.Text)
	case recipient.Loops:
		return reply.ForwardingLoop(a)
	case recipient.Unknown:
		return reply.MailboxUnknown(a)
	}
	return reply.RelayDenied(a)
}

// trusted reports whether the client may relay without a login: a network of
// the configuration, or a program on this machine through the control socket.
func (s *Settings) trusted(p *transaction.Peer) bool {
	if p.Service == transaction.Local {
		return true
	}
	addr := p.Remote.Addr().Unmap().WithZone("") // a prefix contains no zoned address
	for _, n := range s.Trusted {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
