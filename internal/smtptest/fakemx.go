package smtptest

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// FakeMX plays another mail server: it accepts everything, unless it has been
// told otherwise with On or Always, and keeps what it got. The zero FakeMX is
// of use. Set the fields before Serve. It shares no code with the server under
// test; it reads by the line and keeps everything in memory.
type FakeMX struct {
	// Hostname is what it calls itself; "mx.test" if empty.
	Hostname string
	// Extensions are the lines after the first of the answer to EHLO. Nil means
	// PIPELINING, 8BITMIME, SIZE 52428800 and ENHANCEDSTATUSCODES. STARTTLS and
	// AUTH are added by themselves.
	Extensions []string
	// TLS, if not nil, lets it offer STARTTLS.
	TLS *tls.Config
	// Implicit makes every connection begin with TLS.
	Implicit bool
	// Login and Password, if not empty, are required (AUTH PLAIN and LOGIN)
	// before MAIL.
	Login, Password string
	// OnMail, if not nil, is called with each message after it has been kept and
	// before it is answered.
	OnMail func(Mail)

	mu        sync.Mutex // guards what follows
	changed   sync.Cond
	rules     []*rule
	mails     []Mail
	commands  []string
	sessions  int
	open      map[net.Conn]bool
	listeners []net.Listener
	closed    bool
	running   sync.WaitGroup
}

// Mail is a message that a FakeMX has accepted.
type Mail struct {
	// Session counts the connections from 1.
	Session int
	// Remote is the client's address.
	Remote string
	// Helo is what the client called itself.
	Helo string
	// TLS says that it came over TLS; Login is who had logged in.
	TLS   bool
	Login string
	// From and To are the paths without angle brackets, as they were written,
	// To only those that were accepted; the parameters follow them.
	From       string
	FromParams string
	To         []string
	ToParams   []string
	// Content is the message without its framing.
	Content []byte
	// Chunks is how many chunks it came in, by BDAT; 0: by DATA.
	Chunks int
	// Bare says that the content had a CR or LF on its own.
	Bare bool
	At   time.Time
}

// rule is one line of the script of a FakeMX.
type rule struct {
	stage, match string
	replies      []string
	sticky       bool
}

// Replies that are actions.
const (
	// Drop closes the connection without an answer.
	Drop = "drop"
	// Hang answers nothing until the client closes or the server is closed.
	Hang = "hang"
	// Pass answers as if there were no rule.
	Pass = "pass"
)

// On says what to answer, in turn, each time that a command of stage contains
// match (in any case); after the last reply the usual is said again. Stages
// are "connect", "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data",
// "content" (after the final dot; match is then looked for in the content),
// "rset", "noop" and "quit". A reply is what is said without its CRLF, with LF
// between lines, or Drop, Hang or Pass. Of several rules the first that has
// something left to say counts.
func (f *FakeMX) On(stage, match string, replies ...string) { f.add(stage, match, replies, false) }

// Always says what to answer every time.
func (f *FakeMX) Always(stage, match, reply string) { f.add(stage, match, []string{reply}, true) }

func (f *FakeMX) add(stage, match string, replies []string, sticky bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &rule{stage, strings.ToLower(match), slices.Clone(replies), sticky})
}

// Forget takes all rules back.
func (f *FakeMX) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// reply finds what to say, usual unless a rule applies.
func (f *FakeMX) reply(stage, arg, usual string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	arg = strings.ToLower(arg)
	for _, r := range f.rules {
		if r.stage != stage || len(r.replies) == 0 || !strings.Contains(arg, r.match) {
			continue
		}
		said := r.replies[0]
		if !r.sticky {
			r.replies = r.replies[1:]
		}
		if said == Pass {
			return usual
		}
		return said
	}
	return usual
}

// Received returns the messages in the order of their acceptance.
func (f *FakeMX) Received() []Mail {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mails)
}

// Commands returns every command of all sessions, without content, credentials
// as they were sent.
func (f *FakeMX) Commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}

// Sessions returns how many connections there have been.
func (f *FakeMX) Sessions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions
}

// Wait returns when n messages have been accepted, or with ctx's error.
func (f *FakeMX) Wait(ctx context.Context, n int) ([]Mail, error) {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond().Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mails) < n {
		if err := ctx.Err(); err != nil {
			return slices.Clone(f.mails), err
		}
		f.cond().Wait()
	}
	return slices.Clone(f.mails), nil
}

// cond returns changed, ready for use; f.mu is held.
func (f *FakeMX) cond() *sync.Cond {
	if f.changed.L == nil {
		f.changed.L = &f.mu
	}
	return &f.changed
}

// Serve accepts connections until ln or f is closed.
func (f *FakeMX) Serve(ln net.Listener) error {
	f.mu.Lock()
	f.listeners = append(f.listeners, ln)
	f.mu.Unlock()
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		f.mu.Lock()
		if f.closed {
			f.mu.Unlock()
			c.Close()
			continue
		}
		if f.open == nil {
			f.open = map[net.Conn]bool{}
		}
		f.open[c] = true
		f.sessions++
		s := &fakeSession{f: f, conn: c, raw: c, number: f.sessions}
		f.running.Add(1)
		f.mu.Unlock()
		go func() {
			defer f.running.Done()
			defer func() {
				c.Close()
				f.mu.Lock()
				delete(f.open, c)
				f.mu.Unlock()
			}()
			s.talk()
		}()
	}
}

// Start listens at addr, on network or, if that is nil, on a real socket, and
// serves until Close. It returns the address.
func (f *FakeMX) Start(network *Network, addr string) (string, error) {
	var ln net.Listener
	var err error
	if network != nil {
		ln, err = network.Listen(addr)
	} else {
		ln, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return "", err
	}
	f.running.Add(1)
	go func() {
		defer f.running.Done()
		_ = f.Serve(ln)
	}()
	return ln.Addr().String(), nil
}

// Close closes the listeners and connections and waits for their goroutines.
func (f *FakeMX) Close() {
	f.mu.Lock()
	f.closed = true
	for _, ln := range f.listeners {
		ln.Close()
	}
	for c := range f.open {
		c.Close()
	}
	f.mu.Unlock()
	f.running.Wait()
}
