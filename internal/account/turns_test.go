package account

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns: at home comes before strangers, each in its order, and no more work
// at a time than may.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		var mu sync.Mutex
		var order []string
		var working atomic.Int32
		work := func(name string, home bool) {
			if err := turns.take(t.Context(), home, netip.Prefix{}); err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if working.Add(1) > 2 {
				t.Error("too many work")
			}
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			time.Sleep(time.Second)
			working.Add(-1)
			turns.give()
		}
		for i, c := range "abcdefgh" {
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				work(string(c), c >= 'e' && c != 'h')
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(order, []string{"a", "b", "e", "f", "g", "c", "d", "h"}) {
			t.Errorf("%q", order)
		}
		if turns.free != 2 {
			t.Errorf("%d turns are free", turns.free)
		}
	})
}

// TestTurnsGivenUp: who does not wait any longer takes no turn from others.
func TestTurnsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		if err := turns.take(t.Context(), false, netip.Prefix{}); err != nil {
			t.Fatal(err)
		}
		for i := range maxInLine {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%3)*time.Second)
				defer cancel()
				if err := turns.take(ctx, false, netip.Prefix{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if err := turns.take(t.Context(), false, netip.Prefix{}); !errors.Is(err, ErrCrowded) {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		turns.give()
		if turns.free != 1 || len(turns.strange) != 0 {
			t.Errorf("%d free, %d wait", turns.free, len(turns.strange))
		}
		// A turn that comes as its waiter gives up goes to the next one.
		if err := turns.take(t.Context(), true, netip.Prefix{}); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- turns.take(ctx, true, netip.Prefix{}) }()
			synctest.Wait()
			go cancel()
			turns.give()
			if err := <-done; err == nil {
				turns.give()
			}
			if err := turns.take(t.Context(), false, netip.Prefix{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
