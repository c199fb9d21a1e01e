//go:build peers

package peers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// issuer is a small OpenID issuer over TLS: configuration, keys, introspection.
type issuer struct {
	*httptest.Server
	pem string // its certificate

	mu     sync.Mutex // guards the rest
	keys   map[string]crypto.Signer
	opaque map[string]map[string]any
	down   bool
	hang   chan struct{} // not nil: nothing is answered until it is closed
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{keys: make(map[string]crypto.Signer), opaque: make(map[string]map[string]any)}
	mux := http.NewServeMux()
	answer := func(path string, make func(r *http.Request) any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			i.mu.Lock()
			hang := i.hang
			i.mu.Unlock()
			if hang != nil {
				<-hang
			}
			i.mu.Lock()
			defer i.mu.Unlock()
			v := make(r)
			if i.down || v == nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	answer("/.well-known/openid-configuration", func(*http.Request) any {
		return map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "introspection_endpoint": i.URL + "/introspect"}
	})
	answer("/keys", func(*http.Request) any {
		var keys []map[string]string
		for kid, k := range i.keys {
			keys = append(keys, jwk(kid, k))
		}
		return map[string]any{"keys": keys}
	})
	answer("POST /introspect", func(r *http.Request) any {
		if user, secret, _ := r.BasicAuth(); user != "onward" || secret != "s3cret" {
			return nil
		}
		if a := i.opaque[r.FormValue("token")]; a != nil {
			return a
		}
		return map[string]any{"active": false}
	})
	i.Server = httptest.NewTLSServer(mux)
	i.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}))
	t.Cleanup(i.Close)
	return i
}

func jwk(kid string, k crypto.Signer) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	if p, ok := k.Public().(*rsa.PublicKey); ok {
		return map[string]string{"kty": "RSA", "kid": kid, "n": b64(p.N.Bytes()), "e": b64(big.NewInt(int64(p.E)).Bytes())}
	}
	point, err := k.Public().(*ecdsa.PublicKey).Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	return map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:])}
}

// rotate puts a new key in the place of all.
func (i *issuer) rotate(t *testing.T, kid string, rs bool) {
	t.Helper()
	var k crypto.Signer
	var err error
	if rs {
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]crypto.Signer{kid: k}
}

// token is a JWT by the one key; changes come in pairs.
func (i *issuer) token(t *testing.T, changes ...any) string {
	t.Helper()
	now := time.Now().Unix()
	c := map[string]any{"iss": i.URL, "aud": "smtp", "iat": now, "exp": now + 600, "email": "anna@example.org", "scope": "openid mail"}
	for n := 0; n < len(changes); n += 2 {
		c[changes[n].(string)] = changes[n+1]
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for kid, k := range i.keys {
		alg := "ES256"
		if _, ok := k.(*rsa.PrivateKey); ok {
			alg = "RS256"
		}
		payload, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		text := b64(fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, alg, kid)) + "." + b64(payload)
		sum := sha256.Sum256([]byte(text))
		var sig []byte
		if e, ok := k.(*ecdsa.PrivateKey); ok {
			r, s, bad := ecdsa.Sign(rand.Reader, e, sum[:])
			if bad != nil {
				t.Fatal(bad)
			}
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		} else if sig, err = k.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
		return text + "." + b64(sig)
	}
	t.Fatal("the issuer has no key")
	return ""
}

// TestIssuer has tokens of a small issuer judged: both usual algorithms, rotation, clocks, audience, introspection, and an issuer
// that is down or hangs.
func TestIssuer(t *testing.T) {
	i := newIssuer(t)
	i.rotate(t, "first", true)
	o := withBackends(t, fmt.Sprintf(`
[login.backends.id]
kind = "oidc"
domains = ["example.org"]
issuer = %[1]q
ca_file = "issuer.pem"
audience = ["smtp"]
scope = "mail"
timeout = "2s"
introspection = "opaque"
client_id = "onward"
client_secret_file = "client.secret"
[login.backends.unknown]
kind = "oidc"
domains = ["example.org"]
issuer = %[1]q
audience = ["smtp"]
`, i.URL), map[string]string{"issuer.pem": i.pem, "client.secret": "s3cret\n"})
	token := func(want, token string, login ...string) verdict {
		t.Helper()
		return o.expect(t, want, token, append([]string{"--token", "id"}, login...)...)
	}
	if v := token("", i.token(t)); v.Login != "anna@example.org" {
		t.Errorf("%+v", v)
	}
	token("", i.token(t), "Anna@example.org")
	token("token_user", i.token(t), "bea@example.org")
	now := time.Now().Unix()
	if v := token("token_expired", i.token(t, "exp", now-60)); !strings.HasPrefix(v.Detail, "it ended 1m") {
		t.Error(v.Detail)
	}
	token("", i.token(t, "exp", now-10))
	token("token_clock_skew", i.token(t, "nbf", now+600))
	token("token_audience", i.token(t, "aud", "imap"))
	token("token_audience", i.token(t, "scope", "openid"))
	token("token_user", i.token(t, "email", "anna@example.net"))
	token("token_invalid", i.token(t, "email_verified", false))
	token("token_invalid", i.token(t, "iss", "https://id.example.net"))

	old := i.token(t)
	i.rotate(t, "second", false)
	token("", i.token(t))
	token("token_invalid", old)

	i.mu.Lock()
	i.opaque["opaque-1"] = map[string]any{"active": true, "email": "anna@example.org", "aud": "smtp", "scope": "mail"}
	i.mu.Unlock()
	token("", "opaque-1")
	token("token_invalid", "opaque-2")

	if v := o.expect(t, "down", i.token(t), "--token", "unknown"); !strings.Contains(v.Down, "certificate") {
		t.Errorf("an issuer whose certificate nobody vouches for: %+v", v)
	}

	good := i.token(t)
	i.mu.Lock()
	i.hang = make(chan struct{})
	i.mu.Unlock()
	if v := token("down", "opaque-1"); !strings.Contains(v.Down, "no answer within 2s") {
		t.Error(v.Down)
	}
	token("", good) // it needs no question
	i.mu.Lock()
	close(i.hang)
	i.hang, i.down = nil, true
	i.mu.Unlock()
	if v := token("down", "opaque-1"); !strings.Contains(v.Down, "503") {
		t.Error(v.Down)
	}
	i.mu.Lock()
	i.down = false
	i.mu.Unlock()
	token("", "opaque-1")
}

// TestCallback has a service of one's own asked, over TLS and with a secret.
func TestCallback(t *testing.T) {
	var status atomic.Int64
	service := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Login, Password string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if s := status.Load(); s != 0 {
			w.WriteHeader(int(s))
			return
		}
		switch {
		case q.Password != "correct horse":
			io.WriteString(w, `{"ok":false,"cause":"wrong_password","detail":"says the service"}`)
		case q.Login == "off@example.org":
			io.WriteString(w, `{"ok":false,"cause":"account_disabled","proved":true}`)
		default:
			io.WriteString(w, `{"ok":true}`)
		}
	}))
	defer service.Close()
	o := withBackends(t, fmt.Sprintf("[login.backends.own]\nkind = \"http\"\ndomains = [\"*\"]\nurl = %q\nca_file = \"service.pem\"\ntoken_file = \"token\"\n", service.URL),
		map[string]string{
			"service.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw})), "token": "s3cret\n",
		})
	o.expect(t, "", "correct horse", "own", "anna@example.org")
	if v := o.expect(t, "wrong_password", "wrong horse", "own", "anna@example.org"); v.Detail != "says the service" {
		t.Errorf("%+v", v)
	}
	if v := o.expect(t, "account_disabled", "correct horse", "own", "off@example.org"); !v.Proved {
		t.Errorf("%+v", v)
	}
	for code, want := range map[int64]string{401: "backend_rejected", 403: "backend_rejected", 302: "down", 500: "down", 503: "down"} {
		status.Store(code)
		o.expect(t, want, "correct horse", "own", "anna@example.org")
	}
	status.Store(0)
	o.expect(t, "", "correct horse", "own", "anna@example.org")
	service.Close()
	o.expect(t, "down", "correct horse", "own", "anna@example.org")
}
