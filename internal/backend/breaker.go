package backend

import (
	"fmt"
	"time"
)

// Limits of a breaker.
const (
	// tripAfter is how many failures in a row it takes.
	tripAfter = 3
	// minRest and maxRest are how long a backend is left alone, doubled each time.
	minRest = time.Second
	maxRest = time.Minute
)

// breaker leaves a backend alone that has failed again and again: logins hear
// so at once instead of each waiting for its timeout, and after a while one of
// them goes first, to see. The zero breaker is closed. It knows no clock.
//
//	closed ── tripAfter failures ─► resting ── time is over, one login ─► trying
//	  ▲                                ▲                                    │
//	  └────── an answer ◄──────────────┴── failure: rests twice as long ◄───┘
type breaker struct {
	failures int
	rest     time.Duration // 0 while closed
	until    time.Time
	trying   bool
	last     error
}

// outcome is what a breaker learns of one question.
type outcome int

const (
	answered outcome = iota // whatever the answer was
	failed                  // it could not be asked
	given                   // up, by whoever asked: that tells nothing
)

// enter asks for leave to ask. trial says that this question goes first.
func (b *breaker) enter(now time.Time) (trial bool, err error) {
	switch {
	case b.rest == 0:
		return false, nil
	case b.trying:
		return false, fmt.Errorf("it failed %d times and is being tried again; the last error: %w", b.failures, b.last)
	case now.Before(b.until):
		return false, fmt.Errorf("it failed %d times and is tried again in %v; the last error: %w", b.failures, b.until.Sub(now).Round(time.Millisecond), b.last)
	}
	b.trying = true
	return true, nil
}

// leave tells how it went. What began before the rest, and ends during it badly,
// is no news.
func (b *breaker) leave(now time.Time, trial bool, o outcome, err error) {
	if trial {
		b.trying = false
	}
	switch {
	case o == answered:
		*b = breaker{}
	case o == given || b.rest > 0 && !trial:
	default:
		b.failures++
		b.last = err
		if b.failures < tripAfter {
			return
		}
		b.rest = min(max(2*b.rest, minRest), maxRest)
		b.until = now.Add(b.rest)
	}
}
