package queue

import (
	"context"
	"errors"
	"time"

	"github.com/onwardmail/onward/internal/dsn"
)

// run is the one goroutine that owns the schedule: it looks at what is due,
// claims as much of it as there is room for, and sleeps until the next is due.
func (m *Manager) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var swept time.Time
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		now := time.Now()
		m.plan(now.Add(idlePass)) // what becomes due meanwhile asks for another look
		wait := idlePass
		if pause := sweepPass - now.Sub(swept); pause > 0 {
			wait = pause
		} else {
			m.sweep(now)
			swept = now
		}
		wait = min(wait, m.pass(now))
		m.plan(time.Now().Add(wait))
		timer.Reset(wait)
	}
}

// plan notes when the store is looked at next.
func (m *Manager) plan(next time.Time) {
	m.mu.Lock()
	m.nextPass = next
	m.mu.Unlock()
}

// sweep ends what has taken too long: attempts, and messages.
func (m *Manager) sweep(now time.Time) {
	if _, err := m.opt.Store.ExpireLeases(m.ctx, now); err != nil && m.ctx.Err() == nil {
		m.opt.Logger.Error("end old leases", "error", err)
	}
	m.expire(now)
}

// pass claims what is due and returns how long nothing will become due.
func (m *Manager) pass(now time.Time) time.Duration {
	m.mu.Lock()
	limit := maxDestinations + len(m.dests) // those left alone hide nobody
	m.mu.Unlock()
	due, next, err := m.opt.Store.DueDestinations(m.ctx, now, limit)
	if err != nil {
		if m.ctx.Err() == nil {
			m.opt.Logger.Error("look for due mail", "error", err)
		}
		return recordRetry
	}
	wait := idlePass
	if !next.IsZero() {
		wait = min(wait, max(next.Sub(now), shortPass))
	}
	for _, d := range due {
		if m.ctx.Err() != nil {
			break
		}
		if blocked := m.claim(d, now); blocked > 0 {
			wait = min(wait, max(blocked, shortPass))
		}
	}
	return wait
}

// claim takes what there is room for; blocked is how long the destination is
// still left alone.
func (m *Manager) claim(d Due, now time.Time) (blocked time.Duration) {
	room, blocked := m.room(d.Destination, now)
	if room <= 0 {
		return blocked
	}
	claimed, err := m.opt.Store.Claim(m.ctx, d.Destination, room, now, m.lease(now))
	if err != nil {
		if m.ctx.Err() == nil {
			m.opt.Logger.Error("claim due mail", "destination", string(d.Destination), "error", err)
		}
		return recordRetry
	}
	jobs := make([]*job, len(claimed))
	for i, c := range claimed {
		jobs[i] = &job{Job: c, since: now}
	}
	m.mu.Lock()
	for _, j := range jobs {
		m.alive[j] = struct{}{}
	}
	if d.Count > room {
		m.line(d.Destination).more = true
	}
	m.mu.Unlock()
	m.push(jobs)
	return 0
}

// room says how many recipients of a destination may be claimed. After a
// failure of the whole destination a single one goes first, to see. blocked is
// how long to wait where nobody else will ask for another look.
func (m *Manager) room(d Destination, now time.Time) (room int, blocked time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.line(d)
	switch {
	case m.closing:
		return 0, 0
	case now.Before(l.blocked):
		return 0, l.blocked.Sub(now)
	case l.failures > 0:
		l.more = true
		if l.workers > 0 || len(l.jobs) > 0 {
			return 0, 0
		}
		if m.probes >= max(m.opt.Workers/2, 1) {
			return 0, time.Second // the dead must not take the hands of the living
		}
		return 1, 0
	case m.workers < m.opt.Workers, l.workers > 0 && !m.hungry:
		room = claimLimit - len(l.jobs)
	case len(l.jobs) == 0 && l.workers == 0 && len(m.starved) < maxStarved:
		return starvedLimit, 0 // so that it stands in line for a hand
	case len(l.jobs) == 0 && l.workers == 0:
		m.hungry = true
		return 0, 0
	}
	if room <= 0 {
		l.more = true
	}
	return room, 0
}

// expire gives up what was tried for too long: 4.4.7 (rfc5321#4.5.4.1). What
// cannot be given up, because its report cannot be made, stays for the next
// time and does not hide the others.
func (m *Manager) expire(now time.Time) {
	stuck := make(map[RecipientID]bool)
	for m.ctx.Err() == nil {
		jobs, err := m.opt.Store.ListExpired(m.ctx, claimLimit+len(stuck), now)
		if err != nil {
			if m.ctx.Err() == nil {
				m.opt.Logger.Error("look for expired mail", "error", err)
			}
			return
		}
		progress := false
		for _, j := range jobs {
			if stuck[j.Recipients[0].ID] {
				continue
			}
			progress = true
			for _, r := range j.Recipients {
				stuck[r.ID] = true
			}
			if !m.giveUp(j, now) {
				continue
			}
			for _, r := range j.Recipients {
				delete(stuck, r.ID)
			}
		}
		if !progress {
			return
		}
	}
}

// giveUp records that a job has expired. It reports whether it is done with.
func (m *Manager) giveUp(j Job, now time.Time) bool {
	rec := &Record{Now: now}
	var fates []Fate
	for _, r := range j.Recipients {
		o := &Outcome{Recipient: r.ID, Kind: Failure, Scope: ScopeRecipient, At: now, Attempt: r.Attempts, Cause: "expired", Status: "4.4.7"}
		if r.Last != nil {
			o.Heard, o.Host, o.Addr, o.TLS, o.Command = r.Last.Heard, r.Last.Host, r.Last.Addr, r.Last.TLS, r.Last.Command
			o.Detail = r.Last.Detail
			if r.Last.Cause != "" {
				o.Detail = r.Last.Cause + ": " + r.Last.Detail
			}
		}
		c := Change{ID: r.ID, Event: Expired, Outcome: o}
		if send, cause := dsn.Decide(j.Message.Basis, j.Message.From, r.Params.Notify, dsn.Failed); send {
			fates = append(fates, Fate{r, o})
		} else {
			c.Suppress = cause
		}
		rec.Changes = append(rec.Changes, c)
	}
	if !m.report(rec, dsn.Failed, &j, fates, now) {
		return false
	}
	if err := m.opt.Store.Record(m.ctx, rec); err != nil {
		m.opt.Logger.Error("record expired mail", "message", j.Message.ID, "error", err)
		return false
	}
	m.log(&job{Job: j}, rec)
	if len(rec.Reports) > 0 {
		m.nudge()
	}
	return true
}

// renew extends the leases of what is still waiting or under way in memory.
func (m *Manager) renew() {
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case now := <-tick.C:
			var ids []RecipientID
			m.mu.Lock()
			for name, l := range m.dests { // forget those that nobody needs
				if l.workers == 0 && len(l.jobs) == 0 && (l.failures == 0 || now.Sub(l.blocked) > forgetFailures) {
					delete(m.dests, name)
				}
			}
			for j := range m.alive {
				if now.Sub(j.since) < leaseTime/4 {
					continue
				}
				for _, r := range j.Recipients {
					ids = append(ids, r.ID)
				}
			}
			m.mu.Unlock()
			if len(ids) == 0 {
				continue
			}
			err := m.opt.Store.Renew(m.ctx, ids, m.lease(now))
			if err != nil && !errors.Is(err, ErrNotFound) && m.ctx.Err() == nil { // some ended meanwhile
				m.opt.Logger.Error("renew leases", "error", err)
			}
		}
	}
}

// Close stops: nothing new is begun, attempts under way may end until ctx does,
// and what was claimed and not begun goes back to the store.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closing = true
	var begun []*job // in lines that no worker will empty
	for _, l := range m.dests {
		if l.workers == 0 {
			begun = append(begun, l.jobs...)
			l.jobs = nil
		}
	}
	m.mu.Unlock()
	m.unclaim(begun, nil)
	m.waitIdle(ctx)
	m.stop()
	m.done.Wait()
	return ctx.Err()
}

// waitIdle returns when nothing is claimed and under way, or ctx has ended.
func (m *Manager) waitIdle(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m.mu.Lock()
		busy := m.workers > 0 || len(m.alive) > 0
		m.mu.Unlock()
		if !busy {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
