package web

import (
	"reflect"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reference"
)

func TestCommandsInSentences(t *testing.T) {
	text := func(s string) words { return words{Text: s} }
	command := func(w ...string) words { return words{Command: w} }
	for sentence, want := range map[string][]words{
		"":                                     {text("")},
		"Set the method to «normal password».": {text("Set the method to «normal password».")},
		"Say «x», then «onward status» or «onward ban list».": {
			text("Say «x», then "), command("onward", "status"), text(" or "), command("onward", "ban", "list"), text("."),
		},
		"„onward status“ zeigt es.":        {text(""), command("onward", "status"), text(" zeigt es.")},
		"par «\u00a0onward status\u00a0».": {text("par "), command("onward", "status"), text(".")},
		"« onward status »":                {text(""), command("onward", "status"), text("")},
		"with “onward status”.":            {text("with "), command("onward", "status"), text(".")},
		"「はい」か「onward status」です":           {text("「はい」か"), command("onward", "status"), text("です")},
		"an open «onward status":           {text("an open «onward status")},
	} {
		if got := wordsOf(sentence); !reflect.DeepEqual(got, want) {
			t.Errorf("wordsOf(%q) = %+v, want %+v", sentence, got, want)
		}
	}
}

// TestAllCommandsAreSet: no sentence of the catalogue has a command in quotation
// marks that are not known here, in which it would stand as plain words.
func TestAllCommandsAreSet(t *testing.T) {
	for _, l := range reference.Languages() {
		for _, key := range reference.Keys(l.Tag) {
			sentence, _ := reference.Sentence(l.Tag, key)
			for _, w := range wordsOf(sentence) {
				if strings.Contains(w.Text, "onward ") {
					t.Errorf("%s in %s has a command that is not set as one: %q", key, l.Tag, w.Text)
				}
			}
		}
	}
}
