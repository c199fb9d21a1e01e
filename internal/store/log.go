package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/onwardmail/onward/internal/queue"
)

// Log implements queue.Store. It returns the newest Limit rows of those that
// the filter selects, in the order of time; by address, those of the newest
// messages. That a message was accepted is one row for each of its recipients,
// made from the message itself. The log of a recipient that was refused while
// the client still waited is gone with the recipient.
func (q *Queue) Log(ctx context.Context, f queue.LogFilter) ([]queue.LogRow, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = queue.DefaultLimit
	}
	limit = min(limit, MaxList)
	by, err := parsePattern(f.Address)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	l := &logReading{f: f, by: by, limit: limit, parents: make(map[queue.ID]*parent)}
	err = q.db.read(ctx, func(c *conn) error {
		switch {
		case f.Message != 0:
			return l.message(c, f.Message)
		case by.set && !by.null:
			return q.eachByParty(c, by, 0, func(id queue.ID) (bool, error) {
				err := l.message(c, id)
				return len(l.rows) < limit, err
			})
		}
		return l.newest(c)
	})
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	slices.SortStableFunc(l.rows, func(a, b queue.LogRow) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Message, b.Message), cmp.Compare(a.N, b.N))
	})
	return l.rows[max(0, len(l.rows)-limit):], nil
}

// logReading is one reading of the log.
type logReading struct {
	f       queue.LogFilter
	by      pattern
	limit   int
	rows    []queue.LogRow
	parents map[queue.ID]*parent
}

// parent is the message of log rows, with its recipients.
type parent struct {
	m          *queue.Message
	recipients map[int]*listed
}

// maxParents bounds how many messages a reading keeps in memory.
const maxParents = 1000

func (l *logReading) parent(c *conn, id queue.ID) (*parent, error) {
	if p, ok := l.parents[id]; ok {
		return p, nil
	}
	all, err := recipientsOf(c, id, true, true)
	if err != nil {
		return nil, err
	}
	var p *parent // nil: it is gone
	if len(all) > 0 {
		p = &parent{recipients: make(map[int]*listed, len(all))}
		if p.m, err = loadMessage(c, id); err != nil {
			return nil, err
		}
		for _, r := range all {
			p.recipients[r.ID.N] = r
		}
	}
	if len(l.parents) >= maxParents {
		clear(l.parents)
	}
	l.parents[id] = p
	return p, nil
}

// add takes a row if the filter selects it.
func (l *logReading) add(m *queue.Message, r *listed, row queue.LogRow) {
	if row.At.Before(l.f.Since) {
		return
	}
	if l.by.set && !l.by.matches(m.From) && !l.by.matches(r.Address) && !l.by.matches(r.Target) {
		return
	}
	row.Message, row.N = m.ID, r.ID.N
	row.Address, row.Target, row.Hidden = r.Address, r.Target, r.Hidden
	row.From, row.MessageID = m.From, m.MessageID
	l.rows = append(l.rows, row)
}

func (l *logReading) addAccepted(m *queue.Message, r *listed) {
	l.add(m, r, queue.LogRow{At: m.Received, Kind: queue.LogAccepted, State: queue.Waiting, Linked: m.Parent})
}

// message takes the rows of one message.
func (l *logReading) message(c *conn, id queue.ID) error {
	p, err := l.parent(c, id)
	if err != nil || p == nil {
		return err
	}
	for n := range p.recipients {
		r := p.recipients[n]
		l.addAccepted(p.m, r)
		var chain []*queue.LogRow // newest first
		for seq := r.last; seq != 0; {
			row, prev, err := loadLog(c, seq)
			if err != nil {
				return err
			}
			if row == nil {
				break // pruned
			}
			chain = append(chain, row)
			seq = prev
		}
		for _, row := range slices.Backward(chain) {
			l.add(p.m, r, *row)
		}
	}
	return nil
}

// loadLog reads one row and the key of the one before it; nil if it is gone.
func loadLog(c *conn, seq int64) (row *queue.LogRow, prev int64, err error) {
	rows := c.use(sqlSelectLog).int(seq)
	if rows.next() {
		row, prev, err = readLog(rows)
	}
	if derr := rows.done(); derr != nil {
		err = derr
	}
	return row, prev, err
}

// readLog reads message, n, prev, data.
func readLog(rows *query) (*queue.LogRow, int64, error) {
	row := &queue.LogRow{Message: queue.ID(rows.ColumnInt64(0)), N: rows.ColumnInt(1)}
	return row, rows.ColumnInt64(2), decodeLog(row, rows.ColumnRawBlob(3))
}

// newest takes the newest rows of all.
func (l *logReading) newest(c *conn) error {
	var found []*queue.LogRow
	rows := c.use("SELECT message, n, prev, data FROM log WHERE seq >= ? ORDER BY seq DESC LIMIT ?").int(micros(l.f.Since)).int(int64(l.limit))
	for rows.next() {
		row, _, err := readLog(rows)
		if err != nil {
			_ = rows.done()
			return err
		}
		found = append(found, row)
	}
	if err := rows.done(); err != nil {
		return err
	}
	if err := l.newestAccepted(c); err != nil {
		return err
	}
	for _, row := range slices.Backward(found) { // rows of one moment stay in their order
		p, err := l.parent(c, row.Message)
		if err != nil {
			return err
		}
		if p == nil || p.recipients[row.N] == nil {
			continue
		}
		l.add(p.m, p.recipients[row.N], *row)
	}
	return nil
}

func (l *logReading) newestAccepted(c *conn) error {
	var ids []queue.ID
	rows := c.use("SELECT id FROM message ORDER BY id DESC LIMIT ?").int(int64(l.limit))
	for rows.next() {
		ids = append(ids, queue.ID(rows.ColumnInt64(0)))
	}
	if err := rows.done(); err != nil {
		return err
	}
	for _, id := range ids {
		p, err := l.parent(c, id)
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		if p.m.Received.Before(l.f.Since) {
			return nil
		}
		for n := range p.recipients {
			l.addAccepted(p.m, p.recipients[n])
		}
	}
	return nil
}
