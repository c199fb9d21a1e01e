package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Times of an issuer's keys.
const (
	// keysLife is after how long configuration and keys are read anew, so that a key
	// which the issuer withdraws is good for no longer.
	keysLife = time.Hour
	// keysStale is how long old ones are used while the issuer cannot be reached.
	keysStale = 24 * time.Hour
	// keysRetry is how long to wait after a try in vain.
	keysRetry = time.Minute
	// keysBurst and keysEach bound how often keys are read because of tokens that
	// none of them has signed: any stranger can write those.
	keysBurst = 5
	keysEach  = 2 * time.Second
)

// unsigned says that no key of the issuer has signed a token.
type unsigned struct{ error }

// errNoKeys is said while there are none.
var errNoKeys = errors.New("the issuer's keys are not known yet")

// algorithms are those with which an issuer may sign. None is symmetric, and
// «none» is not among them (rfc8725#3.1).
func algorithms() []string {
	return []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
		oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
	}
}

// issuerKeys are the public keys of an issuer: found by its configuration when
// the first token comes, read again when a token has a key that is not among them
// (OpenID Connect Core, 10.1.1), and anew every hour.
type issuerKeys struct {
	client *http.Client
	issuer string
	// turn has room for the one who reads them anew.
	turn chan struct{}

	mu  sync.Mutex // guards the rest
	now *keyset
	// again is when to try again after a try in vain.
	again time.Time
}

func newIssuerKeys(client *http.Client, issuer string) *issuerKeys {
	return &issuerKeys{client: client, issuer: issuer, turn: make(chan struct{}, 1)}
}

// keyset is one reading of an issuer's configuration.
type keyset struct {
	verifier      *oidc.IDTokenVerifier
	introspection string
	since         time.Time
}

// verify returns the claims of a token that the issuer has signed. The error is
// unsigned if it has not.
func (k *issuerKeys) verify(ctx context.Context, token string) ([]byte, error) {
	old, fresh := k.current()
	if !fresh {
		if payload, err, done := k.renew(ctx, old, func(s *keyset) ([]byte, error) { return s.verify(ctx, token) }); done {
			return payload, err
		}
		old, _ = k.current()
	}
	if old == nil {
		return nil, errNoKeys
	}
	return old.verify(ctx, token)
}

// introspectionURL is where the issuer's configuration says that tokens are asked
// about.
func (k *issuerKeys) introspectionURL(ctx context.Context) (string, error) {
	old, fresh := k.current()
	if !fresh {
		if _, err, done := k.renew(ctx, old, func(*keyset) ([]byte, error) { return nil, nil }); done && err != nil {
			return "", err
		}
		old, _ = k.current()
	}
	switch {
	case old == nil:
		return "", errNoKeys
	case old.introspection == "":
		return "", cannotTell("the issuer's configuration has no introspection_endpoint; set introspection_url")
	}
	return old.introspection, nil
}

// current is the keyset in force, if there is one that may still be used; fresh
// says that nothing is to be done about it.
func (k *issuerKeys) current() (s *keyset, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	switch {
	case k.now == nil || now.Sub(k.now.since) > keysStale:
		return nil, false
	case now.Sub(k.now.since) < keysLife || now.Before(k.again):
		return k.now, true
	}
	return k.now, false
}

// renew reads the configuration anew and uses it at once; done says that this
// came to something, or that there are no old keys to use instead. While somebody
// else does it, old keys do.
func (k *issuerKeys) renew(ctx context.Context, old *keyset, use func(*keyset) ([]byte, error)) (payload []byte, err error, done bool) {
	if old == nil {
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err(), true
		}
	} else {
		select {
		case k.turn <- struct{}{}:
		default:
			return nil, nil, false
		}
	}
	defer func() { <-k.turn }()
	if _, fresh := k.current(); fresh { // by another, meanwhile
		return nil, nil, false
	}
	if old != nil { // time must be left for them
		if end, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
			defer cancel()
		}
	}
	s, err := k.discover(ctx)
	if err == nil {
		payload, err = use(s)
	}
	if err != nil && !errors.As(err, new(unsigned)) {
		k.mu.Lock()
		k.again = time.Now().Add(keysRetry)
		k.mu.Unlock()
		return nil, err, old == nil
	}
	k.mu.Lock()
	k.now, k.again = s, time.Time{}
	k.mu.Unlock()
	return payload, err, true
}

// discover reads the issuer's configuration (OpenID Connect Discovery, 4).
func (k *issuerKeys) discover(ctx context.Context) (*keyset, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.issuer)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's configuration: %w", err)
	}
	var more struct {
		JWKS          string `json:"jwks_uri"`
		Introspection string `json:"introspection_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, fmt.Errorf("read the issuer's configuration: %w", err)
	}
	for _, u := range []string{more.JWKS, more.Introspection} {
		if u == "" {
			continue
		}
		if _, err := secureURL(u); err != nil {
			return nil, fmt.Errorf("the issuer's configuration: %w", err)
		}
	}
	ring := &keyring{client: k.client, url: more.JWKS, turn: make(chan struct{}, 1), left: keysBurst, since: time.Now()}
	return &keyset{
		verifier: oidc.NewVerifier(k.issuer, ring, &oidc.Config{
			SupportedSigningAlgs: algorithms(),
			// These are judged by ourselves, so that each has its cause.
			SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true,
		}),
		introspection: more.Introspection, since: time.Now(),
	}, nil
}

// verify returns the claims of a token, and tells one that nobody signed from keys
// that cannot be read.
func (s *keyset) verify(ctx context.Context, token string) ([]byte, error) {
	var sig signature
	_, err := s.verifier.Verify(context.WithValue(ctx, signatureKey{}, &sig), token)
	switch {
	case err == nil:
		return sig.payload, nil
	case sig.trouble != nil:
		return nil, sig.trouble
	}
	return nil, unsigned{err}
}

// signature is what came of looking at a signature; the verifier keeps the words
// of an error and loses the rest.
type signature struct {
	payload []byte
	trouble error
}

type signatureKey struct{}

// issuerTransport bounds what is read, and notes how the issuer's clock stands.
type issuerTransport struct {
	next http.RoundTripper
	skew *skew
}

// RoundTrip implements http.RoundTripper.
func (t *issuerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := time.Now()
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil { // rfc9110#6.6.1
		t.skew.note(asked.Sub(date), time.Now())
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxBody), res.Body}
	return res, nil
}

// skew is how far our clock is ahead of the issuer's, by the last answer of it.
type skew struct {
	mu    sync.Mutex // guards the rest
	ahead time.Duration
	at    time.Time
}

func (s *skew) note(ahead time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead, s.at = ahead, now
}

// get returns it if it is not older than the keys are.
func (s *skew) get(now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ahead, !s.at.IsZero() && now.Sub(s.at) < 2*keysLife
}
