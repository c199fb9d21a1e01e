//go:build peers

package peers

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestMechanisms has gsasl log in by each mechanism with the main password and with an app password, and be rejected with another.
// It binds SCRAM-SHA-256-PLUS to the TLS channel itself, so a binding that differs from its own is found.
func TestMechanisms(t *testing.T) {
	o := withBackends(t, "\n[login]\nscram_sha1 = true\n", nil)
	o.onward(t, "domain", "add", "example.org")
	const user = "anna@example.org"
	const password = "correct horse battery"
	if out, err := o.try(t, password+"\n", "account", "add", user, "--password-stdin"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var app struct{ Password string }
	if err := json.Unmarshal([]byte(o.onward(t, "account", "app-password", "add", user, "--name", "gsasl", "--json")), &app); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "CRAM-MD5"} {
		for what, secret := range map[string]string{"password": password, "app password": app.Password, "wrong": "wrong"} {
			want := "235 2.7.0"
			switch {
			case m == "CRAM-MD5":
				want = "504 5.5.4"
			case what == "wrong":
				want = "535"
			}
			args := []string{
				"--client", "--smtp", "--connect=" + o.submission, "--mechanism=" + m, "--authentication-id=" + user, "--password=" + secret,
				"--x509-ca-file=" + filepath.Join(o.data, "selfsigned-cert.pem"), "--hostname=mx.example.org", "--service=smtp", "--verbose",
			}
			if !strings.HasSuffix(m, "-PLUS") {
				args = append(args, "--no-cb")
			}
			if out, _ := program(t, "", "gsasl", args...); !strings.Contains(out, want) {
				t.Errorf("%s with %s: gsasl does not hear %s:\n%s", m, what, want, out)
			}
		}
	}
	if out := o.onward(t, "account", "failures", user, "--json"); !strings.Contains(out, `"wrong_secret"`) || !strings.Contains(out, `"wrong_password"`) {
		t.Errorf("the failures are not told apart:\n%s", out)
	}
	if out := o.onward(t, "account", "app-password", "list", user); !strings.Contains(out, "127.0.0.1") || !strings.Contains(out, "SCRAM") {
		t.Errorf("the last use of the app password is not shown:\n%s", out)
	}
}
