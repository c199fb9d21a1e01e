package account

import "time"

// steps is how many steps a Window has: what it looks back on, and the one that
// has begun.
const steps = 25

// span is a time that is looked back on, in steps of equal length.
type span struct {
	step int64 // seconds
	n    int   // steps, at most the constant
}

// The spans. Each has one step more than its name says, so that what stands
// in it is never younger than what it is counted for: within any hour, wherever
// it begins, no more is sent than an hour's limit. The price is that a limit
// which is used up stays so for up to one step longer.
func hour() span { return span{5 * 60, 13} }
func day() span  { return span{60 * 60, 25} }

// history is calendar days in UTC: today and those that make up what is usual.
func history() span { return span{24 * 60 * 60, 25} }

// Window counts events in the steps of a span. It is a plain value; its zero
// value is empty.
type Window struct {
	// Newest is the number of the newest step since 1970.
	Newest int64 `json:"newest"`
	// Counts are those of the steps, the newest first.
	Counts [steps]uint32 `json:"counts"`
	// Total is their sum.
	Total uint32 `json:"total"`
}

// move makes the step of now the newest one. Where the clock was set back, what
// comes is counted in the newest step there is; a step that lies ahead by more
// than the whole span comes from a clock that was wrong, and is forgotten.
func (w *Window) move(s span, now time.Time) {
	at := now.Unix() / s.step
	switch by := at - w.Newest; {
	case by == 0:
		return
	case by < 0 && -by < int64(s.n):
		return
	case by < 0 || by >= int64(s.n):
		w.Counts, w.Total = [steps]uint32{}, 0
	default:
		for _, n := range w.Counts[int64(s.n)-by : s.n] {
			w.Total -= n
		}
		copy(w.Counts[by:s.n], w.Counts[:int64(s.n)-by])
		clear(w.Counts[:by])
	}
	w.Newest = at
}

// add counts n events at now.
func (w *Window) add(s span, now time.Time, n int) {
	w.move(s, now)
	w.Counts[0] += uint32(n)
	w.Total += uint32(n)
}

// takeBack undoes add(s, at, n), as far as the events still count.
func (w *Window) takeBack(s span, at time.Time, n int) {
	back := max(w.Newest-at.Unix()/s.step, 0)
	if back < int64(s.n) {
		less := min(w.Counts[back], uint32(n))
		w.Counts[back] -= less
		w.Total -= less
	}
}

// sum is how many events count at now.
func (w *Window) sum(s span, now time.Time) int {
	w.move(s, now)
	return int(w.Total)
}

// over reports whether n more events at now would be more than limit, and when
// they will not be. A limit of 0 or less is none.
func (w *Window) over(s span, limit, n int, now time.Time) (until time.Time, over bool) {
	if limit <= 0 || n == 0 {
		return time.Time{}, false
	}
	total := w.sum(s, now)
	if total+n <= limit {
		return time.Time{}, false
	}
	for i := s.n - 1; i >= 0; i-- {
		total -= int(w.Counts[i])
		if total+n <= limit || i == 0 {
			gone := w.Newest - int64(i) + int64(s.n) // the step in which this one counts no more
			return time.Unix(gone*s.step, 0).UTC(), true
		}
	}
	return now, true // a span has steps
}

// usual is the average of the days before today on which anything happened, and
// how many those were.
func (w *Window) usual(now time.Time) (average float64, days int) {
	s := history()
	w.move(s, now)
	total := 0
	for _, n := range w.Counts[1:s.n] {
		if n > 0 {
			total, days = total+int(n), days+1
		}
	}
	if days == 0 {
		return 0, 0
	}
	return float64(total) / float64(days), days
}
