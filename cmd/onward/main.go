// Onward is a mail forwarding and submission server that explains itself.
//
// This program is thin: each verb asks one operation of package control, of
// the running server or, if none runs, of the stores themselves, and shows
// what came back. «onward serve» runs the server (package onward), «onward
// demo» shows it.
//
// For people there are tables; with --json every result is one JSON object a
// line, whose fields are those of package control. The exit status says what
// kind of end it was: see exit.go.
//
// Called as sendmail, it takes a message as that program does.
package main

import (
	"os"
	"path/filepath"
)

// version is set when a release is built.
var version = "development"

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "sendmail" {
		args = append([]string{"sendmail"}, args...)
	}
	os.Exit(run(args, os.Stdin, os.Stdout, os.Stderr))
}
