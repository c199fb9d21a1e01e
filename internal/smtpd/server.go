package smtpd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/transaction"
)

// Server owns listeners and their connections. Its methods are safe for
// concurrent use.
type Server struct {
	handler transaction.Handler
	options atomic.Pointer[Options]
	pool    sync.Pool // of *[largeBuffer]byte

	// life is over when connections must end at once.
	life context.Context
	kill context.CancelFunc

	sessions atomic.Uint64 // that have begun; names them
	refused  atomic.Uint64
	waiting  atomic.Int64 // connections of proxies that owe their header
	guard    *guard
	load     load

	mu        sync.Mutex // guards what follows
	stopping  bool
	listeners map[net.Listener]struct{}
	conns     map[*Conn]netip.Prefix
	each      map[netip.Prefix]int // connections of each client
	nets      map[netip.Prefix]int // connections of each network
	leaving   int                  // of conns, were told to make room
	gone      int                  // of conns, are being closed
	barren    time.Time            // until when it is of no use to look for more of those
	empty     chan struct{}        // closed when stopping and no connection is left
}

// Counts are what a server has done and is doing.
type Counts struct {
	// Open is how many connections there are now.
	Open int
	// Sessions is how many there have been, and Refused how many more were
	// turned away by a limit.
	Sessions, Refused uint64
}

// NewServer returns a Server that asks h. Options that are zero have their
// defaults.
func NewServer(h transaction.Handler, o Options) *Server {
	s := &Server{
		handler:   h,
		listeners: map[net.Listener]struct{}{},
		conns:     map[*Conn]netip.Prefix{},
		each:      map[netip.Prefix]int{},
		nets:      map[netip.Prefix]int{},
		guard:     newGuard(),
		empty:     make(chan struct{}),
	}
	s.pool.New = func() any { return new([largeBuffer]byte) }
	s.life, s.kill = context.WithCancel(context.Background())
	s.SetOptions(o)
	return s
}

// SetOptions changes the options for sessions that begin from now on; limits of
// connections hold at once, and close none.
func (s *Server) SetOptions(o Options) { s.options.Store(o.withDefaults()) }

// Counts returns the present figures.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{Open: len(s.conns) - s.gone, Sessions: s.sessions.Load(), Refused: s.refused.Load()}
}

// Serve accepts connections of a profile from ln until ctx is over, ln is
// closed or the server shuts down, and then returns nil; or until ln fails.
// Several listeners may be served at a time. ln is closed when Serve returns;
// connections go on.
func (s *Server) Serve(ctx context.Context, ln net.Listener, p Profile) error {
	defer ln.Close()
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return nil
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ln)
	}()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	var wait time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			if len(p.Proxies) > 0 {
				s.acceptProxied(nc, p)
			} else {
				s.accept(nc, p)
			}
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return nil
		case passing(err):
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.options.Load().Log.Warn("cannot accept a connection; trying again", "listener", ln.Addr().String(), "error", err, "wait", wait)
			if !pause(ctx, s.life, wait) {
				return nil
			}
		default:
			return err
		}
	}
}

// passing reports whether accepting may work again: a client that went away,
// or too few file descriptors or buffers at the moment.
func passing(err error) bool {
	for _, e := range []error{
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits; it reports false if one of the contexts ended first.
func pause(ctx, life context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-life.Done():
	}
	return false
}

// ServeConn serves one connection that somebody else has accepted, within the
// same limits, and returns when it has ended.
func (s *Server) ServeConn(nc net.Conn, p Profile) {
	if c := s.admit(nc, p); c != nil {
		s.run(c)
	}
}

// accept starts the session of a connection, or turns it away.
func (s *Server) accept(nc net.Conn, p Profile) {
	if c := s.admit(nc, p); c != nil {
		go s.run(c)
	}
}

func (s *Server) run(c *Conn) {
	defer s.ended(c)
	c.serve(s.life)
}

// admit registers a connection, if the limits allow one more.
func (s *Server) admit(nc net.Conn, p Profile) *Conn {
	o := s.options.Load()
	remote, local := addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	client := network(remote.Addr())
	peer := &transaction.Peer{Service: p.Service, Remote: remote, Local: local}
	known := !client.IsValid() || contains(o.Known, remote.Addr())
	at := place{client, p.Login}
	now := time.Now()
	no := s.unwelcome(o, at, known, now)
	s.mu.Lock()
	switch {
	case s.stopping:
		no = reply.ShuttingDown(o.Hostname)
	case !no.IsZero():
	case client.IsValid() && s.each[client] >= o.MaxPerAddress:
		no = reply.TooManyFromAddress(o.Hostname)
	case client.IsValid() && s.nets[wider(client)] >= o.MaxPerNetwork && !known:
		no = reply.TooManyFromNetwork(o.Hostname)
	case !known && s.open() >= o.MaxConnections/reserve*(reserve-1) && s.guard.loiterer(client, now):
		no = reply.TooManyConnections(o.Hostname)
	case s.open() >= o.MaxConnections && !s.makeRoom(o, known, now):
		no = reply.TooManyConnections(o.Hostname)
	default:
		peer.Session = strconv.FormatUint(s.sessions.Add(1), 36)
		c := newConn(nc, o, p, s.handler, peer, &s.pool)
		c.known = known
		c.session.load = &s.load
		c.session.sent = func() { s.guard.sent(client) }
		c.left = func() { s.leave(c) }
		if !known {
			c.strike = func(why string) { s.guard.strike(at, why, o.BlockTime, time.Now()) }
			c.session.pace = func() time.Duration { return s.guard.mail(at, o.MailRate, time.Now()) }
			if o.GreetPause > 0 && s.guard.stranger(client, now) {
				c.pause = o.GreetPause
			}
		}
		s.conns[c] = client
		if client.IsValid() {
			s.each[client]++
			s.nets[wider(client)]++
		}
		s.mu.Unlock()
		return c
	}
	s.mu.Unlock()
	s.turnAway(nc, p, no)
	return nil
}

// Blocks lists the addresses that are refused now because sessions of them ended
// in errors, those last refused first.
func (s *Server) Blocks() []Block { return s.guard.blocks(time.Now()) }

// Unblock lets an address in again, by its network as Blocks names it. It reports
// whether it was refused.
func (s *Server) Unblock(network netip.Prefix) bool { return s.guard.unblock(network, time.Now()) }

// open is how many connections count; s.mu is held.
func (s *Server) open() int { return len(s.conns) - s.leaving - s.gone }

// unwelcome refuses a client for what it did before.
func (s *Server) unwelcome(o *Options, at place, known bool, now time.Time) reply.Reply {
	if known {
		return reply.Reply{}
	}
	if wait := s.guard.blockedFor(at, now); wait > 0 {
		return reply.AddressBlocked(o.Hostname, wait)
	}
	if wait := s.guard.connect(at, o.ConnectRate, now); wait > 0 {
		return reply.ConnectingTooOften(o.Hostname, wait)
	}
	return reply.Reply{}
}

// How room is made when the server is full.
const (
	// shedIdle is how long a stranger may keep still while others wait.
	shedIdle = 5 * time.Second
	// shedForKnown is the same where somebody known waits.
	shedForKnown = time.Second
	// shedMute is the same for one that has not said a word.
	shedMute = 2 * time.Second
	// barrenTime is how long nobody is looked for after nobody was found.
	barrenTime = 100 * time.Millisecond
	// shedAtOnce is how many are sent away at a time, so that they are not looked
	// for again at once.
	shedAtOnce = 32
	// reserve is the part of all connections that is not for clients who kept
	// still lately: a tenth.
	reserve = 10
)

// makeRoom tells strangers that keep still to go, and reports whether there is
// room now. Who has logged in, and who is known, stays; so does everybody whose
// turn is ours. A client that was told to go is not worth another's place for a
// while: whoever holds many connections gets each of them once. For somebody known a stranger need not even have kept still.
// s.mu is held.
func (s *Server) makeRoom(o *Options, known bool, now time.Time) bool {
	if s.leaving >= max(o.MaxConnections/4, shedAtOnce) {
		return false // those who were told are still here
	}
	idle, mute := shedIdle, shedMute
	if known {
		idle, mute = shedForKnown, shedForKnown
	} else if now.Before(s.barren) {
		return false
	}
	found := 0
	for c := range s.conns {
		if c.counted || c.known || c.shed.Load() || !c.waiting.Load() || c.loggedIn.Load() != nil {
			continue
		}
		still := idle
		if !c.spoke.Load() {
			still = mute
		}
		if now.UnixNano()-c.moved.Load() < int64(still) {
			continue
		}
		c.evict()
		s.guard.loiters(s.conns[c], now)
		s.leaving++
		if found++; found == shedAtOnce {
			break
		}
	}
	if found == 0 && !known {
		s.barren = now.Add(barrenTime)
	}
	return found > 0
}

// EndLogins ends the connections that have logged in as an account, with one
// credential or, if that is "", with any; what is on its way in is given up. It
// returns how many there were.
func (s *Server) EndLogins(login, credential string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if id := c.loggedIn.Load(); id != nil && id.Login == login && (credential == "" || id.Credential == credential) {
			c.endLogin()
			n++
		}
	}
	return n
}

// load counts the messages that are on their way in.
type load struct{ contents atomic.Int64 }

func (l *load) enter(most int) bool {
	if l.contents.Add(1) > int64(most) {
		l.contents.Add(-1)
		return false
	}
	return true
}

func (l *load) leave() { l.contents.Add(-1) }

// turnAway says no and closes, without a goroutine: the few octets find room
// in the socket's buffer. A client that expects TLS could not read them.
func (s *Server) turnAway(nc net.Conn, p Profile, no reply.Reply) {
	s.refused.Add(1)
	if !p.ImplicitTLS {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = nc.Write(no.Append(nil))
	}
	nc.Close()
}

// leave takes a connection off the books: it counts no more, but is still there.
func (s *Server) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client, ok := s.conns[c]
	if !ok || c.counted {
		return
	}
	c.counted = true
	if c.shed.Load() {
		s.leaving--
	}
	s.gone++
	if client.IsValid() {
		less(s.each, client)
		less(s.nets, wider(client))
	}
}

// ended forgets a connection that is closed.
func (s *Server) ended(c *Conn) {
	s.leave(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.gone--
	if s.stopping && len(s.conns) == 0 {
		s.closeEmpty()
	}
}

// closeEmpty closes empty once; s.mu is held.
func (s *Server) closeEmpty() {
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// Shutdown stops accepting, tells idle clients 421, and lets transactions that
// are open come to their end until ctx is over; what is left is then cut off.
// It returns nil if every session ended by itself, otherwise ctx's error. The
// server cannot be used again. A handler that does not heed its context is
// waited for some seconds longer.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.drain()
	}
	if len(s.conns) == 0 {
		s.closeEmpty()
	}
	s.mu.Unlock()
	defer s.kill()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
	}
	s.kill()
	s.mu.Lock()
	for c := range s.conns {
		c.raw.Close()
	}
	s.mu.Unlock()
	select {
	case <-s.empty:
	case <-time.After(lastWords): // a handler that does not heed its context
	}
	return ctx.Err()
}

// addrPort returns the address of a, or the zero value if it is none of IP.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// network returns what counts as one client: an IPv4 address, or the /64 that
// an IPv6 client usually has to itself.
func network(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// wider returns the network that a client is counted with: an IPv4 /24, or the
// /48 that an IPv6 site usually has.
func wider(client netip.Prefix) netip.Prefix {
	bits := 24
	if client.Addr().Is6() {
		bits = 48
	}
	return netip.PrefixFrom(client.Addr(), bits).Masked()
}

// less counts one down.
func less(m map[netip.Prefix]int, p netip.Prefix) {
	if m[p]--; m[p] <= 0 {
		delete(m, p)
	}
}
