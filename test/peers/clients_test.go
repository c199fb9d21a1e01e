//go:build peers

package peers

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClients has each program submit a message with a login, over STARTTLS and over TLS from the first octet where it knows
// both, and checks the certificate as it does by itself.
func TestClients(t *testing.T) {
	o, world, password := directory(t)
	ca := filepath.Join(o.data, "selfsigned-cert.pem")
	const user, to = "anna@example.org", "friend@example.com"
	host, port, err := net.SplitHostPort(o.submission)
	if err != nil {
		t.Fatal(err)
	}
	_, tlsPort, err := net.SplitHostPort(o.submits)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	message := func(subject string) string {
		return "From: Anna <" + user + ">\nTo: " + to + "\nSubject: " + subject + "\n\n.\n.. dots\nGrüße\n"
	}
	file := func(subject, text string) string {
		name := filepath.Join(dir, strings.ReplaceAll(subject, " ", "-"))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	patch := "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: Anna <" + user + ">\n" +
		"Date: Tue, 24 Nov 2026 12:00:00 +0000\nSubject: [PATCH] git send-email\n\nGrüße\n---\n a | 1 +\n\ndiff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -0,0 +1 @@\n+a\n-- \n2.0\n"
	perl := `use Net::SMTP; my ($host, $port, $ca, $user, $secret, $to, $ssl) = @ARGV;
my $s = Net::SMTP->new($host, Port => $port, SSL => $ssl, SSL_ca_file => $ca, Hello => 'client.example.com', Timeout => 20) or die "connect: $@";
$ssl or $s->starttls(SSL_ca_file => $ca) or die "starttls: " . $s->message;
$s->auth($user, $secret) or die "auth: " . $s->message;
$s->mail($user) && $s->to($to) && $s->data("From: $user\nTo: $to\nSubject: Net::SMTP $ssl\n\n.\n.. dots\nGr\xc3\xbc\xc3\x9fe\n") or die "send: " . $s->message;
$s->quit;`
	escaped := url.QueryEscape(user) + ":" + url.QueryEscape(password)
	tests := []struct {
		subject string
		stdin   string
		command []string
	}{
		{"msmtp starttls", message("msmtp starttls"), []string{
			"msmtp", "--host=" + host, "--port=" + port, "--tls=on", "--tls-starttls=on", "--tls-trust-file=" + ca, "--auth=plain", "--user=" + user,
			"--passwordeval=echo " + password, "--from=" + user, to,
		}},
		{"msmtp tls", message("msmtp tls"), []string{
			"msmtp", "--host=" + host, "--port=" + tlsPort, "--tls=on", "--tls-starttls=off", "--tls-trust-file=" + ca, "--auth=login", "--user=" + user,
			"--passwordeval=echo " + password, "--from=" + user, to,
		}},
		{"curl starttls", "", []string{
			"curl", "-sS", "--ssl-reqd", "--cacert", ca, "--user", user + ":" + password, "--mail-from", user, "--mail-rcpt", to,
			"--crlf", "--upload-file", file("curl starttls", message("curl starttls")), "smtp://" + o.submission,
		}},
		{"curl tls", "", []string{
			"curl", "-sS", "--cacert", ca, "--user", user + ":" + password, "--mail-from", user, "--mail-rcpt", to,
			"--crlf", "--upload-file", file("curl tls", message("curl tls")), "smtps://" + o.submits,
		}},
		{"s-nail starttls", "Grüße\n", []string{
			"s-nail", "-n", "-Sv15-compat", "-Smta=smtp://" + escaped + "@localhost:" + port, "-Ssmtp-use-starttls", "-Ssmtp-auth=plain",
			"-Stls-ca-file=" + ca, "-Stls-ca-no-defaults", "-Stls-verify=strict", "-r", user, "-s", "s-nail starttls", to,
		}},
		{"s-nail tls", "Grüße\n", []string{
			"s-nail", "-n", "-Sv15-compat", "-Smta=smtps://" + escaped + "@localhost:" + tlsPort, "-Ssmtp-auth=login",
			"-Stls-ca-file=" + ca, "-Stls-ca-no-defaults", "-Stls-verify=strict", "-r", user, "-s", "s-nail tls", to,
		}},
		{"[PATCH] git send-email", "", []string{
			"git", "send-email", "--smtp-server=" + host, "--smtp-server-port=" + port, "--smtp-encryption=tls", "--smtp-ssl-cert-path=" + ca,
			"--smtp-user=" + user, "--smtp-pass=" + password, "--from=" + user, "--to=" + to, "--confirm=never", "--suppress-cc=all", "--8bit-encoding=UTF-8", file("patch", patch),
		}},
		{"Net::SMTP 0", "", []string{"perl", "-e", perl, host, port, ca, user, password, to, "0"}},
		{"Net::SMTP 1", "", []string{"perl", "-e", perl, host, tlsPort, ca, user, password, to, "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.subject, func(t *testing.T) {
			c := exec.Command(tt.command[0], tt.command[1:]...)
			c.Stdin = strings.NewReader(tt.stdin)
			c.Dir = dir
			c.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_COMMITTER_NAME=Anna", "GIT_COMMITTER_EMAIL="+user, "GIT_AUTHOR_NAME=Anna", "GIT_AUTHOR_EMAIL="+user, "DEAD=/dev/null", "LC_ALL=C.UTF-8", "MAILRC=/dev/null")
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", tt.command[0], err, out)
			}
			got := world.await(t, to, "Subject: "+tt.subject)
			if strings.Contains(tt.stdin, ".. dots") && !strings.Contains(strings.ReplaceAll(got.content, "\r", ""), "\n.\n.. dots\nGrüße\n") {
				t.Errorf("the content did not survive:\n%s", got.content)
			}
		})
	}
	t.Run("gsasl", func(t *testing.T) {
		for secret, want := range map[string]string{password: "235 2.7.0", "wrong": "535"} {
			out, _ := program(t, "", "gsasl", "--client", "--smtp", "--connect="+o.submission, "--mechanism=PLAIN", "--authentication-id="+user,
				"--password="+secret, "--x509-ca-file="+ca, "--hostname=mx.example.org", "--service=smtp", "--verbose")
			if !strings.Contains(out, want) {
				t.Errorf("gsasl does not hear %s:\n%s", want, out)
			}
		}
	})
}

// TestOpendkim has Debian's opendkim look at mail as a milter: it signs what a trusted client submits, and the field arrives.
func TestOpendkim(t *testing.T) {
	world := newSink(t, nil)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("opendkim-genkey", "-b", "2048", "-D", dir, "-d", "example.org", "-s", "s1").CombinedOutput(); err != nil {
		t.Fatalf("opendkim-genkey: %v\n%s", err, out)
	}
	at := freePort(t)
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "opendkim.conf")
	text := fmt.Sprintf("Mode s\nDomain example.org\nSelector s1\nKeyFile %s/s1.private\nSocket inet:%s@127.0.0.1\nInternalHosts 127.0.0.1\nRequireSafeKeys no\nSyslog no\nBackground no\nUserID root\nPidFile %s/pid\n", dir, port, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := prepare(t, settings{routes: map[string]string{"*": world.address}, relay: []string{"127.0.0.0/8"}})
	o.addConfig(t, fmt.Sprintf("[milters]\nservers = [%q]\n", at))
	o.start(t)
	send := func(subject string) (string, int) {
		return program(t, "", "swaks", "--server", o.mx, "--ehlo", "client.example.com", "--from", "anna@example.org", "--to", "friend@example.com",
			"--header", "Subject: "+subject, "--body", strings.Repeat("Hello from swaks, by a milter.\n", 3000))
	}
	if out, status := send("without the milter"); status == 0 || !strings.Contains(out, "451") {
		t.Errorf("while the milter is down swaks ends with %d\n%s", status, out)
	}
	filter := exec.Command("opendkim", "-f", "-x", conf)
	log := new(strings.Builder)
	filter.Stdout, filter.Stderr = log, log
	if err := filter.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = filter.Process.Kill()
		_ = filter.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	until(t, "opendkim listens", patience, func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if out, status := send("with the milter"); status != 0 {
		t.Fatalf("swaks ended with %d\n%s", status, out)
	}
	got := world.await(t, "friend@example.com", "Subject: with the milter")
	received, signed := strings.Index(got.content, "Received:"), strings.Index(got.content, "DKIM-Signature: v=1; a=rsa-sha256;")
	if signed < 0 || received < 0 || received > signed {
		t.Errorf("the signature is missing, or above our trace field:\n%.2000s", got.content)
	}
}
