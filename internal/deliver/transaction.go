package deliver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// transaction is one message to some recipients over one connection: RSET if one
// is due, MAIL, RCPT for each, DATA, content.
//
// Commands and replies are two indices over the same row of steps (see step), so
// pipelining is nothing but a window wider than one (rfc2920#3.1).
type transaction struct {
	d       *Deliverer
	c       *client
	j       *job
	g       *group
	members []int // indices into the job's recipients
	*scratch

	src      *source
	utf8     bool
	convert  bool // the content is made 7-bit
	binary   bool // the content goes by BDAT
	reset    bool
	answered bool // anything but 421 has been heard
	fates    envelope
}

// envelope is what the replies to the envelope have come to.
type envelope struct {
	mail *fate
	data *fate
	open bool // 354 was heard: the server waits for content
	good int  // recipients that were accepted
}

// scratch is memory that one transaction after the other uses.
type scratch struct {
	rcpt   []*fate // by index of members; nil is accepted
	later  []int   // members for another transaction
	blocks blocks
	dots   smtp.DotWriter
	read   []byte
}

// maxScratch is the largest buffer, in octets, that is kept for the next
// transaction.
const maxScratch = blockSize

// steps is how many commands the transaction has.
func (x *transaction) steps() int {
	n := len(x.members) + 2
	if x.binary {
		n-- // BDAT comes with its content
	}
	if x.reset {
		n++
	}
	return n
}

// step returns what command k is; member is an index of members for RCPT.
func (x *transaction) step(k int) (s stage, member int) {
	if x.reset {
		if k == 0 {
			return stageReset, 0
		}
		k--
	}
	switch {
	case k == 0:
		return stageMail, 0
	case k <= len(x.members):
		return stageRcpt, k - 1
	}
	return stageData, 0
}

// timeout is how long the reply to a command may take (rfc5321#4.5.3.2).
func (x *transaction) timeout(s stage) time.Duration {
	switch s {
	case stageRcpt:
		return x.c.t.Rcpt
	case stageData:
		return x.c.t.Data
	}
	return x.c.t.Mail
}

// check settles what cannot be sent over this connection at all, before a word
// is said, and returns the members that are left; or the fate of all at this
// host.
func (x *transaction) check(ctx context.Context) (*fate, []int) {
	m, ext := x.j.a.Message, x.c.ext
	x.utf8 = m.Params.UTF8 || !x.g.from.IsASCII()
	var f *fate
	switch {
	case m.Params.RequireTLS && !ext.requireTLS: // rfc8689#4.2.1
		f = noRequireTLS(fmt.Errorf("%s does not offer REQUIRETLS", x.c.peer.host))
	case m.Params.Body == smtp.BodyBinaryMIME && ext.binary && ext.chunking: // rfc3030#3
		x.binary = true
	case m.Params.Body == smtp.BodyBinaryMIME:
		f = x.mayConvert(ctx, "BINARYMIME")
	case m.EightBit && !ext.eightBit && x.d.opt.EightBit != EightBitSend:
		f = x.mayConvert(ctx, "8BITMIME")
	}
	switch {
	case f != nil:
	case x.utf8 && !ext.utf8:
		if f = x.withoutUTF8(ctx); f == nil {
			x.utf8 = false
		}
	}
	if f != nil {
		if f.elsewhere { // another host may do
			return f, nil
		}
		x.j.settleAll(x.members, f, x.c.peer)
		return nil, nil
	}
	left := x.members[:0]
	for _, i := range x.members {
		if !x.j.a.Recipients[i].Target.IsASCII() {
			if !ext.utf8 {
				x.j.settle(i, noUTF8(queue.ScopeRecipient, "the recipient's address"), x.c.peer)
				continue
			}
			x.utf8 = true
		}
		left = append(left, i)
	}
	return nil, left
}

// withoutUTF8 looks whether a message that came with SMTPUTF8 can do without: a
// domain is an A-label anyway (rfc6531#3.6 leaves the rest to a failure).
func (x *transaction) withoutUTF8(ctx context.Context) *fate {
	if !x.g.from.IsASCII() {
		return noUTF8(queue.ScopeMessage, "the sender's address")
	}
	ascii, err := headerIsASCII(ctx, x.j.a, x.g.edits)
	switch {
	case err != nil:
		return unread(err)
	case !ascii:
		return noUTF8(queue.ScopeMessage, "the header section")
	}
	return nil
}

// mayConvert settles that the content is made 7-bit for a host that lacks an
// extension, or why not: nothing that is signed is touched.
func (x *transaction) mayConvert(ctx context.Context, extension string) *fate {
	if x.d.opt.EightBit == EightBitRefuse {
		return noEightBit(extension)
	}
	raw, err := storedHeader(ctx, x.j.a)
	if err != nil {
		return unread(err)
	}
	h, err := message.ParseHeader(raw)
	if err != nil || message.Signed(h) || !isASCII(raw) {
		return noEightBit(extension) // a signature would not hold, or the header section is not 7-bit itself
	}
	x.convert = true
	return nil
}

// carryOut speaks. The fate is for all members without an outcome; nil if every
// one has one or is due in another transaction.
func (x *transaction) carryOut(ctx context.Context) *fate {
	src, err := openSource(ctx, x.j.a, x.g.edits)
	if err != nil {
		f := unread(err)
		f.lost = false // nothing has been said
		x.j.settleAll(x.members, f, x.c.peer)
		return nil
	}
	defer src.close()
	x.src = src
	if limit := x.c.ext.maxSize; limit > 0 && src.size > limit && !x.convert {
		x.j.settleAll(x.members, tooLarge(src.size, limit), x.c.peer)
		return nil
	}
	x.c.used++
	x.reset = x.c.dirty
	x.c.dirty = true
	x.begin()
	if f := x.envelope(ctx); f != nil {
		x.settleRefused()
		return f
	}
	return x.decide(ctx)
}

// begin empties the scratch.
func (x *transaction) begin() {
	x.rcpt = x.rcpt[:0]
	for range x.members {
		x.rcpt = append(x.rcpt, nil)
	}
	x.later = x.later[:0]
	x.blocks.c = x.c
	if cap(x.blocks.buf) > maxScratch {
		x.blocks.buf = nil
	}
	x.blocks.buf = x.blocks.buf[:0]
}

// envelope sends the commands and hears the replies, as many ahead as the
// server allows. A fate ends the connection.
func (x *transaction) envelope(ctx context.Context) *fate {
	window := 1
	if x.c.ext.pipelining {
		window = maxWindow
	}
	n, sent := x.steps(), 0
	for heard := 0; heard < n; heard++ {
		if x.c.rd.Buffered() == 0 {
			for sent < n && sent-heard < window {
				s, member := x.step(sent)
				if x.pointless(s, sent == heard) {
					n = sent
					break
				}
				x.append(s, member)
				sent++
			}
			if heard == n {
				break
			}
		}
		s, member := x.step(heard)
		if buf := x.blocks.buf; len(buf) > 0 {
			x.blocks.buf = buf[:0]
			if err := x.c.write(buf, x.timeout(s)); err != nil {
				return x.c.lastWords(ctx, s, err)
			}
		}
		r, err := x.c.reply(x.timeout(s))
		if err != nil {
			return broken(ctx, s, err)
		}
		if f := x.hear(s, member, r); f != nil {
			return f
		}
		x.answered = true
	}
	return nil
}

// pointless reports whether a command need not be sent, by the replies so far;
// all says that none is missing.
func (x *transaction) pointless(s stage, all bool) bool {
	if s <= stageMail {
		return false
	}
	return x.fates.mail != nil || s == stageData && all && x.fates.good == 0
}

// hear takes in the reply to one command. A fate ends the connection.
func (x *transaction) hear(s stage, member int, r smtp.Reply) *fate {
	good := r.Code/100 == 2 && s != stageData || r.Code == 354 && s == stageData
	var f *fate
	if !good {
		// After MAIL, or every RCPT, was refused, what follows in the pipe is out
		// of step for the server, and means nothing.
		moot := x.fates.mail != nil || s == stageData && x.fates.good == 0
		if f = refused(s, r, &x.c.hop); f.lost && (!moot || r.Code == 421) {
			return f
		}
	}
	switch s {
	case stageMail:
		x.fates.mail = f
	case stageRcpt:
		x.rcpt[member] = f
		switch {
		case f == nil:
			x.fates.good++
		case tooMany(r):
			x.later = append(x.later, member)
		}
	case stageData:
		x.fates.data, x.fates.open = f, f == nil
	}
	return nil
}

// tooMany reports whether a recipient was refused only because the transaction
// has enough of them (rfc5321#4.5.3.1.10).
func tooMany(r smtp.Reply) bool {
	return r.Code == 452 && (r.Enhanced == "" || r.Enhanced == "4.5.3") || r.Code == 552 && r.Enhanced == "5.5.3"
}

// settleRefused gives those their outcome that were refused by name.
func (x *transaction) settleRefused() {
	if x.fates.mail != nil {
		return
	}
	for k, f := range x.rcpt {
		if f != nil {
			x.j.settle(x.members[k], f, x.c.peer)
		}
	}
}

// decide goes on from the envelope.
func (x *transaction) decide(ctx context.Context) *fate {
	e := &x.fates
	if e.open && (e.mail != nil || e.good == 0) {
		// rfc2920#3.1: a server may say 354 without a single recipient; it gets
		// an empty content, and what it says to that does not matter.
		if f := x.finish(ctx, func() error { return x.c.write([]byte(".\r\n"), x.c.t.Block) }, nil); f != nil {
			x.settleRefused()
			if e.mail != nil {
				x.j.settleAll(x.members, e.mail, x.c.peer)
			}
			return f
		}
	}
	switch {
	case e.mail != nil && e.mail.elsewhere:
		return e.mail
	case e.mail != nil:
		x.j.settleAll(x.members, e.mail, x.c.peer)
		return nil
	case e.good == 0:
		x.settleRefused()
		return nil
	case e.data != nil:
		x.settleRefused()
		x.j.settleAll(x.members, e.data, x.c.peer)
		return nil
	}
	var heard smtp.Reply
	send := x.content
	if x.binary {
		send = x.chunk
	}
	f := x.finish(ctx, send, &heard)
	if f == nil && heard.Code/100 == 2 {
		x.settleAccepted(heard)
		return nil
	}
	x.settleRefused()
	if f != nil {
		return f
	}
	if f = refused(stageContent, heard, &x.c.hop); f.lost {
		return f
	}
	x.j.settleAll(x.members, f, x.c.peer)
	return nil
}

// settleAccepted gives success to those whom the server took, and leaves out
// those who go into another transaction.
func (x *transaction) settleAccepted(r smtp.Reply) {
	for _, k := range x.later {
		x.rcpt[k] = nil
	}
	done := accepted(stageContent, r)
	done.reports = x.c.ext.dsn // rfc3461#5.2.2
	for k, i := range x.members {
		switch f := x.rcpt[k]; {
		case f != nil:
			x.j.settle(i, f, x.c.peer)
		case !x.isLater(k):
			x.j.settle(i, done, x.c.peer)
		}
	}
}

func (x *transaction) isLater(k int) bool {
	for _, l := range x.later {
		if l == k {
			return true
		}
	}
	return false
}

// finish sends what comes after 354 and hears the reply.
func (x *transaction) finish(ctx context.Context, send func() error, heard *smtp.Reply) *fate {
	if err := send(); err != nil {
		var ours *readError
		if errors.As(err, &ours) || errors.Is(err, smtp.ErrBareLineEnding) {
			return unread(err) // the connection is closed without a final dot: nothing is taken
		}
		return x.c.lastWords(ctx, stageContent, err)
	}
	r, err := x.c.reply(x.c.t.Final)
	if err != nil {
		return broken(ctx, stageContent, err)
	}
	x.c.dirty = false
	if heard != nil {
		*heard = r
	}
	return nil
}

// content sends the content with its final dot: in one write, unless it is
// large.
func (x *transaction) content() error {
	x.dots = smtp.DotWriter{W: &x.blocks}
	if x.src.rest != nil && x.read == nil {
		x.read = make([]byte, blockSize/2)
	}
	if x.convert {
		c := message.NewConverter(&x.dots)
		if err := x.src.writeTo(c, x.read); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	} else if err := x.src.writeTo(&x.dots, x.read); err != nil {
		return err
	}
	if err := x.dots.Close(); err != nil {
		return err
	}
	return x.blocks.flush()
}

// chunk sends the content as it is, in one piece (rfc3030#2).
func (x *transaction) chunk() error {
	if x.src.rest != nil && x.read == nil {
		x.read = make([]byte, blockSize/2)
	}
	x.blocks.buf = append(x.blocks.buf, "BDAT "...)
	x.blocks.buf = strconv.AppendInt(x.blocks.buf, x.src.size, 10)
	x.blocks.buf = append(x.blocks.buf, " LAST\r\n"...)
	if err := x.src.writeTo(&x.blocks, x.read); err != nil {
		return err
	}
	return x.blocks.flush()
}
