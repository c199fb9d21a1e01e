// Package dsn writes and reads reports about the fate of a message, and says
// when one is due.
//
// A report that it composes is a message for a person first: a text in the
// reader's language that says which address it is about, what the other server
// said in its own words, what that means, what can be done and by whom. The
// second part says the same for programs, the third returns the message or its
// header section, as the sender asked.
//
// It promises that a forwarding target whose owner keeps it private appears
// nowhere in what this package adds, also not inside the words of another
// server; that no such words can leave their place in the report (control
// characters, line ends and MIME boundaries are made harmless); and that the
// report is 7-bit unless an 8-bit message is returned whole. It decides nothing
// about sending: the reverse-path of a report is "<>" (rfc5321#4.5.5), which
// its caller sets.
//
// RFC 3461 (what the sender may ask for), RFC 3464 (delivery status), RFC 6522
// (multipart/report), RFC 6533 (internationalized reports), RFC 3834 §5
// (Auto-Submitted), RFC 5321 §6.1.
package dsn

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/smtp"
)

// Limits of a report that we write.
const (
	// MaxReturned is the largest message in octets that is returned whole; of a
	// larger one the header section is returned.
	MaxReturned = 256 << 10
	// MaxReturnedHeader is the most that is returned of a header section, in
	// octets; it is cut after a line.
	MaxReturnedHeader = 64 << 10
	// MaxReported is the largest number of recipients in one report.
	MaxReported = 1000
	// MaxHeard is the most that is quoted of one remote reply, in octets.
	MaxHeard = 4 << 10
)

// ErrReport says that a Report lacks something without which it cannot be
// composed.
var ErrReport = errors.New("the report cannot be composed")

// Kind is what a report tells (rfc3464#2.3.3, the action).
type Kind uint8

// The kinds of reports. The zero Kind is none.
const (
	// Failed: it could not be delivered and is given up.
	Failed Kind = iota + 1
	// Delayed: it has not been delivered yet; trying goes on.
	Delayed
	// Delivered: it has been delivered.
	Delivered
	// Relayed: it has been handed to a server that gives no reports.
	Relayed
	// Expanded: it has been delivered to a list, which sends it on.
	Expanded
)

// String returns the action as RFC 3464 §2.3.3 spells it, "" for none.
func (k Kind) String() string {
	switch k {
	case Failed:
		return "failed"
	case Delayed:
		return "delayed"
	case Delivered:
		return "delivered"
	case Relayed:
		return "relayed"
	case Expanded:
		return "expanded"
	}
	return ""
}

// ParseKind reads an action in any case.
func ParseKind(s string) (Kind, bool) {
	for k := Failed; k <= Expanded; k++ {
		if equalFold(s, k.String()) {
			return k, true
		}
	}
	return 0, false
}

// class returns the first digit of a status of this kind.
func (k Kind) class() int {
	switch k {
	case Failed:
		return 5
	case Delayed:
		return 4
	}
	return 2
}

// Actor is who can do something about a fate.
type Actor uint8

// The actors. With ActorUnknown the report does not say.
const (
	ActorUnknown Actor = iota
	// ActorNobody: nothing needs to be done.
	ActorNobody
	// ActorSender: the one who reads the report.
	ActorSender
	// ActorSenderAdmin: who runs the sender's domain (its DNS, for example).
	ActorSenderAdmin
	// ActorRecipient: the person written to.
	ActorRecipient
	// ActorRecipientAdmin: who runs the recipient's server.
	ActorRecipientAdmin
	// ActorOperator: who runs this server.
	ActorOperator
)

// Report is one report about one message.
type Report struct {
	Kind Kind
	// ReportingMTA is our host name.
	ReportingMTA string
	// From stands in the report's From field, such as
	// MAILER-DAEMON@mx.example.org.
	From address.Mailbox
	// To is the reverse-path of the message: who gets the report.
	To address.Mailbox
	// Lang is the language of the text: "en", "ja"; another means "en".
	Lang string
	// Arrival is when we accepted the message.
	Arrival time.Time
	// EnvID is the envelope identifier that the sender gave (rfc3461#4.4).
	EnvID string
	// Now is the date of the report.
	Now time.Time
	// MessageID is the identifier of the report with its angle brackets:
	// message.MessageID makes one.
	MessageID string
	// Recipients are whom the report is about, 1 to MaxReported.
	Recipients []Recipient
	// Header is the header section of the message as it was stored.
	Header []byte
	// Body is the rest of the message, nil if only the header section can be
	// returned.
	Body io.Reader
	// Size is the octets of the whole message.
	Size int64
	// Ret is what the sender wants back; unset means the header section.
	Ret smtp.Ret
}

// Recipient is the fate of one recipient.
type Recipient struct {
	// Original is the address as the sender wrote it.
	Original address.Mailbox
	// ORcpt is the ORCPT that came with it, decoded: "rfc822;anna@example.org".
	ORcpt string
	// Target is where the message was sent on to; zero, or the same as
	// Original, if it was not forwarded.
	Target address.Mailbox
	// Disclosed says that the owner of Original lets the sender see Target.
	// Otherwise the report hides it everywhere.
	Disclosed bool
	// Others are the hidden targets of other recipients of the same message: a
	// server that refuses a message for all may name them here.
	Others []Hidden
	// Action is what happened; zero means the report's Kind.
	Action Kind
	// Status is the enhanced status code, "" for none better than x.0.0.
	Status string
	// RemoteMTA is the host name of the server that answered, "" for none.
	RemoteMTA string
	// Heard is what it said.
	Heard smtp.Reply
	// Explanation says in the reader's language what it means, Advice what can
	// be done; plain text, "" for none.
	Explanation, Advice string
	// Actor is who can do something.
	Actor Actor
	// LastAttempt is when it was last tried.
	LastAttempt time.Time
	// WillRetryUntil is when it is given up, for Delayed.
	WillRetryUntil time.Time
	// LogID finds the fate in our log; our queue's id of the message.
	LogID string
}

// Hidden is a target that the sender must not see, and the address that stands
// for it.
type Hidden struct{ Target, Original address.Mailbox }

// private reports whether the words about r must be searched for targets.
func (r Recipient) private() bool { return r.hidden() || len(r.Others) > 0 }

// withhold takes all hidden targets out of another server's words; ok is false
// if they cannot be shown at all.
func (r Recipient) withhold(text string) (clean string, ok bool) {
	if r.hidden() {
		if text, ok = conceal(text, r.Target, r.Original); !ok {
			return text, false
		}
	}
	for _, h := range r.Others {
		if text, ok = conceal(text, h.Target, h.Original); !ok {
			return text, false
		}
	}
	return text, true
}

// Forwarded reports whether the message went to another address than the one
// the sender wrote.
func (r Recipient) Forwarded() bool {
	return !r.Target.IsZero() && r.Target.Key() != r.Original.Key()
}

// hidden reports whether the target must not be seen.
func (r Recipient) hidden() bool { return r.Forwarded() && !r.Disclosed }

// final returns the address that the report names as final (rfc3464#2.3.2).
func (r Recipient) final() address.Mailbox {
	if r.Forwarded() && r.Disclosed {
		return r.Target
	}
	return r.Original
}

// action returns what happened to r in a report of kind k.
func (r Recipient) action(k Kind) Kind {
	if r.Action != 0 {
		return r.Action
	}
	return k
}

// status returns a well-formed status code of the right class
// (rfc3464#2.3.4).
func (r Recipient) status(k Kind) string {
	if validStatus(r.Status) {
		return r.Status
	}
	if validStatus(r.Heard.Enhanced) && int(r.Heard.Enhanced[0]-'0') == k.class() {
		return r.Heard.Enhanced
	}
	return strconv.Itoa(k.class()) + ".0.0"
}

// Composed is a finished report.
type Composed struct {
	// Content is the whole message with CRLF line ends.
	Content []byte
	// EightBit says that it needs 8BITMIME: an 8-bit message is returned whole.
	EightBit bool
	// UTF8 says that it needs SMTPUTF8: the address it goes to is not ASCII.
	UTF8 bool
}
