package smtptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// Player plays conversations that are written as text. A file is a txtar
// archive: what stands before its first file is the script, the files are for
// whoever starts the servers (a configuration, a zone, expected mail). A line
// of a script is one of
//
//	# a comment, or an empty line
//	open mx            connect to the service mx; the connection is called mx
//	open mx as b       the same, called b
//	on b               what follows is about the connection b
//	C: EHLO a.example  the client sends this and CRLF
//	C| raw             the client sends this alone
//	S: 250 ...         the server says this line; "..." stands for any text
//	S~ ^250 [a-z]+$    the server says a line that the regular expression finds
//	S*20: 250 ...      the server says 20 such lines; S*20~ is for an expression
//	starttls           the client's part of the handshake
//	wait 5m            time passes
//	slowly 1m abc      the client sends the text, an octet after each minute
//	close              the client closes the connection
//	half               the client says that it will send no more
//	eof                the server has closed the connection
//
// or a command of the World. Lines of C: that follow each other leave in one
// piece. In them, and in what is sent slowly, \r \n \t \\ \x00 are what they are
// in Go, and \{a*600} is 600 times "a", or whatever stands there for it.
// Whatever a server says and the script does not is a failure.
//
// Unless Real is set a script is played inside a testing/synctest bubble: wait
// costs no time, and "the server says" means: when nothing moves any more.
type Player struct {
	// Start builds the world of one script. Clean-up is by t.Cleanup.
	Start func(t *testing.T, files *txtar.Archive) World
	// Update rewrites the S: lines that do not agree, and fails nothing else.
	Update bool
	// Real plays on real sockets and in real time. Scripts that wait are left
	// out.
	Real bool
}

// World is what a script is played against.
type World struct {
	// Dial connects to a service.
	Dial func(ctx context.Context, service string) (net.Conn, error)
	// TLS is the client's configuration; services whose name is in Implicit are
	// connected to over TLS.
	TLS      *tls.Config
	Implicit []string
	// Command, if not nil, carries out a line that the player does not know.
	Command func(words []string) error
	// End, if not nil, is called after the last line if nothing has failed, with
	// all connections still open. It may change the files of the archive, which
	// are rewritten with the script.
	End func(t *testing.T)
	// Stop, if not nil, is called last, after all connections are closed and
	// inside the bubble: all goroutines must end. It may change the files, too.
	Stop func()
}

// patience is how long a real server may take to say something.
const patience = 10 * time.Second

// Files plays every file that matches the pattern, each as a test of its own.
// No file is a failure.
func (p Player) Files(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { p.File(t, file) })
	}
}

// File plays one file.
func (p Player) File(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := txtar.Parse(text)
	if p.Real {
		for line := range bytes.Lines(a.Comment) {
			if bytes.HasPrefix(line, []byte("wait ")) || bytes.HasPrefix(line, []byte("slowly ")) {
				t.Skip("the script waits; it is played in a bubble only")
			}
		}
		p.play(t, file, a)
		return
	}
	synctest.Test(t, func(t *testing.T) { p.play(t, file, a) })
}

// play plays the script and rewrites the file if that is wanted.
func (p Player) play(t *testing.T, file string, a *txtar.Archive) {
	w := p.Start(t, a)
	s := &script{t: t, player: p, world: w, clients: map[string]*client{}}
	err := s.run(filepath.Base(file), strings.Split(strings.TrimSuffix(string(a.Comment), "\n"), "\n"))
	if err != nil {
		t.Errorf("%s: %v", s.where, err)
	} else if w.End != nil {
		w.End(t)
	}
	for _, c := range s.clients {
		c.close()
	}
	if w.Stop != nil {
		w.Stop()
	}
	if p.Update && err == nil {
		a.Comment = []byte(strings.Join(s.out, "\n") + "\n")
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// run goes through the lines.
func (s *script) run(name string, lines []string) error {
	for i := 0; i < len(lines); {
		s.where = fmt.Sprintf("%s:%d", name, i+1)
		kind := func(string) bool { return false }
		switch {
		case isSent(lines[i]):
			kind = isSent
		case isSaid(lines[i]):
			kind = isSaid
		}
		n := 1
		for i+n < len(lines) && kind(lines[i+n]) {
			n++
		}
		var err error
		switch {
		case isSent(lines[i]):
			s.out = append(s.out, lines[i:i+n]...)
			err = s.send(lines[i : i+n])
		case isSaid(lines[i]):
			err = s.expect(lines[i : i+n])
		default:
			s.out = append(s.out, lines[i])
			err = s.command(lines[i])
		}
		if err != nil {
			return err
		}
		i += n
	}
	s.where = name + ", at its end"
	return s.nothingElse(len(s.out))
}

// script is the play of one file.
type script struct {
	t       *testing.T
	player  Player
	world   World
	clients map[string]*client
	now     *client
	where   string
	out     []string // the lines of the rewritten script
}

func isSent(line string) bool { return strings.HasPrefix(line, "C:") || strings.HasPrefix(line, "C|") }

func isSaid(line string) bool {
	_, ok := ParseSaid(line)
	return ok
}

// send sends lines in one piece.
func (s *script) send(lines []string) error {
	if s.now == nil {
		return fmt.Errorf("no connection is open")
	}
	if err := s.nothingElse(len(s.out) - len(lines)); err != nil {
		return err
	}
	var b []byte
	for _, line := range lines {
		text := strings.TrimPrefix(line[2:], " ")
		one, err := unescape(text)
		if err != nil {
			return err
		}
		b = append(b, one...)
		if line[1] == ':' {
			b = append(b, "\r\n"...)
		}
	}
	s.now.send(b)
	return nil
}

// expect compares what the server says.
func (s *script) expect(lines []string) error {
	if s.now == nil {
		return fmt.Errorf("no connection is open")
	}
	want := make([]Said, len(lines))
	n := 0
	for i, line := range lines {
		want[i], _ = ParseSaid(line)
		n += want[i].Times
	}
	if s.player.Update {
		s.correct(lines, want, s.heard(-1))
		return nil
	}
	got := s.heard(n)
	for i, w := range want {
		for range w.Times {
			if len(got) == 0 {
				return fmt.Errorf("the server does not say\n\t%s\nits connection is %s", lines[i], s.now.state())
			}
			ok, err := w.matches(got[0])
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("the server says\n\t   %s\ninstead of\n\t%s", got[0], lines[i])
			}
			got = got[1:]
		}
	}
	return s.nothingElse(len(s.out))
}

// correct writes what the server says, in the words of the lines that agree.
func (s *script) correct(lines []string, want []Said, got []string) {
	for i, w := range want {
		n := 0
		for n < min(w.Times, len(got)) {
			if ok, err := w.matches(got[n]); !ok || err != nil {
				break
			}
			n++
		}
		if n == w.Times {
			s.out = append(s.out, lines[i])
		} else if n = max(1, n); len(got) > 0 {
			s.out = append(s.out, written(got[:n])...)
		}
		got = got[min(n, len(got)):]
	}
	s.out = append(s.out, written(got)...)
}

// settle waits until nothing moves any more.
func (s *script) settle() {
	if !s.player.Real {
		synctest.Wait()
	}
}

// heard takes n lines of what the server has said, or all if n < 0.
func (s *script) heard(n int) []string {
	s.settle()
	if s.player.Real && n > 0 {
		s.now.await(n)
	}
	return s.now.take(n)
}

// nothingElse fails if the server has said what the script has not; while
// rewriting it adds that to the script at the line of out.
func (s *script) nothingElse(at int) error {
	if s.now == nil {
		return nil
	}
	s.settle()
	more := s.now.take(-1)
	if len(more) == 0 {
		return nil
	}
	if s.player.Update {
		s.out = append(s.out[:at:at], append(written(more), s.out[at:]...)...)
		return nil
	}
	return fmt.Errorf("the server also says\n\t   %s", strings.Join(more, "\n\t   "))
}

// command carries out a line that is neither sent nor said.
func (s *script) command(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || words[0][0] == '#' {
		return nil
	}
	if words[0] != "eof" && words[0] != "open" {
		if err := s.nothingElse(len(s.out) - 1); err != nil {
			return err
		}
	}
	switch {
	case words[0] == "open" && (len(words) == 2 || len(words) == 4 && words[2] == "as"):
		return s.open(words[1], words[len(words)-1])
	case words[0] == "on" && len(words) == 2:
		c := s.clients[words[1]]
		if c == nil {
			return fmt.Errorf("no connection is called %s", words[1])
		}
		s.now = c
		return nil
	case words[0] == "slowly" && len(words) > 2:
		return s.slowly(words[1], line)
	case words[0] == "wait" && len(words) == 2:
		d, err := time.ParseDuration(words[1])
		if err == nil {
			time.Sleep(d) // in a bubble
		}
		return err
	}
	if len(words) == 1 && s.now != nil {
		switch words[0] {
		case "starttls":
			s.settle()
			return s.now.startTLS(s.world.TLS)
		case "close":
			s.now.close()
			s.settle()
			return nil
		case "half":
			return s.now.half()
		case "eof":
			s.settle()
			if s.player.Real {
				s.now.await(1 << 30)
			}
			if err := s.nothingElse(len(s.out) - 1); err != nil {
				return err
			}
			if !s.now.over() {
				return fmt.Errorf("the server has not closed the connection")
			}
			return nil
		}
	}
	if s.world.Command == nil {
		return fmt.Errorf("%q is no line of a script", line)
	}
	s.settle()
	return s.world.Command(words)
}

// slowly sends what follows the pause in its line. A client whose server has
// closed stops.
func (s *script) slowly(pause, line string) error {
	if s.now == nil {
		return fmt.Errorf("no connection is open")
	}
	d, err := time.ParseDuration(pause)
	if err != nil {
		return err
	}
	_, text, _ := strings.Cut(line, " "+pause+" ")
	b, err := unescape(text)
	if err != nil {
		return err
	}
	for i := range b {
		time.Sleep(d) // in a bubble
		s.settle()
		if s.now.over() {
			return fmt.Errorf("the server has closed the connection before octet %d of %d", i+1, len(b))
		}
		s.now.send(b[i : i+1])
	}
	return nil
}

func (s *script) open(service, name string) error {
	if err := s.nothingElse(len(s.out) - 1); err != nil {
		return err
	}
	if old := s.clients[name]; old != nil {
		old.close()
	}
	nc, err := s.world.Dial(context.Background(), service)
	if err != nil {
		return err
	}
	c := newClient(nc)
	s.clients[name], s.now = c, c
	kind, _, _ := strings.Cut(service, "@") // what follows is where the client is
	for _, implicit := range s.world.Implicit {
		if kind == implicit {
			return c.startTLS(s.world.TLS)
		}
	}
	c.listen()
	return nil
}
