package reply

// entry numbers the catalogue. Its order is that of a session; the numbers are
// not stable, the names are.
type entry uint16

const (
	none entry = iota
	greeting
	lmtpGreeting
	tooManyConnections
	tooManyFromAddress
	tooManyFromNetwork
	connectingTooOften
	addressBlocked
	loginsBlocked
	spokeFirst
	makingRoom
	serverBusy
	clientRefused
	shuttingDown
	timedOut
	tooManyErrors
	tooManyLoginFailures
	loginEnded
	hello
	extensions
	helloSyntax
	commandUnknown
	httpRefused
	lineTooLong
	notText
	syntaxError
	noArgument
	notImplemented
	helloFirst
	turnedAway
	mailFirst
	mailNested
	noRecipients
	done
	bye
	help
	tlsReady
	tlsUnavailable
	tlsActive
	tlsInTransaction
	authChallenge
	authOK
	credentialsRejected
	accountDisabled
	authUnavailable
	authNeedsTLS
	authMechanismUnknown
	authTooWeak
	passwordTransition
	authTwice
	authInTransaction
	authNotHere
	authUndecodable
	authMalformed
	authCancelled
	authLineTooLong
	authRequired
	tlsRequired
	senderOK
	tooManyMessages
	senderSyntax
	senderRefused
	senderDomainUnknown
	senderDomainUnchecked
	senderNullMX
	parameterUnknown
	parameterValue
	xclientDenied
	sendingTooFast
	messageLimit
	recipientLimit
	newRecipientLimit
	appPasswordSuspended
	messageTooLarge
	messageTooLargeContent
	storageLow
	senderNotOwned
	senderOutOfScope
	recipientOutOfScope
	nonASCIIAddress
	recipientOK
	willForward
	pleaseTry
	movedUnsayable
	mailboxUnknown
	relayDenied
	recipientRefused
	recipientSyntax
	tooManyRecipients
	forwardingLoop
	blockListed
	reverseDNSMissing
	helloRefused
	greylisted
	startContent
	binaryNeedsBdat
	queued
	tooManyReceived
	loopMark
	bareLineEnding
	headerTooLarge
	filterRefused
	filterDeferred
	filterDown
	tryLater
	tryLaterHello
	directoryDown
	cannotVerify
	expandRefused
	last
)

// cite keeps the table below readable.
func cite(c ...string) []string { return c }

// definitions is the catalogue. It is written once, here, and never changed
// while the program runs.
var definitions = [last]Definition{
	greeting:     {"greeting", 220, "", "{host} ESMTP Onward", Connect | XClient, false, cite("rfc5321#4.2", "rfc5321#3.1")},
	lmtpGreeting: {"lmtp-greeting", 220, "", "{host} LMTP Onward", Connect | XClient, false, cite("rfc2033#4")},

	tooManyConnections:   {"too-many-connections", 421, "4.3.2", "{host} has as many connections as it takes; please try again in a few minutes", Connect, true, cite("rfc5321#3.8", "rfc3463#3.4")},
	tooManyFromAddress:   {"too-many-from-address", 421, "4.7.0", "{host}: too many connections from your address; close some and try again", Connect, true, cite("rfc5321#3.8")},
	tooManyFromNetwork:   {"too-many-from-network", 421, "4.7.0", "{host}: too many connections from your network; close some and try again", Connect, true, cite("rfc5321#3.8")},
	connectingTooOften:   {"connecting-too-often", 421, "4.7.0", "{host}: too many connections from your address in a short time; come back in {wait}", Connect, true, cite("rfc5321#3.8")},
	addressBlocked:       {"address-blocked", 421, "4.7.0", "{host}: too many errors came from your address; come back in {wait}", Connect, true, cite("rfc5321#3.8")},
	loginsBlocked:        {"logins-blocked", 421, "4.7.0", "{host}: too many wrong logins came from your network; come back in {wait}", Auth | Connect, true, cite("rfc4954#4", "rfc5321#3.8")},
	spokeFirst:           {"spoke-first", 554, "5.5.0", "{host}: you spoke before the greeting; a mail server waits for it", Connect, false, cite("rfc5321#3.1", "rfc5321#4.3.1")},
	makingRoom:           {"making-room", 421, "4.3.2", "{host} is full and needs this connection for others; please try again in a few minutes", Anywhere, true, cite("rfc5321#3.8", "rfc3463#3.4")},
	serverBusy:           {"server-busy", 421, "4.3.2", "{host} is receiving as much mail as it can at a time; please try again in a few minutes", Data | Bdat, true, cite("rfc5321#3.8", "rfc3463#3.4")},
	clientRefused:        {"client-refused", 554, "5.7.1", "{host}: {text}", Connect, false, cite("rfc5321#3.1", "rfc3463#3.8")},
	shuttingDown:         {"shutting-down", 421, "4.3.2", "{host} is shutting down; please try again in a few minutes", Anywhere, true, cite("rfc5321#3.8", "rfc3463#3.4")},
	timedOut:             {"timed-out", 421, "4.4.2", "{host} has waited too long for you; closing the connection", Anywhere, true, cite("rfc5321#4.5.3.2", "rfc3463#3.5")},
	tooManyErrors:        {"too-many-errors", 421, "4.7.0", "{host}: too many errors on this connection; closing it", Anywhere, true, cite("rfc5321#3.8")},
	loginEnded:           {"login-ended", 421, "4.7.0", "{host}: what you logged in with is good no more: it was revoked, changed or switched off", Anywhere, true, cite("rfc5321#3.8")},
	tooManyLoginFailures: {"too-many-login-failures", 421, "4.7.0", "{host}: too many rejected logins on this connection; closing it", Auth, true, cite("rfc4954#4", "rfc5321#3.8")},

	hello:       {"hello", 250, "", "{host}", Helo, false, cite("rfc5321#4.1.1.1")},
	extensions:  {"extensions", 250, "", "{host}", Helo, false, cite("rfc5321#4.1.1.1")},
	helloSyntax: {"hello-syntax", 501, "5.5.4", "Say your host name or address literal after the command, as in: EHLO mail.example.org", Helo, false, cite("rfc5321#4.1.1.1")},

	commandUnknown: {"command-unknown", 500, "5.5.1", "{verb}: no such command; HELP lists those we know", Unknown, false, cite("rfc5321#4.2.4", "rfc3463#3.6")},
	httpRefused:    {"http-refused", 421, "4.7.0", "{host}: this is a mail server, not a web server; closing the connection", Unknown, true, cite("rfc5321#3.8")},
	lineTooLong:    {"line-too-long", 500, "5.5.2", "The line is too long; a command has at most 512 octets, and what its extensions add", AnyCommand | Unknown, false, cite("rfc5321#4.5.3.1.4", "rfc5321#4.5.3.1.9")},
	notText:        {"not-text", 500, "5.5.2", "The command has characters that are not text; lines end with CR LF and have no NUL or other control characters", AnyCommand | Unknown, false, cite("rfc5321#2.3.8", "rfc5321#2.4")},
	syntaxError:    {"syntax-error", 501, "5.5.4", "Cannot read that; the form is: {usage}", AnyCommand, false, cite("rfc5321#4.2.4", "rfc3463#3.6")},
	noArgument:     {"no-argument", 501, "5.5.4", "{verb} takes no argument", AnyCommand, false, cite("rfc5321#4.1.1.5", "rfc5321#4.1.1.10")},
	notImplemented: {"not-implemented", 502, "5.5.1", "{verb} is known here and not offered", Auth | Bdat | Vrfy | Expn | Help | StartTLS | Helo | Unknown, false, cite("rfc5321#4.2.4")},
	helloFirst:     {"hello-first", 503, "5.5.1", "Say EHLO first", AnyCommand, false, cite("rfc5321#4.1.4")},
	turnedAway:     {"turned-away", 503, "5.5.1", "You were refused when you connected; only QUIT is left to say", AnyCommand, false, cite("rfc5321#3.1", "rfc5321#4.3.1")},
	mailFirst:      {"mail-first", 503, "5.5.1", "Say MAIL FROM first", Rcpt | Data | Bdat, false, cite("rfc5321#3.3")},
	mailNested:     {"mail-nested", 503, "5.5.1", "A transaction is open already; finish it or say RSET", Mail | Rcpt | Data | XClient, false, cite("rfc5321#4.1.4")},
	noRecipients:   {"no-recipients", 503, "5.5.1", "No recipient has been accepted; say RCPT TO first", Data | Bdat, false, cite("rfc5321#3.3")},

	done: {"done", 250, "2.0.0", "OK", Rset | Noop | Bdat, false, cite("rfc5321#4.1.1.5", "rfc5321#4.1.1.9", "rfc3030#2")},
	bye:  {"bye", 221, "2.0.0", "{host} closes the connection; goodbye", Quit, true, cite("rfc5321#4.1.1.10")},
	help: {"help", 214, "2.0.0", "Commands: {verbs}", Help, false, cite("rfc5321#4.1.1.8")},

	tlsReady:         {"tls-ready", 220, "2.0.0", "Ready to start TLS", StartTLS, false, cite("rfc3207#4")},
	tlsUnavailable:   {"tls-unavailable", 454, "4.7.0", "TLS is not available now", StartTLS, false, cite("rfc3207#4")},
	tlsActive:        {"tls-active", 503, "5.5.1", "TLS is active already", StartTLS, false, cite("rfc3207#4.2")},
	tlsInTransaction: {"tls-in-transaction", 503, "5.5.1", "Not within a transaction; finish it or say RSET, then STARTTLS", StartTLS, false, cite("rfc3207#4")},

	authChallenge:        {"auth-challenge", 334, "", "{challenge}", Auth, false, cite("rfc4954#4")},
	authOK:               {"auth-ok", 235, "2.7.0", "Authentication successful", Auth, false, cite("rfc4954#6")},
	credentialsRejected:  {"credentials-rejected", 535, "5.7.8", "Authentication credentials invalid", Auth, false, cite("rfc4954#6", "rfc5248#2.4")},
	accountDisabled:      {"account-disabled", 525, "5.7.13", "This account is disabled; its administrator knows why", Auth, false, cite("rfc5248#2.4")},
	authUnavailable:      {"auth-unavailable", 454, "4.7.0", "Logins cannot be checked at the moment; your password was not rejected, try again in a few minutes", Auth, false, cite("rfc4954#6")},
	authNeedsTLS:         {"auth-needs-tls", 538, "5.7.11", "Encryption required: say STARTTLS before AUTH {mechanism}", Auth, false, cite("rfc4954#6", "rfc5248#2.4")},
	authMechanismUnknown: {"auth-mechanism-unknown", 504, "5.5.4", "Unknown mechanism; offered here: {offered}", Auth, false, cite("rfc4954#4")},
	authTooWeak:          {"auth-too-weak", 534, "5.7.9", "Authentication mechanism is too weak: {mechanism} is not used here; take one that the EHLO reply lists", Auth, false, cite("rfc4954#6")},
	passwordTransition:   {"password-transition", 432, "4.7.12", "A password transition is needed: log in with PLAIN or LOGIN over TLS", Auth, false, cite("rfc4954#6")},
	authTwice:            {"auth-twice", 503, "5.5.1", "You are logged in already", Auth, false, cite("rfc4954#4")},
	authInTransaction:    {"auth-in-transaction", 503, "5.5.1", "AUTH cannot be used within a transaction; finish it or say RSET", Auth, false, cite("rfc4954#4")},
	authNotHere:          {"auth-not-here", 503, "5.5.1", "No login on this port: it takes mail from other servers; users submit on port 465 or 587", Auth, false, cite("rfc6409#3.1", "rfc8314#3.3")},
	authUndecodable:      {"auth-undecodable", 501, "5.5.2", "Cannot decode that: an AUTH response is one line of base64", Auth, false, cite("rfc4954#4")},
	authMalformed:        {"auth-malformed", 501, "5.5.4", "That is not a response of the mechanism {mechanism}", Auth, false, cite("rfc4954#4", "rfc4616#2")},
	authCancelled:        {"auth-cancelled", 501, "5.7.0", "Authentication cancelled, as you asked", Auth, false, cite("rfc4954#4")},
	authLineTooLong:      {"auth-line-too-long", 500, "5.5.6", "The authentication line is too long; at most 12288 octets", Auth, false, cite("rfc4954#4", "rfc4954#6")},
	authRequired:         {"auth-required", 530, "5.7.0", "Authentication required: log in with AUTH first", Mail | Rcpt | Data | Bdat | Vrfy | Expn, false, cite("rfc4954#6", "rfc6409#4.3")},
	tlsRequired:          {"tls-required", 530, "5.7.0", "Must issue a STARTTLS command first, then log in with AUTH", Mail | Rcpt | Data | Bdat | Vrfy | Expn, false, cite("rfc3207#4", "rfc8314#3.3")},

	senderOK:               {"sender-ok", 250, "2.1.0", "Sender OK", Mail, false, cite("rfc5321#4.1.1.2")},
	tooManyMessages:        {"too-many-messages", 421, "4.5.0", "{host}: that is as many messages as one connection takes; open another", Mail, true, cite("rfc9422#4.1", "rfc5321#3.8")},
	senderSyntax:           {"sender-syntax", 501, "5.1.7", "Cannot read the sender address: {why}", Mail, false, cite("rfc5321#4.1.1.2", "rfc3463#3.2")},
	senderRefused:          {"sender-refused", 550, "5.7.1", "{sender}: {text}", Mail, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	senderDomainUnknown:    {"sender-domain-unknown", 550, "5.1.8", "{sender}: the domain does not exist or takes no mail, so nobody could be answered", Mail, false, cite("rfc5321#4.2.3", "rfc3463#3.2")},
	senderDomainUnchecked:  {"sender-domain-unchecked", 451, "4.4.3", "{sender}: the domain cannot be looked up at the moment; please try again later", Mail, false, cite("rfc5321#4.2.3", "rfc3463#3.5")},
	senderNullMX:           {"sender-null-mx", 550, "5.7.27", "{sender}: the domain says that it takes no mail", Mail, false, cite("rfc7505#4.2")},
	parameterUnknown:       {"parameter-unknown", 555, "5.5.4", "Parameter {keyword} was not offered", Mail | Rcpt, false, cite("rfc5321#4.1.1.11")},
	parameterValue:         {"parameter-value", 501, "5.5.4", "Parameter {keyword}: {rule}", Mail | Rcpt | Bdat | XClient, false, cite("rfc5321#4.1.1.11")},
	xclientDenied:          {"xclient-denied", 550, "5.7.0", "Your address may not use XCLIENT: {what}", XClient, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	sendingTooFast:         {"sending-too-fast", 451, "4.7.1", "Too many messages from your address in a short time; it goes on in {wait}", Mail, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	messageLimit:           {"message-limit", 451, "4.7.0", "The limit of {limit} messages {period} of {whose} is reached; it sends again from {time}", Mail | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	recipientLimit:         {"recipient-limit", 450, "4.7.0", "The limit of {limit} recipients {period} of {whose} is reached; it sends again from {time}", Rcpt | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	newRecipientLimit:      {"new-recipient-limit", 450, "4.7.0", "The limit of {limit} new recipients a day of {whose} is reached; it writes to others again from {time}, and to those it wrote to before at any time", Rcpt | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	appPasswordSuspended:   {"app-password-suspended", 451, "4.7.0", "The app password {name} is suspended because of an alarm; its owner sees why with: onward my usage, an administrator with: onward account usage", Mail | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	messageTooLarge:        {"message-too-large", 552, "5.3.4", "The message is larger than the {limit} octets that we take", Mail, false, cite("rfc1870#6.1", "rfc3463#3.4")},
	messageTooLargeContent: {"message-too-large-content", 552, "5.3.4", "The message is larger than the {limit} octets that we take; nothing of it was kept", Content | Bdat, false, cite("rfc1870#6.3", "rfc5321#4.5.3.1.7")},
	storageLow:             {"storage-low", 452, "4.3.1", "Not enough storage at the moment; please try again later", Mail | Rcpt | Data | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.4")},
	senderOutOfScope:       {"sender-out-of-scope", 553, "5.7.1", "App password {name} of {login} may not send as {sender}", Mail, false, cite("rfc6409#6.1")},
	recipientOutOfScope:    {"recipient-out-of-scope", 550, "5.7.1", "App password {name} of {login} may not send to {recipient}", Rcpt, false, cite("rfc6409#6.1")},
	senderNotOwned:         {"sender-not-owned", 553, "5.7.1", "{sender} is not an address that login {login} may send as: its own, those listed for it, and those forwarded to it", Mail, false, cite("rfc6409#6.1")},
	nonASCIIAddress:        {"non-ascii-address", 553, "5.6.7", "The address has characters beyond ASCII; say SMTPUTF8 in MAIL to use such an address", Mail | Rcpt | Vrfy, false, cite("rfc6531#3.5")},

	recipientOK:       {"recipient-ok", 250, "2.1.5", "Recipient OK", Rcpt | Vrfy, false, cite("rfc5321#4.1.1.3")},
	willForward:       {"will-forward", 251, "2.1.5", "User not local; will forward to {target}", Rcpt | Vrfy, false, cite("rfc5321#3.4", "rfc5321#4.2.3")},
	pleaseTry:         {"please-try", 551, "5.1.6", "User not local; please try {target}", Rcpt | Vrfy, false, cite("rfc5321#3.4", "rfc3463#3.2")},
	movedUnsayable:    {"moved-unsayable", 550, "5.1.6", "The user has moved; the new address cannot be written in ASCII, ask the user for it", Rcpt | Vrfy, false, cite("rfc5321#3.4", "rfc6531#3.5")},
	mailboxUnknown:    {"mailbox-unknown", 550, "5.1.1", "{recipient}: no such address here", Rcpt | Vrfy, false, cite("rfc5321#4.2.3", "rfc3463#3.2")},
	relayDenied:       {"relay-denied", 550, "5.7.1", "{recipient}: relaying denied: the domain is not ours and you have not logged in", Rcpt, false, cite("rfc5321#3.6.1", "rfc5321#7.9")},
	recipientRefused:  {"recipient-refused", 550, "5.7.1", "{text}", Rcpt | Vrfy, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	recipientSyntax:   {"recipient-syntax", 501, "5.1.3", "Cannot read the recipient address: {why}", Rcpt | Vrfy, false, cite("rfc5321#4.1.1.3", "rfc3463#3.2")},
	tooManyRecipients: {"too-many-recipients", 452, "4.5.3", "Too many recipients in one transaction; send to these first, the others in another", Rcpt, false, cite("rfc5321#4.5.3.1.10")},
	forwardingLoop:    {"forwarding-loop", 550, "5.4.6", "{recipient}: the forwarding leads back to itself; its owner must mend it", Rcpt, false, cite("rfc5321#6.3", "rfc3463#3.5")},

	blockListed:       {"block-listed", 550, "5.7.1", "{address} is on the block list {list}: {why}", Rcpt, false, cite("rfc5782#2.1", "rfc3463#3.8")},
	reverseDNSMissing: {"reverse-dns-missing", 550, "5.7.25", "{address} has no host name that leads back to it", Rcpt, false, cite("rfc7372#3.3", "rfc8601#3")},
	helloRefused:      {"hello-refused", 550, "5.7.1", "{name}, said after EHLO, {why}", Rcpt, false, cite("rfc5321#4.1.4", "rfc3463#3.8")},
	greylisted:        {"greylisted", 451, "4.7.1", "Not seen before; please try again in {wait}", Rcpt, false, cite("rfc6647#2.1", "rfc3463#3.8")},

	startContent:    {"start-content", 354, "", "Send the message; end it with a line that has only a dot", Data, false, cite("rfc5321#4.1.1.4")},
	binaryNeedsBdat: {"binary-needs-bdat", 503, "5.5.1", "Content with BODY=BINARYMIME is sent with BDAT, not with DATA", Data, false, cite("rfc3030#3")},
	queued:          {"queued", 250, "2.0.0", "Accepted and stored; queued as {id}", Content | Bdat, false, cite("rfc5321#4.1.1.4", "rfc5321#6.1")},
	tooManyReceived: {"too-many-received", 554, "5.4.6", "The message has passed through more than {limit} servers; it is going round in a loop", Content | Bdat, false, cite("rfc5321#6.3", "rfc3463#3.5")},
	loopMark:        {"loop-mark", 554, "5.4.6", "{recipient}: this message was forwarded from here more than once already; it is going round in a loop", Content | Bdat, false, cite("rfc5321#6.3", "rfc3463#3.5")},
	bareLineEnding:  {"bare-line-ending", 554, "5.6.0", "The message has a CR or LF that is not part of a CR LF; lines must end with CR LF", Content | Bdat, false, cite("rfc5321#2.3.8", "rfc5321#4.1.1.4")},
	headerTooLarge:  {"header-too-large", 554, "5.6.0", "The header section is larger than the {limit} octets that we take", Content | Bdat, false, cite("rfc5321#4.5.3.1.9")},
	filterRefused:   {"filter-refused", 550, "5.7.1", "Refused by a filter: {text}", Mail | Rcpt | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	filterDeferred:  {"filter-deferred", 451, "4.7.1", "Put off by a filter: {text}", Mail | Rcpt | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.8")},
	filterDown:      {"filter-down", 451, "4.3.0", "A filter that must see the message does not answer; please try again later", Mail | Rcpt | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.4")},
	tryLater:        {"try-later", 451, "4.3.0", "Something failed here and it is not your fault; please try again later", Mail | Rcpt | Data | Content | Bdat, false, cite("rfc5321#4.2.3", "rfc3463#3.4")},
	tryLaterHello:   {"try-later-hello", 421, "4.3.0", "{host}: something failed here and it is not your fault; please try again later", Anywhere, true, cite("rfc5321#3.8", "rfc3463#3.4")},
	directoryDown:   {"directory-down", 451, "4.3.0", "The address cannot be looked up at the moment; please try again later", Rcpt | Mail, false, cite("rfc5321#4.2.3", "rfc3463#3.4")},

	cannotVerify:  {"cannot-verify", 252, "2.1.5", "Cannot verify the user; send the message and we will try to deliver it", Vrfy, false, cite("rfc5321#3.5.3", "rfc5321#7.3")},
	expandRefused: {"expand-refused", 502, "5.5.1", "Lists are not expanded here", Expn, false, cite("rfc5321#3.5.2", "rfc5321#7.3")},
}
