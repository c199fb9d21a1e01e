package web

import (
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// side is one of the three parties of a mail: where its box stands in a row.
type side int

const (
	noSide        side = iota - 1
	senderSide         // who wrote the message
	adminSide          // who runs the sending, submitting or forwarding server
	receivingSide      // the recipient, and who runs their server
)

// box is one of the three sides that may have to act.
type box struct {
	Name, Note string
	// Text says what this side does; it is empty where the reference has no
	// advice by sides at all.
	Text   prose
	Marked bool
}

// sideOf is the side on which an actor stands. The owner of a domain is on the
// receiving side, unless it is the sender's domain that is questioned.
func sideOf(who reference.Actor, sendersDomain bool) side {
	switch who {
	case reference.SenderUser:
		return senderSide
	case reference.SenderAdmin, reference.ServerAdmin, reference.Forwarder:
		return adminSide
	case reference.RecipientUser, reference.RecipientAdmin:
		return receivingSide
	case reference.DomainOwner:
		if sendersDomain {
			return adminSide
		}
		return receivingSide
	case reference.Nobody:
	}
	return noSide
}

// boxes are the three sides with what each does, the one of who marked. key is
// that of the code; its sentences .sender, .admin and .receiver exist where that
// side has something to do.
func (p *page) boxes(who reference.Actor, key string, sendersDomain bool) []box {
	marked := sideOf(who, sendersDomain)
	list := make([]box, 0, 3)
	told := false
	for i, b := range [...]struct{ word, sentence string }{{"box.sender", ".sender"}, {"box.administrator", ".admin"}, {"box.receiver", ".receiver"}} {
		text := p.prose(key + b.sentence)
		told = told || text.Text != ""
		list = append(list, box{Name: p.T(b.word), Note: p.T(b.word + "-note"), Text: text, Marked: side(i) == marked})
	}
	for i := range list {
		if told && list[i].Text.Text == "" {
			list[i].Text = prose{Text: p.T("box.nothing")}
		}
	}
	return list
}

// security reports whether an enhanced code is about security or policy, where
// the domain in question is the sender's (rfc3463#2, subject 7).
func security(code string) bool {
	_, rest, _ := strings.Cut(code, ".")
	return strings.HasPrefix(rest, "7.")
}
