package web

import "strings"

// words is a piece of a sentence: a command of ours that is quoted in it, which
// is set as one instead of in quotation marks, or what stands between.
type words struct {
	Text string
	// Command has the words of a command; then there is no Text.
	Command []string
}

// wordsOf finds the commands in a sentence.
func wordsOf(text string) []words {
	var list []words
	for {
		before, command, after := firstCommand(text)
		if command == "" {
			return append(list, words{Text: text})
		}
		list = append(list, words{Text: before}, words{Command: strings.Fields(command)})
		text = after
	}
}

// firstCommand cuts a sentence around the first command that is quoted in it;
// command is "" if there is none.
func firstCommand(text string) (before, command, after string) {
	// the quotation marks of the languages; a space may stand inside of them
	marks := [...][2]string{{"«", "»"}, {"„", "“"}, {"“", "”"}, {"「", "」"}}
	for at := range text {
		for _, m := range marks {
			rest, ok := strings.CutPrefix(text[at:], m[0])
			if !ok {
				continue
			}
			quoted, after, ok := strings.Cut(rest, m[1])
			quoted = strings.Trim(quoted, " \u00a0\u202f")
			if ok && strings.HasPrefix(quoted, "onward ") {
				return text[:at], quoted, after
			}
		}
	}
	return text, "", ""
}

// Words are the pieces of the sentence.
func (p prose) Words() []words { return wordsOf(p.Text) }

// Words are the pieces of the result.
func (v *guideView) Words() []words { return wordsOf(v.Result) }
