package backend

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/smtptest"
)

// serveHTTP serves until the end of the test.
func serveHTTP(t *testing.T, n *smtptest.Network, addr string, h http.Handler) {
	t.Helper()
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCallback: what is asked, and what each answer comes to.
func TestCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		var status int
		var answer string
		var asked map[string]any
		var auth string
		serveHTTP(t, n, "127.0.0.1:8000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			auth = r.Header.Get("Authorization")
			asked = nil
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Method != http.MethodPost || r.URL.Path != "/check" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("asked by %s %s: %v", r.Method, r.URL, err)
			}
			w.Header().Set("Location", "http://192.0.2.66/")
			w.WriteHeader(status)
			io.WriteString(w, answer)
		}))
		b, err := NewCallback(opt, Callback{URL: "http://127.0.0.1:8000/check", TokenFile: secretFile(t, "s3cret\nmore\n")})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		refused := func(cause account.Cause, proved bool, detail string) account.Verdict {
			return account.Verdict{Cause: cause, Proved: proved, Detail: detail, Login: "anna@example.org"}
		}
		for _, tt := range []struct {
			status int
			answer string
			want   account.Verdict
			err    string
		}{
			{200, `{"ok":true}`, account.Verdict{OK: true, Login: "anna@example.org"}, ""},
			{200, `{"ok":true,"login":"Bea@example.org","more":1}`, account.Verdict{OK: true, Login: "bea@example.org"}, ""},
			{200, `{"ok":true,"login":"bea@example.net"}`, account.Verdict{}, "none of the domains"},
			{200, `{"ok":false}`, refused(account.BackendRejected, false, ""), ""},
			{200, `{"ok":false,"cause":"unknown_user","detail":"never\nseen"}`, refused(account.UnknownUser, false, "never seen"), ""},
			{200, `{"ok":false,"cause":"account_disabled","proved":true}`, refused(account.AccountDisabled, true, ""), ""},
			{200, `{"ok":false,"cause":"backend_down","detail":"x"}`, refused(account.BackendRejected, false, "the service gave the unknown cause backend_down; x"), ""},
			{401, ``, refused(account.BackendRejected, false, "the service answered 401 Unauthorized"), ""},
			{403, `{"ok":true}`, refused(account.BackendRejected, false, "the service answered 403 Forbidden"), ""},
			{200, ``, account.Verdict{}, "not the JSON object"},
			{200, `{}`, account.Verdict{}, `no "ok"`},
			{200, `{"ok":"yes"}`, account.Verdict{}, "not the JSON object"},
			{200, `[true]`, account.Verdict{}, "not the JSON object"},
			{200, `{"ok":true}` + strings.Repeat(" ", maxBody), account.Verdict{}, "longer than"},
			{204, ``, account.Verdict{}, "204"},
			{307, ``, account.Verdict{}, "307"}, // and nobody at 192.0.2.66 hears the password
			{404, ``, account.Verdict{}, "404"},
			{500, `{"ok":true}`, account.Verdict{}, "500"},
			{503, ``, account.Verdict{}, "503"},
		} {
			status, answer = tt.status, tt.answer
			b.breaker = breaker{}
			v, err := b.Password(t.Context(), "anna@example.org", "pass wörd", anna())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "pass wörd") {
					t.Errorf("%d %.40s: %+v, %v", tt.status, tt.answer, v, err)
				}
			} else if err != nil || v != tt.want {
				t.Errorf("%d %.40s:\ngot  %+v, %v\nwant %+v", tt.status, tt.answer, v, err, tt.want)
			}
			if want := map[string]any{"login": "anna@example.org", "password": "pass wörd", "remote": "192.0.2.1", "service": "submission"}; !reflect.DeepEqual(asked, want) {
				t.Errorf("asked %v, want %v", asked, want)
			}
			if auth != "Bearer s3cret" {
				t.Errorf("Authorization: %q", auth)
			}
		}
	})
}

// TestCallbackBasic, and a service that says nothing.
func TestCallbackBasic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		hangs := false
		serveHTTP(t, n, "127.0.0.1:8000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, ok := r.BasicAuth(); !ok || user != "onward" || password != "s3 cret" {
				t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
			}
			io.Copy(io.Discard, r.Body) // only then is the end of the connection noticed
			if hangs {
				<-r.Context().Done()
				return
			}
			io.WriteString(w, `{"ok":true}`)
		}))
		b, err := NewCallback(opt, Callback{URL: "http://127.0.0.1:8000/check", Username: "onward", PasswordFile: secretFile(t, "s3 cret")})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if v, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
		hangs = true
		began := time.Now()
		if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err == nil || time.Since(began) != opt.Timeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestCallbackMistakes(t *testing.T) {
	_, opt := world()
	for _, tt := range []struct {
		c   Callback
		key string
	}{
		{Callback{URL: "http://example.org/"}, "url"},
		{Callback{URL: "ftp://127.0.0.1/"}, "url"},
		{Callback{URL: "https://u:p@example.org/"}, "url"},
		{Callback{URL: "https://example.org/", TokenFile: "/nowhere"}, "token_file"},
		{Callback{URL: "https://example.org/", TokenFile: secretFile(t, "\nx")}, "token_file"},
		{Callback{URL: "https://example.org/", Username: "u", PasswordFile: "/nowhere"}, "password_file"},
	} {
		_, err := NewCallback(opt, tt.c)
		if m, ok := err.(*Mistake); !ok || m.Key != tt.key {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
	opt.CAFile = secretFile(t, "no PEM")
	if _, err := NewCallback(opt, Callback{URL: "https://example.org/"}); err == nil || !strings.HasPrefix(fmt.Sprint(err), "ca_file: ") {
		t.Error(err)
	}
}
