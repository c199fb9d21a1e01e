// Package smtp is the grammar of SMTP: commands and their parameters, the
// replies we hear, and the framing of content.
//
// It promises to be pure: it reads and writes bytes that it is given, knows no
// socket and no clock, and bounds everything that it reads. It decides
// nothing: which command is allowed when is the session's business, and
// whether an address is good is intake's.
//
// RFC 5321 (SMTP), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 3461 (DSN),
// RFC 6531 (SMTPUTF8), RFC 4954 (AUTH), RFC 3030 (BDAT).
package smtp

import (
	"strconv"
	"strings"
)

// Body is the value of the BODY parameter of MAIL.
type Body uint8

// The bodies a message may have. BodyUnset means that the client did not say,
// which is 7BIT by rfc6152#2.
const (
	BodyUnset Body = iota
	Body7Bit
	Body8BitMIME
	BodyBinaryMIME
)

// Ret is the value of the RET parameter of MAIL (rfc3461#4.3).
type Ret uint8

// How much of the message a report is to return.
const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// Notify is the value of the NOTIFY parameter of RCPT (rfc3461#4.1), a set.
// The zero Notify means that the client did not say: failure, and delay at our
// discretion.
type Notify uint8

// When the sender wants a report. NotifyNever stands alone.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// MailParams are the parameters of MAIL FROM.
type MailParams struct {
	// Size is the declared size in octets, 0 if not declared (rfc1870#6).
	Size int64
	Body Body
	// UTF8 is the SMTPUTF8 parameter (rfc6531#3.4).
	UTF8 bool
	// RequireTLS is the REQUIRETLS parameter (rfc8689#3).
	RequireTLS bool
	Ret        Ret
	// EnvID is the envelope identifier, decoded from xtext, at most 100
	// characters (rfc3461#4.4).
	EnvID string
	// Auth is the AUTH parameter, decoded from xtext, "<>" for none known
	// (rfc4954#5).
	Auth string
}

// RcptParams are the parameters of RCPT TO.
type RcptParams struct {
	Notify Notify
	// ORcpt is the original recipient as "rfc822;anna@example.org", decoded
	// from xtext, at most 500 characters; "" if not given (rfc3461#4.2).
	ORcpt string
}

// Reply is a reply that another server gave us. Its text is a stranger's: it
// is escaped wherever it is shown.
type Reply struct {
	// Code is 200 to 599; 0 means that there was no reply.
	Code int
	// Enhanced is the enhanced status code of the first line, "" if none.
	Enhanced string
	// Lines are the texts of the lines without codes, at most MaxReplyLines.
	Lines []string
}

// IsZero reports whether nothing was heard.
func (r Reply) IsZero() bool { return r.Code == 0 }

// Text returns the lines joined by a space.
func (r Reply) Text() string { return strings.Join(r.Lines, " ") }

// String returns the reply in one line: "550 5.1.1 No such user".
func (r Reply) String() string {
	if r.IsZero() {
		return ""
	}
	s := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		s += " " + r.Enhanced
	}
	if len(r.Lines) > 0 {
		s += " " + r.Text()
	}
	return s
}
