package queue

import (
	"strings"
	"testing"
)

// FuzzID: a text is one queue ID or none, and an ID has one text.
func FuzzID(f *testing.F) {
	f.Add("000000000000", uint64(0))
	f.Add("zzzzzzzzzzzz", uint64(1)<<59)
	f.Add("0123-4567-89", uint64(42))
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		if id, err := ParseID(s); err == nil && id.String() != strings.ToLower(s) {
			t.Fatalf("%q is the ID %s", s, id)
		}
		id := ID(n & (1<<60 - 1))
		if again, err := ParseID(id.String()); err != nil || again != id {
			t.Fatalf("%d is written %s and read as %d, %v", id, id, again, err)
		}
	})
}
