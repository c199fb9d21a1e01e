package deliver

import (
	"context"
	"errors"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/smtp"
)

// TestCauses holds the causes and their statuses in the source against the
// reference, which explains them.
func TestCauses(t *testing.T) {
	text, err := os.ReadFile("trouble.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([a-z0-9]+(?:_[a-z0-9]+)+)"`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = true
		if _, ok := reference.OutcomeOf(m[1]); !ok {
			t.Errorf("the reference does not explain the cause %q", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`"([a-z0-9_]+)", "([45]\.\d+\.\d+)"`).FindAllStringSubmatch(string(text), -1) {
		o, _ := reference.OutcomeOf(m[1])
		switch at := m[1] + " " + m[2]; at {
		case "local_error 4.3.2", "local_error 4.3.5", "next_hop_loop 4.4.6": // said in more detail than there
		default:
			if o.Enhanced != m[2] {
				t.Errorf("%s here, %s in the reference", at, o.Enhanced)
			}
		}
	}
	for _, want := range strings.Fields(`dns_timeout dns_servfail domain_not_found null_mx no_addresses connect_refused
		connect_timeout network_unreachable connection_lost greeting_timeout tls_failed tls_required requiretls_unsupported protocol_error next_hop_loop
		maildir_failed smtputf8_unsupported eightbit_unsupported size_exceeded auth_failed_smarthost local_error`) {
		if !found[want] {
			t.Errorf("nothing comes to the cause %q", want)
		}
	}
}

func TestUnconnected(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
	for _, test := range []struct {
		err           error
		cause, status string
	}{
		{dial(syscall.ECONNREFUSED), "connect_refused", "4.4.1"},
		{dial(syscall.ECONNRESET), "connect_refused", "4.4.1"},
		{dial(syscall.ETIMEDOUT), "connect_timeout", "4.4.1"},
		{dial(syscall.ENETUNREACH), "network_unreachable", "4.4.1"},
		{dial(syscall.EHOSTUNREACH), "network_unreachable", "4.4.1"},
		{dial(syscall.EACCES), "network_unreachable", "4.4.1"},
		{dial(syscall.EMFILE), "local_error", "4.3.0"},
		{context.DeadlineExceeded, "connect_timeout", "4.4.1"},
		{errors.New("who knows"), "local_error", "4.3.0"},
	} {
		f := unconnected(context.Background(), test.err)
		if f.kind != queue.Trouble || f.cause != test.cause || f.status != test.status || !f.elsewhere {
			t.Errorf("%v: %+v", test.err, f)
		}
	}
}

// TestGraver: any trouble outweighs that there is nobody to speak to, in either
// order, so that mail is not bounced while a host may come back.
func TestGraver(t *testing.T) {
	nobody := noAddresses(errors.New("none"))
	for _, err := range []error{syscall.ENETUNREACH, syscall.ECONNREFUSED, errors.New("who knows")} {
		f := unconnected(context.Background(), err)
		if graver(f, nobody) != f || graver(nobody, f) != f {
			t.Errorf("%v counts for less than no address", err)
		}
	}
	if graver(nil, nobody) != nobody || graver(nobody, nil) != nobody {
		t.Error("one fate alone does not count")
	}
}

// TestNothingOfOursIsFinal: whatever a host says before or about the login, or
// out of step, bounces nothing.
func TestNothingOfOursIsFinal(t *testing.T) {
	route, mx := &hop{key: hopKey{route: "route:*"}}, &hop{key: hopKey{host: "mx.example.net"}}
	for code := 200; code < 600; code++ {
		for s := stageGreeting; s <= stageContent; s++ {
			for _, h := range []*hop{route, mx} {
				f := refused(s, smtp.Reply{Code: code, Lines: []string{"text"}}, h)
				if f.kind == queue.Success || f.status == "" {
					t.Fatalf("%d at %s: %+v", code, s, f)
				}
				if f.kind == queue.Failure && (code < 500 || s < stageMail || code == 500 || code == 503 || h == route && (code == 530 || code == 535)) {
					t.Errorf("%d at %s is final", code, s)
				}
			}
		}
	}
}

func TestBound(t *testing.T) {
	r := smtp.Reply{Code: 550}
	for range smtp.MaxReplyLines {
		r.Lines = append(r.Lines, strings.Repeat("\u00fc", 500))
	}
	got := bound(r)
	if n := len(strings.Join(got.Lines, "")); n > maxHeard || n < maxHeard-2 {
		t.Errorf("%d octets are kept", n)
	}
	if len(r.Lines[4]) != 1000 {
		t.Error("the reply itself was changed")
	}
	if got := detailOf(errors.New("a\r\nb" + strings.Repeat("x", 1000))); len(got) != maxDetail || strings.ContainsAny(got, "\r\n") {
		t.Errorf("detail %q", got)
	}
}
