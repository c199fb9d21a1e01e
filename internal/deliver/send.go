package deliver

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// sessionCache is how many TLS sessions are kept for resumption.
const sessionCache = 256

// tlsConfigs makes the two configurations that handshakes begin with: one that
// checks certificates, one that takes any.
func tlsConfigs(base *tls.Config) (verified, anyone *tls.Config) {
	if base == nil {
		base = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	verified, anyone = base.Clone(), base.Clone()
	anyone.InsecureSkipVerify = true // rfc7435: opportunistic, see TLSMode
	verified.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCache)
	anyone.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCache)
	return verified, anyone
}

// send delivers to the hosts of the destination.
func (d *Deliverer) send(ctx context.Context, j *job) {
	for _, g := range j.groups() {
		f, p := d.sendGroup(ctx, j, &g)
		if f == nil {
			continue
		}
		j.settleAll(g.members, f, p)
		if f.scope == queue.ScopeDestination || ctx.Err() != nil {
			// The others of this attempt would meet the same.
			for i := range j.out {
				j.settle(i, f, p)
			}
			return
		}
	}
}

// sendGroup tries one hop after the other (rfc5321#5.1) until everybody has an
// outcome, or nobody is left who could do better. The fate is for those without
// an outcome, nil if there are none.
func (d *Deliverer) sendGroup(ctx context.Context, j *job, g *group) (*fate, peer) {
	var worst *fate
	var who peer
	take := func(f *fate, p peer) {
		if w := graver(worst, f); w != worst {
			worst, who = w, p
		}
	}
	left := d.opt.Limits.Addresses
	for way := d.way(j.a.Destination, j.a.Message.Params.RequireTLS); left > 0; {
		hops, f := way.next(ctx)
		if f != nil {
			take(f, peer{})
		}
		if len(hops) == 0 {
			break
		}
		d.warmFirst(hops)
		for _, h := range hops {
			if left == 0 {
				break
			}
			left--
			f, p := d.tryHop(ctx, j, g, h)
			if f == nil {
				return nil, peer{}
			}
			take(f, p)
			if !f.elsewhere {
				return f, p
			}
		}
	}
	if worst == nil {
		worst = defect(fmt.Errorf("no host of %s was tried", j.a.Destination))
	}
	return worst, who
}

// warmFirst moves hops with an idle connection to the front: they are equals
// otherwise.
func (d *Deliverer) warmFirst(hops []hop) {
	if len(hops) < 2 {
		return
	}
	slices.SortStableFunc(hops, func(a, b hop) int {
		wa, wb := d.pool.warm(a.key), d.pool.warm(b.key)
		switch {
		case wa == wb:
			return 0
		case wa:
			return -1
		}
		return 1
	})
}

// tryHop delivers to one hop. A kept connection that turns out to be dead before
// it has answered anything does not count: a fresh one is opened.
func (d *Deliverer) tryHop(ctx context.Context, j *job, g *group, h hop) (*fate, peer) {
	for stales := 0; ; stales++ {
		c, err := d.pool.get(ctx, h.key)
		if err != nil {
			return interrupted(stageConnect, err), peer{}
		}
		if c == nil {
			var p peer
			var f *fate
			if c, p, f = d.openPlaced(ctx, h); f != nil {
				return f, p
			}
		}
		kept := c.used > 0
		f, stale := d.transact(ctx, c, j, g)
		p := c.peer
		if kept && stale && stales < maxStale {
			d.pool.stale(h.key)
			continue
		}
		return f, p
	}
}

// openPlaced opens a connection in a place of the pool that has been taken, and
// gives the place back if that fails, also by a defect.
func (d *Deliverer) openPlaced(ctx context.Context, h hop) (c *client, p peer, f *fate) {
	defer func() {
		if c == nil {
			d.pool.free(h.key)
		}
	}()
	return d.connect(ctx, h)
}

// transact carries out transactions on c until everybody of the group has an
// outcome, and gives c back. The fate is for those who have none. stale says
// that c was dead before it answered anything, and nothing has happened.
func (d *Deliverer) transact(ctx context.Context, c *client, j *job, g *group) (f *fate, stale bool) {
	usable := false
	stop := c.watch(ctx)
	defer func() {
		usable = stop() && usable && c.rd.Buffered() == 0
		c.since = time.Now()
		d.pool.put(c, usable)
	}()
	s, ok := d.scratch.Get().(*scratch)
	if !ok {
		s = new(scratch)
	}
	defer d.scratch.Put(s)
	for first := true; ; first = false {
		members := j.open(*g)
		if len(members) == 0 {
			return nil, false
		}
		most := d.opt.Limits.Recipients
		if c.ext.rcptMax > 0 { // rfc9422#4.2
			most = min(most, c.ext.rcptMax)
		}
		members = members[:min(len(members), most)]
		x := transaction{d: d, c: c, j: j, g: g, members: members, scratch: s}
		usable = true
		if f, x.members = x.check(ctx); f != nil {
			return f, false
		}
		if len(x.members) == 0 {
			continue
		}
		usable = false // until we know better: a defect may strike
		f = x.carryOut(ctx)
		if usable = f == nil || !f.lost; f != nil {
			return f, first && f.lost && !x.answered && ctx.Err() == nil
		}
	}
}
