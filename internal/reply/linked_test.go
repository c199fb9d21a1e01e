package reply

import (
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/address"
)

// TestLinked: refusals get one line more, with the same codes; good replies and
// 551 stay as they are.
func TestLinked(t *testing.T) {
	const base = "https://mx.example.org"
	anna := address.Mailbox{Local: "anna", Domain: address.MustDomain("example.org")}
	for _, c := range []struct {
		reply Reply
		want  string
	}{
		{MailboxUnknown(anna), "550-5.1.1 <anna@example.org>: no such address here\r\n550 5.1.1 https://mx.example.org/r/550/mailbox-unknown\r\n"},
		{CredentialsRejected("abcd-efgh-jkmn-pqrs"), "535-5.7.8 Authentication credentials invalid\r\n535 5.7.8 The owner of the account can ask why: https://mx.example.org/r/535/abcd-efgh-jkmn-pqrs\r\n"},
		{WillForward(anna), "251 2.1.5 User not local; will forward to <anna@example.org>\r\n"},
		{PleaseTry(anna), "551 5.1.6 User not local; please try <anna@example.org>\r\n"},
		{Done(), "250 2.0.0 OK\r\n"},
		{StartContent(), "354 Send the message; end it with a line that has only a dot\r\n"},
	} {
		if got := c.reply.Linked(base).Wire(); got != c.want {
			t.Errorf("got\n%swant\n%s", got, c.want)
		}
		if got := c.reply.Linked(""); got != c.reply {
			t.Errorf("without an address of the pages: %s", got)
		}
		if got := c.reply.Linked(base + "/" + strings.Repeat("x", MaxLine)); got != c.reply {
			t.Errorf("a link that fits no line was sent: %s", got)
		}
	}
}

// TestLinkedLines holds the form of every reply with a link (rfc5321#4.2.1):
// each line has the code and the enhanced code, a hyphen but on the last, and
// no more than MaxLine octets.
func TestLinkedLines(t *testing.T) {
	for name, r := range every(t, strings.Repeat("x", MaxLine)) {
		linked := r.Linked("https://mx.example.org")
		all := strings.SplitAfter(linked.Wire(), "\r\n")
		all = all[:len(all)-1]
		for i, line := range all {
			mark := byte('-')
			if i == len(all)-1 {
				mark = ' '
			}
			if len(line) > MaxLine || line[3] != mark || line[:3] != r.Wire()[:3] || !strings.HasPrefix(line[4:], r.Enhanced()) {
				t.Errorf("%s: line %d is %q", name, i, line)
			}
		}
		// the reference that every uses is longer than a line
		if r.Code() >= 400 && r.Code() != 551 && r.reference == "" && !strings.Contains(all[len(all)-1], "/r/") {
			t.Errorf("%s has no link", name)
		}
	}
}
