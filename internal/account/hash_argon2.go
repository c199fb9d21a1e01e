package account

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Sizes of the PHC string format for argon2, in octets.
const (
	minArgonSalt, maxArgonSalt = 8, 64
	minArgonHash, maxArgonHash = 12, 64
)

// argon2Hash is a PHC string of argon2id or argon2i.
type argon2Hash struct {
	id             bool // argon2id; else argon2i
	memory, passes uint32
	threads        uint8
	salt, want     []byte
}

// parseArgon2 reads $argon2id$v=19$m=65536,t=3,p=1$salt$hash.
func parseArgon2(text string) (argon2Hash, error) {
	var h argon2Hash
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" && parts[1] != "argon2i" {
		return h, unreadable("it is not $argon2id$v=…$m=…,t=…,p=…$salt$hash, nor the same of argon2i")
	}
	h.id = parts[1] == "argon2id"
	// The version before 0x13 computes otherwise, and nothing here knows how.
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, unreadable("it is not of version %d of argon2", argon2.Version)
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return h, unreadable("its costs are not m=…,t=…,p=…")
	}
	var n [3]int
	for i, name := range []string{"m=", "t=", "p="} {
		value, ok := strings.CutPrefix(costs[i], name)
		most := []int{MaxMemory, MaxMemoryPasses, 255}[i]
		var err error
		if n[i], err = number(value, most); !ok || err != nil {
			return h, unreadable("its costs are not m=…,t=…,p=… of at most %d KiB, %d passes and 255 threads", MaxMemory, MaxMemoryPasses/8)
		}
	}
	if n[0] < 8*n[2] { // rfc9106#3.1
		return h, unreadable("it asks for less than 8 KiB for each thread, which argon2 does not allow")
	}
	if n[0]*n[1] > MaxMemoryPasses {
		return h, unreadable("it asks for %d passes over %d KiB, more than a login may cost (%d KiB in all)", n[1], n[0], MaxMemoryPasses)
	}
	h.memory, h.passes, h.threads = uint32(n[0]), uint32(n[1]), uint8(n[2])
	var bad error
	if h.salt, bad = base64.RawStdEncoding.Strict().DecodeString(parts[4]); bad != nil || len(h.salt) < minArgonSalt || len(h.salt) > maxArgonSalt {
		return h, unreadable("its salt is not base64 of %d to %d octets", minArgonSalt, maxArgonSalt)
	}
	if h.want, bad = base64.RawStdEncoding.Strict().DecodeString(parts[5]); bad != nil || len(h.want) < minArgonHash || len(h.want) > maxArgonHash {
		return h, unreadable("its hash is not base64 of %d to %d octets", minArgonHash, maxArgonHash)
	}
	return h, nil
}

func (h argon2Hash) matches(password string) bool {
	derive := argon2.Key
	if h.id {
		derive = argon2.IDKey
	}
	got := derive([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.want)))
	return subtle.ConstantTimeCompare(got, h.want) == 1
}
