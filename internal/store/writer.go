package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

	"github.com/onwardmail/onward/internal/queue"
)

// Bounds of one transaction of the writer.
const (
	// maxBatch is how many operations are committed together, and how many more
	// may wait while that happens.
	maxBatch = 256
	// maxBatchSize bounds the contents of a batch, in octets.
	maxBatchSize = 8 << 20
)

// op is one operation for the writer. apply may run twice: a batch that fails
// is repeated one by one. It must begin by forgetting what it found before, and
// must change what hooks keep only together with the database.
type op struct {
	apply func(c *conn) error
	size  int
	err   error
	taken atomic.Bool // by the writer, or by a caller who gives up
	done  chan struct{}
}

// write runs apply in a transaction and returns when it is on stable storage,
// or has failed and left nothing behind. Once the writer has begun, it waits for
// the end whatever ctx says: the answer must be true.
func (d *database) write(ctx context.Context, size int, apply func(c *conn) error) error {
	if err := d.health(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // select would choose at random, and the caller has gone
	}
	o := &op{apply: apply, size: size, done: make(chan struct{})}
	select {
	case <-d.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case d.ops <- o:
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		if o.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
	case <-d.ended:
	}
	select {
	case <-o.done:
		return o.err
	case <-d.ended:
	}
	select {
	case <-o.done:
		return o.err
	default:
		return ErrClosed // it came after the writer's last look
	}
}

// run is the writer's goroutine.
func (d *database) run() {
	defer close(d.ended)
	batch := make([]*op, 0, maxBatch)
	for {
		select {
		case o := <-d.ops:
			batch = d.collect(append(batch[:0], o))
		case <-d.quit:
			for batch = d.collect(batch[:0]); len(batch) > 0; batch = d.collect(batch[:0]) {
				d.commit(batch)
			}
			return
		}
		d.commit(batch)
		clear(batch)
		d.checkpoint()
	}
}

// collect takes what else waits, without waiting for it.
func (d *database) collect(batch []*op) []*op {
	size := 0
	if len(batch) > 0 {
		size = batch[0].size
	}
	for len(batch) < maxBatch && size < maxBatchSize {
		select {
		case o := <-d.ops:
			size += o.size
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit carries out a batch and answers everybody in it.
func (d *database) commit(batch []*op) {
	live := batch[:0]
	for _, o := range batch {
		if o.taken.CompareAndSwap(false, true) {
			live = append(live, o)
		}
	}
	if len(live) == 0 {
		return
	}
	err := d.transact(live)
	if err != nil && len(live) > 1 && d.health() == nil {
		for i := range live {
			one := live[i : i+1]
			if err := d.transact(one); err != nil {
				one[0].err = err
			}
			close(one[0].done)
		}
		return
	}
	for _, o := range live {
		if err != nil {
			o.err = err
		}
		close(o.done)
	}
}

// transact carries out operations in one transaction. With an error nothing has
// been changed; without, each operation has its own err.
func (d *database) transact(ops []*op) (err error) {
	if err := d.health(); err != nil {
		return err
	}
	c := d.writer
	defer func() {
		if err == nil {
			return
		}
		if !c.GetAutocommit() {
			if rerr := c.use("ROLLBACK").exec(); rerr != nil && !c.GetAutocommit() {
				d.stop(fmt.Errorf("roll back: %w", rerr))
			}
		}
		if isFatal(err) {
			d.stop(err)
			err = d.health()
		}
		err = translate(err)
	}()
	if err := c.use("BEGIN IMMEDIATE").exec(); err != nil {
		return err
	}
	d.hooks.begin()
	for _, o := range ops {
		before := c.TotalChanges()
		o.err = o.apply(c)
		if o.err != nil && (c.TotalChanges() != before || isSQLite(o.err)) {
			return o.err
		}
	}
	if err := d.hooks.beforeCommit(c); err != nil {
		return err
	}
	if err := c.use("COMMIT").exec(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	d.hooks.committed()
	return nil
}

// isSQLite reports whether err comes from the database rather than from an
// operation that found itself impossible.
func isSQLite(err error) bool {
	var code sqlite3.ErrorCode
	return errors.As(err, &code)
}

// health returns why the store stopped accepting, nil while it accepts.
func (d *database) health() error {
	if cause := d.cause.Load(); cause != nil {
		return fmt.Errorf("%w (%s: %w)", queue.ErrStopped, d.path, *cause)
	}
	return nil
}

// stop makes the store stop accepting.
func (d *database) stop(cause error) {
	if d.cause.CompareAndSwap(nil, &cause) && d.opts.OnStop != nil {
		d.opts.OnStop(d.health())
	}
}

// checkpoint moves the write-ahead log into the database when it is long. It
// runs between batches, when everybody has been answered.
func (d *database) checkpoint() {
	if d.walPages < d.walLimit || d.health() != nil {
		return
	}
	total, moved, err := d.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	switch {
	case err == nil && moved == total:
		d.walLimit, d.walPages = d.opts.checkpoint, 0
		return
	case err != nil && isFatal(err):
		d.stop(fmt.Errorf("move the write-ahead log: %w", err))
	}
	// A reader needs the log, or the disk is full: try again later.
	d.walLimit = d.walPages + max(1, d.opts.checkpoint/4)
}
