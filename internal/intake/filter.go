package intake

import (
	"context"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// Filter looks at messages on their way in: a milter. The zero Reply means that
// it has no objection.
type Filter interface {
	// Begin is told of a client and a reverse-path. With a negative reply the
	// Filtering is nil.
	Begin(ctx context.Context, p *transaction.Peer, from address.Mailbox, params smtp.MailParams) (Filtering, reply.Reply)
}

// Filtering is a Filter's view of one transaction. Its methods are called in the
// order in which they stand here; Close ends it at any time.
type Filtering interface {
	// Recipient is told of a recipient that has been accepted so far.
	Recipient(ctx context.Context, to address.Mailbox) reply.Reply
	// Header and Body take the content; what they think of it, End says.
	Header(ctx context.Context, h message.Header)
	Body(ctx context.Context, p []byte)
	// End gives the verdict and the changes to the header section.
	End(ctx context.Context, queueID string) (message.EditList, reply.Reply)
	Close()
}

// begin opens a view of each filter for a transaction.
func (m *mail) begin(ctx context.Context) reply.Reply {
	for _, f := range m.settings.Filters {
		v, r := f.Begin(ctx, m.peer, m.from, m.params)
		if !r.IsZero() && !r.Positive() {
			return r
		}
		if v != nil {
			m.views = append(m.views, v)
		}
	}
	return reply.Reply{}
}

// showRecipient asks the filters about a recipient.
func (m *mail) showRecipient(ctx context.Context, to address.Mailbox) reply.Reply {
	for _, v := range m.views {
		if r := v.Recipient(ctx, to); !r.IsZero() && !r.Positive() {
			return r
		}
	}
	return reply.Reply{}
}

// show gives the filters what has come of the content: the header section as
// soon as it is whole.
func (c *content) show(p []byte) {
	if len(c.m.views) == 0 {
		return
	}
	ctx := context.Background() // a filter has its own patience
	if !c.shown {
		if c.held = append(c.held, p...); !c.scan.Ended() {
			return
		}
		p = c.showHeader(ctx)
	}
	if len(p) > 0 {
		for _, v := range c.m.views {
			v.Body(ctx, p)
		}
	}
}

// showHeader gives the filters the header section, and returns the body that
// came with it.
func (c *content) showHeader(ctx context.Context) (body []byte) {
	c.shown = true
	h, err := c.scan.Header()
	if err != nil {
		return nil
	}
	for _, v := range c.m.views {
		v.Header(ctx, h)
	}
	body = c.held[min(c.scan.HeaderSize(), len(c.held)):]
	c.held = nil
	return body
}

// verdict asks the filters what they think of the whole.
func (c *content) verdict(ctx context.Context, queueID string) (message.EditList, reply.Reply) {
	if len(c.m.views) > 0 && !c.shown {
		if body := c.showHeader(ctx); len(body) > 0 {
			for _, v := range c.m.views {
				v.Body(ctx, body)
			}
		}
	}
	var edits message.EditList
	for _, v := range c.m.views {
		list, r := v.End(ctx, queueID)
		if !r.IsZero() && !r.Positive() {
			return nil, r
		}
		edits = append(edits, list...)
	}
	return edits, reply.Reply{}
}
