package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/recipient"
)

const (
	domainColumns  = "name, created, postmaster"
	addressColumns = "name, kind, targets, disclose, text, created"
)

func readDomain(rows *query) (*recipient.Domain, error) {
	d := &recipient.Domain{Created: moment(rows.ColumnInt64(1))}
	var err error
	if d.Name, err = address.ParseDomain(rows.ColumnText(0)); err != nil {
		return nil, fmt.Errorf("read a domain: %w: %w", errDamaged, err)
	}
	if err := d.Postmaster.UnmarshalText(rows.ColumnRawText(2)); err != nil {
		return nil, fmt.Errorf("read the postmaster of %s: %w: %w", d.Name, errDamaged, err)
	}
	return d, nil
}

func readAddress(rows *query) (*recipient.Address, error) {
	a := &recipient.Address{
		Kind: recipient.Kind(rows.ColumnText(1)), Disclose: recipient.Disclosure(rows.ColumnText(3)),
		Text: rows.ColumnText(4), Created: moment(rows.ColumnInt64(5)),
	}
	name := rows.ColumnText(0)
	var err error
	if a.Address, err = address.ParseMailbox(name); err != nil {
		return nil, fmt.Errorf("read the address %q: %w: %w", name, errDamaged, err)
	}
	for line := range strings.SplitSeq(rows.ColumnText(2), "\n") {
		if line == "" {
			continue
		}
		t, err := address.ParseMailbox(line)
		if err != nil {
			return nil, fmt.Errorf("read the targets of %s: %w: %w", name, errDamaged, err)
		}
		a.Targets = append(a.Targets, t)
	}
	return a, nil
}

// Domain implements recipient.Directory.
func (d *Directory) Domain(ctx context.Context, name address.Domain) (recipient.Domain, error) {
	found, known, generation := d.cache.domain(name)
	if !known {
		err := d.db.read(ctx, func(c *conn) (err error) {
			rows := c.use("SELECT " + domainColumns + " FROM domain WHERE name = ?").text(name.String())
			if rows.next() {
				found, err = readDomain(rows)
			}
			if derr := rows.done(); derr != nil {
				err = derr
			}
			return err
		})
		if err != nil {
			return recipient.Domain{}, fmt.Errorf("look up the domain %s: %w", name, err)
		}
		d.cache.keepDomain(name, found, generation)
	}
	if found == nil {
		return recipient.Domain{}, fmt.Errorf("the domain %s: %w", name, recipient.ErrNotFound)
	}
	return *found, nil
}

// Domains implements recipient.Directory.
func (d *Directory) Domains(ctx context.Context) ([]recipient.Domain, error) {
	var all []recipient.Domain
	err := d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT " + domainColumns + " FROM domain ORDER BY name")
		for rows.next() {
			found, err := readDomain(rows)
			if err != nil {
				_ = rows.done()
				return err
			}
			all = append(all, *found)
		}
		return rows.done()
	})
	if err != nil {
		return nil, fmt.Errorf("list the domains: %w", err)
	}
	return all, nil
}

// AddDomain implements recipient.Directory.
func (d *Directory) AddDomain(ctx context.Context, dom recipient.Domain) error {
	return d.change(ctx, "add the domain "+dom.Name.String(), func(c *conn) error {
		err := c.use("INSERT INTO domain (" + domainColumns + ") VALUES (?, ?, ?) ON CONFLICT DO NOTHING").
			text(dom.Name.String()).int(micros(dom.Created)).text(dom.Postmaster.String()).exec()
		if err == nil && c.Changes() == 0 {
			return recipient.ErrExists
		}
		return err
	})
}

// RemoveDomain implements recipient.Directory. Accounts of the domain are in the
// way without force, and stay with it.
func (d *Directory) RemoveDomain(ctx context.Context, name address.Domain, force bool) error {
	return d.change(ctx, "remove the domain "+name.String(), func(c *conn) error {
		found, err := c.use("SELECT 1 FROM domain WHERE name = ?").text(name.String()).one()
		if err != nil {
			return err
		}
		if found == 0 {
			return recipient.ErrNotFound
		}
		if !force {
			used, err := c.use("SELECT EXISTS (SELECT 1 FROM address WHERE domain = ?) OR EXISTS (SELECT 1 FROM account WHERE substr(login, instr(login, '@') + 1) = ?)").
				text(name.String()).text(name.String()).one()
			if err != nil {
				return err
			}
			if used != 0 {
				return recipient.ErrInUse
			}
		}
		if err := c.use("DELETE FROM address WHERE domain = ?").text(name.String()).exec(); err != nil {
			return err
		}
		return c.use("DELETE FROM domain WHERE name = ?").text(name.String()).exec()
	})
}

// Address implements recipient.Directory.
func (d *Directory) Address(ctx context.Context, a address.Mailbox) (recipient.Address, error) {
	key := a.Key()
	found, known, generation := d.cache.address(key)
	if !known {
		err := d.db.read(ctx, func(c *conn) (err error) {
			rows := c.use("SELECT " + addressColumns + " FROM address WHERE key = ?").text(key)
			if rows.next() {
				found, err = readAddress(rows)
			}
			if derr := rows.done(); derr != nil {
				err = derr
			}
			return err
		})
		if err != nil {
			return recipient.Address{}, fmt.Errorf("look up %s: %w", a, err)
		}
		d.cache.keepAddress(key, found, generation)
	}
	if found == nil {
		return recipient.Address{}, fmt.Errorf("the address %s: %w", a, recipient.ErrNotFound)
	}
	copied := *found
	copied.Targets = append([]address.Mailbox(nil), found.Targets...)
	return copied, nil
}

// Addresses implements recipient.Directory.
func (d *Directory) Addresses(ctx context.Context, domain address.Domain) ([]recipient.Address, error) {
	var all []recipient.Address
	err := d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT " + addressColumns + " FROM address ORDER BY domain, key")
		if !domain.IsZero() {
			rows = c.use("SELECT " + addressColumns + " FROM address WHERE domain = ? ORDER BY key").text(domain.String())
		}
		for rows.next() {
			found, err := readAddress(rows)
			if err != nil {
				_ = rows.done()
				return err
			}
			all = append(all, *found)
		}
		return rows.done()
	})
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	return all, nil
}

// PutAddress implements recipient.Directory. It checks the address by its rules
// first. A changed address keeps the date of its making.
func (d *Directory) PutAddress(ctx context.Context, a recipient.Address, replace bool) error {
	if err := a.Check(); err != nil {
		return err
	}
	targets := make([]string, len(a.Targets))
	for i, t := range a.Targets {
		targets[i] = t.String()
	}
	return d.change(ctx, "put the address "+a.Address.String(), func(c *conn) error {
		ours, err := c.use("SELECT 1 FROM domain WHERE name = ?").text(a.Address.Domain.String()).one()
		if err != nil {
			return err
		}
		if ours == 0 {
			return fmt.Errorf("the domain %s: %w", a.Address.Domain, recipient.ErrNotFound)
		}
		exists, err := c.use("SELECT 1 FROM address WHERE key = ?").text(a.Address.Key()).one()
		if err != nil {
			return err
		}
		if exists != 0 && !replace {
			return recipient.ErrExists
		}
		return c.use(`INSERT INTO address (key, domain, name, kind, targets, disclose, text, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET name = excluded.name, kind = excluded.kind, targets = excluded.targets,
				disclose = excluded.disclose, text = excluded.text`).
			text(a.Address.Key()).text(a.Address.Domain.String()).text(a.Address.String()).text(string(a.Kind)).
			text(strings.Join(targets, "\n")).text(string(a.Disclose)).text(a.Text).int(micros(a.Created)).exec()
	})
}

// RemoveAddress implements recipient.Directory.
func (d *Directory) RemoveAddress(ctx context.Context, a address.Mailbox) error {
	return d.change(ctx, "remove the address "+a.String(), func(c *conn) error {
		err := c.use("DELETE FROM address WHERE key = ?").text(a.Key()).exec()
		if err == nil && c.Changes() == 0 {
			return recipient.ErrNotFound
		}
		return err
	})
}
