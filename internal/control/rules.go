package control

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/reference"
)

// Rules of main passwords. App passwords are drawn, so they need none.
const (
	// GoodPassword is how many characters a main password should have, and
	// goodDistinct how many of them should differ; less draws a warning. The
	// administrator decides, so it is no refusal.
	GoodPassword = 10
	goodDistinct = 5
)

// checkPassword refuses a password that is guessed at once.
func checkPassword(login, password string) error {
	local, _, _ := strings.Cut(login, "@")
	low := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		return fail(Invalid, "the password is not valid UTF-8 text")
	case len(password) > account.MaxPassword:
		return fail(Invalid, "the password has %d octets; at most %d", len(password), account.MaxPassword)
	case !printable(password):
		return fail(Invalid, "the password has a character that cannot be typed; use letters, digits, signs and spaces")
	case account.IsAppPassword(password):
		return fail(Invalid, "the password has the form of an app password and would be taken for one; choose another")
	case low == login || low == local:
		return fail(Invalid, "the password is the name of the account; choose another")
	}
	return nil
}

// weakness says why a password that is allowed is soon guessed, "" if it is not.
func weakness(password string) string {
	switch n := utf8.RuneCountInString(password); {
	case n < GoodPassword:
		return fmt.Sprintf("the password has only %d characters; take at least %d, a few words are better than one with signs", n, GoodPassword)
	case distinct(strings.ToLower(password)) < goodDistinct:
		return fmt.Sprintf("the password has only %d different characters; take at least %d", distinct(strings.ToLower(password)), goodDistinct)
	}
	return ""
}

func distinct(s string) int {
	seen := make(map[rune]bool)
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// maxAhead is the largest span of time that is read: 100 years.
const maxAhead = 100 * 365 * 24 * time.Hour

// ParseExpiry reads an expiry: "" or "never" (zero), a span from now such as
// 90d, 2w or 12h, or a date, which is valid to the end of its day in local
// time. What lies in the past is refused.
func ParseExpiry(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "never" {
		return time.Time{}, nil
	}
	if d, ok := parseSpan(text); ok {
		if d <= 0 {
			return time.Time{}, fail(Invalid, "the expiry %q is not in the future; write a span such as 90d", text)
		}
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	day, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		return time.Time{}, fail(Invalid, "the expiry %q cannot be read; write a span such as 12h, 90d or 2w, a date such as 2027-01-31, or never", text)
	}
	end := day.AddDate(0, 0, 1).UTC()
	if !end.After(now) {
		return time.Time{}, fail(Invalid, "the expiry %s has passed; write a date that lies ahead", text)
	}
	return end, nil
}

// ParseSince reads a moment in the past: "" (zero), a span such as 2h or 7d, a
// date, or a time such as 2026-11-23T14:05:00Z.
func ParseSince(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if d, ok := parseSpan(text); ok && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fail(Invalid, "the time %q cannot be read; write a span such as 2h or 7d, or a date such as 2026-11-23", text)
}

// parseSpan reads a number and a unit: s, m, h, d or w; also 1h30m.
func parseSpan(text string) (time.Duration, bool) {
	units := map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}
	for suffix, unit := range units {
		if number, found := strings.CutSuffix(text, suffix); found {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || math.IsNaN(n) || math.Abs(n)*float64(unit) > float64(maxAhead) {
				return 0, false
			}
			return time.Duration(n * float64(unit)), true
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d.Abs() <= maxAhead
}

// explained adds to a failed login what its cause means.
func explained(f account.Failure, lang string) LoginFailure {
	e, _ := reference.Login(reference.Match(lang), string(f.Cause))
	e = e.For(f.Login, f.AppPassword)
	return LoginFailure{Failure: f, Meaning: e.Meaning, Fix: e.Fix}
}

// cleanReference takes what people copy: the whole link, spaces, case, a full stop,
// hyphens left out. Sixteen characters are put into groups of four again.
func cleanReference(s string) string {
	s = strings.ToLower(strings.Trim(strings.TrimSpace(s), ".,;:()[]<>\"'«»"))
	link := s
	if i := strings.IndexAny(link, "?#"); i >= 0 {
		link = link[:i]
	}
	if strings.Contains(link, "/") { // that of a reply ends with it
		link = strings.TrimRight(link, "/")
		s = link[strings.LastIndexByte(link, '/')+1:]
	}
	bare := strings.NewReplacer("-", "", " ", "").Replace(s)
	const size, group = 16, 4
	if len(bare) != size {
		return s
	}
	return bare[:group] + "-" + bare[group:2*group] + "-" + bare[2*group:3*group] + "-" + bare[3*group:]
}
