package reference

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Comparison is how two codes differ, in one language. It is made of rules over
// facts, and of notes by hand for the pairs that people really confuse.
type Comparison struct {
	A, B string
	// NameA and NameB are what the codes are called.
	NameA, NameB string
	// Language is the one asked for.
	Language string
	// Known says that both are codes of the reference.
	Known bool
	// Relation is how the two stand to each other.
	Relation Relation
	// Competing says that a server may have to choose between them: two reply
	// codes, or two enhanced codes, that share a command.
	Competing bool
	// First is what must be said before all else: that they never compete, that
	// one is unknown.
	First []string
	// KeyDifferences are sentences, the weightiest first. Each stands for itself
	// and names at least one of the codes.
	KeyDifferences []string
	// Differences are the same facts and some more as a table.
	Differences []Difference
	// WhenA and WhenB say when one meets them.
	WhenA, WhenB string
	// UseWhich says when a server answers which.
	UseWhich string
	// Note is by hand, "" for most pairs.
	Note string
	// Suggestions are pairs that the reader perhaps meant. Both of each compete.
	Suggestions [][2]string
}

// Difference is one row of the table of differences.
type Difference struct {
	// Key is the aspect's stable name, Aspect its heading.
	Key, Aspect, A, B string
	// Same says that the two do not differ in it.
	Same bool
}

// Relation is how two codes stand to each other.
type Relation string

// The relations. Only [RelationCompeting] ones are alternatives for a server.
const (
	RelationCompeting Relation = "competing" // they share a command
	RelationApart     Relation = "apart"     // they answer different commands
	RelationTogether  Relation = "together"  // reply code and enhanced code that stand in one reply
	RelationUnusual   Relation = "unusual"   // reply code and enhanced code of one class that seldom meet
	RelationExcluded  Relation = "excluded"  // reply code and enhanced code of different classes
	RelationAside     Relation = "aside"     // a mail program's own number, and any other
	RelationIdentical Relation = "same"      // one code
	RelationInstance  Relation = "instance"  // X.1.1 and 5.1.1
	RelationUnknown   Relation = "unknown"   // one of them is no code
)

// Compare compares two codes, basic or enhanced, in any mixture. Codes that are
// not known give a Comparison that says so.
func Compare(a, b, lang string) Comparison {
	p := pairOf(strings.TrimSpace(a), strings.TrimSpace(b), lang)
	c := Comparison{A: p.a.shown, B: p.b.shown, Language: lang, Known: p.relation != RelationUnknown, Relation: p.relation}
	c.First = p.first()
	if !c.Known {
		c.Suggestions = p.suggest()
		return c
	}
	c.NameA, c.NameB = p.name(p.a), p.name(p.b)
	c.Competing = p.relation == RelationCompeting
	c.WhenA, c.WhenB = p.when(p.a), p.when(p.b)
	c.Differences = p.table()
	c.KeyDifferences = p.keyDifferences()
	c.Note, c.UseWhich = p.byHand()
	if c.UseWhich == "" {
		c.UseWhich = p.useWhich()
	}
	if !c.Competing {
		c.Suggestions = p.suggest()
	}
	return c
}

// pair is two codes and the language in which they are compared.
type pair struct {
	a, b     side
	lang     string
	relation Relation
	// shared are the commands that both may answer.
	shared []string
}

func pairOf(a, b, lang string) pair {
	p := pair{a: sideOf(a), b: sideOf(b), lang: lang}
	p.shared = sharedCommands(p.a, p.b)
	p.relation = p.relate()
	return p
}

func (p pair) relate() Relation {
	switch {
	case !p.a.ok || !p.b.ok:
		return RelationUnknown
	case p.a.shown == p.b.shown:
		return RelationIdentical
	case p.a.enhanced && p.b.enhanced && p.a.shown[1:] == p.b.shown[1:] && (p.a.kind == "" || p.b.kind == ""):
		return RelationInstance
	case p.a.kind == clientSide || p.b.kind == clientSide:
		return RelationAside
	case p.a.enhanced != p.b.enhanced:
		e, basic := p.mixture()
		n, _ := strconv.Atoi(basic.shown)
		switch {
		case slices.Contains(e.basics, n):
			return RelationTogether
		case e.kind == "" || e.kind == basic.kind:
			return RelationUnusual
		}
		return RelationExcluded
	case len(p.shared) > 0:
		return RelationCompeting
	}
	return RelationApart
}

// mixture returns the enhanced and the basic code of a mixed pair.
func (p pair) mixture() (enhanced, basic side) {
	if p.a.enhanced {
		return p.a, p.b
	}
	return p.b, p.a
}

// sharedCommands lists the commands that both may answer. A code for any
// command shares those of the other.
func sharedCommands(x, y side) []string {
	anyX, anyY := slices.Contains(x.commands, "any"), slices.Contains(y.commands, "any")
	switch {
	case anyX && anyY:
		return []string{"any"}
	case anyX:
		return y.commands
	case anyY:
		return x.commands
	}
	return slices.DeleteFunc(slices.Clone(x.commands), func(c string) bool { return !slices.Contains(y.commands, c) })
}

// clientSide is the kind of the numbers that mail programs show.
const clientSide = "client-side"

func (p pair) say(key string, values ...string) string {
	return closeUp(Fill(Say(p.lang, key), values...))
}

// closeUp takes out the spaces between two characters of scripts that set none:
// they come of sentences that expect letters where a word of the script stands.
func closeUp(s string) string {
	if !strings.Contains(s, " ") {
		return s
	}
	runes := []rune(s)
	kept := runes[:0]
	for i, r := range runes {
		if r == ' ' && i > 0 && i+1 < len(runes) && dense(runes[i-1]) && dense(runes[i+1]) {
			continue
		}
		kept = append(kept, r)
	}
	return string(kept)
}

// dense reports whether r is of a script that sets no spaces, or of its
// punctuation.
func dense(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || r >= 0x3000 && r < 0x3040 || r == 'ー'
}

// name is what a code is called; one that only a provider defines has no name,
// and its meaning does for it.
func (p pair) name(s side) string {
	if s.provider != "" {
		return strings.TrimRight(Say(p.lang, s.key+".meaning"), ".。")
	}
	return Say(p.lang, s.key+".name")
}

func (p pair) when(s side) string {
	switch {
	case s.provider != "":
		return p.paragraph(Say(p.lang, s.key+".meaning"), Say(p.lang, s.key+".fix"))
	case s.enhanced:
		return Say(p.lang, s.key+".cause")
	}
	return Say(p.lang, s.key+".when")
}

// values are the placeholders that every sentence about two codes may use.
func (p pair) values(a, b side) []string {
	return []string{
		"a", a.shown, "b", b.shown, "name-a", p.name(a), "name-b", p.name(b),
		"commands-a", p.commandList(a.commands), "commands-b", p.commandList(b.commands),
		"who-a", Say(p.lang, "actor."+string(a.who)), "who-b", Say(p.lang, "actor."+string(b.who)),
	}
}

// first is what must be said before all else.
func (p pair) first() []string {
	if p.relation == RelationCompeting {
		return nil
	}
	if p.relation == RelationUnknown {
		var list []string
		for _, s := range [...]side{p.a, p.b} {
			if !s.ok {
				list = append(list, p.say("ui.unknown-code", "code", s.shown))
			}
		}
		return list
	}
	a, b := p.a, p.b
	values := p.values(a, b)
	key := "compare." + string(p.relation)
	switch {
	case p.relation == RelationAside && a.kind != clientSide:
		values = p.values(b, a)
	case p.relation != RelationAside && a.enhanced != b.enhanced:
		e, basic := p.mixture()
		values = append(p.values(e, basic), "basics", p.list(numbers(e.basics)))
		if p.relation == RelationUnusual && len(e.basics) == 0 {
			key += "-any"
		}
	}
	return []string{p.say(key, values...)}
}

// paragraph puts sentences behind each other as the language does.
func (p pair) paragraph(sentences ...string) string {
	sentences = slices.DeleteFunc(sentences, func(s string) bool { return s == "" })
	return strings.Join(sentences, Say(p.lang, "ui.sentence-space"))
}

// list joins items as a sentence of the language does.
func (p pair) list(items []string) string {
	last := len(items) - 1
	if last < 1 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:last], Say(p.lang, "ui.list-separator")) + Say(p.lang, "ui.list-last") + items[last]
}

func numbers(codes []int) []string {
	list := make([]string, len(codes))
	for i, n := range codes {
		list[i] = strconv.Itoa(n)
	}
	return list
}

// commandNames are commands as they are shown.
func (p pair) commandNames(commands []string) []string {
	if len(commands) == 0 || slices.Contains(commands, "any") {
		return []string{Say(p.lang, "ui.any")}
	}
	list := make([]string, len(commands))
	for i, command := range commands {
		switch command {
		case "CONNECT":
			command = Say(p.lang, "compare.connecting")
		case "delivery":
			command = Say(p.lang, "compare.delivery")
		}
		list[i] = command
	}
	return list
}

func (p pair) commandList(commands []string) string { return p.list(p.commandNames(commands)) }

// table is the table of differences: name, class, commands, retry, who,
// connection and the responsibility for the message, in this order; aspects of
// which neither has anything are left out.
func (p pair) table() []Difference {
	aspect := func(key string, of func(side) string) Difference {
		a, b := of(p.a), of(p.b)
		return Difference{Key: key, Aspect: Say(p.lang, "aspect."+key), A: a, B: b, Same: a == b}
	}
	say := func(prefix, key string) string {
		if key == "" {
			return "—"
		}
		return Say(p.lang, prefix+key)
	}
	rows := []Difference{
		aspect("name", p.name),
		aspect("class", func(s side) string { return say("class.", s.kind) }),
		aspect("commands", func(s side) string {
			return strings.Join(p.commandNames(s.commands), Say(p.lang, "ui.list-separator"))
		}),
		aspect("retry", func(s side) string { return say("retry.", string(s.retry)) }),
		aspect("who", func(s side) string { return say("actor.", string(s.who)) }),
		aspect("connection", func(s side) string { return say("connection.", s.closes) }),
		aspect("message", func(s side) string { return say("responsibility.", responsibility(s)) }),
	}
	return slices.DeleteFunc(rows, func(r Difference) bool { return r.A == "—" && r.B == "—" })
}

// pairKey names a pair the same in both orders.
func pairKey(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return a + "-" + b
}

// byHand is what is written for the pair by hand: what people confuse, and when
// to use which. Codes of any class take what is said of the permanent ones.
func (p pair) byHand() (note, use string) {
	key := "pair." + pairKey(p.a.shown, p.b.shown)
	if _, ok := Sentence(Fallback, key+".note"); !ok {
		permanent := func(s side) string {
			if rest, ok := strings.CutPrefix(s.shown, "X"); ok {
				return "5" + rest
			}
			return s.shown
		}
		key = "pair." + pairKey(permanent(p.a), permanent(p.b))
	}
	return Say(p.lang, key+".note"), Say(p.lang, key+".use")
}
