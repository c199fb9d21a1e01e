package reference

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Actor is who has to do something. Its sentence is the key "actor.<Actor>".
type Actor string

// The actors.
const (
	Nobody         Actor = "nobody"
	SenderUser     Actor = "sender-user"
	SenderAdmin    Actor = "sender-admin"
	ServerAdmin    Actor = "server-admin"
	RecipientUser  Actor = "recipient-user"
	RecipientAdmin Actor = "recipient-admin"
	DomainOwner    Actor = "domain-owner"
	Forwarder      Actor = "forwarder"
)

// Retry says whether trying again helps. Its sentence is "retry.<Retry>".
type Retry string

// The values of Retry.
const (
	RetryNoNeed      Retry = "no-need"      // nothing failed
	RetryContinue    Retry = "continue"     // the protocol goes on
	RetryYes         Retry = "yes"          // the sender tries again unchanged
	RetryNo          Retry = "no"           // trying again unchanged is pointless
	RetryAfterChange Retry = "after-change" // works after somebody changed something
)

// Basic is a three-digit reply code.
type Basic struct {
	Code int `json:"code"`
	// Kind is success, intermediate, transient, permanent, or client-side for
	// numbers that mail programs show and no server says.
	Kind string `json:"kind"`
	// Standard is yes, historic, experimental, registry mention only, or not
	// standardized.
	Standard string `json:"standard"`
	// DefinedIn are citations such as "RFC 5321 §4.2.3".
	DefinedIn []string `json:"defined_in"`
	// Commands are those that it answers; "any" is every one, CONNECT the
	// greeting, "delivery" a sending system's own report.
	Commands []string `json:"commands"`
	// Enhanced are the enhanced codes that usually come with it.
	Enhanced []string `json:"enhanced"`
	// Closes is "yes", "no", "often" or "as greeting": whether the server
	// closes the connection after it.
	Closes string `json:"closes"`
	Retry  Retry  `json:"retry"`
	Who    Actor  `json:"who"`
	// Compare are codes that people confuse with it.
	Compare []int `json:"compare"`
}

// Key is the prefix of its sentences: .name, .meaning, .when, .fix.
func (b Basic) Key() string { return "basic." + strconv.Itoa(b.Code) }

// Enhanced is a registered enhanced status code.
type Enhanced struct {
	// Code is the registry's, such as "X.1.1".
	Code string `json:"code"`
	// Basic are the reply codes that the registry associates with it.
	Basic []int `json:"basic"`
	// References are the defining documents.
	References []string `json:"references"`
	Deprecated bool     `json:"deprecated"`
	Who        Actor    `json:"who"`
}

// Key is the prefix of its sentences: .name, .meaning, .cause, .fix.
func (e Enhanced) Key() string { return "enhanced." + e.Code }

// Private is an enhanced code, or a range of them, to which one provider has
// given a meaning of its own. It wins over the registry's.
type Private struct {
	// ID is stable, such as "microsoft-5.7.606-649".
	ID       string `json:"id"`
	Provider string `json:"provider"`
	// Shown is the code as the provider writes it.
	Shown   string `json:"shown"`
	Classes []int  `json:"classes"`
	Subject int    `json:"subject"`
	// From and To bound the detail, both included.
	From int `json:"from"`
	To   int `json:"to"`
	// With is the reply code that it must come with, 0 for any.
	With   int    `json:"with"`
	Who    Actor  `json:"who"`
	Source string `json:"source"`
}

// Key is the prefix of its sentences: .meaning, .fix.
func (p Private) Key() string { return "private." + p.ID }

// Reason is a class of causes, the same whoever says it.
type Reason struct {
	Key string `json:"key"`
	Who Actor  `json:"who"`
	// Retry is what is right when only the reason is known and the class of the
	// code does not say otherwise.
	Retry Retry `json:"retry"`
	// Passing says that the cause goes away by waiting, whatever class the
	// code has.
	Passing bool `json:"passing"`
	// Forwarded is who must act if the message was being forwarded: the sender,
	// the forwarder, or those of the target.
	Forwarded Actor `json:"forwarded"`
}

// Outcome is a trouble of our own with a delivery, where no remote reply
// exists.
type Outcome struct {
	Key string `json:"key"`
	// Enhanced is what a report says (rfc3463).
	Enhanced string `json:"enhanced"`
	// Reason is the reason class.
	Reason string `json:"reason"`
	Who    Actor  `json:"who"`
	Retry  Retry  `json:"retry"`
}

// LoginCause is why a login failed, and what the client heard of it.
type LoginCause struct {
	// Cause is that of package account, such as "wrong_password".
	Cause    string `json:"cause"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Who      Actor  `json:"who"`
	Retry    Retry  `json:"retry"`
}

// OwnFact is what is known of one of our own replies beside its entry in
// package reply.
type OwnFact struct {
	Who   Actor `json:"who"`
	Retry Retry `json:"retry"`
}

// basicFile is facts/basic.json.
type basicFile struct {
	// Matrix is, per command, the codes that may answer it (rfc5321#4.3.2).
	Matrix map[string][]int `json:"matrix"`
	// AnyCommand may answer every command.
	AnyCommand []int   `json:"any_command"`
	Codes      []Basic `json:"codes"`
}

type enhancedFile struct {
	Codes   []Enhanced `json:"codes"`
	Private []Private  `json:"private"`
}

type reasonFile struct {
	Reasons []Reason `json:"reasons"`
	// Codes names the reason of an enhanced code that leaves no doubt.
	Codes map[string]string `json:"enhanced"`
	// Vague names the likeliest reason of an enhanced or basic code that
	// leaves some.
	Vague    map[string]string `json:"vague"`
	Outcomes []Outcome         `json:"outcomes"`
	Logins   []LoginCause      `json:"logins"`
}

var (
	basics   = sync.OnceValue(decodeFacts[basicFile]("basic"))
	enhanced = sync.OnceValue(decodeFacts[enhancedFile]("enhanced"))
	reasons  = sync.OnceValue(decodeFacts[reasonFile]("reasons"))
	own      = sync.OnceValue(decodeFacts[map[string]OwnFact]("own"))
)

func decodeFacts[T any](name string) func() T {
	return func() T {
		var facts T
		data, err := factFiles.ReadFile("facts/" + name + ".json")
		if err == nil {
			err = json.Unmarshal(data, &facts)
		}
		if err != nil {
			panic(fmt.Sprintf("reference: facts %s: %v", name, err)) // embedded at build time
		}
		return facts
	}
}

// Basics lists every known reply code in numeric order. Do not change it.
func Basics() []Basic { return basics().Codes }

// BasicCode finds a reply code.
func BasicCode(code int) (Basic, bool) {
	list := basics().Codes
	i, ok := slices.BinarySearchFunc(list, code, func(b Basic, c int) int { return b.Code - c })
	if !ok {
		return Basic{}, false
	}
	return list[i], true
}

// Legal reports whether a server may answer command (EHLO, HELO, MAIL, …;
// CONNECT for the greeting, CONTENT for the end of the message) with code
// (rfc5321#4.3.2 and the extensions).
func Legal(command string, code int) bool {
	facts := basics()
	allowed, known := facts.Matrix[command]
	return known && (slices.Contains(facts.AnyCommand, code) || slices.Contains(allowed, code))
}

// Enhanceds lists the registered enhanced codes in the registry's order. Do not
// change it.
func Enhanceds() []Enhanced { return enhanced().Codes }

// Privates lists the enhanced codes that providers define. Do not change it.
func Privates() []Private { return enhanced().Private }

// SplitEnhanced reads class, subject and detail of "5.1.1"; class is 0 for
// "X.1.1".
func SplitEnhanced(code string) (class, subject, detail int, ok bool) {
	parts := strings.Split(code, ".")
	if len(parts) != 3 || len(parts[0]) != 1 {
		return 0, 0, 0, false
	}
	switch parts[0] {
	case "2", "4", "5":
		class = int(parts[0][0] - '0')
	case "X", "x":
	default:
		return 0, 0, 0, false
	}
	subject, err1 := strconv.Atoi(parts[1])
	detail, err2 := strconv.Atoi(parts[2])
	// rfc3463#2: subject and detail have one to three digits
	ok = err1 == nil && err2 == nil && subject >= 0 && detail >= 0 && len(parts[1]) <= 3 && len(parts[2]) <= 3
	return class, subject, detail, ok
}

// EnhancedCode finds the registered code of which code is an instance: "5.1.1"
// and "X.1.1" are both X.1.1 (rfc3463#2).
func EnhancedCode(code string) (Enhanced, bool) {
	_, subject, detail, ok := SplitEnhanced(code)
	if !ok {
		return Enhanced{}, false
	}
	registered := "X." + strconv.Itoa(subject) + "." + strconv.Itoa(detail)
	for _, e := range enhanced().Codes {
		if e.Code == registered {
			return e, true
		}
	}
	return Enhanced{}, false
}

// PrivateCode finds what provider means by an enhanced code. basic is the reply
// code that it came with, 0 if unknown.
func PrivateCode(provider, code string, basic int) (Private, bool) {
	class, subject, detail, ok := SplitEnhanced(code)
	if !ok || provider == "" {
		return Private{}, false
	}
	for _, p := range enhanced().Private {
		if p.Provider == provider && p.Subject == subject && detail >= p.From && detail <= p.To &&
			slices.Contains(p.Classes, class) && (p.With == 0 || p.With == basic) {
			return p, true
		}
	}
	return Private{}, false
}

// Reasons lists the reason classes. Do not change it.
func Reasons() []Reason { return reasons().Reasons }

// ReasonOf finds a reason class by its key.
func ReasonOf(key string) (Reason, bool) {
	for _, r := range reasons().Reasons {
		if r.Key == key {
			return r, true
		}
	}
	return Reason{}, false
}

// ReasonByEnhanced returns the reason that an enhanced code stands for and
// whether the code leaves no doubt of it; "" where it says nothing.
func ReasonByEnhanced(code string) (reason string, certain bool) {
	_, subject, detail, ok := SplitEnhanced(code)
	if !ok {
		return "", false
	}
	key := "X." + strconv.Itoa(subject) + "." + strconv.Itoa(detail)
	if r, ok := reasons().Codes[key]; ok {
		return r, true
	}
	return reasons().Vague[key], false
}

// ReasonByBasic returns the likeliest reason of a reply code on its own, or "".
func ReasonByBasic(code int) string { return reasons().Vague[strconv.Itoa(code)] }

// Outcomes lists the troubles of our own with deliveries. Do not change it.
func Outcomes() []Outcome { return reasons().Outcomes }

// OutcomeOf finds such a trouble by its key, such as "dns_timeout".
func OutcomeOf(key string) (Outcome, bool) {
	for _, o := range reasons().Outcomes {
		if o.Key == key {
			return o, true
		}
	}
	return Outcome{}, false
}

// LoginCauses lists the causes of a refused login. Do not change it.
func LoginCauses() []LoginCause { return reasons().Logins }
