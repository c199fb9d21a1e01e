package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// This file turns every kind of trouble into a fate. No other file sets a kind,
// a scope, a cause or a status.
//
//	what happened                          kind      scope        another host?
//	DNS: domain does not exist, null MX,   failure   destination  no
//	  no addresses, MX is ourselves
//	DNS: no answer                         trouble   destination  yes
//	connect, greeting, EHLO, TLS trouble   trouble   destination  yes
//	AUTH refused                           trouble   destination  no
//	421 at any stage                       trouble   destination  yes
//	connection lost, no reply in time      trouble   destination  yes, until the final dot
//	  after the final dot                  trouble   message      no: it may have arrived
//	4xx to MAIL                            trouble   message      yes
//	4xx to RCPT                            trouble   recipient    no
//	4xx to DATA, content                   trouble   message      no
//	5xx to MAIL, DATA, content             failure   message      no
//	5xx to RCPT                            failure   recipient    no
//	5xx that is about us, or means later   trouble   as 4xx       as 4xx
//	extension missing, too large           failure   message      no
//	ours: disk, store, shutdown, unknown   trouble   recipient    no

// stage is where in the dialogue something happened.
type stage uint8

const (
	stageDNS stage = iota
	stageConnect
	stageGreeting
	stageEHLO
	stageHELO
	stageTLS
	stageAuth
	stageReset
	stageMail
	stageRcpt
	stageData
	stageContent
	stageMaildir
)

// stageNames are the values of queue.Outcome.Command. The greeting belongs to
// "connect": nothing was said by us yet.
var stageNames = [...]string{
	stageDNS: "dns", stageConnect: "connect", stageGreeting: "connect", stageEHLO: "EHLO", stageHELO: "HELO",
	stageTLS: "STARTTLS", stageAuth: "AUTH", stageReset: "RSET", stageMail: "MAIL", stageRcpt: "RCPT", stageData: "DATA",
	stageContent: "content", stageMaildir: "maildir",
}

func (s stage) String() string { return stageNames[s] }

// fate is what a recipient, a message or a destination has come to.
type fate struct {
	kind   queue.Kind
	scope  queue.Scope
	stage  stage
	heard  smtp.Reply
	cause  string
	status string
	detail string
	// elsewhere says that another host of the destination may do better.
	elsewhere bool
	// reports says that the host reports deliveries itself, if it was asked to.
	reports bool
	// lost says that the connection is of no use any more.
	lost bool
	// rank orders fates of several hosts: the one that tells most is reported.
	rank int
}

// The ranks.
const (
	rankNothing   = iota // there is nobody to speak to; any trouble of another host outweighs it
	rankNetwork          // says something about our own network
	rankConnect          // the host did not answer
	rankBroken           // it answered, and then something broke
	rankHeard            // it said in words what is wrong
	rankDecided          // nothing else can change it
	rankInterrupt        // we were told to stop
)

// graver returns the fate that tells more; the later one of two equals.
func graver(a, b *fate) *fate {
	if a == nil || b != nil && b.rank >= a.rank {
		return b
	}
	return a
}

// accepted is the fate of a recipient whose message the remote has taken
// (rfc5321#6.1), or the mailbox.
func accepted(s stage, r smtp.Reply) *fate {
	f := &fate{kind: queue.Success, stage: s, heard: bound(r), status: "2.0.0"}
	if r.Enhanced != "" && r.Code/100 == 2 {
		f.status = r.Enhanced
	}
	return f
}

// refused is the fate by a reply that is not the one hoped for.
func refused(s stage, r smtp.Reply, h *hop) *fate {
	f := &fate{kind: queue.Trouble, stage: s, heard: bound(r), scope: queue.ScopeMessage, rank: rankHeard}
	if s == stageRcpt {
		f.scope = queue.ScopeRecipient
	}
	class := r.Code / 100
	switch {
	case r.Code == 421: // rfc5321#3.8: it closes the channel
		f.scope, f.elsewhere, f.lost = queue.ScopeDestination, true, true
	case class != 4 && class != 5:
		return unexpected(s, r)
	case s == stageTLS:
		f.scope, f.elsewhere, f.lost, f.cause = queue.ScopeDestination, true, true, "tls_failed"
	case s == stageAuth, h.isRoute() && aboutLogin(r.Code):
		// Never a reason to bounce: what the host of a route says about logins is
		// about ours.
		f.scope, f.cause, f.lost = queue.ScopeDestination, "auth_failed_smarthost", true
	case s <= stageHELO:
		// rfc5321#3.1, rfc7504#3 let a host refuse to talk at all. That is about
		// us or about that host, not about this message: the next one is asked,
		// and if none is left we come back later, as other mailers do.
		f.scope, f.elsewhere, f.lost = queue.ScopeDestination, true, true
	case s == stageReset, outOfStep(r.Code):
		f.scope, f.elsewhere, f.lost, f.cause = queue.ScopeDestination, true, true, "protocol_error"
	case class == 4, meansLater(s, r, h.key.host):
		f.elsewhere = s == stageMail
	default:
		f.kind, f.rank = queue.Failure, rankDecided
	}
	f.status = statusOf(f.kind, r)
	return f
}

// aboutLogin reports whether a code says that the login lacks or is not good
// enough (rfc4954#6).
func aboutLogin(code int) bool {
	switch code {
	case 454, 523, 525, 530, 534, 535, 538:
		return true
	}
	return false
}

// outOfStep reports whether a code says that the dialogue itself has gone wrong:
// the command is not known or not due. Every server knows those that we send,
// so something stands between or one of us has lost count; no reason to bounce.
func outOfStep(code int) bool { return code == 500 || code == 502 || code == 503 }

// meansLater reports whether a 5xx contradicts itself and means that the same
// may succeed later. Only strong evidence counts, and it never makes a 4xx final.
func meansLater(s stage, r smtp.Reply, host string) bool {
	if s == stageRcpt && r.Code == 552 && (r.Enhanced == "" || r.Enhanced == "5.5.3") {
		return true // rfc5321#4.5.3.1.10: 552 to RCPT is to be treated as 452
	}
	return explain.Heard(r.Code, r.Enhanced, r.Lines, host).Class == explain.Temporary
}

// statusOf is the enhanced status by what was heard, its class by what it means
// to us.
func statusOf(k queue.Kind, r smtp.Reply) string {
	class := "4"
	if k == queue.Failure {
		class = "5"
	}
	if _, tail, ok := strings.Cut(r.Enhanced, "."); ok {
		return class + "." + tail
	}
	return class + ".0.0"
}

// unexpected is a reply that makes no sense where it came (rfc5321#4.3.2).
func unexpected(s stage, r smtp.Reply) *fate {
	f := trouble(s, "protocol_error", "4.5.0", fmt.Errorf("the reply %d does not answer %s", r.Code, s))
	f.heard, f.lost, f.rank = bound(r), true, rankBroken
	f.scope, f.elsewhere = queue.ScopeDestination, s != stageContent
	return f
}

// trouble is a fate without a reply.
func trouble(s stage, cause, status string, err error) *fate {
	return &fate{kind: queue.Trouble, stage: s, cause: cause, status: status, detail: detailOf(err), rank: rankNetwork}
}

// failure is a fate that we decide ourselves.
func failure(s stage, scope queue.Scope, cause, status string, err error) *fate {
	return &fate{kind: queue.Failure, scope: scope, stage: s, cause: cause, status: status, detail: detailOf(err), rank: rankDecided}
}

// defect is the fate by an error that nobody foresaw.
func defect(err error) *fate {
	f := trouble(stageConnect, "local_error", "4.3.0", err)
	f.rank = rankInterrupt
	return f
}

// interrupted is the fate of what we broke off ourselves.
func interrupted(s stage, err error) *fate {
	f := trouble(s, "local_error", "4.3.2", err)
	f.rank, f.lost = rankInterrupt, true
	return f
}

// unresolved is the fate by an error of DNS about the destination's domain, or,
// if host is true, about one of its hosts.
func unresolved(err error, host bool) *fate {
	f := trouble(stageDNS, "dns_servfail", "4.4.3", err)
	f.scope, f.elsewhere, f.rank = queue.ScopeDestination, true, rankConnect
	var e *dns.Error
	switch {
	case dns.IsNotFound(err) && host:
		return noAddresses(err)
	case dns.IsNotFound(err):
		return failure(stageDNS, queue.ScopeDestination, "domain_not_found", "5.1.2", err) // rfc3463#3.2
	case errors.As(err, &e) && e.Kind == dns.Timeout, errors.Is(err, context.DeadlineExceeded):
		f.cause = "dns_timeout"
	}
	return f
}

// noAddresses is the fate where all was answered and there is nobody to speak
// to. rfc5321#5.1: MX records of which none is usable must be reported as an
// error; rfc3463#3.5 has X.4.4 for it. Other mailers bounce it at once, too.
func noAddresses(err error) *fate {
	f := failure(stageDNS, queue.ScopeDestination, "no_addresses", "5.4.4", err)
	f.elsewhere = true
	f.rank = rankNothing
	return f
}

// nullMX is the fate of mail to a domain that takes none (rfc7505#4.1).
func nullMX(domain string) *fate {
	return failure(stageDNS, queue.ScopeDestination, "null_mx", "5.1.10",
		fmt.Errorf("%s publishes a null MX: it takes no mail", domain))
}

// loopMX is the fate where the best mail exchanger is ourselves, and the
// recipient is not ours: rfc5321#5.1 wants it returned.
func loopMX(domain, host string) *fate {
	return failure(stageDNS, queue.ScopeDestination, "next_hop_loop", "5.4.6",
		fmt.Errorf("the mail exchanger of %s is this server (%s), which does not have the domain; add it with «onward domain add», or correct its MX", domain, host))
}

// loopHere is the fate where the host turns out to be ourselves by
// configuration or greeting: for the operator to mend, so mail waits.
func loopHere(s stage, err error) *fate {
	f := trouble(s, "next_hop_loop", "4.4.6", err)
	f.scope, f.lost, f.rank = queue.ScopeDestination, true, rankDecided
	return f
}

// noRoute is the fate of a destination whose route the configuration does not
// have, or not in a usable form.
func noRoute(err error) *fate {
	f := trouble(stageDNS, "local_error", "4.3.5", err)
	f.scope, f.rank = queue.ScopeDestination, rankDecided
	return f
}

// unconnected is the fate by an error of a dial.
func unconnected(ctx context.Context, err error) *fate {
	f := trouble(stageConnect, "local_error", "4.3.0", err)
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil:
		return interrupted(stageConnect, context.Cause(ctx))
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		f.cause, f.status, f.rank = "connect_refused", "4.4.1", rankConnect
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.ENETDOWN):
		f.cause, f.status = "network_unreachable", "4.4.1"
	case errors.As(err, &timeout) && timeout.Timeout():
		f.cause, f.status, f.rank = "connect_timeout", "4.4.1", rankConnect
	case isOpError(err):
		f.cause, f.status = "network_unreachable", "4.4.1"
	}
	f.scope, f.elsewhere = queue.ScopeDestination, true
	return f
}

// isOpError reports whether the network said so, and not some part of ours.
func isOpError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE)
}

// broken is the fate by an error of the connection while we waited for the
// reply to s, or wrote.
func broken(ctx context.Context, s stage, err error) *fate {
	f := trouble(s, "connection_lost", "4.4.2", err)
	f.scope, f.elsewhere, f.lost, f.rank = queue.ScopeDestination, true, true, rankBroken
	switch {
	case ctx.Err() != nil:
		f = interrupted(s, context.Cause(ctx))
	case errors.Is(err, smtp.ErrReplySyntax), errors.Is(err, smtp.ErrReplyTooLong):
		f.cause, f.status = "protocol_error", "4.5.0"
	case errors.Is(err, os.ErrDeadlineExceeded) && s == stageGreeting:
		f.cause, f.detail = "greeting_timeout", "connected, but no greeting came in time"
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.detail = "no reply to " + s.String() + " in time"
	case err == io.EOF:
		f.detail = "the server closed the connection without replying to " + s.String()
	}
	if s == stageContent {
		// The remote may have taken it: sending it to another host at once
		// would make two out of it (rfc1047).
		f.scope, f.elsewhere = queue.ScopeMessage, false
	}
	return f
}

// unread is the fate where our own content cannot be read or may not be sent.
func unread(err error) *fate {
	f := trouble(stageContent, "local_error", "4.3.0", err)
	f.scope, f.lost, f.rank = queue.ScopeMessage, true, rankDecided
	return f
}

// noTLS is the fate where TLS is wanted and missing.
func noTLS(err error) *fate {
	f := trouble(stageTLS, "tls_required", "4.7.4", err)
	f.scope, f.elsewhere, f.lost, f.rank = queue.ScopeDestination, true, true, rankBroken
	return f
}

// badTLS is the fate where TLS was begun and did not come about.
func badTLS(ctx context.Context, err error) *fate {
	if ctx.Err() != nil {
		return interrupted(stageTLS, context.Cause(ctx))
	}
	f := trouble(stageTLS, "tls_failed", "4.7.5", err)
	f.scope, f.elsewhere, f.lost, f.rank = queue.ScopeDestination, true, true, rankBroken
	return f
}

// noLogin is the fate where we cannot log in, before anything was refused.
func noLogin(err error) *fate {
	f := trouble(stageAuth, "auth_failed_smarthost", "4.7.8", err)
	f.scope, f.lost, f.rank = queue.ScopeDestination, true, rankDecided
	return f
}

// tooLarge is the fate of a message above the limit that the host has stated
// (rfc1870#6).
func tooLarge(size, limit int64) *fate {
	return failure(stageMail, queue.ScopeMessage, "size_exceeded", "5.3.4",
		fmt.Errorf("the message has %d octets, the server takes at most %d", size, limit))
}

// noUTF8 is the fate of what needs SMTPUTF8 at a host without it (rfc6531#3.6):
// of the message, or of one recipient.
func noUTF8(scope queue.Scope, what string) *fate {
	return failure(stageMail, scope, "smtputf8_unsupported", "5.6.7",
		fmt.Errorf("%s has characters beyond ASCII, and the server does not offer SMTPUTF8", what))
}

// noRequireTLS is the fate of a message with REQUIRETLS where the next host
// cannot be trusted to keep it (rfc8689#4.2.1).
func noRequireTLS(err error) *fate {
	f := failure(stageMail, queue.ScopeMessage, "requiretls_unsupported", "5.7.30", err)
	f.elsewhere = true
	return f
}

// noEightBit is the fate of what needs 8BITMIME or BINARYMIME at a host
// without it (rfc6152#3, rfc3030#3).
func noEightBit(extension string) *fate {
	return failure(stageMail, queue.ScopeMessage, "eightbit_unsupported", "5.6.3",
		fmt.Errorf("the message has 8-bit content, and %s cannot be used with the server", extension))
}

// unstored is the fate by an error of a local mailbox.
func unstored(ctx context.Context, err error) *fate {
	f := trouble(stageMaildir, "maildir_failed", "4.2.0", err)
	switch {
	case ctx.Err() != nil:
		return interrupted(stageMaildir, context.Cause(ctx))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.status = "4.3.1" // rfc3463#3.4: mail system full
	}
	return f
}

// bound keeps of a stranger's reply what an outcome has room for.
func bound(r smtp.Reply) smtp.Reply {
	room := maxHeard
	for i, line := range r.Lines {
		if room -= len(line); room < 0 {
			lines := append([]string(nil), r.Lines[:i+1]...)
			lines[i] = clip(line, len(line)+room)
			r.Lines = lines
			break
		}
	}
	return r
}

// detailOf is the technical text of an error, in one bounded line.
func detailOf(err error) string {
	if err == nil {
		return ""
	}
	oneLine := func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}
	return clip(strings.Map(oneLine, err.Error()), maxDetail)
}

// clip cuts text to n octets, at a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
