package milter

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// maxAnswer is the largest answer that is read of a filter, in octets. The
// longest that one has reason to send are replies and header fields: bodies are
// not changed.
const maxAnswer = 1 << 20

// maxAnswers is how many octets are read of a filter for one message: it may send
// as many changes as it likes before its verdict, and all are kept until then.
const maxAnswers = 16 << 20

// dialer connects within the time that an answer may take.
type dialer struct{ opt Options }

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.opt.Timeout)
	defer cancel()
	c, err := d.opt.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: c}, nil
}

// guarded is a connection to a filter on which only answers come that the
// library can take: it panics at an empty one, and makes room for as much as half
// a gigabyte because a filter says that so much will come.
type guarded struct {
	net.Conn

	head    [4]byte
	pending []byte // of head
	left    uint32 // octets of the answer that is being read
	all     uint64 // octets of all answers so far
}

func (g *guarded) Read(p []byte) (int, error) {
	if g.left == 0 && len(g.pending) == 0 {
		if _, err := io.ReadFull(g.Conn, g.head[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint32(g.head[:])
		if n == 0 || n > maxAnswer {
			return 0, fmt.Errorf("the filter's answer has %d octets; one has between 1 and %d", n, maxAnswer)
		}
		if g.all += uint64(n); g.all > maxAnswers {
			return 0, fmt.Errorf("the filter has answered more than the %d octets that one message may take", maxAnswers)
		}
		g.pending, g.left = g.head[:], n
	}
	if len(g.pending) > 0 {
		n := copy(p, g.pending)
		g.pending = g.pending[n:]
		return n, nil
	}
	n, err := g.Conn.Read(p[:min(len(p), int(g.left))])
	g.left -= uint32(n)
	return n, err
}
