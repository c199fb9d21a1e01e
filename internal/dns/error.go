package dns

import (
	"errors"
	"strings"
)

// Kind says why a question has no answer.
type Kind uint8

// The kinds of failure. The zero Kind is not used, and counts as temporary.
const (
	// NotFound: the name does not exist at all (NXDOMAIN), or cannot exist because it is no domain name. Final.
	NotFound Kind = iota + 1
	// Timeout: no server answered in time, or the caller's context ended first. Temporary.
	Timeout
	// ServerFailure: servers answered that they cannot say (SERVFAIL, REFUSED), in a form that cannot be read, with a
	// chain of aliases that does not end, or could not be reached. Temporary.
	ServerFailure
)

// String returns the kind in words for people.
func (k Kind) String() string {
	switch k {
	case NotFound:
		return "the name does not exist"
	case Timeout:
		return "no answer in time"
	case ServerFailure:
		return "the name server could not answer"
	}
	return "unknown trouble"
}

// Error is the error of every Resolver in this package. It is shared between callers: do not change it.
type Error struct {
	Kind   Kind
	Type   string // the question's type, for example "MX"
	Name   string // the question's name
	Server string // who was asked last, host:port; empty if nobody
	Detail string // more, for example "SERVFAIL"; may be empty
	Err    error  // the cause; may be nil
}

// Error names the question, what went wrong and who said so, for example
// "look up MX of example.net: the name does not exist (NXDOMAIN from 192.0.2.53:53)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("look up " + e.Type + " of " + e.Name + ": " + e.Kind.String())
	detail := e.Detail
	if detail == "" && e.Err != nil {
		detail = e.Err.Error()
	}
	switch {
	case detail != "" && e.Server != "":
		b.WriteString(" (" + detail + " from " + e.Server + ")")
	case detail != "":
		b.WriteString(" (" + detail + ")")
	case e.Server != "":
		b.WriteString(" (asked " + e.Server + ")")
	}
	return b.String()
}

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// IsNotFound reports whether err says that the name does not exist. Only this error may be treated as final.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == NotFound
}

// IsTemporary reports whether the same question may be answered later: any error but NotFound, known or not.
func IsTemporary(err error) bool {
	return err != nil && !IsNotFound(err)
}
