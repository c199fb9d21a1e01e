//go:build peers

package peers

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImport makes password hashes with the programs that people come from, imports their files into a running server, and
// logs in by PLAIN with each: at first against the hash of the file, the second time against what the server made of it.
func TestImport(t *testing.T) {
	const password, umlaut = "correct horse battery 7", "pässwörter hörnchen"
	o := serve(t, settings{})
	o.onward(t, "domain", "add", "example.org")
	files := map[string]string{"users": "", "htpasswd": "", "people.csv": "login;hash\n"}
	logins := make(map[string]string) // login → password
	add := func(file, how, secret, hash string) {
		t.Helper()
		login := fmt.Sprintf("u%d@example.org", len(logins))
		logins[login] = secret
		hash = strings.TrimSpace(hash)
		switch file {
		case "people.csv":
			files[file] += login + ";\"" + hash + "\"\n"
		default:
			files[file] += login + ":" + hash + "\n"
		}
		t.Logf("%s: %s", login, how)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, status := program(t, "", name, args...)
		if status != 0 {
			t.Fatalf("%s %s: status %d\n%s", name, strings.Join(args, " "), status, out)
		}
		return out
	}
	known := run("doveadm", "pw", "-l")
	for _, scheme := range []string{
		"BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "CRYPT", "ARGON2ID", "ARGON2I", "PBKDF2", "SCRAM-SHA-256", "SCRAM-SHA-1",
		"SSHA512", "SSHA256", "SSHA", "SMD5", "SHA512", "SHA256", "SHA", "PLAIN-MD5", "LDAP-MD5", "PLAIN",
	} {
		if !strings.Contains(" "+known+" ", " "+scheme+" ") {
			t.Logf("this doveadm makes no %s", scheme)
			continue
		}
		add("users", "doveadm pw -s "+scheme, password, run("doveadm", "pw", "-s", scheme, "-p", password))
	}
	add("users", "doveadm pw, a password that is not ASCII", umlaut, run("doveadm", "pw", "-s", "SHA512-CRYPT", "-p", umlaut))
	for _, form := range []string{"-B", "-m", "-s", "-2", "-5"} {
		_, hash, _ := strings.Cut(run("htpasswd", "-nb", form, "user", password), ":")
		add("htpasswd", "htpasswd "+form, password, hash)
	}
	for _, form := range []string{"-6", "-5", "-1", "-apr1"} {
		add("people.csv", "openssl passwd "+form, password, run("openssl", "passwd", form, password))
	}
	for _, form := range []string{"yescrypt", "bcrypt"} {
		add("people.csv", "mkpasswd -m "+form, password, run("mkpasswd", "-m", form, password))
	}
	for name, text := range files {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o.onward(t, "account", "import", path)
	}
	for login, secret := range logins {
		for _, time := range []string{"first", "second"} {
			if err := o.logIn(login, secret); err != nil {
				t.Errorf("%s cannot log in the %s time: %v", login, time, err)
			}
		}
	}
	if err := o.logIn("u0@example.org", "wrong"); err == nil || !strings.Contains(err.Error(), "5.7.8") {
		t.Errorf("u0@example.org logs in with a wrong password: %v", err)
	}
}

// logIn logs in by PLAIN over STARTTLS.
func (o *server) logIn(login, password string) error {
	host, _, err := net.SplitHostPort(o.submission)
	if err != nil {
		return err
	}
	c, err := smtp.Dial(o.submission)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil { // the certificate is made for the test
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", login, password, host)); err != nil {
		return err
	}
	return c.Quit()
}
