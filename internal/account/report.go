package account

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Usage is what one secret has sent, or an account with all of them.
type Usage struct {
	// Credential is "main", the id of an app password, or "" for the account.
	Credential string `json:"credential"`
	// Sent is how much of each limit is used up.
	Sent Limits `json:"sent"`
	// Unknown is how many recipients of the last hour do not exist; UsualDay is
	// the messages of a usual day.
	Unknown  int     `json:"unknown_recipients_hour"`
	UsualDay float64 `json:"usual_day"`
	// Strict says that strict limits hold because of Alarm.
	Strict   bool      `json:"strict,omitempty"`
	Used     time.Time `json:"used,omitzero"`
	Networks []Network `json:"networks,omitempty"`
	Alarm    *Alarm    `json:"alarm,omitempty"`
}

// Usage returns what an account has sent: as a whole first, then by secret, the
// one that was used last first.
func (m *Meter) Usage(ctx context.Context, a *Account, now time.Time) ([]Usage, error) {
	s, err := m.enter(ctx, a.Login, a.Created)
	if err != nil {
		return nil, err
	}
	defer m.leave(s, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally("")
	var all []Usage
	for credential, t := range s.tallies {
		c := t.clone()
		u := Usage{
			Credential: credential, Used: t.Used, Networks: c.Networks, Unknown: c.Unknown.sum(hour(), now),
			Sent: Limits{
				MessagesHour: c.MessagesHour.sum(hour(), now), MessagesDay: c.MessagesDay.sum(day(), now),
				RecipientsHour: c.RecipientsHour.sum(hour(), now), RecipientsDay: c.RecipientsDay.sum(day(), now),
				NewRecipientsDay: c.NewRecipientsDay.sum(day(), now),
			},
		}
		u.UsualDay, _ = c.Days.usual(now)
		if c.Alarm != nil {
			copied := *c.Alarm
			u.Alarm = &copied
			u.Strict = now.Before(copied.At.Add(StrictFor))
		}
		slices.SortFunc(u.Networks, func(a, b Network) int { return b.Last.Compare(a.Last) })
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b Usage) int {
		if (a.Credential == "") != (b.Credential == "") {
			return cmp.Compare(a.Credential, b.Credential)
		}
		return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Credential, b.Credential))
	})
	return all, nil
}

// Resume notes that all is well with a secret: what raised an alarm does so no
// more. It reports whether there was an alarm.
func (m *Meter) Resume(ctx context.Context, a *Account, credential string, now time.Time) (bool, error) {
	s, err := m.enter(ctx, a.Login, a.Created)
	if err != nil {
		return false, err
	}
	x := &Sending{m: m, s: s, who: Who{Credential: credential}}
	defer x.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tally(credential)
	had := t.Alarm != nil
	t.Alarm, t.Handled, t.Resumed, t.Unknown = nil, false, now, Window{}
	x.dirty = true
	return had, nil
}
