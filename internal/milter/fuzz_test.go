package milter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// scripted is a connection to a filter that says what it will, whatever it
// hears.
type scripted struct {
	net.Conn // nil: nothing else is called
	says     *bytes.Reader
}

func (s scripted) Read(p []byte) (int, error)       { return s.says.Read(p) }
func (s scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s scripted) Close() error                     { return nil }
func (s scripted) SetDeadline(time.Time) error      { return nil }
func (s scripted) SetReadDeadline(time.Time) error  { return nil }
func (s scripted) SetWriteDeadline(time.Time) error { return nil }
func (s scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// packet is one answer of a filter.
func packet(code byte, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))) + string(code) + data
}

// agreed is a filter's answer to the offer: version 6, these actions, these
// steps of the protocol left out.
func agreed(actions, protocol uint32) string {
	data := binary.BigEndian.AppendUint32(nil, 6)
	data = binary.BigEndian.AppendUint32(data, actions)
	return packet('O', string(binary.BigEndian.AppendUint32(data, protocol)))
}

// FuzzFilter lets a filter say anything: every step comes to its end, with no
// objection or one that can be told to a client, and with changes that fit the
// header section.
func FuzzFilter(f *testing.F) {
	goOn := strings.Repeat(packet('c', ""), 9)
	f.Add([]byte(agreed(0x11, 0)+goOn+packet('h', "X-Spam\x00yes\x00")+packet('m', "\x00\x00\x00\x01Subject\x00\x00")+packet('a', "")), false)
	f.Add([]byte(agreed(0, 0)+goOn+packet('y', "554 5.7.1 No%%\r\nnot at all\x00")), false)
	f.Add([]byte(agreed(0, 0)+packet('t', "")), true)
	f.Add([]byte(agreed(0x1ff, 0x1fffff)+packet('a', "")), false)
	f.Add([]byte(agreed(0x10, 0)+goOn+packet('i', "\x00\x00\x00\x09X: y\r\nZ\x00\r\n\r\nbody\x00")+packet('d', "")), true)
	f.Add([]byte(agreed(0x11, 0x400)+goOn+packet('p', "")+packet('q', "held")+packet('c', "")), false)
	f.Add([]byte("\x7f\xff\xff\xffO"), true)
	content := []byte("Subject: a\r\n folded\r\nX-Spam: no\r\nsubject: b\r\n\r\n")
	header, err := message.ParseHeader(content)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte, passOver bool) {
		filter := New(Options{
			Network: "tcp", Address: "127.0.0.1:1", Hostname: "mx.example.org", Timeout: time.Second, PassOver: passOver, Log: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return scripted{says: bytes.NewReader(says)}, nil
			},
		})
		sound := func(r reply.Reply) bool {
			if r.IsZero() {
				return true
			}
			wire := r.Wire()
			if r.Code() < 400 || !strings.HasSuffix(wire, "\r\n") || strings.Count(wire, "\n") != strings.Count(wire, "\r\n") || strings.Contains(wire, "\x00") {
				t.Fatalf("a filter that says %q makes the reply %q", says, wire)
			}
			rr := smtp.NewReplyReader(strings.NewReader(wire))
			if _, err := rr.ReadReply(); err != nil {
				t.Fatalf("a filter that says %q makes the reply %q: %v", says, wire, err)
			}
			if _, err := rr.ReadReply(); !errors.Is(err, io.EOF) {
				t.Fatalf("a filter that says %q makes more than one reply: %q", says, wire)
			}
			return false
		}
		ctx := context.Background()
		peer := &transaction.Peer{Session: "1", Service: transaction.MX, Helo: "a.example", Remote: netip.MustParseAddrPort("192.0.2.9:1000")}
		v, r := filter.Begin(ctx, peer, address.MustMailbox("bob@example.com"), smtp.MailParams{})
		if !sound(r) || v == nil {
			if v != nil {
				t.Fatalf("a filter that says %q refuses with %s and goes on", says, r)
			}
			return
		}
		defer v.Close()
		if !sound(v.Recipient(ctx, address.MustMailbox("anna@example.org"))) {
			return
		}
		v.Header(ctx, header)
		v.Body(ctx, bytes.Repeat([]byte("0123456789abcde\n"), 5000))
		list, r := v.End(ctx, "Q1")
		if !sound(r) {
			return
		}
		if err := list.Validate(header); err != nil {
			t.Fatalf("a filter that says %q changes %v, which cannot be: %v", says, list, err)
		}
		changed := list.AppendHeader(nil, header)
		again, err := message.ParseHeader(changed)
		if err != nil || again.Size() != len(changed) || bytes.ContainsAny(bytes.ReplaceAll(changed, []byte("\r\n"), nil), "\r\n") {
			t.Fatalf("a filter that says %q makes the header section %q, %v", says, changed, err)
		}
	})
}
