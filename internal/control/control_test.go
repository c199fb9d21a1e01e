package control_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/account/roster"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/store"
)

// asStranger makes this program a client that runs as nobody; see
// TestStrangerIsRefused.
const asStranger = "ONWARD_TEST_STRANGER"

func TestMain(m *testing.M) {
	dir := os.Getenv(asStranger)
	if dir == "" {
		os.Exit(m.Run())
	}
	c, err := control.Dial(dir)
	if err == nil {
		_, err = control.ListDomains.Call(context.Background(), c, control.Nothing{})
	}
	fmt.Printf("%s: %v\n", control.KindOf(err), err)
}

// runner counts what the operations ask of a running server.
type runner struct {
	woken  int
	reload error
	ended  []string
}

func (r *runner) Wake() { r.woken++ }
func (r *runner) Status(context.Context) control.Status {
	return control.Status{Hostname: "mx.example.org", PID: 1}
}

func (r *runner) EndLogins(login, credential string) int {
	r.ended = append(r.ended, login+"/"+credential)
	return 1
}

func (r *runner) Reload(context.Context) error { return r.reload }

// site is a Service on stores in a temporary folder.
type site struct {
	dir       string
	queue     *store.Queue
	directory *store.Directory
	service   *control.Service
	runner    *runner
	opt       control.Options
}

// with returns a Service like the site's with other options.
func (s *site) with(change func(*control.Options)) *control.Service {
	o := s.opt
	change(&o)
	return control.New(o)
}

type shelf struct{ *store.Queue }

func (s shelf) Enqueue(ctx context.Context, e *queue.Entry) error {
	for _, r := range e.Recipients {
		r.State, r.Due, r.Expires = queue.Waiting, time.Now().Add(time.Hour), time.Now().Add(24*time.Hour)
	}
	return s.Queue.Enqueue(ctx, queue.Lease{}, e)
}

func newSite(t testing.TB, dir string) *site {
	t.Helper()
	q, err := store.OpenQueue(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	d, err := store.OpenDirectory(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	resolver := &recipient.Resolver{Directory: d, Postmaster: address.MustMailbox("postmaster@mx.example.org")}
	h := intake.New(intake.Options{
		Hostname: "mx.example.org", Resolver: resolver, Accounts: d, Queue: shelf{q}, IDs: queue.NewIDs(1),
		NewBuffer: q.NewContent, Random: func() string { return "random" },
	}, intake.Settings{Route: func(a address.Mailbox) queue.Destination { return queue.ToDomain(a.Domain) }})
	s := &site{dir: dir, queue: q, directory: d, runner: &runner{}}
	s.opt = control.Options{
		Recipients: d, Accounts: d, Queue: q, Resolver: resolver, Intake: h, AppPasswordKey: make([]byte, 32),
		Secrets: func() account.SecretPolicy {
			return account.SecretPolicy{Cost: account.Cost{Memory: 64, Passes: 1, Threads: 1}}
		}, Random: rand.Reader, Runner: s.runner,
		MaxSize: func() int64 { return 1 << 20 }, Version: "test",
		Usage: account.NewMeter(d, nil), Limits: func() account.Limits { return account.Limits{MessagesHour: 300, MessagesDay: -1} },
	}
	s.service = control.New(s.opt)
	return s
}

// serve serves the site's socket and returns a connection to it.
func (s *site) serve(t *testing.T) *control.Conn {
	t.Helper()
	l, err := control.Listen(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.service.Serve(ctx, l, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Stat(filepath.Join(s.dir, control.SocketFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there after the end: %v", err)
		}
	})
	c, err := control.Dial(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// call is an operation with its types hidden, for tables.
func call[Q, R any](o control.Operation[Q, R], q Q) func(context.Context, *control.Conn) (any, error) {
	return func(ctx context.Context, c *control.Conn) (any, error) { return o.Call(ctx, c, q) }
}

// The same operations in the same order, over the socket and here, give the
// same results and the same errors.
func TestSocketEqualsLocal(t *testing.T) {
	over, here := newSite(t, t.TempDir()).serve(t), control.Local(newSite(t, t.TempDir()).service)
	address := func(name, kind string, targets ...string) control.AddressRequest {
		return control.AddressRequest{Address: name, Kind: kind, Targets: targets}
	}
	for i, step := range []struct {
		do   func(context.Context, *control.Conn) (any, error)
		want control.Kind // "" for success
	}{
		{call(control.ListDomains, control.Nothing{}), ""},
		{call(control.PutAddress, address("anna@example.org", "mailbox")), control.NotFound},
		{call(control.AddDomain, control.DomainRequest{Name: "Example.ORG"}), ""},
		{call(control.AddDomain, control.DomainRequest{Name: "example.org."}), control.Exists},
		{call(control.AddDomain, control.DomainRequest{Name: "[192.0.2.1]"}), control.Invalid},
		{call(control.AddDomain, control.DomainRequest{Name: "a..b"}), control.Invalid},
		{call(control.PutAddress, address("anna@example.org", "mailbox")), ""},
		{call(control.PutAddress, address("Anna@example.org", "mailbox")), control.Exists},
		{call(control.PutAddress, address("bea@example.org", "forward", "anna@example.org", "cleo@example.org")), ""},
		{call(control.PutAddress, address("cleo@example.org", "forward", "dora@example.org")), ""},
		{call(control.PutAddress, address("dora@example.org", "forward", "bea@example.org")), control.Invalid},
		{call(control.PutAddress, address("dora@example.org", "forward", "dora@example.org")), control.Invalid},
		{call(control.PutAddress, address("dora@example.org", "forward")), control.Invalid},
		{call(control.PutAddress, address("dora@example.org", "fly", "x@example.net")), control.Invalid},
		{call(control.PutAddress, address("@example.org", "mailbox")), control.Invalid},
		{call(control.PutAddress, control.AddressRequest{Address: "e@example.org", Kind: "mailbox", Disclose: "announce"}), control.Invalid},
		{call(control.PutAddress, control.AddressRequest{Address: "e@example.org", Kind: "refused", Text: "zu spät"}), control.Invalid},
		{call(control.ListAddresses, control.ListAddressesRequest{}), ""},
		{call(control.ListAddresses, control.ListAddressesRequest{Domain: "example.net"}), control.NotFound},
		{call(control.ListAddresses, control.ListAddressesRequest{Target: "cleo@example.org"}), ""},
		{call(control.ShowAddress, control.AddressName{Address: "bea@example.org"}), ""},
		{call(control.ShowAddress, control.AddressName{Address: "nobody@example.org"}), control.NotFound},
		{call(control.RemoveDomain, control.RemoveDomainRequest{Name: "example.org"}), control.InUse},
		{call(control.RemoveAddress, control.AddressName{Address: "anna@example.org"}), ""},
		{call(control.RemoveAddress, control.AddressName{Address: "anna@example.org"}), control.NotFound},
		{call(control.AddAccount, control.AccountRequest{Login: "Anna@Example.org", Password: "correct horse battery", Identities: []string{"@Example.org"}}), ""},
		{call(control.AddAccount, control.AccountRequest{Login: "anna@example.org"}), control.Exists},
		{call(control.AddAccount, control.AccountRequest{Login: "bea@example.org", Password: "bea"}), control.Invalid},
		{call(control.AddAccount, control.AccountRequest{Login: "cleo@example.org", Password: "short"}), ""}, // with a warning
		{call(control.AddAccount, control.AccountRequest{Login: "bea"}), control.Invalid},
		{call(control.SetPassword, control.PasswordRequest{Login: "bea@example.org", Password: "correct horse battery"}), control.NotFound},
		{call(control.SetPassword, control.PasswordRequest{Login: "anna@example.org"}), ""},
		{call(control.EnableAccount, control.EnableRequest{Login: "anna@example.org"}), ""},
		{call(control.ListAccounts, control.Nothing{}), ""},
		{call(control.AddAppPassword, control.AppPasswordRequest{Login: "bea@example.org", Name: "phone"}), control.NotFound},
		{call(control.AddAppPassword, control.AppPasswordRequest{Login: "anna@example.org"}), control.Invalid},
		{call(control.AddAppPassword, control.AppPasswordRequest{Login: "anna@example.org", Name: "a\x1b[31m"}), control.Invalid},
		{call(control.AddAppPassword, control.AppPasswordRequest{Login: "anna@example.org", Name: "phone", Expires: "soon"}), control.Invalid},
		{call(control.AddAppPassword, control.AppPasswordRequest{Login: "anna@example.org", Name: "phone", Limits: map[account.LimitName]int{"messages_year": 1}}), control.Invalid},
		{call(control.AddAppPassword, control.AppPasswordRequest{Login: "anna@example.org", Name: "phone", Limits: map[account.LimitName]int{account.MessagesHour: -2}}), control.Invalid},
		{call(control.ListAppPasswords, control.AccountName{Login: "anna@example.org"}), ""},
		{call(control.RevokeAppPassword, control.RevokeRequest{Login: "anna@example.org", Which: "phone"}), control.NotFound},
		{call(control.ListFailures, control.FailuresRequest{}), ""},
		{call(control.ListFailures, control.FailuresRequest{Limit: -1}), control.Invalid},
		{call(control.ExplainLogin, control.ExplainLoginRequest{Reference: "abcd-efgh-jkmn-pqrs"}), control.NotFound},
		{call(control.ListQueue, control.QueueFilter{}), ""},
		{call(control.ListQueue, control.QueueFilter{States: []string{"lost"}}), control.Invalid},
		{call(control.ListQueue, control.QueueFilter{From: "nonsense"}), control.Invalid},
		{call(control.ShowQueue, control.QueueShowRequest{Message: "short"}), control.Invalid},
		{call(control.ShowQueue, control.QueueShowRequest{Message: "abcdefghjkmn"}), control.NotFound},
		{call(control.ChangeQueue, control.QueueChange{Action: control.Hold}), control.Invalid},
		{call(control.ChangeQueue, control.QueueChange{Action: control.Hold, All: true, Filter: control.QueueFilter{To: "@example.net"}}), control.Invalid},
		{call(control.ChangeQueue, control.QueueChange{Action: "lose", All: true}), control.Invalid},
		{call(control.ChangeQueue, control.QueueChange{Action: control.Hold, Filter: control.QueueFilter{Messages: []string{"abcdefghjkmn"}}}), control.NotFound},
		{call(control.ShowLog, control.LogRequest{}), ""},
		{call(control.ShowLog, control.LogRequest{What: "nonsense"}), control.Invalid},
		{call(control.ShowLog, control.LogRequest{What: "abcdefghjkmn"}), control.NotFound},
		{call(control.GetStatus, control.Nothing{}), ""},
		{call(control.Reload, control.Nothing{}), ""},
		{call(control.ImportAccounts, control.ImportRequest{Entries: []roster.Entry{{Line: 7, Login: "emil@example.com", Hash: shaGeheim}, {Line: 8, Login: "fritz"}}}), ""},
		{call(control.ImportAccounts, control.ImportRequest{Domain: "a..b"}), control.Invalid},
		{call(control.RemoveDomain, control.RemoveDomainRequest{Name: "example.org", Force: true}), ""},
		{call(control.RemoveAccount, control.AccountName{Login: "anna@example.org"}), ""},
		{call(control.RemoveAccount, control.AccountName{Login: "anna@example.org"}), control.NotFound},
	} {
		a, errA := step.do(t.Context(), over)
		b, errB := step.do(t.Context(), here)
		if fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Errorf("step %d: over the socket %v, here %v", i, errA, errB)
		}
		if step.want == "" != (errA == nil) || errA != nil && control.KindOf(errA) != step.want {
			t.Errorf("step %d: error %v, want kind %q", i, errA, step.want)
		}
		if x, y := shape(t, a), shape(t, b); errA == nil && x != y {
			t.Errorf("step %d:\nover the socket %s\nhere            %s", i, x, y)
		}
	}
}

// shape is a result as a program gets it, without its times.
func shape(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`).ReplaceAllString(string(text), `"TIME"`)
}

func TestAppPasswordLife(t *testing.T) {
	c := newSite(t, t.TempDir()).serve(t)
	ctx := t.Context()
	if _, err := control.AddAccount.Call(ctx, c, control.AccountRequest{Login: "anna@example.org"}); err != nil {
		t.Fatal(err)
	}
	add := control.AppPasswordRequest{Login: "ANNA@example.org", Name: "phone", Expires: "90d"}
	made, err := control.AddAppPassword.Call(ctx, c, add)
	if err != nil || made.Password == "" || made.Status != "active" || made.Expires.IsZero() {
		t.Fatalf("AddAppPassword = %+v, %v", made, err)
	}
	if _, err := control.AddAppPassword.Call(ctx, c, add); control.KindOf(err) != control.Exists {
		t.Errorf("a second one of the name: %v, want kind exists", err)
	}
	revoke := control.RevokeRequest{Login: "anna@example.org", Which: "phone"}
	if gone, err := control.RevokeAppPassword.Call(ctx, c, revoke); err != nil || gone.ID != made.ID || gone.Status != "revoked" {
		t.Errorf("RevokeAppPassword = %+v, %v", gone, err)
	}
	if _, err := control.RevokeAppPassword.Call(ctx, c, revoke); control.KindOf(err) != control.Refused {
		t.Errorf("revoked twice: %v, want kind refused", err)
	}
	// The name is free again, and means the new one.
	again, err := control.AddAppPassword.Call(ctx, c, add)
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := control.RevokeAppPassword.Call(ctx, c, revoke); err != nil || gone.ID != again.ID {
		t.Errorf("RevokeAppPassword by name = %+v, %v, want %s", gone, err, again.ID)
	}
}

func TestSubmitAndQueue(t *testing.T) {
	s := newSite(t, t.TempDir())
	c := s.serve(t)
	ctx := t.Context()
	if _, err := control.AddDomain.Call(ctx, c, control.DomainRequest{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	priv := control.AddressRequest{Address: "priv@example.org", Kind: "forward", Targets: []string{"x@example.net"}}
	if _, err := control.PutAddress.Call(ctx, c, priv); err != nil {
		t.Fatal(err)
	}
	done, err := c.Submit(ctx, control.Envelope{From: "a@example.org", Recipients: []string{"priv@example.org", "none@example.org"}},
		strings.NewReader("Subject: hi\n\nbody\r\nmore\rlast"))
	if err != nil || len(done.Accepted) != 1 || len(done.Refused) != 1 || !strings.HasPrefix(done.Refused[0].Reply, "550 5.1.1 ") {
		t.Fatalf("Submit = %+v, %v", done, err)
	}
	id, err := queue.ParseID(done.Message)
	if err != nil {
		t.Fatalf("Submit named the message %q: %v", done.Message, err)
	}
	content, err := s.queue.OpenContent(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if got, err := io.ReadAll(content); err != nil || string(got) != "Subject: hi\r\n\r\nbody\r\nmore\r\nlast\r\n" {
		t.Errorf("stored %q, %v", got, err)
	}
	if list, err := control.ListQueue.Call(ctx, c, control.QueueFilter{To: "@example.net"}); err != nil || len(list) != 1 || !list[0].Private || list[0].State != "waiting" {
		t.Errorf("ListQueue = %+v, %v", list, err)
	}
	one := control.QueueFilter{Messages: []string{done.Message}}
	for _, step := range []struct {
		do    control.Action
		count int
		kind  control.Kind
		wakes int
	}{
		{control.Retry, 1, "", 1},
		{control.Hold, 1, "", 0},
		{control.Retry, 0, control.Refused, 0},
		{control.Release, 1, "", 1},
		{control.Remove, 1, "", 0},
		{control.Hold, 0, control.Refused, 0},
	} {
		before := s.runner.woken
		r, err := control.ChangeQueue.Call(ctx, c, control.QueueChange{Action: step.do, Filter: one})
		if r.Count != step.count || (err != nil) != (step.kind != "") || err != nil && control.KindOf(err) != step.kind {
			t.Errorf("%s = %+v, %v, want %d, kind %q", step.do, r, err, step.count, step.kind)
		}
		if got := s.runner.woken - before; got != step.wakes {
			t.Errorf("%s woke the queue %d times, want %d", step.do, got, step.wakes)
		}
	}
	rows, err := control.ShowLog.Call(ctx, c, control.LogRequest{What: done.Message})
	if err != nil || len(rows) != 5 || rows[0].Kind != queue.LogAccepted || rows[4].State != "removed" || !strings.Contains(rows[4].Note, "by ") {
		t.Errorf("ShowLog = %+v, %v", rows, err)
	}
}

func TestSubmitRefuses(t *testing.T) {
	c := newSite(t, t.TempDir()).serve(t)
	for name, test := range map[string]struct {
		envelope control.Envelope
		content  io.Reader
		want     control.Kind
	}{
		"no recipients":  {control.Envelope{From: "a@example.org"}, strings.NewReader("x"), control.Invalid},
		"bad recipient":  {control.Envelope{Recipients: []string{"a@"}}, strings.NewReader("x"), control.Invalid},
		"bad sender":     {control.Envelope{From: "a@b@c", Recipients: []string{"a@example.net"}}, strings.NewReader("x"), control.Invalid},
		"too large":      {control.Envelope{Recipients: []string{"a@example.net"}}, io.LimitReader(zeros{}, 2<<20), control.Refused},
		"large envelope": {control.Envelope{From: strings.Repeat("x", control.MaxRequest), Recipients: []string{"a@example.net"}}, strings.NewReader(""), control.Invalid},
	} {
		if done, err := c.Submit(t.Context(), test.envelope, test.content); err == nil || control.KindOf(err) != test.want {
			t.Errorf("%s: Submit = %+v, %v, want kind %s", name, done, err, test.want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Requests that are not what was agreed get an answer that says so.
func TestRequestRules(t *testing.T) {
	s := newSite(t, t.TempDir())
	s.serve(t)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, control.SocketFile))
	}}}
	for name, test := range map[string]struct {
		method, path string
		body         []byte
		status       int
		says         string
	}{
		"unknown operation": {"POST", "/v1/domain.lose", []byte("{}"), 400, "no operation"},
		"other path":        {"POST", "/", []byte("{}"), 400, "no operation"},
		"GET":               {"GET", "/v1/domain.list", nil, 400, "POST"},
		"unknown field":     {"POST", "/v1/domain.add", []byte(`{"name":"example.org","colour":"red"}`), 400, "colour"},
		"not JSON":          {"POST", "/v1/domain.add", []byte(`name=x`), 400, "cannot be read"},
		"two values":        {"POST", "/v1/domain.list", []byte(`{} {}`), 400, "one value"},
		"too large":         {"POST", "/v1/domain.add", bytes.Repeat([]byte(" "), control.MaxRequest+1), 400, "larger than 1048576"},
		"envelope cut":      {"POST", "/v1/submit", []byte(`{"from":""`), 400, "cut off"},
		"good":              {"POST", "/v1/domain.list", []byte(`{}`), 200, "["},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, "http://onward"+test.path, bytes.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != test.status || !strings.Contains(string(text), test.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, answer.StatusCode, text, test.status, test.says)
		}
	}
}

// Another user gets nothing, even if the socket's mode were to let it in.
func TestStrangerIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a program as another user")
	}
	dir, err := os.MkdirTemp("", "onward")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	newSite(t, dir).serve(t)
	program := filepath.Join(dir, "client")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		client := exec.CommandContext(t.Context(), program)
		client.Env = []string{asStranger + "=" + dir}
		client.Dir = "/"
		client.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := client.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := ask(); !strings.HasPrefix(got, "refused: you may not manage") {
		t.Errorf("with the socket's own mode the client heard %q", got)
	}
	if err := os.Chmod(filepath.Join(dir, control.SocketFile), 0o777); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.HasPrefix(got, "refused: uid 65534 may not manage") {
		t.Errorf("with an open socket the client heard %q", got)
	}
}

func TestListen(t *testing.T) {
	// A path that is too long for a socket's address.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Dial(dir); control.KindOf(err) != control.Unavailable {
		t.Fatalf("Dial without a server: %v, want kind unavailable", err)
	}
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, control.SocketFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket is %v, %v, want mode 0600", info.Mode(), err)
	}
	if other, err := control.Listen(dir); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Errorf("a second Listen = %v, %v, want an error", other, err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there after Close: %v", err)
	}
}

func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, control.SocketFile)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as a process that was killed leaves it
	dead.Close()
	if _, err := control.Dial(dir); control.KindOf(err) != control.Unavailable {
		t.Errorf("Dial: %v, want kind unavailable", err)
	}
	s := newSite(t, dir)
	opened, err := control.Open(t.Context(), dir, func(context.Context) (*control.Service, func() error, error) {
		return s.service, func() error { return nil }, nil
	})
	if err != nil || opened.Remote() {
		t.Fatalf("Open = %+v, %v, want the stores opened here", opened, err)
	}
	if _, err := control.ListDomains.Call(t.Context(), s.serve(t), control.Nothing{}); err != nil {
		t.Errorf("serving over a stale socket: %v", err)
	}
}

// While another process holds the folder Open waits: for its end, or for its
// socket.
func TestOpenWaits(t *testing.T) {
	s := newSite(t, t.TempDir())
	tries := 0
	c, err := control.Open(t.Context(), s.dir, func(context.Context) (*control.Service, func() error, error) {
		if tries++; tries < 3 {
			return nil, nil, fmt.Errorf("lock: %w", control.ErrBusy)
		}
		return s.service, nil, nil
	})
	if err != nil || tries != 3 || c.Remote() {
		t.Errorf("Open = %v after %d tries, want the third to succeed", err, tries)
	}
	c, err = control.Open(t.Context(), s.dir, func(context.Context) (*control.Service, func() error, error) {
		s.serve(t)
		return nil, nil, control.ErrBusy
	})
	if err != nil || !c.Remote() {
		t.Errorf("Open = %v, want the server that has come up", err)
	}
	c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = control.Open(ctx, t.TempDir(), func(context.Context) (*control.Service, func() error, error) {
		cancel()
		return nil, nil, control.ErrBusy
	})
	if control.KindOf(err) != control.Unavailable {
		t.Errorf("Open given up: %v, want kind unavailable", err)
	}
}

func TestReload(t *testing.T) {
	s := newSite(t, t.TempDir())
	s.runner.reload = errors.New("onward.toml:3: listen.mx: no")
	c := s.serve(t)
	if _, err := control.Reload.Call(t.Context(), c, control.Nothing{}); control.KindOf(err) != control.Invalid || !strings.Contains(err.Error(), "onward.toml:3") {
		t.Errorf("Reload = %v, want the mistake, kind invalid", err)
	}
	if st, err := control.GetStatus.Call(t.Context(), c, control.Nothing{}); err != nil || !st.Running || st.Hostname != "mx.example.org" || st.Version != "test" {
		t.Errorf("GetStatus = %+v, %v", st, err)
	}
}

// TestOpenSocketTakesMailOnly: on the socket for every user one may submit, and
// nothing else.
func TestOpenSocketTakesMailOnly(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	local := control.Local(s.service)
	if _, err := control.AddDomain.Call(t.Context(), local, control.DomainRequest{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, err := control.PutAddress.Call(t.Context(), local, control.AddressRequest{Address: "box@example.org", Kind: "mailbox"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "open.sock")
	l, err := control.ListenAll(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket has the mode %v, %v", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.service.ServeSubmissions(ctx, l, nil) }()
	c, err := control.DialAll(path)
	if err != nil {
		t.Fatal(err)
	}
	done, err := c.Submit(t.Context(), control.Envelope{From: "a@example.net", Recipients: []string{"box@example.org"}}, strings.NewReader("Subject: hi\n\nbody\n"))
	if err != nil || len(done.Accepted) != 1 {
		t.Errorf("Submit = %+v, %v", done, err)
	}
	if _, err := control.ListDomains.Call(t.Context(), c, control.Nothing{}); control.KindOf(err) != control.Invalid {
		t.Errorf("an operation on the open socket gives %v", err)
	}
	c.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := control.DialAll(path); control.KindOf(err) != control.Unavailable {
		t.Errorf("after the end dialling gives %v", err)
	}
}
