package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
)

// backend is a kind of store under the suite. The suite speaks to the interface
// only, so that every store runs it.
type backend struct {
	// open opens the test's one store; called again, it is the next start of the
	// process: the one before is closed.
	open func(tb testing.TB) queue.Store
}

func TestSQLiteQueue(t *testing.T) {
	runQueueSuite(t, func(tb testing.TB) *backend {
		dir := tb.TempDir()
		var last *Queue
		tb.Cleanup(func() {
			if last != nil {
				mustNil(tb, last.Close())
			}
		})
		return &backend{open: func(tb testing.TB) queue.Store {
			tb.Helper()
			if last != nil {
				mustNil(tb, last.Close())
			}
			q, err := OpenQueue(dir, Options{})
			mustNil(tb, err)
			last = q
			return q
		}}
	})
}

// suite is one test with its store.
type suite struct {
	*testing.T
	b   *backend
	s   queue.Store
	ids *queue.IDs
	ctx context.Context
	// incarnation is the present process.
	incarnation int64
}

func runQueueSuite(t *testing.T, make func(tb testing.TB) *backend) {
	for name, f := range map[string]func(*suite){
		"RoundTrip": suiteRoundTrip, "Content": suiteContent, "Table": suiteTable, "Terminal": suiteTerminal, "Pending": suitePending,
		"Leases": suiteLeases, "Recover": suiteRecover, "Orphans": suiteOrphans, "Reports": suiteReports, "Suppress": suiteSuppress,
		"Partial": suitePartial, "Due": suiteDue, "Expired": suiteExpired, "Unclaim": suiteUnclaim, "Operate": suiteOperate,
		"Reroute": suiteReroute, "Paging": suitePaging, "Filters": suiteFilters, "Log": suiteLog, "LogByAddress": suiteLogByAddress,
		"Prune": suitePrune, "Bad": suiteBad, "Batch": suiteBatch,
	} {
		t.Run(name, func(t *testing.T) {
			b := make(t)
			f(&suite{T: t, b: b, s: b.open(t), ids: queue.NewIDs(5), ctx: context.Background(), incarnation: 1})
		})
	}
}

func (u *suite) lease(until time.Time) queue.Lease {
	return queue.Lease{Incarnation: u.incarnation, Until: until}
}

// add enqueues a message.
func (u *suite) add(o testOptions) *queue.Entry {
	u.Helper()
	e := testEntry(u, u.s, u.ids, o)
	mustNil(u, u.s.Enqueue(u.ctx, u.lease(start().Add(time.Hour)), e))
	return e
}

// restart closes the store and begins a new process.
func (u *suite) restart(now time.Time) queue.Recovered {
	u.Helper()
	u.s = u.b.open(u)
	u.incarnation++
	r, err := u.s.Recover(u.ctx, u.incarnation, now)
	mustNil(u, err)
	return r
}

// get returns a recipient, nil if there is none.
func (u *suite) get(id queue.RecipientID) *queue.Recipient {
	u.Helper()
	l, err := u.s.List(u.ctx, queue.Filter{Message: id.Message, N: id.N})
	mustNil(u, err)
	if len(l) == 0 {
		return nil
	}
	return l[0].Recipient
}

func (u *suite) state(id queue.RecipientID) string {
	u.Helper()
	if r := u.get(id); r != nil {
		return r.State.String()
	}
	return "gone"
}

func (u *suite) record(id queue.RecipientID, e queue.Event, now time.Time) error {
	c := queue.Change{ID: id, Event: e, Due: now.Add(time.Minute)}
	switch e {
	case queue.Succeeded:
		c.Outcome = testOutcome(id, queue.Success)
	case queue.Failed:
		c.Outcome = testOutcome(id, queue.Failure)
	case queue.Troubled:
		c.Outcome = testOutcome(id, queue.Trouble)
	}
	return u.s.Record(u.ctx, &queue.Record{Now: now, Changes: []queue.Change{c}})
}

func (u *suite) log(f queue.LogFilter) []queue.LogRow {
	u.Helper()
	rows, err := u.s.Log(u.ctx, f)
	mustNil(u, err)
	return rows
}

// logText is the log of a message in short.
func (u *suite) logText(id queue.ID) string {
	u.Helper()
	var lines []string
	for _, r := range u.log(queue.LogFilter{Message: id}) {
		lines = append(lines, fmt.Sprintf("%d %s %s %s", r.N, r.Kind, r.State, r.Note))
	}
	return strings.Join(lines, "\n")
}

func suiteRoundTrip(u *suite) {
	e := u.add(testOptions{to: []string{"bert@example.org", "carla@example.org"}, target: "new@example.net", state: queue.Waiting})
	e2 := u.add(testOptions{from: "<>", to: []string{`"odd name"@example.org`}, destination: queue.Maildir})
	u.restart(start())
	for _, e := range []*queue.Entry{e, e2} {
		l, err := u.s.List(u.ctx, queue.Filter{Message: e.Message.ID})
		mustNil(u, err)
		if len(l) != len(e.Recipients) {
			u.Fatalf("%d recipients, want %d", len(l), len(e.Recipients))
		}
		for i := range l {
			if !reflect.DeepEqual(l[i].Message, e.Message) {
				u.Errorf("the message is\n%+v\nand was\n%+v", l[i].Message, e.Message)
			}
			if !reflect.DeepEqual(l[i].Recipient, e.Recipients[i]) {
				u.Errorf("the recipient is\n%+v\nand was\n%+v", l[i].Recipient, e.Recipients[i])
			}
		}
	}
	jobs, err := u.s.Claim(u.ctx, queue.ToDomain(address.MustDomain("example.net")), 10, start(), u.lease(start().Add(time.Hour)))
	mustNil(u, err)
	if len(jobs) != 1 || len(jobs[0].Recipients) != 2 || !reflect.DeepEqual(jobs[0].Message, e.Message) {
		u.Fatalf("claimed %+v", jobs)
	}
	id := jobs[0].Recipients[0].ID
	mustNil(u, u.record(id, queue.Troubled, start().Add(time.Minute)))
	r := u.get(id)
	if want := testOutcome(id, queue.Trouble); !reflect.DeepEqual(r.Last, want) {
		u.Errorf("the last outcome is\n%+v\nand was\n%+v", r.Last, want)
	}
	if r.Attempts != 1 || r.State != queue.Waiting || !r.Due.Equal(start().Add(2*time.Minute)) {
		u.Errorf("after trouble: %+v", r)
	}
}

func suiteContent(u *suite) {
	for _, n := range []int{0, 1, 4096, queue.InlineMax, queue.InlineMax + 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 77} {
		want := big(n)
		e := testEntry(u, u.s, u.ids, testOptions{body: []byte{}})
		for rest := want; len(rest) > 0; { // in pieces of odd sizes
			k := min(len(rest), 70_001)
			if m, err := e.Content.Write(rest[:k]); err != nil || m != k {
				u.Fatalf("write: %d, %v", m, err)
			}
			rest = rest[k:]
		}
		if e.Content.Size() != int64(n) {
			u.Fatalf("size %d, want %d", e.Content.Size(), n)
		}
		if b, ok := e.Content.Inline(); ok != (n <= queue.InlineMax) || ok && string(b) != string(want) {
			u.Fatalf("%d octets: inline %v with %d", n, ok, len(b))
		}
		mustNil(u, u.s.Enqueue(u.ctx, queue.Lease{}, e))
		e.Content.Abort() // does nothing now
		for range 2 {
			if got := readContent(u, u.s, e.Message.ID); string(got) != string(want) {
				u.Fatalf("%d octets came back as %d", n, len(got))
			}
		}
		u.claim("example.org", 1)
		mustNil(u, u.record(e.Recipients[0].ID, queue.Succeeded, start()))
		if _, err := u.s.OpenContent(u.ctx, e.Message.ID); !errors.Is(err, queue.ErrNotFound) {
			u.Fatalf("after delivery the content gives %v", err)
		}
	}
	// Content that goes away while it is read is an error, not an early end.
	e := u.add(testOptions{body: big(2*chunkSize + 5)})
	r, err := u.s.OpenContent(u.ctx, e.Message.ID)
	mustNil(u, err)
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		u.Fatal(err)
	}
	u.claim("example.org", 1)
	mustNil(u, u.record(e.Recipients[0].ID, queue.Succeeded, start()))
	if _, err := io.ReadAll(r); !errors.Is(err, queue.ErrNotFound) {
		u.Fatalf("reading on gives %v", err)
	}
	mustNil(u, r.Close())
}

// claim claims exactly n recipients.
func (u *suite) claim(d string, n int) []queue.Job {
	u.Helper()
	jobs, err := u.s.Claim(u.ctx, queue.Destination(d), n, start().Add(30*24*time.Hour), u.lease(start().Add(time.Hour)))
	mustNil(u, err)
	if got := count(jobs); got != n {
		u.Fatalf("claimed %d, want %d", got, n)
	}
	return jobs
}

func count(jobs []queue.Job) int {
	n := 0
	for _, j := range jobs {
		n += len(j.Recipients)
	}
	return n
}

// bring makes a recipient in a state, with another recipient beside it so that
// its message stays.
func (u *suite) bring(s queue.State) queue.RecipientID {
	u.Helper()
	e := testEntry(u, u.s, u.ids, testOptions{to: []string{"one@example.org", "two@example.org"}, expires: start().Add(100 * 24 * time.Hour)})
	e.Recipients[0].State = s
	e.Recipients[1].Destination = "elsewhere"
	mustNil(u, u.s.Enqueue(u.ctx, u.lease(start().Add(time.Hour)), e))
	return e.Recipients[0].ID
}

// happen makes an event happen and returns the error of methods that have one
// for what is not allowed.
func (u *suite) happen(id queue.RecipientID, e queue.Event) error {
	u.Helper()
	later := start().Add(2 * time.Hour)
	switch e {
	case queue.Claim:
		_, err := u.s.Claim(u.ctx, "example.org", 1, start(), u.lease(later))
		return err
	case queue.LeaseOver:
		_, err := u.s.ExpireLeases(u.ctx, later)
		return err
	case queue.Hold, queue.Release, queue.Remove:
		_, err := u.s.Apply(u.ctx, queue.Filter{Message: id.Message, N: id.N}, e, later, "because")
		return err
	case queue.Restart:
		u.restart(later)
		return nil
	}
	return u.record(id, e, later)
}

// suiteTable walks state × event through the store: it does what queue.Step
// says, and nothing where Step says nothing.
func suiteTable(u *suite) {
	for _, s := range []queue.State{queue.Offered, queue.Waiting, queue.Claimed, queue.Held} {
		for _, e := range queue.Events() {
			id := u.bring(s)
			before := u.get(id)
			err := u.happen(id, e)
			tr, ok := queue.Step(s, e)
			want := tr.To.String()
			switch {
			case !ok:
				want = s.String()
			case tr.Effects&queue.DeleteRow != 0:
				want = "gone"
			}
			if got := u.state(id); got != want {
				u.Errorf("%s × %s: it is %s, want %s", s, e, got, want)
				continue
			}
			recorded := e == queue.Succeeded || e == queue.Troubled || e == queue.Failed || e == queue.Expired
			if recorded && !ok && !errors.Is(err, queue.ErrNotAllowed) || (ok || !recorded) && err != nil {
				u.Errorf("%s × %s: %v", s, e, err)
			}
			u.effects(id, before, s, e, tr)
			// Clear the stage.
			_, err = u.s.Apply(u.ctx, queue.Filter{}, queue.Remove, start(), "")
			mustNil(u, err)
			_, err = u.s.ExpireLeases(u.ctx, start().Add(1000*time.Hour))
			mustNil(u, err)
			_, err = u.s.Apply(u.ctx, queue.Filter{}, queue.Remove, start(), "")
			mustNil(u, err)
			if c, err := u.s.Count(u.ctx); err != nil || len(c) != 0 {
				u.Fatalf("%s × %s leaves %v, %v", s, e, c, err)
			}
		}
	}
}

func (u *suite) effects(id queue.RecipientID, before *queue.Recipient, s queue.State, e queue.Event, tr queue.Transition) {
	u.Helper()
	later := start().Add(2 * time.Hour)
	r := u.get(id)
	text := u.logText(id.Message)
	if has := strings.Contains(text, "may go twice"); has != (tr.Effects&queue.MayGoTwice != 0) {
		u.Errorf("%s × %s: the log is\n%s", s, e, text)
	}
	if r == nil {
		return
	}
	if tr.Effects&queue.DueNow != 0 && !r.Due.Equal(later) {
		u.Errorf("%s × %s: due %s, want %s", s, e, r.Due, later)
	}
	if tr.Effects&queue.Reschedule != 0 && !r.Due.Equal(later.Add(time.Minute)) {
		u.Errorf("%s × %s: due %s, want %s", s, e, r.Due, later.Add(time.Minute))
	}
	if want := tr.Effects&queue.AfterAttempt != 0; want != (r.Pending == e) {
		u.Errorf("%s × %s: pending is %s", s, e, r.Pending)
	}
	if tr == (queue.Transition{}) && !reflect.DeepEqual(r, before) {
		u.Errorf("%s × %s is not allowed and changed\n%+v to\n%+v", s, e, before, r)
	}
}

// suiteTerminal: what has ended answers no event.
func suiteTerminal(u *suite) {
	for _, end := range []queue.Event{queue.Succeeded, queue.Failed} {
		id := u.bring(queue.Claimed)
		mustNil(u, u.record(id, end, start()))
		before := u.get(id)
		if !before.State.Terminal() {
			u.Fatalf("after %s it is %s", end, before.State)
		}
		for _, e := range queue.Events() {
			err := u.happen(id, e)
			switch e {
			case queue.Succeeded, queue.Troubled, queue.Failed, queue.Expired:
				if !errors.Is(err, queue.ErrNotAllowed) || !errors.Is(err, queue.ErrNotFound) {
					u.Errorf("%s × %s: %v", before.State, e, err)
				}
			default:
				mustNil(u, err)
			}
			if after := u.get(id); !reflect.DeepEqual(before, after) {
				u.Fatalf("%s × %s changed\n%+v to\n%+v", before.State, e, before, after)
			}
		}
	}
}

func suitePending(u *suite) {
	for _, c := range []struct {
		pending, outcome queue.Event
		want             queue.State
	}{
		{queue.Hold, queue.Troubled, queue.Held},
		{queue.Remove, queue.Troubled, queue.Removed},
		{queue.Hold, queue.Succeeded, queue.Delivered},
		{queue.Remove, queue.Failed, queue.Reported},
	} {
		id := u.bring(queue.Claimed)
		l, err := u.s.Apply(u.ctx, queue.Filter{Message: id.Message, N: id.N}, c.pending, start(), "me")
		mustNil(u, err)
		if len(l) != 1 || l[0].Recipient.Pending != c.pending || l[0].Recipient.State != queue.Claimed {
			u.Fatalf("%s: %+v", c.pending, l)
		}
		mustNil(u, u.record(id, c.outcome, start()))
		r := u.get(id)
		if r.State != c.want || r.Pending != 0 {
			u.Errorf("%s, then %s: %s, pending %s", c.pending, c.outcome, r.State, r.Pending)
		}
	}
	// It also settles where the lease ends, and where the process does.
	id := u.bring(queue.Claimed)
	_, err := u.s.Apply(u.ctx, queue.Filter{Message: id.Message, N: id.N}, queue.Hold, start(), "")
	mustNil(u, err)
	if n, err := u.s.ExpireLeases(u.ctx, start().Add(2*time.Hour)); err != nil || n != 1 {
		u.Fatal(n, err)
	}
	mustEqual(u, "after the lease", u.state(id), "held")
	id = u.bring(queue.Claimed)
	_, err = u.s.Apply(u.ctx, queue.Filter{Message: id.Message, N: id.N}, queue.Remove, start(), "")
	mustNil(u, err)
	u.restart(start())
	mustEqual(u, "after the restart", u.state(id), "removed")
}

func suiteLeases(u *suite) {
	a := u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	b := u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	mustNil(u, u.s.Renew(u.ctx, []queue.RecipientID{a}, u.lease(start().Add(3*time.Hour))))
	if n, err := u.s.ExpireLeases(u.ctx, start().Add(time.Hour)); err != nil || n != 0 {
		u.Fatalf("at the very end: %d, %v", n, err)
	}
	if n, err := u.s.ExpireLeases(u.ctx, start().Add(2*time.Hour)); err != nil || n != 1 {
		u.Fatalf("one is over: %d, %v", n, err)
	}
	mustEqual(u, "renewed and not", u.state(a)+" "+u.state(b), "claimed waiting")
	if n, err := u.s.ExpireLeases(u.ctx, start().Add(2*time.Hour)); err != nil || n != 0 {
		u.Fatalf("twice: %d, %v", n, err)
	}
	mustEqual(u, "log", u.logText(b.Message), "1 accepted waiting \n1 note waiting "+mayGoTwice)
	// The late outcome of the attempt whose lease is over is not allowed.
	if err := u.record(b, queue.Succeeded, start()); !errors.Is(err, queue.ErrNotAllowed) {
		u.Fatal(err)
	}
	mustNil(u, u.record(a, queue.Succeeded, start()))
	if err := u.s.Renew(u.ctx, []queue.RecipientID{a}, u.lease(start())); !errors.Is(err, queue.ErrNotFound) {
		u.Fatalf("renewing what has ended: %v", err)
	}
}

func suiteRecover(u *suite) {
	var ids []queue.RecipientID
	for _, s := range []queue.State{queue.Offered, queue.Waiting, queue.Claimed, queue.Held} {
		ids = append(ids, u.add(testOptions{state: s}).Recipients[0].ID)
	}
	r := u.restart(start().Add(time.Minute))
	mustEqual(u, "found", r, queue.Recovered{Released: 1, Offered: 1, Waiting: 2})
	var states []string
	for _, id := range ids {
		states = append(states, u.state(id))
	}
	mustEqual(u, "states", states, []string{"gone", "waiting", "waiting", "held"})
	mustEqual(u, "log", u.logText(ids[2].Message), "1 accepted waiting \n1 note waiting "+mayGoTwice)
	if _, err := u.s.OpenContent(u.ctx, ids[0].Message); !errors.Is(err, queue.ErrNotFound) {
		u.Errorf("the content of what was offered: %v", err)
	}
	// What this incarnation has is left alone.
	id := u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	r, err := u.s.Recover(u.ctx, u.incarnation, start())
	mustNil(u, err)
	if r.Released != 0 || u.state(id) != "claimed" {
		u.Errorf("%+v, %s", r, u.state(id))
	}
	// More than one transaction's worth.
	entries := make([]*queue.Entry, 0, 2500)
	for range cap(entries) {
		entries = append(entries, testEntry(u, u.s, u.ids, testOptions{state: queue.Claimed}))
	}
	mustNil(u, u.s.Enqueue(u.ctx, u.lease(start()), entries...))
	if r := u.restart(start()); r.Released != 2501 || r.Waiting != 2503 {
		u.Errorf("%+v", r)
	}
}

func suiteOrphans(u *suite) {
	kept := u.add(testOptions{body: big(chunkSize * 2)})
	lost := u.s.NewContent()
	for range 3 {
		if _, err := lost.Write(big(chunkSize)); err != nil {
			u.Fatal(err)
		}
	}
	given := u.s.NewContent()
	if _, err := given.Write(big(chunkSize + 1)); err != nil {
		u.Fatal(err)
	}
	given.Abort()
	if _, err := given.Write([]byte("x")); err == nil {
		u.Error("an aborted content takes more")
	}
	if r := u.restart(start()); r.Orphans != 1 {
		u.Errorf("%+v", r)
	}
	if r := u.restart(start()); r.Orphans != 0 {
		u.Errorf("%+v", r)
	}
	if got := readContent(u, u.s, kept.Message.ID); len(got) != 2*chunkSize {
		u.Errorf("%d octets", len(got))
	}
	after := u.add(testOptions{body: big(chunkSize * 2)})
	if got := readContent(u, u.s, after.Message.ID); len(got) != 2*chunkSize {
		u.Errorf("%d octets", len(got))
	}
}
