package backend

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// good are claims that pass; changes come in pairs, nil takes one away.
func good(changes ...any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": issuerURL, "aud": "smtp", "exp": now + 300, "iat": now, "email": "Anna@example.org", "sub": "4711"}
	for i := 0; i < len(changes); i += 2 {
		if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

// TestTokens: each claim that is wrong has its cause.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, func(o *OIDC) { o.Scope = "mail"; o.Domain = "" })
		time.Sleep(time.Hour) // so that there is a past
		now := time.Now().Unix()
		for _, tt := range []struct {
			name   string
			claims map[string]any
			login  string
			cause  account.Cause
			detail string
		}{
			{"good", good("scope", "openid mail"), "", "", ""},
			{"the user who was named", good("scope", "mail"), "anna@example.org", "", ""},
			{"another user", good("scope", "mail"), "bea@example.org", account.TokenUser, "the token is for anna@example.org"},
			{"audience in a list", good("scope", "mail", "aud", []string{"x", "mail"}), "", "", ""},
			{"scope as scp, in a list", good("scp", []string{"openid", "mail"}), "", "", ""},
			{"within the leeway", good("scope", "mail", "exp", now-29, "nbf", now+29), "", "", ""},
			{"with a fraction", good("scope", "mail", "exp", float64(now)+0.5), "", "", ""},
			{"expired", good("scope", "mail", "exp", now-31), "", account.TokenExpired, "it ended 31s ago, at 2000-01-01T00:59:29Z"},
			{"no end", good("scope", "mail", "exp", nil), "", account.TokenInvalid, "(exp)"},
			{"not yet", good("scope", "mail", "nbf", now+31), "", account.TokenClockSkew, "31s from now"},
			{"issued in the future", good("scope", "mail", "iat", now+3600), "", account.TokenClockSkew, "1h0m0s from now"},
			{"another audience", good("scope", "mail", "aud", "imap"), "", account.TokenAudience, "it is for imap, not for smtp, mail"},
			{"no audience", good("scope", "mail", "aud", nil), "", account.TokenAudience, "it is for nothing"},
			{"no scope", good(), "", account.TokenAudience, "it lacks the scope mail; it has nothing"},
			{"part of a scope", good("scope", "mailbox e-mail"), "", account.TokenAudience, "it lacks the scope mail"},
			{"another issuer", good("scope", "mail", "iss", "https://id.example.net"), "", account.TokenInvalid, "the issuer https://id.example.net"},
			{"no issuer", good("scope", "mail", "iss", nil), "", account.TokenInvalid, "the issuer"},
			{"nobody", good("scope", "mail", "email", nil), "", account.TokenUser, "no claim email"},
			{"a strange claim", good("scope", "mail", "email", 5), "", account.TokenUser, "no claim email"},
			{"unverified", good("scope", "mail", "email_verified", false), "", account.TokenInvalid, "email_verified"},
			{"unverified, as text", good("scope", "mail", "email_verified", "false"), "", account.TokenInvalid, "email_verified"},
			{"verified", good("scope", "mail", "email_verified", true), "", "", ""},
			{"another's domain", good("scope", "mail", "email", "anna@example.net"), "", account.TokenUser, "none of the domains"},
			{"no domain", good("scope", "mail", "email", "anna"), "", account.TokenUser, "none of the domains"},
			{"a claim of a wrong type", good("scope", "mail", "exp", "soon"), "", account.TokenInvalid, ""},
		} {
			v, err := b.Token(t.Context(), f.keys[0].sign(t, tt.claims), tt.login, anna())
			if err != nil || v.OK != (tt.cause == "") || v.Cause != tt.cause || !strings.Contains(v.Detail, tt.detail) || v.OK && v.Login != "anna@example.org" {
				t.Errorf("%s: %+v, %v", tt.name, v, err)
			}
		}
		if n := f.count("/realms/mail/keys"); n != 1 {
			t.Errorf("the keys were read %d times", n)
		}
	})
}

// TestSignatures: only a signature of the issuer's keys counts, by an algorithm
// that needs its private key.
func TestSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, nil)
		r := rsaSigner(t, "two")
		f.set(func() { f.keys = append(f.keys, r) })
		if v, err := b.Token(t.Context(), r.sign(t, good()), "", anna()); err != nil || !v.OK {
			t.Errorf("RS256: %+v, %v", v, err)
		}
		ec := f.keys[0].sign(t, good())
		if v, err := b.Token(t.Context(), ec, "", anna()); err != nil || !v.OK {
			t.Errorf("ES256: %+v, %v", v, err)
		}
		public, err := x509.MarshalPKIXPublicKey(r.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		symmetric := unsignedJWT(t, map[string]any{"alg": "HS256", "kid": "two"}, good())
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(symmetric))
		parts := strings.Split(ec, ".")
		stranger := ecSigner(t, "one")
		for name, token := range map[string]string{
			"none":                  unsignedJWT(t, map[string]any{"alg": "none"}, good()) + ".",
			"none, with a key":      unsignedJWT(t, map[string]any{"alg": "none", "kid": "one"}, good()) + "." + parts[2],
			"by the public key":     symmetric + "." + b64(mac.Sum(nil)),
			"by another's key":      stranger.sign(t, good()),
			"another's id":          ecSigner(t, "three").sign(t, good()),
			"other claims":          parts[0] + "." + strings.Split(unsignedJWT(t, nil, good("email", "bea@example.org")), ".")[1] + "." + parts[2],
			"cut":                   ec[:len(ec)-4],
			"opaque":                "ya29.opaque",
			"empty":                 "",
			"two words":             "a b",
			"too long":              strings.Repeat("x", maxToken+1),
			"a JWT of another kind": unsignedJWT(t, map[string]any{"alg": "ES256", "kid": "one", "crit": []string{"x"}, "x": 1}, good()) + "." + parts[2],
		} {
			v, err := b.Token(t.Context(), token, "", anna())
			if err != nil || v.OK || v.Cause != account.TokenInvalid || v.Detail == "" {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
			time.Sleep(keysEach) // so that keys may be read again
		}
	})
}

// TestRotation: a token by a new key is good at once; one by a key that was
// withdrawn is good for an hour, and while the issuer cannot be reached for a day.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, nil)
		old, fresh := f.keys[0], rsaSigner(t, "two")
		check := func(name string, s signer, cause account.Cause, down bool) {
			t.Helper()
			v, err := b.Token(t.Context(), s.sign(t, good()), "", anna())
			if (err != nil) != down || v.Cause != cause || v.OK != (cause == "" && !down) {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
		}
		check("first", old, "", false)
		f.set(func() { f.keys = []signer{old, fresh} })
		check("a new key", fresh, "", false)
		check("the old key", old, "", false)
		f.set(func() { f.status = 500 })
		time.Sleep(keysLife + time.Minute)
		check("the issuer is down", fresh, "", false)
		n := f.count("/realms/mail/.well-known/openid-configuration")
		check("it is not asked each time", fresh, "", false)
		if f.count("/realms/mail/.well-known/openid-configuration") != n {
			t.Error("it is asked each time")
		}
		f.set(func() { f.status, f.keys = 0, []signer{fresh} })
		time.Sleep(keysRetry)
		check("withdrawn", old, account.TokenInvalid, false)
		check("still there", fresh, "", false)
		f.set(func() { f.status = 500 })
		time.Sleep(keysStale + keysLife)
		check("down for a day", fresh, "", true)
		f.set(func() { f.status = 0 })
		check("up again", fresh, "", false)
	})
}

// TestRotationMeanwhile: keys that were being read before a token came do not make
// it wrong.
func TestRotationMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, nil)
		old, fresh := f.keys[0], ecSigner(t, "two")
		if v, err := b.Token(t.Context(), old.sign(t, good()), "", anna()); err != nil || !v.OK {
			t.Fatalf("%+v, %v", v, err)
		}
		f.set(func() { f.slow = time.Second })
		ends := make(chan string, 2)
		ask := func(name string, s signer) {
			token := s.sign(t, good())
			go func() {
				v, err := b.Token(t.Context(), token, "", anna())
				ends <- fmt.Sprint(name, " ", v.OK, " ", err)
			}()
			synctest.Wait()
		}
		ask("junk", ecSigner(t, "junk")) // its reading has the old keys already
		f.set(func() { f.keys = []signer{fresh} })
		ask("fresh", fresh)
		for _, want := range []string{"junk false <nil>", "fresh true <nil>"} {
			if got := <-ends; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

func TestParseKeys(t *testing.T) {
	one := ecSigner(t, "one").jwk()
	for name, tt := range map[string]struct {
		set  any
		want int
	}{
		"a strange one beside it": {[]any{map[string]any{"kty": "XX"}, one}, 1},
		"for encryption":          {[]any{map[string]any{"kty": "EC", "crv": "P-256", "x": one["x"], "y": one["y"], "use": "enc"}}, 0},
		"symmetric":               {[]any{map[string]any{"kty": "oct", "k": "AAAA"}}, 0},
		"none":                    {[]any{}, 0},
	} {
		text, err := json.Marshal(map[string]any{"keys": tt.set})
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := parseKeys(text); len(keys) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

// TestKeysUnreadable: a token is not wrong because keys cannot be read.
func TestKeysUnreadable(t *testing.T) {
	for name, breakIt := range map[string]func(*fakeIssuer){
		"configuration": func(f *fakeIssuer) { f.status = 503 },
		"no JSON":       func(f *fakeIssuer) { f.jwksRaw = "<html>" },
		"no keys":       func(f *fakeIssuer) { f.jwksRaw = `{"keys":[{"kty":"RSA","n":"!"}]}` },
	} {
		synctest.Test(t, func(t *testing.T) {
			f, b := oidcWorld(t, nil)
			breakIt(f)
			token := f.keys[0].sign(t, good())
			if v, err := b.Token(t.Context(), token, "", anna()); err == nil {
				t.Errorf("%s: %+v", name, v)
			}
			f.set(func() { f.status, f.jwksRaw = 0, "" })
			if v, err := b.Token(t.Context(), token, "", anna()); err != nil || !v.OK {
				t.Errorf("%s, mended: %+v, %v", name, v, err)
			}
		})
	}
}

// TestFlood: tokens with unknown keys make us read the issuer's keys now and then
// only; what is not looked at is no wrong token, and good ones are not held up.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, nil)
		token := f.keys[0].sign(t, good())
		var wrong, unknown int
		for i := range 100 {
			v, err := b.Token(t.Context(), ecSigner(t, fmt.Sprint("junk", i)).sign(t, good()), "", anna())
			switch {
			case err != nil && strings.Contains(err.Error(), errSeldom.Error()):
				unknown++
			case err == nil && v.Cause == account.TokenInvalid:
				wrong++
			default:
				t.Fatalf("%+v, %v", v, err)
			}
			if v, err := b.Token(t.Context(), token, "", anna()); err != nil || !v.OK {
				t.Fatalf("a good token: %+v, %v", v, err)
			}
		}
		if n := f.count("/realms/mail/keys"); n > keysBurst || wrong != n || unknown != 100-n {
			t.Errorf("the keys were read %d times; %d wrong, %d unknown", n, wrong, unknown)
		}
	})
}

// TestOurClock: a token that is over by our clock and not by the issuer's says whose
// clock is to be looked at.
func TestOurClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, nil)
		f.set(func() { f.ahead = -10 * time.Minute })
		token := f.keys[0].sign(t, good("exp", time.Now().Unix()-300, "iat", nil))
		v, err := b.Token(t.Context(), token, "", anna())
		if err != nil || v.Cause != account.TokenClockSkew || !strings.Contains(v.Detail, "our clock is 10m0s ahead of the issuer's") {
			t.Errorf("%+v, %v", v, err)
		}
		token = f.keys[0].sign(t, good("exp", time.Now().Unix()-3000, "iat", nil))
		if v, err := b.Token(t.Context(), token, "", anna()); err != nil || v.Cause != account.TokenExpired {
			t.Errorf("expired by both clocks: %+v, %v", v, err)
		}
	})
}

// TestIntrospection: opaque tokens, and JWTs that may have been revoked.
func TestIntrospection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, func(o *OIDC) {
			o.Introspection, o.Claim, o.Domain = IntrospectAlways, "username", "example.org"
			o.ClientID, o.ClientSecretFile = "on:ward", secretFile(t, "s3/cret")
		})
		now := time.Now().Unix()
		for _, tt := range []struct {
			name   string
			answer map[string]any
			cause  account.Cause
			err    string
		}{
			{"good", map[string]any{"active": true, "username": "anna", "aud": "smtp"}, "", ""},
			{"whole", map[string]any{"active": true, "username": "anna@example.org", "aud": []string{"smtp"}, "iss": issuerURL, "exp": now + 60}, "", ""},
			{"not active", map[string]any{"active": false}, account.TokenInvalid, ""},
			{"another issuer", map[string]any{"active": true, "username": "anna", "aud": "smtp", "iss": "x"}, account.TokenInvalid, ""},
			{"expired", map[string]any{"active": true, "username": "anna", "aud": "smtp", "exp": now - 60}, account.TokenExpired, ""},
			{"not yet", map[string]any{"active": true, "username": "anna", "aud": "smtp", "nbf": now + 60}, account.TokenClockSkew, ""},
			{"another audience", map[string]any{"active": true, "username": "anna", "aud": "imap"}, account.TokenAudience, ""},
			{"no audience", map[string]any{"active": true, "username": "anna"}, account.TokenAudience, ""},
			{"nobody", map[string]any{"active": true, "aud": "smtp"}, account.TokenUser, ""},
			{"no answer", map[string]any{"username": "anna"}, "", "does not say whether"},
			{"strange", map[string]any{"active": "yes"}, "", "does not say whether"},
		} {
			f.set(func() { f.opaque["opaque"] = tt.answer })
			v, err := b.Token(t.Context(), "opaque", "", anna())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%s: %+v, %v", tt.name, v, err)
				}
			} else if err != nil || v.OK != (tt.cause == "") || v.Cause != tt.cause || v.OK && v.Login != "anna@example.org" {
				t.Errorf("%s: %+v, %v", tt.name, v, err)
			}
		}
		jwt := f.keys[0].sign(t, good("username", "anna"))
		if v, err := b.Token(t.Context(), jwt, "", anna()); err != nil || v.Cause != account.TokenInvalid || !strings.Contains(v.Detail, "not active") {
			t.Errorf("a revoked JWT: %+v, %v", v, err)
		}
		f.set(func() { f.opaque[jwt] = map[string]any{"active": true, "username": "anna", "aud": "smtp"} })
		if v, err := b.Token(t.Context(), jwt, "", anna()); err != nil || !v.OK {
			t.Errorf("a JWT: %+v, %v", v, err)
		}
		b.oidc.secret = "other"
		if _, err := b.Token(t.Context(), "opaque", "", anna()); err == nil || !strings.Contains(err.Error(), "look at client_id and client_secret_file") {
			t.Errorf("our own secret is wrong: %v", err)
		}
	})
}

// TestIntrospectionScope: without an audience a scope shows that a token is for us.
func TestIntrospectionScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, func(o *OIDC) {
			o.Introspection, o.Scope = IntrospectOpaque, "mail"
			o.ClientID, o.ClientSecretFile = "on:ward", secretFile(t, "s3/cret")
		})
		f.opaque["a"] = map[string]any{"active": true, "email": "anna@example.org", "scope": "openid mail"}
		f.opaque["b"] = map[string]any{"active": true, "email": "anna@example.org", "scope": "openid"}
		if v, err := b.Token(t.Context(), "a", "", anna()); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
		if v, err := b.Token(t.Context(), "b", "", anna()); err != nil || v.Cause != account.TokenAudience {
			t.Errorf("%+v, %v", v, err)
		}
		if v, err := b.Token(t.Context(), f.keys[0].sign(t, good("scope", "mail")), "", anna()); err != nil || !v.OK || f.count("/realms/mail/introspect") != 2 {
			t.Errorf("a JWT was asked about: %+v, %v", v, err)
		}
	})
}

// TestIssuerSays: what clients are told, and which tokens are of the issuer.
func TestIssuerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := oidcWorld(t, func(o *OIDC) { o.Scope = "mail" })
		want := account.Discovery{OpenIDConfiguration: issuerURL + "/.well-known/openid-configuration", Scope: "mail"}
		if got := b.Discovery(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		for token, want := range map[string]bool{
			"opaque": true, "a.b.c": true, f.keys[0].sign(t, good()): true, f.keys[0].sign(t, good("iss", "https://x")): false,
		} {
			if got := b.Issued(token); got != want {
				t.Errorf("%s: %v", token, got)
			}
		}
		v, err := b.Password(t.Context(), "anna@example.org", "x", anna())
		if err != nil || v.OK || v.Cause != account.MainPasswordNotSet || b.Passwords() || !b.Tokens() {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestOIDCMistakes(t *testing.T) {
	_, opt := world()
	for key, o := range map[string]OIDC{
		"issuer":             {Issuer: "http://id.example.org"},
		"introspection_url":  {Issuer: issuerURL, IntrospectionURL: "http://id.example.org"},
		"client_secret_file": {Issuer: issuerURL, ClientSecretFile: "/nowhere"},
	} {
		_, err := NewOIDC(opt, o)
		if m, ok := err.(*Mistake); !ok || m.Key != key {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// FuzzClaims: whatever a token says, it is judged without a panic, and nothing
// without an audience is good.
func FuzzClaims(f *testing.F) {
	f.Add(`{"iss":"x","aud":["smtp"],"exp":1e300,"iat":-1,"email":"a@example.org"}`)
	f.Add(`{"aud":{},"exp":null,"scope":5,"email_verified":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseClaims([]byte(text))
		if err != nil {
			return
		}
		i := &issuer{opt: OIDC{Issuer: "x", Audience: []string{"smtp"}, Claim: "email"}, now: func() time.Time { return time.Unix(1e9, 0) }}
		if v := i.judge(&c); v.OK && (len(c.Audience) == 0 || v.Login == "") {
			t.Errorf("%s: %+v", text, v)
		}
	})
}
