package web

import (
	"reflect"
	"testing"
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
		"「はい」か「onward status」です":           {text("「はい」か"), command("onward", "status"), text("です")},
		"an open «onward status":           {text("an open «onward status")},
	} {
		if got := wordsOf(sentence); !reflect.DeepEqual(got, want) {
			t.Errorf("wordsOf(%q) = %+v, want %+v", sentence, got, want)
		}
	}
}
