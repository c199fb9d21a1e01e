package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
)

// Messages are found by the addresses they have to do with. An index of
// addresses would cost more than storing the message does, because addresses
// come in no order. So they are gathered in memory and written as one sorted
// segment for some thousand messages; which messages are not in a segment yet
// is in the table unindexed, whose keys come in order. A reader looks through
// what is in memory, then into each segment, newest first.

const (
	// segmentEntries is how many entries one segment has, 16 octets each.
	segmentEntries = 12_000
	entrySize      = 16
)

// party says that a message has to do with an address.
type party struct {
	hash    uint64
	message queue.ID
}

func compareParties(a, b party) int {
	switch {
	case a.hash < b.hash:
		return -1
	case a.hash > b.hash:
		return 1
	case a.message < b.message:
		return -1
	case a.message > b.message:
		return 1
	}
	return 0
}

// hashOf is the key of an address: half of it the domain's, so that a domain is
// a range.
func hashOf(a address.Mailbox) uint64 {
	return uint64(hash32(a.Domain.String()))<<32 | uint64(hash32(strings.ToLower(a.Local)))
}

func hash32(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s)) // never fails
	return h.Sum32()
}

// parties appends the entries of a message.
func parties(dst []party, m *queue.Message, recipients []*queue.Recipient) []party {
	if !m.From.IsZero() {
		dst = append(dst, party{hashOf(m.From), m.ID})
	}
	for _, r := range recipients {
		dst = append(dst, party{hashOf(r.Address), m.ID})
		if r.Target != r.Address {
			dst = append(dst, party{hashOf(r.Target), m.ID})
		}
	}
	return dst
}

// insertParties makes the message findable by its addresses.
func (q *Queue) insertParties(c *conn, e *queue.Entry) error {
	q.pending.parties = parties(q.pending.parties, e.Message, e.Recipients)
	return c.use("INSERT INTO unindexed (message) VALUES (?)").int(int64(e.Message.ID)).exec()
}

// writeSegment writes what has gathered, with the transaction's own, when it is
// enough.
func (q *Queue) writeSegment(c *conn) error {
	if len(q.parties)+len(q.pending.parties) < segmentEntries {
		return nil
	}
	all := slices.Concat(q.parties, q.pending.parties) // read only: this goroutine alone changes it
	slices.SortFunc(all, compareParties)
	all = slices.Compact(all)
	oldest, newest := all[0].message, all[0].message
	blob := make([]byte, 0, len(all)*entrySize)
	for _, p := range all {
		oldest, newest = min(oldest, p.message), max(newest, p.message)
		blob = binary.BigEndian.AppendUint64(blob, p.hash)
		blob = binary.BigEndian.AppendUint64(blob, uint64(p.message))
	}
	if err := c.use("INSERT INTO segment (newest, oldest, entries) VALUES (?, ?, ?)").int(int64(newest)).int(int64(oldest)).blob(blob).exec(); err != nil {
		return fmt.Errorf("index the addresses: %w", err)
	}
	if err := c.use("DELETE FROM unindexed").exec(); err != nil {
		return fmt.Errorf("index the addresses: %w", err)
	}
	q.pending.segmented = true
	return nil
}

// loadParties reads what is in no segment.
func (q *Queue) loadParties(c *conn) error {
	var ids []queue.ID
	rows := c.use("SELECT message FROM unindexed")
	for rows.next() {
		ids = append(ids, queue.ID(rows.ColumnInt64(0)))
	}
	if err := rows.done(); err != nil {
		return err
	}
	for _, id := range ids {
		all, err := recipientsOf(c, id, true, true)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			continue // it was refused while the client waited, or pruned
		}
		m, err := loadMessage(c, id)
		if err != nil {
			return err
		}
		recipients := make([]*queue.Recipient, len(all))
		for i, r := range all {
			recipients[i] = &r.Recipient
		}
		q.parties = parties(q.parties, m, recipients)
	}
	return nil
}

// gathered returns the messages in memory that the pattern selects.
func (q *Queue) gathered(p pattern) []queue.ID {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []queue.ID
	for _, e := range q.parties {
		if p.low <= e.hash && e.hash <= p.high {
			ids = append(ids, e.message)
		}
	}
	return ids
}

// inSegment appends the messages in a segment that the pattern selects.
func inSegment(dst []queue.ID, blob []byte, p pattern) []queue.ID {
	hash := func(i int) uint64 { return binary.BigEndian.Uint64(blob[i*entrySize:]) }
	low, high := 0, len(blob)/entrySize
	for end := high; low < end; {
		if mid := (low + end) / 2; hash(mid) < p.low {
			low = mid + 1
		} else {
			end = mid
		}
	}
	for i := low; i < high && hash(i) <= p.high; i++ {
		dst = append(dst, queue.ID(binary.BigEndian.Uint64(blob[i*entrySize+8:])))
	}
	return dst
}

// eachByParty calls f with the messages older than before (0: all) that an
// address has to do with, newest first, until it returns false. Hashes may
// meet: f looks at the addresses themselves.
func (q *Queue) eachByParty(c *conn, p pattern, before queue.ID, f func(queue.ID) (bool, error)) error {
	const newest = queue.ID(^uint64(0) >> 1)
	if before == 0 {
		before = newest
	}
	// The view of the database is not older than what is taken from memory here,
	// or it has the segment already: both together miss nothing.
	waiting := q.gathered(p)
	segment := int64(newest)
	for next := newest; ; {
		// Segments come by their newest message: whatever is newer than that of the
		// next one is in its place.
		rows := c.use("SELECT id, newest, CASE WHEN oldest < ? THEN entries END FROM segment WHERE (newest, id) < (?, ?) ORDER BY newest DESC, id DESC LIMIT 1").
			int(int64(before)).int(int64(next)).int(segment)
		found := rows.next()
		var more []queue.ID
		if found {
			segment, next = rows.ColumnInt64(0), queue.ID(rows.ColumnInt64(1))
			more = inSegment(nil, rows.ColumnRawBlob(2), p)
		}
		if err := rows.done(); err != nil {
			return err
		}
		if !found {
			next = -1
		}
		slices.SortFunc(waiting, func(a, b queue.ID) int { return compareParties(party{message: b}, party{message: a}) })
		waiting = slices.Compact(waiting)
		for len(waiting) > 0 && waiting[0] > next {
			id := waiting[0]
			waiting = waiting[1:]
			if id >= before {
				continue
			}
			if again, err := f(id); err != nil || !again {
				return err
			}
		}
		if !found {
			return nil
		}
		waiting = append(waiting, more...)
	}
}
