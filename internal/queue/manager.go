package queue

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/dsn"
)

// Limits of the Manager.
const (
	// DefaultPerDestination is how many attempts run at once for a destination.
	DefaultPerDestination = 20
	// DefaultWorkers is how many attempts run at once in all.
	DefaultWorkers = 400
	// claimLimit is how many recipients are claimed at once for a destination.
	claimLimit = 200
	// maxDestinations is how many due destinations a pass looks at.
	maxDestinations = 10_000
	// freshMemory is how much content of fresh mail is held for its first
	// attempt, in octets; what comes beyond waits in the store.
	freshMemory = 64 << 20
	// leaseTime is how long a claim holds without being renewed. The final dot
	// alone may take 10 minutes (rfc5321#4.5.3.2.6).
	leaseTime = 15 * time.Minute
	// longestBlock is the longest that a destination is left alone after a
	// failure that concerned all of it.
	longestBlock = 5 * time.Minute
	// idlePass is the longest time between two looks at the store.
	idlePass = time.Minute
	// recordRetry is how often a result is offered to a store that fails.
	recordRetry = 2 * time.Second
)

// Options are what a Manager needs.
type Options struct {
	Store       Store
	Deliverer   Deliverer
	Reporter    *Reporter
	Incarnation int64
	Schedule    Schedule
	// PerDestination and Workers bound the attempts under way; 0 means the
	// default.
	PerDestination int
	Workers        int
	Logger         *slog.Logger
}

// Manager claims what is due, has it delivered and records what it came to.
type Manager struct {
	opt  Options
	ctx  context.Context
	stop context.CancelFunc
	wake chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex // guards what follows
	schedule Schedule
	dests    map[Destination]*line
	workers  int
	starved  []*line // have jobs and no worker, because Workers was reached
	fresh    int64
	closing  bool
	alive    map[*job]struct{}
}

// line is what waits in memory for one destination.
type line struct {
	name    Destination
	jobs    []*job
	workers int
	// more says that the store has more that is due.
	more bool
	// failures counts the failures in a row that concerned the destination as a
	// whole; until blocked it is left alone.
	failures int
	blocked  time.Time
}

// job is a message to be attempted for recipients of one destination.
type job struct {
	Job
	inline []byte
	since  time.Time
}

// NewManager returns a Manager; Start makes it work.
func NewManager(opt Options) *Manager {
	if opt.PerDestination <= 0 {
		opt.PerDestination = DefaultPerDestination
	}
	if opt.Workers <= 0 {
		opt.Workers = DefaultWorkers
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Manager{
		opt: opt, ctx: ctx, stop: stop,
		wake:     make(chan struct{}, 1),
		schedule: opt.Schedule,
		dests:    make(map[Destination]*line),
		alive:    make(map[*job]struct{}),
	}
}

// Start begins to deliver what the store holds. Store.Recover has been called.
func (m *Manager) Start() {
	m.done.Go(m.run)
	m.done.Go(m.renew)
}

// SetSchedule replaces the retry schedule, for what is scheduled from now on.
func (m *Manager) SetSchedule(s Schedule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schedule = s
}

// Wake makes the Manager look at the store now, because something became due.
// Destinations that were left alone are tried again at once.
func (m *Manager) Wake() {
	m.mu.Lock()
	for _, l := range m.dests {
		l.blocked = time.Time{}
	}
	m.mu.Unlock()
	m.nudge()
}

func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Expires returns when a message that arrives now is given up.
func (m *Manager) Expires(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Add(m.schedule.Expire)
}

// Enqueue makes an entry durable and has it attempted at once where there is
// room. It sets the recipients' State, Due and Expires. When it returns nil we
// are responsible for the message (rfc5321#4.2.5).
func (m *Manager) Enqueue(ctx context.Context, e *Entry) error {
	now := time.Now()
	lease := m.lease(now)
	inline, isInline := e.Content.Inline()
	jobs, look := m.admit(e, now, inline, isInline)
	if err := m.opt.Store.Enqueue(ctx, lease, e); err != nil {
		m.forget(jobs)
		return fmt.Errorf("store the message: %w", err)
	}
	m.push(jobs)
	if look {
		m.nudge()
	}
	return nil
}

// admit decides which recipients are attempted at once, and reserves room. look
// says that the store must be looked at for the others: nobody works on their
// destination who would do it anyway.
func (m *Manager) admit(e *Entry, now time.Time, inline []byte, isInline bool) (jobs []*job, look bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	expires := now.Add(m.schedule.Expire)
	for _, r := range e.Recipients {
		r.State, r.Due, r.Expires = Waiting, now, expires
		l := m.line(r.Destination)
		if now.Before(l.blocked) {
			r.Due = l.blocked
			continue
		}
		if !isInline || m.closing || m.fresh > freshMemory || len(l.jobs) >= claimLimit {
			l.more = true
			look = look || l.workers == 0
			continue
		}
		r.State = Claimed
		var j *job
		for _, k := range jobs {
			if k.Recipients[0].Destination == r.Destination {
				j = k
				break
			}
		}
		if j == nil {
			j = &job{Job: Job{Message: e.Message}, inline: inline, since: now}
			jobs = append(jobs, j)
			m.alive[j] = struct{}{}
			m.fresh += int64(len(inline))
		}
		j.Recipients = append(j.Recipients, r)
	}
	return jobs, look
}

// line returns the line of a destination; m.mu is held.
func (m *Manager) line(d Destination) *line {
	l := m.dests[d]
	if l == nil {
		l = &line{name: d}
		m.dests[d] = l
	}
	return l
}

// push puts jobs into their lines and sees that somebody works there.
func (m *Manager) push(jobs []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range jobs {
		l := m.line(j.Recipients[0].Destination)
		l.jobs = append(l.jobs, j)
		switch {
		case l.workers >= m.opt.PerDestination:
		case m.workers < m.opt.Workers:
			m.hire(l)
		case l.workers == 0:
			m.starved = append(m.starved, l)
		}
	}
}

// hire begins a worker for a line; m.mu is held.
func (m *Manager) hire(l *line) {
	l.workers++
	m.workers++
	m.done.Go(func() { m.work(l) })
}

// forget drops jobs that never came to be.
func (m *Manager) forget(jobs []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range jobs {
		m.drop(j)
	}
}

// drop gives back what a job holds; m.mu is held.
func (m *Manager) drop(j *job) {
	if _, ok := m.alive[j]; ok {
		delete(m.alive, j)
		m.fresh -= int64(len(j.inline))
	}
}

// work attempts the jobs of one line until none is left.
func (m *Manager) work(l *line) {
	for {
		j, giveBack := m.next(l)
		if len(giveBack) > 0 {
			m.unclaim(giveBack, l)
		}
		if j == nil {
			return
		}
		m.attempt(l, j)
	}
}

// next takes the next job of a line, or ends the worker. Where the destination
// is to be left alone, all jobs of the line are given back.
func (m *Manager) next(l *line) (j *job, giveBack []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing || time.Now().Before(l.blocked) {
		giveBack, l.jobs = l.jobs, nil
	}
	if len(l.jobs) == 0 {
		l.workers--
		m.workers--
		if l.more {
			l.more = false
			m.nudge()
		}
		if l.workers == 0 && l.failures == 0 {
			delete(m.dests, l.name)
		}
		m.feed()
		return nil, giveBack
	}
	j = l.jobs[0]
	l.jobs[0] = nil
	l.jobs = l.jobs[1:]
	if l.more && len(l.jobs) < claimLimit/4 {
		l.more = false
		m.nudge()
	}
	return j, nil
}

// feed gives a free hand to a line that waits for one; m.mu is held.
func (m *Manager) feed() {
	for len(m.starved) > 0 && m.workers < m.opt.Workers {
		l := m.starved[0]
		m.starved = m.starved[1:]
		if l.workers == 0 && len(l.jobs) > 0 {
			m.hire(l)
		}
	}
}

// unclaim gives jobs back to the store, to be tried when the line is open.
func (m *Manager) unclaim(jobs []*job, l *line) {
	m.mu.Lock()
	due := l.blocked
	for _, j := range jobs {
		m.drop(j)
	}
	m.mu.Unlock()
	var ids []RecipientID
	for _, j := range jobs {
		for _, r := range j.Recipients {
			ids = append(ids, r.ID)
		}
	}
	if due.IsZero() {
		due = time.Now()
	}
	if err := m.opt.Store.Unclaim(context.WithoutCancel(m.ctx), ids, due); err != nil {
		m.opt.Logger.Error("give back claimed recipients; they are tried again when their lease ends", "error", err)
	}
	m.nudge()
}

// attempt has one job delivered and records what it came to.
func (m *Manager) attempt(l *line, j *job) {
	start := time.Now()
	outcomes := m.deliver(l, j)
	now := time.Now()
	for i := range outcomes {
		o, r := &outcomes[i], j.Recipients[i]
		o.Recipient = r.ID
		o.Attempt = r.Attempts + 1
		if o.At.IsZero() {
			o.At = now
		}
		if o.Took == 0 {
			o.Took = now.Sub(start)
		}
	}
	m.note(l, outcomes, now)
	m.record(j, m.compose(j, outcomes, now))
	m.mu.Lock()
	m.drop(j)
	m.mu.Unlock()
}

// deliver calls the Deliverer. A defect there defers the message; it never
// bounces it.
func (m *Manager) deliver(l *line, j *job) (outcomes []Outcome) {
	defer func() {
		if p := recover(); p != nil {
			m.opt.Logger.Error("defect: the delivery panicked", "message", j.Message.ID, "panic", p)
			outcomes = defect(j, fmt.Sprint("panic: ", p))
		}
	}()
	outcomes = m.opt.Deliverer.Deliver(m.ctx, &Attempt{
		Message: j.Message, Recipients: j.Recipients, Destination: l.name, Inline: j.inline,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			return m.opt.Store.OpenContent(ctx, j.Message.ID)
		},
	})
	if len(outcomes) != len(j.Recipients) {
		m.opt.Logger.Error("defect: the delivery returned the wrong number of outcomes", "message", j.Message.ID)
		return defect(j, "wrong number of outcomes")
	}
	return outcomes
}

func defect(j *job, detail string) []Outcome {
	outcomes := make([]Outcome, len(j.Recipients))
	for i := range outcomes {
		outcomes[i] = Outcome{Kind: Trouble, Cause: "local_error", Status: "4.3.0", Detail: detail}
	}
	return outcomes
}

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
	var failed, delayed []Fate
	for i := range outcomes {
		o, r := &outcomes[i], j.Recipients[i]
		c := Change{ID: r.ID, Outcome: o}
		switch o.Kind {
		case Success:
			c.Event = Succeeded
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
	if !m.report(rec, dsn.Failed, j.Message, failed, now) {
		for i := range rec.Changes { // no failure without its report
			if c := &rec.Changes[i]; c.Event == Failed && c.Suppress == "" {
				c.Event = Troubled
				c.Due = schedule.Next(c.Outcome.Attempt, now, now.Add(schedule.Expire), rand.Float64())
			}
		}
	}
	if !m.report(rec, dsn.Delayed, j.Message, delayed, now) {
		for i := range rec.Changes {
			rec.Changes[i].Delayed = false
		}
	}
	return rec
}

// report adds the report about fates to a record. It reports whether that
// succeeded.
func (m *Manager) report(rec *Record, kind dsn.Kind, msg *Message, fates []Fate, now time.Time) bool {
	if len(fates) == 0 {
		return true
	}
	e, err := m.opt.Reporter.Compose(m.ctx, kind, msg, fates, now)
	if err != nil {
		m.opt.Logger.Error("compose a report; the message stays in the queue", "message", msg.ID, "error", err)
		return false
	}
	for _, r := range e.Recipients {
		r.State, r.Due, r.Expires = Waiting, now, m.Expires(now)
	}
	rec.Reports = append(rec.Reports, e)
	return true
}

// record commits. As long as the store fails it is offered again: what was
// delivered and is not recorded would go twice.
func (m *Manager) record(j *job, rec *Record) {
	for {
		err := m.opt.Store.Record(context.WithoutCancel(m.ctx), rec)
		if err == nil {
			break
		}
		m.opt.Logger.Error("record what an attempt came to", "message", j.Message.ID, "error", err)
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(recordRetry):
		}
	}
	m.log(j, rec)
	if len(rec.Reports) > 0 {
		m.nudge()
		return
	}
	for i := range rec.Changes {
		if rec.Changes[i].Event == Troubled {
			m.nudge()
			return
		}
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

func (m *Manager) lease(now time.Time) Lease {
	return Lease{Incarnation: m.opt.Incarnation, Until: now.Add(leaseTime)}
}
