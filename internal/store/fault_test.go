package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// work is a piece of the queue's life, done on a disk that fails somewhere. It
// keeps what was promised: what a method returned nil for.
type work struct {
	tb  testing.TB
	ids *queue.IDs
	// bodies are the contents of the messages that are in the queue for sure.
	bodies map[queue.ID][]byte
	// known are the states that recipients have for sure; a recipient that an
	// operation failed for is in maybe, and may have any state.
	known map[queue.RecipientID]queue.State
	maybe map[queue.RecipientID]bool
	// reports are failures with the report that goes with them.
	reports map[queue.RecipientID]queue.ID
	errs    []error
}

func newWork(tb testing.TB) *work {
	return &work{
		tb: tb, ids: queue.NewIDs(3), bodies: make(map[queue.ID][]byte), known: make(map[queue.RecipientID]queue.State),
		maybe: make(map[queue.RecipientID]bool), reports: make(map[queue.RecipientID]queue.ID),
	}
}

func (w *work) note(err error) bool {
	if err != nil {
		w.errs = append(w.errs, err)
	}
	return err == nil
}

// enqueue stores one message with two recipients.
func (w *work) enqueue(q *Queue, s queue.State, body []byte) *queue.Entry {
	e := testEntry(w.tb, q, w.ids, testOptions{to: []string{"a@example.org", "b@example.org"}, state: s, body: []byte{}})
	_, err := e.Content.Write(body)
	if err == nil {
		err = q.Enqueue(context.Background(), queue.Lease{Incarnation: 1, Until: start().Add(time.Hour)}, e)
	}
	if !w.note(err) {
		e.Content.Abort()
		return nil
	}
	w.bodies[e.Message.ID] = body
	for _, r := range e.Recipients {
		w.known[r.ID] = s
	}
	return e
}

// record records an outcome, with a report for a failure.
func (w *work) record(q *Queue, id queue.RecipientID, e queue.Event, to queue.State) {
	c := queue.Change{ID: id, Event: e, Due: start(), Outcome: testOutcome(id, queue.Trouble)}
	rec := &queue.Record{Now: start(), Changes: []queue.Change{c}}
	var rep *queue.Entry
	if e == queue.Failed {
		rep = testEntry(w.tb, q, w.ids, testOptions{from: "<>", parent: id.Message, body: []byte("report")})
		rec.Reports = []*queue.Entry{rep}
		w.reports[id] = rep.Message.ID
	}
	if !w.note(q.Record(context.Background(), rec)) {
		w.maybe[id] = true
		return
	}
	w.known[id] = to
	if rep != nil {
		w.bodies[rep.Message.ID] = []byte("report")
		w.known[rep.Recipients[0].ID] = queue.Waiting
	}
}

// run does the work. The store's own errors are kept; it goes on after them.
func (w *work) run(q *Queue) {
	ctx := context.Background()
	_, err := q.Recover(ctx, 1, start())
	w.note(err)
	small := func(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("line %d\r\n", i), 300)) }
	var entries []*queue.Entry
	for i := range 4 {
		if e := w.enqueue(q, queue.Claimed, small(i)); e != nil {
			entries = append(entries, e)
		}
	}
	w.enqueue(q, queue.Waiting, big(chunkSize+5000))
	for i, e := range entries {
		w.record(q, e.Recipients[0].ID, queue.Succeeded, queue.Delivered)
		if i%2 == 0 {
			w.record(q, e.Recipients[1].ID, queue.Failed, queue.Reported)
		} else {
			w.record(q, e.Recipients[1].ID, queue.Troubled, queue.Waiting)
		}
	}
	for id, s := range w.known {
		if s == queue.Waiting {
			w.maybe[id] = true // until the next returns nil
		}
	}
	if l, err := q.Apply(ctx, queue.Filter{States: []queue.State{queue.Waiting}}, queue.Hold, start(), ""); w.note(err) {
		for _, r := range l {
			w.known[r.Recipient.ID] = queue.Held
			delete(w.maybe, r.Recipient.ID)
		}
	}
	w.enqueue(q, queue.Waiting, small(9))
	_, err = q.Prune(ctx, start().Add(-time.Hour))
	w.note(err)
}

// check opens what is left and holds it against what was promised.
func (w *work) check(dir string) error {
	q, err := OpenQueue(filepath.Join(dir, QueueFile), Options{})
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	defer q.Close()
	ctx := context.Background()
	var damage string
	err = q.db.read(ctx, func(c *conn) error {
		rows := c.use("PRAGMA integrity_check")
		for rows.next() {
			damage += rows.ColumnText(0)
		}
		return rows.done()
	})
	if err != nil || damage != "ok" {
		return fmt.Errorf("integrity: %s, %w", damage, err)
	}
	if _, err := q.Recover(ctx, 2, start()); err != nil {
		return err
	}
	l, err := q.List(ctx, queue.Filter{Limit: MaxList})
	if err != nil {
		return err
	}
	states := make(map[queue.RecipientID]queue.State)
	live := make(map[queue.ID]bool)
	for _, r := range l {
		states[r.Recipient.ID] = r.Recipient.State
		live[r.Message.ID] = live[r.Message.ID] || !r.Recipient.State.Terminal()
	}
	for id, want := range w.known {
		got, ok := states[id]
		if !ok {
			return fmt.Errorf("%s was accepted and is gone", id)
		}
		if want == queue.Claimed {
			want = queue.Waiting // released by the restart
		}
		if got != want && !w.maybe[id] {
			return fmt.Errorf("%s is %s, and %s was recorded", id, got, want)
		}
	}
	for id, rep := range w.reports {
		_, there := live[rep]
		if (states[id] == queue.Reported) != there {
			return fmt.Errorf("%s is %s, and its report is there: %v", id, states[id], there)
		}
	}
	return w.checkContents(q, live)
}

func (w *work) checkContents(q *Queue, live map[queue.ID]bool) error {
	for id, isLive := range live {
		r, err := q.OpenContent(context.Background(), id)
		if !isLive {
			if !errors.Is(err, queue.ErrNotFound) {
				return fmt.Errorf("%s has ended and its content gives %w", id, err)
			}
			continue
		}
		if err != nil {
			return err
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(r); err != nil {
			return err
		}
		if want, ok := w.bodies[id]; ok && !bytes.Equal(got.Bytes(), want) {
			return fmt.Errorf("the content of %s has changed: %d octets, want %d", id, got.Len(), len(want))
		}
	}
	var odd int64
	err := q.db.read(context.Background(), func(c *conn) (err error) {
		odd, err = c.use(`SELECT (SELECT count(*) FROM content WHERE message NOT IN (SELECT message FROM recipient))
			+ (SELECT count(*) FROM large WHERE message NOT IN (SELECT message FROM recipient))
			+ (SELECT count(*) FROM chunk WHERE id >> 16 NOT IN (SELECT upload FROM large))
			+ (SELECT count(*) FROM recipient WHERE message NOT IN (SELECT id FROM message))`).one()
		return err
	})
	if err == nil && odd != 0 {
		err = fmt.Errorf("%d rows belong to nothing", odd)
	}
	return err
}

// stride makes long series shorter: all of the first, then every few.
func stride(n int) int {
	switch {
	case testing.Short() && n > 10:
		return 23
	case n > 60:
		return 11
	}
	return 1
}

// TestFaults lets the n-th operation on the disk fail, for n = 1, 2, 3 … until the
// work gets by without: once, and for good; with an error that nobody can
// explain, and with a full disk.
func TestFaults(t *testing.T) {
	for _, f := range []struct {
		name    string
		err     error
		kind    string
		forGood bool
	}{
		{"io once", syscall.EIO, "", false},
		{"io for good", syscall.EIO, "", true},
		{"sync once", syscall.EIO, "sync", false},
		{"full once", syscall.ENOSPC, "write", false},
		{"full for good", syscall.ENOSPC, "write", true},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n += stride(n) {
				d := newFaultDisk(t)
				dir := t.TempDir()
				w := newWork(t)
				d.arm(n, f.kind, f.err, f.forGood)
				q, err := OpenQueue(filepath.Join(dir, QueueFile), Options{VFS: d.name, checkpoint: 20})
				if err != nil {
					w.note(err)
				} else {
					w.run(q)
					checkErrors(t, n, w, q, f.err)
					q.Close() // may fail
				}
				fired := d.fired()
				d.arm(0, "", nil, false)
				if err := w.check(dir); err != nil {
					t.Fatalf("operation %d fails: %v\nerrors: %v", n, err, w.errs)
				}
				if !fired {
					if len(w.errs) > 0 {
						t.Fatalf("no fault, and yet: %v", w.errs)
					}
					t.Logf("%d operations", n)
					return
				}
			}
		})
	}
}

// checkErrors holds the errors against the fault: a full disk passes, all else
// makes the store stop.
func checkErrors(t *testing.T, n int, w *work, q *Queue, fault error) {
	t.Helper()
	for _, err := range w.errs {
		if fault == syscall.ENOSPC && !errors.Is(err, queue.ErrFull) {
			t.Errorf("operation %d: the disk is full, and the error is %v", n, err)
		}
		if fault == syscall.EIO && errors.Is(err, queue.ErrFull) {
			t.Errorf("operation %d: the disk is broken, and the error is %v", n, err)
		}
	}
	if fault == syscall.ENOSPC && q.Health() != nil {
		t.Errorf("operation %d: a full disk stopped the store: %v", n, q.Health())
	}
	if last := q.Health(); last != nil {
		if !errors.Is(last, queue.ErrStopped) {
			t.Errorf("operation %d: %v", n, last)
		}
		if err := q.Enqueue(context.Background(), queue.Lease{}, testEntry(t, q, w.ids, testOptions{})); !errors.Is(err, queue.ErrStopped) {
			t.Errorf("operation %d: a stopped store answers %v", n, err)
		}
	}
}

// TestCrash lets the machine crash at the n-th operation, with nothing left of
// what was not synced, or with something.
func TestCrash(t *testing.T) {
	for _, keep := range []float64{0, 0.5, 0.9} {
		t.Run(fmt.Sprintf("keep %.0f%%", keep*100), func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n += stride(n) {
				seed := uint64(n)
				d := newFaultDisk(t)
				w := newWork(t)
				after := t.TempDir()
				var crashed error
				d.arm(n, "", syscall.EIO, true)
				d.atCrash = func() { crashed = d.crash(after, rand.New(rand.NewPCG(seed, 1)), keep) }
				q, err := OpenQueue(filepath.Join(t.TempDir(), QueueFile), Options{VFS: d.name, checkpoint: 20})
				if err == nil {
					w.run(q)
					q.Close() // fails
				}
				if !d.fired() {
					t.Logf("%d operations", n)
					return
				}
				mustNil(t, crashed)
				if err := w.check(after); err != nil {
					t.Fatalf("crash at operation %d (seed %d): %v\nerrors: %v", n, seed, err, w.errs)
				}
			}
		})
	}
}

// TestFullDiskPasses: with a full disk all is refused, and when there is room
// again all goes on.
func TestFullDiskPasses(t *testing.T) {
	d := newFaultDisk(t)
	q := openTestQueue(t, t.TempDir(), Options{VFS: d.name})
	ids := queue.NewIDs(1)
	d.arm(1, "write", syscall.ENOSPC, true)
	ctx := context.Background()
	for range 3 {
		e := testEntry(t, q, ids, testOptions{})
		if err := q.Enqueue(ctx, queue.Lease{}, e); !errors.Is(err, queue.ErrFull) {
			t.Fatal(err)
		}
	}
	c := q.NewContent()
	if _, err := c.Write(big(2 * chunkSize)); !errors.Is(err, queue.ErrFull) {
		t.Fatal(err)
	}
	d.arm(0, "", nil, false)
	mustNil(t, q.Enqueue(ctx, queue.Lease{}, testEntry(t, q, ids, testOptions{})))
	counts, err := q.Count(ctx)
	mustNil(t, err)
	mustEqual(t, "counts", counts, map[queue.State]int{queue.Waiting: 1})
}

// TestStops: after a failed fsync nothing is accepted, reading goes on, and the
// owner is told once.
func TestStops(t *testing.T) {
	d := newFaultDisk(t)
	var told []error
	dir := t.TempDir()
	q, err := OpenQueue(dir, Options{VFS: d.name, OnStop: func(err error) { told = append(told, err) }})
	mustNil(t, err)
	ids := queue.NewIDs(1)
	ctx := context.Background()
	kept := testEntry(t, q, ids, testOptions{})
	mustNil(t, q.Enqueue(ctx, queue.Lease{}, kept))
	d.arm(1, "sync", syscall.EIO, false) // the next one would do
	for range 3 {
		if err := q.Enqueue(ctx, queue.Lease{}, testEntry(t, q, ids, testOptions{})); !errors.Is(err, queue.ErrStopped) || !strings.Contains(err.Error(), QueueFile) {
			t.Fatal(err)
		}
	}
	if string(readContent(t, q, kept.Message.ID)) == "" || !errors.Is(q.Health(), queue.ErrStopped) {
		t.Error("reading does not go on")
	}
	q.Close() // may fail
	if len(told) != 1 || !errors.Is(told[0], queue.ErrStopped) {
		t.Errorf("told: %v", told)
	}
	q = openTestQueue(t, dir, Options{})
	mustNil(t, q.Enqueue(ctx, queue.Lease{}, testEntry(t, q, ids, testOptions{})))
}

// TestMinFree: below the threshold mail is refused, and outcomes are not.
func TestMinFree(t *testing.T) {
	dir := t.TempDir()
	q, err := OpenQueue(dir, Options{})
	mustNil(t, err)
	ids := queue.NewIDs(1)
	e := testEntry(t, q, ids, testOptions{state: queue.Claimed})
	mustNil(t, q.Enqueue(context.Background(), queue.Lease{Incarnation: 1, Until: start()}, e))
	mustNil(t, q.Close())
	q = openTestQueue(t, dir, Options{MinFree: 1 << 62})
	if err := q.Enqueue(context.Background(), queue.Lease{}, testEntry(t, q, ids, testOptions{})); !errors.Is(err, queue.ErrFull) {
		t.Error(err)
	}
	if _, err := q.NewContent().Write(big(2 * chunkSize)); !errors.Is(err, queue.ErrFull) {
		t.Error(err)
	}
	id := e.Recipients[0].ID
	mustNil(t, q.Record(context.Background(), &queue.Record{Now: start(), Changes: []queue.Change{{ID: id, Event: queue.Succeeded, Outcome: testOutcome(id, queue.Success)}}}))
}
