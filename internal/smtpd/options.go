// Package smtpd is the receiving side of SMTP: it speaks, and leaves every
// decision to a [transaction.Handler].
//
//	net.Listener ─► Server ─► Conn ── events ──► Session ── questions ──► Handler
//	                          octets ◄─ Next ──          ◄─ replies ─────
//
// A [Session] is the dialogue without a socket: it takes events and says what
// is to be answered and what to do next. A [Conn] is the socket without a
// policy: it reads lines, content and chunks within limits and deadlines, and
// does as it is told. A [Server] owns listeners and connections: limits,
// reload, drain.
//
// It promises that every command is answered by a reply of the catalogue that
// is legal for it, that replies to a pipelined group leave together, that only
// CR LF dot CR LF ends a message, that nothing said in clear survives
// STARTTLS, that every read has a limit and a deadline, and that a defect of a
// Handler ends one session with 421 and not the process.
//
// It does not resolve, store or check anything, and it knows no accounts.
//
// RFC 5321 (SMTP), 1870 (SIZE), 2033 (LMTP), 2034 (enhanced codes), 2920
// (PIPELINING), 3030 (CHUNKING, BINARYMIME), 3207 (STARTTLS), 3461 (DSN), 4954
// (AUTH), 6152 (8BITMIME), 6409 (submission), 6531 (SMTPUTF8), 8314 (implicit
// TLS), 8689 (REQUIRETLS), 9422 (LIMITS).
package smtpd

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/onwardmail/onward/internal/transaction"
)

// What the zero Options mean. The waits are the least that RFC 5321 allows.
const (
	DefaultMaxSize          = 50 << 20
	DefaultMaxRecipients    = 1000 // rfc5321#4.5.3.1.8 has 100
	DefaultMaxMails         = 1000
	DefaultMaxErrors        = 20
	DefaultMaxLoginFailures = 3
	DefaultMaxConnections   = 10000
	DefaultMaxPerAddress    = 200
	DefaultMaxPerNetwork    = 500
	DefaultMaxContents      = 1000

	DefaultCommandWait = 5 * time.Minute // rfc5321#4.5.3.2.7
	DefaultBlockWait   = 3 * time.Minute // rfc5321#4.5.3.2.5
	DefaultContentTime = time.Hour
	DefaultTLSWait     = time.Minute
)

// Options are what an operator may choose. They are read when a session
// begins; one that is under way keeps those with which it began.
type Options struct {
	// Hostname is what the server calls itself.
	Hostname string
	// HelpURL is where HELP sends people; https://Hostname/ if empty.
	HelpURL string
	// LinkURL is the address of the pages that explain replies, without a slash
	// at its end, such as "https://mx.example.org"; replies that refuse end in a
	// link below it (reply.Reply.Linked). None do if it is empty.
	LinkURL string
	// TLS returns the configuration for the next handshake, or nil if there is
	// none now. With a nil TLS STARTTLS is not offered.
	TLS func() *tls.Config
	// UserTLS is the same where users log in; nil: TLS is for them, too.
	UserTLS func() *tls.Config

	// MaxSize is the largest message in octets; less than 64 KB, and some mail that
	// every server ought to take is refused (rfc5321#4.5.3.1.7).
	MaxSize int64
	// MaxRecipients is how many a transaction may have; with less than 100 clients
	// may meet the limit that do not expect one (rfc5321#4.5.3.1.8).
	MaxRecipients int
	// MaxMails is how many MAIL commands a session may have (rfc9422#4.1).
	MaxMails int
	// MaxErrors is how many 5xx a client may draw before a message of its is
	// accepted; then it hears 421.
	MaxErrors int
	// MaxLoginFailures is how many rejected logins a session may have.
	MaxLoginFailures int
	// MaxConnections and MaxPerAddress are how many connections may be open at
	// a time, in all and from one IPv4 address or IPv6 /64.
	MaxConnections, MaxPerAddress int
	// MaxPerNetwork is the same for one IPv4 /24 or IPv6 /48.
	MaxPerNetwork int
	// ConnectRate and MailRate are how many connections and messages a minute one
	// address may begin; 0: any.
	ConnectRate, MailRate int
	// MaxContents is how many messages may be on their way in at a time. Each
	// takes some 100 KB of memory at most, whatever its size.
	MaxContents int
	// BlockTime is how long an address is refused, the first time, after a
	// session that ended because of errors; 0: not at all.
	BlockTime time.Duration
	// GreetPause is how long a client of the MX service that has not been here for
	// 30 days waits for its greeting, to see whether it speaks before; 0: nobody
	// waits.
	GreetPause time.Duration
	// Known are networks that are no strangers: rates, blocks and the pause are
	// not for them, and room is made for them when the server is full.
	Known []netip.Prefix

	// CommandWait is how long a client may take for a whole command line,
	// BlockWait for the next octets of content, ContentTime for all of one
	// message, TLSWait for a handshake.
	CommandWait, BlockWait, ContentTime, TLSWait time.Duration

	// MendLF makes CRLF of an LF on its own in content; otherwise the message is
	// refused for it. A CR on its own is refused in any case.
	MendLF bool
	// XClient are the networks whose clients may say for whom they speak, by
	// XCLIENT; XClientLogin, that they may say who has logged in.
	XClient      []netip.Prefix
	XClientLogin bool

	// Log hears of defects and of trouble with listeners; nobody does if nil.
	Log *slog.Logger
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() *Options {
	if o.HelpURL == "" {
		o.HelpURL = "https://" + o.Hostname + "/"
	}
	o.MaxSize = or(o.MaxSize, DefaultMaxSize)
	o.MaxRecipients = or(o.MaxRecipients, DefaultMaxRecipients)
	o.MaxMails = or(o.MaxMails, DefaultMaxMails)
	o.MaxErrors = or(o.MaxErrors, DefaultMaxErrors)
	o.MaxLoginFailures = or(o.MaxLoginFailures, DefaultMaxLoginFailures)
	o.MaxConnections = or(o.MaxConnections, DefaultMaxConnections)
	o.MaxPerAddress = or(o.MaxPerAddress, DefaultMaxPerAddress)
	o.MaxPerNetwork = or(o.MaxPerNetwork, DefaultMaxPerNetwork)
	o.MaxContents = or(o.MaxContents, DefaultMaxContents)
	o.CommandWait = or(o.CommandWait, DefaultCommandWait)
	o.BlockWait = or(o.BlockWait, DefaultBlockWait)
	o.ContentTime = or(o.ContentTime, DefaultContentTime)
	o.TLSWait = or(o.TLSWait, DefaultTLSWait)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &o
}

// or returns v, or standard if v is not above zero.
func or[T int | int64 | time.Duration](v, standard T) T {
	if v > 0 {
		return v
	}
	return standard
}

// Profile is the kind of a listener: what is spoken on it.
type Profile struct {
	Service transaction.Service
	// ImplicitTLS says that a connection begins with the handshake
	// (rfc8314#3.3).
	ImplicitTLS bool
	// Login says that users come here: AUTH is offered, over TLS only, and
	// required before mail (rfc6409#4.3).
	Login bool
	// LMTP says that LHLO is spoken and that each recipient has a reply of its
	// own after the content (rfc2033).
	LMTP bool
	// Proxies, if there are any, are the networks of the proxies that alone may
	// connect, and whose every connection begins with a header of the PROXY
	// protocol.
	Proxies []netip.Prefix
}

// MX is port 25: mail from other servers, no logins.
func MX() Profile { return Profile{Service: transaction.MX} }

// Submission is port 587: STARTTLS, then AUTH, then mail.
func Submission() Profile { return Profile{Service: transaction.Submission, Login: true} }

// Submissions is port 465: TLS from the beginning, then AUTH, then mail.
func Submissions() Profile {
	return Profile{Service: transaction.Submissions, ImplicitTLS: true, Login: true}
}

// LMTP is for final delivery by a neighbour.
func LMTP() Profile { return Profile{Service: transaction.LMTP, LMTP: true} }
