package queue

import (
	"fmt"
	"strings"
	"testing"
)

// The table of the architecture, written a second time and in words, so that a
// slip in the one is seen by the other. A cell is the state that follows with
// its effects; «·» must not happen.
const architecture = `
state      | claim   | 2xx       | 4xx or trouble     | 5xx             | lease over               | expired         | hold                 | release         | remove               | restart
offered    | ·       | delivered | waiting reschedule | offered delete  | waiting now              | ·               | ·                    | ·               | ·                    | offered delete
waiting    | claimed | ·         | ·                  | ·               | ·                        | reported report | held                 | ·               | removed              | waiting
claimed    | ·       | delivered | waiting reschedule | reported report | waiting twice now        | ·               | claimed afterattempt | ·               | claimed afterattempt | waiting twice now
held       | ·       | ·         | ·                  | ·               | ·                        | ·               | ·                    | waiting now     | removed              | held
delivered  | ·       | ·         | ·                  | ·               | ·                        | ·               | ·                    | ·               | ·                    | ·
reported   | ·       | ·         | ·                  | ·               | ·                        | ·               | ·                    | ·               | ·                    | ·
suppressed | ·       | ·         | ·                  | ·               | ·                        | ·               | ·                    | ·               | ·                    | ·
discarded  | ·       | ·         | ·                  | ·               | ·                        | ·               | ·                    | ·               | ·                    | ·
removed    | ·       | ·         | ·                  | ·               | ·                        | ·               | ·                    | ·               | ·                    | ·
`

func cells(line string) []string {
	parts := strings.Split(line, "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// inWords writes a transition as the table above does.
func inWords(t Transition) string {
	words := []string{t.To.String()}
	for _, e := range []struct {
		effect Effect
		word   string
	}{
		{MayGoTwice, "twice"},
		{Reschedule, "reschedule"},
		{Report, "report"},
		{AfterAttempt, "afterattempt"},
		{DeleteRow, "delete"},
		{DueNow, "now"},
	} {
		if t.Effects&e.effect != 0 {
			words = append(words, e.word)
		}
	}
	return strings.Join(words, " ")
}

func TestTable(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(architecture), "\n")
	head := cells(lines[0])
	if len(lines)-1 != len(States()) || len(head)-1 != len(Events()) {
		t.Fatalf("the table has %d states and %d events; there are %d and %d", len(lines)-1, len(head)-1, len(States()), len(Events()))
	}
	for i, s := range States() {
		row := cells(lines[i+1])
		if row[0] != s.String() {
			t.Fatalf("row %d is %q and should be %q", i, row[0], s)
		}
		for j, e := range Events() {
			if head[j+1] != e.String() {
				t.Fatalf("column %d is %q and should be %q", j, head[j+1], e)
			}
			got := "·"
			if tr, ok := Step(s, e); ok {
				got = inWords(tr)
			}
			if got != row[j+1] {
				t.Errorf("%s × %s: %q, want %q", s, e, got, row[j+1])
			}
		}
	}
}

// TestLife walks every sequence of five events from every first state: no
// sequence leaves a terminal state, and a recipient ceases to exist only while
// no 250 has been said.
func TestLife(t *testing.T) {
	var walk func(s State, path string, depth int)
	walk = func(s State, path string, depth int) {
		if depth == 0 {
			return
		}
		for _, e := range Events() {
			tr, ok := Step(s, e)
			if !ok {
				if tr != (Transition{}) {
					t.Fatalf("%s × %s is not allowed and gives %v", path, e, tr)
				}
				continue
			}
			if s.Terminal() {
				t.Fatalf("%s: %s leaves the terminal state %s", path, e, s)
			}
			if tr.Effects&DeleteRow != 0 && s != Offered {
				t.Fatalf("%s: %s deletes a recipient that is %s", path, e, s)
			}
			if tr.Effects&Report != 0 && tr.To != Reported {
				t.Fatalf("%s: %s reports and leads to %s", path, e, tr.To)
			}
			walk(tr.To, path+" "+e.String(), depth-1)
		}
	}
	for _, s := range []State{Offered, Waiting, Claimed, Held} {
		walk(s, s.String(), 5)
	}
}

func TestStepOutside(t *testing.T) {
	for _, c := range []struct {
		s State
		e Event
	}{{0, Claim}, {Removed + 1, Claim}, {255, 255}, {Waiting, 0}, {Waiting, Restart + 1}} {
		if tr, ok := Step(c.s, c.e); ok {
			t.Errorf("Step(%d, %d) = %v", c.s, c.e, tr)
		}
	}
	if got := fmt.Sprint(State(200), Event(200), State(0)); got != "unknown none unknown" {
		t.Errorf("names outside the table: %s", got)
	}
}

func TestSettle(t *testing.T) {
	for _, c := range []struct {
		state   State
		pending Event
		want    State
	}{
		{Waiting, 0, Waiting},
		{Waiting, Hold, Held},
		{Waiting, Remove, Removed},
		{Delivered, Hold, Delivered},
		{Delivered, Remove, Delivered},
		{Reported, Remove, Reported},
		{Suppressed, Hold, Suppressed},
	} {
		if got := Settle(c.state, c.pending); got != c.want {
			t.Errorf("Settle(%s, %s) = %s, want %s", c.state, c.pending, got, c.want)
		}
	}
}
