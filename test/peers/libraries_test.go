//go:build peers

package peers

import (
	"fmt"
	"strings"
	"testing"
)

// TestSmtplib runs smtplib_peer.py: Python's library on all three ports.
func TestSmtplib(t *testing.T) {
	o, world, password := directory(t)
	out, status := program(t, "", "python3", "smtplib_peer.py", o.mx, o.submission, o.submits, "anna@example.org", password)
	if status != 0 {
		t.Fatalf("smtplib_peer.py: status %d\n%s", status, out)
	}
	world.await(t, "anna@example.net", "Subject: python partly")
	for _, subject := range []string{"python starttls", "python second", "python implicit"} {
		m := world.await(t, "friend@example.com", "Subject: "+subject)
		if !strings.Contains(m.content, "bytes.bin") || !strings.Contains(m.content, "Received: ") {
			t.Errorf("%s arrived without its attachment or its trace:\n%.2000s", subject, m.content)
		}
	}
}

// TestNodemailer runs send.mjs: nodemailer with a pool of connections, implicit TLS, a wrong password, and 551.
func TestNodemailer(t *testing.T) {
	o, world, password := directory(t)
	out, status := program(t, "", "node", "nodemailer/send.mjs", o.mx, o.submission, o.submits, "anna@example.org", password)
	if status != 0 {
		t.Fatalf("send.mjs: status %d\n%s", status, out)
	}
	for i := range 20 {
		world.await(t, "friend@example.com", fmt.Sprintf("Subject: node %d\r\n", i+1), "bytes.bin")
	}
	world.await(t, "friend@example.com", "Subject: node implicit")
	world.await(t, "anna@example.net", "Subject: node moved")
}
