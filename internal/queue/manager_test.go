package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// TestFresh: mail that has just come goes straight to delivery, from memory.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		id := w.send("bert@example.net", "carl@example.net", "dora@example.org")
		synctest.Wait()
		got := w.mail.seen("")
		if len(got) != 2 {
			t.Fatalf("%d attempts, want one for each destination: %v", len(got), got)
		}
		for _, a := range got {
			if !a.inline || !a.at.Equal(time.Now()) {
				t.Errorf("the attempt for %s was at %s, inline %v", a.destination, a.at, a.inline)
			}
		}
		if n := w.states(queue.Filter{Message: id}); n[queue.Delivered] != 3 {
			t.Errorf("states are %v", n)
		}
		if w.store.claims != 0 {
			t.Errorf("fresh mail was claimed from the store %d times", w.store.claims)
		}
	})
}

// TestSchedule: the retry times of the default schedule, the notice of delay,
// and at the end the report.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.mail.set(always(trouble()))
		began := time.Now()
		id := w.send("bert@example.net")
		time.Sleep(5*24*time.Hour + time.Minute)
		synctest.Wait()
		got := w.mail.seen("example.net")
		last := began
		for i, a := range got[1:] {
			retry := w.opt.Schedule.Retry
			want := retry[min(i, len(retry)-1)]
			gap := a.at.Sub(last)
			last = a.at
			if slack := time.Second; gap < want*8/10-slack || gap > want*12/10+slack {
				t.Errorf("attempt %d came after %s, want %s ± 20 %%", i+2, gap, want)
			}
		}
		if len(got) < 30 || len(got) > 45 {
			t.Errorf("%d attempts in five days", len(got))
		}
		w.is(id, queue.Reported)
		reports := w.reports()
		if len(reports) != 2 {
			t.Fatalf("%d reports, want the notice of delay and the end: %v", len(reports), reports)
		}
		if d := reports[0].at.Sub(began); d < 4*time.Hour || d > 9*time.Hour {
			t.Errorf("the notice came after %s", d)
		}
		contains(t, reports[0].text, "Action: delayed")
		contains(t, reports[1].text, "Action: failed", "Status: 4.4.7", "bert@example.net")
		if d := reports[1].at.Sub(began); d < 5*24*time.Hour || d > 5*24*time.Hour+time.Minute {
			t.Errorf("it was given up after %s", d)
		}
		// Every attempt costs a pass or two, and so does every idle minute.
		if idle := 5 * 24 * 60; w.store.passes > idle+500 {
			t.Errorf("%d looks at the store in %d minutes", w.store.passes, idle)
		}
	})
}

// TestDeadDestination: one that does not answer is left alone, with a single
// probe now and then, hides nobody, and recovers.
func TestDeadDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiting = 600
		w := newWorld(t, func(o *queue.Options) { o.Workers = 30; o.PerDestination = 10 })
		w.start()
		w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome {
			if a.Destination == "dead.example" {
				time.Sleep(30 * time.Second)
				return all(a, dead())
			}
			return all(a, success())
		})
		for i := range waiting {
			w.send(fmt.Sprintf("r%d@dead.example", i))
		}
		for range 60 {
			time.Sleep(time.Minute)
			before := time.Now()
			w.send("bert@live.example")
			synctest.Wait()
			live := w.mail.seen("live.example")
			if at := live[len(live)-1].at; !at.Equal(before) {
				t.Fatalf("mail for a live destination sent at %s was tried at %s", before, at)
			}
		}
		tries := w.mail.seen("dead.example")
		if len(tries) > 10+15 { // the hands of the first minute, then a probe every 5 minutes or more often at first
			t.Errorf("%d attempts at a dead destination in an hour", len(tries))
		}
		if len(tries) < 10+8 {
			t.Errorf("only %d attempts at a dead destination in an hour", len(tries))
		}
		synctest.Wait()
		if n := w.states(queue.Filter{Destination: "dead.example"}); n[queue.Waiting]+n[queue.Claimed] != waiting || n[queue.Claimed] > 1 {
			t.Errorf("states are %v, want %d waiting", n, waiting)
		}
		before := len(w.mail.seen("dead.example"))
		w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome {
			time.Sleep(time.Second)
			return all(a, success())
		})
		// Those tried in the first minute have their own schedule, up to 1 h 12.
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		after := w.mail.seen("dead.example")[before:]
		if len(after) < waiting-30 {
			t.Fatalf("%d attempts after the recovery", len(after))
		}
		if !after[1].at.After(after[0].at) {
			t.Error("the first attempt after the recovery was not alone")
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := w.states(queue.Filter{Destination: "dead.example"}); n[queue.Delivered] != waiting {
			t.Errorf("states are %v, want %d delivered", n, waiting)
		}
	})
}

// TestManyDeadDestinations: however many there are, half of the hands are for
// the living.
func TestManyDeadDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *queue.Options) { o.Workers = 8; o.PerDestination = 4 })
		w.start()
		w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome {
			if a.Destination != "live.example" {
				time.Sleep(10 * time.Minute)
				return all(a, dead())
			}
			return all(a, success())
		})
		for i := range 64 {
			w.send(fmt.Sprintf("r@dead%d.example", i))
		}
		time.Sleep(3 * time.Hour) // each has been tried once
		for range 30 {
			time.Sleep(time.Minute)
			id := w.send("bert@live.example")
			synctest.Wait()
			w.is(id, queue.Delivered)
		}
	})
}

// TestOperator: hold and remove while an attempt is under way take effect after
// it, and not if it has ended the matter.
func TestOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		slowly := func(o queue.Outcome) func(context.Context, *queue.Attempt) []queue.Outcome {
			return func(_ context.Context, a *queue.Attempt) []queue.Outcome {
				time.Sleep(time.Minute)
				return all(a, o)
			}
		}
		apply := func(id queue.ID, e queue.Event) {
			t.Helper()
			if _, err := w.store.Apply(t.Context(), queue.Filter{Message: id}, e, time.Now(), "test"); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			event   queue.Event
			outcome queue.Outcome
			want    queue.State
		}{
			{queue.Hold, trouble(), queue.Held},
			{queue.Remove, trouble(), queue.Removed},
			{queue.Hold, success(), queue.Delivered},
			{queue.Remove, success(), queue.Delivered},
			{queue.Hold, failure(), queue.Reported},
		} {
			w.mail.set(slowly(tt.outcome))
			id := w.send("bert@example.net")
			time.Sleep(time.Second)
			apply(id, tt.event)
			w.is(id, queue.Claimed)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			w.is(id, tt.want)
			if tt.want != queue.Held {
				continue
			}
			tries := len(w.mail.seen("example.net"))
			time.Sleep(12 * time.Hour)
			if n := len(w.mail.seen("example.net")); n != tries {
				t.Errorf("held mail was tried %d times", n-tries)
			}
			w.mail.set(nil)
			apply(id, queue.Release)
			w.manager.Wake()
			synctest.Wait()
			w.is(id, queue.Delivered)
		}
	})
}

// TestRecordFails: what was delivered is recorded as soon as the store can, and
// not delivered again.
func TestRecordFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for n := range 4 {
			w.store.failing(failTimes(n*n*100, errDisk)) // the last for longer than a lease
			id := w.send(fmt.Sprintf("bert@example%d.net", n))
			time.Sleep(time.Hour)
			synctest.Wait()
			w.is(id, queue.Delivered)
			if got := len(w.mail.seen(queue.Destination(fmt.Sprintf("example%d.net", n)))); got != 1 {
				t.Errorf("delivered %d times", got)
			}
		}
	})
}

// TestReportCannotBeStored: a failure that cannot be recorded with its report is
// tried again, and at last reported once.
func TestReportCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.mail.set(always(failure()))
		var bad atomic.Bool
		bad.Store(true)
		w.store.failing(func(r *queue.Record) error {
			if bad.Load() && len(r.Reports) > 0 {
				return errDisk
			}
			return nil
		})
		id := w.send("bert@example.net")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		w.is(id, queue.Waiting)
		bad.Store(false)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		w.is(id, queue.Reported)
		if got := w.reports(); len(got) != 1 {
			t.Errorf("%d reports: %v", len(got), got)
		}
	})
}

// TestRecordNotAllowed: an attempt that outlived its recipient does not keep
// its worker for ever.
func TestRecordNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *queue.Options) { o.PerDestination = 1 })
		w.start()
		w.store.failing(failTimes(1, fmt.Errorf("record: %w", queue.ErrNotAllowed)))
		w.send("bert@example.net")
		id := w.send("carl@example.net")
		time.Sleep(time.Second)
		synctest.Wait()
		w.is(id, queue.Delivered)
		if w.store.records != 2 {
			t.Errorf("%d records, want 2", w.store.records)
		}
	})
}

// TestDefects: a defect in the Deliverer defers and never bounces.
func TestDefects(t *testing.T) {
	for name, f := range map[string]func(*queue.Attempt) []queue.Outcome{
		"panic":    func(*queue.Attempt) []queue.Outcome { panic("a defect of the test") },
		"none":     func(*queue.Attempt) []queue.Outcome { return nil },
		"too many": func(a *queue.Attempt) []queue.Outcome { return append(all(a, failure()), failure()) },
		"unknown":  func(a *queue.Attempt) []queue.Outcome { return all(a, queue.Outcome{Kind: 77}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.start()
				w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome { return f(a) })
				id := w.send("bert@example.net")
				synctest.Wait()
				w.is(id, queue.Waiting)
				w.mail.set(nil)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				w.is(id, queue.Delivered)
			})
		})
	}
}

// TestComposeFails: no failure without its report.
func TestComposeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, broken := range map[string]func(*world){
			"error": func(w *world) { w.breakReports(nil, func() error { return errors.New("the directory is down") }) },
			"panic": func(w *world) { w.breakReports(func(*queue.Recipient) { panic("a defect of the test") }, nil) },
		} {
			w := newWorld(t)
			w.start()
			w.mail.set(always(failure()))
			broken(w)
			id := w.send("bert@example.net")
			synctest.Wait()
			w.is(id, queue.Waiting)
			w.breakReports(nil, nil)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			w.is(id, queue.Reported)
			if got := w.reports(); len(got) != 1 {
				t.Errorf("%s: %d reports", name, len(got))
			}
		}
	})
}

// TestExpireGoesOn: a message whose report cannot be made does not hide the
// others that have expired.
func TestExpireGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.mail.set(always(trouble()))
		w.breakReports(func(r *queue.Recipient) {
			if r.Address.Local == "poison" {
				panic("a defect of the test")
			}
		}, nil)
		poison := w.send("poison@example.net")
		time.Sleep(time.Second)
		id := w.send("bert@example.net")
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		w.is(id, queue.Reported)
		w.is(poison, queue.Waiting)
		w.breakReports(nil, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.is(poison, queue.Reported)
	})
}

// TestSuppressed: a failure that nobody may hear of ends with its cause.
func TestSuppressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.mail.set(always(failure()))
		e := w.entry("bert@example.net")
		e.Message.Basis = 0
		if err := w.manager.Enqueue(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.is(e.Message.ID, queue.Suppressed)
		if got := w.reports(); len(got) != 0 {
			t.Errorf("a stranger got %d reports", len(got))
		}
	})
}

// TestClose: what is under way may end, the rest goes back, nothing stays
// claimed, and the next incarnation delivers it.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *queue.Options) { o.PerDestination, o.Workers = 2, 3 })
		w.start()
		w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome {
			time.Sleep(time.Minute)
			return all(a, success())
		})
		for i := range 5 {
			w.send(fmt.Sprintf("r%d@example.net", i))
			w.send(fmt.Sprintf("r%d@example.org", i))
			w.send(fmt.Sprintf("r%d@example.info", i))
		}
		time.Sleep(time.Second)
		before := time.Now()
		w.stop()
		if took := time.Since(before); took > time.Minute {
			t.Errorf("closing took %s", took)
		}
		if n := w.states(queue.Filter{}); n[queue.Delivered] != 3 || n[queue.Waiting] != 12 || len(n) != 2 {
			t.Errorf("states are %v, want 3 delivered, 12 waiting", n)
		}
		if id := w.send("late@example.net"); true { // it is kept, and nothing is begun
			synctest.Wait()
			w.is(id, queue.Waiting)
		}
		w.restart()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := w.states(queue.Filter{}); n[queue.Delivered] != 16 {
			t.Errorf("states are %v, want 16 delivered", n)
		}
		if n := len(w.mail.seen("")); n != 16 {
			t.Errorf("%d attempts for 16 messages", n)
		}
	})
}

// TestCloseImpatient: when the time is over, attempts are cancelled.
func TestCloseImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.mail.set(func(ctx context.Context, a *queue.Attempt) []queue.Outcome {
			<-ctx.Done()
			return all(a, trouble())
		})
		id := w.send("bert@example.net")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := w.manager.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returned %v", err)
		}
		w.is(id, queue.Waiting)
	})
}

// TestHands: never more attempts than hands, and everybody has a turn.
func TestHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *queue.Options) { o.PerDestination, o.Workers = 4, 4 })
		w.start()
		w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome {
			time.Sleep(time.Minute)
			return all(a, success())
		})
		for i := range 500 { // more than is kept in memory for one destination
			w.send(fmt.Sprintf("r%d@slow.example", i))
		}
		time.Sleep(90 * time.Second)
		small := w.send("bert@small.example")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		w.is(small, queue.Delivered)
		time.Sleep(130 * time.Minute)
		synctest.Wait()
		if n := w.states(queue.Filter{}); n[queue.Delivered] != 501 {
			t.Errorf("states are %v, want 501 delivered", n)
		}
		if w.mail.max > 4 {
			t.Errorf("%d attempts at once, want at most 4", w.mail.max)
		}
		if n := len(w.mail.seen("")); n != 501 {
			t.Errorf("%d attempts for 501 messages", n)
		}
	})
}

// TestHandsFromStore is TestHands for mail that only the store holds: more
// destinations than hands.
func TestHandsFromStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *queue.Options) { o.PerDestination, o.Workers = 3, 3 })
		for i := range 20 { // the Manager is closed: all of it waits in the store
			if i == 0 {
				w.stop()
			}
			for d := range 20 {
				w.send(fmt.Sprintf("r%d@d%d.example", i, d))
			}
		}
		w.mail.set(func(_ context.Context, a *queue.Attempt) []queue.Outcome {
			time.Sleep(time.Second)
			return all(a, success())
		})
		w.restart()
		time.Sleep(45 * time.Second)
		seen := make(map[queue.Destination]int)
		for _, a := range w.mail.seen("") {
			seen[a.destination]++
		}
		if len(seen) != 20 {
			t.Errorf("after 45 s with 3 hands only %d of 20 destinations had a turn: %v", len(seen), seen)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := w.states(queue.Filter{}); n[queue.Delivered] != 400 {
			t.Errorf("states are %v, want 400 delivered", n)
		}
		if w.mail.max > 3 {
			t.Errorf("%d attempts at once", w.mail.max)
		}
		if n := w.store.passes; n > 1000 {
			t.Errorf("%d looks at the store", n)
		}
	})
}

// TestLarge: content that does not stay in memory is attempted from the store
// at once.
func TestLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		synctest.Wait()
		text := append([]byte("Subject: large\r\n\r\n"), bytes.Repeat([]byte("0123456789abcde\n"), 40_000)...)
		e := w.entryOf(text, "bert@example.net")
		if err := w.manager.Enqueue(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := w.mail.seen("")
		if len(got) != 1 || got[0].inline || got[0].text != string(text) {
			t.Fatalf("%d attempts", len(got))
		}
		w.is(e.Message.ID, queue.Delivered)
	})
}

// TestManyRecipients: one message for very many goes in portions, all at once.
func TestManyRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		var to []string
		for i := range 900 {
			to = append(to, fmt.Sprintf("r%d@example.net", i))
		}
		id := w.send(to...)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := w.states(queue.Filter{Message: id}); n[queue.Delivered] != 900 {
			t.Errorf("states are %v", n)
		}
	})
}

// TestWake: a destination that is left alone is tried at once if somebody asks.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.mail.set(always(dead()))
		id := w.send("bert@example.net")
		time.Sleep(time.Second)
		w.mail.set(nil)
		second := w.send("carl@example.net") // waits until the destination is open again
		synctest.Wait()
		w.is(second, queue.Waiting)
		if _, err := w.store.RetryNow(t.Context(), queue.Filter{}, time.Now(), "test"); err != nil {
			t.Fatal(err)
		}
		w.manager.Wake()
		synctest.Wait()
		w.is(id, queue.Delivered)
		w.is(second, queue.Delivered)
		if d := w.mail.seen("")[1].at.Sub(w.mail.seen("")[0].at); d != time.Second {
			t.Errorf("it was tried after %s", d)
		}
	})
}

// TestStoreRefuses: what the store did not take is not delivered.
func TestStoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		e := w.entry("bert@example.net")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.manager.Enqueue(ctx, e); !errors.Is(err, context.Canceled) {
			t.Fatalf("Enqueue returned %v", err)
		}
		time.Sleep(time.Minute)
		if n := len(w.mail.seen("")); n != 0 {
			t.Errorf("a message that was refused was attempted %d times", n)
		}
	})
}

// TestEveryRecipientEnds: whatever happens, every accepted recipient ends in
// one terminal state, and a success is followed by no other attempt.
func TestEveryRecipientEnds(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { everyRecipientEnds(t, seed) })
		})
	}
}

func everyRecipientEnds(t *testing.T, seed uint64) {
	var mu sync.Mutex // guards random, successes, calm
	random := rand.New(rand.NewPCG(seed, 1))
	chance := func(n int) bool { mu.Lock(); defer mu.Unlock(); return random.IntN(n) == 0 }
	number := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
	successes := make(map[queue.RecipientID]int)
	calm := false
	w := newWorld(t, func(o *queue.Options) { o.PerDestination, o.Workers = 2, 5 })
	w.mail.set(func(ctx context.Context, a *queue.Attempt) []queue.Outcome {
		select {
		case <-time.After(time.Duration(number(60)) * time.Second):
		case <-ctx.Done():
		}
		switch number(12) {
		case 0:
			panic("a defect of the test")
		case 1:
			return nil
		case 2:
			return all(a, dead())
		}
		out := make([]queue.Outcome, len(a.Recipients))
		for i, r := range a.Recipients {
			switch number(6) {
			case 0, 1:
				out[i] = trouble()
			case 2:
				out[i] = failure()
			default:
				out[i] = success()
				mu.Lock()
				successes[r.ID]++
				mu.Unlock()
			}
		}
		return out
	})
	faulty := func() {
		w.store.failing(func(*queue.Record) error {
			mu.Lock()
			defer mu.Unlock()
			if !calm && random.IntN(8) == 0 {
				return errDisk
			}
			return nil
		})
	}
	w.start()
	faulty()
	sent := 0
	for i := range 100 {
		var to []string
		for n := range 1 + number(4) {
			to = append(to, fmt.Sprintf("r%d-%d@d%d.example", i, n, number(6)))
		}
		w.send(to...)
		sent += len(to)
		time.Sleep(time.Duration(number(30)) * time.Second)
		if chance(10) {
			e := []queue.Event{queue.Hold, queue.Release, queue.Remove}[number(3)]
			f := queue.Filter{Destination: queue.Destination(fmt.Sprintf("d%d.example", number(6))), Limit: 3}
			if _, err := w.store.Apply(t.Context(), f, e, time.Now(), "test"); err != nil {
				t.Fatal(err)
			}
		}
		if chance(25) {
			w.restart()
			faulty()
		}
		if chance(10) {
			w.manager.Wake()
		}
	}
	mu.Lock()
	calm = true
	mu.Unlock()
	if _, err := w.store.Apply(t.Context(), queue.Filter{}, queue.Release, time.Now(), "test"); err != nil {
		t.Fatal(err)
	}
	w.manager.Wake()
	time.Sleep(6 * 24 * time.Hour)
	synctest.Wait()
	list, err := w.store.List(t.Context(), queue.Filter{Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	originals := 0
	for _, l := range list {
		r := l.Recipient
		if l.Message.Parent == 0 {
			originals++
		}
		if !r.State.Terminal() && r.State != queue.Held {
			t.Errorf("%s is still %s", r.ID, r.State)
		}
		if n := successes[r.ID]; n > 1 || (n == 1) != (r.State == queue.Delivered) {
			t.Errorf("%s was delivered %d times and is %s", r.ID, n, r.State)
		}
	}
	if originals != sent {
		t.Errorf("%d recipients are known, %d were accepted", originals, sent)
	}
	if count, err := w.store.Count(t.Context()); err != nil || count[queue.Claimed] != 0 || count[queue.Waiting] != 0 {
		t.Errorf("what is left: %v, %v", count, err)
	}
}
