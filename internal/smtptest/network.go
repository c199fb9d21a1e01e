// Package smtptest is for tests only: a network in memory, a player of
// conversations written as text, and a server that plays the rest of the
// world.
//
// All of it works inside a testing/synctest bubble, where a real socket would
// hang for ever, and (but for the network) on real sockets as well. Nothing
// here imports the engines that it tests, so that a mistake of theirs is not
// made twice.
package smtptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Network is a network in memory. Its connections have a buffer, deadlines and
// half-close, as those of TCP. Goroutines that wait for them are durably
// blocked in the sense of testing/synctest.
type Network struct {
	mu        sync.Mutex // guards what follows
	listeners map[netip.AddrPort]*listener
	nextPort  uint16
}

// NewNetwork returns a network on which nobody listens.
func NewNetwork() *Network {
	return &Network{listeners: map[netip.AddrPort]*listener{}, nextPort: 40000}
}

// Listen opens a listener at addr, such as "192.0.2.1:25"; port 0 picks a free
// one.
func (n *Network) Listen(addr string) (net.Listener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen in memory: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if ap.Port() == 0 {
		n.nextPort++
		ap = netip.AddrPortFrom(ap.Addr(), n.nextPort)
	}
	if n.listeners[ap] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(ap), Err: errors.New("address already in use")}
	}
	l := &listener{network: n, addr: ap}
	l.ready.L = &l.mu
	n.listeners[ap] = l
	return l, nil
}

// Dial connects to addr from 127.0.0.1. It is fit for a dialer's DialContext.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.DialFrom(ctx, netip.MustParseAddr("127.0.0.1"), addr)
}

// DialFrom connects to addr from a client of the given address. Where nobody
// listens the connection is refused at once.
func (n *Network) DialFrom(ctx context.Context, from netip.Addr, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial in memory: %w", err)
	}
	n.mu.Lock()
	l := n.listeners[ap]
	n.nextPort++
	client := netip.AddrPortFrom(from, n.nextPort)
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(ap), Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	near, far := Pipe(client, ap)
	if !l.offer(far) {
		return nil, refused
	}
	return near, nil
}

// listener hands over connections in the order in which they were dialed.
type listener struct {
	network *Network
	addr    netip.AddrPort

	mu     sync.Mutex // guards what follows
	ready  sync.Cond
	queue  []net.Conn
	closed bool
}

func (l *listener) offer(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, c)
	l.ready.Signal()
	return true
}

func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.ready.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

func (l *listener) Close() error {
	l.network.mu.Lock()
	if l.network.listeners[l.addr] == l {
		delete(l.network.listeners, l.addr)
	}
	l.network.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.queue {
		c.Close()
	}
	l.queue = nil
	l.ready.Broadcast()
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// window is how much one direction of a connection holds before its writer
// has to wait, as a kernel's buffers would.
const window = 256 * 1024

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex // guards what follows
	changed sync.Cond
	buf     []byte
	ended   bool // the writer will write no more
	gone    bool // the reader will read no more
	read    deadline
	written deadline
}

// deadline wakes the stream when its time has come.
type deadline struct {
	timer  *time.Timer
	passed bool
	serial int
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

// set moves d, which is one of the deadlines of s.
func (s *stream) set(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.serial++
	d.passed = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		s.changed.Broadcast()
		return
	}
	serial := d.serial
	d.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.serial == serial {
			d.passed = true
			s.changed.Broadcast()
		}
	})
}

// Conn is one end of a connection in memory.
type Conn struct {
	in, out       *stream
	local, remote netip.AddrPort
}

// Pipe returns the two ends of a connection between two addresses.
func Pipe(client, server netip.AddrPort) (near, far *Conn) {
	up, down := newStream(), newStream()
	return &Conn{in: down, out: up, local: client, remote: server}, &Conn{in: up, out: down, local: server, remote: client}
}

func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Buffered returns how many octets have come and are not read.
func (c *Conn) Buffered() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf)
}

func (c *Conn) Read(p []byte) (int, error) {
	s := c.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, c.fail("read", net.ErrClosed)
		case s.read.passed:
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			if s.buf = s.buf[n:]; len(s.buf) == 0 {
				s.buf = nil
			}
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
}

func (c *Conn) Write(p []byte) (int, error) {
	s := c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for {
		switch {
		case s.ended:
			return n, c.fail("write", net.ErrClosed)
		case s.gone:
			return n, c.fail("write", errors.New("broken pipe"))
		case s.written.passed:
			return n, c.fail("write", os.ErrDeadlineExceeded)
		}
		m := min(len(p)-n, window-len(s.buf))
		s.buf = append(s.buf, p[n:n+m]...)
		if n += m; m > 0 {
			s.changed.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		s.changed.Wait()
	}
}

// CloseWrite says that no more will be written, and leaves reading open.
func (c *Conn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if !c.out.ended {
		c.out.ended = true
		c.out.changed.Broadcast()
	}
	return nil
}

// Close ends both directions. What has been written can still be read.
func (c *Conn) Close() error {
	_ = c.CloseWrite()
	c.SetDeadline(time.Time{}) // leave no timer behind
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.gone = true
	c.in.buf = nil
	c.in.changed.Broadcast()
	return nil
}

// LocalAddr returns this end's address, a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr returns the other end's address, a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	c.out.set(&c.out.written, t)
	return nil
}

// SetReadDeadline sets when reading gives up.
func (c *Conn) SetReadDeadline(t time.Time) error { c.in.set(&c.in.read, t); return nil }

// SetWriteDeadline sets when writing gives up.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.out.set(&c.out.written, t); return nil }
