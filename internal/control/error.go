package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
)

// Kind is what a program may want to do about an error.
type Kind string

// The kinds of error.
const (
	// Failed is trouble of ours: the disk, a defect.
	Failed Kind = "failed"
	// Invalid: the request breaks a rule.
	Invalid Kind = "invalid"
	// NotFound: what it names does not exist.
	NotFound Kind = "not_found"
	// Exists: what it would make is there already.
	Exists Kind = "exists"
	// InUse: other things depend on what it would remove.
	InUse Kind = "in_use"
	// Refused: it is not allowed, or not in this state.
	Refused Kind = "refused"
	// Unavailable: it may work later, or when a server runs.
	Unavailable Kind = "unavailable"
)

// Error is every error of an operation.
type Error struct {
	Kind Kind `json:"kind"`
	// Message is for people: the thing, the rule and the next step.
	Message string `json:"message"`
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what lay behind it; nil after a way over the socket.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of an error of this package, and Failed for others.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Failed
}

func fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// trouble makes an Error of an error of the layers below that the caller has
// no better words for.
func trouble(doing string, err error) *Error {
	e := &Error{Kind: Failed, Message: fmt.Sprintf("%s: %v", doing, err), cause: err}
	switch {
	case errors.Is(err, recipient.ErrNotFound), errors.Is(err, account.ErrNotFound), errors.Is(err, queue.ErrNotFound):
		e.Kind = NotFound
	case errors.Is(err, recipient.ErrExists), errors.Is(err, account.ErrExists):
		e.Kind = Exists
	case errors.Is(err, recipient.ErrInUse):
		e.Kind = InUse
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrStopped),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind = Unavailable
	}
	return e
}

// typed makes an Error of any error.
func typed(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return trouble("the operation failed", err)
}
