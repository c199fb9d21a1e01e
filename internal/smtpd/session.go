package smtpd

import (
	"context"
	"net/netip"
	"time"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// Do is what the owner of the connection is to do next.
type Do uint8

// What there is to do. After each the event in parentheses is due.
const (
	// ReadCommand: read a line of at most MaxLine octets (Line, TooLong).
	ReadCommand Do = iota
	// ReadAuth: the same, for a line of an AUTH exchange (Line, TooLong).
	ReadAuth
	// ReadContent: read content up to the final dot (Piece …, ContentRead).
	ReadContent
	// ReadChunk: read Octets octets as they are (Piece …, ChunkRead).
	ReadChunk
	// StartTLS: send the replies, throw away what has been read, do the
	// handshake (TLSDone, PeerGone).
	StartTLS
	// Close: send the replies and close (PeerGone).
	Close
)

var doNames = [...]string{"read command", "read auth", "read content", "read chunk", "start tls", "close"}

func (d Do) String() string { return doNames[d] }

// Next is what follows from an event.
type Next struct {
	// Replies are to be sent, in this order: none while a chunk or TLS is still
	// to come, several with LMTP. The slice is valid until the next event.
	Replies []reply.Reply
	Do      Do
	// MaxLine is the limit of the line to be read, in octets with its CRLF.
	MaxLine int
	// Octets is the length of the chunk to be read.
	Octets int64
}

// stage is how far a session has come. The order counts.
type stage uint8

const (
	greeted   stage = iota // connected; nobody has said hello
	known                  // EHLO, HELO or LHLO has been accepted
	mailing                // MAIL has been accepted
	addressed              // at least one RCPT has been accepted
	chunking               // at least one BDAT has been accepted
)

// Session is one dialogue with a client, without a socket. Its methods are its
// events; each returns what to do next. It is not safe for concurrent use.
type Session struct {
	options *Options
	profile Profile
	handler transaction.Handler
	peer    *transaction.Peer
	origin  netip.Addr // whom the connection came from, whatever XCLIENT says later

	stage    stage
	turned   bool   // the greeting was a refusal
	opened   bool   // Handler.Connect has been called, and Close has not
	spoken   bool   // a command has been read
	errors   int    // 5xx since the last message that was accepted
	failures int    // rejected logins
	mails    int    // MAIL commands, whatever became of them
	idle     int    // what has moved nothing, since the last message that was accepted
	surplus  int    // recipients beyond the limit, since the last message that was accepted
	praised  bool   // sent has been called
	struck   string // the name of the reply, if it ended because of the client's errors

	exchange *exchange // of AUTH, that is under way

	transaction transaction.Transaction
	accepted    int // recipients
	utf8        bool
	binary      bool // the content may have any octets, and comes by BDAT only

	incoming incoming

	load  *load                // of the server; nil: none
	holds bool                 // a place among its contents
	sent  func()               // a message was accepted; nil: nobody wants to know
	pace  func() time.Duration // until the client may begin a message; nil: now

	replies []reply.Reply // backs Next.Replies
}

// NewSession begins a dialogue. peer has Session, Service and the addresses,
// and TLS if that came first; the Session fills in the rest. Options that are
// zero have their defaults.
func NewSession(o Options, p Profile, h transaction.Handler, peer *transaction.Peer) *Session {
	return newSession(o.withDefaults(), p, h, peer)
}

func newSession(o *Options, p Profile, h transaction.Handler, peer *transaction.Peer) *Session {
	return &Session{options: o, profile: p, handler: h, peer: peer, origin: peer.Remote.Addr()}
}

// Idle reports whether nothing would be lost if the connection closed now: no
// transaction is open.
func (s *Session) Idle() bool { return s.transaction == nil }

// Open is the event that the client has connected.
func (s *Session) Open(ctx context.Context) Next {
	s.opened = true
	r := s.handler.Connect(ctx, s.peer)
	switch {
	case r.IsZero() || r.Positive():
	case r.Temporary():
		return s.bye(r)
	default: // rfc5321#3.1: the client has the last word, and it is QUIT
		s.turned = true
		return s.answer(r)
	}
	if s.profile.LMTP {
		return s.answer(reply.LMTPGreeting(s.options.Hostname))
	}
	return s.answer(reply.Greeting(s.options.Hostname))
}

// SpokeFirst is the event that the client has sent something before the greeting,
// instead of Open: no mail server does (rfc5321#3.1, rfc5321#4.3.1).
func (s *Session) SpokeFirst() Next { return s.bye(reply.SpokeFirst(s.options.Hostname)) }

// MakingRoom is the event that the server is full and needs the connection for
// others (rfc5321#3.8).
func (s *Session) MakingRoom() Next { return s.bye(reply.MakingRoom(s.options.Hostname)) }

// LoginEnded is the event that what the client has logged in with was revoked,
// changed or switched off.
func (s *Session) LoginEnded() Next { return s.bye(reply.LoginEnded(s.options.Hostname)) }

// Line is the event that a line has been read, given without its CRLF. A line
// that ended with LF alone is given with that LF, and refused for it. line is
// not kept.
func (s *Session) Line(ctx context.Context, line []byte) Next {
	if s.exchange != nil {
		return s.authLine(ctx, line)
	}
	return s.command(ctx, line)
}

// TooLong is the event that a line has exceeded MaxLine and has been thrown
// away. head is its beginning, long enough for the verb. ended says that its
// end has been found; otherwise the client was still sending when we had
// enough.
func (s *Session) TooLong(head []byte, ended bool) Next {
	r := reply.LineTooLong()
	if s.exchange != nil {
		s.exchange = nil
		r = reply.AuthLineTooLong() // rfc4954#4
	} else if smtp.HasVerb(head, smtp.AUTH) && s.profile.Login {
		r = reply.AuthLineTooLong()
	}
	s.spoken = true
	if !ended {
		return s.bye(r, reply.TooManyErrors(s.options.Hostname))
	}
	return s.answer(r)
}

// TLSDone is the event that the handshake which StartTLS asked for has
// succeeded. All that was known of the client is forgotten (rfc3207#4.2); it
// speaks first.
func (s *Session) TLSDone(agreed transaction.TLS) Next {
	s.abort()
	s.stage = greeted
	s.spoken = false
	s.exchange = nil
	s.peer.TLS = &agreed
	s.peer.Helo, s.peer.Extended = "", false
	s.peer.Login, s.peer.Credential = "", ""
	return s.read()
}

// Timeout is the event that the client has been silent, or too slow, for too
// long (rfc5321#4.5.3.2).
func (s *Session) Timeout() Next { return s.bye(reply.TimedOut(s.options.Hostname)) }

// ShuttingDown is the event that the server stops (rfc5321#3.8).
func (s *Session) ShuttingDown() Next { return s.bye(reply.ShuttingDown(s.options.Hostname)) }

// Defect is the event that something of ours has failed in a way that leaves
// the state of the session unknown.
func (s *Session) Defect() Next {
	return s.next(Close, reply.TryLaterHello(s.options.Hostname))
}

// PeerGone is the event that the connection has ended, whoever closed it. It
// is due once at the end of every session; more do nothing.
func (s *Session) PeerGone() {
	s.abort()
	if s.opened {
		s.opened = false
		s.handler.Close(s.peer)
	}
}

// abort gives the open transaction up, if there is one.
func (s *Session) abort() {
	if t := s.transaction; t != nil {
		s.forget()
		t.Abort()
	}
}

// forget leaves a transaction that has ended.
func (s *Session) forget() {
	s.transaction = nil
	s.incoming = incoming{}
	if s.holds {
		s.holds = false
		s.load.leave()
	}
	s.accepted = 0
	s.utf8, s.binary = false, false
	if s.stage > known {
		s.stage = known
	}
}

// next is the only place where a Next is made with replies.
func (s *Session) next(do Do, replies ...reply.Reply) Next {
	s.replies = append(s.replies[:0], replies...)
	return Next{Replies: s.replies, Do: do, MaxLine: s.maxLine()}
}

// read waits for the next command and says nothing.
func (s *Session) read() Next { return s.next(ReadCommand) }

// bye says its last words.
func (s *Session) bye(replies ...reply.Reply) Next {
	for _, r := range replies {
		switch r.Name() {
		case "too-many-errors", "http-refused", "spoke-first": // not rejected logins: a phone with an old password is no stranger, and guesses are counted elsewhere
			s.struck = r.Name()
		}
	}
	s.abort()
	return s.next(Close, replies...)
}

// stuck notes that the client has said something that moves nothing, and reports
// whether it has done that so often that it must go.
func (s *Session) stuck() bool {
	if s.idle++; s.idle > maxStill {
		s.errors++
	}
	return s.errors >= s.options.MaxErrors
}

// answer says r and reads the next command; or ends the session, if r says so
// or the client has made too many errors. A temporary refusal is no error of the
// client, but one that asks for it without end is.
func (s *Session) answer(r reply.Reply) Next {
	switch code := r.Code(); {
	case code == 421 || code == 221: // rfc5321#3.8, rfc5321#4.1.1.10
		return s.bye(r)
	case code >= 500:
		s.errors++
		if s.errors >= s.options.MaxErrors {
			return s.bye(r, reply.TooManyErrors(s.options.Hostname))
		}
	case code >= 400 && s.stuck():
		return s.bye(r, reply.TooManyErrors(s.options.Hostname))
	}
	return s.next(ReadCommand, r)
}

// maxLine is the longest line that may come next. Whether the command that
// comes may be so long is looked at when its verb is known.
func (s *Session) maxLine() int {
	if s.exchange != nil || s.profile.Login && s.peer.Login == "" {
		return smtp.MaxAuthLine
	}
	return smtp.MaxMailLine
}
