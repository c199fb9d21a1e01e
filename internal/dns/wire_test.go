package dns

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// startServer runs a real name server on a free port of loopback, over UDP and TCP, and returns its address.
func startServer(t *testing.T, handle miekg.HandlerFunc) string {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*miekg.Server{{Listener: tcp, Handler: handle}, {PacketConn: udp, Handler: handle}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return tcp.Addr().String()
}

// silentServer takes questions and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	return udp.LocalAddr().String()
}

func rr(t testing.TB, lines ...string) []miekg.RR {
	t.Helper()
	var out []miekg.RR
	for _, line := range lines {
		r, err := miekg.NewRR(line)
		if err != nil || r == nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

func client(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWire asks a real server over sockets for all that it can be asked.
func TestWire(t *testing.T) {
	long := strings.Repeat("x", 250)
	var overTCP atomic.Int32
	address := startServer(t, func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := new(miekg.Msg).SetReply(q)
		m.RecursionAvailable = true
		name := q.Question[0].Name
		if opt := q.IsEdns0(); opt == nil || opt.UDPSize() != udpSize || !opt.Do() || !q.AuthenticatedData || !q.RecursionDesired {
			m.Rcode = miekg.RcodeRefused
			_ = w.WriteMsg(m)
			return
		}
		switch {
		case name == "example.net." && q.Question[0].Qtype == miekg.TypeMX:
			m.AuthenticatedData = true
			m.Answer = rr(t, "example.net. 60 IN MX 20 b.example.net.", "example.net. 30 IN MX 10 A.example.net.")
		case name == "alias.example.net." && q.Question[0].Qtype == miekg.TypeA:
			m.Answer = rr(t, "alias.example.net. IN CNAME mid.example.net.", "mid.example.net. 5 IN CNAME end.example.net.", "end.example.net. IN A 192.0.2.7")
		case name == "alias.example.net.":
			m.Answer = rr(t, "alias.example.net. IN CNAME mid.example.net.") // its target is for us to ask for
		case name == "mid.example.net.":
			m.Answer = rr(t, "mid.example.net. IN CNAME end.example.net.", "end.example.net. IN AAAA 2001:db8::7")
		case name == "long.example.net.":
			for range 8 {
				m.Answer = append(m.Answer, rr(t, "long.example.net. IN TXT \""+long+"\" \"; \\\\ end\"")...)
			}
			if w.LocalAddr().Network() == "tcp" {
				overTCP.Add(1)
			} else {
				m.Truncate(udpSize)
			}
		case name == "1.2.0.192.in-addr.arpa.":
			m.Answer = rr(t, "1.2.0.192.in-addr.arpa. IN PTR mx.example.net.")
		case name == "_25._tcp.example.net.":
			m.Answer = rr(t, "_25._tcp.example.net. IN TLSA 3 1 1 abcd")
		case name == "none.example.net.":
			m.Ns = rr(t, "example.net. 900 IN SOA ns. host. 1 2 3 4 40")
		case name == "fails.example.net.":
			m.Rcode = miekg.RcodeServerFailure
		case name == "referral.example.net.":
			m.RecursionAvailable = false
			m.Ns = rr(t, "example.net. IN NS ns.example.net.")
		case name == "loop.example.net.":
			m.Answer = rr(t, "loop.example.net. IN CNAME loop.example.net.")
		default:
			m.Rcode = miekg.RcodeNameError
			m.Ns = rr(t, "example.net. 900 IN SOA ns. host. 1 2 3 4 40")
		}
		_ = w.WriteMsg(m)
	})
	c, ctx := client(t, Options{Servers: []string{address}}), context.Background()

	mx, err := c.MX(ctx, "Example.net")
	want(t, "mx", mx, err, true, MX{"a.example.net", 10}, MX{"b.example.net", 20})
	if mx.TTL != 30*time.Second {
		t.Errorf("the TTL is %v, not the least", mx.TTL)
	}
	mx.Records[0].Host = "spoilt"
	mx, err = c.MX(ctx, "example.net.")
	want(t, "mx from the cache", mx, err, true, MX{"a.example.net", 10}, MX{"b.example.net", 20})

	a, err := c.Addresses(ctx, "alias.example.net")
	want(t, "alias", a, err, false, addrs("192.0.2.7", "2001:db8::7")...)
	if a.Name != "end.example.net" || a.TTL > 5*time.Second {
		t.Errorf("alias: %+v", a)
	}
	txt, err := c.TXT(ctx, "long.example.net")
	if err != nil || len(txt.Records) != 8 || txt.Records[7] != long+`; \ end` || overTCP.Load() != 1 {
		t.Errorf("truncated: %d records, %v, %d times over TCP", len(txt.Records), err, overTCP.Load())
	}
	ptr, err := c.PTR(ctx, netip.MustParseAddr("192.0.2.1"))
	want(t, "ptr", ptr, err, false, "mx.example.net")
	tlsa, err := c.TLSA(ctx, "_25._tcp.example.net")
	want(t, "tlsa", tlsa, err, false, TLSA{3, 1, 1, []byte{0xab, 0xcd}})
	txt, err = c.TXT(ctx, "none.example.net")
	want(t, "no record", txt, err, false)
	if txt.TTL != 40*time.Second {
		t.Errorf("the absence counts for %v, not the SOA's minimum", txt.TTL)
	}
	for name, kind := range map[string]Kind{
		"fails.example.net": ServerFailure, "referral.example.net": ServerFailure, "loop.example.net": ServerFailure, "gone.example.net": NotFound,
	} {
		_, err = c.TXT(ctx, name)
		wantKind(t, name, err, kind)
	}
}

// TestFailover: a server that is silent, one that refuses and one that nobody runs are passed over, and then not asked
// first any more.
func TestFailover(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	var refusals atomic.Int32
	refusing := startServer(t, func(w miekg.ResponseWriter, q *miekg.Msg) {
		refusals.Add(1)
		_ = w.WriteMsg(new(miekg.Msg).SetRcode(q, miekg.RcodeRefused))
	})
	good := startServer(t, func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := new(miekg.Msg).SetReply(q)
		m.Answer = rr(t, q.Question[0].Name+" IN TXT yes")
		_ = w.WriteMsg(m)
	})
	servers := []string{silentServer(t), closed.LocalAddr().String(), refusing, good}
	c, ctx := client(t, Options{Servers: servers, TryTimeout: 200 * time.Millisecond}), context.Background()
	for _, name := range []string{"a.example", "b.example"} {
		txt, err := c.TXT(ctx, name)
		want(t, name, txt, err, false, "yes")
	}
	if n := refusals.Load(); n != 1 {
		t.Errorf("the server that refused was asked %d times", n)
	}
	c = client(t, Options{Servers: servers[:1], TryTimeout: 50 * time.Millisecond, Tries: 2})
	_, err = c.TXT(ctx, "a.example")
	wantKind(t, "silence", err, Timeout)
	c = client(t, Options{Servers: servers[1:2]})
	_, err = c.TXT(ctx, "a.example")
	wantKind(t, "nobody there", err, ServerFailure)
}

// TestForged: datagrams with another number, another question or rubbish do not end the wait for the true one.
func TestForged(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		buf := make([]byte, 2048)
		n, from, err := udp.ReadFrom(buf)
		if err != nil {
			return
		}
		q := new(miekg.Msg)
		if q.Unpack(buf[:n]) != nil {
			return
		}
		send := func(change func(*miekg.Msg)) {
			m := new(miekg.Msg).SetReply(q)
			m.Answer = []miekg.RR{&miekg.TXT{Hdr: miekg.RR_Header{Name: q.Question[0].Name, Rrtype: miekg.TypeTXT, Class: miekg.ClassINET}, Txt: []string{"false"}}}
			change(m)
			wire, _ := m.Pack()
			_, _ = udp.WriteTo(wire, from)
		}
		send(func(m *miekg.Msg) { m.Id++ })
		send(func(m *miekg.Msg) { m.Question[0].Name = "other.example." })
		send(func(m *miekg.Msg) { m.Response = false })
		_, _ = udp.WriteTo([]byte("rubbish"), from)
		_, _ = udp.WriteTo(append(buf[:2:2], "\x80\x00rubbish that has the number"...), from)
		send(func(m *miekg.Msg) { m.Answer[0].(*miekg.TXT).Txt[0] = "true" })
	}()
	txt, err := client(t, Options{Servers: []string{udp.LocalAddr().String()}}).TXT(context.Background(), "a.example")
	want(t, "forged", txt, err, false, "true")
}

// TestOldServer: a server that knows no EDNS0 is asked without.
func TestOldServer(t *testing.T) {
	address := startServer(t, func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := new(miekg.Msg).SetReply(q)
		if q.IsEdns0() != nil {
			m.Rcode, m.Question = miekg.RcodeFormatError, nil
		} else {
			m.Answer = rr(t, q.Question[0].Name+" IN TXT old")
		}
		_ = w.WriteMsg(m)
	})
	txt, err := client(t, Options{Servers: []string{address}}).TXT(context.Background(), "a.example")
	want(t, "old server", txt, err, false, "old")
}
