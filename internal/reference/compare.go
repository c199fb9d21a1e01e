package reference

import (
	"slices"
	"strconv"
	"strings"
)

// Comparison is how two codes differ, in one language. It is made of rules over
// facts, and of notes by hand for the pairs that people really confuse.
type Comparison struct {
	A, B string
	// Language is the one asked for.
	Language string
	// Known says that both are codes of the reference.
	Known bool
	// Competing says that a server may have to choose between them: they share a
	// command.
	Competing bool
	// First is what must be said before all else: that they never compete, that
	// one is unknown.
	First       []string
	Differences []Difference
	// WhenA and WhenB say when one meets them.
	WhenA, WhenB string
	// UseWhich says when a server answers which.
	UseWhich string
	// Note is by hand, "" for most pairs.
	Note string
	// Suggestions are pairs that the reader perhaps meant.
	Suggestions [][2]string
}

// Difference is one row of the table of differences.
type Difference struct {
	// Key is the aspect's stable name, Aspect its heading.
	Key, Aspect, A, B string
	// Same says that the two do not differ in it.
	Same bool
}

// side is what the rules know of one of the codes.
type side struct {
	shown    string
	key      string
	kind     string
	commands []string
	retry    Retry
	who      Actor
	closes   string
	enhanced bool
	basics   []int
	compare  []int
	ok       bool
}

// Compare compares two codes, basic or enhanced, in any mixture. Codes that are
// not known give a Comparison that says so.
func Compare(a, b, lang string) Comparison {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	x, y := sideOf(a), sideOf(b)
	c := Comparison{A: a, B: b, Language: lang, Known: x.ok && y.ok}
	if !c.Known {
		for _, s := range [...]side{x, y} {
			if !s.ok {
				c.First = append(c.First, Fill(Say(lang, "ui.unknown-code"), "code", s.shown))
			}
		}
		c.Suggestions = suggest(x, y)
		return c
	}
	shared := sharedCommands(x, y)
	c.Competing = len(shared) > 0 && a != b && !comesWith(x, y)
	c.WhenA, c.WhenB = when(lang, x), when(lang, y)
	c.Differences = differences(lang, x, y)
	names := []string{
		"a", a, "b", b, "commands-a", commandList(lang, x), "commands-b", commandList(lang, y),
		"who-a", Say(lang, "actor."+string(x.who)), "who-b", Say(lang, "actor."+string(y.who)),
	}
	switch {
	case a == b:
		c.First = append(c.First, Fill(Say(lang, "compare.same"), names...))
	case comesWith(x, y):
		e, basic := a, b
		if y.enhanced {
			e, basic = b, a
		}
		c.First = append(c.First, Fill(Say(lang, "compare.related"), "a", e, "b", basic))
	case len(shared) == 0:
		c.First = append(c.First, Fill(Say(lang, "compare.never"), names...))
	}
	pair := pairKey(a, b)
	c.Note = Say(lang, "pair."+pair+".note")
	c.UseWhich = Say(lang, "pair."+pair+".use")
	if c.UseWhich == "" && a != b {
		c.UseWhich = useWhich(lang, x, y, c.Competing, names)
	}
	if !c.Competing {
		c.Suggestions = suggest(x, y)
	}
	return c
}

// pairKey names a pair the same in both orders.
func pairKey(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return a + "-" + b
}

func sideOf(code string) side {
	if n, err := strconv.Atoi(code); err == nil {
		b, ok := BasicCode(n)
		return side{
			shown: code, key: b.Key(), kind: b.Kind, commands: b.Commands, retry: b.Retry, who: b.Who,
			closes: strings.ReplaceAll(b.Closes, " ", "-"), compare: b.Compare, ok: ok,
		}
	}
	e, ok := EnhancedCode(code)
	s := side{shown: code, key: e.Key(), who: e.Who, closes: "no", enhanced: true, basics: e.Basic, ok: ok}
	class, _, _, _ := SplitEnhanced(code)
	for _, n := range e.Basic {
		b, known := BasicCode(n)
		if !known || class != 0 && n/100 != class {
			continue
		}
		s.compare = append(s.compare, n)
		for _, command := range b.Commands {
			if !slices.Contains(s.commands, command) {
				s.commands = append(s.commands, command)
			}
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
	return s
}

// comesWith reports that one is an enhanced code that the registry puts beside
// the other, a reply code.
func comesWith(x, y side) bool {
	if x.enhanced == y.enhanced {
		return false
	}
	e, b := x, y
	if y.enhanced {
		e, b = y, x
	}
	n, err := strconv.Atoi(b.shown)
	return err == nil && slices.Contains(e.basics, n) && (e.kind == "" || e.kind == b.kind)
}

// sharedCommands lists the commands that both may answer. A code for any
// command shares those of the other.
func sharedCommands(x, y side) []string {
	anyX, anyY := slices.Contains(x.commands, "any"), slices.Contains(y.commands, "any")
	if x.enhanced && len(x.commands) == 0 || y.enhanced && len(y.commands) == 0 {
		return []string{"any"}
	}
	if anyX && anyY {
		return []string{"any"}
	}
	if anyX {
		return y.commands
	}
	if anyY {
		return x.commands
	}
	var shared []string
	for _, command := range x.commands {
		if slices.Contains(y.commands, command) {
			shared = append(shared, command)
		}
	}
	return shared
}

func commandList(lang string, s side) string {
	if len(s.commands) == 0 || slices.Contains(s.commands, "any") {
		return Say(lang, "ui.any")
	}
	list := make([]string, len(s.commands))
	for i, command := range s.commands {
		switch command {
		case "CONNECT":
			command = Say(lang, "stage.connect")
		case "delivery":
			command = Say(lang, "stage.delivery")
		}
		list[i] = command
	}
	sep := ", "
	if lang == "ja" {
		sep = "、"
	}
	return strings.Join(list, sep)
}

func when(lang string, s side) string {
	if s.enhanced {
		return Say(lang, s.key+".cause")
	}
	return Say(lang, s.key+".when")
}

// differences is the table: name, class, commands, retry, who, connection and
// the responsibility for the message, in this order; aspects of which neither
// has anything are left out.
func differences(lang string, x, y side) []Difference {
	aspect := func(key string, of func(side) string) Difference {
		a, b := of(x), of(y)
		return Difference{Key: key, Aspect: Say(lang, "aspect."+key), A: a, B: b, Same: a == b}
	}
	say := func(prefix, key string) string {
		if key == "" {
			return "—"
		}
		return Say(lang, prefix+key)
	}
	rows := []Difference{
		aspect("name", func(s side) string { return Say(lang, s.key+".name") }),
		aspect("class", func(s side) string { return say("class.", s.kind) }),
		aspect("commands", func(s side) string { return commandList(lang, s) }),
		aspect("retry", func(s side) string { return say("retry.", string(s.retry)) }),
		aspect("who", func(s side) string { return say("actor.", string(s.who)) }),
		aspect("connection", func(s side) string { return say("connection.", s.closes) }),
		aspect("message", func(s side) string { return say("responsibility.", responsibility(s)) }),
	}
	return slices.DeleteFunc(rows, func(r Difference) bool { return r.A == "—" && r.B == "—" })
}

// responsibility says who has the message after the code (rfc5321#6.1,
// rfc5321#4.2.1). Only commands of a transaction concern one.
func responsibility(s side) string {
	concerns := slices.ContainsFunc(s.commands, func(c string) bool {
		return c == "MAIL" || c == "RCPT" || c == "DATA" || c == "BDAT" || c == "delivery" || c == "any"
	})
	switch {
	case s.kind == "" || s.kind == "client-side":
		return ""
	case !concerns && !s.enhanced:
		return "untouched"
	case s.kind == "success":
		return "taken"
	case s.kind == "intermediate":
		return "next"
	case s.kind == "transient":
		return "sender-keeps"
	default:
		return "returned"
	}
}

// useWhich derives the advice from what differs.
func useWhich(lang string, x, y side, competing bool, names []string) string {
	var advice []string
	add := func(key string, more ...string) {
		advice = append(advice, Fill(Say(lang, "compare."+key), append(slices.Clone(names), more...)...))
	}
	if !competing && !comesWith(x, y) && len(sharedCommands(x, y)) == 0 {
		add("use-never")
		return advice[0]
	}
	swapped := func(first side) []string { return []string{"a", first.shown} }
	switch {
	case x.kind != y.kind && (good(x) != good(y)):
		first, second := x, y
		if good(y) {
			first, second = y, x
		}
		advice = append(advice, Fill(Say(lang, "compare.use-class-success"), append(swapped(first), "b", second.shown)...))
	case x.kind == "transient" && y.kind == "permanent":
		advice = append(advice, Fill(Say(lang, "compare.use-class-transient"), "a", x.shown, "b", y.shown))
	case x.kind == "permanent" && y.kind == "transient":
		advice = append(advice, Fill(Say(lang, "compare.use-class-transient"), "a", y.shown, "b", x.shown))
	}
	if x.who != y.who && !good(x) && !good(y) {
		add("use-who")
	}
	if x.closes == "yes" && y.closes == "no" {
		add("use-connection")
	} else if y.closes == "yes" && x.closes == "no" {
		advice = append(advice, Fill(Say(lang, "compare.use-connection"), "a", y.shown, "b", x.shown))
	}
	if len(advice) == 0 {
		add("use-alike")
	}
	sep := " "
	if lang == "ja" {
		sep = ""
	}
	return strings.Join(advice, sep)
}

func good(s side) bool { return s.kind == "success" || s.kind == "intermediate" }

// maxSuggestions bounds the pairs that are offered.
const maxSuggestions = 4

// suggest offers the pairs that are really confused with either code.
func suggest(x, y side) [][2]string {
	var pairs [][2]string
	for _, s := range [...]side{x, y} {
		n := 0
		for _, other := range s.compare {
			o := sideOf(strconv.Itoa(other))
			if !o.ok || o.shown == x.shown || o.shown == y.shown || n == maxSuggestions/2 {
				continue
			}
			if s.enhanced || len(sharedCommands(s, o)) > 0 {
				pairs = append(pairs, [2]string{s.shown, o.shown})
				n++
			}
		}
	}
	return pairs
}
