//go:build peers

package peers

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestKill kills the server with SIGKILL at random moments while clients send as fast as they can, starts it again, and in
// the end counts: every message that got 250 must have reached the sink, whole, at least once. ONWARD_KILLS sets the number of
// rounds, ONWARD_SEED the seed of the moments and sizes (not of the schedule: real processes have none).
func TestKill(t *testing.T) {
	rounds, seed := number(t, "ONWARD_KILLS", 6), number(t, "ONWARD_SEED", int(time.Now().UnixNano()&0xffffff))
	t.Logf("%d rounds, ONWARD_SEED=%d", rounds, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 1))

	world := newSink(t, nil)
	o := serve(t, settings{routes: map[string]string{"*": world.address}})
	o.onward(t, "domain", "add", "example.org")
	o.onward(t, "address", "add", "anna@example.org", "--forward", "anna@example.net", "--disclose", "announce")

	l := startLoad(12, uint64(seed), o.mx, "anna@example.org", 40)
	for round := range rounds {
		before := l.taken()
		until(t, "the server takes mail", patience, func() bool { return l.taken() > before })
		select {
		case <-time.After(time.Duration(random.IntN(1200)) * time.Millisecond):
		case err := <-o.exited:
			t.Fatalf("round %d: the server ended by itself: %v", round, err)
		}
		o.kill(t)
		o.start(t)
	}
	l.end()
	t.Logf("%d messages sent, %d got 250", l.sent.Load(), l.taken())
	for _, reply := range slices.Compact(slices.Sorted(slices.Values(l.refused))) {
		t.Logf("the server also said: %s", reply)
	}
	checkArrived(t, world, l)
	o.drain(t)
}

// TestDrainUnderLoad ends the server with SIGTERM under load: it must end with 0, tell its clients 421 rather than hang up
// in the middle of a message, and what it took must be there after the next start.
func TestDrainUnderLoad(t *testing.T) {
	world := newSink(t, nil)
	o := serve(t, settings{routes: map[string]string{"*": world.address}})
	o.onward(t, "domain", "add", "example.org")
	o.onward(t, "address", "add", "anna@example.org", "--forward", "anna@example.net", "--disclose", "announce")
	l := startLoad(12, 1, o.mx, "anna@example.org", 40)
	until(t, "the server takes mail", patience, func() bool { return l.taken() > 200 })
	o.drain(t)
	l.end()
	if sent, taken := l.sent.Load(), int64(l.taken()); sent != taken {
		t.Errorf("%d messages were sent to the final dot and %d got 250: the rest were cut off without an answer or refused: %q", sent, taken, l.refused)
	}
	o.start(t)
	checkArrived(t, world, l)
}

// checkArrived waits until every message with a 250 has reached the sink, and reports those that do not.
func checkArrived(t *testing.T, world *sink, l *load) {
	t.Helper()
	lost := maps.Clone(l.accepted)
	times := map[string]int{}
	// As long as something still arrives it is worth waiting; a server that is done for arrives at nothing for long.
	const quiet = 20 * time.Second
	idle := time.NewTimer(quiet)
	defer idle.Stop()
	for looked, waiting := 0, true; waiting; {
		all, more := world.seen()
		for ; looked < len(all); looked++ {
			id, whole := identity(all[looked].content)
			if !whole {
				t.Errorf("message %s arrived with another body than was sent", id)
				continue
			}
			times[id]++
			delete(lost, id)
		}
		if len(lost) == 0 {
			break
		}
		idle.Reset(quiet)
		select {
		case <-more:
		case <-idle.C:
			waiting = false
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d messages that got 250 never arrived: %.10q …", len(lost), len(l.accepted), slices.Sorted(maps.Keys(lost)))
	}
	twice := 0
	for _, n := range times {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d messages arrived, %d of them more than once, %d without a 250 that the client saw", len(times), twice, len(times)-len(l.accepted))
}

// number reads a whole number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a whole number of at least 1", name, text)
	}
	return n
}
