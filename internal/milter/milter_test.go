package milter

import (
	"strings"
	"testing"

	"github.com/d--j/go-milter"

	"github.com/onwardmail/onward/internal/message"
)

func TestText(t *testing.T) {
	for said, want := range map[string]string{
		"":                                   "",
		"250 accept":                         "",
		"550 5.7.1 Command rejected":         "",
		"554 5.7.1 Looks like spam\r\n":      "Looks like spam",
		"554-5.7.1 One\r\n554 5.7.1 Two":     "One",
		"451 Not yet":                        "Not yet",
		"5.7.1 without a code":               "without a code",
		"just words":                         "just words",
		"550 1.2.3.4 is on a list":           "1.2.3.4 is on a list",
		"451 4.7.1 Requested action aborted": "",
	} {
		if got := text(said); got != want {
			t.Errorf("%q says %q and not %q", said, got, want)
		}
	}
}

// FuzzField: whatever a filter says, a field is one field.
func FuzzField(f *testing.F) {
	f.Add("X-Spam", "yes")
	f.Add("X-Spam", "a\n b\r\n\tc\nd\n\n")
	f.Add("X: y\r\nZ", "\r\nEvil: 1\r\n\r\nbody")
	f.Fuzz(func(t *testing.T, name, value string) {
		got := field(name, value)
		if !strings.HasSuffix(got, "\r\n") || strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") || strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\r") {
			t.Fatalf("the lines of %q do not end with CRLF", got)
		}
		for i, line := range strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n") {
			if i > 0 && (line == "" || line[0] != ' ' && line[0] != '\t') {
				t.Fatalf("%q has more than one field", got)
			}
		}
	})
}

func TestEdits(t *testing.T) {
	h, err := message.ParseHeader([]byte("A: 1\r\nB: 2\r\na: 3\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := &view{f: &Filter{opt: Options{Address: "x"}}, fields: h.Fields()}
	list := v.edits([]milter.ModifyAction{
		{Type: milter.ActionAddHeader, HeaderName: "X", HeaderValue: "new"},
		{Type: milter.ActionChangeHeader, HeaderName: "A", HeaderIndex: 2, HeaderValue: ""},
		{Type: milter.ActionChangeHeader, HeaderName: "b", HeaderIndex: 1, HeaderValue: "two"},
		{Type: milter.ActionChangeHeader, HeaderName: "C", HeaderIndex: 1, HeaderValue: "made"},
		{Type: milter.ActionChangeHeader, HeaderName: "D", HeaderIndex: 1, HeaderValue: ""},
		{Type: milter.ActionAddHeader, HeaderName: ": ", HeaderValue: "nothing"},
		{Type: milter.ActionQuarantine, Reason: "no"},
	})
	if err := list.Validate(h); err != nil {
		t.Fatal(err)
	}
	if got, want := string(list.AppendHeader(nil, h)), "C: made\r\nX: new\r\nA: 1\r\nb: two\r\n\r\n"; got != want {
		t.Errorf("%q and not %q", got, want)
	}
}
