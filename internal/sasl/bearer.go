package sasl

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// maxBearer is the longest message with a bearer token: the token, a name, and
// room for the other pairs.
const maxBearer = MaxToken + MaxSecret

// bearer is what OAUTHBEARER and XOAUTH2 share: one message with a token, and a
// failure that is told in JSON, upon which the client has to say something
// before it hears of it in the protocol's own words (rfc7628#3.2.3).
type bearer struct {
	exchange
	// read takes the client's message apart.
	read func(message []byte) (login, authorization string, ok bool)
	// failure is the challenge that tells of it.
	failure func(Judgement) any
}

func (b *bearer) Start(initial []byte) Turn { return b.start(initial, b.message) }

func (b *bearer) Next(response []byte) Turn {
	switch b.stage {
	case asked:
		return b.message(response)
	case refusing:
		// The client was to send %x01 (OAUTHBEARER) or nothing (XOAUTH2). Whatever it
		// did send, it has failed.
		return b.end(Reject)
	}
	return b.end(Malformed)
}

func (b *bearer) message(m []byte) Turn {
	if len(m) > maxBearer || !utf8.Valid(m) {
		return b.end(Malformed)
	}
	login, authorization, ok := b.read(m)
	if !ok || len(login) > MaxSecret {
		return b.end(Malformed)
	}
	token, ok := bearerToken(authorization)
	if !ok {
		return b.end(Malformed)
	}
	b.got.Login, b.got.Secret = login, token
	return b.check()
}

func (b *bearer) Judged(ok bool, j Judgement) Turn {
	switch {
	case b.stage != checking:
		return b.end(Malformed)
	case ok && b.got.Secret != "":
		return b.end(Accept)
	}
	challenge, err := json.Marshal(b.failure(j))
	if err != nil { // strings only; and if it were so, the client has failed all the same
		return b.end(Reject)
	}
	return b.respond(refusing, challenge)
}

// bearerToken reads the value of the header field Authorization, which is what
// both mechanisms carry: "Bearer" 1*SP b64token (RFC 6750, section 2.1). It may
// be empty, to ask where tokens come from (rfc7628#4.3).
func bearerToken(authorization string) (token string, ok bool) {
	if authorization == "" {
		return "", true
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimLeft(token, " ")
	bare := strings.TrimRight(token, "=")
	if !strings.EqualFold(scheme, "Bearer") || bare == "" || len(token) > MaxToken {
		return "", false
	}
	for _, c := range []byte(bare) {
		if !isAlpha(c) && !isDigit(c) && strings.IndexByte("-._~+/", c) < 0 {
			return "", false
		}
	}
	return token, true
}

// kvpairs reads *kvpair kvsep, where a kvpair is key "=" value kvsep
// (rfc7628#3.1), and returns those that are wanted. One that is wanted and comes
// twice is no message of the mechanism: two readers could take one each.
func kvpairs(s []byte, wanted ...string) (map[string]string, bool) {
	const kvsep = "\x01"
	pairs := make(map[string]string, len(wanted))
	for {
		pair, rest, ok := bytes.Cut(s, []byte(kvsep))
		switch {
		case !ok:
			return nil, false
		case len(pair) == 0: // the kvsep at the end
			return pairs, len(rest) == 0
		}
		key, value, ok := strings.Cut(string(pair), "=")
		if !ok || !isKey(key) || !isValue(value) {
			return nil, false
		}
		for _, w := range wanted {
			if w != key {
				continue
			}
			if _, twice := pairs[key]; twice {
				return nil, false
			}
			pairs[key] = value
		}
		s = rest
	}
}

// isKey reports whether s is 1*ALPHA (rfc7628#3.1).
func isKey(s string) bool {
	for _, c := range []byte(s) {
		if !isAlpha(c) {
			return false
		}
	}
	return s != ""
}

// isValue reports whether s is *(VCHAR / SP / HTAB / CR / LF) (rfc7628#3.1). In
// XOAUTH2 a user name may be UTF-8, so that is let through in both.
func isValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
