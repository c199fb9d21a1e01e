package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// Callback is a service of one's own that is asked by HTTP.
type Callback struct {
	// URL is where the question is posted.
	URL string
	// TokenFile has the bearer token by which the service knows us (rfc6750#2.1).
	TokenFile string
	// Username and PasswordFile are for Basic (rfc7617#2), instead.
	Username, PasswordFile string
}

// NewCallback returns a backend. It does not connect. The error is a Mistake.
func NewCallback(opt Options, c Callback) (*Backend, error) {
	u, err := secureURL(c.URL)
	if err != nil {
		return nil, &Mistake{"url", err}
	}
	s := &callback{url: u.String(), username: c.Username}
	switch {
	case c.TokenFile != "":
		s.bearer, err = readSecret("token_file", c.TokenFile)
	case c.PasswordFile != "":
		s.secret, err = readSecret("password_file", c.PasswordFile)
	}
	if err != nil {
		return nil, err
	}
	if s.transport, err = newTransport(opt); err != nil {
		return nil, err
	}
	s.client = newClient(s.transport)
	return newBackend(opt, s), nil
}

// callback is the source.
type callback struct {
	url                      string
	bearer, username, secret string
	transport                *http.Transport
	client                   *http.Client
}

func (c *callback) close() { c.transport.CloseIdleConnections() }

// question is what is posted.
type question struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	Remote   string `json:"remote,omitempty"`
	Service  string `json:"service,omitempty"`
}

// reply is what a service answers with 200. Ok must be there.
type reply struct {
	OK     *bool         `json:"ok"`
	Login  string        `json:"login"`
	Cause  account.Cause `json:"cause"`
	Proved bool          `json:"proved"`
	Detail string        `json:"detail"`
}

// repliedCauses are those that a service may give.
func repliedCauses() []account.Cause {
	return []account.Cause{account.WrongPassword, account.UnknownUser, account.AccountDisabled, account.AppPasswordRequired}
}

func (c *callback) password(ctx context.Context, login, password string, client account.Client) (account.Verdict, error) {
	q := question{Login: login, Password: password, Service: client.Service}
	if client.Remote.IsValid() {
		q.Remote = client.Remote.Unmap().String()
	}
	body, err := json.Marshal(q)
	if err != nil {
		return account.Verdict{}, cannotTell("write the question: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return account.Verdict{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	switch {
	case c.bearer != "":
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	case c.username != "":
		r.SetBasicAuth(c.username, c.secret)
	}
	status, answer, err := fetch(c.client, r)
	if err != nil {
		return account.Verdict{}, err
	}
	return callbackVerdict(status, answer)
}

// callbackVerdict reads an answer. What is not agreed is no answer at all.
func callbackVerdict(status int, body []byte) (account.Verdict, error) {
	switch status {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return account.Verdict{Cause: account.BackendRejected, Detail: fmt.Sprintf("the service answered %d %s", status, http.StatusText(status))}, nil
	default:
		return account.Verdict{}, notOK("the service", status)
	}
	var a reply
	if err := json.Unmarshal(body, &a); err != nil {
		return account.Verdict{}, cannotTell("the service's answer is not the JSON object that was agreed: %w", err)
	}
	switch {
	case a.OK == nil:
		return account.Verdict{}, cannotTell(`the service's answer has no "ok"`)
	case *a.OK:
		return account.Verdict{OK: true, Login: a.Login, Detail: a.Detail}, nil
	case a.Cause == "":
		a.Cause = account.BackendRejected
	case !slices.Contains(repliedCauses(), a.Cause):
		a.Detail = "the service gave the unknown cause " + string(a.Cause) + "; " + a.Detail
		a.Cause = account.BackendRejected
	}
	return account.Verdict{Cause: a.Cause, Proved: a.Proved, Detail: a.Detail}, nil
}

// notOK tells a server that is overloaded or behind a proxy that cannot reach it
// from one that could not cope with this one request.
func notOK(who string, status int) error {
	err := fmt.Errorf("%s answered %d %s, which decides nothing", who, status, http.StatusText(status))
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return err
	}
	return undecided{err}
}

// Bounds of HTTP.
const (
	maxBody   = 1 << 20 // octets of an answer
	maxHeader = 32 << 10
	httpIdle  = 90 * time.Second
)

// secureURL reads a URL that may be told secrets.
func secureURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%q is not the address of a service: it begins with https:// and a host", s)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s: %w", s, errClear)
	}
	return u, nil
}

// newTransport makes connections that go where they are told: not through a proxy
// of the environment, which would see secrets.
func newTransport(opt Options) (*http.Transport, error) {
	tls, err := clientTLS(opt.CAFile, "")
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		DialContext: opt.dialer(), TLSClientConfig: tls, ForceAttemptHTTP2: true,
		MaxIdleConns: opt.Connections, MaxIdleConnsPerHost: opt.Connections, IdleConnTimeout: httpIdle,
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
	}, nil
}

// newClient follows no redirections: a secret goes to nobody else.
func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fetch sends a request and reads the answer.
func fetch(c *http.Client, r *http.Request) (status int, body []byte, err error) {
	res, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("read the answer of %s: %w", r.URL.Redacted(), err)
	case len(body) > maxBody:
		return 0, nil, fmt.Errorf("the answer of %s is longer than %d octets", r.URL.Redacted(), maxBody)
	}
	return res.StatusCode, body, nil
}
