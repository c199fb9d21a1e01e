package queue

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
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
	// freshMemory is how much fresh mail is held in memory for its first
	// attempt, in octets; what comes beyond waits in the store.
	freshMemory = 64 << 20
	// jobMemory is what a job takes besides content, in octets; rather more
	// than less.
	jobMemory = 2 << 10
	// leaseTime is how long a claim holds without being renewed. The final dot
	// alone may take 10 minutes (rfc5321#4.5.3.2.6).
	leaseTime = 15 * time.Minute
	// longestBlock is the longest that a destination is left alone after a
	// failure that concerned all of it.
	longestBlock = 5 * time.Minute
	// forgetFailures is how long it is remembered that a destination failed;
	// longer than the longest usual delay of a retry.
	forgetFailures = 6 * time.Hour
	// idlePass is the longest time between two looks at the store.
	idlePass = time.Minute
	// shortPass is the shortest time between two of them that nobody asked for.
	shortPass = 20 * time.Millisecond
	// sweepPass is the shortest time between two looks for what has expired.
	sweepPass = time.Second
	// starvedLimit is how many recipients are claimed for a destination that
	// must wait for a hand.
	starvedLimit = 10
	// maxStarved is how many destinations of the store wait so; the others wait
	// there.
	maxStarved = 1000
	// recordRetry is how often a result is offered to a store that fails.
	recordRetry = 2 * time.Second
	// recordTries is how often a failure is offered together with its report;
	// after that the message is tried again later.
	recordTries = 5
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
	probes   int     // workers that try a destination which failed before
	starved  []*line // have jobs and too few workers, because Workers was reached
	hungry   bool    // destinations in the store were passed over: no hands
	fresh    int64
	closing  bool
	alive    map[*job]struct{} // claimed, and not recorded or given back
	nextPass time.Time         // when the store is looked at next at the latest
}

// line is what waits in memory for one destination.
type line struct {
	name     Destination
	jobs     []*job
	workers  int
	probing  bool // its worker counts among Manager.probes
	starving bool // it is in Manager.starved
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
	weight int64 // its part of Manager.fresh
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

// wakeBy sees that the store is looked at when something becomes due.
func (m *Manager) wakeBy(due time.Time) {
	m.mu.Lock()
	early := due.Before(m.nextPass)
	m.mu.Unlock()
	if early {
		m.nudge()
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
	jobs, left := m.admit(e, now)
	if err := m.opt.Store.Enqueue(ctx, m.lease(now), e); err != nil {
		m.forget(jobs)
		return fmt.Errorf("store the message: %w", err)
	}
	m.push(jobs)
	if len(left) > 0 {
		m.fetch(left)
	}
	return nil
}

// admit decides which recipients are attempted at once, and reserves room. left
// are those that wait in the store.
func (m *Manager) admit(e *Entry, now time.Time) (jobs []*job, left []*Recipient) {
	inline, isInline := e.Content.Inline()
	m.mu.Lock()
	defer m.mu.Unlock()
	expires := now.Add(m.schedule.Expire)
	open := isInline && !m.closing
	var last map[Destination]*job // to which recipients of a destination are added
	for _, r := range e.Recipients {
		r.State, r.Due, r.Expires = Waiting, now, expires
		l := m.dests[r.Destination]
		switch {
		case l != nil && now.Before(l.blocked):
			r.Due = l.blocked
			fallthrough
		case !open, l != nil && (l.failures > 0 || len(l.jobs) >= claimLimit):
			left = append(left, r)
			continue
		}
		j := last[r.Destination]
		if j == nil || len(j.Recipients) == claimLimit {
			if m.fresh > freshMemory || j != nil {
				left = append(left, r)
				continue
			}
			j = &job{Job: Job{Message: e.Message}, inline: inline, since: now, weight: int64(len(inline)) + jobMemory}
			jobs = append(jobs, j)
			m.alive[j] = struct{}{}
			m.fresh += j.weight
			if len(e.Recipients) > 1 {
				if last == nil {
					last = make(map[Destination]*job)
				}
				last[r.Destination] = j
			}
		}
		r.State = Claimed
		j.Recipients = append(j.Recipients, r)
	}
	return jobs, left
}

// fetch sees that somebody will look at the store for recipients that were left
// there: a worker of their destination when it has nothing else to do, or run.
// It comes after the commit: a look before it finds nothing.
func (m *Manager) fetch(left []*Recipient) {
	m.mu.Lock()
	look := false
	for _, r := range left {
		if l := m.dests[r.Destination]; l != nil && l.workers > 0 {
			l.more = true
		} else if r.Due.Before(m.nextPass) {
			look = true
		}
	}
	m.mu.Unlock()
	if look {
		m.nudge()
	}
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
	if m.closing {
		m.mu.Unlock()
		m.unclaim(jobs, nil)
		return
	}
	defer m.mu.Unlock()
	for _, j := range jobs {
		l := m.line(j.Recipients[0].Destination)
		l.jobs = append(l.jobs, j)
		switch {
		case l.workers >= m.opt.PerDestination:
		case m.workers < m.opt.Workers:
			m.hire(l)
		default:
			m.starve(l)
		}
	}
}

// hire begins a worker for a line; m.mu is held.
func (m *Manager) hire(l *line) {
	l.workers++
	m.workers++
	if l.failures > 0 && !l.probing {
		l.probing = true
		m.probes++
	}
	m.done.Go(func() { m.work(l) })
}

// dismiss ends a worker of a line; m.mu is held.
func (m *Manager) dismiss(l *line) {
	l.workers--
	m.workers--
	if l.workers == 0 && l.probing {
		l.probing = false
		m.probes--
	}
}

// starve makes a line wait for a hand; m.mu is held.
func (m *Manager) starve(l *line) {
	if !l.starving {
		l.starving = true
		m.starved = append(m.starved, l)
	}
}

// feed gives free hands to lines that wait for one, in turn; m.mu is held.
func (m *Manager) feed() {
	for len(m.starved) > 0 && m.workers < m.opt.Workers {
		l := m.starved[0]
		m.starved[0] = nil
		m.starved = m.starved[1:]
		l.starving = false
		if len(l.jobs) == 0 || l.workers >= m.opt.PerDestination {
			continue
		}
		m.hire(l)
		if l.workers < min(len(l.jobs), m.opt.PerDestination) {
			m.starve(l)
		}
	}
	if m.hungry && len(m.starved) <= maxStarved/2 {
		m.hungry = false
		m.nudge()
	}
}

// forget drops jobs that never came to be, or are over.
func (m *Manager) forget(jobs []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range jobs {
		if _, ok := m.alive[j]; ok {
			delete(m.alive, j)
			m.fresh -= j.weight
		}
	}
}

// work attempts the jobs of one line until none is left, or another line needs
// the hand.
func (m *Manager) work(l *line) {
	for attempted := false; ; attempted = true {
		j, giveBack := m.next(l, attempted)
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
// is to be left alone, all jobs of the line are given back. Where others wait
// for a hand, a worker that has made an attempt makes way for them, or a few
// slow destinations would keep all hands for ever.
func (m *Manager) next(l *line, attempted bool) (j *job, giveBack []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing || time.Now().Before(l.blocked) {
		giveBack, l.jobs = l.jobs, nil
	}
	if len(l.jobs) > 0 && (!attempted || len(m.starved) == 0) {
		j = l.jobs[0]
		l.jobs[0] = nil
		l.jobs = l.jobs[1:]
		if l.more && len(l.jobs) < claimLimit/4 {
			l.more = false
			m.nudge()
		}
		return j, nil
	}
	m.dismiss(l)
	if len(l.jobs) > 0 {
		m.starve(l)
	} else {
		if l.more {
			l.more = false
			m.nudge()
		}
		if l.workers == 0 && l.failures == 0 {
			delete(m.dests, l.name)
		}
	}
	m.feed()
	return nil, giveBack
}

// unclaim gives jobs back to the store, to be tried when their line is open.
func (m *Manager) unclaim(jobs []*job, l *line) {
	if len(jobs) == 0 {
		return
	}
	due := time.Now()
	if l != nil {
		m.mu.Lock()
		if l.blocked.After(due) {
			due = l.blocked
		}
		m.mu.Unlock()
	}
	var ids []RecipientID
	for _, j := range jobs {
		for _, r := range j.Recipients {
			ids = append(ids, r.ID)
		}
	}
	if err := m.opt.Store.Unclaim(context.WithoutCancel(m.ctx), ids, due); err != nil {
		m.opt.Logger.Error("give back claimed recipients; they are tried again when their lease ends", "error", err)
	}
	m.forget(jobs)
	m.wakeBy(due)
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
	m.forget([]*job{j})
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

func (m *Manager) lease(now time.Time) Lease {
	return Lease{Incarnation: m.opt.Incarnation, Until: now.Add(leaseTime)}
}
