package onward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/notice"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// owners tells the owners of accounts what they must know. A notice is durable
// in the queue before it is noted as sent: at worst it comes twice.
type owners struct {
	directory account.Directory
	queue     intake.Enqueuer
	ids       *queue.IDs
	content   func() queue.Content
	expand    func(ctx context.Context, to address.Mailbox) ([]*queue.Recipient, error)
	hostname  string
	lang      string // of those who have chosen none
	own       bool   // owners manage their accounts themselves
	log       *slog.Logger
}

var _ intake.Owners = (*owners)(nil)

// Suspended implements intake.Owners.
func (o *owners) Suspended(ctx context.Context, a *account.Account, p *account.AppPassword) error {
	n := notice.Notice{Kind: notice.Suspended, AppPassword: appPassword(p), Alarm: notice.Alarm{At: p.Suspended, Text: p.SuspendedWhy}}
	if alarm, err := account.ParseAlarm(p.SuspendedWhy, p.Suspended); err == nil {
		n.Alarm = reason(&alarm)
	}
	if err := o.send(ctx, a, n); err != nil {
		return err
	}
	return o.noticed(ctx, p)
}

// Strange implements intake.Owners.
func (o *owners) Strange(ctx context.Context, a *account.Account, alarm *account.Alarm) error {
	strict := account.StrictLimits()
	return o.send(ctx, a, notice.Notice{Kind: notice.MainPassword, Alarm: reason(alarm), Strict: notice.Strict{
		Until: alarm.At.Add(account.StrictFor), PerHour: strict.MessagesHour, PerDay: strict.MessagesDay,
	}})
}

// Reached implements intake.Owners.
func (o *owners) Reached(ctx context.Context, a *account.Account, p *account.AppPassword, over *account.Exceeded) error {
	n := notice.Notice{Kind: notice.Limit, Reached: notice.Reached{Name: string(over.Limit), Number: over.Number, Until: over.Until}}
	if p != nil {
		n.AppPassword = appPassword(p)
	}
	return o.send(ctx, a, n)
}

// remind sends what is due at now about app passwords: that they expire soon, and
// that they were suspended where this could not be said at once.
func (o *owners) remind(ctx context.Context, now time.Time) error {
	accounts, err := o.directory.Accounts(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range accounts {
		a := &accounts[i]
		if a.Disabled {
			continue
		}
		passwords, err := o.directory.AppPasswords(ctx, a.Login)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for j := range passwords {
			p := &passwords[j]
			switch p.NoticeDue(now) {
			case account.SuspendedNotice:
				err = o.Suspended(ctx, a, p)
			case account.ExpiryNotice:
				if err = o.send(ctx, a, notice.Notice{Kind: notice.Expiry, AppPassword: appPassword(p)}); err == nil {
					err = o.noticed(ctx, p)
				}
			case account.NoNotice:
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("tell %s of the app password %s: %w", a.Login, p.ID, err))
			}
		}
	}
	return errors.Join(errs...)
}

// noticed notes that the owner of an app password has been told.
func (o *owners) noticed(ctx context.Context, p *account.AppPassword) error {
	_, err := o.directory.ChangeAppPassword(ctx, p.Login, p.ID, func(p *account.AppPassword) error {
		p.Noticed = time.Now()
		return nil
	})
	if errors.Is(err, account.ErrNotFound) { // its account was removed meanwhile
		return nil
	}
	return err
}

func appPassword(p *account.AppPassword) notice.AppPassword {
	return notice.AppPassword{
		ID: p.ID, Name: p.Name, Expires: p.Expires, LastUse: p.LastUse, LastAddress: p.LastAddress, LastClient: p.LastClient,
	}
}

func reason(a *account.Alarm) notice.Alarm {
	return notice.Alarm{At: a.At, Kind: string(a.Kind), Count: a.Count, Usual: a.Usual, From: a.From}
}

// send composes a notice and puts it into the queue, on its way to where mail for
// the login goes. Where nobody gets that mail there is nobody to tell.
func (o *owners) send(ctx context.Context, a *account.Account, n notice.Notice) error {
	to, err := address.ParseMailbox(a.Login)
	if err != nil {
		o.log.Warn("a notice for an account is not sent: its login is no address", "login", a.Login)
		return nil
	}
	now := time.Now()
	n.Hostname, n.Login, n.To, n.Now = o.hostname, a.Login, to, now
	n.Own = o.own
	n.MessageID = message.MessageID(randomText(), o.hostname)
	if n.Lang = a.Lang; n.Lang == "" {
		n.Lang = o.lang
	}
	composed, err := notice.Compose(n)
	if err != nil {
		return err
	}
	recipients, err := o.expand(ctx, to)
	if err != nil {
		return fmt.Errorf("look up where mail for %s goes: %w", a.Login, err)
	}
	if len(recipients) == 0 {
		o.log.Warn("a notice for an account is not sent: nobody gets mail at its address", "login", a.Login, "subject", composed.Subject)
		return nil
	}
	content := o.content()
	if _, err := content.Write(composed.Content); err != nil {
		content.Abort()
		return fmt.Errorf("store the notice: %w", err)
	}
	id := o.ids.Next(now)
	for i, r := range recipients {
		r.ID = queue.RecipientID{Message: id, N: i + 1}
	}
	body := smtp.Body7Bit
	if composed.UTF8 {
		body = smtp.Body8BitMIME
	}
	err = o.queue.Enqueue(ctx, &queue.Entry{
		Message: &queue.Message{
			ID: id, Received: now, Size: int64(len(composed.Content)), HeaderSize: message.HeaderSize(composed.Content), EightBit: composed.UTF8,
			Params: smtp.MailParams{Body: body, UTF8: composed.UTF8}, Origin: queue.Origin{Service: "notice"},
			Subject: composed.Subject, MessageID: n.MessageID,
		},
		Recipients: recipients, Content: content,
	})
	if err != nil {
		content.Abort()
		return fmt.Errorf("put the notice into the queue: %w", err)
	}
	o.log.Info("notice sent to the owner of an account", "login", a.Login, "message", id, "subject", composed.Subject)
	return nil
}
