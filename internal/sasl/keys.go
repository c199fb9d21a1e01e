package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

const (
	// MinIterations is the least number of iterations of a key (rfc7677#4).
	MinIterations = 4096
	// MaxIterations is the greatest: a telephone has to compute them at every login.
	MaxIterations = 1 << 20
	// MinSalt and MaxSalt are the bounds of a salt, in octets.
	MinSalt, MaxSalt = 8, 64
)

// Hash is the hash function of a SCRAM mechanism.
type Hash uint8

const (
	SHA256 Hash = iota // SCRAM-SHA-256 (RFC 7677)
	SHA1               // SCRAM-SHA-1 (RFC 5802)
)

func (h Hash) new() hash.Hash {
	if h == SHA1 {
		return sha1.New()
	}
	return sha256.New()
}

// Size is the length of each part of a Key, in octets.
func (h Hash) Size() int {
	if h == SHA1 {
		return sha1.Size
	}
	return sha256.Size
}

// Keys are what SCRAM needs of an account. A name without one has them, too, so
// that both look the same on the wire: the caller makes them up, the same ones
// each time for the same name.
type Keys struct {
	Salt       []byte
	Iterations int
	// Candidates are the keys of all secrets of the account, which share the salt.
	// The caller fills them up to a number that is the same for all names; every one
	// of them is tried, always.
	Candidates []Key
}

// Key is what a server keeps of a secret, by one hash function: it suffices to
// check a proof, not to make one.
type Key struct{ Stored, Server []byte }

// SaltedKeys makes the key of a password (rfc5802#3).
//
// The password is prepared by SASLprep (rfc5802#2.2), because clients that
// prepare it do it so; for printable ASCII that changes nothing. One that
// SASLprep refuses, as a newer character than Unicode 3.2 makes it do, is taken
// as it is: clients that do not prepare can use it, and the others could not
// anyway. To prepare it before by the OpaqueString profile (RFC 8265) makes no
// difference to what SASLprep takes, because it keeps more distinctions.
func SaltedKeys(hash Hash, password string, salt []byte, iterations int) (Key, error) {
	switch {
	case hash > SHA1:
		return Key{}, fmt.Errorf("hash function %d is not one of SCRAM's", hash)
	case password == "" || len(password) > MaxSecret || !utf8.ValidString(password):
		return Key{}, fmt.Errorf("a password is 1 to %d octets of UTF-8; this one is not", MaxSecret)
	case iterations < MinIterations || iterations > MaxIterations:
		return Key{}, fmt.Errorf("%d iterations are not between %d and %d", iterations, MinIterations, MaxIterations)
	case len(salt) < MinSalt || len(salt) > MaxSalt:
		return Key{}, fmt.Errorf("a salt of %d octets is not between %d and %d", len(salt), MinSalt, MaxSalt)
	}
	salted, err := pbkdf2.Key(hash.new, normalize(password), salt, iterations, hash.Size())
	if err != nil {
		return Key{}, fmt.Errorf("make a key of a password: %w", err)
	}
	client := hash.hmac(salted, []byte("Client Key"))
	return Key{Stored: hash.sum(client), Server: hash.hmac(salted, []byte("Server Key"))}, nil
}

// normalize is the function of that name (rfc5802#2.2).
func normalize(s string) string {
	if p, err := stringprep.SASLprep.Prepare(s); err == nil && p != "" {
		return p
	}
	return s
}

func (h Hash) hmac(key, text []byte) []byte {
	m := hmac.New(h.new, key)
	m.Write(text)
	return m.Sum(nil)
}

func (h Hash) sum(text []byte) []byte {
	d := h.new()
	d.Write(text)
	return d.Sum(nil)
}
