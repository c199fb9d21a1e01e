package dsn

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
)

// deliveryStatus writes the part for programs (rfc3464#2.1). It is ASCII.
func (r *Report) deliveryStatus() string {
	var b strings.Builder
	if r.EnvID != "" {
		field(&b, "Original-Envelope-Id", clip(r.EnvID, maxEnvID)) // rfc3464#2.2.1
	}
	field(&b, "Reporting-MTA", "dns; "+r.ReportingMTA) // rfc3464#2.2.2
	if !r.Arrival.IsZero() {
		field(&b, "Arrival-Date", message.FormatDate(r.Arrival)) // rfc3464#2.2.5
	}
	for i := range r.Recipients {
		b.WriteString("\r\n")
		r.Recipients[i].deliveryStatus(&b, r.Kind)
	}
	return b.String()
}

// Limits of what a sender gave (rfc3461#4.2, rfc3461#4.4).
const (
	maxEnvID = 100
	maxORcpt = 500
)

// deliveryStatus writes the fields of one recipient (rfc3464#2.3).
func (r *Recipient) deliveryStatus(b *strings.Builder, kind Kind) {
	kind = r.action(kind)
	if kindOf, name, ok := strings.Cut(clip(r.ORcpt, maxORcpt), ";"); ok {
		field(b, "Original-Recipient", strings.TrimSpace(kindOf)+"; "+strings.TrimSpace(name)) // rfc3464#2.3.1
	}
	field(b, "Final-Recipient", typedAddress(r.final())) // rfc3464#2.3.2
	field(b, "Action", kind.String())
	field(b, "Status", r.status(kind))
	if r.RemoteMTA != "" && !r.hidden() {
		field(b, "Remote-MTA", "dns; "+r.RemoteMTA) // rfc3464#2.3.5
	}
	if lines, ok := r.heard(); ok && len(lines) > 0 {
		field(b, "Diagnostic-Code", "smtp; "+strings.Join(lines, " ")) // rfc3464#2.3.6
	}
	if !r.LastAttempt.IsZero() {
		field(b, "Last-Attempt-Date", message.FormatDate(r.LastAttempt))
	}
	if r.LogID != "" {
		field(b, "Final-Log-ID", r.LogID)
	}
	if kind == Delayed && !r.WillRetryUntil.IsZero() {
		field(b, "Will-Retry-Until", message.FormatDate(r.WillRetryUntil)) // rfc3464#2.3.9
	}
}

// field writes one field: nothing can leave its line, and all is ASCII.
func field(b *strings.Builder, name, value string) {
	b.WriteString(message.Fold(name, ascii(escape(value))))
}

// typedAddress is an address with its type. One that is not ASCII is written
// as utf-8-addr-xtext, so that the part stays 7-bit (rfc6533#3).
func typedAddress(m address.Mailbox) string {
	s := m.String()
	if m.IsASCII() {
		return "rfc822; " + s
	}
	var b strings.Builder
	for _, r := range s {
		// QUCHAR leaves out "+", "=" and "\" of the visible characters.
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return "utf-8; " + b.String()
}

// heard returns what the other server said, line by line, each line safe to
// show and without a private target; the first begins with the codes. ok is
// false if it must not be shown.
func (r *Recipient) heard() (lines []string, ok bool) {
	if r.Heard.IsZero() {
		return nil, true
	}
	code := strconv.Itoa(r.Heard.Code)
	if r.Heard.Enhanced != "" {
		code += " " + escape(clip(r.Heard.Enhanced, len("5.999.999")))
	}
	size := 0
	for _, line := range r.Heard.Lines {
		line = clip(line, MaxHeard-size)
		size += len(line)
		for part := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == '\r' || c == '\n' }) {
			if r.private() {
				part = strip(part)
			} else {
				part = escape(part)
			}
			lines = append(lines, strings.TrimSpace(part))
		}
	}
	if r.private() {
		// The lines are searched together, so that nothing hides in a break.
		text, ok := r.withhold(strings.Join(lines, " \uFFFC "))
		if !ok {
			return nil, false
		}
		lines = strings.Split(text, "\uFFFC")
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
	}
	if len(lines) == 0 {
		return []string{code}, true
	}
	lines[0] = strings.TrimSpace(code + " " + lines[0])
	return lines, true
}
