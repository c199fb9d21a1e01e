package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
)

func suiteDue(u *suite) {
	due, next, err := u.s.DueDestinations(u.ctx, start(), 10)
	mustNil(u, err)
	if len(due) != 0 || !next.IsZero() {
		u.Fatal(due, next)
	}
	at := func(m int) time.Time { return start().Add(time.Duration(m) * time.Minute) }
	u.add(testOptions{destination: "b", due: at(-1)})
	u.add(testOptions{destination: "a", due: at(-2)})
	u.add(testOptions{destination: "a", due: at(0)})
	u.add(testOptions{destination: "a", due: at(9)})
	u.add(testOptions{destination: "later", due: at(7)})
	u.add(testOptions{destination: "latest", due: at(8)})
	u.add(testOptions{destination: "held", due: at(-5), state: queue.Held})
	u.add(testOptions{destination: "claimed", due: at(-5), state: queue.Claimed})
	check := func(now time.Time, limit int, want string) {
		u.Helper()
		due, next, err := u.s.DueDestinations(u.ctx, now, limit)
		mustNil(u, err)
		var text []string
		for _, d := range due {
			text = append(text, fmt.Sprintf("%s %d %s", d.Destination, d.Count, d.Oldest.Sub(start())))
		}
		if !next.IsZero() {
			text = append(text, next.Sub(start()).String())
		}
		mustEqual(u, "due", strings.Join(text, ", "), want)
	}
	check(start(), 10, "a 2 -2m0s, b 1 -1m0s, 7m0s")
	check(start(), 1, "a 2 -2m0s, -1m0s")
	check(at(8), 10, "a 2 -2m0s, b 1 -1m0s, later 1 7m0s, latest 1 8m0s")
	check(at(-3), 10, "-2m0s")
	jobs, err := u.s.Claim(u.ctx, "a", 10, start(), u.lease(at(60)))
	mustNil(u, err)
	if len(jobs) != 2 || jobs[0].Recipients[0].Due.After(jobs[1].Recipients[0].Due) {
		u.Fatalf("%+v", jobs)
	}
	check(start(), 10, "b 1 -1m0s, 7m0s")
	_, err = u.s.Apply(u.ctx, queue.Filter{Destination: "b"}, queue.Hold, start(), "")
	mustNil(u, err)
	check(start(), 10, "7m0s")
	_, err = u.s.Apply(u.ctx, queue.Filter{Destination: "b"}, queue.Release, at(1), "")
	mustNil(u, err)
	check(at(1), 10, "b 1 1m0s, 7m0s")
	_, err = u.s.RetryNow(u.ctx, queue.Filter{Destination: "latest"}, at(1), "")
	mustNil(u, err)
	check(at(1), 10, "b 1 1m0s, latest 1 1m0s, 7m0s")
	mustNil(u, u.record(jobs[0].Recipients[0].ID, queue.Troubled, at(1)))
	check(at(1), 10, "b 1 1m0s, latest 1 1m0s, 2m0s")
	u.restart(at(3)) // all of it is found again
	check(at(3), 10, "b 1 1m0s, latest 1 1m0s, a 2 2m0s, claimed 1 3m0s, 7m0s")
	if none, err := u.s.Claim(u.ctx, "nowhere", 10, at(99), u.lease(at(100))); err != nil || len(none) != 0 {
		u.Fatal(none, err)
	}
}

func suiteExpired(u *suite) {
	old := u.add(testOptions{to: []string{"a@example.org", "b@example.org"}, destination: "x", expires: start().Add(-time.Minute)})
	fresh := u.add(testOptions{destination: "x"})
	u.add(testOptions{state: queue.Held, destination: "x", expires: start().Add(-time.Minute)})
	jobs, err := u.s.ListExpired(u.ctx, 10, start())
	mustNil(u, err)
	if len(jobs) != 1 || len(jobs[0].Recipients) != 2 || jobs[0].Message.ID != old.Message.ID || jobs[0].Recipients[0].State != queue.Waiting {
		u.Fatalf("%+v", jobs)
	}
	if jobs, err := u.s.ListExpired(u.ctx, 1, start()); err != nil || count(jobs) != 1 {
		u.Fatal(jobs, err)
	}
	// What has expired is not claimed.
	jobs, err = u.s.Claim(u.ctx, "x", 10, start(), u.lease(start().Add(time.Hour)))
	mustNil(u, err)
	if len(jobs) != 1 || jobs[0].Message.ID != fresh.Message.ID {
		u.Fatalf("%+v", jobs)
	}
	for _, r := range old.Recipients {
		mustNil(u, u.record(r.ID, queue.Expired, start()))
	}
	if jobs, err := u.s.ListExpired(u.ctx, 10, start()); err != nil || len(jobs) != 0 {
		u.Fatal(jobs, err)
	}
	mustEqual(u, "state", u.state(old.Recipients[0].ID), "reported")
}

func suiteUnclaim(u *suite) {
	a := u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	b := u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	c := u.add(testOptions{state: queue.Held}).Recipients[0].ID
	_, err := u.s.Apply(u.ctx, queue.Filter{Message: b.Message}, queue.Remove, start(), "")
	mustNil(u, err)
	due := start().Add(7 * time.Minute)
	mustNil(u, u.s.Unclaim(u.ctx, []queue.RecipientID{a, b, c, {Message: 77, N: 1}}, due))
	mustEqual(u, "states", u.state(a)+" "+u.state(b)+" "+u.state(c), "waiting removed held")
	if r := u.get(a); !r.Due.Equal(due) || r.Attempts != 0 || r.Last != nil {
		u.Errorf("%+v", r)
	}
	mustEqual(u, "log", u.logText(a.Message), "1 accepted waiting ")
	if n, err := u.s.ExpireLeases(u.ctx, start().Add(99*time.Hour)); err != nil || n != 0 {
		u.Errorf("a lease stayed: %d, %v", n, err)
	}
}

func suiteOperate(u *suite) {
	var all []queue.RecipientID
	for i := range 5 {
		all = append(all, u.add(testOptions{from: fmt.Sprintf("s%d@example.com", i%2), due: start().Add(time.Hour)}).Recipients[0].ID)
	}
	apply := func(f queue.Filter, e queue.Event, want int) {
		u.Helper()
		l, err := u.s.Apply(u.ctx, f, e, start().Add(time.Minute), "cli")
		mustNil(u, err)
		if len(l) != want {
			u.Fatalf("%s changed %d, want %d", e, len(l), want)
		}
	}
	apply(queue.Filter{Sender: "S0@Example.COM"}, queue.Hold, 3)
	apply(queue.Filter{Sender: "s0@example.com"}, queue.Hold, 0)
	apply(queue.Filter{States: []queue.State{queue.Held}, Limit: 1}, queue.Release, 1)
	apply(queue.Filter{Message: all[1].Message}, queue.Release, 0)
	apply(queue.Filter{}, queue.Release, 2)
	apply(queue.Filter{Message: all[0].Message}, queue.Remove, 1)
	apply(queue.Filter{Message: all[0].Message}, queue.Remove, 0)
	apply(queue.Filter{States: []queue.State{queue.Delivered}}, queue.Remove, 0)
	text := u.logText(all[0].Message)
	mustEqual(u, "log", text, "1 accepted waiting \n1 changed held hold: cli\n1 changed waiting release: cli\n1 changed removed remove: cli")
	l, err := u.s.RetryNow(u.ctx, queue.Filter{}, start().Add(2*time.Minute), "")
	mustNil(u, err)
	if len(l) != 2 || !l[0].Recipient.Due.Equal(start().Add(2*time.Minute)) {
		u.Fatalf("%+v", l)
	}
	c, err := u.s.Count(u.ctx)
	mustNil(u, err)
	mustEqual(u, "counts", c, map[queue.State]int{queue.Waiting: 4})
}

func suiteReroute(u *suite) {
	a := u.add(testOptions{target: "x@example.net"}).Recipients[0].ID
	b := u.add(testOptions{target: "x@example.net", state: queue.Held}).Recipients[0].ID
	c := u.add(testOptions{target: "x@example.net", state: queue.Claimed}).Recipients[0].ID
	d := u.add(testOptions{target: "x@example.edu"}).Recipients[0].ID
	n, err := u.s.Reroute(u.ctx, func(target address.Mailbox, now queue.Destination) queue.Destination {
		if target.Domain.String() == "example.net" {
			return queue.ToRoute("example.net")
		}
		return now
	})
	mustNil(u, err)
	var got []string
	for _, id := range []queue.RecipientID{a, b, c, d} {
		got = append(got, string(u.get(id).Destination))
	}
	mustEqual(u, "destinations", fmt.Sprint(n, got), "2 [route:example.net route:example.net example.net example.edu]")
	due, _, err := u.s.DueDestinations(u.ctx, start(), 10)
	mustNil(u, err)
	if len(due) != 2 || due[1].Destination != "route:example.net" {
		u.Fatal(due)
	}
	u.claim("route:example.net", 1)
	u.restart(start())
	mustEqual(u, "after a restart", string(u.get(a).Destination), "route:example.net")
}

func suitePaging(u *suite) {
	var want []queue.ID
	for i := range 25 {
		o := testOptions{to: []string{"a@example.org", "b@example.org", "c@example.org"}, at: start().Add(time.Duration(i) * 20 * time.Hour), destination: queue.Destination(fmt.Sprint("d", i))}
		e := u.add(o)
		want = append([]queue.ID{e.Message.ID}, want...)
		if i%2 == 0 { // some in history, some half
			u.claimOf(e, i%3+1)
		}
	}
	for _, f := range []queue.Filter{{}, {Recipient: "b@example.org"}, {Recipient: "@example.org"}, {Sender: "anna@example.com"}} {
		f.Limit = 4
		var got []queue.ID
		seen := make(map[queue.RecipientID]bool)
		for {
			l, err := u.s.List(u.ctx, f)
			mustNil(u, err)
			if len(l) == 0 {
				break
			}
			if len(l) > f.Limit+2 {
				u.Fatalf("%d rows for a limit of %d", len(l), f.Limit)
			}
			for _, r := range l {
				if seen[r.Recipient.ID] {
					u.Fatalf("%s comes twice", r.Recipient.ID)
				}
				seen[r.Recipient.ID] = true
				if len(got) == 0 || got[len(got)-1] != r.Message.ID {
					got = append(got, r.Message.ID)
				}
			}
			f.Before = l[len(l)-1].Message.ID
		}
		mustEqual(u, fmt.Sprintf("messages by %+v", f), got, want)
		if n := len(seen); n != 25*3 && f.Recipient != "b@example.org" || f.Recipient == "b@example.org" && n != 25 {
			u.Errorf("%+v: %d recipients", f, n)
		}
	}
	l, err := u.s.List(u.ctx, queue.Filter{})
	mustNil(u, err)
	if len(l) != 25*3 {
		u.Errorf("%d rows without a limit", len(l))
	}
}

// claimOf delivers the first n recipients of a message.
func (u *suite) claimOf(e *queue.Entry, n int) {
	u.Helper()
	_, err := u.s.Claim(u.ctx, e.Recipients[0].Destination, 3, start().Add(1000*time.Hour), u.lease(start().Add(2000*time.Hour)))
	mustNil(u, err)
	for i, r := range e.Recipients {
		if i < n {
			mustNil(u, u.record(r.ID, queue.Succeeded, start()))
			continue
		}
		mustNil(u, u.record(r.ID, queue.Troubled, start().Add(2000*time.Hour)))
	}
}

func suiteFilters(u *suite) {
	fwd := u.add(testOptions{from: "anna@example.com", to: []string{"bert@example.org"}, target: "hidden@example.net"})
	null := u.add(testOptions{from: "<>", to: []string{"carla@example.org"}, state: queue.Held})
	done := u.add(testOptions{from: "dora@example.com", to: []string{"emil@example.edu"}})
	u.claim("example.edu", 1)
	mustNil(u, u.record(done.Recipients[0].ID, queue.Succeeded, start()))
	for _, c := range []struct {
		f    queue.Filter
		want []*queue.Entry
	}{
		{queue.Filter{}, []*queue.Entry{done, null, fwd}},
		{queue.Filter{Sender: "ANNA@example.com"}, []*queue.Entry{fwd}},
		{queue.Filter{Sender: "<anna@example.com>"}, []*queue.Entry{fwd}},
		{queue.Filter{Sender: "@example.com"}, []*queue.Entry{done, fwd}},
		{queue.Filter{Sender: "<>"}, []*queue.Entry{null}},
		{queue.Filter{Sender: "bert@example.org"}, nil},
		{queue.Filter{Recipient: "bert@example.org"}, []*queue.Entry{fwd}},
		{queue.Filter{Recipient: "hidden@example.net"}, []*queue.Entry{fwd}},
		{queue.Filter{Recipient: "@example.org"}, []*queue.Entry{null, fwd}},
		{queue.Filter{Recipient: "@example.com"}, nil},
		{queue.Filter{Recipient: "@example.org", Sender: "@example.com"}, []*queue.Entry{fwd}},
		{queue.Filter{States: []queue.State{queue.Held}}, []*queue.Entry{null}},
		{queue.Filter{States: []queue.State{queue.Held, queue.Delivered}}, []*queue.Entry{done, null}},
		{queue.Filter{Destination: "example.edu"}, []*queue.Entry{done}},
		{queue.Filter{Destination: "example.edu", States: []queue.State{queue.Waiting}}, nil},
		{queue.Filter{Message: null.Message.ID}, []*queue.Entry{null}},
		{queue.Filter{Message: null.Message.ID, N: 2}, nil},
		{queue.Filter{Before: null.Message.ID}, []*queue.Entry{fwd}},
	} {
		for range 2 { // also after a restart
			l, err := u.s.List(u.ctx, c.f)
			mustNil(u, err)
			var got, want []queue.ID
			for _, r := range l {
				got = append(got, r.Message.ID)
			}
			for _, e := range c.want {
				want = append(want, e.Message.ID)
			}
			mustEqual(u, fmt.Sprintf("%+v", c.f), got, want)
			u.restart(start())
		}
	}
}

func suiteLog(u *suite) {
	e := u.add(testOptions{state: queue.Claimed, target: "hidden@example.net"})
	id := e.Recipients[0].ID
	at := func(m int) time.Time { return start().Add(time.Duration(m) * time.Minute) }
	mustNil(u, u.record(id, queue.Troubled, at(1)))
	u.claim("example.net", 1)
	mustNil(u, u.record(id, queue.Succeeded, at(2)))
	other := u.add(testOptions{at: at(3)})
	for range 2 {
		rows := u.log(queue.LogFilter{Message: id.Message})
		if len(rows) != 3 {
			u.Fatalf("%d rows", len(rows))
		}
		for i, want := range []struct {
			kind  queue.LogKind
			state queue.State
			at    time.Time
		}{{queue.LogAccepted, queue.Waiting, start()}, {queue.LogAttempt, queue.Waiting, at(1)}, {queue.LogAttempt, queue.Delivered, at(2)}} {
			r := rows[i]
			if r.Kind != want.kind || r.State != want.state || !r.At.Equal(want.at) {
				u.Errorf("row %d: %+v", i, r)
			}
			if !r.Hidden || r.Target.String() != "hidden@example.net" || r.Address.String() != "bert@example.org" ||
				r.From.String() != "anna@example.com" || r.MessageID != "<1@example.com>" || r.N != 1 {
				u.Errorf("row %d: %+v", i, r)
			}
		}
		mustEqual(u, "the outcome", *rows[1].Outcome, *testOutcome(id, queue.Trouble))
		if !rows[1].Due.Equal(at(2)) {
			u.Errorf("due %s", rows[1].Due)
		}
		// All messages, newest rows, in order of time.
		rows = u.log(queue.LogFilter{Limit: 2})
		if len(rows) != 2 || rows[0].State != queue.Delivered || rows[1].Message != other.Message.ID {
			u.Errorf("%+v", rows)
		}
		rows = u.log(queue.LogFilter{Since: at(2)})
		if len(rows) != 2 {
			u.Errorf("%+v", rows)
		}
		if rows := u.log(queue.LogFilter{Message: 99}); len(rows) != 0 {
			u.Errorf("%+v", rows)
		}
		u.restart(at(4))
	}
}

func suiteLogByAddress(u *suite) {
	e := u.add(testOptions{from: "anna@example.com", to: []string{"bert@example.org", "carla@example.edu"}, state: queue.Claimed, target: "new@example.net"})
	u.add(testOptions{from: "zoe@example.info", to: []string{"zac@example.biz"}})
	for _, r := range e.Recipients {
		mustNil(u, u.record(r.ID, queue.Succeeded, start().Add(time.Minute)))
	}
	for addr, want := range map[string]int{
		"anna@example.com": 4, "Anna@Example.com": 4, "new@example.net": 4, "bert@example.org": 2, "@example.edu": 2, "@example.net": 4,
		"zac@example.biz": 1, "@example.info": 1, "nobody@example.org": 0, "@nowhere.example": 0,
	} {
		rows := u.log(queue.LogFilter{Address: addr})
		if len(rows) != want {
			u.Errorf("%s: %d rows, want %d: %+v", addr, len(rows), want, rows)
		}
		for _, r := range rows {
			if r.Target.String() == "new@example.net" != r.Hidden {
				u.Errorf("%s: hidden is lost: %+v", addr, r)
			}
		}
	}
	if _, err := u.s.Log(u.ctx, queue.LogFilter{Address: "not an address"}); err == nil {
		u.Error("what is no address selects")
	}
}

func suitePrune(u *suite) {
	old := u.add(testOptions{state: queue.Claimed})
	mustNil(u, u.record(old.Recipients[0].ID, queue.Succeeded, start().Add(time.Minute)))
	held := u.add(testOptions{state: queue.Claimed, body: big(chunkSize + 1)})
	mustNil(u, u.record(held.Recipients[0].ID, queue.Troubled, start().Add(time.Minute)))
	late := u.add(testOptions{state: queue.Claimed}) // old, but ended lately
	mustNil(u, u.record(late.Recipients[0].ID, queue.Succeeded, start().Add(30*24*time.Hour)))
	fresh := u.add(testOptions{at: start().Add(40 * 24 * time.Hour), state: queue.Claimed})
	mustNil(u, u.record(fresh.Recipients[0].ID, queue.Succeeded, start().Add(40*24*time.Hour)))
	n, err := u.s.Prune(u.ctx, start().Add(10*24*time.Hour))
	mustNil(u, err)
	if n != 3 { // one message, two rows
		u.Errorf("pruned %d", n)
	}
	var got []string
	for _, e := range []*queue.Entry{old, held, late, fresh} {
		got = append(got, u.state(e.Recipients[0].ID))
	}
	mustEqual(u, "states", got, []string{"gone", "waiting", "delivered", "delivered"})
	if b := readContent(u, u.s, held.Message.ID); len(b) != chunkSize+1 {
		u.Errorf("%d octets of what still waits", len(b))
	}
	mustEqual(u, "log", u.logText(held.Message.ID)+"\n"+u.logText(late.Message.ID), "1 accepted waiting \n1 accepted waiting \n1 attempt delivered ")
	if l, err := u.s.List(u.ctx, queue.Filter{Recipient: "bert@example.org"}); err != nil || len(l) != 3 {
		u.Errorf("%d found, %v", len(l), err)
	}
	if n, err := u.s.Prune(u.ctx, start().Add(10*24*time.Hour)); err != nil || n != 0 {
		u.Errorf("again: %d, %v", n, err)
	}
	u.claim("example.org", 1)
	mustNil(u, u.record(held.Recipients[0].ID, queue.Succeeded, start().Add(31*24*time.Hour)))
	if n, err := u.s.Prune(u.ctx, start().Add(100*24*time.Hour)); err != nil || n != 6 {
		u.Errorf("all: %d, %v", n, err)
	}
	if l, err := u.s.List(u.ctx, queue.Filter{}); err != nil || len(l) != 0 {
		u.Errorf("left: %v, %v", l, err)
	}
}

var _ testing.TB = (*suite)(nil)
