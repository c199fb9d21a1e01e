package account

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// vector is a line of testdata/hashes.tsv or testdata/vectors.tsv.
type vector struct{ source, password, text string }

func vectors(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, name := range []string{"testdata/hashes.tsv", "testdata/vectors.tsv"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(parts) != 3 {
				t.Fatalf("%s: a line has %d parts", name, len(parts))
			}
			all = append(all, vector{parts[0], parts[1], parts[2]})
		}
	}
	return all
}

// TestForeignHashes has hashes of real programs and public vectors: each is read,
// matches its password, and nothing else.
func TestForeignHashes(t *testing.T) {
	schemes := make(map[string]int)
	for _, v := range vectors(t) {
		f, err := ParseScheme(v.text, "")
		if err != nil {
			t.Errorf("%s %s: %v", v.source, v.text, err)
			continue
		}
		schemes[f.Scheme]++
		if f.Scheme == "PLAIN" {
			if f.Password != v.password || f.Stored != "" {
				t.Errorf("%s: the password of %s is read as %q", v.source, v.text, f.Password)
			}
			continue
		}
		for try, want := range map[string]bool{v.password: true, "!" + v.password[1:]: false} {
			if got, err := Matches(try, f.Stored); got != want || err != nil {
				t.Errorf("%s, %q against %s: %v, %v", v.source, try, f.Stored, got, err)
			}
		}
		if NeedsUpgrade(f.Stored, DefaultCost()) == strings.Contains(f.Stored, "$argon2id$") && v.source == "doveadm" {
			t.Errorf("%s: whether it needs an upgrade is wrong", f.Stored)
		}
		if again, err := ParseScheme(f.Stored, ""); err != nil || again.Stored != f.Stored || again.Scheme != f.Scheme {
			t.Errorf("%s is read again as %s, %s: %v", f.Stored, again.Scheme, again.Stored, err)
		}
		if strings.HasPrefix(f.Scheme, "SCRAM") == (len(f.Salt) == 0 || f.Iterations == 0) {
			t.Errorf("%s: salt and iterations are %x, %d", f.Stored, f.Salt, f.Iterations)
		}
	}
	for _, scheme := range []string{
		"BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "APR1", "YESCRYPT", "ARGON2ID", "ARGON2I", "PBKDF2", "SCRAM-SHA-256", "SCRAM-SHA-1",
		"SSHA512", "SSHA256", "SSHA", "SMD5", "SHA512", "SHA256", "SHA", "MD5", "PLAIN",
	} {
		if schemes[scheme] == 0 {
			t.Errorf("no vector is of %s", scheme)
		}
	}
}

// The octets of another program's hash count as they were typed there; and a
// device that sends the other form of é gets in all the same.
func TestForeignHashPrepared(t *testing.T) {
	for _, tt := range []struct {
		hashed, typed string
		want          bool
	}{
		{"caf\u00e9", "caf\u00e9", true},
		{"caf\u00e9", "cafe\u0301", true},
		{"cafe\u0301", "cafe\u0301", true},
		{"cafe\u0301", "caf\u00e9", false}, // preparing composes, it does not take apart
		{"caf\u00e9", "cafe", false},
	} {
		salt := []byte("0123456789abcdef")
		stored := "{ARGON2ID}" + phc(tt.hashed, salt, cheap())
		if got, err := Matches(tt.typed, stored); got != tt.want || err != nil {
			t.Errorf("%+q hashed, %+q typed: %v, %v", tt.hashed, tt.typed, got, err)
		}
	}
}

// What breaks a rule is refused with the rule, at import and if it is stored,
// before anything is computed, and nothing of the text is said.
func TestForeignHashRefused(t *testing.T) {
	const secret = "Geheimnis"
	for text, why := range map[string]string{
		"":                                     "the hash is empty",
		secret:                                 "--scheme plain",
		"{PLAIN}":                              "the password is empty",
		"{PLAIN.HEX}zz":                        "not hexadecimal",
		"{PLAIN.ROT13}ab":                      "encoding of its scheme",
		"{" + secret + "}geheim":               "scheme is not known",
		"$" + strings.ToLower(secret) + "$abc": "not known here",
		"i7e3Lkx4X/v9c":                        "DES crypt",
		"_J9..rasmBYk8r9AiWNc":                 "DES crypt",
		"{DES-CRYPT}FEpJ3zcxlgkN.":             "DES crypt",
		"{CRAM-MD5}f16f9cd57afad6931bff9508ef68ea2db1b62513b604cf995e4f882bed6d4f1a":                                "mechanism",
		"{DIGEST-MD5}ded4cba8c4c4724deac7ce4806a13c30":                                                              "mechanism",
		"{PLAIN-MD4}5199a63299dacee34c68ae0d8bd2c71d":                                                               "not offered here",
		"$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":                                              "known defect",
		"$2y$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":                                              "cost is 15, more than 14",
		"$2y$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":                                              "not $2y$",
		"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe":                                               "not $2y$",
		"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe!":                                              "not $2y$",
		"{SHA512-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                   "correct the scheme",
		"$5$rounds=1000001$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                  "1000001 rounds, more than 1000000",
		"$5$rounds=999999999999$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                             "number",
		"$5$rounds=999$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                      "fewer than 1000",
		"$5$rounds=-5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                       "not a number",
		"$5$seventeen-letters$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                          "salt of at most 16",
		"$6$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                                 "hash of 86",
		"$1$ninechars$wvOF8JdqsoiLix754LTW90":                                                                       "salt of at most 8",
		"$apr1$JPl0KzRH$AsQtei9Wy42uoVVZ.mJQ56T0":                                                                   "hash of 22",
		"$y$jCT$EV0LA1Bz2Zc42Wor1rej61$WfLVwV/We9iLruNILI.qDaHPrxvmLYbBMO9Q6sx8nE.":                                 "more than 65536 KiB",
		"$y$k9T$EV0LA1Bz2Zc42Wor1rej61$WfLVwV/We9iLruNILI.qDaHPrxvmLYbBMO9Q6sx8nE.":                                 "libxcrypt",
		"$y$j9T$EV0LA1Bz2Zc42Wor1rej6!$WfLVwV/We9iLruNILI.qDaHPrxvmLYbBMO9Q6sx8nE.":                                 "libxcrypt",
		"$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc":                   "at most 262144 KiB",
		"$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc":                   "5 passes over 262144 KiB",
		"$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc":                    "version 19",
		"$argon2id$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc":                         "it is not $argon2id$v=",
		"$argon2id$v=19$m=15,t=2,p=2$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc":                       "8 KiB for each thread",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXM$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc":                        "salt is not base64",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXP":                                                       "hash is not base64",
		"{PBKDF2}$1$salt$2000001$4b007901b765489abead49d926f721d065a429c1":                                          "2000001 rounds",
		"{PBKDF2}$1$salt$4096$4b007901b765489abead49d926f721d065a429":                                               "20 octets",
		"{PBKDF2}$2$salt$4096$4b007901b765489abead49d926f721d065a429c1":                                             "$1$salt$iterations$key",
		"{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=":                                           "iterations,salt,StoredKey,ServerKey",
		"{SCRAM-SHA-256}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=":            "StoredKey is not base64 of 32",
		"{SCRAM-SHA-1}9999999,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=":           "9999999 rounds",
		"{SCRAM-SHA-1}4096,QQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=":                          "salt is not base64 of 4",
		"{SHA}kGByAB793z4R5tK1eC9Hd/4D":                                                                             "digest has 20",
		"{SSHA}kGByAB793z4R5tK1eC9Hd/4Dhzk=":                                                                        "salt behind it 1 to 64",
		"{SSHA}not base64":                                                                                          "not base64",
		"{SHA256}" + strings.Repeat("g", 64):                                                                        "not hexadecimal",
		"$6$" + strings.Repeat("x", 2000) + "$x":                                                                    "octets, more than 1024",
		"{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=," + "geheim=": "iterations,salt,StoredKey,ServerKey",
	} {
		_, err := ParseScheme(text, "")
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want «%s»", text, err, why)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secret)) || strings.Contains(err.Error(), "CTFhFdXP") {
			t.Errorf("%q: the error says what the field has: %v", text, err)
		}
		if ok, err := Matches("geheim", text); ok || !errors.Is(err, errHash) {
			t.Errorf("%q stored: %v, %v", text, ok, err)
		}
		if NeedsUpgrade(text, DefaultCost()) {
			t.Errorf("%q stored is to be upgraded", text)
		}
	}
	if ok, err := Matches(strings.Repeat("x", MaxForeignPassword+1), "$1$YeNsbWdH$wvOF8JdqsoiLix754LTW90"); ok || err != nil {
		t.Errorf("a password of too many octets: %v, %v", ok, err)
	}
}

// A default scheme is for texts that name none.
func TestParseSchemeDefault(t *testing.T) {
	const apr1 = "$apr1$JPl0KzRH$AsQtei9Wy42uoVVZ.mJQ56"
	for _, tt := range []struct{ text, byDefault, scheme string }{
		{"geheim", "plain", "PLAIN"},
		{"$6$geheim", "CLEARTEXT", "PLAIN"},
		{"kGByAB793z4R5tK1eC9Hd/4Dhzk=", "sha", "SHA"},
		{apr1 + "T", "sha", ""},
		{"{SHA}kGByAB793z4R5tK1eC9Hd/4Dhzk=", "plain", "SHA"},
		{"e8636ea013e682faf61f56ce1cb1ab5c", "plain-md5", "MD5"},
	} {
		f, err := ParseScheme(tt.text, tt.byDefault)
		if f.Scheme != tt.scheme || (err != nil) != (tt.scheme == "") {
			t.Errorf("%q with the default %s is read as %q: %v", tt.text, tt.byDefault, f.Scheme, err)
		}
	}
	for _, scheme := range strings.FieldsFunc(Schemes, func(c rune) bool { return c == ',' || c == ' ' }) {
		if scheme != "and" && (!KnownScheme(strings.ToLower(scheme)) || !KnownScheme(scheme+".Base64")) {
			t.Errorf("%s is not known", scheme)
		}
	}
	for _, scheme := range []string{"", "CRAM-MD5", "PLAIN.ROT13", "nonsense"} {
		if KnownScheme(scheme) {
			t.Errorf("%q is known", scheme)
		}
	}
}

// What we store is not upgraded until the costs are raised.
func TestNeedsUpgrade(t *testing.T) {
	h, err := HashPassword("correct horse", cheap(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cost Cost
		want bool
	}{
		{cheap(), false},
		{Cost{cheap().Memory * 2, cheap().Passes, 1}, true},
		{Cost{cheap().Memory, cheap().Passes + 1, 1}, true},
		{Cost{cheap().Memory / 2, cheap().Passes, 2}, false},
	} {
		if got := NeedsUpgrade(h, tt.cost); got != tt.want {
			t.Errorf("to %+v: %v", tt.cost, got)
		}
	}
	if _, err := HashPassword("x", Cost{MaxMemory + 1, 1, 1}, rand.Reader); err == nil {
		t.Error("a hash was made that could not be checked")
	}
}

// The dearest hashes that are taken end within a bound, and how long they take
// is logged.
func TestDearestHashes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const bound = 30 * time.Second // of a slow and busy machine
	password := strings.Repeat("x", MaxForeignPassword)
	for name, text := range map[string]string{
		"bcrypt":   "$2y$14$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$6$":      "$6$rounds=1000000$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
		"$y$":      "$y$jBT$EV0LA1Bz2Zc42Wor1rej61$WfLVwV/We9iLruNILI.qDaHPrxvmLYbBMO9Q6sx8nE.",
		"argon2id": "$argon2id$v=19$m=262144,t=4,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"PBKDF2":   "{PBKDF2}$1$salt$2000000$4b007901b765489abead49d926f721d065a429c1",
	} {
		start := time.Now()
		if ok, err := Matches(password, text); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		took := time.Since(start)
		t.Logf("%s: %v", name, took.Round(time.Millisecond))
		if took > bound {
			t.Errorf("%s takes %v", name, took)
		}
	}
}

// FuzzMatches: no stored text makes it panic or take long, and none matches two
// passwords.
func FuzzMatches(f *testing.F) {
	for _, v := range vectors(f) {
		if len(v.password) < 10 && !strings.Contains(v.text, "argon2") {
			f.Add(v.text)
			if w, err := ParseScheme(v.text, ""); err == nil {
				f.Add(w.Stored)
			}
		}
	}
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, stored string) {
		start := time.Now()
		one, err := Matches("geheim", stored)
		if err != nil && (!errors.Is(err, errHash) || one) {
			t.Fatalf("%v, %v", one, err)
		}
		if two, _ := Matches("geheim!", stored); one && two {
			t.Fatalf("%q matches two passwords", stored)
		}
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("%q takes %v", stored, took)
		}
	})
}

// FuzzParseScheme: what is read is stored in a form that is read as the same.
func FuzzParseScheme(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.text, "")
	}
	f.Add("geheim", "plain")
	f.Fuzz(func(t *testing.T, text, byDefault string) {
		w, err := ParseScheme(text, byDefault)
		if err != nil {
			if w.Stored != "" || w.Password != "" {
				t.Fatalf("%q is refused with %+v", text, w)
			}
			return
		}
		if (w.Stored == "") == (w.Password == "") {
			t.Fatalf("%q is read as %+v", text, w)
		}
		if w.Stored == "" {
			return
		}
		if again, err := ParseScheme(w.Stored, byDefault); err != nil || again.Stored != w.Stored {
			t.Fatalf("%q is stored as %q and read again as %q: %v", text, w.Stored, again.Stored, err)
		}
	})
}
