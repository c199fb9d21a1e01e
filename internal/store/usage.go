package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/onwardmail/onward/internal/account"
)

// maxKnownNotes bounds the addresses that accounts wrote to which wait in memory
// for the next flush. Those beyond it are not kept, and are new once more.
const maxKnownNotes = 500_000

var _ account.UsageKeeper = (*Directory)(nil)

// usageKey is an account: one of the same name that was made later is another.
type usageKey struct {
	login   string
	created int64
}

// usageNotes are the changes of usage that wait for the next flush. They are
// apart from the other notes: who reads an account need not wait for them.
type usageNotes struct {
	flushing sync.Mutex // one flush at a time, so that order is kept
	mu       sync.Mutex // guards what follows
	changes  map[usageKey]account.Kept
	known    int // addresses in changes
}

// KeepUsage implements account.UsageKeeper.
func (d *Directory) KeepUsage(c account.UsageChange) {
	u := &d.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	u.merge(usageKey{account.NormalizeLogin(c.Login), micros(c.Created)}, c.Kept, true)
}

// flushUsage writes the changes.
func (d *Directory) flushUsage(ctx context.Context) error {
	u := &d.usage
	u.flushing.Lock()
	defer u.flushing.Unlock()
	u.mu.Lock()
	changes := u.changes
	u.changes, u.known = nil, 0
	u.mu.Unlock()
	if len(changes) == 0 {
		return nil
	}
	err := d.db.write(ctx, 0, func(c *conn) error {
		for k, change := range changes {
			if err := writeUsage(c, k, change); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, c := range changes {
		u.merge(k, c, false)
	}
	return fmt.Errorf("write what accounts have sent: %w", err)
}

// merge adds a change; newer says that it wins over what is there. The caller
// holds mu.
func (u *usageNotes) merge(k usageKey, c account.Kept, newer bool) {
	have, ok := u.changes[k]
	if !ok {
		if len(u.changes) >= maxNotes {
			return
		}
		if u.changes == nil {
			u.changes = make(map[usageKey]account.Kept)
		}
		have = account.Kept{Tallies: make(map[string]account.Tally), Known: make(map[uint64]int32)}
		u.changes[k] = have
	}
	for credential, t := range c.Tallies {
		if _, known := have.Tallies[credential]; newer || !known {
			have.Tallies[credential] = t
		}
	}
	for hash, day := range c.Known {
		last, known := have.Known[hash]
		switch {
		case known:
			have.Known[hash] = max(last, day)
		case u.known < maxKnownNotes:
			have.Known[hash] = day
			u.known++
		}
	}
}

// writeUsage writes the changes of one account, if it is still there.
func writeUsage(c *conn, k usageKey, u account.Kept) error {
	n, err := c.use("SELECT 1 FROM account WHERE login = ? AND created = ?").text(k.login).int(k.created).one()
	if err != nil || n == 0 {
		return err
	}
	for credential, t := range u.Tallies {
		data, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encode what %s has sent: %w", k.login, err)
		}
		err = c.use("INSERT OR REPLACE INTO usage (login, credential, used, data) VALUES (?, ?, ?, ?)").
			text(k.login).text(credential).int(micros(t.Used)).blob(data).exec()
		if err != nil {
			return err
		}
	}
	for hash, day := range u.Known {
		err := c.use("INSERT OR REPLACE INTO known_recipient (login, hash, day) VALUES (?, ?, ?)").text(k.login).int(int64(hash)).int(int64(day)).exec()
		if err != nil {
			return err
		}
	}
	return boundUsage(c, k.login, len(u.Known) > 0)
}

// boundUsage deletes of a login what is over the limits, the oldest first.
func boundUsage(c *conn, login string, known bool) error {
	err := c.use("DELETE FROM usage WHERE login = ? AND credential IN (SELECT credential FROM usage WHERE login = ? AND credential <> '' ORDER BY used DESC LIMIT -1 OFFSET ?)").
		text(login).text(login).int(account.MaxCredentials).exec()
	if err != nil || !known {
		return err
	}
	n, err := c.use("SELECT count(*) FROM known_recipient WHERE login = ?").text(login).one()
	if err != nil || n <= account.MaxKnown {
		return err
	}
	return c.use("DELETE FROM known_recipient WHERE login = ? AND hash IN (SELECT hash FROM known_recipient WHERE login = ? ORDER BY day LIMIT ?)").
		text(login).text(login).int(n - account.MaxKnown).exec()
}

// removeUsage deletes all of a login.
func removeUsage(c *conn, login string) error {
	if err := c.use("DELETE FROM usage WHERE login = ?").text(login).exec(); err != nil {
		return err
	}
	return c.use("DELETE FROM known_recipient WHERE login = ?").text(login).exec()
}

// Usage implements account.UsageKeeper.
func (d *Directory) Usage(ctx context.Context, login string) (account.Kept, error) {
	kept := account.Kept{Tallies: make(map[string]account.Tally), Known: make(map[uint64]int32)}
	if err := d.flushUsage(ctx); err != nil {
		return kept, err
	}
	login = account.NormalizeLogin(login)
	err := d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT credential, data FROM usage WHERE login = ?").text(login)
		var bad error
		for bad == nil && rows.next() {
			var t account.Tally
			if bad = json.Unmarshal(rows.ColumnRawBlob(1), &t); bad == nil {
				kept.Tallies[rows.ColumnText(0)] = t
			} else {
				bad = fmt.Errorf("%w: %w", errDamaged, bad)
			}
		}
		if err := errors.Join(bad, rows.done()); err != nil {
			return err
		}
		rows = c.use("SELECT hash, day FROM known_recipient WHERE login = ?").text(login)
		for rows.next() {
			kept.Known[uint64(rows.ColumnInt64(0))] = int32(rows.ColumnInt64(1))
		}
		return rows.done()
	})
	if err != nil {
		return kept, fmt.Errorf("read what %s has sent: %w", login, err)
	}
	return kept, nil
}
