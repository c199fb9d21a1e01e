package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
)

// The exit statuses, the same for every command but sendmail, which has those
// of sysexits(3).
const (
	exitOK          = 0
	exitFailed      = 1 // it was tried and failed
	exitUsage       = 2 // the command line, or a value in it
	exitNotFound    = 3
	exitExists      = 4 // it exists already, or is in use
	exitUnavailable = 5 // no server, or not now
	exitRefused     = 6 // not allowed, or not in this state
)

// exitHelp is the table of statuses at the end of every help text.
const exitHelp = "0 done · 1 failed · 2 wrong usage or value · 3 not found ·\n4 exists already or in use · 5 server not reachable, or not now · 6 refused"

func exitOf(kind control.Kind) int {
	switch kind {
	case control.Invalid:
		return exitUsage
	case control.NotFound:
		return exitNotFound
	case control.Exists, control.InUse:
		return exitExists
	case control.Unavailable:
		return exitUnavailable
	case control.Refused:
		return exitRefused
	case control.Failed:
	}
	return exitFailed
}

// statusError is an end that has said all it has to say.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// printError writes an error for programs.
func printError(w io.Writer, kind control.Kind, message string) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(map[string]any{"error": map[string]string{"kind": string(kind), "message": message}}) //nolint:errcheck // there is nobody else to tell
}

// report prints an error and returns the exit status.
func (p *program) report(err error) int {
	if s := statusError(0); errors.As(err, &s) {
		return int(s)
	}
	kind := control.KindOf(err)
	if mistakes := config.Errors(nil); errors.As(err, &mistakes) {
		kind = control.Invalid
	}
	if p.JSON {
		printError(p.stderr, kind, err.Error())
	} else {
		p.tell("onward: " + err.Error())
	}
	return exitOf(kind)
}
