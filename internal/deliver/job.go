package deliver

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
)

// job is an attempt with what has come of it so far.
type job struct {
	a     *queue.Attempt
	start time.Time
	out   []queue.Outcome
	done  []bool
	left  int // recipients without an outcome
}

func newJob(a *queue.Attempt, now time.Time) *job {
	return &job{
		a: a, start: now, out: make([]queue.Outcome, len(a.Recipients)), done: make([]bool, len(a.Recipients)), left: len(a.Recipients),
	}
}

// peer is who a fate is of: the zero peer is nobody.
type peer struct {
	host, addr string
	tls        string
	note       string // what is worth telling even where all went well
}

// settle gives recipient i its outcome. The first fate counts: a recipient that
// was refused stays so, whatever happens to the others.
func (j *job) settle(i int, f *fate, p peer) {
	if j.done[i] {
		return
	}
	j.done[i] = true
	j.left--
	r := j.a.Recipients[i]
	now := time.Now()
	detail := f.detail
	switch {
	case p.note == "":
	case detail == "":
		detail = p.note
	default:
		detail = clip(detail+"; "+p.note, maxDetail)
	}
	j.out[i] = queue.Outcome{
		Recipient: r.ID, Kind: f.kind, Scope: f.scope, At: now, Took: now.Sub(j.start), Attempt: r.Attempts + 1,
		Host: p.host, Addr: p.addr, TLS: p.tls, Command: f.stage.String(),
		Heard: f.heard, Cause: f.cause, Status: f.status, Detail: detail,
		Reports: f.reports && !r.Hidden,
	}
}

// settleAll gives all of those recipients the fate.
func (j *job) settleAll(which []int, f *fate, p peer) {
	for _, i := range which {
		j.settle(i, f, p)
	}
}

// settleRest gives the fate to everyone who has none yet and returns the
// outcomes.
func (j *job) settleRest(f *fate) []queue.Outcome {
	for i := range j.out {
		j.settle(i, f, peer{})
	}
	return j.out
}

// reversePath is that of recipient i (rfc5321#3.9: forwarding may rewrite it).
func (j *job) reversePath(i int) address.Mailbox {
	if r := j.a.Recipients[i]; r.Rewritten {
		return r.ReversePath
	}
	return j.a.Message.From
}

// group is recipients that go into the same transactions: one reverse-path, one
// content.
type group struct {
	from    address.Mailbox
	edits   message.EditList
	members []int
}

// groups puts the recipients together, in their order.
func (j *job) groups() []group {
	all := make([]int, len(j.a.Recipients))
	for i := range all {
		all[i] = i
	}
	var list []group
	for len(all) > 0 {
		first := j.a.Recipients[all[0]]
		g := group{from: j.reversePath(all[0]), edits: message.Combine(j.a.Message.Edits, first.Edits)}
		n := 0
		for _, i := range all {
			if j.reversePath(i) == g.from && slices.Equal(j.a.Recipients[i].Edits, first.Edits) {
				g.members = append(g.members, i)
			} else {
				all[n] = i
				n++
			}
		}
		all = all[:n]
		list = append(list, g)
	}
	return list
}

// open returns those of the group that have no outcome yet.
func (j *job) open(g group) []int {
	var list []int
	for _, i := range g.members {
		if !j.done[i] {
			list = append(list, i)
		}
	}
	return list
}

// lease renews the lease of an attempt that takes long.
type lease struct {
	ctx   context.Context
	renew func(context.Context)
	timer *time.Timer

	mu      sync.Mutex // guards stopped; held while renewing, so that nothing is renewed after stop
	stopped bool
}

// keepLease renews until the function that it returns is called.
func keepLease(ctx context.Context, renew func(context.Context)) (stop func()) {
	if renew == nil {
		return func() {}
	}
	l := &lease{ctx: ctx, renew: renew}
	l.mu.Lock()
	l.timer = time.AfterFunc(renewEvery, l.tick)
	l.mu.Unlock()
	return l.stop
}

func (l *lease) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.renew(l.ctx)
		l.timer.Reset(renewEvery)
	}
}

func (l *lease) stop() {
	l.timer.Stop()
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
}
