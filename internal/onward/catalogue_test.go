package onward

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtptest"
)

// TestEveryReplyIsGiven: what the catalogue has, the whole server says in at
// least one conversation. TestScripts sees to it that it is really said.
func TestEveryReplyIsGiven(t *testing.T) {
	given := namesIn(t, scripts)
	for _, d := range reply.All() {
		if len(given[d.Name]) == 0 {
			t.Errorf("no script in testdata/script has the reply %s: %d %s %s", d.Name, d.Code, d.Enhanced, d.Text)
		}
	}
}

// TestEveryReplyIsKnown: what the server says in the scripts is in the
// catalogue.
func TestEveryReplyIsKnown(t *testing.T) {
	for _, line := range namesIn(t, scripts)[""] {
		t.Errorf("%s is no entry of the catalogue", line)
	}
}

// namesIn finds the entries of which scripts have a line, with one of the lines
// each; under "" those lines that belong to no entry.
func namesIn(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s (%v)", pattern, err)
	}
	forms := wireForms()
	given := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first := true // of a reply
		for line := range bytes.Lines(txtar.Parse(text).Comment) {
			said, ok := saidIn(strings.TrimSuffix(string(line), "\n"))
			if !ok || len(said) < 4 {
				continue
			}
			if first {
				name := nameOf(forms, said)
				given[name] = append(given[name], filepath.Base(file)+": "+said)
			}
			first = said[3] == ' '
		}
	}
	return given
}

// saidIn takes what a server says out of a line of a script.
func saidIn(line string) (string, bool) {
	said, ok := smtptest.ParseSaid(line)
	if !ok || !said.Expression {
		return said.Text, ok
	}
	text, ok := strings.CutPrefix(said.Text, "^")
	return strings.TrimSuffix(text, "$"), ok
}

// form is what an entry looks like as the first line of a reply.
type form struct {
	name    string
	line    *regexp.Regexp
	literal int // how much of it is fixed
}

func wireForms() []form {
	placeholder := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	var forms []form
	for _, d := range reply.All() {
		last := " " // between code and text
		switch d.Name {
		case "extensions", "help", "credentials-rejected", "sender-not-owned", "sender-out-of-scope", "recipient-out-of-scope": // have several lines
			last = "-"
		}
		text := d.Text
		if d.Enhanced != "" {
			text = d.Enhanced + " " + text
		}
		quoted := regexp.QuoteMeta(text)
		fixed := len(quoted) - len(strings.Join(placeholder.FindAllString(quoted, -1), ""))
		switch d.Name {
		case "auth-challenge":
			quoted = `[A-Za-z0-9+/=]*`
		case "recipient-ok":
			quoted += "( <.+>)?" // the mailbox, after VRFY (rfc5321#3.5.1)
		default:
			quoted = placeholder.ReplaceAllString(quoted, ".+")
		}
		forms = append(forms, form{d.Name, regexp.MustCompile("^" + strconv.Itoa(d.Code) + last + quoted + "$"), fixed})
	}
	return forms
}

// nameOf finds the entry that a line is an instance of: the one that leaves
// the least open.
func nameOf(forms []form, said string) string {
	best := form{literal: -1}
	for _, f := range forms {
		if f.literal > best.literal && f.line.MatchString(said) {
			best = f
		}
	}
	return best.name
}
