//go:build peers

package peers

import (
	"testing"
)

// TestHarness holds the tools of these tests against each other, without Onward: what the load sends to the sink is there,
// whole, and the real Postfix that plays the next hop answers 2xx, 4xx and 5xx as its table says.
func TestHarness(t *testing.T) {
	t.Run("load and sink", func(t *testing.T) {
		world := newSink(t, nil)
		l := startLoad(4, 1, world.address, "anna@example.net", 10)
		until(t, "100 messages taken", patience, func() bool { return l.taken() >= 100 })
		l.end()
		checkArrived(t, world, l)
		all, _ := world.seen()
		if len(all) != l.taken() {
			t.Errorf("the sink has %d messages, the clients got %d times 250", len(all), l.taken())
		}
		if _, whole := identity(all[0].content + "x"); whole {
			t.Error("a changed body goes unnoticed")
		}
	})
	t.Run("next hop", func(t *testing.T) {
		p, maildirs := nextHop(t, newAccess(t, map[string]string{"later@example.net": "450 4.2.1 Later", "gone@example.net": "550 5.2.1 Gone"}))
		for to, want := range map[string]int{"anna@example.net": 0, "later@example.net": 24, "gone@example.net": 24} {
			out, status := program(t, "", "swaks", "--server", p.Address, "-tls", "--from", "sender@example.com", "--to", to, "--header", "Subject: to "+to)
			if status != want {
				t.Errorf("swaks to %s: status %d, want %d\n%s", to, status, want, out)
			}
		}
		awaitMail(t, maildirs, "Subject: to anna@example.net")
	})
}
