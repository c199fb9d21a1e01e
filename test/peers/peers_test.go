//go:build peers

// Package peers runs real mail programs against the real onward binary: swaks, Postfix, Python's smtplib, nodemailer and
// openssl. It knows the program only from outside: its command line, its configuration file, its ports.
//
// make peers installs what is needed and runs it. ONWARD_BINARY names a binary to test instead of a fresh build;
// ONWARD_KILLS is the number of rounds of the kill test. Everything happens on loopback and in temporary folders; the
// tests that start Postfix need root, as Postfix does.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for something that ought to take a second at most.
const patience = 30 * time.Second

// onwardBinary is the program under test.
var onwardBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	for _, program := range []string{"swaks", "smtp-source", "smtp-sink", "postfix", "python3", "node", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "peers: %s is missing; run scripts/install-peers.sh\n", program)
			return 1
		}
	}
	if onwardBinary = os.Getenv("ONWARD_BINARY"); onwardBinary != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "onward-peers-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		return 1
	}
	defer os.RemoveAll(folder)
	onwardBinary = filepath.Join(folder, "onward")
	build := exec.Command("go", "build", "-o", onwardBinary, "../../cmd/onward")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers: build onward:", err)
		return 1
	}
	return m.Run()
}

// program runs a real program to its end and returns what it printed and its exit status.
func program(t *testing.T, stdin string, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", name, err, out.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// until waits for a condition of another process, which sends no event: it looks again and again.
func until(t *testing.T, what string, limit time.Duration, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		case <-t.Context().Done():
			t.Fatalf("interrupted while waiting: %s", what)
		}
	}
}

// freePort returns a loopback address that nobody listens on, and never the same one twice: the system may give a port again as
// soon as it is free.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().String()
		l.Close()
		if _, given := givenPorts.LoadOrStore(at, true); !given {
			return at
		}
	}
}

// givenPorts are the addresses that freePort has returned.
var givenPorts sync.Map

// mails returns the content of every mail in the Maildirs below a folder.
func mails(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // moved away while we walked
		}
		if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(name)) != "new" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		found = append(found, strings.ReplaceAll(string(text), "\r\n", "\n"))
		return nil
	})
	if err != nil {
		t.Fatalf("read the Maildirs below %s: %v", folder, err)
	}
	return found
}

// awaitMail waits for a mail with all the given words in the Maildirs below a folder, and returns it.
func awaitMail(t *testing.T, folder string, words ...string) string {
	t.Helper()
	var mail string
	until(t, fmt.Sprintf("a mail with %q in %s", words, folder), patience, func() bool {
		for _, m := range mails(t, folder) {
			if containsAll(m, words) {
				mail = m
				return true
			}
		}
		return false
	})
	return mail
}

func containsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
