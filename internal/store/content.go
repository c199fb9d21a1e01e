package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/onwardmail/onward/internal/queue"
)

const (
	// chunkSize is how much of a large content is in memory while it comes in
	// and while it is read, in octets.
	chunkSize = 256 << 10
	// chunkBits is how many bits of a chunk's key number it in its content: a
	// content has at most 16 GiB.
	chunkBits = 16
)

// content implements queue.Content.
type content struct {
	q      *Queue
	buf    []byte // what is not in the store
	size   int64
	upload int64 // 0: nothing is in the store
	chunks int64
	stored bool // a message has it
	err    error
}

// NewContent implements queue.Store.
func (q *Queue) NewContent() queue.Content { return &content{q: q} }

var errAttached = errors.New("the content belongs to a message already")

// Write implements io.Writer. It waits for the disk when a chunk is full. After
// an error it returns that error for ever.
func (t *content) Write(p []byte) (int, error) {
	if t.err == nil && t.stored {
		t.err = errAttached
	}
	if t.err != nil {
		return 0, t.err
	}
	n := 0
	for len(p) > 0 {
		part := p[:min(len(p), chunkSize-len(t.buf))]
		t.buf = append(t.buf, part...)
		p = p[len(part):]
		n += len(part)
		if len(t.buf) == chunkSize {
			if t.err = t.flush(); t.err != nil {
				return n, t.err
			}
		}
		t.size += int64(len(part))
	}
	return n, nil
}

// flush moves a full buffer into the store.
func (t *content) flush() error {
	if t.q.db.disk.isLow() {
		return fmt.Errorf("store a content: %w", queue.ErrFull)
	}
	if t.chunks+1 >= 1<<chunkBits {
		return errors.New("store a content: it is too large")
	}
	upload := t.upload
	err := t.q.db.write(context.Background(), len(t.buf), func(c *conn) error {
		if upload = t.upload; upload == 0 {
			t.q.upload++
			upload = t.q.upload
		}
		return c.use(sqlInsertChunk).int(upload<<chunkBits | t.chunks).blob(t.buf).exec()
	})
	if err != nil {
		return fmt.Errorf("store a content: %w", err)
	}
	t.upload = upload
	t.chunks++
	t.buf = t.buf[:0]
	return nil
}

// Size implements queue.Content.
func (t *content) Size() int64 { return t.size }

// Inline implements queue.Content.
func (t *content) Inline() ([]byte, bool) {
	if t.size > queue.InlineMax {
		return nil, false
	}
	return t.buf, true
}

// Abort implements queue.Content. What is in the store is deleted; if that
// fails, the next start sweeps it.
func (t *content) Abort() {
	if t.stored {
		return
	}
	if t.err == nil {
		t.err = errors.New("the content was given up")
	}
	upload := t.upload
	t.buf, t.upload = nil, 0
	if upload == 0 {
		return
	}
	// The next start sweeps what stays.
	_ = t.q.db.write(context.Background(), 0, func(c *conn) error { return deleteChunks(c, upload) })
}

// insertContent stores a content as the message's.
func insertContent(c *conn, id int64, from queue.Content) error {
	if t, ours := from.(*content); ours {
		switch {
		case t.stored:
			return errAttached
		case t.err != nil:
			return t.err
		}
	}
	if body, ok := from.Inline(); ok {
		return c.use(sqlInsertContent).int(id).blob(body).exec()
	}
	t, ok := from.(*content)
	if !ok {
		return errors.New("it comes from another store")
	}
	upload, chunks := t.upload, t.chunks
	if upload == 0 {
		t.q.upload++
		upload = t.q.upload
	}
	if len(t.buf) > 0 {
		if err := c.use(sqlInsertChunk).int(upload<<chunkBits | chunks).blob(t.buf).exec(); err != nil {
			return err
		}
		chunks++
	}
	return c.use(sqlInsertLarge).int(id).int(upload).int(chunks).exec()
}

// attached notes that the content's message is stored. What Inline returned stays
// good; the rest is let go.
func attached(e *queue.Entry) {
	if t, ours := e.Content.(*content); ours {
		t.stored = true
		if t.size > queue.InlineMax {
			t.buf = nil
		}
	}
}

// OpenContent implements queue.Store. The reader holds one chunk in memory and
// no transaction; if the content is deleted meanwhile, reading fails with
// queue.ErrNotFound and never ends early as if it were whole.
func (q *Queue) OpenContent(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	var body []byte
	var upload, chunks int64
	err := q.db.read(ctx, func(c *conn) error {
		rows := c.use("SELECT body FROM content WHERE message = ?").int(int64(id))
		found := rows.next()
		if found {
			body = rows.ColumnBlob(0, nil)
		}
		if err := rows.done(); err != nil || found {
			return err
		}
		rows = c.use("SELECT upload, chunks FROM large WHERE message = ?").int(int64(id))
		if found = rows.next(); found {
			upload, chunks = rows.ColumnInt64(0), rows.ColumnInt64(1)
		}
		if err := rows.done(); err != nil || found {
			return err
		}
		return queue.ErrNotFound
	})
	if err != nil {
		return nil, fmt.Errorf("open the content of %s: %w", id, err)
	}
	if upload == 0 {
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	return &reader{ctx: ctx, q: q, id: id, next: upload << chunkBits, end: upload<<chunkBits + chunks}, nil
}

// reader reads a large content chunk by chunk.
type reader struct {
	ctx       context.Context //nolint:containedctx // it is the reading's
	q         *Queue
	id        queue.ID
	next, end int64
	buf       []byte // the chunk; its array is used again
	rest      []byte
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next == r.end {
			return 0, io.EOF
		}
		if err := r.fill(); err != nil {
			return 0, fmt.Errorf("read the content of %s: %w", r.id, err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) fill() error {
	err := r.q.db.read(r.ctx, func(c *conn) error {
		rows := c.use("SELECT body FROM chunk WHERE id = ?").int(r.next)
		found := rows.next()
		if found {
			r.buf = rows.ColumnBlob(0, r.buf[:0])
		}
		if err := rows.done(); err != nil || found {
			return err
		}
		return queue.ErrNotFound
	})
	if err != nil {
		return err
	}
	r.rest = r.buf
	r.next++
	return nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.next, r.end, r.buf, r.rest = 0, 0, nil, nil
	return nil
}
