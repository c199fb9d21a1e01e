package smtp

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/address"
)

// Extensions is the set of extensions that a session has offered: a parameter
// of one that is absent is unknown (rfc5321#4.1.1.11).
type Extensions uint16

// The extensions that have parameters.
const (
	ExtSize Extensions = 1 << iota
	Ext8BitMIME
	ExtBinaryMIME
	ExtSMTPUTF8
	ExtDSN
	ExtAuth
	ExtRequireTLS
)

// Has reports whether all of x are offered.
func (e Extensions) Has(x Extensions) bool { return e&x == x }

// ParseMail reads the argument of MAIL:
// "FROM:" Reverse-path [SP Mail-parameters] (rfc5321#4.1.1.2).
// White space after the colon is tolerated, because real clients send it. An
// error is an *Error.
func ParseMail(arg string, offered Extensions) (address.Mailbox, MailParams, error) {
	p := parser{arg}
	if !p.literal("FROM:") {
		return address.Mailbox{}, MailParams{}, fault(FaultSyntax, "", "MAIL FROM:<sender@example.org>")
	}
	p.rest = strings.TrimLeft(p.rest, " ")
	path := p.rest
	from, err := p.reversePath()
	if err != nil {
		return address.Mailbox{}, MailParams{}, nonASCII(path, offered, err)
	}
	path = path[:len(path)-len(p.rest)]
	var m MailParams
	if err := p.mailParameters(offered, &m); err != nil {
		return address.Mailbox{}, MailParams{}, err
	}
	if !m.UTF8 && !isASCII(path) { // rfc6531#3.5
		return address.Mailbox{}, MailParams{}, fault(FaultNonASCII, "", "the address needs the parameter SMTPUTF8")
	}
	return from, m, nil
}

// ParseRcpt reads the argument of RCPT:
// "TO:" Forward-path [SP Rcpt-parameters] (rfc5321#4.1.1.3). utf8 says that MAIL
// had the parameter SMTPUTF8. An error is an *Error.
func ParseRcpt(arg string, offered Extensions, utf8 bool) (address.Mailbox, RcptParams, error) {
	p := parser{arg}
	if !p.literal("TO:") {
		return address.Mailbox{}, RcptParams{}, fault(FaultSyntax, "", "RCPT TO:<recipient@example.org>")
	}
	p.rest = strings.TrimLeft(p.rest, " ")
	path := p.rest
	to, err := p.forwardPath()
	if err != nil {
		return address.Mailbox{}, RcptParams{}, nonASCII(path, offered, err)
	}
	path = path[:len(path)-len(p.rest)]
	var r RcptParams
	if err := p.rcptParameters(offered, &r); err != nil {
		return address.Mailbox{}, RcptParams{}, err
	}
	if !utf8 && !isASCII(path) { // rfc6531#3.5
		return address.Mailbox{}, RcptParams{}, fault(FaultNonASCII, "", "the address needs the parameter SMTPUTF8")
	}
	return to, r, nil
}

// nonASCII prefers, where SMTPUTF8 is not offered, the fault that names the
// cause: an address beyond ASCII that cannot be read is not merely misspelt.
func nonASCII(path string, offered Extensions, err error) error {
	if path, _, _ = strings.Cut(path, ">"); !offered.Has(ExtSMTPUTF8) && !isASCII(path) && utf8.ValidString(path) {
		return fault(FaultNonASCII, "", "the address has characters beyond ASCII")
	}
	return err
}

// each reads *( SP esmtp-param ) and gives keyword and value to take, which
// reports whether it knows the keyword.
func (p *parser) each(take func(keyword, value string, valued bool) (known bool, err error)) error {
	var seen []string
	for p.rest != "" {
		if !p.literal(" ") {
			return fault(FaultSyntax, "", "a space between the address and each parameter")
		}
		p.rest = strings.TrimLeft(p.rest, " ")
		if p.rest == "" {
			return nil
		}
		keyword, value, valued, err := p.esmtpParam()
		if err != nil {
			return err
		}
		for _, s := range seen {
			if s == keyword {
				return fault(FaultParameter, keyword, "it may be given once")
			}
		}
		seen = append(seen, keyword)
		known, err := take(keyword, value, valued)
		if err != nil {
			return err
		}
		if !known {
			return fault(FaultUnknownParameter, keyword, "it was not offered")
		}
	}
	return nil
}

// esmtpParam reads esmtp-param = esmtp-keyword ["=" esmtp-value]
// (rfc5321#4.1.2). The keyword comes in capitals.
func (p *parser) esmtpParam() (keyword, value string, valued bool, err error) {
	word, rest, _ := strings.Cut(p.rest, " ")
	if rest == "" && len(word) == len(p.rest) {
		p.rest = ""
	} else {
		p.rest = " " + rest
	}
	word, value, valued = strings.Cut(word, "=")
	if !isEsmtpKeyword(word) {
		return "", "", false, fault(FaultSyntax, "", "parameters as KEYWORD or KEYWORD=value after the address")
	}
	keyword = strings.ToUpper(word)
	if valued && !isEsmtpValue(value) {
		return "", "", false, fault(FaultParameter, keyword, "its value is empty or has a character that it may not have")
	}
	return keyword, value, valued, nil
}

// isEsmtpKeyword holds s against (ALPHA / DIGIT) *(ALPHA / DIGIT / "-").
func isEsmtpKeyword(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' && i > 0) {
			return false
		}
	}
	return s != ""
}

// isEsmtpValue holds s against 1*(%d33-60 / %d62-126), and lets UTF-8 pass as
// rfc6531#3.3 says; each parameter has its own rule besides.
func isEsmtpValue(s string) bool {
	return s != "" && strings.IndexByte(s, '=') < 0 && utf8.ValidString(s)
}

// mailParameters reads Mail-parameters.
func (p *parser) mailParameters(offered Extensions, m *MailParams) error {
	return p.each(func(keyword, value string, valued bool) (bool, error) {
		var err error
		switch {
		case keyword == "SIZE" && offered.Has(ExtSize):
			m.Size, err = sizeValue(value)
		case keyword == "BODY" && offered.Has(Ext8BitMIME):
			m.Body, err = bodyValue(value, offered)
		case keyword == "SMTPUTF8" && offered.Has(ExtSMTPUTF8):
			m.UTF8, err = true, noValue(keyword, valued)
		case keyword == "REQUIRETLS" && offered.Has(ExtRequireTLS):
			m.RequireTLS, err = true, noValue(keyword, valued)
		case keyword == "RET" && offered.Has(ExtDSN):
			m.Ret, err = retValue(value)
		case keyword == "ENVID" && offered.Has(ExtDSN):
			m.EnvID, err = envIDValue(value)
		case keyword == "AUTH" && offered.Has(ExtAuth):
			m.Auth, err = authValue(value)
		default:
			return false, nil
		}
		return true, err
	})
}

// rcptParameters reads Rcpt-parameters.
func (p *parser) rcptParameters(offered Extensions, r *RcptParams) error {
	return p.each(func(keyword, value string, _ bool) (bool, error) {
		var err error
		switch {
		case keyword == "NOTIFY" && offered.Has(ExtDSN):
			r.Notify, err = notifyValue(value)
		case keyword == "ORCPT" && offered.Has(ExtDSN):
			r.ORcpt, err = orcptValue(value)
		default:
			return false, nil
		}
		return true, err
	})
}

func noValue(keyword string, valued bool) error {
	if valued {
		return fault(FaultParameter, keyword, "it takes no value")
	}
	return nil
}

// sizeValue reads size-value = 1*20DIGIT (rfc1870#3). What no int64 holds is
// as good as the largest that does: nobody takes either.
func sizeValue(s string) (int64, error) {
	if s == "" || len(s) > 20 || !isDigits(s) {
		return 0, fault(FaultParameter, "SIZE", "its value is a number of octets with at most 20 digits")
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, nil
	}
	return n, nil
}

// bodyValue reads "7BIT" / "8BITMIME" (rfc6152#2) / "BINARYMIME" (rfc3030#3).
func bodyValue(s string, offered Extensions) (Body, error) {
	switch strings.ToUpper(s) {
	case "7BIT":
		return Body7Bit, nil
	case "8BITMIME":
		return Body8BitMIME, nil
	case "BINARYMIME":
		if offered.Has(ExtBinaryMIME) {
			return BodyBinaryMIME, nil
		}
	}
	return BodyUnset, fault(FaultParameter, "BODY", "its value is 7BIT, 8BITMIME or BINARYMIME")
}

// retValue reads ret-value = "FULL" / "HDRS" (rfc3461#4.3).
func retValue(s string) (Ret, error) {
	switch strings.ToUpper(s) {
	case "FULL":
		return RetFull, nil
	case "HDRS":
		return RetHeaders, nil
	}
	return RetUnset, fault(FaultParameter, "RET", "its value is FULL or HDRS")
}

// envIDValue reads envid-parameter's xtext (rfc3461#4.4).
func envIDValue(s string) (string, error) {
	id, ok := DecodeXtext(s)
	switch {
	case !ok || id == "" || !isPrintable(id):
		return "", fault(FaultParameter, "ENVID", "its value is xtext of printable ASCII")
	case len(s) > MaxEnvID:
		return "", fault(FaultParameter, "ENVID", "its value has at most %d characters", MaxEnvID)
	}
	return id, nil
}

// authValue reads the AUTH parameter: xtext of a mailbox, or "<>"
// (rfc4954#5).
func authValue(s string) (string, error) {
	if s == "<>" {
		return s, nil
	}
	who, ok := DecodeXtext(s)
	if !ok {
		return "", fault(FaultParameter, "AUTH", "its value is <> or xtext of an address")
	}
	if _, err := address.ParseMailbox(who); err != nil {
		return "", fault(FaultParameter, "AUTH", "its value is <> or xtext of an address")
	}
	return who, nil
}

// notifyValue reads "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" )
// (rfc3461#4.1).
func notifyValue(s string) (Notify, error) {
	var n Notify
	for word := range strings.SplitSeq(s, ",") {
		var one Notify
		switch strings.ToUpper(word) {
		case "NEVER":
			one = NotifyNever
		case "SUCCESS":
			one = NotifySuccess
		case "FAILURE":
			one = NotifyFailure
		case "DELAY":
			one = NotifyDelay
		}
		if one == 0 || n&one != 0 || n == NotifyNever || one == NotifyNever && n != 0 {
			return 0, fault(FaultParameter, "NOTIFY", "its value is NEVER alone, or a list of SUCCESS, FAILURE and DELAY")
		}
		n |= one
	}
	return n, nil
}

// orcptValue reads original-recipient-address = addr-type ";" xtext
// (rfc3461#4.2). An address of the type utf-8 has an encoding of its own
// (rfc6533#3) and is kept as it came.
func orcptValue(s string) (string, error) {
	kind, coded, ok := strings.Cut(s, ";")
	if !ok || !isEsmtpKeyword(kind) {
		return "", fault(FaultParameter, "ORCPT", "its value is a type, a semicolon and an address, as in rfc822;anna@example.org")
	}
	if len(s) > MaxORcpt {
		return "", fault(FaultParameter, "ORCPT", "its value has at most %d characters", MaxORcpt)
	}
	if strings.EqualFold(kind, "utf-8") {
		if coded == "" || strings.ContainsFunc(coded, unicode.IsControl) {
			return "", fault(FaultParameter, "ORCPT", "the address is empty, or has a control character")
		}
		return kind + ";" + coded, nil
	}
	who, ok := DecodeXtext(coded)
	if !ok || who == "" || !isPrintable(who) {
		return "", fault(FaultParameter, "ORCPT", "the address is not xtext of printable ASCII")
	}
	return kind + ";" + who, nil
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
