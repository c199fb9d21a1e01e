package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"onward": main, "sendmail": main})
}

// TestScripts plays testdata/script: every command, with no server running.
// «status N onward …» runs a command and checks its exit status; «capture VAR
// REGEXP» keeps what the group of the expression matched in its output; «suspend
// LOGIN ID» does to an app password what an alarm does.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "LANG=C", "LC_ALL=", "LC_MESSAGES=", "ONWARD_CONFIG=", "TZ=UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"capture": func(ts *testscript.TestScript, _ bool, args []string) {
				found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
				if found == nil {
					ts.Fatalf("no match for %s in stdout", args[1])
				}
				ts.Setenv(args[0], found[1])
			},
			"suspend": func(ts *testscript.TestScript, _ bool, args []string) {
				d, err := store.OpenDirectory(ts.MkAbs("onward-data"), store.Options{})
				ts.Check(err)
				alarm := account.Alarm{Kind: account.SuddenVolume, Count: 200, Usual: 3}
				_, err = d.ChangeAppPassword(context.Background(), args[0], args[1], func(p *account.AppPassword) error {
					p.Suspended, p.SuspendedWhy = time.Now(), alarm.String()
					return nil
				})
				ts.Check(errors.Join(err, d.Close()))
			},
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				if exit := (*exec.ExitError)(nil); errors.As(ts.Exec(args[1], args[2:]...), &exit) {
					got = exit.ExitCode()
				}
				if got != want {
					ts.Fatalf("%s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
				}
			},
		},
	})
}

// Every command's help starts with its examples, and each example of onward is
// a command line that is understood.
func TestHelpStartsWithExamples(t *testing.T) {
	var walk func(node *kong.Node, words []string)
	walk = func(node *kong.Node, words []string) {
		name := strings.Join(append([]string{"onward"}, words...), " ")
		var c commands
		var help bytes.Buffer
		parser, err := kong.New(&c, kong.Name("onward"), kong.Writers(&help, &help), kong.Help(printHelp), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := kong.Trace(parser, words)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := printHelp(kong.HelpOptions{}, ctx); err != nil {
			t.Fatal(err)
		}
		e, ok := node.Target.Addr().Interface().(exampler)
		if !ok || len(e.Examples()) == 0 {
			t.Errorf("%s has no examples", name)
			return
		}
		text := strings.ReplaceAll(help.String(), " \\\n      ", " ")
		if first, _, _ := strings.Cut(text, "\n"); first != "  "+e.Examples()[0] {
			t.Errorf("%s --help begins with %q, want the example %q", name, first, e.Examples()[0])
		}
		if !strings.Contains(help.String(), "Exit status") {
			t.Errorf("%s --help does not tell the exit statuses", name)
		}
		for i, line := range strings.Split(help.String(), "\n") {
			if displayWidth(line) > helpWidth {
				t.Errorf("%s --help, line %d is wider than %d columns: %s", name, i+1, helpWidth, line)
			}
		}
		for _, example := range e.Examples() {
			checkExample(t, name, example)
		}
		for _, child := range node.Children {
			walk(child, append(words[:len(words):len(words)], child.Name))
		}
	}
	parser, err := kong.New(&commands{}, kong.Name("onward"), kong.Help(printHelp))
	if err != nil {
		t.Fatal(err)
	}
	walk(parser.Model.Node, nil)
}

// checkExample parses the commands of an example without running them.
func checkExample(t *testing.T, name, example string) {
	t.Helper()
	for _, part := range strings.FieldsFunc(example, func(r rune) bool { return r == '|' || r == '&' || r == '<' }) {
		words := shellWords(part)
		if len(words) == 0 || words[0] != "onward" {
			continue
		}
		parser, err := kong.New(&commands{}, kong.Name("onward"), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(words[1:]); err != nil {
			t.Errorf("%s: the example %q is not understood: %v", name, part, err)
		}
	}
}

// shellWords splits as a shell would, as far as the examples need it.
func shellWords(s string) []string {
	var words []string
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, r := range s + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && r == ' ':
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	return words
}
