package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/recipient"
)

// Directory is domains, addresses, accounts, app passwords and failed logins in
// SQLite. It implements recipient.Directory and account.Directory.
type Directory struct {
	db    *database
	cache cache
	notes notes
	usage usageNotes
	stop  chan struct{}
	done  sync.WaitGroup
	once  sync.Once
	err   error // of Close
}

var (
	_ recipient.Directory = (*Directory)(nil)
	_ account.Directory   = (*Directory)(nil)
)

// Bounds of what the directory does lazily.
const (
	// flushInterval is how long a login's date or a failed login may be in
	// memory only: so much of it a crash may lose.
	flushInterval = 5 * time.Second
	// pruneInterval is how often old failures are deleted where nobody fails.
	pruneInterval = time.Hour
)

// OpenDirectory opens the directory of a data folder, or makes it; the caller
// holds the folder's lock. path may also name the file itself.
func OpenDirectory(path string, opts Options) (*Directory, error) {
	opts.MinFree = 0 // it is for mail
	db, err := openDatabase(fileIn(path, DirectoryFile), directorySchema(), opts)
	if err != nil {
		return nil, err
	}
	d := &Directory{db: db, stop: make(chan struct{})}
	d.cache.init()
	d.notes.init()
	db.start(d)
	d.done.Go(d.flushLoop)
	return d, nil
}

// Close writes what is still in memory and closes the file.
func (d *Directory) Close() error {
	d.once.Do(func() {
		close(d.stop)
		d.done.Wait()
		err := errors.Join(d.flush(context.Background()), d.flushUsage(context.Background()))
		if cerr := d.db.close(); err == nil {
			err = cerr
		}
		d.err = err
	})
	return d.err
}

// Health returns nil while the directory accepts changes, else why not.
func (d *Directory) Health() error { return d.db.health() }

// flushLoop writes what is lazy.
func (d *Directory) flushLoop() {
	flush := time.NewTicker(flushInterval)
	defer flush.Stop()
	prune := time.NewTicker(pruneInterval)
	defer prune.Stop()
	ctx := context.Background()
	_ = d.pruneFailures(ctx, time.Now()) // the next round tries again
	for {
		select {
		case <-d.stop:
			return
		case <-flush.C:
			_ = d.flush(ctx) // what could not be written stays in memory, bounded
			_ = d.flushUsage(ctx)
		case <-d.notes.full:
			_ = d.flush(ctx)
		case now := <-prune.C:
			_ = d.pruneFailures(ctx, now)
		}
	}
}

// begin, beforeCommit and committed implement hooks: whoever commits has
// changed the directory, so what was cached is forgotten before the writer is
// answered.
func (d *Directory) begin() { d.cache.dirty = false }

func (d *Directory) beforeCommit(*conn) error { return nil }

func (d *Directory) committed() {
	if d.cache.dirty {
		d.cache.forget()
	}
}

// maxCached is how many domains, and how many addresses, are kept in memory,
// absent ones included.
const maxCached = 20_000

// cache keeps what RCPT asks for. Any change of domains or addresses empties it:
// changes are rare, and nothing stale is ever served.
type cache struct {
	dirty bool // of the writer's goroutine: domains or addresses change

	mu         sync.RWMutex // guards what follows
	generation uint64       // counts the forgetting
	domains    map[address.Domain]*recipient.Domain
	addresses  map[string]*recipient.Address // by Key; nil: there is none
}

func (c *cache) init() {
	c.domains = make(map[address.Domain]*recipient.Domain)
	c.addresses = make(map[string]*recipient.Address)
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.domains)
	clear(c.addresses)
}

// domain returns what is known, and the generation for keepDomain.
func (c *cache) domain(name address.Domain) (d *recipient.Domain, known bool, generation uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, known = c.domains[name]
	return d, known, c.generation
}

// keepDomain keeps what was read, unless something has changed since.
func (c *cache) keepDomain(name address.Domain, d *recipient.Domain, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return
	}
	if len(c.domains) >= maxCached {
		clear(c.domains)
	}
	c.domains[name] = d
}

func (c *cache) address(key string) (a *recipient.Address, known bool, generation uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	a, known = c.addresses[key]
	return a, known, c.generation
}

func (c *cache) keepAddress(key string, a *recipient.Address, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return
	}
	if len(c.addresses) >= maxCached {
		clear(c.addresses)
	}
	c.addresses[key] = a
}

// directorySchema is the format of directory.db. Moments are microseconds since
// 1970, 0 for none.
func directorySchema() schema {
	return schema{
		what:        "directory",
		application: 0x4f6e7744, // "OnwD"
		cache:       8 << 10,
		migrations: []string{
			`
			CREATE TABLE domain (
				name       TEXT PRIMARY KEY,
				created    INTEGER NOT NULL,
				postmaster TEXT NOT NULL
			) WITHOUT ROWID;
			CREATE TABLE address (
				key      TEXT NOT NULL PRIMARY KEY, -- address.Mailbox.Key
				domain   TEXT NOT NULL,
				name     TEXT NOT NULL,             -- as its owner wrote it
				kind     TEXT NOT NULL,
				targets  TEXT NOT NULL,             -- one a line
				disclose TEXT NOT NULL,
				text     TEXT NOT NULL,
				created  INTEGER NOT NULL
			) WITHOUT ROWID;
			CREATE INDEX address_domain ON address (domain, key);
			CREATE TABLE account (
				login      TEXT PRIMARY KEY,
				hash       TEXT NOT NULL,
				disabled   INTEGER NOT NULL,
				created    INTEGER NOT NULL,
				identities TEXT NOT NULL,           -- one a line
				last_login INTEGER NOT NULL
			) WITHOUT ROWID;
			CREATE TABLE app_password (
				id           TEXT PRIMARY KEY,
				login        TEXT NOT NULL,
				name         TEXT NOT NULL,
				mac          BLOB NOT NULL,
				created      INTEGER NOT NULL,
				expires      INTEGER NOT NULL,
				revoked      INTEGER NOT NULL,
				last_use     INTEGER NOT NULL,
				last_address TEXT NOT NULL
			) WITHOUT ROWID;
			CREATE INDEX app_password_login ON app_password (login, created);
			CREATE TABLE failure (
				id        INTEGER PRIMARY KEY,
				key       BLOB NOT NULL UNIQUE,     -- what is counted together
				at        INTEGER NOT NULL,
				login     TEXT NOT NULL,
				reference TEXT NOT NULL,
				count     INTEGER NOT NULL,
				data      BLOB NOT NULL
			);
			CREATE INDEX failure_at ON failure (at);
			CREATE INDEX failure_login ON failure (login, at) WHERE login <> '';
			CREATE TABLE reference (
				reference TEXT PRIMARY KEY,
				at        INTEGER NOT NULL,
				failure   INTEGER NOT NULL
			) WITHOUT ROWID;
			CREATE INDEX reference_at ON reference (at)`,
			`
			-- accountData and appPasswordData as JSON
			ALTER TABLE account ADD COLUMN data TEXT NOT NULL DEFAULT '';
			ALTER TABLE app_password ADD COLUMN last_mechanism TEXT NOT NULL DEFAULT '';
			ALTER TABLE app_password ADD COLUMN last_client TEXT NOT NULL DEFAULT '';
			ALTER TABLE app_password ADD COLUMN data TEXT NOT NULL DEFAULT ''`,
			`
			CREATE TABLE usage (
				login      TEXT NOT NULL,
				credential TEXT NOT NULL,           -- '' for the account as a whole
				used       INTEGER NOT NULL,
				data       BLOB NOT NULL,           -- account.Tally as JSON
				PRIMARY KEY (login, credential)
			) WITHOUT ROWID;
			CREATE TABLE known_recipient (
				login TEXT NOT NULL,
				hash  INTEGER NOT NULL,             -- keyed, of an address that the login wrote to
				day   INTEGER NOT NULL,             -- since 1970, on which it did last
				PRIMARY KEY (login, hash)
			) WITHOUT ROWID`,
			`
			CREATE TABLE known_network (
				login   TEXT NOT NULL,
				network TEXT NOT NULL,              -- where it gave the right secret
				seen    INTEGER NOT NULL,
				PRIMARY KEY (login, network)
			) WITHOUT ROWID`,
		},
	}
}

// change runs a change of domains or addresses.
func (d *Directory) change(ctx context.Context, what string, apply func(c *conn) error) error {
	err := d.db.write(ctx, 0, func(c *conn) error {
		d.cache.dirty = true
		return apply(c)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
