package reference

import (
	"strconv"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Count returns the sentence of a key for a number of things, with {n} filled
// in: the language's form for that number by the rules of CLDR (key.one,
// key.few, …; key.other always exists).
func Count(lang, key string, n int, pairs ...string) string {
	form := formOf(lang, n)
	text, ok := Sentence(lang, key+"."+form)
	if !ok {
		text = Say(lang, key+".other")
	}
	return Fill(text, append([]string{"n", strconv.Itoa(n)}, pairs...)...)
}

// formOf names the plural form of a whole number (CLDR, cardinal).
func formOf(lang string, n int) string {
	tag, err := language.Parse(lang)
	if err != nil {
		return "other"
	}
	if n < 0 {
		n = -n
	}
	switch plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0) {
	case plural.Zero:
		return "zero"
	case plural.One:
		return "one"
	case plural.Two:
		return "two"
	case plural.Few:
		return "few"
	case plural.Many:
		return "many"
	default:
		return "other"
	}
}
