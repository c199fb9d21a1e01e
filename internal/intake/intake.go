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
	var by sender
	if p.Service.Submits() {
		var r reply.Reply
		if by, r = h.mayBeSender(ctx, p, from); !r.IsZero() {
			return nil, r
		}
		if most := by.mostOctets(s.MaxSize); most > 0 && params.Size > most {
			return nil, reply.MessageTooLarge(strconv.FormatInt(most, 10))
		}
	}
	allowed, r := h.checkSender(ctx, s, p, from)
	if !r.IsZero() {
		return nil, r
	}
	m := &mail{h: h, settings: s, peer: p, from: from, params: params, allowed: allowed, by: by}
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

// Verify is who is told by VRFY whether an address exists (rfc5321#7.3).
type Verify uint8

// Who is told, beside the operator of this machine.
const (
	// VerifyUsers: those who have logged in.
	VerifyUsers Verify = iota
	// VerifyDisclosed: strangers, too, if the owner of the address has decided that
	// its target is told.
	VerifyDisclosed
	// VerifyNobody: nobody.
	VerifyNobody
)

// Verify answers VRFY. A login is told the truth, as RCPT would tell it; a
// stranger learns nothing (rfc5321#7.3), or no more than RCPT names of itself.
func (h *Handler) Verify(ctx context.Context, p *transaction.Peer, a address.Mailbox) reply.Reply {
	rule := h.settings.Load().Checks.Verify
	full := p.Service == transaction.Local || p.Login != "" && rule != VerifyNobody
	if !full && rule != VerifyDisclosed || a.Domain.IsZero() && !a.IsPostmaster() { // a name alone may be anybody's
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
	if !full && r.Code() != 251 && r.Code() != 551 { // rfc5321#3.5.3
		return reply.CannotVerify()
	}
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
