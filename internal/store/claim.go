package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// dueNow returns the destinations due at now, earliest first, at most limit,
// and when the next of the others is due; 0 for none.
func (q *Queue) dueNow(now int64, limit int) (due []queue.Due, next int64) {
	type entry struct {
		destination queue.Destination
		due         int64
	}
	var found []entry
	q.mu.Lock()
	for d, at := range q.schedule {
		switch {
		case at <= now:
			found = append(found, entry{d, at})
		case next == 0 || at < next:
			next = at
		}
	}
	q.mu.Unlock()
	slices.SortFunc(found, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.destination, b.destination))
	})
	if limit > 0 && len(found) > limit {
		next = found[limit].due // due already, and left out
		found = found[:limit]
	}
	for _, e := range found {
		due = append(due, queue.Due{Destination: e.destination, Oldest: moment(e.due)})
	}
	return due, next
}

// listed is a recipient as its row has it.
type listed struct {
	queue.Recipient
	last, tried int64 // log.seq
	incarnation int64
	total       int
}

// readRecipient reads a row of recipientColumns.
func readRecipient(rows *query, r *listed) error {
	*r = listed{}
	if err := readState(rows, r); err != nil {
		return err
	}
	return decodeRecipient(&r.Recipient, rows.ColumnRawBlob(13))
}

// readState reads all but what never changes.
func readState(rows *query, r *listed) error {
	r.ID = queue.RecipientID{Message: queue.ID(rows.ColumnInt64(0)), N: rows.ColumnInt(1)}
	r.State = queue.State(rows.ColumnInt(2))
	if r.State < queue.Offered || r.State > queue.Removed {
		return fmt.Errorf("read recipient %s: %w", r.ID, errDamaged)
	}
	r.Pending = queue.Event(rows.ColumnInt(3))
	r.Due = moment(rows.ColumnInt64(4))
	r.Expires = moment(rows.ColumnInt64(5))
	r.Attempts = rows.ColumnInt(6)
	r.Delayed = rows.ColumnBool(7)
	r.last = rows.ColumnInt64(8)
	r.tried = rows.ColumnInt64(9)
	r.incarnation = rows.ColumnInt64(10)
	r.total = rows.ColumnInt(11)
	r.Destination = queue.Destination(rows.ColumnText(12))
	return nil
}

// loadMessage reads one message.
func loadMessage(c *conn, id queue.ID) (*queue.Message, error) {
	rows := c.use(sqlSelectMessage).int(int64(id))
	var m *queue.Message
	var err error
	if rows.next() {
		m, err = decodeMessage(id, rows.ColumnRawBlob(0))
	} else {
		err = fmt.Errorf("message %s: %w", id, queue.ErrNotFound)
	}
	if derr := rows.done(); derr != nil {
		err = derr
	}
	return m, err
}

// loadLast fills in the last outcome, if the log still has it.
func loadLast(c *conn, r *listed) error {
	if r.tried == 0 {
		return nil
	}
	rows := c.use(sqlSelectLog).int(r.tried)
	var err error
	if rows.next() {
		row := queue.LogRow{Message: r.ID.Message, N: r.ID.N}
		err = decodeLog(&row, rows.ColumnRawBlob(3))
		r.Last = row.Outcome
	}
	if derr := rows.done(); derr != nil {
		err = derr
	}
	return err
}

// group puts recipients of one message and destination together, in the order
// in which the messages come first.
func group(c *conn, found []*listed) ([]queue.Job, error) {
	type key struct {
		message     queue.ID
		destination queue.Destination
	}
	var groups []queue.Job
	index := make(map[key]int, len(found))
	messages := make(map[queue.ID]*queue.Message, len(found))
	for _, r := range found {
		if err := loadLast(c, r); err != nil {
			return nil, err
		}
		k := key{r.ID.Message, r.Destination}
		i, ok := index[k]
		if !ok {
			m := messages[k.message]
			if m == nil {
				var err error
				if m, err = loadMessage(c, k.message); err != nil {
					return nil, err
				}
				messages[k.message] = m
			}
			i = len(groups)
			index[k] = i
			groups = append(groups, queue.Job{Message: m})
		}
		groups[i].Recipients = append(groups[i].Recipients, &r.Recipient)
	}
	return groups, nil
}

// maxClaim is the most recipients that one Claim or ListExpired returns.
const maxClaim = 1000

func bounded(limit, most int) int64 {
	if limit <= 0 || limit > most {
		return int64(most)
	}
	return int64(limit)
}

// collectRecipients reads all rows of recipientColumns.
func collectRecipients(rows *query) ([]*listed, error) {
	var found []*listed
	for rows.next() {
		r := new(listed)
		if err := readRecipient(rows, r); err != nil {
			_ = rows.done()
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.done()
}

// Claim implements queue.Store; it takes at most maxClaim at once.
func (q *Queue) Claim(ctx context.Context, d queue.Destination, limit int, now time.Time, lease queue.Lease) ([]queue.Job, error) {
	var claimed []queue.Job
	err := q.db.write(ctx, 0, func(c *conn) error {
		claimed = nil
		found, err := collectRecipients(c.use("SELECT " + recipientColumns + " FROM recipient INDEXED BY waiting WHERE state = 2 AND destination = ? AND due <= ? AND (expires = 0 OR expires > ?) ORDER BY due LIMIT ?").
			text(string(d)).int(now.UnixMicro()).int(now.UnixMicro()).int(bounded(limit, maxClaim)))
		if err != nil {
			return err
		}
		for _, r := range found {
			t, ok := queue.Step(r.State, queue.Claim)
			if !ok {
				return fmt.Errorf("claim %s: it is %s", r.ID, r.State)
			}
			r.State, r.incarnation = t.To, lease.Incarnation
			if err := update(c, r); err != nil {
				return err
			}
			q.moved(r.ID, queue.Waiting, t.To, d, d)
			q.pending.leased[r.ID] = lease.Until.UnixMicro()
		}
		claimed, err = group(c, found)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim for %s: %w", d, err)
	}
	return claimed, nil
}

// update writes the columns that change.
func update(c *conn, r *listed) error {
	var delayed int64
	if r.Delayed {
		delayed = 1
	}
	return c.use(sqlUpdateRecipient).
		int(int64(r.State)).int(int64(r.Pending)).int(micros(r.Due)).int(int64(r.Attempts)).int(delayed).
		int(r.last).int(r.tried).int(r.incarnation).
		int(int64(r.ID.Message)).int(int64(r.ID.N)).exec()
}

// ListExpired implements queue.Store; it lists at most maxClaim at once.
func (q *Queue) ListExpired(ctx context.Context, limit int, now time.Time) ([]queue.Job, error) {
	var expired []queue.Job
	err := q.db.read(ctx, func(c *conn) error {
		found, err := collectRecipients(c.use("SELECT " + recipientColumns + " FROM recipient INDEXED BY expiring WHERE state = 2 AND expires > 0 AND expires <= ? ORDER BY expires LIMIT ?").
			int(now.UnixMicro()).int(bounded(limit, maxClaim)))
		if err != nil {
			return err
		}
		expired, err = group(c, found)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list what has expired: %w", err)
	}
	return expired, nil
}

// Unclaim implements queue.Store. What is not claimed any more is left as it is.
func (q *Queue) Unclaim(ctx context.Context, ids []queue.RecipientID, due time.Time) error {
	err := q.db.write(ctx, 0, func(c *conn) error {
		for _, id := range ids {
			r, err := loadRecipient(c, id)
			if err != nil {
				return err
			}
			if r == nil || r.State != queue.Claimed {
				continue
			}
			// The table's way back, but neither an attempt nor worth a log row.
			t, ok := queue.Step(r.State, queue.Troubled)
			if !ok {
				return fmt.Errorf("%s is %s and cannot wait again", id, r.State)
			}
			r.Due = due
			if err := q.apply(c, r, t, due, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give back what was claimed: %w", err)
	}
	return nil
}

// mayGoTwice is the note of the log where an attempt was lost.
const mayGoTwice = "may go twice: the attempt ended without an outcome"

// ExpireLeases implements queue.Store.
func (q *Queue) ExpireLeases(ctx context.Context, now time.Time) (int, error) {
	at := now.UnixMicro()
	var over []queue.RecipientID
	q.mu.Lock()
	for id, until := range q.leases {
		if until < at {
			over = append(over, id)
		}
	}
	q.mu.Unlock()
	total := 0
	for len(over) > 0 {
		part := over[:min(len(over), maxClaim)]
		over = over[len(part):]
		n := 0
		err := q.db.write(ctx, 0, func(c *conn) error {
			n = 0
			for _, id := range part {
				ok, err := q.leaseOver(c, id, at, now)
				if err != nil {
					return err
				}
				if ok {
					n++
				}
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("end leases: %w", err)
		}
		total += n
	}
	return total, nil
}

// leaseOver applies the event if the lease has not been renewed meanwhile.
func (q *Queue) leaseOver(c *conn, id queue.RecipientID, at int64, now time.Time) (bool, error) {
	q.mu.Lock()
	until, held := q.leases[id]
	q.mu.Unlock()
	if pending, ok := q.pending.leased[id]; ok { // earlier in this transaction
		until, held = pending, pending != 0
	}
	if !held || until >= at {
		return false, nil
	}
	r, err := loadRecipient(c, id)
	if err != nil {
		return false, err
	}
	if r == nil {
		q.pending.leased[id] = 0
		return false, nil
	}
	t, ok := queue.Step(r.State, queue.LeaseOver)
	if !ok {
		q.pending.leased[id] = 0
		return false, nil
	}
	return true, q.apply(c, r, t, now, nil)
}

// loadRecipient reads a recipient that has not ended; nil if there is none.
func loadRecipient(c *conn, id queue.RecipientID) (*listed, error) {
	found, err := collectRecipients(c.use(sqlSelectRecipient).int(int64(id.Message)).int(int64(id.N)))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}
