//go:build peers

package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/test/postfix"
)

// TestSmtpSource sends 500 messages by Postfix's smtp-source through Onward to Postfix's smtp-sink: announced forwards of
// our domain and relayed mail of a trusted network, each of which must be there at the end exactly once.
func TestSmtpSource(t *testing.T) {
	const messages, sessions = 500, "20"
	dumps := openFolder(t)
	world := freePort(t)
	stop := smtpSink(t, world, dumps)
	defer stop()
	o := serve(t, settings{routes: map[string]string{"*": world}, relay: []string{"127.0.0.0/8"}})
	o.onward(t, "domain", "add", "example.org")
	o.onward(t, "address", "add", "anna@example.org", "--forward", "anna@example.net", "--disclose", "announce")

	for _, to := range []string{"anna@example.org", "friend@example.com"} {
		out, status := program(t, "", "smtp-source", "-s", sessions, "-m", fmt.Sprint(messages/2), "-l", "4096",
			"-f", "sender@example.com", "-t", to, o.mx)
		if status != 0 {
			t.Fatalf("smtp-source to %s: status %d\n%s", to, status, out)
		}
	}
	count := func() int {
		files, err := os.ReadDir(dumps)
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	until(t, fmt.Sprintf("%d messages in smtp-sink", messages), 2*time.Minute, func() bool { return count() >= messages })
	o.drain(t)
	if n := count(); n != messages {
		t.Errorf("smtp-sink has %d messages, want exactly %d: nothing failed, so nothing may go twice", n, messages)
	}
}

// openFolder is a temporary folder that other users may enter and write into.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for folder, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o777} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// smtpSink starts Postfix's smtp-sink, which leaves each message in a file of its own.
func smtpSink(t *testing.T, address, dumps string) (stop func()) {
	t.Helper()
	cmd := exec.Command("smtp-sink", "-u", "postfix", "-d", dumps+"/%Y%m%d%H%M%S.", address, "1000")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	until(t, "smtp-sink answers", patience, func() bool { return greets(address) })
	return stop
}

// nextHop starts a Postfix that takes mail for example.net into Maildirs below its folder, over TLS where the client
// wants it, and answers RCPT as the access table says.
func nextHop(t *testing.T, table *access) (p *postfix.Instance, maildirs string) {
	t.Helper()
	dir := openFolder(t)
	maildirs = filepath.Join(dir, "mail")
	if err := os.Mkdir(maildirs, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(maildirs, 0o777); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "conf")
	if err := os.Mkdir(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(conf, "cert.pem")
	if out, status := program(t, "", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
		"-subj", "/CN=peer.example.net", "-keyout", pem, "-out", filepath.Join(conf, "only.pem")); status != 0 {
		t.Fatalf("openssl req: %s", out)
	}
	certificate, err := os.ReadFile(filepath.Join(conf, "only.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(pem)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pem, append(key, certificate...), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err = postfix.Start(t.Context(), dir, freePort(t), postfix.Options{Main: map[string]string{
		"virtual_mailbox_domains":      "example.net",
		"virtual_mailbox_base":         maildirs,
		"virtual_mailbox_maps":         "static:everybody/",
		"default_transport":            "discard:", // its own bounces go nowhere
		"virtual_uid_maps":             "static:65534",
		"virtual_gid_maps":             "static:65534",
		"virtual_minimum_uid":          "100",
		"smtpd_tls_security_level":     "may",
		"smtpd_tls_chain_files":        pem,
		"smtpd_tls_received_header":    "yes",
		"smtpd_recipient_restrictions": "check_recipient_access socketmap:inet:" + table.address + ":access, reject_unauth_destination",
		"smtpd_relay_restrictions":     "reject_unauth_destination",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("postfix's log:\n%s", tail(p.Log, 60))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p, maildirs
}

// TestPostfixNextHop forwards to a real Postfix that takes one recipient, puts one off, and refuses one.
func TestPostfixNextHop(t *testing.T) {
	table := newAccess(t, map[string]string{
		"later@example.net": "450 4.2.1 Mailbox is being moved, come back",
		"gone@example.net":  "550 5.2.1 Mailbox closed in spring",
	})
	p, maildirs := nextHop(t, table)
	o := serve(t, settings{routes: map[string]string{"example.net": p.Address}, relay: []string{"127.0.0.0/8"}})
	o.onward(t, "domain", "add", "example.org")
	o.onward(t, "address", "add", "anna@example.org", "--forward", "anna@example.net", "--disclose", "silent") // swaks takes 251 for a refusal
	o.onward(t, "address", "add", "later@example.org", "--forward", "later@example.net", "--disclose", "silent")
	o.onward(t, "address", "add", "gone@example.org", "--forward", "gone@example.net", "--disclose", "silent")
	o.onward(t, "address", "add", "box@example.org", "--mailbox")
	password := o.account(t, "box@example.org")

	send := func(t *testing.T, subject, to string) {
		t.Helper()
		out, status := program(t, "", "swaks", "--server", o.mx, "--ehlo", "client.example.com", "--from", "sender@example.com",
			"--to", to, "--header", "Subject: "+subject)
		if status != 0 {
			t.Fatalf("swaks: status %d\n%s", status, out)
		}
	}

	t.Run("delivered", func(t *testing.T) {
		send(t, "taken at once", "anna@example.org")
		mail := awaitMail(t, maildirs, "Subject: taken at once")
		if !containsAll(mail, []string{"using TLSv1.3", "by mx.example.org"}) {
			t.Errorf("postfix has not received it from us over TLS:\n%s", mail)
		}
	})

	t.Run("deferred and retried", func(t *testing.T) {
		send(t, "taken later", "later@example.org")
		until(t, "postfix has put it off", patience, func() bool {
			return strings.Contains(tail(p.Log, 1000), "450 4.2.1")
		})
		until(t, "onward log tells of the deferral in the other server's words", patience, func() bool {
			return strings.Contains(o.onward(t, "log", "later@example.org"), "Mailbox is being moved, come back")
		})
		table.forget("later@example.net")
		awaitMail(t, maildirs, "Subject: taken later")
	})

	t.Run("refused: the submitter gets a report that hides the target", func(t *testing.T) {
		out, status := program(t, "", "swaks", "--server", o.submission, "-tls", "--auth", "PLAIN", "--auth-user", "box@example.org",
			"--auth-password", password, "--from", "box@example.org", "--to", "gone@example.org", "--header", "Subject: never taken")
		if status != 0 {
			t.Fatalf("swaks: status %d\n%s", status, out)
		}
		until(t, "onward log tells of the refusal in the other server's words", patience, func() bool {
			return strings.Contains(o.onward(t, "log", "gone@example.org"), "Mailbox closed in spring")
		})
		report := awaitMail(t, o.data, "report-type=delivery-status")
		for _, words := range []string{"Return-Path: <>", "Mailbox closed in spring", "Final-Recipient: rfc822;", "Action: failed", "Status: 5.2.1", "gone@example.org"} {
			if !strings.Contains(report, words) {
				t.Errorf("the report does not say %q", words)
			}
		}
		if strings.Contains(report, "gone@example.net") {
			t.Error("the report shows the target that the address hides")
		}
		if t.Failed() {
			t.Log(report)
		}
	})

	t.Run("nobody listens, then somebody does", func(t *testing.T) {
		dead := freePort(t)
		again := serve(t, settings{routes: map[string]string{"*": dead}, relay: []string{"127.0.0.0/8"}})
		out, status := program(t, "", "swaks", "--server", again.mx, "--from", "sender@example.com", "--to", "anna@example.net", "--header", "Subject: patience")
		if status != 0 {
			t.Fatalf("swaks: status %d\n%s", status, out)
		}
		until(t, "the message waits", patience, func() bool {
			return strings.Contains(again.onward(t, "queue", "list"), "example.net")
		})
		late := newSinkAt(t, dead)
		late.await(t, "anna@example.net", "Subject: patience")
	})
}

// newSinkAt is newSink on an address that was free a moment ago.
func newSinkAt(t *testing.T, address string) *sink {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return sinkOn(t, l, nil)
}
