package explain

import (
	"testing"

	"github.com/onwardmail/onward/internal/reference"
)

// Every thing that a provider is known to say is recognised as what it is, from
// the text alone.
func TestProviderSamplesHaveTheirReason(t *testing.T) {
	rows := reference.Rows()
	right := 0
	for _, row := range rows {
		e := Line(row.Sample, Options{})
		switch {
		case e.Reason != row.Reason:
			t.Errorf("%s: %q is %s by row %q, want %s", row.ID, row.Sample, e.Reason, e.Row, row.Reason)
			continue
		case e.Code != row.Code:
			t.Errorf("%s: %q has code %d, want %d", row.ID, row.Sample, e.Code, row.Code)
		case e.Confidence < actOn:
			t.Errorf("%s: sure to %.2f only", row.ID, e.Confidence)
		}
		right++
	}
	t.Logf("%d of %d samples have their own reason", right, len(rows))
	if len(rows) != 300 {
		t.Errorf("%d rows, want 300: none may get lost", len(rows))
	}
}
