//go:build peers

package peers

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A captured is one message that the sink has taken.
type captured struct {
	from    string
	to      []string
	content string // as sent, dots unstuffed, with CRLF
}

// A sink plays the rest of the world: an SMTP server that takes everything and remembers it. It is written apart from
// the product's own server, so that they have no error in common.
type sink struct {
	address string
	reply   func(recipient string) string // the reply to RCPT; nil: 250 for everybody

	mu       sync.Mutex // guards the two below
	messages []captured
	arrived  chan struct{} // closed and made anew at each arrival
}

// newSink starts a sink on a free port of loopback.
func newSink(t *testing.T, reply func(recipient string) string) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return sinkOn(t, l, reply)
}

func sinkOn(t *testing.T, l net.Listener, reply func(recipient string) string) *sink {
	t.Helper()
	s := &sink{address: l.Addr().String(), reply: reply, arrived: make(chan struct{})}
	var sessions sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		sessions.Wait()
	})
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := make(chan struct{})
			sessions.Go(func() {
				defer close(stop)
				s.session(conn)
			})
			sessions.Go(func() {
				select {
				case <-t.Context().Done():
				case <-stop:
				}
				conn.Close()
			})
		}
	})
	return s
}

func (s *sink) session(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Minute))
	r := bufio.NewReaderSize(conn, 64<<10)
	w := bufio.NewWriter(conn)
	say := func(line string) {
		fmt.Fprintf(w, "%s\r\n", line)
		if r.Buffered() == 0 {
			_ = w.Flush()
		}
	}
	say("220 sink.example.net ESMTP")
	var m captured
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		switch verb := strings.ToUpper(line); {
		case strings.HasPrefix(verb, "EHLO"):
			say("250-sink.example.net")
			say("250-PIPELINING")
			say("250-8BITMIME")
			say("250 ENHANCEDSTATUSCODES")
		case strings.HasPrefix(verb, "HELO"), verb == "NOOP":
			say("250 2.0.0 Fine")
		case strings.HasPrefix(verb, "MAIL FROM:"):
			m = captured{from: path(line)}
			say("250 2.1.0 Fine")
		case strings.HasPrefix(verb, "RCPT TO:"):
			answer := "250 2.1.5 Fine"
			if s.reply != nil {
				answer = s.reply(path(line))
			}
			if answer[0] == '2' {
				m.to = append(m.to, path(line))
			}
			say(answer)
		case verb == "DATA" && len(m.to) == 0:
			say("554 5.5.1 No recipients")
		case verb == "DATA":
			say("354 Go on")
			_ = w.Flush()
			if m.content, err = content(r); err != nil {
				return
			}
			s.take(m)
			m = captured{}
			say("250 2.0.0 Taken")
		case verb == "RSET":
			m = captured{}
			say("250 2.0.0 Fine")
		case verb == "QUIT":
			say("221 2.0.0 Bye")
			_ = w.Flush()
			return
		default:
			say("502 5.5.2 What?")
		}
	}
}

// content reads a message to its final dot.
func content(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return "", err
		case line == ".\r\n":
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// path returns what stands between the angle brackets.
func path(line string) string {
	_, after, _ := strings.Cut(line, "<")
	inside, _, _ := strings.Cut(after, ">")
	return inside
}

func (s *sink) take(m captured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// seen returns what has arrived so far, and a channel that closes when something more does.
func (s *sink) seen() ([]captured, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[:len(s.messages):len(s.messages)], s.arrived
}

// await waits for a message to the recipient whose content has all the words.
func (s *sink) await(t *testing.T, recipient string, words ...string) captured {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for looked := 0; ; {
		all, more := s.seen()
		for ; looked < len(all); looked++ {
			m := all[looked]
			for _, to := range m.to {
				if to == recipient && containsAll(m.content, words) {
					return m
				}
			}
		}
		select {
		case <-more:
		case <-deadline.C:
			t.Fatalf("no message with %q for %s reached the sink within %v; %d others did", words, recipient, patience, len(all))
		}
	}
}
