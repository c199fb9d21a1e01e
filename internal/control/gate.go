package control

import (
	"net"
	"sync"
)

// gate is a listener that bounds how many connections are open at one time and
// notes who is at the other end of each.
type gate struct {
	net.Listener
	slots chan struct{}
	each  int // of one user; 0: as many as there are

	mu   sync.Mutex
	open map[int]int // by uid
}

func newGate(l net.Listener, each int) *gate {
	return &gate{Listener: l, slots: make(chan struct{}, maxConnections), each: each, open: make(map[int]int)}
}

// enter counts one more connection of a user, if he may have it.
func (g *gate) enter(uid int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.each > 0 && g.open[uid] >= g.each {
		return false
	}
	g.open[uid]++
	return true
}

func (g *gate) leave(uid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[uid]--; g.open[uid] <= 0 {
		delete(g.open, uid)
	}
}

// Accept waits for a free place and then for a connection, which is a *peer. A user
// who has too many already is hung up on.
func (g *gate) Accept() (net.Conn, error) {
	g.slots <- struct{}{}
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			<-g.slots
			return nil, err
		}
		uid, err := peerUID(c)
		if !g.enter(uid) {
			c.Close() //nolint:errcheck // nothing was said
			continue
		}
		return &peer{Conn: c, uid: uid, err: err, free: sync.OnceFunc(func() { g.leave(uid); <-g.slots })}, nil
	}
}

// peer is a connection and the user that made it.
type peer struct {
	net.Conn
	uid  int
	err  error // of asking for uid
	free func()
}

func (p *peer) Close() error {
	defer p.free()
	return p.Conn.Close()
}
