package reference

import (
	"slices"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reply"
)

// Code is everything that is known of a basic or enhanced code, in one
// language, as programs get it. The names of the fields are stable.
type Code struct {
	// Shown is the code as it is written: "550", "5.7.26", "X.7.26". Code is the
	// number of a basic one, else 0, and Enhanced is "" for a basic one.
	Shown    string `json:"shown"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Name     string `json:"name"`
	// Kind is success, intermediate, transient, permanent or client-side; "" for
	// an enhanced code of any class.
	Kind    string `json:"kind"`
	WhoActs Actor  `json:"who_acts"`
	Retry   Retry  `json:"retry"`
	Meaning string `json:"meaning"`
	When    string `json:"when"`
	Fix     string `json:"fix"`
	// Parties says what each does; one that has nothing to do is "".
	Parties Parties `json:"parties"`
	// Standard is "yes", or what it is instead; for basic codes only.
	Standard string `json:"standard,omitempty"`
	// Deprecated is the registry's word on an enhanced code.
	Deprecated bool     `json:"deprecated,omitempty"`
	DefinedIn  []string `json:"defined_in"`
	Commands   []string `json:"commands"`
	// Closes is "yes", "no", "often" or "as greeting", for basic codes.
	Closes string `json:"closes,omitempty"`
	// With are the codes that usually come with it, Compare those that people
	// confuse with it.
	With    []string `json:"with"`
	Compare []string `json:"compare"`
	// Private are the meanings that single providers have given to it, Providers
	// what they are known to say with it, Replies the names of our own replies
	// that have it.
	Private   []PrivateMeaning `json:"private"`
	Providers []Said           `json:"providers"`
	Replies   []string         `json:"replies"`
	Language  string           `json:"language"`
}

// Parties says what the three parties of a message do about a code.
type Parties struct {
	Sender        string `json:"sender"`
	Administrator string `json:"administrator"`
	Receiver      string `json:"receiver"`
}

// PrivateMeaning is what one provider means by an enhanced code.
type PrivateMeaning struct {
	Provider string `json:"provider"`
	Shown    string `json:"shown"`
	Meaning  string `json:"meaning"`
	Fix      string `json:"fix"`
	WhoActs  Actor  `json:"who_acts"`
	Source   string `json:"source"`
}

// Said is a thing that a provider says, literally, and what it means.
type Said struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Sample   string `json:"sample"`
	Reason   string `json:"reason"`
	Cause    string `json:"cause"`
	Fix      string `json:"fix"`
	Forward  string `json:"forward,omitempty"`
	WhoActs  Actor  `json:"who_acts"`
	Retry    Retry  `json:"retry"`
	Source   string `json:"source"`
}

// Canonical returns the one spelling of a code that the reference knows:
// "550", "5.7.26", "X.7.26".
func Canonical(code string) (string, bool) {
	if n, err := strconv.Atoi(code); err == nil {
		_, ok := BasicCode(n)
		return strconv.Itoa(n), ok
	}
	class, subject, detail, ok := SplitEnhanced(code)
	if !ok {
		return "", false
	}
	shown := "X"
	if class != 0 {
		shown = strconv.Itoa(class)
	}
	shown += "." + strconv.Itoa(subject) + "." + strconv.Itoa(detail)
	_, registered := EnhancedCode(shown)
	return shown, registered || len(PrivatesOf(shown)) > 0
}

// PrivatesOf lists the providers' own meanings of an enhanced code.
func PrivatesOf(code string) []Private {
	class, subject, detail, ok := SplitEnhanced(code)
	if !ok {
		return nil
	}
	var list []Private
	for _, p := range Privates() {
		if p.Subject == subject && detail >= p.From && detail <= p.To && (class == 0 || slices.Contains(p.Classes, class)) {
			list = append(list, p)
		}
	}
	return list
}

// Describe tells all that is known of a code, written in any way that
// [Canonical] takes.
func Describe(lang, code string) (Code, bool) {
	shown, ok := Canonical(code)
	if !ok {
		return Code{}, false
	}
	c := Code{
		Shown: shown, Language: lang, DefinedIn: []string{}, Commands: []string{}, With: []string{}, Compare: []string{},
		Private: []PrivateMeaning{}, Providers: []Said{}, Replies: []string{},
	}
	if n, err := strconv.Atoi(shown); err == nil {
		c.basic(n)
	} else {
		c.enhanced(shown)
	}
	for _, r := range Rows() {
		if c.Code != 0 && r.Code == c.Code || c.Code == 0 && r.Enhanced != "" && sameEnhanced(shown, r.Enhanced) {
			c.Providers = append(c.Providers, SaidBy(lang, r))
		}
	}
	for _, d := range reply.All() {
		if c.Code != 0 && d.Code == c.Code || c.Code == 0 && d.Enhanced != "" && sameEnhanced(shown, d.Enhanced) {
			c.Replies = append(c.Replies, d.Name)
		}
	}
	return c, true
}

// sameEnhanced reports whether code is registered, or registered with any
// class and said with one.
func sameEnhanced(registered, code string) bool {
	if rest, any := strings.CutPrefix(registered, "X"); any {
		return strings.HasSuffix(code, rest) && len(code) == len(registered)
	}
	return registered == code
}

func (c *Code) basic(n int) {
	b, _ := BasicCode(n)
	c.Code, c.Kind, c.Standard, c.Closes = b.Code, b.Kind, b.Standard, b.Closes
	c.WhoActs, c.Retry = b.Who, b.Retry
	c.DefinedIn = append(c.DefinedIn, b.DefinedIn...)
	c.Commands = append(c.Commands, b.Commands...)
	c.With = append(c.With, b.Enhanced...)
	for _, other := range b.Compare {
		c.Compare = append(c.Compare, strconv.Itoa(other))
	}
	c.say(b.Key(), "when")
}

func (c *Code) enhanced(shown string) {
	c.Enhanced = shown
	class, _, _, _ := SplitEnhanced(shown)
	switch class {
	case 2:
		c.Kind, c.Retry = "success", RetryNoNeed
	case 4:
		c.Kind, c.Retry = "transient", RetryYes
	case 5:
		c.Kind, c.Retry = "permanent", RetryNo
	}
	if e, ok := EnhancedCode(shown); ok {
		c.WhoActs, c.Deprecated = e.Who, e.Deprecated
		c.DefinedIn = append(c.DefinedIn, e.References...)
		for _, n := range e.Basic {
			if b, ok := BasicCode(n); ok && (class == 0 || n/100 == class) {
				c.With = append(c.With, strconv.Itoa(n))
				for _, command := range b.Commands {
					if !slices.Contains(c.Commands, command) {
						c.Commands = append(c.Commands, command)
					}
				}
			}
		}
		c.say(e.Key(), "cause")
	}
	for _, p := range PrivatesOf(shown) {
		c.Private = append(c.Private, PrivateMeaning{
			Provider: p.Provider, Shown: p.Shown, WhoActs: p.Who, Source: p.Source,
			Meaning: Say(c.Language, p.Key()+".meaning"), Fix: Say(c.Language, p.Key()+".fix"),
		})
	}
	if len(c.Private) > 0 && c.Meaning == "" {
		first := c.Private[0]
		c.Name, c.Meaning, c.Fix, c.WhoActs = first.Provider+" "+first.Shown, first.Meaning, first.Fix, first.WhoActs
	}
}

// say fills in the sentences of a key.
func (c *Code) say(key, when string) {
	of := func(leaf string) string { return Say(c.Language, key+"."+leaf) }
	c.Name, c.Meaning, c.When, c.Fix = of("name"), of("meaning"), of(when), of("fix")
	c.Parties = Parties{Sender: of("sender"), Administrator: of("admin"), Receiver: of("receiver")}
}

// SaidBy is a provider's row in one language.
func SaidBy(lang string, r Row) Said {
	return Said{
		ID: r.ID, Provider: r.Provider, Sample: r.Sample, Reason: r.Reason, WhoActs: r.Who, Retry: r.Retry, Source: r.Source,
		Cause: Say(lang, r.Key()+".cause"), Fix: Say(lang, r.Key()+".fix"), Forward: Say(lang, r.Key()+".forward"),
	}
}

// Summary is one row of a list of codes.
type Summary struct {
	// Kind is basic, enhanced, private or reply.
	Kind string `json:"kind"`
	// Shown is the code, Name its name; of our own replies ID is the name.
	Shown    string   `json:"shown"`
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	WhoActs  Actor    `json:"who_acts"`
	Retry    Retry    `json:"retry"`
	Commands []string `json:"commands"`
}

// Codes lists all basic, enhanced and private codes and our own replies.
func Codes(lang string) []Summary {
	var list []Summary
	for _, b := range Basics() {
		code := strconv.Itoa(b.Code)
		list = append(list, Summary{
			Kind: "basic", Shown: code, ID: code, Name: Say(lang, b.Key()+".name"), WhoActs: b.Who, Retry: b.Retry, Commands: b.Commands,
		})
	}
	for _, e := range Enhanceds() {
		list = append(list, Summary{
			Kind: "enhanced", Shown: e.Code, ID: e.Code, Name: Say(lang, e.Key()+".name"), WhoActs: e.Who, Commands: []string{},
		})
	}
	for _, p := range Privates() {
		list = append(list, Summary{
			Kind: "private", Shown: p.Shown, ID: p.ID, Name: p.Provider + ": " + Say(lang, p.Key()+".meaning"), WhoActs: p.Who, Commands: []string{},
		})
	}
	for _, d := range reply.All() {
		e, _ := OwnReply(lang, d.Name)
		list = append(list, Summary{
			Kind: "reply", Shown: strings.TrimSpace(strconv.Itoa(d.Code) + " " + d.Enhanced), ID: d.Name, Name: e.Meaning,
			WhoActs: e.Who, Retry: e.Retry, Commands: []string{},
		})
	}
	return list
}

// Filter keeps the codes that a person asks for by a word: the beginning of a
// code ("5", "55", "5.7"), a kind, a command, or words of the name in any
// order. An empty word keeps all.
func Filter(list []Summary, word string) []Summary {
	asked := splitWords(word)
	if len(asked) == 0 {
		return list
	}
	code := strings.ToLower(strings.TrimSpace(word))
	return slices.DeleteFunc(slices.Clone(list), func(s Summary) bool {
		if strings.Trim(code, "0123456789.x") == "" {
			shown := strings.ToLower(s.Shown)
			anyClass := strings.HasPrefix(shown, "x.") && len(code) > 1 && strings.HasPrefix(shown[1:], code[1:])
			return !strings.HasPrefix(shown, code) && !anyClass && !strings.Contains(" "+shown, " "+code)
		}
		for _, command := range s.Commands {
			if strings.EqualFold(command, code) {
				return false
			}
		}
		if s.Kind == code || s.ID == code {
			return false
		}
		have := splitWords(s.Name + " " + s.ID)
		for _, w := range asked {
			if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) }) {
				return true
			}
		}
		return false
	})
}
