package control

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/reference"
)

// QueueFilter selects recipients in the queue. Empty fields select all.
type QueueFilter struct {
	// Messages are ids, "8c1k…" or with a recipient "8c1k…/2".
	Messages []string `json:"messages,omitempty"`
	// From is the reverse-path: an address, "@example.org", or "<>".
	From string `json:"from,omitempty"`
	// To is an address or a target, or "@example.org" for a domain.
	To string `json:"to,omitempty"`
	// Destination is a domain, "maildir", or "route:*" as the list shows it.
	Destination string `json:"destination,omitempty"`
	// States are names of states; none: those that have not ended.
	States []string `json:"states,omitempty"`
	Limit  int      `json:"limit,omitempty"` // of a listing; 0 for queue.DefaultLimit
	// Before pages: only messages older than this id.
	Before string `json:"before,omitempty"`
	// Lang is the language of explanations.
	Lang string `json:"lang,omitempty"`
}

// QueueItem is one recipient in the queue.
type QueueItem struct {
	Message     string          `json:"message"`
	N           int             `json:"n"`
	State       string          `json:"state"`
	Pending     string          `json:"pending,omitempty"` // hold or remove, after the attempt under way
	Received    time.Time       `json:"received"`
	From        address.Mailbox `json:"from"` // "" is the null reverse-path
	Address     address.Mailbox `json:"address"`
	Target      address.Mailbox `json:"target"`
	Private     bool            `json:"private"` // the sender does not learn Target
	Destination string          `json:"destination"`
	Due         time.Time       `json:"due,omitzero"`
	Expires     time.Time       `json:"expires,omitzero"`
	Attempts    int             `json:"attempts"`
	Size        int64           `json:"size"`
	Subject     string          `json:"subject,omitempty"`
	Last        *Attempt        `json:"last,omitempty"`
}

// Attempt is what one attempt came to. What was heard is a stranger's text.
type Attempt struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	// Result is delivered, deferred or failed.
	Result  string `json:"result"`
	Took    int64  `json:"took_ms"`
	Host    string `json:"host,omitempty"`
	Addr    string `json:"addr,omitempty"`
	TLS     string `json:"tls,omitempty"`
	Command string `json:"command,omitempty"`
	// Heard is the remote's reply in one line, "" if none came; Cause then says
	// what went wrong.
	Heard    string `json:"heard,omitempty"`
	Code     int    `json:"code,omitempty"`
	Enhanced string `json:"enhanced,omitempty"`
	Cause    string `json:"cause,omitempty"`
	Status   string `json:"status,omitempty"`
	Detail   string `json:"detail,omitempty"`
	// Explanation says what it means and what to do.
	Explanation string `json:"explanation"`
}

// attempt makes the view of an outcome.
func attempt(o *queue.Outcome, lang string) *Attempt {
	if o == nil {
		return nil
	}
	a := &Attempt{
		Number: o.Attempt, At: o.At, Result: o.Kind.String(), Took: o.Took.Milliseconds(), Host: o.Host, Addr: o.Addr, TLS: o.TLS,
		Command: o.Command, Heard: o.Heard.String(), Code: o.Heard.Code, Enhanced: o.Heard.Enhanced,
		Cause: o.Cause, Status: o.Status, Detail: o.Detail,
	}
	switch {
	case o.Cause != "" && (o.Heard.IsZero() || o.Cause == "expired"):
		a.Explanation = explain.Short(explain.Trouble(o.Cause), lang)
	case !o.Heard.IsZero():
		a.Explanation = explain.Short(explain.Heard(o.Heard.Code, o.Heard.Enhanced, o.Heard.Lines, o.Host), lang)
	}
	return a
}

func item(l queue.Listed, lang string) QueueItem {
	m, r := l.Message, l.Recipient
	i := QueueItem{
		Message: m.ID.String(), N: r.ID.N, State: r.State.String(), Received: m.Received, From: m.From,
		Address: r.Address, Target: r.Target, Private: r.Hidden, Destination: string(r.Destination),
		Due: r.Due, Expires: r.Expires, Attempts: r.Attempts, Size: m.Size, Subject: m.Subject, Last: attempt(r.Last, lang),
	}
	if r.Pending != 0 {
		i.Pending = r.Pending.String()
	}
	return i
}

// filters makes one store filter for each message named, or a single one.
func (q QueueFilter) filters() ([]queue.Filter, error) {
	limit, err := bounded(q.Limit, queue.DefaultLimit)
	if err != nil {
		return nil, err
	}
	if q.From != "<>" {
		if err := checkPattern(q.From); err != nil {
			return nil, err
		}
	}
	if err := checkPattern(q.To); err != nil {
		return nil, err
	}
	f := queue.Filter{Sender: q.From, Recipient: q.To, Destination: queue.Destination(q.Destination), Limit: limit}
	for _, name := range q.States {
		if name == "all" {
			f.States = queue.States()
			break
		}
		i := slices.IndexFunc(queue.States(), func(s queue.State) bool { return s.String() == name })
		if i < 0 {
			return nil, fail(Invalid, "%q is not a state of the queue; the states are %s, or all", name, stateNames())
		}
		f.States = append(f.States, queue.States()[i])
	}
	if q.Before != "" {
		if f.Before, err = parseID(q.Before); err != nil {
			return nil, err
		}
	}
	if len(q.Messages) == 0 {
		if len(f.States) == 0 {
			f.States = []queue.State{queue.Offered, queue.Waiting, queue.Claimed, queue.Held}
		}
		return []queue.Filter{f}, nil
	}
	list := make([]queue.Filter, 0, len(q.Messages))
	for _, text := range q.Messages {
		one := f
		if one.Message, one.N, err = parseRecipient(text); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// checkPattern holds what selects by address against the forms that the store
// knows: "anna@example.org" or "@example.org".
func checkPattern(text string) error {
	if text == "" {
		return nil
	}
	if domain, whole := strings.CutPrefix(text, "@"); whole {
		_, err := parseDomain(domain)
		return err
	}
	_, err := parseMailbox(text)
	return err
}

func stateNames() string {
	var names []string
	for _, s := range queue.States() {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}

func parseID(text string) (queue.ID, error) {
	id, err := queue.ParseID(strings.TrimSpace(text))
	if err != nil {
		return 0, &Error{Kind: Invalid, Message: err.Error(), cause: err}
	}
	return id, nil
}

// parseRecipient reads "ID" or "ID/N".
func parseRecipient(text string) (queue.ID, int, error) {
	name, number, found := strings.Cut(strings.TrimSpace(text), "/")
	id, err := parseID(name)
	if err != nil || !found {
		return id, 0, err
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return 0, 0, fail(Invalid, "%q: after the slash goes the number of the recipient, from 1", text)
	}
	return id, n, nil
}

// ListQueue lists recipients, newest message first.
func (s *Service) ListQueue(ctx context.Context, q QueueFilter) ([]QueueItem, error) {
	filters, err := q.filters()
	if err != nil {
		return nil, err
	}
	lang := reference.Match(q.Lang)
	list := []QueueItem{}
	for _, f := range filters {
		found, err := s.opt.Queue.List(ctx, f)
		if err != nil {
			return nil, trouble("list the queue", err)
		}
		for _, l := range found {
			list = append(list, item(l, lang))
		}
	}
	return list, nil
}

// QueueShowRequest names one message.
type QueueShowRequest struct {
	Message string `json:"message"`
	Lang    string `json:"lang,omitempty"`
}

// QueueMessage is one message with all its recipients, ended ones too.
type QueueMessage struct {
	Message    string          `json:"message"`
	Received   time.Time       `json:"received"`
	From       address.Mailbox `json:"from"`
	HeaderFrom string          `json:"header_from,omitempty"`
	Subject    string          `json:"subject,omitempty"`
	MessageID  string          `json:"message_id,omitempty"`
	Size       int64           `json:"size"`
	Origin     queue.Origin    `json:"origin"`
	// Basis is why reports may go to From: see dsn.Basis.
	Basis      string      `json:"basis"`
	Parent     string      `json:"parent,omitempty"`
	Recipients []QueueItem `json:"recipients"`
}

// ShowQueue tells all about one message.
func (s *Service) ShowQueue(ctx context.Context, q QueueShowRequest) (QueueMessage, error) {
	id, n, err := parseRecipient(q.Message)
	if err != nil {
		return QueueMessage{}, err
	}
	found, err := s.opt.Queue.List(ctx, queue.Filter{Message: id, N: n, Limit: MaxListed})
	if err != nil {
		return QueueMessage{}, trouble("look up the message "+id.String(), err)
	}
	if len(found) == 0 {
		return QueueMessage{}, noMessage(q.Message)
	}
	m := found[0].Message
	v := QueueMessage{
		Message: m.ID.String(), Received: m.Received, From: m.From, HeaderFrom: m.HeaderFrom, Subject: m.Subject, MessageID: m.MessageID,
		Size: m.Size, Origin: m.Origin, Basis: m.Basis.String(),
	}
	if m.Parent != 0 {
		v.Parent = m.Parent.String()
	}
	for _, l := range found {
		v.Recipients = append(v.Recipients, item(l, reference.Match(q.Lang)))
	}
	return v, nil
}

func noMessage(name string) error {
	return fail(NotFound, "there is no message %s in the queue; it may have ended long ago: see what waits with «onward queue list»", name)
}

// Action is what an operator does with what is in the queue.
type Action string

// The actions.
const (
	Retry   Action = "retry"   // waiting ones are due now
	Hold    Action = "hold"    // they wait until released
	Release Action = "release" // held ones are due now
	Remove  Action = "remove"  // they end; nobody is told
)

// QueueChange does an action with all that the filter selects. A filter that
// selects nothing by itself needs All.
type QueueChange struct {
	Action Action      `json:"action"`
	Filter QueueFilter `json:"filter"`
	All    bool        `json:"all,omitempty"`
	// By says who did it, for the log; the socket knows better and replaces it.
	By string `json:"by,omitempty"`
}

// QueueChanged is what came of a QueueChange.
type QueueChanged struct {
	// Count is how many recipients were changed; Items are at most MaxShown of
	// them.
	Count int         `json:"count"`
	Items []QueueItem `json:"items"`
}

// MaxShown is how many recipients an answer to a change lists.
const MaxShown = 100

// ChangeQueue does an action with recipients in the queue.
func (s *Service) ChangeQueue(ctx context.Context, q QueueChange) (QueueChanged, error) {
	none := QueueChanged{Items: []QueueItem{}}
	f := q.Filter
	selects := len(f.Messages) > 0 || f.From != "" || f.To != "" || f.Destination != "" || len(f.States) > 0
	switch {
	case selects && q.All:
		return none, fail(Invalid, "--all stands alone; leave it or the other selection out")
	case !selects && !q.All:
		return none, fail(Invalid, "say which messages: by id, with --from, --to or --destination, or --all")
	}
	filters, err := f.filters()
	if err != nil {
		return none, err
	}
	changed := none
	for i, filter := range filters {
		filter.Limit = 0
		if len(f.States) == 0 {
			filter.States = nil // the table decides
		}
		shown, count, err := s.change(ctx, q, filter)
		if err != nil {
			return changed, err
		}
		if count == 0 && len(f.Messages) > 0 {
			if err := s.whyNot(ctx, q.Action, f.Messages[i], filter); err != nil {
				return changed, err
			}
		}
		changed.Count += count
		for _, l := range shown[:min(len(shown), MaxShown-len(changed.Items))] {
			changed.Items = append(changed.Items, item(l, reference.Match(f.Lang)))
		}
	}
	if q.Action == Retry || q.Action == Release {
		s.wake()
	}
	return changed, nil
}

// change lets the store change all that a filter selects: it does so in
// portions, and is asked until nothing is left.
func (s *Service) change(ctx context.Context, q QueueChange, f queue.Filter) (shown []queue.Listed, count int, err error) {
	by := actor(ctx)
	if by == "" {
		by = q.By
	}
	note, at := "", time.Now()
	if by != "" {
		note = "by " + by
	}
	var step func() ([]queue.Listed, error)
	switch q.Action {
	case Retry:
		step = func() ([]queue.Listed, error) { return s.opt.Queue.RetryNow(ctx, f, at, note) }
	case Hold:
		step = func() ([]queue.Listed, error) { return s.opt.Queue.Apply(ctx, f, queue.Hold, at, note) }
	case Release:
		step = func() ([]queue.Listed, error) { return s.opt.Queue.Apply(ctx, f, queue.Release, at, note) }
	case Remove:
		step = func() ([]queue.Listed, error) { return s.opt.Queue.Apply(ctx, f, queue.Remove, at, note) }
	default:
		return nil, 0, fail(Invalid, "%q is not an action; it must be retry, hold, release or remove", q.Action)
	}
	for {
		done, err := step()
		if err != nil {
			return shown, count, trouble(string(q.Action), err)
		}
		count += len(done)
		shown = append(shown, done[:min(len(done), MaxShown-len(shown))]...)
		if len(done) == 0 || f.Message != 0 {
			return shown, count, nil
		}
	}
}

// whyNot says why nothing of a message was changed.
func (s *Service) whyNot(ctx context.Context, do Action, name string, f queue.Filter) error {
	found, err := s.opt.Queue.List(ctx, queue.Filter{Message: f.Message, N: f.N, Limit: MaxListed})
	if err != nil {
		return trouble("look up the message "+name, err)
	}
	if len(found) == 0 {
		return noMessage(name)
	}
	states := map[string]int{}
	for _, l := range found {
		states[l.Recipient.State.String()]++
	}
	if do == Retry && states[queue.Waiting.String()] > 0 {
		return nil // due already
	}
	var have []string
	for _, st := range queue.States() {
		if n := states[st.String()]; n > 0 {
			have = append(have, fmt.Sprintf("%d %s", n, st))
		}
	}
	return fail(Refused, "nothing of %s can be changed by %s: its recipients are %s, and %s applies to %s",
		name, do, strings.Join(have, ", "), do, applies(do))
}

// applies names the states that an action has an effect in.
func applies(do Action) string {
	switch do {
	case Retry:
		return "waiting ones"
	case Release:
		return "held ones"
	case Hold:
		return "those that wait or are under way"
	case Remove:
		return "those that wait, are held or are under way"
	}
	return "none"
}
