package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/reference"
)

// LogRequest selects rows of the delivery log.
type LogRequest struct {
	// What is a message's id, an address ("@example.org" for a domain), or ""
	// for the newest rows of all.
	What string `json:"what,omitempty"`
	// Since is a span such as 2h or 7d, a date or a time; "" for all.
	Since string `json:"since,omitempty"`
	Limit int    `json:"limit,omitempty"` // the newest so many; 0 for queue.DefaultLimit
	Lang  string `json:"lang,omitempty"`
}

// LogEntry is one row: something that happened to a message or a recipient.
type LogEntry struct {
	At      time.Time       `json:"at"`
	Kind    queue.LogKind   `json:"kind"`
	Message string          `json:"message"`
	N       int             `json:"n,omitempty"`
	From    address.Mailbox `json:"from"`
	Address address.Mailbox `json:"address,omitzero"`
	Target  address.Mailbox `json:"target,omitzero"`
	// Private says that the owner hides Target from senders.
	Private bool `json:"private,omitempty"`
	// State is that of the recipient after it; Due the next attempt.
	State     string    `json:"state,omitempty"`
	Due       time.Time `json:"due,omitzero"`
	Attempt   *Attempt  `json:"attempt,omitempty"`
	Note      string    `json:"note,omitempty"`
	Linked    string    `json:"linked,omitempty"` // the report, or what it reports
	MessageID string    `json:"message_id,omitempty"`
}

// ShowLog tells what happened, oldest first.
func (s *Service) ShowLog(ctx context.Context, q LogRequest) ([]LogEntry, error) {
	limit, err := bounded(q.Limit, queue.DefaultLimit)
	if err != nil {
		return nil, err
	}
	f := queue.LogFilter{Limit: limit}
	if f.Since, err = ParseSince(q.Since, time.Now()); err != nil {
		return nil, err
	}
	n := 0
	switch what := strings.TrimSpace(q.What); {
	case what == "":
	case strings.Contains(what, "@"):
		f.Address = strings.Trim(what, "<>")
		if err := checkPattern(f.Address); err != nil {
			return nil, err
		}
	default:
		if f.Message, n, err = parseRecipient(what); err != nil {
			return nil, fail(Invalid, "%q is neither a message's id nor an address; ids are in «onward queue list» and in the 250 after DATA", what)
		}
	}
	rows, err := s.opt.Queue.Log(ctx, f)
	if err != nil {
		return nil, trouble("read the log", err)
	}
	if f.Message != 0 && len(rows) == 0 && f.Since.IsZero() {
		return nil, fail(NotFound, "the log has nothing about a message %s", f.Message)
	}
	lang := reference.Match(q.Lang)
	list := make([]LogEntry, 0, len(rows))
	for _, r := range rows {
		if n == 0 || r.N == 0 || r.N == n {
			list = append(list, entryOf(r, lang))
		}
	}
	slices.SortStableFunc(list, func(a, b LogEntry) int { return a.At.Compare(b.At) })
	return list, nil
}

func entryOf(r queue.LogRow, lang string) LogEntry {
	e := LogEntry{
		At: r.At, Kind: r.Kind, Message: r.Message.String(), N: r.N, From: r.From, Address: r.Address, Target: r.Target,
		Private: r.Hidden, Due: r.Due, Attempt: attempt(r.Outcome, lang), Note: r.Note, MessageID: r.MessageID,
	}
	if r.State != 0 {
		e.State = r.State.String()
	}
	if r.Linked != 0 {
		e.Linked = r.Linked.String()
	}
	return e
}
