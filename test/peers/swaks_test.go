//go:build peers

package peers

import (
	"regexp"
	"strings"
	"testing"
)

// directory starts a server with a domain that has an address of each kind and an account, and returns it with the sink
// that plays every other domain, and the app password of anna@example.org.
func directory(t *testing.T) (*server, *sink, string) {
	t.Helper()
	world := newSink(t, nil)
	o := serve(t, settings{routes: map[string]string{"*": world.address}})
	o.onward(t, "domain", "add", "example.org")
	o.onward(t, "address", "add", "anna@example.org", "--forward", "anna@example.net", "--disclose", "announce")
	o.onward(t, "address", "add", "quiet@example.org", "--forward", "hidden@example.net", "--disclose", "silent")
	o.onward(t, "address", "add", "old@example.org", "--moved", "new@example.net")
	o.onward(t, "address", "add", "no@example.org", "--refuse", "This address is closed")
	o.onward(t, "address", "add", "box@example.org", "--mailbox")
	return o, world, o.account(t, "anna@example.org")
}

// TestSwaksMX has swaks ask for an address of each kind on the MX port, and checks reply, exit status and arrival.
func TestSwaksMX(t *testing.T) {
	o, world, _ := directory(t)
	// Exit statuses of swaks. It knows of no other answer to RCPT than 250, and so takes 251 for a refusal, though it is a
	// success (rfc5321#4.2.3): the message itself is left to the programs of libraries_test.go.
	const accepted, recipientRefused, refusedByMistake = 0, 24, 24
	tests := []struct {
		name, to string
		status   int
		reply    string // a regular expression on the reply to RCPT
		absent   string // what the whole conversation must not show
	}{
		{"forwarded and announced", "anna@example.org", refusedByMistake, `251 2\.1\.5 User not local; will forward to <anna@example\.net>`, ""},
		{"forwarded silently", "quiet@example.org", accepted, `250 2\.1\.5 .*`, "hidden@example.net"},
		{"mailbox", "box@example.org", accepted, `250 2\.1\.5 .*`, ""},
		{"postmaster", "postmaster@example.org", accepted, `25[01] 2\.1\.5 .*`, ""},
		{"moved", "old@example.org", recipientRefused, `551 5\.1\.6 User not local; please try <new@example\.net>`, ""},
		{"unknown", "nobody@example.org", recipientRefused, `550[- ]5\.1\.1 .*`, ""},
		{"refused by its owner", "no@example.org", recipientRefused, `550[- ]5\.\d\.\d+ .*`, ""},
		{"somebody else's domain", "someone@example.com", recipientRefused, `550[- ]5\.7\.1 .*`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, status := program(t, "", "swaks", "--server", o.mx, "--ehlo", "client.example.com",
				"--from", "sender@example.com", "--to", tt.to, "--header", "Subject: swaks "+tt.name, "--body", "Hello from swaks.")
			if status != tt.status {
				t.Errorf("swaks ended with status %d, want %d", status, tt.status)
			}
			if !regexp.MustCompile(`(?m)^<(-|\*\*) +` + tt.reply + `\r?$`).MatchString(out) {
				t.Errorf("no reply %s", tt.reply)
			}
			if tt.absent != "" && strings.Contains(out, tt.absent) {
				t.Errorf("the conversation shows %s", tt.absent)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
	forwarded := world.await(t, "hidden@example.net", "Subject: swaks forwarded silently", "Hello from swaks.")
	if !strings.Contains(forwarded.content, "Received: from client.example.com") {
		t.Errorf("the forwarded message does not say whom it was received from:\n%s", forwarded.content)
	}
	if strings.Count(strings.ToLower(forwarded.content), "received: ") != 1 {
		t.Errorf("the forwarded message has not exactly one Received field:\n%s", forwarded.content)
	}
	local := awaitMail(t, o.data, "Subject: swaks mailbox", "Hello from swaks.")
	if !strings.HasPrefix(local, "Return-Path: <sender@example.com>\n") {
		t.Errorf("the mail in the Maildir does not begin with its Return-Path:\n%s", local)
	}
}

// TestSwaksSubmission has swaks log in, by each mechanism and on each port, rightly and wrongly.
func TestSwaksSubmission(t *testing.T) {
	o, world, password := directory(t)
	const accepted, loginFailed, senderRefused = 0, 28, 23
	submission := []string{"--server", o.submission, "-tls"}
	implicit := []string{"--server", o.submits, "--tls-on-connect"}
	tests := []struct {
		name   string
		args   []string
		status int
		reply  string
	}{
		{"PLAIN", append(submission, "--auth", "PLAIN", "--auth-user", "anna@example.org", "--auth-password", password), accepted, `235 2\.7\.0 .*`},
		{"LOGIN", append(submission, "--auth", "LOGIN", "--auth-user", "anna@example.org", "--auth-password", password), accepted, `235 2\.7\.0 .*`},
		{"implicit TLS", append(implicit, "--auth", "PLAIN", "--auth-user", "anna@example.org", "--auth-password", password), accepted, `235 2\.7\.0 .*`},
		{"wrong password", append(submission, "--auth", "PLAIN", "--auth-user", "anna@example.org", "--auth-password", "wrong"), loginFailed, `535[- ]5\.7\.8 .*`},
		{"wrong password, LOGIN", append(submission, "--auth", "LOGIN", "--auth-user", "anna@example.org", "--auth-password", "wrong"), loginFailed, `535[- ]5\.7\.8 .*`},
		{"unknown user", append(submission, "--auth", "PLAIN", "--auth-user", "nobody@example.org", "--auth-password", password), loginFailed, `535[- ]5\.7\.8 .*`},
		{"no login", submission, senderRefused, `530[- ]5\.7\.0 .*`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{
				"--ehlo", "client.example.com", "--from", "anna@example.org", "--to", "friend@example.com",
				"--header", "Subject: swaks " + tt.name,
			}, tt.args...)
			out, status := program(t, "", "swaks", args...)
			if status != tt.status {
				t.Errorf("swaks ended with status %d, want %d", status, tt.status)
			}
			if !regexp.MustCompile(`(?m)^<(~|~\*) +` + tt.reply + `\r?$`).MatchString(out) {
				t.Errorf("no reply %s over TLS", tt.reply)
			}
			if t.Failed() {
				t.Log(out)
				return
			}
			if tt.status == accepted {
				world.await(t, "friend@example.com", "Subject: swaks "+tt.name)
			}
		})
	}
}
