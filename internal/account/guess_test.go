package account

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func someOptions() GuessOptions { return GuessOptions{Delay: 5, Ban: 20, BanTime: 15 * time.Minute} }

func midday() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func ip4(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }

func secret(n int) string { return fmt.Sprintf("secret %d", n) }

// guess sends wrong secrets from..to-1, a second apart, and returns the last hold.
func guess(g *Guesses, client, login string, from, to int, now time.Time) (h Hold) {
	for i := from; i < to; i++ {
		h = g.Wrong(netip.MustParseAddr(client), login, secret(i), now.Add(time.Duration(i-from)*time.Second))
	}
	return h
}

func TestGuesserIsSlowedThenBanned(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	client := netip.MustParseAddr("192.0.2.1")
	want := map[int]time.Duration{5: 0, 6: time.Second, 7: 2 * time.Second, 8: 4 * time.Second, 9: 8 * time.Second, 10: MaxGuessDelay, 19: MaxGuessDelay}
	for i := 1; i < 20; i++ {
		h := g.Wrong(client, "anna@example.org", secret(i), now)
		if d, ok := want[i]; ok && h.Delay != d || !h.Until.IsZero() {
			t.Errorf("after %d secrets: %+v, want a delay of %v", i, h, d)
		}
		if b := g.Before(client, "anna@example.org", now); b != h {
			t.Errorf("after %d secrets Before says %+v and Wrong said %+v", i, b, h)
		}
	}
	until := now.Add(15 * time.Minute)
	if h := g.Wrong(client, "anna@example.org", secret(20), now); !h.Until.Equal(until) {
		t.Errorf("after 20 secrets: %+v", h)
	}
	if h := g.Before(client, "", now); !h.Until.Equal(until) {
		t.Errorf("a new connection: %+v", h)
	}
	bans := g.Bans(now)
	if len(bans) != 1 || bans[0] != (Ban{netip.MustParsePrefix("192.0.2.1/32"), PortsForUsers, "20 different wrong secrets", now, until, 20, 20, 1}) {
		t.Errorf("bans: %+v", bans)
	}
	if h := g.Before(netip.MustParseAddr("192.0.2.2"), "", now); h != (Hold{}) {
		t.Errorf("the neighbour: %+v", h)
	}
	if h := g.Before(client, "", until); !h.Until.IsZero() || len(g.Bans(until)) != 0 {
		t.Errorf("after the ban: %+v", h)
	}
}

func TestBansGetLongerAndOldSecretsNeverBan(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	client, next := netip.MustParseAddr("2001:db8::1"), 0
	for _, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, MaxBanTime, MaxBanTime} {
		var h Hold
		for n := 0; h.Until.IsZero() && n < 100; n++ {
			h = g.Wrong(client, "anna", secret(next), now)
			next++
		}
		if got := h.Until.Sub(now); got != want {
			t.Fatalf("a ban of %v, want %v", got, want)
		}
		g.Wrong(client, "anna", secret(next), now) // of a session that was open
		now = h.Until
		for range 100 { // the last one, again and again
			if h := g.Wrong(client, "anna", secret(next), now); !h.Until.IsZero() {
				t.Fatalf("an old secret banned: %+v", h)
			}
		}
		next++
	}
}

// TestRepeatingNeverHurts: whoever has no more than Delay different wrong
// secrets may repeat them for ever, whatever else he does.
func TestRepeatingNeverHurts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := GuessOptions{Delay: rapid.IntRange(1, MaxGuessHashes).Draw(t, "delay"), BanTime: time.Minute}
		o.Ban = rapid.IntRange(1, 2*MaxGuessHashes).Draw(t, "ban")
		g, now := NewGuesses(o), midday()
		most := rapid.IntRange(1, o.Delay).Draw(t, "secrets")
		clients := rapid.SampledFrom([]netip.Addr{ip4(1), ip4(2), ip4(300), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")})
		for range rapid.IntRange(1, 300).Draw(t, "tries") {
			n := rapid.IntRange(1, most).Draw(t, "secret")
			client := clients.Draw(t, "client")
			now = now.Add(time.Duration(rapid.IntRange(0, 3*3600).Draw(t, "seconds")) * time.Second)
			if h := g.Wrong(client, fmt.Sprint("login ", n%7), secret(n), now); h != (Hold{}) {
				t.Fatalf("secret %d of %d, delay after %d: %+v", n, most, o.Delay, h)
			}
			if len(g.Bans(now)) > 0 {
				t.Fatal("banned")
			}
		}
	})
}

func TestWideNetworks(t *testing.T) {
	for _, form := range []string{"192.0.2.%d", "2001:db8:1:%d::1"} {
		g, now := NewGuesses(someOptions()), midday()
		for i := range 59 { // each address one secret: no address is slowed by itself
			h := g.Wrong(netip.MustParseAddr(fmt.Sprintf(form, i+1)), fmt.Sprint(i%4), secret(i), now)
			if !h.Until.IsZero() {
				t.Fatalf("secret %d: %+v", i, h)
			}
			other := netip.MustParseAddr(fmt.Sprintf(form, 200))
			if h := g.Before(other, "", now); (h.Delay > 0) != (i >= 15) {
				t.Fatalf("secret %d, another of the network: %+v", i, h)
			}
		}
		if h := g.Before(netip.MustParseAddr(fmt.Sprintf(form, 200)), "", now); h.Delay != MaxGuessDelay {
			t.Errorf("another of the network: %+v", h)
		}
		if h := g.Wrong(netip.MustParseAddr(fmt.Sprintf(form, 100)), "0", secret(100), now); h.Until.IsZero() {
			t.Errorf("60 secrets: %+v", h)
		}
		if b := g.Bans(now); len(b) != 1 || b[0].Network.Bits() != 24 && b[0].Network.Bits() != 48 {
			t.Errorf("bans: %+v", b)
		}
	}
}

// TestAnOfficeOfOldSecrets: more devices in a wide network than it remembers
// secrets; each has its own address and old secret, a new one every half hour,
// and all repeat theirs each half hour.
func TestAnOfficeOfOldSecrets(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	for step := range 2 * MaxGuessHashes {
		for i := range step + 1 {
			client := netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i))
			if h := g.Wrong(client, fmt.Sprint("user", i), secret(i), now); h != (Hold{}) {
				t.Fatalf("step %d, device %d: %+v", step, i, h)
			}
		}
		now = now.Add(halfLife / 2)
	}
}

func TestDistributedGuessingOfOneLogin(t *testing.T) {
	for _, login := range []string{"anna@example.org", "nobody@example.org"} {
		g, now := NewGuesses(someOptions()), midday()
		home := netip.MustParseAddr("198.51.100.7")
		g.Right(home, "Anna@example.org ", now)
		for i := range 500 {
			if h := g.Wrong(ip4(i<<8), login, secret(i), now); !h.Until.IsZero() {
				t.Fatalf("try %d: %+v; a login must ban nobody", i, h)
			}
		}
		if h := g.Before(netip.MustParseAddr("203.0.113.1"), " "+login, now); h.Delay != MaxGuessDelay {
			t.Errorf("a stranger: %+v", h)
		}
		if h := g.Before(netip.MustParseAddr("203.0.113.1"), "", now); h != (Hold{}) {
			t.Errorf("a new connection: %+v", h)
		}
		if h := g.Before(home, "anna@example.org", now); h != (Hold{}) {
			t.Errorf("at home: %+v", h)
		}
		if h := g.Before(home, "anna@example.org", now.Add(KnownFor)); h != (Hold{}) {
			t.Errorf("a month later all has faded: %+v", h)
		}
	}
}

func TestOneNetworkManyLogins(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	var h Hold
	for i := range 20 {
		h = g.Wrong(ip4(1), fmt.Sprint("user", i), "Spring2026", now)
		if i == 4 && h != (Hold{}) || i == 5 && h.Delay != time.Second {
			t.Errorf("login %d: %+v", i+1, h)
		}
	}
	if h.Until.IsZero() {
		t.Errorf("20 logins: %+v", h)
	}
	if b := g.Bans(now); len(b) != 1 || b[0].Why != "wrong secrets for 20 different logins" || b[0].Secrets != 1 || b[0].Logins != 20 {
		t.Errorf("bans: %+v", b)
	}
}

func TestOneSecretManyLoginsManyNetworks(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	for i := range 100 {
		if h := g.Wrong(ip4(i<<8), fmt.Sprint("user", i), "Spring2026", now); !h.Until.IsZero() || (h.Delay > 0) != (i >= 5) {
			t.Fatalf("try %d: %+v", i+1, h)
		}
	}
	if h := g.Before(ip4(0), "user99999", now); h.Delay != MaxGuessDelay {
		t.Errorf("the first network of all: %+v", h)
	}
	g.Wrong(ip4(200<<8), "user1", "another", now)
	if h := g.Before(ip4(200<<8), "user2", now); h != (Hold{}) {
		t.Errorf("a network that did not try the secret: %+v", h)
	}
	// The same many times by one login from everywhere is no spraying.
	for i := range 100 {
		if h := g.Wrong(ip4(i<<8|1<<16), "traveller", "old", now); h != (Hold{}) {
			t.Fatalf("traveller, network %d: %+v", i, h)
		}
	}
}

func TestSecretsNotShown(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	g.Right(ip4(1), "anna", now)
	for range 100 {
		if h := g.Wrong(ip4(1), "anna", "", now); h != (Hold{}) {
			t.Fatalf("known: %+v", h)
		}
	}
	for i := range 20 {
		if h := g.Wrong(ip4(1<<8), "anna", "", now); h.Until.IsZero() != (i < 19) {
			t.Fatalf("unknown, try %d: %+v", i+1, h)
		}
	}
}

func TestRightDoesNotWash(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	guess(g, "192.0.2.1", "anna", 0, 10, now)
	g.Right(netip.MustParseAddr("192.0.2.1"), "mallory", now)
	if h := g.Before(netip.MustParseAddr("192.0.2.1"), "anna", now); h.Delay != MaxGuessDelay {
		t.Errorf("%+v", h)
	}
}

func TestExemptNetworks(t *testing.T) {
	o := someOptions()
	g, now := NewGuesses(o), midday()
	if h := guess(g, "192.0.2.1", "anna", 0, 30, now); h.Until.IsZero() {
		t.Fatal("not banned")
	}
	o.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}
	g.SetOptions(o)
	if h := g.Before(netip.MustParseAddr("::ffff:192.0.2.1"), "anna", now); h != (Hold{}) || len(g.Bans(now)) != 0 {
		t.Errorf("exempt afterwards: %+v", h)
	}
	if h := guess(g, "192.0.2.2", "bert", 0, 100, now); h != (Hold{}) {
		t.Errorf("exempt: %+v", h)
	}
	if h := guess(g, "192.0.2.99", "carl", 0, 30, now); h.Until.IsZero() {
		t.Errorf("not exempt: %+v", h)
	}
	if h := g.Wrong(netip.Addr{}, "carl", "x", now); h != (Hold{}) {
		t.Errorf("without an address: %+v", h)
	}
}

func TestNumbersFade(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	client := netip.MustParseAddr("192.0.2.1")
	guess(g, "192.0.2.1", "anna", 0, 10, now)
	if h := g.Before(client, "anna", now.Add(time.Hour+time.Minute)); h != (Hold{}) {
		t.Errorf("an hour later: %+v", h)
	}
	later := now.Add(ForgetGuesses + time.Hour)
	g.Wrong(ip4(9), "bert", "x", later)
	if len(g.open) != 2 || len(g.logins) != 1 || len(g.sprays) != 1 {
		t.Errorf("a day later %d networks, %d logins, %d secrets are remembered", len(g.open), len(g.logins), len(g.sprays))
	}
}

func TestLift(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	for i := range 3 {
		guess(g, ip4(i<<8).String(), fmt.Sprint(i), 0, 20, now)
	}
	n := netip.PrefixFrom(ip4(0), 32)
	if !g.Lift(n) || g.Lift(n) {
		t.Error("Lift must find it once")
	}
	if h := g.Before(ip4(0), "", now); h != (Hold{}) {
		t.Errorf("lifted: %+v", h)
	}
	if n := g.LiftAll(); n != 2 || len(g.Bans(now)) != 0 {
		t.Errorf("LiftAll: %d", n)
	}
}

// TestBounds: nothing grows beyond its limit, and a flood from everywhere does
// not set free who is banned, nor one who is about to be.
func TestBounds(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	guess(g, "192.0.2.1", "anna", 0, 20, now)
	guess(g, "198.51.100.1", "bert", 100, 119, now)
	for i := range MaxGuessNetworks + MaxGuessNetworks/10 {
		g.Wrong(ip4(i<<3), fmt.Sprint(i), secret(i), now)
		g.Right(ip4(i%(3*MaxKnownNetworks)), fmt.Sprint(i), now)
		g.Right(ip4(i%(3*MaxKnownNetworks)), "traveller", now)
	}
	for what, n := range map[string]int{"networks": len(g.open) + len(g.banned), "logins": len(g.logins), "secrets": len(g.sprays), "known": len(g.known)} {
		if n > MaxGuessNetworks {
			t.Errorf("%s: %d", what, n)
		}
	}
	if n := len(g.known[g.hash("login", "traveller")]); n != MaxKnownNetworks {
		t.Errorf("%d known networks of one login", n)
	}
	if g.Before(netip.MustParseAddr("192.0.2.1"), "", now).Until.IsZero() {
		t.Error("the ban is gone")
	}
	if h := g.Wrong(netip.MustParseAddr("198.51.100.1"), "bert", secret(119), now); h.Until.IsZero() {
		t.Error("what was held against a network is gone")
	}
	for _, s := range g.banned {
		if len(s.secrets.seen) > MaxGuessHashes || len(s.logins.seen) > MaxGuessHashes {
			t.Errorf("%d hashes", len(s.secrets.seen))
		}
	}
}

func BenchmarkGuesses(b *testing.B) {
	g, now := NewGuesses(someOptions()), midday()
	for i := 0; b.Loop(); i++ {
		client := ip4(i << 4)
		g.Before(client, "anna@example.org", now)
		g.Wrong(client, "anna@example.org", secret(i), now)
	}
}
