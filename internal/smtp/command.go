package smtp

import (
	"bytes"
	"strings"
)

// Verb is a command of SMTP or one of its extensions.
type Verb uint8

// The verbs that are known. Whether one is offered is the session's business.
const (
	Unknown Verb = iota
	EHLO
	HELO
	LHLO // rfc2033#4.1
	MAIL
	RCPT
	DATA
	BDAT // rfc3030#2
	RSET
	NOOP
	QUIT
	VRFY
	EXPN
	HELP
	STARTTLS // rfc3207#4
	AUTH     // rfc4954#4
	XCLIENT  // Postfix XCLIENT_README
	verbs
)

var verbNames = [verbs]string{
	"", "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP",
	"STARTTLS", "AUTH", "XCLIENT",
}

// String returns the verb in capitals, "" for Unknown.
func (v Verb) String() string {
	if v < verbs {
		return verbNames[v]
	}
	return ""
}

// MaxLine returns the longest line that the command may have, in octets with
// its CRLF.
func (v Verb) MaxLine() int {
	switch v {
	case MAIL:
		return MaxMailLine
	case RCPT:
		return MaxRcptLine
	case XCLIENT:
		return MaxXClientLine
	case AUTH:
		return MaxAuthLine
	default:
		return MaxCommandLine
	}
}

// Command is a line split into its verb and what follows.
type Command struct {
	Verb Verb
	// Name is the verb as it was written, at most 32 octets of it.
	Name string
	// Arg is what follows the first space, without white space at its end.
	Arg string
}

// ParseCommand splits a line, given without its CRLF. White space at its end
// is tolerated (rfc5321#4.1.1); white space before the verb is not. The only
// error is of the kind FaultText; a verb that is not known is no error.
func ParseCommand(line []byte) (Command, error) {
	line = bytes.TrimRight(line, " \t")
	if !isText(line) {
		return Command{}, fault(FaultText, "", "the line has a control character")
	}
	name, arg, _ := bytes.Cut(line, []byte{' '})
	c := Command{Verb: verbOf(name), Arg: string(arg)}
	if c.Verb != Unknown {
		c.Name = c.Verb.String()
	} else {
		const most = 32
		c.Name = string(name[:min(len(name), most)])
	}
	return c, nil
}

// isText reports whether line has no control characters. Octets beyond ASCII
// are left to the productions: rfc6531#3.3 allows them in some.
func isText(line []byte) bool {
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// verbOf finds the verb in any case (rfc5321#2.4).
func verbOf(name []byte) Verb {
	const longest = len("STARTTLS")
	if len(name) < 4 || len(name) > longest {
		return Unknown
	}
	var upper [longest]byte
	for i, c := range name {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	word := upper[:len(name)]
	for v := EHLO; v < verbs; v++ {
		if string(word) == verbNames[v] {
			return v
		}
	}
	return Unknown
}

// IsHTTP reports whether line is the first of an HTTP request. A web browser
// can be made to send one to any port, with commands of somebody's choice in
// its body.
func IsHTTP(line []byte) bool {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return false
	}
	switch string(method) {
	case "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI":
	default:
		return false
	}
	return bytes.Contains(rest, []byte("HTTP/")) || strings.HasPrefix(string(rest), "/")
}

// HasVerb reports whether a line begins with verb; it is for lines that are too
// long to be parsed.
func HasVerb(head []byte, verb Verb) bool {
	name, _, _ := bytes.Cut(head, []byte{' '})
	return verb != Unknown && verbOf(name) == verb
}
