package account

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// turns lets so many work at a time. Who waits is let on in order, those at home
// before most strangers: a flood of guesses from everywhere does not keep people out.
// It is safe for concurrent use.
type turns struct {
	mu      sync.Mutex // guards what follows
	free    int
	home    []waiter
	strange []waiter
	from    map[netip.Prefix]int // of strange, by network
	row     int                  // how many at home were let on since the last stranger
}

// waiter waits for a turn.
type waiter struct {
	turn    chan struct{} // closed when it has come
	network netip.Prefix
}

const (
	// maxInLine is how many wait in each of the two lines at most. At the default cost
	// of a password the last of them has to wait for some seconds, and of more than
	// that a flood would take memory and connections for nothing.
	maxInLine = 256
	// maxOfNetwork is how many strangers of one network (IPv4 /32, IPv6 /64) wait.
	maxOfNetwork = 8
	// homeInARow is how many of those at home come before a stranger who waits, so
	// that they do not keep strangers out either.
	homeInARow = 3
)

// ErrCrowded is the trouble (wrapped, in Result.Err) where nothing is broken: more
// logins came than can be checked.
var ErrCrowded = errors.New("too many logins are being checked")

func newTurns(n int) *turns { return &turns{free: n, from: make(map[netip.Prefix]int)} }

// take waits for a turn, which give ends; the error is that of ctx or ErrCrowded.
// The network is where the waiter comes from, if anywhere.
func (t *turns) take(ctx context.Context, home bool, network netip.Prefix) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	line := &t.strange
	if home {
		line = &t.home
	}
	if len(*line) >= maxInLine || !home && network.IsValid() && t.from[network] >= maxOfNetwork {
		t.mu.Unlock()
		return ErrCrowded
	}
	mine := waiter{make(chan struct{}), network}
	*line = append(*line, mine)
	if !home {
		t.from[network]++
	}
	t.mu.Unlock()
	select {
	case <-mine.turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	if i := slices.Index(*line, mine); i >= 0 {
		*line = slices.Delete(*line, i, i+1)
		if !home {
			t.gone(network)
		}
		t.mu.Unlock()
		return ctx.Err()
	}
	t.mu.Unlock()
	t.give() // the turn came at the same time
	return ctx.Err()
}

// gone notes that a stranger does not wait any longer; t.mu is held.
func (t *turns) gone(network netip.Prefix) {
	if t.from[network]--; t.from[network] <= 0 {
		delete(t.from, network)
	}
}

// give lets the next one on.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.strange) > 0 && (len(t.home) == 0 || t.row >= homeInARow):
		next := t.strange[0]
		t.strange, t.row = t.strange[1:], 0
		t.gone(next.network)
		close(next.turn)
	case len(t.home) > 0:
		next := t.home[0]
		t.home = t.home[1:]
		t.row++
		close(next.turn)
	default:
		t.free++
	}
}
