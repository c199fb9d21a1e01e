package control

import (
	"testing"
	"time"
)

// FuzzMoments: an expiry lies ahead, a beginning does not lie further back than
// a hundred years of spans, and a span is what its unit says.
func FuzzMoments(f *testing.F) {
	for _, s := range []string{"", "never", "90d", "1h30m", "1.5w", "-3d", "NaNd", "1e300w", "2027-01-31", "2026-11-23T14:05:00Z", "2026-11-23 14:05", "9999-12-31"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := ParseExpiry(text, now); err == nil && !at.IsZero() && at.Before(now.Truncate(time.Second)) {
			t.Fatalf("%q expires %s", text, at)
		}
		d, ok := parseSpan(text)
		if ok && d.Abs() > maxAhead {
			t.Fatalf("%q is %s", text, d)
		}
		if at, err := ParseSince(text, now); err == nil && ok && d > 0 && now.Sub(at) != d {
			t.Fatalf("%q ago is %s", text, at)
		}
	})
}
