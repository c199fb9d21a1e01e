package reply

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// legal are the codes that RFC 5321 §4.3.2 and the extensions allow at each
// stage, besides 421, which is legal anywhere, and 500, 501, 502, 503 for any
// command.
var legal = map[Stage][]int{
	Connect:  {220, 554},
	Helo:     {250, 504, 550},
	StartTLS: {220, 454},                                    // rfc3207#4
	Auth:     {235, 334, 432, 454, 504, 525, 534, 535, 538}, // rfc4954#6, rfc5248#2.4
	Mail:     {250, 451, 452, 455, 530, 550, 552, 553, 555}, // 530: rfc4954#6
	Rcpt:     {250, 251, 450, 451, 452, 455, 530, 550, 551, 552, 553, 555, 556},
	Data:     {354, 450, 451, 452, 530, 550, 552, 554},
	Content:  {250, 450, 451, 452, 550, 552, 554},
	Bdat:     {250, 450, 451, 452, 530, 550, 552, 554}, // rfc3030#2
	Rset:     {250},
	Noop:     {250},
	Quit:     {221},
	Vrfy:     {250, 251, 252, 450, 451, 530, 550, 551, 553, 556},
	Expn:     {250, 252, 451, 530, 550, 504},
	Help:     {211, 214, 504},
	XClient:  {220, 550, 554}, // the greeting of the client's connection
	Unknown:  {},
}

// TestCatalogue holds every entry against the rules that all of them keep.
func TestCatalogue(t *testing.T) {
	names := map[string]bool{}
	cite := regexp.MustCompile(`^rfc[1-9][0-9]{2,3}#[0-9A-Z]+(\.[0-9]+)*$`)
	enhanced := regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}$`)
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	for _, d := range All() {
		if !name.MatchString(d.Name) || names[d.Name] {
			t.Errorf("the name %q is malformed or given twice", d.Name)
		}
		names[d.Name] = true
		if got, ok := ByName(d.Name); !ok || !reflect.DeepEqual(got, d) {
			t.Errorf("%s is not found by its name", d.Name)
		}
		if d.Code < 200 || d.Code > 599 || d.Stages == 0 || len(d.Cites) == 0 {
			t.Errorf("%s: code %d, stages %b, citations %v", d.Name, d.Code, d.Stages, d.Cites)
		}
		switch {
		case d.Enhanced == "":
			// rfc2034#4: not in the greeting, the answer to EHLO and HELO, and 3xx.
			if d.Code/100 != 3 && d.Stages&^(Connect|Helo|XClient) != 0 {
				t.Errorf("%s lacks its enhanced code", d.Name)
			}
		case !enhanced.MatchString(d.Enhanced) || int(d.Enhanced[0]-'0') != d.Code/100:
			t.Errorf("%s: %d does not agree with %s", d.Name, d.Code, d.Enhanced)
		}
		if closes := d.Code == 421 || d.Code == 221; d.Closes != closes {
			t.Errorf("%s: closes %v, but the code is %d", d.Name, d.Closes, d.Code)
		}
		for _, c := range d.Cites {
			if !cite.MatchString(c) {
				t.Errorf("%s cites %q", d.Name, c)
			}
		}
		for s := Connect; s <= Unknown; s <<= 1 {
			if d.Stages&s == 0 || d.Code == 421 || s != Connect && s != Content && d.Code >= 500 && d.Code <= 503 {
				continue
			}
			if !slices.Contains(legal[s], d.Code) {
				t.Errorf("%s: %d is not legal at the stage %b", d.Name, d.Code, s)
			}
		}
	}
	if _, ok := ByName("no-such-reply"); ok {
		t.Error("ByName finds what is not there")
	}
}

// every calls each constructor with arguments of the worst kind.
func every(t *testing.T, text string) map[string]Reply {
	t.Helper()
	box := address.Mailbox{Local: text, Domain: address.MustDomain("example.org")}
	return map[string]Reply{
		"Greeting": Greeting(text), "LMTPGreeting": LMTPGreeting(text), "TooManyConnections": TooManyConnections(text),
		"TooManyFromAddress": TooManyFromAddress(text), "ShuttingDown": ShuttingDown(text), "TimedOut": TimedOut(text),
		"TooManyErrors": TooManyErrors(text), "TooManyLoginFailures": TooManyLoginFailures(text), "Hello": Hello(text),
		"Extensions": Extensions(text, []string{"PIPELINING", text}), "HelloSyntax": HelloSyntax(),
		"CommandUnknown": CommandUnknown(text), "HTTPRefused": HTTPRefused(text), "LineTooLong": LineTooLong(), "NotText": NotText(),
		"SyntaxError": SyntaxError(text), "NoArgument": NoArgument(text), "NotImplemented": NotImplemented(text),
		"HelloFirst": HelloFirst(), "TurnedAway": TurnedAway(), "MailFirst": MailFirst(), "MailNested": MailNested(), "NoRecipients": NoRecipients(),
		"Done": Done(), "Bye": Bye(text), "HelpText": HelpText(text, text), "TLSReady": TLSReady(), "TLSUnavailable": TLSUnavailable(),
		"TLSActive": TLSActive(), "TLSInTransaction": TLSInTransaction(), "AuthChallenge": AuthChallenge(text), "AuthOK": AuthOK(),
		"CredentialsRejected": CredentialsRejected(text), "AccountDisabled": AccountDisabled(), "AuthUnavailable": AuthUnavailable(),
		"AuthNeedsTLS": AuthNeedsTLS(text), "AuthMechanismUnknown": AuthMechanismUnknown(text),
		"AuthTooWeak": AuthTooWeak(text), "PasswordTransition": PasswordTransition(), "AuthTwice": AuthTwice(),
		"AuthInTransaction": AuthInTransaction(), "AuthNotHere": AuthNotHere(), "AuthUndecodable": AuthUndecodable(),
		"AuthMalformed": AuthMalformed(text), "AuthCancelled": AuthCancelled(), "AuthLineTooLong": AuthLineTooLong(),
		"AuthRequired": AuthRequired(), "TLSRequired": TLSRequired(), "SenderOK": SenderOK(), "SenderSyntax": SenderSyntax(text),
		"ParameterUnknown": ParameterUnknown(text), "ParameterValue": ParameterValue(text, text),
		"MessageTooLarge": MessageTooLarge(text), "MessageTooLargeContent": MessageTooLargeContent(text), "StorageLow": StorageLow(),
		"SenderNotOwned": SenderNotOwned(text, box), "SenderOutOfScope": SenderOutOfScope(text, text, text, box, []string{text}), "RecipientOutOfScope": RecipientOutOfScope(text, text, text, box, []string{text}), "LoginEnded": LoginEnded(text), "NonASCIIAddress": NonASCIIAddress(), "RecipientOK": RecipientOK(), "Verified": Verified(box),
		"WillForward": WillForward(box), "PleaseTry": PleaseTry(box), "MovedUnsayable": MovedUnsayable(),
		"MailboxUnknown": MailboxUnknown(box), "RelayDenied": RelayDenied(box), "RecipientRefused": RecipientRefused(text),
		"RecipientSyntax": RecipientSyntax(text), "TooManyRecipients": TooManyRecipients(),
		"ForwardingLoop": ForwardingLoop(box), "StartContent": StartContent(), "Queued": Queued(text),
		"TooManyReceived": TooManyReceived(text), "TooManyMessages": TooManyMessages(text), "BinaryNeedsBdat": BinaryNeedsBdat(), "TooManyFromNetwork": TooManyFromNetwork(text), "ConnectingTooOften": ConnectingTooOften(text, time.Hour), "AddressBlocked": AddressBlocked(text, time.Minute), "LoginsBlocked": LoginsBlocked(text, time.Hour), "SpokeFirst": SpokeFirst(text), "MakingRoom": MakingRoom(text), "ServerBusy": ServerBusy(text), "SendingTooFast": SendingTooFast(time.Second), "MessageLimit": MessageLimit(1, text, text, time.Time{}, time.Time{}), "RecipientLimit": RecipientLimit(1, text, text, time.Time{}, time.Time{}), "NewRecipientLimit": NewRecipientLimit(1, text, time.Time{}, time.Time{}), "AppPasswordSuspended": AppPasswordSuspended(text), "ClientRefused": ClientRefused(text, text), "SenderRefused": SenderRefused(box, text), "SenderDomainUnknown": SenderDomainUnknown(box), "SenderDomainUnchecked": SenderDomainUnchecked(box), "SenderNullMX": SenderNullMX(box),
		"BlockListed": BlockListed(text, text, text), "ReverseDNSMissing": ReverseDNSMissing(text), "HelloRefused": HelloRefused(text, text), "Greylisted": Greylisted(time.Minute), "LoopMark": LoopMark(box),
		"FilterRefused": FilterRefused(text), "FilterDeferred": FilterDeferred(text), "FilterDown": FilterDown(), "XClientDenied": XClientDenied(text), "BareLineEnding": BareLineEnding(), "HeaderTooLarge": HeaderTooLarge(text),
		"TryLater": TryLater(), "TryLaterHello": TryLaterHello(text), "DirectoryDown": DirectoryDown(), "CannotVerify": CannotVerify(),
		"ExpandRefused": ExpandRefused(),
	}
}

// TestEveryConstructorIsCalled keeps the list above complete, and finds an
// entry that nobody can say.
func TestEveryConstructorIsCalled(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	made := every(t, "x")
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() && made[fn.Name.Name].IsZero() {
			t.Errorf("%s is not in the list of this test", fn.Name.Name)
		}
	}
	said := map[string]bool{}
	for _, r := range made {
		said[r.Name()] = true
	}
	for _, d := range All() {
		if !said[d.Name] {
			t.Errorf("no constructor makes %s", d.Name)
		}
	}
}

// checkWire holds the wire form of a reply against rfc5321#4.2: lines of at
// most 512 octets of printable ASCII, each with the code, and the enhanced
// code where there is one, and a hyphen on all but the last.
func checkWire(t *testing.T, name string, r Reply) {
	t.Helper()
	wire := r.Wire()
	if string(r.Append([]byte("x"))) != "x"+wire {
		t.Errorf("%s: Append and Wire differ", name)
	}
	if !strings.HasSuffix(wire, "\r\n") {
		t.Fatalf("%s: %q does not end with CRLF", name, wire)
	}
	lines := strings.Split(strings.TrimSuffix(wire, "\r\n"), "\r\n")
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		want := strconv.Itoa(r.Code()) + sep
		if r.Enhanced() != "" {
			want += r.Enhanced() + " "
		}
		if !strings.HasPrefix(line, want) || len(line)+2 > MaxLine {
			t.Errorf("%s: the line %q, of %d octets, does not begin with %q", name, line, len(line)+2, want)
		}
		for j := 0; j < len(line); j++ {
			if line[j] < ' ' || line[j] > '~' {
				t.Errorf("%s: the line %q is not printable ASCII", name, line)
				break
			}
		}
	}
}

func TestWireForm(t *testing.T) {
	for _, text := range []string{"mx.example.org", "", "{host}", "{", "a\r\n250 injected", "\x1b[31mred\x00", "ünïcode \xff", strings.Repeat("long ", 300)} {
		for name, r := range every(t, text) {
			checkWire(t, name, r)
			if strings.Contains(r.String(), "\r") || r.String() == "" {
				t.Errorf("%s: String is %q", name, r.String())
			}
			if r.Positive() != (r.Code() < 400) || r.Temporary() != (r.Code() >= 400 && r.Code() < 500) {
				t.Errorf("%s: the code %d is taken for another kind", name, r.Code())
			}
		}
	}
}

func FuzzWireForm(f *testing.F) {
	f.Add("x\r\ny")
	f.Fuzz(func(t *testing.T, text string) {
		for name, r := range map[string]Reply{
			"SenderSyntax": SenderSyntax(text), "Extensions": Extensions(text, []string{text, text}), "ParameterValue": ParameterValue(text, text),
		} {
			checkWire(t, name, r)
		}
	})
}

// TestForwardingRepliesCanBeParsed: 251 and 551 are one line with exactly one
// address (rfc5321#4.2).
func TestForwardingRepliesCanBeParsed(t *testing.T) {
	for _, to := range []string{"anna@example.net", `"a b"@example.net`, "anna@bücher.example", "anna@[IPv6:2001:db8::1]"} {
		m := address.MustMailbox(to)
		for _, r := range []Reply{WillForward(m), PleaseTry(m)} {
			wire := r.Wire()
			if strings.Count(wire, "\r\n") != 1 || strings.Count(wire, "<") != 1 || strings.Count(wire, ">") != 1 || strings.Contains(wire, "http") {
				t.Errorf("%q cannot be parsed by clients", wire)
			}
			_, rest, _ := strings.Cut(wire, "<")
			path, _, _ := strings.Cut(rest, ">")
			if got, err := address.ParseMailbox(path); err != nil || got != m {
				t.Errorf("%q says %q, %v; want %q", wire, got, err, m)
			}
		}
	}
}

// TestTexts: a first line says what is the matter without the lines after it,
// and ends like a heading.
func TestTexts(t *testing.T) {
	for _, d := range All() {
		if d.Text == "" || strings.HasSuffix(d.Text, ".") || strings.HasSuffix(d.Text, " ") || strings.Contains(d.Text, "  ") {
			t.Errorf("%s: the text %q", d.Name, d.Text)
		}
		if strings.Count(d.Text, "{") != strings.Count(d.Text, "}") {
			t.Errorf("%s: the placeholders of %q", d.Name, d.Text)
		}
	}
}

func TestZeroReply(t *testing.T) {
	var r Reply
	if !r.IsZero() || r.String() != "no reply" {
		t.Errorf("the zero Reply is %q", r)
	}
	for name, use := range map[string]func(){
		"Wire": func() { _ = r.Wire() }, "Append": func() { r.Append(nil) }, "Code": func() { r.Code() }, "Name": func() { _ = r.Name() },
		"Enhanced": func() { _ = r.Enhanced() }, "Positive": func() { r.Positive() }, "Temporary": func() { r.Temporary() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of the zero Reply does not panic", name)
				}
			}()
			use()
		}()
	}
	if one, other := Done(), Done(); one != other || one == AuthOK() {
		t.Error("replies do not compare")
	}
	if s := bufio.NewScanner(strings.NewReader(HelpText("A", "B").String())); !s.Scan() || !strings.Contains(s.Text(), " | ") {
		t.Error("a reply of several lines is not shown in one")
	}
}

// TestRescope: the command that would allow what was refused is whole, or says that
// it is not.
func TestRescope(t *testing.T) {
	for _, tt := range []struct {
		allowed []string
		more    string
		want    string
	}{
		{[]string{"a@example.org"}, "b@example.org", "onward my app-password scope phone --sender a@example.org --sender b@example.org"},
		{[]string{"a@example.org"}, `"b c"@example.org`, "onward my app-password scope phone --sender ..."},
		{[]string{"@example.org"}, "ä@example.net", "onward my app-password scope phone --sender ..."},
		{[]string{`"a b"@example.org`}, "b@example.org", "onward my app-password scope phone --sender ..."},
		{[]string{"a*@example.org"}, "b@example.org", "onward my app-password scope phone --sender ..."},
		{slices.Repeat([]string{"a@example.org"}, 50), "b@example.org", "onward my app-password scope phone --sender ..."},
	} {
		if got := rescope("phone", "--sender", tt.allowed, tt.more); !strings.HasSuffix(got, ": "+tt.want) {
			t.Errorf("%s", got)
		}
	}
}
