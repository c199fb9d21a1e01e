package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// Queue is the queue in SQLite. It implements queue.Store.
type Queue struct {
	db *database

	mu sync.Mutex // guards what follows; all of it is rebuilt by OpenQueue
	// schedule is, of every destination with waiting recipients, the earliest
	// Due in microseconds.
	schedule map[queue.Destination]int64
	// leases are the claims of this process: until when, in microseconds.
	leases map[queue.RecipientID]int64
	counts counts
	// parties is what no segment has yet; only the writer's goroutine changes it.
	parties []party

	// Of the writer's goroutine.
	seq     int64  // the last key of the log
	upload  int64  // the last number of a large content
	pending change // of the transaction under way
	scratch []byte
	one     listed // scratch of record
}

var _ queue.Store = (*Queue)(nil)

// counts is the number of recipients by state; terminal ones are not kept.
type counts [queue.Removed + 1]int64

// change is what a transaction will change in memory when it commits.
type change struct {
	counts  counts
	leased  map[queue.RecipientID]int64 // 0: the lease ends
	touched map[queue.Destination]bool  // its schedule must be looked up anew
	due     map[queue.Destination]int64 // what was found
	parties []party
	// segmented says that all parties have gone into a segment.
	segmented bool
}

// OpenQueue opens the queue of a data folder, or makes it; the caller holds the
// folder's lock. path may also name the file itself.
func OpenQueue(path string, opts Options) (*Queue, error) {
	db, err := openDatabase(fileIn(path, QueueFile), queueSchema(), opts)
	if err != nil {
		return nil, err
	}
	q := &Queue{db: db, schedule: make(map[queue.Destination]int64), leases: make(map[queue.RecipientID]int64)}
	q.pending = change{
		leased: make(map[queue.RecipientID]int64), touched: make(map[queue.Destination]bool),
		due: make(map[queue.Destination]int64),
	}
	if err := q.load(db.writer); err != nil {
		db.abandon()
		return nil, fmt.Errorf("open the queue %s: %w", db.path, err)
	}
	db.start(q)
	return q, nil
}

// fileIn returns the file of that name if path is a folder, else path.
func fileIn(path, name string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, name)
	}
	return path
}

// load reads what is kept in memory.
func (q *Queue) load(c *conn) error {
	rows := c.use("SELECT state, count(*) FROM recipient GROUP BY state")
	for rows.next() {
		if s := rows.ColumnInt(0); s < len(q.counts) {
			q.counts[s] = rows.ColumnInt64(1)
		}
	}
	if err := rows.done(); err != nil {
		return err
	}
	rows = c.use("SELECT destination, min(due) FROM recipient INDEXED BY waiting WHERE state = 2 GROUP BY destination")
	for rows.next() {
		q.schedule[queue.Destination(rows.ColumnText(0))] = rows.ColumnInt64(1)
	}
	if err := rows.done(); err != nil {
		return err
	}
	var err error
	if q.seq, err = c.use("SELECT max(seq) FROM log").one(); err != nil {
		return err
	}
	chunk, err := c.use("SELECT max(id) FROM chunk").one()
	if err != nil {
		return err
	}
	q.upload = chunk >> chunkBits
	if err := q.loadParties(c); err != nil {
		return err
	}
	large, err := c.use("SELECT max(upload) FROM large").one()
	q.upload = max(q.upload, large)
	return err
}

// Close commits what has been handed over and closes the file.
func (q *Queue) Close() error { return q.db.close() }

// Health returns nil while the queue accepts, else queue.ErrStopped with the
// cause.
func (q *Queue) Health() error { return q.db.health() }

// begin implements hooks.
func (q *Queue) begin() {
	clear(q.pending.leased)
	clear(q.pending.touched)
	clear(q.pending.due)
	q.pending.counts = counts{}
	q.pending.parties = q.pending.parties[:0]
	q.pending.segmented = false
}

// beforeCommit implements hooks: it looks up the schedule of the destinations
// that the transaction has touched.
func (q *Queue) beforeCommit(c *conn) error {
	for d := range q.pending.touched {
		rows := c.use("SELECT due FROM recipient INDEXED BY waiting WHERE state = 2 AND destination = ? ORDER BY due LIMIT 1").text(string(d))
		due := int64(-1)
		if rows.next() {
			due = rows.ColumnInt64(0)
		}
		if err := rows.done(); err != nil {
			return fmt.Errorf("look up what is due next: %w", err)
		}
		q.pending.due[d] = due
	}
	return q.writeSegment(c)
}

// committed implements hooks.
func (q *Queue) committed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, until := range q.pending.leased {
		if until == 0 {
			delete(q.leases, id)
		} else {
			q.leases[id] = until
		}
	}
	for d, due := range q.pending.due {
		if due < 0 {
			delete(q.schedule, d)
		} else {
			q.schedule[d] = due
		}
	}
	if q.pending.segmented {
		q.parties = q.parties[:0]
	} else {
		q.parties = append(q.parties, q.pending.parties...)
	}
	for s, n := range q.pending.counts {
		q.counts[s] += n
	}
}

// moved notes a recipient's change of state for memory; 0 is «does not exist».
func (q *Queue) moved(id queue.RecipientID, from, to queue.State, oldDestination, newDestination queue.Destination) {
	q.pending.counts[from]--
	q.pending.counts[to]++
	if from == queue.Waiting {
		q.pending.touched[oldDestination] = true
	}
	if to == queue.Waiting {
		q.pending.touched[newDestination] = true
	}
	if hasLease(from) && !hasLease(to) {
		q.pending.leased[id] = 0
	}
}

// hasLease reports whether a recipient in the state belongs to an attempt.
func hasLease(s queue.State) bool { return s == queue.Claimed || s == queue.Offered }

// nextSeq returns the key of the next log row: the time, but always rising.
func (q *Queue) nextSeq(now time.Time) int64 {
	q.seq = max(q.seq+1, now.UnixMicro())
	return q.seq
}

// DueDestinations implements queue.Store. Count is exact up to dueCountMax.
func (q *Queue) DueDestinations(ctx context.Context, now time.Time, limit int) ([]queue.Due, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, err
	}
	due, next := q.dueNow(now.UnixMicro(), limit)
	if len(due) == 0 {
		return nil, moment(next), nil
	}
	err := q.db.read(ctx, func(c *conn) error {
		for i := range due {
			n, err := c.use("SELECT count(*) FROM (SELECT 1 FROM recipient INDEXED BY waiting WHERE state = 2 AND destination = ? AND due <= ? LIMIT ?)").
				text(string(due[i].Destination)).int(now.UnixMicro()).int(dueCountMax).one()
			if err != nil {
				return err
			}
			due[i].Count = max(int(n), 1)
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("list what is due: %w", err)
	}
	return due, moment(next), nil
}

// dueCountMax is how far Due.Count counts.
const dueCountMax = 1000

// Count implements queue.Store.
func (q *Queue) Count(context.Context) (map[queue.State]int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := make(map[queue.State]int)
	for _, s := range queue.States() {
		if n := q.counts[s]; !s.Terminal() && n > 0 {
			m[s] = int(n)
		}
	}
	return m, nil
}

// Renew implements queue.Store. Leases live in memory, so it costs no write.
func (q *Queue) Renew(_ context.Context, ids []queue.RecipientID, lease queue.Lease) error {
	if err := q.db.health(); err != nil {
		return err
	}
	until := lease.Until.UnixMicro()
	var gone error
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if _, ok := q.leases[id]; !ok {
			gone = errors.Join(gone, fmt.Errorf("renew the lease on %s: %w", id, queue.ErrNotFound))
			continue
		}
		q.leases[id] = until
	}
	return gone
}
