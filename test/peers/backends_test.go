//go:build peers

package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// verdict is what check-backend --json prints.
type verdict struct {
	OK     bool   `json:"ok"`
	Login  string `json:"login"`
	Cause  string `json:"cause"`
	Detail string `json:"detail"`
	Proved bool   `json:"proved"`
	Down   string `json:"down"`
}

// checkBackend asks a login backend of the server, and holds the exit status against the answer.
func (o *server) checkBackend(t *testing.T, secret string, args ...string) verdict {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), onwardBinary, append([]string{"account", "check-backend", "--password-stdin", "--json"}, args...)...)
	cmd.Env = append(os.Environ(), "ONWARD_CONFIG="+o.config)
	cmd.Dir = o.dir
	cmd.Stdin = strings.NewReader(secret + "\n")
	out, err := cmd.Output()
	var v verdict
	if bad := json.Unmarshal(out, &v); bad != nil {
		t.Fatalf("check-backend %s printed %q: %v, %v", strings.Join(args, " "), out, bad, err)
	}
	want := 6
	switch {
	case v.Down != "":
		want = 5
	case v.OK:
		want = 0
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("check-backend %s: exit status %d, want %d; it printed %s", strings.Join(args, " "), got, want, out)
	}
	return v
}

// expect is checkBackend with what it ought to say: "" is right, a cause, or "down".
func (o *server) expect(t *testing.T, want, secret string, args ...string) verdict {
	t.Helper()
	v := o.checkBackend(t, secret, args...)
	got := v.Cause
	if v.Down != "" {
		got = "down"
	}
	if got != want || v.OK != (want == "") {
		t.Errorf("check-backend %s with %.20q: %+v, want %q", strings.Join(args, " "), secret, v, want)
	}
	return v
}

// withBackends starts a server with sections of login.backends and files beside them.
func withBackends(t *testing.T, toml string, files map[string]string) *server {
	t.Helper()
	return configured(t, settings{}, toml, files)
}

// configured starts a server with more of a configuration than settings know, and files beside it.
func configured(t *testing.T, s settings, toml string, files map[string]string) *server {
	t.Helper()
	o := prepare(t, s)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.addConfig(t, toml)
	if out, err := o.try(t, "", "check-config"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o.start(t)
	return o
}

// daemon is a program that a test runs in the foreground and may stop, halt and start again.
type daemon struct {
	name string
	args []string
	at   string // where it listens when it is ready: "host:port", or a path
	log  string
	cmd  *exec.Cmd
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.name, d.args...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", d.name, err)
	}
	network := "tcp"
	if strings.HasPrefix(d.at, "/") {
		network = "unix"
	}
	until(t, d.name+" listens on "+d.at, patience, func() bool {
		c, err := net.DialTimeout(network, d.at, time.Second)
		if err != nil {
			if d.cmd.Process.Signal(syscall.Signal(0)) != nil {
				t.Fatalf("%s ended\n%s", d.name, tail(d.log, 20))
			}
			return false
		}
		c.Close()
		return true
	})
}

// stop ends it and its children, and waits for that.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGCONT)
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kill := context.AfterFunc(ctx, func() { _ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) })
	_ = d.cmd.Wait()
	if kill() {
		_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) // children that outlived it
	}
	d.cmd = nil
}

// signal sends to it alone.
func (d *daemon) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// certify writes a self-signed certificate for 127.0.0.1 and ldap.example.org.
func certify(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, status := program(t, "", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "30",
		"-subj", "/CN=ldap.example.org", "-addext", "subjectAltName=DNS:ldap.example.org,IP:127.0.0.1")
	if status != 0 {
		t.Fatalf("openssl: status %d\n%s", status, out)
	}
	return cert, key
}

// openLDAP is OpenLDAP with some people in it. Binds in clear are refused, except over its socket.
func openLDAP(t *testing.T) (d *daemon, clear, secure, socket, cert string) {
	t.Helper()
	dir := shortDir(t)
	cert, key := certify(t, dir)
	clear, secure, socket = freePort(t), freePort(t), filepath.Join(dir, "ldapi")
	conf, ldif := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "data.ldif")
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	var people strings.Builder
	for _, uid := range []string{"anna", "locked", "left", "twin"} {
		fmt.Fprintf(&people, "\ndn: uid=%s,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: %s\nmail: %s@example.org\nuserPassword: correct horse\n", uid, uid, uid, uid, uid)
		people.WriteString(map[string]string{
			"anna": "mail: a.berg@example.org\n", "locked": "pwdAccountLockedTime: 000001010000Z\n", "left": "employeeType: left\n", "twin": "mail: both@example.org\n",
		}[uid])
	}
	people.WriteString("\ndn: uid=other,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: other\ncn: o\nsn: o\nmail: both@example.org\nuserPassword: correct horse\n")
	people.WriteString("\ndn: ou=elsewhere,dc=example,dc=org\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\nref: ldap://127.0.0.1:9/ou=elsewhere,dc=example,dc=org\n")
	for name, text := range map[string]string{
		conf: fmt.Sprintf(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile %[1]s/pid
TLSCertificateFile %[2]s
TLSCertificateKeyFile %[3]s
security simple_bind=128
localSSF 128
database mdb
directory %[1]s/db
suffix "dc=example,dc=org"
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=org"
ppolicy_use_lockout
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=service,dc=example,dc=org" read by anonymous auth by * none
`, dir, cert, key),
		ldif: `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=policy,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE

dn: cn=service,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: service
userPassword: s3cret

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people
` + people.String(),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, status := program(t, "", "/usr/sbin/slapadd", "-f", conf, "-l", ldif); status != 0 {
		t.Fatalf("slapadd: status %d\n%s", status, out)
	}
	d = &daemon{
		name: "/usr/sbin/slapd", at: clear, log: filepath.Join(dir, "log"),
		args: []string{"-d", "0", "-f", conf, "-h", "ldap://" + clear + " ldaps://" + secure + " ldapi://" + strings.ReplaceAll(socket, "/", "%2f")},
	}
	d.start(t)
	t.Cleanup(func() { d.stop(t) })
	return d, clear, secure, socket, cert
}

// shortDir is a folder whose sockets have paths short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "onward")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestOpenLDAP has Debian's slapd say whether passwords are right: by search and by a DN that follows from the login, with
// STARTTLS, ldaps and its socket; while it is restarted, and while it hangs.
func TestOpenLDAP(t *testing.T) {
	d, clear, secure, socket, cert := openLDAP(t)
	o := withBackends(t, fmt.Sprintf(`
[login.backends.search]
kind = "ldap"
domains = ["example.org"]
servers = ["ldap://127.0.0.1:9", "ldap://%[1]s"]
ca_file = %[4]q
timeout = "2s"
base = "dc=example,dc=org"
filter = "(&(objectClass=inetOrgPerson)(mail={login}))"
bind_dn = "cn=service,dc=example,dc=org"
password_file = "service.password"
disabled_filter = "(employeeType=left)"
[login.backends.named]
kind = "ldap"
domains = ["example.org"]
servers = ["ldap://%[1]s"]
ca_file = %[4]q
tls_name = "ldap.example.org"
base = "ou=people,dc=example,dc=org"
depth = "one"
filter = "(mail={login})"
bind_dn = "cn=service,dc=example,dc=org"
password_file = "service.password"
login_attribute = "mail"
[login.backends.direct]
kind = "ldap"
domains = ["example.org"]
servers = ["ldaps://%[2]s"]
ca_file = %[4]q
dn = "uid={local},ou=people,dc=example,dc=org"
[login.backends.socket]
kind = "ldap"
domains = ["example.org"]
servers = ["ldapi://%[3]s"]
dn = "uid={local},ou=people,dc=example,dc=org"
[login.backends.clear]
kind = "ldap"
domains = ["example.org"]
servers = ["ldap://%[1]s"]
starttls = false
dn = "uid={local},ou=people,dc=example,dc=org"
[login.backends.distrust]
kind = "ldap"
domains = ["example.org"]
servers = ["ldaps://%[2]s"]
dn = "uid={local},ou=people,dc=example,dc=org"
[login.backends.intruder]
kind = "ldap"
domains = ["example.org"]
servers = ["ldap://%[1]s"]
ca_file = %[4]q
base = "dc=example,dc=org"
filter = "(mail={login})"
bind_dn = "cn=service,dc=example,dc=org"
password_file = "wrong.password"
`, clear, secure, socket, cert), map[string]string{"service.password": "s3cret\n", "wrong.password": "guess\n"})

	const right = "correct horse"
	for _, backend := range []string{"search", "named", "direct", "socket"} {
		if v := o.expect(t, "", right, backend, "anna@example.org"); v.Login != "anna@example.org" {
			t.Errorf("%s: the login is %q", backend, v.Login)
		}
		wrong, unknown := "wrong_password", "unknown_user"
		if backend == "direct" || backend == "socket" {
			wrong, unknown = "backend_rejected", "backend_rejected" // a directory does not tell who is there
		}
		o.expect(t, wrong, "wrong horse", backend, "anna@example.org")
		o.expect(t, unknown, right, backend, "nobody@example.org")
		for _, wild := range []string{"*@example.org", "an*@example.org", "anna,ou=people@example.org", "x)(mail=anna@example.org"} {
			o.expect(t, unknown, right, backend, wild)
		}
		// It says so whatever the password, so nothing is proved.
		for _, password := range []string{right, "wrong horse"} {
			if v := o.expect(t, "account_disabled", password, backend, "locked@example.org"); v.Proved || !strings.Contains(v.Detail, "locked") {
				t.Errorf("%s: %+v", backend, v)
			}
		}
	}
	o.expect(t, "", right, "search", "a.berg@example.org")
	if v := o.expect(t, "down", right, "search", "both@example.org"); !strings.Contains(v.Down, "several entries match") {
		t.Error(v.Down)
	}
	o.expect(t, "wrong_password", "wrong horse", "search", "left@example.org")
	if v := o.expect(t, "account_disabled", right, "search", "left@example.org"); !v.Proved {
		t.Errorf("%+v", v)
	}
	if v := o.expect(t, "down", right, "clear", "anna@example.org"); !strings.Contains(v.Down, "confidentiality required") {
		t.Error(v.Down)
	}
	if v := o.expect(t, "down", right, "distrust", "anna@example.org"); !strings.Contains(v.Down, "certificate") {
		t.Error(v.Down)
	}
	if v := o.expect(t, "down", right, "intruder", "anna@example.org"); !strings.Contains(v.Down, "the service account cn=service,dc=example,dc=org cannot bind") {
		t.Error(v.Down)
	}

	d.stop(t)
	if v := o.expect(t, "down", right, "direct", "anna@example.org"); !strings.Contains(v.Down, "refused") {
		t.Error(v.Down)
	}
	d.start(t)
	for _, backend := range []string{"search", "direct", "socket"} {
		o.expect(t, "", right, backend, "anna@example.org")
	}

	d.signal(t, syscall.SIGSTOP)
	began := time.Now()
	if v := o.expect(t, "down", right, "search", "anna@example.org"); !strings.Contains(v.Down, "no answer within 2s (timeout)") || time.Since(began) > 8*time.Second {
		t.Errorf("after %v: %s", time.Since(began), v.Down)
	}
	d.signal(t, syscall.SIGCONT)
	o.expect(t, "", right, "search", "anna@example.org")
}

// dovecot is a Dovecot that checks passwords and does nothing else; it listens on a socket and by TCP.
func dovecot(t *testing.T) (d *daemon, socket, tcp string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("Dovecot changes users, and that needs root")
	}
	dir := shortDir(t)
	tcp = freePort(t)
	_, port, err := net.SplitHostPort(tcp)
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "run", "auth-client")
	for name, text := range map[string]string{
		"dovecot.conf": fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
instance_name = onward-peers
log_path = %[1]s/log
protocols =
listen = 127.0.0.1
ssl = no
auth_mechanisms = plain
auth_failure_delay = 1 secs
auth_debug = yes
passdb {
  driver = passwd-file
  args = scheme=PLAIN %[1]s/users
}
passdb {
  driver = checkpassword
  args = %[1]s/broken
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=%[1]s
}
service auth {
  unix_listener auth-client {
    mode = 0600
  }
  inet_listener {
    address = 127.0.0.1
    port = %[2]s
  }
}
`, dir, port),
		"users": "anna@example.org:correct horse::::::\noff@example.org:correct horse::::::nologin reason=gone_away\n" +
			"alias@example.org:correct horse::::::user=anna@example.org\nfar@example.org:correct horse::::::user=anna@example.net\n",
		// checkpassword(8): 111 is a temporary failure.
		"broken": "#!/bin/sh\ncase \"$(tr '\\0' '\\n' <&3 | head -n 1)\" in trouble@*) exit 111 ;; esac\nexit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d = &daemon{name: "/usr/sbin/dovecot", args: []string{"-F", "-c", filepath.Join(dir, "dovecot.conf")}, at: socket, log: filepath.Join(dir, "console")}
	d.start(t)
	t.Cleanup(func() { d.stop(t) })
	return d, socket, tcp
}

// TestDovecot has Debian's Dovecot say it, over its authentication socket and by TCP, and over a restart.
func TestDovecot(t *testing.T) {
	d, socket, tcp := dovecot(t)
	o := withBackends(t, fmt.Sprintf(`
[login.backends.unix]
kind = "dovecot"
domains = ["example.org"]
address = %q
[login.backends.tcp]
kind = "dovecot"
domains = ["example.org"]
address = %q
`, socket, tcp), nil)
	const right = "correct horse"
	for _, backend := range []string{"unix", "tcp"} {
		o.expect(t, "", right, backend, "anna@example.org")
		o.expect(t, "backend_rejected", "wrong horse", backend, "anna@example.org")
		o.expect(t, "backend_rejected", right, backend, "nobody@example.org")
		o.expect(t, "backend_rejected", "wrong horse", backend, "off@example.org")
		if v := o.expect(t, "account_disabled", right, backend, "off@example.org"); !v.Proved || !strings.HasSuffix(v.Detail, ": gone_away") {
			t.Errorf("%+v", v)
		}
		if v := o.expect(t, "", right, backend, "alias@example.org"); v.Login != "anna@example.org" {
			t.Errorf("%+v", v)
		}
		if v := o.expect(t, "down", right, backend, "far@example.org"); !strings.Contains(v.Down, "none of the domains") {
			t.Error(v.Down)
		}
	}
	// A failure is delayed there; a login beside it is not.
	slow := make(chan time.Duration)
	began := time.Now()
	go func() {
		o.checkBackend(t, "wrong horse", "unix", "anna@example.org")
		slow <- time.Since(began)
	}()
	o.expect(t, "", right, "unix", "anna@example.org")
	quick := time.Since(began)
	if s := <-slow; quick > s {
		t.Errorf("a right password took %v beside a wrong one of %v", quick, s)
	}

	d.stop(t)
	o.expect(t, "down", right, "unix", "anna@example.org")
	d.start(t)
	o.expect(t, "", right, "unix", "anna@example.org")
	until(t, "Dovecot answers by TCP", patience, func() bool { return o.checkBackend(t, right, "tcp", "anna@example.org").OK })

	if v := o.expect(t, "down", right, "unix", "trouble@example.org"); !strings.Contains(v.Down, "temporary failure") {
		t.Error(v.Down)
	}
}
