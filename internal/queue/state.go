package queue

// State is where a recipient is. The table below is the one in
// docs/ARCHITECTURE.md, which is generated from it.
type State uint8

// The states of a recipient.
const (
	// Offered: the client still waits for our answer, and no 250 was said.
	Offered State = iota + 1
	// Waiting: due at Recipient.Due.
	Waiting
	// Claimed: an attempt is under way, by a lease.
	Claimed
	// Held: an operator stopped it.
	Held
	// Delivered: the next host took responsibility, or the mailbox has it.
	Delivered
	// Reported: it failed and the sender was told, in one transaction.
	Reported
	// Suppressed: it failed and no report was due; the cause is kept.
	Suppressed
	// Discarded: dropped by a rule, which is kept.
	Discarded
	// Removed: an operator removed it.
	Removed
)

var stateNames = [...]string{
	Offered: "offered", Waiting: "waiting", Claimed: "claimed", Held: "held",
	Delivered: "delivered", Reported: "reported", Suppressed: "suppressed",
	Discarded: "discarded", Removed: "removed",
}

// String returns the name of the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return "unknown"
}

// Terminal reports whether the state has no way out.
func (s State) Terminal() bool { return s >= Delivered && s <= Removed }

// States returns all states in the order of the table.
func States() []State {
	return []State{Offered, Waiting, Claimed, Held, Delivered, Reported, Suppressed, Discarded, Removed}
}

// Event is what happens to a recipient.
type Event uint8

// The events of the table, by column.
const (
	Claim Event = iota + 1
	Succeeded
	Troubled
	Failed
	LeaseOver
	Expired
	Hold
	Release
	Remove
	Restart
)

var eventNames = [...]string{
	Claim: "claim", Succeeded: "2xx", Troubled: "4xx or trouble", Failed: "5xx",
	LeaseOver: "lease over", Expired: "expired", Hold: "hold", Release: "release",
	Remove: "remove", Restart: "restart",
}

// String returns the heading of the event's column.
func (e Event) String() string {
	if int(e) < len(eventNames) && eventNames[e] != "" {
		return eventNames[e]
	}
	return "none"
}

// Events returns all events in the order of the table.
func Events() []Event {
	return []Event{Claim, Succeeded, Troubled, Failed, LeaseOver, Expired, Hold, Release, Remove, Restart}
}

// Effect is what a transition does besides changing the state; a set. All
// effects commit with the transition.
type Effect uint8

// The effects.
const (
	// Reschedule: Due moves to the next time of the retry schedule.
	Reschedule Effect = 1 << iota
	// Report: the report that is due is enqueued, or the cause of suppressing
	// it is kept and the state is Suppressed instead of Reported.
	Report
	// MayGoTwice: the log says so.
	MayGoTwice
	// AfterAttempt: the event is kept in Recipient.Pending.
	AfterAttempt
	// DeleteRow: the recipient ceases to exist; the client hears our 5xx, or no
	// 250 was said.
	DeleteRow
	// DueNow: Due is now.
	DueNow
)

// Transition is one cell of the table. The zero Transition is a defect: the
// event must not happen in that state.
type Transition struct {
	To      State
	Effects Effect
}

// table is the life of a recipient: state × event.
var table = [Removed + 1][Restart + 1]Transition{
	Offered: {
		Succeeded: {To: Delivered},
		Troubled:  {To: Waiting, Effects: Reschedule},
		Failed:    {To: Offered, Effects: DeleteRow},
		LeaseOver: {To: Waiting, Effects: DueNow},
		Restart:   {To: Offered, Effects: DeleteRow},
	},
	Waiting: {
		Claim:   {To: Claimed},
		Expired: {To: Reported, Effects: Report},
		Hold:    {To: Held},
		Remove:  {To: Removed},
		Restart: {To: Waiting},
	},
	Claimed: {
		Succeeded: {To: Delivered},
		Troubled:  {To: Waiting, Effects: Reschedule},
		Failed:    {To: Reported, Effects: Report},
		LeaseOver: {To: Waiting, Effects: MayGoTwice | DueNow},
		Hold:      {To: Claimed, Effects: AfterAttempt},
		Remove:    {To: Claimed, Effects: AfterAttempt},
		Restart:   {To: Waiting, Effects: MayGoTwice | DueNow},
	},
	Held: {
		Release: {To: Waiting, Effects: DueNow},
		Remove:  {To: Removed},
		Restart: {To: Held},
	},
}

// Step returns the transition for an event in a state. It is pure; ok is false
// where the table has no transition, and then the caller logs a defect (for a
// terminal state) or tells the operator that the command does not apply.
func Step(s State, e Event) (t Transition, ok bool) {
	if int(s) >= len(table) || int(e) >= len(table[0]) {
		return Transition{}, false
	}
	t = table[s][e]
	return t, t.To != 0
}

// Settle carries out a Pending event after an attempt has left the recipient in
// state s: hold and remove apply where the recipient still waits, and are moot
// where it has ended.
func Settle(s State, pending Event) State {
	if pending == 0 {
		return s
	}
	if t, ok := Step(s, pending); ok && !s.Terminal() {
		return t.To
	}
	return s
}
