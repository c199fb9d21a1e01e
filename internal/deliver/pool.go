package deliver

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pool keeps connections for further mail and bounds their number per hop.
//
// A connection has one owner at a time: the attempt that got it, or the pool.
// Whoever got one gives it back with put; whoever was told to open one takes its
// place with opened or gives the place back with free.
type pool struct {
	limits Limits
	quit   time.Duration

	mu      sync.Mutex // guards what follows
	sites   map[hopKey]*site
	closed  bool
	leaving sync.WaitGroup // connections that are saying QUIT
}

// site is what is known of one hop: it exists while it has connections.
type site struct {
	idle    []*client // the one used last is at the end
	taken   int       // places taken: idle, in use, being opened
	waiting []chan *client
}

func newPool(l Limits, quit time.Duration) *pool {
	return &pool{limits: l, quit: quit, sites: make(map[hopKey]*site)}
}

// get returns an idle connection, or nil and then the caller has a place and
// opens one. Where all places are taken it waits for one. The error is the cause
// of ctx.
func (p *pool) get(ctx context.Context, key hopKey) (*client, error) {
	p.mu.Lock()
	s := p.sites[key]
	if s == nil {
		s = &site{}
		p.sites[key] = s
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		c.timer.Stop()
		p.mu.Unlock()
		return c, nil
	}
	if s.taken < p.limits.Connections {
		s.taken++
		p.mu.Unlock()
		return nil, nil
	}
	turn := make(chan *client, 1)
	s.waiting = append(s.waiting, turn)
	p.mu.Unlock()
	select {
	case c := <-turn:
		return c, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(s.waiting, turn)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // our turn came meanwhile: pass it on
		if c := <-turn; c != nil {
			p.put(c, true)
		} else {
			p.free(key)
		}
	}
	return nil, context.Cause(ctx)
}

// warm reports whether an idle connection of the hop is there.
func (p *pool) warm(key hopKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sites[key]
	return s != nil && len(s.idle) > 0
}

// put gives a connection back; usable says that the dialogue is in step.
func (p *pool) put(c *client, usable bool) {
	p.mu.Lock()
	s := p.sites[c.hop.key]
	if !usable || p.closed || c.used >= p.limits.Messages {
		p.mu.Unlock()
		p.leave(c, usable)
		p.free(c.hop.key)
		return
	}
	if len(s.waiting) > 0 {
		turn := s.waiting[0]
		s.waiting = s.waiting[1:]
		turn <- c
		p.mu.Unlock()
		return
	}
	s.idle = append(s.idle, c)
	if c.timer == nil {
		c.timer = time.AfterFunc(p.limits.Idle, func() { p.expire(c) })
	} else {
		c.timer.Reset(p.limits.Idle)
	}
	p.mu.Unlock()
}

// free gives a place back, to the next who waits for one.
func (p *pool) free(key hopKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sites[key]
	if len(s.waiting) > 0 {
		turn := s.waiting[0]
		s.waiting = s.waiting[1:]
		turn <- nil
		return
	}
	if s.taken--; s.taken == 0 {
		delete(p.sites, key)
	}
}

// stale drops the idle connections of a hop, after one of them turned out to be
// dead: its neighbours are as old.
func (p *pool) stale(key hopKey) {
	p.mu.Lock()
	var dead []*client
	if s := p.sites[key]; s != nil {
		dead, s.idle = s.idle, nil
	}
	p.mu.Unlock()
	for _, c := range dead {
		c.timer.Stop()
		c.close()
		p.free(key)
	}
}

// expire ends a connection that has been idle long enough, unless somebody has
// just taken it.
func (p *pool) expire(c *client) {
	p.mu.Lock()
	s := p.sites[c.hop.key]
	i := -1
	if s != nil {
		i = slices.Index(s.idle, c)
	}
	if i < 0 || time.Since(c.since) < p.limits.Idle {
		p.mu.Unlock()
		return
	}
	s.idle = slices.Delete(s.idle, i, i+1)
	p.mu.Unlock()
	p.leave(c, true)
	p.free(c.hop.key)
}

// leave ends a connection; polite says that the other side can still be told
// (rfc5321#4.1.1.10). It does not wait.
func (p *pool) leave(c *client, polite bool) {
	if c.timer != nil {
		c.timer.Stop()
	}
	if !polite {
		c.close()
		return
	}
	p.leaving.Go(func() { c.quit(p.quit) })
}

// close ends all idle connections and waits until they have taken leave.
// Connections in use end when they are given back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var idle []*client
	for _, s := range p.sites {
		idle = append(idle, s.idle...)
		s.idle = nil
	}
	p.mu.Unlock()
	for _, c := range idle {
		p.leave(c, true)
		p.free(c.hop.key)
	}
	p.leaving.Wait()
}
