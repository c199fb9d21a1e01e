package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyring is the keys that an issuer publishes at one address. A token that none
// of them has signed makes it read them again, for the token may be by a new one
// (OpenID Connect Core, 10.1.1).
//
// It is ours and not the library's, which may answer with a reading that began
// before the token came: a good token by a new key would be called wrong.
type keyring struct {
	client *http.Client
	url    string
	// turn has room for the one who reads.
	turn chan struct{}

	mu   sync.Mutex // guards the rest
	keys []jose.JSONWebKey
	// begun is when the last reading that succeeded began.
	begun time.Time
	// left is how many more may be made, and since is when it was reckoned.
	left  int
	since time.Time
}

// errUnsigned says that no key has signed a token, errSeldom why keys were not
// read to find out.
var (
	errUnsigned = errors.New("no key of the issuer has signed it")
	errSeldom   = errors.New("the issuer's keys were read a moment ago, and none of them is the token's")
)

// VerifySignature implements oidc.KeySet.
func (k *keyring) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.verify(ctx, token)
	if sig, ok := ctx.Value(signatureKey{}).(*signature); ok {
		if sig.payload = payload; err != nil && !errors.Is(err, errUnsigned) {
			sig.trouble = err
		}
	}
	return payload, err
}

func (k *keyring) verify(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsigned, err)
	}
	came := time.Now()
	keys, _ := k.known()
	if payload, ok := signedBy(keys, jws); ok {
		return payload, nil
	}
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-k.turn }()
	keys, begun := k.known()
	if !begun.After(came) { // nobody has read them since
		if keys, err = k.read(ctx); err != nil {
			return nil, err
		}
	}
	if payload, ok := signedBy(keys, jws); ok {
		return payload, nil
	}
	return nil, errUnsigned
}

// signedBy tries the keys that the token may mean.
func signedBy(keys []jose.JSONWebKey, jws *jose.JSONWebSignature) ([]byte, bool) {
	id := jws.Signatures[0].Header.KeyID
	for i := range keys {
		if id != "" && keys[i].KeyID != id {
			continue
		}
		if payload, err := jws.Verify(&keys[i]); err == nil {
			return payload, true
		}
	}
	return nil, false
}

func (k *keyring) known() ([]jose.JSONWebKey, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, k.begun
}

// allowed takes one of the readings that are left.
func (k *keyring) allowed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if more := int(time.Since(k.since) / keysEach); more > 0 {
		k.left = min(k.left+more, keysBurst)
		k.since = time.Now()
	}
	if k.left == 0 {
		return false
	}
	k.left--
	return true
}

// read reads the keys; who calls it has the turn.
func (k *keyring) read(ctx context.Context) ([]jose.JSONWebKey, error) {
	if !k.allowed() {
		return nil, undecided{errSeldom}
	}
	begun := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Cache-Control", "no-cache")
	status, body, err := fetch(k.client, r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	case status != http.StatusOK:
		return nil, fmt.Errorf("read the issuer's keys: %s answered %d", k.url, status)
	}
	keys, err := parseKeys(body)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.begun = keys, begun
	return keys, nil
}

// parseKeys reads a JWK set. Keys of a kind that we do not know are passed over
// (rfc7517#5), and so are those that are not for signatures (rfc7517#4.2).
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) == nil && key.IsPublic() && key.Valid() && (key.Use == "" || key.Use == "sig") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the %d keys there can be used", len(set.Keys))
	}
	return slices.Clip(keys), nil
}

// signatureAlgorithms is algorithms, for the library that looks at signatures.
func signatureAlgorithms() []jose.SignatureAlgorithm {
	var all []jose.SignatureAlgorithm
	for _, a := range algorithms() {
		all = append(all, jose.SignatureAlgorithm(a))
	}
	return all
}
