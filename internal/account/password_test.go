package account

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
)

// TestMatches has a vector of the reference implementation of argon2
// (phc-winner-argon2, test.c: «hashtest(version, 2, 8, 1, "password",
// "somesalt", …» for argon2id), and hashes that cannot be read.
func TestMatches(t *testing.T) {
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for password, want := range map[string]bool{"password": true, "Password": false, "": false, "password ": false} {
		if got, err := matches(password, vector); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	for _, stored := range []string{
		"", "plain", "$argon2d$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=0,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1,p=0$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=8,t=1,p=1$!$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=-8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1,p=999$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if ok, err := matches("x", stored); ok || !errors.Is(err, errHash) {
			t.Errorf("%q: %v, %v", stored, ok, err)
		}
	}
}

func TestHashPassword(t *testing.T) {
	for _, bad := range []string{"", strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword(bad, cheap(), rand.Reader); err == nil {
			t.Errorf("a password of %d octets was taken", len(bad))
		}
	}
	if _, err := HashPassword("x", cheap(), bytes.NewReader(nil)); err == nil {
		t.Error("it worked without randomness")
	}
	// The two forms of é, and spaces that differ (rfc8265#4.2.2).
	for set, typed := range map[string]string{"caf\u00e9": "cafe\u0301", "a\u00a0b": "a b", strings.Repeat("x", MaxPassword): strings.Repeat("x", MaxPassword)} {
		h, err := HashPassword(set, cheap(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := matches(typed, h); !ok || err != nil {
			t.Errorf("%q does not match %q: %v", typed, set, err)
		}
		again, err := HashPassword(set, cheap(), rand.Reader)
		if err != nil || again == h {
			t.Errorf("two hashes of one password are alike: %v", err)
		}
	}
}

func TestAppPassword(t *testing.T) {
	secret, id, err := NewAppPassword(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if len(secret) != 44 || !strings.HasPrefix(secret, id+"-") || len(id) != 8 {
		t.Fatalf("it is %q, id %q", secret, id)
	}
	bare := strings.ReplaceAll(secret, "-", "")
	for _, form := range []string{secret, bare, strings.ToUpper(secret), " " + strings.ReplaceAll(secret, "-", " ") + " ", bare[:3] + "-" + bare[3:]} {
		canonical, got, ok := parseAppPassword(form)
		if !ok || canonical != bare || got != id {
			t.Errorf("%q is read as %q, %q, %v", form, canonical, got, ok)
		}
	}
	for _, form := range []string{
		"", bare[1:], bare + "a", bare[:39] + "1", bare[:39] + "l", bare[:38] + "é", strings.Repeat(" ", 45), bare + strings.Repeat("-", 20), bare + "\n",
	} {
		if _, _, ok := parseAppPassword(form); ok {
			t.Errorf("%q is taken for an app password", form)
		}
	}
	if _, _, err := NewAppPassword(bytes.NewReader(nil)); err == nil {
		t.Error("it worked without randomness")
	}
	if _, err := AppPasswordMAC(key, "no"); err == nil {
		t.Error("a MAC of something else was made")
	}
}

// FuzzParseAppPassword: what is read has the form, and its canonical form is
// read as itself.
func FuzzParseAppPassword(f *testing.F) {
	f.Add("abcdefgh-abcdefgh-abcdefgh-abcdefgh-23456789")
	f.Add("ABCDEFGH ABCDEFGH abcdefghabcdefgh23456789")
	f.Add(strings.Repeat("-", 50))
	f.Fuzz(func(t *testing.T, s string) {
		canonical, id, ok := parseAppPassword(s)
		if !ok {
			if canonical != "" || id != "" {
				t.Fatalf("%q is refused with %q, %q", s, canonical, id)
			}
			return
		}
		if len(canonical) != appSize || canonical[:appGroup] != id || strings.Trim(canonical, appAlphabet) != "" {
			t.Fatalf("%q is read as %q, %q", s, canonical, id)
		}
		if again, _, ok := parseAppPassword(canonical); !ok || again != canonical {
			t.Fatalf("%q is read as %q, and that as %q", s, canonical, again)
		}
	})
}
