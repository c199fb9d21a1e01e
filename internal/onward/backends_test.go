package onward

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
)

// TestReloadBackends: a reload reads secrets again, a mistake in them changes
// nothing, and what is asked for over the socket goes to the backends in force.
func TestReloadBackends(t *testing.T) {
	secret := "first"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ok":%v}`, r.Header.Get("Authorization") == "Bearer "+secret)
	}))
	defer service.Close()
	text := "[login.backends.own]\nkind = \"http\"\ndomains = [\"*\"]\nurl = \"" + service.URL + "/check\"\ntoken_file = \"token\"\n"
	var file string
	w := newWorld(t, txtar.Parse([]byte("-- config.toml --\n"+text)), true, func(dir string) {
		file = filepath.Join(dir, "token")
		if err := os.WriteFile(file, []byte("first\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	w.server.opt.Dial = nil // the service is on a real socket
	check := func(want bool) {
		t.Helper()
		a, err := control.CheckBackend.Call(t.Context(), control.Local(w.server.control), control.BackendRequest{Backend: "own", Login: "anna@example.org", Password: "x"})
		if err != nil || a.Down != "" || a.OK != want || want && a.Login != "anna@example.org" {
			t.Errorf("%+v, %v; want %v", a, err, want)
		}
	}
	if err := w.server.Reload(); err != nil {
		t.Fatal(err)
	}
	check(true)
	secret = "second"
	check(false)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Reload(); err == nil || !strings.HasPrefix(err.Error(), "the configuration is not changed: login.backends.own.token_file: ") {
		t.Errorf("a reload without the secret says %v", err)
	}
	check(false)
	if err := os.WriteFile(file, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.log.take()
	if err := w.server.Reload(); err != nil {
		t.Fatal(err)
	}
	if log := w.log.take(); strings.Contains(log, "login.backends") {
		t.Errorf("a backend is said to need a restart:\n%s", log)
	}
	check(true)
}

// TestEveryKind makes a backend of each kind, those for all domains last.
func TestEveryKind(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, `
[login.backends.a]
kind = "http"
domains = ["*"]
url = "http://127.0.0.1:9/"
[login.backends.b]
kind = "ldap"
domains = ["example.org"]
servers = ["ldapi:///nowhere"]
dn = "uid={local}"
[login.backends.c]
kind = "dovecot"
domains = ["example.org"]
address = "/nowhere"
[login.backends.d]
kind = "oidc"
domains = ["example.org"]
issuer = "https://id.example.org"
audience = ["x"]
`)
	all, err := makeBackends(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBackends(all)
	var names, tokens string
	for _, b := range all {
		names += b.Name()
		if b.Tokens() {
			tokens += b.Name()
		}
	}
	if names != "bcda" || tokens != "d" {
		t.Errorf("%s, tokens by %s", names, tokens)
	}
	c.Login.Backends[0].CAFile = filepath.Join(dir, "nowhere")
	if _, err := makeBackends(c, nil); err == nil || !strings.HasPrefix(err.Error(), "login.backends.b.ca_file: ") {
		t.Error(err)
	}
	var mistakes config.Errors
	if err := CheckBackends(c, "onward.toml"); !errors.As(err, &mistakes) || !strings.HasPrefix(err.Error(), "onward.toml:6: login.backends.b.ca_file: ") {
		t.Error(err)
	}
}
