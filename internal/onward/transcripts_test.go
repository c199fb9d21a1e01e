package onward

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtptest"
)

const transcriptsFile = "../reference/facts/transcripts.json"

// Limits of a piece of conversation that stands on a page.
const (
	// longLine is from how many characters on a command is shortened.
	longLine = 100
	// longContent is how many lines of a message are shown.
	longContent = 5
)

// TestTranscriptsAreThoseOfTheScripts: the conversations that the reference
// shows are pieces of those that TestScripts plays. With -update it writes
// them.
func TestTranscriptsAreThoseOfTheScripts(t *testing.T) {
	want := transcriptsJSON(t, pieces(t))
	if *update {
		if err := os.WriteFile(transcriptsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(transcriptsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is not what the scripts say; run: go test ./internal/onward -run TestTranscripts -update", transcriptsFile)
	}
}

// TestEveryReplyHasATranscript: the pages show each in a conversation.
func TestEveryReplyHasATranscript(t *testing.T) {
	found := map[string]bool{}
	for _, p := range pieces(t) {
		found[p.Reply] = true
	}
	for _, d := range reply.All() {
		if !found[d.Name] {
			t.Errorf("no piece of a script ends with the reply %s", d.Name)
		}
	}
}

func transcriptsJSON(t *testing.T, list []reference.Transcript) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("[\n")
	for i, p := range list {
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		if err := e.Encode(p); err != nil {
			t.Fatal(err)
		}
		b.WriteString("  " + strings.TrimSpace(line.String()))
		if i < len(list)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	return b.Bytes()
}

// pieces finds for each reply the best piece of a script, in the order of the
// catalogue.
func pieces(t *testing.T) []reference.Transcript {
	t.Helper()
	files, err := filepath.Glob(scripts)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s (%v)", scripts, err)
	}
	forms := wireForms()
	best, cost := map[string]reference.Transcript{}, map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for _, talk := range talks(string(txtar.Parse(text).Comment)) {
			for end := range talk {
				given := nameOf(forms, talk[end].match)
				if given == "" {
					continue
				}
				p, price := cut(forms, talk[:end+1])
				p.Reply, p.Script = given, name
				if old, ok := cost[given]; !ok || price < old {
					best[given], cost[given] = p, price
				}
			}
		}
	}
	var list []reference.Transcript
	for _, d := range reply.All() {
		if p, ok := best[d.Name]; ok {
			list = append(list, p)
		}
	}
	return list
}

// exchange is what a client says and what the server answers. Commands that
// left together are taken one by one with their replies.
type exchange struct {
	// said is the command, or the content; empty for a greeting and for what a
	// server says of itself.
	said []string
	// raw says that the client's lines are no plain commands.
	raw     bool
	content bool
	reply   []string
	// match is the first line of the reply as the script has it.
	match string
}

func (e exchange) verb() string {
	if len(e.said) == 0 || e.content {
		return ""
	}
	word, _, _ := strings.Cut(strings.ToUpper(e.said[0]), " ")
	return word
}

func (e exchange) code() string {
	if e.match == "" {
		return ""
	}
	return e.match[:3]
}

// plausible reports whether the reply of that name may answer what was said
// (rfc5321#4.3.2).
func (e exchange) plausible(name string) bool {
	d, ok := reply.ByName(name)
	if !ok {
		return false
	}
	stage, known := map[string]reply.Stage{
		"EHLO": reply.Helo, "HELO": reply.Helo, "STARTTLS": reply.StartTLS, "AUTH": reply.Auth, "MAIL": reply.Mail, "RCPT": reply.Rcpt,
		"DATA": reply.Data, "BDAT": reply.Bdat, "RSET": reply.Rset, "NOOP": reply.Noop, "QUIT": reply.Quit, "VRFY": reply.Vrfy,
		"EXPN": reply.Expn, "HELP": reply.Help,
	}[e.verb()]
	switch {
	case e.content:
		stage = reply.Content
	case len(e.said) == 0:
		return d.Stages&reply.Connect != 0 || d.Closes
	case !known: // no command, or a line of a login
		stage = reply.Unknown | reply.Auth
	}
	return d.Stages&stage != 0
}

// talker reads the conversation of one connection.
type talker struct {
	done    []exchange
	waiting []exchange // said and not yet answered
	content bool       // what the client says is content
	more    bool       // of a reply
}

func (t *talker) client(line string, raw bool) {
	t.more = false
	if t.content {
		last := &t.waiting[len(t.waiting)-1]
		last.said, last.raw = append(last.said, line), last.raw || raw
		t.content = line != "."
		return
	}
	t.waiting = append(t.waiting, exchange{said: []string{line}, raw: raw})
}

func (t *talker) server(said string, expression bool) {
	text := literal(said, expression)
	if t.more {
		last := &t.done[len(t.done)-1]
		last.reply = append(last.reply, text)
	} else {
		e := exchange{}
		if len(t.waiting) > 0 {
			e, t.waiting = t.waiting[0], t.waiting[1:]
		}
		e.reply, e.match = []string{text}, said
		t.done = append(t.done, e)
		if t.content = e.code() == "354"; t.content {
			t.waiting = append([]exchange{{content: true}}, t.waiting...)
		}
	}
	t.more = said[3] == '-'
}

// talks are the conversations of a script, one a connection.
func talks(script string) [][]exchange {
	var all []*talker
	talk := map[string]*talker{}
	var now *talker
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "open":
			now = &talker{}
			all = append(all, now)
			if _, as, ok := strings.Cut(rest, " as "); ok {
				rest = as
			}
			talk[rest] = now
		case "on":
			now = talk[rest]
		case "C:", "C|":
			now.client(rest, kind == "C|")
		case "slowly":
			_, text, _ := strings.Cut(rest, " ")
			now.client(text, true)
		default:
			if said, ok := saidIn(line); ok && len(said) >= 4 {
				form, _ := smtptest.ParseSaid(line)
				for range form.Times {
					now.server(said, form.Expression)
				}
			}
		}
	}
	list := make([][]exchange, 0, len(all))
	for _, t := range all {
		list = append(list, t.done)
	}
	return list
}

var (
	openPart = regexp.MustCompile(`\[[^\]]*\](?:\{[0-9,]+\}|[+*])?|\.[+*]|\\d(?:\{[0-9,]+\}|[+*])?`)
	escaped  = regexp.MustCompile(`\\(.)`)
	repeated = regexp.MustCompile(`\\\{[^}]*\}`)
)

// literal is a line of a script as it stands on a page: what the script leaves
// open is "…".
func literal(said string, expression bool) string {
	if !expression {
		return strings.ReplaceAll(said, "...", "…")
	}
	return escaped.ReplaceAllString(openPart.ReplaceAllString(said, "…"), "$1")
}

// cut makes a piece of a conversation that ends with the last reply: what must
// have been said before it, and the command that it answers. The price says how
// far it is from what one would like to read.
func cut(forms []form, talk []exchange) (reference.Transcript, int) {
	last := len(talk) - 1
	price := 0
	var lines []string
	before := -1
	for _, i := range append(needed(talk), last) {
		if before >= 0 && i > before+1 {
			lines = append(lines, "…")
			price += 3
		}
		before = i
		e := talk[i]
		if e.raw {
			price += 30
		}
		if !e.plausible(nameOf(forms, e.match)) {
			price += 100 // the script's lines were put together wrongly
		}
		if e.verb() == "VRFY" {
			price += 6 // people look for what RCPT is answered
		}
		for _, l := range told(e) {
			lines = append(lines, strings.TrimSuffix("C: "+l, " "))
			if strings.ContainsAny(l, `\`+"…") || len(l) > longLine/2 {
				price += 8
			}
		}
		reply := e.reply
		if i < last && len(reply) > 2 {
			reply = []string{reply[0], "…", reply[len(reply)-1]}
		}
		for _, l := range reply {
			if l != "…" {
				l = "S: " + l
			}
			lines = append(lines, l)
		}
	}
	end := talk[last].reply
	if strings.Contains(strings.Join(end, ""), "…") {
		price += 12
	}
	if len(end) == 1 && len(strings.TrimSpace(end[0])) <= 3 {
		price += 20 // says nothing
	}
	return reference.Transcript{Lines: lines, Marked: len(end)}, price + len(lines)
}

// needed are the exchanges without which the last one could not be understood:
// the beginning of its transaction, or what it contradicts.
func needed(talk []exchange) []int {
	last := len(talk) - 1
	e := talk[last]
	find := func(from int, verb, code string) int {
		for i := from; i >= 0; i-- {
			if talk[i].verb() == verb && strings.HasPrefix(talk[i].code(), code) {
				return i
			}
		}
		return -1
	}
	var list []int
	add := func(i int) int {
		if i >= 0 {
			list = append(list, i)
		}
		return i
	}
	switch verb := e.verb(); {
	case e.content:
		data := find(last-1, "DATA", "3")
		rcpt := find(data, "RCPT", "2")
		add(find(rcpt, "MAIL", "2"))
		add(rcpt)
		add(data)
	case len(e.said) == 0:
		add(last - 1)
	case verb == "RCPT" && e.code() != "503":
		add(find(last, "MAIL", "2"))
	case verb == "DATA" && e.code() != "503":
		rcpt := find(last, "RCPT", "2")
		add(find(rcpt, "MAIL", "2"))
		add(rcpt)
	case last > 0 && talk[last-1].code() == "334":
		from := last - 1
		for from > 0 && talk[from-1].code() == "334" {
			from--
		}
		for i := from; i < last; i++ {
			add(i)
		}
	case e.code() == "503" && last > 0:
		switch before := talk[last-1]; {
		case before.content || before.raw || strings.HasPrefix(before.code(), "5"):
		default:
			add(last - 1)
		}
	}
	return list
}

// told is what the client says, short enough for a page.
func told(e exchange) []string {
	var lines []string
	for _, l := range e.said {
		l = strings.TrimSuffix(repeated.ReplaceAllString(l, "…"), `\r\n`)
		if runes := []rune(l); len(runes) > longLine {
			l = string(runes[:longLine-1]) + "…"
		}
		lines = append(lines, l)
	}
	if e.content && len(lines) > longContent {
		lines = append(lines[:longContent-2:longContent-2], "…", lines[len(lines)-1])
	}
	return lines
}
