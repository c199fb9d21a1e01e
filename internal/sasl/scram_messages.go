package sasl

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	// maxNonce is the longest nonce of a client, in octets: those in use have 18 to
	// 64.
	maxNonce = 512
	// maxClientFirst and maxClientFinal are the longest messages, in octets. Both go
	// into the hash of every candidate, so the limits of the line are too wide.
	maxClientFirst = 4096
	maxClientFinal = 4096
)

// bindFlag is gs2-cbind-flag (rfc5802#7).
type bindFlag byte

const (
	cannotBind bindFlag = 'n' // the client knows no channel binding
	couldBind  bindFlag = 'y' // it does, and believes that we do not
	bound      bindFlag = 'p' // it binds, by the type that follows
)

// gs2Header is the header of SCRAM's first message, and of OAUTHBEARER's.
type gs2Header struct {
	flag    bindFlag
	cbName  string // type of channel binding, with bound; whatever it says
	authzid string // decoded
	text    string // as it was sent, with both commas
}

// clientFirst is client-first-message (rfc5802#7).
type clientFirst struct {
	header   gs2Header
	username string // decoded
	nonce    string
	bare     string // client-first-message-bare
}

// clientFinal is client-final-message (rfc5802#7).
type clientFinal struct {
	binding      []byte // what c= holds
	nonce        string
	proof        []byte
	withoutProof string // client-final-message-without-proof
}

// parseGS2Header reads gs2-cbind-flag "," [ authzid ] "," (rfc5802#7).
func parseGS2Header(s string) (h gs2Header, rest string, ok bool) {
	flag, rest, ok := strings.Cut(s, ",")
	if !ok {
		return h, "", false
	}
	authzid, rest, ok := strings.Cut(rest, ",")
	if !ok {
		return h, "", false
	}
	switch {
	case flag == "n" || flag == "y":
		h.flag = bindFlag(flag[0])
	case strings.HasPrefix(flag, "p="):
		h.flag, h.cbName = bound, flag[2:]
	default:
		return h, "", false
	}
	if authzid != "" {
		name, ok := strings.CutPrefix(authzid, "a=")
		if !ok {
			return h, "", false
		}
		if h.authzid, ok = saslname(name); !ok {
			return h, "", false
		}
	}
	h.text = s[:len(s)-len(rest)]
	return h, rest, true
}

// parseClientFirst reads gs2-header [reserved-mext ","] username "," nonce
// ["," extensions] (rfc5802#7).
func parseClientFirst(m []byte) (c clientFirst, ok bool) {
	if len(m) > maxClientFirst || !isMessage(m) {
		return c, false
	}
	if c.header, c.bare, ok = parseGS2Header(string(m)); !ok {
		return c, false
	}
	attributes := strings.Split(c.bare, ",")
	if len(attributes) < 2 || !areExtensions(attributes[2:]) {
		return c, false
	}
	// A reserved-mext in the first place is no username, and so refused as it has to
	// be (rfc5802#5.1).
	name, ok := strings.CutPrefix(attributes[0], "n=")
	if !ok {
		return c, false
	}
	if c.username, ok = saslname(name); !ok {
		return c, false
	}
	c.nonce, ok = strings.CutPrefix(attributes[1], "r=")
	return c, ok && isNonce(c.nonce)
}

// parseClientFinal reads channel-binding "," nonce ["," extensions] "," proof
// (rfc5802#7).
func parseClientFinal(m []byte) (c clientFinal, ok bool) {
	if len(m) > maxClientFinal || !isMessage(m) {
		return c, false
	}
	s := string(m)
	end := strings.LastIndexByte(s, ',')
	if end < 0 {
		return c, false
	}
	c.withoutProof = s[:end]
	if c.proof, ok = base64Attribute(s[end+1:], "p="); !ok {
		return c, false
	}
	attributes := strings.Split(c.withoutProof, ",")
	if len(attributes) < 2 || !areExtensions(attributes[2:]) {
		return c, false
	}
	if c.binding, ok = base64Attribute(attributes[0], "c="); !ok {
		return c, false
	}
	c.nonce, ok = strings.CutPrefix(attributes[1], "r=")
	return c, ok && isPrintable(c.nonce) // both nonces, so of any length
}

func base64Attribute(s, name string) ([]byte, bool) {
	value, ok := strings.CutPrefix(s, name)
	if !ok {
		return nil, false
	}
	return decodeBase64([]byte(value))
}

// isMessage reports whether m is UTF-8 without NUL, which holds for every
// production.
func isMessage(m []byte) bool { return utf8.Valid(m) && bytes.IndexByte(m, 0) < 0 }

// saslname decodes 1*(value-safe-char / "=2C" / "=3D") (rfc5802#7). There is no
// other use of "=" in it (rfc5802#5.1).
func saslname(s string) (string, bool) {
	if s == "" || strings.ContainsAny(s, "\x00,") {
		return "", false
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), b.Len() <= MaxSecret
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}

// isNonce reports whether s is one side's nonce, within our limit.
func isNonce(s string) bool { return len(s) <= maxNonce && isPrintable(s) }

// isPrintable reports whether s is printable: %x21-2B / %x2D-7E, at least one
// (rfc5802#7).
func isPrintable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x21 || c > 0x7e || c == ',' {
			return false
		}
	}
	return s != ""
}

// areExtensions reports whether all are attr-val: ALPHA "=" 1*value-char
// (rfc5802#7). They are ignored, as is due to those that nobody knows; but "m"
// anywhere ends the exchange (rfc5802#5.1).
func areExtensions(attributes []string) bool {
	for _, a := range attributes {
		if len(a) < 3 || !isAlpha(a[0]) || a[1] != '=' || a[0] == 'm' {
			return false
		}
	}
	return true
}
