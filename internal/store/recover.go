package store

import (
	"context"
	"fmt"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// Recover implements queue.Store.
func (q *Queue) Recover(ctx context.Context, incarnation int64, now time.Time) (queue.Recovered, error) {
	var rec queue.Recovered
	for _, step := range []func(context.Context, int64, time.Time, *queue.Recovered) error{q.restart, q.sweep} {
		if err := step(ctx, incarnation, now, &rec); err != nil {
			return rec, fmt.Errorf("recover the queue: %w", err)
		}
	}
	q.mu.Lock()
	rec.Waiting = int(q.counts[queue.Waiting])
	q.mu.Unlock()
	return rec, nil
}

// restart applies Restart to what older incarnations had under way, a bounded
// number in each transaction.
func (q *Queue) restart(ctx context.Context, incarnation int64, now time.Time, rec *queue.Recovered) error {
	after := queue.RecipientID{}
	for {
		var released, offered, found int
		last := after
		err := q.db.write(ctx, 0, func(c *conn) error {
			released, offered = 0, 0
			old, err := collectRecipients(c.use("SELECT " + recipientColumns + ` FROM recipient
				WHERE (message, n) > (?, ?) AND state IN (1, 3) AND incarnation <> ? ORDER BY message, n LIMIT ?`).
				int(int64(after.Message)).int(int64(after.N)).int(incarnation).int(maxClaim))
			if err != nil {
				return err
			}
			found = len(old)
			for _, r := range old {
				last = r.ID
				from := r.State
				t, ok := queue.Step(from, queue.Restart)
				if !ok {
					return fmt.Errorf("%s is %s and has no restart", r.ID, from)
				}
				if err := q.apply(c, r, t, now, nil); err != nil {
					return err
				}
				if from == queue.Offered {
					offered++
				} else {
					released++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		rec.Released += released
		rec.Offered += offered
		if found < maxClaim {
			return nil
		}
		after = last
	}
}

// sweep deletes the chunks of contents that no message has.
func (q *Queue) sweep(ctx context.Context, _ int64, _ time.Time, rec *queue.Recovered) error {
	for upload := int64(0); ; {
		done := false
		orphans := 0
		from := upload
		err := q.db.write(ctx, 0, func(c *conn) error {
			done, orphans, upload = false, 0, from
			known, err := uploads(c)
			if err != nil {
				return err
			}
			for range maxClaim {
				first, err := c.use("SELECT id FROM chunk WHERE id >= ? ORDER BY id LIMIT 1").int(upload << chunkBits).one()
				if err != nil {
					return err
				}
				if first == 0 {
					done = true
					return nil
				}
				upload = first >> chunkBits
				if !known[upload] {
					if err := deleteChunks(c, upload); err != nil {
						return err
					}
					orphans++
				}
				upload++
			}
			return nil
		})
		if err != nil {
			return err
		}
		rec.Orphans += orphans
		if done {
			return nil
		}
	}
}

// uploads returns the large contents that messages have.
func uploads(c *conn) (map[int64]bool, error) {
	known := make(map[int64]bool)
	rows := c.use("SELECT upload FROM large")
	for rows.next() {
		known[rows.ColumnInt64(0)] = true
	}
	return known, rows.done()
}
