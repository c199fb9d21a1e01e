package sasl

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Oddity is something a client did that real clients do by mistake; "" for
// nothing. It is a hint for whoever explains a failed login, no more: there are
// passwords that happen to look like it.
type Oddity string

const (
	// Base64Twice: the user name or the password is itself base64 of printable text,
	// or the whole message of PLAIN came encoded twice (then it is Malformed).
	Base64Twice Oddity = "base64_twice"
	// PromptSent: the client sent one of our own prompts as name or password.
	PromptSent Oddity = "prompt_sent"
	// BindingDiffers: SCRAM's channel binding is not the one of this connection, as
	// when something between client and server ends the TLS (rfc5802#6).
	BindingDiffers Oddity = "binding_differs"
	// BindingHidden: the client could have bound to the channel and was not shown
	// that we offer it (rfc5802#6).
	BindingHidden Oddity = "binding_hidden"
)

// odd looks at a name and a password that came in clear.
func odd(name, secret string) Oddity {
	switch {
	case isPrompt(name) || isPrompt(secret):
		return PromptSent
	case isBase64Text(name) || isBase64Text(secret):
		return Base64Twice
	}
	return ""
}

// isPrompt knows our prompts as they are and in the base64 in which they went
// over the wire.
func isPrompt(s string) bool {
	switch {
	case strings.EqualFold(s, promptName), strings.EqualFold(s, promptSecret):
		return true
	}
	return s == "VXNlcm5hbWU6" || s == "UGFzc3dvcmQ6"
}

// isBase64Text reports whether s is base64 of at least four printable
// characters. A mail address never is, for want of an at sign in the alphabet;
// of the passwords made of eight random letters and digits, one in some hundreds
// is.
func isBase64Text(s string) bool {
	text, ok := decodeBase64([]byte(s))
	if !ok || utf8.RuneCount(text) < 4 || !utf8.Valid(text) {
		return false
	}
	return bytes.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// decodeBase64 decodes strictly: padded, without line ends, with no bits set
// that mean nothing.
func decodeBase64(b []byte) ([]byte, bool) {
	if len(b)%4 != 0 || bytes.ContainsAny(b, "\r\n") {
		return nil, false
	}
	text, err := base64.StdEncoding.Strict().AppendDecode(nil, b)
	return text, err == nil
}
