package reference

import (
	"slices"
	"strconv"
	"strings"
)

// side is what the rules know of one of the codes.
type side struct {
	shown string
	// key is the prefix of its sentences, provider the one that alone defines it.
	key, provider string
	kind          string
	// commands are those that it answers, basics the reply codes of its class
	// that an enhanced code stands behind.
	commands []string
	basics   []int
	retry    Retry
	who      Actor
	// closes and standard are facts of reply codes, "" for enhanced ones.
	closes, standard string
	enhanced         bool
	source           string
	compare          []int
	ok               bool
}

func sideOf(code string) side {
	shown, ok := Canonical(code)
	if !ok {
		return side{shown: code}
	}
	if n, err := strconv.Atoi(shown); err == nil {
		b, _ := BasicCode(n)
		commands := b.Commands
		if len(commands) == 0 { // historic, and never bound to one
			commands = []string{"any"}
		}
		return side{
			shown: shown, key: b.Key(), kind: b.Kind, commands: commands, retry: b.Retry, who: b.Who,
			closes: strings.ReplaceAll(b.Closes, " ", "-"), standard: b.Standard, source: firstSource(b.DefinedIn),
			compare: b.Compare, ok: true,
		}
	}
	s := side{shown: shown, enhanced: true, ok: true}
	class, subject, _, _ := SplitEnhanced(shown)
	var registry []int
	if e, registered := EnhancedCode(shown); registered {
		s.key, s.who, s.source, registry = e.Key(), e.Who, firstSource(e.References), e.Basic
	} else {
		own := PrivatesOf(shown)[0]
		s.key, s.provider, s.who = own.Key(), own.Provider, own.Who
		if own.With != 0 {
			registry = []int{own.With}
		}
	}
	switch class {
	case 2:
		s.kind, s.retry = "success", RetryNoNeed
	case 4:
		s.kind, s.retry = "transient", RetryYes
	case 5:
		s.kind, s.retry = "permanent", RetryNo
	}
	s.basics = basicsOf(shown, class, registry)
	s.commands = commandsOf(subject, s.basics)
	return s
}

// firstSource is where a code is defined, without what is said about it there.
func firstSource(list []string) string {
	if len(list) == 0 {
		return ""
	}
	source, _, _ := strings.Cut(list[0], " (")
	return source
}

// basicsOf lists the reply codes that an enhanced code stands behind: those
// that the registry puts beside it, and the codes that it is usual with; of its
// own class only, if it has one.
func basicsOf(shown string, class int, registry []int) []int {
	var list []int
	for _, b := range Basics() {
		if class != 0 && b.Code/100 != class {
			continue
		}
		usual := slices.ContainsFunc(b.Enhanced, func(e string) bool {
			return e == shown || class == 0 && sameEnhanced(shown, e)
		})
		if slices.Contains(registry, b.Code) || usual && b.Standard == "yes" {
			list = append(list, b.Code)
		}
	}
	return list
}

// subjectCommands are the commands at which the subjects of rfc3463#3 come up.
var subjectCommands = [...][]string{
	0: {"any"}, 1: {"MAIL", "RCPT", "delivery"}, 2: {"RCPT", "DATA", "BDAT"}, 3: {"any"}, 4: {"any"}, 5: {"any"},
	6: {"MAIL", "RCPT", "DATA", "BDAT"}, 7: {"CONNECT", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"},
}

// usualCommands are those of them that stand for a code of which no reply code
// is known.
var usualCommands = [...][]string{
	0: {"any"}, 1: {"MAIL", "RCPT"}, 2: {"RCPT", "DATA"}, 3: {"any"}, 4: {"RCPT", "DATA", "delivery"}, 5: {"any"},
	6: {"DATA", "BDAT"}, 7: {"MAIL", "RCPT", "DATA"},
}

// commandsOf lists the commands that an enhanced code answers: those of its
// reply codes, as far as its subject comes up there. One that comes with reply
// codes for logins as often as with others is about logins only; the others are
// never about one.
func commandsOf(subject int, basics []int) []string {
	if subject >= len(subjectCommands) {
		subject = 0
	}
	logins := slices.DeleteFunc(slices.Clone(basics), func(n int) bool { return !forLogin(n) })
	if len(logins)*2 >= len(basics) {
		basics = logins
	}
	allowed := subjectCommands[subject]
	all := slices.Contains(allowed, "any")
	var list []string
	for _, n := range basics {
		b, _ := BasicCode(n)
		for _, command := range b.Commands {
			fits := all || slices.Contains(allowed, command) && (command != "AUTH" || forLogin(n))
			if fits && !slices.Contains(list, command) {
				list = append(list, command)
			}
		}
	}
	if len(list) == 0 {
		return usualCommands[subject]
	}
	slices.SortStableFunc(list, func(a, b string) int { return inSession(a) - inSession(b) })
	return list
}

// forLogin reports whether a reply code answers AUTH only, or STARTTLS too.
func forLogin(n int) bool {
	b, _ := BasicCode(n)
	return slices.Contains(b.Commands, "AUTH") && len(without(b.Commands, []string{"AUTH", "STARTTLS"})) == 0
}

// session is the order in which the commands of a session come.
var session = [...]string{"CONNECT", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"}

func inSession(command string) int {
	if i := slices.Index(session[:], command); i >= 0 {
		return i
	}
	return len(session)
}

// responsibility says who has the message after the code (rfc5321#6.1,
// rfc5321#4.2.1). A success concerns one only where recipients or content are
// taken; a failure also where a session ends before it.
func responsibility(s side) string {
	has := func(commands ...string) bool {
		return slices.ContainsFunc(s.commands, func(c string) bool { return slices.Contains(commands, c) })
	}
	switch s.kind {
	case "success":
		if has("RCPT", "DATA", "BDAT") {
			return "taken"
		}
		return "untouched"
	case "intermediate":
		return "next"
	case "transient", "permanent":
		if !has("CONNECT", "MAIL", "RCPT", "DATA", "BDAT", "delivery", "any") {
			return "untouched"
		}
		if s.kind == "transient" {
			return "sender-keeps"
		}
		return "returned"
	}
	return ""
}
