package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/smtp"
)

// ErrNotReport says that content has no delivery status in it.
var ErrNotReport = errors.New("not a delivery report")

// Parsed is somebody else's report. Every text in it is a stranger's and is to
// be escaped wherever it is shown.
type Parsed struct {
	// EnvID is the envelope identifier that the sender gave, "" if none.
	EnvID string
	// ReportingMTA is the host that wrote the report, without its type.
	ReportingMTA string
	// ReceivedFrom is the host that it had the message from.
	ReceivedFrom string
	// Arrival is when it accepted the message; zero if it does not say.
	Arrival time.Time
	// Recipients are the fates, at most MaxReported.
	Recipients []ParsedRecipient
	// Text is the part for people, decoded if it is UTF-8 or ASCII.
	Text string
	// Original is the header section of the message that came back.
	Original message.Header
}

// ParsedRecipient is what a report says about one recipient.
type ParsedRecipient struct {
	// OriginalRecipient and FinalRecipient are addresses without their type;
	// "" if the report has none.
	OriginalRecipient, FinalRecipient string
	// Action is zero if it is not one of RFC 3464.
	Action Kind
	// Status is the status code, "" if it is not well formed.
	Status string
	// RemoteMTA is the host that caused the status, without its type.
	RemoteMTA string
	// DiagnosticType is "smtp" where Diagnostic is a reply line.
	DiagnosticType, Diagnostic  string
	LastAttempt, WillRetryUntil time.Time
	LogID                       string
}

// Parse reads a report (rfc3464#2). It is tolerant: the delivery status may lie
// anywhere within the message's parts, the nearest to the top counts; fields
// may be missing, repeated or wrongly typed. The error is ErrNotReport.
func Parse(content []byte) (Parsed, error) {
	status, siblings, ok := findStatus(readEntity(content))
	if !ok {
		return Parsed{}, fmt.Errorf("%w: none of its parts is a message/delivery-status", ErrNotReport)
	}
	var p Parsed
	for _, group := range splitGroups(status.decoded()) {
		h, err := message.ParseHeader(group)
		if err != nil || h.Len() == 0 {
			continue
		}
		if !h.Has("Final-Recipient") && !h.Has("Original-Recipient") && !h.Has("Action") {
			p.readMessageFields(h)
			continue
		}
		if !p.readsMore() {
			break
		}
		if h.Has("Reporting-MTA") { // no empty line between the groups
			p.readMessageFields(h)
		}
		p.Recipients = append(p.Recipients, readRecipient(h))
	}
	if len(p.Recipients) == 0 {
		return Parsed{}, fmt.Errorf("%w: its delivery status names no recipient", ErrNotReport)
	}
	p.readSiblings(siblings)
	return p, nil
}

func (p *Parsed) readsMore() bool { return len(p.Recipients) < MaxReported }

// findStatus looks for the delivery status level by level, so that a report
// that came back inside another one does not count.
func findStatus(top entity) (status entity, siblings []entity, ok bool) {
	type node struct {
		entity
		siblings []entity
	}
	level := []node{{top, nil}}
	seen := 0
	for depth := 0; depth < maxDepth && len(level) > 0; depth++ {
		var next []node
		for _, n := range level {
			if n.kind == "message/delivery-status" || n.kind == "message/global-delivery-status" {
				return n.entity, n.siblings, true
			}
		}
		for _, n := range level {
			children := n.children()
			for _, c := range children {
				if seen++; seen > maxParts {
					return entity{}, nil, false
				}
				next = append(next, node{c, children})
			}
		}
		level = next
	}
	return entity{}, nil, false
}

// splitGroups divides a delivery status at its empty lines; several in a row
// count as one.
func splitGroups(b []byte) [][]byte {
	var groups [][]byte
	for len(b) > 0 {
		size := message.HeaderSize(b)
		if size == 0 { // a line that is no field at the head of a group
			_, b, _ = bytes.Cut(b, []byte("\n"))
			continue
		}
		groups = append(groups, b[:size])
		b = b[size:]
	}
	return groups
}

// readMessageFields reads the fields about the message (rfc3464#2.2).
func (p *Parsed) readMessageFields(h message.Header) {
	p.EnvID = firstOf(p.EnvID, h.Value("Original-Envelope-Id"))
	p.ReportingMTA = firstOf(p.ReportingMTA, untyped(h.Value("Reporting-MTA")))
	p.ReceivedFrom = firstOf(p.ReceivedFrom, untyped(h.Value("Received-From-MTA")))
	if p.Arrival.IsZero() {
		p.Arrival = date(h.Value("Arrival-Date"))
	}
}

// readRecipient reads the fields about one recipient (rfc3464#2.3).
func readRecipient(h message.Header) ParsedRecipient {
	r := ParsedRecipient{
		OriginalRecipient: typedMailbox(h.Value("Original-Recipient")),
		FinalRecipient:    typedMailbox(h.Value("Final-Recipient")),
		RemoteMTA:         untyped(h.Value("Remote-MTA")),
		LastAttempt:       date(h.Value("Last-Attempt-Date")),
		WillRetryUntil:    date(h.Value("Will-Retry-Until")),
		LogID:             h.Value("Final-Log-ID"),
	}
	action, _, _ := strings.Cut(h.Value("Action"), " ") // "failed (comment)"
	r.Action, _ = ParseKind(action)
	if status, _, _ := strings.Cut(h.Value("Status"), " "); validStatus(status) {
		r.Status = status
	}
	if kind, text, ok := strings.Cut(h.Value("Diagnostic-Code"), ";"); ok {
		r.DiagnosticType = strings.ToLower(strings.TrimSpace(kind))
		r.Diagnostic = strings.TrimSpace(text)
	} else {
		r.Diagnostic = kind
	}
	return r
}

// Reply returns the SMTP reply in the diagnostic; ok is false if it is none.
func (r ParsedRecipient) Reply() (reply smtp.Reply, ok bool) {
	text := r.Diagnostic
	if len(text) < 3 || r.DiagnosticType != "smtp" && r.DiagnosticType != "" {
		return smtp.Reply{}, false
	}
	code, err := strconv.Atoi(text[:3])
	if err != nil || code < 200 || code > 599 || len(text) > 3 && text[3] != ' ' && text[3] != '-' {
		return smtp.Reply{}, false
	}
	reply.Code = code
	text = strings.TrimSpace(strings.TrimPrefix(text[3:], "-"))
	if enhanced, rest, _ := strings.Cut(text, " "); validStatus(enhanced) {
		reply.Enhanced, text = enhanced, strings.TrimSpace(rest)
	}
	if text != "" {
		reply.Lines = []string{text}
	}
	return reply, true
}

// readSiblings reads the parts beside the delivery status.
func (p *Parsed) readSiblings(siblings []entity) {
	for _, s := range siblings {
		switch s.kind {
		case "text/plain":
			if p.Text == "" {
				p.Text = strings.ToValidUTF8(string(s.decoded()), "\uFFFD")
			}
		case "text/rfc822-headers", "message/rfc822-headers", "message/global-headers", "message/rfc822", "message/global":
			if p.Original.Len() == 0 {
				p.Original, _ = message.ParseHeader(s.decoded())
			}
		}
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// untyped removes the type of "dns; mx.example.net".
func untyped(value string) string {
	if _, name, ok := strings.Cut(value, ";"); ok {
		value = name
	}
	return strings.TrimSpace(value)
}

// typedMailbox removes the type of an address, and the brackets that some
// write; an address of type utf-8 is decoded (rfc6533#3).
func typedMailbox(value string) string {
	kind, _, typed := strings.Cut(value, ";")
	value = untyped(value)
	value = strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">")
	if typed && equalFold(strings.TrimSpace(kind), "utf-8") {
		return unescape(value)
	}
	return value
}

// unescape reads \x{HEX} (rfc6533#3, EmbeddedUnicodeChar).
func unescape(s string) string {
	var b strings.Builder
	for {
		head, rest, ok := strings.Cut(s, `\x{`)
		b.WriteString(head)
		if !ok {
			return b.String()
		}
		hex, after, closed := strings.Cut(rest, "}")
		n, err := strconv.ParseUint(hex, 16, 21)
		if !closed || err != nil || n == 0 || n > 0x10FFFF || n >= 0xD800 && n < 0xE000 {
			b.WriteString(`\x{`)
			s = rest
			continue
		}
		b.WriteRune(rune(n))
		s = after
	}
}

// date reads a date-time; the zero time if it is none.
func date(value string) time.Time {
	if value == "" {
		return time.Time{}
	}
	t, err := mail.ParseDate(value)
	if err != nil {
		return time.Time{}
	}
	return t
}
