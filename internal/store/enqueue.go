package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/onwardmail/onward/internal/queue"
)

// Enqueue implements queue.Store. Recipients are Waiting, Held, or with the lease
// Claimed or Offered.
func (q *Queue) Enqueue(ctx context.Context, lease queue.Lease, entries ...*queue.Entry) error {
	size := 0
	for _, e := range entries {
		if err := check(e); err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		size += int(min(e.Content.Size(), chunkSize))
	}
	if q.db.disk.isLow() {
		return fmt.Errorf("enqueue: %w", queue.ErrFull)
	}
	err := q.db.write(ctx, size, func(c *conn) error {
		for _, e := range entries {
			if err := q.insert(c, lease, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	for _, e := range entries {
		attached(e)
	}
	return nil
}

// check holds an entry against what the tables need.
func check(e *queue.Entry) error {
	if e == nil || e.Message == nil || e.Content == nil || len(e.Recipients) == 0 {
		return errors.New("an entry needs a message, a content and recipients")
	}
	if e.Message.ID <= 0 {
		return errors.New("a message needs an id above 0")
	}
	for i, r := range e.Recipients {
		if r.ID.Message != e.Message.ID || r.ID.N <= 0 {
			return fmt.Errorf("recipient %d of message %s has the id %s", i, e.Message.ID, r.ID)
		}
		switch r.State {
		case queue.Waiting, queue.Claimed, queue.Offered, queue.Held:
		default:
			return fmt.Errorf("recipient %s cannot begin as %s", r.ID, r.State)
		}
	}
	if _, inline := e.Content.Inline(); inline {
		return nil
	}
	if _, ours := e.Content.(*content); !ours {
		return errors.New("a large content must come from this store's NewContent")
	}
	return nil
}

// insert stores one entry.
func (q *Queue) insert(c *conn, lease queue.Lease, e *queue.Entry) error {
	m := e.Message
	id := int64(m.ID)
	q.scratch = encodeMessage(q.scratch[:0], m)
	if err := c.use(sqlInsertMessage).int(id).blob(q.scratch).exec(); err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	if err := insertContent(c, id, e.Content); err != nil {
		return fmt.Errorf("the content of %s: %w", m.ID, err)
	}
	for _, r := range e.Recipients {
		if err := q.insertRecipient(c, lease, r, len(e.Recipients)); err != nil {
			return fmt.Errorf("recipient %s: %w", r.ID, err)
		}
	}
	return q.insertParties(c, e)
}

func (q *Queue) insertRecipient(c *conn, lease queue.Lease, r *queue.Recipient, total int) error {
	var incarnation int64
	if hasLease(r.State) {
		incarnation = lease.Incarnation
		q.pending.leased[r.ID] = lease.Until.UnixMicro()
	}
	var delayed int64
	if r.Delayed {
		delayed = 1
	}
	q.scratch = encodeRecipient(q.scratch[:0], r)
	err := c.use(sqlInsertRecipient).
		int(int64(r.ID.Message)).int(int64(r.ID.N)).int(int64(r.State)).int(micros(r.Due)).int(micros(r.Expires)).
		int(int64(r.Attempts)).int(delayed).int(incarnation).int(int64(total)).
		text(string(r.Destination)).blob(q.scratch).exec()
	if err != nil {
		return err
	}
	q.pending.counts[r.State]++
	if r.State == queue.Waiting {
		q.pending.touched[r.Destination] = true
	}
	return nil
}
