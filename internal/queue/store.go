package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// InlineMax is how much content stays in memory, in octets; the rest of a
// longer message is in the store before Enqueue.
const InlineMax = 128 << 10

// Errors of a Store.
var (
	// ErrFull means that the disk is full: 452 4.3.1 to a client.
	ErrFull = errors.New("the disk that holds the queue is full")
	// ErrStopped means that the store stopped accepting after a failed write.
	ErrStopped = errors.New("the store stopped accepting after a failed write; restart the server when the disk is well")
	// ErrNotFound means that there is no such message or recipient.
	ErrNotFound = errors.New("no such message in the queue")
	// ErrNotAllowed means that Record left out events that the table does not
	// allow, and committed all others: trying again is of no use.
	ErrNotAllowed = errors.New("the event is not allowed in the recipient's state")
)

// Lease is the right of one process incarnation to attempt what it claimed.
type Lease struct {
	Incarnation int64
	Until       time.Time
}

// Due is a destination with recipients that are due.
type Due struct {
	Destination Destination
	Count       int
	Oldest      time.Time // the earliest Due among them
}

// Job is a message with those of its recipients that were claimed together.
// They share one Destination.
type Job struct {
	Message    *Message
	Recipients []*Recipient
}

// Change is one recipient's part of a Record.
type Change struct {
	ID    RecipientID
	Event Event // Succeeded, Troubled, Failed or Expired
	// Outcome is nil only for Expired without an attempt.
	Outcome *Outcome
	// Due is the next attempt if the state becomes Waiting.
	Due time.Time
	// Suppress, if not "", makes Suppressed out of Reported; it is the cause.
	Suppress string
	// Delayed notes that a notice of delay goes with this record.
	Delayed bool
	// Report is the report of Record that tells of it, 0 if none does or there is
	// only one about the message.
	Report ID
}

// Record is what one attempt came to: states, log rows and reports in one
// transaction.
type Record struct {
	Now     time.Time
	Changes []Change
	// Reports are enqueued in the same transaction.
	Reports []*Entry
}

// Recovered counts what a start found.
type Recovered struct {
	Released int // were claimed by an earlier incarnation: may go twice
	Offered  int // deleted: no 250 was said
	Orphans  int // contents without a message
	Waiting  int // recipients that are due or will be
}

// Filter selects recipients. Zero fields select all.
type Filter struct {
	Message     ID
	N           int // recipient of Message, 0 for all
	States      []State
	Sender      string // exact address, any case
	Recipient   string // exact address or "@domain": Address or Target
	Destination Destination
	Limit       int // 0: DefaultLimit
	// Before pages backwards: only messages with a smaller ID.
	Before ID
}

// DefaultLimit is how many rows a listing has if nobody says otherwise.
const DefaultLimit = 100

// Listed is a recipient with its message.
type Listed struct {
	Message   *Message
	Recipient *Recipient
}

// LogKind is the kind of a row of the delivery log.
type LogKind string

// The kinds of row.
const (
	LogAccepted LogKind = "accepted" // a message was taken; Outcome is nil
	LogAttempt  LogKind = "attempt"
	LogChanged  LogKind = "changed" // an operator did something; Note says what
	LogNote     LogKind = "note"    // «may go twice», a report, a suppressed report
)

// LogRow is a row of the delivery log.
type LogRow struct {
	At        time.Time
	Kind      LogKind
	Message   ID
	N         int // recipient, 0: the whole message
	Address   address.Mailbox
	Target    address.Mailbox
	Hidden    bool
	From      address.Mailbox
	State     State // after it
	Outcome   *Outcome
	Note      string
	Due       time.Time // the next attempt, if State is Waiting
	Linked    ID        // the report or the original, 0 if none
	MessageID string
}

// LogFilter selects rows of the log.
type LogFilter struct {
	Message ID
	Address string // sender, address or target: exact, or "@domain"
	Since   time.Time
	Limit   int
}

// Store is where the queue is kept. All methods are safe for concurrent use.
// What they return is the caller's. Any error that is not one of this
// package's is trouble of the disk or of the database: temporary.
//
// Transitions are made by Step within the store's transaction; an event that
// Step does not allow is not applied and returned as an error by Record, after
// all that is allowed has been committed.
type Store interface {
	// NewContent begins the content of one message.
	NewContent() Content
	// Enqueue stores the entries; when it returns nil they are on stable storage. Several
	// callers share one fsync. Recipients are inserted in the State they have
	// (Waiting, Claimed with lease, or Offered).
	Enqueue(ctx context.Context, lease Lease, entries ...*Entry) error
	// DueDestinations lists destinations with recipients Waiting and due at
	// now, oldest first, and the next moment at which another becomes due
	// (zero: none).
	DueDestinations(ctx context.Context, now time.Time, limit int) (due []Due, next time.Time, err error)
	// Claim takes up to limit due recipients of a destination, grouped by
	// message, oldest due first, and makes them Claimed. Those whose Expires has
	// passed are left to ListExpired.
	Claim(ctx context.Context, d Destination, limit int, now time.Time, lease Lease) ([]Job, error)
	// ListExpired returns up to limit recipients that are Waiting and whose
	// Expires has passed, whatever their destination, grouped by message and
	// destination. They stay Waiting: the Manager composes their report and
	// records Expired.
	ListExpired(ctx context.Context, limit int, now time.Time) ([]Job, error)
	// Unclaim gives back recipients that were claimed by this incarnation and not
	// attempted: they wait until due again. Pending events are carried out.
	Unclaim(ctx context.Context, ids []RecipientID, due time.Time) error
	// Renew extends the leases of an incarnation on these recipients.
	Renew(ctx context.Context, ids []RecipientID, lease Lease) error
	// ExpireLeases applies LeaseOver to recipients of this or another live
	// incarnation whose lease ended before now.
	ExpireLeases(ctx context.Context, now time.Time) (n int, err error)
	// Record commits the outcomes of an attempt.
	Record(ctx context.Context, r *Record) error
	// Recover applies Restart to everything of older incarnations, deletes what
	// was Offered and sweeps orphaned content. It is called once at start, before
	// anything else.
	Recover(ctx context.Context, incarnation int64, now time.Time) (Recovered, error)
	// OpenContent reads the stored content from the start.
	OpenContent(ctx context.Context, id ID) (io.ReadCloser, error)

	// Apply makes an operator's event (Hold, Release, Remove) happen to all
	// that the filter selects and the table allows, and returns them as they are
	// after it. note goes to the log.
	Apply(ctx context.Context, f Filter, e Event, now time.Time, note string) ([]Listed, error)
	// RetryNow makes Waiting recipients due now.
	RetryNow(ctx context.Context, f Filter, now time.Time, note string) ([]Listed, error)
	// Reroute moves Waiting and Held recipients to the destination that route
	// gives for their target, where it differs. For a changed configuration.
	Reroute(ctx context.Context, route func(target address.Mailbox, now Destination) Destination) (n int, err error)
	List(ctx context.Context, f Filter) ([]Listed, error)
	Log(ctx context.Context, f LogFilter) ([]LogRow, error)
	// Count returns how many recipients are in each state that is not terminal.
	Count(ctx context.Context) (map[State]int, error)
	// Prune deletes log rows and ended messages older than before, and frees
	// their space little by little.
	Prune(ctx context.Context, before time.Time) (n int, err error)
}

// Attempt is one try to deliver a message to recipients of one destination.
type Attempt struct {
	Message     *Message
	Recipients  []*Recipient
	Destination Destination
	// Open reads the content from the start; it may be called again.
	Open func(ctx context.Context) (io.ReadCloser, error)
	// Inline is the content if it is in memory, or nil. Not to be changed.
	Inline []byte
	// Renew is called by a live attempt that takes long; nil is allowed.
	Renew func(ctx context.Context)
}

// Deliverer sends. It returns one outcome for each recipient of the attempt, in
// their order, and never an error: unknown trouble is Trouble.
type Deliverer interface {
	Deliver(ctx context.Context, a *Attempt) []Outcome
}
