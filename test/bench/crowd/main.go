// Crowd measures what ten thousand clients that do nothing cost, and whether they keep honest mail out.
//
//	go run ./test/bench/crowd -onward bin/onward
//
// First, ten thousand plain connections are opened, say EHLO and are left alone: printed is the server's memory before and after. Then
// honest clients send messages, each over a connection of its own, alone and while ten thousand slow ones say a letter every other
// second and come back 5 seconds after they are thrown out: printed is the rate at which honest messages are accepted. That is measured
// twice: where the server takes as many connections as it does by default, so that it holds all the slow ones, and where it takes a fifth, so that
// it is full and must make room. Clients come from many addresses of loopback, and none of them is known. It fails if an idle connection
// costs more than 24 KB, all of them more than 300 MB, or if honest mail is slower than 80 % of what it was alone.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	binary := flag.String("onward", "bin/onward", "the program to measure")
	clients := flag.Int("clients", 10_000, "idle and slow clients")
	seconds := flag.Int("seconds", 10, "how long each rate is measured")
	flag.Parse()
	if err := crowd(*binary, *clients, time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// back is how soon a slow client that was thrown out is there again.
const back = 5 * time.Second

const addr = "127.0.0.1:25225"

// server starts Onward with a limit of connections.
func server(binary string, connections int) (cmd *exec.Cmd, stop func(), err error) {
	dir, err := os.MkdirTemp("", "crowd")
	if err != nil {
		return nil, nil, err
	}
	config := fmt.Sprintf(`hostname = "mx.example.org"
data = "data"
[listen]
mx = [%q]
submission = []
submissions = []
web = []
[limits]
connections = %d
connections_per_address = 100000
connections_per_network = 100000
connection_rate = 0
block = "never"
known = []
[log]
level = "error"
`, addr, connections)
	file := filepath.Join(dir, "onward.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, nil, err
	}
	for _, args := range [][]string{{"domain", "add", "example.org"}, {"address", "add", "anna@example.org", "--mailbox"}} {
		if out, err := exec.Command(binary, append(args, "--config", file)...).CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("onward %v: %w: %s", args, err, out)
		}
	}
	cmd = exec.Command(binary, "serve", "--config", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		cmd.Process.Kill() //nolint:errcheck // it may be gone
		cmd.Wait()         //nolint:errcheck // the same
		os.RemoveAll(dir)  //nolint:errcheck // the system clears it
	}
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return cmd, stop, nil
		}
		if time.Now().After(end) {
			stop()
			return nil, nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// memory is what the process holds of its own, in octets.
func memory(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory the process has")
}

// dial connects from one of many addresses of loopback.
func dial(n int) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
	return d.Dial("tcp", addr)
}

// What is promised.
const (
	mostEach = 24 << 10  // octets for an idle connection
	mostIdle = 300 << 20 // octets for the whole server with ten thousand
	least    = 80        // per cent of honest mail beside slow clients
)

func crowd(binary string, clients int, span time.Duration) error {
	broken := idle(binary, clients)
	for _, connections := range []int{clients, clients / 5} {
		broken = errors.Join(broken, beside(binary, clients, connections, span))
	}
	return broken
}

// beside measures honest mail alone and beside slow clients, at a server that takes so many connections.
func beside(binary string, clients, connections int, span time.Duration) error {
	cmd, stop, err := server(binary, connections)
	if err != nil {
		return err
	}
	defer stop()
	honest(span / 5) // nothing is cold any more
	before := honest(span)
	over := make(chan struct{})
	var slow sync.WaitGroup
	var held atomic.Int64
	for i := range clients {
		slow.Go(func() { loris(i, &held, over) })
	}
	time.Sleep(span) // until they have taken all that there is
	holding := held.Load()
	during := honest(span)
	m, err := memory(cmd.Process.Pid)
	close(over)
	slow.Wait()
	if err != nil {
		return err
	}
	percent := 100 * during / before
	fmt.Printf("honest mail   %.0f/s alone, %.0f/s beside %d slow clients that hold %d of %d connections: %.0f %%; memory %d MB\n",
		before, during, clients, holding, connections, percent, m>>20)
	if percent < least {
		return fmt.Errorf("honest mail is accepted at %.0f %% of its rate, not %d %%", percent, least)
	}
	return nil
}

// idle measures connections that wait.
func idle(binary string, clients int) error {
	cmd, stop, err := server(binary, clients+100)
	if err != nil {
		return err
	}
	defer stop()
	before, err := memory(cmd.Process.Pid)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, clients)
	for i := range conns {
		if conns[i], err = dial(i); err != nil {
			return err
		}
		defer conns[i].Close()
		if err := greet(conns[i]); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	after, err := memory(cmd.Process.Pid)
	if err != nil {
		return err
	}
	each := (after - before) / int64(clients)
	fmt.Printf("idle          %d connections: %d MB before, %d MB with them, %.1f KB each\n", clients, before>>20, after>>20, float64(each)/1024)
	if each > mostEach || after > mostIdle {
		return fmt.Errorf("an idle connection costs %d octets and all of them %d MB, not %d and %d MB at most", each, after>>20, mostEach, mostIdle>>20)
	}
	return nil
}

// greet says EHLO and hears the answer to its end.
func greet(c net.Conn) error {
	r := bufio.NewReaderSize(c, 512)
	if _, err := r.ReadString('\n'); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "EHLO idle.example\r\n"); err != nil {
		return err
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "250 ") {
			return err
		}
	}
}

// loris is a slow client: it says a letter every other second, and comes back.
func loris(n int, held *atomic.Int64, over chan struct{}) {
	for {
		c, err := dial(n)
		if err == nil {
			held.Add(1)
			go func() {
				io.Copy(io.Discard, c) //nolint:errcheck // it does not listen
				held.Add(-1)
			}()
			for err == nil {
				select {
				case <-over:
					c.Close()
					return
				case <-time.After(2 * time.Second):
					_, err = c.Write([]byte("E"))
				}
			}
			c.Close()
		}
		select {
		case <-over:
			return
		case <-time.After(back):
		}
	}
}

// honest sends messages, one a connection, and returns how many a second were accepted.
func honest(span time.Duration) float64 {
	const senders = 8
	var accepted atomic.Int64
	end := time.Now().Add(span)
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for time.Now().Before(end) {
				if send(20_000+i) == nil {
					accepted.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(accepted.Load()) / span.Seconds()
}

func send(n int) error {
	c, err := dial(n)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, step := range []struct{ say, hear string }{
		{"", "220"},
		{"HELO a.example\r\n", "250"},
		{"MAIL FROM:<>\r\n", "250"},
		{"RCPT TO:<anna@example.org>\r\n", "250"},
		{"DATA\r\n", "354"},
		{"Subject: honest\r\n\r\nHello.\r\n.\r\n", "250"},
		{"QUIT\r\n", "221"},
	} {
		if _, err := io.WriteString(c, step.say); err != nil {
			return err
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, step.hear) {
			return fmt.Errorf("heard %q", line)
		}
	}
	return nil
}
