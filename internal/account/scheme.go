package account

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Foreign is what another program stored of a password, in the form in which it
// is stored here.
type Foreign struct {
	// Scheme names it for people, in Dovecot's words where it has one:
	// "SHA512-CRYPT", "PLAIN".
	Scheme string
	// Stored is for Account.Hash; "" if Password is set.
	Stored string
	// Password is the password itself, of {PLAIN}: it must be hashed.
	Password string
	// Weakness says why the hash is soon broken by who gets it, "" if it is not.
	Weakness string
	// Salt, Iterations and Keys are those of SCRAM, for the Account. Its text is
	// kept in Stored too, because PLAIN and LOGIN are checked against that.
	Salt       []byte
	Iterations int
	Keys       Keys
}

// ParseScheme reads what other programs keep of a password: Dovecot's
// {SCHEME}text and {SCHEME.ENCODING}text, and crypt(3)'s and Apache's $id$text.
// byDefault is the scheme of a text that names none; "" is CRYPT. The error
// names the rule and the next step, and nothing of the text.
func ParseScheme(text, byDefault string) (Foreign, error) {
	scheme, rest, ok := cutScheme(text)
	switch {
	case ok:
	case byDefault == "" || strings.HasPrefix(text, "$") && !clearText(strings.ToUpper(byDefault)):
		scheme = "CRYPT"
	default:
		scheme = strings.ToUpper(byDefault)
	}
	name, encoding, _ := strings.Cut(scheme, ".")
	if encoding == "BASE64" {
		encoding = "B64"
	}
	if encoding != "" && encoding != "B64" && encoding != "HEX" {
		return Foreign{}, errors.New("the encoding of its scheme is unknown; it may be .B64 or .HEX, as in {SHA256.HEX}")
	}
	if clearText(name) {
		return foreignPlain(rest, encoding)
	}
	f, err := foreignHash(name, rest, encoding)
	if err != nil {
		return Foreign{}, err
	}
	if _, err := parseHash(f.Stored); err != nil { // what is stored can be read again
		return Foreign{}, inWords(err)
	}
	return f, nil
}

// KnownScheme reports whether ParseScheme reads texts of a scheme, such as
// "SHA256" or "sha256.hex".
func KnownScheme(scheme string) bool {
	name, encoding, _ := strings.Cut(strings.ToUpper(scheme), ".")
	if encoding != "" && encoding != "B64" && encoding != "BASE64" && encoding != "HEX" {
		return false
	}
	switch name {
	case "CRYPT", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "ARGON2ID", "ARGON2I", "PBKDF2", "SCRAM-SHA-256", "SCRAM-SHA-1",
		"SHA1", "LDAP-MD5", "PLAIN-MD5":
		return true
	}
	_, digest := digestOf(name)
	return digest || clearText(name)
}

func clearText(scheme string) bool {
	return scheme == "PLAIN" || scheme == "CLEAR" || scheme == "CLEARTEXT"
}

// inWords takes the words for our own trouble off an error about a foreign hash.
func inWords(err error) error {
	if why, ok := strings.CutPrefix(err.Error(), errHash.Error()+": "); ok {
		return errors.New("the password hash cannot be used: " + why)
	}
	return err
}

func foreignPlain(text, encoding string) (Foreign, error) {
	if encoding != "" {
		raw, err := digestScheme{salted: true}.decode(text, encoding)
		if err != nil {
			return Foreign{}, inWords(err)
		}
		text = string(raw)
	}
	if text == "" {
		return Foreign{}, errors.New("the password is empty; nobody could log in with it")
	}
	return Foreign{Scheme: "PLAIN", Password: text}, nil
}

// foreignHash brings a hash to the form in which it is stored.
func foreignHash(name, text, encoding string) (Foreign, error) {
	if encoding != "" && !textual(name) {
		return foreignDigest(name, text, encoding)
	}
	if encoding != "" { // {SHA512-CRYPT.B64}: the crypt text itself, encoded
		raw, err := digestScheme{salted: true}.decode(text, encoding)
		if err != nil {
			return Foreign{}, inWords(err)
		}
		text = string(raw)
	}
	switch name {
	case "CRYPT", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "ARGON2I":
		return foreignCrypt(name, text)
	case "MD5": // Dovecot's word for two things
		if strings.HasPrefix(text, "$1$") {
			return foreignCrypt("MD5-CRYPT", text)
		}
		return foreignDigest(name, text, "")
	case "ARGON2ID":
		// $argon2id$ alone is ours, made from the prepared password.
		return Foreign{Scheme: name, Stored: "{ARGON2ID}" + text}, nil
	case "PBKDF2":
		return Foreign{Scheme: name, Stored: "{PBKDF2}" + text}, nil
	case "SCRAM-SHA-256", "SCRAM-SHA-1":
		return foreignSCRAM(name, text)
	}
	return foreignDigest(name, text, encoding)
}

// textual reports whether the text of a scheme is made of readable fields.
func textual(name string) bool {
	return strings.HasSuffix(name, "CRYPT") || strings.HasPrefix(name, "ARGON2") || strings.HasPrefix(name, "SCRAM-") || name == "PBKDF2"
}

// Schemes are those that are read, for people.
const Schemes = "BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT, MD5-CRYPT, CRYPT, ARGON2ID, ARGON2I, PBKDF2, SCRAM-SHA-256, SCRAM-SHA-1, " +
	"SSHA512, SSHA256, SSHA, SMD5, SHA512, SHA256, SHA, MD5 and PLAIN"

// Texts about schemes that are not taken.
const (
	needsNew = "; add the account without a password and set a new one: onward account add LOGIN, then onward account passwd LOGIN"
	noDES    = "it is a DES crypt hash, in which only the first 8 characters of the password count, and which is guessed in hours" + needsNew
)

// foreignCrypt reads the texts of crypt(3); what a scheme says that they are must
// be so.
func foreignCrypt(name, text string) (Foreign, error) {
	const desSize, bsdiSize = 13, 20
	id, _, ok := cutCrypt(text)
	switch {
	case text == "":
		return Foreign{}, errors.New("the hash is empty; leave out the whole field for an account without a password")
	case !ok && (len(text) == desSize || len(text) == bsdiSize && text[0] == '_') && strings.Trim(text[1:], cryptAlphabet) == "":
		return Foreign{}, errors.New(noDES)
	case !ok:
		return Foreign{}, errors.New("the password field is neither {SCHEME}text nor $id$text; if the file has the passwords themselves, say so with --scheme plain")
	}
	scheme, weakness := "", ""
	switch id {
	case "2a", "2b", "2y":
		scheme = "BLF-CRYPT"
	case "2", "2x":
		return Foreign{}, fmt.Errorf("it is a bcrypt hash of the form $%s$, made by a program with a known defect, and not checked here%s", id, needsNew)
	case "6":
		scheme = "SHA512-CRYPT"
	case "5":
		scheme = "SHA256-CRYPT"
	case "1":
		scheme, weakness = "MD5-CRYPT", weakMD5
	case "apr1":
		scheme, weakness = "APR1", weakMD5
	case "y":
		scheme = "YESCRYPT"
	case "argon2i":
		scheme = "ARGON2I"
	case "argon2id":
		scheme = "ARGON2ID"
		text = "{ARGON2ID}" + text
	default:
		return Foreign{}, errors.New("crypt's form of it is not known here; known are " + knownCrypt + needsNew)
	}
	if name != "CRYPT" && name != scheme {
		return Foreign{}, fmt.Errorf("its scheme is {%s} and its text is one of %s; correct the scheme", name, scheme)
	}
	return Foreign{Scheme: scheme, Stored: text, Weakness: weakness}, nil
}

// What is said of weak hashes.
const (
	weakMD5      = "made with MD5, whose guessing costs next to nothing"
	weakUnsalted = "without a salt: one table of guesses breaks all of them at once"
	weakFast     = "made with one fast computation, so that billions of guesses a second are tried"
)

// foreignDigest reads {SHA}, {SSHA256} and the like, and says why others are
// not taken.
func foreignDigest(name, text, encoding string) (Foreign, error) {
	switch name {
	case "SHA1":
		name = "SHA"
	case "LDAP-MD5":
		name = "MD5"
	case "PLAIN-MD5":
		name = "MD5"
	case "DES-CRYPT":
		return Foreign{}, errors.New(noDES)
	case "CRAM-MD5", "HMAC-MD5", "DIGEST-MD5", "OTP", "SKEY", "RPA", "NTLM", "LANMAN", "PLAIN-MD4", "PLAIN-TRUNC":
		return Foreign{}, fmt.Errorf("the scheme {%s} is made for a mechanism, or by a rule, that is not offered here%s", name, needsNew)
	}
	d, ok := digestOf(name)
	if !ok {
		return Foreign{}, errors.New("its scheme is not known here; known are " + Schemes + needsNew)
	}
	raw, err := d.decode(text, encoding)
	if err != nil {
		return Foreign{}, inWords(err)
	}
	if _, err := d.hashOf(raw); err != nil {
		return Foreign{}, inWords(err)
	}
	f := Foreign{Scheme: name, Stored: "{" + name + "}" + base64.StdEncoding.EncodeToString(raw), Weakness: weakUnsalted}
	if d.salted {
		f.Weakness = weakFast
	}
	return f, nil
}

func foreignSCRAM(name, text string) (Foreign, error) {
	h, err := parseSCRAM(name, text)
	if err != nil {
		return Foreign{}, inWords(err)
	}
	f := Foreign{Scheme: name, Stored: "{" + name + "}" + text, Salt: h.salt, Iterations: h.iterations}
	if name == "SCRAM-SHA-1" {
		f.Keys.SHA1 = h.key
	} else {
		f.Keys.SHA256 = h.key
	}
	return f, nil
}
