package web

import (
	"testing"

	"github.com/onwardmail/onward/internal/reference"
)

// TestWhoeverMustActIsToldHow: the side that is marked has something to do on
// every page of a code that says what the sides do. Else the box of whom the facts
// name says that there is nothing to do.
func TestWhoeverMustActIsToldHow(t *testing.T) {
	check := func(code string, who reference.Actor, key string) {
		sides := [...]string{senderSide: ".sender", adminSide: ".admin", receivingSide: ".receiver"}
		told := false
		for _, s := range sides {
			_, ok := reference.Sentence(reference.Fallback, key+s)
			told = told || ok
		}
		marked := sideOf(who, security(code))
		if !told || marked == noSide {
			return
		}
		if _, ok := reference.Sentence(reference.Fallback, key+sides[marked]); !ok {
			t.Errorf("%s: %s must act, and lang/en.toml has no %s", code, who, key+sides[marked])
		}
	}
	for _, b := range reference.Basics() {
		check(b.Key(), b.Who, b.Key())
	}
	for _, e := range reference.Enhanceds() {
		check(e.Code, e.Who, e.Key())
	}
}
