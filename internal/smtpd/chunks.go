package smtpd

import (
	"context"
	"time"
)

// Content that comes in chunks has as much time as content that comes by DATA:
// from its first chunk to its last, with what is said between them. A client
// could else hold a place among the contents for as long as it has octets to
// send, one a chunk.

// noteChunks is due before each command.
func (c *Conn) noteChunks() {
	if c.session.stage != chunking {
		c.chunked = time.Time{}
	}
}

// within is by, or when the chunks must be there, if that is earlier.
func (c *Conn) within(by time.Time) time.Time {
	if c.session.stage == chunking && c.chunked.Before(by) && !c.chunked.IsZero() {
		return c.chunked
	}
	return by
}

// readChunk reads n octets.
func (c *Conn) readChunk(ctx context.Context, n int64) (Next, error) {
	if err := c.flushBy(c.options.BlockWait); err != nil {
		return Next{}, err
	}
	if c.chunked.IsZero() {
		c.chunked = time.Now().Add(c.options.ContentTime)
	}
	for n > 0 {
		if c.start == c.end {
			if err := c.block(&c.chunked); err != nil {
				return Next{}, err
			}
		}
		m := int(min(n, int64(c.end-c.start)))
		c.session.ChunkPiece(c.buf[c.start : c.start+m])
		c.start += m
		n -= int64(m)
	}
	return c.session.ChunkRead(ctx), nil
}
