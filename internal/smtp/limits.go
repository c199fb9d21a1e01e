package smtp

// The limits of the grammar, in octets with the CRLF unless they say
// otherwise. RFC 5321 §4.5.3.1 gives what a server must take at least, and
// each extension what it adds to a command line.
const (
	// MaxCommandLine is the least that must be taken, and what we take of
	// commands that no extension makes longer.
	MaxCommandLine = 512 // rfc5321#4.5.3.1.4

	// MaxMailLine is what MAIL may have with the parameters that we read:
	// SIZE adds 26 (rfc1870#3), BODY 17 (rfc3030#3, rfc6152#2), SMTPUTF8 10
	// (rfc6531#3.1), RET and ENVID 119 with its xtext (rfc3461#4), AUTH 500
	// (rfc4954#3), REQUIRETLS 11 (rfc8689#2).
	MaxMailLine = MaxCommandLine + 26 + 17 + 10 + 119 + 500 + 11

	// MaxRcptLine is what RCPT may have: NOTIFY adds 29, ORCPT 500
	// (rfc3461#4).
	MaxRcptLine = MaxCommandLine + 29 + 500

	// MaxAuthLine is what one line of an AUTH exchange may have (rfc4954#4).
	MaxAuthLine = 12288

	// MaxXClientLine is what XCLIENT may have: two names and an address of IPv6 in
	// xtext.
	MaxXClientLine = 1024

	// MaxTextLine is the least that must be taken of a line of content. We
	// take any: content is not read by the line.
	MaxTextLine = 1000 // rfc5321#4.5.3.1.6

	// MaxEnvID and MaxORcpt are in characters after decoding, the type and
	// the semicolon of ORCPT included.
	MaxEnvID = 100 // rfc3461#4.4
	MaxORcpt = 500 // rfc3461#4.2

	// MaxMechanism is the longest name of a SASL mechanism (rfc4422#3.1).
	MaxMechanism = 20
)

// The limits of replies that we hear. The RFC's 512 octets a line are exceeded
// by real servers; what is beyond ours is an error.
const (
	MaxReplyLine  = 2048 // rfc5321#4.5.3.1.5 has 512
	MaxReplyLines = 256  // no RFC has a limit; an EHLO answer has some 20
)
