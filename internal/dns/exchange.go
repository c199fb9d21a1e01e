package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	// udpSize is the size of UDP answers that is offered to servers (rfc6891#6.2.5): what passes everywhere without
	// fragments.
	udpSize = 1232
	// udpBuffer is the size that is read: some servers send more than they were offered.
	udpBuffer = 4096
	// headerSize is the size of the fixed part of a message (rfc1035#4.1.1).
	headerSize = 12
)

var (
	errTruncated = errors.New("answer does not fit into a datagram")
	errMismatch  = errors.New("answer to another question")
)

// query asks the servers in turn until one knows, beginning with the one that did last time. Silence is asked again; a
// server that says that it cannot answer is not asked a second time (rfc9520#3.1). The message returned has the code
// NOERROR or NXDOMAIN.
func (c *Client) query(ctx context.Context, q question) (*miekg.Msg, server, *Error) {
	m := newQuery(q)
	var last *Error
	refused := make([]bool, len(c.servers))
	left := len(c.servers)
	at := int(c.first.Load())
	for try := 0; try < c.tries && left > 0; try++ {
		for refused[at] {
			at = (at + 1) % len(c.servers)
		}
		s := c.servers[at]
		answer, err := c.try(ctx, s, m)
		switch {
		case ctx.Err() != nil:
			return nil, s, q.fail(Timeout, s.address, "", ctx.Err())
		case err != nil && isTimeout(err):
			last = q.fail(Timeout, s.address, "", err)
		case err != nil:
			last = q.fail(ServerFailure, s.address, "", err)
		case isReferral(answer):
			last = q.fail(ServerFailure, s.address, "a referral: it is no recursive name server for us", nil)
			refused[at] = true
			left--
		case answer.Rcode == miekg.RcodeSuccess, answer.Rcode == miekg.RcodeNameError:
			c.first.Store(uint32(at))
			return answer, s, nil
		default:
			last = q.fail(ServerFailure, s.address, rcodeName(answer.Rcode), nil)
			refused[at] = true
			left--
		}
		at = (at + 1) % len(c.servers)
	}
	return nil, server{}, last
}

// isReferral reports whether a server only names others to ask. That says nothing about the question, least of all that
// there are no records.
func isReferral(m *miekg.Msg) bool {
	if m.Rcode != miekg.RcodeSuccess || m.Authoritative || len(m.Answer) > 0 {
		return false
	}
	referral := false
	for _, rr := range m.Ns {
		switch rr.(type) {
		case *miekg.SOA:
			return false
		case *miekg.NS:
			referral = true
		}
	}
	return referral
}

// try asks one server once, within the time of one try. A server that does not know EDNS0 is asked again without it
// (rfc6891#7).
func (c *Client) try(ctx context.Context, s server, m *miekg.Msg) (*miekg.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	m.Id = miekg.Id() // from crypto/rand: an answer must be hard to forge (rfc5452#9.2)
	answer, err := c.exchange(ctx, s.address, m)
	if err == nil && (answer.Rcode == miekg.RcodeFormatError || answer.Rcode == miekg.RcodeNotImplemented) {
		bare := *m
		bare.Extra = nil
		bare.Id = miekg.Id()
		answer, err = c.exchange(ctx, s.address, &bare)
	}
	return answer, err
}

// newQuery writes a question as it goes to a recursive resolver: AD says that we understand the AD bit (rfc6840#5.7), DO
// asks for DNSSEC where a resolver sets AD only then (rfc3225#3).
func newQuery(q question) *miekg.Msg {
	m := new(miekg.Msg).SetQuestion(q.name, q.rrtype)
	m.AuthenticatedData = true
	return m.SetEdns0(udpSize, true)
}

// exchangeWire sends a query over UDP, and over TCP if the answer is cut short (rfc7766#5).
func (c *Client) exchangeWire(ctx context.Context, address string, m *miekg.Msg) (*miekg.Msg, error) {
	wire, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("write the question: %w", err)
	}
	answer, err := c.converse(ctx, "udp", address, func(conn net.Conn) (*miekg.Msg, error) { return askUDP(conn, m, wire) })
	if errors.Is(err, errTruncated) {
		answer, err = c.converse(ctx, "tcp", address, func(conn net.Conn) (*miekg.Msg, error) { return askTCP(conn, m, wire) })
	}
	return answer, err
}

// converse opens a connection of its own, so that each question has a new source port (rfc5452#9.2), and closes it when
// talk is done. The end of ctx ends the talk.
func (c *Client) converse(ctx context.Context, network, address string, talk func(net.Conn) (*miekg.Msg, error)) (*miekg.Msg, error) {
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return talk(conn)
}

// askUDP sends a question and reads until its answer comes. Datagrams that do not fit it are passed over: they are late
// answers to others, or forged.
func askUDP(conn net.Conn, m *miekg.Msg, wire []byte) (*miekg.Msg, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, udpBuffer)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		answer, err := readAnswer(m, buf[:n])
		if err != nil && n == len(buf) && !errors.Is(err, errMismatch) {
			err = errTruncated // it was longer than what was read
		}
		if err == nil || errors.Is(err, errTruncated) {
			return answer, err
		}
	}
}

// askTCP sends a question and reads its answer, each behind its length in two octets (rfc1035#4.2.2), sent as one write.
func askTCP(conn net.Conn, m *miekg.Msg, wire []byte) (*miekg.Msg, error) {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire)))
	if _, err := conn.Write(append(framed, wire...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	answer, err := readAnswer(m, buf)
	if errors.Is(err, errTruncated) {
		return nil, fmt.Errorf("over TCP: %w", err)
	}
	return answer, err
}

// readAnswer takes a message if it answers m: the same number, the same question (rfc5452#9.1), and readable to the end.
func readAnswer(m *miekg.Msg, wire []byte) (*miekg.Msg, error) {
	if len(wire) < headerSize || binary.BigEndian.Uint16(wire) != m.Id || wire[2]&0x80 == 0 {
		return nil, errMismatch
	}
	if wire[2]&0x02 != 0 { // TC; its records may be cut anywhere, so they are not read at all
		return nil, errTruncated
	}
	answer := new(miekg.Msg)
	if err := answer.Unpack(wire); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	// A server that could not read the question does not repeat it.
	failed := answer.Rcode != miekg.RcodeSuccess && answer.Rcode != miekg.RcodeNameError
	if len(answer.Question) == 0 && failed {
		return answer, nil
	}
	if len(answer.Question) != 1 {
		return nil, errMismatch
	}
	got, asked := answer.Question[0], m.Question[0]
	if got.Qtype != asked.Qtype || got.Qclass != asked.Qclass || !strings.EqualFold(got.Name, asked.Name) {
		return nil, errMismatch
	}
	return answer, nil
}

// isTimeout reports whether a try ended because its time was over.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// rcodeName returns the name of a response code, for example "SERVFAIL".
func rcodeName(code int) string {
	if name, ok := miekg.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("response code %d", code)
}
