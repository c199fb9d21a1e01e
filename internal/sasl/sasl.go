// Package sasl holds the server side of the mechanisms of AUTH as state
// machines: events in, turns out.
//
// A mechanism is told what the client said (Start, Next), which keys belong to
// the name it gave (Found) and whether its credentials are right (Judged). Each
// time it says what is to be done now:
//
//	Start ─┬─► Respond ──► Next ─┐        (as often as the mechanism asks)
//	       │◄───────────────────┘
//	       ├─► LookUp ───► Found ───► Respond ──► Next ─┐   SCRAM only
//	       │◄──────────────────────────────────────────┘
//	       ├─► Check ────► Judged ─┬─► Accept               235
//	       │                       ├─► Reject               535
//	       │                       └─► Respond ──► Next ──► Accept or Reject
//	       └─► Malformed                                    501 5.5.4
//
// What it promises: no I/O, no clock, no goroutine, no randomness; every field
// is bounded; every event is answered at every stage, and one out of turn ends
// the exchange as Malformed, never as Accept. What a client hears depends on
// what it sent and on one bit, ok; an account that does not exist passes
// through the same turns as one that does. What it does not promise: to know
// accounts. It compares nothing but SCRAM's proofs.
//
// User names are handed over as they were sent, in every mechanism alike: they
// are compared in one place, by the accounts' own rules of Unicode and case
// (rfc5802#5.1 allows that instead of SASLprep). Passwords are prepared where
// keys are made of them; see SaltedKeys.
//
// RFC 4422 (SASL, EXTERNAL), RFC 4616 (PLAIN), draft-murchison-sasl-login
// (LOGIN), RFC 5802 and RFC 7677 (SCRAM), RFC 5929 and RFC 9266 (channel
// bindings), RFC 7628 (OAUTHBEARER), and Google's description of XOAUTH2.
// CRAM-MD5 is not here: it needs the password in clear on the server.
package sasl

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	// MaxSecret is the longest user name or password that is read, in octets; the
	// limit of the line alone (rfc4954#4) would allow 9 KB of argon2 input.
	MaxSecret = 1024
	// MaxToken is the longest bearer token, in octets: those of large identity
	// providers, with their lists of groups, come to half of it.
	MaxToken = 8192
)

// Credentials are what a client offered. Which fields are set depends on the
// mechanism; while an exchange is under way, on how far it has come.
type Credentials struct {
	// Mechanism is its name in capitals, from the beginning.
	Mechanism string
	// Authorize is the identity to act as, "" for the login itself (authzid of
	// PLAIN and SCRAM).
	Authorize string
	// Login is the identity whose secret is given (authcid). OAUTHBEARER, XOAUTH2
	// and EXTERNAL prove who somebody is by something else than a name; their
	// Login is whom the client says it is, "" when it does not say.
	Login string
	// Secret is the password as it was sent (PLAIN, LOGIN) or the bearer token
	// (OAUTHBEARER, XOAUTH2). An OAUTHBEARER client that only asks where to get a
	// token leaves it empty (rfc7628#4.3); it is never accepted, whatever Judged
	// says.
	Secret string
	// Key is, for SCRAM, the index in Keys.Candidates of the key whose proof was
	// right, -1 for none; -1 for every other mechanism.
	Key int
	// Oddity is what is odd about the dialogue; it may explain a failure.
	Oddity Oddity
}

// Turn is what follows from an event.
type Turn struct {
	Do        Do
	Challenge []byte // with Respond: what to send, not yet in base64; may be empty
}

// Do is what the caller does next.
type Do uint8

const (
	// Respond means: send Challenge, then call Next with the client's response.
	Respond Do = iota
	// LookUp means: find the keys of Credentials().Login, then call Found.
	LookUp
	// Check means: Credentials are complete; check them, then call Judged.
	Check
	// Accept means: say 235.
	Accept
	// Reject means: say 535.
	Reject
	// Malformed means: what the client sent is not one of the mechanism.
	Malformed
)

func (d Do) String() string {
	names := [...]string{"Respond", "LookUp", "Check", "Accept", "Reject", "Malformed"}
	if int(d) < len(names) {
		return names[d]
	}
	return "unknown"
}

// Mechanism is one exchange.
type Mechanism interface {
	// Start is called once. initial is nil when there was no initial response, and
	// empty when it was "=" (rfc4954#4).
	Start(initial []byte) Turn
	// Next takes the client's response to a challenge.
	Next(response []byte) Turn
	// Found answers LookUp. A name without an account gets keys, too.
	Found(k Keys) Turn
	// Judged answers Check.
	Judged(ok bool, j Judgement) Turn
	Credentials() Credentials
}

// Judgement goes to the client where a mechanism has a place for it. All of it
// may be empty.
type Judgement struct {
	// Status is an error code of OAuth, "invalid_token" if empty (rfc7628#3.2.2).
	Status string
	// Scope is what a token needs.
	Scope string
	// OpenIDConfiguration is the URL at which a client learns where tokens come
	// from.
	OpenIDConfiguration string
}

// Channel is what the connection gives an exchange.
type Channel struct {
	// Binding returns the channel binding of a type, TLSExporter or EndPoint, and
	// nil if the connection has none of that type. A nil func: no TLS.
	Binding func(kind string) []byte
	// Plus says that the -PLUS variant is offered on this connection.
	Plus bool
	// Nonce returns a fresh nonce: printable ASCII without a comma, of at least 128
	// random bits. Only SCRAM calls it.
	Nonce func() string
	// Hashed, if it is not nil, is called once for every hash operation over a
	// candidate; so a test can count that every failure costs the same.
	Hashed func()
}

// Offer is a mechanism that a server may offer.
type Offer struct {
	Name string
	// Clear says that it sends the secret itself, so it needs TLS.
	Clear bool
	// Binding says that it binds to the TLS channel, so it needs one.
	Binding bool
	New     func(Channel) Mechanism
}

// Offers returns all mechanisms in the order in which they are announced: first
// those that do not give the secret away.
func Offers() []Offer {
	return []Offer{
		{Name: "SCRAM-SHA-256-PLUS", Binding: true, New: newScram("SCRAM-SHA-256-PLUS", SHA256, true)},
		{Name: "SCRAM-SHA-256", New: newScram("SCRAM-SHA-256", SHA256, false)},
		{Name: "SCRAM-SHA-1-PLUS", Binding: true, New: newScram("SCRAM-SHA-1-PLUS", SHA1, true)},
		{Name: "SCRAM-SHA-1", New: newScram("SCRAM-SHA-1", SHA1, false)},
		{Name: "EXTERNAL", New: newExternal},
		{Name: "OAUTHBEARER", Clear: true, New: newOAuthBearer},
		{Name: "XOAUTH2", Clear: true, New: newXOAuth2},
		{Name: "PLAIN", Clear: true, New: newPlain},
		{Name: "LOGIN", Clear: true, New: newLogin},
	}
}

// Find returns the offer with the name, in any case.
func Find(name string) (Offer, bool) {
	for _, o := range Offers() {
		if strings.EqualFold(o.Name, name) {
			return o, true
		}
	}
	return Offer{}, false
}

// stage is where an exchange is: which event it waits for.
type stage uint8

const (
	fresh    stage = iota // Start
	asked                 // Next, with the message that was asked for
	named                 // LOGIN: Next, with the password
	looking               // Found
	proving               // SCRAM: Next, with the proof
	checking              // Judged
	refusing              // Next, with the empty words that let a client hear of its failure
	proved                // SCRAM: Next, with the empty response to our own proof
	over                  // nothing
)

// exchange is what all mechanisms share.
type exchange struct {
	stage stage
	got   Credentials
}

func begin(name string) exchange { return exchange{got: Credentials{Mechanism: name, Key: -1}} }

func (e *exchange) Credentials() Credentials { return e.got }

// Found of a mechanism that looks nothing up is out of turn.
func (e *exchange) Found(Keys) Turn { return e.end(Malformed) }

// Judged of a mechanism that has nothing more to say.
func (e *exchange) Judged(ok bool, _ Judgement) Turn {
	switch {
	case e.stage != checking:
		return e.end(Malformed)
	case !ok:
		return e.end(Reject)
	}
	return e.end(Accept)
}

func (e *exchange) respond(next stage, challenge []byte) Turn {
	e.stage = next
	return Turn{Do: Respond, Challenge: challenge}
}

func (e *exchange) check() Turn {
	e.stage = checking
	return Turn{Do: Check}
}

func (e *exchange) end(do Do) Turn {
	e.stage = over
	return Turn{Do: do}
}

// start begins a mechanism in which the client speaks first: without an initial
// response it is asked by an empty challenge (rfc4954#4).
func (e *exchange) start(initial []byte, message func([]byte) Turn) Turn {
	switch {
	case e.stage != fresh:
		return e.end(Malformed)
	case initial == nil:
		return e.respond(asked, []byte{})
	}
	e.stage = asked
	return message(initial)
}

// isText reports whether b can be a user name or a password: 1*SAFE of PLAIN
// (rfc4616#2), which is UTF-8 without NUL, within our limit.
func isText(b []byte) bool {
	return len(b) > 0 && len(b) <= MaxSecret && utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}
