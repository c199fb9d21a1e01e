package explain

import (
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// Level is one answer, as exact as its kind allows.
type Level struct {
	// Kind is provider, enhanced, basic or digit.
	Kind string `json:"level"`
	// Code is what it is about, such as "5.1.1"; for the provider's level the
	// provider's name.
	Code       string  `json:"code,omitempty"`
	Meaning    string  `json:"meaning"`
	Fix        string  `json:"fix,omitempty"`
	Source     string  `json:"source,omitempty"`
	Confidence float64 `json:"confidence"`
}

// Levels answers on up to four levels, from exact to general; a level of which
// nothing is known is left out. A provider's meaning comes before the
// registry's.
func (e Explanation) Levels(lang string) []Level {
	levels := make([]Level, 0, 4)
	if l, ok := e.providerLevel(lang); ok {
		levels = append(levels, l)
	}
	if l, ok := e.enhancedLevel(lang); ok {
		levels = append(levels, l)
	}
	if b, ok := reference.BasicCode(e.Code); ok {
		levels = append(levels, Level{
			Kind: "basic", Code: strconv.Itoa(e.Code), Meaning: named(lang, b.Key()), Fix: reference.Say(lang, b.Key()+".fix"),
			Source: strings.Join(b.DefinedIn, ", "), Confidence: sureBasic,
		})
	}
	if d := e.digit(); d != "" {
		levels = append(levels, Level{
			Kind: "digit", Code: d + "__", Meaning: reference.Say(lang, "digit."+d), Source: "RFC 5321 §4.2.1", Confidence: sureDigit,
		})
	}
	return levels
}

func (e Explanation) digit() string {
	switch {
	case e.Code >= 200 && e.Code < 600:
		return strconv.Itoa(e.Code / 100)
	case e.Code == 0 && e.Enhanced != "":
		return e.Enhanced[:1]
	}
	return ""
}

// named is the name and the meaning of a code as one text; where the language
// lacks them it is marked once.
func named(lang, key string) string {
	name, used := reference.Text(lang, key+".name")
	meaning, _ := reference.Text(lang, key+".meaning")
	text := name + meaning
	if name != "" && meaning != "" {
		pattern, _ := reference.Sentence(used, "ui.named")
		text = reference.Fill(pattern, "name", name, "meaning", meaning)
	}
	if used != lang && used != "" {
		text = reference.Say(lang, "ui.in-english") + text
	}
	return text
}

func (e Explanation) providerLevel(lang string) (Level, bool) {
	l := Level{Kind: "provider", Code: e.Provider, Confidence: e.Confidence}
	switch {
	case e.Reply != "":
		r, _ := reference.OwnReply(lang, e.Reply)
		l.Meaning, l.Fix, l.Source = r.Meaning, r.Fix, "Onward, "+e.Reply
	case e.Outcome != "":
		t, _ := reference.Trouble(lang, e.Outcome)
		l.Code, l.Meaning, l.Fix, l.Source = "Onward", t.Meaning, t.Fix, "Onward, "+e.Outcome
	case e.Row != "":
		row, _ := reference.RowOf(e.Row)
		l.Source = row.Source
		l.Meaning, l.Fix = reference.Say(lang, row.Key()+".cause"), reference.Say(lang, row.Key()+".fix")
		if _, used := reference.Text(lang, row.Key()+".cause"); used != lang && lang != reference.Fallback {
			// the class of causes exists in every language
			l.Meaning, l.Fix = e.reason(lang)
		}
	case e.Private != "":
		l.Meaning, l.Fix = reference.Say(lang, e.Private+".meaning"), reference.Say(lang, e.Private+".fix")
		l.Source = e.Provider
	case e.phrase != "":
		l.Meaning, l.Fix = e.reason(lang)
		l.Source = reference.Say(lang, "ui.phrase-source") + ": «" + e.phrase + "»"
	default:
		return l, false
	}
	return l, true
}

func (e Explanation) enhancedLevel(lang string) (Level, bool) {
	_, subject, _, ok := reference.SplitEnhanced(e.Enhanced)
	if !ok {
		return Level{}, false
	}
	l := Level{Kind: "enhanced", Code: e.Enhanced, Confidence: sureVagueEnhanced}
	if _, certain := reference.ReasonByEnhanced(e.Enhanced); certain {
		l.Confidence = sureEnhanced
	}
	if e.Contradicts {
		l.Confidence = sureDigit
	}
	if r, ok := reference.EnhancedCode(e.Enhanced); ok {
		l.Meaning, l.Fix, l.Source = named(lang, r.Key()), reference.Say(lang, r.Key()+".fix"), strings.Join(r.References, ", ")
		return l, true
	}
	key := "enhanced.X." + strconv.Itoa(subject) + ".X"
	l.Meaning, l.Source, l.Confidence = named(lang, key), "RFC 3463 §2", sureBasic
	return l, l.Meaning != ""
}

// reason is the sentence pair of the reason class.
func (e Explanation) reason(lang string) (name, fix string) {
	return reference.Say(lang, "reason."+e.Reason+".name"), reference.Say(lang, "reason."+e.Reason+".fix")
}

// Meaning is the best single answer: what it means and what to do.
func (e Explanation) Meaning(lang string) (meaning, fix string) {
	if l, ok := e.providerLevel(lang); ok {
		return l.Meaning, l.Fix
	}
	if e.Reason != "" && e.Confidence > sureBasic {
		return e.reason(lang)
	}
	if levels := e.Levels(lang); len(levels) > 0 {
		return levels[0].Meaning, levels[0].Fix
	}
	return reference.Say(lang, "ui.nothing"), reference.Say(lang, "ui.nothing-fix")
}

// Short says in one line what it means and what to do, for the delivery log
// and for bounces. It holds nothing that was heard, so it needs no escaping.
func Short(e Explanation, lang string) string {
	var meaning, fix string
	switch {
	case e.Outcome != "" || e.Reply != "":
		meaning, fix = e.Meaning(lang)
	case e.Reason != "":
		meaning, fix = e.reason(lang)
	case e.Class == Positive:
		if b, ok := reference.BasicCode(e.Code); ok {
			return reference.Say(lang, b.Key()+".name")
		}
		return reference.Say(lang, "digit.2")
	default:
		meaning, fix = e.Meaning(lang)
	}
	meaning = strings.TrimRight(meaning, ".。")
	if fix == "" {
		return meaning
	}
	return meaning + " — " + fix
}

// JSON is an Explanation as programs get it: the field names are stable. Text
// is not escaped.
type JSON struct {
	Code       int     `json:"code"`
	Enhanced   string  `json:"enhanced"`
	Stage      string  `json:"stage"`
	Provider   string  `json:"provider"`
	Reason     string  `json:"reason"`
	WhoActs    string  `json:"who_acts"`
	Retry      string  `json:"retry"`
	Confidence float64 `json:"confidence"`
	// Class is positive, temporary, permanent or unknown: what a queue should
	// do.
	Class       string `json:"class"`
	Contradicts bool   `json:"contradicts"`
	Reply       string `json:"reply,omitempty"`
	Outcome     string `json:"outcome,omitempty"`
	Text        string `json:"text"`
	// RetryAfter is how long the text asks to wait, in seconds; BlockList the
	// list that it names.
	RetryAfter int        `json:"retry_after,omitempty"`
	BlockList  *BlockList `json:"block_list,omitempty"`
	// Forwarded says who must act if the message was being forwarded.
	Forwarded *Forwarded `json:"forwarded,omitempty"`
	Meaning   string     `json:"meaning"`
	Fix       string     `json:"fix"`
	Language  string     `json:"language"`
	Levels    []Level    `json:"levels"`
}

// Forwarded is what a reply means if the message was being forwarded.
type Forwarded struct {
	WhoActs string `json:"who_acts"`
	Text    string `json:"text"`
}

// Forwarded says who must act if the message was being forwarded, and what the
// reply means then; ok is false where forwarding makes no difference.
func (e Explanation) Forwarded(lang string) (f Forwarded, ok bool) {
	reason, known := reference.ReasonOf(e.Reason)
	if !known {
		return Forwarded{}, false
	}
	f = Forwarded{WhoActs: string(reason.Forwarded), Text: reference.Say(lang, "reason."+e.Reason+".forward")}
	if e.Row != "" {
		if own, used := reference.Text(lang, "provider."+e.Row+".forward"); used == lang {
			f.Text = own
		}
	}
	return f, f.Text != ""
}

// JSON returns e with its sentences in lang.
func (e Explanation) JSON(lang string) JSON {
	j := JSON{
		Code: e.Code, Enhanced: e.Enhanced, Stage: e.Stage, Provider: e.Provider, Reason: e.Reason,
		WhoActs: string(e.Who), Retry: string(e.Retry), Confidence: e.Confidence, Class: e.Class.String(),
		Contradicts: e.Contradicts, Reply: e.Reply, Outcome: e.Outcome, Text: e.Text, Language: lang, Levels: e.Levels(lang),
	}
	j.Meaning, j.Fix = e.Meaning(lang)
	j.RetryAfter = int(e.RetryAfter().Seconds())
	if l, ok := e.BlockList(); ok {
		j.BlockList = &l
	}
	if f, ok := e.Forwarded(lang); ok {
		j.Forwarded = &f
	}
	return j
}
