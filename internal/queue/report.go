package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/smtp"
)

// maxReturned is the largest message that a report returns whole, in octets;
// of a larger one it returns the header section.
const maxReturned = 64 << 10

// Fate is a recipient with the outcome that a report is about.
type Fate struct {
	Recipient *Recipient
	Outcome   *Outcome
}

// Meaning is what an outcome means, in the reader's language.
type Meaning struct {
	Explanation string
	Advice      string
	Actor       dsn.Actor
}

// Reporter composes reports as entries for the queue.
type Reporter struct {
	Hostname string
	// Lang is the language of the reports.
	Lang  string
	Store Store
	IDs   *IDs
	// Random returns text for Message-ID, at least 80 bits.
	Random func() string
	// Explain says what an outcome means.
	Explain func(lang string, r *Recipient, o *Outcome) Meaning
	// Expand says where mail for an address goes: one Recipient or, where
	// the address is ours, what it leads to, which may be nobody. ID, State and
	// times are set later.
	Expand func(ctx context.Context, to address.Mailbox) ([]*Recipient, error)
}

// Compose makes the report about fates of a message. The entry's reverse-path
// is null (rfc5321#4.5.5), so nothing is ever reported about a report.
//
// all are the recipients that were attempted together; the message's others are
// looked up. A server's words about one of them may name the hidden target of
// another. Without anybody to tell
// the entry is nil: the reverse-path is an address of ours that does not exist.
func (rp *Reporter) Compose(ctx context.Context, kind dsn.Kind, m *Message, fates []Fate, all []*Recipient, now time.Time) (*Entry, error) {
	header, body, err := rp.original(ctx, m)
	if err != nil {
		return nil, err
	}
	report := dsn.Report{
		Kind: kind, ReportingMTA: rp.Hostname,
		From: address.Mailbox{Local: "MAILER-DAEMON", Domain: hostDomain(rp.Hostname)},
		To:   m.From, Lang: rp.Lang, Arrival: m.Received, EnvID: m.Params.EnvID, Now: now,
		MessageID: message.MessageID(rp.Random(), rp.Hostname),
		Header:    header, Size: m.Size, Ret: m.Params.Ret,
	}
	if m.Params.RequireTLS {
		report.Ret, body = smtp.RetHeaders, nil // rfc8689#5: the report may go another way than the message
	}
	if body != nil {
		report.Body = bytes.NewReader(body)
	}
	listed, err := rp.Store.List(ctx, Filter{Message: m.ID, Limit: dsn.MaxReported})
	if err != nil {
		return nil, fmt.Errorf("look up the other recipients: %w", err)
	}
	for _, l := range listed {
		all = append(all[:len(all):len(all)], l.Recipient)
	}
	for _, f := range fates {
		meaning := rp.Explain(rp.Lang, f.Recipient, f.Outcome)
		r := dsn.Recipient{
			Original: f.Recipient.Address, ORcpt: f.Recipient.Params.ORcpt, Target: f.Recipient.Target,
			Disclosed: !f.Recipient.Hidden, Status: f.Outcome.Status, RemoteMTA: f.Outcome.Host,
			Heard: f.Outcome.Heard, Explanation: meaning.Explanation, Advice: meaning.Advice, Actor: meaning.Actor,
			LastAttempt: f.Outcome.At, LogID: m.ID.String(),
		}
		for _, other := range all {
			if other.Hidden && other.Target != f.Recipient.Target {
				r.Others = append(r.Others, dsn.Hidden{Target: other.Target, Original: other.Address})
			}
		}
		if kind == dsn.Delayed {
			r.WillRetryUntil = f.Recipient.Expires
		}
		report.Recipients = append(report.Recipients, r)
	}
	composed, err := dsn.Compose(report)
	if err != nil {
		return nil, fmt.Errorf("compose the report: %w", err)
	}
	return rp.entry(ctx, m, composed, now)
}

// entry makes a message of a composed report.
func (rp *Reporter) entry(ctx context.Context, about *Message, composed dsn.Composed, now time.Time) (*Entry, error) {
	recipients, err := rp.Expand(ctx, about.From)
	if err != nil {
		return nil, fmt.Errorf("look up who gets the report: %w", err)
	}
	if len(recipients) == 0 {
		return nil, nil
	}
	content := rp.Store.NewContent()
	if _, err := content.Write(composed.Content); err != nil {
		content.Abort()
		return nil, fmt.Errorf("store the report: %w", err)
	}
	body := smtp.Body7Bit
	if composed.EightBit {
		body = smtp.Body8BitMIME
	}
	id := rp.IDs.Next(now)
	for i, r := range recipients {
		r.ID = RecipientID{Message: id, N: i + 1}
	}
	return &Entry{
		Message: &Message{
			ID: id, Received: now, Size: int64(len(composed.Content)),
			HeaderSize: message.HeaderSize(composed.Content), EightBit: composed.EightBit,
			Params: smtp.MailParams{Body: body, UTF8: composed.UTF8},
			Origin: Origin{Service: "report"}, Parent: about.ID,
			Subject: "report about " + about.ID.String(),
		},
		Recipients: recipients,
		Content:    content,
	}, nil
}

// original reads what a report returns of the message: the header section, and
// the body where the whole is small.
func (rp *Reporter) original(ctx context.Context, m *Message) (header, body []byte, err error) {
	rc, err := rp.Store.OpenContent(ctx, m.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil, nil // lost by damage: better a report without it than none
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the message for its report: %w", err)
	}
	defer rc.Close()
	limit := int64(m.HeaderSize)
	if m.Size <= maxReturned {
		limit = m.Size
	}
	content, err := io.ReadAll(io.LimitReader(rc, limit))
	if err != nil {
		return nil, nil, fmt.Errorf("read the message for its report: %w", err)
	}
	if m.HeaderSize > len(content) {
		return content, nil, nil
	}
	if m.Size <= maxReturned {
		body = content[m.HeaderSize:]
	}
	return content[:m.HeaderSize], body, nil
}

// hostDomain is the host name as a Domain; a host name that is none (a test's)
// gives localhost.
func hostDomain(hostname string) address.Domain {
	d, err := address.ParseDomain(hostname)
	if err != nil {
		return address.MustDomain("localhost")
	}
	return d
}
