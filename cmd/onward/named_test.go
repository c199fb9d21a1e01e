package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/onwardmail/onward/internal/reference"
)

// TestNamedCommands: a text that tells somebody to type a command of ours names
// one that there is, with options that it has. The texts are the sentences of the
// catalogue in every language, its facts, the templates of the web pages, the
// notices, the documents, and every string of the program: refusals and warnings.
func TestNamedCommands(t *testing.T) {
	for _, l := range reference.Languages() {
		n := 0
		for _, key := range reference.Keys(l.Tag) {
			sentence, _ := reference.Sentence(l.Tag, key)
			n += checkNamed(t, "lang/"+l.Tag+".toml, "+key, sentence)
		}
		enough(t, "lang/"+l.Tag+".toml", n, 40)
	}
	for _, kind := range []struct {
		root, pattern string
		least         int
	}{
		{"../../internal", "*.json", 5},
		{"../../internal/web/templates", "*.html", 1},
		{"../../internal/notice/testdata", "*.txt", 30},
		{"../../docs", "*.md", 10},
		{"../../README.md", "README.md", 2},
	} {
		n := 0
		eachFile(t, kind.root, kind.pattern, func(name string, data []byte) {
			for i, line := range strings.Split(string(data), "\n") {
				n += checkNamed(t, fmt.Sprintf("%s:%d", name, i+1), line)
			}
		})
		enough(t, kind.root, n, kind.least)
	}
	n := 0
	for _, root := range []string{"../../internal", "."} {
		eachFile(t, root, "*.go", func(name string, data []byte) {
			switch filepath.Base(filepath.Dir(name)) {
			case "notice": // its commands are put together from parts; testdata has them whole
				return
			case "receive": // a tool of the tests
				return
			}
			if strings.HasSuffix(name, "_test.go") {
				return
			}
			eachString(t, name, data, func(at, text string) {
				if root != "." || !strings.HasPrefix(text, "onward ") { // TestHelpStartsWithExamples has those
					n += checkNamed(t, at, text)
				}
			})
		})
	}
	enough(t, "the strings of the program", n, 50)
}

// enough fails if so few commands were found that the search cannot have worked.
func enough(t *testing.T, where string, n, least int) {
	t.Helper()
	if n < least {
		t.Errorf("%s: %d commands found, fewer than %d: is the search for them broken?", where, n, least)
	}
}

// checkNamed checks each command in a text, and returns how many there are.
func checkNamed(t *testing.T, where, text string) int {
	t.Helper()
	commands := namedCommands(text)
	for _, c := range commands {
		if c == "onward my" || c == "onward account" { // texts compare these two groups as a whole
			continue
		}
		if err := understood(c); err != nil {
			t.Errorf("%s names the command «%s»: %v", where, c, err)
		}
	}
	return len(commands)
}

// eachFile calls f with the files below root whose name matches.
func eachFile(t *testing.T, root, pattern string, f func(name string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ok, err := filepath.Match(pattern, d.Name()); !ok || err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err == nil {
			f(name, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eachString calls f with the strings of a Go file. Those that are added up are one
// string, with VALUE for what is no constant.
func eachString(t *testing.T, name string, data []byte, f func(at, text string)) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, data, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if text, constant := added(e); constant {
			f(files.Position(e.Pos()).String(), text)
			return false
		}
		return true
	})
}

// added is the text of a string, or of a sum that has one in it.
func added(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "VALUE", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "VALUE", false
		}
		left, inLeft := added(e.X)
		right, inRight := added(e.Y)
		return left + right, inLeft || inRight
	case *ast.ParenExpr:
		return added(e.X)
	}
	return "VALUE", false
}

// marks are the quotation marks around a command, and what may close each.
var marks = map[rune]string{'«': "»", '»': "«", '„': "“”", '“': "”", '「': "」", '"': `"`, '`': "`", '\'': "'", '‹': "›"}

// spoken is the program's name at the beginning of a command: in small letters,
// and neither part of a longer name or path nor alone. The product is Onward.
var spoken = regexp.MustCompile("(^|[^\\pL\\pN_./@:-])(onward(?: |\u00a0)+[a-z-])")

// sentenceEnd is where a command without quotation marks is over.
var sentenceEnd = regexp.MustCompile(`[;|&<>()…\n"]|, `)

// namedCommands finds the commands in a text. One in quotation marks ends with
// them; another with the line, or where a sentence or a shell would end it.
func namedCommands(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		for _, at := range spoken.FindAllStringSubmatchIndex(line, -1) {
			command := line[at[4]:]
			end := len(command)
			if close, ok := marks[lastMark(line[:at[4]])]; ok {
				if i := strings.IndexAny(command, close); i >= 0 {
					end = i
				}
			} else if over := sentenceEnd.FindStringIndex(command); over != nil {
				end = over[0]
			}
			command = strings.ReplaceAll(command[:end], "\u00a0", " ")
			found = append(found, strings.TrimRight(command, " .,:\\\"'`。、\n"))
		}
	}
	return found
}

// lastMark is the last character of a text before spaces of the kind that French puts
// inside of quotation marks.
func lastMark(text string) rune {
	r, _ := utf8.DecodeLastRuneInString(strings.TrimRight(text, "\u00a0\u202f"))
	return r
}

// understood reports whether there is such a command. Arguments may be missing, since
// «onward account limits» is a fair name of it.
func understood(command string) error {
	p, err := kong.New(&commands{}, kong.Name("onward"), kong.Exit(func(int) {}))
	if err != nil {
		return err
	}
	ctx, err := kong.Trace(p, shellWords(command)[1:])
	switch {
	case err != nil:
		return err
	case ctx.Error != nil:
		return ctx.Error
	case ctx.Selected() == nil || !ctx.Selected().Leaf():
		return errors.New("a group is named without one of its commands")
	}
	return nil
}

// TestNamedCommandsAreFound: the check finds commands however they are quoted, and
// tells those that there are from those that there are not.
func TestNamedCommandsAreFound(t *testing.T) {
	for text, want := range map[string]string{
		"Look with «onward ban list», then wait.":                        "onward ban list",
		"„onward account limits“ zeigt es":                               "onward account limits",
		"»onward account limits« zeigt es":                               "onward account limits",
		"par «\u00a0onward account usage\u00a0».":                        "onward account usage",
		"(“onward account usage”).":                                      "onward account usage",
		"管理者は「onward ban remove」で":                                       "onward ban remove",
		"see `onward account app-password list LOGIN`.":                  "onward account app-password list LOGIN",
		"see those with: onward address list VALUE":                      "onward address list VALUE",
		"add it: onward account add LOGIN, then onward account passwd %": "onward account add LOGIN|onward account passwd %",
		"    onward account usage anna@example.org":                      "onward account usage anna@example.org",
		"start it with: onward serve; or not":                            "onward serve",
		"Onward ban list, /usr/bin/onward serve, onward.toml, onward":    "",
	} {
		if got := strings.Join(namedCommands(text), "|"); got != want {
			t.Errorf("%q names %q, want %q", text, got, want)
		}
	}
	for command, ok := range map[string]bool{
		"onward ban list":       true,
		"onward account limits": true,
		"onward account app-password add {login} --name NAME":             true,
		"onward account app-password scope LOGIN WHICH --sender ADDRESS":  true,
		"onward account frobnicate":                                       false,
		"onward account":                                                  false,
		"onward account limit LOGIN":                                      false,
		"onward ban lists":                                                false,
		"onward account app-password scope LOGIN WHICH --senders ADDRESS": false,
		"onward status of the server":                                     false,
	} {
		if err := understood(command); (err == nil) != ok {
			t.Errorf("%s: %v", command, err)
		}
	}
}
