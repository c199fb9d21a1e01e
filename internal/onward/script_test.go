package onward

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/smtptest"
)

var update = flag.Bool("update", false, "rewrite the scripts in testdata")

const scripts = "testdata/script/*.txtar"

// TestScripts plays the conversations against the whole server, in a bubble.
func TestScripts(t *testing.T) {
	smtptest.Player{Start: play(false), Update: *update}.Files(t, scripts)
}

// TestScriptsOnSockets plays those without waits on the real loopback.
func TestScriptsOnSockets(t *testing.T) {
	smtptest.Player{Start: play(true), Real: true}.Files(t, scripts)
}

func play(real bool) func(*testing.T, *txtar.Archive) smtptest.World {
	return func(t *testing.T, files *txtar.Archive) smtptest.World {
		w := newWorld(t, files, real)
		w.update = *update && !real
		return smtptest.World{
			Dial: w.connect, TLS: w.clientTLS(), Implicit: []string{"submissions"}, Command: w.command,
			End:  func(t *testing.T) { w.compare(t) },
			Stop: w.stop,
		}
	}
}

// compare holds the queue, the mail that others received and the mailboxes
// against the files of the script, as far as it has them.
func (w *world) compare(t *testing.T) {
	for name, look := range map[string]func() string{"queue": w.queueText, "mail": w.mailText, "maildir": w.maildirText, "failures": w.failuresText} {
		f := w.file(name)
		if f == nil {
			continue
		}
		got := look()
		if w.real {
			late := time.After(10 * time.Second)
			tick := time.NewTicker(5 * time.Millisecond)
			for got != string(f.Data) && late != nil {
				select {
				case <-late:
					late = nil
				case <-tick.C:
				}
				got = look()
			}
			tick.Stop()
		}
		switch {
		case got == string(f.Data):
		case w.update:
			f.Data = []byte(got)
		default:
			t.Errorf("%s is\n%s\ninstead of\n%s", name, got, f.Data)
		}
	}
	w.compareWords(t)
}

// compareWords looks for the lines of the files "has" and "lacks" in all mail
// that others received.
func (w *world) compareWords(t *testing.T) {
	var all bytes.Buffer
	for _, h := range w.hosts {
		for _, m := range h.Received() {
			all.Write(m.Content)
		}
	}
	for name, due := range map[string]bool{"has": true, "lacks": false} {
		for line := range strings.Lines(w.text(name)) {
			if line = strings.TrimSpace(line); strings.Contains(all.String(), line) != due {
				t.Errorf("the mail that others received %s %q:\n%s", map[bool]string{true: "lacks", false: "has"}[due], line, &all)
			}
		}
	}
}

// queueText is all recipients: sender, recipient, state and the last outcome.
func (w *world) queueText() string {
	var b strings.Builder
	for _, l := range w.recipients() {
		m, r := l.Message, l.Recipient
		fmt.Fprintf(&b, "%s %s", m.From.Path(), r.Address)
		if r.Forwarded() {
			fmt.Fprintf(&b, " → %s", r.Target)
		}
		fmt.Fprintf(&b, " via %s: %s", r.Destination, r.State)
		if o := r.Last; o != nil {
			why := strings.ReplaceAll(o.Heard.String(), "\n", " / ")
			if o.Cause != "" {
				why = strings.TrimSpace(o.Cause + " " + why)
			}
			times := strconv.Itoa(o.Attempt)
			if o.Attempt > 9 { // chance is in the schedule
				times = "many"
			}
			fmt.Fprintf(&b, " after %s: %s", times, strings.TrimSpace(o.Status+" "+why))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// mailText is what the other servers received, in an order that does not depend
// on chance. Of a report only what machines read is shown.
func (w *world) mailText() string {
	var all []string
	for _, h := range w.hosts {
		for _, m := range h.Received() {
			var b strings.Builder
			fmt.Fprintf(&b, "%s from <%s>", h.addr, m.From)
			if m.TLS {
				b.WriteString(" over TLS")
			}
			if m.Login != "" {
				b.WriteString(" as " + m.Login)
			}
			to := slices.Clone(m.To)
			for i, p := range m.ToParams {
				to[i] = "<" + to[i] + ">" + asked(p)
			}
			slices.Sort(to)
			fmt.Fprintf(&b, "%s to %s\n", asked(m.FromParams), strings.Join(to, " "))
			b.WriteString(indent(steady(machineRead(string(m.Content)))))
			all = append(all, b.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// usual are the parameters that every message has.
var usual = regexp.MustCompile(`SIZE=\d+ ?|BODY=8BITMIME ?`)

// asked is the rest of the parameters.
func asked(params string) string {
	if params = strings.TrimSpace(usual.ReplaceAllString(params, "")); params == "" {
		return ""
	}
	return " (" + params + ")"
}

func (w *world) maildirText() string {
	var b strings.Builder
	boxes := w.maildirs()
	for _, box := range slices.Sorted(maps.Keys(boxes)) {
		for _, content := range boxes[box] {
			fmt.Fprintf(&b, "%s\n%s", box, indent(steady(machineRead(content))))
		}
	}
	return b.String()
}

// failuresText is the logins that failed, oldest first, as their owners see
// them.
func (w *world) failuresText() string {
	all, err := w.server.Directory().Failures(context.Background(), "", 100)
	if err != nil {
		w.t.Fatalf("list the failed logins: %v", err)
	}
	var lines []string
	for _, f := range all {
		who := f.Login
		if who == "" {
			who = f.NameHint + "…"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s by %s ×%d %s\n", who, f.Cause, f.Service, f.Mechanism, f.Count, f.AppPasswordName))
	}
	slices.Sort(lines) // those of one moment have no order
	return strings.Join(lines, "")
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
		b.WriteString("  " + line)
	}
	return b.String()
}

// machineRead leaves of a report (RFC 3464) its fields for machines.
func machineRead(content string) string {
	const part = "Content-Type: message/delivery-status\r\n"
	_, status, ok := strings.Cut(strings.ReplaceAll(strings.ReplaceAll(content, "\r\n", "\n"), "\n", "\r\n"), part)
	if !ok {
		return content
	}
	status, _, _ = strings.Cut(status, "\r\n--")
	return "(report)\r\n" + strings.TrimSpace(status) + "\r\n"
}

// What differs from run to run.
var unsteady = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`\b[0-9a-hjkmnp-tv-z]{12}\b`), "QUEUEID"},
	{regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d+ \w+ \d{4} \d\d:\d\d:\d\d [+-]\d{4}`), "DATE"},
	{regexp.MustCompile(`<[0-9a-f]{30}@`), "<RANDOM@"},
	{regexp.MustCompile(`\(TLS[0-9.]+ [A-Z0-9_]+\)`), "(TLS)"},
	{regexp.MustCompile(`Onward-Loop:(\s+[0-9a-f]{16})+`), "Onward-Loop: MARK"},
}

// steady replaces what differs from run to run, and shows octets that are no
// text.
func steady(text string) string {
	for _, u := range unsteady {
		text = u.find.ReplaceAllString(text, u.put)
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && !strings.ContainsRune("\t\r\n", r) {
			fmt.Fprintf(&b, `\x%02x`, text[i])
		} else {
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}
