// Package queue keeps what we have taken responsibility for until it has an
// outcome.
//
// It promises that every accepted recipient is, at every moment and after every
// crash, in exactly one state of the table in state.go: still due, or ended with
// a recorded outcome. A failure and the report about it are one transaction. A
// crash may make a message go twice, and then says so; it never makes it go
// zero times.
//
// It does not know how mail is sent (package deliver does) nor how it is stored
// (package store does): it declares the interfaces of both and drives them.
//
//	intake ── Enqueue ──► Manager ──► Store            durable = the 250
//	Store ── DueDestinations, Claim ──► Manager ──► Deliverer
//	Deliverer ── []Outcome ──► Manager ── Record (states, log, report) ──► Store
//
// RFC 5321 §4.5.4 (sending strategy), §6.1 (reliable delivery); RFC 3461 and
// RFC 3464 (reports).
package queue

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/smtp"
)

// ID names a message. It rises with the time of arrival: the upper bits are
// milliseconds, so the store appends at the end of its tree.
type ID int64

// epoch is the millisecond 0 of an ID: 2025-01-01 UTC.
const epoch = 1735689600000

const idDigits = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's, no i l o u

// String returns the ID as people see it: 12 characters.
func (id ID) String() string {
	var b [12]byte
	n := uint64(id)
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = idDigits[n&31]
		n >>= 5
	}
	return string(b[:])
}

// Time returns the moment at which the ID was made, to the millisecond.
func (id ID) Time() time.Time { return time.UnixMilli(int64(id)>>20 + epoch) }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var n uint64
	if len(s) != 12 {
		return 0, fmt.Errorf("%q is not a queue id: those have 12 letters and digits, as «onward queue list» shows them", s)
	}
	for _, c := range strings.ToLower(s) {
		d := strings.IndexRune(idDigits, c)
		if d < 0 {
			return 0, fmt.Errorf("%q is not a queue id: %q does not occur in one", s, c)
		}
		n = n<<5 | uint64(d)
	}
	return ID(n), nil
}

// MarshalText writes the ID as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	*id = parsed
	return err
}

// IDs makes IDs. They rise strictly within a process; the lower 20 bits begin
// each millisecond at a value drawn from the seed, so that two nodes on one
// store seldom meet, and a meeting is a conflict of keys, never a loss.
type IDs struct {
	mu   sync.Mutex // guards last
	last ID
	salt int64
}

// NewIDs returns a source of IDs; seed should be random.
func NewIDs(seed uint64) *IDs { return &IDs{salt: int64(seed & (1<<19 - 1))} }

// Next returns a new ID for the moment now. A clock that is years behind still
// gives IDs above 0, which are in order.
func (g *IDs) Next(now time.Time) ID {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := ID(max(now.UnixMilli()-epoch, 1)<<20 | g.salt)
	if id <= g.last {
		id = g.last + 1
	}
	g.last = id
	return id
}

// RecipientID numbers the recipients of one message from 1; with the message's
// ID it is the key.
type RecipientID struct {
	Message ID
	N       int
}

// String returns "ID/N".
func (r RecipientID) String() string { return r.Message.String() + "/" + strconv.Itoa(r.N) }

// Destination is where a recipient's mail goes next, the unit of claiming: a
// dead one never hides the others. It is comparable and stored as text.
type Destination string

// Maildir is the destination of local mailboxes.
const Maildir Destination = "maildir"

// ToDomain is delivery to the mail exchangers of a domain.
func ToDomain(d address.Domain) Destination { return Destination(d.String()) }

// ToRoute is delivery by the route of the configuration with that pattern,
// such as "*" or "example.net".
func ToRoute(pattern string) Destination { return Destination("route:" + pattern) }

// Route returns the pattern of a ToRoute destination.
func (d Destination) Route() (pattern string, ok bool) {
	return strings.CutPrefix(string(d), "route:")
}

// Origin is how a message reached us, for the log and for trace fields.
type Origin struct {
	Service    string     `json:"service"` // transaction.Service, or "report"
	Remote     netip.Addr `json:"remote,omitzero"`
	RemoteName string     `json:"remote_name,omitempty"` // by reverse DNS, verified; "" if none
	Helo       string     `json:"helo,omitempty"`
	TLS        string     `json:"tls,omitempty"` // "TLS1.3 TLS_AES_128_GCM_SHA256"
	Login      string     `json:"login,omitempty"`
	Credential string     `json:"credential,omitempty"`
	Session    string     `json:"session,omitempty"`
}

// Message is what all recipients of one message share. It is immutable once
// stored.
type Message struct {
	ID       ID
	Received time.Time
	// From is the reverse-path as it was given; zero is <>.
	From   address.Mailbox
	Params smtp.MailParams
	// Size is the stored content in octets, HeaderSize its header section with
	// the empty line.
	Size       int64
	HeaderSize int
	// EightBit says that the content has octets above 127.
	EightBit bool
	// Edits are applied for every recipient while sending.
	Edits  message.EditList
	Origin Origin
	// Basis is why a report may be sent to From, or why not: see dsn.Decide.
	Basis dsn.Basis
	// Parent is the message that this one was made from: the one a report is
	// about, or the one sent again. 0 if none.
	Parent ID
	// HeaderFrom and Subject are kept for the log; at most 200 octets each,
	// decoded, untrusted.
	HeaderFrom string
	Subject    string
	MessageID  string
}

// Recipient is one accepted recipient.
type Recipient struct {
	ID RecipientID
	// Address is the forward-path as the client gave it.
	Address address.Mailbox
	// Target is where the mail goes; the same as Address if nothing forwards.
	Target address.Mailbox
	// Hidden says that the owner does not disclose Target: it must not appear
	// in anything that the sender sees.
	Hidden      bool
	Destination Destination
	// ReversePath is the reverse-path for this recipient where it differs from
	// the message's (SRS); valid if Rewritten.
	ReversePath address.Mailbox
	Rewritten   bool
	Params      smtp.RcptParams
	Edits       message.EditList

	State    State
	Pending  Event // Hold or Remove, to be carried out after the attempt; 0 if none
	Due      time.Time
	Expires  time.Time
	Attempts int
	// Delayed says that a notice of delay has been sent.
	Delayed bool
	// Last is the last outcome; nil before the first attempt.
	Last *Outcome
}

// Forwarded reports whether the recipient goes somewhere other than to the
// address that the sender wrote.
func (r *Recipient) Forwarded() bool { return r.Target != r.Address }

// Kind is what an attempt came to.
type Kind uint8

// The kinds of outcome.
const (
	// Trouble is temporary, and every unknown trouble is.
	Trouble Kind = iota
	Success
	Failure
)

// String returns "deferred", "delivered" or "failed".
func (k Kind) String() string {
	switch k {
	case Success:
		return "delivered"
	case Failure:
		return "failed"
	}
	return "deferred"
}

// Scope is how far an outcome reaches.
type Scope uint8

// The scopes of an outcome.
const (
	ScopeRecipient Scope = iota
	// ScopeMessage concerns all recipients of the message at that host.
	ScopeMessage
	// ScopeDestination concerns everything that is due for the destination: the
	// host does not answer.
	ScopeDestination
)

// Outcome is what one attempt came to for one recipient.
type Outcome struct {
	Recipient RecipientID
	Kind      Kind
	Scope     Scope
	At        time.Time
	Took      time.Duration
	// Attempt counts from 1.
	Attempt int
	// Host and Addr are the server that answered or was tried; Host may be
	// "" where none was found. Untrusted if it came from DNS.
	Host string
	Addr string
	// TLS is "TLS1.3 TLS_AES_128_GCM_SHA256", or "" in clear.
	TLS string
	// Command is the stage at which it ended: "connect", "EHLO", "MAIL",
	// "RCPT", "DATA", "content", "maildir", "dns".
	Command string
	// Heard is the remote's reply; zero if there was none.
	Heard smtp.Reply
	// Cause is a key outcome.<Cause> of the reference where nothing was heard.
	Cause string
	// Status is the enhanced status for reports, such as "4.4.1"; always set.
	Status string
	// Detail is the technical text of an error, for operators. Untrusted.
	Detail string
	// Reports says that the host that took the mail was told what the sender
	// asked to hear, and reports it itself (rfc3461#5.2.2). It is not stored.
	Reports bool `json:"-"`
}

// Content is a message's octets on their way in. The first InlineMax octets
// stay in memory; what is longer goes to the store in chunks.
type Content interface {
	Write(p []byte) (int, error)
	// Size is what has been written, in octets.
	Size() int64
	// Inline returns all of it if it is in memory; the slice must not be
	// changed.
	Inline() (content []byte, ok bool)
	// Abort gives back what it took. After a successful Enqueue it does nothing.
	Abort()
}

// Entry is a message with its content and recipients, ready to be stored.
type Entry struct {
	Message    *Message
	Recipients []*Recipient
	Content    Content
}
