package backend

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"
)

const issuerURL = "http://127.0.0.1:9000/realms/mail"

// A key of an issuer, with its id.
type signer struct {
	kid string
	key crypto.Signer
}

func rsaSigner(t *testing.T, kid string) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, key}
}

func ecSigner(t *testing.T, kid string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, key}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the public key as in a JWKS (rfc7517).
func (s signer) jwk() map[string]any {
	switch k := s.key.Public().(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": s.kid, "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			panic(err)
		}
		return map[string]any{"kty": "EC", "kid": s.kid, "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	}
	return nil
}

// sign makes a JWT.
func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	alg := "RS256"
	if _, ec := s.key.(*ecdsa.PrivateKey); ec {
		alg = "ES256"
	}
	text := unsignedJWT(t, map[string]any{"alg": alg, "kid": s.kid, "typ": "at+jwt"}, claims)
	sum := sha256.Sum256([]byte(text))
	if k, ok := s.key.(*ecdsa.PrivateKey); ok {
		r, v, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64(append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...))
	}
	sig, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(sig)
}

func unsignedJWT(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return b64(h) + "." + b64(c)
}

// fakeIssuer serves configuration, keys and introspection.
type fakeIssuer struct {
	mu      sync.Mutex // guards the rest
	keys    []signer
	status  int           // of everything, if not 0
	ahead   time.Duration // of its clock
	asked   map[string]int
	opaque  map[string]map[string]any
	jwksRaw string
	slow    time.Duration // how long keys are on their way
}

func (f *fakeIssuer) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeIssuer) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

func (f *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[r.URL.Path]++
	w.Header().Set("Date", time.Now().Add(f.ahead).UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	switch r.URL.Path {
	case "/realms/mail/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": issuerURL, "jwks_uri": issuerURL + "/keys", "introspection_endpoint": issuerURL + "/introspect",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case "/realms/mail/keys":
		if f.jwksRaw != "" {
			fmt.Fprint(w, f.jwksRaw)
			return
		}
		keys := []map[string]any{{"kty": "OKP", "crv": "X448", "kid": "strange", "x": "AA"}}
		for _, k := range f.keys {
			keys = append(keys, k.jwk())
		}
		if f.slow > 0 {
			f.mu.Unlock()
			time.Sleep(f.slow)
			f.mu.Lock()
		}
		json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	case "/realms/mail/introspect":
		user, secret, _ := r.BasicAuth()
		if user != "on%3Award" || secret != "s3%2Fcret" || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer := f.opaque[r.FormValue("token")]
		if answer == nil {
			answer = map[string]any{"active": false}
		}
		json.NewEncoder(w).Encode(answer)
	}
}

// oidcWorld is an issuer with one key, and a backend that believes it. It is for a
// bubble.
func oidcWorld(t *testing.T, change func(*OIDC)) (*fakeIssuer, *Issuer) {
	t.Helper()
	n, opt := world()
	f := &fakeIssuer{asked: make(map[string]int), opaque: make(map[string]map[string]any), keys: []signer{ecSigner(t, "one")}}
	serveHTTP(t, n, "127.0.0.1:9000", f)
	o := OIDC{Issuer: issuerURL, Audience: []string{"smtp", "mail"}, Claim: "email", Leeway: 30 * time.Second}
	if change != nil {
		change(&o)
	}
	b, err := NewOIDC(opt, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return f, b
}
