package backend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/smtptest"
)

var (
	_ account.Backend = (*Backend)(nil)
	_ account.Issuer  = (*Issuer)(nil)
)

// anna is a client on a network, with TLS.
func anna() account.Client {
	return account.Client{Remote: netip.MustParseAddr("192.0.2.1"), Service: "submission", TLS: "TLS1.3"}
}

// world is a network in memory and the options of a backend on it.
func world() (*smtptest.Network, Options) {
	n := smtptest.NewNetwork()
	return n, Options{Name: "test", Domains: []string{"example.org"}, Timeout: 5 * time.Second, Connections: 4, Dial: n.Dial}
}

// fake is a source that does as it is told.
type fake struct {
	asked  atomic.Int64
	answer func(ctx context.Context, login string) (account.Verdict, error)
}

func (f *fake) close() {}

func (f *fake) password(ctx context.Context, login, _ string, _ account.Client) (account.Verdict, error) {
	f.asked.Add(1)
	return f.answer(ctx, login)
}

func right(context.Context, string) (account.Verdict, error) { return account.Verdict{OK: true}, nil }

func down(context.Context, string) (account.Verdict, error) {
	return account.Verdict{}, errors.New("refused")
}

func hang(ctx context.Context, _ string) (account.Verdict, error) {
	<-ctx.Done()
	return account.Verdict{}, ctx.Err()
}

func TestServes(t *testing.T) {
	_, opt := world()
	opt.Domains = []string{"example.org", "xn--bcher-kva.example"}
	b := newBackend(opt, &fake{})
	for login, want := range map[string]bool{
		"anna@example.org": true, "anna@sub.example.org": false, "a@b@example.org": true, "anna": false, "anna@": false,
		"anna@bücher.example": true, "anna@xn--bcher-kva.example": true, "anna@example.net": false, "": false,
	} {
		if got := b.Serves(login); got != want {
			t.Errorf("%q: %v, want %v", login, got, want)
		}
	}
	opt.Every = true
	if b := newBackend(opt, &fake{}); !b.Serves("anna@example.net") || !b.Serves("anna") {
		t.Error("a backend for every domain does not serve one")
	}
}

// TestNotAsked: what can never be right is never sent on, an empty password above
// all.
func TestNotAsked(t *testing.T) {
	_, opt := world()
	f := &fake{answer: right}
	b := newBackend(opt, f)
	for _, tt := range []struct {
		login, password string
		cause           account.Cause
	}{
		{"anna@example.org", "", account.WrongPassword},
		{"anna@example.org", "a\x00b", account.WrongPassword},
		{"anna@example.org", strings.Repeat("x", account.MaxPassword+1), account.WrongPassword},
		{"anna\t@example.org", "x", account.UnknownUser},
		{"anna\x00@example.org", "x", account.UnknownUser},
		{"anna\xff@example.org", "x", account.UnknownUser},
		{" ", "x", account.UnknownUser},
		{"anna @example.org", "x", account.UnknownUser},
		{"an\u00a0na@example.org", "x", account.UnknownUser},
	} {
		v, err := b.Password(t.Context(), tt.login, tt.password, anna())
		if err != nil || v.OK || v.Cause != tt.cause {
			t.Errorf("%q %.9q: %+v, %v", tt.login, tt.password, v, err)
		}
	}
	if f.asked.Load() != 0 {
		t.Errorf("it was asked %d times", f.asked.Load())
	}
	if v, err := b.Token(t.Context(), "x", "", anna()); err != nil || v.OK || b.Tokens() || !b.Passwords() {
		t.Errorf("a token: %+v, %v", v, err)
	}
}

// TestVouches: the login of a verdict is in normal form, and of a domain that is
// served; what was said is a line that can be printed.
func TestVouches(t *testing.T) {
	_, opt := world()
	f := &fake{}
	b := newBackend(opt, f)
	for said, want := range map[string]string{"": "anna@example.org", " Bea@Example.ORG": "bea@example.org", "anna@example.net": "", "root": ""} {
		f.answer = func(context.Context, string) (account.Verdict, error) {
			return account.Verdict{OK: true, Login: said}, nil
		}
		v, err := b.Password(t.Context(), "Anna@example.org", "x", anna())
		if want == "" && (err == nil || !strings.Contains(err.Error(), "none of the domains")) || want != "" && (err != nil || v.Login != want) {
			t.Errorf("%q: %+v, %v", said, v, err)
		}
	}
	f.answer = func(context.Context, string) (account.Verdict, error) {
		return account.Verdict{Cause: account.WrongPassword, Detail: " a\tb\r\n\x1b[31mc\xff " + strings.Repeat("ü", 300)}, nil
	}
	v, err := b.Password(t.Context(), "anna@example.org", "x", anna())
	if err != nil || !strings.HasPrefix(v.Detail, "a b [31mc üü") || len([]rune(v.Detail)) != maxDetail {
		t.Errorf("%q, %v", v.Detail, err)
	}
}

// TestBreaker: after three failures in a row nobody waits any more; later one goes
// first, and the rest is doubled each time, up to a minute.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opt := world()
		f := &fake{answer: down}
		b := newBackend(opt, f)
		try := func() error {
			_, err := b.Password(t.Context(), "anna@example.org", "x", anna())
			return err
		}
		for range tripAfter {
			if err := try(); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Fatal(err)
			}
		}
		for _, rest := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			began, asked := time.Now(), f.asked.Load()
			time.Sleep(time.Duration(rest)*time.Second - time.Millisecond)
			if err := try(); err == nil || !strings.Contains(err.Error(), "tried again in 1ms; the last error: refused") {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			if f.asked.Load() != asked {
				t.Error("it was asked while it is left alone")
			}
			time.Sleep(time.Millisecond)
			if err := try(); err == nil || f.asked.Load() != asked+1 {
				t.Errorf("it was not tried again after %v: %v", time.Since(began), err)
			}
		}
		b.TryNow()
		f.answer = right
		if err := try(); err != nil {
			t.Error(err)
		}
		f.answer = down
		for range tripAfter - 1 {
			try()
		}
		f.answer = right
		if err := try(); err != nil {
			t.Errorf("an answer did not close it: %v", err)
		}
	})
}

// TestOneGoesFirst: while one login tries, the others hear at once.
func TestOneGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opt := world()
		f := &fake{answer: down}
		b := newBackend(opt, f)
		for range tripAfter {
			b.Password(t.Context(), "anna@example.org", "x", anna())
		}
		time.Sleep(time.Second)
		f.answer = hang
		first := make(chan error)
		go func() {
			_, err := b.Password(t.Context(), "anna@example.org", "x", anna())
			first <- err
		}()
		synctest.Wait()
		began := time.Now()
		if _, err := b.Password(t.Context(), "bea@example.org", "x", anna()); err == nil || !strings.Contains(err.Error(), "being tried again") || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-first; err == nil || !strings.Contains(err.Error(), "no answer within 5s (timeout)") {
			t.Error(err)
		}
	})
}

// TestNoNews: who gives up, and a backend that cannot tell, say nothing of whether
// it can be reached.
func TestNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opt := world()
		f := &fake{}
		b := newBackend(opt, f)
		f.answer = hang
		for range 3 * tripAfter {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := b.Password(ctx, "anna@example.org", "x", anna()); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
		f.answer = func(context.Context, string) (account.Verdict, error) {
			return account.Verdict{}, cannotTell("two of them")
		}
		for range 3 * tripAfter {
			if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err == nil || !strings.Contains(err.Error(), "two of them") {
				t.Error(err)
			}
		}
		f.answer = right
		if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil {
			t.Error(err)
		}
	})
}

// TestTurns: as many at one time as there are turns; one more waits for a second
// and no longer, and never for the timeout of others.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opt := world()
		slow := func(ctx context.Context, _ string) (account.Verdict, error) {
			time.Sleep(3 * time.Second)
			return account.Verdict{OK: true}, nil
		}
		f := &fake{answer: slow}
		b := newBackend(opt, f)
		type end struct {
			after time.Duration
			err   error
		}
		ends := make(chan end, 10)
		began := time.Now()
		for i := range 10 {
			go func() {
				_, err := b.Password(t.Context(), fmt.Sprintf("user%d@example.org", i), "x", anna())
				ends <- end{time.Since(began), err}
			}()
		}
		var fine, late int
		for range 10 {
			switch e := <-ends; {
			case e.err == nil && e.after == 3*time.Second:
				fine++
			case e.err != nil && strings.Contains(e.err.Error(), "4 logins are being checked there already") && e.after == patience:
				late++
			default:
				t.Errorf("%+v", e)
			}
		}
		if fine != 4 || late != 6 {
			t.Errorf("%d fine, %d late", fine, late)
		}
		if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil {
			t.Errorf("turns are not given back: %v", err)
		}
	})
}

func TestPanicGivesTurnBack(t *testing.T) {
	_, opt := world()
	opt.Connections = 1
	f := &fake{answer: func(context.Context, string) (account.Verdict, error) { panic("defect") }}
	b := newBackend(opt, f)
	for range 2 * tripAfter {
		func() {
			defer func() { recover() }()
			b.Password(t.Context(), "anna@example.org", "x", anna())
		}()
	}
	f.answer = right
	if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil {
		t.Error(err)
	}
}
