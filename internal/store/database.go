package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/onwardmail/onward/internal/queue"
)

// schema says what a database file must look like.
type schema struct {
	// what names it to people: "queue".
	what string
	// application is SQLite's application_id: whose file it is.
	application int64
	// migrations bring a file from version n to n+1, in order; user_version is
	// how many have been done. What has been released is never changed.
	migrations []string
	cache      int // of the writing connection, in KiB
}

// Settings of SQLite.
const (
	pageSize = 8192
	// checkpointPages is the length of the write-ahead log, in pages, from which
	// on it is moved into the database: 32 MiB. Content that lived shorter than
	// that is never written twice.
	checkpointPages = 32 << 20 / pageSize
	readerCache     = 2048 // KiB
	busyTimeout     = 5 * time.Second
)

// hooks tie what is kept in memory to the transactions of the writer; all are
// called by its goroutine.
type hooks interface {
	begin()
	// beforeCommit may still read and write; an error rolls back.
	beforeCommit(c *conn) error
	committed()
}

// database is one SQLite file: one writer, several readers.
type database struct {
	path   string
	opts   Options
	hooks  hooks
	writer *conn // of the writer's goroutine
	ops    chan *op
	quit   chan struct{}
	ended  chan struct{}
	// readers holds connections, nil ones not yet opened.
	readers chan *conn
	disk    *disk
	cause   atomic.Pointer[error] // why it stopped accepting

	// Of the writer's goroutine: the length of the write-ahead log in pages, and
	// the length from which on to move it.
	walPages, walLimit int
}

// openDatabase opens or makes the file, brings it to the newest schema and
// starts the writer when start is called.
func openDatabase(path string, s schema, opts Options) (*database, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", s.what, err)
	}
	if err := secureFile(path); err != nil {
		return nil, fmt.Errorf("open the %s: %w; run as the user that owns the folder", s.what, err)
	}
	if opts.VFS, err = registerVFS(opts.VFS); err != nil {
		return nil, fmt.Errorf("open the %s: %w", s.what, err)
	}
	c, err := connect(path, opts.VFS, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return nil, notOpened(path, s, err)
	}
	if err := prepareFile(c, path, s); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if opts.checkpoint == 0 {
		opts.checkpoint = checkpointPages
	}
	n := opts.Readers
	if n <= 0 {
		n = DefaultReaders
	}
	d := &database{
		path: path, opts: opts, writer: c,
		ops: make(chan *op, maxBatch), quit: make(chan struct{}), ended: make(chan struct{}),
		readers: make(chan *conn, n), disk: newDisk(path, opts.MinFree), walLimit: opts.checkpoint,
	}
	for range n {
		d.readers <- nil
	}
	c.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		d.walPages = pages
		return nil
	})
	return d, nil
}

// secureFile makes the file, and what SQLite puts beside it, its owner's only.
func secureFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func notOpened(path string, s schema, err error) error {
	if errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
		return fmt.Errorf("%s is not a readable %s of Onward: %w; restore it from a copy, or move it away to begin with an empty one", path, s.what, err)
	}
	return fmt.Errorf("open the %s %s: %w", s.what, path, err)
}

// prepareFile checks whose file it is and migrates it.
func prepareFile(c *conn, path string, s schema) error {
	if err := c.BusyTimeout(busyTimeout); err != nil {
		return notOpened(path, s, err)
	}
	application, err := c.use("PRAGMA application_id").one()
	if err != nil {
		return notOpened(path, s, err)
	}
	version, err := c.use("PRAGMA user_version").one()
	if err != nil {
		return notOpened(path, s, err)
	}
	objects, err := c.use("SELECT count(*) FROM sqlite_schema").one()
	if err != nil {
		return notOpened(path, s, err)
	}
	if objects > 0 && application != s.application {
		return fmt.Errorf("%s is a database of another program or another part of Onward, not a %s; move it away or set the key data to another folder", path, s.what)
	}
	if version > int64(len(s.migrations)) {
		return fmt.Errorf("%s was written by a newer version of Onward: it has format %d, this version knows up to %d; run the newer version, or restore a copy from before the upgrade",
			path, version, len(s.migrations))
	}
	// FULL comes before anything is written: see diskVFS.
	if err := c.Exec("PRAGMA synchronous = FULL"); err != nil {
		return notOpened(path, s, err)
	}
	if objects == 0 { // decided before there is a table
		if err := c.Exec(fmt.Sprintf("PRAGMA page_size = %d; PRAGMA auto_vacuum = INCREMENTAL", pageSize)); err != nil {
			return notOpened(path, s, err)
		}
	}
	err = c.Exec(fmt.Sprintf(`
		PRAGMA journal_mode = WAL;
		PRAGMA wal_autocheckpoint = 0;
		PRAGMA journal_size_limit = %d;
		PRAGMA temp_store = MEMORY;
		PRAGMA foreign_keys = OFF;
		PRAGMA cache_size = -%d;`, 2*checkpointPages*pageSize, s.cache))
	if err != nil {
		return notOpened(path, s, err)
	}
	for v := int(version); v < len(s.migrations); v++ {
		err := c.Exec(fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			s.migrations[v], s.application, v+1))
		if err != nil {
			return fmt.Errorf("bring %s from format %d to %d: %w", path, v, v+1, err)
		}
	}
	if err := secureFile(path); err != nil {
		return fmt.Errorf("open the %s: %w", s.what, err)
	}
	return nil
}

// start begins the writer's goroutine.
func (d *database) start(h hooks) {
	d.hooks = h
	go d.run()
}

// close commits what has been handed over, and closes.
func (d *database) close() error {
	select {
	case <-d.quit:
		<-d.ended
		return nil
	default:
	}
	close(d.quit)
	<-d.ended
	var errs []error
	for range cap(d.readers) {
		if c := <-d.readers; c != nil {
			errs = append(errs, c.close())
		}
	}
	if err := d.writer.close(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", d.path, err)
	}
	return nil
}

// abandon closes a database whose writer was never started.
func (d *database) abandon() { _ = d.writer.close() } // the caller reports the first error

// read gives f a connection for reading, with one consistent view. f must not
// wait for anything but the disk.
func (d *database) read(ctx context.Context, f func(c *conn) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case <-d.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case c = <-d.readers:
	}
	defer func() { d.readers <- c }()
	if c == nil {
		if c, err = d.openReader(); err != nil {
			return err
		}
	}
	if err := c.use("BEGIN").exec(); err != nil {
		return fmt.Errorf("read %s: %w", d.path, err)
	}
	err = f(c)
	if cerr := c.use("COMMIT").exec(); cerr != nil {
		_ = c.Exec("ROLLBACK") // the connection is closed next
		_ = c.close()
		c = nil
		if err == nil {
			err = cerr
		}
	}
	return translate(err)
}

func (d *database) openReader() (*conn, error) {
	c, err := connect(d.path, d.opts.VFS, sqlite3.OPEN_READWRITE)
	if err != nil {
		return nil, fmt.Errorf("open %s for reading: %w", d.path, err)
	}
	err = c.Exec(fmt.Sprintf("PRAGMA query_only = ON; PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0", readerCache))
	if err == nil {
		err = c.BusyTimeout(busyTimeout)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s for reading: %w", d.path, err), c.close())
	}
	return c, nil
}

// translate turns SQLite's full disk into the queue's.
func translate(err error) error {
	if err != nil && isFull(err) && !errors.Is(err, queue.ErrFull) {
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	}
	return err
}

// isFull reports whether err says that there is no room, which passes.
func isFull(err error) bool {
	// The shared index of the log is no data: if it cannot grow, nothing is lost.
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_SHMSIZE) || errors.Is(err, queue.ErrFull)
}

// isFatal reports whether after err nobody knows what the disk holds.
func isFatal(err error) bool {
	if isFull(err) {
		return false
	}
	for _, code := range []sqlite3.ErrorCode{
		sqlite3.IOERR, sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.READONLY, sqlite3.CANTOPEN, sqlite3.PROTOCOL, sqlite3.PERM,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
