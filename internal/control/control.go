// Package control is one set of operations for managing Onward: the command
// line, the control socket and the API speak to the same functions.
//
// It promises that an operation means the same wherever it comes from: every
// rule (the domain exists, no forwarding leads back to itself, a password is
// not weak, an expiry lies ahead) is checked here and nowhere else, errors are
// of a few kinds that programs can act on, and their text names the thing, the
// rule and the next step. What has been answered is durable and in effect.
//
// A running server serves the operations on a socket in its data folder; a
// stopped one is managed by opening the store under the folder's lock. [Open]
// chooses, so that two processes never write one store:
//
//	onward … ── Open ─┬─ onward.sock answers ──► HTTP, JSON ──► Service of the server
//	                  └─ nobody there ──► lock, open the store ──► Service of our own
//
// Who may: root and the user that the server runs as, checked by the socket's
// mode (0600) and by the peer's uid; they may do all. On sockets of their own every
// user of the machine may submit mail ([Service.ServeSubmissions]), or do with an
// account what its main password proves to be his ([Service.ServeOwners]).
//
// It does not know SMTP, files or databases: it is built from the interfaces
// of the layers below.
package control

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/transaction"
)

// Runner is the running server, as far as managing it needs.
type Runner interface {
	// Wake makes the queue look at what is due at once.
	Wake()
	// Status tells how the server is; Service adds the queue's counts.
	Status(ctx context.Context) Status
	// EndLogins ends the sessions that have logged in as an account, with one
	// credential or, if that is "", with any, and returns how many there were.
	EndLogins(login, credential string) int
	// Reload reads the configuration and the certificates again. An error
	// leaves the old ones in force.
	Reload(ctx context.Context) error
}

// Options are what a Service is built from.
type Options struct {
	Recipients recipient.Directory
	Accounts   account.Directory
	Queue      queue.Store
	// Resolver looks through forwardings; its Directory is Recipients.
	Resolver *recipient.Resolver
	// Intake takes messages of programs on this machine, with the service
	// transaction.Local.
	Intake transaction.Handler
	// MaxSize is the largest message in octets; nil: MaxSubmission.
	MaxSize func() int64
	// Backends are who else knows secrets; nil: nobody.
	Backends func() ([]account.Backend, error)
	// Usage measures what accounts send; Limits returns the limits of those that
	// have none of their own, -1 for none.
	Usage  *account.Meter
	Limits func() account.Limits
	// AppPasswordKey is the key of account.AppPasswordMAC.
	AppPasswordKey []byte
	// Secrets says how secrets are kept; nil: as by default.
	Secrets func() account.SecretPolicy
	// Settle waits until all failed logins have been noted; nil: they have.
	Settle func(ctx context.Context)
	// Owner checks who wants to manage an account of his own; nil: nobody may.
	Owner Verifier
	// NameMatches reports whether the name of a failure that no account has was this
	// one; nil: nobody knows.
	NameMatches func(f account.Failure, name string) bool
	// Random is a source of random octets that never fails: crypto/rand.Reader.
	Random io.Reader
	// Runner is nil when no server is running.
	Runner Runner
	// Bans is nil when no server is running.
	Bans Banner
	// Log hears what owners do with their accounts; nil: nobody does.
	Log *slog.Logger
	// Version of the program, for Status.
	Version string
}

// Service carries out the operations. It is safe for concurrent use.
type Service struct {
	opt Options
	// changing is held while addresses and domains are checked and then
	// changed, so that two changes cannot make a circle together.
	changing sync.Mutex
	// accounts is held while an account is read and then changed.
	accounts sync.Mutex
	// tries are the wrong passwords of users who want to manage accounts of their own.
	tries    tries
	sessions atomic.Int64
}

// New returns a Service.
func New(opt Options) *Service {
	if opt.Secrets == nil {
		opt.Secrets = func() account.SecretPolicy { return account.SecretPolicy{} }
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Settle == nil {
		opt.Settle = func(context.Context) {}
	}
	return &Service{opt: opt}
}

// settle waits a moment until failed logins have been noted.
func (s *Service) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	s.opt.Settle(ctx)
}

// settlePatience is how long whoever reads failures waits for the last of them.
const settlePatience = 2 * time.Second

// changeAccounts waits until nobody else changes accounts, and returns what ends
// that.
func (s *Service) changeAccounts() (done func()) {
	s.accounts.Lock()
	return s.accounts.Unlock
}

// endLogins ends sessions of a running server.
func (s *Service) endLogins(login, credential string) {
	if s.opt.Runner != nil {
		s.opt.Runner.EndLogins(login, credential)
	}
}

// wake tells a running server that something became due.
func (s *Service) wake() {
	if s.opt.Runner != nil {
		s.opt.Runner.Wake()
	}
}

// Status tells how the server is.
type Status struct {
	// Running is false if no server runs on the data folder; then only Version
	// and Queue are set.
	Running   bool       `json:"running"`
	Version   string     `json:"version"`
	PID       int        `json:"pid,omitempty"`
	Hostname  string     `json:"hostname,omitempty"`
	Data      string     `json:"data,omitempty"`
	Started   time.Time  `json:"started,omitzero"`
	Listeners []Listener `json:"listeners,omitempty"`
	// Connections are the clients connected now, of all listeners.
	Connections int `json:"connections"`
	// Stopped says why the store accepts nothing any more, "" if all is well.
	Stopped string `json:"stopped,omitempty"`
	// Queue counts recipients by state; states without any are absent.
	Queue map[string]int `json:"queue"`
}

// Listener is an address that the server listens on.
type Listener struct {
	Service string `json:"service"`
	Address string `json:"address"`
}

// Nothing is the request or response of an operation that has none.
type Nothing struct{}

// Status tells how the server and its queue are.
func (s *Service) Status(ctx context.Context, _ Nothing) (Status, error) {
	var st Status
	if s.opt.Runner != nil {
		st = s.opt.Runner.Status(ctx)
		st.Running = true
	}
	if st.Version == "" {
		st.Version = s.opt.Version
	}
	counts, err := s.opt.Queue.Count(ctx)
	if err != nil {
		return Status{}, trouble("count the queue", err)
	}
	st.Queue = make(map[string]int, len(counts))
	for state, n := range counts {
		if n > 0 {
			st.Queue[state.String()] = n
		}
	}
	return st, nil
}

// Reload makes the running server read its configuration again.
func (s *Service) Reload(ctx context.Context, _ Nothing) (Nothing, error) {
	if s.opt.Runner == nil {
		return Nothing{}, fail(Unavailable, "no server is running on this data folder; it reads its configuration when it starts")
	}
	if err := s.opt.Runner.Reload(ctx); err != nil {
		return Nothing{}, fail(Invalid, "the configuration was not taken and the old one stays in force:\n%v", err)
	}
	return Nothing{}, nil
}
