package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// Cost is the cost of argon2id (rfc9106#4, OWASP's second choice): 19 MiB,
// 2 passes, 32 ms on the machine it was measured on.
type Cost struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// DefaultCost is the cost of new main passwords.
func DefaultCost() Cost { return Cost{Memory: 19 << 10, Passes: 2, Threads: 1} }

const (
	saltSize = 16
	hashSize = 32
	// MaxPassword is the longest main password, in octets.
	MaxPassword = 1024
)

// HashPassword makes the PHC string of a main password. random gives the salt.
func HashPassword(password string, cost Cost, random io.Reader) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty; give at least one character, better twelve")
	}
	if len(password) > MaxPassword {
		return "", fmt.Errorf("the password is longer than %d octets", MaxPassword)
	}
	if cost.Memory > MaxMemory || uint64(cost.Memory)*uint64(cost.Passes) > MaxMemoryPasses {
		return "", fmt.Errorf("the cost of %d KiB and %d passes is more than a login may cost: at most %d KiB, and %d KiB with all passes together",
			cost.Memory, cost.Passes, MaxMemory, MaxMemoryPasses)
	}
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	return phc(prepare(password), salt, cost), nil
}

// prepare brings the forms in which devices send one password to one (rfc4616#2
// asks for it; rfc8265#4.2 OpaqueString is today's way). What the profile
// refuses is used as it is.
func prepare(password string) string {
	p, err := precis.OpaqueString.String(password)
	if err != nil {
		return password
	}
	return p
}

func phc(password string, salt []byte, c Cost) string {
	key := argon2.IDKey([]byte(password), salt, c.Passes, c.Memory, c.Threads, hashSize)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Passes, c.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// matches is Matches, for the checker.
func matches(password, stored string) (bool, error) { return Matches(password, stored) }

// The form of an app password: 5 groups of 8 characters, 200 bits; the first
// group is its public id, the other 160 bits are the secret.
const (
	appGroups   = 5
	appGroup    = 8
	appSize     = appGroups * appGroup
	appAlphabet = "abcdefghijkmnpqrstuvwxyz23456789" // no l, o, 0, 1
)

// NewAppPassword draws an app password and returns it as its owner gets it, once:
// "k3v9mpqr-…". id is its public first group.
func NewAppPassword(random io.Reader) (password, id string, err error) {
	raw := make([]byte, appSize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("draw an app password: %w", err)
	}
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%appGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(appAlphabet[c&31])
	}
	return b.String(), b.String()[:appGroup], nil
}

// parseAppPassword recognizes an app password, with or without its hyphens, in
// any case; people retype them from a screen.
func parseAppPassword(secret string) (canonical, id string, ok bool) {
	if len(secret) < appSize || len(secret) > appSize+2*appGroups {
		return "", "", false
	}
	var b [appSize]byte
	n := 0
	for i := 0; i < len(secret); i++ {
		c := secret[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c == '-' || c == ' ' {
			continue
		}
		if n == appSize || strings.IndexByte(appAlphabet, c) < 0 {
			return "", "", false
		}
		b[n] = c
		n++
	}
	if n != appSize {
		return "", "", false
	}
	return string(b[:]), string(b[:appGroup]), true
}

// grouped is the canonical form as its owner sees it, which is the one that
// SCRAM takes: a client proves what was typed.
func grouped(canonical string) string {
	var b strings.Builder
	for i := 0; i < len(canonical); i += appGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(canonical[i : i+appGroup])
	}
	return b.String()
}

// AppPasswordMAC is what is stored of an app password: HMAC-SHA-256 under the
// key of the installation, over the canonical form.
func AppPasswordMAC(key []byte, password string) ([]byte, error) {
	canonical, _, ok := parseAppPassword(password)
	if !ok {
		return nil, errors.New("this is not the form of an app password")
	}
	return mac(key, canonical), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
