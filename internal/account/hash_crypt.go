package account

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"strings"

	"github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/bcrypt"
)

// cryptAlphabet is the base64 of crypt(3).
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// parseCrypt reads what crypt(3) and Apache's htpasswd make: $id$….
func parseCrypt(text string) (secretHash, error) {
	id, rest, ok := cutCrypt(text)
	if !ok {
		return nil, unreadable("it is neither {SCHEME}text nor $id$text")
	}
	switch id {
	case "argon2id", "argon2i":
		return parseArgon2(text)
	case "2a", "2b", "2y":
		return parseBcrypt(text)
	case "5", "6":
		return parseSHACrypt(id, rest)
	case "1", "apr1":
		return parseMD5Crypt(id, rest)
	case "y":
		return parseYescrypt(text)
	}
	return nil, unreadable("its form is none of " + knownCrypt)
}

// knownCrypt are the forms that parseCrypt reads.
const knownCrypt = "$2a$, $2b$, $2y$, $6$, $5$, $1$, $apr1$, $y$, $argon2i$ and $argon2id$"

// cutCrypt splits "$id$rest"; an id is a few letters and digits.
func cutCrypt(text string) (id, rest string, ok bool) {
	after, ok := strings.CutPrefix(text, "$")
	if !ok {
		return "", "", false
	}
	id, rest, ok = strings.Cut(after, "$")
	const longest = 12
	if !ok || id == "" || len(id) > longest || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", "", false
	}
	return id, rest, true
}

// bcryptHash is $2a$, $2b$ or $2y$, which are the same for what was hashed
// rightly: only the first 72 octets count.
type bcryptHash string

func parseBcrypt(text string) (secretHash, error) {
	const size = 60
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != size || strings.Trim(text[7:], cryptAlphabet) != "" {
		return nil, unreadable("it is not $2y$ with a cost of two digits and 53 characters")
	}
	if cost > MaxBcryptCost {
		return nil, unreadable("its bcrypt cost is %d, more than %d, which a login must not cost", cost, MaxBcryptCost)
	}
	return bcryptHash(text), nil
}

func (h bcryptHash) matches(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}

// shaCryptHash is $5$ or $6$ (Drepper, «Unix crypt using SHA-256 and SHA-512»).
type shaCryptHash struct {
	hash   func() hash.Hash
	rounds int
	salt   string
	want   string
}

func parseSHACrypt(id, rest string) (secretHash, error) {
	const byDefault, least, maxSalt = 5000, 1000, 16
	h := shaCryptHash{hash: sha256.New, rounds: byDefault}
	size := 43
	if id == "6" {
		h.hash, size = sha512.New, 86
	}
	if after, ok := strings.CutPrefix(rest, "rounds="); ok {
		digits, behind, _ := strings.Cut(after, "$")
		n, err := number(digits, MaxRounds)
		if err != nil {
			return nil, unreadable("of its rounds: %v", err)
		}
		if n < least {
			return nil, unreadable("its rounds are %d, fewer than %d, which SHA-crypt never has", n, least)
		}
		h.rounds, rest = n, behind
	}
	salt, want, ok := strings.Cut(rest, "$")
	if !ok || len(salt) > maxSalt || len(want) != size || strings.Trim(want, cryptAlphabet) != "" {
		return nil, unreadable("it is not $%s$salt$hash with a salt of at most %d and a hash of %d characters", id, maxSalt, size)
	}
	h.salt, h.want = salt, want
	return h, nil
}

func (h shaCryptHash) matches(password string) bool {
	got := crypt.KeySHACrypt(h.hash, []byte(password), []byte(h.salt), h.rounds)
	return subtle.ConstantTimeCompare(got, []byte(h.want)) == 1
}

// md5CryptHash is $1$ (Kamp's MD5-crypt), or Apache's $apr1$, which differs by
// its magic alone.
type md5CryptHash struct{ magic, salt, want string }

func parseMD5Crypt(id, rest string) (secretHash, error) {
	const maxSalt, size = 8, 22
	salt, want, ok := strings.Cut(rest, "$")
	if !ok || len(salt) > maxSalt || len(want) != size || strings.Trim(want, cryptAlphabet) != "" {
		return nil, unreadable("it is not $%s$salt$hash with a salt of at most %d and a hash of %d characters", id, maxSalt, size)
	}
	return md5CryptHash{"$" + id + "$", salt, want}, nil
}

func (h md5CryptHash) matches(password string) bool {
	return subtle.ConstantTimeCompare(md5Crypt(password, h.magic, h.salt), []byte(h.want)) == 1
}

// md5Crypt is crypt-md5.c of FreeBSD.
func md5Crypt(password, magic, salt string) []byte {
	const rounds = 1000
	inner := md5.Sum([]byte(password + salt + password))
	d := md5.New()
	d.Write([]byte(password + magic + salt))
	for left := len(password); left > 0; left -= md5.Size {
		d.Write(inner[:min(left, md5.Size)])
	}
	for left := len(password); left > 0; left >>= 1 {
		if left&1 != 0 {
			d.Write([]byte{0})
		} else {
			d.Write([]byte(password[:1]))
		}
	}
	sum := d.Sum(nil)
	for i := range rounds {
		d.Reset()
		first, last := sum, []byte(password)
		if i&1 != 0 {
			first, last = last, first
		}
		d.Write(first)
		if i%3 != 0 {
			d.Write([]byte(salt))
		}
		if i%7 != 0 {
			d.Write([]byte(password))
		}
		d.Write(last)
		sum = d.Sum(sum[:0:md5.Size])
	}
	return md5CryptText(sum)
}

// md5CryptText writes 16 octets in the order and the alphabet of MD5-crypt.
func md5CryptText(sum []byte) []byte {
	var text []byte
	put := func(v uint, n int) {
		for range n {
			text = append(text, cryptAlphabet[v&63])
			v >>= 6
		}
	}
	for _, at := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		put(uint(sum[at[0]])<<16|uint(sum[at[1]])<<8|uint(sum[at[2]]), 4)
	}
	put(uint(sum[11]), 2)
	return text
}

// yescryptHash is $y$, the default of Debian's and Fedora's passwd.
type yescryptHash string

func parseYescrypt(text string) (secretHash, error) {
	// $y$ + flags j + log2 N - 1 + r - 1, each a character; what libxcrypt makes.
	const head, size = 7, 43
	at := strings.LastIndexByte(text, '$')
	if len(text) < head || text[3] != 'j' || text[6] != '$' || at <= head || len(text)-at-1 != size ||
		strings.Trim(text[at+1:], cryptAlphabet) != "" || yescrypt.Decode64([]byte(text[head:at])) == nil {
		return nil, unreadable("it is not $y$j…$salt$hash with the parameters that libxcrypt gives")
	}
	logN, r := strings.IndexByte(cryptAlphabet, text[4])+1, strings.IndexByte(cryptAlphabet, text[5])+1
	const leastLogN, mostLogN, mostR = 10, 18, 32
	if logN < leastLogN || logN > mostLogN || r < 1 || r > mostR || r<<logN>>3 > MaxMemory/yescryptSlowness {
		return nil, unreadable("its yescrypt parameters ask for more than %d KiB, which a login must not cost", MaxMemory/yescryptSlowness)
	}
	return yescryptHash(text), nil
}

// yescryptSlowness is how much less memory yescrypt may take than argon2, since
// the computation in Go takes longer for the same memory.
const yescryptSlowness = 4

func (h yescryptHash) matches(password string) bool {
	got, err := yescrypt.Hash([]byte(password), []byte(h))
	return err == nil && subtle.ConstantTimeCompare(got, []byte(h)) == 1
}
