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
}

func newGate(l net.Listener) *gate { return &gate{l, make(chan struct{}, maxConnections)} }

// Accept waits for a free place and then for a connection, which is a *peer.
func (g *gate) Accept() (net.Conn, error) {
	g.slots <- struct{}{}
	c, err := g.Listener.Accept()
	if err != nil {
		<-g.slots
		return nil, err
	}
	p := &peer{Conn: c, free: sync.OnceFunc(func() { <-g.slots })}
	p.uid, p.err = peerUID(c)
	return p, nil
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
