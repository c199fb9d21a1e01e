package queue

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/onwardmail/onward/internal/address"
)

func TestIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.Int64Range(0, 1<<60-1).Draw(t, "id"))
		s := id.String()
		if len(s) != 12 {
			t.Fatalf("%q has %d characters", s, len(s))
		}
		for _, form := range []string{s, strings.ToUpper(s)} {
			if back, err := ParseID(form); err != nil || back != id {
				t.Fatalf("ParseID(%q) = %v, %v; want %d", form, back, err, id)
			}
		}
		coded, err := json.Marshal(id)
		var back ID
		if err != nil || json.Unmarshal(coded, &back) != nil || back != id {
			t.Fatalf("JSON %s gives %d, want %d", coded, back, id)
		}
	})
}

func TestParseIDRefuses(t *testing.T) {
	for _, s := range []string{"", "0", "0000000000000", "00000000000u", "00000000000!", "00000000000é", "0000000000 0"} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v", s, id)
		} else if !strings.Contains(err.Error(), "queue id") {
			t.Errorf("ParseID(%q): %v does not say what is meant", s, err)
		}
	}
}

func TestIDsRise(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		ids := NewIDs(rapid.Uint64().Draw(t, "seed"))
		var last ID
		at := now
		for range 50 {
			// The clock may stand still or go back.
			at = at.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "step")) * time.Millisecond)
			id := ids.Next(at)
			if id <= last {
				t.Fatalf("%v after %v", id, last)
			}
			last = id
		}
	})
}

func TestIDTime(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 30, 0, 123e6, time.UTC)
	for _, seed := range []uint64{0, 1, 1<<64 - 1} {
		if got := NewIDs(seed).Next(now).Time(); !got.Equal(now) {
			t.Errorf("seed %d: %s, want %s", seed, got, now)
		}
	}
}

func TestIDsOfMany(t *testing.T) {
	ids := NewIDs(7)
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards seen
	seen := make(map[ID]bool)
	for range 8 {
		wg.Go(func() {
			for range 200 {
				id := ids.Next(now)
				mu.Lock()
				if seen[id] {
					t.Errorf("%v came twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestRecipientID(t *testing.T) {
	id := NewIDs(0).Next(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	if got := (RecipientID{id, 3}).String(); got != id.String()+"/3" {
		t.Error(got)
	}
}

func TestDestination(t *testing.T) {
	if d := ToRoute("*"); d != "route:*" {
		t.Error(d)
	}
	if p, ok := ToRoute("example.net").Route(); !ok || p != "example.net" {
		t.Error(p, ok)
	}
	if p, ok := ToDomain(address.MustDomain("EXAMPLE.net")).Route(); ok {
		t.Errorf("a domain is no route, but gives %q", p)
	}
	if ToDomain(address.MustDomain("EXAMPLE.net")) != ToDomain(address.MustDomain("example.NET")) {
		t.Error("two spellings of a domain are two destinations")
	}
}
