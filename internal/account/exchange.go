package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/sasl"
)

// Refusal is why an exchange does not begin. None of them depends on who wants
// to log in.
type Refusal uint8

// The refusals, with the codes of rfc4954#6.
const (
	Allowed           Refusal = iota
	RefusedUnknown            // 504: there is no such mechanism, or it is switched off
	RefusedClear              // 538: it needs TLS
	RefusedWeak               // 534: we have it, and it is switched off as too weak
	RefusedTransition         // 432: not all secrets can be checked by it yet
)

// Mechanisms are the names of those that a client may use, in our order.
func (c *Checker) Mechanisms(ctx context.Context, client Client) []string {
	p := c.policy.Load()
	var names []string
	for _, o := range sasl.Offers() {
		if c.allows(ctx, p, o, client) == Allowed {
			names = append(names, o.Name)
		}
	}
	return names
}

// allows says whether a client may use a mechanism now.
func (c *Checker) allows(ctx context.Context, p *policy, o sasl.Offer, client Client) Refusal {
	clear := client.TLS == ""
	switch o.Name {
	case "PLAIN", "LOGIN":
		if clear && !(p.ClearLoopback && client.Remote.Unmap().IsLoopback()) { // rfc4954#4
			return RefusedClear
		}
		return Allowed
	case "OAUTHBEARER", "XOAUTH2":
		if !p.tokens() {
			return RefusedUnknown
		}
	case "EXTERNAL":
		if !clear && len(client.Certificates) == 0 {
			return RefusedUnknown
		}
	default: // SCRAM
		switch {
		case p.SCRAM == ScramOff:
			return RefusedUnknown
		case strings.HasPrefix(o.Name, "SCRAM-SHA-1") && !p.Secrets.SHA1:
			return RefusedWeak
		case o.Binding && !clear && (client.Binding == nil || client.Binding(sasl.TLSExporter) == nil && client.Binding(sasl.TLSServerEndPoint) == nil):
			return RefusedUnknown
		case !clear && p.SCRAM == ScramAuto && !c.ready.is(ctx, c, p):
			return RefusedTransition
		}
	}
	if clear {
		return RefusedClear
	}
	return Allowed
}

// tokens reports whether any backend checks bearer tokens.
func (p *policy) tokens() bool {
	for _, b := range p.Backends {
		if b.Tokens() {
			return true
		}
	}
	return false
}

// Exchange is one AUTH exchange. It is not safe for concurrent use.
type Exchange struct {
	checker *Checker
	policy  *policy
	client  Client
	machine sasl.Mechanism
	started bool
	keys    scramSecrets
	result  Result
}

// Begin begins an exchange, or says why not; then the try is noted as a failure.
func (c *Checker) Begin(ctx context.Context, mechanism string, client Client, now time.Time) (*Exchange, Refusal) {
	p := c.policy.Load()
	o, ok := sasl.Find(mechanism)
	no := RefusedUnknown
	if ok {
		no = c.allows(ctx, p, o, client)
	}
	if no != Allowed {
		cause := MechanismNotOffered
		switch {
		case no == RefusedClear:
			cause = Unencrypted
		case ok && o.Name == "EXTERNAL":
			cause = CertificateMissing
		}
		c.Refused(cause, mechanism, "", client, now)
		return nil, no
	}
	channel := sasl.Channel{Binding: client.Binding, Nonce: nonce, Hashed: c.hashing}
	if plus, ok := sasl.Find(o.Name + "-PLUS"); ok {
		channel.Plus = c.allows(ctx, p, plus, client) == Allowed
	}
	return &Exchange{checker: c, policy: p, client: client, machine: o.New(channel)}, Allowed
}

// nonce draws what a SCRAM server adds to the client's: 144 bits (rfc5802#5.1).
func nonce() string {
	var raw [18]byte
	rand.Read(raw[:]) // never fails
	return base64.RawStdEncoding.EncodeToString(raw[:])
}

// Answer is what follows from a response: a challenge, or the end.
type Answer struct {
	Challenge []byte
	// Done says that the exchange has ended with Result; Malformed, that it did so
	// because the client's response was none of the mechanism.
	Done, Malformed bool
	Result          Result
}

// Next takes a response of the client: at first its initial one, nil if there
// was none.
func (e *Exchange) Next(ctx context.Context, response []byte, now time.Time) Answer {
	turn := e.machine.Next
	if !e.started {
		e.started, turn = true, e.machine.Start
	}
	for t := turn(response); ; {
		switch t.Do {
		case sasl.Respond:
			return Answer{Challenge: t.Challenge}
		case sasl.LookUp:
			begun := time.Now()
			keys, err := e.lookUp(ctx, now)
			pause(ctx, e.checker.scramPause-time.Since(begun))
			if err != nil {
				return e.end(e.checker.down(e.attempt(now), err))
			}
			t = e.machine.Found(keys)
		case sasl.Check:
			e.result = e.check(ctx, now)
			switch e.result.Cause {
			case BackendDown, TooBusy, Slowed:
				return e.end(e.result)
			}
			t = e.machine.Judged(e.result.Cause == "", e.policy.judgement(e.result.Cause))
		case sasl.Accept, sasl.Reject:
			if t.Do == sasl.Accept && e.result.Login == "" || t.Do == sasl.Reject && e.result.Cause == "" {
				// The machine goes by what it was told; anything else is a defect.
				return e.end(e.checker.down(e.attempt(now), fmt.Errorf("the mechanism %s came to an end of its own", e.machine.Credentials().Mechanism)))
			}
			return e.end(e.result)
		default:
			a := e.attempt(now)
			e.checker.know(a)
			cause := Malformed
			switch a.cred.Oddity {
			case sasl.Base64Twice:
				cause = Base64Twice
			case sasl.BindingDiffers:
				cause = ChannelBinding
				a.detail = "the program asked for channel binding of a kind that is not offered here; tls-exporter and tls-server-end-point are"
			}
			return Answer{Done: true, Malformed: true, Result: e.checker.failed(a, cause)}
		}
	}
}

func (e *Exchange) end(r Result) Answer { return Answer{Done: true, Result: r} }

func (e *Exchange) attempt(now time.Time) *attempt {
	cred := e.machine.Credentials()
	return &attempt{policy: e.policy, cred: cred, client: e.client, now: now, login: NormalizeLogin(cred.Login)}
}

// check asks whether the credentials are right, unless too many wrong ones came
// before; every rejected one counts alike, whatever was wrong with it. Who has to
// wait does so before the check: after it he could hang up on silence, and would
// know. One that could not be checked counts for nothing.
func (e *Exchange) check(ctx context.Context, now time.Time) Result {
	a, c := e.attempt(now), e.checker
	if c.guesses == nil {
		return e.judge(ctx, a)
	}
	before := c.guesses.Before
	if strings.HasPrefix(a.cred.Mechanism, "SCRAM") {
		before = c.guesses.BeforeProof
	}
	hold := before(a.client.Remote, a.login, now)
	if hold.Until.IsZero() && hold.Delay > 0 {
		if err := c.wait(ctx, hold.Delay); err != nil {
			return c.down(a, err)
		}
		now = now.Add(hold.Delay)
		a.now = now
		hold = before(a.client.Remote, a.login, now) // others may have guessed meanwhile
	}
	if !hold.Until.IsZero() {
		c.know(a)
		r := c.failed(a, Slowed)
		r.Until = hold.Until
		return r
	}
	a.home = c.guesses.AtHome(a.client.Remote, a.login, now)
	r := e.judge(ctx, a)
	switch {
	case r.Cause == "":
		c.guesses.Right(a.client.Remote, a.login, now)
		if r.Login != a.login { // a backend knows it by another name
			c.guesses.Right(a.client.Remote, r.Login, now)
		}
	case r.Cause == Slowed:
		r.Until = before(a.client.Remote, a.login, now).Until
	case r.Cause == BackendDown || r.Cause == TooBusy || r.Cause == AccountDisabled && !r.Unproved: // no secret was wrong
	default:
		hold := c.guesses.Wrong(a.client.Remote, a.login, a.cred.Secret, now)
		if n := hold.Banned; n.IsValid() {
			a.policy.Log.Warn("too many wrong logins: a network is refused on the ports for users; let it in with: onward ban remove "+n.String(),
				"network", n.String(), "until", hold.Until)
		}
	}
	return r
}

// scramPause is how long the look-up of SCRAM takes at least. Reading an account
// takes longer the more app passwords it has (0.6 ms with MaxScramSecrets of them),
// and a name that no account has takes next to nothing: who measures the time to
// the challenge must not learn that.
const scramPause = 3 * time.Millisecond

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// wait lets a stranger wait, if not too many do. An error wraps ErrCrowded.
func (c *Checker) wait(ctx context.Context, d time.Duration) error {
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return fmt.Errorf("too many wait because of wrong secrets: %w", ErrCrowded)
	}
	if pause(ctx, d); ctx.Err() != nil {
		return fmt.Errorf("%w: it did not wait for its turn: %w", ErrCrowded, ctx.Err())
	}
	return nil
}

// maxWaiting is how many strangers wait at a time because too many wrong secrets
// came before: each holds a connection, and those are for others too. What comes
// beyond is answered at once, that it could not be checked.
const maxWaiting = 1000

// Blocked says until when nobody may log in from an address; zero: now.
func (c *Checker) Blocked(client netip.Addr, now time.Time) time.Time {
	if c.guesses == nil {
		return time.Time{}
	}
	return c.guesses.Before(client, "", now).Until
}

func (e *Exchange) judge(ctx context.Context, a *attempt) Result {
	c := e.checker
	switch a.cred.Mechanism {
	case "PLAIN", "LOGIN":
		return c.password(ctx, a)
	case "OAUTHBEARER", "XOAUTH2":
		return c.token(ctx, a)
	case "EXTERNAL":
		return c.certificate(ctx, a)
	}
	return c.proof(a, &e.keys)
}
