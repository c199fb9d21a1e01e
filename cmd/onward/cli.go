package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/onwardmail/onward/internal/control"
)

// commands is the command line. Every command has examples, a help text and
// the global options.
type commands struct {
	options

	Serve       serveCmd       `cmd:"" group:"run" help:"Run the server."`
	Demo        demoCmd        `cmd:"" group:"run" help:"Show what Onward does, on this terminal."`
	Status      statusCmd      `cmd:"" group:"run" help:"Tell how the server is."`
	Reload      reloadCmd      `cmd:"" group:"run" help:"Make the server read its configuration again."`
	CheckConfig checkConfigCmd `cmd:"" group:"run" help:"Check the configuration and show what is in force."`

	Domain  domainCmd  `cmd:"" group:"manage" help:"The domains that we receive mail for."`
	Address addressCmd `cmd:"" group:"manage" help:"What each address does: forward, moved, mailbox, refused."`
	Account accountCmd `cmd:"" group:"manage" help:"Who may log in, and by which passwords."`
	My      myCmd      `cmd:"" group:"manage" help:"An account of your own: passwords, rejected logins, limits."`
	Ban     banCmd     `cmd:"" group:"manage" help:"Networks that are refused because of wrong logins or errors."`

	Queue    queueCmd    `cmd:"" group:"mail" help:"What waits to be delivered."`
	Log      logCmd      `cmd:"" group:"mail" help:"What happened to a message or an address."`
	Sendmail sendmailCmd `cmd:"" group:"mail" passthrough:"" help:"Send a message, like the sendmail program."`

	Explain      explainCmd      `cmd:"" group:"explain" help:"Tell what a reply means and what to do."`
	Compare      compareCmd      `cmd:"" group:"explain" help:"Tell how two codes differ."`
	Codes        codesCmd        `cmd:"" group:"explain" help:"List the reply codes, or find one."`
	Reference    referenceCmd    `cmd:"" group:"explain" help:"Write the reference as a web site."`
	ExplainLogin explainLoginCmd `cmd:"" group:"explain" help:"Tell why a login was rejected."`

	Version versionCmd `cmd:"" group:"run" help:"Print the version."`
	Help    helpCmd    `cmd:"" group:"run" help:"Print what a command does, like --help after it."`
}

// Examples are what «onward --help» starts with.
func (*commands) Examples() []string {
	return []string{
		"onward demo",
		"onward serve --config onward.toml",
		"onward domain add example.org",
		"onward address add anna@example.org --forward anna@example.net --disclose announce",
		"onward log anna@example.org",
		"onward explain '550 5.7.26 This mail has been blocked'",
	}
}

// options are those of every command.
type options struct {
	Config string `placeholder:"FILE" env:"ONWARD_CONFIG" help:"The configuration file; none: the defaults, with the data in ./onward-data. Also in ONWARD_CONFIG."`
	JSON   bool   `name:"json" help:"Print one JSON object a line, for programs."`
	Lang   string `placeholder:"LANG" help:"Language of explanations: en, de, es, fr or ja. Default: that of the environment."`
}

// program is one run: the options, and where input and output are.
type program struct {
	options
	ctx    context.Context
	stdin  io.Reader
	out    *printer
	stderr io.Writer
	owner  *owner // who manages his own account; nil: an administrator asks
}

// run is main without the process: it returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("onward"),
		kong.Description("A mail forwarding and submission server that explains itself."),
		kong.Writers(stdout, stderr),
		kong.Help(printHelp), kong.ShortHelp(printHelp),
		kong.ExplicitGroups([]kong.Group{
			{Key: "run", Title: "Run"},
			{Key: "manage", Title: "Manage"},
			{Key: "mail", Title: "Follow the mail"},
			{Key: "explain", Title: "Understand"},
		}),
	)
	if err != nil {
		fmt.Fprintf(stderr, "onward: the command line is built wrongly: %v\n", err)
		return exitFailed
	}
	if len(args) == 0 {
		if ctx, err := kong.Trace(parser, nil); err == nil {
			_ = printHelp(kong.HelpOptions{}, ctx)
		}
		return exitUsage
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return usage(stderr, err, slices.Contains(args, "--json"))
	}
	p := &program{options: c.options, ctx: context.Background(), stdin: stdin, out: newPrinter(stdout, c.JSON), stderr: stderr}
	if err := kctx.Run(p); err != nil {
		return p.report(err)
	}
	return p.out.end(stderr)
}

// usage says what was wrong with the command line.
func usage(stderr io.Writer, err error, asJSON bool) int {
	at := "onward"
	if parse := (*kong.ParseError)(nil); errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			at = node.FullPath()
		} else if path := parse.Context.Path; len(path) > 1 {
			if c := path[len(path)-1].Node(); c != nil {
				at = c.FullPath()
			}
		}
	}
	if asJSON {
		printError(stderr, control.Invalid, fmt.Sprintf("%s: %v; see %s --help", at, err, at))
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\nExamples and all options: %s --help\n", at, err, at)
	return exitUsage
}

// language is that of explanations: of --lang, or of the environment, where
// the first that is set and not empty counts (POSIX, «Environment Variables»).
func (p *program) language() string {
	if p.Lang != "" {
		return p.Lang
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// isTerminal reports whether f is one that a person looks at.
func isTerminal(f any) (int, bool) {
	file, ok := f.(*os.File)
	if !ok {
		return 0, false
	}
	return int(file.Fd()), terminal(int(file.Fd()))
}

// warn prints what deserves a thought, for people only.
func (p *program) warn(warnings []string) {
	if p.JSON {
		return // it is in the object
	}
	p.out.flush()
	for _, w := range warnings {
		p.tell("note: " + w)
	}
}

// tell writes lines to standard error, wrapped if that is a terminal.
func (p *program) tell(text string) {
	columns := widthOf(p.stderr, 1<<20)
	for _, line := range strings.Split(text, "\n") {
		for _, part := range wrapText(clean(line), columns) {
			fmt.Fprintln(p.stderr, part)
		}
	}
}

// join writes a list in one cell.
func join(list []string) string { return strings.Join(list, ", ") }
