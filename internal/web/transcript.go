package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// transcript is a piece of a conversation, and where it is from.
type transcript struct {
	Lines  []spoken
	Source string
	// Real says that it is a piece of a conversation that was really held.
	Real bool
}

// spoken is a line of it.
type spoken struct {
	// Who is C or S, or "" for what is left out.
	Who string
	// Code is the number of a server's line, with the separator after it.
	Code, Text string
	Ink        string
	// Marked is the line that the page is about.
	Marked bool
}

func client(text string) spoken { return spoken{Who: "C", Text: text} }

// server splits a reply line behind its code.
func server(line string, marked bool) spoken {
	s := spoken{Who: "S", Text: line, Ink: ink(line), Marked: marked}
	if len(line) >= 4 && line[0] >= '2' && line[0] <= '5' && (line[3] == ' ' || line[3] == '-') {
		s.Code, s.Text = line[:4], line[4:]
	}
	return s
}

// basicTranscript shows a basic code: said by Onward where it says it, else by
// a provider that is known to.
func (s *site) basicTranscript(p *page, b reference.Basic) transcript {
	for _, d := range reply.All() {
		// the first one that names what the code is known for
		if d.Code == b.Code && (b.Code != 550 || d.Name == "mailbox-unknown") && (b.Code != 250 || d.Name == "recipient-ok") {
			return s.ownTranscript(p, d)
		}
	}
	prefix := strconv.Itoa(b.Code)
	return s.heardTranscript(p, func(r *reference.Row) bool { return r.Code == b.Code && strings.HasPrefix(r.Sample, prefix) })
}

func (s *site) enhancedTranscript(p *page, matches func(string) bool) transcript {
	for _, d := range reply.All() {
		if matches(d.Enhanced) {
			return s.ownTranscript(p, d)
		}
	}
	return s.heardTranscript(p, func(r *reference.Row) bool { return matches(r.Enhanced) && strings.Contains(r.Sample, r.Enhanced) })
}

// heardTranscript builds one around the literal reply of a provider.
func (s *site) heardTranscript(p *page, matches func(*reference.Row) bool) transcript {
	rows := reference.Rows()
	i := slices.IndexFunc(rows, func(r reference.Row) bool { return r.Phase != "delivery" && matches(&r) })
	if i < 0 {
		return transcript{}
	}
	r := &rows[i]
	t := transcript{Source: p.T("transcript.provider", "provider", r.Provider)}
	t.Lines = slices.Concat(ask(r.Phase), replyLines(r.Sample))
	return t
}

func replyLines(text string) []spoken {
	var lines []spoken
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, server(line, true))
		}
	}
	return lines
}

// ask is what the client says at a stage.
func ask(phase string) []spoken {
	switch phase {
	case "ehlo":
		return []spoken{client("EHLO mail.example.com")}
	case "auth":
		return []spoken{client("AUTH PLAIN …")}
	case "mail":
		return []spoken{client("MAIL FROM:<carla@example.com>")}
	case "rcpt", "any":
		return []spoken{client("MAIL FROM:<carla@example.com>"), server("250 2.1.0 OK", false), client("RCPT TO:<anna@example.net>")}
	case "data":
		return []spoken{client("DATA")}
	case "post-data":
		return []spoken{client("DATA"), server("354 Start mail input; end with <CRLF>.<CRLF>", false), client("…"), client(".")}
	}
	return nil
}

// ownTranscript shows an entry of the catalogue as it goes over the wire: a
// piece of a real conversation where there is one, else one that is made up.
func (s *site) ownTranscript(p *page, d reply.Definition) transcript {
	if t, ok := reference.TranscriptOf(d.Name); ok {
		return realTranscript(p, t)
	}
	t := transcript{Source: p.T("transcript.own", "name", d.Name)}
	t.Lines = s.occasion(d)
	prefix := strconv.Itoa(d.Code)
	if d.Name == "extensions" {
		keywords := [...]string{s.host, "PIPELINING", "SIZE 52428800", "8BITMIME", "STARTTLS", "ENHANCEDSTATUSCODES"}
		for i, keyword := range keywords {
			separator := "-"
			if i == len(keywords)-1 {
				separator = " "
			}
			t.Lines = append(t.Lines, server(prefix+separator+keyword, true))
		}
		return t
	}
	line := prefix + " "
	if d.Enhanced != "" {
		line += d.Enhanced + " "
	}
	text := d.Text
	if d.Name == "auth-too-weak" { // PLAIN, which stands for mechanisms elsewhere, is not
		text = reference.Fill(text, "mechanism", "SCRAM-SHA-1")
	}
	t.Lines = append(t.Lines, server(line+reference.Fill(text, s.values()...), true))
	return t
}

// realTranscript shows a piece of a script.
func realTranscript(p *page, piece reference.Transcript) transcript {
	t := transcript{Source: p.T("transcript.script", "script", piece.Script), Real: true}
	for i, line := range piece.Lines {
		said, isServer := strings.CutPrefix(line, "S: ")
		asked, isClient := strings.CutPrefix(line, "C: ")
		switch {
		case isServer:
			t.Lines = append(t.Lines, server(said, i >= len(piece.Lines)-piece.Marked))
		case isClient:
			t.Lines = append(t.Lines, client(asked))
		default:
			t.Lines = append(t.Lines, spoken{Text: line})
		}
	}
	return t
}

// values stand for the placeholders of the catalogue in a transcript.
func (s *site) values() []string {
	return []string{
		"host", s.host, "target", "<anna@example.net>", "recipient", "<anna@example.org>", "verb", "FROB", "usage", "RCPT TO:<forward-path>",
		"id", "8Q2M7K4T", "limit", "52428800", "sender", "<boss@example.org>", "login", "anna@example.org", "keyword", "FROB",
		"rule", "the value must be a number", "why", "there is no @ in it", "text", "This address is closed; please write to info@example.org",
		"mechanism", "PLAIN", "offered", "PLAIN LOGIN", "verbs", "EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP", "challenge", "VXNlcm5hbWU6",
		"domain", "example.com", "name", "scanner",
	}
}

// occasion is what goes before a reply of ours: of its own where it is the
// client's line that matters, else by the stage.
func (s *site) occasion(d reply.Definition) []spoken {
	own := map[string][]spoken{
		"hello":                 {client("HELO mail.example.com")},
		"hello-syntax":          {client("EHLO")},
		"command-unknown":       {client("FROB")},
		"http-refused":          {client("GET / HTTP/1.1")},
		"line-too-long":         {client("RCPT TO:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…")},
		"not-text":              {client(`\x16\x03\x01\x02\x00\x01…`)},
		"syntax-error":          {client("RCPT anna@example.org")},
		"no-argument":           {client("QUIT now")},
		"not-implemented":       {client("EXPN staff")},
		"mail-first":            {client("RCPT TO:<anna@example.org>")},
		"turned-away":           {client("EHLO mail.example.com")},
		"hello-first":           {client("MAIL FROM:<carla@example.com>")},
		"sender-syntax":         {client("MAIL FROM:<carla.example.com>")},
		"recipient-syntax":      {client("RCPT TO:<anna.example.org>")},
		"parameter-unknown":     {client("MAIL FROM:<carla@example.com> FROB=1")},
		"parameter-value":       {client("MAIL FROM:<carla@example.com> SIZE=big")},
		"message-too-large":     {client("MAIL FROM:<carla@example.com> SIZE=99000000")},
		"sender-not-owned":      {client("MAIL FROM:<boss@example.org>")},
		"non-ascii-address":     {client("RCPT TO:<jörg@example.org>")},
		"relay-denied":          {client("RCPT TO:<bob@example.net>")},
		"auth-challenge":        {client("AUTH LOGIN")},
		"auth-cancelled":        {client("AUTH LOGIN"), server("334 VXNlcm5hbWU6", false), client("*")},
		"auth-undecodable":      {client("AUTH PLAIN anna:secret")},
		"auth-needs-tls":        {client("AUTH PLAIN …")},
		"auth-too-weak":         {client("AUTH SCRAM-SHA-1")},
		"password-transition":   {client("AUTH SCRAM-SHA-256 …")},
		"timed-out":             {{Text: "…"}},
		"shutting-down":         {{Text: "…"}},
		"auth-required":         {client("MAIL FROM:<anna@example.org>")},
		"tls-required":          {client("MAIL FROM:<anna@example.org>")},
		"no-recipients":         {client("DATA")},
		"done":                  {client("RSET")},
		"storage-low":           {client("MAIL FROM:<carla@example.com>")},
		"too-many-errors":       {client("FROB")},
		"too-many-connections":  nil,
		"too-many-from-address": nil,
	}
	if lines, ok := own[d.Name]; ok {
		return lines
	}
	byStage := [...]struct {
		stage reply.Stage
		lines []spoken
	}{
		{reply.Connect, nil},
		{reply.Helo, ask("ehlo")},
		{reply.StartTLS, []spoken{client("STARTTLS")}},
		{reply.Auth, ask("auth")},
		{reply.Rcpt, []spoken{client("MAIL FROM:<carla@example.com>"), server("250 2.1.0 Sender OK", false), client("RCPT TO:<anna@example.org>")}},
		{reply.Mail, ask("mail")},
		{reply.Content, []spoken{client("DATA"), server("354 Send the message; end it with a line that has only a dot", false), {Text: "…"}, client(".")}},
		{reply.Data, ask("data")},
		{reply.Bdat, []spoken{client("BDAT 4096 LAST")}},
		{reply.Quit, []spoken{client("QUIT")}},
		{reply.Vrfy, []spoken{client("VRFY anna")}},
		{reply.Expn, []spoken{client("EXPN staff")}},
		{reply.Help, []spoken{client("HELP")}},
		{reply.Noop, []spoken{client("NOOP")}},
	}
	for _, b := range byStage {
		if d.Stages&b.stage != 0 {
			return b.lines
		}
	}
	return nil
}

// Label names who speaks, for those who hear the page.
func (l spoken) Label() string { return fmt.Sprintf("%s:", l.Who) }
