package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/onwardmail/onward/internal/control"
)

// exampler is a command with examples; every one is.
type exampler interface{ Examples() []string }

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The words of the command."`
}

func (*helpCmd) Examples() []string {
	return []string{"onward help", "onward help account app-password add"}
}

// Run prints what --help after the command would.
func (c *helpCmd) Run(p *program, k *kong.Context) error {
	p.out.flush()
	ctx, err := kong.Trace(k.Kong, c.Command)
	if err == nil {
		err = ctx.Error
	}
	if err != nil {
		return &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("%v; see onward help", err)}
	}
	return printHelp(kong.HelpOptions{}, ctx)
}

// helpWidth is the width of help texts in columns; a terminal may be narrower.
const helpWidth = 80

// printHelp prints the examples first, because that is what most people look
// for, then what the command is, its arguments and options.
func printHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	node := ctx.Selected()
	if node == nil {
		node = ctx.Model.Node
		for _, p := range ctx.Path { // a group without its command
			if p.Command != nil {
				node = p.Command
			}
		}
	}
	h := &helpPage{w: ctx.Stdout, width: min(helpWidth, widthOf(ctx.Stdout, helpWidth)), colour: colourful(ctx.Stdout)}
	h.examples(node)
	h.about(node)
	h.positionals(node)
	h.children(node)
	h.flags(node)
	h.section("Exit status")
	for _, line := range strings.Split(exitText(node), "\n") {
		h.line("  " + line)
	}
	return h.err
}

// exitText is the table of exit statuses of a command.
func exitText(node *kong.Node) string {
	if node.Name == "sendmail" {
		return sendmailExitHelp
	}
	return exitHelp
}

type helpPage struct {
	w      io.Writer
	width  int
	colour bool
	err    error
}

func (h *helpPage) line(text string) {
	if _, err := fmt.Fprintln(h.w, strings.TrimRight(text, " ")); err != nil && h.err == nil {
		h.err = err
	}
}

func (h *helpPage) section(title string) {
	h.line("")
	if h.colour {
		title = inkBold + title + inkOff
	}
	h.line(title)
}

func (h *helpPage) examples(node *kong.Node) {
	target := node.Target
	if target.Kind() != reflect.Pointer && target.CanAddr() {
		target = target.Addr()
	}
	e, ok := target.Interface().(exampler)
	if !ok {
		return
	}
	for _, text := range e.Examples() {
		for _, line := range foldCommand(text, h.width-2) {
			if h.colour {
				line = inkCyan + line + inkOff
			}
			h.line("  " + line)
		}
	}
	h.line("")
}

// foldCommand breaks a command that is too wide before an option or a pipe, in
// the way of the shell, so that it can be copied as it stands.
func foldCommand(text string, columns int) []string {
	const more, indent = ` \`, "    "
	var lines []string
	for displayWidth(text) > columns {
		cut := -1
		for i := len(indent) + 1; i+2 < len(text) && displayWidth(text[:i]) <= columns-len(more); i++ {
			if next := text[i : i+3]; next == " --" || next == " | " || next == " > " || next == " < " {
				cut = i
			}
		}
		if cut < 0 {
			break
		}
		lines = append(lines, text[:cut]+more)
		text = indent + text[cut+1:]
	}
	return append(lines, text)
}

func (h *helpPage) about(node *kong.Node) {
	h.line("Usage: " + usageOf(node))
	for _, text := range []string{node.Help, node.Detail} {
		if text == "" {
			continue
		}
		h.line("")
		for _, paragraph := range strings.Split(text, "\n") {
			for _, line := range wrapText(paragraph, h.width) {
				h.line(line)
			}
		}
	}
}

// usageOf is the command with its arguments in one line.
func usageOf(node *kong.Node) string {
	words := []string{node.FullPath()}
	if node.Parent == nil {
		words = []string{"onward"}
	}
	for _, p := range node.Positional {
		words = append(words, p.Summary())
	}
	if len(node.Children) > 0 {
		words = append(words, "COMMAND")
	}
	return strings.Join(append(words, "[OPTIONS]"), " ")
}

func (h *helpPage) positionals(node *kong.Node) {
	var rows [][2]string
	for _, p := range node.Positional {
		rows = append(rows, [2]string{strings.Trim(p.Summary(), "[]"), p.Help})
	}
	h.columns("Arguments", rows)
}

// children lists the commands of a group, or all of the program by group.
func (h *helpPage) children(node *kong.Node) {
	var order []string
	groups := map[string][][2]string{}
	for _, c := range node.Children {
		title := "Commands"
		if c.Group != nil && node.Parent == nil {
			title = c.Group.Title
		}
		if groups[title] == nil {
			order = append(order, title)
		}
		groups[title] = append(groups[title], [2]string{c.Name, c.Help})
	}
	for _, title := range order {
		h.columns(title, groups[title])
	}
}

func (h *helpPage) flags(node *kong.Node) {
	var own, global [][2]string
	for level, flags := range node.AllFlags(true) {
		for _, f := range flags {
			name := "--" + f.Name
			if f.Short != 0 {
				name = fmt.Sprintf("-%c, %s", f.Short, name)
			}
			if !f.IsBool() {
				place := f.PlaceHolder
				if place == "" {
					place = strings.ToUpper(f.Name)
				}
				name += " " + place
			}
			if f.Name == "help" {
				name, f.Help = "-h, --help", "Print this."
			}
			row := [2]string{name, f.Help}
			if level > 0 && node.Parent != nil && isGlobal(f.Name) {
				global = append(global, row)
			} else {
				own = append(own, row)
			}
		}
	}
	if node.Parent != nil {
		own, global = splitGlobal(own, global)
	}
	h.columns("Options", own)
	h.columns("Options of every command", global)
}

func isGlobal(name string) bool {
	return name == "help" || name == "config" || name == "json" || name == "lang"
}

// splitGlobal puts the options of every command last.
func splitGlobal(own, global [][2]string) (mine, everyones [][2]string) {
	for _, row := range own {
		name := strings.TrimPrefix(row[0], "-h, ")
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "--"), " ")
		if isGlobal(name) {
			global = append(global, row)
		} else {
			mine = append(mine, row)
		}
	}
	return mine, global
}

// columns prints names and what they are, wrapped.
func (h *helpPage) columns(title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	h.section(title)
	const most = 30
	name := 0
	for _, r := range rows {
		if n := displayWidth(r[0]); n <= most {
			name = max(name, n)
		}
	}
	for _, r := range rows {
		head := "  " + padRight(r[0], name)
		if displayWidth(r[0]) > name {
			h.line("  " + r[0])
			head = "  " + strings.Repeat(" ", name)
		}
		for _, line := range wrapText(r[1], h.width-name-4) {
			h.line(head + "  " + line)
			head = "  " + strings.Repeat(" ", name)
		}
	}
}
