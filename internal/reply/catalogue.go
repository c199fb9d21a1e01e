package reply

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Greeting occurs when a client has connected and we are ready (rfc5321#4.2).
func Greeting(hostname string) Reply { return say(greeting, hostname) }

// LMTPGreeting occurs when a client has connected to a listener for LMTP
// (rfc2033#4).
func LMTPGreeting(hostname string) Reply { return say(lmtpGreeting, hostname) }

// TooManyConnections occurs when the limit of connections of the whole server
// is reached (rfc5321#3.8).
func TooManyConnections(hostname string) Reply { return say(tooManyConnections, hostname) }

// TooManyFromAddress occurs when one client address has too many connections
// open.
func TooManyFromAddress(hostname string) Reply { return say(tooManyFromAddress, hostname) }

// TooManyFromNetwork occurs when one network has too many connections open.
func TooManyFromNetwork(hostname string) Reply { return say(tooManyFromNetwork, hostname) }

// ConnectingTooOften occurs when an address opens connections faster than it
// may.
func ConnectingTooOften(hostname string, wait time.Duration) Reply {
	return say(connectingTooOften, hostname, span(wait))
}

// AddressBlocked occurs when an address connects soon after its sessions ended
// because of errors.
func AddressBlocked(hostname string, wait time.Duration) Reply {
	return say(addressBlocked, hostname, span(wait))
}

// LoginsBlocked occurs when a network from which too many wrong secrets came
// connects or tries to log in; until is how much longer it is refused.
func LoginsBlocked(hostname string, until time.Duration) Reply {
	return say(loginsBlocked, hostname, span(until))
}

// SpokeFirst occurs when a client sends something before the greeting
// (rfc5321#4.3.1).
func SpokeFirst(hostname string) Reply { return say(spokeFirst, hostname) }

// MakingRoom occurs when the server is full and the client keeps still
// (rfc5321#3.8).
func MakingRoom(hostname string) Reply { return say(makingRoom, hostname) }

// ServerBusy occurs when as many messages are on their way in as memory is kept
// for.
func ServerBusy(hostname string) Reply { return say(serverBusy, hostname) }

// SendingTooFast occurs when an address begins messages faster than it may.
func SendingTooFast(wait time.Duration) Reply { return say(sendingTooFast, span(wait)) }

// MessageLimit occurs when a login has sent as many messages as it may. period
// is "an hour" or "a day", whose the account or the app password.
func MessageLimit(limit int, period, whose string, until, now time.Time) Reply {
	return say(messageLimit, strconv.Itoa(limit), period, whose, moment(until, now))
}

// RecipientLimit occurs when a login has written to as many recipients as it
// may.
func RecipientLimit(limit int, period, whose string, until, now time.Time) Reply {
	return say(recipientLimit, strconv.Itoa(limit), period, whose, moment(until, now))
}

// NewRecipientLimit occurs when a login has written to as many recipients to
// whom it never wrote before as it may in a day.
func NewRecipientLimit(limit int, whose string, until, now time.Time) Reply {
	return say(newRecipientLimit, strconv.Itoa(limit), whose, moment(until, now))
}

// AppPasswordSuspended occurs when the app password with which a session logged
// in has been suspended since.
func AppPasswordSuspended(name string) Reply { return say(appPasswordSuspended, name) }

// moment is a time of the day, with its date if that is another than now's.
func moment(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04 UTC")
	}
	return t.Format("15:04 UTC on 2006-01-02")
}

// span is a time to wait in words, rounded up.
func span(d time.Duration) string {
	n, unit := int64((d+time.Second-1)/time.Second), "second"
	switch {
	case d > 2*time.Hour:
		n, unit = int64((d+time.Hour-1)/time.Hour), "hour"
	case d > 2*time.Minute:
		n, unit = int64((d+time.Minute-1)/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return strconv.FormatInt(n, 10) + " " + unit
}

// ClientRefused occurs when a rule of the configuration keeps a client out; text
// is the operator's, or "".
func ClientRefused(hostname, text string) Reply {
	return say(clientRefused, hostname, or(text, "no mail is taken from your address"))
}

func or(text, ours string) string {
	if text == "" {
		return ours
	}
	return text
}

// ShuttingDown occurs when the server stops while a client is connected
// (rfc5321#3.8).
func ShuttingDown(hostname string) Reply { return say(shuttingDown, hostname) }

// TimedOut occurs when the client was silent for longer than we wait
// (rfc5321#4.5.3.2.7).
func TimedOut(hostname string) Reply { return say(timedOut, hostname) }

// TooManyErrors occurs when one connection has drawn too many 5xx replies.
func TooManyErrors(hostname string) Reply { return say(tooManyErrors, hostname) }

// TooManyLoginFailures occurs when one connection has offered wrong
// credentials too often (rfc4954#4).
func TooManyLoginFailures(hostname string) Reply { return say(tooManyLoginFailures, hostname) }

// Hello occurs as answer to HELO (rfc5321#4.1.1.1).
func Hello(hostname string) Reply { return say(hello, hostname) }

// Extensions occurs as answer to EHLO: the host name, then a keyword a line
// (rfc5321#4.1.1.1).
func Extensions(hostname string, keywords []string) Reply {
	texts := make([]string, 0, 1+len(keywords))
	texts = append(texts, hostname)
	return lines(extensions, append(texts, keywords...)...)
}

// HelloSyntax occurs when EHLO, HELO or LHLO lacks its domain or has one that
// is none (rfc5321#4.1.1.1).
func HelloSyntax() Reply { return say(helloSyntax) }

// CommandUnknown occurs when the verb of a line is no command of ours
// (rfc5321#4.2.4).
func CommandUnknown(verb string) Reply { return say(commandUnknown, verb) }

// HTTPRefused occurs when the first line is an HTTP request: somebody makes a
// web browser talk to a mail port.
func HTTPRefused(hostname string) Reply { return say(httpRefused, hostname) }

// LineTooLong occurs when a command line exceeds the limit (rfc5321#4.5.3.1.4).
func LineTooLong() Reply { return say(lineTooLong) }

// NotText occurs when a command line has NUL, a bare CR or LF, or other
// control characters in it.
func NotText() Reply { return say(notText) }

// SyntaxError occurs when the arguments of a command cannot be read; usage is
// its right form.
func SyntaxError(usage string) Reply { return say(syntaxError, usage) }

// NoArgument occurs when a command that takes no argument has one
// (rfc5321#4.1.1.5).
func NoArgument(verb string) Reply { return say(noArgument, verb) }

// NotImplemented occurs when we know a command and do not offer it
// (rfc5321#4.2.4).
func NotImplemented(verb string) Reply { return say(notImplemented, verb) }

// HelloFirst occurs when a command needs EHLO or HELO before it
// (rfc5321#4.1.4).
func HelloFirst() Reply { return say(helloFirst) }

// TurnedAway occurs when a client that was refused at the connection says
// anything but QUIT (rfc5321#3.1).
func TurnedAway() Reply { return say(turnedAway) }

// MailFirst occurs when RCPT, DATA or BDAT comes before MAIL (rfc5321#3.3).
func MailFirst() Reply { return say(mailFirst) }

// MailNested occurs when MAIL comes while a transaction is open
// (rfc5321#4.1.4), or RCPT or DATA between chunks (rfc3030#2).
func MailNested() Reply { return say(mailNested) }

// NoRecipients occurs when DATA comes and no recipient has been accepted
// (rfc5321#3.3).
func NoRecipients() Reply { return say(noRecipients) }

// Done occurs when RSET or NOOP has been carried out, or a chunk that is not the
// last has been read (rfc3030#2).
func Done() Reply { return say(done) }

// Bye occurs as answer to QUIT (rfc5321#4.1.1.10).
func Bye(hostname string) Reply { return say(bye, hostname) }

// HelpText occurs as answer to HELP (rfc5321#4.1.1.8); url is where the
// reference can be read.
func HelpText(verbs, url string) Reply {
	return lines(help, "Commands: "+verbs, "Every reply of this server is explained: "+url)
}

// TLSReady occurs when STARTTLS is accepted (rfc3207#4).
func TLSReady() Reply { return say(tlsReady) }

// TLSUnavailable occurs when STARTTLS is asked for and cannot be given now
// (rfc3207#4).
func TLSUnavailable() Reply { return say(tlsUnavailable) }

// TLSActive occurs when STARTTLS comes over TLS (rfc3207#4.2).
func TLSActive() Reply { return say(tlsActive) }

// TLSInTransaction occurs when STARTTLS comes while a transaction is open.
func TLSInTransaction() Reply { return say(tlsInTransaction) }

// AuthChallenge occurs when a mechanism has something to say; challenge is in
// base64 (rfc4954#4).
func AuthChallenge(challenge string) Reply { return lines(authChallenge, challenge) }

// AuthOK occurs when a login succeeded (rfc4954#6).
func AuthOK() Reply { return say(authOK) }

// CredentialsRejected occurs when a login failed, whatever the cause
// (rfc4954#6). It says the same for each; reference leads the owner of the
// account, and nobody else, to the true one.
func CredentialsRejected(reference string) Reply {
	r := lines(credentialsRejected,
		definitions[credentialsRejected].Text,
		ownersWords+"onward explain-login "+reference)
	r.reference = reference
	return r
}

// ownersWords stand before what leads to the cause of a rejected login.
const ownersWords = "The owner of the account can ask why: "

// AccountDisabled occurs when the right secret was given for an account that
// is switched off (rfc5248#2.4, 525 5.7.13).
func AccountDisabled() Reply { return say(accountDisabled) }

// AuthUnavailable occurs when credentials could not be checked (rfc4954#6).
func AuthUnavailable() Reply { return say(authUnavailable) }

// AuthNeedsTLS occurs when a mechanism that sends the password itself is tried
// without TLS (rfc4954#6).
func AuthNeedsTLS(mechanism string) Reply { return say(authNeedsTLS, mechanism) }

// AuthMechanismUnknown occurs when a mechanism is asked for that we do not
// have (rfc4954#4).
func AuthMechanismUnknown(offered string) Reply { return say(authMechanismUnknown, offered) }

// AuthTooWeak occurs when a mechanism is asked for that we know and that our
// policy permits to nobody, such as CRAM-MD5 (rfc4954#6). It never depends on an
// account, since none has been named yet.
func AuthTooWeak(mechanism string) Reply { return say(authTooWeak, mechanism) }

// PasswordTransition occurs when SCRAM is asked for while the administrator has
// declared a transition, in which PLAIN makes the keys that SCRAM needs
// (rfc4954#6). It is the same for every account.
func PasswordTransition() Reply { return say(passwordTransition) }

// AuthTwice occurs when AUTH comes after a successful one (rfc4954#4).
func AuthTwice() Reply { return say(authTwice) }

// AuthInTransaction occurs when AUTH comes while a transaction is open
// (rfc4954#4).
func AuthInTransaction() Reply { return say(authInTransaction) }

// AuthNotHere occurs when AUTH comes on the port for mail from other servers.
func AuthNotHere() Reply { return say(authNotHere) }

// AuthUndecodable occurs when an AUTH response is not base64 (rfc4954#4).
func AuthUndecodable() Reply { return say(authUndecodable) }

// AuthMalformed occurs when an AUTH response is base64 of something that the
// mechanism does not know (rfc4954#4).
func AuthMalformed(mechanism string) Reply { return say(authMalformed, mechanism) }

// AuthCancelled occurs when the client sent "*" (rfc4954#4).
func AuthCancelled() Reply { return say(authCancelled) }

// AuthLineTooLong occurs when an AUTH response exceeds 12288 octets
// (rfc4954#4, rfc4954#6).
func AuthLineTooLong() Reply { return say(authLineTooLong) }

// AuthRequired occurs when a command needs a login first (rfc4954#6).
func AuthRequired() Reply { return say(authRequired) }

// TLSRequired occurs when a command on the submission port needs TLS first
// (rfc3207#4).
func TLSRequired() Reply { return say(tlsRequired) }

// SenderOK occurs when MAIL is accepted.
func SenderOK() Reply { return say(senderOK) }

// SenderSyntax occurs when the reverse-path cannot be read; why names the rule.
func SenderSyntax(why string) Reply { return say(senderSyntax, why) }

// ParameterUnknown occurs when MAIL or RCPT has a parameter that we did not
// offer (rfc5321#4.1.1.11).
func ParameterUnknown(keyword string) Reply { return say(parameterUnknown, keyword) }

// SenderRefused occurs when a rule of the configuration keeps a sender out; text
// is the operator's, or "".
func SenderRefused(from address.Mailbox, text string) Reply {
	return say(senderRefused, from.Path(), or(text, "no mail is taken from this sender"))
}

// SenderDomainUnknown occurs when nobody could be answered at the sender's
// domain.
func SenderDomainUnknown(from address.Mailbox) Reply { return say(senderDomainUnknown, from.Path()) }

// SenderDomainUnchecked occurs when DNS does not answer about the sender's
// domain.
func SenderDomainUnchecked(from address.Mailbox) Reply {
	return say(senderDomainUnchecked, from.Path())
}

// SenderNullMX occurs when the sender's domain has a null MX (rfc7505#4.2).
func SenderNullMX(from address.Mailbox) Reply { return say(senderNullMX, from.Path()) }

// TooManyMessages occurs when a connection has said MAIL as often as LIMITS told
// it that it may (rfc9422#4.1).
func TooManyMessages(hostname string) Reply { return say(tooManyMessages, hostname) }

// ParameterValue occurs when a parameter's value is malformed.
func ParameterValue(keyword, rule string) Reply { return say(parameterValue, keyword, rule) }

// XClientDenied occurs when a client says XCLIENT and may not, by what rule.
func XClientDenied(what string) Reply { return say(xclientDenied, what) }

// MessageTooLarge occurs when a message is larger than we take, by SIZE at MAIL
// or really (rfc1870#6).
func MessageTooLarge(limit string) Reply { return say(messageTooLarge, limit) }

// MessageTooLargeContent is MessageTooLarge after the content
// (rfc1870#6.3).
func MessageTooLargeContent(limit string) Reply { return say(messageTooLargeContent, limit) }

// StorageLow occurs when free disk space is below the threshold
// (rfc5321#4.2.3).
func StorageLow() Reply { return say(storageLow) }

// SenderNotOwned occurs when a login may not send as the reverse-path
// (rfc6409#6.1). The second line is what would allow it.
func SenderNotOwned(login string, sender address.Mailbox) Reply {
	first := fill(definitions[senderNotOwned].Text, []string{sender.Path(), login})
	return lines(senderNotOwned, first, "An administrator may allow it: onward account identity add "+login+" "+sender.String())
}

// SenderOutOfScope occurs when an account may send as the reverse-path, and the
// app password that was used may not (rfc6409#6.1). allowed is what it may, and
// which names the app password in commands.
func SenderOutOfScope(name, which, login string, sender address.Mailbox, allowed []string) Reply {
	first := fill(definitions[senderOutOfScope].Text, []string{name, login, sender.Path()})
	return lines(senderOutOfScope, first, "It is bound to: "+strings.Join(allowed, ", "), rescope(which, "--sender", allowed, sender.String()))
}

// RecipientOutOfScope occurs when an app password is bound to recipients of
// other domains. allowed is what it may send to.
func RecipientOutOfScope(name, which, login string, recipient address.Mailbox, allowed []string) Reply {
	first := fill(definitions[recipientOutOfScope].Text, []string{name, login, recipient.Path()})
	return lines(recipientOutOfScope, first, "It is bound to: "+strings.Join(allowed, ", "), rescope(which, "--recipient-domain", allowed, recipient.Domain.String()))
}

// rescope is the command that binds an app password to one thing more, where it
// fits into a line and means the same to a shell.
func rescope(which, option string, allowed []string, more string) string {
	const (
		most   = 400 // of 512 octets with code and line end (rfc5321#4.5.3.1.5)
		quoted = " \t\"'`$\\&|;<>()[]{}*?!#~^="
	)
	command := "Its owner may change that: onward my app-password scope " + which
	whole := command
	for _, a := range append(slices.Clone(allowed), more) {
		if strings.ContainsAny(a, quoted) || clean(a, most) != a { // it would not be the same
			return command + " " + option + " ..."
		}
		whole += " " + option + " " + a
	}
	if len(whole) > most {
		return command + " " + option + " ..."
	}
	return whole
}

// LoginEnded occurs when the account or the app password that a session has
// logged in with is revoked, changed or switched off meanwhile.
func LoginEnded(hostname string) Reply { return say(loginEnded, hostname) }

// NonASCIIAddress occurs when an address needs SMTPUTF8 and the client did not
// ask for it (rfc6531#3.5).
func NonASCIIAddress() Reply { return say(nonASCIIAddress) }

// RecipientOK occurs when a recipient is accepted and nothing more is said.
func RecipientOK() Reply { return say(recipientOK) }

// Verified is RecipientOK as answer to VRFY: it must name the mailbox, in this
// form (rfc5321#3.5.1).
func Verified(m address.Mailbox) Reply {
	return lines(recipientOK, definitions[recipientOK].Text+" "+m.Path())
}

// WillForward occurs when a recipient is not local and its owner allows that
// the new address is told (rfc5321#3.4). It is one line, without a link and
// with exactly one address in brackets, because clients parse it.
func WillForward(target address.Mailbox) Reply { return say(willForward, target.Path()) }

// PleaseTry occurs when the owner of an address moved and wants senders to use
// the new one; nothing is forwarded (rfc5321#3.4).
func PleaseTry(target address.Mailbox) Reply { return say(pleaseTry, target.Path()) }

// MovedUnsayable occurs where PleaseTry would be due and the new address
// cannot be said in ASCII.
func MovedUnsayable() Reply { return say(movedUnsayable) }

// MailboxUnknown occurs when the domain is ours and the address does not exist.
func MailboxUnknown(rcpt address.Mailbox) Reply { return say(mailboxUnknown, rcpt.Path()) }

// RelayDenied occurs when the domain is not ours and the client may not relay.
func RelayDenied(rcpt address.Mailbox) Reply { return say(relayDenied, rcpt.Path()) }

// RecipientRefused occurs when the owner of an address has closed it; text is
// the owner's own.
func RecipientRefused(text string) Reply {
	return say(recipientRefused, or(text, "No mail is taken for this address"))
}

// RecipientSyntax occurs when the forward-path cannot be read.
func RecipientSyntax(why string) Reply { return say(recipientSyntax, why) }

// TooManyRecipients occurs when a transaction has as many recipients as we take
// (rfc5321#4.5.3.1.10).
func TooManyRecipients() Reply { return say(tooManyRecipients) }

// ForwardingLoop occurs when an address leads only back to itself, or through
// more forwardings of ours than we follow.
func ForwardingLoop(rcpt address.Mailbox) Reply { return say(forwardingLoop, rcpt.Path()) }

// StartContent occurs as answer to DATA.
func StartContent() Reply { return say(startContent) }

// Queued occurs when a message is on stable storage: from here on we are
// responsible (rfc5321#6.1). id is the queue id.
func Queued(id string) Reply { return say(queued, id) }

// TooManyReceived occurs when a message has passed through too many servers
// (rfc5321#6.3).
func TooManyReceived(limit string) Reply { return say(tooManyReceived, limit) }

// BlockListed occurs when a block list has the client's address; why is the
// list's, or "" (rfc5782#2.1).
func BlockListed(addr, list, why string) Reply {
	return say(blockListed, addr, list, or(why, "ask there to be taken off"))
}

// ReverseDNSMissing occurs when no host name leads back to the client's address
// (rfc7372#3.3).
func ReverseDNSMissing(addr string) Reply { return say(reverseDNSMissing, addr) }

// HelloRefused occurs when the client calls itself by a name that cannot be its
// own.
func HelloRefused(name, why string) Reply { return say(helloRefused, name, why) }

// Greylisted occurs when a client, a sender and a recipient meet for the first
// time (rfc6647#2.1).
func Greylisted(wait time.Duration) Reply { return say(greylisted, span(wait)) }

// LoopMark occurs when a message comes back to an address that has forwarded it.
func LoopMark(rcpt address.Mailbox) Reply { return say(loopMark, rcpt.Path()) }

// FilterRefused occurs when a milter refuses; text is the milter's, or "".
func FilterRefused(text string) Reply {
	return say(filterRefused, or(text, "it gave no reason"))
}

// FilterDeferred occurs when a milter wants the message later; text is the
// milter's, or "".
func FilterDeferred(text string) Reply {
	return say(filterDeferred, or(text, "it cannot decide at the moment; please try again later"))
}

// FilterDown occurs when a milter does not answer.
func FilterDown() Reply { return say(filterDown) }

// BinaryNeedsBdat occurs when DATA is said for content that has no lines
// (rfc3030#3).
func BinaryNeedsBdat() Reply { return say(binaryNeedsBdat) }

// BareLineEnding occurs when content has a CR or LF on its own
// (rfc5321#2.3.8).
func BareLineEnding() Reply { return say(bareLineEnding) }

// HeaderTooLarge occurs when the header section exceeds the limit.
func HeaderTooLarge(limit string) Reply { return say(headerTooLarge, limit) }

// TryLater occurs when something of ours failed in a way we do not know; it
// is temporary, because a defect must not bounce mail.
func TryLater() Reply { return say(tryLater) }

// TryLaterHello is TryLater where only 421 is legal.
func TryLaterHello(hostname string) Reply { return say(tryLaterHello, hostname) }

// DirectoryDown occurs when we could not look up an address.
func DirectoryDown() Reply { return say(directoryDown) }

// CannotVerify occurs as answer to VRFY: we neither confirm nor deny
// (rfc5321#7.3).
func CannotVerify() Reply { return say(cannotVerify) }

// ExpandRefused occurs as answer to EXPN (rfc5321#7.3).
func ExpandRefused() Reply { return say(expandRefused) }
