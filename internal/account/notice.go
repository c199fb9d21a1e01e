package account

import "time"

// How long before an app password expires its owner is told, the first time and
// the last.
const (
	NoticeEarly = 14 * 24 * time.Hour
	NoticeLate  = 3 * 24 * time.Hour
)

// NoticeKind is what the owner of an app password has to be told.
type NoticeKind string

// The kinds of notices about app passwords.
const (
	NoNotice        NoticeKind = ""
	ExpiryNotice    NoticeKind = "expiry"
	SuspendedNotice NoticeKind = "suspended"
)

// NoticeDue says what the owner has to be told at now and has not been: that it
// was suspended; that it expires in two weeks, and again in three days. Who gave
// it less time than that when it was made knows; who was told late is not told
// twice.
func (p *AppPassword) NoticeDue(now time.Time) NoticeKind {
	switch p.Status(now) {
	case "suspended":
		if p.Noticed.Before(p.Suspended) {
			return SuspendedNotice
		}
	case "active":
	default:
		return NoNotice
	}
	if p.Expires.IsZero() {
		return NoNotice
	}
	for _, before := range [...]time.Duration{NoticeLate, NoticeEarly} {
		if at := p.Expires.Add(-before); !now.Before(at) {
			if p.Noticed.Before(at) && p.Created.Before(at) {
				return ExpiryNotice
			}
			return NoNotice
		}
	}
	return NoNotice
}
