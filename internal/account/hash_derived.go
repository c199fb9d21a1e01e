package account

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
)

// pbkdf2Hash is Dovecot's {PBKDF2}: $1$salt$iterations$key, the key by
// HMAC-SHA-1 and in hex, the salt as it stands.
type pbkdf2Hash struct {
	salt       string
	iterations int
	want       []byte
}

func parsePBKDF2(text string) (secretHash, error) {
	const maxSalt = 64
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "1" || parts[2] == "" || len(parts[2]) > maxSalt {
		return nil, unreadable("it is not $1$salt$iterations$key, as Dovecot writes PBKDF2")
	}
	n, err := number(parts[3], MaxIterations)
	if err != nil {
		return nil, unreadable("of its iterations: %v", err)
	}
	want, err := hex.DecodeString(parts[4])
	if err != nil || len(want) != sha1.Size {
		return nil, unreadable("its key is not %d octets in hexadecimal", sha1.Size)
	}
	return pbkdf2Hash{parts[2], n, want}, nil
}

func (h pbkdf2Hash) matches(password string) bool {
	got, err := pbkdf2.Key(sha1.New, password, []byte(h.salt), h.iterations, len(h.want))
	return err == nil && subtle.ConstantTimeCompare(got, h.want) == 1
}

// scramHash is what SCRAM keeps of a password (rfc5802#3), as Dovecot writes it:
// iterations,salt,StoredKey,ServerKey, all but the first in base64.
type scramHash struct {
	hash       func() hash.Hash
	iterations int
	salt       []byte
	key        Key
}

func parseSCRAM(scheme, text string) (scramHash, error) {
	const minSalt, maxSalt = 4, 64
	h := scramHash{hash: sha256.New}
	if scheme == "SCRAM-SHA-1" {
		h.hash = sha1.New
	}
	size := h.hash().Size()
	parts := strings.Split(text, ",")
	if len(parts) != 4 {
		return h, unreadable("it is not iterations,salt,StoredKey,ServerKey, as Dovecot writes SCRAM")
	}
	var err error
	if h.iterations, err = number(parts[0], MaxIterations); err != nil {
		return h, unreadable("of its iterations: %v", err)
	}
	if h.salt, err = base64.StdEncoding.DecodeString(parts[1]); err != nil || len(h.salt) < minSalt || len(h.salt) > maxSalt {
		return h, unreadable("its salt is not base64 of %d to %d octets", minSalt, maxSalt)
	}
	if h.key.Stored, err = base64.StdEncoding.DecodeString(parts[2]); err != nil || len(h.key.Stored) != size {
		return h, unreadable("its StoredKey is not base64 of %d octets", size)
	}
	if h.key.Server, err = base64.StdEncoding.DecodeString(parts[3]); err != nil || len(h.key.Server) != size {
		return h, unreadable("its ServerKey is not base64 of %d octets", size)
	}
	return h, nil
}

// matches computes the StoredKey of the password (rfc5802#3).
func (h scramHash) matches(password string) bool {
	salted, err := pbkdf2.Key(h.hash, password, h.salt, h.iterations, len(h.key.Stored))
	if err != nil {
		return false
	}
	m := hmac.New(h.hash, salted)
	m.Write([]byte("Client Key"))
	d := h.hash()
	d.Write(m.Sum(nil))
	return subtle.ConstantTimeCompare(d.Sum(nil), h.key.Stored) == 1
}
