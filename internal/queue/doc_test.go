package queue

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of states in docs/ARCHITECTURE.md")

// TestDoc holds the table in the document against the one in the code.
func TestDoc(t *testing.T) {
	const file, begin, end = "../../docs/ARCHITECTURE.md", "<!-- states:begin -->\n", "<!-- states:end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no mark %q", file, begin)
	}
	old, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no mark %q", file, end)
	}
	want := stateTable()
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != want {
		t.Errorf("the table in %s is not the one in state.go; run: go test ./internal/queue -run TestDoc -update\nwant:\n%s", file, want)
	}
}

// stateTable draws the table of states as Markdown.
func stateTable() string {
	var b strings.Builder
	b.WriteString("| state |")
	for _, e := range Events() {
		b.WriteString(" " + e.String() + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(Events())) + "\n")
	for _, s := range States() {
		b.WriteString("| " + s.String() + " |")
		for _, e := range Events() {
			b.WriteString(" " + cell(s, e) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func cell(s State, e Event) string {
	t, ok := Step(s, e)
	if !ok {
		return ""
	}
	text := t.To.String()
	for _, f := range []struct {
		effect Effect
		words  string
	}{
		{Reschedule, ", due later"},
		{Report, " or suppressed"},
		{MayGoTwice, ", «may go twice»"},
		{AfterAttempt, ", then " + e.String()},
		{DeleteRow, ": row deleted"},
		{DueNow, ", due now"},
	} {
		if t.Effects&f.effect != 0 {
			text += f.words
		}
	}
	return text
}
