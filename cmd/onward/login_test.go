package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

// TestFailureTable: rows that differ in the mechanism only can be told apart, the
// app password is named, and 80 columns are enough.
func TestFailureTable(t *testing.T) {
	failure := func(mechanism, app string) control.LoginFailure {
		f := control.LoginFailure{Meaning: "The password is wrong."}
		f.Failure = account.Failure{
			Reference: "abcd-efgh-jkmn-pqrs", At: time.Date(2026, 11, 20, 9, 30, 0, 0, time.Local), Count: 3, Login: "anna@example.org",
			Remote: netip.MustParseAddr("2001:db8::7"), Mechanism: mechanism,
		}
		f.AppPasswordName = app
		return f
	}
	list := []control.LoginFailure{failure("PLAIN", ""), failure("SCRAM-SHA-256-PLUS", "phone")}
	for _, width := range []int{0, 80} {
		p, b := newTestPrinter(width)
		p.table(failureTable(list), "")
		p.flush()
		for _, want := range []string{"PLAIN", "SCRAM-SHA-256-PLUS", "phone: The password is wrong."} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("at %d columns the list lacks %q:\n%s", width, want, b)
			}
		}
		for line := range strings.Lines(b.String()) {
			if n := displayWidth(strings.TrimSuffix(line, "\n")); width > 0 && n > width {
				t.Errorf("a line has %d columns, want at most %d: %s", n, width, line)
			}
		}
	}
}

func TestWholeUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1 minute", 90 * time.Minute: "90 minutes", time.Hour: "1 hour", 36 * time.Hour: "36 hours",
		24 * time.Hour: "1 day", 90 * 24 * time.Hour: "90 days", 90 * time.Second: "90 seconds",
	} {
		if got := wholeUnits(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
