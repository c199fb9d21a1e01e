package account

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Limits of what a Meter has in memory; what is over them is read again when it
// is needed.
const (
	maxSenders     = 20_000
	maxKnownLoaded = 2_000_000
)

// Meter holds what accounts send against their limits, and looks for signs that
// a secret is in other hands. It reads what is kept of an account when the
// account sends first; after that nothing it is asked costs input or output. It
// is safe for concurrent use.
type Meter struct {
	keeper UsageKeeper
	key    []byte

	mu      sync.Mutex // guards what follows, and open and place of senders
	senders map[string]*sender
	recent  list.List // of *sender, the one that sent last in front
	known   int       // addresses in memory, of all senders
}

// sender is what is known of one account.
type sender struct {
	login   string
	created time.Time
	open    int // transactions; while there are any it stays in memory
	weight  int // of known, as far as the Meter has heard of it
	place   *list.Element

	mu      sync.Mutex // guards what follows
	tallies map[string]*Tally
	known   map[uint64]int32
	acting  bool // somebody does what follows from an alarm
}

// NewMeter returns a Meter; key is a secret of the installation.
func NewMeter(keeper UsageKeeper, key []byte) *Meter {
	m := &Meter{keeper: keeper, senders: make(map[string]*sender)}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("addresses that accounts wrote to"))
	m.key = mac.Sum(nil)
	return m
}

// hash stands for an address that an account wrote to: nobody without the key
// can tell from what is kept whom somebody writes to. Half of the state of the
// hash function is not shown, so that the key may simply stand in front.
func (m *Meter) hash(login string, to address.Mailbox) uint64 {
	var space [256]byte
	b := append(space[:0], m.key...)
	b = append(b, login...)
	b = append(b, 0)
	b = append(b, to.Key()...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}

// Who is a sender, with what binds it.
type Who struct {
	Account *Account
	// App is the app password, nil for any other secret.
	App *AppPassword
	// Credential names the secret: "main" or the id of the app password.
	Credential string
	Remote     netip.Addr
	// Defaults are the limits of accounts that have none of their own, Alarm is
	// what raises one.
	Defaults Limits
	Alarm    AlarmRules
}

// enter returns the sender of an account, which it keeps in memory until leave.
func (m *Meter) enter(ctx context.Context, login string, created time.Time) (*sender, error) {
	if s := m.find(login, created); s != nil {
		return s, nil
	}
	kept, err := m.keeper.Usage(ctx, login)
	if err != nil {
		return nil, fmt.Errorf("read what %s has sent: %w", login, err)
	}
	s := &sender{login: login, created: created, tallies: make(map[string]*Tally), known: kept.Known}
	for credential, t := range kept.Tallies {
		s.tallies[credential] = &t
	}
	if s.known == nil {
		s.known = make(map[uint64]int32)
	}
	if other := m.find(login, created); other != nil { // another has read it at the same time
		return other, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.senders[login]; old != nil {
		if old.created.Equal(created) {
			old.open++
			return old, nil
		}
		m.drop(old)
	}
	s.open, s.weight, s.place = 1, len(s.known), m.recent.PushFront(s)
	m.senders[login] = s
	m.known += s.weight
	for e := m.recent.Back(); e != nil && (len(m.senders) > maxSenders || m.known > maxKnownLoaded); {
		old, before := e.Value.(*sender), e.Prev()
		if old.open == 0 {
			m.drop(old)
		}
		e = before
	}
	return s, nil
}

// find is enter for a sender that is in memory.
func (m *Meter) find(login string, created time.Time) *sender {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.senders[login]
	if s == nil || !s.created.Equal(created) {
		return nil
	}
	s.open++
	m.recent.MoveToFront(s.place)
	return s
}

// drop forgets a sender; the caller holds mu.
func (m *Meter) drop(s *sender) {
	m.recent.Remove(s.place)
	delete(m.senders, s.login)
	m.known -= s.weight
}

func (m *Meter) leave(s *sender, more int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.open--
	if m.senders[s.login] == s {
		s.weight += more
		m.known += more
	}
}

// tally returns that of a credential; the caller holds mu.
func (s *sender) tally(credential string) *Tally {
	t := s.tallies[credential]
	if t != nil {
		return t
	}
	if len(s.tallies) > MaxCredentials {
		oldest := ""
		for c, t := range s.tallies {
			if c != "" && (oldest == "" || t.Used.Before(s.tallies[oldest].Used)) {
				oldest = c
			}
		}
		delete(s.tallies, oldest)
	}
	t = new(Tally)
	s.tallies[credential] = t
	return t
}

// Sending is one transaction of a login. Its methods may be called by one
// goroutine at a time. Nothing is counted before Take, and what is not settled
// is given back by Close, which must be called.
//
// A transaction sees what others have taken, not what they are about to: so
// many at once may each be let on, and those for which there is no room any more
// are refused at their end. Within any hour and day no more is sent than the
// limits say.
type Sending struct {
	m     *Meter
	s     *sender
	who   Who
	limit Limits // the account's
	to    []uint64
	fresh map[uint64]struct{} // those of to that are new
	asked struct {            // the last Recipient
		hash uint64
		new  bool
	}
	grown int  // known addresses added
	dirty bool // something has changed that was not handed on
	begun time.Time
	// taken is when counts were counted, until they are settled.
	taken  time.Time
	counts struct{ recipients, fresh int }
	closed bool
}

// Open begins a transaction. An error is one of reading what was kept.
func (m *Meter) Open(ctx context.Context, who Who) (*Sending, error) {
	s, err := m.enter(ctx, who.Account.Login, who.Account.Created)
	if err != nil {
		return nil, err
	}
	return &Sending{m: m, s: s, who: who, limit: who.Account.Limits.Or(who.Defaults)}, nil
}

// own returns the limits of the secret itself: those of the app password, where
// what is not set is left to the account's; for another secret strict ones for a
// day after an alarm. The caller holds mu.
func (x *Sending) own(t *Tally, now time.Time) Limits {
	switch {
	case x.who.App != nil:
		return x.who.App.Limits
	case t.Alarm != nil && now.Before(t.Alarm.At.Add(StrictFor)):
		return StrictLimits()
	}
	return Limits{}
}

// exceeded looks at the account's limits and the secret's; the caller holds mu.
func (x *Sending) exceeded(messages, recipients, fresh int, now time.Time) *Exceeded {
	t := x.s.tally(x.who.Credential)
	own := x.own(t, now)
	worst := t.exceeded(&own, messages, recipients, fresh, now)
	if worst != nil {
		worst.Own = true
	}
	all := x.s.tally("").exceeded(&x.limit, messages, recipients, fresh, now)
	if worst == nil || all != nil && all.Until.After(worst.Until) {
		worst = all
	}
	return worst
}

// Begin notes where the secret is used, and says whether one more message may be
// sent. suspended says that it may not because of an alarm.
func (x *Sending) Begin(now time.Time) (over *Exceeded, suspended bool) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	t := x.s.tally(x.who.Credential)
	t.seen(x.who.Remote, now)
	t.Used, x.begun, x.dirty = now, now, true
	t.alarmed(ManyNetworks, x.who.Alarm, x.who.Remote, now)
	if x.suspended(t) {
		return nil, true
	}
	return x.exceeded(1, 0, 0, now), false
}

// suspended reports whether an alarm has stopped an app password, whether or not
// the directory said so when the transaction began.
func (x *Sending) suspended(t *Tally) bool {
	switch {
	case x.who.App == nil:
		return false
	case !x.who.App.Suspended.IsZero():
		return true
	}
	return t.Alarm != nil && (!t.Handled || !t.Alarm.At.Before(x.begun))
}

// Claim returns an alarm from which nothing has followed yet, for the caller to
// act on and then to say Acted; nil if there is none or another acts on it.
func (x *Sending) Claim() *Alarm {
	if x == nil {
		return nil
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	t := x.s.tally(x.who.Credential)
	if t.Alarm == nil || t.Handled || x.s.acting {
		return nil
	}
	x.s.acting = true
	a := *t.Alarm
	return &a
}

// Acted ends what Claim began. done says that the owner has been told and the
// app password suspended; else the next transaction tries again.
func (x *Sending) Acted(a *Alarm, done bool) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.acting = false
	t := x.s.tally(x.who.Credential)
	if t.Alarm != nil && t.Alarm.At.Equal(a.At) {
		t.Handled = done
	}
	x.keep(nil)
}

// Recipient says whether the transaction may have one more recipient. If it gets
// it, Accepted says so.
func (x *Sending) Recipient(to address.Mailbox, now time.Time) *Exceeded {
	h := x.m.hash(x.s.login, to)
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	_, known := x.s.known[h]
	if !known {
		_, known = x.fresh[h]
	}
	fresh := len(x.fresh)
	if !known {
		fresh++
	}
	x.asked.hash, x.asked.new = h, !known
	return x.exceeded(0, len(x.to)+1, fresh, now)
}

// Accepted notes the recipient that Recipient was asked about last.
func (x *Sending) Accepted() {
	x.to = append(x.to, x.asked.hash)
	if !x.asked.new {
		return
	}
	if x.fresh == nil {
		x.fresh = make(map[uint64]struct{})
	}
	x.fresh[x.asked.hash] = struct{}{}
}

// Unknown notes a recipient that does not exist, which may raise an alarm.
func (x *Sending) Unknown(now time.Time) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	t := x.s.tally(x.who.Credential)
	t.Unknown.add(hour(), now, 1)
	t.Used, x.dirty = now, true
	t.alarmed(UnknownRecipients, x.who.Alarm, x.who.Remote, now)
}

// Take counts the message with its recipients, if there is still room for them
// and the secret has not been suspended meanwhile.
func (x *Sending) Take(now time.Time) (over *Exceeded, suspended bool) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	t := x.s.tally(x.who.Credential)
	if x.suspended(t) {
		return nil, true
	}
	fresh := 0
	for h := range x.fresh {
		if _, known := x.s.known[h]; !known {
			fresh++
		}
	}
	if over := x.exceeded(1, len(x.to), fresh, now); over != nil {
		return over, false
	}
	x.counts.recipients, x.counts.fresh, x.taken = len(x.to), fresh, now
	t.count(len(x.to), fresh, now)
	x.s.tally("").count(len(x.to), fresh, now)
	return nil, false
}

// Settle says that what was taken has been sent, which may raise an alarm.
func (x *Sending) Settle(now time.Time) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.taken = time.Time{}
	today := dayOf(now)
	changed := make(map[uint64]int32, len(x.to))
	before := len(x.s.known)
	forgetOldest(x.s.known, len(x.fresh))
	for _, h := range x.to {
		if last, known := x.s.known[h]; !known || last != today {
			x.s.known[h], changed[h] = today, today
		}
	}
	x.grown += len(x.s.known) - before
	t := x.s.tally(x.who.Credential)
	t.alarmed(SuddenVolume, x.who.Alarm, x.who.Remote, now)
	x.keep(changed)
}

// keep hands on what has changed; the caller holds mu.
func (x *Sending) keep(known map[uint64]int32) {
	x.dirty = false
	x.m.keeper.KeepUsage(UsageChange{Login: x.s.login, Created: x.s.created, Kept: Kept{
		Tallies: map[string]Tally{"": x.s.tally("").clone(), x.who.Credential: x.s.tally(x.who.Credential).clone()},
		Known:   known,
	}})
}

// FirstToday reports whether no limit of the account was reached within the last
// day before, and notes that one is.
func (x *Sending) FirstToday(now time.Time) bool {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	t := x.s.tally("")
	if now.Before(t.Told.Add(StrictFor)) {
		return false
	}
	t.Told, x.dirty = now, true
	return true
}

// Close ends the transaction. What was taken and not settled is given back.
// Close of nil, and a second one, does nothing.
func (x *Sending) Close() {
	if x == nil || x.closed {
		return
	}
	x.closed = true
	x.s.mu.Lock()
	if !x.taken.IsZero() {
		for _, credential := range []string{"", x.who.Credential} {
			x.s.tally(credential).takeBack(x.counts.recipients, x.counts.fresh, x.taken)
		}
	}
	if x.dirty {
		x.keep(nil)
	}
	x.s.mu.Unlock()
	x.m.leave(x.s, x.grown)
}
