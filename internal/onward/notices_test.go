package onward

import (
	"context"
	"testing"
)

// TestOwnersCommands: notices name what owners can type exactly where there is a
// socket for them.
func TestOwnersCommands(t *testing.T) {
	for text, own := range map[string]bool{"": false, "accounts = \"accounts.sock\"\n": true} {
		s, err := New(context.Background(), Options{Cost: cheap, Config: load(t, t.TempDir(), onLoopback+text)})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if s.owners.own != own {
			t.Errorf("with %q owners manage their accounts: %v, want %v", text, s.owners.own, own)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
