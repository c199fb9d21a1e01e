//go:build peers

package peers

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// settings is what a test wants of a server's configuration.
type settings struct {
	relay  []string          // networks that may relay
	routes map[string]string // domain → next hop
	retry  []string          // retry schedule; seconds unless a test says otherwise
	web    bool              // serve the pages
}

// A server is one onward process with its folder; it can be killed and started again.
type server struct {
	dir        string // configuration and data
	data       string
	config     string
	log        string
	mx         string // addresses it listens on
	submission string
	submits    string // submission with implicit TLS
	web        string // "" if it serves no pages
	command    *exec.Cmd
	exited     chan error
}

// prepare writes a configuration on free ports; nothing runs yet.
func prepare(t *testing.T, s settings) *server {
	t.Helper()
	dir := t.TempDir()
	o := &server{
		dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "onward.toml"), log: filepath.Join(dir, "serve.log"),
		mx: freePort(t), submission: freePort(t), submits: freePort(t),
	}
	if s.retry == nil {
		s.retry = []string{"1s", "1s", "2s"}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "hostname = \"mx.example.org\"\ndata = %q\n", o.data)
	fmt.Fprintf(&b, "[listen]\nmx = [%q]\nsubmission = [%q]\nsubmissions = [%q]\n", o.mx, o.submission, o.submits)
	if s.web {
		o.web = freePort(t)
		fmt.Fprintf(&b, "web = [%q]\n", o.web)
	} else {
		b.WriteString("web = []\n")
	}
	fmt.Fprintf(&b, "[dns]\nservers = [%q]\n", resolver(t))
	fmt.Fprintf(&b, "[queue]\nretry = %s\n", list(s.retry))
	if s.relay != nil {
		fmt.Fprintf(&b, "[relay]\nnetworks = %s\n", list(s.relay))
	}
	b.WriteString("[routes]\n")
	for _, domain := range slices.Sorted(maps.Keys(s.routes)) {
		fmt.Fprintf(&b, "%q = %q\n", domain, s.routes[domain])
	}
	if err := os.WriteFile(o.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if o.command != nil {
			_ = o.command.Process.Kill()
			<-o.exited
		}
		if t.Failed() {
			t.Logf("configuration:\n%s\nwhat serve said last:\n%s", b.String(), tail(o.log, 60))
		}
	})
	return o
}

// serve prepares a server and starts it.
func serve(t *testing.T, s settings) *server {
	t.Helper()
	o := prepare(t, s)
	o.start(t)
	return o
}

// start runs onward serve and returns when it answers on its MX port.
func (o *server) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	o.command = exec.Command(onwardBinary, "serve", "--config", o.config)
	o.command.Dir = o.dir
	o.command.Stdout, o.command.Stderr = log, log
	if err := o.command.Start(); err != nil {
		t.Fatalf("start onward serve: %v", err)
	}
	o.exited = make(chan error, 1)
	go func(c *exec.Cmd, exited chan<- error) { exited <- c.Wait() }(o.command, o.exited)
	until(t, "onward serve answers on "+o.mx, patience, func() bool {
		select {
		case err := <-o.exited:
			o.exited <- err
			t.Fatalf("onward serve ended: %v\n%s", err, tail(o.log, 40))
		default:
		}
		return greets(o.mx)
	})
}

// kill ends the server as a power cut would, and waits for the end.
func (o *server) kill(t *testing.T) {
	t.Helper()
	if err := o.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatalf("kill onward: %v", err)
	}
	<-o.exited
	o.command = nil
}

// drain sends SIGTERM and checks that the server ends by itself with status 0.
func (o *server) drain(t *testing.T) {
	t.Helper()
	if err := o.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	select {
	case err := <-o.exited:
		if err != nil {
			t.Errorf("onward serve after SIGTERM: %v, want exit status 0", err)
		}
	case <-time.After(patience):
		t.Fatalf("onward serve still runs %v after SIGTERM", patience)
	}
	o.command = nil
}

// try runs an onward command with the server's configuration.
func (o *server) try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), onwardBinary, args...)
	cmd.Env = append(os.Environ(), "ONWARD_CONFIG="+o.config)
	cmd.Dir = o.dir
	cmd.Stdin = strings.NewReader(stdin)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("onward %s: %w: %s%s", strings.Join(args, " "), err, out, problem.String())
	}
	return string(out), nil
}

// onward runs a command that must succeed and returns what it printed.
func (o *server) onward(t *testing.T, args ...string) string {
	t.Helper()
	out, err := o.try(t, "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// account makes an account with a main password, and returns an app password of it.
func (o *server) account(t *testing.T, name string) string {
	t.Helper()
	if _, err := o.try(t, "correct horse battery staple 7\n", "account", "add", name, "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	out := o.onward(t, "account", "app-password", "add", name, "--name", "phone", "--json")
	var made struct {
		Password string `json:"password"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Password == "" {
		t.Fatalf("account app-password add --json printed %q: no field password (%v)", out, err)
	}
	return made.Password
}

// greets tells whether an SMTP server says 220 at the address.
func greets(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Fprint(conn, "QUIT\r\n")
	return err == nil && strings.HasPrefix(line, "220")
}

// resolver is a DNS server for which every name has the address 127.0.0.1 and nothing else, so that no test asks, or
// sends to, anybody outside this machine.
func resolver(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := answer(buffer[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// answer makes the reply to a DNS question: an A record for an A question, no data for any other.
func answer(query []byte) []byte {
	const header, typeA = 12, 1
	end := header
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	if end > len(query) {
		return nil
	}
	reply := slices.Clone(query[:end])
	reply[2], reply[3] = 0x81, 0x80                       // response, recursion desired and available, no error
	copy(reply[4:header], []byte{0, 1, 0, 0, 0, 0, 0, 0}) // one question
	if binary.BigEndian.Uint16(query[end-4:]) == typeA {
		reply[7] = 1
		reply = append(reply, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return reply
}

func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// tail returns the last lines of a file.
func tail(name string, lines int) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
