package smtptest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// client is one connection of a script. A goroutine listens, so that the
// script can ask what has been said without waiting.
type client struct {
	raw, conn net.Conn
	writing   sync.WaitGroup
	stopped   chan struct{} // closed when the listener has ended

	mu    sync.Mutex // guards what follows
	said  []byte
	ended error         // why there will be no more
	moved chan struct{} // closed and replaced with each change
}

func newClient(nc net.Conn) *client {
	return &client{raw: nc, conn: nc, moved: make(chan struct{})}
}

// listen starts the goroutine.
func (c *client) listen() {
	c.stopped = make(chan struct{})
	go func(conn net.Conn, stopped chan struct{}) {
		defer close(stopped)
		b := make([]byte, 32*1024)
		for {
			n, err := conn.Read(b)
			c.mu.Lock()
			c.said = append(c.said, b[:n]...)
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				c.ended = err
			}
			close(c.moved)
			c.moved = make(chan struct{})
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}(c.conn, c.stopped)
}

// send writes in the background: a script is not held up by a server that does
// not read.
func (c *client) send(b []byte) {
	c.writing.Wait()
	conn := c.conn
	c.writing.Go(func() { _, _ = conn.Write(b) })
}

// startTLS does the handshake on what was in clear until now.
func (c *client) startTLS(config *tls.Config) error {
	if config == nil {
		return errors.New("the world has no TLS configuration for clients")
	}
	if c.stopped != nil { // the listener gives up the connection
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
		<-c.stopped
		_ = c.raw.SetReadDeadline(time.Time{})
	}
	t := tls.Client(c.raw, config)
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.conn = t
	c.listen()
	return nil
}

// half ends the client's direction.
func (c *client) half() error {
	c.writing.Wait()
	h, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot be closed by half")
	}
	return h.CloseWrite()
}

func (c *client) close() {
	_ = c.raw.Close()
	c.writing.Wait()
	if c.stopped != nil {
		<-c.stopped
	}
}

// over reports whether the server has closed.
func (c *client) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended != nil
}

func (c *client) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return "closed: " + c.ended.Error()
	}
	return fmt.Sprintf("open, with %q unfinished", c.said)
}

// await waits, on a real connection, until n lines are there or there will be
// no more.
func (c *client) await(n int) {
	late := time.After(patience)
	for {
		c.mu.Lock()
		enough, moved := bytes.Count(c.said, []byte{'\n'}) >= n || c.ended != nil, c.moved
		c.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-moved:
		case <-late:
			return
		}
	}
}

// take returns n whole lines, or all if n < 0, as they were said but for the
// CRLF; a line that ends otherwise shows it.
func (c *client) take(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for n < 0 || len(lines) < n {
		i := bytes.IndexByte(c.said, '\n')
		if i < 0 {
			break
		}
		line := string(c.said[:i+1])
		c.said = c.said[i+1:]
		if text, ok := strings.CutSuffix(line, "\r\n"); ok {
			line = text
		} else {
			line = strconv.Quote(line) + " (not ended by CRLF)"
		}
		lines = append(lines, line)
	}
	return lines
}

// unescape reads the text of a C: line.
func unescape(text string) ([]byte, error) {
	var b []byte
	for {
		before, rest, ok := strings.Cut(text, `\`)
		b = append(b, before...)
		if !ok {
			return b, nil
		}
		if what, after, ok := strings.Cut(rest, "}"); ok && strings.HasPrefix(rest, "{") {
			unit, times, ok := cutLast(what[1:], "*")
			n, err := strconv.Atoi(times)
			if !ok || err != nil {
				return nil, fmt.Errorf(`\%s} is not \{text*number}`, what)
			}
			one, err := unescape(unit)
			if err != nil {
				return nil, err
			}
			b = append(b, bytes.Repeat(one, n)...)
			text = after
			continue
		}
		r, _, after, err := strconv.UnquoteChar(`\`+rest, 0)
		if err != nil || r > 0xff {
			return nil, fmt.Errorf("cannot read the escape at %q", `\`+rest)
		}
		b = append(b, byte(r))
		text = after
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
