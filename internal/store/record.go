package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// apply carries out a transition of a recipient that has not ended: its row,
// its log row, its content. row is what the log says, nil where only the
// transition itself is worth a word. r is changed to what it then is.
func (q *Queue) apply(c *conn, r *listed, t queue.Transition, now time.Time, row *queue.LogRow) error {
	from := r.State
	if t.Effects&queue.DeleteRow != 0 {
		return q.deleteRecipient(c, r)
	}
	to := t.To
	if t.Effects&queue.DueNow != 0 {
		r.Due = now
	}
	if t.Effects&queue.MayGoTwice != 0 {
		row = &queue.LogRow{Kind: queue.LogNote, Note: mayGoTwice}
	}
	settled := to
	if hasLease(from) && !hasLease(to) {
		settled = queue.Settle(to, r.Pending)
	}
	if row != nil {
		row.State = to
		if to == queue.Waiting {
			row.Due = r.Due
		}
		if err := q.addLog(c, r, row, now); err != nil {
			return err
		}
	}
	if settled != to {
		row := &queue.LogRow{Kind: queue.LogChanged, State: settled, Note: r.Pending.String() + ", as asked for during the attempt"}
		if err := q.addLog(c, r, row, now); err != nil {
			return err
		}
	}
	if !hasLease(settled) {
		r.Pending, r.incarnation = 0, 0
	}
	r.State = settled
	q.moved(r.ID, from, settled, r.Destination, r.Destination)
	if settled.Terminal() {
		return q.endRecipient(c, r)
	}
	return update(c, r)
}

// addLog adds a row to the recipient's log.
func (q *Queue) addLog(c *conn, r *listed, row *queue.LogRow, now time.Time) error {
	seq := q.nextSeq(now)
	row.At = now
	q.scratch = encodeLog(q.scratch[:0], row)
	err := c.use(sqlInsertLog).int(seq).int(int64(r.ID.Message)).int(int64(r.ID.N)).int(r.last).blob(q.scratch).exec()
	if err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	r.last = seq
	if row.Outcome != nil {
		r.tried = seq
		r.Last = row.Outcome
	}
	return nil
}

// endRecipient moves a recipient into history, and drops the content with the
// last one.
func (q *Queue) endRecipient(c *conn, r *listed) error {
	id, n := int64(r.ID.Message), int64(r.ID.N)
	err := c.use(sqlEndRecipient).int(int64(r.State)).int(int64(r.Attempts)).int(r.last).int(r.tried).int(id).int(n).exec()
	if err != nil {
		return err
	}
	if err := c.use(sqlDeleteRecipient).int(id).int(n).exec(); err != nil {
		return err
	}
	return dropContent(c, r)
}

// dropContent deletes the content if no recipient needs it any more.
func dropContent(c *conn, r *listed) error {
	id := int64(r.ID.Message)
	if r.total > 1 {
		left, err := c.use("SELECT 1 FROM recipient WHERE message = ? LIMIT 1").int(id).one()
		if err != nil || left != 0 {
			return err
		}
	}
	return deleteContent(c, id)
}

// deleteContent deletes a message's content, small or large.
func deleteContent(c *conn, id int64) error {
	if err := c.use(sqlDeleteContent).int(id).exec(); err != nil {
		return err
	}
	if c.Changes() > 0 {
		return nil
	}
	upload, err := c.use("SELECT upload FROM large WHERE message = ?").int(id).one()
	if err != nil || upload == 0 {
		return err
	}
	if err := c.use("DELETE FROM large WHERE message = ?").int(id).exec(); err != nil {
		return err
	}
	return deleteChunks(c, upload)
}

// deleteChunks deletes the chunks of a large content.
func deleteChunks(c *conn, upload int64) error {
	return c.use("DELETE FROM chunk WHERE id >= ? AND id < ?").int(upload << chunkBits).int((upload + 1) << chunkBits).exec()
}

// deleteRecipient makes a recipient never have been, and its message with the
// last one: no 250 was said.
func (q *Queue) deleteRecipient(c *conn, r *listed) error {
	id, n := int64(r.ID.Message), int64(r.ID.N)
	if err := c.use(sqlDeleteRecipient).int(id).int(n).exec(); err != nil {
		return err
	}
	q.moved(r.ID, r.State, 0, r.Destination, r.Destination)
	if err := dropContent(c, r); err != nil {
		return err
	}
	left, err := c.use("SELECT EXISTS (SELECT 1 FROM recipient WHERE message = ?) + EXISTS (SELECT 1 FROM ended WHERE message = ?)").int(id).int(id).one()
	if err != nil || left != 0 {
		return err
	}
	return c.use("DELETE FROM message WHERE id = ?").int(id).exec()
}

// Record implements queue.Store. The recipients of reports are Waiting: nobody
// has a lease on them. A report is left out if none of the changes that it is
// about was allowed.
func (q *Queue) Record(ctx context.Context, rec *queue.Record) error {
	size := 0
	for _, e := range rec.Reports {
		for _, r := range e.Recipients {
			if r.State != queue.Waiting {
				return fmt.Errorf("record: the recipient %s of a report is %s and must be %s", r.ID, r.State, queue.Waiting)
			}
		}
		if err := check(e); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		size += int(min(e.Content.Size(), chunkSize))
	}
	var defects []error
	err := q.db.write(ctx, size, func(c *conn) error {
		defects = nil
		reports := reportsByParent(rec.Reports)
		told := make(map[queue.ID]bool, len(rec.Reports))
		for i := range rec.Changes {
			ch := &rec.Changes[i]
			report := ch.Report
			if report == 0 {
				report = reports[ch.ID.Message]
			}
			tells, err := q.record(c, ch, rec.Now, report)
			var not *notAllowedError
			if errors.As(err, &not) {
				defects = append(defects, err)
				continue
			}
			if err != nil {
				return err
			}
			told[report] = told[report] || tells
		}
		for _, e := range rec.Reports {
			if e.Message.Parent != 0 && !told[e.Message.ID] {
				continue
			}
			if err := q.insert(c, queue.Lease{}, e); err != nil {
				return fmt.Errorf("enqueue the report %s: %w", e.Message.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record outcomes: %w", err)
	}
	for _, e := range rec.Reports {
		attached(e)
	}
	return errors.Join(defects...)
}

// reportsByParent finds the report about a message; 0 if there is none.
func reportsByParent(reports []*queue.Entry) map[queue.ID]queue.ID {
	if len(reports) == 0 {
		return nil
	}
	m := make(map[queue.ID]queue.ID, len(reports))
	for _, e := range reports {
		m[e.Message.Parent] = e.Message.ID
	}
	return m
}

// notAllowedError is an event that the table does not have for a state: a
// defect, or an attempt that outlived its lease.
type notAllowedError struct {
	id    queue.RecipientID
	state queue.State // 0: it has ended, or never was
	event queue.Event
}

func (e *notAllowedError) Error() string {
	if e.state == 0 {
		return fmt.Sprintf("recipient %s: the event %q is too late, it is not in the queue any more", e.id, e.event)
	}
	return fmt.Sprintf("recipient %s: the event %q is not allowed while it is %s", e.id, e.event, e.state)
}

// Is makes it queue.ErrNotAllowed, and a recipient that is not there
// queue.ErrNotFound, too.
func (e *notAllowedError) Is(target error) bool {
	return target == queue.ErrNotAllowed || e.state == 0 && target == queue.ErrNotFound
}

// record carries out one change; told says that a report, if there is one, is
// about it.
func (q *Queue) record(c *conn, ch *queue.Change, now time.Time, report queue.ID) (told bool, err error) {
	r := &q.one
	rows := c.use(sqlSelectRecipient).int(int64(ch.ID.Message)).int(int64(ch.ID.N))
	found := rows.next()
	if found {
		*r = listed{}
		err = readState(rows, r)
	}
	if derr := rows.done(); derr != nil {
		err = derr
	}
	if err != nil {
		return false, err
	}
	if !found {
		return false, &notAllowedError{id: ch.ID, event: ch.Event}
	}
	t, ok := queue.Step(r.State, ch.Event)
	if !ok {
		return false, &notAllowedError{ch.ID, r.State, ch.Event}
	}
	row := queue.LogRow{Kind: queue.LogAttempt, Outcome: ch.Outcome}
	if ch.Outcome == nil {
		row.Kind = queue.LogNote
		row.Note = ch.Event.String()
	}
	switch ch.Event {
	case queue.Succeeded, queue.Troubled, queue.Failed:
		r.Attempts++
	}
	if t.Effects&queue.Reschedule != 0 {
		r.Due = ch.Due
	}
	if t.Effects&queue.Report != 0 {
		told = true
		if ch.Suppress != "" {
			t.To = queue.Suppressed
			row.Note = "no report: " + ch.Suppress
			told = false
		}
	}
	if ch.Event == queue.Succeeded && ch.Report != 0 { // as the sender asked (rfc3461#4.1)
		told = true
	}
	if ch.Delayed && t.To == queue.Waiting {
		r.Delayed, told = true, true
	}
	if told {
		row.Linked = report
	}
	return told, q.apply(c, r, t, now, &row)
}
