package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

func (u *suite) report(about queue.ID) *queue.Entry {
	return testEntry(u, u.s, u.ids, testOptions{from: "<>", to: []string{"anna@example.com"}, parent: about, body: []byte("it failed\r\n"), destination: "reports"})
}

func suiteReports(u *suite) {
	e := u.add(testOptions{state: queue.Claimed})
	id := e.Recipients[0].ID
	rep := u.report(id.Message)
	rec := &queue.Record{
		Now:     start().Add(time.Minute),
		Changes: []queue.Change{{ID: id, Event: queue.Failed, Outcome: testOutcome(id, queue.Failure)}},
		Reports: []*queue.Entry{rep},
	}
	mustNil(u, u.s.Record(u.ctx, rec))
	mustEqual(u, "states", u.state(id)+" "+u.state(rep.Recipients[0].ID), "reported waiting")
	rows := u.log(queue.LogFilter{Message: id.Message})
	last := rows[len(rows)-1]
	if last.Linked != rep.Message.ID || last.Outcome.Heard.Code != 550 || last.State != queue.Reported {
		u.Errorf("%+v", last)
	}
	if rows := u.log(queue.LogFilter{Message: rep.Message.ID}); rows[0].Linked != id.Message {
		u.Errorf("%+v", rows)
	}
	mustEqual(u, "the report", string(readContent(u, u.s, rep.Message.ID)), "it failed\r\n")

	// Together or not at all: a report that cannot be stored, because its id is
	// taken, leaves the failure unrecorded.
	id = u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	twice := u.report(id.Message)
	twice.Message.ID = rep.Message.ID
	twice.Recipients[0].ID = rep.Recipients[0].ID
	rec = &queue.Record{Now: start(), Changes: []queue.Change{{ID: id, Event: queue.Failed, Outcome: testOutcome(id, queue.Failure)}}, Reports: []*queue.Entry{twice}}
	if err := u.s.Record(u.ctx, rec); err == nil || errors.Is(err, queue.ErrNotAllowed) {
		u.Fatal(err)
	}
	mustEqual(u, "nothing happened", u.state(id)+"\n"+u.logText(id.Message), "claimed\n1 accepted waiting ")
	mustNil(u, u.record(id, queue.Succeeded, start()))

	// A notice of delay goes with the trouble that it is about.
	id = u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	rep = u.report(id.Message)
	rec = &queue.Record{
		Now:     start(),
		Changes: []queue.Change{{ID: id, Event: queue.Troubled, Outcome: testOutcome(id, queue.Trouble), Due: start().Add(time.Hour), Delayed: true}},
		Reports: []*queue.Entry{rep},
	}
	mustNil(u, u.s.Record(u.ctx, rec))
	if r := u.get(id); !r.Delayed || r.State != queue.Waiting {
		u.Errorf("%+v", r)
	}
	mustEqual(u, "the notice", u.state(rep.Recipients[0].ID), "waiting")
}

func suiteSuppress(u *suite) {
	id := u.add(testOptions{state: queue.Claimed}).Recipients[0].ID
	mustNil(u, u.s.Record(u.ctx, &queue.Record{Now: start(), Changes: []queue.Change{
		{ID: id, Event: queue.Failed, Outcome: testOutcome(id, queue.Failure), Suppress: "sender-not-verified"},
	}}))
	mustEqual(u, "log", u.logText(id.Message), "1 accepted waiting \n1 attempt suppressed no report: sender-not-verified")
	mustEqual(u, "state", u.state(id), "suppressed")
	// Expired without an attempt.
	id = u.add(testOptions{}).Recipients[0].ID
	mustNil(u, u.record(id, queue.Expired, start()))
	mustEqual(u, "log", u.logText(id.Message), "1 accepted waiting \n1 note reported expired")
}

// suitePartial: what is not allowed is left out, all else is committed, and a
// report about nothing that happened is not sent.
func suitePartial(u *suite) {
	e := u.add(testOptions{to: []string{"a@example.org", "b@example.org"}, state: queue.Claimed})
	held := u.add(testOptions{state: queue.Held})
	a, b, h := e.Recipients[0].ID, e.Recipients[1].ID, held.Recipients[0].ID
	none := queue.RecipientID{Message: a.Message, N: 9}
	about, aboutNothing := u.report(a.Message), u.report(h.Message)
	err := u.s.Record(u.ctx, &queue.Record{
		Now: start(),
		Changes: []queue.Change{
			{ID: a, Event: queue.Failed, Outcome: testOutcome(a, queue.Failure)},
			{ID: h, Event: queue.Failed, Outcome: testOutcome(h, queue.Failure)},
			{ID: none, Event: queue.Succeeded, Outcome: testOutcome(none, queue.Success)},
			{ID: b, Event: queue.Succeeded, Outcome: testOutcome(b, queue.Success)},
		},
		Reports: []*queue.Entry{about, aboutNothing},
	})
	if !errors.Is(err, queue.ErrNotAllowed) || !strings.Contains(err.Error(), h.String()) || !strings.Contains(err.Error(), none.String()) {
		u.Fatal(err)
	}
	got := []string{u.state(a), u.state(b), u.state(h), u.state(about.Recipients[0].ID), u.state(aboutNothing.Recipients[0].ID)}
	mustEqual(u, "states", got, []string{"reported", "delivered", "held", "waiting", "gone"})
}

func suiteBatch(u *suite) {
	// One bad entry spoils its call, as a whole, and no other.
	good, other := testEntry(u, u.s, u.ids, testOptions{}), testEntry(u, u.s, u.ids, testOptions{})
	taken := u.add(testOptions{})
	bad := testEntry(u, u.s, u.ids, testOptions{})
	bad.Message.ID, bad.Recipients[0].ID.Message = taken.Message.ID, taken.Message.ID
	results := make(chan error)
	for _, entries := range [][]*queue.Entry{{good}, {other, bad}} {
		go func() { results <- u.s.Enqueue(u.ctx, queue.Lease{}, entries...) }()
	}
	failed := 0
	for range 2 {
		if err := <-results; err != nil {
			failed++
		}
	}
	got := []string{fmt.Sprint(failed), u.state(good.Recipients[0].ID), u.state(other.Recipients[0].ID), u.state(taken.Recipients[0].ID)}
	mustEqual(u, "results", got, []string{"1", "waiting", "gone", "waiting"})
}

func suiteBad(u *suite) {
	ok := func() *queue.Entry { return testEntry(u, u.s, u.ids, testOptions{}) }
	for name, spoil := range map[string]func(*queue.Entry){
		"no recipients":   func(e *queue.Entry) { e.Recipients = nil },
		"no content":      func(e *queue.Entry) { e.Content = nil },
		"no id":           func(e *queue.Entry) { e.Message.ID = 0 },
		"another message": func(e *queue.Entry) { e.Recipients[0].ID.Message++ },
		"ended already":   func(e *queue.Entry) { e.Recipients[0].State = queue.Delivered },
		"no state":        func(e *queue.Entry) { e.Recipients[0].State = 0 },
		"aborted content": func(e *queue.Entry) { e.Content.Abort() },
	} {
		e := ok()
		spoil(e)
		if err := u.s.Enqueue(u.ctx, queue.Lease{}, e); err == nil {
			u.Errorf("%s is enqueued", name)
		}
	}
	e := ok()
	mustNil(u, u.s.Enqueue(u.ctx, queue.Lease{}, e))
	again := ok()
	again.Content = e.Content
	if err := u.s.Enqueue(u.ctx, queue.Lease{}, again); err == nil {
		u.Error("one content belongs to two messages")
	}
	if _, err := e.Content.Write([]byte("more")); err == nil {
		u.Error("a stored content takes more")
	}
	if err := u.s.Record(u.ctx, &queue.Record{Now: start(), Reports: []*queue.Entry{testEntry(u, u.s, u.ids, testOptions{state: queue.Claimed})}}); err == nil {
		u.Error("a report begins as claimed")
	}
	ctx, cancel := context.WithCancel(u.ctx)
	cancel()
	if err := u.s.Enqueue(ctx, queue.Lease{}, ok()); !errors.Is(err, context.Canceled) {
		u.Error(err)
	}
	if _, err := u.s.OpenContent(u.ctx, 12345); !errors.Is(err, queue.ErrNotFound) {
		u.Error(err)
	}
	if _, err := u.s.Apply(u.ctx, queue.Filter{}, queue.Succeeded, start(), ""); err == nil {
		u.Error("an operator delivered")
	}
	for _, f := range []queue.Filter{{Sender: "no address"}, {Recipient: "@"}, {Recipient: "a@b@c"}} {
		if _, err := u.s.List(u.ctx, f); err == nil {
			u.Errorf("%+v selects", f)
		}
	}
}
