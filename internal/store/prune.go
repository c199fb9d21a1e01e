package store

import (
	"context"
	"fmt"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

const (
	// pruneBlock is how many messages or log rows one transaction deletes.
	pruneBlock = 500
	// vacuumPages is how many pages one transaction gives back to the disk, and
	// sparePages how many stay for the mail to come: 16 MiB.
	vacuumPages = 500
	sparePages  = 16 << 20 / pageSize
)

// Prune implements queue.Store. n counts messages and log rows. It deletes
// messages all of whose recipients ended before, and log rows from before; a
// recipient that is still due after so long keeps its row but loses the log of
// its old attempts. Each transaction is small, and others come between.
func (q *Queue) Prune(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for _, step := range []func(context.Context, time.Time) (int, error){q.pruneMessages, q.pruneLog, q.pruneParties, q.vacuum} {
		n, err := step(ctx, before)
		total += n
		if err != nil {
			return total, fmt.Errorf("delete what is older than %s: %w", before.Format(time.DateOnly), err)
		}
	}
	return total, nil
}

// idBefore is an ID that no message received at t or later has.
func idBefore(t time.Time) queue.ID {
	return queue.ID(max(0, t.UnixMilli()-queue.ID(0).Time().UnixMilli()) << 20)
}

func (q *Queue) pruneMessages(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for after := int64(0); ; {
		var n, seen int
		last := after
		err := q.db.write(ctx, 0, func(c *conn) error {
			n, seen, last = 0, 0, after
			var ids []int64
			rows := c.use("SELECT id FROM message WHERE id > ? AND id < ? ORDER BY id LIMIT ?").int(after).int(int64(idBefore(before))).int(pruneBlock)
			for rows.next() {
				ids = append(ids, rows.ColumnInt64(0))
			}
			if err := rows.done(); err != nil {
				return err
			}
			seen = len(ids)
			for _, id := range ids {
				last = id
				deleted, err := pruneMessage(c, id, before.UnixMicro())
				if err != nil {
					return err
				}
				if deleted {
					n++
				}
			}
			return nil
		})
		total += n
		if err != nil || seen < pruneBlock {
			return total, err
		}
		after = last
	}
}

// pruneMessage deletes a message if all of it ended before.
func pruneMessage(c *conn, id, before int64) (bool, error) {
	needed, err := c.use("SELECT EXISTS (SELECT 1 FROM recipient WHERE message = ?) OR EXISTS (SELECT 1 FROM ended WHERE message = ? AND last >= ?)").
		int(id).int(id).int(before).one()
	if err != nil || needed != 0 {
		return false, err
	}
	for _, sql := range []string{
		"DELETE FROM ended WHERE message = ?", sqlDeleteContent, "DELETE FROM message WHERE id = ?",
	} {
		if err := c.use(sql).int(id).exec(); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (q *Queue) pruneLog(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for {
		n := 0
		err := q.db.write(ctx, 0, func(c *conn) error {
			err := c.use("DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE seq < ? ORDER BY seq LIMIT ?)").int(before.UnixMicro()).int(pruneBlock).exec()
			n = int(c.Changes())
			return err
		})
		total += n
		if err != nil || n < pruneBlock {
			return total, err
		}
	}
}

// pruneParties forgets segments whose messages are all gone.
func (q *Queue) pruneParties(ctx context.Context, _ time.Time) (int, error) {
	return 0, q.db.write(ctx, 0, func(c *conn) error {
		return c.use("DELETE FROM segment WHERE newest < (SELECT coalesce(min(id), 0) FROM message)").exec()
	})
}

// vacuum gives unused pages back to the disk, but for a reserve.
func (q *Queue) vacuum(ctx context.Context, _ time.Time) (int, error) {
	for {
		free := int64(0)
		err := q.db.write(ctx, 0, func(c *conn) error {
			var err error
			if free, err = c.use("PRAGMA freelist_count").one(); err != nil {
				return err
			}
			if free <= sparePages {
				return nil
			}
			return c.use(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)).exec()
		})
		if err != nil || free <= sparePages+vacuumPages {
			return 0, err
		}
	}
}
