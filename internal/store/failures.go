package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

const (
	// maxNotes bounds what is kept in memory until the next flush, by kind. What
	// comes beyond while the disk does not keep up is dropped: the service
	// matters more than its diary.
	maxNotes = 10_000
	// flushAt is how many failures are written without waiting for the interval.
	flushAt = 1000
	// aggregation is how long failures are counted in one row.
	aggregation = 24 * time.Hour
)

// notes is what is written later, in a batch.
type notes struct {
	full chan struct{} // asks for a flush

	mu       sync.Mutex // guards what follows
	uses     map[useKey]account.Use
	failures []account.Failure
	flushing sync.Mutex // one flush at a time, so that order is kept
}

type useKey struct {
	login, appPassword string
	network            netip.Prefix
}

func (n *notes) init() {
	n.full = make(chan struct{}, 1)
	n.uses = make(map[useKey]account.Use)
}

// Used implements account.Directory.
func (d *Directory) Used(u account.Use) {
	n := &d.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	k := useKey{account.NormalizeLogin(u.Login), u.AppPassword, account.NetworkOf(u.From)}
	if _, known := n.uses[k]; known || len(n.uses) < maxNotes {
		n.uses[k] = u
	}
}

// Failed implements account.Directory.
func (d *Directory) Failed(f account.Failure) {
	n := &d.notes
	n.mu.Lock()
	if len(n.failures) < maxNotes {
		n.failures = append(n.failures, f)
	}
	ask := len(n.failures) >= flushAt
	n.mu.Unlock()
	if ask {
		select {
		case n.full <- struct{}{}:
		default:
		}
	}
}

// take empties the notes.
func (n *notes) take() (map[useKey]account.Use, []account.Failure) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.uses) == 0 && len(n.failures) == 0 {
		return nil, nil
	}
	uses, failures := n.uses, n.failures
	n.uses, n.failures = make(map[useKey]account.Use), nil
	return uses, failures
}

// giveBack restores what could not be written, within the bounds.
func (n *notes) giveBack(uses map[useKey]account.Use, failures []account.Failure) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, u := range uses {
		if _, newer := n.uses[k]; !newer && len(n.uses) < maxNotes {
			n.uses[k] = u
		}
	}
	failures = append(failures, n.failures...)
	n.failures = failures[:min(len(failures), maxNotes)]
}

// flush writes the notes. Whoever reads what they change calls it first.
func (d *Directory) flush(ctx context.Context) error {
	d.notes.flushing.Lock()
	defer d.notes.flushing.Unlock()
	uses, failures := d.notes.take()
	if uses == nil && failures == nil {
		return nil
	}
	err := d.db.write(ctx, 0, func(c *conn) error {
		for k, u := range uses {
			if err := writeUse(c, k, u); err != nil {
				return err
			}
		}
		newest := time.Time{}
		for i := range failures {
			if err := writeFailure(c, &failures[i]); err != nil {
				return err
			}
			if failures[i].At.After(newest) {
				newest = failures[i].At
			}
		}
		if len(failures) == 0 {
			return nil
		}
		return boundFailures(c, newest)
	})
	if err != nil {
		d.notes.giveBack(uses, failures)
		return fmt.Errorf("write the notes about logins: %w", err)
	}
	return nil
}

func writeUse(c *conn, k useKey, u account.Use) error {
	at := micros(u.At)
	if err := c.use("UPDATE account SET last_login = max(last_login, ?) WHERE login = ?").int(at).text(k.login).exec(); err != nil {
		return err
	}
	if err := writeNetwork(c, k, at); err != nil || k.appPassword == "" {
		return err
	}
	return c.use("UPDATE app_password SET last_use = ?, last_address = ?, last_mechanism = ?, last_client = ? WHERE id = ? AND login = ? AND last_use <= ?").
		int(at).text(addrText(u.From)).text(u.Mechanism).text(u.Client).text(k.appPassword).text(k.login).int(at).exec()
}

// writeNetwork notes where a login is at home, once an hour.
func writeNetwork(c *conn, k useKey, at int64) error {
	if !k.network.IsValid() {
		return nil
	}
	err := c.use(`INSERT INTO known_network (login, network, seen) SELECT login, ?, ? FROM account WHERE login = ?
		ON CONFLICT (login, network) DO UPDATE SET seen = excluded.seen WHERE excluded.seen >= seen + ?`).
		text(k.network.String()).int(at).text(k.login).int(time.Hour.Microseconds()).exec()
	if err != nil || c.Changes() == 0 {
		return err
	}
	return c.use(`DELETE FROM known_network WHERE login = ?1 AND network NOT IN
		(SELECT network FROM known_network WHERE login = ?1 ORDER BY seen DESC LIMIT ?)`).text(k.login).int(account.MaxKnownNetworks).exec()
}

// KnownNetworks implements account.Directory.
func (d *Directory) KnownNetworks(ctx context.Context, now time.Time, most int) ([]account.KnownNetwork, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	var all []account.KnownNetwork
	err := d.db.read(ctx, func(c *conn) error {
		rows := c.use(`SELECT login, network, seen FROM known_network WHERE seen >= ? ORDER BY seen DESC LIMIT ?`).
			int(micros(now.Add(-account.KnownFor))).int(int64(max(most, 0)))
		var bad error
		for bad == nil && rows.next() {
			var n netip.Prefix
			if n, bad = netip.ParsePrefix(rows.ColumnText(1)); bad == nil {
				all = append(all, account.KnownNetwork{Login: rows.ColumnText(0), Network: n, Seen: moment(rows.ColumnInt64(2))})
			}
		}
		return errors.Join(bad, rows.done())
	})
	if err != nil {
		return nil, fmt.Errorf("list the networks that are known with logins: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}

// stored is the part of a failure that nothing searches for.
type stored struct {
	account.Failure
	NameHash []byte `json:"name_hash,omitempty"`
}

// writeFailure counts a failure in the row of its like, or begins one.
func writeFailure(c *conn, f *account.Failure) error {
	count := int64(max(f.Count, 1))
	data, err := json.Marshal(stored{*f, f.NameHash})
	if err != nil {
		return fmt.Errorf("encode a failed login: %w", err)
	}
	key, err := failureKey(c, f)
	if err != nil {
		return err
	}
	rows := c.use(`INSERT INTO failure (key, at, login, reference, count, data) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET at = excluded.at, reference = excluded.reference, count = count + excluded.count, data = excluded.data
		RETURNING id`).
		blob(key).int(micros(f.At)).text(f.Login).text(f.Reference).int(count).blob(data)
	id, err := rows.one()
	if err != nil {
		return err
	}
	return c.use("INSERT OR REPLACE INTO reference (reference, at, failure) VALUES (?, ?, ?)").text(f.Reference).int(micros(f.At)).int(id).exec()
}

// mostDetails is how many rows of one cause, login, network, secret and mechanism
// differ in their details within a day. What comes beyond shares one row more.
const mostDetails = 8

const (
	keyBase   = 12 // octets of a key that do not depend on the detail
	keyDetail = 4  // octets that do; all zero for the row that the rest shares
)

// failureKey is the same for failures that are counted together: one cause,
// login, network, secret and mechanism, within a day, and one detail.
//
// A detail is a backend's or an issuer's words, and may hold what a stranger wrote:
// the issuer that a token names which nobody has signed. He gets mostDetails rows
// and one for it instead of one, and as before no more than one for a try, which he
// also has by naming accounts that there are not.
func failureKey(c *conn, f *account.Failure) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\x00%s\x00%s\x00%x\x00%s\x00%s\x00%s\x00%s",
		f.At.Unix()/int64(aggregation/time.Second), f.Cause, f.Login, f.NameHash, networkText(f.Remote), f.AppPassword, f.Service, f.Mechanism)
	sum, detail := sha256.Sum256(b.Bytes()), sha256.Sum256([]byte(sameDetail(f)))
	key := slices.Concat(sum[:keyBase], detail[:keyDetail])
	first := slices.Concat(sum[:keyBase], make([]byte, keyDetail))
	last := slices.Concat(sum[:keyBase], bytes.Repeat([]byte{0xff}, keyDetail))
	others, err := c.use("SELECT CASE WHEN EXISTS (SELECT 1 FROM failure WHERE key = ?) THEN 0 ELSE (SELECT count(*) FROM failure WHERE key > ? AND key <= ?) END").
		blob(key).blob(first).blob(last).one()
	if err != nil {
		return nil, fmt.Errorf("count the details of a failed login: %w", err)
	}
	if others >= mostDetails {
		return first, nil
	}
	return key, nil
}

// sameDetail is what of a detail makes it another one. How long ago a token ended,
// and how far clocks are apart, differs with every try of a program that does not
// give up; when the token ended does not.
func sameDetail(f *account.Failure) string {
	switch f.Cause {
	case account.TokenExpired:
		_, at, _ := strings.Cut(f.Detail, ", at ")
		return at
	case account.TokenClockSkew:
		if i := strings.IndexAny(f.Detail, "0123456789"); i >= 0 {
			return f.Detail[:i]
		}
	}
	return f.Detail
}

// networkText is the /24 of an IPv4 address, or the /64 of an IPv6 one: who has
// one address there usually has others.
func networkText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

// boundFailures deletes what is too old or too much, the oldest first.
func boundFailures(c *conn, now time.Time) error {
	before := micros(now.Add(-account.FailureRetention))
	for _, table := range []string{"failure", "reference"} {
		if err := c.use("DELETE FROM " + table + " WHERE at < ?").int(before).exec(); err != nil {
			return err
		}
		n, err := c.use("SELECT count(*) FROM " + table).one()
		if err != nil {
			return err
		}
		if n <= account.MaxFailures {
			continue
		}
		at, err := c.use("SELECT at FROM " + table + " ORDER BY at LIMIT 1 OFFSET ?").int(n - account.MaxFailures).one()
		if err != nil {
			return err
		}
		if err := c.use("DELETE FROM " + table + " WHERE at < ?").int(at).exec(); err != nil {
			return err
		}
	}
	return nil
}

// pruneFailures deletes what is too old at now, known networks too.
func (d *Directory) pruneFailures(ctx context.Context, now time.Time) error {
	old := false
	before := micros(now.Add(-account.KnownFor))
	err := d.db.read(ctx, func(c *conn) error {
		n, err := c.use("SELECT EXISTS (SELECT 1 FROM reference WHERE at < ?) OR EXISTS (SELECT 1 FROM known_network WHERE seen < ?)").
			int(micros(now.Add(-account.FailureRetention))).int(before).one()
		old = n != 0
		return err
	})
	if err != nil || !old {
		return err
	}
	return d.db.write(ctx, 0, func(c *conn) error {
		if err := c.use("DELETE FROM known_network WHERE seen < ?").int(before).exec(); err != nil {
			return err
		}
		return boundFailures(c, now)
	})
}

// readFailure reads at, reference, count, data.
func readFailure(rows *query) (account.Failure, error) {
	var s stored
	if err := json.Unmarshal(rows.ColumnRawBlob(3), &s); err != nil {
		return account.Failure{}, fmt.Errorf("read a failed login: %w: %w", errDamaged, err)
	}
	f := s.Failure
	f.At, f.Reference, f.Count, f.NameHash = moment(rows.ColumnInt64(0)), rows.ColumnText(1), rows.ColumnInt(2), s.NameHash
	return f, nil
}

// Failures implements account.Directory.
func (d *Directory) Failures(ctx context.Context, login string, limit int) ([]account.Failure, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	var all []account.Failure
	err := d.db.read(ctx, func(c *conn) error {
		n := bounded(limit, MaxList)
		rows := c.use("SELECT at, reference, count, data FROM failure ORDER BY at DESC, id DESC LIMIT ?")
		if login != "" {
			rows = c.use("SELECT at, reference, count, data FROM failure WHERE login <> '' AND login = ? ORDER BY at DESC, id DESC LIMIT ?").text(account.NormalizeLogin(login))
		}
		rows.int(n)
		for rows.next() {
			f, err := readFailure(rows)
			if err != nil {
				_ = rows.done()
				return err
			}
			all = append(all, f)
		}
		return rows.done()
	})
	if err != nil {
		return nil, fmt.Errorf("list failed logins: %w", err)
	}
	return all, nil
}

// Failure implements account.Directory. Where the row stands for several
// failures, Reference and At are those of the one that was asked for, and the
// rest is the newest one's.
func (d *Directory) Failure(ctx context.Context, reference string) (account.Failure, error) {
	if err := d.flush(ctx); err != nil {
		return account.Failure{}, err
	}
	var f account.Failure
	err := d.db.read(ctx, func(c *conn) (err error) {
		rows := c.use("SELECT f.at, r.reference, f.count, f.data, r.at FROM reference AS r JOIN failure AS f ON f.id = r.failure WHERE r.reference = ?").text(reference)
		found := rows.next()
		if found {
			if f, err = readFailure(rows); err == nil {
				f.At = moment(rows.ColumnInt64(4))
			}
		}
		if derr := rows.done(); derr != nil {
			err = derr
		}
		if err == nil && !found {
			err = account.ErrNotFound
		}
		return err
	})
	if err != nil {
		return account.Failure{}, fmt.Errorf("look up the failed login %q: %w", reference, err)
	}
	return f, nil
}
