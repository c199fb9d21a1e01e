// Package onward is the assembly: it makes a running server out of a
// configuration. It is the one package that sees all the others, and New is to
// be read from top to bottom: what is made, out of what, in which order.
//
//	config ─► folder, lock, keys ─► stores ─► deliver ─► queue.Manager
//	       ─► recipient, account ─► intake ─► smtpd ─► listeners
//	       ─► control (onward.sock), web
//
// It promises that a server which New returned has all its ports and its
// folder; that Shutdown loses nothing: sessions in a transaction may finish,
// deliveries under way too, and the rest stays in the queue; and that Reload
// either puts a whole new configuration into force or changes nothing.
package onward

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/deliver"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/mailauth/spf"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/smtpd"
	"github.com/onwardmail/onward/internal/store"
)

// How long a start waits for a command that holds the data folder, and how
// often it looks.
const (
	lockPatience = 3 * time.Second
	lockEach     = 20 * time.Millisecond
)

// settlePatience is how long the end of a server waits for the causes of the
// last failed logins.
const settlePatience = 5 * time.Second

// Options are what a server is made of. Only Config is required; the rest lets
// tests and the demo put in networks, resolvers and outputs of their own.
type Options struct {
	Config *config.Config
	// Reread reads the configuration again, for Reload; nil: there is none.
	Reread func() (*config.Config, error)
	Logger *slog.Logger
	// Level is the level of Logger, which Reload sets; nil: it stays.
	Level *slog.LevelVar
	// Listen opens a listener; by default net.Listen on TCP.
	Listen func(service, addr string) (net.Listener, error)
	// Control opens the control socket of a data folder; by default
	// control.Listen.
	Control func(dir string) (net.Listener, error)
	// Dial opens outgoing connections; by default a net.Dialer does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ClientTLS is the configuration of outgoing TLS; by default the system's
	// authorities are trusted.
	ClientTLS *tls.Config
	// Resolver is used instead of the configured name servers.
	Resolver dns.Resolver
	// Lang is the language of reports; "" is English.
	Lang string
	// Cost is the cost of main passwords; the zero Cost is that of the
	// configuration.
	Cost account.Cost
	// MXPort is the port of mail exchangers; 0 is 25.
	MXPort int
	// Version is told by status.
	Version Version
	// Store opens the databases in another way, for tests with failing disks.
	Store store.Options
}

// Server is a running server.
type Server struct {
	opt Options
	log *slog.Logger

	lock      *store.FolderLock
	keys      *store.Keys
	queue     *store.Queue
	directory *store.Directory
	manager   *queue.Manager
	deliverer *deliver.Deliverer
	resolver  *recipient.Resolver
	handler   *intake.Handler
	usage     *account.Meter
	owners    *owners
	smtpd     *smtpd.Server
	web       *http.Server
	control   *control.Service
	listeners []listener
	// controlSocket is nil before it is open and once control serves it.
	controlSocket net.Listener
	// sendmailSocket is the same for listen.sendmail; nil without it.
	sendmailSocket net.Listener
	// ownersSocket is the same for listen.accounts.
	ownersSocket net.Listener
	certs        atomic.Pointer[[]*tls.Certificate] // at least one
	tls          *tls.Config
	userTLS      *tls.Config
	external     atomic.Bool // clients on the ports of users are asked for certificates
	checker      *account.Checker
	guesses      *account.Guesses
	low          *diskWatch
	logins       atomic.Pointer[[]account.Backend] // who is asked about secrets besides ourselves

	mu     sync.Mutex // guards config
	config *config.Config

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	failed chan error

	// First says that this start made the data folder.
	First     bool
	Recovered queue.Recovered
	started   time.Time
}

// New opens the folder, the stores and the ports. Nothing is served before
// Start. An error names what is wrong and what to do.
func New(ctx context.Context, opt Options) (s *Server, err error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	s = &Server{opt: opt, log: opt.Logger, config: opt.Config, failed: make(chan error, 1), started: time.Now()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if opt.Control == nil {
		s.opt.Control = control.Listen
	}
	c := opt.Config
	certs, err := s.loadCertificates(c)
	if err != nil {
		return s, err
	}
	s.certs.Store(&certs)
	s.tls, s.userTLS = s.newTLS(), s.newUserTLS()
	if s.listeners, err = s.open(c); err != nil {
		return s, err
	}
	if err := s.openFolder(ctx, c); err != nil {
		return s, err
	}
	if err := s.openStores(ctx); err != nil {
		return s, err
	}
	names, err := s.makeResolver(c)
	if err != nil {
		return s, err
	}
	backends, err := s.backends(c)
	if err != nil {
		return s, err
	}
	s.useBackends(backends)
	logins, err := s.loginPolicy(c, backends)
	if err != nil {
		return s, err
	}
	s.assemble(c, names, logins)
	s.rememberNetworks(ctx)
	if err := s.openControl(); err != nil {
		return s, err
	}
	return s, nil
}

// openFolder makes the data folder where there is none, takes its lock and
// changes to the configured user: from here on we own nothing of root's.
func (s *Server) openFolder(ctx context.Context, c *config.Config) error {
	if _, err := os.Stat(c.Data); errors.Is(err, os.ErrNotExist) {
		s.First = true
	}
	if err := store.MakeFolder(c.Data); err != nil {
		return err
	}
	if err := dropRights(c); err != nil {
		return err
	}
	var err error
	if s.lock, err = lockFolder(ctx, c.Data); err != nil {
		return err
	}
	if s.keys, err = store.LoadKeys(c.Data); err != nil {
		return err
	}
	return nil
}

// lockFolder takes the lock of the data folder. Commands that run while no
// server does hold it for a moment, so it tries again for a while; a server
// that answers on its socket stays, and is told of at once.
func lockFolder(ctx context.Context, dir string) (*store.FolderLock, error) {
	for end := time.Now().Add(lockPatience); ; {
		lock, err := store.Lock(dir)
		if !errors.Is(err, store.ErrLocked) || time.Now().After(end) {
			return lock, err
		}
		if c, dialed := control.Dial(dir); dialed == nil {
			c.Close() //nolint:errcheck // it was only knocked at
			return nil, err
		}
		select {
		case <-time.After(lockEach):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (s *Server) openStores(ctx context.Context) error {
	data := s.config.Data
	var err error
	if s.queue, err = store.OpenQueue(data, s.opt.Store); err != nil {
		return err
	}
	if s.directory, err = store.OpenDirectory(data, s.opt.Store); err != nil {
		return err
	}
	s.low = watchDisk(data, s.config.Limits.FreeDisk)
	if s.Recovered, err = s.queue.Recover(ctx, s.incarnation(), time.Now()); err != nil {
		return fmt.Errorf("recover the queue in %s: %w", data, err)
	}
	return nil
}

// incarnation names this run of the process in leases.
func (s *Server) incarnation() int64 { return s.started.UnixNano() }

// makeResolver asks the configured name servers, else those of the system.
func (s *Server) makeResolver(c *config.Config) (dns.Resolver, error) {
	if s.opt.Resolver != nil {
		return s.opt.Resolver, nil
	}
	o := dns.Options{Servers: c.DNS.Servers, TrustAD: c.DNS.TrustAD}
	if len(o.Servers) == 0 {
		text, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			s.log.Warn("cannot read /etc/resolv.conf; asking 127.0.0.1", "error", err)
		}
		var trust bool
		o.Servers, trust = dns.ParseResolvConf(text)
		o.TrustAD = o.TrustAD || trust
		if len(o.Servers) == 0 {
			o.Servers = []string{"127.0.0.1:53"} // resolv.conf(5): the default
		}
	}
	r, err := dns.NewClient(o)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// assemble makes the engines and joins them.
func (s *Server) assemble(c *config.Config, names dns.Resolver, logins account.Policy) {
	ids := newIDs()
	s.resolver = &recipient.Resolver{Directory: s.directory, Postmaster: postmaster(c), Hostname: hostDomain(c)}
	s.deliverer = deliver.New(s.deliverOptions(c, names))
	s.manager = queue.NewManager(queue.Options{
		Store: s.queue, Deliverer: s.deliverer, Incarnation: s.incarnation(), Logger: s.log,
		Schedule:       schedule(c),
		PerDestination: c.Delivery.ConnectionsPerDestination, Workers: c.Delivery.Connections,
		Reporter: &queue.Reporter{
			Hostname: c.Hostname, Lang: s.opt.Lang, Store: s.queue, IDs: ids, Random: randomText,
			Explain: meaning, Expand: s.expand,
		},
	})
	s.guesses = account.NewGuesses(guessOptions(c))
	s.checker = account.NewChecker(s.directory, s.keys.Key(store.KeyAppPassword), c.Login.Hashing, s.guesses, logins)
	s.external.Store(c.Login.External)
	s.usage = account.NewMeter(s.directory, s.keys.Key(store.KeyLoginName))
	s.owners = &owners{
		directory: s.directory, queue: s.manager, ids: ids, content: s.queue.NewContent, expand: s.expand,
		hostname: c.Hostname, lang: s.opt.Lang, own: c.Listen.Accounts != "", log: s.log,
	}
	s.handler = intake.New(intake.Options{
		Usage: s.usage, Owners: s.owners,
		Hostname: c.Hostname, Resolver: s.resolver, Accounts: s.directory, Queue: s.manager, IDs: ids,
		Checker:   s.checker,
		NewBuffer: s.queue.NewContent, DiskLow: s.low.isLow, Random: randomText, Logger: s.log,
		SPF: func(ctx context.Context, client netip.Addr, helo string, from address.Mailbox) bool {
			res, _ := spf.Check(ctx, names, client, helo, from)
			return res == spf.Pass
		},
		DNS: names, LoopMark: s.loopMark,
	}, s.settings(c))
	s.smtpd = smtpd.NewServer(s.handler, s.smtpdOptions(c))
	s.web = s.webServer(c)
}

// Start serves. It returns at once.
func (s *Server) Start() {
	s.manager.Start()
	for _, l := range s.listeners {
		s.done.Go(func() {
			var err error
			if l.service == serviceWeb {
				if err = s.serveWeb(l.Listener); errors.Is(err, http.ErrServerClosed) {
					err = nil
				}
			} else {
				err = s.smtpd.Serve(s.ctx, l.Listener, l.profile)
			}
			if err != nil {
				s.fail(fmt.Errorf("serve %s on %s: %w", l.service, l.Addr(), err))
			}
		})
	}
	socket := s.controlSocket
	s.controlSocket = nil
	s.done.Go(func() { s.serveControl(socket) })
	if local := s.sendmailSocket; local != nil {
		s.sendmailSocket = nil
		s.done.Go(func() { s.serveSendmail(local) })
	}
	if owners := s.ownersSocket; owners != nil {
		s.ownersSocket = nil
		s.done.Go(func() { s.serveOwners(owners) })
	}
	s.done.Go(s.housekeeping)
}

// fail notes a failure that ends the server.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Failed tells of a failure after which the server should be shut down.
func (s *Server) Failed() <-chan error { return s.failed }

// Shutdown drains: nothing new is accepted, open transactions and deliveries
// may end until ctx does, everything else stays in the queue.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.smtpd.Shutdown(ctx)
	s.web.Shutdown(ctx) //nolint:errcheck // what is still open is closed with the process
	// Deliveries get what is left of the time, but not all of it at a dead host.
	if e := s.manager.Close(ctx); e != nil && err == nil {
		err = e
	}
	if e := s.deliverer.Close(ctx); e != nil && err == nil {
		err = e
	}
	s.close()
	return err
}

// close gives back what has been opened, in the opposite order.
func (s *Server) close() {
	s.cancel()
	if s.controlSocket != nil {
		s.controlSocket.Close()
	}
	if s.sendmailSocket != nil {
		s.sendmailSocket.Close()
	}
	if s.ownersSocket != nil {
		s.ownersSocket.Close()
	}
	for _, l := range s.listeners {
		l.Close()
	}
	s.done.Wait()
	if s.checker != nil { // what it still has to say goes into the directory
		ctx, cancel := context.WithTimeout(context.Background(), settlePatience)
		s.checker.Settle(ctx)
		cancel()
	}
	s.useBackends(nil)
	if s.directory != nil {
		if err := s.directory.Close(); err != nil {
			s.log.Error("close the directory", "error", err)
		}
	}
	if s.queue != nil {
		if err := s.queue.Close(); err != nil {
			s.log.Error("close the queue", "error", err)
		}
	}
	if s.lock != nil {
		s.lock.Unlock() //nolint:errcheck // the lock ends with the process anyway
	}
}

// Reload puts a new configuration and new certificates into force, for
// sessions and deliveries that begin from now on. With an error nothing is
// changed. Keys that need a restart are named in the log and keep the values
// with which the server started.
func (s *Server) Reload() error {
	if s.opt.Reread == nil {
		return errors.New("there is no configuration file to read again; start the server with --config")
	}
	c, err := s.opt.Reread()
	if err != nil {
		return fmt.Errorf("the configuration is not changed: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	restart := needRestart(s.opt.Config, c)
	c = asStarted(s.opt.Config, c)
	certs, err := s.loadCertificates(c)
	if err != nil {
		return fmt.Errorf("the configuration is not changed: %w", err)
	}
	backends, err := s.backends(c)
	if err != nil {
		return fmt.Errorf("the configuration is not changed: %w", err)
	}
	logins, err := s.loginPolicy(c, backends)
	if err != nil {
		closeBackends(backends)
		return fmt.Errorf("the configuration is not changed: %w", err)
	}
	s.certs.Store(&certs)
	s.checker.SetPolicy(logins)
	s.guesses.SetOptions(guessOptions(c))
	s.external.Store(c.Login.External)
	s.useBackends(backends)
	s.config = c
	s.low.least.Store(c.Limits.FreeDisk)
	if s.opt.Level != nil {
		s.opt.Level.Set(logLevel(c.Log.Level))
	}
	s.handler.Set(s.settings(c))
	s.smtpd.SetOptions(s.smtpdOptions(c))
	s.deliverer.SetRoutes(routes(c))
	s.manager.SetSchedule(schedule(c))
	s.moveWaiting(reroute(c))
	s.manager.Wake()
	s.log.Info("configuration reloaded")
	if len(restart) > 0 {
		s.log.Warn("some changed keys take effect at the next start", "keys", restart)
	}
	return nil
}

// moveWaiting moves mail to its new routes. It is due there at once: its next
// attempt was put off because of a destination that it has left.
func (s *Server) moveWaiting(route func(address.Mailbox, queue.Destination) queue.Destination) {
	moved := make(map[queue.Destination]bool)
	_, err := s.queue.Reroute(s.ctx, func(target address.Mailbox, now queue.Destination) queue.Destination {
		to := route(target, now)
		if to != now {
			moved[to] = true
		}
		return to
	})
	if err != nil {
		s.log.Error("move waiting mail to the new routes", "error", err)
	}
	for to := range moved {
		f := queue.Filter{Destination: to, Limit: store.MaxList}
		if _, err := s.queue.RetryNow(s.ctx, f, time.Now(), "the routes changed"); err != nil {
			s.log.Error("try moved mail at once", "destination", string(to), "error", err)
		}
	}
}

// Addrs returns the addresses that a service listens on: "mx", "submission",
// "submissions" or "web".
func (s *Server) Addrs(service string) []net.Addr {
	var addrs []net.Addr
	for _, l := range s.listeners {
		if l.service == service {
			addrs = append(addrs, l.Addr())
		}
	}
	return addrs
}

// Queue, Directory and Keys are for those who look at a server from inside the
// process: the demo and tests.
func (s *Server) Queue() *store.Queue         { return s.queue }
func (s *Server) Directory() *store.Directory { return s.directory }
func (s *Server) Keys() *store.Keys           { return s.keys }

// Settle waits until the failed logins of now are in the directory.
func (s *Server) Settle(ctx context.Context) { s.checker.Settle(ctx) }

// Wake makes the queue look for due mail at once.
func (s *Server) Wake() { s.manager.Wake() }

// expand says where mail to an address goes, for reports.
func (s *Server) expand(ctx context.Context, to address.Mailbox) ([]*queue.Recipient, error) {
	s.mu.Lock()
	route := settings(s.config).Route
	s.mu.Unlock()
	res, err := s.resolver.Resolve(ctx, to)
	if err != nil {
		return nil, err
	}
	switch res.Verdict {
	case recipient.Accept:
	case recipient.NotOurs:
		t := recipient.Target{Mailbox: to}
		return []*queue.Recipient{intake.Recipient(to, t, noParams, route)}, nil
	default: // ours, and nobody is there
		return nil, nil
	}
	var rs []*queue.Recipient
	for _, t := range res.Targets {
		rs = append(rs, intake.Recipient(to, t, noParams, route))
	}
	return rs, nil
}

// loopMark names an address in messages that it forwards, so that we alone
// recognize it.
func (s *Server) loopMark(a address.Mailbox) string {
	h := hmac.New(sha256.New, s.keys.Key(store.KeyReference))
	h.Write([]byte("loop\x00" + a.Key()))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// newIDs returns a source of queue ids of this process.
func newIDs() *queue.IDs {
	var seed [8]byte
	rand.Read(seed[:]) //nolint:errcheck // crypto/rand.Read never fails
	return queue.NewIDs(binary.LittleEndian.Uint64(seed[:]))
}

func randomText() string {
	var b [15]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	return hex.EncodeToString(b[:])
}
