package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// start is the moment at which the tests' messages arrive.
func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func openTestQueue(tb testing.TB, dir string, opts Options) *Queue {
	tb.Helper()
	q, err := OpenQueue(filepath.Join(dir, QueueFile), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := q.Close(); err != nil {
			tb.Error(err)
		}
	})
	return q
}

// testOptions are what matters about a test's message; zero values are filled in.
type testOptions struct {
	at          time.Time
	from        string // "<>" for none
	to          []string
	target      string // of all
	destination queue.Destination
	state       queue.State
	due         time.Time
	expires     time.Time
	body        []byte
	parent      queue.ID
}

// contents is what testEntry needs of a store.
type contents interface{ NewContent() queue.Content }

func testEntry(tb testing.TB, s contents, ids *queue.IDs, o testOptions) *queue.Entry {
	tb.Helper()
	if o.at.IsZero() {
		o.at = start()
	}
	if o.from == "" {
		o.from = "anna@example.com"
	}
	if len(o.to) == 0 {
		o.to = []string{"bert@example.org"}
	}
	if o.state == 0 {
		o.state = queue.Waiting
	}
	if o.due.IsZero() {
		o.due = o.at
	}
	if o.expires.IsZero() {
		o.expires = o.at.Add(1000 * 24 * time.Hour)
	}
	if o.body == nil {
		o.body = []byte("Subject: x\r\n\r\nHello.\r\n")
	}
	m := &queue.Message{
		ID: ids.Next(o.at), Received: o.at, Size: int64(len(o.body)), HeaderSize: 14, EightBit: true,
		Params: smtp.MailParams{Size: 100, Body: smtp.Body8BitMIME, Ret: smtp.RetHeaders, EnvID: "QQ314159", UTF8: true},
		Edits:  message.EditList{{Kind: message.Prepend, Text: "Received: from a by b; now\r\n", Rule: "rfc5321#4.4 trace"}},
		Origin: queue.Origin{
			Service: "mx", Remote: netip.MustParseAddr("192.0.2.7"), RemoteName: "client.example.com", Helo: "client.example.com",
			TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", Session: "s1",
		},
		Basis: dsn.SPFPass, Parent: o.parent, HeaderFrom: "Anna <anna@example.com>", Subject: "Grüße", MessageID: "<1@example.com>",
	}
	if o.from != "<>" {
		m.From = address.MustMailbox(o.from)
	}
	e := &queue.Entry{Message: m, Content: s.NewContent()}
	if _, err := e.Content.Write(o.body); err != nil {
		tb.Fatal(err)
	}
	for i, to := range o.to {
		r := &queue.Recipient{
			ID: queue.RecipientID{Message: m.ID, N: i + 1}, Address: address.MustMailbox(to), Destination: o.destination,
			Params: smtp.RcptParams{Notify: smtp.NotifyFailure, ORcpt: "rfc822;" + to},
			State:  o.state, Due: o.due, Expires: o.expires,
		}
		r.Target = r.Address
		if o.target != "" {
			r.Target, r.Hidden = address.MustMailbox(o.target), true
			r.ReversePath, r.Rewritten = address.MustMailbox("SRS0=aaaa=bb=example.com=anna@example.org"), true
		}
		if r.Destination == "" {
			r.Destination = queue.ToDomain(r.Target.Domain)
		}
		e.Recipients = append(e.Recipients, r)
	}
	return e
}

// testOutcome is an outcome with everything in it.
func testOutcome(id queue.RecipientID, k queue.Kind) *queue.Outcome {
	o := &queue.Outcome{
		Recipient: id, Kind: k, At: start().Add(time.Second), Took: 80 * time.Millisecond, Attempt: 1,
		Host: "mx.example.net", Addr: "192.0.2.25:25", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", Command: "content",
		Heard: smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: []string{"2.0.0 Ok: queued as 4X", "thanks"}}, Status: "2.0.0",
	}
	switch k {
	case queue.Failure:
		o.Heard = smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"5.1.1 No such user"}}
		o.Command, o.Status = "RCPT", "5.1.1"
	case queue.Trouble:
		o.Heard, o.Command, o.Status, o.Cause, o.Detail = smtp.Reply{}, "connect", "4.4.1", "timeout", "dial tcp 192.0.2.25:25: i/o timeout"
		o.Scope = queue.ScopeDestination
	}
	return o
}

func readContent(tb testing.TB, s queue.Store, id queue.ID) []byte {
	tb.Helper()
	r, err := s.OpenContent(context.Background(), id)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func mustEqual(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		tb.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func mustNil(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func big(n int) []byte {
	b := bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n]
	for i := 0; i+8 < n; i += 4096 {
		copy(b[i:], fmt.Sprintf("%08d", i))
	}
	return b
}
