// Package store keeps the queue and the directory on disk, in SQLite.
//
// It promises:
//
//   - What a method has returned nil for survives a crash of the process and of
//     the machine: WAL, synchronous=FULL, and the answer comes after the fsync.
//   - One fsync serves everybody: one goroutine owns the writing connection and
//     commits what has gathered while the last commit was under way. An idle
//     store commits at once; nothing waits for company.
//   - An operation that fails spoils nobody else's: then each of its batch is
//     committed alone.
//   - A full disk is queue.ErrFull, and the store goes on as soon as there is
//     room. After a failed write or fsync nobody can know what the disk holds:
//     the store stops accepting (queue.ErrStopped) until it is opened again.
//   - Memory per message is bounded, whatever its size.
//   - No read transaction is open while somebody else's network is waited for.
//
// It does not promise that two processes may use one folder: [Lock] sees to it
// that they do not, and because of it leases, the schedule of destinations and
// counts live in memory and are rebuilt when the store is opened.
//
// The files of a data folder (mode 0700, files 0600):
//
//	onward.lock    the pid of the process that holds the folder
//	keys           random keys; neither in the databases nor in their backups
//	queue.db       messages, recipients, contents, delivery log
//	directory.db   domains, addresses, accounts, app passwords, failed logins
//
// queue.db has two tables of recipients: recipient for those still due, which
// stays small and hot, and ended for the others, which is history. The moment
// at which a row moves is the recorded outcome. The log row of the outcome, the
// deletion of the content nobody needs any more and the report about a failure
// are in the same transaction.
//
//	message ─┬─ recipient | ended ── last ──► log ── prev ──► log …
//	         ├─ content (up to queue.InlineMax octets) | large ──► chunk …
//	         └─ party (day, hash of address): finds messages by address
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// The files of a data folder.
const (
	QueueFile     = "queue.db"
	DirectoryFile = "directory.db"
	KeysFile      = "keys"
	LockFile      = "onward.lock"
)

// ErrClosed means that the store has been closed.
var ErrClosed = errors.New("the store is closed")

// Options are how a store is opened. The zero Options are right.
type Options struct {
	// VFS names a registered SQLite VFS, "" for the operating system's. Tests
	// use it for disks that fail.
	VFS string
	// Readers is the largest number of connections for reading, 0 for
	// DefaultReaders. They are opened when first needed.
	Readers int
	// MinFree is the free space of the disk, in octets, below which Enqueue and
	// contents get queue.ErrFull while there is still room for outcomes; 0: no
	// such limit.
	MinFree int64
	// OnStop is told once why the store stopped accepting. It must not block.
	OnStop func(cause error)

	// checkpoint is the length of the write-ahead log, in pages, from which on it
	// is moved; 0: checkpointPages. Tests make it small.
	checkpoint int
}

// DefaultReaders is the number of connections for reading.
const DefaultReaders = 4

// MakeFolder makes the data folder, for its owner only.
func MakeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w; give another folder with the key data, or make this one writable", err)
	}
	return nil
}

// disk knows how much room is left, asking at most once a second.
type disk struct {
	dir     string
	minFree int64
	asked   atomic.Int64 // UnixNano
	low     atomic.Bool
}

func newDisk(path string, minFree int64) *disk {
	return &disk{dir: filepath.Dir(path), minFree: minFree}
}

// isLow reports whether less than minFree is left. A disk that cannot be asked
// is not low: writing will tell.
func (d *disk) isLow() bool {
	if d.minFree <= 0 {
		return false
	}
	now := time.Now().UnixNano()
	if last := d.asked.Load(); now-last > int64(time.Second) && d.asked.CompareAndSwap(last, now) {
		free, err := freeSpace(d.dir)
		d.low.Store(err == nil && free < d.minFree)
	}
	return d.low.Load()
}
