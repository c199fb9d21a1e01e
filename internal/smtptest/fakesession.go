package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// fakeSession is one connection of a FakeMX.
type fakeSession struct {
	f      *FakeMX
	raw    net.Conn
	conn   net.Conn
	number int
	r      *bufio.Reader
	w      *bufio.Writer
	helo   string
	tls    bool
	login  string
	mail   *Mail
}

func (s *fakeSession) hostname() string {
	if s.f.Hostname != "" {
		return s.f.Hostname
	}
	return "mx.test"
}

func (s *fakeSession) use(c net.Conn) {
	s.conn, s.r, s.w = c, bufio.NewReader(c), bufio.NewWriter(c)
}

// startTLS does the server's part of the handshake.
func (s *fakeSession) startTLS() bool {
	c := tls.Server(s.conn, s.f.TLS)
	if err := c.Handshake(); err != nil {
		return false
	}
	s.use(c)
	s.tls = true
	return true
}

// say answers; it reports whether the connection goes on. The answer is sent
// when the client has nothing more in the pipe.
func (s *fakeSession) say(reply string) bool {
	switch reply {
	case Drop:
		return false
	case Hang:
		s.w.Flush()
		_, _ = io.Copy(io.Discard, s.r)
		return false
	}
	s.w.WriteString(strings.ReplaceAll(reply, "\n", "\r\n") + "\r\n")
	if s.r.Buffered() == 0 && s.w.Flush() != nil {
		return false
	}
	return !strings.HasPrefix(reply, "421")
}

// talk holds the conversation.
func (s *fakeSession) talk() {
	s.use(s.conn)
	if s.f.Implicit && !s.startTLS() {
		return
	}
	if !s.say(s.f.reply("connect", "", "220 "+s.hostname()+" ESMTP fake")) {
		s.w.Flush()
		return
	}
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.f.mu.Lock()
		s.f.commands = append(s.f.commands, line)
		s.f.mu.Unlock()
		if !s.command(line) {
			s.w.Flush()
			return
		}
	}
}

// command answers one; it reports whether the connection goes on.
func (s *fakeSession) command(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	stage := strings.ToLower(verb)
	switch stage {
	case "ehlo", "helo", "lhlo":
		s.helo, s.mail = arg, nil
		return s.say(s.f.reply(stage, arg, s.hello(stage)))
	case "starttls":
		return s.starttls(arg)
	case "auth":
		return s.auth(arg)
	case "mail":
		return s.mailFrom(arg)
	case "rcpt":
		return s.rcptTo(arg)
	case "data":
		return s.data()
	case "bdat":
		return s.bdat(arg)
	case "rset":
		s.mail = nil
		return s.say(s.f.reply(stage, arg, "250 2.0.0 Reset"))
	case "noop":
		return s.say(s.f.reply(stage, arg, "250 2.0.0 Fine"))
	case "quit":
		s.say(s.f.reply(stage, arg, "221 2.0.0 Goodbye"))
		return false
	}
	return s.say("500 5.5.1 Unknown command")
}

func (s *fakeSession) hello(stage string) string {
	if stage == "helo" {
		return "250 " + s.hostname()
	}
	lines := s.f.Extensions
	if lines == nil {
		lines = []string{"PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES"}
	}
	lines = append([]string{s.hostname()}, lines...)
	if s.f.TLS != nil && !s.tls {
		lines = append(lines, "STARTTLS")
	}
	if s.f.Login != "" && s.login == "" {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	var b strings.Builder
	for i, l := range lines {
		if i < len(lines)-1 {
			b.WriteString("250-" + l + "\n")
		} else {
			b.WriteString("250 " + l)
		}
	}
	return b.String()
}

func (s *fakeSession) starttls(arg string) bool {
	usual := "220 2.0.0 Go ahead"
	if s.f.TLS == nil || s.tls {
		usual = "502 5.5.1 Not offered"
	}
	said := s.f.reply("starttls", arg, usual)
	if !s.say(said) {
		return false
	}
	if !strings.HasPrefix(said, "220") {
		return true
	}
	s.w.Flush()
	s.helo, s.mail = "", nil
	return s.startTLS()
}

func (s *fakeSession) auth(arg string) bool {
	mechanism, initial, _ := strings.Cut(arg, " ")
	var login, password string
	ask := func(challenge string) string {
		s.say("334 " + challenge)
		s.w.Flush()
		line, _ := s.r.ReadString('\n')
		b, _ := base64.StdEncoding.DecodeString(strings.TrimRight(line, "\r\n"))
		return string(b)
	}
	given, _ := base64.StdEncoding.DecodeString(initial)
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if initial == "" {
			given = []byte(ask(""))
		}
		if parts := bytes.Split(given, []byte{0}); len(parts) == 3 {
			login, password = string(parts[1]), string(parts[2])
		}
	case "LOGIN":
		login = string(given)
		if initial == "" {
			login = ask("VXNlcm5hbWU6")
		}
		password = ask("UGFzc3dvcmQ6")
	}
	usual := "535 5.7.8 No"
	if s.f.Login != "" && login == s.f.Login && password == s.f.Password {
		usual = "235 2.7.0 Yes"
	}
	said := s.f.reply("auth", arg, usual)
	if strings.HasPrefix(said, "235") {
		s.login = login
	}
	return s.say(said)
}

// pathAndParams splits "FROM:<a@b> X=y".
func pathAndParams(arg string) (path, params string) {
	_, rest, _ := strings.Cut(arg, "<")
	end := strings.LastIndexByte(rest, '>')
	if end < 0 {
		return rest, ""
	}
	return rest[:end], strings.TrimSpace(rest[end+1:])
}

func (s *fakeSession) mailFrom(arg string) bool {
	usual := "250 2.1.0 Sender fine"
	if s.f.Login != "" && s.login == "" {
		usual = "530 5.7.0 Log in first"
	}
	said := s.f.reply("mail", arg, usual)
	if strings.HasPrefix(said, "2") {
		path, params := pathAndParams(arg)
		s.mail = &Mail{
			Session: s.number, Remote: s.raw.RemoteAddr().String(), Helo: s.helo, TLS: s.tls, Login: s.login,
			From: path, FromParams: params,
		}
	}
	return s.say(said)
}

func (s *fakeSession) rcptTo(arg string) bool {
	usual := "250 2.1.5 Recipient fine"
	if s.mail == nil {
		usual = "503 5.5.1 MAIL first"
	}
	said := s.f.reply("rcpt", arg, usual)
	if strings.HasPrefix(said, "2") && s.mail != nil {
		path, params := pathAndParams(arg)
		s.mail.To = append(s.mail.To, path)
		s.mail.ToParams = append(s.mail.ToParams, params)
	}
	return s.say(said)
}

func (s *fakeSession) data() bool {
	usual := "354 Go on"
	if s.mail == nil || len(s.mail.To) == 0 {
		usual = "503 5.5.1 RCPT first"
	}
	said := s.f.reply("data", "", usual)
	if !s.say(said) {
		return false
	}
	if !strings.HasPrefix(said, "354") {
		return true
	}
	if s.mail == nil {
		s.mail = &Mail{Session: s.number}
	}
	s.w.Flush()
	m := *s.mail
	var ok bool
	if m.Content, m.Bare, ok = s.content(); !ok {
		return false
	}
	return s.keep(m)
}

// bdat takes a chunk as it is.
func (s *fakeSession) bdat(arg string) bool {
	digits, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return s.say("501 5.5.4 No size")
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(s.r, chunk); err != nil {
		return false
	}
	if s.mail == nil || len(s.mail.To) == 0 {
		return s.say("503 5.5.1 RCPT first")
	}
	s.mail.Content = append(s.mail.Content, chunk...)
	s.mail.Chunks++
	if !strings.EqualFold(last, "LAST") {
		return s.say("250 2.0.0 More")
	}
	return s.keep(*s.mail)
}

// keep answers a whole message.
func (s *fakeSession) keep(m Mail) bool {
	said := s.f.reply("content", string(m.Content), "250 2.0.0 Kept")
	s.mail = nil
	if strings.HasPrefix(said, "2") {
		m.At = time.Now()
		s.f.mu.Lock()
		s.f.mails = append(s.f.mails, m)
		s.f.cond().Broadcast()
		s.f.mu.Unlock()
		if s.f.OnMail != nil {
			s.f.OnMail(m)
		}
	}
	return s.say(said)
}

// content reads to the final dot, by the line.
func (s *fakeSession) content() (b []byte, bare, ok bool) {
	whole := true // the last line ended with CRLF
	for {
		line, err := s.r.ReadBytes('\n')
		if err != nil {
			return nil, false, false
		}
		if whole && string(line) == ".\r\n" {
			return b, bare, true
		}
		if whole && line[0] == '.' {
			line = line[1:]
		}
		whole = bytes.HasSuffix(line, []byte("\r\n"))
		if !whole || bytes.IndexByte(line[:len(line)-2], '\r') >= 0 {
			bare = true
		}
		b = append(b, line...)
	}
}
