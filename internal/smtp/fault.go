package smtp

import (
	"fmt"
	"strings"

	"github.com/onwardmail/onward/internal/address"
)

// Fault is the kind of a syntax error: what the session needs to pick its
// reply.
type Fault uint8

// The kinds, with the reply that each is due.
const (
	// FaultSyntax: the command cannot be read at all (501 5.5.4).
	FaultSyntax Fault = iota + 1
	// FaultText: the line has control characters (500 5.5.2).
	FaultText
	// FaultReversePath: the sender's address cannot be read (501 5.1.7).
	FaultReversePath
	// FaultForwardPath: the recipient's address cannot be read (501 5.1.3).
	FaultForwardPath
	// FaultNonASCII: the address is beyond ASCII and the client did not ask for
	// SMTPUTF8, or may not (553 5.6.7, rfc6531#3.5).
	FaultNonASCII
	// FaultParameter: the value of a parameter breaks its rule (501 5.5.4).
	FaultParameter
	// FaultUnknownParameter: the parameter was not offered (555 5.5.4,
	// rfc5321#4.1.1.11).
	FaultUnknownParameter
	// FaultBase64: an AUTH response is not base64 (501 5.5.2, rfc4954#4).
	FaultBase64
)

// Error says what is wrong with a command.
type Error struct {
	Fault Fault
	// Keyword is the parameter's, in capitals, for the faults of parameters.
	Keyword string
	// Rule is what was broken, as a clause without a full stop. It may quote
	// the client.
	Rule string
}

func (e *Error) Error() string {
	if e.Keyword != "" {
		return e.Keyword + ": " + e.Rule
	}
	return e.Rule
}

func fault(f Fault, keyword, format string, args ...any) error {
	rule := format
	if len(args) > 0 {
		rule = fmt.Sprintf(format, args...)
	}
	return &Error{Fault: f, Keyword: keyword, Rule: rule}
}

// bad makes an error of package address one of ours: its rule without the
// words that all of them begin with.
func bad(f Fault, err error) error {
	return &Error{Fault: f, Rule: strings.TrimPrefix(err.Error(), address.ErrSyntax.Error()+": ")}
}
