package intake

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// mail is one open transaction.
type mail struct {
	h        *Handler
	settings *Settings
	peer     *transaction.Peer
	from     address.Mailbox
	params   smtp.MailParams
	by       sender

	// accepted counts the RCPTs that were accepted; recipients are what they
	// lead to.
	accepted   int
	recipients []*queue.Recipient
	known      map[pair]bool // of recipients, from the second on
	// spf holds the verdict on the reverse-path once it is known; nil if nobody
	// needs it.
	spf  chan bool
	stop context.CancelFunc
	body *content
	// allowed says that a rule let the sender in; found is what DNS says of the
	// client, nil if nobody asks; views are those of the filters.
	allowed bool
	found   *findings
	views   []Filtering
	sending *sending
}

// Recipient decides about a forward-path, once: what it leads to is kept.
func (m *mail) Recipient(ctx context.Context, to address.Mailbox, params smtp.RcptParams) reply.Reply {
	if m.settings.MaxRecipients > 0 && m.accepted >= m.settings.MaxRecipients {
		return reply.TooManyRecipients() // rfc5321#4.5.3.1.10
	}
	if !to.IsASCII() && !m.params.UTF8 {
		return reply.NonASCIIAddress()
	}
	res, err := m.h.opt.Resolver.Resolve(ctx, m.ours(to))
	if err != nil {
		m.h.opt.Logger.Error("look up an address", "session", m.peer.Session, "error", err)
		return reply.DirectoryDown()
	}
	if res.Verdict == recipient.NotOurs {
		if m.peer.Login == "" && !m.settings.trusted(m.peer) {
			return reply.RelayDenied(to)
		}
		res = recipient.Resolution{Verdict: recipient.Accept, Targets: []recipient.Target{{Mailbox: to}}}
	}
	r := answer(to, res)
	if !r.Positive() {
		return m.sending.refused(ctx, to, r)
	}
	if rule := find(m.settings.Checks.Recipients, to); rule != nil && !rule.Allow {
		m.h.note(m.peer, "rules.recipients", "refused", "to", to.String())
		return reply.RecipientRefused(rule.Text)
	}
	if no := m.checkClient(to); !no.IsZero() {
		return no
	}
	if no := m.sending.recipient(ctx, to); !no.IsZero() {
		return no
	}
	if no := m.showRecipient(ctx, to); !no.IsZero() {
		return no
	}
	if no := m.by.mayReach(m.peer.Login, to); !no.IsZero() {
		return no
	}
	if len(m.recipients)+len(res.Targets) > queueMost {
		return reply.TooManyRecipients()
	}
	m.accepted++
	m.sending.accepted()
	for _, t := range res.Targets {
		m.add(to, t, params)
	}
	m.askSPF()
	return r
}

// ours makes postmaster at our own address, by which the client has reached us,
// the postmaster without a domain (rfc5321#4.5.1, rfc5321#4.1.3).
func (m *mail) ours(to address.Mailbox) address.Mailbox {
	if ip, ok := to.Domain.Literal(); ok && to.IsPostmaster() && ip.Unmap() == m.peer.Local.Addr().Unmap().WithZone("") {
		return address.Mailbox{Local: to.Local}
	}
	return to
}

// queueMost bounds the recipients of one message after forwarding.
const queueMost = 20_000

// pair is what makes a recipient the same as another: the address as we look it
// up, and where it leads.
type pair struct {
	address string
	target  address.Mailbox
}

// pairOf keeps an address that is relayed as it was written: the case of its
// local part is for its own host to judge (rfc5321#2.4).
func pairOf(to address.Mailbox, t recipient.Target) pair {
	if to == t.Mailbox && !t.Local {
		return pair{to.String(), to}
	}
	return pair{to.Key(), t.Mailbox}
}

// add keeps one target. A recipient that was named twice gets one copy.
func (m *mail) add(to address.Mailbox, t recipient.Target, params smtp.RcptParams) {
	if len(m.recipients) > 0 {
		if m.known == nil {
			first := m.recipients[0]
			m.known = map[pair]bool{
				pairOf(first.Address, recipient.Target{Mailbox: first.Target, Local: first.Destination == queue.Maildir}): true,
			}
		}
		p := pairOf(to, t)
		if m.known[p] {
			return
		}
		m.known[p] = true
	}
	m.recipients = append(m.recipients, Recipient(to, t, params, m.settings.Route))
}

// Recipient makes the queue's recipient of a target.
func Recipient(to address.Mailbox, t recipient.Target, params smtp.RcptParams, route func(address.Mailbox) queue.Destination) *queue.Recipient {
	r := &queue.Recipient{Address: to, Target: t.Mailbox, Hidden: t.Hidden && t.Mailbox != to, Params: params}
	if t.Local {
		r.Destination = queue.Maildir
	} else {
		r.Destination = route(t.Mailbox)
	}
	return r
}

// askSPF begins to ask whether reports may go to the reverse-path, so that the
// answer is there when the content has come.
func (m *mail) askSPF() {
	if m.spf != nil || m.h.opt.SPF == nil || m.from.IsZero() || m.peer.Login != "" || m.settings.trusted(m.peer) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), spfPatience)
	m.stop = cancel
	verdict := make(chan bool, 1)
	m.spf = verdict
	client, helo, from := m.peer.Remote.Addr(), m.peer.Helo, m.from
	go func() {
		pass := false
		defer func() {
			// It reads what strangers publish: a defect there must not end the process.
			if p := recover(); p != nil {
				m.h.opt.Logger.Error("defect: SPF panicked", "session", m.peer.Session, "from", from.String(), "panic", p)
				pass = false
			}
			verdict <- pass
		}()
		pass = m.h.opt.SPF(ctx, client, helo, from)
	}()
}

// basis says why reports may go to the reverse-path.
func (m *mail) basis(ctx context.Context) dsn.Basis {
	switch {
	case m.peer.Login != "":
		return dsn.Authenticated
	case m.settings.trusted(m.peer):
		return dsn.TrustedNetwork
	case m.spf == nil:
		return dsn.BasisNone
	}
	select {
	case pass := <-m.spf:
		if pass {
			return dsn.SPFPass
		}
	case <-ctx.Done():
	case <-time.After(spfPatience):
	}
	return dsn.BasisNone
}

// Content opens the receiving of content.
func (m *mail) Content(context.Context) (transaction.Content, reply.Reply) {
	if m.h.opt.DiskLow() {
		return nil, reply.StorageLow()
	}
	if m.body != nil {
		m.body.stored.Abort()
	}
	m.body = &content{m: m, stored: m.h.opt.NewBuffer()}
	m.body.scan.Limit = m.settings.MaxHeader
	return m.body, reply.Reply{}
}

// Abort gives the transaction up.
func (m *mail) Abort() {
	if m.stop != nil {
		m.stop()
	}
	if m.body != nil {
		m.body.stored.Abort()
	}
	for _, v := range m.views {
		v.Close()
	}
	m.views = nil
	m.sending.close()
}

// content takes the message of one transaction.
type content struct {
	m      *mail
	stored queue.Content
	scan   message.HeaderScanner
	refuse reply.Reply
	err    error
	held   []byte // until the filters have seen the header section
	shown  bool   // that they have
}

// Write scans the header section and stores; the first trouble is kept for
// Commit.
func (c *content) Write(p []byte) (int, error) {
	if c.err != nil || !c.refuse.IsZero() {
		return len(p), nil
	}
	if _, err := c.scan.Write(p); err == nil && c.scan.TooLarge() {
		c.Refuse(reply.HeaderTooLarge(strconv.Itoa(c.m.settings.MaxHeader)))
		return len(p), nil
	}
	if most := c.m.by.mostOctets(0); most > 0 && c.stored.Size()+int64(len(p)) > most {
		c.Refuse(reply.MessageTooLargeContent(strconv.FormatInt(most, 10)))
		return len(p), nil
	}
	c.show(p)
	n, err := c.stored.Write(p)
	if err != nil {
		c.err = err
		c.stored.Abort()
	}
	return n, err
}

// Refuse notes why the message will not be taken; the first reason counts.
func (c *content) Refuse(r reply.Reply) {
	if c.refuse.IsZero() {
		c.refuse = r
		c.stored.Abort()
	}
}

// Commit makes the message durable and answers. 250 means that it is on stable
// storage and that we are responsible (rfc5321#6.1).
func (c *content) Commit(ctx context.Context) []reply.Reply {
	defer c.m.Abort()
	r := c.commit(ctx)
	if c.m.peer.Service != transaction.LMTP {
		return []reply.Reply{r}
	}
	replies := make([]reply.Reply, c.m.accepted) // rfc2033#4.2
	for i := range replies {
		replies[i] = r
	}
	return replies
}

func (c *content) commit(ctx context.Context) reply.Reply {
	m := c.m
	switch {
	case c.err != nil:
		return m.h.trouble("take the content of a message", m.peer, c.err)
	case !c.refuse.IsZero():
		return c.refuse
	case c.scan.Received() > message.MaxReceived: // rfc5321#6.3
		return reply.TooManyReceived(strconv.Itoa(message.MaxReceived))
	}
	if m.params.Body == smtp.BodyBinaryMIME { // the body may have any octets, the header section may not (rfc3030#3)
		var lines smtp.LineScanner
		lines.Scan(c.scan.Bytes())
		if lines.End(); lines.Bare() {
			return reply.BareLineEnding()
		}
	}
	if no := c.loops(); !no.IsZero() {
		return no
	}
	e, err := c.entry(ctx)
	if err != nil {
		return m.h.trouble("read the header section of a message", m.peer, err)
	}
	edits, no := c.verdict(ctx, e.Message.ID.String())
	if !no.IsZero() {
		m.h.opt.Logger.Info("check", "session", m.peer.Session, "check", "milters", "verdict", no.String())
		return no
	}
	if len(edits) > 0 { // below our trace field, which is the last one prepended
		last := len(e.Message.Edits) - 1
		e.Message.Edits = append(append(e.Message.Edits[:last:last], edits...), e.Message.Edits[last])
	}
	if no := m.sending.take(ctx); !no.IsZero() {
		return no
	}
	if err := m.h.opt.Queue.Enqueue(ctx, e); err != nil {
		return m.h.trouble("store a message", m.peer, err)
	}
	m.sending.settle(ctx)
	m.h.opt.Logger.Info("accepted", "session", m.peer.Session, "message", e.Message.ID,
		"from", m.from.String(), "recipients", len(e.Recipients), "size", e.Message.Size)
	return reply.Queued(e.Message.ID.String())
}

// entry makes the queue's message: identity, trace field, edits, recipients.
func (c *content) entry(ctx context.Context) (*queue.Entry, error) {
	m := c.m
	header, err := c.scan.Header()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	msg := &queue.Message{
		ID: m.h.opt.IDs.Next(now), Received: now, From: m.from, Params: m.params,
		Size: c.stored.Size(), HeaderSize: c.scan.HeaderSize(), EightBit: c.scan.EightBit(),
		Origin:     m.origin(),
		Basis:      m.basis(ctx),
		HeaderFrom: short(header.Text("From")), Subject: short(header.Text("Subject")),
		MessageID: short(header.Value("Message-ID")),
	}
	for i, r := range m.recipients {
		r.ID = queue.RecipientID{Message: msg.ID, N: i + 1}
	}
	if fields := header.Fields(); len(fields) > 0 && fields[0].Name() == "" && bytes.HasPrefix(fields[0].Raw, []byte("From ")) {
		// The separator of an mbox file, piped in whole, is no field.
		msg.Edits = append(msg.Edits, message.Edit{Kind: message.Drop, Field: 0, Rule: "rfc4155 From_ line"})
	}
	if m.peer.Service.Submits() || m.peer.Service == transaction.Local {
		msg.Edits = append(msg.Edits, m.submissionEdits(header, now)...)
	}
	if mark := m.loopMark(); mark != "" {
		msg.Edits = append(msg.Edits, message.Edit{Kind: message.Prepend, Text: mark, Rule: "rfc5321#6.3 loop mark"})
	}
	// The last one prepended stands on top, where the trace field belongs.
	msg.Edits = append(msg.Edits, message.Edit{Kind: message.Prepend, Text: m.received(msg), Rule: "rfc5321#4.4 Received"})
	return &queue.Entry{Message: msg, Recipients: m.recipients, Content: c.stored}, nil
}

// received is the trace field. It names the recipient only if the client named
// just that one (rfc5321#7.2), and never the target.
func (m *mail) received(msg *queue.Message) string {
	p := m.peer
	r := message.Received{
		Helo: p.Helo, Addr: p.Remote.Addr().Unmap(), By: m.h.opt.Hostname, ID: msg.ID.String(), Date: msg.Received,
		Protocol: message.Protocol(p.Service == transaction.LMTP, p.Extended, p.TLS != nil, p.Login != "", m.params.UTF8),
	}
	if p.Service == transaction.Local {
		r.Helo, r.Protocol = "", ""
		r.Addr = msg.Origin.Remote
	}
	r.ReverseName = m.remoteName()
	if p.TLS != nil {
		r.TLSVersion, r.TLSCipher = p.TLS.Version, p.TLS.Cipher
	}
	if m.accepted == 1 {
		r.For = m.recipients[0].Address
	}
	return r.Field()
}

// submissionEdits mends what a mail program left out (rfc6409#8) and takes away
// what recipients must not see.
func (m *mail) submissionEdits(h message.Header, now time.Time) message.EditList {
	var edits message.EditList
	if !h.Has("Date") { // rfc6409#8.2, rfc5322#3.6
		edits = append(edits, message.Edit{Kind: message.Prepend, Text: "Date: " + message.FormatDate(now) + "\r\n", Rule: "rfc6409#8.2 Date"})
	}
	if !h.Has("Message-ID") { // rfc6409#8.3
		id := message.MessageID(m.h.opt.Random(), m.h.opt.Hostname)
		edits = append(edits, message.Edit{Kind: message.Prepend, Text: "Message-ID: " + id + "\r\n", Rule: "rfc6409#8.3 Message-ID"})
	}
	for i, f := range h.Fields() {
		if f.Is("Bcc") || f.Is("Resent-Bcc") { // rfc5322#3.6.3, rfc5322#3.6.6
			edits = append(edits, message.Edit{Kind: message.Drop, Field: i, Rule: "rfc5322#3.6.3 Bcc"})
		}
	}
	return edits
}

// remoteName is the client's verified host name, "" if nobody has asked for it.
func (m *mail) remoteName() string {
	if m.found == nil {
		return ""
	}
	<-m.found.done
	return m.found.name
}

func (m *mail) origin() queue.Origin {
	p := m.peer
	o := queue.Origin{
		Service: string(p.Service), Remote: p.Remote.Addr().Unmap(), Helo: p.Helo,
		Login: p.Login, Credential: p.Credential, Session: p.Session,
	}
	o.RemoteName = m.remoteName()
	if p.TLS != nil {
		o.TLS = p.TLS.Version + " " + p.TLS.Cipher
	}
	return o
}

// short keeps what the log shows of a field within 200 octets.
func short(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut]
}

// loopField marks what we have forwarded, for us alone.
const loopField = "Onward-Loop"

// Limits of the loop mark.
const (
	// maxMarks is how many addresses one message names; the count of Received
	// fields is for the others.
	maxMarks = 20
	// maxRounds is how often a message may come back to an address that forwarded
	// it: once somebody may have sent it again by hand.
	maxRounds = 1
)

// loopMark is the field that names the addresses which forward the message, as
// nobody but us can read (rfc5321#6.3); "" if none does.
func (m *mail) loopMark() string {
	if m.h.opt.LoopMark == nil {
		return ""
	}
	var marks []string
	for _, r := range m.recipients {
		if !r.Forwarded() || len(marks) == maxMarks {
			continue
		}
		if mark := m.h.opt.LoopMark(r.Address); !slices.Contains(marks, mark) {
			marks = append(marks, mark)
		}
	}
	if len(marks) == 0 {
		return ""
	}
	return message.Fold(loopField, strings.Join(marks, " "))
}

// loops looks whether the message has been forwarded by every one of its
// recipients before.
func (c *content) loops() reply.Reply {
	m := c.m
	if m.h.opt.LoopMark == nil {
		return reply.Reply{}
	}
	header, err := c.scan.Header()
	if err != nil || !header.Has(loopField) {
		return reply.Reply{}
	}
	rounds := make(map[string]int)
	for f := range header.All(loopField) {
		for mark := range strings.FieldsSeq(f.Value()) {
			rounds[mark]++
		}
	}
	for _, r := range m.recipients {
		if !r.Forwarded() || rounds[m.h.opt.LoopMark(r.Address)] <= maxRounds {
			return reply.Reply{}
		}
	}
	return reply.LoopMark(m.recipients[0].Address)
}
