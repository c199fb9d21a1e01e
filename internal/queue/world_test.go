package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/store"
)

// world is a Manager on a real store with a scripted Deliverer, in a bubble.
type world struct {
	t       *testing.T
	dir     string
	store   *faultyStore
	ids     *queue.IDs
	mail    *scripted
	opt     queue.Options
	manager *queue.Manager

	mu      sync.Mutex // guards what follows
	explain func(r *queue.Recipient)
	expand  func() error
}

// breakReports makes composing a report fail, or work again.
func (w *world) breakReports(explain func(*queue.Recipient), expand func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.explain, w.expand = explain, expand
}

const sender = "anna@example.com"

func newWorld(t *testing.T, change ...func(*queue.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), ids: queue.NewIDs(7), mail: &scripted{}}
	w.opt = queue.Options{Schedule: queue.DefaultSchedule(), Deliverer: w.mail}
	if testing.Verbose() {
		w.opt.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	for _, f := range change {
		f(&w.opt)
	}
	w.open()
	t.Cleanup(func() { w.shut() })
	return w
}

// open begins a new incarnation on the folder.
func (w *world) open() {
	w.t.Helper()
	real, err := store.OpenQueue(w.dir, store.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.opt.Incarnation++
	if _, err := real.Recover(w.t.Context(), w.opt.Incarnation, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	w.store = &faultyStore{Store: real, close: real.Close}
	w.opt.Store = w.store
	var n atomic.Int64
	w.opt.Reporter = &queue.Reporter{
		Hostname: "mx.example.org", Lang: "en", Store: w.store, IDs: w.ids,
		Random: func() string { return fmt.Sprint("random", n.Add(1)) },
		Explain: func(_ string, r *queue.Recipient, _ *queue.Outcome) queue.Meaning {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.explain != nil {
				w.explain(r)
			}
			return queue.Meaning{Explanation: "It did not work."}
		},
		Expand: func(_ context.Context, to address.Mailbox) ([]*queue.Recipient, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.expand != nil {
				if err := w.expand(); err != nil {
					return nil, err
				}
			}
			return []*queue.Recipient{{Address: to, Target: to, Destination: queue.ToDomain(to.Domain)}}, nil
		},
	}
	w.manager = queue.NewManager(w.opt)
}

func (w *world) start() { w.manager.Start() }

// stop closes the Manager and leaves the store open.
func (w *world) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := w.manager.Close(ctx); err != nil {
		w.t.Error(err)
	}
}

func (w *world) shut() {
	w.stop()
	if w.store != nil {
		if err := w.store.close(); err != nil {
			w.t.Error(err)
		}
		w.store = nil
	}
}

// restart ends the incarnation and begins another.
func (w *world) restart() {
	w.shut()
	w.open()
	w.start()
}

// entry makes a message of an authenticated sender with small content.
func (w *world) entry(to ...string) *queue.Entry {
	w.t.Helper()
	return w.entryOf([]byte("Subject: test\r\n\r\nHello.\r\n"), to...)
}

func (w *world) entryOf(text []byte, to ...string) *queue.Entry {
	w.t.Helper()
	c := w.store.NewContent()
	if _, err := c.Write(text); err != nil {
		w.t.Fatal(err)
	}
	now := time.Now()
	e := &queue.Entry{Content: c, Message: &queue.Message{
		ID: w.ids.Next(now), Received: now, From: address.MustMailbox(sender), Size: c.Size(),
		HeaderSize: bytes.Index(text, []byte("\r\n\r\n")) + 4, Basis: dsn.Authenticated,
	}}
	for i, s := range to {
		m := address.MustMailbox(s)
		e.Recipients = append(e.Recipients, &queue.Recipient{
			ID:      queue.RecipientID{Message: e.Message.ID, N: i + 1},
			Address: m, Target: m, Destination: queue.ToDomain(m.Domain),
		})
	}
	return e
}

func (w *world) send(to ...string) queue.ID {
	w.t.Helper()
	e := w.entry(to...)
	if err := w.manager.Enqueue(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
	return e.Message.ID
}

// states is the number of recipients by state, of all messages or of one.
func (w *world) states(f queue.Filter) map[queue.State]int {
	w.t.Helper()
	f.Limit = 1_000_000
	list, err := w.store.List(w.t.Context(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	n := make(map[queue.State]int)
	for _, l := range list {
		n[l.Recipient.State]++
	}
	return n
}

// is fails unless the message's only recipient is in the state.
func (w *world) is(id queue.ID, want queue.State) {
	w.t.Helper()
	if got := w.states(queue.Filter{Message: id}); got[want] != 1 || len(got) != 1 {
		w.t.Errorf("message %s is %v, want %s", id, got, want)
	}
}

// attempt is what the Deliverer was asked for.
type attempt struct {
	at          time.Time
	destination queue.Destination
	message     queue.ID
	parent      queue.ID
	to          []string
	numbers     []queue.RecipientID
	text        string
	inline      bool
}

// scripted is a Deliverer. Without an answer all mail is delivered.
type scripted struct {
	mu       sync.Mutex // guards what follows
	answer   func(ctx context.Context, a *queue.Attempt) []queue.Outcome
	attempts []attempt
	now, max int // attempts under way
}

func (s *scripted) Deliver(ctx context.Context, a *queue.Attempt) []queue.Outcome {
	seen := attempt{
		at: time.Now(), destination: a.Destination, message: a.Message.ID, parent: a.Message.Parent,
		inline: a.Inline != nil,
	}
	for _, r := range a.Recipients {
		seen.to = append(seen.to, r.Target.String())
		seen.numbers = append(seen.numbers, r.ID)
	}
	rc, err := a.Open(ctx)
	if err != nil {
		seen.text = "error: " + err.Error()
	} else {
		text, err := io.ReadAll(rc)
		if err != nil {
			text = []byte("error: " + err.Error())
		}
		rc.Close()
		seen.text = string(text)
	}
	s.mu.Lock()
	s.attempts = append(s.attempts, seen)
	s.now++
	s.max = max(s.max, s.now)
	answer := s.answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if answer == nil {
		return all(a, success())
	}
	return answer(ctx, a)
}

func (s *scripted) set(f func(context.Context, *queue.Attempt) []queue.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// seen returns the attempts for a destination, "" for all.
func (s *scripted) seen(d queue.Destination) []attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []attempt
	for _, a := range s.attempts {
		if d == "" || a.destination == d {
			found = append(found, a)
		}
	}
	return found
}

func all(a *queue.Attempt, o queue.Outcome) []queue.Outcome {
	out := make([]queue.Outcome, len(a.Recipients))
	for i := range out {
		out[i] = o
	}
	return out
}

func success() queue.Outcome { return queue.Outcome{Kind: queue.Success, Status: "2.0.0"} }
func trouble() queue.Outcome {
	return queue.Outcome{Kind: queue.Trouble, Status: "4.2.0", Cause: "greylisted"}
}
func failure() queue.Outcome { return queue.Outcome{Kind: queue.Failure, Status: "5.1.1"} }
func dead() queue.Outcome {
	return queue.Outcome{Kind: queue.Trouble, Scope: queue.ScopeDestination, Status: "4.4.1", Cause: "connect"}
}

// always answers every attempt alike, and delivers reports.
func always(o queue.Outcome) func(context.Context, *queue.Attempt) []queue.Outcome {
	return func(_ context.Context, a *queue.Attempt) []queue.Outcome {
		if a.Message.Parent != 0 {
			return all(a, success())
		}
		return all(a, o)
	}
}

var errDisk = errors.New("the disk fails, as the test asked")

// faultyStore is a store whose Record fails when fail says so.
type faultyStore struct {
	queue.Store
	close func() error

	mu      sync.Mutex // guards what follows
	fail    func(*queue.Record) error
	records int
	claims  int
	passes  int
}

func (s *faultyStore) Record(ctx context.Context, r *queue.Record) error {
	s.mu.Lock()
	s.records++
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(r); err != nil {
			return err
		}
	}
	return s.Store.Record(ctx, r)
}

func (s *faultyStore) Claim(ctx context.Context, d queue.Destination, limit int, now time.Time, l queue.Lease) ([]queue.Job, error) {
	s.mu.Lock()
	s.claims++
	s.mu.Unlock()
	return s.Store.Claim(ctx, d, limit, now, l)
}

func (s *faultyStore) DueDestinations(ctx context.Context, now time.Time, limit int) ([]queue.Due, time.Time, error) {
	s.mu.Lock()
	s.passes++
	s.mu.Unlock()
	return s.Store.DueDestinations(ctx, now, limit)
}

func (s *faultyStore) failing(f func(*queue.Record) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// failTimes fails n times and then no more.
func failTimes(n int, err error) func(*queue.Record) error {
	var mu sync.Mutex
	return func(*queue.Record) error {
		mu.Lock()
		defer mu.Unlock()
		if n > 0 {
			n--
			return err
		}
		return nil
	}
}

// reports returns the attempts at reports.
func (w *world) reports() []attempt {
	var found []attempt
	for _, a := range w.mail.seen("") {
		if a.parent != 0 {
			found = append(found, a)
		}
	}
	return found
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("the text lacks %q:\n%s", p, text)
		}
	}
}
