package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// What is never searched for is stored as one value per row: a version octet,
// then the fields in order; numbers are varints, texts have their length
// before them. Moments are microseconds since 1970, 0 for none.

const codecVersion = 1

// maxDetail bounds an error's text in the log, in octets.
const maxDetail = 2000

// errDamaged means that a stored value cannot be read.
var errDamaged = errors.New("a stored value is damaged, or was written by a newer version")

// micros is the stored form of a moment.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads what micros wrote.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

type encoder struct{ b []byte }

func (e *encoder) num(v int64)      { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) octet(v byte)     { e.b = append(e.b, v) }
func (e *encoder) time(t time.Time) { e.num(micros(t)) }
func (e *encoder) text(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s)))
	e.b = append(e.b, s...)
}

// bools packs up to eight of them.
func (e *encoder) bools(v ...bool) {
	var b byte
	for i, on := range v {
		if on {
			b |= 1 << i
		}
	}
	e.octet(b)
}

func (e *encoder) mailbox(m address.Mailbox) {
	e.text(m.Local)
	e.text(m.Domain.String())
}

// edits writes a list in its own stored form.
func (e *encoder) edits(l message.EditList) {
	if len(l) == 0 {
		e.text("")
		return
	}
	e.text(string(l.Append(nil)))
}

type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errDamaged
	}
	d.b = nil
}

func (d *decoder) octet() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) num() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) raw() []byte {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(len(d.b)-n) {
		d.fail()
		return nil
	}
	s := d.b[n : n+int(v)]
	d.b = d.b[n+int(v):]
	return s
}

func (d *decoder) text() string    { return string(d.raw()) }
func (d *decoder) time() time.Time { return moment(d.num()) }

func (d *decoder) mailbox() address.Mailbox {
	m := address.Mailbox{Local: d.text()}
	if name := d.text(); name != "" {
		domain, err := address.ParseDomain(name)
		if err != nil {
			d.fail()
		}
		m.Domain = domain
	}
	return m
}

func (d *decoder) edits() message.EditList {
	l, err := message.DecodeEditList(d.raw())
	if err != nil && d.err == nil {
		d.err = err
	}
	return l
}

func (d *decoder) version() {
	if v := d.octet(); v != codecVersion {
		d.fail()
	}
}

// end returns the error of a value that must have been read to its end.
func (d *decoder) end(what string) error {
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	if d.err != nil {
		return fmt.Errorf("read %s: %w", what, d.err)
	}
	return nil
}

func encodeMessage(dst []byte, m *queue.Message) []byte {
	e := encoder{append(dst, codecVersion)}
	e.time(m.Received)
	e.mailbox(m.From)
	e.num(m.Params.Size)
	e.octet(byte(m.Params.Body))
	e.octet(byte(m.Params.Ret))
	e.bools(m.Params.UTF8, m.Params.RequireTLS, m.EightBit)
	e.text(m.Params.EnvID)
	e.text(m.Params.Auth)
	e.num(m.Size)
	e.num(int64(m.HeaderSize))
	e.edits(m.Edits)
	o := &m.Origin
	e.text(o.Service)
	if o.Remote.IsValid() {
		e.text(o.Remote.String())
	} else {
		e.text("")
	}
	for _, s := range [...]string{o.RemoteName, o.Helo, o.TLS, o.Login, o.Credential, o.Session} {
		e.text(s)
	}
	e.octet(byte(m.Basis))
	e.num(int64(m.Parent))
	e.text(m.HeaderFrom)
	e.text(m.Subject)
	e.text(m.MessageID)
	return e.b
}

func decodeMessage(id queue.ID, b []byte) (*queue.Message, error) {
	d := decoder{b: b}
	d.version()
	m := &queue.Message{ID: id}
	m.Received = d.time()
	m.From = d.mailbox()
	m.Params.Size = d.num()
	m.Params.Body = smtp.Body(d.octet())
	m.Params.Ret = smtp.Ret(d.octet())
	flags := d.octet()
	m.Params.UTF8, m.Params.RequireTLS, m.EightBit = flags&1 != 0, flags&2 != 0, flags&4 != 0
	m.Params.EnvID = d.text()
	m.Params.Auth = d.text()
	m.Size = d.num()
	m.HeaderSize = int(d.num())
	m.Edits = d.edits()
	o := &m.Origin
	o.Service = d.text()
	if remote := d.text(); remote != "" {
		ip, err := netip.ParseAddr(remote)
		if err != nil {
			d.fail()
		}
		o.Remote = ip
	}
	for _, s := range [...]*string{&o.RemoteName, &o.Helo, &o.TLS, &o.Login, &o.Credential, &o.Session} {
		*s = d.text()
	}
	m.Basis = dsn.Basis(d.octet())
	m.Parent = queue.ID(d.num())
	m.HeaderFrom = d.text()
	m.Subject = d.text()
	m.MessageID = d.text()
	return m, d.end("message " + id.String())
}

// encodeRecipient writes what never changes about a recipient.
func encodeRecipient(dst []byte, r *queue.Recipient) []byte {
	e := encoder{append(dst, codecVersion)}
	same := r.Target == r.Address
	e.bools(r.Hidden, r.Rewritten, same)
	e.mailbox(r.Address)
	if !same {
		e.mailbox(r.Target)
	}
	if r.Rewritten {
		e.mailbox(r.ReversePath)
	}
	e.octet(byte(r.Params.Notify))
	e.text(r.Params.ORcpt)
	e.edits(r.Edits)
	return e.b
}

func decodeRecipient(r *queue.Recipient, b []byte) error {
	d := decoder{b: b}
	d.version()
	flags := d.octet()
	r.Hidden, r.Rewritten = flags&1 != 0, flags&2 != 0
	r.Address = d.mailbox()
	r.Target = r.Address
	if flags&4 == 0 {
		r.Target = d.mailbox()
	}
	if r.Rewritten {
		r.ReversePath = d.mailbox()
	}
	r.Params.Notify = smtp.Notify(d.octet())
	r.Params.ORcpt = d.text()
	r.Edits = d.edits()
	return d.end("recipient " + r.ID.String())
}

// kindCode is the stored form of a queue.LogKind.
func kindCode(k queue.LogKind) byte {
	switch k {
	case queue.LogAccepted:
		return 1
	case queue.LogAttempt:
		return 2
	case queue.LogChanged:
		return 3
	}
	return 4
}

func kindOf(code byte) queue.LogKind {
	switch code {
	case 1:
		return queue.LogAccepted
	case 2:
		return queue.LogAttempt
	case 3:
		return queue.LogChanged
	}
	return queue.LogNote
}

// encodeLog writes what a log row has of its own; the rest is the message's and
// the recipient's.
func encodeLog(dst []byte, r *queue.LogRow) []byte {
	e := encoder{append(dst, codecVersion)}
	e.octet(kindCode(r.Kind))
	e.octet(byte(r.State))
	e.time(r.At)
	e.time(r.Due)
	e.num(int64(r.Linked))
	e.text(clip(r.Note))
	e.bools(r.Outcome != nil)
	if o := r.Outcome; o != nil {
		e.outcome(o)
	}
	return e.b
}

func (e *encoder) outcome(o *queue.Outcome) {
	e.octet(byte(o.Kind))
	e.octet(byte(o.Scope))
	e.time(o.At)
	e.num(int64(o.Took))
	e.num(int64(o.Attempt))
	for _, s := range [...]string{o.Host, o.Addr, o.TLS, o.Command, o.Cause, o.Status, clip(o.Detail), o.Heard.Enhanced} {
		e.text(s)
	}
	e.num(int64(o.Heard.Code))
	e.num(int64(len(o.Heard.Lines)))
	for _, l := range o.Heard.Lines {
		e.text(l)
	}
}

func (d *decoder) outcome(id queue.RecipientID) *queue.Outcome {
	o := &queue.Outcome{Recipient: id}
	o.Kind = queue.Kind(d.octet())
	o.Scope = queue.Scope(d.octet())
	o.At = d.time()
	o.Took = time.Duration(d.num())
	o.Attempt = int(d.num())
	for _, s := range [...]*string{&o.Host, &o.Addr, &o.TLS, &o.Command, &o.Cause, &o.Status, &o.Detail, &o.Heard.Enhanced} {
		*s = d.text()
	}
	o.Heard.Code = int(d.num())
	n := d.num()
	if n < 0 || n > int64(len(d.b)) {
		d.fail()
		return o
	}
	for range n {
		o.Heard.Lines = append(o.Heard.Lines, d.text())
	}
	return o
}

func decodeLog(r *queue.LogRow, b []byte) error {
	d := decoder{b: b}
	d.version()
	r.Kind = kindOf(d.octet())
	r.State = queue.State(d.octet())
	r.At = d.time()
	r.Due = d.time()
	r.Linked = queue.ID(d.num())
	r.Note = d.text()
	if d.octet()&1 != 0 {
		r.Outcome = d.outcome(queue.RecipientID{Message: r.Message, N: r.N})
	}
	return d.end("a log row of " + r.Message.String())
}

// clip bounds a text of unknown length.
func clip(s string) string {
	if len(s) > maxDetail {
		return s[:maxDetail]
	}
	return s
}
