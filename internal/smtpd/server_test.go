package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtptest"
	"github.com/onwardmail/onward/internal/transaction"
)

// discard is a Handler that says yes and keeps nothing.
type discard struct{}

func (discard) Connect(context.Context, *transaction.Peer) reply.Reply { return reply.Reply{} }
func (discard) Close(*transaction.Peer)                                {}
func (discard) Mechanisms(*transaction.Peer) []string                  { return []string{"PLAIN"} }
func (discard) WrongPort(*transaction.Peer, string, string)            {}
func (discard) Authenticate(context.Context, *transaction.Peer, string, []byte) (transaction.Exchange, reply.Reply) {
	return discard{}, reply.Reply{}
}

func (discard) Next(context.Context, []byte) transaction.Answer {
	return transaction.Answer{Reply: reply.CredentialsRejected("x")}
}

func (discard) Mail(context.Context, *transaction.Peer, address.Mailbox, smtp.MailParams) (transaction.Transaction, reply.Reply) {
	return discard{}, reply.Reply{}
}

func (discard) Verify(context.Context, *transaction.Peer, address.Mailbox) reply.Reply {
	return reply.Reply{}
}

func (discard) Recipient(context.Context, address.Mailbox, smtp.RcptParams) reply.Reply {
	return reply.Reply{}
}

func (discard) Content(context.Context) (transaction.Content, reply.Reply) {
	return discard{}, reply.Reply{}
}
func (discard) Abort()                               {}
func (discard) Write(p []byte) (int, error)          { return len(p), nil }
func (discard) Refuse(reply.Reply)                   {}
func (discard) Commit(context.Context) []reply.Reply { return []reply.Reply{reply.Queued("x")} }

// greeting connects and returns the first line.
func greeting(t *testing.T, network *smtptest.Network, from, addr string) (net.Conn, string) {
	t.Helper()
	nc, err := network.DialFrom(t.Context(), netip.MustParseAddr(from), addr)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(nc).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return nc, line
}

// TestReload: new options hold for new sessions, and drop no old one.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := smtptest.NewNetwork()
		ln, err := network.Listen("192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(discard{}, Options{Hostname: "old.example"})
		go func() {
			if err := s.Serve(t.Context(), ln, MX()); err != nil {
				t.Error(err)
			}
		}()
		a, line := greeting(t, network, "192.0.2.9", "192.0.2.1:25")
		if !strings.Contains(line, "old.example") {
			t.Errorf("greeting %q", line)
		}
		s.SetOptions(Options{Hostname: "new.example"})
		b, line := greeting(t, network, "192.0.2.9", "192.0.2.1:25")
		if !strings.Contains(line, "new.example") {
			t.Errorf("greeting %q", line)
		}
		if _, err := a.Write([]byte("HELO x\r\n")); err != nil {
			t.Fatal(err)
		}
		if line, _ = bufio.NewReader(a).ReadString('\n'); !strings.Contains(line, "old.example") {
			t.Errorf("HELO: %q", line)
		}
		if c := s.Counts(); c.Open != 2 || c.Sessions != 2 || c.Refused != 0 {
			t.Errorf("counts %+v", c)
		}
		b.Close()
		synctest.Wait()
		if c := s.Counts(); c.Open != 1 {
			t.Errorf("counts %+v", c)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// TestServeEnds: with its context, with its listener, and after Shutdown.
func TestServeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := smtptest.NewNetwork()
		s := NewServer(discard{}, Options{Hostname: "mx.example.org"})
		serve := func(ctx context.Context) (net.Listener, chan error) {
			ln, err := network.Listen("192.0.2.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx, ln, MX()) }()
			synctest.Wait()
			return ln, done
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, done := serve(ctx)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("context: %v", err)
		}
		ln, done := serve(t.Context())
		ln.Close()
		if err := <-done; err != nil {
			t.Errorf("listener: %v", err)
		}
		ln, done = serve(t.Context())
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if _, err := network.Dial(t.Context(), "tcp", ln.Addr().String()); err == nil {
			t.Error("the listener is open after Shutdown")
		}
		if _, done = serve(t.Context()); <-done != nil {
			t.Error("Serve after Shutdown fails")
		}
	})
}

// TestIPv6Clients: addresses of one /64 are one client.
func TestIPv6Clients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := smtptest.NewNetwork()
		ln, err := network.Listen("[2001:db8::1]:25")
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(discard{}, Options{Hostname: "mx.example.org", MaxPerAddress: 1})
		go func() { _ = s.Serve(t.Context(), ln, MX()) }()
		for from, want := range map[string]string{"2001:db8:1::1": "220", "2001:db8:2::1": "220"} {
			if _, line := greeting(t, network, from, "[2001:db8::1]:25"); !strings.HasPrefix(line, want) {
				t.Errorf("%s: %q", from, line)
			}
		}
		if _, line := greeting(t, network, "2001:db8:1::2", "[2001:db8::1]:25"); !strings.HasPrefix(line, "421 4.7.0") {
			t.Errorf("a neighbour: %q", line)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// stuck is a Handler that does not heed its context.
type stuck struct{ discard }

func (stuck) Connect(context.Context, *transaction.Peer) reply.Reply {
	time.Sleep(time.Hour) // in a bubble
	return reply.Reply{}
}

// TestShutdownIsBounded: a handler that hangs does not hold Shutdown up.
func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:25"))
		defer near.Close()
		s := NewServer(stuck{}, Options{Hostname: "mx.example.org"})
		go s.ServeConn(far, MX())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("Shutdown took %v", took)
		}
		time.Sleep(2 * time.Hour) // in a bubble: the handler comes back
	})
}

// unhurried is a Handler that takes longer than a client may.
type unhurried struct{ discard }

func (unhurried) Mail(ctx context.Context, p *transaction.Peer, from address.Mailbox, params smtp.MailParams) (transaction.Transaction, reply.Reply) {
	time.Sleep(time.Minute) // in a bubble
	return discard{}.Mail(ctx, p, from, params)
}

// TestOurTimeIsNotTheirs: the client is not timed out for what we took long for.
func TestOurTimeIsNotTheirs(t *testing.T) {
	for name, after := range map[string]string{
		"content": "RCPT TO:<anna@example.org>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n",
		"replies": strings.Repeat("NOOP\r\n", 300) + "QUIT\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:25"))
				defer near.Close()
				s := NewServer(unhurried{}, Options{Hostname: "mx.example.org", CommandWait: 5 * time.Second, BlockWait: 5 * time.Second})
				done := make(chan struct{})
				go func() {
					s.ServeConn(far, MX())
					close(done)
				}()
				hearLine(t, near)
				if _, err := near.Write([]byte("EHLO a.example\r\nMAIL FROM:<a@example.net>\r\n" + after)); err != nil {
					t.Fatal(err)
				}
				<-done
				b, err := io.ReadAll(near)
				if err != nil || !strings.HasSuffix(string(b), "221 2.0.0 mx.example.org closes the connection; goodbye\r\n") {
					t.Errorf("%v after %q", err, b)
				}
			})
		})
	}
}

// TestHandshakeThatNeverComes: a client that connects to a TLS port and is
// silent is not waited for, nor greeted.
func TestHandshakeThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, _ := smtptest.Certificate(t, "mx.example.org")
		near, far := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:465"))
		s := NewServer(discard{}, Options{Hostname: "mx.example.org", TLS: func() *tls.Config { return config }})
		began := time.Now()
		s.ServeConn(far, Submissions())
		if took := time.Since(began); took < DefaultTLSWait || took > 2*DefaultTLSWait {
			t.Errorf("waited %v", took)
		}
		if b, _ := io.ReadAll(near); len(b) != 0 {
			t.Errorf("said %q", b)
		}
	})
}

// benchmarkReceive sends messages of a size over one real connection on the
// loopback, as a pipelining client does.
func benchmarkReceive(b *testing.B, size int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(discard{}, Options{Hostname: "mx.example.org"})
	go func() { _ = s.Serve(context.Background(), ln, MX()) }()
	defer func() { _ = s.Shutdown(context.Background()) }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	r := smtp.NewReplyReader(nc)
	expect := func(code int) {
		if got, err := r.ReadReply(); err != nil || got.Code != code {
			b.Fatalf("%v, %v instead of %d", got, err, code)
		}
	}
	expect(220)
	if _, err := nc.Write([]byte("EHLO a.example\r\n")); err != nil {
		b.Fatal(err)
	}
	expect(250)
	line := strings.Repeat("x", 76) + "\r\n"
	content := []byte(strings.Repeat(line, size/len(line)) + ".\r\n")
	envelope := []byte("MAIL FROM:<a@example.net> SIZE=4096\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(envelope); err != nil {
			b.Fatal(err)
		}
		expect(250)
		expect(250)
		expect(354)
		if _, err := nc.Write(content); err != nil {
			b.Fatal(err)
		}
		expect(250)
	}
}

func BenchmarkReceive4K(b *testing.B)  { benchmarkReceive(b, 4*1024) }
func BenchmarkReceive64K(b *testing.B) { benchmarkReceive(b, 64*1024) }

// TestLastWordsAreHeard: a client that sends on without reading still hears why
// it was cut off. On a real socket, because it is the kernel that would take
// the words back.
func TestLastWordsAreHeard(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(discard{}, Options{Hostname: "mx.example.org"})
	go func() { _ = s.Serve(context.Background(), ln, MX()) }()
	defer func() { _ = s.Shutdown(context.Background()) }()
	for range 20 {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		hearLine(t, nc)
		if _, err := nc.Write([]byte(strings.Repeat("WIZ\r\n", 20000))); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(nc)
		if err != nil || !strings.HasSuffix(string(b), "421 4.7.0 mx.example.org: too many errors on this connection; closing it\r\n") {
			t.Errorf("%v after %q", err, b[max(0, len(b)-200):])
		}
		nc.Close()
	}
}
