package demo

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtpd"
	"github.com/onwardmail/onward/internal/transaction"
)

// captured is a message that reached the rest of the world.
type captured struct {
	from    address.Mailbox
	to      []address.Mailbox
	content string
}

// world plays every other mail server: it takes mail for everybody, keeps it,
// and is busy or refuses where the demo wants it.
type world struct {
	server   *smtpd.Server
	listener net.Listener

	mu   sync.Mutex // guards what follows
	mail []captured
	// busy counts down the times at which busyUser is answered 451.
	busy    int
	changed chan struct{} // closed and replaced at each new message
}

// The mailboxes of the world that do not simply take mail.
const (
	busyUser = "busy"
	goneUser = "gone"
)

func openWorld() (*world, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the server that plays the rest of the world: %w", err)
	}
	w := &world{listener: l, busy: 1, changed: make(chan struct{})}
	w.server = smtpd.NewServer(w, smtpd.Options{Hostname: "mx.example.net"})
	go w.server.Serve(context.Background(), l, smtpd.MX()) //nolint:errcheck // it ends with the demo
	return w, nil
}

func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	w.server.Shutdown(ctx) //nolint:errcheck // nothing of it is needed any more
}

func (w *world) port() int {
	_, port, _ := net.SplitHostPort(w.listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return n
}

// wait returns the first message to a mailbox, or an error when ctx ends.
func (w *world) wait(ctx context.Context, to string) (captured, error) {
	for {
		w.mu.Lock()
		for _, c := range w.mail {
			if slices.ContainsFunc(c.to, func(m address.Mailbox) bool { return m.String() == to }) {
				w.mu.Unlock()
				return c, nil
			}
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return captured{}, fmt.Errorf("no message for %s has reached the rest of the world", to)
		}
	}
}

// Connect, Mechanisms, Authenticate, WrongPort, Verify, Close and Mail implement transaction.Handler.
func (w *world) Connect(context.Context, *transaction.Peer) reply.Reply { return reply.Reply{} }

func (w *world) Mechanisms(*transaction.Peer) []string { return nil }

func (w *world) Authenticate(context.Context, *transaction.Peer, string, []byte) (transaction.Exchange, reply.Reply) {
	return nil, reply.AuthUnavailable()
}

func (w *world) WrongPort(*transaction.Peer, string, string) {}

func (w *world) Verify(context.Context, *transaction.Peer, address.Mailbox) reply.Reply {
	return reply.CannotVerify()
}

func (w *world) Close(*transaction.Peer) {}

func (w *world) Mail(_ context.Context, _ *transaction.Peer, from address.Mailbox, _ smtp.MailParams) (transaction.Transaction, reply.Reply) {
	return &visit{w: w, got: captured{from: from}}, reply.SenderOK()
}

// visit is one transaction with the world.
type visit struct {
	w    *world
	got  captured
	body bytes.Buffer
}

func (v *visit) Recipient(_ context.Context, to address.Mailbox, _ smtp.RcptParams) reply.Reply {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	switch {
	case to.Local == goneUser:
		return reply.MailboxUnknown(to)
	case to.Local == busyUser && v.w.busy > 0:
		v.w.busy--
		return reply.TryLater()
	}
	v.got.to = append(v.got.to, to)
	return reply.RecipientOK()
}

func (v *visit) Content(context.Context) (transaction.Content, reply.Reply) { return v, reply.Reply{} }
func (v *visit) Abort()                                                     {}
func (v *visit) Write(p []byte) (int, error)                                { return v.body.Write(p) }
func (v *visit) Refuse(reply.Reply)                                         {}

func (v *visit) Commit(context.Context) []reply.Reply {
	v.got.content = strings.ReplaceAll(v.body.String(), "\r\n", "\n")
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	v.w.mail = append(v.w.mail, v.got)
	close(v.w.changed)
	v.w.changed = make(chan struct{})
	return []reply.Reply{reply.Queued("worldwide")}
}
