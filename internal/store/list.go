package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
)

// MaxList is the most rows that a listing returns, but for the last message,
// which is always whole.
const MaxList = 10_000

// pattern is what a filter says about an address: one, or all of a domain.
type pattern struct {
	set    bool
	null   bool // <>
	key    string
	domain string // the whole domain if key is ""
	low    uint64 // the range of hashes, both ends included
	high   uint64
}

// parsePattern reads an exact address, "@domain", or "<>" for the null
// reverse-path.
func parsePattern(s string) (pattern, error) {
	switch {
	case s == "":
		return pattern{}, nil
	case s == "<>":
		return pattern{set: true, null: true}, nil
	case s[0] == '@':
		d, err := address.ParseDomain(s[1:])
		if err != nil {
			return pattern{}, fmt.Errorf("%q does not select a domain: %w", s, err)
		}
		low := uint64(hash32(d.String())) << 32
		return pattern{set: true, domain: d.String(), low: low, high: low | 0xffffffff}, nil
	}
	m, err := address.ParseMailbox(strings.Trim(s, "<>"))
	if err != nil {
		return pattern{}, fmt.Errorf("%q selects neither an address nor, with @ in front, a domain: %w", s, err)
	}
	h := hashOf(m)
	return pattern{set: true, key: m.Key(), domain: m.Domain.String(), low: h, high: h}, nil
}

// matches reports whether the address is one that the pattern means.
func (p *pattern) matches(a address.Mailbox) bool {
	switch {
	case p.null:
		return a.IsZero()
	case p.key == "":
		return a.Domain.String() == p.domain
	}
	return a.Domain.String() == p.domain && a.Key() == p.key
}

// selection finds recipients by a filter, newest message first.
type selection struct {
	f                 queue.Filter
	sender, recipient pattern
	live, ended       bool
	skip              func(*queue.Recipient) bool // nil: none
	limit             int
}

func newSelection(f queue.Filter) (*selection, error) {
	s := &selection{f: f, limit: f.Limit}
	var err error
	if s.sender, err = parsePattern(f.Sender); err != nil {
		return nil, fmt.Errorf("select by sender: %w", err)
	}
	if s.recipient, err = parsePattern(f.Recipient); err != nil {
		return nil, fmt.Errorf("select by recipient: %w", err)
	}
	s.live, s.ended = len(f.States) == 0, len(f.States) == 0
	for _, st := range f.States {
		if st.Terminal() {
			s.ended = true
		} else {
			s.live = true
		}
	}
	if s.limit <= 0 {
		s.limit = queue.DefaultLimit
	}
	s.limit = min(s.limit, MaxList)
	return s, nil
}

// find returns the recipients, those of one message together and by number.
func (s *selection) find(q *Queue, c *conn) ([]*listed, error) {
	if s.f.Message != 0 {
		return s.ofMessage(c, s.f.Message)
	}
	by := s.recipient
	if !by.set || by.null {
		by = s.sender
	}
	if by.set && !by.null {
		var found []*listed
		err := q.eachByParty(c, by, s.f.Before, func(id queue.ID) (bool, error) {
			some, err := s.ofMessage(c, id)
			found = append(found, some...)
			return len(found) < s.limit, err
		})
		return found, err
	}
	return s.scan(c)
}

// ofMessage returns those of one message.
func (s *selection) ofMessage(c *conn, id queue.ID) ([]*listed, error) {
	if s.f.Before != 0 && id >= s.f.Before {
		return nil, nil
	}
	all, err := recipientsOf(c, id, s.live, s.ended)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if s.sender.set {
		m, err := loadMessage(c, id)
		if err != nil {
			return nil, err
		}
		if !s.sender.matches(m.From) {
			return nil, nil
		}
	}
	return slices.DeleteFunc(all, func(r *listed) bool { return !s.takes(r) }), nil
}

// takes holds a recipient against all of the filter but the sender.
func (s *selection) takes(r *listed) bool {
	f := &s.f
	switch {
	case f.N != 0 && r.ID.N != f.N,
		len(f.States) > 0 && !slices.Contains(f.States, r.State),
		f.Destination != "" && r.Destination != f.Destination,
		s.recipient.set && !s.recipient.matches(r.Address) && !s.recipient.matches(r.Target),
		s.skip != nil && s.skip(&r.Recipient):
		return false
	}
	return true
}

// recipientsOf reads the recipients of a message by number.
func recipientsOf(c *conn, id queue.ID, live, ended bool) ([]*listed, error) {
	var all []*listed
	if live {
		found, err := collectRecipients(c.use("SELECT " + recipientColumns + " FROM recipient WHERE message = ?").int(int64(id)))
		if err != nil {
			return nil, err
		}
		all = found
	}
	if ended {
		found, err := collectRecipients(c.use("SELECT " + recipientColumns + " FROM ended WHERE message = ?").int(int64(id)))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b *listed) int { return a.ID.N - b.ID.N })
	return all, nil
}

// The queries of scan: messages with recipients in a table, newest first.
const (
	sqlScanLive  = "SELECT DISTINCT message FROM recipient WHERE message < ? AND (? = '' OR destination = ?) AND (? >> state) & 1 ORDER BY message DESC LIMIT ?"
	sqlScanEnded = "SELECT DISTINCT message FROM ended WHERE message < ? AND (? = '' OR destination = ?) AND (? >> state) & 1 ORDER BY message DESC LIMIT ?"
)

// scan walks back through all messages, a block at a time.
func (s *selection) scan(c *conn) ([]*listed, error) {
	const block = 500
	const newest = int64(^uint64(0) >> 1)
	before := newest
	if s.f.Before != 0 {
		before = int64(s.f.Before)
	}
	var found []*listed
	for len(found) < s.limit {
		ids, err := s.messages(c, before, block)
		if err != nil || len(ids) == 0 {
			return found, err
		}
		for _, id := range ids {
			some, err := s.ofMessage(c, id)
			if err != nil {
				return nil, err
			}
			if found = append(found, some...); len(found) >= s.limit {
				break
			}
		}
		before = int64(ids[len(ids)-1])
	}
	return found, nil
}

// messages returns up to n messages older than before that may have what is
// looked for, newest first.
func (s *selection) messages(c *conn, before int64, n int) ([]queue.ID, error) {
	var ids []queue.ID
	for _, part := range []struct {
		use bool
		sql string
	}{{s.live, sqlScanLive}, {s.ended, sqlScanEnded}} {
		if !part.use {
			continue
		}
		rows := c.use(part.sql).int(before).text(string(s.f.Destination)).text(string(s.f.Destination)).int(s.mask()).int(int64(n))
		for rows.next() {
			ids = append(ids, queue.ID(rows.ColumnInt64(0)))
		}
		if err := rows.done(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(ids, func(a, b queue.ID) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	ids = slices.Compact(ids)
	return ids[:min(len(ids), n)], nil
}

// mask has a bit for each state that is looked for.
func (s *selection) mask() int64 {
	if len(s.f.States) == 0 {
		return -1
	}
	var m int64
	for _, st := range s.f.States {
		m |= 1 << st
	}
	return m
}

// List implements queue.Store: newest messages first, their recipients by
// number, the last message whole so that Before loses nothing.
func (q *Queue) List(ctx context.Context, f queue.Filter) ([]queue.Listed, error) {
	s, err := newSelection(f)
	if err != nil {
		return nil, fmt.Errorf("list the queue: %w", err)
	}
	var list []queue.Listed
	err = q.db.read(ctx, func(c *conn) error {
		found, err := s.find(q, c)
		if err != nil {
			return err
		}
		var m *queue.Message
		for _, r := range found {
			if err := loadLast(c, r); err != nil {
				return err
			}
			if m == nil || m.ID != r.ID.Message {
				if m, err = loadMessage(c, r.ID.Message); err != nil {
					return err
				}
			}
			list = append(list, queue.Listed{Message: m, Recipient: &r.Recipient})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the queue: %w", err)
	}
	return list, nil
}
