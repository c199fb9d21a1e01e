package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtptest"
)

func TestReuse(t *testing.T) {
	bubble(t, func(w *world) {
		w.begin()
		for range 3 {
			w.expect(w.deliver(attempt("example.net", "a@example.net")), delivered)
		}
		if n := w.mx1.Sessions(); n != 1 {
			t.Errorf("%d connections for three messages", n)
		}
		// Another domain with the same exchanger shares the connection.
		w.expect(w.deliver(attempt("bare.example", "a@bare.example")), delivered)
		if n := w.mx1.Sessions(); n != 2 { // the host has another name there
			t.Errorf("%d connections", n)
		}
		w.expect(w.deliver(attempt("one.example", "a@one.example")), delivered)
		if n := w.mx1.Sessions(); n != 2 {
			t.Errorf("%d connections", n)
		}
		time.Sleep(DefaultIdle + time.Second)
		synctest.Wait()
		if n := count(w.mx1.Commands(), "QUIT"); n != 2 {
			t.Errorf("%d QUITs after the idle time", n)
		}
		w.expect(w.deliver(attempt("example.net", "a@example.net")), delivered)
		if n := w.mx1.Sessions(); n != 3 {
			t.Errorf("%d connections", n)
		}
	})
}

func count(list []string, s string) (n int) {
	for _, l := range list {
		if l == s {
			n++
		}
	}
	return n
}

func TestMessagesPerConnection(t *testing.T) {
	bubble(t, func(w *world) {
		w.opt.Limits.Messages = 2
		w.begin()
		for range 5 {
			w.expect(w.deliver(attempt("example.net", "a@example.net")), delivered)
		}
		if n := w.mx1.Sessions(); n != 3 {
			t.Errorf("%d connections for five messages, two each", n)
		}
	})
}

// TestStale finds a kept connection dead: that costs a new one, and no trouble.
func TestStale(t *testing.T) {
	for _, how := range []string{smtptest.Drop, "421 4.4.2 idle too long"} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprint(how, pipelining), func(t *testing.T) {
				bubble(t, func(w *world) {
					if !pipelining {
						w.mx1.Extensions = []string{}
					}
					w.mx1.On("mail", "", smtptest.Pass, how)
					w.begin()
					w.expect(w.deliver(attempt("example.net", "a@example.net")), delivered)
					out := w.deliver(attempt("example.net", "a@example.net"))
					w.expect(out, delivered)
					if out[0].Host != "mx1.example.net" || w.mx1.Sessions() != 2 || len(w.mx1.Received()) != 2 {
						t.Errorf("host %s, %d connections, %d messages", out[0].Host, w.mx1.Sessions(), len(w.mx1.Received()))
					}
				})
			})
		}
	}
}

// TestReset leaves transactions open, and reuses the connection.
func TestReset(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprint(pipelining), func(t *testing.T) {
			bubble(t, func(w *world) {
				if !pipelining {
					w.mx1.Extensions = []string{}
				}
				w.mx1.Always("rcpt", "bad@", "550 5.1.1 nobody")
				w.begin()
				w.expect(w.deliver(attempt("example.net", "bad@example.net")), "failed recipient RCPT 5.1.1 heard 550")
				w.expect(w.deliver(attempt("example.net", "a@example.net", "bad@example.net")), delivered, "failed recipient RCPT 5.1.1 heard 550")
				w.expect(w.deliver(attempt("example.net", "a@example.net")), delivered)
				if w.mx1.Sessions() != 1 || count(w.mx1.Commands(), "RSET") != 1 {
					t.Errorf("%d connections, commands %q", w.mx1.Sessions(), w.mx1.Commands())
				}
				if n := len(w.mx1.Received()); n != 2 {
					t.Errorf("%d messages", n)
				}
			})
		})
	}
}

// TestMixed refuses some recipients of one transaction.
func TestMixed(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprint(pipelining), func(t *testing.T) {
			bubble(t, func(w *world) {
				if !pipelining {
					w.mx1.Extensions = []string{}
				}
				w.mx1.Always("rcpt", "no@", "550 5.1.1 nobody")
				w.mx1.Always("rcpt", "later@", "450 4.2.1 busy")
				w.begin()
				a := attempt("example.net", "no@example.net", "yes@example.net", "later@example.net", "also@example.net")
				w.expect(w.deliver(a), "failed recipient RCPT 5.1.1 heard 550", delivered, "deferred recipient RCPT 4.2.1 heard 450", delivered)
				// What happens to the others afterwards changes nothing for who was refused.
				w.mx1.Always("content", "", "451 4.3.0 disk")
				w.expect(w.deliver(a), "failed recipient RCPT 5.1.1 heard 550", "deferred message content 4.3.0 heard 451",
					"deferred recipient RCPT 4.2.1 heard 450", "deferred message content 4.3.0 heard 451")
			})
		})
	}
	// A lost connection, too, leaves the refusal as it is; the others go elsewhere.
	bubble(t, func(w *world) {
		w.mx1.Extensions = []string{}
		w.mx1.Always("rcpt", "no@", "550 5.1.1 nobody")
		w.mx1.Always("rcpt", "drop@", smtptest.Drop)
		w.begin()
		out := w.deliver(attempt("example.net", "no@example.net", "yes@example.net", "drop@example.net"))
		w.expect(out, "failed recipient RCPT 5.1.1 heard 550", delivered, delivered)
		if got := w.mx2.Received(); len(got) != 1 || len(got[0].To) != 2 {
			t.Errorf("the second host got %+v", got)
		}
	})
}

// TestTooMany meets a server that takes three recipients at a time.
func TestTooMany(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		bubble(t, func(w *world) {
			if !pipelining {
				w.mx1.Extensions = []string{}
			}
			const no = "452 4.5.3 too many recipients"
			w.mx1.On("rcpt", "", "250 1", "250 2", "250 3", no, no, no, no, "250 4", "250 5", "250 6", no, "250 7")
			w.begin()
			var to []string
			var want []string
			for i := range 7 {
				to = append(to, fmt.Sprintf("r%d@example.net", i))
				want = append(want, delivered)
			}
			w.expect(w.deliver(attempt("example.net", to...)), want...)
			if got := w.mx1.Received(); len(got) != 3 || w.mx1.Sessions() != 1 {
				t.Errorf("%d messages over %d connections", len(got), w.mx1.Sessions())
			}
		})
	}
}

// TestManyRecipients splits by our own limit, and is wider than the window.
func TestManyRecipients(t *testing.T) {
	bubble(t, func(w *world) {
		w.begin()
		var to []string
		for i := range 250 {
			to = append(to, fmt.Sprintf("r%d@example.net", i))
		}
		for i, o := range w.deliver(attempt("example.net", to...)) {
			if line(o) != delivered {
				t.Fatalf("recipient %d: %s", i, line(o))
			}
		}
		var got []string
		for _, m := range w.mx1.Received() {
			if len(m.To) > DefaultRecipients {
				t.Errorf("%d recipients in a transaction", len(m.To))
			}
			got = append(got, m.To...)
		}
		if !slices.Equal(got, to) {
			t.Errorf("%d recipients arrived, or in another order", len(got))
		}
	})
}

// TestGroups keeps apart what has another reverse-path.
func TestGroups(t *testing.T) {
	bubble(t, func(w *world) {
		w.begin()
		a := attempt("example.net", "a@example.net", "b@example.net", "c@example.net")
		a.Recipients[1].ReversePath, a.Recipients[1].Rewritten = address.MustMailbox("srs0=x@onward.example"), true
		w.expect(w.deliver(a), delivered, delivered, delivered)
		got := w.mx1.Received()
		if len(got) != 2 || len(got[0].To) != 2 || got[1].From != "srs0=x@onward.example" || got[1].To[0] != "b@example.net" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestLoneDot meets a server that says 354 though it took no recipient.
func TestLoneDot(t *testing.T) {
	bubble(t, func(w *world) {
		w.mx1.Always("rcpt", "", "550 5.1.1 nobody")
		w.mx1.Always("data", "", "354 go on")
		w.begin()
		for range 2 {
			w.expect(w.deliver(attempt("example.net", "a@example.net")), "failed recipient RCPT 5.1.1 heard 550")
		}
		for _, m := range w.mx1.Received() {
			if len(m.Content) != 0 {
				t.Errorf("content %q was sent to nobody", m.Content)
			}
		}
		if w.mx1.Sessions() != 1 || len(w.mx1.Received()) != 2 {
			t.Errorf("%d connections", w.mx1.Sessions())
		}
	})
}

// TestConnections opens more while messages wait, up to the limit.
func TestConnections(t *testing.T) {
	bubble(t, func(w *world) {
		w.opt.Limits.Connections = 3
		var now, most atomic.Int32
		w.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return w.net.Dial(ctx, network, addr)
		}
		w.mx1.OnMail = func(smtptest.Mail) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
		}
		w.begin()
		start := time.Now()
		var all sync.WaitGroup
		for range 9 {
			all.Go(func() {
				w.expect(w.d.Deliver(context.Background(), attempt("one.example", "a@one.example")), delivered)
			})
		}
		all.Wait()
		if w.mx1.Sessions() != 3 || most.Load() != 3 || time.Since(start) != 3*time.Second {
			t.Errorf("%d connections, %d at once, took %v", w.mx1.Sessions(), most.Load(), time.Since(start))
		}
	})
}

// TestWaitingIsBrokenOff ends an attempt that waits for a place.
func TestWaitingIsBrokenOff(t *testing.T) {
	bubble(t, func(w *world) {
		w.opt.Limits.Connections = 1
		w.mx1.Always("content", "", smtptest.Hang)
		w.begin()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				out := w.d.Deliver(ctx, attempt("one.example", "a@one.example"))
				if got := line(out[0]); !strings.HasSuffix(got, "4.3.2 local_error") {
					t.Errorf("outcome %s", got)
				}
			})
		}
		all.Wait()
		w.mx1.Forget()
		w.expect(w.deliver(attempt("one.example", "a@one.example")), delivered)
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(w *world) {
		w.mx1.Always("content", "", smtptest.Hang)
		w.begin()
		var out []queue.Outcome
		var all sync.WaitGroup
		all.Go(func() { out = w.d.Deliver(context.Background(), attempt("one.example", "a@one.example")) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := w.d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		all.Wait()
		w.expect(out, "deferred message content 4.3.2 local_error")
		w.expect(w.d.Deliver(context.Background(), attempt("one.example", "a@one.example")), "deferred recipient connect 4.3.2 local_error")
	})
}

// TestDefect shows that a bug bounces nothing.
func TestDefect(t *testing.T) {
	bubble(t, func(w *world) {
		w.opt.Limits.Connections = 1
		w.begin()
		for range 3 { // and takes no place with it
			a := attempt("one.example", "a@one.example", "b@one.example")
			a.Message.Edits, a.Inline = nil, nil
			a.Open = func(context.Context) (io.ReadCloser, error) { panic("a bug") }
			w.expect(w.deliver(a), "deferred recipient connect 4.3.0 local_error", "deferred recipient connect 4.3.0 local_error")
		}
		w.expect(w.deliver(attempt("one.example", "a@one.example")), delivered)
	})
}

// TestOwnTrouble cannot read the content, or may not send it: the server must
// not take half of it for a message.
func TestOwnTrouble(t *testing.T) {
	broken := errors.New("the disk is broken")
	for name, open := range map[string]func() (io.ReadCloser, error){
		"open": func() (io.ReadCloser, error) { return nil, broken },
		"read": func() (io.ReadCloser, error) {
			return io.NopCloser(&brokenReader{strings.NewReader(mail), broken}), nil
		},
		"bare line": func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(mail + "x\n.\ny\r\n")), nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.begin()
				a := attempt("example.net", "a@example.net")
				a.Inline = nil
				a.Open = func(context.Context) (io.ReadCloser, error) { return open() }
				w.expect(w.deliver(a), "deferred message content 4.3.0 local_error")
				if len(w.mx1.Received())+len(w.mx2.Received()) != 0 {
					t.Error("something was taken for a message")
				}
				w.expect(w.deliver(attempt("example.net", "a@example.net")), delivered)
			})
		})
	}
}

type brokenReader struct {
	r   io.Reader
	err error
}

func (b *brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(len(p), 10)])
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

// faulty is a connection whose n-th operation and all later ones fail.
type faulty struct {
	net.Conn
	left *int
}

func (f *faulty) fail(op string) error {
	if *f.left--; *f.left > 0 {
		return nil
	}
	_ = f.Conn.Close()
	return &net.OpError{Op: op, Err: errors.New("broken by the test")}
}

func (f *faulty) Read(p []byte) (int, error) {
	if err := f.fail("read"); err != nil {
		return 0, err
	}
	return f.Conn.Read(p)
}

func (f *faulty) Write(p []byte) (int, error) {
	if err := f.fail("write"); err != nil {
		return 0, err
	}
	return f.Conn.Write(p)
}

// TestEveryOperationFails breaks operation 1, 2, 3 … of the first connection.
// Nothing is lost, and nothing is called delivered that has not arrived.
func TestEveryOperationFails(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		for n := 1; ; n++ {
			finished := false
			bubble(t, func(w *world) {
				if !pipelining {
					w.mx1.Extensions = []string{}
				}
				left, first := n, true
				dial := w.opt.Dial
				w.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := dial(ctx, network, addr)
					if err != nil || !first {
						return c, err
					}
					first = false
					return &faulty{c, &left}, nil
				}
				w.begin()
				for range 2 {
					out := w.deliver(attempt("example.net", "a@example.net", "b@example.net"))
					for _, o := range out {
						switch got := line(o); got {
						case delivered, "deferred message content 4.4.2 connection_lost":
						default:
							t.Errorf("operation %d: %s (%s)", n, got, o.Detail)
						}
						if arrived := len(w.mx1.Received()) + len(w.mx2.Received()); o.Kind == queue.Success && arrived == 0 {
							t.Errorf("operation %d: delivered to nobody", n)
						}
					}
				}
				finished = left > 0
			})
			if finished {
				break
			}
			if n > 100 {
				t.Fatal("it never completes")
			}
		}
	}
}
