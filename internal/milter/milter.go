// Package milter shows messages to filters that speak the milter protocol, such
// as rspamd, clamav-milter and opendkim, and does what they say.
//
// It promises that a filter can refuse or defer a client, a sender, a recipient
// or a message, and add, change and remove header fields; that a filter which
// does not answer in time defers the message or is passed over, as the operator
// wants; and that nothing is thrown away silently: a filter that asks for that
// (SMFIR_DISCARD), or for a quarantine, which we do not have, refuses.
//
// Bodies and envelopes are not changed. That is offered all the same: rspamd asks
// for all changes there are, whatever is offered, and clamav-milter hangs up where
// there is no quarantine. A filter that really wants such a change defers the
// message, and the log says why.
//
// The protocol is github.com/d--j/go-milter's. There is no RFC; the reference is
// the documentation of libmilter.
package milter

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/d--j/go-milter"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// Options are what a Filter needs.
type Options struct {
	// Network and Address are where the filter listens: "tcp" or "unix".
	Network, Address string
	// Hostname is what the server calls itself.
	Hostname string
	// Timeout is for each answer.
	Timeout time.Duration
	// PassOver lets mail in unseen when the filter does not answer; otherwise it
	// is deferred.
	PassOver bool
	// Dial connects; nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Log  *slog.Logger
}

// Filter implements intake.Filter. It is safe for concurrent use.
type Filter struct {
	opt    Options
	client *milter.Client
}

// New returns a Filter. It does not connect.
func New(opt Options) *Filter {
	if opt.Dial == nil {
		opt.Dial = new(net.Dialer).DialContext
	}
	return &Filter{opt: opt, client: milter.NewClient(opt.Network, opt.Address,
		milter.WithActions(milter.AllClientSupportedActionMasks),
		milter.WithReadTimeout(opt.Timeout), milter.WithWriteTimeout(opt.Timeout),
		milter.WithDialer(dialer{opt}),
	)}
}

// Begin implements intake.Filter.
func (f *Filter) Begin(_ context.Context, p *transaction.Peer, from address.Mailbox, params smtp.MailParams) (intake.Filtering, reply.Reply) {
	macros := milter.NewMacroBag()
	macros.Set(milter.MacroMTAFQDN, f.opt.Hostname)
	macros.Set(milter.MacroDaemonName, string(p.Service))
	macros.Set(milter.MacroIfAddr, p.Local.Addr().String())
	macros.Set(milter.MacroMailAddr, from.String())
	if p.TLS != nil {
		macros.Set(milter.MacroTlsVersion, p.TLS.Version)
		macros.Set(milter.MacroCipher, p.TLS.Cipher)
	}
	if p.Login != "" {
		macros.Set(milter.MacroAuthAuthen, p.Login)
		macros.Set(milter.MacroAuthType, "SASL")
	}
	s, err := f.client.Session(macros)
	v := &view{f: f, p: p, s: s, macros: macros}
	if err != nil {
		return v.failed("connect to the milter", err)
	}
	family, addr := milter.FamilyUnknown, ""
	if a := p.Remote.Addr().Unmap(); a.IsValid() {
		if family, addr = milter.FamilyInet, a.String(); a.Is6() {
			family = milter.FamilyInet6
		}
	}
	name := "[" + addr + "]" // as sendmail says it of a client without a name
	if addr == "" {
		name = "localhost"
	}
	for _, step := range []func() (*milter.Action, error){
		func() (*milter.Action, error) { return s.Conn(name, family, p.Remote.Port(), addr) },
		func() (*milter.Action, error) { return s.Helo(p.Helo) },
		func() (*milter.Action, error) { return s.Mail(from.Path(), arguments(params)) },
	} {
		act, err := step()
		if err != nil {
			return v.failed("tell the milter of the client and the sender", err)
		}
		if r := v.take(act); !r.IsZero() {
			v.Close()
			return nil, r
		}
		if v.content {
			break
		}
	}
	return v, reply.Reply{}
}

// arguments are the parameters of MAIL, as the filter sees them.
func arguments(p smtp.MailParams) string {
	var words []string
	switch p.Body {
	case smtp.Body8BitMIME:
		words = append(words, "BODY=8BITMIME")
	case smtp.BodyBinaryMIME:
		words = append(words, "BODY=BINARYMIME")
	}
	if p.UTF8 {
		words = append(words, "SMTPUTF8")
	}
	return strings.Join(words, " ")
}

// view is a transaction as the filter sees it. It belongs to one goroutine.
type view struct {
	f      *Filter
	p      *transaction.Peer
	s      *milter.ClientSession
	macros *milter.MacroBag

	content bool        // the filter is content and wants to see no more
	refusal reply.Reply // that came while the content was shown
	fields  []message.Field
	body    []byte // gathered to whole chunks
}

// chunk is how much of the body the filter gets at a time, in octets: what every
// version of the protocol can carry.
const chunk = 65535

// failed is what becomes of a message whose filter does not answer.
func (v *view) failed(doing string, err error) (intake.Filtering, reply.Reply) {
	v.f.opt.Log.Error(doing, "session", v.p.Session, "milter", v.f.opt.Address, "error", err)
	v.Close()
	if v.f.opt.PassOver {
		return nil, reply.Reply{}
	}
	return nil, reply.FilterDown()
}

// lost is failed in the middle of things.
func (v *view) lost(doing string, err error) reply.Reply {
	_, r := v.failed(doing, err)
	v.content = true
	return r
}

// take translates an action; the zero Reply goes on.
func (v *view) take(act *milter.Action) reply.Reply {
	switch act.Type {
	case milter.ActionAccept:
		v.content = true
	case milter.ActionReject, milter.ActionDiscard:
		return reply.FilterRefused(text(act.SMTPReply))
	case milter.ActionTempFail:
		return reply.FilterDeferred(text(act.SMTPReply))
	case milter.ActionRejectWithCode:
		if act.SMTPCode/100 == 4 {
			return reply.FilterDeferred(text(act.SMTPReply))
		}
		return reply.FilterRefused(text(act.SMTPReply))
	}
	return reply.Reply{}
}

// text is the first line of a reply in a filter's words, without its codes.
func text(said string) string {
	line, _, _ := strings.Cut(said, "\n")
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "2") { // of an action that is no refusal in the protocol
		return ""
	}
	if len(line) > 3 && line[0] >= '4' && line[0] <= '5' && (line[3] == ' ' || line[3] == '-') {
		line = line[4:]
	}
	if word, rest, ok := strings.Cut(line, " "); ok && strings.Count(word, ".") == 2 && strings.Trim(word, "0123456789.") == "" {
		line = rest
	}
	switch line {
	case "Command rejected", "Requested action aborted", "Service unavailable - try again later": // the library's own words
		return ""
	}
	return line
}

// Recipient implements intake.Filtering.
func (v *view) Recipient(_ context.Context, to address.Mailbox) reply.Reply {
	if v.content {
		return reply.Reply{}
	}
	v.macros.Set(milter.MacroRcptAddr, to.String())
	act, err := v.s.Rcpt(to.Path(), "")
	if err != nil {
		return v.lost("tell the milter of a recipient", err)
	}
	return v.take(act)
}

// show makes one step while the content comes; its objection is kept for End.
func (v *view) show(doing string, step func() (*milter.Action, error)) {
	if v.content || !v.refusal.IsZero() {
		return
	}
	act, err := step()
	if err != nil {
		v.refusal = v.lost(doing, err)
		return
	}
	v.refusal = v.take(act)
}

// Header implements intake.Filtering.
func (v *view) Header(_ context.Context, h message.Header) {
	v.show("show the milter the content", v.data)
	v.fields = append(v.fields[:0], h.Fields()...)
	for _, f := range v.fields {
		if f.Name() == "" {
			continue
		}
		_, value, _ := strings.Cut(string(f.Raw), ":")
		value = strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
		if !v.spaced() {
			value = strings.TrimPrefix(value, " ")
		}
		v.show("show the milter a header field", func() (*milter.Action, error) { return v.s.HeaderField(f.Name(), value, nil) })
	}
	v.show("show the milter the end of the header section", v.headerEnd)
}

func (v *view) data() (*milter.Action, error)      { return v.s.DataStart() }
func (v *view) headerEnd() (*milter.Action, error) { return v.s.HeaderEnd() }

// spaced reports whether the filter wants the white space after the colon.
func (v *view) spaced() bool { return !v.content && v.s.ProtocolOption(milter.OptHeaderLeadingSpace) }

// Body implements intake.Filtering.
func (v *view) Body(_ context.Context, p []byte) {
	for len(p) > 0 && !v.content && v.refusal.IsZero() && !v.s.Skip() {
		n := min(chunk-len(v.body), len(p))
		v.body = append(v.body, p[:n]...)
		p = p[n:]
		if len(v.body) == chunk {
			v.flush()
		}
	}
}

func (v *view) flush() {
	body := v.body
	v.body = v.body[:0]
	if len(body) > 0 {
		v.show("show the milter the body", func() (*milter.Action, error) { return v.s.BodyChunk(body) })
	}
}

// End implements intake.Filtering.
func (v *view) End(_ context.Context, queueID string) (message.EditList, reply.Reply) {
	defer v.Close()
	if !v.content && v.refusal.IsZero() && !v.s.Skip() {
		v.flush()
	}
	if v.content || !v.refusal.IsZero() {
		return nil, v.refusal
	}
	v.macros.Set(milter.MacroQueueId, queueID)
	changes, act, err := v.s.End()
	if err != nil {
		return nil, v.lost("hear the milter's verdict", err)
	}
	if r := v.take(act); !r.IsZero() {
		return nil, r
	}
	for _, c := range changes {
		switch c.Type {
		case milter.ActionAddHeader, milter.ActionInsertHeader, milter.ActionChangeHeader:
		case milter.ActionQuarantine:
			return nil, reply.FilterRefused(text(c.Reason))
		default:
			v.f.opt.Log.Error("the milter wants a change of body or envelope, which are not changed here; configure it not to",
				"session", v.p.Session, "milter", v.f.opt.Address, "change", changeName(c.Type))
			return nil, reply.FilterDeferred("it wants a change that is not made here")
		}
	}
	return v.edits(changes), reply.Reply{}
}

// changeName is a change that we do not make, for the log.
func changeName(t milter.ModifyActionType) string {
	switch t {
	case milter.ActionAddRcpt:
		return "add a recipient"
	case milter.ActionDelRcpt:
		return "remove a recipient"
	case milter.ActionReplaceBody:
		return "replace the body"
	case milter.ActionChangeFrom:
		return "change the sender"
	}
	return "unknown"
}

// edits translates changes of the header section. Fields that are added stand on
// top.
func (v *view) edits(changes []milter.ModifyAction) message.EditList {
	var list message.EditList
	rule := "milter " + v.f.opt.Address
	for _, c := range changes {
		if clean(c.HeaderName) == "" {
			continue // no field
		}
		switch c.Type {
		case milter.ActionAddHeader, milter.ActionInsertHeader:
			list = append(list, message.Edit{Kind: message.Prepend, Text: field(c.HeaderName, c.HeaderValue), Rule: rule})
		case milter.ActionChangeHeader:
			i := v.find(c.HeaderName, int(c.HeaderIndex))
			switch {
			case i >= 0 && c.HeaderValue == "":
				list = append(list, message.Edit{Kind: message.Drop, Field: i, Rule: rule})
			case i >= 0:
				list = append(list, message.Edit{Kind: message.Replace, Field: i, Text: field(c.HeaderName, c.HeaderValue), Rule: rule})
			case c.HeaderValue != "":
				list = append(list, message.Edit{Kind: message.Prepend, Text: field(c.HeaderName, c.HeaderValue), Rule: rule})
			}
		}
	}
	return list
}

// find returns the index of the n-th field of a name, from 1; -1 if there is
// none.
func (v *view) find(name string, n int) int {
	for _, f := range v.fields {
		if f.Is(name) {
			if n--; n <= 0 {
				return f.Index
			}
		}
	}
	return -1
}

// field is a whole field of a filter's name and value, which may be folded
// already. A line that would not belong to it is made to.
func field(name, value string) string {
	lines := strings.Split(strings.ReplaceAll(value, "\r", ""), "\n")
	for i := 1; i < len(lines); i++ {
		if lines[i] == "" || lines[i][0] != ' ' && lines[i][0] != '\t' {
			lines[i] = "\t" + lines[i]
		}
	}
	return clean(name) + ": " + strings.TrimLeft(strings.Join(lines, "\r\n"), " ") + "\r\n"
}

// clean is what of a name may stand in the name of a field (rfc5322#3.6.8).
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return -1
		}
		return r
	}, name)
}

// Close implements intake.Filtering.
func (v *view) Close() {
	if v.s != nil {
		_ = v.s.Close()
		v.s = nil
	}
	v.content = true
}
