package deliver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtptest"
)

const zoneText = `
example.net.     MX 10 mx1.example.net.
example.net.     MX 20 mx2.example.net.
mx1.example.net. A  192.0.2.1
mx2.example.net. A  192.0.2.2
one.example.     MX 10 mx1.example.net.
bare.example.    A  192.0.2.1
nullmx.example.  MX 0 .
slow.example.    TIMEOUT
broken.example.  SERVFAIL
empty.example.   TXT "nothing here"
lost.example.    MX 10 gone.lost.example.
lost.example.    MX 20 empty.example.
half.example.    MX 10 gone.half.example.
half.example.    MX 20 slow.example.
us.example.      MX 10 mx.onward.example.
us.example.      MX 20 mx1.example.net.
backup.example.  MX 10 mx1.example.net.
backup.example.  MX 20 us2.example.
backup.example.  MX 30 mx2.example.net.
us2.example.     A  192.0.2.99
safe.example.    MX 10 mx1.example.net. SECURE
both.example.    MX 10 mx.both.example.
mx.both.example. A    192.0.2.1
mx.both.example. A    192.0.2.2
mx.both.example. AAAA 2001:db8::1
mx.both.example. AAAA 2001:db8::2
smart.example.   A  192.0.2.1
mx.onward.example. A 192.0.2.99
`

const mail = "From: a@example.org\r\nSubject: test\r\n\r\n.dot\r\nbody\r\n..\r\n"

// world is a network with two servers and a Deliverer.
type world struct {
	t        testing.TB
	net      *smtptest.Network
	mx1, mx2 *smtptest.FakeMX
	opt      Options
	d        *Deliverer
	dialed   []string
	bubble   bool
}

// newWorld makes a world; change it, then begin.
func newWorld(t testing.TB) *world {
	zone, err := dns.ParseZone("zone", []byte(zoneText))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, net: smtptest.NewNetwork(),
		mx1: &smtptest.FakeMX{Hostname: "mx1.example.net"}, mx2: &smtptest.FakeMX{Hostname: "mx2.example.net"},
	}
	w.opt = Options{
		Hostname: "mx.onward.example", Resolver: zone,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			w.dialed = append(w.dialed, addr)
			return w.net.Dial(ctx, network, addr)
		},
		OwnAddress: func(a netip.AddrPort) bool { return a.Addr().String() == "192.0.2.99" },
	}
	return w
}

func (w *world) begin() {
	w.t.Helper()
	for addr, f := range map[string]*smtptest.FakeMX{"192.0.2.1:25": w.mx1, "192.0.2.2:25": w.mx2} {
		if f != nil {
			if _, err := f.Start(w.net, addr); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if w.bubble {
		synctest.Wait() // the servers listen
	}
	w.d = New(w.opt)
}

func (w *world) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := w.d.Close(ctx); err != nil {
		w.t.Error(err)
	}
	for _, f := range []*smtptest.FakeMX{w.mx1, w.mx2} {
		if f != nil {
			f.Close()
		}
	}
}

// attempt makes an attempt with the content mail, for recipients a, b, c … of
// the domain, or those named.
func attempt(dest queue.Destination, recipients ...string) *queue.Attempt {
	m := &queue.Message{
		ID: 1 << 40, Received: time.Now(), From: address.MustMailbox("sender@example.org"), Size: int64(len(mail)),
		HeaderSize: strings.Index(mail, "\r\n\r\n") + 4,
		Edits:      message.EditList{{Kind: message.Prepend, Text: "Received: by us\r\n", Rule: "trace"}},
	}
	a := &queue.Attempt{Message: m, Destination: dest, Inline: []byte(mail)}
	for i, r := range recipients {
		box := address.MustMailbox(r)
		a.Recipients = append(a.Recipients, &queue.Recipient{
			ID: queue.RecipientID{Message: m.ID, N: i + 1}, Address: box, Target: box, Destination: dest,
		})
	}
	a.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a.Inline)), nil }
	return a
}

// line is an outcome in short.
func line(o queue.Outcome) string {
	scope := [...]string{"recipient", "message", "destination"}[o.Scope]
	s := fmt.Sprintf("%s %s %s %s", o.Kind, scope, o.Command, o.Status)
	if o.Cause != "" {
		s += " " + o.Cause
	}
	if !o.Heard.IsZero() {
		s += fmt.Sprintf(" heard %d", o.Heard.Code)
	}
	return s
}

func (w *world) deliver(a *queue.Attempt) []queue.Outcome {
	w.t.Helper()
	out := w.d.Deliver(context.Background(), a)
	if len(out) != len(a.Recipients) {
		w.t.Fatalf("%d outcomes for %d recipients", len(out), len(a.Recipients))
	}
	for i, o := range out {
		if o.Recipient != a.Recipients[i].ID || o.Status == "" || o.At.IsZero() || o.Attempt != 1 || o.Command == "" {
			w.t.Fatalf("outcome %d is incomplete: %+v", i, o)
		}
		if (o.Kind == queue.Success) != (o.Status[0] == '2') || (o.Kind == queue.Failure) != (o.Status[0] == '5') {
			w.t.Fatalf("outcome %d: kind %s with status %s", i, o.Kind, o.Status)
		}
	}
	return out
}

// expect checks the outcomes against their short form.
func (w *world) expect(out []queue.Outcome, want ...string) {
	w.t.Helper()
	if len(out) != len(want) {
		w.t.Fatalf("%d outcomes, expected %d", len(out), len(want))
	}
	for i := range out {
		if got := line(out[i]); got != want[i] {
			w.t.Errorf("recipient %d: %s\n   expected: %s\n   detail: %s", i, got, want[i], out[i].Detail)
		}
	}
}

const delivered = "delivered recipient content 2.0.0 heard 250"

// bubble runs a test of a world in a synctest bubble.
func bubble(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bubble = true
		f(w)
		w.end()
		synctest.Wait()
	})
}

func TestDeliver(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprint("pipelining=", pipelining), func(t *testing.T) {
			bubble(t, func(w *world) {
				if !pipelining {
					w.mx1.Extensions = []string{"SIZE 1000000"}
				}
				w.begin()
				a := attempt("example.net", "a@example.net", "b@example.net")
				out := w.deliver(a)
				w.expect(out, delivered, delivered)
				if o := out[0]; o.Host != "mx1.example.net" || o.Addr != "192.0.2.1:25" || o.TLS != "" || o.Detail != "" {
					t.Errorf("outcome %+v", o)
				}
				got := w.mx1.Received()
				if len(got) != 1 {
					t.Fatalf("%d messages", len(got))
				}
				if want := "Received: by us\r\n" + mail; string(got[0].Content) != want {
					t.Errorf("content %q, expected %q", got[0].Content, want)
				}
				if strings.Join(got[0].To, " ") != "a@example.net b@example.net" || got[0].From != "sender@example.org" || got[0].Helo != "mx.onward.example" {
					t.Errorf("envelope %+v", got[0])
				}
				if want := fmt.Sprintf("SIZE=%d", len(got[0].Content)); got[0].FromParams != want {
					t.Errorf("parameters %q, expected %q", got[0].FromParams, want)
				}
			})
		})
	}
}

// TestStored sends content that is not in memory, with edits of each kind.
func TestStored(t *testing.T) {
	bubble(t, func(w *world) {
		w.begin()
		body := strings.Repeat("0123456789.\r\n.abc\r\n", 20_000)
		content := "A: 1\r\nB: 2\r\nC: 3\r\n\r\n" + body
		want := "R: new\r\nA: 1\r\nC: 4\r\n\r\n" + body
		for _, inline := range []bool{true, false} {
			a := attempt("example.net", "a@example.net")
			a.Message.Edits = message.EditList{
				{Kind: message.Prepend, Text: "R: new\r\n", Rule: "r"},
				{Kind: message.Drop, Field: 1, Rule: "r"},
				{Kind: message.Replace, Field: 2, Text: "C: 4\r\n", Rule: "r"},
			}
			a.Message.HeaderSize, a.Message.Size = strings.Index(content, "\r\n\r\n")+4, int64(len(content))
			a.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
			a.Inline = nil
			if inline {
				a.Inline = []byte(content)
			}
			w.expect(w.deliver(a), delivered)
			got := w.mx1.Received()
			last := got[len(got)-1]
			if string(last.Content) != want {
				t.Errorf("inline=%v: content differs: %d octets, expected %d", inline, len(last.Content), len(want))
			}
			if size := fmt.Sprintf("SIZE=%d", len(want)); last.FromParams != size {
				t.Errorf("inline=%v: %s, expected %s", inline, last.FromParams, size)
			}
		}
	})
}

// TestReplies answers with every class at every stage.
func TestReplies(t *testing.T) {
	tests := []struct {
		stage, reply string
		want         string
		next         bool // the other host is tried, and takes it
	}{
		{"connect", "421 4.3.2 later", "", true},
		{"connect", "450 no", "", true},
		{"connect", "554 5.7.1 go away", "", true},
		{"connect", "521 no mail", "", true},
		{"connect", "rubbish", "", true},
		{"connect", smtptest.Drop, "", true},
		{"ehlo", "421 no", "", true},
		{"ehlo", "450 no", "", true},
		{"ehlo", "550 no", delivered, false}, // HELO
		{"mail", "421 4.3.2 bye", "", true},
		{"mail", "451 4.3.0 try", "", true},
		{"mail", "503 5.5.1 what", "", true},
		{"mail", "550 5.7.1 not you", "failed message MAIL 5.7.1 heard 550", false},
		{"mail", "550 not you", "failed message MAIL 5.0.0 heard 550", false},
		{"mail", "550 5.7.1 Too many connections, slow down", "", true},
		{"mail", smtptest.Drop, "", true},
		{"rcpt", "421 bye", "", true},
		{"rcpt", "450 4.2.0 greylisted", "deferred recipient RCPT 4.2.0 heard 450", false},
		{"rcpt", "550 5.1.1 nobody", "failed recipient RCPT 5.1.1 heard 550", false},
		{"rcpt", "552 too many recipients", "deferred recipient RCPT 4.0.0 heard 552", false},
		{"rcpt", "552 no", "deferred recipient RCPT 4.0.0 heard 552", false},
		{"rcpt", "552 5.3.4 too big", "failed recipient RCPT 5.3.4 heard 552", false},
		{"rcpt", "550 5.2.1 rate limit exceeded, try again later", "deferred recipient RCPT 4.2.1 heard 550", false},
		{"rcpt", smtptest.Drop, "", true},
		{"data", "421 bye", "", true},
		{"data", "451 4.3.0 no", "deferred message DATA 4.3.0 heard 451", false},
		{"data", "554 5.6.0 no", "failed message DATA 5.6.0 heard 554", false},
		{"data", "250 strange", "", true},
		{"data", smtptest.Drop, "", true},
		{"content", "421 4.3.0 bye", "", true},
		{"content", "452 4.3.1 full", "deferred message content 4.3.1 heard 452", false},
		{"content", "554 5.7.1 spam", "failed message content 5.7.1 heard 554", false},
		{"content", "354 what", "deferred destination content 4.5.0 protocol_error heard 354", false},
		{"content", smtptest.Drop, "deferred message content 4.4.2 connection_lost", false},
	}
	for _, test := range tests {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%s/%v", test.stage, test.reply, pipelining), func(t *testing.T) {
				bubble(t, func(w *world) {
					if !pipelining {
						w.mx1.Extensions = []string{}
					}
					w.mx1.Always(test.stage, "", test.reply)
					w.begin()
					out := w.deliver(attempt("example.net", "a@example.net"))
					want := test.want
					if test.next {
						want = delivered
						if out[0].Host != "mx2.example.net" {
							t.Errorf("taken by %q", out[0].Host)
						}
					}
					w.expect(out, want)
					if n := len(w.mx2.Received()); (n == 1) != test.next {
						t.Errorf("the second host got %d messages", n)
					}
				})
			})
		}
	}
}

// TestEveryHostRefuses leaves nobody to turn to.
func TestEveryHostRefuses(t *testing.T) {
	tests := []struct{ stage, reply, want string }{
		{"connect", "421 4.3.2 later", "deferred destination connect 4.3.2 heard 421"},
		{"connect", "554 5.7.1 go away", "deferred destination connect 4.7.1 heard 554"},
		{"connect", "521 no mail", "deferred destination connect 4.0.0 heard 521"},
		{"connect", "rubbish", "deferred destination connect 4.5.0 protocol_error"},
		{"connect", smtptest.Drop, "deferred destination connect 4.4.2 connection_lost"},
		{"ehlo", "450 4.7.0 no", "deferred destination EHLO 4.7.0 heard 450"},
		{"mail", "451 4.3.0 try", "deferred message MAIL 4.3.0 heard 451"},
		{"mail", "503 5.5.1 what", "deferred destination MAIL 4.5.1 protocol_error heard 503"},
		{"rcpt", "421 4.3.2 bye", "deferred destination RCPT 4.3.2 heard 421"},
		{"rcpt", smtptest.Drop, "deferred destination RCPT 4.4.2 connection_lost"},
		{"data", "421 4.3.2 bye", "deferred destination DATA 4.3.2 heard 421"},
	}
	for _, test := range tests {
		t.Run(test.stage+"/"+test.reply, func(t *testing.T) {
			bubble(t, func(w *world) {
				for _, f := range []*smtptest.FakeMX{w.mx1, w.mx2} {
					f.Always(test.stage, "", test.reply)
					f.Extensions = []string{}
				}
				w.begin()
				out := w.deliver(attempt("example.net", "a@example.net"))
				w.expect(out, test.want)
				if n := len(w.dialed); n != 2 {
					t.Errorf("%d connections: %v", n, w.dialed)
				}
			})
		})
	}
}

// TestTimeouts hangs at each stage, and looks at how long we waited: never less
// than rfc5321#4.5.3.2 asks for.
func TestTimeouts(t *testing.T) {
	tests := []struct {
		stage string
		wait  time.Duration
		want  string
	}{
		{"connect", DefaultGreetingTimeout, "deferred destination connect 4.4.2 greeting_timeout"},
		{"ehlo", DefaultHelloTimeout, "deferred destination EHLO 4.4.2 connection_lost"},
		{"mail", DefaultMailTimeout, "deferred destination MAIL 4.4.2 connection_lost"},
		{"rcpt", DefaultRcptTimeout, "deferred destination RCPT 4.4.2 connection_lost"},
		{"data", DefaultDataTimeout, "deferred destination DATA 4.4.2 connection_lost"},
		{"content", DefaultFinalTimeout, "deferred message content 4.4.2 connection_lost"},
	}
	for _, test := range tests {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprint(test.stage, pipelining), func(t *testing.T) {
				bubble(t, func(w *world) {
					if !pipelining {
						w.mx1.Extensions = []string{}
					}
					w.mx1.Always(test.stage, "", smtptest.Hang)
					w.begin()
					start := time.Now()
					renewed := 0
					a := attempt("one.example", "a@one.example")
					a.Renew = func(context.Context) { renewed++ }
					w.expect(w.deliver(a), test.want)
					if took := time.Since(start); took < test.wait || took > test.wait+2*time.Second {
						t.Errorf("gave up after %v, expected %v", took, test.wait)
					}
					if want := int(test.wait / renewEvery); renewed != want {
						t.Errorf("lease renewed %d times, expected %d", renewed, want)
					}
				})
			})
		}
	}
}

func TestConnectTrouble(t *testing.T) {
	hang := func(ctx context.Context, _, addr string) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
	t.Run("timeout", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.opt.Dial = hang
			w.begin()
			start := time.Now()
			w.expect(w.deliver(attempt("example.net", "a@example.net")), "deferred destination connect 4.4.1 connect_timeout")
			if took := time.Since(start); took != 2*DefaultConnectTimeout {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.mx1, w.mx2 = nil, nil
			w.begin()
			w.expect(w.deliver(attempt("example.net", "a@example.net")), "deferred destination connect 4.4.1 connect_refused")
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.opt.Dial = hang
			w.begin()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			w.expect(w.d.Deliver(ctx, attempt("example.net", "a@example.net")), "deferred recipient connect 4.3.2 local_error")
		})
	})
	t.Run("bounded", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.mx1, w.mx2 = nil, nil
			w.opt.Limits.Addresses = 3
			w.begin()
			w.deliver(attempt("both.example", "a@both.example"))
			if got := strings.Join(w.dialed, " "); got != "[2001:db8::1]:25 192.0.2.1:25 [2001:db8::2]:25" {
				t.Errorf("dialed %s", got)
			}
		})
	})
}
