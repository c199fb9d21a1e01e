package account

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
)

// maxDigestSalt is the longest salt behind a digest, in octets.
const maxDigestSalt = 64

// digestScheme is one hash over password and salt, and nothing to slow it down:
// {SHA}, {SSHA256} and the like (LDAP's userPassword, and Dovecot's).
type digestScheme struct {
	hash   func() hash.Hash
	salted bool
}

// digestOf finds a scheme by its name.
func digestOf(scheme string) (d digestScheme, ok bool) {
	switch scheme {
	case "MD5", "SMD5":
		d.hash = md5.New
	case "SHA", "SSHA":
		d.hash = sha1.New
	case "SHA256", "SSHA256":
		d.hash = sha256.New
	case "SHA512", "SSHA512":
		d.hash = sha512.New
	default:
		return d, false
	}
	d.salted = scheme[:2] == "SS" || scheme == "SMD5"
	return d, true
}

// digestHash is one of them.
type digestHash struct {
	hash       func() hash.Hash
	want, salt []byte
}

// parse reads base64 of the digest and the salt behind it.
func (d digestScheme) parse(text string) (secretHash, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, unreadable("it is not base64")
	}
	return d.hashOf(raw)
}

func (d digestScheme) hashOf(raw []byte) (secretHash, error) {
	size := d.hash().Size()
	salt := len(raw) - size
	switch {
	case !d.salted && salt != 0:
		return nil, unreadable("it has %d octets; the digest has %d", len(raw), size)
	case d.salted && (salt < 1 || salt > maxDigestSalt):
		return nil, unreadable("it has %d octets; the digest has %d, and the salt behind it 1 to %d", len(raw), size, maxDigestSalt)
	}
	return digestHash{d.hash, raw[:size], raw[size:]}, nil
}

// decode reads what other programs write: base64 or hex. encoding is "B64",
// "HEX" or "" for what the length says, as Dovecot does.
func (d digestScheme) decode(text, encoding string) ([]byte, error) {
	if encoding == "HEX" || encoding == "" && !d.salted && len(text) == 2*d.hash().Size() {
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, unreadable("it is not hexadecimal")
		}
		return raw, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, unreadable("it is not base64")
	}
	return raw, nil
}

func (h digestHash) matches(password string) bool {
	d := h.hash()
	d.Write([]byte(password))
	d.Write(h.salt)
	return subtle.ConstantTimeCompare(d.Sum(nil), h.want) == 1
}
