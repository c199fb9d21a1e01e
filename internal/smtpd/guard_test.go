package smtpd

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtptest"
)

func at(s string) place { return place{netip.MustParsePrefix(s), false} }

func TestStrikes(t *testing.T) {
	g, now := newGuard(), time.Unix(1e9, 0)
	bad, other := at("192.0.2.1/32"), at("192.0.2.2/32")
	want := []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour}
	for i, w := range want {
		g.strike(bad, "too-many-errors", 5*time.Minute, now)
		if got := g.blockedFor(bad, now); got != w {
			t.Errorf("strike %d: %v and not %v", i+1, got, w)
		}
		now = now.Add(w)
	}
	users := bad
	users.users = true
	if g.blockedFor(bad, now) != 0 || g.blockedFor(other, now) != 0 || g.blockedFor(users, now.Add(-time.Second)) != 0 {
		t.Error("somebody is refused who should not be")
	}
	now = now.Add(strikesFade + time.Second)
	if g.strike(bad, "too-many-errors", time.Minute, now); g.blockedFor(bad, now) != time.Minute {
		t.Error("strikes do not fade")
	}
	one := Block{Network: bad.client, Why: "too-many-errors", Since: now, Until: now.Add(time.Minute), Times: 1}
	g.strike(users, "spoke-first", time.Minute, now.Add(time.Second))
	if got := g.blocks(now.Add(30 * time.Second)); len(got) != 2 || got[1] != one || !got[0].Users || got[0].Why != "spoke-first" {
		t.Errorf("%+v", got)
	}
	if got := g.blocks(now.Add(time.Minute)); len(got) != 1 || !got[0].Users {
		t.Errorf("one is over: %+v", got)
	}
	if !g.unblock(bad.client, now) || g.unblock(bad.client, now) || len(g.blocks(now)) != 0 || g.blockedFor(users, now) != 0 {
		t.Error("unblock lets in on all ports, once")
	}
	if g.strike(other, "too-many-errors", 0, now); g.blockedFor(other, now) != 0 {
		t.Error("0 blocks")
	}
}

func TestRates(t *testing.T) {
	g, now := newGuard(), time.Unix(1e9, 0)
	p := at("192.0.2.1/32")
	for i := range 6 {
		if w := g.connect(p, 6, now); w != 0 {
			t.Fatalf("connection %d waits %v", i, w)
		}
	}
	if w := g.connect(p, 6, now); w != 10*time.Second {
		t.Errorf("the seventh waits %v", w)
	}
	if w := g.connect(p, 6, now.Add(10*time.Second)); w != 0 {
		t.Errorf("after the wait it waits %v", w)
	}
	if g.mail(p, 6, now) != 0 || g.connect(p, 0, now) != 0 || g.connect(at("192.0.2.2/32"), 6, now) != 0 {
		t.Error("somebody waits who should not")
	}
}

// TestTablesAreBounded: whoever has a /32 of IPv6 cannot fill the memory.
func TestTablesAreBounded(t *testing.T) {
	g, now := newGuard(), time.Unix(1e9, 0)
	for i := range maxTracked + 5000 {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		p := place{netip.PrefixFrom(a, 64), false}
		g.strike(p, "too-many-errors", time.Minute, now)
		g.connect(p, 10, now)
		g.stranger(p.client, now)
	}
	if len(g.blocked) > maxTracked || len(g.opened) > maxTracked || len(g.seenLast) > maxTracked {
		t.Errorf("%d, %d, %d are remembered", len(g.blocked), len(g.opened), len(g.seenLast))
	}
}

// TestStrangerAgain: who was here is no stranger for 30 days, unless the session
// ended because of errors, with a block or without.
func TestStrangerAgain(t *testing.T) {
	g := newGuard()
	p := place{netip.MustParsePrefix("198.51.100.7/32"), false}
	now := time.Unix(1_800_000_000, 0)
	for i, want := range []bool{true, false, false} {
		if got := g.stranger(p.client, now.Add(time.Duration(i)*20*24*time.Hour)); got != want {
			t.Errorf("visit %d: stranger is %v", i, got)
		}
	}
	now = now.Add(41 * 24 * time.Hour)
	g.strike(p, "too-many-errors", 0, now)
	if !g.stranger(p.client, now) {
		t.Error("who was sent away for errors is no stranger")
	}
	if g.stranger(p.client, now.Add(acquainted)) || !g.stranger(p.client, now.Add(2*acquainted+time.Second)) {
		t.Error("a stranger is one for other than 30 days")
	}
}

// TestMakingRoom: a full server sends those away who keep still, and serves who
// has mail; never somebody who is known.
func TestMakingRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(discard{}, Options{Hostname: "mx.example.org", MaxConnections: 40, Known: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		dial := func(from string) *smtptest.Conn {
			near, far := smtptest.Pipe(netip.MustParseAddrPort(from), netip.MustParseAddrPort("192.0.2.1:25"))
			go s.ServeConn(far, MX())
			return near
		}
		friend := dial("10.0.0.1:1")
		hearLine(t, friend)
		var idle []*smtptest.Conn
		for i := range 39 {
			c := dial(fmt.Sprintf("198.51.%d.7:1", i))
			hearLine(t, c)
			idle = append(idle, c)
		}
		early := dial("203.0.113.1:1")
		if got := hearLine(t, early); !strings.HasPrefix(got, "421 4.3.2 ") {
			t.Errorf("while everybody is new, one more hears %q", got)
		}
		time.Sleep(shedIdle + time.Second)
		if _, err := idle[0].Write([]byte("NOOP\r\n")); err != nil { // it gets ahead
			t.Fatal(err)
		}
		hearLine(t, idle[0])
		for i := range 20 {
			c := dial(fmt.Sprintf("203.0.%d.1:1", i))
			if got := hearLine(t, c); !strings.HasPrefix(got, "220 ") {
				t.Fatalf("honest client %d hears %q", i, got)
			}
		}
		synctest.Wait()
		gone := 0
		for _, c := range idle {
			if c.Buffered() > 0 {
				got, err := io.ReadAll(c)
				if gone++; err != nil || !strings.HasPrefix(string(got), "421 4.3.2 mx.example.org is full and needs") {
					t.Errorf("%q, %v", got, err)
				}
			}
		}
		if gone < 20 || idle[0].Buffered() > 0 || friend.Buffered() > 0 {
			t.Errorf("%d were sent away", gone)
		}
		if n := s.Counts().Open; n > 40 {
			t.Errorf("%d connections are open", n)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNormalize: an LF on its own becomes CRLF, however the content is cut.
func TestNormalize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"\r\n", "\n", "a", ".", "text"})).Draw(t, "content"), "")
		var want strings.Builder
		for i := range len(content) {
			if content[i] == '\n' && (i == 0 || content[i-1] != '\r') {
				want.WriteByte('\r')
			}
			want.WriteByte(content[i])
		}
		var in incoming
		var lines smtp.LineScanner
		var got strings.Builder
		for rest := content; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			lines.Scan([]byte(rest[:n]))
			got.Write(in.normalize([]byte(rest[:n]), lines.BareLF))
			rest = rest[n:]
		}
		if got.String() != want.String() {
			t.Fatalf("%q became %q", content, got.String())
		}
	})
}
