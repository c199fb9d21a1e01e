package sasl

import "unicode/utf8"

// The prompts of LOGIN. Clients ignore them or compare them to the letter with
// these.
const (
	promptName   = "Username:"
	promptSecret = "Password:"
)

// inUTF8 is a response in UTF-8. The draft of LOGIN names no charset, and some
// clients (Thunderbird) write passwords with other letters in ISO 8859-1, in which
// every octet is the character of the same number.
func inUTF8(response []byte) []byte {
	if utf8.Valid(response) || len(response) > MaxSecret {
		return response
	}
	text := make([]rune, len(response))
	for i, b := range response {
		text[i] = rune(b)
	}
	return []byte(string(text))
}

// login is LOGIN: two prompts. An initial response, which the draft does not
// know and many clients send, is the user name.
type login struct{ exchange }

func newLogin(Channel) Mechanism { return &login{begin("LOGIN")} }

func (l *login) Start(initial []byte) Turn {
	switch {
	case l.stage != fresh:
		return l.end(Malformed)
	case initial == nil:
		return l.respond(asked, []byte(promptName))
	}
	l.stage = asked
	return l.Next(initial)
}

func (l *login) Next(response []byte) Turn {
	response = inUTF8(response)
	switch {
	case l.stage != asked && l.stage != named || !isText(response):
		return l.end(Malformed)
	case l.stage == asked:
		l.got.Login = string(response)
		return l.respond(named, []byte(promptSecret))
	}
	l.got.Secret = string(response)
	l.got.Oddity = odd(l.got.Login, l.got.Secret)
	return l.check()
}
