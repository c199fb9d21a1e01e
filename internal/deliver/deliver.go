// Package deliver sends mail: it finds the hosts of a destination, talks SMTP
// to them, or puts the message into a local mailbox, and says for every
// recipient what that came to.
//
//	destination ─ plan (MX, addresses, route) ─► hops ─ pool ─► connection
//	   connection ─ greeting, EHLO, STARTTLS, AUTH ─► MAIL RCPT… DATA content ─► fates ─► []queue.Outcome
//
// It promises one outcome for every recipient of an attempt, in their order,
// whatever the network, the other server or the disk do; that only the remote
// server's own words, or an answer of DNS that is final, end a recipient as a
// failure, and everything that is not understood is trouble, which is tried
// again; that after the final dot a message is never sent again within the same
// attempt; and that a login is never said over a connection that others can
// read or that ends at somebody else.
//
// It does not decide when to try again, nor who is told of a failure: package
// queue does. It does not alter the body. Certificates are looked at only where
// the route asks for TLS or has a login; MTA-STS and DANE are not asked for.
//
// What each trouble comes to stands in one file, trouble.go.
//
// RFC 5321 §4.5.3.2 (timeouts), §4.5.4.1 (sending), §5 (finding hosts); RFC 1870
// (SIZE), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954
// (AUTH), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 7504 (521), RFC 7505
// (null MX).
package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/queue"
)

// TLSMode says how a route is protected.
type TLSMode uint8

// The modes. Only Opportunistic ever goes on in clear after trouble with TLS.
const (
	// Opportunistic uses STARTTLS where it is offered, takes any certificate,
	// and goes on in clear where it fails (rfc7435). With a login it is the same
	// as Require, except to loopback addresses.
	Opportunistic TLSMode = iota
	// None never uses TLS.
	None
	// Require uses STARTTLS and checks the certificate.
	Require
	// Implicit begins with TLS (rfc8314#3) and checks the certificate.
	Implicit
)

// String returns the mode as the configuration spells it.
func (m TLSMode) String() string {
	switch m {
	case None:
		return "none"
	case Require:
		return "require"
	case Implicit:
		return "implicit"
	}
	return "opportunistic"
}

// Route is a next hop that the configuration names, instead of a domain's MX.
type Route struct {
	// Host is a host name, whose addresses are used, or an IP address. Its MX
	// records are not asked for.
	Host string
	// Port is 1 to 65535; 0 is 465 with Implicit, else Options.Port.
	Port int
	TLS  TLSMode
	// AnyCertificate takes a certificate that nobody vouches for, also for a
	// login. For networks of one's own.
	AnyCertificate bool
	// Username is the login, "" for none. Password is asked for it whenever a
	// connection is opened.
	Username string
	Password func() (string, error)
}

// EightBitPolicy says what becomes of 8-bit content at a host that does not
// offer 8BITMIME.
type EightBitPolicy uint8

// The policies.
const (
	// EightBitRefuse fails the message with 5.6.3 (rfc6152#3).
	EightBitRefuse EightBitPolicy = iota
	// EightBitConvert makes the content 7-bit on its way, unless it is signed,
	// which conversion would undo; then it is EightBitRefuse.
	EightBitConvert
	// EightBitSend sends it as it is. rfc6152#3 does not allow that; most hosts
	// that lack the extension pass all octets through.
	EightBitSend
)

// Options are what a Deliverer needs. The zero value of a field with a default
// takes it.
type Options struct {
	// Hostname is what we call ourselves in EHLO: our public host name.
	Hostname string
	// Resolver is required.
	Resolver dns.Resolver
	// Dial opens connections to "ip:port"; by default a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Routes returns the route of a queue.ToRoute destination; see also
	// [Deliverer.SetRoutes].
	Routes func(pattern string) (Route, bool)
	// Port is that of mail exchangers; default 25.
	Port int
	// MXTLS is how mail exchangers are spoken to; Implicit makes no sense there.
	MXTLS TLSMode
	// TLS is the base of every TLS configuration: roots, client certificates.
	// Its ServerName is not used. Nil is Go's default.
	TLS *tls.Config
	// Timeouts and Limits: zero fields take the default.
	Timeouts Timeouts
	Limits   Limits
	// EightBit is for hosts without 8BITMIME or BINARYMIME.
	EightBit EightBitPolicy
	// MaildirRoot is the folder of the local mailboxes; "" if there are none.
	MaildirRoot string
	// OwnAddress reports whether we ourselves listen there; nil: nowhere. It
	// keeps mail from being sent to ourselves (rfc5321#5.1).
	OwnAddress func(netip.AddrPort) bool
	// Permitted reports whether a mail exchanger that DNS names may be spoken to
	// at that address; nil: everywhere. Routes are not asked about.
	Permitted func(netip.AddrPort) bool
	// Logger gets defects only: outcomes tell the rest. Nil is silence.
	Logger *slog.Logger
}

// Deliverer implements queue.Deliverer. All methods are safe for concurrent
// use.
type Deliverer struct {
	opt    Options
	routes atomic.Pointer[func(string) (Route, bool)]
	pool   *pool
	local  *maildir

	tlsVerified, tlsAny *tls.Config
	scratch             sync.Pool // of *scratch

	mu     sync.Mutex // guards closed and live's growth from zero
	closed bool
	live   sync.WaitGroup
	ctx    context.Context // ends when Close gives up waiting
	cancel context.CancelCauseFunc
}

var _ queue.Deliverer = (*Deliverer)(nil)

// errClosing is the cause of attempts that a shutdown ends.
var errClosing = errors.New("the server is shutting down")

// New returns a Deliverer. It opens nothing before the first attempt.
func New(o Options) *Deliverer {
	o.setDefaults()
	d := &Deliverer{opt: o, local: newMaildir(o.MaildirRoot, o.Hostname, time.Now())}
	d.tlsVerified, d.tlsAny = tlsConfigs(o.TLS)
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	d.pool = newPool(o.Limits, o.Timeouts.Quit)
	d.SetRoutes(o.Routes)
	return d
}

// SetRoutes replaces the routes, for a changed configuration: attempts that
// begin later use the new ones. Connections that a route no longer describes are
// not used again, and end when they have been idle long enough.
func (d *Deliverer) SetRoutes(routes func(pattern string) (Route, bool)) {
	if routes == nil {
		routes = func(string) (Route, bool) { return Route{}, false }
	}
	d.routes.Store(&routes)
}

// Close takes no further attempts, waits for those under way until ctx ends,
// breaks off the rest (they end in trouble and are tried again later), and takes
// leave on idle connections. The error is that of ctx, if it came to that.
func (d *Deliverer) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() {
		d.live.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("wait for deliveries under way: %w", ctx.Err())
		d.cancel(errClosing)
		<-done
	}
	d.cancel(errClosing)
	d.pool.close()
	return err
}

// enter counts an attempt in; it reports false once Close was called.
func (d *Deliverer) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.live.Add(1)
	return true
}

// Deliver sends the message to the attempt's recipients.
func (d *Deliverer) Deliver(ctx context.Context, a *queue.Attempt) []queue.Outcome {
	j := newJob(a, time.Now())
	if !d.enter() {
		return j.settleRest(interrupted(stageConnect, errClosing))
	}
	defer d.live.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.ctx, func() { cancel(errClosing) })()
	defer keepLease(ctx, a.Renew)()
	d.run(ctx, j)
	if j.left > 0 {
		j.settleRest(defect(errors.New("the attempt ended without an outcome")))
	}
	return j.out
}

// run carries the job out. A panic is a defect of ours, and defects are
// temporary: what is not settled yet is tried again.
func (d *Deliverer) run(ctx context.Context, j *job) {
	defer func() {
		if p := recover(); p != nil {
			d.opt.Logger.Error("delivery: defect; the message will be tried again", "message", j.a.Message.ID.String(),
				"destination", string(j.a.Destination), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			j.settleRest(defect(fmt.Errorf("panic: %v", p)))
		}
	}()
	if j.a.Destination == queue.Maildir {
		d.local.deliver(ctx, j)
		return
	}
	d.send(ctx, j)
}
