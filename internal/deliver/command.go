package deliver

import (
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// append appends the line of a command to the buffer.
func (x *transaction) append(s stage, member int) {
	b := x.blocks.buf
	switch s {
	case stageReset:
		b = append(b, "RSET"...)
	case stageMail:
		b = x.appendMail(b)
	case stageRcpt:
		b = x.appendRcpt(b, x.j.a.Recipients[x.members[member]])
	case stageData:
		b = append(b, "DATA"...)
	}
	x.blocks.buf = append(b, "\r\n"...)
}

// appendMail appends MAIL with the parameters that the server offers
// (rfc5321#4.1.1.2).
func (x *transaction) appendMail(b []byte) []byte {
	m, ext := x.j.a.Message, x.c.ext
	b = append(b, "MAIL FROM:"...)
	b = append(b, x.g.from.Path()...)
	if ext.size && !x.convert { // rfc1870#6; what conversion makes of it is not known yet
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, x.src.size, 10)
	}
	switch {
	case x.binary:
		b = append(b, " BODY=BINARYMIME"...) // rfc3030#3
	case !x.convert && ext.eightBit && (m.EightBit || m.Params.Body == smtp.Body8BitMIME):
		b = append(b, " BODY=8BITMIME"...) // rfc6152#2
	}
	if m.Params.RequireTLS {
		b = append(b, " REQUIRETLS"...) // rfc8689#4.2.1
	}
	if x.utf8 {
		b = append(b, " SMTPUTF8"...) // rfc6531#3.4
	}
	if ext.dsn { // rfc3461#5.2.1
		switch m.Params.Ret {
		case smtp.RetFull:
			b = append(b, " RET=FULL"...)
		case smtp.RetHeaders:
			b = append(b, " RET=HDRS"...)
		}
		if m.Params.EnvID != "" {
			b = append(b, " ENVID="...)
			b = append(b, smtp.EncodeXtext(m.Params.EnvID)...)
		}
	}
	if x.c.loggedIn && m.Params.Auth != "" {
		b = append(b, " AUTH=<>"...) // rfc4954#5: we do not vouch for whom the client named
	}
	return b
}

// appendRcpt appends RCPT with the parameters that the server offers
// (rfc5321#4.1.1.3).
func (x *transaction) appendRcpt(b []byte, r *queue.Recipient) []byte {
	b = append(b, "RCPT TO:"...)
	b = append(b, r.Target.Path()...)
	if !x.c.ext.dsn {
		return b
	}
	b = appendNotify(b, r) // rfc3461#5.2.1
	if kind, who, ok := strings.Cut(r.Params.ORcpt, ";"); ok && who != "" {
		b = append(b, " ORCPT="...)
		b = append(b, kind...)
		b = append(b, ';')
		if strings.EqualFold(kind, "utf-8") {
			b = append(b, who...) // rfc6533#3: kept in the encoding in which it came
		} else {
			b = append(b, smtp.EncodeXtext(who)...)
		}
	}
	return b
}

// appendNotify passes on when the sender wants a report. Where the owner hides
// the target, the next host must not report success or delay to the sender: its
// report would name the target (rfc3461#5.2.7.4). That of a failure comes to us,
// because the reverse-path of such mail is ours.
func appendNotify(b []byte, r *queue.Recipient) []byte {
	n := r.Params.Notify
	if r.Hidden && n != 0 {
		if n &= smtp.NotifyFailure; n == 0 {
			n = smtp.NotifyNever
		}
	}
	if n == 0 {
		return b
	}
	b = append(b, " NOTIFY="...)
	for _, w := range []struct {
		bit  smtp.Notify
		word string
	}{
		{smtp.NotifyNever, "NEVER"},
		{smtp.NotifySuccess, "SUCCESS"},
		{smtp.NotifyFailure, "FAILURE"},
		{smtp.NotifyDelay, "DELAY"},
	} {
		if n&w.bit != 0 {
			if b[len(b)-1] != '=' {
				b = append(b, ',')
			}
			b = append(b, w.word...)
		}
	}
	return b
}
