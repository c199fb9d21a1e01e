package account

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Limits of what is remembered of senders.
const (
	// MaxKnown is how many addresses are remembered that an account wrote to; those
	// it wrote to longest ago are forgotten, and then are new again.
	MaxKnown = 20_000
	// MaxNetworks is how many networks are remembered of one secret.
	MaxNetworks = 64
	// MaxCredentials is how many secrets of one account have counts of their own;
	// those that were used longest ago are forgotten.
	MaxCredentials = 64
)

// Tally is what one secret has sent, or an account with all of them.
type Tally struct {
	MessagesHour     Window `json:"messages_hour,omitzero"`
	MessagesDay      Window `json:"messages_day,omitzero"`
	RecipientsHour   Window `json:"recipients_hour,omitzero"`
	RecipientsDay    Window `json:"recipients_day,omitzero"`
	NewRecipientsDay Window `json:"new_recipients_day,omitzero"`
	// Unknown counts recipients within the hour that do not exist.
	Unknown Window `json:"unknown,omitzero"`
	// Days are the messages of each day, for what is usual.
	Days Window `json:"days,omitzero"`
	// Used is when anything was noted last, Began when it was used first.
	Used  time.Time `json:"used,omitzero"`
	Began time.Time `json:"began,omitzero"`
	// Networks are where it was used.
	Networks []Network `json:"networks,omitempty"`
	// Alarm is the last one that was raised, and Handled says that what follows
	// from it has been done. Resumed is when somebody said that all is well.
	Alarm   *Alarm    `json:"alarm,omitempty"`
	Handled bool      `json:"handled,omitempty"`
	Resumed time.Time `json:"resumed,omitzero"`
	// Told is when the owner was told that a limit is reached.
	Told time.Time `json:"told,omitzero"`
}

// count adds what one transaction sent.
func (t *Tally) count(recipients, fresh int, now time.Time) {
	t.MessagesHour.add(hour(), now, 1)
	t.MessagesDay.add(day(), now, 1)
	t.Days.add(history(), now, 1)
	t.RecipientsHour.add(hour(), now, recipients)
	t.RecipientsDay.add(day(), now, recipients)
	t.NewRecipientsDay.add(day(), now, fresh)
	t.Used = now
}

// takeBack undoes count.
func (t *Tally) takeBack(recipients, fresh int, at time.Time) {
	t.MessagesHour.takeBack(hour(), at, 1)
	t.MessagesDay.takeBack(day(), at, 1)
	t.Days.takeBack(history(), at, 1)
	t.RecipientsHour.takeBack(hour(), at, recipients)
	t.RecipientsDay.takeBack(day(), at, recipients)
	t.NewRecipientsDay.takeBack(day(), at, fresh)
}

// clone is a copy that shares nothing that changes.
func (t *Tally) clone() Tally {
	c := *t
	c.Networks = slices.Clone(t.Networks)
	return c
}

// Or returns the limits with those of others for what is not set.
func (l Limits) Or(others Limits) Limits {
	return Limits{
		MessagesHour: cmp.Or(l.MessagesHour, others.MessagesHour), MessagesDay: cmp.Or(l.MessagesDay, others.MessagesDay),
		RecipientsHour: cmp.Or(l.RecipientsHour, others.RecipientsHour), RecipientsDay: cmp.Or(l.RecipientsDay, others.RecipientsDay),
		NewRecipientsDay: cmp.Or(l.NewRecipientsDay, others.NewRecipientsDay),
	}
}

// LimitName is one of Limits, as configuration, command line and JSON call it.
type LimitName string

// The limits.
const (
	MessagesHour     LimitName = "messages_hour"
	MessagesDay      LimitName = "messages_day"
	RecipientsHour   LimitName = "recipients_hour"
	RecipientsDay    LimitName = "recipients_day"
	NewRecipientsDay LimitName = "new_recipients_day"
)

// LimitNames returns all of them in their order.
func LimitNames() []LimitName {
	return []LimitName{MessagesHour, MessagesDay, RecipientsHour, RecipientsDay, NewRecipientsDay}
}

// Field returns where the limit stands; nil if there is none of that name.
func (l *Limits) Field(name LimitName) *int {
	switch name {
	case MessagesHour:
		return &l.MessagesHour
	case MessagesDay:
		return &l.MessagesDay
	case RecipientsHour:
		return &l.RecipientsHour
	case RecipientsDay:
		return &l.RecipientsDay
	case NewRecipientsDay:
		return &l.NewRecipientsDay
	}
	return nil
}

// Exceeded is a limit that is used up.
type Exceeded struct {
	Limit LimitName `json:"limit"`
	// Number is how many it allows.
	Number int `json:"number"`
	// Own says that it is the secret's own and not the account's.
	Own bool `json:"own,omitempty"`
	// Until is when more may be sent.
	Until time.Time `json:"until"`
}

// exceeded is the limit that is used up the longest if so much more were sent,
// nil if none is.
func (t *Tally) exceeded(l *Limits, messages, recipients, fresh int, now time.Time) *Exceeded {
	var worst *Exceeded
	look := func(w *Window, s span, name LimitName, limit, n int) {
		until, over := w.over(s, limit, n, now)
		if over && (worst == nil || until.After(worst.Until)) {
			worst = &Exceeded{Limit: name, Number: limit, Until: until}
		}
	}
	look(&t.MessagesHour, hour(), MessagesHour, l.MessagesHour, messages)
	look(&t.MessagesDay, day(), MessagesDay, l.MessagesDay, messages)
	look(&t.RecipientsHour, hour(), RecipientsHour, l.RecipientsHour, recipients)
	look(&t.RecipientsDay, day(), RecipientsDay, l.RecipientsDay, recipients)
	look(&t.NewRecipientsDay, day(), NewRecipientsDay, l.NewRecipientsDay, fresh)
	return worst
}

// UsageKeeper is where usage is kept over restarts. It is safe for concurrent
// use.
type UsageKeeper interface {
	// Usage reads what is kept of a login, with what KeepUsage was given before.
	Usage(ctx context.Context, login string) (Kept, error)
	// KeepUsage keeps a change. It is written later, in a batch: a crash may lose
	// some seconds of it. It does not keep c.
	KeepUsage(c UsageChange)
}

// Kept is what is kept of a login: what each secret has sent, by credential, ""
// for the account as a whole; and the addresses that it wrote to, as keyed
// hashes with the day since 1970 on which it did last.
type Kept struct {
	Tallies map[string]Tally
	Known   map[uint64]int32
}

// UsageChange is what has changed of a login.
type UsageChange struct {
	Login string
	// Created is when the account was made: what is noted of it is not of another
	// of the same name.
	Created time.Time
	Kept
}

// dayOf is the number of a day since 1970.
func dayOf(now time.Time) int32 { return int32(now.Unix() / int64(24*time.Hour/time.Second)) }

// forgetOldest makes room in known for n more: those of the oldest days go, some
// more than must, so that it is not done for each.
func forgetOldest(known map[uint64]int32, n int) {
	if len(known)+n <= MaxKnown {
		return
	}
	all := slices.SortedFunc(maps.Keys(known), func(a, b uint64) int { return cmp.Compare(known[a], known[b]) })
	for _, h := range all[:min(len(all), len(known)+n-MaxKnown+MaxKnown/16)] {
		delete(known, h)
	}
}
