package onward

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/store"
)

// Version is the version of the program, set by cmd/onward.
type Version string

// openControl makes the operations and their socket.
func (s *Server) openControl() error {
	l, err := s.opt.Control(s.config.Data)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	s.controlSocket = l
	if path := s.config.Listen.Sendmail; path != "" {
		if s.sendmailSocket, err = control.ListenAll(path); err != nil {
			return fmt.Errorf("open the socket of listen.sendmail: %w", err)
		}
	}
	if path := s.config.Listen.Accounts; path != "" {
		if s.ownersSocket, err = control.ListenAll(path); err != nil {
			return fmt.Errorf("open the socket of listen.accounts: %w", err)
		}
	}
	s.control = control.New(control.Options{
		Recipients: s.directory, Accounts: s.directory, Queue: s.queue, Resolver: s.resolver, Intake: s.handler,
		AppPasswordKey: s.keys.Key(store.KeyAppPassword), Secrets: s.secrets, Settle: s.checker.Settle, Random: rand.Reader,
		Backends: s.loginBackends,
		Runner:   running{s}, Version: string(s.opt.Version), MaxSize: s.maxSize,
		Usage: s.usage, Limits: s.sendingLimits, Bans: bans{s.guesses, s.smtpd}, Owner: s.checker.Owner, NameMatches: s.checker.NameMatches, Log: s.log,
	})
	return nil
}

// running is the server as the operations see it.
type running struct{ s *Server }

func (r running) Wake() { r.s.manager.Wake() }

func (r running) EndLogins(login, credential string) int {
	return r.s.smtpd.EndLogins(login, credential)
}

func (r running) Reload(context.Context) error { return r.s.Reload() }

func (r running) Status(context.Context) control.Status {
	s := r.s
	st := control.Status{
		Version: string(s.opt.Version), PID: os.Getpid(), Hostname: s.config.Hostname, Data: s.config.Data,
		Started: s.started, Connections: s.smtpd.Counts().Open,
	}
	for _, l := range s.listeners {
		st.Listeners = append(st.Listeners, control.Listener{Service: l.service, Address: l.Addr().String()})
	}
	if err := s.queue.Health(); err != nil {
		st.Stopped = err.Error()
	}
	return st
}

// OpenLocal opens the stores of a configuration under the folder's lock, while
// no server runs, and returns the same operations as a server's socket gives.
// What is submitted waits in the queue for the next start. It wraps
// control.ErrBusy while another process holds the folder.
func OpenLocal(_ context.Context, c *config.Config, version Version) (_ *control.Service, closer func() error, err error) {
	if err := store.MakeFolder(c.Data); err != nil {
		return nil, nil, err
	}
	var undo []func() error
	release := func() error {
		var errs []error
		for i := len(undo) - 1; i >= 0; i-- {
			errs = append(errs, undo[i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			release() //nolint:errcheck // the error that counts is returned
		}
	}()
	lock, err := store.Lock(c.Data)
	if err != nil {
		if errors.Is(err, store.ErrLocked) {
			err = fmt.Errorf("%w: %w", control.ErrBusy, err)
		}
		return nil, nil, err
	}
	undo = append(undo, lock.Unlock)
	keys, err := store.LoadKeys(c.Data)
	if err != nil {
		return nil, nil, err
	}
	q, err := store.OpenQueue(c.Data, store.Options{})
	if err != nil {
		return nil, nil, err
	}
	undo = append(undo, q.Close)
	d, err := store.OpenDirectory(c.Data, store.Options{})
	if err != nil {
		return nil, nil, err
	}
	undo = append(undo, d.Close)
	resolver := &recipient.Resolver{Directory: d, Postmaster: postmaster(c), Hostname: hostDomain(c)}
	low := watchDisk(c.Data, c.Limits.FreeDisk)
	backends, broken := makeBackends(c, nil)
	undo = append(undo, func() error { closeBackends(backends); return nil })
	checker := account.NewChecker(d, keys.Key(store.KeyAppPassword), 0, nil, account.Policy{Secrets: secretPolicy(c), Backends: backends})
	undo = append(undo, func() error { // what it still has to say goes into the directory
		ctx, cancel := context.WithTimeout(context.Background(), settlePatience)
		defer cancel()
		checker.Settle(ctx)
		return nil
	})
	handler := intake.New(intake.Options{
		Hostname: c.Hostname, Resolver: resolver, Accounts: d, IDs: newIDs(), Queue: shelf{q, schedule(c)},
		Checker:   checker,
		NewBuffer: q.NewContent, DiskLow: low.isLow, Random: randomText,
	}, settings(c))
	return control.New(control.Options{
		Recipients: d, Accounts: d, Queue: q, Resolver: resolver, Intake: handler,
		AppPasswordKey: keys.Key(store.KeyAppPassword), Random: rand.Reader,
		Secrets: func() account.SecretPolicy { return secretPolicy(c) }, Settle: checker.Settle,
		Owner: func(ctx context.Context, login, password, who string, now time.Time) account.Result {
			if broken != nil { // it is not known whose password it would be
				return account.Result{Cause: account.BackendDown, Err: broken}
			}
			return checker.Owner(ctx, login, password, who, now)
		}, NameMatches: checker.NameMatches,
		Version: string(version), MaxSize: func() int64 { return c.Limits.MessageSize },
		Backends: func() ([]account.Backend, error) { return makeBackends(c, nil) },
		Usage:    account.NewMeter(d, keys.Key(store.KeyLoginName)),
		Limits:   func() account.Limits { return sendingLimits(c) },
	}), release, nil
}

// shelf stores mail while no server runs: it waits for the next start.
type shelf struct {
	store    queue.Store
	schedule queue.Schedule
}

func (s shelf) Enqueue(ctx context.Context, e *queue.Entry) error {
	now := time.Now()
	for _, r := range e.Recipients {
		r.State, r.Due, r.Expires = queue.Waiting, now, now.Add(s.schedule.Expire)
	}
	return s.store.Enqueue(ctx, queue.Lease{}, e)
}

// serveControl serves the socket until the server closes.
func (s *Server) serveControl(l net.Listener) {
	if err := s.control.Serve(s.ctx, l, s.log); err != nil {
		s.fail(err)
	}
}

// serveSendmail serves the socket of local programs until the server closes.
func (s *Server) serveSendmail(l net.Listener) {
	if err := s.control.ServeSubmissions(s.ctx, l, s.log); err != nil {
		s.fail(err)
	}
}

// serveOwners serves the socket of owners of accounts until the server closes.
func (s *Server) serveOwners(l net.Listener) {
	if err := s.control.ServeOwners(s.ctx, l, s.log); err != nil {
		s.fail(err)
	}
}

// maxSize is the largest message in octets, as configured now.
func (s *Server) maxSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Limits.MessageSize
}

// sendingLimits are those of accounts that have none of their own, as configured
// now.
func (s *Server) sendingLimits() account.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sendingLimits(s.config)
}
