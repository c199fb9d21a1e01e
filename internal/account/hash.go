package account

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What the check of one password may cost, whatever its stored hash asks for:
// some 256 MiB and some seconds. Hashes that ask for more are not imported, and
// are not computed if they are in the store all the same. The defaults of the
// programs that make them are far below.
const (
	// MaxMemory is the memory of argon2 and yescrypt, in KiB; with the bound on
	// concurrent computations (NewChecker) it bounds what logins take.
	MaxMemory = 256 << 10
	// MaxMemoryPasses is memory in KiB times passes: 64 MiB 16 times.
	MaxMemoryPasses = 1 << 20
	// MaxBcryptCost is the logarithm of the rounds: a second or two.
	MaxBcryptCost = 14
	// MaxRounds is for SHA-crypt; passlib takes 656,000 by default.
	MaxRounds = 1_000_000
	// MaxIterations is for PBKDF2, and so for SCRAM.
	MaxIterations = 2_000_000
	// MaxForeignPassword is the longest password that is tried with other programs'
	// hashes, in octets: the work of SHA-crypt grows with it.
	MaxForeignPassword = 256
	// MaxHash is the longest stored text, in octets.
	MaxHash = 1024
)

// errHash means that a stored hash cannot be read: our trouble, not the user's.
var errHash = errors.New("the stored password hash cannot be read")

// unreadable is errHash with the rule that the hash breaks; the hash itself is
// never said.
func unreadable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errHash, fmt.Sprintf(format, args...))
}

// secretHash is a stored hash that has been read and is within the limits.
type secretHash interface {
	// matches does the one computation, over the octets of the password, and
	// compares in constant time.
	matches(password string) bool
}

// parseHash reads a stored hash. Its forms are
//
//	$argon2id$…                       ours, over the prepared password
//	$argon2i$ $2y$ $6$ $5$ $1$ $apr1$ $y$   of other programs, as they made it
//	{SCHEME}text                      what does not say by itself what it is
func parseHash(stored string) (secretHash, error) {
	if len(stored) > MaxHash {
		return nil, unreadable("it has %d octets, more than %d", len(stored), MaxHash)
	}
	if scheme, text, ok := cutScheme(stored); ok {
		return parseSchemeHash(scheme, text)
	}
	if strings.HasPrefix(stored, "$argon2id$") {
		h, err := parseArgon2(stored)
		if err != nil {
			return nil, err
		}
		return ours{h}, nil
	}
	return parseCrypt(stored)
}

// parseSchemeHash reads a text whose scheme is known.
func parseSchemeHash(scheme, text string) (secretHash, error) {
	switch scheme {
	case "ARGON2ID", "ARGON2I":
		return parseArgon2(text)
	case "SCRAM-SHA-256", "SCRAM-SHA-1":
		return parseSCRAM(scheme, text)
	case "PBKDF2":
		return parsePBKDF2(text)
	}
	if d, ok := digestOf(scheme); ok {
		return d.parse(text)
	}
	return nil, unreadable("its scheme is not one that is stored")
}

// cutScheme splits "{SCHEME}text"; the scheme in upper case.
func cutScheme(stored string) (scheme, text string, ok bool) {
	if !strings.HasPrefix(stored, "{") {
		return "", stored, false
	}
	scheme, text, ok = strings.Cut(stored[1:], "}")
	if !ok {
		return "", stored, false
	}
	return strings.ToUpper(scheme), text, true
}

// ours is a hash that HashPassword made.
type ours struct{ argon2Hash }

// matches prepares the password first, as HashPassword did.
func (h ours) matches(password string) bool { return h.argon2Hash.matches(prepare(password)) }

// Matches does the computation that a stored hash asks for, and compares. Other
// programs hashed the octets that they were given, so for their hashes the
// password is tried as it was typed, and where preparing changes it, in the
// prepared form too. An error means that the stored hash cannot be read or
// exceeds the limits.
func Matches(password, stored string) (bool, error) {
	h, err := parseHash(stored)
	if err != nil {
		return false, err
	}
	if _, own := h.(ours); own {
		return h.matches(password), nil
	}
	if len(password) > MaxForeignPassword {
		return false, nil
	}
	if h.matches(password) {
		return true, nil
	}
	p := prepare(password)
	return p != password && len(p) <= MaxForeignPassword && h.matches(p), nil
}

// NeedsUpgrade reports whether a stored hash should be made anew when its
// password is known, at a login: unless it is argon2id and costs a guesser no
// less than cost. What cannot be read is left as it is.
func NeedsUpgrade(stored string, cost Cost) bool {
	h, err := parseHash(stored)
	if err != nil {
		return false
	}
	var a argon2Hash
	switch h := h.(type) {
	case ours:
		a = h.argon2Hash
	case argon2Hash:
		a = h
	}
	return !a.id || a.memory < cost.Memory || a.passes < cost.Passes || len(a.salt) < saltSize || len(a.want) < hashSize
}

// number reads a decimal number of 1 to most, without sign or leading zero.
func number(text string, most int) (int, error) {
	if text == "" || text[0] < '1' || text[0] > '9' || len(text) > 10 {
		return 0, errors.New("a parameter is not a number above zero")
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("a parameter is not a number")
	}
	if n > most {
		return 0, fmt.Errorf("it asks for %d rounds, more than %d, which a login must not cost", n, most)
	}
	return n, nil
}
