package account

import (
	"context"
	"errors"
	"sync"
)

// turns lets so many work at a time. Who waits is let on in order, those at home
// before strangers: a flood of guesses from everywhere does not keep people out.
// It is safe for concurrent use.
type turns struct {
	mu      sync.Mutex // guards what follows
	free    int
	home    []chan struct{} // closed when it is the waiter's turn
	strange []chan struct{}
}

// maxStrange is how many strangers wait at most. At the default cost of a password
// the last of them has to wait for some seconds, and of more than that a flood
// would take memory and connections for nothing.
const maxStrange = 256

// ErrCrowded is the trouble (wrapped, in Result.Err) where nothing is broken: more
// logins came than can be checked.
var ErrCrowded = errors.New("too many logins are being checked")

func newTurns(n int) *turns { return &turns{free: n} }

// take waits for a turn, which give ends; the error is that of ctx or ErrCrowded.
func (t *turns) take(ctx context.Context, home bool) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	line := &t.strange
	if home {
		line = &t.home
	} else if len(t.strange) >= maxStrange {
		t.mu.Unlock()
		return ErrCrowded
	}
	mine := make(chan struct{})
	*line = append(*line, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	for i, other := range *line {
		if other == mine {
			*line = append((*line)[:i], (*line)[i+1:]...)
			t.mu.Unlock()
			return ctx.Err()
		}
	}
	t.mu.Unlock()
	t.give() // the turn came at the same time
	return ctx.Err()
}

// give lets the next one on.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range []*[]chan struct{}{&t.home, &t.strange} {
		if len(*line) > 0 {
			close((*line)[0])
			*line = (*line)[1:]
			return
		}
	}
	t.free++
}
