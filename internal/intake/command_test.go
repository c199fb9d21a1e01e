package intake

import (
	"testing"

	"github.com/onwardmail/onward/internal/account"
)

// TestInCommands: a name that a shell would take apart, or an option, gives way to
// the id, which is always one plain word.
func TestInCommands(t *testing.T) {
	for name, want := range map[string]string{
		"phone": "phone", "scanner-2.og_3": "scanner-2.og_3", "": "bbbbbbbb", "my phone": "bbbbbbbb", "--sender": "bbbbbbbb",
		"Téléphone": "bbbbbbbb", "é": "bbbbbbbb", "a;b": "bbbbbbbb", "$(id)": "bbbbbbbb",
	} {
		if got := inCommands(&account.AppPassword{ID: "bbbbbbbb", Name: name}); got != want {
			t.Errorf("inCommands(%q) = %q, want %q", name, got, want)
		}
	}
}
