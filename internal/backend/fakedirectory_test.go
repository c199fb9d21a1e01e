package backend

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/onwardmail/onward/internal/smtptest"
)

const ldapAt = "127.0.0.1:389"

// A step is what a fake directory is asked: "bind DN PASSWORD", "search BASE FILTER",
// "starttls" or "other".
type step = string

// result is what it answers.
type result struct {
	code    uint16
	text    string
	entries []string // DNs; "DN|attribute=value" with an attribute
	policy  int8     // the error of a password policy; -1: none
	silent  bool
	hangUp  bool
}

func ok() result                { return result{policy: -1} }
func refuse(code uint16) result { return result{code: code, policy: -1} }

// fakeDirectory speaks enough of LDAP.
type fakeDirectory struct {
	l      net.Listener
	answer func(step) result
	tls    *tls.Config

	mu    sync.Mutex // guards the rest
	heard []step
	conns []net.Conn
}

func newDirectory(t *testing.T, n *smtptest.Network, addr string, answer func(step) result) *fakeDirectory {
	t.Helper()
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &fakeDirectory{l: l, answer: answer}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns = append(d.conns, c)
			d.mu.Unlock()
			go d.serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); d.drop() })
	return d
}

func (d *fakeDirectory) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
}

// said returns what it heard since the last call.
func (d *fakeDirectory) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := strings.Join(d.heard, "; ")
	d.heard = nil
	return all
}

// ask reads a request.
func ask(p *ber.Packet) (step, ber.Tag) {
	op := p.Children[1]
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		return fmt.Sprintf("bind %s %s", op.Children[1].Value, op.Children[2].Data.String()), ldap.ApplicationBindResponse
	case ldap.ApplicationSearchRequest:
		filter, err := ldap.DecompileFilter(op.Children[6])
		return fmt.Sprintf("search %s %s%s", op.Children[0].Value, filter, errorText(err)), ldap.ApplicationSearchResultDone
	case ldap.ApplicationExtendedRequest:
		return "starttls", ldap.ApplicationExtendedResponse
	}
	return "other", ldap.ApplicationExtendedResponse
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (d *fakeDirectory) serve(c net.Conn) {
	defer func() { c.Close() }()
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		if p.Children[1].Tag == ldap.ApplicationUnbindRequest {
			return
		}
		s, tag := ask(p)
		d.mu.Lock()
		d.heard = append(d.heard, s)
		d.mu.Unlock()
		r := d.answer(s)
		if r.hangUp {
			return
		}
		if r.silent {
			continue
		}
		for _, e := range r.entries {
			c.Write(entry(p, e).Bytes())
		}
		c.Write(done(p, tag, r).Bytes())
		if s == "starttls" && r.code == 0 {
			c = tls.Server(c, d.tls)
		}
	}
}

func envelope(p *ber.Packet) *ber.Packet {
	e := ber.NewSequence("")
	e.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, p.Children[0].Value, ""))
	return e
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func done(p *ber.Packet, tag ber.Tag, r result) *ber.Packet {
	e := envelope(p)
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, uint64(r.code), ""))
	op.AppendChild(text(""))
	op.AppendChild(text(r.text))
	e.AppendChild(op)
	if r.policy >= 0 {
		value := ber.NewSequence("")
		value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, int64(r.policy), ""))
		control := ber.NewSequence("")
		control.AppendChild(text(ldap.ControlTypeBeheraPasswordPolicy))
		control.AppendChild(text(string(value.Bytes())))
		controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		controls.AppendChild(control)
		e.AppendChild(controls)
	}
	return e
}

func entry(p *ber.Packet, spec string) *ber.Packet {
	dn, attribute, _ := strings.Cut(spec, "|")
	e := envelope(p)
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	op.AppendChild(text(dn))
	attributes := ber.NewSequence("")
	if name, value, ok := strings.Cut(attribute, "="); ok {
		a := ber.NewSequence("")
		a.AppendChild(text(name))
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for v := range strings.SplitSeq(value, ",") {
			values.AppendChild(text(v))
		}
		a.AppendChild(values)
		attributes.AppendChild(a)
	}
	op.AppendChild(attributes)
	e.AppendChild(op)
	return e
}
