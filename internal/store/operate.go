package store

import (
	"context"
	"fmt"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
)

// MaxApply is how many recipients one Apply or RetryNow changes where the filter
// has no Limit. Called again it goes on with those that remain, until it
// returns none.
const MaxApply = 10_000

// Apply implements queue.Store.
func (q *Queue) Apply(ctx context.Context, f queue.Filter, e queue.Event, now time.Time, note string) ([]queue.Listed, error) {
	switch e {
	case queue.Hold, queue.Release, queue.Remove:
	default:
		return nil, fmt.Errorf("change the queue: %q is not an operator's event", e)
	}
	var states []queue.State
	for _, s := range queue.States() {
		if _, ok := queue.Step(s, e); ok && !s.Terminal() {
			states = append(states, s)
		}
	}
	unchanged := func(r *queue.Recipient) bool { return r.Pending == e }
	return q.operate(ctx, f, states, unchanged, func(c *conn, r *listed) error {
		t, ok := queue.Step(r.State, e)
		if !ok {
			return nil // it changed since it was looked at
		}
		row := &queue.LogRow{Kind: queue.LogChanged, Note: changedNote(e.String(), note)}
		if t.Effects&queue.AfterAttempt != 0 {
			row.Note = changedNote(e.String()+" after the attempt under way", note)
			r.Pending = e
		}
		return q.apply(c, r, t, now, row)
	})
}

// RetryNow implements queue.Store.
func (q *Queue) RetryNow(ctx context.Context, f queue.Filter, now time.Time, note string) ([]queue.Listed, error) {
	unchanged := func(r *queue.Recipient) bool { return !r.Due.After(now) }
	return q.operate(ctx, f, []queue.State{queue.Waiting}, unchanged, func(c *conn, r *listed) error {
		if r.State != queue.Waiting {
			return nil
		}
		r.Due = now
		row := &queue.LogRow{Kind: queue.LogChanged, Note: changedNote("retry now", note)}
		return q.apply(c, r, queue.Transition{To: queue.Waiting}, now, row)
	})
}

func changedNote(what, note string) string {
	if note == "" {
		return what
	}
	return what + ": " + note
}

// operate changes what a filter selects among the states, a bounded number in
// each transaction. unchanged names those that need no change.
func (q *Queue) operate(ctx context.Context, f queue.Filter, states []queue.State, unchanged func(*queue.Recipient) bool,
	change func(*conn, *listed) error,
) ([]queue.Listed, error) {
	f.States = intersect(f.States, states)
	if len(f.States) == 0 {
		return nil, nil
	}
	most := f.Limit
	if most <= 0 || most > MaxApply {
		most = MaxApply
	}
	sel, err := newSelection(f)
	if err != nil {
		return nil, err
	}
	sel.skip = unchanged
	sel.limit = most
	var chosen []queue.RecipientID
	err = q.db.read(ctx, func(c *conn) error {
		found, err := sel.find(q, c)
		for _, r := range found[:min(len(found), most)] {
			chosen = append(chosen, r.ID)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("change the queue: %w", err)
	}
	var all []queue.Listed
	for len(chosen) > 0 {
		part := chosen[:min(len(chosen), maxClaim)]
		chosen = chosen[len(part):]
		changed, err := q.operateOn(ctx, part, change)
		if err != nil {
			return all, fmt.Errorf("change the queue: %w", err)
		}
		all = append(all, changed...)
	}
	return all, nil
}

func (q *Queue) operateOn(ctx context.Context, ids []queue.RecipientID, change func(*conn, *listed) error) ([]queue.Listed, error) {
	var changed []queue.Listed
	err := q.db.write(ctx, 0, func(c *conn) error {
		changed = nil
		var m *queue.Message
		for _, id := range ids {
			r, err := loadRecipient(c, id)
			if err != nil {
				return err
			}
			if r == nil {
				continue // it ended since it was looked at
			}
			if err := loadLast(c, r); err != nil {
				return err
			}
			if m == nil || m.ID != id.Message {
				if m, err = loadMessage(c, id.Message); err != nil {
					return err
				}
			}
			before := r.last
			if err := change(c, r); err != nil {
				return err
			}
			if r.last != before {
				changed = append(changed, queue.Listed{Message: m, Recipient: &r.Recipient})
			}
		}
		return nil
	})
	return changed, err
}

func intersect(asked, possible []queue.State) []queue.State {
	if len(asked) == 0 {
		return possible
	}
	var both []queue.State
	for _, s := range possible {
		for _, t := range asked {
			if s == t {
				both = append(both, s)
			}
		}
	}
	return both
}

// Reroute implements queue.Store. It reads and writes a bounded number at a
// time, while the queue goes on.
func (q *Queue) Reroute(ctx context.Context, route func(target address.Mailbox, now queue.Destination) queue.Destination) (int, error) {
	total := 0
	var after queue.RecipientID
	for {
		type move struct {
			id       queue.RecipientID
			from, to queue.Destination
		}
		var moves []move
		seen := 0
		err := q.db.read(ctx, func(c *conn) error {
			found, err := collectRecipients(c.use("SELECT " + recipientColumns + ` FROM recipient
				WHERE (message, n) > (?, ?) AND state IN (2, 4) ORDER BY message, n LIMIT ?`).
				int(int64(after.Message)).int(int64(after.N)).int(maxClaim))
			seen = len(found)
			for _, r := range found {
				after = r.ID
				if to := route(r.Target, r.Destination); to != r.Destination {
					moves = append(moves, move{r.ID, r.Destination, to})
				}
			}
			return err
		})
		if err != nil {
			return total, fmt.Errorf("route anew: %w", err)
		}
		if len(moves) > 0 {
			n := 0
			err := q.db.write(ctx, 0, func(c *conn) error {
				n = 0
				for _, m := range moves {
					err := c.use("UPDATE recipient SET destination = ? WHERE message = ? AND n = ? AND state IN (2, 4) AND destination = ?").
						text(string(m.to)).int(int64(m.id.Message)).int(int64(m.id.N)).text(string(m.from)).exec()
					if err != nil {
						return err
					}
					if c.Changes() > 0 {
						n++
						q.pending.touched[m.from] = true
						q.pending.touched[m.to] = true
					}
				}
				return nil
			})
			if err != nil {
				return total, fmt.Errorf("route anew: %w", err)
			}
			total += n
		}
		if seen < maxClaim {
			return total, nil
		}
	}
}
