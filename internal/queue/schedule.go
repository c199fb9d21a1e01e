package queue

import "time"

// Jitter spreads retries: a delay is made longer or shorter by up to this
// part of it, so that what failed together does not come back together.
const Jitter = 0.2

// Schedule is when a message is tried again and when it is given up
// (rfc5321#4.5.4.1).
type Schedule struct {
	// Retry are the delays after the first, second, … attempt; the last one
	// repeats. Not empty; each at least a millisecond.
	Retry []time.Duration
	// Expire is how long a message is tried in all.
	Expire time.Duration
	// Notice is after how long the sender hears of the delay; 0 means never.
	Notice time.Duration
}

// DefaultSchedule tries after 1, 5, 15 and 30 minutes, 1, 2 and 4 hours, then
// every 4 hours, for 5 days (rfc5321#4.5.4.1: «at least 4-5 days»).
func DefaultSchedule() Schedule {
	return Schedule{
		Retry: []time.Duration{
			time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
			time.Hour, 2 * time.Hour, 4 * time.Hour,
		},
		Expire: 5 * 24 * time.Hour,
		Notice: 4 * time.Hour,
	}
}

// delay returns the delay after the n-th attempt, n from 1.
func (s Schedule) delay(n int) time.Duration {
	if len(s.Retry) == 0 {
		return time.Minute
	}
	return s.Retry[min(max(n, 1), len(s.Retry))-1]
}

// Next returns the time of the next attempt after the n-th one, at now. random
// is in [0, 1). It is never after expires, so that the last attempt or the
// report is not late.
func (s Schedule) Next(n int, now, expires time.Time, random float64) time.Time {
	d := s.delay(n)
	next := now.Add(time.Duration(float64(d) * (1 - Jitter + 2*Jitter*random)))
	if next.After(expires) {
		return expires
	}
	return next
}

// noticeDue reports whether a notice of delay may go out for r now.
func (s Schedule) noticeDue(r *Recipient, received, now time.Time) bool {
	return s.Notice > 0 && !r.Delayed && now.Sub(received) >= s.Notice && now.Before(r.Expires)
}
