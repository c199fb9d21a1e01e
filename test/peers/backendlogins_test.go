//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What the people of the backends below have as their password, and what is wrong.
const (
	rightSecret = "correct horse"
	wrongSecret = "wrong horse"
)

// knower is a backend that knows the password of anna@example.org, and how a test has it fail.
type knower struct {
	name  string
	toml  string
	files map[string]string
	// unknown is the cause of a login that it does not know.
	unknown string
	// barred are people whom it lets in no more.
	barred []barred
	// alias is another login of anna's, "" for none.
	alias string
	// halt makes it silent until resume; stop ends it until start.
	halt, resume, stop, start func(t *testing.T)
}

// barred is a try of somebody whom a backend lets in no more.
type barred struct{ user, secret, reply, cause string }

// TestBackendLDAP has people of OpenLDAP submit mail: found by a search, with a second address, one who has left, and one whom the
// directory has locked.
func TestBackendLDAP(t *testing.T) {
	d, clear, _, _, cert := openLDAP(t)
	throughServer(t, knower{
		name: "directory",
		toml: fmt.Sprintf(`
[login.backends.directory]
kind = "ldap"
domains = ["example.org"]
servers = ["ldap://%s"]
ca_file = %q
timeout = "20s"
base = "ou=people,dc=example,dc=org"
filter = "(|(uid={local})(mail={login}))"
bind_dn = "cn=service,dc=example,dc=org"
password_file = "service.password"
disabled_filter = "(employeeType=left)"
`, clear, cert),
		files:   map[string]string{"service.password": "s3cret\n"},
		unknown: "unknown_user",
		barred: []barred{
			{"left@example.org", rightSecret, "525", "account_disabled"},
			{"left@example.org", wrongSecret, "535", "wrong_password"},
			// Its password policy says so whatever the password, and so a stranger must not hear of it.
			{"locked@example.org", rightSecret, "535", "account_disabled"},
			{"locked@example.org", wrongSecret, "535", "account_disabled"},
		},
		halt:   func(t *testing.T) { d.signal(t, syscall.SIGSTOP) },
		resume: func(t *testing.T) { d.signal(t, syscall.SIGCONT) },
		stop:   d.stop, start: d.start,
	})
}

// TestBackendDovecot has people of Dovecot submit mail, one of them by an alias too, and one who may not log in.
func TestBackendDovecot(t *testing.T) {
	d, socket, _ := dovecot(t)
	all := func(s syscall.Signal) func(*testing.T) { // its auth is a child of its own
		return func(t *testing.T) {
			if err := syscall.Kill(-d.cmd.Process.Pid, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	throughServer(t, knower{
		name:    "imap",
		toml:    fmt.Sprintf("\n[login.backends.imap]\nkind = \"dovecot\"\ndomains = [\"example.org\"]\naddress = %q\ntimeout = \"20s\"\n", socket),
		unknown: "backend_rejected", // it does not tell who is there
		barred: []barred{
			{"off@example.org", rightSecret, "525", "account_disabled"},
			{"off@example.org", wrongSecret, "535", "backend_rejected"},
		},
		alias: "alias@example.org",
		halt:  all(syscall.SIGSTOP), resume: all(syscall.SIGCONT),
		stop: d.stop, start: d.start,
	})
}

// TestBackendHTTP has people of a service of one's own submit mail, one whose password it proved and one of whom it only says that
// he may not.
func TestBackendHTTP(t *testing.T) {
	s := newService(t)
	throughServer(t, knower{
		name:    "own",
		toml:    fmt.Sprintf("\n[login.backends.own]\nkind = \"http\"\ndomains = [\"*\"]\nurl = \"http://%s/check\"\ntimeout = \"20s\"\n", s.address),
		unknown: "unknown_user",
		barred: []barred{
			{"off@example.org", rightSecret, "525", "account_disabled"},
			{"off@example.org", wrongSecret, "535", "wrong_password"},
			{"perhaps@example.org", rightSecret, "535", "account_disabled"},
		},
		alias: "a.berg@example.org",
		halt:  s.halt, resume: s.resume, stop: s.stop, start: s.start,
	})
}

// service says by HTTP who may log in.
type service struct {
	address string
	server  *httptest.Server

	mu   sync.Mutex // guards hang
	hang chan struct{}
}

func newService(t *testing.T) *service {
	s := &service{address: freePort(t)}
	s.start(t)
	t.Cleanup(func() {
		s.resume(t)
		s.stop(t)
	})
	return s
}

func (s *service) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	s.server.Start()
}

func (s *service) stop(*testing.T) { s.server.Close() }

func (s *service) halt(*testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = make(chan struct{})
}

func (s *service) resume(*testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hang != nil {
		close(s.hang)
		s.hang = nil
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	var q struct{ Login, Password, Service, Remote string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Service != "submission" || q.Remote != "127.0.0.1" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	user, _, _ := strings.Cut(q.Login, "@")
	switch {
	case user == "perhaps":
		_, _ = io.WriteString(w, `{"ok":false,"cause":"account_disabled"}`)
	case !slices.Contains([]string{"anna", "a.berg", "off"}, user):
		_, _ = io.WriteString(w, `{"ok":false,"cause":"unknown_user"}`)
	case q.Password != rightSecret:
		_, _ = io.WriteString(w, `{"ok":false,"cause":"wrong_password","detail":"says the service"}`)
	case user == "off":
		_, _ = io.WriteString(w, `{"ok":false,"cause":"account_disabled","proved":true}`)
	default:
		_, _ = io.WriteString(w, `{"ok":true,"login":"anna@example.org"}`)
	}
}

// swaksLogin has swaks submit a message with a login over STARTTLS.
func (o *server) swaksLogin(t *testing.T, mechanism, user, secret, subject string) (out string, status int) {
	t.Helper()
	return program(t, "", "swaks", o.swaksArgs(mechanism, user, secret, subject)...)
}

func (o *server) swaksArgs(mechanism, user, secret, subject string) []string {
	return []string{
		"--server", o.submission, "-tls", "--ehlo", "client.example.com", "--from", user, "--to", "friend@example.com", "--header", "Subject: " + subject,
		"--auth", mechanism, "--auth-user", user, "--auth-password", secret,
	}
}

// gsaslLogin has gsasl log in; with mechanism "" it chooses one.
func (o *server) gsaslLogin(t *testing.T, mechanism, user, secret string, more ...string) string {
	t.Helper()
	args := append([]string{
		"--client", "--smtp", "--connect=" + o.submission, "--authentication-id=" + user, "--password=" + secret, "--no-cb", "--verbose",
		"--x509-ca-file=" + o.ca(), "--hostname=mx.example.org", "--service=smtp",
	}, more...)
	if mechanism != "" {
		args = append(args, "--mechanism="+mechanism)
	}
	out, _ := program(t, "", "gsasl", args...)
	return out
}

// ca is the certificate that the server has made for itself.
func (o *server) ca() string { return filepath.Join(o.data, "selfsigned-cert.pem") }

// choosers are programs that choose the mechanism themselves; each submits a message.
func (o *server) choosers(t *testing.T, user, secret string) map[string][]string {
	t.Helper()
	host, port, err := net.SplitHostPort(o.submission)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"msmtp": {
			"msmtp", "--host=" + host, "--port=" + port, "--tls=on", "--tls-starttls=on", "--tls-trust-file=" + o.ca(), "--auth=on", "--user=" + user,
			"--passwordeval=echo '" + secret + "'", "--from=" + user, "friend@example.com",
		},
		"curl": {
			"curl", "-sS", "-v", "--ssl-reqd", "--cacert", o.ca(), "--user", user + ":" + secret, "--mail-from", user, "--mail-rcpt", "friend@example.com",
			"--crlf", "--upload-file", "-", "smtp://" + o.submission,
		},
	}
}

// gets reports whether swaks has had a reply over TLS, given as a regular expression.
func gets(out, reply string) bool {
	return regexp.MustCompile(`(?m)^<~[ *] +` + reply + `.*\r?$`).MatchString(out)
}

// rejected holds what swaks had against a code of a rejected login.
func rejected(t *testing.T, what, out string, status int, code string) {
	t.Helper()
	const loginFailed = 28
	full := map[string]string{"535": `535[- ]5\.7\.8 `, "525": `525[- ]5\.7\.13 `, "454": `454[- ]4\.7\.0 `}[code]
	if status != loginFailed || !gets(out, full) {
		t.Errorf("%s: swaks ended with status %d, want %d after %s:\n%s", what, status, loginFailed, code, out)
	}
	if code == "454" && strings.Contains(out, " 535") {
		t.Errorf("%s: the password is called wrong though nobody looked at it:\n%s", what, out)
	}
}

// explained asks for the cause of a 535 by the reference in it.
func (o *server) explained(t *testing.T, out, cause string) string {
	t.Helper()
	reference := regexp.MustCompile(`explain-login ([a-z0-9-]+)`).FindStringSubmatch(out)
	if reference == nil {
		t.Errorf("the reply has no reference:\n%s", out)
		return ""
	}
	var f struct{ Cause, Meaning, Fix, Service, TLS string }
	if err := json.Unmarshal([]byte(o.onward(t, "explain-login", reference[1], "--json")), &f); err != nil {
		t.Fatal(err)
	}
	if f.Cause != cause || f.Meaning == "" || f.Fix == "" || f.Service != "submission" || f.TLS == "" {
		t.Errorf("explain-login says %+v, want the cause %s; the client heard\n%s", f, cause, out)
	}
	return o.onward(t, "explain-login", reference[1])
}

// failedWith reports whether a cause is among the rejected logins of an account, or of all.
func (o *server) failedWith(t *testing.T, cause string, login ...string) bool {
	t.Helper()
	return strings.Contains(o.onward(t, append([]string{"account", "failures", "--json"}, login...)...), `"`+cause+`"`)
}

// throughServer has real clients submit mail to a whole server that asks a backend: rightly, wrongly, while the backend is silent,
// while it is down, and after.
func throughServer(t *testing.T, k knower) {
	world := newSink(t, nil)
	o := configured(t, settings{routes: map[string]string{"*": world.address}}, k.toml, k.files)
	o.onward(t, "domain", "add", "example.org")
	const anna, local, friend = "anna@example.org", "local@example.org", "friend@example.com"
	secrets := map[string]string{local: o.account(t, local)} // app passwords
	delivered := func(t *testing.T, mechanism, user, secret, subject string) {
		t.Helper()
		out, status := o.swaksLogin(t, mechanism, user, secret, subject)
		if status != 0 || !gets(out, `235 2\.7\.0 `) {
			t.Fatalf("%s: swaks ended with status %d\n%s", subject, status, out)
		}
		world.await(t, friend, "Subject: "+subject)
	}

	t.Run("right", func(t *testing.T) {
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			delivered(t, mechanism, anna, rightSecret, "right by "+mechanism)
		}
		delivered(t, "PLAIN", "Anna@EXAMPLE.org", rightSecret, "right in capitals")
		for name, command := range o.choosers(t, anna, rightSecret) {
			out, status := program(t, "From: "+anna+"\nTo: "+friend+"\nSubject: right by "+name+"\n\nHello.\n", command[0], command[1:]...)
			if status != 0 {
				t.Errorf("%s ended with status %d\n%s", name, status, out)
				continue
			}
			world.await(t, friend, "Subject: right by "+name)
		}
		for _, mechanism := range []string{"", "PLAIN", "LOGIN"} {
			if out := o.gsaslLogin(t, mechanism, anna, rightSecret); !strings.Contains(out, "235 2.7.0") {
				t.Errorf("gsasl by mechanism %q:\n%s", mechanism, out)
			}
		}
		if k.alias != "" {
			for as, want := range map[string]string{"": "235 2.7.0", k.alias: "235 2.7.0", anna: "235 2.7.0", local: "535-5.7.8"} {
				if out := o.gsaslLogin(t, "PLAIN", k.alias, rightSecret, "--authorization-id="+as); !strings.Contains(out, want) {
					t.Errorf("gsasl as %s, acting as %q, does not hear %s:\n%s", k.alias, as, want, out)
				}
			}
		}
		var app struct{ Password string }
		if err := json.Unmarshal([]byte(o.onward(t, "account", "app-password", "add", anna, "--name", "phone", "--json")), &app); err != nil {
			t.Fatal(err)
		}
		secrets[anna] = app.Password
		delivered(t, "LOGIN", anna, app.Password, "right by an app password")
	})
	if secrets[anna] == "" {
		t.FailNow()
	}

	t.Run("offered", func(t *testing.T) {
		out, _ := program(t, "", "swaks", "--server", o.submission, "-tls", "--ehlo", "client.example.com", "--quit-after", "EHLO")
		if !gets(out, "250[- ]AUTH PLAIN LOGIN\r?$") {
			t.Errorf("PLAIN and LOGIN are all that such a backend can check, and the server offers others:\n%s", out)
		}
		// Before a name is said, and so whoever wants to log in (docs/DECISIONS/0007-logins.md).
		if out := o.gsaslLogin(t, "SCRAM-SHA-256", anna, rightSecret); !strings.Contains(out, "432 4.7.12") {
			t.Errorf("gsasl by SCRAM-SHA-256:\n%s", out)
		}
	})

	t.Run("wrong", func(t *testing.T) {
		var heard []string
		for _, try := range []struct{ mechanism, user, cause string }{
			{"PLAIN", anna, "wrong_password"}, {"LOGIN", anna, "wrong_password"}, {"PLAIN", "nobody@example.org", k.unknown}, {"PLAIN", "anna @example.org", "unknown_user"},
		} {
			out, status := o.swaksLogin(t, try.mechanism, try.user, wrongSecret, "wrong")
			rejected(t, try.mechanism+" of "+try.user, out, status, "535")
			said := o.explained(t, out, try.cause)
			if k.name == "own" && try.user == anna && !strings.Contains(said, "says the service") {
				t.Errorf("explain-login does not repeat what the backend said:\n%s", said)
			}
			reply := regexp.MustCompile(`(?m)^<~\*? +(535.*)$`).FindAllString(out, -1)
			heard = append(heard, regexp.MustCompile(`explain-login .*`).ReplaceAllString(strings.Join(reply, "\n"), "…"))
		}
		if slices.Sort(heard); len(slices.Compact(heard)) != 1 {
			t.Errorf("a stranger hears one thing or another: %q", heard)
		}
		for name, command := range o.choosers(t, anna, wrongSecret) {
			if out, status := program(t, "Subject: wrong by "+name+"\n\nHello.\n", command[0], command[1:]...); status == 0 || !strings.Contains(out, "535") {
				t.Errorf("%s ended with status %d\n%s", name, status, out)
			}
		}
		if out := o.gsaslLogin(t, "", anna, wrongSecret); !strings.Contains(out, "535-5.7.8") {
			t.Errorf("gsasl:\n%s", out)
		}
	})

	t.Run("barred", func(t *testing.T) {
		for _, b := range k.barred {
			out, status := o.swaksLogin(t, "PLAIN", b.user, b.secret, "barred")
			rejected(t, b.user+" with "+b.secret, out, status, b.reply)
			if b.reply == "535" {
				o.explained(t, out, b.cause)
			} else if !o.failedWith(t, b.cause) {
				t.Errorf("%s: %s is not among the failures", b.user, b.cause)
			}
		}
		// Barred here: as the backend says that the password is right, its owner may hear why.
		o.onward(t, "account", "disable", anna)
		for secret, code := range map[string]string{rightSecret: "525", wrongSecret: "535", secrets[anna]: "525"} {
			out, status := o.swaksLogin(t, "PLAIN", anna, secret, "disabled")
			rejected(t, "disabled here", out, status, code)
		}
		// The directory would take this for anna; it is no way around.
		for _, other := range []string{"anna @example.org", "ａnna@example.org"} {
			out, status := o.swaksLogin(t, "PLAIN", other, rightSecret, "disabled")
			rejected(t, other, out, status, "535")
		}
		o.onward(t, "account", "enable", anna)
		delivered(t, "PLAIN", anna, rightSecret, "enabled again")
		var logins []string
		for line := range strings.Lines(o.onward(t, "account", "list", "--json")) {
			var a struct{ Login, Backend string }
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatal(err)
			}
			logins = append(logins, a.Login+" "+a.Backend)
		}
		if want := []string{anna + " " + k.name, local + " "}; !slices.Equal(logins, want) {
			t.Errorf("the accounts are %q, want %q", logins, want)
		}
	})

	// others logs in those who need no backend.
	others := func(t *testing.T, while string) {
		t.Helper()
		delivered(t, "PLAIN", local, secrets[local], "an app password while it "+while)
		delivered(t, "LOGIN", local, "correct horse battery staple 7", "a password of ours while it "+while)
		delivered(t, "PLAIN", anna, secrets[anna], "an app password of its people while it "+while)
		out, status := o.swaksLogin(t, "PLAIN", local, wrongSecret, "wrong while it "+while)
		rejected(t, "a wrong password of ours while it "+while, out, status, "535")
	}

	t.Run("silent", func(t *testing.T) {
		k.halt(t)
		name := filepath.Join(t.TempDir(), "swaks")
		log, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		waiting := exec.Command("swaks", o.swaksArgs("PLAIN", anna, rightSecret, "waited")...)
		waiting.Stdout, waiting.Stderr = log, log
		if err := waiting.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- waiting.Wait() }()
		until(t, "swaks has sent its login", patience, func() bool { return strings.Contains(tail(name, 30), " ~> AUTH PLAIN") })
		others(t, "is silent")
		select {
		case <-ended:
			t.Errorf("a login ended though the backend says nothing:\n%s", tail(name, 10))
		default:
		}
		k.resume(t)
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, tail(name, 30))
			}
		case <-time.After(patience):
			_ = waiting.Process.Kill()
			t.Fatalf("the login that waited got no answer:\n%s", tail(name, 30))
		}
		world.await(t, friend, "Subject: waited")
	})

	t.Run("down", func(t *testing.T) {
		k.stop(t)
		for _, secret := range []string{rightSecret, wrongSecret} {
			for _, mechanism := range []string{"PLAIN", "LOGIN"} {
				out, status := o.swaksLogin(t, mechanism, anna, secret, "down")
				rejected(t, mechanism+" with "+secret, out, status, "454")
			}
			for name, command := range o.choosers(t, anna, secret) {
				out, status := program(t, "Subject: down by "+name+"\n\nHello.\n", command[0], command[1:]...)
				if status == 0 || !strings.Contains(out, "454") || strings.Contains(out, "535") {
					t.Errorf("%s with %s ended with status %d\n%s", name, secret, status, out)
				}
			}
			if out := o.gsaslLogin(t, "", anna, secret); !strings.Contains(out, "454 4.7.0") {
				t.Errorf("gsasl:\n%s", out)
			}
		}
		out, status := o.swaksLogin(t, "PLAIN", "nobody@example.org", wrongSecret, "down")
		rejected(t, "somebody unknown", out, status, "454")
		others(t, "is down")
		if !o.failedWith(t, "backend_down", anna) {
			t.Error("backend_down is not among the failures")
		}
	})

	t.Run("up again", func(t *testing.T) {
		k.start(t)
		until(t, "the login works again", patience, func() bool {
			out, status := o.swaksLogin(t, "PLAIN", anna, rightSecret, "up again")
			if status != 0 {
				rejected(t, "up again", out, status, "454")
			}
			return status == 0
		})
		world.await(t, friend, "Subject: up again")
		delivered(t, "LOGIN", anna, rightSecret, "up again by LOGIN")
		out, status := o.swaksLogin(t, "PLAIN", anna, wrongSecret, "wrong again")
		rejected(t, "wrong again", out, status, "535")
	})

	said, err := os.ReadFile(o.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{rightSecret + "\"", wrongSecret, "s3cret", secrets[anna]} {
		if strings.Contains(string(said), secret) {
			t.Errorf("the log shows the secret %q", secret)
		}
	}
}

// TestBackendMechanisms: which mechanisms are offered depends on what the backends know. Beside one that checks passwords SCRAM
// cannot work for its people, and so it is offered only if it is asked for; then they fail as by a wrong secret, and others log in.
func TestBackendMechanisms(t *testing.T) {
	s := newService(t)
	own := fmt.Sprintf("\n[login.backends.own]\nkind = \"http\"\ndomains = [\"example.org\"]\nurl = \"http://%s/check\"\n", s.address)
	tokens := "\n[login.backends.id]\nkind = \"oidc\"\ndomains = [\"example.org\"]\nissuer = \"http://127.0.0.1:9/\"\naudience = [\"smtp\"]\n"
	const plain, bearer, scram = "PLAIN LOGIN", "OAUTHBEARER XOAUTH2", "SCRAM-SHA-256-PLUS SCRAM-SHA-256"
	for _, tt := range []struct {
		name, toml string
		want       string
	}{
		{"none", "", scram + " " + plain},
		{"tokens", tokens, scram + " " + bearer + " " + plain},
		{"passwords", own, plain},
		{"passwords and tokens", own + tokens, bearer + " " + plain},
		{"passwords, and SCRAM all the same", "\n[login]\nscram = \"on\"\n" + own, scram + " " + plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := withBackends(t, tt.toml, nil)
			out, _ := program(t, "", "swaks", "--server", o.submission, "-tls", "--ehlo", "client.example.com", "--quit-after", "EHLO")
			m := regexp.MustCompile(`(?m)^<~ +250[- ]AUTH (.*?)\r?$`).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("nothing is offered:\n%s", out)
			}
			got, want := strings.Fields(m[1]), strings.Fields(tt.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q is offered, want %q", got, want)
			}
			if out, _ := program(t, "", "swaks", "--server", o.submission, "--ehlo", "client.example.com", "--quit-after", "EHLO"); strings.Contains(out, "AUTH") {
				t.Errorf("in clear, there is a login:\n%s", out)
			}
			if !strings.Contains(tt.toml, `scram = "on"`) {
				return
			}
			o.onward(t, "domain", "add", "example.org")
			app := o.account(t, "local@example.org")
			if out := o.gsaslLogin(t, "PLAIN", "anna@example.org", rightSecret); !strings.Contains(out, "235 2.7.0") {
				t.Errorf("PLAIN:\n%s", out)
			}
			for _, try := range []struct{ user, secret, want, cause string }{
				{"local@example.org", app, "235 2.7.0", ""},
				{"local@example.org", wrongSecret, "535-5.7.8", "wrong_secret"},
				{"anna@example.org", rightSecret, "535-5.7.8", "password_transition"},
				{"nobody@example.org", rightSecret, "535-5.7.8", "unknown_user"},
			} {
				out := o.gsaslLogin(t, "SCRAM-SHA-256", try.user, try.secret)
				if !strings.Contains(out, try.want) {
					t.Errorf("SCRAM of %s: gsasl does not hear %s:\n%s", try.user, try.want, out)
				}
				// gsasl hangs up after the line before the one with the reference.
				if try.cause != "" && !o.failedWith(t, try.cause) {
					t.Errorf("SCRAM of %s: %s is not among the failures", try.user, try.cause)
				}
			}
		})
	}
}
