// Package transaction is what the SMTP server asks of those who decide: who is
// connected, and the life of one mail transaction.
//
// It holds interfaces and plain values only, so that smtpd, which speaks, and
// intake, which decides, never import each other. A transaction is an object
// with a lifetime: Mail makes it, Recipient and Content fill it, Commit or
// Abort ends it. There is nothing to reset.
//
// RFC 5321 §3.3 (mail transactions).
package transaction

import (
	"context"
	"crypto/x509"
	"io"
	"net/netip"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
)

// Service is the kind of listener that a client came through.
type Service string

// The services. Submission requires STARTTLS and a login (rfc6409),
// Submissions begins with TLS (rfc8314#3.3).
const (
	MX          Service = "mx"
	Submission  Service = "submission"
	Submissions Service = "submissions"
	LMTP        Service = "lmtp"
	// Local is a program on this machine, by the control socket.
	Local Service = "local"
)

// Submits reports whether clients of the service are users who log in.
func (s Service) Submits() bool { return s == Submission || s == Submissions }

// TLS is what was agreed with the client.
type TLS struct {
	Version    string // "TLS1.3"
	Cipher     string // "TLS_AES_128_GCM_SHA256"
	ServerName string
	// Binding returns what a login can be bound to, by its type of RFC 5929 or
	// RFC 9266; nil if the channel has none of the type. It may be nil itself.
	Binding func(kind string) []byte
	// Certificates are what the client showed of itself, leaf first. Nobody has
	// verified more than that it has the key.
	Certificates []*x509.Certificate
}

// Peer is the client of one session and what we know of it. smtpd fills it;
// those who decide only read it.
type Peer struct {
	// Session names the connection in logs; unique while the process lives.
	Session string
	Service Service
	Remote  netip.AddrPort
	Local   netip.AddrPort
	// Helo is what the client called itself, "" before EHLO.
	Helo string
	// Extended says that it said EHLO (or LHLO) and not HELO.
	Extended bool
	// TLS is nil in clear.
	TLS *TLS
	// Login is the account that has logged in, "" if none.
	Login string
	// Credential names the secret that was used: "main" or the id of an app
	// password.
	Credential string
}

// Identity is a login that succeeded.
type Identity struct {
	Login      string
	Credential string
}

// Handler decides. Each method answers with a reply; the zero Reply means «no
// objection, say the usual». Methods are called one after the other by the
// session's goroutine and may block on DNS and storage within ctx.
// An error of theirs is theirs to map: they always answer.
type Handler interface {
	// Connect is asked once, before the greeting. A non-zero reply refuses.
	Connect(ctx context.Context, p *Peer) reply.Reply
	// Mechanisms are the names of those that the client may log in by now, in the
	// order in which they are announced; none means that AUTH is not offered.
	Mechanisms(p *Peer) []string
	// Authenticate begins an exchange, whose mechanism is in capitals. With a
	// negative reply there is none. initial is the response that came with AUTH,
	// for events; the first Next gets it again.
	Authenticate(ctx context.Context, p *Peer, mechanism string, initial []byte) (Exchange, reply.Reply)
	// WrongPort is told that a client tried to log in where nobody can. initial is
	// what came with AUTH, as it was sent.
	WrongPort(p *Peer, mechanism, initial string)
	// Mail opens a transaction. With a negative reply the Transaction is nil.
	Mail(ctx context.Context, p *Peer, from address.Mailbox, params smtp.MailParams) (Transaction, reply.Reply)
	// Verify answers VRFY for an address.
	Verify(ctx context.Context, p *Peer, a address.Mailbox) reply.Reply
	// Close is told that the session has ended.
	Close(p *Peer)
}

// Exchange is one AUTH exchange (rfc4954#4). It is given up by forgetting it.
type Exchange interface {
	// Next takes a response of the client, at first its initial one, nil if there
	// was none and empty if it was "=".
	Next(ctx context.Context, response []byte) Answer
}

// Answer is what follows from a response: a challenge, an identity or a refusal.
type Answer struct {
	// Challenge is sent if the other two are zero; it may be empty.
	Challenge []byte
	// Identity is who has logged in.
	Identity Identity
	// Reply is the reply to a login that failed; its zero value with an Identity
	// means AuthOK.
	Reply reply.Reply
}

// Transaction is one open mail transaction.
type Transaction interface {
	// Recipient decides about one forward-path; a positive reply means that it
	// has been accepted.
	Recipient(ctx context.Context, to address.Mailbox, params smtp.RcptParams) reply.Reply
	// Content opens the receiving of content. A non-zero reply refuses DATA.
	Content(ctx context.Context) (Content, reply.Reply)
	// Abort gives the transaction up. It may be called at any time, also after
	// an end, and then does nothing.
	Abort()
}

// Content takes the message as it should be stored: lines end with CRLF, dots
// are unstuffed, no bare CR or LF.
type Content interface {
	// Write never keeps p. An error means that Commit will refuse; the caller
	// reads on to the end, so that the client hears it.
	io.Writer
	// Refuse notes that the content broke a rule of framing (bare line ending,
	// too large); Commit then answers with r and stores nothing.
	Refuse(r reply.Reply)
	// Commit makes the message durable and answers: one reply, or with LMTP one
	// for each accepted recipient in their order (rfc2033#4.2). It ends the
	// transaction.
	Commit(ctx context.Context) []reply.Reply
}
