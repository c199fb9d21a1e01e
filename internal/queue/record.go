package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/onwardmail/onward/internal/dsn"
)

// note learns from outcomes whether the destination works.
func (m *Manager) note(l *line, outcomes []Outcome, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dead := false
	for i := range outcomes {
		if outcomes[i].Kind == Trouble && outcomes[i].Scope == ScopeDestination {
			dead = true
		}
	}
	if !dead {
		l.failures = 0
		l.blocked = time.Time{}
		return
	}
	if now.Before(l.blocked) {
		return // an attempt that began before the line was closed
	}
	l.failures++
	block := time.Duration(float64(m.schedule.delay(l.failures)) * (1 - Jitter))
	l.blocked = now.Add(min(block, longestBlock))
}

// compose makes the record of an attempt: a change for each recipient and the
// reports that are due.
func (m *Manager) compose(j *job, outcomes []Outcome, now time.Time) *Record {
	m.mu.Lock()
	schedule := m.schedule
	m.mu.Unlock()
	rec := &Record{Now: now, Changes: make([]Change, len(outcomes))}
	var failed, delayed, delivered, relayed []Fate
	for i := range outcomes {
		o, r := &outcomes[i], j.Recipients[i]
		c := Change{ID: r.ID, Outcome: o}
		switch o.Kind {
		case Success:
			c.Event = Succeeded
			kind, to := dsn.Relayed, &relayed // rfc3461#5.2.3
			if j.Recipients[i].Destination == Maildir {
				kind, to = dsn.Delivered, &delivered // rfc3461#5.2.1
			}
			if send, _ := dsn.Decide(j.Message.Basis, j.Message.From, r.Params.Notify, kind); send && !o.Reports {
				*to = append(*to, Fate{r, o})
			}
		case Failure:
			c.Event = Failed
			if send, cause := dsn.Decide(j.Message.Basis, j.Message.From, r.Params.Notify, dsn.Failed); send {
				failed = append(failed, Fate{r, o})
			} else {
				c.Suppress = cause
			}
		default:
			c.Event = Troubled
			c.Due = schedule.Next(o.Attempt, now, r.Expires, rand.Float64())
			if schedule.noticeDue(r, j.Message.Received, now) {
				if send, _ := dsn.Decide(j.Message.Basis, j.Message.From, r.Params.Notify, dsn.Delayed); send {
					c.Delayed = true
					delayed = append(delayed, Fate{r, o})
				}
			}
		}
		rec.Changes[i] = c
	}
	if !m.report(rec, dsn.Failed, &j.Job, failed, now) || !m.report(rec, dsn.Delayed, &j.Job, delayed, now) {
		rec.withoutReports(schedule)
	}
	// Good news that cannot be told undoes nothing.
	m.report(rec, dsn.Delivered, &j.Job, delivered, now)
	m.report(rec, dsn.Relayed, &j.Job, relayed, now)
	return rec
}

// withoutReports takes the reports out of a record, and with them what they are
// about: there is no failure without its report, so those recipients are tried
// again.
func (rec *Record) withoutReports(s Schedule) {
	for i := range rec.Changes {
		c := &rec.Changes[i]
		c.Delayed, c.Report = false, 0
		if c.Event == Failed && c.Suppress == "" {
			c.Event = Troubled
			c.Due = s.Next(c.Outcome.Attempt, rec.Now, rec.Now.Add(s.Expire), rand.Float64())
		}
	}
	rec.Reports = nil
}

// report adds the report about fates to a record. It reports whether that
// succeeded.
func (m *Manager) report(rec *Record, kind dsn.Kind, j *Job, fates []Fate, now time.Time) bool {
	if len(fates) == 0 {
		return true
	}
	e, err := m.composeReport(kind, j, fates, now)
	if err != nil {
		m.opt.Logger.Error("compose a report; the message stays in the queue", "message", j.Message.ID, "error", err)
		return false
	}
	if e == nil {
		if kind == dsn.Failed || kind == dsn.Delayed {
			rec.nobodyToTell()
		}
		return true
	}
	expires := m.Expires(now)
	for _, r := range e.Recipients {
		r.State, r.Due, r.Expires = Waiting, now, expires
	}
	rec.Reports = append(rec.Reports, e)
	for _, f := range fates {
		for i := range rec.Changes {
			if rec.Changes[i].Outcome == f.Outcome {
				rec.Changes[i].Report = e.Message.ID
			}
		}
	}
	return true
}

// CauseNobody is why no report is sent to a reverse-path of ours that does not
// exist.
const CauseNobody = "reverse-path-unknown"

// nobodyToTell makes failures end without a report.
func (rec *Record) nobodyToTell() {
	for i := range rec.Changes {
		c := &rec.Changes[i]
		c.Delayed = false
		if (c.Event == Failed || c.Event == Expired) && c.Suppress == "" {
			c.Suppress = CauseNobody
		}
	}
}

// composeReport calls the Reporter. It works on a stranger's message: a defect
// there must not end the process, again after every start.
func (m *Manager) composeReport(kind dsn.Kind, j *Job, fates []Fate, now time.Time) (e *Entry, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("defect: panic: %v", p)
		}
	}()
	return m.opt.Reporter.Compose(m.ctx, kind, j.Message, fates, j.Recipients, now)
}

// record commits. As long as the store fails it is offered again: what was
// delivered and is not recorded would go twice.
func (m *Manager) record(j *job, rec *Record) {
	for tries := 1; ; tries++ {
		err := m.opt.Store.Record(context.WithoutCancel(m.ctx), rec)
		if err == nil {
			break
		}
		if errors.Is(err, ErrNotAllowed) { // all else is recorded; again is of no use
			m.opt.Logger.Error("an attempt outlived its lease or its recipient", "message", j.Message.ID, "error", err)
			break
		}
		m.opt.Logger.Error("record what an attempt came to", "message", j.Message.ID, "error", err)
		if tries == recordTries && !errors.Is(err, ErrStopped) {
			m.mu.Lock()
			schedule := m.schedule
			m.mu.Unlock()
			rec.withoutReports(schedule)
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(recordRetry):
		}
	}
	m.log(j, rec)
	if len(rec.Reports) > 0 {
		m.wakeBy(rec.Now)
	}
	var first time.Time
	for i := range rec.Changes {
		if c := &rec.Changes[i]; c.Event == Troubled && (first.IsZero() || c.Due.Before(first)) {
			first = c.Due
		}
	}
	if !first.IsZero() {
		m.wakeBy(first)
	}
}

func (m *Manager) log(j *job, rec *Record) {
	if !m.opt.Logger.Enabled(m.ctx, slog.LevelInfo) {
		return
	}
	for i := range rec.Changes {
		c := &rec.Changes[i]
		if c.Outcome == nil {
			continue
		}
		m.opt.Logger.Info(c.Outcome.Kind.String(), "message", j.Message.ID, "recipient", j.Recipients[i].Address.String(),
			"host", c.Outcome.Host, "addr", c.Outcome.Addr, "reply", c.Outcome.Heard.String(), "cause", c.Outcome.Cause,
			"attempt", c.Outcome.Attempt)
	}
}
