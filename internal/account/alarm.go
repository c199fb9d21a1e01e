package account

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// AlarmKind is what looks as if somebody else has a secret.
type AlarmKind string

// The alarms; the keys alarm.<kind> of the reference say them in words.
const (
	// ManyNetworks: it was used from networks where it never was, in a short time.
	ManyNetworks AlarmKind = "many_networks"
	// SuddenVolume: it sends far more than is usual for it.
	SuddenVolume AlarmKind = "sudden_volume"
	// UnknownRecipients: many of the addresses that it writes to do not exist.
	UnknownRecipients AlarmKind = "unknown_recipients"
)

// AlarmKinds returns all of them, for tests of the reference.
func AlarmKinds() []AlarmKind {
	return []AlarmKind{ManyNetworks, SuddenVolume, UnknownRecipients}
}

// AlarmRules say what raises an alarm; what is 0 is not looked at.
type AlarmRules struct {
	// Networks is how many within an hour, where the secret never was before.
	Networks int
	// TimesUsual is how many times the average of the days on which it sent,
	// and Messages how many messages in a day, it takes both.
	TimesUsual int
	Messages   int
	// Unknown is how many recipients within an hour that do not exist.
	Unknown int
}

// leastDays is how many days of sending it takes to know what is usual.
const leastDays = 3

// StrictFor is how long strict limits hold after an alarm about a secret that is
// not suspended, and how long sudden volume is let be after somebody said that
// all is well.
const StrictFor = 24 * time.Hour

// StrictLimits bind, after an alarm and for a day, a secret that is not
// suspended, such as the main password: enough for a person who writes by hand,
// and of no use to whoever sends advertising.
func StrictLimits() Limits {
	return Limits{MessagesHour: 20, MessagesDay: 50, RecipientsHour: 50, RecipientsDay: 100, NewRecipientsDay: 20}
}

// Alarm is one that was raised.
type Alarm struct {
	Kind AlarmKind `json:"kind"`
	At   time.Time `json:"at"`
	// Count is how many networks, messages or recipients it was; Usual is the
	// messages of a usual day.
	Count int `json:"count"`
	Usual int `json:"usual,omitempty"`
	// From is where the secret was used then.
	From netip.Addr `json:"from,omitzero"`
}

// String is the alarm without its time, as AppPassword.SuspendedWhy keeps it:
// "sudden_volume count=101 usual=4 from=192.0.2.7".
func (a *Alarm) String() string {
	s := string(a.Kind) + " count=" + strconv.Itoa(a.Count)
	if a.Kind == SuddenVolume {
		s += " usual=" + strconv.Itoa(a.Usual)
	}
	if a.From.IsValid() {
		s += " from=" + a.From.String()
	}
	return s
}

// ParseAlarm reads what String wrote; an error means that somebody else wrote it.
func ParseAlarm(text string, at time.Time) (Alarm, error) {
	words := strings.Fields(text)
	a := Alarm{At: at}
	for i, w := range words {
		var err error
		name, value, _ := strings.Cut(w, "=")
		switch {
		case i == 0:
			a.Kind = AlarmKind(w)
		case name == "count":
			a.Count, err = strconv.Atoi(value)
		case name == "usual":
			a.Usual, err = strconv.Atoi(value)
		case name == "from":
			a.From, err = netip.ParseAddr(value)
		default:
			err = fmt.Errorf("%q has no meaning", w)
		}
		if err != nil {
			return a, fmt.Errorf("read the alarm %q: %w", text, err)
		}
	}
	for _, k := range AlarmKinds() {
		if a.Kind == k {
			return a, nil
		}
	}
	return a, fmt.Errorf("read the alarm %q: there is none of that kind", text)
}

// Network is where a secret was used: about what one provider of access has, so
// that a telephone which wanders is in one network.
type Network struct {
	Prefix netip.Prefix `json:"prefix"`
	First  time.Time    `json:"first"`
	Last   time.Time    `json:"last"`
}

// networkOf is the IPv4 /16 or IPv6 /32 of an address.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 16
	if a.Is6() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the bits fit
	return p
}

// seen notes that the secret was used from a network.
func (t *Tally) seen(a netip.Addr, now time.Time) {
	p := networkOf(a)
	oldest := 0
	for i := range t.Networks {
		if n := &t.Networks[i]; n.Prefix == p {
			n.Last = now
			return
		} else if n.Last.Before(t.Networks[oldest].Last) {
			oldest = i
		}
	}
	if len(t.Networks) == 0 && t.Began.IsZero() {
		t.Began = now
	}
	n := Network{Prefix: p, First: now, Last: now}
	if len(t.Networks) < MaxNetworks {
		t.Networks = append(t.Networks, n)
	} else {
		t.Networks[oldest] = n
	}
}

// newNetworks is in how many networks the secret was for the first time within
// the last hour. The first one of all is where its owner is.
func (t *Tally) newNetworks(now time.Time) int {
	since := now.Add(-time.Hour)
	if t.Resumed.After(since) {
		since = t.Resumed
	}
	n := 0
	for i := range t.Networks {
		if first := t.Networks[i].First; first.After(since) && !first.Equal(t.Began) {
			n++
		}
	}
	return n
}

// alarmed raises an alarm of one kind if there is reason to, and none was raised
// within the last day.
func (t *Tally) alarmed(kind AlarmKind, r AlarmRules, from netip.Addr, now time.Time) {
	if t.Alarm != nil && now.Before(t.Alarm.At.Add(StrictFor)) {
		return
	}
	a := &Alarm{Kind: kind, At: now, From: from.Unmap()}
	switch kind {
	case ManyNetworks:
		if a.Count = t.newNetworks(now); r.Networks <= 0 || a.Count < r.Networks {
			return
		}
	case UnknownRecipients:
		if a.Count = t.Unknown.sum(hour(), now); r.Unknown <= 0 || a.Count < r.Unknown {
			return
		}
	case SuddenVolume:
		a.Count = t.MessagesDay.sum(day(), now)
		if r.TimesUsual <= 0 || a.Count <= r.Messages || now.Before(t.Resumed.Add(StrictFor)) {
			return
		}
		usual, days := t.Days.usual(now)
		if days < leastDays || float64(a.Count) <= float64(r.TimesUsual)*usual {
			return
		}
		a.Usual = int(usual + 0.5)
	}
	t.Alarm, t.Handled = a, false
}
