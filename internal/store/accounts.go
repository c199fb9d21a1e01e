package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

const (
	accountColumns     = "login, hash, disabled, created, identities, last_login, data"
	appPasswordColumns = "id, login, name, mac, created, expires, revoked, last_use, last_address, last_mechanism, last_client, data"
)

// accountData is what nothing searches for, as JSON in one column; an account
// that has none of it has "".
type accountData struct {
	Salt         []byte         `json:"salt,omitempty"`
	Iterations   int            `json:"iterations,omitempty"`
	Keys         keysData       `json:"keys,omitzero"`
	Backend      string         `json:"backend,omitempty"`
	AppOnly      bool           `json:"app_only,omitempty"`
	Certificates []string       `json:"certificates,omitempty"`
	Limits       account.Limits `json:"limits,omitzero"`
	Lang         string         `json:"lang,omitempty"`
}

// keysData are account.Keys.
type keysData struct {
	SHA256 account.Key `json:"sha256,omitzero"`
	SHA1   account.Key `json:"sha1,omitzero"`
}

// appPasswordData is the same of an app password.
type appPasswordData struct {
	Keys         keysData       `json:"keys,omitzero"`
	Idle         time.Duration  `json:"idle,omitempty"`
	Suspended    time.Time      `json:"suspended,omitzero"`
	SuspendedWhy string         `json:"suspended_why,omitempty"`
	Scope        account.Scope  `json:"scope,omitzero"`
	Limits       account.Limits `json:"limits,omitzero"`
	Device       bool           `json:"device,omitempty"`
	Noticed      time.Time      `json:"noticed,omitzero"`
}

// encodeData is "" for what is empty.
func encodeData(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode the settings of a login: %w", err)
	}
	if string(text) == "{}" {
		return "", nil
	}
	return string(text), nil
}

func decodeData(text []byte, v any) error {
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read the settings of a login: %w: %w", errDamaged, err)
	}
	return nil
}

func dataOfAccount(a *account.Account) (string, error) {
	return encodeData(accountData{
		a.Salt, a.Iterations, keysData(a.Keys), a.Backend, a.AppOnly, a.Certificates, a.Limits, a.Lang,
	})
}

func dataOfAppPassword(p *account.AppPassword) (string, error) {
	return encodeData(appPasswordData{
		keysData(p.Keys), p.Idle, p.Suspended, p.SuspendedWhy, p.Scope, p.Limits, p.Device, p.Noticed,
	})
}

// readAccount reads accountColumns from column i on; nil if there is none.
func readAccount(rows *query, i int) (*account.Account, error) {
	a := &account.Account{
		Login: rows.ColumnText(i), Hash: rows.ColumnText(i + 1), Disabled: rows.ColumnBool(i + 2),
		Created: moment(rows.ColumnInt64(i + 3)), LastLogin: moment(rows.ColumnInt64(i + 5)),
	}
	if a.Login == "" {
		return nil, nil
	}
	if lines := rows.ColumnText(i + 4); lines != "" {
		a.Identities = strings.Split(lines, "\n")
	}
	var d accountData
	if err := decodeData(rows.ColumnRawText(i+6), &d); err != nil {
		return nil, err
	}
	a.Salt, a.Iterations, a.Keys, a.Backend = d.Salt, d.Iterations, account.Keys(d.Keys), d.Backend
	a.AppOnly, a.Certificates, a.Limits, a.Lang = d.AppOnly, d.Certificates, d.Limits, d.Lang
	return a, nil
}

// readAppPassword reads appPasswordColumns from column i on; nil if there is none.
func readAppPassword(rows *query, i int) (*account.AppPassword, error) {
	p := &account.AppPassword{
		ID: rows.ColumnText(i), Login: rows.ColumnText(i + 1), Name: rows.ColumnText(i + 2), MAC: rows.ColumnBlob(i+3, nil),
		Created: moment(rows.ColumnInt64(i + 4)), Expires: moment(rows.ColumnInt64(i + 5)),
		Revoked: moment(rows.ColumnInt64(i + 6)), LastUse: moment(rows.ColumnInt64(i + 7)),
		LastMechanism: rows.ColumnText(i + 9), LastClient: rows.ColumnText(i + 10),
	}
	if p.ID == "" {
		return nil, nil
	}
	p.LastAddress, _ = netip.ParseAddr(rows.ColumnText(i + 8)) // "" is none
	var d appPasswordData
	if err := decodeData(rows.ColumnRawText(i+11), &d); err != nil {
		return nil, err
	}
	p.Keys, p.Idle, p.Suspended, p.SuspendedWhy = account.Keys(d.Keys), d.Idle, d.Suspended, d.SuspendedWhy
	p.Scope, p.Limits, p.Device, p.Noticed = d.Scope, d.Limits, d.Device, d.Noticed
	return p, nil
}

// Login implements account.Directory: one statement, which looks for both
// whatever there is.
func (d *Directory) Login(ctx context.Context, login, appPasswordID string) (a *account.Account, p *account.AppPassword, err error) {
	login = account.NormalizeLogin(login)
	err = d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT a." + strings.ReplaceAll(accountColumns, ", ", ", a.") + ", p." + strings.ReplaceAll(appPasswordColumns, ", ", ", p.") +
			" FROM (SELECT ? AS login, ? AS id) AS asked LEFT JOIN account AS a ON a.login = asked.login" +
			" LEFT JOIN app_password AS p ON p.id = asked.id AND p.login = asked.login").text(login).text(appPasswordID)
		var bad error
		if rows.next() {
			if a, bad = readAccount(rows, 0); bad == nil && a != nil {
				p, bad = readAppPassword(rows, accountWidth)
			}
		}
		return errors.Join(bad, rows.done())
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look up a login: %w", err)
	}
	return a, p, nil
}

// accountWidth is the number of accountColumns.
const accountWidth = 7

// Secrets implements account.Directory: one statement, like Login.
func (d *Directory) Secrets(ctx context.Context, login string) (a *account.Account, all []account.AppPassword, err error) {
	login = account.NormalizeLogin(login)
	err = d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT a." + strings.ReplaceAll(accountColumns, ", ", ", a.") + ", p." + strings.ReplaceAll(appPasswordColumns, ", ", ", p.") +
			" FROM (SELECT ? AS login) AS asked LEFT JOIN account AS a ON a.login = asked.login" +
			" LEFT JOIN app_password AS p ON p.login = asked.login ORDER BY p.created, p.id").text(login)
		var bad error
		for bad == nil && rows.next() {
			if a == nil {
				if a, bad = readAccount(rows, 0); bad != nil || a == nil {
					break
				}
			}
			var p *account.AppPassword
			if p, bad = readAppPassword(rows, accountWidth); p != nil {
				all = append(all, *p)
			}
		}
		return errors.Join(bad, rows.done())
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look up a login: %w", err)
	}
	return a, all, nil
}

// Account implements account.Directory.
func (d *Directory) Account(ctx context.Context, login string) (account.Account, error) {
	if err := d.flush(ctx); err != nil {
		return account.Account{}, err
	}
	login = account.NormalizeLogin(login)
	var found *account.Account
	err := d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT " + accountColumns + " FROM account WHERE login = ?").text(login)
		var bad error
		if rows.next() {
			found, bad = readAccount(rows, 0)
		}
		return errors.Join(bad, rows.done())
	})
	if err == nil && found == nil {
		err = account.ErrNotFound
	}
	if err != nil {
		return account.Account{}, fmt.Errorf("look up the account %s: %w", login, err)
	}
	return *found, nil
}

// Accounts implements account.Directory.
func (d *Directory) Accounts(ctx context.Context) ([]account.Account, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	var all []account.Account
	err := d.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT " + accountColumns + " FROM account ORDER BY login")
		var bad error
		for bad == nil && rows.next() {
			var a *account.Account
			if a, bad = readAccount(rows, 0); a != nil {
				all = append(all, *a)
			}
		}
		return errors.Join(bad, rows.done())
	})
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	return all, nil
}

// keepSalt gives an account the salt that is stored.
func keepSalt(c *conn, login string, a *account.Account) error {
	now, err := accountOf(c, login)
	if err == nil && now != nil {
		a.Salt, a.Iterations = now.Salt, now.Iterations
	}
	return err
}

// accountOf reads one account, nil if there is none.
func accountOf(c *conn, login string) (a *account.Account, err error) {
	rows := c.use("SELECT " + accountColumns + " FROM account WHERE login = ?").text(login)
	if rows.next() {
		a, err = readAccount(rows, 0)
	}
	return a, errors.Join(err, rows.done())
}

// AddAccount implements account.Directory.
func (d *Directory) AddAccount(ctx context.Context, a account.Account) error {
	login := account.NormalizeLogin(a.Login)
	data, err := dataOfAccount(&a)
	if err != nil {
		return err
	}
	err = d.db.write(ctx, 0, func(c *conn) error {
		err := c.use("INSERT INTO account (" + accountColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING").
			text(login).text(a.Hash).int(flag(a.Disabled)).int(micros(a.Created)).text(strings.Join(a.Identities, "\n")).int(micros(a.LastLogin)).text(data).exec()
		if err == nil && c.Changes() == 0 {
			return account.ErrExists
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("add the account %s: %w", login, err)
	}
	return nil
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// UpdateAccount implements account.Directory.
func (d *Directory) UpdateAccount(ctx context.Context, a account.Account) error {
	login := account.NormalizeLogin(a.Login)
	err := d.db.write(ctx, 0, func(c *conn) error {
		if len(a.Salt) == 0 { // a login may have drawn one since a was read
			if err := keepSalt(c, login, &a); err != nil {
				return err
			}
		}
		data, err := dataOfAccount(&a)
		if err != nil {
			return err
		}
		err = c.use("UPDATE account SET hash = ?, disabled = ?, identities = ?, data = ? WHERE login = ?").
			text(a.Hash).int(flag(a.Disabled)).text(strings.Join(a.Identities, "\n")).text(data).text(login).exec()
		if err == nil && c.Changes() == 0 {
			return account.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("change the account %s: %w", login, err)
	}
	return nil
}

// RemoveAccount implements account.Directory; its app passwords go with it.
func (d *Directory) RemoveAccount(ctx context.Context, login string) error {
	login = account.NormalizeLogin(login)
	err := d.db.write(ctx, 0, func(c *conn) error {
		err := c.use("DELETE FROM account WHERE login = ?").text(login).exec()
		if err != nil {
			return err
		}
		if c.Changes() == 0 {
			return account.ErrNotFound
		}
		if err := removeUsage(c, login); err != nil {
			return err
		}
		if err := c.use("DELETE FROM known_network WHERE login = ?").text(login).exec(); err != nil {
			return err
		}
		return c.use("DELETE FROM app_password WHERE login = ?").text(login).exec()
	})
	if err != nil {
		return fmt.Errorf("remove the account %s: %w", login, err)
	}
	return nil
}

// appPasswords reads those of a login, oldest first.
func appPasswords(c *conn, login string) ([]account.AppPassword, error) {
	var all []account.AppPassword
	rows := c.use("SELECT " + appPasswordColumns + " FROM app_password WHERE login = ? ORDER BY created, id").text(login)
	var bad error
	for bad == nil && rows.next() {
		var p *account.AppPassword
		if p, bad = readAppPassword(rows, 0); p != nil {
			all = append(all, *p)
		}
	}
	return all, errors.Join(bad, rows.done())
}

// AppPasswords implements account.Directory: oldest first, revoked and expired
// ones too.
func (d *Directory) AppPasswords(ctx context.Context, login string) ([]account.AppPassword, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	login = account.NormalizeLogin(login)
	var all []account.AppPassword
	err := d.db.read(ctx, func(c *conn) (err error) {
		all, err = appPasswords(c, login)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the app passwords of %s: %w", login, err)
	}
	return all, nil
}

// AddAppPassword implements account.Directory. A name that an active app password
// of the account has is ErrExists: revoking by name would not know which.
func (d *Directory) AddAppPassword(ctx context.Context, p account.AppPassword) error {
	login := account.NormalizeLogin(p.Login)
	data, err := dataOfAppPassword(&p)
	if err != nil {
		return err
	}
	err = d.db.write(ctx, 0, func(c *conn) error {
		found, err := c.use("SELECT 1 FROM account WHERE login = ?").text(login).one()
		if err != nil {
			return err
		}
		if found == 0 {
			return account.ErrNotFound
		}
		all, err := appPasswords(c, login)
		if err != nil {
			return err
		}
		for _, other := range all {
			if other.Name == p.Name && other.Status(p.Created) == "active" {
				return fmt.Errorf("an app password called %q: %w", p.Name, errTaken)
			}
		}
		err = c.use("INSERT INTO app_password (" + appPasswordColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING").
			text(p.ID).text(login).text(p.Name).blob(p.MAC).int(micros(p.Created)).int(micros(p.Expires)).int(micros(p.Revoked)).
			int(micros(p.LastUse)).text(addrText(p.LastAddress)).text(p.LastMechanism).text(p.LastClient).text(data).exec()
		if err == nil && c.Changes() == 0 {
			return fmt.Errorf("an app password with the id %q: %w", p.ID, errTaken)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("add an app password to %s: %w", login, err)
	}
	return nil
}

// errTaken is account.ErrExists in words that fit app passwords.
var errTaken error = takenError{}

type takenError struct{}

func (takenError) Error() string        { return "exists already" }
func (takenError) Is(target error) bool { return target == account.ErrExists }

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// ChangeAppPassword implements account.Directory.
func (d *Directory) ChangeAppPassword(ctx context.Context, login, id string, change func(*account.AppPassword) error) (account.AppPassword, error) {
	login = account.NormalizeLogin(login)
	var p account.AppPassword
	err := d.db.write(ctx, 0, func(c *conn) error {
		all, err := appPasswords(c, login)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(all, func(p account.AppPassword) bool { return p.ID == id })
		if at < 0 {
			return fmt.Errorf("no app password has the id %q: %w", id, account.ErrNotFound)
		}
		p = all[at]
		if err := change(&p); err != nil {
			return err
		}
		data, err := dataOfAppPassword(&p)
		if err != nil {
			return err
		}
		return c.use("UPDATE app_password SET name = ?, expires = ?, data = ? WHERE id = ? AND login = ?").
			text(p.Name).int(micros(p.Expires)).text(data).text(id).text(login).exec()
	})
	if err != nil {
		return account.AppPassword{}, fmt.Errorf("change an app password of %s: %w", login, err)
	}
	return p, nil
}

// RemoveAppPassword implements account.Directory.
func (d *Directory) RemoveAppPassword(ctx context.Context, login, id string) error {
	login = account.NormalizeLogin(login)
	err := d.db.write(ctx, 0, func(c *conn) error {
		err := c.use("DELETE FROM app_password WHERE id = ? AND login = ?").text(id).text(login).exec()
		if err == nil && c.Changes() == 0 {
			return account.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove the app password %q of %s: %w", id, login, err)
	}
	return nil
}

// hasKeys stands in the data of a secret that SCRAM can check.
const hasKeys = `%"sha256":{%`

// WithoutKeys implements account.Directory.
func (d *Directory) WithoutKeys(ctx context.Context) (n int, err error) {
	now := micros(time.Now())
	err = d.db.read(ctx, func(c *conn) error {
		accounts, err := c.use("SELECT count(*) FROM account WHERE disabled = 0 AND hash <> '' AND data NOT LIKE ?").text(hasKeys).one()
		if err != nil {
			return err
		}
		apps, err := c.use("SELECT count(*) FROM app_password WHERE revoked = 0 AND (expires = 0 OR expires > ?) AND data NOT LIKE ?").int(now).text(hasKeys).one()
		n = int(accounts + apps)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count the secrets that SCRAM cannot check: %w", err)
	}
	return n, nil
}

// UpgradeSecret implements account.Directory.
func (d *Directory) UpgradeSecret(ctx context.Context, u account.Upgrade) error {
	err := d.db.write(ctx, 0, func(c *conn) error {
		a, err := accountOf(c, u.Login)
		if err != nil || a == nil {
			return err
		}
		salted := len(a.Salt) == 0
		if salted {
			a.Salt, a.Iterations = u.Salt, u.Iterations
		} else if !bytes.Equal(a.Salt, u.Salt) || a.Iterations != u.Iterations {
			return nil
		}
		if u.AppPassword != "" {
			if err := upgradeAppPassword(c, &u); err != nil || !salted {
				return err
			}
		} else {
			if a.Hash != u.Was {
				return nil
			}
			a.Hash, a.Keys = u.Hash, u.Keys
		}
		data, err := dataOfAccount(a)
		if err != nil {
			return err
		}
		return c.use("UPDATE account SET hash = ?, data = ? WHERE login = ?").text(a.Hash).text(data).text(a.Login).exec()
	})
	if err != nil {
		return fmt.Errorf("keep a secret of %s anew: %w", u.Login, err)
	}
	return nil
}

func upgradeAppPassword(c *conn, u *account.Upgrade) error {
	all, err := appPasswords(c, u.Login)
	if err != nil {
		return err
	}
	for i := range all {
		p := &all[i]
		if p.ID != u.AppPassword {
			continue
		}
		p.Keys = u.Keys
		data, err := dataOfAppPassword(p)
		if err != nil {
			return err
		}
		return c.use("UPDATE app_password SET data = ? WHERE id = ?").text(data).text(p.ID).exec()
	}
	return nil
}

// RevokeAppPassword implements account.Directory. An id wins over a name, and of
// several with one name the newest that is not revoked is meant. Revoking
// twice keeps the first date.
func (d *Directory) RevokeAppPassword(ctx context.Context, login, which string, now time.Time) (account.AppPassword, error) {
	login = account.NormalizeLogin(login)
	var revoked account.AppPassword
	err := d.db.write(ctx, 0, func(c *conn) error {
		all, err := appPasswords(c, login)
		if err != nil {
			return err
		}
		var chosen *account.AppPassword
		for i := range all {
			p := &all[i]
			switch {
			case p.ID == which:
				chosen = p
			case p.Name == which && (chosen == nil || chosen.ID != which && (p.Revoked.IsZero() || !chosen.Revoked.IsZero())):
				chosen = p
			}
		}
		if chosen == nil {
			return fmt.Errorf("no app password has the id or name %q: %w", which, account.ErrNotFound)
		}
		revoked = *chosen
		if !revoked.Revoked.IsZero() {
			return nil
		}
		revoked.Revoked = moment(micros(now))
		return c.use("UPDATE app_password SET revoked = ? WHERE id = ?").int(micros(now)).text(revoked.ID).exec()
	})
	if err != nil {
		return account.AppPassword{}, fmt.Errorf("revoke an app password of %s: %w", login, err)
	}
	return revoked, nil
}
