package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// Sizes of buffers, in octets. A connection that waits for a command holds the
// small one only.
const (
	smallBuffer = 2 * 1024
	largeBuffer = 32 * 1024 // more than the longest line and than a full window of most senders
	// maxIgnored is how much of a line that is too long is thrown away before
	// the connection is closed.
	maxIgnored = 1 << 20
	// flushAt is when replies are sent although more commands wait to be read.
	flushAt = 4 * 1024
	// keepOut is how much of the memory for replies is kept.
	keepOut = 1024
	// slack is by how much a deadline may come late, so that it is moved
	// seldom. It never comes early.
	slack = time.Second
	// lingerTime and lingerMost bound how long we listen to a client that has
	// been told that we close.
	lingerTime = time.Second
	lingerMost = 256 * 1024
	// lastWords is how long we try to say why we close.
	lastWords = 10 * time.Second
)

// Conn is the socket of one session: it reads within limits and deadlines what
// the Session asks for, and sends its replies. One goroutine owns it.
type Conn struct {
	options *Options
	profile Profile
	session *Session
	peer    *transaction.Peer

	raw  net.Conn // as it was accepted
	conn net.Conn // raw, or TLS over it

	buf        []byte             // small or large
	start, end int                // what has been read and not used
	large      *[largeBuffer]byte // from the pool, or nil
	pool       *sync.Pool
	small      [smallBuffer]byte

	out      []byte    // replies that wait to be sent
	deadline time.Time // as it is set on conn; zero if unknown
	chunked  time.Time // when all chunks of the content must be there; zero if there are none

	draining atomic.Bool // the server stops: close when idle
	shed     atomic.Bool // the server is full: close
	ended    atomic.Bool // the login has ended: close
	waiting  atomic.Bool // for the client
	loggedIn atomic.Pointer[transaction.Identity]
	spoke    atomic.Bool      // a line has come
	moved    atomic.Int64     // when the client last got ahead, in Unix nanoseconds
	gained   int              // octets of content since then
	pause    time.Duration    // before the greeting
	known    bool             // no stranger
	strike   func(why string) // the session ended because of the client's errors; nil: nobody remembers
	counted  bool             // left has been called; guarded by the server's mu
	left     func()           // the connection is about to be closed; nil: nobody counts
}

// Why reading ends.
var (
	errPeerGone = errors.New("the client has closed the connection")
	errTimeout  = errors.New("the client was silent for too long")
	errDrained  = errors.New("the server stops")
	errShed     = errors.New("the server needs the connection for others")
	errEnded    = errors.New("the login has ended")
)

func newConn(nc net.Conn, o *Options, p Profile, h transaction.Handler, peer *transaction.Peer, pool *sync.Pool) *Conn {
	c := &Conn{options: o, profile: p, peer: peer, raw: nc, conn: nc, pool: pool}
	c.session = newSession(o, p, h, peer)
	c.moved.Store(time.Now().UnixNano())
	c.buf = c.small[:]
	return c
}

// serve holds the session from greeting to end.
func (c *Conn) serve(ctx context.Context) {
	defer c.finish()
	defer func() {
		if p := recover(); p != nil {
			c.defect(p)
		}
	}()
	if c.profile.ImplicitTLS {
		t, ok := c.handshake()
		if !ok {
			return
		}
		c.peer.TLS = &t
	}
	next, err := c.open(ctx)
	if err != nil {
		return
	}
	for {
		for _, r := range next.Replies {
			c.write(r)
		}
		var err error
		switch next.Do {
		case ReadCommand, ReadAuth:
			next, err = c.readLine(ctx, next.MaxLine)
		case ReadContent:
			next, err = c.readContent(ctx)
		case ReadChunk:
			next, err = c.readChunk(ctx, next.Octets)
		case StartTLS:
			next, err = c.startTLS()
		case Close:
			if c.session.struck != "" && c.strike != nil {
				c.strike(c.session.struck) // before the client can be back
			}
			quit := len(next.Replies) == 1 && next.Replies[0].Code() == 221
			c.lastFlush()
			if !quit {
				c.shrink()
				c.session.PeerGone()
				if !c.shed.Load() {
					c.linger()
				}
			}
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, errTimeout):
			next = c.session.Timeout()
		case errors.Is(err, errShed):
			next = c.session.MakingRoom()
		case errors.Is(err, errEnded):
			next = c.session.LoginEnded()
		case errors.Is(err, errDrained):
			next = c.session.ShuttingDown()
		default:
			return
		}
	}
}

// defect ends a session whose handler has panicked; the process lives on. The
// client may try again: a bug never bounces mail.
func (c *Conn) defect(p any) {
	c.options.Log.Error("defect: a session ended in a panic",
		"session", c.peer.Session, "panic", p, "stack", string(debug.Stack()))
	for _, r := range c.session.Defect().Replies {
		c.write(r)
	}
	c.lastFlush()
}

// finish gives everything back. A handler that panics here cannot hold it up.
func (c *Conn) finish() {
	defer func() {
		if p := recover(); p != nil {
			c.options.Log.Error("defect: the end of a session panicked",
				"session", c.peer.Session, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if c.left != nil {
		c.left() // for the same reason
	}
	c.conn.Close()
	c.shrink()
	c.session.PeerGone()
}

// write adds a reply to what will be sent.
func (c *Conn) write(r reply.Reply) { c.out = r.Linked(c.options.LinkURL).Append(c.out) }

// flush sends the replies in one piece.
func (c *Conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	if cap(c.out) > keepOut {
		c.out = nil
	} else {
		c.out = c.out[:0]
	}
	return c.trouble(err)
}

// flushBy is flush where nothing is read before: the deadline that stands may
// have passed while we ourselves were busy.
func (c *Conn) flushBy(wait time.Duration) error {
	if len(c.out) == 0 {
		return nil
	}
	c.until(time.Now().Add(wait), false)
	return c.flush()
}

// lastFlush sends what is left on a connection that will be closed, whatever
// has happened to it.
func (c *Conn) lastFlush() {
	if len(c.out) > 0 {
		c.until(time.Now().Add(lastWords), true)
		_ = c.flush()
	}
}

// linger lets a client that is still sending hear why we close: what it has
// sent and nobody has read would make the kernel reset the connection, and our
// words would be lost with it.
func (c *Conn) linger() {
	h, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || h.CloseWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.raw, lingerMost)
}

// until sets the deadline of reading and writing to t or up to two times slack
// later, and does nothing if it is there already.
func (c *Conn) until(t time.Time, exact bool) {
	if !exact && !c.deadline.IsZero() && !c.deadline.Before(t) && c.deadline.Before(t.Add(2*slack)) {
		return
	}
	c.deadline = t.Add(slack)
	_ = c.conn.SetDeadline(c.deadline)
}

// trouble sorts an error of the connection.
func (c *Conn) trouble(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	default:
		return errPeerGone
	}
}

// fill reads more into the buffer, and sends the replies before it waits. by is
// when the wait is over.
func (c *Conn) fill(by time.Time) error {
	for {
		c.until(by, false)
		if err := c.flush(); err != nil {
			return err
		}
		if c.draining.Load() && c.session.Idle() {
			return errDrained
		}
		c.waiting.Store(true)
		if c.shed.Load() {
			return errShed
		}
		if c.ended.Load() {
			return errEnded
		}
		n, err := c.conn.Read(c.buf[c.end:])
		c.waiting.Store(false)
		c.end += n
		if n > 0 {
			return nil
		}
		if err = c.trouble(err); err == errTimeout && c.shed.Load() {
			return errShed
		} else if err == errTimeout && c.ended.Load() {
			return errEnded
		} else if err == errTimeout && time.Now().Before(by) {
			// The server stops, and has woken us to see whether we are idle.
			c.deadline = time.Time{}
			continue
		}
		if err != nil {
			return err
		}
	}
}

// grow takes a large buffer, if there is none. What has been read moves to
// offset at.
func (c *Conn) grow(at int) {
	from := c.buf[c.start:c.end]
	if c.large == nil {
		c.large = c.pool.Get().(*[largeBuffer]byte)
		c.buf = c.large[:]
	}
	c.start, c.end = at, at+copy(c.buf[at:], from)
}

// shrink gives the large buffer back; what has been read is lost.
func (c *Conn) shrink() {
	if c.large != nil {
		c.pool.Put(c.large)
		c.large = nil
		c.buf = c.small[:]
	}
	c.start, c.end = 0, 0
}

// readLine reads a line and hands it to the session. The limit holds for the
// line, and the deadline for all of it: a client cannot prolong it by sending
// an octet a minute.
func (c *Conn) readLine(ctx context.Context, most int) (Next, error) {
	if len(c.out) >= flushAt {
		if err := c.flushBy(c.options.CommandWait); err != nil {
			return Next{}, err
		}
	}
	if c.draining.Load() && c.session.Idle() {
		return Next{}, errDrained
	}
	var by time.Time
	scanned := 0
	for {
		if i := bytes.IndexByte(c.buf[c.start+scanned:c.end], '\n'); i >= 0 {
			line := c.buf[c.start : c.start+scanned+i+1]
			c.start += len(line)
			if len(line) > most {
				return c.session.TooLong(line, true), nil
			}
			if n := len(line); n >= 2 && line[n-2] == '\r' { // rfc5321#2.3.8
				line = line[:n-2]
			}
			if scanned > 0 || !by.IsZero() { // what is pipelined came at once
				c.moved.Store(time.Now().UnixNano())
			}
			if !c.spoke.Load() {
				c.spoke.Store(true)
			}
			c.noteChunks()
			next := c.session.Line(ctx, line)
			if c.peer.Login != "" && c.loggedIn.Load() == nil {
				c.loggedIn.Store(&transaction.Identity{Login: c.peer.Login, Credential: c.peer.Credential})
			}
			return next, nil
		}
		scanned = c.end - c.start
		if by.IsZero() {
			by = c.within(time.Now().Add(c.options.CommandWait))
		}
		if scanned >= most {
			return c.ignoreLine(by)
		}
		c.makeRoom(scanned)
		if err := c.fill(by); err != nil {
			return Next{}, err
		}
	}
}

// makeRoom prepares the buffer for the rest of a line of which n octets are
// there: the small one if nothing is, the large one if the small is full.
func (c *Conn) makeRoom(n int) {
	switch {
	case n == 0:
		c.shrink()
	case c.start > 0 && n < len(c.buf):
		c.end = copy(c.buf, c.buf[c.start:c.end])
		c.start = 0
	case n == len(c.buf):
		c.grow(0)
	}
}

// ignoreLine throws the rest of a line away that is too long
// (rfc5321#4.5.3.1.9).
func (c *Conn) ignoreLine(by time.Time) (Next, error) {
	var keep [64]byte
	head := keep[:copy(keep[:], c.buf[c.start:c.end])]
	for ignored := c.end - c.start; ignored < maxIgnored; ignored += c.end {
		c.start, c.end = 0, 0
		if err := c.fill(by); err != nil {
			return Next{}, err
		}
		if i := bytes.IndexByte(c.buf[:c.end], '\n'); i >= 0 {
			c.start = i + 1
			return c.session.TooLong(head, true), nil
		}
	}
	c.start, c.end = 0, 0
	return c.session.TooLong(head, false), nil
}

// readContent reads to the final dot. Octets are decoded where they lie.
func (c *Conn) readContent(ctx context.Context) (Next, error) {
	if err := c.flushBy(c.options.BlockWait); err != nil {
		return Next{}, err
	}
	var d smtp.DataDecoder
	end := time.Time{}
	for {
		if c.start < c.end {
			if c.start == 0 {
				c.grow(1)
			}
			room := c.buf[c.start-1 : c.end]
			n, used, done := d.Decode(room, c.buf[c.start:c.end])
			c.session.Piece(room[:n], d.BareCR, d.BareLF)
			c.start += used
			if done {
				return c.session.ContentRead(ctx), nil
			}
			if c.start < c.end {
				continue
			}
		}
		if err := c.block(&end); err != nil {
			return Next{}, err
		}
	}
}

// block reads the next octets of content into the large buffer, leaving the
// octet before them free. Each block has its deadline (rfc5321#4.5.3.2.5), and
// all of them have one together, at *end, which is set if it is zero.
func (c *Conn) block(end *time.Time) error {
	c.start, c.end = 0, 0
	c.grow(1)
	now := time.Now()
	if end.IsZero() {
		*end = now.Add(c.options.ContentTime)
	}
	by := now.Add(c.options.BlockWait)
	if by.After(*end) {
		by = *end
		if !now.Before(by) {
			return errTimeout
		}
	}
	err := c.fill(by)
	const step = 1024 // a client that sends less in a while does not get ahead
	if c.gained += c.end - 1; c.gained >= step {
		c.gained = 0
		c.moved.Store(now.UnixNano())
	}
	return err
}

// startTLS does as the session has asked (rfc3207#4). What the client has sent
// after the command came in clear and is thrown away: it could be anybody's.
func (c *Conn) startTLS() (Next, error) {
	c.until(time.Now().Add(c.options.TLSWait), false)
	if err := c.flush(); err != nil {
		return Next{}, err
	}
	c.shrink()
	t, ok := c.handshake()
	if !ok {
		return Next{}, errPeerGone
	}
	return c.session.TLSDone(t), nil
}

// handshake begins TLS and notes what was agreed. A client that fails has gone:
// there is no language left to tell it in.
func (c *Conn) handshake() (transaction.TLS, bool) {
	var config *tls.Config
	source := c.options.TLS
	if c.profile.Login && c.options.UserTLS != nil {
		source = c.options.UserTLS
	}
	if source != nil {
		config = source()
	}
	if config == nil {
		c.options.Log.Error("no certificate for a handshake", "session", c.peer.Session, "service", string(c.profile.Service))
		return transaction.TLS{}, false
	}
	t := tls.Server(c.raw, config)
	c.until(time.Now().Add(c.options.TLSWait), true)
	c.waiting.Store(true)
	defer c.waiting.Store(false)
	if err := t.Handshake(); err != nil {
		c.options.Log.Debug("TLS handshake failed", "session", c.peer.Session, "remote", c.peer.Remote.String(), "error", err)
		return transaction.TLS{}, false
	}
	c.conn = t
	agreed := t.ConnectionState()
	return transaction.TLS{
		Version:      strings.ReplaceAll(tls.VersionName(agreed.Version), " ", ""),
		Cipher:       tls.CipherSuiteName(agreed.CipherSuite),
		ServerName:   agreed.ServerName,
		Binding:      func(kind string) []byte { return channelBinding(t, config, kind) },
		Certificates: agreed.PeerCertificates,
	}, true
}

// drain wakes the connection, from another goroutine, to say goodbye if it is
// idle; otherwise it does so as soon as it is.
func (c *Conn) drain() {
	c.draining.Store(true)
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
}

// evict wakes the connection, from another goroutine, to say goodbye because
// the server is full.
func (c *Conn) evict() {
	c.shed.Store(true)
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
}

// endLogin wakes the connection, from another goroutine, to say goodbye because
// what its client logged in with is good no more.
func (c *Conn) endLogin() {
	c.ended.Store(true)
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
}

// open begins the session, unless the client has begun it.
func (c *Conn) open(ctx context.Context) (Next, error) {
	if c.profile.Service != transaction.MX {
		return c.session.Open(ctx), nil
	}
	if hasSpoken(c.raw) {
		return c.session.SpokeFirst(), nil
	}
	if c.pause > 0 {
		c.until(time.Now().Add(c.pause-slack), true)
		n, err := c.conn.Read(c.buf[:1])
		switch {
		case n > 0:
			return c.session.SpokeFirst(), nil
		case c.draining.Load() || c.shed.Load():
		case c.trouble(err) != errTimeout:
			return Next{}, errPeerGone
		}
		c.deadline = time.Time{}
	}
	return c.session.Open(ctx), nil
}
