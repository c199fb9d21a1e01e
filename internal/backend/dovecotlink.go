package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// dovecotLink is one connection to Dovecot for many logins at a time, which are
// told apart by id. It is made when it is needed and made again when it breaks.
type dovecotLink struct {
	address string
	tls     *tls.Config // nil: in clear, on this machine
	dial    dialer
	timeout time.Duration

	connecting chan struct{} // has room for who makes a connection, so that there is one

	mu     sync.Mutex // guards the rest
	now    *dovecotConn
	closed bool
}

// errBroken is why a login got no answer.
var errBroken = errors.New("the connection to Dovecot broke")

// ask sends one login and waits for its answer. If the connection breaks before
// that, as it does when Dovecot is restarted, it is sent once more by a new one.
func (l *dovecotLink) ask(ctx context.Context, args []string) (dovecotAnswer, error) {
	for {
		c, used, err := l.take(ctx)
		if err != nil {
			return dovecotAnswer{}, err
		}
		a, err := c.ask(ctx, args)
		if l.isClosed() {
			c.end(errBroken, true)
		}
		if err == nil || !used || !errors.Is(err, errBroken) || ctx.Err() != nil {
			return a, err
		}
	}
}

func (l *dovecotLink) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// take returns the connection; used says that others have used it before.
func (l *dovecotLink) take(ctx context.Context) (c *dovecotConn, used bool, err error) {
	if c := l.current(); c != nil {
		return c, true, nil
	}
	select {
	case l.connecting <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { <-l.connecting }()
	if c := l.current(); c != nil {
		return c, true, nil
	}
	if c, err = l.connect(ctx); err != nil {
		return nil, false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = c
	return c, false, nil
}

// current is the connection if there is one in order.
func (l *dovecotLink) current() *dovecotConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil && l.now.broken() {
		l.now = nil
	}
	return l.now
}

// close ends the connection when the last login has its answer.
func (l *dovecotLink) close() {
	l.mu.Lock()
	l.closed = true
	c := l.now
	l.mu.Unlock()
	if c != nil {
		c.end(errBroken, true)
	}
}

func (l *dovecotLink) connect(ctx context.Context) (*dovecotConn, error) {
	network := "tcp"
	if strings.HasPrefix(l.address, "/") {
		network = "unix"
	}
	raw, err := l.dial(ctx, network, l.address)
	if err != nil {
		return nil, err
	}
	if l.tls != nil {
		raw = tls.Client(raw, l.tls)
	}
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	c := &dovecotConn{raw: raw, timeout: l.timeout, waiting: make(map[string]chan dovecotAnswer)}
	r := bufio.NewReaderSize(raw, maxDovecotLine)
	err = c.greet(r)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("greet Dovecot at %s: %w", l.address, err)
	}
	raw.SetDeadline(time.Time{})
	go c.read(r)
	return c, nil
}

// dovecotConn is one connection.
type dovecotConn struct {
	raw     net.Conn
	timeout time.Duration

	mu      sync.Mutex // guards the rest, and writing
	last    uint32
	waiting map[string]chan dovecotAnswer
	err     error // why it is of no use any more
	ending  bool  // it is to end when nobody waits
}

// maxGreeting bounds the lines of a greeting.
const maxGreeting = 100

// greet says who we are and reads what Dovecot can do: VERSION first, DONE last.
// The process id must be a client's own among all those of Dovecot, and we may have
// several connections; nothing else is done with it, so it is drawn.
func (c *dovecotConn) greet(r *bufio.Reader) error {
	if _, err := fmt.Fprintf(c.raw, "VERSION\t1\t1\nCPID\t%d\n", 1+rand.Uint32N(1<<31-2)); err != nil {
		return err
	}
	version, plain := false, false
	for range maxGreeting {
		line, err := dovecotLine(r)
		if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(line, "\t")
		first, _, _ := strings.Cut(rest, "\t")
		switch verb {
		case "VERSION":
			if first != "1" {
				return fmt.Errorf("it speaks version %s of the protocol, and we 1", printable(first))
			}
			version = true
		case "MECH":
			plain = plain || strings.EqualFold(first, "PLAIN")
		case "DONE":
			switch {
			case !version:
				return errors.New("it does not say which version of the protocol it speaks; is this its auth-client socket?")
			case !plain:
				return errors.New("it does not offer PLAIN; add it to auth_mechanisms there")
			}
			return nil
		}
	}
	return errors.New("its greeting does not end; is this its auth-client socket?")
}

// dovecotLine reads a line without its end.
func dovecotLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a line is longer than %d octets", maxDovecotLine)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return string(line[:len(line)-1]), nil
}

// read hands answers to those who wait for them.
func (c *dovecotConn) read(r *bufio.Reader) {
	for {
		line, err := dovecotLine(r)
		if err != nil {
			c.end(fmt.Errorf("%w: %w", errBroken, err), false)
			return
		}
		a, err := parseDovecot(line)
		if err != nil || a.verb != "OK" && a.verb != "FAIL" && a.verb != "CONT" {
			continue // mechanisms and the like may come at any time
		}
		c.mu.Lock()
		if w := c.waiting[a.id]; w != nil {
			delete(c.waiting, a.id)
			w <- a // it has room
		}
		c.mu.Unlock()
	}
}

func (c *dovecotConn) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// end closes the connection, at once or when nobody waits for an answer.
func (c *dovecotConn) end(err error, gently bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gently && len(c.waiting) > 0 {
		c.ending = true
		return
	}
	if c.err == nil {
		c.err = err
		c.raw.Close()
	}
	for id, w := range c.waiting {
		delete(c.waiting, id)
		close(w)
	}
}

// send writes a request and notes who waits for its answer.
func (c *dovecotConn) send(args []string) (id string, answer chan dovecotAnswer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return "", nil, c.err
	}
	c.last++
	id = strconv.FormatUint(uint64(c.last), 10)
	answer = make(chan dovecotAnswer, 1)
	c.waiting[id] = answer
	return id, answer, c.write("AUTH\t" + id + "\t" + strings.Join(args, "\t") + "\n")
}

// write writes a line; mu is held. A line that was written in part cannot be taken
// back, so after an error the connection ends.
func (c *dovecotConn) write(line string) error {
	c.raw.SetWriteDeadline(time.Now().Add(c.timeout))
	if _, err := io.WriteString(c.raw, line); err != nil {
		c.raw.Close() // read notices, and tells the others
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}

// ask sends a login and waits for its answer, or for the end of ctx.
func (c *dovecotConn) ask(ctx context.Context, args []string) (dovecotAnswer, error) {
	id, answer, err := c.send(args)
	if err != nil {
		return dovecotAnswer{}, err
	}
	select {
	case a, ok := <-answer:
		c.settle()
		if !ok {
			return a, c.why()
		}
		return a, nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	if c.waiting[id] != nil {
		delete(c.waiting, id)
		if c.err == nil {
			c.write("CANCEL\t" + id + "\n") //nolint:errcheck // nobody waits for it
		}
	}
	c.mu.Unlock()
	c.settle()
	return dovecotAnswer{}, ctx.Err()
}

// settle ends a connection that was only kept for those who waited.
func (c *dovecotConn) settle() {
	c.mu.Lock()
	ending := c.ending
	c.mu.Unlock()
	if ending {
		c.end(errBroken, true)
	}
}

func (c *dovecotConn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
