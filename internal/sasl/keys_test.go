package sasl

import (
	"bytes"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"
	"pgregory.net/rapid"
)

func TestNormalize(t *testing.T) {
	tests := []struct{ name, in, want string }{
		// The examples of RFC 4013, section 3; the last two are refused there.
		{"soft hyphen", "I\u00adX", "IX"},
		{"nothing to do", "user", "user"},
		{"case stays", "USER", "USER"},
		{"compatible letter", "\u00aa", "a"},
		{"compatible numeral", "\u2168", "IX"},
		{"control character", "\u0007", "\u0007"},
		{"two directions", "\u0627\u0031", "\u0627\u0031"},
		{"space of another kind", "gehe\u00a0im", "gehe im"},
		{"decomposed", "ju\u0308rgen", "jürgen"},
		{"newer than Unicode 3.2", "secret🦉", "secret🦉"},
		{"newer, and decomposed", "ju\u0308rgen🦉", "ju\u0308rgen🦉"},
		{"nothing left", "\u00ad", "\u00ad"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := normalize(tt.in); got != tt.want {
				t.Errorf("normalize(%+q) = %+q, want %+q", tt.in, got, tt.want)
			}
		})
	}
}

// TestPreparedBefore: who prepares passwords by OpaqueString gets the same keys.
func TestPreparedBefore(t *testing.T) {
	letters := rapid.SampledFrom([]rune("aé´u\u0308\u0301ªⅨ\u00a0\u3000\u00adßﬁ１\uac00\u1100\u1161ا\u034f"))
	took := 0
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.StringOfN(letters, 1, 8, -1).Draw(t, "password")
		opaque, err := precis.OpaqueString.String(password)
		if err != nil {
			return
		}
		if _, err := stringprep.SASLprep.Prepare(password); err != nil {
			return
		}
		took++
		if normalize(opaque) != normalize(password) {
			t.Fatalf("%+q gives %+q, and prepared before %+q", password, normalize(password), normalize(opaque))
		}
	})
	if took == 0 {
		t.Error("no password was fit for both")
	}
}

// TestSaltedKeys compares with another implementation.
func TestSaltedKeys(t *testing.T) {
	salt := []byte("sixteen octets.!")
	for hash, other := range map[Hash]xdg.HashGeneratorFcn{SHA256: xdg.SHA256, SHA1: xdg.SHA1} {
		for _, password := range []string{"pencil", "gehe im", "ju\u0308rgen", "\u2168", strings.Repeat("x", MaxSecret)} {
			key, err := SaltedKeys(hash, password, salt, MinIterations)
			if err != nil {
				t.Fatal(err)
			}
			client, err := other.NewClient("anna", password, "")
			if err != nil {
				t.Fatal(err)
			}
			want, err := client.GetStoredCredentialsWithError(xdg.KeyFactors{Salt: string(salt), Iters: MinIterations})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(key.Stored, want.StoredKey) || !bytes.Equal(key.Server, want.ServerKey) || len(key.Stored) != hash.Size() {
				t.Errorf("%d %+q: the keys differ", hash, password)
			}
		}
	}
}

func TestSaltedKeysRefuses(t *testing.T) {
	salt := make([]byte, MinSalt)
	tests := []struct {
		name       string
		hash       Hash
		password   string
		salt       []byte
		iterations int
		want       string
	}{
		{"hash function", 2, "pencil", salt, MinIterations, "hash function 2"},
		{"no password", SHA256, "", salt, MinIterations, "1 to 1024 octets"},
		{"long password", SHA256, strings.Repeat("x", MaxSecret+1), salt, MinIterations, "1 to 1024 octets"},
		{"not UTF-8", SHA256, "\xff", salt, MinIterations, "UTF-8"},
		{"few iterations", SHA256, "pencil", salt, MinIterations - 1, "4095 iterations"},
		{"many iterations", SHA256, "pencil", salt, MaxIterations + 1, "1048577 iterations"},
		{"short salt", SHA256, "pencil", salt[1:], MinIterations, "salt of 7 octets"},
		{"long salt", SHA256, "pencil", make([]byte, MaxSalt+1), MinIterations, "salt of 65 octets"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := SaltedKeys(tt.hash, tt.password, tt.salt, tt.iterations)
			if err == nil || !strings.Contains(err.Error(), tt.want) || key.Stored != nil || key.Server != nil {
				t.Errorf("got %v, %v", key, err)
			}
			if err != nil && tt.password != "" && strings.Contains(err.Error(), tt.password) {
				t.Error("the error tells the password")
			}
		})
	}
	if _, err := SaltedKeys(SHA256, "pencil", make([]byte, MaxSalt), MinIterations); err != nil {
		t.Error(err)
	}
}
